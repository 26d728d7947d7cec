"""An index on loopback, laid out as the mirrors are, which can be told to fail and to lie.

It speaks HTTP/1.1 over bare sockets, since what is to be tested includes answers that no HTTP library would send.

    async with UpstreamServer() as up:
        up.publish("demo", *make.wheel("demo", "1.0"))
        up.fault("/packages/", cut_after=1000, times=1)

`running_upstream()` is the same in a thread of its own, for tests that start programs and wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Literal, Self
from urllib.parse import unquote

from proxy.simple.model import HTML, JSON, TEXT

from .upstream_listing import Item, Listing

PACE = {"delay": 0.08, "rate": 5_000_000}
"""A mirror across town: `up.fault("/packages/", **PACE)` (decision 38)."""

CAPTIVE = {"status": 200, "body": b"<html>Please sign in to the network.</html>", "headers": {"Content-Type": TEXT}}
"""What a captive portal puts in place of anything: `up.fault("/", **CAPTIVE)` (F9)."""

EPOCH = 1_700_000_000
STEP = 256 * 1024


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    """As it stood on the wire, with its query."""
    headers: Mapping[str, str]
    """By lower-case name."""


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with the answers to some paths.  Bytes are counted from the beginning of what is sent as body."""

    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Said instead; None takes a header away."""
    body: bytes | None = None
    """Sent instead, whatever Range was asked for."""
    raw: bytes | None = None
    """Sent instead of head and body; then the connection is closed."""
    redirect: str | None = None
    """The Location of a 302, or of what *status* says."""
    delay: float = 0.0
    """Seconds before the head."""
    silent: bool = False
    """No head before the fault is lifted."""
    stall_after: int | None = None
    """No byte beyond before the fault is lifted."""
    cut_after: int | None = None
    """The connection is closed there ..."""
    reset: bool = False
    """... with RST and not FIN."""
    flip: int | None = None
    """This byte differs in one bit."""
    framing: Literal["length", "chunked", "close"] = "length"
    drip: float | None = None
    """Seconds between single bytes."""
    rate: float | None = None
    """Bytes per second."""
    endless: bool = False
    """More and more after the body; framed by the end of the connection."""
    ignores_range: bool = False
    times: int | None = None
    """Requests that meet it; all where None."""
    lifted: asyncio.Event = field(default_factory=asyncio.Event)


class UpstreamServer:
    """One server: `publish`, `fault`, `heal` and what it was asked for in `log`; all may be called from any thread.

    Imitations of real mirrors in tests/family have other paths and pages.
    """

    simple_path = "/simple/"
    files_path = "/packages/"

    def __init__(
        self,
        *,
        kind: Literal["json", "html", "both"] = "both",
        links: str = "../../packages/",
        packed: bool = False,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        """*kind*: of pages; "both" does as the client prefers.  *packed*: pages as gzip to those who take it.

        *links*: see Listing; give `other.files` and let both servers publish, and it is an index with its files apart.
        """
        self.listing = Listing(links=links)
        self.log: list[Request] = []
        self.connections = 0
        """Connections ever accepted."""
        self.port = 0
        self._address = address
        self._kind = kind
        self._packed = packed
        self._tls = tls
        self._faults: tuple[tuple[str, Fault], ...] = ()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: list[asyncio.WriteTransport] = []

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._address}:{self.port}"

    @property
    def simple(self) -> str:
        """The URL to give to clients."""
        return f"{self.origin}{self.simple_path}"

    @property
    def files(self) -> str:
        return f"{self.origin}{self.files_path}"

    def publish(self, project: str, filename: str, body: bytes, **facts: Any) -> Item:
        """Put a file on the index, see Listing.publish."""
        return self.listing.publish(project, filename, body, **facts)

    def url(self, item: Item) -> str:
        """Where *item*'s bytes stand."""
        return f"{self.files}{item.path}/{item.filename}"

    def fault(self, prefix: str, **what: Any) -> Fault:
        """Let answers to paths that begin with *prefix* go wrong; the latest fault that fits a path is the one."""
        fault = Fault(**what)
        self._faults = ((prefix, fault), *self._faults)
        return fault

    def heal(self) -> None:
        """Lift all faults; what was stalled goes on."""
        faults, self._faults = self._faults, ()
        for _, fault in faults:
            self._in_loop(fault.lifted.set)

    def asked(self, prefix: str = "/") -> list[Request]:
        """The requests so far for paths that begin with *prefix*."""
        return [request for request in self.log if request.path.startswith(prefix)]

    def refuse(self) -> None:
        """Close the port, and every connection."""
        self._in_loop(self._close)

    def accept(self) -> None:
        """Open the same port again."""
        self._in_loop(self._open)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = set(self._tasks)
        self._close()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _tick in range(5):  # what was accepted in the last moment begins, and what is aborted comes to its end
            for transport in self._transports:
                transport.abort()  # a close waits for clients that do not read
            await asyncio.sleep(0)

    def _in_loop(self, call: Callable[[], object]) -> None:
        """Do *call* in the server's thread, and return when it is done."""
        if threading.get_ident() == self._thread:
            call()
            return
        done = threading.Event()
        self._loop.call_soon_threadsafe(call)
        self._loop.call_soon_threadsafe(done.set)
        done.wait()

    def _open(self) -> None:
        self._thread = threading.get_ident()
        # Listens from here on, though connections are accepted a moment later.
        self._listener = socket.create_server((self._address, self.port), backlog=512)
        # asyncio leaves that to sockets of its own making; without it each answer waits 40 ms for an acknowledgement.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self._listener.getsockname()[1]
        self._tasks.add(self._loop.create_task(self._serve()))

    def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        if self._server is not None:
            self._server.close()
            self._server = None
        self._listener.close()

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._connected, sock=self._listener, ssl=self._tls)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._transports.append(writer.transport)
        try:
            with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
                while await self._turn(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may bring another."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        request = Request(method, target, {name.strip().lower(): value.strip() for name, _, value in pairs})
        self.log.append(request)
        fault = self._fault(target)
        if fault.ignores_range:
            request = replace(request, headers={k: v for k, v in request.headers.items() if k != "range"})
        return await Wire(writer, fault).send(request, self.reply(request))

    def _fault(self, path: str) -> Fault:
        for prefix, fault in self._faults:
            if path.startswith(prefix) and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return Fault()

    def reply(self, request: Request) -> Reply:
        """The honest answer to *request*."""
        path = unquote(request.path.partition("?")[0])
        if path.startswith(self.files_path):
            return self.file(request, path.removeprefix(self.files_path))
        return self.index(request, path)

    def index(self, request: Request, path: str) -> Reply:
        """For a *path* where there are no files."""
        if path.startswith(self.simple_path):
            name, slash, more = path.removeprefix(self.simple_path).partition("/")
            if name and not slash:
                return Reply(301, {"Location": path + "/"})
            if not more:
                return self.page(request, name) if name else self.root(request)
        return self.elsewhere(request, path)

    def file(self, request: Request, rest: str) -> Reply:
        """For the path *rest* below `files_path`."""
        path, _, filename = rest.rpartition("/")
        body = self.listing.find(path, filename)
        return NOT_FOUND if body is None else file_reply(request, body)

    def root(self, request: Request) -> Reply:
        """The list of all projects."""
        return self._represent(request, lambda as_json: self.listing.root(as_json=as_json))

    def page(self, request: Request, name: str) -> Reply:
        """The page of the project *name*."""
        return self._represent(request, lambda as_json: self.listing.page(name, as_json=as_json))

    def elsewhere(self, request: Request, path: str) -> Reply:
        """For any other *path*."""
        return NOT_FOUND

    def _represent(self, request: Request, page: Callable[[bool], bytes | None]) -> Reply:
        content_type = TEXT + "; charset=utf-8"
        accept = request.headers.get("accept", "")
        if self._kind == "json" or (self._kind == "both" and JSON in accept):
            content_type = JSON
        elif self._kind == "both" and HTML in accept:
            content_type = HTML
        body = page(content_type == JSON)
        if body is None:
            return NOT_FOUND
        return self.static(request, content_type, body)

    def static(self, request: Request, content_type: str, body: bytes) -> Reply:
        """A page as nginx sends it from its disk."""
        headers = {"Content-Type": content_type, **validators(body, EPOCH + self.listing.serial)}
        if unchanged(request, headers):
            return Reply(304, headers)
        if self._packed and "gzip" in request.headers.get("accept-encoding", ""):
            # As nginx does: packed on the way, hence weak and without a length.
            headers |= {"Content-Encoding": "gzip", "ETag": f"W/{headers['ETag']}", "Vary": "Accept-Encoding"}
            return Reply(200, headers, gzip.compress(body, mtime=0), framing="chunked")
        return Reply(200, headers, body)


@dataclass(frozen=True)
class Reply:
    """An honest answer, before any fault."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    framing: Literal["length", "chunked"] = "length"


NOT_FOUND = Reply(404, {"Content-Type": TEXT}, b"<html><h1>About us</h1></html>")


def validators(body: bytes, modified: float) -> dict[str, str]:
    """As nginx makes them, but that the digest stands for the time: a test changes files within a second."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:8]}-{len(body):x}"'
    return {"ETag": etag, "Last-Modified": formatdate(modified, usegmt=True)}


def unchanged(request: Request, headers: Mapping[str, str]) -> bool:
    """Whether the client has what *headers* describe (RFC 9110, section 13.2.2)."""
    if "if-none-match" in request.headers:
        return headers["ETag"] in request.headers["if-none-match"].replace("W/", "").split(", ")
    return request.headers.get("if-modified-since") == headers["Last-Modified"]


def file_reply(request: Request, body: bytes) -> Reply:
    """A file, or the part of it that Range names and If-Range allows."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **validators(body, EPOCH)}
    if unchanged(request, headers):
        return Reply(304, headers)
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if found is None or found[0] == "bytes=-" or request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        return Reply(200, headers, body)
    if found[1]:
        begin, end = int(found[1]), min(int(found[2] or len(body)), len(body) - 1)
    else:
        begin, end = max(0, len(body) - int(found[2])), len(body) - 1
    if begin > end:
        return Reply(416, {**headers, "Content-Range": f"bytes */{len(body)}"})
    return Reply(206, {**headers, "Content-Range": f"bytes {begin}-{end}/{len(body)}"}, body[begin : end + 1])


class Wire:
    """Sends one answer as a fault has it."""

    def __init__(self, writer: asyncio.StreamWriter, fault: Fault) -> None:
        self._writer = writer
        self._fault = fault
        self._chunked = self._closes = False

    async def send(self, request: Request, reply: Reply) -> bool:
        """Send *reply* to *request*; whether the connection goes on."""
        fault = self._fault
        await asyncio.sleep(fault.delay)
        if fault.silent:
            await fault.lifted.wait()
        if fault.raw is not None:
            self._writer.write(fault.raw)
            await self._writer.drain()
            return False
        body = self._head(reply)
        if request.method == "HEAD":
            await self._writer.drain()
            return True
        return await self._body(body)

    def _head(self, reply: Reply) -> bytes:
        """Write status and headers; the body that goes with them."""
        fault = self._fault
        status = fault.status or (302 if fault.redirect else reply.status)
        framing = reply.framing if fault.framing == "length" else fault.framing
        if fault.endless:
            framing = "close"
        replaced = fault.body if fault.body is not None else b"" if fault.redirect or fault.status else None
        body = reply.body if replaced is None else replaced
        headers: dict[str, str | None] = dict(reply.headers)
        if status != 304:
            headers |= {"length": {"Content-Length": str(len(body))}, "chunked": {"Transfer-Encoding": "chunked"}}.get(
                framing, {"Connection": "close"}
            )
        headers |= {"Location": fault.redirect} if fault.redirect else {}
        headers |= fault.headers
        self._chunked = framing == "chunked"
        self._closes = framing == "close"
        lines = [f"HTTP/1.1 {status} As said", *(f"{k}: {v}" for k, v in headers.items() if v is not None)]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        return body

    async def _body(self, body: bytes) -> bool:
        fault = self._fault
        if fault.flip is not None and fault.flip < len(body):  # a part may be shorter
            body = body[: fault.flip] + bytes([body[fault.flip] ^ 1]) + body[fault.flip + 1 :]
        if fault.cut_after is not None:
            body = body[: fault.cut_after]
        await self._part(body[: fault.stall_after])
        # Nobody may be left with a whole answer and a connection on which the next question is not read.
        if fault.stall_after is not None and (len(body) > fault.stall_after or self._chunked or self._closes):
            await fault.lifted.wait()
            await self._part(body[fault.stall_after :])
        while fault.endless:
            await self._part(bytes(STEP))
        if fault.cut_after is not None:
            if fault.reset:
                reset(self._writer)
            return False
        if self._chunked:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return not self._closes

    async def _part(self, data: bytes) -> None:
        fault = self._fault
        step = 1 if fault.drip else max(1, int(fault.rate / 20)) if fault.rate else STEP
        pause = fault.drip or (step / fault.rate if fault.rate else 0.0)
        for begin in range(0, len(data), step):
            piece = data[begin : begin + step]
            self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
            await self._writer.drain()
            await asyncio.sleep(pause)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what was sent and not yet read is lost too."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.contextmanager
def running_upstream(**settings: Any) -> Iterator[UpstreamServer]:
    """An UpstreamServer with *settings* in a thread of its own."""
    server = UpstreamServer(**settings)
    with running(server):
        yield server


@contextlib.contextmanager
def running(*servers: UpstreamServer) -> Iterator[None]:
    """All of *servers*, in one thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="upstream", daemon=True)
    thread.start()
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    try:
        yield
    finally:
        for server in servers:
            asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
