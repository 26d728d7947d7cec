"""web/auth.py: who may do what, over which line, and what a refusal says."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import bcrypt
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from aiohttp_basicauth import BasicAuthMiddleware
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from proxy.errors import ProxyError
from proxy.ops.logs import USER
from proxy.rights import Caller, Right, Rule
from proxy.simple.names import NamePattern
from proxy.tokens import Tokens, make_token
from proxy.web import htpasswd
from proxy.web.auth import Auth
from proxy.web.errors import explain
from proxy.web.htpasswd import Htpasswd
from proxy.web.limits import Tries
from proxy.web.peers import Peers

from .fakes import MemoryStore

Client = TestClient[web.Request, web.Application]
Start = Callable[[Auth], Awaitable[Client]]
Make = Callable[..., Auth]

CHALLENGE = 'Basic realm="pypi", charset="UTF-8"'
WRONG = "The user name or the password is wrong, or the token is not valid any more.\n"
STRANGER = {"X-Forwarded-For": "203.0.113.9"}
COLLEAGUE = {"X-Forwarded-For": "192.168.1.20"}
OVER_TLS = {"X-Forwarded-Proto": "https"}

BEHIND_PROXY = Peers((ip_network("127.0.0.0/8"),))
"""The test client plays the operator's proxy."""

ACME, OTHER = canonicalize_name("acme-sdk"), canonicalize_name("other")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "htpasswd"
    lines = [("ann", "secret"), ("zoë", "pä:ss"), ("bob", "builder")]
    path.write_text(
        "".join(f"{n}:{bcrypt.hashpw(p.encode(), bcrypt.gensalt(4)).decode()}\n" for n, p in lines) + "ci:*\n"
    )
    return path


@pytest.fixture
def users(path: Path, clock: Clock) -> Iterator[Htpasswd]:
    found = Htpasswd(path, clock=clock)
    yield found
    found.close()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def auth_of(users: Htpasswd, store: MemoryStore, clock: Clock) -> Make:
    """An Auth of *users* and of the tokens in *store*."""

    def made(peers: Peers = Peers(), **settings: Any) -> Auth:  # noqa: B008 -- it never changes
        tokens = Tokens(store, now=lambda: datetime.now(UTC))
        return Auth(users, peers, tokens=tokens, tries=Tries(clock=clock), **settings)

    return made


async def token_of(store: MemoryStore, user: str, *scope: str, may: Right = "upload", lasts: int | None = None) -> str:
    """The text of a new token of *user*, for *scope*, that was made a day ago and lasts for so many hours."""
    made = datetime.now(UTC) - timedelta(days=1)
    expires = None if lasts is None else made + timedelta(hours=lasts)
    names = map(NamePattern, scope)
    token, text = make_token(user, scope=names, may={may}, expires=expires, now=made, chance=secrets.token_bytes)
    await store.add_token(token)
    return text


@pytest.fixture
def start(aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> Start:
    """A client of a server that tells who reads (GET), uploads (POST) or deletes, and what the log is told."""

    async def started(auth: Auth) -> Client:
        ask = {"GET": auth.reader, "POST": auth.uploader, "DELETE": auth.administrator}

        async def who(request: web.Request) -> web.Response:
            try:
                caller = await ask[request.method](request)
                if name := request.query.get("name"):
                    right: Any = request.query["right"]
                    caller.check(right, canonicalize_name(name))
            except ProxyError as error:
                return explain(request, error)
            return web.json_response({"user": caller.user, "logged": request.get(USER), "may": granted(caller)})

        app = web.Application()
        app.router.add_route("*", "/", who)
        return await aiohttp_client(app)

    return started


def granted(caller: Caller) -> list[str]:
    """What *caller* may do with two projects."""
    return [
        f"{right} {name}" for name in (ACME, OTHER) for right in ("read", "upload", "admin") if caller.may(right, name)
    ]


def basic(user: str, password: str, encoding: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def told(response: ClientResponse) -> tuple[int, str]:
    return response.status, await response.text()


async def who(response: ClientResponse) -> str:
    """The user that the log is told of, of a request that was let in."""
    assert response.status == 200, await response.text()
    logged: str = (await response.json())["logged"]
    return logged


async def test_an_upload_needs_a_user_and_tells_who_it_was(start: Start, auth_of: Make) -> None:
    client = await start(auth_of())
    assert await told(await client.post("/")) == (401, "This needs a user name and a password, or a token.\n")
    assert await who(await client.post("/", headers=basic("ann", "secret"))) == "ann"
    assert await told(await client.post("/", headers=basic("ann", "wrong"))) == (401, WRONG)


async def test_a_401_does_not_tell_whether_the_user_exists(start: Start, auth_of: Make) -> None:
    client = await start(auth_of())
    known, unknown, program = [await client.post("/", headers=basic(name, "wrong")) for name in ("ann", "eve", "ci")]
    assert await told(known) == await told(unknown) == await told(program)
    assert known.status == 401
    assert {*known.headers} == {*unknown.headers} == {*program.headers}


async def test_every_401_carries_the_challenge(start: Start, auth_of: Make) -> None:
    client = await start(auth_of(read="users"))
    for headers in ({}, basic("ann", "wrong"), bearer("wrong")):
        for method in ("GET", "POST", "DELETE"):
            answer = await client.request(method, "/", headers=headers)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, CHALLENGE)


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic é",
        "Bearer abc",
        "Bearer",
        "Bearer yzn__",
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
async def test_credentials_that_cannot_be_read_are_wrong_and_no_more(start: Start, auth_of: Make, header: str) -> None:
    client = await start(auth_of(read="users"))
    for method in ("GET", "POST", "DELETE"):
        assert (await client.request(method, "/", headers={"Authorization": header})).status == 401


async def test_a_token_of_any_bytes_is_wrong_and_no_more(start: Start, auth_of: Make) -> None:
    client = await start(auth_of())
    assert client.port is not None
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xed\xa0\x80\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_the_scheme_is_read_in_any_case(start: Start, auth_of: Make, store: MemoryStore) -> None:
    client = await start(auth_of())
    value = basic("ann", "secret")["Authorization"].replace("Basic", "bAsIc")
    assert (await client.post("/", headers={"Authorization": value})).status == 200
    value = bearer(await token_of(store, "ann"))["Authorization"].replace("Bearer", "bearer")
    assert (await client.post("/", headers={"Authorization": value})).status == 200


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
async def test_names_and_passwords_beyond_ascii_arrive_whole(start: Start, auth_of: Make, encoding: str) -> None:
    client = await start(auth_of())
    assert await who(await client.post("/", headers=basic("zoë", "pä:ss", encoding))) == "zoë"


async def test_where_anyone_may_upload_credentials_are_not_judged(start: Start, auth_of: Make, users: Htpasswd) -> None:
    client = await start(auth_of(BEHIND_PROXY, upload="anyone"))
    for headers in ({}, basic("", ""), basic("ann", "wrong"), basic("ann", "secret"), {"Authorization": "rubbish"}):
        response = await client.post("/", headers={**headers, **STRANGER})
        assert await response.json() == {
            "user": "",
            "logged": None,
            "may": ["read acme-sdk", "upload acme-sdk", "read other", "upload other"],
        }
    assert users.hashed == 0


async def test_where_anyone_may_read_a_stored_and_outdated_password_hurts_nobody(
    start: Start, auth_of: Make, users: Htpasswd
) -> None:
    client = await start(auth_of(BEHIND_PROXY))
    for headers in ({}, basic("ann", "last-year"), basic("ann", "secret"), {"Authorization": "rubbish"}):
        response = await client.get("/", headers={**headers, **STRANGER})
        assert await response.json() == {"user": "", "logged": None, "may": ["read acme-sdk", "read other"]}
    assert users.hashed == 0


async def test_where_anyone_may_read_and_upload_nobody_changes_anything_without_signing_in(
    start: Start, auth_of: Make
) -> None:
    client = await start(auth_of(upload="anyone"))
    assert (await client.delete("/")).status == 401
    assert await who(await client.delete("/", headers=basic("ann", "secret"))) == "ann"


async def test_where_reading_is_for_users_nobody_else_reads(start: Start, auth_of: Make) -> None:
    client = await start(auth_of(read="users"))
    assert (await client.get("/")).status == 401
    assert (await client.get("/", headers=basic("ann", "wrong"))).status == 401
    assert await who(await client.get("/", headers=basic("ann", "secret"))) == "ann"


# Tokens


@pytest.mark.parametrize("user", ["__token__", "ann", "whoever", "", None])
async def test_a_token_is_taken_as_any_users_password_and_as_a_bearers(
    start: Start, auth_of: Make, store: MemoryStore, users: Htpasswd, user: str | None
) -> None:
    client = await start(auth_of(read="users"))
    token = await token_of(store, "ci")
    headers = bearer(token) if user is None else basic(user, token)
    response = await client.post("/", headers=headers)
    assert await who(response) == f"ci:{token.split('_')[1]}", "the token decides who it is"
    assert (await response.json())["user"] == "ci"
    assert await who(await client.get("/", headers=headers)) == f"ci:{token.split('_')[1]}"
    assert users.hashed == 0


async def test_a_token_in_place_of_the_name_needs_no_password(start: Start, auth_of: Make, store: MemoryStore) -> None:
    """As it stands in `https://TOKEN@host/simple/`."""
    client = await start(auth_of())
    token = await token_of(store, "ci")
    assert await who(await client.post("/", headers=basic(token, ""))) == f"ci:{token.split('_')[1]}"
    assert (await client.post("/", headers=basic(token, "x"))).status == 401


async def test_a_token_is_worth_nothing_once_it_is_revoked_expired_or_its_user_is_gone(
    start: Start, auth_of: Make, store: MemoryStore, users: Htpasswd, path: Path, clock: Clock
) -> None:
    client = await start(auth_of())
    good, revoked, late, of_nobody, of_ann = [
        await token_of(store, "ci", lasts=48),
        await token_of(store, "ci"),
        await token_of(store, "ci", lasts=1),
        await token_of(store, "eve"),
        await token_of(store, "ann"),
    ]
    await store.revoke([revoked.split("_")[1]])
    for token in (revoked, late, of_nobody, good[:-1], good + "0", good[:-1] + ("1" if good[-1] == "0" else "0")):
        assert await told(await client.post("/", headers=bearer(token))) == (401, WRONG)
    assert (await client.post("/", headers=bearer(good))).status == 200
    assert (await client.post("/", headers=bearer(of_ann))).status == 200
    path.write_text("ci:*\n")
    clock.now += htpasswd.LOOK
    assert (await client.post("/", headers=bearer(of_ann))).status == 401
    assert (await client.post("/", headers=bearer(good))).status == 200
    assert users.hashed == 0


async def test_who_leaves_the_file_loses_all_rights_within_a_minute(
    start: Start, auth_of: Make, store: MemoryStore, path: Path, clock: Clock
) -> None:
    """J22: whatever is remembered of right passwords."""
    client = await start(auth_of(read="users"))
    ways = [basic("ann", "secret"), bearer(await token_of(store, "ann"))]
    for method in ("GET", "POST", "DELETE"):
        assert [(await client.request(method, "/", headers=way)).status for way in ways] == [200, 200]
    path.write_text(path.read_text().partition("\n")[2])
    clock.now += 60
    for method in ("GET", "POST", "DELETE"):
        assert [(await client.request(method, "/", headers=way)).status for way in ways] == [401, 401]
    assert (await client.get("/", headers=basic("bob", "builder"))).status == 200


async def test_no_part_of_a_credential_comes_back_or_is_logged(
    start: Start, auth_of: Make, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = await start(auth_of(read="users"))
    right = await token_of(store, "ci", "acme-*")
    wrong = right[:-8] + "c0ffee00"
    said = ""
    guesses = [basic("s3cret-name", f"s3cret-word{number}") for number in range(12)]
    for headers in (bearer(right), bearer(wrong), *guesses, basic("__token__", wrong)):
        for method in ("GET", "POST", "DELETE"):
            for _ in range(2):
                answer = await client.request(
                    method, "/", params={"name": "other", "right": "admin"}, headers={**headers}
                )
                said += f"{answer.reason}{answer.headers}{await answer.text()}"
    for secret in (right.split("_")[2], wrong.split("_")[2], "s3cret-name", "s3cret-word"):
        assert secret not in said + caplog.text
        assert base64.b64encode(secret.encode()).decode().rstrip("=") not in said + caplog.text
    assert "too many wrong passwords" in caplog.text, "and so there was something to be logged"


# Rules


async def test_what_one_may_do_is_what_rules_grant_and_the_token_leaves(
    start: Start, auth_of: Make, store: MemoryStore
) -> None:
    rules = (
        Rule(user="ann", may=frozenset({"admin"})),
        Rule(user="bob", names=(NamePattern("acme-*"),), may=frozenset({"upload"})),
        Rule(may=frozenset({"read"})),
    )
    client = await start(auth_of(read="users", rules=rules))
    acme = ["read acme-sdk", "upload acme-sdk"]

    async def may(headers: dict[str, str]) -> list[str]:
        answers = [await client.request(method, "/", headers=headers) for method in ("GET", "POST", "DELETE")]
        first, *others = [(await answer.json())["may"] for answer in answers]
        assert others == [first, first], "rights do not depend on what is asked for"
        found: list[str] = first
        return found

    assert len(await may(basic("ann", "secret"))) == 6
    assert await may(basic("bob", "builder")) == [*acme, "read other"]
    assert await may(basic("zoë", "pä:ss")) == ["read acme-sdk", "read other"]
    assert await may(bearer(await token_of(store, "ann", "acme-*"))) == acme
    assert await may(bearer(await token_of(store, "bob", may="admin"))) == [*acme, "read other"]
    assert await may(bearer(await token_of(store, "bob", "other", may="read"))) == ["read other"]
    assert await may(bearer(await token_of(store, "ci"))) == ["read acme-sdk", "read other"]


async def test_a_refusal_names_the_user_and_the_project(start: Start, auth_of: Make, store: MemoryStore) -> None:
    rules = (Rule(user="bob", names=(NamePattern("acme-*"),), may=frozenset({"upload"})),)
    client = await start(auth_of(rules=rules))
    ask = {"name": "other", "right": "upload"}
    assert await told(await client.post("/", params=ask, headers=basic("bob", "builder"))) == (
        403,
        "The user 'bob' isn't allowed to upload to project 'other'.\n",
    )
    token = await token_of(store, "bob", "other")
    assert await told(await client.post("/", params={**ask, "name": "acme"}, headers=bearer(token))) == (
        403,
        "This token of user 'bob' isn't allowed to upload to project 'acme'.\n",
    )


# Too many


async def test_the_eleventh_wrong_password_within_five_minutes_is_not_judged(
    start: Start, auth_of: Make, users: Htpasswd, clock: Clock
) -> None:
    """J02."""
    client = await start(auth_of(BEHIND_PROXY, clear_http="always"))

    async def upload(user: str, password: str, line: dict[str, str] = COLLEAGUE) -> int:
        return (await client.post("/", headers={**basic(user, password), **line})).status

    assert [await upload("ann", f"guess {number}") for number in range(10)] == [401] * 10
    hashed = users.hashed
    answer = await client.post("/", headers={**basic("ann", "secret"), **COLLEAGUE})
    assert await told(answer) == (
        429,
        "Too many wrong passwords or tokens came: wait a few minutes, then try again.\n",
    )
    assert answer.headers["Retry-After"] == "10", "pip obeys, and should not hang for five minutes"
    assert users.hashed == hashed
    assert await upload("bob", "builder") == 200, "others at that address"
    assert await upload("ann", "secret", STRANGER) == 200, "and she herself elsewhere"
    clock.now += 299
    assert await upload("ann", "secret") == 429
    clock.now += 1
    assert await upload("ann", "secret") == 200


async def test_whoever_was_right_at_an_address_is_let_in_while_others_guess_there(
    start: Start, auth_of: Make, users: Htpasswd
) -> None:
    client = await start(auth_of(BEHIND_PROXY))

    async def upload(password: str, line: dict[str, str] = COLLEAGUE) -> int:
        return (await client.post("/", headers={**basic("ann", password), **OVER_TLS, **line})).status

    assert await upload("secret") == 200
    for number in range(30):
        await upload(f"year {number}")
    hashed = users.hashed
    for number in range(200):
        assert await upload(f"guess {number}") == 429
        assert await upload("secret") == 200
    for number in range(12):
        await upload(f"year {number}", STRANGER)
    assert await upload("secret", STRANGER) == 429, "but not from where nobody was right yet"
    assert users.hashed == hashed


async def test_a_job_with_last_years_password_does_not_keep_out_who_has_changed_it(start: Start, auth_of: Make) -> None:
    client = await start(auth_of())
    for _ in range(30):
        assert (await client.post("/", headers=basic("ann", "last year"))).status == 401
    assert (await client.post("/", headers=basic("ann", "secret"))).status == 200


async def test_a_token_passes_whatever_was_guessed_beside_it(start: Start, auth_of: Make, store: MemoryStore) -> None:
    client = await start(auth_of())
    token = await token_of(store, "ci")
    others = [f"{token[:-4]}{number:04}" for number in range(13) if not token.endswith(f"{number:04}")][:12]
    assert [(await client.post("/", headers=bearer(other))).status for other in others] == [401] * 10 + [429] * 2
    for number in range(12):
        await client.post("/", headers=basic("ci", f"guess {number}"))
    assert (await client.post("/", headers=bearer(token))).status == 200
    assert (await client.post("/", headers=basic("ann", "secret"))).status == 200


# The line


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
    start: Start, auth_of: Make, store: MemoryStore, clear_http: Clear, line: dict[str, str], status: int
) -> None:
    client = await start(auth_of(BEHIND_PROXY, read="users", clear_http=clear_http))
    for headers in (basic("ann", "secret"), bearer(await token_of(store, "ci"))):
        for method in ("GET", "POST", "DELETE"):
            assert (await client.request(method, "/", headers={**headers, **line})).status == status


async def test_a_refused_line_is_named_before_a_password_is_asked_for_or_judged(
    start: Start, auth_of: Make, users: Htpasswd
) -> None:
    client = await start(auth_of(BEHIND_PROXY))
    for headers in ({}, basic("ann", "secret"), basic("ann", "wrong"), bearer("wrong")):
        status, text = await told(await client.post("/", headers={**headers, **STRANGER}))
        assert status == 403
        assert "auth.clear_http" in text
        assert text.isascii()
        assert len(text) <= 200
    assert users.hashed == 0


async def test_what_a_peer_says_of_itself_moves_nothing_where_no_proxy_is_trusted(start: Start, auth_of: Make) -> None:
    client = await start(auth_of(clear_http="never"))
    assert (await client.post("/", headers={**basic("ann", "secret"), **STRANGER})).status == 200, "it is loopback"


async def test_it_is_the_packages_own_middleware_too(
    aiohttp_client: Callable[[web.Application], Awaitable[Client]], auth_of: Make
) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    auth = auth_of()
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
