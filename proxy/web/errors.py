"""Errors as answers: the one table from meanings to statuses, and the sentence in every place where clients look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

import msgspec
from aiohttp import hdrs, web

from ..errors import (
    BadRequest,
    BadUpload,
    DiskFull,
    FileExists,
    Forbidden,
    NotFound,
    NotSignedIn,
    OutOfUse,
    ProxyError,
    TooLarge,
    TooManyTries,
    Unavailable,
)
from .auth import challenge_headers
from .fields import ALWAYS

STATUS: Mapping[type, HTTPStatus] = MappingProxyType(
    {
        NotFound: HTTPStatus.NOT_FOUND,
        Forbidden: HTTPStatus.FORBIDDEN,
        NotSignedIn: HTTPStatus.UNAUTHORIZED,
        TooManyTries: HTTPStatus.TOO_MANY_REQUESTS,
        BadRequest: HTTPStatus.BAD_REQUEST,
        BadUpload: HTTPStatus.BAD_REQUEST,
        # Not 409: flit has a readable error for 400 alone, and the others know it by the words.
        FileExists: HTTPStatus.BAD_REQUEST,
        TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        OutOfUse: HTTPStatus.GONE,
        Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
        DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    }
)
"""A class without a line has its nearest ancestor's."""

MOST_REASON = 600
"""Characters of a reason phrase: what the longest project name and filename leave of our sentences stays whole.

The official index keeps to about 200, but has no way out to name at the sentence's end.  Every client's line, and a
reverse proxy's 4 KiB for all headers, have room for this.
"""


def status_of(error: ProxyError) -> int:
    """The HTTP status that *error* means."""
    found = (STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


def reason_of(error: ProxyError) -> str:
    """The sentence of *error* as a reason phrase: twine, hatch and pdm show nothing else.

    One line of ASCII (RFC 9112, 4): anything else would end the header, or be read in another encoding.
    """
    line = " ".join(str(error).split()).encode("ascii", "replace").decode()
    printable = "".join(letter if letter.isprintable() else "?" for letter in line)
    return printable[:MOST_REASON] or HTTPStatus(status_of(error)).phrase


def explain(request: web.BaseRequest, error: ProxyError) -> web.Response:
    """The answer to *request* that *error* is: its sentence as text, or as JSON where that is preferred (uv)."""
    status = status_of(error)
    headers = {**ALWAYS, "Cache-Control": "no-store"}
    if isinstance(error, Unavailable | TooManyTries):
        # Seconds: poetry fails on a date.
        headers[hdrs.RETRY_AFTER] = str(math.ceil(error.retry_after))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.update(challenge_headers())
    if _prefers_json(request.headers.get(hdrs.ACCEPT, "")):
        # Bytes, and not text: uv knows this type without a charset only.
        body = msgspec.json.encode(
            {"message": str(error), "code": f"{int(status)} {error}", "title": HTTPStatus(status).phrase}
        )
        headers[hdrs.CONTENT_TYPE] = "application/json"
    else:
        body = f"{error}\n".encode()
        headers[hdrs.CONTENT_TYPE] = "text/plain; charset=utf-8"
    return web.Response(status=status, reason=reason_of(error), body=body, headers=headers)


def _prefers_json(accept: str) -> bool:
    """Whether *accept* names application/json, and no kind of text that is wanted as much (RFC 9110, 12.5.1)."""
    wanted: dict[str, float] = {}
    for item in accept.split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        wanted[kind.lower()] = _quality(parameters)
    json = wanted.get("application/json", 0.0)
    return json > 0 and all(json > quality for kind, quality in wanted.items() if kind.startswith("text/"))


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
