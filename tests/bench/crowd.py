"""Many clients who ask for one file in the same moment, and throw its bytes away."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from .measure import LIMIT, Wrong
from .tree import MB

CHECKED = 2
"""Clients whose bytes are hashed: all of them would keep the machine busy."""

BURST = 100
"""Connections that are made at the same time."""

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Crowd:
    """What they saw, in seconds from the moment of asking."""

    first_bytes: list[float]
    """In order."""
    whole: float
    """The last one's."""

    @property
    def late(self) -> float:
        """How much later than the first one's the last first byte came."""
        return self.first_bytes[-1] - self.first_bytes[0]


class _Client(asyncio.BufferedProtocol):
    """One of them.  All share one buffer: what is in there nobody wants."""

    def __init__(self, buffer: memoryview, *, hashing: bool) -> None:
        self._buffer = buffer
        self._head: bytes | None = b""
        """What came of the answer's head; None once all of it has."""
        self._left = 0
        self.digest = hashlib.sha256() if hashing else None
        self.first = 0.0
        self.whole = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        data = self._buffer[:count]
        if self._head is not None:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            length = _LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                self._fail(f"The answer was {head[:200]!r}.")
                return
            self._head, self._left, data = None, int(length[1]), memoryview(body)
        if data and not self.first:
            self.first = time.monotonic()
        if self.digest is not None:
            self.digest.update(data)
        self._left -= len(data)
        if self._left <= 0 and not self.done.done():
            self.whole = time.monotonic()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"The connection ended with {self._left} bytes to go.")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(Wrong(why))


def gather(url: str, count: int, sha256: str) -> Crowd:
    """Have *count* clients ask for *url* at once; raise Wrong where one does not get what it should."""
    return asyncio.run(_gather(url, count, sha256))


async def _dial(client: _Client, host: str, port: int) -> asyncio.Transport:
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: client, host, port)
    return transport


async def _gather(url: str, count: int, sha256: str) -> Crowd:
    split = urlsplit(url)
    asked = f"GET {split.path} HTTP/1.1\r\nHost: {split.netloc}\r\n\r\n".encode()
    buffer = memoryview(bytearray(MB))
    clients = [_Client(buffer, hashing=number < CHECKED) for number in range(count)]
    connected: list[asyncio.Transport] = []
    try:
        for begin in range(0, count, BURST):
            some = clients[begin : begin + BURST]
            connected += await asyncio.gather(
                *(_dial(client, split.hostname or "", split.port or 80) for client in some)
            )
        began = time.monotonic()
        for transport in connected:
            transport.write(asked)
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*(client.done for client in clients))
    finally:
        for transport in connected:
            transport.abort()
    if any(client.digest is not None and client.digest.hexdigest() != sha256 for client in clients):
        raise Wrong(f"{url} gave other bytes than the tree holds.")
    firsts = sorted(client.first - began for client in clients)
    return Crowd(firsts, max(client.whole for client in clients) - began)
