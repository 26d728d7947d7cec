"""From the first start to the last byte: starting, being refused, stopping, and losing the cache."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from subprocess import Popen
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from .. import make
from ..daemon import Server, clean_environment, launch, program, yizhan
from ..upstream_server import UpstreamServer
from .clients import Workstation, answered, fetch, said, wait_until
from .relay import relay

MODULE = (sys.executable, "-m", "proxy")
COMMAND = (program("yizhan"),)

HALF, BIG = 4_000_000, 8_000_000

GRACE = 20.0
"""Seconds, the default of server.grace."""


@contextmanager
def at_home(desk: Workstation, upstream: UpstreamServer, command: tuple[str, ...] = MODULE) -> Iterator[Server]:
    """The server as a person starts it, without a configuration file and with all that it keeps below $HOME."""
    words = ["serve", "--listen", "127.0.0.1:0", "--upstream", upstream.simple]
    server = launch([*command, *words], {**clean_environment(), **desk.environment()})
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def written(folder: Path, filename: str, body: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / filename).write_bytes(body)
    return folder / filename


def upload(desk: Workstation, server: Server, file: Path) -> None:
    words = ["--non-interactive", "--repository-url", server.url, "-u", server.user, "-p", server.password]
    desk.twine("upload", *words, str(file))


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# Starting


@pytest.mark.parametrize("command", [MODULE, COMMAND], ids=["module", "command"])
def test_a_first_start_prints_a_password_once(
    command: tuple[str, ...], desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    with at_home(desk, upstream, command) as server:
        user, password = server.user, server.password
        assert password
        assert server.stop() == 0
    with at_home(desk, upstream, command) as again:
        assert (again.user, again.password) == ("", "")
        assert password not in "\n".join(again.lines)
        again.user, again.password = user, password
        upload(desk, again, written(tmp_path, *make.wheel("demo", "1.0")))
        assert again.stop() == 0
    assert (desk.home / ".local" / "state" / "yizhan" / "store.db").exists()


def test_the_lines_of_the_banner_work_as_they_are_printed(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    upstream.publish("public", *make.wheel("public", "2.0"))
    written(tmp_path / "dist", *make.wheel("yizhan-demo", "1.0"))
    with at_home(desk, upstream) as server:
        banner = [line.strip() for line in server.lines]

        def printed(beginning: str) -> str:
            (line,) = (line for line in banner if line.startswith(beginning))
            return line

        def shell(script: str) -> None:
            """As a person does: with her own settings, and in the folder of the project."""
            person = ["env", "-u", "PIP_CONFIG_FILE", "-u", "UV_NO_CONFIG", "-C", str(tmp_path)]
            desk.run(*person, "bash", "-euc", script)

        shell(printed("twine upload"))
        install = printed("pip install").replace("pip install", f"pip --python {desk.python} install", 1)
        shell(install.replace("PACKAGE", "yizhan-demo"))
        assert desk.version("yizhan-demo") == "1.0"
        desk.set_up()
        shell(f"{printed('pip config set')}; pip --python {desk.python} install yizhan-demo public")
        assert desk.version("public") == "2.0"
        desk.set_up()
        shell(f"{printed('export UV_DEFAULT_INDEX')}; uv pip install yizhan-demo public")
        assert desk.version("public") == "2.0"
        desk.set_up()
        begin = banner.index("or in uv.toml") + 1
        (tmp_path / "uv.toml").write_text("\n".join(banner[begin : begin + 3]))
        shell("uv pip install yizhan-demo public")
        assert desk.version("yizhan-demo") == "1.0"
        got = [
            access.target for access in answered(server) if access.target.endswith("/yizhan_demo-1.0-py3-none-any.whl")
        ]
        assert len(got) == 4


# What keeps it from running


def test_a_data_folder_has_one_yizhan(tmp_path: Path, desk: Workstation) -> None:
    with yizhan(tmp_path / "data") as server:
        words = ["serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")]
        second = desk.run(*MODULE, *words, ok=False)
        sentence = "Another Yizhan is already using this data folder: stop it first, or give this one another folder.\n"
        assert (second.returncode, said(second)) == (1, sentence)
        # The first has not noticed.
        assert b"ok" in fetch(f"{server.url}-/health")


def test_a_port_has_one_program(tmp_path: Path, desk: Workstation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = desk.run(*MODULE, "serve", "--listen", address, "--data", str(tmp_path / "data"), ok=False)
    sentence = f"Another program listens on {address}: stop it, or choose another address with --listen.\n"
    assert (done.returncode, said(done)) == (1, sentence)


@pytest.mark.parametrize("command", [MODULE, COMMAND], ids=["module", "command"])
def test_all_mistakes_of_a_configuration_are_told_at_once(
    command: tuple[str, ...], tmp_path: Path, desk: Workstation
) -> None:
    file = tmp_path / "yizhan.toml"
    file.write_text('[server]\nlisten = "nowhere"\n\n[private]\nclaim = "alow"\nreservd = []\n')
    done = desk.run(*command, "serve", "--config", str(file), environment={"YIZHAN_CACHE__MAX_SIZE": "much"}, ok=False)
    assert done.returncode == 2
    assert done.stdout == ""
    places = [line.split(": ")[:2] for line in done.stderr.splitlines()]
    assert [place for place, _ in places] == [f"{file}:2", f"{file}:5", f"{file}:6", "environment"]
    assert "did you mean 'allow'?" in done.stderr
    assert "did you mean 'reserved'?" in done.stderr
    assert not (tmp_path / "state").exists()


# Stopping


@contextmanager
def begun(server: Server, path: str) -> Iterator[HTTPResponse]:
    """The answer to a request for *path*, of which the first byte was read."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    with closing(connection):
        connection.request("GET", path)
        with connection.getresponse() as answer:
            assert answer.status == 200
            assert len(answer.read(1)) == 1
            yield answer


def refuses(server: Server) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=10).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # It came while the port was being closed.
        return False
    return False


def wait_for_upload(data: Path) -> None:
    """Until the server has written some of an upload."""
    wait_until(lambda: any(part.stat().st_size for part in (data / "state" / "incoming").glob("*.part")))


def twine_upload(desk: Workstation, server: Server, url: str, file: Path) -> AbstractContextManager[Popen[str]]:
    """twine on its way."""
    words = ["--non-interactive", "--repository-url", url, "-u", server.user, "-p", server.password]
    return desk.running("twine", "upload", *words, str(file))


def pip_download(desk: Workstation, server: Server, folder: Path) -> AbstractContextManager[Popen[str]]:
    """pip on its way, for the project `big`."""
    return desk.running("pip", "download", "--no-deps", "-d", str(folder), "-i", server.simple, "big")


def test_answers_under_way_finish_when_it_is_stopped(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    filename, body = make.wheel("big", "1.0", payload=noise(BIG))
    item, data = upstream.publish("big", filename, body), tmp_path / "data"
    ours = written(tmp_path, *make.wheel("ours", "1.0", payload=noise(BIG)))
    upstream.fault("/packages/", stall_after=HALF)
    with (
        yizhan(data, upstream=upstream.simple) as server,
        relay(server.url, hold_after=HALF) as line,
        twine_upload(desk, server, line.url, ours) as twine,
        pip_download(desk, server, tmp_path / "downloaded") as pip,
    ):
        # By pip, since nobody else has asked yet.
        wait_until(lambda: upstream.asked("/packages/"))
        with begun(server, f"/packages/{item.path}/{filename}") as answer:
            wait_for_upload(data)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses(server))
            assert (server.process.poll(), twine.poll(), pip.poll()) == (None, None, None)
            went_on = time.monotonic()
            upstream.heal()
            line.released.set()
            assert answer.read() == body[1:]
        for client in (pip, twine):
            output, _ = client.communicate(timeout=60)
            assert client.returncode == 0, output
        assert (tmp_path / "downloaded" / filename).read_bytes() == body
        assert server.process.wait(60) == 0
        assert time.monotonic() - went_on < GRACE
        assert "ERROR" not in "\n".join(server.lines)
    with yizhan(data) as server:
        assert f">{ours.name}</a>".encode() in fetch(f"{server.simple}ours/")


def test_a_client_that_never_finishes_does_not_keep_it_running(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    filename, body = make.wheel("big", "1.0", payload=noise(BIG))
    item, data = upstream.publish("big", filename, body), tmp_path / "data"
    ours = written(tmp_path, *make.wheel("ours", "1.0", payload=noise(BIG)))
    upstream.fault("/packages/", stall_after=HALF)
    with (
        yizhan(data, upstream=upstream.simple, config='[server]\ngrace = "1 s"\n') as server,
        relay(server.url, hold_after=HALF) as line,
        twine_upload(desk, server, line.url, ours) as twine,
        begun(server, f"/packages/{item.path}/{filename}") as answer,
    ):
        wait_for_upload(data)
        assert server.stop() == 0
        with pytest.raises((HTTPException, OSError)):
            answer.read()
        line.released.set()
        twine.communicate(timeout=60)
        assert twine.returncode != 0
        assert "Traceback" not in "\n".join(server.lines)
    # The broken upload has left nothing behind, and the broken download is gone on with.
    upstream.heal()
    upstream.log.clear()
    with yizhan(data, upstream=upstream.simple) as server:
        with pytest.raises(HTTPError, match="404"):
            fetch(f"{server.simple}ours/")
        assert fetch(f"{server.url}packages/{item.path}/{filename}") == body
    (asked,) = upstream.asked("/packages/")
    assert int(asked.headers["range"].removeprefix("bytes=").removesuffix("-")) > 0


def test_it_stops_at_once_where_nothing_is_under_way(tmp_path: Path) -> None:
    """Idle connections of clients that may come back are no answers."""
    with yizhan(tmp_path / "data") as server:
        connection = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        connection.request("GET", "/-/health")
        assert connection.getresponse().read() == b"ok\n"
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < GRACE / 2
        connection.close()


# The cache may go


def check_everything(desk: Workstation, server: Server, fresh: str) -> None:
    """Private and public projects install; *fresh* is one that nobody has asked for yet."""
    desk.set_up()
    desk.pip("install", "-i", server.simple, "ours==1.0", "known", fresh)
    assert [desk.version(name) for name in ("ours", "known", fresh)] == ["1.0", "1.0", "1.0"]
    desk.set_up()
    desk.uv("pip", "install", "--default-index", server.simple, "ours==1.0", "known", fresh)
    assert {access.status for access in answered(server) if access.method == "GET"} <= {200, 206, 304}


@pytest.fixture
def projects(upstream: UpstreamServer) -> UpstreamServer:
    for name in ("known", "first", "second", "third"):
        filename, body = make.wheel(name, "1.0", payload=noise(500_000))
        upstream.publish(name, filename, body, metadata=make.metadata(name, "1.0"))
    return upstream


def test_a_cache_deleted_between_runs_costs_a_fetch(
    desk: Workstation, projects: UpstreamServer, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with yizhan(data, upstream=projects.simple) as server:
        upload(desk, server, written(tmp_path, *make.wheel("ours", "1.0")))
        check_everything(desk, server, "first")
        user, password = server.user, server.password
        assert server.stop() == 0
    shutil.rmtree(data / "cache")
    before = len(projects.asked("/packages/"))
    with yizhan(data, upstream=projects.simple) as server:
        check_everything(desk, server, "second")
        # Neither names nor users are forgotten.
        server.user, server.password = user, password
        upload(desk, server, written(tmp_path, *make.wheel("ours", "2.0")))
    # The one question before the first upload of all.
    assert len(projects.asked("/simple/ours/")) == 1
    assert len(projects.asked("/packages/")) > before


def test_a_cache_deleted_while_it_runs_breaks_no_request(
    desk: Workstation, projects: UpstreamServer, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    filename, body = make.wheel("big", "1.0", payload=noise(BIG))
    item = projects.publish("big", filename, body)
    with yizhan(data, upstream=projects.simple) as server:
        upload(desk, server, written(tmp_path, *make.wheel("ours", "1.0")))
        check_everything(desk, server, "first")
        projects.fault(f"/packages/{item.path}", stall_after=HALF)
        with begun(server, f"/packages/{item.path}/{filename}") as answer:
            shutil.rmtree(data / "cache")
            check_everything(desk, server, "first")
            # It keeps things again, too.
            fetched = len(projects.asked("/packages/"))
            check_everything(desk, server, "first")
            assert len(projects.asked("/packages/")) == fetched
            check_everything(desk, server, "second")
            projects.heal()
            assert answer.read() == body[1:]
        upload(desk, server, written(tmp_path, *make.wheel("ours", "2.0")))
        assert ">ours-2.0-py3-none-any.whl</a>" in fetch(f"{server.simple}ours/").decode()
        check_everything(desk, server, "third")
        assert server.stop() == 0
        assert "Traceback" not in "\n".join(server.lines)
