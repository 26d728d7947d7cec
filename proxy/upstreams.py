"""The `[[index]]` tables of the settings into running indexes: the wiring of all that stands before the mirrors."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from . import __version__
from .config import Index, Login, MirrorURL, Settings
from .download import PACE, Downloads
from .errors import NotFound
from .segments import Pace
from .simple.model import File
from .simple.names import projects_of
from .simple.read import read_project
from .simple.read_flat import read_flat
from .status import IndexState
from .storage import Pins
from .storage.disk_cache import FileCache, PageCache
from .upstream.breaker import Patience
from .upstream.choice import Machines
from .upstream.facts import FactBook
from .upstream.flat import FlatMirror, FlatPages
from .upstream.guard import Guard, origin_of
from .upstream.heal import Healer, Route
from .upstream.healed import HealedPages
from .upstream.index import Limits, Mirror
from .upstream.indexes import ByOrigin, OneIndex
from .upstream.metadata import Readings, WithOwnReadings
from .upstream.mirrors import MirrorSet
from .upstream.pages import RememberedPages
from .upstream.remembered import Times
from .upstream.root import RootList
from .upstream.sessions import open_sessions, proxies_of

USER_AGENT = f"yizhan/{__version__}"

MOST_EXPECTED = 32
"""Connections that are opened ahead."""

RETRY = 5.0
"""Seconds for which a page whose refresh failed is answered as it is."""

Maker = Callable[[MirrorURL], Mirror]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all indexes have in common."""

    settings: Settings
    logins: Mapping[str, Mapping[str, Login]]
    """By index and origin."""
    pages: PageCache
    files: FileCache
    pins: Pins
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstreams:
    """All indexes at work, and the downloads that they feed."""

    indexes: tuple[OneIndex, ...]
    mirrors: Mapping[str, MirrorSet]
    healers: Mapping[str, Healer]
    """Those of the indexes that are healed."""
    downloads: Downloads
    machines: Machines

    async def metadata(self, wheel: File) -> bytes:
        """The METADATA in *wheel*; raise NotFound or UpstreamDown."""
        healer = self.healers.get(wheel.origin or "")
        if healer is None:
            raise NotFound(f"The metadata in {wheel.filename} is not looked for.")
        return await healer.metadata(wheel)

    async def expect(self, count: int) -> None:
        """Get ready for about *count* questions at once, to the indexes that answer for any name."""
        for index in self.indexes:
            if not index.names:
                await self.mirrors[index.name].expect(min(count, MOST_EXPECTED))

    def states(self) -> tuple[IndexState, ...]:
        """How the mirrors of each index do."""
        return tuple(IndexState(name=name, mirrors=tuple(mirrors.health())) for name, mirrors in self.mirrors.items())


async def open_upstreams(shared: Shared, incoming: Path, stack: AsyncExitStack) -> Upstreams:
    """All that stands between the Repository and the mirrors; what is made first is closed last."""
    mirrors: dict[str, MirrorSet] = {}
    for index in shared.settings.index:
        made = await stack.enter_async_context(open_mirrors(index, shared.logins.get(index.name, {})))
        mirrors[index.name] = mirror_set(index, made)
    healers: dict[str, Healer] = {}

    def differs(wheel: File) -> None:
        if (healer := healers.get(wheel.origin or "")) is not None:
            healer.doubt(wheel)

    # Our own readings of wheels are among what downloads are made from, and are themselves made by way of downloads.
    sources = WithOwnReadings(
        ByOrigin(mirrors),
        lambda wheel: readings.own(wheel),
        at_hand=lambda wheel: readings.at_hand(wheel),
        differs=differs,
    )
    openings: dict[str, _Opening] = {}

    async def resized(file: File, size: int) -> None:
        if (opening := openings.get(file.origin or "")) is not None:
            await opening.resized(file, size)

    downloads = Downloads(incoming, sources, shared.files, shared.pins, pace=_paces(shared.settings), resized=resized)
    stack.push_async_callback(downloads.close)
    readings = Readings(downloads, shared.files, clock=time.monotonic)
    stack.push_async_callback(readings.close)
    machines = Machines(python=f"{sys.version_info.major}.{sys.version_info.minor}")
    indexes = []
    for index in shared.settings.index:
        openings[index.name] = opened = _Opening(shared, index, mirrors[index.name], stack)
        if index.heal and index.kind == "simple":
            healers[index.name] = opened.heal(readings, downloads, machines)
        indexes.append(opened.index())
    return Upstreams(indexes=tuple(indexes), mirrors=mirrors, healers=healers, downloads=downloads, machines=machines)


class _Opening:
    """One index as it is put together."""

    def __init__(self, shared: Shared, index: Index, mirrors: MirrorSet, stack: AsyncExitStack) -> None:
        memory = shared.settings.cache.memory // len(shared.settings.index)
        self._shared = shared
        self._index = index
        self._mirrors = mirrors
        self._stack = stack
        self._healed: HealedPages | None = None
        self._facts = FactBook(
            shared.pages.facts, index.name, memory=memory // 8, now=time.time, estimated_times=index.estimated_times
        )
        stack.push_async_callback(self._facts.close)
        self._pages = RememberedPages(
            mirrors,
            shared.pages,
            facts=self._facts,
            times=_times(index),
            memory=3 * memory // 8,
            now=time.time,
            clock=time.monotonic,
            removed=index.removed,
            keeps_denials=index is not shared.settings.index[-1],
            # What heals a page asks for more of it, and is therefore made later.
            on_page=lambda name, page: self._healed.fetched(name, page) if self._healed is not None else None,
        )
        stack.push_async_callback(self._pages.close)

    async def resized(self, file: File, size: int) -> None:
        """Have the page of *file* say from now on that it has *size* bytes, as was seen."""
        for name in projects_of(file.filename):
            public = await self._shared.route(name)
            if public is not None and file.sha256 is not None and self._pages.seen(public) is not None:
                await self._facts.correct(public, file.sha256, size)
                await self._pages.relay(public)

    def heal(self, readings: Readings, downloads: Downloads, machines: Machines) -> Healer:
        """Have its pages healed from now on."""
        healer = Healer(
            mirrors=self._mirrors,
            book=self._facts,
            pages=self._pages,
            readings=readings,
            obtain=downloads.obtain,
            route=self._shared.route,
            machines=machines,
            clock=time.monotonic,
        )
        self._stack.push_async_callback(healer.close)
        self._healed = HealedPages(
            self._pages, healer, patience=self._index.soft_deadline, hard=self._index.hard_deadline
        )
        return healer

    def index(self) -> OneIndex:
        """What is asked for its pages, files and names."""
        flat = FlatPages(self._pages) if self._index.kind == "find-links" else None
        return OneIndex(
            name=self._index.name,
            names=self._index.names,
            pages=flat or self._healed or self._pages,
            root=flat.root if flat is not None else self._root().open,
            soft=self._index.soft_deadline,
            hard=self._index.hard_deadline,
        )

    def _root(self) -> RootList:
        folder = self._shared.settings.storage.cache / "names"
        fresh, patience = self._index.root_fresh, self._index.hard_deadline
        root = RootList(self._mirrors, folder, fresh=fresh, patience=patience, now=time.time)
        self._stack.push_async_callback(root.close)
        return root


@asynccontextmanager
async def open_mirrors(index: Index, logins: Mapping[str, Login]) -> AsyncIterator[Maker]:
    """Gives what makes a mirror of *index* of its URL; *logins* by origin."""
    known = [mirror.known for mirror in index.mirrors if mirror.known is not None]
    guard = Guard(
        own=[origin_of(mirror.url) for mirror in index.mirrors if not mirror.preset],
        public=[origin_of(mirror.url) for mirror in index.mirrors if mirror.preset],
        # Where an operator says which hosts there may be, those that a known mirror cannot do without are meant too.
        hosts=(*index.hosts, *(host for preset in known for host in preset.redirects)) if index.hosts else (),
        networks=index.networks,
    )
    sessions = open_sessions(
        guard=guard,
        user_agent=index.user_agent or USER_AGENT,
        connect=index.connect_timeout,
        ca=index.ca,
        proxies=proxies_of(index.proxy or None),
        credentials=logins,
    )
    kind = FlatMirror if index.kind == "find-links" else Mirror
    async with sessions as opened:

        def made(mirror: MirrorURL) -> Mirror:
            return kind(
                name=mirror.name,
                base=mirror.url,
                sessions=opened,
                limits=_limits(index),
                connections=index.connections,
                files=mirror.known.files if mirror.known is not None else None,
                unknown=index.unknown_at(mirror),
            )

        yield made


def mirror_set(index: Index, made: Maker) -> MirrorSet:
    """The mirrors of *index* as one."""
    return MirrorSet(
        index.name,
        [made(mirror) for mirror in index.mirrors],
        patience=Patience(
            pause=index.pause,
            longest_pause=index.longest_pause,
            refusal_pause=index.refusal_pause,
            hedge=index.hedge,
        ),
        full_fetch=index.full_fetch,
        read=read_flat if index.kind == "find-links" else read_project,
        now=time.time,
        clock=time.monotonic,
        chance=random.random,
    )


def _paces(settings: Settings) -> Callable[[File], Pace]:
    paces = {index.name: Pace(connections=index.segments, above=index.segment_above) for index in settings.index}
    return lambda file: paces.get(file.origin or "", PACE)


def _times(index: Index) -> Times:
    return Times(
        fresh=index.fresh, absent=index.absent, soft=index.soft_deadline, hard=index.hard_deadline, retry=RETRY
    )


def _limits(index: Index) -> Limits:
    return Limits(
        connect=index.connect_timeout,
        answer=index.answer_timeout,
        stall=index.stall_timeout,
        low_speed=index.low_speed,
        max_page=index.max_page,
        max_root=index.max_root,
        max_file=index.max_file,
    )
