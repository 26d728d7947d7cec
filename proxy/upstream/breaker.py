"""When to leave a mirror alone, and for how long.  Pure: time and chance are given.

Closed, it may be asked; open, it is left alone; half-open, its pause is over and one question at a time tries it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

FAILURES = 3
"""In a row: then the mirror is left alone."""

PROBE = 2.0
"""Seconds between questions to a mirror whose pause is not over, where there is no other to ask."""

REFUSALS = 6
"""Times `refusal_pause`: the longest pause after refusals."""

JITTER = 0.25
"""By which part a pause may grow, so that proxies which lost a mirror together do not come back together."""

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What an operator decides about mirrors that fail.  All in seconds."""

    pause: float = 5.0
    """How long a mirror is left alone that failed repeatedly; twice as long each time up to the longest."""
    longest_pause: float = 300.0
    refusal_pause: float = 600.0
    """The same for one that refuses us (401, 403)."""
    hedge: float = 1.0
    """How long one mirror may take over a page before the next is asked too."""


class Breaker:
    """For one kind of question to one mirror."""

    def __init__(self, patience: Patience, *, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """*clock*: seconds that never jump; *chance*: from 0 to below 1, another one each time."""
        self._patience = patience
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._pauses = 0
        self._refusals = 0
        self._open_until: float | None = None
        self._forbidden_until = 0.0  # by the mirror's own word: it is not tried before, whatever the need
        self._probed = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "half-open"

    @property
    def retry_in(self) -> float | None:
        """Seconds until the mirror is tried again; None where it is not left alone."""
        return None if self._open_until is None else max(0.0, self._open_until - self._clock())

    def may_ask(self, *, last_resort: bool = False) -> bool:
        """Whether a question may go out now; *last_resort*: there is no other mirror to ask instead."""
        if self._open_until is None:
            return True
        clock = self._clock()
        due = clock >= self._open_until or (last_resort and clock >= self._probed + PROBE)
        return due and clock >= self._forbidden_until and not self._probing

    def begin(self) -> bool:
        """A question goes out; whether it is one that tries a mirror left alone.  Whoever asked says how it ended."""
        if self._open_until is None:
            return False
        self._probing = True
        self._probed = self._clock()
        return True

    def end(self) -> None:
        """The question that tried the mirror is over, however it ended."""
        self._probing = False

    def succeeded(self) -> None:
        """The mirror did its part: it is well, unless it has told us since to leave it alone."""
        self._failures = 0
        if self._clock() >= self._forbidden_until:
            self._pauses = self._refusals = 0
            self._open_until = None

    def failed(self, *, probe: bool) -> None:
        """The mirror did not do its part."""
        self._failures += 1
        # Many questions fail together: those that went out before it was left alone say nothing new.
        if probe or (self._open_until is None and self._failures >= FAILURES):
            self._pauses += 1
            self._leave_alone(self._grown(self._patience.pause, self._pauses, self._patience.longest_pause))

    def refused(self, *, probe: bool) -> None:
        """The mirror does not want to be asked, and does not say for how long (401, 403)."""
        self._failures += 1
        if probe or self._clock() >= self._forbidden_until:
            self._refusals += 1
            longest = REFUSALS * self._patience.refusal_pause
            self.told_to_wait(self._grown(self._patience.refusal_pause, self._refusals, longest))

    def told_to_wait(self, seconds: float) -> None:
        """The mirror does not want to be asked for *seconds* (Retry-After)."""
        self._leave_alone(seconds)
        self._forbidden_until = max(self._forbidden_until, self._clock() + seconds)

    def unanswered(self, *, probe: bool) -> None:
        """Another mirror was quicker: that is no failure, but a mirror left alone has not come back either."""
        if probe:
            self._leave_alone(self._grown(self._patience.pause, self._pauses, self._patience.longest_pause))

    def _leave_alone(self, seconds: float) -> None:
        clock = self._clock()
        self._open_until = max(self._open_until or 0.0, clock + seconds)
        self._probed = clock

    def _grown(self, pause: float, times: int, longest: float) -> float:
        """*pause* doubled for each time but the first."""
        doubled = pause * 2.0 ** min(max(times, 1) - 1, 30)
        return min(longest, doubled * (1 + JITTER * self._chance()))
