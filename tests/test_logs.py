"""ops/logs.py: no stranger writes a line of ours, and no line holds what only its sender should know."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from hypothesis import given
from hypothesis import strategies as st

from proxy.ops import logs


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, *arguments: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("proxy.test", logging.INFO, __file__, 1, message, arguments, None)
    made.created, made.msecs = 1768478400.25, 250.0
    for name, value in more.items():
        setattr(made, name, value)
    return made


def raised(message: str) -> Any:
    """What sys.exc_info() gives for an error with *message*."""
    with pytest.raises(ValueError, match=r"\A") as caught:
        raise ValueError(message)
    return caught.type, caught.value, caught.tb


def test_a_line_of_text_says_when_how_bad_and_where() -> None:
    line = logs.TextFormatter().format(record("%s files", 3))
    assert line == "2026-01-15T12:00:00.250Z INFO proxy.test: 3 files"


def test_a_line_of_json_says_the_same_and_a_requests_fields() -> None:
    line = logs.JSONFormatter().format(record("%s files", 3, fields={"status": 200}))
    assert json.loads(line) == {
        "time": "2026-01-15T12:00:00.250Z",
        "level": "info",
        "logger": "proxy.test",
        "message": "3 files",
        "status": 200,
    }


@given(st.text())
def test_what_a_stranger_sends_stays_on_one_line(text: str) -> None:
    for formatter in (logs.TextFormatter(), logs.JSONFormatter()):
        line = formatter.format(record("%s", text))
        assert len(line.splitlines()) == 1
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]", line)
        line.encode()


def test_chinese_stays_readable_and_controls_are_told_apart() -> None:
    assert logs.escaped("驿站\r\n\x1b[31m\u202e\u2028") == "驿站\\x0d\\x0a\\x1b[31m\\u202e\\u2028"


def test_a_traceback_cannot_pose_as_a_line_of_the_log() -> None:
    forged = "2026-01-15T12:00:00.250Z INFO proxy.auth: let in"
    lines = logs.TextFormatter().format(record("failed", exc_info=raised(f"x\n{forged}\r{forged}"))).splitlines()
    assert len(lines) > 3
    assert all(line.startswith("    | ") for line in lines[1:])
    assert json.loads(logs.JSONFormatter().format(record("failed", exc_info=raised("why"))))["exception"].endswith(
        "why"
    )


def test_lines_go_to_standard_error_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.configure("warning", "text")
    logging.getLogger("proxy.test").info("unheard")
    logging.getLogger("proxy.test").warning("heard")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\S+Z WARNING proxy\.test: heard\n", err)


# The access log


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logs.access.addHandler(handler)
    logs.access.setLevel(logging.INFO)
    yield handler
    logs.access.setLevel(logging.NOTSET)
    logs.access.removeHandler(handler)


@pytest.fixture
async def server() -> AsyncIterator[RawTestServer]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization"):
            request[logs.USER] = "wang li"
            request[logs.CLIENT] = "10.0.0.7"
        response = web.Response(text="twelve bytes")
        if request.path == "/sendfile":
            response[logs.SENT] = 10**9
        return response

    started = RawTestServer(answer)
    await started.start_server(access_log_class=logs.AccessLogger, access_log=logs.access)
    yield started
    await started.close()


async def send(server: RawTestServer, target: str, headers: str = "") -> None:
    """One request as written, and its answer to the end."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode("latin-1"))
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_each_request_is_one_line(server: RawTestServer, lines: Lines) -> None:
    await send(server, "/simple/numpy/", 'User-Agent: pip/23.2 "q" \\\r\n')
    (line,) = lines.records
    assert re.fullmatch(
        r'127\.0\.0\.1 - GET /simple/numpy/ 200 \d+ \d+\.\d+ "pip/23\.2 \\"q\\" \\\\"', line.getMessage()
    )
    fields = json.loads(logs.JSONFormatter().format(line))
    assert (fields["path"], fields["status"]) == ("/simple/numpy/", 200)
    assert len("twelve bytes") < fields["bytes"] < 500
    assert fields["agent"] == 'pip/23.2 "q" \\'


async def test_who_it_was_is_whom_the_server_says(server: RawTestServer, lines: Lines) -> None:
    await send(server, "/", "Authorization: Basic d2FuZzpodW50ZXIy\r\n")
    message = lines.records[0].getMessage()
    assert message.startswith("10.0.0.7 wang\\x20li GET / 200 ")
    assert "d2FuZzpodW50ZXIy" not in message


@pytest.mark.parametrize(
    "target",
    ["/simple/a/?token=hunter2", "http://wang:hunter2@x/simple/a/", "http://wang:hunter2@x/simple/a/?t=hunter2"],
)
async def test_credentials_in_a_target_are_not_written(server: RawTestServer, lines: Lines, target: str) -> None:
    await send(server, target)
    (line,) = lines.records
    assert " GET /simple/a/ " in line.getMessage()
    assert "hunter2" not in logs.JSONFormatter().format(line)


async def test_a_path_is_written_as_it_was_sent(server: RawTestServer, lines: Lines) -> None:
    await send(server, "/simple/%0a%1b%E9%A9%BF/../x")
    assert " GET /simple/%0a%1b%E9%A9%BF/../x 200 " in lines.records[0].getMessage()


async def test_bytes_that_went_past_aiohttp_are_counted(server: RawTestServer, lines: Lines) -> None:
    await send(server, "/sendfile")
    fields = json.loads(logs.JSONFormatter().format(lines.records[0]))
    assert 10**9 < fields["bytes"] < 10**9 + 500


async def test_a_user_agent_is_cut(server: RawTestServer, lines: Lines) -> None:
    await send(server, "/", f"User-Agent: {'a' * 5000}\r\n")
    assert lines.records[0].getMessage().endswith(f' "{"a" * logs.MAX_AGENT}"')


async def test_nothing_is_put_together_that_nobody_reads(server: RawTestServer, lines: Lines) -> None:
    logs.access.setLevel(logging.WARNING)
    assert not logs.AccessLogger(logs.access, "").enabled
    await send(server, "/")
    assert lines.records == []
