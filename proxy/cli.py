"""The command line: thin, and quick to start, as each command imports what it needs."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from . import __version__
from .errors import ProxyError

if TYPE_CHECKING:
    from .config import Configuration, Flags, Login, Settings

    Logins = Mapping[str, Mapping[str, Login]]

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

data_option = click.option(
    "--data", metavar="DIR", type=click.Path(path_type=Path), help="Keep everything in DIR/state, DIR/cache."
)

folder_type = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
    from .config import Flags

    folder = None if data is None else data.absolute()
    flags = Flags(listen=listen, data=folder, upstream=upstream, allow_network=allow_network)
    configuration = _load(file, flags)
    settings, logins = configuration.settings, _logins(configuration)
    try:
        _run(settings, logins)
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
    _logins(configuration)
    from .config.show import show

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
    configuration = _load(file, None)
    from .commands import mirrors as command
    from .status import write_status

    if probe:
        well = asyncio.run(command.probe_all(configuration.settings, _logins(configuration), click.echo))
    else:
        try:
            status = command.ask(url or command.address(configuration.settings))
        except command.NoStatus as error:
            _fail(str(error))
        well = command.is_well(status)
        if as_json:
            click.echo(write_status(status), nl=False)
        else:
            for line in command.show_status(status, time.time()):
                click.echo(line)
    sys.exit(0 if well else FAILED)


@yizhan.command("import")
@click.argument("kind", metavar="pypiserver|devpi|dir", type=click.Choice(["pypiserver", "devpi", "dir"]))
@click.argument("source", metavar="DIR", type=folder_type)
@config_option
@data_option
@click.option("--only", metavar="NAME", multiple=True, help="Take this project alone; acme-* is acme and acme-….")
@click.option("--index", metavar="USER/INDEX", multiple=True, help="Take this index of a devpi-export (repeatable).")
@click.option("--link", is_flag=True, help="Hard-link files where that is possible: nobody may change them any more.")
@click.option("--dry-run", is_flag=True, help="Take nothing; say what would be taken, and what not.")
def import_(
    kind: str,
    source: Path,
    file: Path | None,
    data: Path | None,
    only: tuple[str, ...],
    index: tuple[str, ...],
    link: bool,
    dry_run: bool,
) -> None:
    """Take wheels and source distributions from a folder: pypiserver's, a devpi-export, or any other.

    The source is only read.  No server may run on the data folder meanwhile.
    """
    if index and kind != "devpi":
        raise click.UsageError("--index is for a devpi-export.")
    settings = _settings(file, data)
    from .commands import devpi, folders, imports
    from .commands.progress import watch

    with _failing(devpi.NoExport):
        found = devpi.look(source, index) if kind == "devpi" else folders.look(source)
        wishes = imports.Wishes(only=imports.patterns(only), link=link, dry_run=dry_run)
        report = asyncio.run(imports.import_all(found, settings, wishes, watch=watch))
    _print(imports.show(report, dry_run=dry_run), well=report.well)


@yizhan.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@config_option
@data_option
@click.option("--link", is_flag=True, help="Hard-link files where that is possible: quicker, and no second copy.")
def backup(folder: Path, file: Path | None, data: Path | None, link: bool) -> None:
    """Back the state folder up into DIR, or bring the backup in there up to date; the server may go on running."""
    settings = _settings(file, data)
    from .commands import backup as command
    from .commands.progress import watch

    with _failing(command.NoBackup):
        done = command.back_up(settings, folder, now=time.time(), link=link, watch=watch)
    _print(command.show_backup(done), well=not done.wrong)


@yizhan.command()
@click.argument("folder", metavar="DIR", type=folder_type)
@config_option
@data_option
@click.option("--partial", is_flag=True, help="Restore what is whole although some of the backup is damaged.")
@click.option("--dry-run", is_flag=True, help="Read and check all of the backup, and change nothing.")
def restore(folder: Path, file: Path | None, data: Path | None, partial: bool, dry_run: bool) -> None:
    """Bring the backup in DIR back.  What was deleted, claimed or uploaded since stays as it is.

    No server may run on the data folder meanwhile.
    """
    settings = _settings(file, data)
    from .commands import backup as command
    from .commands.progress import watch

    with _failing(command.NoBackup):
        done = command.restore(settings, folder, partial=partial, dry_run=dry_run, watch=watch)
    _print(command.show_restored(done, dry_run=dry_run), well=not (done.wrong or done.others))


@yizhan.command()
@config_option
@data_option
def verify(file: Path | None, data: Path | None) -> None:
    """Read every private file and hold it against its hash; the server may go on running."""
    settings = _settings(file, data)
    from .commands import verify as command
    from .commands.progress import watch

    with _failing():
        found = command.audit(settings.storage.state, now=time.time(), watch=watch)
    _print(command.show(found), well=not found.wrong)


def _settings(file: Path | None, data: Path | None) -> Settings:
    from .config import Flags

    return _load(file, Flags(data=None if data is None else data.absolute())).settings


@contextmanager
def _failing(*kinds: type[Exception]) -> Iterator[None]:
    """Say in a sentence what keeps a command from being done, of whichever of *kinds*, and end."""
    sentences: tuple[type[Exception], ...] = (ProxyError, *kinds)
    try:
        yield
    except sentences as error:
        _fail(str(error))
    except OSError as error:
        log.debug("The error in full:", exc_info=True)
        place = "The data folder" if error.filename is None else os.fsdecode(error.filename)
        _fail(f"{place} cannot be used: {error.strerror or error}.")


def _print(lines: Iterable[str], *, well: bool) -> NoReturn:
    for line in lines:
        click.echo(line)
    sys.exit(0 if well else FAILED)


def _load(file: Path | None, flags: Flags | None) -> Configuration:
    from .config import load

    with _told():
        return load(file, environment=os.environ, flags=flags)


def _logins(configuration: Configuration) -> Logins:
    with _told():
        return configuration.credentials(os.environ)


@contextmanager
def _told() -> Iterator[None]:
    """Print every problem of a configuration, and end."""
    from .config import ConfigError

    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            click.secho(problem, err=True, fg="red")
        sys.exit(MISCONFIGURED)


def _run(settings: Settings, logins: Logins) -> None:
    from .build import serve as serve_until_stopped

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


def _fail(sentence: str) -> NoReturn:
    click.secho(sentence, err=True, fg="red")
    sys.exit(FAILED)
