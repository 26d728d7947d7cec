"""How values lie in a cache's rows: gzipped, under a tag that says how long they were and when they came."""

from __future__ import annotations

import zlib

import msgspec

try:
    from isal import isal_zlib as gzipper
except ImportError:  # no isal for this machine: ten times slower, and else the same
    import zlib as gzipper  # type: ignore[no-redef]

_GZIP = 31
"""zlib's window bits that mean the gzip format, checksum included."""


class Kept(msgspec.Struct, frozen=True):
    """What is known of a kept value beside its bytes."""

    size: int
    """Bytes, before any compression."""
    stored: float
    """Seconds since the epoch."""

    @property
    def tag(self) -> str:
        """For the row."""
        return msgspec.json.encode(self).decode()


def kept(tag: object) -> Kept | None:
    """What a row's *tag* says; None for one that we did not write."""
    if not isinstance(tag, str):
        return None
    try:
        return msgspec.json.decode(tag, type=Kept)
    except msgspec.DecodeError:
        return None


def pack(value: bytes) -> bytes:
    """*value* in the gzip format, which takes some milliseconds a megabyte."""
    packed: bytes = gzipper.compress(value, 1, wbits=_GZIP)
    return packed


def unpack(packed: bytes, tag: object) -> bytes | None:
    """What was packed, None where it is damaged; never more than was put in, whatever a damaged row says."""
    facts = kept(tag)
    if facts is None:
        return None
    reader = zlib.decompressobj(wbits=_GZIP)
    try:
        value = reader.decompress(packed, facts.size + 1)
    except zlib.error:
        return None
    return value if reader.eof and len(value) == facts.size else None
