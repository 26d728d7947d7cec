"""The requests under way, so that whoever stops the server can wait for their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class UnderWay:
    """Stands before *handler* and counts.

    aiohttp's own shutdown waits for handlers too, but reads no more from any client from its first moment on: an
    upload would wait for bytes that came long ago, and be cut off.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._count = 0
        self._stopping = False
        self._fell_to_none = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self._count += 1
        try:
            response = await self._handler(request)
            if self._stopping:
                # The client's next question is for whoever serves then.
                response.force_close()
            return response
        finally:
            self._count -= 1
            if not self._count:
                self._fell_to_none.set()

    async def finish(self, seconds: float) -> None:
        """Wait until no request is under way, for up to *seconds*; connections are not kept from now on."""
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._count:
                    self._fell_to_none.clear()
                    await self._fell_to_none.wait()
