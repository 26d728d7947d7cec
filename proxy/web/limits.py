"""How often wrong credentials may come before none are looked at for a while.

Knows user names and where requests come from, and nothing of HTTP.  Failures are counted in a sliding window for a user
at one address, and more patiently for an address, for a user, and for all: who guesses the password of one user keeps
out neither the others at that address nor that user elsewhere.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from ipaddress import IPv6Address
from typing import TypeAlias

from .peers import UNKNOWN, Address

WIDER = 10
"""An address alone, and a user alone, may be wrong this many times as often as a user at one address."""

WIDEST = 100
"""And all together this many times as often."""

LONGEST_WAIT = 10.0
"""Seconds that a client is told to wait at most: pip does as it is told, five times over, without a word."""

REMEMBERED = 10_000
"""Right passwords offered within one window whose digests are remembered, over all users, and as many wrong ones."""

MOST_NAME = 100
"""Characters by which users are told apart here: anybody can send a longer name."""

_Key: TypeAlias = tuple[str | None, str | None]
"""A user and an origin; None stands for all of them."""

_log = logging.getLogger(__name__)


class Tries:
    """Counts failures: *failures* of one user at one address within *window* seconds are the most that are judged.

    Tries under way at the same moment count once they have failed; htpasswd.WAITING bounds how many those are.
    """

    def __init__(
        self, *, failures: int = 10, window: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures = failures
        self._failed = _Window(window, WIDEST * failures, clock)
        self._offered = _Window(window, REMEMBERED, clock)
        self._wrong = _Window(window, REMEMBERED, clock)
        self._key = secrets.token_bytes(32)

    def wait(self, user: str, origin: str) -> float:
        """Seconds, LONGEST_WAIT at most, until credentials of *user* that come from *origin* are judged; 0 is now."""
        limits = self._limits(user, origin)
        return min(LONGEST_WAIT, max(self._failed.until_below(most, key) for key, most in limits.items()))

    def failed(self, user: str, origin: str, password: bytes) -> None:
        """Count a failure, each *password* once in a window: who repeats one guesses nothing.

        A job that goes on with the password of last year must not keep out who has changed it.  What fails while there
        is a wait is left out too: a client of fifty connections must not use up what the others at its address may do.
        """
        _, offer = self._offer(user, origin, password)
        if self.wait(user, origin) or self._wrong.count(offer):
            return
        self._wrong.add(offer)
        limits = self._limits(user, origin)
        self._failed.add(*limits)
        for (one_user, one_origin), most in limits.items():
            if self._failed.until_below(most, (one_user, one_origin)):
                whose = "one user" if one_user else "any user"
                where = f"from {one_origin}" if one_origin else "from anywhere"
                _log.warning("too many wrong passwords of %s %s: none is judged for a while", whose, where)

    def succeeded(self, user: str, origin: str, password: bytes) -> None:
        """Forgive *user* what failed at *origin*, and let this *password* be recalled there; once in a window."""
        pair, offer = self._offer(user, origin, password)
        if not self._offered.count(offer):
            self._failed.forget(pair)
            self._offered.add(pair, offer)

    def may_recall(self, user: str, origin: str, password: bytes) -> bool:
        """Whether *password*, which came although there is a wait(), may be compared with the one that is remembered.

        Only where *user* was right lately at this *origin*, and then for WIDER times as many passwords as may fail:
        else this would be a quick way to guess that nothing counts.
        """
        pair, offer = self._offer(user, origin, password)
        if not self._offered.count(offer):
            if not 0 < self._offered.count(pair) <= WIDER * self._failures:
                return False
            self._offered.add(pair, offer)
        return True

    def _limits(self, user: str, origin: str) -> Mapping[_Key, int]:
        user = user[:MOST_NAME]
        return {
            (user, origin): self._failures,
            (None, origin): WIDER * self._failures,
            (user, None): WIDER * self._failures,
            (None, None): WIDEST * self._failures,
        }

    def _offer(self, user: str, origin: str, password: bytes) -> tuple[_Key, Hashable]:
        """What is counted of a password: whose it would be and where, and that together with its digest."""
        pair = user[:MOST_NAME], origin
        return pair, (pair, hmac.digest(self._key, password, "sha256"))


def origin_of(address: Address | None) -> str:
    """Where a client at *address* comes from: an IPv6 network of /64 is one machine's to choose addresses from."""
    if address is None:
        return "a unix socket"
    if address == UNKNOWN:
        return "an unknown address"
    if isinstance(address, IPv6Address):
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


class _Window:
    """Events of the last *seconds*, each under several keys; the oldest go first where there are more than *most*."""

    def __init__(self, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._events: deque[tuple[float, tuple[Hashable, ...]]] = deque()
        self._times: dict[Hashable, deque[float]] = {}

    def add(self, *keys: Hashable) -> None:
        now = self._clock()
        self._events.append((now, keys))
        for key in keys:
            self._times.setdefault(key, deque()).append(now)

    def count(self, key: Hashable) -> int:
        self._expire()
        return len(self._times.get(key, ()))

    def until_below(self, most: int, key: Hashable) -> float:
        """Seconds until fewer than *most* events of *key* are left; 0 where it is so now."""
        over = self.count(key) - most
        return self._times[key][over] + self._seconds - self._clock() if over >= 0 else 0.0

    def forget(self, key: Hashable) -> None:
        self._times.pop(key, None)

    def _expire(self) -> None:
        edge = self._clock() - self._seconds
        while self._events and (self._events[0][0] <= edge or len(self._events) > self._most):
            when, keys = self._events.popleft()
            for key in keys:
                times = self._times.get(key)
                if times and times[0] <= when:
                    times.popleft()
                if not times:
                    self._times.pop(key, None)
