"""File and Project: what a Simple page says, as values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import quote, unquote, urlsplit

import msgspec
from packaging.utils import NormalizedName

from ..errors import NotFound

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
TEXT = "text/html"

METADATA = ".metadata"

PROVENANCE = ".provenance"
"""Ends the name under which the Store keeps the provenance of a private file; no URL has it."""

_SHAPED = re.compile(r"/([0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60})/[^/]+\Z")


class File(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One distribution file, as an index lists it.

    A msgspec Struct and not a dataclass: a page may hold 10,000 of them, and a Struct is made ten times as fast.
    """

    filename: str
    path: str
    """Its place at our index: `<2 hex>/<2 hex>/<60 hex>`, the same for every representation and for ever."""
    url: str = ""
    """Where the upstream keeps it, absolute; empty for a private file."""
    origin: str | None = None
    """The name of the index that lists it; None for a private file."""
    hashes: Mapping[str, str] = {}
    """Hash name to lower-case hex, of the file itself."""
    requires_python: str | None = None
    size: int | None = None
    """Bytes."""
    upload_time: datetime | None = None
    """Aware, in UTC (PEP 700)."""
    yanked: bool | str = False
    """Never an empty string: True is yanked without a reason (PEP 592)."""
    core_metadata: bool | Mapping[str, str] = False
    """Whether `.metadata` stands beside it, and that file's hashes (PEPs 658 and 714)."""
    healed: bool = False
    """`core_metadata` is of our own reading of the file: no upstream has the `.metadata`."""
    estimated_time: datetime | None = None
    """About when it was uploaded, where nobody says exactly: aware, in UTC, and never taken for `upload_time`."""
    provenance: str | None = None
    """Where its provenance is (PEP 740): an absolute URL; of a private file relative to the root of this server."""
    rivals: tuple[NormalizedName, ...] = ()
    """Other projects that the filename could belong to."""
    of: File | None = None
    """The file whose core metadata this is."""

    @property
    def sha256(self) -> str | None:
        return self.hashes.get("sha256")

    @property
    def private(self) -> bool:
        return self.origin is None

    def sibling(self) -> File:
        """The core metadata file beside this one (PEP 658); raise NotFound where the page promises none."""
        if self.core_metadata is False:
            raise NotFound(f"{self.filename} has no {METADATA} file here.")
        return File(
            filename=self.filename + METADATA,
            path=self.path,
            url="" if self.healed else _beside(self.url),
            origin=self.origin,
            hashes=self.core_metadata if isinstance(self.core_metadata, Mapping) else {},
            rivals=self.rivals,
            of=self,
        )

    def attested(self) -> File:
        """The provenance of this private file, as the Store keeps it; raise NotFound where it came without."""
        if self.provenance is None or not self.private:
            raise NotFound(f"{self.filename} has no provenance here.")
        return File(filename=self.filename + PROVENANCE, path=self.path, of=self)


class Project(msgspec.Struct, frozen=True, kw_only=True, weakref=True):
    """The detail page of one project.  Compare pages by identity: a new version of a page is a new object."""

    name: NormalizedName
    files: Mapping[str, File] = {}
    """By filename, in the order of their names, so that mirrors with other habits give the same bytes."""
    versions: tuple[str, ...] = ()
    """Sorted; may name versions without files (PEP 700)."""
    status: str | None = None
    """archived, deprecated, quarantined ... (PEP 792); None is active."""
    status_reason: str | None = None
    rivals: frozenset[NormalizedName] = frozenset()
    """All files' rivals: empty on nearly every page, and then the page needs no second look per file."""

    def file(self, path: str, filename: str) -> File:
        """The file, or the `.metadata` beside one, that this page links as *path* and *filename*; else NotFound."""
        found = self.files.get(filename)
        if found is None and filename.endswith(METADATA):
            beside = self.files.get(filename.removesuffix(METADATA))
            found = beside.sibling() if beside is not None else None
        if found is None or found.path != path:
            raise NotFound(f"{filename} is not on the page of {self.name}.")
        return found

    def without(self, filenames: Iterable[str]) -> Project:
        """The same page, less *filenames*."""
        gone = frozenset(filenames)
        kept = {name: file for name, file in self.files.items() if name not in gone}
        return msgspec.structs.replace(self, files=kept)


def listed(files: Iterable[File], filename: str) -> File | None:
    """The one called *filename*, or the `.metadata` beside one; None where there is none."""
    for file in files:
        if filename == file.filename:
            return file
        if filename == file.filename + METADATA and file.core_metadata is not False:
            return file.sibling()
    return None


def merge(first: Project, second: Project) -> Project:
    """Both pages' files in one; where a filename is on both, *first* wins (rule 84), and so does its status."""
    files = {**second.files, **first.files}
    return msgspec.structs.replace(
        first,
        files={name: files[name] for name in sorted(files)},
        versions=tuple(sorted({*first.versions, *second.versions})),
        rivals=first.rivals | second.rivals,
    )


def _beside(url: str) -> str:
    """The address of the core metadata of the file at *url*: added to the path, not to a query (PEP 658, rule 9)."""
    path, mark, query = url.partition("?")
    return path + METADATA + mark + query if url else ""


def href(file: File) -> str:
    """The link to *file* from `/simple/<name>/`: relative, so that it holds behind any host and prefix."""
    return f"../../packages/{file.path}/{quote(file.filename, safe='!+~')}"


def place(url: str, *, sha256: str | None, origin: str, base: str) -> str:
    """The path that a file at *url* has at our index: `<2 hex>/<2 hex>/<60 hex>`.

    Where *url* has that shape already (the official index and its mirrors) it is kept, so that a lock file written
    against us differs from theirs in the host alone.  Else it is made of the content's sha256, or, where none is
    listed, of what no mirror of the same index changes: its name *origin*, and *url* relative to the folder of *base*.
    """
    parts = urlsplit(url)
    if shaped := _SHAPED.search(parts.path):
        return shaped[1]
    if sha256 is None:
        # The host does not count: PyTorch's pages link now to their own, now to another one with the same paths.
        folder = unquote(urlsplit(base).path.rpartition("/")[0]) + "/"
        path = unquote(parts.path).removeprefix(folder)
        sha256 = hashlib.sha256(f"{origin}\n{path}".encode()).hexdigest()
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256[4:]}"
