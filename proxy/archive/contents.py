"""What reading an archive gives."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an archive holds, as far as anything depends on it."""

    metadata: bytes
    """Its METADATA or PKG-INFO, byte for byte."""
    license_files: Set[str] = frozenset()
    """Of a thorough reading: every path that a License-File may name (core metadata 2.4)."""
    remark: str | None = None
    """A sentence about what is not as it should be, and yet keeps nobody from installing."""
