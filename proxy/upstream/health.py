"""How each mirror has done lately: whom to ask first, whom to leave alone, and what to tell the operator.

Pure: time and chance are given, and nothing is asked here.  Who asks a mirror opens a question in its book, and the
way the question ends is what the book learns.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError, Event
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ..errors import MirrorFailed, NotFound, ProxyError
from .breaker import Breaker, Patience, State

BEHIND = 30.0
"""Seconds after a failure during which a mirror is asked after the others."""

MEMORY = 300.0
"""Seconds for which what was measured counts: then a slow mirror gets another chance."""

WEIGHT = 0.3
"""What the newest measurement counts for in a moving average."""

SLOWER = 3.0
"""Times the best one's figure: a mirror beyond that is asked after the others."""

SOON = 0.05
"""Seconds to the head of an answer below which nobody is slow."""

ENOUGH = 256 * 1024
"""Bytes that tell how fast a mirror sends, and that it does send."""

LONG = 5.0
"""Seconds that tell how fast a mirror sends, however little came."""

Kind = Literal["pages", "files"]

logger = logging.getLogger(__name__)


class Declined(MirrorFailed):
    """A server that does not want to be asked now."""

    def __init__(self, sentence: str, *, host: str, wait: float | None) -> None:
        """*host*: of the server, with its port where it is told; *wait*: seconds that it asks for, if it says."""
        super().__init__(sentence)
        self.host = host
        self.wait = wait


class LeftAlone(MirrorFailed):
    """A mirror that is not asked now, because of earlier answers or the lack of them."""


class MirrorState(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may want to know of one mirror."""

    name: str
    url: str
    pages: State
    files: State
    pages_retry_in: float | None
    """Seconds until it is asked for pages again, where it is left alone."""
    files_retry_in: float | None
    latency: float | None
    """Seconds to the head of an answer, lately."""
    speed: float | None
    """Bytes per second of one transfer, lately."""
    lag: int | None
    """By how many of the index's changes the last page was older than one known before."""
    last_error: str | None
    last_error_at: float | None
    """Seconds since the epoch."""
    asked: int
    failed: int


class Watch:
    """Sees one question go out and its answer come in.  This one looks away."""

    def asks(self, url: str) -> None:
        """*url* will be asked for now; raise MirrorFailed where it must not be."""

    def answered(self) -> None:
        """The head of the last answer is here."""


class Average:
    """A moving average of measurements, forgotten after a while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._value = 0.0
        self._until = float("-inf")

    @property
    def value(self) -> float | None:
        return self._value if self._clock() < self._until else None

    def add(self, measured: float) -> None:
        old = self.value
        self._value = measured if old is None else old + WEIGHT * (measured - old)
        self._until = self._clock() + MEMORY


class Health:
    """One mirror's books: pages and files apart, as who refuses one file may well have the best pages."""

    def __init__(
        self,
        name: str,
        *,
        patience: Patience,
        now: Callable[[], float],
        clock: Callable[[], float],
        chance: Callable[[], float],
        at: Callable[[str], Health | None] = lambda host: None,
    ) -> None:
        """*now*: seconds since the epoch; *clock*, *chance*: as in Breaker; *at*: the health of a host's mirror."""
        self.name = name
        self.at = at
        self.now = now
        self.clock = clock
        self.hedge = patience.hedge
        self.pages = Book(self, "pages", Breaker(patience, clock=clock, chance=chance))
        self.files = Book(self, "files", Breaker(patience, clock=clock, chance=chance))
        self.lag: int | None = None
        self.last_error: str | None = None
        self.last_error_at: float | None = None

    def book(self, kind: Kind) -> Book:
        return self.pages if kind == "pages" else self.files

    def declined(self, error: Declined) -> None:
        """Obey a Retry-After, which holds for the whole of a server."""
        if error.wait is not None:
            for book in (self.pages, self.files):
                book.breaker.told_to_wait(error.wait)

    def tell(self, what: str, error: ProxyError) -> None:
        """Of a question that is in no book, only a Retry-After counts: who lacks a list may have all pages."""
        self.note(what, error)
        if isinstance(error, Declined):
            self.declined(error)

    def note(self, what: str, error: ProxyError, *, level: int = logging.WARNING) -> None:
        """Log *error*, which came of asking for *what*, and keep it for the operator."""
        logger.log(level, "mirror %s, asked for %s: %s", self.name, what, error)
        self.last_error, self.last_error_at = str(error), self.now()

    def state(self, url: str) -> MirrorState:
        return MirrorState(
            name=self.name,
            url=url,
            pages=self.pages.breaker.state,
            files=self.files.breaker.state,
            pages_retry_in=self.pages.breaker.retry_in,
            files_retry_in=self.files.breaker.retry_in,
            latency=self.pages.latency.value or self.files.latency.value,
            speed=self.files.speed.value,
            lag=self.lag,
            last_error=self.last_error,
            last_error_at=self.last_error_at,
            asked=self.pages.asked + self.files.asked,
            failed=self.pages.failed + self.files.failed,
        )


class Book:
    """How one mirror has answered one kind of question."""

    def __init__(self, health: Health, kind: Kind, breaker: Breaker) -> None:
        self.health = health
        self.kind: Kind = kind
        self.breaker = breaker
        self.latency = Average(health.clock)
        self.speed = Average(health.clock)
        self.asked = 0
        self.failed = 0
        self._ill_until = float("-inf")
        self._untried = Event()
        self._untried.set()

    @property
    def ill(self) -> bool:
        """Whether it failed lately, and has not answered since."""
        return self.health.clock() < self._ill_until

    @property
    def tried(self) -> bool:
        """Whether a question is under way that tries the mirror, which was left alone."""
        return not self._untried.is_set()

    async def tried_out(self) -> None:
        """Wait for the end of such a question, as it decides on all others."""
        await self._untried.wait()

    def begin(self) -> bool:
        """A question goes out; whether it is one that tries a mirror left alone."""
        probe = self.breaker.begin()
        if probe:
            self._untried.clear()
        return probe

    def end(self) -> None:
        """The question that tried the mirror is over, or has found it well."""
        self.breaker.end()
        self._untried.set()

    def excuse(self) -> str:
        """Why the mirror is not asked now."""
        seconds = self.breaker.retry_in or 0.0
        after = f" after: {self.health.last_error}" if self.health.last_error else "."
        return f"{self.health.name} is left alone for another {max(1, round(seconds))} s{after}"

    @contextmanager
    def question(self, what: str, *, last_resort: bool = False) -> Iterator[Question]:
        """Ask for *what*, and learn from how it ends; raise LeftAlone where nothing may be asked now.

        NotFound is an answer as good as any; MirrorFailed is a failure; whatever else leaves the block says nothing.
        """
        if not self.breaker.may_ask(last_resort=last_resort):
            raise LeftAlone(self.excuse())
        self.asked += 1
        question = Question(self, probe=self.begin())
        try:
            yield question
        except NotFound:
            question.succeeded()
            raise
        except LeftAlone:
            raise
        except MirrorFailed as error:
            self._fail(question, what, error)
            raise
        except CancelledError:
            question.given_up()
            raise
        finally:
            question.close()

    def well(self) -> None:
        """An answer came that is one."""
        self._ill_until = float("-inf")
        before = self.breaker.state
        self.breaker.succeeded()
        if before != "closed" and self.breaker.state == "closed":
            logger.info("mirror %s answers again, as far as %s go", self.health.name, self.kind)

    def _fail(self, question: Question, what: str, error: MirrorFailed) -> None:
        self.failed += 1
        before = self.breaker.state
        # One line is enough for what a mirror left alone says each time it is tried.
        again = before != "closed" and str(error) == self.health.last_error
        self.health.note(what, error, level=logging.DEBUG if again else logging.WARNING)
        if isinstance(error, Declined) and error.host != question.host:
            # A redirect led there: who sent us on may still have other things itself.
            other = self.health.at(error.host)
            if other is not None and other is not self.health:
                other.book(self.kind).decline(error, probe=False)
                return
        self._ill_until = self.health.clock() + BEHIND
        if isinstance(error, Declined) and (error.wait is not None or error.host == question.host):
            self.decline(error, probe=question.probe)
            return
        self.breaker.failed(probe=question.probe)
        self._tell(before)

    def decline(self, error: Declined, *, probe: bool) -> None:
        """Do as the mirror says."""
        before = self.breaker.state
        if error.wait is None:
            self.breaker.refused(probe=probe)
        self.health.declined(error)
        self._tell(before)

    def _tell(self, before: State) -> None:
        if before == "closed" and (seconds := self.breaker.retry_in):
            logger.warning("mirror %s is left alone for %.0f s, as far as %s go", self.health.name, seconds, self.kind)


class Question(Watch):
    """One question under way."""

    def __init__(self, book: Book, *, probe: bool) -> None:
        self.probe = probe
        """Whether it tries a mirror that was left alone, and has not found it well yet."""
        self.host = ""
        """The first one asked, with its port where that is told."""
        self._book = book
        self._clock = book.health.clock
        self._since: float | None = None
        self._asked_at: float | None = None
        self._settled = False
        self._began: float | None = None
        self._first = self._came = 0
        self._last = 0.0

    def asks(self, url: str) -> None:
        """See Watch.  A redirect to a mirror that is to be left alone is not followed."""
        host = urlsplit(url).netloc
        if self._asked_at is None:
            self._asked_at, self.host = self._clock(), host
            self._since = self._since or self._asked_at
        elif host != self.host and (other := self._book.health.at(host)) is not None:
            book = other.book(self._book.kind)
            if not book.breaker.may_ask(last_resort=True):
                raise LeftAlone(f"{self._book.health.name} leads on to another mirror: {book.excuse()}")

    def answered(self) -> None:
        """See Watch."""
        if self._asked_at is not None:
            self._book.latency.add(self._clock() - self._asked_at)
            self._asked_at = None

    def came(self, count: int) -> None:
        """So many bytes of a file, in order; enough of them are an answer."""
        self._last = self._clock()
        if self._began is None:
            # What waited in buffers behind the head tells nothing of the line.
            self._began, self._first = self._last, count
        self._came += count
        if self._came >= ENOUGH and not self._settled:
            self.succeeded()

    def succeeded(self) -> None:
        """The mirror did its part."""
        self._settled = True
        self._end_probe()
        self._book.well()

    def given_up(self) -> None:
        """Nobody waits any more: a mirror that had time enough and did not answer is slow, and has not failed."""
        if self._since is None or self._settled or self._began is not None:
            return
        waited = self._clock() - self._since
        if waited > self._book.health.hedge:
            self._book.latency.add(waited)
            self._book.breaker.unanswered(probe=self.probe)

    def close(self) -> None:
        """The question is over."""
        self._end_probe()
        if self._began is not None:
            count, seconds = self._came - self._first, self._last - self._began
            if seconds > 0 and (count >= ENOUGH or seconds >= LONG):
                self._book.speed.add(count / seconds)

    def _end_probe(self) -> None:
        if self.probe:
            self.probe = False
            self._book.end()


def slow(books: Iterable[Book]) -> set[str]:
    """The names of those that are clearly slower than the best, to answer or to send; who is not known is not slow."""
    latencies: dict[str, float] = {}
    paces: dict[str, float] = {}
    for book in books:
        if (latency := book.latency.value) is not None:
            latencies[book.health.name] = max(SOON, latency)
        if (speed := book.speed.value) is not None:
            paces[book.health.name] = 1 / max(1.0, speed)
    return _beyond(latencies) | _beyond(paces)


def _beyond(costs: Mapping[str, float]) -> set[str]:
    best = min(costs.values(), default=0.0)
    return {name for name, cost in costs.items() if cost > SLOWER * best}
