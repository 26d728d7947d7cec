"""Which bytes of a file there are, as runs from a byte to before another.  Pure, and never changed in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Spans:
    """Runs in order that do not touch.  Few: a file has hardly more of them than connections bring it."""

    runs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, runs: Iterable[tuple[int, int]]) -> Spans:
        """Runs in any order, which may touch, overlap and be empty."""
        spans = cls()
        for begin, end in runs:
            spans = spans.add(begin, end)
        return spans

    def add(self, begin: int, end: int) -> Spans:
        """These, and the bytes from *begin* to before *end*."""
        if begin >= end:
            return self
        if len(self.runs) == 1 and self.runs[0][1] == begin:
            return Spans(((self.runs[0][0], end),))  # what nearly always happens
        before = [run for run in self.runs if run[1] < begin]
        behind = [run for run in self.runs if run[0] > end]
        touched = self.runs[len(before) : len(self.runs) - len(behind)]
        if touched:
            begin, end = min(begin, touched[0][0]), max(end, touched[-1][1])
        return Spans((*before, (begin, end), *behind))

    def reach(self, at: int) -> int:
        """The first byte from *at* on that is missing."""
        return next((end for begin, end in self.runs if begin <= at < end), at)

    def missing(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The gaps from *begin* to before *end*, in order."""
        for first, last in self.runs:
            if first >= end:
                break
            if begin < first:
                yield begin, first
            begin = max(begin, last)
        if begin < end:
            yield begin, end

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.runs[-1][1] if self.runs else 0

    @property
    def count(self) -> int:
        """How many bytes."""
        return sum(end - begin for begin, end in self.runs)


NOTHING: Final = Spans()
