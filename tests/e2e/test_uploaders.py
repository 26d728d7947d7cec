"""twine and uv publish, at every address that takes uploads, with everything that can be wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .. import make
from ..daemon import Server, yizhan
from ..upstream_server import UpstreamServer
from .clients import Workstation, answered, fetch, said
from .relay import relay

TOOLS = ("twine", "uv")

STRANGER = "X-Forwarded-For: 203.0.113.9\r\n"
"""What a reverse proxy says of a client on the internet (an address of RFC 5737)."""


@dataclass(frozen=True)
class Uploader:
    """One of the tools, at somebody's desk."""

    tool: str
    desk: Workstation

    def upload(
        self, url: str, *files: Path, user: tuple[str, str] | None, ok: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Upload *files* to *url* with the name and password of *user*, if there is one."""
        name, password = user or ("", "")
        if self.tool == "twine":
            # Without any, twine alone would not even ask.
            words = ["--non-interactive", "--repository-url", url, "-u", name, "-p", password]
            return self.desk.twine("upload", *words, *map(str, files), ok=ok)
        words = ["--publish-url", url, "--trusted-publishing", "never"]
        if user is not None:
            words += ["-u", name, "-p", password]
        return self.desk.uv("publish", *words, *map(str, files), ok=ok)


@pytest.fixture(params=TOOLS)
def uploader(request: pytest.FixtureRequest, desk: Workstation) -> Uploader:
    return Uploader(request.param, desk)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that upload names of their own."""
    with yizhan(tmp_path_factory.mktemp("server")) as running:
        yield running


def wheel(folder: Path, name: str, *, payload: bytes = b"") -> Path:
    """The file of a wheel; *payload* makes it another one of the same name."""
    return _written(folder, *make.wheel(name, "1.0", payload=payload))


def sdist(folder: Path, name: str, *, requires: tuple[str, ...] = ()) -> Path:
    return _written(folder, *make.sdist(name, "1.0", requires=requires))


def _written(folder: Path, filename: str, body: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / filename).write_bytes(body)
    return folder / filename


def user_of(server: Server) -> tuple[str, str]:
    """The first user, who was made and printed."""
    return server.user, server.password


def statuses(server: Server, since: int) -> list[int]:
    """The answers to uploads, but for those before number *since*."""
    return [access.status for access in answered(server) if access.method == "POST"][since:]


@pytest.mark.parametrize("place", ["", "legacy/", "legacy"])
def test_files_are_taken_once_and_never_change(uploader: Uploader, server: Server, place: str, tmp_path: Path) -> None:
    name = f"{uploader.tool}-at-{place.replace('/', '-slash') or 'root'}"
    url, user = server.url + place, user_of(server)
    since = len(statuses(server, 0))
    files = [wheel(tmp_path, name), sdist(tmp_path, name)]
    uploader.upload(url, *files, user=user)
    assert statuses(server, since) == [200, 200]
    page = fetch(f"{server.simple}{name}/").decode()
    assert [f">{file.name}</a>" in page for file in files] == [True, True]
    # The same bytes again: fine, so that a broken job can be run once more.
    uploader.upload(url, *files, user=user)
    assert statuses(server, since) == [200, 200, 200, 200]
    for other in (wheel(tmp_path / "other", name, payload=b"more"), sdist(tmp_path / "other", name, requires=("x",))):
        refused = uploader.upload(url, other, user=user, ok=False)
        assert refused.returncode != 0
        assert "File already exists" in said(refused)
    assert statuses(server, since) == [200, 200, 200, 200, 400, 400]
    assert fetch(f"{server.simple}{name}/").decode() == page


def test_wrong_credentials_are_told_as_such(uploader: Uploader, server: Server, tmp_path: Path) -> None:
    name = f"{uploader.tool}-with-a-wrong-user"
    since, file = len(statuses(server, 0)), wheel(tmp_path, name)
    for user in ((server.user, "a guess"), ("nobody", server.password)):
        refused = uploader.upload(server.url, file, user=user, ok=False)
        assert refused.returncode != 0
        assert "401" in said(refused)
        assert "The user name or the password is wrong, or the token is not valid any more." in said(refused)
    assert statuses(server, since) == [401, 401]
    # Nobody has claimed the name.
    assert f'href="{name}/"' not in fetch(server.simple).decode()


def test_missing_credentials_are_told_as_such(desk: Workstation, server: Server, tmp_path: Path) -> None:
    """By twine; uv sends nothing then, and says so."""
    since, file = len(statuses(server, 0)), wheel(tmp_path, "without-a-user")
    refused = Uploader("twine", desk).upload(server.url, file, user=None, ok=False)
    assert refused.returncode != 0
    assert "401 Unauthorized" in said(refused)
    assert "This needs a user name and a password, or a token." in said(refused)
    assert "Missing credentials" in said(Uploader("uv", desk).upload(server.url, file, user=None, ok=False))
    assert statuses(server, since) == [401]


def test_where_anyone_may_upload_credentials_do_not_matter(uploader: Uploader, tmp_path: Path) -> None:
    """Both tools send what they have stored for the host, and uv cannot do without."""
    with yizhan(tmp_path / "data", config='[auth]\nupload = "anyone"\n') as server:
        uploader.upload(server.url, wheel(tmp_path, "demo"), user=("whoever", "whatever"))
        assert ">demo-1.0-py3-none-any.whl</a>" in fetch(f"{server.simple}demo/").decode()


def test_who_sends_megabytes_for_nothing_gets_to_read_why(uploader: Uploader, server: Server, tmp_path: Path) -> None:
    """Answered before the body is read, and not with a broken pipe (decision 32)."""
    file = wheel(tmp_path, f"{uploader.tool}-big", payload=bytes(12_000_000))
    refused = uploader.upload(server.url, file, user=("nobody", "a guess"), ok=False)
    assert "The user name or the password is wrong, or the token is not valid any more." in said(refused)


def test_a_name_of_the_index_is_refused_with_the_way_out(
    uploader: Uploader, upstream: UpstreamServer, tmp_path: Path
) -> None:
    upstream.publish("taken", *make.wheel("taken", "0.1"))
    file, data = wheel(tmp_path, "taken"), tmp_path / "data"
    with yizhan(data, upstream=upstream.simple) as server:
        user = user_of(server)
        refused = uploader.upload(server.url, file, user=user, ok=False)
        assert refused.returncode != 0
        assert "403" in said(refused)
        assert 'private.claim = "allow"' in said(refused)
        assert 'private.reserved = ["taken"]' in said(refused)
        assert ">taken-0.1-py3-none-any.whl</a>" in fetch(f"{server.simple}taken/").decode()
        assert server.stop() == 0
    # The way out is one.
    with yizhan(data, upstream=upstream.simple, config='[private]\nreserved = ["taken"]\n') as server:
        uploader.upload(server.url, file, user=user)
        assert ">taken-1.0-py3-none-any.whl</a>" in fetch(f"{server.simple}taken/").decode()


def test_what_hatch_asks_first_is_answered_from_private_files_alone(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    """Its file's name is about to become private: no index is asked, and none can make it leave the file out."""
    upstream.publish("theirs", *make.wheel("theirs", "1.0"))
    file = wheel(tmp_path, "ours")
    with yizhan(tmp_path / "data", upstream=upstream.simple) as server:
        Uploader("twine", desk).upload(server.url, file, user=user_of(server))
        for place in ("+simple/", "legacy//%2Bsimple/"):
            assert f">{file.name}</a>" in fetch(f"{server.url}{place}ours/").decode()
            assert fetch(f"{server.url}{place}theirs/") == b""
    assert upstream.asked("/simple/theirs") == []


def test_uv_that_looks_first_publishes_where_reading_is_for_users(desk: Workstation, tmp_path: Path) -> None:
    """It may not look without a user, and takes that for a name that nobody has (rule U11)."""
    file = wheel(tmp_path, "demo")
    with yizhan(tmp_path / "data", config='[auth]\nread = "users"\n') as server:
        words = ["--publish-url", server.url, "--check-url", server.simple, "--trusted-publishing", "never"]
        words += ["-u", server.user, "-p", server.password, str(file)]
        for _ in range(2):
            desk.uv("publish", *words)
        other = wheel(tmp_path / "other", "demo", payload=b"more")
        refused = desk.uv("publish", *words[:-1], str(other), ok=False)
        assert refused.returncode != 0
        assert "File already exists" in said(refused)
        assert set(statuses(server, 0)) == {200, 400}


def test_a_name_of_which_the_index_cannot_tell_is_refused_too(
    uploader: Uploader, upstream: UpstreamServer, tmp_path: Path
) -> None:
    upstream.fault("/", status=500)
    with yizhan(tmp_path / "data", upstream=upstream.simple) as server:
        user = user_of(server)
        refused = uploader.upload(server.url, wheel(tmp_path, "perhaps"), user=user, ok=False)
        assert "403" in said(refused)
        assert "could not be asked" in said(refused)


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_where_reading_is_for_users_the_index_url_carries_them(
    client: str, desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    """To the index, the files and their metadata, of private and of public projects."""
    filename, body = make.wheel("public", "2.0")
    metadata = make.metadata("public", "2.0")
    upstream.publish("public", filename, body, metadata=metadata)
    private = _written(tmp_path, *make.wheel("secret", "1.0", requires=("public",)))
    with yizhan(tmp_path / "data", upstream=upstream.simple, config='[auth]\nread = "users"\n') as server:
        Uploader("twine", desk).upload(server.url, private, user=user_of(server))
        with_user = server.simple.replace("://", f"://{server.user}:{server.password}@")

        def install(url: str, *, ok: bool) -> subprocess.CompletedProcess[str]:
            if client == "pip":
                return desk.pip("install", "-i", url, "secret", ok=ok)
            return desk.uv("pip", "install", "--default-index", url, "secret", ok=ok)

        assert install(server.simple, ok=False).returncode != 0
        refused = answered(server)[1:]
        assert {(access.user, access.status) for access in refused} == {("-", 401)}
        install(with_user, ok=True)
        assert (desk.version("secret"), desk.version("public")) == ("1.0", "2.0")
        reads = [access for access in answered(server)[1 + len(refused) :] if access.status != 401]
    assert {access.user for access in reads} == {server.user}
    assert {access.status for access in reads} <= {200, 206}
    got = {access.target.rpartition("/packages/")[2].partition("/")[2] for access in reads}
    for file in (private.name, filename):
        assert any(target.endswith(f"/{file}") for target in got)
        assert any(target.endswith(f"/{file}.metadata") for target in got)


def test_passwords_are_not_taken_from_the_internet_over_clear_http(uploader: Uploader, tmp_path: Path) -> None:
    file = wheel(tmp_path, "abroad")
    config = '[server]\ntrusted_proxies = ["127.0.0.1/32"]\n'
    with yizhan(tmp_path / "data", config=config) as server:
        user = user_of(server)
        with relay(server.url, headers=STRANGER) as clear:
            refused = uploader.upload(clear.url, file, user=user, ok=False)
            assert "403" in said(refused)
            assert "Passwords and tokens are not taken over plain http" in said(refused)
        with relay(server.url, headers=STRANGER + "X-Forwarded-Proto: https\r\n") as secured:
            uploader.upload(secured.url, file, user=user)
        assert statuses(server, 0) == [403, 200]


@pytest.mark.parametrize(
    ("setting", "address", "status"),
    [("never", "10.0.0.9", 403), ("private-networks", "10.0.0.9", 200), ("always", "203.0.113.9", 200)],
)
def test_an_operator_says_from_where_clear_passwords_are_taken(
    setting: str, address: str, status: int, desk: Workstation, tmp_path: Path
) -> None:
    config = f'[server]\ntrusted_proxies = ["127.0.0.1/32"]\n[auth]\nclear_http = "{setting}"\n'
    with (
        yizhan(tmp_path / "data", config=config) as server,
        relay(server.url, headers=f"X-Forwarded-For: {address}\r\n") as clear,
    ):
        Uploader("twine", desk).upload(clear.url, wheel(tmp_path, "demo"), user=user_of(server), ok=status == 200)
        assert statuses(server, 0) == [status]
