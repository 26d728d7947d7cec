"""The warm path: a request like one that was answered before is answered from memory, without parsing, task or header
work.  Knows aiohttp's protocol object, by its public names alone, and nothing of what is answered.

The invariant.  Bytes that come on a connection between two requests mean what the same bytes meant when aiohttp parsed
them in that place and found one whole request without a body; and a User-Agent or If-None-Match of other printable
characters changes nothing else of what they mean.  So they may have the same answer, if that still is the answer:
each time whoever gave it says so, by asking what every other request asks (Warm).  All else goes to aiohttp as it came.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from aiohttp import HttpVersion11, hdrs, web

from ..ops.logs import CLIENT, AccessLogger, Answered, Lines
from .conditions import if_none_match
from .fields import SOURCE
from .peers import Peers

LONGEST = 4096
"""Bytes of a request that is remembered; installers send 300 to 700."""

SMALL = 256 * 1024
"""Bytes of a body that is answered here: what is larger is sent as fast by aiohttp, which waits for slow clients."""

JOINED = 64 * 1024
"""Bytes of a body that are copied behind the head: less work than to send them by themselves."""

ROUND = 10.0
"""Seconds after which a connection's next request goes to aiohttp, which closes those that it hears nothing of."""

ENTRY_COST = 1_000
"""Bytes of memory that a remembered request takes beside its own (measured: 700 to 900)."""

TOLD = 100
"""Clients that are told apart in a second."""

_END = b"\r\n\r\n"
_AGENTS = b"\r\nUser-Agent: ", b"\r\nuser-agent: "
_VALIDATORS = b"\r\nIf-None-Match: ", b"\r\nif-none-match: "
_PRINTABLE = bytes(range(0x20, 0x7F))
_MOVING = {hdrs.DATE.lower(), SOURCE.lower()}


class Ready:
    """Bytes that may be answered again: of one body, and the heads that aiohttp made for it, by status."""

    __slots__ = ("_told", "_told_in", "body", "etag", "heads", "made_in", "more")

    def __init__(self, body: bytes, etag: str) -> None:
        self.body = body
        self.etag = etag.encode()
        self.heads: dict[int, bytes] = {}
        self.more = b""
        """Header lines that change while the body does not ..."""
        self.made_in = 0
        """... and the second, since the epoch, that they are of."""
        self._told = set[str | None]()
        self._told_in = 0

    def is_news(self, agent: str | None, second: int) -> bool:
        """Whether nobody who calls himself so had this in *second* yet: who looks ahead need not be told twice."""
        if second != self._told_in or len(self._told) >= TOLD:
            self._told_in = second
            self._told.clear()
        if agent in self._told:
            return False
        self._told.add(agent)
        return True


class Warm(Protocol):
    """What an answer was made of, and how to make it again.  Waits for nothing, begins nothing and raises nothing."""

    def ready(self, second: int) -> Ready | None:
        """The answer as of now, in *second* since the epoch; None where that has to be found out."""
        ...

    def answered(self, agent: str) -> None:
        """A client that calls itself *agent* was given it."""
        ...


WARM = web.ResponseKey("warm", Warm)
"""Set it on a 200 or 304 to a GET or HEAD that anybody may ask for, and that the request's bytes alone lead to."""


class Plain(NamedTuple):
    """A request without what differs between those who ask the same."""

    rest: bytes
    agent: bytes | None
    validators: bytes | None


class Entry(NamedTuple):
    """What is remembered of a request."""

    warm: Warm
    method: str
    path: str
    client: str
    """As it was when the request came first."""


class Server(web.Server):
    """aiohttp's, with the warm path before it."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        peers: Peers,
        room: int,
        keepalive: float,
        access_log: logging.Logger | None,
    ) -> None:
        """*room*: bytes of memory for requests; *keepalive*: seconds for which an idle connection is kept."""
        options: dict[str, Any] = {"access_log": access_log, "access_log_class": AccessLogger}
        options |= {"keepalive_timeout": keepalive}
        super().__init__(handler, **options)
        self.peers = peers
        self.lines = Lines(access_log) if access_log is not None and access_log.isEnabledFor(logging.INFO) else None
        self.round = min(ROUND, keepalive / 4)
        self.second = 0
        self.date = b""
        self._options = options
        self._room = room
        self._size = 0
        self._entries: dict[bytes, Entry] = {}
        self.stopped = False

    def __call__(self) -> web.RequestHandler:
        return Handler(self, self._options)

    def stop(self) -> None:
        """Have all requests go to aiohttp from now on, which ends connections as they are answered."""
        self.stopped = True
        self._entries.clear()

    def known(self, rest: bytes) -> Entry | None:
        return self._entries.get(rest)

    def learn(self, rest: bytes, entry: Entry) -> None:
        """Remember that *entry* is the answer to *rest*; where there is no room, all others are forgotten."""
        if self.stopped or len(rest) > LONGEST:
            return
        if rest not in self._entries:
            self._size += len(rest) + ENTRY_COST
        if self._size > self._room:
            self._entries.clear()
            self._size = len(rest) + ENTRY_COST
        self._entries[rest] = entry

    def now(self) -> float:
        """Seconds since the epoch; `second` and `date` are as of then."""
        now = time.time()
        if int(now) != self.second:
            self.second = int(now)
            self.date = f"Date: {formatdate(self.second, usegmt=True)}\r\n".encode()
        return now


class Handler(web.RequestHandler):
    """One connection."""

    __slots__ = ("_asked", "_at_boundary", "_client", "_known", "_last", "_mark", "_server", "_until")

    def __init__(self, server: Server, options: dict[str, Any]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._server = server
        self._at_boundary = True
        """Nothing is under way, and aiohttp's parser stands between two requests."""
        self._asked: bytes | None = None
        """What aiohttp was given at the last boundary; None where more came before it had answered: then nobody knows
        where requests begin on this connection, and none is warm any more."""
        self._until = time.monotonic() + server.round
        self._client = ""
        self._mark = b""
        """Goes before requests of whoever may name another client, as the connection is part of what they mean."""
        self._last = b""
        self._known: tuple[Entry, Plain] | None = None
        """Of the `_last` request."""

    def data_received(self, data: bytes) -> None:
        if self._at_boundary:
            if len(data) <= LONGEST and self._answered(data):
                return
            self._at_boundary = False
            self._asked = data
        else:
            self._asked = None
        super().data_received(data)

    def close(self) -> None:
        self._at_boundary, self._asked = False, None
        super().close()

    def _answered(self, data: bytes) -> bool:
        """Whether *data* is a request that was answered here just now."""
        server, transport = self._server, self.transport
        known = self._known if data == self._last else self._look_up(data)
        if known is None or transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return False  # flow control is aiohttp's
        if server.stopped or time.monotonic() > self._until:
            return False
        entry, plain = known
        now = server.now()
        ready = entry.warm.ready(server.second)
        if ready is None:
            return False
        status = 304 if plain.validators is not None and _has(plain.validators, ready.etag) else 200
        head = ready.heads.get(status)
        if head is None:
            return False
        with_body = status == 200 and entry.method == "GET"
        body = ready.body if with_body else b""
        if len(body) > JOINED:
            transport.write(b"".join((head, server.date, ready.more, b"\r\n")))
            transport.write(body)
        else:
            transport.write(b"".join((head, server.date, ready.more, b"\r\n", body)))
        agent = None if plain.agent is None else plain.agent.decode()
        if server.lines is not None:
            size = len(head) + len(server.date) + len(ready.more) + 2 + len(body)
            client = entry.client if self._mark else self._client
            said = "-" if agent is None else agent
            server.lines.add(now, Answered(client, "-", entry.method, entry.path, status, size, 0.0, said))
        if ready.is_news(agent, server.second):
            entry.warm.answered(agent or "")
        return True

    def _look_up(self, data: bytes) -> tuple[Entry, Plain] | None:
        if not self._client:
            self._meet()
        plain = cut(data)
        if plain is None or (entry := self._server.known(self._mark + plain.rest)) is None:
            return None
        self._last, self._known = data, (entry, plain)
        return self._known

    def _meet(self) -> None:
        """See who is at the other end."""
        peer = self.peername
        remote = None if peer is None else str(peer[0] if isinstance(peer, list | tuple) else peer)
        self._client = self._server.peers.client(remote)
        if self._server.peers.trusts(remote):
            self._mark = f"{remote}\0".encode()

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        if self._server.lines is not None:
            self._server.lines.flush()  # so that lines stand in the order of the answers
        super().log_access(request, response, time)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        sent, reset = await super().finish_response(request, resp, start_time)
        data, self._asked = self._asked, None
        if data is not None and not reset and sent.keep_alive and is_whole(data, request):
            self._at_boundary = True
            self._until = time.monotonic() + self._server.round
            warm = sent.get(WARM)
            if warm is not None:
                self._learn(data, request, sent, warm)
        return sent, reset

    def _learn(self, data: bytes, request: web.BaseRequest, sent: web.StreamResponse, warm: Warm) -> None:
        plain, ready = cut(data), warm.ready(self._server.second)
        if plain is None or ready is None or len(ready.body) > SMALL or not _is_cut(plain, request):
            return
        if sent.headers.get(hdrs.ETAG) != ready.etag.decode():
            return  # another one has taken its place meanwhile
        if request.method == hdrs.METH_GET:
            ready.heads[sent.status] = head_of(sent)
        self._last = b""  # to be looked up again
        if not self._client:
            self._meet()
        client = request.get(CLIENT, "-")
        self._server.learn(self._mark + plain.rest, Entry(warm, request.method, request.rel_url.raw_path, client))


def cut(data: bytes) -> Plain | None:
    """*data* without the values of its first User-Agent and If-None-Match; None where they are not plain text."""
    rest, agent = _without(data, _AGENTS)
    rest, validators = _without(rest, _VALIDATORS)
    for value in (agent, validators):
        if value and value.translate(None, _PRINTABLE):
            return None
    return Plain(rest, agent, validators)


def is_whole(data: bytes, request: web.BaseRequest) -> bool:
    """Whether *data*, of which aiohttp read *request*, is that alone, from its first byte to its last.

    Each line of it is one that aiohttp counted, so that no other request can be hidden in it.
    """
    lines = len(request.raw_headers) + 2
    return (
        data.startswith((b"GET ", b"HEAD "))
        and data.find(_END) == len(data) - len(_END)
        and data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n") == lines
        and request.version == HttpVersion11
        and request.method == data[: data.index(b" ")].decode()
        and not request.body_exists
        and hdrs.UPGRADE not in request.headers
    )


def head_of(response: web.StreamResponse) -> bytes:
    """The head of *response*, which was sent, but for the lines that change and the empty one."""
    lines = [f"{name}: {value}\r\n" for name, value in response.headers.items() if name.lower() not in _MOVING]
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{''.join(lines)}".encode()


def _without(data: bytes, names: tuple[bytes, ...]) -> tuple[bytes, bytes | None]:
    """*data* without the value of the field that is spelled as one of *names*, and the value."""
    for name in names:
        begin = data.find(name)
        if begin >= 0:
            begin += len(name)
            end = data.find(b"\r\n", begin)
            return data[:begin] + data[end:], data[begin:end].strip(b" ")
    return data, None


def _is_cut(plain: Plain, request: web.BaseRequest) -> bool:
    """Whether what was cut out is all that aiohttp read under these names."""
    said = {hdrs.USER_AGENT: plain.agent, hdrs.IF_NONE_MATCH: plain.validators}
    return all(
        request.headers.getall(name, []) == ([] if value is None else [value.decode()]) for name, value in said.items()
    )


@lru_cache(maxsize=256)
def _has(validators: bytes, etag: bytes) -> bool:
    return validators == etag or if_none_match(validators.decode(), etag.decode())
