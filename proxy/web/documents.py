"""The legacy JSON documents over HTTP: pip-tools, renovate and dependabot ask for them beside the pages."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from packaging.utils import NormalizedName, canonicalize_version

from ..errors import NotFound, Unavailable
from ..repository import Repository
from ..simple.legacy_document import MAX_VERSION, Subject, subject_of
from ..simple.model import Project
from ..simple.negotiate import coding
from .fields import Fields
from .index import FILE_COST, Coding, gzip, reply
from .metadata import metadata_of

JSON = "application/json"

PATIENCE = 1.0
"""Seconds that a document waits for the metadata of the release it tells of; what is late is in the next one."""

RETRY = 60.0
"""Seconds for which a document without it is answered as it is."""

AT_ONCE = 2
"""Documents that are written at the same time: each keeps a processor busy."""

LEAST = 1000
"""Bytes of memory that anything held counts for at least."""

Key = tuple[NormalizedName, str | None, Coding]


@dataclass(frozen=True, slots=True)
class Written:
    """A document in one coding."""

    project: Project
    base: str
    body: bytes
    etag: str
    headers: Mapping[str, str]
    until: float
    """Clock seconds after which it is written anew, as something may be known by then that was not."""

    @property
    def cost(self) -> int:
        """Bytes of memory, those of the project among them, which this keeps alive."""
        return LEAST + len(self.body) + FILE_COST * len(self.project.files)


class Documents:
    """Written documents, in up to *room* bytes of memory; of each, that for the URL asked for last."""

    def __init__(
        self,
        repository: Repository,
        fields: Fields,
        *,
        room: int,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*patience*: seconds, see PATIENCE; *clock*: seconds that never jump."""
        self._repository = repository
        self._fields = fields
        self._room = room
        self._patience = patience
        self._clock = clock
        self._held: OrderedDict[Key, Written] = OrderedDict()
        self._size = 0
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.writes = 0
        """How many documents were ever written: what a warm request must not raise."""

    async def answer(
        self, request: web.BaseRequest, name: NormalizedName, version: str | None, base: str | None
    ) -> web.StreamResponse:
        """The document of *name*, or of its *version*; raise NotFound where there are no files, however private.

        *base* is the absolute URL of this server with a slash at its end.  Without one, links have no host.
        """
        code = coding(",".join(request.headers.getall("Accept-Encoding", ())))
        # However it is spelled, it is the same document.
        version = None if version is None else canonicalize_version(_short(version))
        project = await self._repository.project(name)
        while (written := self._at_hand(project, version, code, base or "/")) is None:
            written = await self._write(project, version, code, base or "/")
            # Meanwhile the name may have become private: what was public then is not sent now.
            before, project = project, await self._repository.project(name, max_age=math.inf)
            if project is before or project == before:
                break
        return reply(request, written.body, written.headers, written.etag)

    def _at_hand(self, project: Project, version: str | None, code: Coding, base: str) -> Written | None:
        key = project.name, version, code
        held = self._held.get(key)
        if held is None or held.project is not project or held.base != base or held.until <= self._clock():
            return None
        self._held.move_to_end(key)
        return held

    async def _write(self, project: Project, version: str | None, code: Coding, base: str) -> Written:
        subject = await asyncio.to_thread(subject_of, project, version)
        metadata, settled = await self._metadata(subject)
        async with self._turns:
            # Whoever waited for a turn may find that another has written it.
            held = self._at_hand(project, version, code, base)
            if held is not None:
                return held
            self.writes += 1
            body, etag = await asyncio.to_thread(_render, subject, metadata, code, base)
        until = math.inf if settled else self._clock() + RETRY
        written = Written(project, base, body, etag, self._fields.page(JSON, code), until)
        self._keep((project.name, version, code), written)
        return written

    async def _metadata(self, subject: Subject) -> tuple[bytes | None, bool]:
        """The METADATA that tells of it, None where that is not known; and whether this is the last word."""
        file = subject.told_by
        if file is None:
            return None, True
        try:
            async with asyncio.timeout(self._patience):
                metadata = await metadata_of(self._repository, file)
        except NotFound:
            return None, True
        except (TimeoutError, Unavailable):
            return None, False
        return metadata, metadata is not None

    def _keep(self, key: Key, written: Written) -> None:
        old = self._held.pop(key, None)
        self._held[key] = written
        self._size += written.cost - (old.cost if old else 0)
        while self._size > self._room and len(self._held) > 1:
            _, evicted = self._held.popitem(last=False)
            self._size -= evicted.cost


def _render(subject: Subject, metadata: bytes | None, code: Coding, base: str) -> tuple[bytes, str]:
    body = subject.write(metadata, base)
    if code == "gzip":
        body = gzip(body)
    # Of the bytes as sent: each coding is a representation of its own (RFC 9110, 8.8.3.3).
    return body, f'"{hashlib.sha256(body).hexdigest()}"'


def _short(version: str) -> str:
    if len(version) > MAX_VERSION:
        raise NotFound("That is not a version.")
    return version
