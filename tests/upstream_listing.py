"""What a local upstream has to offer: files, and the pages that list them as mirrors' generators write them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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

    @property
    def version(self) -> str:
        return self.filename.split("-")[1].removesuffix(".tar.gz")


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A project and its files, as they stood when *serial* was the index's."""

    raw: str
    """The name as the project spells it."""
    serial: int
    items: Mapping[str, Item] = field(default_factory=dict)
    """By filename."""
    removed: frozenset[str] = frozenset()
    """Versions that are still spoken of, though they have no files."""

    def sorted(self) -> list[Item]:
        return [self.items[filename] for filename in sorted(self.items)]

    def versions(self) -> list[str]:
        """As generators have them: all that there ever were, in the order of strings."""
        return sorted(self.removed | {item.version for item in self.items.values()})


class Listing:
    """The published files by project.  May be asked and added to from any thread."""

    def __init__(self, *, links: str = "../../packages/") -> None:
        """*links*: what the links to files begin with; an absolute URL where they stand on another server."""
        self.links = links
        self.serial = 1
        """Rises with each change; a page tells the one of its own last change."""
        self._shelves: dict[NormalizedName, Shelf] = {}
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
            name = canonicalize_name(project)
            before = self._shelves.get(name, Shelf(raw=project, serial=0))
            self.serial += 1
            items = {**before.items, filename: item}
            self._shelves[name] = replace(before, raw=project, serial=self.serial, items=items)
        return item

    def remove(self, project: str, filename: str | None = None) -> None:
        """Take *filename*, or all of *project*, off the index."""
        with self._lock:
            shelf = self._shelves.pop(canonicalize_name(project))
            self.serial += 1
            if filename is not None:
                kept = {name: item for name, item in shelf.items.items() if name != filename}
                self._shelves[canonicalize_name(project)] = replace(shelf, serial=self.serial, items=kept)

    def mention(self, project: str, *versions: str) -> None:
        """Have pages speak of *versions* of which there are no files."""
        name = canonicalize_name(project)
        self._shelves[name] = replace(self._shelves[name], removed=self._shelves[name].removed | set(versions))

    def find(self, path: str, filename: str) -> bytes | None:
        """The bytes at `packages/<path>/<filename>`."""
        for item in self.all():
            if item.path == path and filename in (item.filename, f"{item.filename}.metadata"):
                return item.metadata if filename.endswith(".metadata") else item.body
        return None

    def all(self) -> Iterable[Item]:
        """Every file of every project."""
        return [item for shelf in list(self._shelves.values()) for item in shelf.items.values()]

    def names(self) -> list[NormalizedName]:
        """The projects, in the order in which they came."""
        return list(self._shelves)

    def shelf(self, name: str) -> Shelf | None:
        """The project *name*; None for unknown names, and for spellings that are not normalised (F16)."""
        return self._shelves.get(NormalizedName(name))

    def page(self, name: str, *, as_json: bool) -> bytes | None:
        """The page of *name*, as for `shelf`."""
        shelf = self.shelf(name)
        if shelf is None:
            return None
        return self._json(shelf) if as_json else html_page(shelf, self.links)

    def root(self, *, as_json: bool) -> bytes:
        """The list of all projects."""
        if as_json:
            projects = [{"name": name} for name in self.names()]
            meta = {"api-version": "1.1", "_last-serial": self.serial}
            return json.dumps({"meta": meta, "projects": projects}).encode()
        return document("Simple Index", None, [f'<a href="{name}/">{name}</a>' for name in self.names()]).encode()

    def _json(self, shelf: Shelf) -> bytes:
        page = {
            "files": [self._entry(item) for item in shelf.sorted()],
            "meta": {"api-version": "1.1", "_last-serial": str(shelf.serial)},
            "name": shelf.raw,
            "versions": shelf.versions(),
        }
        return json.dumps(page).encode()

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


def html_page(shelf: Shelf, links: str) -> bytes:
    """As shadowmire writes it: see tests/data/shadowmire_project.html."""
    title = f"Links for {shelf.raw}"
    page = document(title, title, [anchor(item, links) for item in shelf.sorted()])
    return f"{page}<!--SERIAL {shelf.serial}-->".encode()


def anchor(item: Item, links: str) -> str:
    """The link to one file, and what HTML can say of it."""
    fragment = "".join(f"#{name}={digest}" for name, digest in list(item.hashes.items())[:1])
    said = {"href": item.href(links) + fragment}
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


def document(title: str, heading: str | None, anchors: Iterable[str]) -> str:
    """The HTML of bandersnatch, and of all who took it over."""
    lines = [
        "<!DOCTYPE html>",
        "<html>",
        "  <head>",
        '    <meta name="pypi:repository-version" content="1.0">',
        f"    <title>{escape(title)}</title>",
        "  </head>",
        "  <body>",
        *([f"    <h1>{escape(heading)}</h1>"] if heading is not None else []),
        *(f"    {anchor}<br/>" for anchor in anchors),
        "  </body>",
        "</html>",
        "",
    ]
    return "\n".join(lines)
