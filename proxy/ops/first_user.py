"""The user that a first start makes, so that an upload works before anybody read the manual."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

import bcrypt

NAME = "yizhan"
_COST = 12


def new_password() -> str:
    """One that nobody guesses, of characters that mean nothing to a shell."""
    return secrets.token_hex(12)


def make_first_user(htpasswd: Path, *, token: Callable[[], str] = new_password) -> tuple[str, str] | None:
    """Make *htpasswd* with one user; her name and password, or None where the file exists already.

    *token* makes the password, at most 72 bytes (bcrypt takes no more); the folder must exist.  The hash takes a third
    of a second: call this in a thread.
    """
    if os.path.lexists(htpasswd):
        return None
    password = token()
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST)).decode()
    # What the htpasswd program calls 2y is what Python's bcrypt calls 2b.
    line = f"{NAME}:{hashed.replace('$2b$', '$2y$', 1)}\n"
    return (NAME, password) if _create(htpasswd, line.encode()) else None


def _create(path: Path, content: bytes) -> bool:
    """Make *path* with *content*, all or nothing, readable by its owner alone; False where somebody was faster."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # link and not rename: a rename would replace the file of whoever was faster.
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(part)
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
