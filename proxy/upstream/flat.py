"""A flat page of links (pip's `--find-links`) as an index: one page in memory, sorted into those of its projects.

The page is fetched, kept, refreshed and outlived by outages as any other: here it only has no project's name.  So no
name ever reaches its server, and every name is answered from one and the same version of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from packaging.utils import NormalizedName

from ..errors import MirrorFailed, NotFound
from ..policy import EVERY, PublicName
from ..simple.model import TEXT, Project
from ..simple.read_flat import ByProject
from ..sources import Seen
from ..storage import Blob
from .all_names import lines_of
from .health import Watch
from .index import UNWATCHED, Fetched, Mirror
from .pages import RememberedPages

ROOM = 500_000
"""Files on all the projects' pages that are kept: some 100 MB, most of a file being the whole page's already."""


class FlatMirror(Mirror):
    """A server of a flat page, whose *base* is the address of the page itself."""

    async def page(
        self,
        name: PublicName,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        accept: str = TEXT,
        watch: Watch = UNWATCHED,
    ) -> Fetched | None:
        """The page, whatever *name* says; as Mirror.page, but raise MirrorFailed also where it is not there.

        No other page says what this one would: "there is no such page" is never "there are no such projects".
        """
        try:
            return await self.fetch(
                self.base, what="page of links", accept=TEXT, etag=etag, last_modified=last_modified, watch=watch
            )
        except NotFound as error:
            raise MirrorFailed(str(error)) from None


@dataclass(frozen=True, slots=True)
class Made:
    """The page of one project, or that there is none, and what it was made of."""

    source: ByProject
    page: Project | None

    @property
    def cost(self) -> int:
        return 1 + (len(self.page.files) if self.page is not None else 0)


class FlatPages:
    """Satisfies sources.Upstream with what *whole* remembers under the name EVERY, as read_flat reads it."""

    def __init__(self, whole: RememberedPages) -> None:
        self._whole = whole
        self._sorted: tuple[Project, ByProject] | None = None
        self._sorting = asyncio.Lock()
        self._made: OrderedDict[NormalizedName, Made] = OrderedDict()
        self._cost = 0

    async def project(self, name: PublicName, *, max_age: float | None = None) -> Project:
        """The files of *name*; NotFound where there are none, UpstreamDown where the page cannot be had."""
        source = await self._by_project(max_age)
        made = self._made.get(name)
        if made is None or made.source is not source:
            made = self._keep(name, source, await asyncio.to_thread(source.page, name))
        return self._page_of(name, made)

    def at_hand(self, name: PublicName) -> Project | None:
        """As sources.Upstream says."""
        whole, made = self._whole.at_hand(EVERY), self._made.get(name)
        if whole is None or self._sorted is None or self._sorted[0] is not whole:
            return None
        if made is None or made.source is not self._sorted[1]:
            return None
        return self._page_of(name, made)

    async def root(self) -> Blob:
        """The projects that have a file, a line each; raise UpstreamDown where the page cannot be had."""
        source = await self._by_project(None)
        return await asyncio.to_thread(lambda: lines_of(source.names()))

    def seen(self, name: NormalizedName) -> Seen | None:
        """Where the page of *name* in memory came from; asks nobody."""
        made = self._made.get(name)
        return self._whole.seen(EVERY) if made is not None and made.page is not None else None

    def denies(self, name: NormalizedName) -> bool:
        """As indexes.Pages: never, as an old page still answers for all names."""
        return False

    def withdraw(self, name: NormalizedName) -> None:
        """Forget the page of *name*, about which no question is ever under way."""
        if made := self._made.pop(name, None):
            self._cost -= made.cost

    async def _by_project(self, max_age: float | None) -> ByProject:
        whole = await self._whole.project(EVERY, max_age=max_age)
        async with self._sorting:
            if self._sorted is None or self._sorted[0] is not whole:
                self._sorted = whole, await asyncio.to_thread(ByProject, whole.files)
            return self._sorted[1]

    def _page_of(self, name: PublicName, made: Made) -> Project:
        self._made.move_to_end(name)
        if made.page is None:
            raise NotFound(f"There is no file of {name} on the page of links.")
        return made.page

    def _keep(self, name: NormalizedName, source: ByProject, page: Project | None) -> Made:
        known = self._made.get(name)
        if known is not None and known.page == page:
            page = known.page  # the same object: nothing is written or compressed again
        self.withdraw(name)
        made = self._made[name] = Made(source, page)
        self._cost += made.cost
        while self._cost > ROOM and len(self._made) > 1:
            _, evicted = self._made.popitem(last=False)
            self._cost -= evicted.cost
        return made
