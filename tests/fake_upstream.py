"""Stand-ins for the two ways upstream: pages for the Repository, bytes for Downloads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from proxy.download import Transfer
from proxy.errors import MirrorFailed, NotFound, UpstreamDown
from proxy.policy import PublicName
from proxy.simple.model import File, Project
from proxy.simple.names import projects_of, versions_of

from .make import file


class FakeUpstream:
    """An index that holds what was published, and remembers every name that it was asked for."""

    def __init__(self) -> None:
        self.pages: dict[NormalizedName, Project] = {}
        self.asked: list[str] = []
        self.down = False
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
        if name not in self.pages:
            raise NotFound(f"No mirror knows {name}.")
        return self.pages[name]


@dataclass
class Line:
    """What one transfer does: the bytes it brings, and how it ends."""

    body: bytes
    mirror: str = "one"
    ends: str = "well"  # "well", "breaks" or "opens not"
    total: int | None = None
    ignores_range: bool = False


@dataclass
class FakeSources:
    """Gives one Line after the other, whatever is asked for."""

    lines: list[Line]
    chunk: int = 64 * 1024
    opened: list[tuple[str, int, frozenset[str]]] = field(default_factory=list)
    before_chunk: Callable[[], object] | None = None
    gate: asyncio.Event | None = None

    @asynccontextmanager
    async def transfer(self, file: File, *, offset: int, avoid: frozenset[str]) -> AsyncIterator[Transfer]:
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        self.opened.append((line.mirror, offset, avoid))
        if line.ends == "opens not":
            raise UpstreamDown("No mirror gives it.")
        begin = 0 if line.ignores_range else offset
        yield Transfer(
            mirror=line.mirror,
            offset=begin,
            total=line.total,
            etag=None,
            chunks=self._chunks(line, begin),
        )

    async def _chunks(self, line: Line, begin: int) -> AsyncIterator[bytes]:
        for start in range(begin, len(line.body), self.chunk):
            if self.gate is not None:
                await self.gate.wait()
            yield line.body[start : start + self.chunk]
        if line.ends == "breaks":
            raise MirrorFailed(f"{line.mirror} broke off.")

    async def measure(self, file: File) -> int | None:
        return len(self.lines[0].body)
