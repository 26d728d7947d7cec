"""A file on its way in, which any number of clients may follow as it grows.

One transfer at a time feeds everyone who asks for the file meanwhile; where a line breaks, the next one goes on at
the same byte, at another mirror if need be.  The last bytes are held back until size and digests hold, so that no
client ever completes a wrong file.  This module knows where bytes come from and go to by Protocols only.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from .doubts import EARLIER, Doubts
from .errors import BadDigest, MirrorFailed, ProxyError, Unavailable, UpstreamDown
from .leftovers import RESUMABLE, UNSURE, remove_stale_parts
from .part import Part
from .simple.model import File
from .storage import Blob, Cache, Pins

HOLD = 64 * 1024
"""Bytes at the end of what has come that no client gets before the whole is verified."""

PROGRESS = 256 * 1024
"""Bytes that a transfer must bring before its breaking counts as bad luck and not as a failed try."""

STEP = 64 * 1024 * 1024
"""Bytes for which room is made on the disk at a time."""

MOST = 1000
"""Files that come in at the same time: each has its part file open."""

DOUBTED = 1000
"""Files of which it is remembered that a mirror sent wrong bytes."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One mirror's answer to the question for a file."""

    mirror: str
    offset: int
    """The byte of the file at which *chunks* begin."""
    total: int | None
    """Bytes of the whole file, where the mirror says."""
    etag: str | None
    chunks: AsyncIterator[bytes]


class Sources(Protocol):
    """Where upstream files can be had from."""

    def transfer(self, file: File, *, offset: int, avoid: frozenset[str]) -> AbstractAsyncContextManager[Transfer]:
        """Ask the mirrors in turn, those in *avoid* last, for *file* from *offset* on.

        Raise UpstreamDown where none of them gives it; a line that breaks later raises MirrorFailed.
        """
        ...

    async def measure(self, file: File) -> int | None:
        """The size of *file* in bytes, as a mirror says, without fetching it."""
        ...


class Download:
    """One file on its way in.  Follow it with `grown` and `handle`; it goes on when followers leave."""

    def __init__(
        self,
        file: File,
        part: Part,
        *,
        pinned: str | None,
        make_room: Callable[[int], Awaitable[None]],
        doubts: Doubts | None = None,
    ) -> None:
        """*make_room* is told how many bytes will come next."""
        self.file = file
        self.total = file.size
        """Bytes of the whole, once known."""
        self.ready = 0
        """How many bytes clients may have."""
        self.sha256: str | None = None
        """Set once all is verified."""
        self.doubts = doubts or Doubts()
        self._part = part
        self._make_room = make_room
        self._reserved = 0
        self._hashes = {**file.hashes, "sha256": pinned} if pinned else file.hashes
        self._error: ProxyError | None = None
        self._grew = asyncio.Event()
        # Followers keep this object, and so the descriptor, alive: the part file is renamed or removed under them.
        weakref.finalize(self, part.close)

    @property
    def ended(self) -> bool:
        return self.sha256 is not None or self._error is not None

    async def grown(self, beyond: int) -> int:
        """Wait until clients may have more than *beyond* bytes, or all; how many that is.  Raise what went wrong."""
        while self.ready <= beyond and not self.ended:
            await self._grew.wait()
        if self._error is not None and self.ready <= beyond:
            raise copy(self._error)
        return self.ready

    def handle(self) -> BinaryIO:
        """A descriptor of one's own on the growing bytes; whoever asks closes it."""
        return self._part.handle()

    async def run(self, sources: Sources, *, tries: int, pause: Callable[[int], float]) -> str:
        """Fetch and verify the file; its sha256.  On an error nothing is kept that could be wrong."""
        try:
            await asyncio.to_thread(self._part.open, resume=bool(self._hashes))
            await self._doubt_length(sources)
            self._release()
            return await self._fetch(sources, tries, pause)
        except OSError as error:
            # Kept to be resumed, it would take the last room on the disk from every other file.
            with suppress(OSError):
                await asyncio.to_thread(self._part.discard)
            raise Unavailable(f"{self.file.filename} could not be written to the cache: {error.strerror}.") from error

    async def _doubt_length(self, sources: Sources) -> None:
        """Begin anew where an earlier part may be longer than the file: no mirror could ever go on with it."""
        if self.file.size is not None or not self._part.size or self._is_whole():
            return
        self.total = await sources.measure(self.file)
        if self.total is None or self._part.size > self.total:
            self.total = None
            await asyncio.to_thread(self._part.restart)

    async def _fetch(self, sources: Sources, tries: int, pause: Callable[[int], float]) -> str:
        failures, avoid = 0, self.doubts.avoided()
        used = [EARLIER] if self._part.size else []
        while True:
            if not self.ready:
                self.total = self.file.size  # nobody was told more yet, and what a mirror said may be wrong too
            before = self._part.size
            try:
                while not self._is_whole():
                    await self._take(sources, frozenset(avoid), used)
                return await self._verified()
            except MirrorFailed as error:
                progress = self._part.size - before >= PROGRESS
                failures = 1 if progress else failures + 1
                # Better one that brings much and breaks off than those who broke off before it, or lied.
                if not (progress and avoid):
                    avoid.add(used[-1])
                if failures >= tries or not (self._hashes or self.ready == 0):
                    raise
                logger.info("%s: %s Trying on.", self.file.filename, error)
                if not self._hashes:
                    await asyncio.to_thread(self._part.restart)
            except BadDigest as error:
                logger.warning("%s from %s: %s", self.file.filename, ", ".join(used), error)
                self.doubts.blame(used)
                avoid, used = self.doubts.avoided(), []
                failures += 1
                await asyncio.to_thread(self._part.restart)
                if failures >= tries or self.ready:
                    raise
            except UpstreamDown:
                # Nobody gave it.  Who has been given a part of it already is worth another round.
                failures += 1
                if failures >= tries or not self.ready:
                    raise
            await asyncio.sleep(pause(failures))

    async def _take(self, sources: Sources, avoid: frozenset[str], used: list[str]) -> None:
        """Append what one transfer brings, and its mirror to *used*."""
        have = self._part.size
        async with sources.transfer(self.file, offset=have, avoid=avoid) as transfer:
            used.append(transfer.mirror)
            self._agree_on_size(transfer)
            skip = have - transfer.offset  # a mirror without ranges begins anew: the digest tells if it is the same
            if skip < 0:
                raise MirrorFailed(f"{transfer.mirror} began at byte {transfer.offset} instead of {have}.")
            async for chunk in transfer.chunks:
                fresh = chunk[skip:]
                skip = max(0, skip - len(chunk))
                if self.total is not None and self._part.size + len(fresh) > self.total:
                    raise MirrorFailed(f"{transfer.mirror} sent more than the {self.total} bytes it should.")
                if fresh:
                    await self._reserve(len(fresh))
                    await asyncio.to_thread(self._part.append, fresh)
                    self._release()
            if self.total is None:
                self.total = self._part.size
            elif self._part.size < self.total:
                raise MirrorFailed(f"{transfer.mirror} ended after {self._part.size} of {self.total} bytes.")

    async def _reserve(self, count: int) -> None:
        """Have room made on the disk, step by step: who only says that much will come must not empty the cache."""
        if self._part.size + count <= self._reserved:
            return
        step = STEP if self.total is None else min(STEP, self.total - self._part.size)
        step = max(step, count)
        await self._make_room(step)
        self._reserved = self._part.size + step

    def _agree_on_size(self, transfer: Transfer) -> None:
        if self.total is None and transfer.total is not None:
            self.total = transfer.total
        if transfer.total is not None and transfer.total != self.total:
            raise MirrorFailed(f"{transfer.mirror} has {transfer.total} bytes for a file of {self.total}.")
        if self.total is None and not self._hashes:
            raise MirrorFailed(f"{transfer.mirror} tells neither size nor hash: a cut could not be noticed.")

    def _is_whole(self) -> bool:
        if self.total is not None and self._part.size >= self.total:
            return True
        # A size that only a mirror told may be wrong: where the digest fits, nothing is missing.
        return self.file.size is None and self._part.digests()["sha256"] == self._hashes.get("sha256")

    async def _verified(self) -> str:
        digests = await asyncio.to_thread(self._part.digests)
        for name, listed in self._hashes.items():
            if name in digests and digests[name] != listed:
                raise BadDigest(f"The {name} is {digests[name]} and not {listed} as listed.")
        return digests["sha256"]

    def _release(self) -> None:
        """Let clients have what came, less the tail."""
        ready = self._part.size - HOLD
        if self.total is not None:
            ready = min(ready, self.total - HOLD)
        if ready > self.ready:
            self.ready = ready
            self._wake()

    def finish(self, sha256: str) -> None:
        """All is verified: let clients have the tail too."""
        if self.ready and self.total not in (None, self._part.size):
            return self.fail(UpstreamDown(f"{self.file.filename} is not as long as a mirror told."))
        self.total = self.ready = self._part.size
        self.sha256 = sha256
        return self._wake()

    def fail(self, error: ProxyError) -> None:
        # Copies have no traceback: it leads back here, and would keep the descriptor until garbage is collected.
        self._error = copy(error)
        self._wake()

    def _wake(self) -> None:
        self._grew.set()
        self._grew = asyncio.Event()


class Downloads:
    """The downloads under way: one per file, however many ask for it."""

    def __init__(
        self,
        folder: Path,
        sources: Sources,
        cache: Cache,
        pins: Pins,
        *,
        tries: int = 6,
        pause: Callable[[int], float] | None = None,
    ) -> None:
        """*tries*: how often in a row a file may fail without progress; *pause*: seconds before the next of them."""
        self._folder = folder
        self._sources = sources
        self._cache = cache
        self._pins = pins
        self._tries = tries
        self._pause = pause or _spread
        self._running: dict[str, tuple[Download, asyncio.Task[None]]] = {}
        self._doubts: OrderedDict[str, Doubts] = OrderedDict()
        self._ended = 0

    async def obtain(self, file: File, sha256: str | None) -> Blob | Download:
        """The copy of *file*, or its download, begun if none is under way; *sha256* as listed or pinned, if known."""
        key = sha256 or hashlib.sha256(f"{file.path}/{file.filename}".encode()).hexdigest()
        while key not in self._running:
            ended = self._ended
            blob = await self._cache.open(sha256) if sha256 else None
            if blob is not None:
                return blob
            # One that ended while the cache was asked may have put there what the cache did not have yet.
            if key not in self._running and ended == self._ended:
                if len(self._running) >= MOST:
                    raise Unavailable(f"{MOST} other files are being fetched now.")
                self._begin(key, file, sha256)
        return self._running[key][0]

    def _begin(self, key: str, file: File, sha256: str | None) -> None:
        # What no digest can vouch for is never taken up again: remove_stale_parts knows it by its ending.
        part = Part(self._folder / (key + (RESUMABLE if sha256 else UNSURE)), file.hashes)
        download = Download(file, part, pinned=sha256, make_room=self._cache.make_room, doubts=self._doubts.get(key))
        self._running[key] = download, asyncio.create_task(self._run(key, download, part))

    async def measure(self, file: File) -> int | None:
        """The size of *file*, which its page does not list."""
        return await self._sources.measure(file)

    @property
    def under_way(self) -> int:
        """How many files are coming in now."""
        return len(self._running)

    async def tidy(self, *, before: float) -> int:
        """Remove what earlier downloads left (see remove_stale_parts); how many files."""
        return await remove_stale_parts(self._folder, self._cache, before=before, spare=self._running)

    async def close(self) -> None:
        """Stop all; what came stays on disk, to be resumed."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: str, download: Download, part: Part) -> None:
        try:
            sha256 = await download.run(self._sources, tries=self._tries, pause=self._pause)
            await self._pin(download.file, sha256)
            download.finish(sha256)
            await self._keep(sha256, part)
        except ProxyError as error:
            # Where only mirrors tell the length, what they broke off may be too much, and would stay in the way.
            too_much = download.file.size is None and isinstance(error, MirrorFailed)
            if isinstance(error, BadDigest) or part.path.suffix == UNSURE or too_much:
                with suppress(OSError):
                    await asyncio.to_thread(part.discard)
            download.fail(error)
        except asyncio.CancelledError:
            download.fail(Unavailable(f"{download.file.filename} is not here yet: the server is stopping."))
            raise
        finally:
            if not download.ended:  # whatever happened, nobody may wait for ever
                download.fail(Unavailable(f"{download.file.filename} could not be fetched."))
            self._remember(key, download.doubts)
            del self._running[key]
            self._ended += 1

    async def _pin(self, file: File, sha256: str) -> None:
        """First sight decides: what came later with other bytes is not the file (decision 9)."""
        if file.origin is None or file.sha256 is not None:
            return
        pinned = await self._pins.pin(file.origin, f"{file.path}/{file.filename}", sha256)
        if pinned != sha256:
            raise BadDigest(f"{file.filename} is no longer the file that was first seen under this name.")

    async def _keep(self, sha256: str, part: Part) -> None:
        """Clients have their bytes already: a cache that cannot take them costs a fetch, not an answer."""
        try:
            await self._cache.adopt(sha256, part.path)
        except ProxyError as error:
            logger.warning("A fetched file is not kept: %s", error)
        finally:
            await asyncio.to_thread(part.discard)

    def _remember(self, key: str, doubts: Doubts) -> None:
        if doubts.avoided():
            self._doubts[key] = doubts
            self._doubts.move_to_end(key)
            while len(self._doubts) > DOUBTED:
                self._doubts.popitem(last=False)


def _spread(failures: int) -> float:
    """Seconds before the next try: none after a first break, then longer, and never in step with others."""
    return 0.0 if failures <= 1 else min(2.0, 0.1 * 2**failures) * random.uniform(0.5, 1.0)  # noqa: S311 -- spreading load, not a secret
