"""Every request, from its target to its answer: who may ask, who answers, and what is said when something is wrong."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from urllib.parse import parse_qsl

from aiohttp import web
from packaging.utils import NormalizedName

from .. import __version__
from ..errors import NotFound, ProxyError
from ..ops.logs import CLIENT
from ..repository import Repository
from ..rights import Caller
from . import paths
from .api import Api
from .auth import Auth
from .documents import Documents
from .errors import explain
from .fields import ALWAYS
from .files import Files
from .headers import PAGE_HEADERS
from .index import ProjectPages, RootPage
from .integrity import Integrity
from .pages.front import STATIC, language, render_front
from .paths import Asked, Target, parse_target
from .peers import Peers
from .search import Search
from .sending import cut

logger = logging.getLogger(__name__)

READING = "GET, HEAD"

ROBOTS = "User-agent: *\nDisallow: /\n"

Uploads = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Takes one upload form from a user who may upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is seen through one way in: private projects, and all indexes or a single one."""

    repository: Repository
    projects: ProjectPages
    root: RootPage
    files: Files


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The one handler of the server."""

    view: View
    """Of all indexes."""
    alone: Mapping[str, View]
    """Of each index alone, by its name (decision 26)."""
    documents: Documents
    integrity: Integrity
    search: Search
    api: Api
    auth: Auth
    peers: Peers
    upload: Uploads
    status: Callable[[], bytes]
    """The mirrors' state, as JSON."""
    public_url: str
    """Where clients reach us, with a slash at its end; empty where the Host header tells."""
    reading_needs_user: bool
    anyone_may_upload: bool

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ProxyError as error:
            return explain(request, error)
        except ConnectionError:
            # The client went away; raised on, aiohttp would write a traceback for it.
            cut(request)
            return web.Response()
        except Exception:
            logger.exception("%s %s failed", request.method, request.rel_url.raw_path[: paths.MAX_TARGET])
            if request.writer.output_size > 0:
                # An answer has begun: another one in its middle could pass for the rest of a file.
                cut(request)
            return _plain(500, "Something went wrong inside the server; its log says more.")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        request[CLIENT] = str(self.peers.address(request.remote, request.headers) or "-")
        try:
            asked = parse_target(request.raw_path, frozenset(self.alone))
        except NotFound:
            # Whether there is something at an address is not for everybody to know (rule 79).
            await self.auth.reader(request)
            raise
        if isinstance(asked.target, paths.Api):
            return await self.api.answer(request, asked.target.action)
        if request.method == "POST":
            return await self._post(request, asked.target)
        if isinstance(asked.target, paths.Health | paths.Static | paths.Robots):
            return self._open(request, asked.target)
        caller = await self.auth.reader(request)
        if request.method not in {"GET", "HEAD"}:
            return _not_allowed(READING, "Only GET and HEAD are answered here.")
        return await self._get(request, asked, caller)

    async def _get(self, request: web.BaseRequest, asked: Asked, caller: Caller) -> web.StreamResponse:
        view = self.alone[asked.index] if asked.index else self.view
        may = partial(caller.may, "read")
        match asked.target:
            case paths.Page(name, None) | paths.Uploaded(name) | paths.Document(name, _, None) | paths.Provenance(name):
                await self._check(caller, name)
                try:
                    return await self._of_project(request, view, asked)
                finally:
                    await self._check(caller, name)  # it may have become private meanwhile
            case paths.Held(path, filename):
                return await view.files.answer(request, await view.files.find(request, path, filename, may))
            case paths.Flat(filename):
                return await view.files.answer(request, await view.repository.find_private(filename, may=may))
            case paths.Root(None):
                return await view.root.answer(request, asked.query, may)
            case paths.Page(_, str(at)) | paths.Root(str(at)) | paths.Document(_, _, str(at)):
                return self._elsewhere(at, asked.query)
            case paths.Search():
                raise NotFound("There is nothing to read at this address: searches come by POST, as pip search does.")
            case paths.Status():
                headers = {**ALWAYS, "Content-Type": "application/json", "Cache-Control": "no-store"}
                return web.Response(body=self.status(), headers=headers)
            case paths.Upload():
                return _not_allowed(
                    "POST", "Uploads go here, by POST: twine upload --repository-url with this address."
                )
            case _:
                return self._front(request, asked.query)

    async def _of_project(self, request: web.BaseRequest, view: View, asked: Asked) -> web.StreamResponse:
        """All that is said of one project, to who may read it."""
        match asked.target:
            case paths.Page(name):
                return await view.projects.answer(request, name, asked.query, self._base(request))
            case paths.Document(name, version):
                return await self.documents.answer(request, name, version, self._base(request))
            case paths.Provenance(name, version, filename):
                return await self.integrity.answer(request, name, version, filename)
            case paths.Uploaded(name):
                return await self._uploaded(name)
            case _:
                raise NotFound("There is nothing at this address.")

    async def _check(self, caller: Caller, name: NormalizedName) -> None:
        """Raise Forbidden where *name* is private, and not for *caller* to read: never 404, over which uv goes on."""
        if not caller.may("read", name) and await self.view.repository.is_private(name):
            caller.check("read", name)

    def _base(self, request: web.BaseRequest) -> str | None:
        """Where the client reached us, with a slash at its end; None where that cannot be told (decision 17)."""
        if self.public_url:
            return self.public_url
        host = self.peers.host(request.remote, request.headers)
        return host and f"{self.peers.scheme(request.remote, request.scheme, request.headers)}://{host}/"

    async def _uploaded(self, name: NormalizedName) -> web.Response:
        """Names of files, for hatch, which reads no more of it; no index is asked, as the name may become private."""
        files = await self.view.repository.uploaded(name)
        links = "".join(f'<a href="#">{escape(file.filename)}</a>\n' for file in files)
        headers = {**ALWAYS, **PAGE_HEADERS, "Cache-Control": "no-store"}
        return web.Response(text=links, content_type="text/html", headers=headers)

    async def _post(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        if isinstance(target, paths.Front | paths.Upload):
            return await self.upload(request)
        caller = await self.auth.reader(request)
        if isinstance(target, paths.Search):
            return await self.search.answer(request, partial(caller.may, "read"))
        return _not_allowed(READING, "Nothing is taken here; the upload URL of this server ends in /legacy/.")

    def _open(self, request: web.BaseRequest, target: paths.Health | paths.Static | paths.Robots) -> web.Response:
        """What everybody may see even where reading is for signed-in users: nothing of the index."""
        if request.method not in {"GET", "HEAD"}:
            return _not_allowed(READING, "Only GET and HEAD are answered here.")
        match target:
            case paths.Health():
                return _plain(200, "ok")
            case paths.Robots():
                return web.Response(text=ROBOTS, headers=ALWAYS)
            case paths.Static(filename):
                if filename not in STATIC:
                    raise NotFound("There is nothing at this address.")
                static = STATIC[filename]
                headers = {
                    **ALWAYS,
                    "Content-Type": static.content_type,
                    "ETag": static.etag,
                    "Cache-Control": "no-cache",
                }
                if request.headers.get("If-None-Match") == static.etag:
                    return web.Response(status=304, headers=headers)
                return web.Response(body=static.body, headers=headers)

    def _elsewhere(self, at: str, query: str) -> web.Response:
        """A name's one true spelling: for ever (rule 2), so that a 301 in a client's cache is no trap (rule 3)."""
        location = f"{at}?{query}" if query.isascii() and query.isprintable() and query else at
        return web.Response(status=301, headers={**ALWAYS, "Location": location}, text="The page is one address on.\n")

    def _front(self, request: web.BaseRequest, query: str) -> web.Response:
        asked = dict(parse_qsl(query)).get("lang", "")
        base = self._base(request)
        body = render_front(
            host_url=base and base.removesuffix("/"),
            language=language(request.headers.get("Accept-Language", ""), asked),
            needs_credentials=self.reading_needs_user,
            anyone_may_upload=self.anyone_may_upload,
            version=__version__,
        )
        headers = {**ALWAYS, **PAGE_HEADERS, "Content-Type": "text/html; charset=utf-8"}
        if self.reading_needs_user:
            headers["Cache-Control"] = f"private, {PAGE_HEADERS['Cache-Control']}"
        return web.Response(body=body, headers=headers)


def _plain(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n", headers={**ALWAYS, "Cache-Control": "no-store"})


def _not_allowed(allow: str, sentence: str) -> web.Response:
    response = _plain(405, sentence)
    response.headers["Allow"] = allow
    return response
