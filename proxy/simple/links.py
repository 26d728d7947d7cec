"""Links of a page, made absolute and held against the shape that may be fetched at all; does no I/O."""

from __future__ import annotations

import re
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

_SEGMENT = r"[A-Za-z0-9_~!+%-][A-Za-z0-9._~!+%-]*+"
_PLAIN = re.compile(rf"((?:https?://[^/?#\\@\s]++)?+/|(?:\.\./)*+)((?:{_SEGMENT}/)*+{_SEGMENT})\Z")
_HOST = re.compile(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z", re.IGNORECASE)
_ODD = re.compile(r"[\x00-\x20\x7f\\]")


class Links:
    """The links of one page, resolved against its address (RFC 3986 section 5)."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        # Credentials go with requests, never with links: a page would carry them into lock files and logs.
        self._base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._roots: dict[str, str | None] = {}

    def absolute(self, link: str) -> str | None:
        """The URL that *link* means, without fragment; None for what is not fetched.

        That is every scheme but http and https, user names in the address, and hosts no registry would write:
        their readers disagree (`https://good\\@evil/`), and we would take sides.
        """
        # urljoin() costs more than all else about a file.  Nearly every link is a prefix that its neighbours share
        # and a path without dot segments, so the prefix is resolved once.
        if plain := _PLAIN.match(link):
            root = self._root(plain[1])
            return None if root is None else root + plain[2]
        return _resolve(self._base, link)

    def _root(self, prefix: str) -> str | None:
        if prefix not in self._roots:
            self._roots[prefix] = _resolve(self._base, prefix or ".")
        return self._roots[prefix]


def last_component(link: str) -> str:
    """What *link* ends in once query and fragment are off, percent-decoded: the filename (rule 9)."""
    last = link.partition("#")[0].partition("?")[0].rpartition("/")[2]
    return unquote(last) if "%" in last else last


def is_web_address(url: str) -> bool:
    """Whether *url* is absolute, http or https, and safe to hand on."""
    return not _ODD.search(url) and "://" in url and _is_fetchable(url)


def _resolve(base: str, link: str) -> str | None:
    link = link.strip(" \t\r\n\f").partition("#")[0].replace(" ", "%20")
    if not link or _ODD.search(link):
        return None
    try:
        parts, url = urlsplit(link), urljoin(base, link)
    except ValueError:
        return None
    # To urljoin() `https:///x` is a path at our host, to a browser x is a host: neither is taken.
    if not parts.netloc and (parts.scheme or link.startswith("//")):
        return None
    return url if _is_fetchable(url) else None


def _is_fetchable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        reachable = _HOST.match(parts.netloc) is not None and parts.port != 0
    except ValueError:
        return False
    return reachable and parts.scheme in {"http", "https"} and parts.path.startswith("/")
