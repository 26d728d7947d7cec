"""Small parts of files that nobody fetched: asked for once, remembered for a moment, and never of a known liar."""

from __future__ import annotations

import asyncio

import pytest
from packaging.utils import canonicalize_name

from proxy.download import Downloads
from proxy.errors import NotFound, UpstreamDown
from proxy.glimpses import GLANCE, LIFE, TAIL, Glimpses
from proxy.lately import Lately

from .fake_upstream import FakeSources, Line
from .fakes import MemoryCache, MemoryStore
from .make import file

BODY = bytes(range(256)) * 1000
WHEEL = file("numpy-1.0-py3-none-any.whl", BODY, origin="pypi", url="https://mirror.example/numpy")
NOBODY = frozenset[str]()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def glimpses(sources: FakeSources, *, memory: int = 1_000_000, clock: Clock | None = None) -> Glimpses:
    return Glimpses(sources, memory=memory, clock=clock or Clock())


async def test_a_part_is_asked_for_once_by_all_who_want_it_and_remembered_for_a_moment() -> None:
    sources, clock = FakeSources([Line(BODY)]), Clock()
    looks = glimpses(sources, clock=clock)
    found = await asyncio.gather(*(looks.look("key", WHEEL, 1000, 2000, avoid=NOBODY) for _ in range(10)))
    assert set(found) == {BODY[1000:2000]}
    clock.now = LIFE - 1
    assert await looks.look("key", WHEEL, 1000, 2000, avoid=NOBODY) == BODY[1000:2000]
    assert sources.asked == [("one", 1000, 2000)]
    clock.now = LIFE + 1
    await looks.look("key", WHEEL, 1000, 2000, avoid=NOBODY)
    assert len(sources.asked) == 2


async def test_what_is_read_bit_by_bit_at_the_end_is_one_question() -> None:
    sources = FakeSources([Line(BODY)])
    looks, end = glimpses(sources), len(BODY)
    for begin in (end - 22, end - 1000, end - TAIL):
        assert await looks.look("key", WHEEL, begin, end, avoid=NOBODY) == BODY[begin:]
    assert sources.asked == [("one", end - TAIL, end)]


async def test_what_is_asked_of_a_name_that_becomes_private_is_asked_no_longer() -> None:
    """D04."""
    sources = FakeSources([Line(BODY)], gate=asyncio.Event())
    looks = glimpses(sources)
    waiting = asyncio.create_task(looks.look("key", WHEEL, 1000, 2000, avoid=NOBODY))
    while not sources.asked:
        await asyncio.sleep(0)
    looks.withdraw(canonicalize_name("num"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    looks.withdraw(canonicalize_name("numpy"))
    with pytest.raises(UpstreamDown, match="not asked for any more"):
        await waiting


async def test_only_so_much_is_remembered() -> None:
    sources = FakeSources([Line(BODY)])
    looks = glimpses(sources, memory=10_000)
    for begin in (0, 10_000, 20_000, 0):
        await looks.look("key", WHEEL, begin, begin + 5000, avoid=NOBODY)
    assert [begin for _, begin, _ in sources.asked] == [0, 10_000, 20_000, 0]
    await looks.look("key", WHEEL, 20_000, 25_000, avoid=NOBODY)
    assert len(sources.asked) == 4


async def test_the_next_mirror_is_asked_where_one_gives_no_part() -> None:
    lines = [
        Line(b"", mirror="dead", ends="opens not"),
        Line(b"", mirror="lacks it", ends="has it not"),
        Line(BODY, mirror="whole", ignores_range=True),
        Line(BODY[:1500], mirror="short"),
        Line(BODY, mirror="good"),
    ]
    sources = FakeSources(lines)
    assert await glimpses(sources).look("key", WHEEL, 1000, 2000, avoid=NOBODY) == BODY[1000:2000]
    assert len(sources.asked) == len(lines)
    assert await glimpses(FakeSources(lines[:4])).look("key", WHEEL, 1000, 2000, avoid=NOBODY) is None
    with pytest.raises(UpstreamDown, match="dead does not give it"):
        await glimpses(FakeSources(lines[:2])).look("key", WHEEL, 1000, 2000, avoid=NOBODY)
    with pytest.raises(NotFound):
        await glimpses(FakeSources(lines[1:2])).look("key", WHEEL, 1000, 2000, avoid=NOBODY)


async def test_what_a_liar_gave_is_not_given_again_once_he_is_known() -> None:
    sources = FakeSources([Line(bytes(len(BODY)), mirror="liar"), Line(BODY, mirror="honest")])
    looks = glimpses(sources)
    assert await looks.look("key", WHEEL, 1000, 2000, avoid=NOBODY) == bytes(1000)
    assert await looks.look("key", WHEEL, 1000, 2000, avoid=frozenset({"liar"})) == BODY[1000:2000]


async def test_a_part_is_never_bigger_than_a_glance(tmp_path: object) -> None:
    downloads = Downloads(tmp_path, FakeSources([Line(BODY)]), MemoryCache(), MemoryStore())  # type: ignore[arg-type]  # not used
    with pytest.raises(ValueError, match="no glimpse"):
        await downloads.glimpse(WHEEL, 1, GLANCE + 2)


async def test_a_question_goes_on_while_anybody_waits_and_no_longer() -> None:
    answer, asked, ended = asyncio.Event(), 0, 0

    async def ask() -> str:
        nonlocal asked, ended
        asked += 1
        try:
            await answer.wait()
        finally:
            ended += 1
        return "yes"

    lately: Lately[str] = Lately(room=10, life=1.0, clock=Clock())

    def one() -> asyncio.Task[str]:
        return asyncio.create_task(lately.get("key", ask, weight=len))

    first, second = one(), one()
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (asked, ended) == (1, 0)
    second.cancel()
    third = one()  # comes in the moment in which nobody waited
    await asyncio.gather(second, return_exceptions=True)
    answer.set()
    assert await third == "yes"
    assert await one() == "yes"


async def test_an_error_is_told_to_all_who_wait_and_forgotten() -> None:
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        raise UpstreamDown("No.")

    lately: Lately[str] = Lately(room=10, life=1.0, clock=Clock())
    found = await asyncio.gather(*(lately.get("key", ask, weight=len) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in found] == ["No."] * 3
    assert asked == 1
    with pytest.raises(UpstreamDown):
        await lately.get("key", ask, weight=len)
    assert asked == 2
