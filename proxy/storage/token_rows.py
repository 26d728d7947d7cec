"""The rows of tokens in a Store's database.

Knows SQL; transactions are ledger.py's.  Lets sqlite3.Error through as it comes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from ..rights import Right
from ..simple.names import NamePattern
from . import Token
from .schema import moment, stamp

_COLUMNS = "id, user, digest, scope, may, note, created, expires, used, revoked"


class TokenRows:
    """What the database behind *connection* says of tokens."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> dict[str, Token]:
        """By id, in the order of their making."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY created, id")  # noqa: S608 -- a constant of this module
        return {token.id: token for token in map(_token, rows)}

    def has(self, id: str) -> bool:
        return self._connection.execute("SELECT 1 FROM tokens WHERE id = ?", (id,)).fetchone() is not None

    def insert(self, token: Token) -> None:
        self._connection.execute(
            f"INSERT INTO tokens ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- a constant of this module
            (
                token.id,
                token.user,
                token.digest,
                " ".join(token.scope),
                " ".join(sorted(token.may)),
                token.note,
                stamp(token.created),
                _stamp_or_none(token.expires),
                _stamp_or_none(token.used),
                _stamp_or_none(token.revoked),
            ),
        )

    def revoke(self, id: str, *, now: datetime) -> None:
        """Make it worthless; the first time counts."""
        self._connection.execute("UPDATE tokens SET revoked = ? WHERE id = ? AND revoked IS NULL", (stamp(now), id))

    def use(self, id: str, time: datetime) -> None:
        """Note that it was seen at *time*, unless it was seen later."""
        seen = stamp(time)
        self._connection.execute(
            "UPDATE tokens SET used = ? WHERE id = ? AND (used IS NULL OR used < ?)", (seen, id, seen)
        )


def _token(row: Sequence[object]) -> Token:
    id, user, digest, scope, may, note, created, expires, used, revoked = row
    assert isinstance(created, int)
    return Token(
        id=str(id),
        user=str(user),
        digest=str(digest),
        scope=tuple(map(NamePattern, str(scope).split())),
        may=frozenset(cast("list[Right]", str(may).split())),
        note=str(note),
        created=moment(created),
        expires=_moment_or_none(expires),
        used=_moment_or_none(used),
        revoked=_moment_or_none(revoked),
    )


def _stamp_or_none(time: datetime | None) -> int | None:
    return None if time is None else stamp(time)


def _moment_or_none(stamped: object) -> datetime | None:
    return moment(stamped) if isinstance(stamped, int) else None
