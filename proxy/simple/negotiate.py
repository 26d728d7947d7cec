"""Which representation and which coding a client is sent, by its own headers (RFC 9110 section 12.5); pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from .model import HTML, JSON, TEXT

_OFFERS = (TEXT, HTML, JSON)
"""In the order that decides between equals, which is Warehouse's: `*/*` is HTML, as pipenv and hatch need (rule 13)."""

_ALIASES = {
    "application/vnd.pypi.simple.latest+json": JSON,
    "application/vnd.pypi.simple.latest+html": HTML,
}
"""PEP 691's names for "the newest": answered as v1, which is what they are (rule 15)."""

_QUALITY = re.compile(r"q\s*=\s*([01](?:\.[0-9]{0,9})?)\s*\Z", re.IGNORECASE)


def media_type(accept: str, format_: str | None = None) -> str:
    """The one of model.JSON, HTML and TEXT that a request asks for (PEP 691, rules 12 to 16).

    *accept* is the Accept header, empty where there was none; *format_* is the `format` parameter of the query, which
    wins where it names a type.  A header that asks for nothing we have gets text/html, as from the official index.
    """
    asked = _known((format_ or "").replace(" ", "+").strip().lower())  # a form decoder makes a space of the plus
    if asked in _OFFERS:
        return asked
    wanted = dict[str, float]()
    for name, quality in _ranges(accept):
        name = _known(name)
        wanted[name] = max(quality, wanted.get(name, 0.0))
    return max(_OFFERS, key=lambda offer: _quality(offer, wanted))


def coding(accept_encoding: str) -> Literal["gzip", "identity"]:
    """The content coding for an Accept-Encoding header, empty where there was none (RFC 9110 section 12.5.3)."""
    wanted = dict(_ranges(accept_encoding))
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return "gzip" if gzip > 0 and gzip >= wanted.get("identity", 0.0) else "identity"


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    """Each name in the list with its quality, in lower case; what is not understood is no wish."""
    for part in header.lower().split(","):
        name, *parameters = part.split(";")
        said = [text.strip() for text in parameters if text.strip()[:1] == "q" and text.strip()[1:].lstrip()[:1] == "="]
        quality = _QUALITY.match(said[0]) if said else None
        if name.strip() and (quality or not said):
            yield name.strip(), min(float(quality[1]), 1.0) if quality else 1.0


def _known(name: str) -> str:
    return _ALIASES.get(name, name)


def _quality(offer: str, wanted: dict[str, float]) -> float:
    """How much *offer* is wanted: by its own name, else by its kind, else at all (RFC 9110 section 12.5.1)."""
    kind = offer.partition("/")[0] + "/*"
    return next((wanted[name] for name in (offer, kind, "*/*") if name in wanted), 0.0)
