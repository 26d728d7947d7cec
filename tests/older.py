"""A database as the first release of Yizhan wrote it, for tests of what comes after."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from proxy.storage import schema

_COLUMNS = {
    "names": "name",
    "files": "filename, name, path, sha256, size, requires_python, metadata_sha256, metadata_size, uploaded",
    "tombstones": "filename",
    "pins": "origin, filename, sha256, first_seen",
}


def first_schema(target: Path, database: Path) -> None:
    """Make the new file *target*, of schema 1, with those rows of *database* that it can hold."""
    with closing(sqlite3.connect(target, isolation_level=None)) as old:
        old.executescript(f"BEGIN; {schema.MIGRATIONS[0]} PRAGMA user_version = 1; COMMIT;")
        old.execute("ATTACH DATABASE ? AS present", (str(database),))
        for table, columns in _COLUMNS.items():
            old.execute(f"INSERT INTO {table} SELECT {columns} FROM present.{table}")
