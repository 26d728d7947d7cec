"""The front page: lines to copy that point pip, uv and twine here, in English or Chinese.

Knows templates and values, and neither requests nor the index.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import ip_address
from types import MappingProxyType
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

Language = Literal["zh", "en"]

SOMEWHERE = "http://this-server"
"""Stands for an address that cannot be told from the request; the page's script puts in the one of the address bar."""

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_PORT = re.compile(r":[0-9]+\Z")
_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """What the page loads, from `/-/static/`."""

    body: bytes
    content_type: str
    etag: str
    """Strong, with its quotes."""


def render_front(
    *, host_url: str | None, language: Language, needs_credentials: bool, anyone_may_upload: bool, version: str
) -> bytes:
    """The page, UTF-8.

    *host_url* is where clients reach this server, scheme, host and port (and a prefix, if any) without a slash at the
    end; None where it is not known.  *needs_credentials* is whether reading does.
    """
    url = host_url or SOMEWHERE
    host = _PORT.sub("", url.partition("://")[2].partition("/")[0])
    page = _TEMPLATES.get_template(f"front.{language}.html").render(
        url=url,
        host=host,
        clear=url.startswith("http://") and not _is_loopback(host),
        needs_credentials=needs_credentials,
        anyone_may_upload=anyone_may_upload,
        version=version,
    )
    return page.encode()


def language(accept_language: str, asked: str = "") -> Language:
    """Chinese where the reader prefers it to English (RFC 9110, 12.5.4), or *asked* for it (`?lang=`).

    Other languages do not count: whoever reads German and then Chinese, and names no English, gets Chinese.
    """
    if asked in ("zh", "en"):
        return "zh" if asked == "zh" else "en"
    best: dict[str, float] = {}
    for item in accept_language.lower().split(","):
        tag, _, parameters = item.partition(";")
        primary = tag.strip().partition("-")[0]
        best[primary] = max(_quality(parameters.strip()), best.get(primary, 0))
    first = max(("zh", "en"), key=lambda primary: (best.get(primary, 0), -_rank(best, primary)))
    return "zh" if first == "zh" and best.get("zh", 0) > 0 else "en"


def _rank(best: Mapping[str, float], primary: str) -> int:
    """The place of *primary* among the languages named: of two equally welcome the first wins."""
    return list(best).index(primary) if primary in best else len(best)


def _quality(parameters: str) -> float:
    """The weight of a language, 0 to 1; one that cannot be read counts for nothing."""
    if not parameters:
        return 1
    found = _QUALITY.fullmatch(parameters)
    return float(found[1]) if found else 0


def _is_loopback(host: str) -> bool:
    """Whether pip trusts *host* without being told: its own list of secure origins."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _templates() -> Environment:
    """All templates, compiled now: the event loop must not wait for a disk later."""
    templates = Environment(
        loader=PackageLoader("proxy.web.pages"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in templates.list_templates():
        templates.get_template(name)
    return templates


def _static_files() -> Mapping[str, StaticFile]:
    found: dict[str, StaticFile] = {}
    for entry in files("proxy.web.pages").joinpath("static").iterdir():
        body = entry.read_bytes()
        found[entry.name] = StaticFile(
            body=body,
            content_type=_TYPES["." + entry.name.rpartition(".")[2]],
            etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        )
    return MappingProxyType(found)


_TEMPLATES = _templates()

STATIC: Mapping[str, StaticFile] = _static_files()
"""By filename."""
