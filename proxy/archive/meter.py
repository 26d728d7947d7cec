"""What reading one archive may cost, what it has cost so far, and which paths may stand in one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from ..errors import BadUpload

ALWAYS_FINE = 64 * 2**20
"""Bytes that any archive may unpack to."""

MOST_RATIO = 50
"""Bytes unpacked for each byte packed, beyond ALWAYS_FINE (the official index draws the line there too)."""

MOST_NAME = 1024
"""Bytes of a member's path."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]|\A[A-Za-z]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where reading an archive ends."""

    max_metadata: int = 4 * 2**20
    """Bytes of METADATA or PKG-INFO."""
    max_unpacked: int = 20 * 10**9
    """Bytes of all members together."""
    max_members: int = 200_000
    seconds: float = 60.0


class Meter:
    """Counts what is read of one archive of *packed* bytes; raises BadUpload where that is too much."""

    def __init__(self, limits: Limits, *, packed: int, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.packed = packed
        """Bytes of the archive itself."""
        self._clock = clock
        self._end = clock() + limits.seconds
        self._members = 0
        self._unpacked = 0

    def member(self) -> None:
        """One more member."""
        self._members += 1
        if self._members > self.limits.max_members:
            raise BadUpload(f"The archive has more than {self.limits.max_members} members.")
        self.tick()

    def unpacked(self, count: int) -> None:
        """*count* more bytes of content."""
        self._unpacked += count
        if self._unpacked > self.limits.max_unpacked:
            raise BadUpload(f"The archive unpacks to more than {self.limits.max_unpacked} bytes.")
        if self._unpacked > ALWAYS_FINE and self._unpacked > MOST_RATIO * self.packed:
            raise BadUpload(f"The archive unpacks to more than {MOST_RATIO} times its size, as zip bombs do.")
        self.tick()

    def tick(self) -> None:
        """Look at the clock."""
        if self._clock() > self._end:
            raise BadUpload(f"The archive could not be checked within {self.limits.seconds:g} seconds.")


def inside(path: str) -> bool:
    """Whether the member *path* is plainly below the folder it is unpacked in, for every reader on every system."""
    return not _UNSAFE.search(path) and all(part not in ("", ".", "..") for part in path.removesuffix("/").split("/"))


def is_named(stem: str, name: NormalizedName, version: Version) -> bool:
    """Whether *stem* (`{name}-{version}`, in any spelling) means *name* and *version*."""
    told_name, _, told_version = stem.rpartition("-")
    if canonicalize_name(told_name) != name:
        return False
    # Wheels write a hyphen of the version as an underscore.
    for spelling in (told_version, told_version.replace("_", "-")):
        try:
            return Version(spelling) == version
        except InvalidVersion:
            continue
    return False
