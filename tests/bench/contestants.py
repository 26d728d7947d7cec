"""Who is measured: us, nginx, and no proxy at all; each with nothing in its cache."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests import daemon

from . import nginx
from .processes import HOST, free_ports, running


class Contestant(Protocol):
    """Something that pages and files are asked for."""

    @property
    def name(self) -> str: ...

    @property
    def missing(self) -> str | None:
        """Why it cannot take part; None where it can."""

    def running(self, folder: Path, mirrors: Sequence[str]) -> AbstractContextManager[str]:
        """Its URL, with a slash, while it runs before *mirrors* with its data in *folder*, which is empty."""


@dataclass(frozen=True, slots=True)
class Direct:
    """No proxy: the first mirror itself."""

    name: str = "direct"
    missing: str | None = None

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[str]:
        yield mirrors[0]


@dataclass(frozen=True, slots=True)
class Nginx:
    """nginx as `proxy_cache`, the mirrors its `upstream`; see `nginx.cache`."""

    name: str
    keepalive: bool

    @property
    def missing(self) -> str | None:
        return None if nginx.program() else "nginx is not installed"

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[str]:
        program = nginx.program()
        assert program is not None
        (port,) = free_ports(1)
        config = nginx.cache(folder, mirrors, port, keepalive=self.keepalive)
        with running([program, "-c", str(config)], ports=[port], log=folder / "printed.log"):
            yield f"http://{HOST}:{port}/"


@dataclass(frozen=True, slots=True)
class Ours:
    """`yizhan serve` as users start it, told of the mirrors alone."""

    name: str = "ours"
    missing: str | None = None

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[str]:
        simple = json.dumps([f"{url}simple/" for url in mirrors])
        config = f'[[index]]\nname = "pypi"\nmirrors = {simple}\nnetworks = ["127.0.0.0/8"]\n'
        server = daemon.start(folder / "data", config=config)
        try:
            yield server.url
        finally:
            server.stop()


@dataclass(frozen=True, slots=True)
class Given:
    """A server that runs already: it must have the mirrors as its upstream, and nothing of the tree in its cache."""

    url: str
    name: str = "ours"
    missing: str | None = None

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[str]:
        yield self.url
