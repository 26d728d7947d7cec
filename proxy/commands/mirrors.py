"""`yizhan mirrors`: how each mirror does, as the running server sees it, or as a look from here finds it."""

from __future__ import annotations

import asyncio
import base64
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from urllib.parse import unquote, urlsplit, urlunsplit

import click
from packaging.utils import canonicalize_name

from ..config import Index, Login, MirrorURL, Settings
from ..policy import Policy, PublicName
from ..status import IndexState, Status, read_status
from ..upstream.answers import plain
from ..upstream.health import MirrorState
from ..upstream.index import Mirror
from ..upstream.probe import Finding, probe
from ..upstreams import Maker, open_mirrors

WELL_KNOWN = "pip"
"""A project that every general index has."""

Logins = Mapping[str, Mapping[str, Login]]
"""By index and origin."""

PATIENCE = 10.0
"""Seconds for which the server is waited for."""

LARGEST = 4 * 1024 * 1024
"""Bytes of a status that are read."""

UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))

Row = tuple[str, ...]

TITLES: Row = ("mirror", "pages", "files", "latency", "speed", "lag", "failed")


class NoStatus(Exception):
    """The running server could not be asked; the message is a sentence that says what to do."""


def address(settings: Settings) -> str:
    """Where the server of these *settings* is reached from this machine."""
    listen = settings.server.listen
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 -- compared, not bound
    return f"http://[{host}]:{listen.port}/" if ":" in host else f"http://{host}:{listen.port}/"


def ask(url: str) -> Status:
    """The status of the server at *url*, which may hold a user name and a password; raise NoStatus."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NoStatus("--url wants an http:// or https:// URL, as in http://localhost:8080/.")
    place = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/-/status", "", ""))
    request = urllib.request.Request(place)  # noqa: S310 -- the scheme was looked at above
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        # Which urllib sends nowhere else, wherever it is redirected.
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(user).decode()}")
    # Not by way of a proxy from the environment: the server is near.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            body = answer.read(LARGEST)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 401:
                raise NoStatus("The server wants a user: --url http://USER:PASSWORD@HOST:PORT/") from None
            raise NoStatus(f"The server answered {error.code} at {place}.") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = plain(str(getattr(error, "reason", error)))
        raise NoStatus(
            f"No server answers at {place} ({reason}); give its address with --url, or ask the mirrors from here with "
            "--probe."
        ) from None
    try:
        return read_status(body)
    except ValueError:
        raise NoStatus(f"What answers at {place} is no server of this kind, or of another version.") from None


def is_well(status: Status) -> bool:
    """Whether each index has a mirror that is asked for pages and one that is asked for files."""
    return all(
        any(mirror.pages == "closed" for mirror in index.mirrors)
        and any(mirror.files == "closed" for mirror in index.mirrors)
        for index in status.indexes
    )


async def probe_all(settings: Settings, logins: Logins, say: Callable[[str], None]) -> bool:
    """Look at every mirror from here and *say* what was found, index by index; whether each has one of use."""
    well = True
    policy = Policy(reserved=settings.private.reserved, overlay=frozenset(settings.private.overlay))
    for index in settings.index:
        name = _sure(index, policy)
        async with open_mirrors(index, logins.get(index.name, {})) as made:
            looks = [
                probe(made(mirror), name=name, at=partial(_at, made=made, mirror=mirror)) for mirror in index.mirrors
            ]
            findings = await asyncio.gather(*looks)
        for line in show_findings(index.name, findings):
            say(line)
        well = well and any(found.problem is None for found in findings)
    return well


def _at(url: str, *, made: Maker, mirror: MirrorURL) -> Mirror:
    return made(replace(mirror, url=url))


def _sure(index: Index, policy: Policy) -> PublicName:
    """A project that *index* has if it has any: one that its names spell out, for a pattern's stem may be nobody's."""
    names = sorted(index.names, key=lambda pattern: pattern.endswith("*"))
    for text in (*(pattern.rstrip("*").rstrip("-") for pattern in names), WELL_KNOWN):
        public = policy.route(canonicalize_name(text), frozenset()).public if text else None
        if public is not None:
            return public
    raise click.ClickException(f"Every name that the index {index.name} could be asked for is reserved.")


def show_status(status: Status, now: float) -> Iterator[str]:
    """The lines to print; *now* in seconds since the epoch."""
    for index in status.indexes:
        yield click.style(f"index {index.name}", bold=True)
        yield from _table([TITLES, *map(_row, index.mirrors)])
        yield from _errors(index, now)
        yield ""
    if not status.indexes:
        yield "No index is set up: only private projects are served."


def show_findings(index: str, findings: Iterable[Finding]) -> Iterator[str]:
    """The lines to print."""
    yield click.style(f"index {index}", bold=True)
    for found in findings:
        if found.problem is not None:
            yield click.style(f"  {found.mirror}: {found.problem}", fg="red")
            if found.instead is not None:
                yield f"    There is an index at {found.instead}: write that into mirrors."
            continue
        yield click.style(f"  {found.mirror}: ok, {_duration(found.seconds)}", fg="green")
        yield f"    gives {', '.join(found.gives) or 'pages'}"
        if found.lacks:
            yield f"    lacks {', '.join(found.lacks)}"
    yield ""


def _row(mirror: MirrorState) -> Row:
    return (
        mirror.name,
        _state(mirror.pages, mirror.pages_retry_in),
        _state(mirror.files, mirror.files_retry_in),
        "-" if mirror.latency is None else _duration(mirror.latency),
        "-" if mirror.speed is None else _rate(mirror.speed),
        "-" if mirror.lag is None else str(mirror.lag),
        f"{mirror.failed} of {mirror.asked}",
    )


def _state(state: str, retry_in: float | None) -> str:
    """In an operator's words: a breaker is closed where all is well."""
    if state == "closed":
        return "ok"
    return f"left alone, {_duration(retry_in or 0.0)}" if state == "open" else "tried again"


def _errors(index: IndexState, now: float) -> Iterator[str]:
    for mirror in index.mirrors:
        if mirror.last_error is not None and mirror.last_error_at is not None:
            at = datetime.fromtimestamp(mirror.last_error_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            ago = _duration(max(0.0, now - mirror.last_error_at))
            yield click.style(f"  {at} ({ago} ago): {mirror.last_error}", fg="yellow")


def _table(rows: Sequence[Row]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _rate(speed: float) -> str:
    unit, name = next(((unit, name) for unit, name in UNITS if speed >= unit), (1, "B"))
    return f"{speed / unit:.1f} {name}/s"
