"""A file at rest over a real socket, read by a client that sees every byte of the wire."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
import os
import random
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from aiohttp import web

from proxy.storage import Blob
from proxy.storage.disk_cache import FileCache
from proxy.web import sending
from proxy.web.conditions import http_date
from proxy.web.sending import prepare_socket, send_blob, send_part

MODIFIED = 1768478400.25
DATE = http_date(MODIFIED)
HEADERS = {"Content-Type": "application/x-test", "Cache-Control": "public, max-age=365000000, immutable"}
BIG = random.Random(1).randbytes(10 * 1024 * 1024 + 17)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""


class Wire:
    """One connection to a server, on which requests are written as text."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str = "GET", *lines: str, path: str = "/", version: str = "1.1") -> Answer:
        """Send a request; the head of its answer, and just the body that the head announces."""
        self.writer.write("\r\n".join([f"{method} {path} HTTP/{version}", "Host: test", *lines, "", ""]).encode())
        answer = await self.head()
        if method != "HEAD" and answer.status != 304:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        return answer

    async def head(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        assert head[0].startswith("HTTP/1."), "bytes of another answer"
        pairs = [line.partition(":") for line in head[1:] if line]
        return Answer(int(head[0].split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs})


@dataclass
class Site:
    """A server that answers each request with the next of *blobs*, or a new one of *body*."""

    url_port: int = 0
    body: bytes = b"0123456789" * 100
    blobs: list[Blob] = field(default_factory=list)
    served: list[BinaryIO] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    tls: ssl.SSLContext | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        blob = self.blobs.pop(0) if self.blobs else blob_of(self.body)
        self.served.append(blob.handle)
        try:
            return await send_blob(request, blob, headers=HEADERS)
        finally:
            self.ended.set()

    async def closed(self) -> bool:
        """Wait until every handle served is closed."""
        async with asyncio.timeout(30):
            while not all(handle.closed for handle in self.served):
                await asyncio.sleep(0)
        return True


def opened(path: str | Path | int) -> BinaryIO:
    return open(path, "rb", buffering=0)


def blob_of(body: bytes, size: int | None = None) -> Blob:
    """*body* in a file of its own, said to be *size* bytes."""
    descriptor = os.memfd_create("blob")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(body)
    digest = hashlib.sha256(body).hexdigest()
    return Blob(handle=opened(descriptor), size=len(body) if size is None else size, sha256=digest, modified=MODIFIED)


def etag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """Starts servers on loopback and stops them."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(
            *,
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None,
            send_timeout: float = 60.0,
            tls: ssl.SSLContext | None = None,
        ) -> Site:
            site = Site(tls=tls)
            app = web.Application()
            app.router.add_get("/", handler or site.handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            listening = socket.create_server(("127.0.0.1", 0))
            prepare_socket(listening, send_timeout)
            site.url_port = listening.getsockname()[1]
            await web.SockSite(runner, listening, ssl_context=tls).start()
            return site

        yield started


@contextlib.asynccontextmanager
async def connected(site: Site, receive_buffer: int | None = None) -> AsyncIterator[Wire]:
    plain = socket.socket()
    if receive_buffer is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", site.url_port))
    trust = None
    if site.tls is not None:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        sock=plain, ssl=trust, server_hostname="localhost" if trust else None, limit=64 * 1024
    )
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


@pytest.fixture
async def site(serve: Any) -> Site:
    return await serve()  # type: ignore[no-any-return]  # the fixture's own type is too long to repeat


@pytest.fixture
async def wire(site: Site) -> AsyncIterator[Wire]:
    async with connected(site) as wire:
        yield wire


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


# ---------------------------------------------------------------------------------------------------------- whole files


async def test_a_whole_file_comes_with_its_validators(site: Site, wire: Wire) -> None:
    answer = await wire.ask("GET", "Accept-Encoding: gzip, deflate")
    assert (answer.status, answer.body) == (200, site.body)
    assert answer.headers["etag"] == etag_of(site.body)
    assert answer.headers["last-modified"] == DATE
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == HEADERS["Content-Type"]
    assert answer.headers["cache-control"] == HEADERS["Cache-Control"]
    assert "date" in answer.headers
    assert not {"content-encoding", "content-disposition", "transfer-encoding", "content-range"} & answer.headers.keys()
    assert await site.closed()


async def test_a_big_file_comes_whole(site: Site, wire: Wire) -> None:
    site.body = BIG
    assert (await wire.ask()).body == BIG


async def test_head_says_what_get_says_and_sends_no_body(site: Site, wire: Wire) -> None:
    """On one connection: a body after a HEAD would be taken for the next answer."""
    head = await wire.ask("HEAD")
    get = await wire.ask("GET")
    again = await wire.ask("HEAD", "Range: bytes=0-9")
    assert (head.status, get.status, again.status) == (200, 200, 200)
    assert get.body == site.body
    for name in ("content-length", "content-type", "etag", "last-modified", "accept-ranges", "cache-control"):
        assert head.headers[name] == get.headers[name] == again.headers[name]
    assert len(site.served) == 3
    assert await site.closed()


async def test_an_empty_file_is_an_answer(site: Site, wire: Wire) -> None:
    site.body = b""
    assert (await wire.ask()).status == 200
    assert (await wire.ask("GET", "Range: bytes=-5")).status == 200
    assert (await wire.ask("GET", "Range: bytes=0-")).status == 416
    assert (await wire.ask("HEAD")).headers["content-length"] == "0"


async def test_a_client_of_http_1_0_is_served(site: Site, wire: Wire) -> None:
    answer = await wire.ask(version="1.0")
    assert (answer.status, answer.body) == (200, site.body)
    assert await wire.reader.read() == b""


async def test_an_archive_beside_its_compressed_self_is_not_mixed_up(site: Site, wire: Wire, tmp_path: Path) -> None:
    """aiohttp's FileResponse answers pkg.tar with pkg.tar.gz and a Content-Encoding."""
    (tmp_path / "pkg-1.0.tar").write_bytes(b"the tar")
    (tmp_path / "pkg-1.0.tar.gz").write_bytes(b"the gz")
    handle = opened(tmp_path / "pkg-1.0.tar")
    site.blobs.append(Blob(handle=handle, size=7, sha256="0" * 64, modified=MODIFIED))
    answer = await wire.ask("GET", "Accept-Encoding: gzip")
    assert answer.body == b"the tar"
    assert "content-encoding" not in answer.headers


# --------------------------------------------------------------------------------------------------- ranges, conditions


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-9", 0, 10), ("990-", 990, 1000), ("-10", 990, 1000), ("500-5000", 500, 1000), ("-5000", 0, 1000)],
)
async def test_one_range_is_206(site: Site, wire: Wire, asked: str, start: int, stop: int) -> None:
    answer = await wire.ask("GET", f"Range: bytes={asked}")
    assert (answer.status, answer.body) == (206, site.body[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/1000"
    assert answer.headers["etag"] == etag_of(site.body)
    assert (await wire.ask()).body == site.body


@pytest.mark.parametrize("asked", ["1000-", "-0", "9" * 5000 + "-"])
async def test_an_unsatisfiable_range_is_416_and_the_connection_goes_on(site: Site, wire: Wire, asked: str) -> None:
    answer = await wire.ask("GET", f"Range: bytes={asked}")
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == "bytes */1000"
    assert answer.headers["content-length"] == "0"
    assert answer.headers["cache-control"] == "no-store"
    assert (await wire.ask()).body == site.body
    assert await site.closed()


@pytest.mark.parametrize(
    "line",
    [
        "Range: bytes=0-1,5-6",
        "Range: bytes=0-1\r\nRange: bytes=5-6",
        "Range: items=0-1",
        "Range: bytes=5-2",
        "Range: bytes=",
        "Range: bytes=a-b",
        "Range: bytes=" + ",".join(f"{n}-{n}" for n in range(900)),
    ],
)
async def test_other_ranges_are_ignored(site: Site, wire: Wire, line: str) -> None:
    answer = await wire.ask("GET", line)
    assert (answer.status, answer.body) == (200, site.body)
    assert "content-range" not in answer.headers


async def test_a_download_is_resumed_only_where_the_file_is_the_same(site: Site, wire: Wire) -> None:
    """aiohttp's FileResponse ignores an If-Range with a tag; pip sends just that."""
    same = await wire.ask("GET", "Range: bytes=400-", f"If-Range: {etag_of(site.body)}")
    dated = await wire.ask("GET", "Range: bytes=400-", f"If-Range: {DATE}")
    assert [(a.status, a.body) for a in (same, dated)] == [(206, site.body[400:])] * 2
    for other in (etag_of(b"other"), f"W/{etag_of(site.body)}", http_date(MODIFIED + 1), http_date(MODIFIED - 1)):
        answer = await wire.ask("GET", "Range: bytes=400-", f"If-Range: {other}")
        assert (answer.status, answer.body) == (200, site.body), other


@pytest.mark.parametrize(
    "line",
    [
        "If-None-Match: {tag}",
        "If-None-Match: W/{tag}",
        'If-None-Match: "x", {tag}',
        'If-None-Match: "x"\r\nIf-None-Match: {tag}',
        "If-None-Match: *",
        "If-Modified-Since: {date}",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_client_has_is_304(site: Site, wire: Wire, line: str, method: str) -> None:
    answer = await wire.ask(method, line.format(tag=etag_of(site.body), date=DATE))
    assert answer.status == 304
    # uv throws away a 304 without the same tag, and fetches the file again.
    assert answer.headers["etag"] == etag_of(site.body)
    assert answer.headers["cache-control"] == HEADERS["Cache-Control"]
    assert not {"content-length", "transfer-encoding", "content-type"} & answer.headers.keys()
    assert (await wire.ask()).body == site.body
    assert await site.closed()


async def test_a_tag_outweighs_a_date(wire: Wire) -> None:
    assert (await wire.ask("GET", 'If-None-Match: "x"', f"If-Modified-Since: {DATE}")).status == 200


async def test_a_precondition_that_fails_is_412(site: Site, wire: Wire) -> None:
    assert (await wire.ask("GET", f"If-Match: {etag_of(site.body)}")).status == 200
    answer = await wire.ask("GET", 'If-Match: "x"')
    assert (answer.status, answer.headers["content-length"]) == (412, "0")
    assert (await wire.ask()).body == site.body
    assert await site.closed()


async def test_ranges_at_random_give_their_bytes(site: Site) -> None:
    site.body = BIG
    chance = random.Random(7)

    async def one() -> None:
        start = chance.randrange(len(BIG))
        stop = chance.randrange(start, len(BIG))
        async with connected(site) as wire:
            answer = await wire.ask("GET", f"Range: bytes={start}-{stop}")
        assert (answer.status, answer.body) == (206, BIG[start : stop + 1])

    for _ in range(5):
        await asyncio.gather(*(one() for _ in range(6)))
    assert await site.closed()


# ------------------------------------------------------------------------------------------------- how the bytes travel


async def test_a_file_that_is_not_in_memory_is_brought_there_by_a_thread(
    site: Site, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sendfile from a cold file blocks the event loop."""
    windows: list[tuple[int, int]] = []

    def read_ahead(descriptor: int, start: int, count: int) -> None:
        assert threading.current_thread() is not threading.main_thread()
        windows.append((start, count))

    monkeypatch.setattr(sending, "_is_in_memory", lambda *_: False)
    monkeypatch.setattr(sending, "_read_ahead", read_ahead)
    site.body = BIG
    assert (await wire.ask()).body == BIG
    window = sending.WINDOW
    assert windows == [(0, window), (window, window), (2 * window, len(BIG) - 2 * window)]


async def test_reading_ahead_brings_bytes_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "cold"

    def read() -> bool:
        with path.open("wb") as file:
            file.write(BIG)
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with opened(path) as handle:
            sending._read_ahead(handle.fileno(), 0, len(BIG))
            return sending._is_in_memory(handle.fileno(), 0, len(BIG))

    assert await asyncio.to_thread(read)


async def test_a_file_is_sent_without_passing_through_python(
    site: Site, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise AssertionError("copied")

    monkeypatch.setattr(sending, "_copy", refuse)
    site.body = BIG
    assert (await wire.ask()).body == BIG


async def test_files_and_ranges_come_whole_over_tls(
    serve: Any, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In big pieces of our own: asyncio's fallback reads 16 KiB at a time, which is five times as dear."""
    copied: list[int] = []

    async def copy(response: web.StreamResponse, handle: BinaryIO, start: int, count: int) -> None:
        copied.append(count)
        await real_copy(response, handle, start, count)

    real_copy = sending._copy
    monkeypatch.setattr(sending, "_copy", copy)
    site = await serve(tls=certificate)
    site.body = BIG
    async with connected(site) as wire:
        assert (await wire.ask("HEAD")).headers["content-length"] == str(len(BIG))
        assert (await wire.ask()).body == BIG
        answer = await wire.ask("GET", "Range: bytes=1000000-5999999")
        assert (answer.status, answer.body) == (206, BIG[1_000_000:6_000_000])
    assert copied == [len(BIG), 5_000_000]
    assert await site.closed()


@pytest.mark.parametrize("over_tls", [False, True])
async def test_a_growing_file_is_sent_part_by_part(serve: Any, request: Any, over_tls: bool) -> None:
    bounds = [0, 1, 70_000, 5_000_000, len(BIG)]

    async def grow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(BIG)
        await response.prepare(request)
        with blob_of(BIG).handle as handle:
            for start, stop in itertools.pairwise(bounds):
                await send_part(request, response, handle, start, stop - start)
        return response

    site = await serve(handler=grow, tls=request.getfixturevalue("certificate") if over_tls else None)
    async with connected(site) as wire:
        assert (await wire.ask()).body == BIG
        assert (await wire.ask()).body == BIG


# --------------------------------------------------------------------------------------------------- what can go wrong


async def broken_off(wire: Wire) -> bytes:
    """What came of a body before the connection broke."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while chunk := await wire.reader.read(64 * 1024):
            received += chunk
    return bytes(received)


@pytest.mark.parametrize("there", [0, 1000, 5 * 1024 * 1024])
@pytest.mark.parametrize("over_tls", [False, True])
async def test_a_file_shorter_than_announced_breaks_the_connection(
    serve: Any, request: Any, caplog: pytest.LogCaptureFixture, there: int, over_tls: bool
) -> None:
    """An answer that ends early on a connection kept open would leave the client waiting for ever."""
    site = await serve(tls=request.getfixturevalue("certificate") if over_tls else None)
    site.blobs.append(blob_of(BIG[:there], size=len(BIG)))
    async with connected(site) as wire, asyncio.timeout(60):
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # the cut may overtake the head
            assert (await wire.head()).headers["content-length"] == str(len(BIG))
        assert len(await broken_off(wire)) <= there
    assert await site.closed()
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == ["proxy.web.sending"]
    assert "shorter than announced" in caplog.text


async def test_a_disk_that_cannot_be_read_breaks_the_connection(
    site: Site, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    # Address 0 of this process is mapped nowhere: reading there is a true EIO.
    handle = opened("/proc/self/mem")
    site.blobs.append(Blob(handle=handle, size=1000, sha256="0" * 64, modified=MODIFIED))
    async with asyncio.timeout(60):
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await wire.head()
        assert await broken_off(wire) == b""
    assert await site.closed()
    assert "could not be read from the disk" in caplog.text


async def test_a_client_that_leaves_costs_no_handle_and_no_traceback(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.body = BIG * 2
    for over in range(3):
        async with connected(site, receive_buffer=4096) as wire:
            wire.writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            await wire.reader.readexactly(1000 * over + 1)
        async with asyncio.timeout(60):
            await site.ended.wait()
        site.ended.clear()
    assert await site.closed()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_client_that_stops_reading_is_let_go(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """aiohttp has no timeout for writing; the kernel's, set on the listening socket, is inherited."""
    site = await serve(send_timeout=1.0)
    site.body = BIG * 2
    async with connected(site, receive_buffer=4096) as wire:
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed's WriteTransport hides the socket's
        async with asyncio.timeout(60):
            await site.ended.wait()
    assert await site.closed()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_send_timeout_is_left_to_sockets_that_have_one() -> None:
    with socket.socket(socket.AF_INET6) as tcp, socket.socket(socket.AF_UNIX) as unix:
        prepare_socket(tcp, 2.5)
        prepare_socket(unix, 2.5)
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500


async def test_a_server_that_stops_closes_its_handles() -> None:
    site = Site(body=BIG * 2)
    app = web.Application()
    app.router.add_get("/", site.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    site.url_port = listening.getsockname()[1]
    await web.SockSite(runner, listening).start()
    async with connected(site, receive_buffer=4096) as wire:
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        await wire.head()
        assert not site.ended.is_set()
        await runner.cleanup()
    assert await site.closed()


async def test_an_eviction_meanwhile_breaks_no_answer(serve: Any, tmp_path: Path) -> None:
    body = BIG * 3
    digest = hashlib.sha256(body).hexdigest()
    cache = await asyncio.to_thread(partial(FileCache, tmp_path / "files", max_size=len(body) + 1024 * 1024))
    (tmp_path / "body").write_bytes(body)
    await cache.adopt(digest, tmp_path / "body")

    async def from_cache(request: web.Request) -> web.StreamResponse:
        blob = await cache.open(digest)
        assert blob is not None
        return await send_blob(request, blob, headers=HEADERS)

    site = await serve(handler=from_cache)
    async with connected(site, receive_buffer=4096) as wire:
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        head = await wire.head()
        received = await wire.reader.readexactly(1000)
        (tmp_path / "body").write_bytes(b"x" * 2 * 1024 * 1024)
        await cache.adopt("0" * 64, tmp_path / "body")
        assert await cache.sweep() == 1
        assert await cache.open(digest) is None
        received += await wire.reader.readexactly(len(body) - 1000)
    assert head.headers["etag"] == f'"{digest}"'
    assert hashlib.sha256(received).hexdigest() == digest
    await cache.close()


async def test_a_file_fetched_again_is_resumed_by_its_old_tag(serve: Any, tmp_path: Path) -> None:
    """The tag is the content's hash: it outlives eviction, where an mtime would not."""
    body = BIG
    digest = hashlib.sha256(body).hexdigest()
    site = await serve()
    answers: list[Answer] = []
    for round_number in range(2):
        cache = await asyncio.to_thread(
            partial(FileCache, tmp_path / f"files{round_number}", max_size=2**30, now=lambda: MODIFIED * 2)
        )
        (tmp_path / "body").write_bytes(body)
        await cache.adopt(digest, tmp_path / "body")
        blob = await cache.open(digest)
        assert blob is not None
        site.blobs.append(blob)
        async with connected(site) as wire:
            lines = [] if not answers else ["Range: bytes=1000-", f"If-Range: {answers[0].headers['etag']}"]
            answers.append(await wire.ask("GET", *lines))
        await cache.close()
    assert [answer.status for answer in answers] == [200, 206]
    assert answers[0].body[:1000] + answers[1].body == body
