"""What a local upstream has to offer: files, and the pages that list them as mirrors' generators write them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote

from packaging.utils import NormalizedName, canonicalize_name

from .make import place

NOON = "2026-01-15T12:00:00.000000Z"


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file and what is said of it; None is not said.  What is said may be a lie."""

    filename: str
    body: bytes
    path: str
    """`<2 hex>/<2 hex>/<60 hex>`, of the body's blake2b-256."""
    url: str | None = None
    """The link, where it is not to stand at `packages/` beside `simple/`."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    upload_time: str | None = None
    requires_python: str | None = None
    yanked: bool | str = False
    metadata: bytes | None = None
    """The bytes of `.metadata`."""
    core_metadata: bool | Mapping[str, str] = False

    def href(self, links: str) -> str:
        return self.url or f"{links}{self.path}/{quote(self.filename)}"


class Listing:
    """The published files by project.  May be asked and added to from any thread."""

    def __init__(self, *, links: str = "../../packages/") -> None:
        """*links*: what the links to files begin with; an absolute URL where they stand on another server."""
        self.links = links
        self.serial = 1
        """Rises with each change, as pages tell it."""
        self._projects: dict[NormalizedName, tuple[str, dict[str, Item]]] = {}
        self._lock = threading.Lock()

    def publish(self, project: str, filename: str, body: bytes, **facts: Any) -> Item:
        """List *filename* under *project*; *facts* replace what an honest index would say, see Item."""
        metadata: bytes | None = facts.get("metadata")
        said: dict[str, Any] = {
            "path": place(body),
            "hashes": {"sha256": hashlib.sha256(body).hexdigest()},
            "size": len(body),
            "upload_time": NOON,
            "core_metadata": {"sha256": hashlib.sha256(metadata).hexdigest()} if metadata is not None else False,
        }
        item = Item(filename=filename, body=body, **{**said, **facts})
        with self._lock:
            _, items = self._projects.get(canonicalize_name(project), ("", {}))
            self._projects[canonicalize_name(project)] = project, {**items, filename: item}
            self.serial += 1
        return item

    def remove(self, project: str, filename: str | None = None) -> None:
        """Take *filename*, or all of *project*, off the index."""
        with self._lock:
            raw, items = self._projects.pop(canonicalize_name(project))
            if filename is not None:
                kept = {name: item for name, item in items.items() if name != filename}
                self._projects[canonicalize_name(project)] = raw, kept
            self.serial += 1

    def find(self, path: str, filename: str) -> bytes | None:
        """The bytes at `packages/<path>/<filename>`."""
        for _, items in list(self._projects.values()):
            item = items.get(filename.removesuffix(".metadata"))
            if item is not None and item.path == path:
                return item.metadata if filename.endswith(".metadata") else item.body
        return None

    def page(self, name: str, *, as_json: bool) -> bytes | None:
        """The page of *name*; None for unknown names, and for spellings that are not normalised (F16)."""
        if name not in self._projects:
            return None
        raw, items = self._projects[NormalizedName(name)]
        sorted_items = [items[filename] for filename in sorted(items)]
        if not as_json:
            return self._html(f"Links for {raw}", raw, [self._anchor(item) for item in sorted_items])
        page = {
            "files": [self._entry(item) for item in sorted_items],
            "meta": {"api-version": "1.1", "_last-serial": str(self.serial)},
            "name": raw,
            "versions": sorted({item.filename.split("-")[1].removesuffix(".tar.gz") for item in sorted_items}),
        }
        return json.dumps(page).encode()

    def root(self, *, as_json: bool) -> bytes:
        """The list of all projects."""
        if as_json:
            projects = [{"name": name} for name in self._projects]
            return json.dumps(
                {"meta": {"api-version": "1.1", "_last-serial": self.serial}, "projects": projects}
            ).encode()
        return self._html("Simple Index", None, [f'<a href="{name}/">{name}</a>' for name in self._projects])

    def _entry(self, item: Item) -> dict[str, Any]:
        entry = {
            "filename": item.filename,
            "hashes": dict(item.hashes),
            "requires-python": item.requires_python,
            "size": item.size,
            "upload-time": item.upload_time,
            "url": item.href(self.links),
            "yanked": item.yanked,
            "core-metadata": item.core_metadata,
        }
        may_be_null = "requires-python"
        return {key: value for key, value in entry.items() if value is not None or key == may_be_null}

    def _anchor(self, item: Item) -> str:
        fragment = "".join(f"#{name}={digest}" for name, digest in list(item.hashes.items())[:1])
        said = {"href": item.href(self.links) + fragment}
        if item.requires_python is not None:
            said["data-requires-python"] = item.requires_python
        if item.yanked is not False:
            said["data-yanked"] = item.yanked if isinstance(item.yanked, str) else ""
        if item.core_metadata is not False:
            hashes = item.core_metadata if isinstance(item.core_metadata, Mapping) else {}
            value = "".join(f"{name}={digest}" for name, digest in hashes.items()) or "true"
            said |= {"data-dist-info-metadata": value, "data-core-metadata": value}
        attributes = " ".join(f'{name}="{escape(value)}"' for name, value in said.items())
        return f"<a {attributes}>{escape(item.filename)}</a>"

    def _html(self, title: str, heading: str | None, anchors: list[str]) -> bytes:
        lines = [
            "<!DOCTYPE html>",
            "<html>",
            "  <head>",
            '    <meta name="pypi:repository-version" content="1.0">',
            f"    <title>{escape(title)}</title>",
            "  </head>",
            "  <body>",
            *([f"    <h1>{escape(title)}</h1>"] if heading is not None else []),
            *(f"    {anchor}<br/>" for anchor in anchors),
            "  </body>",
            "</html>",
            f"<!--SERIAL {self.serial}-->",
        ]
        return "\n".join(lines).encode()
