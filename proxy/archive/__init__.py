"""Bounded readers of wheels and sdists: their metadata, never their extraction.

Pure over an open file.  An archive comes from whoever may upload, so each reader counts members, bytes and seconds,
and refuses what two readers of the same archive could understand differently: what was checked here must be what
pip and uv will see.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import BinaryIO

from ..errors import BadUpload
from .contents import Contents
from .meter import Limits, Meter
from .remote import LIMITS, Part, RemoteWheel
from .sdists import read_tar, read_zip
from .wheels import peek_wheel, read_wheel

__all__ = ["Contents", "Limits", "Part", "RemoteWheel", "inspect", "peek_metadata", "read_metadata"]


def inspect(
    handle: BinaryIO,
    filename: str,
    limits: Limits,
    *,
    thorough: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Contents:
    """What the wheel or sdist *filename* holds; *handle* must be seekable.

    *thorough*: its license files and all that is wrong with RECORD are found too, for which a wheel is unpacked from
    end to end.  Raise BadUpload where *filename* is neither, or the archive breaks the rules of the binary and source
    distribution formats, contradicts itself, or costs more than *limits* allow.  Blocks: run it in a thread.
    """
    meter = Meter(limits, packed=handle.seek(0, 2), clock=clock)
    handle.seek(0)
    if filename.endswith(".whl"):
        return read_wheel(handle, filename, meter, thorough=thorough)
    if filename.endswith(".tar.gz"):
        return read_tar(handle, filename, meter, thorough=thorough)
    if filename.endswith(".zip"):
        return read_zip(handle, filename, meter)
    raise BadUpload("Only wheels (.whl) and source distributions (.tar.gz, .zip) can be uploaded.")


def read_metadata(
    handle: BinaryIO, filename: str, limits: Limits, *, clock: Callable[[], float] = time.monotonic
) -> bytes:
    """The METADATA of a wheel or the PKG-INFO of an sdist, byte for byte, as `inspect` finds it."""
    return inspect(handle, filename, limits, clock=clock).metadata


def peek_metadata(
    handle: BinaryIO, filename: str, limits: Limits = LIMITS, *, clock: Callable[[], float] = time.monotonic
) -> bytes:
    """The METADATA of a wheel that an index lists, byte for byte, going by its directory alone as RemoteWheel does.

    Raise BadUpload as read_metadata does.  Blocks: run it in a thread.
    """
    meter = Meter(limits, packed=handle.seek(0, 2), clock=clock)
    return peek_wheel(handle, filename, meter)
