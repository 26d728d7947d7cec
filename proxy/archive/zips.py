"""Zip archives: wheels, and the sdists of old.

Readers of zip files disagree: zipfile and pip go by the directory at the end, uv reads the members as they come, and
others search for a signature.  So an archive is taken only where all of them must see the same: the members fill the
file from its first byte to the directory without gap or overlap, each says of itself what the directory says, and
the directory ends where the file does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from ..errors import BadUpload
from .meter import MOST_NAME, Meter, inside, is_named

MAX_DIRECTORY = 32 * 2**20
"""Bytes of the directory at the end: 200,000 members of ordinary names."""

STORED, DEFLATED = 0, 8
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
DESCRIBED_AFTER = 0x0008
"""Sizes and checksum stand behind the content."""
UTF8 = 0x0800
WIDER = 0xFFFFFFFF
"""Instead of a number that needs 64 bits."""

_MEMBER = struct.Struct("<4s5H3I2H")
_LISTED = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_DESCRIPTORS = (12, 16, 20, 24)
"""Bytes that may stand behind a content: with and without signature, of 32 and of 64 bits."""


class Bytes(Protocol):
    """An archive's bytes: an open file, or what stands for one."""

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...

    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One member, as the directory lists it."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    """Bytes."""
    size: int
    """Bytes when unpacked."""
    offset: int


def read_wheel(handle: Bytes, filename: str, meter: Meter) -> bytes:
    """The METADATA of the wheel *filename* (PyPA binary distribution format)."""
    name, version = _release(filename)
    return _core(handle, name, version, _members(handle, meter), meter)


def peek_wheel(handle: Bytes, filename: str, meter: Meter) -> bytes:
    """What read_wheel gives, going by the directory alone: of the other members not a byte is read."""
    name, version = _release(filename)
    members, _ = _directory(handle, meter)
    return _core(handle, name, version, members, meter)


def _release(filename: str) -> tuple[NormalizedName, Version]:
    try:
        name, version, _, _ = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        raise BadUpload("The filename is not one that a wheel can have.") from None
    return name, version


def _core(handle: Bytes, name: NormalizedName, version: Version, members: Mapping[str, _Member], meter: Meter) -> bytes:
    folders = {path.partition("/")[0] for path in members}
    infos = [folder for folder in folders if folder.endswith(".dist-info")]
    if len(infos) != 1 or not is_named(infos[0].removesuffix(".dist-info"), name, version):
        raise BadUpload("The wheel must hold one .dist-info folder, named as the wheel is.")
    for needed in ("METADATA", "WHEEL", "RECORD"):
        if f"{infos[0]}/{needed}" not in members:
            raise BadUpload(f"The wheel has no {needed} in its .dist-info folder.")
    return _content(handle, members[f"{infos[0]}/METADATA"], meter)


def read_sdist_zip(handle: Bytes, filename: str, meter: Meter) -> bytes:
    """The PKG-INFO of the zipped sdist *filename*."""
    try:
        name, version = parse_sdist_filename(filename)
    except InvalidSdistFilename:
        raise BadUpload("The filename is not one that a source distribution can have.") from None
    members = _members(handle, meter)
    tops = {path.partition("/")[0] for path in members}
    top = min(tops, default="")
    if len(tops) != 1 or not is_named(top, name, version):
        raise BadUpload("The source distribution must hold one folder, named as the archive is.")
    if f"{top}/PKG-INFO" not in members:
        raise BadUpload("The source distribution has no PKG-INFO in its folder.")
    return _content(handle, members[f"{top}/PKG-INFO"], meter)


def _members(handle: Bytes, meter: Meter) -> Mapping[str, _Member]:
    """Every member by path, all of them checked."""
    members, start = _directory(handle, meter)
    _tile(handle, sorted(members.values(), key=lambda member: member.offset), start, meter)
    handle.seek(257)
    if handle.read(5) == b"ustar":
        raise BadUpload("The archive is a zip and a tar in one.")
    return members


def _directory(handle: Bytes, meter: Meter) -> tuple[Mapping[str, _Member], int]:
    """Every member by path, as the directory at the end lists it, and where that starts."""
    start, size, count = _end(handle, meter.packed)
    members: dict[str, _Member] = {}
    for member in _listed(handle, start, size, meter):
        if member.name in members:
            raise BadUpload("The archive holds two members of one name.")
        meter.unpacked(member.size)
        members[member.name] = member
    if len(members) != count:
        raise BadUpload("The archive's directory is not of the length that it says.")
    return members, start


def _end(handle: Bytes, length: int) -> tuple[int, int, int]:
    """Where the directory starts, its bytes, and how many members it lists."""
    if length < _END.size:
        raise BadUpload("The file is not a zip archive.")
    end = length - _END.size
    signature, disk, first_disk, here, count, size, start, comment = _unpack(_END, handle, end)
    if signature != b"PK\5\6" or comment:
        raise BadUpload("The file is not a zip archive, or has something behind its end.")
    locator = _unpack(_LOCATOR64, handle, end - _LOCATOR64.size) if end >= _LOCATOR64.size else (b"",)
    if locator[0] == b"PK\6\7":
        end -= _LOCATOR64.size + _END64.size
        if end < 0 or locator[1:] != (0, end, 1):
            raise BadUpload("The archive's zip64 end is not where it says.")
        signature, rest, _, _, disk, first_disk, here, count, size, start = _unpack(_END64, handle, end)
        if signature != b"PK\6\6" or rest != _END64.size - 12:
            raise BadUpload("The archive's zip64 end is not one.")
    if disk or first_disk or here != count or start + size != end:
        raise BadUpload("The archive's directory is not where it says.")
    if size > MAX_DIRECTORY:
        raise BadUpload("The archive's directory is too long.")
    return start, size, count


def _listed(handle: Bytes, start: int, size: int, meter: Meter) -> Iterator[_Member]:
    """The members, in the directory's order."""
    handle.seek(start)
    directory = handle.read(size)
    at = 0
    while at < size:
        meter.member()
        if at + _LISTED.size > size:
            raise BadUpload("The archive's directory is cut off.")
        fields = _LISTED.unpack_from(directory, at)
        signature, _, _, flags, method, _, _, crc, packed, unpacked = fields[:10]
        name_length, extra_length, comment_length, disk, _, _, offset = fields[10:]
        names = at + _LISTED.size
        at = names + name_length + extra_length + comment_length
        if signature != b"PK\1\2" or at > size or disk:
            raise BadUpload("The archive's directory is damaged.")
        if flags & ENCRYPTED or method not in (STORED, DEFLATED):
            raise BadUpload("The archive holds an encrypted member, or one that is not stored or deflated.")
        raw_name = directory[names : names + name_length]
        member = _Member(
            name=_name(raw_name, flags),
            raw_name=raw_name,
            flags=flags,
            method=method,
            crc=crc,
            packed=packed,
            size=unpacked,
            offset=offset,
        )
        yield _widen(member, directory[names + name_length : names + name_length + extra_length])


def _name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & UTF8 else "cp437")
    except UnicodeDecodeError:
        name = ""
    if len(raw) > MOST_NAME or not inside(name):
        raise BadUpload("The archive holds a member whose path is not plainly below its folder.")
    return name


def _widen(member: _Member, extra: bytes) -> _Member:
    """*member* with the sizes of 64 bits that stand in its *extra* field, where 32 were not enough."""
    wide = _wide(extra)
    if not wide:
        return member
    # In this order, and only those that are needed (APPNOTE, 4.5.3).
    size = wide.pop(0) if member.size == WIDER and wide else member.size
    packed = wide.pop(0) if member.packed == WIDER and wide else member.packed
    offset = wide.pop(0) if member.offset == WIDER and wide else member.offset
    return replace(member, size=size, packed=packed, offset=offset)


def _wide(extra: bytes) -> list[int]:
    """The numbers of the zip64 part of an *extra* field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 0x7075:
            raise BadUpload("The archive holds a member with a second name.")
        if kind == 1:
            count = min(length, len(extra) - at - 4) // 8
            return list(struct.unpack_from(f"<{count}Q", extra, at + 4))
        at += 4 + length
    return []


def _tile(handle: Bytes, members: list[_Member], end: int, meter: Meter) -> None:
    """See that *members*, in the order of their places, fill the file up to *end*, and say what the directory says."""
    at = 0
    for number, member in enumerate(members):
        meter.tick()
        following = members[number + 1].offset if number + 1 < len(members) else end
        if member.offset != at:
            raise BadUpload("The archive's members overlap, or leave a gap.")
        content = _content_start(handle, member)
        slack = following - (content + member.packed)
        if slack and not (member.flags & DESCRIBED_AFTER and slack in _DESCRIPTORS):
            raise BadUpload("The archive's members overlap, or leave a gap.")
        at = following
    if at != end:
        raise BadUpload("The archive's members overlap, or leave a gap.")


def _content_start(handle: Bytes, member: _Member) -> int:
    """Where the content of *member* starts; raise BadUpload where it says otherwise than the directory."""
    fields = _unpack(_MEMBER, handle, member.offset)
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
    raw_name, extra = handle.read(name_length), handle.read(extra_length)
    wide = _wide(extra)
    if size == WIDER and wide:
        size = wide.pop(0)
    if packed == WIDER and wide:
        packed = wide.pop(0)
    said = (crc, packed, size)
    known = (member.crc, member.packed, member.size)
    agree = said == known or (flags & DESCRIBED_AFTER and all(a in (0, b) for a, b in zip(said, known, strict=True)))
    compared = ENCRYPTED | DESCRIBED_AFTER | UTF8
    if (
        signature != b"PK\3\4"
        or raw_name != member.raw_name
        or method != member.method
        or (flags ^ member.flags) & compared
        or not agree
    ):
        raise BadUpload("The archive's directory and its members contradict each other.")
    return handle.tell()


def _content(handle: Bytes, member: _Member, meter: Meter) -> bytes:
    most = meter.limits.max_metadata
    if member.size > most or member.packed > most:
        raise BadUpload(f"The metadata is longer than {most} bytes.")
    handle.seek(_content_start(handle, member))
    content = handle.read(member.packed)
    if member.method == DEFLATED:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.size + 1)
        except zlib.error:
            raise BadUpload("The archive's metadata cannot be unpacked.") from None
    if len(content) != member.size or zlib.crc32(content) != member.crc:
        raise BadUpload("The archive's metadata is not what its checksum says.")
    return content


def _unpack(shape: struct.Struct, handle: Bytes, offset: int) -> tuple[Any, ...]:
    """The fields of *shape* at *offset*: a signature of four bytes, and numbers."""
    handle.seek(offset)
    data = handle.read(shape.size)
    if len(data) < shape.size:
        raise BadUpload("The archive is cut off.")
    return shape.unpack(data)
