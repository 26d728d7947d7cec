"""Files that come in pieces, from several mirrors at once: each byte once, in order to clients, and right."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.download import Download, Downloads
from proxy.errors import BadDigest, MirrorFailed, NotFound, ProxyError, Unavailable, UpstreamDown
from proxy.fetch import HOLD
from proxy.leftovers import remove_stale_parts
from proxy.segments import Pace
from proxy.simple.model import File
from proxy.transfers import Transfer

from .fakes import MemoryCache, MemoryStore
from .make import file

BODY = random.Random(3).randbytes(1_000_000)
PIECE = 100_000
PACE = Pace(connections=4, above=400_000, smallest=PIECE, largest=PIECE)
WHEEL = file("torch-1.0-py3-none-any.whl", BODY, origin="pypi", url="https://mirror.example/torch")
CHUNK = 10_000


@dataclass
class Mirror:
    """A place that sends its body in chunks, and waits before those bytes that have a gate."""

    name: str
    body: bytes = BODY
    parts: bool = True
    gates: dict[int, asyncio.Event] = field(default_factory=dict)
    break_at: set[int] = field(default_factory=set)
    """Bytes before which a line breaks, once."""
    refuses: type[ProxyError] | None = None
    busy: bool = False
    asked: list[tuple[int, int | None]] = field(default_factory=list)
    open: int = 0
    """Transfers under way."""

    def gate(self, at: int) -> asyncio.Event:
        return self.gates.setdefault(at, asyncio.Event())

    @asynccontextmanager
    async def transfer(self, *, begin: int, end: int | None) -> AsyncIterator[Transfer]:
        self.asked.append((begin, end))
        if self.refuses is not None:
            raise self.refuses(f"{self.name} does not give it.")
        if not self.parts:
            begin, end = 0, None
        self.open += 1
        try:
            chunks = self._chunks(begin, len(self.body) if end is None else end)
            yield Transfer(mirror=self.name, begin=begin, total=len(self.body), chunks=chunks)
        finally:
            self.open -= 1

    async def _chunks(self, begin: int, end: int) -> AsyncIterator[bytes]:
        for at in range(begin, end, CHUNK):
            await asyncio.sleep(0)
            if at in self.gates:
                await self.gates[at].wait()
            if at in self.break_at:
                self.break_at.remove(at)
                raise MirrorFailed(f"{self.name} broke off.")
            yield self.body[at : min(end, at + CHUNK)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self) -> bool:
        """Half a second is over."""
        self.now += 0.5
        return True


class House:
    """Downloads from *mirrors* into *folder*."""

    def __init__(self, folder: Path, *mirrors: Mirror, tries: int = 4, cache: MemoryCache | None = None) -> None:
        self.folder = folder
        self.mirrors = mirrors
        self.cache = cache or MemoryCache()
        self.clock = Clock()
        self.downloads = Downloads(
            folder,
            self,
            self.cache,
            MemoryStore(),
            tries=tries,
            pause=lambda _: 0.0,
            pace=lambda _: PACE,
            clock=self.clock,
        )

    def places(self, file: File, *, avoid: frozenset[str]) -> Sequence[Mirror]:
        return sorted(self.mirrors, key=lambda mirror: mirror.name in avoid)

    async def measure(self, file: File) -> int | None:
        return len(self.mirrors[0].body)

    async def begin(self, wanted: File = WHEEL) -> Download:
        found = await self.downloads.obtain(wanted, wanted.sha256)
        assert isinstance(found, Download)
        return found

    async def read(self, wanted: File = WHEEL) -> bytes:
        """All of it, once it is verified; raises what went wrong."""
        download = await self.begin(wanted)
        while download.sha256 is None:
            await download.grown(download.ready)
        with download.handle() as handle:
            return os.pread(handle.fileno(), download.ready + 1, 0)

    async def settled(self) -> None:
        """Until no download is under way."""
        while self.downloads.under_way:
            await asyncio.sleep(0)

    @property
    def asked(self) -> list[tuple[int, int | None]]:
        return sorted(question for mirror in self.mirrors for question in mirror.asked)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.001)


def pieces(begin: int, end: int) -> list[tuple[int, int]]:
    return [(at, min(end, at + PIECE)) for at in range(begin, end, PIECE)]


async def test_a_big_file_comes_from_all_mirrors_at_once_and_each_byte_of_it_once(tmp_path: Path) -> None:
    house = House(tmp_path, Mirror("one"), Mirror("two"))
    assert await house.read() == BODY
    await house.settled()
    assert house.asked == pieces(0, len(BODY))
    assert all(len(mirror.asked) >= 2 for mirror in house.mirrors)
    assert list(tmp_path.iterdir()) == []
    assert WHEEL.sha256 in house.cache.bodies


async def test_as_many_connections_as_allowed_are_used_over_all_mirrors(tmp_path: Path) -> None:
    one, two = Mirror("one"), Mirror("two")
    for mirror in (one, two):
        for at in range(0, len(BODY), PIECE):
            mirror.gate(at)
    house = House(tmp_path, one, two)
    download = await house.begin()
    await until(lambda: one.open + two.open == PACE.connections)
    assert (one.open, two.open) == (2, 2)
    for mirror in (one, two):
        for gate in mirror.gates.values():
            gate.set()
    await house.settled()
    assert download.sha256 == WHEEL.sha256


async def test_bytes_reach_clients_in_order_as_soon_as_nothing_before_them_is_missing(tmp_path: Path) -> None:
    one, two = Mirror("one"), Mirror("two")
    gate = one.gate(50_000)
    two.gates[50_000] = gate
    end = one.gate(900_000)
    two.gates[900_000] = end
    house = House(tmp_path, one, two)
    download = await house.begin()
    await until(lambda: len(house.asked) == 10 and one.open + two.open == 2)
    assert download.ready == 0  # all but the first piece is here, and the end
    gate.set()
    assert await download.grown(700_000) == 900_000 - HOLD
    end.set()
    assert await download.grown(len(BODY) - 1) == len(BODY)


async def test_what_a_broken_line_left_undone_is_asked_of_another(tmp_path: Path) -> None:
    one = Mirror("one", break_at={40_000})
    house = House(tmp_path, one, Mirror("two"))
    assert await house.read() == BODY
    asked = house.asked
    assert (0, PIECE) in asked
    assert [begin for begin, _ in asked if begin == 40_000] == [40_000]


async def test_one_outage_that_breaks_all_lines_counts_as_one_failure(tmp_path: Path) -> None:
    middles = {at + PIECE // 2 for at in range(0, PACE.connections * PIECE, PIECE)}
    one = Mirror("one", break_at=set(middles))
    for at in middles:
        one.gate(at)
    house = House(tmp_path, one, tries=2)
    download = await house.begin()
    await until(lambda: one.open == PACE.connections)
    for at in middles:
        one.gates[at].set()
    assert await download.grown(len(BODY) - 1) == len(BODY)
    assert middles < {begin for begin, _ in one.asked}


async def test_a_mirror_that_breaks_off_again_and_again_is_not_asked_for_ever(tmp_path: Path) -> None:
    one = Mirror("one", break_at=set(range(CHUNK, len(BODY), CHUNK)))
    house = House(tmp_path, one)
    with pytest.raises(MirrorFailed):
        await house.read()


async def test_all_mirrors_are_asked_before_a_file_is_said_to_be_nowhere(tmp_path: Path) -> None:
    one, two = Mirror("one", refuses=NotFound), Mirror("two", refuses=NotFound)
    house = House(tmp_path, one, two)
    with pytest.raises(NotFound):
        await house.read()
    two.refuses = MirrorFailed
    with pytest.raises(UpstreamDown, match="two does not give it"):
        await house.read()
    two.refuses = None
    assert await house.read() == BODY


async def test_a_mirror_of_another_size_is_left_to_itself(tmp_path: Path) -> None:
    house = House(tmp_path, Mirror("one"), Mirror("two", body=BODY + b"more"))
    assert await house.read() == BODY


@pytest.mark.parametrize("listed", [True, False])
async def test_a_mirror_without_parts_is_one_stream_and_the_others_bring_the_rest(tmp_path: Path, listed: bool) -> None:
    wanted = WHEEL if listed else file(WHEEL.filename, BODY, origin="pypi", url=WHEEL.url, size=None)
    one, two = Mirror("one", parts=False), Mirror("two")
    house = House(tmp_path, one, two)
    assert await house.read(wanted) == BODY
    assert len(one.asked) <= 2
    alone = House(tmp_path / "alone", Mirror("one", parts=False))
    assert await alone.read(wanted) == BODY
    assert [begin for begin, _ in alone.asked if begin] in ([], [PIECE], [2 * PIECE], [len(BODY) // 4])


async def test_a_length_that_a_page_does_not_list_is_learnt_and_the_rest_comes_in_pieces(tmp_path: Path) -> None:
    one, two = Mirror("one"), Mirror("two")
    house = House(tmp_path, one, two)
    assert await house.read(file(WHEEL.filename, BODY, origin="pypi", url=WHEEL.url, size=None)) == BODY
    assert one.asked[0] == (0, None)
    assert len(two.asked) >= 2


async def test_a_stalled_piece_at_the_beginning_is_raced_and_the_loser_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.fetch.TICK", 0.002)
    one, two = Mirror("one"), Mirror("two")
    one.gate(30_000)
    house = House(tmp_path, one, two)
    download = await house.begin()
    await until(lambda: len(house.asked) == 10 and one.open == 1 and two.open == 0)
    assert download.sha256 is None
    await until(lambda: house.clock.passes() and download.sha256 is not None)
    await house.settled()
    assert (30_000, PIECE) in two.asked
    assert one.open == 0


async def test_a_small_file_that_stalls_is_taken_over_by_another_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.fetch.TICK", 0.002)
    small = file("small-1.0-py3-none-any.whl", BODY[:300_000], origin="pypi", url="https://mirror.example/small")
    one, two = Mirror("one", BODY[:300_000]), Mirror("two", BODY[:300_000])
    one.gate(200_000)
    house = House(tmp_path, one, two)
    download = await house.begin(small)
    await download.grown(100_000)
    assert two.asked == []
    await until(lambda: house.clock.passes() and download.sha256 is not None)
    assert (one.asked, two.asked) == ([(0, None)], [(200_000, 300_000)])


async def test_who_waits_for_the_middle_of_a_file_is_served_before_its_beginning_is_whole(tmp_path: Path) -> None:
    """As a client that goes on with what it broke off before."""
    one = Mirror("one")
    for at in range(100_000, len(BODY), PIECE):
        one.gate(at)
    house = House(tmp_path, one)
    download = await house.begin()
    await until(lambda: one.open == PACE.connections)
    waiting = asyncio.create_task(download.grown(700_000))
    await asyncio.sleep(0)
    one.gates[100_000].set()
    await until(lambda: (700_000, 800_000) in one.asked)
    assert (500_000, 600_000) not in one.asked
    one.gates[700_000].set()
    assert await waiting == 800_000 - HOLD
    assert download.ready < 300_000
    for gate in one.gates.values():
        gate.set()
    assert await download.grown(len(BODY) - 1) == len(BODY)


async def test_pieces_that_came_before_their_turn_are_kept_over_a_stop(tmp_path: Path) -> None:
    one = Mirror("one")
    one.gate(50_000)
    one.gate(950_000)
    before = House(tmp_path, one)
    download = await before.begin()
    await until(lambda: one.open == 2 and len(one.asked) == 10)
    await before.downloads.close()
    with pytest.raises(Unavailable):
        await download.grown(0)
    after = House(tmp_path, Mirror("one"))
    assert await after.read() == BODY
    assert after.asked == [(50_000, PIECE), (950_000, None)]
    await after.settled()
    assert list(tmp_path.iterdir()) == []


async def test_a_hole_is_never_taken_for_bytes(tmp_path: Path) -> None:
    """A part whose map is lost is only as good as its digest."""
    one = Mirror("one")
    one.gate(50_000)
    before = House(tmp_path, one)
    await before.begin()
    await until(lambda: one.open == 1 and len(one.asked) == 10)
    await before.downloads.close()
    (tmp_path / f"{WHEEL.sha256}.map").unlink()
    after = House(tmp_path, Mirror("one"))
    with pytest.raises(BadDigest):
        await after.read()
    assert await after.read() == BODY


async def test_a_map_goes_with_its_part_and_is_never_left_alone(tmp_path: Path) -> None:
    names = ("old.part", "old.map", "young.part", "young.map", "lonely.map", "running.map")
    for name in names:
        (tmp_path / name).write_bytes(b"0-1\n")
        os.utime(tmp_path / name, (900, 900) if name.startswith("old") else (1000, 1000))
    assert await remove_stale_parts(tmp_path, MemoryCache(), before=950, spare={"running"}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["running.map", "young.map", "young.part"]


async def test_a_disk_that_fails_fails_the_download_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = os.pwrite, 0

    def pwrite(fd: int, chunk: bytes, offset: int) -> int:
        nonlocal written
        written += len(chunk)
        if written > 500_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, chunk, offset)

    monkeypatch.setattr("proxy.part.os.pwrite", pwrite)
    house = House(tmp_path, Mirror("one"), Mirror("two"))
    with pytest.raises(Unavailable, match="No space left"):
        await house.read()
    await house.settled()
    assert list(tmp_path.iterdir()) == []
    assert [mirror.open for mirror in house.mirrors] == [0, 0]


async def test_no_more_waits_in_memory_than_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(MemoryCache):
        """Its disk takes nothing before `ready`."""

        ready = asyncio.Event()

        async def make_room(self, size: int) -> None:
            await self.ready.wait()

    monkeypatch.setattr("proxy.inlet.MOST", 100_000)
    house = House(tmp_path, one := Mirror("one"), Mirror("two"), cache=Slow())
    await house.begin()
    await until(lambda: one.open > 0)
    await asyncio.sleep(0.1)
    assert max(begin for begin, _ in house.asked) <= 100_000 + PIECE * PACE.connections
    Slow.ready.set()
    assert await house.read() == BODY


async def test_a_file_that_ended_holds_nothing_open(tmp_path: Path) -> None:
    one = Mirror("one", break_at=set(range(CHUNK, len(BODY), CHUNK)))
    house = House(tmp_path, one)
    with pytest.raises(MirrorFailed):
        await house.read()
    await house.settled()
    assert one.open == 0
    assert len(asyncio.all_tasks()) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    breaks=st.lists(st.sets(st.integers(0, 99), max_size=12), min_size=1, max_size=3),
    flip=st.none() | st.tuples(st.integers(0, 2), st.integers(0, len(BODY) - 1)),
    parts=st.lists(st.booleans(), min_size=3, max_size=3),
    listed=st.booleans(),
)
def test_whatever_breaks_and_whoever_lies_a_client_gets_the_right_file_or_none(
    tmp_path: Path, breaks: list[set[int]], flip: tuple[int, int] | None, parts: list[bool], listed: bool
) -> None:
    wanted = WHEEL if listed else file(WHEEL.filename, BODY, origin="pypi", url=WHEEL.url, size=None)

    async def scenario() -> None:
        mirrors = [
            Mirror(f"m{number}", break_at={at * CHUNK for at in places}, parts=parts[number])
            for number, places in enumerate(breaks)
        ]
        if flip is not None and flip[0] < len(mirrors):
            body = bytearray(BODY)
            body[flip[1]] ^= 1
            mirrors[flip[0]].body = bytes(body)
        house = House(tmp_path, *mirrors)
        for _ in range(20):  # what broke once is whole then
            try:
                assert await house.read(wanted) == BODY
                break
            except UpstreamDown:
                continue
        else:
            assert flip is not None
            assert len(mirrors) == 1
        await house.settled()
        await house.downloads.close()
        for left in tmp_path.iterdir():
            left.unlink()

    asyncio.run(scenario())
