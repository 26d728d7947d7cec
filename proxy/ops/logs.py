"""Log lines on standard error, as text or as JSON, that nobody outside can forge, and one line for each request.

Names and headers come from strangers.  What could end a line, move a terminal's cursor or turn its text around is
written as an escape; credentials and queries are never written at all.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from functools import lru_cache
from typing import Any, Literal, NamedTuple

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

TOGETHER = 1000
"""Lines that are kept to be written with others, at most ..."""

SOON = 0.02
"""... and the seconds that they are kept: enough to write tens of lines at once where there are many, and not seen."""

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
    if text.isprintable():
        return text  # nearly always, and a tenth of the time
    return _CONTROL.sub(lambda found: _escape(ord(found[0])), text)


class TextFormatter(logging.Formatter):
    """`2026-01-15T12:00:00.000Z INFO proxy.web: message`; a traceback's lines are set in, so that none poses as one."""

    def format(self, record: logging.LogRecord) -> str:
        if together := getattr(record, "together", None):
            rest = f"{record.levelname} {record.name}:"
            return "\n".join(f"{_moment(when)} {rest} {escaped(one.message)}" for when, one in together)
        line = f"{_moment(record.created)} {record.levelname} {record.name}: {escaped(record.getMessage())}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    | {escaped(row)}" for row in trace.split("\n"))
        return line


class JSONFormatter(logging.Formatter):
    """One object on a line: time, level, logger, message, and a request's fields or an exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        if together := getattr(record, "together", None):
            rest = {"level": record.levelname.lower(), "logger": record.name}
            return "\n".join(
                json.dumps({"time": _moment(when), **rest, "message": one.message, **one.fields})
                for when, one in together
            )
        said: dict[str, Any] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        # All beyond ASCII becomes an escape, which covers every character that _CONTROL does.
        return json.dumps(said)


class Answered(NamedTuple):
    """A request that was answered."""

    client: str
    user: str
    method: str
    path: str
    """Without its query, which may hold a token."""
    status: int
    size: int
    """All bytes sent, of head and body."""
    seconds: float
    agent: str

    @property
    def fields(self) -> dict[str, Any]:
        """As JSON says it."""
        return {
            "client": self.client,
            "user": self.user,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "bytes": self.size,
            "seconds": round(self.seconds, 3),
            "agent": self.agent[:MAX_AGENT],
        }

    @property
    def message(self) -> str:
        """As people read it."""
        agent = self.agent[:MAX_AGENT].replace("\\", "\\\\").replace('"', '\\"')
        return (
            f"{_word(self.client)} {_word(self.user)} {_word(self.method)} {_word(self.path)} {self.status} {self.size}"
            f' {round(self.seconds, 3)} "{agent}"'
        )


class AccessLogger(AbstractAccessLogger):
    """Give it to aiohttp as `access_log_class`."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        one = Answered(
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
        self.logger.info("%s", one.message, extra={"fields": one.fields})

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.INFO)


class Lines:
    """Lines of requests that took no time, written together a moment later.

    One record brings them all; our formatters make a line of each, the same that AccessLogger's record would be.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._kept: list[tuple[float, Answered]] = []

    def add(self, when: float, one: Answered) -> None:
        """Write the line of *one*, which was answered at *when* (seconds since the epoch), soon."""
        if not self._kept:
            asyncio.get_running_loop().call_later(SOON, self.flush)
        self._kept.append((when, one))
        if len(self._kept) >= TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what is kept now."""
        if self._kept:
            kept, self._kept = self._kept, []
            logger = self._logger
            said, more = (len(kept),), {"together": kept}
            logger.handle(logger.makeRecord(logger.name, logging.INFO, "", 0, "%d requests", said, None, extra=more))


def _word(text: str) -> str:
    """*text* without spaces, so that the words of a line can be counted."""
    if text.isprintable() and " " not in text:
        return text or "-"  # no other white space is printable
    return re.sub(r"\s", lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _moment(seconds: float) -> str:
    """*seconds* since the epoch, in UTC."""
    second = int(seconds)
    return f"{_second(second)}.{int((seconds - second) * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
