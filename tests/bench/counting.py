"""`yizhan` that counts what a request costs it: pages written, bodies compressed, SQLite statements.

    BENCH_COUNTS=FILE python -m tests.bench.counting serve ...

The counts lie in FILE, which anybody may read meanwhile.  Every call of every thread is looked at, so it is slow.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

FILE = "BENCH_COUNTS"

COUNTED = ("renders", "page parses", "compressions", "SQLite statements")
_SHAPE = struct.Struct(f"={len(COUNTED)}Q")

_RENDERS, _PARSES, _COMPRESSIONS, _STATEMENTS = range(len(COUNTED))

_WRITER, _READER = os.path.join("proxy", "simple", "write.py"), os.path.join("proxy", "simple", "read")
_EXECUTE = frozenset({"execute", "executemany", "executescript"})


def read(path: Path) -> Mapping[str, int]:
    """The counts so far."""
    return dict(zip(COUNTED, _SHAPE.unpack(path.read_bytes()), strict=True))


class Counter:
    """Keeps the counts in *path*; `look` is what sys.setprofile calls."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_SHAPE.size))
        with path.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), _SHAPE.size)
        self._counts = [0] * len(COUNTED)
        self._adding = threading.Lock()

    def look(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code.co_filename.endswith(_WRITER) and code.co_name.startswith("write_"):
                self._add(_RENDERS)
            elif _READER in code.co_filename and code.co_name.startswith("read_"):
                self._add(_PARSES)
        elif event == "c_call":
            name = called.__name__
            if name in _EXECUTE and type(called.__self__).__module__ == "sqlite3":
                self._add(_STATEMENTS)
            elif name == "compress":
                self._add(_COMPRESSIONS)

    def _add(self, what: int) -> None:
        with self._adding:
            self._counts[what] += 1
            self._shared[:] = _SHAPE.pack(*self._counts)


def main() -> None:
    counter = Counter(Path(os.environ[FILE]))
    threading.setprofile(counter.look)
    sys.setprofile(counter.look)
    from proxy.__main__ import main as serve

    serve()


if __name__ == "__main__":
    main()
