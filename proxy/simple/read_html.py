"""Reads a project page in HTML (PEPs 503, 592, 629, 658, 714, 740, 792); knows no network."""

from __future__ import annotations

from urllib.parse import unquote, urljoin

from packaging.utils import NormalizedName

from ..errors import MirrorFailed
from .links import is_web_address, last_component
from .listing import Entry, Listing, check_api_version
from .markup import Anchor, Markup
from .model import Project
from .names import is_distribution

VERSION_META = "pypi:repository-version"
STATUS_META = "pypi:project-status"
REASON_META = "pypi:project-status-reason"

_SIZE_DIGITS = 18


def parse(body: bytes, name: NormalizedName) -> Markup:
    """The whole of *body* as markup; raise MirrorFailed where it breaks off or speaks another API version."""
    page = Markup()
    # Always UTF-8 (rule 28): a charset that the page's sender chooses could be one of Python's quadratic codecs.
    page.feed(body.decode("utf-8-sig", "replace"))
    if not page.close():
        raise MirrorFailed(f"The page that the mirror sent for {name} breaks off.")
    check_api_version(page.metas.get(VERSION_META, "1.0"))
    return page


def base_of(page: Markup, url: str) -> str:
    """What the page's links are relative to: its `<base href>` or, where that is none, its own *url*."""
    try:
        base = urljoin(url, (page.base or "").strip())
    except ValueError:
        return url
    return base if page.base and is_web_address(base) else url


def read_html(page: Markup, listing: Listing, name: NormalizedName) -> Project:
    """The project that *page* lists, its files gathered in *listing*; raise MirrorFailed where it is no index page.

    Captive portals, directory listings and notices answer 200 too: a page counts as an index only if it says so
    (PEP 629), links a file of this project, or is as empty as an index without files is.
    """
    for anchor in page.anchors:
        if "href" in anchor.attributes:
            listing.add(entry_of(anchor))
    empty = not page.anchors and page.title.lower().startswith("links for")
    if not (VERSION_META in page.metas or len(listing) or empty):
        raise MirrorFailed(f"What the mirror sent for {name} is a web page, but no index page.")
    return listing.project(status=page.metas.get(STATUS_META), reason=page.metas.get(REASON_META))


def entry_of(anchor: Anchor) -> Entry:
    """What *anchor*, which has an `href`, says of a file."""
    said = anchor.attributes
    link, _, fragment = said["href"].partition("#")
    filename = last_component(link.strip())
    return Entry(
        # The text is decoration to pip; it counts only where the link's end can be no filename (a download script).
        filename=filename if is_distribution(filename) else anchor.text,
        url=link,
        hashes=_hashes(fragment),
        requires_python=said.get("data-requires-python"),
        size=_number(said.get("data-size")),
        upload_time=said.get("data-upload-time"),
        yanked="data-yanked" in said and (said["data-yanked"] or True),
        data_core_metadata=said.get("data-core-metadata"),
        data_dist_info_metadata=said.get("data-dist-info-metadata"),
        provenance=said.get("data-provenance"),
    )


def _hashes(fragment: str) -> dict[str, str]:
    """`sha256=...` and the like, as PEP 503 puts them into a fragment; some mirrors write `%3D`."""
    pairs = (part.partition("=") for part in unquote(fragment).split("&"))
    return {kind.lower(): digest for kind, _, digest in pairs}


def _number(text: str | None) -> int | None:
    """PyTorch's `data-size`, which no PEP has but uv reads."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= _SIZE_DIGITS):
        return None
    return int(text)
