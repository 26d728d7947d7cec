"""Copies of files that change with nothing else, and the digests of what is in them.

For what takes files over from elsewhere: imports, backups, restores.  Knows the file system, and no row.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from .tree import open_regular

Step = Callable[[int], object]
"""Is told how many bytes more are done."""

Watch = Callable[[str, int], AbstractContextManager[Step]]
"""Makes a Step, of what is begun (a word or two) and how many bytes there are in all."""

CHUNK = 2**20

_FICLONE = 0x40049409
"""The request by which btrfs, xfs and their like let two files share their blocks until one is written to."""

_OWN: Mapping[str, Callable[[], Any]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "blake2b_256": partial(hashlib.blake2b, digest_size=32),
}

_OURS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""What can only be said of the file that is written."""


class Unreadable(Exception):
    """The source cannot be read; the message says why in a few words."""


@contextmanager
def unwatched(_what: str, _total: int) -> Iterator[Step]:
    """A Watch that nobody looks at."""
    yield lambda _count: None


def copy(source: Path, target: Path, *, link: bool = False, follow: bool = False) -> bool:
    """Make the new file *target* of *source*, readable to its owner alone; whether both are one file now.

    They are only if *link* asks for it and they lie on one file system.  Not synced.  Raise Unreadable, or OSError
    where *target* cannot be written.
    """
    try:
        opened = open_regular(source, follow=follow)
    except OSError as error:
        raise Unreadable(reason(error)) from error
    with opened as reading:
        if link and _linked(source, target):
            return True
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as writing:
            if not _cloned(reading.fileno(), writing.fileno()):
                try:
                    shutil.copyfileobj(reading, writing, CHUNK)
                except OSError as error:
                    if error.errno in _OURS:
                        raise
                    raise Unreadable(reason(error)) from error
    return False


def digests(handle: BinaryIO, kinds: Iterable[str], step: Step) -> tuple[int, dict[str, str]]:
    """How many bytes are left to read of *handle*, and their digests by kind, in lower-case hex; raise OSError.

    A kind is any name that hashlib knows, or blake2b_256.
    """
    counting = {kind: _OWN[kind]() if kind in _OWN else hashlib.new(kind) for kind in kinds}
    size = 0
    while chunk := handle.read(CHUNK):
        for digest in counting.values():
            digest.update(chunk)
        size += len(chunk)
        step(len(chunk))
    return size, {kind: digest.hexdigest() for kind, digest in counting.items()}


def reason(error: OSError) -> str:
    """What *error* says, without the place that whoever reads it knows already."""
    if isinstance(error, FileNotFoundError):
        return "is missing"
    return f"cannot be read: {error.strerror or error}"


def _linked(source: Path, target: Path) -> bool:
    try:
        # What a link leads to, and not the link.
        os.link(os.path.realpath(source), target)
    except OSError as error:
        if error.errno in _OURS:
            raise
        return False
    return True


def _cloned(reading: int, writing: int) -> bool:
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError:
        return False
    return True
