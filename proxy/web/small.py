"""Small files in memory: what was opened from the cache or the Store a moment ago, by its sha256."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from .front import Ready

KEPT = 60.0
"""Seconds after which a file is opened again: so the cache learns that it is used, and what was evicted ends here."""

COST = 1_000
"""Bytes of memory that a file takes beside its own."""


@dataclass(frozen=True, slots=True)
class Small:
    """A whole file."""

    ready: Ready
    modified: str
    """As `Last-Modified` says it."""
    until: float
    """Clock seconds until which it is kept."""

    @property
    def cost(self) -> int:
        return len(self.ready.body) + COST


class SmallFiles:
    """As many as fit in *room* bytes, the least recently used of them forgotten first."""

    def __init__(self, *, room: int, clock: Callable[[], float]) -> None:
        self._room = room
        self._clock = clock
        self._held: OrderedDict[str, Small] = OrderedDict()
        self._size = 0

    def get(self, sha256: str) -> Small | None:
        """The file, as long as it is young."""
        held = self._held.get(sha256)
        if held is None:
            return None
        if held.until <= self._clock():
            self._drop(sha256)
            return None
        self._held.move_to_end(sha256)
        return held

    def put(self, sha256: str, body: bytes, modified: str) -> Small:
        """Keep *body*, which the caller knows to be what *sha256* says, and give it, even where there is no room."""
        self._drop(sha256)
        small = Small(Ready(body, f'"{sha256}"'), modified, self._clock() + KEPT)
        self._held[sha256] = small
        self._size += small.cost
        while self._size > self._room:
            self._drop(next(iter(self._held)))
        return small

    def _drop(self, sha256: str) -> None:
        dropped = self._held.pop(sha256, None)
        if dropped is not None:
            self._size -= dropped.cost
