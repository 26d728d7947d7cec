"""Writes Simple pages: a project's in its three representations, and the list of all projects; does no I/O.

Warehouse's shape to the letter, as clients read HTML with regular expressions (PEP 833).  The same values give the
same bytes, so that a hash of them can be the ETag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from html import escape
from itertools import islice

import msgspec
from packaging.utils import NormalizedName

from .model import JSON, File, Project, href

API_VERSION = "1.4"
UNSIZED_VERSION = "1.0"
"""Declared where a file's size is not known: from 1.1 on every file must have one (PEP 700, rule 33)."""

BATCH = 1024
"""Names in one piece of the root listing: about 64 KiB of HTML."""


class _File(msgspec.Struct, rename="kebab", omit_defaults=True, kw_only=True, gc=False):
    """PEP 691's file.  What is not known is left out: uv refuses the whole page for one null (rule 30)."""

    filename: str
    url: str
    hashes: dict[str, str]
    requires_python: str | None = None
    size: int | None = None
    upload_time: datetime | None = None
    yanked: bool | str
    core_metadata: bool | dict[str, str] = False
    data_dist_info_metadata: bool | dict[str, str] = False
    provenance: str | None = None
    estimated_time: datetime | None = msgspec.field(default=None, name="_estimated-upload-time")
    """A key of our own, as PEP 691 lets an index have where it begins with an underscore."""


class _Page(msgspec.Struct, rename="kebab", omit_defaults=True, kw_only=True):
    meta: dict[str, str]
    name: str
    project_status: dict[str, str] = {}
    versions: tuple[str, ...]
    files: list[_File]


def write_project(project: Project, media_type: str, base: str | None = None) -> bytes:
    """The page of *project* in *media_type*: model.JSON, or HTML under either of its names.

    Links are relative to `/simple/<name>/`.  Only the provenance of a private file must be absolute (PEP 740, decision
    17): *base* is the URL of this server, with a slash at its end; where that is None, nothing is said of it.
    """
    return _json(project, base) if media_type == JSON else _html(project, base)


def depends_on_base(project: Project) -> bool:
    """Whether the page of *project* is another one under another URL of this server."""
    return any(file.private and file.provenance is not None for file in project.files.values())


def write_root(names: Iterable[NormalizedName], media_type: str) -> Iterator[bytes]:
    """The list of all projects in pieces of about 64 KiB, so that nobody ever holds a million names.

    Links are relative to `/simple/`: `name/` and no more, as poetry takes all of a link for the name (rule 27).
    """
    return _root_json(names) if media_type == JSON else _root_html(names)


def _json(project: Project, base: str | None) -> bytes:
    sized = all(file.size is not None for file in project.files.values())
    page = _Page(
        meta={"api-version": API_VERSION if sized else UNSIZED_VERSION},
        name=project.name,
        project_status=_status(project),
        versions=project.versions,
        files=[_file(file, base) for file in project.files.values()],
    )
    return msgspec.json.encode(page) + b"\n"


def _file(file: File, base: str | None) -> _File:
    metadata = dict(file.core_metadata) if isinstance(file.core_metadata, Mapping) else file.core_metadata
    return _File(
        filename=file.filename,
        url=href(file),
        hashes=dict(file.hashes),
        requires_python=file.requires_python,
        size=file.size,
        upload_time=file.upload_time,
        yanked=file.yanked,
        core_metadata=metadata,
        # As the official index has it.  Of `dist-info-metadata`, its name before PEP 714, pip 23.0 dies.
        data_dist_info_metadata=metadata,
        provenance=_provenance(file, base),
        estimated_time=file.estimated_time,
    )


def _provenance(file: File, base: str | None) -> str | None:
    if file.provenance is None or not file.private:
        return file.provenance
    return None if base is None else base + file.provenance


def _status(project: Project) -> dict[str, str]:
    """PEP 792's object; empty where there is nothing to say."""
    if project.status_reason is None:
        return {} if project.status is None else {"status": project.status}
    return {"status": project.status or "active", "reason": project.status_reason}


def _html(project: Project, base: str | None) -> bytes:
    status = _status(project)
    metas = [("pypi:repository-version", API_VERSION)]  # PEP 833 froze HTML at it
    metas += [("pypi:project-status", status["status"])] if status else []
    metas += [("pypi:project-status-reason", status["reason"])] if "reason" in status else []
    title = f"Links for {escape(project.name)}"
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "  <head>",
        *(f'    <meta name="{name}" content="{escape(content)}">' for name, content in metas),
        f"    <title>{title}</title>",
        "  </head>",
        "  <body>",
        f"    <h1>{title}</h1>",
        *(_anchor(file, base) for file in project.files.values()),
        "  </body>",
        "</html>",
        "",
    ]
    return "\n".join(lines).encode()


def _anchor(file: File, base: str | None) -> str:
    """One file (rules 20 to 26).  The fragment is sha256 or nothing: uv refuses a page for another (rule 23)."""
    sha256, metadata = file.sha256, file.core_metadata
    tag = f'<a href="{escape(href(file))}' + (f'#sha256={sha256}"' if sha256 else '"')
    if file.requires_python:
        tag += f' data-requires-python="{escape(file.requires_python)}"'
    if file.yanked is not False:
        tag += f' data-yanked="{"" if file.yanked is True else escape(file.yanked)}"'
    if metadata is not False:  # never "false", which pip takes for "there is one" (rule 25)
        digest = metadata.get("sha256") if isinstance(metadata, Mapping) else None
        value = f"sha256={digest}" if digest else "true"
        tag += f' data-dist-info-metadata="{value}" data-core-metadata="{value}"'
    provenance = _provenance(file, base)
    if provenance:
        tag += f' data-provenance="{escape(provenance)}"'
    return f"    {tag}>{escape(file.filename)}</a><br />"


def _root_json(names: Iterable[NormalizedName]) -> Iterator[bytes]:
    yield b'{"meta":{"api-version":"%s"},"projects":[' % API_VERSION.encode()
    comma = ""
    for batch in _batches(names):
        yield (comma + ",".join(f'{{"name":"{name}"}}' for name in batch)).encode()
        comma = ","
    yield b"]}\n"


def _root_html(names: Iterable[NormalizedName]) -> Iterator[bytes]:
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n  <head>\n'
        f'    <meta name="pypi:repository-version" content="{API_VERSION}">\n'
        "    <title>Simple index</title>\n  </head>\n  <body>\n"
    ).encode()
    for batch in _batches(names):
        yield "".join(f'    <a href="{name}/">{name}</a><br />\n' for name in batch).encode()
    yield b"  </body>\n</html>\n"


def _batches(names: Iterable[NormalizedName]) -> Iterator[list[NormalizedName]]:
    remaining = iter(names)
    while batch := list(islice(remaining, BATCH)):
        yield batch
