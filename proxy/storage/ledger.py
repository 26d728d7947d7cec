"""The rows of a Store: names, files, tombstones and pins in one SQLite database.

Knows SQL, and nothing of the files on disk, of threads or of asyncio.  Lets sqlite3.Error through as it comes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.utils import NormalizedName

from ..errors import StoreDown
from ..simple.model import File

MIGRATIONS = (
    """
    -- Every name ever uploaded: the row outlives the files.
    CREATE TABLE names (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE files (
        filename TEXT PRIMARY KEY,
        name TEXT NOT NULL REFERENCES names (name),
        path TEXT NOT NULL,        -- blake2b-256 of the content: where it lies, and where it is served
        sha256 TEXT NOT NULL,
        size INTEGER NOT NULL,
        requires_python TEXT,
        metadata_sha256 TEXT,
        metadata_size INTEGER,
        uploaded INTEGER NOT NULL  -- microseconds since the epoch: when it was received; never changed
    ) STRICT;
    CREATE INDEX files_of_a_name ON files (name, filename);
    CREATE INDEX files_of_a_content ON files (path);
    CREATE TABLE tombstones (filename TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE pins (
        origin TEXT NOT NULL,
        filename TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        first_seen INTEGER NOT NULL,  -- microseconds since the epoch
        PRIMARY KEY (origin, filename)
    ) STRICT, WITHOUT ROWID;
    """,
)
"""SQL that makes schema n + 1 out of schema n.  What was released is never edited, only followed by more."""

BUSY = 10.0
"""Seconds to wait while another process writes."""

SETTINGS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")

_UNLESS = {
    "files": "WHERE filename NOT IN (SELECT filename FROM main.tombstones)",
    "tombstones": "WHERE filename NOT IN (SELECT filename FROM main.files)",
}
"""Which of another database's rows are not taken over, beyond those whose key is there."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = "filename, name, path, sha256, size, requires_python, metadata_sha256, metadata_size, uploaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One private file, as its row has it."""

    name: NormalizedName
    file: File
    metadata_size: int | None
    """Bytes of the `.metadata` beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All that a database says of private files, as it was at one moment."""

    names: frozenset[NormalizedName]
    entries: Mapping[str, Entry]
    """By filename."""
    tombstones: frozenset[str]
    """Filenames."""


class Ledger:
    """One connection to the database *path*.  For one thread at a time."""

    def __init__(self, path: Path, *, settings: Sequence[str] = SETTINGS) -> None:
        # Autocommit: transactions begin and end where changing() says, not where the module guesses.
        self._connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            for setting in settings:
                self._connection.execute(f"PRAGMA {setting}").fetchall()
        except sqlite3.Error:
            self.close()
            raise

    @classmethod
    @contextmanager
    def reading(cls, path: Path, *, any_version: bool = False) -> Iterator[Ledger]:
        """A connection that changes nothing, beside a server that may be writing; raise StoreDown where *path* is
        missing, or of another schema than ours although not *any_version* will do.
        """
        # Looked for, as SQLite would make an empty one.  And not opened with mode=ro: where no server has it open,
        # such a connection makes the files of the write-ahead log and leaves them behind.
        if not path.exists():
            raise StoreDown(f"There is no {path.name} in this folder: it is not the state folder of a Yizhan.")
        ledger = cls(path, settings=("query_only = ON",))
        try:
            if not any_version and ledger.version() != len(MIGRATIONS):
                raise StoreDown("The database is of another version of Yizhan: start this one once, or use that one.")
            yield ledger
        finally:
            ledger.close()

    def close(self) -> None:
        self._connection.close()

    def check(self) -> None:
        """Raise sqlite3.DatabaseError where the database is damaged: half a list of names would be a lie."""
        (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)

    def version(self) -> int:
        """Of the schema; 0 where there is none."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def prepare(self, *, expected: bool) -> None:
        """Bring the schema up to date; raise StoreDown where there is none although one is *expected*, or a newer one.

        Each step is one transaction with its number: a kill leaves the old schema or the new one.
        """
        version = self.version()
        if version == 0 and expected:
            raise StoreDown(
                "The database of private names is empty although files were stored here: "
                "restore store.db from a backup, or everything private would count as public."
            )
        if version > len(MIGRATIONS):
            raise StoreDown("The data folder was written by a newer version of Yizhan: run that one.")
        for number, step in enumerate(MIGRATIONS[version:], version + 1):
            try:
                self._connection.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")
            except sqlite3.Error:
                self._roll_back()
                raise

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One transaction, during which no other connection writes."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # After some errors (a full disk) SQLite has done so itself.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def names(self) -> frozenset[NormalizedName]:
        return frozenset(NormalizedName(name) for (name,) in self._connection.execute("SELECT name FROM names"))

    def is_empty(self) -> bool:
        """Whether no file is listed."""
        return self._connection.execute("SELECT 1 FROM files LIMIT 1").fetchone() is None

    def rows(self) -> Rows:
        """Everything at once: no change falls in between."""
        self._connection.execute("BEGIN")
        try:
            listed = map(_entry, self._connection.execute(f"SELECT {_COLUMNS} FROM files ORDER BY filename"))  # noqa: S608 -- a constant of this module
            return Rows(
                names=self.names(),
                entries={entry.file.filename: entry for entry in listed},
                tombstones=frozenset(filename for (filename,) in self._connection.execute("SELECT * FROM tombstones")),
            )
        finally:
            self._connection.execute("ROLLBACK")

    def copy(self, target: Path) -> None:
        """Write all of it, as it is now, to the new file *target*, which needs no other file beside it."""
        with closing(sqlite3.connect(target)) as copy:
            # In one step: in several it would begin anew whenever the server writes.
            self._connection.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()

    def absorb(self, other: Path) -> None:
        """Add the rows of the database *other*, of the same schema, to these, which win (decision 6).

        What is listed here keeps its bytes and stays listed; what was deleted here stays deleted.  All or nothing.
        """
        self._connection.execute("ATTACH DATABASE ? AS other", (str(other),))
        try:
            with self.changing():
                self._connection.execute("PRAGMA defer_foreign_keys = ON")
                tables = self._connection.execute(
                    "SELECT name FROM other.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                )
                for (table,) in tables.fetchall():
                    unless = _UNLESS.get(table, "")
                    self._connection.execute(f"INSERT OR IGNORE INTO main.{table} SELECT * FROM other.{table} {unless}")  # noqa: S608 -- the schema's own names
        finally:
            self._connection.execute("DETACH DATABASE other")

    def files(self, name: NormalizedName) -> tuple[File, ...]:
        """The files of *name* by filename."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM files WHERE name = ? ORDER BY filename", (name,))  # noqa: S608 -- a constant of this module
        return tuple(_entry(row).file for row in rows)

    def entry(self, filename: str) -> Entry | None:
        row = self._connection.execute(f"SELECT {_COLUMNS} FROM files WHERE filename = ?", (filename,)).fetchone()  # noqa: S608 -- a constant of this module
        return None if row is None else _entry(row)

    def is_removed(self, filename: str) -> bool:
        """Whether *filename* has a tombstone."""
        found = self._connection.execute("SELECT 1 FROM tombstones WHERE filename = ?", (filename,))
        return found.fetchone() is not None

    def holds(self, path: str) -> bool:
        """Whether any file has the content *path*."""
        found = self._connection.execute("SELECT 1 FROM files WHERE path = ? LIMIT 1", (path,))
        return found.fetchone() is not None

    def insert(self, entry: Entry) -> None:
        """List *entry*, and claim its name."""
        file = entry.file
        assert file.upload_time is not None
        beside = file.core_metadata["sha256"] if isinstance(file.core_metadata, Mapping) else None
        self._connection.execute("INSERT OR IGNORE INTO names VALUES (?)", (entry.name,))
        self._connection.execute(
            f"INSERT INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- a constant of this module
            (
                file.filename,
                entry.name,
                file.path,
                file.sha256,
                file.size,
                file.requires_python,
                beside,
                entry.metadata_size,
                _stamp(file.upload_time),
            ),
        )

    def bury(self, filename: str) -> None:
        """Take *filename* off, and leave a tombstone."""
        self._connection.execute("DELETE FROM files WHERE filename = ?", (filename,))
        self._connection.execute("INSERT INTO tombstones VALUES (?)", (filename,))

    def pinned(self, origin: str, filename: str) -> str | None:
        """The sha256 that was pinned."""
        row = self._connection.execute(
            "SELECT sha256 FROM pins WHERE origin = ? AND filename = ?", (origin, filename)
        ).fetchone()
        return None if row is None else str(row[0])

    def pin(self, origin: str, filename: str, sha256: str, *, seen: datetime) -> None:
        """Remember *sha256* unless one is pinned."""
        self._connection.execute(
            "INSERT OR IGNORE INTO pins VALUES (?, ?, ?, ?)", (origin, filename, sha256, _stamp(seen))
        )


def _entry(row: Sequence[object]) -> Entry:
    filename, name, path, sha256, size, requires_python, metadata_sha256, metadata_size, uploaded = row
    assert isinstance(size, int)
    assert isinstance(uploaded, int)
    file = File(
        filename=str(filename),
        path=str(path),
        hashes={"sha256": str(sha256)},
        size=size,
        requires_python=None if requires_python is None else str(requires_python),
        upload_time=_EPOCH + timedelta(microseconds=uploaded),
        core_metadata=False if metadata_sha256 is None else {"sha256": str(metadata_sha256)},
    )
    return Entry(
        name=NormalizedName(str(name)),
        file=file,
        metadata_size=metadata_size if isinstance(metadata_size, int) else None,
    )


def _stamp(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
