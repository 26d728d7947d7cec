"""The memory of pages, over real sockets and a clock of the test's own: fresh, stale, absent and unknown."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from proxy.errors import NotFound, StoreDown, UpstreamDown
from proxy.policy import PublicName
from proxy.simple.model import HTML, JSON, Project
from proxy.simple.write import write_project
from proxy.sources import Seen
from proxy.storage import Fact, Pages, Snapshot
from proxy.upstream.breaker import Patience
from proxy.upstream.facts import FactBook
from proxy.upstream.guard import Guard, origin_of
from proxy.upstream.index import Limits, Mirror
from proxy.upstream.mirrors import MirrorSet
from proxy.upstream.pages import RememberedPages
from proxy.upstream.remembered import FILE_COST, PAGE_COST, SPREAD, Times, spread
from proxy.upstream.sessions import open_sessions

from . import make
from .fakes import MemoryFacts, MemoryPages
from .test_mirrors import DEMO, public
from .upstream_server import CAPTIVE, UpstreamServer

SETTING, ABSENT, RETRY = 300.0, 60.0, 5.0
FRESH = SETTING * spread(DEMO)


@dataclass
class House:
    """Pages remembered of *ups*, whose time passes when a test says so.  Begin another to forget what memory holds."""

    ups: Sequence[UpstreamServer]
    mirrors: MirrorSet
    disk: Pages
    times: dict[str, float]
    memory: int = 1_000_000
    removed: Literal["withhold", "keep"] = "withhold"
    keeps_denials: bool = False
    now: float = 1_800_000_000.0
    clock: float = 1000.0
    found_out: MemoryFacts = field(default_factory=MemoryFacts)
    facts: FactBook = field(init=False)
    pages: RememberedPages = field(init=False)
    fetched: list[Project] = field(default_factory=list)
    """The pages that healing was told of."""

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all but what the disk remembers."""
        times = Times(**{"fresh": SETTING, "absent": ABSENT, "soft": 5.0, "hard": 5.0, "retry": RETRY, **self.times})
        self.facts = FactBook(self.found_out, "pypi", memory=1_000_000, now=lambda: self.now)
        self.pages = RememberedPages(
            self.mirrors,
            self.disk,
            facts=self.facts,
            times=times,
            memory=self.memory,
            now=lambda: self.now,
            clock=lambda: self.clock,
            removed=self.removed,
            keeps_denials=self.keeps_denials,
            on_page=lambda name, page: self.fetched.append(page),
        )

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.clock += seconds

    async def project(self, name: PublicName = DEMO, **how: Any) -> Project:
        return await self.pages.project(name, **how)

    async def settled(self) -> None:
        """Until no refresh is under way."""
        pages = self.pages
        while tasks := [*pages._refreshing.values(), *pages._confirming.values(), *pages._forgetting.values()]:
            await asyncio.wait(tasks)
            await asyncio.sleep(0)

    @property
    def asked(self) -> int:
        return len([request for up in self.ups for request in up.log])


@asynccontextmanager
async def house(
    *ups: UpstreamServer,
    disk: Pages | None = None,
    memory: int = 1_000_000,
    removed: Literal["withhold", "keep"] = "withhold",
    **times: float,
) -> AsyncIterator[House]:
    async with open_sessions(
        guard=Guard(own=[origin_of(up.origin) for up in ups]), user_agent="yizhan/1", connect=2
    ) as sessions:
        limits = Limits(connect=2, answer=20, stall=20, page=20)
        made = [
            Mirror(name=name, base=up.simple, sessions=sessions, limits=limits)
            for name, up in zip(("one", "two"), ups, strict=False)
        ]
        mirrors = MirrorSet(
            "pypi",
            made,
            patience=Patience(),
            now=lambda: built.now,
            clock=lambda: built.clock,
            chance=lambda: 0.0,
        )
        built = House(ups, mirrors, disk or MemoryPages(), times, memory, removed)
        yield built
        await built.pages.close()
        await built.facts.close()


@pytest.fixture
async def up() -> AsyncIterator[UpstreamServer]:
    async with UpstreamServer() as server:
        server.publish("demo", "demo-1.0.tar.gz", b"one")
        yield server


class SlowPages(MemoryPages):
    """A disk that answers when the gate is open, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.loads = self.saves = 0
        self.on_save: Callable[[], None] = lambda: None

    async def load(self, origin: str, name: PublicName) -> tuple[Snapshot, bytes] | None:
        self.loads += 1
        await self.gate.wait()
        return await super().load(origin, name)

    async def save(self, origin: str, name: PublicName, snapshot: Snapshot, body: bytes | None) -> None:
        self.saves += 1
        self.on_save()
        await super().save(origin, name, snapshot, body)


class FullPages(MemoryPages):
    """A disk without room."""

    async def save(self, origin: str, name: PublicName, snapshot: Snapshot, body: bytes | None) -> None:
        raise StoreDown("There is no room.")


def versions(page: Project) -> list[str]:
    return [filename.removesuffix(".tar.gz").rpartition("-")[2] for filename in page.files]


# Fresh


async def test_a_fresh_page_is_answered_from_memory(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project()
        home.passes(FRESH)
        assert await home.project() is first
        assert home.asked == 1


async def test_an_older_page_is_asked_for_again_and_a_304_keeps_the_same_object(up: UpstreamServer) -> None:
    disk = MemoryPages()
    async with house(up, disk=disk) as home:
        first = await home.project()
        body = disk.bodies["pypi", DEMO]
        home.passes(FRESH + 1)
        assert await home.project() is first
        assert home.asked == 2
        assert up.log[1].headers["if-none-match"]
        home.passes(FRESH)
        assert await home.project() is first
        assert home.asked == 2
        assert disk.bodies["pypi", DEMO] is body
        assert disk.snapshots["pypi", DEMO].checked == home.now - FRESH


async def test_an_equal_page_from_a_mirror_without_validators_is_the_same_object(up: UpstreamServer) -> None:
    up.fault("/simple/", headers={"ETag": None, "Last-Modified": None})
    async with house(up) as home:
        first = await home.project()
        home.passes(FRESH + 1)
        assert await home.project() is first
        assert home.asked == 2


async def test_what_changed_upstream_is_seen_once_the_page_is_old(up: UpstreamServer) -> None:
    async with house(up) as home:
        await home.project()
        up.publish("demo", "demo-2.0.tar.gz", b"two")
        assert versions(await home.project()) == ["1.0"]
        home.passes(FRESH + 1)
        assert versions(await home.project()) == ["1.0", "2.0"]


async def test_pages_that_never_hold_are_asked_for_each_time_and_answered(up: UpstreamServer) -> None:
    async with house(up, fresh=0, absent=0) as home:
        for _ in range(3):
            home.passes(0.5)
            assert versions(await home.project()) == ["1.0"]
            with pytest.raises(NotFound):
                await home.project(public("unknown"))
        assert home.asked == 6


async def test_a_page_that_took_longer_to_read_than_it_holds_is_an_answer(up: UpstreamServer) -> None:
    disk = SlowPages()
    async with house(up, disk=disk, fresh=1) as home:
        disk.on_save = lambda: home.passes(1000)
        assert versions(await home.project()) == ["1.0"]


async def test_a_clock_that_was_set_back_makes_pages_old_and_not_fresh_for_ever(up: UpstreamServer) -> None:
    async with house(up) as home:
        await home.project()
        up.publish("demo", "demo-2.0.tar.gz", b"two")
        home.now -= 365 * 24 * 3600
        assert versions(await home.project()) == ["1.0", "2.0"]
        assert home.asked == 2
        home.passes(FRESH - 1)
        await home.project()
        assert home.asked == 2


# Stale


async def test_a_slow_refresh_is_waited_for_only_shortly_where_an_old_page_exists(up: UpstreamServer) -> None:
    async with house(up, soft=0.05) as home:
        first = await home.project()
        up.publish("demo", "demo-2.0.tar.gz", b"two")
        up.fault("/simple/", silent=True)
        home.passes(FRESH + 1)
        assert await home.project() is first
        assert await home.project() is first  # and joins the same refresh
        assert home.asked == 2
        up.heal()
        await home.settled()
        assert versions(await home.project()) == ["1.0", "2.0"]
        assert home.asked == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 403},
        CAPTIVE,
        {"status": 200, "body": b"<html>" * 9, "cut_after": 10},
        {"status": 200, "body": b"{}"},
    ],
    ids=str,
)
async def test_a_refresh_that_fails_leaves_the_old_page_and_is_not_tried_again_for_a_while(
    up: UpstreamServer, fault: dict[str, Any]
) -> None:
    async with house(up) as home:
        first = await home.project()
        up.fault("/simple/", **fault)
        home.passes(FRESH + 1)
        assert await home.project() is first
        asked = home.asked
        assert asked > 1
        home.passes(RETRY - 0.1)
        for _ in range(5):
            assert await home.project() is first
        assert home.asked == asked
        home.passes(RETRY)
        assert await home.project() is first
        up.heal()
        up.publish("demo", "demo-2.0.tar.gz", b"two")
        home.passes(2 * Patience().refusal_pause)
        assert versions(await home.project()) == ["1.0", "2.0"]


async def test_pages_are_answered_for_as_long_as_an_outage_lasts(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project()
        up.refuse()
        for _ in range(20):
            home.passes(7 * 24 * 3600)
            assert await home.project() is first
        home.restart()
        assert await home.project() == first


async def test_a_stale_page_on_disk_is_answered_while_its_refresh_hangs_and_memory_forgot_it(
    up: UpstreamServer,
) -> None:
    """Evicted from memory in the midst of its refresh, a page is still no reason to make anybody wait."""
    up.publish("other", "other-1.0.tar.gz", b"other")
    async with house(up, memory=PAGE_COST + FILE_COST, soft=0.05) as home:
        first = await home.project()
        home.passes(FRESH + 1)
        fault = up.fault("/simple/demo/", silent=True)
        assert await home.project() is first
        await home.project(public("other"))
        assert DEMO not in home.pages._held
        assert await home.project() == first
        assert len(up.asked("/simple/demo/")) == 2
        fault.lifted.set()
        await home.settled()


# Absent and unknown


async def test_a_404_of_every_mirror_is_believed_for_a_short_time(up: UpstreamServer) -> None:
    new = public("new")
    async with house(up) as home:
        for _ in range(2):
            with pytest.raises(NotFound):
                await home.project(new)
        assert home.asked == 1
        up.publish("new", "new-1.0.tar.gz", b"new")
        home.passes(ABSENT)
        with pytest.raises(NotFound):
            await home.project(new)
        home.passes(1)
        assert versions(await home.project(new)) == ["1.0"]


async def test_an_old_404_is_no_answer_while_mirrors_are_down(up: UpstreamServer) -> None:
    new = public("new")
    async with house(up) as home:
        with pytest.raises(NotFound):
            await home.project(new)
        up.refuse()
        home.passes(ABSENT + 1)
        with pytest.raises(UpstreamDown):
            await home.project(new)


async def test_a_cold_page_is_unknown_while_mirrors_are_down_and_asked_for_each_time(up: UpstreamServer) -> None:
    async with house(up) as home:
        up.fault("/simple/", status=500, times=2)
        for _ in range(2):
            with pytest.raises(UpstreamDown):
                await home.project()
        assert versions(await home.project()) == ["1.0"]


async def test_a_cold_page_is_waited_for_no_longer_than_the_hard_deadline(up: UpstreamServer) -> None:
    async with house(up, hard=0.05) as home:
        up.fault("/simple/", silent=True)
        with pytest.raises(UpstreamDown, match="No mirror answered for demo within"):
            await home.project()
        up.heal()
        await home.settled()
        # Who asks again gets what came meanwhile.
        assert versions(await home.project()) == ["1.0"]
        assert home.asked == 1


async def test_a_project_that_vanishes_is_believed_gone_when_a_second_fetch_agrees(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project()
        up.listing.remove("demo")
        home.passes(FRESH + 1)
        assert await home.project() is first
        assert await home.project() is first
        assert home.asked == 2
        home.passes(RETRY + 1)
        with pytest.raises(NotFound):
            await home.project()
        home.restart()
        with pytest.raises(NotFound):
            await home.project()
        assert home.asked == 3


async def test_one_404_between_two_good_answers_changes_nothing(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project()
        for _ in range(3):
            up.fault("/simple/", status=404, times=1)
            home.passes(FRESH + 1)
            assert await home.project() is first
            home.passes(RETRY + 1)
            assert await home.project() is first


async def test_an_outage_between_two_404s_takes_nothing_back() -> None:
    async with UpstreamServer() as one, UpstreamServer() as two:
        for up in (one, two):
            up.publish("demo", "demo-1.0.tar.gz", b"one")
        async with house(one, two) as home:
            first = await home.project()
            one.listing.remove("demo")
            two.refuse()
            for _ in range(4):
                home.passes(FRESH + 1)
                assert await home.project() is first


# Asked for with an age


async def test_any_page_will_do_to_find_a_file(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project(max_age=math.inf)
        up.refuse()
        home.passes(365 * 24 * 3600)
        assert await home.project(max_age=math.inf) is first
        home.restart()
        assert await home.project(max_age=math.inf) == first
        assert home.asked == 1


async def test_a_page_older_than_wanted_is_fetched_or_unknown_but_never_answered(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project()
        home.passes(10)
        assert await home.project(max_age=10) is first
        assert home.asked == 1
        home.passes(1)
        up.publish("demo", "demo-2.0.tar.gz", b"two")
        assert versions(await home.project(max_age=10)) == ["1.0", "2.0"]
        home.passes(11)
        up.refuse()
        with pytest.raises(UpstreamDown):
            await home.project(max_age=10)
        assert versions(await home.project()) == ["1.0", "2.0"]


# Many at once


async def test_however_many_ask_for_a_cold_page_the_mirror_is_asked_once(up: UpstreamServer) -> None:
    async with house(up, disk=SlowPages()) as home:
        fault = up.fault("/simple/", silent=True)
        asking = [asyncio.create_task(home.project()) for _ in range(200)]
        while not up.log:
            await asyncio.sleep(0)
        fault.lifted.set()
        answers = await asyncio.gather(*asking)
        assert {id(answer) for answer in answers} == {id(answers[0])}
        assert home.asked == 1


async def test_however_many_ask_after_a_restart_the_page_is_read_from_disk_once(up: UpstreamServer) -> None:
    disk = SlowPages()
    async with house(up, disk=disk) as home:
        await home.project()
        home.restart()
        disk.loads = 0
        disk.gate.clear()
        asking = [asyncio.create_task(home.project()) for _ in range(200)]
        await asyncio.sleep(0.01)
        disk.gate.set()
        answers = await asyncio.gather(*asking)
        assert {id(answer) for answer in answers} == {id(answers[0])}
        assert (disk.loads, home.asked) == (1, 1)


async def test_who_leaves_takes_nobody_with_him(up: UpstreamServer) -> None:
    disk = SlowPages()
    async with house(up, disk=disk) as home:
        fault = up.fault("/simple/", silent=True)
        disk.gate.clear()
        first, second = asyncio.create_task(home.project()), asyncio.create_task(home.project())
        await asyncio.sleep(0)
        first.cancel()
        disk.gate.set()
        while not up.log:
            await asyncio.sleep(0)
        third = asyncio.create_task(home.project())
        await asyncio.sleep(0)
        second.cancel()
        fault.lifted.set()
        assert versions(await third) == ["1.0"]
        assert home.asked == 1


async def test_names_do_not_wait_for_each_other(up: UpstreamServer) -> None:
    async with house(up) as home:
        up.fault("/simple/slow/", silent=True)
        slow = asyncio.create_task(home.project(public("slow")))
        assert versions(await home.project()) == ["1.0"]
        assert not slow.done()
        up.heal()
        with pytest.raises(NotFound):
            await slow


async def test_closing_ends_a_refresh_under_way(up: UpstreamServer) -> None:
    async with house(up, hard=0) as home:
        up.fault("/simple/", silent=True)
        with pytest.raises(UpstreamDown):
            await home.project()
        task = next(iter(home.pages._refreshing.values()))
        await home.pages.close()
        assert task.cancelled()


# Disk and memory


async def test_a_restart_forgets_no_page(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project()
        home.restart()
        again = await home.project()
        assert again == first
        assert home.asked == 1
        home.passes(FRESH + 1)
        home.restart()
        assert await home.project() == first
        assert up.log[1].headers["if-none-match"]


async def test_a_page_on_disk_that_cannot_be_read_is_fetched_anew(up: UpstreamServer) -> None:
    disk = MemoryPages()
    async with house(up, disk=disk) as home:
        await home.project()
        for body in (b"", b"\x00\x01", b'{"name": "demo"', b"[" * 100_000):
            disk.bodies["pypi", DEMO] = body
            home.restart()
            assert versions(await home.project()) == ["1.0"]
            assert "if-none-match" not in up.log[-1].headers
        assert home.asked == 5


async def test_a_disk_without_room_costs_a_fetch_and_not_an_answer(up: UpstreamServer) -> None:
    async with house(up, disk=FullPages()) as home:
        assert versions(await home.project()) == ["1.0"]
        home.restart()
        assert versions(await home.project()) == ["1.0"]
        assert home.asked == 2


async def test_a_404_that_was_never_a_page_is_not_written_to_disk(up: UpstreamServer) -> None:
    disk = SlowPages()
    async with house(up, disk=disk) as home:
        for number in range(10):
            with pytest.raises(NotFound):
                await home.project(public(f"unknown-{number}"))
    assert disk.saves == 0


async def test_where_another_index_answers_instead_a_404_outlives_a_restart(up: UpstreamServer) -> None:
    unknown = public("unknown")
    async with house(up) as home:
        home.keeps_denials = True
        home.restart()
        with pytest.raises(NotFound):
            await home.project(unknown)
        await home.pages.close()
        up.refuse()
        home.restart()
        home.passes(2 * ABSENT)
        assert not home.pages.denies(unknown)  # as nobody looked
        with pytest.raises(UpstreamDown):
            await home.project(unknown)
        assert home.pages.denies(unknown)


async def test_memory_holds_no_more_than_its_room(up: UpstreamServer) -> None:
    for number in range(20):
        up.publish(f"p{number}", f"p{number}-1.0.tar.gz", b"p%d" % number)
    async with house(up, memory=5 * (PAGE_COST + FILE_COST)) as home:
        for _ in range(2):
            for number in range(20):
                await home.project(public(f"p{number}"))
                assert len(home.pages._held) <= 5
                assert home.pages._held.cost == sum(held.cost for held in home.pages._held._pages.values())
        # What memory forgot, the disk had.
        assert home.asked == 20
        with pytest.raises(NotFound):
            await home.project(public("unknown"))
        assert home.pages._held.cost <= 5 * (PAGE_COST + FILE_COST)


async def test_what_is_used_stays_in_memory(up: UpstreamServer) -> None:
    for number in range(10):
        up.publish(f"p{number}", f"p{number}-1.0.tar.gz", b"p%d" % number)
    disk = SlowPages()
    async with house(up, memory=3 * (PAGE_COST + FILE_COST), disk=disk) as home:
        first = await home.project()
        for number in range(10):
            await home.project(public(f"p{number}"))
            assert await home.project() is first
        assert disk.loads == 11


async def test_a_page_bigger_than_memory_is_held_alone(up: UpstreamServer) -> None:
    async with house(up, memory=1) as home:
        first = await home.project()
        assert await home.project() is first
        assert (len(home.pages._held), DEMO in home.pages._held) == (1, True)


# Another mirror


@pytest.mark.parametrize("kind", ["json", "html"])
async def test_failing_over_to_an_equal_page_changes_nothing_that_clients_see(kind: Literal["json", "html"]) -> None:
    """Links name another host there, and HTML has neither sizes nor times: what is written of it is the same."""
    async with UpstreamServer() as one, UpstreamServer(kind=kind) as two:
        one.publish("demo", *make.wheel("demo", "1.0"), metadata=b"Name: demo", yanked="broken")
        two.publish("demo", *make.wheel("demo", "1.0"), yanked=True)
        async with house(one, two) as home:
            first = await home.project()
            one.refuse()
            home.passes(FRESH + 1)
            other = await home.project()
            assert [request.path for request in two.log] == ["/simple/demo/"]
            assert other.files["demo-1.0-py3-none-any.whl"].url.startswith(two.origin)
            for representation in (JSON, HTML):
                assert write_project(other, representation) == write_project(first, representation)


async def test_a_page_that_the_disk_lacks_is_fetched_whole_again_and_not_revalidated(up: UpstreamServer) -> None:
    """A 304 would put the new page's validators over the old page's bytes, and hold them there for ever."""

    class OnceFull(MemoryPages):
        full = False

        async def save(self, origin: str, name: PublicName, snapshot: Snapshot, body: bytes | None) -> None:
            if self.full:
                raise StoreDown("There is no room.")
            await super().save(origin, name, snapshot, body)

    disk = OnceFull()
    async with house(up, disk=disk, fresh=1) as built:
        await built.project()
        up.publish("demo", "demo-2.0.tar.gz", b"two")
        disk.full = True
        built.passes(10)
        assert versions(await built.project()) == ["1.0", "2.0"]
        disk.full = False
        built.passes(10)
        assert versions(await built.project()) == ["1.0", "2.0"]
        await built.settled()
        built.restart()
        up.refuse()
        assert versions(await built.project()) == ["1.0", "2.0"]


async def test_names_differ_in_how_long_their_pages_hold_and_never_by_more_than_a_tenth(up: UpstreamServer) -> None:
    names = [public(f"p{number}") for number in range(100)]
    for name in names:
        up.publish(name, f"{name}-1.0.tar.gz", name.encode())
    async with house(up, memory=10_000_000) as home:
        for name in names:
            await home.project(name)
        asked = []
        for seconds in (0.9 * SETTING, 0.1 * SETTING, 0.1 * SETTING):
            home.passes(seconds - 0.01)
            for name in names:
                await home.project(name)
            asked.append(home.asked)
    assert asked[0] == 100
    assert 130 < asked[1] < 170
    assert asked[2] == 200


async def test_a_page_comes_whole_again_after_a_day_of_304s(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project()
        for _ in range(24):
            home.passes(3601)
            assert await home.project() is first
        asked_whole = ["if-none-match" not in request.headers for request in up.log]
        assert asked_whole == [True, *[False] * 23, True]


# What else knows of pages


async def test_where_a_page_came_from_is_told_as_long_as_it_is_in_memory(up: UpstreamServer) -> None:
    async with house(up) as home:
        assert home.pages.seen(DEMO) is None
        await home.project()
        began = home.now
        home.passes(FRESH + 1)
        await home.project()
        assert home.pages.seen(DEMO) == Seen(mirror="one", fetched=began, checked=home.now)
        with pytest.raises(NotFound):
            await home.project(public("unknown"))
        assert home.pages.seen(public("unknown")) is None


async def test_healing_is_told_of_each_page_that_came_whole(up: UpstreamServer) -> None:
    async with house(up) as home:
        first = await home.project()
        assert home.fetched == [first]
        home.passes(FRESH + 1)
        await home.project()  # a 304
        home.restart()
        await home.project()
        assert home.fetched == [first]
        up.publish("demo", "demo-2.0.tar.gz", b"two")
        home.passes(FRESH + 1)
        second = await home.project()
        assert home.fetched == [first, second]


async def test_what_was_found_out_is_laid_over_the_page_at_hand_and_over_those_to_come(up: UpstreamServer) -> None:
    item = up.publish("bare", "bare-1.0.tar.gz", b"bare", size=None, upload_time=None)
    bare = public("bare")
    async with house(up) as home:
        before = await home.project(bare)
        assert before.files[item.filename].size is None
        await home.pages.relay(bare)
        assert await home.project(bare) is before
        assert await home.facts.learn(bare, {item.hashes["sha256"]: Fact(size=4, upload_time=make.NOON)})
        await home.pages.relay(bare)
        healed = await home.project(bare)
        assert (healed.files[item.filename].size, healed.files[item.filename].upload_time) == (4, make.NOON)
        await home.pages.relay(bare)
        home.passes(2 * FRESH)
        up.fault("/simple/", headers={"ETag": None, "Last-Modified": None})
        assert await home.project(bare) is healed
        await home.pages.relay(DEMO)  # which is not in memory
        assert home.asked == 2


async def test_what_was_found_out_survives_a_restart(up: UpstreamServer) -> None:
    item = up.publish("bare", "bare-1.0.tar.gz", b"bare", size=None, upload_time=None)
    async with house(up) as home:
        await home.project(public("bare"))
        await home.facts.learn(public("bare"), {item.hashes["sha256"]: Fact(size=4)})
        await home.facts.close()
        home.restart()
        up.refuse()
        assert (await home.project(public("bare"))).files[item.filename].size == 4


# A name that becomes private


async def test_a_question_about_a_name_that_becomes_private_is_stopped_and_no_other_mirror_hears_it() -> None:
    async with UpstreamServer() as one, UpstreamServer() as two:
        one.fault("/simple/", silent=True)
        async with house(one, two) as home:
            asking = asyncio.create_task(home.project())
            while not one.log:
                await asyncio.sleep(0)
            home.pages.withdraw(DEMO)
            with pytest.raises(UpstreamDown, match="No mirror is asked for demo any more"):
                await asking
            one.heal()
            await home.settled()
            assert [len(up.log) for up in (one, two)] == [1, 0]


async def test_a_page_of_a_name_that_becomes_private_is_forgotten_in_memory_and_on_disk(up: UpstreamServer) -> None:
    disk = MemoryPages()
    async with house(up, disk=disk) as home:
        await home.project()
        home.pages.withdraw(DEMO)
        await home.settled()
        assert home.pages.seen(DEMO) is None
        assert (len(home.pages._held), home.pages._held.cost) == (0, 0)
        assert (disk.snapshots, disk.bodies) == ({}, {})
        await home.facts.close()
        assert home.found_out.facts == {}


async def test_who_waits_for_the_disk_asks_no_mirror_about_a_name_that_became_private(up: UpstreamServer) -> None:
    disk = SlowPages()
    async with house(up, disk=disk) as home:
        disk.gate.clear()
        asking = asyncio.create_task(home.project())
        while not disk.loads:
            await asyncio.sleep(0)
        home.pages.withdraw(DEMO)
        disk.gate.set()
        with pytest.raises(UpstreamDown):
            await asking
        await home.settled()
        assert (up.log, DEMO in home.pages._held) == ([], False)


# Without waiting


async def test_a_page_is_at_hand_as_long_as_nobody_is_asked_for_it(up: UpstreamServer) -> None:
    async with house(up) as home:
        assert home.pages.at_hand(DEMO) is None
        page = await home.pages.project(DEMO)
        home.now += SETTING * (1 - SPREAD) - 1
        asked = len(up.asked())
        assert home.pages.at_hand(DEMO) is page
        home.now += 2 * SPREAD * SETTING + 2
        assert home.pages.at_hand(DEMO) is None
        assert len(up.asked()) == asked
        home.now -= 10**6  # a clock that was set back
        assert home.pages.at_hand(DEMO) is None


async def test_an_old_page_is_at_hand_while_no_mirror_is_tried(up: UpstreamServer) -> None:
    async with house(up) as home:
        page = await home.pages.project(DEMO)
        home.now += 10 * SETTING
        up.fault("/simple/", status=500)
        assert await home.pages.project(DEMO) is page
        assert home.pages.at_hand(DEMO) is page
        home.clock += RETRY + 1
        assert home.pages.at_hand(DEMO) is None


async def test_that_there_is_no_page_is_at_hand_for_a_while_too(up: UpstreamServer) -> None:
    async with house(up) as home:
        other = public("other")
        with pytest.raises(NotFound):
            await home.pages.project(other)
        with pytest.raises(NotFound):
            home.pages.at_hand(other)
        home.now += ABSENT + 1
        assert home.pages.at_hand(other) is None
