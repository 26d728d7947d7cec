"""What commands share: their flags, how they read the settings, and how they end."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ..errors import ProxyError

if TYPE_CHECKING:
    from ..administration import Action, Done
    from ..config import Configuration, Flags, Login, Settings

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

json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")

folder_type = click.Path(path_type=Path, exists=True, file_okay=False)


def read_settings(file: Path | None, data: Path | None) -> Settings:
    """What --config and --data say."""
    from ..config import Flags

    return read_configuration(file, Flags(data=None if data is None else data.absolute())).settings


def read_configuration(file: Path | None, flags: Flags | None) -> Configuration:
    """What *file*, the environment and *flags* say."""
    from ..config import load

    with _told():
        return load(file, environment=os.environ, flags=flags)


def read_logins(configuration: Configuration) -> Logins:
    """The passwords that *configuration* names."""
    with _told():
        return configuration.credentials(os.environ)


def perform(settings: Settings, action: Action, *, new: bool = False) -> Done:
    """What comes of *action*, or the end with a sentence; with *new* a data folder is made where there is none."""
    import asyncio

    from ..commands import office

    with failing():
        return asyncio.run(office.perform(settings, action, new=new))


@contextmanager
def _told() -> Iterator[None]:
    """Print every problem of a configuration, and end."""
    from ..config import ConfigError

    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            click.secho(problem, err=True, fg="red")
        sys.exit(MISCONFIGURED)


@contextmanager
def failing(*kinds: type[Exception]) -> Iterator[None]:
    """Say in a sentence what keeps a command from being done, of whichever of *kinds*, and end."""
    sentences: tuple[type[Exception], ...] = (ProxyError, *kinds)
    try:
        yield
    except sentences as error:
        fail(str(error))
    except OSError as error:
        log.debug("The error in full:", exc_info=True)
        place = "The data folder" if error.filename is None else os.fsdecode(error.filename)
        fail(f"{place} cannot be used: {error.strerror or error}.")


def sure(yes: bool, meaning: str) -> None:
    """Have *meaning* confirmed at a terminal, unless *yes* was said: it has to be where nobody can answer."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(f"{meaning}  There is no terminal to ask at: if that is meant, add --yes.")
    click.confirm(f"{meaning}  Go on?", abort=True)


def print_lines(lines: Iterable[str], *, well: bool = True) -> NoReturn:
    """Print, and end as a command that did *well* or not."""
    with printing():
        for line in lines:
            click.echo(line)
    sys.exit(0 if well else FAILED)


@contextmanager
def printing() -> Iterator[None]:
    """Say in a sentence why what came of a command cannot be printed; where nobody reads any more, end with no word."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # click ends quietly
        fail(f"It cannot be printed: {error.strerror or error}.")


def fail(sentence: str) -> NoReturn:
    click.secho(sentence, err=True, fg="red")
    sys.exit(FAILED)
