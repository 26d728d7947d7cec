"""Where commands have actions performed: by the server that holds the data folder, or else by themselves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from ..administration import Action, Administration, Done
from ..config import Settings
from ..errors import StoreDown
from ..policy import Policy
from ..publishing import Publishing
from ..rights import everything
from ..storage.disk_store import DiskStore, lock
from ..web.control import NobodyListens, asking

PATIENCE = 5.0
"""Seconds that a server is given to begin to listen, or another command to end."""

PAUSE = 0.1
"""Seconds between two looks."""


class Office(Protocol):
    """Performs actions for the operator, with the same results and errors wherever it does."""

    async def perform(self, action: Action) -> Done:
        """Do *action*; raise ProxyError, with a sentence, where it cannot be done."""
        ...


@dataclass(frozen=True, slots=True)
class _Here:
    """In this process, which holds the data folder for as long."""

    administration: Administration

    async def perform(self, action: Action) -> Done:
        return await self.administration.perform(action, everything("operator"))


@asynccontextmanager
async def office(settings: Settings, *, new: bool = False, patience: float = PATIENCE) -> AsyncIterator[Office]:
    """Open for as long as the context; with *new* a data folder that is not there yet is made.

    Raise StoreDown where the folder holds no store, or somebody else holds it for longer than *patience* seconds
    without listening; OSError where this user may not look into it.
    """
    state = settings.storage.state
    async with AsyncExitStack() as stack:
        yield await _opened(settings, state, stack, new=new, patience=patience)


def has_store(settings: Settings) -> bool:
    """Whether anything was ever kept in the data folder."""
    return (settings.storage.state / "store.db").exists()


async def perform(settings: Settings, action: Action, *, new: bool = False) -> Done:
    """One action, in an office opened for it."""
    async with office(settings, new=new) as opened:
        return await opened.perform(action)


def as_json(done: Done) -> str:
    """What is printed of *done* for programs: the same as the HTTP API says."""
    return msgspec.json.format(msgspec.json.encode(done), indent=2).decode()


async def _opened(settings: Settings, state: Path, stack: AsyncExitStack, *, new: bool, patience: float) -> Office:
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        # The server first: root may speak to it, but could not open the store, which belongs to the server's user.
        try:
            return await stack.enter_async_context(asking(state))
        except NobodyListens:
            pass
        if not new and not await asyncio.to_thread(has_store, settings):
            raise StoreDown(f"There is no store in {state}: start the server first, or say with --data where it is.")
        try:
            store = await asyncio.to_thread(DiskStore, state, now=_now)
        except StoreDown:
            if not await asyncio.to_thread(_is_held, state):
                raise
            if loop.time() > until:
                raise StoreDown(
                    f"Somebody is using {state}, and takes no commands: another command at work, or a server that "
                    "starts or stops.  Try again in a moment."
                ) from None
            await asyncio.sleep(PAUSE)
            continue
        stack.push_async_callback(store.close)
        return _Here(_administration(settings, store))


def _administration(settings: Settings, store: DiskStore) -> Administration:
    private = settings.private
    policy = Policy(reserved=private.reserved, overlay=frozenset(private.overlay), claim=private.claim)
    # No index: none of these actions asks one.  What the server's cache remembers of a name that becomes private here
    # need not be forgotten either: Repository looks at the claims for every page and file that it gives.
    publishing = Publishing(store=store, names=store, upstream=None, policy=policy)
    return Administration(publishing=publishing, people=store, now=_now)


def _is_held(state: Path) -> bool:
    """Whether another process owns the folder."""
    try:
        fd = lock(state / "lock")
    except StoreDown:
        return True
    except OSError:
        return False
    os.close(fd)
    return False


def _now() -> datetime:
    return datetime.now(UTC)
