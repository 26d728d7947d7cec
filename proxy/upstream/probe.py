"""Looks at one mirror as an operator would who has just written its URL: what it gives, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

from ..errors import MirrorFailed, NotFound
from ..policy import PublicName
from ..simple.model import METADATA, File, Project
from ..simple.read import read_project, serial_of
from ..simple.read_flat import read_flat
from .flat import FlatMirror
from .health import Declined
from .index import Fetched, Mirror

ENDINGS = ("simple/", "web/simple/", "pypi/simple/", "pypi/web/simple/", "../", "../simple/", "../web/simple/")
"""What an operator's URL may lack or have too much of, in the order in which it is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found out about one mirror."""

    mirror: str
    url: str
    seconds: float
    """From the question for a page to its last byte."""
    gives: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    """What has to be found elsewhere, or cannot be had."""
    problem: str | None = None
    """Why it is of no use: one sentence."""
    instead: str | None = None
    """The URL that was probably meant."""


async def probe(mirror: Mirror, *, name: PublicName, at: Callable[[str], Mirror]) -> Finding:
    """Ask *mirror* for the page of *name*, which its index surely has; *at* makes a mirror of another base URL."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        fetched, project = await _page(mirror, name)
    except (MirrorFailed, NotFound) as error:
        seconds = clock() - began
        # The address of a page of links is its own: there is no telling what it should be.  And who refuses to answer
        # is not asked six times more.
        hopeless = isinstance(mirror, FlatMirror) or isinstance(error, Declined)
        instead = None if hopeless else await _instead(mirror.base, name, at)
        return Finding(mirror=mirror.name, url=mirror.base, seconds=seconds, problem=str(error), instead=instead)
    seconds = clock() - began
    said = _said_on_page(fetched, project) | await _said_of_files(mirror, project)
    return Finding(
        mirror=mirror.name,
        url=mirror.base,
        seconds=seconds,
        gives=tuple(what for what, there in said.items() if there),
        lacks=tuple(what for what, there in said.items() if not there),
    )


async def _page(mirror: Mirror, name: PublicName) -> tuple[Fetched, Project]:
    """The page of *name* as it came and as it reads; raise MirrorFailed where no file is on it."""
    fetched = await mirror.page(name)
    if fetched is None:
        raise MirrorFailed(f"{mirror.name} says that a page is unchanged which was never fetched.")
    project = await asyncio.to_thread(
        read_flat if isinstance(mirror, FlatMirror) else read_project,
        fetched.body,
        content_type=fetched.content_type,
        url=fetched.url,
        name=name,
        origin="probe",
        base=mirror.base,
    )
    if not project.files:
        raise MirrorFailed(f"{mirror.name} lists no file of {name}.")
    return fetched, project


async def _instead(base: str, name: PublicName, at: Callable[[str], Mirror]) -> str | None:
    """The first URL near *base* under which there is an index.  All are asked at once: a dead server takes its time."""

    async def is_one(url: str) -> bool:
        try:
            await _page(at(url), name)
        except (MirrorFailed, NotFound):
            return False
        return True

    urls = [url for url in dict.fromkeys(urljoin(base, ending) for ending in ENDINGS) if url != base]
    found = await asyncio.gather(*map(is_one, urls))
    return next((url for url, good in zip(urls, found, strict=True) if good), None)


def _said_on_page(fetched: Fetched, project: Project) -> dict[str, bool]:
    files = project.files.values()
    return {
        "JSON": fetched.body.lstrip()[:1] == b"{",
        "hashes": all(file.sha256 for file in files),
        "sizes": all(file.size is not None for file in files),
        "upload times": all(file.upload_time is not None for file in files),
        "serials": fetched.serial is not None or serial_of(fetched.body) is not None,
    }


async def _said_of_files(mirror: Mirror, project: Project) -> dict[str, bool]:
    """What holds for files is asked of one of them, a wheel if there is any, as only wheels have metadata beside."""
    files = [*project.files.values()]
    wheels = [file for file in files if file.filename.endswith(".whl")]
    file = (wheels or files)[-1]
    said = {"files": await _gives(mirror, file, begin=0), "ranges": await _gives(mirror, file, begin=1)}
    if wheels:
        metadata = file.sibling() if file.core_metadata is not False else None
        said[METADATA] = metadata is not None and await _gives(mirror, metadata, begin=0)
    return said


async def _gives(mirror: Mirror, file: File, *, begin: int) -> bool:
    """Whether two bytes of *file* come, from *begin* on."""
    try:
        async with mirror.transfer(file.url, begin=begin, end=begin + 2) as transfer:
            return transfer.begin == begin
    except (MirrorFailed, NotFound):
        return False
