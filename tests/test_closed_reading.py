"""A closed index: every route of a real server, asked by everybody from a stranger to the administrator.

What is private is seen by who has a right to it, and by nobody else in any form; what is not private is seen by whoever
signs in; and to who does not, no address tells whether anything is there (rule 79).
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import http.client
import json
import secrets
import xmlrpc.client
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest

from proxy.administration import Action, CreateToken, Done, Mark, Reserve, RevokeTokens
from proxy.commands import users
from proxy.rights import Right
from proxy.simple.model import HTML, JSON
from proxy.web.control import asking

from .daemon import Server, yizhan
from .e2e.clients import wait_until
from .make import metadata, place, sdist, wheel
from .test_provenance import attestation
from .upstream_server import UpstreamServer, running_upstream

CONFIG = """
[[index]]
name = "corp"
mirrors = ["{mirror}"]
networks = ["127.0.0.0/8"]
[[index]]
name = "more"
mirrors = ["{mirror}"]
networks = ["127.0.0.0/8"]
[private]
reserved = ["kept-*"]
claim = "allow"
[auth]
read = "users"
failures = 1000
[[right]]
user = "reader"
names = ["acme-*"]
may = ["read"]
[[right]]
user = "uploader"
names = ["acme-*"]
may = ["upload"]
[[right]]
user = "leaver"
names = ["acme-*"]
may = ["admin"]
[[right]]
user = "stranger"
names = ["elsewhere"]
may = ["admin"]
[[right]]
user = "admin"
may = ["admin"]
"""

USERS = ("reader", "uploader", "leaver", "stranger", "admin")

NAME = "acme-sdk"
WHEEL, SDIST = wheel(NAME, "1.0"), sdist(NAME, "1.0")
FILE, BODY = WHEEL
SHA256 = hashlib.sha256(BODY).hexdigest()
PATH = place(BODY)
NUMPY, NUMPY_BODY = wheel("numpy", "1.0")

TELLTALES = (b"acme", b"kept", SHA256.encode())
"""What an answer holds that tells of private projects."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str

    @property
    def text(self) -> bytes:
        """The body as it is read."""
        return gzip.decompress(self.body) if self.headers.get("Content-Encoding") == "gzip" else self.body


def ask(
    server: Server, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    host, port = server.url.removeprefix("http://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read(), answer.reason)
    finally:
        connection.close()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@dataclass(frozen=True, slots=True)
class Case:
    """A server, and the credentials of everybody who comes to it."""

    server: Server
    data: Path
    upstream: UpstreamServer
    passwords: dict[str, str] = field(default_factory=dict)
    callers: dict[str, dict[str, str]] = field(default_factory=dict)
    """Header fields, by who sends them."""

    def perform(self, action: Action) -> Done:
        """What a command on the machine has done."""

        async def performed() -> Done:
            async with asking(self.data / "state") as office:
                return await office.perform(action)

        return asyncio.run(performed())

    def token(self, user: str, *scope: str, may: Right = "admin", lasts: float | None = None) -> str:
        done = self.perform(CreateToken(user=user, scope=scope, may=may, lasts=lasts))
        assert done.secret is not None
        return done.secret

    def ask(self, caller: str, method: str, path: str, *, body: bytes | None = None, **headers: Any) -> Answer:
        sent = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        return ask(self.server, method, path, {**self.callers[caller], **sent}, body)

    def upload(self, caller: str, name: str, filename: str, body: bytes, **fields: str) -> Answer:
        kind, form = form_of(name, filename, body, **fields)
        return self.ask(caller, "POST", "/legacy/", body=form, Content_Type=kind)


def form_of(name: str, filename: str, body: bytes, **fields: str) -> tuple[str, bytes]:
    """The type and the bytes of an upload."""
    said = {":action": "file_upload", "name": name, "version": "1.0", **fields}
    form = aiohttp.FormData(said, quote_fields=False)
    form.add_field("content", body, filename=filename)
    payload = form()
    chunks: list[bytes] = []

    class Into:
        async def write(self, chunk: bytes) -> None:
            chunks.append(bytes(chunk))

    asyncio.run(payload.write(Into()))  # type: ignore[arg-type]  # as much of a writer as it uses
    return payload.headers["Content-Type"], b"".join(chunks)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """acme-sdk was uploaded, acme-next is reserved, and kept-* by the settings; numpy is public."""
    data = tmp_path_factory.mktemp("data")
    passwords = {user: secrets.token_hex(8) for user in USERS}
    lines = [f"{u}:{bcrypt.hashpw(p.encode(), bcrypt.gensalt(4)).decode()}\n" for u, p in passwords.items()]
    (data / "state").mkdir(mode=0o700)
    (data / "state" / "htpasswd").write_text("".join(lines))
    with running_upstream() as upstream:
        upstream.publish("numpy", NUMPY, NUMPY_BODY, metadata=metadata("numpy", "1.0"))
        for theirs in (NAME, "acme-next", "kept-one"):
            upstream.publish(theirs, *wheel(theirs, "99.0"))
        with yizhan(data, config=CONFIG.format(mirror=upstream.simple)) as server:
            case = Case(server, data, upstream, passwords)
            case.callers.update({user: basic(user, passwords[user]) for user in USERS})
            case.perform(Reserve(project=NAME))
            case.perform(Reserve(project="acme-next"))
            attested = json.dumps([attestation(FILE, BODY)])
            assert case.upload("uploader", NAME, *WHEEL, attestations=attested).status == 200
            assert case.upload("uploader", NAME, *SDIST).status == 200
            _make_tokens(case)
            yield case


def _make_tokens(case: Case) -> None:
    tokens = {
        "token": case.token("admin", "acme-*"),
        "token to read": case.token("admin", may="read"),
        "token to upload": case.token("admin", may="upload"),
        "token for elsewhere": case.token("admin", "elsewhere"),
        "token of who has no right": case.token("stranger"),
        "revoked": case.token("admin"),
        "expired": case.token("admin", lasts=0.001),
        "of nobody": case.token("nobody"),
        "of who left": case.token("leaver"),
    }
    case.callers.update({who: basic("__token__", secret) for who, secret in tokens.items()})
    case.callers["bearer"] = {"Authorization": f"Bearer {tokens['token']}"}
    known = tokens["token"].rpartition("_")[0]
    case.callers.update(
        {
            "nobody": {},
            "wrong password": basic("admin", "a guess"),
            "no password": basic("admin", ""),
            "unknown": basic("unknown", case.passwords["admin"]),
            "another's password": basic("admin", case.passwords["reader"]),
            "a token's id alone": basic("__token__", f"{known}_{'0' * 64}"),
            "a scheme we do not know": {"Authorization": "Negotiate YWRtaW4="},
            "nonsense": {"Authorization": "Basic ===="},
        }
    )
    assert case.ask("of who left", "GET", f"/simple/{NAME}/").status == 200
    case.perform(RevokeTokens(ids=(tokens["revoked"].split("_")[1],)))
    users.remove(case.data / "state" / "htpasswd", "leaver")
    wait_until(lambda: case.ask("of who left", "GET", f"/simple/{NAME}/").status == 401)


READERS = ("reader", "uploader", "admin", "token", "token to read", "token to upload", "bearer")
STRANGERS = ("stranger", "token for elsewhere", "token of who has no right")
NOBODY = (
    *("nobody", "wrong password", "no password", "unknown", "another's password", "a token's id alone"),
    *("a scheme we do not know", "nonsense", "revoked", "expired", "of nobody", "of who left", "leaver"),
)

PRIVATE = (
    f"/simple/{NAME}/",
    f"/simple/{NAME}/?format={JSON}",
    f"//simple//{NAME}/",
    f"/%73imple/{NAME}/",
    f"/corp/simple/{NAME}/",
    f"/more/simple/{NAME}/",
    f"/+simple/{NAME}",
    f"/legacy/+simple/{NAME}/",
    f"/pypi/{NAME}/json",
    f"/{NAME}/json",
    f"/simple/pypi/{NAME}/json",
    f"/pypi/{NAME}/1.0/json",
    f"/simple/pypi/{NAME}/1.0/json",
    f"/integrity/{NAME}/1.0/{FILE}/provenance",
    f"/packages/{PATH}/{FILE}",
    f"/packages/{PATH}/{FILE}.metadata",
    f"/simple/packages/{PATH}/{FILE}",
    f"/corp/packages/{PATH}/{FILE}",
    f"/more/packages/{PATH}/{FILE}.metadata",
    f"/packages/{FILE}",
    f"/packages/{FILE}.metadata",
)
"""Every address at which something of acme-sdk is."""

RESERVED = (
    "/simple/acme-next/",
    "/corp/simple/acme-next/",
    "/pypi/acme-next/json",
    "/acme-next/json",
    "/+simple/acme-next",
    "/simple/kept-one/",
    "/more/simple/kept-one/",
    "/pypi/kept-one/json",
    "/+simple/kept-one",
    f"/integrity/{NAME}/2.0/{FILE}/provenance",
    f"/pypi/{NAME}/2.0/json",
    f"/packages/{'0' * 2}/{'0' * 2}/{'0' * 60}/{FILE}",
    f"/packages/{FILE.replace('1.0', '2.0')}",
    "/packages/kept_one-1.0.tar.gz",
)
"""Where there is nothing, which is no stranger's to know."""

PUBLIC = ("/simple/numpy/", "/corp/simple/numpy/", "/pypi/numpy/json", "/+simple/numpy", "/", "/-/status")
LISTS = ("/simple/", f"/simple/?format={JSON}", "/corp/simple/", "/more/simple/")
ELSEWHERE = ("/simple/Acme_SDK/", f"/simple/{NAME}", "/simple", "/pypi/Acme.SDK/json", "/simple/NumPy/")
NOTHING = (
    "/nothing",
    "/simple/..%2f/",
    "/-/nothing",
    "/_/oidc/audience",
    "/packages/x",
    "/simple/%ff/",
    "/favicon.ico",
)
HOWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("GET", {}),
    ("HEAD", {}),
    ("GET", {"Accept": f"{JSON}, application/json;q=0.5", "Accept-Encoding": "gzip"}),
    ("GET", {"Range": "bytes=1-9"}),
    ("GET", {"If-None-Match": "*"}),
    ("GET", {"If-None-Match": f'"{SHA256}"'}),
    ("HEAD", {"If-None-Match": f'"{SHA256}"', "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    ("GET", {"If-Match": '"x"'}),
    ("GET", {"Authorization-Info": "x", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-User": "admin"}),
)
FORMS: tuple[dict[str, Any], ...] = (
    {"Accept": HTML},
    {"Accept": JSON, "Accept-Encoding": "gzip"},
    {"Accept": "text/html"},
)
SEEN = frozenset({200, 206, 304, 412, 416})
"""What who may see a thing is answered about it."""


def assert_unsigned(answer: Answer) -> None:
    """It is the answer to who has not signed in, and tells nothing else (rules 76, 77 and 80)."""
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="pypi", charset="UTF-8"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert "Location" not in answer.headers
    assert "ETag" not in answer.headers
    assert not any(telltale in answer.body.lower() for telltale in TELLTALES)


def assert_for_one_alone(answer: Answer) -> None:
    """No cache between us and who asked may give it to another."""
    said = answer.headers.get("Cache-Control", "")
    assert "private" in said or "no-store" in said or answer.status == 301, (answer.status, said)
    assert "public" not in said


@pytest.mark.parametrize("caller", NOBODY)
def test_who_has_not_signed_in_is_told_the_same_at_every_address(case: Case, caller: str) -> None:
    asked = len(case.upstream.log)
    for path in (*PRIVATE, *RESERVED, *PUBLIC, *LISTS, *ELSEWHERE, *NOTHING):
        for method, headers in HOWS if caller == "nobody" else HOWS[:1]:
            answer = case.ask(caller, method, path, **headers)
            assert_unsigned(answer)
    for method, path in (("POST", "/pypi"), ("POST", "/RPC2"), ("POST", "/simple/"), ("DELETE", f"/simple/{NAME}/")):
        assert_unsigned(case.ask(caller, method, path, body=b"<x/>"))
    assert len(case.upstream.log) == asked


@pytest.mark.parametrize("caller", STRANGERS)
def test_who_has_no_right_to_a_project_sees_nothing_of_it_at_any_address(case: Case, caller: str) -> None:
    asked = len(case.upstream.log)
    for path in (*PRIVATE, *RESERVED):
        for method, headers in HOWS:
            answer = case.ask(caller, method, path, **headers)
            # Never 404, over which uv would go on to the next index.
            assert answer.status == 403, (method, path, answer)
            assert answer.headers["Cache-Control"] == "no-store"
            assert "ETag" not in answer.headers
            assert SHA256.encode() not in answer.body
            assert b"1.0" not in answer.body.replace(FILE.encode(), b"")
    assert len(case.upstream.log) == asked


def test_what_a_stranger_is_told_does_not_depend_on_what_there_is(case: Case) -> None:
    for there, not_there in (
        (f"/pypi/{NAME}/1.0/json", f"/pypi/{NAME}/9.9/json"),
        (f"/integrity/{NAME}/1.0/{FILE}/provenance", f"/integrity/{NAME}/9.9/{FILE}/provenance"),
        (f"/packages/{PATH}/{FILE}", f"/packages/00/00/{'1' * 60}/{FILE}"),
        (f"/packages/{FILE}", f"/packages/{FILE.replace('1.0', '9.9')}"),
    ):
        answers = [case.ask("stranger", "GET", path) for path in (there, not_there)]
        assert [answer.status for answer in answers] == [403, 403]
        assert answers[0].body == answers[1].body


@pytest.mark.parametrize("caller", READERS)
def test_who_may_read_a_project_reads_it_at_every_address(case: Case, caller: str) -> None:
    for path in PRIVATE:
        for method, headers in HOWS:
            answer = case.ask(caller, method, path, **headers)
            assert answer.status in SEEN, (method, path, answer)
            assert_for_one_alone(answer)
            assert "Set-Cookie" not in answer.headers
    assert case.ask(caller, "GET", f"/packages/{PATH}/{FILE}").body == BODY
    assert FILE.encode() in case.ask(caller, "GET", f"/simple/{NAME}/", Accept=JSON).text


@pytest.mark.parametrize("caller", [*READERS, *STRANGERS])
def test_what_is_public_is_for_whoever_signs_in(case: Case, caller: str) -> None:
    page = json.loads(case.ask(caller, "GET", "/simple/numpy/", Accept=JSON).text)
    file = page["files"][0]["url"].removeprefix("../..")
    for path in (*PUBLIC, file, f"{file}.metadata"):
        answer = case.ask(caller, "GET", path)
        assert answer.status == 200, (path, answer)
        assert_for_one_alone(answer)
    for path in ELSEWHERE:
        assert case.ask(caller, "GET", path).status == 301
    for path in NOTHING:
        assert case.ask(caller, "GET", path).status == 404


@pytest.mark.parametrize("caller", [*READERS, *STRANGERS])
def test_lists_and_searches_show_what_the_caller_may_read(case: Case, caller: str) -> None:
    case.ask(caller, "GET", "/simple/numpy/")
    shown = caller in READERS
    for path in LISTS:
        for headers in FORMS:
            answer = case.ask(caller, "GET", path, **headers)
            assert answer.status == 200
            assert_for_one_alone(answer)
            assert (NAME.encode() in answer.text, b"acme-next" in answer.text) == (shown, shown)
            # Nor is it the public project of that name which is shown.
            assert b"kept" not in answer.text
            assert b"numpy" in answer.text
            again = case.ask(caller, "GET", path, **headers, If_None_Match=answer.headers["ETag"])
            assert again.status == 304
    call = xmlrpc.client.dumps(({"name": ["acme", "numpy", "kept"], "summary": ["made"]}, "or"), "search").encode()
    for path in ("/pypi", "/RPC2", "/pypi/"):
        answer = case.ask(caller, "POST", path, body=call, Content_Type="text/xml")
        hits: Any = xmlrpc.client.loads(answer.body)[0][0]
        assert {hit["name"] for hit in hits} == ({NAME, "numpy"} if shown else {"numpy"})
        assert_for_one_alone(answer)


def test_a_document_of_what_became_private_meanwhile_is_not_for_strangers(case: Case) -> None:
    """It waits for the metadata of the public project's wheel, and by then the project is another one."""
    theirs, body = wheel("turns", "0.1")
    case.upstream.publish("turns", theirs, body, metadata=metadata("turns", "0.1"))
    case.upstream.fault("/packages/", silent=True)
    with ThreadPoolExecutor(1) as pool:
        before = len(case.upstream.log)
        answer = pool.submit(case.ask, "stranger", "GET", "/pypi/turns/json")
        wait_until(lambda: any("/packages/" in one.path for one in case.upstream.log[before:]))
        assert case.upload("admin", "turns", *wheel("turns", "1.0")).status == 200
        assert answer.result().status == 403
    case.upstream.heal()


def test_a_list_that_one_has_seen_is_not_confirmed_to_another(case: Case) -> None:
    seen = case.ask("reader", "GET", "/simple/").headers["ETag"]
    assert case.ask("stranger", "GET", "/simple/", If_None_Match=seen).status == 200


def test_what_everybody_sees_tells_nothing(case: Case) -> None:
    for path, status in (("/-/health", 200), ("/robots.txt", 200), ("/-/static/nothing", 404)):
        answer = case.ask("nobody", "GET", path)
        assert answer.status == status
        assert not any(telltale in answer.body for telltale in TELLTALES)


def test_a_quarantined_project_gives_its_files_to_nobody_at_any_address(case: Case) -> None:
    """And to strangers, not even that it is quarantined."""
    case.perform(Mark(project=NAME, status="quarantined", reason="malware was found"))
    try:
        for path in PRIVATE:
            for caller in (*READERS, *STRANGERS):
                answer = case.ask(caller, "GET", path, Accept=JSON if "/simple/a" in path else "*/*")
                if "/packages/" in path or path.startswith("/integrity"):
                    assert answer.status == 403, path
                assert SHA256.encode() not in answer.text
                if caller in STRANGERS:
                    assert answer.status == 403
                    assert b"malware" not in answer.body
    finally:
        case.perform(Mark(project=NAME, status="active", reason=None))


# What changes something.

NEW = wheel("acme-new", "1.0")


@pytest.mark.parametrize("caller", [*NOBODY, *STRANGERS, "reader", "token to read"])
def test_who_may_not_upload_is_refused_and_the_name_is_not_made(case: Case, caller: str) -> None:
    answer = case.upload(caller, "acme-new", *NEW)
    assert answer.status == (401 if caller in NOBODY else 403)
    assert case.ask("admin", "GET", "/-/api/names").status == 200
    assert b"acme-new" not in case.ask("admin", "GET", "/-/api/names").body
    assert not list((case.data / "state" / "incoming").iterdir())
    if caller not in NOBODY:
        # The same, whatever is there already: not "it exists".
        assert case.upload(caller, NAME, *WHEEL).status == 403
        assert case.upload(caller, NAME, *wheel(NAME, "1.0", payload=b"other")).reason == case.upload(
            caller, NAME, *wheel(NAME, "7.0")
        ).reason.replace("7.0", "1.0")


ACTIONS: Mapping[str, dict[str, object]] = {
    "reserve": {"project": "acme-third"},
    "release": {"project": "acme-next"},
    "readmit": {"filename": "acme_sdk-0.1.tar.gz"},
    "yank": {"project": NAME, "version": "1.0"},
    "unyank": {"project": NAME, "version": "1.0"},
    "delete": {"project": NAME, "dry_run": False},
    "status": {"project": NAME, "status": "archived"},
}


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_for_who_has_the_right_by_post_alone(case: Case, action: str) -> None:
    """What an uploader may is to yank what is hers; all else is administrators' (J18)."""
    body = json.dumps(ACTIONS[action]).encode()
    before = case.ask("admin", "GET", "/-/api/names").body
    yanks = action in {"yank", "unyank"}
    for caller in case.callers:
        granted = caller in {"admin", "token", "bearer"} or (yanks and caller in {"uploader", "token to upload"})
        # A token is for what it is for, although its user may do everything.
        path = f"/-/api/{action}"
        reading = case.ask(caller, "GET", path)
        assert reading.status == (401 if caller in NOBODY else 405)
        if not granted:
            answer = case.ask(caller, "POST", path, body=body, Content_Type="application/json")
            assert answer.status == (401 if caller in NOBODY else 403), caller
            assert b"1.0" not in answer.body
    assert case.ask("admin", "GET", "/-/api/names").body == before
    if yanks:
        answer = case.ask("uploader", "POST", f"/-/api/{action}", body=body, Content_Type="application/json")
        assert len(json.loads(answer.body)["files"]) == 2


def test_names_are_listed_to_who_may_upload_to_them(case: Case) -> None:
    for caller, names in (
        ("admin", {NAME, "acme-next"}),
        ("uploader", {NAME, "acme-next"}),
        ("token to upload", {NAME, "acme-next"}),
        ("reader", set[str]()),
        ("token to read", set[str]()),
        ("stranger", set[str]()),
        ("token for elsewhere", set[str]()),
    ):
        answer = case.ask(caller, "GET", "/-/api/names")
        assert {one["name"] for one in json.loads(answer.body)["names"]} - {"turns"} == names, caller
        assert_for_one_alone(answer)


# What must never be written down.


def test_no_secret_comes_back_or_is_logged_on_any_way_through_the_new_routes(case: Case) -> None:
    """Passwords and tokens, right ones and wrong ones, in the places where clients and people put them (J10)."""
    canary = f"canary{secrets.token_hex(8)}"
    fake = f"yzn_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
    right = case.token("admin")
    password = case.passwords["admin"]
    ways = [
        basic("admin", canary),
        basic(canary, "x"),
        basic(canary, ""),
        basic("__token__", canary),
        basic("__token__", fake),
        basic(fake, ""),
        basic("admin", fake),
        basic("__token__", right),
        basic(right, ""),
        basic("admin", password),
        {"Authorization": f"Bearer {canary}"},
        {"Authorization": f"Bearer {fake}"},
        {"Authorization": f"Bearer {right}"},
        {"Authorization": f"Basic {canary}"},
        {"Authorization": canary},
    ]
    form = form_of("acme-sdk", *wheel(NAME, "1.0", payload=b"other bytes"))
    places = [
        ("GET", f"/simple/{NAME}/", "", b""),
        ("GET", f"/packages/{PATH}/{FILE}", "", b""),
        ("GET", "/nothing", "", b""),
        ("GET", "/-/api/names", "", b""),
        ("POST", "/-/api/yank", "application/json", json.dumps({"project": NAME, "version": "9.9"}).encode()),
        ("POST", "/-/api/yank", "application/json", b"{"),
        ("POST", "/-/api/nothing", "application/json", b"{}"),
        ("POST", "/-/api/yank", "text/plain", b""),
        ("POST", "/RPC2", "text/xml", b"<x/>"),
        ("POST", "/legacy/", form[0], form[1]),
        ("POST", "/legacy/", "text/plain", b"x"),
        ("PUT", "/simple/", "", b""),
    ]
    encoded = [way["Authorization"].partition(" ")[2] for way in ways]
    said: list[bytes] = []
    for way in ways:
        for method, path, kind, body in places:
            sent = {**way, **({"Content-Type": kind} if kind else {})}
            for target in (path, f"{path}?token={canary}", f"http://{canary}:{canary}@localhost{path}"):
                answer = ask(case.server, method, target, sent, body)
                said += [answer.text, answer.reason.encode(), repr(answer.headers).encode()]
    written = "\n".join(case.server.lines).encode()
    for secret in (canary, fake, fake.rpartition("_")[2], right, right.rpartition("_")[2], password, *encoded):
        if secret:
            assert not any(secret.encode() in text for text in said), secret
            assert secret.encode() not in written
    command_line = Path(f"/proc/{case.server.process.pid}/cmdline").read_bytes()
    assert right.encode() not in command_line
