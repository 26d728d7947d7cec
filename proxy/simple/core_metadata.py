"""What a METADATA says of a project (core metadata 1.0 to 2.6), as far as it is shown and not installed by; pure.

Anybody may have written it: reading takes a bounded time, and what cannot be read says nothing.
"""

from __future__ import annotations

import re

from packaging.metadata import RawMetadata, parse_email
from packaging.utils import NormalizedName, canonicalize_name

MAX_HEAD = 256 * 1024
"""Bytes before the description."""

MAX_LINES = 10_000
"""In there; each costs time."""

MAX_FIELDS = 200
"""Different headers: the parser looks through all of them once for each."""

MAX_DESCRIPTION = 1024 * 1024
"""Bytes of a description that are shown."""

_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")
"""As the parser takes them: a lone CR ends a line too."""


def read_core(metadata: bytes, name: NormalizedName) -> RawMetadata:
    """What *metadata* says of the project *name*: nothing where it is another project's, too long, or none at all."""
    head, body = _halves(metadata)
    if len(head) > MAX_HEAD or not _is_quick(head):
        return {}
    try:
        raw, _ = parse_email(head)
    except (AssertionError, LookupError, ValueError):
        # A head that claims to be of a multipart message, or in an encoding that nobody knows.
        return {}
    if canonicalize_name(raw.get("name", "")) != name:
        return {}
    # Of the text behind the head the parser might make anything, as the head may give it any type.
    if body.strip():
        raw["description"] = body[:MAX_DESCRIPTION].decode("utf-8", "replace")
    return raw


def _halves(metadata: bytes) -> tuple[bytes, bytes]:
    end = _HEAD_ENDS.search(metadata)
    return (metadata, b"") if end is None else (metadata[: end.start()], metadata[end.end() :])


def _is_quick(head: bytes) -> bool:
    lines = _LINE_ENDS.split(head, MAX_LINES)
    names = {line.partition(b":")[0].lower() for line in lines if not line[:1].isspace()}
    return len(lines) <= MAX_LINES and len(names) <= MAX_FIELDS
