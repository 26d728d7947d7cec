"""Source distributions: one folder with a PKG-INFO in it, in a tar of today or a zip of old."""

from __future__ import annotations

from typing import BinaryIO

from packaging.utils import InvalidSdistFilename, parse_sdist_filename

from ..errors import BadUpload
from .contents import Contents
from .meter import Meter, is_named
from .tars import read_files
from .zips import MAX_DIRECTORY, Bytes, content, read_members

PKG_INFO = "PKG-INFO"


def read_tar(handle: BinaryIO, filename: str, meter: Meter, *, thorough: bool) -> Contents:
    """What the sdist *filename* holds (PyPA source distribution format); *thorough*: the paths of all of it, too."""
    top = _Top(filename)
    found: list[bytes | None] = []
    paths, length = set[str](), 0
    for path, read in read_files(handle, PKG_INFO, meter):
        below = top.below(path)
        if below.lower() == PKG_INFO.lower():
            found.append(read if below == PKG_INFO else None)
        if thorough:
            length += len(path)
            if length > MAX_DIRECTORY:
                raise BadUpload("The archive's paths are too long together.")
            paths.add(below)
    if not found:
        raise BadUpload(f"The source distribution has no {PKG_INFO} in its folder.")
    if len(found) > 1 or found[0] is None:
        raise BadUpload(f"The source distribution has two {PKG_INFO} files, or one that is none.")
    return Contents(metadata=found[0], license_files=paths)


def read_zip(handle: Bytes, filename: str, meter: Meter) -> Contents:
    """What the zipped sdist *filename* holds."""
    top = _Top(filename)
    members = {top.below(path): member for path, member in read_members(handle, meter).items()}
    if PKG_INFO not in members:
        raise BadUpload(f"The source distribution has no {PKG_INFO} in its folder.")
    if sum(path.lower() == PKG_INFO.lower() for path in members) > 1:
        raise BadUpload(f"The source distribution has two {PKG_INFO} files.")
    return Contents(metadata=content(handle, members[PKG_INFO], "metadata", meter.limits.max_metadata))


class _Top:
    """The one folder that an sdist named *filename* holds: `{name}-{version}`, in any spelling."""

    def __init__(self, filename: str) -> None:
        try:
            self._name, self._version = parse_sdist_filename(filename)
        except InvalidSdistFilename:
            raise BadUpload("The filename is not one that a source distribution can have.") from None
        self._top: str | None = None

    def below(self, path: str) -> str:
        """*path* from that folder on; raise BadUpload where it is in another."""
        first, _, rest = path.partition("/")
        if self._top is None and is_named(first, self._name, self._version):
            self._top = first
        if first != self._top:
            raise BadUpload("The source distribution must hold one folder, named as the archive is.")
        return rest
