"""The warm path over real sockets: what it answers, that nobody can tell, and what it must leave to aiohttp."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path

import bcrypt
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from proxy.ops import logs
from proxy.policy import Policy
from proxy.publishing import Selection
from proxy.simple.model import HTML, JSON, Project
from proxy.storage import Standing
from proxy.web.front import LONGEST, SMALL, TOLD, Server, cut
from proxy.web.peers import Peers
from proxy.web.sending import CHUNK
from proxy.web.small import KEPT, SmallFiles
from proxy.web.underway import UnderWay

from .test_index import serve
from .test_repository import House

SDK, NUMPY = canonicalize_name("acme-sdk"), canonicalize_name("numpy")
PAGE = "/simple/numpy/"
MOVING = {"date", "yizhan-source"}


class Lines(logging.Handler):
    """Keeps lines of the access log as both formatters write them."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.json: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text += logs.TextFormatter().format(record).split("\n")
        self.json += logs.JSONFormatter().format(record).split("\n")


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logs.access.addHandler(handler)
    logs.access.setLevel(logging.INFO)
    yield handler
    logs.access.setLevel(logging.NOTSET)
    logs.access.removeHandler(handler)


def request(path: str = PAGE, *, method: str = "GET", version: str = "1.1", **fields: str) -> bytes:
    """The bytes of a request; fields with `_` for `-`."""
    said = {"Host": "pypi.example", "Accept": JSON, **{name.replace("_", "-"): value for name, value in fields.items()}}
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in said.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True)
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def settled(self) -> tuple[int, dict[str, str], bytes]:
        """All of it but what changes by the second."""
        return self.status, {name: value for name, value in self.fields.items() if name not in MOVING}, self.body


class Line:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *chunks: bytes) -> None:
        """Each of *chunks* as the server reads it: by itself."""
        for chunk in chunks:
            self.writer.write(chunk)
            await self.writer.drain()
            await asyncio.sleep(0.02)

    async def answer(self, *, head: bool = False) -> Answer:
        first, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n").split("\r\n")
        status = int(first.split()[1])
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        size = 0 if head or status == 304 else int(fields.get("content-length", 0))
        return Answer(status, fields, await self.reader.readexactly(size))

    async def ask(self, chunk: bytes) -> Answer:
        self.writer.write(chunk)
        return await self.answer(head=chunk.startswith(b"HEAD "))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


@dataclass
class Site:
    """A server whose index is in memory, and how many requests came to aiohttp."""

    house: House
    server: Server
    underway: UnderWay
    small: SmallFiles
    port: int = 0
    now: float = 0.0
    asked: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> Line:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)
        self.writers.append(writer)
        return Line(reader, writer)

    async def warm(self, chunk: bytes) -> tuple[Line, Answer]:
        """A connection on which *chunk* was answered, so that it is answered from memory now, and the answer."""
        line = await self.connect()
        first = await line.ask(chunk)
        before = len(self.asked)
        again = await line.ask(chunk)
        assert len(self.asked) == before, "it went to aiohttp"
        assert again.settled == first.settled
        return line, again

    async def is_asked(self, line: Line, chunk: bytes) -> Answer:
        """The answer to *chunk*, which must come by way of aiohttp."""
        before = len(self.asked)
        answer = await line.ask(chunk)
        assert len(self.asked) == before + 1, "it was answered from memory"
        return answer


@asynccontextmanager
async def running(
    folder: Path,
    *,
    policy: Policy | None = None,
    closed: bool = False,
    trusted: str = "",
    keepalive: float = 60.0,
    room: int = 10**6,
    access_log: logging.Logger | None = None,
) -> AsyncIterator[Site]:
    house = House(folder, policy or Policy(claim="allow"))
    house.upstream.fresh = True
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl", b"bytes")
    peers = Peers((ip_network(trusted),) if trusted else ())
    small = SmallFiles(room=10**6, clock=lambda: built.now)
    made = serve(house, folder / "htpasswd", closed=closed)
    made.view.files._small = small
    app = replace(made, peers=peers)

    async def asked(request: web.BaseRequest) -> web.StreamResponse:
        built.asked.append(request.raw_path)
        return await app(request)

    underway = UnderWay(asked)
    server = Server(underway, peers=peers, room=room, keepalive=keepalive, access_log=access_log)
    built = Site(house, server, underway, small)

    def told(project: Project, agent: str) -> None:
        built.told.append((project.name, agent))

    made.view.projects._answered = told
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    built.port = runner.addresses[0][1]
    try:
        yield built
    finally:
        for writer in built.writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await runner.cleanup()
        await house.downloads.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path) as made:
        yield made


# What is answered


@pytest.mark.parametrize("accept", [JSON, HTML, "text/html"])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_the_same_request_is_answered_alike_without_aiohttp(site: Site, accept: str, coding: str) -> None:
    chunk = request(Accept=accept, Accept_Encoding=coding)
    _, answer = await site.warm(chunk)
    assert answer.status == 200
    assert answer.fields["yizhan-source"].startswith('"one";age=')
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", answer.fields["date"])
    assert (await (await site.connect()).ask(chunk)).settled == answer.settled  # on another connection, as its first
    assert len(site.asked) == 1


async def test_a_head_is_answered_without_a_body(site: Site) -> None:
    line, whole = await site.warm(request())
    await site.is_asked(line, request(method="HEAD"))
    head = await line.ask(request(method="HEAD"))
    assert site.asked == [PAGE, PAGE]
    assert (head.status, head.fields["content-length"], head.body) == (200, str(len(whole.body)), b"")
    assert (await line.ask(request())).settled == whole.settled


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", W/"more", {}', "*"])
async def test_who_has_the_page_is_told_so(site: Site, form: str) -> None:
    _, whole = await site.warm(request())
    chunk = request(If_None_Match=form.format(whole.fields["etag"]))
    line, answer = await site.warm(chunk)
    assert (answer.status, answer.fields["etag"], answer.body) == (304, whole.fields["etag"], b"")
    assert "content-type" not in answer.fields
    assert (await line.ask(request(If_None_Match='"another"'))).settled == whole.settled
    assert len(site.asked) == 2


@pytest.mark.parametrize("name", ["User_Agent", "user_agent"])
async def test_who_asks_makes_no_difference_and_is_told_of(site: Site, name: str) -> None:
    line = await site.connect()
    for number in range(5):
        await line.ask(request(**{name: f'pip/{number} {{"If-None-Match": "*"}}'}))
        await line.ask(request(**{name: f'pip/{number} {{"If-None-Match": "*"}}'}))
    assert len(site.asked) == 1
    assert {agent.split()[0] for _, agent in site.told} == {f"pip/{number}" for number in range(5)}


async def test_nobody_is_told_without_end_of_the_same_client(site: Site) -> None:
    line, _ = await site.warm(request(User_Agent="pip"))
    for _ in range(300):
        await line.ask(request(User_Agent="pip"))
    assert len(site.told) < 20  # once a second, and whenever aiohttp answers
    for number in range(3 * TOLD):
        await line.ask(request(User_Agent=f"pip/{number}"))
    assert {f"pip/{number}" for number in range(3 * TOLD)} <= {agent for _, agent in site.told}


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_two_requests_are_alike_only_in_all_but_their_agent_and_validators(text: str) -> None:
    plain, other = cut(request(User_Agent=text, If_None_Match='"a"')), cut(request(User_Agent="b", If_None_Match=text))
    assert plain is not None
    assert other is not None
    assert plain.rest == other.rest == request(User_Agent="", If_None_Match="")
    assert (plain.agent, plain.validators) == (text.strip(" ").encode(), b'"a"')


@pytest.mark.parametrize("value", [b"a\x00b", b"a\nb", b"a\rb", b"\xe9", b"a\tb"])
def test_what_is_no_plain_text_is_not_cut_out(value: bytes) -> None:
    assert cut(request(User_Agent="@").replace(b"@", value)) is None


# What is left to aiohttp


async def test_a_request_in_two_pieces_is_answered_and_what_comes_after_it_goes_to_aiohttp(site: Site) -> None:
    _, whole = await site.warm(request())
    line, before = await site.connect(), len(site.asked)
    await line.send(request()[:40], request()[40:])
    assert (await line.answer()).settled == whole.settled
    for _ in range(3):
        assert (await site.is_asked(line, request())).settled == whole.settled
    assert len(site.asked) == before + 4


async def test_requests_sent_ahead_are_answered_in_their_order(site: Site) -> None:
    _, whole = await site.warm(request())
    line = await site.connect()
    await line.send(request() + request(method="HEAD") + request("/-/health"))
    assert (await line.answer()).settled == whole.settled
    assert (await line.answer(head=True)).body == b""
    assert (await line.answer()).body == b"ok\n"
    slow = await site.connect()
    site.house.upstream.publish("scipy", "scipy-1.0-py3-none-any.whl")
    site.house.upstream.fresh = False
    site.house.upstream.gate.clear()
    await slow.send(request("/simple/scipy/"), request("/-/health"))
    site.house.upstream.gate.set()
    assert b"scipy" in (await slow.answer()).body
    assert (await slow.answer()).body == b"ok\n"


async def test_a_page_request_in_a_header_line_is_none(site: Site) -> None:
    await site.warm(request())
    line = await site.connect()
    await line.send(b"GET /-/health HTTP/1.1\r\nX-Said: ", request())
    assert (await line.answer()).body == b"ok\n"
    assert site.asked[-1] == "/-/health"


async def test_a_page_request_in_a_header_line_that_began_before_the_last_answer_is_none(site: Site) -> None:
    await site.warm(request())
    site.house.upstream.publish("scipy", "scipy-1.0-py3-none-any.whl")
    site.house.upstream.gate.clear()
    line = await site.connect()
    await line.send(request("/simple/scipy/"), b"GET /-/health HTTP/1.1\r\nX-Said: ")
    site.house.upstream.gate.set()
    assert b"scipy" in (await line.answer()).body
    assert (await line.ask(request())).body == b"ok\n"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_page_request_in_a_body_is_none(site: Site, method: str) -> None:
    await site.warm(request())
    line, before = await site.connect(), len(site.asked)
    await line.send(request("/-/health", method=method, Content_Length=str(len(request()))), request(), request())
    first, second = await line.answer(), await line.answer()
    assert (first.status == 200) is (method == "GET")
    assert second.status == 200
    assert b"numpy" in second.body
    assert site.asked[before:] == ["/-/health", PAGE]
    line.writer.write_eof()
    with pytest.raises((asyncio.IncompleteReadError, TimeoutError)):
        async with asyncio.timeout(0.2):
            await line.answer()


@pytest.mark.parametrize(
    "bad",
    [
        request().replace(b"\r\n\r\n", b"\r\n\n"),
        b"\r\n" + request(),
        request(Transfer_Encoding="chunked").replace(b"\r\n\r\n", b"\r\n\r\n0\r\n\r\n"),
        request(Upgrade="h2c", Connection="Upgrade"),
        request(X_Long="a" * LONGEST),
        request(USER_AGENT="a"),
        request(User_Agent="a", user_agent="b"),
        request(If_None_Match='"a"', if_none_match='"b"'),
        request("/-/health"),
        request("/simple/nothing/"),
    ],
)
async def test_what_is_not_one_plain_request_is_never_warm(site: Site, bad: bytes) -> None:
    await site.warm(request())
    for _ in range(3):
        before, line = len(site.asked), await site.connect()
        await line.send(bad, b"\r\n\r\n" if b"Host" in bad else b"")
        answer = await line.answer()
        assert len(site.asked) == before + (answer.status != 400)
    assert len(site.server._entries) == 1


async def test_an_old_client_and_one_that_says_goodbye_are_let_go(site: Site) -> None:
    await site.warm(request())
    for chunk in (request(version="1.0"), request(Connection="close")):
        for _ in range(2):
            line = await site.connect()
            assert (await site.is_asked(line, chunk)).status == 200
            assert await line.is_closed()


async def test_who_does_not_read_is_not_sent_without_end(site: Site) -> None:
    chunk = request()
    _, whole = await site.warm(chunk)
    line, sent = await site.connect(), 20_000
    flood = asyncio.create_task(_all(line.writer, chunk, sent))
    for _ in range(50):
        await asyncio.sleep(0.01)
        held = [handler.transport.get_write_buffer_size() for handler in site.server.connections if handler.transport]
        assert max(held) < 2 * 65536 + 2 * len(whole.body)
        assert all(len(handler._messages) < 100 for handler in site.server.connections)
    for _ in range(sent):
        assert (await line.answer()).settled == whole.settled
    await flood


async def test_who_asks_and_asks_and_does_not_read_is_waited_for(site: Site) -> None:
    body = bytes(range(256)) * 800
    chunk, _ = await held(site, body)
    await site.warm(chunk)
    line, count = await site.connect(), 100
    line.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a transport that reads too
    most = 0
    for _ in range(count):
        line.writer.write(chunk)
        await asyncio.sleep(0.005)  # or several would come together, which are aiohttp's from the start
        sizes = [one.transport.get_write_buffer_size() for one in site.server.connections if one.transport]
        most = max(most, *sizes)
    assert most <= 3 * len(body)
    line.writer.transport.resume_reading()  # type: ignore[attr-defined]  # the same
    for _ in range(count):
        assert (await line.answer()).body == body


async def _all(writer: asyncio.StreamWriter, chunk: bytes, count: int) -> None:
    for _ in range(count):
        writer.write(chunk)
        await writer.drain()


async def test_requests_are_remembered_while_there_is_room(tmp_path: Path) -> None:
    async with running(tmp_path, room=20_000) as site:
        line = await site.connect()
        for number in range(100):
            await line.ask(request(X_Number=str(number)))
            held = sum(len(key) + 1_000 for key in site.server._entries)
            assert held == site.server._size <= 20_000
        assert 0 < len(site.server._entries) < 20


async def test_a_connection_is_kept_while_it_is_used_and_no_longer(tmp_path: Path) -> None:
    async with running(tmp_path, keepalive=1.2) as site:
        line, _ = await site.warm(request())
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.5
        while loop.time() < end:  # twice as long as an idle one is kept
            assert (await line.ask(request())).status == 200
            await asyncio.sleep(0.05)
        assert 3 < len(site.asked) < 25  # some, so that aiohttp's clock runs on; the others not
        assert await line.is_closed()


async def test_a_stopping_server_answers_and_says_goodbye(site: Site) -> None:
    line, whole = await site.warm(request())
    idle, _ = await site.warm(request())
    site.server.stop()
    await site.underway.finish(1.0)
    answer = await site.is_asked(line, request())
    assert answer.body == whole.body
    assert answer.fields["connection"] == "close"
    assert await line.is_closed()
    site.server.pre_shutdown()
    await idle.send(request())  # into the void: aiohttp reads no more
    await site.server.shutdown(0.1)
    assert await idle.is_closed()
    assert len(site.server._entries) == 0


# Whether it still is the answer


async def change_name(site: Site) -> None:
    await site.house.upload("numpy", "numpy-9.0-py3-none-any.whl")


async def change_page(site: Site) -> None:
    site.house.upstream.publish("numpy", "numpy-9.0-py3-none-any.whl", b"new")


CHANGES: dict[str, Callable[[Site], object]] = {"claimed": change_name, "refreshed": change_page}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_page_that_changed_is_not_answered_any_more(site: Site, what: str) -> None:
    line, old = await site.warm(request())
    await CHANGES[what](site)  # type: ignore[misc]  # each is awaitable
    answer = await line.ask(request())
    files = [file["filename"] for file in json.loads(answer.body)["files"]]
    assert "numpy-9.0-py3-none-any.whl" in files
    assert ("numpy-1.0-py3-none-any.whl" in files) is (what == "refreshed")
    assert answer.fields["etag"] != old.fields["etag"]
    assert (await line.ask(request(If_None_Match=old.fields["etag"]))).body == answer.body
    assert (await line.ask(request())).settled == answer.settled


async def test_what_an_operator_does_to_a_private_project_is_seen_at_once(site: Site) -> None:
    house = site.house
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    line, page = await site.warm(request("/simple/acme-sdk/"))
    assert page.fields["yizhan-source"] == "private"
    wheel = json.loads(page.body)["files"][0]
    file = wheel["url"].removeprefix("../..")
    files, _ = await site.warm(request(file))

    async def now() -> dict[str, object]:
        return json.loads((await line.ask(request("/simple/acme-sdk/"))).body)  # type: ignore[no-any-return]  # JSON

    await house.store.yank(["acme_sdk-1.0-py3-none-any.whl"], "broken")
    assert (await now())["files"][0]["yanked"] == "broken"  # type: ignore[index]  # JSON
    await house.store.settle(SDK, Standing(status="quarantined", reason="stolen"))
    assert (await now())["project-status"] == {"status": "quarantined", "reason": "stolen"}
    assert (await files.ask(request(file))).status == 403
    await house.store.settle(SDK, Standing())
    assert (await files.ask(request(file))).status == 200
    await house.publishing.delete(SDK, Selection(), dry_run=False)
    assert (await now())["files"] == []
    assert (await files.ask(request(file))).status == 404
    await house.store.release(SDK)
    house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    assert (await now())["files"][0]["filename"] == "acme_sdk-99.0-py3-none-any.whl"  # type: ignore[index]  # JSON


async def test_a_page_that_would_be_waited_for_is(site: Site) -> None:
    line, old = await site.warm(request())
    site.house.upstream.fresh = False
    site.house.upstream.vanished = True
    assert (await site.is_asked(line, request())).status == 404
    site.house.upstream.vanished = False
    site.house.upstream.down = True
    assert (await site.is_asked(line, request())).status == 503
    site.house.upstream.fresh = True
    assert (await line.ask(request())).settled == old.settled


async def test_a_name_that_both_sides_answer_for_is_warm_until_one_of_them_changes(tmp_path: Path) -> None:
    async with running(tmp_path, policy=Policy(claim="allow", overlay=frozenset({NUMPY}))) as site:
        await site.house.upload("numpy", "numpy-2.0-py3-none-any.whl")
        line, page = await site.warm(request())
        assert page.body.count(b'"filename"') == 2
        site.house.upstream.publish("numpy", "numpy-3.0-py3-none-any.whl")
        assert (await line.ask(request())).body.count(b'"filename"') == 3
        await site.house.upload("numpy", "numpy-4.0-py3-none-any.whl")
        assert (await line.ask(request())).body.count(b'"filename"') == 4


async def test_a_file_whose_name_becomes_a_private_ones_too_is_not_given_out(site: Site) -> None:
    listed = site.house.upstream.publish("acme-sdk", "acme-sdk-1.0-1.tar.gz", b"bytes")
    (site.house.folder / "body").write_bytes(b"bytes")
    assert listed.sha256 is not None
    await site.house.cache.adopt(listed.sha256, site.house.folder / "body")
    chunk = request(f"/packages/{listed.path}/{listed.filename}")
    line, _ = await site.warm(chunk)
    page, _ = await site.warm(request("/simple/acme-sdk/"))
    await site.house.upload("acme-sdk-1-0", "acme_sdk_1_0-1-py3-none-any.whl")
    assert (await line.ask(chunk)).status == 404
    assert json.loads((await page.ask(request("/simple/acme-sdk/"))).body)["files"] == []


async def test_nothing_is_warm_where_reading_is_for_users(tmp_path: Path) -> None:
    async with running(tmp_path, closed=True) as site:
        line = await site.connect()
        for _ in range(3):
            assert (await site.is_asked(line, request())).status == 401
        password = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()
        (tmp_path / "htpasswd").write_text(f"wang:{password}\n")
        login = "Basic " + b64encode(b"wang:hunter2").decode()
        for chunk in (
            request(Authorization=login),
            (await held(site, b"file"))[0].replace(b"Host", f"Authorization: {login}\r\nHost".encode()),
        ):
            for _ in range(3):
                assert (await site.is_asked(line, chunk)).status == 200
        assert site.server._entries == {}


# Files


async def held(site: Site, body: bytes, filename: str = "numpy-2.0-py3-none-any.whl") -> tuple[bytes, str]:
    """The request for a file of the index that the cache has, and its sha256."""
    listed = site.house.upstream.publish("numpy", filename, body)
    (site.house.folder / "body").write_bytes(body)
    assert listed.sha256 is not None
    await site.house.cache.adopt(listed.sha256, site.house.folder / "body")
    return request(f"/packages/{listed.path}/{filename}"), listed.sha256


@pytest.mark.parametrize("size", [0, 1, 70_000, SMALL])
async def test_a_small_file_is_answered_from_memory(site: Site, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    chunk, sha256 = await held(site, body)
    line, answer = await site.warm(chunk)
    assert hashlib.sha256(answer.body).hexdigest() == sha256
    assert answer.fields["etag"] == f'"{sha256}"'
    assert answer.fields["accept-ranges"] == "bytes"
    assert "last-modified" in answer.fields
    again = await line.ask(chunk.replace(b"\r\n\r\n", b'\r\nIf-None-Match: "other"\r\n\r\n'))
    assert again.body == body


async def test_a_larger_one_is_not(site: Site) -> None:
    chunk, _ = await held(site, b"x" * (SMALL + 1))
    line = await site.connect()
    for _ in range(3):
        assert len((await site.is_asked(line, chunk)).body) == SMALL + 1


async def test_a_part_of_a_small_file_is_a_part(site: Site) -> None:
    chunk, _ = await held(site, b"0123456789")
    line, _ = await site.warm(chunk)
    for _ in range(2):
        part = await site.is_asked(line, chunk.replace(b"\r\n\r\n", b"\r\nRange: bytes=2-4\r\n\r\n"))
        assert (part.status, part.body) == (206, b"234")
    wrong = await site.is_asked(line, chunk.replace(b"\r\n\r\n", b'\r\nIf-Match: "other"\r\n\r\n'))
    assert wrong.status == 412


async def test_a_file_that_is_on_no_page_any_more_is_not_given_out(site: Site) -> None:
    chunk, _ = await held(site, b"0123456789")
    line, _ = await site.warm(chunk)
    del site.house.upstream.pages[NUMPY]
    assert (await line.ask(chunk)).status == 404


async def test_memory_forgets_a_file_after_a_minute_and_asks_the_cache_again(site: Site) -> None:
    chunk, sha256 = await held(site, b"0123456789")
    line, answer = await site.warm(chunk)
    del site.house.cache.bodies[sha256]
    site.now += KEPT - 1
    assert (await line.ask(chunk)).settled == answer.settled
    site.now += 1
    before = len(site.house.sources.asked)
    site.house.sources.lines[0] = replace(site.house.sources.lines[0], body=b"0123456789")
    site.house.sources.by_name["one"].lines[0] = site.house.sources.lines[0]
    assert (await line.ask(chunk)).body == b"0123456789"
    assert len(site.house.sources.asked) > before


async def test_files_are_kept_while_there_is_room(site: Site) -> None:
    site.small._room = 10_000
    for number in range(20):
        chunk, _ = await held(site, bytes([number]) * 3_000, f"numpy-3.{number}-py3-none-any.whl")
        line = await site.connect()
        await line.ask(chunk)
        assert site.small._size == sum(one.cost for one in site.small._held.values()) <= 10_000
    assert len(site.small._held) == 2


# The access log


def without_time(line: str) -> str:
    """*line* without when it was, and how long it took."""
    line = re.sub(r'^\S+Z|"time": "[^"]*"|"seconds": [\d.]+', "", line)
    return re.sub(r'(200 \d+) [\d.]+ (\\?")', r"\1 \2", line)


AGENTS = ["", "pip/23", 'pip/23.2 {"a":"b\\c"} %s', "x" * 500, " spaces  ", "1.5"]


async def test_lines_of_warm_answers_are_those_of_all_others(tmp_path: Path, lines: Lines) -> None:
    async with running(tmp_path, access_log=logs.access) as site:
        assert site.server.lines is not None
        asked = [request(User_Agent=agent) for agent in AGENTS] + [request(), request(method="HEAD")]
        for chunk in [*asked, *asked]:
            await site.warm(chunk)
        cold, warm = list[str](), list[str]()
        for chunk in asked:
            for into in (cold, warm):
                if into is cold:
                    site.server._entries.clear()
                site.server.lines.flush()
                del lines.text[:], lines.json[:]
                line, before = await site.connect(), len(site.asked)
                await line.ask(chunk)
                await until(lambda: len(lines.text) == 1)
                assert (len(site.asked) > before) is (into is cold)
                into += [*lines.text, *lines.json]
    assert [without_time(line) for line in warm] == [without_time(line) for line in cold]
    assert len(warm) == 2 * len(asked)


@given(st.text(), st.text(), st.text(), st.integers(0, 10**12))
def test_one_line_is_written_alike_alone_and_together(client: str, path: str, agent: str, size: int) -> None:
    one = logs.Answered(client, "-", "GET", path, 200, size, 0.0, agent)
    made = logs.access.makeRecord(logs.access.name, logging.INFO, "", 0, "%s", (one.message,), None)
    made.fields = one.fields
    together = logs.access.makeRecord(
        logs.access.name, logging.INFO, "", 0, "requests", (), None, extra={"together": [(made.created, one)] * 2}
    )
    for formatter in (logs.TextFormatter(), logs.JSONFormatter()):
        line = formatter.format(made)
        assert formatter.format(together) == f"{line}\n{line}"
        assert len(line.splitlines()) == 1


async def test_lines_stand_in_the_order_of_the_answers(tmp_path: Path, lines: Lines) -> None:
    async with running(tmp_path, access_log=logs.access) as site:
        line, _ = await site.warm(request())
        for _ in range(3):
            await line.ask(request(User_Agent="warm"))
        await line.ask(request("/-/health"))
        paths = [text.split()[6] for text in lines.text]
        assert paths == [PAGE] * 5 + ["/-/health"]


async def test_clients_are_whom_a_trusted_proxy_names(tmp_path: Path, lines: Lines) -> None:
    async with running(tmp_path, access_log=logs.access, trusted="127.0.0.0/8") as site:
        for client in ("10.0.0.1", "10.0.0.2"):
            await site.warm(request(X_Forwarded_For=client))
        await until(lambda: len(lines.text) == 4)
        assert [text.split()[3] for text in lines.text] == ["10.0.0.1"] * 2 + ["10.0.0.2"] * 2


async def test_nobody_else_is_believed_who_he_is(tmp_path: Path, lines: Lines) -> None:
    async with running(tmp_path, access_log=logs.access) as site:
        await site.warm(request(X_Forwarded_For="10.0.0.1"))
        await until(lambda: len(lines.text) == 2)
        assert [text.split()[3] for text in lines.text] == ["127.0.0.1"] * 2


async def test_what_one_peer_was_answered_is_no_word_on_another(tmp_path: Path, lines: Lines) -> None:
    """A proxy may name the client, and another peer may not: their requests are not the same."""
    async with running(tmp_path, access_log=logs.access, trusted="127.0.0.1/32") as site:
        await site.warm(request(X_Forwarded_For="10.0.0.1"))
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, local_addr=("127.0.0.2", 0))
        site.writers.append(writer)
        await site.is_asked(Line(reader, writer), request(X_Forwarded_For="10.0.0.1"))
        await Line(reader, writer).ask(request(X_Forwarded_For="10.0.0.1"))
        await until(lambda: len(lines.text) == 4)
        assert [text.split()[3] for text in lines.text] == ["10.0.0.1"] * 2 + ["127.0.0.2"] * 2


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


# Pages too large for memory's way


async def test_a_large_page_goes_out_in_pieces_and_is_whole(site: Site) -> None:
    for number in range(1_000):
        site.house.upstream.publish("large", f"large-{number}.0-py3-none-any.whl")
    line = await site.connect()
    first = await line.ask(request("/simple/large/"))
    assert len(first.body) > SMALL
    assert len(json.loads(first.body)["files"]) == 1_000
    again = await site.is_asked(line, request("/simple/large/"))
    assert again.settled == first.settled
    head = await site.is_asked(line, request("/simple/large/", method="HEAD"))
    assert (head.fields["content-length"], head.body) == (str(len(first.body)), b"")
    assert (await line.ask(request("/simple/large/", If_None_Match=first.fields["etag"]))).status == 304
    reader, before = await site.connect(), len(site.asked)
    reader.writer.write(request("/simple/large/"))
    await until(lambda: len(site.asked) > before)
    await asyncio.sleep(0.1)
    held = [handler.transport.get_write_buffer_size() for handler in site.server.connections if handler.transport]
    assert max(held) <= 2 * CHUNK  # whoever reads slowly holds a piece, and not a copy
    assert (await reader.answer()).body == first.body
