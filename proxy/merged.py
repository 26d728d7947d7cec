"""One page out of what is ours and what the index lists; pages that need it are kept, as their identity counts."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from packaging.utils import NormalizedName

from .policy import Claims, Policy
from .simple.model import File, Project, merge
from .simple.names import versions_of
from .storage import Standing

MERGED = 200
"""Pages made of more than one source that are kept in memory."""

EMPTY = "Private here: no file was uploaded yet, or all were deleted."
"""Stands on a page without files that no index was asked for (decision 2)."""


class MergedPages:
    """Pages of names that both sides could answer for, less what the policy hides."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._held: OrderedDict[NormalizedName, tuple[object, Project]] = OrderedDict()

    def page(
        self,
        name: NormalizedName,
        local: tuple[File, ...],
        theirs: Project | None,
        claims: Claims,
        standing: Standing | None,
    ) -> Project:
        """The page of *name*: the same object while nothing changed, so that nothing is written again."""
        shared = theirs is None or all(self._policy.route(rival, claims).public for rival in theirs.rivals)
        if theirs is not None and shared and not local and standing is None:
            return theirs
        inputs = (local, theirs, claims, standing)
        known = self._held.pop(name, None)
        if known is None or known[0] != inputs:
            page = _marked(self._merge(name, local, theirs, claims), standing or Standing())
            if theirs is None and not local and page.status_reason is None:
                page = msgspec.structs.replace(page, status_reason=EMPTY)
            # An equal page stays the same object: nothing is written or compressed again.
            known = inputs, known[1] if known is not None and known[1] == page else page
        self._held[name] = known
        while len(self._held) > MERGED:
            self._held.popitem(last=False)
        return known[1]

    def _merge(self, name: NormalizedName, local: tuple[File, ...], theirs: Project | None, claims: Claims) -> Project:
        files = {file.filename: file for file in sorted(local, key=lambda file: file.filename)}
        ours = Project(name=name, files=files, versions=versions_of(name, files))
        if theirs is None:
            return ours
        hidden = [file.filename for file in theirs.files.values() if not self._policy.admits(file, claims)]
        return merge(ours, theirs.without(hidden)) if local else theirs.without(hidden)


def _marked(page: Project, standing: Standing) -> Project:
    """*page* with what an operator says of the project; a quarantined one offers no file, whoever has it (PEP 792)."""
    if standing.status == "active" and standing.reason is None:
        return page
    return msgspec.structs.replace(
        page,
        files={} if standing.status == "quarantined" else page.files,
        status=None if standing.status == "active" else standing.status,
        status_reason=standing.reason,
    )
