"""The command line: thin, and quick to start, as each command imports what it needs."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import __version__
from ..errors import ProxyError
from . import moving, people, private
from .common import (
    FAILED,
    MISCONFIGURED,
    config_option,
    data_option,
    fail,
    read_configuration,
    read_logins,
)

if TYPE_CHECKING:
    from ..config import Settings
    from .common import Logins

__all__ = ["FAILED", "MISCONFIGURED", "yizhan"]

log = logging.getLogger(__name__)


@click.group(
    commands=[*moving.COMMANDS, *private.COMMANDS, *people.COMMANDS],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="yizhan")
def yizhan() -> None:
    """Yizhan 驿站: one index URL for every pip and uv on the LAN."""


@yizhan.command()
@config_option
@click.option("--listen", metavar="HOST:PORT", help="Wait for connections here, as in :8080 for every interface.")
@data_option
@click.option("--upstream", metavar="URL", multiple=True, help="Ask this mirror, by URL or known name (repeatable).")
@click.option("--allow-network", metavar="CIDR", multiple=True, help="Addresses that may be dialled too (repeatable).")
def serve(
    file: Path | None, listen: str | None, data: Path | None, upstream: tuple[str, ...], allow_network: tuple[str, ...]
) -> None:
    """Run the server, until it is told to stop."""
    from ..config import Flags

    folder = None if data is None else data.absolute()
    flags = Flags(listen=listen, data=folder, upstream=upstream, allow_network=allow_network)
    configuration = read_configuration(file, flags)
    settings, logins = configuration.settings, read_logins(configuration)
    try:
        _run(settings, logins)
    except ProxyError as error:
        fail(str(error))
    except OSError as error:
        log.debug("The error in full:", exc_info=True)
        fail(_sentence(error, settings))


@yizhan.command()
@config_option
def check(file: Path | None) -> None:
    """Print every problem of the configuration, or the settings in force and where each was written."""
    configuration = read_configuration(file, None)
    read_logins(configuration)
    from ..config.show import show

    click.secho("ok", fg="green")
    for line in show(configuration):
        click.echo(line)


@yizhan.command()
@config_option
@click.option("--probe", is_flag=True, help="Ask the mirrors themselves, from here, and say what is wrong with them.")
@click.option("--url", metavar="URL", help="Ask the server at this address, not at the configured one.")
@click.option("--json", "as_json", is_flag=True, help="Print what the server says as it came.")
def mirrors(file: Path | None, probe: bool, url: str | None, as_json: bool) -> None:
    """Show how each mirror does, as the running server sees it."""
    if probe and (url or as_json):
        raise click.UsageError("--probe asks no server: leave out --url and --json.")
    configuration = read_configuration(file, None)
    import asyncio

    from ..commands import mirrors as command
    from ..status import write_status

    if probe:
        well = asyncio.run(command.probe_all(configuration.settings, read_logins(configuration), click.echo))
    else:
        try:
            status = command.ask(url or command.address(configuration.settings))
        except command.NoStatus as error:
            fail(str(error))
        well = command.is_well(status)
        if as_json:
            click.echo(write_status(status), nl=False)
        else:
            for line in command.show_status(status, time.time()):
                click.echo(line)
    sys.exit(0 if well else FAILED)


def _run(settings: Settings, logins: Logins) -> None:
    import asyncio

    from ..build import serve as serve_until_stopped

    asyncio.run(serve_until_stopped(settings, logins=logins, say=click.echo))


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
