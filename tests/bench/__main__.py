"""How fast the proxy is, beside nginx and its peers, on this machine.

    python -m tests.bench [--quick] [--only ROW ...] [--rounds N] [--json FILE] [--against FILE]

All contestants stand before one upstream, and each row is measured of all of them one after another, in interleaved
rounds.  nginx is Debian's, as `proxy_cache`; pypiron and proxpi come from the index that pip's configuration names; wrk
(Debian) makes the load.  Who is missing is named, and the rest measured.  Only loopback is used, but for getting those
two.  The table that is printed is Markdown.  With no rows named it takes about a quarter of an hour, with --quick two
minutes, and more of the machine than one should be working on.

A server that runs already is measured with --url; it must have http://127.0.0.1:PORT/simple/ (--port PORT) as its
upstream, or, with --project NAME, any upstream that has this project: then its page alone is measured, and of nobody
else.  What needs a server of the bench's own is left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.daemon import program

from . import baselines, nginx, rows_files, rows_growth, rows_pages, upstream, wrk
from .aims import AIMS
from .console import teller, work_folder
from .contestants import DIRECT, NGINX, PROXPI, PYPIRON, Contestant, Direct, Given, Nginx, Ours
from .figures import OURS, Figure, Report, against, machine, read, write
from .markdown import markdown
from .measure import Installer
from .scene import Row, scene
from .stage import stage
from .tree import Shape, Tree, lay
from .wire import Run

ROWS = (*rows_pages.ROWS, *rows_files.ROWS, *rows_growth.ROWS)
MIRRORS = "mirrors"
"""The rows of `tests.bench.upstream`, by one name."""

ABOUT_A_PROJECT = {"small", "different", "conditional"}
WHO = (OURS, NGINX, PYPIRON, PROXPI, DIRECT, upstream.PLAIN)

SECONDS, QUICK_SECONDS = 2.0, 1.0
ROUNDS = 3

MIRRORS_ROUNDS = 2
"""At most: nginx takes half a minute over the largest file on a slow line, each time the same."""


def main() -> None:
    options = _options()
    if wrk.program() is None:
        sys.exit("The bench makes its load with wrk, which is not installed: apt-get install wrk")
    told = teller()
    around = machine(("nginx", nginx.program(), "-v"), ("wrk", wrk.program(), "-v"), ("uv", program("uv"), "--version"))
    with work_folder(options.work) as work:
        told("building the tree")
        tree = lay(work / "tree", Shape().without_big() if options.quick else Shape(), told)
        for path in {item.path for name in tree.projects for item in tree.projects[name] if name != rows_pages.HUGE}:
            (tree.folder / path).read_bytes()  # so that no disk is measured
        contestants = _contestants(options, work, around)
        able = [one for one in contestants if one.missing is None]
        figures, failures = _wire(options, work, tree, able)
        more = _mirrors(options, work, tree)
    around["load after"] = " ".join(f"{load:.1f}" for load in os.getloadavg())
    report = Report(
        bench="all",
        at=datetime.now(UTC),
        machine=around,
        figures=[*figures, *more[0]],
        missing={one.name: one.missing for one in contestants if one.missing is not None},
        failures=[*failures, *more[1]],
    )
    told("")
    print("\n".join(markdown(report, AIMS, WHO)))
    if options.against:
        print("\n" + "\n".join(against(report, read(options.against))))
    if options.json:
        write(report, options.json)
    if report.failures:
        sys.exit(1)


def _contestants(options: argparse.Namespace, work: Path, around: dict[str, str]) -> list[Contestant]:
    """Who takes part, or would; the versions of the peers go to *around*."""
    ours = Given(options.url) if options.url else Ours()
    if options.project:
        return [ours]
    peers = baselines.install(work / "peers", teller())
    for name in (PYPIRON, PROXPI):
        if version := baselines.version(work / "peers", name):
            around[name] = version
    return [Direct(), Nginx(NGINX, keepalive=True, gzip=True), *peers, ours]


def _wire(
    options: argparse.Namespace, work: Path, tree: Tree, contestants: list[Contestant]
) -> tuple[list[Figure], list[str]]:
    rows = _chosen(options)
    if not rows:
        return [], []
    told = teller()
    seconds = QUICK_SECONDS if options.quick else SECONDS
    with scene(
        work, tree, seconds=seconds, quick=options.quick, small=options.project, first_port=options.port
    ) as built:
        if options.url and not options.project:
            told(f"upstream: {built.fast.mirrors[0]}simple/")
        run = Run(built, contestants, told)
        run.rounds(rows, options.rounds)
    return run.figures(), run.failures


def _mirrors(options: argparse.Namespace, work: Path, tree: Tree) -> tuple[list[Figure], list[str]]:
    if options.url or MIRRORS not in (options.only or ([] if options.quick else [MIRRORS])):
        return [], []
    installer = Installer(work / "uv-mirrors")
    with stage(work / "mirrors", tree) as staged:
        able = [one for one in upstream.contestants(Ours()) if one.missing is None]
        cases = upstream.cases(tree, installer, big=not options.quick)
        return upstream.run(staged, able, cases, min(options.rounds, MIRRORS_ROUNDS), teller())


def _chosen(options: argparse.Namespace) -> list[Row]:
    rows = [row for row in ROWS if options.only is None or row.key in options.only]
    if options.url:
        rows = [row for row in rows if row.warm]
    if options.project:
        rows = [row for row in rows if row.key in ABOUT_A_PROJECT]
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    keys = [*(row.key for row in ROWS), MIRRORS]
    parser.add_argument("--only", nargs="+", choices=keys, metavar="ROW", help=f"of {', '.join(keys)}")
    parser.add_argument("--quick", action="store_true", help="one round, less of everything: to see whether it works")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {ROUNDS}, and 1 with --quick")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with what --json wrote earlier")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the tree and the peers there, for the next run")
    parser.add_argument("--url", metavar="URL", help="measure the server that runs there, in place of our own")
    parser.add_argument("--port", type=int, metavar="PORT", help="of the upstream, which that server is to have")
    parser.add_argument("--project", metavar="NAME", help="measure that server with this project's page alone")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else ROUNDS)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if bool(options.url) != bool(options.port or options.project):
        parser.error("--url needs --port or --project, and they need --url")
    if options.url and not options.url.endswith("/"):
        options.url += "/"
    return options


if __name__ == "__main__":
    main()
