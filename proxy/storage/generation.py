"""A number shared between processes that changes with every change of the Store.

Knows nothing of what changed: whoever keeps a copy of the Store's rows keeps the number it was made under beside it,
and finds out by one memory read whether the copy still holds.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

SIZE = 8
"""Bytes of the number."""


class Generation:
    """The number kept in the file *path*, which is made where it is missing."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # Only ever grown: a shorter file under another process's map would kill that process.
            if os.fstat(fd).st_size < SIZE:
                os.ftruncate(fd, SIZE)
            self._map = mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)

    @property
    def value(self) -> int:
        """What it is now.  Read it before the rows: a copy may then be thrown away too early, and never too late."""
        return int.from_bytes(self._map[:SIZE], "little")

    def change(self) -> None:
        """Make it another one; call this after the commit and before anyone is told of it.

        Random and not counted up: two processes that count at once would lose a step.
        """
        self._map[:SIZE] = os.urandom(SIZE)
