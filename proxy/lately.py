"""Questions asked once for all who have them at the same time, and their answers remembered for a little while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class GivenUp(Exception):
    """Nobody asks any longer."""


class Lately(Generic[T]):
    """Answers by the key of their question.  Errors are told to all who wait, and not remembered."""

    def __init__(self, *, room: int, life: float, clock: Callable[[], float]) -> None:
        """*room*: what all answers together may weigh; *life*: seconds for which one holds."""
        self._room = room
        self._life = life
        self._clock = clock
        self._asked: dict[Hashable, tuple[asyncio.Task[T], set[object]]] = {}
        self._known: OrderedDict[Hashable, tuple[float, int, T]] = OrderedDict()
        self._weight = 0

    async def get(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]], *, weight: Callable[[T], int]) -> T:
        """The answer to *key*, which *ask* gives where nobody has it; raise GivenUp where `give_up` came between."""
        known = self._known.get(key)
        if known is not None and known[0] > self._clock():
            return known[2]
        if key not in self._asked:
            task = asyncio.create_task(self._learn(key, ask, weight))
            self._asked[key] = task, set()
        task, waiting = self._asked[key]
        waiting.add(me := object())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            mine = asyncio.current_task()
            if mine is None or mine.cancelling():
                raise
            raise GivenUp from None
        finally:
            waiting.discard(me)
            if not waiting and not task.done():
                task.cancel()  # nobody wants to know any more, and who comes now asks anew
                self._over(key, task)

    def peek(self, key: Hashable) -> T | None:
        """The answer to *key*, if somebody has had it lately; asks nobody."""
        known = self._known.get(key)
        return known[2] if known is not None and known[0] > self._clock() else None

    def put(self, key: Hashable, answer: T, weight: int) -> None:
        """Have *answer* be that to *key* from now on."""
        self._forget(key)
        self._known[key] = self._clock() + self._life, weight, answer
        self._weight += weight
        while self._weight > self._room:
            self._forget(next(iter(self._known)))

    def give_up(self, concerns: Callable[[Hashable], bool]) -> None:
        """Ask no longer about the keys that *concerns* tells; who waits is told so by GivenUp."""
        for key, (task, _) in self._asked.items():
            if concerns(key):
                task.cancel()

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = [task for task, _ in self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _learn(self, key: Hashable, ask: Callable[[], Awaitable[T]], weight: Callable[[T], int]) -> T:
        try:
            answer = await ask()
        finally:
            self._over(key, asyncio.current_task())
        self.put(key, answer, weight(answer))
        return answer

    def _over(self, key: Hashable, task: asyncio.Task[Any] | None) -> None:
        if key in self._asked and self._asked[key][0] is task:
            del self._asked[key]

    def _forget(self, key: Hashable) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self._weight -= known[1]
