"""Coming from another server: a folder of a thousand files is imported, and every one is served and installs."""

from __future__ import annotations

import hashlib
import http.client
import random
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import msgspec
import pytest

from proxy.simple.model import JSON

from .. import make
from ..daemon import Server, run, yizhan
from ..upstream_server import UpstreamServer
from .clients import Workstation, answered, said

PROJECTS, VERSIONS = 200, 5

SAMPLE = 10

MODULE = (sys.executable, "-m", "proxy")


def fill(folder: Path) -> dict[str, bytes]:
    """What a pypiserver served for years: wheels and sdists, some in folders of their own, and what lies about."""
    sent: dict[str, bytes] = {}
    for number in range(PROJECTS):
        name = f"acme-{number}"
        place = folder / name if number % 4 == 0 else folder
        place.mkdir(parents=True, exist_ok=True)
        for version in range(VERSIONS):
            made = make.sdist if version == 0 else make.wheel
            filename, body = made(name, f"{version}.0")
            if version == 0 and number % 3 == 0:
                filename = f"Acme-{number}-0.0.tar.gz"  # from before PEP 625
            (place / filename).write_bytes(body)
            sent[filename] = body
    (folder / "README.txt").write_text("put wheels here")
    (folder / "acme_1-1.0-py3-none-any.whl.asc").write_text("-----BEGIN PGP SIGNATURE-----")
    return sent


def served(server: Server) -> Iterator[tuple[str, bytes, str]]:
    """Every file on every page: its name, its bytes as they come, and the sha256 that the page lists."""
    place = urlsplit(server.url)
    assert place.hostname is not None
    with closing(http.client.HTTPConnection(place.hostname, place.port, timeout=60)) as connection:

        def get(path: str) -> bytes:
            connection.request("GET", path, headers={"Accept": JSON})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, path
            return body

        for number in range(PROJECTS):
            at = f"/simple/acme-{number}/"
            for file in msgspec.json.decode(get(at))["files"]:
                yield file["filename"], get(urljoin(at, file["url"])), file["hashes"]["sha256"]


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def requirement(filename: str, body: bytes) -> str:
    name, version, *_ = filename.split("-")
    return f"{name}=={version} --hash=sha256:{sha256(body)}\n"


@pytest.mark.timeout(600)
def test_a_thousand_files_of_a_pypiserver_are_imported_and_install_with_their_hashes(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    sent = fill(tmp_path / "packages")
    assert len(sent) == PROJECTS * VERSIONS == 1000
    words = ("import", "pypiserver", str(tmp_path / "packages"), "--data", str(tmp_path / "data"))
    done = run(*MODULE, *words)
    assert f"taken: 1000 files of {PROJECTS} projects" in done.stdout
    assert done.stderr == ""
    with yizhan(tmp_path / "data", upstream=upstream.simple) as server:
        found = {filename: (body, listed) for filename, body, listed in served(server)}
        assert {filename: body for filename, (body, _) in found.items()} == sent
        assert all(sha256(body) == listed for body, listed in found.values())

        wheels = sorted(filename for filename in sent if filename.endswith(".whl"))
        picked = {name.split("-")[0]: name for name in random.Random(4).sample(wheels, len(wheels))}
        sample = list(picked.values())[:SAMPLE]
        (tmp_path / "locked.txt").write_text("".join(requirement(name, sent[name]) for name in sample))
        for tool in ("pip", "uv"):
            desk.set_up()
            if tool == "pip":
                desk.pip("install", "-i", server.simple, "--require-hashes", "-r", str(tmp_path / "locked.txt"))
            else:
                index = ("--default-index", server.simple)
                desk.uv("pip", "install", *index, "--require-hashes", "-r", str(tmp_path / "locked.txt"))
            for filename in sample:
                name, version, *_ = filename.split("-")
                assert desk.version(name) == version
        assert {name for name in sample if any(name in access.target for access in answered(server))} == set(sample)
        refused = said(run(*MODULE, *words, ok=False))
        assert "Another Yizhan is already using this data folder: stop it first" in refused
    # Not for the pages, not for the imports: names are claimed without a word to anybody.
    assert [request.path for request in upstream.log if "acme" in request.path.lower()] == []
