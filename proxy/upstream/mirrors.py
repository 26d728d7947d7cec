"""Servers that copy the same index, asked in turn: what one cannot give, the next may."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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
        self._ill: dict[str, float] = {}

    def in_turn(self, avoid: frozenset[str] = frozenset()) -> list[Mirror]:
        """All mirrors, in the order to ask them now; those in *avoid* last."""
        clock = self._clock()
        return sorted(self._mirrors, key=lambda mirror: (mirror.name in avoid, self._ill.get(mirror.name, 0.0) > clock))

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
                failures.append(self._failed(mirror, name, error))
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
            for mirror, url in self._places(file, avoid):
                try:
                    transfer = await stack.enter_async_context(mirror.transfer(url, offset=offset, etag=None))
                except NotFound:
                    continue
                except MirrorFailed as error:
                    failures.append(self._failed(mirror, file.filename, error))
                    continue
                yield transfer
                return
        if failures:
            raise UpstreamDown(f"No mirror of {self.origin} gives {file.filename} now: {' '.join(failures)}")
        raise NotFound(f"No mirror of {self.origin} has {file.filename}.")

    async def measure(self, file: File) -> int | None:
        """The size that the first mirror to answer says."""
        failures: list[str] = []
        for mirror, url in self._places(file, frozenset()):
            try:
                return await mirror.measure(url)
            except NotFound:
                continue
            except MirrorFailed as error:
                failures.append(self._failed(mirror, file.filename, error))
        if failures:
            raise UpstreamDown(f"No mirror of {self.origin} tells of {file.filename} now: {' '.join(failures)}")
        raise NotFound(f"No mirror of {self.origin} has {file.filename}.")

    def _places(self, file: File, avoid: frozenset[str]) -> list[tuple[Mirror, str]]:
        """Where to ask for *file*, in order: as its page says, and at the same path of the other mirrors.

        All mirrors keep the official index's `/packages/<2>/<2>/<60>/` beside their `/simple/`, which is how their
        relative links find it; a file of another shape has only the one place that its page names.
        """
        listed = self._lister(file)
        shaped = _SHAPED.search(urlsplit(file.url).path) is not None
        places = []
        for mirror in self.in_turn(avoid):
            if mirror is listed:
                places.append((mirror, file.url))
            elif shaped:
                tail = f"../packages/{file.path}/{quote(file.filename, safe='!+~')}"
                places.append((mirror, urljoin(mirror.base, tail)))
        return places

    def _lister(self, file: File) -> Mirror | None:
        """The mirror whose page gave *file* its URL: the one on the same host, else, for links elsewhere, the first."""
        host = urlsplit(file.url).netloc
        same = (mirror for mirror in self._mirrors if urlsplit(mirror.base).netloc == host)
        return next(same, next(iter(self._mirrors), None))

    def _failed(self, mirror: Mirror, what: str, error: MirrorFailed) -> str:
        self._ill[mirror.name] = self._clock() + self._pause
        logger.warning("mirror %s, asked for %s: %s", mirror.name, what, error)
        return str(error)
