"""The legacy JSON document of a project, as the official index has it at `/pypi/<name>/json` (rule 89); does no I/O.

pip-tools takes its hashes from it, renovate and dependabot their release dates.  Its shape is Warehouse's; what has no
meaning here (downloads, vulnerabilities, serials) has the value that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
from packaging.metadata import RawMetadata
from packaging.utils import NormalizedName, canonicalize_version
from packaging.version import Version

from ..errors import NotFound
from .core_metadata import read_core
from .model import File, Project
from .names import versions_of

MAX_VERSION = 200
"""Characters of a version that is looked for: a longer one is none, and costs time to read."""

_KINDS = {
    ".whl": "bdist_wheel",
    ".egg": "bdist_egg",
    ".exe": "bdist_wininst",
    ".msi": "bdist_msi",
    ".rpm": "bdist_rpm",
    ".dmg": "bdist_dmg",
    ".deb": "bdist_dumb",
}
"""How a filename ends to Warehouse's package type; all else is an sdist."""


class _File(msgspec.Struct, kw_only=True, gc=False):
    filename: str
    packagetype: str
    python_version: str
    has_sig: bool = False
    comment_text: str = ""
    md5_digest: str
    digests: dict[str, str]
    core_metadata: bool | dict[str, str] = msgspec.field(name="core-metadata")
    size: int | None
    downloads: int = -1
    upload_time: str | None
    upload_time_iso_8601: str | None
    url: str
    requires_python: str | None
    yanked: bool
    yanked_reason: str | None


class _Document(msgspec.Struct, kw_only=True):
    info: dict[str, Any]
    last_serial: int
    ownership: dict[str, Any]
    releases: dict[str, list[_File]] | msgspec.UnsetType = msgspec.UNSET
    urls: list[_File]
    vulnerabilities: list[Any]


@dataclass(frozen=True, slots=True)
class Release:
    """The files of one version."""

    versions: tuple[str, ...]
    """As PEP 440 spells it, where it can: 1.0 and 1.0.0, where some files say the one and some the other."""
    files: tuple[File, ...]

    @property
    def yanked(self) -> bool:
        """PEP 592 marks files: a release is yanked where all of them are."""
        return all(file.yanked is not False for file in self.files)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a document is about."""

    project: Project
    releases: Mapping[str, Release]
    """By version, the same for 1.0 and 1.0.0, the oldest first.  A version without files is none of them: nobody could
    install it, and renovate would propose it."""
    release: Release
    """What `info` tells of."""
    whole: bool
    """Whether it is about all releases."""

    @property
    def told_by(self) -> File | None:
        """The file whose METADATA is to tell `info`: the smallest that has one; None where none has."""
        able = [file for file in self.release.files if file.core_metadata is not False]
        return min(able, key=lambda file: (file.size is None, file.size or 0, file.filename), default=None)

    def write(self, metadata: bytes | None, base: str) -> bytes:
        """The document as JSON; *metadata* is the METADATA of `told_by`, None where it is not known.

        *base* is the absolute URL of our root, with a slash at its end.
        """
        raw = read_core(metadata, self.project.name) if metadata is not None else RawMetadata()
        # Written once for each file, though two spellings of a version list them both.
        releases = {
            version: files
            for release in (self.releases.values() if self.whole else [self.release])
            for files in [[_file(file, base) for file in release.files]]
            for version in release.versions
        }
        document = _Document(
            info=_info(self, raw, base),
            last_serial=0,
            ownership={"roles": [], "organization": None},
            releases=releases if self.whole else msgspec.UNSET,
            urls=releases[self.release.versions[0]],
            vulnerabilities=[],
        )
        return msgspec.json.encode(document) + b"\n"


def subject_of(project: Project, version: str | None = None) -> Subject:
    """What the document of *project* is about, or that of its *version* alone, however that is spelled.

    Without a version, `info` tells of the newest release that is neither yanked nor a pre-release, of a pre-release
    where there is no other, and of a yanked one where all are.  Raise NotFound where there are no files.
    """
    releases = _releases(project)
    if version is None:
        if not releases:
            raise NotFound(f"{project.name} has no files here.")
        return Subject(project, releases, max(releases.values(), key=_preference), True)
    found = releases.get(canonicalize_version(version)) if len(version) <= MAX_VERSION else None
    if found is None:
        raise NotFound(f"{project.name} has no files of this version here.")
    return Subject(project, releases, found, False)


def newest(versions: Iterable[str]) -> str | None:
    """The newest of *versions*, a pre-release only where there is no other; None where there are none."""
    return max(versions, key=_maturity, default=None)


def _releases(project: Project) -> dict[str, Release]:
    found: dict[str, tuple[set[str], list[File]]] = {}
    known = frozenset(project.versions)
    for filename in sorted(project.files):
        version = _version(project.name, filename, known)
        if version is not None:
            spelled, files = found.setdefault(canonicalize_version(version), (set(), []))
            spelled.add(version)
            files.append(project.files[filename])
    return {
        key: Release(tuple(sorted(found[key][0])), tuple(found[key][1])) for key in sorted(found, key=_maturity_of_any)
    }


def _version(name: NormalizedName, filename: str, known: AbstractSet[str]) -> str | None:
    """The version of the file, as PEP 440 spells it where it can; None where it is an installer of none *known*."""
    told = versions_of(name, [filename])
    if told:
        return told[0]
    # An installer's filename has the platform behind the version, and no mark between: foo-1.0.win32-py2.7.exe.
    rest = filename[len(name) + 1 :]
    ends = [at for at, letter in enumerate(rest) if letter in ".-"]
    return next((rest[:at] for at in reversed(ends) if rest[:at] in known), None)


def _maturity_of_any(version: str) -> tuple[bool, Version, str]:
    """Sorts as PEP 440 does, what is no version first."""
    try:
        return True, Version(version), version
    except ValueError:
        return False, Version("0"), version


def _maturity(version: str) -> tuple[bool, bool, Version, str]:
    """Sorts pre-releases before releases."""
    valid, parsed, text = _maturity_of_any(version)
    return valid and not parsed.is_prerelease, valid, parsed, text


def _preference(release: Release) -> tuple[bool, tuple[bool, bool, Version, str]]:
    return not release.yanked, _maturity(release.versions[0])


def _file(file: File, base: str) -> _File:
    digests = {"blake2b_256" if name == "blake2b" else name: digest for name, digest in file.hashes.items()}
    kind = _KINDS.get(file.filename[-4:].lower(), "sdist")
    return _File(
        filename=file.filename,
        packagetype=kind,
        python_version=_python_version(file.filename, kind),
        md5_digest=digests.get("md5", ""),
        digests=digests,
        core_metadata=dict(file.core_metadata) if isinstance(file.core_metadata, Mapping) else file.core_metadata,
        size=file.size,
        upload_time=None if file.upload_time is None else f"{file.upload_time:%Y-%m-%dT%H:%M:%S}",
        upload_time_iso_8601=None if file.upload_time is None else _iso(file.upload_time),
        url=_url(file, base),
        requires_python=file.requires_python,
        yanked=file.yanked is not False,
        yanked_reason=file.yanked if isinstance(file.yanked, str) else None,
    )


def _url(file: File, base: str) -> str:
    """Where the file is, to the letter as pip quotes our link to it: pip-tools looks whether the two are equal."""
    return f"{base}packages/{file.path}/{quote(file.filename)}"


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"


def _python_version(filename: str, kind: str) -> str:
    parts = filename.rsplit(".", 1)[0].split("-")
    if kind == "bdist_wheel":
        return parts[-3] if len(parts) >= 5 else ""
    if kind in {"bdist_egg", "bdist_wininst", "bdist_msi"}:
        return next((part[2:] for part in reversed(parts) if part.startswith("py")), "any")
    return "source" if kind == "sdist" else "any"


def _info(subject: Subject, raw: RawMetadata, base: str) -> dict[str, Any]:
    release, page = subject.release, f"{base}simple/{subject.project.name}/"
    reasons = [file.yanked for file in release.files if isinstance(file.yanked, str)]
    listed = [file.requires_python for file in release.files if file.requires_python]
    # Text that is not there is empty, and not null: renovate refused a document for a home page that was.
    return {
        "author": raw.get("author", ""),
        "author_email": raw.get("author_email", ""),
        "bugtrack_url": None,
        "classifiers": raw.get("classifiers", []),
        "description": raw.get("description", ""),
        "description_content_type": raw.get("description_content_type"),
        "docs_url": None,
        "download_url": raw.get("download_url", ""),
        "downloads": {"last_day": -1, "last_month": -1, "last_week": -1},
        "dynamic": raw.get("dynamic") or None,
        "home_page": raw.get("home_page", ""),
        "keywords": ",".join(raw.get("keywords", [])),
        "license": raw.get("license", ""),
        "license_expression": raw.get("license_expression"),
        "license_files": raw.get("license_files") or None,
        "maintainer": raw.get("maintainer", ""),
        "maintainer_email": raw.get("maintainer_email", ""),
        "name": raw.get("name", subject.project.name),
        "package_url": page,
        "platform": ",".join(raw.get("platforms", [])),
        "project_url": page,
        "project_urls": _project_urls(raw),
        "provides_extra": raw.get("provides_extra") or None,
        "release_url": page,
        # Null for none, as Warehouse has it.
        "requires_dist": raw.get("requires_dist") or None,
        "requires_python": raw.get("requires_python") or next(iter(listed), None),
        "summary": raw.get("summary", ""),
        "version": release.versions[0],
        "yanked": release.yanked,
        "yanked_reason": reasons[0] if release.yanked and reasons else None,
    }


def _project_urls(raw: RawMetadata) -> dict[str, str] | None:
    old = {"Homepage": raw.get("home_page", ""), "Download": raw.get("download_url", "")}
    return {**{label: url for label, url in old.items() if url}, **raw.get("project_urls", {})} or None
