"""What the bench's commands share: a work folder, and what they say while they are at it."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT = frozenset({"tree", "tree.json", "peers"})
"""What a later run takes as it lies in a work folder that is kept."""


@contextmanager
def work_folder(kept: Path | None) -> Iterator[Path]:
    """A folder that goes with the block; or one of the bench's own in *kept*, of which a later run's share stays."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what runs below ends too
    try:
        with tempfile.TemporaryDirectory(prefix="yizhan-bench-") if kept is None else _own(kept) as folder:
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _own(kept: Path) -> Iterator[Path]:
    # A folder of its own: what else lies in *kept* is not the bench's to remove.
    own = (kept / "yizhan-bench").resolve()
    own.mkdir(parents=True, exist_ok=True)
    _tidy(own)
    try:
        yield own
    finally:
        _tidy(own)


def teller() -> Callable[[str], None]:
    """Says what goes on, on a terminal only, in one line."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda line: print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _tidy(folder: Path) -> None:
    for found in folder.iterdir():
        if found.name not in KEPT:
            shutil.rmtree(found) if found.is_dir() else found.unlink()
