"""Lock files: the same as from a mirror but for the host, and good for a server that has forgotten everything."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .. import make
from ..daemon import Server, yizhan
from ..upstream_server import UpstreamServer
from .clients import Workstation, answered
from .projects import write_project

PROJECT = """\
[project]
name = "application"
version = "1"
requires-python = ">=3.11"
dependencies = ["framework>=1", "source-only"]
"""


@dataclass(frozen=True)
class Locked:
    """A file that a lock names."""

    name: str
    url: str
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.name} @ {self.url} --hash=sha256:{self.sha256}"


@pytest.fixture
def index(upstream: UpstreamServer, desk: Workstation, tmp_path: Path) -> UpstreamServer:
    """A static mirror: wheels with and without metadata beside them, several versions, a project of sdists alone."""
    for version in ("1.0", "1.1"):
        requires = ("library<3", "marked; sys_platform == 'linux'")
        filename, body = make.wheel("framework", version, requires=requires, requires_python=">=3.9")
        metadata = make.metadata("framework", version, requires=requires, requires_python=">=3.9")
        upstream.publish("framework", filename, body, metadata=metadata, requires_python=">=3.9")
        upstream.publish("framework", *make.sdist("framework", version, requires=requires), requires_python=">=3.9")
    for version in ("2.0", "3.0"):
        # uv reads the end of it by Range, for want of metadata.
        upstream.publish("library", *make.wheel("library", version, payload=bytes(300_000)))
    upstream.publish("marked", *make.wheel("marked", "1.0.post1"), upload_time="2020-02-29T23:59:59Z")
    upstream.publish("marked", *make.wheel("marked", "0.9"), yanked="broken")
    source = tmp_path / "source"
    write_project(source, "source-only", "4.0", requires=(), module="ANSWER = 42\n")
    (source / "dist").mkdir()
    desk.run(str(desk.python), "-c", "import backend; print(backend.build_sdist('dist'))", folder=source)
    (sdist,) = (source / "dist").iterdir()
    upstream.publish("source-only", sdist.name, sdist.read_bytes())
    return upstream


@pytest.fixture
def server(index: UpstreamServer, tmp_path: Path) -> Iterator[Server]:
    with yizhan(tmp_path / "data", upstream=index.simple) as running:
        yield running


def lock(desk: Workstation, folder: Path, index: str) -> str:
    """The text of the uv.lock that uv writes for the project when it knows nothing but *index*."""
    desk.set_up()
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    desk.uv("lock", "--default-index", index, folder=folder)
    return (folder / "uv.lock").read_text()


def files(text: str) -> list[Locked]:
    """The one file of each package in the uv.lock *text* that is installed here."""
    packages = [package for package in tomllib.loads(text)["package"] if "registry" in package["source"]]
    chosen = {package["name"]: (package.get("wheels") or [package["sdist"]])[0] for package in packages}
    return [Locked(name, file["url"], file["hash"].removeprefix("sha256:")) for name, file in sorted(chosen.items())]


def without_origin(text: str, origin: str) -> str:
    assert origin in text
    return text.replace(origin, "")


def requirements(path: Path, locked: list[Locked]) -> str:
    path.write_text("".join(f"{file.requirement}\n" for file in locked))
    return str(path)


def restart(server: Server, index: UpstreamServer, data: Path) -> None:
    """Stop it and empty its cache."""
    assert server.stop() == 0
    shutil.rmtree(data / "cache")
    index.log.clear()


def check_installed(desk: Workstation) -> None:
    versions = {name: desk.version(name) for name in ("framework", "library", "marked", "source-only")}
    assert versions == {"framework": "1.1", "library": "2.0", "marked": "1.0.post1", "source-only": "4.0"}


def test_a_lock_differs_from_a_mirrors_in_the_host_alone(
    desk: Workstation, index: UpstreamServer, server: Server, tmp_path: Path
) -> None:
    theirs = lock(desk, tmp_path / "theirs", index.simple)
    ours = lock(desk, tmp_path / "ours", server.simple)
    assert without_origin(ours, server.url) == without_origin(theirs, f"{index.origin}/")
    # It has all that a lock may have.
    found = [
        file
        for package in tomllib.loads(ours)["package"]
        for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    ]
    assert len(found) == 5
    for file in found:
        assert re.fullmatch(re.escape(server.url) + r"packages/\w\w/\w\w/\w{60}/[^/]+", file["url"])
        assert file.keys() == {"url", "hash", "size", "upload-time"}


def test_a_lock_installs_from_a_server_that_has_forgotten_every_page(
    desk: Workstation, index: UpstreamServer, tmp_path: Path
) -> None:
    """Files are asked for though no page was, at a host and port that stay the same."""
    data = tmp_path / "data"
    with yizhan(data, upstream=index.simple) as server:
        text = lock(desk, tmp_path / "project", server.simple)
        port = server.url.removesuffix("/").rpartition(":")[2]
        restart(server, index, data)
    locked = files(text)
    assert [file.name for file in locked] == ["framework", "library", "marked", "source-only"]
    listen = f'[server]\nlisten = "127.0.0.1:{port}"\n'
    pinned = requirements(tmp_path / "requirements.txt", locked)
    for words in (
        ("pip", "install", "--require-hashes", "--no-index", "-r", pinned),
        ("uv", "pip", "sync", "--require-hashes", "--no-index", pinned),
        ("uv", "sync", "--frozen", "--no-install-project", "--active", "--project", str(tmp_path / "project")),
    ):
        desk.set_up()
        with yizhan(data, upstream=index.simple, config=listen) as server:
            tool = {"pip": desk.pip, "uv": desk.uv}[words[0]]
            tool(*words[1:])
            check_installed(desk)
            asked = [access.target for access in answered(server)]
            assert {target.partition("/packages/")[0] for target in asked} == {""}
            # uv looks at the end of wheels first: by parts, which do not bring the whole.
            asked_for = [request for request in index.asked("/packages/") if "range" not in request.headers]
            assert len([one for one in asked_for if not one.path.endswith(".metadata")]) == len(locked)
            restart(server, index, data)


def test_a_plus_in_a_version_is_found_as_pip_and_as_uv_spell_it(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    """pip asks for `%2B` whatever the page says, uv for what it says."""
    upstream.publish("framework", *make.wheel("framework", "1.0+cpu"))
    with yizhan(tmp_path / "data", upstream=upstream.simple) as server:
        desk.pip("install", "-i", server.simple, "framework")
        assert desk.version("framework") == "1.0+cpu"
        desk.set_up()
        desk.uv("pip", "install", "--default-index", server.simple, "framework==1.0+cpu")
        assert desk.version("framework") == "1.0+cpu"
        assert any("/framework-1.0%2Bcpu-" in access.target for access in answered(server))
        assert any("/framework-1.0+cpu-" in access.target for access in answered(server))


def test_a_lock_with_another_hash_is_not_installed(
    desk: Workstation, index: UpstreamServer, server: Server, tmp_path: Path
) -> None:
    """The control: hashes are looked at."""
    locked = files(lock(desk, tmp_path / "project", server.simple))
    wrong = Locked(locked[0].name, locked[0].url, "0" * 64)
    pinned = requirements(tmp_path / "requirements.txt", [wrong, *locked[1:]])
    refused = desk.pip("install", "--require-hashes", "--no-index", "-r", pinned, ok=False)
    assert "DO NOT MATCH THE HASHES" in refused.stderr
