"""What was read from a Store lately, in memory.  Knows nothing of where it came from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from packaging.utils import NormalizedName

from ..simple.model import File

T = TypeVar("T")

MOST = 50_000
"""Files in all: about 50 MB."""


class Latest(Generic[T]):
    """One value and the numbers it was made under; the same object for as long as it is the same value."""

    def __init__(self) -> None:
        self._known: tuple[object, T] | None = None

    async def get(self, made: object, make: Callable[[], Awaitable[T]]) -> T:
        """The value as of *made*, which was read before this was called; *make* gives it where it is not known."""
        if self._known is None or self._known[0] != made:
            value = await make()
            self._known = made, self._known[1] if self._known is not None and self._known[1] == value else value
        return self._known[1]


class Recent:
    """The files of private projects asked for lately.

    Lists made under one generation of the Store; under the next one all of them are forgotten.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._generation: int | None = None
        self._lists: OrderedDict[NormalizedName, tuple[File, ...]] = OrderedDict()
        self._files = 0

    def get(self, name: NormalizedName, generation: int) -> tuple[File, ...] | None:
        if self._generation != generation or name not in self._lists:
            return None
        self._lists.move_to_end(name)
        return self._lists[name]

    def put(self, name: NormalizedName, generation: int, files: tuple[File, ...]) -> None:
        if self._generation != generation:
            self._generation = generation
            self._lists.clear()
            self._files = 0
        self._files += _weight(files) - _weight(self._lists.pop(name, None))
        self._lists[name] = files
        while self._files > self._most:
            _, dropped = self._lists.popitem(last=False)
            self._files -= _weight(dropped)


def _weight(files: tuple[File, ...] | None) -> int:
    # A name without files counts too.
    return 0 if files is None else len(files) + 1
