"""What is done to a store, as values, by a process of its own that can be killed at it; and what must be there then.

with acting(state) as actor:
    assert actor.do(Deed("upload", "1.0")) == DONE
    actor.process.kill()
assert look(state) == after(EMPTY, Deed("upload", "1.0"))
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import msgspec
from packaging.utils import canonicalize_name

from proxy.errors import ProxyError
from proxy.simple.model import METADATA, PROVENANCE, File
from proxy.storage import Blob, Standing, Token
from proxy.storage.audit import read_rows
from proxy.storage.disk_store import DiskStore

from .. import make
from ..daemon import STOP
from .releases import Release

PROJECT = "acme-kept"
"""All files are of this project."""

SIZE = 1_000
"""Bytes that a file has at least: its content is one write."""

REASON = "it forgets the last line"
"""Why versions are yanked."""

READY, DONE = "ready", "done"
"""What an actor says when it has opened the store, and when it was told that a deed is done."""

Verb = Literal["upload", "yank", "unyank", "delete", "reserve", "release", "readmit", "issue", "revoke", "reopen"]
"""The first four and readmit are of versions, reserve and release of names, issue and revoke of tokens."""


class Deed(msgspec.Struct, frozen=True):
    """One change that somebody asks for: all of it, or nothing."""

    verb: Verb
    what: tuple[str, ...]

    @classmethod
    def of(cls, verb: Verb, *what: str) -> Self:
        return cls(verb, what)

    @property
    def filenames(self) -> tuple[str, ...]:
        """Where it is of versions."""
        return tuple(release(version).filename for version in self.what)

    def __str__(self) -> str:
        return " ".join([self.verb, *self.what])


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """All that a store has to say."""

    files: Mapping[str, bool | str] = MappingProxyType({})
    """By filename, whether it is yanked."""
    claimed: frozenset[str] = frozenset()
    reserved: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    """The filenames that were used up."""
    tokens: Mapping[str, bool] = MappingProxyType({})
    """By id, whether it is worth anything."""


EMPTY = Shelf()


def after(shelf: Shelf, deed: Deed) -> Shelf:
    """What *shelf* must be when *deed* is done."""
    what = frozenset(deed.what)
    changed = msgspec.structs.replace
    match deed.verb:
        case "upload":
            files = {**dict.fromkeys(deed.filenames, False), **shelf.files}
            return changed(shelf, files=files, claimed=shelf.claimed | {PROJECT})
        case "yank" | "unyank":
            yanked = REASON if deed.verb == "yank" else False
            return changed(shelf, files={**shelf.files, **dict.fromkeys(deed.filenames, yanked)})
        case "delete":
            files = {name: yanked for name, yanked in shelf.files.items() if name not in deed.filenames}
            return changed(shelf, files=files, removed=shelf.removed | frozenset(deed.filenames))
        case "readmit":
            return changed(shelf, removed=shelf.removed - frozenset(deed.filenames))
        case "reserve":
            return changed(shelf, claimed=shelf.claimed | what, reserved=shelf.reserved | what)
        case "release":
            return changed(shelf, claimed=shelf.claimed - what, reserved=shelf.reserved - what)
        case "issue" | "revoke":
            return changed(shelf, tokens={**shelf.tokens, **dict.fromkeys(what, deed.verb == "issue")})
        case "reopen":
            return shelf


def shelves(deeds: Iterable[Deed], begin: Shelf = EMPTY) -> list[Shelf]:
    """What is there before the first of *deeds*, and after each."""
    found = [begin]
    for deed in deeds:
        found.append(after(found[-1], deed))
    return found


@cache
def release(version: str) -> Release:
    return Release(PROJECT, version, SIZE)


def provenance(version: str) -> bytes:
    """What comes with the upload of *version*; the store does not read it."""
    return f'{{"version": 1, "attestation_bundles": [], "of": "{version}"}}'.encode()


def open_store(folder: Path) -> DiskStore:
    return DiskStore(folder, now=lambda: make.NOON)


def look(folder: Path, *then: Deed, provenances: bool = True) -> Shelf:
    """What a store started on *folder* says after *then*; each of its contents is read, and must be what came, which
    was with or without *provenances*.
    """
    store = open_store(folder)

    async def act() -> Shelf:
        try:
            for deed in then:
                await perform(store, deed)
            return await shelf_of(store, provenances=provenances)
        finally:
            await store.close()

    shelf = asyncio.run(act())
    return msgspec.structs.replace(shelf, removed=read_rows(folder).tombstones)


async def shelf_of(store: DiskStore, *, provenances: bool = True) -> Shelf:
    """All that *store* tells, which is all but the filenames that are used up."""
    files = await store.files(canonicalize_name(PROJECT))
    for file in files:
        await _check(store, file, provenances=provenances)
    standings = await store.standings()
    return Shelf(
        files={file.filename: file.yanked for file in files},
        claimed=frozenset(await store.claimed()),
        reserved=frozenset(name for name, standing in standings.items() if standing.reserved is not None),
        tokens={token.id: token.revoked is None for token in (await store.tokens()).values()},
    )


async def _check(store: DiskStore, file: File, *, provenances: bool) -> None:
    version = file.filename.split("-")[1]
    contents = {"": release(version).body, METADATA: release(version).metadata, PROVENANCE: provenance(version)}
    for found in (file, file.sibling(), *([file.attested()] if provenances else [])):
        expected = contents[found.filename.removeprefix(file.filename)]
        assert await asyncio.to_thread(_drained, await store.open(found)) == expected, found.filename


def _drained(blob: Blob) -> bytes:
    with blob.handle:
        return blob.handle.read()


async def perform(store: DiskStore, deed: Deed) -> None:
    """Do *deed* as the server does it; on return it is promised."""
    match deed.verb:
        case "upload":
            for version in deed.what:
                await _upload(store, version)
        case "yank":
            await store.yank(deed.filenames, REASON)
        case "unyank":
            await store.yank(deed.filenames, False)
        case "delete":
            await store.remove(deed.filenames)
        case "readmit":
            for filename in deed.filenames:
                await store.readmit(filename)
        case "reserve":
            for name in deed.what:
                await store.settle(canonicalize_name(name), Standing(reserved=make.NOON))
        case "release":
            for name in deed.what:
                await store.release(canonicalize_name(name))
        case "issue":
            for token in deed.what:
                digest = hashlib.sha256(token.encode()).hexdigest()
                await store.add_token(Token(id=token, user="ann", digest=digest, created=make.NOON))
        case "revoke":
            await store.revoke(deed.what)
        case "reopen":
            raise ValueError("only a process can do that")


async def _upload(store: DiskStore, version: str) -> None:
    made = release(version)
    body = store.incoming / f"{version}.part"
    await asyncio.to_thread(_spool, body, made.body)
    core = {"sha256": hashlib.sha256(made.metadata).hexdigest()}
    file = make.file(made.filename, made.body, upload_time=None, core_metadata=core)
    await store.add(canonicalize_name(PROJECT), file, body, made.metadata, provenance=provenance(version))


def _spool(path: Path, content: bytes) -> None:
    # By writev, which the store does not use: its own writes can be told from ours, and made to fail.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.writev(fd, [content])
    finally:
        os.close(fd)


@dataclass
class Actor:
    """A process that has a store open, and does what it is told."""

    process: subprocess.Popen[str]

    def do(self, deed: Deed) -> str:
        """DONE, or why it was refused; empty where the process died before it could say."""
        return self._told(msgspec.json.encode(deed).decode())

    def look(self) -> Shelf:
        """What the store says in this very process."""
        return msgspec.json.decode(self._told("null"), type=Shelf)

    def _told(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            # Its end goes first to who traces it, who must not be told to let go of it meanwhile.
            self.process.wait(STOP)
        return answer.rstrip("\n")

    def leave(self) -> None:
        """Have it close the store and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(STOP)

    def end(self) -> None:
        """Kill it, as a power cut would."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP)


@contextmanager
def acting(folder: Path, *, under: Sequence[str] = ()) -> Iterator[Actor]:
    """An actor on *folder*, started by the program *under*, that is killed at the end if it still lives."""
    command = [*under, sys.executable, "-m", __name__, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        actor = Actor(process)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{READY}\n"
            yield actor
        finally:
            actor.end()


def main() -> None:
    """Be an actor."""
    folder = Path(sys.argv[1])
    store = open_store(folder)
    _say(READY)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            deed = msgspec.json.decode(line, type=Deed | None)
            try:
                if deed is None:
                    _say(msgspec.json.encode(runner.run(shelf_of(store))).decode())
                    continue
                if deed.verb == "reopen":
                    runner.run(store.close())
                    store = open_store(folder)
                else:
                    runner.run(perform(store, deed))
                _say(DONE)
            except ProxyError as error:
                _say(f"{type(error).__name__}: {error}")
        runner.run(store.close())


def _say(line: str) -> None:
    os.writev(1, [f"{line}\n".encode()])


if __name__ == "__main__":
    main()
