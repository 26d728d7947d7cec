"""The figures as a Markdown table, ready for README."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .figures import OURS, Aim, Figure, Report, said, spread, standing

HIDDEN = "peak memory by row, MB"
"""The case that is told below the table, in one line."""


def markdown(report: Report, aims: Sequence[Aim], who: Sequence[str]) -> Iterator[str]:
    """The lines: who measured where, a row for each figure, and what is missing or failed."""
    yield f"{report.at:%Y-%m-%d %H:%M} UTC, {', '.join(f'{key} {value}' for key, value in report.machine.items())}."
    yield "The middle (least-most) of all rounds; ratios are taken round by round."
    yield ""
    shown = [one for one in who if any(figure.who == one for figure in report.figures)]
    rows = dict.fromkeys((one.case, one.what) for one in report.figures if one.case != HIDDEN)
    aimed = {(aim.case, aim.what) for aim in aims}
    yield from _judged(report, aims, shown, [row for row in rows if row in aimed])
    yield ""
    yield f"| further figures | {' | '.join(shown)} |"
    yield f"|---|{'---:|' * len(shown)}"
    for case, what in (row for row in rows if row not in aimed):
        yield f"| {case}: {what} | {' | '.join(_cell(report.find(case, what, one)) for one in shown)} |"
    yield ""
    if hidden := [one for one in report.figures if one.case == HIDDEN]:
        yield f"Our {HIDDEN}: {', '.join(f'{one.what} {said(spread(one.rounds))}' for one in hidden)}."
    yield from (f"{name} is missing: {why}." for name, why in report.missing.items())
    yield from (f"Failed: {failure}" for failure in report.failures)


def _judged(
    report: Report, aims: Sequence[Aim], shown: Sequence[str], rows: Sequence[tuple[str, str]]
) -> Iterator[str]:
    yield f"| what | {' | '.join(shown)} | aim | {OURS} |"
    yield f"|---|{'---:|' * len(shown)}---|---|"
    for case, what in rows:
        cells = [_cell(report.find(case, what, one)) for one in shown]
        mine = [aim for aim in aims if (aim.case, aim.what) == (case, what)]
        bounds = "; ".join(f"{aim.bound}{_times(aim)}" for aim in mine)
        verdicts = "; ".join(_verdict(report, aim) for aim in mine)
        yield f"| {case}: {what} | {' | '.join(cells)} | {bounds} | {verdicts} |"


def _verdict(report: Report, aim: Aim) -> str:
    found = standing(report, aim)
    if found is None:
        return f"not measured{f' beside {aim.beside}' if aim.beside else ''}"
    return f"{found}{_times(aim)}: {'reached' if aim.reached(found.middle) else '**short**'}"


def _cell(figure: Figure | None) -> str:
    return said(spread(figure.rounds)) if figure else "-"


def _times(aim: Aim) -> str:
    return f" x {aim.beside}" if aim.beside else ""
