"""Distributions in any folder: pypiserver's, a wheelhouse, a share; looked at, and never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..simple.names import is_distribution, projects_of
from ..storage.copying import reason

SIDECAR = ".sha256"
"""The ending of a file that holds the digest of the file beside it, as sha256sum writes it."""

_MOST = 4096
"""Bytes that are read of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that may be imported."""

    place: str
    """Where it is, as a report tells: relative to the source."""
    path: Path
    hashes: Mapping[str, str] = field(default_factory=dict)
    """What the source says its digests are: kind to hex."""
    uploaded: datetime | None = None
    """When the source got it: aware."""
    yanked: bool | str = False
    """Whether the source has it yanked, or why: as in File."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not imported."""

    place: str
    why: str
    wanted: bool = True
    """It is a distribution, or may be one: its owner will miss it."""


def look(root: Path) -> Iterator[Found | LeftOut]:
    """All files below the folder *root*, in the order of their names, through links too.

    Hidden files are left out, and hidden folders not entered: pypiserver does not list what is in there either.
    """
    seen = set[tuple[int, int]]()
    unread = list[OSError]()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=unread.append):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            # A link leads back to where we were.
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            yield _seen(path, path.relative_to(root).as_posix())
    for error in unread:
        place = Path(os.fsdecode(error.filename))
        yield LeftOut(place.relative_to(root).as_posix() if place != root else ".", reason(error))


def shown(place: str) -> str:
    """*place* as a terminal may print it: what some disk holds may be no text, or tell the terminal to do something."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in place)


def looks_like_one(filename: str) -> bool:
    """Whether *filename* could be a distribution's, of whatever kind."""
    return is_distribution(filename) and bool(projects_of(filename))


def _seen(path: Path, place: str) -> Found | LeftOut:
    wanted = looks_like_one(path.name)
    if path.name.startswith("."):
        return LeftOut(place, "is hidden", wanted=False)
    if not wanted:
        return LeftOut(place, "is no distribution", wanted=False)
    try:
        hashes, modified = _sidecar(path), path.stat().st_mtime
    except OSError as error:
        return LeftOut(place, reason(error))
    return Found(place=place, path=path, hashes=hashes, uploaded=datetime.fromtimestamp(modified, UTC))


def _sidecar(path: Path) -> dict[str, str]:
    """The digest that stands in the file beside *path*, if there is one."""
    try:
        with path.with_name(path.name + SIDECAR).open("rb") as handle:
            words = handle.read(_MOST).decode("utf-8", "replace").split()
    except FileNotFoundError:
        return {}
    # An empty one promises something too, and does not keep it.
    return {"sha256": words[0] if words else ""}
