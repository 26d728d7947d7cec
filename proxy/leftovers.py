"""What broken downloads left on disk: which of it may be taken up again, and which is removed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Container
from pathlib import Path

from .part import MAP
from .storage import Cache

RESUMABLE, UNSURE = ".part", ".new"
"""How the names of part files end: with a known sha256, and without."""


async def remove_stale_parts(folder: Path, cache: Cache, *, before: float, spare: Container[str] = frozenset()) -> int:
    """Remove what downloads left in *folder* and no download will use; how many.

    That is what nobody came back for since *before* (epoch seconds), what no digest can vouch for, and what *cache*
    had adopted already when a crash came: its second name would keep the bytes on disk after their eviction.
    A part's map goes after its part, and one that has none.  Names without their ending that are in *spare* stay.
    """
    removed = 0
    for path, changed in await asyncio.to_thread(_parts, folder):
        if path.stem in spare or path.suffix == MAP:
            continue
        if path.suffix == UNSURE or changed < before or await _is_held(cache, path.stem):
            await asyncio.to_thread(path.unlink, missing_ok=True)
            removed += 1
    found = [path for path, _ in await asyncio.to_thread(_parts, folder)]
    parts = {path.stem for path in found if path.suffix != MAP}
    for path in found:
        if path.suffix == MAP and path.stem not in parts and path.stem not in spare:
            await asyncio.to_thread(path.unlink, missing_ok=True)
    return removed


def _parts(folder: Path) -> list[tuple[Path, float]]:
    """The files in *folder*, and when each last grew (epoch seconds)."""
    entries = [entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    return [(Path(entry.path), entry.stat(follow_symlinks=False).st_mtime) for entry in entries]


async def _is_held(cache: Cache, sha256: str) -> bool:
    blob = await cache.open(sha256)
    if blob is not None:
        await asyncio.to_thread(blob.handle.close)
    return blob is not None
