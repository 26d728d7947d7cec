"""Both Stores keep the contract; the one on disk keeps it through crashes, damage and company."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from proxy.errors import BadRequest, DiskFull, FileExists, NotFound, StoreDown
from proxy.simple.model import File
from proxy.storage import Blob, Standing, schema
from proxy.storage.disk_store import DiskStore
from proxy.storage.ledger import Entry
from proxy.storage.recent import Recent
from proxy.storage.tree import Tree

from .contracts.store import (
    ACME,
    CORE,
    OTHER,
    PROVENANCE,
    RESERVED,
    WHEEL,
    StoreContract,
    add,
    described,
    drained,
    spooled,
    token,
)
from .fakes import MemoryStore
from .make import NOON, file
from .older import first_schema

GONE = "acme-0.tar.gz"
TWO = "acme-2.tar.gz"

CHANGES: dict[str, Callable[[DiskStore], Awaitable[None]]] = {
    "yank": lambda store: store.yank([WHEEL, TWO], "broken"),
    "remove": lambda store: store.remove([WHEEL, TWO]),
    "settle": lambda store: store.settle(OTHER, RESERVED),
    "release": lambda store: store.release(canonicalize_name("empty")),
    "readmit": lambda store: store.readmit(GONE),
    "add_token": lambda store: store.add_token(token("new")),
    "revoke": lambda store: store.revoke(["k7"]),
}
"""Every verb that changes more than one file's bytes, on a store that has one_of_all."""


def noon() -> datetime:
    return NOON


async def opened(folder: Path, *, now: Callable[[], datetime] = noon, owner: bool = True) -> DiskStore:
    """The store in *folder*, opened as `build` does it: beside the loop."""
    return await asyncio.to_thread(partial(DiskStore, folder, now=now, owner=owner))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def disk(folder: Path) -> AsyncIterator[DiskStore]:
    store = await opened(folder)
    yield store
    await store.close()


async def one_of_all(store: DiskStore) -> None:
    """Fill *store* with one of all that it can hold."""
    await add(store, store.incoming, provenance=PROVENANCE)
    await add(store, store.incoming, filename=TWO, body=b"2", metadata=None)
    await add(store, store.incoming, filename=GONE, body=b"0", metadata=None)
    await store.remove([GONE])
    await store.settle(canonicalize_name("empty"), Standing(status="archived", reason="old", reserved=NOON))
    await store.add_token(token())
    await store.pin("pytorch", "torch.whl", "aa")


def dump(database: Path) -> list[str]:
    """Every row of every table, and their making."""
    with closing(sqlite3.connect(database)) as connection:
        return sorted(connection.iterdump())


def content(folder: Path, told: File) -> Path:
    return folder / "files" / told.path


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(now=noon)

    @pytest.fixture
    def incoming(self, tmp_path: Path) -> Path:
        (tmp_path / "incoming").mkdir()
        return tmp_path / "incoming"


class TestDiskStore(StoreContract):
    @pytest.fixture
    async def store(self, disk: DiskStore) -> DiskStore:
        return disk

    @pytest.fixture
    def incoming(self, disk: DiskStore) -> Path:
        return disk.incoming


# What is on the disk


async def test_everything_is_there_after_reopening(folder: Path) -> None:
    store = await opened(folder)
    await add(store, store.incoming)
    await add(store, store.incoming, filename="acme-2.tar.gz", body=b"2", metadata=None)
    await store.remove(["acme-2.tar.gz"])
    await store.pin("pytorch", "torch.whl", "aa")
    await store.close()

    store = await opened(folder, now=lambda: datetime.now(UTC))
    (listed,) = await store.files(ACME)
    assert listed.upload_time == NOON
    assert drained(await store.open(listed)) == b"wheel"
    assert drained(await store.open(listed.sibling())) == CORE
    assert await store.claimed() == {ACME}
    assert await store.pinned("pytorch", "torch.whl") == "aa"
    with pytest.raises(FileExists):
        await add(store, store.incoming, filename="acme-2.tar.gz", body=b"2", metadata=None)
    await store.close()


async def test_what_was_said_of_files_names_and_tokens_is_there_after_reopening(folder: Path) -> None:
    store = await opened(folder)
    await one_of_all(store)
    for change in ("yank", "settle", "readmit", "add_token", "revoke"):
        await CHANGES[change](store)
    await store.used({"new": NOON})
    files, names = await store.files(ACME), (await store.claimed(), await store.standings(), await store.tokens())
    await store.close()

    store = await opened(folder, now=lambda: datetime.now(UTC))
    assert await store.files(ACME) == files
    assert [listed.yanked for listed in files] == ["broken", "broken"]
    assert drained(await store.open(files[0].attested())) == PROVENANCE
    assert (await store.claimed(), await store.standings(), await store.tokens()) == names
    assert (names[2]["k7"].revoked, names[2]["new"].used) == (NOON, NOON)
    await add(store, store.incoming, filename=GONE, body=b"other", metadata=None)
    await store.close()


async def test_a_released_name_is_not_claimed_after_reopening(folder: Path) -> None:
    store = await opened(folder)
    await store.settle(ACME, RESERVED)
    await store.settle(OTHER, RESERVED)
    await store.release(OTHER)
    await store.close()
    store = await opened(folder)
    assert await store.claimed() == {ACME}
    assert await store.standings() == {ACME: RESERVED}
    await store.close()


async def test_a_token_was_revoked_when_it_was_revoked_first(folder: Path) -> None:
    for time in (NOON, NOON + timedelta(days=1)):
        store = await opened(folder, now=lambda time=time: time)  # type: ignore[misc]  # an early binding
        if time == NOON:
            await store.add_token(token())
        await store.revoke(["k7"])
        assert (await store.tokens())["k7"].revoked == NOON
        await store.close()


async def test_nobody_else_may_read_what_is_stored(folder: Path, disk: DiskStore) -> None:
    await add(disk, disk.incoming)
    assert folder.stat().st_mode & 0o077 == 0


async def test_contents_lie_where_they_are_served(folder: Path, disk: DiskStore) -> None:
    told = await add(disk, disk.incoming)
    assert content(folder, told).read_bytes() == b"wheel"
    assert content(folder, told).with_name(content(folder, told).name + ".metadata").read_bytes() == CORE


async def test_a_removed_content_leaves_the_disk(folder: Path, disk: DiskStore) -> None:
    await add(disk, disk.incoming)
    await disk.remove([WHEEL])
    assert [path for path in (folder / "files").rglob("*") if path.is_file()] == []


async def test_a_time_of_receipt_is_kept_to_the_microsecond(folder: Path) -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    store = await opened(folder, now=lambda: time)
    await add(store, store.incoming)
    assert (await store.files(ACME))[0].upload_time == time
    await store.close()


# Crashes


async def test_what_a_crash_left_in_incoming_is_gone_after_a_start(folder: Path) -> None:
    (await closed(folder)).joinpath("incoming", "0123.part").write_bytes(b"half a wheel")
    store = await opened(folder)
    assert list(store.incoming.iterdir()) == []
    await store.close()


async def test_a_content_without_a_row_is_invisible_and_can_be_uploaded(folder: Path) -> None:
    """A kill between rename and commit."""
    told = described(WHEEL, b"wheel", CORE)
    orphan = content(await closed(folder), told)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"whe")
    store = await opened(folder)
    assert await store.files(ACME) == ()
    assert await store.claimed() == frozenset()
    with pytest.raises(NotFound):
        await store.open(told)
    await add(store, store.incoming)
    (listed,) = await store.files(ACME)
    assert drained(await store.open(listed)) == b"wheel"
    await store.close()


async def test_a_change_that_its_process_died_over_is_seen_after_the_restart(folder: Path) -> None:
    """A kill between commit and generation: whoever else has the folder open must not go on without it."""
    owner = await opened(folder)
    other = await opened(folder, owner=False)
    assert await other.claimed() == frozenset()
    with sqlite3.connect(folder / "store.db") as database:
        database.execute("INSERT INTO names VALUES ('acme')")
    database.close()
    await owner.close()
    owner = await opened(folder)
    assert await other.claimed() == {ACME}
    await owner.close()
    await other.close()


class FailingOnce:
    """A system call of which the one that has the number *failing*, from 0, fails."""

    def __init__(self, name: str, failing: int) -> None:
        self._real = getattr(os, name)
        self._left = failing

    def __call__(self, *args: object) -> object:
        self._left -= 1
        if self._left == -1:
            raise OSError(errno.EIO, "Input/output error", "/srv/secret")
        return self._real(*args)


@pytest.mark.parametrize(
    ("call", "number"), [*(("fsync", number) for number in range(5)), ("replace", 0), ("replace", 1)]
)
async def test_when_the_disk_fails_nothing_is_visible_and_the_next_upload_is_fine(
    call: str, number: int, disk: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each call in turn: file, metadata, both renames and three folders."""
    with monkeypatch.context() as patch:
        patch.setattr(os, call, FailingOnce(call, number))
        with pytest.raises(StoreDown, match=r"\AThe store cannot be written now: Input/output error\.\Z"):
            await add(disk, disk.incoming)
    assert await disk.files(ACME) == ()
    assert await disk.claimed() == frozenset()
    assert list(disk.incoming.iterdir()) == []
    await add(disk, disk.incoming)
    assert len(await disk.files(ACME)) == 1


async def test_bytes_reach_the_disk_before_names_names_before_rows_and_rows_before_others(
    folder: Path, disk: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut may leave of an upload is then nothing, or all of it."""
    done: list[str] = []
    sync, move, change = os.fsync, os.replace, disk._generation.change

    def synced(fd: int) -> None:
        sync(fd)
        place = Path(os.readlink(f"/proc/self/fd/{fd}"))
        done.append("folder" if place.is_dir() else f"bytes {place.suffix}")

    def moved(source: Path, target: Path) -> None:
        move(source, target)
        done.append(f"name {source.suffix}")

    def told() -> None:
        change()
        done.append("told")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", moved)
    monkeypatch.setattr(disk._generation, "change", told)
    disk._writing._connection.set_trace_callback(done.append)
    await add(disk, disk.incoming)
    disk._writing._connection.set_trace_callback(None)
    assert [step for step in done if not step.startswith(("SELECT", "INSERT", "DELETE", "BEGIN"))] == [
        *("bytes .part", "bytes .metadata", "name .part", "name .metadata"),
        *("folder", "folder", "folder", "COMMIT", "told"),
    ]
    # With FULL, a commit is on the disk when it returns.
    assert disk._writing._connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("verb", CHANGES)
async def test_others_are_told_of_a_change_once_it_is_on_the_disk(
    verb: str, disk: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_of_all(disk)
    done: list[str] = []
    change = disk._generation.change

    def told() -> None:
        change()
        done.append("told")

    monkeypatch.setattr(disk._generation, "change", told)
    disk._writing._connection.set_trace_callback(done.append)
    await CHANGES[verb](disk)
    disk._writing._connection.set_trace_callback(None)
    assert done[0] == "BEGIN IMMEDIATE"
    assert done.index("COMMIT") + 1 == done.index("told")


def failing(action: int, what: str | None, *_: object) -> int:
    """An authorizer of SQLite's under which no commit succeeds."""
    return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK


@pytest.mark.parametrize("verb", CHANGES)
async def test_a_change_that_cannot_be_committed_is_none_and_the_next_one_is_fine(
    verb: str, folder: Path, disk: DiskStore
) -> None:
    await one_of_all(disk)
    rows, generation = dump(folder / "store.db"), disk.generation
    known = await disk.files(ACME), await disk.claimed(), await disk.standings(), await disk.tokens()
    disk._writing._connection.set_authorizer(failing)
    with pytest.raises(StoreDown, match=r"\AThe store's database cannot be written now\.\Z"):
        await CHANGES[verb](disk)
    disk._writing._connection.set_authorizer(None)
    assert (dump(folder / "store.db"), disk.generation) == (rows, generation)
    for before, now in zip(
        known,
        (await disk.files(ACME), await disk.claimed(), await disk.standings(), await disk.tokens()),
        strict=True,
    ):
        assert now is before
    assert drained(await disk.open(known[0][0])) == b"wheel"
    await CHANGES[verb](disk)
    assert dump(folder / "store.db") != rows


async def test_a_deleted_file_whose_content_cannot_be_deleted_is_deleted(
    folder: Path, disk: DiskStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = await add(disk, disk.incoming)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", FailingOnce("unlink", 0))
        await disk.remove([WHEEL])
    assert await disk.files(ACME) == ()
    assert content(folder, told).exists()
    assert "cannot be deleted" in caplog.text


async def test_a_full_disk_is_said_to_be_full(disk: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFull):
            await add(disk, disk.incoming)
    await add(disk, disk.incoming)


async def test_rows_that_find_no_room_are_not_there(disk: DiskStore) -> None:
    disk._writing._connection.execute("PRAGMA max_page_count = 1").fetchall()
    results = [
        *await asyncio.gather(
            *(add(disk, disk.incoming, filename=f"acme-{number}.tar.gz", body=b"%d" % number) for number in range(100)),
            return_exceptions=True,
        )
    ]
    refused = sum(isinstance(result, DiskFull) for result in results)
    assert refused > 0
    assert len(await disk.files(ACME)) == 100 - refused
    disk._writing._connection.execute("PRAGMA max_page_count = 100000").fetchall()
    await add(disk, disk.incoming)
    assert len(await disk.files(ACME)) == 101 - refused


async def test_syncing_an_upload_keeps_nobody_waiting(disk: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(disk, disk.incoming)
    gate = threading.Event()
    real = os.fsync

    def slow(fd: int) -> None:
        gate.wait()
        real(fd)

    monkeypatch.setattr(os, "fsync", slow)
    upload = asyncio.create_task(add(disk, disk.incoming, filename="acme-2.tar.gz", body=b"2", metadata=None))
    try:
        (listed,) = await disk.files(ACME)
        assert drained(await disk.open(listed)) == b"wheel"
        assert not upload.done()
    finally:
        gate.set()
    await upload


# Damage


@pytest.mark.parametrize("damage", ["truncated", "missing", "folder", "link", "fifo"])
async def test_a_damaged_file_is_never_served_and_others_are(
    damage: str, folder: Path, disk: DiskStore, caplog: pytest.LogCaptureFixture
) -> None:
    told = await add(disk, disk.incoming)
    await add(disk, disk.incoming, filename="acme-2.tar.gz", body=b"2", metadata=None)
    place = content(folder, told)
    place.rename(place.with_name("aside"))
    if damage == "truncated":
        place.write_bytes(b"whe")
    elif damage == "folder":
        place.mkdir()
    elif damage == "link":
        place.symlink_to(place.with_name("aside"))
    elif damage == "fifo":
        os.mkfifo(place)
    listed, other = await disk.files(ACME)
    with pytest.raises(StoreDown):
        await disk.open(listed)
    assert WHEEL in caplog.text
    assert drained(await disk.open(other)) == b"2"


@pytest.mark.parametrize("beside", [False, True])
async def test_a_file_that_is_deleted_while_it_is_opened_is_gone_and_not_damaged(
    beside: bool, disk: DiskStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = await add(disk, disk.incoming)
    loop, opened = asyncio.get_running_loop(), Tree.open

    def late(tree: Tree, entry: Entry, *, beside: bool) -> Blob:
        asyncio.run_coroutine_threadsafe(disk.remove([told.filename]), loop).result()
        return opened(tree, entry, beside=beside)

    monkeypatch.setattr(Tree, "open", late)
    with pytest.raises(NotFound):
        await disk.open(told.sibling() if beside else told)
    assert caplog.text == ""


@pytest.mark.parametrize("suffix", ["", ".metadata"])
async def test_the_same_upload_again_mends_a_damaged_file(suffix: str, folder: Path, disk: DiskStore) -> None:
    told = await add(disk, disk.incoming)
    place = content(folder, told)
    place.with_name(place.name + suffix).write_bytes(b"too short")
    before = await disk.files(ACME)
    await add(disk, disk.incoming)
    assert await disk.files(ACME) == before
    assert drained(await disk.open(before[0])) == b"wheel"
    assert drained(await disk.open(before[0].sibling())) == CORE


async def test_a_damaged_provenance_is_never_served_and_its_file_is(
    folder: Path, disk: DiskStore, caplog: pytest.LogCaptureFixture
) -> None:
    await add(disk, disk.incoming, provenance=PROVENANCE)
    with closing(sqlite3.connect(folder / "store.db", isolation_level=None)) as database:
        database.execute("UPDATE provenances SET body = ?", (PROVENANCE.replace(b"1", b"2"),))
    (listed,) = await disk.files(ACME)
    with pytest.raises(StoreDown, match="tell the operator"):
        await disk.open(listed.attested())
    assert WHEEL in caplog.text
    assert drained(await disk.open(listed)) == b"wheel"


async def test_a_row_that_names_a_place_outside_opens_nothing(folder: Path, disk: DiskStore) -> None:
    await add(disk, disk.incoming)
    with sqlite3.connect(folder / "store.db") as database:
        database.execute("UPDATE files SET path = '../../../../etc/hostname'")
    database.close()
    (listed,) = await disk.files(ACME)
    with pytest.raises(StoreDown):
        await disk.open(listed)


async def closed(folder: Path, *, filled: bool = False) -> Path:
    """A store's folder, not in use."""
    store = await opened(folder)
    if filled:
        await add(store, store.incoming)
    await store.close()
    return folder


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("filled", [True, False])
async def test_a_lost_database_is_not_taken_for_a_new_one(empty: bool, filled: bool, folder: Path) -> None:
    """Else every private name would be public from one moment to the next."""
    await closed(folder, filled=filled)
    for database in folder.glob("store.db*"):
        database.unlink()
    if empty:
        (folder / "store.db").touch()
    for _ in range(2):
        with pytest.raises(StoreDown, match=r"restore store\.db from a backup"):
            await opened(folder)
    if not empty:
        assert not (folder / "store.db").exists()


async def test_a_lost_folder_of_files_is_not_taken_for_a_new_one(folder: Path) -> None:
    await closed(folder, filled=True)
    shutil.rmtree(folder / "files")
    with pytest.raises(StoreDown, match="folder of private files is missing"):
        await opened(folder)


async def test_a_first_start_that_was_cut_off_is_made_up_for(folder: Path) -> None:
    await closed(folder)
    (folder / "files").rmdir()
    await closed(folder, filled=True)


@pytest.mark.parametrize("damage", [b"", b"this is no database" * 1000])
async def test_a_damaged_database_is_refused_with_a_hint(damage: bytes, folder: Path) -> None:
    await closed(folder, filled=True)
    database = folder / "store.db"
    whole = database.read_bytes()
    database.write_bytes(damage or whole[: len(whole) // 2])
    with pytest.raises(StoreDown, match=r"restore store\.db from a backup"):
        await opened(folder)


async def test_no_damaged_page_makes_a_private_name_public(folder: Path) -> None:
    """Each page in turn: the start is refused, or every name and file is still there."""
    await closed(folder)
    store = await opened(folder)
    for number in range(40):
        await add(store, store.incoming, filename=f"acme-{number}.tar.gz", body=str(number).encode())
    await store.close()
    database = folder / "store.db"
    whole = database.read_bytes()
    refused = 0
    for start in range(0, len(whole), 4096):
        database.write_bytes(whole[:start] + os.urandom(4096) + whole[start + 4096 :])
        try:
            store = await opened(folder)
        except StoreDown:
            refused += 1
            continue
        assert await store.claimed() == {ACME}
        assert len(await store.files(ACME)) == 40
        await store.close()
    assert refused > 3


async def test_a_database_that_is_replaced_under_us_takes_no_more_uploads(folder: Path, disk: DiskStore) -> None:
    await add(disk, disk.incoming)
    (folder / "store.db").rename(folder / "elsewhere.db")
    with pytest.raises(StoreDown):
        await add(disk, disk.incoming, filename="acme-2.tar.gz", body=b"2", metadata=None)
    assert list(disk.incoming.iterdir()) == []
    assert await disk.claimed() == {ACME}


async def test_a_newer_schema_is_refused(folder: Path) -> None:
    database = sqlite3.connect(await closed(folder) / "store.db")
    database.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(StoreDown, match="newer version of Yizhan"):
        await opened(folder)


async def test_an_older_schema_is_brought_up_to_date(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await closed(folder, filled=True)
    step = "ALTER TABLE files ADD COLUMN later TEXT;"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    store = await opened(folder)
    assert len(await store.files(ACME)) == 1
    await store.close()
    await closed(folder)
    database = sqlite3.connect(folder / "store.db")
    assert database.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    database.close()


async def test_a_step_of_the_schema_that_fails_leaves_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closed(folder, filled=True)
    with monkeypatch.context() as patch:
        step = "DELETE FROM files; ALTER TABLE nothing ADD COLUMN later TEXT;"
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
        with pytest.raises(StoreDown):
            await opened(folder)
    store = await opened(folder)
    assert len(await store.files(ACME)) == 1
    await store.close()


# The schema of an earlier release

RELEASED = ["7bc481f24dbf84d675fc8313b34e5352fe466b3ec2adcd044bfa3b61b0edb120"]
"""The sha256 of each step of the schema that was released."""


def test_what_was_released_of_the_schema_is_not_edited() -> None:
    made = [hashlib.sha256(step.encode()).hexdigest() for step in schema.MIGRATIONS]
    assert made[: len(RELEASED)] == RELEASED


async def first_release(folder: Path) -> list[str]:
    """Make of the store in *folder* what the first release would have; its rows then."""
    store = await opened(folder)
    await one_of_all(store)
    await store.close()
    first_schema(folder / "first.db", folder / "store.db")
    (folder / "first.db").rename(folder / "store.db")
    return dump(folder / "store.db")


async def test_a_store_of_the_first_release_is_brought_up_to_date(folder: Path) -> None:
    await first_release(folder)
    store = await opened(folder)
    wheel, two = await store.files(ACME)
    assert (wheel.filename, wheel.yanked, wheel.provenance, wheel.upload_time) == (WHEEL, False, None, NOON)
    assert two.filename == TWO
    assert drained(await store.open(wheel.sibling())) == CORE
    assert await store.claimed() == {ACME, "empty"}
    assert (await store.standings(), await store.tokens()) == ({}, {})
    assert await store.pinned("pytorch", "torch.whl") == "aa"
    with pytest.raises(FileExists, match="previously used"):
        await add(store, store.incoming, filename=GONE, body=b"0", metadata=None)
    await store.add_token(token())
    for change in CHANGES.values():
        await change(store)
    await store.close()


_KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from proxy.storage.ledger import Ledger

old, folder = Path(sys.argv[1]), Path(sys.argv[2])
for number in range(1000):
    database = folder / f"{number}.db"
    shutil.copy(old, database)
    child = os.fork()
    if not child:
        ledger = Ledger(database)
        left = number

        def began(statement):
            global left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        ledger._connection.set_trace_callback(began)
        ledger.prepare(expected=True)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


async def test_a_kill_at_any_statement_of_the_upgrade_leaves_the_old_schema_or_the_new_one(
    folder: Path, tmp_path: Path
) -> None:
    old = await first_release(folder)
    killed = tmp_path / "killed"
    killed.mkdir()
    command = [sys.executable, "-c", _KILLED, str(folder / "store.db"), str(killed)]
    await asyncio.to_thread(subprocess.run, command, check=True)
    await closed(folder)
    new = dump(folder / "store.db")
    assert new != old
    found = [dump(killed / f"{number}.db") for number in range(len(list(killed.glob("*.db"))))]
    assert len(found) >= len(schema.MIGRATIONS[1].split(";"))
    assert found[-1] == new
    assert all(rows in (old, new) for rows in found)
    for number in (0, len(found) // 2, len(found) - 2):
        shutil.copy(killed / f"{number}.db", folder / "store.db")
        await closed(folder)
        assert dump(folder / "store.db") == new


@pytest.mark.parametrize("mode", [0o770, 0o707])
async def test_a_folder_that_others_may_write_into_is_refused(mode: int, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StoreDown, match="chmod 700"):
        await opened(folder)


# Company


async def test_a_second_yizhan_is_refused(folder: Path, disk: DiskStore) -> None:
    with pytest.raises(StoreDown, match="Another Yizhan is already using this data folder"):
        await opened(folder)


async def test_the_lock_goes_with_its_owner_and_with_a_start_that_failed(folder: Path) -> None:
    await closed(folder)
    (folder / "store.db").rename(folder / "aside.db")
    with pytest.raises(StoreDown, match="missing"):
        await opened(folder)
    (folder / "aside.db").rename(folder / "store.db")
    await closed(folder)
    fd = os.open(folder / "lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


async def test_other_processes_see_a_change_at_once(folder: Path, disk: DiskStore) -> None:
    other = await opened(folder, owner=False)
    assert await other.claimed() == frozenset()
    before = other.generation
    await add(disk, disk.incoming)
    assert other.generation != before
    assert other.generation == disk.generation
    assert await other.claimed() == {ACME}
    assert len(await other.files(ACME)) == 1
    await other.remove([WHEEL])
    assert await disk.files(ACME) == ()
    await other.close()


@pytest.mark.parametrize("verb", CHANGES)
async def test_other_processes_see_what_is_said_of_files_names_and_tokens_at_once(
    verb: str, folder: Path, disk: DiskStore
) -> None:
    other = await opened(folder, owner=False)
    await one_of_all(disk)
    stores = [disk, other]
    before = [(await s.files(ACME), await s.claimed(), await s.standings(), await s.tokens()) for s in stores]
    generation = other.generation
    await CHANGES[verb](disk)
    assert disk.generation == other.generation != generation
    after = [(await s.files(ACME), await s.claimed(), await s.standings(), await s.tokens()) for s in stores]
    assert before[0] == before[1]
    assert after[0] == after[1]
    if verb != "readmit":  # which shows in the next upload
        assert after[0] != before[0]
    await other.close()


async def test_that_a_token_was_used_is_seen_elsewhere_and_makes_no_page_anew(folder: Path, disk: DiskStore) -> None:
    other = await opened(folder, owner=False)
    await one_of_all(disk)
    assert (await other.tokens())["k7"].used is None
    files, generation = await other.files(ACME), other.generation
    await disk.used({"k7": NOON + timedelta(minutes=1)})
    assert (await other.tokens())["k7"].used == NOON + timedelta(minutes=1)
    assert other.generation == generation
    assert await other.files(ACME) is files
    await other.close()


async def test_of_two_processes_that_make_a_token_of_one_id_one_does(folder: Path, disk: DiskStore) -> None:
    other = await opened(folder, owner=False)
    results = await asyncio.gather(
        disk.add_token(token(user="one")), other.add_token(token(user="two")), return_exceptions=True
    )
    assert sorted(isinstance(result, BadRequest) for result in results) == [False, True]
    assert await disk.tokens() == await other.tokens()
    await other.close()


async def test_a_name_is_not_released_under_an_upload_of_another_process(folder: Path, disk: DiskStore) -> None:
    """Whoever comes first: a file is never left without its claim."""
    other = await opened(folder, owner=False)
    for number in range(20):
        await disk.settle(ACME, RESERVED)
        filename = f"acme-{number}.tar.gz"
        released, _ = await asyncio.gather(
            disk.release(ACME),
            add(other, disk.incoming, filename=filename, body=filename.encode(), metadata=None),
            return_exceptions=True,
        )
        assert released is None or isinstance(released, BadRequest)
        assert await disk.claimed() == {ACME}
        assert [listed.filename for listed in await disk.files(ACME)] == [filename]
        await disk.remove([filename])
    await other.close()


async def test_two_processes_race_for_filenames_and_each_has_one_winner(folder: Path, disk: DiskStore) -> None:
    other = await opened(folder, owner=False)
    for number in range(20):
        name = f"acme-{number}.tar.gz"
        results = await asyncio.gather(
            add(disk, disk.incoming, filename=name, body=b"one" + name.encode(), metadata=None),
            add(other, disk.incoming, filename=name, body=b"two" + name.encode(), metadata=None),
            return_exceptions=True,
        )
        assert sorted(isinstance(result, FileExists) for result in results) == [False, True]
    for listed in await disk.files(ACME):
        assert drained(await disk.open(listed))[3:] == listed.filename.encode()
    await other.close()


async def test_a_worker_does_not_start_where_no_owner_has_been(folder: Path) -> None:
    with pytest.raises(StoreDown):
        await opened(folder, owner=False)


# Memory


async def test_a_warm_page_costs_no_database(disk: DiskStore) -> None:
    await add(disk, disk.incoming)
    first = await disk.files(ACME)
    statements: list[str] = []
    disk._reading._connection.set_trace_callback(statements.append)
    assert await disk.files(ACME) is first
    assert await disk.files(OTHER) == ()
    assert await disk.claimed() == {ACME}
    assert statements == []


async def test_who_may_do_what_costs_no_database_a_second_time(disk: DiskStore) -> None:
    await one_of_all(disk)
    known = await disk.standings(), await disk.tokens()
    statements: list[str] = []
    disk._reading._connection.set_trace_callback(statements.append)
    assert (await disk.standings(), await disk.tokens()) == known
    assert statements == []


def test_memory_holds_a_bounded_number_of_files() -> None:
    recent = Recent(most=10)
    names = [canonicalize_name(f"name-{number}") for number in range(4)]
    for name in names:
        recent.put(name, 1, (file("a-1.tar.gz"), file("a-2.tar.gz")))
    assert [recent.get(name, 1) is not None for name in names] == [False, True, True, True]
    assert recent.get(names[1], 2) is None
    recent.put(names[0], 2, ())
    assert recent.get(names[1], 1) is None


async def test_a_reader_that_is_gone_leaves_no_handle_open(folder: Path, disk: DiskStore) -> None:
    await add(disk, disk.incoming)
    (listed,) = await disk.files(ACME)
    gate = threading.Event()
    disk._reader.submit(gate.wait)
    waiting = [asyncio.create_task(disk.open(listed)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    drained(await disk.open(listed))
    held = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd_exists(fd)}
    assert str(content(folder, listed)) not in held


def fd_exists(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


async def test_a_closed_store_says_so(folder: Path) -> None:
    store = await opened(folder)
    await store.close()
    with pytest.raises(StoreDown, match="closed"):
        await store.pinned("pytorch", "torch.whl")


async def test_a_body_that_is_not_what_was_told_is_a_mistake_of_ours(disk: DiskStore) -> None:
    with pytest.raises(ValueError, match="not the file"):
        await disk.add(ACME, described(WHEEL, b"longer"), spooled(disk.incoming, b"short"), None)
    assert list(disk.incoming.iterdir()) == []
