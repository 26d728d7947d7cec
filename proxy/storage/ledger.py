"""The rows of a Store: names, files, tombstones, pins and tokens in one SQLite database.

Knows SQL, and nothing of the files on disk, of threads or of asyncio.  Lets sqlite3.Error through as it comes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast
from urllib.parse import quote

from packaging.utils import NormalizedName

from ..errors import BadRequest, NotFound, StoreDown
from ..simple.model import File
from ..simple.names import versions_of
from . import Standing, Status, schema
from .schema import moment, stamp
from .token_rows import TokenRows

BUSY = 10.0
"""Seconds to wait while another process writes."""

SETTINGS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")

_IF = {
    "files": "WHERE filename NOT IN (SELECT filename FROM main.tombstones)",
    "tombstones": "WHERE filename NOT IN (SELECT filename FROM main.files)",
    "provenances": "WHERE filename IN (SELECT filename FROM main.files JOIN other.files USING (filename, name, path))",
}
"""Which of another database's rows are taken over, of those whose key is not there; tables in the schema's order."""

_REVOKED_THERE = """
    UPDATE main.tokens AS ours SET revoked = theirs.revoked FROM other.tokens AS theirs
    WHERE (ours.id, ours.digest) = (theirs.id, theirs.digest) AND ours.revoked IS NULL
"""

_COLUMNS = "filename, name, path, sha256, size, requires_python, metadata_sha256, metadata_size, uploaded, yanked"
_LISTED = (
    f"SELECT {_COLUMNS}, EXISTS (SELECT 1 FROM provenances WHERE provenances.filename = files.filename) FROM files"  # noqa: S608 -- a constant of this module
)


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
    """Filenames of what was removed."""
    readmitted: frozenset[str] = frozenset()
    """Filenames of what was removed, and that may be used again."""


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
        self.tokens = TokenRows(self._connection)

    @classmethod
    @contextmanager
    def reading(cls, path: Path, *, any_version: bool = False) -> Iterator[Ledger]:
        """A connection that changes nothing, beside a server that may be writing; of an older schema to a copy in
        memory, which is brought up to date.  Raise StoreDown where *path* is missing, or is not to be understood
        although not *any_version* will do.
        """
        # Looked for, as SQLite would make an empty one.  And not opened with mode=ro: where no server has it open,
        # such a connection makes the files of the write-ahead log and leaves them behind.
        if not path.exists():
            raise StoreDown(f"There is no {path.name} in this folder: it is not the state folder of a Yizhan.")
        with closing(cls(path, settings=("query_only = ON",))) as ledger:
            if any_version or ledger.version() == len(schema.MIGRATIONS):
                yield ledger
                return
            # A backup is wanted most before a new version is started for the first time.
            with closing(cls(Path(":memory:"), settings=())) as present:
                ledger._connection.backup(present._connection, pages=-1)
                present.prepare(expected=True)
                yield present

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
        if version > len(schema.MIGRATIONS):
            raise StoreDown("The data folder was written by a newer version of Yizhan: run that one.")
        for number, step in enumerate(schema.MIGRATIONS[version:], version + 1):
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
            listed = map(_entry, self._connection.execute(f"{_LISTED} ORDER BY filename"))
            buried = self._connection.execute("SELECT filename, readmitted IS NOT NULL FROM tombstones").fetchall()
            return Rows(
                names=self.names(),
                entries={entry.file.filename: entry for entry in listed},
                tombstones=frozenset(filename for filename, readmitted in buried if not readmitted),
                readmitted=frozenset(filename for filename, readmitted in buried if readmitted),
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

        What is listed here keeps its bytes and stays listed, what was deleted here stays deleted, and a token that was
        revoked here or there stays revoked.  All or nothing.
        """
        self._connection.execute("ATTACH DATABASE ? AS other", (str(other),))
        try:
            with self.changing():
                self._connection.execute("PRAGMA defer_foreign_keys = ON")
                tables = self._connection.execute(
                    "SELECT name FROM other.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                )
                for (table,) in tables.fetchall():
                    condition = _IF.get(table, "")
                    self._connection.execute(
                        f"INSERT OR IGNORE INTO main.{table} SELECT * FROM other.{table} {condition}"  # noqa: S608 -- the schema's own names
                    )
                self._connection.execute(_REVOKED_THERE)
        finally:
            self._connection.execute("DETACH DATABASE other")

    def files(self, name: NormalizedName) -> tuple[File, ...]:
        """The files of *name* by filename."""
        rows = self._connection.execute(f"{_LISTED} WHERE name = ? ORDER BY filename", (name,))
        return tuple(_entry(row).file for row in rows)

    def entry(self, filename: str) -> Entry | None:
        row = self._connection.execute(f"{_LISTED} WHERE filename = ?", (filename,)).fetchone()
        return None if row is None else _entry(row)

    def is_removed(self, filename: str) -> bool:
        """Whether *filename* has a tombstone, and may not be used again."""
        found = self._connection.execute(
            "SELECT 1 FROM tombstones WHERE filename = ? AND readmitted IS NULL", (filename,)
        )
        return found.fetchone() is not None

    def was_removed(self, filename: str) -> bool:
        """Whether *filename* has a tombstone, be it lifted."""
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
        self._claim(entry.name)
        # What is listed has no tombstone, and what has one is not listed.
        self._connection.execute("DELETE FROM tombstones WHERE filename = ?", (file.filename,))
        self._connection.execute(
            f"INSERT INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- a constant of this module
            (
                file.filename,
                entry.name,
                file.path,
                file.sha256,
                file.size,
                file.requires_python,
                beside,
                entry.metadata_size,
                stamp(file.upload_time),
                _reason(file.yanked),
            ),
        )

    def attest(self, filename: str, provenance: bytes) -> None:
        """Remember *provenance* of the listed *filename*, unless one is."""
        digest = hashlib.sha256(provenance).hexdigest()
        self._connection.execute("INSERT OR IGNORE INTO provenances VALUES (?, ?, ?)", (filename, digest, provenance))

    def provenance(self, filename: str) -> tuple[str, bytes] | None:
        """The provenance of *filename*: its sha256 as it was stored, and the bytes."""
        row = self._connection.execute(
            "SELECT sha256, body FROM provenances WHERE filename = ?", (filename,)
        ).fetchone()
        return None if row is None else (str(row[0]), bytes(row[1]))

    def provenances(self) -> Iterator[tuple[str, str, bytes]]:
        """All of them, as they are at one moment: filename, sha256 and bytes."""
        yield from self._connection.execute("SELECT filename, sha256, body FROM provenances ORDER BY filename")

    def bury(self, filename: str) -> None:
        """Take *filename* off, with its provenance, and leave a tombstone."""
        self._connection.execute("DELETE FROM files WHERE filename = ?", (filename,))
        self._connection.execute("INSERT INTO tombstones (filename) VALUES (?)", (filename,))

    def readmit(self, filename: str, *, now: datetime) -> None:
        """Lift the tombstone of *filename*; raise NotFound where it has none."""
        lifted = self._connection.execute(
            "UPDATE tombstones SET readmitted = ? WHERE filename = ? AND readmitted IS NULL", (stamp(now), filename)
        )
        if not lifted.rowcount:
            raise NotFound(f"{filename} was not deleted here: its name is free, or in use.")

    def yank(self, filenames: Iterable[str], yanked: bool | str) -> None:
        """Have the rows say *yanked*; raise NotFound where one is not listed."""
        for filename in filenames:
            done = self._connection.execute(
                "UPDATE files SET yanked = ? WHERE filename = ?", (_reason(yanked), filename)
            )
            if not done.rowcount:
                raise NotFound(f"{filename} is not here.")

    def standings(self) -> dict[NormalizedName, Standing]:
        """What was said of names."""
        rows = self._connection.execute("SELECT name, status, reason, reserved FROM standings ORDER BY name")
        return {
            NormalizedName(name): Standing(
                status=cast("Status", status),
                reason=reason,
                reserved=None if reserved is None else moment(reserved),
            )
            for name, status, reason, reserved in rows
        }

    def settle(self, name: NormalizedName, standing: Standing) -> None:
        """Claim *name*, and have *standing* said of it in place of what was."""
        self._claim(name)
        reserved = None if standing.reserved is None else stamp(standing.reserved)
        self._connection.execute(
            "INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?)", (name, standing.status, standing.reason, reserved)
        )

    def release(self, name: NormalizedName) -> None:
        """Claim *name* no more; raise NotFound where it is not claimed, BadRequest where files are listed."""
        if self._connection.execute("SELECT 1 FROM files WHERE name = ? LIMIT 1", (name,)).fetchone():
            raise BadRequest(f"Files of {name} are here: delete them first, then release the name.")
        self._connection.execute("DELETE FROM standings WHERE name = ?", (name,))
        if not self._connection.execute("DELETE FROM names WHERE name = ?", (name,)).rowcount:
            raise NotFound(f"{name} is neither private nor reserved here.")

    def _claim(self, name: NormalizedName) -> None:
        self._connection.execute("INSERT OR IGNORE INTO names VALUES (?)", (name,))

    def pinned(self, origin: str, filename: str) -> str | None:
        """The sha256 that was pinned."""
        row = self._connection.execute(
            "SELECT sha256 FROM pins WHERE origin = ? AND filename = ?", (origin, filename)
        ).fetchone()
        return None if row is None else str(row[0])

    def pin(self, origin: str, filename: str, sha256: str, *, seen: datetime) -> None:
        """Remember *sha256* unless one is pinned."""
        self._connection.execute(
            "INSERT OR IGNORE INTO pins VALUES (?, ?, ?, ?)", (origin, filename, sha256, stamp(seen))
        )


def _entry(row: Sequence[object]) -> Entry:
    filename, name, path, sha256, size, requires_python, metadata_sha256, metadata_size, uploaded, yanked, attested = (
        row
    )
    assert isinstance(size, int)
    assert isinstance(uploaded, int)
    owner = NormalizedName(str(name))
    file = File(
        filename=str(filename),
        path=str(path),
        hashes={"sha256": str(sha256)},
        size=size,
        requires_python=None if requires_python is None else str(requires_python),
        upload_time=moment(uploaded),
        yanked=False if yanked is None else str(yanked) or True,
        core_metadata=False if metadata_sha256 is None else {"sha256": str(metadata_sha256)},
        provenance=_provenance_path(owner, str(filename)) if attested else None,
    )
    return Entry(name=owner, file=file, metadata_size=metadata_size if isinstance(metadata_size, int) else None)


def _reason(yanked: bool | str) -> str | None:
    """The column that says *yanked*."""
    return (yanked if isinstance(yanked, str) else "") if yanked is not False else None


def _provenance_path(name: NormalizedName, filename: str) -> str | None:
    """Where the server answers with the provenance of *filename*, from its root (PEP 740, the index-hosted API)."""
    told = versions_of(name, [filename])
    if not told:
        return None
    version, last = (quote(part, safe="!+~") for part in (told[0], filename))
    return f"integrity/{name}/{version}/{last}/provenance"
