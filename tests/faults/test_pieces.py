"""Files big enough to come in pieces, from two mirrors at once: lies, stalls and kills on real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..daemon import yizhan
from ..upstream_listing import Item
from ..upstream_server import UpstreamServer, running_upstream
from .client import Answer, Client, ask
from .site import wait_until
from .test_pages_catalogue import peak

SIZE = 24_000_000
RATE = 2_000_000
"""Bytes per second that one connection brings."""

PATIENCE = 120.0

HUGE = 150_000_000
MOST_HELD = 48 * 1024
"""KiB of memory that one download may take."""


@pytest.fixture
def ups() -> Iterator[list[UpstreamServer]]:
    with running_upstream() as one, running_upstream() as two:
        yield [one, two]


def publish(ups: list[UpstreamServer], **facts: object) -> Item:
    body = random.Random(SIZE).randbytes(SIZE)
    items = [up.publish("demo", "demo-1.0-py3-none-any.whl", body, **facts) for up in ups]
    return items[0]


def config(ups: list[UpstreamServer]) -> str:
    """Without what is fetched beside what clients ask for."""
    urls = ", ".join(f'"{up.simple}"' for up in ups)
    return f"""
[[index]]
mirrors = [{urls}]
segments = 8
heal = false
look_ahead = 0
stall_timeout = "2 s"
"""


def target_of(item: Item) -> str:
    return f"/packages/{item.path}/{item.filename}"


def spans(up: UpstreamServer) -> list[tuple[int, int]]:
    """The parts that *up* was asked for, as (begin, end)."""
    said = [request.headers.get("range", f"bytes=0-{SIZE - 1}") for request in up.asked("/packages/")]
    parts = [span.removeprefix("bytes=").partition("-") for span in said]
    return [(int(begin), int(end or SIZE - 1) + 1) for begin, _, end in parts]


def asked_in_all(ups: list[UpstreamServer]) -> int:
    """Bytes that were asked for, all mirrors together."""
    return sum(end - begin for up in ups for begin, end in spans(up))


async def take(url: str, item: Item) -> Answer:
    async with asyncio.timeout(PATIENCE):
        return await ask(url, target_of(item))


def right(item: Item, answer: Answer) -> bool:
    digest = hashlib.sha256(answer.body).hexdigest()
    return (answer.status, answer.complete, digest) == (200, True, item.hashes["sha256"])


async def test_the_speeds_of_all_connections_add_up(tmp_path: Path, ups: list[UpstreamServer]) -> None:
    item = publish(ups)
    for up in ups:
        up.fault("/packages/", rate=RATE)
    with yizhan(tmp_path, config=config(ups)) as server:
        began = time.monotonic()
        assert right(item, await take(server.url, item))
        # One connection would need all of this, eight an eighth.
        assert time.monotonic() - began < SIZE / RATE / 2
        assert min(len(spans(up)) for up in ups) >= 4
        assert asked_in_all(ups) <= SIZE + SIZE // 8 + 2**24
        # Over a handful of connections each, which are used again.
        assert max(up.connections for up in ups) <= 10


async def test_a_liar_that_brings_pieces_is_found_out_within_three_requests(
    tmp_path: Path, ups: list[UpstreamServer]
) -> None:
    liar, honest = ups
    item = publish(ups)
    liar.fault("/packages/", flip=1000)
    with yizhan(tmp_path, config=config(ups)) as server:
        for _ in range(2):
            answer = await take(server.url, item)
            assert not right(item, answer)
            assert not answer.complete
        assert right(item, await take(server.url, item))
        assert any("WARNING" in line and f"{liar.port}: The sha256 is" in line for line in server.lines)
        liar.refuse()
        honest.refuse()
        assert right(item, await take(server.url, item))


@pytest.mark.parametrize(
    ("ill", "size"),
    [
        ({"ignores_range": True}, SIZE),
        ({"ignores_range": True}, None),
        ({"stall_after": 300_000}, SIZE),
        ({"cut_after": 300_000}, None),
        ({"cut_after": 300_000, "reset": True}, SIZE),
        ({"silent": True}, SIZE),
        ({"silent": True}, None),
        ({"status": 403}, SIZE),
        ({"status": 404}, None),
        ({"drip": 0.05}, SIZE),
        ({"rate": 20_000}, None),
        ({"headers": {"Content-Range": "bytes 5-9/24000000"}}, SIZE),
    ],
    ids=str,
)
async def test_an_ill_mirror_beside_a_good_one_costs_time_and_nothing_else(
    tmp_path: Path, ups: list[UpstreamServer], ill: dict[str, object], size: int | None
) -> None:
    item = publish(ups, size=size)
    ups[0].fault("/packages/", **ill)
    with yizhan(tmp_path, config=config(ups)) as server:
        crowd = await asyncio.gather(*(take(server.url, item) for _ in range(3)))
        assert [right(item, answer) for answer in crowd] == [True] * 3
        assert ups[0].asked("/packages/")


async def test_mirrors_that_give_no_parts_give_the_file_all_the_same(tmp_path: Path, ups: list[UpstreamServer]) -> None:
    item = publish(ups)
    for up in ups:
        up.fault("/packages/", ignores_range=True)
    with yizhan(tmp_path, config=config(ups)) as server:
        assert right(item, await take(server.url, item))


async def test_pieces_that_came_before_their_turn_survive_a_kill(tmp_path: Path, ups: list[UpstreamServer]) -> None:
    """The first piece is slow, so that what came in order is little and what came in all is much."""
    item = publish(ups)
    for up in ups:
        up.fault("/packages/", rate=RATE)
    ups[0].fault("/packages/", rate=100_000.0, times=1)
    arriving = tmp_path / "cache" / "incoming" / f"{item.hashes['sha256']}.map"
    with yizhan(tmp_path, config=config(ups)) as server:
        following = asyncio.create_task(take(server.url, item))
        await asyncio.to_thread(wait_until, lambda: arriving.exists() and came(arriving) > SIZE // 2)
        server.kill()
        await following
    have = came(arriving)
    for up in ups:
        up.heal()
        up.log.clear()
    with yizhan(tmp_path, config=config(ups)) as server:
        assert right(item, await take(server.url, item))
        assert asked_in_all(ups) <= SIZE - have + SIZE // 8
        await asyncio.to_thread(wait_until, lambda: not list(arriving.parent.iterdir()))


def came(runs: Path) -> int:
    """Bytes that a part's map says are there."""
    words = runs.read_text(encoding="ascii").partition("\n")[0].split()
    return sum(int(end) - int(begin) for begin, _, end in (word.partition("-") for word in words))


async def test_a_client_that_goes_on_in_the_middle_has_bytes_before_the_beginning_is_here(
    tmp_path: Path, ups: list[UpstreamServer]
) -> None:
    """pip does so after a break, and gives up when nothing comes for 15 seconds."""
    item = publish(ups)
    for up in ups:
        up.fault("/packages/", rate=RATE / 4)
    middle = SIZE // 2
    etag = f'"{item.hashes["sha256"]}"'
    arriving = tmp_path / "cache" / "incoming" / f"{item.hashes['sha256']}.map"
    with yizhan(tmp_path, config=config(ups)) as server:
        async with asyncio.timeout(PATIENCE), Client(server.url) as client:
            answer = await client.begin(target_of(item), headers={"Range": f"bytes={middle}-", "If-Range": etag})
            assert (answer.status, answer.headers["etag"]) == (206, etag)
            body = bytearray()
            async for piece in client.body():
                if not body:
                    beginning = arriving.read_text(encoding="ascii").partition(" ")[0]
                    assert int(beginning.partition("-")[2]) < middle
                body += piece
        assert body == item.body[middle:]


async def test_a_huge_file_passes_through_and_does_not_stay(tmp_path: Path, ups: list[UpstreamServer]) -> None:
    body = bytes(HUGE)
    for up in ups:
        item = up.publish("demo", "demo-1.0-py3-none-any.whl", body)
    with yizhan(tmp_path, config=config(ups)) as server:
        await ask(server.url, "/simple/demo/")
        before = peak(server)
        async with asyncio.timeout(PATIENCE), Client(server.url) as client:
            answer = await client.begin(target_of(item))
            came = sum([len(piece) async for piece in client.body()])
        assert (answer.status, came) == (200, HUGE)
        assert peak(server) - before < MOST_HELD
