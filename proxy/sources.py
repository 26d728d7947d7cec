"""The index that we stand before, as the Repository asks for its pages."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from packaging.utils import NormalizedName

from .policy import PublicName
from .simple.model import Project
from .storage import Blob


class Upstream(Protocol):
    """Pages of the index."""

    async def project(self, name: PublicName, *, max_age: float | None = None) -> Project:
        """The page of *name*; NotFound where the index says so, UpstreamDown where it cannot be known.

        With *max_age* (seconds) any page that young will do, however stale, and an older one will not.
        """
        ...


class Listing(NamedTuple):
    """All project names: ours, and the lines of the index's own list, if there is one."""

    private: frozenset[NormalizedName]
    public: Blob | None
