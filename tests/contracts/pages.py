"""What every Pages must do.  Subclass it with a `pages` fixture."""

from __future__ import annotations

import os

import msgspec
from packaging.utils import canonicalize_name

from proxy.policy import Policy, PublicName
from proxy.storage import Missing, Pages, Snapshot

from ..make import file

SNAPSHOT = Snapshot(
    mirror="first",
    url="http://mirror.example/simple/numpy/",
    content_type="text/html",
    etag='"one"',
    last_modified=None,
    fetched=1000.0,
    checked=1000.0,
)


def public(name: str) -> PublicName:
    """*name* as only the policy gives it out."""
    found = Policy().route(canonicalize_name(name), frozenset()).public
    assert found is not None
    return found


NUMPY, SCIPY = public("numpy"), public("scipy")


class PagesContract:
    async def test_nothing_is_remembered_of_a_page_never_seen(self, pages: Pages) -> None:
        assert await pages.load("tuna", NUMPY) is None

    async def test_a_page_comes_back_as_it_was_saved(self, pages: Pages) -> None:
        await pages.save("tuna", NUMPY, SNAPSHOT, b"<a href=numpy>")
        assert await pages.load("tuna", NUMPY) == (SNAPSHOT, b"<a href=numpy>")

    async def test_a_page_of_megabytes_comes_back_as_it_was_saved(self, pages: Pages) -> None:
        body = os.urandom(3_000_000)
        await pages.save("tuna", NUMPY, SNAPSHOT, body)
        assert await pages.load("tuna", NUMPY) == (SNAPSHOT, body)

    async def test_a_304_keeps_the_bytes(self, pages: Pages) -> None:
        await pages.save("tuna", NUMPY, SNAPSHOT, b"page")
        later = msgspec.structs.replace(SNAPSHOT, checked=2000.0)
        await pages.save("tuna", NUMPY, later, None)
        assert await pages.load("tuna", NUMPY) == (later, b"page")

    async def test_a_new_page_replaces_the_old(self, pages: Pages) -> None:
        await pages.save("tuna", NUMPY, SNAPSHOT, b"page" * 100_000)
        later = msgspec.structs.replace(SNAPSHOT, etag='"two"', fetched=2000.0, checked=2000.0)
        await pages.save("tuna", NUMPY, later, b"new page")
        assert await pages.load("tuna", NUMPY) == (later, b"new page")

    async def test_an_absent_page_is_remembered_as_absent(self, pages: Pages) -> None:
        absent = msgspec.structs.replace(SNAPSHOT, absent=True, etag=None)
        await pages.save("tuna", NUMPY, absent, b"")
        assert await pages.load("tuna", NUMPY) == (absent, b"")

    async def test_a_state_whose_bytes_were_never_seen_is_no_page(self, pages: Pages) -> None:
        await pages.save("tuna", NUMPY, SNAPSHOT, None)
        assert await pages.load("tuna", NUMPY) is None

    async def test_indexes_and_projects_are_kept_apart(self, pages: Pages) -> None:
        await pages.save("tuna", NUMPY, SNAPSHOT, b"numpy of tuna")
        await pages.save("ustc", NUMPY, SNAPSHOT, b"numpy of ustc")
        await pages.save("tuna", SCIPY, SNAPSHOT, b"scipy of tuna")
        assert await pages.load("tuna", NUMPY) == (SNAPSHOT, b"numpy of tuna")
        assert await pages.load("ustc", NUMPY) == (SNAPSHOT, b"numpy of ustc")
        assert await pages.load("tuna", SCIPY) == (SNAPSHOT, b"scipy of tuna")
        assert await pages.load("ustc", SCIPY) is None

    async def test_what_is_missed_on_a_page_and_its_serial_come_back_with_it(self, pages: Pages) -> None:
        lost = file("numpy-1.0.tar.gz", origin="tuna", yanked="broken", core_metadata={"sha256": "ab" * 32})
        gone = file("numpy-0.9.tar.gz", origin="tuna", size=None, upload_time=None)
        missing = (Missing(file=lost, since=900.0, serial=41), Missing(file=gone, since=800.0, removed=True))
        snapshot = msgspec.structs.replace(SNAPSHOT, serial=42, missing=missing)
        await pages.save("tuna", NUMPY, snapshot, b"page")
        assert await pages.load("tuna", NUMPY) == (snapshot, b"page")

    async def test_a_forgotten_page_is_gone_and_no_other_one(self, pages: Pages) -> None:
        for origin, name in (("tuna", NUMPY), ("tuna", SCIPY), ("ustc", NUMPY)):
            await pages.save(origin, name, SNAPSHOT, b"page" * 100_000)
        await pages.forget("tuna", NUMPY)
        await pages.forget("tuna", public("never-seen"))
        assert await pages.load("tuna", NUMPY) is None
        assert await pages.load("tuna", SCIPY) is not None
        assert await pages.load("ustc", NUMPY) is not None
        await pages.save("tuna", NUMPY, SNAPSHOT, None)
        assert await pages.load("tuna", NUMPY) is None
