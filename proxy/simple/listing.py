"""From what a page says of its files to a Project: each field is checked, and a bad one spoils no other.

Both readers end here.  It knows the PEPs' fields, and neither JSON nor HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from packaging.utils import NormalizedName

from ..errors import MirrorFailed
from .links import Links, is_web_address
from .model import File, Project, place
from .names import belongs, is_distribution, projects_of, versions_of

MAX_REASON = 512
"""Characters of a reason for yanking or archiving that are handed on."""

QUARANTINED = "quarantined"

_HASHES = {"md5": 32, "sha256": 64, "sha384": 96, "sha512": 128, "blake2b": 64}
"""Hash names that uv knows (it refuses a whole page for another one, rule 23) to hex digits, in the order written."""

_HEX = re.compile(r"[0-9a-f]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_YEARS = range(1970, 9999)
"""What every client's clock can hold: uv's ends within the year 9999."""

_MAX_SIZE = 2**63
_MAX_HYPHENS = 20
"""In a filename that can be split at each: a lying page of 100,000 such names would cost us minutes and gigabytes."""


class Entry(msgspec.Struct, rename="kebab", kw_only=True, gc=False):
    """One file as an upstream lists it (PEPs 592, 658, 691, 700, 714, 740), not yet checked."""

    filename: str
    url: str
    """Relative or absolute."""
    hashes: Any = None
    requires_python: Any = None
    size: Any = None
    upload_time: Any = None
    yanked: Any = None
    core_metadata: Any = None
    dist_info_metadata: Any = None
    data_core_metadata: Any = None
    data_dist_info_metadata: Any = None
    provenance: Any = None

    def metadata(self) -> Any:
        """What is said of the core metadata, under whichever of its names (PEP 714, rule 36)."""
        names = (self.core_metadata, self.dist_info_metadata, self.data_core_metadata, self.data_dist_info_metadata)
        return next((said for said in names if said is not None), None)


class Listing:
    """The files of one page, as its reader comes upon them."""

    def __init__(self, *, name: NormalizedName, url: str, origin: str, base: str, flat: bool = False) -> None:
        """*flat*: files of any project are taken, whose *name* then stands for none."""
        self._name = name
        self._flat = flat
        self._links = Links(url)
        self._origin = origin
        self._base = base
        self._files: dict[str, File] = {}

    def __len__(self) -> int:
        return len(self._files)

    def add(self, entry: Entry) -> None:
        """Take *entry*, unless it is no distribution of this project, not to be fetched, or listed before."""
        filename = entry.filename
        if filename in self._files or not is_distribution(filename):
            return
        rivals = () if self._flat else rivals_of(filename, self._name)
        url = None if rivals is None else self._links.absolute(entry.url)
        if rivals is None or url is None:
            return
        hashes = _hashes(entry.hashes)
        self._files[filename] = File(
            filename=filename,
            path=place(url, sha256=hashes.get("sha256"), origin=self._origin, base=self._base),
            url=url,
            origin=self._origin,
            hashes=hashes,
            requires_python=_requires_python(entry.requires_python),
            size=_size(entry.size),
            upload_time=_time(entry.upload_time),
            yanked=_yanked(entry.yanked),
            core_metadata=_metadata(entry.metadata()),
            provenance=_address(entry.provenance),
            rivals=rivals,
        )

    def project(self, *, versions: object = None, status: object = None, reason: object = None) -> Project:
        """The page as a value.  *versions* are counted from the filenames where none are listed (HTML, API 1.0)."""
        status = one_line(status).lower() if isinstance(status, str) else ""
        if status == QUARANTINED:
            self._files.clear()  # PEP 792: "MUST NOT offer" (rule 74)
        return Project(
            name=self._name,
            files={filename: self._files[filename] for filename in sorted(self._files)},
            versions=versions_of(self._name, self._files, _versions(versions)),
            status=None if status in ("", "active") else status,
            status_reason=one_line(reason) or None if isinstance(reason, str) else None,
            rivals=frozenset(rival for file in self._files.values() for rival in file.rivals),
        )


def rivals_of(filename: str, name: NormalizedName) -> tuple[NormalizedName, ...] | None:
    """Other projects that *filename* can belong to; None where it cannot be one of *name*'s (rule 87)."""
    hyphens = filename.count("-")
    # projects_of() parses versions: only where a hyphen more than one leaves a choice is it worth that.
    if hyphens == 1 or filename[-4:].lower() == ".whl":
        return () if belongs(filename, name) else None
    if hyphens > _MAX_HYPHENS:
        return None
    candidates = projects_of(filename)
    return tuple(rival for rival in candidates if rival != name) if name in candidates else None


def check_api_version(version: str) -> None:
    """Raise MirrorFailed for a major version that this reader was not written for (PEP 629, rule 41)."""
    if version.partition(".")[0].strip() != "1":
        raise MirrorFailed("The mirror speaks a version of the Simple API that is not known here.")


def one_line(text: str) -> str:
    """*text* without control characters or outer space, cut to the length of a reason."""
    return _CONTROL.sub(" ", text[: 2 * MAX_REASON]).strip()[:MAX_REASON].rstrip()


def _hashes(said: object) -> dict[str, str]:
    """The well-formed digests of known kinds; sha1 and sha224 are no proof of anything and break uv."""
    found: dict[str, str] = {}
    if not isinstance(said, dict):
        return found
    for kind, digits in _HASHES.items():
        if kind in said and isinstance(value := said[kind], str) and len(value) == digits:
            value = value.lower()
            if _HEX.match(value):
                found[kind] = value
    return found


def _requires_python(said: object) -> str | None:
    """Verbatim (rule 35), as an invalid one is for the client to judge; white space is free in a specifier."""
    return _CONTROL.sub(" ", said) if isinstance(said, str) and said.strip() else None


def _size(said: object) -> int | None:
    return said if type(said) is int and 0 <= said < _MAX_SIZE else None


def _time(said: object) -> datetime | None:
    """RFC 3339 with an offset; without one nobody knows when, and uv refuses the page (rule 32)."""
    if not isinstance(said, str):
        return None
    try:
        time = datetime.fromisoformat(said)
        if time.tzinfo is None:
            return None
        time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if time.year in _YEARS else None


def _yanked(said: object) -> bool | str:
    """PEP 592 by rule 31: an empty string is "no" in JSON; a reason of nothing but blanks is a yank without one."""
    if isinstance(said, str) and said:
        return one_line(said) or True
    return bool(said)


def _metadata(said: object) -> bool | Mapping[str, str]:
    """PEP 658: True or hashes, in JSON; `true` or `sha256=<hex>` in HTML.  All else promises nothing."""
    if isinstance(said, str):
        kind, _, digest = said.partition("=")
        said = {kind: digest} if digest else said == "true"
    if isinstance(said, dict):
        hashes = _hashes(said)
        return hashes if "sha256" in hashes else False
    return said is True


def _address(said: object) -> str | None:
    return said if isinstance(said, str) and is_web_address(said) else None


def _versions(said: object) -> tuple[str, ...]:
    """Sorted and unique (rule 37); they may be more than the files have, and need be no PEP 440."""
    known = said if isinstance(said, list) else []
    return tuple(sorted({version for version in known if isinstance(version, str) and version.isprintable()} - {""}))
