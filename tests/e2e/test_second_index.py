"""More than one index behind us: PyTorch's kind and flat pages of links beside the big one, with real pip and uv."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urljoin

import pytest

from .. import make
from ..daemon import Server, yizhan
from ..family.wheels import AliyunWheels, FlatPage, JaxReleases, PyTorch, TorchStable
from ..upstream_server import UpstreamServer, running
from .clients import Workstation, answered, fetch

VERSION = "2.7.0+cu128"
LOOPBACK = 'networks = ["127.0.0.0/8"]'


def pip(desk: Workstation, simple: str, *what: str, ok: bool = True) -> None:
    """Install *what* with pip, which knows nothing but *simple*."""
    desk.pip("install", "--index-url", simple, "--no-cache-dir", "--retries", "0", *what, ok=ok)


def uv(desk: Workstation, simple: str, *what: str, ok: bool = True) -> None:
    environment = {"UV_HTTP_RETRIES": "0"}
    desk.uv("pip", "install", "--default-index", simple, "--no-cache", *what, environment=environment, ok=ok)


Install = Callable[..., None]
INSTALLERS = pytest.mark.parametrize("install", [pip, uv])


def table(name: str, mirror: UpstreamServer, *lines: str) -> str:
    return "\n".join(["[[index]]", f'name = "{name}"', f'mirrors = ["{mirror.simple}"]', *lines, ""])


@contextmanager
def server_of(data: Path, *tables: str) -> Iterator[Server]:
    with yizhan(data, config="\n".join(tables)) as server:
        yield server


@pytest.fixture
def main() -> Iterator[UpstreamServer]:
    """The big index.  Somebody has put a newer torch there, which must not win."""
    up = UpstreamServer()
    with running(up):
        up.publish("numpy", *make.wheel("numpy", "1.26"))
        up.publish("torch", *make.wheel("torch", "99.0"))
        up.publish("nvidia-nccl", *make.wheel("nvidia-nccl", "2.0"))
        yield up


def torch() -> tuple[str, bytes]:
    return make.wheel("torch", VERSION, requires=("numpy", "nvidia-nccl"))


def asked_names(up: UpstreamServer) -> set[str]:
    """The projects whose pages were asked for."""
    return {request.path.removeprefix(up.simple_path).strip("/") for request in up.asked(up.simple_path)}


def test_a_client_that_is_given_both_indexes_takes_whatever_is_newest(desk: Workstation, main: UpstreamServer) -> None:
    """The control: what comes of it when nobody says whose word counts."""
    index = PyTorch()
    with running(index):
        index.publish("torch", *torch())
        pip(desk, index.simple, "--extra-index-url", main.simple, "torch")
    assert desk.version("torch") == "99.0"


@INSTALLERS
@pytest.mark.parametrize("apart", [False, True], ids=["rooted-links", "other-host"])
def test_pytorchs_wheels_come_from_its_index_and_what_it_does_not_know_from_the_next(
    install: Install, apart: bool, desk: Workstation, main: UpstreamServer, tmp_path: Path
) -> None:
    host = PyTorch()
    index = PyTorch(files=host if apart else None)
    with running(host, index):
        filename, body = torch()
        metadata = make.metadata("torch", VERSION, requires=("numpy", "nvidia-nccl"))
        index.publish("torch", filename, body, metadata=metadata)
        tables = (
            table("cu128", index, 'names = ["torch*", "nvidia-*"]', "unknown = [403, 404]", LOOPBACK),
            table("pypi", main),
        )
        with server_of(tmp_path / "data", *tables) as server:
            install(desk, server.simple, "torch")
            assert {name: desk.version(name) for name in ("torch", "numpy", "nvidia-nccl")} == {
                "torch": VERSION,
                "numpy": "1.26",
                "nvidia-nccl": "2.0",
            }
            listed = fetch(server.simple).decode()
            assert [listed.count(f'href="{name}/"') for name in ("torch", "numpy", "nvidia-nccl")] == [1, 1, 1]
    # Asked about names that are another index's to answer for, the big one could answer with anything.
    assert "torch" not in asked_names(main)
    assert "numpy" not in asked_names(index)
    # The link stands with its plus encoded, and object storage knows no other spelling.
    files = [request.path for request in (host if apart else index).log if request.path.endswith(".whl")]
    assert files
    assert all("%2B" in path for path in files)


@INSTALLERS
@pytest.mark.parametrize("kind", [AliyunWheels, JaxReleases, TorchStable])
def test_wheels_of_a_flat_page_are_installed_as_from_any_index(
    install: Install, kind: type[FlatPage], desk: Workstation, main: UpstreamServer, tmp_path: Path
) -> None:
    flat = kind()
    with running(flat):
        flat.publish("torch", *torch())
        flat.publish("torchvision", *make.wheel("torchvision", "0.22.0+cu128", requires=("torch",)))
        tables = table("wheels", flat, 'kind = "find-links"', 'names = ["torch*"]'), table("pypi", main)
        with server_of(tmp_path / "data", *tables) as server:
            install(desk, server.simple, "torchvision")
            assert (desk.version("torch"), desk.version("torchvision")) == (VERSION, "0.22.0+cu128")
            listed = fetch(server.simple).decode()
            assert all(f'href="{name}/"' in listed for name in ("torch", "torchvision", "numpy"))
        # No project's name ever went there.
        assert {request.path for request in flat.log if not request.path.endswith(".whl")} == {flat.page_path}
        assert "torch" not in asked_names(main)


@INSTALLERS
def test_two_variants_of_one_filename_are_never_mixed_up(install: Install, desk: Workstation, tmp_path: Path) -> None:
    """`torch-2.1.0-...whl` is in every variant's folder with other bytes, and no hash is listed."""
    variants = {name: TorchStable() for name in ("cu118", "cu121")}
    with running(*variants.values()):
        for name, flat in variants.items():
            flat.publish("torch", *make.wheel("torch", "2.1.0", payload=name.encode()))
        tables = [table(name, flat, 'kind = "find-links"') for name, flat in variants.items()]
        with server_of(tmp_path / "data", *tables) as server:
            for _ in range(2):  # and the second time from the cache
                for name in variants:
                    desk.set_up()
                    install(desk, f"{server.url}{name}/simple/", "torch")
                    assert desk.execute(PAYLOAD) == name
            desk.set_up()
            install(desk, server.simple, "torch")
            assert desk.execute(PAYLOAD) == "cu118"


PAYLOAD = "import importlib.resources as r; print(r.files('torch').joinpath('payload.bin').read_text())"


def test_a_file_without_a_listed_hash_is_not_taken_with_other_bytes_later(desk: Workstation, tmp_path: Path) -> None:
    flat = TorchStable()
    with running(flat):
        flat.publish("torch", *make.wheel("torch", "2.1.0", payload=b"first"))
        config = table("wheels", flat, 'kind = "find-links"')
        with server_of(tmp_path / "data", config) as server:
            pip(desk, server.simple, "torch")
            assert server.stop() == 0
        shutil.rmtree(tmp_path / "data" / "cache")
        flat.publish("torch", *make.wheel("torch", "2.1.0", payload=b"other"))
        desk.set_up()
        with server_of(tmp_path / "data", config) as server:
            pip(desk, server.simple, "torch", ok=False)
            assert any("no longer the file" in line or "as listed" in line for line in server.lines)
        flat.publish("torch", *make.wheel("torch", "2.1.0", payload=b"first"))
        with server_of(tmp_path / "data", config) as server:
            pip(desk, server.simple, "torch")


@INSTALLERS
def test_a_flat_page_outlives_its_server(install: Install, desk: Workstation, tmp_path: Path) -> None:
    """All that was ever fetched installs while the server is away, after a restart too."""
    flat = JaxReleases()
    with running(flat):
        flat.publish("torch", *make.wheel("torch", VERSION))
        config = table("wheels", flat, 'kind = "find-links"', 'fresh = "0 s"')
        with server_of(tmp_path / "data", config) as server:
            install(desk, server.simple, "torch")
            assert server.stop() == 0
        flat.refuse()
        desk.set_up()
        with server_of(tmp_path / "data", config) as server:
            install(desk, server.simple, "torch")
        assert desk.version("torch") == VERSION
        flat.accept()


def test_a_first_index_that_is_down_is_not_passed_over(desk: Workstation, main: UpstreamServer, tmp_path: Path) -> None:
    index = PyTorch()
    with running(index):
        index.publish("torch", *torch())
        index.refuse()
        tables = table("cu128", index, 'names = ["torch"]'), table("pypi", main)
        with server_of(tmp_path / "data", *tables) as server:
            for install in (pip, uv):
                install(desk, server.simple, "torch", ok=False)
            install(desk, server.simple, "numpy")
            statuses = {access.status for access in answered(server) if access.target.startswith("/simple/torch")}
            assert statuses == {503}
        assert "torch" not in asked_names(main)
        index.accept()


def test_a_plus_may_be_written_either_way_in_a_link_of_ours(tmp_path: Path) -> None:
    """pip asks for `%2B` whatever is listed, uv for what is listed (rule 6)."""
    index = PyTorch()
    with running(index):
        filename, body = make.wheel("torch", VERSION)
        index.publish("torch", filename, body)
        with server_of(tmp_path / "data", table("cu128", index)) as server:
            page = fetch(f"{server.simple}torch/").decode()
            (link,) = re.findall(r'href="([^"#]+)', page)
            url = urljoin(f"{server.simple}torch/", link)
            assert "+" in url
            for spelled in (url, url.replace("+", "%2B"), url.replace("+", "%2b")):
                assert hashlib.sha256(fetch(spelled)).digest() == hashlib.sha256(body).digest()
            with pytest.raises(HTTPError) as caught:
                fetch(url.replace("+", "%20"))
            with caught.value:
                assert caught.value.code == 404
