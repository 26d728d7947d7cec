"""Project names: how they are written, which of them a pattern covers, and which a filename can mean."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from ..errors import NotFound

MAX_NAME = 200
"""Characters of a project name that is answered at all."""

MAX_FILENAME = 255
"""Bytes of a filename, `.metadata` included: what file systems hold."""

SDISTS = (
    ".tar.gz",
    ".zip",
    ".tar.bz2",
    ".tgz",
    ".tar.xz",
    ".tar.z",
    ".tar",
    ".tbz",
    ".tar.lz",
    ".tar.lzma",
    ".tar.zst",
)
EXTENSIONS = (".whl", *SDISTS, ".egg", ".exe", ".msi", ".rpm", ".dmg", ".deb")
"""How distribution files end, in lower case: what pip and uv read, and what old projects still list."""

_NO_VERSION = (".exe", ".msi", ".rpm", ".dmg", ".deb")
"""Installers, which write the platform behind the version and no mark between."""

MAX_PARTS = 21
"""Between the hyphens of a filename."""

_SEPARATORS = re.compile(r"[-_.]+")
_VERSION_BEGINS = re.compile(r"\s*v?[0-9]", re.IGNORECASE)
_FILENAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!~ ()-]*\Z")


class NamePattern(str):
    """Which projects an operator means: "torch" is that one, "torch-*" is torch and torch-… (PEP 752, on normalised
    names), and "torch*" is every name that begins so.

    Whoever makes one has normalised it, and seen that nothing else holds a `*`.
    """

    __slots__ = ()

    def covers(self, name: NormalizedName) -> bool:
        """Whether *name* is among them."""
        if not self.endswith("*"):
            return name == str(self)
        return name.startswith(self[:-1]) or (self.endswith("-*") and name == self[:-2])


def parse_name(text: str) -> NormalizedName:
    """The project that *text* names, in any spelling (PEP 503); raise NotFound where none can have that name."""
    try:
        # canonicalize_name() lowers before it looks: the KELVIN SIGN would become a "k".
        if text.isascii() and len(text) <= MAX_NAME:
            return canonicalize_name(text, validate=True)
    except InvalidName:
        pass
    raise NotFound("That is not the name of a project.")


def is_distribution(filename: str) -> bool:
    """Whether *filename* is one that a Simple page may list and a disk may hold."""
    return (
        len(filename) <= MAX_FILENAME - len(".metadata")
        and _FILENAME.match(filename) is not None
        and filename.lower().endswith(EXTENSIONS)
    )


def projects_of(filename: str) -> tuple[NormalizedName, ...]:
    """Every project that *filename* can belong to, the shortest name first, none where it is no distribution.

    A wheel names one: its first part holds no hyphen (PEP 427).  `acme_sdk-1.0-1.tar.gz` may be version 1.0.post1
    of acme-sdk or version 1 of acme-sdk-1-0; legacy archives are that ambiguous, and precedence must hold for both.
    """
    stem = _stem(filename)
    if stem is None:
        return ()
    parts = stem.split("-")
    if len(parts) > MAX_PARTS:
        return ()  # on no page, and each reading would be a question to the index
    if filename[-4:].lower() == ".whl":
        return _names([parts[0]]) if len(parts) > 1 else ()
    splits = [("-".join(parts[:i]), "-".join(parts[i:])) for i in range(1, len(parts))]
    if any(_is_version(version) for _, version in splits):
        # Not those alone: `1-0-1` is no version, and yet who asks for acme-sdk-1-0-1.zip may mean acme-sdk.
        splits = [split for split in splits if _VERSION_BEGINS.match(split[1])]
    return _names([name for name, _ in splits])


def belongs(filename: str, name: NormalizedName) -> bool:
    """Whether *filename* can be one of *name*'s: what projects_of says, and quicker."""
    stem = _stem(filename)
    first, hyphen, rest = (stem or "").partition("-")
    if "-" in rest and filename[-4:].lower() != ".whl":
        return name in projects_of(filename)  # more than one split: foo-bar-2.tar.gz is not foo's
    first = first.rstrip("-_.")
    return hyphen == "-" and len(first) <= MAX_NAME and first.isascii() and _SEPARATORS.sub("-", first).lower() == name


def versions_of(name: NormalizedName, filenames: Iterable[str], listed: Iterable[str] = ()) -> tuple[str, ...]:
    """The versions of *name* that *filenames* tell, sorted, as PEP 440 spells them where it can (rule 37).

    Those *listed* are among them as they are written, and need no parsing.
    """
    prefix = re.compile("[-_.]+".join(name.split("-")) + "-", re.IGNORECASE)
    known = frozenset(listed)
    told = {_version(filename, prefix) for filename in filenames} - known
    return tuple(sorted(known | {_normal(version) for version in told if version}))


def _version(filename: str, prefix: re.Pattern[str]) -> str | None:
    """The version that *filename* tells, where *prefix* is the project's name and a hyphen; None where it is lost."""
    named, lower = prefix.match(filename), filename.lower()
    if named is None or lower.endswith(_NO_VERSION):
        return None
    rest = filename[named.end() :]
    if not lower.endswith(SDISTS):
        return rest.partition("-")[0].removesuffix(".egg")
    return next(rest[: -len(ending)] for ending in SDISTS if lower.endswith(ending))


def _normal(version: str) -> str:
    try:
        return str(Version(version))
    except InvalidVersion:
        return version


def _stem(filename: str) -> str | None:
    lower = filename.lower()
    ending = next((ending for ending in EXTENSIONS if lower.endswith(ending)), None)
    return None if ending is None else filename[: -len(ending)]


def _is_version(text: str) -> bool:
    if _VERSION_BEGINS.match(text) is None:  # a lying page may have 100 splits a name: most need no exception
        return False
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _names(texts: list[str]) -> tuple[NormalizedName, ...]:
    names: dict[NormalizedName, None] = {}
    for text in texts:
        try:
            # No name ends so, but `acme-sdk--1.zip` must not be taken for acme-sdk-1's alone.
            names[parse_name(text.rstrip("-_."))] = None
        except NotFound:
            continue
    return tuple(names)
