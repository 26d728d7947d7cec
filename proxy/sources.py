"""The index that we stand before, as the Repository asks for its pages."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from packaging.utils import NormalizedName

from .policy import PublicName
from .simple.model import Project
from .storage import Blob


class Seen(NamedTuple):
    """Where a page that is remembered came from.  Times in seconds since the epoch."""

    mirror: str
    fetched: float
    """When its bytes came."""
    checked: float
    """When a mirror last said that they still hold."""


class Upstream(Protocol):
    """Pages of the index."""

    async def project(self, name: PublicName, *, max_age: float | None = None) -> Project:
        """The page of *name*; NotFound where the index says so, UpstreamDown where it cannot be known.

        With *max_age* (seconds) any page that young will do, however stale, and an older one will not.
        """
        ...

    def at_hand(self, name: PublicName) -> Project | None:
        """What `project` would give without waiting for anything, in memory and fresh enough; None where it would wait.

        Raise NotFound where it would say so at once.  Asks nobody, and begins nothing.
        """
        ...

    def seen(self, name: NormalizedName) -> Seen | None:
        """Where the page of *name* in memory came from; asks nobody."""
        ...

    def withdraw(self, name: NormalizedName) -> None:
        """*name* is private from now on: stop every question about it, and forget its page."""
        ...


class Listing(NamedTuple):
    """All project names: ours, and the lines of the index's own list, if there is one."""

    private: frozenset[NormalizedName]
    public: Blob | None
