"""wrk, the load generator: how many answers a second a server gives to so many connections."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from .measure import Wrong

_SETUP = """\
local headers = {headers}
local paths = {paths}
local different = {different}
local asked = 0
wrk.path = paths[1]
for name, value in pairs(headers) do wrk.headers[name] = value end
local function vary()
  asked = asked + 1
  if different then
    wrk.headers["User-Agent"] = "pip/" .. asked .. ' {{"installer":{{"name":"pip","version":"' .. asked .. '"}}}}'
    wrk.headers["If-None-Match"] = '"' .. asked .. '"'
  end
  return wrk.format("GET", paths[asked % #paths + 1])
end
-- Without a function of this name wrk sends the same bytes again and again, which costs it least.
if different or #paths > 1 then request = vary end
function done(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{{"requests":%d,"microseconds":%d,', summary.requests, summary.duration))
  io.write(string.format('"bytes":%d,', summary.bytes))
  io.write(string.format('"middle":%d,"slow":%d,', latency:percentile(50), latency:percentile(99)))
  io.write(string.format('"refused":%d,"broken":%d}}\\n', errors.status, broken))
end
"""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a load, as wrk tells it."""

    requests: int
    microseconds: int
    bytes: int
    """With the heads."""
    middle: int
    """Microseconds that half of the answers took at most."""
    slow: int
    """Microseconds that 99 of 100 took at most."""
    refused: int
    """Answers of 400 and above."""
    broken: int
    """Connections that failed or timed out."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.microseconds * 1e6


def program() -> str | None:
    return shutil.which("wrk")


def load(
    url: str,
    *,
    paths: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    connections: int = 16,
    seconds: float,
    different: bool = False,
    body: int | None = None,
) -> Load:
    """Ask for *url*, or for each of *paths* below it in turn, for *seconds* from *connections*, one thread.

    *different*: no two requests have the same User-Agent or If-None-Match.  *body*: bytes that each answer is to have.
    Raise Wrong where the answers were not all good, or not of that size.
    """
    split = urlsplit(url)
    script = _SETUP.format(
        headers=_table(headers or {}),
        paths="{" + ", ".join(quoted(path) for path in paths or (split.path,)) + "}",
        different="true" if different else "false",
    )
    found = read(_run(f"{split.scheme}://{split.netloc}", script, connections, seconds))
    check(found, url, connections=connections, body=body)
    return found


def check(found: Load, url: str, *, connections: int, body: int | None) -> None:
    """Raise Wrong unless all answers of *url* were good and had a *body* of so many bytes (None: of any)."""
    if found.refused or found.broken or not found.requests:
        raise Wrong(f"{url}: of {found.requests} answers {found.refused} were refusals, {found.broken} broke.")
    # Those under way at the end are counted in bytes, not as answers.
    if body is not None and not 0 <= found.bytes - found.requests * body <= found.requests * HEAD + connections * body:
        raise Wrong(f"{url}: answers have {found.bytes / found.requests:.0f} bytes instead of {body} and a head.")


def read(printed: str) -> Load:
    """What the script made wrk print; raise Wrong where it is not there."""
    if found := re.search(r"^\{.*\}$", printed, re.MULTILINE):
        return msgspec.json.decode(found[0], type=Load)
    raise Wrong(f"wrk gave no figures: {printed[-500:]}")


HEAD = 2048
"""Bytes of an answer's head, at most."""


def _run(server: str, script: str, connections: int, seconds: float) -> str:
    """All that it prints."""
    command = program()
    assert command is not None
    with tempfile.TemporaryDirectory(prefix="yizhan-wrk-") as folder:
        path = Path(folder) / "load.lua"
        path.write_text(script, encoding="utf-8")
        # wrk counts whole seconds only.
        said = ("-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "--latency")
        done = subprocess.run(
            [command, *said, "-s", str(path), server],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 90,
        )
    return done.stdout + done.stderr


def _table(headers: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"[{quoted(name)}] = {quoted(value)}" for name, value in headers.items()) + "}"


def quoted(text: str) -> str:
    """A Lua string; the quotes and backslashes of ASCII are written as in JSON."""
    assert text.isascii()
    assert text.isprintable()
    return msgspec.json.encode(text).decode()
