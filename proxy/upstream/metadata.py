"""The core metadata of upstream wheels, as we read it ourselves where no mirror has the `.metadata` beside them.

An advertised `.metadata` that cannot be had is fatal in pip and in uv, and most mirrors have none at all.  So it is
read out of the wheel: from our copy, or from the few bytes at its end that are asked for by Range.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol, TypeVar

from packaging.metadata import parse_email
from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from ..archive import Part, RemoteWheel, peek_metadata
from ..download import Download, closing
from ..errors import BadUpload, MirrorFailed, NotFound, ProxyError, UpstreamDown
from ..lately import GivenUp, Lately
from ..simple.model import File
from ..simple.names import belongs
from ..storage import Blob, Cache
from ..transfers import Place, Sources, Transfer

T = TypeVar("T")

AT_ONCE = 8
"""Wheels that are read at the same time."""

MEMORY = 16 * 2**20
"""Bytes of METADATA that are kept in memory, those read last."""

LIFE = 600.0
"""Seconds for which is remembered what a wheel tells, or that it tells nothing."""

SMALL = 256 * 1024
"""Bytes of a wheel that is read once all of it is here, if it is coming: that takes no longer than another question."""

LEAST = 1000
"""Bytes that anything remembered counts for at least."""

MAX_HEAD = 256 * 1024
"""Bytes of METADATA before the description: what is longer is read by no one here."""

MAX_LINES = 10_000
"""In there; each costs time."""

_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")


class Wheels(Protocol):
    """What Downloads can tell of a file without fetching it."""

    async def glimpse(self, file: File, begin: int, end: int, *, whole: bool) -> bytes:
        """The bytes of *file* from *begin* to before *end*, not verified; raise NotFound or UpstreamDown.

        *whole*: they are worth fetching all of it, where no mirror gives parts.
        """
        ...

    async def measure(self, file: File) -> int | None:
        """Its size in bytes; raise NotFound or UpstreamDown."""
        ...

    def arriving(self, file: File) -> Download | None:
        """The whole of it, if that is coming in now."""
        ...


def can_be_read(file: File) -> bool:
    """Whether there is a METADATA in *file* for us to read."""
    return file.filename.endswith(".whl") and not file.private


@dataclass(frozen=True, slots=True)
class Core:
    """What a METADATA says that matters before an install (core metadata 2.1 and later; older ones lack most)."""

    requires: tuple[str, ...]
    """Each Requires-Dist, as it stands."""

    @classmethod
    def read(cls, metadata: bytes, filename: str) -> Core:
        """What *metadata* says; raise NotFound where it is not that of the wheel *filename* (rule 47)."""
        head = _HEAD_ENDS.split(metadata, 1)[0]
        if len(head) > MAX_HEAD or head.count(b"\n") > MAX_LINES:
            raise NotFound(f"The metadata of {filename} is too long to be read here.")
        raw, _ = parse_email(head)
        try:
            name, version, _, _ = parse_wheel_filename(filename)
            same = canonicalize_name(raw.get("name", "")) == name and Version(raw.get("version", "")) == version
        except (InvalidVersion, InvalidWheelFilename):
            same = False
        if not same:
            raise NotFound(f"The metadata in {filename} is that of something else.")
        return cls(tuple(raw.get("requires_dist", ())))


class Readings:
    """METADATA that we read out of wheels: once per wheel, however many ask, and kept in memory for a while."""

    def __init__(
        self,
        wheels: Wheels,
        cache: Cache,
        *,
        clock: Callable[[], float],
        at_once: int = AT_ONCE,
        memory: int = MEMORY,
    ) -> None:
        """*clock*: seconds that never jump; *memory*: bytes."""
        self._wheels = wheels
        self._cache = cache
        self._turns = asyncio.Semaphore(at_once)
        self._known: Lately[bytes | NotFound] = Lately(room=memory, life=LIFE, clock=clock)

    async def own(self, wheel: File, *, whole: bool = True) -> bytes:
        """The METADATA in *wheel*, byte for byte.

        *whole*: it is worth fetching all of a wheel, where no mirror gives parts of it.  Raise NotFound where it is
        not to be had, or is none that every reader would see alike, UpstreamDown where that is not known.
        """
        found = await self._reading(wheel, whole=False)
        if whole and isinstance(found, NotFound):
            found = await self._reading(wheel, whole=True)
        if isinstance(found, NotFound):
            raise NotFound(str(found))
        return found

    def at_hand(self, wheel: File) -> bool:
        """Whether what is in *wheel* can be told without another question, now or in a moment."""
        return self._known.peek(_key(wheel, False)) is not None or self._arriving(wheel) is not None

    async def verified(self, wheel: File, found: Blob | Download) -> bytes:
        """The METADATA in *wheel*, of which *found* is the whole; from now on no other is told.

        Raise NotFound where there is none that every reader would see alike, and whatever keeps *found* from coming.
        """
        if isinstance(found, Download):
            await found.arrived()
        told = await self._near(wheel, found.handle() if isinstance(found, Download) else found.handle)
        keys = {_key(wheel, whole) for whole in (False, True)}
        self._known.give_up(keys.__contains__)
        for key in keys:
            self._known.put(key, told, _weight(told))
        if isinstance(told, NotFound):
            raise NotFound(str(told))
        return told

    def withdraw(self, name: NormalizedName) -> None:
        """*name* is private from now on: stop every question about its wheels."""
        self._known.give_up(lambda key: isinstance(key, tuple) and belongs(str(key[0]), name))

    async def close(self) -> None:
        """Stop what is being read."""
        await self._known.close()

    async def _reading(self, wheel: File, *, whole: bool) -> bytes | NotFound:
        try:
            return await self._known.get(_key(wheel, whole), partial(self._read, wheel, whole), weight=_weight)
        except GivenUp:
            raise UpstreamDown(f"{wheel.filename} is not read any more.") from None

    async def _read(self, wheel: File, whole: bool) -> bytes | NotFound:
        # What may take minutes holds up nothing else: whoever waits for it is counted among the downloads.
        async with nullcontext() if whole else self._turns:
            arriving = self._arriving(wheel)
            if arriving is not None:
                with suppress(ProxyError):
                    await arriving.arrived()
                    return await self._near(wheel, arriving.handle())
            blob = await self._cache.open(wheel.sha256) if wheel.sha256 else None
            return await (self._near(wheel, blob.handle) if blob is not None else self._far(wheel, whole))

    def _arriving(self, wheel: File) -> Download | None:
        return self._wheels.arriving(wheel) if wheel.size is not None and wheel.size <= SMALL else None

    async def _near(self, wheel: File, handle: BinaryIO) -> bytes | NotFound:
        """Out of a copy of the wheel, which is closed then."""

        def read() -> bytes:
            with handle:
                metadata = peek_metadata(handle, wheel.filename)
            Core.read(metadata, wheel.filename)
            return metadata

        try:
            return await closing(read)
        except (BadUpload, NotFound) as error:
            return _nothing(wheel, error)

    async def _far(self, wheel: File, whole: bool) -> bytes | NotFound:
        """From a few parts of a wheel that is not here."""
        try:
            size = wheel.size if wheel.size is not None else await self._wheels.measure(wheel)
            if size is None:
                return NotFound(f"No mirror tells how long {wheel.filename} is.")
            remote = RemoteWheel(wheel.filename, size)
            while isinstance(found := await asyncio.to_thread(remote.metadata), Part):
                remote.put(found, await self._wheels.glimpse(wheel, found.begin, found.end, whole=whole))
            await asyncio.to_thread(Core.read, found, wheel.filename)
        except (BadUpload, NotFound) as error:
            return _nothing(wheel, error)
        return found


def _key(wheel: File, whole: bool) -> tuple[object, ...]:
    return wheel.filename, wheel.origin, wheel.sha256 or wheel.path, whole


def _nothing(wheel: File, error: BadUpload | NotFound) -> NotFound:
    return error if isinstance(error, NotFound) else NotFound(f"{wheel.filename} tells no metadata: {error}")


def _weight(found: bytes | NotFound) -> int:
    return len(found) + LEAST if isinstance(found, bytes) else LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnReading:
    """A place where the `.metadata` of a wheel can always be had: in the wheel.  Satisfies transfers.Place."""

    wheel: File
    own: Callable[[File], Awaitable[bytes]]
    """Readings.own."""
    differs: Callable[[File], None]
    """Is told of a wheel whose page lists another digest for its metadata than that of what is in it."""
    name: str = "own reading"
    busy: bool = False

    @asynccontextmanager
    async def transfer(self, *, begin: int, end: int | None) -> AsyncIterator[Transfer]:
        """As transfers.Place; never NotFound, as what a page promises is never 404 (decision 12)."""
        try:
            metadata = await self.own(self.wheel)
        except ProxyError as error:
            raise MirrorFailed(str(error)) from error
        listed = self.wheel.sibling().sha256
        if listed is not None and hashlib.sha256(metadata).hexdigest() != listed:
            self.differs(self.wheel)
            raise MirrorFailed(f"The metadata in {self.wheel.filename} is not what the page lists.")
        yield Transfer(mirror=self.name, begin=begin, total=len(metadata), chunks=_once(metadata[begin:end]))


class WithOwnReadings:
    """Sources that can give the `.metadata` of any wheel that they have.  Satisfies transfers.Sources."""

    def __init__(
        self,
        sources: Sources,
        own: Callable[[File], Awaitable[bytes]],
        *,
        at_hand: Callable[[File], bool],
        differs: Callable[[File], None],
    ) -> None:
        """*own*, *at_hand*: see Readings; *differs*: see OwnReading."""
        self._sources = sources
        self._own = own
        self._at_hand = at_hand
        self._differs = differs

    def places(self, file: File, *, avoid: frozenset[str]) -> Sequence[Place]:
        """Those of the mirrors, and our own reading behind them, as it costs more questions than one."""
        own = self._reading(file)
        if own is None:
            return self._sources.places(file, avoid=avoid)
        if own.wheel.healed:
            return [own]
        if self._at_hand(own.wheel) and own.name not in avoid:
            return [own, *self._sources.places(file, avoid=avoid)]
        # Before those to be avoided, though: a mirror with a wrong `.metadata` must not be asked over and over.
        return sorted([*self._sources.places(file, avoid=avoid), own], key=lambda place: place.name in avoid)

    async def measure(self, file: File) -> int | None:
        """As transfers.Sources."""
        own = self._reading(file)
        if own is None or not own.wheel.healed:
            try:
                return await self._sources.measure(file)
            except NotFound:
                if own is None:
                    raise
        async with own.transfer(begin=0, end=None) as transfer:
            return transfer.total

    def _reading(self, file: File) -> OwnReading | None:
        if file.of is None or not can_be_read(file.of):
            return None
        return OwnReading(wheel=file.of, own=self._own, differs=self._differs)


async def _once(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk
