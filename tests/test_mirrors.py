"""A set of mirrors, over real sockets: who is asked when, what the next one mends, and what no and unknown are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from proxy.errors import MirrorFailed, NotFound, UpstreamDown
from proxy.policy import Policy, PublicName
from proxy.simple.model import TEXT, File
from proxy.simple.names import parse_name
from proxy.upstream.breaker import FAILURES, PROBE, Patience
from proxy.upstream.documents import MISSES
from proxy.upstream.guard import Guard, origin_of
from proxy.upstream.health import BEHIND, ENOUGH, MEMORY, SLOWER, SOON
from proxy.upstream.index import ACCEPT, Limits, Mirror
from proxy.upstream.mirrors import DAY, Answer, MirrorSet
from proxy.upstream.places import ABSENCES, ABSENT, HOSTS, Absences
from proxy.upstream.sessions import open_sessions

from . import make
from .upstream_listing import Item
from .upstream_server import CAPTIVE, UpstreamServer

BODY = bytes(range(256)) * 2000
WHEEL = "demo-1.0-py3-none-any.whl"


def public(text: str) -> PublicName:
    name = Policy().route(parse_name(text), frozenset()).public
    assert name is not None
    return name


DEMO = public("demo")


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


class Shifted:
    """The machine's clock, ahead by what a test says."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@asynccontextmanager
async def mirror_set(
    *ups: UpstreamServer,
    behind: tuple[UpstreamServer, ...] = (),
    now: Callable[[], float] | None = None,
    clock: Callable[[], float] | None = None,
    hedge: float = 60.0,
    files: Mapping[str, str] | None = None,
    **limits: Any,
) -> AsyncIterator[MirrorSet]:
    """Mirrors called one, two, three at *ups*, whose links may lead to those *behind* them.

    Nothing is asked side by side where *hedge* is not given.
    """
    own = [origin_of(up.origin) for up in (*ups, *behind)]
    async with open_sessions(guard=Guard(own=own), user_agent="yizhan/1", connect=2) as sessions:
        times = Limits(**{"connect": 2, "answer": 2, "stall": 2, "page": 5, **limits})
        yield MirrorSet(
            "pypi",
            [
                Mirror(name=name, base=up.simple, sessions=sessions, limits=times, files=(files or {}).get(name))
                for name, up in zip(("one", "two", "three"), ups, strict=False)
            ],
            patience=Patience(hedge=hedge),
            full_fetch=DAY,
            now=now or Clock(5000.0),
            clock=clock or Clock(),
            chance=lambda: 0.0,
        )


@pytest.fixture
async def ups() -> AsyncIterator[tuple[UpstreamServer, UpstreamServer]]:
    async with UpstreamServer() as one, UpstreamServer() as two:
        yield one, two


def publish(*ups: UpstreamServer, body: bytes = BODY, **facts: Any) -> Item:
    items = [up.publish("demo", WHEEL, body, **facts) for up in ups]
    return items[0]


async def the_file(mirrors: MirrorSet, filename: str = WHEEL) -> File:
    answer = await mirrors.page(DEMO, None)
    assert answer.project is not None
    return answer.project.files[filename]


async def fetch(mirrors: MirrorSet, file: File, *, begin: int = 0, avoid: frozenset[str] = frozenset()) -> bytes:
    """As a download does it, but that what breaks after the head is not taken up elsewhere."""
    failures: list[str] = []
    async with AsyncExitStack() as stack:
        for place in mirrors.places(file, avoid=avoid):
            try:
                transfer = await stack.enter_async_context(place.transfer(begin=begin, end=None))
            except NotFound:
                continue
            except MirrorFailed as error:
                failures.append(str(error))
                continue
            return b"".join([chunk async for chunk in transfer.chunks])
    if failures:
        raise UpstreamDown(" ".join(failures))
    raise NotFound("nowhere")


def order(mirrors: MirrorSet) -> list[str]:
    return [mirror.name for mirror in mirrors.in_turn()]


def order_for(mirrors: MirrorSet, file: File, *avoid: str) -> list[str]:
    return [place.name for place in mirrors.places(file, avoid=frozenset(avoid))]


# The order


async def test_mirrors_are_asked_in_the_operators_order_and_one_answer_is_enough(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(*ups)
    async with mirror_set(*ups) as mirrors:
        assert order(mirrors) == ["one", "two"]
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "one"
        assert await fetch(mirrors, await the_file(mirrors)) == BODY
    assert ups[1].log == []


async def test_a_mirror_that_failed_is_asked_last_until_its_pause_is_over(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(*ups)
    ups[0].fault("/simple/", status=500)
    clock = Clock()
    async with mirror_set(*ups, clock=clock) as mirrors:
        for _ in range(3):
            assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
        assert len(ups[0].log) == 1
        clock.time += BEHIND - 0.001
        assert order(mirrors) == ["two", "one"]
        clock.time += 0.001
        assert order(mirrors) == ["one", "two"]
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
        assert len(ups[0].log) == 2


async def test_a_mirror_that_answers_again_is_well_at_once(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    for up in ups:
        up.fault("/simple/", status=503, times=1)
    async with mirror_set(*ups) as mirrors:
        with pytest.raises(UpstreamDown):
            await mirrors.page(DEMO, None)
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "one"
        assert order(mirrors) == ["one", "two"]


async def test_whoever_is_to_be_avoided_comes_after_the_ill() -> None:
    async with UpstreamServer() as one, UpstreamServer() as two, UpstreamServer() as three:
        publish(one, two, three)
        one.fault("/packages/", status=500)
        async with mirror_set(one, two, three) as mirrors:
            file = await the_file(mirrors)
            await fetch(mirrors, file)
            assert order_for(mirrors, file) == ["two", "three", "one"]
            assert order_for(mirrors, file, "two") == ["three", "one", "two"]
            assert order_for(mirrors, file, "two", "one", "three") == ["two", "three", "one"]
            # Its pages are as good as they were.
            assert order(mirrors) == ["one", "two", "three"]


async def test_a_mirror_that_breaks_off_is_asked_last_for_the_next_file(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(*ups)
    ups[0].fault("/packages/", cut_after=1000)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        with pytest.raises(MirrorFailed):
            await fetch(mirrors, file)
        assert order_for(mirrors, file) == ["two", "one"]
        assert await fetch(mirrors, file) == BODY


async def test_a_mirror_with_all_hands_full_is_passed_over(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    ups[0].fault("/packages/", stall_after=100)
    async with mirror_set(*ups) as mirrors, AsyncExitStack() as stack:
        file = await the_file(mirrors)
        for _ in range(16):  # a mirror's connections
            place = mirrors.places(file, avoid=frozenset())[0]
            await stack.enter_async_context(place.transfer(begin=0, end=None))
        assert await fetch(mirrors, file) == BODY
    assert len(ups[1].asked("/packages/")) == 1


# Pages


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 403, "body": b"<html>403: your subnet is not welcome</html>"},
        {"status": 401},
        {"status": 429, "headers": {"Retry-After": "7"}},
        CAPTIVE,
        {"status": 200, "body": b'{"meta": {"api-version": "1.1"}, "name": "demo"'},
        {"status": 200, "body": b"[" * 200_000},
        {"status": 200, "body": b'{"meta": {"api-version": "2.0"}, "name": "demo", "files": [], "versions": []}'},
        {"status": 304, "body": b""},
        {"status": 206},
        {"status": 204, "body": b""},
        {"cut_after": 20},
        {"cut_after": 0, "reset": True},
        {"raw": b"SSH-2.0-OpenSSH_9.2\r\n"},
        {"silent": True},
        {"stall_after": 10},
        {"redirect": "/simple/demo/"},
        {"redirect": "http://169.254.169.254/latest/"},
        {"redirect": "ftp://mirror.example/"},
        {"headers": {"Content-Encoding": "br"}},
    ],
    ids=lambda fault: "-".join(f"{key}={str(value)[:30]}" for key, value in fault.items()),
)
async def test_whatever_one_mirror_says_instead_of_a_page_the_next_is_asked(
    ups: tuple[UpstreamServer, UpstreamServer], fault: dict[str, Any]
) -> None:
    publish(*ups)
    ups[0].fault("/simple/", **fault)
    async with mirror_set(*ups, connect=0.3, answer=0.2, stall=0.2) as mirrors:
        answer = await mirrors.page(DEMO, None)
        assert answer.snapshot.mirror == "two"
        assert answer.project is not None
        assert list(answer.project.files) == [WHEEL]
        # Alone it is neither a page nor a 404.
        ups[1].refuse()
        with pytest.raises(UpstreamDown, match="No mirror of pypi could answer for demo now") as failed:
            await mirrors.page(DEMO, None)
        assert not isinstance(failed.value, MirrorFailed)


async def test_a_project_is_absent_only_where_every_mirror_says_so(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    async with mirror_set(*ups) as mirrors:
        with pytest.raises(NotFound, match="No mirror of pypi knows demo"):
            await mirrors.page(DEMO, None)
        assert [len(up.log) for up in ups] == [1, 1]
        publish(ups[1])
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
        ups[1].listing.remove("demo")
        ups[1].fault("/simple/", status=502)
        with pytest.raises(UpstreamDown):
            await mirrors.page(DEMO, None)


async def test_a_mirror_that_does_not_have_it_is_not_ill(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(ups[1])
    async with mirror_set(*ups) as mirrors:
        await mirrors.page(DEMO, None)
        assert order(mirrors) == ["one", "two"]


async def test_a_page_that_still_holds_is_not_read_again(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    now = Clock(5000.0)
    async with mirror_set(*ups, now=now) as mirrors:
        first = await mirrors.page(DEMO, None)
        now.time = 6000.0
        again = await mirrors.page(DEMO, first.snapshot)
    assert (first.snapshot.fetched, first.snapshot.checked) == (5000.0, 5000.0)
    assert again == Answer(snapshot=again.snapshot, project=None, body=None)
    assert (again.snapshot.fetched, again.snapshot.checked) == (5000.0, 6000.0)
    assert ups[0].log[1].headers["if-none-match"] == first.snapshot.etag


async def test_a_mirror_is_never_told_another_ones_validators(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(ups[0])
    publish(ups[1], requires_python=">=3.9")
    async with mirror_set(*ups) as mirrors:
        first = await mirrors.page(DEMO, None)
        ups[0].refuse()
        # An answer to the other's validators would say that the page is unchanged.
        ups[1].fault("/simple/", headers={"ETag": first.snapshot.etag})
        other = await mirrors.page(DEMO, first.snapshot)
    assert other.project is not None
    assert other.snapshot.mirror == "two"
    assert other.project.files[WHEEL].requires_python == ">=3.9"
    assert not {"if-none-match", "if-modified-since"} & set(ups[1].log[0].headers)


async def test_a_304_for_a_page_that_was_absent_is_not_believed(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(ups[0])
    async with mirror_set(ups[0]) as mirrors:
        known = (await mirrors.page(DEMO, None)).snapshot
        for field in ("if-none-match", "if-modified-since"):
            assert field not in ups[0].log[0].headers
        ups[0].fault("/simple/", status=304)
        with pytest.raises(UpstreamDown, match="304"):
            await mirrors.page(DEMO, None)
        assert (await mirrors.page(DEMO, known)).project is None


async def test_links_are_resolved_against_where_the_page_was_found(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    item = publish(ups[1])
    ups[0].fault("/simple/", redirect=f"{ups[1].simple}demo/")
    async with mirror_set(*ups) as mirrors:
        answer = await mirrors.page(DEMO, None)
    assert answer.project is not None
    assert answer.snapshot.mirror == "one"
    assert answer.snapshot.url == f"{ups[1].simple}demo/"
    assert answer.project.files[WHEEL].url == ups[1].url(item)


# Files


async def test_a_file_is_asked_for_at_the_same_path_of_the_other_mirrors(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    item = publish(*ups)
    ups[0].fault("/packages/", status=404)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        assert await fetch(mirrors, file) == BODY
        assert await fetch(mirrors, file, begin=1000) == BODY[1000:]
        assert order(mirrors) == ["one", "two"]
    assert ups[1].log[0].path == f"/packages/{item.path}/{WHEEL}"
    assert ups[1].log[1].headers["range"] == "bytes=1000-"


async def test_the_metadata_beside_a_file_is_had_from_any_mirror(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups, metadata=b"Metadata-Version: 2.1\n")
    ups[0].fault("/packages/", status=404)
    async with mirror_set(*ups) as mirrors:
        sibling = (await the_file(mirrors)).sibling()
        assert await fetch(mirrors, sibling) == b"Metadata-Version: 2.1\n"


async def test_a_mirror_that_leads_elsewhere_for_its_files_still_has_the_others_behind_it() -> None:
    async with UpstreamServer() as files, UpstreamServer() as two, UpstreamServer(links=files.files) as one:
        publish(one, files, two)
        async with mirror_set(one, two, behind=(files,)) as mirrors:
            file = await the_file(mirrors)
            assert file.url.startswith(files.origin)
            assert await fetch(mirrors, file) == BODY
            files.fault("/packages/", status=500)
            one.fault("/packages/", status=500)
            assert await fetch(mirrors, file) == BODY
        assert (len(one.asked("/packages/")), len(two.asked("/packages/"))) == (1, 1)


async def test_a_file_at_a_place_of_its_own_is_asked_for_there_alone(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    for up in ups:
        up.publish("demo", WHEEL, BODY, url=f"../../files/{WHEEL}?a=b")
    ups[0].fault("/files/", status=500)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        with pytest.raises(UpstreamDown):
            await fetch(mirrors, file)
    assert [request.path for request in ups[0].asked("/files/")] == [f"/files/{WHEEL}?a=b"]
    assert ups[1].log == []


async def test_a_plus_in_a_filename_stays_what_each_side_wrote(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    wheel = "demo-1.0+cu128-py3-none-any.whl"
    for up in ups:
        up.publish("demo", wheel, BODY)
    ups[0].fault("/packages/", status=404)
    async with mirror_set(*ups) as mirrors:
        assert await fetch(mirrors, await the_file(mirrors, wheel)) == BODY
    assert ups[0].log[1].path.endswith("/demo-1.0%2Bcu128-py3-none-any.whl")
    assert ups[1].log[0].path.endswith("/demo-1.0+cu128-py3-none-any.whl")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 403, "body": b"no"},
        CAPTIVE,
        {"headers": {"Content-Encoding": "gzip"}},
        {"raw": b"\x00" * 100},
        {"silent": True},
        {"redirect": "/packages/"},
        {"redirect": "http://192.168.1.1/"},
        {"status": 206},
        {"status": 204},
    ],
    ids=lambda fault: "-".join(f"{key}={str(value)[:30]}" for key, value in fault.items()),
)
async def test_whatever_one_mirror_says_instead_of_a_file_the_next_is_asked(
    ups: tuple[UpstreamServer, UpstreamServer], fault: dict[str, Any]
) -> None:
    publish(*ups)
    ups[0].fault("/packages/", **fault)
    async with mirror_set(*ups, connect=0.3, answer=0.2) as mirrors:
        file = await the_file(mirrors)
        assert await fetch(mirrors, file) == BODY
        # Who failed comes last, and who refuses is not asked at all.
        assert order_for(mirrors, file) == (["two"] if fault.get("status") == 403 else ["two", "one"])
        ups[1].refuse()
        with pytest.raises(UpstreamDown, match="two"):
            await fetch(mirrors, file)


async def test_a_file_is_absent_only_where_every_mirror_says_so(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    for up in ups:
        up.fault("/packages/", status=404)
    clock = Clock()
    async with mirror_set(*ups, clock=clock) as mirrors:
        file = await the_file(mirrors)
        with pytest.raises(NotFound):
            await mirrors.measure(file)
        with pytest.raises(NotFound):
            await fetch(mirrors, file)
        clock.time += ABSENT
        ups[1].refuse()
        with pytest.raises(UpstreamDown):
            await fetch(mirrors, file)
        with pytest.raises(UpstreamDown):
            await mirrors.measure(file)


async def test_what_breaks_after_the_head_is_told_to_whoever_reads(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    ups[0].fault("/packages/", cut_after=1000)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        with pytest.raises(MirrorFailed):
            await fetch(mirrors, file)
        # The reader asks on, and says who is to be avoided.
        assert await fetch(mirrors, file, begin=1000, avoid=frozenset({"one"})) == BODY[1000:]
    assert len(ups[1].asked("/packages/")) == 1


async def test_what_the_reader_raises_is_not_taken_for_the_mirrors_fault(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(*ups)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        with pytest.raises(NotFound, match="of the reader"):
            async with mirrors.places(file, avoid=frozenset())[0].transfer(begin=0, end=None):
                raise NotFound("of the reader")
        assert await fetch(mirrors, file) == BODY
        assert order(mirrors) == ["one", "two"]
    assert ups[1].log == []


async def test_a_size_is_had_from_the_next_mirror_where_the_first_fails(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(*ups, size=None)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        assert await mirrors.measure(file) == len(BODY)
        ups[0].fault("/packages/", status=500)
        assert await mirrors.measure(file) == len(BODY)
        assert order_for(mirrors, file) == ["two", "one"]
    assert {request.headers["range"] for up in ups for request in up.asked("/packages/")} == {"bytes=0-0"}


async def test_a_reader_that_leaves_frees_its_turn(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    ups[0].fault("/packages/", stall_after=100)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        for _ in range(40):  # more than a mirror's connections
            begun = asyncio.Event()

            async def read(begun: asyncio.Event = begun) -> None:
                async with mirrors.places(file, avoid=frozenset())[0].transfer(begin=0, end=None) as transfer:
                    begun.set()
                    async for _ in transfer.chunks:
                        pass

            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert order(mirrors) == ["one", "two"]
    assert len(ups[0].asked("/packages/")) == 40


async def test_a_place_without_a_file_is_not_asked_for_it_again_so_soon(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    """F1: while a mirror lags, each client would ask it for what it does not have yet."""
    publish(*ups)
    ups[0].publish("demo", "demo-2.0.tar.gz", b"other")
    ups[0].fault("/packages/", status=404)
    clock = Clock()
    async with mirror_set(*ups, clock=clock) as mirrors:
        file = await the_file(mirrors)
        for _ in range(3):
            assert await fetch(mirrors, file) == BODY
        assert len(ups[0].asked("/packages/")) == 1
        assert order_for(mirrors, await the_file(mirrors, "demo-2.0.tar.gz")) == ["one", "two"]
        clock.time += ABSENT
        assert order_for(mirrors, file) == ["one", "two"]


async def test_what_is_remembered_of_absences_is_bounded() -> None:
    absences = Absences(Clock())
    for number in range(ABSENCES + 5):
        absences.add("one", str(number))
    assert len(absences._until) == ABSENCES
    assert absences.has("one", str(ABSENCES + 4))
    assert not absences.has("one", "4")


async def test_a_mirror_that_keeps_its_files_apart_is_asked_for_them_there(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    """SJTU's `/pypi-packages/`."""
    item = publish(*ups)
    ups[0].fault("/packages/", status=500)
    ups[1].fault("/pypi-packages/", status=200, body=BODY, headers={"Content-Type": "application/octet-stream"})
    async with mirror_set(*ups, files={"two": f"{ups[1].origin}/pypi-packages/"}) as mirrors:
        assert await fetch(mirrors, await the_file(mirrors)) == BODY
    assert [request.path for request in ups[1].log] == [f"/pypi-packages/{item.path}/{WHEEL}"]


async def test_a_link_into_a_mirror_s_own_files_is_that_mirror_s(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    async with UpstreamServer() as storage, UpstreamServer(links=storage.files) as one:
        publish(one, storage)
        async with mirror_set(one, behind=(storage,), files={"one": storage.files}) as mirrors:
            file = await the_file(mirrors)
            assert [(place.name, place.url) for place in mirrors.places(file, avoid=frozenset())] == [("one", file.url)]
            assert await fetch(mirrors, file) == BODY


# Hedging


async def test_who_does_not_answer_soon_is_raced_by_the_next(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    ups[0].fault("/simple/", silent=True)
    async with mirror_set(*ups, hedge=10 * SOON, clock=time.monotonic) as mirrors:
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
        assert len(ups[0].log) == 1
        # Slow, and no failure: from now on the other one is the first.
        assert order(mirrors) == ["two", "one"]
        (one, _) = mirrors.health()
        assert (one.failed, one.pages, one.last_error) == (0, "closed", None)
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
        assert len(ups[0].log) == 1


async def test_the_slower_one_still_wins_where_the_quicker_one_fails(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(ups[0])
    ups[0].fault("/simple/", delay=0.3)
    for fault in ({"status": 404}, {"status": 500}, CAPTIVE):
        ups[1].fault("/simple/", **fault)
        async with mirror_set(*ups, hedge=0.05) as mirrors:
            assert (await mirrors.page(DEMO, None)).snapshot.mirror == "one"
    assert len(ups[1].log) >= 3


async def test_who_answers_soon_is_asked_alone(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    async with mirror_set(*ups, hedge=5.0) as mirrors:
        for _ in range(5):
            await mirrors.page(DEMO, None)
    assert ups[1].log == []


async def test_a_question_that_nobody_waits_for_is_stopped_everywhere(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    """D04: about a name that becomes private no mirror is asked a moment later."""
    for up in ups:
        up.fault("/simple/", silent=True)
    async with mirror_set(*ups, hedge=0.01, clock=time.monotonic) as mirrors:
        task = asyncio.create_task(mirrors.page(DEMO, None))
        while not all(up.log for up in ups):
            await asyncio.sleep(0.01)
        asking = [one for one in asyncio.all_tasks() if getattr(one.get_coro(), "__name__", "") == "_ask"]
        assert len(asking) == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(one.cancelled() for one in asking)
        assert [state.failed for state in mirrors.health()] == [0, 0]


async def test_a_mirror_clearly_slower_than_the_others_is_asked_after_them() -> None:
    async with UpstreamServer() as one, UpstreamServer() as two:
        publish(one, two)
        one.fault("/", delay=0.4)
        clock = Shifted()
        async with mirror_set(one, two, hedge=60.0, clock=clock) as mirrors:
            file = await the_file(mirrors)
            assert (await mirrors.second(DEMO, "one")).snapshot.mirror == "two"
            assert order(mirrors) == ["two", "one"]
            assert order_for(mirrors, file) == ["one", "two"]  # of files nobody knows anything yet
            clock.ahead += MEMORY
            assert order(mirrors) == ["one", "two"]


async def test_a_mirror_with_a_thin_line_is_asked_for_files_after_the_others() -> None:
    body = bytes(3 * ENOUGH)
    async with UpstreamServer() as one, UpstreamServer() as two:
        publish(one, two, body=body)
        one.fault("/packages/", rate=2_000_000)
        two.fault("/packages/", rate=20_000_000)
        async with mirror_set(one, two, clock=time.monotonic) as mirrors:
            file = await the_file(mirrors)
            assert await fetch(mirrors, file) == body
            assert order_for(mirrors, file) == ["one", "two"]
            assert await fetch(mirrors, file, avoid=frozenset({"one"})) == body
            assert order_for(mirrors, file) == ["two", "one"]
            speeds = [state.speed or 0.0 for state in mirrors.health()]
    assert speeds[0] * SLOWER < speeds[1]


# Left alone


async def test_who_refuses_is_left_alone_at_once_and_named_with_code_and_id(
    ups: tuple[UpstreamServer, UpstreamServer], caplog: pytest.LogCaptureFixture
) -> None:
    """F3: never passed on, never asked around."""
    publish(*ups)
    body = b"<html>403<p>1a2b3c4d</p><p>0123456789abcdef0123456789abcdef</p></html>"
    ups[0].fault("/simple/", status=403, body=body)
    clock = Clock()
    async with mirror_set(*ups, clock=clock) as mirrors:
        for _ in range(5):
            assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
        assert len(ups[0].log) == 1
        said = "one answered 403 As said (code 1a2b3c4d, id 0123456789abcdef0123456789abcdef)."
        assert caplog.messages == [
            f"mirror one, asked for demo: {said}",
            "mirror one is left alone for 600 s, as far as pages go",
        ]
        one, two = mirrors.health()
        assert (one.pages, one.files, one.pages_retry_in, one.last_error) == ("open", "closed", 600, said)
        assert (two.pages, two.failed) == ("closed", 0)
        ups[0].heal()
        clock.time += 600
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "one"
        assert mirrors.health()[0].pages == "closed"


@pytest.mark.parametrize("said", ["7", "Thu, 15 Jan 2026 12:00:07 GMT", "99999", "soon"])
async def test_a_retry_after_is_obeyed_for_pages_and_files(
    ups: tuple[UpstreamServer, UpstreamServer], said: str
) -> None:
    """A20: not one request within it, whatever is asked for, and clients are told to come back soon."""
    seconds = {"99999": 60, "soon": 5}.get(said, 7)
    publish(*ups)
    clock = Clock()
    async with mirror_set(ups[0], clock=clock) as mirrors:
        file = await the_file(mirrors)
        headers = {"Retry-After": said, "Date": "Thu, 15 Jan 2026 12:00:00 GMT"}
        ups[0].fault("/packages/", status=429, headers=headers)
        with pytest.raises(UpstreamDown):
            await fetch(mirrors, file)
        asked = len(ups[0].log)
        for wait in (0.0, seconds - 0.01):
            clock.time += wait
            with pytest.raises(UpstreamDown, match="one is left alone for another") as caught:
                await mirrors.page(DEMO, None)
            assert caught.value.retry_after <= 5
            with pytest.raises(UpstreamDown, match="one is left alone for another"):
                await fetch(mirrors, file)
            with pytest.raises(UpstreamDown):
                await mirrors.measure(file)
            with pytest.raises(UpstreamDown):
                await mirrors.legacy(DEMO)
            assert mirrors.in_turn() == []
        assert len(ups[0].log) == asked
        clock.time += 0.01
        ups[0].heal()
        assert await fetch(mirrors, file) == BODY
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "one"


async def test_a_dead_mirror_costs_three_questions_and_then_one_for_each_pause(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(*ups)
    ups[0].fault("/simple/", status=500)
    clock = Clock()
    async with mirror_set(*ups, clock=clock) as mirrors:
        for _ in range(FAILURES):
            for _ in range(5):
                assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
            clock.time += BEHIND
        assert len(ups[0].log) == FAILURES
        asked = []
        for _ in range(600):
            clock.time += 1
            await mirrors.page(DEMO, None)
            asked.append(len(ups[0].log) - FAILURES)
        assert asked[-1] <= 8


async def test_a_mirror_left_alone_could_not_say_no(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    ups[0].fault("/simple/", status=403)
    async with mirror_set(*ups) as mirrors:
        for _ in range(2):
            with pytest.raises(UpstreamDown, match="one"):
                await mirrors.page(DEMO, None)
    assert [len(up.log) for up in ups] == [1, 2]


async def test_after_an_outage_of_all_the_first_one_back_is_found_within_seconds(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    """A line that was down: nobody waits for pauses that grew meanwhile, and nobody is stormed."""
    publish(*ups)
    for up in ups:
        up.fault("/simple/", status=502)
    clock = Clock()
    async with mirror_set(*ups, clock=clock) as mirrors:
        for _ in range(300):
            with pytest.raises(UpstreamDown) as caught:
                await mirrors.page(DEMO, None)
            assert 1 <= caught.value.retry_after <= 5
            clock.time += 0.2
        assert all(len(up.log) <= 3 + 60 / PROBE + 1 for up in ups)
        assert str(caught.value).startswith("No mirror of pypi could answer for demo now: one ")
        assert "is left alone for another" in str(caught.value)
        ups[1].heal()
        clock.time += PROBE
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"


@pytest.mark.parametrize("status", [200, 502])
async def test_of_many_questions_in_an_outage_one_goes_out_and_decides_on_the_others(
    ups: tuple[UpstreamServer, UpstreamServer], status: int
) -> None:
    publish(ups[0])
    clock = Clock()
    async with mirror_set(ups[0], clock=clock) as mirrors:
        known = (await mirrors.page(DEMO, None)).snapshot
        ups[0].fault("/simple/", status=502, times=FAILURES)
        for _ in range(FAILURES):
            with pytest.raises(UpstreamDown):
                await mirrors.page(DEMO, None)
        clock.time += 5
        before = len(ups[0].log)
        held = ups[0].fault("/simple/", silent=True, times=1, **({} if status == 200 else {"status": status}))
        probe = asyncio.create_task(mirrors.page(DEMO, None))
        while len(ups[0].log) == before:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(mirrors.page(DEMO, None)) for _ in range(10)]
        # Who has an old page waits for nobody.
        for _ in range(10):
            with pytest.raises(UpstreamDown, match="one is left alone"):
                await mirrors.page(DEMO, known)
        assert len(ups[0].log) == before + 1
        assert not any(task.done() for task in waiting)
        held.lifted.set()
        ended = await asyncio.gather(probe, *waiting, return_exceptions=True)
        if status == 200:
            assert {answer.snapshot.mirror for answer in ended if isinstance(answer, Answer)} == {"one"}
            assert mirrors.health()[0].pages == "closed"
        else:
            assert {type(error) for error in ended} == {UpstreamDown}
            assert len(ups[0].log) == before + 1


async def test_of_many_transfers_in_an_outage_one_goes_out_and_decides_on_the_others(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(ups[0])
    clock = Clock()
    async with mirror_set(ups[0], clock=clock) as mirrors:
        file = await the_file(mirrors)
        ups[0].fault("/packages/", status=502, times=FAILURES)
        for _ in range(FAILURES):
            with pytest.raises(UpstreamDown):
                await fetch(mirrors, file)
        clock.time += 5
        held = ups[0].fault("/packages/", silent=True, times=1)
        probe = asyncio.create_task(fetch(mirrors, file))
        while len(ups[0].asked("/packages/")) == FAILURES:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(fetch(mirrors, file)) for _ in range(10)]
        size = asyncio.create_task(mirrors.measure(file))
        await asyncio.sleep(0.05)
        assert len(ups[0].asked("/packages/")) == FAILURES + 1
        held.lifted.set()
        assert await asyncio.gather(probe, *waiting) == [BODY] * 11
        assert await size == len(BODY)


async def test_a_place_left_alone_is_not_among_the_places_unless_all_are(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(*ups)
    ups[0].fault("/packages/", status=403)
    clock = Clock()
    async with mirror_set(*ups, clock=clock) as mirrors:
        file = await the_file(mirrors)
        await fetch(mirrors, file)
        assert order_for(mirrors, file) == ["two"]
        ups[1].fault("/packages/", status=500)
        for _ in range(FAILURES):
            with pytest.raises(UpstreamDown):
                await fetch(mirrors, file)
        assert set(order_for(mirrors, file)) == {"one", "two"}
        for up in ups:
            up.heal()
        clock.time += PROBE
        assert await fetch(mirrors, file) == BODY
        # As a last resort: who refused is not asked, whatever the need.
        assert len(ups[0].asked("/packages/")) == 1


async def test_who_is_sent_on_to_a_mirror_that_refuses_does_not_follow_again() -> None:
    """USTC's misses lead to TUNA; what USTC holds itself is still to be had there."""
    async with UpstreamServer() as ustc, UpstreamServer() as tuna:
        item = publish(ustc, tuna)
        held = ustc.publish("demo", "demo-2.0.tar.gz", b"held")
        miss = ustc.fault(f"/packages/{item.path}", redirect=tuna.url(item))
        tuna.fault("/packages/", status=403)
        async with mirror_set(ustc, tuna) as mirrors:
            file = await the_file(mirrors)
            for _ in range(FAILURES + 1):
                with pytest.raises(UpstreamDown, match=r"two is left alone|answered 403"):
                    await fetch(mirrors, file)
            assert len(tuna.asked("/packages/")) == 1
            one, two = mirrors.health()
            assert (one.files, two.files) == ("closed", "open")
            assert await fetch(mirrors, await the_file(mirrors, held.filename)) == b"held"
    assert miss.times is None


async def test_of_strangers_behind_links_there_is_a_book_too() -> None:
    async with UpstreamServer() as storage, UpstreamServer(links=storage.files) as one, UpstreamServer() as two:
        publish(one, storage)
        publish(two)
        storage.fault("/packages/", status=403)
        async with mirror_set(one, two, behind=(storage,)) as mirrors:
            file = await the_file(mirrors)
            stranger = storage.origin.removeprefix("http://")
            assert order_for(mirrors, file) == [stranger, "one", "two"]
            for _ in range(3):
                await fetch(mirrors, file)
            assert order_for(mirrors, file) == ["one", "two"]
            assert len(storage.log) == 1
            assert [state.files for state in mirrors.health()] == ["closed", "closed"]


async def test_books_of_strangers_are_bounded() -> None:
    async with UpstreamServer() as one, mirror_set(one) as mirrors:
        for number in range(HOSTS + 10):
            mirrors.places(make.file(WHEEL, url=f"https://host{number}.example/{WHEEL}"), avoid=frozenset())
        assert len(mirrors._places._strangers) == HOSTS


# Never back


async def test_a_page_older_than_the_one_known_is_not_used(
    ups: tuple[UpstreamServer, UpstreamServer], caplog: pytest.LogCaptureFixture
) -> None:
    """F6, F7 and B21, in JSON and in HTML alike."""
    publish(*ups)
    ups[1].publish("demo", "demo-2.0.tar.gz", b"new")
    async with mirror_set(*ups) as mirrors:
        known = (await mirrors.second(DEMO, "one")).snapshot
        assert known.serial == ups[1].listing.serial == 3
        caplog.clear()
        answer = await mirrors.page(DEMO, known)
        assert (answer.snapshot.mirror, answer.snapshot.serial) == ("two", 3)
        assert answer.project is None  # not changed since
        assert caplog.messages == [
            "mirror one, asked for demo: one has an older page of demo, by 1 changes of the index."
        ]
        one, two = mirrors.health()
        assert (one.lag, one.failed, one.pages, two.lag) == (1, 0, "closed", 0)


@pytest.mark.parametrize("other", [{"status": 500}, {"status": 404}, {}])
async def test_where_all_that_answer_are_behind_what_is_known_still_holds(
    ups: tuple[UpstreamServer, UpstreamServer], other: dict[str, Any]
) -> None:
    publish(*ups)
    now = Clock(5000.0)
    async with mirror_set(*ups, now=now) as mirrors:
        known = msgspec.structs.replace((await mirrors.page(DEMO, None)).snapshot, serial=100, etag=None)
        known = msgspec.structs.replace(known, last_modified=None)
        if other:
            ups[1].fault("/simple/", **other)
        now.time += DAY - 1
        answer = await mirrors.page(DEMO, known)
        assert answer == Answer(snapshot=msgspec.structs.replace(known, checked=now.time), project=None, body=None)
        # But nothing holds for ever: an index may have begun to count anew.
        now.time += 1
        answer = await mirrors.page(DEMO, known)
        assert (answer.snapshot.serial, answer.snapshot.fetched) == (2, now.time)
        assert answer.project is not None


async def test_a_serial_in_the_head_counts_where_the_page_has_none(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    page = b'<html><title>Links for demo</title><body><a href="demo-1.0.tar.gz">demo-1.0.tar.gz</a></body></html>'
    ups[0].fault("/simple/", status=200, body=page, headers={"Content-Type": TEXT, "X-PyPI-Last-Serial": "7"})
    ups[1].fault("/simple/", status=200, body=page + b"<!--SERIAL 9-->", headers={"X-PyPI-Last-Serial": "7"})
    async with mirror_set(*ups) as mirrors:
        assert (await mirrors.page(DEMO, None)).snapshot.serial == 7
        assert (await mirrors.second(DEMO, "one")).snapshot.serial == 9


async def test_a_page_is_fetched_whole_once_a_day_however_many_304s_came(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(ups[0])
    now = Clock(5000.0)
    async with mirror_set(ups[0], now=now) as mirrors:
        snapshot = (await mirrors.page(DEMO, None)).snapshot
        for _ in range(24):
            now.time += DAY / 24 - 1
            answer = await mirrors.page(DEMO, snapshot)
            assert answer.project is None
            snapshot = answer.snapshot
        assert snapshot.fetched == 5000.0
        now.time += 24
        answer = await mirrors.page(DEMO, snapshot)
        assert answer.project is not None
        assert answer.snapshot.fetched == now.time
        # Nor where the clock was set back.
        now.time -= 2 * DAY
        assert (await mirrors.page(DEMO, answer.snapshot)).project is not None
    assert "if-none-match" not in ups[0].log[-1].headers
    assert "if-none-match" not in ups[0].log[-2].headers


# Pages that are none


async def test_a_folder_s_listing_in_place_of_json_is_asked_for_as_html(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    """F10: bandersnatch's own sample of a server's configuration does that."""
    publish(*ups)
    listing = b'<html><head><title>Index of /simple/demo/</title></head><body><a href="../">../</a></body></html>'
    ups[0].fault("/simple/", status=200, body=listing, headers={"Content-Type": TEXT}, times=1)
    async with mirror_set(*ups) as mirrors:
        answer = await mirrors.page(DEMO, None)
        assert answer.snapshot.mirror == "one"
        assert answer.project is not None
        assert list(answer.project.files) == [WHEEL]
        assert [request.headers["accept"] for request in ups[0].log] == [ACCEPT, TEXT]
        assert mirrors.health()[0].failed == 0
        # Who gives nothing else has failed, after one more question and no more.
        ups[0].fault("/simple/", status=200, body=listing, headers={"Content-Type": TEXT})
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
    assert len(ups[0].log) == 4


EMPTY = b'{"meta": {"api-version": "1.1", "_last-serial": 9}, "name": "demo", "files": [], "versions": []}'


async def test_a_page_without_files_is_believed_only_where_nobody_has_any(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(ups[1])
    ups[0].fault("/simple/", status=200, body=EMPTY)
    async with mirror_set(*ups) as mirrors:
        assert (await mirrors.page(DEMO, None)).snapshot.mirror == "two"
        for fault in ({"status": 404}, {"status": 500}, {"status": 200, "body": EMPTY}):
            ups[1].fault("/simple/", **fault)
            answer = await mirrors.page(DEMO, None)
            assert (answer.snapshot.mirror, answer.body) == ("one", EMPTY)
            assert answer.project is not None
            assert answer.project.files == {}


async def test_a_page_that_says_why_it_is_empty_is_believed_at_once(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    """B15: other mirrors may lose the status, and would offer the malware."""
    publish(ups[1])
    said = EMPTY.replace(b'"files"', b'"project-status": {"status": "quarantined"}, "files"')
    ups[0].fault("/simple/", status=200, body=said)
    async with mirror_set(*ups) as mirrors:
        answer = await mirrors.page(DEMO, None)
    assert answer.project is not None
    assert (answer.snapshot.mirror, answer.project.status) == ("one", "quarantined")
    assert ups[1].log == []


async def test_a_second_word_is_another_mirror_s_whole_page(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    async with mirror_set(*ups) as mirrors:
        for other, mirror in (("one", "two"), ("two", "one")):
            answer = await mirrors.second(DEMO, other)
            assert (answer.snapshot.mirror, answer.project is None) == (mirror, False)
        ups[1].listing.remove("demo")
        with pytest.raises(NotFound):
            await mirrors.second(DEMO, "one")
        ups[1].refuse()
        with pytest.raises(UpstreamDown):
            await mirrors.second(DEMO, "one")
    async with mirror_set(ups[0]) as mirrors:
        with pytest.raises(UpstreamDown, match="pypi has no other mirror to ask about demo"):
            await mirrors.second(DEMO, "one")


# Legacy documents

DOCUMENT = {"status": 200, "body": b'{"info": {"name": "demo"}}', "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize(("path", "before"), [("/json/demo", []), ("/pypi/demo/json", ["/json/demo"])])
async def test_a_document_is_found_where_either_generator_puts_it(
    ups: tuple[UpstreamServer, UpstreamServer], path: str, before: list[str]
) -> None:
    ups[1].fault(path, **DOCUMENT)
    async with mirror_set(*ups) as mirrors:
        for _ in range(2):
            assert await mirrors.legacy(DEMO) == DOCUMENT["body"]
    # The second time it is asked for at once where the first one was.
    assert [request.path for request in ups[1].log] == [*before, path, path]


@pytest.mark.parametrize("fault", [{}, CAPTIVE, {"status": 403}])
async def test_a_mirror_without_documents_is_not_asked_for_each_project(
    ups: tuple[UpstreamServer, UpstreamServer], fault: dict[str, Any]
) -> None:
    if fault:
        ups[0].fault("/", **fault)
    clock = Clock()
    async with mirror_set(ups[0], clock=clock) as mirrors:
        for number in range(10):
            assert await mirrors.legacy(public(f"demo{number}")) is None
        assert len(ups[0].log) == 2 * MISSES
        assert mirrors.health()[0].pages == "closed"
        clock.time += DAY
        ups[0].heal()
        ups[0].fault("/json/", **DOCUMENT)
        assert await mirrors.legacy(DEMO) == DOCUMENT["body"]


async def test_whether_there_is_a_document_is_unknown_where_a_mirror_fails(
    ups: tuple[UpstreamServer, UpstreamServer], caplog: pytest.LogCaptureFixture
) -> None:
    ups[0].fault("/json/", status=502)
    async with mirror_set(*ups) as mirrors:
        with pytest.raises(UpstreamDown, match="one answered 502"):
            await mirrors.legacy(DEMO)
        assert "mirror one, asked for the document of demo: one answered 502 As said." in caplog.messages
        ups[1].fault("/json/", **DOCUMENT)
        assert await mirrors.legacy(DEMO) == DOCUMENT["body"]
        assert [state.pages for state in mirrors.health()] == ["closed", "closed"]
        assert order(mirrors) == ["one", "two"]


async def test_a_document_has_its_bounds(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    ups[0].fault("/json/", **{**DOCUMENT, "body": b"{" + bytes(2000)})
    async with mirror_set(ups[0], max_page=1000) as mirrors:
        with pytest.raises(UpstreamDown, match="one sends more than the 1000 bytes"):
            await mirrors.legacy(DEMO)


async def test_without_mirrors_nothing_is_known() -> None:
    nowhere = MirrorSet("none", (), patience=Patience(), now=Clock(), clock=Clock(), chance=lambda: 0.0)
    with pytest.raises(NotFound):
        await nowhere.page(DEMO, None)
    with pytest.raises(NotFound):
        await fetch(nowhere, make.file(WHEEL, origin="none", url=f"https://mirror.example/{WHEEL}"))


async def test_who_expects_many_questions_connects_to_the_first_mirrors_once_in_a_while() -> None:
    async with UpstreamServer() as one, UpstreamServer() as two:
        clock = Clock()
        async with mirror_set(one, two, clock=clock) as mirrors:
            await mirrors.expect(18)
            assert (one.connections, two.connections) == (16, 2)
            await mirrors.expect(17)
            assert (one.connections, two.connections) == (16, 2)
            one.refuse()
            clock.time += 60
            await mirrors.expect(1)  # what fails here is nobody's trouble
            assert one.log == two.log == []
