"""The tutorial of our forerunner, step by step: build a package, make a user, upload, install.

Once with stand-ins for everything that comes from the index, which always runs, and once with the real things.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import make
from ..daemon import Access, Server, yizhan
from ..upstream_server import UpstreamServer
from .clients import Workstation, answered, fetch, has, said
from .projects import IN_TREE, SETUPTOOLS, write_project
from .real import RealIndex

REQUIRES = ("certifi==2022.6.15", "charset-normalizer==2.1.1", "idna==3.3", "requests==2.28.1", "urllib3==1.26.12")

EXAMPLE = '''\
"""What the tutorial's reader writes."""

import certifi
import charset_normalizer
import idna
import requests
import urllib3

VERSIONS = [module.__version__ for module in (charset_normalizer, idna, requests, urllib3)]
'''

SDIST = "example_package-0.0.1.tar.gz"

ALLOW = '[private]\nclaim = "allow"\n'

OPEN = ALLOW + '[auth]\nupload = "anyone"\n'


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """Where Apache's program is to write the users."""
    if not has("htpasswd"):
        pytest.skip("NOT TESTED: Apache's htpasswd program is missing (Debian has it in apache2-utils)")
    return tmp_path / "htpasswd.txt"


@pytest.fixture
def index(upstream: UpstreamServer) -> UpstreamServer:
    """An index that has stand-ins for the dependencies, and a project of the name that the reader chooses."""
    for requirement in REQUIRES:
        name, version = requirement.split("==")
        upstream.publish(name, *make.wheel(name, version))
    upstream.publish("example-package", *make.wheel("example-package", "9.9"))
    return upstream


def closed(users: Path) -> str:
    return f'{ALLOW}[auth]\nhtpasswd = "{users}"\n'


def build(desk: Workstation, folder: Path, *, build_system: str, index: str) -> Path:
    """The sdist, from `python -m build --sdist`."""
    write_project(folder, "example_package", "0.0.1", requires=REQUIRES, module=EXAMPLE, build_system=build_system)
    desk.run("pyproject-build", "--sdist", folder=folder, environment={"PIP_INDEX_URL": index})
    assert [path.name for path in (folder / "dist").iterdir()] == [SDIST]
    return folder / "dist" / SDIST


def upload(desk: Workstation, server: Server, sdist: Path, user: str, password: str, *, ok: bool = True) -> str:
    """What twine says to it."""
    words = ["--non-interactive", "--repository-url", server.url, "-u", user, "-p", password]
    return said(desk.twine("upload", *words, str(sdist), ok=ok))


def posts(server: Server) -> list[Access]:
    return [access for access in answered(server) if access.method == "POST"]


def upload_as_users_do(desk: Workstation, server: Server, users: Path, sdist: Path) -> None:
    """Without a user, with one, and with a section of ~/.pypirc."""
    assert "401" in upload(desk, server, sdist, "", "", ok=False)
    desk.run("htpasswd", "-cb", str(users), "wang", "kuaidi")
    upload(desk, server, sdist, "wang", "kuaidi")
    (desk.home / ".pypirc").write_text(
        "[distutils]\nindex-servers =\n  station\n\n"
        f"[station]\nrepository = {server.url}\nusername = wang\npassword = kuaidi\n"
    )
    desk.twine("upload", "--non-interactive", "-r", "station", str(sdist))
    assert [(post.user, post.status) for post in posts(server)] == [("-", 401), ("wang", 200), ("wang", 200)]


def check_page(server: Server) -> None:
    """The page lists what was uploaded, and nothing of the upstream's."""
    page = fetch(f"{server.simple}example-package/").decode()
    assert f">{SDIST}</a>" in page
    assert page.count("<a ") == 1


def check_install(desk: Workstation, server: Server) -> None:
    """One line brings the package and all that it needs, and it works."""
    desk.pip("install", "-i", server.simple, "example-package")
    for requirement in ("example-package==0.0.1", *REQUIRES):
        name, version = requirement.split("==")
        assert desk.version(name) == version
    found = desk.execute("from example_package import example; print(example.VERSIONS)")
    assert found == "['2.1.1', '3.3', '2.28.1', '1.26.12']"


def test_the_tutorial_works_with_a_user_of_htpasswd(
    desk: Workstation, index: UpstreamServer, users: Path, tmp_path: Path
) -> None:
    with yizhan(tmp_path / "data", upstream=index.simple, config=closed(users)) as server:
        sdist = build(desk, tmp_path / "project", build_system=IN_TREE, index=server.simple)
        upload_as_users_do(desk, server, users, sdist)
        check_page(server)
        check_install(desk, server)


def test_the_tutorial_works_where_anyone_may_upload(desk: Workstation, index: UpstreamServer, tmp_path: Path) -> None:
    with yizhan(tmp_path / "data", upstream=index.simple, config=OPEN) as server:
        sdist = build(desk, tmp_path / "project", build_system=IN_TREE, index=server.simple)
        upload(desk, server, sdist, "", "")
        assert [post.status for post in posts(server)] == [200]
        check_page(server)
        check_install(desk, server)


@pytest.mark.real
def test_the_tutorial_works_with_the_real_index(
    desk: Workstation, real_index: RealIndex, users: Path, tmp_path: Path
) -> None:
    with yizhan(
        tmp_path / "data",
        *real_index.flags,
        upstream=real_index.url,
        config=closed(users),
        environment=real_index.environment,
    ) as server:
        sdist = build(desk, tmp_path / "project", build_system=SETUPTOOLS, index=server.simple)
        upload_as_users_do(desk, server, users, sdist)
        check_page(server)
        check_install(desk, server)
        # The build backend came through here, too.
        assert any("/setuptools-" in access.target for access in answered(server))


def test_twine_that_may_not_ask_and_knows_no_user_sends_nothing(desk: Workstation, tmp_path: Path) -> None:
    filename, body = make.wheel("demo", "1.0")
    (tmp_path / filename).write_bytes(body)
    with yizhan(tmp_path / "data") as server:
        words = ["--non-interactive", "--repository-url", server.url, str(tmp_path / filename)]
        assert "Credential not found" in said(desk.twine("upload", *words, ok=False))
        assert posts(server) == []
