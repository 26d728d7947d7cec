"""Who is measured: us, nginx, two peers, and no proxy at all; each with nothing in its cache."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import nginx
from .asking import ask
from .figures import OURS
from .processes import HOST, free_ports, python, running

DIRECT, NGINX, PYPIRON, PROXPI = "direct", "nginx", "pypiron", "proxpi"


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers now."""

    url: str
    """With a slash."""
    pid: int | None = None
    """Of its first process; None where that is not ours to look at."""
    root: str = "simple/"

    @property
    def index(self) -> str:
        """Where its Simple index is: for pip's --index-url, but for the slash."""
        return self.url + self.root


class Contestant(Protocol):
    """Something that pages and files are asked for."""

    @property
    def name(self) -> str: ...

    @property
    def missing(self) -> str | None:
        """Why it cannot take part; None where it can."""

    def running(self, folder: Path, mirrors: Sequence[str]) -> AbstractContextManager[Running]:
        """It, before *mirrors* (URLs, with a slash) with its data in *folder*, which is empty, until the block ends."""


@dataclass(frozen=True, slots=True)
class Direct:
    """No proxy: the first mirror itself."""

    name: str = DIRECT
    missing: str | None = None

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[Running]:
        yield Running(mirrors[0])


@dataclass(frozen=True, slots=True)
class Nginx:
    """nginx as `proxy_cache`, the mirrors its `upstream`; see `nginx.cache`."""

    name: str
    keepalive: bool
    gzip: bool = False

    @property
    def missing(self) -> str | None:
        return None if nginx.program() else "nginx is not installed"

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[Running]:
        program = nginx.program()
        assert program is not None
        (port,) = free_ports(1)
        config = nginx.cache(folder, mirrors, port, keepalive=self.keepalive, gzip=self.gzip)
        with running([program, "-c", str(config)], ports=[port], log=folder / "printed.log") as process:
            yield Running(f"http://{HOST}:{port}/", process.pid)


@dataclass(frozen=True, slots=True)
class Pypiron:
    """pypiron before the first mirror, less what needs the network or would hide files of the tree."""

    program: Path | None
    why: str = "it is not installed"
    name: str = PYPIRON

    @property
    def missing(self) -> str | None:
        return None if self.program else self.why

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[Running]:
        (port,) = free_ports(1)
        command = [str(self.program), "serve", "--data-dir", str(folder / "data"), "--bind-addr", f"{HOST}:{port}"]
        command += ["--proxy-upstream", mirrors[0].removesuffix("/"), "--allow-insecure-upstream"]
        command += ["--proxy-allow-cidr", "127.0.0.0/8", "--advisory-feed", "", "--malware-block", "false"]
        command += ["--include-yanked", "--exclude-newer", "2100-01-01"]
        home = {"HOME": str(folder)}
        with running(command, ports=[port], log=folder / "printed.log", environment=home) as process:
            yield Running(f"http://{HOST}:{port}/", process.pid)


@dataclass(frozen=True, slots=True)
class Proxpi:
    """proxpi before the first mirror, with the command line of its own Docker image."""

    gunicorn: Path | None
    why: str = "it is not installed"
    name: str = PROXPI

    @property
    def missing(self) -> str | None:
        return None if self.gunicorn else self.why

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[Running]:
        (port,) = free_ports(1)
        (folder / "files").mkdir()
        told = {"PROXPI_INDEX_URL": f"{mirrors[0]}simple/", "PROXPI_CACHE_DIR": str(folder / "files")}
        command = [str(self.gunicorn), "--preload", "--threads", "2", "--access-logfile", "-"]
        command += ["--logger-class", "proxpi.server._GunicornLogger", "--bind", f"{HOST}:{port}", "proxpi.server:app"]
        with running(command, ports=[port], log=folder / "printed.log", environment=told) as process:
            yield Running(f"http://{HOST}:{port}/", process.pid, root="index/")


@dataclass(frozen=True, slots=True)
class Ours:
    """`yizhan serve` as users start it, told of the mirrors alone; its access log goes to a file."""

    name: str = OURS
    missing: str | None = None
    settings: str = ""
    """More lines of its configuration; they come first."""
    launcher: str = "proxy"
    """The module that serves, with the arguments of `yizhan`."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[Running]:
        (port,) = free_ports(1)
        simple = json.dumps([f"{url}simple/" for url in mirrors])
        index = f'[[index]]\nname = "pypi"\nmirrors = {simple}\nnetworks = ["127.0.0.0/8"]\n'
        config = folder / "config.toml"
        config.write_text(self.settings + (index if mirrors else ""), encoding="utf-8")
        command = python(self.launcher, "serve", "--config", str(config), "--data", str(folder / "data"))
        command += ["--listen", f"{HOST}:{port}"]
        with running(command, ports=[port], log=folder / "printed.log", environment=self.environment) as process:
            server = Running(f"http://{HOST}:{port}/", process.pid)
            ask(f"{server.url}-/health")  # the socket listens before anything behind it is ready
            yield server


@dataclass(frozen=True, slots=True)
class Given:
    """A server that runs already: it must have the mirrors as its upstream, and nothing of the tree in its cache."""

    url: str
    name: str = OURS
    missing: str | None = None

    @contextmanager
    def running(self, folder: Path, mirrors: Sequence[str]) -> Iterator[Running]:
        yield Running(self.url)
