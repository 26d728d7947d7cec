"""Wheels: the files of the .dist-info folder that installers read, and whether RECORD lists what is there."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from ..errors import BadUpload
from .contents import Contents
from .dist_info import MAX_ENTRY_POINTS, MAX_WHEEL, check_entry_points, check_wheel
from .meter import Meter, is_named
from .record import compare
from .zips import Bytes, Member, content, read_directory, read_members

DIST_INFO = ".dist-info"
NEEDED = ("METADATA", "WHEEL", "RECORD")
READ = (*NEEDED, "entry_points.txt")
"""The files that installers and runners of programs go by."""


def read_wheel(handle: Bytes, filename: str, meter: Meter, *, thorough: bool) -> Contents:
    """What the wheel *filename* holds (PyPA binary distribution format); *thorough*: every file of it is unpacked."""
    name, version = _release(filename)
    members = read_members(handle, meter)
    info = _find_info(members, name, version)
    metadata = _metadata(handle, info, members, meter)
    check_wheel(content(handle, members[f"{info}/WHEEL"], "WHEEL", MAX_WHEEL))
    if entry_points := members.get(f"{info}/entry_points.txt"):
        check_entry_points(content(handle, entry_points, "entry_points.txt", MAX_ENTRY_POINTS))
    remark = compare(handle, info, members, meter, thorough=thorough)
    stem = "-".join(filename.split("-")[:2])
    if remark is None and info != f"{stem}{DIST_INFO}":
        remark = f"The wheel's .dist-info folder should be named {stem}{DIST_INFO}."
    licenses = f"{info}/licenses/"
    return Contents(
        metadata=metadata,
        license_files={path.removeprefix(licenses) for path in members if thorough and path.startswith(licenses)},
        remark=remark,
    )


def peek_wheel(handle: Bytes, filename: str, meter: Meter) -> bytes:
    """The METADATA of the wheel *filename*, going by the directory alone: of the other members not a byte is read."""
    name, version = _release(filename)
    members, _ = read_directory(handle, meter)
    return _metadata(handle, _find_info(members, name, version), members, meter)


def _find_info(members: Mapping[str, Member], name: NormalizedName, version: Version) -> str:
    """The name of the .dist-info folder; raise BadUpload unless it is the only one, and has what every wheel has."""
    folders = {path.partition("/")[0] for path in members}
    # In any case: where file systems know none, two such folders are one.
    infos = [folder for folder in folders if folder.lower().endswith(DIST_INFO)]
    if len(infos) != 1 or not is_named(infos[0].removesuffix(DIST_INFO), name, version):
        raise BadUpload("The wheel must hold one .dist-info folder, named as the wheel is.")
    info = infos[0]
    for needed in NEEDED:
        if f"{info}/{needed}" not in members:
            raise BadUpload(f"The wheel has no {needed} in its .dist-info folder.")
    read = {f"{info}/{file}".lower() for file in READ}
    found = [path.lower() for path in members if path.lower() in read]
    if len(found) != len(set(found)):
        raise BadUpload("The archive holds two members of one name, but for capital letters.")
    return info


def _release(filename: str) -> tuple[NormalizedName, Version]:
    try:
        name, version, _, _ = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        raise BadUpload("The filename is not one that a wheel can have.") from None
    return name, version


def _metadata(handle: Bytes, info: str, members: Mapping[str, Member], meter: Meter) -> bytes:
    return content(handle, members[f"{info}/METADATA"], "metadata", meter.limits.max_metadata)
