"""What `/-/status` says, as values: written by the server, read by `yizhan mirrors`."""

from __future__ import annotations

import msgspec

from .upstream.health import MirrorState


class IndexState(msgspec.Struct, frozen=True, kw_only=True):
    """One index, and how each of its mirrors does."""

    name: str
    mirrors: tuple[MirrorState, ...]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The server, seen from outside."""

    version: str
    up: float
    """Seconds since it started."""
    downloads: int
    """Files that are coming in now."""
    indexes: tuple[IndexState, ...]


def write_status(status: Status) -> bytes:
    """*status* as JSON."""
    return msgspec.json.encode(status) + b"\n"


def read_status(body: bytes) -> Status:
    """The status in *body*; raise ValueError where it is none."""
    return msgspec.json.decode(body, type=Status)
