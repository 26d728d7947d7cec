"""The memory of an index's pages: fresh, stale but good enough, or to be asked for now.

A page is read once per version and held in memory while there is room, on disk after that.  While a refresh is slow
or fails, what is remembered is answered: an outage makes pages old, never absent.  What a new page lacks and what
nobody said yet are affairs of removals and facts; here they are put together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from packaging.utils import NormalizedName

from ..errors import MirrorFailed, NotFound, ProxyError, UpstreamDown
from ..policy import PublicName
from ..simple.model import Project
from ..sources import Seen
from ..storage import Missing, Pages, Snapshot
from . import removals
from .facts import FactBook
from .mirrors import Answer
from .remembered import HeldPages, Remembered, Times, spread

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Mirrors(Protocol):
    """Who is asked for pages: see MirrorSet."""

    @property
    def origin(self) -> str:
        """The name of the index."""
        ...

    async def page(self, name: PublicName, known: Snapshot | None) -> Answer:
        """The page; raise NotFound where every mirror says 404, UpstreamDown where not all could say."""
        ...

    async def second(self, name: PublicName, other_than: str) -> Answer:
        """The whole page, from any mirror but *other_than*; raise NotFound or UpstreamDown."""
        ...

    async def read(self, name: PublicName, snapshot: Snapshot, body: bytes) -> Project:
        """The project that a remembered page says; raise MirrorFailed where it is none."""
        ...


class RememberedPages:
    """The pages of one set of mirrors, asked for by the Repository."""

    def __init__(
        self,
        mirrors: Mirrors,
        pages: Pages,
        *,
        facts: FactBook,
        times: Times,
        memory: int,
        now: Callable[[], float],
        clock: Callable[[], float],
        removed: Literal["withhold", "keep"] = "withhold",
        keeps_denials: bool = False,
        on_page: Callable[[PublicName, Project], None] | None = None,
    ) -> None:
        """*memory* in bytes; *now* in seconds since the epoch, *clock* in seconds that never jump.

        *removed*: what becomes of files that the index removed.  *keeps_denials*: a 404 for what never had a page is
        written to the disk too, as `denies` will matter after a restart.  *on_page* is told of each page that was
        fetched whole; it must neither wait nor raise.
        """
        self._mirrors = mirrors
        self._pages = pages
        self._facts = facts
        self._times = times
        self._now = now
        self._clock = clock
        self._keep = removed == "keep"
        self._keeps_denials = keeps_denials
        self._on_page = on_page
        self._held = HeldPages(memory)
        self._loading: dict[NormalizedName, asyncio.Task[Remembered | None]] = {}
        self._refreshing: dict[NormalizedName, asyncio.Task[Remembered | ProxyError]] = {}
        self._confirming: dict[NormalizedName, asyncio.Task[None]] = {}
        self._saving: dict[NormalizedName, asyncio.Task[None]] = {}
        self._forgetting: dict[NormalizedName, asyncio.Task[None]] = {}

    async def project(self, name: PublicName, *, max_age: float | None = None) -> Project:
        """The page of *name*; raise NotFound where all mirrors say so, UpstreamDown where that is not known.

        With *max_age* (seconds) a page as old as that is good enough, and an older one is no answer at all.
        """
        known = await self._known(name)
        if known is not None and self._holds(name, known, max_age):
            return known.served(name)
        # An old page is an answer; an old 404 is none: a name may have come into being since.
        stale = known if max_age is None and known is not None and known.project is not None else None
        if stale is not None and stale.retry_at > self._clock():
            return stale.served(name)
        found = await self._refreshed(name, known, self._times.hard if stale is None else self._times.soft)
        if isinstance(found, Remembered):
            return found.served(name)  # asked for now: an answer, however short pages hold
        if stale is not None:
            return (self._held.get(name) or stale).served(name)
        raise found or UpstreamDown(f"No mirror answered for {name} within {self._times.hard:g} seconds.")

    def at_hand(self, name: PublicName) -> Project | None:
        """The page of *name* where `project` would wait for nothing, with its errors; None where it would."""
        known = self._held.use(name)
        if known is None:
            return None
        if self._holds(name, known, None):
            return known.served(name)
        return known.project if known.project is not None and known.retry_at > self._clock() else None

    def seen(self, name: NormalizedName) -> Seen | None:
        """Where the page of *name* in memory came from; None where there is none, or all mirrors said 404."""
        held = self._held.get(name)
        return None if held is None else held.seen

    def denies(self, name: NormalizedName) -> bool:
        """Whether all mirrors said 404 when last asked, as far as is in memory; asks nobody."""
        held = self._held.get(name)
        return held is not None and held.project is None

    async def relay(self, name: PublicName) -> None:
        """Lay what was found out about its files over the page of *name*, if it is in memory."""
        while (known := self._held.get(name)) is not None and known.project is not None:
            project = await self._facts.lay_over(name, known.project, known.project)
            if project is known.project:
                return
            if self._held.get(name) is known:
                self._held.put(name, replace(known, project=project))
                return

    def withdraw(self, name: NormalizedName) -> None:
        """*name* is private from now on: stop every question about it, and forget its page, soon on disk too.

        Whoever waits for the page gets UpstreamDown.
        """
        for task in (self._loading.pop(name, None), self._refreshing.pop(name, None), self._confirming.pop(name, None)):
            if task is not None:
                task.cancel()
        self._held.drop(name)
        self._facts.forget(name)
        _start(self._forgetting, name, self._forget(name))

    async def close(self) -> None:
        """Stop all refreshes under way, and let what came be kept."""
        tasks = [*self._loading.values(), *self._refreshing.values(), *self._confirming.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*self._saving.values(), *self._forgetting.values(), return_exceptions=True)

    async def _known(self, name: PublicName) -> Remembered | None:
        held = self._held.use(name)
        if held is not None:
            return held
        # A page of megabytes is read once, however many ask for it after a restart.
        task = self._loading.get(name) or _start(self._loading, name, self._load(name))
        await asyncio.wait([task])
        if task.cancelled():
            raise _withdrawn(name)
        return self._held.get(name) or task.result()

    async def _load(self, name: PublicName) -> Remembered | None:
        """What the disk remembers; a page that cannot be read any more is forgotten, not an error."""
        loaded = await self._pages.load(self._mirrors.origin, name)
        if loaded is None or name in self._held:
            return self._held.get(name)
        snapshot, body = loaded
        project = None
        try:
            if not snapshot.absent:
                project = await self._mirrors.read(name, snapshot, body)
        except MirrorFailed as error:
            logger.warning("The remembered page of %s is fetched anew: %s", name, error)
            return self._held.get(name)
        if project is not None or snapshot.missing:
            page = project or Project(name=name)
            project = await self._facts.lay_over(name, removals.served(page, snapshot.missing))
        if name not in self._held:
            self._held.put(name, Remembered(snapshot=snapshot, project=project, doubted=snapshot.absent))
        return self._held.get(name)

    def _holds(self, name: PublicName, known: Remembered, max_age: float | None) -> bool:
        if max_age is None and known.project is None:
            max_age = self._times.absent
        elif max_age is None:
            max_age = self._times.fresh * spread(name)
            max_age = min(max_age, removals.CONFIRM) if known.pending else max_age  # who is in doubt asks soon again
        # A clock that was set back makes pages stale, not fresh for ever.
        return 0 <= self._now() - known.snapshot.checked <= max_age

    async def _refreshed(
        self, name: PublicName, known: Remembered | None, patience: float
    ) -> Remembered | ProxyError | None:
        """Have *name* asked for, once however many wait; None where that takes longer than *patience* seconds."""
        task = self._refreshing.get(name) or _start(self._refreshing, name, self._refresh(name, known))
        done, _ = await asyncio.wait([task], timeout=patience)
        if task.cancelled():
            return _withdrawn(name)
        return task.result() if done else None

    async def _refresh(self, name: PublicName, known: Remembered | None) -> Remembered | ProxyError:
        if (saving := self._saving.get(name)) is not None:
            await asyncio.wait([saving])  # a page that is not kept would have to come whole again
            known = self._held.get(name) or known
        try:
            answer = await self._mirrors.page(name, self._validators(known))
        except NotFound as error:
            if known is not None and known.project is not None and not known.doubted:
                # One fetch is not believed that all of a project is gone (decision 8): the next one is.
                return self._postponed(name, known, error, doubted=True)
            answer = self._absent()
        except UpstreamDown as error:
            return self._postponed(name, known, error)
        except Exception:  # whatever it is, an old page must be answered with
            logger.exception("The page of %s could not be refreshed", name)
            return self._postponed(name, known, UpstreamDown(f"The page of {name} could not be fetched."))
        remembered = await self._remember(name, answer, known)
        if remembered.pending and name not in self._confirming:
            _start(self._confirming, name, self._confirm(name, answer.snapshot))
        return remembered

    def _validators(self, known: Remembered | None) -> Snapshot | None:
        """What a mirror is told of the page that we have, so that it need not come again."""
        if known is None:
            return None
        # Where the disk lacks the bytes of what is remembered, or files are missed on it, they have to come again: a
        # 304 would vouch for what is not there, and is no second word.
        if known.kept and not known.pending:
            return known.snapshot
        return msgspec.structs.replace(known.snapshot, etag=None, last_modified=None)

    def _postponed(
        self, name: PublicName, known: Remembered | None, error: ProxyError, *, doubted: bool | None = None
    ) -> ProxyError:
        known = self._held.get(name) or known
        if known is not None:
            doubted = known.doubted if doubted is None else doubted
            self._held.put(name, replace(known, retry_at=self._clock() + self._times.retry, doubted=doubted))
        return error

    def _absent(self) -> Answer:
        now = self._now()
        snapshot = Snapshot(
            mirror="", url="", content_type="", etag=None, last_modified=None, fetched=now, checked=now, absent=True
        )
        return Answer(snapshot=snapshot, project=None, body=b"")

    async def _remember(self, name: PublicName, answer: Answer, known: Remembered | None) -> Remembered:
        if answer.body is None and known is not None:
            return await self._vouched(name, answer.snapshot, known)
        while True:
            known = self._held.get(name) or known
            remembered = await self._served(name, answer, known)
            if (self._held.get(name) or known) is known:
                break
        self._held.put(name, remembered)
        if remembered.project is not None and answer.project is not None and self._on_page is not None:
            self._on_page(name, remembered.project)
        # Who never had a page has a 404 of seconds to lose, unless that is what leads on to the next index.
        if known is not None or not answer.snapshot.absent or self._keeps_denials:
            self._save_soon(name, remembered, answer.body)
        return self._held.get(name) or remembered

    async def _vouched(self, name: PublicName, still: Snapshot, known: Remembered) -> Remembered:
        """After a 304, or pages that were all older: what is held now holds on."""
        known = self._held.get(name) or known
        known = replace(
            known,
            snapshot=msgspec.structs.replace(known.snapshot, checked=still.checked),
            retry_at=0.0,
            doubted=still.absent,
        )
        self._held.put(name, known)
        if known.kept:
            self._save_soon(name, known, None)
        return known

    async def _served(self, name: PublicName, answer: Answer, known: Remembered | None) -> Remembered:
        """What is to be served after *answer*, a page that came whole or none at all, where *known* was before."""
        before = known.project if known is not None else None
        project, missing = answer.project, tuple[Missing, ...]()
        if known is not None and before is not None:
            page, missing = await asyncio.to_thread(self._judged, answer, known.snapshot, before)
            project = page if answer.project is not None or missing else None
        if project is not None:
            project = await self._facts.lay_over(name, project, before)
        serial = answer.snapshot.serial
        if serial is None and known is not None:
            serial = known.snapshot.serial  # a page that does not tell takes nothing back
        snapshot = msgspec.structs.replace(answer.snapshot, serial=serial, missing=missing)
        return Remembered(snapshot=snapshot, project=project, doubted=snapshot.absent, kept=False)

    def _judged(self, answer: Answer, snapshot: Snapshot, before: Project) -> tuple[Project, tuple[Missing, ...]]:
        """The page after *answer*, and what is missed on it; takes milliseconds where much is missed."""
        page = answer.project or Project(name=before.name)
        missing = removals.missed(
            before,
            page,
            snapshot.missing,
            serial=answer.snapshot.serial,
            reached=snapshot.serial,
            now=self._now(),
            keep=self._keep,
        )
        for one in missing:
            if removals.is_changed(one.file, page) and one not in snapshot.missing:
                logger.warning(
                    "%s lists %s with other bytes than before; the first ones stay",
                    self._mirrors.origin,
                    one.file.filename,
                )
        if answer.snapshot.absent:
            missing = removals.settled(missing, lambda _: True, keep=self._keep)
        return removals.served(page, missing), missing

    async def _confirm(self, name: PublicName, first: Snapshot) -> None:
        """Ask another mirror about what the page that came as *first* lacks."""
        try:
            answer = await self._mirrors.second(name, other_than=first.mirror)
        except ProxyError as error:
            logger.info("No other mirror told what became of files of %s: %s", name, error)
            return
        page, serial = answer.project, answer.snapshot.serial
        if page is not None:
            await self._facts.lay_over(name, page)  # what it says of files is learned, whatever comes of it
        while page is not None and (known := await self._known(name)) is not None and known.project is not None:
            if removals.better(serial, than=first.serial, reached=known.snapshot.serial):
                await self._remember(name, answer, known)
                return
            before = known.snapshot.missing
            after = removals.settled(before, lambda one: removals.agrees(one, page, serial=serial), keep=self._keep)
            if after == before:
                await self.relay(name)
                return
            project = await asyncio.to_thread(removals.resettled, known.project, before, after)
            project = await self._facts.lay_over(name, project, known.project)
            if self._held.get(name) is known:
                snapshot = msgspec.structs.replace(known.snapshot, missing=after)
                settled = replace(known, snapshot=snapshot, project=project)
                self._held.put(name, settled)
                if settled.kept:
                    self._save_soon(name, settled, None)
                return

    def _save_soon(self, name: PublicName, remembered: Remembered, body: bytes | None) -> None:
        """Keep the page on disk, for which nobody waits; what is kept last is what came last."""
        _start(self._saving, name, self._save(name, remembered, body, after=self._saving.get(name)))

    async def _save(
        self, name: PublicName, remembered: Remembered, body: bytes | None, *, after: asyncio.Task[None] | None
    ) -> None:
        if after is not None:
            await asyncio.wait([after])
        try:
            await self._pages.save(self._mirrors.origin, name, remembered.snapshot, body)
        except ProxyError as error:
            logger.warning("The page of %s is not kept on disk: %s", name, error)
            return
        held = self._held.get(name)
        if held is not None and held.snapshot is remembered.snapshot and not held.kept:
            self._held.put(name, replace(held, kept=True))

    async def _forget(self, name: NormalizedName) -> None:
        if (saving := self._saving.get(name)) is not None:
            await asyncio.wait([saving])
        try:
            await self._pages.forget(self._mirrors.origin, name)
        except ProxyError as error:
            logger.warning("The page of %s stays on disk until it makes room: %s", name, error)


def _start(
    tasks: dict[NormalizedName, asyncio.Task[T]], name: NormalizedName, work: Coroutine[Any, Any, T]
) -> asyncio.Task[T]:
    """Do *work* in a task of its own, which stands in *tasks* as long as it runs."""
    task = asyncio.create_task(work)
    tasks[name] = task

    def ended(_: object) -> None:
        if tasks.get(name) is task:
            del tasks[name]

    task.add_done_callback(ended)
    return task


def _withdrawn(name: NormalizedName) -> UpstreamDown:
    return UpstreamDown(f"No mirror is asked for {name} any more.")
