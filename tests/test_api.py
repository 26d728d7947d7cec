"""`/-/api/`: over real sockets, by people who may and who may not, and by pages of other sites."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from multidict import CIMultiDict
from packaging.utils import canonicalize_name

from proxy.administration import OF_NAMES, Administration, CreateToken, Reserve, Yank
from proxy.policy import Policy
from proxy.publishing import Publishing
from proxy.rights import Caller, Rule, everything
from proxy.simple.names import NamePattern
from proxy.tokens import Tokens
from proxy.web import api as module
from proxy.web.api import LARGEST, Api
from proxy.web.auth import Auth
from proxy.web.htpasswd import Htpasswd
from proxy.web.limits import Tries
from proxy.web.peers import Peers

from .fakes import MemoryStore
from .make import file

ACME = (NamePattern("acme-*"),)
RULES = (
    Rule(user="wang", names=ACME, may=frozenset({"upload"})),
    Rule(user="li", names=ACME, may=frozenset({"admin"})),
    Rule(user="zhao", may=frozenset({"read"})),
)
LI, WANG, ZHAO = "li:secret", "wang:secret", "zhao:secret"
WHEELS = ("acme_sdk-1.0-py3-none-any.whl", "acme_sdk-2.0-py3-none-any.whl")
DELETION = {"project": "acme-sdk", "dry_run": False}


class Door:
    """A server that takes actions, and a client before it."""

    def __init__(self, store: MemoryStore, administration: Administration) -> None:
        self.store = store
        self.administration = administration
        self.url = ""
        self.session: aiohttp.ClientSession

    async def ask(
        self,
        action: str,
        body: object = None,
        *,
        method: str = "POST",
        auth: str | None = LI,
        headers: Any = (),
        **more: Any,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON and headers; *more* is aiohttp's."""
        sent: dict[str, Any] = {"json": body} if body is not None else {}
        fields = CIMultiDict(headers)
        if auth is not None:
            fields["Authorization"] = aiohttp.encode_basic_auth(*auth.split(":"))
        async with self.session.request(method, self.url + action, headers=fields, **sent, **more) as response:
            text = await response.text()
            assert response.headers["Content-Type"] == "application/json"
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            return response.status, json.loads(text) if text else None, response.headers

    async def files(self) -> list[tuple[str, bool | str]]:
        found = await self.store.files(canonicalize_name("acme-sdk"))
        return [(one.filename, one.yanked) for one in found]


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "htpasswd").write_text("".join(f"{user}:{hashed}\n" for user in ("wang", "li", "zhao")))
    users, store = Htpasswd(tmp_path / "htpasswd"), MemoryStore()
    auth = Auth(users, Peers(), tokens=Tokens(store, now=lambda: datetime.now(UTC)), tries=Tries(), rules=RULES)
    publishing = Publishing(store=store, names=store, upstream=None, policy=Policy())
    for filename in WHEELS:
        (tmp_path / filename).write_bytes(b"ours")
        name = canonicalize_name("acme-sdk")
        await publishing.upload(name, file(filename, b"ours"), tmp_path / filename, None)
    made = Door(store, Administration(publishing=publishing, people=store, now=lambda: datetime.now(UTC)))
    api = Api(made.administration, auth.administrator)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await api.answer(request, request.path.removeprefix("/-/api/"))

    async with RawTestServer(answer) as server, aiohttp.ClientSession() as made.session:
        made.url = str(server.make_url("/-/api/"))
        yield made
    users.close()


async def test_a_version_is_yanked_over_http(door: Door) -> None:
    status, done, _ = await door.ask("yank", {"project": "Acme.SDK", "version": "1.0", "reason": "broken"}, auth=WANG)
    assert (status, done) == (200, {"project": "acme-sdk", "files": [WHEELS[0]]})
    assert await door.files() == [(WHEELS[0], "broken"), (WHEELS[1], False)]


async def test_a_deletion_says_that_it_is_none_unless_dry_run_is_false(door: Door) -> None:
    for body in ({"project": "acme-sdk"}, {"project": "acme-sdk", "dry_run": True}):
        status, done, _ = await door.ask("delete", body)
        assert (status, done) == (200, {"project": "acme-sdk", "files": list(WHEELS), "dry_run": True})
        assert len(await door.files()) == 2
    status, done, _ = await door.ask("delete", DELETION)
    assert (status, done) == (200, {"project": "acme-sdk", "files": list(WHEELS), "dry_run": False})
    assert await door.files() == []


async def test_names_are_read_by_get_and_head(door: Door) -> None:
    status, done, _ = await door.ask("names", method="GET")
    assert status == 200
    assert done["names"] == [
        {"name": "acme-sdk", "state": "private", "files": 2, "status": "active", "reason": None, "reserved": None}
    ]
    assert (await door.ask("names", method="GET", auth=ZHAO))[1] == {"names": []}
    assert (await door.ask("names", method="HEAD"))[:2] == (200, None)
    status, _, headers = await door.ask("names", {})
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("action", sorted(set(OF_NAMES) - {"names"}))
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_but_a_post_changes_anything(door: Door, action: str, method: str) -> None:
    before = await door.files()
    status, _, headers = await door.ask(action, DELETION, method=method)
    assert (status, headers["Allow"]) == (405, "POST")
    assert await door.files() == before
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("action", "body", "lowest"),
    [
        ("yank", {"project": "acme-sdk", "version": "1.0"}, "wang"),
        ("unyank", {"project": "acme-sdk", "version": "1.0"}, "wang"),
        ("delete", {"project": "acme-sdk"}, "li"),
        ("delete", DELETION, "li"),
        ("status", {"project": "acme-sdk", "status": "archived"}, "li"),
        ("reserve", {"project": "acme-new"}, "li"),
    ],
)
@pytest.mark.parametrize("auth", [None, "li:wrong", ZHAO, WANG, LI])
async def test_actions_of_administrators_are_refused_to_uploaders(
    door: Door, action: str, body: object, lowest: str, auth: str | None
) -> None:
    """Catalogue J18."""
    before = await door.files(), await door.store.claimed(), await door.store.standings()
    status, said, headers = await door.ask(action, body, auth=auth)
    if auth in (None, "li:wrong"):
        assert (status, said["error"]) == (401, "NotSignedIn")
        assert headers["WWW-Authenticate"].startswith("Basic realm=")
    elif auth in {"wang": (WANG, LI), "li": (LI,)}[lowest]:
        assert status == 200
        return
    else:
        assert (status, said["error"]) == (403, "Forbidden")
    assert (await door.files(), await door.store.claimed(), await door.store.standings()) == before


async def test_a_token_signs_in_for_what_it_may(door: Door) -> None:
    made = await door.administration.perform(CreateToken(user="li", may="upload"), everything("operator"))
    token = {"Authorization": f"Bearer {made.secret}"}
    body = {"project": "acme-sdk", "version": "1.0"}
    assert (await door.ask("yank", body, auth=None, headers=token))[0] == 200
    assert (await door.ask("delete", body, auth=None, headers=token))[0] == 403


@pytest.mark.parametrize("action", ["create-token", "tokens", "revoke-tokens", "nope", "", "names/x"])
async def test_tokens_and_what_there_is_not_are_not_found_over_http(door: Door, action: str) -> None:
    for user in (LI, ZHAO):
        assert (await door.ask(action, {"user": "li"}, auth=user))[0] == 404
    assert (await door.ask(action, {"user": "li"}, auth=None))[0] == 401


OTHERS: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "Cross-Site"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "file://"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1:99999"},
    {"Origin": "http://[::1"},
    {"Origin": "http://127.0.0.1:PORT.evil.example"},
    {"Origin": "http://evil.example#127.0.0.1:PORT"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "http://127.0.0.1:PORT", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://evil.example", "Host": "x y"},
]
OURS: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://127.0.0.1:PORT"},
    {"Origin": "http://127.0.0.1:PORT", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://pypi.example.cn", "Host": "pypi.example.cn"},
    {"Origin": "https://pypi.example.cn", "Host": "PyPI.example.cn:443"},
    {"Origin": "http://pypi.example.cn:80", "Host": "pypi.example.cn"},
    {"Origin": "http://[fd00::7]:8080", "Host": "[fd00::7]:8080"},
]


@pytest.mark.parametrize(("headers", "ours"), [*((one, False) for one in OTHERS), *((one, True) for one in OURS)])
async def test_a_page_of_another_site_changes_nothing_with_the_credentials_of_a_browser(
    door: Door, headers: dict[str, str], ours: bool
) -> None:
    """Catalogue J14."""
    port = door.url.split(":")[2].partition("/")[0]
    sent = {key: value.replace("PORT", port) for key, value in headers.items()}
    status, said, _ = await door.ask("delete", DELETION, headers=sent)
    assert status == (200 if ours else 403), said
    assert (await door.files() == []) == ours


async def test_a_second_origin_does_not_hide_behind_the_first(door: Door) -> None:
    port = door.url.split(":")[2].partition("/")[0]
    headers = [("Origin", f"http://127.0.0.1:{port}"), ("Origin", "https://evil.example")]
    assert (await door.ask("delete", DELETION, headers=headers))[0] == 403


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "",
        "json",
    ],
)
async def test_what_a_form_can_send_is_not_read(door: Door, kind: str) -> None:
    """Catalogue J14: a form needs no permission of ours to be sent, and has these types alone."""
    body = json.dumps({**DELETION, "x": "="}).encode()
    status, said, _ = await door.ask("delete", data=body, headers={"Content-Type": kind})
    assert (status, said["error"]) == (400, "BadRequest")
    status, said, _ = await door.ask("delete", data=json.dumps(DELETION).encode(), headers={"Content-Type": kind})
    assert status == 400
    assert len(await door.files()) == 2


async def test_json_may_say_its_charset(door: Door) -> None:
    body = json.dumps({"project": "acme-sdk", "version": "1.0", "reason": "坏了"}, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (await door.ask("yank", data=body, headers=headers))[0] == 200
    assert (await door.files())[0] == (WHEELS[0], "坏了")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"project": "acme-sdk", "version": "1.0", "resaon": "x"}', "resaon"),
        (b'{"version": "1.0"}', "project"),
        (b'{"project": 1, "version": "1.0"}', "$.project"),
        (b'{"project": "acme-sdk", "version": 1.0}', "$.version"),
        (b'{"type": "delete", "project": "acme-sdk"}', "delete"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"project=acme-sdk", "no JSON"),
        (b'{"project": "\xff"}', "no JSON"),
        (b'{"project": "acme-sdk", "x": ' + b"[" * 60_000, "`x`"),
        (b'{"project": ' + b"[" * 60_000, "$.project"),
        (b'{"project": "acme-sdk"}', "which version"),
    ],
)
async def test_a_body_that_is_no_such_action_is_a_bad_request_that_says_why(door: Door, body: bytes, says: str) -> None:
    status, said, _ = await door.ask("yank", data=body, headers={"Content-Type": "application/json"})
    assert (status, said["error"]) == (400, "BadRequest")
    assert says in said["message"]
    assert [yanked for _, yanked in await door.files()] == [False, False]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_read_up_to_its_limit(door: Door, chunked: bool) -> None:
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        yield body

    for size, status in ((LARGEST, 400), (LARGEST + 1, 413)):
        begin = b'{"project": "acme-sdk", "version": "1.0", "reason": "'
        body = begin + b"x" * (size - len(begin) - 2) + b'"}'
        data = pieces(body) if chunked else body
        assert (await door.ask("yank", data=data, headers={"Content-Type": "application/json"}))[0] == status
    assert [yanked for _, yanked in await door.files()] == [False, False]


async def test_a_body_that_does_not_come_is_not_waited_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    ended = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        await ended.wait()

    status, said, _ = await door.ask("yank", data=pieces(), headers={"Content-Type": "application/json"})
    assert (status, said["error"]) == (400, "BadRequest")
    ended.set()


async def test_a_body_that_is_not_packed_as_it_says_is_a_bad_request_and_costs_no_traceback(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
    status, said, _ = await door.ask("yank", data=b"no deflate", headers=headers)
    assert (status, said["error"]) == (400, "BadRequest")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_errors_are_json_and_their_sentence_is_the_reason_phrase_too(door: Door) -> None:
    for accept in ("*/*", "text/html", "application/json"):
        headers = {"Accept": accept, "Authorization": aiohttp.encode_basic_auth("li", "secret")}
        async with door.session.post(f"{door.url}delete", json={"project": "acme-nope"}, headers=headers) as response:
            said = await response.json()
            assert response.status == 404
            assert said == {"message": response.reason, "error": "NotFound"}


async def test_where_a_proxy_stands_between_its_name_is_ours(door: Door) -> None:
    async def operator(_request: web.BaseRequest) -> Caller:
        return everything("operator")

    api = Api(door.administration, operator, host=lambda _request: "pypi.example.cn")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await api.answer(request, "reserve")

    async with RawTestServer(answer) as server:
        for origin, status in (("https://pypi.example.cn", 200), (str(server.make_url("")), 403)):
            async with door.session.post(
                server.make_url("/"), json={"project": "acme-new"}, headers={"Origin": origin.rstrip("/")}
            ) as response:
                assert response.status == status


async def test_the_api_does_what_the_action_says_that_its_path_names(door: Door) -> None:
    """The tags of the structs are the paths, so an action sent to another's path is refused and not mistaken."""
    assert OF_NAMES["yank"] is Yank
    assert OF_NAMES["reserve"] is Reserve
    status, _, _ = await door.ask("reserve", {"type": "reserve", "project": "acme-new"})
    assert status == 200
