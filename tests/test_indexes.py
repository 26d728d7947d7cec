"""Several indexes as one: whose word counts, what an outage may change, and how their lists become one."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
from io import BytesIO
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from packaging.utils import canonicalize_name as normalized

from proxy.download import Download, Downloads
from proxy.errors import NotFound, Unavailable, UpstreamDown
from proxy.policy import Policy, PublicName
from proxy.simple.model import File
from proxy.simple.names import NamePattern
from proxy.storage import Blob
from proxy.transfers import Place
from proxy.upstream.all_names import AllNames, lines_of
from proxy.upstream.indexes import ByOrigin, Indexes, OneIndex

from .fake_upstream import FakeSources, FakeUpstream, Line
from .fakes import MemoryCache, MemoryStore
from .make import file


def public(name: str) -> PublicName:
    found = Policy().route(normalized(name), frozenset()).public
    assert found is not None
    return found


TORCH = public("torch")

HARD = 10.0
"""Seconds, see OneIndex."""


class Files:
    """Where an index's files are; no more than who was asked matters here."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, frozenset[str]]] = []
        self.all: list[Place] = []

    def places(self, file: File, *, avoid: frozenset[str]) -> list[Place]:
        self.asked.append((file.filename, avoid))
        return self.all

    async def measure(self, file: File) -> int | None:
        return 3


class Site:
    """An index among others, and what a test may do to it."""

    def __init__(self, name: str, *patterns: str, listed: tuple[str, ...] | None = ()) -> None:
        self.pages = FakeUpstream()
        self.files = Files()
        self.listed = listed
        self.opened: list[BytesIO] = []
        self.index = OneIndex(
            name=name,
            names=tuple(map(NamePattern, patterns)),
            pages=self.pages,
            root=self.root,
            soft=0.05,
            hard=HARD,
        )

    async def root(self) -> Blob:
        if self.listed is None:
            raise UpstreamDown(f"No mirror of {self.index.name} lists its projects.")
        blob = lines_of(self.listed)
        assert isinstance(blob.handle, BytesIO)
        self.opened.append(blob.handle)
        return blob


def both(*sites: Site) -> Indexes:
    return Indexes([site.index for site in sites])


def by_origin(*sites: Site) -> ByOrigin:
    return ByOrigin({site.index.name: site.files for site in sites})


# --- Whose word counts ---


async def test_the_first_index_that_has_a_name_answers_and_no_later_one_is_asked() -> None:
    one, two = Site("one"), Site("two")
    first = one.pages.publish("torch", "torch-1.0.zip")
    two.pages.publish("torch", "torch-99.0.zip")
    page = await both(one, two).project(TORCH)
    assert list(page.files.values()) == [first]  # and never a union of both
    assert two.pages.asked == []


async def test_a_name_that_the_first_index_does_not_know_is_asked_of_the_next() -> None:
    one, two = Site("one"), Site("two")
    two.pages.publish("torch", "torch-1.0.zip")
    indexes = both(one, two)
    assert list((await indexes.project(TORCH)).files) == ["torch-1.0.zip"]
    one.pages.publish("torch", "torch-2.0.zip")
    assert list((await indexes.project(TORCH)).files) == ["torch-2.0.zip"]  # the order decides, whoever was first


async def test_an_index_is_asked_only_for_the_names_it_may_answer_for() -> None:
    one, two = Site("one", "torch*", "nvidia-*", "triton"), Site("two")
    indexes = both(one, two)
    for name in ("torch", "torchvision", "nvidia-nccl-cu12", "triton"):
        one.pages.publish(name, f"{name.replace('-', '_')}-1.0-py3-none-any.whl")
        assert (await indexes.project(public(name))).name == name
    assert two.pages.asked == []
    for name in ("numpy", "triton-nightly", "nvidiafoo"):
        two.pages.publish(name, f"{name}-1.0.zip")
        one.pages.publish(name, f"{name}-1.0.zip")
        assert (await indexes.project(public(name))) is two.pages.pages[normalized(name)]
    assert len(one.pages.asked) == 4


async def test_a_name_that_no_index_may_answer_for_is_unknown_and_nobody_hears_of_it() -> None:
    one = Site("one", "torch")
    with pytest.raises(NotFound):
        await both(one).project(public("numpy"))
    assert one.pages.asked == []


async def test_an_index_that_cannot_say_ends_the_search() -> None:
    """Else an outage would be enough to have a name answered from elsewhere."""
    one, two = Site("one"), Site("two")
    two.pages.publish("torch", "torch-99.0.zip")
    one.pages.down = True
    for max_age in (None, 10.0, math.inf):
        with pytest.raises(UpstreamDown):
            await both(one, two).project(TORCH, max_age=max_age)
    assert two.pages.asked == []


async def test_while_an_index_is_down_its_last_word_counts() -> None:
    one, two = Site("one"), Site("two")
    two.pages.publish("torch", "torch-1.0.zip")
    two.pages.publish("numpy", "numpy-1.0.zip")
    indexes = both(one, two)
    await indexes.project(TORCH)
    one.pages.down = True
    for max_age in (None, math.inf):
        assert (await indexes.project(TORCH, max_age=max_age)).files
    with pytest.raises(UpstreamDown):
        await indexes.project(TORCH, max_age=10)  # who wants to know exactly is told that it is not known
    with pytest.raises(UpstreamDown):
        await indexes.project(public("numpy"))  # of which it never said anything


async def test_an_index_that_had_a_name_when_it_was_last_asked_is_waited_for() -> None:
    one, two = Site("one"), Site("two")
    two.pages.publish("torch", "torch-99.0.zip")
    indexes = both(one, two)
    await indexes.project(TORCH)
    one.pages.publish("torch", "torch-1.0.zip")
    await indexes.project(TORCH)
    one.pages.down = True
    with pytest.raises(UpstreamDown):
        await indexes.project(TORCH)


async def test_an_old_no_of_an_index_that_is_down_is_none_to_the_client() -> None:
    one, two = Site("one"), Site("two")
    for indexes in (both(one), both(one, two)):
        with pytest.raises(NotFound):
            await indexes.project(TORCH)
        one.pages.down = True
        for max_age in (None, math.inf):
            with pytest.raises(UpstreamDown):
                await indexes.project(TORCH, max_age=max_age)
        one.pages.down = False


async def test_whether_an_index_denies_a_name_still_is_not_waited_for_as_long_as_for_a_first_word() -> None:
    one, two = Site("one"), Site("two")
    page = two.pages.publish("torch", "torch-1.0.zip")
    indexes = both(one, two)
    await indexes.project(TORCH)
    one.pages.gate.clear()
    async with asyncio.timeout(HARD):
        assert list((await indexes.project(TORCH)).files.values()) == [page]


async def test_all_indexes_together_keep_to_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_indexes.HARD", 0.2)
    one, two = Site("one"), Site("two")
    two.pages.publish("torch", "torch-1.0.zip")
    one.pages.gate.clear()
    asyncio.get_running_loop().call_later(0.1, one.pages.gate.set)
    two.pages.gate.clear()
    async with asyncio.timeout(10):
        with pytest.raises(UpstreamDown):
            await both(one, two).project(TORCH)
    assert two.pages.asked == ["torch"]


async def test_where_a_page_came_from_is_told_by_the_index_that_has_it() -> None:
    one, two = Site("one", "numpy"), Site("two")
    two.pages.publish("torch", "torch-1.0.zip")
    assert both(one, two).seen(TORCH) == two.pages.seen(TORCH)
    assert both(one, two).seen(normalized("numpy")) is None


async def test_a_name_that_became_private_is_withdrawn_everywhere_and_every_denial_forgotten() -> None:
    one, two = Site("one", "numpy"), Site("two")
    both(one, two).withdraw(TORCH)
    assert one.pages.withdrawn == two.pages.withdrawn == ["torch"]
    three = Site("three")
    two.pages.publish("torch", "torch-1.0.zip")
    indexes = both(three, two)
    await indexes.project(TORCH)
    indexes.withdraw(TORCH)
    three.pages.down = True
    with pytest.raises(UpstreamDown):
        await indexes.project(TORCH)


# --- Files ---


async def test_a_file_comes_from_the_index_that_lists_it_and_from_no_other() -> None:
    one, two = Site("one"), Site("two")
    sources = by_origin(one, two)
    ours = file("torch-1.0.zip", origin="two")
    assert sources.places(ours, avoid=frozenset({"mirror"})) is two.files.all
    assert await sources.measure(ours) == 3
    assert one.files.asked == []
    assert two.files.asked == [("torch-1.0.zip", frozenset({"mirror"}))]


@pytest.mark.parametrize("origin", ["gone", None])
async def test_a_file_of_an_index_that_is_not_set_up_any_more_is_nowhere(origin: str | None) -> None:
    sources = by_origin(Site("one"))
    assert list(sources.places(file("torch-1.0.zip", origin=origin), avoid=frozenset())) == []
    with pytest.raises(NotFound):
        await sources.measure(file("torch-1.0.zip", origin=origin))


async def test_unhashed_files_at_one_place_of_two_indexes_are_two_files(tmp_path: Path) -> None:
    """Variants have files of one name, and an official path is kept whoever lists it."""
    sources = ByOrigin({name: FakeSources([Line(name.encode(), total=3)]) for name in ("one", "two")})
    store = MemoryStore()
    downloads = Downloads(tmp_path, sources, MemoryCache(), store)
    for _ in range(2):
        for name in ("one", "two"):
            listed = file("torch-1.0.zip", origin=name, hashes={}, size=None)
            found = await downloads.obtain(listed, await store.pinned(name, f"{listed.path}/{listed.filename}"))
            if isinstance(found, Download):
                assert await found.grown(2) == 3
            with found.handle() if isinstance(found, Download) else found.handle as handle:
                assert os.pread(handle.fileno(), 10, 0) == name.encode()
    await downloads.close()


# --- All names ---


async def names(all_names: AllNames) -> list[str]:
    blob = await all_names.open()
    with blob.handle as handle:
        body = handle.read()
    assert blob.size == len(body)
    assert blob.sha256 == hashlib.sha256(body).hexdigest()
    return body.decode().split()


def all_names(path: Path, *sites: Site) -> AllNames:
    return AllNames([site.index for site in sites], path)


async def test_the_list_of_a_lone_index_is_given_as_it_is(tmp_path: Path) -> None:
    one = Site("one", listed=("zlib", "a"))
    assert await names(all_names(tmp_path / "all.merged", one)) == ["zlib", "a"]
    assert list(tmp_path.iterdir()) == []


async def test_every_name_of_all_indexes_is_listed_once(tmp_path: Path) -> None:
    small, big = Site("one", listed=("torch", "numpy")), Site("two", listed=("a", "numpy", "b", "zlib"))
    for sites in ((small, big), (big, small)):
        assert await names(all_names(tmp_path / "names" / "all.merged", *sites)) == ["torch", "numpy", "a", "b", "zlib"]
    assert os.stat(tmp_path / "names" / "all.merged").st_mode & 0o777 == 0o600
    assert all(handle.closed for site in (small, big) for handle in site.opened)


async def test_an_index_lists_only_what_it_may_answer_for(tmp_path: Path) -> None:
    one = Site("one", "torch*", listed=("torch", "numpy", "torchvision", "a" * 100_000))
    assert await names(all_names(tmp_path / "one.merged", one)) == ["torch", "torchvision"]
    two = Site("two", listed=("numpy",))
    assert await names(all_names(tmp_path / "all.merged", one, two)) == ["numpy", "torch", "torchvision"]


async def test_an_index_for_single_names_needs_no_list(tmp_path: Path) -> None:
    one, two = Site("one", "torch", "triton", listed=None), Site("two", listed=("numpy",))
    assert await names(all_names(tmp_path / "all.merged", one, two)) == ["numpy", "torch", "triton"]


async def test_an_index_for_certain_names_whose_list_cannot_be_had_lists_what_is_certain(tmp_path: Path) -> None:
    one, two = Site("one", "torch*", "triton", listed=None), Site("two", listed=("numpy", "zlib"))
    assert await names(all_names(tmp_path / "all.merged", one, two)) == ["triton", "numpy", "zlib"]


async def test_without_the_list_of_an_index_for_all_names_there_is_no_page(tmp_path: Path) -> None:
    one, two = Site("one", listed=("torch",)), Site("two", listed=None)
    listing = all_names(tmp_path / "all.merged", one, two)
    with pytest.raises(UpstreamDown, match="No mirror of two"):
        await listing.open()
    assert all(handle.closed for handle in one.opened)
    two.listed = ("numpy",)
    assert await names(listing) == ["torch", "numpy"]


async def test_the_file_is_made_again_only_when_a_list_changed_or_it_is_gone(tmp_path: Path) -> None:
    one, two = Site("one", listed=("torch",)), Site("two", listed=("numpy", "a"))
    listing = all_names(tmp_path / "names" / "all.merged", one, two)
    await names(listing)
    made = os.stat(tmp_path / "names" / "all.merged").st_ino
    assert await names(listing) == ["torch", "numpy", "a"]
    assert os.stat(tmp_path / "names" / "all.merged").st_ino == made
    two.listed = ("numpy",)
    assert await names(listing) == ["torch", "numpy"]
    os.unlink(tmp_path / "names" / "all.merged")
    os.rmdir(tmp_path / "names")
    assert await asyncio.gather(*(names(listing) for _ in range(20))) == [["torch", "numpy"]] * 20


async def test_a_reader_keeps_the_list_it_began_with(tmp_path: Path) -> None:
    one, two = Site("one", listed=("torch",)), Site("two", listed=("numpy",))
    listing = all_names(tmp_path / "all.merged", one, two)
    blob = await listing.open()
    one.listed = ("other",)
    assert await names(listing) == ["other", "numpy"]
    with blob.handle as handle:
        assert handle.read().split() == [b"torch", b"numpy"]


async def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "all.merged.new").symlink_to(tmp_path / "victim")
    with pytest.raises(Unavailable, match="cannot be kept"):
        await all_names(tmp_path / "all.merged", Site("one", listed=("a",)), Site("two", listed=("b",))).open()
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_patterns_are_judged_on_normalised_names() -> None:
    index = Site("one", "torch-*").index
    assert index.covers(NormalizedName("torch"))
    assert index.covers(NormalizedName("torch-scatter"))
    assert not index.covers(NormalizedName("torchvision"))


# Without waiting


async def test_the_first_index_that_does_not_deny_a_name_has_its_page_at_hand() -> None:
    one, two = Site("one"), Site("two")
    two.pages.publish("torch", "torch-2.0-py3-none-any.whl")
    one.pages.fresh = two.pages.fresh = True
    assert both(one, two).at_hand(TORCH) is None  # the first would have to be asked
    one.pages.denied.add(TORCH)
    page = both(one, two).at_hand(TORCH)
    assert page is two.pages.pages[TORCH]
    assert await both(one, two).project(TORCH) is page
    assert one.pages.asked == two.pages.asked == []
    two.pages.fresh = False
    assert both(one, two).at_hand(TORCH) is None
    assert both(Site("three", "acme-*"), two).at_hand(TORCH) is None
    with pytest.raises(NotFound):
        both(Site("three", "acme-*")).at_hand(TORCH)
