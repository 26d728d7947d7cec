"""The fakes and the real ones keep the same contracts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from proxy.storage import Cache, Fact, Facts, Pages
from proxy.storage.disk_cache import FileCache, PageCache

from .contracts.cache import CacheContract
from .contracts.facts import WHOLE, FactsContract
from .contracts.pages import NUMPY, SNAPSHOT, PagesContract
from .fakes import MemoryCache, MemoryFacts, MemoryPages

GIB = 1024**3


class TestMemoryCache(CacheContract):
    @pytest.fixture
    def cache(self) -> Cache:
        return MemoryCache()


class TestFileCache(CacheContract):
    @pytest.fixture
    async def cache(self, tmp_path: Path) -> AsyncIterator[Cache]:
        cache = await asyncio.to_thread(partial(FileCache, tmp_path / "files", max_size=GIB))
        yield cache
        await cache.close()


class TestMemoryPages(PagesContract):
    @pytest.fixture
    def pages(self) -> Pages:
        return MemoryPages()


@pytest.fixture
async def page_cache(tmp_path: Path) -> AsyncIterator[PageCache]:
    cache = await asyncio.to_thread(partial(PageCache, tmp_path / "pages", max_size=GIB))
    yield cache
    await cache.close()


class TestPageCache(PagesContract):
    @pytest.fixture
    def pages(self, page_cache: PageCache) -> Pages:
        return page_cache


class TestMemoryFacts(FactsContract):
    @pytest.fixture
    def facts(self) -> Facts:
        return MemoryFacts()


class TestFactCache(FactsContract):
    @pytest.fixture
    def facts(self, page_cache: PageCache) -> Facts:
        return page_cache.facts


async def test_the_facts_go_with_their_forgotten_page(page_cache: PageCache) -> None:
    await page_cache.save("tuna", NUMPY, SNAPSHOT, b"page")
    await page_cache.facts.save("tuna", NUMPY, {"aa" * 32: WHOLE})
    await page_cache.forget("tuna", NUMPY)
    assert await page_cache.facts.load("tuna", NUMPY) == {}


async def test_facts_are_evicted_as_pages_are(tmp_path: Path) -> None:
    cache = await asyncio.to_thread(partial(PageCache, tmp_path / "pages", max_size=300_000))
    try:
        for origin in ("one", "two"):
            facts = {hashlib.sha256(b"%d" % number).hexdigest(): Fact(size=number) for number in range(4_000)}
            await cache.facts.save(origin, NUMPY, facts)
        assert await cache.sweep() > 0
        assert await cache.facts.load("one", NUMPY) == {}
        assert len(await cache.facts.load("two", NUMPY)) == 4_000
    finally:
        await cache.close()


@pytest.mark.parametrize("damage", ["value = x'00'", "tag = NULL", "value = substr(value, 1, 20)"])
async def test_facts_that_cannot_be_read_are_none(page_cache: PageCache, tmp_path: Path, damage: str) -> None:
    await page_cache.facts.save("tuna", NUMPY, {"aa" * 32: WHOLE})
    with contextlib.closing(sqlite3.connect(tmp_path / "pages" / "cache.db")) as other, other:
        other.execute(f"UPDATE Cache SET {damage} WHERE key = 'facts:tuna/numpy'")
    assert await page_cache.facts.load("tuna", NUMPY) == {}
