"""Distribution files over real sockets, before they are here and while they come in."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer

from proxy.glimpses import TAIL as READ_AHEAD

from .fake_upstream import FakeSources, Line
from .test_index import Answer, Client, serve
from .test_repository import House

BODY = random.Random(11).randbytes(1_000_000)
WRONG = BODY[:-1] + bytes([BODY[-1] ^ 1])
HALF, TAIL = 500_000, 64 * 1024
WHEEL = "numpy-2.0-py3-none-any.whl"
ETAG = f'"{hashlib.sha256(BODY).hexdigest()}"'
FOREVER = "public, max-age=365000000, immutable"


class HalfWay(FakeSources):
    """Gives HALF of the file, and the rest when `released` is set; parts at once."""

    def __init__(self, *lines: Line) -> None:
        super().__init__(list(lines))
        self.released = asyncio.Event()

    async def chunks_of(self, line: Line, begin: int, end: int | None) -> AsyncIterator[bytes]:
        if end is not None:
            yield line.body[begin:end]
            return
        yield line.body[begin:HALF]
        await self.released.wait()
        yield line.body[max(HALF, begin) :]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    house = House(tmp_path)
    house.downloads._pause = lambda failures: 0.0
    app = serve(house, tmp_path / "htpasswd")
    async with RawTestServer(app) as server, aiohttp.ClientSession(auto_decompress=False) as session:
        yield Client(house, app, session, str(server.make_url("")).rstrip("/"))
        await house.downloads.close()


def listed(client: Client, sources: FakeSources, **fields: Any) -> str:
    """The path of a file that the index lists and *sources* give."""
    client.house.downloads._sources = client.house.downloads._glimpses._sources = client.house.sources = sources
    file = client.house.upstream.publish("numpy", WHEEL, BODY, **fields)
    return f"/packages/{file.path}/{file.filename}"


@asynccontextmanager
async def begun(client: Client, path: str, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer of which the head has come."""
    async with client.session.get(client.origin + path, headers=headers) as response:
        yield response


async def read_on(response: aiohttp.ClientResponse, into: bytearray) -> None:
    """To the end of the answer; what came before a break is in *into*."""
    while chunk := await response.content.readany():
        into += chunk


async def here(client: Client) -> None:
    """Until nothing is coming in any more."""
    while client.house.downloads.under_way:
        await asyncio.sleep(0)


# Where it is listed


async def test_all_that_a_file_needs_takes_no_longer_than_one_question(client: Client) -> None:
    """Its name may be that of eight projects, and each page may be waited for."""
    client.app.view.files._patience = 2.0
    client.house.upstream.gate.clear()
    loop = asyncio.get_running_loop()
    loop.call_later(1.5, client.house.upstream.gate.set)
    sources = FakeSources([Line(BODY)], gate=asyncio.Event())
    path = listed(client, sources)
    began = loop.time()
    assert (await client.ask(path)).status == 503  # found at last, and no byte of it came
    assert loop.time() - began < 3.0
    client.house.upstream.gate.clear()
    answer = await client.ask(f"/packages/aa/bb/{'c' * 60}/a-1-2-3-4-5-6-7-8.tar.gz")
    assert answer.status == 503
    assert client.house.upstream.asked[-1] == "a"
    client.house.upstream.gate.set()


# While it comes in


async def test_the_first_bytes_come_before_the_last_are_here(client: Client) -> None:
    sources = HalfWay(Line(BODY))
    path = listed(client, sources)
    async with begun(client, path) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(BODY)))
        assert response.headers["ETag"] == ETAG
        first = await response.content.readexactly(HALF - TAIL)
        assert client.house.downloads.under_way == 1
        sources.released.set()
        assert first + await response.read() == BODY


async def test_a_late_comer_reads_from_the_start_at_once_and_costs_nothing(client: Client) -> None:
    sources = HalfWay(Line(BODY))
    path = listed(client, sources)
    async with begun(client, path) as first, begun(client, path) as late:
        for response in (first, late):
            assert await response.content.readexactly(HALF - TAIL) == BODY[: HALF - TAIL]
        sources.released.set()
        for response in (first, late):
            assert await response.read() == BODY[HALF - TAIL :]
    assert len(sources.opened) == 1


async def test_the_tail_is_held_back_until_all_is_verified(client: Client) -> None:
    path = listed(client, HalfWay(Line(BODY)))
    async with begun(client, path) as response:
        await response.content.readexactly(HALF - TAIL)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readany(), 0.1)


async def test_a_head_is_answered_meanwhile(client: Client) -> None:
    sources = HalfWay(Line(BODY))
    path = listed(client, sources)
    async with begun(client, path):
        head = await client.ask(path, "HEAD")
        assert (head.status, head.headers["Content-Length"], head.headers["ETag"]) == (200, str(len(BODY)), ETAG)
        assert head.headers["Accept-Ranges"] == "bytes"
    assert len(sources.opened) == 1


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("1000-1999", 1000, 2000), ("-10000", len(BODY) - 10000, len(BODY)), ("900000-", 900_000, len(BODY))],
)
@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("size", [len(BODY), None])
async def test_a_glance_at_a_part_is_answered_unverified_and_kept_by_nobody(
    client: Client, asked: str, start: int, stop: int, running: bool, size: int | None
) -> None:
    """Decision 11: installers read a wheel's directory so, whether or not it comes in just now."""
    sources = HalfWay(Line(BODY, total=len(BODY)))
    path = listed(client, sources, size=size)
    async with AsyncExitStack() as stack:
        if running:
            await stack.enter_async_context(begun(client, path))
        part = await client.ask(path, Range=f"bytes={asked}")
        assert client.house.downloads.under_way == int(running)
    assert (part.status, part.body) == (206, BODY[start:stop])
    assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"
    assert part.headers["Cache-Control"] == "no-store"
    assert part.headers["Accept-Ranges"] == "bytes"
    assert "ETag" not in part.headers


async def test_ten_clients_who_read_the_end_of_a_wheel_cost_one_question_and_no_download(client: Client) -> None:
    """As uv and poetry do where there is no metadata: HEAD, and then parts from the end."""
    sources = FakeSources([Line(BODY, total=len(BODY))])
    path = listed(client, sources)

    async def lazy() -> bytes:
        head = await client.ask(path, "HEAD")
        assert head.headers["Accept-Ranges"] == "bytes"
        end = int(head.headers["Content-Length"])
        tail = await client.ask(path, Range=f"bytes={end - 16384}-{end - 1}")
        return (await client.ask(path, Range=f"bytes={end - 50_000}-{end - 16385}")).body + tail.body

    assert set(await asyncio.gather(*(lazy() for _ in range(10)))) == {BODY[-50_000:]}
    assert await lazy() == BODY[-50_000:]
    assert sources.asked == [("one", len(BODY) - READ_AHEAD, len(BODY))]
    assert client.house.downloads.under_way == 0
    assert client.house.cache.bodies == {}


async def test_a_glance_where_no_mirror_gives_parts_follows_a_download(client: Client) -> None:
    path = listed(client, FakeSources([Line(BODY, total=len(BODY), ignores_range=True)]))
    part = await client.ask(path, Range="bytes=-10000")
    assert (part.status, part.body) == (206, BODY[-10000:])
    await here(client)
    assert next(iter(client.house.cache.bodies.values()))[0] == BODY


async def test_a_part_of_a_wheel_that_is_here_is_what_it_always_is(client: Client) -> None:
    path = listed(client, FakeSources([Line(BODY)]))
    await client.ask(path)
    await here(client)
    part = await client.ask(path, Range="bytes=-10000")
    assert (part.status, part.body, part.headers["ETag"]) == (206, BODY[-10000:], ETAG)


@pytest.mark.parametrize("ends", ["opens not", "has it not"])
async def test_a_glance_that_no_mirror_answers_is_told_as_for_the_whole(client: Client, ends: str) -> None:
    path = listed(client, FakeSources([Line(b"", ends=ends)]))
    part, whole = await client.ask(path, Range="bytes=-10000"), await client.ask(path)
    assert part.status == whole.status == (503 if ends == "opens not" else 404)


@pytest.mark.parametrize(
    ("fields", "start", "stop"),
    [
        ({"Range": "bytes=0-99"}, 0, 100),
        ({"Range": "bytes=-9999999"}, 0, len(BODY)),
        ({"Range": "bytes=5-", "If-Range": ETAG}, 5, len(BODY)),
        ({"Range": "bytes=900000-", "If-Range": ETAG}, 900_000, len(BODY)),
    ],
)
async def test_any_other_range_follows_the_download_to_its_verified_end(
    client: Client, fields: dict[str, str], start: int, stop: int
) -> None:
    sources = HalfWay(Line(BODY))
    path = listed(client, sources)
    async with begun(client, path, **fields) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"
        assert (response.headers["Content-Length"], response.headers["ETag"]) == (str(stop - start), ETAG)
        reading = asyncio.create_task(response.read())
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done
        sources.released.set()
        async with asyncio.timeout(20):
            assert await reading == BODY[start:stop]


async def test_a_part_too_big_for_a_glance_is_verified_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.web.files.GLANCE", 1000)
    path = listed(client, FakeSources([Line(WRONG), Line(BODY)]))
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.ask(path, Range="bytes=1000-2000")
    assert (await client.ask(path, Range="bytes=1000-1999")).body == BODY[1000:2000]


async def test_ranges_and_conditions_are_judged_before_the_bytes_are_here(client: Client) -> None:
    path = listed(client, HalfWay(Line(BODY)))
    beyond = await client.ask(path, Range=f"bytes={len(BODY)}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")
    assert beyond.headers["Cache-Control"] == "no-store"
    assert (await client.ask(path, If_None_Match=ETAG)).status == 304
    async with begun(client, path, **{"Range": "bytes=5-", "If-Range": '"other"'}) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(BODY)))


# What a client never gets


@pytest.mark.parametrize("place", [0, HALF, len(BODY) - 1])
@pytest.mark.parametrize("size", [len(BODY), None])
async def test_a_wrong_file_is_cut_off_and_the_next_request_is_healed(
    client: Client, place: int, size: int | None
) -> None:
    """With a length or, where nobody tells one, in chunks."""
    wrong = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
    path = listed(client, FakeSources([Line(wrong, mirror="liar"), Line(BODY, mirror="honest")]), size=size)
    got = bytearray()
    async with begun(client, path) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await read_on(response, got)
    assert len(got) <= len(BODY) - TAIL
    assert client.house.cache.bodies == {}
    assert (await client.ask(path)).body == BODY


@pytest.mark.parametrize("size", [len(BODY), None])
async def test_a_file_that_ends_early_everywhere_is_cut_off_too(client: Client, size: int | None) -> None:
    path = listed(client, FakeSources([Line(BODY[:HALF], ends="breaks")]), size=size)
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.ask(path)
    assert client.house.cache.bodies == {}


async def test_where_no_mirror_gives_it_the_answer_is_unknown_and_not_absent(client: Client) -> None:
    path = listed(client, FakeSources([Line(b"", ends="opens not")]))
    answer = await client.ask(path)
    assert answer.status == 503
    assert answer.headers["Retry-After"].isdigit()
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_listed_file_that_no_mirror_has_is_404_after_another_look_at_its_page(client: Client) -> None:
    path = listed(client, FakeSources([Line(b"", ends="has it not")]))
    answer = await client.ask(path)
    assert (answer.status, answer.headers["Cache-Control"]) == (404, "no-store")
    assert client.house.upstream.asked == ["numpy", "numpy"]


# Before and after


@pytest.mark.parametrize("suffix", ["", ".metadata"])
async def test_a_head_before_the_file_is_here_says_what_a_get_says_then(client: Client, suffix: str) -> None:
    metadata = {"sha256": hashlib.sha256(BODY).hexdigest()}
    sources = FakeSources([Line(BODY, total=len(BODY))])
    path = listed(client, sources, core_metadata=metadata) + suffix
    head = await client.ask(path, "HEAD")
    assert (head.status, head.body, client.house.sources.opened) == (200, b"", [])
    get = await client.ask(path)
    await here(client)
    again = await client.ask(path, "HEAD")
    assert get.body == BODY
    for name in ("Content-Type", "Content-Length", "Accept-Ranges", "ETag", "Cache-Control"):
        assert head.headers[name] == again.headers[name]
        assert get.headers[name] == head.headers[name]
    assert head.headers["Cache-Control"] == FOREVER


async def test_a_file_without_a_hash_is_settled_once_it_is_pinned_and_not_before(client: Client) -> None:
    """Decision 9: until then nobody knows whether it will be the same the next time."""
    path = listed(client, FakeSources([Line(BODY, total=len(BODY))]), hashes={})
    before = await client.ask(path, "HEAD")
    assert (before.status, before.headers["Cache-Control"]) == (200, "no-store")
    assert "ETag" not in before.headers
    first = await client.ask(path)
    assert (first.body, first.headers["Cache-Control"]) == (BODY, "no-store")
    assert "ETag" not in first.headers
    await here(client)
    for method in ("HEAD", "GET"):
        after = await client.ask(path, method)
        assert (after.headers["ETag"], after.headers["Cache-Control"]) == (ETAG, FOREVER)
    assert (await client.ask(path, If_None_Match=ETAG)).status == 304


async def test_a_page_does_not_change_with_what_is_kept_of_its_files(client: Client) -> None:
    path = listed(client, FakeSources([Line(BODY)]))
    before = await client.ask("/simple/numpy/")
    await client.ask(path)
    await here(client)
    after = await client.ask("/simple/numpy/")
    assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])


async def test_a_file_of_a_private_project_needs_no_index(client: Client) -> None:
    client.house.upstream.publish("numpy", WHEEL, BODY)
    ours = await client.house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    client.house.upstream.down = True
    found: list[Answer] = [
        await client.ask(path)
        for path in ("/simple/acme-sdk/", f"/packages/{ours.path}/{ours.filename}", f"/packages/{ours.filename}")
    ]
    assert [answer.status for answer in found] == [200, 200, 200]
    assert found[1].body == found[2].body == b"ours"
