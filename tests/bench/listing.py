"""The pages of a tree of files, as a mirror that copies the official index keeps them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

FIRST_SERIAL = 1000


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a page lists."""

    filename: str
    path: str
    """Below the tree's folder, and below the mirror's root."""
    sha256: str
    size: int
    """Bytes."""
    requires_python: str | None = None
    yanked: bool | str = False
    """A reason, where there is one."""
    uploaded: str = "2024-01-02T03:04:06.000000Z"
    metadata: str | None = None
    """The sha256 of its metadata beside it; None where there is none."""

    @property
    def version(self) -> str:
        return self.filename.removesuffix(".tar.gz").split("-")[1]


def write_pages(folder: Path, projects: Mapping[str, Sequence[Item]]) -> None:
    """Write below *folder* all that lists *projects*."""
    names = sorted(projects)
    for serial, name in enumerate(names, FIRST_SERIAL):
        items = projects[name]
        _write(folder / "simple" / name, as_html(name, items, serial), as_json(name, items, serial))
        document = folder / "pypi" / name / "json"
        document.parent.mkdir(parents=True)
        info = {"name": name, "version": items[-1].version}
        document.write_bytes(msgspec.json.encode({"info": info, "last_serial": serial, "releases": {}, "urls": []}))
    links = "\n".join(f'    <a href="/simple/{name}/">{name}</a><br/>' for name in names)
    listed = [{"name": name, "_last-serial": serial} for serial, name in enumerate(names, FIRST_SERIAL)]
    root = {"meta": {"_last-serial": FIRST_SERIAL + len(names), "api-version": "1.1"}, "projects": listed}
    _write(folder / "simple", _document("1.0", "Simple Index", links), root)


def as_html(name: str, items: Sequence[Item], serial: int) -> str:
    """The page of PEP 503, with what later ones add (PEP 592, 629, 658, 714)."""
    lines = [f"    <h1>Links for {name}</h1>"]
    for item in items:
        fields = {"data-requires-python": item.requires_python, "data-yanked": item.yanked or None}
        if item.metadata:
            fields |= dict.fromkeys(("data-dist-info-metadata", "data-core-metadata"), f"sha256={item.metadata}")
        said = "".join(f' {key}="{html.escape(str(value))}"' for key, value in fields.items() if value is not None)
        lines.append(f'    <a href="../../{item.path}#sha256={item.sha256}"{said}>{item.filename}</a><br/>')
    return f"{_document('1.3', f'Links for {name}', chr(10).join(lines))}\n<!--SERIAL {serial}-->"


def as_json(name: str, items: Sequence[Item], serial: int) -> dict[str, Any]:
    """The page of PEP 691, with sizes and times (PEP 700)."""
    files = []
    for item in items:
        metadata = {"sha256": item.metadata} if item.metadata else False
        file = {
            "filename": item.filename,
            "hashes": {"sha256": item.sha256},
            "requires-python": item.requires_python or "",
            "size": item.size,
            "upload-time": item.uploaded,
            "url": f"../../{item.path}",
            "yanked": item.yanked,
            "core-metadata": metadata,
            "data-dist-info-metadata": metadata,
        }
        files.append(file)
    versions = list(dict.fromkeys(item.version for item in items))
    return {"meta": {"_last-serial": serial, "api-version": "1.1"}, "name": name, "files": files, "versions": versions}


def _document(version: str, title: str, body: str) -> str:
    meta = f'<meta name="pypi:repository-version" content="{version}">'
    head = f"  <head>\n    {meta}\n    <title>{title}</title>\n  </head>"
    return f"<!DOCTYPE html>\n<html>\n{head}\n  <body>\n{body}\n  </body>\n</html>"


def _write(folder: Path, page: str, document: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for filename in ("index.html", "index.v1_html"):
        (folder / filename).write_text(page, encoding="utf-8")
    (folder / "index.v1_json").write_bytes(msgspec.json.encode(document))
