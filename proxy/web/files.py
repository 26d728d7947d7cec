"""Distribution files over HTTP: at rest, or as they come in."""

from __future__ import annotations

import asyncio
import os
from typing import BinaryIO

from aiohttp import HttpVersion11, web

from ..download import Download
from ..errors import NotFound, ProxyError, UpstreamDown
from ..repository import Repository
from ..simple.model import METADATA, File
from ..storage import Blob
from .conditions import if_none_match, judge
from .fields import Fields
from .sending import close_soon, cut, fields_of, send_blob, send_part

GLANCE = 4 * 1024 * 1024
"""Bytes of a range in the middle of a file that may be looked at before the whole is verified (decision 11)."""

READ = 256 * 1024


class Files:
    """Answers for files; *patience* is how long a client waits for the first byte of one that nobody holds."""

    def __init__(self, repository: Repository, fields: Fields, *, patience: float) -> None:
        self._repository = repository
        self._fields = fields
        self._patience = patience

    async def answer(self, request: web.BaseRequest, file: File) -> web.StreamResponse:
        """*file*, which the Repository found, whole or in part, or its head."""
        try:
            return await self._head(request, file) if request.method == "HEAD" else await self._get(request, file)
        except NotFound:
            if file.private:
                raise
            await self._repository.confirm(file)
            if file.filename.endswith(METADATA):
                # pip and uv give up the whole install over a 404 for what the page promised (rule 42, decision 12).
                raise UpstreamDown(f"No mirror gives {file.filename}, which its page lists, now.") from None
            raise

    async def _get(self, request: web.BaseRequest, file: File) -> web.StreamResponse:
        etag = _etag(await self._repository.sha256(file))
        if etag and "If-Match" not in request.headers and if_none_match(_field(request, "If-None-Match"), etag):
            return web.Response(status=304, headers=_without_type({**self._fields.file(settled=True), "ETag": etag}))
        found = await self._repository.fetch(file)
        if isinstance(found, Blob):
            return await self._at_rest(request, found)
        try:
            async with asyncio.timeout(self._patience):
                await found.grown(0)
        except TimeoutError:
            raise UpstreamDown(f"{file.filename} is being fetched, and no byte has come yet.") from None
        return await self._growing(request, found, etag)

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
        try:
            async with asyncio.timeout(self._patience):
                size = await self._repository.size(file)
        except TimeoutError:
            raise UpstreamDown(f"No mirror told the size of {file.filename} in time.") from None
        if size is not None:
            fields["Content-Length"] = str(size)
        response = web.StreamResponse(headers=fields)
        await response.prepare(request)
        await response.write_eof()
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
        start, end, hold = 0, total, 1
        if verdict.range is not None:
            start, end = verdict.range.start, verdict.range.start + verdict.range.count
            fields["Content-Range"] = verdict.range.of(total)
            if start > 0 and end < total and end - start <= GLANCE:
                hold = 0
                fields = {**fields, "Cache-Control": "no-store"}
                fields.pop("ETag", None)
        response = web.StreamResponse(status=verdict.status, headers=fields)
        response.content_length = end - start
        await self._follow(request, response, download, start, end, hold)
        return response

    async def _follow(
        self, request: web.BaseRequest, response: web.StreamResponse, download: Download, sent: int, end: int, hold: int
    ) -> None:
        """Send the bytes up to *end* as they come, the last *hold* of them when all is verified."""
        handle = download.handle()
        try:
            await response.prepare(request)
            while sent < end:
                ready = await download.grown(sent)
                until = min(ready, end if download.sha256 is not None else end - hold)
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


def _read(handle: BinaryIO, count: int, offset: int) -> bytes:
    return os.pread(handle.fileno(), count, offset)
