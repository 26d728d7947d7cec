"""A part file: bytes in any order, digested in the right one, and found again by who comes after."""

from __future__ import annotations

import hashlib
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.part import Part
from proxy.spans import Spans

BODY = random.Random(5).randbytes(100_000)


def opened(path: Path, *, resume: bool = True) -> Part:
    part = Part(path, {})
    part.open(resume=resume)
    return part


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_what_comes_in_order_needs_no_map(tmp_path: Path) -> None:
    part = opened(tmp_path / "a.part")
    part.write([(0, BODY[:10]), (10, BODY[10:20])])
    assert (part.size, part.spans) == (20, Spans(((0, 20),)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
    part.close()
    again = opened(tmp_path / "a.part")
    assert (again.size, again.digests()["sha256"]) == (20, sha256(BODY[:20]))
    again.close()


def test_what_comes_before_its_turn_is_digested_in_its_turn(tmp_path: Path) -> None:
    part = opened(tmp_path / "a.part")
    part.write([(50, BODY[50:])])
    assert (part.size, part.spans.count) == (0, len(BODY) - 50)
    part.write([(0, BODY[:50])])
    assert part.size == len(BODY)
    assert part.digests()["sha256"] == sha256(BODY)
    part.close()


def test_long_waiting_bytes_are_digested_stride_by_stride(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.part.STRIDE", 30_000)
    part = opened(tmp_path / "a.part")
    part.write([(10, BODY[10:])])
    part.write([(0, BODY[:10])])
    assert (part.size, part.lags) == (30_010, True)
    while part.lags:
        part.catch_up()
    assert part.digests()["sha256"] == sha256(BODY)
    part.close()


def test_only_what_its_map_says_is_taken_from_a_part(tmp_path: Path) -> None:
    part = opened(tmp_path / "a.part")
    part.write([(0, BODY[:10]), (50, BODY[50:60])])
    part.close()
    assert (tmp_path / "a.map").read_text(encoding="ascii").startswith("0-10 50-60\n")
    again = opened(tmp_path / "a.part")
    assert (again.size, again.spans.runs) == (10, ((0, 10), (50, 60)))
    again.write([(10, BODY[10:50]), (60, BODY[60:])])
    assert again.digests()["sha256"] == sha256(BODY)
    again.close()


@pytest.mark.parametrize("text", ["", "0-10 50", "rubbish\n", "50-40\n", "500-600\n", "\n", "٣-٤\n"])
def test_a_map_that_cannot_be_read_says_that_nothing_is_there(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.part").write_bytes(BODY[:100])
    (tmp_path / "a.map").write_text(text, encoding="utf-8")
    part = opened(tmp_path / "a.part")
    assert part.spans == Spans()
    part.close()


def test_a_map_without_its_part_is_of_no_account(tmp_path: Path) -> None:
    (tmp_path / "a.map").write_text("0-100\n", encoding="ascii")
    for resume in (True, False):
        part = opened(tmp_path / "a.part", resume=resume)
        assert part.spans == Spans()
        assert not (tmp_path / "a.map").exists()
        part.close()


def test_a_new_beginning_and_the_end_take_the_map_away(tmp_path: Path) -> None:
    part = opened(tmp_path / "a.part")
    part.write([(50, BODY[50:60])])
    part.restart()
    assert part.spans == Spans()
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
    part.write([(50, BODY[50:60])])
    part.discard()
    assert list(tmp_path.iterdir()) == []
    part.close()


def test_a_planted_map_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    part = opened(tmp_path / "a.part")
    (tmp_path / "a.map").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        part.write([(50, BODY[50:60])])
    assert victim.read_bytes() == b"precious"
    part.close()


RUNS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


@given(runs=RUNS, begin=st.integers(0, 60), end=st.integers(0, 60))
def test_spans_are_the_sets_of_their_bytes(runs: list[tuple[int, int]], begin: int, end: int) -> None:
    spans = Spans.of(runs)
    have = {at for first, last in runs for at in range(first, last)}
    assert {at for first, last in spans.runs for at in range(first, last)} == have
    assert all(a[1] < b[0] for a, b in pairwise(spans.runs))
    assert spans.count == len(have)
    assert spans.end == max(have, default=-1) + 1
    assert spans.reach(begin) == next(at for at in range(begin, 62) if at not in have)
    missing = {at for first, last in spans.missing(begin, end) for at in range(first, last)}
    assert missing == set(range(begin, end)) - have


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.sets(st.integers(1, 999), max_size=12), chance=st.randoms(use_true_random=False), stops=st.integers(0, 12)
)
def test_in_whatever_order_bytes_come_and_whenever_it_stops_the_file_is_right(
    tmp_path: Path, cuts: set[int], chance: random.Random, stops: int
) -> None:
    body, path = BODY[:1000], tmp_path / "a.part"
    bounds = [0, *sorted(cuts), len(body)]
    pieces = list(pairwise(bounds))
    chance.shuffle(pieces)
    part = opened(path, resume=False)
    for begin, end in pieces[:stops]:
        part.write([(begin, body[begin:end])])
    part.close()
    part = opened(path)
    assert part.spans == Spans.of(pieces[:stops])
    part.write([(begin, body[begin:end]) for begin, end in pieces[stops:]])
    assert part.digests()["sha256"] == sha256(body)
    assert path.read_bytes() == body
    part.close()
    part.discard()
