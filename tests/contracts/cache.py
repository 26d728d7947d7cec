"""What every Cache must do.  Subclass it with a `cache` fixture."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

from proxy.storage import Blob, Cache


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


async def keep(cache: Cache, body: bytes, folder: Path) -> str:
    """Have *cache* adopt *body* from a file in *folder*; its sha256."""
    path = folder / "body.part"
    path.write_bytes(body)
    await cache.adopt(sha256(body), path)
    return sha256(body)


def drained(blob: Blob) -> bytes:
    """All bytes of *blob*, whose handle is closed then."""
    with blob.handle as handle:
        return os.pread(handle.fileno(), blob.size + 1, 0)


class CacheContract:
    async def test_what_was_never_adopted_is_not_held(self, cache: Cache) -> None:
        assert await cache.open(sha256(b"never")) is None

    async def test_what_was_adopted_is_opened_with_its_facts(self, cache: Cache, tmp_path: Path) -> None:
        before = time.time()
        digest = await keep(cache, b"a wheel", tmp_path)
        blob = await cache.open(digest)
        assert blob is not None
        assert (blob.size, blob.sha256) == (7, digest)
        assert before - 1 <= blob.modified <= time.time() + 1
        assert drained(blob) == b"a wheel"

    async def test_an_adopted_body_leaves_its_place(self, cache: Cache, tmp_path: Path) -> None:
        await keep(cache, b"a wheel", tmp_path)
        assert not (tmp_path / "body.part").exists()

    async def test_an_empty_file_is_a_file(self, cache: Cache, tmp_path: Path) -> None:
        blob = await cache.open(await keep(cache, b"", tmp_path))
        assert blob is not None
        assert (blob.size, drained(blob)) == (0, b"")

    async def test_everyone_gets_a_handle_of_his_own(self, cache: Cache, tmp_path: Path) -> None:
        digest = await keep(cache, b"a wheel", tmp_path)
        first, second = await asyncio.gather(cache.open(digest), cache.open(digest))
        assert first is not None
        assert second is not None
        assert first.handle.read(3) == b"a w"
        first.handle.close()
        assert second.handle.read(3) == b"a w"
        second.handle.close()

    async def test_adopting_the_same_again_harms_nobody(self, cache: Cache, tmp_path: Path) -> None:
        digest = await keep(cache, b"a wheel", tmp_path)
        reading = await cache.open(digest)
        assert await keep(cache, b"a wheel", tmp_path) == digest
        again = await cache.open(digest)
        assert reading is not None
        assert again is not None
        assert drained(reading) == drained(again) == b"a wheel"
