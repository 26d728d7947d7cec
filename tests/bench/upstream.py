"""Cold files and a cold install from slow mirrors: ours beside nginx's `proxy_cache`, and beside no proxy at all.

    python -m tests.bench.upstream [--rounds 3] [--no-big] [--json FILE] [--against FILE]

Two mirrors of one tree, each behind a line with a round trip of 80 ms, give 20 MB/s to a connection.  Each round
measures all contestants one after another, each started anew with an empty cache for each case.  What is received is
checked against the tree.  Upstream requests and bytes are those in the mirrors' access log, until all is quiet again.

  direct       no proxy: the first mirror itself
  nginx        Debian's nginx, proxy_cache with the mirrors as its upstream group, connections to them kept alive
  nginx-plain  the same without keeping connections, as it is where nobody asks for it
  ours         `yizhan serve`, told of the two mirrors and else as it comes

The aims hold beside `nginx`, the better of the two.  Only loopback is used.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

from tests.daemon import program

from . import nginx
from .access import Request
from .console import teller, work_folder
from .contestants import DIRECT, NGINX, Contestant, Direct, Given, Nginx, Ours
from .figures import OURS, Aim, Figure, Gathered, Report, against, judged, machine, read, table, write
from .measure import Installer, Wrong, download
from .stage import Stage, stage
from .tree import MB, ROOT, Shape, Tree, lay

PLAIN = "nginx-plain"

FIFTY = "one file of 50 MB, cold"
BIG = "one file of 500 MB, cold"
TREE = "uv pip install of 61 projects, cold"
WHOLE = "whole, s"

AIMS = (
    Aim(case=FIFTY, what=WHOLE, beside=NGINX, factor=1 / 3),
    Aim(case=BIG, what=WHOLE, beside=NGINX, factor=1 / 3),
    Aim(case=TREE, what=WHOLE, beside=NGINX, factor=0.6),
    Aim(case=TREE, what=WHOLE, beside=PLAIN, factor=0.6),
    Aim(case=TREE, what=WHOLE, beside=DIRECT, factor=1.0),
)


FAILURES = (
    *(Wrong, OSError, HTTPException, RuntimeError, AssertionError, subprocess.SubprocessError),
    *(LookupError, ValueError, StopIteration),
)
"""What comes of a contestant that does not start, does not answer or answers wrongly: the others are measured still."""


def contestants(ours: Contestant) -> list[Contestant]:
    """Everybody who is measured, in the order of the table's columns."""
    return [Direct(), Nginx(NGINX, keepalive=True), Nginx(PLAIN, keepalive=False), ours]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured of some contestants."""

    name: str
    who: frozenset[str]
    measure: Callable[[str], Mapping[str, float]]
    """The figures of the server whose Simple index is at a URL."""


def cases(tree: Tree, installer: Installer, *, big: bool) -> list[Case]:
    """What is measured, in this order."""

    def file(project: str) -> Callable[[str], Mapping[str, float]]:
        def measured(index: str) -> Mapping[str, float]:
            found = download(index, tree, project)
            return {"page, s": found.page, "first byte, s": found.first_byte, WHOLE: found.whole}

        return measured

    everyone = frozenset({DIRECT, NGINX, PLAIN, OURS})
    found = [
        Case(TREE, everyone, lambda index: {WHOLE: installer.install(index, tree)}),
        Case(FIFTY, frozenset({DIRECT, NGINX, OURS}), file("bench-50m")),
    ]
    if big:
        found.append(Case(BIG, frozenset({NGINX, OURS}), file("bench-500m")))
    return found


def upstream_cost(requests: Sequence[Request]) -> Mapping[str, float]:
    """What the mirrors had to do."""
    return {
        "upstream requests": len(requests),
        "upstream MB": sum(request.bytes for request in requests) / MB,
        "upstream connections": len({(request.port, request.connection) for request in requests}),
    }


def run(
    stage: Stage, contestants: Sequence[Contestant], cases: Sequence[Case], rounds: int, told: Callable[[str], None]
) -> tuple[list[Figure], list[str]]:
    """Measure all *cases* of all *contestants*, interleaved; the figures, and what failed."""
    gathered, failures = Gathered(), list[str]()
    for number in range(rounds):
        for case in cases:
            # Another one first each time: what the one before left behind hits each in turn.
            turn = number % len(contestants)
            for contestant in (*contestants[turn:], *contestants[:turn]):
                if contestant.name not in case.who:
                    continue
                where = f"round {number + 1} of {rounds}: {case.name}: {contestant.name}"
                told(where)
                try:
                    gathered.add(number, case.name, contestant.name, measured(stage, contestant, case))
                except FAILURES as error:
                    failures.append(f"{where}: {error!r}")
    return gathered.figures(), failures


def measured(stage: Stage, contestant: Contestant, case: Case) -> Mapping[str, float]:
    """The figures of *case*, with a fresh *contestant*."""
    with tempfile.TemporaryDirectory(dir=stage.tree.folder.parent) as folder:
        mark = stage.log.mark()
        with contestant.running(Path(folder), stage.mirrors) as server:
            figures = case.measure(server.index)
            stage.log.settle()
        stage.log.settle()  # what the stop cut off is logged too
        return {**figures, **upstream_cost(stage.log.since(mark))}


def main() -> None:
    options = _options()
    told = teller()
    around = machine(("nginx", nginx.program(), "-v"), ("uv", program("uv"), "--version"))
    ours = Given(options.ours) if options.ours else Ours()
    others = contestants(ours)
    shape = Shape() if options.big else Shape().without_big()
    with work_folder(options.work) as work:
        told("building the tree")
        tree = lay(work / "tree", shape, told)
        for one in (ROOT, "bench-50m", *(["bench-500m"] if options.big else [])):
            (tree.folder / tree.newest(one).path).read_bytes()  # so that no disk is measured
        installer = Installer(work / "uv")
        with stage(work / "mirrors", tree, first_port=options.port) as staged:
            if options.ours:
                told(f"mirrors: {' '.join(f'{url}simple/' for url in staged.mirrors)}")
            able = [one for one in others if one.missing is None]
            figures, failures = run(staged, able, cases(tree, installer, big=options.big), options.rounds, told)
    report = Report(
        bench="upstream",
        at=datetime.now(UTC),
        machine=around,
        figures=figures,
        missing={one.name: one.missing for one in others if one.missing is not None},
        failures=failures,
    )
    told("")
    print(f"{report.at:%Y-%m-%d %H:%M} UTC, {', '.join(f'{key} {value}' for key, value in report.machine.items())}")
    print(f"{options.rounds} rounds: the middle (least-most)\n")
    print("\n".join([*table(report, [one.name for one in others]), "", *judged(report, AIMS)]))
    if options.against:
        print("\n" + "\n".join(against(report, read(options.against))))
    if options.json:
        write(report, options.json)
    if failures:
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default 3")
    parser.add_argument("--no-big", dest="big", action="store_false", help="skip the file of 500 MB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with what --json wrote earlier")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the tree there, for the next run")
    parser.add_argument("--port", type=int, metavar="PORT", help="of the first mirror; the second has the next one")
    parser.add_argument(
        "--ours",
        metavar="URL",
        help="measure the server that runs there, with the mirrors at --port as its upstream and an empty cache",
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.ours and (options.port is None or options.rounds != 1):
        parser.error("--ours needs --port, which its configuration names, and --rounds 1: only once is its cache empty")
    if options.ours and not options.ours.endswith("/"):
        options.ours += "/"
    return options


if __name__ == "__main__":
    main()
