"""The integrity API (PEP 740): the provenance of private files; upstream files' is where their index says it is."""

from __future__ import annotations

import re

import msgspec
from aiohttp import hdrs, web
from packaging.utils import NormalizedName
from packaging.version import InvalidVersion, Version

from ..errors import NotFound
from ..repository import Repository
from ..simple.names import versions_of
from ..storage import Blob
from .fields import ALWAYS, Fields
from .sending import send_blob

INTEGRITY = "application/vnd.pypi.integrity.v1+json"
PLAIN = "application/json"

_REFUSED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|\Z)")


class Integrity:
    """Answers for the provenance that came with uploads."""

    def __init__(self, repository: Repository, fields: Fields) -> None:
        self._repository = repository
        self._fields = fields

    async def answer(
        self, request: web.BaseRequest, name: NormalizedName, version: str, filename: str
    ) -> web.StreamResponse:
        """The provenance of the private file *filename*, which stands on the page of *name* as of *version*.

        No index is asked: 404 for all that is not ours.  Whether *name* may be read was seen before.
        """
        kind = _kind(",".join(request.headers.getall(hdrs.ACCEPT, ())))
        if kind is None:
            return _said(406, f"A provenance object is JSON: ask for {INTEGRITY} or {PLAIN}.")
        try:
            blob = await self._find(name, version, filename)
        except NotFound as error:
            return _said(404, str(error))
        # Revalidated each time, as a page is: an index may add to the provenance of a file (PEP 740).
        return await send_blob(request, blob, headers=self._fields.page(kind, "identity"))

    async def _find(self, name: NormalizedName, version: str, filename: str) -> Blob:
        if filename not in {file.filename for file in await self._repository.uploaded(name)}:
            raise NotFound(f"{filename} is not a private file of {name} here.")
        file = await self._repository.find_private(filename)
        if not any(_same(version, own) for own in versions_of(name, [filename])):
            raise NotFound(f"{filename} is not a file of that version of {name}.")
        blob = await self._repository.open(file.attested())
        assert blob is not None, "the Store gives what it holds, or raises NotFound"
        return blob


def _same(version: str, own: str) -> bool:
    """Whether both are one version, in whatever spelling (PEP 440)."""
    try:
        return Version(version) == Version(own)
    except InvalidVersion:
        return version == own


def _kind(accept: str) -> str | None:
    """The media type to answer with, None where *accept* takes none of ours; no header takes anything.

    The bytes are the same under either name, so of qualities no more counts than that 0 is a no.
    """
    ranges = [part.strip() for part in accept.lower().split(",")]
    wanted = {part.partition(";")[0].strip(): _REFUSED.search(part) is None for part in ranges if part}
    for kind in (INTEGRITY, PLAIN):
        said = [wanted[name] for name in (kind, "application/*", "*/*") if name in wanted]
        if not wanted or (said and said[0]):
            return kind
    return None


def _said(status: int, sentence: str) -> web.Response:
    """A sentence as JSON, which is all that clients of this API read."""
    headers = {**ALWAYS, "Content-Type": PLAIN, "Cache-Control": "no-store"}
    return web.Response(status=status, body=msgspec.json.encode({"message": sentence}), headers=headers)
