"""Stand-ins for the edges; each passes the contract of what it stands for."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import msgspec
from packaging.utils import NormalizedName

from proxy.errors import BadRequest, FileExists, NotFound
from proxy.policy import PublicName
from proxy.simple.model import METADATA, PROVENANCE, File
from proxy.simple.names import versions_of
from proxy.storage import Blob, Fact, Snapshot, Standing, Token


class MemoryCache:
    """A Cache that forgets with the process.  Its handles are real descriptors, as sendfile wants."""

    def __init__(self) -> None:
        self.bodies: dict[str, tuple[bytes, float]] = {}

    async def open(self, sha256: str) -> Blob | None:
        if sha256 not in self.bodies:
            return None
        body, modified = self.bodies[sha256]
        return Blob(handle=_in_memory(body), size=len(body), sha256=sha256, modified=modified)

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


@dataclass(kw_only=True)
class _Stored:
    """One private file in memory."""

    name: NormalizedName
    file: File
    content: bytes
    metadata: bytes | None
    provenance: bytes | None


class MemoryStore:
    """PrivateFiles, Names, People and Pins that forget with the process."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._claimed: frozenset[NormalizedName] = frozenset()
        self._standings: Mapping[NormalizedName, Standing] = {}
        self._files: dict[str, _Stored] = {}
        self._removed: dict[str, bool] = {}  # whether it may be uploaded again
        self._tokens: Mapping[str, Token] = {}
        self._pins: dict[tuple[str, str], str] = {}
        self._changes = 0

    @property
    def generation(self) -> int:
        return self._changes

    async def files(self, name: NormalizedName) -> tuple[File, ...]:
        stored = (self._files[filename] for filename in sorted(self._files))
        return tuple(_listed(one) for one in stored if one.name == name)

    async def add(
        self, name: NormalizedName, file: File, body: Path, metadata: bytes | None, *, provenance: bytes | None = None
    ) -> None:
        content = await asyncio.to_thread(body.read_bytes)
        await asyncio.to_thread(body.unlink)
        if self._removed.get(file.filename) is False:
            raise FileExists("This filename was previously used by a file that has since been deleted.")
        known = self._files.get(file.filename)
        if known is not None:
            if known.content != content:
                raise FileExists(f"File already exists ('{file.filename}').")
            known.provenance = known.provenance or provenance
            self._changes += 1
            return
        listed = msgspec.structs.replace(file, upload_time=file.upload_time or self._now())
        self._removed.pop(file.filename, None)
        self._files[file.filename] = _Stored(
            name=name, file=listed, content=content, metadata=metadata, provenance=provenance
        )
        if name not in self._claimed:
            self._claimed |= {name}
        self._changes += 1

    async def open(self, file: File) -> Blob:
        ending = next((end for end in (METADATA, PROVENANCE) if file.filename.endswith(end)), "")
        known = self._files.get(file.filename.removesuffix(ending))
        if known is None or known.file.path != file.path:
            raise NotFound(f"{file.filename} was never uploaded here.")
        content = {"": known.content, METADATA: known.metadata, PROVENANCE: known.provenance}[ending]
        if content is None:
            raise NotFound(f"{file.filename} was never uploaded here.")
        sha256 = hashlib.sha256(content).hexdigest()
        assert known.file.upload_time is not None
        modified = known.file.upload_time.timestamp()
        return Blob(handle=_in_memory(content), size=len(content), sha256=sha256, modified=modified)

    async def remove(self, filenames: Collection[str]) -> None:
        for filename in filenames:
            if filename not in self._files and filename not in self._removed:
                raise NotFound(f"{filename} was never uploaded here.")
        for filename in filenames:
            if self._files.pop(filename, None) is not None:
                self._removed[filename] = False
        self._changes += 1

    async def yank(self, filenames: Collection[str], yanked: bool | str) -> None:
        for filename in filenames:
            if filename not in self._files:
                raise NotFound(f"{filename} is not here.")
        for filename in filenames:
            stored = self._files[filename]
            stored.file = msgspec.structs.replace(stored.file, yanked=True if yanked == "" else yanked)
        self._changes += 1

    async def claimed(self) -> frozenset[NormalizedName]:
        return self._claimed

    async def standings(self) -> Mapping[NormalizedName, Standing]:
        return self._standings

    async def settle(self, name: NormalizedName, standing: Standing) -> None:
        self._claimed |= {name}
        self._standings = {**self._standings, name: standing}
        self._changes += 1

    async def release(self, name: NormalizedName) -> None:
        if name not in self._claimed:
            raise NotFound(f"{name} is neither private nor reserved here.")
        if await self.files(name):
            raise BadRequest(f"Files of {name} are here: delete them first, then release the name.")
        self._claimed -= {name}
        self._standings = {other: said for other, said in self._standings.items() if other != name}
        self._changes += 1

    async def readmit(self, filename: str) -> None:
        if self._removed.get(filename) is not False:
            raise NotFound(f"{filename} was not deleted here: its name is free, or in use.")
        self._removed[filename] = True

    async def tokens(self) -> Mapping[str, Token]:
        return self._tokens

    async def add_token(self, token: Token) -> None:
        if token.id in self._tokens:
            raise BadRequest(f"There is a token {token.id} already.")
        self._tokens = {**self._tokens, token.id: token}

    async def revoke(self, ids: Collection[str]) -> None:
        for id in ids:
            if id not in self._tokens:
                raise NotFound(f"There is no token {id}.")
        for id in ids:
            token = self._tokens[id]
            self._change_token(msgspec.structs.replace(token, revoked=token.revoked or self._now()))

    async def used(self, times: Mapping[str, datetime]) -> None:
        for id, seen in times.items():
            token = self._tokens.get(id)
            if token is not None and (token.used is None or token.used < seen):
                self._change_token(msgspec.structs.replace(token, used=seen))

    async def pinned(self, origin: str, filename: str) -> str | None:
        return self._pins.get((origin, filename))

    async def pin(self, origin: str, filename: str, sha256: str) -> str:
        return self._pins.setdefault((origin, filename), sha256)

    def _change_token(self, token: Token) -> None:
        if self._tokens[token.id] != token:
            self._tokens = {**self._tokens, token.id: token}


def _listed(stored: _Stored) -> File:
    """Its File, with where its provenance is answered."""
    version = versions_of(stored.name, [stored.file.filename])
    if stored.provenance is None or not version:
        return stored.file
    path = (
        f"integrity/{stored.name}/{quote(version[0], safe='!+~')}/{quote(stored.file.filename, safe='!+~')}/provenance"
    )
    return msgspec.structs.replace(stored.file, provenance=path)


def _in_memory(content: bytes) -> BinaryIO:
    handle = open(os.memfd_create("content"), "r+b", buffering=0)  # noqa: SIM115  # the receiver closes it
    handle.write(content)
    handle.seek(0)
    return handle
