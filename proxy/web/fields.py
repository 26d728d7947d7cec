"""The header fields of index answers: what may be cached for how long, and what clients must be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..simple.model import TEXT

SERVER = "yizhan"

SOURCE = "Yizhan-Source"
"""The header that says where a page came from, and how old it is."""

ALWAYS: Mapping[str, str] = MappingProxyType({"Server": SERVER, "X-Content-Type-Options": "nosniff"})

OPEN: Mapping[str, str] = MappingProxyType(
    {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Headers": "Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since",
        "Access-Control-Allow-Methods": "GET",
    }
)
"""Pip inside a browser (Pyodide) reads indexes across origins, as it may at the official one (rule 66)."""

CONTENT_SECURITY = "sandbox allow-top-navigation; default-src 'none'"
"""An index page shown in a browser runs nothing and loads nothing."""

FOREVER = 365_000_000
"""Seconds, as the official index says it: a file under its URL never changes."""


@dataclass(frozen=True, slots=True)
class Fields:
    """*private*: reading is for signed-in users, so no shared cache may keep an answer (decision 15)."""

    private: bool

    def page(self, kind: str, coding: str) -> dict[str, str]:
        """Of a Simple page of the media type *kind* (rules 17, 19, 48, 58)."""
        fields = {
            **self._always(),
            # A parameter after the JSON type would make devpi read it as HTML; HTML says its charset (rule 28).
            "Content-Type": f"{kind}; charset=utf-8" if kind == TEXT else kind,
            "Cache-Control": ("private, " if self.private else "") + "max-age=0, must-revalidate",
            "Vary": "Accept, Accept-Encoding",
            "Content-Security-Policy": CONTENT_SECURITY,
        }
        if coding == "gzip":
            fields["Content-Encoding"] = "gzip"
        return fields

    def file(self, *, settled: bool) -> dict[str, str]:
        """Of a distribution file; *settled* where its URL can never mean other bytes (rules 51, 61)."""
        scope = "private" if self.private else "public"
        return {
            **self._always(),
            "Content-Type": "application/octet-stream",
            "Cache-Control": f"{scope}, max-age={FOREVER}, immutable" if settled else "no-store",
            "Accept-Ranges": "bytes",
        }

    def _always(self) -> dict[str, str]:
        return dict(ALWAYS) if self.private else {**ALWAYS, **OPEN}
