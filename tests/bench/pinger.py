"""Asks a server for one thing every few milliseconds, and tells how long it ever had to wait.

    python -m tests.bench.pinger URL

A process of its own, so that nothing but the server (and the machine) makes it wait.  It prints a line when the first
answer has come, and, once its standard input is closed, the longest wait in seconds.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.daemon import clean_environment

from .processes import python

EVERY = 0.005
"""Seconds from one question to the next."""

LIMIT = 60.0


class Stall:
    """What a pinger found."""

    longest = 0.0
    """Seconds."""


@contextmanager
def pinging(url: str) -> Iterator[Stall]:
    """Ping *url* until the block ends; the longest wait is known after it."""
    process = subprocess.Popen(
        python("tests.bench.pinger", url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    stall = Stall()
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield stall
        said, _ = process.communicate(timeout=LIMIT)
        stall.longest = float(said)
    finally:
        process.kill()
        process.wait()


def ping(url: str) -> float:
    """The longest wait, until standard input ends."""
    split = urlsplit(url)
    asked = f"GET {split.path} HTTP/1.1\r\nHost: {split.netloc}\r\nAccept: */*\r\n\r\n".encode()
    longest = 0.0
    ended = selectors.DefaultSelector()
    ended.register(sys.stdin, selectors.EVENT_READ)
    with socket.create_connection((split.hostname or "", split.port or 80), timeout=LIMIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _ask(connection, asked)
        print("pinging", flush=True)
        while not ended.select(EVERY):
            began = time.monotonic()
            _ask(connection, asked)
            longest = max(longest, time.monotonic() - began)
    return longest


def _ask(connection: socket.socket, asked: bytes) -> None:
    """One whole answer; it must tell its length."""
    connection.sendall(asked)
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    got = len(body)
    while got < length:
        got += len(_more(connection))


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise ConnectionError("The server closed the connection.")
    return data


if __name__ == "__main__":
    print(ping(sys.argv[1]))
