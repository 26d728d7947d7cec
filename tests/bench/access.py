"""What a mirror of the bench was asked for, as its access log tells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

QUIET = 0.5
"""Seconds without a new line after which nothing more is expected."""

PATIENCE = 10.0
"""Seconds that are waited for that, at most."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One answered request: a line of the log."""

    at: float
    """When its answer ended: epoch seconds."""
    port: int
    status: int
    bytes: int
    """Sent, with the head."""
    method: str
    path: str
    range: str
    """The header, "" where there was none."""
    connection: int
    """Equal for requests that came on one connection."""


class RequestLog:
    """The access log of the mirrors."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """Where the log ends now."""
        return self._path.stat().st_size if self._path.exists() else 0

    def settle(self) -> None:
        """Wait until what works in the background has come to rest."""
        deadline = time.monotonic() + PATIENCE
        size, since = self.mark(), time.monotonic()
        while (now := time.monotonic()) < deadline and now - since < QUIET:
            time.sleep(QUIET / 10)
            if (grown := self.mark()) != size:
                size, since = grown, time.monotonic()

    def since(self, mark: int) -> Sequence[Request]:
        """The requests answered after *mark*."""
        with self._path.open("rb") as log:
            log.seek(mark)
            return [msgspec.json.decode(line, type=Request) for line in log if line.endswith(b"\n")]
