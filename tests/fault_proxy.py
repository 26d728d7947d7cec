"""A TCP relay between a client and a real server, which does to the server's bytes what bad networks do."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Self

from .upstream_server import reset

READ = 16 * 1024


@dataclass(kw_only=True)
class Toxics:
    """What happens to each connection, counted in bytes from server to client, heads included.

    It may be changed at any time; what is said when a connection begins holds for it.
    """

    refuse: bool = False
    """Accept, and reset at once."""
    blackhole: bool = False
    """Accept, swallow, never answer."""
    latency: float = 0.0
    """Seconds before the first byte."""
    rate: float | None = None
    """Bytes per second."""
    cut_after: int | None = None
    """Close there ..."""
    reset: bool = False
    """... with RST and not FIN."""
    stall_after: int | None = None
    """Send nothing beyond, and keep the connection."""
    corrupt_at: int | None = None
    """Flip one bit of this byte."""
    times: int | None = None
    """Connections that are spoilt; all where None."""


class FaultProxy:
    """Listens on loopback and relays to *port* there; `async with` opens and closes it."""

    def __init__(self, port: int) -> None:
        self.toxics = Toxics()
        self.connections = 0
        """Connections ever accepted."""
        self.port = 0
        self._upstream = port
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self) -> Toxics:
        """What holds for a connection that begins now."""
        toxics = self.toxics
        if toxics.times == 0:
            return Toxics()
        if toxics.times is not None:
            toxics.times -= 1
        return toxics

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        toxics = self._take()
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if toxics.refuse:
                    reset(writer)
                elif toxics.blackhole:
                    await _drain(reader)
                else:
                    await self._relay(reader, writer, toxics)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxics: Toxics) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._upstream)
        questions = asyncio.create_task(_pump(reader, to_server))
        try:
            await _answers(from_server, writer, toxics)
        finally:
            questions.cancel()
            to_server.close()
            await asyncio.gather(questions, return_exceptions=True)


async def _answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxics: Toxics) -> None:
    """Relay what the server says, spoilt."""
    sent = 0
    await asyncio.sleep(toxics.latency)
    while data := await reader.read(READ):
        data = _corrupted(data, sent, toxics.corrupt_at)
        allowed = min((mark for mark in (toxics.cut_after, toxics.stall_after) if mark is not None), default=None)
        fits = allowed is None or sent + len(data) < allowed
        writer.write(data if fits else data[: (allowed or 0) - sent])
        await writer.drain()
        if not fits:
            if allowed == toxics.stall_after:
                await asyncio.Event().wait()
            if toxics.reset:
                reset(writer)
            return
        sent += len(data)
        if toxics.rate:
            await asyncio.sleep(len(data) / toxics.rate)


def _corrupted(data: bytes, sent: int, at: int | None) -> bytes:
    if at is None or not sent <= at < sent + len(data):
        return data
    spoilt = bytearray(data)
    spoilt[at - sent] ^= 1
    return bytes(spoilt)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(READ):
            writer.write(data)
            await writer.drain()


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(READ):
        pass
