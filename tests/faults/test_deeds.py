"""Every change of a store, killed and failed at each of its system calls: it is done whole, or not at all.

By default a sample of the calls is hit.  All of them, whatever they do, some thousand kills:

    pytest -s -m long tests/faults/test_deeds.py
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from .deeds import DONE, Deed, Shelf, Verb, acting, after, look, shelves
from .strace import EVERYTHING, MKDIR, RENAME, UNLINK, WATCHED, Call, attached, first, hits, needs_strace, read_trace

pytestmark = needs_strace

BEFORE = (
    Deed.of("upload", "0.9", "1.0", "2.0"),
    Deed.of("delete", "0.9"),
    Deed.of("yank", "2.0"),
    Deed.of("reserve", "acme-spare"),
    Deed.of("issue", "anns"),
)
"""What was done before, so that there is something to lose."""

STOCK = shelves(BEFORE)[-1]

DEEDS = (
    Deed.of("upload", "3.0"),
    Deed.of("yank", "1.0", "2.0"),
    Deed.of("unyank", "1.0", "2.0"),
    Deed.of("delete", "1.0", "2.0"),
    Deed.of("reserve", "acme-later"),
    Deed.of("release", "acme-spare"),
    Deed.of("readmit", "0.9"),
    Deed.of("issue", "bobs"),
    Deed.of("revoke", "anns"),
)

ONCE: tuple[Verb, ...] = ("release", "readmit", "issue")
"""What is refused where it was done already."""

SAMPLE = 6
"""Kills of a deed by default, spread over its calls from the first to the last."""

MOST = 60
"""Calls of one kind that no deed makes."""

each_deed = pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.verb)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a store that was killed after BEFORE, not to be changed."""
    folder = tmp_path_factory.mktemp("stock") / "state"
    with acting(folder) as actor:
        assert [actor.do(deed) for deed in BEFORE] == [DONE] * len(BEFORE)
    return folder


@pytest.fixture
def state(stock: Path, tmp_path: Path) -> Path:
    return _copy(stock, tmp_path)


# The order that survives a power cut


@each_deed
def test_a_deed_is_committed_before_it_is_acknowledged(state: Path, deed: Deed) -> None:
    calls = _traced(state, deed)
    logged = [call for call in calls if call.name == "pwrite64" and call.on("/store.db-wal>")]
    committed, said = first(calls, "fdatasync", "/store.db-wal>"), first(calls, "writev", f'"{DONE}')
    assert logged
    assert committed is not None
    assert said is not None
    assert committed.done
    assert max(call.ended or 0 for call in logged) < committed.begun
    assert (committed.ended or 0) < said.begun


def test_contents_are_deleted_when_nothing_lists_them_any_more(state: Path) -> None:
    calls = _traced(state, Deed.of("delete", "1.0", "2.0"))
    committed = first(calls, "fdatasync", "/store.db-wal>")
    gone = [call.begun for call in calls if call.name.startswith("unlink") and call.on("/files/")]
    assert committed is not None
    assert len(gone) == 2 * 2  # the wheels, and their metadata
    assert min(gone) > (committed.ended or 0)


# Calls that fail


FAILURES = (
    (Deed.of("upload", "3.0"), "write", "ENOSPC"),  # the metadata
    (Deed.of("upload", "3.0"), "fsync", "EIO"),  # the wheel, its metadata, the folders
    (Deed.of("upload", "3.0"), MKDIR, "ENOSPC"),
    (Deed.of("upload", "3.0"), RENAME, "EIO"),
    (Deed.of("delete", "1.0", "2.0"), UNLINK, "EIO"),
    *(
        (deed, "pwrite64", "ENOSPC") for deed in DEEDS if deed.verb in ("upload", "yank", "delete", "reserve")
    ),  # the log
    *((deed, "fdatasync", "EIO") for deed in DEEDS),  # the commit
)


@pytest.mark.parametrize(
    ("deed", "call", "error"), FAILURES, ids=lambda what: str(what.verb) if isinstance(what, Deed) else what.strip("?")
)
def test_a_deed_whose_call_fails_is_refused_whole_and_works_the_next_time(
    stock: Path, tmp_path: Path, deed: Deed, call: str, error: str
) -> None:
    done = after(STOCK, deed)
    for when in count(1):
        assert when < MOST
        state, trace = _copy(stock, tmp_path), tmp_path / "trace"
        with acting(state) as actor:
            with attached(actor.process.pid, trace, hurt=f"{call}:error={error}:when={when}"):
                said = actor.do(deed)
            met = hits(read_trace(trace))
            if not met:
                assert said == DONE
                break
            if said == DONE:
                # What nobody needs any more could not be deleted, or SQLite's own look after its log's name failed.
                assert met[0].name.startswith("unlink") or met[0].on(f"<{state}>")
            else:
                assert said.startswith("DiskFull: " if error == "ENOSPC" else "StoreDown: ")
                _is(actor.look(), STOCK)
                assert os.listdir(state / "incoming") == []
                assert actor.do(deed) == DONE
            _is(actor.look(), done)
        assert look(state) == done
    assert when > 1, f"no {call} was made"


# Kills


@each_deed
def test_a_deed_that_is_killed_is_done_whole_or_not_at_all(stock: Path, tmp_path: Path, deed: Deed) -> None:
    points = _points(stock, tmp_path, deed, watched=WATCHED)
    _kill_at(_sample(points), stock, tmp_path, deed, watched=WATCHED)


@pytest.mark.long
@pytest.mark.timeout(1800)
@each_deed
def test_a_deed_can_be_killed_at_any_call_whatever_it_does(stock: Path, tmp_path: Path, deed: Deed) -> None:
    points = _points(stock, tmp_path, deed, watched=EVERYTHING)
    _kill_at(points, stock, tmp_path, deed, watched=EVERYTHING)


def _points(stock: Path, folder: Path, deed: Deed, *, watched: str) -> list[tuple[str, int]]:
    """Each call that *deed* makes, as strace counts them: by name, in each thread; in the order of the first."""
    counts: dict[tuple[str, str], int] = {}
    found: dict[tuple[str, int], None] = {}
    for call in _traced(_copy(stock, folder), deed, watched=watched):
        counts[call.thread, call.name] = number = counts.get((call.thread, call.name), 0) + 1
        found[call.name, number] = None
    return list(found)


def _sample(points: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    few = min(SAMPLE, len(points))
    return [points[round(number * (len(points) - 1) / max(1, few - 1))] for number in range(few)]


def _kill_at(points: Sequence[tuple[str, int]], stock: Path, folder: Path, deed: Deed, *, watched: str) -> None:
    done, acknowledged, whole = after(STOCK, deed), 0, 0
    for name, when in points:
        state = _copy(stock, folder)
        with acting(state) as actor:
            with attached(actor.process.pid, folder / "trace", hurt=f"{name}:signal=KILL:when={when}", watched=watched):
                said = actor.do(deed)
            assert said in (DONE, "")
        found = look(state)
        assert found in ([done] if said else [STOCK, done]), (name, when)
        acknowledged += said == DONE
        whole += found == done
        if found == STOCK or deed.verb not in ONCE:
            # What somebody does then who heard nothing.
            assert look(state, deed) == done, (name, when)
    print(f"\n{deed}: {len(points)} kills, {whole} after the commit, {acknowledged} after it was acknowledged")
    # Both sides of the commit were hit.
    assert acknowledged <= whole < len(points)


def _traced(state: Path, deed: Deed, *, watched: str = WATCHED) -> list[Call]:
    """The calls of *deed*, done in peace."""
    trace = state.with_name("trace")
    with acting(state) as actor, attached(actor.process.pid, trace, watched=watched):
        assert actor.do(deed) == DONE
    return read_trace(trace)


def _copy(stock: Path, folder: Path) -> Path:
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(stock, state)
    return state


def _is(found: Shelf, expected: Shelf) -> None:
    """Whether a running store says so; it does not tell which filenames are used up."""
    assert (found.files, found.claimed, found.reserved, found.tokens) == (
        expected.files,
        expected.claimed,
        expected.reserved,
        expected.tokens,
    )
