"""Conditional and Range requests (RFC 9110 §13 and §14), on plain strings: no aiohttp, no files, no clock.

Whatever a client sends is read in linear time.  What is malformed counts as not sent, but for `If-Match`, where it
counts as no match: a precondition that cannot be read does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum
from typing import Final, Literal


class _Special(Enum):
    ANY = "*"
    UNSATISFIABLE = "bytes */n"


ANY: Final = _Special.ANY
"""`*` in place of a list of entity tags: whatever there is."""

UNSATISFIABLE: Final = _Special.UNSATISFIABLE
"""A range that is well-formed and wholly outside the file: 416."""

FIELDS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range")
"""The header fields that `judge` reads."""

# Possessive quantifiers: where a blank can belong to two places, a backtracking reader is quadratic.
_TAG = re.compile(r'[ \t]*+(?:((?:W/)?"[^\x00-\x20"\x7f]*+")[ \t]*+)?+(?:,|\Z)')
_SPEC = re.compile(r"([0-9]*+)-([0-9]*+)")

_LONGEST_DATE = 40
"""Characters; the longest form of an HTTP date has 33 (RFC 9110 §5.6.7)."""

_DIGITS = 18
"""A number with more digits lies beyond every file; int() of very many would raise."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes *start* to *start* + *count* - 1; *count* is at least 1."""

    start: int
    count: int

    def of(self, size: int) -> str:
        """The `Content-Range` of these bytes of *size*."""
        return f"bytes {self.start}-{self.start + self.count - 1}/{size}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a GET or HEAD is answered with."""

    status: Literal[200, 206, 304, 412, 416]
    range: Range | None = None
    """Set where the status is 206."""


def judge(method: str, fields: Mapping[str, str], *, etag: str | None, modified: str | None, size: int) -> Verdict:
    """The answer to a request with *fields*, in the order of RFC 9110 §13.2.2.

    *fields* holds those of FIELDS that were sent, several lines of one joined with commas.  *etag* is the entity tag
    as it is sent, quotes and all; *modified* the text of `Last-Modified`; *size* the bytes of the whole, of which not
    all need to be here yet.
    """
    if not _holds(fields, etag, modified):
        return Verdict(412)
    if _is_fresh(fields, etag, modified):
        return Verdict(304)
    if method != "GET" or "Range" not in fields:
        return Verdict(200)
    if "If-Range" in fields and not if_range(fields["If-Range"], etag, modified):
        return Verdict(200)
    found = byte_range(fields["Range"], size)
    if found is UNSATISFIABLE:
        return Verdict(416)
    return Verdict(200) if found is None else Verdict(206, found)


def entity_tags(header: str) -> tuple[str, ...] | Literal[_Special.ANY]:
    """The tags that a list names, each as it was sent (`W/` and quotes included); none where it is malformed."""
    if header.strip(" \t") == "*":
        return ANY
    tags: list[str] = []
    position = 0
    while position < len(header):
        found = _TAG.match(header, position)
        if found is None:
            return ()
        if found[1] is not None:
            tags.append(found[1])
        position = found.end()
    return tuple(tags)


def if_none_match(header: str, etag: str | None) -> bool:
    """Whether the client has what *etag* names (weak comparison): 304 then.  None is a file without a tag."""
    tags = entity_tags(header)
    if tags is ANY:
        return True
    return etag is not None and etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in tags}


def if_match(header: str, etag: str | None) -> bool:
    """Whether the precondition holds (strong comparison): 412 where not."""
    tags = entity_tags(header)
    if tags is ANY:
        return True
    return etag is not None and not etag.startswith("W/") and etag in tags


def if_range(header: str, etag: str | None, last_modified: str | None) -> bool:
    """Whether a Range may be answered with 206: only where the rest that the client has is of the very same bytes.

    A tag must be strong and equal, a date equal to the letter to what we send (RFC 9110 §13.1.5).
    """
    validator = header.strip(" \t")
    if validator.startswith(('"', "W/")):
        return validator == etag and not validator.startswith("W/")
    return last_modified is not None and validator == last_modified


def byte_range(header: str, size: int) -> Range | Literal[_Special.UNSATISFIABLE] | None:
    """The one range of *size* bytes that *header* asks for; None where it is to be ignored (200).

    Several ranges are ignored, as RFC 9110 §14.2 allows: nobody who installs packages sends them, and answering them
    is how servers were knocked over.
    """
    unit, equals, specs = header.partition("=")
    given = [spec for spec in (text.strip(" \t") for text in specs.split(",")) if spec]
    if not equals or unit.strip(" \t").lower() != "bytes" or len(given) != 1:
        return None
    found = _SPEC.fullmatch(given[0])
    if found is None:
        return None
    first, last = found.groups()
    if first:
        return _from_first(first, last, size)
    return _suffix(last, size) if last else None


def http_date(seconds: float) -> str:
    """*seconds* since the epoch as an HTTP date, in whole seconds."""
    return formatdate(int(seconds), usegmt=True)


def _holds(fields: Mapping[str, str], etag: str | None, modified: str | None) -> bool:
    """Whether the preconditions hold; a date counts only where no tag was given."""
    if "If-Match" in fields:
        return if_match(fields["If-Match"], etag)
    if "If-Unmodified-Since" not in fields:
        return True
    return _is_unchanged(fields["If-Unmodified-Since"], modified) is not False


def _is_fresh(fields: Mapping[str, str], etag: str | None, modified: str | None) -> bool:
    """Whether the client's copy still holds; a date counts only where no tag was given."""
    if "If-None-Match" in fields:
        return if_none_match(fields["If-None-Match"], etag)
    return "If-Modified-Since" in fields and _is_unchanged(fields["If-Modified-Since"], modified) is True


def _is_unchanged(since: str, modified: str | None) -> bool | None:
    """Whether nothing changed after the date *since*; None where that cannot be told."""
    then, last = _parsed_date(since), _parsed_date(modified or "")
    return None if then is None or last is None else last <= then


def _parsed_date(text: str) -> float | None:
    if len(text) > _LONGEST_DATE:
        return None
    try:
        parsed = parsedate_to_datetime(text)
        # Without a zone it is UTC: HTTP knows no other, and timestamp() would take the machine's.
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _from_first(first: str, last: str, size: int) -> Range | Literal[_Special.UNSATISFIABLE] | None:
    start = _number(first)
    if last and _order(last) < _order(first):
        return None
    if start >= size:
        return UNSATISFIABLE
    stop = min(size, _number(last) + 1) if last else size
    return Range(start, stop - start)


def _suffix(length: str, size: int) -> Range | Literal[_Special.UNSATISFIABLE] | None:
    count = min(_number(length), size)
    if count:
        return Range(size - count, count)
    # The last bytes of an empty file are all of it, which no Content-Range can say: 200 and nothing.
    return None if _number(length) else UNSATISFIABLE


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _DIGITS else 10**_DIGITS


def _order(digits: str) -> tuple[int, str]:
    """Sorts digit strings of any length as the numbers they are."""
    significant = digits.lstrip("0")
    return len(significant), significant
