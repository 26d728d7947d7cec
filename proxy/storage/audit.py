"""Every private file and provenance held against its row, and every row against its file: reads all, changes nothing.

A server may be running on the same folder: what it changes meanwhile is looked at again before it is called wrong.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .copying import Step, Watch, digests, reason, unwatched
from .disk_store import telling
from .ledger import Entry, Ledger, Rows
from .tree import Tree, beside_of

DATABASE, FILES = "store.db", "files"

SETTLED = 60.0
"""Seconds after which a content without a row is no upload of just now any more."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is not as it should be."""

    what: str
    """A filename, or the place of a content."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was looked at, and what was found."""

    files: int
    projects: int
    """Names that are claimed, whether or not files are left."""
    size: int
    """Bytes."""
    wrong: tuple[Wrong, ...]


def read_rows(state: Path) -> Rows:
    """What the database in the state folder *state* says now; raise StoreDown where it cannot be read."""
    with telling("read"), Ledger.reading(state / DATABASE) as ledger:
        return ledger.rows()


def audit(state: Path, *, now: float, watch: Watch = unwatched) -> Audit:
    """Look at all of the state folder *state*; *now* in seconds since the epoch.  Raise StoreDown."""
    with telling("read"), Ledger.reading(state / DATABASE) as ledger:
        ledger.check()
        rows = ledger.rows()
        attested = [filename for filename, digest, body in ledger.provenances() if _is_damaged(body, digest)]
    tree = Tree(state / FILES)
    contents = by_content(rows.entries.values())
    with watch("verifying", sum(size_of(entries[0]) for entries in contents)) as step:
        found = [(entries, wrong_with(tree, entries[0], step)) for entries in contents]
    wrong = [(entry, why) for entries, why in found if why for entry in entries]
    with telling("read"):
        lost = set(tree.contents()) - {entry.file.path for entry in rows.entries.values()}
    if wrong or lost:
        later = read_rows(state)
        wrong = [(entry, why) for entry, why in wrong if _is_still(entry, later)]
        lost -= {entry.file.path for entry in later.entries.values()}
    left = [path for path in sorted(lost) if _is_settled(tree, path, now)]
    return Audit(
        files=len(rows.entries),
        projects=len(rows.names),
        size=sum(size_of(entries[0]) for entries in contents),
        wrong=(
            *(Wrong(entry.file.filename, why) for entry, why in wrong),
            *(Wrong(filename, "its provenance has other bytes than were stored") for filename in attested),
            *(Wrong(f"{FILES}/{path}", _UNLISTED) for path in left),
        ),
    )


def by_content(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Those of *entries* that share a content, together."""
    found: dict[object, list[Entry]] = {}
    for entry in entries:
        found.setdefault(_content(entry), []).append(entry)
    return list(found.values())


def size_of(entry: Entry) -> int:
    """Bytes of its content."""
    return entry.file.size or 0


def wrong_with(tree: Tree, entry: Entry, step: Step) -> str | None:
    """Why what *tree* holds for *entry* is not what its row says; None where it is, to the last byte."""
    for beside, expected in expected_of(entry).items():
        whose = "its .metadata " if beside else ""
        try:
            with tree.open(entry, beside=beside).handle as handle:
                found = digests(handle, expected, step)[1]
        except OSError as error:
            return whose + reason(error)
        if found != expected:
            return f"{whose}has other bytes than were stored"
    return None


def expected_of(entry: Entry) -> dict[bool, dict[str, str]]:
    """The digests of the content of *entry* (at False), and of the `.metadata` beside it (at True) if there is one."""
    found = {False: {"sha256": entry.file.sha256 or "", "blake2b_256": entry.file.path.replace("/", "")}}
    core = entry.file.core_metadata
    if not isinstance(core, bool):
        found[True] = {"sha256": core["sha256"]}
    return found


def _content(entry: Entry) -> object:
    """What its row says of the bytes, as a key."""
    core = entry.file.core_metadata
    beside = core if isinstance(core, bool) else core["sha256"]
    return entry.file.path, entry.file.sha256, entry.file.size, beside, entry.metadata_size


def _is_still(entry: Entry, rows: Rows) -> bool:
    """Whether *rows* list the same content for it; that it was yanked meanwhile mends nothing."""
    found = rows.entries.get(entry.file.filename)
    return found is not None and _content(found) == _content(entry)


def _is_damaged(body: bytes, digest: str) -> bool:
    return hashlib.sha256(body).hexdigest() != digest


_UNLISTED = (
    "no row lists it: a crash left it, or the database is older than the files; restore the newer one, upload the "
    "file again, or delete it"
)


def _is_settled(tree: Tree, path: str, now: float) -> bool:
    target = tree.target(path)
    there = [found for found in (target, beside_of(target)) if os.path.lexists(found)]
    return bool(there) and all(now - found.lstat().st_ctime > SETTLED for found in there)
