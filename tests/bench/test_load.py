"""The bench's loads: what wrk is told, and that its figures count only where all answers were what was asked for."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from .asking import swallow
from .crowd import gather
from .measure import Wrong
from .processes import HOST
from .wrk import HEAD, Load, check, quoted, read

BODY = b"0123456789" * 5000
URL = "http://127.0.0.1/simple/demo/"


def load(**fields: int) -> Load:
    said = {"requests": 100, "microseconds": 2_000_000, "bytes": 0, "middle": 1, "slow": 2, "refused": 0, "broken": 0}
    return Load(**{**said, **fields})


@contextmanager
def server(body: bytes, *, length: int | None = None) -> Iterator[str]:
    """The URL of a file of *body* that any number of clients may ask for; its head announces *length* bytes."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while b"\r\n\r\n" not in connection.recv(65536, socket.MSG_PEEK):
                pass
            connection.recv(65536)
            connection.sendall(head + body)

    with socket.create_server((HOST, 0), backlog=128) as listening:
        answering = list[threading.Thread]()

        def accept() -> None:
            with suppress(OSError):  # closed by the end of the test
                while True:
                    answering.append(threading.Thread(target=answer, args=(listening.accept()[0],)))
                    answering[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://{HOST}:{listening.getsockname()[1]}/file"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in answering:
                thread.join()


def test_the_figures_are_found_in_what_wrk_prints() -> None:
    line = '{"requests":30,"microseconds":1500000,"bytes":9,"middle":5,"slow":7,"refused":0,"broken":0}'
    assert read(f"Running 1s test @ {URL}\n  1 threads\n{line}\n").rate == 20
    with pytest.raises(Wrong, match="unable to connect"):
        read("unable to connect to 127.0.0.1:9")


def test_a_load_with_refusals_or_broken_connections_counts_for_nothing() -> None:
    for wrong in (load(refused=1), load(broken=1), load(requests=0)):
        with pytest.raises(Wrong):
            check(wrong, URL, connections=16, body=None)
    check(load(), URL, connections=16, body=None)


def test_a_load_must_bring_whole_bodies_and_may_have_more_under_way() -> None:
    for bytes_, good in ((99_900, False), (100_000, True), (100 * (1000 + HEAD) + 16_001, False), (116_000, True)):
        found = load(bytes=bytes_)
        if good:
            check(found, URL, connections=16, body=1000)
        else:
            with pytest.raises(Wrong):
                check(found, URL, connections=16, body=1000)


def test_what_a_header_says_reaches_wrk_as_it_is() -> None:
    assert quoted('W/"a\\b"') == r'"W/\"a\\b\""'


def test_a_crowd_sees_the_whole_file_and_when_it_began() -> None:
    with server(BODY) as url:
        seen = gather(url, 20, hashlib.sha256(BODY).hexdigest())
    assert len(seen.first_bytes) == 20
    assert 0 < seen.first_bytes[0] <= seen.first_bytes[-1] <= seen.whole
    assert seen.late == seen.first_bytes[-1] - seen.first_bytes[0]


def test_a_crowd_that_gets_other_bytes_or_too_few_is_an_error() -> None:
    with server(BODY) as url, pytest.raises(Wrong, match="other bytes"):
        gather(url, 3, hashlib.sha256(b"other").hexdigest())
    with server(BODY, length=len(BODY) + 1) as url, pytest.raises(Wrong, match="1 bytes to go"):
        gather(url, 3, hashlib.sha256(BODY).hexdigest())


def test_one_reader_counts_every_byte() -> None:
    with server(BODY) as url:
        assert swallow(url, len(BODY)) > 0
    with server(BODY[:-1]) as url, pytest.raises(Wrong, match=f"{len(BODY) - 1} bytes"):
        swallow(url, len(BODY))
