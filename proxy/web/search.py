"""`pip search` over XML-RPC: private projects, and names of the index that somebody here has asked for.

No index is ever asked because of a search.  What is not answered is a Fault with status 200: pip shows that as one
line, and any other status as a traceback (rule 91).
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web
from packaging.utils import NormalizedName

from ..errors import NotFound, ProxyError, Unavailable
from ..policy import Claims
from ..repository import May, Repository
from ..simple.core_metadata import read_core
from ..simple.legacy_document import newest, subject_of
from ..simple.model import File, Project
from ..simple.xmlrpc import (
    BAD_PARAMS,
    FAILED,
    MAX_CALL,
    NO_METHOD,
    NOT_READABLE,
    TYPE,
    Call,
    Fault,
    read_call,
    writable,
    write_answer,
    write_fault,
)
from ..storage import Names
from .fields import ALWAYS
from .metadata import metadata_at_hand
from .uploads import drain

MOST_HITS = 100
"""Projects in one answer."""

MOST_WORDS = 20
"""Words to look for."""

SECONDS = 5.0
"""In which a call comes in, and again in which summaries are looked through: what was found by then is the answer."""

SEEN_ROOM = 8 * 2**20
"""Characters of remembered names of the index, with their versions ..."""

LEAST = 200
"""... of which each counts for so many at least."""

SUMMARIES = 10_000
"""Summaries that are remembered ..."""

MAX_SUMMARY = 512
"""... and the characters of each."""

_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: any of *names* in a name, any of *summaries* in a summary; *both*, or one of the two."""

    names: tuple[str, ...]
    summaries: tuple[str, ...]
    both: bool

    def names_it(self, name: NormalizedName) -> bool:
        return any(word in name for word in self.names)

    def fits(self, name: NormalizedName, summary: str) -> bool:
        found = [self.names_it(name)] if self.names else []
        if self.summaries:
            folded = summary.casefold()
            found.append(any(word in folded for word in self.summaries))
        return bool(found) and (all(found) if self.both else any(found))

    def order(self, names: Iterable[NormalizedName]) -> list[NormalizedName]:
        """Those of *names* that can fit: what is called so first, and then what is called something like it."""
        by_name = not self.summaries or (self.both and bool(self.names))
        ranked = [(name not in self.names, not self.names_it(name), name) for name in names]
        return [name for _, other, name in sorted(ranked) if not (by_name and other)]


@dataclass(frozen=True, slots=True)
class Hit:
    """A project that fits."""

    name: NormalizedName
    version: str
    summary: str


class Search:
    """Answers calls of `search`, and no others."""

    def __init__(self, repository: Repository, names: Names) -> None:
        self._repository = repository
        self._names = names
        self._seen: OrderedDict[NormalizedName, str] = OrderedDict()
        self._size = 0
        self._summaries: OrderedDict[str, str] = OrderedDict()
        self._turn = asyncio.Semaphore(1)

    def saw(self, project: Project, _agent: str) -> None:
        """Remember a page that was answered just now: see ProjectPages's `answered`."""
        first = next(iter(project.files.values()), None)
        if first is None or first.private:
            return
        known, versions = self._seen.pop(project.name, None), "\n".join(project.versions)
        self._seen[project.name] = versions
        self._size += _weight(versions) - (0 if known is None else _weight(known))
        while self._size > SEEN_ROOM:
            _, dropped = self._seen.popitem(last=False)
            self._size -= _weight(dropped)

    async def answer(self, request: web.BaseRequest, may: May) -> web.StreamResponse:
        """The answer to the call that *request* brings, from someone who *may* read those private projects."""
        body = await _body(request)
        if isinstance(body, Fault):
            return await _refuse(request, body)
        call = await asyncio.to_thread(read_call, body)
        try:
            found = call if isinstance(call, Fault) else await self._called(call, may)
        except ProxyError as error:
            found = Fault(FAILED, str(error))
        if isinstance(found, Fault):
            return _response(write_fault(found))
        return _response(
            write_answer(
                [
                    {"name": hit.name, "summary": hit.summary, "version": hit.version, "_pypi_ordering": False}
                    for hit in found
                ]
            )
        )

    async def _called(self, call: Call, may: May) -> list[Hit] | Fault:
        if call.method != "search":
            return Fault(
                NO_METHOD,
                f"This server answers search and no other XML-RPC, so not {call.method[:100]}: "
                "projects are listed at /simple/, and each is described at /pypi/<name>/json.",
            )
        query = read_query(call.params)
        if isinstance(query, Fault):
            return query
        claims = await self._names.claimed()
        ours = await self._ours(query, claims, may)
        return [*ours, *await asyncio.to_thread(self._theirs, query, claims, list(self._seen), MOST_HITS - len(ours))]

    async def _ours(self, query: Query, claims: Claims, may: May) -> list[Hit]:
        standings = await self._names.standings()

        def readable() -> list[NormalizedName]:
            hidden = {name for name, standing in standings.items() if standing.status == "quarantined"}
            return query.order(filter(may, claims - hidden))

        hits: list[Hit] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS), self._turn:
                for name in await asyncio.to_thread(readable):
                    hit = await self._hit(name)
                    if hit is not None and query.fits(name, hit.summary):
                        hits.append(hit)
                        if len(hits) == MOST_HITS:
                            break
        return hits

    async def _hit(self, name: NormalizedName) -> Hit | None:
        files = await self._repository.uploaded(name)
        project = Project(name=name, files={file.filename: file for file in files})
        try:
            subject = await asyncio.to_thread(subject_of, project)
        except NotFound:
            return None
        wheel = subject.told_by
        summary = "" if wheel is None else await self._summary(name, wheel)
        return Hit(name, subject.release.versions[0], summary)

    async def _summary(self, name: NormalizedName, wheel: File) -> str:
        known = self._summaries.get(wheel.path)
        if known is None:
            try:
                metadata = await metadata_at_hand(self._repository, wheel)
            except Unavailable:
                return ""
            raw = await asyncio.to_thread(read_core, metadata or b"", name)
            known = writable(raw.get("summary", "")[:MAX_SUMMARY])
        self._summaries[wheel.path] = known
        self._summaries.move_to_end(wheel.path)
        if len(self._summaries) > SUMMARIES:
            self._summaries.popitem(last=False)
        return known

    def _theirs(self, query: Query, claims: Claims, seen: Iterable[NormalizedName], most: int) -> list[Hit]:
        public = (name for name in seen if self._repository.shows(name, claims))
        fitting = [name for name in query.order(public) if query.fits(name, "")][:most]
        versions = {name: newest(self._seen.get(name, "").split("\n")) for name in fitting}
        return [Hit(name, version, "") for name, version in versions.items() if version]


def read_query(params: tuple[object, ...]) -> Query | Fault:
    """What `search(spec, operator)` looks for, or why that makes no sense.

    A field that nobody holds here (author, keywords ...) fits no project.
    """
    spec, operator = (*params, "and")[:2] if params else ({}, "and")
    if not isinstance(spec, Mapping) or operator not in ("and", "or") or len(params) > 2:
        return Fault(BAD_PARAMS, 'search is called with what to look for, {"name": [...], "summary": [...]}, and "or".')
    words: dict[str, tuple[str, ...]] = {}
    for field, value in spec.items():
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(word, str) for word in listed):
            return Fault(BAD_PARAMS, "search looks for words.")
        if told := tuple(word for word in listed if word.strip()):
            words[str(field)] = told
    if sum(map(len, words.values())) > 2 * MOST_WORDS:
        return Fault(BAD_PARAMS, f"search looks for {MOST_WORDS} words at the most.")
    both = operator == "and"
    if both and not words.keys() <= {"name", "summary"}:
        return Query((), (), both)
    return Query(
        tuple(_SEPARATORS.sub("-", word.strip().lower()) for word in words.get("name", ())),
        tuple(word.strip().casefold() for word in words.get("summary", ())),
        both,
    )


async def _body(request: web.BaseRequest) -> bytes | Fault:
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_CALL:
                    return Fault(NOT_READABLE, f"A call may have {MAX_CALL} bytes.")
    except TimeoutError:
        return Fault(NOT_READABLE, f"The call did not come in within {SECONDS:g} seconds.")
    except web.RequestPayloadError:
        return Fault(NOT_READABLE, "The call is not packed as it says.")
    return bytes(body)


async def _refuse(request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
    """Answer before all of the body has come, and let the client send some more of it, so that it reads the answer."""
    response = _response(write_fault(fault))
    response.force_close()
    await response.prepare(request)
    await response.write_eof()
    try:
        await drain(request)
    except web.RequestPayloadError:
        # aiohttp would try to read the rest once more, and write a traceback for it.
        request.protocol.force_close()
    return response


def _weight(versions: str) -> int:
    return LEAST + len(versions)


def _response(body: bytes) -> web.Response:
    return web.Response(body=body, headers={**ALWAYS, "Content-Type": TYPE, "Cache-Control": "no-store"})
