"""Finds out in the background what the mirrors of one index leave out: sizes, times, and wheels' metadata.

Each thing is found once and kept as a fact, which the page then says to everybody.  Only projects that somebody asked
for are looked at, the newest wheels of likely clients first; every number is bounded, and nobody ever waits for it but
the first who asks for a page without times, and for seconds only.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, islice, zip_longest
from typing import Any, Protocol

import msgspec
from packaging.utils import NormalizedName

from ..download import Download, read_whole
from ..errors import NotFound, ProxyError
from ..policy import PublicName
from ..simple.model import File, Project
from ..simple.names import belongs, projects_of
from ..sources import Seen
from ..storage import Blob, Fact
from .choice import Machines, likely_wheels
from .legacy import facts_of, read_legacy
from .metadata import Readings, can_be_read
from .mirrors import Answer

WHEELS = 4
"""Of a page, whose metadata is read: one for each kind of machine and version, the newest version first.

No more, as some mirrors shut out who asks much; any other is read when a client or the look-ahead needs it.
"""

MACHINES = 3
"""Kinds of machines that are provided for: those that asked last."""

QUEUE = 500
"""Pages and wheels that wait to be healed; what comes beyond has to be asked for again."""

PAGES_AT_ONCE = 2

CALM = 5.0
"""Seconds between a page and the reading of its wheels: whoever asked for it is resolving now, and comes first."""

FRUITLESS = 3600.0
"""Seconds for which is not asked again what nobody knew."""

FRUITLESS_NAMES = 10_000

logger = logging.getLogger(__name__)


class Mirrors(Protocol):
    """Who may know more of an index's files: see MirrorSet."""

    async def legacy(self, name: PublicName) -> bytes | None:
        """The legacy JSON document; None where no mirror has one; raise UpstreamDown."""
        ...

    async def second(self, name: PublicName, other_than: str) -> Answer:
        """The whole page, from any mirror but *other_than*; raise NotFound or UpstreamDown."""
        ...


class Book(Protocol):
    """Where facts are kept: see FactBook."""

    async def learn(self, name: PublicName, found: Mapping[str, Fact]) -> bool:
        """Add what was *found* out, by sha256; whether anything was new."""
        ...

    async def lay_over(self, name: PublicName, page: Project) -> Project:
        """*page* of *name* with all that is known of its files."""
        ...


class Pages(Protocol):
    """The pages in memory: see RememberedPages."""

    def seen(self, name: NormalizedName) -> Seen | None:
        """Where the page of *name* came from."""
        ...

    async def relay(self, name: PublicName) -> None:
        """Lay what was found out over the page of *name*."""
        ...


Work = Callable[[], Coroutine[Any, Any, None]]
"""What is to be done in a task of its own: begun there, as a task may be cancelled before it began."""

Route = Callable[[NormalizedName], Awaitable[PublicName | None]]
"""The policy's word, now: the name, where the index may be asked about it."""


class Healer:
    """Heals the pages of one index."""

    def __init__(
        self,
        *,
        mirrors: Mirrors,
        book: Book,
        pages: Pages,
        readings: Readings,
        obtain: Callable[[File, str], Awaitable[Blob | Download]],
        route: Route,
        machines: Machines,
        clock: Callable[[], float],
        calm: float = CALM,
    ) -> None:
        """*obtain*: Downloads.obtain; *clock*: seconds that never jump; *calm*: seconds, see CALM."""
        self._mirrors = mirrors
        self._book = book
        self._pages = pages
        self._readings = readings
        self._obtain = obtain
        self._route = route
        self._machines = machines
        self._clock = clock
        self._calm = calm
        self._turns = asyncio.Semaphore(PAGES_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asking: dict[PublicName, asyncio.Task[None]] = {}
        self._fruitless: OrderedDict[PublicName, tuple[float, int]] = OrderedDict()

    def page(self, name: PublicName, project: Project) -> None:
        """Heal *project*, the page of *name* that was fetched just now, when there is time; waits for nothing."""
        self._begin(name, partial(self._heal, name, project))

    def doubt(self, wheel: File) -> None:
        """Put right what the page says of the metadata of *wheel*, if that is wrong; waits for nothing."""
        if can_be_read(wheel):
            self._begin(wheel.filename, partial(self._judge, wheel))

    async def soon(self, name: PublicName, project: Project, patience: float) -> None:
        """Have *project*, the page of *name* in memory, healed if no file has a time; *patience*: seconds at most.

        Without times `uv --exclude-newer` sees no file at all: this is worth a wait once.
        """
        if patience <= 0 or not project.files or any(not _lacks_time(file) for file in project.files.values()):
            return
        if (task := await self._asked(name, project)) is not None:
            await asyncio.wait([task], timeout=patience)

    async def metadata(self, wheel: File) -> bytes:
        """The METADATA in *wheel*, byte for byte; kept, and from now on promised by its page.

        Raise NotFound where it is not to be had, UpstreamDown where that is not known.
        """
        metadata = await self._own(wheel)
        self._begin(wheel.filename, partial(self._learn_metadata, wheel))
        return metadata

    def withdraw(self, name: NormalizedName) -> None:
        """*name* is private from now on: stop every question about it."""
        self._readings.withdraw(name)
        for key, task in (*self._tasks.items(), *self._asking.items()):
            if key == name or belongs(key, name):
                task.cancel()

    async def close(self) -> None:
        """Stop everything."""
        tasks = [*self._tasks.values(), *self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: str, work: Work) -> None:
        if key in self._tasks or len(self._tasks) >= QUEUE:
            return
        task = asyncio.create_task(_quietly(key, work))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key))

    async def _heal(self, name: PublicName, project: Project) -> None:
        async with self._turns:
            if (task := await self._asked(name, project)) is not None:
                await asyncio.wait([task])
        await asyncio.sleep(self._calm)
        async with self._turns:
            # One after the other: nobody waits for them, and a burst of questions is what mirrors refuse networks for.
            for wheel in await asyncio.to_thread(self._unread, await self._book.lay_over(name, project)):
                with suppress(NotFound):
                    await self._learn_metadata(wheel)

    # Sizes and times

    async def _asked(self, name: PublicName, project: Project) -> asyncio.Task[None] | None:
        """The task that asks for what *project* lacks, one at a time for each name; None where nothing is to be had."""
        # What it lacks may have been found since it was fetched.
        project = await self._book.lay_over(name, project)
        if name in self._asking:
            return self._asking[name]
        lacking = frozenset(
            file.sha256 for file in project.files.values() if file.sha256 and (file.size is None or _lacks_time(file))
        )
        until, vain = self._fruitless.get(name, (0.0, 0))
        if not lacking or (vain == hash(lacking) and until > self._clock()):
            return None
        task = asyncio.create_task(_quietly(name, partial(self._ask, name, lacking)))
        self._asking[name] = task
        task.add_done_callback(lambda _: self._asking.pop(name))
        return task

    async def _ask(self, name: PublicName, lacking: frozenset[str]) -> None:
        left = lacking
        for source in (self._legacy, self._another_page):
            if not left or await self._route(name) is None:
                break
            try:
                found = await source(name)
            except ProxyError as error:
                logger.debug("Sizes and times of files of %s are not told: %s", name, error)
                continue
            left -= {sha256 for sha256, fact in found.items() if fact.size is not None and fact.upload_time is not None}
            await self._book.learn(name, {sha256: found[sha256] for sha256 in lacking if sha256 in found})
        if left:
            self._fruitless[name] = self._clock() + FRUITLESS, hash(left)
            self._fruitless.move_to_end(name)
            if len(self._fruitless) > FRUITLESS_NAMES:
                self._fruitless.popitem(last=False)
        if left != lacking:
            await self._pages.relay(name)

    async def _legacy(self, name: PublicName) -> dict[str, Fact]:
        body = await self._mirrors.legacy(name)
        return {} if body is None else await asyncio.to_thread(read_legacy, body, name)

    async def _another_page(self, name: PublicName) -> dict[str, Fact]:
        seen = self._pages.seen(name)
        answer = await self._mirrors.second(name, seen.mirror if seen is not None else "")
        return {} if answer.project is None else facts_of(answer.project)

    # Metadata

    def _unread(self, project: Project) -> list[File]:
        """The wheels of *project* that likely clients will ask about, and that have no metadata."""
        machines = islice(self._machines.lately(), MACHINES)
        newest = [islice(likely_wheels(project, machine), WHEELS) for machine in machines]
        wheels = {wheel.filename: wheel for wheel in chain(*zip_longest(*newest)) if wheel is not None}
        unread = (wheel for wheel in wheels.values() if wheel.core_metadata is False and wheel.sha256)
        return list(islice(unread, WHEELS))

    async def _learn_metadata(self, wheel: File) -> None:
        await self._learn(wheel, await self._own(wheel))

    async def _learn(self, wheel: File, metadata: bytes) -> None:
        """Have the page of *wheel* promise *metadata* from now on."""
        name = await self._public(wheel)
        if name is None or wheel.sha256 is None:
            return
        digest = hashlib.sha256(metadata).hexdigest()
        read = msgspec.structs.replace(wheel, core_metadata={"sha256": digest}, healed=True)
        # Kept before it is promised; it comes out of the memory of what was read.
        await read_whole(await self._obtain(read.sibling(), digest))
        if await self._book.learn(name, {wheel.sha256: Fact(metadata=digest)}):
            await self._pages.relay(name)

    async def _judge(self, wheel: File) -> None:
        """Page and wheel contradict each other, and the latter was not verified: look at all of it."""
        if wheel.sha256 is None or await self._public(wheel) is None:
            return
        metadata = await self._readings.verified(wheel, await self._obtain(wheel, wheel.sha256))
        if hashlib.sha256(metadata).hexdigest() != wheel.sibling().sha256:
            await self._learn(wheel, metadata)

    async def _own(self, wheel: File) -> bytes:
        if not can_be_read(wheel) or await self._public(wheel) is None:
            raise NotFound(f"{wheel.filename} has no metadata that could be read here.")
        return await self._readings.own(wheel, whole=False)

    async def _public(self, wheel: File) -> PublicName | None:
        """Whose wheel it is, where the index may be asked about that now: names become private."""
        for name in projects_of(wheel.filename):
            return await self._route(name)
        return None


def _lacks_time(file: File) -> bool:
    return file.upload_time is None or file.estimated_time is not None


async def _quietly(what: str, work: Work) -> None:
    """Do *work*, which nobody waits for: what goes wrong there is nobody's trouble but the log's."""
    try:
        await work()
    except ProxyError as error:
        logger.debug("%s is not healed: %s", what, error)
    except Exception:  # whatever it is, no page may be lost over it
        logger.info("%s is not healed.", what, exc_info=True)
