"""The one rule, precedence, and claims, over stand-ins for the edges."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from proxy.download import Download, Downloads
from proxy.errors import FileExists, Forbidden, NotFound, UpstreamDown
from proxy.policy import Policy
from proxy.repository import Repository
from proxy.simple.model import File
from proxy.simple.names import NamePattern
from proxy.storage import Blob

from .fake_upstream import FakeSources, FakeUpstream, Line
from .fakes import MemoryCache, MemoryStore
from .make import file

SDK = canonicalize_name("acme-sdk")
NUMPY = canonicalize_name("numpy")


class House:
    """A Repository with everything behind it in reach."""

    def __init__(self, folder: Path, policy: Policy | None = None, *, index: bool = True) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.cache = MemoryCache()
        self.upstream = FakeUpstream()
        self.sources = FakeSources([Line(b"bytes")])
        self.downloads = Downloads(folder / "incoming", self.sources, self.cache, self.store)
        self.policy = policy or Policy()
        self.repository = Repository(
            store=self.store,
            names=self.store,
            pins=self.store,
            cache=self.cache,
            downloads=self.downloads,
            upstream=self.upstream if index else None,
            root=None,
            policy=self.policy,
        )

    async def upload(self, name: str, filename: str, body: bytes = b"ours") -> File:
        path = self.folder / f"{hashlib.sha256(body).hexdigest()}.upload"
        path.write_bytes(body)
        listed = file(filename, body)
        await self.repository.upload(canonicalize_name(name), listed, path, None)
        return listed


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
    assert (await house.repository.project(SDK)).files == {}
    assert house.upstream.asked == []


async def test_a_name_stays_private_after_its_last_file_is_gone(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    await house.store.remove("acme_sdk-1.0-py3-none-any.whl")
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


async def test_the_first_upload_of_a_public_name_is_refused_with_the_way_out(house: House) -> None:
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    with pytest.raises(Forbidden, match=r'private\.claim = "allow"'):
        await house.upload("numpy", "numpy-9.0-py3-none-any.whl")
    assert await house.store.claimed() == frozenset()


async def test_a_first_upload_takes_the_name_away_from_the_index(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow", overlay=frozenset({NUMPY})))
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    assert house.upstream.withdrawn == ["acme-sdk"]  # D04: no question that is under way goes on
    await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    assert house.upstream.withdrawn == ["acme-sdk"]  # which both sides go on answering for


async def test_one_look_that_finds_nothing_does_not_free_a_name_that_is_still_listed(house: House) -> None:
    """Every mirror says 404 for the first time, and the page that is remembered still stands (decision 8)."""
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    house.upstream.vanished = True
    with pytest.raises(Forbidden, match="numpy exists at the index"):
        await house.upload("numpy", "numpy-2.0-py3-none-any.whl")


async def test_the_first_upload_is_refused_where_the_index_cannot_be_asked(house: House) -> None:
    house.upstream.down = True
    with pytest.raises(Forbidden, match="could not be asked"):
        await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")


async def test_the_first_upload_of_a_new_name_asks_once_and_never_again(house: House) -> None:
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    await house.upload("acme-sdk", "acme_sdk-1.1-py3-none-any.whl", b"more")
    await house.repository.project(SDK)
    assert house.upstream.asked == ["acme-sdk"]


@pytest.mark.parametrize(
    "policy", [Policy(claim="allow"), Policy(reserved=(NamePattern("numpy"),)), Policy(overlay=frozenset({NUMPY}))]
)
async def test_an_operators_word_lets_a_public_name_be_uploaded(tmp_path: Path, policy: Policy) -> None:
    house = House(tmp_path, policy)
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    await house.upload("numpy", "numpy-9.0-py3-none-any.whl")
    assert house.upstream.asked == []


async def test_other_bytes_under_a_taken_name_are_refused(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    with pytest.raises(FileExists, match=r"^File already exists"):
        await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl", b"other")


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
