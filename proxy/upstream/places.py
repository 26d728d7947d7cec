"""Where a file may be had: as its page links it, and at the same path of every mirror of the set."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote, urljoin, urlsplit

from ..errors import NotFound
from ..simple.model import File
from ..transfers import Transfer
from .health import Book, Health, Question, slow
from .index import Mirror

ABSENT = 60.0
"""Seconds for which a place that said that it has no such file is not asked for it again."""

ABSENCES = 10_000
"""Such answers that are remembered."""

HOSTS = 200
"""Servers behind links, which are no mirrors, of whose health there is a book."""

logger = logging.getLogger(__name__)

_SHAPED = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/[^/]+\Z")


class Absences:
    """Which places said lately that they have no such file."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def add(self, name: str, url: str) -> None:
        self._until[name, url] = self._clock() + ABSENT
        self._until.move_to_end((name, url))
        if len(self._until) > ABSENCES:
            self._until.popitem(last=False)

    def has(self, name: str, url: str) -> bool:
        return self._until.get((name, url), float("-inf")) > self._clock()


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorPlace:
    """Satisfies transfers.Place, and keeps its mirror's book."""

    name: str
    """Of the mirror, or the host that a page links to."""
    mirror: Mirror
    """Whose connections are used."""
    url: str
    filename: str
    book: Book
    absences: Absences
    last_resort: bool = False
    """There is no other place to ask instead."""

    @property
    def busy(self) -> bool:
        return self.mirror.busy

    @asynccontextmanager
    async def transfer(self, *, begin: int, end: int | None) -> AsyncIterator[Transfer]:
        """See transfers.Place.  A place that is left alone fails at once, and is not asked.

        Where there is no other, and somebody tries this one just now, that counts for this question too.
        """
        await self._tried_out()
        with self.book.question(self.filename, last_resort=self.last_resort) as question:
            async with AsyncExitStack() as stack:
                try:
                    transfer = await stack.enter_async_context(
                        self.mirror.transfer(self.url, begin=begin, end=end, watch=question)
                    )
                except NotFound as error:
                    self.absences.add(self.name, self.url)
                    # No failure, but an operator may wonder why another one had to be asked.
                    logger.info("mirror %s, asked for %s: %s", self.name, self.filename, error)
                    raise
                yield replace(transfer, mirror=self.name, chunks=_counted(transfer.chunks, question))

    async def measure(self) -> int | None:
        """The size of the file in bytes, None where the place does not tell; raise as `transfer` does."""
        await self._tried_out()
        with self.book.question(f"the size of {self.filename}", last_resort=self.last_resort) as question:
            try:
                size = await self.mirror.measure(self.url, watch=question)
            except NotFound:
                self.absences.add(self.name, self.url)
                raise
            question.succeeded()
            return size

    async def _tried_out(self) -> None:
        if self.last_resort:
            await self.book.tried_out()


class Places:
    """The places of the files of one set of mirrors."""

    def __init__(
        self,
        mirrors: Sequence[Mirror],
        health: Callable[[str], Health],
        *,
        clock: Callable[[], float],
        stranger: Callable[[str], Health],
    ) -> None:
        """*health*: of the mirror of a name; *stranger*: makes the health of a host that is no mirror's."""
        self._mirrors = tuple(mirrors)
        self._health = health
        self._stranger = stranger
        self._strangers: OrderedDict[str, Health] = OrderedDict()
        self._absences = Absences(clock)
        self._rank = {mirror.name: number for number, mirror in enumerate(self._mirrors)}

    def of(self, file: File, avoid: frozenset[str]) -> list[MirrorPlace]:
        """Where to ask for *file*: the likeliest place first, those in *avoid* last.

        Those that are left alone now are not among them, unless all are; nor those that lately said that they have no
        such file, so there may be none.
        """
        places = [place for place in self._all(file) if not self._absences.has(place.name, place.url)]
        ready = [place for place in places if place.book.breaker.may_ask()]
        if not ready:
            ready = [replace(place, last_resort=True) for place in places]
        behind = slow(place.book for place in ready)
        return sorted(
            ready,
            key=lambda place: (
                place.name in avoid,
                place.book.ill,
                place.busy,
                place.name in behind,
                self._rank.get(place.name, -1),
            ),
        )

    def _all(self, file: File) -> list[MirrorPlace]:
        """Every place, that which the page names and those that can be guessed.

        All mirrors keep the official index's `<2>/<2>/<60>/` below a folder of files, which is how their relative
        links find it.  A file of another shape is looked for at the same place below each mirror's own address, as in
        PyTorch's folders and beside flat pages; where its link leads elsewhere, it has only the one place.
        """
        parts = urlsplit(file.url)
        at_home = [mirror for mirror in self._mirrors if parts.netloc in mirror.hosts]
        others = [mirror for mirror in self._mirrors if mirror not in at_home]
        places = [self._place(mirror.name, mirror, file.url, file) for mirror in at_home]
        if not places and self._mirrors:
            # By whose connections does not matter.
            places = [self._place(parts.netloc, self._mirrors[0], file.url, file)]
        if _SHAPED.search(parts.path):
            tail = f"{file.path}/{quote(file.filename, safe='!+~')}"
            places += [self._place(mirror.name, mirror, mirror.files + tail, file) for mirror in others]
        else:
            home = next((folder for folder in map(_folder, at_home) if file.url.startswith(folder)), None)
            if home is not None:
                tail = file.url.removeprefix(home)
                places += [self._place(mirror.name, mirror, _folder(mirror) + tail, file) for mirror in others]
        return places

    def _place(self, name: str, mirror: Mirror, url: str, file: File) -> MirrorPlace:
        health = self._health(name) if name in self._rank else self._at_host(name)
        return MirrorPlace(
            name=name, mirror=mirror, url=url, filename=file.filename, book=health.files, absences=self._absences
        )

    def _at_host(self, host: str) -> Health:
        """Of a server that is no mirror; the one that nobody asked for longest is forgotten beyond HOSTS."""
        health = self._strangers.pop(host, None) or self._stranger(host)
        self._strangers[host] = health
        if len(self._strangers) > HOSTS:
            self._strangers.popitem(last=False)
        return health


def _folder(mirror: Mirror) -> str:
    """Where its own address is, or the page at it."""
    return urljoin(mirror.base, ".")


async def _counted(chunks: AsyncIterator[bytes], question: Question) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        question.came(len(chunk))
        yield chunk
    question.succeeded()
