"""Where commands have their work done: by the server that holds the folder, over its socket, or by themselves."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from proxy.administration import (
    Action,
    Administration,
    CreateToken,
    Delete,
    Done,
    ListNames,
    ListTokens,
    Mark,
    Readmit,
    Release,
    Reserve,
    RevokeTokens,
    Unyank,
    Yank,
)
from proxy.commands.office import office
from proxy.config import Flags, Settings, load
from proxy.errors import ProxyError, StoreDown, Unavailable
from proxy.policy import Policy
from proxy.publishing import Publishing
from proxy.storage.disk_store import DiskStore, lock
from proxy.web import control
from proxy.web.control import NAME, NobodyListens, asking, listening

from .daemon import clean_environment, run, yizhan
from .make import sdist, wheel

SECOND = 0.2
"""Seconds of patience with a folder that nobody lets go of."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Deeper than the address of a unix socket is long."""
    return tmp_path / ("deep" * 30)


def settings_of(data: Path) -> Settings:
    flags = Flags(data=data)
    return load(None, environment={"HOME": "/home/wang"}, flags=flags).settings


def administration_of(store: DiskStore) -> Administration:
    publishing = Publishing(store=store, names=store, upstream=None, policy=Policy())
    return Administration(publishing=publishing, people=store, now=lambda: datetime.now(UTC))


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator[DiskStore]:
    """What a server does: it holds the folder, and listens."""
    store = await asyncio.to_thread(DiskStore, data / "state", now=lambda: datetime.now(UTC))
    try:
        async with listening(data / "state", administration_of(store)):
            yield store
    finally:
        await store.close()


async def perform(data: Path, action: Action, *, new: bool = True) -> Done:
    async with office(settings_of(data), new=new, patience=SECOND) as opened:
        return await opened.perform(action)


ACTIONS: list[Action] = [
    Reserve(project="Acme.SDK"),
    Reserve(project="acme-s-dk"),
    ListNames(),
    Mark(project="acme-sdk", status="deprecated", reason="用 acme-new"),
    Mark(project="nobodys", status="archived"),
    Yank(project="acme-sdk", version="1.0", reason="broken"),
    Unyank(project="acme-sdk", filename="acme_sdk-1.0-py3-none-any.whl"),
    Delete(project="acme-sdk"),
    Readmit(filename="acme_sdk-1.0-py3-none-any.whl"),
    Readmit(filename="../x"),
    Release(project="acme-sdk"),
    Release(project="acme-sdk"),
    CreateToken(user="wang", scope=("acme-*",), lasts=60.0, note="CI"),
    CreateToken(user="wang", scope=("acme*",)),
    ListTokens(),
    RevokeTokens(user="wang"),
    RevokeTokens(ids=("nobodys",)),
]


async def outcomes(data: Path) -> list[object]:
    """What came of each action, less what is another each time."""
    found = list[object]()
    for action in ACTIONS:
        try:
            done = msgspec.to_builtins(await perform(data, action))
        except ProxyError as error:
            found.append((type(error), str(error)))
            continue
        for token in done.get("tokens", ()):
            token.update(id="", created="", expires="", revoked=token["revoked"] is not None)
        for name in done.get("names", ()):
            name["reserved"] = name["reserved"] is not None
        found.append({**done, "secret": "secret" in done})
    return found


async def test_the_results_and_the_errors_are_the_same_with_a_server_and_without(data: Path, tmp_path: Path) -> None:
    data.mkdir()
    async with serving(data):
        with_server = await outcomes(data)
    without = await outcomes(tmp_path / "without")
    assert with_server == without
    assert {type(one) for one in without} == {dict, tuple}  # some were done, and some refused


async def test_with_a_server_it_is_the_server_that_does_it(data: Path) -> None:
    async with serving(data) as store:
        await perform(data, Reserve(project="acme-sdk"))
        assert await store.claimed() == {"acme-sdk"}
    async with office(settings_of(data)) as opened:
        done = await opened.perform(ListNames())
    assert [one.name for one in done.names or ()] == ["acme-sdk"]


async def test_the_socket_is_for_its_owner_alone_and_gone_with_the_server(data: Path) -> None:
    path = data / "state" / NAME
    async with serving(data):
        found = path.stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_socket_that_a_crash_left_is_in_nobodys_way(data: Path) -> None:
    state = data / "state"
    state.mkdir(parents=True, mode=0o700)
    bound = await asyncio.to_thread(control._bound, state)
    bound.close()  # as a kill does: the name stays
    assert (state / NAME).exists()
    await perform(data, Reserve(project="acme-one"))
    async with serving(data) as store:
        await perform(data, Reserve(project="acme-two"))
        assert await store.claimed() == {"acme-one", "acme-two"}


ASK = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
asked = socket.socket(socket.AF_UNIX)
asked.connect(f"/proc/self/fd/{sys.argv[1]}/control.sock")
asked.sendall(b"GET /-/api/names HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
while part := asked.recv(4096):
    print(part.decode(), end="")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_another_user_is_refused_even_where_the_modes_would_let_him_in(data: Path) -> None:
    async with serving(data):
        state = os.open(data / "state", os.O_PATH)
        os.chmod(data / "state", 0o711)
        os.chmod(data / "state" / NAME, 0o666)
        try:
            for user, says in ((0, "HTTP/1.1 200 OK"), (65534, "HTTP/1.1 403 Only root and")):
                words = [sys.executable, "-S", "-c", ASK, str(state), str(user)]
                done = await asyncio.to_thread(
                    subprocess.run, words, pass_fds=[state], capture_output=True, text=True, timeout=60
                )
                assert done.stdout.startswith(says), done.stderr
        finally:
            os.close(state)


async def test_a_folder_without_a_store_is_not_made_by_who_only_looks(data: Path) -> None:
    with pytest.raises(StoreDown, match="There is no store in"):
        await perform(data, ListNames(), new=False)
    assert not data.exists()
    await perform(data, Reserve(project="acme-sdk"), new=True)
    assert (await perform(data, ListNames(), new=False)).names


async def test_a_folder_that_another_command_holds_is_waited_for(data: Path) -> None:
    await perform(data, Reserve(project="acme-sdk"))
    held = lock(data / "state" / "lock")
    asyncio.get_running_loop().call_later(0.3, os.close, held)
    async with office(settings_of(data)) as opened:
        assert (await opened.perform(ListNames())).names


async def test_a_folder_that_is_held_for_long_is_told_in_a_sentence(data: Path) -> None:
    await perform(data, Reserve(project="acme-sdk"))
    held = lock(data / "state" / "lock")
    try:
        with pytest.raises(StoreDown, match="another command at work"):
            await perform(data, ListNames())
    finally:
        os.close(held)


async def test_a_store_that_is_damaged_is_told_at_once_as_what_it_is(data: Path) -> None:
    await perform(data, Reserve(project="acme-sdk"))
    (data / "state" / "store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreDown, match="damaged"):
        await perform(data, ListNames())


async def test_a_server_that_ends_in_the_middle_is_told_in_a_sentence(data: Path) -> None:
    state = data / "state"
    state.mkdir(parents=True)
    bound = await asyncio.to_thread(control._bound, state)

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_unix_server(hang_up, sock=bound), asking(state) as ask:
        with pytest.raises(Unavailable, match="look whether it runs"):
            await ask.perform(ListNames())


async def test_what_answers_otherwise_is_a_server_of_another_version(data: Path) -> None:
    state = data / "state"
    state.mkdir(parents=True)
    bound = await asyncio.to_thread(control._bound, state)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        writer.close()

    async with await asyncio.start_unix_server(answer, sock=bound), asking(state) as ask:
        with pytest.raises(Unavailable, match="another version"):
            await ask.perform(ListNames())


async def test_a_folder_that_takes_no_sockets_leaves_a_server_without_commands(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "state" / NAME).mkdir(parents=True)
    (data / "state").chmod(0o700)
    async with serving(data) as store:
        assert await store.claimed() == frozenset()
        with pytest.raises((NobodyListens, OSError)):
            async with asking(data / "state"):
                pass
    assert [record.message for record in caplog.records if "Commands cannot reach this server" in record.message]


async def test_a_fault_of_ours_is_a_sentence_and_its_traceback_is_in_the_servers_log(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_words: object) -> Done:
        raise ZeroDivisionError

    async with serving(data):
        monkeypatch.setattr(Administration, "perform", fail)
        with pytest.raises(ProxyError, match="Something went wrong inside the server"):
            await perform(data, ListNames())
    assert "ZeroDivisionError" in caplog.text


# A real server, and real commands beside it.


def command(data: Path, *words: str, stdin: str = "", ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *words, "--data", str(data)],
        env=clean_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not ok or done.returncode == 0, done.stderr
    return done


def names(data: Path) -> list[tuple[str, str]]:
    listed = json.loads(command(data, "names", "list", "--json").stdout)
    return [(one["name"], one["state"]) for one in listed["names"]]


@contextmanager
def uploaded(data: Path) -> Iterator[None]:
    """A server with two releases of acme-sdk."""
    with yizhan(data) as server:
        for filename, body in (wheel("acme-sdk", "1.0"), wheel("acme-sdk", "2.0"), sdist("acme-sdk", "2.0")):
            (data / filename).write_bytes(body)
            words = ("-u", server.user, "-p", server.password, str(data / filename))
            run("twine", "upload", "--repository-url", server.url, *words)
        yield


def test_commands_work_beside_a_real_server_and_without_it(data: Path) -> None:
    with uploaded(data):
        assert command(data, "yank", "acme-sdk", "2.0", "--reason", "broken").stdout.count("yanked: ") == 2
        command(data, "names", "reserve", "acme-new")
        assert names(data) == [("acme-new", "reserved"), ("acme-sdk", "private")]
        would = command(data, "delete", "acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
        assert would.stdout.startswith("would delete: acme_sdk-1.0-py3-none-any.whl\nNothing was deleted.")
        assert names(data) == [("acme-new", "reserved"), ("acme-sdk", "private")]
    # Killed: its socket is there still.
    assert (data / "state" / NAME).exists()
    assert command(data, "unyank", "acme-sdk", "2.0").stdout.count("unyanked: ") == 2
    assert command(data, "delete", "acme-sdk", "--yes").stdout.count("deleted: ") == 3
    assert names(data) == [("acme-new", "reserved"), ("acme-sdk", "emptied")]
    command(data, "names", "release", "acme-sdk", "--yes")
    assert names(data) == [("acme-new", "reserved")]


def test_the_servers_log_has_a_line_for_what_a_command_changed(data: Path) -> None:
    with yizhan(data) as server:
        command(data, "names", "reserve", "acme-new")
        wanted = f"INFO proxy.administration: operator (uid {os.geteuid()}) reserved acme-new"
        until = time.monotonic() + 10
        while not any(wanted in line for line in server.lines) and time.monotonic() < until:
            time.sleep(0.05)
        assert any(wanted in line for line in server.lines), server.lines


def test_a_token_made_on_the_machine_works_over_http_until_it_is_revoked(data: Path) -> None:
    rights = '[[right]]\nuser = "yizhan"\nnames = ["acme-*"]\nmay = ["admin"]\n'
    with yizhan(data, config=rights) as server:
        secret = command(data, "token", "create", "--user", "yizhan", "--admin").stdout.strip()

        def reserve(name: str, **fields: str) -> int:
            fields = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", **fields}
            body = json.dumps({"project": name}).encode()
            request = urllib.request.Request(f"{server.url}-/api/reserve", body, fields)
            try:
                with urllib.request.urlopen(request) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        assert reserve("acme-one") == 200
        assert reserve("other") == 403
        assert reserve("acme-two", **{"Sec-Fetch-Site": "cross-site"}) == 403
        assert names(data) == [("acme-one", "reserved")]
        command(data, "token", "revoke", secret.split("_")[1])
        assert reserve("acme-two") == 401
        assert server.stop() == 0
    assert not (data / "state" / NAME).exists()


def test_commands_given_at_the_same_moment_wait_for_each_other(data: Path) -> None:
    wanted = [f"acme-{number}" for number in range(4)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "proxy", "names", "reserve", name, "--data", str(data)], env=clean_environment()
        )
        for name in wanted
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0, 0]
    assert names(data) == [(name, "reserved") for name in wanted]
