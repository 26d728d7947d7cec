"""Cache and Pages on this machine's disk, kept by diskcache: all of it may be deleted at any time.

`FileCache` holds upstream files by their sha256, one file each; `PageCache` holds upstream pages, each as a small row
of state, rewritten after every 304, and a row with its bytes, and beside them `FactCache` a row with what was found
out about the page's files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from packaging.utils import NormalizedName

from ..errors import DiskFull, Unavailable
from ..policy import PublicName
from . import Blob, Snapshot
from .bounded_cache import BoundedCache, free_bytes
from .cache_rows import CacheRows
from .fact_cache import FactCache, facts_key
from .packed import Kept, kept, pack, unpack
from .plain_disk import AdoptDisk, Adopted, PlainDisk

INLINE = 32 * 1024
"""Bytes up to which a page lies in the database itself; reading big ones from there is ten times slower."""

logger = logging.getLogger(__name__)


class FileCache:
    """A `Cache`.  *folder* must lie on the file system of the bodies that are adopted."""

    def __init__(
        self,
        folder: Path,
        *,
        max_size: int,
        min_free: int = 0,
        free: Callable[[Path], int] = free_bytes,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open or make the cache, which blocks for a moment; raise Unavailable where it cannot be.

        *max_size* and *min_free* are bytes: of the folder at most, and of its disk at least.
        """
        self._now = now
        self._max_size = max_size
        self._cache = BoundedCache(
            folder, disk=AdoptDisk, inline=0, max_size=max_size, min_free=min_free, free=free, now=now
        )

    async def open(self, sha256: str) -> Blob | None:
        """The copy, or None where it is not held, or not whole: what cannot be read counts as not held."""
        finding = self._cache.submit(partial(_find, sha256=sha256))
        try:
            blob = await asyncio.shield(finding)
        except asyncio.CancelledError:
            finding.add_done_callback(_close_found)
            raise
        if blob is not None:
            self._cache.touch(_key(sha256))
        return blob

    async def adopt(self, sha256: str, body: Path) -> None:
        """Take over *body* without a copy.  What is bigger than the whole cache is let go.

        Raise DiskFull or Unavailable where it could not be kept; *body* then stays where it is.
        """
        try:
            size = await self._cache.on_files(partial(_synced_size, body))
            keep = partial(_keep, sha256=sha256, body=body, facts=Kept(size=size, stored=self._now()))
            kept = await self._cache.ask(keep)
            await self._cache.on_files(partial(body.unlink, missing_ok=True))
        except DiskFull:
            self._cache.crowd()
            raise
        except OSError as error:
            raise Unavailable("A file could not be taken into the cache.") from error
        if not kept:
            logger.info("A file of %d bytes is not kept: the cache may hold %d.", size, self._max_size)
        await self._cache.check_room()

    async def make_room(self, size: int) -> None:
        await self._cache.make_room(size)

    async def run(self, every: float) -> None:
        """Sweep every *every* seconds, and when there is no room, until cancelled."""
        await self._cache.run(every)

    async def sweep(self) -> int:
        """Evict what is too much and tidy a little; how many files went."""
        return await self._cache.sweep()

    async def close(self) -> None:
        await self._cache.close()


class PageCache:
    """A `Pages`."""

    def __init__(
        self,
        folder: Path,
        *,
        max_size: int,
        min_free: int = 0,
        free: Callable[[Path], int] = free_bytes,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open or make the cache, which blocks for a moment; raise Unavailable where it cannot be.

        *max_size* and *min_free* are bytes: of the folder at most, and of its disk at least.
        """
        self._now = now
        self._cache = BoundedCache(
            folder, disk=PlainDisk, inline=INLINE, max_size=max_size, min_free=min_free, free=free, now=now
        )
        self.facts = FactCache(self._cache, now=now)
        """What was found out about the files of the pages."""

    async def load(self, origin: str, name: PublicName) -> tuple[Snapshot, bytes] | None:
        """What is remembered; None where either half is missing or cannot be read."""
        state, body = _state_key(origin, name), _body_key(origin, name)
        found = await self._cache.ask(partial(_both, state=state, body=body))
        if found is None:
            return None
        page = await asyncio.to_thread(_unpacked, *found)
        if page is not None:
            self._cache.touch(state)
            self._cache.touch(body)
        return page

    async def save(self, origin: str, name: PublicName, snapshot: Snapshot, body: bytes | None) -> None:
        """Remember *snapshot*, and *body* with it or neither; where *body* is None, the bytes kept before hold.

        Raise DiskFull or Unavailable.
        """
        tag = Kept(size=0 if body is None else len(body), stored=self._now()).tag
        state, packed = await asyncio.to_thread(_packed, snapshot, body)
        rows: list[tuple[str, object, str]] = [(_state_key(origin, name), state, tag)]
        size = len(state)
        if packed is not None:
            rows.append((_body_key(origin, name), packed, tag))
            size += len(packed)
        try:
            written = await self._cache.ask(partial(CacheRows.write, rows=rows, size=size))
        except DiskFull:
            self._cache.crowd()
            raise
        if not written:
            raise Unavailable(f"A page of {size} bytes is bigger than all pages together may be.")
        await self._cache.check_room()

    async def forget(self, origin: str, name: NormalizedName) -> None:
        """Drop the page, and the facts about its files; raise DiskFull or Unavailable."""
        keys = _state_key(origin, name), _body_key(origin, name), facts_key(origin, name)
        await self._cache.ask(lambda rows: rows.drop(*keys))

    async def run(self, every: float) -> None:
        """Sweep every *every* seconds, and when there is no room, until cancelled."""
        await self._cache.run(every)

    async def sweep(self) -> int:
        """Evict what is too much and tidy a little; how many rows went."""
        return await self._cache.sweep()

    async def close(self) -> None:
        await self._cache.close()


def _key(sha256: str) -> str:
    return f"sha256:{sha256}"


def _state_key(origin: str, name: NormalizedName) -> str:
    # A normalised name holds no slash, so that no two pairs make one key.
    return f"state:{origin}/{name}"


def _body_key(origin: str, name: NormalizedName) -> str:
    return f"body:{origin}/{name}"


def _find(rows: CacheRows, *, sha256: str) -> Blob | None:
    found = rows.read(_key(sha256), handle=True)
    if found is None:
        return None
    handle, facts = found[0], kept(found[1])
    # After a power cut a row may name a file whose bytes were lost.
    if facts is not None and os.fstat(handle.fileno()).st_size == facts.size:
        return Blob(handle=handle, size=facts.size, sha256=sha256, modified=facts.stored)
    handle.close()
    logger.warning("A torn file was dropped from the cache: sha256 %s.", sha256)
    with contextlib.suppress(Unavailable):  # it is dropped when it is asked for again
        rows.drop(_key(sha256))
    return None


def _close_found(finding: asyncio.Future[Blob | None]) -> None:
    """Close what was found for someone who did not wait for it."""
    if not finding.cancelled() and finding.exception() is None and (blob := finding.result()) is not None:
        blob.handle.close()


def _keep(rows: CacheRows, *, sha256: str, body: Path, facts: Kept) -> bool:
    return rows.write([(_key(sha256), Adopted(body), facts.tag)], facts.size)


def _synced_size(body: Path) -> int:
    """The size of *body* in bytes, once they are on the disk: a row must never come before its bytes."""
    descriptor = os.open(body, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _both(rows: CacheRows, *, state: str, body: str) -> tuple[bytes, bytes, object] | None:
    found = rows.read(state, handle=False), rows.read(body, handle=False)
    if found[0] is None or found[1] is None:
        return None
    return found[0][0], found[1][0], found[1][1]


def _packed(snapshot: Snapshot, body: bytes | None) -> tuple[bytes, bytes | None]:
    return msgspec.json.encode(snapshot), None if body is None else pack(body)


def _unpacked(state: bytes, body: bytes, tag: object) -> tuple[Snapshot, bytes] | None:
    page = unpack(body, tag)
    try:
        return None if page is None else (msgspec.json.decode(state, type=Snapshot), page)
    except msgspec.DecodeError:
        return None
