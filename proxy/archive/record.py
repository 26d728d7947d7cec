"""RECORD: whether a wheel's list of its files says what the wheel holds (PyPA binary distribution format)."""

from __future__ import annotations

import csv
import hashlib
import io
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .meter import Meter
from .zips import MAX_DIRECTORY, Bytes, Member, chunks, content

ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})
"""sha256 or better."""

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_SHOWN = 80
"""Characters of a path that a sentence repeats."""


class _Wrong(Exception):
    """What RECORD says amiss, as the rest of a sentence."""


@dataclass(frozen=True, slots=True)
class _Row:
    path: str
    digest: str
    """Algorithm, `=`, and urlsafe base64; may be empty."""
    size: str


def compare(handle: Bytes, info: str, members: Mapping[str, Member], meter: Meter, *, thorough: bool) -> str | None:
    """A sentence about where the RECORD in the folder *info* is wrong, None where it is not.

    Whether it lists each of *members* once and nothing else is all that the official index looks at; *thorough*:
    also digests and sizes, for which all is unpacked.  Raise BadUpload where that cannot be, or costs too much.
    """
    rows = _rows(content(handle, members[f"{info}/RECORD"], "RECORD", MAX_DIRECTORY), most=len(members))
    try:
        for row in _listed(rows, info, members):
            if thorough and row.path != f"{info}/RECORD":
                _verify(handle, row, members[row.path], meter)
    except _Wrong as wrong:
        return f"The wheel's RECORD {wrong}."
    return None


def _listed(rows: Iterable[_Row], info: str, members: Mapping[str, Member]) -> Iterator[_Row]:
    """*rows*; raise _Wrong unless each file among *members* has one, and nothing else."""
    left = {path for path in members if not path.endswith("/")} - {f"{info}/{file}" for file in _SIGNATURES}
    for row in rows:
        if row.path not in members:
            raise _Wrong(f"lists {_shown(row.path)}, which the wheel does not hold")
        if row.path not in left:
            raise _Wrong(f"lists {_shown(row.path)}, which it should not, or not twice")
        left.remove(row.path)
        yield row
    if left:
        raise _Wrong(f"does not list {_shown(min(left))}")


def _rows(record: bytes, *, most: int) -> Iterator[_Row]:
    lines = io.TextIOWrapper(io.BytesIO(record), "utf-8", newline="")
    try:
        for count, fields in enumerate(csv.reader(lines), 1):
            if count > 2 * most:
                raise _Wrong("has more lines than the wheel has files")
            if fields:
                # Windows' separators are let pass at the official index, too.
                path, digest, size, *_ = *fields, "", ""
                yield _Row(path.replace("\\", "/"), digest, size)
    except (csv.Error, UnicodeDecodeError):
        raise _Wrong("cannot be read") from None


def _verify(handle: Bytes, row: _Row, member: Member, meter: Meter) -> None:
    algorithm, _, told = row.digest.partition("=")
    if algorithm not in ALGORITHMS:
        raise _Wrong(f"gives no digest, of sha256 or better, for {_shown(row.path)}")
    counted = hashlib.new(algorithm)
    for piece in chunks(handle, member, "content"):
        counted.update(piece)
        meter.tick()
    if urlsafe_b64encode(counted.digest()).rstrip(b"=") != told.rstrip("=").encode():
        raise _Wrong(f"gives another digest for {_shown(row.path)} than it has")
    if row.size not in ("", str(member.size)):
        raise _Wrong(f"gives another size for {_shown(row.path)} than it has")


def _shown(path: str) -> str:
    return ascii(path if len(path) <= _SHOWN else path[:_SHOWN] + "...")
