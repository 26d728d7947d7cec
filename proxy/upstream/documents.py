"""The legacy JSON document of a project, from whichever mirror keeps it; what it says is read elsewhere.

bandersnatch and shadowmire write it as `json/<name>` beside `simple/`, the former as `pypi/<name>/json` too.  Which of
the two a mirror has, if any, is found out once and remembered, so that hopeless questions are not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urljoin

from ..errors import MirrorFailed, NotFound, UpstreamDown
from ..policy import PublicName
from .health import Declined, Health
from .index import Mirror

FORMS = ("../json/{}", "../pypi/{}/json")
"""Where the document stands, relative to the list of projects."""

MISSES = 3
"""Projects in a row of which a mirror has no document, before it is believed to have none at all."""


@dataclass(slots=True)
class _Habit:
    """What is known of one mirror's documents."""

    since: float
    forms: tuple[str, ...] = FORMS
    missed: set[str] = field(default_factory=set)


class Documents:
    """The documents of one set of mirrors."""

    def __init__(
        self, origin: str, health: Callable[[str], Health], *, clock: Callable[[], float], life: float
    ) -> None:
        """*health*: of the mirror of a name; *life*: seconds for which is believed what was found out of a mirror."""
        self._origin = origin
        self._health = health
        self._clock = clock
        self._life = life
        self._habits: dict[str, _Habit] = {}

    async def find(self, name: PublicName, mirrors: Sequence[Mirror], *, all_asked: bool) -> bytes | None:
        """The document of *name* from the first of *mirrors* that has it; None where none of them does.

        *all_asked*: no mirror is missing among them.  Raise UpstreamDown where not all could say.
        """
        failures: list[str] = []
        for mirror in mirrors:
            try:
                return await self._from(mirror, name)
            except NotFound:
                continue
            except MirrorFailed as error:
                self._health(mirror.name).tell(f"the document of {name}", error)
                failures.append(str(error))
        if failures or not all_asked:
            raise UpstreamDown(f"Not every mirror of {self._origin} tells of {name} now. {' '.join(failures)}".rstrip())
        return None

    async def _from(self, mirror: Mirror, name: PublicName) -> bytes:
        habit = self._habits.get(mirror.name)
        if habit is None or self._clock() >= habit.since + self._life:
            habit = self._habits[mirror.name] = _Habit(self._clock())
        for form in habit.forms:
            with suppress(NotFound):
                body = await self._fetch(mirror, urljoin(mirror.base, form.format(name)), name)
                habit.forms, habit.missed = (form,), set()
                return body
        if habit.forms == FORMS:
            habit.missed.add(name)
            if len(habit.missed) >= MISSES:
                habit.forms = ()
        raise NotFound(f"{mirror.name} has no document of {name}.")

    async def _fetch(self, mirror: Mirror, url: str, name: PublicName) -> bytes:
        try:
            fetched = await mirror.fetch(url, what=f"document of {name}", accept="application/json")
        except Declined as error:
            if error.wait is not None:
                raise
            fetched = None  # what is refused here says nothing of pages: the whole folder may be closed
        # Some answer 200 with a notice or a web page for whatever they do not have.
        if fetched is None or fetched.body.lstrip()[:1] != b"{":
            raise NotFound(f"{mirror.name} has no document of {name}.")
        return fetched.body
