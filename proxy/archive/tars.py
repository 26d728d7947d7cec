"""Tar archives in one gzip stream, read to their end and never held in memory: what sdists are packed as.

The tar headers are walked here and not by TarFile, which reads an extended header of any size into memory, and calls
itself once more for each that follows another.  What one header block says is tarfile's to read.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import BadUpload
from .meter import MOST_NAME, Meter, inside

BLOCK = tarfile.BLOCKSIZE
CHUNK = 64 * 1024
MAX_EXTENDED = 64 * 1024
"""Bytes of one extended header: a long name, or pax records."""

PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
EXTENDED = (*PAX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
READ = (b"path", b"linkpath", b"size")
"""The fields of pax headers that matter; the others are not kept, since a thousand global headers may hold millions."""
MAX_LINKS = 10_000
"""Links; the path of each is remembered."""
MOST_OCTAL = 8**11 - 1
"""Bytes of the largest file whose size stands in its own header."""


def read_files(handle: BinaryIO, wanted: str, meter: Meter) -> Iterator[tuple[str, bytes | None]]:
    """The path of every member, and the content of those plain files that are *wanted* in a top folder.

    Raise BadUpload where the archive is damaged, leads out of its folder, or costs more than *meter* allows.
    """
    links = set[str]()
    stream = io.BufferedReader(_Inflating(handle, meter), CHUNK)
    for member in _members(stream, meter):
        path = member.name.removeprefix("./").rstrip("/")
        if path in ("", ".") and member.isdir():
            continue
        _check(member, path, links)
        content = None
        if member.type in PLAIN and path.count("/") == 1 and path.endswith(f"/{wanted}"):
            if member.size > meter.limits.max_metadata:
                raise BadUpload(f"The metadata is longer than {meter.limits.max_metadata} bytes.")
            content = _take(stream, member.size)
            _skip(stream, -member.size % BLOCK)
        else:
            _skip(stream, member.size + -member.size % BLOCK)
        yield path, content


class _Inflating(io.RawIOBase):
    """What one gzip stream unpacks to; raises BadUpload where it is damaged, cut off, or not alone in its file."""

    def __init__(self, handle: BinaryIO, meter: Meter) -> None:
        self._handle = handle
        self._meter = meter
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes nothing else
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._handle.read(CHUNK)
            try:
                data = self._inflater.decompress(packed, len(buffer))
            except zlib.error:
                raise BadUpload("The file is not a gzip archive, or is damaged.") from None
            if data:
                self._meter.unpacked(len(data))
                buffer[: len(data)] = data
                return len(data)
            if not packed:
                raise BadUpload("The archive is cut off.")
            self._meter.tick()
        if self._inflater.unused_data or self._handle.read(1):
            raise BadUpload("The archive has something behind its end.")
        return 0


def _check(member: tarfile.TarInfo, path: str, links: set[str]) -> None:
    """Raise BadUpload where *member* is nothing to unpack at *path*; *links* are the paths of those before it."""
    if len(path) > MOST_NAME or not inside(path):
        raise BadUpload("The archive holds a member whose path is not plainly below its folder.")
    if links and not links.isdisjoint(_upwards(path)):
        raise BadUpload("The archive holds a member that is reached through a link.")
    if member.type in LINKS and not _stays(path, member):
        raise BadUpload("The archive holds a link that leads out of its folder.")
    if member.type not in (*PLAIN, *LINKS, tarfile.DIRTYPE):
        raise BadUpload("The archive holds a member that is neither file, folder nor link.")
    if member.size and member.type not in PLAIN:
        raise BadUpload("The archive holds a folder or a link with content.")
    if member.issym():
        links.add(path)
        if len(links) > MAX_LINKS:
            raise BadUpload(f"The archive holds more than {MAX_LINKS} links.")


def _upwards(path: str) -> Iterator[str]:
    """*path*, and every folder that it lies in."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _members(stream: BinaryIO, meter: Meter) -> Iterator[tarfile.TarInfo]:
    """Every member's header, extended headers applied; who takes one reads its content before the next."""
    everywhere: dict[str, str] = {}
    here: dict[str, str] = {}
    while block := stream.read(BLOCK):
        meter.member()
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            # The end, of zeros; whatever else it may be is not a header either.
            _expect_end(block, stream)
            return
        if member.type in EXTENDED:
            body = _extended(stream, member)
            if member.type in PAX:
                here.update(_records(body))
            elif member.type == tarfile.XGLTYPE:
                everywhere.update(_records(body))
            else:
                key = "path" if member.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
                here[key] = _text(body.partition(b"\0")[0])
            continue
        _apply({**everywhere, **here}, member)
        here = {}
        yield member


def _expect_end(block: bytes, stream: BinaryIO) -> None:
    while block:
        if block.strip(b"\0"):
            raise BadUpload("The archive is not a tar archive to its end.")
        block = stream.read(CHUNK)


def _extended(stream: BinaryIO, member: tarfile.TarInfo) -> bytes:
    if not 0 <= member.size <= MAX_EXTENDED:
        raise BadUpload("The archive holds an extended header that is too long.")
    body = _take(stream, member.size)
    _skip(stream, -member.size % BLOCK)
    return body


def _records(body: bytes) -> dict[str, str]:
    """The fields of a pax header that are READ: `<length> <key>=<value>` and a newline, each (POSIX pax)."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(body):
        digits, space, _ = body[at : at + 20].partition(b" ")
        start = at + len(digits) + 1
        end = at + int(digits) if digits.isdigit() else at
        key, equals, value = body[start : end - 1].partition(b"=")
        if not space or not start < end <= len(body) or not equals or body[end - 1 : end] != b"\n":
            raise BadUpload("The archive holds an extended header that is damaged.")
        if key.startswith(b"GNU.sparse"):
            raise BadUpload("The archive holds a sparse file.")
        if key in READ:
            fields[key.decode()] = _text(value)
        at = end
    return fields


def _apply(fields: dict[str, str], member: tarfile.TarInfo) -> None:
    member.name = fields.get("path", member.name)
    member.linkname = fields.get("linkpath", member.linkname)
    size = fields.get("size", str(member.size))
    if not (size.isascii() and size.isdigit() and len(size) < 20):
        raise BadUpload("The archive holds a member without a proper size.")
    if int(size) != member.size and int(size) <= MOST_OCTAL:
        # Readers that go by the one would take content for headers, or headers for content, beside those of the other.
        raise BadUpload("The archive holds a member that says two sizes.")
    member.size = int(size)


def _stays(path: str, member: tarfile.TarInfo) -> bool:
    """Whether the link *member* at *path* leads to a place in the same top folder."""
    if "/../" in f"/{member.linkname.lstrip('./')}/":
        # Up again after a name: that may be a link itself.
        return False
    # A symlink starts where it lies, a hard link at the root of the archive.
    base = posixpath.dirname(path) if member.issym() else ""
    target = posixpath.normpath(posixpath.join(base, member.linkname))
    return target.partition("/")[0] == path.partition("/")[0] and "\0" not in target and "\\" not in target


def _take(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise BadUpload("The archive is cut off.")
    return data


def _skip(stream: BinaryIO, count: int) -> None:
    while count > 0:
        count -= len(_take(stream, min(count, CHUNK)))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
