"""What clients see: private projects in front of an index.

The one rule: a file is served only if it stands on the page that the policy makes for its project now.  No page, no
file.  All routes go through here, so that precedence cannot hold for one and be forgotten for another.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from typing import TypeAlias

from packaging.utils import NormalizedName

from .at_hand import AtHand
from .download import Download, Downloads
from .errors import Forbidden, NotFound, ProxyError, Unavailable, UpstreamDown
from .merged import MergedPages
from .policy import Claims, Policy, Route
from .simple.model import METADATA, File, Project, listed
from .simple.names import projects_of
from .sources import Listing, Seen, Upstream
from .storage import Blob, Cache, Names, Pins, PrivateFiles

RECHECK = 10.0  # seconds: a page that lacks a file somebody asks for is fetched again, but no more often than this

May: TypeAlias = Callable[[NormalizedName], bool]
"""Whether whoever asks may read the private project of that name."""


class Repository:
    """Private files in *store*, all else from *upstream*; *upstream* and *root* are None where no index is set."""

    def __init__(
        self,
        *,
        store: PrivateFiles,
        names: Names,
        pins: Pins,
        cache: Cache,
        downloads: Downloads,
        upstream: Upstream | None,
        root: Callable[[], Awaitable[Blob]] | None,
        policy: Policy,
    ) -> None:
        self._store = store
        self._names = names
        self._pins = pins
        self._cache = cache
        self._downloads = downloads
        self._upstream = upstream
        self._root = root
        self._policy = policy
        self._merged = MergedPages(policy)
        self.at_hand = AtHand(store, upstream)
        """The pages that `project` would give without waiting for anything."""

    async def project(self, name: NormalizedName, *, max_age: float | None = None) -> Project:
        """The page of *name*, from whoever the policy lets answer for it; the same object while nothing changed."""
        if max_age is None and (page := self.at_hand.page(name)) is not None:
            return page
        while True:
            generation = self._store.generation
            claims = await self._names.claimed()
            route = self._policy.route(name, claims)
            try:
                page = await self._page(name, route, claims, generation, max_age)
            except (NotFound, UpstreamDown):
                if self._policy.route(name, await self._names.claimed()) == route:
                    raise
                continue  # a question that was withdrawn, as the answer is ours to give now
            # A name that became private while the index was asked: what came from there must not be seen.
            now = await self._names.claimed()
            if now == claims or (self._policy.route(name, now) == route and not page.rivals):
                return page

    def seen(self, name: NormalizedName) -> Seen | None:
        """Where the index's part of the page of *name* came from; None where all of it is ours."""
        return self._upstream.seen(name) if self._upstream is not None else None

    async def listing(self) -> Listing:
        """The names for the root page; those of the index that are private here are for the writer to leave out."""
        claims = await self._names.claimed()
        return Listing(claims, await self._root() if self._root else None)

    def shows(self, name: NormalizedName, claims: Claims) -> bool:
        """Whether the index's *name* belongs on the root page beside our own."""
        return self._policy.route(name, claims).public is not None and name not in claims

    async def is_private(self, name: NormalizedName) -> bool:
        """Whether *name* is claimed or reserved, and so only for who has a right to it."""
        return name in await self._names.claimed() or self._policy.is_reserved(name)

    async def find(self, path: str, filename: str, *, may: May = lambda name: True) -> File:
        """The file that some page, however old, links as *path* and *filename*; raise NotFound where none does, and
        Forbidden where it can only be of projects that are quarantined, or private and not what the reader *may* see.
        """
        trouble: ProxyError | None = None
        for name in await self._readings(filename):
            ours = listed(await self._store.files(name), filename)
            closed = await self._closed(name, may)  # after that, as the name may have become private until then
            if closed is not None:
                trouble = trouble or closed
                continue
            if ours is not None and ours.path == path:
                return ours  # sure, whatever the index answers for a name that both sides share
            for max_age in (math.inf, RECHECK):
                try:
                    return (await self.project(name, max_age=max_age)).file(path, filename)
                except NotFound:
                    continue  # on this page, which is fetched again if it is old
                except Unavailable as error:
                    trouble = error
                    break  # asked again at once, nobody would answer for just as long
        raise trouble or NotFound(f"{filename} is not on any page here.")

    async def _closed(self, name: NormalizedName, may: May) -> Forbidden | None:
        """Why no file of *name* is for this reader, whether or not there is one; None where all are."""
        if not may(name) and await self.is_private(name):
            return Forbidden(f"The files of {name} are not for you to read.")
        standing = (await self._names.standings()).get(name)
        if standing is None or standing.status != "quarantined":
            return None
        why = f" ({standing.reason})" if standing.reason else ""
        return Forbidden(f"{name} is quarantined{why}: none of its files is given out.")

    async def confirm(self, file: File) -> None:
        """Look at the page again for *file*, which no mirror has, so that the next page does not list it."""
        for name in await self._readings(file.filename):
            with suppress(NotFound):
                await self.project(name, max_age=RECHECK)

    async def _readings(self, filename: str) -> Sequence[NormalizedName]:
        """The projects whose pages may list *filename*: where one is private, no index hears of the others (dec. 5)."""
        claims = await self._names.claimed()
        names = projects_of(filename.removesuffix(METADATA))
        return [name for name in names if self._policy.route(name, claims).public is None] or names

    async def sha256(self, file: File) -> str | None:
        """The digest of *file*: as listed, or as seen first."""
        if file.sha256 is not None or file.origin is None:
            return file.sha256
        return await self._pins.pinned(file.origin, f"{file.path}/{file.filename}")

    async def find_private(self, filename: str, *, may: May = lambda name: True) -> File:
        """The private file *filename*, whatever its path: filenames are unique (decision 34).  Raises as `find`."""
        refused: Forbidden | None = None
        for name in projects_of(filename.removesuffix(METADATA)):
            ours = listed(await self._store.files(name), filename)
            closed = await self._closed(name, may)
            if ours is not None and closed is None:
                return ours
            refused = refused or closed
        raise refused or NotFound(f"{filename} is not a private file here.")

    async def uploaded(self, name: NormalizedName) -> tuple[File, ...]:
        """The private files of *name*, if there are any: no index is asked."""
        return await self._store.files(name)

    async def open(self, file: File) -> Blob | None:
        """The bytes of *file*, which `find` gave, where we hold them."""
        if file.private:
            return await self._store.open(file)
        sha256 = await self.sha256(file)
        return await self._cache.open(sha256) if sha256 else None

    async def fetch(self, file: File) -> Blob | Download:
        """The bytes of *file*, which `find` gave: at rest where we hold them, else as they come in."""
        if file.private:
            return await self._store.open(file)
        return await self._downloads.obtain(file, await self.sha256(file))

    async def glimpse(self, file: File, begin: int, end: int) -> bytes:
        """Bytes of an upstream *file* that nobody holds, unverified; begins no download (decision 11)."""
        return await self._downloads.glimpse(file, begin, end, sha256=await self.sha256(file))

    async def size(self, file: File) -> int | None:
        """Bytes of *file*, as listed or asked for; for a HEAD, which never starts a download (decision 16)."""
        return file.size if file.size is not None else await self._downloads.measure(file)

    async def _page(
        self, name: NormalizedName, route: Route, claims: Claims, generation: int, max_age: float | None
    ) -> Project:
        local = await self._store.files(name) if route.local else ()
        theirs = await self._theirs(name, route, claims, max_age, alone=not local)
        standing = (await self._names.standings()).get(name) if route.local else None  # last: the index takes its time
        page = self._merged.page(name, local, theirs, claims, standing)
        return self.at_hand.keep(page, generation, route.public, theirs)

    async def _theirs(
        self, name: NormalizedName, route: Route, claims: Claims, max_age: float | None, *, alone: bool
    ) -> Project | None:
        if self._upstream is None and not route.local:
            raise NotFound(f"There is no project {name} here.")
        if route.public is None or self._upstream is None:
            return None
        with suppress(NotFound) if not alone or name in claims else nullcontext():
            return await self._upstream.project(route.public, max_age=max_age)
        return None
