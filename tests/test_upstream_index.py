"""One upstream server, over real sockets: what is asked, what is believed, and what every lie and failure means."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import MirrorFailed, NotFound
from proxy.policy import Policy, PublicName
from proxy.simple.model import HTML, JSON, TEXT
from proxy.simple.names import parse_name
from proxy.upstream.guard import Guard, origin_of
from proxy.upstream.health import Declined
from proxy.upstream.index import ACCEPT, Limits, Mirror
from proxy.upstream.sessions import open_sessions

from . import make
from .certificates import server_context
from .fault_proxy import FaultProxy, Toxics
from .upstream_listing import Item
from .upstream_server import CAPTIVE, PACE, UpstreamServer, running_upstream

MIB = 1024 * 1024
BODY = bytes(range(256)) * 4096


def public(text: str) -> PublicName:
    name = Policy().route(parse_name(text), frozenset()).public
    assert name is not None
    return name


DEMO = public("demo")


@asynccontextmanager
async def open_mirror(
    *ups: UpstreamServer,
    base: str | None = None,
    connections: int = 4,
    ca: Path | None = None,
    unknown: tuple[int, ...] = (404, 410),
    credentials: Mapping[str, tuple[str, str]] | None = None,
    **limits: Any,
) -> AsyncIterator[Mirror]:
    """A Mirror at the first of *ups*; the others are its own too."""
    base = base or ups[0].simple
    guard = Guard(own=[origin_of(base), *(origin_of(up.origin) for up in ups)])
    async with open_sessions(
        guard=guard, user_agent="yizhan/1.2.3", connect=2, ca=ca, credentials=credentials
    ) as sessions:
        times = {"connect": 2, "answer": 2, "stall": 2, "page": 5}
        yield Mirror(
            name="one",
            base=base,
            sessions=sessions,
            limits=Limits(**{**times, **limits}),
            connections=connections,
            unknown=unknown,
        )


@pytest.fixture
async def up() -> AsyncIterator[UpstreamServer]:
    async with UpstreamServer() as server:
        yield server


def publish(up: UpstreamServer, body: bytes = BODY) -> Item:
    return up.publish("demo", "demo-1.0-py3-none-any.whl", body, metadata=b"Metadata-Version: 2.1\n")


async def fetch(mirror: Mirror, url: str, *, begin: int = 0, end: int | None = None) -> bytes:
    async with mirror.transfer(url, begin=begin, end=end) as transfer:
        return b"".join([chunk async for chunk in transfer.chunks])


async def names(mirror: Mirror) -> bytes:
    async with mirror.root() as chunks:
        return b"".join([chunk async for chunk in chunks])


# Pages


async def test_a_page_is_asked_for_in_json_and_packed_without_cookies_or_credentials(up: UpstreamServer) -> None:
    publish(up)
    up.fault("/simple/", headers={"Set-Cookie": "id=1", "WWW-Authenticate": 'Bearer realm="http://127.0.0.1:9/"'})
    base = up.simple.replace("127.0.0.1", "localhost")  # a cookie jar would keep nothing of a bare address
    async with open_mirror(base=base) as mirror:
        page = await mirror.page(DEMO)
        await mirror.page(DEMO)
    assert page is not None
    assert (page.url, page.content_type) == (base + "demo/", JSON)
    assert json.loads(page.body)["name"] == "demo"
    for request in up.log:
        assert request.path == "/simple/demo/"
        assert request.headers["accept"] == ACCEPT == f"{JSON}, {HTML};q=0.2, {TEXT};q=0.01"
        assert request.headers["accept-encoding"] == "gzip"
        assert request.headers["user-agent"] == "yizhan/1.2.3"
        assert not {"cookie", "authorization", "if-none-match", "if-modified-since"} & set(request.headers)
    assert up.connections == 1


async def test_a_mirror_that_only_has_html_gives_html() -> None:
    async with UpstreamServer(kind="html") as up, open_mirror(up) as mirror:
        publish(up)
        page = await mirror.page(DEMO)
    assert page is not None
    assert page.content_type == "text/html; charset=utf-8"
    assert b"<h1>Links for demo</h1>" in page.body


async def test_an_unchanged_page_is_not_sent_again(up: UpstreamServer) -> None:
    publish(up)
    async with open_mirror(up) as mirror:
        page = await mirror.page(DEMO)
        assert page is not None
        assert await mirror.page(DEMO, etag=page.etag, last_modified=page.last_modified) is None
        assert await mirror.page(DEMO, last_modified=page.last_modified) is None
        up.publish("demo", "demo-2.0.tar.gz", b"new")
        changed = await mirror.page(DEMO, etag=page.etag, last_modified=page.last_modified)
    assert changed is not None
    assert changed.etag != page.etag
    assert up.log[1].headers["if-none-match"] == page.etag
    assert up.log[1].headers["if-modified-since"] == page.last_modified


async def test_a_packed_page_is_unpacked_and_its_weak_etag_still_holds() -> None:
    async with UpstreamServer(packed=True) as up, open_mirror(up) as mirror:
        publish(up)
        page = await mirror.page(DEMO)
        assert page is not None
        assert page.etag is not None
        assert page.etag.startswith("W/")
        assert json.loads(page.body)["files"][0]["size"] == len(BODY)
        assert await mirror.page(DEMO, etag=page.etag) is None


async def test_a_big_packed_page_is_unpacked_too(up: UpstreamServer) -> None:
    body = b"".join(b"%d " % number for number in range(300_000))
    up.fault("/simple/", status=200, body=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    async with open_mirror(up) as mirror:
        page = await mirror.page(DEMO)
    assert page is not None
    assert page.body == body


@pytest.mark.parametrize("etag", ["", "unquoted", '"' + "a" * 300 + '"', '"a"b"', '"caf\xe9"'])
async def test_an_etag_that_could_not_be_sent_back_is_not_kept(up: UpstreamServer, etag: str) -> None:
    publish(up)
    up.fault("/simple/", headers={"ETag": etag, "Last-Modified": "yesterday"})
    async with open_mirror(up) as mirror:
        page = await mirror.page(DEMO)
    assert page is not None
    assert page.etag is None
    assert page.last_modified is None


@pytest.mark.parametrize("status", [404, 410])
async def test_no_such_project_is_not_a_failure(up: UpstreamServer, status: int) -> None:
    async with open_mirror(up) as mirror:
        with pytest.raises(NotFound, match="one has no project nowhere"):
            await mirror.page(public("nowhere"))
        up.fault("/simple/", status=status)
        with pytest.raises(NotFound):
            await mirror.page(DEMO, etag='"a"')


@pytest.mark.parametrize("status", [201, 203, 204, 206, 300, 304, 305, 400, 401, 403, 429, 500, 502, 503, 504, 520])
async def test_any_other_status_is_a_failure(up: UpstreamServer, status: int) -> None:
    """A 304 too, where nothing was said that could be unchanged."""
    up.fault("/", status=status)
    async with open_mirror(up) as mirror:
        for verb in (mirror.page(DEMO), fetch(mirror, up.files + "a.whl"), names(mirror)):
            with pytest.raises(MirrorFailed, match=rf"one (answered {status} As said|sent a part)"):
                await verb


@pytest.mark.parametrize("unknown", [(404, 410), (403, 404, 410), (404,)])
async def test_what_no_such_thing_is_said_with_is_a_setting(up: UpstreamServer, unknown: tuple[int, ...]) -> None:
    """PyTorch's storage forbids what is not there."""
    async with open_mirror(up, unknown=unknown) as mirror:
        for status in (403, 404, 410):
            up.fault("/", status=status)
            for verb in (mirror.page(DEMO), fetch(mirror, up.files + "a.whl"), mirror.measure(up.files + "a.whl")):
                with pytest.raises(NotFound if status in unknown else MirrorFailed):
                    await verb


REFUSAL = """<html><head><style>body { color: #00000080 }</style></head><body><h1>403 Forbidden</h1>
<p>您的子网最近有异常请求。 Your subnet sent abnormal requests recently.</p>
<p>Status code: 1a2B3c4d</p><p>ID: 0123456789abcdef0123456789ABCDEF</p></body></html>""".encode()


@pytest.mark.parametrize("packed", [False, True])
async def test_a_refusal_is_told_with_the_code_and_the_id_on_its_page(up: UpstreamServer, packed: bool) -> None:
    headers = {"Content-Encoding": "gzip"} if packed else {}
    up.fault("/", status=403, body=gzip.compress(REFUSAL) if packed else REFUSAL, headers=headers)
    told = r"^one answered 403 As said \(code 1a2B3c4d, id 0123456789abcdef0123456789ABCDEF\)\.$"
    async with open_mirror(up) as mirror:
        for verb in (mirror.page(DEMO), fetch(mirror, up.files + "a.whl"), mirror.measure(up.files + "a.whl")):
            with pytest.raises(Declined, match=told) as caught:
                await verb
            assert (caught.value.host, caught.value.wait) == (f"127.0.0.1:{up.port}", None)


@pytest.mark.parametrize(
    "fault",
    [
        {"body": b"403 since 20260115, ask somebody else"},
        {"body": b"\x1f\x8b broken", "headers": {"Content-Encoding": "gzip"}},
        {"body": bytes(100_000) + REFUSAL},
        {"body": REFUSAL, "stall_after": 10},
        {"body": REFUSAL, "cut_after": 10},
        {"endless": True},
    ],
)
async def test_a_refusal_s_page_is_not_waited_for_and_not_read_to_its_end(
    up: UpstreamServer, fault: dict[str, Any]
) -> None:
    up.fault("/", **{"status": 403, **fault})
    async with open_mirror(up, answer=0.2) as mirror:
        with pytest.raises(Declined, match=r"^one answered 403 As said\.$"):
            await mirror.page(DEMO)


async def test_a_refusal_behind_a_redirect_is_told_with_the_host_that_refuses(up: UpstreamServer) -> None:
    async with UpstreamServer() as other, open_mirror(up, other) as mirror:
        up.fault("/", redirect=other.files + "a.whl")
        other.fault("/", status=403)
        with pytest.raises(Declined) as caught:
            await fetch(mirror, up.files + "a.whl")
        assert caught.value.host == f"127.0.0.1:{other.port}"


@pytest.mark.parametrize(
    ("status", "said", "wait"),
    [
        (429, "7", 7),
        (503, "7", 7),
        (429, None, 5),
        (429, "soon", 5),
        (429, "99999", 60),
        (401, "7", None),
        (403, None, None),
    ],
)
async def test_who_asks_to_be_left_alone_is_told_from_who_fails(
    up: UpstreamServer, status: int, said: str | None, wait: int | None
) -> None:
    up.fault("/", status=status, headers={"Retry-After": said})
    async with open_mirror(up) as mirror:
        with pytest.raises(Declined) as caught:
            await mirror.page(DEMO)
        assert caught.value.wait == wait
        up.fault("/", status=500 if said else 503, headers={"Retry-After": said})
        with pytest.raises(MirrorFailed) as failed:
            await mirror.page(DEMO)
        assert not isinstance(failed.value, Declined)


@pytest.mark.parametrize(
    ("said", "serial"), [("31415926", 31415926), ("0", 0), ("-1", None), ("x", None), (None, None)]
)
async def test_the_serial_in_the_head_is_read(up: UpstreamServer, said: str | None, serial: int | None) -> None:
    publish(up)
    up.fault("/", headers={"X-PyPI-Last-Serial": said})
    async with open_mirror(up) as mirror:
        page = await mirror.page(DEMO)
    assert page is not None
    assert page.serial == serial


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7),
        ("0", 1),
        ("99999", 60),
        ("9" * 5000, 60),
        ("soon", 5),
        ("", 5),
        ("-3", 5),
        ("Thu, 15 Jan 2026 12:00:30 GMT", 30),
        ("Thu, 15 Jan 2026 11:00:30 GMT", 1),
        ("Thu, 99 Jan 2026 12:00:30 GMT", 5),
    ],
)
async def test_how_long_to_wait_is_told_within_reason(up: UpstreamServer, said: str, seconds: int) -> None:
    up.fault("/", status=429, headers={"Retry-After": said, "Date": "Thu, 15 Jan 2026 12:00:00 GMT"})
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed) as caught:
            await mirror.page(DEMO)
    assert caught.value.retry_after == seconds


async def test_a_server_s_own_words_are_made_harmless(up: UpstreamServer) -> None:
    up.fault("/", raw=b"HTTP/1.1 403 \x1b[31mForbidden " + b"x" * 500 + b"\r\nContent-Length: 0\r\n\r\n")
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed) as caught:
            await mirror.page(DEMO)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip", "gzip,identity", "\x1b[2J"])
async def test_codings_that_nobody_asked_for_are_refused(up: UpstreamServer, coding: str) -> None:
    publish(up)
    up.fault("/", headers={"Content-Encoding": coding})
    async with open_mirror(up) as mirror:
        for verb in (mirror.page(DEMO), names(mirror)):
            with pytest.raises(MirrorFailed, match="one"):
                await verb


@pytest.mark.parametrize("size", [30 * MIB, 200 * MIB])
async def test_a_gzip_bomb_does_not_go_off(up: UpstreamServer, size: int) -> None:
    up.fault("/", status=200, body=gzip.compress(bytes(size), 9), headers={"Content-Encoding": "gzip"})
    async with open_mirror(up, max_page=MIB, max_root=MIB) as mirror:
        for verb in (mirror.page(DEMO), names(mirror)):
            with pytest.raises(MirrorFailed, match="one: A compressed answer unpacks to more than 1048576 bytes"):
                await verb


@pytest.mark.parametrize(
    "fault", [{"endless": True}, {"body": bytes(2 * MIB)}, {"body": bytes(2 * MIB), "framing": "close"}]
)
async def test_more_than_the_limit_is_not_taken(up: UpstreamServer, fault: Mapping[str, Any]) -> None:
    up.fault("/", **{"status": 200, "headers": {"Content-Type": JSON}, **fault})
    async with open_mirror(up, max_page=MIB, max_root=MIB, max_file=MIB) as mirror:
        for verb in (mirror.page(DEMO), names(mirror), fetch(mirror, up.files + "a.whl")):
            with pytest.raises(MirrorFailed, match="one sends more than the 1048576 bytes"):
                await verb


async def test_exactly_the_limit_is_taken(up: UpstreamServer) -> None:
    up.fault("/", status=200, body=bytes(MIB), headers={"Content-Type": JSON})
    async with open_mirror(up, max_page=MIB, max_root=MIB, max_file=MIB) as mirror:
        page = await mirror.page(DEMO)
        assert page is not None
        assert page.body == await names(mirror) == await fetch(mirror, up.files + "a.whl") == bytes(MIB)


# Time


async def test_silence_is_a_failure(up: UpstreamServer) -> None:
    up.fault("/", silent=True)
    async with open_mirror(up, connect=0.1, answer=0.1) as mirror:
        for verb in (
            mirror.page(DEMO),
            names(mirror),
            fetch(mirror, up.files + "a.whl"),
            mirror.measure(up.files + "a"),
        ):
            with pytest.raises(MirrorFailed, match=r"one did not answer within 0\.2 s"):
                await verb


async def test_bytes_that_cease_are_a_failure(up: UpstreamServer) -> None:
    item = publish(up)
    up.fault("/", stall_after=100)
    async with open_mirror(up, stall=0.2) as mirror:
        for verb in (mirror.page(DEMO), fetch(mirror, up.url(item))):
            with pytest.raises(MirrorFailed, match=r"one sent nothing for 0\.2 s"):
                await verb


async def test_a_page_that_drips_has_its_time(up: UpstreamServer) -> None:
    publish(up)
    up.fault("/simple/", drip=0.02)
    async with open_mirror(up, stall=0.2, page=0.4, low_speed=0) as mirror:
        with pytest.raises(MirrorFailed, match=r"one took more than 0\.4 s over a page"):
            await mirror.page(DEMO)


async def test_a_file_that_drips_is_a_stall(up: UpstreamServer) -> None:
    item = publish(up, bytes(100))
    up.fault("/packages/", drip=0.02)
    async with open_mirror(up, stall=0.2) as mirror:
        with pytest.raises(MirrorFailed, match=r"one sent only \d+ bytes in 0\.\d s"):
            await fetch(mirror, up.url(item))


async def test_a_slow_taker_is_not_a_slow_mirror(up: UpstreamServer) -> None:
    item = publish(up, BODY * 8)
    async with open_mirror(up, stall=0.1) as mirror, mirror.transfer(up.url(item), begin=0, end=None) as transfer:
        taken = 0
        async for chunk in transfer.chunks:
            taken += len(chunk)
            await asyncio.sleep(0.15)
    assert taken == len(BODY) * 8


async def test_a_page_does_not_wait_for_files_to_pass(up: UpstreamServer) -> None:
    item = publish(up)
    up.fault("/packages/", stall_after=10)
    async with open_mirror(up, connections=1, stall=60) as mirror:
        async with mirror.transfer(up.url(item), begin=0, end=None):
            waiting = asyncio.create_task(fetch(mirror, up.url(item)))
            assert await mirror.page(DEMO) is not None
            assert await mirror.measure(up.url(item)) == len(BODY)
            assert len([request for request in up.asked("/packages/") if "range" not in request.headers]) == 1
            up.heal()
        assert await waiting == BODY


async def test_waiting_for_a_turn_is_no_fault_of_the_server(up: UpstreamServer) -> None:
    item = publish(up)
    async with open_mirror(up, connections=1, connect=0.2, answer=0.2) as mirror:
        async with mirror.transfer(up.url(item), begin=0, end=None):
            waiting = asyncio.create_task(fetch(mirror, up.url(item)))
            done, _ = await asyncio.wait([waiting], timeout=0.6)
            assert not done
        assert await waiting == BODY


# Connections


async def test_a_closed_port_is_a_failure(up: UpstreamServer) -> None:
    up.refuse()
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match=r"one could not be reached: Connection refused\."):
            await mirror.page(DEMO)


async def test_an_unknown_name_is_a_failure() -> None:
    async with open_mirror(base="http://mirror.invalid/simple/") as mirror:
        with pytest.raises(MirrorFailed, match="one has a name that could not be resolved"):
            await mirror.page(DEMO)


async def test_a_connection_gone_stale_is_opened_anew(up: UpstreamServer) -> None:
    publish(up)
    async with open_mirror(up) as mirror:
        assert await mirror.page(DEMO) is not None
        up.refuse()
        up.accept()
        assert await mirror.page(DEMO) is not None


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_that_breaks_off_is_a_failure(up: UpstreamServer, reset: bool, framing: str) -> None:
    item = publish(up)
    up.fault("/", cut_after=40, reset=reset, framing=framing)
    async with open_mirror(up) as mirror:
        for verb in (mirror.page(DEMO), names(mirror), fetch(mirror, up.url(item))):
            with pytest.raises(MirrorFailed, match="one broke off"):
                await verb


@pytest.mark.parametrize("toxics", [{"refuse": True}, {"cut_after": 40}, {"cut_after": 1000, "reset": True}])
async def test_a_bad_line_is_a_failure_at_whatever_byte_it_breaks(up: UpstreamServer, toxics: dict[str, Any]) -> None:
    item = publish(up)
    async with FaultProxy(up.port) as line, open_mirror(up, base=f"{line.origin}/simple/") as mirror:
        url = up.url(item).replace(up.origin, line.origin)
        assert await fetch(mirror, url) == BODY
        line.toxics = Toxics(**toxics)
        up.refuse()
        up.accept()
        with pytest.raises(MirrorFailed, match="one"):
            await fetch(mirror, url)
        line.toxics = Toxics(corrupt_at=1000, times=1)
        received = await fetch(mirror, url)
        assert sum(a != b for a, b in zip(received, BODY, strict=True)) == 1
        assert await fetch(mirror, url) == BODY


async def test_a_black_hole_is_a_failure(up: UpstreamServer) -> None:
    async with FaultProxy(up.port) as line:
        line.toxics = Toxics(blackhole=True)
        async with open_mirror(base=f"{line.origin}/simple/", connect=0.1, answer=0.1) as mirror:
            with pytest.raises(MirrorFailed, match="one did not answer"):
                await mirror.page(DEMO)
        line.toxics = Toxics(stall_after=200, latency=0.01, rate=MIB)
        publish(up)
        async with open_mirror(base=f"{line.origin}/simple/", stall=0.1) as mirror:
            with pytest.raises(MirrorFailed, match="one sent nothing"):
                await mirror.page(DEMO)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(300)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    ],
)
async def test_bytes_that_are_not_http_are_a_failure(up: UpstreamServer, raw: bytes) -> None:
    up.fault("/", raw=raw)
    async with open_mirror(up) as mirror:
        for verb in (mirror.page(DEMO), fetch(mirror, up.files + "a.whl")):
            with pytest.raises(MirrorFailed, match="one"):
                await verb


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_page_elsewhere_is_found_and_its_links_begin_there(status: int) -> None:
    async with UpstreamServer() as up, UpstreamServer() as other, open_mirror(up, other) as mirror:
        publish(other)
        up.fault("/simple/", status=status, redirect=f"{other.origin}/simple/demo/?from=one#top")
        page = await mirror.page(DEMO)
    assert page is not None
    assert page.url == f"{other.origin}/simple/demo/?from=one"
    assert other.log[0].path == "/simple/demo/?from=one"
    assert "authorization" not in other.log[0].headers


async def test_locations_may_be_relative_long_and_requested_as_written(up: UpstreamServer) -> None:
    item = publish(up)
    signature = "?sig=%2f%7E" + "a" * 12_000
    up.fault("/start/", redirect=f"../packages/{item.path}/{item.filename}{signature}")
    async with open_mirror(up) as mirror:
        assert await fetch(mirror, up.origin + "/start/a%2Fb%7e+c.whl") == BODY
    assert up.log[0].path == "/start/a%2Fb%7e+c.whl"
    assert up.log[1].path.endswith(signature)


async def test_five_redirects_are_followed_and_six_are_not(up: UpstreamServer) -> None:
    item = publish(up)
    for hop in range(6):
        up.fault(f"/hop{hop}/", redirect=f"/hop{hop + 1}/a.whl")
    up.fault("/hop6/", redirect=up.url(item))
    async with open_mirror(up) as mirror:
        assert await fetch(mirror, up.origin + "/hop2/a.whl") == BODY
        up.log.clear()
        with pytest.raises(MirrorFailed, match="one redirects in a circle or too often"):
            await fetch(mirror, up.origin + "/hop0/a.whl")
        assert len(up.log) == 6


async def test_a_circle_is_noticed(up: UpstreamServer) -> None:
    up.fault("/simple/a/", redirect="/simple/b/")
    up.fault("/simple/b/", redirect="/simple/a/")
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match="in a circle"):
            await mirror.page(public("a"))
    assert len(up.log) == 2


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://mirror.example/",
        "gopher://a/",
        "unix:///run/x",
        "http://[::1",
        "http://[]@/",
        "//evil@host/",
        "//127.1/",
    ],
)
async def test_a_redirect_to_something_else_is_not_followed(up: UpstreamServer, location: str) -> None:
    up.fault("/", redirect=location)
    async with open_mirror(up) as mirror:
        for verb in (mirror.page(DEMO), names(mirror), fetch(mirror, up.files + "a.whl")):
            with pytest.raises(MirrorFailed, match="one"):
                await verb
    assert len(up.log) == 3


async def test_a_redirect_without_a_location_is_a_failure(up: UpstreamServer) -> None:
    up.fault("/", status=302)
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match="one redirects to nowhere"):
            await mirror.page(DEMO)


# Credentials (C10 to C12)

LOGIN = ("token", "s3cret:ü")
BASIC = "Basic " + base64.b64encode("token:s3cret:ü".encode()).decode()


async def test_credentials_go_to_their_own_origin_and_to_no_other(up: UpstreamServer) -> None:
    """Neither to where a redirect leads, nor to where a link does; but back at the origin they hold again."""
    async with UpstreamServer() as other, open_mirror(up, other, credentials={up.simple: LOGIN}) as mirror:
        item = publish(up)
        other.publish("demo", "demo-1.0-py3-none-any.whl", BODY)
        assert await fetch(mirror, other.url(item)) == BODY
        up.fault("/away/", redirect=other.origin + "/back/")
        other.fault("/back/", redirect=up.url(item))
        assert await fetch(mirror, up.origin + "/away/a.whl") == BODY
        assert (await mirror.page(DEMO)) is not None
    assert [request.headers.get("authorization") for request in up.log] == [BASIC] * 3
    assert [request.headers.get("authorization") for request in other.log] == [None] * 2


async def test_a_request_for_credentials_is_not_followed_anywhere(up: UpstreamServer) -> None:
    async with UpstreamServer() as other, open_mirror(up, other, credentials={up.simple: LOGIN}) as mirror:
        up.fault("/", status=401, headers={"WWW-Authenticate": f'Bearer realm="{other.origin}/token"'})
        with pytest.raises(Declined, match="one answered 401"):
            await mirror.page(DEMO)
        assert (len(up.log), other.log) == (1, [])


async def test_credentials_stand_in_no_sentence(up: UpstreamServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with open_mirror(up, credentials={up.simple: LOGIN}) as mirror:
        for fault in ({"status": 401}, {"status": 500}, {"raw": b"\x00"}, {"redirect": "http://10.0.0.1/"}):
            up.fault("/", **fault)
            with pytest.raises(MirrorFailed) as caught:
                await mirror.page(DEMO)
            assert "cret" not in str(caught.value)
            assert BASIC.split()[1] not in str(caught.value)
    assert "cret" not in caplog.text
    assert BASIC.split()[1] not in caplog.text


# TLS


async def test_a_certificate_counts_only_where_it_is_trusted(tmp_path: Path) -> None:
    tls, certificate = server_context(tmp_path)
    async with UpstreamServer(tls=tls) as up:
        item = publish(up)
        async with open_mirror(up) as mirror:
            with pytest.raises(MirrorFailed, match=r"one has a certificate that is not trusted: self.signed"):
                await fetch(mirror, up.url(item))
        async with open_mirror(up, ca=certificate) as mirror:
            assert await fetch(mirror, up.url(item)) == BODY


async def test_a_certificate_of_another_host_is_not_trusted(tmp_path: Path) -> None:
    tls, certificate = server_context(tmp_path, host="DNS:mirror.example")
    async with UpstreamServer(tls=tls) as up, open_mirror(up, ca=certificate) as mirror:
        with pytest.raises(MirrorFailed, match=r"certificate that is not trusted: .*127"):
            await mirror.page(DEMO)


async def test_a_certificate_that_has_expired_is_not_trusted(tmp_path: Path) -> None:
    tls, certificate = server_context(tmp_path, days=-1)
    async with UpstreamServer(tls=tls) as up, open_mirror(up, ca=certificate) as mirror:
        with pytest.raises(MirrorFailed, match="certificate that is not trusted: certificate has expired"):
            await mirror.page(DEMO)


async def test_a_server_without_tls_is_told_as_such() -> None:
    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_mirror(base=f"https://127.0.0.1:{port}/simple/") as mirror:
        with pytest.raises(MirrorFailed, match="one failed at TLS"):
            await mirror.page(DEMO)


async def test_https_is_never_left(tmp_path: Path) -> None:
    """Neither by a redirect nor by a link; the way up is open."""
    tls, certificate = server_context(tmp_path)
    async with UpstreamServer(tls=tls) as safe, UpstreamServer() as plain:
        item = publish(safe)
        safe.fault("/simple/", redirect=plain.simple + "demo/")
        async with open_mirror(safe, plain, ca=certificate) as mirror:
            for verb in (mirror.page(DEMO), fetch(mirror, plain.url(item))):
                with pytest.raises(MirrorFailed, match="one leads from https to something else"):
                    await verb
        assert plain.log == []
        plain.fault("/packages/", redirect=safe.url(item))
        async with open_mirror(plain, safe, ca=certificate) as mirror:
            assert await fetch(mirror, plain.url(item)) == BODY


# Files


async def test_a_file_comes_as_it_is(up: UpstreamServer) -> None:
    item = publish(up)
    async with open_mirror(up) as mirror, mirror.transfer(up.url(item), begin=0, end=None) as transfer:
        assert (transfer.mirror, transfer.begin, transfer.total) == ("one", 0, len(BODY))
        assert b"".join([chunk async for chunk in transfer.chunks]) == BODY
    assert up.log[0].headers["accept-encoding"] == "identity"
    assert "range" not in up.log[0].headers


async def test_a_file_without_a_length_comes_without_a_total(up: UpstreamServer) -> None:
    item = publish(up)
    up.fault("/packages/", framing="close")
    async with open_mirror(up) as mirror, mirror.transfer(up.url(item), begin=0, end=None) as transfer:
        assert transfer.total is None
        assert b"".join([chunk async for chunk in transfer.chunks]) == BODY


async def test_a_transfer_is_taken_up_where_it_broke(up: UpstreamServer) -> None:
    item = publish(up)
    async with open_mirror(up) as mirror, mirror.transfer(up.url(item), begin=1000, end=None) as transfer:
        assert (transfer.begin, transfer.total) == (1000, len(BODY))
        assert b"".join([chunk async for chunk in transfer.chunks]) == BODY[1000:]
    assert up.log[0].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize(("begin", "end"), [(0, 1), (0, 1000), (9, 1000), (len(BODY) - 1, len(BODY)), (9, len(BODY))])
async def test_a_part_is_exactly_what_was_asked_for(up: UpstreamServer, begin: int, end: int) -> None:
    item = publish(up)
    async with open_mirror(up) as mirror, mirror.transfer(up.url(item), begin=begin, end=end) as transfer:
        assert (transfer.begin, transfer.total) == (begin, len(BODY))
        assert b"".join([chunk async for chunk in transfer.chunks]) == BODY[begin:end]
    assert up.log[0].headers["range"] == f"bytes={begin}-{end - 1}"
    assert "if-range" not in up.log[0].headers


async def test_a_part_ends_where_the_file_does(up: UpstreamServer) -> None:
    item = publish(up)
    async with open_mirror(up) as mirror:
        assert await fetch(mirror, up.url(item), begin=5, end=2 * len(BODY)) == BODY[5:]


@pytest.mark.parametrize(("begin", "end"), [(9, None), (0, 1000), (9, 1000)])
async def test_a_mirror_without_ranges_begins_anew(up: UpstreamServer, begin: int, end: int | None) -> None:
    item = publish(up)
    up.fault("/packages/", ignores_range=True)
    async with open_mirror(up) as mirror, mirror.transfer(up.url(item), begin=begin, end=end) as transfer:
        assert (transfer.begin, transfer.total) == (0, len(BODY))
        assert b"".join([chunk async for chunk in transfer.chunks]) == BODY


@pytest.mark.parametrize("body", [BODY[9:999], BODY[9:1001]])
async def test_a_part_of_another_length_than_announced_is_refused(up: UpstreamServer, body: bytes) -> None:
    """Framed by the end of the connection or by chunks, nothing else would tell."""
    item = publish(up)
    said = {"Content-Range": f"bytes 9-999/{len(BODY)}", "Content-Length": None}
    up.fault("/packages/", status=206, body=body, headers=said, framing="close")
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match=r"one (ended 1 bytes too early|sends more than the 991 bytes)"):
            await fetch(mirror, up.url(item), begin=9, end=1000)


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 9-998/{len(BODY)}",
        f"bytes 9-1000/{len(BODY)}",
        f"bytes 9-{len(BODY) - 1}/{len(BODY)}",
        f"bytes 8-999/{len(BODY)}",
        "bytes 9-1000/*",
        "bytes 9-998/*",
    ],
)
async def test_a_bounded_part_that_is_another_is_refused(up: UpstreamServer, content_range: str) -> None:
    item = publish(up)
    up.fault("/packages/", headers={"Content-Range": content_range, "Content-Length": None}, framing="close")
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match="one sent another part"):
            await fetch(mirror, up.url(item), begin=9, end=1000)


@pytest.mark.parametrize(
    "content_range",
    [
        None,
        "bytes 0-1048575/1048576",
        "bytes 8-1048575/1048576",
        "bytes 10-1048575/1048576",
        "bytes 9-1048574/1048576",
        "bytes 9-1048576/1048576",
        "bytes 1048575-9/1048576",
        "bytes 9-1048575/9",
        "bytes 9-2000000/2000001",
        "bytes */1048576",
        "9-1048575/1048576",
        "bytes 9-1048575/" + "1" * 5000,
        "bytes 9-1048575/1048576, bytes 0-1/2",
    ],
)
async def test_a_part_that_is_not_the_rest_is_refused(up: UpstreamServer, content_range: str | None) -> None:
    item = publish(up)
    up.fault("/packages/", headers={"Content-Range": content_range})
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match=r"one sent (another|a) part"):
            await fetch(mirror, up.url(item), begin=9)


async def test_a_part_of_unknown_whole_is_taken(up: UpstreamServer) -> None:
    item = publish(up)
    up.fault("/packages/", headers={"Content-Range": f"bytes 9-{len(BODY) - 1}/*"})
    async with open_mirror(up) as mirror, mirror.transfer(up.url(item), begin=9, end=None) as transfer:
        assert (transfer.begin, transfer.total) == (9, None)


async def test_a_part_that_nobody_asked_for_is_refused(up: UpstreamServer) -> None:
    item = publish(up)
    up.fault("/packages/", status=206, body=BODY, headers={"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"})
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match="another part"):
            await fetch(mirror, up.url(item))


async def test_an_offset_at_or_past_the_end_is_a_failure(up: UpstreamServer) -> None:
    item = publish(up)
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match="one answered 416"):
            await fetch(mirror, up.url(item), begin=len(BODY))


async def test_a_file_that_a_mirror_lists_and_lacks_is_not_found(up: UpstreamServer) -> None:
    """F1: it may stand at the next."""
    async with open_mirror(up) as mirror:
        for verb in (fetch(mirror, up.files + "a%20b.whl"), mirror.measure(up.files + "a%20b.whl")):
            with pytest.raises(NotFound, match=r"one has no a b\.whl\."):
                await verb


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, gzip"])
async def test_a_file_in_a_coding_is_refused(up: UpstreamServer, coding: str) -> None:
    item = publish(up)
    up.fault("/packages/", headers={"Content-Encoding": coding})
    async with open_mirror(up) as mirror:
        for verb in (fetch(mirror, up.url(item)), fetch(mirror, up.url(item), begin=9)):
            with pytest.raises(MirrorFailed, match=r"one sent demo-1\.0-py3-none-any\.whl packed as"):
                await verb


@pytest.mark.parametrize("content_type", ["text/html", "TEXT/HTML; charset=utf-8", "application/xhtml+xml"])
async def test_a_captive_portal_is_not_a_file(up: UpstreamServer, content_type: str) -> None:
    up.fault("/packages/", **{**CAPTIVE, "headers": {"Content-Type": content_type}})
    async with open_mirror(up) as mirror:
        for verb in (fetch(mirror, up.files + "a.whl"), mirror.measure(up.files + "a.whl")):
            with pytest.raises(MirrorFailed, match=r"one sent a web page in place of a\.whl"):
                await verb
        assert await fetch(mirror, up.files + "a.html") == CAPTIVE["body"]


async def test_a_file_bigger_than_the_limit_is_refused_before_it_comes(up: UpstreamServer) -> None:
    item = publish(up)
    async with open_mirror(up, max_file=len(BODY) - 1) as mirror:
        with pytest.raises(MirrorFailed, match="one sends more than"):
            async with mirror.transfer(up.url(item), begin=0, end=None):
                pytest.fail("the head told it already")
        with pytest.raises(MirrorFailed, match="one sends more than"):
            await fetch(mirror, up.url(item), begin=9)


async def test_what_goes_wrong_on_our_side_is_not_blamed_on_the_mirror(up: UpstreamServer) -> None:
    item = publish(up)
    async with open_mirror(up) as mirror:
        with pytest.raises(OSError, match="No space left"):
            async with mirror.transfer(up.url(item), begin=0, end=None):
                raise OSError(28, "No space left on device")
        assert await fetch(mirror, up.url(item)) == BODY


async def test_whoever_leaves_early_leaves_nothing_behind(up: UpstreamServer) -> None:
    item = publish(up, BODY * 40)
    up.fault("/packages/", stall_after=MIB)
    async with open_mirror(up, connections=1) as mirror:
        for _ in range(3):
            async with mirror.transfer(up.url(item), begin=0, end=None) as transfer:
                assert await anext(transfer.chunks)
        up.heal()
        assert len(await fetch(mirror, up.url(item))) == len(BODY) * 40


async def test_a_paced_file_comes_while_it_is_sent(up: UpstreamServer) -> None:
    """The first bytes are here before the last have left."""
    item = publish(up, BODY * 2)
    up.fault("/packages/", **PACE)
    async with open_mirror(up) as mirror, mirror.transfer(up.url(item), begin=0, end=None) as transfer:
        first = await anext(transfer.chunks)
        assert 0 < len(first) < len(BODY)
        rest = b"".join([chunk async for chunk in transfer.chunks])
    assert first + rest == BODY * 2


# Sizes


async def test_a_size_is_asked_for_without_the_file(up: UpstreamServer) -> None:
    item, empty = publish(up), up.publish("empty", "empty-1.0.tar.gz", b"")
    async with open_mirror(up) as mirror:
        assert await mirror.measure(up.url(item)) == len(BODY)
        assert up.log[-1].method == "GET"
        assert up.log[-1].headers["range"] == "bytes=0-0"
        assert up.log[-1].headers["accept-encoding"] == "identity"
        assert await mirror.measure(up.url(empty)) == 0
        up.fault("/packages/", ignores_range=True)
        assert await mirror.measure(up.url(item)) == len(BODY)
        up.fault("/packages/", ignores_range=True, framing="chunked")
        assert await mirror.measure(up.url(item)) is None
        up.fault("/packages/", headers={"Content-Range": "bytes 0-0/*"})
        assert await mirror.measure(up.url(item)) is None


async def test_a_size_of_something_else_is_a_failure(up: UpstreamServer) -> None:
    item = publish(up)
    async with open_mirror(up) as mirror:
        for fault in ({"status": 403}, {"headers": {"Content-Encoding": "gzip"}, "ignores_range": True}):
            up.fault("/packages/", **fault)
            with pytest.raises(MirrorFailed, match="one"):
                await mirror.measure(up.url(item))


# The list of all projects


@pytest.mark.parametrize("packed", [False, True])
async def test_the_list_of_projects_is_a_stream(packed: bool) -> None:
    async with UpstreamServer(packed=packed) as up, open_mirror(up) as mirror:
        for number in range(3000):
            up.publish(f"project-{number}", f"project_{number}-1.0.tar.gz", b"")
        body = await names(mirror)
    assert len(json.loads(body)["projects"]) == 3000


async def test_a_mirror_that_keeps_its_list_to_itself(up: UpstreamServer) -> None:
    up.fault("/simple/", status=404)
    async with open_mirror(up) as mirror:
        with pytest.raises(NotFound, match="one has no list of projects"):
            await names(mirror)


async def test_a_packed_list_that_breaks_off_is_not_the_whole(up: UpstreamServer) -> None:
    packed = gzip.compress(b'{"projects": []}' * 1000)
    up.fault("/simple/", status=200, body=packed[:-20], headers={"Content-Encoding": "gzip"}, framing="close")
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match="one: A compressed answer ends too early"):
            await names(mirror)


# The test's own upstream


async def test_the_upstream_in_a_thread_is_the_same_one() -> None:
    with running_upstream(kind="html") as up:
        item = publish(up)
        up.fault("/packages/", stall_after=100)
        async with open_mirror(up) as mirror:
            async with mirror.transfer(up.url(item), begin=0, end=None) as transfer:
                first = await anext(transfer.chunks)
                assert len(first) == 100
                await asyncio.to_thread(up.heal)
                assert first + b"".join([chunk async for chunk in transfer.chunks]) == BODY
            await asyncio.to_thread(up.refuse)
            with pytest.raises(MirrorFailed):
                await mirror.page(DEMO)
            await asyncio.to_thread(up.accept)
            page = await mirror.page(DEMO)
    assert page is not None
    assert b'data-core-metadata="sha256=' in page.body


async def test_the_upstream_serves_what_real_projects_hold(up: UpstreamServer) -> None:
    filename, body = make.wheel("Demo_Pkg", "1.0")
    item = up.publish("Demo_Pkg", filename, body, metadata=make.metadata("Demo_Pkg", "1.0"))
    async with open_mirror(up) as mirror:
        page = await mirror.page(public("demo-pkg"))
        assert page is not None
        entry = json.loads(page.body)["files"][0]
        assert entry["url"] == f"../../packages/{make.place(body)}/{filename}"
        assert await fetch(mirror, up.url(item)) == body
        assert await fetch(mirror, up.url(item) + ".metadata") == make.metadata("Demo_Pkg", "1.0")
        up.listing.remove("demo-pkg", filename)
        with pytest.raises(NotFound):
            await fetch(mirror, up.url(item))


async def test_connections_opened_ahead_are_those_that_questions_come_on(up: UpstreamServer) -> None:
    up.publish("demo", *make.wheel("demo", "1.0"))
    async with open_mirror(up, connections=4) as mirror:
        await mirror.get_ready(9)
        assert (up.connections, up.log) == (4, [])  # no more than it may have, and nothing is asked
        await asyncio.gather(*(mirror.page(DEMO) for _ in range(4)))
        assert up.connections == 4
    up.refuse()
    async with open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match="could not be reached"):
            await mirror.get_ready(2)
