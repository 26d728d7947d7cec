"""A TCP relay in front of the server: a reverse proxy that adds headers, or a line that holds an upload back."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

READ = 64 * 1024


@dataclass
class Relay:
    """Relays what connects to `url` to *to*, a URL of loopback.  It is for clients that ask once on a connection."""

    to: str
    headers: str = ""
    """Lines, each with its CR and LF, put at the head of the first request on each connection."""
    hold_after: int | None = None
    """Bytes from client to server, beyond which nothing passes before `released`."""
    replace: tuple[bytes, bytes] = (b"", b"")
    """What of the client's bytes arrives as something else, just as long."""
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    """With its slash."""

    def take(self, listener: socket.socket) -> None:
        """Serve until *listener* is shut down."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", urlsplit(self.to).port or 0)) as server:
            questions = threading.Thread(target=self._questions, args=(client, server), daemon=True)
            questions.start()
            _answers(client, server)
            questions.join()

    def _questions(self, client: socket.socket, server: socket.socket) -> None:
        passed, kept = 0, b""
        with contextlib.suppress(OSError):
            while data := client.recv(READ):
                data, kept = self._replaced(kept + data)
                if not passed:
                    # The request line may have come alone.
                    line, end, rest = data.partition(b"\r\n")
                    data = line + end + self.headers.encode() + rest
                if self.hold_after is not None and passed + len(data) > self.hold_after:
                    self.released.wait()
                server.sendall(data)
                passed += len(data)
            server.shutdown(socket.SHUT_WR)

    def _replaced(self, data: bytes) -> tuple[bytes, bytes]:
        """*data* as it arrives, and the end of it that is held back since what follows may make it another one."""
        old, new = self.replace
        if not old:
            return data, b""
        data = data.replace(old, new)
        begun = next((size for size in range(len(old) - 1, 0, -1) if data.endswith(old[:size])), 0)
        return data[: len(data) - begun], data[len(data) - begun :]


def _answers(client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(READ):
            client.sendall(data)
    # Wakes whoever still reads there, which closing would not.
    for end in (client, server):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay(
    to: str, *, headers: str = "", hold_after: int | None = None, replace: tuple[bytes, bytes] = (b"", b"")
) -> Iterator[Relay]:
    """A relay to *to*."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Relay(to, headers, hold_after, replace, url=f"http://127.0.0.1:{listener.getsockname()[1]}/")
        threading.Thread(target=made.take, args=(listener,), daemon=True).start()
        try:
            yield made
        finally:
            made.released.set()
            # Closing alone does not wake a thread in accept().
            listener.shutdown(socket.SHUT_RDWR)
