"""Imitations of indexes beside the official one: PyTorch's, ROCm's, and flat pages for `--find-links`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any
from urllib.parse import quote, unquote

from ..upstream_listing import Item
from ..upstream_server import NOT_FOUND, Reply, Request, UpstreamServer, file_reply
from .samples import XML, sample

TIMESTAMP = "<!--TIMESTAMP 1703347410-->"

PROD = "max-age=600, public, must-revalidate"


class ByName(UpstreamServer):
    """Files stand by their names alone below `files_path`, and nothing is known of them that no link says."""

    def publish(self, project: str, filename: str, body: bytes, **facts: Any) -> Item:
        return super().publish(project, filename, body, **{"size": None, "upload_time": None, **facts})

    def url(self, item: Item) -> str:
        return self.files + quote(item.filename)

    def reply(self, request: Request) -> Reply:
        path = unquote(request.path.partition("?")[0])
        if path.endswith((".whl", ".metadata")) and path.startswith(self.files_path):
            return self.file(request, path.removeprefix(self.files_path))
        return self.index(request, path)

    def file(self, request: Request, rest: str) -> Reply:
        for item in self.listing.all():
            if rest == item.filename:
                return file_reply(request, item.body)
            if rest == f"{item.filename}.metadata" and item.metadata is not None:
                return file_reply(request, item.metadata)
        return NOT_FOUND


class PyTorch(ByName):
    """One variant's index in object storage: `+` is `%2B`, and what is not there is forbidden."""

    simple_path = "/whl/cu128/"
    files_path = "/whl/cu128/"

    def __init__(self, *, files: UpstreamServer | None = None, **settings: Any) -> None:
        """*files*: another host where files stand; None where links begin with a slash."""
        super().__init__(**settings)
        self._elsewhere = files

    def publish(self, project: str, filename: str, body: bytes, **facts: Any) -> Item:
        if self._elsewhere is not None:
            self._elsewhere.publish(project, filename, body, **facts)
        return super().publish(project, filename, body, **facts)

    def reply(self, request: Request) -> Reply:
        # Object storage takes a plus for a space.
        reply = super().reply(replace(request, path=request.path.replace("+", "%20")))
        if reply is NOT_FOUND:
            return Reply(403, {"Content-Type": XML}, sample("s3_access_denied.xml"))
        return reply

    def root(self, request: Request) -> Reply:
        return self._list([f'<a href="{name}/">{name}</a>' for name in sorted(self.listing.names())])

    def page(self, request: Request, name: str) -> Reply:
        shelf = self.listing.shelf(name)
        if shelf is None:
            return NOT_FOUND
        return self._list([self._anchor(item) for item in shelf.sorted()], heading=f"Links for {name}")

    def _list(self, anchors: list[str], *, heading: str | None = None) -> Reply:
        lines = ["<!DOCTYPE html>", "<html>", "  <body>"]
        lines += [f"    <h1>{heading}</h1>"] if heading else []
        lines += [*(f"    {anchor}<br/>" for anchor in anchors), "  </body>", "</html>", TIMESTAMP]
        return Reply(200, {"Content-Type": "text/html", "Cache-Control": PROD}, "\n".join(lines).encode())

    def _anchor(self, item: Item) -> str:
        base = self._elsewhere.origin if self._elsewhere is not None else ""
        fragment = "".join(f"#{name}={digest}" for name, digest in item.hashes.items())
        said = ""
        if isinstance(item.core_metadata, Mapping):
            digest = item.core_metadata["sha256"]
            said = f' data-dist-info-metadata="sha256={digest}" data-core-metadata="sha256={digest}"'
        said += f' data-upload-time="{item.upload_time}"' if item.upload_time else ""
        said += f' data-size="{item.size}"' if item.size is not None else ""
        return f'<a href="{base}{self.files_path}{quote(item.filename)}{fragment}"{said}>{item.filename}</a>'


class Rocm(ByName):
    """Wheels stand beside the folders of their projects: `href="../torch-..."`, without a hash."""

    simple_path = "/rocm/whl-multi-arch/"
    files_path = "/rocm/whl-multi-arch/"

    def page(self, request: Request, name: str) -> Reply:
        shelf = self.listing.shelf(name)
        if shelf is None:
            return NOT_FOUND
        lines = ["<!DOCTYPE html>", "<html>", "  <body>"]
        lines += [
            f'    <a href="../{quote(item.filename)}">{escape(item.filename)}</a><br/>' for item in shelf.sorted()
        ]
        return self.static(request, "text/html", "\n".join([*lines, "  </body>", "</html>", ""]).encode())


class FlatPage(ByName):
    """A page of links to wheels of many projects, for `--find-links`; there are no hashes."""

    page_path: str
    """Where the page stands; `simple` is its URL."""
    head = tail = ""

    @property
    def simple(self) -> str:
        return self.origin + self.page_path

    def index(self, request: Request, path: str) -> Reply:
        return self.static(request, "text/html", self._flat().encode()) if path == self.page_path else NOT_FOUND

    @abstractmethod
    def link(self, item: Item) -> tuple[str, str]:
        """The href and the text of the link to *item*."""

    def _flat(self) -> str:
        links = [self.link(item) for item in sorted(self.listing.all(), key=lambda item: item.filename)]
        return self.head + "".join(f'<a href="{href}">{text}</a><br>\n' for href, text in links) + self.tail


class AliyunWheels(FlatPage):
    """One folder for one variant, relative links, `%2B`."""

    page_path = "/pytorch-wheels/cu128/"
    files_path = page_path
    head = "<!DOCTYPE html>\n<html>\n<head><title>pytorch-wheels-cu128</title></head>\n<body>\n"
    tail = "</body>\n</html>\n"

    def link(self, item: Item) -> tuple[str, str]:
        return quote(item.filename), item.filename


class JaxReleases(FlatPage):
    """Absolute links with a plain `+`; the text is not the filename."""

    page_path = "/jax-releases/jax_cuda_releases.html"
    files_path = "/jax-releases/cu128/"
    head = "<html>\n<body>\n"
    tail = "</body>\n</html>\n"

    def link(self, item: Item) -> tuple[str, str]:
        return f"{self.files}{item.filename}", f"cu128/{item.filename}"


class TorchStable(FlatPage):
    """No frame at all, relative links, and the text percent-encoded like the link."""

    page_path = "/whl/torch_stable.html"
    files_path = "/whl/cu128/"

    def link(self, item: Item) -> tuple[str, str]:
        return f"cu128/{quote(item.filename)}", f"cu128/{quote(item.filename)}"
