"""Figures of a bench: gathered over rounds, printed as a table with ratios, kept as JSON, set beside earlier ones."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

OURS = "ours"

PRINTED = 0.005
"""How exact a printed figure is, as a part of it."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing measured of one contestant, once a round."""

    case: str
    what: str
    """Which quantity, and its unit."""
    who: str
    rounds: list[float | None]
    """In the order of the rounds, which are the same for all contestants of a case; None where one failed."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run of a bench found."""

    bench: str
    at: datetime
    machine: dict[str, str]
    figures: list[Figure]
    missing: dict[str, str] = {}
    """Who took no part, and why."""
    failures: list[str] = []
    """What went wrong in which round."""

    def find(self, case: str, what: str, who: str) -> Figure | None:
        """That figure, where it was measured."""
        return next((one for one in self.figures if (one.case, one.what, one.who) == (case, what, who)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What *what* of ours is to be: beside another's, or by itself."""

    case: str
    what: str
    beside: str | None = None
    """Whose is to be multiplied with *factor*; where None, *factor* is the bound itself."""
    factor: float
    least: bool = False
    """*factor* is the least that will do, as of a rate; else it is the most."""

    def reached(self, found: float) -> bool:
        """To the digits that are printed."""
        return found >= self.factor * (1 - PRINTED) if self.least else found <= self.factor * (1 + PRINTED)

    @property
    def bound(self) -> str:
        return f"{'>=' if self.least else '<='} {_number(self.factor)}"


@dataclass(frozen=True, slots=True)
class Spread:
    """What rounds gave: the least, the middle and the most."""

    least: float
    middle: float
    most: float

    def __str__(self) -> str:
        if self.least == self.most:
            return _number(self.middle)
        return f"{_number(self.middle)} ({_number(self.least)}-{_number(self.most)})"


def spread(rounds: Sequence[float | None]) -> Spread | None:
    """None where every round failed."""
    known = [value for value in rounds if value is not None]
    return Spread(min(known), statistics.median(known), max(known)) if known else None


def ratio(mine: Figure | None, other: Figure | None) -> Spread | None:
    """Round by round: what slowed the machine down in one of them slowed both.  None where no round had both."""
    if mine is None or other is None:
        return None
    return spread([a / b for a, b in zip(mine.rounds, other.rounds, strict=False) if a is not None and b])


class Gathered:
    """The figures of a run, as they come."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[str, str, str], list[float | None]] = {}

    def add(self, number: int, case: str, who: str, quantities: Mapping[str, float]) -> None:
        """What round *number*, from 0 on, gave; a round of which nothing is told has failed."""
        for what, value in quantities.items():
            rounds = self._rounds.setdefault((case, what, who), [])
            rounds += [None] * (number - len(rounds))
            rounds.append(value)

    def figures(self) -> list[Figure]:
        return [Figure(case=case, what=what, who=who, rounds=all) for (case, what, who), all in self._rounds.items()]


def table(report: Report, who: Sequence[str]) -> Iterator[str]:
    """The lines of a table: a row for each case and quantity, a column for each of *who*."""
    rows = [["", *who]]
    for case in dict.fromkeys(one.case for one in report.figures):
        rows.append([case, *("" for _ in who)])
        for what in dict.fromkeys(one.what for one in report.figures if one.case == case):
            found = [report.find(case, what, one) for one in who]
            rows.append([f"  {what}", *(said(spread(one.rounds)) if one else "-" for one in found)])
    yield from _aligned(rows)
    yield from (f"{name} is missing: {why}." for name, why in report.missing.items())
    yield from (f"Failed: {failure}" for failure in report.failures)


def judged(report: Report, aims: Sequence[Aim]) -> Iterator[str]:
    """The lines that say how ours stands to each aim; one whose baseline is missing is not judged."""
    rows = [["ours to theirs", "ratio", "aim", ""]]
    for aim in aims:
        found = standing(report, aim)
        if found is not None:
            beside = f", beside {aim.beside}" if aim.beside else ""
            verdict = "reached" if aim.reached(found.middle) else "short"
            rows.append([f"{aim.case}: {aim.what}{beside}", str(found), aim.bound, verdict])
    yield from _aligned(rows)


def standing(report: Report, aim: Aim) -> Spread | None:
    """What *aim* is about: a ratio, or ours by itself; None where it was not measured."""
    mine = report.find(aim.case, aim.what, OURS)
    if aim.beside is not None:
        return ratio(mine, report.find(aim.case, aim.what, aim.beside))
    return spread(mine.rounds) if mine is not None else None


def against(report: Report, earlier: Report) -> Iterator[str]:
    """The lines that set ours beside an earlier run's: as they are, and as ratios to each baseline of both."""
    rows = [[f"ours since {earlier.at:%Y-%m-%d %H:%M}", "then", "now", "now to then"]]
    for one in report.figures:
        what = f"{one.case}: {one.what}"
        mine = [run.find(one.case, one.what, OURS) for run in (earlier, report)]
        if one.who == OURS:
            then, now = (spread(figure.rounds) if figure else None for figure in mine)
        else:
            what += f", beside {one.who}"
            then, now = ratio(mine[0], earlier.find(one.case, one.what, one.who)), ratio(mine[1], one)
        if then is not None and now is not None:
            rows.append([what, str(then), str(now), _number(now.middle / then.middle) if then.middle else "-"])
    yield from _aligned(rows)


def machine(*programs: tuple[str, str | None, str]) -> dict[str, str]:
    """What the figures depend on besides us; *programs*: a name, a path (None: not there), its flag for the version."""
    model = "unknown"
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        model = platform.processor() or model
    found = {
        "processor": f"{os.cpu_count()} x {model}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    for name, path, flag in programs:
        if path is not None:
            told = subprocess.run([path, flag], capture_output=True, text=True, check=False)
            version = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
            found[name] = version[0] if version else "unknown"
    return {**found, "load before": " ".join(f"{load:.1f}" for load in os.getloadavg())}


def write(report: Report, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read(path: Path) -> Report:
    """Raise OSError or msgspec.MsgspecError where *path* holds no report."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def said(spread: Spread | None) -> str:
    return "failed" if spread is None else str(spread)


def _number(value: float) -> str:
    """With as many digits as mean something."""
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.995 else f"{value:.3f}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of equal columns; none where there is but a head."""
    if len(rows) == 1:
        return
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = row
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield f"{first.ljust(widths[0])}  {'  '.join(cells)}".rstrip()
