"""A set of mirrors, over real sockets: who is asked when, what the next one mends, and what no and unknown are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.errors import MirrorFailed, NotFound, UpstreamDown
from proxy.policy import Policy, PublicName
from proxy.simple.model import File
from proxy.simple.names import parse_name
from proxy.upstream.guard import Guard, origin_of
from proxy.upstream.index import Limits, Mirror
from proxy.upstream.mirrors import Answer, MirrorSet
from proxy.upstream.sessions import open_sessions

from . import make
from .upstream_listing import Item
from .upstream_server import CAPTIVE, UpstreamServer

PAUSE = 30.0
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


@asynccontextmanager
async def mirror_set(
    *ups: UpstreamServer,
    behind: tuple[UpstreamServer, ...] = (),
    now: Callable[[], float] | None = None,
    clock: Clock | None = None,
    **limits: Any,
) -> AsyncIterator[MirrorSet]:
    """Mirrors called one, two, three at *ups*, whose links may lead to those *behind* them."""
    own = [origin_of(up.origin) for up in (*ups, *behind)]
    async with open_sessions(guard=Guard(own=own), user_agent="yizhan/1", connect=2) as sessions:
        times = Limits(**{"connect": 2, "answer": 2, "stall": 2, "page": 5, **limits})
        yield MirrorSet(
            "pypi",
            [
                Mirror(name=name, base=up.simple, sessions=sessions, limits=times)
                for name, up in zip(("one", "two", "three"), ups, strict=False)
            ],
            pause=PAUSE,
            now=now or Clock(5000.0),
            clock=clock or Clock(),
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


async def fetch(mirrors: MirrorSet, file: File, *, offset: int = 0, avoid: frozenset[str] = frozenset()) -> bytes:
    async with mirrors.transfer(file, offset=offset, avoid=avoid) as transfer:
        return b"".join([chunk async for chunk in transfer.chunks])


def order(mirrors: MirrorSet) -> list[str]:
    return [mirror.name for mirror in mirrors.in_turn()]


def order_for(mirrors: MirrorSet, file: File, *avoid: str) -> list[str]:
    return [place.name for place in mirrors.places(file, frozenset(avoid))]


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
        clock.time += PAUSE - 0.001
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
            await stack.enter_async_context(mirrors.transfer(file, offset=0, avoid=frozenset()))
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
        assert await fetch(mirrors, file, offset=1000) == BODY[1000:]
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
        assert order_for(mirrors, file) == ["two", "one"]
        ups[1].refuse()
        with pytest.raises(UpstreamDown, match=r"No mirror of pypi gives demo-1\.0"):
            await fetch(mirrors, file)


async def test_a_file_is_absent_only_where_every_mirror_says_so(ups: tuple[UpstreamServer, UpstreamServer]) -> None:
    publish(*ups)
    for up in ups:
        up.fault("/packages/", status=404)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        with pytest.raises(NotFound):
            await fetch(mirrors, file)
        with pytest.raises(NotFound):
            await mirrors.measure(file)
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
        assert await fetch(mirrors, file, offset=1000, avoid=frozenset({"one"})) == BODY[1000:]
    assert len(ups[1].asked("/packages/")) == 1


async def test_what_the_reader_raises_is_not_taken_for_the_mirrors_fault(
    ups: tuple[UpstreamServer, UpstreamServer],
) -> None:
    publish(*ups)
    async with mirror_set(*ups) as mirrors:
        file = await the_file(mirrors)
        with pytest.raises(NotFound, match="of the reader"):
            async with mirrors.transfer(file, offset=0, avoid=frozenset()):
                raise NotFound("of the reader")
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
                async with mirrors.transfer(file, offset=0, avoid=frozenset()) as transfer:
                    begun.set()
                    async for _ in transfer.chunks:
                        pass

            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert order(mirrors) == ["one", "two"]
    assert len(ups[0].asked("/packages/")) == 40


async def test_without_mirrors_nothing_is_known() -> None:
    nowhere = MirrorSet("none", (), pause=PAUSE, now=Clock(), clock=Clock())
    with pytest.raises(NotFound):
        await nowhere.page(DEMO, None)
    with pytest.raises(NotFound):
        await fetch(nowhere, make.file(WHEEL, origin="none", url=f"https://mirror.example/{WHEEL}"))
