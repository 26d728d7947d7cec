"""The list of all projects at the index: fetched when somebody asks, kept as one file, a prerequisite for nothing.

At the official index it is 47 MB with 900,000 names, rewritten every few minutes: so it is read as it streams in,
kept as plain lines of names, and asked for again only after a time of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import MirrorFailed, NotFound, ProxyError, Unavailable, UpstreamDown
from ..simple.read import RootNames
from ..storage import Blob
from .index import Mirror
from .mirrors import MirrorSet

RETRY = 60.0
"""Seconds for which an old list is answered as it is after all mirrors failed to give another."""


class RootList:
    """The names at one set of mirrors, in *folder*."""

    def __init__(
        self, mirrors: MirrorSet, folder: Path, *, fresh: float, patience: float, now: Callable[[], float]
    ) -> None:
        """*fresh*: seconds that the list holds; *patience*: seconds that a client waits for the first one."""
        self._mirrors = mirrors
        self._path = folder / f"{mirrors.origin}.names"
        self._fresh = fresh
        self._patience = patience
        self._now = now
        self._retry_at = 0.0
        self._fetching: asyncio.Task[ProxyError | None] | None = None
        self._digest: tuple[float, str] | None = None

    async def open(self) -> Blob:
        """The names, a line each, in the order of the index; raise UpstreamDown where none was ever fetched."""
        held = await self._open()
        # Both within bounds on either side: a clock that was set back must not keep a list for ever.
        fresh = held is not None and 0 <= self._now() - held.modified <= self._fresh
        if held is None or not (fresh or 0 < self._retry_at - self._now() <= RETRY):
            task = self._fetch_once()
            if held is None:
                await asyncio.wait([task], timeout=self._patience)
                trouble = task.result() if task.done() else None
                held = await self._open()
                if held is None:
                    raise trouble or UpstreamDown("The list of all projects is still being fetched.")
        return held

    async def close(self) -> None:
        """Stop fetching."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _fetch_once(self) -> asyncio.Task[ProxyError | None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> ProxyError | None:
        trouble: ProxyError = UpstreamDown(f"No mirror of {self._mirrors.origin} lists its projects.")
        for mirror in self._mirrors.in_turn():
            try:
                await self._fetch_from(mirror)
            except (MirrorFailed, NotFound) as error:
                self._mirrors.tell(mirror, "all projects", error)
                trouble = UpstreamDown(f"No mirror of {self._mirrors.origin} lists its projects now: {error}")
            except OSError as error:
                return Unavailable(f"The list of all projects cannot be kept: {error.strerror}.")
            else:
                return None
        # Tens of megabytes: an old list does for a while longer.
        self._retry_at = self._now() + RETRY
        return trouble

    async def _fetch_from(self, mirror: Mirror) -> None:
        names = RootNames()
        fresh = self._path.with_suffix(".new")
        file = await asyncio.to_thread(_create, fresh)
        try:
            async with mirror.root() as chunks:
                async for chunk in chunks:
                    await asyncio.to_thread(_append, file, names.feed, chunk)
            await asyncio.to_thread(names.close)
            await asyncio.to_thread(os.replace, fresh, self._path)
        finally:
            await asyncio.to_thread(os.close, file)

    async def _open(self) -> Blob | None:
        try:
            handle = await asyncio.to_thread(self._path.open, "rb", 0)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"The list of all projects cannot be read: {error.strerror}.") from error
        found = os.fstat(handle.fileno())
        if self._digest is None or self._digest[0] != found.st_mtime_ns:
            self._digest = found.st_mtime_ns, await asyncio.to_thread(_digest, handle.fileno())
        return Blob(handle=handle, size=found.st_size, sha256=self._digest[1], modified=found.st_mtime)


def _create(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _append(file: int, feed: Callable[[bytes], Sequence[str]], chunk: bytes) -> None:
    lines = "".join(f"{name}\n" for name in feed(chunk)).encode()
    while lines:
        lines = lines[os.write(file, lines) :]


def _digest(file: int) -> str:
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(file, 1024 * 1024, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()
