"""Reads a project page in JSON (PEP 691); knows bytes and shapes, no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec
from packaging.utils import NormalizedName

from ..errors import MirrorFailed, NotFound
from .links import last_component
from .listing import Entry, Listing, check_api_version
from .model import Project
from .names import parse_name

T = TypeVar("T")

SERIAL_DIGITS = 18


class _Page(msgspec.Struct, Generic[T], rename="kebab"):
    """The top level.  Only what decides whether this is a page at all has a type."""

    files: list[T]
    meta: dict[str, Any] = {}
    name: Any = None
    versions: Any = None
    project_status: Any = None


class _Meta(msgspec.Struct):
    meta: dict[str, Any] = {}


def serial_in_json(body: bytes) -> int | None:
    """The `_last-serial` of bandersnatch and shadowmire, a number or digits; None where *body* has none.

    All else is skipped and not read: some 5 ms for a page of 10,000 files.
    """
    try:
        said = msgspec.json.decode(body, type=_Meta).meta.get("_last-serial")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) <= SERIAL_DIGITS:
        return int(said)
    return said if type(said) is int and 0 <= said < 10**SERIAL_DIGITS else None


def read_json(body: bytes, listing: Listing, name: NormalizedName) -> Project:
    """The page in *body*, its files gathered in *listing*; raise MirrorFailed where it is no page of *name*."""
    page = _decoded(body, name)
    version = page.meta.get("api-version", "1.0")
    check_api_version(version if isinstance(version, str) else "")
    if not _names(page, name):
        raise MirrorFailed(f"The mirror sent the page of another project for {name}.")
    for entry in _entries(page.files):
        # pip goes by the end of the URL, uv by the filename: where they differ, one of them would be deceived.
        if last_component(entry.url) == entry.filename:
            listing.add(entry)
    status = _status(page)
    return listing.project(versions=page.versions, status=status.get("status"), reason=status.get("reason"))


def _decoded(body: bytes, name: NormalizedName) -> _Page[Any]:
    try:
        try:
            return msgspec.json.decode(body, type=_Page[Entry])
        except msgspec.ValidationError:
            return msgspec.json.decode(body, type=_Page[Any])  # three times as slow, and no entry spoils it
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MirrorFailed(f"What the mirror sent for {name} is not a project page in JSON.") from error


def _entries(files: Iterable[Any]) -> Iterator[Entry]:
    """The entries that have a filename and a URL; any other is left out, and the rest of the page holds."""
    for file in files:
        if isinstance(file, Entry):
            yield file
            continue
        try:
            yield msgspec.convert(file, Entry)
        except msgspec.ValidationError:
            continue


def _names(page: _Page[Any], name: NormalizedName) -> bool:
    """Whether the page is that of *name*, as far as it tells: mirrors give the raw name or the normalised one."""
    if not isinstance(page.name, str):
        return True
    try:
        return parse_name(page.name) == name
    except NotFound:
        return False


def _status(page: _Page[Any]) -> dict[str, Any]:
    """PEP 792's object: at the top level, or under `meta` where the specification's own example has it (rule 29)."""
    for said in (page.project_status, page.meta.get("project-status")):
        if isinstance(said, dict):
            return said
    return {}
