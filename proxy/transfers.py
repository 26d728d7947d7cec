"""Where the bytes of upstream files come from, as a download asks for them: places, and what they send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from .simple.model import File


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One place's answer to the question for a file, or a part of it."""

    mirror: str
    begin: int
    """The byte of the file at which *chunks* begin: 0 where the place does not know ranges."""
    total: int | None
    """Bytes of the whole file, where the place says."""
    chunks: AsyncIterator[bytes]
    """Raise MirrorFailed where the line breaks, stalls or is too slow."""


class Place(Protocol):
    """Somewhere that one file can be had.  It keeps the book of its own failures: nobody needs to report them."""

    @property
    def name(self) -> str:
        """Of the mirror, or the host that a page links to."""
        ...

    @property
    def busy(self) -> bool:
        """Whether one more transfer would have to wait for another to end."""
        ...

    def transfer(self, *, begin: int, end: int | None) -> AbstractAsyncContextManager[Transfer]:
        """The bytes from *begin* to before *end*, or to the end of the file where that is None.

        Raise NotFound where this place has no such file, MirrorFailed where it does not do its part.
        """
        ...


class Sources(Protocol):
    """Where upstream files can be had from."""

    def places(self, file: File, *, avoid: frozenset[str]) -> Sequence[Place]:
        """Where to ask for *file*, the likeliest place first, those whose names are in *avoid* last."""
        ...

    async def measure(self, file: File) -> int | None:
        """The size of *file* in bytes, as a place says, without fetching it.

        Raise NotFound where no place has it, UpstreamDown where not all could say.
        """
        ...
