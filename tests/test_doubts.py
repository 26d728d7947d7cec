"""Which mirrors are blamed for a wrong file, and that an honest one is found in the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from proxy.doubts import EARLIER, Doubts
from proxy.download import PACE, Download, Downloads
from proxy.errors import BadDigest, MirrorFailed, UpstreamDown
from proxy.fetch import HOLD
from proxy.segments import Pace
from proxy.simple.model import File
from proxy.storage import Blob
from proxy.transfers import Transfer

from .fakes import MemoryCache, MemoryStore
from .make import file

BODY = os.urandom(1_000_000)
WHEEL = file("numpy-1.0-py3-none-any.whl", BODY, origin="pypi", url="https://mirror.example/numpy")
CHUNK = 64 * 1024


@pytest.mark.parametrize(
    ("used", "avoided"),
    [
        ([["one"]], {"one"}),
        ([["one", "one"]], {"one"}),
        ([["one", "two"]], {"one"}),
        ([["one", "two", "three"]], {"one", "two"}),
        ([["one", "two", "one"]], {"one", "two"}),
        ([["one"], ["two"]], {"one", "two"}),
        ([[EARLIER]], set()),
        ([[EARLIER, "one"]], {"one"}),
        ([[EARLIER, "one", "two"]], {"one"}),
        # To have sent all of a wrong file is proof, and takes the suspicion off the others.
        ([["one", "two"], ["two"]], {"two"}),
        ([["two"], ["one", "two"]], {"two"}),
        ([[EARLIER, "one"], ["two"]], {"two"}),
    ],
    ids=str,
)
def test_who_had_a_part_in_a_wrong_file_is_asked_last(used: list[list[str]], avoided: set[str]) -> None:
    doubts = Doubts()
    assert doubts.avoided() == set()
    for mirrors in used:
        doubts.blame(mirrors)
    assert doubts.avoided() == avoided


class Mirrors:
    """Mirrors in their order: each with its body, and the bytes after which its line breaks, if it does."""

    def __init__(self, **mirrors: tuple[bytes, int | None]) -> None:
        self.mirrors = mirrors
        self.asked: list[tuple[str, int]] = []
        self.boast = 0
        """What each says that it has more bytes than it has."""

    def places(self, file: File, *, avoid: frozenset[str]) -> Sequence[OnePlace]:
        return [OnePlace(name, self) for name in sorted(self.mirrors, key=lambda name: name in avoid)]

    async def measure(self, file: File) -> int | None:
        raise AssertionError("not asked here")


@dataclass
class OnePlace:
    name: str
    mirrors: Mirrors
    busy: bool = False

    @asynccontextmanager
    async def transfer(self, *, begin: int, end: int | None) -> AsyncIterator[Transfer]:
        self.mirrors.asked.append((self.name, begin))
        body, breaks = self.mirrors.mirrors[self.name]
        total = len(body) + self.mirrors.boast
        yield Transfer(mirror=self.name, begin=begin, total=total, chunks=_chunks(self.name, body[begin:end], breaks))


async def _chunks(name: str, body: bytes, breaks: int | None) -> AsyncIterator[bytes]:
    for begin in range(0, len(body[:breaks]), CHUNK):
        yield body[:breaks][begin : begin + CHUNK]
        await asyncio.sleep(0)  # so that the others come to bring something too
    if breaks is not None and breaks < len(body):
        raise MirrorFailed(f"{name} broke off.")


def flipped(at: int) -> bytes:
    return BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]


async def requests_until_right(folder: Path, mirrors: Mirrors, *, pace: Pace = PACE, most: int = 5) -> int:
    """How many times a client asks, one after the other, before he gets the file."""
    downloads = Downloads(
        folder, mirrors, MemoryCache(), MemoryStore(), tries=4, pause=lambda _: 0.0, pace=lambda _: pace
    )
    for count in range(1, most + 1):
        found = await downloads.obtain(WHEEL, WHEEL.sha256)
        assert isinstance(found, Download)
        with suppress(BadDigest):
            await found.grown(len(BODY) - 1)
        if found.sha256 is not None:
            handle = found.handle()
            assert await asyncio.to_thread(os.pread, handle.fileno(), len(BODY), 0) == BODY
            handle.close()
            return count
        assert found.ready <= len(BODY) - HOLD
        while downloads.under_way:
            await asyncio.sleep(0)
    return most + 1


LIES = flipped(10), None
LIES_LATE = flipped(900_000), None
LIES_AND_BREAKS = flipped(10), 400_000
HONEST = BODY, None
BREAKS = BODY, 400_000
BREAKS_EARLY = BODY, 1000


@pytest.mark.parametrize(
    ("mirrors", "most"),
    [
        ([HONEST, LIES], 1),
        ([LIES, HONEST], 2),
        ([LIES_LATE, LIES, HONEST], 3),
        ([LIES_AND_BREAKS, HONEST], 2),
        ([LIES_AND_BREAKS, LIES_AND_BREAKS, HONEST], 2),
        ([BREAKS, LIES_LATE], 3),
        ([BREAKS, HONEST, LIES], 1),
        ([BREAKS_EARLY, LIES_LATE, HONEST], 3),
        ([LIES, BREAKS], 2),
        ([LIES, BREAKS_EARLY, HONEST], 2),
    ],
)
async def test_an_honest_mirror_is_found_within_a_few_requests(
    tmp_path: Path, mirrors: Sequence[tuple[bytes, int | None]], most: int
) -> None:
    named = dict(zip(("one", "two", "three"), mirrors, strict=False))
    assert await requests_until_right(tmp_path, Mirrors(**named)) <= most


PIECES = Pace(above=500_000, smallest=50_000, largest=50_000)


@pytest.mark.parametrize(
    ("mirrors", "most"),
    [
        ([LIES, HONEST], 3),
        ([HONEST, LIES], 2),
        ([LIES_LATE, HONEST, HONEST], 3),
        ([HONEST, HONEST, LIES_LATE], 2),
        ([LIES, LIES_LATE, HONEST], 4),
        ([LIES_AND_BREAKS, HONEST], 3),
    ],
)
async def test_a_liar_among_mirrors_that_bring_a_file_together_is_found_by_asking_one_at_a_time(
    tmp_path: Path, mirrors: Sequence[tuple[bytes, int | None]], most: int
) -> None:
    """In one try after the mixture for each that lies, and one for the honest one."""
    named = Mirrors(**dict(zip(("one", "two", "three"), mirrors, strict=False)))
    assert await requests_until_right(tmp_path, named, pace=PIECES) <= most


def test_when_several_brought_a_wrong_file_together_nobody_is_blamed_before_it_is_known_who_lied() -> None:
    doubts = Doubts()
    assert not doubts
    doubts.blame(["one", "two", "one"], mingled=True)
    assert (doubts.apart, doubts.avoided()) == (True, set())
    doubts.blame(["one"])
    assert (doubts.apart, doubts.avoided()) == (True, {"one"})
    assert doubts


async def test_the_wrong_beginning_that_an_earlier_life_left_is_found_out(tmp_path: Path) -> None:
    (tmp_path / f"{WHEEL.sha256}.part").write_bytes(flipped(10)[:500_000])
    mirrors = Mirrors(one=HONEST)
    assert await requests_until_right(tmp_path, mirrors) == 2
    assert mirrors.asked == [("one", 500_000), ("one", 0)]


async def test_a_mirror_that_brings_much_before_it_breaks_off_is_asked_for_the_rest(tmp_path: Path) -> None:
    mirrors = Mirrors(one=LIES, two=BREAKS)
    assert await requests_until_right(tmp_path, mirrors) == 2
    assert mirrors.asked == [("one", 0), ("two", 0), ("two", 400_000), ("two", 800_000)]


@pytest.mark.parametrize("more", [10, HOLD, 500_000])
async def test_a_size_that_a_mirror_made_up_costs_those_who_were_told_it_and_nobody_else(
    tmp_path: Path, more: int
) -> None:
    """Its page lists no size, and the mirror says more than there is: whoever began to read is cut, and all is kept."""
    unsized = msgspec.structs.replace(WHEEL, size=None)
    boaster = Mirrors(one=HONEST)
    boaster.boast = more
    downloads = Downloads(tmp_path, boaster, MemoryCache(), MemoryStore(), pause=lambda _: 0.0)
    first = await downloads.obtain(unsized, WHEEL.sha256)
    assert isinstance(first, Download)
    with pytest.raises(UpstreamDown):
        await first.grown(len(BODY) - HOLD)
    while downloads.under_way:
        await asyncio.sleep(0)
    again = await downloads.obtain(unsized, WHEEL.sha256)
    assert isinstance(again, Blob)
    assert again.size == len(BODY)
    again.handle.close()


async def test_a_file_that_came_right_is_not_doubted(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path, Mirrors(one=BREAKS, two=HONEST), MemoryCache(), MemoryStore(), pause=lambda _: 0.0)
    first = await downloads.obtain(WHEEL, WHEEL.sha256)
    assert isinstance(first, Download)
    await first.grown(len(BODY) - 1)
    while downloads.under_way:
        await asyncio.sleep(0)
    again = await downloads.obtain(WHEEL, WHEEL.sha256)
    assert isinstance(again, Blob)
    again.handle.close()
    assert not downloads._doubts
