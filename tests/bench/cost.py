"""What a server costs its machine: processor time and memory of all its processes, as /proc tells."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
RESET_PEAK = "5"
"""What clear_refs takes for "begin the peak anew" (proc(5))."""


def family(pid: int) -> list[int]:
    """*pid* and all below it that run now."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def processor(pid: int) -> float:
    """Seconds of processor time, user and system, that *pid* and all below it have taken."""
    return sum(sum(map(int, stat[11:13])) for stat in _each(pid)) / TICKS


def memory(pid: int) -> float:
    """Bytes resident now; what processes share counts for each."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> float:
    """The most bytes that were resident since the start, or since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    for one in family(pid):
        with contextlib.suppress(OSError):
            (PROC / str(one) / "clear_refs").write_text(RESET_PEAK, encoding="ascii")


def _status(pid: int, field: str) -> float:
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            lines = (PROC / str(one) / "status").read_text(encoding="utf-8", errors="replace").splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return total * 1024.0


def _each(pid: int) -> Iterator[list[str]]:
    for one in family(pid):
        with contextlib.suppress(OSError):
            yield _stat(one)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on; the second, a name, may hold anything."""
    return (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
