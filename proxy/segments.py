"""Whom to ask next for which part of a file, whom to ask beside him, and whom to give up.  Pure: values in and out.

There is no queue: what nobody has brought and nobody is bringing is a gap, and the next question is for a piece of
the first gap.  So whatever a source leaves undone is asked of another without anybody keeping a book of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from .spans import NOTHING, Spans
from .transfers import Place

MIB = 1024 * 1024

SAMPLE = 64 * 1024
"""Bytes that a flight must have brought to tell how fast its place is."""


ALONE = 10.0
"""Seconds for which a place that failed is not asked to help, the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When and how a file is fetched over several connections.  Sizes in bytes, times in seconds."""

    connections: int = 8
    """For one file at the same time, over all places."""
    above: int = 8 * MIB
    """From how much on; less, and what is of unknown length, comes over one connection."""
    smallest: int = MIB
    largest: int = 16 * MIB
    """Of what is asked for at a time."""
    spell: float = 1.0
    """That one such piece should take: long beside the time that a question takes, short for who waits for bytes."""
    watch: float = 2.0
    """How long a source is watched before it is judged by its speed."""
    crawl: float = 5.0
    """What a source may need for the rest before one whose speed is unknown is tried beside it."""
    slower: int = 8
    """How many times slower than the best a source may be."""


class Flight:
    """One question under way, and how far its answer has come."""

    def __init__(
        self,
        place: str,
        begin: int,
        end: int | None,
        *,
        until: int | None,
        now: float,
        beside: Flight | None = None,
    ) -> None:
        self.place = place
        self.begin = begin
        """The byte asked for first."""
        self.until = until
        """Before which the answer shall stop; None where all the rest is asked for."""
        self.end = end
        """Before which it is given up; None where the file's length is unknown."""
        self.at = begin
        """The byte that comes next."""
        self.asked = now
        """When, in seconds of a clock that never goes back."""
        self.answered = False
        self.fresh = 0
        """Bytes that nobody had brought before."""
        self.beside = beside
        """The flight that this one races, from where that one stood."""
        self._marks = (now, begin), (now, begin)

    def rate(self, now: float) -> float:
        """Bytes per second, over the last second or two."""
        if now - self._marks[1][0] >= 1.0:
            self._marks = self._marks[1], (now, self.at)
        then, stood = self._marks[0]
        return (self.at - stood) / max(now - then, 0.001)

    def rewind(self, begin: int, now: float) -> None:
        """The answer begins at another byte than was asked for."""
        self.at = begin
        self._marks = (now, begin), (now, begin)


@dataclass(slots=True)
class Standing:
    """What a place has shown of itself while this file was fetched."""

    ranges: bool | None = None
    """Whether it gives parts; None where it was not asked for one from the middle."""
    rate: float | None = None
    """Bytes per second of one connection."""
    failures: int = 0
    left_alone: float = -inf
    """Until when it is not asked to help."""


@dataclass(slots=True)
class Plan:
    """The state of one file's fetching: what has come, who is under way, and who may be asked."""

    pace: Pace
    patchable: bool
    """Whether a digest will tell if pieces of several answers are one file."""
    spread: bool = True
    """Whether several places may be asked at the same time."""
    have: Spans = NOTHING
    total: int | None = None
    """Bytes of the whole, once known."""
    lanes: int = 1
    """Flights at the same time; where it is one, another may race it."""
    flights: list[Flight] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Places that did not answer in this round, and what they said."""
    absent: set[str] = field(default_factory=set)
    """Places that have no such file."""
    doubled: int = 0
    """Bytes that came twice because two flights raced."""
    mingled: bool = False
    """Whether several places were asked at the same time."""
    _standings: dict[str, Standing] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.total is not None and self.have.reach(0) >= self.total

    def learn(self, total: int | None) -> None:
        """The file has *total* bytes, or nobody knows any more."""
        self.total = total
        self.lanes = 1
        if total is not None and self.patchable and total - self.have.count >= self.pace.above:
            self.lanes = self.pace.connections
        for flight in self.flights:
            if flight.end is None and total is not None:
                flight.end = total
                if self.lanes > 1:
                    flight.end = min(total, flight.at + self._share(total - flight.at))

    def next(
        self, places: Sequence[Place], avoid: Collection[str], *, now: float, wanted: Iterable[int] = ()
    ) -> Flight | None:
        """The next question to ask, which is under way from now on; None where none should be asked now.

        *places*: the likeliest first; *avoid*: those that are asked only where no other one is left.  *wanted*: bytes
        that somebody waits for.
        """
        usable = self._usable(places)
        flight = None
        if not self.flights:
            # From a place that gives no parts, one from the middle costs all before it.
            usable.sort(key=lambda place: self._standing(place.name).ranges is False)
            if usable:
                flight = self._piece(usable[0].name, wanted, now)
        elif self.patchable:
            flight = self._further([place for place in usable if self._may_help(place, avoid, now)], wanted, now)
        if flight is not None:
            self.mingled |= any(other.place != flight.place for other in self.flights)
            self.flights.append(flight)
        return flight

    def answered(self, flight: Flight, begin: int, places: Sequence[Place], now: float) -> bool:
        """The answer begins at *begin*; whether it is of use."""
        flight.answered = True
        if flight.begin > 0:
            self._standing(flight.place).ranges = begin == flight.begin
        if begin == flight.begin:
            return True
        # All from the first byte on: to read over what is here already is better than nothing, and nothing else.
        others = [self._standing(place.name).ranges for place in self._usable(places)]
        if len(self.flights) > 1 or others.count(False) < len(others):
            return False
        flight.rewind(begin, now)
        flight.end = self.total
        return True

    def came(self, flight: Flight, count: int, now: float) -> list[tuple[int, int]]:
        """*flight* brought *count* bytes more; which of them are new."""
        begin, flight.at = flight.at, flight.at + count
        flight.rate(now)  # so that the time since is looked at apart
        fresh = list(self.have.missing(begin, flight.at))
        for run in fresh:
            self.have = self.have.add(*run)
        new = sum(last - first for first, last in fresh)
        flight.fresh += new
        if flight.beside is not None or any(other.beside is flight for other in self.flights):
            self.doubled += count - new
        return fresh

    def extend(self, flight: Flight) -> bool:
        """Let *flight*, whose answer goes on beyond its end, bring the next piece too; whether nobody else does."""
        if flight.end is None or self.total is None:
            return False
        # Who has not answered yet may be overtaken: it may turn out that this place gives no parts.
        for begin, end in self._gaps([other for other in self.flights if other.answered]):
            if begin == flight.end:
                flight.end = min(end, begin + self._share(end - begin))
                return True
        return False

    def landed(self, flight: Flight, now: float) -> None:
        """*flight* is over, however it ended."""
        self.flights.remove(flight)
        for other in self.flights:
            if other.beside is flight:
                other.beside = None
        if flight.at - flight.begin >= SAMPLE:
            standing, rate = self._standing(flight.place), (flight.at - flight.begin) / max(now - flight.asked, 0.001)
            if flight.end is not None and flight.at < flight.end:
                rate = max(1.0, min(rate, flight.rate(now)))  # given up or broken: how it went in the end counts
            standing.rate = rate if standing.rate is None else (standing.rate + rate) / 2

    def failed(self, place: str, now: float) -> None:
        """*place* did not answer, or broke off: it does not help for a while, then twice as long."""
        standing = self._standing(place)
        standing.left_alone = now + ALONE * 2**standing.failures
        standing.failures += 1

    def overdue(self, now: float) -> Iterator[tuple[Flight, bool]]:
        """Flights to give up: what they would still bring, others bring sooner, or have brought.

        With each, whether that tells against its place.
        """
        rates = {flight: flight.rate(now) for flight in self.flights if self._is_watched(flight, now)}
        for flight in self.flights:
            rival, rate = flight.beside, rates.get(flight, inf)
            is_here = flight.answered and flight.end is not None and self.have.reach(flight.at) >= flight.end
            is_passed = any(other.beside is flight and other.fresh and other.at > flight.at for other in self.flights)
            is_behind = rival is not None and flight.answered and rate < rates.get(rival, 0.0)
            is_slow = self.lanes > 1 and rate * self.pace.slower < max(rates.values(), default=0.0)
            if is_here or is_passed or is_behind or is_slow:
                yield flight, not is_here

    def _rate(self, place: str, now: float) -> float | None:
        """Bytes per second that one connection to *place* brings; None where that is not known."""
        rates = [flight.rate(now) for flight in self.flights if flight.place == place and self._is_watched(flight, now)]
        return self._standing(place).rate or max(rates, default=None)

    def _is_watched(self, flight: Flight, now: float) -> bool:
        """Whether *flight* has been under way for long enough to be judged."""
        return now - flight.asked >= self.pace.watch

    def _usable(self, places: Iterable[Place]) -> list[Place]:
        return [place for place in places if place.name not in self.refused and place.name not in self.absent]

    def _standing(self, place: str) -> Standing:
        return self._standings.setdefault(place, Standing())

    def _may_help(self, place: Place, avoid: Collection[str], now: float) -> bool:
        """Whether *place* may be asked beside the flights that are under way."""
        standing = self._standing(place.name)
        if place.busy or place.name in avoid or now < standing.left_alone or standing.ranges is False:
            return False
        here = [flight for flight in self.flights if flight.place == place.name]
        if not here and not self.spread:
            return False
        # One question shows whether a place gives parts; until then there are not eight to be sorry for.
        return standing.ranges is True or not any(flight.begin > 0 for flight in here)

    def _further(self, helpers: Sequence[Place], wanted: Iterable[int], now: float) -> Flight | None:
        """A question beside those that are under way: for what holds up the beginning, the next piece, or the end."""
        rates = {place.name: self._rate(place.name, now) for place in helpers}
        best = max((rate for rate in rates.values() if rate is not None), default=0.0)
        helpers = [place for place in helpers if (rates[place.name] or inf) * self.pace.slower >= best]
        helpers = sorted(helpers, key=lambda place: sum(flight.place == place.name for flight in self.flights))
        if not helpers or len(self.flights) >= max(self.lanes, 2):
            return None
        front = self.have.reach(0)
        race = self._race([flight for flight in self.flights if flight.at <= front], helpers, now)
        if race is not None or self.lanes == 1:
            return race
        return self._piece(helpers[0].name, wanted, now) or self._race(self.flights, helpers, now)

    def _piece(self, place: str, wanted: Iterable[int], now: float) -> Flight | None:
        """The question to *place* for the gap to fill next, or a piece of it; None where there is no gap."""
        begin, end = self._gap(wanted)
        if begin == end:
            return None
        if end is not None and self.lanes > 1:
            end = begin + self._size(end - begin, self._rate(place, now))
            return Flight(place, begin, end, until=end, now=now)
        return Flight(place, begin, end, until=None if end == self.total else end, now=now)

    def _race(self, flights: Iterable[Flight], helpers: Iterable[Place], now: float) -> Flight | None:
        """The most overdue of *flights* once more, from where it stands, at a place that should be there before it."""
        raced = [flight.beside for flight in self.flights if flight.beside is not None]
        alone = [flight for flight in flights if flight.beside is None and flight not in raced]
        for flight in sorted(alone, key=lambda flight: -self._wait(flight, now)):
            for place in helpers:
                if self._gains(flight, place.name, now):
                    begin = self.have.reach(flight.at)
                    return Flight(place.name, begin, flight.end, until=flight.end, now=now, beside=flight)
        return None

    def _wait(self, flight: Flight, now: float) -> float:
        """Seconds that *flight* will need for its rest."""
        rate = flight.rate(now)
        return self._left(flight) / rate if rate else inf

    def _left(self, flight: Flight) -> int:
        """Bytes that *flight* has still to bring; none where nobody knows."""
        return max(0, flight.end - self.have.reach(flight.at)) if flight.end is not None else 0

    def _gains(self, flight: Flight, place: str, now: float) -> bool:
        """Whether *place* should bring the rest of *flight* much sooner, and it may cost what it costs."""
        left = self._left(flight)
        racing = sum(self._left(other) for other in self.flights if other.beside is not None)
        most = max(self.pace.largest, (self.total or 0) // 8)
        if not self._is_watched(flight, now) or self.doubled + racing + left > most:
            return False
        rate, wait = self._rate(place, now), self._wait(flight, now)
        if rate is None:
            return place != flight.place and wait > self.pace.crawl
        return rate > 0.0 and wait > 2 * left / rate + self.pace.watch / 4

    def _gaps(self, flights: Iterable[Flight]) -> Iterator[tuple[int, int]]:
        """What has not come and none of *flights* brings; the total must be known."""
        taken = self.have
        for flight in flights:
            taken = taken.add(flight.at, flight.end or 0)
        return taken.missing(0, self.total or 0)

    def _gap(self, wanted: Iterable[int]) -> tuple[int, int | None]:
        """The gap to fill next: what somebody waits for, or the first; empty where there is none."""
        if self.total is None:
            return self.have.reach(0), None
        gaps = list(self._gaps(self.flights))
        for needed in map(self.have.reach, wanted if self.lanes > 1 else ()):
            for begin, end in gaps:
                if begin <= needed < end:
                    return needed, end
        return gaps[0] if gaps else (self.total, self.total)

    def _share(self, size: int) -> int:
        """Of *size* bytes, what one of all lanes should bring."""
        return max(self.pace.smallest, min(self.pace.largest, size // self.lanes))

    def _size(self, gap: int, rate: float | None) -> int:
        """How much of a *gap* of so many bytes a place is asked for that brings *rate* bytes per second."""
        pace, size = self.pace, self.pace.smallest
        if rate is not None:
            left = sum(last - first for first, last in self._gaps(self.flights))
            size = max(size, min(int(rate * pace.spell), self._share(left)), int(rate * pace.spell / 4))
        size = min(size, pace.largest)
        # No crumbs: a question costs as much for them.
        return gap if gap - size < pace.smallest // 2 else size
