"""What a server's answer means, judged by its head, and what the lack of one does.

Pure: each function is given the mirror's name, and puts what it did into one sentence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from errno import EACCES
from urllib.parse import unquote, urlsplit

import aiohttp

from ..errors import MirrorFailed, NotFound, ProxyError
from ..simple.model import TEXT

MAX_RETRY_AFTER = 60
"""Seconds: what a mirror may ask for at most."""

_ETAG = re.compile(r'(W/)?"[!#-~]{1,200}"\Z')
_DATE = re.compile(r"[A-Za-z0-9,: +-]{20,40}\Z")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})\Z")
_UNPRINTABLE = re.compile(r"[^ -~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Which bytes of a file an answer brings."""

    begin: int
    end: int | None
    """The last one, where it is told."""
    total: int | None
    """Size of the whole file, where it is told."""


def extent(response: aiohttp.ClientResponse, *, mirror: str, filename: str, offset: int, etag: str | None) -> Extent:
    """What is answered to the question for *filename* from byte *offset* on, *etag* being that of the bytes before.

    Raise NotFound where the mirror has no such file, MirrorFailed where what comes cannot be (the rest of) it.
    """
    if response.status not in (200, 206):
        raise refusal(response, mirror=mirror, what=filename)
    if _coding(response) not in ("", "identity"):
        # In another coding the file has another hash, and aiohttp would be right to unpack a .tar.gz.
        raise MirrorFailed(f"{mirror} sent {filename} packed as {plain(_coding(response))}.")
    if response.status == 200:
        if _is_html(response) and not filename.lower().endswith((".html", ".htm")):
            raise MirrorFailed(f"{mirror} sent a web page in place of {filename}.")
        return Extent(begin=0, end=None, total=response.content_length)
    told = _content_range(response, mirror)
    if not offset or told.begin != offset or (told.total is not None and told.end != told.total - 1):
        raise MirrorFailed(f"{mirror} sent another part of {filename} than was asked for.")
    if etag and response.headers.get("ETag", etag) != etag:
        raise MirrorFailed(f"{mirror} has another {filename} than before.")
    return told


def size(response: aiohttp.ClientResponse, *, mirror: str, filename: str) -> int | None:
    """The size of the whole file in bytes, as the answer to a question for its first byte tells it."""
    if response.status == 206:
        return _content_range(response, mirror).total
    if response.status == 416 and (empty := _UNSATISFIED.match(response.headers.get("Content-Range", ""))):
        return int(empty[1])
    return extent(response, mirror=mirror, filename=filename, offset=0, etag=None).total


def refusal(response: aiohttp.ClientResponse, *, mirror: str, what: str) -> ProxyError:
    """What an answer means that is not the one asked for.  Its `retry_after` is what the mirror asked for."""
    if response.status in (404, 410):
        return NotFound(f"{mirror} has no {what}.")
    failed = MirrorFailed(f"{mirror} answered {response.status} {plain(response.reason)}".rstrip() + ".")
    failed.retry_after = _retry_after(response.headers, failed.retry_after)
    return failed


def is_packed(response: aiohttp.ClientResponse, *, mirror: str) -> bool:
    """Whether a page comes as gzip; raise MirrorFailed for codings not asked for, and for one inside another."""
    coding = _coding(response)
    if coding not in ("", "identity", "gzip", "x-gzip"):
        raise MirrorFailed(f"{mirror} sent a page packed as {plain(coding)}.")
    return coding.endswith("gzip")


def etag_of(response: aiohttp.ClientResponse) -> str | None:
    """The ETag, if it is one that can be sent back (RFC 9110, section 8.8.3)."""
    return _fitting(_ETAG, response.headers.get("ETag"))


def strong(etag: str | None) -> str | None:
    """*etag* if If-Range may carry it (RFC 9110, section 13.1.5)."""
    return None if etag and etag.startswith("W/") else _fitting(_ETAG, etag)


def last_modified_of(response: aiohttp.ClientResponse) -> str | None:
    """The Last-Modified date as it came, if it looks like one."""
    return _fitting(_DATE, response.headers.get("Last-Modified"))


def filename_of(url: str) -> str:
    """The last part of the path, decoded."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def plain(text: str | None) -> str:
    """A server's own words, fit for a log and a terminal."""
    return _UNPRINTABLE.sub("?", text or "")[:80].strip()


@contextmanager
def in_a_sentence(subject: str, *, slow: str) -> Iterator[None]:
    """Raise MirrorFailed about *subject* for whatever goes wrong with a connection; *slow*: for a TimeoutError."""
    try:
        yield
    except TimeoutError:
        raise MirrorFailed(f"{subject} {slow}.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise MirrorFailed(f"{subject} {_trouble(error)}.") from error
    except ValueError as error:
        # A host that is fine as a URL's and no name in the DNS: IDNA's codec says so with a UnicodeError.
        raise MirrorFailed(f"{subject} has a name that cannot be looked up.") from error


def _trouble(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        return f"has a certificate that is not trusted: {plain(getattr(cause, 'verify_message', '') or str(cause))}"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"failed at TLS: {plain(error.os_error.strerror)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "has a name that could not be resolved"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"could not be asked: the proxy could not be reached: {_words(error.os_error)}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"could not be asked: the proxy answered {error.status} {plain(error.message)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"could not be reached: {_words(error.os_error)}"
    if isinstance(error, aiohttp.ClientResponseError):
        return "did not speak proper HTTP"
    return "broke off"


def _words(error: OSError) -> str:
    """The guard refuses with EACCES and words of its own; other errors' texts hold addresses as Python tuples."""
    if error.errno in (None, EACCES):
        return plain(error.strerror or str(error))
    return os.strerror(error.errno or 0)


def _content_range(response: aiohttp.ClientResponse, mirror: str) -> Extent:
    """What a 206 says it brings (RFC 9110, section 14.4)."""
    said = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if said is None:
        raise MirrorFailed(f"{mirror} sent a part of a file and did not say which.")
    begin, end = int(said[1]), int(said[2])
    total = None if said[3] == "*" else int(said[3])
    if begin > end or (total is not None and end >= total) or response.content_length not in (None, end - begin + 1):
        raise MirrorFailed(f"{mirror} sent a part of a file that contradicts itself.")
    return Extent(begin=begin, end=end, total=total)


def _coding(response: aiohttp.ClientResponse) -> str:
    return ", ".join(response.headers.getall("Content-Encoding", [])).strip().lower()


def _is_html(response: aiohttp.ClientResponse) -> bool:
    declared = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return declared in (TEXT, "application/xhtml+xml")


def _fitting(pattern: re.Pattern[str], value: str | None) -> str | None:
    return value if value and pattern.match(value) else None


def _retry_after(headers: Mapping[str, str], default: int) -> int:
    """Seconds (RFC 9110, section 10.2.3); a date is held against the server's own clock."""
    said = headers.get("Retry-After", "").strip()
    try:
        if said.isascii() and said.isdigit():
            seconds = int(said[:9])
        else:
            seconds = int(
                (parsedate_to_datetime(said) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
            )
    except (ValueError, TypeError, OverflowError):
        return default
    return max(1, min(seconds, MAX_RETRY_AFTER))
