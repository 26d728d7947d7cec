"""`yizhan verify`: what it says of what storage.audit finds."""

from __future__ import annotations

from collections.abc import Iterator

from ..storage.audit import Audit, audit
from .backup import show_wrong

__all__ = ["audit", "show"]


def show(found: Audit) -> Iterator[str]:
    """The lines to print."""
    yield f"verified: {found.files} files of {found.projects} projects ({found.size:,} bytes), {len(found.wrong)} wrong"
    yield from show_wrong(found.wrong)
