"""Fetches what a client will ask for next: the pages and metadata of what a project's newest suitable wheel requires.

A resolver learns of a project only from the metadata of another, so that each level of a tree costs it two questions
to a far mirror.  Whoever was answered one page is therefore run ahead of.  All questions go through the Repository,
like a client's own: what is private here is answered here, and what is under way is never asked for twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from ..download import Download, read_whole
from ..errors import NotFound, ProxyError
from ..simple.model import File, Project
from ..simple.names import parse_name
from ..storage import Blob
from .choice import Machine, Machines, likely_wheels, will_install
from .metadata import SMALL, Core

AT_ONCE = 48
"""Questions at a time, of all walks together: clients' own find connections beside them."""

FAR = 0.02
"""Seconds: metadata that took longer came from a mirror, to which every new connection costs as much again."""

WIDER, NARROWEST = 4, 8
"""By what the questions of the next level of a tree are taken to grow in number, and how few they are."""

WALKS = 64
"""Pages from which is looked ahead at the same time."""

WHEELS_AT_ONCE = 8
"""Wheels at a time that are fetched ahead; they have connections of their own, beside those for questions."""

MOST_WHEEL = 8 * 2**20
"""Bytes of a wheel that is fetched ahead: a small one costs a round trip more than its bytes."""

REMEMBERED = 10_000
"""Pages and wheels of which it is known that they were looked at."""

INLINE_FILES = 300
"""Files of a page that is looked through on the event loop; a longer one is worth a thread."""

INLINE_METADATA = 64 * 1024
"""The same of metadata, in bytes."""

MOST_REQUIREMENTS = 1000
"""Of one wheel, those that come first; a real one has 700, most of them for extras."""

LONGEST_REQUIREMENT = 1000
"""Characters of one that is read: what is longer is no real one."""

MOST_CLAUSES = 30
"""Of what is required of one project, extras included: each costs time for each of its versions."""

BREATH = 50
"""Requirements after which others get their turn on the event loop."""

logger = logging.getLogger(__name__)


class House(Protocol):
    """What clients see: see Repository."""

    async def project(self, name: NormalizedName) -> Project:
        """The page of *name*; raise NotFound or Unavailable."""
        ...

    async def find(self, path: str, filename: str) -> File:
        """The file that its page lists now; raise NotFound or Unavailable."""
        ...

    async def fetch(self, file: File) -> Blob | Download:
        """The bytes of *file*; raise NotFound or Unavailable."""
        ...


Work = Callable[[], Coroutine[Any, Any, None]]
"""What is to be done in a task of its own: begun there, as a task may be cancelled before it began."""

_Key = tuple[object, ...]
_NO_EXTRAS = frozenset[str]()


class _Want(NamedTuple):
    """What the walk so far requires of one project."""

    specifier: SpecifierSet
    extras: frozenset[str]


@dataclass(slots=True, kw_only=True)
class _Walk:
    """All that is looked at because of one question."""

    machine: Machine
    group: asyncio.TaskGroup
    steps: int
    """How many more may be made: the same project may have to be looked at again for a narrower requirement."""
    wants: dict[NormalizedName, _Want] = field(default_factory=dict)
    wheels: dict[str, File] = field(default_factory=dict)
    """The chosen wheels by filename."""
    fetches: bool = False
    """Whether the client fetches wheels, too."""


class LookAhead:
    """Looks ahead of every client; what it is told returns at once, and whatever goes wrong is only logged."""

    def __init__(
        self,
        house: House,
        read: Callable[[File], Awaitable[bytes]],
        machines: Machines,
        *,
        expect: Callable[[int], Coroutine[Any, Any, None]],
        clock: Callable[[], float],
        most: int,
        depth: int,
        fresh: float,
        most_wheel: int = MOST_WHEEL,
        at_once: int = AT_ONCE,
    ) -> None:
        """*read*: Healer.metadata of the file's index; *expect*: is told how many questions will come soon.

        *clock*: seconds that never jump.
        *most*: projects for one page, none where it is 0; *depth*: levels; *fresh*: seconds for which nothing is
        looked at again; *most_wheel*: bytes of a wheel that is fetched ahead, none where it is 0.
        """
        self._house = house
        self._read = read
        self._machines = machines
        self._expect = expect
        self._clock = clock
        self._most = most
        self._depth = depth
        self._fresh = fresh
        self._most_wheel = most_wheel
        self._turns = asyncio.Semaphore(at_once)
        self._few = asyncio.Semaphore(WHEELS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: OrderedDict[_Key, tuple[int, float]] = OrderedDict()
        self._walks: OrderedDict[str, _Walk] = OrderedDict()

    def asked(self, project: Project, agent: str) -> None:
        """A client that calls itself *agent* was answered the page *project*."""
        machine = self._machines.of(agent)
        key = project.name, machine.key
        if self._most and not self._lately(key, id(project)):
            self._note(key, id(project))
            self._begin(machine, agent, lambda walk: partial(self._page, walk, project, 0))

    def chosen(self, file: File, agent: str) -> None:
        """A client asked for the metadata of a version: for the `.metadata` *file*, or for a part of the wheel."""
        wheel, machine = file.of or file, self._machines.of(agent)
        key = wheel.filename, machine.key, _NO_EXTRAS
        if self._most and wheel.filename.endswith(".whl") and not self._lately(key):
            self._begin(machine, agent, lambda walk: partial(self._wheel, walk, wheel, _NO_EXTRAS, 0))

    def wanted(self, file: File) -> None:
        """A client asked for the wheel *file* itself: the others that were chosen with it will be next."""
        walk = self._walks.pop(file.filename, None)
        if walk is None or walk.fetches:
            return
        walk.fetches = True
        self._start(partial(self._fetch_all, tuple(walk.wheels.values())))

    async def close(self) -> None:
        """Stop everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _lately(self, key: _Key, version: int = 0) -> bool:
        """Whether *version* of *key* was looked at within the time for which that is fresh."""
        known, until = self._seen.get(key, (None, 0.0))
        return known == version and until > self._clock()

    def _note(self, key: _Key, version: int = 0) -> None:
        self._seen[key] = version, self._clock() + self._fresh
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _begin(self, machine: Machine, agent: str, first: Callable[[_Walk], Work]) -> None:
        if len(self._tasks) < WALKS:
            self._start(partial(self._run, machine, will_install(agent), first))

    def _start(self, work: Work) -> None:
        task = asyncio.create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, machine: Machine, fetches: bool, first: Callable[[_Walk], Work]) -> None:
        async with asyncio.TaskGroup() as group:
            walk = _Walk(machine=machine, group=group, steps=2 * self._most, fetches=fetches)
            self._step(walk, first(walk))

    def _step(self, walk: _Walk, work: Work) -> None:
        walk.group.create_task(_quietly(work))

    async def _project(self, walk: _Walk, name: NormalizedName, depth: int) -> None:
        async with self._turns:
            project = await self._house.project(name)
        if depth < self._depth:
            self._note((name, walk.machine.key), id(project))
        await self._page(walk, project, depth)

    async def _page(self, walk: _Walk, project: Project, depth: int) -> None:
        """Look at the wheel that the client will probably take from *project*."""
        want = walk.wants.get(project.name, _Want(SpecifierSet(), _NO_EXTRAS))

        def likeliest() -> File | None:
            return next(likely_wheels(project, walk.machine, want.specifier), None)

        wheel = await asyncio.to_thread(likeliest) if len(project.files) > INLINE_FILES else likeliest()
        if wheel is not None and depth < self._depth:
            await self._wheel(walk, wheel, want.extras, depth)

    async def _wheel(self, walk: _Walk, wheel: File, extras: frozenset[str], depth: int) -> None:
        """Look at what *wheel* requires."""
        key = wheel.filename, walk.machine.key, extras
        if self._lately(key):
            return
        self._note(key)
        self._choose(walk, wheel)
        async with self._turns:
            began = self._clock()
            metadata = await self._metadata(walk, wheel)
            far = self._clock() - began > FAR
        if len(metadata) > INLINE_METADATA:
            core = await asyncio.to_thread(Core.read, metadata, wheel.filename)
        else:
            core = Core.read(metadata, wheel.filename)
        if far and core.requires:
            # What is required requires more again: connections for that can be opened meanwhile.
            self._start(partial(self._widen, max(NARROWEST, WIDER * len(core.requires))))
        for number, text in enumerate(core.requires[:MOST_REQUIREMENTS], 1):
            self._follow(walk, text, extras, depth + 1)
            if number % BREATH == 0:
                await asyncio.sleep(0)

    async def _widen(self, count: int) -> None:
        # Opening connections takes those that are idle for a moment: the questions of this level come first.
        await asyncio.sleep(FAR)
        await self._expect(count)

    async def _metadata(self, walk: _Walk, wheel: File) -> bytes:
        if walk.fetches and self._is_small(wheel):
            # What will be installed is fetched now, and tells its metadata by the way: one question in place of two.
            found = await self._obtain(wheel)
            if isinstance(found, Blob):
                found.handle.close()
        if wheel.core_metadata is False:
            return await self._read(wheel)
        return await read_whole(await self._obtain(wheel.sibling()))

    async def _obtain(self, file: File) -> Blob | Download:
        """*file*, if its page lists it still: a name may have become private since it was chosen."""
        return await self._house.fetch(await self._house.find(file.path, file.filename))

    def _follow(self, walk: _Walk, text: str, extras: frozenset[str], depth: int) -> None:
        """Look at the project of one Requires-Dist."""
        if len(text) > LONGEST_REQUIREMENT:
            return
        try:
            requirement = Requirement(text)
            name = parse_name(requirement.name)
        except (ValueError, RecursionError, NotFound):
            return
        if requirement.url is not None or not walk.machine.needs(requirement, extras):
            return
        known = walk.wants.get(name)
        want = _Want(requirement.specifier, frozenset(requirement.extras))
        if known is not None:
            want = _Want(known.specifier & want.specifier, known.extras | want.extras)
        if want == known or not walk.steps or len(want.specifier) + len(want.extras) > MOST_CLAUSES:
            return
        if known is None and len(walk.wants) >= self._most:
            return
        walk.steps -= 1
        walk.wants[name] = want
        self._step(walk, partial(self._project, walk, name, depth))

    # Wheels

    def _choose(self, walk: _Walk, wheel: File) -> None:
        walk.wheels[wheel.filename] = wheel
        self._walks[wheel.filename] = walk
        self._walks.move_to_end(wheel.filename)
        if len(self._walks) > REMEMBERED:
            self._walks.popitem(last=False)
        if walk.fetches and not self._is_small(wheel):
            self._step(walk, partial(self._fetch, wheel))

    def _is_small(self, wheel: File) -> bool:
        return not wheel.private and wheel.size is not None and wheel.size <= min(SMALL, self._most_wheel)

    async def _fetch_all(self, wheels: Iterable[File]) -> None:
        async with asyncio.TaskGroup() as group:
            for wheel in wheels:
                group.create_task(_quietly(partial(self._fetch, wheel)))

    async def _fetch(self, wheel: File) -> None:
        """Have *wheel* here before it is asked for; what the client is quicker to ask for comes but once."""
        if wheel.private or wheel.size is None or wheel.size > self._most_wheel:
            return
        async with self._few:
            found = await self._obtain(wheel)
            if isinstance(found, Blob):
                found.handle.close()
                return
            while found.sha256 is None:
                await found.grown(found.ready)


async def _quietly(work: Work) -> None:
    """Do *work*, which nobody waits for: what goes wrong there is nobody's trouble but the log's."""
    try:
        await work()
    except ProxyError as error:
        logger.debug("Not looked ahead any further: %s", error)
    except Exception:  # whatever it is, the client will find out for itself
        logger.info("Not looked ahead any further.", exc_info=True)
