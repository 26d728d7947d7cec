"""Files on their way in, each of which any number of clients may follow as it grows.

One fetching at a time feeds everyone who asks for the file meanwhile.  The last bytes are held back until size and
digests hold, so that no client ever completes a wrong file.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import time
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from packaging.utils import NormalizedName

from .doubts import Doubts
from .errors import BadDigest, MirrorFailed, NotFound, ProxyError, Unavailable, UpstreamDown
from .fetch import Fetch
from .glimpses import GLANCE, Glimpses
from .leftovers import RESUMABLE, UNSURE, remove_stale_parts
from .part import Part
from .segments import Pace
from .simple.model import METADATA, File
from .simple.names import belongs
from .storage import Blob, Cache, Pins
from .transfers import Sources

T = TypeVar("T")

MAX_READ = 4 * 2**20
"""Bytes of a small file, such as a METADATA, that are looked at."""

MOST = 1000
"""Files that come in at the same time: each has its part file open."""

DOUBTED = 1000
"""Files of which it is remembered that a mirror sent wrong bytes."""

GLIMPSED = 16 * 1024 * 1024
"""Bytes of parts looked at lately that are remembered."""

PACE = Pace()

logger = logging.getLogger(__name__)


class Download:
    """One file on its way in.  Follow it with `grown` and `handle`; it goes on when followers leave."""

    def __init__(self, file: File, part: Part, fetch: Fetch) -> None:
        self.file = file
        self.sha256: str | None = None
        """Set once all is verified."""
        self._part = part
        self._fetch = fetch
        self._error: ProxyError | None = None
        # Followers keep this object, and so the descriptor, alive: the part file is renamed or removed under them.
        weakref.finalize(self, part.close)

    @property
    def total(self) -> int | None:
        """Bytes of the whole, once known."""
        return self._fetch.total if self.sha256 is None else self._part.size

    @property
    def ready(self) -> int:
        """How many bytes from the first on clients may have."""
        return self._fetch.ready if self.sha256 is None else self._part.size

    @property
    def ended(self) -> bool:
        return self.sha256 is not None or self._error is not None

    async def grown(self, beyond: int) -> int:
        """Wait until clients may have the byte *beyond*, or all; before which byte they may read on from there.

        Raise what went wrong.  What comes before it may be missing still: whoever waits is served first.
        """
        while self._reach(beyond) <= beyond and not self.ended:
            await self._fetch.grown(beyond)
        if self._error is not None and self._reach(beyond) <= beyond:
            raise copy(self._error)
        return self._reach(beyond)

    async def arrived(self) -> None:
        """Wait until all of it is here and verified; raise what went wrong."""
        while self.sha256 is None:
            await self.grown(self.ready)

    def handle(self) -> BinaryIO:
        """A descriptor of one's own on the growing bytes; whoever asks closes it."""
        return self._part.handle()

    async def peek(self, begin: int, end: int) -> bytes | None:
        """The bytes from *begin* to before *end*, verified or not; None where not all of them are here."""
        if self._part.spans.reach(begin) < end:
            return None
        with self.handle() as handle:
            seen = await asyncio.to_thread(os.pread, handle.fileno(), end - begin, begin)
        return seen if len(seen) == end - begin else None

    def finish(self, sha256: str) -> None:
        """All is verified: let clients have the tail too."""
        if self.ready and self.total not in (None, self._part.size):
            return self.fail(UpstreamDown(f"{self.file.filename} is not as long as a mirror told."))
        self.sha256 = sha256
        return self._fetch.wake()

    def fail(self, error: ProxyError) -> None:
        # Copies have no traceback: it leads back here, and would keep the descriptor until garbage is collected.
        self._error = copy(error)
        self._fetch.wake()

    def _reach(self, at: int) -> int:
        return self._fetch.reach(at) if self.sha256 is None else self._part.size


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
        pace: Callable[[File], Pace] = lambda _: PACE,
        resized: Callable[[File, int], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*tries*: how often in a row a file may fail without progress; *pause*: seconds before the next of them.

        *pace*: over how many connections a file comes, and in which pieces.  *resized* is told of a file that has
        turned out to have so many bytes, and not those that its page lists.
        """
        self._folder = folder
        self._sources = sources
        self._cache = cache
        self._pins = pins
        self._tries = tries
        self._pause = pause or _spread
        self._pace = pace
        self._resized = resized
        self._clock = clock
        self._glimpses = Glimpses(sources, memory=GLIMPSED, clock=clock)
        self._running: dict[str, tuple[Download, asyncio.Task[None]]] = {}
        self._doubts: OrderedDict[str, Doubts] = OrderedDict()
        self._ended = 0

    async def obtain(self, file: File, sha256: str | None) -> Blob | Download:
        """The copy of *file*, or its download, begun if none is under way; *sha256* as listed or pinned, if known."""
        key = _key(file, sha256)
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

    async def glimpse(
        self, file: File, begin: int, end: int, *, sha256: str | None = None, whole: bool = True
    ) -> bytes:
        """The bytes of *file* from *begin* to before *end*, at most GLANCE, which nobody has verified.

        They are there in the end where the file has that many.  No download is begun where a place gives parts.
        *sha256* is that of the whole, as listed or pinned, if known.  Raise NotFound where no place has the file, or
        none gives parts and it is not worth the *whole*, UpstreamDown where it cannot be had now.
        """
        if end - begin > GLANCE:
            raise ValueError(f"more than {GLANCE} bytes are no glimpse")
        key = _key(file, sha256 or file.sha256)
        running = self._running.get(key)
        seen = await running[0].peek(begin, end) if running else None
        if seen is None:
            avoid = frozenset(self._doubts[key].avoided()) if key in self._doubts else frozenset[str]()
            seen = await self._glimpses.look(key, file, begin, end, avoid=avoid)
        if seen is None and not whole:
            raise NotFound(f"No mirror gives a part of {file.filename}.")
        return seen if seen is not None else await self._read(file, begin, end, sha256 or file.sha256)

    async def _read(self, file: File, begin: int, end: int, sha256: str | None) -> bytes:
        """A part of *file*, fetched as a whole."""
        found = await self.obtain(file, sha256)
        if isinstance(found, Download):
            await found.grown(end - 1)
        with found.handle if isinstance(found, Blob) else found.handle() as handle:
            return await asyncio.to_thread(os.pread, handle.fileno(), end - begin, begin)

    async def measure(self, file: File) -> int | None:
        """The size of *file*, which its page does not list, as Sources.measure tells it."""
        key = _key(file, file.sha256)
        told = self._running[key][0].total if key in self._running else None
        return told if told is not None else await self._glimpses.measure(key, file)

    def arriving(self, file: File) -> Download | None:
        """The download of *file* under way, if there is one."""
        running = self._running.get(_key(file, file.sha256))
        return running[0] if running else None

    def withdraw(self, name: NormalizedName) -> None:
        """*name* is private from now on: stop what comes in of its files, and what is asked about them.

        Whoever follows one is cut, and what came of it is not kept.
        """
        for download, task in self._running.values():
            if belongs(download.file.filename.removesuffix(METADATA), name) and not download.ended:
                download.fail(UpstreamDown(f"{name} is private here now."))
                task.cancel()
        self._glimpses.withdraw(name)

    @property
    def under_way(self) -> int:
        """How many files are coming in now."""
        return len(self._running)

    async def tidy(self, *, before: float) -> int:
        """Remove what earlier downloads left (see remove_stale_parts); how many files."""
        return await remove_stale_parts(self._folder, self._cache, before=before, spare=self._running)

    async def close(self) -> None:
        """Stop all; what came stays on disk, to be resumed, and what is verified is kept."""
        await self._glimpses.close()
        running = list(self._running.values())
        for download, task in running:
            if not download.ended:
                task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)

    def _begin(self, key: str, file: File, sha256: str | None) -> None:
        # What no digest can vouch for is never taken up again: remove_stale_parts knows it by its ending.
        part = Part(self._folder / (key + (RESUMABLE if sha256 else UNSURE)), file.hashes)
        fetch = Fetch(
            file,
            part,
            self._sources,
            pinned=sha256,
            doubts=self._doubts.get(key) or Doubts(),
            make_room=self._cache.make_room,
            pace=self._pace(file),
            tries=self._tries,
            pause=self._pause,
            clock=self._clock,
        )
        download = Download(file, part, fetch)
        self._running[key] = download, asyncio.create_task(self._run(key, download, part, fetch))

    async def _run(self, key: str, download: Download, part: Part, fetch: Fetch) -> None:
        try:
            sha256 = await _fetched(download.file, part, fetch)
            await self._pin(download.file, sha256)
            if self._resized is not None and download.file.size not in (None, part.size):
                await self._resized(download.file, part.size)
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
            if download.ended:  # withdrawn
                with suppress(OSError):
                    await asyncio.to_thread(part.discard)
            else:
                download.fail(Unavailable(f"{download.file.filename} is not here yet: the server is stopping."))
            raise
        finally:
            if not download.ended:  # whatever happened, nobody may wait for ever
                download.fail(Unavailable(f"{download.file.filename} could not be fetched."))
            self._remember(key, fetch.doubts)
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
        if doubts:
            self._doubts[key] = doubts
            self._doubts.move_to_end(key)
            while len(self._doubts) > DOUBTED:
                self._doubts.popitem(last=False)


async def read_whole(found: Blob | Download) -> bytes:
    """The bytes, up to MAX_READ, of a small file that Downloads or a Store gave, once all of it is verified.

    Raise what went wrong.
    """
    if isinstance(found, Download):
        await found.arrived()
        return await closing(partial(_read_and_close, found.handle()))
    return await closing(partial(_read_and_close, found.handle))


async def closing(work: Callable[[], T]) -> T:
    """What *work* gives in a thread, which closes a handle at its end: it runs even if nobody waits for it any more.

    With to_thread it would not, if who waits is stopped before a thread is free; and the handle would stay open.
    """
    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, work))


def _read_and_close(handle: BinaryIO) -> bytes:
    with handle:
        handle.seek(0)
        return handle.read(MAX_READ)


async def _fetched(file: File, part: Part, fetch: Fetch) -> str:
    """The sha256 of *file*, which is here then."""
    try:
        return await fetch.run()
    except OSError as error:
        # Kept to be resumed, it would take the last room on the disk from every other file.
        with suppress(OSError):
            await asyncio.to_thread(part.discard)
        raise Unavailable(f"{file.filename} could not be written to the cache: {error.strerror}.") from error


def _key(file: File, sha256: str | None) -> str:
    # Where no hash is listed, the same place at two indexes may hold two files (decision 9).
    return sha256 or hashlib.sha256(f"{file.origin}\n{file.path}/{file.filename}".encode()).hexdigest()


def _spread(failures: int) -> float:
    """Seconds before the next try: none after a first break, then longer, and never in step with others."""
    return 0.0 if failures <= 1 else min(2.0, 0.1 * 2**failures) * random.uniform(0.5, 1.0)  # noqa: S311 -- spreading load, not a secret
