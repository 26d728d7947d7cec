"""The one rule, precedence, and claims, over stand-ins for the edges."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import random
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from proxy.download import Download, Downloads
from proxy.errors import BadRequest, FileExists, Forbidden, NotFound, UpstreamDown
from proxy.policy import Policy
from proxy.publishing import Publishing, Selection
from proxy.repository import Repository
from proxy.simple.model import File, Project
from proxy.simple.names import NamePattern
from proxy.storage import Blob, Standing

from .fake_upstream import FakeSources, FakeUpstream, Line
from .fakes import MemoryCache, MemoryStore
from .make import file

SDK = canonicalize_name("acme-sdk")
NUMPY = canonicalize_name("numpy")


class House:
    """A Repository and a Publishing, with everything behind them in reach."""

    def __init__(
        self, folder: Path, policy: Policy | None = None, *, index: bool = True, store: MemoryStore | None = None
    ) -> None:
        self.folder = folder
        self.store = store or MemoryStore()
        self.cache = MemoryCache()
        self.upstream = FakeUpstream()
        self.sources = FakeSources([Line(b"bytes")])
        self.downloads = Downloads(folder / "incoming", self.sources, self.cache, self.store)
        self.policy = policy or Policy()
        upstream = self.upstream if index else None
        self.repository = Repository(
            store=self.store,
            names=self.store,
            pins=self.store,
            cache=self.cache,
            downloads=self.downloads,
            upstream=upstream,
            root=None,
            policy=self.policy,
        )
        self.publishing = Publishing(store=self.store, names=self.store, upstream=upstream, policy=self.policy)

    async def upload(self, name: str, filename: str, body: bytes = b"ours") -> File:
        """What an uploader would be told of: the file as it was described."""
        path = self.folder / f"{hashlib.sha256(body).hexdigest()}.{secrets.token_hex(4)}.upload"
        path.write_bytes(body)
        listed = file(filename, body)
        await self.publishing.upload(canonicalize_name(name), listed, path, None)
        return listed

    async def page(self, name: str) -> Project:
        """What is shown of *name*."""
        return await self.repository.project(canonicalize_name(name))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def names(files: object) -> list[str]:
    return list(files)  # type: ignore[call-overload, no-any-return]  # a mapping by filename


async def test_the_index_is_never_asked_about_an_uploaded_name(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    evil = house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    page = await house.repository.project(SDK)
    assert names(page.files) == ["acme_sdk-1.0-py3-none-any.whl"]
    with pytest.raises(NotFound):
        await house.repository.find(evil.path, evil.filename)
    assert house.upstream.asked == []


async def test_a_reserved_name_without_files_is_an_empty_page_and_not_absent(tmp_path: Path) -> None:
    """On 404 uv goes on to the next index: the confusion we prevent (decision 2)."""
    house = House(tmp_path, Policy(reserved=(NamePattern("acme-*"),)))
    page = await house.repository.project(SDK)
    assert (page.files, page.status) == ({}, None)
    assert page.status_reason == "Private here: no file was uploaded yet, or all were deleted."
    assert house.upstream.asked == []


async def test_a_name_stays_private_after_its_last_file_is_gone(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    await house.publishing.delete(SDK, Selection(), dry_run=False)
    assert (await house.repository.project(SDK)).files == {}
    assert house.upstream.asked == []


async def test_what_was_fetched_before_a_claim_is_out_of_reach_after_it(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    public = house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    found = await house.repository.fetch(await house.repository.find(public.path, public.filename))
    assert isinstance(found, Download)
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    with pytest.raises(NotFound):
        await house.repository.find(public.path, public.filename)


@pytest.mark.parametrize("trouble", [None, "down", "vanished"])
async def test_a_name_claimed_while_the_index_is_asked_shows_only_ours(tmp_path: Path, trouble: str | None) -> None:
    """Also where the question failed, as it does when it is withdrawn."""
    house = House(tmp_path, Policy(claim="allow"))
    house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    house.upstream.gate.clear()
    asking = asyncio.create_task(house.repository.project(SDK))
    while not house.upstream.asked:
        await asyncio.sleep(0)
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    if trouble:
        setattr(house.upstream, trouble, True)
    house.upstream.gate.set()
    assert names((await asking).files) == ["acme_sdk-1.0-py3-none-any.whl"]


async def test_an_overlaid_name_is_answered_from_both_sides_and_ours_wins(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(overlay=frozenset({NUMPY})))
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl", b"theirs")
    house.upstream.publish("numpy", "numpy-2.0-py3-none-any.whl", b"theirs")
    ours = await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    page = await house.repository.project(NUMPY)
    assert names(page.files) == ["numpy-1.0-py3-none-any.whl", "numpy-2.0-py3-none-any.whl"]
    assert page.files["numpy-1.0-py3-none-any.whl"].sha256 == ours.sha256
    assert page.files["numpy-1.0-py3-none-any.whl"].private
    found = await house.repository.fetch(await house.repository.find(ours.path, ours.filename))
    assert isinstance(found, Blob)
    found.handle.close()


async def test_an_overlaid_name_is_not_answered_in_part_while_the_index_is_down(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(overlay=frozenset({NUMPY})))
    await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    house.upstream.down = True
    with pytest.raises(UpstreamDown):
        await house.repository.project(NUMPY)


async def test_an_overlaid_name_that_the_index_lacks_is_ours(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(overlay=frozenset({NUMPY})))
    await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    assert names((await house.repository.project(NUMPY)).files) == ["numpy-1.0-py3-none-any.whl"]


async def test_an_unchanged_page_is_the_same_object(tmp_path: Path) -> None:
    """The web side writes and compresses a page once for each object."""
    house = House(tmp_path, Policy(claim="allow"))
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    for name in (NUMPY, SDK):
        before = await house.repository.project(name)
        assert await house.repository.project(name) is before
    ours = await house.repository.project(SDK)
    await house.upload("other", "other-1.0-py3-none-any.whl", b"other")
    assert await house.repository.project(SDK) is ours
    await house.upload("acme-sdk", "acme_sdk-1.1-py3-none-any.whl", b"new")
    assert len((await house.repository.project(SDK)).files) == 2


async def test_a_file_is_found_though_its_page_was_never_asked_for(house: House) -> None:
    """Lock files hold file URLs alone."""
    listed = house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    assert await house.repository.find(listed.path, listed.filename) == listed


async def test_a_file_is_served_only_under_the_path_that_its_page_links(house: House) -> None:
    listed = house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    with pytest.raises(NotFound):
        await house.repository.find("00/11/" + "2" * 60, listed.filename)


async def test_a_file_whose_page_cannot_be_had_is_unknown_and_not_absent(house: House) -> None:
    listed = house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    house.upstream.down = True
    with pytest.raises(UpstreamDown):
        await house.repository.find(listed.path, listed.filename)


@pytest.mark.parametrize(
    "filename", ["acme_sdk-1.0-1.tar.gz", "acme-sdk-1.0-1.tar.gz", "acme_sdk-1.0-1.tar.gz.metadata"]
)
async def test_where_one_reading_of_a_filename_is_private_the_index_hears_of_none(
    tmp_path: Path, filename: str
) -> None:
    """It may be 1.0.post1 of acme-sdk or version 1 of acme-sdk-1-0 (decision 5)."""
    house = House(tmp_path, Policy(claim="allow"))
    await house.upload("acme-sdk", "acme_sdk-1.0.tar.gz")
    listed = house.upstream.publish("acme-sdk-1-0", "acme_sdk-1.0-1.tar.gz")
    with pytest.raises(NotFound):
        await house.repository.find(listed.path, filename)
    assert house.upstream.asked == []
    page = await house.repository.project(canonicalize_name("acme-sdk-1-0"))
    assert page.files == {}  # what cannot be fetched is not listed either


async def test_without_an_index_only_our_own_names_exist(tmp_path: Path) -> None:
    house = House(tmp_path, index=False)
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    assert names((await house.repository.project(SDK)).files) == ["acme_sdk-1.0-py3-none-any.whl"]
    with pytest.raises(NotFound):
        await house.repository.project(NUMPY)


async def test_a_private_file_is_found_by_its_name_alone(tmp_path: Path) -> None:
    """As our forerunner linked it (decision 34); never an upstream's."""
    house = House(tmp_path, Policy(claim="allow"))
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    public = house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    assert (await house.repository.find_private("acme_sdk-1.0-py3-none-any.whl")).private
    with pytest.raises(NotFound):
        await house.repository.find_private(public.filename)
    assert house.upstream.asked == []


async def test_a_rival_claimed_while_the_index_is_asked_takes_its_files_away(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    listed = house.upstream.publish("acme-sdk-1-0", "acme_sdk-1.0-1.tar.gz")
    house.upstream.gate.clear()
    asking = asyncio.create_task(house.repository.project(canonicalize_name("acme-sdk-1-0")))
    while not house.upstream.asked:
        await asyncio.sleep(0)
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    house.upstream.gate.set()
    assert (await asking).files == {}
    with pytest.raises(NotFound):
        await house.repository.find(listed.path, listed.filename)


async def test_our_own_file_of_an_overlaid_name_is_served_while_the_index_is_down(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(overlay=frozenset({NUMPY})))
    ours = await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    house.upstream.down = True
    assert (await house.repository.find(ours.path, ours.filename)).private
    assert (await house.repository.find_private(ours.filename)).private


async def test_a_page_whose_rivals_are_public_is_not_copied(house: House) -> None:
    """Else each such page would be held in memory twice."""
    house.upstream.publish("demo", "demo-1.0-1.tar.gz")
    name = canonicalize_name("demo")
    assert await house.repository.project(name) is house.upstream.pages[name]


async def test_a_filename_of_very_many_hyphens_is_no_question_to_anybody(house: House) -> None:
    with pytest.raises(NotFound):
        await house.repository.find("00/11/" + "2" * 60, "a" + "-1" * 60 + ".zip")
    assert house.upstream.asked == []


# Rights, and what an operator says of a project


@pytest.mark.parametrize("filename", ["acme_sdk-1.0-py3-none-any.whl", "acme_sdk-9.9-py3-none-any.whl"])
async def test_a_private_project_says_nothing_of_its_files_to_who_may_not_read_it(house: House, filename: str) -> None:
    """Neither which there are nor which there are not; and never 404, over which uv goes on."""
    ours = await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    public = house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")

    def may(name: str) -> bool:
        return name not in {"acme-sdk", "numpy"}

    with pytest.raises(Forbidden, match="The files of acme-sdk are not for you"):
        await house.repository.find(ours.path, filename, may=may)
    with pytest.raises(Forbidden, match="The files of acme-sdk are not for you"):
        await house.repository.find_private(filename, may=may)
    # Rights are about private projects alone.
    assert await house.repository.find(public.path, public.filename, may=may) == public


class Gated(MemoryStore):
    """One that tells of files only once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate = asyncio.Event(), asyncio.Event()

    async def files(self, name: NormalizedName) -> tuple[File, ...]:
        self.asked.set()
        await self.gate.wait()
        return await super().files(name)


@pytest.mark.parametrize("flat", [False, True])
async def test_a_file_that_becomes_private_while_it_is_looked_for_is_none_for_who_may_not_read_it(
    tmp_path: Path, flat: bool
) -> None:
    store = Gated()
    house = House(tmp_path, store=store)
    listed = file("acme_sdk-1.0-py3-none-any.whl", b"ours")
    (tmp_path / "body").write_bytes(b"ours")
    look = house.repository
    found = asyncio.create_task(
        look.find_private(listed.filename, may=lambda name: False)
        if flat
        else look.find(listed.path, listed.filename, may=lambda name: False)
    )
    await store.asked.wait()
    await store.add(SDK, listed, tmp_path / "body", None)
    store.gate.set()
    with pytest.raises(Forbidden, match="not for you"):
        await found


async def test_another_reading_of_a_filename_that_may_be_read_is_found(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    ours = await house.upload("acme-sdk-1-0", "acme_sdk-1.0-1.tar.gz", b"other")
    found = await house.repository.find(ours.path, ours.filename, may=lambda name: name != SDK)
    assert found.sha256 == ours.sha256
    found = await house.repository.find_private(ours.filename, may=lambda name: name != SDK)
    assert found.sha256 == ours.sha256


@pytest.mark.parametrize(
    ("name", "private"), [("acme-sdk", True), ("acme", True), ("numpy", True), ("pandas", False), ("other", False)]
)
async def test_what_is_claimed_or_reserved_is_private(tmp_path: Path, name: str, private: bool) -> None:
    """Also where it is overlaid; but not what is only that."""
    overlay = frozenset(map(canonicalize_name, ("numpy", "pandas")))
    house = House(tmp_path, Policy(reserved=(NamePattern("acme-*"),), overlay=overlay))
    await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    assert await house.repository.is_private(canonicalize_name(name)) is private


async def test_an_explicitly_reserved_name_is_an_empty_page_at_once(house: House) -> None:
    house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    await house.publishing.reserve(SDK, now=datetime.now(UTC))
    assert (await house.repository.project(SDK)).files == {}
    assert house.upstream.asked == []


async def test_a_page_without_files_says_why_whatever_its_status(house: House) -> None:
    """Decision 2."""
    await house.publishing.reserve(SDK, now=datetime.now(UTC))
    reserved = await house.repository.project(SDK)
    assert reserved.status_reason is not None
    await house.publishing.mark(SDK, "archived", None)
    page = await house.repository.project(SDK)
    assert (page.status, page.status_reason) == ("archived", reserved.status_reason)
    await house.publishing.mark(SDK, "archived", "moved")
    assert (await house.repository.project(SDK)).status_reason == "moved"


@pytest.mark.parametrize("status", ["archived", "deprecated", "active"])
async def test_the_status_of_a_project_stands_on_its_page_with_its_reason(house: House, status: str) -> None:
    ours = await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    before = await house.repository.project(SDK)
    await house.publishing.mark(SDK, status, "moved to acme-core")  # type: ignore[arg-type]  # one of Status
    page = await house.repository.project(SDK)
    assert (page.status, page.status_reason) == (None if status == "active" else status, "moved to acme-core")
    assert page.files == before.files
    assert await house.repository.project(SDK) is page
    assert (await house.repository.find(ours.path, ours.filename)).private
    await house.publishing.mark(SDK, "active", None)
    assert await house.repository.project(SDK) == before


async def test_a_quarantined_project_offers_nothing_until_it_is_active_again(house: House) -> None:
    """PEP 792; hidden by policy is a page without it, and 403 for the file (decision 14)."""
    ours = await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    await house.publishing.mark(SDK, "quarantined", "malware")
    page = await house.repository.project(SDK)
    assert (page.files, page.versions, page.status, page.status_reason) == ({}, ("1.0",), "quarantined", "malware")
    assert await house.repository.project(SDK) is page
    for filename in (ours.filename, f"{ours.filename}.metadata"):
        with pytest.raises(Forbidden, match=r"acme-sdk is quarantined \(malware\)"):
            await house.repository.find(ours.path, filename)
        with pytest.raises(Forbidden, match=r"acme-sdk is quarantined \(malware\)"):
            await house.repository.find_private(filename)
    await house.publishing.mark(SDK, "active", None)
    assert names((await house.repository.project(SDK)).files) == [ours.filename]
    assert (await house.repository.find(ours.path, ours.filename)).private


async def test_of_an_overlaid_project_our_word_counts_for_both_sides(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(overlay=frozenset({NUMPY})))
    theirs = house.upstream.publish("numpy", "numpy-2.0-py3-none-any.whl", b"theirs")
    ours = await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    await house.publishing.mark(NUMPY, "deprecated", None)
    page = await house.repository.project(NUMPY)
    assert (names(page.files), page.status) == ([ours.filename, theirs.filename], "deprecated")
    await house.publishing.mark(NUMPY, "quarantined", None)
    page = await house.repository.project(NUMPY)
    assert (page.files, page.status) == ({}, "quarantined")
    for listed in (ours, theirs):
        with pytest.raises(Forbidden, match="numpy is quarantined: none"):
            await house.repository.find(listed.path, listed.filename)
    await house.publishing.delete(NUMPY, Selection(), dry_run=False)
    assert (await house.repository.project(NUMPY)).files == {}
    await house.publishing.mark(NUMPY, "active", None)
    assert names((await house.repository.project(NUMPY)).files) == [theirs.filename]


async def test_a_project_quarantined_while_the_index_is_asked_shows_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(overlay=frozenset({NUMPY})))
    house.upstream.publish("numpy", "numpy-2.0-py3-none-any.whl", b"theirs")
    await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    house.upstream.gate.clear()
    asking = asyncio.create_task(house.repository.project(NUMPY))
    while not house.upstream.asked:
        await asyncio.sleep(0)
    await house.publishing.mark(NUMPY, "quarantined", None)
    house.upstream.gate.set()
    assert (await asking).files == {}


async def test_what_is_yanked_or_deleted_is_so_on_the_next_page(house: House) -> None:
    first = await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    await house.upload("acme-sdk", "acme_sdk-1.1-py3-none-any.whl", b"more")
    await house.publishing.yank(SDK, Selection(version="1.0"), "leaks memory")
    page = await house.repository.project(SDK)
    assert {file.filename: file.yanked for file in page.files.values()} == {
        "acme_sdk-1.0-py3-none-any.whl": "leaks memory",
        "acme_sdk-1.1-py3-none-any.whl": False,
    }
    # PEP 592: who has pinned it gets it still.
    assert (await house.repository.find(first.path, first.filename)).yanked == "leaks memory"
    await house.publishing.delete(SDK, Selection(filename=first.filename), dry_run=False)
    assert names((await house.repository.project(SDK)).files) == ["acme_sdk-1.1-py3-none-any.whl"]
    with pytest.raises(NotFound):
        await house.repository.find(first.path, first.filename)


async def test_a_file_is_found_where_its_page_links_it_and_nowhere_else(house: House) -> None:
    """Private paths under public names, and the other way round (D25)."""
    ours = await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    more = await house.upload("acme-sdk", "acme_sdk-1.1-py3-none-any.whl", b"more")
    theirs = house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    for here, there in itertools.product((ours, more, theirs), repeat=2):
        if here is there:
            assert (await house.repository.find(here.path, here.filename)).sha256 == here.sha256
        else:
            with pytest.raises(NotFound):
                await house.repository.find(here.path, there.filename)


# Pages that nobody has to wait for


async def fresh_word(house: House, name: str) -> Project | None:
    """What a Repository says that never said anything before; None where it has to wait for the index."""
    other = Repository(
        store=house.store,
        names=house.store,
        pins=house.store,
        cache=house.cache,
        downloads=house.downloads,
        upstream=house.upstream,
        root=None,
        policy=house.policy,
    )
    with suppress(NotFound, UpstreamDown):
        return await other.project(canonicalize_name(name))
    return None


CHANGES: dict[str, Callable[[House], Any]] = {
    "upload": lambda house: house.upload("acme-sdk", f"acme_sdk-{len(house.upstream.asked)}.0-py3-none-any.whl"),
    "rival": lambda house: house.upload("acme-sdk-1-0", f"acme_sdk_1_0-{len(house.upstream.asked)}-py3-none-any.whl"),
    "publish": lambda house: house.upstream.publish("acme-sdk", f"acme-sdk-1.0-{len(house.upstream.asked)}.tar.gz"),
    "quarantine": lambda house: house.store.settle(SDK, Standing(status="quarantined")),
    "activate": lambda house: house.store.settle(SDK, Standing()),
    "delete": lambda house: house.publishing.delete(SDK, Selection(), dry_run=False),
    "release": lambda house: house.store.release(SDK),
    "gone": lambda house: house.upstream.pages.pop(SDK, None),
    "stale": lambda house: setattr(house.upstream, "fresh", not house.upstream.fresh),
}


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("seed", range(20))
async def test_a_page_at_hand_is_the_page_that_would_be_made(tmp_path: Path, seed: int, overlay: bool) -> None:
    """Whatever happens, in whatever order: never a page that a Repository without memory would not give."""
    chance, at_hand = random.Random(seed), 0
    house = House(tmp_path, Policy(claim="allow", overlay=frozenset({SDK} if overlay else ())))
    house.upstream.fresh = True
    house.upstream.publish("acme-sdk", "acme-sdk-0.1.tar.gz")
    for _ in range(60):
        with suppress(NotFound, BadRequest, FileExists, Forbidden):
            done = CHANGES[chance.choice(list(CHANGES))](house)
            if done is not None and hasattr(done, "__await__"):
                await done
        house.upstream.asked.append("")  # counts up, for the filenames
        for _ in range(2):
            page = house.repository.at_hand.page(SDK)
            if page is not None:
                at_hand += 1
                assert page == await fresh_word(house, "acme-sdk")
                (*_, last) = page.files.values() or [None]
                if last is not None:
                    assert house.repository.at_hand.file(last.path, last.filename) == last
                assert house.upstream.fresh or not any(file.origin for file in page.files.values())
            with suppress(NotFound, UpstreamDown):
                await house.repository.project(SDK)
    assert at_hand > 0


async def test_what_is_at_hand_is_not_asked_for(house: House) -> None:
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    house.upstream.fresh = True
    assert house.repository.at_hand.page(NUMPY) is None  # nobody has found out yet whose it is
    page = await house.page("numpy")
    asked = len(house.upstream.asked)
    assert house.repository.at_hand.page(NUMPY) is page
    assert await house.page("numpy") is page
    assert len(house.upstream.asked) == asked


async def test_a_page_at_hand_is_kept_by_nobody_who_only_remembers_it(house: House) -> None:
    house.upstream.fresh = True
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    page = ref(await house.page("numpy"))
    house.upstream.pages.clear()
    gc.collect()
    assert page() is None
    assert house.repository.at_hand.page(NUMPY) is None
