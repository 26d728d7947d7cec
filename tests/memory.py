"""A folder in memory, for tests that start thousands of stores: each syncs what it writes, as it must."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")


@contextmanager
def folder_in_memory(otherwise: Path) -> Iterator[Path]:
    """An empty one, gone at the end; in *otherwise* where memory has no file system."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else otherwise) as folder:
        yield Path(folder)
