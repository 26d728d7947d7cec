"""Uploads: a multipart form streamed to disk, checked, and handed on as a private file.

Knows HTTP and the store's incoming folder.  What makes a good form is upload.py's, what makes a good archive is
archive's, who may upload what is rights', and where it goes is publishing's.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp
from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from packaging.utils import NormalizedName

from .. import archive
from ..errors import BadUpload, NotFound, ProxyError, StoreDown, TooLarge
from ..rights import Caller
from ..simple.model import File
from ..simple.names import parse_name, projects_of
from ..simple.provenance import write_provenance
from ..strict import check_strictly
from ..upload import Facts, Form, check, check_digests, check_filename, read_form
from .errors import explain
from .fields import ALWAYS
from .pace import paced
from .spool import Spool, trouble

CHUNK = 1024 * 1024
"""Bytes hashed and written at a time: enough that the way to the thread and back is nothing beside it."""

DRAIN_BYTES = 16 * 2**20
DRAIN_SECONDS = 10.0

OVERHEAD = 1024
"""Bytes of boundary and headers for each part, at the most that any client sends."""

logger = logging.getLogger(__name__)

PLAIN_ENCODINGS = frozenset({"", "binary", "7bit", "8bit", "identity"})

SignIn = Callable[[web.BaseRequest], Awaitable[Caller]]
"""Raises NotSignedIn, Forbidden or TooManyTries where whoever asks may upload nothing."""


class Upload(Protocol):
    """Takes over the checked file: what Publishing.upload does."""

    def __call__(
        self, name: NormalizedName, file: File, body: Path, metadata: bytes | None, *, provenance: bytes | None
    ) -> Awaitable[None]:
        """As PrivateFiles.add; raise Forbidden where *name* may not be uploaded here at all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """How much one upload may send, and how slowly."""

    archive: archive.Limits
    strict: bool = False
    """Whether what the official index would not take is refused."""
    max_size: int = 4 * 10**9
    """Bytes of the file."""
    max_field: int = 4 * 2**20
    """Bytes of all other parts together."""
    max_parts: int = 2000
    """A list is one part for each item: some projects depend on hundreds of others."""
    min_rate: int = 1024
    """Bytes a second, on average over each *window*."""
    window: float = 30.0
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An upload that came in whole."""

    form: Form
    facts: Facts
    body: Path
    """The file, in the incoming folder; whoever receives this moves or removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What an upload turned out to be."""

    name: NormalizedName
    file: File
    metadata: bytes | None
    """The `.metadata` beside the file."""
    provenance: bytes | None
    remark: str | None
    """A sentence about what is wrong with the archive and yet let in."""


class Uploads:
    """Answers POST of the legacy upload API, the one that every uploader speaks."""

    def __init__(self, *, sign_in: SignIn, incoming: Path, limits: UploadLimits, upload: Upload) -> None:
        self._sign_in = sign_in
        self._incoming = incoming
        self._limits = limits
        self._upload = upload

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            caller = await self._sign_in(request)
            _refuse_early(request, self._limits)
            _ask_for_body(request)
            received = await receive(request, caller, incoming=self._incoming, limits=self._limits)
            try:
                remark = await self._take(received, caller)
            finally:
                await asyncio.to_thread(received.body.unlink, missing_ok=True)
        except ProxyError as error:
            return await _refuse(request, error)
        headers = {**ALWAYS, "Cache-Control": "no-store"}
        said = f"  {remark}" if remark else ""
        return web.Response(text=f"OK: {received.form.filename} is here.{said}\n", headers=headers)

    async def _take(self, received: Received, caller: Caller) -> str | None:
        """Judge *received* and hand it on; what is to be remarked of it."""
        seconds = self._limits.archive.seconds
        try:
            # The reader looks at the clock itself; this is for a disk that does not answer.
            async with asyncio.timeout(2 * seconds):
                judged = await asyncio.to_thread(_judge, received, caller, self._limits)
        except TimeoutError:
            raise StoreDown(f"The archive could not be checked within {2 * seconds:g} seconds.") from None
        await self._upload(judged.name, judged.file, received.body, judged.metadata, provenance=judged.provenance)
        if judged.remark:
            logger.warning("%s was let in, but: %s", judged.file.filename, judged.remark)
        return judged.remark


async def receive(request: web.BaseRequest, caller: Caller, *, incoming: Path, limits: UploadLimits) -> Received:
    """The form and the file of *request*, spooled to *incoming* and hashed on the way.

    Raise TooLarge, BadUpload or OutOfUse where *limits* or the upload API's rules are broken, Forbidden as soon as
    it shows that *caller* may not upload this; ConnectionError where the client went away.  Nothing is left in
    *incoming* then, nor where this is cancelled.
    """
    collected = _Collected(incoming, limits, caller)
    try:
        most = limits.max_size + limits.max_field + limits.max_parts * OVERHEAD
        async with paced(request.content, rate=limits.min_rate, window=limits.window, most=most):
            async for part in _parts(request):
                await collected.add(part)
        for key in (":action", "protocol_version"):
            # Old clients write them behind the URL.
            if key not in collected.fields and key in request.query:
                collected.fields[key] = request.query.getall(key)
        return await collected.received()
    except BaseException:
        await collected.discard()
        raise


async def drain(request: web.BaseRequest, *, most: int = DRAIN_BYTES, seconds: float = DRAIN_SECONDS) -> None:
    """Read and drop what is left of the body, so that a client still sending comes to read the answer (decision 32).

    *most* bytes and *seconds* are enough for all but the biggest; then the connection is cut.
    """
    left = most
    with suppress(OSError, TimeoutError, aiohttp.ClientError, HttpProcessingError):
        async with asyncio.timeout(seconds):
            while left > 0 and not request.content.at_eof():
                left -= len(await request.content.readany())
    if not request.content.at_eof():
        # aiohttp would read on for ten more seconds, however much there is.
        request.protocol.force_close()


async def _refuse(request: web.BaseRequest, error: ProxyError) -> web.StreamResponse:
    response = explain(request, error)
    if request.content.at_eof():
        return response
    if _waits(request):
        # It was not asked for its body, and will hardly send it.
        response.force_close()
        return response
    # Answered first: some clients look for an answer while they send.
    await response.prepare(request)
    await response.write_eof()
    await drain(request)
    return response


def _refuse_early(request: web.BaseRequest, limits: UploadLimits) -> None:
    """What the headers alone show."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "").lower() not in PLAIN_ENCODINGS:
        raise BadUpload("Uploads are taken without Content-Encoding.")
    most = limits.max_size + limits.max_field
    if request.content_length is not None and request.content_length > most + limits.max_parts * OVERHEAD:
        raise TooLarge(_too_large(limits))
    if request.content_type != "multipart/form-data":
        raise BadUpload("An upload is a form of type multipart/form-data: use twine, uv publish or their like.")


def _ask_for_body(request: web.BaseRequest) -> None:
    """What a client waits for that sent `Expect: 100-continue`: only now is its file wanted (RFC 9110, 10.1.1)."""
    if _waits(request) and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _waits(request: web.BaseRequest) -> bool:
    expects = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    return expects and request.version >= aiohttp.HttpVersion11


def _too_large(limits: UploadLimits) -> str:
    return f"File too large: {limits.max_size} bytes are the most that one may have here."


async def _parts(request: web.BaseRequest) -> AsyncIterator[BodyPartReader]:
    """The parts of the form."""
    with _as_bad_upload():
        reader = await request.multipart()
    while True:
        with _as_bad_upload():
            part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader):
            raise BadUpload("A form within the form is not taken.")
        for header in (hdrs.CONTENT_ENCODING, hdrs.CONTENT_TRANSFER_ENCODING):
            if part.headers.get(header, "").lower() not in PLAIN_ENCODINGS:
                raise BadUpload(f"The parts of an upload are taken without {header}.")
        yield part


class _Collected:
    """What of a form has come so far."""

    def __init__(self, incoming: Path, limits: UploadLimits, caller: Caller) -> None:
        self.fields: dict[str, list[str]] = {}
        self._incoming = incoming
        self._limits = limits
        self._caller = caller
        self._spool: Spool | None = None
        self._filename: str | None = None
        self._parts = 0
        self._small = 0

    async def add(self, part: BodyPartReader) -> None:
        """Read all of *part*."""
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise TooLarge(f"The form has more than {self._limits.max_parts} parts.")
        name, filename = _disposition(part)
        # By its filename and not by its type: uv and flit send no Content-Type.
        if filename is None:
            text = b"".join([chunk async for chunk in self._field(part)]).decode("utf-8", "replace")
            self.fields.setdefault(name, []).append(text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        elif name == "content":
            await self._file(part, filename)
        else:
            # A gpg_signature: nobody checks them any more.
            async for _ in self._field(part):
                pass

    async def received(self) -> Received:
        form = read_form(self.fields, self._filename)
        with suppress(NotFound):  # no name of a project: upload.check has the words for that
            self._caller.check("upload", parse_name(form.name or ""))
        assert self._spool is not None
        return Received(form=form, facts=await asyncio.to_thread(self._spool.finish), body=self._spool.path)

    async def discard(self) -> None:
        if self._spool is not None:
            await asyncio.to_thread(self._spool.discard)

    async def _field(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        async for chunk in _chunks(part):
            self._small += len(chunk)
            if self._small > self._limits.max_field:
                raise TooLarge(f"The fields of the form are longer than {self._limits.max_field} bytes.")
            yield chunk

    async def _file(self, part: BodyPartReader, filename: str) -> None:
        if self._filename is not None:
            raise BadUpload("The form has more than one file.")
        # Before its gigabytes are taken.
        check_filename(filename)
        _check_rights(self._caller, filename)
        self._filename = filename
        spool = self._spool = Spool(self._incoming / f"{secrets.token_hex(16)}.part")
        size, waiting, held = 0, list[bytes](), 0
        async for chunk in _chunks(part):
            size += len(chunk)
            if size > self._limits.max_size:
                raise TooLarge(_too_large(self._limits))
            waiting.append(chunk)
            held += len(chunk)
            if held >= CHUNK:
                await asyncio.to_thread(spool.write, waiting)
                waiting, held = [], 0
        await asyncio.to_thread(spool.write, waiting)


def _disposition(part: BodyPartReader) -> tuple[str, str | None]:
    """The name of *part*, and its filename if it has one (RFC 7578, 4.2)."""
    with warnings.catch_warnings():
        # aiohttp warns of what it cannot read; here it is refused.
        warnings.simplefilter("ignore")
        name, filename = part.name, part.filename
    if name is None:
        raise BadUpload("The form has a part without a name.")
    return name, filename


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while True:
        with _as_bad_upload():
            chunk = await part.read_chunk(CHUNK)
        if chunk:
            yield chunk
        elif part.at_eof():
            return


@contextmanager
def _as_bad_upload() -> Iterator[None]:
    """What aiohttp's reader says of a form that is none, as BadUpload; it has no one class for that."""
    try:
        yield
    except (ValueError, AssertionError, LookupError, RuntimeError, Warning, HttpProcessingError) as error:
        raise BadUpload("The form is broken: its parts cannot be told apart.") from error


def _check_rights(caller: Caller, filename: str) -> None:
    """Raise Forbidden where *caller* may upload to no project that *filename* can belong to."""
    names = projects_of(filename)
    if names and not any(caller.may("upload", name) for name in names):
        caller.check("upload", names[0])


def _judge(received: Received, caller: Caller, limits: UploadLimits) -> _Judged:
    """What *received* is, once form, filename and archive agree; blocks.

    Raise Forbidden where *caller* may not upload to the project that the archive names.
    """
    form = received.form
    check_digests(form, received.facts)
    try:
        with received.body.open("rb") as handle:
            contents = archive.inspect(handle, form.filename, limits.archive, thorough=limits.strict)
    except OSError as error:
        raise trouble(error) from error
    name, file = check(form, received.facts, contents.metadata)
    caller.check("upload", name)
    if limits.strict:
        check_strictly(form, contents)
    return _Judged(
        name=name,
        file=file,
        metadata=contents.metadata if file.core_metadata else None,
        provenance=write_provenance(form.attestations, caller.user),
        remark=contents.remark,
    )
