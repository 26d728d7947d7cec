"""How a URL is written in a configuration, and which server it means: pure.

As in `values`, every `read` raises ValueError with the end of a sentence that began with the setting's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ..upstream.presets import GONE, PRESETS, Preset
from .values import ENVIRONMENT, close, read_text

PAGE_WANTED = (
    "kind = 'find-links' wants that of the page itself, as in 'https://mirrors.aliyun.com/pytorch-wheels/cu128/' or "
    "'https://wheels.example.cn/all.html'"
)


@dataclass(frozen=True, slots=True)
class MirrorURL:
    """One server that copies an index."""

    name: str
    """For people, logs and metrics: the preset's, else the URL without what all such URLs share."""
    url: str
    """Of the Simple API's root, with the slash at its end, or of a page of links."""

    @classmethod
    def read(cls, value: object) -> MirrorURL:
        if isinstance(value, cls):
            return value
        text = read_text(value)
        for preset in PRESETS:
            if preset.name == text:
                return cls(preset.name, preset.url)
        if text in GONE:
            raise ValueError(f"{text!r} {GONE[text]}")
        if "://" not in text and "@" not in text:
            known = [preset.name for preset in PRESETS]
            listed = ", ".join(known)
            raise ValueError(f"{text!r} is no URL, and none of the known mirrors {listed}{close(text, known)}")
        return cls._of(read_url(text))

    @classmethod
    def read_page(cls, value: object) -> MirrorURL:
        """As *read*, for a page of links (`pip --find-links`): none is known by name, and `….html` gets no slash."""
        if isinstance(value, cls):
            return value
        text = read_text(value)
        if "://" not in text and "@" not in text:
            raise ValueError(f"{text!r} is no URL, and {PAGE_WANTED}")
        url = read_url(text)
        page = url.removesuffix("/")
        return cls._of(page if page.lower().endswith((".html", ".htm")) and not text.endswith("/") else url)

    @classmethod
    def _of(cls, url: str) -> MirrorURL:
        return cls(url.partition("://")[2].removesuffix("/").removesuffix("/simple"), url)

    @property
    def known(self) -> Preset | None:
        """What is known of it, where it is one of the mirrors known by name, and not the operator's own URL."""
        return next((preset for preset in PRESETS if (self.name, self.url) == (preset.name, preset.url)), None)

    @property
    def preset(self) -> bool:
        """Whether it is one of the mirrors known by name."""
        return self.known is not None

    def __str__(self) -> str:
        return self.name if self.preset else self.url


def read_url(value: object, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """A plain URL, with a slash at its end: no credentials, query or fragment."""
    text = read_text(value)
    if not text.isascii() or re.search(r"[\x00-\x20\x7f\\]", text):
        raise ValueError("should be a URL without spaces, backslashes or letters beyond ASCII")
    parts = _split(text)
    if "@" in parts.netloc or ("@" in text and "://" not in text):
        raise ValueError("should hold no user name or password: a URL is shown in logs and on pages")
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"should be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if "?" in text or "#" in text:
        raise ValueError("should be a URL without ? and #")
    return urlunsplit((parts.scheme, parts.netloc.lower(), f"{parts.path.rstrip('/')}/", "", ""))


def read_public_url(value: object) -> str:
    """As *read_url*, or nothing at all."""
    return "" if value == "" else read_url(value)


def read_proxy(value: object) -> str:
    """Empty, "environment", or the URL of an HTTP proxy."""
    if value in ("", ENVIRONMENT):
        return str(value)
    try:
        return read_url(value, ("http",))
    except ValueError as error:
        raise ValueError(f"{error}, or 'environment', which takes $HTTPS_PROXY with its credentials") from None


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no number up to 65535
    except ValueError:
        raise ValueError("should be a URL with a plain host and port") from None
    return parts
