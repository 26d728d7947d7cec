"""`yizhan backup`, `restore` and `verify`: nothing that was acknowledged is lost, and nothing damaged goes unseen."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from click.testing import CliRunner, Result
from packaging.utils import canonicalize_name

from proxy.cli import yizhan
from proxy.commands.backup import show_restored
from proxy.errors import FileExists, StoreDown
from proxy.simple.model import File
from proxy.storage import Standing, Token, restoring, schema, tree
from proxy.storage import audit as auditing
from proxy.storage import backup as backing
from proxy.storage.audit import DATABASE, audit, read_rows
from proxy.storage.backup import MANIFEST, BackedUp, NoBackup, back_up
from proxy.storage.copying import Step
from proxy.storage.disk_store import DiskStore
from proxy.storage.ledger import Ledger, Rows
from proxy.storage.restoring import Damaged, Restored, restore

from .contracts.store import CORE, PROVENANCE, RESERVED, described, drained, spooled, token
from .daemon import run as run_program
from .daemon import start
from .faults.releases import BROKEN, Release, upload
from .make import NOON
from .older import first_schema

T = TypeVar("T")

LATER = datetime(2026, 3, 1, tzinfo=UTC)

Harm = Callable[[Path], None]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


@contextmanager
def store(state: Path, *, now: datetime = NOON) -> Iterator[Shop]:
    """The store in *state*, for tests that have no loop of their own."""
    opened = DiskStore(state, now=lambda: now)
    try:
        yield Shop(opened)
    finally:
        asyncio.run(opened.close())


class Shop:
    """A DiskStore that is waited for."""

    def __init__(self, opened: DiskStore) -> None:
        self.store = opened

    def wait(self, job: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(job)

    def add(
        self, filename: str, body: bytes = b"", *, metadata: bytes | None = None, provenance: bytes | None = None
    ) -> None:
        body = body or filename.encode()
        name = canonicalize_name(filename.split("-")[0])
        told = described(filename, body, metadata)
        self.wait(self.store.add(name, told, spooled(self.store.incoming, body), metadata, provenance=provenance))

    def remove(self, filename: str) -> None:
        self.wait(self.store.remove([filename]))

    def readmit(self, filename: str) -> None:
        self.wait(self.store.readmit(filename))

    def yank(self, filename: str, yanked: bool | str) -> None:
        self.wait(self.store.yank([filename], yanked))

    def settle(self, name: str, standing: Standing) -> None:
        self.wait(self.store.settle(canonicalize_name(name), standing))

    def standing(self, name: str) -> Standing | None:
        return self.wait(self.store.standings()).get(canonicalize_name(name))

    def tokens(self) -> dict[str, Token]:
        return dict(self.wait(self.store.tokens()))

    def pin(self, filename: str, sha256: str) -> str:
        return self.wait(self.store.pin("pytorch", filename, sha256))

    def file(self, filename: str) -> File:
        name = canonicalize_name(filename.split("-")[0])
        (file,) = [file for file in self.wait(self.store.files(name)) if file.filename == filename]
        return file

    def read(self, filename: str) -> bytes:
        return drained(self.wait(self.store.open(self.file(filename))))

    def attestation(self, filename: str) -> bytes:
        return drained(self.wait(self.store.open(self.file(filename).attested())))


WHEEL, SDIST, TWIN, GONE = "acme-1-py3-none-any.whl", "acme-1.tar.gz", "other-1.tar.gz", "acme-0.tar.gz"
BACK = "acme-0.1.tar.gz"
QUARANTINED = Standing(status="quarantined", reason="malware?")


def filled(state: Path) -> None:
    """A state folder with one of everything."""
    with store(state) as shop:
        shop.add(WHEEL, metadata=CORE, provenance=PROVENANCE)
        shop.add(SDIST)
        shop.yank(SDIST, "broken")
        shop.add(TWIN, SDIST.encode())
        for filename in (GONE, BACK):
            shop.add(filename)
            shop.remove(filename)
        shop.readmit(BACK)
        shop.settle("acme", QUARANTINED)
        for id in ("good", "bad"):
            shop.wait(shop.store.add_token(token(id)))
        shop.wait(shop.store.revoke(["bad"]))
        shop.add("empty-1.tar.gz")
        shop.remove("empty-1.tar.gz")
        shop.pin("torch.whl", "aa")
    (state / "htpasswd").write_text("alice:x\n")


def taken(state: Path, folder: Path, *, link: bool = False) -> BackedUp:
    return back_up(state, folder, version="1", now=LATER, link=link)


def dump(state: Path) -> list[str]:
    """Every row of every table there is, so that no table of a later schema is forgotten."""
    with closing(sqlite3.connect(state / "store.db")) as connection:
        return sorted(connection.iterdump())


def content(root: Path, filename: str, rows: Rows) -> Path:
    return root / "files" / rows.entries[filename].file.path


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(path: Path) -> None:
    """One bit, as a disk does it: length and times stay."""
    status = path.stat()
    body = bytearray(path.read_bytes())
    place = random.Random(path.name).randrange(len(body))
    body[place] ^= 1 << 3
    with path.open("r+b") as handle:
        handle.write(body)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def run(*words: object) -> Result:
    return CliRunner(env={"HOME": "/home/wang"}).invoke(yizhan, [str(word) for word in words])


# There and back


@pytest.mark.parametrize("link", [False, True])
def test_what_was_backed_up_is_restored_to_the_last_row_and_byte(tmp_path: Path, folder: Path, link: bool) -> None:
    state, fresh = tmp_path / "state", tmp_path / "fresh"
    filled(state)
    done = taken(state, folder, link=link)
    assert (done.files, done.projects, done.copied, done.wrong) == (3, 3, 3, ())
    back = restore(folder, fresh)
    assert (back.files, back.projects, back.here, back.placed, back.wrong) == (3, 3, 0, ("htpasswd",), ())
    assert back.made == LATER
    assert dump(fresh) == dump(state)
    assert files(fresh / "files") == files(state / "files")
    assert (fresh / "htpasswd").read_text() == "alice:x\n"
    assert audit(fresh, now=time.time() + 1e6).wrong == ()
    with store(fresh) as shop:
        assert shop.read(TWIN) == SDIST.encode()
        assert shop.pin("torch.whl", "bb") == "aa"


def test_a_backup_shares_no_file_with_the_store_unless_told_to(state: Path, folder: Path, tmp_path: Path) -> None:
    filled(state)
    rows = read_rows(state)
    taken(state, folder)
    assert not content(folder, WHEEL, rows).samefile(content(state, WHEEL, rows))
    taken(state, tmp_path / "linked", link=True)
    assert content(tmp_path / "linked", WHEEL, rows).samefile(content(state, WHEEL, rows))


def test_nobody_else_may_read_a_backup(state: Path, folder: Path) -> None:
    filled(state)
    taken(state, folder)
    assert folder.stat().st_mode & 0o077 == 0


def test_the_next_backup_adds_what_is_new_and_drops_what_was_deleted(state: Path, folder: Path, tmp_path: Path) -> None:
    filled(state)
    taken(state, folder)
    rows = read_rows(state)
    with store(state) as shop:
        shop.add("acme-2.tar.gz")
        shop.remove(WHEEL)
    done = taken(state, folder)
    assert (done.files, done.copied) == (3, 1)
    assert not content(folder, WHEEL, rows).exists()
    assert len(os.listdir(folder / "kept")) == 2
    restore(folder, tmp_path / "fresh")
    assert dump(tmp_path / "fresh") == dump(state)


def test_the_backup_before_is_whole_while_the_next_one_is_broken_off(
    state: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(state)
    taken(state, folder)
    then = dump(state)
    with store(state) as shop:
        shop.add("acme-2.tar.gz")
        shop.remove(WHEEL)

    class PowerCut(BaseException):
        pass

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    for step in ("_copy_contents", "_write"):
        monkeypatch.setattr(backing, step, cut)
        with pytest.raises(PowerCut):
            taken(state, folder)
        monkeypatch.undo()
        restore(folder, tmp_path / step)
        assert dump(tmp_path / step) == then
        assert audit(tmp_path / step, now=time.time()).wrong == ()
    monkeypatch.setattr(backing, "_tidy", cut)
    with pytest.raises(PowerCut):
        taken(state, folder)
    restore(folder, tmp_path / "new")
    assert dump(tmp_path / "new") == dump(state)


def test_a_first_backup_that_is_broken_off_is_none_and_is_gone_on_with(
    state: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(state)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backing, "_write", full)
    with pytest.raises(OSError, match="No space"):
        taken(state, folder)
    monkeypatch.undo()
    with pytest.raises(NoBackup, match="no finished backup"):
        restore(folder, state.with_name("fresh"))
    assert taken(state, folder).copied == 0


def test_a_file_that_is_deleted_meanwhile_is_in_the_backup_whole_or_not_at_all(state: Path, folder: Path) -> None:
    filled(state)
    left = [WHEEL]

    @contextmanager
    def watch(_what: str, _total: int) -> Iterator[Step]:
        # The rows are read, and the files are not: what a running server does just now.
        while left:
            with store(state) as shop:
                shop.remove(left.pop())
        yield lambda _count: None

    done = back_up(state, folder, version="1", now=LATER, watch=watch)
    assert (done.files, done.wrong) == (2, ())
    restore(folder, state.with_name("fresh"))
    assert dump(state.with_name("fresh")) == dump(state)


def test_bytes_are_on_the_disk_before_they_have_names_and_what_counts_comes_last(
    state: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(state)
    synced, renamed = set[Path](), list[Path]()
    real_sync, real_replace = tree.sync, os.replace

    def sync(path: Path) -> None:
        real_sync(path)
        synced.add(path)

    def replace(source: Path, target: Path) -> None:
        # What is set aside is looked for by its renaming.
        assert Path(source) in synced or not Path(source).exists(), target
        real_replace(source, target)
        synced.discard(Path(target).parent)
        renamed.append(Path(target))

    for module in (tree, backing, restoring):
        monkeypatch.setattr(module, "sync", sync)
    monkeypatch.setattr(os, "replace", replace)
    taken(state, folder)
    assert renamed[-1] == folder / MANIFEST
    fresh = state.with_name("fresh")
    restore(folder, fresh)
    assert renamed[-2:] == [fresh / "store.db", fresh / "htpasswd"]
    assert {path.parent for path in renamed} <= synced


# Where a backup may lie


def test_a_backup_never_replaces_one_that_may_be_all_that_is_left(state: Path, folder: Path, tmp_path: Path) -> None:
    """A disk was lost, somebody started anew, and the nightly job goes on."""
    filled(state)
    taken(state, folder)
    before = files(folder)
    with store(tmp_path / "anew") as shop:
        shop.add(SDIST)
    with pytest.raises(
        NoBackup, match="has 2 files that were never deleted and are not in the store, such as acme-1-py3"
    ):
        taken(tmp_path / "anew", folder)
    assert before.items() <= files(folder).items()
    restore(folder, tmp_path / "anew")
    taken(tmp_path / "anew", folder)


def test_a_backup_is_put_where_nothing_else_is(state: Path, folder: Path, tmp_path: Path) -> None:
    filled(state)
    folder.mkdir()
    (folder / "thesis.txt").touch()
    with pytest.raises(NoBackup, match="holds other things than a backup"):
        taken(state, folder)
    assert os.listdir(folder) == ["thesis.txt"]
    for place in (state, state / "backup", tmp_path):
        with pytest.raises(NoBackup, match="state folder"):
            taken(state, place)


def test_two_backups_at_once_do_not_mix(state: Path, folder: Path) -> None:
    filled(state)
    said = list[str]()

    @contextmanager
    def watch(_what: str, _total: int) -> Iterator[Step]:
        with pytest.raises(NoBackup) as raised:
            taken(state, folder)
        said.append(str(raised.value))
        yield lambda _count: None

    back_up(state, folder, version="1", now=LATER, watch=watch)
    assert said == [f"Another backup into {folder} is being taken just now."]


def test_what_else_lies_in_the_state_folder_is_kept_and_what_is_made_anew_is_not(state: Path, folder: Path) -> None:
    filled(state)
    (state / "keys").mkdir()
    (state / "keys" / "one").write_text("1")
    (state / ".htpasswd-x").write_text("half")
    with closing(sqlite3.connect(state / "people.db")) as people:
        people.execute("PRAGMA journal_mode = WAL")
        people.execute("CREATE TABLE people (name)")
        people.execute("INSERT INTO people VALUES ('alice')")
        people.commit()  # into the log beside it
        taken(state, folder)
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    assert manifest["kept"].keys() == {"store.db", "htpasswd", "keys/one", "people.db"}
    restore(folder, state.with_name("fresh"))
    assert (state.with_name("fresh") / "keys" / "one").read_text() == "1"
    with closing(sqlite3.connect(state.with_name("fresh") / "people.db")) as people:
        assert people.execute("SELECT * FROM people").fetchall() == [("alice",)]


# Damage


def flipped(path: Path) -> None:
    damage(path)


def cut_short(path: Path) -> None:
    os.truncate(path, 1)


def removed(path: Path) -> None:
    path.unlink()


def link(path: Path) -> None:
    path.rename(path.with_suffix(".aside"))
    path.symlink_to(path.with_suffix(".aside"))


HARMS = [flipped, cut_short, removed, link]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("suffix", ["", ".metadata"])
def test_verify_finds_each_damaged_file_and_no_other(state: Path, harm: Harm, suffix: str) -> None:
    filled(state)
    path = content(state, WHEEL, read_rows(state))
    harm(path.with_name(path.name + suffix))
    (wrong,) = audit(state, now=time.time()).wrong
    assert wrong.what == WHEEL
    assert wrong.why.startswith("its .metadata ") == bool(suffix)


def test_verify_finds_every_one_of_two_hundred_flipped_bits(state: Path) -> None:
    with store(state) as shop:
        for number in range(200):
            shop.add(f"acme-{number}.tar.gz", bytes([number]) * 1000)
    assert audit(state, now=time.time()).wrong == ()
    rows = read_rows(state)
    for filename in rows.entries:
        damage(content(state, filename, rows))
    found = audit(state, now=time.time())
    assert [wrong.what for wrong in found.wrong] == sorted(rows.entries)
    assert {wrong.why for wrong in found.wrong} == {"has other bytes than were stored"}


def test_verify_names_both_files_that_share_a_damaged_content(state: Path) -> None:
    filled(state)
    damage(content(state, TWIN, read_rows(state)))
    assert {wrong.what for wrong in audit(state, now=time.time()).wrong} == {SDIST, TWIN}


def test_verify_finds_a_damaged_provenance(state: Path) -> None:
    filled(state)
    with closing(sqlite3.connect(state / "store.db", isolation_level=None)) as connection:
        connection.execute("UPDATE provenances SET body = ?", (PROVENANCE.replace(b"1", b"2"),))
    (wrong,) = audit(state, now=time.time()).wrong
    assert (wrong.what, wrong.why) == (WHEEL, "its provenance has other bytes than were stored")


def test_a_damaged_file_that_is_yanked_meanwhile_is_still_found(state: Path) -> None:
    filled(state)
    damage(content(state, WHEEL, read_rows(state)))

    @contextmanager
    def watch(_what: str, _total: int) -> Iterator[Step]:
        with store(state) as shop:
            shop.yank(WHEEL, True)
        yield lambda _count: None

    assert [wrong.what for wrong in audit(state, now=time.time(), watch=watch).wrong] == [WHEEL]


def test_verify_tells_of_a_content_that_no_row_lists_once_it_is_no_upload_of_just_now(state: Path) -> None:
    filled(state)
    stray = state / "files" / "ab" / "cd" / ("e" * 60)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"from a newer database, or a crash")
    assert audit(state, now=time.time()).wrong == ()
    (wrong,) = audit(state, now=time.time() + auditing.SETTLED + 10).wrong
    assert wrong.what == f"files/ab/cd/{'e' * 60}"
    assert "no row lists it" in wrong.why
    stray.rename(stray.with_name(stray.name + ".metadata"))
    assert [wrong.what for wrong in audit(state, now=time.time() + 1e6).wrong] == [wrong.what]


def test_verify_calls_nothing_wrong_that_a_server_adds_or_deletes_meanwhile(state: Path) -> None:
    filled(state)

    @contextmanager
    def watch(_what: str, _total: int) -> Iterator[Step]:
        with store(state) as shop:
            shop.remove(WHEEL)
            shop.add("newer-1.tar.gz")
        yield lambda _count: None

    assert audit(state, now=time.time() + 1e6, watch=watch).wrong == ()


def test_verify_changes_nothing_and_its_exit_status_tells(tmp_path: Path) -> None:
    state = tmp_path / "state"
    filled(state)
    before = files(state)
    with store(state):  # as a running server has it
        well = run("verify", "--data", tmp_path)
    assert (well.exit_code, well.stderr) == (0, "")
    assert well.stdout == "verified: 3 files of 3 projects (36 bytes), 0 wrong\n"
    assert {**files(state), "generation": b""} == {**before, "generation": b""}
    damage(content(state, WHEEL, read_rows(state)))
    ill = run("verify", "--data", tmp_path)
    assert ill.exit_code == 1
    assert f"{WHEEL}: has other bytes than were stored\n" in ill.stdout
    for missing in ("files", "store.db"):
        (state / missing).rename(tmp_path / missing)
        lost = run("verify", "--data", tmp_path)
        assert lost.exit_code == 1
    assert lost.stderr == "There is no store.db in this folder: it is not the state folder of a Yizhan.\n"


def test_a_backup_tells_of_damage_in_the_store_and_keeps_the_good_copy_it_has(state: Path, folder: Path) -> None:
    filled(state)
    taken(state, folder)
    with store(state) as shop:
        shop.add("acme-2.tar.gz")
    rows = read_rows(state)
    for filename in (WHEEL, "acme-2.tar.gz"):
        damage(content(state, filename, rows))
    done = taken(state, folder)
    assert [(wrong.what, wrong.why) for wrong in done.wrong] == [("acme-2.tar.gz", "has other bytes than were stored")]
    assert content(folder, WHEEL, rows).read_bytes() == WHEEL.encode()
    # Which is what mends the store.
    assert restore(folder, state, partial=True).wrong
    assert [wrong.what for wrong in audit(state, now=time.time()).wrong] == ["acme-2.tar.gz"]


def test_a_damaged_copy_in_the_backup_is_made_anew(state: Path, folder: Path) -> None:
    filled(state)
    taken(state, folder)
    rows = read_rows(state)
    damage(content(folder, WHEEL, rows))
    assert taken(state, folder).copied == 1
    assert content(folder, WHEEL, rows).read_bytes() == WHEEL.encode()


@pytest.mark.parametrize("harm", HARMS)
def test_of_a_damaged_backup_nothing_is_restored_or_what_is_whole(state: Path, folder: Path, harm: Harm) -> None:
    filled(state)
    taken(state, folder)
    rows = read_rows(state)
    harm(content(folder, WHEEL, rows))
    fresh = state.with_name("fresh")
    with pytest.raises(Damaged, match=rf"Nothing was restored.*\n  {WHEEL}: "):
        restore(folder, fresh)
    assert not fresh.exists()
    for dry_run in (True, False):
        back = restore(folder, fresh, partial=True, dry_run=dry_run)
        assert [wrong.what for wrong in back.wrong] == [WHEEL]
    assert dump(fresh) == dump(state)
    assert [wrong.what for wrong in audit(fresh, now=time.time()).wrong] == [WHEEL]
    with store(fresh) as shop:
        assert shop.read(SDIST) == SDIST.encode()
        with pytest.raises(StoreDown):
            shop.read(WHEEL)
        shop.add(WHEEL, metadata=CORE)  # its row is there: the same bytes mend it
        assert shop.read(WHEEL) == WHEEL.encode()


def other_format(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))


def manifest_cut(folder: Path) -> None:
    os.truncate(folder / MANIFEST, 40)


def place_outside(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"htpasswd"', b'"../htpasswd"'))


def database_flipped(folder: Path) -> None:
    damage(max((folder / "kept").iterdir(), key=lambda path: path.stat().st_size))


def database_gone(folder: Path) -> None:
    max((folder / "kept").iterdir(), key=lambda path: path.stat().st_size).unlink()


@pytest.mark.parametrize("harm", [other_format, manifest_cut, place_outside, database_flipped, database_gone])
def test_a_backup_that_is_not_what_it_says_is_refused(state: Path, folder: Path, harm: Harm) -> None:
    filled(state)
    taken(state, folder)
    harm(folder)
    before = files(folder)
    fresh = state.with_name("fresh")
    with pytest.raises(NoBackup, match="The backup in "):
        restore(folder, fresh, partial=True)
    assert not fresh.exists()
    with store(state) as shop:
        shop.add("acme-2.tar.gz")
    with pytest.raises(NoBackup, match="The backup in "):
        taken(state, folder)
    assert before.items() <= files(folder).items()


# A union, in which what is there now wins


def changed_since(state: Path, folder: Path, change: Callable[[Shop], object]) -> tuple[Restored, Rows]:
    """Restore a backup of a filled store into the same after *change*."""
    filled(state)
    taken(state, folder)
    with store(state, now=LATER) as shop:
        change(shop)
    return restore(folder, state), read_rows(state)


def test_what_was_uploaded_and_claimed_since_stays(state: Path, folder: Path) -> None:
    back, rows = changed_since(state, folder, lambda shop: shop.add("newer-1.tar.gz"))
    assert (back.files, back.here) == (0, 3)
    assert "newer" in rows.names
    assert rows.entries.keys() == {WHEEL, SDIST, TWIN, "newer-1.tar.gz"}
    assert audit(state, now=time.time()).wrong == ()


def test_what_was_deleted_since_stays_deleted(state: Path, folder: Path) -> None:
    back, rows = changed_since(state, folder, lambda shop: shop.remove(WHEEL))
    assert (back.files, back.deleted) == (0, (WHEEL,))
    assert rows.entries.keys() == {SDIST, TWIN}
    assert rows.tombstones == {WHEEL, GONE, "empty-1.tar.gz"}
    with store(state) as shop, pytest.raises(Exception, match="previously used"):
        shop.add(WHEEL, metadata=CORE)


@pytest.mark.parametrize("again", [False, True])
def test_what_was_deleted_and_readmitted_since_does_not_come_back(state: Path, folder: Path, again: bool) -> None:
    def change(shop: Shop) -> None:
        shop.remove(WHEEL)
        shop.readmit(WHEEL)
        if again:
            shop.add(WHEEL, b"other bytes")

    back, rows = changed_since(state, folder, change)
    assert (back.files, back.deleted, back.others) == ((0, (), (WHEEL,)) if again else (0, (WHEEL,), ()))
    assert rows.readmitted == ({BACK} if again else {BACK, WHEEL})
    taken(state, folder)  # what the last one has and this one has not was deleted
    with store(state) as shop:
        if not again:
            shop.add(WHEEL, b"other bytes")
        assert shop.read(WHEEL) == b"other bytes"
        assert shop.file(WHEEL).provenance is None


def test_a_filename_that_was_readmitted_since_stays_free(tmp_path: Path, folder: Path) -> None:
    def change(shop: Shop) -> None:
        shop.readmit(GONE)

    _, rows = changed_since(tmp_path / "state", folder, change)
    assert rows.readmitted == {GONE, BACK}
    assert rows.tombstones == {"empty-1.tar.gz"}


@pytest.mark.parametrize("yanked", [False, True, "worse"])
def test_what_was_yanked_or_unyanked_since_stays_so(state: Path, folder: Path, yanked: bool | str) -> None:
    _, rows = changed_since(state, folder, lambda shop: shop.yank(SDIST, yanked))
    assert rows.entries[SDIST].file.yanked == yanked


def test_what_the_backup_says_otherwise_of_files_that_are_here_is_told(
    state: Path, folder: Path, tmp_path: Path
) -> None:
    """Where the state folder is the older of the two, its word counts all the same; the operator has to know."""
    filled(state)
    older = tmp_path / "older"
    shutil.copytree(state, older)
    with store(state, now=LATER) as shop:
        shop.yank(WHEEL, "broken")
        shop.yank(SDIST, False)
        shop.remove(TWIN)
    taken(state, folder)
    back = restore(folder, older)
    assert back.otherwise == tuple(sorted([WHEEL, SDIST, TWIN]))
    assert read_rows(older).entries.keys() == {WHEEL, SDIST, TWIN}
    assert f"{TWIN} stays as it is here" in "\n".join(show_restored(back, dry_run=False))
    assert restore(folder, tmp_path / "fresh").otherwise == ()


def test_what_was_said_of_a_name_since_counts_and_what_was_said_before_comes_back(state: Path, folder: Path) -> None:
    filled(state)
    with store(state) as shop:
        shop.settle("later", RESERVED)
        shop.settle("other", RESERVED)
    taken(state, folder)
    with store(state, now=LATER) as shop:
        shop.settle("acme", Standing())
        shop.wait(shop.store.release(canonicalize_name("later")))
        shop.wait(shop.store.release(canonicalize_name("empty")))
        shop.settle("newer", RESERVED)
    assert restore(folder, state).projects == 2
    with store(state) as shop:
        said = shop.wait(shop.store.standings())
        assert said == {"acme": Standing(), "later": RESERVED, "other": RESERVED, "newer": RESERVED}
        assert shop.wait(shop.store.claimed()) == {*said, "empty"}


def test_a_reservation_comes_back_to_a_name_that_was_uploaded_since(tmp_path: Path, folder: Path) -> None:
    """As after a loss, when work went on in an empty store: what was only claimed contradicts nothing."""
    state, now = tmp_path / "state", tmp_path / "now"
    filled(state)
    taken(state, folder)
    with store(now) as shop:
        shop.add("acme-9.tar.gz")
    restore(folder, now)
    with store(now) as shop:
        assert shop.standing("acme") == QUARANTINED
        assert shop.read("acme-9.tar.gz") == b"acme-9.tar.gz"


def test_no_token_that_was_revoked_is_good_again(tmp_path: Path, folder: Path) -> None:
    """Neither by what is here nor by what comes: of two backups the later one may be restored last."""
    state, older = tmp_path / "state", tmp_path / "older"
    filled(state)
    taken(state, older)
    with store(state, now=LATER) as shop:
        shop.wait(shop.store.revoke(["good"]))
        shop.wait(shop.store.add_token(token("newer")))
        known = shop.tokens()
    taken(state, folder)
    restore(older, state)
    restore(older, tmp_path / "fresh")
    with store(tmp_path / "fresh") as shop:
        assert shop.tokens()["good"].revoked is None
    restore(folder, tmp_path / "fresh")
    for place in (state, tmp_path / "fresh"):
        with store(place) as shop:
            assert shop.tokens() == known
    assert known["good"].revoked == LATER


def test_a_token_that_has_the_id_of_another_one_is_not_revoked_for_it(tmp_path: Path, folder: Path) -> None:
    state, now = tmp_path / "state", tmp_path / "now"
    filled(state)
    taken(state, folder)
    other = token("bad", digest="0" * 64)
    with store(now) as shop:
        shop.wait(shop.store.add_token(other))
    restore(folder, now)
    with store(now) as shop:
        assert shop.tokens()["bad"] == other


def test_a_provenance_comes_with_its_bytes_and_with_no_others(tmp_path: Path, folder: Path) -> None:
    state, same, others = (tmp_path / name for name in ("state", "same", "others"))
    filled(state)
    taken(state, folder)
    with store(same) as shop:
        shop.add(WHEEL, metadata=CORE)
    with store(others) as shop:
        shop.add(WHEEL, b"newer bytes")
    for place in (same, others):
        restore(folder, place)
    with store(same) as shop:
        assert shop.attestation(WHEEL) == PROVENANCE
    with store(others) as shop:
        assert shop.file(WHEEL).provenance is None


def test_a_pin_that_was_made_since_stays(state: Path, folder: Path) -> None:
    changed_since(state, folder, lambda shop: shop.pin("later.whl", "cc"))
    with store(state) as shop:
        assert (shop.pin("later.whl", "x"), shop.pin("torch.whl", "x")) == ("cc", "aa")


def test_a_file_that_has_the_filename_now_keeps_it(tmp_path: Path, folder: Path) -> None:
    """As after a loss, when work went on in an empty store: other bytes, and a filename that was deleted once."""
    state, now = tmp_path / "state", tmp_path / "now"
    filled(state)
    taken(state, folder)
    with store(now, now=LATER) as shop:
        shop.add(WHEEL, b"newer bytes", metadata=CORE)
        shop.add(GONE, b"uploaded again")
    (now / "htpasswd").write_text("bob:x\n")
    back = restore(folder, now)
    assert (back.files, back.others, back.left, back.placed) == (2, (WHEEL,), ("htpasswd",), ())
    with store(now) as shop:
        assert (shop.read(WHEEL), shop.read(GONE)) == (b"newer bytes", b"uploaded again")
        assert shop.read(SDIST) == SDIST.encode()
    rows = read_rows(now)
    assert rows.names == {"acme", "other", "empty"}
    assert rows.tombstones == {"empty-1.tar.gz"}
    assert (now / "htpasswd").read_text() == "bob:x\n"
    assert audit(now, now=time.time() + 1e6).wrong == ()


def test_what_is_damaged_or_missing_now_is_mended(state: Path, folder: Path) -> None:
    filled(state)
    taken(state, folder)
    rows = read_rows(state)
    damage(content(state, WHEEL, rows))
    content(state, SDIST, rows).unlink()
    back = restore(folder, state)
    assert (back.files, back.here, back.size) == (0, 3, len(WHEEL) + len(SDIST))
    assert audit(state, now=time.time()).wrong == ()


def test_running_servers_see_that_something_was_restored(state: Path, folder: Path) -> None:
    filled(state)
    taken(state, folder)
    before = (state / "generation").read_bytes()
    restore(folder, state)
    assert (state / "generation").read_bytes() != before


# Into a folder that lost its half


def no_database(state: Path) -> None:
    (state / "store.db").unlink()


def log_of_another(state: Path) -> None:
    no_database(state)
    with closing(sqlite3.connect(state / "store.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE names (name)")
        shutil.copy(state / "store.db-wal", state / "log")
    no_database(state)
    (state / "log").rename(state / "store.db-wal")


def empty_database(state: Path) -> None:
    no_database(state)
    (state / "store.db").touch()


def no_files(state: Path) -> None:
    shutil.rmtree(state / "files")


def nothing(state: Path) -> None:
    shutil.rmtree(state)


@pytest.mark.parametrize("harm", [no_database, log_of_another, empty_database, no_files, nothing])
def test_a_folder_that_lost_its_half_is_made_whole(state: Path, folder: Path, harm: Harm) -> None:
    filled(state)
    taken(state, folder)
    then = dump(state)
    harm(state)
    restore(folder, state)
    assert dump(state) == then
    assert audit(state, now=time.time() + 1e6).wrong == ()
    with store(state) as shop:
        assert shop.read(WHEEL) == WHEEL.encode()


def test_a_damaged_database_is_not_thrown_away_for_the_backup(state: Path, folder: Path) -> None:
    filled(state)
    taken(state, folder)
    noise = random.Random(1).randbytes(40_000)
    (state / "store.db").write_bytes(noise)
    with pytest.raises(NoBackup, match=r"move store.db\* to another place, then restore again"):
        restore(folder, state)
    assert (state / "store.db").read_bytes() == noise


@pytest.mark.parametrize("lost", [True, False])
def test_a_restore_that_is_broken_off_makes_no_private_name_public(
    state: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    filled(state)
    taken(state, folder)
    then = dump(state)
    if lost:
        empty_database(state)

    def cut(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(restoring, "_put_rows", cut)
    with pytest.raises(OSError, match="Input/output"):
        restore(folder, state)
    monkeypatch.undo()
    if lost:
        with pytest.raises(StoreDown):
            DiskStore(state, now=lambda: NOON)
    else:
        assert dump(state) == then
    restore(folder, state)
    assert dump(state) == then


def test_a_restore_wants_the_folder_for_itself_and_a_dry_run_does_not(state: Path, folder: Path) -> None:
    filled(state)
    taken(state, folder)
    with store(state) as shop:
        shop.add("newer-1.tar.gz")
        with pytest.raises(StoreDown, match="Another Yizhan is already using this data folder"):
            restore(folder, state)
        before = files(state)
        assert restore(folder, state, dry_run=True).here == 3
        assert {**files(state), "store.db-shm": b""} == {**before, "store.db-shm": b""}  # who reads is noted there
    assert restore(folder, state.with_name("fresh"), dry_run=True).files == 3
    assert not state.with_name("fresh").exists()


# Other versions


def test_a_backup_of_an_older_schema_is_restored_into_the_present_one(
    state: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(state)
    taken(state, folder)
    step = "ALTER TABLE files ADD COLUMN later TEXT; CREATE TABLE more (key TEXT PRIMARY KEY) STRICT;"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    for target in (state, state.with_name("fresh")):
        restore(folder, target)
        assert read_rows(target).entries.keys() == {WHEEL, SDIST, TWIN}
    taken(state, folder)


def by_the_first_release(folder: Path) -> None:
    """Make of the backup in *folder* what the first release would have written."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    kept = manifest["kept"]["store.db"]
    old = folder / "kept" / "old"
    first_schema(old, folder / "kept" / kept["sha256"])
    (folder / "kept" / kept["sha256"]).unlink()
    kept["sha256"], kept["size"] = hashlib.sha256(old.read_bytes()).hexdigest(), old.stat().st_size
    old.rename(folder / "kept" / kept["sha256"])
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def test_a_backup_of_the_first_release_is_restored_and_gone_on_with(state: Path, folder: Path) -> None:
    filled(state)
    rows = read_rows(state)
    taken(state, folder)
    by_the_first_release(folder)
    before = files(folder)
    fresh = state.with_name("fresh")
    restore(folder, fresh)
    with store(fresh) as shop:
        assert (shop.standing("acme"), shop.tokens()) == (None, {})
        assert (shop.file(SDIST).yanked, shop.file(WHEEL).provenance) == (False, None)
        assert shop.read(WHEEL) == WHEEL.encode()
        with pytest.raises(FileExists):
            shop.add(GONE)
    then = dump(state)
    restore(folder, state)
    assert (dump(state), read_rows(state)) == (then, rows)
    assert files(folder) == before
    assert audit(fresh, now=time.time()).wrong == ()
    assert taken(state, folder).copied == 0


def test_a_store_of_the_first_release_is_verified_and_backed_up_before_it_is_brought_up_to_date(
    state: Path, folder: Path
) -> None:
    """As an operator does before the new version is started."""
    filled(state)
    first_schema(state / "old.db", state / DATABASE)
    for log in ("-wal", "-shm"):
        (state / f"{DATABASE}{log}").unlink(missing_ok=True)
    (state / "old.db").rename(state / DATABASE)
    before = (state / DATABASE).read_bytes()
    assert audit(state, now=time.time()).wrong == ()
    assert taken(state, folder).files == taken(state, folder).files == 3
    assert (state / DATABASE).read_bytes() == before
    restore(folder, state.with_name("fresh"))
    assert read_rows(state.with_name("fresh")).entries.keys() == {WHEEL, SDIST, TWIN}


def test_a_newer_schema_is_not_read(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (key TEXT PRIMARY KEY) STRICT;"))
    filled(state)
    monkeypatch.undo()
    with pytest.raises(StoreDown, match="newer version of Yizhan"):
        read_rows(state)


def test_a_backup_of_a_newer_schema_is_refused(state: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (key TEXT PRIMARY KEY) STRICT;"))
    filled(state)
    taken(state, folder)
    monkeypatch.undo()
    with pytest.raises(StoreDown, match="newer version of Yizhan"):
        restore(folder, state.with_name("fresh"))
    assert not state.with_name("fresh").exists()


def test_rows_that_are_taken_over_are_all_there_or_none(state: Path, tmp_path: Path) -> None:
    filled(state)
    with store(tmp_path / "other") as shop:
        shop.add("b-1.tar.gz")
    with closing(sqlite3.connect(tmp_path / "other" / "store.db")) as connection:
        connection.execute("UPDATE files SET name = 'nobody'")
        connection.commit()  # which no name belongs to
    before = dump(state)
    with closing(Ledger(state / "store.db")) as rows, pytest.raises(sqlite3.IntegrityError):
        rows.absorb(tmp_path / "other" / "store.db")
    assert dump(state) == before


# On the command line, and beside a server


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    filled(tmp_path / "data" / "state")
    data = ("--data", tmp_path / "data")
    done = run("backup", tmp_path / "backup", *data)
    assert (done.exit_code, done.stdout) == (0, "backed up: 3 files of 3 projects (36 bytes), 3 of them new\n")
    fresh = ("--data", tmp_path / "fresh")
    dry = run("restore", tmp_path / "backup", *fresh, "--dry-run")
    assert dry.exit_code == 0
    assert "would restore: 3 files and 3 names that were not here" in dry.stdout
    back = run("restore", tmp_path / "backup", *fresh)
    assert back.exit_code == 0
    assert back.stdout.splitlines()[1:] == [
        "restored: 3 files and 3 names that were not here (36 bytes written)",
        "already here: 0 files",
        "restored: htpasswd",
    ]
    damage(content(tmp_path / "backup", WHEEL, read_rows(tmp_path / "fresh" / "state")))
    ill = run("restore", tmp_path / "backup", "--data", tmp_path / "third")
    assert (ill.exit_code, ill.stdout) == (1, "")
    assert ill.stderr.splitlines() == [
        "Nothing was restored, as some of the backup is damaged; --partial restores the rest.",
        f"  {WHEEL}: has other bytes than were stored",
    ]
    part = run("restore", tmp_path / "backup", "--data", tmp_path / "third", "--partial")
    assert part.exit_code == 1
    assert "restored: 3 files" in part.stdout
    other = run("backup", tmp_path, *data)
    assert (other.exit_code, other.stdout) == (1, "")
    assert other.stderr.startswith("A backup cannot lie in the state folder")
    nowhere = run("backup", tmp_path / "x", "--data", tmp_path / "nowhere")
    assert nowhere.stderr == "There is no store.db in this folder: it is not the state folder of a Yizhan.\n"


def test_backups_beside_a_server_that_takes_uploads_hold_all_that_was_acknowledged(tmp_path: Path) -> None:
    server = start(tmp_path, config='[auth]\nupload = "anyone"\n[server]\naccess_log = false\n')
    acknowledged = list[str]()
    stop = threading.Event()

    def send(project: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            release = Release(project, f"{number}.0", 20_000)
            try:
                if upload(server, release).status == 200:
                    acknowledged.append(release.filename)
            except BROKEN:
                return

    senders = [threading.Thread(target=send, args=(f"acme-{number}",)) for number in range(3)]
    for sender in senders:
        sender.start()
    try:
        for number in range(2):
            _wait_for(acknowledged, len(acknowledged) + 5)
            before = set(acknowledged)
            # The second one goes on with the first.
            run_program(sys.executable, "-m", "proxy", "backup", str(tmp_path / "backup"), "--data", str(tmp_path))
            fresh = tmp_path / f"fresh-{number}"
            run_program(sys.executable, "-m", "proxy", "restore", str(tmp_path / "backup"), "--data", str(fresh))
            run_program(sys.executable, "-m", "proxy", "verify", "--data", str(fresh))
            assert before <= read_rows(fresh / "state").entries.keys()
        run_program(sys.executable, "-m", "proxy", "verify", "--data", str(tmp_path))
    finally:
        stop.set()
        for sender in senders:
            sender.join()
        server.kill()
    restored = start(fresh, config="[server]\naccess_log = false\n")
    restored.stop()
    assert not [line for line in restored.lines if "ERROR" in line]


def _wait_for(sent: list[str], count: int) -> None:
    """Return when so many are sent."""
    end = time.monotonic() + 60
    while len(sent) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
