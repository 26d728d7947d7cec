"""What a bench measures before: a tree, mirrors of it, and the slow lines to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    """Their URLs through the slow lines, with a slash."""
    log: RequestLog
    """Of all of them."""


@contextmanager
def stage(folder: Path, tree: Tree, *, first_port: int | None = None, rate: int = nginx.RATE) -> Iterator[Stage]:
    """Run the mirrors of *tree*, their configuration and log in *folder*, until the block ends.

    *first_port*: of the first line, the others' follow it; free ones where None.  *rate*: bytes a second to a
    connection.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / nginx.LOG
    near = list(range(first_port, first_port + MIRRORS)) if first_port else free_ports(MIRRORS)
    far = free_ports(MIRRORS)
    program = nginx.program()
    if program is not None:
        command = [program, "-c", str(nginx.mirror(folder, tree.folder, far, rate))]
    else:
        said = ("--tree", str(tree.folder), "--log", str(log), "--rate", str(rate), "--ports", *map(str, far))
        command = python("tests.bench.mirror", *said)
    with ExitStack() as stack:
        stack.enter_context(running(command, ports=far, log=folder / "mirror.log"))
        for listen, to in zip(near, far, strict=True):
            arguments = ("--listen", str(listen), "--to", str(to), "--round-trip", str(ROUND_TRIP))
            line = python("tests.bench.line", *arguments)
            stack.enter_context(running(line, ports=[listen], log=folder / "line.log"))
        yield Stage(tree=tree, mirrors=[f"http://{HOST}:{port}/" for port in near], log=RequestLog(log))
