"""Small parts of files that nobody has fetched, as installers read a wheel's directory: by one question for each.

They are not verified, since no digest is known of a part, and are remembered for moments only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from packaging.utils import NormalizedName

from .errors import MirrorFailed, NotFound, UpstreamDown
from .lately import GivenUp, Lately
from .simple.model import METADATA, File
from .simple.names import belongs
from .transfers import Sources, Transfer

GLANCE: Final = 4 * 1024 * 1024
"""Bytes of a part that may be looked at before the whole is verified (decision 11)."""

TAIL = 64 * 1024
"""Bytes at the end of a file that are asked for together: installers read an archive's directory there bit by bit,
and so do we, ahead of them.
"""

LIFE = 60.0
"""Seconds for which a part, or a size that a mirror told, is remembered: several clients read the same at once."""

AT_ONCE = 16
"""Parts that are asked for at the same time: each is held in memory."""

LEAST = 4096
"""Bytes that a remembered part counts for at least."""

SIZES = 1000
"""Files whose size is remembered."""


class Glimpses:
    """Parts and sizes of files, asked for at *sources*."""

    def __init__(self, sources: Sources, *, memory: int, clock: Callable[[], float]) -> None:
        """*memory*: bytes of parts that are remembered."""
        self._sources = sources
        self._parts: Lately[bytes | None] = Lately(room=memory, life=LIFE, clock=clock)
        self._sizes: Lately[int | None] = Lately(room=SIZES, life=LIFE, clock=clock)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def look(self, key: str, file: File, begin: int, end: int, *, avoid: frozenset[str]) -> bytes | None:
        """The bytes of *file*, known by *key*, from *begin* to before *end*; None where no place gives parts.

        Raise NotFound where no place has the file, UpstreamDown where not all could say.
        """
        size = file.size if file.size is not None else self._sizes.peek((file.filename, key))
        if size is None or not size - TAIL <= begin < end <= size:
            return await self._part(key, file, begin, end, avoid)
        start = max(0, size - TAIL)
        tail = await self._part(key, file, start, size, avoid)
        return None if tail is None else tail[begin - start : end - start]

    async def _part(self, key: str, file: File, begin: int, end: int, avoid: frozenset[str]) -> bytes | None:
        async def ask() -> bytes | None:
            async with self._turns:
                return await self._ask(file, begin, end, avoid)

        # By whom to avoid too: what a mirror gave that turned out to lie must not be given again.
        whole_key = file.filename, key, begin, end, avoid
        with _told(file):
            return await self._parts.get(whole_key, ask, weight=lambda part: max(LEAST, len(part or b"")))

    async def measure(self, key: str, file: File) -> int | None:
        """The size of *file*, known by *key*, as Sources.measure tells it."""

        async def ask() -> int | None:
            return await self._sources.measure(file)

        with _told(file):
            return await self._sizes.get((file.filename, key), ask, weight=lambda _: 1)

    def withdraw(self, name: NormalizedName) -> None:
        """*name* is private from now on: stop every question about its files."""

        def concerns(key: Hashable) -> bool:
            return isinstance(key, tuple) and belongs(str(key[0]).removesuffix(METADATA), name)

        self._parts.give_up(concerns)
        self._sizes.give_up(concerns)

    async def close(self) -> None:
        await self._parts.close()
        await self._sizes.close()

    async def _ask(self, file: File, begin: int, end: int, avoid: frozenset[str]) -> bytes | None:
        failures, whole = [], False
        for place in self._sources.places(file, avoid=avoid):
            try:
                async with place.transfer(begin=begin, end=end) as transfer:
                    if transfer.begin == begin:
                        return await _read(transfer, end - begin, file)
                    whole = True
            except NotFound:
                continue
            except MirrorFailed as error:
                failures.append(str(error))
        if whole:
            return None
        if failures:
            raise UpstreamDown(f"No mirror gives a part of {file.filename} now: {' '.join(failures)}")
        raise NotFound(f"No mirror has {file.filename}.")


@contextmanager
def _told(file: File) -> Iterator[None]:
    """Whoever waits for what is asked no longer gets to know it."""
    try:
        yield
    except GivenUp:
        raise UpstreamDown(f"{file.filename} is not asked for any more.") from None


async def _read(transfer: Transfer, size: int, file: File) -> bytes:
    if file.size is not None and transfer.total not in (None, file.size):
        # Which of the two is wrong will be known when all of it is here.
        raise MirrorFailed(f"{transfer.mirror} has {transfer.total} bytes for a file of {file.size}.")
    came = bytearray()
    async for chunk in transfer.chunks:
        came += chunk
        if len(came) >= size:
            return bytes(came[:size])
    raise MirrorFailed(f"{transfer.mirror} sent {len(came)} of {size} bytes.")
