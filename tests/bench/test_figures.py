"""The bench's figures: ratios are taken round by round, and say honestly what was not measured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from .figures import OURS, Aim, Gathered, Report, Spread, against, judged, ratio, read, spread, table, write

CASE, WHAT = "a file", "whole, s"


def report(**rounds: list[float | None]) -> Report:
    """One case and quantity; None is a round that failed."""
    gathered = Gathered()
    for who, values in rounds.items():
        for number, value in enumerate(values):
            if value is not None:
                gathered.add(number, CASE, who, {WHAT: value})
    return Report(bench="test", at=datetime(2026, 1, 15, tzinfo=UTC), machine={}, figures=gathered.figures())


def test_a_ratio_is_taken_round_by_round() -> None:
    found = report(ours=[1.0, 20.0, 3.0], nginx=[2.0, 20.0, 4.0])
    assert ratio(*(found.find(CASE, WHAT, who) for who in (OURS, "nginx"))) == Spread(0.5, 0.75, 1.0)


def test_a_round_that_failed_counts_for_neither_side() -> None:
    found = report(ours=[None, 2.0], nginx=[8.0, 4.0])
    assert ratio(*(found.find(CASE, WHAT, who) for who in (OURS, "nginx"))) == Spread(0.5, 0.5, 0.5)
    assert spread([None, None]) is None


def test_an_aim_is_judged_by_the_middle_and_only_where_both_ran() -> None:
    aims = [Aim(case=CASE, what=WHAT, beside=who, factor=0.5) for who in ("nginx", "nobody")]
    good, bad = report(ours=[1.0, 1.0, 9.0], nginx=[2.0] * 3), report(ours=[1.1], nginx=[2.0])
    assert [line.split()[-1] for line in judged(good, aims)][1:] == ["reached"]
    assert [line.split()[-1] for line in judged(bad, aims)][1:] == ["short"]


def test_a_report_is_read_as_it_was_written_and_compared(tmp_path: Path) -> None:
    then, now = report(ours=[2.0], nginx=[4.0]), report(ours=[1.0], nginx=[4.0])
    write(then, tmp_path / "then.json")
    assert read(tmp_path / "then.json") == then
    assert [line.split()[-1] for line in against(now, read(tmp_path / "then.json"))][1:] == ["0.500", "0.500"]
    assert any("4" in line for line in table(now, [OURS, "nginx"]))
