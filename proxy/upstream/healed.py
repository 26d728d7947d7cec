"""An index's pages, healed: what nobody can do without is found out before the first answer, all else behind it."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from packaging.utils import NormalizedName

from ..policy import PublicName
from ..simple.model import Project
from ..sources import Seen
from .heal import Healer
from .pages import RememberedPages

FETCHED = 10_000
"""Pages that came and that nobody has asked for since: so many are remembered."""


class HealedPages:
    """Satisfies sources.Upstream."""

    def __init__(self, pages: RememberedPages, healer: Healer, *, patience: float, hard: float) -> None:
        """*patience*: seconds for which the first who asks for a page waits for its files' times.

        *hard*: seconds that this may take together with the page itself.
        """
        self._pages = pages
        self._healer = healer
        self._patience = patience
        self._hard = hard
        self._fetched = OrderedDict[NormalizedName, None]()

    def fetched(self, name: PublicName, project: Project) -> None:
        """The page of *name* came whole just now: see RememberedPages's `on_page`."""
        self._fetched[name] = None
        if len(self._fetched) > FETCHED:
            self._fetched.popitem(last=False)
        self._healer.page(name, project)

    async def project(self, name: PublicName, *, max_age: float | None = None) -> Project:
        """As sources.Upstream says."""
        clock = asyncio.get_running_loop().time
        began = clock()
        page = await self._pages.project(name, max_age=max_age)
        if name not in self._fetched:
            return page
        await self._healer.soon(name, page, min(self._patience, began + self._hard - clock()))
        self._fetched.pop(name, None)
        return await self._pages.project(name, max_age=math.inf)

    def at_hand(self, name: PublicName) -> Project | None:
        """As sources.Upstream says."""
        return None if name in self._fetched else self._pages.at_hand(name)

    def seen(self, name: NormalizedName) -> Seen | None:
        """As sources.Upstream says."""
        return self._pages.seen(name)

    def denies(self, name: NormalizedName) -> bool:
        """As indexes.Pages says."""
        return self._pages.denies(name)

    def withdraw(self, name: NormalizedName) -> None:
        """As sources.Upstream says."""
        self._fetched.pop(name, None)
        self._pages.withdraw(name)
        self._healer.withdraw(name)
