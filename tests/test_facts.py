"""What is known of files whoever said it: what is learned, what stays, and what is laid over whose page."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from proxy.errors import StoreDown
from proxy.policy import PublicName
from proxy.simple.model import File, Project
from proxy.simple.names import versions_of
from proxy.storage import Fact
from proxy.upstream import facts as module
from proxy.upstream.facts import FACT_COST, PAGE_COST, FactBook
from proxy.upstream.removals import REMOVED

from .fakes import MemoryFacts
from .make import NOON, file
from .test_mirrors import DEMO, public

LATER = NOON + timedelta(days=1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
A, B = "ab" * 32, "cd" * 32
OTHER = public("other")


def listed(number: str = "1", **fields: Any) -> File:
    """As a mirror lists it that says nothing it need not."""
    bare = {"size": None, "upload_time": None, "origin": "pypi"}
    return file(f"demo-{number}-py3-none-any.whl", number.encode(), **{**bare, **fields})


def digest(number: str = "1") -> str:
    return hashlib.sha256(number.encode()).hexdigest()


def page(*files: File, name: PublicName = DEMO) -> Project:
    named = {each.filename: each for each in files}
    return Project(name=name, files=named, versions=versions_of(name, named))


def book(disk: MemoryFacts | None = None, **settings: Any) -> FactBook:
    defaults: dict[str, Any] = {"memory": 1_000_000, "now": NOW.timestamp, "write_after": 0.0}
    return FactBook(disk or MemoryFacts(), "pypi", **{**defaults, **settings})


@pytest.fixture
async def facts() -> AsyncIterator[FactBook]:
    made = book()
    yield made
    await made.close()


async def laid(facts: FactBook, one: File, known: Project | None = None) -> File:
    return (await facts.lay_over(DEMO, page(one), known)).files[one.filename]


# Learning from pages


async def test_what_one_page_said_is_laid_over_another_that_leaves_it_out(facts: FactBook) -> None:
    whole = listed(size=7, upload_time=NOON, core_metadata={"sha256": A})
    assert await laid(facts, whole) is whole
    assert await laid(facts, listed()) == whole


async def test_the_first_exact_word_stays(facts: FactBook) -> None:
    first = listed(size=7, upload_time=NOON, core_metadata={"sha256": A})
    await laid(facts, first)
    assert await laid(facts, listed(size=8, upload_time=LATER, core_metadata={"sha256": B})) == first


async def test_a_size_of_zero_is_a_word_too(facts: FactBook) -> None:
    await laid(facts, listed(size=0))
    assert (await laid(facts, listed(size=8))).size == 0


async def test_facts_are_of_the_content_and_not_of_the_filename(facts: FactBook) -> None:
    await laid(facts, listed(size=7))
    replaced = listed(hashes={"sha256": A})
    assert await laid(facts, replaced) is replaced


async def test_a_file_without_a_hash_has_no_facts(facts: FactBook) -> None:
    await laid(facts, listed(hashes={}, size=7))
    bare = listed(hashes={})
    assert await laid(facts, bare) is bare


async def test_a_digest_that_was_told_is_not_untold_by_a_later_page(facts: FactBook) -> None:
    """What nobody could verify any more might be any file, under an address that is known to be right."""
    known = page(listed(size=7))
    await facts.lay_over(DEMO, known)
    md5 = {"md5": "1" * 32}
    assert await laid(facts, listed(hashes=md5), known) == listed(size=7, hashes={**md5, "sha256": digest()})
    elsewhere = listed(hashes={}, path="aa/bb/" + "c" * 60)
    assert (await laid(facts, elsewhere, known)).sha256 is None  # another file, for all that is known


async def test_what_an_index_may_change_its_mind_about_is_the_pages_own_to_say(facts: FactBook) -> None:
    await laid(facts, listed(requires_python=">=3.8", yanked="broken"))
    for changed in (listed(requires_python=">=3.9"), listed(yanked="worse")):
        assert await laid(facts, changed) is changed


async def test_a_reason_that_one_page_gave_is_kept_while_pages_only_say_that_it_is_yanked(facts: FactBook) -> None:
    assert (await laid(facts, listed(yanked=True))).yanked is True
    await laid(facts, listed(yanked="broken"))
    assert (await laid(facts, listed(yanked=True))).yanked == "broken"
    assert (await laid(facts, listed())).yanked is False
    await laid(facts, listed(yanked="worse"))
    assert (await laid(facts, listed(yanked=True))).yanked == "worse"


async def test_our_own_reason_is_not_learned_as_the_indexs(facts: FactBook) -> None:
    await laid(facts, listed(yanked=REMOVED))
    assert (await laid(facts, listed(yanked=True))).yanked is True


async def test_a_page_is_the_same_object_where_nothing_is_to_be_added(facts: FactBook) -> None:
    whole = page(listed("1", size=1), listed("2"))
    assert await facts.lay_over(DEMO, whole) is whole
    known = await facts.lay_over(DEMO, page(listed("1", size=1), listed("2", size=2)))
    assert await facts.lay_over(DEMO, page(listed("1"), listed("2")), known) is known
    assert await facts.lay_over(DEMO, page(listed("1")), known) is not known


async def test_a_page_laid_over_teaches_nothing_that_was_guessed_or_read_by_us(facts: FactBook) -> None:
    """A page in memory is laid over again, and facts may have been evicted meanwhile."""
    guessing = book(estimated_times=True)
    await guessing.learn(DEMO, {digest(): Fact(estimated=LATER, metadata=A)})
    healed = await laid(guessing, listed())
    assert (healed.upload_time, healed.estimated_time, healed.healed) == (LATER, LATER, True)
    again = await laid(facts, healed)
    assert (again.upload_time, again.estimated_time, again.healed) == (None, LATER, True)
    assert (await laid(facts, listed(upload_time=NOON))).upload_time == NOON
    await guessing.close()


# Metadata


async def test_our_own_reading_is_advertised_where_the_page_has_none(facts: FactBook) -> None:
    await facts.learn(DEMO, {digest(): Fact(metadata=A)})
    healed = await laid(facts, listed())
    assert (healed.core_metadata, healed.healed) == ({"sha256": A}, True)
    assert healed.sibling().url == ""


async def test_a_mirror_that_lists_what_we_read_is_asked_for_it(facts: FactBook) -> None:
    await facts.learn(DEMO, {digest(): Fact(metadata=A)})
    said = listed(core_metadata={"sha256": A})
    assert await laid(facts, said) is said


async def test_a_page_that_lists_other_metadata_than_the_file_has_is_not_believed(facts: FactBook) -> None:
    await facts.learn(DEMO, {digest(): Fact(metadata=A)})
    healed = await laid(facts, listed(core_metadata={"sha256": B}))
    assert (healed.core_metadata, healed.healed) == ({"sha256": A}, True)


async def test_metadata_without_a_hash_gets_the_one_that_another_page_listed(facts: FactBook) -> None:
    await laid(facts, listed(core_metadata={"sha256": A}))
    found = await laid(facts, listed(core_metadata=True))
    assert (found.core_metadata, found.healed) == ({"sha256": A}, False)


# Times


async def test_a_file_that_is_new_on_a_known_page_was_uploaded_about_now(facts: FactBook) -> None:
    known = await facts.lay_over(DEMO, page(listed("1")))
    grown = await facts.lay_over(DEMO, page(listed("1"), listed("2")), known)
    times = [(each.upload_time, each.estimated_time) for each in grown.files.values()]
    assert times == [(None, None), (None, NOW)]


async def test_files_of_a_page_never_seen_before_are_of_unknown_age(facts: FactBook) -> None:
    assert (await laid(facts, listed())).estimated_time is None


async def test_a_file_that_comes_back_is_not_new(facts: FactBook) -> None:
    known = await facts.lay_over(DEMO, page(listed("1"), listed("2", size=2)))
    without = await facts.lay_over(DEMO, page(listed("1")), known)
    again = await facts.lay_over(DEMO, page(listed("1"), listed("2")), without)
    assert again.files[listed("2").filename].estimated_time is None


async def test_an_exact_time_takes_the_place_of_a_guess(facts: FactBook) -> None:
    await facts.learn(DEMO, {digest(): Fact(estimated=LATER)})
    assert (await laid(facts, listed())).estimated_time == LATER
    exact = listed(upload_time=NOON)
    assert await laid(facts, exact) is exact
    assert await laid(facts, listed()) == exact


async def test_the_earliest_guess_counts(facts: FactBook) -> None:
    for guess in (LATER, NOON, LATER):
        await facts.learn(DEMO, {digest(): Fact(estimated=guess)})
    assert (await laid(facts, listed())).estimated_time == NOON


async def test_a_guess_is_never_an_exact_time_unless_the_operator_says_so(facts: FactBook) -> None:
    daring = book(estimated_times=True)
    for each in (facts, daring):
        await each.learn(DEMO, {digest(): Fact(estimated=LATER)})
    assert (await laid(facts, listed())).upload_time is None
    bold = await laid(daring, listed())
    assert (bold.upload_time, bold.estimated_time) == (LATER, LATER)
    await daring.learn(DEMO, {digest(): Fact(upload_time=NOON)})
    exact = await laid(daring, bold)
    assert (exact.upload_time, exact.estimated_time) == (NOON, None)
    await daring.close()


# Learning otherwise


async def test_learning_tells_whether_anything_was_new(facts: FactBook) -> None:
    assert await facts.learn(DEMO, {A: Fact(size=1)})
    assert not await facts.learn(DEMO, {A: Fact(size=1)})
    assert not await facts.learn(DEMO, {A: Fact(size=2)})
    assert not await facts.learn(DEMO, {B: Fact()})
    assert await facts.learn(DEMO, {A: Fact(metadata=B, upload_time=NOON)})
    assert not await facts.learn(DEMO, {A: Fact(estimated=NOON)})


async def test_a_size_that_was_a_lie_can_be_put_right_and_no_page_changes_it_back(facts: FactBook) -> None:
    known = await facts.lay_over(DEMO, page(listed(size=8)))
    assert await facts.correct(DEMO, digest(), 7)
    assert not await facts.correct(DEMO, digest(), 7)
    assert (await facts.lay_over(DEMO, known, known)).files[listed().filename].size == 7
    assert (await laid(facts, listed(size=8))).size == 7


async def test_what_is_learned_at_the_same_time_is_all_kept(facts: FactBook) -> None:
    pages = [facts.lay_over(DEMO, page(listed(str(number), size=number))) for number in range(20)]
    found = [facts.learn(DEMO, {digest(str(number)): Fact(upload_time=NOON)}) for number in range(20)]
    await asyncio.gather(*pages, *found)
    whole = await facts.lay_over(DEMO, page(*(listed(str(number)) for number in range(20))))
    assert [(each.size, each.upload_time) for each in whole.files.values()] == [(n, NOON) for n in range(20)]


# Memory and disk


class CountingFacts(MemoryFacts):
    """A disk that counts."""

    loads = saves = 0

    async def load(self, origin: str, name: PublicName) -> Mapping[str, Fact]:
        self.loads += 1
        return await super().load(origin, name)

    async def save(self, origin: str, name: PublicName, facts: Mapping[str, Fact]) -> None:
        self.saves += 1
        await super().save(origin, name, facts)


async def test_facts_survive_a_restart() -> None:
    disk = MemoryFacts()
    first = book(disk)
    await laid(first, listed(size=7, upload_time=NOON))
    await first.close()
    second = book(disk)
    assert await laid(second, listed()) == listed(size=7, upload_time=NOON)
    await second.close()


async def test_facts_that_come_one_by_one_are_written_together() -> None:
    disk = CountingFacts()
    healing = book(disk, write_after=60.0)
    for number in range(100):
        await healing.learn(DEMO, {digest(str(number)): Fact(size=number)})
    assert (disk.loads, disk.saves) == (1, 0)
    await healing.close()
    assert disk.saves == 1
    assert len(disk.facts["pypi", DEMO]) == 100


async def test_facts_are_written_without_being_told_to() -> None:
    disk = CountingFacts()
    healing = book(disk)
    for size in (1, 2):
        await healing.learn(DEMO, {digest(str(size)): Fact(size=size)})
        while disk.saves < size:
            await asyncio.sleep(0)
    assert len(disk.facts["pypi", DEMO]) == 2


async def test_memory_holds_no_more_than_its_room_and_the_disk_has_the_rest() -> None:
    disk = CountingFacts()
    small = book(disk, memory=3 * (PAGE_COST + FACT_COST), write_after=60.0)
    names = [public(f"p{number}") for number in range(10)]
    for name in names:
        await small.learn(name, {A: Fact(size=1)})
        assert small._cost == sum(PAGE_COST + FACT_COST * len(held) for held in small._held.values())
    assert list(small._held) == names[-3:]
    assert not await small.learn(names[0], {A: Fact(size=1)})  # not written yet, and not forgotten
    await small.close()
    assert len(disk.facts) == 10
    assert not await small.learn(names[1], {A: Fact(size=1)})


async def test_facts_too_many_for_memory_are_read_from_disk_each_time() -> None:
    disk = CountingFacts()
    none = book(disk, memory=0)
    await none.learn(DEMO, {A: Fact(size=1)})
    await none.close()
    assert (len(none._held), none._cost) == (0, 0)
    assert not await none.learn(DEMO, {A: Fact(size=1)})


async def test_of_a_project_with_too_many_facts_those_of_its_present_page_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    disk = MemoryFacts()
    crowded = book(disk)
    await crowded.lay_over(DEMO, page(*(listed(str(number), size=number) for number in range(3))))
    await crowded.lay_over(DEMO, page(*(listed(str(number), size=number) for number in (2, 3))))
    await crowded.close()
    assert disk.facts["pypi", DEMO].keys() == {digest("2"), digest("3")}


async def test_a_disk_that_cannot_be_used_costs_facts_and_no_answer() -> None:
    class Down(MemoryFacts):
        async def load(self, origin: str, name: PublicName) -> Mapping[str, Fact]:
            raise StoreDown("It cannot be read.")

        async def save(self, origin: str, name: PublicName, facts: Mapping[str, Fact]) -> None:
            raise StoreDown("It cannot be written.")

    alone = book(Down())
    await laid(alone, listed(size=7))
    await alone.close()
    assert (await laid(alone, listed())).size == 7


async def test_a_forgotten_project_is_not_written_down_either() -> None:
    disk = MemoryFacts()
    leaving = book(disk, write_after=60.0)
    await leaving.learn(DEMO, {A: Fact(size=1)})
    await leaving.learn(OTHER, {A: Fact(size=1)})
    leaving.forget(DEMO)
    leaving.forget(public("never-seen"))
    assert leaving._cost == PAGE_COST + FACT_COST
    await leaving.close()
    assert disk.facts.keys() == {("pypi", OTHER)}


async def test_laying_facts_over_ten_thousand_files_leaves_the_loop_free(facts: FactBook) -> None:
    whole = page(*(listed(f"1.{number}", size=number, upload_time=NOON) for number in range(10_000)))
    await facts.lay_over(DEMO, whole)
    bare = [msgspec.structs.replace(each, size=None, upload_time=None) for each in whole.files.values()]
    laying = asyncio.create_task(facts.lay_over(DEMO, page(*bare), whole))
    turns = 0
    while not laying.done():
        turns += 1
        await asyncio.sleep(0)
    assert await laying is whole
    assert turns > 10  # a few would mean that the loop stood still meanwhile
