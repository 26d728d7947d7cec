"""The bench's slow line: it delays all, loses nothing, and ends where either side ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .line import UNDER_WAY
from .processes import HOST, free_ports, python, running

ROUND_TRIP = 0.03


@contextmanager
def line(to: int, folder: Path) -> Iterator[int]:
    """The port of a line to port *to*."""
    (port,) = free_ports(1)
    arguments = ("--listen", str(port), "--to", str(to), "--round-trip", str(ROUND_TRIP * 1000))
    with running(python("tests.bench.line", *arguments), ports=[port], log=folder / "line.log"):
        yield port


def dial(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=20)


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that treats each connection with *serve*, one after another."""
    with socket.create_server((HOST, 0)) as listening:

        def accept() -> None:
            with suppress(OSError):  # closed by the end of the test
                while True:
                    with listening.accept()[0] as connection:
                        serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def received(connection: socket.socket) -> bytes:
    """All, to the end."""
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def test_more_than_the_line_holds_comes_back_whole_and_late(tmp_path: Path) -> None:
    sent = b"0123456789abcdef" * (UNDER_WAY // 8)
    with server(echo) as to, line(to, tmp_path) as port:
        began = time.monotonic()
        connection = dial(port)

        def send() -> None:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        first = connection.recv(1)
        assert time.monotonic() - began >= 2 * ROUND_TRIP  # to be connected, and there and back
        assert first + received(connection) == sent
        sender.join()
        connection.close()


def test_a_server_that_ends_ends_the_connection(tmp_path: Path) -> None:
    with (
        server(lambda connection: connection.sendall(b"bye")) as to,
        line(to, tmp_path) as port,
        dial(port) as connection,
    ):
        assert received(connection) == b"bye"


def test_a_server_that_is_not_there_ends_the_connection(tmp_path: Path) -> None:
    with line(free_ports(1)[0], tmp_path) as port, dial(port) as connection, suppress(ConnectionResetError):
        assert received(connection) == b""
