"""What the bench says a server costs: processor time and memory of the process and of those below it, and counts."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import canonicalize_name

from proxy.simple.model import JSON, Project
from proxy.simple.write import write_project

from . import cost, counting
from .tree import MB

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

BUSY = """
import sys, time
while time.process_time() < 0.3: pass
print(flush=True)
sys.stdin.readline()
"""

LARGE = """
import sys
held = bytearray(80 * 1024 * 1024)
print(flush=True)
sys.stdin.readline()
del held
print(flush=True)
sys.stdin.readline()
"""


@contextmanager
def program(child: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose child runs *child*, which prints lines and waits for lines."""
    command = [sys.executable, "-c", PARENT.format(child=child)]
    # Leaving the block closes the pipes, at which the child ends, and waits.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def line(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "\n"


def test_the_processor_time_of_a_child_counts() -> None:
    with program(BUSY) as process:
        line(process)
        assert len(cost.family(process.pid)) == 2
        assert cost.processor(process.pid) >= 0.3


def test_a_peak_is_remembered_until_it_is_forgotten() -> None:
    with program(LARGE) as process:
        assert process.stdin is not None
        line(process)
        assert cost.memory(process.pid) > 80 * MB
        process.stdin.write("\n")
        process.stdin.flush()
        line(process)
        assert cost.memory(process.pid) < 80 * MB < cost.peak(process.pid)
        cost.forget_peak(process.pid)
        assert cost.peak(process.pid) < 80 * MB


def test_renders_and_statements_are_counted(tmp_path: Path) -> None:
    counter = counting.Counter(tmp_path / "counts")
    connection = sqlite3.connect(":memory:")
    page = Project(name=canonicalize_name("demo"))
    before = sys.getprofile()
    sys.setprofile(counter.look)
    try:
        connection.execute("SELECT 1")
        connection.execute("SELECT 2").fetchall()
        write_project(page, JSON)
    finally:
        sys.setprofile(before)
    connection.close()
    found = counting.read(tmp_path / "counts")
    assert found == {**dict.fromkeys(counting.COUNTED, 0), "SQLite statements": 2, "renders": 1}
