"""A real Yizhan process, and the real programs that talk to it, for tests.

with yizhan(tmp_path, upstream=up.simple) as server:
    run("pip", "download", "-i", f"{server.url}simple/", "demo")
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START = 30.0
"""Seconds that a start may take on a busy machine."""

STOP = 40.0

_READY = re.compile(r"is ready: (http://\S+/)simple/")
_PASSWORD = re.compile(r"User (\S+), password (\S+):")
_ACCESS = re.compile(
    r"yizhan\.access: (?P<client>\S+) (?P<user>\S+) (?P<method>[A-Z]+) (?P<target>\S+) (?P<status>\d+)"
)


@dataclass(frozen=True, slots=True)
class Access:
    """One line of the access log."""

    user: str
    method: str
    target: str
    status: int


@dataclass
class Server:
    """A running Yizhan."""

    process: subprocess.Popen[str]
    url: str = ""
    """With its slash."""
    user: str = ""
    password: str = ""
    lines: list[str] = field(default_factory=list)
    """All that it printed so far, banner and log."""
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def simple(self) -> str:
        return f"{self.url}simple/"

    def accesses(self) -> list[Access]:
        """The requests answered so far."""
        found = [_ACCESS.search(line) for line in list(self.lines)]
        return [Access(m["user"], m["method"], m["target"], int(m["status"])) for m in found if m]

    def kill(self) -> None:
        """As a power cut would: no chance to say anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP)

    def stop(self) -> int:
        """As systemd does; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as printed:
            for line in printed:
                self.lines.append(line.rstrip("\n"))
                if found := _READY.search(line):
                    self.url = found[1]
                if found := _PASSWORD.search(line):
                    self.user, self.password = found[1], found[2]
                if line.startswith("Cache "):
                    self.ready.set()
        self.ready.set()


def start(
    data: Path,
    *arguments: str,
    upstream: str | None = None,
    config: str = "",
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Start `yizhan serve` on a free port of loopback, its data in *data*, and wait until it is ready.

    *config* is the text of a configuration file; without *upstream* (a Simple URL) and `[[index]]` in there, there is
    no index behind it.
    """
    data.mkdir(parents=True, exist_ok=True)
    file = data / "config.toml"
    no_index = "" if upstream or "[[index]]" in config else "index = []\n"
    file.write_text(no_index + config, encoding="utf-8")
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(file), "--data", str(data)]
    command += ["--listen", "127.0.0.1:0"] if "listen" not in config else []
    command += ["--upstream", upstream] if upstream else []
    return launch([*command, *arguments], {**clean_environment(), **(environment or {})})


def launch(command: Sequence[str], environment: Mapping[str, str]) -> Server:
    """Start *command*, which serves, in *environment* alone, and wait until it is ready."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(environment)
    )
    server = Server(process)
    threading.Thread(target=server._read, daemon=True).start()
    if not server.ready.wait(START) or not server.url:
        server.kill()
        raise AssertionError(f"no start within {START} s:\n" + "\n".join(server.lines))
    return server


@contextmanager
def yizhan(
    data: Path,
    *arguments: str,
    upstream: str | None = None,
    config: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """`start`, and the end of it."""
    server = start(data, *arguments, upstream=upstream, config=config, environment=environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def clean_environment() -> dict[str, str]:
    """This machine's environment, less all that would let a client find packages elsewhere (decision 37)."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "TWINE_", "YIZHAN_"))}
    if cert := os.environ.get("PIP_CERT"):
        kept["PIP_CERT"] = cert
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }


def program(name: str) -> str:
    """The path of a program installed beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def run(
    *command: str, folder: Path | None = None, environment: Mapping[str, str] | None = None, ok: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; where *ok*, it must succeed."""
    done = subprocess.run(
        [program(command[0]), *command[1:]],
        cwd=folder,
        env={**clean_environment(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if ok:
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done
