"""Stand-ins for the edges; each passes the contract of what it stands for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from packaging.utils import NormalizedName

from proxy.errors import FileExists, NotFound
from proxy.policy import PublicName
from proxy.simple.model import METADATA, File
from proxy.storage import Blob, Fact, Snapshot


class MemoryCache:
    """A Cache that forgets with the process.  Its handles are real descriptors, as sendfile wants."""

    def __init__(self) -> None:
        self.bodies: dict[str, tuple[bytes, float]] = {}

    async def open(self, sha256: str) -> Blob | None:
        if sha256 not in self.bodies:
            return None
        body, modified = self.bodies[sha256]
        handle = open(os.memfd_create(sha256), "r+b", buffering=0)  # noqa: SIM115  # the receiver closes it
        handle.write(body)
        handle.seek(0)
        return Blob(handle=handle, size=len(body), sha256=sha256, modified=modified)

    async def make_room(self, size: int) -> None:
        """Memory has room, or the process is gone."""

    async def adopt(self, sha256: str, body: Path) -> None:
        self.bodies[sha256] = await asyncio.to_thread(body.read_bytes), time.time()
        await asyncio.to_thread(body.unlink)


class MemoryPages:
    """Pages that forget with the process."""

    def __init__(self) -> None:
        self.snapshots: dict[tuple[str, NormalizedName], Snapshot] = {}
        self.bodies: dict[tuple[str, NormalizedName], bytes] = {}

    async def load(self, origin: str, name: PublicName) -> tuple[Snapshot, bytes] | None:
        key = origin, name
        if key not in self.snapshots or key not in self.bodies:
            return None
        return self.snapshots[key], self.bodies[key]

    async def save(self, origin: str, name: PublicName, snapshot: Snapshot, body: bytes | None) -> None:
        self.snapshots[origin, name] = snapshot
        if body is not None:
            self.bodies[origin, name] = body

    async def forget(self, origin: str, name: NormalizedName) -> None:
        for kept in (self.snapshots, self.bodies):
            kept.pop((origin, name), None)


class MemoryFacts:
    """Facts that forget with the process."""

    def __init__(self) -> None:
        self.facts: dict[tuple[str, PublicName], Mapping[str, Fact]] = {}

    async def load(self, origin: str, name: PublicName) -> Mapping[str, Fact]:
        return self.facts.get((origin, name), {})

    async def save(self, origin: str, name: PublicName, facts: Mapping[str, Fact]) -> None:
        self.facts[origin, name] = facts


class MemoryStore:
    """PrivateFiles, Names and Pins that forget with the process."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._claimed: frozenset[NormalizedName] = frozenset()
        self._files: dict[str, tuple[NormalizedName, File, bytes, bytes | None]] = {}
        self._removed: set[str] = set()
        self._pins: dict[tuple[str, str], str] = {}

    async def files(self, name: NormalizedName) -> tuple[File, ...]:
        return tuple(file for owner, file, *_ in map(self._files.__getitem__, sorted(self._files)) if owner == name)

    async def claimed(self) -> frozenset[NormalizedName]:
        return self._claimed

    async def add(self, name: NormalizedName, file: File, body: Path, metadata: bytes | None) -> None:
        content = await asyncio.to_thread(body.read_bytes)
        await asyncio.to_thread(body.unlink)
        if file.filename in self._removed:
            raise FileExists("This filename was previously used by a file that has since been deleted.")
        if file.filename in self._files:
            if self._files[file.filename][2] != content:
                raise FileExists(f"File already exists ('{file.filename}').")
            return
        listed = msgspec.structs.replace(file, upload_time=self._now())
        self._files[file.filename] = name, listed, content, metadata
        if name not in self._claimed:
            self._claimed |= {name}

    async def open(self, file: File) -> Blob:
        beside = file.filename not in self._files
        known = self._files.get(file.filename.removesuffix(METADATA) if beside else file.filename)
        content = known and (known[3] if beside else known[2])
        if known is None or content is None or known[1].path != file.path:
            raise NotFound(f"{file.filename} was never uploaded here.")
        listed = known[1].sibling() if beside else known[1]
        assert listed.sha256 is not None
        assert known[1].upload_time is not None
        handle = open(os.memfd_create(listed.sha256), "r+b", buffering=0)  # noqa: SIM115  # the receiver closes it
        handle.write(content)
        handle.seek(0)
        modified = known[1].upload_time.timestamp()
        return Blob(handle=handle, size=len(content), sha256=listed.sha256, modified=modified)

    async def remove(self, filename: str) -> None:
        if filename in self._removed:
            return
        if self._files.pop(filename, None) is None:
            raise NotFound(f"{filename} was never uploaded here.")
        self._removed.add(filename)

    async def pinned(self, origin: str, filename: str) -> str | None:
        return self._pins.get((origin, filename))

    async def pin(self, origin: str, filename: str, sha256: str) -> str:
        return self._pins.setdefault((origin, filename), sha256)
