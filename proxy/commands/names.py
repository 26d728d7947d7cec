"""`yizhan names`: what it prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..administration import NameState
from .table import moment, table


def show(names: Sequence[NameState]) -> Iterator[str]:
    """The lines to print."""
    if not names:
        yield "No name was uploaded or reserved here.  What private.reserved covers is private all the same."
        return
    titles = ("name", "state", "files", "status", "reserved", "reason")
    yield from table([titles, *map(_row, names)])


def _row(name: NameState) -> tuple[str, ...]:
    return (name.name, name.state, str(name.files), name.status, moment(name.reserved), name.reason or "")
