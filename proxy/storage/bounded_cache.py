"""Cache rows in a thread of their own, held to a size: nothing is evicted on a client's time, sweep() does it.

What is kept and why is disk_cache's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..errors import Unavailable
from .cache_rows import CacheRows, Victim
from .plain_disk import PlainDisk

T = TypeVar("T")

BATCH = 200
"""Uses written down in one transaction: some 20 ms, in which the thread answers nobody else."""

VICTIMS = 32
"""Rows looked at and evicted at a time, for the same reason."""

ORPHANED = 3600.0
"""Seconds that a file without a row is left alone: another process may be about to commit it."""

FOLDERS = 256

logger = logging.getLogger(__name__)


def free_bytes(folder: Path) -> int:
    """What may still be written on the file system of *folder*."""
    return shutil.disk_usage(folder).free


class BoundedCache:
    """The least recently used goes first, until *max_size* bytes hold and *min_free* bytes of the disk are free.

    The constructor opens the database, which may take a while.  Any number of processes may share a folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        disk: type[PlainDisk],
        inline: int,
        max_size: int,
        min_free: int,
        free: Callable[[Path], int],
        now: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._min_free = min_free
        self._free = free
        self._now = now
        self._touched: dict[str, float] = {}
        self._crowded = asyncio.Event()
        self._next_folder = 0
        self._sweeping = asyncio.Lock()
        # SQLite has one thread (more of them are slower); slow work on files has others, so that look-ups go on.
        self._thread = ThreadPoolExecutor(1, "cache")
        self._files = ThreadPoolExecutor(2, "cache-files")
        connect = partial(CacheRows, folder, disk=disk, inline=inline, max_size=max_size, now=now)
        try:
            self._rows = self._thread.submit(connect).result()
        except BaseException:
            self._thread.shutdown()
            self._files.shutdown()
            raise
        if self._rows.rebuilt_at is not None:
            self.crowd()

    async def ask(self, work: Callable[[CacheRows], T]) -> T:
        """What *work* does with the rows, in their thread."""
        return await self.submit(work)

    def submit(self, work: Callable[[CacheRows], T]) -> asyncio.Future[T]:
        """The same, for who must know the outcome even if he stops waiting."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work, self._rows)

    async def on_files(self, work: Callable[[], T]) -> T:
        """Slow *work* on files, which needs no rows."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    def touch(self, key: str) -> None:
        """Remember that *key* was used; the next sweep writes it down, for a read must not wait for a write.

        Grows to one entry for each row at most.
        """
        self._touched[key] = self._now()

    async def check_room(self) -> None:
        """Have `run` sweep at once where there is something to evict."""
        try:
            crowded = await self.ask(CacheRows.surplus) > 0 or await self._missing() > 0
        except (Unavailable, OSError) as error:
            logger.warning("How full the cache is could not be found out: %s", error)
        else:
            if crowded:
                self.crowd()

    def crowd(self) -> None:
        """Have `run` sweep at once."""
        self._crowded.set()

    async def run(self, every: float) -> None:
        """Sweep every *every* seconds, and when there is no room, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await self._crowded.wait()
            self._crowded.clear()
            try:
                await self.sweep()
            except (Unavailable, OSError) as error:
                logger.warning("The cache could not be swept: %s", error)

    async def sweep(self, *, room: int = 0) -> int:
        """Write down what was used, evict what is too much, tidy one folder; how many rows were evicted.

        *room*: bytes that are to fit on the disk beside those that are always left free.
        """
        async with self._sweeping:
            await self._write_down()
            lock = await self.on_files(partial(_lock, self._folder))
            if lock is None:
                return 0  # another process is at it
            try:
                evicted = await self._evict(room)
                await self.ask(CacheRows.vacuum)
                await self._tidy()
            finally:
                os.close(lock)
            return evicted

    async def make_room(self, size: int) -> None:
        """Sweep now if *size* bytes more would not fit on the disk."""
        try:
            if await self._missing() + size > 0:
                await self.sweep(room=size)
        except (Unavailable, OSError) as error:
            logger.warning("No room could be made in the cache: %s", error)

    async def close(self) -> None:
        """Write down what was used and let go of the database.  Nothing may be asked afterwards."""
        try:
            await self._write_down()
        except Unavailable as error:
            logger.info("What was used of the cache is forgotten: %s", error)
        await self.ask(CacheRows.close)
        self._thread.shutdown(wait=False)
        self._files.shutdown(wait=False)

    async def _write_down(self) -> None:
        await self.ask(CacheRows.stay_connected)
        while self._touched:
            keys = list(self._touched)[:BATCH]
            times = [(self._touched.pop(key), key) for key in keys]
            await self.ask(partial(CacheRows.used, times=times))

    async def _missing(self) -> int:
        """Bytes that should be free and are not."""
        return self._min_free - await self.on_files(partial(self._free, self._folder))

    async def _evict(self, room: int) -> int:
        # Measured once: what goes while clients still read it becomes free later, and must not cost all the rest.
        missing = await self._missing() + room if self._min_free or room else 0
        evicted = 0
        while victims := await self.ask(partial(_chosen, missing=missing)):
            # The files first: on a full disk SQLite cannot even delete.  A row without its file is a miss.
            await self.on_files(partial(self._rows.remove_files, [victim.filename for victim in victims]))
            await self.ask(partial(CacheRows.delete, victims=victims))
            missing -= sum(victim.size for victim in victims)
            evicted += len(victims)
        return evicted

    async def _tidy(self) -> None:
        """Bring rows and files together: in one of the folders, or in all where the database was made anew."""
        rebuilt_at, self._rows.rebuilt_at = self._rows.rebuilt_at, None
        if rebuilt_at is not None:
            for number in range(FOLDERS):
                await self._tidy_folder(f"{number:02x}", rebuilt_at)
            return
        await self._tidy_folder(f"{self._next_folder:02x}", self._now() - ORPHANED)
        self._next_folder = (self._next_folder + 1) % FOLDERS

    async def _tidy_folder(self, name: str, before: float) -> None:
        """Remove rows without a file, and files without a row that came *before* (seconds since the epoch).

        The order matters: a row that was there first had its file already, as no name is used twice.
        """
        rows = await self.ask(partial(CacheRows.filenames, folder=name))
        files = await self.on_files(partial(_files_in, self._folder, name))
        lost = rows - files.keys()
        if lost:
            await self.ask(partial(CacheRows.forget, filenames=lost))
        suspects = {filename for filename, changed in files.items() if changed < before} - rows
        if suspects:
            orphans = suspects - await self.ask(partial(CacheRows.filenames, folder=name))
            await self.on_files(partial(self._rows.remove_files, orphans))


def _chosen(rows: CacheRows, *, missing: int) -> list[Victim]:
    """The next rows to go, not one more than needed."""
    surplus = max(rows.surplus(), missing)
    victims: list[Victim] = []
    if surplus > 0:
        for victim in rows.oldest(VICTIMS):
            victims.append(victim)
            surplus -= victim.size
            if surplus <= 0:
                break
    return victims


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the sweeper's lock until it is closed; None where another process has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(folder / "sweep.lock", flags, 0o600)
    except OSError as error:
        raise Unavailable("The cache's folder cannot be written.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _files_in(folder: Path, name: str) -> dict[str, float]:
    """The files of one of the folders, and when each was linked there (seconds since the epoch)."""
    found: dict[str, float] = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder / name) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found[f"{name}/{entry.name}"] = entry.stat(follow_symlinks=False).st_ctime
    return found
