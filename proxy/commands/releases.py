"""`yizhan yank`, `unyank`, `delete` and `project`: what is meant, and what they print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypedDict

from ..administration import Done
from ..simple.names import is_distribution


class Which(TypedDict, total=False):
    """Part of an action: which files of a project."""

    version: str
    filename: str


def which(text: str | None) -> Which:
    """What VERSION|FILENAME on a command line means: no version ends as a distribution file does."""
    if text is None:
        return {}
    return {"filename": text} if is_distribution(text) else {"version": text}


def show_yanked(done: Done, verb: Literal["yanked", "unyanked"]) -> Iterator[str]:
    """The lines to print."""
    yield from (f"{verb}: {filename}" for filename in done.files or ())
    if not done.files:
        yield "Nothing was changed: they are yanked so already." if verb == "yanked" else "They are not yanked."


def show_deleted(done: Done) -> Iterator[str]:
    """The lines to print."""
    begin = "would delete" if done.dry_run else "deleted"
    yield from (f"{begin}: {filename}" for filename in done.files or ())
    if done.dry_run:
        yield "Nothing was deleted.  For most purposes a yank is enough: what was locked stays installable."
        yield "The same command with --yes deletes them for ever; their filenames cannot be used again."
    else:
        yield f"{done.project} stays a private name: no mirror is asked about it."
