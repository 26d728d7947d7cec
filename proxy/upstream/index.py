"""One server of an index, spoken to over HTTP and believed in nothing.

It knows URLs, limits and time; what a page says is read elsewhere, and what to do about a server that fails is for
the set of mirrors to decide.  So nothing is tried again here, and each failure says which mirror did what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp

from ..errors import MirrorFailed, ProxyError
from ..policy import PublicName
from ..simple.model import HTML, JSON, METADATA, TEXT
from ..transfers import Transfer
from . import answers
from .health import Watch
from .inflate import Inflater, inflate
from .presets import UNKNOWN
from .sessions import Sessions

ACCEPT = f"{JSON}, {HTML};q=0.2, {TEXT};q=0.01"

REDIRECTS = frozenset((301, 302, 303, 307, 308))

INLINE = 32 * 1024
"""Packed bytes that are unpacked on the event loop; more go to a thread."""


UNWATCHED = Watch()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a mirror may take, and how much it may send.  Times in seconds, sizes in bytes."""

    connect: float = 4
    """For the name to be looked up and one address to be dialled."""
    answer: float = 6
    """From then to the head of the answer; both together stay below the 15 s after which pip gives up."""
    stall: float = 20
    """Without a byte; and the time over which *low_speed* must hold."""
    low_speed: int = 4096
    """Bytes per second."""
    page: float = 60
    """For a whole project page, waiting for a turn included."""
    max_page: int = 64 * 1024**2
    """Unpacked."""
    max_root: int = 128 * 1024**2
    """Unpacked."""
    max_file: int = 16 * 1024**3
    redirects: int = 5
    """Hops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A project page as it came."""

    url: str
    """Where it was found after redirects: the base of its links."""
    content_type: str
    """As declared, with parameters; empty where nothing was."""
    etag: str | None
    last_modified: str | None
    serial: int | None
    """As the head tells it."""
    body: bytes
    """Unpacked."""


class Mirror:
    """One server of an index.  Errors of every verb: NotFound where it says that it has no such thing, MirrorFailed.

    Each question can be watched on its way.
    """

    def __init__(
        self,
        *,
        name: str,
        base: str,
        sessions: Sessions,
        limits: Limits,
        connections: int = 16,
        files: str | None = None,
        unknown: Collection[int] = UNKNOWN,
    ) -> None:
        """*base*: the URL of the project list, with its slash.  *connections*: how many pages, and files, at a time.

        *files*: what URLs of files begin with, before the official index's `<2>/<2>/<60>/`; beside *base* where None.
        *unknown*: the statuses that mean that it has no such thing.
        """
        self.name = name
        self.base = base
        self.files = files or urljoin(base, "../packages/")
        self._sessions = sessions
        self._limits = limits
        self._unknown = frozenset(unknown)
        self.connections = connections
        # Apart, so that a short question never waits for gigabytes to pass.
        self._questions = asyncio.Semaphore(connections)
        self._transfers = asyncio.Semaphore(connections)

    @property
    def hosts(self) -> frozenset[str]:
        """Where it is at home, with ports where they are told."""
        return frozenset(urlsplit(url).netloc for url in (self.base, self.files))

    @property
    def asks_no_more(self) -> bool:
        """Whether one more page would have to wait for another to come."""
        return self._questions.locked()

    @property
    def busy(self) -> bool:
        """Whether one more file would have to wait for another to end."""
        return self._transfers.locked()

    async def get_ready(self, count: int) -> None:
        """Have *count* connections open, as far as may be, for questions that will come soon; raise MirrorFailed."""
        with answers.in_a_sentence(self.name, slow="could not be reached in time"):
            async with asyncio.timeout(self._limits.connect):
                await self._sessions.get_ready(self.base, min(count, self.connections))

    async def page(
        self,
        name: PublicName,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        accept: str = ACCEPT,
        watch: Watch = UNWATCHED,
    ) -> Fetched | None:
        """The page of *name*; None where the one that came with *etag* and *last_modified* still holds."""
        return await self.fetch(
            f"{self.base}{name}/",
            what=f"project {name}",
            accept=accept,
            etag=etag,
            last_modified=last_modified,
            watch=watch,
        )

    async def fetch(
        self,
        url: str,
        *,
        what: str,
        accept: str,
        etag: str | None = None,
        last_modified: str | None = None,
        watch: Watch = UNWATCHED,
    ) -> Fetched | None:
        """*what* stands at *url*, of at most `max_page` bytes; None where what came with the conditions still holds."""
        conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        asked = {"Accept": accept, "Accept-Encoding": "gzip"}
        asked |= {header: value for header, value in conditions.items() if value}
        try:
            async with asyncio.timeout(self._limits.page), self._questions:
                response = await self._open(url, asked, watch)
                try:
                    if response.status == 304 and (etag or last_modified):
                        return None
                    if response.status != 200:
                        raise await self._refusal(response, what)
                    return await self._fetched(response)
                finally:
                    response.close()
        except TimeoutError:
            raise MirrorFailed(f"{self.name} took more than {self._limits.page:g} s over a page.") from None

    @asynccontextmanager
    async def transfer(
        self, url: str, *, begin: int, end: int | None, watch: Watch = UNWATCHED
    ) -> AsyncIterator[Transfer]:
        """The file at *url*, its bytes from *begin* to before *end*, or to its end where that is None.

        The chunks raise MirrorFailed where the line breaks or stalls, or brings more or less than it should.
        """
        asked = {"Accept-Encoding": "identity"}
        if begin or end is not None:
            asked["Range"] = f"bytes={begin}-" if end is None else f"bytes={begin}-{end - 1}"
        # The small file beside a wheel is a question, too: an install waits for it.
        slots = self._questions if url.endswith(METADATA) else self._transfers
        filename = answers.filename_of(url)
        async with slots:
            response = await self._open(url, asked, watch)
            try:
                if response.status not in (200, 206):
                    raise await self._refusal(response, filename)
                extent = answers.extent(response, mirror=self.name, filename=filename, begin=begin, end=end)
                if (extent.total or 0) > self._limits.max_file:
                    raise self._too_much(self._limits.max_file)
                part = None if extent.end is None else extent.end - extent.begin
                yield Transfer(
                    mirror=self.name,
                    begin=extent.begin,
                    total=extent.total,
                    chunks=self._body(response, self._limits.max_file - extent.begin, part),
                )
            finally:
                response.close()

    async def measure(self, url: str, *, watch: Watch = UNWATCHED) -> int | None:
        """The size in bytes of the file at *url*, None where the mirror does not tell; its body is not read.

        By a Range of one byte: some mirrors answer 400 to HEAD (decision 16).
        """
        filename = answers.filename_of(url)
        async with self._questions:
            response = await self._open(url, {"Accept-Encoding": "identity", "Range": "bytes=0-0"}, watch)
            try:
                if (nothing := answers.size_of_nothing(response)) is not None:
                    return nothing
                if response.status not in (200, 206):
                    raise await self._refusal(response, filename)
                return answers.size(response, mirror=self.name, filename=filename)
            finally:
                response.close()

    @asynccontextmanager
    async def root(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """The list of all projects: tens of megabytes, hence as a stream, unpacked."""
        async with self._questions:
            response = await self._open(self.base, {"Accept": ACCEPT, "Accept-Encoding": "gzip"}, UNWATCHED)
            try:
                if response.status != 200:
                    raise await self._refusal(response, "list of projects")
                yield self._unpacked(response, self._limits.max_root)
            finally:
                response.close()

    async def _open(self, url: str, headers: Mapping[str, str], watch: Watch) -> aiohttp.ClientResponse:
        """The head of the answer behind all redirects; whoever opens it closes it.

        They are followed here and not by aiohttp: each hop may lead out of what may be dialled.
        """
        here, seen = self.base, set[str]()
        while True:
            if here.startswith("https:") and not url.lower().startswith("https:"):
                raise MirrorFailed(f"{self.name} leads from https to something else, which is not followed.")
            if url in seen or len(seen) > self._limits.redirects:
                raise MirrorFailed(f"{self.name} redirects in a circle or too often.")
            watch.asks(url)
            response = await self._get(url, headers)
            if response.status not in REDIRECTS:
                watch.answered()
                return response
            location = response.headers.get("Location")
            response.release()
            if not location:
                raise MirrorFailed(f"{self.name} redirects to nowhere.")
            seen.add(url)
            here, url = url, self._joined(url, location)

    async def _get(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        with self._named():
            self._sessions.check(url)
        patience = self._limits.connect + self._limits.answer
        with answers.in_a_sentence(self._subject(url), slow=f"did not answer within {patience:g} s"):
            # Around all of it: looking up a name has no limit of its own.
            async with asyncio.timeout(patience):
                return await self._sessions.get(url, headers)

    async def _refusal(self, response: aiohttp.ClientResponse, what: str) -> ProxyError:
        """What an answer means that is not the one asked for, in the mirror's own words where it has some."""
        page = b""
        if response.status == 403:
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(self._limits.answer):
                    while len(page) < answers.WORDS and (chunk := await response.content.readany()):
                        page += chunk
        packed = "gzip" in response.headers.get("Content-Encoding", "")
        return answers.refusal(
            response,
            mirror=self._subject(str(response.url)),
            what=what,
            unknown=self._unknown,
            words=answers.words_of(page, packed=packed),
        )

    def _joined(self, url: str, location: str) -> str:
        try:
            return urljoin(url, location)
        except ValueError:
            raise MirrorFailed(f"{self.name} redirects to something that is no URL.") from None

    def _subject(self, url: str) -> str:
        """Who is to blame for what happens at *url*: hosts behind links and redirects have no name of their own."""
        host = urlsplit(url).hostname
        return self.name if host == urlsplit(self.base).hostname else f"{self.name}, at {host},"

    async def _fetched(self, response: aiohttp.ClientResponse) -> Fetched:
        packed = answers.is_packed(response, mirror=self.name)
        body = b"".join([chunk async for chunk in self._body(response, self._limits.max_page)])
        if packed:
            with self._named():
                if len(body) <= INLINE:
                    body = inflate(body, self._limits.max_page)
                else:
                    body = await asyncio.to_thread(inflate, body, self._limits.max_page)
        return Fetched(
            url=str(response.url),
            content_type=response.headers.get("Content-Type", ""),
            etag=answers.etag_of(response),
            last_modified=answers.last_modified_of(response),
            serial=answers.serial_of(response),
            body=body,
        )

    async def _unpacked(self, response: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
        packed = answers.is_packed(response, mirror=self.name)
        inflater = Inflater(limit)
        async for chunk in self._body(response, limit):
            if not packed:
                yield chunk
                continue
            with self._named():
                for piece in inflater.feed(chunk):
                    yield piece
                    await asyncio.sleep(0)  # one chunk may hold a thousand pieces
        if packed:
            with self._named():
                inflater.finish()

    async def _body(
        self, response: aiohttp.ClientResponse, limit: int, exactly: int | None = None
    ) -> AsyncIterator[bytes]:
        """The wire's bytes as they come; raise MirrorFailed beyond *limit* and where they cease or come too slow.

        *exactly*: how many of them there must be, where that is known.
        """
        limit = limit if exactly is None else min(limit, exactly)
        if (response.content_length or 0) > limit:
            raise self._too_much(limit)
        clock = asyncio.get_running_loop().time
        subject, stall = self._subject(str(response.url)), self._limits.stall
        left, waited, came = limit, 0.0, 0
        while True:
            began = clock()
            with answers.in_a_sentence(subject, slow=f"sent nothing for {stall:g} s"):
                async with asyncio.timeout(stall):
                    chunk = await response.content.readany()
            if not chunk:
                if left and exactly is not None:
                    raise MirrorFailed(f"{subject} ended {left} bytes too early.")
                return
            left -= len(chunk)
            if left < 0:
                raise self._too_much(limit)
            # Only time spent waiting for the mirror counts: whoever takes the bytes may be slow as well.
            waited, came = waited + clock() - began, came + len(chunk)
            if waited >= stall:
                if came < waited * self._limits.low_speed:
                    raise MirrorFailed(f"{subject} sent only {came} bytes in {waited:.1f} s.")
                waited, came = 0.0, 0
            yield chunk

    def _too_much(self, limit: int) -> MirrorFailed:
        return MirrorFailed(f"{self.name} sends more than the {limit} bytes that are allowed.")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Put the mirror's name before the words of those who do not know it."""
        try:
            yield
        except MirrorFailed as error:
            raise MirrorFailed(f"{self.name}: {error}") from error
