"""The power fails at any moment of a store's life: what was promised is there afterwards, and nothing is there in part.

By default a short life, cut off at every third of its file operations and wherever something was promised, in every
way that powercut.Loss knows.  Every operation of a longer one, in which SQLite begins its log anew meanwhile:

    pytest -s -m long tests/faults/test_powercut.py
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from ..memory import folder_in_memory
from .deeds import DONE, READY, Deed, acting, look, shelves
from .powercut import Disk, Loss, recorder, said, write
from .strace import needs_strace, read_trace

pytestmark = needs_strace

LIFE = (
    Deed.of("upload", "1.0"),
    Deed.of("upload", "2.0"),
    Deed.of("yank", "1.0", "2.0"),
    Deed.of("reserve", "acme-later"),
    Deed.of("issue", "anns"),
    Deed.of("delete", "1.0"),
    Deed.of("reopen"),
    Deed.of("upload", "3.0"),
    Deed.of("unyank", "2.0"),
    Deed.of("delete", "2.0", "3.0"),
    Deed.of("readmit", "1.0"),
    Deed.of("release", "acme-later"),
    Deed.of("revoke", "anns"),
    Deed.of("upload", "1.0"),
)

MANY = tuple(Deed.of("reserve", f"acme-{number}") for number in range(300))
"""Enough for SQLite to begin its log anew: it does at a thousand pages."""

UNSEEN = {"state/generation", "state/store.db-shm"}
"""What is written through mapped memory, and made anew at each start."""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An empty folder with room beside it."""
    with folder_in_memory(tmp_path) as folder:
        made = folder / "data"
        made.mkdir()
        yield made


def live(root: Path, deeds: Sequence[Deed]) -> Path:
    """Have *deeds* done in the state folder below *root*; the trace of it."""
    trace = root.with_name("trace")
    with acting(root / "state", under=recorder(trace)) as actor:
        for deed in deeds:
            assert actor.do(deed) == DONE
        actor.leave()
    return trace


def cut_everywhere(root: Path, deeds: Sequence[Deed], *, every: int, again: bool) -> Counter[str]:
    """Live *deeds*, cut the power after *every* so many file operations in every way, and start on what is left.

    Where *again*, what was under way is asked for then.
    """
    trace, disk, expected = live(root, deeds), Disk(root), shelves(deeds)
    moments, acknowledged, built, tried, seen = 0, -1, root.with_name("built"), Counter[str](), set[bytes]()
    for call in read_trace(trace):
        word = said(call).strip()
        acknowledged += word in (READY, DONE)
        if not disk.apply(call) and not word:
            continue
        moments += 1
        if moments % every and not word:
            continue
        tried["moments"] += 1
        may_be = expected[max(0, acknowledged) :][: 1 if acknowledged < 0 else 2]
        for loss in Loss:
            left = disk.left(loss)
            if (digest := _digest(acknowledged, left)) in seen:
                continue
            seen.add(digest)
            tried["states"] += 1
            write(left, built)
            found = look(built / "state")
            assert found in may_be, (moments, call.name, loss)
            tried["states that have what was not promised yet"] += found != may_be[0]
            if again and found == may_be[0] and len(may_be) == 2:
                deed = deeds[acknowledged]
                assert look(built / "state", *([deed] if deed.verb != "reopen" else [])) == may_be[1]
    _is_what_is_there(disk, root)
    assert acknowledged == len(deeds)
    print("\n" + ", ".join(f"{number} {what}" for what, number in tried.items()))
    return tried


def test_what_was_promised_outlives_a_power_cut_at_any_moment(root: Path) -> None:
    tried = cut_everywhere(root, LIFE, every=3, again=False)
    # At most moments it makes a difference what is lost, and commits come before they are told of.
    assert tried["states"] > 2 * tried["moments"]
    assert tried["states that have what was not promised yet"] > len(LIFE)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_long_life_outlives_a_power_cut_at_any_moment(root: Path) -> None:
    deeds = (*LIFE, *MANY, Deed.of("upload", "4.0"), Deed.of("delete", "1.0", "4.0"))
    cut_everywhere(root, deeds, every=1, again=True)


# The imitation of a disk itself

CARELESS = """
import os, sys
def put(path, *contents):
    with open(f"{sys.argv[1]}/{path}", "wb", buffering=0) as file:
        file.write(contents[0])
        for content in contents[1:]:
            os.fsync(file.fileno())
            file.write(content)
def sync(path):
    fd = os.open(f"{sys.argv[1]}{path}", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
put("old", b"old", b"")
os.mkdir(f"{sys.argv[1]}/folder")
sync("")
put("folder/unsynced", b"content", b"")
put("new", b"whole", b" and more")
os.rename(f"{sys.argv[1]}/new", f"{sys.argv[1]}/old")
"""
"""Replaces a file without syncing its last bytes, its name, or the name of another one."""


@pytest.mark.parametrize(
    ("loss", "left"),
    [
        (Loss.NOTHING, {"old": b"whole and more", "folder": None, "folder/unsynced": b"content"}),
        (Loss.UNSYNCED, {"old": b"old", "folder": None}),
        (Loss.CONTENTS, {"old": b"whole", "folder": None, "folder/unsynced": b"content"}),
        (Loss.NAMES, {"old": b"old", "folder": None}),
        (Loss.FIRST, {"old": b"whole", "folder": None}),
        (Loss.SECOND, {"old": b"old", "new": b"whole and more", "folder": None, "folder/unsynced": b"content"}),
        (Loss.HALVES, {"old": b"whole and", "folder": None, "folder/unsynced": b"content"}),
    ],
    ids=lambda what: what.name if isinstance(what, Loss) else "",
)
def test_a_careless_program_loses_what_it_did_not_sync(root: Path, loss: Loss, left: dict[str, bytes | None]) -> None:
    trace = root.with_name("trace")
    subprocess.run([*recorder(trace), sys.executable, "-c", CARELESS, str(root)], check=True, timeout=60)
    disk = Disk(root)
    for call in read_trace(trace):
        disk.apply(call)
    assert disk.left(loss) == left
    _is_what_is_there(disk, root)


def _is_what_is_there(disk: Disk, root: Path) -> None:
    """All that the program did was understood."""
    there = {str(path.relative_to(root)): path for path in root.rglob("*")}
    left = disk.left(Loss.NOTHING)
    assert left.keys() == there.keys()
    for name in left.keys() - UNSEEN:
        assert left[name] == (there[name].read_bytes() if there[name].is_file() else None), name


def _digest(acknowledged: int, left: Mapping[str, bytes | None]) -> bytes:
    """Of a state and of what must be in it: many moments leave the same."""
    seen = hashlib.sha256(b"%d" % acknowledged)
    for path in sorted(left):
        content = left[path]
        seen.update(f"\n{path}\n{None if content is None else len(content)}\n".encode())
        seen.update(content or b"")
    return seen.digest()
