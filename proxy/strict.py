"""What the official index refuses and the default here lets in: checked where `upload.strict` is on.  Pure.

An upload that passes here can be published there, as far as that can be told without its lists of classifiers.
"""

from __future__ import annotations

import re

from packaging.metadata import Metadata, parse_email
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from .archive import Contents
from .errors import BadUpload
from .upload import Form

MAX_EXPRESSION = 5000
"""Characters of a License-Expression or a Description-Content-Type, which take long to read."""

WAY_OUT = "upload.strict = false in the server's configuration lets it in"

_BOUNDED = ("license_expression", "description_content_type")
_OPEN_PLATFORM = re.compile(r"linux_(?!armv6l\Z|armv7l\Z)")
"""Linux, and not since which libc: the official index takes that for two boards alone."""
_SHOWN = 200
"""Characters of what came that an answer repeats."""


def check_strictly(form: Form, contents: Contents) -> None:
    """Raise BadUpload where the official index would not take this upload, which `upload.check` has let in.

    *contents* come of a thorough reading.  The rules are those of PEP 625, of the binary distribution format, and of
    core metadata in full (rules V1, V2, V3, V5 and V7).
    """
    if form.md5 is form.sha256 is form.blake2b_256 is None:
        raise _refusal("The form must have a digest: md5_digest, sha256_digest or blake2_256_digest")
    metadata = _read(contents.metadata)
    if metadata.version.local:
        raise _refusal(f"Version {metadata.version} has a local part, which is not for publishing")
    if form.filename.endswith(".whl"):
        _check_wheel_filename(form.filename, metadata)
    else:
        _check_sdist_filename(form.filename, metadata)
    for requirement in metadata.requires_dist or ():
        if requirement.url is not None:
            raise _refusal(f"Requires-Dist: {_shown(str(requirement))} is a direct URL and not a version")
    for path in metadata.license_files or ():
        if path not in contents.license_files:
            raise _refusal(f"License-File: {_shown(path)} is not in the archive")
    if contents.remark is not None:
        raise _refusal(contents.remark.removesuffix("."))


def _read(metadata: bytes) -> Metadata:
    """*metadata*, valid in every field and without unknown ones."""
    raw, _ = parse_email(metadata)
    for field in _BOUNDED:
        if len(str(raw.get(field, ""))) > MAX_EXPRESSION:
            raise _refusal(f"The file's metadata has a {field} of more than {MAX_EXPRESSION} characters")
    try:
        return Metadata.from_email(metadata, validate=True)
    except ExceptionGroup as errors:
        raise _refusal(f"The file's metadata is not valid: {_first(errors)}") from None
    except Exception as error:  # as in upload.py: it reads mail, of all kinds
        raise _refusal("The file's metadata is not valid") from error


def _first(errors: ExceptionGroup[Exception]) -> str:
    """What one of *errors* says, the same of them each time."""
    return min(_shown(str(error)) for error in errors.exceptions)


def _check_wheel_filename(filename: str, metadata: Metadata) -> None:
    name, version, *_ = filename.split("-")
    wanted = _name(metadata)
    if name != wanted:
        raise _refusal(f"The wheel's filename must begin with {wanted}, the project's name as wheels write it")
    if version != str(Version(version)):
        raise _refusal(f"The wheel's filename must give its version as {Version(version)}")
    _, _, _, tags = parse_wheel_filename(filename)
    for platform in sorted({tag.platform for tag in tags}):
        if _OPEN_PLATFORM.match(platform):
            raise _refusal(f"The wheel is for {platform}: auditwheel makes one for manylinux or musllinux of it")


def _check_sdist_filename(filename: str, metadata: Metadata) -> None:
    wanted = f"{_name(metadata)}-{metadata.version}.tar.gz"
    if filename != wanted:
        raise _refusal(f"The source distribution must be named {wanted} (PEP 625)")


def _name(metadata: Metadata) -> str:
    return canonicalize_name(metadata.name).replace("-", "_")


def _refusal(sentence: str) -> BadUpload:
    return BadUpload(f"{sentence}; {WAY_OUT}.")


def _shown(text: str) -> str:
    """*text* as an answer may repeat it: short, and on one line of plain characters."""
    line = " ".join(text[:_SHOWN].split()).encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in line)
