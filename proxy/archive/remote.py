"""A wheel that is elsewhere: which few of its bytes tell its METADATA, and what they say.

Does no I/O itself: it says which part it needs, and whoever asks brings it.  A wheel's directory stands at its end,
and nearly always the .dist-info folder before it, so that one part is enough for most of them.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import BadUpload
from .meter import Limits, Meter
from .wheels import peek_wheel

TAIL = 64 * 1024
"""Bytes at the end that are asked for first: the directory of 500 files, and the METADATA before it."""

STEP = 16 * 1024
"""Bytes that a later part has at least: a member's head does not say how long it is."""

MOST_PARTS = 4
"""The tail, the rest of the directory, and a member that lies elsewhere, with one to spare."""

MOST_BYTES = 4 * 2**20
"""Of all parts together: a directory of 40,000 files, or a METADATA as long as any may be."""

LIMITS = Limits(seconds=10.0)


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from *begin* to before *end*."""

    begin: int
    end: int


class RemoteWheel:
    """The wheel *filename*, of *size* bytes, of which a part after the other comes.

    while isinstance(found := wheel.metadata(), Part):
        wheel.put(found, the bytes of that part)
    """

    def __init__(
        self, filename: str, size: int, *, limits: Limits = LIMITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._filename = filename
        self._window = _Window(size)
        self._size = size
        self._limits = limits
        self._clock = clock

    def metadata(self) -> bytes | Part:
        """The METADATA, byte for byte, or the part that must be put first.

        Raise BadUpload where the wheel breaks the rules of the binary distribution format, contradicts itself, or
        needs more than MOST_PARTS parts or MOST_BYTES bytes.  May take a while: run it in a thread.
        """
        self._window.seek(0)
        try:
            return peek_wheel(self._window, self._filename, Meter(self._limits, packed=self._size, clock=self._clock))
        except _NotHere as missing:
            return missing.part

    def put(self, part: Part, data: bytes) -> None:
        """Take the bytes of *part*; raise BadUpload where they are more or fewer."""
        if len(data) != part.end - part.begin:
            raise BadUpload("The wheel is not as long as it was said to be.")
        self._window.put(part.begin, data)


class _NotHere(Exception):
    """A read needs *part*, which has not come yet."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part


class _Window:
    """A file of *size* bytes that has but a few of them: to read others raises _NotHere."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0
        self._begins: list[int] = []
        self._pieces: list[bytes] = []
        """Ascending, apart and never adjacent."""
        self._parts = 0

    def seek(self, offset: int) -> int:
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        begin = min(self._at, self._size)
        end = min(begin + size, self._size)
        index = bisect_right(self._begins, begin) - 1
        have = self._begins[index] + len(self._pieces[index]) if index >= 0 else 0
        if begin < end and have < end:
            raise _NotHere(self._needed(max(begin, have), end, index + 1))
        self._at = end
        if begin == end:
            return b""
        start = begin - self._begins[index]
        return self._pieces[index][start : start + end - begin]

    def put(self, begin: int, data: bytes) -> None:
        index = bisect_right(self._begins, begin)
        if index < len(self._begins) and begin + len(data) == self._begins[index]:
            self._begins.pop(index)
            data += self._pieces.pop(index)
        if index and self._begins[index - 1] + len(self._pieces[index - 1]) == begin:
            begin = self._begins.pop(index - 1)
            data = self._pieces.pop(index - 1) + data
            index -= 1
        self._begins.insert(index, begin)
        self._pieces.insert(index, data)

    def _needed(self, begin: int, end: int, following: int) -> Part:
        """What to ask for so that the bytes from *begin* to *end* are here; *following*: the next piece there is."""
        self._parts += 1
        if not self._begins:
            part = Part(min(begin, max(0, self._size - TAIL)), self._size)
        else:
            limit = self._begins[following] if following < len(self._begins) else self._size
            part = Part(begin, min(max(end, begin + STEP), limit))
        held = sum(map(len, self._pieces))
        if self._parts > MOST_PARTS or held + part.end - part.begin > MOST_BYTES:
            raise BadUpload("The wheel's METADATA cannot be read without fetching much of the wheel.")
        return part
