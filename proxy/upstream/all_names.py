"""The names of several indexes in one list, each once, kept as one file.

Lists can be long, a million names each, and differ in order from mirror to mirror: so the longest is only read
through, and the names of all others are held in memory while the file is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from packaging.utils import NormalizedName

from ..errors import Unavailable
from ..storage import Blob
from .indexes import OneIndex

PIECE = 64 * 1024
"""Bytes of names read and written at a time."""


class AllNames:
    """What *indexes* list, as one list at *path*, whose folder may be emptied at any time."""

    def __init__(self, indexes: Sequence[OneIndex], path: Path) -> None:
        self._indexes = tuple(indexes)
        self._path = path
        self._turn = asyncio.Lock()
        self._making = threading.Lock()  # a thread goes on when whoever waits for it is cancelled
        self._made: tuple[tuple[str, ...], str] | None = None
        """The digests of the lists that the file was made of, and its own."""

    async def open(self) -> Blob:
        """The names, a line each.  Raise Unavailable where one list cannot be had: a page is whole or is none.

        An index that answers only for certain names is no reason for that, as these say what there is: where its
        list cannot be had (many have none), the names that stand for one project each are listed.
        """
        if len(self._indexes) == 1 and not self._indexes[0].names:
            return await self._indexes[0].root()
        found = await asyncio.gather(*(_listed(index) for index in self._indexes), return_exceptions=True)
        lists = [one for one in found if isinstance(one, Blob)]
        try:
            for one in found:
                if isinstance(one, BaseException):
                    raise one
            async with self._turn:
                return await asyncio.to_thread(self._open, lists)
        except OSError as error:
            raise Unavailable(f"The list of all projects cannot be kept: {error.strerror}.") from error
        finally:
            for one in lists:
                await asyncio.to_thread(one.handle.close)

    def _open(self, lists: Sequence[Blob]) -> Blob:
        key = tuple(one.sha256 for one in lists)
        with self._making:
            if self._made is None or self._made[0] != key or not self._path.exists():
                self._made = key, self._write(lists)
            handle = self._path.open("rb", 0)
            found = os.fstat(handle.fileno())
            return Blob(handle=handle, size=found.st_size, sha256=self._made[1], modified=found.st_mtime)

    def _write(self, lists: Sequence[Blob]) -> str:
        """Make the file anew; its sha256."""
        digest, fresh = hashlib.sha256(), self._path.with_name(f"{self._path.name}.new")
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "wb", PIECE) as file:
            for line in self._names(lists):
                digest.update(line)
                file.write(line)
        os.replace(fresh, self._path)
        return digest.hexdigest()

    def _names(self, lists: Sequence[Blob]) -> Iterator[bytes]:
        """The lines of all lists: the longest comes last, and is not held."""
        told = set[bytes]()
        parts = sorted(zip(self._indexes, lists, strict=True), key=lambda part: part[1].size)
        for index, blob in parts[:-1]:
            for line in _covered(index, blob.handle):
                if line not in told:
                    told.add(line)
                    yield line
        index, blob = parts[-1]
        yield from (line for line in _covered(index, blob.handle) if line not in told)


async def _listed(index: OneIndex) -> Blob:
    """What there is at *index*: as it lists itself, or as the operator does."""
    exact = [name for name in index.names if not name.endswith("*")]
    if not index.names or len(exact) < len(index.names):
        try:
            return await index.root()
        except Unavailable:
            if not index.names:
                raise
    return lines_of(exact)


def lines_of(names: Iterable[str]) -> Blob:
    """*names* as a list that is opened like those on disk."""
    body = "".join(f"{name}\n" for name in names).encode()
    return Blob(handle=BytesIO(body), size=len(body), sha256=hashlib.sha256(body).hexdigest(), modified=0.0)


def _covered(index: OneIndex, handle: BinaryIO) -> Iterator[bytes]:
    """The lines of *handle* that *index* may list."""
    rest = b""
    while piece := handle.read(PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if not index.names or index.covers(NormalizedName(line.decode())):
                yield line + b"\n"
