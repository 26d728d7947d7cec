"""What a bench measures before: a tree, mirrors of it, and the slow lines to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from . import nginx
from .access import RequestLog
from .processes import HOST, free_ports, python, running
from .tree import Tree

MIRRORS = 2
ROUND_TRIP = 80.0
"""Milliseconds of each line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Mirrors of one tree that run now."""

    tree: Tree
    mirrors: Sequence[str]
    """Their URLs, through the lines where there are any, with a slash."""
    log: RequestLog
    """Of all of them."""


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """What mirrors are like."""

    count: int = MIRRORS
    rate: int = nginx.RATE
    """Bytes a second to a connection; 0 is as fast as they can."""
    round_trip: float = ROUND_TRIP
    """Milliseconds of the line to each; 0 is no line at all."""
    html: bool = False
    """They know no other representation of a page."""


SLOW = Upstream()
FAST = Upstream(count=1, rate=0, round_trip=0)


@contextmanager
def stage(folder: Path, tree: Tree, *, like: Upstream = SLOW, first_port: int | None = None) -> Iterator[Stage]:
    """Run mirrors of *tree*, their configuration and log in *folder*, until the block ends.

    *first_port*: of the first one (its line, where it has one), the others' follow it; free ones where None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / nginx.LOG
    near = list(range(first_port, first_port + like.count)) if first_port else free_ports(like.count)
    far = free_ports(like.count) if like.round_trip else near
    program = nginx.program()
    if program is not None:
        command = [program, "-c", str(nginx.mirror(folder, tree.folder, far, like.rate, html=like.html))]
    else:
        said = ("--tree", str(tree.folder), "--log", str(log), "--rate", str(like.rate), "--ports", *map(str, far))
        command = python("tests.bench.mirror", *said, *(["--html"] if like.html else []))
    with ExitStack() as stack:
        stack.enter_context(running(command, ports=far, log=folder / "mirror.log"))
        for listen, to in zip(near, far, strict=True) if like.round_trip else ():
            arguments = ("--listen", str(listen), "--to", str(to), "--round-trip", str(like.round_trip))
            line = python("tests.bench.line", *arguments)
            stack.enter_context(running(line, ports=[listen], log=folder / "line.log"))
        yield Stage(tree=tree, mirrors=[f"http://{HOST}:{port}/" for port in near], log=RequestLog(log))
