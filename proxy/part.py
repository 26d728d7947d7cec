"""A file that is still growing: its bytes on disk, and the digests of what has come."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

STRONGEST_FIRST = ("sha512", "sha384", "blake2b", "md5")
"""Which listed hash is checked where no sha256 is."""

READ = 1024 * 1024


class Digest(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class Part:
    """The part file.  Every method but `handle` and `close` blocks: call it in a thread, one at a time."""

    def __init__(self, path: Path, hashes: Mapping[str, str]) -> None:
        self.path = path
        self.size = 0
        """Bytes that have come."""
        self._listed = hashes
        self._digests: dict[str, Digest] = {}
        self._fd = -1

    def open(self, *, resume: bool) -> None:
        """Begin; where *resume* allows it, with what an earlier try left."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A link planted under the part's name must not be written through.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self.path, flags if resume else flags | os.O_TRUNC, 0o600)
        self._begin()
        while chunk := os.pread(self._fd, READ, self.size):
            self._count(chunk)

    def append(self, chunk: bytes) -> None:
        rest, offset = memoryview(chunk), self.size
        while rest:
            written = os.pwrite(self._fd, rest, offset)
            rest, offset = rest[written:], offset + written
        self._count(chunk)

    def restart(self) -> None:
        """Forget what came, on a file of its own: whoever follows the old one must not read on in the new."""
        old = self._fd
        self.path.unlink(missing_ok=True)
        fresh = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._fd = fresh
        os.close(old)
        self._begin()

    def digests(self) -> dict[str, str]:
        """Hash name to hex of all that has come: sha256, and the strongest other one that is listed without it."""
        return {name: digest.hexdigest() for name, digest in self._digests.items()}

    def discard(self) -> None:
        """Remove the file's name; open descriptors keep reading."""
        self.path.unlink(missing_ok=True)

    def handle(self) -> BinaryIO:
        """A descriptor of one's own."""
        return os.fdopen(os.dup(self._fd), "rb", buffering=0)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _begin(self) -> None:
        self.size = 0
        self._digests = {"sha256": hashlib.sha256()}
        if "sha256" not in self._listed:
            for name in STRONGEST_FIRST:
                if name in self._listed:
                    self._digests[name] = hashlib.blake2b(digest_size=32) if name == "blake2b" else hashlib.new(name)
                    break

    def _count(self, chunk: bytes) -> None:
        for digest in self._digests.values():
            digest.update(chunk)
        self.size += len(chunk)
