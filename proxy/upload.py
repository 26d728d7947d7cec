"""An upload form and its archive: they agree, or BadUpload.

Pure: text and digests in, a File out.  The archive is what will be installed, so it is trusted for everything, and
the form only held against it: flit always says metadata 2.3, twine spells names its own way, and both are fine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from .errors import BadUpload, NotFound, OutOfUse
from .simple.model import METADATA, File
from .simple.names import MAX_FILENAME, parse_name

METADATA_VERSIONS = frozenset({"1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6"})

RETIRED = {
    "submit": "Project pre-registration is no longer required or supported, upload your files instead.",
    "submit_pkg_info": "Project pre-registration is no longer required or supported, upload your files instead.",
    "doc_upload": "Uploading documentation is no longer supported, host it elsewhere.",
}

MAX_HEADERS = 20_000
"""Header lines of a METADATA file; each costs time to read."""

MAX_FIELDS = 200
"""Different headers in it: the reader looks through all lines once for each."""

MAX_VERSIONS = 500
"""Characters of a Version or a Requires-Python."""

_FILENAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]*\Z")
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
"""A line as the email parser takes it: a lone CR ends one too."""
_SHOWN = 80
"""Characters of what came that an answer repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The fields of the upload API that anything depends on; absent ones are None."""

    filename: str
    name: str | None
    version: str | None
    filetype: str | None
    md5: str | None
    sha256: str | None
    blake2b_256: str | None
    attestations: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was counted while the file came in; digests in lower-case hex."""

    size: int
    """Bytes."""
    md5: str
    sha256: str
    blake2b_256: str


@dataclass(frozen=True, slots=True)
class _Release:
    """What a filename, or a METADATA file, says it is."""

    name: NormalizedName
    version: Version


def check_action(fields: Mapping[str, Sequence[str]]) -> None:
    """Raise BadUpload or OutOfUse where *fields* ask for something else than taking a file."""
    action = _one(fields, ":action")
    if action is None:
        raise BadUpload("The form has no :action field: this address takes uploads of twine, uv and their like.")
    if action in RETIRED:
        raise OutOfUse(RETIRED[action])
    if action != "file_upload":
        raise BadUpload("The only :action here is file_upload.")
    if (_one(fields, "protocol_version") or "1") != "1":
        raise BadUpload("Unknown protocol version.")


def check_filename(filename: str) -> None:
    """Raise BadUpload where no file of that name is taken, whatever is in it."""
    if not _FILENAME.match(filename) or len(filename) > MAX_FILENAME - len(METADATA):
        raise BadUpload(
            "The filename must be made of letters, digits and ._+!- and leave room for .metadata in 255 bytes."
        )
    _named(filename)


def read_form(fields: Mapping[str, Sequence[str]], filename: str | None) -> Form:
    """The form that *fields* make, each a list because keys may be repeated, with the file part's *filename*.

    Raise BadUpload where it cannot be one, and OutOfUse for actions of old.
    """
    check_action(fields)
    if filename is None:
        raise BadUpload("The form has no file: a part named content, with a filename.")
    check_filename(filename)
    return Form(
        filename=filename,
        name=_one(fields, "name"),
        version=_one(fields, "version"),
        filetype=_one(fields, "filetype"),
        md5=_one(fields, "md5_digest"),
        sha256=_one(fields, "sha256_digest"),
        blake2b_256=_blake2b_256(_one(fields, "blake2_256_digest")),
        attestations=_one(fields, "attestations"),
    )


def check_digests(form: Form, facts: Facts) -> None:
    """Raise BadUpload where a digest that came with the file is not that of its bytes (rule U4).

    For before the archive is read: one that was damaged on its way is to be sent again, and not to be mended.
    """
    for kind, told, counted in (
        ("md5", form.md5, facts.md5),
        ("sha256", form.sha256, facts.sha256),
        ("blake2_256", form.blake2b_256, facts.blake2b_256),
    ):
        if told is not None and not hmac.compare_digest(told.lower().encode(), counted.encode()):
            raise BadUpload(f"The {kind} digest in the form is not that of the file as it arrived: upload it again.")


def check(form: Form, facts: Facts, metadata: bytes) -> tuple[NormalizedName, File]:
    """The project, and the File as its page will list it (the store stamps the time of receipt).

    *facts* are those of the archive, *metadata* is what read_metadata found in it.  Raise BadUpload where the three
    do not agree, or where clients could make nothing of the file.
    """
    found, file = _describe(form.filename, facts, metadata)
    _compare_form(form, found, wheel=form.filename.endswith(".whl"))
    _check_attestations(form, facts)
    return found.name, file


def describe(filename: str, facts: Facts, metadata: bytes) -> tuple[NormalizedName, File]:
    """As `check`, of a file that comes without a form: its name and its archive must agree, else BadUpload."""
    check_filename(filename)
    found, file = _describe(filename, facts, metadata)
    return found.name, file


def _describe(filename: str, facts: Facts, metadata: bytes) -> tuple[_Release, File]:
    found, requires_python = _read_metadata(metadata)
    if _named(filename) != found:
        raise BadUpload(f"The filename does not fit its metadata, which says {found.name} {found.version}.")
    digest = facts.blake2b_256
    return found, File(
        filename=filename,
        path=f"{digest[:2]}/{digest[2:4]}/{digest[4:]}",
        hashes={"sha256": facts.sha256},
        requires_python=requires_python,
        size=facts.size,
        # An sdist's metadata may change when it is built, so indexes promise it for wheels alone.
        core_metadata={"sha256": hashlib.sha256(metadata).hexdigest()} if filename.endswith(".whl") else False,
    )


def _one(fields: Mapping[str, Sequence[str]], key: str) -> str | None:
    """The one value of *key*; pdm sends empty fields and old tools "UNKNOWN" where they have none."""
    values = {value.strip() for value in fields.get(key, ())} - {"", "UNKNOWN"}
    if len(values) > 1:
        raise BadUpload(f"The form says {key} more than once, and not the same.")
    return values.pop() if values else None


def _blake2b_256(told: str | None) -> str | None:
    """*told*, unless it is one of 512 bits: `setup.py upload` sends that under this name, up to Python 3.11."""
    return None if told is not None and len(told) == 2 * 64 else told


def _named(filename: str) -> _Release:
    """What *filename* says (PEP 427 and PEP 625, and sdists named before that)."""
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        elif filename.endswith((".tar.gz", ".zip")):
            name, version = parse_sdist_filename(filename)
        else:
            raise BadUpload("Only wheels (.whl) and source distributions (.tar.gz, .zip) can be uploaded.")
        return _Release(parse_name(name), version)
    except (InvalidWheelFilename, InvalidSdistFilename, NotFound):
        raise BadUpload(f"{_shown(filename)} is not a filename that a distribution can have.") from None


def _compare_form(form: Form, found: _Release, *, wheel: bool) -> None:
    if form.name is None or form.version is None:
        raise BadUpload("The form must say name and version.")
    if _name(form.name, "form") != found.name:
        raise BadUpload(f"The form says {_shown(form.name)}, the file's metadata {found.name}.")
    if _version(form.version, "form") != found.version:
        raise BadUpload(f"The form says version {_shown(form.version)}, the file's metadata {found.version}.")
    if form.filetype not in (None, "bdist_wheel" if wheel else "sdist"):
        raise BadUpload(f"The form says filetype {_shown(form.filetype or '')}, which the filename is not.")


def _read_metadata(metadata: bytes) -> tuple[_Release, str | None]:
    """What *metadata* says it is, and its Requires-Python (core metadata, up to 2.6)."""
    _bound_headers(metadata)
    try:
        # Lenient on purpose: a wrong classifier or a README in Latin-1 keeps nobody from installing.
        raw, _ = parse_email(metadata)
    except Exception as error:  # it reads mail, of all kinds: a thousand nested messages are too deep, for one
        raise BadUpload("The file's metadata cannot be read.") from error
    if raw.get("metadata_version") not in METADATA_VERSIONS:
        raise BadUpload("The file's metadata is of no known Metadata-Version (1.0 to 2.6).")
    if "name" not in raw or "version" not in raw:
        raise BadUpload("The file's metadata must say Name and Version once.")
    release = _Release(_name(raw["name"], "file's metadata"), _version(raw["version"], "file's metadata"))
    requires_python = " ".join(raw.get("requires_python", "").split()) or None
    try:
        SpecifierSet(_short(requires_python or ""))
    except ValueError:
        raise BadUpload("The file's Requires-Python is not a version specifier (PEP 440).") from None
    for requirement in raw.get("requires_dist", []):
        try:
            Requirement(requirement)
        # Not only InvalidRequirement: a thousand brackets are too deep, and a thousand digits too long for an int.
        except (ValueError, RecursionError):
            raise BadUpload(f"Requires-Dist: {_shown(requirement)} is not a requirement (PEP 508).") from None
    return release, requires_python


def _bound_headers(metadata: bytes) -> None:
    """Raise BadUpload where reading the headers of *metadata* would take long."""
    names = set[bytes]()
    for count, line in enumerate(_LINE.finditer(metadata), 1):
        if not line[1]:
            return
        if not line[1][:1].isspace():
            names.add(line[1].partition(b":")[0].lower())
        if count > MAX_HEADERS or len(names) > MAX_FIELDS:
            raise BadUpload("The file's metadata has too many headers.")


def _short(text: str) -> str:
    """*text*; raise ValueError where it is longer than any version or specifier: it would stand on every page."""
    if len(text) > MAX_VERSIONS:
        raise ValueError(text)
    return text


def _name(text: str, where: str) -> NormalizedName:
    try:
        return parse_name(text)
    except NotFound:
        raise BadUpload(f"The {where} says {_shown(text)}, which cannot be the name of a project.") from None


def _version(text: str, where: str) -> Version:
    try:
        return Version(_short(text))
    except ValueError:
        raise BadUpload(f"The {where} says {_shown(text)}, which is not a version (PEP 440).") from None


class _Envelope(msgspec.Struct):
    statement: bytes
    signature: bytes


class _Material(msgspec.Struct):
    certificate: bytes
    transparency_entries: list[dict[str, Any]]


class _Attestation(msgspec.Struct):
    """As much of a PEP 740 attestation object as can be judged without asking anybody."""

    version: int
    verification_material: _Material
    envelope: _Envelope


class _Subject(msgspec.Struct):
    name: str
    digest: dict[str, str]


class _Statement(msgspec.Struct):
    subject: list[_Subject]


def _check_attestations(form: Form, facts: Facts) -> None:
    """Raise BadUpload where attestations came that are not of this file (PEP 740); who signed them is not looked at.

    The subject's name need not be the filename to the letter: signers write it normalised, and its tags in order.
    """
    if form.attestations is None:
        return
    try:
        for attestation in msgspec.json.decode(form.attestations, type=list[_Attestation]):
            (subject,) = msgspec.json.decode(attestation.envelope.statement, type=_Statement).subject
            told = attestation.version, _parts(subject.name), subject.digest.get("sha256", "").lower()
            if told != (1, _parts(form.filename), facts.sha256):
                raise BadUpload("Invalid attestations supplied during upload: they are not of this file.")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadUpload("Invalid attestations supplied during upload: they cannot be read.") from None


def _parts(filename: str) -> tuple[object, ...]:
    """What *filename* is made of, however it is spelled; raise ValueError where it names no distribution."""
    if len(filename) > MAX_FILENAME:
        raise ValueError(filename)
    if not filename.endswith(".whl"):
        return parse_sdist_filename(filename)
    # Not parse_wheel_filename, which multiplies the tags out: there may be thousands of attestations.
    name, version, *rest = filename.removesuffix(".whl").lower().split("-")
    return canonicalize_name(name), Version(version), *(frozenset(tags.split(".")) for tags in rest)


def _shown(text: str) -> str:
    """*text* as an answer may repeat it: short, and on one line of plain characters."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
