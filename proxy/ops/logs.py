"""Log lines on standard error, as text or as JSON, that nobody outside can forge, and one line for each request.

Names and headers come from strangers.  What could end a line, move a terminal's cursor or turn its text around is
written as an escape; credentials and queries are never written at all.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

USER = web.RequestKey("user", str)
"""Set it to the user's name once the credentials are checked, and the access log shows it."""

CLIENT = web.RequestKey("client", str)
"""Set it to the client's address where a trusted proxy told it; the peer's is shown otherwise."""

SENT = web.ResponseKey("sent", int)
"""Bytes that went to the socket past aiohttp, which counts only its own."""

access = logging.getLogger("yizhan.access")
"""Where the lines of requests go: give it to aiohttp as `access_log`."""

MAX_AGENT = 200
"""Characters of a User-Agent that are worth keeping."""

# C0 and C1 controls, line separators, marks that change the direction of text, and lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def configure(level: str, log_format: Literal["text", "json"]) -> None:
    """Send every logger's lines of *level* ("info", ...) and above to standard error, and nowhere else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # It writes a traceback for every request that is none, and anybody can send those.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def escaped(text: str) -> str:
    r"""*text* on one line: control characters as \x1b or \u202e."""
    return _CONTROL.sub(lambda found: _escape(ord(found[0])), text)


class TextFormatter(logging.Formatter):
    """`2026-01-15T12:00:00.000Z INFO proxy.web: message`; a traceback's lines are set in, so that none poses as one."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname} {record.name}: {escaped(record.getMessage())}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    | {escaped(row)}" for row in trace.split("\n"))
        return line


class JSONFormatter(logging.Formatter):
    """One object on a line: time, level, logger, message, and a request's fields or an exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        # All beyond ASCII becomes an escape, which covers every character that _CONTROL does.
        return json.dumps(said)


class AccessLogger(AbstractAccessLogger):
    """Give it to aiohttp as `access_log_class`."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        log_request(
            self.logger,
            client=request.get(CLIENT, request.remote or "-"),
            user=request.get(USER, "-"),
            method=request.method,
            # The target's path alone: a query may hold a token, and `GET http://user:password@host/` is a target too.
            path=request.rel_url.raw_path,
            status=response.status,
            size=response.body_length + response.get(SENT, 0),
            seconds=time,
            agent=request.headers.get("User-Agent", "-"),
        )

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.INFO)


def log_request(
    logger: logging.Logger,
    *,
    client: str,
    user: str,
    method: str,
    path: str,
    status: int,
    size: int,
    seconds: float,
    agent: str,
) -> None:
    """Write the line of one request; *size* is all bytes sent, of head and body, *path* has no query."""
    fields = {
        "client": client,
        "user": user,
        "method": method,
        "path": path,
        "status": status,
        "bytes": size,
        "seconds": round(seconds, 3),
        "agent": agent[:MAX_AGENT],
    }
    words = [_word(str(value)) for key, value in fields.items() if key != "agent"]
    quoted = fields["agent"] and str(fields["agent"]).replace("\\", "\\\\").replace('"', '\\"')
    logger.info('%s "%s"', " ".join(words), quoted, extra={"fields": fields})


def _word(text: str) -> str:
    """*text* without spaces, so that the words of a line can be counted."""
    return re.sub(r"\s", lambda found: _escape(ord(found[0])), text) or "-"


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"
