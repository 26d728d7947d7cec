"""Reads a flat page of links (pip's `--find-links`) and sorts its files by project; knows no network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
from packaging.utils import NormalizedName

from ..errors import MirrorFailed
from .listing import Listing, rivals_of
from .model import File, Project
from .names import projects_of, versions_of
from .read_html import base_of, entry_of, parse

_FIRST_WORD = re.compile(r"[^-_.]*")


def read_flat(body: bytes, *, content_type: str, url: str, name: NormalizedName, origin: str, base: str) -> Project:
    """All files on the page, of whatever projects, as one Project under the stand-in *name*.

    The rest is as in read.read_project.  Where links into different folders end in one filename, the first counts.
    Raise MirrorFailed for what links no distribution at all: a captive portal, a notice, an error.
    """
    page = parse(body, name)
    listing = Listing(name=name, url=base_of(page, url), origin=origin, base=base, flat=True)
    for anchor in page.anchors:
        if "href" in anchor.attributes:
            listing.add(entry_of(anchor))
    if not len(listing):
        raise MirrorFailed("What the mirror sent is no page of links: no distribution is among them.")
    return listing.project()


class ByProject:
    """The files of a flat page, as the pages that a Simple API would have made of them.

    Which projects a file may belong to is found out for one project at a time: a lying page may hold a million names
    that can be split at twenty hyphens each.
    """

    def __init__(self, files: Mapping[str, File]) -> None:
        """Takes a while for a big page: some 0.1 s for 100,000 files."""
        self._files = files
        self._by_first_word: dict[str, list[str]] = {}
        for filename in files:
            self._by_first_word.setdefault(_first_word(filename), []).append(filename)

    def page(self, name: NormalizedName) -> Project | None:
        """The files that can be *name*'s, and with each the other projects that it can belong to; None for none."""
        files: dict[str, File] = {}
        rivals = set[NormalizedName]()
        # Whatever comes before a filename's first hyphen, all that it can belong to begin with the same word.
        for filename in self._by_first_word.get(name.partition("-")[0], ()):
            others = rivals_of(filename, name)
            if others is not None:
                file = self._files[filename]
                files[filename] = msgspec.structs.replace(file, rivals=others) if others else file
                rivals.update(others)
        if not files:
            return None
        return Project(name=name, files=files, versions=versions_of(name, files), rivals=frozenset(rivals))

    def names(self) -> Iterator[NormalizedName]:
        """The projects, each once; where a filename can be split at several hyphens, only the shortest is told."""
        seen = set[NormalizedName]()
        for filename in self._files:
            for name in projects_of(filename)[:1]:
                if name not in seen:
                    seen.add(name)
                    yield name


def _first_word(filename: str) -> str:
    found = _FIRST_WORD.match(filename)
    return found[0].lower() if found else ""
