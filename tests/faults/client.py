"""A client over bare sockets: sends what no HTTP library would, and knows a whole answer from a broken one."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit

READ = 1024 * 1024


class Broken(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came for one request."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    head: bytes = b""
    """As it came."""
    body: bytes = b""
    complete: bool = True
    """All came that the server announced; a client would believe it."""

    @property
    def ends_connection(self) -> bool:
        """Whether no further request can be sent behind this one."""
        return not self.complete or self.head.startswith(b"HTTP/1.0") or self.headers.get("connection") == "close"


NOTHING = Answer(status=0, complete=False)
"""The server closed before it said anything."""


class Client:
    """One connection to the server at *url*; `async with` opens and closes it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        self._host = parts.netloc
        self._socket = socket.socket()
        self._pending = b""
        self._left: int | None = 0
        self._chunked = False

    async def __aenter__(self) -> Self:
        await self.reopen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def reopen(self) -> None:
        """Begin anew, on another connection."""
        self._socket.close()
        self._pending = b""
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(self._socket, self._address)

    async def ask(
        self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send one request, and take its whole answer, or as much of it as comes."""
        try:
            answer = await self.begin(target, method, headers, body)
        except (Broken, ConnectionError):
            return NOTHING
        came, complete = bytearray(), True
        try:
            async for piece in self.body():
                came += piece
        except (Broken, ConnectionError):
            complete = False
        return replace(answer, body=bytes(came), complete=complete)

    async def begin(
        self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send one request, and take the head of its answer; raise Broken where none comes."""
        said = {"Host": self._host, **({"Content-Length": str(len(body))} if body or method == "POST" else {})}
        said |= headers or {}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
        request = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
        await asyncio.get_running_loop().sock_sendall(self._socket, request)
        head = await self._until(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").rstrip().split("\r\n")
        pairs = (line.partition(":") for line in fields)
        answer = Answer(
            status=int(first.split(" ")[1]),
            headers={name.strip().lower(): value.strip() for name, _, value in pairs},
            head=head,
        )
        self._frame(method, answer)
        return answer

    async def body(self) -> AsyncIterator[bytes]:
        """The body's bytes as they come; raise Broken where it ends early."""
        if self._chunked:
            while size := int(await self._until(b"\r\n"), 16):
                async for piece in self._exactly(size):
                    yield piece
                await self._until(b"\r\n")
            await self._until(b"\r\n")
        elif self._left is not None:
            async for piece in self._exactly(self._left):
                yield piece
        else:
            while piece := await self._some(READ):
                yield piece

    def _frame(self, method: str, answer: Answer) -> None:
        self._chunked = False
        if method == "HEAD" or answer.status in (204, 304):
            self._left = 0
        elif answer.headers.get("transfer-encoding") == "chunked":
            self._chunked = True
        else:
            length = answer.headers.get("content-length")
            self._left = int(length) if length is not None else None

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._pending:
            more = await asyncio.get_running_loop().sock_recv(self._socket, 64 * 1024)
            if not more:
                raise Broken("The connection ended in a head.")
            self._pending += more
        found, _, self._pending = self._pending.partition(mark)
        return found + mark

    async def _exactly(self, count: int) -> AsyncIterator[bytes]:
        while count:
            piece = await self._some(count)
            if not piece:
                raise Broken(f"The connection ended {count} bytes early.")
            count -= len(piece)
            yield piece

    async def _some(self, most: int) -> bytes:
        """Up to *most* bytes; none at the end of the connection."""
        if self._pending:
            piece, self._pending = self._pending[:most], self._pending[most:]
            return piece
        return await asyncio.get_running_loop().sock_recv(self._socket, min(most, READ))


async def ask(
    url: str, target: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request on a connection of its own."""
    async with Client(url) as client:
        return await client.ask(target, method, headers, body)


async def upload(url: str, project: str, version: str, filename: str, body: bytes) -> Answer:
    """What twine sends, less credentials: the server takes uploads from anyone."""
    boundary = uuid.uuid4().hex
    kind = "bdist_wheel" if filename.endswith(".whl") else "sdist"
    form = {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.1",
        "name": project,
        "version": version,
        "filetype": kind,
        "pyversion": "py3" if kind == "bdist_wheel" else "source",
    }
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in form.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    content = "\r\n".join(parts).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    return await ask(url, "/legacy/", "POST", {"Content-Type": f"multipart/form-data; boundary={boundary}"}, content)
