"""Which mirrors are blamed for a wrong file, and that an honest one is found in the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from proxy.doubts import EARLIER, Doubts
from proxy.download import HOLD, Download, Downloads, Transfer
from proxy.errors import BadDigest, MirrorFailed, UpstreamDown
from proxy.simple.model import File
from proxy.storage import Blob

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
        self._mirrors = mirrors
        self.asked: list[tuple[str, int]] = []

    @asynccontextmanager
    async def transfer(self, file: File, *, offset: int, avoid: frozenset[str]) -> AsyncIterator[Transfer]:
        name = min(self._mirrors, key=lambda name: name in avoid)
        self.asked.append((name, offset))
        body, breaks = self._mirrors[name]
        yield Transfer(
            mirror=name, offset=offset, total=len(body), etag=None, chunks=_chunks(name, body[offset:], breaks)
        )

    async def measure(self, file: File) -> int | None:
        raise AssertionError("not asked here")


async def _chunks(name: str, body: bytes, breaks: int | None) -> AsyncIterator[bytes]:
    for begin in range(0, len(body[:breaks]), CHUNK):
        yield body[:breaks][begin : begin + CHUNK]
    if breaks is not None and breaks < len(body):
        raise MirrorFailed(f"{name} broke off.")


def flipped(at: int) -> bytes:
    return BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]


async def requests_until_right(folder: Path, mirrors: Mirrors, most: int = 5) -> int:
    """How many times a client asks, one after the other, before he gets the file."""
    downloads = Downloads(folder, mirrors, MemoryCache(), MemoryStore(), tries=4, pause=lambda _: 0.0)
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

    class Boaster(Mirrors):
        @asynccontextmanager
        async def transfer(self, file: File, *, offset: int, avoid: frozenset[str]) -> AsyncIterator[Transfer]:
            async with super().transfer(file, offset=offset, avoid=avoid) as transfer:
                yield replace(transfer, total=len(BODY) + more)

    downloads = Downloads(tmp_path, Boaster(one=HONEST), MemoryCache(), MemoryStore(), pause=lambda _: 0.0)
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
    assert first.doubts.avoided() == set()
