"""Every publishing tool, with everything that can be right and wrong: what a person reads, what is listed and stored.

A part of the cases runs always; all of them take minutes:

    pytest tests/e2e/test_upload_matrix.py -m "long or not long"
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .. import make
from ..daemon import Server, yizhan
from ..upstream_server import UpstreamServer, running_upstream
from .clients import Workstation, answered, fetch, operate, said
from .publishing import Account, Environments, Order, Project, Tool
from .relay import relay
from .uploaders import TOOLS

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}

CONFIG = """\
[private]
reserved = ["acme-*"]

[auth]
failures = 1000  # each tool is wrong in its turn, all from one address
"""

QUICK = ("uv", "uv-check-url")
"""They are installed anyway, and take a tenth of a second: they run all cases always."""


def tools(*names: str, skips: bool | None = None) -> pytest.MarkDecorator:
    """Runs the test with all tools: with those of *names* always, with the others among the long ones.

    Where *skips* is given, with those alone that can be told to leave out what exists, or cannot.
    """
    cases = []
    for name, kind in TOOLS.items():
        if skips not in (None, kind.skips):
            continue
        marks = [pytest.mark.real] if kind.requirements else []
        cases.append(pytest.param(name, marks=marks if name in (*QUICK, *names) else [*marks, pytest.mark.long]))
    return pytest.mark.parametrize("tool", cases, indirect=True)


twine_alone = pytest.mark.parametrize("tool", [pytest.param("twine", marks=pytest.mark.real)], indirect=True)

uv_alone = pytest.mark.parametrize("tool", ["uv"], indirect=True)


@dataclass(frozen=True)
class Site:
    """The server that all of them publish to, and the index behind it."""

    server: Server
    upstream: UpstreamServer
    data: Path

    @property
    def account(self) -> Account:
        """Of the one who may."""
        return Account(f"{self.server.url}legacy/", self.server.user, self.server.password)

    def listed(self, name: str) -> dict[str, str]:
        """What the page of *name* lists: filename and sha256."""
        page = json.loads(fetch(f"{self.server.simple}{name}/", JSON))
        return {file["filename"]: file["hashes"]["sha256"] for file in page["files"]}

    def names(self) -> list[str]:
        """All that the root page lists."""
        return [project["name"] for project in json.loads(fetch(self.server.simple, JSON))["projects"]]

    def stored(self) -> set[str]:
        """The places of all contents on the disk, and whatever an upload has left behind."""
        files = self.data / "state" / "files"
        places = {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file() and not path.suffix}
        return places | {str(path) for path in (self.data / "state" / "incoming").iterdir()}

    def posts(self) -> list[int]:
        """The answers to uploads so far."""
        return [access.status for access in answered(self.server) if access.method == "POST"]

    def token(self, *words: str) -> Account:
        """A new token of the one who may, as people give it to their tools; *words* are further options."""
        made = operate(self.data, "token", "create", "--user", self.server.user, *words)
        return Account(self.account.url, "__token__", made.stdout.strip())

    def revoke(self, token: Account) -> None:
        operate(self.data, "token", "revoke", token.password.split("_")[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests, which publish names of their own."""
    data = tmp_path_factory.mktemp("data")
    with (
        running_upstream() as upstream,
        yizhan(data, upstream=upstream.simple, config=CONFIG) as server,
    ):
        yield Site(server, upstream, data)


@pytest.fixture
def tool(request: pytest.FixtureRequest, environments: Environments) -> Tool:
    return TOOLS[request.param](environments)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """One that no other test publishes."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")


@dataclass(frozen=True)
class Publishing:
    """What somebody does with a tool."""

    site: Site
    tool: Tool
    project: Project

    def make(self, name: str, *, payload: str = "") -> None:
        """Make a wheel of *name*, or another one of that name."""
        self.tool.make(self.project, name, payload=payload)

    def publish(
        self, *words: str, url: str = "", user: str | None = None, password: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """With all that is to say on the command line: as the one who may, where nobody is named."""
        account = self.site.account
        who = (account.user, account.password) if user is None else (user, password)
        order = self.tool.as_told(self.project, url or account.url, *who)
        return self.tool.publish(self.project, order, *words)

    def works(self, *words: str, account: Account | None = None) -> str:
        """What is read where all is well."""
        account = account or self.site.account
        done = self.publish(*words, user=account.user, password=account.password)
        assert done.returncode == 0, said(done)
        return said(done)

    def fails(self, status: int, *, url: str = "", user: str | None = None, password: str | None = None) -> str:
        """What is read where the server answers *status*, less the line breaks of narrow terminals."""
        done = self.publish(url=url, user=user, password=password)
        assert done.returncode != 0, said(done)
        assert self.site.posts()[-1] == status
        return self.tool.read(done)

    def is_there(self, name: str) -> bool:
        """Whether its files, and no others, are listed with their digests, and stored."""
        places = {make.place(file.read_bytes()) for file in self.project.files}
        return self.site.listed(name) == self.project.digests() and places <= self.site.stored()


@pytest.fixture
def publishing(site: Site, tool: Tool, desk: Workstation, tmp_path: Path) -> Publishing:
    return Publishing(site, tool, Project(desk, tmp_path / "project"))


@pytest.fixture
def changes_nothing(site: Site) -> Iterator[None]:
    """The same names and contents are there when the test ends, and nothing is left of what it tried."""
    before = site.names(), site.stored()
    yield
    assert (site.names(), site.stored()) == before


@tools("twine", "poetry", "pdm", "hatch", "flit")
def test_a_new_wheel_and_a_new_sdist(publishing: Publishing, name: str) -> None:
    """As the tool's own build backend writes them."""
    publishing.tool.build(publishing.project, name)
    assert [file.suffix for file in publishing.project.files] == [".whl", ".gz"]
    publishing.works()
    assert publishing.is_there(name)
    assert publishing.site.posts()[-2:] == [200, 200]


@tools("twine-3", "hatch", "flit")
def test_the_same_again_is_fine(publishing: Publishing, name: str) -> None:
    """So that a broken job can be run once more."""
    publishing.make(name)
    publishing.works()
    stored, posts = publishing.site.stored(), len(publishing.site.posts())
    read = publishing.works()
    assert publishing.is_there(name)
    assert publishing.site.stored() == stored
    # Who looks first, says so and sends nothing.
    assert ("already exists" in read) == bool(publishing.tool.looks)
    assert publishing.site.posts()[posts:] == ([] if publishing.tool.looks else [200])


@tools("twine", "hatch", "flit")
def test_other_bytes_are_refused(publishing: Publishing, name: str) -> None:
    publishing.make(name)
    publishing.works()
    listed, stored = publishing.site.listed(name), publishing.site.stored()
    publishing.make(name, payload="changed")
    assert publishing.project.digests() != listed
    if publishing.tool.looks == "names":
        assert "already exists" in publishing.works()
    elif publishing.tool.looks:
        done = publishing.publish()
        assert done.returncode != 0
        assert "Local file and index file do not match" in said(done)
    else:
        (filename,) = listed
        assert f"File already exists ('{filename}', with blake2_256 hash '" in publishing.fails(400)
    assert (publishing.site.listed(name), publishing.site.stored()) == (listed, stored)


@tools("twine-3", "poetry", skips=True)
def test_who_wishes_so_skips_what_exists(publishing: Publishing, name: str) -> None:
    """Known by the words of the answer; twine asks the official index alone by now."""
    publishing.make(name)
    publishing.works()
    listed = publishing.site.listed(name)
    publishing.make(name, payload="changed")
    assert re.search("skip", publishing.works("--skip-existing"), re.IGNORECASE)
    assert publishing.site.listed(name) == listed


@pytest.mark.usefixtures("changes_nothing")
@tools("twine")
def test_what_was_damaged_on_its_way_is_refused_as_that(publishing: Publishing, name: str) -> None:
    """The form arrives with another digest than the file has."""
    publishing.make(name)
    (digest,) = publishing.project.digests().values()
    with relay(publishing.site.server.url, replace=(digest.encode(), b"0" * 64)) as line:
        read = publishing.fails(
            400, url=f"{line.url}legacy/", user=publishing.site.account.user, password=publishing.site.account.password
        )
    assert "The sha256 digest in the form is not that of the file as it arrived: upload it again." in read


@pytest.mark.usefixtures("changes_nothing")
@tools("twine-3", "hatch", "flit")
def test_a_wrong_password(publishing: Publishing, name: str) -> None:
    publishing.make(name)
    read = publishing.fails(401, user=publishing.site.account.user, password="a guess")
    assert "The user name or the password is wrong" in read


@pytest.mark.usefixtures("changes_nothing")
@tools("twine")
def test_no_password(publishing: Publishing, name: str) -> None:
    """Most tools say so themselves, and send nothing."""
    publishing.make(name)
    posts = len(publishing.site.posts())
    done = publishing.publish(user="")
    assert done.returncode != 0
    assert publishing.tool.without_password in publishing.tool.read(done)
    assert publishing.site.posts()[posts:] in ([], [401])


@pytest.mark.usefixtures("changes_nothing")
@tools("twine")
def test_a_token_of_another_index(publishing: Publishing, name: str) -> None:
    """As people are used to give to the official one."""
    publishing.make(name)
    read = publishing.fails(401, user="__token__", password="pypi-AgEIcHlwaS5vcmcCJDEy")
    assert re.search(r"(password|token) is wrong", read)


@tools("twine")
def test_a_token_for_the_project(publishing: Publishing, name: str) -> None:
    """In place of a password, with which tools expect the name that the official index knows."""
    publishing.tool.build(publishing.project, name)
    token = publishing.site.token("--scope", name, "--expires", "1d")
    publishing.works(account=token)
    assert publishing.is_there(name)
    uploads = [access for access in answered(publishing.site.server) if access.method == "POST"][-2:]
    of = f"{publishing.site.server.user}:{token.password.split('_')[1]}"
    assert [(access.user, access.status) for access in uploads] == [(of, 200), (of, 200)]


@pytest.mark.usefixtures("changes_nothing")
@tools("twine")
def test_a_token_for_other_projects(publishing: Publishing, name: str) -> None:
    publishing.make(name)
    token = publishing.site.token("--scope", "others-*", "--scope", f"{name}-too")
    read = publishing.fails(403, user=token.user, password=token.password)
    who = publishing.site.server.user
    assert f"This token of user '{who}' isn't allowed to upload to project '{name}'." in read


@pytest.mark.usefixtures("changes_nothing")
@uv_alone
def test_a_token_for_reading(publishing: Publishing, name: str) -> None:
    publishing.make(name)
    token = publishing.site.token("--read-only")
    read = publishing.fails(403, user=token.user, password=token.password)
    assert f"isn't allowed to upload to project '{name}'." in read


@tools("twine")
def test_a_token_that_was_revoked(publishing: Publishing, name: str) -> None:
    """After it was good."""
    token = publishing.site.token()
    publishing.make(name)
    publishing.works(account=token)
    stored = publishing.site.stored()
    publishing.site.revoke(token)
    publishing.make(f"{name}-again")
    read = publishing.fails(401, user=token.user, password=token.password)
    assert "the token is not valid any more." in read
    assert publishing.site.stored() == stored


@uv_alone
def test_a_token_as_uv_is_told_of_it(publishing: Publishing, name: str) -> None:
    """In the environment, as `yizhan token create` writes it for those who copy lines."""
    publishing.make(name)
    made = operate(publishing.site.data, "token", "create", "--user", publishing.site.server.user)
    line = re.search(r"UV_PUBLISH_URL=\S+ UV_PUBLISH_TOKEN=TOKEN uv publish\n", made.stderr)
    assert line is not None
    told = {"UV_PUBLISH_URL": publishing.site.account.url, "UV_PUBLISH_TOKEN": made.stdout.strip()}
    files = [str(file) for file in publishing.project.files]
    done = publishing.tool.publish(publishing.project, Order(words=("publish", *files), environment=told))
    assert done.returncode == 0, said(done)
    assert publishing.is_there(name)


@tools("flit")
def test_one_of_several_servers_in_the_settings(publishing: Publishing, name: str) -> None:
    publishing.make(name)
    order = publishing.tool.as_configured(publishing.project, publishing.site.account)
    done = publishing.tool.publish(publishing.project, order)
    assert done.returncode == 0, said(done)
    assert publishing.is_there(name)


@tools("twine")
def test_a_password_in_the_keyring(publishing: Publishing, name: str) -> None:
    publishing.make(name)
    order = publishing.tool.as_kept(publishing.project, publishing.site.account)
    done = publishing.tool.publish(publishing.project, order)
    assert done.returncode == 0, said(done)
    assert publishing.is_there(name)


@twine_alone
@pytest.mark.parametrize("where", ["settings", "keyring"])
def test_a_token_that_is_kept(publishing: Publishing, name: str, where: str) -> None:
    """Where people keep their passwords: in ~/.pypirc, or where the desktop does."""
    publishing.make(name)
    token = publishing.site.token("--scope", name)
    tell = publishing.tool.as_configured if where == "settings" else publishing.tool.as_kept
    done = publishing.tool.publish(publishing.project, tell(publishing.project, token))
    assert done.returncode == 0, said(done)
    assert publishing.is_there(name)


@pytest.mark.usefixtures("changes_nothing")
@tools("twine", "pdm", "hatch", "flit")
def test_a_name_of_the_index_is_refused_with_the_way_out(publishing: Publishing, name: str) -> None:
    """Which is read to its end, however long the name."""
    theirs, body = make.wheel(name, "0.1")
    publishing.site.upstream.publish(name, theirs, body)
    publishing.make(name)
    read = publishing.fails(403)
    assert f"{name} exists at the index" in read
    assert f'private.reserved = ["{name}"] or private.claim = "allow".' in read
    assert list(publishing.site.listed(name)) == [theirs]


@tools("hatch")
def test_a_reserved_name_is_taken_and_the_index_not_asked(publishing: Publishing, name: str) -> None:
    """Though it has one of that name."""
    name = f"acme-{name}"
    publishing.site.upstream.publish(name, *make.wheel(name, "0.1"))
    publishing.make(name)
    publishing.works()
    assert publishing.is_there(name)
    assert publishing.site.upstream.asked(f"/simple/{name}") == []
