"""A closed index and tokens, with the real clients: wherever people keep a token, it opens pages, metadata and files.

The token is another user's every time, so that nothing a client remembers can stand in for it.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.administration import Action, CreateToken, Done, ListNames, RevokeTokens
from proxy.commands import users
from proxy.rights import Right
from proxy.web.control import asking

from .. import make
from ..daemon import Server, yizhan
from ..upstream_server import UpstreamServer, running_upstream
from .clients import Workstation, answered, fetch, said
from .publishing import Account, keep

CONFIG = """
[auth]
read = "users"
[[right]]
user = "ci"
names = ["acme-*"]
may = ["upload"]
[[right]]
user = "guest"
names = ["elsewhere"]
may = ["read"]
"""

PRIVATE = make.wheel("acme-sdk", "1.0", requires=("public",))
PUBLIC = make.wheel("public", "2.0")


@dataclass(frozen=True)
class House:
    """A closed server with acme-sdk in it, and an index behind it with public, and with somebody's acme-sdk."""

    server: Server
    data: Path
    upstream: UpstreamServer

    @property
    def place(self) -> str:
        """Host and port, as keyrings and URLs have them."""
        return self.server.url.removeprefix("http://").rstrip("/")

    def token(self, user: str, *scope: str, may: Right = "upload", lasts: float | None = None) -> str:
        done = self.perform(CreateToken(user=user, scope=scope, may=may, lasts=lasts))
        assert done.secret is not None
        return done.secret

    def perform(self, action: Action) -> Done:
        """As a command on the machine has it done, which takes a second to start."""

        async def performed() -> Done:
            async with asking(self.data / "state") as office:
                return await office.perform(action)

        return asyncio.run(performed())

    def with_user(self, user: str, password: str = "") -> str:
        """The index URL that holds them."""
        return f"http://{user}{password and ':'}{password}@{self.place}/simple/"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data, desk = tmp_path_factory.mktemp("data"), Workstation(tmp_path_factory.mktemp("desk"))
    with running_upstream() as upstream:
        upstream.publish("public", *PUBLIC, metadata=make.metadata("public", "2.0"))
        with yizhan(data, upstream=upstream.simple, config=CONFIG) as server:
            house = House(server, data, upstream)
            for user in ("ci", "guest"):
                users.add(data / "state" / "htpasswd", user, None)
            done = publish(desk, house, *PRIVATE, token=house.token("ci"))
            assert done.returncode == 0, said(done)
            upstream.publish("acme-sdk", *make.wheel("acme-sdk", "99.0"))
            yield house


def publish(
    desk: Workstation, house: House, filename: str, body: bytes, *, token: str, tool: str = "uv"
) -> subprocess.CompletedProcess[str]:
    """Publish a file with *token*, which stands in no command line."""
    folder = desk.folder / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / filename).write_bytes(body)
    url, file = f"{house.server.url}legacy/", str(folder / filename)
    if tool == "twine":
        who = {"TWINE_USERNAME": "__token__", "TWINE_PASSWORD": token}
        return desk.twine("upload", "--non-interactive", "--repository-url", url, file, environment=who, ok=False)
    who = {"UV_PUBLISH_TOKEN": token}
    return desk.uv("publish", "--trusted-publishing", "never", "--publish-url", url, file, environment=who, ok=False)


Installed = tuple[list[str], Mapping[str, str]]
"""The options that name the index, and the environment."""


def in_the_url(_desk: Workstation, house: House, token: str) -> Installed:
    return [house.with_user("__token__", token)], {}


def as_the_name_alone(_desk: Workstation, house: House, token: str) -> Installed:
    return [house.with_user(token)], {}


def in_netrc(desk: Workstation, house: House, token: str) -> Installed:
    netrc = desk.home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login ci password {token}\n")
    netrc.chmod(0o600)
    return [house.server.simple], {}


def in_a_keyring(desk: Workstation, house: House, token: str) -> Installed:
    known = keep(desk, Account(url=house.place, user="ci", password=token))
    return [house.with_user("ci"), "--keyring-provider", "subprocess"], known


def in_the_environment(_desk: Workstation, house: House, token: str) -> Installed:
    who = {"UV_INDEX_CORP_USERNAME": "__token__", "UV_INDEX_CORP_PASSWORD": token}
    return [f"corp={house.server.simple}"], who


def install(
    client: str, desk: Workstation, words: list[str], environment: Mapping[str, str], *, ok: bool = True
) -> subprocess.CompletedProcess[str]:
    if client == "pip":
        return desk.pip("install", "-i", *words, "acme-sdk", environment=environment, ok=ok)
    return desk.uv("pip", "install", "--default-index", *words, "acme-sdk", environment=environment, ok=ok)


@pytest.mark.parametrize(
    ("client", "kept"),
    [
        ("pip", in_the_url),
        ("pip", in_netrc),
        ("pip", in_a_keyring),
        ("uv", in_the_url),
        ("uv", as_the_name_alone),
        ("uv", in_netrc),
        ("uv", in_a_keyring),
        ("uv", in_the_environment),
    ],
)
def test_a_token_opens_the_index_wherever_it_is_kept(
    client: str, kept: Callable[[Workstation, House, str], Installed], house: House, desk: Workstation
) -> None:
    """Pages, metadata and files, of private projects and public ones (rules 76 to 79)."""
    is_old = client == "pip" and "--keyring-provider" not in desk.pip("install", "--help").stdout
    if is_old and kept is in_a_keyring:
        pytest.skip("this pip has no --keyring-provider, which came with 23.1")
    token = house.token("ci", "acme-*", may="read")
    before = len(answered(house.server))
    install(client, desk, *kept(desk, house, token))
    assert (desk.version("acme-sdk"), desk.version("public")) == ("1.0", "2.0")
    asked = answered(house.server)[before:]
    # Some ask without it first: then it is 401 and never 404, or they would not look for it.
    assert {access.status for access in asked if access.user == "-"} <= {401}
    reads = [access for access in asked if access.user != "-"]
    assert {access.user for access in reads} == {f"ci:{token.split('_')[1]}"}
    assert {access.status for access in reads} <= {200, 206}
    for filename, _ in (PRIVATE, PUBLIC):
        # Before 23.1, pip knew no name of the metadata's key that an index may use.
        for end in (filename,) if is_old else (filename, f"{filename}.metadata"):
            assert any(access.target.endswith(f"/{end}") for access in reads), end
    assert not any(token.rpartition("_")[2] in line for line in house.server.lines)


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_a_token_that_was_revoked_opens_nothing_any_more(client: str, house: House, desk: Workstation) -> None:
    token = house.token("ci")
    house.perform(RevokeTokens(ids=(token.split("_")[1],)))
    before = len(answered(house.server))
    refused = install(client, desk, *in_the_url(desk, house, token), ok=False)
    assert refused.returncode != 0
    asked = answered(house.server)[before:]
    assert {(access.user, access.status) for access in asked} == {("-", 401)}
    # Asked once for each that it needs, and not again and again.
    assert len(asked) <= 4


def test_a_private_name_that_uv_may_not_read_is_not_taken_from_the_next_index(house: House, desk: Workstation) -> None:
    """Somebody's acme-sdk 99.0 waits there: over a 404, uv would go on to it (rules 77 and 79)."""
    token = house.token("guest")
    ours = f"corp={house.with_user('__token__', token)}"
    refused = desk.uv("pip", "install", "--index", ours, "--default-index", house.upstream.simple, "acme-sdk", ok=False)
    assert refused.returncode != 0
    assert "403" in said(refused)
    assert desk.execute("from importlib.util import find_spec; print(find_spec('acme_sdk'))") == "None"
    # And what is public is read with it.
    desk.uv("pip", "install", "--default-index", ours, "public")


@pytest.mark.parametrize("tool", ["twine", "uv"])
def test_a_token_publishes_what_it_is_for_and_a_person_reads_why_it_does_no_more(
    tool: str, house: House, desk: Workstation
) -> None:
    name = f"acme-by-{tool}"
    for token, status, says in (
        (house.token("ci", "acme-sdk"), 403, f"This token of user 'ci' isn't allowed to upload to project '{name}'"),
        (house.token("ci", may="read"), 403, f"This token of user 'ci' isn't allowed to upload to project '{name}'"),
        (house.token("guest"), 403, f"The user 'guest' isn't allowed to upload to project '{name}'"),
        (f"yzn_{'0' * 12}_{'0' * 64}", 401, "or the token is not valid any more"),
        (house.token("ci", "acme-*", lasts=3600), 200, ""),
    )[0 if tool == "uv" else 2 :]:
        done = publish(desk, house, *make.wheel(name, "1.0"), token=token, tool=tool)
        assert (done.returncode == 0) == (status == 200), said(done)
        assert says in " ".join(said(done).split())
        assert token not in said(done)
        assert answered(house.server)[-1].status == status
        names = {known.name for known in house.perform(ListNames()).names or ()}
        assert (name in names) == (status == 200)
        assert not any(token.rpartition("_")[2] in line for line in house.server.lines)


def test_a_probe_for_trusted_publishing_is_answered_at_once(house: House) -> None:
    """Closed or not, with what its reader takes for a no (rule 82)."""
    with yizhan(house.data / "open") as server, pytest.raises(OSError, match="404"):
        fetch(f"{server.url}_/oidc/audience")
    with pytest.raises(OSError, match="401"):
        fetch(f"{house.server.url}_/oidc/audience")
