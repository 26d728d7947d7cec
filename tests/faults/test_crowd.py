"""Many clients and one thing that nobody holds yet: one question to the index, and everybody served as it comes."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.glimpses import TAIL
from proxy.simple.model import JSON

from .. import make
from ..daemon import Server, yizhan
from ..upstream_listing import Item
from ..upstream_server import UpstreamServer, running_upstream
from .client import Answer, Client, ask

RATE = 2_500_000
"""Bytes per second that one connection to the index brings."""

BIG, MIDDLE = 50_000_000, 7_000_000
"""Bytes: what comes over several connections, in two and a half seconds or so, and what comes over one."""

CROWD = 32
PATIENCE = 120.0


@dataclass(frozen=True)
class Taken:
    """What one client got of a body; times are the loop's."""

    status: int
    length: int
    sha256: str
    first_byte: float
    end: float
    overlapped: bool
    """The file was still coming in when the first byte came."""


@pytest.fixture
def upstream() -> Iterator[UpstreamServer]:
    with running_upstream() as up:
        up.fault("/packages/", delay=0.08, rate=RATE)
        yield up


def publish(up: UpstreamServer, size: int) -> Item:
    # No wheel: nobody looks for its metadata beside the clients.
    return up.publish("demo", "demo-1.0.tar.gz", random.Random(size).randbytes(size))


def target_of(item: Item) -> str:
    return f"/packages/{item.path}/{item.filename}"


def arrived(folder: Path) -> int | None:
    """Bytes of the file that is coming in now; None where none is."""
    for part in (folder / "cache" / "incoming").glob("*.part"):
        try:
            runs = part.with_suffix(".map")
            if not runs.exists():
                return part.stat().st_size
            spans = [run.split("-") for run in runs.read_text(encoding="ascii").partition("\n")[0].split()]
            return sum(int(end) - int(begin) for begin, end in spans)
        except FileNotFoundError:
            return None
    return None


def fetched_once(up: UpstreamServer, item: Item) -> bool:
    """Whether the index was asked for all of *item*, and for hardly any of it twice (a race at the end is allowed)."""
    spans = [request.headers.get("range", "bytes=0-").removeprefix("bytes=") for request in up.asked("/packages/")]
    asked, here = 0, 0
    for begin, end in sorted((int(first), int(last or len(item.body) - 1) + 1) for first, _, last in _split(spans)):
        if begin > here:
            return False
        asked, here = asked + end - begin, max(here, end)
    return here == len(item.body) and asked <= here + here // 8


def _split(spans: list[str]) -> list[tuple[str, str, str]]:
    return [span.partition("-") for span in spans]


async def until(folder: Path, size: int) -> None:
    """Until *size* bytes have arrived of the file that is coming in."""
    async with asyncio.timeout(PATIENCE):
        while (arrived(folder) or 0) < size:
            await asyncio.sleep(0.005)


async def until_kept(folder: Path) -> None:
    """Until nothing is coming in any more."""
    async with asyncio.timeout(PATIENCE):
        while arrived(folder) is not None:
            await asyncio.sleep(0.005)


async def take(server: Server, item: Item, folder: Path) -> Taken:
    """All of *item*, digested and not kept: the crowd's copies would not fit in memory."""
    clock, digest, length, first, overlapped = asyncio.get_running_loop().time, hashlib.sha256(), 0, 0.0, False
    async with asyncio.timeout(PATIENCE), Client(server.url) as client:
        answer = await client.begin(target_of(item))
        async for piece in client.body():
            if not length:
                first, overlapped = clock(), (arrived(folder) or BIG) < len(item.body)
            digest.update(piece)
            length += len(piece)
    return Taken(answer.status, length, digest.hexdigest(), first, clock(), overlapped)


def right(item: Item, taken: Taken) -> bool:
    return (taken.status, taken.length, taken.sha256) == (200, len(item.body), item.hashes["sha256"])


async def test_a_crowd_at_one_cold_file_costs_one_transfer_and_nobody_waits_for_its_end(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    item = publish(upstream, BIG)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        crowd = await asyncio.gather(*(take(server, item, tmp_path) for _ in range(CROWD)))
        assert [taken for taken in crowd if not right(item, taken)] == []
        assert fetched_once(upstream, item)
        first_bytes = sorted(taken.first_byte for taken in crowd)
        assert first_bytes[-1] - first_bytes[0] <= 0.5
        # The overlap is real: the last one's first byte came while the file did.
        assert all(taken.overlapped for taken in crowd)
        assert first_bytes[-1] < min(taken.end for taken in crowd)
        upstream.refuse()
        assert right(item, await take(server, item, tmp_path))


async def test_who_comes_in_the_midst_of_it_begins_at_the_first_byte_at_once(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    item = publish(upstream, BIG)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        clock = asyncio.get_running_loop().time
        early = asyncio.create_task(take(server, item, tmp_path))
        await until(tmp_path, BIG // 2)
        began = clock()
        late = await asyncio.gather(*(take(server, item, tmp_path) for _ in range(8)))
        assert [taken for taken in [*late, await early] if not right(item, taken)] == []
        assert all(taken.overlapped for taken in late)
        # What is here is not waited for: the index needs a second for the rest of it.
        assert max(taken.first_byte for taken in late) - began < 0.5
        assert fetched_once(upstream, item)


async def test_a_download_that_everybody_left_goes_on_and_is_kept(tmp_path: Path, upstream: UpstreamServer) -> None:
    item = publish(upstream, MIDDLE)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        crowd = [asyncio.create_task(take(server, item, tmp_path)) for _ in range(8)]
        await until(tmp_path, MIDDLE // 10)
        for client in crowd:
            client.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        assert (arrived(tmp_path) or MIDDLE) < MIDDLE
        await until_kept(tmp_path)
        assert len(upstream.asked("/packages/")) == 1
        upstream.refuse()
        assert right(item, await take(server, item, tmp_path))


async def test_some_who_leave_and_some_who_read_slowly_take_nothing_from_the_others(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    item = publish(upstream, MIDDLE)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        async with Client(server.url) as sleeper:
            leaving = [asyncio.create_task(take(server, item, tmp_path)) for _ in range(4)]
            await sleeper.begin(target_of(item))
            staying = [asyncio.create_task(take(server, item, tmp_path)) for _ in range(4)]
            await until(tmp_path, MIDDLE // 10)
            for client in leaving:
                client.cancel()
            assert all(right(item, taken) for taken in await asyncio.gather(*staying))
            # Who slept all the while gets the same bytes afterwards.
            body = b"".join([bytes(piece) async for piece in sleeper.body()])
            assert hashlib.sha256(body).hexdigest() == item.hashes["sha256"]
        await asyncio.gather(*leaving, return_exceptions=True)
        assert len(upstream.asked("/packages/")) == 1


async def test_a_crowd_at_one_cold_page_costs_one_question(tmp_path: Path, upstream: UpstreamServer) -> None:
    items = [upstream.publish("demo", f"demo-{number}.0.tar.gz", b"%d" % number) for number in range(200)]
    upstream.fault("/simple/demo/", silent=True)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        kinds = [{"Accept": JSON}, {"Accept": "text/html"}, {"Accept": JSON, "Accept-Encoding": "gzip"}]
        pages = [ask(server.url, "/simple/demo/", headers=kinds[number % 3]) for number in range(200)]
        # To find a file takes the page too.
        files = [ask(server.url, target_of(item)) for item in items[:50]]
        crowd = [asyncio.create_task(client) for client in [*pages, *files]]
        # Time for all of them to be waiting: that nobody is answered, and the index is not asked again, takes a while.
        await asyncio.sleep(0.3)
        assert not any(client.done() for client in crowd)
        upstream.heal()
        answers = await asyncio.gather(*crowd)
        assert {answer.status for answer in answers} == {200}
        for number in range(3):
            bodies = {(answer.body, answer.headers["etag"]) for answer in answers[number:200:3]}
            assert len(bodies) == 1
        assert [answer.body for answer in answers[200:]] == [item.body for item in items[:50]]
        assert len(upstream.asked("/simple/")) == 1


@asynccontextmanager
async def growing(server: Server, upstream: UpstreamServer, item: Item, folder: Path) -> AsyncIterator[None]:
    """While this lasts, *item* has come in to its half and no further."""
    half = len(item.body) // 2
    upstream.fault("/packages/", stall_after=half)
    follower = asyncio.create_task(take(server, item, folder))
    await until(folder, half)
    assert arrived(folder) == half
    yield
    upstream.heal()
    assert right(item, await follower)


async def answers_to_everything(server: Server, item: Item, *, arrived: int | None) -> None:
    """HEAD and each kind of Range of *item*, of which *arrived* bytes are here: all, where None."""
    target, body = target_of(item), item.body
    size, etag = len(body), f'"{item.hashes["sha256"]}"'

    async def get(span: str, **headers: str) -> Answer:
        said = {"Range": f"bytes={span}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await ask(server.url, target, headers=said)

    for method_headers in ({}, {"Range": "bytes=0-9"}, {"Accept-Encoding": "gzip"}):
        head = await ask(server.url, target, "HEAD", method_headers)
        assert head.status in (200, 206)
        if head.status == 200:
            assert head.headers["content-length"] == str(size)
        assert (head.headers["etag"], head.headers["accept-ranges"]) == (etag, "bytes")
        assert "content-encoding" not in head.headers
    assert (await ask(server.url, target, "HEAD", {"If-None-Match": etag})).status == 304
    assert (await ask(server.url, target, "GET", {"If-None-Match": etag})).status == 304

    begin = 4096
    last = size - 1000
    for span, start in ((f"{begin}-{begin + 999}", begin), (f"{last}-{size + 5}", last), ("-1000", last)):
        part = await get(span)
        assert (part.status, part.body) == (206, body[start : start + 1000])
        assert part.headers["content-range"] == f"bytes {start}-{start + 999}/{size}"
        if arrived is not None:
            # Not verified yet, and so not to be kept by anybody (decision 11).
            assert "etag" not in part.headers
            assert part.headers["cache-control"] == "no-store"

    for span in (f"{size}-", f"{size + 5}-{size + 9}"):
        beyond = await get(span)
        assert (beyond.status, beyond.body) == (416, b"")
        assert beyond.headers["content-range"] == f"bytes */{size}"

    for odd in ("5-4", "abc", "0-1,4-5", "-"):
        async with Client(server.url) as client:
            begun = await client.begin(target, headers={"Range": f"bytes={odd}"})
            assert (begun.status, begun.headers["content-length"]) == (200, str(size))
    async with Client(server.url) as client:
        begun = await client.begin(target, headers={"Range": "bytes=100-199", "If-Range": '"another"'})
        assert (begun.status, begun.headers["content-length"]) == (200, str(size))


async def whole_file_ranges(server: Server, item: Item) -> list[tuple[Answer, bytes]]:
    """The ranges that begin with the file, that are long, or that go on with a part: answered when all is verified."""
    target, body = target_of(item), item.body
    size = len(body)
    spans = {
        "0-": body,
        "0-99": body[:100],
        f"{size // 3}-": body[size // 3 :],
        f"-{size * 2}": body,
        f"10-{size * 2}": body[10:],
        f"1-{size - 2}": body[1:-1],
    }
    asked = [ask(server.url, target, headers={"Range": f"bytes={span}"}) for span in spans]
    going_on = {"100-199": body[100:200], f"{size - 1}-": body[-1:], "-100": body[-100:]}
    validator = f'"{item.hashes["sha256"]}"'
    asked += [ask(server.url, target, headers={"Range": f"bytes={it}", "If-Range": validator}) for it in going_on]
    spans |= {f"{span}, if the same": part for span, part in going_on.items()}
    return list(zip(await asyncio.gather(*asked), spans.values(), strict=True))


async def test_head_and_ranges_are_answered_before_during_and_after_a_download(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    item = publish(upstream, MIDDLE)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        head = await ask(server.url, target_of(item), "HEAD")
        assert (head.status, head.headers["content-length"], head.headers["accept-ranges"]) == (
            200,
            str(MIDDLE),
            "bytes",
        )
        # To look is not to fetch.
        assert upstream.asked("/packages/") == []
        assert arrived(tmp_path) is None

        async with growing(server, upstream, item, tmp_path):
            await answers_to_everything(server, item, arrived=MIDDLE // 2)
            # What is here already was not asked for apart, and its end once.
            glances = [request.headers["range"] for request in upstream.asked("/packages/")[1:]]
            assert glances == [f"bytes={MIDDLE - TAIL}-{MIDDLE - 1}"]
            waiting = asyncio.create_task(whole_file_ranges(server, item))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        for answer, part in await waiting:
            assert (answer.status, answer.complete) == (206, True)
            assert answer.body == part

        await until_kept(tmp_path)
        upstream.refuse()
        await answers_to_everything(server, item, arrived=None)
        for answer, part in await whole_file_ranges(server, item):
            assert (answer.status, answer.body) == (206, part)
        assert len(upstream.asked("/packages/")) == 2


@pytest.mark.parametrize("span", ["0-99", "5000-5999", "-1000", "100-", "0-", "6999999-"])
async def test_a_range_of_a_file_that_nobody_holds_is_the_right_part_of_it(
    tmp_path: Path, upstream: UpstreamServer, span: str
) -> None:
    upstream.heal()
    item = publish(upstream, MIDDLE)
    begins, _, ends = span.partition("-")
    begin, end = (MIDDLE - int(ends), MIDDLE) if not begins else (int(begins), int(ends) + 1 if ends else MIDDLE)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        answers = await asyncio.gather(
            *(ask(server.url, target_of(item), headers={"Range": f"bytes={span}"}) for _ in range(4))
        )
        for answer in answers:
            assert (answer.status, answer.complete) == (206, True)
            assert answer.body == item.body[begin:end]
            assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{MIDDLE}"
        assert len(upstream.asked("/packages/")) == 1
        if begin > 0 and end - begin <= 4 * 1024 * 1024:
            # To look at a part is not to fetch.
            assert arrived(tmp_path) is None
            assert answers[0].headers["cache-control"] == "no-store"
            await take(server, item, tmp_path)
        # The part that was asked for is not taken for the file.
        await until_kept(tmp_path)
        upstream.refuse()
        assert right(item, await take(server, item, tmp_path))


async def test_a_range_beyond_the_end_of_a_file_that_nobody_holds_is_refused(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    filename, body = make.wheel("demo", "1.0", payload=bytes(100_000))
    item = upstream.publish("demo", filename, body)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        beyond = await ask(server.url, target_of(item), headers={"Range": f"bytes={len(body)}-"})
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(body)}")


async def test_a_head_of_a_file_whose_size_is_not_listed_asks_for_a_byte_and_fetches_nothing(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    item = upstream.publish("demo", "demo-1.0-py3-none-any.whl", bytes(300_000), size=None)
    with yizhan(tmp_path, upstream=upstream.simple) as server:
        head = await ask(server.url, target_of(item), "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, "300000")
        assert [request.headers.get("range") for request in upstream.asked("/packages/")] == ["bytes=0-0"]
        assert arrived(tmp_path) is None
        assert (await ask(server.url, target_of(item))).body == item.body
