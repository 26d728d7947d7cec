"""`yizhan user`: the lines of the htpasswd file, changed so that neither a crash nor another administrator loses one.

Knows that file alone.  A running server sees the change within a second, without being told.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import click

from ..config.htpasswd import (
    MOST_PASSWORD,
    NO_PASSWORD,
    fault_of_password,
    has_line,
    hashed_password,
    parse_htpasswd,
    with_user,
    without_user,
)
from ..errors import BadRequest
from ..rights import fault_of_user

Change = Callable[[bytes], bytes]
"""From what the file holds to what it shall hold."""


def add(htpasswd: Path, name: str, password: str | None) -> None:
    """Make the user *name*; without a *password* she can sign in with tokens alone.

    Takes a third of a second.  Raise BadRequest where the name or the password can be nobody's, or the user is there
    already; OSError where the file cannot be read or replaced.
    """
    hashed = _hashed(name, password)
    _make_folder(htpasswd.parent)

    def added(content: bytes) -> bytes:
        if has_line(content, name):
            raise BadRequest(f"User {name!r} stands in {htpasswd} already: yizhan user passwd changes the password.")
        return with_user(content, name, hashed)

    _change(htpasswd, added)


def passwd(htpasswd: Path, name: str, password: str | None) -> None:
    """Change the password of the user *name*; None takes it away.  As add(), and BadRequest where there is no such
    user.
    """
    hashed = _hashed(name, password)

    def changed(content: bytes) -> bytes:
        _find(htpasswd, content, name)
        return with_user(content, name, hashed)

    _change(htpasswd, changed)


def remove(htpasswd: Path, name: str) -> None:
    """Take the user *name* out; raise BadRequest where there is none.

    Her tokens are worthless from then on, but would work again for another user of that name: revoke them too.
    """

    def removed(content: bytes) -> bytes:
        _find(htpasswd, content, name)
        return without_user(content, name)

    _change(htpasswd, removed)


def show(htpasswd: Path) -> Iterator[str]:
    """The lines to print: every user, and every line of the file that lets nobody in."""
    try:
        users = parse_htpasswd(htpasswd.read_bytes())
    except FileNotFoundError:
        yield f"There is no {htpasswd} yet: yizhan user add makes it."
        return
    for name in sorted({*users.hashes, *users.locked}):
        yield f"{name}  (no password: tokens alone)" if name in users.locked else name
    for number, wrong in users.refused.items():
        yield click.style(f"{htpasswd}: line {number} {wrong}", fg="red")
    for number in users.unsalted:
        yield click.style(f"{htpasswd}: line {number} holds {{SHA}}, which is quickly guessed", fg="yellow")


def new_password(chance: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """One that nobody guesses, of characters that mean nothing to a shell."""
    return chance(12).hex()


def read_password(stream: TextIO) -> str:
    """The password in the first line of *stream*; raise BadRequest where it can be nobody's."""
    line = stream.readline(4 * MOST_PASSWORD).removesuffix("\n").removesuffix("\r")
    check_password(line)
    return line


def check_password(password: str) -> None:
    """Raise BadRequest where *password* can be nobody's."""
    if fault := fault_of_password(password):
        raise BadRequest(f"The password {fault}.")


def _hashed(name: str, password: str | None) -> str:
    if fault := fault_of_user(name):
        raise BadRequest(f"{name!r} {fault}.")
    if password is None:
        return NO_PASSWORD
    check_password(password)
    return hashed_password(password)


def _find(htpasswd: Path, content: bytes, name: str) -> None:
    if not name or not has_line(content, name):
        raise BadRequest(f"There is no user {name!r} in {htpasswd}.")


def _change(htpasswd: Path, change: Change) -> None:
    """Replace the file, all or nothing; a link is followed, and what it leads to is replaced."""
    path = Path(os.path.realpath(htpasswd))
    with _alone(path.parent):
        try:
            # Through the descriptor: what was read is what its mode and owner are taken from.
            with path.open("rb") as file:
                content, status = file.read(), os.fstat(file.fileno())
        except FileNotFoundError:
            content, status = b"", None
        new = change(content)
        if new != content:
            _replace(path, new, status)


def _make_folder(folder: Path) -> None:
    """For its owner alone, who is the one of the folder around it where root makes it, as with a new file."""
    if folder.is_dir():
        return
    around = next(parent for parent in folder.absolute().parents if parent.is_dir())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        for made in (folder.absolute(), *folder.absolute().parents):
            if made == around:
                return
            handle = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                _own(handle, around.stat())
            finally:
                os.close(handle)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of *folder*: that of the file itself would be another one after each replacement."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, content: bytes, like: os.stat_result | None) -> None:
    """Make *path* hold *content*, with the mode and owner of *like*; after a power cut it is the old or the new.

    A new file is for its owner alone, who is the folder's where root makes it: else the server could not read it.
    """
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            if like is not None:
                _own(file.fileno(), like)
                os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
            elif os.geteuid() == 0:
                _own(file.fileno(), path.parent.stat())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise
    _sync_folder(path.parent)


def _own(handle: int, like: os.stat_result) -> None:
    mine = os.fstat(handle)
    if (mine.st_uid, mine.st_gid) != (like.st_uid, like.st_gid):
        os.fchown(handle, like.st_uid, like.st_gid)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
