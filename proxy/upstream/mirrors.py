"""Servers that copy the same index, asked as if they were one: what one cannot give, the next may."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import msgspec
from packaging.utils import NormalizedName

from ..errors import MirrorFailed, NotFound, ProxyError, Unavailable, UpstreamDown
from ..policy import PublicName
from ..simple.model import TEXT, File, Project
from ..simple.read import read_project, serial_of
from ..storage import Snapshot
from .breaker import Patience
from .documents import Documents
from .health import Book, Health, MirrorState, Question, slow
from .index import Fetched, Mirror
from .places import MirrorPlace, Places
from .race import race

DAY = 86_400.0

INLINE = 16 * 1024
"""Bytes of a page that is read on the event loop; the worst that lies take there 30 ms."""

READY = 30.0
"""Seconds for which connections that were opened ahead are taken to be there."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """Reads a page: see simple.read.read_project."""

    def __call__(
        self, body: bytes, *, content_type: str, url: str, name: NormalizedName, origin: str, base: str
    ) -> Project: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A page that a mirror gave: read, and as it came."""

    snapshot: Snapshot
    project: Project | None
    """None where the page known before still holds (304)."""
    body: bytes | None

    @property
    def is_empty(self) -> bool:
        """Whether it may be a mirror's failure: a page without files and without a reason for that (PEP 792)."""
        return self.project is not None and not self.project.files and self.project.status is None


class Behind(MirrorFailed):
    """A mirror did its part, and its page is older than the one known."""


class MirrorSet:
    """The mirrors of the index *origin*: satisfies transfers.Sources.

    They are asked in the operator's order, but for those that failed lately, that are clearly slower than the best,
    or that have all hands full: these come after the others, and those that failed repeatedly are left alone.
    """

    def __init__(
        self,
        origin: str,
        mirrors: Sequence[Mirror],
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        chance: Callable[[], float],
        patience: Patience,
        full_fetch: float = DAY,
        read: Reader = read_project,
    ) -> None:
        """*now*: seconds since the epoch; *clock*: seconds that never jump; *chance*: from 0 to below 1.

        *full_fetch*: seconds after which a page has to come whole again, and may be an older one (B20, B21).
        """
        self.origin = origin
        self._mirrors = tuple(mirrors)
        self._now = now
        self._clock = clock
        self._expected = float("-inf"), 0
        self._hedge = patience.hedge
        self._full_fetch = full_fetch
        self._read_page = read
        made = partial(Health, patience=patience, now=now, clock=clock, chance=chance, at=self._at)
        self._health = {mirror.name: made(mirror.name) for mirror in mirrors}
        self._homes = {host: self._health[mirror.name] for mirror in reversed(self._mirrors) for host in mirror.hosts}
        self._places = Places(mirrors, self._health.__getitem__, clock=clock, stranger=made)
        self._documents = Documents(origin, self._health.__getitem__, clock=clock, life=full_fetch)

    def health(self) -> Sequence[MirrorState]:
        """How each mirror does, in the operator's order."""
        return [self._health[mirror.name].state(mirror.base) for mirror in self._mirrors]

    def in_turn(self) -> list[Mirror]:
        """The mirrors that may be asked for pages and the like now, in the order to ask them."""
        return self._askable(self._mirrors)[0]

    async def expect(self, count: int) -> None:
        """Get ready for about *count* questions at once: the first mirrors in turn are connected to, and not asked.

        Once in a while is enough, as connections are kept; what fails here is found out by the questions themselves.
        """
        if count <= self._expected[1] and self._clock() < self._expected[0]:
            return
        self._expected = self._clock() + READY, count
        for mirror in self.in_turn():
            if count <= 0:
                return
            try:
                await mirror.get_ready(count)
            except MirrorFailed as error:
                logger.debug("mirror %s is not connected to: %s", mirror.name, error)
                return
            count -= mirror.connections

    def tell(self, mirror: Mirror, what: str, error: ProxyError) -> None:
        """*mirror* did not give *what*, which is no page."""
        self._health[mirror.name].tell(what, error)

    async def page(self, name: PublicName, known: Snapshot | None) -> Answer:
        """The page of *name*; raise NotFound where every mirror says 404, UpstreamDown where not all could say.

        Where mirrors only have a page older than the one *known*, that still holds.
        """
        return await self._first(name, known, self._mirrors)

    async def second(self, name: PublicName, other_than: str) -> Answer:
        """The whole page of *name* from any mirror but *other_than*; raise as `page` does."""
        others = [mirror for mirror in self._mirrors if mirror.name != other_than]
        if not others:
            raise UpstreamDown(f"{self.origin} has no other mirror to ask about {name}.")
        return await self._first(name, None, others)

    async def legacy(self, name: PublicName) -> bytes | None:
        """The legacy JSON document of *name*, None where no mirror has one; raise UpstreamDown where that is unknown.

        As it came: whatever it says, and whatever it is, apart from beginning as JSON does.
        """
        mirrors = self.in_turn()
        return await self._documents.find(name, mirrors, all_asked=len(mirrors) == len(self._mirrors))

    async def read(self, name: PublicName, snapshot: Snapshot, body: bytes) -> Project:
        """The project that a page says, now fetched or remembered; raise MirrorFailed where it is none."""
        base = next((mirror.base for mirror in self._mirrors if mirror.name == snapshot.mirror), snapshot.url)
        read: Callable[[], Project] = partial(
            self._read_page,
            body,
            content_type=snapshot.content_type,
            url=snapshot.url,
            name=name,
            origin=self.origin,
            base=base,
        )
        return await _soon(body, read)

    def places(self, file: File, *, avoid: frozenset[str]) -> list[MirrorPlace]:
        """See transfers.Sources."""
        return self._places.of(file, avoid)

    async def measure(self, file: File) -> int | None:
        """The size that the first place to answer says."""
        failures: list[str] = []
        for place in self.places(file, avoid=frozenset()):
            try:
                return await place.measure()
            except NotFound:
                continue
            except MirrorFailed as error:
                failures.append(str(error))
        if failures:
            raise UpstreamDown(f"No mirror of {self.origin} tells of {file.filename} now: {' '.join(failures)}")
        raise NotFound(f"No mirror of {self.origin} has {file.filename}.")

    def _at(self, host: str) -> Health | None:
        return self._homes.get(host)

    def _book(self, mirror: Mirror) -> Book:
        return self._health[mirror.name].pages

    def _askable(self, mirrors: Sequence[Mirror], *, patient: bool = False) -> tuple[list[Mirror], bool]:
        """Those of *mirrors* that may be asked for a page now, in turn; and whether only as a last resort.

        *patient*: then also those that somebody tries just now, to be asked once it is known how that ends.
        """
        books = {mirror: self._book(mirror) for mirror in mirrors}
        last_resort = not any(book.breaker.may_ask() for book in books.values())
        ready = [
            mirror
            for mirror, book in books.items()
            if book.breaker.may_ask(last_resort=last_resort) or (last_resort and patient and book.tried)
        ]
        behind = slow(map(self._book, ready))
        turn = sorted(ready, key=lambda mirror: (self._book(mirror).ill, mirror.asks_no_more, mirror.name in behind))
        return turn, last_resort

    async def _first(self, name: PublicName, known: Snapshot | None, mirrors: Sequence[Mirror]) -> Answer:
        # Who has an old page is better off with that than with waiting.
        patient = known is None or known.absent
        asked, last_resort = self._askable(mirrors, patient=patient)
        ended = await race(
            [partial(self._ask, mirror, name, known, last_resort, patient) for mirror in asked],
            hedge=self._hedge,
            is_good=lambda outcome: isinstance(outcome, Answer) and not outcome.is_empty,
        )
        found = [outcome for outcome in ended if isinstance(outcome, Answer)]
        if found and not found[-1].is_empty:
            return found[-1]
        if known is not None and any(isinstance(outcome, Behind) for outcome in ended):
            return self._still_holds(known)
        if found:
            return found[0]
        failures = [str(outcome) for outcome in ended if isinstance(outcome, Unavailable)]
        failures += [self._book(mirror).excuse() for mirror in mirrors if mirror not in asked]
        if failures:
            down = UpstreamDown(f"No mirror of {self.origin} could answer for {name} now: {' '.join(failures)}")
            down.retry_after = self._retry_in(mirrors, down.retry_after)
            raise down
        raise NotFound(f"No mirror of {self.origin} knows {name}.")

    def _retry_in(self, mirrors: Sequence[Mirror], most: int) -> int:
        """Seconds, at most *most*, after which the first of *mirrors* may be asked again."""
        waits = [wait for mirror in mirrors if (wait := self._book(mirror).breaker.retry_in) is not None]
        return max(1, min([most, *map(math.ceil, waits)]))

    async def _ask(
        self, mirror: Mirror, name: PublicName, known: Snapshot | None, last_resort: bool, patient: bool
    ) -> Answer | ProxyError:
        """What *mirror* says of *name*, or why it says nothing."""
        book = self._book(mirror)
        if last_resort and patient:
            await book.tried_out()
        try:
            with book.question(name, last_resort=last_resort) as question:
                answer = await self._fetch(mirror, name, known, question)
                question.succeeded()
        except (NotFound, MirrorFailed) as error:
            return error
        return self._compared(mirror, name, known, answer)

    async def _fetch(self, mirror: Mirror, name: PublicName, known: Snapshot | None, question: Question) -> Answer:
        # Validators are a mirror's own: another one's equal ETag may stand for another page.
        same = known if known is not None and known.mirror == mirror.name and not known.absent else None
        if same is not None and not self._is_recent(same):
            same = None  # nothing is held for long on the strength of 304s alone
        etag, last_modified = (same.etag, same.last_modified) if same else (None, None)
        fetched = await mirror.page(name, etag=etag, last_modified=last_modified, watch=question)
        if fetched is None:
            if same is None:
                raise MirrorFailed(f"{mirror.name} says that a page is unchanged which was never fetched.")
            return self._still_holds(same)
        try:
            return await self._answer(mirror, name, fetched)
        except MirrorFailed:
            # Where a mirror has this page in HTML only, the question for JSON may get the listing of a folder (F10).
            plain = await mirror.page(name, accept=TEXT, watch=question)
            if plain is None or plain.body == fetched.body:
                raise
            return await self._answer(mirror, name, plain)

    async def _answer(self, mirror: Mirror, name: PublicName, fetched: Fetched) -> Answer:
        now, serial = self._now(), await _soon(fetched.body, partial(serial_of, fetched.body))
        snapshot = Snapshot(
            mirror=mirror.name,
            url=fetched.url,
            content_type=fetched.content_type,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            fetched=now,
            checked=now,
            serial=fetched.serial if serial is None else serial,
        )
        return Answer(snapshot=snapshot, project=await self.read(name, snapshot, fetched.body), body=fetched.body)

    def _compared(self, mirror: Mirror, name: PublicName, known: Snapshot | None, answer: Answer) -> Answer | Behind:
        """*answer*, unless it is older than the page *known*: then nobody is served what they have seen newer."""
        serial = answer.snapshot.serial
        if known is None or known.serial is None or serial is None:
            return answer
        health = self._health[mirror.name]
        health.lag = max(0, known.serial - serial)
        if not health.lag or not self._is_recent(known):
            return answer
        behind = Behind(f"{mirror.name} has an older page of {name}, by {health.lag} changes of the index.")
        logger.warning("mirror %s, asked for %s: %s", mirror.name, name, behind)
        return behind

    def _is_recent(self, known: Snapshot) -> bool:
        """Whether *known* was fetched whole lately; one from the future was before the clock was set back."""
        return 0 <= self._now() - known.fetched < self._full_fetch

    def _still_holds(self, known: Snapshot) -> Answer:
        snapshot = msgspec.structs.replace(known, checked=self._now())
        return Answer(snapshot=snapshot, project=None, body=None)


async def _soon(body: bytes, read: Callable[[], T]) -> T:
    """What *read* makes of *body*.

    A resolver waits for one page after the other, and a thread takes longer to begin than a small page to be read.
    """
    return read() if len(body) <= INLINE else await asyncio.to_thread(read)
