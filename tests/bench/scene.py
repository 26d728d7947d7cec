"""What the rows of the bench have in common: upstreams, a work folder, how long to measure; and what a row is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from . import cost
from .contestants import Contestant, Running
from .measure import Installer
from .stage import FAST, Stage, Upstream, stage
from .tree import MB, Tree

RATE, WHOLE = "answers/s", "whole, s"

FILES_OF_SMALL = 8

Findings: TypeAlias = Mapping[str, Mapping[str, float]]
"""By case: each quantity's name and figure."""

SLOW = Upstream(count=1)
"""The slow line of reference figures: 80 ms of round trip, 20 MB/s."""

CRAWL = Upstream(count=1, rate=100 * 1024, round_trip=0)
"""Slow enough that a file of 200 KB is two seconds under way."""

HTML_ONLY = Upstream(count=1, rate=0, round_trip=0, html=True)


@dataclass(slots=True)
class Peaks:
    """The most memory that each contestant has taken, in MB, and in which row."""

    found: dict[str, dict[str, float]] = field(default_factory=dict)

    def note(self, who: str, row: str, pid: int | None) -> None:
        if pid is not None:
            mine = self.found.setdefault(who, {})
            mine[row] = max(mine.get(row, 0.0), cost.peak(pid) / MB)
            cost.forget_peak(pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Upstreams that run now, and how much is measured."""

    tree: Tree
    fast: Stage
    slow: Stage
    crawl: Stage
    html: Stage
    work: Path
    """A folder for what rows make."""
    installer: Installer
    peaks: Peaks
    seconds: float
    """Of each load."""
    quick: bool
    """Leave out what takes long."""
    small: str
    """The project whose page is the small one."""

    @contextmanager
    def fresh(self, contestant: Contestant, before: Stage | None, row: str) -> Iterator[Running]:
        """*contestant* with nothing in its cache, *before* that stage (None: no upstream), until the block ends."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            with contestant.running(Path(folder), before.mirrors if before is not None else ()) as server:
                yield server
                self.peaks.note(contestant.name, row, server.pid)
            if before is not None:
                before.log.settle()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table: some cases that belong together."""

    key: str
    """What --only calls it."""
    who: frozenset[str]
    measure: Callable[[Scene, Contestant, Running | None], Findings]
    warm: bool = False
    """It is measured of the server that runs all round; else it starts its own, and gets None."""
    once: bool = False
    """In the first round alone: it counts, or it is long."""


@contextmanager
def scene(
    work: Path, tree: Tree, *, seconds: float, quick: bool, small: str | None, first_port: int | None
) -> Iterator[Scene]:
    """Start the upstreams of *tree*, with their folders below *work*, until the block ends.

    *first_port*: of the fast one; a free one where None.
    """
    with ExitStack() as stack:

        def upstream(name: str, like: Upstream, port: int | None = None) -> Stage:
            return stack.enter_context(stage(work / "upstreams" / name, tree, like=like, first_port=port))

        yield Scene(
            tree=tree,
            fast=upstream("fast", FAST, first_port),
            slow=upstream("slow", SLOW),
            crawl=upstream("crawl", CRAWL),
            html=upstream("html", HTML_ONLY),
            work=work,
            installer=Installer(work / "uv"),
            peaks=Peaks(),
            seconds=seconds,
            quick=quick,
            small=small or small_project(tree.projects),
        )


def small_project(projects: Mapping[str, Sequence[object]]) -> str:
    """The first project of eight files."""
    return next(name for name in sorted(projects) if len(projects[name]) == FILES_OF_SMALL)
