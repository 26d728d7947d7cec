"""Gzip unpacked within a limit: a few kilobytes from the wire can hold gigabytes."""

from __future__ import annotations

from collections.abc import Iterator

try:
    from isal import isal_zlib as zlib
except ImportError:  # isal has wheels for x86-64 and arm64 only
    import zlib  # type: ignore[no-redef]  # the same names with the same meaning

from ..errors import MirrorFailed

PIECE = 256 * 1024
"""Bytes that are unpacked at a time: about a millisecond's work."""

GZIP = 16 + 15
"""zlib's word for "with gzip's header and checksum, and the largest window"."""


class Inflater:
    """One gzip member (RFC 1952), unpacked as it comes."""

    def __init__(self, limit: int) -> None:
        """*limit*: bytes after unpacking."""
        self._left = limit
        self._limit = limit
        self._stream = zlib.decompressobj(wbits=GZIP)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What *data* holds, in pieces of at most PIECE; raise MirrorFailed where it is not gzip or too much."""
        piece = b"more"
        while data or piece:
            if self._stream.eof:
                if data:
                    raise MirrorFailed("A compressed answer goes on after its end.")
                return
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error:  # type: ignore[misc]  # isal's stubs call its class an instance
                raise MirrorFailed("A compressed answer is damaged.") from None
            # A full piece may leave more inside the stream, with all of the input taken.
            data = self._stream.unused_data or self._stream.unconsumed_tail
            self._left -= len(piece)
            if self._left < 0:
                raise MirrorFailed(f"A compressed answer unpacks to more than {self._limit} bytes.")
            if piece:
                yield piece

    def finish(self) -> None:
        """Raise MirrorFailed where the end has not come."""
        if not self._stream.eof:
            raise MirrorFailed("A compressed answer ends too early.")


def inflate(data: bytes, limit: int) -> bytes:
    """All of *data* unpacked, at most *limit* bytes; raise MirrorFailed where it is not one whole gzip member."""
    inflater = Inflater(limit)
    body = b"".join(inflater.feed(data))
    inflater.finish()
    return body
