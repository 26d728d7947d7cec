"""An uploaded file on its way to the disk: written, counted and hashed.  Everything here blocks."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from ..errors import DiskFull, StoreDown, Unavailable
from ..upload import Facts


class Spool:
    """The new file *path*, made with the first write.  Raises DiskFull or StoreDown where the disk fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A cancelled request leaves its write() running in a thread: discard() must come after that.
        self._lock = Lock()
        self._file: BinaryIO | None = None
        self._discarded = False
        self._size = 0
        # md5 is what old clients send, and is compared, not relied on.
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._blake2b = hashlib.blake2b(digest_size=32)

    def write(self, chunks: Iterable[bytes]) -> None:
        data = b"".join(chunks)
        with self._lock:
            if self._discarded:
                return
            try:
                if self._file is None:
                    self._file = _create(self.path)
                self._file.write(data)
            except OSError as error:
                raise trouble(error) from error
            self._size += len(data)
            for digest in (self._md5, self._sha256, self._blake2b):
                digest.update(data)

    def finish(self) -> Facts:
        """Close the file, and say what it is."""
        with self._lock:
            try:
                if self._file is not None:
                    self._file.close()
            except OSError as error:
                raise trouble(error) from error
        return Facts(
            size=self._size,
            md5=self._md5.hexdigest(),
            sha256=self._sha256.hexdigest(),
            blake2b_256=self._blake2b.hexdigest(),
        )

    def discard(self) -> None:
        """Remove the file."""
        with self._lock:
            self._discarded = True
            # What a full disk did not take, closing would try to write again.
            with suppress(OSError):
                if self._file is not None:
                    self._file.close()
            self.path.unlink(missing_ok=True)


def _create(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def trouble(error: OSError) -> Unavailable:
    """What *error* means to whoever uploads."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("There is no room for this upload on the server's disk.")
    return StoreDown("The server cannot write or read uploads now.")
