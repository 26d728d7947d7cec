"""`yizhan token`: what it prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import click

from ..administration import TokenState
from ..config import Settings
from ..config.htpasswd import has_line
from ..config.values import Seconds, read_pattern
from .table import moment, table

DOES = {"read": "read", "upload": "read and upload", "admin": "do everything"}


def scope(texts: Iterable[str]) -> tuple[str, ...]:
    """The projects of --scope; raise click's own error for what is no name and no pattern."""
    try:
        return tuple(str(read_pattern(text)) for text in texts)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--scope") from None


def seconds(text: str | None) -> float | None:
    """What --expires says; raise click's own error for what is no duration."""
    try:
        return None if text is None else float(Seconds.read_positive(text))
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--expires") from None


def is_known(htpasswd: Path, name: str) -> bool:
    """Whether a line of *htpasswd* is of the user *name*."""
    try:
        return has_line(htpasswd.read_bytes(), name)
    except FileNotFoundError:
        return False


def show(tokens: Sequence[TokenState], now: datetime) -> Iterator[str]:
    """The lines to print."""
    if not tokens:
        yield "There is no token."
        return
    titles = ("id", "user", "scope", "may", "created", "expires", "last used", "revoked", "note")
    yield from table([titles, *(_row(token, now) for token in tokens)])


def show_made(token: TokenState, settings: Settings) -> Iterator[str]:
    """What there is to know of a new token, for people: the token itself is not among it."""
    url = settings.server.public_url or f"http://SERVER:{settings.server.listen.port}/"
    host = urlsplit(url).netloc.partition(":")[0]
    may = next(iter(token.may))
    until = f" until {moment(token.expires)}" if token.expires else ""
    yield f"{token.user} may {DOES[may]} with it ({', '.join(token.scope) or 'all that she has a right to'}){until}."
    yield f"It is shown this once.  To end it: yizhan token revoke {token.id}"
    yield ""
    if may != "read":
        yield from (
            "~/.pypirc, for twine:",
            "  [distutils]",
            "  index-servers = yizhan",
            "  [yizhan]",
            f"  repository = {url}",
            "  username = __token__",
            "  password = TOKEN",
            "",
            "uv:",
            f"  UV_PUBLISH_URL={url} UV_PUBLISH_TOKEN=TOKEN uv publish",
            "",
        )
    yield from (
        "~/.netrc, for pip and uv where reading needs a user (chmod 600):",
        f"  machine {host} login __token__ password TOKEN",
    )


def _row(token: TokenState, now: datetime) -> tuple[str, ...]:
    expired = " (over)" if token.expires is not None and token.expires <= now else ""
    return (
        token.id,
        token.user,
        " ".join(token.scope) or "all",
        " ".join(token.may),
        moment(token.created),
        moment(token.expires) + expired,
        moment(token.used),
        moment(token.revoked),
        token.note,
    )
