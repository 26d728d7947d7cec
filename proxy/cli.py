"""The command line: thin, and quick to start, as each command imports what it needs."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from . import __version__
from .errors import ProxyError

if TYPE_CHECKING:
    from .config import Configuration, Flags, Settings

FAILED, MISCONFIGURED = 1, 2
"""Exit statuses: it could not run; it was told nonsense (which is click's own status for a wrong flag, too)."""

log = logging.getLogger(__name__)

config_option = click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read settings from this TOML file; without one, all have their defaults.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="yizhan")
def yizhan() -> None:
    """Yizhan 驿站: one index URL for every pip and uv on the LAN."""


@yizhan.command()
@config_option
@click.option("--listen", metavar="HOST:PORT", help="Wait for connections here, as in :8080 for every interface.")
@click.option("--data", metavar="DIR", type=click.Path(path_type=Path), help="Keep everything in DIR/state, DIR/cache.")
@click.option("--upstream", metavar="URL", multiple=True, help="Ask this mirror, by URL or known name (repeatable).")
@click.option("--allow-network", metavar="CIDR", multiple=True, help="Addresses that may be dialled too (repeatable).")
def serve(
    file: Path | None, listen: str | None, data: Path | None, upstream: tuple[str, ...], allow_network: tuple[str, ...]
) -> None:
    """Run the server, until it is told to stop."""
    from .config import Flags

    folder = None if data is None else data.absolute()
    flags = Flags(listen=listen, data=folder, upstream=upstream, allow_network=allow_network)
    settings = _load(file, flags).settings
    try:
        _run(settings)
    except ProxyError as error:
        _fail(str(error))
    except OSError as error:
        log.debug("The error in full:", exc_info=True)
        _fail(_sentence(error, settings))


@yizhan.command()
@config_option
def check(file: Path | None) -> None:
    """Print every problem of the configuration, or the settings in force and where each was written."""
    configuration = _load(file, None)
    from .config.show import show

    click.secho("ok", fg="green")
    for line in show(configuration):
        click.echo(line)


def _load(file: Path | None, flags: Flags | None) -> Configuration:
    from .config import ConfigError, load

    try:
        return load(file, environment=os.environ, flags=flags)
    except ConfigError as error:
        for problem in error.problems:
            click.secho(problem, err=True, fg="red")
        sys.exit(MISCONFIGURED)


def _run(settings: Settings) -> None:
    from .build import serve as serve_until_stopped

    asyncio.run(serve_until_stopped(settings, say=click.echo))


def _sentence(error: OSError, settings: Settings) -> str:
    """What the operating system refused, for the operator who can change it."""
    address = settings.server.listen
    if error.errno == errno.EADDRINUSE:
        return f"Another program listens on {address}: stop it, or choose another address with --listen."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"No network interface of this machine has the address {address}: choose another one with --listen."
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}."
    if error.errno == errno.EACCES:
        return f"This user may not listen on {address}: choose a port from 1024 on with --listen."
    return f"The operating system refused: {error.strerror or error}."


def _fail(sentence: str) -> NoReturn:
    click.secho(sentence, err=True, fg="red")
    sys.exit(FAILED)
