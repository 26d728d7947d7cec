"""What reads a project's other faces: pip-tools takes its hashes from the JSON, and `pip search` its lines from XML."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from .. import make
from ..daemon import Access, Server, yizhan
from ..upstream_server import UpstreamServer, running_upstream
from .clients import Workstation, answered, fetch, said
from .publishing import Environments
from .relay import relay

PIP_TOOLS = ("pip-tools==7.6.2", "pip==26.3")
"""Of the same day: pip-tools reaches into pip."""

OLD_PIP_TOOLS = ("pip-tools==7.4.1", "pip==24.0")
"""Of 2024: it asks for the JSON at another address, and its resolver downloads what it pins."""

OLD_PIP = ("pip==20.3.4", "setuptools==65.7.0")
"""Of 2020, as build servers still have it."""

NUMPY = make.wheel("numpy", "1.0"), make.sdist("numpy", "1.0")
OLDER = make.wheel("numpy", "0.9")
TORCH = make.wheel("torch", "2.0+cpu", requires=("numpy",))
ACME = make.wheel("Acme.SDK", "1.0", requires=("torch",)), make.sdist("Acme.SDK", "1.0", requires=("torch",))


@pytest.fixture(scope="module")
def index() -> Iterator[UpstreamServer]:
    """A public index, which somebody has put another acme-sdk into."""
    with running_upstream() as up:
        for file in NUMPY:
            up.publish("numpy", *file, metadata=make.metadata("numpy", "1.0"))
        up.publish("numpy", *OLDER)
        up.publish("torch", *TORCH, metadata=make.metadata("torch", "2.0+cpu", requires=("numpy",)))
        up.publish("acme-sdk", *make.wheel("acme-sdk", "99.0"))
        yield up


def upload(desk: Workstation, server: Server, *files: tuple[str, bytes]) -> None:
    folder = desk.folder / "dist"
    folder.mkdir(exist_ok=True)
    for filename, body in files:
        (folder / filename).write_bytes(body)
    paths = [str(folder / filename) for filename, _ in files]
    who = ["-u", server.user, "-p", server.password]
    desk.twine("upload", "--non-interactive", "--repository-url", f"{server.url}legacy/", *who, *paths)


def compiled(desk: Workstation, folder: Path, simple: str, requirement: str) -> str:
    """What the pip-compile in *folder* pins *requirement* to, with hashes, from *simple* alone."""
    (desk.folder / "requirements.in").write_text(f"{requirement}\n")
    program = str(folder / "pip-compile")
    words = ["--generate-hashes", "--no-header", "--quiet", "--output-file", "-", "--index-url", simple]
    cache = ["--cache-dir", str(desk.folder / "cache" / "pip-tools"), "--no-emit-index-url"]
    return desk.run(program, *words, *cache, "requirements.in", folder=desk.folder).stdout


def downloads(accesses: list[Access]) -> list[str]:
    """Which files were fetched whole, by their names."""
    names = [access.target.rsplit("/", 1)[1] for access in accesses if "/packages/" in access.target]
    return [name for name in names if not name.endswith(".metadata")]


def digest(file: tuple[str, bytes]) -> str:
    return f"--hash=sha256:{hashlib.sha256(file[1]).hexdigest()}"


@pytest.fixture(scope="module")
def server(index: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With acme-sdk in it, and a look at numpy behind it."""
    with yizhan(
        tmp_path_factory.mktemp("server"), upstream=index.simple, config='[private]\nreserved = ["acme-*"]\n'
    ) as running:
        desk = Workstation(tmp_path_factory.mktemp("desk"))
        desk.set_up()
        upload(desk, running, *ACME)
        fetch(f"{running.simple}numpy/")
        yield running


@pytest.fixture(scope="module")
def closed(index: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same, where only users may read."""
    config = '[private]\nreserved = ["acme-*"]\n\n[auth]\nread = "users"\n'
    with yizhan(tmp_path_factory.mktemp("closed"), upstream=index.simple, config=config) as running:
        desk = Workstation(tmp_path_factory.mktemp("desk"))
        desk.set_up()
        upload(desk, running, *ACME)
        yield running


def with_login(server: Server, url: str) -> str:
    """*url* as people write it where reading needs a user."""
    return url.replace("://", f"://{server.user}:{server.password}@")


def test_pip_compile_takes_all_hashes_from_our_json(
    server: Server, desk: Workstation, environments: Environments
) -> None:
    """On 404 it would download every file of each version to hash it (rule 90)."""
    since = len(answered(server))
    pinned = compiled(desk, environments.bin(PIP_TOOLS), server.simple, "acme.sdk")
    accesses = answered(server)[since:]
    for file in (*ACME, TORCH, *NUMPY):
        assert digest(file) in pinned
    assert digest(OLDER) not in pinned
    assert downloads(accesses) == []
    asked = {access.target for access in accesses if access.target.endswith("/json") and access.status == 200}
    assert asked == {"/acme-sdk/json", "/torch/json", "/numpy/json"}


@pytest.mark.parametrize("requirements", [PIP_TOOLS, OLD_PIP_TOOLS], ids=["pip-tools", "pip-tools-7.4"])
def test_where_reading_is_for_users_pip_compile_takes_them_from_our_json_too(
    closed: Server, desk: Workstation, environments: Environments, requirements: tuple[str, ...]
) -> None:
    """With the login of the index URL, and the links in the document are those that pip has without it."""
    since = len(answered(closed))
    pinned = compiled(desk, environments.bin(requirements), with_login(closed, closed.simple), "acme.sdk")
    accesses = answered(closed)[since:]
    for file in (*ACME, TORCH, *NUMPY):
        assert digest(file) in pinned
    assert closed.password not in pinned
    assert {access.user for access in accesses if access.status < 400} == {closed.user}
    asked = {access.target for access in accesses if access.target.endswith("/json") and access.status == 200}
    assert len(asked) == 3
    fetched = downloads(accesses)
    if requirements is OLD_PIP_TOOLS:  # its resolver downloads the wheels that it pins
        fetched = [name for name in fetched if not name.endswith(".whl")]
    assert fetched == []


def test_where_reading_is_for_users_nobody_else_learns_what_is_here(
    closed: Server, desk: Workstation, environments: Environments
) -> None:
    """By the JSON, or by pip's search, which wants its login in the URL too."""
    for path in ("acme-sdk/json", "pypi/acme-sdk/json", "pypi/acme-sdk/1.0/json", "pypi/none/json"):
        with pytest.raises(HTTPError, match="401"):
            fetch(closed.url + path)
    pip = str(environments.bin(PIP_TOOLS) / "pip")
    search = f"{closed.url}pypi"
    found = desk.run(pip, "search", "--index", with_login(closed, search), "acme")
    assert [line.split()[:2] for line in found.stdout.splitlines()] == [["acme-sdk", "(1.0)"]]
    refused = desk.run(pip, "search", "--index", search, "acme", ok=False)
    assert refused.returncode != 0
    assert "acme-sdk" not in said(refused)
    assert "401" in said(refused)


def test_an_older_pip_compile_takes_them_too(server: Server, desk: Workstation, environments: Environments) -> None:
    since = len(answered(server))
    pinned = compiled(desk, environments.bin(OLD_PIP_TOOLS), server.simple, "acme.sdk")
    accesses = answered(server)[since:]
    for file in (*ACME, TORCH, *NUMPY):
        assert digest(file) in pinned
    assert [name for name in downloads(accesses) if not name.endswith(".whl")] == []
    asked = {access.target for access in accesses if access.target.endswith("/json") and access.status == 200}
    assert asked == {f"/simple/pypi/{name}/json" for name in ("acme-sdk", "torch", "numpy")}


def test_pip_compile_downloads_what_has_no_json(server: Server, desk: Workstation, environments: Environments) -> None:
    """The control: without our JSON the test above would fail."""
    since = len(answered(server))
    with relay(server.url, replace=(b"/json ", b"/none ")) as line:
        pinned = compiled(desk, environments.bin(PIP_TOOLS), f"{line.url}simple/", "numpy")
    assert digest(NUMPY[0]) in pinned
    assert set(downloads(answered(server)[since:])) == {filename for filename, _ in NUMPY}


@pytest.mark.parametrize("requirements", [PIP_TOOLS, OLD_PIP], ids=["pip", "pip-20"])
def test_pip_search_prints_what_is_here(
    server: Server, desk: Workstation, environments: Environments, requirements: tuple[str, ...]
) -> None:
    pip = str(environments.bin(requirements) / "pip")
    found = desk.run(pip, "search", "--index", f"{server.url}pypi", "acme", "numpy")
    lines = [line.split() for line in found.stdout.splitlines()]
    assert lines == [["acme-sdk", "(1.0)", "-", "made", "for", "a", "test"], ["numpy", "(1.0)", "-"]]
    assert desk.run(pip, "search", "--index", f"{server.url}pypi", "scipy", ok=False).returncode == 23  # none found


def test_pip_shows_a_fault_as_one_line(server: Server, desk: Workstation, environments: Environments) -> None:
    pip = str(environments.bin(PIP_TOOLS) / "pip")
    shown = desk.run(pip, "search", "--index", f"{server.url}RPC2", *map(str, range(50)), ok=False)
    assert "search looks for 20 words at the most." in said(shown)
    assert "Traceback" not in said(shown)
