"""Somebody's machine in the building: real pip, uv and twine, with a home, caches and an environment of their own."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from ..daemon import Access, Server, clean_environment, program, run

WIDE = "1000"
"""Columns of a terminal in which no program breaks a sentence in two."""


MARK = "/-/mark-"
"""The beginning of a path at which there is nothing."""

PATIENCE = 30.0
"""Seconds that anything may take on a busy machine."""


@dataclass(frozen=True)
class Workstation:
    """What *folder* holds: its programs see none of the real machine's settings, caches and packages (decision 37)."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.folder / "venv" / "bin" / "python"

    def set_up(self) -> None:
        """Make an empty environment, and drop all that clients remember."""
        for name in ("cache", "venv"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.home.mkdir(parents=True, exist_ok=True)
        # By uv: a venv of Python's own takes seconds, and pip is run from outside with --python.
        self.run("uv", "venv", "--quiet", "--python", sys.executable, str(self.folder / "venv"))

    def environment(self) -> dict[str, str]:
        """What its programs find in their environment."""
        cache = self.folder / "cache"
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_CACHE_HOME": str(cache),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
            "PIP_CACHE_DIR": str(cache / "pip"),
            "UV_CACHE_DIR": str(cache / "uv"),
            "VIRTUAL_ENV": str(self.folder / "venv"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "COLUMNS": WIDE,
        }

    def run(
        self, *command: str, folder: Path | None = None, environment: Mapping[str, str] | None = None, ok: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; where *ok*, it must succeed."""
        return run(*command, folder=folder, environment={**self.environment(), **(environment or {})}, ok=ok)

    @contextlib.contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A program that goes on while the test does something else; it is ended with the block."""
        with subprocess.Popen(
            [program(command[0]), *command[1:]],
            env={**clean_environment(), **self.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def pip(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """pip, for its environment."""
        return self.run("pip", "--python", str(self.python), *words, **how)

    def uv(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        return self.run("uv", *words, **how)

    def twine(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        return self.run("twine", *words, **how)

    def execute(self, code: str) -> str:
        """What *code* prints in its environment."""
        return self.run(str(self.python), "-I", "-c", code).stdout.strip()

    def version(self, distribution: str) -> str:
        """The installed version of *distribution*, as its own metadata says."""
        return self.execute(f"from importlib.metadata import version; print(version({distribution!r}))")


def operate(data: Path, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """What an operator does at the machine that holds *data*: `yizhan` with *words*, whether a server runs or not."""
    return run(sys.executable, "-m", "proxy", *words, "--data", str(data), ok=ok)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All that a program printed."""
    return done.stdout + done.stderr


def fetch(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The body at *url* on loopback; raise HTTPError for all but 2xx."""
    # urlopen() would go by way of the proxy that the machine may have set.
    with build_opener(ProxyHandler({})).open(Request(url, headers=dict(headers or {})), timeout=60) as answer:
        body: bytes = answer.read()
        return body


def answered(server: Server) -> list[Access]:
    """The requests that *server* has answered, all of those that its clients have had answers to among them."""
    # A line is written when the answer is out already, and read later still: ours comes behind them.
    mark = f"{MARK}{secrets.token_hex(8)}"
    with contextlib.suppress(HTTPError):
        fetch(server.url.removesuffix("/") + mark)
    wait_until(lambda: any(access.target == mark for access in server.accesses()))
    return [access for access in server.accesses() if not access.target.startswith(MARK)]


def wait_until(condition: Callable[[], object]) -> None:
    """Return once *condition* holds in another process, which has no event to wait for."""
    late = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < late, f"it does not come true within {PATIENCE} s"
        time.sleep(0.01)


def has(name: str) -> bool:
    """Whether the program is installed."""
    return shutil.which(program(name)) is not None
