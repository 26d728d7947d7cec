"""Facts on this machine's disk: one row a project, among the rows of its pages and evicted as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from packaging.utils import NormalizedName

from ..errors import DiskFull, Unavailable
from ..policy import PublicName
from . import Fact
from .bounded_cache import BoundedCache
from .cache_rows import CacheRows
from .packed import Kept, pack, unpack


class FactCache:
    """A `Facts`."""

    def __init__(self, cache: BoundedCache, *, now: Callable[[], float]) -> None:
        """*cache* belongs to the caller; *now* in seconds since the epoch."""
        self._cache = cache
        self._now = now

    async def load(self, origin: str, name: PublicName) -> Mapping[str, Fact]:
        """What is remembered; nothing where it cannot be read."""
        key = facts_key(origin, name)
        found = await self._cache.ask(partial(CacheRows.read, key=key, handle=False))
        if found is None:
            return {}
        self._cache.touch(key)
        return await asyncio.to_thread(_decoded, *found)

    async def save(self, origin: str, name: PublicName, facts: Mapping[str, Fact]) -> None:
        """Remember *facts* in place of what was remembered; raise DiskFull or Unavailable."""
        packed, size = await asyncio.to_thread(_encoded, facts)
        row = facts_key(origin, name), packed, Kept(size=size, stored=self._now()).tag
        try:
            kept = await self._cache.ask(partial(CacheRows.write, rows=[row], size=len(packed)))
        except DiskFull:
            self._cache.crowd()
            raise
        if not kept:
            raise Unavailable(f"Facts of {len(packed)} bytes are more than all pages together may be.")
        await self._cache.check_room()


def facts_key(origin: str, name: NormalizedName) -> str:
    """The key of the facts about the files of *name*, which holds no slash: no two pairs make one key."""
    return f"facts:{origin}/{name}"


def _encoded(facts: Mapping[str, Fact]) -> tuple[bytes, int]:
    body = msgspec.msgpack.encode(facts)
    return pack(body), len(body)


def _decoded(packed: bytes, tag: object) -> Mapping[str, Fact]:
    body = unpack(packed, tag)
    try:
        return {} if body is None else msgspec.msgpack.decode(body, type=dict[str, Fact])
    except msgspec.MsgspecError:
        return {}
