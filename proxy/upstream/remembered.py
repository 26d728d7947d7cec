"""Pages in memory: what is known of each name, the least recently used of them forgotten first; asks nobody."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass

from packaging.utils import NormalizedName

from ..errors import NotFound
from ..simple.model import Project
from ..sources import Seen
from ..storage import Snapshot

PAGE_COST, FILE_COST = 2_000, 1_000
"""Bytes of memory that a page, and each file on it, take (measured: 900 to 1,000 a file)."""


SPREAD = 0.1
"""The part by which names differ in how long their pages hold: what one install fetched is not all old at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long pages hold and clients wait, all in seconds."""

    fresh: float
    """A page is answered without asking a mirror."""
    absent: float
    """A 404 of all mirrors is believed."""
    soft: float
    """A client waits for a refresh when a stale page exists."""
    hard: float
    """A client waits when nothing is remembered."""
    retry: float
    """A refresh that failed is not tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is known of one name; *project* is None where every mirror said 404."""

    snapshot: Snapshot
    project: Project | None
    """As it is served: with what is missed on the page, and what it leaves out."""
    retry_at: float = 0.0
    """Clock seconds before which no refresh is tried, after one failed."""
    doubted: bool = False
    """Every mirror said 404 when last asked."""
    kept: bool = True
    """The disk has the page's bytes, which a 304 would vouch for."""

    @property
    def cost(self) -> int:
        """Bytes of memory, about."""
        return PAGE_COST + FILE_COST * len(self.project.files if self.project else ())

    @property
    def seen(self) -> Seen | None:
        """Where it came from; None where all mirrors said 404."""
        said = self.snapshot
        return None if said.absent else Seen(said.mirror, fetched=said.fetched, checked=said.checked)

    def served(self, name: NormalizedName) -> Project:
        """The page; raise NotFound where every mirror said 404."""
        if self.project is None:
            raise NotFound(f"No mirror knows {name}.")
        return self.project

    @property
    def pending(self) -> bool:
        """Whether files are missed of which it is not known yet if the index removed them."""
        return any(not one.removed for one in self.snapshot.missing)


class HeldPages:
    """As many pages as fit in *room* bytes, and never less than one."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._pages: OrderedDict[NormalizedName, Remembered] = OrderedDict()
        self.cost = 0
        """Bytes of all."""

    def __contains__(self, name: NormalizedName) -> bool:
        return name in self._pages

    def __len__(self) -> int:
        return len(self._pages)

    def get(self, name: NormalizedName) -> Remembered | None:
        return self._pages.get(name)

    def use(self, name: NormalizedName) -> Remembered | None:
        """The same, which makes it the last to be forgotten."""
        if name in self._pages:
            self._pages.move_to_end(name)
        return self._pages.get(name)

    def put(self, name: NormalizedName, page: Remembered) -> None:
        self.drop(name)
        self._pages[name] = page
        self.cost += page.cost
        while self.cost > self._room and len(self._pages) > 1:
            _, evicted = self._pages.popitem(last=False)
            self.cost -= evicted.cost

    def drop(self, name: NormalizedName) -> None:
        dropped = self._pages.pop(name, None)
        self.cost -= dropped.cost if dropped is not None else 0


def spread(name: NormalizedName) -> float:
    """By what to multiply how long the page of *name* holds: always the same for one name."""
    return 1 - SPREAD + 2 * SPREAD * zlib.crc32(name.encode()) / 2**32
