"""What operators do with a private project, and what pip, uv, twine and uv publish make of it from then on.

The index behind has a version 99.0 of each name, which none of them may ever install.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from packaging.utils import canonicalize_name

from .. import make
from ..daemon import Server, yizhan
from ..upstream_server import UpstreamServer, running_upstream
from .clients import Workstation, fetch, operate, said

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}

REASON = 'It eats 文件: see <ticket "7">'

RIGHTS = """
[[right]]
user = "yizhan"
may = ["upload"]

[[right]]
user = "wang"
names = ["acme-*"]
may = ["admin"]

[[right]]
user = "li"
names = ["docs-*"]
may = ["admin"]
"""
"""The first uploads in these tests."""

APPLICATION = """\
[project]
name = "application"
version = "1"
requires-python = ">=3.11"
dependencies = ["{name}"]

[tool.uv]
package = false
"""


@dataclass(frozen=True)
class Site:
    """The server, the index behind it, and the operator's own commands."""

    server: Server
    upstream: UpstreamServer
    data: Path
    users: Mapping[str, str]
    """Name to password."""

    def user(self, name: str = "yizhan") -> tuple[str, str]:
        """Name and password."""
        return name, self.users[name]

    def operate(self, *words: str, ok: bool = True) -> str:
        """What a command prints."""
        return said(operate(self.data, *words, ok=ok))

    def page(self, name: str) -> Any:
        return json.loads(fetch(f"{self.server.simple}{name}/", JSON))

    def link(self, name: str, filename: str) -> str:
        """Where the page says that a file stands."""
        (found,) = [file["url"] for file in self.page(name)["files"] if file["filename"] == filename]
        return f"{self.server.url}{found.removeprefix('../../')}"

    def mentions(self, name: str) -> list[str]:
        """What the index behind was asked about *name*, in whatever spelling."""
        return [request.path for request in self.upstream.log if name in canonicalize_name(request.path)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests, each with a name of its own."""
    data = tmp_path_factory.mktemp("data")
    # Before it starts: a running server looks at its users once a second.
    made = {name: operate(data, "user", "add", name, "--password", "new") for name in ("yizhan", "wang", "li")}
    users = {name: done.stdout.strip() for name, done in made.items()}
    with running_upstream() as upstream, yizhan(data, upstream=upstream.simple, config=RIGHTS) as server:
        yield Site(server, upstream, data, users)


@dataclass(frozen=True)
class Team:
    """Who publishes with twine or uv, and who installs with pip or uv; their caches are never emptied."""

    publisher: str
    installer: str
    site: Site
    desk: Workstation

    def begin(self, project: str, *versions: str) -> str:
        """Have a private name, which the index behind has too, and publish *versions* of it."""
        name = f"acme-{project}-by-{self.installer}"
        self.site.upstream.publish(name, *make.wheel(name, "99.0"))
        self.site.operate("names", "reserve", name)
        if versions:
            self.publish(*(make.wheel(name, version) for version in versions))
        return name

    def publish(self, *files: tuple[str, bytes], ok: bool = True) -> str:
        """What the tool says to it, on one line."""
        folder = self.desk.folder / "dist"
        folder.mkdir(exist_ok=True)
        for filename, body in files:
            (folder / filename).write_bytes(body)
        url, paths = f"{self.site.server.url}legacy/", [str(folder / filename) for filename, _ in files]
        user, password = self.site.user()
        who = ["-u", user, "-p", password]
        if self.publisher == "twine":
            done = self.desk.twine("upload", "--non-interactive", "--repository-url", url, *who, *paths, ok=ok)
        else:
            words = ["publish", "--trusted-publishing", "never", "--publish-url", url, *who]
            done = self.desk.uv(*words, *paths, ok=ok)
        assert (done.returncode == 0) == ok, said(done)
        return " ".join(said(done).split())

    def install(self, requirement: str, *, ok: bool = True) -> str:
        """What the tool says to it."""
        words = ["install", "--no-deps", requirement]
        if self.installer == "pip":
            done = self.desk.pip(*words, "--force-reinstall", "--index-url", self.site.server.simple, ok=ok)
        else:
            done = self.desk.uv("pip", *words, "--reinstall", "--default-index", self.site.server.simple, ok=ok)
        assert (done.returncode == 0) == ok, said(done)
        return said(done)

    def gets(self, name: str) -> str:
        """The version that is installed when any would do."""
        self.install(name)
        return self.desk.version(name)

    def is_told_that_there_is_none(self, requirement: str) -> bool:
        wanted = "No matching distribution found" if self.installer == "pip" else "No solution found"
        return wanted in self.install(requirement, ok=False)


@pytest.fixture(params=["twine-pip", "uv-uv"])
def team(request: pytest.FixtureRequest, site: Site, desk: Workstation) -> Team:
    publisher, _, installer = request.param.partition("-")
    return Team(publisher, installer, site, desk)


with_twine = pytest.mark.parametrize("team", ["twine-uv"], indirect=True)
"""What an uploader reads, and twine shows the least of it."""


def test_a_yank_counts_at_once_and_its_reason_is_read(team: Team) -> None:
    name = team.begin("yank", "1.0", "1.1")
    assert team.gets(name) == "1.1"
    team.site.operate("yank", name, "1.1", "--reason", REASON)
    assert team.gets(name) == "1.0"
    assert team.is_told_that_there_is_none(f"{name}>1.0")
    # Whoever asks for just that version gets it, and reads why not to.
    assert REASON in team.install(f"{name}==1.1")
    assert team.desk.version(name) == "1.1"
    team.site.operate("unyank", name, "1.1")
    assert team.gets(name) == "1.1"
    assert REASON not in team.install(f"{name}==1.1")
    assert team.site.mentions(name) == []


def test_a_deleted_file_is_gone_at_once_and_its_filename_with_it(team: Team) -> None:
    name = team.begin("delete", "1.0", "1.1")
    filename, body = make.wheel(name, "1.1")
    link = team.site.link(name, filename)
    assert f"would delete: {filename}" in team.site.operate("delete", name, "1.1")
    assert team.gets(name) == "1.1"
    team.site.operate("delete", name, "1.1", "--yes")
    assert team.gets(name) == "1.0"
    assert team.is_told_that_there_is_none(f"{name}==1.1")
    for gone in (link, f"{link}.metadata"):
        with pytest.raises(HTTPError, match="404"):
            fetch(gone)
    used_up = "This filename was previously used by a file that has since been deleted. Use a different version."
    assert used_up in team.publish((filename, body), ok=False)
    team.site.operate("names", "readmit", filename, "--yes")
    team.publish(make.wheel(name, "1.1", payload=b"other"))
    # The very file, and not what either tool has kept of the one before.
    team.install(f"{name}==1.1")
    module = name.replace("-", "_")
    assert team.desk.execute(f"import {module} as m; print(open(m.__path__[0] + '/payload.bin').read())") == "other"
    assert team.site.mentions(name) == []


def test_a_private_name_without_files_installs_nothing_until_it_is_released(team: Team) -> None:
    reserved, emptied = team.begin("reserved"), f"acme-emptied-by-{team.installer}"
    team.publish(make.wheel(emptied, "1.0"))
    team.site.upstream.publish(emptied, *make.wheel(emptied, "99.0"))
    asked = team.site.mentions(emptied)
    assert asked == [f"/simple/{emptied}/"]  # once, before it was anybody's (decision 4)
    assert team.gets(emptied) == "1.0"
    team.site.operate("delete", emptied, "--yes")
    for name in (reserved, emptied):
        assert team.is_told_that_there_is_none(name)
    assert (team.site.mentions(reserved), team.site.mentions(emptied)) == ([], asked)
    assert "--yes" in team.site.operate("names", "release", emptied, ok=False)
    assert team.site.page(emptied)["files"] == []
    team.site.operate("names", "release", emptied, "--yes")
    assert team.gets(emptied) == "99.0"
    assert team.site.mentions(emptied) != asked
    # Its neighbour is as private as it was.
    assert team.is_told_that_there_is_none(reserved)
    assert team.site.mentions(reserved) == []


def test_a_quarantined_project_gives_nothing_out_and_says_why(team: Team) -> None:
    name = team.begin("quarantine", "1.0")
    assert team.gets(name) == "1.0"
    link = team.site.link(name, make.wheel(name, "1.0")[0])
    team.site.operate("project", name, "quarantined", "--reason", "see ticket 7")
    assert team.is_told_that_there_is_none(name)
    page = team.site.page(name)
    assert (page["files"], page["project-status"]) == ([], {"status": "quarantined", "reason": "see ticket 7"})
    # Neither tool shows what a page says of its project; both show why a file that is named is not to be had.
    assert f"403 {name} is quarantined (see ticket 7)" in team.install(f"{name} @ {link}", ok=False).replace(
        "403 Client Error: ", "403 "
    )
    refused = team.publish(make.wheel(name, "1.1"), ok=False)
    assert f"{name} is quarantined (see ticket 7): no file is taken until an operator makes it active." in refused
    team.site.operate("project", name, "active")
    assert team.gets(name) == "1.0"
    assert team.site.mentions(name) == []


@with_twine
def test_an_archived_project_is_installed_and_takes_no_uploads(team: Team) -> None:
    name = team.begin("archive", "1.0")
    team.site.operate("project", name, "archived", "--reason", "use acme-new")
    refused = team.publish(make.wheel(name, "1.1"), ok=False)
    assert f"{name} is archived (use acme-new): no file is taken until an operator makes it active." in refused
    assert team.gets(name) == "1.0"
    team.site.operate("project", name, "deprecated", "--reason", "use acme-new")
    team.publish(make.wheel(name, "1.1"))
    assert team.gets(name) == "1.1"


@with_twine
def test_a_name_that_can_be_taken_for_another_needs_an_operators_word(team: Team) -> None:
    """Which the uploader reads, letter by letter (decision 7)."""
    name = team.begin("billing", "1.0")
    similar = name.replace("billing", "bi1l-ing")
    team.site.upstream.publish(similar, *make.wheel(similar, "99.0"))
    refused = team.publish(make.wheel(similar, "1.0"), ok=False)
    assert f"{similar} is too easily taken for {name}, which is private here." in refused
    way_out = re.search(r"yizhan (names reserve \S+ --confusable)", refused)
    assert way_out is not None
    team.site.operate(*way_out[1].split())
    team.publish(make.wheel(similar, "1.0"))
    assert team.gets(similar) == "1.0"
    assert team.site.mentions(similar) == []


@with_twine
def test_a_public_name_becomes_private_by_an_operators_word_alone(team: Team) -> None:
    name = f"acme-public-by-{team.installer}"
    team.site.upstream.publish(name, *make.wheel(name, "99.0"))
    assert team.gets(name) == "99.0"
    refused = team.publish(make.wheel(name, "1.0"), ok=False)
    assert f"{name} exists at the index" in refused
    assert "An operator allows it with yizhan names reserve" in refused
    team.site.operate("names", "reserve", name)
    asked = team.site.mentions(name)
    # What was fetched of it before is out of reach, too.
    assert team.is_told_that_there_is_none(name)
    team.publish(make.wheel(name, "1.0"))
    assert team.gets(name) == "1.0"
    assert team.is_told_that_there_is_none(f"{name}==99.0")
    assert team.site.mentions(name) == asked


def test_a_lock_keeps_what_was_yanked_and_a_new_one_passes_it_by(site: Site, desk: Workstation, tmp_path: Path) -> None:
    team = Team("uv", "uv", site, desk)
    name = team.begin("locked", "1.0", "1.1")
    (tmp_path / "pyproject.toml").write_text(APPLICATION.format(name=name))
    index = ["--default-index", site.server.simple]
    environment = {"UV_PROJECT_ENVIRONMENT": str(desk.folder / "venv")}

    def sync(*, ok: bool = True) -> str:
        """What uv says that installs the lock at a desk that was never used."""
        desk.set_up()
        return said(desk.uv("sync", "--frozen", folder=tmp_path, environment=environment, ok=ok))

    desk.uv("lock", *index, folder=tmp_path)
    site.operate("yank", name, "1.1", "--reason", REASON)
    desk.uv("lock", *index, folder=tmp_path)
    sync()
    assert desk.version(name) == "1.1"
    compiled = desk.uv("pip", "compile", "pyproject.toml", *index, folder=tmp_path).stdout
    assert f"{name}==1.0\n" in compiled
    site.operate("delete", name, "1.1", "--yes")
    assert "404" in sync(ok=False)
    desk.uv("lock", "--upgrade", *index, folder=tmp_path)
    sync()
    assert desk.version(name) == "1.0"
    assert site.mentions(name) == []


def ask(site: Site, action: str, user: tuple[str, str], **fields: Any) -> tuple[int, Any]:
    """What POST /-/api/<action> answers to *user*: a status, and JSON."""
    login = base64.b64encode(":".join(user).encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    request = Request(f"{site.server.url}-/api/{action}", json.dumps(fields).encode(), headers)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_who_has_the_right_yanks_and_deletes_over_http_and_nobody_else(site: Site, desk: Workstation) -> None:
    team = Team("uv", "uv", site, desk)
    name = team.begin("remote", "1.0", "1.1", "1.2")
    uploader, wang, li = map(site.user, ("yizhan", "wang", "li"))
    filenames = {version: make.wheel(name, version)[0] for version in ("1.1", "1.2")}
    # Who may do it elsewhere may not here, and who may upload here may not delete.
    for action, user, deed in (
        ("yank", li, "upload to"),
        ("unyank", li, "upload to"),
        ("delete", li, "change"),
        ("delete", uploader, "change"),
        ("status", uploader, "change"),
    ):
        told: dict[str, dict[str, Any]] = {"status": {"status": "archived"}, "delete": {"dry_run": False}}
        fields = told.get(action, {"version": "1.2"})
        status, answer = ask(site, action, user, project=name, **fields)
        assert (status, answer["message"]) == (403, f"The user {user[0]!r} isn't allowed to {deed} project {name!r}.")
    assert ask(site, "delete", ("wang", "a guess"), project=name, dry_run=False)[0] == 401
    assert team.gets(name) == "1.2"
    answer = ask(site, "yank", wang, project=name, version="1.2", reason=REASON)
    assert answer == (200, {"project": name, "files": [filenames["1.2"]]})
    assert team.gets(name) == "1.1"
    assert REASON in team.install(f"{name}==1.2")
    would = ask(site, "delete", wang, project=name, version="1.1")
    assert would == (200, {"project": name, "files": [filenames["1.1"]], "dry_run": True})
    assert team.gets(name) == "1.1"
    assert ask(site, "delete", wang, project=name, version="1.1", dry_run=False)[0] == 200
    assert team.gets(name) == "1.0"
    # An uploader takes back what she may have published by mistake.
    assert ask(site, "unyank", uploader, project=name, version="1.2")[0] == 200
    assert team.gets(name) == "1.2"


def test_commands_count_whether_the_server_runs_or_not(
    upstream: UpstreamServer, desk: Workstation, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with yizhan(data, upstream=upstream.simple) as server:
        team = Team("uv", "uv", Site(server, upstream, data, {server.user: server.password}), desk)
        name = team.begin("stopped", "1.0", "1.1", "1.2")
        assert team.gets(name) == "1.2"
        assert server.stop() == 0
    new = "acme-reserved-meanwhile"
    upstream.publish(new, *make.wheel(new, "99.0"))
    operate(data, "yank", name, "1.2", "--reason", REASON)
    operate(data, "delete", name, "1.1", "--yes")
    operate(data, "names", "reserve", new)
    listed = json.loads(operate(data, "names", "list", "--json").stdout)["names"]
    assert [(one["name"], one["state"], one["files"]) for one in listed] == [(new, "reserved", 0), (name, "private", 2)]
    with yizhan(data, upstream=upstream.simple) as server:
        for installer in ("pip", "uv"):
            team = Team("uv", installer, Site(server, upstream, data, {}), desk)
            assert team.gets(name) == "1.0"
            assert team.is_told_that_there_is_none(new)
        assert REASON in team.install(f"{name}==1.2")
        assert team.is_told_that_there_is_none(f"{name}==1.1")
    assert team.site.mentions("acme") == []
