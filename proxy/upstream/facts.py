"""What is known of upstream files, whoever said it: gathered from every page, and laid over whichever page answers.

Mirrors leave things out, each in its own way.  The first exact word on a file's size, time and metadata stays, by
the file's sha256; so failing over to another mirror loses nothing and changes no byte that clients see.  What an
index may change its mind about, `requires-python` and yanks, is the page's own to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import islice

import msgspec
from packaging.utils import NormalizedName

from ..errors import ProxyError
from ..policy import PublicName
from ..simple.model import File, Project
from ..storage import Fact, Facts
from .removals import REMOVED

PAGE_COST, FACT_COST = 500, 500
"""Bytes of memory that the facts of a page, and each of them, take (measured: 330 to 470 a fact)."""

MOST = 100_000
"""Facts about one project; beyond that, only those about files on its present page are kept."""

WRITE_AFTER = 1.0
"""Seconds for which facts are gathered before they are written down: healing finds them one by one."""

INLINE = 100
"""Files of a page that is looked through on the event loop: less than a millisecond."""

Book = Mapping[str, Fact]
"""The facts about one project's files by their sha256; never changed, only replaced."""

logger = logging.getLogger(__name__)


class FactBook:
    """The facts about the files of the index *origin*: as many as fit in *memory* bytes, the rest on disk."""

    def __init__(
        self,
        facts: Facts,
        origin: str,
        *,
        memory: int,
        now: Callable[[], float],
        estimated_times: bool = False,
        write_after: float = WRITE_AFTER,
    ) -> None:
        """*now* in seconds since the epoch.  *estimated_times*: a file without any other time presents its guess."""
        self._facts = facts
        self._origin = origin
        self._room = memory
        self._now = now
        self._as_exact = estimated_times
        self._write_after = write_after
        self._held: OrderedDict[NormalizedName, Book] = OrderedDict()
        self._cost = 0
        self._unwritten: dict[PublicName, Book] = {}
        self._writer: asyncio.Task[None] | None = None

    async def lay_over(self, name: PublicName, page: Project, known: Project | None = None) -> Project:
        """*page* of *name* with all that is known of its files, after learning what it says itself.

        *known*: the page of *name* as it was so far, which is given back where nothing differs.  What it lacks has
        come into the index since, so that now is about when it was uploaded.
        """
        while True:
            book = await self._book(name)
            seen = datetime.fromtimestamp(self._now(), UTC)
            lay = partial(_laid, page, book, known, seen, as_exact=self._as_exact)
            # A resolver waits for one page after the other, and a thread takes longer to begin than a small page.
            laid, learned = lay() if len(page.files) <= INLINE else await asyncio.to_thread(lay)
            if self._replace(name, book, learned):
                return laid

    async def learn(self, name: PublicName, found: Mapping[str, Fact]) -> bool:
        """Add what was *found* out, by sha256, where nothing is known yet; whether anything was new."""
        while True:
            book = await self._book(name)
            learned = await asyncio.to_thread(_learned, book, found)
            if self._replace(name, book, learned):
                return learned is not book

    async def correct(self, name: PublicName, sha256: str, size: int) -> bool:
        """Put right the *size* in bytes of a file whose content was verified; whether that changes anything."""
        while True:
            book = await self._book(name)
            fact = book.get(sha256, Fact())
            if fact.size == size:
                return False
            if self._replace(name, book, {**book, sha256: msgspec.structs.replace(fact, size=size)}):
                return True

    def forget(self, name: NormalizedName) -> None:
        """Drop from memory what is known of *name*, written or not; the disk is whose pages it holds to clear."""
        self._cost -= _cost(self._held.pop(name, None))
        self._unwritten = {other: book for other, book in self._unwritten.items() if other != name}

    async def close(self) -> None:
        """Write down what is not yet."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._write_down()

    async def _book(self, name: PublicName) -> Book:
        book = self._held.get(name, self._unwritten.get(name))
        if book is None:
            try:
                book = await self._facts.load(self._origin, name)
            except ProxyError as error:
                logger.warning("What is known of the files of %s cannot be read: %s", name, error)
                book = {}
            book = self._held.get(name, self._unwritten.get(name, book))
        self._hold(name, book)
        return book

    def _replace(self, name: PublicName, old: Book, new: Book) -> bool:
        """Have *new* in place of *old*; False where somebody else was faster."""
        current = self._held.get(name, self._unwritten.get(name, old))
        if current is not old:
            return False
        if new is not old:
            self._hold(name, new)
            self._unwritten[name] = new
            if self._writer is None or self._writer.done():
                self._writer = asyncio.create_task(self._write_later())
        return True

    def _hold(self, name: NormalizedName, book: Book) -> None:
        self._cost += _cost(book) - _cost(self._held.pop(name, None))
        self._held[name] = book
        while self._cost > self._room:
            _, evicted = self._held.popitem(last=False)
            self._cost -= _cost(evicted)

    async def _write_later(self) -> None:
        while self._unwritten:
            await asyncio.sleep(self._write_after)
            await self._write_down()

    async def _write_down(self) -> None:
        for name, book in list(self._unwritten.items()):
            try:
                await self._facts.save(self._origin, name, book)
            except ProxyError as error:
                logger.warning("What is known of the files of %s is not kept on disk: %s", name, error)
            if self._unwritten.get(name) is book:
                del self._unwritten[name]


def _cost(book: Book | None) -> int:
    return 0 if book is None else PAGE_COST + FACT_COST * len(book)


def _laid(page: Project, book: Book, known: Project | None, seen: datetime, *, as_exact: bool) -> tuple[Project, Book]:
    """*page* with the facts laid over, and the facts as they are then: the same objects where nothing changed."""
    before = known.files if known is not None else page.files
    files: dict[str, File] = {}
    learned: dict[str, Fact] = {}
    changed = False
    for filename, file in page.files.items():
        was, sha256 = before.get(filename), file.sha256
        if sha256 is None and was is not None and was.sha256 is not None and was.path == file.path:
            # What was told once is not untold: a file without a digest could be any file.
            sha256, changed = was.sha256, True
            file = msgspec.structs.replace(file, hashes={**file.hashes, "sha256": sha256})
        if sha256 is not None:
            old = book.get(sha256)
            fact = _joined(old or _NOTHING, _said(file, seen if old is None and filename not in before else None))
            if fact is not _NOTHING and fact is not old:
                learned[sha256] = fact
            laid = _over(file, fact, as_exact=as_exact)
            changed = changed or laid is not file
            file = laid
        files[filename] = file
    if learned:
        book = _bounded({**book, **learned}, page)
    laid_page = msgspec.structs.replace(page, files=files) if changed else page
    return (known if known is not None and laid_page == known else laid_page), book


def _learned(book: Book, found: Mapping[str, Fact]) -> Book:
    joined = {sha256: _joined(book.get(sha256, _NOTHING), fact) for sha256, fact in found.items()}
    new = {sha256: fact for sha256, fact in joined.items() if fact is not book.get(sha256, _NOTHING)}
    return {**book, **new} if new else book


_NOTHING = Fact()


def _said(file: File, seen: datetime | None) -> Fact:
    """What a page tells of *file*, less what we once laid over it ourselves; *seen* is when it was seen first."""
    metadata = file.core_metadata.get("sha256") if isinstance(file.core_metadata, Mapping) else None
    return Fact(
        size=file.size,
        upload_time=file.upload_time if file.estimated_time is None else None,
        estimated=file.estimated_time or seen,
        metadata=metadata if file.healed else None,
        listed=None if file.healed else metadata,
        reason=file.yanked if isinstance(file.yanked, str) and file.yanked != REMOVED else None,
    )


def _joined(old: Fact, new: Fact) -> Fact:
    """Both in one, *old* where nothing is new: the first exact word stays, and the earliest guess.

    A reason for a yank is the last one told: it may be put better later.
    """
    time = old.upload_time or new.upload_time
    guesses = [guess for guess in (old.estimated, new.estimated) if guess is not None]
    joined = Fact(
        size=new.size if old.size is None else old.size,
        upload_time=time,
        estimated=None if time is not None or not guesses else min(guesses),
        metadata=old.metadata or new.metadata,
        listed=old.listed or new.listed,
        reason=new.reason or old.reason,
    )
    return old if joined == old else joined


def _over(file: File, fact: Fact, *, as_exact: bool) -> File:
    """*file* with what is known of it; the same object where it says all that itself."""
    guess = fact.estimated if fact.upload_time is None else None
    time = guess if guess is not None and as_exact else fact.upload_time
    yanked = fact.reason if file.yanked is True and fact.reason is not None else file.yanked
    said = file.core_metadata.get("sha256") if isinstance(file.core_metadata, Mapping) else None
    metadata, healed = file.core_metadata, file.healed
    digest = fact.metadata or fact.listed
    if digest is not None and digest != said:
        # Where a page has another digest than our own reading, or none, its mirror's `.metadata` is not to be trusted.
        metadata, healed = {"sha256": digest}, fact.metadata is not None
    if (fact.size, time, guess, yanked, metadata) == (
        file.size,
        file.upload_time,
        file.estimated_time,
        file.yanked,
        file.core_metadata,
    ):
        return file
    return msgspec.structs.replace(
        file,
        size=fact.size,
        upload_time=time,
        estimated_time=guess,
        yanked=yanked,
        core_metadata=metadata,
        healed=healed,
    )


def _bounded(book: Book, page: Project) -> Book:
    if len(book) <= MOST:
        return book
    listed = (file.sha256 for file in page.files.values() if file.sha256 in book)
    return {sha256: book[sha256] for sha256 in islice(listed, MOST) if sha256 is not None}
