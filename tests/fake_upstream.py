"""Stand-ins for the two ways upstream: pages for the Repository, bytes for Downloads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from proxy.errors import MirrorFailed, NotFound, UpstreamDown
from proxy.policy import PublicName
from proxy.simple.model import File, Project
from proxy.simple.names import projects_of, versions_of
from proxy.sources import Seen
from proxy.transfers import Transfer

from .make import file


class FakeUpstream:
    """An index that holds what was published, and remembers every name that it was asked for."""

    def __init__(self) -> None:
        self.pages: dict[NormalizedName, Project] = {}
        self.asked: list[str] = []
        self.withdrawn: list[str] = []
        self.fresh = False
        """What is published is in memory, and need not be waited for."""
        self.denied: set[str] = set()
        """What was asked for last and not there."""
        self.down = False
        self.vanished = False
        """Every mirror says 404, and what is remembered still stands."""
        self.gate = asyncio.Event()
        self.gate.set()

    def publish(self, name: str, filename: str, body: bytes = b"bytes", **fields: Any) -> File:
        key = canonicalize_name(name)
        rivals = tuple(rival for rival in projects_of(filename) if rival != key)
        url = f"https://mirror.example/{filename}"
        listed = file(filename, body, origin="pypi", url=url, rivals=rivals, **fields)
        page = self.pages.get(key, Project(name=key))
        files = {**page.files, filename: listed}
        self.pages[key] = Project(
            name=key, files=files, versions=versions_of(key, files), rivals=page.rivals | frozenset(rivals)
        )
        return listed

    async def project(self, name: PublicName, *, max_age: float | None = None) -> Project:
        self.asked.append(name)
        await self.gate.wait()
        if self.down:
            raise UpstreamDown("The index is down.")
        if name not in self.pages or self.vanished:
            self.denied.add(name)
            raise NotFound(f"No mirror knows {name}.")
        self.denied.discard(name)
        return self.pages[name]

    def at_hand(self, name: PublicName) -> Project | None:
        if self.fresh and name in self.denied and name not in self.pages:
            raise NotFound(f"No mirror knows {name}.")
        return self.pages.get(name) if self.fresh else None

    def denies(self, name: NormalizedName) -> bool:
        return name in self.denied

    def seen(self, name: NormalizedName) -> Seen | None:
        return Seen(mirror="one", fetched=1_700_000_000.0, checked=1_700_000_090.0) if name in self.pages else None

    def withdraw(self, name: NormalizedName) -> None:
        self.withdrawn.append(name)
        self.denied.discard(name)


@dataclass
class Line:
    """What one transfer does: the bytes it brings, and how it ends."""

    body: bytes
    mirror: str = "one"
    ends: str = "well"  # "well", "breaks", "stalls", "opens not" or "has it not"
    total: int | None = None
    ignores_range: bool = False


@dataclass
class FakePlace:
    """A mirror of FakeSources: gives one of its Lines after the other, and the last one again and again."""

    name: str
    sources: FakeSources
    lines: list[Line]
    busy: bool = False

    @asynccontextmanager
    async def transfer(self, *, begin: int, end: int | None) -> AsyncIterator[Transfer]:
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        self.sources.opened.append((self.name, begin, self.sources.avoided))
        self.sources.asked.append((self.name, begin, end))
        if line.ends == "opens not":
            raise MirrorFailed(f"{self.name} does not give it.")
        if line.ends == "has it not":
            raise NotFound(f"{self.name} has it not.")
        if line.ignores_range:
            begin, end = 0, None
        yield Transfer(mirror=self.name, begin=begin, total=line.total, chunks=self.sources.chunks_of(line, begin, end))


@dataclass
class FakeSources:
    """The mirrors that *lines* name, in the order in which they are named first."""

    lines: list[Line]
    chunk: int = 64 * 1024
    opened: list[tuple[str, int, frozenset[str]]] = field(default_factory=list)
    """Each question: to whom, from which byte on, and who was to be avoided."""
    asked: list[tuple[str, int, int | None]] = field(default_factory=list)
    """Each question: to whom, from which byte on, and before which."""
    avoided: frozenset[str] = frozenset()
    gate: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.by_name: dict[str, FakePlace] = {}
        for line in self.lines:
            self.by_name.setdefault(line.mirror, FakePlace(line.mirror, self, [])).lines.append(line)

    def places(self, file: File, *, avoid: frozenset[str]) -> Sequence[FakePlace]:
        self.avoided = avoid
        return sorted(self.by_name.values(), key=lambda place: place.name in avoid)

    async def chunks_of(self, line: Line, begin: int, end: int | None) -> AsyncIterator[bytes]:
        body = line.body[:end]
        for start in range(begin, len(body), self.chunk):
            if self.gate is not None:
                await self.gate.wait()
            yield body[start : start + self.chunk]
        if line.ends == "stalls":
            await asyncio.Event().wait()
        if line.ends == "breaks" and len(body) == len(line.body):
            raise MirrorFailed(f"{line.mirror} broke off.")

    async def measure(self, file: File) -> int | None:
        return len(self.lines[0].body)
