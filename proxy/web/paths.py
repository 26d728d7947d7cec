"""What a request's target asks for, by its path alone: pure.

Our own table and not aiohttp's router, which answers `//simple/` with 404 and hands out `%2F` as a slash: segments
are split before they are decoded, so that no encoding makes two of one, and empty ones are dropped (rule 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote, unquote_to_bytes

from packaging.utils import NormalizedName
from packaging.version import Version

from ..errors import NotFound
from ..simple.model import METADATA
from ..simple.names import is_distribution, parse_name

MAX_TARGET = 4096
"""Characters of a request target that is looked at."""


@dataclass(frozen=True, slots=True)
class Front:
    """The page for people."""


@dataclass(frozen=True, slots=True)
class Static:
    """What the pages for people are made with."""

    filename: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether this process answers."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the mirrors are like."""


@dataclass(frozen=True, slots=True)
class Root:
    """The list of all projects; *at* as in Page."""

    at: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """Where twine and the like post to; the front page's path takes uploads too."""


@dataclass(frozen=True, slots=True)
class Page:
    """A project's page; *at* is its one true path, relative to the path that was asked for, if that is another."""

    name: NormalizedName
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What hatch looks at before it publishes: which files of a project were uploaded here (rule U10)."""

    name: NormalizedName


@dataclass(frozen=True, slots=True)
class Held:
    """A file, or the `.metadata` beside one."""

    path: str
    filename: str


@dataclass(frozen=True, slots=True)
class Flat:
    """A private file by its name alone, as our forerunner linked it (decision 34)."""

    filename: str


@dataclass(frozen=True, slots=True)
class Document:
    """A project's legacy JSON document, or that of one *version* of it, as text; *at* as in Page (rules 89 and 90)."""

    name: NormalizedName
    version: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who a file comes from (PEP 740)."""

    name: NormalizedName
    version: str
    filename: str


@dataclass(frozen=True, slots=True)
class Search:
    """Where `pip search` posts to (rule 91)."""


@dataclass(frozen=True, slots=True)
class Api:
    """What changes private projects from afar."""

    action: str


@dataclass(frozen=True, slots=True)
class Robots:
    """robots.txt."""


Target: TypeAlias = (
    Front
    | Static
    | Health
    | Status
    | Root
    | Page
    | Uploaded
    | Held
    | Flat
    | Upload
    | Document
    | Provenance
    | Search
    | Api
    | Robots
)

NO_PROJECT = frozenset({"simple", "packages", "legacy", "pypi", "-"})
"""What the first segment of `/<name>/json` cannot be (decision 18)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's target, taken apart."""

    index: str
    """Which index was asked for alone, by its name; empty where all were."""
    target: Target
    query: str


def parse_target(target: str, indexes: frozenset[str]) -> Asked:
    """What *target* (as it stands in the request line) asks for; raise NotFound for all that is not served.

    Each of *indexes* is also reached alone, under its own name: `/pypi/simple/` (rule 10, decision 26).
    """
    path, _, query = target.partition("?")
    if not path.startswith("/") or len(target) > MAX_TARGET:
        raise NotFound("There is nothing at this address.")
    segments = [_decoded(segment) for segment in path.split("/") if segment]
    index = ""
    if len(segments) > 1 and segments[0] in indexes and segments[1] in {"simple", "packages"}:
        index, *segments = segments
    return Asked(index, _target(segments, slash=path.endswith("/")), query)


def _target(segments: list[str], *, slash: bool) -> Target:
    match segments:
        case []:
            return Front()
        case ["simple"]:
            return Root() if slash else Root(at="simple/")
        case ["simple", name]:
            return _page(name, slash=slash)
        case ["legacy"]:
            return Upload()
        case ["+simple", name] | ["legacy", "+simple", name]:
            return Uploaded(parse_name(name))
        case ["packages", first, second, rest, filename] | ["simple", "packages", first, second, rest, filename]:
            # The second is what `../../packages/` leads to from `/simple//name/`, as RFC 3986 counts (uv does).
            return Held(_path(first, second, rest), _filename(filename))
        case ["packages", filename]:
            return Flat(_filename(filename))
        case ["robots.txt"]:
            return Robots()
        case ["-", *ours]:
            return _ours(ours)
    return _other_faces(segments, slash=slash)


def _ours(segments: list[str]) -> Target:
    """What only this server has, behind `/-/`."""
    match segments:
        case ["static", filename]:
            return Static(filename)
        case ["health"]:
            return Health()
        case ["status"]:
            return Status()
        case ["api", action]:
            return Api(action)
    raise NotFound("There is nothing at this address.")


def _other_faces(segments: list[str], *, slash: bool) -> Target:
    """The index as older tools and PEP 740 ask for it."""
    match segments:
        case ["pypi"] | ["RPC2"]:
            return Search()
        case ["pypi", name, "json"] | ["simple", "pypi", name, "json"]:
            # The second is what pip-tools makes of an index URL without `/simple/` at its end.
            return _document(name, None, slash=slash)
        case ["pypi", name, version, "json"] | ["simple", "pypi", name, version, "json"]:
            return _document(name, version, slash=slash)
        case [name, "json"] if name not in NO_PROJECT:
            return _document(name, None, slash=slash)
        case ["integrity", name, version, filename, "provenance"]:
            return Provenance(parse_name(name), version, _filename(filename))
    raise NotFound("There is nothing at this address.")


def _document(text: str, version: str | None, *, slash: bool) -> Document:
    name = parse_name(text)
    if text == name:
        return Document(name, version)
    last = f"{name}/json" if version is None else f"{name}/{quote(_version(version))}/json"
    return Document(name, version, at="../" * (last.count("/") + slash) + last)


def _page(text: str, *, slash: bool) -> Page:
    name = parse_name(text)
    if text == name and slash:
        return Page(name)
    # Relative to the last slash of what was asked: made by us, never an echo, and right behind any prefix.
    return Page(name, at=f"../{name}/" if slash else f"{name}/")


def _version(text: str) -> str:
    try:
        return str(Version(text))
    except ValueError:  # of InvalidVersion, and of more digits than an int may have
        raise NotFound("That is not a version (PEP 440).") from None


def _path(first: str, second: str, rest: str) -> str:
    hexadecimal = set("0123456789abcdef")
    if [len(part) for part in (first, second, rest)] != [2, 2, 60] or not set(first + second + rest) <= hexadecimal:
        raise NotFound("There is no file at this address.")
    return f"{first}/{second}/{rest}"


def _filename(text: str) -> str:
    if not is_distribution(text.removesuffix(METADATA)):
        raise NotFound("That is not the name of a distribution file.")
    return text


def _decoded(segment: str) -> str:
    """Decoded once; `+` is a plus and never a space (rule 6)."""
    try:
        text = unquote_to_bytes(segment).decode("ascii")
    except UnicodeDecodeError:
        raise NotFound("There is nothing at this address.") from None
    if "/" in text or "\\" in text or not text.isprintable():
        raise NotFound("There is nothing at this address.")
    return text
