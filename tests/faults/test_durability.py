"""What an upload promises and a cache may forget, on disks that fail, fill up, or are meddled with."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, count
from pathlib import Path

import pytest

from proxy.administration import Action, Delete, Reserve, Yank
from proxy.web.control import asking

from .. import daemon
from ..upstream_server import running_upstream
from .releases import BROKEN, Answer, Release, ask, listed, upload
from .site import PROJECT, Site, living, wait_until
from .strace import LINK, MKDIR, RENAME, attached, first, hits, needs_strace, read_trace

QUIET = "[server]\naccess_log = false\n"
"""Where calls are counted, the log's own writes must not be among them."""

SMALL, BIG = 100_000, 3_000_000
"""Bytes: what comes in one piece, and what does not."""

MOST = 60
"""Calls of one kind that an upload or download never makes."""

ROOM = "20m"
"""Of the small disk, as mount has it."""

Harm = Callable[[Site], None]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_upstream() as upstream, living(Site(tmp_path, upstream, config=QUIET)) as site:
        yield site


# The order that survives a power cut


@needs_strace
def test_an_upload_is_on_the_disk_in_the_right_order_before_it_is_acknowledged(site: Site) -> None:
    release = Release(PROJECT, "1.0", BIG)
    trace = site.folder / "trace"
    with attached(site.pid, trace):
        assert upload(site.server, release).status == 200
    calls = read_trace(trace)

    def ended(name: str, *parts: str) -> list[int]:
        """Where the one such call had come back."""
        found = [call.ended for call in calls if call.name.startswith(name) and all(map(call.on, parts)) and call.done]
        assert len(found) == 1, (name, parts, found)
        return [place for place in found if place is not None]

    (body,) = _contents(site)
    answer = first(calls, "sendto", '"HTTP/1.1 200')
    assert answer is not None
    order = [
        [max(call.ended or 0 for call in calls if call.name == "write" and call.on(".part>"))],
        ended("fsync", ".part>"),
        ended("fsync", ".metadata>"),
        ended("rename", '.part"', f'"{body}"'),
        ended("rename", '.metadata"', f'"{body}.metadata"'),
        sorted(place for folder in list(body.parents)[:3] for place in ended("fsync", f"<{folder}>")),
        ended("fdatasync", "/store.db-wal>"),
        [answer.begun],
    ]
    places = list(chain.from_iterable(order))
    assert len(places) == len(order) + 2
    assert places == sorted(places)


@needs_strace
@pytest.mark.parametrize(
    "action",
    [
        Yank(project=PROJECT, version="1.0", reason="broken"),
        Delete(project=PROJECT, version="1.0", dry_run=False),
        Reserve(project="later"),
    ],
    ids=lambda action: type(action).__name__.lower(),
)
def test_a_change_is_on_the_disk_before_it_is_acknowledged(site: Site, action: Action) -> None:
    assert upload(site.server, Release(PROJECT, "1.0", SMALL)).status == 200
    trace = site.folder / "trace"

    async def act() -> None:
        async with asking(site.folder / "state") as office:
            await office.perform(action)

    with attached(site.pid, trace):
        asyncio.run(act())
    calls = read_trace(trace)
    committed, answer = first(calls, "fdatasync", "/store.db-wal>"), first(calls, "sendto", '"HTTP/1.1 200')
    assert committed is not None
    assert committed.ended is not None
    assert answer is not None
    logged = [call for call in calls if call.name == "pwrite64" and call.on("/store.db-wal>")]
    assert max(call.ended or 0 for call in logged) < committed.begun
    assert committed.ended < answer.begun
    # No content goes before the row that lists it.
    assert all(call.begun > committed.ended for call in calls if call.name.startswith("unlink") and call.on("/files/"))


# Calls that fail


@needs_strace
@pytest.mark.parametrize(
    ("call", "error", "status"),
    [
        ("write", "ENOSPC", 507),  # the wheel, its metadata
        ("fsync", "EIO", 503),  # the wheel, its metadata, the folders
        (MKDIR, "ENOSPC", 507),
        (RENAME, "ENOSPC", 507),
        ("pwrite64", "ENOSPC", 507),  # the database's log
        ("fdatasync", "EIO", 503),  # the commit
    ],
    ids=["write", "fsync", "mkdir", "rename", "pwrite", "commit"],
)
def test_an_upload_is_refused_at_each_call_that_fails_and_works_the_next_time(
    site: Site, call: str, error: str, status: int
) -> None:
    for when in count(1):
        assert when < MOST
        release = Release(PROJECT, f"{when}.0", BIG)
        site.sent[release.filename] = release
        trace = site.folder / "trace"
        with attached(site.pid, trace, hurt=f"{call}:error={error}:when={when}"):
            answer = upload(site.server, release)
        if not hits(read_trace(trace)):
            assert answer.status == 200
            break
        assert answer.status == status, (when, answer)
        _is_one_sentence(answer.text, site)
        assert os.listdir(site.incoming) == []
        assert listed(site.server, PROJECT).keys() == site.acknowledged
        assert upload(site.server, release).status == 200
        site.acknowledged.add(release.filename)
    assert when > 1, f"no {call} was made"
    site.restart()
    site.check_uploads()


@needs_strace
@pytest.mark.parametrize(
    ("call", "error", "costs_an_answer"),
    [
        ("pwrite64", "ENOSPC", True),  # the file, the cache's database
        ("fdatasync", "EIO", False),  # the file, before it is adopted
        (LINK, "ENOSPC", False),
        (MKDIR, "EDQUOT", False),
    ],
    ids=["pwrite", "fdatasync", "link", "mkdir"],
)
def test_a_download_to_a_failing_disk_is_right_or_broken_off(
    site: Site, call: str, error: str, costs_an_answer: bool
) -> None:
    published = dict[str, Release]()
    for when in count(1):
        assert when < MOST
        release = Release(f"demo-{when}", "1.0", BIG)
        target = site.publish(release)
        assert ask(site.server, f"/simple/{release.project}/").status == 200
        trace = site.folder / "trace"
        with attached(site.pid, trace, hurt=f"{call}:error={error}:when={when}"):
            answer = _tried(site, target)
            wait_until(lambda: not list(site.arriving.iterdir()))
        right = _is_right(answer, release, site)
        if not hits(read_trace(trace)):
            assert right
            break
        assert right or costs_an_answer
        published[target] = release
        site.check_downloads(published)
    assert when > 1, f"no {call} was made"


# A disk that is too small


def _can_mount() -> bool:
    done = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(
    shutil.which("unshare") is None or not _can_mount(),
    reason="NO FILE SYSTEM OF OUR OWN can be mounted here: full disks are not tested",
)
@pytest.mark.parametrize("config", ["", '[cache]\nmax_size = "10 MB"\nmin_free = "1 MB"\n'], ids=["default", "limited"])
def test_a_small_disk_serves_more_than_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\nexec unshare -Urm sh -c 'mount -t tmpfs -o size={ROOM} none {cache} && "
        f'exec "$@"\' sh {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    # The server is started by this one, and sees the small disk; we do not.
    monkeypatch.setattr(sys, "executable", str(python))
    with running_upstream() as upstream, living(Site(tmp_path, upstream, config=config)) as site:
        fitting = {site.publish(release): release for release in _releases(8, 6_000_000)}
        fitting |= {site.publish(release): release for release in [Release("wide", "1.0", 12_000_000)]}
        huge = Release("huge", "1.0", 30_000_000)
        too_big = site.publish(huge)
        for _ in range(2):
            for target, release in fitting.items():
                assert _is_there(site, target, release)
            assert not _is_there(site, too_big, huge)
        assert not [line for line in site.server.lines if "ERROR" in line]


# A cache that is meddled with


def cut_short(value: Path, aside: Path) -> None:
    os.truncate(value, value.stat().st_size // 2)


def emptied(value: Path, aside: Path) -> None:
    os.truncate(value, 0)


def removed(value: Path, aside: Path) -> None:
    value.unlink()


def folder(value: Path, aside: Path) -> None:
    value.unlink()
    value.mkdir()


def link(value: Path, aside: Path) -> None:
    value.unlink()
    value.symlink_to("/etc/passwd")


def link_to_its_size(value: Path, aside: Path) -> None:
    """Even one that leads to as many bytes."""
    aside.write_bytes(bytes(value.stat().st_size))
    value.unlink()
    value.symlink_to(aside)


def fifo(value: Path, aside: Path) -> None:
    value.unlink()
    os.mkfifo(value)


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
@pytest.mark.parametrize("harm", [cut_short, emptied, removed, folder, link, link_to_its_size, fifo])
def test_a_harmed_copy_is_fetched_again(site: Site, harm: Callable[[Path, Path], None], stopped: bool) -> None:
    published = _cached(site, _releases(2, SMALL))

    def act() -> None:
        for number, value in enumerate(site.values):
            harm(value, site.folder / f"aside-{number}")

    _while(site, stopped, act)
    asked = len(site.upstream.asked("/packages/"))
    site.check_downloads(published)
    assert len(site.upstream.asked("/packages/")) == asked + len(published)
    _is_cached_again(site, published)


def noise(site: Site, name: str) -> None:
    """Write over all of a database but its length."""
    for database in (site.folder / "cache").glob(f"*/{name}"):
        size = database.stat().st_size
        with database.open("r+b") as handle:
            handle.write(random.Random(name).randbytes(size))


def noisy_database(site: Site) -> None:
    noise(site, "cache.db")


def noisy_log(site: Site) -> None:
    noise(site, "cache.db-wal")


def no_folder(site: Site) -> None:
    shutil.rmtree(site.folder / "cache")


def no_databases(site: Site) -> None:
    for database in (site.folder / "cache").glob("*/cache.db*"):
        database.unlink()


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
@pytest.mark.parametrize("harm", [noisy_database, noisy_log, no_folder, no_databases])
def test_a_harmed_cache_costs_nothing_but_time(site: Site, harm: Harm, stopped: bool) -> None:
    published = _cached(site, _releases(2, SMALL))
    private = Release(PROJECT, "1.0", SMALL)
    site.sent[private.filename] = private
    assert upload(site.server, private).status == 200
    site.acknowledged.add(private.filename)
    _while(site, stopped, lambda: harm(site))
    site.check_downloads(published)
    later = Release("later", "1.0", SMALL)
    published[site.publish(later)] = later
    site.check_uploads()
    _is_cached_again(site, published)


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
@pytest.mark.parametrize("part", ["value", "key"])
def test_a_planted_pickle_is_not_run(site: Site, part: str, stopped: bool) -> None:
    published = _cached(site, _releases(2, SMALL))
    mark = site.folder / "mark"
    planted = pickle.dumps(_Trap(mark))
    pickle.loads(planted)
    mark.unlink()  # it bites
    change = {"value": "mode = 4, filename = NULL, value = ?", "key": "raw = 0, key = ? || rowid"}[part]

    def plant() -> None:
        for database in (site.folder / "cache").glob("*/cache.db"):
            with closing(sqlite3.connect(database, timeout=10, isolation_level=None)) as connection:
                connection.execute(f"UPDATE Cache SET {change}", (planted,))

    _while(site, stopped, plant)
    site.check_downloads(published)
    _is_cached_again(site, published)
    assert not mark.exists()


# A store that is meddled with


def no_database(state: Path) -> None:
    for path in state.glob("store.db*"):
        path.unlink()


def empty_database(state: Path) -> None:
    no_database(state)
    (state / "store.db").touch()


def garbled_database(state: Path) -> None:
    no_database(state)
    (state / "store.db").write_bytes(random.Random(1).randbytes(40_000))


def foreign_database(state: Path) -> None:
    no_database(state)
    with closing(sqlite3.connect(state / "store.db")) as connection:
        connection.execute("CREATE TABLE names (name TEXT)")


def no_files(state: Path) -> None:
    shutil.rmtree(state / "files")


def open_to_all(state: Path) -> None:
    state.chmod(0o777)


@pytest.mark.parametrize(
    "harm", [no_database, empty_database, garbled_database, foreign_database, no_files, open_to_all]
)
def test_a_store_that_lost_its_half_or_its_walls_is_not_served(site: Site, harm: Callable[[Path], None]) -> None:
    assert upload(site.server, Release(PROJECT, "1.0", SMALL)).status == 200
    site.end()
    state = site.folder / "state"
    harm(state)
    before = sorted(path.name for path in state.rglob("*") if path.suffix not in (".db-wal", ".db-shm"))
    _is_one_sentence(_refusal(site), site)
    # And is still refused by a second start: the first made nothing in place of what is missing.
    _is_one_sentence(_refusal(site), site)
    assert sorted(path.name for path in state.rglob("*") if path.suffix not in (".db-wal", ".db-shm")) == before


def test_a_second_server_on_the_same_folder_is_refused_and_harms_nothing(site: Site) -> None:
    release = Release(PROJECT, "1.0", SMALL)
    site.sent[release.filename] = release
    assert upload(site.server, release).status == 200
    site.acknowledged.add(release.filename)
    assert "Another Yizhan is already using this data folder" in _refusal(site)
    site.check_uploads()


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("harm", [cut_short, emptied, removed, folder, link, link_to_its_size, fifo])
def test_a_harmed_private_file_is_never_served_and_others_are(
    site: Site, harm: Callable[[Path, Path], None], restarted: bool
) -> None:
    ill, well = (Release(PROJECT, f"{number}.0", SMALL) for number in (1, 2))
    assert upload(site.server, ill).status == 200
    (body,) = _contents(site)
    assert upload(site.server, well).status == 200
    harm(body, site.folder / "aside")
    if restarted:
        site.restart()
    page = listed(site.server, PROJECT)
    assert ask(site.server, page[ill.filename]["target"]).status == 503
    assert page.keys() == {ill.filename, well.filename}
    for wanted in ("bytes=0-", "bytes=0-99", "bytes=-1"):
        refused = ask(site.server, page[ill.filename]["target"], Range=wanted)
        assert refused.status == 503
        _is_one_sentence(refused.text, site)
    assert ask(site.server, page[well.filename]["target"]).body == well.body
    # The line may come a moment after the answer.
    wait_until(lambda: [line for line in site.server.lines if "ERROR" in line and ill.filename in line])
    # Uploading the same bytes again mends it.
    if harm is not folder:
        assert upload(site.server, ill).status == 200
        assert ask(site.server, page[ill.filename]["target"]).body == ill.body


class _Trap:
    """Whoever unpickles it makes the file *mark*."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._mark,)


def _contents(site: Site) -> list[Path]:
    """Where the private files lie."""
    return [path for path in (site.folder / "state" / "files").glob("??/??/*") if path.suffix != ".metadata"]


def _releases(number: int, size: int) -> list[Release]:
    return [Release(f"demo-{n}", "1.0", size) for n in range(number)]


def _cached(site: Site, releases: list[Release]) -> dict[str, Release]:
    """Publish them, and have all fetched and adopted."""
    published = {site.publish(release): release for release in releases}
    site.check_downloads(published)
    wait_until(lambda: not list(site.arriving.iterdir()))
    assert len(site.values) == len(published)
    return published


def _is_cached_again(site: Site, published: dict[str, Release]) -> None:
    """All of it can be served without the index; what was adopted last may take a moment."""
    wait_until(lambda: site.arriving.exists() and not list(site.arriving.iterdir()))
    site.check_downloads(published)
    asked = len(site.upstream.asked("/packages/"))
    site.check_downloads(published)
    assert len(site.upstream.asked("/packages/")) == asked


def _while(site: Site, stopped: bool, act: Callable[[], object]) -> None:
    """Do it to the running server's files, or between its lives."""
    if stopped:
        site.end()
    act()
    if stopped:
        site.restart()


def _tried(site: Site, target: str) -> Answer | None:
    """None where the answer broke off."""
    try:
        return ask(site.server, target)
    except BROKEN:
        return None


def _is_there(site: Site, target: str, release: Release) -> bool:
    return _is_right(_tried(site, target), release, site)


def _is_right(answer: Answer | None, release: Release, site: Site) -> bool:
    """Whether *answer* is the file; what looks like it must be it, and a refusal must be a clear one."""
    if answer is None:
        return False
    if answer.status == 200:
        assert answer.body == release.body
        return True
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    _is_one_sentence(answer.text, site)
    return False


def _refusal(site: Site) -> str:
    """What a server says that does not start on the site's folder."""
    config = site.folder / "refused.toml"
    config.write_text("index = []\n")
    command = ["-m", "proxy", "serve", "--config", str(config), "--data", str(site.folder), "--listen", "127.0.0.1:0"]
    done = daemon.run(sys.executable, *command, ok=False)
    assert done.returncode == 1, done
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]


def _is_one_sentence(text: str, site: Site) -> None:
    """For people: no traceback, no place of this disk."""
    assert text.strip()
    assert len(text.strip().splitlines()) == 1
    assert text.strip().endswith(".")
    assert "Traceback" not in text
    assert str(site.folder) not in text
    assert "Errno" not in text
