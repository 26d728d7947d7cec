"""The users of an Apache htpasswd file: whether a password is theirs.

Knows the file, and nothing of HTTP; what its lines mean is config.htpasswd's.  Hashing is slow on purpose, so it is
done in threads of its own, once for however many requests bring the same password, and the outcome is remembered for a
while.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..config.htpasswd import Users, decoded, matches, parse_htpasswd
from ..errors import TooManyTries, Unavailable

LOOK = 1.0
"""Seconds between two looks at the file."""

REFUSED = 5.0
"""Seconds for which a wrong password is remembered: a client that repeats it costs nothing."""

THREADS = 2
WAITING = 16
"""Passwords that may wait for a thread; who comes after them is asked to come again."""

COME_AGAIN = 5.0
"""Seconds after which."""

REMEMBERED = 4096
"""Right passwords remembered at most, and as many wrong ones."""

MAX_BYTES = 16 * 1024 * 1024
"""Of the file."""

MAX_COMPLAINTS = 20
"""Lines of one file that are named in the log."""

Stamp = tuple[int, int, int]
"""What changes when a file does: its mtime in ns, its size in bytes, its inode."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A version of the file, and what it says; without a stamp there is no file."""

    stamp: Stamp | None
    users: Users
    open_to_all: bool = False
    """Everybody on this machine may write to it."""


class _Unsettled(Exception):
    """The file is there, and cannot be believed now."""


class Htpasswd:
    """The file at *path*, read again when it changes; a removed file means that nobody can sign in.

    *remember* is for how many seconds a right password need not be hashed again; a change of the file ends it.
    """

    def __init__(self, path: Path, *, remember: float = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self.hashed = 0
        """How many passwords were hashed so far."""
        self._path = path
        self._clock = clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sign-in")
        self._key = secrets.token_bytes(32)
        self._right = _Memory(remember, clock)
        self._wrong = _Memory(REFUSED, clock)
        self._checks: dict[bytes, asyncio.Future[bool]] = {}
        self._seen: _Seen | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_at = clock()
        self._complaint = ""

    async def check(self, user: bytes, password: bytes) -> str | None:
        """The name of the user whose password this is, None where it is nobody's; both as the client sent them.

        An unknown user, and one without a password, takes the same work as a known one with a wrong password.  Raise
        TooManyTries where too many passwords wait to be checked, Unavailable where the file was never readable.
        """
        users = (await self._look()).users
        name, secret = decoded(user), decoded(password).encode()
        if not secret or b"\0" in secret or not users.hashes:
            return None
        key = self._fingerprint(name, secret)
        if self._right.holds(key):
            return name
        if self._wrong.holds(key):
            return None
        return name if await self._check(key, name, secret, users) else None

    async def recall(self, user: bytes, password: bytes) -> str | None:
        """As check(), for a password that was right lately; None of any other: nothing is hashed.  Raise Unavailable
        where the file was never readable.
        """
        await self._look()
        name = decoded(user)
        return name if self._right.holds(self._fingerprint(name, decoded(password).encode())) else None

    async def knows(self, name: str) -> bool:
        """Whether *name* stands in the file, with a password or without; raise Unavailable where that is unreadable."""
        return (await self._look()).users.knows(name)

    def close(self) -> None:
        """Give up the threads; what waits for them is cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fingerprint(self, name: str, secret: bytes) -> bytes:
        """What is remembered in place of a password; another version of the file makes another one."""
        assert self._seen is not None
        said = repr((self._seen.stamp, name, secret)).encode()
        return hmac.digest(self._key, said, "sha256")

    async def _check(self, key: bytes, name: str, secret: bytes, users: Users) -> bool:
        """Hash *secret*, or wait for whoever is doing so."""
        check = self._checks.get(key)
        if check is None:
            if len(self._checks) >= THREADS + WAITING:
                raise TooManyTries("Too many sign-ins at once: try again in a few seconds.", COME_AGAIN)
            hashed = users.hashes.get(name, self._stand_in(name, users))
            known = name in users.hashes
            check = asyncio.get_running_loop().run_in_executor(self._pool, _check_as, known, secret, hashed)
            self.hashed += 1
            self._checks[key] = check
            check.add_done_callback(partial(self._done, key))
        # Shielded: one client that hangs up must not take the answer from the others.
        return await asyncio.shield(check)

    def _done(self, key: bytes, check: asyncio.Future[bool]) -> None:
        del self._checks[key]
        if not check.cancelled() and check.exception() is None:
            (self._right if check.result() else self._wrong).add(key)

    def _stand_in(self, name: str, users: Users) -> str:
        """A hash to work on for an unknown *name*: some known user's, always the same one.

        Not a fixed hash: where costs or kinds differ within the file, its time would tell the unknown from the known.
        """
        hashes = list(users.hashes.values())
        return hashes[int.from_bytes(hmac.digest(self._key, name.encode(), "sha256")) % len(hashes)]

    async def _look(self) -> _Seen:
        """The newest version of the file that can be believed, looked for at most every LOOK seconds."""
        if self._looking is None and self._clock() >= self._look_at:
            self._looking = asyncio.create_task(self._look_again())
        if self._looking is not None:
            await asyncio.shield(self._looking)
        if self._seen is None:
            raise Unavailable("The list of users cannot be read now.")
        return self._seen

    async def _look_again(self) -> None:
        self._look_at = self._clock() + LOOK
        try:
            found = await asyncio.to_thread(_read, self._path, self._seen)
        except (OSError, _Unsettled) as error:
            words = error.strerror if isinstance(error, OSError) else error
            self._complain(f"{words}; the users stay as they were")
        else:
            self._complain("" if found.stamp else "there is no such file, nobody can sign in")
            if found is not self._seen:
                self._seen = found
                _log_problems(self._path, found)
        finally:
            self._looking = None

    def _complain(self, complaint: str) -> None:
        """Log *complaint* when it is news, and not at every look."""
        if complaint and complaint != self._complaint:
            _log.warning("%s: %s", self._path, complaint)
        self._complaint = complaint


class _Memory:
    """Fingerprints that hold for a number of seconds; the oldest go first where there are too many."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: dict[bytes, float] = {}

    def holds(self, key: bytes) -> bool:
        return self._until.get(key, 0) > self._clock()

    def add(self, key: bytes) -> None:
        self._until.pop(key, None)
        self._until[key] = self._clock() + self._seconds
        if len(self._until) > REMEMBERED:
            del self._until[next(iter(self._until))]


def _check_as(known: bool, secret: bytes, hashed: str) -> bool:
    """The work of matches(), and its outcome only for a *known* user."""
    right = matches(secret, hashed)
    return right and known


def _read(path: Path, known: _Seen | None) -> _Seen:
    """What the file says now, *known* itself where it has not changed; raise OSError or _Unsettled."""
    try:
        status = os.stat(path)
        stamp = _stamp(status)
        if known is not None and stamp == known.stamp:
            return known
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
            changed = _stamp(os.fstat(file.fileno())) != stamp
    except FileNotFoundError:
        gone = _Seen(None, parse_htpasswd(b""))
        return known if known == gone else gone
    if changed:
        raise _Unsettled("it changed while it was read")
    if len(content) > MAX_BYTES:
        raise _Unsettled(f"it is larger than {MAX_BYTES} bytes")
    users = parse_htpasswd(content)
    if users.cut and known is not None:
        raise _Unsettled(f"its last line, {max(users.refused)}, is cut short")
    return _Seen(stamp, users, open_to_all=bool(status.st_mode & stat.S_IWOTH))


def _stamp(status: os.stat_result) -> Stamp:
    """Raise _Unsettled for a pipe or a device: opening one could block for ever."""
    if not stat.S_ISREG(status.st_mode):
        raise _Unsettled("it is not a regular file")
    return status.st_mtime_ns, status.st_size, status.st_ino


def _log_problems(path: Path, seen: _Seen) -> None:
    users = seen.users
    if seen.open_to_all:
        _log.warning("%s: everybody on this machine may write to it; chmod o-w it", path)
    for number, wrong in list(users.refused.items())[:MAX_COMPLAINTS]:
        _log.warning("%s: line %d %s", path, number, wrong)
    if len(users.refused) > MAX_COMPLAINTS:
        _log.warning("%s: %d lines more let nobody in", path, len(users.refused) - MAX_COMPLAINTS)
    if users.unsalted:
        lines = ", ".join(str(number) for number in users.unsalted[:MAX_COMPLAINTS])
        _log.warning("%s: {SHA} is quickly guessed, better made anew with htpasswd -B: line %s", path, lines)
