"""The Simple index over HTTP: pages written once per version, representation and coding, and kept as bytes."""

from __future__ import annotations

import asyncio
import hashlib
import math
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Literal
from urllib.parse import parse_qsl

from aiohttp import web
from packaging.utils import NormalizedName

from .. import __version__
from ..policy import Claims, Policy
from ..repository import Repository
from ..simple.model import Project
from ..simple.negotiate import coding, media_type
from ..simple.write import depends_on_base, write_project, write_root
from ..sources import Listing, Seen
from .conditions import if_none_match
from .fields import SOURCE, Fields
from .front import SMALL, WARM, Ready
from .sending import InPieces, close_soon, cut

try:
    from isal.igzip import compress as _isal

    def gzip(body: bytes) -> bytes:
        """*body* as one gzip member, the same for the same bytes."""
        return _isal(body, compresslevel=1, mtime=0)
except ImportError:  # isal has wheels for x86-64 and arm64 only
    from gzip import compress as _zlib

    def gzip(body: bytes) -> bytes:
        """*body* as one gzip member, the same for the same bytes."""
        return _zlib(body, compresslevel=1, mtime=0)


Coding = Literal["gzip", "identity"]

FILE_COST = 1_000
"""Bytes of memory that a File takes (measured: 900 to 1,000)."""

INLINE = 100
"""Files of a page that is written on the event loop: less than a millisecond."""

EVERY_BASE = ""
"""In place of a base: of a page that is the same under each."""

LINES = 64 * 1024
"""Bytes of names read at a time for the root page."""


@dataclass(frozen=True, slots=True)
class Written:
    """A page in one representation and coding."""

    project: Project
    base: str | None
    """What it was written for: see ProjectPages.answer."""
    body: bytes
    etag: str
    headers: Mapping[str, str]
    ready: Ready
    """The same for the warm path."""

    @property
    def cost(self) -> int:
        """Bytes of memory: the project, which this keeps alive, among them."""
        return len(self.body) + FILE_COST * len(self.project.files)


@dataclass(frozen=True, slots=True)
class Again:
    """Satisfies front.Warm for a page that was answered."""

    pages: ProjectPages
    name: NormalizedName
    kind: str
    code: Coding
    base: str | None

    def ready(self, second: int) -> Ready | None:
        """The page that `answer` would give without waiting for anything, if it is written."""
        return self.pages.ready(self, second)

    def answered(self, agent: str) -> None:
        self.pages.tell(self, agent)


class ProjectPages:
    """Written pages, in up to *room* bytes of memory.

    Of a page that depends on this server's URL, one is held for the URL asked for last: whoever sends us a thousand
    Host headers has pages written, and pushes nobody else's out.
    """

    def __init__(
        self,
        repository: Repository,
        fields: Fields,
        *,
        room: int,
        now: Callable[[], float],
        answered: Callable[[Project, str], None] | None = None,
    ) -> None:
        """*now* in seconds since the epoch; *answered* is told of each page and the User-Agent of who asked for it."""
        self._repository = repository
        self._fields = fields
        self._room = room
        self._now = now
        self._answered = answered
        self._held: OrderedDict[tuple[NormalizedName, str, Coding], Written] = OrderedDict()
        self._size = 0
        self._writing: dict[tuple[NormalizedName, str, Coding, str | None], asyncio.Task[Written]] = {}
        self.writes = 0
        """How many pages were ever written: what a warm request must not raise."""

    async def answer(
        self, request: web.BaseRequest, name: NormalizedName, query: str, base: str | None
    ) -> web.StreamResponse:
        """The page of *name*; *base* is the URL of this server, with a slash at its end, None where it is not known."""
        kind, code = negotiated(request, query)
        project = await self._repository.project(name)
        written = self._at_hand(project, kind, code, base)
        while written is None:
            written = await self._written(project, kind, code, base)
            # Writing takes a while, in which the name may become private: what was public then is not sent now.
            before, project = project, await self._repository.project(name, max_age=math.inf)
            if project is not before and project != before:
                written = self._at_hand(project, kind, code, base)
        if self._answered is not None:
            self._answered(project, request.headers.get("User-Agent", ""))
        headers = {**written.headers, SOURCE: _source(self._repository.seen(name), self._now())}
        response = reply(request, written.body, headers, written.etag)
        if not self._fields.private:  # else it is not for everyone, and credentials come first (decision 33)
            response[WARM] = Again(self, name, kind, code, base)
        return response

    def ready(self, asked: Again, second: int) -> Ready | None:
        """See Again."""
        project = self._repository.at_hand.page(asked.name)
        written = self._at_hand(project, asked.kind, asked.code, asked.base) if project is not None else None
        if written is None:
            return None
        ready = written.ready
        if ready.made_in != second:
            source = _source(self._repository.seen(asked.name), self._now())
            ready.made_in, ready.more = second, f"{SOURCE}: {source}\r\n".encode()
        return ready

    def tell(self, asked: Again, agent: str) -> None:
        """See Again."""
        written = self._held.get((asked.name, asked.kind, asked.code))
        if self._answered is not None and written is not None:
            self._answered(written.project, agent)

    def _at_hand(self, project: Project, kind: str, code: Coding, base: str | None) -> Written | None:
        key = project.name, kind, code
        held = self._held.get(key)
        if held is None or held.project is not project or held.base not in (EVERY_BASE, base):
            return None
        self._held.move_to_end(key)
        return held

    async def _written(self, project: Project, kind: str, code: Coding, base: str | None) -> Written:
        base = base if depends_on_base(project) else EVERY_BASE
        held = self._at_hand(project, kind, code, base)
        if held is not None:
            return held
        key = project.name, kind, code, base
        task = self._writing.get(key)
        if task is None:
            task = asyncio.create_task(self._write(project, kind, code, base))
            self._writing[key] = task
            task.add_done_callback(lambda _: self._writing.pop(key, None))
        written = await asyncio.shield(task)
        # Who joined the writing of an older version than its own writes again.
        return written if written.project is project else await self._written(project, kind, code, base)

    async def _write(self, project: Project, kind: str, code: Coding, base: str | None) -> Written:
        self.writes += 1
        # A resolver waits for one page after the other, and a thread takes longer to begin than a small page to write.
        render = partial(_render, project, kind, code, base)
        body, etag = render() if len(project.files) <= INLINE else await asyncio.to_thread(render)
        written = Written(project, base, body, etag, self._fields.page(kind, code), Ready(body, etag))
        key = project.name, kind, code
        old = self._held.pop(key, None)
        self._held[key] = written
        self._size += written.cost - (old.cost if old else 0)
        while self._size > self._room and len(self._held) > 1:
            _, evicted = self._held.popitem(last=False)
            self._size -= evicted.cost
        return written


def _render(project: Project, kind: str, code: Coding, base: str | None) -> tuple[bytes, str]:
    body = write_project(project, kind, base)
    if code == "gzip":
        body = gzip(body)
    # Of the bytes as sent: each coding is a representation of its own (RFC 9110, 8.8.3.3).
    return body, f'"{hashlib.sha256(body).hexdigest()}"'


def _source(seen: Seen | None, now: float) -> str:
    """Which mirror a page came from, and how many seconds ago it was last confirmed and fetched (RFC 8941)."""
    if seen is None:
        return "private"
    return f'"{seen.mirror}";age={max(0, int(now - seen.checked))};fetched={max(0, int(now - seen.fetched))}'


def negotiated(request: web.BaseRequest, query: str) -> tuple[str, Coding]:
    """The media type and the coding to answer with."""
    wanted = dict(parse_qsl(query)).get("format") if "format=" in query else None
    accept = ",".join(request.headers.getall("Accept", ()))
    return media_type(accept, wanted), coding(",".join(request.headers.getall("Accept-Encoding", ())))


def reply(request: web.BaseRequest, body: bytes, headers: Mapping[str, str], etag: str) -> web.StreamResponse:
    """200 with *body*, or 304 with the same validators (rule 60)."""
    headers = {**headers, "ETag": etag}
    if if_none_match(",".join(request.headers.getall("If-None-Match", ())), etag):
        headers.pop("Content-Type")
        headers.pop("Content-Encoding", None)
        return web.Response(status=304, headers=headers)
    if len(body) > SMALL:
        return InPieces(request, body, headers)
    return web.Response(body=body, headers=headers)


class RootPage:
    """The list of all projects, written as it is sent: never held in memory, and the same bytes for the same names."""

    def __init__(self, repository: Repository, fields: Fields, *, policy: Policy) -> None:
        self._repository = repository
        self._fields = fields
        self._rules = repr((policy.reserved, sorted(policy.overlay)))

    async def answer(
        self, request: web.BaseRequest, query: str, may: Callable[[NormalizedName], bool]
    ) -> web.StreamResponse:
        """The names of the index, and those of our own that *may* lets be read."""
        kind, code = negotiated(request, query)
        listing = await self._repository.listing()
        try:
            # In a thread: there may be as many names as users of a building think of, and as many rules.
            ours = await asyncio.to_thread(_shown, listing.private, may)
            headers = self._fields.page(kind, code)
            etag = await asyncio.to_thread(_listing_etag, listing, ours, self._rules, kind, code)
            validators = ",".join(request.headers.getall("If-None-Match", ()))
            if if_none_match(validators, etag):
                return reply(request, b"", headers, etag)
            chunks = write_root(self._names(listing, ours), kind)
            packed = _gzipped(chunks) if code == "gzip" else chunks
            return await _stream(request, packed, {**headers, "ETag": etag})
        finally:
            if listing.public is not None:
                close_soon(listing.public.handle)

    def _names(self, listing: Listing, ours: Iterable[NormalizedName]) -> Iterator[NormalizedName]:
        yield from ours
        if listing.public is not None:
            for name in _lines(listing.public.handle):
                if self._repository.shows(name, listing.private):
                    yield name


async def _stream(request: web.BaseRequest, chunks: Iterator[bytes], headers: Mapping[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    try:
        await response.prepare(request)
        if request.method != "HEAD":  # aiohttp would send what is written
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        # The client went away; raised on, aiohttp would write a traceback for it.
        cut(request)
    return response


def _lines(handle: BinaryIO) -> Iterator[NormalizedName]:
    rest = b""
    while chunk := handle.read(LINES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield NormalizedName(line.decode())


def _gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def _shown(names: Claims, may: Callable[[NormalizedName], bool]) -> list[NormalizedName]:
    return sorted(filter(may, names))


def _listing_etag(listing: Listing, ours: Iterable[NormalizedName], rules: str, kind: str, code: Coding) -> str:
    """Of all that the bytes are made of, since those are never all in one place.

    The index's names are hidden by *rules*, and by every private name, whether or not that is shown as one of *ours*.
    """
    public = listing.public.sha256 if listing.public else ""
    parts = [__version__, rules, kind, code, public, *ours, "", *sorted(listing.private)]
    return f'"{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"'
