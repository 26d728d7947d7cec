"""Servers that copy the same index, asked in turn: what one cannot give, the next may."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from ..download import Transfer
from ..errors import MirrorFailed, NotFound, UpstreamDown
from ..policy import PublicName
from ..simple.model import File, Project
from ..simple.read import read_project
from ..storage import Snapshot
from .index import Fetched, Mirror

logger = logging.getLogger(__name__)

_SHAPED = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/[^/]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A page that a mirror gave: read, and as it came."""

    snapshot: Snapshot
    project: Project | None
    """None where the page known before still holds (304)."""
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file may be had."""

    name: str
    """Of the mirror, or the host that a page links to."""
    mirror: Mirror
    """Whose connections are used."""
    url: str


class MirrorSet:
    """The mirrors of the index *origin*, in the operator's order.

    A mirror that failed is asked last for *pause* seconds, so that a dead one costs its time limit once and not with
    every question.
    """

    def __init__(
        self,
        origin: str,
        mirrors: Sequence[Mirror],
        *,
        pause: float,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.origin = origin
        self._mirrors = tuple(mirrors)
        self._pause = pause
        self._now = now
        self._clock = clock
        # Apart: who refuses one file or stalls over gigabytes may well have the best pages.
        self._ill: dict[str, float] = {}
        self._slow: dict[str, float] = {}

    def in_turn(self) -> list[Mirror]:
        """All mirrors, in the order to ask them for pages now."""
        clock = self._clock()
        return sorted(self._mirrors, key=lambda mirror: self._ill.get(mirror.name, 0.0) > clock)

    async def page(self, name: PublicName, known: Snapshot | None) -> Answer:
        """The page of *name*; raise NotFound where every mirror says 404, UpstreamDown where not all could say."""
        failures: list[str] = []
        for mirror in self.in_turn():
            # Validators are a mirror's own: another one's equal ETag may stand for another page.
            same = known if known is not None and known.mirror == mirror.name and not known.absent else None
            try:
                fetched = await mirror.page(
                    name, etag=same.etag if same else None, last_modified=same.last_modified if same else None
                )
                answer = await self._read(name, mirror, fetched, same)
            except NotFound:
                continue
            except MirrorFailed as error:
                failures.append(self._failed(mirror.name, name, error, self._ill))
                continue
            self._ill.pop(mirror.name, None)
            return answer
        if failures:
            raise UpstreamDown(f"No mirror of {self.origin} could answer for {name} now: {' '.join(failures)}")
        raise NotFound(f"No mirror of {self.origin} knows {name}.")

    async def _read(self, name: PublicName, mirror: Mirror, fetched: Fetched | None, same: Snapshot | None) -> Answer:
        now = self._now()
        if fetched is None:
            if same is None:
                raise MirrorFailed(f"{mirror.name} says that a page is unchanged which was never fetched.")
            return Answer(snapshot=msgspec.structs.replace(same, checked=now), project=None, body=None)
        snapshot = Snapshot(
            mirror=mirror.name,
            url=fetched.url,
            content_type=fetched.content_type,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            fetched=now,
            checked=now,
        )
        return Answer(snapshot=snapshot, project=await self.read(name, snapshot, fetched.body), body=fetched.body)

    async def read(self, name: PublicName, snapshot: Snapshot, body: bytes) -> Project:
        """The project that a page says, now fetched or remembered; raise MirrorFailed where it is none."""
        base = next((mirror.base for mirror in self._mirrors if mirror.name == snapshot.mirror), snapshot.url)
        return await asyncio.to_thread(
            read_project,
            body,
            content_type=snapshot.content_type,
            url=snapshot.url,
            name=name,
            origin=self.origin,
            base=base,
        )

    @asynccontextmanager
    async def transfer(self, file: File, *, offset: int, avoid: frozenset[str]) -> AsyncIterator[Transfer]:
        """Satisfies download.Sources; what breaks later is told by the MirrorFailed that leaves the block."""
        failures: list[str] = []
        async with AsyncExitStack() as stack:
            for place in self.places(file, avoid):
                try:
                    transfer = await stack.enter_async_context(
                        place.mirror.transfer(place.url, offset=offset, etag=None)
                    )
                except NotFound:
                    continue
                except MirrorFailed as error:
                    failures.append(self._failed(place.name, file.filename, error, self._slow))
                    continue
                try:
                    yield replace(transfer, mirror=place.name)
                except MirrorFailed as error:
                    self._failed(place.name, file.filename, error, self._slow)
                    raise
                return
        if failures:
            raise UpstreamDown(f"No mirror of {self.origin} gives {file.filename} now: {' '.join(failures)}")
        raise NotFound(f"No mirror of {self.origin} has {file.filename}.")

    async def measure(self, file: File) -> int | None:
        """The size that the first mirror to answer says."""
        failures: list[str] = []
        for place in self.places(file, frozenset()):
            try:
                return await place.mirror.measure(place.url)
            except NotFound:
                continue
            except MirrorFailed as error:
                failures.append(self._failed(place.name, file.filename, error, self._slow))
        if failures:
            raise UpstreamDown(f"No mirror of {self.origin} tells of {file.filename} now: {' '.join(failures)}")
        raise NotFound(f"No mirror of {self.origin} has {file.filename}.")

    def places(self, file: File, avoid: frozenset[str]) -> list[Place]:
        """Where to ask for *file*: as its page says, and at the same path of all mirrors; the likeliest first.

        All mirrors keep the official index's `/packages/<2>/<2>/<60>/` beside their `/simple/`, which is how their
        relative links find it; a file of another shape has only the one place that its page names.
        """
        parts = urlsplit(file.url)
        places = [Place(mirror.name, mirror, file.url) for mirror in self._mirrors if _host(mirror) == parts.netloc]
        if not places and self._mirrors:
            places = [Place(parts.netloc, self._mirrors[0], file.url)]  # by whose connections does not matter
        if _SHAPED.search(parts.path):
            tail = f"../packages/{file.path}/{quote(file.filename, safe='!+~')}"
            places += [
                Place(mirror.name, mirror, urljoin(mirror.base, tail))
                for mirror in self._mirrors
                if _host(mirror) != parts.netloc
            ]
        clock = self._clock()
        rank = {mirror.name: number for number, mirror in enumerate(self._mirrors)}
        return sorted(
            places,
            key=lambda place: (
                place.name in avoid,
                self._slow.get(place.name, 0.0) > clock,
                place.mirror.busy,
                rank.get(place.name, -1),
            ),
        )

    def _failed(self, name: str, what: str, error: MirrorFailed, ill: dict[str, float]) -> str:
        ill[name] = self._clock() + self._pause
        logger.warning("mirror %s, asked for %s: %s", name, what, error)
        return str(error)


def _host(mirror: Mirror) -> str:
    return urlsplit(mirror.base).netloc
