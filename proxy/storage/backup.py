"""A backup of the state folder, taken while a server runs on it: rows of one moment, and every file they list.

The folder that it is kept in:

    backup.json                  what makes it a backup, written last: the digests of what lies in `kept`
    kept/<sha256>                the database, users and what else lies in the state folder, by their digest
    files/ab/cd/<60 hex>         contents of private files, as in the state folder; a later backup adds to them
    backup.lock, incoming/       of the backup that is being taken

Until a new backup.json is there, all that the one before it means stays: a backup that is broken off costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ..errors import StoreDown
from .audit import DATABASE, FILES, Wrong, by_content, expected_of, read_rows, size_of, wrong_with
from .copying import Step, Unreadable, Watch, copy, digests, reason, unwatched
from .disk_store import lock, telling
from .ledger import Entry, Ledger, Rows
from .tree import Tree, beside_of, make_folder, open_regular, sync

FORMAT = 1
MANIFEST, LOCK, KEPT, INCOMING = "backup.json", "backup.lock", "kept", "incoming"

ATTEMPTS = 5
"""How often the rows are read again because files that they list were deleted before they were copied."""

_NOT_KEPT = frozenset({DATABASE, "lock", "generation"})
"""Files of the state folder that are made anew, or kept in another way."""

_LOGS = ("-wal", "-shm", "-journal")


class NoBackup(Exception):
    """The folder holds no backup that can be used or added to; the message is a sentence that says why."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One file that lies in `kept`, under its digest."""

    sha256: str
    size: int
    """Bytes."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in backup.json."""

    format: int
    version: str
    """Of the Yizhan that took it."""
    made: datetime
    """When its rows were read: aware, in UTC."""
    kept: dict[str, Kept]
    """By the place in the state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """What a backup came to."""

    files: int
    projects: int
    size: int
    """Bytes of private files."""
    copied: int
    """Of the files, those that an earlier backup did not have."""
    wrong: tuple[Wrong, ...]
    """Files that the state folder itself does not have as they were stored, and no earlier backup either."""


def back_up(
    state: Path, folder: Path, *, version: str, now: datetime, link: bool = False, watch: Watch = unwatched
) -> BackedUp:
    """Bring the backup in *folder*, which is made where it is missing, to what the state folder *state* is now.

    Files are copied, or with *link* hard-linked where that can be done.  Every file of the backup is read and held
    against its digest, those that were there already too.  Raise NoBackup, StoreDown, or OSError where *folder* cannot
    be written.
    """
    _refuse_inside(state, folder)
    with _held(folder):
        kept, rows, copied, wrong = _copied(state, folder, link=link, watch=watch)
        for path in _others(state):
            kept[path.relative_to(state).as_posix()] = _keep(path, folder)
        for name in (KEPT, FILES):
            sync(folder / name)
        manifest = Manifest(format=FORMAT, version=version, made=now, kept=kept)
        _write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        _tidy(folder, manifest, rows)
    return BackedUp(
        files=len(rows.entries),
        projects=len(rows.names),
        size=sum(size_of(entries[0]) for entries in by_content(rows.entries.values())),
        copied=copied,
        wrong=wrong,
    )


def read_manifest(folder: Path) -> Manifest:
    """What the backup in *folder* says of itself; raise NoBackup where it is not whole."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NoBackup(f"There is no finished backup in {folder}: it holds no {MANIFEST}.") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise NoBackup(f"The backup in {folder} is damaged: {MANIFEST} cannot be read.") from error
    if manifest.format != FORMAT:
        raise NoBackup(f"The backup in {folder} was taken by a newer Yizhan, {manifest.version}: use that one.")
    for place, kept in manifest.kept.items():
        if Path(place).is_absolute() or ".." in Path(place).parts:
            raise NoBackup(f"The backup in {folder} is damaged: {place!r} is no place in a state folder.")
        try:
            with open_regular(folder / KEPT / kept.sha256) as handle:
                found = digests(handle, ["sha256"], lambda _count: None)
        except OSError as error:
            raise NoBackup(f"The backup in {folder} is damaged: its {place} {reason(error)}.") from error
        if found != (kept.size, {"sha256": kept.sha256}):
            raise NoBackup(f"The backup in {folder} is damaged: its {place} has other bytes than were written.")
    if DATABASE not in manifest.kept:
        raise NoBackup(f"The backup in {folder} is damaged: it holds no {DATABASE}.")
    return manifest


@contextlib.contextmanager
def database_of(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, Rows]]:
    """A copy of the backup's database, of the present schema, that may be changed; and its rows.  Raise StoreDown."""
    with TemporaryDirectory() as scratch:
        database = Path(scratch) / DATABASE
        try:
            copy(folder / KEPT / manifest.kept[DATABASE].sha256, database)
        except Unreadable as error:
            raise NoBackup(f"The backup in {folder} is damaged: its {DATABASE} {error}.") from error
        with telling("read"), contextlib.closing(Ledger(database)) as ledger:
            ledger.check()
            ledger.prepare(expected=True)
            rows = ledger.rows()
        yield database, rows


def transfer(entry: Entry, source: Tree, target: Tree, incoming: Path, *, link: bool, step: Step) -> str | None:
    """Have *target* hold the content of *entry* as *source* does, on the disk; or why *source* does not have it.

    Nothing changes in *target* then.  *incoming* lies on its file system.  Raise OSError where that cannot be written.
    """
    body = incoming / secrets.token_hex(16)
    beside = body.with_suffix(".metadata")
    placed = {False: body, True: beside}
    content = source.target(entry.file.path)
    sources = {False: content, True: beside_of(content)}
    try:
        for which, expected in expected_of(entry).items():
            copy(sources[which], placed[which], link=link)
            with open_regular(placed[which]) as handle:
                found = digests(handle, expected, step)[1]
            if found != expected:
                return "has other bytes than were stored"
            sync(placed[which])
        target.place(entry.file.path, body, beside if beside.exists() else None)
    except Unreadable as error:
        return str(error)
    finally:
        body.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)
    return None


def _refuse_inside(state: Path, folder: Path) -> None:
    inner, outer = folder.resolve(), state.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise NoBackup(f"A backup cannot lie in the state folder, nor around it: choose another folder than {folder}.")


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """*folder*, ours alone, with the folders that a backup is made of."""
    if folder.exists() and not (folder / LOCK).exists() and any(folder.iterdir()):
        raise NoBackup(f"{folder} holds other things than a backup: give an empty or a new folder.")
    make_folder(folder)
    try:
        held = lock(folder / LOCK)
    except StoreDown:
        raise NoBackup(f"Another backup into {folder} is being taken just now.") from None
    try:
        for name in (KEPT, FILES, INCOMING):
            make_folder(folder / name)
        _empty(folder / INCOMING)
        sync(folder)
        yield
    finally:
        os.close(held)


def _copied(
    state: Path, folder: Path, *, link: bool, watch: Watch
) -> tuple[dict[str, Kept], Rows, int, tuple[Wrong, ...]]:
    """The database as kept, its rows, how many of their files were copied, and which could not be."""
    copied = 0
    for _ in range(ATTEMPTS):
        kept = {DATABASE: _keep(state / DATABASE, folder)}
        with telling("read"), Ledger.reading(folder / KEPT / kept[DATABASE].sha256) as ledger:
            rows = ledger.rows()
        _refuse_another(folder, rows)
        more, wrong = _copy_contents(state, folder, rows, link=link, watch=watch)
        copied += more
        if not wrong:
            break
        # Deleted while we copied: then these rows are of no moment at which all their files were there.
        later = read_rows(state)
        if all(later.entries.get(entry.file.filename) == entry for entry, _ in wrong):
            break
    return kept, rows, copied, tuple(Wrong(entry.file.filename, why) for entry, why in wrong)


def _refuse_another(folder: Path, rows: Rows) -> None:
    """Raise NoBackup where the backup in *folder* has what *rows* neither list nor bury: it may be all that is left."""
    if not (folder / MANIFEST).exists():
        return
    with database_of(folder, read_manifest(folder)) as (_, former):
        lost = former.entries.keys() - rows.entries.keys() - rows.tombstones - rows.readmitted
    if lost:
        raise NoBackup(
            f"The backup in {folder} has {len(lost)} files that were never deleted and are not in the store, such as "
            f"{min(lost)}: restore it first, or take this backup into another folder."
        )


def _copy_contents(
    state: Path, folder: Path, rows: Rows, *, link: bool, watch: Watch
) -> tuple[int, list[tuple[Entry, str]]]:
    source, target = Tree(state / FILES), Tree(folder / FILES)
    copied, wrong = 0, list[tuple[Entry, str]]()
    contents = by_content(rows.entries.values())
    with watch("backing up", sum(size_of(entries[0]) for entries in contents)) as step:
        for entries in contents:
            if wrong_with(target, entries[0], step) is not None:
                why = transfer(entries[0], source, target, folder / INCOMING, link=link, step=step)
                wrong += [(entry, why) for entry in entries if why]
                copied += 0 if why else len(entries)
    return copied, wrong


def _others(state: Path) -> Iterable[Path]:
    """What is neither files nor rows of files, nor made anew at every start."""
    for path in sorted(state.rglob("*")):
        first = path.relative_to(state).parts[0]
        made_anew = first in {FILES, INCOMING} or path.name.startswith(".") or path.name.endswith(_LOGS)
        if not made_anew and first not in _NOT_KEPT and path.is_file() and not path.is_symlink():
            yield path


def _keep(path: Path, folder: Path) -> Kept:
    """Put *path* into `kept`: a database as it is at one moment, all else as it stands."""
    spool = folder / INCOMING / secrets.token_hex(16)
    try:
        if path.suffix == ".db":
            _copy_database(path, spool)
        else:
            copy(path, spool)
        sync(spool)
        with open_regular(spool) as handle:
            size, found = digests(handle, ["sha256"], lambda _count: None)
        os.replace(spool, folder / KEPT / found["sha256"])
    except Unreadable as error:
        raise StoreDown(f"The state folder's {path.name} {error}.") from error
    finally:
        spool.unlink(missing_ok=True)
    return Kept(sha256=found["sha256"], size=size)


def _copy_database(path: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with telling("read"), Ledger.reading(path, any_version=True) as ledger:
        ledger.copy(target)


def _write(path: Path, content: bytes) -> None:
    """Put *content* in the place of the file *path*, all or nothing, on the disk."""
    spool = path.parent / INCOMING / secrets.token_hex(16)
    spool.write_bytes(content)
    sync(spool)
    os.replace(spool, path)
    sync(path.parent)


def _tidy(folder: Path, manifest: Manifest, rows: Rows) -> None:
    """Drop what only the backup before this one needed."""
    wanted = {kept.sha256 for kept in manifest.kept.values()}
    for path in (folder / KEPT).iterdir():
        if path.name not in wanted:
            path.unlink()
    tree = Tree(folder / FILES)
    for gone in set(tree.contents()) - {entry.file.path for entry in rows.entries.values()}:
        tree.remove(gone)
    _empty(folder / INCOMING)


def _empty(folder: Path) -> None:
    for left in folder.iterdir():
        left.unlink()
