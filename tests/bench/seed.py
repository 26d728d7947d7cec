"""Fills data folders for the bench, quickly: what is lost in a power cut is made again.

    python -m tests.bench.seed store FOLDER --projects 1000 --files 30
    python -m tests.bench.seed cache FOLDER --rows 100000

`store` makes the state folder FOLDER, with so many private projects of so many files each; `cache` brings the cache of
upstream files in FOLDER to so many rows, through the proxy's own FileCache.  The bytes are of no use to anybody.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import canonicalize_name

from proxy.simple.model import File
from proxy.storage.disk_cache import FileCache
from proxy.storage.disk_store import DiskStore
from proxy.storage.ledger import Entry, Ledger
from proxy.storage.tree import Tree

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
MAX_SIZE = 50_000_000_000
TOGETHER = 50
"""Files that are on their way into the cache at the same time."""


def project(number: int) -> str:
    """The name of a private project."""
    return f"private-{number:05d}"


def digest_of(number: int) -> str:
    """The sha256 under which a row of the cache is kept: not that of its bytes."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def seed_store(folder: Path, *, projects: int, files: int) -> None:
    """Make the state folder, where it is not there; many rows in one transaction, which the store itself never does."""
    if folder.exists():
        return
    unready = folder.with_name(f"{folder.name}.unready")
    shutil.rmtree(unready, ignore_errors=True)
    asyncio.run(DiskStore(unready, now=lambda: NOW).close())
    tree = Tree(unready / "files")
    ledger = Ledger(unready / "store.db")
    try:
        with ledger.changing():
            for number in range(projects):
                for entry, body, metadata in (_made(project(number), release) for release in range(files)):
                    target = tree.target(entry.file.path)
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    target.write_bytes(body)
                    target.with_name(f"{target.name}.metadata").write_bytes(metadata)
                    ledger.insert(entry)
    finally:
        ledger.close()
    unready.rename(folder)


async def seed_cache(folder: Path, *, rows: int) -> None:
    """Bring the cache in *folder* to *rows* rows, of what nobody will ask for."""
    folder.mkdir(parents=True, exist_ok=True)
    bodies = folder.with_name(f"{folder.name}-bodies")
    bodies.mkdir(exist_ok=True)
    cache = FileCache(folder, max_size=MAX_SIZE)
    try:
        there = sum(1 for _ in folder.glob("??/*.val"))
        room = asyncio.Semaphore(TOGETHER)

        async def one(number: int) -> None:
            async with room:
                digest = digest_of(number)
                body = bodies / digest
                body.write_bytes(b"%d" % number)
                await cache.adopt(digest, body)

        for begin in range(there, rows, 1000):
            await asyncio.gather(*(one(number) for number in range(begin, min(rows, begin + 1000))))
    finally:
        await cache.close()
        shutil.rmtree(bodies, ignore_errors=True)


def _made(name: str, release: int) -> tuple[Entry, bytes, bytes]:
    """A row, and the bytes of its file and of the metadata beside it."""
    version = f"1.{release}.0"
    body = f"{name} {version}".encode()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    place = hashlib.blake2b(body, digest_size=32).hexdigest()
    file = File(
        filename=f"{name.replace('-', '_')}-{version}-py3-none-any.whl",
        path=f"{place[:2]}/{place[2:4]}/{place[4:]}",
        hashes={"sha256": hashlib.sha256(body).hexdigest()},
        size=len(body),
        requires_python=">=3.8",
        upload_time=NOW,
        core_metadata={"sha256": hashlib.sha256(metadata).hexdigest()},
    )
    return Entry(name=canonicalize_name(name), file=file, metadata_size=len(metadata)), body, metadata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("store", "cache"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--projects", type=int, default=0)
    parser.add_argument("--files", type=int, default=0, help="of each project")
    parser.add_argument("--rows", type=int, default=0)
    options = parser.parse_args()
    os.fsync = lambda _: None  # type: ignore[assignment]  # a hundred thousand waits for the disk prove nothing
    if options.what == "store":
        seed_store(options.folder, projects=options.projects, files=options.files)
    else:
        asyncio.run(seed_cache(options.folder, rows=options.rows))


if __name__ == "__main__":
    main()
