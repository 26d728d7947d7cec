"""What a server's answer means, judged by its head, and what the lack of one does.

Pure: each function is given the mirror's name, and puts what it did into one sentence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from errno import EACCES
from urllib.parse import unquote, urlsplit

import aiohttp

from ..errors import MirrorFailed, NotFound, ProxyError
from ..simple.model import TEXT
from .health import Declined
from .inflate import PIECE, Inflater

MAX_RETRY_AFTER = 60
"""Seconds: what a mirror may ask for at most."""

WORDS = 64 * 1024
"""Bytes of a refusal's page that are looked at."""

_CODE = re.compile(rb"(?<![#\w])[0-9a-f]{8}(?!\w)", re.IGNORECASE)
_ID = re.compile(rb"(?<![#\w])[0-9a-f]{32}(?!\w)", re.IGNORECASE)
_ETAG = re.compile(r'(W/)?"[!#-~]{1,200}"\Z')
_DATE = re.compile(r"[A-Za-z0-9,: +-]{20,40}\Z")
_SERIAL = re.compile(r"[0-9]{1,18}\Z")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})\Z")
_UNPRINTABLE = re.compile(r"[^ -~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Which bytes of a file an answer brings."""

    begin: int
    end: int | None
    """The first one that does not come, where it is told."""
    total: int | None
    """Size of the whole file, where it is told."""


def extent(response: aiohttp.ClientResponse, *, mirror: str, filename: str, begin: int, end: int | None) -> Extent:
    """What a 200 or 206 to the question for *filename* brings, from byte *begin* on, to before *end* if that is given.

    Raise MirrorFailed where it is neither the whole nor exactly that part (RFC 9110, section 15.3.7).
    """
    if _coding(response) not in ("", "identity"):
        # In another coding the file has another hash, and aiohttp would be right to unpack a .tar.gz.
        raise MirrorFailed(f"{mirror} sent {filename} packed as {plain(_coding(response))}.")
    if response.status == 200:
        if _is_html(response) and not filename.lower().endswith((".html", ".htm")):
            raise MirrorFailed(f"{mirror} sent a web page in place of {filename}.")
        return Extent(begin=0, end=None, total=response.content_length)
    told = _content_range(response, mirror)
    asked_for_part = begin > 0 or end is not None
    stop = min((bound for bound in (end, told.total) if bound is not None), default=told.end)
    if not asked_for_part or told.begin != begin or told.end != stop:
        raise MirrorFailed(f"{mirror} sent another part of {filename} than was asked for.")
    return told


def size(response: aiohttp.ClientResponse, *, mirror: str, filename: str) -> int | None:
    """The size of the whole file in bytes, as a 200 or 206 to the question for its first byte tells it."""
    if response.status == 206:
        return _content_range(response, mirror).total
    return extent(response, mirror=mirror, filename=filename, begin=0, end=None).total


def size_of_nothing(response: aiohttp.ClientResponse) -> int | None:
    """The size that a 416 tells, where it does: an empty file has no first byte to ask for."""
    told = _UNSATISFIED.match(response.headers.get("Content-Range", "")) if response.status == 416 else None
    return int(told[1]) if told else None


def refusal(
    response: aiohttp.ClientResponse, *, mirror: str, what: str, unknown: Collection[int], words: str
) -> ProxyError:
    """What an answer means that is not the one asked for; *unknown*: the statuses for what the mirror does not have.

    *words*: what its page says beside.  The `retry_after` of the error is what the mirror asked for, or the default.
    """
    status = response.status
    if status in unknown:
        return NotFound(f"{mirror} has no {what}.")
    said = f"{mirror} answered {status} {plain(response.reason)}".rstrip() + words + "."
    wait = _retry_after(response.headers)
    failed = MirrorFailed(said)
    if status in (401, 403):
        failed = Declined(said, host=urlsplit(str(response.url)).netloc, wait=None)
    elif status == 429 or (status == 503 and wait is not None):
        wait = failed.retry_after if wait is None else wait
        failed = Declined(said, host=urlsplit(str(response.url)).netloc, wait=wait)
    failed.retry_after = failed.retry_after if wait is None else wait
    return failed


def words_of(page: bytes, *, packed: bool) -> str:
    """The code and the id on the page of a refusal, by which the mirror's people find out why; empty without them."""
    if packed:
        try:
            page = next(Inflater(PIECE).feed(page), b"")
        except MirrorFailed:
            return ""
    code, number = _CODE.search(page, 0, WORDS), _ID.search(page, 0, WORDS)
    return f" (code {code[0].decode()}, id {number[0].decode()})" if code and number else ""


def is_packed(response: aiohttp.ClientResponse, *, mirror: str) -> bool:
    """Whether a page comes as gzip; raise MirrorFailed for codings not asked for, and for one inside another."""
    coding = _coding(response)
    if coding not in ("", "identity", "gzip", "x-gzip"):
        raise MirrorFailed(f"{mirror} sent a page packed as {plain(coding)}.")
    return coding.endswith("gzip")


def etag_of(response: aiohttp.ClientResponse) -> str | None:
    """The ETag, if it is one that can be sent back (RFC 9110, section 8.8.3)."""
    return _fitting(_ETAG, response.headers.get("ETag"))


def last_modified_of(response: aiohttp.ClientResponse) -> str | None:
    """The Last-Modified date as it came, if it looks like one."""
    return _fitting(_DATE, response.headers.get("Last-Modified"))


def serial_of(response: aiohttp.ClientResponse) -> int | None:
    """The index's own word for how far its pages have come (`X-PyPI-Last-Serial`)."""
    told = _fitting(_SERIAL, response.headers.get("X-PyPI-Last-Serial"))
    return int(told) if told else None


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
    return Extent(begin=begin, end=end + 1, total=total)


def _coding(response: aiohttp.ClientResponse) -> str:
    return ", ".join(response.headers.getall("Content-Encoding", [])).strip().lower()


def _is_html(response: aiohttp.ClientResponse) -> bool:
    declared = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return declared in (TEXT, "application/xhtml+xml")


def _fitting(pattern: re.Pattern[str], value: str | None) -> str | None:
    return value if value and pattern.match(value) else None


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """Seconds (RFC 9110, section 10.2.3), if that is what it says; a date is held against the server's own clock."""
    said = headers.get("Retry-After", "").strip()
    try:
        if said.isascii() and said.isdigit():
            seconds = int(said[:9])
        else:
            seconds = int(
                (parsedate_to_datetime(said) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
            )
    except (ValueError, TypeError, OverflowError):
        return None
    return max(1, min(seconds, MAX_RETRY_AFTER))
