"""Reads what upstreams send: project pages here, lists of all projects in read_root; does no I/O."""

from __future__ import annotations

import re

from packaging.utils import NormalizedName

from ..errors import MirrorFailed
from .listing import Listing
from .model import HTML, TEXT, Project
from .read_html import base_of, parse, read_html
from .read_json import SERIAL_DIGITS, read_json, serial_in_json
from .read_root import RootNames

__all__ = ["RootNames", "read_project", "serial_of"]

_HEAD = 1024
"""Bytes within which a page must have begun."""

_TAIL = 256
"""Bytes at the end of an HTML page among which its serial stands."""

_SERIAL = re.compile(rb"<!--\s*SERIAL (\d{1,%d})\s*-->" % SERIAL_DIGITS)


def read_project(body: bytes, *, content_type: str, url: str, name: NormalizedName, origin: str, base: str) -> Project:
    """The page of *name* that the mirror of the index *origin* sent, found at *url* after redirects.

    *body* is decoded of any transfer or content coding, and its size is bounded by the caller; a page of 64 MiB takes
    seconds, so big ones are read in a thread.  *base* is the Simple URL as configured (see model.place).  Its files are
    those that can be *name*'s and can be fetched; of what is said of them, only what is well-formed.

    Raise MirrorFailed for anything that is no whole project page.
    """
    head = body[:_HEAD].lstrip(b" \t\r\n")
    if head[:1] == b"{":  # whatever was declared: mirrors serve JSON as text/html and as octet-stream
        return read_json(body, Listing(name=name, url=url, origin=origin, base=base), name)
    if not head.removeprefix(b"\xef\xbb\xbf").startswith(b"<") and not _declares_html(content_type):
        raise MirrorFailed(f"What the mirror sent for {name} is neither JSON nor HTML.")
    page = parse(body, name)
    return read_html(page, Listing(name=name, url=base_of(page, url), origin=origin, base=base), name)


def serial_of(body: bytes) -> int | None:
    """How far its mirror had come when it wrote the page *body*, project's or root; None where that is not said.

    The number of the official index's change that the page knows: of two pages of one project, from whatever mirrors,
    the higher is the later.  bandersnatch and shadowmire write it, in JSON's `meta` or as a last comment in HTML.
    """
    if body[:_HEAD].lstrip(b" \t\r\n")[:1] == b"{":
        return serial_in_json(body)
    said = _SERIAL.findall(body[-_TAIL:])
    return int(said[-1]) if said else None


def _declares_html(content_type: str) -> bool:
    """Some old indexes begin with text; then the declared type is all there is to go by."""
    return content_type.partition(";")[0].strip().lower() in (HTML, TEXT)
