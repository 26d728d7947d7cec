"""The fakes and the real ones keep the same contracts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from proxy.storage import Cache, Pages
from proxy.storage.disk_cache import FileCache, PageCache

from .contracts.cache import CacheContract
from .contracts.pages import PagesContract
from .fakes import MemoryCache, MemoryPages

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


class TestPageCache(PagesContract):
    @pytest.fixture
    async def pages(self, tmp_path: Path) -> AsyncIterator[Pages]:
        pages = await asyncio.to_thread(partial(PageCache, tmp_path / "pages", max_size=GIB))
        yield pages
        await pages.close()
