"""A slow line: a TCP relay on loopback which adds a round trip, and carries more than its servers give.

    python -m tests.bench.line --listen 18081 --to 18082 --round-trip 80

What it hears it says half a round trip later on the other side, in both directions, and a connection takes a whole
round trip to be made, as through a long cable.  It does not limit the rate: the server behind it does.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
from collections.abc import Callable

UNDER_WAY = 8 * 1024 * 1024
"""Bytes that one direction of a connection may hold: 200 MB/s at half a round trip of 40 ms."""

BACKLOG = 512


class Side(asyncio.Protocol):
    """One end of a relayed connection; its *peer* is the other."""

    def __init__(self, delay: float, connected: Callable[[Side], None] | None = None) -> None:
        self.peer: Side | None = None
        self.transport: asyncio.Transport | None = None
        self.full = False
        """Whether this end's socket takes no more for now."""
        self._delay = delay
        self._connected = connected
        self._loop = asyncio.get_running_loop()
        self._heard: deque[tuple[float, bytes]] = deque()
        """When to say what to the peer; no bytes at all are the end."""
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._connected is not None:
            transport.pause_reading()
            self._connected(self)

    def join(self, peer: Side) -> None:
        """From now on what this end hears goes to *peer*."""
        self.peer = peer
        if self.transport is not None and not self.transport.is_reading():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._heard.append((self._loop.time() + self._delay, data))
        self._held += len(data)
        if self._held > UNDER_WAY and self.transport is not None:
            self.transport.pause_reading()
        self._wait()

    def eof_received(self) -> bool:
        self.data_received(b"")
        return True  # the other direction goes on

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.peer is not None and self.peer.transport is not None:
            # What was said before the end is still under way.
            self._loop.call_later(self._delay, self.peer.transport.close)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self.peer is not None:
            self.peer.say()

    def say(self) -> None:
        """Pass on all whose time has come, as far as the peer's socket takes it."""
        self._timer = None
        peer = self.peer
        while self._heard and peer is not None and not peer.full and self._heard[0][0] <= self._loop.time():
            data = self._heard.popleft()[1]
            self._held -= len(data)
            if peer.transport is None or peer.transport.is_closing():
                continue
            if data:
                peer.transport.write(data)
            elif peer.transport.can_write_eof():
                peer.transport.write_eof()
        mine = self.transport
        if self._held <= UNDER_WAY and mine is not None and not mine.is_reading() and not mine.is_closing():
            mine.resume_reading()
        if peer is not None and not peer.full:
            self._wait()

    def _wait(self) -> None:
        if self._timer is None and self._heard:
            self._timer = self._loop.call_at(self._heard[0][0], self.say)


async def relay(listen: int, to: int, round_trip: float) -> None:
    """Relay from port *listen* to port *to* of loopback, *round_trip* seconds apart, until cancelled."""
    loop = asyncio.get_running_loop()
    dialling = set[asyncio.Task[None]]()

    async def dial(near: Side) -> None:
        await asyncio.sleep(round_trip)
        try:
            _, far = await loop.create_connection(lambda: Side(round_trip / 2), "127.0.0.1", to)
        except OSError:
            if near.transport is not None:
                near.transport.abort()
            return
        far.join(near)
        near.join(far)

    def connected(near: Side) -> None:
        task = loop.create_task(dial(near))
        dialling.add(task)
        task.add_done_callback(dialling.discard)

    server = await loop.create_server(lambda: Side(round_trip / 2, connected), "127.0.0.1", listen, backlog=BACKLOG)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=int, required=True, metavar="PORT")
    parser.add_argument("--to", type=int, required=True, metavar="PORT")
    parser.add_argument("--round-trip", type=float, default=80.0, metavar="MS", help="milliseconds (default 80)")
    options = parser.parse_args()
    try:
        asyncio.run(relay(options.listen, options.to, options.round_trip / 1000))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
