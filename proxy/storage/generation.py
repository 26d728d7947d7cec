"""Numbers shared between processes, of which one changes with every change of the Store.

Knows nothing of what changed: whoever keeps a copy of the Store's rows keeps the number it was made under beside it,
and finds out by one memory read whether the copy still holds.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

SIZE = 8
"""Bytes of a number."""

PLACES = 2
"""How many of them there are."""


class Generation:
    """The number at *place*, from 0, of the file *path*, which is made where it is missing."""

    def __init__(self, path: Path, *, place: int = 0) -> None:
        self._place = place
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # Only ever grown: a shorter file under another process's map would kill that process.
            if os.fstat(fd).st_size < PLACES * SIZE:
                os.ftruncate(fd, PLACES * SIZE)
            self._numbers = memoryview(mmap.mmap(fd, PLACES * SIZE)).cast("Q")
        finally:
            os.close(fd)

    @property
    def value(self) -> int:
        """What it is now.  Read it before the rows: a copy may then be thrown away too early, and never too late."""
        return self._numbers[self._place]

    def change(self) -> None:
        """Make it another one; call this after the commit and before anyone is told of it.

        Random and not counted up: two processes that count at once would lose a step.
        """
        self._numbers[self._place] = int.from_bytes(os.urandom(SIZE))
