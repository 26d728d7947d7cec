"""`yizhan mirrors`, beside a real server and imitated mirrors: what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy import __version__
from proxy.cli import yizhan as command
from proxy.commands.mirrors import show_status
from proxy.status import IndexState, Status, read_status
from proxy.upstream.health import MirrorState

from . import make
from .daemon import yizhan
from .e2e.clients import fetch, wait_until
from .family import Family, family
from .family.samples import BLOCK_CODE, BLOCK_ID, blocked
from .upstream_server import running_upstream

SHORT = 'connect_timeout = "1 s"\nanswer_timeout = "1 s"\nheal = false\nlook_ahead = 0\nnetworks = ["127.0.0.0/8"]\n'


def run(*words: str) -> Result:
    return CliRunner().invoke(command, ["mirrors", *words])


def config(*urls: str, more: str = "") -> str:
    mirrors = ", ".join(f'"{url}"' for url in urls)
    return f"[[index]]\nmirrors = [{mirrors}]\n{SHORT}{more}"


def written(folder: Path, *urls: str, more: str = "") -> str:
    """The path of a configuration file."""
    file = folder / "yizhan.toml"
    file.write_text(config(*urls, more=more))
    return str(file)


@pytest.fixture
def them() -> Iterator[Family]:
    with family() as members:
        members.publish("demo", *make.wheel("demo", "1.0"))
        members.publish("pip", *make.wheel("pip", "99.0"))
        yield members


def free_port() -> int:
    """One at which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_each_mirror_has_a_line_and_a_failure_the_mirrors_own_words(tmp_path: Path, them: Family) -> None:
    them.tuna.fault("/", **blocked())
    with yizhan(tmp_path, config=config(them.tuna.simple, them.aliyun.simple)) as server:
        fetch(f"{server.simple}demo/")
        done = run("--url", server.url)
        assert done.exit_code == 0, "one mirror is well, so is the index"
        title, head, tuna, aliyun, error, *_ = done.stdout.splitlines()
        assert title == "index pypi"
        assert head.split() == ["mirror", "pages", "files", "latency", "speed", "lag", "failed"]
        assert re.search(rf"127\.0\.0\.1:{them.tuna.port}\S* +left alone, \d+ min +\S.* +1 of 1$", tuna), tuna
        assert re.search(rf"127\.0\.0\.1:{them.aliyun.port}\S* +ok +ok +\S+ m?s +\S+ +- +0 of 1$", aliyun), aliyun
        assert BLOCK_CODE in error
        assert BLOCK_ID in error


def test_the_servers_word_is_json_with_each_mirrors_state(tmp_path: Path, them: Family) -> None:
    them.tuna.fault("/", **blocked())
    with yizhan(tmp_path, config=config(them.tuna.simple, them.aliyun.simple)) as server:
        fetch(f"{server.simple}demo/")
        status = read_status(fetch(f"{server.url}-/status"))
        assert status.version == __version__
        assert (status.downloads, [index.name for index in status.indexes]) == (0, ["pypi"])
        tuna, aliyun = status.indexes[0].mirrors
        assert (tuna.url, aliyun.url) == (them.tuna.simple, them.aliyun.simple)
        assert (tuna.pages, aliyun.pages, aliyun.files) == ("open", "closed", "closed")
        assert tuna.pages_retry_in is not None
        assert tuna.pages_retry_in > 60
        assert tuna.last_error is not None
        assert "403" in tuna.last_error
        assert (tuna.asked, tuna.failed, aliyun.asked, aliyun.failed) == (1, 1, 1, 0)
        assert aliyun.latency is not None
        printed = run("--url", server.url, "--json")
        assert printed.exit_code == 0
        assert json.loads(printed.stdout)["indexes"][0]["mirrors"][0]["last_error"] == tuna.last_error


def test_an_index_without_a_mirror_that_is_asked_ends_with_1(tmp_path: Path, them: Family) -> None:
    them.tuna.fault("/", **blocked())
    with yizhan(tmp_path, config=config(them.tuna.simple)) as server:
        assert run("--url", server.url).exit_code == 0
        with pytest.raises(OSError, match="503"):
            fetch(f"{server.simple}demo/")
        wait_until(lambda: run("--url", server.url).exit_code == 1)


def test_the_server_is_found_where_the_configuration_has_it(tmp_path: Path, them: Family) -> None:
    listen = f'[server]\nlisten = ":{free_port()}"\n'
    settings = config(them.aliyun.simple)
    with yizhan(tmp_path, config=listen + settings):
        done = run("--config", str(tmp_path / "config.toml"))
    assert done.exit_code == 0
    assert str(them.aliyun.port) in done.stdout


def test_where_nobody_answers_the_ways_out_are_told(tmp_path: Path) -> None:
    port = free_port()
    done = run("--url", f"http://127.0.0.1:{port}/")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"No server answers at http://127.0.0.1:{port}/-/status (")
    assert "--url" in done.stderr
    assert "--probe" in done.stderr


@pytest.mark.parametrize(
    "url", ["localhost:8080", "localhost", "/run/yizhan", "ftp://127.0.0.1/", "http://", "http://["]
)
def test_what_is_no_url_is_told_as_such(url: str) -> None:
    done = run("--url", url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "--url wants an http:// or https:// URL, as in http://localhost:8080/.\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"raw": b"SSH-2.0-OpenSSH_9.2\r\n"}, "No server answers at "),
        ({"status": 200, "body": b"<html>Welcome to nginx!</html>"}, "is no server of this kind"),
        ({"status": 200, "body": b'{"indexes": 1}'}, "is no server of this kind"),
        ({"status": 404}, "The server answered 404 at "),
    ],
    ids=["SSH", "a web page", "other JSON", "404"],
)
def test_whatever_else_answers_there_is_one_sentence(answer: dict[str, object], said: str) -> None:
    with running_upstream() as up:
        up.fault("/", **answer)
        done = run("--url", f"{up.origin}/")
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_server_wants_a_user_who_is_told_to_nobody_else(tmp_path: Path, them: Family) -> None:
    closed = f'[auth]\nread = "users"\n{config(them.aliyun.simple)}'
    with yizhan(tmp_path, config=closed) as server, running_upstream() as elsewhere:
        done = run("--url", server.url)
        assert done.exit_code == 1
        assert done.stderr == "The server wants a user: --url http://USER:PASSWORD@HOST:PORT/\n"
        host = server.url.removeprefix("http://")
        assert server.password
        assert run("--url", f"http://{server.user}:{server.password}@{host}").exit_code == 0
        with running_upstream() as front:
            front.fault("/", redirect=f"{elsewhere.origin}/-/status")
            run("--url", f"http://{server.user}:{server.password}@127.0.0.1:{front.port}/")
            assert "authorization" in front.log[0].headers
        assert "authorization" not in elsewhere.log[0].headers


def test_no_index_is_no_trouble(tmp_path: Path) -> None:
    with yizhan(tmp_path) as server:
        done = run("--url", server.url)
    assert (done.exit_code, done.stdout) == (0, "No index is set up: only private projects are served.\n")


def test_each_figure_has_its_unit() -> None:
    state = MirrorState(
        name="tuna",
        url="https://tuna.example.org/simple/",
        pages="open",
        files="half-open",
        pages_retry_in=59.94,
        files_retry_in=None,
        latency=0.0234,
        speed=12_340_000,
        lag=3,
        last_error="tuna answered 503.",
        last_error_at=1_700_000_000.0,
        asked=20,
        failed=4,
    )
    status = Status(version="1", up=1.0, downloads=0, indexes=(IndexState(name="pypi", mirrors=(state,)),))
    lines = list(show_status(status, 1_700_000_090.0))
    assert "left alone, 59.9 s  tried again  23 ms    12.3 MB/s  3    4 of 20" in lines[2]
    assert "2023-11-14 22:13:20Z (90.0 s ago): tuna answered 503." in lines[3]


def test_a_look_from_here_needs_no_server_and_names_the_right_url(tmp_path: Path, them: Family) -> None:
    file = written(tmp_path, f"{them.tuna.origin}/pypi/web/", them.aliyun.simple)
    done = run("--config", file, "--probe")
    assert done.exit_code == 0, "one of the two is of use"
    title, wrong, hint, right, gives, lacks, *_ = done.stdout.splitlines()
    assert title == "index pypi"
    assert f"{them.tuna.port}" in wrong
    assert hint.strip() == f"There is an index at {them.tuna.simple}: write that into mirrors."
    assert f"{them.aliyun.port}" in right
    assert ": ok, " in right
    assert gives.split() == ["gives", "hashes,", "files,", "ranges"]
    assert "upload times" in lacks


def test_a_look_that_finds_no_mirror_of_use_ends_with_1(tmp_path: Path, them: Family) -> None:
    them.tuna.refuse()
    done = run("--config", written(tmp_path, them.tuna.simple), "--probe")
    assert done.exit_code == 1
    assert "could not be reached: Connection refused." in done.stdout


def test_an_index_for_certain_names_is_asked_for_one_of_them(tmp_path: Path, them: Family) -> None:
    file = written(tmp_path, them.tuna.simple, more='names = ["nvidia-*", "demo"]\n')
    done = run("--config", file, "--probe")
    assert done.exit_code == 0, done.stdout
    assert [request.path for request in them.tuna.asked(them.tuna.simple_path)] == [f"{them.tuna.simple_path}demo/"]


def test_a_look_asks_about_no_private_name(tmp_path: Path, them: Family) -> None:
    private = '[private]\nreserved = ["demo"]\n'
    file = written(tmp_path, them.tuna.simple, more=f'names = ["demo", "pip"]\n{private}')
    done = run("--config", file, "--probe")
    assert done.exit_code == 0, done.stdout
    assert not [request for request in them.tuna.log if "demo" in request.path]
    file = written(tmp_path, them.tuna.simple, more='names = ["demo"]\n[private]\nreserved = ["demo", "pip"]\n')
    done = run("--config", file, "--probe")
    assert done.exit_code == 1
    assert "reserved" in done.stderr


@pytest.mark.parametrize("other", [["--json"], ["--url", "http://localhost/"]])
def test_a_look_from_here_and_a_question_to_the_server_exclude_each_other(other: list[str]) -> None:
    done = run("--probe", *other)
    assert done.exit_code == 2
    assert "--probe asks no server" in done.stderr
