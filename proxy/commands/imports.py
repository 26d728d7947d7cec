"""`yizhan import`: distributions that lie elsewhere become private files, each checked as an upload is.

The source is only read.  Every file is as durable as an upload before the next one is begun, so that an import that is
broken off has taken whole files alone; run again, it goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from packaging.utils import NormalizedName

from .. import archive
from ..config import Settings
from ..config.values import read_pattern
from ..errors import BadUpload, StoreDown, Unavailable
from ..policy import Policy
from ..simple.model import File
from ..simple.names import NamePattern, projects_of
from ..storage.audit import read_rows
from ..storage.copying import Step, Unreadable, Watch, copy, digests, reason, unwatched
from ..storage.disk_store import DiskStore
from ..storage.ledger import Rows
from ..storage.tree import open_regular
from ..upload import Facts, check_filename, describe
from .folders import Found, LeftOut, shown

COUNTED = ("md5", "sha256", "blake2b_256")

MOST_SHOWN = 20
"""Files left out that are no distributions: so many are named, and the others counted."""


@dataclass
class Report:
    """What an import came to, or with a dry run would."""

    taken: Counter[NormalizedName] = field(default_factory=Counter)
    """How many files of each project."""
    size: int = 0
    """Bytes that were taken."""
    linked: int = 0
    """How many of the files taken are hard links."""
    here: int = 0
    """Files that were here before, with the same bytes."""
    claimed: set[NormalizedName] = field(default_factory=set)
    """Names that are private from now on."""
    left: list[LeftOut] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What the operator should know of files that are here now, a sentence each."""
    trouble: str = ""
    """Why the import ended before its end."""

    @property
    def well(self) -> bool:
        """Whether all that may be a distribution is here now."""
        return not self.trouble and not any(left.wanted for left in self.left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the operator wants of an import."""

    only: tuple[NamePattern, ...] = ()
    """Take these projects alone; all where there are none."""
    link: bool = False
    """Hard-link the files where that can be done."""
    dry_run: bool = False


class Importer:
    """Takes files into *store*, or with None only says what would be taken; *rows* are what is there already."""

    def __init__(self, store: DiskStore | None, rows: Rows, *, policy: Policy, limits: archive.Limits, wishes: Wishes):
        self.report = Report()
        self._store = store
        self._policy = policy
        self._limits = limits
        self._wishes = wishes
        self._names = set(rows.names)
        self._tombstones = rows.tombstones
        self._files: dict[str, tuple[NormalizedName, File]] = {}
        self._sdists: dict[NormalizedName, list[File]] = {}
        for entry in rows.entries.values():
            self._remember(entry.name, entry.file)

    async def take(self, found: Found, *, now: datetime, step: Step) -> None:
        """Import *found*, or note why not.  Raise Unavailable where the store, and not the file, is at fault."""
        filename = found.path.name
        if self._wishes.only and not any(map(self._is_wanted, projects_of(filename))):
            return
        try:
            check_filename(filename)
            if await self._is_here(found, step):
                self.report.here += 1
                if found.yanked and not self._files[filename][1].yanked:
                    self.report.remarks.append(f"{_yanked(found)}: the file that was here before is not")
                return
            await self._take_new(found, now, step)
        except (BadUpload, Unreadable) as error:
            self.report.left.append(LeftOut(found.place, str(error)))

    async def _is_here(self, found: Found, step: Step) -> bool:
        """Whether these bytes are here, and whole; raise BadUpload where others have the filename, or had it."""
        if found.path.name in self._tombstones:
            raise BadUpload("was deleted here, which uses its filename up")
        if found.path.name not in self._files:
            return False
        known = self._files[found.path.name][1]
        facts = await asyncio.to_thread(_facts, found, found.path, step)
        if facts.sha256 != known.sha256:
            raise BadUpload(f"has other bytes than the file of that name that is here (sha256 {known.sha256})")
        if self._store is None:
            return True
        try:
            (await self._store.open(known)).handle.close()
        except StoreDown:
            return False  # damaged here: taking it again mends it
        return True

    async def _take_new(self, found: Found, now: datetime, step: Step) -> None:
        body, linked = found.path, False
        if self._store is not None:
            body = self._store.incoming / f"{secrets.token_hex(16)}.part"
        try:
            if self._store is not None:
                linked = await asyncio.to_thread(copy, found.path, body, link=self._wishes.link, follow=True)
            facts = await asyncio.to_thread(_facts, found, body, step)
            name, file, metadata = await asyncio.to_thread(_judge, found.path.name, body, facts, self._limits)
            if self._wishes.only and not self._is_wanted(name):
                return
            self._policy.check_release(name, file, self._sdists.get(name, ()))
            stamped = msgspec.structs.replace(file, upload_time=min(found.uploaded or now, now), yanked=found.yanked)
            if self._store is not None:
                await self._store.add(name, stamped, body, metadata)
        finally:
            if self._store is not None:
                await asyncio.to_thread(body.unlink, missing_ok=True)
        self._note(found, name, stamped, linked=linked)

    def _note(self, found: Found, name: NormalizedName, file: File, *, linked: bool) -> None:
        report = self.report
        report.taken[name] += 1
        report.size += file.size or 0
        report.linked += linked
        if found.yanked:
            report.remarks.append(f"{_yanked(found)}, and stays so")
        if name not in self._names:
            other = self._policy.confusable(name, self._names)
            if other is not None:
                report.remarks.append(f"{name} is too easily taken for {other}, which is private here too")
            report.claimed.add(name)
            self._names.add(name)
        self._remember(name, file)

    def _remember(self, name: NormalizedName, file: File) -> None:
        self._files[file.filename] = name, file
        if not file.filename.endswith(".whl"):
            self._sdists.setdefault(name, []).append(file)

    def _is_wanted(self, name: NormalizedName) -> bool:
        return any(pattern.covers(name) for pattern in self._wishes.only)


async def import_all(
    files: Iterable[Found | LeftOut], settings: Settings, wishes: Wishes, *, watch: Watch = unwatched
) -> Report:
    """Import *files* into the store of these *settings*.  Raise StoreDown where that cannot be opened."""
    state = settings.storage.state
    limits = archive.Limits(
        max_metadata=settings.upload.max_metadata,
        max_unpacked=settings.upload.max_unpacked,
        max_members=settings.upload.max_members,
        seconds=settings.upload.timeout,
    )
    policy = Policy(reserved=settings.private.reserved, overlay=frozenset(settings.private.overlay))
    listed = await asyncio.to_thread(list, files)
    store = None
    if not wishes.dry_run:
        store = await asyncio.to_thread(DiskStore, state, now=lambda: datetime.now(UTC))
    try:
        rows = await asyncio.to_thread(_rows, state)
        importer = Importer(store, rows, policy=policy, limits=limits, wishes=wishes)
        importer.report.left += [item for item in listed if isinstance(item, LeftOut)]
        await _take_all(importer, [item for item in listed if isinstance(item, Found)], watch)
        return importer.report
    finally:
        if store is not None:
            await store.close()


async def _take_all(importer: Importer, files: Sequence[Found], watch: Watch) -> None:
    sizes = await asyncio.to_thread(lambda: [_size(found.path) for found in files])
    with watch("importing", sum(sizes)) as step:
        for found in files:
            try:
                await importer.take(found, now=datetime.now(UTC), step=step)
            except (Unavailable, OSError) as error:
                said = str(error) if isinstance(error, Unavailable) else f"{error.strerror}."
                importer.report.trouble = f"At {shown(found.place)}: {said}"
                return


def patterns(texts: Iterable[str]) -> tuple[NamePattern, ...]:
    """The projects that an operator names on the command line; raise click's own error for what is no name."""
    try:
        return tuple(map(read_pattern, texts))
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--only") from None


def _yanked(found: Found) -> str:
    why = f" ({shown(found.yanked)})" if isinstance(found.yanked, str) else ""
    return f"{shown(found.place)} was yanked{why}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _rows(state: Path) -> Rows:
    try:
        return read_rows(state)
    except StoreDown:
        if (state / "store.db").exists():
            raise
        return Rows(names=frozenset(), entries={}, tombstones=frozenset())


def _facts(found: Found, body: Path, step: Step) -> Facts:
    """What is in *body*, the bytes of *found*; raise BadUpload where that is not what the source says."""
    kinds = {
        *COUNTED,
        *(kind for kind in found.hashes if kind in hashlib.algorithms_guaranteed and "shake" not in kind),
    }
    try:
        with open_regular(body, follow=body == found.path) as handle:
            size, counted = digests(handle, kinds, step)
    except OSError as error:
        raise Unreadable(reason(error)) from error
    for kind, told in found.hashes.items():
        if kind in counted and not hmac.compare_digest(told.lower().encode(), counted[kind].encode()):
            raise BadUpload(f"does not have the {kind} digest that the source lists")
    return Facts(size=size, md5=counted["md5"], sha256=counted["sha256"], blake2b_256=counted["blake2b_256"])


def _judge(
    filename: str, body: Path, facts: Facts, limits: archive.Limits
) -> tuple[NormalizedName, File, bytes | None]:
    """The project, the File and the `.metadata` beside it; raise BadUpload."""
    try:
        with body.open("rb") as handle:
            metadata = archive.read_metadata(handle, filename, limits)
    except OSError as error:
        raise Unreadable(reason(error)) from error
    name, file = describe(filename, facts, metadata)
    return name, file, metadata if file.core_metadata else None


def show(report: Report, *, dry_run: bool) -> Iterator[str]:
    """The lines to print."""
    taken, projects = report.taken.total(), len(report.taken)
    linked = f", {report.linked} of them hard-linked" if report.linked else ""
    begin = "would take" if dry_run else "taken"
    yield f"{begin}: {taken} files of {projects} projects ({report.size:,} bytes){linked}"
    yield f"already here: {report.here} files"
    if report.claimed:
        verb = "would be" if dry_run else "are"
        yield f"names that {verb} private from now on: {', '.join(sorted(report.claimed))}"
    yield from (click.style(remark, fg="yellow") for remark in report.remarks)
    yield f"left out: {len(report.left)}"
    for left in report.left:
        if left.wanted:
            yield click.style(f"  {shown(left.place)}: {left.why}", fg="red")
    others = [left for left in report.left if not left.wanted]
    for left in others[:MOST_SHOWN]:
        yield f"  {shown(left.place)}: {left.why}"
    if len(others) > MOST_SHOWN:
        yield f"  and {len(others) - MOST_SHOWN} more that are no distributions of ours to take"
    if report.trouble:
        yield click.style(f"{report.trouble} Run the same command again to go on.", fg="red")
