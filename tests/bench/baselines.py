"""The peers that the package index has, each in the one environment that the bench makes for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .contestants import PROXPI, PYPIRON, Proxpi, Pypiron

LIMIT = 180.0
"""Seconds that one installation may take."""


def install(folder: Path, told: Callable[[str], None]) -> tuple[Pypiron, Proxpi]:
    """Both peers, installed below *folder* unless they lie there: the one thing that needs more than loopback.

    Where pip does not get one (from the index that its own configuration names), that one says why it is missing.
    """
    programs = folder / "bin"
    why = "" if (programs / "python").exists() else _run(sys.executable, "-m", "venv", str(folder))
    pip = (str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    said = {}
    for name, packages in ((PYPIRON, (PYPIRON,)), (PROXPI, (PROXPI, "gunicorn"))):
        if not why and not _has(programs, name):
            told(f"installing {name}")
            said[name] = _run(*pip, *packages)
    pypiron, gunicorn = (programs / one if (programs / one).exists() else None for one in ("pypiron", "gunicorn"))
    return (
        Pypiron(pypiron, why or said.get(PYPIRON, "")),
        Proxpi(gunicorn if _has(programs, PROXPI) else None, why or said.get(PROXPI, "")),
    )


def version(folder: Path, name: str) -> str | None:
    """Of the package *name* in *folder*; None where it is not there."""
    found = next(folder.glob(f"lib/python*/site-packages/{name}-*.dist-info"), None)
    return found.name.removesuffix(".dist-info").partition("-")[2] if found else None


def _has(programs: Path, name: str) -> bool:
    return version(programs.parent, name) is not None


def _run(*command: str) -> str:
    """Why it failed, in one line; empty where it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return lines[-1] if done.returncode else ""
