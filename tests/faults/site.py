"""One data folder through the lives of many servers, and what must hold in each of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..daemon import START, STOP, start
from ..upstream_server import UpstreamServer
from .releases import Release, ask, listed

PROJECT = "acme-kept"
"""Private before its first upload, so that nobody is asked about it."""

CONFIG = """
[auth]
upload = "anyone"
[private]
reserved = ["acme-*"]
[[index]]
heal = false
look_ahead = 0
"""
"""Without what is fetched beside what clients ask for, and would be counted with it."""


class Site:
    """A *folder*, the server that runs on it now, and the index behind it."""

    def __init__(self, folder: Path, upstream: UpstreamServer, *, config: str = "") -> None:
        self.folder = folder
        self.upstream = upstream
        self.starts: list[float] = []
        """How long each start took, in seconds."""
        self.sent: dict[str, Release] = {}
        """All that was ever sent to it by upload, by filename."""
        self.acknowledged: set[str] = set()
        """The filenames that it said 200 to."""
        self._config = CONFIG + config
        self._start()

    @property
    def incoming(self) -> Path:
        """Where uploads come in."""
        return self.folder / "state" / "incoming"

    @property
    def arriving(self) -> Path:
        """Where downloads come in."""
        return self.folder / "cache" / "incoming"

    @property
    def values(self) -> list[Path]:
        """The cached files."""
        return sorted((self.folder / "cache" / "files").glob("??/*.val"))

    @property
    def pid(self) -> int:
        return self.server.process.pid

    def restart(self) -> None:
        """Begin another life, after the one before has ended by itself or is ended now as by a power cut."""
        self.end()
        self._start()

    def end(self) -> None:
        """Kill the server if it lives; whoever let strace do it finds here that it is dead."""
        if self.server.process.poll() is None:
            self.server.process.kill()
        self.server.process.wait(STOP)
        self._check_log()

    def wait_until_dead(self) -> None:
        self.server.process.wait(STOP)

    def publish(self, release: Release) -> str:
        """Put *release* on the index behind; the path at which our server has it."""
        item = self.upstream.publish(release.project, release.filename, release.body)
        return f"/packages/{item.path}/{item.filename}"

    def check_uploads(self) -> None:
        """No acknowledged upload is lost, nothing listed is missing or has a wrong byte, nothing else is listed."""
        page = listed(self.server, PROJECT)
        assert self.acknowledged <= page.keys() <= self.sent.keys()
        for filename, entry in page.items():
            release = self.sent[filename]
            got = ask(self.server, entry["target"])
            assert (got.status, got.body == release.body) == (200, True), filename
            assert got.sha256 == entry["hashes"]["sha256"]
            beside = ask(self.server, entry["target"] + ".metadata")
            assert (beside.status, beside.body) == (200, release.metadata), filename
            assert beside.sha256 == entry["core-metadata"]["sha256"]

    def check_downloads(self, published: Mapping[str, Release]) -> None:
        """Each of *published*, by path, comes whole and right."""
        for target, release in published.items():
            got = ask(self.server, target)
            assert (got.status, got.body == release.body) == (200, True), target

    def _start(self) -> None:
        begun = time.monotonic()
        self.server = start(self.folder, upstream=self.upstream.simple, config=self._config)
        self.starts.append(time.monotonic() - begun)
        assert os.listdir(self.incoming) == []

    def _check_log(self) -> None:
        """Whatever happened was foreseen: no traceback, no 500."""
        assert not [line for line in self.server.lines if "Traceback" in line]
        assert not [access for access in self.server.accesses() if access.status == 500]


@contextmanager
def living(site: Site) -> Iterator[Site]:
    try:
        yield site
    finally:
        site.end()


def wait_until(holds: Callable[[], object]) -> None:
    """Look again and again: another process's files tell nobody when they change."""
    end = time.monotonic() + START
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.002)
