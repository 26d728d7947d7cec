"""The bench's figures: ratios are taken round by round, and say honestly what was not measured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from .figures import OURS, Aim, Gathered, Report, Spread, against, judged, ratio, read, spread, table, write
from .markdown import markdown

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


def test_an_aim_may_be_the_least_that_will_do_or_stand_by_itself() -> None:
    found = report(ours=[3.0], nginx=[2.0])
    aims = {
        Aim(case=CASE, what=WHAT, beside="nginx", factor=1.5, least=True): "reached",
        Aim(case=CASE, what=WHAT, beside="nginx", factor=1.6, least=True): "short",
        Aim(case=CASE, what=WHAT, factor=3.0): "reached",
        Aim(case=CASE, what=WHAT, factor=2.9): "short",
        Aim(case=CASE, what=WHAT, factor=0.0): "short",
    }
    assert [line.split()[-1] for line in judged(found, [*aims])][1:] == [*aims.values()]


def test_an_aim_of_nothing_at_all_is_reached_by_nothing_alone() -> None:
    aim = Aim(case=CASE, what=WHAT, factor=0.0)
    assert aim.reached(0.0)
    assert not aim.reached(0.01)


def test_the_table_for_readers_judges_what_has_an_aim_and_names_what_is_missing() -> None:
    found = report(ours=[3.0, 3.0], nginx=[2.0, 2.0])
    found = structs.replace(found, missing={"pypiron": "it is not installed"}, failures=["round 1: proxpi"])
    aims = [Aim(case=CASE, what=WHAT, beside=who, factor=2.0, least=True) for who in ("nginx", "pypiron")]
    lines = list(markdown(found, aims, [OURS, "nginx", "pypiron"]))
    (row,) = (line for line in lines if line.startswith(f"| {CASE}"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == ["3", "2"]
    assert cells[-1] == "1.50 x nginx: **short**; not measured beside pypiron"
    assert "pypiron is missing: it is not installed." in lines
    assert "Failed: round 1: proxpi" in lines
    assert all(line.count("|") == row.count("|") for line in lines if line.startswith("| what"))


def test_a_report_is_read_as_it_was_written_and_compared(tmp_path: Path) -> None:
    then, now = report(ours=[2.0], nginx=[4.0]), report(ours=[1.0], nginx=[4.0])
    write(then, tmp_path / "then.json")
    assert read(tmp_path / "then.json") == then
    assert [line.split()[-1] for line in against(now, read(tmp_path / "then.json"))][1:] == ["0.500", "0.500"]
    assert any("4" in line for line in table(now, [OURS, "nginx"]))
