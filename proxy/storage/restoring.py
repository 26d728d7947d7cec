"""A backup brought back into a state folder, empty or in use before: a union, in which what is there now wins.

Nothing that exists is lost by it: no claim, no tombstone, no file, no yank, no word of an operator about a name
(decision 6); and no token that was revoked is good again.  Files come first and rows last, so
that a restore that is broken off leaves a folder that is as before, or that no server starts on; run it again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .audit import DATABASE, FILES, Wrong, by_content, read_rows, size_of, wrong_with
from .backup import INCOMING, KEPT, Kept, Manifest, NoBackup, database_of, read_manifest, transfer
from .copying import Watch, copy, digests, unwatched
from .disk_store import lock, telling
from .generation import Generation
from .ledger import Entry, Ledger, Rows
from .tree import Tree, make_folder, open_regular, sync

_NOTHING = Rows(names=frozenset(), entries={}, tombstones=frozenset())

_DAMAGED = f"The state folder's database is damaged: move {DATABASE}* to another place, then restore again."


class Damaged(NoBackup):
    """Some files of the backup are not what was stored: those in *wrong*, by filename, with the reason."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        lines = [f"  {filename}: {why}" for filename, why in sorted(wrong.items())]
        first = "Nothing was restored, as some of the backup is damaged; --partial restores the rest."
        super().__init__("\n".join([first, *lines]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore came to, or with a dry run would."""

    made: datetime
    """When the backup was taken: aware, in UTC."""
    files: int
    """That were not in the state folder."""
    projects: int
    """Names that were not claimed in the state folder."""
    size: int
    """Bytes of files that were written."""
    here: int
    """Files that were there already, with the same bytes."""
    deleted: tuple[str, ...]
    """Files that were deleted since, and stay so."""
    others: tuple[str, ...]
    """Files whose filename has other bytes now, and keeps them."""
    otherwise: tuple[str, ...]
    """Files that the backup has as deleted, or yanked otherwise, and that stay as they are."""
    placed: tuple[str, ...]
    """What else was brought back, by its place in the state folder."""
    left: tuple[str, ...]
    """What else is there now with another content, and keeps it."""
    wrong: tuple[Wrong, ...]
    """Files that the backup does not have as they were stored."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Who of the backup's rows goes where."""

    new: tuple[Entry, ...]
    here: tuple[Entry, ...]
    deleted: tuple[str, ...]
    others: tuple[str, ...]
    otherwise: tuple[str, ...]


def restore(
    source: Path, state: Path, *, partial: bool = False, dry_run: bool = False, watch: Watch = unwatched
) -> Restored:
    """Bring the backup in *source* back into the state folder *state*, which no server may use meanwhile.

    All of the backup is read and held against its digests before anything is changed; where some of it is damaged,
    only with *partial* the rest is restored, and all rows.  With *dry_run* nothing is changed.  Raise NoBackup (Damaged
    among them), StoreDown, or OSError where *state* cannot be written.
    """
    manifest = read_manifest(source)
    with contextlib.ExitStack() as stack:
        database, then = stack.enter_context(database_of(source, manifest))
        wrong = _damage(Tree(source / FILES), then, watch)
        if wrong and not partial and not dry_run:
            raise Damaged(wrong)
        if dry_run:
            now = read_rows(state) if (state / DATABASE).exists() else _NOTHING
        else:
            now = stack.enter_context(_owned(state))
        plan = _plan(then, now)
        placed, left = _others(source, manifest, state)
        size = 0
        if not dry_run:
            size = _bring(plan, wrong, Tree(source / FILES), state, watch)
            _put_rows(database, state)
            for place in placed:
                _put(source / KEPT / manifest.kept[place].sha256, state / place, state)
            Generation(state / "generation").change()
    return Restored(
        made=manifest.made,
        files=len(plan.new),
        projects=len(then.names - now.names),
        size=size,
        here=len(plan.here),
        deleted=plan.deleted,
        others=plan.others,
        otherwise=plan.otherwise,
        placed=placed,
        left=left,
        wrong=tuple(Wrong(filename, why) for filename, why in sorted(wrong.items())),
    )


def _damage(tree: Tree, rows: Rows, watch: Watch) -> dict[str, str]:
    """What is wrong with files of the backup, by filename."""
    contents = by_content(rows.entries.values())
    with watch("verifying the backup", sum(size_of(entries[0]) for entries in contents)) as step:
        found = [(entries, wrong_with(tree, entries[0], step)) for entries in contents]
    return {entry.file.filename: why for entries, why in found if why for entry in entries}


@contextlib.contextmanager
def _owned(state: Path) -> Iterator[Rows]:
    """The state folder, ours alone; gives what its database, brought to the present schema, says now."""
    make_folder(state)
    held = lock(state / "lock")
    try:
        make_folder(state / INCOMING)
        yield _present(state / DATABASE)
    finally:
        os.close(held)


def _present(database: Path) -> Rows:
    if not database.exists():
        return _NOTHING
    with telling("read"):
        try:
            with contextlib.closing(Ledger(database)) as ledger:
                ledger.check()
                # No schema is made here: a server that found it, and no rows yet, would call every name public.
                if ledger.version():
                    ledger.prepare(expected=True)
                    return ledger.rows()
        except sqlite3.DatabaseError as error:
            # Our own check, which finds damage, gives no code.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise NoBackup(_DAMAGED) from error
            raise
        _set_aside(database)
        return _NOTHING


def _set_aside(database: Path) -> None:
    """Move what is left of a lost *database* out of the way: its log must not be taken for one of a new database."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{database}{suffix}", f"{database}{suffix}.lost")


def _plan(then: Rows, now: Rows) -> _Plan:
    new, here, deleted, others = list[Entry](), list[Entry](), list[str](), list[str]()
    for filename, entry in then.entries.items():
        present = now.entries.get(filename)
        if filename in now.tombstones or filename in now.readmitted:
            deleted.append(filename)
        elif present is None:
            new.append(entry)
        elif (present.name, present.file.path) == (entry.name, entry.file.path):
            here.append(entry)
        else:
            others.append(filename)
    # No row tells which of the two was said later: the operator has to know of it.
    otherwise = now.entries.keys() & (then.tombstones | then.readmitted)
    otherwise |= {at for at in (entry.file.filename for entry in here) if _yanked(then, at) != _yanked(now, at)}
    return _Plan(tuple(new), tuple(here), tuple(deleted), tuple(others), tuple(sorted(otherwise)))


def _yanked(rows: Rows, filename: str) -> bool | str:
    return rows.entries[filename].file.yanked


def _bring(plan: _Plan, wrong: Mapping[str, str], source: Tree, state: Path, watch: Watch) -> int:
    """Have the state folder hold every content of the *plan*, mending what is damaged there; how many bytes came."""
    target = Tree(state / FILES)
    if not target.exists():
        target.make()
    wanted = by_content(plan.new + plan.here)
    size = 0
    with watch("restoring", sum(size_of(entries[0]) for entries in wanted)) as step:
        for entry, *_ in wanted:
            if entry.file.filename in wrong or wrong_with(target, entry, step) is None:
                continue
            why = transfer(entry, source, target, state / INCOMING, link=False, step=step)
            if why is not None:
                raise NoBackup(f"The backup changed while it was read: {entry.file.filename} {why}.")
            size += size_of(entry)
    return size


def _put_rows(backup: Path, state: Path) -> None:
    """Add the rows of the database *backup* to those of the state folder, or make it that folder's database."""
    database = state / DATABASE
    if database.exists():
        with telling("written"), contextlib.closing(Ledger(database)) as ledger:
            ledger.absorb(backup)
        return
    _set_aside(database)
    whole = backup.with_name("whole.db")
    with telling("read"), Ledger.reading(backup) as ledger:
        ledger.copy(whole)
    _put(whole, database, state)


def _others(source: Path, manifest: Manifest, state: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What else the backup holds that is not in the state folder, and what is there with another content."""
    placed, left = list[str](), list[str]()
    for place, kept in sorted(manifest.kept.items()):
        if place == DATABASE:
            continue
        if not os.path.lexists(state / place):
            placed.append(place)
        elif not _is(state / place, kept):
            left.append(place)
    return tuple(placed), tuple(left)


def _is(path: Path, kept: Kept) -> bool:
    try:
        with open_regular(path) as handle:
            return digests(handle, ["sha256"], lambda _count: None)[1]["sha256"] == kept.sha256
    except OSError:
        return False


def _put(source: Path, target: Path, state: Path) -> None:
    """Make *target*, in the state folder, a copy of *source*: all or nothing, and on the disk."""
    spool = state / INCOMING / secrets.token_hex(16)
    try:
        copy(source, spool)
        sync(spool)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(spool, target)
        sync(target.parent)
    finally:
        spool.unlink(missing_ok=True)
