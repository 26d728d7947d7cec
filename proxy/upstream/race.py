"""The same question to several, one after the other and then side by side; knows nothing of who is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def race(
    runners: Iterable[Callable[[], Coroutine[Any, Any, T]]], *, hedge: float, is_good: Callable[[T], bool]
) -> list[T]:
    """What the *runners* gave, up to and including the first good one, in the order in which they ended.

    The next one starts as soon as one has ended and was not good, or when nobody has ended for *hedge* seconds.  All
    that still run then, or when the caller is cancelled, are cancelled and gone on return.
    """
    waiting = list(runners)[::-1]
    started: list[asyncio.Task[T]] = []
    running = set[asyncio.Task[T]]()
    ended: list[T] = []
    try:
        while waiting or running:
            if waiting:
                started.append(asyncio.create_task(waiting.pop()()))
                running.add(started[-1])
            done, running = await asyncio.wait(
                running, timeout=hedge if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in sorted(done, key=started.index):  # at the same moment the first asked comes first
                ended.append(task.result())
                if is_good(ended[-1]):
                    return ended
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return ended
