"""`yizhan backup` and `yizhan restore`: what they say of what storage.backup and storage.restoring do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from .. import __version__
from ..config import Settings
from ..storage import backup as storage
from ..storage.audit import Wrong
from ..storage.backup import BackedUp, NoBackup
from ..storage.copying import Watch
from ..storage.restoring import Restored
from ..storage.restoring import restore as bring_back

__all__ = ["NoBackup", "back_up", "restore", "show_backup", "show_restored", "show_wrong"]


def back_up(settings: Settings, folder: Path, *, now: float, link: bool, watch: Watch) -> BackedUp:
    """Bring the backup in *folder* up to date; *now* in seconds since the epoch.  Raise as storage.backup does."""
    made = datetime.fromtimestamp(now, UTC)
    return storage.back_up(
        settings.storage.state, folder.absolute(), version=__version__, now=made, link=link, watch=watch
    )


def restore(settings: Settings, folder: Path, *, partial: bool, dry_run: bool, watch: Watch) -> Restored:
    """Bring the backup in *folder* back.  Raise as storage.restoring does."""
    return bring_back(folder.absolute(), settings.storage.state, partial=partial, dry_run=dry_run, watch=watch)


def show_backup(done: BackedUp) -> Iterator[str]:
    """The lines to print."""
    yield f"backed up: {done.files} files of {done.projects} projects ({done.size:,} bytes), {done.copied} of them new"
    yield from show_wrong(done.wrong)


def show_restored(done: Restored, *, dry_run: bool) -> Iterator[str]:
    """The lines to print."""
    yield f"the backup is of {done.made:%Y-%m-%d %H:%M:%SZ}"
    begin = "would restore" if dry_run else "restored"
    yield f"{begin}: {done.files} files and {done.projects} names that were not here ({done.size:,} bytes written)"
    yield f"already here: {done.here} files"
    yield from (f"deleted since, and left so: {filename}" for filename in done.deleted)
    yield from (f"{'would restore' if dry_run else 'restored'}: {place}" for place in done.placed)
    yield from (f"{place} is another one now, and was left so" for place in done.left)
    for filename in done.others:
        yield click.style(f"{filename} has other bytes now, and keeps them: the backup's were left out", fg="red")
    for filename in done.otherwise:
        yield click.style(f"{filename} stays as it is here: the backup has it deleted or yanked otherwise", fg="yellow")
    yield from show_wrong(done.wrong)


def show_wrong(wrong: Iterable[Wrong]) -> Iterator[str]:
    """The lines to print of what is wrong."""
    for item in wrong:
        yield click.style(f"{item.what}: {item.why}", fg="red")
