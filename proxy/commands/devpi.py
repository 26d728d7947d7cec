"""What `devpi-export` (or `devpi-server --export`) wrote: `dataindex.json` and the files that it lists.

The format, of dumpversions 1 (devpi-server 2) and 2 (all since): `indexes` has each index by "user/index"; its
`indexconfig.type` is "mirror" for copies of another index; its `files` name `relpath`, `projectname`, `version`, `type`
("releasefile", "doczip", "toxresult") and an `entrymapping` with `last_modified` (an HTTP date) and digests: `hashes`,
`hash_spec` ("sha256=..."), in old exports `md5`.  `projects` has each version's metadata, with `yanked` in mirrors:
devpi's own indexes know no yanks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import msgspec

from ..simple.listing import one_line
from .folders import Found, LeftOut, looks_like_one

INDEX = "dataindex.json"

VERSIONS = ("1", "2")


class NoExport(Exception):
    """The folder is no export that can be read; the message is a sentence that says why."""


class _File(msgspec.Struct, frozen=True):
    relpath: str
    type: str = ""
    projectname: str = ""
    version: str = ""
    entrymapping: dict[str, Any] = {}


class _Index(msgspec.Struct, frozen=True):
    indexconfig: dict[str, Any] = {}
    files: list[_File] = []
    projects: Any = None
    """Project to version to metadata; a list where there are none."""


class _Export(msgspec.Struct, frozen=True):
    dumpversion: str
    indexes: dict[str, _Index]


def look(root: Path, wanted: Sequence[str] = ()) -> Iterator[Found | LeftOut]:
    """The files of the export in *root*: of the indexes *wanted*, in that order, or of all but mirrors by name.

    Raise NoExport where it is none, or an index is wanted that is not in there.
    """
    export = _read(root)
    unknown = sorted(set(wanted) - export.indexes.keys())
    if unknown:
        raise NoExport(f"The export has no index {unknown[0]}, only {', '.join(sorted(export.indexes)) or 'none'}.")
    for name in wanted or sorted(export.indexes):
        index = export.indexes[name]
        mirror = index.indexconfig.get("type") == "mirror" and name not in wanted
        for file in index.files:
            if mirror:
                yield LeftOut(file.relpath, f"is a copy that the mirror index {name} holds", wanted=False)
            else:
                yield _seen(root, index, file)


def _read(root: Path) -> _Export:
    try:
        export = msgspec.json.decode((root / INDEX).read_bytes(), type=_Export)
    except OSError as error:
        raise NoExport(
            f"{root / INDEX} cannot be read ({error.strerror}): give the folder of a devpi-export."
        ) from error
    except msgspec.MsgspecError as error:
        raise NoExport(f"{root / INDEX} is not what devpi-export writes: {error}.") from error
    if export.dumpversion not in VERSIONS:
        raise NoExport(f"The export is of dumpversion {export.dumpversion}; {' and '.join(VERSIONS)} can be read.")
    return export


def _seen(root: Path, index: _Index, file: _File) -> Found | LeftOut:
    path = Path(file.relpath)
    if file.type != "releasefile":
        return LeftOut(file.relpath, f"is no distribution but a {file.type or 'file of no kind'}", wanted=False)
    if path.is_absolute() or ".." in path.parts:
        return LeftOut(file.relpath, "lies outside of the export")
    if not looks_like_one(path.name):
        return LeftOut(file.relpath, "is no distribution")
    return Found(
        place=file.relpath,
        path=root / path,
        hashes=_hashes(file.entrymapping),
        uploaded=_time(file.entrymapping.get("last_modified")),
        yanked=_yanked(index.projects, file),
    )


def _hashes(mapping: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    if isinstance(listed := mapping.get("hashes"), dict):
        found.update({str(kind): str(value) for kind, value in listed.items()})
    kind, equals, value = str(mapping.get("hash_spec") or "").partition("=")
    if equals:
        found[kind] = value
    if mapping.get("md5"):
        found["md5"] = str(mapping["md5"])
    return found


def _time(text: object) -> datetime | None:
    """A Last-Modified, which is when devpi got the file."""
    if not isinstance(text, str):
        return None
    try:
        time = parsedate_to_datetime(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _yanked(projects: object, file: _File) -> bool | str:
    """What the version's metadata says of a yank."""
    versions = projects.get(file.projectname, {}) if isinstance(projects, dict) else {}
    metadata = versions.get(file.version, {}) if isinstance(versions, dict) else {}
    yanked = metadata.get("yanked") if isinstance(metadata, dict) else None
    if isinstance(yanked, str):
        return one_line(yanked) or True
    return yanked is not None and yanked is not False
