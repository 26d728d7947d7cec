"""Commands that move or check the data folder as a whole: import, backup, restore, verify."""

from __future__ import annotations

import time
from pathlib import Path

import click

from .common import config_option, data_option, failing, folder_type, print_lines, read_settings


@click.command("import")
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
    settings = read_settings(file, data)
    import asyncio

    from ..commands import devpi, folders, imports
    from ..commands.progress import watch

    with failing(devpi.NoExport):
        found = devpi.look(source, index) if kind == "devpi" else folders.look(source)
        wishes = imports.Wishes(only=imports.patterns(only), link=link, dry_run=dry_run)
        report = asyncio.run(imports.import_all(found, settings, wishes, watch=watch))
    print_lines(imports.show(report, dry_run=dry_run), well=report.well)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@config_option
@data_option
@click.option("--link", is_flag=True, help="Hard-link files where that is possible: quicker, and no second copy.")
def backup(folder: Path, file: Path | None, data: Path | None, link: bool) -> None:
    """Back the state folder up into DIR, or bring the backup in there up to date; the server may go on running."""
    settings = read_settings(file, data)
    from ..commands import backup as command
    from ..commands.progress import watch

    with failing(command.NoBackup):
        done = command.back_up(settings, folder, now=time.time(), link=link, watch=watch)
    print_lines(command.show_backup(done), well=not done.wrong)


@click.command()
@click.argument("folder", metavar="DIR", type=folder_type)
@config_option
@data_option
@click.option("--partial", is_flag=True, help="Restore what is whole although some of the backup is damaged.")
@click.option("--dry-run", is_flag=True, help="Read and check all of the backup, and change nothing.")
def restore(folder: Path, file: Path | None, data: Path | None, partial: bool, dry_run: bool) -> None:
    """Bring the backup in DIR back.  What was deleted, claimed or uploaded since stays as it is.

    No server may run on the data folder meanwhile.
    """
    settings = read_settings(file, data)
    from ..commands import backup as command
    from ..commands.progress import watch

    with failing(command.NoBackup):
        done = command.restore(settings, folder, partial=partial, dry_run=dry_run, watch=watch)
    print_lines(command.show_restored(done, dry_run=dry_run), well=not (done.wrong or done.others))


@click.command()
@config_option
@data_option
def verify(file: Path | None, data: Path | None) -> None:
    """Read every private file and hold it against its hash; the server may go on running."""
    settings = read_settings(file, data)
    from ..commands import verify as command
    from ..commands.progress import watch

    with failing():
        found = command.audit(settings.storage.state, now=time.time(), watch=watch)
    print_lines(command.show(found), well=not found.wrong)


COMMANDS = (import_, backup, restore, verify)
