"""A request's body that must keep coming: cut where it comes too slowly, or never ends.

aiohttp has no limit for either: one byte a minute keeps a connection for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import StreamReader

from ..errors import BadUpload, TooLarge


@asynccontextmanager
async def paced(content: StreamReader, *, rate: int, window: float, most: int) -> AsyncIterator[None]:
    """Read *content* inside this; raise BadUpload below *rate* bytes a second, TooLarge beyond *most* bytes.

    Looked at once in each *window* of seconds, so a pause shorter than that does no harm.  *most* is a net below the
    limits of parts and fields: it also counts what stands before, between and behind them.
    """
    loop = asyncio.get_running_loop()
    seen = content.total_bytes
    next_look: asyncio.TimerHandle

    def look() -> None:
        nonlocal seen, next_look
        came, seen = content.total_bytes - seen, content.total_bytes
        # What has come in whole may take us as long as it takes.
        if seen > most or (came < rate * window and not content.is_eof()):
            bound.reschedule(loop.time())
        else:
            next_look = loop.call_later(window, look)

    next_look = loop.call_later(window, look)
    try:
        async with asyncio.timeout(None) as bound:
            yield
    except TimeoutError:
        if not bound.expired():
            raise
        if content.total_bytes > most:
            raise TooLarge(f"The upload is longer than {most} bytes.") from None
        raise BadUpload(f"The upload came more slowly than {rate} bytes a second for {window:g} seconds.") from None
    finally:
        next_look.cancel()
