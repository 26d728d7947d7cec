"""How diskcache puts keys and values on the disk: keys are text, values are bytes, nothing is ever unpickled.

diskcache itself pickles whatever is not plain, runs the pickles that it finds, and opens any path that a row names
(CVE-2025-69872, which no release mends).  Here a row or file that this module did not write is a miss.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW, UNKNOWN

_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}\.val")

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What os.link says on file systems that have none, or where a file has too many."""

# A symbolic link put in a file's place is not followed, and a FIFO does not block the thread.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotOurs(OSError):
    """A row or file that we did not write.  An OSError, because diskcache takes those for a miss."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A value that is a finished file already, on the cache's own file system."""

    path: Path


class PlainDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Text keys and bytes values; big values in files of random names, in 256 folders."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.written: list[str] = []
        """Names given to new files: what a transaction that fails must take back."""

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError(f"a key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: bool) -> str:
        if not raw or type(key) is not str:
            raise NotOurs("a key that we did not write")
        return key

    def store(self, value: object, read: bool, key: object = UNKNOWN) -> tuple[int, int, str | None, Any]:
        if read or type(value) is not bytes:
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        stored: tuple[int, int, str | None, Any] = super().store(value, False, key=key)
        return stored

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes | BinaryIO:
        if mode == MODE_RAW and filename is None and type(value) is bytes:
            return value
        if mode != MODE_BINARY:
            raise NotOurs("a value of a kind that we do not write")
        handle = self._open(filename)
        if read:
            return handle
        with handle:
            return handle.read()

    def filename(self, key: object = UNKNOWN, value: object = UNKNOWN) -> tuple[str, str]:
        """A new random name.

        Never one made of the key: replacing a value removes the old name only after the new one was written.
        """
        name = os.urandom(16).hex()
        filename = f"{name[:2]}/{name[2:]}.val"
        self.written.append(filename)
        return filename, os.path.join(self._directory, filename)

    def remove(self, filename: object) -> None:
        """Remove a file.  Its folder stays: diskcache would prune it, while another process links a file into it."""
        if isinstance(filename, str) and _NAME.fullmatch(filename):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._directory, filename))

    def _open(self, filename: object) -> BinaryIO:
        if not isinstance(filename, str) or _NAME.fullmatch(filename) is None:
            raise NotOurs("a filename that we did not make")
        descriptor = os.open(os.path.join(self._directory, filename), _FLAGS)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotOurs("something that is no file")
        # Unbuffered: a buffer would read ahead what sendfile then sends again.
        return open(descriptor, "rb", buffering=0)


class AdoptDisk(PlainDisk):
    """Values are finished files, taken over without a copy; `get(read=True)` gives them back as open handles."""

    def store(self, value: object, read: bool, key: object = UNKNOWN) -> tuple[int, int, str | None, Any]:
        """Link *value* under a random name; its own name stays, so that a crash before the commit loses nothing."""
        if read or type(value) is not Adopted:
            raise TypeError(f"a value is a finished file, not {type(value).__name__}")
        filename, path = self.filename(key, value)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            os.link(value.path, path, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.rename(value.path, path)
        return os.lstat(path).st_size, MODE_BINARY, filename, None

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes | BinaryIO:
        if mode != MODE_BINARY:
            raise NotOurs("a value that is no file of its own")
        return super().fetch(mode, filename, value, read)
