"""The tests are tested: each wrong of mutations.py, done to a copy of the program, must turn its test red.

Some run always.  All of them, some five minutes on two processors:

    pytest -m long tests/test_mutations.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parent.parent

ALWAYS = (
    *("claims-ignored", "path-not-compared", "bytes-not-synced", "tombstone-ignored", "digest-not-compared"),
    *("stale-page-withheld", "address-not-judged", "one-tag-for-both-codings", "if-range-ignored", "pickle-accepted"),
)
"""Ids of those that stand for their kind."""

OURS = '\nimport proxy\nassert proxy.__file__.startswith("{folder}/"), f"not the copy: {{proxy.__file__}}"\n'
"""What the copy's conftest asks before any test runs."""


def copy(folder: Path) -> Path:
    """The program and its tests in *folder*, which no other copy of them is imported before."""
    unwanted = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("proxy", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", folder)
    with (folder / "tests" / "conftest.py").open("a") as conftest:
        conftest.write(OURS.format(folder=folder))
    return folder


def mutate(folder: Path, mutation: Mutation) -> None:
    path = folder / "proxy" / mutation.module
    text = path.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.id}: {mutation.module} has changed"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")


def run(folder: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """What pytest says to *tests* of the copy in *folder*."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-rf", "--tb=no", "--timeout=120", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--rootdir", str(folder), *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )


def check_noticed(folder: Path, mutation: Mutation) -> None:
    """The test must fail by itself: neither at its collection nor in what prepares it."""
    mutate(copy(folder), mutation)
    done = run(folder, [mutation.test])
    assert done.returncode == 1, f"{mutation.id} is not noticed by {mutation.test}:\n{done.stdout}{done.stderr}"
    failed = re.findall(r"^FAILED (\S+?)(?:\[.*)? - ", done.stdout, re.MULTILINE)
    assert failed == [mutation.test], done.stdout + done.stderr


def test_each_mutation_has_a_name_of_its_own() -> None:
    names = [mutation.id for mutation in MUTATIONS]
    assert len(set(names)) == len(names)
    assert set(ALWAYS) <= set(names)


def test_what_is_replaced_stands_in_the_program_once() -> None:
    counts = {
        mutation.id: (ROOT / "proxy" / mutation.module).read_text(encoding="utf-8").count(mutation.old)
        for mutation in MUTATIONS
    }
    assert {name: count for name, count in counts.items() if count != 1} == {}


def test_the_copy_passes_as_it_is(tmp_path: Path) -> None:
    """The control: what fails of a mutated copy fails for the mutation."""
    done = run(copy(tmp_path), sorted({mutation.test for mutation in MUTATIONS if mutation.id in ALWAYS}))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mutation", [m for m in MUTATIONS if m.id in ALWAYS], ids=lambda mutation: mutation.id)
def test_a_mutation_is_noticed(mutation: Mutation, tmp_path: Path) -> None:
    check_noticed(tmp_path, mutation)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_mutation_is_noticed_and_nothing_else(tmp_path: Path) -> None:
    control = run(copy(tmp_path / "control"), sorted({mutation.test for mutation in MUTATIONS}))
    assert control.returncode == 0, control.stdout + control.stderr
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = [(m, pool.submit(check_noticed, tmp_path / m.id, m)) for m in MUTATIONS]
        survivors = {mutation.id: str(error) for mutation, job in started if (error := job.exception())}
    assert not survivors, "\n".join(survivors.values())
