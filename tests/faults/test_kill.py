"""kill -9 at every step of uploads and downloads: after each start all that was promised still holds.

By default each step is hit once.  All fifty kills of each kind, at least five at every step (decision 38), and the
table of what was hit:

    pytest -s -m long tests/faults/test_kill.py
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from ..upstream_server import PACE, running_upstream
from .releases import BROKEN, Answer, Release, ask, begun, half_uploaded, upload
from .site import PROJECT, Site, living, wait_until
from .strace import LINK, RENAME, UNLINK, Call, attached, first, needs_strace, read_trace

pytestmark = needs_strace

SMALL, BIG = 100_000, 3_000_000
"""Bytes: what comes in one piece, and what does not."""

KILLS, EACH = 50, 5
"""Kills of each kind in the full run, and how many of them at least at each step that is asked for."""

IN_THE_BODY = "in the body"
BEFORE_FSYNC = "before fsync"
BEFORE_RENAME = "between fsync and rename"
BEFORE_COMMIT = "between rename and commit"
BEFORE_ANSWER = "between commit and 200"
AFTER_ANSWER = "after 200"

BEFORE_ADOPTION = "between verified and adopted"
AFTER_ADOPTION = "after adoption"

T = TypeVar("T")
Kill = Callable[[Site, Release], str]
"""Kills the server while the release comes in; the step that was hit, as the trace shows it."""


def step_of_upload(calls: Sequence[Call]) -> str:
    """How far an upload came, by the calls that had come back when the server died."""
    answered = first(calls, "sendto", '"HTTP/1.1 200')
    if answered and answered.done:
        return AFTER_ANSWER
    commit = first(calls, "fdatasync", "/store.db-wal>")
    if commit and commit.done:
        return BEFORE_ANSWER
    placed = first(calls, "rename", ".part")
    if placed and placed.done:
        return BEFORE_COMMIT
    synced = first(calls, "fsync", ".part>")
    if synced and synced.done:
        return BEFORE_RENAME
    # The archive is opened for reading when all of it has come.
    return BEFORE_FSYNC if any(call.on(".part") and call.on("O_RDONLY") for call in calls) else IN_THE_BODY


def step_of_download(calls: Sequence[Call]) -> str:
    """How far a download came: adopting begins with a sync of the verified part, and ends with its name's removal."""
    if first(calls, "unlink", ".part"):
        return AFTER_ADOPTION
    return BEFORE_ADOPTION if first(calls, "fdatasync", ".part>") else IN_THE_BODY


# Uploads


def uploading_at(call: str, when: int) -> Kill:
    """Kill at the *when*-th *call* of any thread, which is not made any more."""

    def kill(site: Site, release: Release) -> str:
        trace = site.folder / "trace"
        with attached(site.pid, trace, hurt=f"{call}:signal=KILL:when={when}"):
            _note(site, release, _tried(lambda: upload(site.server, release)))
            site.wait_until_dead()
        return step_of_upload(read_trace(trace))

    return kill


def uploading_half(site: Site, release: Release) -> str:
    """Kill while the client still sends."""
    site.sent[release.filename] = release
    with half_uploaded(site.server, release):
        wait_until(lambda: any(path.stat().st_size for path in site.incoming.iterdir()))
        site.server.kill()
    return IN_THE_BODY


def uploading_for(seconds: float) -> Kill:
    """Kill by the clock, wherever that is."""

    def kill(site: Site, release: Release) -> str:
        trace = site.folder / "trace"
        with attached(site.pid, trace), ThreadPoolExecutor(1) as pool:
            sending = pool.submit(_tried, lambda: upload(site.server, release))
            time.sleep(seconds)
            site.server.kill()
            _note(site, release, sending.result())
        return step_of_upload(read_trace(trace))

    return kill


UPLOADS: tuple[tuple[Kill, int], ...] = (
    (uploading_half, BIG),
    (uploading_at("write", 1), BIG),
    (uploading_at("fsync", 1), SMALL),  # the wheel
    (uploading_at("fsync", 1), BIG),
    (uploading_at("fsync", 2), SMALL),  # its metadata
    (uploading_at(RENAME, 1), SMALL),
    (uploading_at(RENAME, 2), SMALL),  # its metadata
    (uploading_at("fsync", 3), SMALL),  # a folder
    (uploading_at("fsync", 5), SMALL),  # the root of the folders
    (uploading_at("pwrite64", 1), SMALL),  # the first page of the transaction
    (uploading_at("pwrite64", 4), SMALL),
    (uploading_at("fdatasync", 1), SMALL),  # the commit itself
    (uploading_at(UNLINK, 1), SMALL),  # tidying up after the commit
    (uploading_at(UNLINK, 2), SMALL),
)

ASKED_UPLOADS = (IN_THE_BODY, BEFORE_FSYNC, BEFORE_COMMIT, BEFORE_ANSWER)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_upstream() as upstream, living(Site(tmp_path, upstream)) as site:
        yield site


def kill_uploads(site: Site, kills: Sequence[tuple[Kill, int]]) -> Counter[str]:
    steps = Counter[str]()
    for number, (kill, size) in enumerate(kills):
        release = Release(PROJECT, f"{number}.0", size)
        steps[kill(site, release)] += 1
        site.restart()
        site.check_uploads()
        # What the client does then, as anybody would.
        assert upload(site.server, release).status == 200
        site.acknowledged.add(release.filename)
    site.restart()
    site.check_uploads()
    return steps


def test_no_step_of_an_upload_can_be_killed_with_a_loss(site: Site) -> None:
    steps = kill_uploads(site, UPLOADS)
    _print("uploads", steps, site.starts)
    assert set(ASKED_UPLOADS) <= steps.keys()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_fifty_killed_uploads_lose_nothing(site: Site) -> None:
    chance = random.Random(50)
    planned = [kill for kill in UPLOADS for _ in range(3)]
    timed = [(uploading_for(chance.uniform(0.0, 0.08)), BIG) for _ in range(KILLS - len(planned))]
    kills = planned + timed
    chance.shuffle(kills)
    steps = kill_uploads(site, kills)
    _print("uploads", steps, site.starts)
    assert steps.total() == KILLS
    assert min(steps[step] for step in ASKED_UPLOADS) >= EACH


# Downloads


def downloading_at(call: str, when: int) -> Kill:
    """Kill at the *when*-th *call* of any thread, which is not made any more."""

    def kill(site: Site, release: Release) -> str:
        target, trace = site.publish(release), site.folder / "trace"
        # The page is there first, so that the calls that are counted are the file's.
        assert ask(site.server, f"/simple/{release.project}/").status == 200
        with attached(site.pid, trace, hurt=f"{call}:signal=KILL:when={when}"):
            _judge(release, _tried(lambda: ask(site.server, target)))
            site.wait_until_dead()
        return step_of_download(read_trace(trace))

    return kill


def downloading_part(share: float) -> Kill:
    """Kill when that *share* of the file has come, and a client has read some of it; what came is used again."""

    def kill(site: Site, release: Release) -> str:
        target = site.publish(release)
        have = int(share * len(release.body))
        site.upstream.fault("/packages/", stall_after=have)
        status, got = begun(site.server, target, 1000)
        assert (status, got) == (200, release.body[:1000])
        part = site.arriving / f"{release.sha256}.part"
        wait_until(lambda: part.stat().st_size == have)
        site.server.kill()
        site.upstream.heal()
        site.restart()
        assert ask(site.server, target).body == release.body
        assert site.upstream.asked(target)[-1].headers["range"] == f"bytes={have}-"
        return IN_THE_BODY

    return kill


def downloading_for(seconds: float) -> Kill:
    """Kill by the clock, wherever that is; the upstream takes its time too."""

    def kill(site: Site, release: Release) -> str:
        target, trace = site.publish(release), site.folder / "trace"
        assert ask(site.server, f"/simple/{release.project}/").status == 200
        site.upstream.fault("/packages/", **PACE)
        with attached(site.pid, trace), ThreadPoolExecutor(1) as pool:
            coming = pool.submit(_tried, lambda: ask(site.server, target))
            time.sleep(seconds)
            site.server.kill()
            _judge(release, coming.result())
        site.upstream.heal()
        return step_of_download(read_trace(trace))

    return kill


def downloading_whole(site: Site, release: Release) -> str:
    """Kill when it is adopted, and nobody waits for anything."""
    target = site.publish(release)
    _judge(release, ask(site.server, target))
    wait_until(lambda: site.values and not list(site.arriving.iterdir()))
    site.server.kill()
    return AFTER_ADOPTION


DOWNLOADS: tuple[tuple[Kill, int], ...] = (
    (downloading_part(0.3), BIG),
    (downloading_part(0.9), BIG),
    (downloading_at("pwrite64", 1), SMALL),  # the first bytes of the file
    (downloading_at("fdatasync", 1), SMALL),  # the whole of it
    (downloading_at(LINK, 1), SMALL),  # into the cache
    (downloading_at("pwrite64", 6), SMALL),  # a page of the cache's transaction
    (downloading_at("pwrite64", 10), SMALL),
    (downloading_at(UNLINK, 1), SMALL),  # the part's name
    (downloading_whole, SMALL),
)

ASKED_DOWNLOADS = (IN_THE_BODY, BEFORE_ADOPTION, AFTER_ADOPTION)


def kill_downloads(site: Site, kills: Sequence[tuple[Kill, int]]) -> Counter[str]:
    steps = Counter[str]()
    published = dict[str, Release]()
    for number, (kill, size) in enumerate(kills):
        release = Release(f"demo-{number}", "1.0", size)
        step = kill(site, release)
        steps[step] += 1
        target = site.publish(release)
        asked = len(site.upstream.asked(target))
        site.restart()
        published[target] = release
        site.check_downloads(published)
        if step != IN_THE_BODY:
            # It was whole already: nobody had to be asked for a byte of it.
            assert len(site.upstream.asked(target)) == asked, step
        wait_until(lambda: not list(site.arriving.iterdir()))
    site.restart()
    site.upstream.refuse()
    site.check_downloads(published)
    site.upstream.accept()
    return steps


def test_no_step_of_a_download_can_be_killed_with_a_wrong_byte(site: Site) -> None:
    steps = kill_downloads(site, DOWNLOADS)
    _print("downloads", steps, site.starts)
    assert set(ASKED_DOWNLOADS) <= steps.keys()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_fifty_killed_downloads_serve_no_wrong_byte(site: Site) -> None:
    chance = random.Random(50)
    planned = [kill for kill in DOWNLOADS for _ in range(4)]
    timed = [(downloading_for(chance.uniform(0.05, 0.9)), BIG) for _ in range(KILLS - len(planned))]
    kills = planned + timed
    chance.shuffle(kills)
    steps = kill_downloads(site, kills)
    _print("downloads", steps, site.starts)
    assert steps.total() == KILLS
    assert min(steps[step] for step in ASKED_DOWNLOADS) >= EACH


def _tried(request: Callable[[], T]) -> T | None:
    """None where the server died first."""
    try:
        return request()
    except BROKEN:
        return None


def _note(site: Site, release: Release, answer: Answer | None) -> None:
    site.sent[release.filename] = release
    if answer is not None:
        assert answer.status == 200, answer
        site.acknowledged.add(release.filename)


def _judge(release: Release, answer: Answer | None) -> None:
    """What looked whole to the client was whole."""
    assert answer is None or (answer.status, answer.body == release.body) == (200, True)


def _print(what: str, steps: Counter[str], starts: Sequence[float]) -> None:
    print(f"\n{steps.total()} kills during {what}, by the step hit:")
    for step, count in steps.items():
        print(f"  {count:3} {step}")
    print(f"  {len(starts)} starts: {statistics.median(starts):.2f} s each, {max(starts):.2f} s at most")
