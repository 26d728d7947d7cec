"""One question to a server at a time, over a connection of its own, as simply as can be."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urljoin, urlsplit

from .measure import JSON, LIMIT, Wrong
from .tree import MB

HTML = "text/html"

STEP = MB
"""Bytes read at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    """As it was sent."""

    @property
    def text(self) -> bytes:
        """The body without its coding."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


def ask(url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: bytes = b"") -> Answer:
    """Raise OSError or http.client.HTTPException where there is no answer."""
    split = urlsplit(url)
    connection = HTTPConnection(split.hostname or "", split.port, timeout=LIMIT)
    try:
        connection.request(method, split.path, body=body or None, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def page(url: str, headers: Mapping[str, str], *, files: int | None) -> Answer:
    """The project page at *url*; raise Wrong unless it is one, with so many *files* where that is told."""
    found = ask(url, headers)
    if check_page(found, files=files) != (headers["Accept"] == JSON):
        raise Wrong(f"{url} came as {found.headers.get('content-type')} although {headers['Accept']} was asked for.")
    return found


def check_page(found: Answer, *, files: int | None) -> bool:
    """Whether *found* is JSON, else HTML; raise Wrong unless it is a project page, with so many *files* where told."""
    if found.status != 200:
        raise Wrong(f"A page was answered with {found.status}: {found.body[:200]!r}")
    is_json = "json" in found.headers.get("content-type", "")
    listed = len(json.loads(found.text)["files"]) if is_json else found.text.count(b"<a ")
    if files is not None and listed != files:
        raise Wrong(f"A page lists {listed} files instead of {files}.")
    return is_json


def link(index: str, project: str, filename: str) -> str:
    """Where *index* says that *filename* is."""
    url = f"{index}{project}/"
    listed = json.loads(ask(url, {"Accept": JSON}).text)["files"]
    return urljoin(url, str(next(file["url"] for file in listed if file["filename"] == filename)))


def swallow(url: str, size: int) -> float:
    """The seconds that the *size* bytes at *url* take to one reader who throws them away, as `curl -o /dev/null`.

    Raise Wrong where they are more or fewer.
    """
    split = urlsplit(url)
    buffer = bytearray(STEP)
    with socket.create_connection((split.hostname or "", split.port or 80), timeout=LIMIT) as connection:
        began = time.monotonic()
        connection.sendall(f"GET {split.path} HTTP/1.1\r\nHost: {split.netloc}\r\nConnection: close\r\n\r\n".encode())
        received = connection.recv_into(buffer)
        while b"\r\n\r\n" not in buffer[:received]:
            received += connection.recv_into(memoryview(buffer)[received:])
        got = received - buffer.index(b"\r\n\r\n", 0, received) - 4
        while got < size and (count := connection.recv_into(buffer)):
            got += count
        took = time.monotonic() - began
    if got != size or not buffer:
        raise Wrong(f"{url} gave {got} bytes instead of {size}.")
    return took
