"""Which files an index has removed, and which a mirror merely lost: pure rules about two pages of one project.

A removal must take effect, for it may be malware; a loss must not, for mirrors lag, flap and break (catalogue B15 to
B18).  A later page is believed unless it loses most of its files; any other needs a second word, of another mirror or
of a minute later.  Until then what is missed stays on the page, while what is new on it shows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ..simple.listing import QUARANTINED
from ..simple.model import File, Project
from ..simple.names import versions_of
from ..storage import Missing

CONFIRM = 60.0
"""Seconds after which the same mirror's word counts as a second one."""

CHANGE = 86_400.0
"""Seconds for which a file stays as it was seen first, where a later page lists other bytes under its name."""

MOST_REMOVED = 10_000
"""Removed files that are kept on one page, those removed last."""

REMOVED = "removed upstream"
"""Why a removed file that is kept is yanked: clients then take it only where it is pinned (PEP 592)."""


def missed(
    known: Project,
    page: Project,
    missing: Sequence[Missing],
    *,
    serial: int | None,
    reached: int | None,
    now: float,
    keep: bool,
) -> tuple[Missing, ...]:
    """What stays of *known*, as served with *missing* until now, though the new *page* with *serial* lacks it.

    *reached*: the serial that pages had come to before.  *now* in seconds since the epoch.  *keep*: removed files
    stay for good, yanked, instead of going.
    """
    if page.status == QUARANTINED:
        return ()  # the index's own word, and the last that anybody should doubt (PEP 792)
    earlier = {one.file.filename: one for one in missing}
    lost = [
        earlier.get(filename) or Missing(file=file, since=now, serial=reached)
        for filename, file in known.files.items()
        if filename not in page.files or is_changed(file, page)
    ]
    # Of a clock that was set back nobody knows how long ago it was.
    lost = [one for one in lost if not is_changed(one.file, page) or 0 <= now - one.since < CHANGE]
    if serial is not None:  # who let an older page in has given up what was known above it
        lost = [msgspec.structs.replace(one, serial=serial) if _behind(one, serial) else one for one in lost]
    later = serial is not None and reached is not None and serial > reached
    at_once = later and not _shrinks(known, lost)

    def believed(one: Missing) -> bool:
        return not is_changed(one.file, page) and (at_once or not 0 <= now - one.since < CONFIRM)

    return settled(lost, believed, keep=keep)


def is_changed(file: File, page: Project) -> bool:
    """Whether *page* lists other bytes under the name of *file*: no index may do that, and no liar shall (A23)."""
    listed = page.files.get(file.filename)
    if listed is None or listed.sha256 is None or file.sha256 is None:
        return False
    return listed.sha256 != file.sha256


def agrees(one: Missing, page: Project, *, serial: int | None) -> bool:
    """Whether another mirror's *page* with *serial* lacks the file too, and is not just older than the file."""
    return one.file.filename not in page.files and not _behind(one, serial)


def better(serial: int | None, *, than: int | None, reached: int | None) -> bool:
    """Whether a second page, with *serial*, is to be believed before one whose serial is *than*.

    Pages had *reached* their highest serial before; one that does not tell its own may be of any age.
    """
    if serial is None or (reached is not None and serial < reached):
        return False
    return than is None or serial > than


def settled(
    missing: Iterable[Missing], believed: Callable[[Missing], bool], *, keep: bool = False
) -> tuple[Missing, ...]:
    """*missing*, less what is *believed* to be removed; with *keep* that stays for good, and yanked."""
    pending = list[Missing]()
    removed = list[Missing]()
    for one in missing:
        if not one.removed and not believed(one):
            pending.append(one)
        elif keep:
            removed.append(one if one.removed else _removed(one))
    removed.sort(key=lambda one: one.since)
    return *pending, *removed[-MOST_REMOVED:]


def served(page: Project, missing: Sequence[Missing]) -> Project:
    """*page* and what is missed on it, as one page; the same object where nothing is."""
    if not missing:
        return page
    return _with_files(page, {**page.files, **{one.file.filename: one.file for one in missing}})


def resettled(known: Project, before: Sequence[Missing], after: Sequence[Missing]) -> Project:
    """*known*, as served with *before*, as it is to be served with *after*; the same object where nothing changes."""
    if before == after:
        return known
    stay = {one.file.filename: one.file for one in after}
    gone = {one.file.filename for one in before} - stay.keys()
    kept = {filename: file for filename, file in known.files.items() if filename not in gone}
    told = set(versions_of(known.name, gone)) - set(versions_of(known.name, kept))
    left = msgspec.structs.replace(known, versions=tuple(version for version in known.versions if version not in told))
    return _with_files(left, {**kept, **stay})


def _with_files(page: Project, files: Mapping[str, File]) -> Project:
    return msgspec.structs.replace(
        page,
        files={filename: files[filename] for filename in sorted(files)},
        versions=versions_of(page.name, files.keys() - page.files.keys(), page.versions),
        rivals=frozenset(rival for file in files.values() for rival in file.rivals),
    )


def _shrinks(known: Project, lost: Sequence[Missing]) -> bool:
    """Whether a page loses more than half of its files, and more than the one that a release may have."""
    before = len(known.files) - sum(one.removed for one in lost)
    fresh = sum(not one.removed for one in lost)
    return fresh >= 2 and 2 * fresh > before


def _behind(one: Missing, serial: int | None) -> bool:
    return serial is not None and one.serial is not None and serial < one.serial


def _removed(one: Missing) -> Missing:
    file = msgspec.structs.replace(one.file, yanked=REMOVED)
    return msgspec.structs.replace(one, file=file, removed=True)
