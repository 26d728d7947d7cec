"""Reads what upstreams send: project pages here, lists of all projects in read_root; does no I/O."""

from __future__ import annotations

from packaging.utils import NormalizedName

from ..errors import MirrorFailed
from .listing import Listing
from .model import HTML, TEXT, Project
from .read_html import base_of, parse, read_html
from .read_json import read_json
from .read_root import RootNames

__all__ = ["RootNames", "read_project"]

_HEAD = 1024
"""Bytes within which a page must have begun."""


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


def _declares_html(content_type: str) -> bool:
    """Some old indexes begin with text; then the declared type is all there is to go by."""
    return content_type.partition(";")[0].strip().lower() in (HTML, TEXT)
