"""A file that is still growing: its bytes on disk, in whatever order they come, and the digests of its beginning."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

from .spans import NOTHING, Spans

MAP = ".map"
"""How the name of the small file beside a part ends that says which of its bytes have come."""

STRONGEST_FIRST = ("sha512", "sha384", "blake2b", "md5")
"""Which listed hash is checked where no sha256 is."""

READ = 1024 * 1024

STRIDE = 8 * 1024 * 1024
"""Bytes digested at a time that came before their turn: whoever waits to write waits no longer than for these."""

_LONGEST_MAP = 64 * 1024
_RUN = re.compile(r"(\d{1,18})-(\d{1,18})")


class Digest(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class Part:
    """The part file.  Every method but `handle` and `close` blocks: call it in a thread, one at a time.

    A part that came in order says by its length how much there is of it.  As soon as a byte comes before its turn, a
    map beside it says which bytes are there: without, the holes would be taken for what came after a crash.
    """

    def __init__(self, path: Path, hashes: Mapping[str, str]) -> None:
        self.path = path
        self.size = 0
        """Bytes from the beginning on that have come, without a gap, and are digested."""
        self.spans = NOTHING
        """All bytes that have come."""
        self._map = path.with_suffix(MAP)
        self._mapped = False
        self._listed = hashes
        self._digests: dict[str, Digest] = {}
        self._fd = -1

    @property
    def lags(self) -> bool:
        """Whether bytes that came before their turn wait to be digested: `catch_up` does it."""
        return self.spans.reach(self.size) > self.size

    def open(self, *, resume: bool) -> None:
        """Begin; where *resume* allows it, with what an earlier try left."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A link planted under the part's name must not be written through.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self.path, flags if resume else flags | os.O_TRUNC, 0o600)
        self._begin()
        self.spans = self._left_by_others()
        while self.lags:
            self.catch_up()

    def write(self, pieces: Iterable[tuple[int, bytes | memoryview]]) -> None:
        """Keep *pieces*: for each the byte of the file where it belongs, and its bytes; none of them twice."""
        for begin, piece in pieces:
            if not self._mapped and begin != self.spans.end:
                self._draw_map()  # of what there was before
            self._put(begin, piece)
            self.spans = self.spans.add(begin, begin + len(piece))
            if begin == self.size:
                self._count(piece)
        self.catch_up()
        if self._mapped:
            self._draw_map()

    def catch_up(self) -> None:
        """Digest some of what lags, see STRIDE."""
        until = min(self.spans.reach(self.size), self.size + STRIDE)
        while self.size < until:
            chunk = os.pread(self._fd, min(READ, until - self.size), self.size)
            if not chunk:
                raise OSError(errno.EIO, "A part is shorter than what was written to it")
            self._count(chunk)

    def restart(self) -> None:
        """Forget what came, on a file of its own: whoever follows the old one must not read on in the new."""
        old = self._fd
        self.discard()
        fresh = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._fd = fresh
        os.close(old)
        self._begin()

    def digests(self) -> dict[str, str]:
        """Hash name to hex of the first `size` bytes: sha256, and the strongest other one listed without it."""
        return {name: digest.hexdigest() for name, digest in self._digests.items()}

    def discard(self) -> None:
        """Remove the file's name; open descriptors keep reading."""
        # In this order: a part without its map would be taken for one that came in order.
        self.path.unlink(missing_ok=True)
        self._map.unlink(missing_ok=True)

    def handle(self) -> BinaryIO:
        """A descriptor of one's own."""
        return os.fdopen(os.dup(self._fd), "rb", buffering=0)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _begin(self) -> None:
        self.size, self.spans, self._mapped = 0, NOTHING, False
        self._digests = {"sha256": hashlib.sha256()}
        if "sha256" not in self._listed:
            for name in STRONGEST_FIRST:
                if name in self._listed:
                    self._digests[name] = hashlib.blake2b(digest_size=32) if name == "blake2b" else hashlib.new(name)
                    break

    def _count(self, piece: bytes | memoryview) -> None:
        for digest in self._digests.values():
            digest.update(piece)
        self.size += len(piece)

    def _put(self, begin: int, piece: bytes | memoryview) -> None:
        rest = memoryview(piece)
        while rest:
            written = os.pwrite(self._fd, rest, begin)
            rest, begin = rest[written:], begin + written

    def _left_by_others(self) -> Spans:
        """What an earlier try left in the file."""
        size = os.fstat(self._fd).st_size
        try:
            descriptor = os.open(self._map, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return NOTHING.add(0, size)
        try:
            text, end, _ = os.pread(descriptor, _LONGEST_MAP, 0).partition(b"\n")
        finally:
            os.close(descriptor)
        if size == 0:
            self._map.unlink()
            return NOTHING
        self._mapped = True
        runs = [_RUN.fullmatch(word) for word in text.decode("latin-1").split()] if end else []
        return Spans.of((int(run[1]), min(int(run[2]), size)) for run in runs if run)

    def _draw_map(self) -> None:
        # One write of what ends in a line break: the rest of a longer one before it does not count.
        text = " ".join(f"{begin}-{end}" for begin, end in self.spans.runs) + "\n"
        descriptor = os.open(self._map, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, text.encode(), 0)
        finally:
            os.close(descriptor)
        self._mapped = True
