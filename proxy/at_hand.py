"""Pages that nobody has to wait for: the last one of each name, and whether it would be the same if made again.

Knows the Store's generation and the index's pages in memory; asks nobody and begins nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from weakref import ref

from packaging.utils import NormalizedName

from .errors import NotFound
from .policy import PublicName
from .simple.model import METADATA, File, Project
from .simple.names import projects_of
from .sources import Upstream
from .storage import PrivateFiles

MOST = 20_000
"""Names that are remembered: some 10 MB."""


@dataclass(frozen=True, slots=True)
class Made:
    """A page, and what it was made of.  Whoever made the pages keeps them, or they are made again."""

    generation: int
    """Of the Store, read before its rows were."""
    public: PublicName | None
    """What the index is asked about; None where all of the page is ours."""
    theirs: ref[Project] | None
    page: ref[Project]


class AtHand:
    """A page is made of the Store's rows, the index's page and the policy, which no process changes; nothing else.

    So one that was made in the Store's present generation, of the very page that the index has at hand, is the page.
    """

    def __init__(self, store: PrivateFiles, upstream: Upstream | None) -> None:
        self._store = store
        self._upstream = upstream
        self._made: OrderedDict[NormalizedName, Made] = OrderedDict()

    def keep(self, page: Project, generation: int, public: PublicName | None, theirs: Project | None) -> Project:
        """Remember *page*, and give it back; *generation* is the Store's, read before its rows were."""
        public = public if self._upstream is not None else None
        if public is None or theirs is not None:  # else the index has no such page, which holds for seconds only
            self._made.pop(page.name, None)
            self._made[page.name] = Made(generation, public, ref(theirs) if theirs is not None else None, ref(page))
            if len(self._made) > MOST:
                self._made.popitem(last=False)
        return page

    def page(self, name: NormalizedName) -> Project | None:
        """The page of *name*; None where it has to be found out if it is."""
        made = self._made.get(name)
        if made is None or made.generation != self._store.generation:
            return None
        if made.public is not None and self._upstream is not None:
            try:
                theirs = self._upstream.at_hand(made.public)
            except NotFound:
                return None
            if theirs is None or made.theirs is None or made.theirs() is not theirs:
                return None
        return made.page()

    def file(self, path: str, filename: str) -> File | None:
        """The file that such a page links as *path* and *filename*; None where that has to be found out.

        One page's word is enough: where the filename may be a private project's, no other page lists it (decision 5).
        """
        for name in projects_of(filename.removesuffix(METADATA)):
            page = self.page(name)
            if page is not None:
                try:
                    return page.file(path, filename)
                except NotFound:
                    continue
        return None
