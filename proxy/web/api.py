"""`/-/api/<action>`: what operators do with private projects, as JSON over HTTP.

Knows requests and Administration's actions; what an action means, and who may, is Administration's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import hdrs, web

from ..administration import OF_NAMES, Action, Administration, Done, ListNames
from ..errors import BadRequest, NotFound, ProxyError, TooLarge
from ..rights import Caller
from .errors import explain
from .fields import ALWAYS
from .peers import checked_host
from .same_site import check_same_site

LARGEST = 64 * 1024
"""Bytes of a body: a few names and a reason."""

PATIENCE = 10.0
"""Seconds in which a body must have come."""

JSON = "application/json"
"""No form of a page can send it, and no script of another site without being asked first, which we never agree to."""

READING = frozenset({"GET", "HEAD"})

SignIn = Callable[[web.BaseRequest], Awaitable[Caller]]
"""Who asks; raises NotSignedIn, Forbidden or TooManyTries where that is nobody who may."""


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an answer that is no success."""

    message: str
    error: str
    """The name of the error's class in proxy.errors."""


class Api:
    """Answers for *actions*, by their names, to whoever *sign_in* lets in; *host* is the one that clients ask for."""

    def __init__(
        self,
        administration: Administration,
        sign_in: SignIn,
        *,
        actions: Mapping[str, type[Action]] = OF_NAMES,
        host: Callable[[web.BaseRequest], str | None] | None = None,
    ) -> None:
        self._administration = administration
        self._sign_in = sign_in
        self._actions = actions
        self._host = host or _host

    async def answer(self, request: web.BaseRequest, action: str) -> web.Response:
        """Have *action* done, which a GET never has unless it changes nothing; an error is an answer too."""
        try:
            if request.method not in READING:
                check_same_site(request.headers, self._host(request))
            caller = await self._sign_in(request)
            kind = self._actions.get(action)
            if kind is None:
                raise NotFound("There is no such action: look into README for those there are.")
            reads = kind is ListNames
            if request.method not in (READING if reads else {"POST"}):
                return _not_allowed("GET, HEAD" if reads else "POST")
            asked = ListNames() if reads else await _read(request, kind)
            return _json(200, await self._administration.perform(asked, caller))
        except ProxyError as error:
            return failed(request, error)
        except web.RequestPayloadError:
            response = failed(request, BadRequest("The body is not packed as it says."))
            await response.prepare(request)
            await response.write_eof()
            # aiohttp would try to read the rest once more, and write a traceback for it.
            request.protocol.force_close()
            return response


def _host(request: web.BaseRequest) -> str | None:
    """What the request was sent to, where no proxy stands between."""
    return checked_host(request.headers.get(hdrs.HOST, ""))


async def _read(request: web.BaseRequest, kind: type[Action]) -> Action:
    """The action of *kind* that the body of *request* describes; raise BadRequest or TooLarge."""
    if request.content_type != JSON:
        raise BadRequest(f"An action is a JSON object: send it with Content-Type: {JSON}.")
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > LARGEST:
                    raise TooLarge(f"An action has at most {LARGEST} bytes.")
    except TimeoutError:
        raise BadRequest(f"The body did not come within {PATIENCE:g} seconds.") from None
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The action is not understood: {error}.") from None
    except ValueError:  # also of bytes that are no UTF-8
        raise BadRequest("The body is no JSON.") from None


def _json(status: int, body: Done | Failed) -> web.Response:
    headers = {**ALWAYS, "Cache-Control": "no-store", "Content-Type": JSON}
    return web.Response(status=status, body=msgspec.json.encode(body), headers=headers)


def failed(request: web.BaseRequest, error: ProxyError) -> web.Response:
    """The answer that *error* is: as everywhere, but in JSON whatever is accepted."""
    response = explain(request, error)
    response.body = msgspec.json.encode(Failed(message=str(error), error=type(error).__name__))
    response.headers[hdrs.CONTENT_TYPE] = JSON
    return response


def _not_allowed(allow: str) -> web.Response:
    response = _json(405, Failed(message=f"This action is asked for with {allow}.", error="BadRequest"))
    response.headers[hdrs.ALLOW] = allow
    return response
