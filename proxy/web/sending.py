"""A file at rest as an HTTP answer: validators, ranges, and bytes that go from the disk to the socket by themselves.

`web.FileResponse` will not do: it ignores If-Range, makes entity tags of mtimes, and answers `pkg.tar` with the bytes
of a `pkg.tar.gz` beside it.  Here an open handle is sent, not a path, so that an eviction meanwhile harms nobody.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Mapping
from typing import BinaryIO

from aiohttp import hdrs, web

from ..ops.logs import SENT
from ..storage import Blob
from .conditions import FIELDS, Verdict, http_date, judge

WINDOW = 4 * 1024 * 1024
"""Bytes handed to one sendfile, once they are known to be in memory."""

CHUNK = 256 * 1024
"""Bytes read or written at a time where sendfile cannot be used."""

_READAHEAD = 128 * 1024
"""Bytes that the kernel reads ahead at least: one byte of each such stretch brings all of it into memory."""

logger = logging.getLogger(__name__)


async def send_blob(request: web.BaseRequest, blob: Blob, *, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer a GET or HEAD with *blob*: 200, 206, 304, 412 or 416.  The handle is closed whatever happens.

    *headers* are the caller's (Content-Type, Cache-Control ...); the validators, lengths and ranges are made here.
    Where the client leaves or the disk fails once the answer has begun, the connection is cut.
    """
    try:
        etag, modified = f'"{blob.sha256}"', http_date(blob.modified)
        verdict = judge(request.method, fields_of(request), etag=etag, modified=modified, size=blob.size)
        response = _response(verdict, blob.size, {**headers, hdrs.ETAG: etag, hdrs.LAST_MODIFIED: modified})
        try:
            await response.prepare(request)
        except ConnectionError:
            cut(request)
            return response
        # A HEAD runs through here too, and StreamResponse would send it the body.
        if request.method == hdrs.METH_GET and verdict.status in (200, 206):
            start = verdict.range.start if verdict.range else 0
            count = verdict.range.count if verdict.range else blob.size
            try:
                await send_part(request, response, blob.handle, start, count)
            except ConnectionError:
                # Raised on, aiohttp would write a traceback for every client that leaves.
                cut(request)
        return response
    finally:
        close_soon(blob.handle)


class InPieces(web.StreamResponse):
    """A large *body* that is in memory, given to the socket as the client takes it.

    aiohttp's own answer would copy all of it, and hold the copy for as long as a client likes to read.
    """

    def __init__(self, request: web.BaseRequest, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self.content_length = len(body)
        self._whole = memoryview(body if request.method != hdrs.METH_HEAD else b"")

    async def write_eof(self, data: bytes = b"") -> None:
        for start in range(0, len(self._whole), CHUNK):
            await self.write(self._whole[start : start + CHUNK])
        await super().write_eof(data)


async def send_part(
    request: web.BaseRequest, response: web.StreamResponse, handle: BinaryIO, start: int, count: int
) -> None:
    """Send *count* bytes of *handle* from *start* on, as part of the body of *response*, which is prepared already.

    Raise a ConnectionError, with the connection cut, where the client is gone, or where the handle does not hold
    that many bytes: an answer shorter than announced must never look complete.  The handle stays open.
    """
    try:
        sent = await _sendfile(request, handle, start, count)
        response[SENT] = response.get(SENT, 0) + sent
        if sent < count:
            await _copy(response, handle, start + sent, count - sent)
    except ConnectionError:
        cut(request)
        raise
    except OSError as error:
        # ETIMEDOUT is TCP_USER_TIMEOUT's word for a client that stopped reading; aiohttp would make it a 504.
        if error.errno == errno.EIO:
            logger.warning("A kept file could not be read from the disk: %s", error)
        cut(request)
        raise ConnectionAbortedError("The file could not be sent to its end.") from error


def fields_of(request: web.BaseRequest) -> dict[str, str]:
    """The fields that `judge` reads; several lines of one are one list (RFC 9110 §5.2)."""
    return {name: ", ".join(request.headers.getall(name)) for name in FIELDS if name in request.headers}


def cut(request: web.BaseRequest) -> None:
    """End the connection at once, so that the client sees a broken answer and not a short one."""
    if request.transport is not None:
        request.transport.abort()


def close_soon(handle: BinaryIO) -> None:
    """Close *handle* in a thread: freeing the blocks of a big file that was removed meanwhile takes long."""
    asyncio.get_running_loop().run_in_executor(None, handle.close)


def prepare_socket(listening: socket.socket, send_timeout: float) -> None:
    """Have connections accepted by *listening* end after *send_timeout* seconds in which a client took nothing.

    aiohttp has no timeout for writing: a client that stops reading would hold its handle and its task for ever.
    """
    if listening.family in (socket.AF_INET, socket.AF_INET6):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(send_timeout * 1000))


def _response(verdict: Verdict, size: int, headers: Mapping[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(status=verdict.status, headers=headers)
    response.headers[hdrs.ACCEPT_RANGES] = "bytes"
    if verdict.status in (200, 206):
        response.headers.setdefault(hdrs.CONTENT_TYPE, "application/octet-stream")
        response.content_length = verdict.range.count if verdict.range else size
        if verdict.range:
            response.headers[hdrs.CONTENT_RANGE] = verdict.range.of(size)
        return response
    response.headers.popall(hdrs.CONTENT_TYPE, None)
    if verdict.status != 304:
        response.content_length = 0
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
    if verdict.status == 416:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes */{size}"
    return response


async def _sendfile(request: web.BaseRequest, handle: BinaryIO, start: int, count: int) -> int:
    """Send by os.sendfile, window by window; how many bytes went.  Fewer than *count*: send the rest otherwise.

    sendfile waits for the disk and blocks the event loop meanwhile.  So each window is brought into memory by a
    thread first, the next one while the present one is on its way.
    """
    loop = asyncio.get_running_loop()
    position, end = start, start + count
    warming: asyncio.Future[None] | None = None
    try:
        while position < end:
            window = min(WINDOW, end - position)
            if warming is None:
                warming = _warm_window(handle, position, window)
            if warming is not None:
                await warming
            ahead = min(WINDOW, end - position - window)
            warming = _warm_window(handle, position + window, ahead)
            transport = request.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError("The client went away.")
            sent = _taken_at_once(transport, handle, position, window)
            if sent < window:
                sent += await loop.sendfile(transport, handle, position + sent, window - sent, fallback=False)
            position += sent
            if sent < window:
                break
    except (NotImplementedError, RuntimeError):
        # Not for this transport (asyncio's own fallback reads 16 KiB at a time), or a failure before the first byte
        # of a window: reading and writing says what it is.
        pass
    finally:
        if warming is not None:
            await asyncio.wait([warming])  # the thread uses the descriptor, which the caller may close
    return position - start


def _taken_at_once(transport: asyncio.Transport, handle: BinaryIO, start: int, count: int) -> int:
    """How many of these bytes the socket took without waiting: often all, and loop.sendfile needs ten calls for that.

    Whatever is wrong shows again when the rest is sent.
    """
    peer = transport.get_extra_info("socket")
    if peer is None or transport.get_extra_info("sslcontext") is not None or transport.get_write_buffer_size():
        return 0
    try:
        return os.sendfile(peer.fileno(), handle.fileno(), start, count)
    except OSError:
        return 0


async def _copy(response: web.StreamResponse, handle: BinaryIO, start: int, count: int) -> None:
    position, end = start, start + count
    while position < end:
        chunk = await asyncio.to_thread(os.pread, handle.fileno(), min(CHUNK, end - position), position)
        if not chunk:
            logger.warning("A kept file is %d bytes shorter than announced.", end - position)
            raise ConnectionAbortedError("The file is shorter than announced.")
        await response.write(chunk)
        position += len(chunk)


def _warm_window(handle: BinaryIO, start: int, count: int) -> asyncio.Future[None] | None:
    """Begin to bring these bytes into memory in a thread; None where they are there."""
    if count <= 0 or _is_in_memory(handle.fileno(), start, count):
        return None
    return asyncio.get_running_loop().run_in_executor(None, _read_ahead, handle.fileno(), start, count)


def _is_in_memory(descriptor: int, start: int, count: int) -> bool:
    """A guess from three bytes, without waiting for the disk."""
    for position in (start, start + count // 2, start + count - 1):
        try:
            os.preadv(descriptor, [bytearray(1)], position, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system that cannot tell, or a disk that fails: sending will show
    return True


def _read_ahead(descriptor: int, start: int, count: int) -> None:
    try:
        os.posix_fadvise(descriptor, start, count, os.POSIX_FADV_WILLNEED)
        for position in range(start, start + count, _READAHEAD):
            os.pread(descriptor, 1, position)
    except OSError:
        return  # sending will meet it too, and says so
