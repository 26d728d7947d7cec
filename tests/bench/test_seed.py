"""The bench's data folders, made past the proxy: it takes them for its own."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from packaging.utils import canonicalize_name

from proxy.storage.disk_cache import FileCache
from proxy.storage.disk_store import DiskStore

from .processes import python
from .seed import MAX_SIZE, NOW, digest_of, project


def seed(*arguments: str) -> None:
    """As the bench does it."""
    subprocess.run(python("tests.bench.seed", *arguments), check=True)


def store(folder: Path, *, projects: int, files: int) -> None:
    seed("store", str(folder), "--projects", str(projects), "--files", str(files))


async def test_a_seeded_store_lists_and_opens_its_files(tmp_path: Path) -> None:
    await asyncio.to_thread(store, tmp_path / "state", projects=3, files=2)
    opened = await asyncio.to_thread(DiskStore, tmp_path / "state", now=lambda: NOW)
    try:
        assert await opened.claimed() == {project(number) for number in range(3)}
        files = await opened.files(canonicalize_name(project(1)))
        assert len(files) == 2
        for file in (*files, *(file.sibling() for file in files)):
            blob = await opened.open(file)
            with blob.handle:
                assert len(blob.handle.read()) == blob.size
    finally:
        await opened.close()


def test_a_store_is_seeded_once(tmp_path: Path) -> None:
    store(tmp_path / "state", projects=1, files=1)
    made = (tmp_path / "state" / "store.db").stat().st_mtime_ns
    store(tmp_path / "state", projects=9, files=9)
    assert (tmp_path / "state" / "store.db").stat().st_mtime_ns == made


async def test_a_cache_grows_to_so_many_rows(tmp_path: Path) -> None:
    for rows in (5, 12):
        await asyncio.to_thread(seed, "cache", str(tmp_path / "files"), "--rows", str(rows))
        cache = await asyncio.to_thread(FileCache, tmp_path / "files", max_size=MAX_SIZE)
        try:
            for number in range(rows + 1):
                blob = await cache.open(digest_of(number))
                assert (blob is None) == (number == rows)
                if blob is not None:
                    blob.handle.close()
        finally:
            await cache.close()
    assert [found.name for found in tmp_path.iterdir()] == ["files"]
