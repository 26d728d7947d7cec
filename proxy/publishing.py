"""What changes private projects: uploads, yanks, deletions, and what an operator says of a name.

Knows the Store by its Protocols, the index by Upstream, and nothing of HTTP.  One lock covers each look and the
change that follows from it, so that of any two changes one sees all that the other did; a change that was begun is
done to its end, whether or not anybody waits for it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec
from packaging.utils import NormalizedName, canonicalize_version

from .errors import BadRequest, Forbidden, NotFound, UpstreamDown
from .policy import Claims, Policy, PublicName, release_of
from .simple.model import File
from .simple.names import versions_of
from .sources import Upstream
from .storage import Names, PrivateFiles, Standing, Status

T = TypeVar("T")

RECHECK = 10.0
"""Seconds: how old may be what the index said of a name that is to become private."""

MOST_SHOWN = 10
"""Versions or filenames that a sentence names."""

CLOSED: frozenset[Status] = frozenset({"archived", "quarantined"})
"""What takes no uploads (PEP 792)."""


State: TypeAlias = Literal["private", "emptied", "reserved"]
"""Has files; had some once; has none, and an operator reserved it."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Files of one project: those of a version, one by name, or with neither all of them."""

    version: str | None = None
    """In any spelling: 1.0 is 1.0.0 (PEP 440)."""
    filename: str | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A name that is private here."""

    name: NormalizedName
    state: State
    files: int
    """How many there are now."""
    standing: Standing | None
    """What an operator has said of it, if anything."""


class Publishing:
    """Changes what *store* and *names* hold; *upstream* is None where no index is set."""

    def __init__(self, *, store: PrivateFiles, names: Names, upstream: Upstream | None, policy: Policy) -> None:
        self._store = store
        self._names = names
        self._upstream = upstream
        self._policy = policy
        self._changing = asyncio.Lock()
        self._under_way = set[asyncio.Task[object]]()

    async def upload(
        self, name: NormalizedName, file: File, body: Path, metadata: bytes | None, *, provenance: bytes | None = None
    ) -> None:
        """Take over *body* as a private file of *name*, and claim the name if this is its first.

        Raise Forbidden where the project takes no uploads or may not be called so, BadUpload or FileExists where the
        file may not be; what can be refused here is, before the index hears of a name (decisions 3, 4 and 7).
        """
        take = partial(self._take, name, file, body, metadata, provenance)
        public = await self._alone(partial(take, asked=False))
        if public is not None:
            # The answer may take seconds, in which others go on: all is looked at again after it.
            await self._refuse_if_public(public)
            await self._alone(partial(take, asked=True))

    async def yank(self, name: NormalizedName, which: Selection, yanked: bool | str) -> tuple[str, ...]:
        """Yank those files of *name*, or with False take that back (PEP 592): the filenames of those that it changed.

        Raise NotFound where nothing fits.
        """
        said = yanked if yanked != "" else True

        async def change() -> tuple[str, ...]:
            files = await self._selected(name, which)
            changed = tuple(file.filename for file in files if file.yanked != said)
            if changed:
                await self._store.yank(changed, said)
            return changed

        return await self._alone(change)

    async def delete(self, name: NormalizedName, which: Selection, *, dry_run: bool) -> tuple[str, ...]:
        """Delete those files of *name* for ever, or with *dry_run* only say which: their filenames.

        The name stays private.  Raise NotFound where nothing fits.
        """

        async def change() -> tuple[str, ...]:
            gone = tuple(file.filename for file in await self._selected(name, which))
            if not dry_run:
                await self._store.remove(gone)
            return gone

        return await self._alone(change)

    async def mark(self, name: NormalizedName, status: Status, reason: str | None) -> None:
        """Make *status* that of the project *name* (PEP 792); raise NotFound where the name is not claimed."""

        async def change() -> None:
            if name not in await self._names.claimed():
                raise NotFound(f"No private project is called {name} here.")
            await self._settle(name, lambda known: msgspec.structs.replace(known, status=status, reason=reason or None))

        await self._alone(change)

    async def reserve(self, name: NormalizedName, *, now: datetime, confusable: bool = False) -> None:
        """Make *name* private before anything is uploaded; no index is asked, and none is from now on.

        With *confusable* also where it can be taken for another private name; else that raises Forbidden.  Raise
        BadRequest where the name is overlaid.
        """
        if name in self._policy.overlay:
            raise BadRequest(
                f"{name} is overlaid, which shows the index's files beside ours: "
                "take it out of private.overlay to reserve it."
            )

        async def change() -> None:
            claims = await self._names.claimed()
            if not confusable:
                self._refuse_if_confusable(name, claims)
            await self._settle(name, lambda known: msgspec.structs.replace(known, reserved=known.reserved or now))
            self._withdraw(name, claims)

        await self._alone(change)

    async def release(self, name: NormalizedName) -> None:
        """Give *name* back to the public; raise NotFound where it is not claimed, BadRequest where it has files."""
        await self._alone(partial(self._names.release, name))

    async def readmit(self, filename: str) -> None:
        """Let *filename*, which was deleted, be uploaded again; raise NotFound where it was not (decision 6)."""
        await self._alone(partial(self._names.readmit, filename))

    async def known(self) -> tuple[Known, ...]:
        """Every claimed name, in alphabetical order; what only a pattern of the settings reserves is not among them."""
        standings = await self._names.standings()
        return tuple(
            [
                _known(name, len(await self._store.files(name)), standings.get(name))
                for name in sorted(await self._names.claimed())
            ]
        )

    async def _alone(self, change: Callable[[], Awaitable[T]]) -> T:
        """What *change* gives, made while no other one is.

        Where who waits for it is cancelled, it goes on: the Store's thread does so too, and until that is done the
        next change would not see it, nor would the index's questions be stopped.
        """

        async def alone() -> T:
            async with self._changing:
                return await change()

        task = asyncio.create_task(alone())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _take(
        self,
        name: NormalizedName,
        file: File,
        body: Path,
        metadata: bytes | None,
        provenance: bytes | None,
        *,
        asked: bool,
    ) -> PublicName | None:
        """Take *file* over, or give the name that the index must be *asked* about before that."""
        claims = await self._check_upload(name, file)
        public = self._policy.route(name, claims).public
        if not asked and public is not None and self._upstream is not None and self._policy.must_ask(name, claims):
            return public
        await self._store.add(name, file, body, metadata, provenance=provenance)
        self._withdraw(name, claims)
        return None

    async def _check_upload(self, name: NormalizedName, file: File) -> Claims:
        """Every claim, where nothing here speaks against *file* as one of *name*."""
        claims = await self._names.claimed()
        standing = (await self._names.standings()).get(name)
        if standing is not None and standing.status in CLOSED:
            why = f" ({standing.reason})" if standing.reason else ""
            raise Forbidden(f"{name} is {standing.status}{why}: no file is taken until an operator makes it active.")
        self._refuse_if_confusable(name, claims)
        self._policy.check_release(name, file, await self._store.files(name))
        return claims

    def _refuse_if_confusable(self, name: NormalizedName, claims: Claims) -> None:
        other = self._policy.confusable(name, claims)
        if other is not None:
            raise Forbidden(
                f"{name} is too easily taken for {other}, which is private here. "
                f"An operator allows it with: yizhan names reserve {name} --confusable"
            )

    async def _refuse_if_public(self, name: PublicName) -> None:
        """The one question that leaves the house about a name that may become private (decisions 3 and 4)."""
        allow = (
            "An operator allows it with yizhan names reserve, "
            f'private.reserved = ["{name}"] or private.claim = "allow".'
        )
        assert self._upstream is not None, "without an index nothing is asked"
        try:
            await self._upstream.project(name, max_age=RECHECK)
        except NotFound:
            # One look is not believed that all of a project is gone (decision 8): what still lists it counts.
            if self._upstream.seen(name) is None:
                return
        except UpstreamDown:
            raise Forbidden(f"Whether {name} exists at the index could not be asked now. {allow}") from None
        raise Forbidden(f"{name} exists at the index: an upload would hide it from everybody here. {allow}")

    def _withdraw(self, name: NormalizedName, before: Claims) -> None:
        """Stop every question about *name*, which is claimed now, unless it was private *before* or is overlaid."""
        was, now = self._policy.route(name, before), self._policy.route(name, before | {name})
        if self._upstream is not None and was != now:
            self._upstream.withdraw(name)

    async def _settle(self, name: NormalizedName, change: Callable[[Standing], Standing]) -> None:
        known = (await self._names.standings()).get(name, Standing())
        standing = change(known)
        if standing != known:
            await self._names.settle(name, standing)

    async def _selected(self, name: NormalizedName, which: Selection) -> Sequence[File]:
        """The files of *name* that *which* means; raise NotFound, and say what is there, where there are none."""
        files = await self._store.files(name)
        found = [file for file in files if which.filename in (None, file.filename)]
        if which.version is not None:
            release = canonicalize_version(which.version)
            found = [file for file in found if release_of(name, file) == release]
        if not found:
            raise NotFound(_nothing_fits(name, which, [file.filename for file in files]))
        return found


def _known(name: NormalizedName, files: int, standing: Standing | None) -> Known:
    reserved = standing is not None and standing.reserved is not None
    state: State = "private" if files else "reserved" if reserved else "emptied"
    return Known(name=name, state=state, files=files, standing=standing)


def _nothing_fits(name: NormalizedName, which: Selection, filenames: Sequence[str]) -> str:
    if not filenames:
        return f"No file of a private project {name} is here."
    words = [which.filename, f"version {which.version}" if which.version is not None else None]
    there = filenames if which.filename is not None else versions_of(name, filenames)
    more = f" and {len(there) - MOST_SHOWN} more" if len(there) > MOST_SHOWN else ""
    return f"{name} has no {' of '.join(filter(None, words))} here, but {', '.join(there[:MOST_SHOWN])}{more}."
