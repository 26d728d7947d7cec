"""Imitations of the mirrors of the official index: their paths, pages, redirects and quirks.

Where each leads to another one it is given that other one.  What goes wrong with all of them alike (files that are
cut, flipped, slow or away) is `fault`; what only one of them does is said by its attributes, which may be changed at
any time.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from proxy.simple.model import HTML, JSON

from ..upstream_listing import Item, Listing, Shelf, html_page
from ..upstream_server import NOT_FOUND, Reply, Request, UpstreamServer
from .samples import UTF8, XML, sample

OFFICIAL = "https://files.example.org"
"""Stands for the official index's host of files, which only legacy documents name."""


class Tuna(UpstreamServer):
    """Shadowmire behind nginx: JSON with holes, HTML of the same files, legacy documents, no `.metadata`."""

    simple_path = "/pypi/web/simple/"
    files_path = "/pypi/web/packages/"
    documents: tuple[str, ...] = ("/pypi/web/json/{}",)
    """Where legacy documents stand, by name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.html_only: set[str] = set()
        """Projects without `index.v1_json`: no release since August 2024."""
        self.excluded: set[str] = set()
        """Projects that the operators leave out (F11)."""
        self.autoindex = False
        """Where the JSON of a project is missing, nginx lists its folder (F10)."""
        self.metadata: set[str] = set()
        """`advertised`, and `there`: the days of January 2026 had the one without the other (F2)."""
        self.behind: Listing | None = None
        """What every second question is answered from: the other backend (F7)."""
        self._asked = count()

    def page(self, request: Request, name: str) -> Reply:
        listing = self.behind if self.behind is not None and next(self._asked) % 2 else self.listing
        shelf = listing.shelf(name)
        if shelf is None or name in self.excluded:
            return NOT_FOUND
        shelf = self._without_metadata(shelf)
        # nginx looks for the words in Accept, and for no quality beside them.
        accept = request.headers.get("accept", "")
        if JSON in accept and name not in self.html_only:
            return self.static(request, JSON, shadowmire_json(shelf, listing.links))
        if JSON in accept and self.autoindex:
            path = f"{self.simple_path}{name}/".encode()
            return Reply(
                200, {"Content-Type": UTF8}, sample("nginx_autoindex.html").replace(b"/simple/demo-pkg/", path)
            )
        content_type = HTML if HTML in accept and JSON not in accept else UTF8
        return self.static(request, content_type, html_page(shelf, listing.links))

    def file(self, request: Request, rest: str) -> Reply:
        if rest.endswith(".metadata") and "there" not in self.metadata:
            return NOT_FOUND
        return super().file(request, rest)

    def elsewhere(self, request: Request, path: str) -> Reply:
        for document in self.documents:
            before, after = document.split("{}")
            name = path.removeprefix(before).removesuffix(after)
            if path == document.format(name) and (shelf := self.listing.shelf(name)) and name not in self.excluded:
                # nginx knows no type for a file without an extension.
                content_type = "application/json" if after else "application/octet-stream"
                return self.static(request, content_type, legacy_json(shelf))
        return NOT_FOUND

    def _without_metadata(self, shelf: Shelf) -> Shelf:
        if "advertised" in self.metadata:
            return shelf
        return replace(shelf, items={key: replace(item, core_metadata=False) for key, item in shelf.items.items()})


class Bfsu(Tuna):
    """The same team and software; single files are away (F1).  Its documents stand where bandersnatch puts them."""

    documents = ("/pypi/web/pypi/{}/json",)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.missing: set[str] = set()
        """Filenames."""

    def file(self, request: Request, rest: str) -> Reply:
        return NOT_FOUND if rest.rpartition("/")[2] in self.missing else super().file(request, rest)


class Ustc(Tuna):
    """An index of TUNA's kind, and a cache of files: what is not in there is a redirect to TUNA (F4)."""

    simple_path = "/pypi/simple/"
    files_path = "/pypi/packages/"
    documents = ()

    def __init__(self, tuna: Tuna, **settings: Any) -> None:
        super().__init__(**settings)
        self.cached: set[str] = set()
        """Filenames."""
        self._tuna = tuna

    def file(self, request: Request, rest: str) -> Reply:
        if rest.rpartition("/")[2] in self.cached:
            return super().file(request, rest)
        below = request.path.partition(self.files_path)[2]
        return Reply(302, {"Location": self._tuna.files + below})


class Bucket(UpstreamServer):
    """The object storage behind SJTU."""

    files_path = "/899a892efef34b1b944a19981040f55b-oss01/pypi-packages/"
    simple_path = "/no-index/"

    def file(self, request: Request, rest: str) -> Reply:
        found = super().file(request, rest)
        return Reply(404, {"Content-Type": XML}, sample("s3_no_such_key.xml")) if found is NOT_FOUND else found


class Sjtu(UpstreamServer):
    """Mirror-intel: TUNA's HTML with its own absolute links, files by redirect, and 200 for what it does not know.

    It lists what TUNA lists, and its own listing is of no account.
    """

    simple_path = "/pypi/web/simple/"
    files_path = "/pypi-packages/"

    def __init__(self, tuna: Tuna, bucket: Bucket, **settings: Any) -> None:
        super().__init__(**settings)
        self.cached: set[str] = set()
        """Filenames that are in the bucket."""
        self.largest = 4 * 1024 * 1024
        """Bytes of a page; a larger one is a redirect to TUNA's."""
        self._tuna = tuna
        self._bucket = bucket

    def root(self, request: Request) -> Reply:
        return self.elsewhere(request, self.simple_path)

    def page(self, request: Request, name: str) -> Reply:
        # It asks without Accept, and hands no headers on.
        page = self._tuna.reply(replace(request, path=f"{self._tuna.simple_path}{name}/", headers={}))
        if page.status != 200 or len(page.body) > self.largest:
            return Reply(302, {"Location": f"{self._tuna.simple}{name}/"})
        return Reply(200, {"Content-Type": UTF8}, page.body.replace(b"../../packages/", self.files.encode()))

    def file(self, request: Request, rest: str) -> Reply:
        below = request.path.partition(self.files_path)[2]
        if rest.rpartition("/")[2] in self.cached:
            return Reply(301, {"Location": self._bucket.files + below})
        return Reply(302, {"Location": self._tuna.files + below})

    def elsewhere(self, request: Request, path: str) -> Reply:
        notice = sample("sjtu_notice.html").replace(b"/pypi/web/simple/", path.encode())
        return Reply(200, {"Content-Type": UTF8}, notice)


class Aliyun(UpstreamServer):
    """A vendor's black box: HTML whatever is asked for, nothing about sizes, times and metadata, 400 to HEAD."""

    simple_path = "/pypi/simple/"
    files_path = "/pypi/packages/"

    def reply(self, request: Request) -> Reply:
        if request.method == "HEAD":
            return Reply(400, {"Content-Type": UTF8})
        reply = super().reply(request)
        return Reply(404, {"Content-Type": UTF8}, sample("aliyun_404.html")) if reply is NOT_FOUND else reply

    def page(self, request: Request, name: str) -> Reply:
        shelf = self.listing.shelf(name)
        if shelf is None:
            return NOT_FOUND
        items = {key: replace(item, core_metadata=False) for key, item in shelf.items.items()}
        page = html_page(replace(shelf, items=items), self.listing.links).partition(b"<!--SERIAL")[0]
        return self.static(request, UTF8, page)

    def file(self, request: Request, rest: str) -> Reply:
        return NOT_FOUND if rest.endswith(".metadata") else super().file(request, rest)


class Huawei(Aliyun):
    """A repository manager's paths; files stand below their project, too."""

    simple_path = "/repository/pypi/simple/"
    files_path = "/repository/pypi/packages/"

    def elsewhere(self, request: Request, path: str) -> Reply:
        name, _, filename = path.removeprefix(self.simple_path).partition("/")
        shelf = self.listing.shelf(name)
        if shelf is None or filename not in shelf.items:
            return NOT_FOUND
        return super().file(request, f"{shelf.items[filename].path}/{filename}")


class Cernet(UpstreamServer):
    """Holds nothing: a redirect to one mirror or another, with each request anew."""

    simple_path = "/pypi/web/simple/"
    files_path = "/pypi/web/packages/"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.targets: Sequence[str] = ()
        """What stands for `/pypi/web/` there, in turn."""
        self._asked = count()

    def reply(self, request: Request) -> Reply:
        target = self.targets[next(self._asked) % len(self.targets)]
        return Reply(302, {"Location": target + request.path.removeprefix("/pypi/web/")})


def shadowmire_json(shelf: Shelf, links: str) -> bytes:
    """See tests/data/shadowmire_project.json.  Where no file has metadata it is as TUNA's version writes it."""
    page = {
        "files": [_entry(item, links) for item in shelf.sorted()],
        "meta": {"api-version": "1.1", "_last-serial": str(shelf.serial)},
        "name": shelf.raw,
        "versions": shelf.versions(),
    }
    return json.dumps(page).encode()


def _entry(item: Item, links: str) -> dict[str, Any]:
    told = {} if item.core_metadata is False else dict.fromkeys(METADATA_KEYS, item.core_metadata)
    return {
        **told,
        "filename": item.filename,
        "hashes": dict(item.hashes),
        "requires-python": item.requires_python,
        "size": item.size,
        "upload-time": item.upload_time or "",
        "url": item.href(links),
        "yanked": item.yanked is not False,
    }


METADATA_KEYS = ("core-metadata", "data-dist-info-metadata")


def legacy_json(shelf: Shelf) -> bytes:
    """See tests/data/legacy_project.json."""
    releases: dict[str, list[Mapping[str, Any]]] = {version: [] for version in shelf.versions()}
    for item in shelf.sorted():
        releases[item.version].append(_release(item))
    latest = [version for version in releases if releases[version]][-1:]
    document = {
        "info": {"name": shelf.raw, "version": "".join(latest)},
        "last_serial": shelf.serial,
        "releases": releases,
        "urls": [file for version in latest for file in releases[version]],
    }
    return json.dumps(document).encode()


def _release(item: Item) -> Mapping[str, Any]:
    wheel = mimetypes.guess_type(item.filename)[1] is None
    time = item.upload_time or ""
    return {
        "comment_text": "",
        "digests": {"blake2b_256": item.path.replace("/", ""), **item.hashes},
        "downloads": -1,
        "filename": item.filename,
        "has_sig": False,
        "packagetype": "bdist_wheel" if wheel else "sdist",
        "python_version": "py3" if wheel else "source",
        "requires_python": item.requires_python,
        "size": item.size,
        "upload_time": time[:19],
        "upload_time_iso_8601": time,
        "url": item.href(f"{OFFICIAL}/packages/"),
        "yanked": item.yanked is not False,
        "yanked_reason": item.yanked if isinstance(item.yanked, str) else None,
    }
