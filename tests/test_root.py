"""The list of all projects, over real sockets: fetched when asked for, kept, and a prerequisite for nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import Unavailable, UpstreamDown
from proxy.upstream.breaker import Patience
from proxy.upstream.guard import Guard, origin_of
from proxy.upstream.index import Limits, Mirror
from proxy.upstream.mirrors import MirrorSet
from proxy.upstream.root import RETRY, RootList
from proxy.upstream.sessions import open_sessions

from .upstream_server import CAPTIVE, UpstreamServer

FRESH = 3600.0
AUTOINDEX = b'<html><head><title>Index of /simple/</title></head><body><a href="../">../</a></body></html>'


class Times:
    """The machine's clock, which a test may set: the list's age is that of its file."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead


@asynccontextmanager
async def root_list(
    folder: Path, *ups: UpstreamServer, times: Times | None = None, patience: float = 5.0, **limits: Any
) -> AsyncIterator[RootList]:
    async with open_sessions(
        guard=Guard(own=[origin_of(up.origin) for up in ups]), user_agent="yizhan/1", connect=2
    ) as sessions:
        made = [
            Mirror(name=name, base=up.simple, sessions=sessions, limits=Limits(**{"connect": 2, "answer": 5, **limits}))
            for name, up in zip(("one", "two"), ups, strict=False)
        ]
        mirrors = MirrorSet("pypi", made, patience=Patience(), now=time.time, clock=time.monotonic, chance=lambda: 0.0)
        root = RootList(mirrors, folder, fresh=FRESH, patience=patience, now=(times or Times()).now)
        yield root
        await root.close()


@pytest.fixture
async def up() -> AsyncIterator[UpstreamServer]:
    async with UpstreamServer() as server:
        server.publish("Demo.One", "Demo.One-1.0.tar.gz", b"one")
        server.publish("other", "other-1.0.tar.gz", b"two")
        yield server


async def names(root: RootList) -> list[str]:
    blob = await root.open()
    with blob.handle as handle:
        body = handle.read()
    assert blob.size == len(body)
    assert blob.sha256 == hashlib.sha256(body).hexdigest()
    assert body == b"" or body.endswith(b"\n")
    return body.decode().split()


async def settled(root: RootList) -> None:
    """Until no fetch is under way."""
    while root._fetching is not None and not root._fetching.done():
        await asyncio.wait([root._fetching])


@pytest.mark.parametrize("kind", ["json", "html"])
@pytest.mark.parametrize("packed", [False, True])
async def test_all_names_are_listed_normalised_in_the_order_of_the_index(
    tmp_path: Path, kind: Any, packed: bool
) -> None:
    async with UpstreamServer(kind=kind, packed=packed) as up, root_list(tmp_path / "names", up) as root:
        for name in ("zlib", "Demo.One", "a"):
            up.publish(name, f"{name}-1.0.tar.gz", b"one")
        assert await names(root) == ["zlib", "demo-one", "a"]
        assert os.stat(tmp_path / "names").st_mode & 0o777 == 0o700
        assert os.stat(tmp_path / "names" / "pypi.names").st_mode & 0o777 == 0o600


async def test_nothing_is_asked_before_somebody_asks(tmp_path: Path, up: UpstreamServer) -> None:
    async with root_list(tmp_path / "names", up) as root:
        assert up.log == []
        assert not (tmp_path / "names").exists()
        await names(root)
        await names(root)
        assert len(up.log) == 1


async def test_an_old_list_is_answered_at_once_while_the_next_one_is_fetched(
    tmp_path: Path, up: UpstreamServer
) -> None:
    times = Times()
    async with root_list(tmp_path, up, times=times) as root:
        await names(root)
        fault = up.fault("/simple/", silent=True)
        up.publish("third", "third-1.0.tar.gz", b"three")
        times.ahead = FRESH + 10
        for _ in range(3):
            assert await names(root) == ["demo-one", "other"]
        fault.lifted.set()
        await settled(root)
        assert len(up.log) == 2
        times.ahead = 0
        assert await names(root) == ["demo-one", "other", "third"]


async def test_a_clock_that_was_set_back_makes_the_list_old(tmp_path: Path, up: UpstreamServer) -> None:
    times = Times()
    async with root_list(tmp_path, up, times=times) as root:
        await names(root)
        times.ahead = -365 * 24 * 3600
        await names(root)
        await settled(root)
        assert len(up.log) == 2


async def test_a_clock_that_was_set_back_after_a_failed_fetch_puts_the_next_one_off_no_longer(
    tmp_path: Path, up: UpstreamServer
) -> None:
    times = Times()
    async with root_list(tmp_path, up, times=times) as root:
        await names(root)
        up.fault("/simple/", status=500, times=1)
        times.ahead = 365 * 24 * 3600
        for _ in range(3):
            await names(root)
            await settled(root)
        assert len(up.log) == 2
        times.ahead = -365 * 24 * 3600
        await names(root)
        await settled(root)
        assert len(up.log) == 3


async def test_a_restart_keeps_the_list_and_an_outage_does_not_take_it_away(tmp_path: Path, up: UpstreamServer) -> None:
    async with root_list(tmp_path, up) as root:
        await names(root)
    up.refuse()
    times = Times()
    async with root_list(tmp_path, up, times=times) as root:
        assert await names(root) == ["demo-one", "other"]
        times.ahead = 365 * 24 * 3600
        for _ in range(3):
            assert await names(root) == ["demo-one", "other"]
            await settled(root)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 404},
        {"status": 403},
        CAPTIVE,
        {"status": 200, "body": AUTOINDEX},
        {"status": 200, "body": b"hello"},
        {"status": 200, "body": b""},
        {"status": 200, "body": b'{"meta": {"api-version": "2.0"}, "projects": [{"name": "a"}]}'},
        {"status": 200, "body": b'{"meta": {"api-version": "1.0"}, "projects": [{"name": "a"},'},
        {"cut_after": 60},
        {"cut_after": 60, "reset": True},
        {"cut_after": 60, "framing": "chunked"},
        {"cut_after": 60, "framing": "close"},
        {"stall_after": 60},
        {"headers": {"Content-Encoding": "zstd"}},
        {"headers": {"Content-Encoding": "gzip"}},
        {"redirect": "/simple/"},
    ],
    ids=lambda fault: "-".join(f"{key}={str(value)[:20]}" for key, value in fault.items()),
)
async def test_a_list_that_is_none_or_incomplete_is_taken_from_the_next_mirror_or_from_none(
    tmp_path: Path, up: UpstreamServer, fault: dict[str, Any]
) -> None:
    up.fault("/simple/", **fault)
    async with UpstreamServer() as two:
        two.publish("second", "second-1.0.tar.gz", b"second")
        async with root_list(tmp_path / "both", up, two, stall=0.2) as root:
            assert await names(root) == ["second"]
    async with root_list(tmp_path / "alone", up, stall=0.2) as root:
        for _ in range(2):
            with pytest.raises(UpstreamDown, match="No mirror of pypi lists its projects now"):
                await names(root)
        up.heal()
        assert await names(root) == ["demo-one", "other"]


async def test_a_list_in_html_that_was_cut_is_noticed_though_nothing_told_its_length(tmp_path: Path) -> None:
    async with UpstreamServer(kind="html") as up:
        for number in range(20):
            up.publish(f"p{number}", f"p{number}-1.0.tar.gz", b"%d" % number)
        whole = len(up.listing.root(as_json=False))
        async with root_list(tmp_path, up) as root:
            for cut in (whole // 2, whole - 40, 200):
                up.fault("/simple/", cut_after=cut, framing="close")
                with pytest.raises(UpstreamDown):
                    await names(root)


async def test_a_failed_fetch_leaves_the_list_as_it_was(tmp_path: Path, up: UpstreamServer) -> None:
    times = Times()
    async with root_list(tmp_path, up, times=times) as root:
        await names(root)
        up.fault("/simple/", cut_after=60)
        times.ahead = FRESH + 10
        for _ in range(3):
            assert await names(root) == ["demo-one", "other"]
            await settled(root)
        assert len(up.log) == 2  # tens of megabytes are not tried for again at once
        times.ahead += RETRY + 1
        await names(root)
        await settled(root)
        assert len(up.log) == 3


async def test_a_list_beyond_its_limit_is_refused(tmp_path: Path, up: UpstreamServer) -> None:
    up.fault("/simple/", status=200, body=b'{"projects": [' + b'{"name": "a"},' * 100_000)
    async with root_list(tmp_path, up, max_root=100_000) as root:
        with pytest.raises(UpstreamDown, match="more than the 100000 bytes"):
            await names(root)


async def test_the_first_list_is_waited_for_only_so_long_and_comes_later(tmp_path: Path, up: UpstreamServer) -> None:
    fault = up.fault("/simple/", silent=True)
    async with root_list(tmp_path, up, patience=0.05) as root:
        with pytest.raises(UpstreamDown, match="still being fetched"):
            await names(root)
        fault.lifted.set()
        await settled(root)
        assert await names(root) == ["demo-one", "other"]
        assert len(up.log) == 1


async def test_many_who_ask_at_once_cost_one_fetch(tmp_path: Path, up: UpstreamServer) -> None:
    fault = up.fault("/simple/", silent=True)
    async with root_list(tmp_path, up) as root:
        asking = [asyncio.create_task(names(root)) for _ in range(100)]
        while not up.log:
            await asyncio.sleep(0)
        fault.lifted.set()
        assert await asyncio.gather(*asking) == [["demo-one", "other"]] * 100
        assert len(up.log) == 1


async def test_a_reader_keeps_the_list_it_began_with(tmp_path: Path, up: UpstreamServer) -> None:
    times = Times()
    async with root_list(tmp_path, up, times=times) as root:
        blob = await root.open()
        up.publish("third", "third-1.0.tar.gz", b"three")
        times.ahead = FRESH + 10
        assert await names(root) == ["demo-one", "other"]
        await settled(root)
        times.ahead = 0
        assert await names(root) == ["demo-one", "other", "third"]
        with blob.handle as handle:
            assert handle.read() == b"demo-one\nother\n"


async def test_the_cache_folder_may_go_at_any_time(tmp_path: Path, up: UpstreamServer) -> None:
    async with root_list(tmp_path / "names", up) as root:
        await names(root)
        os.unlink(tmp_path / "names" / "pypi.names")
        os.rmdir(tmp_path / "names")
        assert await names(root) == ["demo-one", "other"]


async def test_a_folder_that_cannot_be_written_is_said_and_not_taken_for_an_empty_list(
    tmp_path: Path, up: UpstreamServer
) -> None:
    (tmp_path / "names").write_bytes(b"a file")
    async with root_list(tmp_path / "names", up) as root:
        with pytest.raises(Unavailable, match=r"list of all projects cannot be (kept|read)"):
            await names(root)


async def test_a_planted_link_is_not_written_through(tmp_path: Path, up: UpstreamServer) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "pypi.new").symlink_to(tmp_path / "victim")
    async with root_list(tmp_path / "names", up) as root:
        with pytest.raises(Unavailable):
            await names(root)
    assert (tmp_path / "victim").read_bytes() == b"precious"


async def test_a_big_list_is_read_as_it_comes(tmp_path: Path, up: UpstreamServer) -> None:
    many = [f"project-{number}" for number in range(200_000)]
    body = json.dumps({"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in many]}).encode()
    up.fault("/simple/", status=200, body=body)
    async with root_list(tmp_path, up) as root:
        assert await names(root) == many


async def test_closing_ends_a_fetch_under_way(tmp_path: Path, up: UpstreamServer) -> None:
    up.fault("/simple/", silent=True)
    async with root_list(tmp_path, up, patience=0.01) as root:
        with pytest.raises(UpstreamDown):
            await names(root)
        task = root._fetching
        await root.close()
        assert task is not None
        assert task.cancelled()
