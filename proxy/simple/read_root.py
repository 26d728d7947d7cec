"""Reads an upstream's list of all projects as it arrives: a million names in little memory; does no I/O."""

from __future__ import annotations

import codecs
import re
from typing import Any

import msgspec
from packaging.utils import NormalizedName

from ..errors import MirrorFailed, NotFound
from .links import last_component
from .listing import check_api_version
from .markup import Anchor, Markup
from .names import MAX_NAME, parse_name
from .read_html import VERSION_META

MAX_PENDING = 64 * 1024
"""Bytes that anything unfinished may have: they are read again with each piece, so they bound what a piece costs."""

_NORMAL = re.compile(r"[a-z0-9]++(?:-[a-z0-9]++)*+\Z")

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT = rb'\{(?:[^{}"]++|' + _STRING + rb")*+\}"
_ITEM = rb'\{(?:[^{}"]++|' + _STRING + rb"|" + _FLAT + rb")*+\}"
_ITEMS = re.compile(rb"(?:\s*+" + _ITEM + rb"\s*+,)*+", re.DOTALL)
_LAST_ITEM = re.compile(rb"(?:\s*+" + _ITEM + rb")?+\s*+\]", re.DOTALL)
_LIST_BEGINS = re.compile(rb'"projects"\s*+:\s*+\[')


class _Item(msgspec.Struct, gc=False):
    name: Any = None


class _Frame(msgspec.Struct):
    """A root listing less its items."""

    projects: list[Any]
    meta: dict[str, Any] = {}


class RootNames:
    """The names in a root listing, JSON or HTML whatever it is declared to be, fed piece by piece.

    What feed() returned holds only once close() has not raised.  Beside one piece, 64 KiB are held; a piece of 64 KiB
    takes some milliseconds.  Both raise MirrorFailed for what is no complete list of projects.
    """

    def __init__(self) -> None:
        self._head = b""
        self._reader: _JsonNames | _HtmlNames | None = None

    def feed(self, chunk: bytes) -> list[NormalizedName]:
        """The names that *chunk* completed, normalised; duplicates stay, names that are none are skipped."""
        if self._reader is None:
            self._head = (self._head + chunk).lstrip(b" \t\r\n")
            text = self._head.removeprefix(codecs.BOM_UTF8)
            if codecs.BOM_UTF8.startswith(text):  # nothing yet, or half of a mark
                return []
            if text[:1] not in (b"{", b"<"):
                raise _no_list()
            self._reader = _JsonNames() if text[:1] == b"{" else _HtmlNames()
            chunk, self._head = self._head, b""
        return self._reader.feed(chunk)

    def close(self) -> None:
        """The body has ended; raise MirrorFailed unless it was a whole list."""
        if self._reader is None:
            raise _no_list()
        self._reader.close()


class _JsonNames:
    """PEP 691's `projects`.  Items are cut out whole and decoded by the piece; what is around them, at the end."""

    def __init__(self) -> None:
        self._frame = b""
        """What has come of the listing less its items."""
        self._pending = b""
        self._part = "head"
        self._comma = False

    def feed(self, piece: bytes) -> list[NormalizedName]:
        self._pending += piece
        names = []
        if self._part == "head":
            self._read_head()
        if self._part == "items":
            names = self._read_items()
        if len(self._pending) > MAX_PENDING:
            raise _no_list()
        return names

    def close(self) -> None:
        if self._part != "tail":
            raise _no_list()
        frame = _decode(self._frame + self._pending, _Frame)
        version = frame.meta.get("api-version", "1.0")
        check_api_version(version if isinstance(version, str) else "")

    def _read_head(self) -> None:
        if begins := _LIST_BEGINS.search(self._pending):
            self._frame, self._pending = self._pending[: begins.end()] + b"]", self._pending[begins.end() :]
            self._part = "items"

    def _read_items(self) -> list[NormalizedName]:
        items = _ITEMS.match(self._pending)
        end = items.end() if items else 0
        last = _LAST_ITEM.match(self._pending, end)
        if last is None:
            text = self._pending[:end].rstrip(b",")
            self._comma = self._comma or bool(text)
        else:
            end = last.end()
            text = self._pending[: end - 1]
            if self._comma and not text.strip():
                raise _no_list()
            self._part = "tail"
        self._pending = self._pending[end:]
        found = (normal(item.name) for item in _decode(b"[" + text + b"]", list[_Item]) if isinstance(item.name, str))
        return [name for name in found if name is not None]


class _HtmlNames:
    """PEP 503's anchors: the link `name/` and the text say the same name, but for spelling (rule 27)."""

    def __init__(self) -> None:
        self._markup = Markup()
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._projects = self._strangers = 0

    def feed(self, piece: bytes) -> list[NormalizedName]:
        self._markup.feed(self._decoder.decode(piece))
        if len(self._markup.pending) > MAX_PENDING:
            raise _no_list()
        return self._taken()

    def close(self) -> None:
        whole = self._markup.close()
        # A page that does not say that it is an index (PyTorch's does not) is one if all its links are projects.
        says_so = VERSION_META in self._markup.metas
        if not whole or not (says_so or (self._projects and not self._strangers)):
            raise _no_list()
        check_api_version(self._markup.metas.get(VERSION_META, "1.0"))

    def _taken(self) -> list[NormalizedName]:
        found = [_name(anchor) for anchor in self._markup.anchors]
        self._markup.anchors.clear()
        names = [name for name in found if name is not None]
        self._projects += len(names)
        self._strangers += len(found) - len(names)
        return names


def normal(text: str) -> NormalizedName | None:
    """The project that *text* names, or None; as parse_name(), and quicker where it is normalised already."""
    if _NORMAL.match(text) and len(text) <= MAX_NAME:
        return NormalizedName(text)
    try:
        return parse_name(text)
    except NotFound:
        return None


def _name(anchor: Anchor) -> NormalizedName | None:
    linked = normal(last_component(anchor.attributes.get("href", "").rstrip("/")))
    return linked if linked is not None and linked == normal(anchor.text) else None


def _decode(text: bytes, shape: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _no_list() from error


def _no_list() -> MirrorFailed:
    return MirrorFailed("What the mirror sent is not a complete list of projects.")
