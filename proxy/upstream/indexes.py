"""Several indexes as one: each name is answered by the first of them that may and does, never by two together.

An index that cannot say ends the search.  Were the next one asked in its place, whoever can break a line to the first
could have a name answered from elsewhere: dependency confusion, by way of an outage.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from packaging.utils import NormalizedName

from ..errors import NotFound, UpstreamDown
from ..policy import PublicName
from ..simple.model import File, Project
from ..simple.names import NamePattern
from ..sources import Seen, Upstream
from ..storage import Blob
from ..transfers import Place, Sources


class Pages(Upstream, Protocol):
    """The pages of one index."""

    def denies(self, name: NormalizedName) -> bool:
        """Whether the index said, when last asked, that it has no such project, if that is in memory; asks nobody."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OneIndex:
    """An index as the operator set it up, among others."""

    name: str
    """Which its files have as their origin."""
    names: tuple[NamePattern, ...]
    """What it may answer for; every name where there are none."""
    pages: Pages
    root: Callable[[], Awaitable[Blob]]
    """Opens the list of its projects, a line each; raises Unavailable."""
    soft: float
    """Seconds for which a client waits to learn whether it denies a name still, where the next one may have it ..."""
    hard: float
    """... and where its last word is not known."""

    def covers(self, name: NormalizedName) -> bool:
        """Whether it may answer for *name*."""
        return not self.names or any(pattern.covers(name) for pattern in self.names)


class Indexes:
    """Satisfies sources.Upstream for all of *indexes*, which are asked in their order."""

    def __init__(
        self, indexes: Sequence[OneIndex], *, withdrawn: Callable[[NormalizedName], None] = lambda _: None
    ) -> None:
        """*withdrawn* is told of each name that is withdrawn."""
        self._indexes = tuple(indexes)
        self._withdrawn = withdrawn

    async def project(self, name: PublicName, *, max_age: float | None = None) -> Project:
        """The page of *name* at the first index that has one; *max_age* and errors as in sources.Upstream.

        While an index is down, it is believed what it said last: a name that it did not know is asked of the next,
        as it was before.  To who wants to know it as of now, by a finite *max_age*, that is no answer.
        """
        if max_age is None and (page := self.at_hand(name)) is not None:
            return page
        covering = tuple(self._covering(name))
        try:
            # Each alone keeps to its deadline, and all together must too.
            async with asyncio.timeout(max((index.hard for index in covering), default=0) if covering[1:] else None):
                return await self._first(covering, name, max_age)
        except TimeoutError:
            raise UpstreamDown(f"The indexes took too long over {name}.") from None

    async def _first(self, indexes: Sequence[OneIndex], name: PublicName, max_age: float | None) -> Project:
        any_age = max_age is None or max_age == math.inf
        trouble: UpstreamDown | None = None
        for index in indexes:
            patient = index is indexes[-1] or not (any_age and index.pages.denies(name))
            try:
                async with asyncio.timeout(None if patient else index.soft):
                    return await index.pages.project(name, max_age=max_age)
            except NotFound:
                continue
            except TimeoutError:
                trouble = trouble or UpstreamDown(f"The index {index.name} does not tell in time if it has {name}.")
            except UpstreamDown as error:
                if not any_age or not index.pages.denies(name):
                    raise
                trouble = trouble or error
        # An old "no" leads on to the next index, and is none to the client: the name may have come into being since.
        raise trouble or NotFound(f"No index lists {name}.")

    def at_hand(self, name: PublicName) -> Project | None:
        """As sources.Upstream says: of the first index that does not say at once that it has no such project."""
        for index in self._indexes:
            if index.covers(name):
                try:
                    return index.pages.at_hand(name)
                except NotFound:
                    continue
        raise NotFound(f"No index lists {name}.")

    def seen(self, name: NormalizedName) -> Seen | None:
        """Where the page of *name* in memory came from; asks nobody."""
        for index in self._indexes:
            if index.covers(name) and (seen := index.pages.seen(name)) is not None:
                return seen
        return None

    def withdraw(self, name: NormalizedName) -> None:
        """*name* is private from now on: no index is asked about it any more, and all forget its page."""
        for index in self._indexes:
            index.pages.withdraw(name)
        self._withdrawn(name)

    def _covering(self, name: NormalizedName) -> Iterator[OneIndex]:
        return (index for index in self._indexes if index.covers(name))


class ByOrigin:
    """Satisfies transfers.Sources for the files of all indexes."""

    def __init__(self, sources: Mapping[str, Sources]) -> None:
        """*sources* by the name of the index whose files they have."""
        self._sources = dict(sources)

    def places(self, file: File, *, avoid: frozenset[str]) -> Sequence[Place]:
        """Where the index that lists *file* can have it from; nowhere where that index is not set up any more."""
        sources = self._sources.get(file.origin or "")
        return sources.places(file, avoid=avoid) if sources is not None else ()

    async def measure(self, file: File) -> int | None:
        """The size of *file* in bytes, as the index that lists it can have it told."""
        sources = self._sources.get(file.origin or "")
        if sources is None:
            raise NotFound(f"No index here has {file.filename}.")
        return await sources.measure(file)
