"""What can be plugged in: where private files live, and where copies do.

A Store (PrivateFiles, Names, People, Pins) is the truth and loses nothing.  Cache and Pages may forget anything at any
time.  They are apart because that difference must never blur: the one sits in /var/lib, the other in /var/cache.
Every verb raises StoreDown or another Unavailable where it could not find out: none of them answers "no" for "unknown".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeAlias

import msgspec
from packaging.utils import NormalizedName

from ..policy import PublicName
from ..rights import Right
from ..simple.model import File
from ..simple.names import NamePattern

Status: TypeAlias = Literal["active", "archived", "deprecated", "quarantined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes at rest, as an open handle and not a path: what is evicted meanwhile can still be read.

    Whoever receives a Blob closes its handle.
    """

    handle: BinaryIO
    size: int
    """Bytes."""
    sha256: str
    modified: float
    """Seconds since the epoch: when these bytes came here."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has said of a name."""

    status: Status = "active"
    """PEP 792: whether the project takes uploads, and whether its files are offered."""
    reason: str | None = None
    """Why, in words that clients may show."""
    reserved: datetime | None = None
    """When an operator reserved it, aware; None where it was claimed by an upload."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What signs a program in as a user, for some of what that user may do.  Times are aware, in UTC."""

    id: str
    """Names it to people; stands in the token itself, before the secret."""
    user: str
    digest: str
    """The sha256 of the secret, in hex: 256 random bits need no slower hash."""
    scope: tuple[NamePattern, ...] = ()
    """The projects that it is for; empty is all that the user has a right to."""
    may: frozenset[Right] = frozenset()
    """What it may be used for, as far as the user may."""
    note: str = ""
    created: datetime
    expires: datetime | None = None
    used: datetime | None = None
    """When it was last seen, to about a minute."""
    revoked: datetime | None = None
    """It is worth nothing any more.  Kept, so that a restored backup does not bring it back."""


class PrivateFiles(Protocol):
    """Private projects' files: durable, and immutable once added."""

    @property
    def generation(self) -> int:
        """Another one after every change of a Store's files, its names or what was said of them, whoever makes it.

        Asks nobody.  What was read after it was, and under no other one, is what would be read now.
        """
        ...

    async def files(self, name: NormalizedName) -> tuple[File, ...]:
        """The files of *name* by filename, none where nothing was uploaded."""
        ...

    async def add(
        self, name: NormalizedName, file: File, body: Path, metadata: bytes | None, *, provenance: bytes | None = None
    ) -> None:
        """Take over *body*, with the *metadata* and *provenance* beside it, and claim *name*; on return all of it
        survives a power cut.

        *body* must lie in the store's own incoming folder (a rename must do).  Where *file* has no upload_time, it is
        now.  The same bytes again change nothing; raise FileExists where the filename is taken by others, or was and
        has been removed.
        """
        ...

    async def open(self, file: File) -> Blob:
        """The bytes of *file*, or of the `.metadata` or `.provenance` beside one (File.sibling, File.attested); raise
        NotFound where it was never added.
        """
        ...

    async def remove(self, filenames: Collection[str]) -> None:
        """Take *filenames* off their pages for ever, all at once: the claims stay, and no other bytes may have the
        names.  What was removed before is no error; raise NotFound where one was never added, and remove none.
        """
        ...

    async def yank(self, filenames: Collection[str], yanked: bool | str) -> None:
        """Make File.yanked of *filenames* what *yanked* is, all at once; raise NotFound where one is not there, and
        change none (PEP 592).
        """
        ...


class Names(Protocol):
    """Who owns which name."""

    async def claimed(self) -> frozenset[NormalizedName]:
        """Every name ever uploaded or reserved: a claim outlives its files.  The same object until that changes."""
        ...

    async def standings(self) -> Mapping[NormalizedName, Standing]:
        """What was said of names, of those alone of which something was.  The same object until that changes."""
        ...

    async def settle(self, name: NormalizedName, standing: Standing) -> None:
        """Claim *name*, whether or not anything was uploaded, and have *standing* said of it; survives a power cut."""
        ...

    async def release(self, name: NormalizedName) -> None:
        """Give *name* back to the public, with all that was said of it; removed filenames stay removed.

        Raise NotFound where it is not claimed, BadRequest where files of it are here.
        """
        ...

    async def readmit(self, filename: str) -> None:
        """Let *filename*, which was removed, be uploaded again, with any bytes; raise NotFound where it was not."""
        ...


class People(Protocol):
    """What programs sign in with."""

    async def tokens(self) -> Mapping[str, Token]:
        """All that were ever made, by id, revoked ones too.  The same object until anything changes."""
        ...

    async def add_token(self, token: Token) -> None:
        """Remember *token*; raise BadRequest where its id is taken."""
        ...

    async def revoke(self, ids: Collection[str]) -> None:
        """Make them worthless, all at once; raise NotFound where one was never made, and revoke none."""
        ...

    async def used(self, times: Mapping[str, datetime]) -> None:
        """Remember when tokens were last seen; a time earlier than the known one, or of no token, changes nothing."""
        ...


class Pins(Protocol):
    """The first content seen of upstream files whose page lists no hash."""

    async def pinned(self, origin: str, filename: str) -> str | None:
        """The sha256 that *filename* of the index *origin* had at first sight."""
        ...

    async def pin(self, origin: str, filename: str, sha256: str) -> str:
        """Remember *sha256* unless another one is pinned; the one that counts from now on."""
        ...


class Cache(Protocol):
    """Copies of upstream files, by the sha256 of their content."""

    async def open(self, sha256: str) -> Blob | None:
        """The copy, or None where it is not (or no longer) held."""
        ...

    async def adopt(self, sha256: str, body: Path) -> None:
        """Take over *body*, a finished file on the cache's own file system whose digest the caller has checked."""
        ...

    async def make_room(self, size: int) -> None:
        """Forget copies until *size* bytes more fit on the disk, as far as that helps; raises nothing."""
        ...


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A file that stays on its page although the last page of a mirror lacks it."""

    file: File
    """As it is served."""
    since: float
    """Seconds since the epoch: when it was missed first."""
    serial: int | None = None
    """What the pages that still had it had come to (see Snapshot.serial)."""
    removed: bool = False
    """It is believed that the index removed it; else a mirror may have lost it, or not have it yet."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream's page as it came, or its word that there is none."""

    mirror: str
    """Name of the mirror it came from."""
    url: str
    """Where it was found after redirects: the base of its links."""
    content_type: str
    etag: str | None
    last_modified: str | None
    fetched: float
    """Seconds since the epoch: when these bytes came."""
    checked: float
    """Seconds since the epoch: when a mirror last said that they still hold."""
    absent: bool = False
    """Every mirror said 404."""
    serial: int | None = None
    """The index's change number that its pages had come to; of two pages the higher is the later (read.serial_of)."""
    missing: tuple[Missing, ...] = ()
    """The files that the bytes lack and that are served nevertheless."""


class Pages(Protocol):
    """Upstream pages as last seen."""

    async def load(self, origin: str, name: PublicName) -> tuple[Snapshot, bytes] | None:
        """What is remembered of *name* at the index *origin*: the snapshot and the page's own bytes."""
        ...

    async def save(self, origin: str, name: PublicName, snapshot: Snapshot, body: bytes | None) -> None:
        """Remember *snapshot*; where *body* is None the bytes kept before still hold (after a 304)."""
        ...

    async def forget(self, origin: str, name: NormalizedName) -> None:
        """Remember nothing more of *name*, nor of its files."""
        ...


class Fact(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True, gc=False):
    """What was found out about one upstream file, whoever said so.  New fields go to the end."""

    size: int | None = None
    """Bytes."""
    upload_time: datetime | None = None
    """Exact: aware, in UTC."""
    estimated: datetime | None = None
    """About when it was uploaded, where nobody said exactly."""
    metadata: str | None = None
    """The sha256 of its METADATA, as we read it ourselves."""
    listed: str | None = None
    """The sha256 of its METADATA, as a page listed it."""
    reason: str | None = None
    """Why it was yanked, where somebody said more than that."""


class Facts(Protocol):
    """What was found out about upstream files, by their sha256."""

    async def load(self, origin: str, name: PublicName) -> Mapping[str, Fact]:
        """What is remembered of the files of *name* at the index *origin*; nothing where that cannot be read."""
        ...

    async def save(self, origin: str, name: PublicName, facts: Mapping[str, Fact]) -> None:
        """Remember *facts* in place of what was remembered."""
        ...
