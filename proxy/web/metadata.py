"""The METADATA beside a file, for answers that show what a project says of itself."""

from __future__ import annotations

from ..download import read_whole
from ..errors import NotFound
from ..repository import Repository
from ..simple.model import File

MAX_WHEEL = 32 * 2**20
"""Bytes of an upstream's wheel whose METADATA is fetched: where no mirror has it alone, all of the wheel may come."""


async def metadata_of(repository: Repository, file: File) -> bytes | None:
    """The METADATA that the page promises of *file*; None where it is not at hand, and not worth fetching.

    Takes as long as a mirror takes, and may be cancelled: what is being fetched comes nevertheless, for the next who
    asks.  Raise NotFound where it is not promised, and Unavailable or UpstreamDown where it cannot be had now.
    """
    beside = file.sibling()
    found = await repository.open(beside)
    if found is None:
        if file.size is None or file.size > MAX_WHEEL:
            return None
        return await read_whole(await repository.fetch(beside))
    return await read_whole(found)


async def metadata_at_hand(repository: Repository, file: File) -> bytes | None:
    """The same, where that asks nobody."""
    try:
        found = await repository.open(file.sibling())
    except NotFound:
        return None
    return None if found is None else await read_whole(found)
