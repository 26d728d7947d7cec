"""The tables of a Store's database, one step after the other, and how their columns write a time.  Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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
    """
    ALTER TABLE files ADD COLUMN yanked TEXT;  -- NULL: it is not; '': without a reason; else the reason
    CREATE TABLE provenances (
        filename TEXT PRIMARY KEY REFERENCES files (filename) ON DELETE CASCADE,
        sha256 TEXT NOT NULL,
        body BLOB NOT NULL         -- as it came, at most a few MiB
    ) STRICT;
    -- Since when the filename may be used again.  The row stays, so that no restored backup brings the file back.
    ALTER TABLE tombstones ADD COLUMN readmitted INTEGER;
    -- What an operator said of a name: no row where nothing was said.
    CREATE TABLE standings (
        name TEXT PRIMARY KEY REFERENCES names (name),
        status TEXT NOT NULL CHECK (status IN ('active', 'archived', 'deprecated', 'quarantined')),
        reason TEXT,
        reserved INTEGER           -- when, where an operator reserved it
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        user TEXT NOT NULL,
        digest TEXT NOT NULL,
        scope TEXT NOT NULL,       -- name patterns, with blanks between them
        may TEXT NOT NULL,         -- rights, with blanks between them
        note TEXT NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER,
        used INTEGER,
        revoked INTEGER            -- the row stays, so that no restored backup brings the token back
    ) STRICT;
    """,
)
"""SQL that makes schema n + 1 out of schema n.  What was released is never edited, only followed by more.

Times are microseconds since the epoch.
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stamp(time: datetime) -> int:
    """The aware *time*, as a column has it."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def moment(stamped: int) -> datetime:
    """The time that a column says, aware, in UTC."""
    return _EPOCH + timedelta(microseconds=stamped)
