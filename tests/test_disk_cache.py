"""What only the caches on disk can get wrong: planted rows, torn files, full disks, folders that go away."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import diskcache
import msgspec
import pytest

from proxy.errors import DiskFull, Unavailable
from proxy.storage import cache_rows
from proxy.storage.bounded_cache import BoundedCache
from proxy.storage.cache_rows import CacheRows, check_sqlite
from proxy.storage.disk_cache import FileCache, PageCache
from proxy.storage.plain_disk import AdoptDisk, Adopted, PlainDisk

from .contracts.cache import drained, keep, sha256
from .contracts.pages import NUMPY, SCIPY, SNAPSHOT, public

KIB, MIB, GIB = 1024, 1024**2, 1024**3

Files = Callable[..., Any]


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    """Opens FileCaches in one folder, and closes them."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(**settings: Any) -> FileCache:
            settings = {"max_size": GIB, **settings}
            cache = await asyncio.to_thread(partial(FileCache, tmp_path / "files", **settings))
            stack.push_async_callback(cache.close)
            return cache

        yield opened


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[Files]:
    """Opens PageCaches in one folder, and closes them."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(**settings: Any) -> PageCache:
            settings = {"max_size": GIB, **settings}
            cache = await asyncio.to_thread(partial(PageCache, tmp_path / "pages", **settings))
            stack.push_async_callback(cache.close)
            return cache

        yield opened


async def is_held(cache: FileCache, digest: str) -> bool:
    """Asked without counting as a use."""
    return (await cache._cache.ask(lambda rows: rows._cache.get(f"sha256:{digest}", tag=True, read=False)))[
        0
    ] is not None


async def content(cache: FileCache, digest: str) -> bytes | None:
    blob = await cache.open(digest)
    return None if blob is None else drained(blob)


def values(folder: Path) -> list[Path]:
    return sorted(folder.glob("??/*.val"))


def plant(folder: Path, key: str, **columns: object) -> None:
    """Rewrite columns of the row of *key*, as someone who can write the database would."""
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection, connection:
        changes = ", ".join(f"{name} = ?" for name in columns)
        assert connection.execute(f"UPDATE Cache SET {changes} WHERE key = ?", (*columns.values(), key)).rowcount == 1


def leave_trace(path: str) -> None:
    Path(path).write_bytes(b"")


class Pickled:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return leave_trace, (str(self.trace),)


# ------------------------------------------------------------------------------------------------------- what is let in


@pytest.mark.parametrize("value", [None, {"a": 1}, bytearray(b"x"), "text", 1, 1.5, Adopted(Path("x"))])
def test_nothing_but_bytes_is_kept_in_a_plain_cache(tmp_path: Path, value: object) -> None:
    with diskcache.Cache(tmp_path, disk=PlainDisk) as cache, pytest.raises(TypeError):
        cache.set("key", value)


@pytest.mark.parametrize("value", [None, b"bytes", {"a": 1}, "text"])
def test_nothing_but_finished_files_is_adopted(tmp_path: Path, value: object) -> None:
    with diskcache.Cache(tmp_path, disk=AdoptDisk) as cache, pytest.raises(TypeError):
        cache.set("key", value)


@pytest.mark.parametrize("key", [1, b"key", ("key",), None])
def test_nothing_but_text_is_a_key(tmp_path: Path, key: object) -> None:
    with diskcache.Cache(tmp_path, disk=PlainDisk) as cache, pytest.raises(TypeError):
        cache.set(key, b"value")


async def test_a_planted_pickle_is_a_miss_and_does_not_run(files: Files, pages: Files, tmp_path: Path) -> None:
    cache, remembered = await files(), await pages()
    digest = await keep(cache, b"a wheel", tmp_path)
    await remembered.save("tuna", NUMPY, SNAPSHOT, b"page")
    trace = tmp_path / "it-ran"
    for folder, key in (
        ("files", f"sha256:{digest}"),
        ("pages", "state:tuna/numpy"),
        ("pages", "body:tuna/numpy"),
    ):
        with diskcache.Cache(tmp_path / folder) as attacker:
            attacker.set(key, Pickled(trace), tag='{"size":4,"stored":1}')
    assert await cache.open(digest) is None
    assert await remembered.load("tuna", NUMPY) is None
    await asyncio.gather(cache.sweep(), remembered.sweep())
    assert not trace.exists()
    with diskcache.Cache(tmp_path / "files") as control:
        control.set(f"sha256:{digest}", Pickled(trace))  # again: a sweep may have tidied the folder that it lay in
        control.get(f"sha256:{digest}")
    assert trace.exists(), "the planted row was no danger, and the test shows nothing"


@pytest.mark.parametrize("absolute", [True, False])
async def test_a_row_that_names_a_file_elsewhere_is_a_miss_and_removes_nothing(
    files: Files, tmp_path: Path, absolute: bool
) -> None:
    cache = await files(max_size=200 * KIB)
    digest = await keep(cache, b"a wheel", tmp_path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"a wheel")
    plant(tmp_path / "files", f"sha256:{digest}", filename=str(victim) if absolute else "../victim")
    assert await cache.open(digest) is None
    await keep(cache, b"a wheel", tmp_path)
    plant(tmp_path / "files", f"sha256:{digest}", filename=str(victim) if absolute else "../victim", size=GIB)
    assert await cache.sweep() == 1
    assert victim.read_bytes() == b"a wheel"


@pytest.mark.parametrize("planted", ["symlink", "fifo", "folder", "nothing"])
async def test_what_stands_in_a_files_place_is_a_miss(files: Files, tmp_path: Path, planted: str) -> None:
    cache = await files()
    digest = await keep(cache, b"a wheel", tmp_path)
    (value,) = values(tmp_path / "files")
    value.unlink()
    (tmp_path / "secret").write_bytes(b"a wheel")
    match planted:
        case "symlink":
            value.symlink_to(tmp_path / "secret")
        case "fifo":
            os.mkfifo(value)
        case "folder":
            value.mkdir()
    async with asyncio.timeout(20):
        assert await cache.open(digest) is None
    await keep(cache, b"a wheel", tmp_path)
    assert await content(cache, digest) == b"a wheel"


async def test_the_folder_is_for_its_owner_alone(files: Files, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir(mode=0o755)
    await files()
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700


# ------------------------------------------------------------------------------------------------------------- adoption


async def test_an_adopted_file_is_not_copied(files: Files, tmp_path: Path) -> None:
    cache = await files()
    body = tmp_path / "body"
    body.write_bytes(b"x" * MIB)
    inode = body.stat().st_ino
    await cache.adopt(sha256(b"x" * MIB), body)
    assert [value.stat().st_ino for value in values(tmp_path / "files")] == [inode]


async def test_a_files_bytes_are_on_the_disk_before_its_row(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut leaves a row whose file has the right size and no bytes."""
    done: list[str] = []

    def noted(word: str, call: Callable[..., None]) -> Callable[..., None]:
        def both(*arguments: Any, **options: Any) -> None:
            call(*arguments, **options)
            done.append(word)

        return both

    monkeypatch.setattr(os, "fdatasync", noted("sync", os.fdatasync))
    monkeypatch.setattr(os, "link", noted("link", os.link))
    cache = await files()
    await keep(cache, b"a wheel", tmp_path)
    assert done == ["sync", "link"]


async def test_a_file_system_without_hard_links_will_do(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    cache = await files()
    assert await content(cache, await keep(cache, b"a wheel", tmp_path)) == b"a wheel"
    assert not (tmp_path / "body.part").exists()


async def test_adopting_again_leaves_one_file(files: Files, tmp_path: Path) -> None:
    cache = await files()
    for _ in range(3):
        await keep(cache, b"a wheel", tmp_path)
    assert len(values(tmp_path / "files")) == 1


async def test_a_body_that_is_gone_is_said_so_and_leaves_nothing(files: Files, tmp_path: Path) -> None:
    cache = await files()
    with pytest.raises(Unavailable):
        await cache.adopt(sha256(b"x"), tmp_path / "gone")
    assert values(tmp_path / "files") == []


async def test_a_full_disk_is_said_so_and_the_body_stays(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    cache = await files()
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", full)
        with pytest.raises(DiskFull):
            await keep(cache, b"a wheel", tmp_path)
    assert (tmp_path / "body.part").read_bytes() == b"a wheel"
    assert await content(cache, await keep(cache, b"a wheel", tmp_path)) == b"a wheel"


async def test_a_database_that_cannot_grow_keeps_no_file_and_recovers(files: Files, tmp_path: Path) -> None:
    """SQLite's own limit stands for the full disk: the error, and where it strikes, are the same."""
    cache = await files()

    def grow(rows: CacheRows, pages: int) -> None:
        rows._cache._sql(f"PRAGMA max_page_count = {pages}").fetchall()

    first = await keep(cache, b"first", tmp_path)
    with pytest.raises(DiskFull):  # noqa: PT012  # which file no longer fits depends on SQLite
        for number in range(1000):
            # The limit belongs to a connection, and each failure opens a new one.
            await cache._cache.ask(partial(grow, pages=1))
            await keep(cache, b"%d" % number, tmp_path)
    assert len(values(tmp_path / "files")) == number + 1
    assert await content(cache, first) == b"first"
    assert await is_held(cache, await keep(cache, b"later", tmp_path))
    assert not (tmp_path / "files" / "cache.db.broken").exists()


async def test_a_busy_database_is_given_up_after_a_while(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_rows, "BUSY", 0.02)
    cache = await files()
    with contextlib.closing(sqlite3.connect(tmp_path / "files" / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="busy"):
            await keep(cache, b"a wheel", tmp_path)
        other.execute("ROLLBACK")
    assert (tmp_path / "body.part").exists()
    assert values(tmp_path / "files") == []
    assert await content(cache, await keep(cache, b"a wheel", tmp_path)) == b"a wheel"


# ------------------------------------------------------------------------------------------------------------- eviction


def body(number: int, size: int = 100 * KIB) -> bytes:
    return bytes([number]) * size


async def test_adopting_evicts_nothing_and_a_sweep_evicts_not_one_too_many(files: Files, tmp_path: Path) -> None:
    cache = await files(max_size=500 * KIB)
    kept = [await keep(cache, body(number), tmp_path) for number in range(8)]
    assert [await is_held(cache, digest) for digest in kept] == [True] * 8
    # Four files of 100 KiB and the database fit.
    assert await cache.sweep() == 4
    assert [await is_held(cache, digest) for digest in kept] == [False] * 4 + [True] * 4
    assert len(values(tmp_path / "files")) == 4
    assert await cache.sweep() == 0


async def test_the_least_recently_used_goes_first(files: Files, tmp_path: Path) -> None:
    cache = await files(max_size=500 * KIB)
    kept = [await keep(cache, body(number), tmp_path) for number in range(6)]
    for digest in (kept[0], kept[3]):
        assert await content(cache, digest) is not None
    assert await cache.sweep() == 2
    assert [await is_held(cache, digest) for digest in kept] == [True, False, False, True, True, True]


async def test_what_was_used_is_known_after_a_restart(tmp_path: Path) -> None:
    before = await asyncio.to_thread(partial(FileCache, tmp_path / "files", max_size=GIB))
    kept = [await keep(before, body(number), tmp_path) for number in range(2)]
    assert await content(before, kept[0]) == body(0)
    await before.close()
    after = await asyncio.to_thread(partial(FileCache, tmp_path / "files", max_size=200 * KIB))
    assert await after.sweep() == 1
    assert [await is_held(after, digest) for digest in kept] == [True, False]
    await after.close()


async def test_a_big_newcomer_costs_only_what_it_needs(files: Files, tmp_path: Path) -> None:
    """diskcache's own cull takes ten rows, whatever their size."""
    cache = await files(max_size=2 * MIB)
    small = [await keep(cache, body(number, 10 * KIB), tmp_path) for number in range(60)]
    await keep(cache, body(200, 1500 * KIB), tmp_path)
    evicted = await cache.sweep()
    held = [await is_held(cache, digest) for digest in small]
    assert held == [False] * evicted + [True] * (60 - evicted)
    database = await cache._cache.ask(CacheRows.surplus)
    assert -10 * KIB < database <= 0


async def test_a_file_bigger_than_the_cache_is_let_go(files: Files, tmp_path: Path) -> None:
    cache = await files(max_size=500 * KIB)
    small = [await keep(cache, body(number), tmp_path) for number in range(4)]
    for size in (GIB // 1024, 499 * KIB):  # the second fits only if the database took no room
        big = await keep(cache, body(9, size), tmp_path)
        assert await cache.open(big) is None
        assert not (tmp_path / "body.part").exists()
    assert await cache.sweep() == 0
    assert [await is_held(cache, digest) for digest in small] == [True] * 4


async def test_room_is_made_on_the_disk_too(files: Files, tmp_path: Path) -> None:
    free = 10 * MIB
    cache = await files(min_free=10 * MIB, free=lambda _: free)
    kept = [await keep(cache, body(number), tmp_path) for number in range(6)]
    assert await cache.sweep() == 0
    free -= 150 * KIB
    assert await cache.sweep() == 2
    assert [await is_held(cache, digest) for digest in kept] == [False] * 2 + [True] * 4


async def test_room_is_made_for_a_file_before_it_comes(files: Files, tmp_path: Path) -> None:
    """Else a file bigger than what is free could never be fetched, with a disk full of what may go."""
    free = 10 * MIB + 100 * KIB
    cache = await files(min_free=10 * MIB, free=lambda _: free)
    kept = [await keep(cache, body(number), tmp_path) for number in range(6)]
    await cache.make_room(100 * KIB)
    assert [await is_held(cache, digest) for digest in kept] == [True] * 6
    await cache.make_room(250 * KIB)
    assert [await is_held(cache, digest) for digest in kept] == [False] * 2 + [True] * 4


async def test_a_file_that_is_being_read_can_go(files: Files, tmp_path: Path) -> None:
    cache = await files(max_size=200 * KIB)
    blob = await cache.open(await keep(cache, body(1, 150 * KIB), tmp_path))
    assert blob is not None
    await keep(cache, body(2), tmp_path)
    assert await cache.sweep() == 1
    assert await cache.open(blob.sha256) is None
    assert drained(blob) == body(1, 150 * KIB)


async def test_a_newcomer_that_does_not_fit_wakes_the_janitor(files: Files, tmp_path: Path) -> None:
    cache = await files(max_size=200 * KIB)
    janitor = asyncio.create_task(cache.run(every=3600))
    first = await keep(cache, body(1, 150 * KIB), tmp_path)
    await keep(cache, body(2), tmp_path)
    async with asyncio.timeout(30):
        while await is_held(cache, first):
            pass
    janitor.cancel()
    await asyncio.gather(janitor, return_exceptions=True)


async def test_the_janitor_outlives_a_sweep_that_fails(
    files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked = 0

    def free(_: Path) -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            loop.call_soon_threadsafe(failed.set)
            raise OSError(errno.EIO, "no answer")
        return GIB

    cache = await files(max_size=200 * KIB, min_free=1, free=free)
    janitor = asyncio.create_task(cache.run(every=0.01))
    async with asyncio.timeout(30):
        await failed.wait()
        first = await keep(cache, body(1, 150 * KIB), tmp_path)
        await keep(cache, body(2), tmp_path)
        while await is_held(cache, first):
            pass
    assert "could not be swept" in caplog.text
    janitor.cancel()
    await asyncio.gather(janitor, return_exceptions=True)


async def test_one_process_sweeps_at_a_time(files: Files, tmp_path: Path) -> None:
    cache = await files(max_size=200 * KIB)
    for number in range(4):
        await keep(cache, body(number), tmp_path)
    with (tmp_path / "files" / "sweep.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert await cache.sweep() == 0
    assert await cache.sweep() == 3


async def test_two_processes_see_each_others_files(files: Files, tmp_path: Path) -> None:
    one, two = await files(), await files()
    assert await content(two, await keep(one, b"a wheel", tmp_path)) == b"a wheel"


# -------------------------------------------------------------------------------------------------------------- mending


async def test_a_torn_file_is_dropped(files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a power cut a row may name a file that was not written to its end."""
    cache = await files()
    digest = await keep(cache, body(1), tmp_path)
    (value,) = values(tmp_path / "files")
    os.truncate(value, 10)
    assert await cache.open(digest) is None
    assert "torn" in caplog.text
    assert values(tmp_path / "files") == []
    await keep(cache, body(1), tmp_path)
    assert await content(cache, digest) == body(1)


@pytest.mark.parametrize("tag", [None, "", "[]", '{"size": "x"}', b"\x80"])
async def test_a_row_whose_facts_cannot_be_read_is_a_miss(files: Files, tmp_path: Path, tag: object) -> None:
    cache = await files()
    digest = await keep(cache, b"a wheel", tmp_path)
    plant(tmp_path / "files", f"sha256:{digest}", tag=tag)
    assert await cache.open(digest) is None
    assert not await is_held(cache, digest)


async def test_files_without_a_row_go_after_an_hour_and_rows_without_a_file_at_once(
    files: Files, tmp_path: Path
) -> None:
    late = 0.0
    cache = await files(now=lambda: time.time() + late)
    gone, stays = await keep(cache, body(1), tmp_path), await keep(cache, body(2), tmp_path)
    for value in values(tmp_path / "files"):
        if value.read_bytes() == body(1):
            value.unlink()
    orphan = tmp_path / "files" / "00" / ("0" * 30 + ".val")
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"x")
    size = await cache._cache.ask(CacheRows.surplus)
    for _ in range(256):
        await cache.sweep()
    assert orphan.exists()
    assert size - await cache._cache.ask(CacheRows.surplus) == len(body(1))
    late = 7200.0
    await cache.sweep()
    assert not orphan.exists()
    assert [await is_held(cache, digest) for digest in (gone, stays)] == [False, True]


def spoil(folder: Path) -> None:
    for suffix in ("-wal", "-shm"):
        (folder / f"cache.db{suffix}").unlink(missing_ok=True)
    (folder / "cache.db").write_bytes(b"no database " * 10_000)


async def test_a_database_found_corrupt_is_made_anew_and_its_files_go(
    files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = await asyncio.to_thread(partial(FileCache, tmp_path / "files", max_size=GIB))
    old = await keep(before, body(1), tmp_path)
    await before.close()
    spoil(tmp_path / "files")
    cache = await files()
    assert "made anew" in caplog.text
    assert (tmp_path / "files" / "cache.db.broken").exists()
    assert await cache.open(old) is None
    await asyncio.sleep(0.02)  # the file system's clock is a little behind
    new = await keep(cache, body(2), tmp_path)
    assert len(values(tmp_path / "files")) == 2
    await cache.sweep()
    assert [value.read_bytes() for value in values(tmp_path / "files")] == [body(2)]
    assert await is_held(cache, new)


async def test_a_database_of_someone_else_is_made_anew(files: Files, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "files" / "cache.db")) as other, other:
        other.execute("CREATE TABLE Cache (something)")
    cache = await files()
    assert await content(cache, await keep(cache, b"a wheel", tmp_path)) == b"a wheel"


async def test_a_database_spoiled_while_running_is_made_anew(files: Files, tmp_path: Path) -> None:
    cache = await files()
    digest = await keep(cache, b"a wheel", tmp_path)
    await asyncio.to_thread(os.truncate, tmp_path / "files" / "cache.db", 0)
    for _ in range(3):  # an adoption may be the one to find out
        with contextlib.suppress(Unavailable):
            await keep(cache, b"a wheel", tmp_path)
    assert await content(cache, digest) == b"a wheel"


async def test_the_folder_removed_while_running_harms_no_request(files: Files, pages: Files, tmp_path: Path) -> None:
    cache, remembered = await files(), await pages()
    digest = await keep(cache, b"a wheel", tmp_path)
    await remembered.save("tuna", NUMPY, SNAPSHOT, b"page")
    reading = await cache.open(digest)
    assert reading is not None
    await asyncio.to_thread(shutil.rmtree, tmp_path / "files")
    await asyncio.to_thread(shutil.rmtree, tmp_path / "pages")
    assert await cache.open(digest) is None
    assert await remembered.load("tuna", NUMPY) is None
    assert drained(reading) == b"a wheel"
    await keep(cache, b"a wheel", tmp_path)
    await remembered.save("tuna", NUMPY, SNAPSHOT, b"page")
    await asyncio.gather(cache.sweep(), remembered.sweep())
    assert await content(cache, digest) == b"a wheel"
    assert await remembered.load("tuna", NUMPY) == (SNAPSHOT, b"page")


async def test_the_folder_removed_is_there_again_for_whoever_writes_first(
    files: Files, pages: Files, tmp_path: Path
) -> None:
    cache, remembered = await files(), await pages()
    await asyncio.to_thread(shutil.rmtree, tmp_path / "files")
    await asyncio.to_thread(shutil.rmtree, tmp_path / "pages")
    assert await content(cache, await keep(cache, b"a wheel", tmp_path)) == b"a wheel"
    await remembered.save("tuna", NUMPY, SNAPSHOT, b"page")
    assert await remembered.load("tuna", NUMPY) == (SNAPSHOT, b"page")


async def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "files").write_bytes(b"not a folder")
    with pytest.raises(Unavailable) as caught:
        await asyncio.to_thread(partial(FileCache, tmp_path / "files", max_size=GIB))
    assert str(tmp_path) not in str(caught.value)


def test_an_sqlite_without_double_quoted_strings_is_named_at_the_start() -> None:
    class Strict(sqlite3.Connection):
        """Reads "size" as SQLITE_DQS=0 does."""

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            return super().execute(sql.replace('"size"', "[size]"), *arguments)

    with pytest.raises(Unavailable, match="SQLITE_DQS"):
        check_sqlite(partial(sqlite3.connect, factory=Strict))
    check_sqlite()


async def test_whoever_stops_waiting_leaves_no_handle_open(files: Files, tmp_path: Path) -> None:
    cache = await files()
    digest = await keep(cache, b"a wheel", tmp_path)
    (value,) = values(tmp_path / "files")
    busy, let_go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(_: CacheRows) -> None:
        loop.call_soon_threadsafe(busy.set)
        asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result()

    holding = asyncio.create_task(cache._cache.ask(wait))
    await busy.wait()
    opening = asyncio.create_task(cache.open(digest))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    let_go.set()
    await holding
    await cache._cache.ask(lambda _: None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    open_files = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert str(value) not in open_files


# ---------------------------------------------------------------------------------------------------------------- pages


async def test_a_damaged_page_is_forgotten(pages: Files, tmp_path: Path) -> None:
    cache = await pages()
    page = os.urandom(MIB)
    for damage in ("short", "flipped", "gone"):
        await cache.save("tuna", NUMPY, SNAPSHOT, page)
        assert await cache.load("tuna", NUMPY) == (SNAPSHOT, page)
        (value,) = values(tmp_path / "pages")
        match damage:
            case "short":
                os.truncate(value, value.stat().st_size - 1)
            case "flipped":
                with value.open("r+b") as file:
                    file.seek(500_000)
                    file.write(b"\x00\x01\x02\x03")
            case "gone":
                value.unlink()
        assert await cache.load("tuna", NUMPY) is None, damage


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ("state:tuna/numpy", {"value": b"{}"}),
        ("state:tuna/numpy", {"value": b"\xff"}),
        ("state:tuna/numpy", {"value": "text"}),
        ("body:tuna/numpy", {"value": b"no gzip"}),
        ("body:tuna/numpy", {"tag": '{"size":3,"stored":1}'}),
        ("body:tuna/numpy", {"tag": None}),
        ("body:tuna/numpy", {"mode": 2, "filename": "/etc/hostname"}),
    ],
)
async def test_a_page_with_an_unreadable_half_is_forgotten(
    pages: Files, tmp_path: Path, row: str, columns: dict[str, object]
) -> None:
    cache = await pages()
    await cache.save("tuna", NUMPY, SNAPSHOT, b"page")
    plant(tmp_path / "pages", row, **columns)
    assert await cache.load("tuna", NUMPY) is None


async def test_a_304_writes_no_bytes_again(pages: Files, tmp_path: Path) -> None:
    cache = await pages()
    await cache.save("tuna", NUMPY, SNAPSHOT, os.urandom(MIB))
    (before,) = values(tmp_path / "pages")
    await cache.save("tuna", NUMPY, SNAPSHOT, None)
    assert values(tmp_path / "pages") == [before]


async def test_a_page_is_kept_compressed(pages: Files, tmp_path: Path) -> None:
    cache = await pages()
    page = "".join(f'<a href="numpy-{number}.tar.gz">' for number in range(100_000)).encode()
    await cache.save("tuna", NUMPY, SNAPSHOT, page)
    (value,) = values(tmp_path / "pages")
    assert value.stat().st_size < len(page) / 4
    assert await cache.load("tuna", NUMPY) == (SNAPSHOT, page)


async def test_a_page_that_does_not_fit_leaves_the_old_one_whole(pages: Files) -> None:
    """State and bytes are one: the new validators beside the old bytes would keep them for ever, by 304s."""
    cache = await pages()
    await cache.save("tuna", NUMPY, SNAPSHOT, b"old page")
    later = msgspec.structs.replace(SNAPSHOT, etag='"two"')

    def limit(rows: CacheRows) -> None:
        rows._cache._sql("PRAGMA max_page_count = 1").fetchall()

    await cache._cache.ask(limit)
    with pytest.raises(DiskFull):
        await cache.save("tuna", NUMPY, later, os.urandom(30 * KIB))
    assert await cache.load("tuna", NUMPY) == (SNAPSHOT, b"old page")
    await cache.save("tuna", NUMPY, later, b"new page")
    assert await cache.load("tuna", NUMPY) == (later, b"new page")


async def test_evicting_small_pages_frees_what_they_took_and_no_more_go(pages: Files, tmp_path: Path) -> None:
    """They lie in the database, which does not shrink by itself: measured by its length, all of them would go."""
    cache = await pages(max_size=2 * MIB)
    names = [public(f"project-{number}") for number in range(400)]
    for name in names:
        await cache.save("tuna", name, SNAPSHOT, os.urandom(10 * KIB))
    await cache.sweep()
    for _ in range(3):
        assert await cache.sweep() == 0
    held = [await cache.load("tuna", name) is not None for name in names]
    assert not held[0]
    assert 100 < sum(held) < 200
    assert held[-100:] == [True] * 100
    with contextlib.closing(sqlite3.connect(tmp_path / "pages" / "cache.db")) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert (tmp_path / "pages" / "cache.db").stat().st_size <= 2 * MIB


async def test_a_page_that_is_read_stays(pages: Files) -> None:
    cache = await pages(max_size=260 * KIB)
    for name in (NUMPY, SCIPY):
        await cache.save("tuna", name, SNAPSHOT, os.urandom(80 * KIB))
    assert await cache.load("tuna", NUMPY) is not None
    await cache.save("tuna", public("new"), SNAPSHOT, os.urandom(80 * KIB))
    assert await cache.sweep() > 0
    assert await cache.load("tuna", NUMPY) is not None
    assert await cache.load("tuna", SCIPY) is None


async def test_pages_and_files_are_found_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        cache = await asyncio.to_thread(partial(FileCache, tmp_path / "files", max_size=GIB))
        remembered = await asyncio.to_thread(partial(PageCache, tmp_path / "pages", max_size=GIB))
        if values(tmp_path / "files"):
            break
        await keep(cache, b"a wheel", tmp_path)
        await remembered.save("tuna", NUMPY, SNAPSHOT, b"page")
        await cache.close()
        await remembered.close()
    assert await content(cache, sha256(b"a wheel")) == b"a wheel"
    assert await remembered.load("tuna", NUMPY) == (SNAPSHOT, b"page")
    await cache.close()
    await remembered.close()


def test_a_bounded_cache_that_cannot_start_leaves_no_threads(tmp_path: Path) -> None:
    import threading

    before = threading.active_count()
    (tmp_path / "files").write_bytes(b"not a folder")
    with pytest.raises(Unavailable):
        BoundedCache(
            tmp_path / "files",
            disk=PlainDisk,
            inline=0,
            max_size=GIB,
            min_free=0,
            free=lambda _: GIB,
            now=time.time,
        )
    assert threading.active_count() == before


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
