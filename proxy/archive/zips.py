"""Zip archives: what wheels are packed as, and the sdists of old.

Readers of zip files disagree: zipfile and pip go by the directory at the end, uv reads the members as they come, and
others search for a signature.  So an archive is taken only where all of them must see the same: the members fill the
file from its first byte to the directory without gap or overlap, each says of itself what the directory says, and
the directory ends where the file does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..errors import BadUpload
from .meter import MOST_NAME, Meter, inside

MAX_DIRECTORY = 32 * 2**20
"""Bytes of the directory at the end: 200,000 members of ordinary names."""

NEWEST = 63
"""Version 6.3 of the format: zipfile opens no archive that says it needs a later one."""
STORED, DEFLATED = 0, 8
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
DESCRIBED_AFTER = 0x0008
"""Sizes and checksum stand behind the content."""
UTF8 = 0x0800
WIDER = 0xFFFFFFFF
"""Instead of a number that needs 64 bits."""
WIDER_COUNT = 0xFFFF
"""The same, of the number of members."""
CHUNK = 64 * 1024

_MEMBER = struct.Struct("<4s5H3I2H")
_LISTED = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_DESCRIBED = struct.Struct("<3I")
_DESCRIBED64 = struct.Struct("<I2Q")


class Bytes(Protocol):
    """An archive's bytes: an open file, or what stands for one."""

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...

    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
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


def read_members(handle: Bytes, meter: Meter) -> Mapping[str, Member]:
    """Every member by path, all of them checked."""
    members, start = read_directory(handle, meter)
    _tile(handle, sorted(members.values(), key=lambda member: member.offset), start, meter)
    handle.seek(257)
    if handle.read(5) == b"ustar":
        raise BadUpload("The archive is a zip and a tar in one.")
    return members


def read_directory(handle: Bytes, meter: Meter) -> tuple[Mapping[str, Member], int]:
    """Every member by path, as the directory at the end lists it, and where that starts."""
    start, size, count = _end(handle, meter.packed)
    members: dict[str, Member] = {}
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
    signature, *narrow, comment = _unpack(_END, handle, end)
    disk, first_disk, here, count, size, start = narrow
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
        if not _agree(narrow, (disk, first_disk, here, count, size, start)):
            raise BadUpload("The archive's two ends contradict each other.")
    if disk or first_disk or here != count or start + size != end:
        raise BadUpload("The archive's directory is not where it says.")
    if size > MAX_DIRECTORY:
        raise BadUpload("The archive's directory is too long.")
    return start, size, count


def _agree(narrow: Sequence[int], wide: Sequence[int]) -> bool:
    """Whether the end of old says what the one of 64 bits does, or leaves it to that one (APPNOTE, 4.4.1.4)."""
    left = (*(WIDER_COUNT,) * 4, *(WIDER,) * 2)
    return all(here in (there, most) for here, there, most in zip(narrow, wide, left, strict=True))


def _listed(handle: Bytes, start: int, size: int, meter: Meter) -> Iterator[Member]:
    """The members, in the directory's order."""
    handle.seek(start)
    directory = handle.read(size)
    at = 0
    while at < size:
        meter.member()
        if at + _LISTED.size > size:
            raise BadUpload("The archive's directory is cut off.")
        fields = _LISTED.unpack_from(directory, at)
        signature, _, needed, flags, method, _, _, crc, packed, unpacked = fields[:10]
        name_length, extra_length, comment_length, disk, _, _, offset = fields[10:]
        names = at + _LISTED.size
        at = names + name_length + extra_length + comment_length
        if signature != b"PK\1\2" or at > size or disk:
            raise BadUpload("The archive's directory is damaged.")
        if needed & 0xFF > NEWEST:
            raise BadUpload("The archive holds a member that asks for readers of zip files yet to come.")
        if flags & ENCRYPTED or method not in (STORED, DEFLATED):
            raise BadUpload("The archive holds an encrypted member, or one that is not stored or deflated.")
        raw_name = directory[names : names + name_length]
        member = Member(
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


def _widen(member: Member, extra: bytes) -> Member:
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
    found: list[int] = []
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4 + length
        if kind == 0x7075:
            raise BadUpload("The archive holds a member with a second name.")
        if at > len(extra) or (kind == 1 and found):
            raise BadUpload("The archive holds a member whose extra field is damaged.")
        if kind == 1:
            found = list(struct.unpack_from(f"<{length // 8}Q", extra, at - length))
    return found


def _tile(handle: Bytes, members: list[Member], end: int, meter: Meter) -> None:
    """See that *members*, in the order of their places, fill the file up to *end*, and say what the directory says."""
    at = 0
    for number, member in enumerate(members):
        meter.tick()
        following = members[number + 1].offset if number + 1 < len(members) else end
        if member.offset != at:
            raise BadUpload("The archive's members overlap, or leave a gap.")
        behind = _content_start(handle, member) + member.packed
        if behind != following and not (
            member.flags & DESCRIBED_AFTER and _describes(handle, behind, following - behind, member)
        ):
            raise BadUpload("The archive's members overlap, or leave a gap.")
        at = following
    if at != end:
        raise BadUpload("The archive's members overlap, or leave a gap.")


def _content_start(handle: Bytes, member: Member) -> int:
    """Where the content of *member* starts; raise BadUpload where it says otherwise than the directory."""
    fields = _unpack(_MEMBER, handle, member.offset)
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
    compared = ENCRYPTED | DESCRIBED_AFTER | UTF8
    agree = (
        signature == b"PK\3\4"
        and handle.read(name_length) == member.raw_name
        and method == member.method
        and not (flags ^ member.flags) & compared
    )
    if agree:
        wide = _wide(handle.read(extra_length))
        if size == WIDER and wide:
            size = wide.pop(0)
        if packed == WIDER and wide:
            packed = wide.pop(0)
        said = (crc, packed, size)
        known = (member.crc, member.packed, member.size)
        after = flags & DESCRIBED_AFTER and all(a in (0, b) for a, b in zip(said, known, strict=True))
        agree = said == known or bool(after)
    if not agree:
        raise BadUpload("The archive's directory and its members contradict each other.")
    return handle.tell()


def _describes(handle: Bytes, at: int, length: int, member: Member) -> bool:
    """Whether the *length* bytes at *at* are the descriptor of *member*, signed or not (APPNOTE, 4.3.9)."""
    known = (member.crc, member.packed, member.size)
    shape = {12: _DESCRIBED, 16: _DESCRIBED, 20: _DESCRIBED64, 24: _DESCRIBED64}.get(length)
    if shape is None:
        return False
    handle.seek(at)
    said = handle.read(length)
    signature = said[: -shape.size]
    return signature in (b"", b"PK\7\10") and said[-shape.size :] == shape.pack(*known)


def content(handle: Bytes, member: Member, what: str, most: int) -> bytes:
    """The content of *member*, which is the archive's *what*; raise BadUpload where that is more than *most* bytes."""
    if member.size > most or member.packed > most:
        raise BadUpload(f"The {what} is longer than {most} bytes.")
    handle.seek(_content_start(handle, member))
    # In one piece: of an archive that is elsewhere, each read may be a request.
    found = b"".join(_unpacked([handle.read(member.packed)], member, what))
    if zlib.crc32(found) != member.crc:
        raise BadUpload(f"The archive's {what} is not what its checksum says.")
    return found


def chunks(handle: Bytes, member: Member, what: str) -> Iterator[bytes]:
    """The content of *member*, however long, piece by piece; *handle* is not to be used until the last one came."""
    handle.seek(_content_start(handle, member))
    pieces = (handle.read(min(member.packed - at, CHUNK)) for at in range(0, member.packed, CHUNK))
    return _unpacked(pieces, member, what)


def _unpacked(packed: Iterable[bytes], member: Member, what: str) -> Iterator[bytes]:
    """What *packed* unpacks to; raise BadUpload where that is no more, or no longer, what the directory says."""
    size = 0
    for piece in packed if member.method == STORED else _inflated(packed, what):
        size += len(piece)
        if size > member.size:
            break
        yield piece
    if size != member.size:
        raise BadUpload(f"The archive's {what} is not what its size and checksum say.")


def _inflated(packed: Iterable[bytes], what: str) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in packed:
            left = piece
            while left and not inflater.unused_data:
                yield inflater.decompress(left, 16 * CHUNK)
                left = inflater.unconsumed_tail
        yield inflater.flush()
    except zlib.error:
        raise BadUpload(f"The archive's {what} cannot be unpacked.") from None
    if not inflater.eof or inflater.unused_data:
        raise BadUpload(f"The archive's {what} is packed into more, or less, than it says.")


def _unpack(shape: struct.Struct, handle: Bytes, offset: int) -> tuple[Any, ...]:
    """The fields of *shape* at *offset*: a signature of four bytes, and numbers."""
    handle.seek(offset)
    data = handle.read(shape.size)
    if len(data) < shape.size:
        raise BadUpload("The archive is cut off.")
    return shape.unpack(data)
