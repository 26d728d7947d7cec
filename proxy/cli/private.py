"""Commands about private projects: names, yank, unyank, delete, project.

They reach the running server where there is one, and open the data folder themselves where there is none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import config_option, data_option, json_option, perform, print_lines, read_settings, sure

if TYPE_CHECKING:
    from ..storage import Status

yes_option = click.option("--yes", is_flag=True, help="Ask nothing, and do it.")

which_argument = click.argument("which", metavar="VERSION|FILENAME")


@click.group()
def names() -> None:
    """Private names: list, reserve and release them."""


@names.command("list")
@config_option
@data_option
@json_option
def list_(file: Path | None, data: Path | None, as_json: bool) -> None:
    """List every name that was uploaded or reserved."""
    settings = read_settings(file, data)
    from ..administration import ListNames
    from ..commands import names as command
    from ..commands.office import as_json as written

    done = perform(settings, ListNames())
    print_lines([written(done)] if as_json else command.show(done.names or ()))


@names.command()
@click.argument("name")
@config_option
@data_option
@click.option("--confusable", is_flag=True, help="Although it can be taken for another private name.")
def reserve(name: str, file: Path | None, data: Path | None, confusable: bool) -> None:
    """Make NAME private before anything is uploaded: no mirror is asked about it from now on."""
    settings = read_settings(file, data)
    from ..administration import Reserve

    done = perform(settings, Reserve(project=name, confusable=confusable), new=True)
    print_lines([f"{done.project} is private from now on: no mirror is asked about it."])


@names.command()
@click.argument("name")
@config_option
@data_option
@yes_option
def release(name: str, file: Path | None, data: Path | None, yes: bool) -> None:
    """Give NAME, of which no file is left, back to the public: the mirrors are asked about it from now on."""
    settings = read_settings(file, data)
    from ..administration import Release

    sure(yes, f"The mirrors will be asked about {name}, and whoever has that name there answers for it.")
    done = perform(settings, Release(project=name))
    print_lines([f"{done.project} is released: unless private.reserved covers it, it is public from now on."])


@names.command()
@click.argument("filename")
@config_option
@data_option
@yes_option
def readmit(filename: str, file: Path | None, data: Path | None, yes: bool) -> None:
    """Let FILENAME, which was deleted, be uploaded again, with any bytes."""
    settings = read_settings(file, data)
    from ..administration import Readmit

    sure(yes, f"Other bytes may come under the name {filename}, which clients that locked the old ones will refuse.")
    perform(settings, Readmit(filename=filename))
    print_lines([f"{filename} may be uploaded again."])


@click.command()
@click.argument("project")
@which_argument
@config_option
@data_option
@click.option("--reason", metavar="TEXT", help="Why, as pip and uv will show it.")
def yank(project: str, which: str, file: Path | None, data: Path | None, reason: str | None) -> None:
    """Have installers pass a version of PROJECT, or one file, by unless it is asked for by its exact version."""
    settings = read_settings(file, data)
    from ..administration import Yank
    from ..commands import releases as command

    done = perform(settings, Yank(project=project, reason=reason, **command.which(which)))
    print_lines(command.show_yanked(done, "yanked"))


@click.command()
@click.argument("project")
@which_argument
@config_option
@data_option
def unyank(project: str, which: str, file: Path | None, data: Path | None) -> None:
    """Take a yank back."""
    settings = read_settings(file, data)
    from ..administration import Unyank
    from ..commands import releases as command

    done = perform(settings, Unyank(project=project, **command.which(which)))
    print_lines(command.show_yanked(done, "unyanked"))


@click.command()
@click.argument("project")
@click.argument("which", metavar="[VERSION|FILENAME]", required=False)
@config_option
@data_option
@click.option("--yes", is_flag=True, help="Delete; without it, only say what would be deleted.")
def delete(project: str, which: str | None, file: Path | None, data: Path | None, yes: bool) -> None:
    """Delete files of PROJECT for ever: those of a version, one, or all.  The name stays private."""
    settings = read_settings(file, data)
    from ..administration import Delete
    from ..commands import releases as command

    done = perform(settings, Delete(project=project, dry_run=not yes, **command.which(which)))
    print_lines(command.show_deleted(done))


@click.command()
@click.argument("project")
@click.argument("status", type=click.Choice(["active", "archived", "deprecated", "quarantined"]))
@config_option
@data_option
@click.option("--reason", metavar="TEXT", help="Why, as pages and refused uploads will tell.")
def project(project: str, status: Status, file: Path | None, data: Path | None, reason: str | None) -> None:
    """Say what PROJECT is: archived takes no uploads, quarantined shows no files either, deprecated warns."""
    settings = read_settings(file, data)
    from ..administration import Mark

    done = perform(settings, Mark(project=project, status=status, reason=reason))
    print_lines([f"{done.project} is {done.status} from now on."])


COMMANDS = (names, yank, unyank, delete, project)
