"""An uploader and a downloader over bare sockets, which notice every byte that is missing or wrong."""

from __future__ import annotations

import hashlib
import http.client
import random
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from proxy.simple.model import JSON

from .. import make
from ..daemon import Server

PATIENCE = 30.0
"""Seconds that an answer may take on a busy machine."""

BROKEN = (OSError, http.client.HTTPException)
"""What a client sees of a server that dies."""

BOUNDARY = "a7f3c0ffee"


@dataclass(frozen=True)
class Release:
    """A wheel of *project*, of some *size* in bytes, whose content nobody else has."""

    project: str
    version: str
    size: int

    @cached_property
    def _wheel(self) -> tuple[str, bytes]:
        noise = random.Random(f"{self.project} {self.version}").randbytes(self.size)
        return make.wheel(self.project, self.version, payload=noise)

    @property
    def filename(self) -> str:
        return self._wheel[0]

    @property
    def body(self) -> bytes:
        return self._wheel[1]

    @property
    def metadata(self) -> bytes:
        return make.metadata(self.project, self.version)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def form(self) -> bytes:
        """The body of the POST that uploads it."""
        fields = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.1",
            "name": self.project,
            "version": self.version,
            "filetype": "bdist_wheel",
            "pyversion": "py3",
            "sha256_digest": self.sha256,
        }
        head = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        head += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="{self.filename}"\r\n\r\n'
        return head.encode() + self.body + f"\r\n--{BOUNDARY}--\r\n".encode()


@dataclass(frozen=True)
class Answer:
    """What came of a request; *body* is all that was announced, and no byte less."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(server: Server, target: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """One request on a connection of its own; raise one of BROKEN where the answer does not come to its end."""
    place = urlsplit(server.url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE)
    try:
        connection.request(method, target, body, {**headers, "Connection": "close"})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def upload(server: Server, release: Release) -> Answer:
    return ask(server, "/legacy/", method="POST", body=release.form(), **_kind())


@contextmanager
def half_uploaded(server: Server, release: Release) -> Iterator[None]:
    """Send all of *release* but its last bytes, and keep the connection open."""
    place = urlsplit(server.url)
    form = release.form()
    with socket.create_connection((place.hostname, place.port), PATIENCE) as connection:
        head = [
            "POST /legacy/ HTTP/1.1",
            f"Host: {place.netloc}",
            f"Content-Length: {len(form)}",
            *map(": ".join, _kind().items()),
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + form[:-1000])
        yield


def begun(server: Server, target: str, count: int) -> tuple[int, bytes]:
    """The status, and the first *count* bytes of an answer that is not waited for any longer."""
    place = urlsplit(server.url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read(count)
    finally:
        connection.close()


def listed(server: Server, project: str) -> dict[str, dict[str, Any]]:
    """The files on the page of *project* by filename, with the absolute path of each as `target`."""
    at = f"/simple/{project}/"
    answer = ask(server, at, Accept=JSON)
    assert answer.status == 200, answer
    files = msgspec.json.decode(answer.body)["files"]
    return {file["filename"]: {**file, "target": urljoin(at, file["url"])} for file in files}


def _kind() -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
