"""Reads HTML for what an index says in it: anchors, metas, the title, `<base>`; in linear time, piece by piece.

Not html.parser, lxml or lexbor: each of them has inputs of some kilobytes that take it minutes, and mirrors are not
trusted.  Every quantifier here is possessive, and no character is looked at more than a few times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

MAX_TEXT = 1024
"""Characters of an anchor's text that are kept: more than any filename has."""

_TAG = re.compile(
    r"""
    <(?P<end>/?+)(?P<name>[a-zA-Z][^\s/>]*+)
    (?P<attributes>(?:
        [^>"'=]++
      | =\s*+"[^"]*+"           # a quoted value may hold ">": WHATWG HTML, section 13.2.5.37
      | =\s*+'[^']*+'
      | =(?!\s*+["'])
      | ["']
    )*+)>
    """,
    re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""
    ([^\s"'>/=][^\s>/=]*+)
    (?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>]++)))?+
    """,
    re.VERBOSE,
)
_RAW_ENDS = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in (
        *("script", "style", "textarea", "title", "xmp"),
        *("noscript", "template", "iframe", "noembed", "noframes"),
    )
}
"""Elements whose content is text and no markup."""

_LOOKAHEAD = len("<!--")
"""Characters that tell what a `<` begins."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One `<a>`: attribute names in lower case, values and text with their entities resolved."""

    attributes: dict[str, str]
    text: str


class Markup:
    """An HTML page as it arrives.  The fields grow with it; `anchors` may be emptied by whoever has read them."""

    def __init__(self) -> None:
        self.anchors: list[Anchor] = []
        self.metas: dict[str, str] = {}
        """By name, in lower case; the first of each counts."""
        self.base: str | None = None
        self.title = ""
        self.pending = ""
        """What has begun and not ended: a tag, a comment, a script.  Its size is the caller's to bound."""
        self._opened = self._closed = False
        self._anchor: dict[str, str] | None = None
        self._said: list[str] = []
        self._room = 0

    def feed(self, text: str) -> None:
        """Read *text* as far as it can be."""
        self.pending = self._read(self.pending + text)

    def close(self) -> bool:
        """Whether the page was whole: it does not break off inside something, and where `<html>` opens, it closes.

        HTML lets an author omit `</html>`; no index does, and a page cut off between two links looks just the same.
        """
        self.feed(" " * _LOOKAHEAD)  # so that a short tag at the very end is not waited upon
        whole = not self.pending and (self._closed if self._opened else self._anchor is None)
        self._end_anchor()
        return whole

    def _read(self, text: str) -> str:
        """Read *text*; what is left over."""
        position = 0
        while True:
            start = text.find("<", position)
            if self._anchor is not None:
                self._say(text[position : start if start >= 0 else len(text)])
            if start < 0:
                return ""
            if len(text) - start < _LOOKAHEAD:
                return text[start:]
            end = self._construct(text, start)
            if end is None:
                return text[start:]
            position = end

    def _construct(self, text: str, start: int) -> int | None:
        """Read what begins with the `<` at *start*; where it ends, or None where that has not come yet."""
        following = text[start + 1]
        if following.isalpha() and following.isascii():
            return self._tag(text, start)
        if following == "/" and text[start + 2].isalpha():
            return self._tag(text, start)
        if text.startswith("<!--", start):
            return _after(text, "-->", start + 2)
        if following in "!?/":
            return _after(text, ">", start + 2)
        if self._anchor is not None:
            self._say("<")
        return start + 1

    def _tag(self, text: str, start: int) -> int | None:
        tag = _TAG.match(text, start)
        if tag is None:
            return None
        name = tag["name"].lower()
        if name == "a":
            self._end_anchor()  # by its own end tag, or because anchors do not nest
            if not tag["end"]:
                self._anchor, self._room = _attributes(tag["attributes"]), MAX_TEXT
        elif name in ("html", "body"):
            self._opened = True
            self._closed = bool(tag["end"])
            self._end_anchor()
        elif not tag["end"]:
            return self._other(name, tag["attributes"], text, tag.end())
        return tag.end()

    def _other(self, name: str, attributes: str, text: str, end: int) -> int | None:
        """Read the start tag *name*, which is followed by `text[end:]`."""
        if name == "base" and self.base is None:
            self.base = _attributes(attributes).get("href")
        elif name == "meta":
            said = _attributes(attributes)
            self.metas.setdefault(said.get("name", "").lower(), said.get("content", ""))
        elif name in _RAW_ENDS:
            raw_end = _RAW_ENDS[name].search(text, end)
            if raw_end is None:
                return None
            if name == "title" and not self.title:
                self.title = _plain(text[end : raw_end.start()]).strip()
            return raw_end.start()
        return end

    def _say(self, text: str) -> None:
        if self._room > 0:
            self._said.append(text[: self._room])
            self._room -= len(text)

    def _end_anchor(self) -> None:
        if self._anchor is not None:
            self.anchors.append(Anchor(self._anchor, _plain("".join(self._said)).strip()))
            self._anchor = None
            self._said = []


def _attributes(text: str) -> dict[str, str]:
    """The attributes in a start tag; of two with one name the first counts (WHATWG HTML, section 13.2.5.33)."""
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        found.setdefault(name.lower(), _plain(double or single or bare))
    return found


def _plain(text: str) -> str:
    """*text* with its character references resolved."""
    if "&" not in text:
        return text
    try:
        return unescape(text)
    except ValueError:  # a number of more than 4300 digits
        return text


def _after(text: str, end: str, start: int) -> int | None:
    found = text.find(end, start)
    return None if found < 0 else found + len(end)
