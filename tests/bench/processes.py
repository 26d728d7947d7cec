"""Programs that the bench starts on loopback, and ends by their own process number."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.daemon import clean_environment

HOST = "127.0.0.1"

START = 20.0
"""Seconds to the first connection taken."""

STOP = 10.0
"""Seconds to the end, once told."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def running(
    command: Sequence[str], *, ports: Sequence[int], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the block ends, from when it listens on all *ports*; what it prints goes to *log*.

    *environment* is added to this machine's.  Raise RuntimeError, with what it printed, where it does not come to
    listen or ends by itself before that.
    """
    with log.open("ab") as printed:
        around = {**clean_environment(), **(environment or {})}
        process = subprocess.Popen(command, stdout=printed, stderr=printed, env=around)
    try:
        deadline = time.monotonic() + START
        while not all(_listens(port) for port in ports):
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{command[0]} does not listen on {list(ports)}: {said}")
            time.sleep(0.005)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of the bench."""
    return [sys.executable, "-m", module, *arguments]


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
