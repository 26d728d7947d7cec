"""What a warm request costs the server, in counts and not in times: more than that, and the warm path has grown work.

What the server does by itself now and then is no request's: of several batches the least counts.
"""

from __future__ import annotations

import hashlib
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from .bench import counting
from .daemon import Server, clean_environment, launch, yizhan
from .faults.strace import attached, needs_strace
from .upstream_server import UpstreamServer, running_upstream

BATCHES, REQUESTS = 3, 200

JSON = "application/vnd.pypi.simple.v1+json"

KINDS = ("page", "page, others ask", "page, 304", "page, 304 of a list", "file", "metadata")

MOST_CALLS = {"page": 4, "file": 8}
"""System calls of a request: one reads it, one or two send the answer, one waits for the next; and what a file of
hundreds of kilobytes takes more, where it does not fit into the socket."""


@pytest.fixture
def upstream() -> Iterator[UpstreamServer]:
    with running_upstream() as up:
        for number in range(8):
            filename = f"demo-1.{number}-py3-none-any.whl"
            body, metadata = bytes([number]) * 50_000, b"Name: demo\n"
            hashes = {"sha256": hashlib.sha256(metadata).hexdigest()}
            up.publish("demo", filename, body, metadata=metadata, core_metadata=hashes)
        yield up


class Line:
    """A client's connection, which asks for one thing after the other."""

    def __init__(self, server: Server) -> None:
        host, port = server.url.removeprefix("http://").removesuffix("/").split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._host = f"{host}:{port}"
        self._read = b""

    def ask(self, path: str, fields: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        said = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._socket.sendall(f"GET /{path} HTTP/1.1\r\nHost: {self._host}\r\n{said}\r\n".encode())
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        known = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        status = int(first.split()[1])
        size = 0 if status == 304 else int(known["content-length"])
        while len(self._read) < size:
            self._more()
        body, self._read = self._read[:size], self._read[size:]
        return status, known, body

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> None:
        came = self._socket.recv(2**20)
        assert came, "the connection was closed"
        self._read += came


class Asker:
    """Asks for each of KINDS as often as one likes, all of them warm."""

    def __init__(self, server: Server) -> None:
        self.line = Line(server)
        accept = {"Accept": JSON, "User-Agent": "work", "Accept-Encoding": "gzip"}
        status, known, _ = self.line.ask("simple/demo/", accept)
        assert status == 200
        plain = self.line.ask("simple/demo/", {"Accept": JSON, "User-Agent": "work"})[2].decode()
        found = re.search(r'"\.\./\.\./(packages/[^"]+demo-1\.0-[^"]+)"', plain)
        assert found is not None
        file = found[1]
        etag = known["etag"]
        self._asked = {
            "page": ("simple/demo/", accept, 200),
            "page, others ask": ("simple/demo/", accept, 200),
            "page, 304": ("simple/demo/", {**accept, "If-None-Match": etag}, 304),
            "page, 304 of a list": ("simple/demo/", {**accept, "If-None-Match": f'"other", W/{etag}'}, 304),
            "file": (file, {"User-Agent": "work"}, 200),
            "metadata": (f"{file}.metadata", {"User-Agent": "work"}, 200),
        }
        for kind in KINDS:
            self.ask(kind, 3)

    def ask(self, kind: str, times: int = REQUESTS) -> None:
        path, fields, expected = self._asked[kind]
        for number in range(times):
            said = {**fields, "User-Agent": f"pip/{number}"} if kind == "page, others ask" else fields
            assert self.line.ask(path, said)[0] == expected


@contextmanager
def asking(server: Server) -> Iterator[Asker]:
    asker = Asker(server)
    try:
        yield asker
    finally:
        asker.line.close()


@contextmanager
def counted(counts: Path, upstream: UpstreamServer) -> Iterator[Server]:
    """A server that writes down in *counts* what it does."""
    command = [sys.executable, "-m", "tests.bench.counting", "serve", "--data", str(counts.parent / "data")]
    command += ["--listen", "127.0.0.1:0", "--upstream", upstream.simple]
    server = launch(command, {**clean_environment(), counting.FILE: str(counts)})
    try:
        yield server
    finally:
        server.kill()


def settled(upstream: UpstreamServer) -> None:
    """Until nothing that the first requests set off is under way."""
    before = -1
    while before != len(upstream.asked()):
        before = len(upstream.asked())
        time.sleep(0.5)


def test_a_warm_request_writes_reads_and_packs_nothing_and_asks_nobody(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    counts = tmp_path / "counts"
    with counted(counts, upstream) as server, asking(server) as asker:
        settled(upstream)
        asked = len(upstream.asked())
        for kind in KINDS:
            least = dict[str, int]()
            for _ in range(BATCHES):
                before = counting.read(counts)
                asker.ask(kind)
                for what, count in counting.read(counts).items():
                    least[what] = min(least.get(what, count), count - before[what])
            # A connection's request goes to aiohttp now and then: that may look at the disk, and all others may not.
            assert {what: count // (REQUESTS // 10) for what, count in least.items()} == dict.fromkeys(least, 0), kind
        assert len(upstream.asked()) == asked


@needs_strace
def test_a_warm_request_takes_few_system_calls_and_no_thread(tmp_path: Path, upstream: UpstreamServer) -> None:
    with yizhan(tmp_path / "data", upstream=upstream.simple) as server, asking(server) as asker:
        settled(upstream)
        threads = {entry.name for entry in Path(f"/proc/{server.process.pid}/task").iterdir()}
        for kind in KINDS:
            batches = list[Counter[str]]()
            for number in range(BATCHES):
                trace = tmp_path / f"trace.{number}"
                with attached(server.process.pid, trace, watched="all"):
                    asker.ask(kind)
                found = re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE)
                batches.append(Counter(found))
            least = min(batches, key=lambda batch: batch.total())
            assert least.total() < MOST_CALLS[kind.split(",")[0].replace("metadata", "page")] * REQUESTS, least
            assert least["futex"] + least["clone"] + least["clone3"] < REQUESTS // 10, (kind, least)
            assert least["openat"] + least["pread64"] + least["fsync"] < REQUESTS // 10, (kind, least)
        assert {entry.name for entry in Path(f"/proc/{server.process.pid}/task").iterdir()} <= threads


def test_counts_see_what_a_request_that_is_not_warm_does(tmp_path: Path, upstream: UpstreamServer) -> None:
    """Else the first of these tests could pass because nothing is counted."""
    counts = tmp_path / "counts"
    with counted(counts, upstream) as server, asking(server):
        assert all(count > 0 for count in counting.read(counts).values()), counting.read(counts)
