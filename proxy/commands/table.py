"""Tables on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

Row = tuple[str, ...]


def table(rows: Sequence[Row]) -> Iterator[str]:
    """*rows*, the titles first, as lines whose columns stand below each other."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()


def moment(time: datetime | None) -> str:
    """*time* in UTC, to the minute; a hyphen where there is none."""
    return "-" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def _width(text: str) -> int:
    """Columns of a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
