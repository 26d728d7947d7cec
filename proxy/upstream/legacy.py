"""Reads a project's legacy JSON document, which mirrors keep for every project: sizes, times and yanks of its files.

It is no page: nothing in it is served, and a file that stands only here does not exist.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from typing import Any

import msgspec
from packaging.utils import NormalizedName

from ..errors import MirrorFailed, NotFound
from ..simple.listing import Entry, Listing
from ..simple.model import Project
from ..simple.names import parse_name
from ..storage import Fact

NOWHERE = "https://legacy.invalid/"
"""What stands for the files' addresses, which are of no interest: they are found by their sha256."""


class _File(msgspec.Struct, kw_only=True, gc=False):
    """A file, as the official index's JSON API has it since 2018."""

    filename: str
    digests: Any = None
    size: Any = None
    upload_time_iso_8601: Any = None
    yanked_reason: Any = None


class _Document(msgspec.Struct, kw_only=True):
    info: dict[str, Any]
    releases: dict[str, list[Any]] = {}
    urls: list[Any] = []
    """The files of the latest version; all that newer documents have."""


def read_legacy(body: bytes, name: NormalizedName) -> dict[str, Fact]:
    """What the document *body* says of the files of *name*, by sha256; raise MirrorFailed where it is none of it.

    Long ones take a while: run it in a thread.
    """
    try:
        document = msgspec.json.decode(body, type=_Document)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MirrorFailed(f"What the mirror sent for {name} is no legacy JSON document.") from error
    if not _names(document.info.get("name"), name):
        raise MirrorFailed(f"The mirror sent the legacy JSON document of another project for {name}.")
    listing = Listing(name=name, url=NOWHERE, origin="", base=NOWHERE)
    for said in chain(document.urls, *document.releases.values()):
        with suppress(msgspec.ValidationError):  # one that is no file spoils no other
            file = msgspec.convert(said, _File)
            listing.add(
                Entry(
                    filename=file.filename,
                    url=NOWHERE + "file",
                    hashes=file.digests,
                    size=file.size,
                    upload_time=file.upload_time_iso_8601,
                    yanked=file.yanked_reason,
                )
            )
    return facts_of(listing.project())


def facts_of(project: Project) -> dict[str, Fact]:
    """What *project* tells of its files beside their hashes, by sha256."""
    return {
        file.sha256: Fact(
            size=file.size,
            upload_time=file.upload_time,
            reason=file.yanked if isinstance(file.yanked, str) else None,
        )
        for file in project.files.values()
        if file.sha256 is not None
    }


def _names(said: object, name: NormalizedName) -> bool:
    with suppress(NotFound):
        return isinstance(said, str) and parse_name(said) == name
    return False
