"""The memory of an index's pages: fresh, stale but good enough, or to be asked for now.

A page is read once per version and held in memory while there is room, on disk after that.  While a refresh is slow
or fails, what is remembered is answered: an outage makes pages old, never absent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import MirrorFailed, NotFound, ProxyError, UpstreamDown
from ..policy import PublicName
from ..simple.model import Project
from ..storage import Pages, Snapshot
from .mirrors import Answer, MirrorSet

PAGE_COST, FILE_COST = 2_000, 1_000
"""Bytes of memory that a page, and each file on it, take (measured: 900 to 1,000 a file)."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long pages hold and clients wait, all in seconds."""

    fresh: float
    """A page is answered without asking a mirror."""
    absent: float
    """A 404 of all mirrors is believed."""
    soft: float
    """A client waits for a refresh when a stale page exists."""
    hard: float
    """A client waits when nothing is remembered."""
    retry: float
    """A refresh that failed is not tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is known of one name; *project* is None where every mirror said 404."""

    snapshot: Snapshot
    project: Project | None
    retry_at: float = 0.0
    """Clock seconds before which no refresh is tried, after one failed."""
    doubted: bool = False
    """Every mirror said 404 when last asked, for the first time."""
    kept: bool = True
    """The disk has the page's bytes, which a 304 would vouch for."""

    @property
    def cost(self) -> int:
        return PAGE_COST + FILE_COST * len(self.project.files if self.project else ())


class RememberedPages:
    """The pages of one set of mirrors, asked for by the Repository."""

    def __init__(
        self,
        mirrors: MirrorSet,
        pages: Pages,
        *,
        times: Times,
        memory: int,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """*memory* in bytes; *now* in seconds since the epoch, *clock* in seconds that never jump."""
        self._mirrors = mirrors
        self._pages = pages
        self._times = times
        self._room = memory
        self._now = now
        self._clock = clock
        self._held: OrderedDict[PublicName, Remembered] = OrderedDict()
        self._cost = 0
        self._loading: dict[PublicName, asyncio.Task[Remembered | None]] = {}
        self._refreshing: dict[PublicName, asyncio.Task[Remembered | ProxyError]] = {}

    async def project(self, name: PublicName, *, max_age: float | None = None) -> Project:
        """The page of *name*; raise NotFound where all mirrors say so, UpstreamDown where that is not known.

        With *max_age* (seconds) a page as old as that is good enough, and an older one is no answer at all.
        """
        known = await self._known(name)
        if known is not None and self._holds(known, max_age):
            return _project(name, known)
        # An old page is an answer; an old 404 is none: a name may have come into being since.
        stale = known if max_age is None and known is not None and known.project is not None else None
        if stale is not None and stale.retry_at > self._clock():
            return _project(name, stale)
        found = await self._refreshed(name, known, self._times.hard if stale is None else self._times.soft)
        if isinstance(found, Remembered):
            return _project(name, found)  # asked for now: an answer, however short pages hold
        if stale is not None:
            return _project(name, self._held.get(name, stale))
        raise found or UpstreamDown(f"No mirror answered for {name} within {self._times.hard:g} seconds.")

    async def close(self) -> None:
        """Stop all refreshes under way."""
        tasks = [*self._loading.values(), *self._refreshing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _known(self, name: PublicName) -> Remembered | None:
        held = self._held.get(name)
        if held is not None:
            self._held.move_to_end(name)
            return held
        # A page of megabytes is read once, however many ask for it after a restart.
        task = self._loading.get(name)
        if task is None:
            task = asyncio.create_task(self._load(name))
            self._loading[name] = task
            task.add_done_callback(lambda _: self._loading.pop(name, None))
        loaded = await asyncio.shield(task)
        return self._held.get(name, loaded)

    async def _load(self, name: PublicName) -> Remembered | None:
        """What the disk remembers; a page that cannot be read any more is forgotten, not an error."""
        loaded = await self._pages.load(self._mirrors.origin, name)
        if loaded is None or name in self._held:
            return self._held.get(name)
        snapshot, body = loaded
        try:
            project = None if snapshot.absent else await self._mirrors.read(name, snapshot, body)
        except MirrorFailed as error:
            logger.warning("The remembered page of %s is fetched anew: %s", name, error)
            return self._held.get(name)
        if name not in self._held:
            self._hold(name, Remembered(snapshot=snapshot, project=project))
        return self._held.get(name)

    def _holds(self, known: Remembered, max_age: float | None) -> bool:
        if max_age is None:
            max_age = self._times.absent if known.project is None else self._times.fresh
        # A clock that was set back makes pages stale, not fresh for ever.
        return 0 <= self._now() - known.snapshot.checked <= max_age

    async def _refreshed(
        self, name: PublicName, known: Remembered | None, patience: float
    ) -> Remembered | ProxyError | None:
        """Have *name* asked for, once however many wait; None where that takes longer than *patience* seconds."""
        task = self._refreshing.get(name)
        if task is None:
            task = asyncio.create_task(self._refresh(name, known))
            self._refreshing[name] = task
            task.add_done_callback(lambda _: self._refreshing.pop(name, None))
        done, _ = await asyncio.wait([task], timeout=patience)
        return task.result() if done else None

    async def _refresh(self, name: PublicName, known: Remembered | None) -> Remembered | ProxyError:
        try:
            # Where the disk lacks the bytes of what is remembered, they have to come again.
            answer = await self._mirrors.page(name, known.snapshot if known is not None and known.kept else None)
        except NotFound as error:
            if known is not None and known.project is not None and not known.doubted:
                # One fetch is not believed that all of a project is gone (decision 8): the next one is.
                self._hold(name, replace(known, retry_at=self._clock() + self._times.retry, doubted=True))
                return error
            answer = self._absent()
        except UpstreamDown as error:
            return self._postponed(name, known, error)
        except Exception:  # whatever it is, an old page must be answered with
            logger.exception("The page of %s could not be refreshed", name)
            return self._postponed(name, known, UpstreamDown(f"The page of {name} could not be fetched."))
        return await self._remember(name, answer, known)

    def _postponed(self, name: PublicName, known: Remembered | None, error: ProxyError) -> ProxyError:
        if known is not None:
            self._hold(name, replace(known, retry_at=self._clock() + self._times.retry))
        return error

    def _absent(self) -> Answer:
        now = self._now()
        snapshot = Snapshot(
            mirror="", url="", content_type="", etag=None, last_modified=None, fetched=now, checked=now, absent=True
        )
        return Answer(snapshot=snapshot, project=None, body=b"")

    async def _remember(self, name: PublicName, answer: Answer, known: Remembered | None) -> Remembered:
        project = answer.project
        if not answer.snapshot.absent and known is not None and (project is None or project == known.project):
            project = known.project  # the same object: nothing is written or compressed again
        kept = answer.body is None and known is not None and known.kept
        remembered = Remembered(snapshot=answer.snapshot, project=project, kept=kept)
        self._hold(name, remembered)
        if answer.snapshot.absent and known is None:
            return remembered  # it holds for seconds: not worth a write
        try:
            await self._pages.save(self._mirrors.origin, name, answer.snapshot, answer.body)
        except ProxyError as error:
            logger.warning("The page of %s is not kept on disk: %s", name, error)
        else:
            if self._held.get(name) is remembered:
                self._hold(name, replace(remembered, kept=True))
        return remembered

    def _hold(self, name: PublicName, remembered: Remembered) -> None:
        old = self._held.pop(name, None)
        self._held[name] = remembered
        self._cost += remembered.cost - (old.cost if old else 0)
        while self._cost > self._room and len(self._held) > 1:
            _, evicted = self._held.popitem(last=False)
            self._cost -= evicted.cost


def _project(name: PublicName, known: Remembered) -> Project:
    if known.project is None:
        raise NotFound(f"No mirror knows {name}.")
    return known.project
