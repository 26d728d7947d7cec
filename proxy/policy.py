"""Who answers for a name, which of its files may be seen, and who may claim it.

Nothing here does I/O: the same name, claims and settings give the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, NewType

from packaging.utils import NormalizedName, canonicalize_version

from .errors import BadUpload
from .simple.model import File
from .simple.names import SDISTS, NamePattern, versions_of

PublicName = NewType("PublicName", NormalizedName)
"""A name the upstream may be asked about.  Only Policy.route makes one."""

EVERY = PublicName(NormalizedName("all projects"))
"""In place of a name, where an index has one page for all; no project can be called so."""

_ALIKE = str.maketrans({".": None, "_": None, "-": None, "l": "1", "i": "1", "o": "0"})
"""What a hurried reader sees of a normalised name: Warehouse's ultranormalize_name()."""

Claims = AbstractSet[NormalizedName]
"""Every name that was ever uploaded or reserved here: a claim outlives its files."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers for a name; where both do, the local files win."""

    local: bool
    public: PublicName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's rules, as read from `[private]`."""

    reserved: tuple[NamePattern, ...] = ()
    overlay: frozenset[NormalizedName] = frozenset()
    claim: Literal["explicit", "allow"] = "explicit"

    def route(self, name: NormalizedName, claims: Claims) -> Route:
        """Who may answer for *name*, given all *claims*."""
        if name in self.overlay:
            return Route(local=True, public=PublicName(name))
        if name in claims or self.is_reserved(name):
            return Route(local=True, public=None)
        return Route(local=False, public=PublicName(name))

    def is_reserved(self, name: NormalizedName) -> bool:
        """Whether a pattern covers *name*: `acme-*` covers acme and acme-sdk, not acmex (PEP 752)."""
        return any(pattern.covers(name) for pattern in self.reserved)

    def admits(self, file: File, claims: Claims) -> bool:
        """Whether an upstream's *file* may be seen: not where its name could be a private project's too."""
        return all(self.route(rival, claims).public is not None for rival in file.rivals)

    def check_release(self, name: NormalizedName, file: File, files: Iterable[File]) -> None:
        """Raise BadUpload where *file* is a second source distribution of a version among *files* (rule U9)."""
        if not file.filename.lower().endswith(SDISTS):
            return
        release = release_of(name, file)
        for other in files:
            is_another = other.filename != file.filename and other.filename.lower().endswith(SDISTS)
            if is_another and release_of(name, other) == release:
                raise BadUpload(f"Only one sdist may be uploaded per release, and {other.filename} is here already.")

    def must_ask(self, name: NormalizedName, claims: Claims) -> bool:
        """Whether the first upload of *name* needs a look at the upstream: not where the operator has spoken."""
        return self.claim == "explicit" and not self.route(name, claims).local

    def confusable(self, name: NormalizedName, claims: Claims) -> NormalizedName | None:
        """Another private name that people take *name* for (decision 7), as the official index judges new names.

        None for a name that is private already, or that an operator has spoken of.
        """
        if self.route(name, claims).local:
            return None
        ours = [*claims, *(NormalizedName(pattern.rstrip("*-")) for pattern in self.reserved)]
        # All in one go is ten times as fast as one by one, and there may be 10,000.
        looks = "\n".join(ours).translate(_ALIKE).split("\n")
        look = name.translate(_ALIKE)
        return min((other for other, its in zip(ours, looks, strict=False) if its == look), default=None)


def release_of(name: NormalizedName, file: File) -> str:
    """The version of *file*, the same for 1.0 and 1.0.0."""
    return "".join(map(canonicalize_version, versions_of(name, [file.filename])))
