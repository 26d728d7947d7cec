"""Distribution files over HTTP: at rest, or as they come in."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from aiohttp import HttpVersion11, web
from packaging.utils import NormalizedName

from ..download import Download
from ..errors import NotFound, ProxyError, UpstreamDown
from ..glimpses import GLANCE
from ..repository import Repository
from ..simple.model import METADATA, File
from ..storage import Blob
from .conditions import FIELDS, http_date, if_none_match, judge
from .fields import Fields
from .front import SMALL, WARM, Ready
from .sending import close_soon, cut, fields_of, send_blob, send_part
from .small import Small, SmallFiles

READ = 256 * 1024

logger = logging.getLogger(__name__)

DEADLINE = web.RequestKey("deadline", float)
"""By when who asks shall have the first byte or an error: seconds of the event loop's clock."""


class Ahead(Protocol):
    """Who fetches what clients will ask for next: see LookAhead.  Neither waits nor raises."""

    def chosen(self, file: File, agent: str) -> None:
        """A client that calls itself *agent* looks at the metadata of a version: *file* is that, or its wheel."""
        ...

    def wanted(self, file: File) -> None:
        """A client asked for the whole of *file*."""
        ...


@dataclass(frozen=True, slots=True)
class Again:
    """Satisfies front.Warm for a small file that was answered whole."""

    files: Files
    path: str
    filename: str
    sha256: str

    def ready(self, second: int) -> Ready | None:
        """The file, if a page at hand links it, and these bytes of it are in memory."""
        return self.files.ready(self)

    def answered(self, agent: str) -> None:
        self.files.tell(self, agent)


class Files:
    """Answers for files; *patience* is how long a client waits for the first byte of one that nobody holds."""

    def __init__(
        self,
        repository: Repository,
        fields: Fields,
        *,
        patience: float,
        ahead: Ahead | None = None,
        small: SmallFiles | None = None,
    ) -> None:
        self._repository = repository
        self._fields = fields
        self._patience = patience
        self._ahead = ahead
        self._small = small

    async def find(
        self, request: web.BaseRequest, path: str, filename: str, may: Callable[[NormalizedName], bool]
    ) -> File:
        """As Repository.find, in a part of the time that a client waits for its answer."""
        async with self._in_time(request, f"Whether {filename} is on a page could not be found out in time."):
            return await self._repository.find(path, filename, may=may)

    async def answer(self, request: web.BaseRequest, file: File) -> web.StreamResponse:
        """*file*, which the Repository found, whole or in part, or its head."""
        whole = request.method == "GET" and "Range" not in request.headers
        self._look_ahead(file, request.headers.get("User-Agent", ""), whole=whole)
        try:
            return await self._head(request, file) if request.method == "HEAD" else await self._get(request, file)
        except NotFound:
            if file.private:
                raise
            async with self._in_time(request, f"No mirror has {file.filename}, and none told in time if it is gone."):
                await self._repository.confirm(file)
            if file.filename.endswith(METADATA):
                # pip and uv give up the whole install over a 404 for what the page promised (rule 42, decision 12).
                raise UpstreamDown(f"No mirror gives {file.filename}, which its page lists, now.") from None
            raise

    def ready(self, asked: Again) -> Ready | None:
        """See Again."""
        small = self._small.get(asked.sha256) if self._small is not None else None
        if small is None:
            return None
        file = self._repository.at_hand.file(asked.path, asked.filename)
        return small.ready if file is not None and file.sha256 == asked.sha256 else None

    def tell(self, asked: Again, agent: str) -> None:
        """See Again."""
        file = self._repository.at_hand.file(asked.path, asked.filename)
        if file is not None:
            self._look_ahead(file, agent, whole=True)

    def _look_ahead(self, file: File, agent: str, *, whole: bool) -> None:
        if self._ahead is None:
            return
        if whole and not file.filename.endswith(METADATA):
            self._ahead.wanted(file)
        else:
            self._ahead.chosen(file, agent)

    async def _get(self, request: web.BaseRequest, file: File) -> web.StreamResponse:
        sha256 = await self._repository.sha256(file)
        etag = _etag(sha256)
        if etag and "If-Match" not in request.headers and if_none_match(_field(request, "If-None-Match"), etag):
            return web.Response(status=304, headers=_without_type({**self._fields.file(settled=True), "ETag": etag}))
        # With If-Range, a client has a part of the file already, and will put them together: that must be verified.
        if "Range" in request.headers and "If-Range" not in request.headers and not file.private:
            part = await self._part(request, file, etag)
            if part is not None:
                return part
        memory = self._small if not any(name in request.headers for name in FIELDS) else None
        small = memory.get(sha256) if memory is not None and sha256 is not None else None
        if small is not None:
            return self._from_memory(file, small)
        found = await self._repository.fetch(file)
        if isinstance(found, Blob):
            if memory is not None and found.size <= SMALL:
                return self._from_memory(file, await _kept(memory, found))
            return await self._at_rest(request, found)
        async with self._in_time(request, f"{file.filename} is being fetched, and no byte has come yet."):
            await found.grown(0)
        return await self._growing(request, found, etag)

    async def _part(self, request: web.BaseRequest, file: File, etag: str | None) -> web.StreamResponse | None:
        """A small part of a file that nobody holds, before anybody verified it; None where all of it has to come.

        Installers read a wheel's directory so, and begin no download by it (decision 11).
        """
        held = await self._repository.open(file)
        if held is not None:
            return await self._at_rest(request, held)
        async with self._in_time(request, f"No mirror gave a part of {file.filename} in time."):
            with suppress(UpstreamDown):
                return await self._glimpse(request, file, etag)
        return None  # it may be on the disk as what an earlier download left, or a mirror told a wrong size

    async def _glimpse(self, request: web.BaseRequest, file: File, etag: str | None) -> web.Response | None:
        size = await self._repository.size(file)
        if size is None:
            return None
        verdict = judge(request.method, fields_of(request), etag=etag, modified=None, size=size)
        fields = self._fields.file(settled=False)
        if verdict.status not in (200, 206):
            return _refusal(verdict.status, {**fields, "ETag": etag} if etag else fields, size)
        asked = verdict.range
        if asked is None or asked.start == 0 or asked.count > GLANCE:
            return None
        body = await self._repository.glimpse(file, asked.start, asked.start + asked.count)
        if len(body) != asked.count:
            raise UpstreamDown(f"{file.filename} is not as long as a mirror told.")
        return web.Response(status=206, body=body, headers={**fields, "Content-Range": asked.of(size)})

    async def _head(self, request: web.BaseRequest, file: File) -> web.StreamResponse:
        held = await self._repository.open(file)
        if held is not None:
            return await self._at_rest(request, held)
        etag = _etag(await self._repository.sha256(file))
        fields = self._fields.file(settled=etag is not None)
        if etag:
            fields["ETag"] = etag
            if if_none_match(_field(request, "If-None-Match"), etag):
                return web.Response(status=304, headers=fields)
        async with self._in_time(request, f"No mirror told the size of {file.filename} in time."):
            size = await self._repository.size(file)
        if size is not None:
            fields["Content-Length"] = str(size)
        response = web.StreamResponse(headers=fields)
        await response.prepare(request)
        await response.write_eof()
        return response

    @asynccontextmanager
    async def _in_time(self, request: web.BaseRequest, otherwise: str) -> AsyncIterator[None]:
        """Raise UpstreamDown, in these words, where all that *request* needs takes longer than a client should wait."""
        if DEADLINE not in request:
            request[DEADLINE] = asyncio.get_running_loop().time() + self._patience
        try:
            async with asyncio.timeout_at(request[DEADLINE]):
                yield
        except TimeoutError:
            raise UpstreamDown(otherwise) from None

    def _from_memory(self, file: File, small: Small) -> web.Response:
        etag = small.ready.etag.decode()
        headers = {**self._fields.file(settled=True), "ETag": etag, "Last-Modified": small.modified}
        response = web.Response(body=small.ready.body, headers=headers)
        if not self._fields.private and file.sha256 is not None:
            response[WARM] = Again(self, file.path, file.filename, file.sha256)
        return response

    async def _at_rest(self, request: web.BaseRequest, blob: Blob) -> web.StreamResponse:
        return await send_blob(request, blob, headers=self._fields.file(settled=True))

    async def _growing(self, request: web.BaseRequest, download: Download, etag: str | None) -> web.StreamResponse:
        if download.total is None and request.version < HttpVersion11:
            # There are no chunks, so the end of the line is the end of the file: a broken one would look whole.
            while download.sha256 is None:
                await download.grown(download.ready)
        total = download.total
        if total is None:
            return await self._chunked(request, download)
        verdict = judge(request.method, fields_of(request), etag=etag, modified=None, size=total)
        fields = self._fields.file(settled=etag is not None)
        if etag:
            fields["ETag"] = etag
        if verdict.status not in (200, 206):
            return _refusal(verdict.status, fields, total)
        start, end = 0, total
        if verdict.range is not None:
            start, end = verdict.range.start, verdict.range.start + verdict.range.count
            fields["Content-Range"] = verdict.range.of(total)
        response = web.StreamResponse(status=verdict.status, headers=fields)
        response.content_length = end - start
        await self._follow(request, response, download, start, end)
        return response

    async def _follow(
        self, request: web.BaseRequest, response: web.StreamResponse, download: Download, sent: int, end: int
    ) -> None:
        """Send the bytes up to *end* as they come, the last of them when all is verified."""
        handle = download.handle()
        try:
            await response.prepare(request)
            while sent < end:
                ready = await download.grown(sent)
                until = min(ready, end if download.sha256 is not None else end - 1)
                if until > sent:
                    await send_part(request, response, handle, sent, until - sent)
                    sent = until
                elif download.sha256 is None:
                    await download.grown(ready)
            await response.write_eof()
        except (ProxyError, ConnectionError):
            # The status is out already: to break the line is all that is left, and says that this is no file.
            cut(request)
        finally:
            close_soon(handle)

    async def _chunked(self, request: web.BaseRequest, download: Download) -> web.StreamResponse:
        """A file whose size nobody tells: its end is the end of the chunks, sent when all is verified."""
        response = web.StreamResponse(headers=self._fields.file(settled=False))
        handle, sent = download.handle(), 0
        try:
            await response.prepare(request)
            while not (download.sha256 is not None and sent == download.ready):
                ready = await download.grown(sent)
                while sent < ready:
                    chunk = await asyncio.to_thread(_read, handle, min(READ, ready - sent), sent)
                    await response.write(chunk)
                    sent += len(chunk)
            await response.write_eof()
        except (ProxyError, ConnectionError):
            # The status is out already: to break the line is all that is left, and says that this is no file.
            cut(request)
        finally:
            close_soon(handle)
        return response


def _refusal(status: int, fields: dict[str, str], total: int) -> web.Response:
    """304, 412 or 416: no body, and nothing of the file's own but its validators."""
    fields = _without_type(fields)
    if status != 304:
        fields["Cache-Control"] = "no-store"
    if status == 416:
        fields["Content-Range"] = f"bytes */{total}"
    return web.Response(status=status, headers=fields)


def _without_type(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name != "Content-Type"}


def _field(request: web.BaseRequest, name: str) -> str:
    return ",".join(request.headers.getall(name, ()))


def _etag(sha256: str | None) -> str | None:
    return f'"{sha256}"' if sha256 else None


async def _kept(memory: SmallFiles, blob: Blob) -> Small:
    """*blob* read whole, its handle closed."""

    def read() -> bytes:
        with blob.handle:
            return _read(blob.handle, blob.size, 0)

    try:
        body = await asyncio.to_thread(read)
    except OSError as error:
        logger.warning("A kept file could not be read from the disk: %s", error)
        raise UpstreamDown("A kept file cannot be read from the disk now.") from error
    if len(body) < blob.size:
        logger.warning("A kept file is %d bytes shorter than announced.", blob.size - len(body))
        raise UpstreamDown("A kept file is shorter than it should be.")
    return memory.put(blob.sha256, body, http_date(blob.modified))


def _read(handle: BinaryIO, count: int, offset: int) -> bytes:
    return os.pread(handle.fileno(), count, offset)
