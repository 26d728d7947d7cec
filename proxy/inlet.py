"""Chunks on their way to the disk: gathered, so that many small ones cost one visit to a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from .part import Part

BATCH = 1024 * 1024
"""Bytes that are written without waiting for more."""

MOST = 2 * BATCH
"""Bytes that wait in memory; whoever would bring more waits for `room`."""

LINGER = 0.02
"""Seconds from one write to the next, so that more comes together; the first is made at once."""

STEP = 64 * 1024 * 1024
"""Bytes for which room is made on the disk at a time."""


class Inlet:
    """Takes chunks of a file from any number of tasks, and has one write them: `run`."""

    def __init__(self, part: Part, *, make_room: Callable[[int], Awaitable[None]], written: Callable[[], None]) -> None:
        """*make_room* is told how many bytes will come next; *written* is called when more can be read."""
        self.total: int | None = None
        """Bytes of the whole, once known: no room is made for more."""
        self._part = part
        self._make_room = make_room
        self._written = written
        self._reserved = 0
        self._waiting: list[tuple[int, bytes | memoryview]] = []
        self._size = 0
        self.idle = asyncio.Event()
        """Set while all is written and digested."""
        self._some, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._room.set()
        self.idle.set()

    async def room(self) -> None:
        """Wait until not too much waits to be written."""
        await self._room.wait()

    def put(self, begin: int, chunk: bytes | memoryview) -> None:
        """Have *chunk* written at the byte *begin* of the file."""
        self._waiting.append((begin, chunk))
        self._size += len(chunk)
        self.idle.clear()
        self._some.set()
        if self._size >= BATCH:
            self._full.set()
        if self._size >= MOST:
            self._room.clear()

    async def flush(self) -> None:
        """Wait until all is written and digested."""
        self._full.set()
        await self.idle.wait()

    async def run(self) -> None:
        """Write until cancelled; raise OSError where the disk does not take it."""
        clock, before = asyncio.get_running_loop().time, 0.0
        while True:
            await self._some.wait()
            rest = before + LINGER - clock()
            if rest > 0 and not self._full.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await self._full.wait()
            before = clock()
            await self._write()

    async def _write(self) -> None:
        batch, size = sorted(self._waiting, key=lambda piece: piece[0]), self._size
        self._waiting, self._size = [], 0
        self._some.clear()
        self._full.clear()
        await self._reserve(size)
        await asyncio.to_thread(self._part.write, batch)
        self._written()
        while self._part.lags and not self._waiting:
            await asyncio.to_thread(self._part.catch_up)
            self._written()
        self._room.set()
        if not self._waiting:
            self.idle.set()

    async def _reserve(self, count: int) -> None:
        """Have room made on the disk, step by step: who only says that much will come must not empty the cache."""
        have = self._part.spans.count
        if have + count <= self._reserved:
            return
        step = STEP if self.total is None else min(STEP, self.total - have)
        step = max(step, count)
        await self._make_room(step)
        self._reserved = have + step
