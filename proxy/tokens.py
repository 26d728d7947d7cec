"""Tokens: what programs sign in with, as they are made, shown once, and known again.

Knows People, and nothing of HTTP.  The text of a token is `yzn_<id>_<secret>`: the id names it to people and logs, and
of the secret nothing but its sha256 is kept.  Its beginning lets scanners find those that were published by mistake.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from .errors import BadRequest, Unavailable
from .rights import Right
from .simple.names import NamePattern
from .storage import People, Token

PREFIX = "yzn_"

ID_BYTES, SECRET_BYTES = 6, 32
"""Random bytes of each, written in hex; 256 bits of a secret are beyond guessing."""

FLUSH = 60.0
"""Seconds between two writes of when tokens were last seen."""

_TEXT = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")

_NOBODYS = "0" * 64
"""Stands for the digest of an unknown token."""

_log = logging.getLogger(__name__)


def make_token(
    user: str,
    *,
    scope: Iterable[NamePattern] = (),
    may: Iterable[Right],
    expires: datetime | None,
    note: str = "",
    now: datetime,
    chance: Callable[[int], bytes],
) -> tuple[Token, str]:
    """A token of *user*, and its text, which is shown once and nowhere kept.

    *now* and *expires* are aware; *chance* gives so many random bytes.  Raise BadRequest where it has expired already.
    """
    if expires is not None and expires <= now:
        raise BadRequest("A token has to expire later than now.")
    key, secret = chance(ID_BYTES).hex(), chance(SECRET_BYTES).hex()
    token = Token(
        id=key,
        user=user,
        digest=_digest(secret),
        scope=tuple(scope),
        may=frozenset(may),
        note=note,
        created=now,
        expires=expires,
    )
    return token, f"{PREFIX}{key}_{secret}"


def is_token(text: str) -> bool:
    """Whether *text* is written as a token is, known or not: then it is nobody's password."""
    return _TEXT.fullmatch(text) is not None


class Tokens:
    """The tokens of *people*; *now* gives the time, aware."""

    def __init__(self, people: People, *, now: Callable[[], datetime]) -> None:
        self._people = people
        self._now = now
        self._seen: dict[str, datetime] = {}

    async def check(self, secret: str) -> Token | None:
        """The token whose text *secret* is; None where it is none, has expired, or was revoked.

        That its user is still one is not looked at here.  Raise Unavailable where it cannot be found out.
        """
        found = _TEXT.fullmatch(secret)
        if found is None:
            return None
        token = (await self._people.tokens()).get(found[1])
        # Of an unknown id too, and in constant time: an answer's time tells nothing of what is kept.
        right = hmac.compare_digest(_digest(found[2]), token.digest if token is not None else _NOBODYS)
        now = self._now()
        if token is None or not right or token.revoked is not None:
            return None
        if token.expires is not None and token.expires <= now:
            return None
        self._note(token, now)
        return token

    async def run(self) -> None:
        """Write down when tokens were last seen, every FLUSH seconds, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH)
            await self.flush()

    async def close(self) -> None:
        """Write down what is not written yet."""
        await self.flush()

    async def flush(self) -> None:
        """Write down when tokens were last seen; what cannot be written now waits for the next time."""
        written = dict(self._seen)
        if not written:
            return
        try:
            await self._people.used(written)
        except Unavailable as error:
            _log.warning("when tokens were last seen cannot be written now: %s", error)
        else:
            self._seen = {key: seen for key, seen in self._seen.items() if written.get(key) != seen}

    def _note(self, token: Token, now: datetime) -> None:
        """One note a minute is enough for people, and spares the disk."""
        last = self._seen.get(token.id, token.used)
        if last is None or now - last >= timedelta(seconds=FLUSH):
            self._seen[token.id] = now


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
