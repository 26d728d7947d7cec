"""How the bench goes through its rows: everybody in turn, and one who fails stops nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from .access import RequestLog
from .aims import AIMS
from .console import work_folder
from .contestants import NGINX, PYPIRON, Contestant, Running
from .figures import OURS
from .measure import Installer, Wrong
from .scene import Findings, Peaks, Row, Scene
from .stage import Stage
from .tree import Tree
from .wire import Run

EVERYONE = frozenset({OURS, NGINX})


@dataclass(frozen=True)
class Quiet:
    """Somebody who answers nothing."""

    name: str
    missing: str | None = None

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[Running]:
        yield Running("http://127.0.0.1:9/")


def scene(folder: Path) -> Scene:
    tree = Tree(folder, {})
    nobody = Stage(tree=tree, mirrors=(), log=RequestLog(folder / "log"))
    return Scene(
        tree=tree,
        fast=nobody,
        slow=nobody,
        crawl=nobody,
        html=nobody,
        work=folder,
        installer=cast("Installer", None),
        peaks=Peaks(),
        seconds=1,
        quick=True,
        small="",
    )


def run(
    folder: Path, rounds: int, *rows: tuple[Callable[[str], Mapping[str, float]], bool]
) -> tuple[Run, list[tuple[int, str]]]:
    """A run of rows, each a function of who is measured and whether it is for the first round alone."""
    order = list[tuple[int, str]]()

    def row(number: int, figures: Callable[[str], Mapping[str, float]], once: bool) -> Row:
        def measure(_: Scene, contestant: Contestant, server: Running | None) -> Findings:
            assert server is None
            order.append((number, contestant.name))
            return {str(number): figures(contestant.name)}

        return Row(key=str(number), who=EVERYONE, measure=measure, once=once)

    done = Run(scene(folder), [Quiet(NGINX), Quiet(OURS), Quiet(PYPIRON)], lambda _: None)
    done.rounds([row(number, *one) for number, one in enumerate(rows)], rounds)
    return done, order


def test_everybody_whom_a_row_is_about_is_measured_and_another_one_first_each_round(tmp_path: Path) -> None:
    _, order = run(tmp_path, 2, (lambda _: {}, False), (lambda _: {}, False))
    assert order[:4] == [(0, NGINX), (0, OURS), (1, NGINX), (1, OURS)]
    assert order[4:] == [(0, OURS), (0, NGINX), (1, OURS), (1, NGINX)]


def test_who_fails_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    def figures(who: str) -> Mapping[str, float]:
        if who == NGINX:
            raise Wrong("other bytes")
        return {"s": 1.0}

    done, _ = run(tmp_path, 2, (figures, False))
    assert [(one.who, one.rounds) for one in done.figures()] == [(OURS, [1.0, 1.0])]
    assert len(done.failures) == 2
    assert "nginx" in done.failures[0]
    assert "other bytes" in done.failures[0]


def test_a_row_for_once_is_measured_in_the_first_round_alone(tmp_path: Path) -> None:
    _, order = run(tmp_path, 3, (lambda _: {}, True))
    assert order == [(0, NGINX), (0, OURS)]


def test_a_server_whom_nobody_answers_is_no_reason_to_stop(tmp_path: Path) -> None:
    row = Row(key="warm", who=EVERYONE, measure=lambda *_: {"case": {"s": 1.0}}, warm=True)
    done = Run(scene(tmp_path), [Quiet(NGINX), Quiet(OURS)], lambda _: None)
    done.rounds([row], 1)
    assert done.figures() == []
    assert len(done.failures) == 2


def test_a_work_folder_that_is_kept_loses_nothing_but_what_a_run_made(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    with work_folder(tmp_path) as work:
        (work / "tree").mkdir()
        (work / "upstreams").mkdir()
    assert {found.name for found in work.iterdir()} == {"tree"}
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_no_aim_is_written_twice() -> None:
    bounds = [(aim.case, aim.what, aim.beside) for aim in AIMS]
    assert len(bounds) == len(set(bounds))
