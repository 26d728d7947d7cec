"""Brings one file in: asks places for its pieces as the plan says, until all is there and its digests hold.

What came stays where a line breaks, and the rest is asked for elsewhere.  A wrong file is forgotten, and whoever may
have sent it is asked last.  This module knows where bytes come from and go to by Protocols only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from copy import copy
from itertools import count

import msgspec

from .doubts import EARLIER, Doubts
from .errors import BadDigest, MirrorFailed, NotFound, ProxyError, UpstreamDown
from .inlet import Inlet
from .part import Part
from .segments import Flight, Pace, Plan
from .simple.model import File
from .transfers import Place, Sources, Transfer

HOLD = 64 * 1024
"""Bytes at the end of what has come that no client gets before the whole is verified."""

PROGRESS = 256 * 1024
"""Bytes that must have come since the last break for the next to count as bad luck and not as a failed try."""

TICK = 0.5
"""Seconds after which flights are judged by their speed again."""

GRACE = 5.0
"""Seconds that a fetching which is stopped has for writing what has come."""

logger = logging.getLogger(__name__)


class Fetch:
    """The fetching of one *file* into its *part*."""

    def __init__(
        self,
        file: File,
        part: Part,
        sources: Sources,
        *,
        pinned: str | None,
        doubts: Doubts,
        make_room: Callable[[int], Awaitable[None]],
        pace: Pace,
        tries: int,
        pause: Callable[[int], float],
        clock: Callable[[], float],
    ) -> None:
        """*make_room* is told how many bytes will come next.

        *tries*: how often in a row it may fail without progress; *pause*: seconds before the next of them.
        """
        self.doubts = doubts
        self.ready = 0
        """How many bytes from the first on clients may have before all are verified."""
        self._file = file
        self._part = part
        self._sources = sources
        self._hashes = {**file.hashes, "sha256": pinned} if pinned else file.hashes
        self._pace = pace
        self._tries = tries
        self._pause = pause
        self._clock = clock
        self._inlet = Inlet(part, make_room=make_room, written=self._release)
        self._plan = self._planned()
        self._flying: dict[asyncio.Task[None], Flight] = {}
        self._used: list[str] = []
        """Who brought bytes, in that order."""
        self._broke = set[str]()
        """Who broke off, and has not come to an end since."""
        self._failures = 0
        self._shaken: list[Flight] = []
        """The flights that were under way when the last failure was counted, and ..."""
        self._came = 0
        """... how many bytes have come since."""
        self._contradicted = False
        """Whether a place has another size than the page lists."""
        self._rest = 0.0
        """Seconds to wait before anybody is asked again."""
        self._news, self._growth = asyncio.Event(), asyncio.Event()
        self._wanted: dict[int, int] = {}
        self._numbers = count()

    @property
    def total(self) -> int | None:
        """Bytes of the whole, once known."""
        return self._plan.total

    def reach(self, at: int) -> int:
        """The byte before which clients may read from *at* on."""
        return self.ready if at <= self._part.size else max(at, self._part.spans.reach(at) - HOLD)

    async def grown(self, at: int) -> None:
        """Wait until something has come, best of all from the byte *at* on."""
        number = next(self._numbers)
        self._wanted[number] = at
        if at > self._part.size:
            self._news.set()
        try:
            await self._growth.wait()
        finally:
            del self._wanted[number]

    def wake(self) -> None:
        """Let all who wait have a look."""
        self._growth.set()
        self._growth = asyncio.Event()

    async def run(self) -> str:
        """Fetch and verify the file; its sha256.  On an error nothing is kept that could be wrong."""
        await asyncio.to_thread(self._part.open, resume=bool(self._hashes))
        total = await self._length()
        if self._part.spans.count:
            self._used.append(EARLIER)
        self._plan = self._planned()
        self._learn(total)
        self._release()
        while True:
            writing = asyncio.create_task(self._inlet.run())
            writing.add_done_callback(lambda _: self._news.set())
            try:
                await self._bring(writing)
            finally:
                await self._stop(writing)
            try:
                return self._verified()
            except BadDigest as error:
                logger.warning("%s from %s: %s", self._file.filename, ", ".join(dict.fromkeys(self._used)), error)
                if not await self._disbelieve():
                    raise

    async def _length(self) -> int | None:
        """Bytes of the whole; begin anew where an earlier part may be longer: no mirror could ever go on with it."""
        if self._file.size is not None or not self._part.spans.count or self._fits():
            return self._file.size
        total = await self._sources.measure(self._file)
        if total is not None and self._part.spans.end <= total:
            return total
        await asyncio.to_thread(self._part.restart)
        return None

    def _planned(self) -> Plan:
        """A plan for all that is not here."""
        plan = Plan(self._pace, patchable=bool(self._hashes), spread=not self.doubts.apart, have=self._part.spans)
        plan.learn(self._file.size)
        return plan

    async def _bring(self, writing: asyncio.Task[None]) -> None:
        """Until every byte is here."""
        while not self._plan.complete:
            if not self._flying:
                await self._written(writing)
                if self._file.size is None and self._fits():
                    return  # a size that only a mirror told was wrong: where the digest fits, nothing is missing
                if not self.ready:
                    self._learn(self._file.size)  # nobody was told more yet, and what a mirror said may be wrong too
                await asyncio.sleep(self._rest)
                self._rest = 0.0
            if not self._set_out():
                self._end_round()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._news.wait()
            self._news.clear()
            _ended_well(writing)
            await self._land(writing)
        await self._written(writing)

    async def _written(self, writing: asyncio.Task[None]) -> None:
        """Until all that came is on the disk; raise OSError where the disk does not take it."""
        if not self._inlet.idle.is_set():
            flushing = asyncio.create_task(self._inlet.flush())
            await asyncio.wait([writing, flushing], return_when=asyncio.FIRST_COMPLETED)
            flushing.cancel()
            _ended_well(writing)

    async def _stop(self, writing: asyncio.Task[None]) -> None:
        """Ask for nothing more; what came stays on the disk, to be resumed."""
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        self._flying.clear()
        self._plan.flights.clear()
        with suppress(OSError, ProxyError, TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._written(writing)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    def _set_out(self) -> bool:
        """Begin what flights the plan asks for; whether any is under way."""
        if len(self._flying) >= max(self._plan.lanes, 2):
            return True
        places, avoid = self._places(), self.doubts.avoided()
        while flight := self._plan.next(places, avoid, now=self._clock(), wanted=self._wanted.values()):
            place = next(place for place in places if place.name == flight.place)
            task = asyncio.create_task(self._fly(place, flight))
            task.add_done_callback(lambda _: self._news.set())
            self._flying[task] = flight
        return bool(self._flying)

    def _places(self) -> Sequence[Place]:
        return self._sources.places(self._file, avoid=frozenset(self.doubts.avoided() | self._broke))

    def _end_round(self) -> None:
        """There is nobody left to ask."""
        plan, filename = self._plan, self._file.filename
        if not plan.refused:
            raise NotFound(f"No mirror has {filename}.")
        if self._contradicted and "sha256" in self._hashes and not self._part.spans.count:
            # Nobody has a file of the size that the page lists, which may be the lie: the digest will tell.
            self._file, self._contradicted = msgspec.structs.replace(self._file, size=None), False
            self._plan = self._planned()
            return
        # Who has been given a part of it already is worth another round.
        self._failures += 1
        if self._failures >= self._tries or not self.ready:
            raise UpstreamDown(f"No mirror gives {filename} now: {' '.join(plan.refused.values())}")
        plan.refused.clear()
        plan.absent.clear()
        self._rest = self._pause(self._failures)

    async def _fly(self, place: Place, flight: Flight) -> None:
        """Take what *place* answers."""
        async with place.transfer(begin=flight.begin, end=flight.until) as transfer:
            if not self._is_of_use(transfer, flight):
                return
            async for chunk in transfer.chunks:
                await self._inlet.room()
                if not self._take(transfer, flight, chunk):
                    return
            if flight.end is None:
                self._learn(flight.at)
            elif flight.at < flight.end:
                raise MirrorFailed(f"{transfer.mirror} ended after {flight.at} of {flight.end} bytes.")

    def _is_of_use(self, transfer: Transfer, flight: Flight) -> bool:
        if transfer.total is not None and self._file.size not in (None, transfer.total):
            self._contradicted = True
            raise MirrorFailed(f"{transfer.mirror} has {transfer.total} bytes for a file of {self._file.size}.")
        flight.answered = True
        self._news.set()
        if self._plan.total is None and transfer.total is not None:
            self._learn(transfer.total)
        if transfer.total is not None and transfer.total != self._plan.total:
            raise MirrorFailed(f"{transfer.mirror} has {transfer.total} bytes for a file of {self._plan.total}.")
        if self._plan.total is None and not self._hashes:
            raise MirrorFailed(f"{transfer.mirror} tells neither size nor hash: a cut could not be noticed.")
        if transfer.begin > flight.begin:
            raise MirrorFailed(f"{transfer.mirror} began at byte {transfer.begin} instead of {flight.begin}.")
        return self._plan.answered(flight, transfer.begin, self._places(), self._clock())

    def _take(self, transfer: Transfer, flight: Flight, chunk: bytes) -> bool:
        """Keep what is new in *chunk*; whether *flight* shall bring more."""
        plan, more = self._plan, True
        while flight.end is not None and flight.at + len(chunk) > flight.end:
            if flight.end == plan.total:
                raise MirrorFailed(f"{transfer.mirror} sent more than the {plan.total} bytes it should.")
            if not plan.extend(flight):
                chunk, more = chunk[: flight.end - flight.at], False
        begin, had, view = flight.at, flight.fresh, memoryview(chunk)
        for first, last in plan.came(flight, len(chunk), self._clock()):
            self._inlet.put(first, view[first - begin : last - begin])
            self._came += last - first
        if flight.fresh and not had:
            self._used.append(flight.place)
        if plan.complete:
            self._news.set()
        return more

    async def _land(self, writing: asyncio.Task[None]) -> None:
        """Judge the flights that are over, and give up those that are overdue."""
        for task in [task for task in self._flying if task.done()]:
            flight = self._flying.pop(task)
            self._plan.landed(flight, self._clock())
            error = None if task.cancelled() else task.exception()
            if flight.answered:
                self._plan.refused.clear()
            if isinstance(error, NotFound):
                self._plan.absent.add(flight.place)
            elif isinstance(error, UpstreamDown) and not flight.answered:
                self._plan.refused[flight.place] = str(error)
                self._plan.failed(flight.place, self._clock())
            elif isinstance(error, UpstreamDown):
                self._break_off(flight, error)
                if not self._hashes:
                    await self._written(writing)
                    await self._begin_anew()
            elif error is not None:
                raise copy(error)
            elif flight.end is not None and flight.at >= flight.end:
                self._broke.discard(flight.place)
        overdue = dict(self._plan.overdue(self._clock()))
        for task, flight in self._flying.items():
            if flight in overdue and not task.cancelling():
                task.cancel()
                if overdue[flight]:
                    logger.info("%s: %s is slow, others bring the rest.", self._file.filename, flight.place)

    def _break_off(self, flight: Flight, error: UpstreamDown) -> None:
        progress = self._came >= PROGRESS
        # Better one that brings much and breaks off than those who broke off before it, or lied.
        if not (progress and (self._broke or self.doubts.avoided())):
            self._broke.add(flight.place)
        self._plan.failed(flight.place, self._clock())
        if flight in self._shaken:
            return  # one outage breaks many flights
        self._failures = 1 if progress else self._failures + 1
        self._shaken, self._came = list(self._plan.flights), 0
        if self._failures >= self._tries or not (self._hashes or self.ready == 0):
            raise copy(error)
        logger.info("%s: %s Trying on.", self._file.filename, error)
        self._rest = self._pause(self._failures)

    def _verified(self) -> str:
        digests = self._part.digests()
        for name, listed in self._hashes.items():
            if name in digests and digests[name] != listed:
                raise BadDigest(f"The {name} is {digests[name]} and not {listed} as listed.")
        return digests["sha256"]

    def _fits(self) -> bool:
        """Whether what is here is the file, whatever anybody says of its length."""
        part = self._part
        return part.spans.end == part.size and part.digests()["sha256"] == self._hashes.get("sha256")

    async def _disbelieve(self) -> bool:
        """What came is not the file: forget it, and remember whom to ask last; whether to try again."""
        self.doubts.blame(self._used, mingled=self._plan.mingled)
        self._broke.clear()
        self._failures += 1
        await self._begin_anew()
        self._rest = self._pause(self._failures)
        return self._failures < self._tries and not self.ready

    async def _begin_anew(self) -> None:
        await asyncio.to_thread(self._part.restart)
        self._plan = self._planned()
        self._used = []

    def _learn(self, total: int | None) -> None:
        self._plan.learn(total)
        self._inlet.total = total

    def _release(self) -> None:
        """Let clients have what came, less the tail."""
        self.ready = max(self.ready, self._part.size - HOLD)
        self.wake()


def _ended_well(task: asyncio.Task[None]) -> None:
    """Raise what *task* failed with, if it did: a copy, since the error itself leads to all who waited for it."""
    if task.done() and (error := task.exception()) is not None:
        raise copy(error)
