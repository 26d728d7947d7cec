"""The rows of a diskcache.Cache: read and written in transactions, and begun anew where their folder is harmed.

Knows SQLite, diskcache's tables (5.6.3 exactly) and errors.  Everything here blocks and belongs to one thread.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import diskcache

from ..errors import DiskFull, Unavailable
from .plain_disk import PlainDisk

T = TypeVar("T")
Sql = Callable[..., sqlite3.Cursor]

DATABASE = "cache.db"

TRIES = 2
"""Transactions begun before a busy database is given up; each waits for BUSY seconds, and once more to learn why."""

BUSY = 1.0

_VACUUM = 2000
"""Freed pages given back to the file system at a time."""

_SURELY_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A row that is to go."""

    rowid: int
    filename: str | None
    size: int
    """Bytes."""


def check_sqlite(connect: Callable[[str], sqlite3.Connection] = sqlite3.connect) -> None:
    """Raise Unavailable where this machine's SQLite cannot run diskcache.

    diskcache writes `WHERE key = "size"`; an SQLite built with SQLITE_DQS=0 takes "size" for a column.
    """
    with contextlib.closing(connect(":memory:")) as connection:
        try:
            connection.execute("CREATE TABLE t (key)")
            connection.execute('CREATE TRIGGER i AFTER INSERT ON t BEGIN UPDATE t SET key = 1 WHERE key = "size"; END')
            connection.execute('SELECT 1 FROM t WHERE key = "size"')
        except sqlite3.OperationalError as error:
            raise Unavailable(
                "The cache cannot work with this Python's SQLite, which was built with SQLITE_DQS=0: "
                "use one that accepts double-quoted strings, as Debian's does."
            ) from error


class CacheRows:
    """Rows of (key, value, tag) in *folder*; opening may take a while where the database must be made anew.

    Raise DiskFull or Unavailable; only `read` does not, to which everything unreadable is a miss.
    """

    def __init__(
        self, folder: Path, *, disk: type[PlainDisk], inline: int, max_size: int, now: Callable[[], float]
    ) -> None:
        self.folder = folder
        self.rebuilt_at: float | None = None
        """When the database was last made anew beside the files of an old one (seconds since the epoch)."""
        self._disk = disk
        self._inline = inline
        self._max_size = max_size
        self._now = now
        self._connect()

    def read(self, key: str, *, handle: bool) -> tuple[Any, object] | None:
        """The value of *key* (bytes, or an open handle) and its tag; None where there is none that can be read."""
        try:
            self.stay_connected()
            value, tag = self._cache.get(key, read=handle, tag=True)
        except Unavailable as error:
            logger.warning("%s", error)
            return None
        except sqlite3.Error as error:
            logger.warning("The cache could not be read: %s", error)
            self._let_go(error)
            return None
        return None if value is None else (value, tag)

    def write(self, rows: Sequence[tuple[str, object, str]], size: int) -> bool:
        """Keep all of *rows* or none; False, with nothing changed, where their *size* in bytes can never fit."""
        self.stay_connected()
        # Where values lie in the database itself, evicting them makes it smaller; else it is there whatever goes.
        fixed = 0 if self._inline else self._query(_database_size)
        if size + fixed > self._max_size:
            return False
        now = self._now()

        def insert(sql: Sql) -> None:
            for key, value, tag in rows:
                self._cache.set(key, value, tag=tag)
                # diskcache took the time from its own clock.
                sql("UPDATE Cache SET access_time = ? WHERE key = ? AND raw = 1", (now, key))

        self._commit(insert)
        return True

    def drop(self, *keys: str) -> None:
        """Forget *keys*."""

        def delete(_: Sql) -> None:
            for key in keys:
                self._cache.delete(key)

        self.stay_connected()
        self._commit(delete)

    def used(self, times: Iterable[tuple[float, str]]) -> None:
        """Write down when keys were last used."""

        def update(sql: Sql) -> None:
            for row in times:
                sql("UPDATE Cache SET access_time = MAX(access_time, ?) WHERE key = ? AND raw = 1", row)

        self.stay_connected()
        self._commit(update)

    def surplus(self) -> int:
        """Bytes above the limit; negative where there is room."""

        def measure(sql: Sql) -> int:
            (files,) = sql("SELECT value FROM Settings WHERE key = 'size'").fetchone()
            return _database_size(sql) + int(files) - self._max_size

        return self._query(measure)

    def oldest(self, count: int) -> list[Victim]:
        """The *count* least recently used rows, the oldest first."""
        select = (
            "SELECT rowid, filename, COALESCE(size, 0) + COALESCE(LENGTH(value), 0) FROM Cache"
            " ORDER BY access_time, rowid LIMIT ?"
        )
        rows = self._query(lambda sql: sql(select, (count,)).fetchall())
        return [Victim(rowid=rowid, filename=filename, size=size) for rowid, filename, size in rows]

    def delete(self, victims: Sequence[Victim]) -> None:
        """Forget *victims*, but for those that were replaced meanwhile; their files are the caller's affair."""

        def delete(sql: Sql) -> None:
            for victim in victims:
                sql("DELETE FROM Cache WHERE rowid = ? AND filename IS ?", (victim.rowid, victim.filename))

        self._commit(delete)

    def filenames(self, folder: str) -> set[str]:
        """The names that rows have in *folder*, one of the 256."""
        # "0" follows "/" in ASCII.
        bounds = f"{folder}/", f"{folder}0"
        select = "SELECT filename FROM Cache WHERE filename >= ? AND filename < ?"
        return {filename for (filename,) in self._query(lambda sql: sql(select, bounds).fetchall())}

    def forget(self, filenames: set[str]) -> None:
        """Remove the rows of files that are gone."""

        def delete(sql: Sql) -> None:
            for filename in filenames:
                sql("DELETE FROM Cache WHERE filename = ?", (filename,))

        self._commit(delete)

    def remove_files(self, filenames: Iterable[str | None]) -> None:
        """Unlink values' files; may be called in any thread, for freeing big ones takes long."""
        for filename in filenames:
            self._cache.disk.remove(filename)

    def vacuum(self) -> None:
        """Give some freed pages back to the file system."""
        # It frees one page for each step, and execute() takes one step of what has no columns.
        self._query(lambda _: self._cache._con.executescript(f"PRAGMA incremental_vacuum({_VACUUM})"))

    def stay_connected(self) -> None:
        """Begin anew where someone removed the folder under us: SQLite would go on with the file that is gone."""
        if self._database_identity() != self._identity:
            logger.warning("The cache's folder was removed or replaced; it is made anew.")
            self._cache.close()
            self._connect()

    def close(self) -> None:
        self._cache.close()

    def _connect(self) -> None:
        check_sqlite()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Who may write here decides what is served, and who may read here reads what private indexes sent.
            self.folder.chmod(0o700)
            try:
                self._cache = self._opened()
            except (sqlite3.DatabaseError, ValueError, TypeError) as error:
                if isinstance(error, sqlite3.Error) and not _is_broken(error):
                    raise
                self._set_aside(error)
                self._cache = self._opened()
            self._identity = self._database_identity()
        except (sqlite3.Error, OSError) as error:
            raise _explained(error) from error

    def _opened(self) -> Any:
        cache = diskcache.Cache(
            str(self.folder),
            timeout=BUSY,
            disk=self._disk,
            disk_min_file_size=self._inline,
            eviction_policy="none",  # and no cull: diskcache's own takes ten rows, whatever their size, in each set()
            cull_limit=0,
            size_limit=self._max_size,
            sqlite_auto_vacuum=2,  # incremental: without it, a database that was big once counts as big for ever
            sqlite_cache_size=2048,
            sqlite_mmap_size=0,  # a database cut short, or a disk that fails, would end the process with SIGBUS
            statistics=0,
            tag_index=0,
        )
        cache._sql("CREATE INDEX IF NOT EXISTS Cache_access_time ON Cache (access_time)")
        cache._sql("CREATE INDEX IF NOT EXISTS Cache_filename ON Cache (filename)")
        return cache

    def _set_aside(self, error: BaseException) -> None:
        logger.error("The cache's database is unusable and is made anew: %s", error)
        os.replace(self.folder / DATABASE, self.folder / f"{DATABASE}.broken")
        for suffix in ("-wal", "-shm"):
            (self.folder / (DATABASE + suffix)).unlink(missing_ok=True)
        self.rebuilt_at = self._now()

    def _database_identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.folder / DATABASE)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _query(self, work: Callable[[Sql], T]) -> T:
        """What *work* reads."""
        try:
            return work(self._cache._sql)
        except sqlite3.Error as error:
            self._let_go(error)
            raise _explained(error) from error

    def _commit(self, work: Callable[[Sql], T]) -> T:
        """What *work* gives, run in one write transaction; if that does not commit, new files go again."""
        for _ in range(TRIES):
            written = self._cache.disk.written
            written.clear()
            try:
                with self._cache.transact():
                    return work(self._cache._sql)
            except diskcache.Timeout:
                # It hides what happened; retry=True would spin on it for ever, without a pause.
                cause = self._cause_of_timeout()
                if cause is not None:
                    self._let_go(cause)
                    raise _explained(cause) from cause
            except (sqlite3.Error, OSError) as error:
                self.remove_files(written)
                self._let_go(error)
                raise _explained(error) from error
        raise Unavailable("The cache is busy.")

    def _cause_of_timeout(self) -> sqlite3.Error | None:
        """Why no transaction could begin; None where the database is merely busy."""
        try:
            self._cache._sql("BEGIN IMMEDIATE")
            self._cache._sql("ROLLBACK")
        except sqlite3.Error as error:
            return None if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY else error
        return None

    def _let_go(self, error: BaseException) -> None:
        """After an error: a COMMIT that failed may have left its transaction open, and a broken file stays broken."""
        self._cache.close()
        if _is_broken(error):
            try:
                self._set_aside(error)
                self._connect()
            except (OSError, Unavailable) as another:
                logger.warning("The cache's database could not be made anew yet: %s", another)


def _database_size(sql: Sql) -> int:
    """Bytes of the pages in use: freed ones are used again, or given back."""
    pages, free, page = (sql(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * page)


def _is_broken(error: BaseException) -> bool:
    """Whether the database is not, or no longer, diskcache's own."""
    if not isinstance(error, sqlite3.Error):
        return False
    # A missing table has no code of its own: SQLITE_ERROR is also "no transaction is active", after a full disk.
    return _code(error) in _SURELY_BROKEN or str(error).startswith(("no such table", "no such column"))


def _explained(error: BaseException) -> Unavailable:
    """What *error*, or what it followed from, means to who asked."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull("The cache's disk is full.")
        if isinstance(cause, sqlite3.Error) and _code(cause) == sqlite3.SQLITE_FULL:
            return DiskFull("The cache's disk is full.")
        cause = cause.__context__
    return Unavailable("The cache cannot be read or written at the moment.")


def _code(error: sqlite3.Error) -> int:
    """The primary result code; errors of the sqlite3 module itself have none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
