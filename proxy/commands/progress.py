"""How far a long command is, for whoever watches a terminal; nothing in a pipe or a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ..storage.copying import Step, unwatched


@contextmanager
def watch(what: str, total: int) -> Iterator[Step]:
    """A Watch whose bar stands on the terminal, beside and not among what is printed."""
    if not sys.stderr.isatty():
        with unwatched(what, total) as step:
            yield step
        return
    with click.progressbar(length=max(total, 1), label=what, file=sys.stderr) as bar:
        yield bar.update
