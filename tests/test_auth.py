"""web/auth.py: who may read and upload, over which line, and what a refusal says."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import bcrypt
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from aiohttp_basicauth import BasicAuthMiddleware
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Forbidden, NotSignedIn
from proxy.web.auth import Auth, challenge_headers
from proxy.web.htpasswd import Htpasswd
from proxy.web.peers import Peers

Client = TestClient[web.Request, web.Application]
Start = Callable[[Auth], Awaitable[Client]]

CHALLENGE = 'Basic realm="yizhan", charset="UTF-8"'
STRANGER = {"X-Forwarded-For": "203.0.113.9"}
COLLEAGUE = {"X-Forwarded-For": "192.168.1.20"}
OVER_TLS = {"X-Forwarded-Proto": "https"}

BEHIND_PROXY = Peers((ip_network("127.0.0.0/8"),))
"""The test client plays the operator's proxy."""


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Htpasswd]:
    path = tmp_path / "htpasswd"
    lines = [("ann", "secret"), ("zoë", "pä:ss")]
    path.write_text("".join(f"{n}:{bcrypt.hashpw(p.encode(), bcrypt.gensalt(4)).decode()}\n" for n, p in lines))
    found = Htpasswd(path)
    yield found
    found.close()


@pytest.fixture
def start(aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> Start:
    """A client of a server that tells who reads (GET) or uploads (POST), and answers errors as ours does."""

    async def started(auth: Auth) -> Client:
        async def who(request: web.Request) -> web.Response:
            try:
                upload = request.method == "POST"
                user = await auth.user_for_upload(request) if upload else await auth.user_for_reading(request)
            except NotSignedIn as error:
                return web.Response(status=401, text=str(error), headers=challenge_headers())
            except Forbidden as error:
                return web.Response(status=403, text=str(error))
            return web.json_response(user)

        app = web.Application()
        app.router.add_route("*", "/", who)
        return await aiohttp_client(app)

    return started


def basic(user: str, password: str, encoding: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()}


async def told(response: ClientResponse) -> tuple[int, str]:
    return response.status, await response.text()


async def test_an_upload_needs_a_user_and_tells_who_it_was(start: Start, users: Htpasswd) -> None:
    client = await start(Auth(users, Peers()))
    assert await told(await client.post("/")) == (401, "This needs a user name and a password.")
    assert await told(await client.post("/", headers=basic("ann", "secret"))) == (200, '"ann"')
    assert await told(await client.post("/", headers=basic("ann", "wrong"))) == (
        401,
        "The user name or the password is wrong.",
    )


async def test_a_401_does_not_tell_whether_the_user_exists(start: Start, users: Htpasswd) -> None:
    client = await start(Auth(users, Peers()))
    known, unknown = [await client.post("/", headers=basic(name, "wrong")) for name in ("ann", "bob")]
    assert await told(known) == await told(unknown)
    assert known.status == 401
    assert {*known.headers} == {*unknown.headers}


async def test_every_401_carries_the_challenge(start: Start, users: Htpasswd) -> None:
    client = await start(Auth(users, Peers()))
    for headers in ({}, basic("ann", "wrong")):
        assert (await client.post("/", headers=headers)).headers["WWW-Authenticate"] == CHALLENGE


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic é",
        "Bearer abc",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Basic " + base64.b64encode(b":").decode(),
        "Basic " + base64.b64encode(b"ann:").decode(),
        "Basic " + base64.b64encode(b":secret").decode(),
        "Basic " + base64.b64encode(b"ann:sec\0ret").decode(),
        "Basic " + base64.b64encode(b"ann:\xff\xfe").decode(),
        "Basic " + base64.b64encode(b"ann:" + b"x" * 73).decode(),
        "Basic " + base64.b64encode(b"ann:" + b"x" * 5000).decode(),
        "Basic " + base64.b64encode(b"__token__:secret").decode(),
    ],
)
async def test_credentials_that_cannot_be_read_are_wrong_and_no_more(
    start: Start, users: Htpasswd, header: str
) -> None:
    client = await start(Auth(users, Peers(), read="users"))
    for method in ("GET", "POST"):
        assert (await client.request(method, "/", headers={"Authorization": header})).status == 401


async def test_the_scheme_is_read_in_any_case(start: Start, users: Htpasswd) -> None:
    client = await start(Auth(users, Peers()))
    value = basic("ann", "secret")["Authorization"].replace("Basic", "bAsIc")
    assert (await client.post("/", headers={"Authorization": value})).status == 200


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
async def test_names_and_passwords_beyond_ascii_arrive_whole(start: Start, users: Htpasswd, encoding: str) -> None:
    client = await start(Auth(users, Peers()))
    response = await client.post("/", headers=basic("zoë", "pä:ss", encoding))
    assert (response.status, await response.json()) == (200, "zoë")


async def test_where_anyone_may_upload_credentials_are_not_judged(start: Start, users: Htpasswd) -> None:
    client = await start(Auth(users, BEHIND_PROXY, upload="anyone"))
    for headers in ({}, basic("", ""), basic("ann", "wrong"), basic("ann", "secret"), {"Authorization": "rubbish"}):
        assert await told(await client.post("/", headers={**headers, **STRANGER})) == (200, '""')
    assert users.hashed == 0


async def test_where_anyone_may_read_a_stored_and_outdated_password_hurts_nobody(start: Start, users: Htpasswd) -> None:
    client = await start(Auth(users, BEHIND_PROXY))
    for headers in ({}, basic("ann", "last-year"), basic("ann", "secret"), {"Authorization": "rubbish"}):
        assert await told(await client.get("/", headers={**headers, **STRANGER})) == (200, "null")
    assert users.hashed == 0


async def test_where_reading_is_for_users_nobody_else_reads(start: Start, users: Htpasswd) -> None:
    client = await start(Auth(users, Peers(), read="users"))
    assert (await client.get("/")).status == 401
    assert (await client.get("/", headers=basic("ann", "wrong"))).status == 401
    assert await told(await client.get("/", headers=basic("ann", "secret"))) == (200, '"ann"')


Clear = Literal["private-networks", "never", "always"]


@pytest.mark.parametrize(
    ("clear_http", "line", "status"),
    [
        ("private-networks", {}, 200),
        ("private-networks", COLLEAGUE, 200),
        ("private-networks", STRANGER, 403),
        ("private-networks", {**STRANGER, **OVER_TLS}, 200),
        ("private-networks", {"X-Forwarded-For": "unknown"}, 403),
        ("never", {}, 200),
        ("never", COLLEAGUE, 403),
        ("never", STRANGER, 403),
        ("never", {**COLLEAGUE, **OVER_TLS}, 200),
        ("always", STRANGER, 200),
    ],
)
async def test_passwords_over_clear_http_come_from_where_the_operator_lets_them(
    start: Start, users: Htpasswd, clear_http: Clear, line: dict[str, str], status: int
) -> None:
    client = await start(Auth(users, BEHIND_PROXY, read="users", clear_http=clear_http))
    for method in ("GET", "POST"):
        assert (await client.request(method, "/", headers={**basic("ann", "secret"), **line})).status == status


async def test_a_refused_line_is_named_before_a_password_is_asked_for_or_judged(start: Start, users: Htpasswd) -> None:
    client = await start(Auth(users, BEHIND_PROXY))
    for headers in ({}, basic("ann", "secret"), basic("ann", "wrong")):
        status, text = await told(await client.post("/", headers={**headers, **STRANGER}))
        assert status == 403
        assert "auth.clear_http" in text
        assert text.isascii()
        assert len(text) <= 200
    assert users.hashed == 0


async def test_what_a_peer_says_of_itself_moves_nothing_where_no_proxy_is_trusted(
    start: Start, users: Htpasswd
) -> None:
    client = await start(Auth(users, Peers(), clear_http="never"))
    assert (await client.post("/", headers={**basic("ann", "secret"), **STRANGER})).status == 200, "it is loopback"


async def test_it_is_the_packages_own_middleware_too(
    aiohttp_client: Callable[[web.Application], Awaitable[Client]], users: Htpasswd
) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    auth = Auth(users, Peers())
    assert isinstance(auth, BasicAuthMiddleware)
    app = web.Application(middlewares=[auth])
    app.router.add_get("/", hello)
    client = await aiohttp_client(app)
    refused = await client.get("/")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert await told(await client.get("/", headers=basic("ann", "secret"))) == (200, "hello")


@given(st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=60))
def test_no_header_value_breaks_the_reader(value: str) -> None:
    found = BasicAuthMiddleware().parse_auth_header(SimpleNamespace(headers={"Authorization": value}))
    assert found is None or isinstance(found.password, str)
