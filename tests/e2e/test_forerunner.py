"""What pypiserver's own tests do with pip and twine, done with us: who comes from there loses nothing by it.

Its three ways to run are ours: open (`-P . -a .`), passwords for uploads alone (`-a update`), and for all
(`-a update,download`).
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .. import make
from ..daemon import Server, yizhan
from .clients import Workstation, fetch, said
from .publishing import Environments, Order, Project
from .uploaders import Twine3

APR1 = "a:$apr1$yn9Zya.j$pohxTNqaB7izqXybHNauY.\n"
"""A line as Apache's htpasswd writes it: user a, password secret."""

USER, PASSWORD = "a", "secret"

OPEN = '[auth]\nupload = "anyone"\n'
PARTIAL = ""
CLOSED = '[auth]\nread = "users"\n'


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Of the configuration that is its parameter, with the password file that was there before."""
    state = tmp_path / "data" / "state"
    state.mkdir(parents=True, mode=0o700)
    (state / "htpasswd").write_text(APR1)
    (state / "htpasswd").chmod(0o600)
    with yizhan(tmp_path / "data", config=request.param) as running:
        yield running


def ways(*configs: str) -> pytest.MarkDecorator:
    """Runs the test with a server of each of *configs*."""
    names = {OPEN: "open", PARTIAL: "partial", CLOSED: "closed"}
    return pytest.mark.parametrize("server", configs, indirect=True, ids=[names[config] for config in configs])


def upload(
    desk: Workstation, server: Server, *files: Path, user: str = USER, password: str = PASSWORD, ok: bool = True
) -> subprocess.CompletedProcess[str]:
    # At the root, as pypiserver's own documentation has it, and without a slash.
    words = ("--repository-url", server.url.removesuffix("/"), "-u", user, "-p", password)
    return desk.twine("upload", "--non-interactive", *words, *map(str, files), ok=ok)


def download(desk: Workstation, server: Server, *words: str, user: str = "") -> dict[str, bytes]:
    """What pip gets: filename and bytes; nothing where it fails."""
    folder = desk.folder / "downloads"
    url = server.simple.replace("://", f"://{user}@") if user else server.simple
    desk.pip(
        "download", "--no-cache-dir", "--retries", "0", "--no-deps", "-d", str(folder), "-i", url, *words, ok=False
    )
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.exists() else {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    filename, body = make.wheel("centodeps", "0.1")
    (tmp_path / filename).write_bytes(body)
    return tmp_path / filename


@ways(OPEN, PARTIAL)
def test_a_package_that_is_not_there_is_not_found(desk: Workstation, server: Server) -> None:
    assert download(desk, server, "centodeps") == {}


@ways(OPEN)
def test_where_all_is_open_everybody_uploads_and_downloads(desk: Workstation, server: Server, file: Path) -> None:
    upload(desk, server, file, user="foo", password="bar")
    assert download(desk, server, "centodeps") == {file.name: file.read_bytes()}


@ways(PARTIAL)
def test_where_uploads_need_a_user_downloads_do_not(desk: Workstation, server: Server, file: Path) -> None:
    refused = upload(desk, server, file, user="foo", password="bar", ok=False)
    assert refused.returncode != 0
    assert "401" in said(refused)
    assert download(desk, server, "centodeps") == {}
    for _ in range(5):
        upload(desk, server, file)
    assert download(desk, server, "centodeps") == {file.name: file.read_bytes()}


@ways(CLOSED)
def test_where_all_needs_a_user_downloads_do_too(desk: Workstation, server: Server, file: Path) -> None:
    upload(desk, server, file)
    assert download(desk, server, "centodeps") == {}
    assert download(desk, server, "centodeps", user=f"{USER}:{PASSWORD}") == {file.name: file.read_bytes()}


@ways(OPEN)
def test_every_hash_that_pip_knows_holds_for_what_was_uploaded(desk: Workstation, server: Server, file: Path) -> None:
    """It is the client that chooses there; on the page stands the one that all clients take."""
    upload(desk, server, file)
    body = file.read_bytes()
    assert f"{file.name}#sha256={hashlib.sha256(body).hexdigest()}" in fetch(f"{server.simple}centodeps/").decode()
    for kind in ("sha256", "sha384", "sha512"):
        pinned = desk.folder / f"{kind}.txt"
        pinned.write_text(f"centodeps==0.1 --hash={kind}:{hashlib.new(kind, body).hexdigest()}\n")
        desk.pip("install", "--force-reinstall", "--require-hashes", "-i", server.simple, "-r", str(pinned))
    pinned.write_text(f"centodeps==0.1 --hash=sha512:{'0' * 128}\n")
    refused = desk.pip("install", "--force-reinstall", "-i", server.simple, "-r", str(pinned), ok=False)
    assert "DO NOT MATCH" in said(refused)


@pytest.mark.real
@ways(PARTIAL)
def test_who_registers_first_reads_that_it_is_not_needed(
    desk: Workstation, server: Server, file: Path, environments: Environments, tmp_path: Path
) -> None:
    twine = Twine3(environments)
    words = ("register", "--repository-url", server.url, "-u", USER, "-p", PASSWORD, str(file))
    refused = twine.publish(Project(desk, tmp_path), Order(words=words, environment={}))
    assert refused.returncode != 0
    assert "410" in said(refused)
    assert "no longer required or supported, upload your files instead" in said(refused)
