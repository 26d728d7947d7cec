"""Whether a request that changes something can have been made by another site's page: pure.

A browser adds a user's Basic credentials to whatever a page of anybody's sends to us, so they alone prove nothing.
Programs send neither of the two headers that are looked at here.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from aiohttp import hdrs
from multidict import MultiMapping

from ..errors import Forbidden

FETCH_SITE = "Sec-Fetch-Site"
"""What a browser says of who made a request (W3C, Fetch Metadata Request Headers, 2.4)."""

_OURS = frozenset({"same-origin", "none"})
"""A page of this server, and somebody who typed the address."""

_PORTS = {"http": 80, "https": 443}


def check_same_site(headers: MultiMapping[str], host: str | None) -> None:
    """Raise Forbidden where *headers* tell of another site's page; *host* is ours, with its port if it has one.

    An Origin is compared by host and port, and not by scheme: behind a proxy ours may not be known (RFC 6454, 7).
    """
    if not all(said.strip().lower() in _OURS for said in headers.getall(FETCH_SITE, [])):
        raise Forbidden("This came from another site's page: only programs and our own pages may change anything here.")
    for origin in headers.getall(hdrs.ORIGIN, []):
        if host is None or not _is_at(origin.strip(), host):
            raise Forbidden(
                "The Origin of this request is another host than it was sent to: where a proxy stands between, "
                "server.public_url tells this server its name."
            )


def _is_at(origin: str, host: str) -> bool:
    theirs = _split(origin)
    if theirs is None or theirs.scheme not in _PORTS:
        return False  # "null" too, which sandboxed frames and local files send
    ours = _split(f"{theirs.scheme}://{host}")
    return ours is not None and _place(theirs) == _place(ours)


def _place(parts: SplitResult) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port or _PORTS[parts.scheme]


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- looked at for its ValueError
    except ValueError:
        return None
    return parts
