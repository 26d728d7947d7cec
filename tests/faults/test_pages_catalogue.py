"""Catalogue B, ills of pages, from outside: what readers of pages do with each byte is tested beside them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.simple.model import JSON

from .. import make
from ..daemon import Server, yizhan
from ..upstream_listing import Item
from ..upstream_server import UpstreamServer, running, running_upstream
from .client import Answer, ask, upload
from .test_outages import Clock

TIMES = """
connect_timeout = "1 s"
answer_timeout = "2 s"
stall_timeout = "2 s"
soft_deadline = "1 s"
hard_deadline = "8 s"
heal = false
look_ahead = 0
"""
"""Without what is asked for in the background: requests are counted here."""

AS_JSON = {"Accept": JSON}

WORD = 61.0
"""Seconds after which a mirror that says the same again is believed."""


@pytest.fixture
def up() -> Iterator[UpstreamServer]:
    with running_upstream(kind="json") as server:
        yield server


def config(*ups: UpstreamServer, fresh: str = "0 s", more: str = "") -> str:
    urls = ", ".join(f'"{up.simple}"' for up in ups)
    return f'[[index]]\nmirrors = [{urls}]\nfresh = "{fresh}"\n{TIMES}{more}'


def publish(up: UpstreamServer, version: str, **facts: Any) -> Item:
    return up.publish("demo", *make.wheel("demo", version), **facts)


def entry(item: Item, links: str = "../../packages/") -> dict[str, Any]:
    return {"filename": item.filename, "hashes": dict(item.hashes), "url": item.href(links), "size": item.size}


def page(*items: Item, **more: Any) -> bytes:
    """A page of our own making, without a serial."""
    return json.dumps(
        {"meta": {"api-version": "1.1"}, "name": "demo", "files": [entry(item) for item in items], **more}
    ).encode()


def instead(up: UpstreamServer, body: bytes, **more: Any) -> None:
    """From now on this is the page of demo."""
    up.heal()
    up.fault("/simple/demo/", **{"status": 200, "body": body, "headers": {"Content-Type": JSON, "ETag": None}, **more})


def target_of(item: Item) -> str:
    return f"/packages/{item.path}/{item.filename}"


async def listed(server: Server) -> list[str]:
    """The versions on our page of demo."""
    answer = await ask(server.url, "/simple/demo/", headers=AS_JSON)
    assert answer.status == 200, answer
    return sorted(file["filename"].split("-")[1] for file in json.loads(answer.body)["files"])


async def in_time(server: Server, wanted: list[str]) -> None:
    """Look until the page lists *wanted*: a refresh may end behind the answer that began it."""
    async with asyncio.timeout(10):
        while await listed(server) != wanted:
            await asyncio.sleep(0.05)


async def refresh(server: Server, up: UpstreamServer) -> None:
    """Look at the page until the mirror has been asked for it once more, and its answer is there."""
    asked = len(up.asked("/simple/demo/"))
    async with asyncio.timeout(10):
        while len(up.asked("/simple/demo/")) < asked + 2:
            await listed(server)


async def test_b12_a_page_of_200_000_files_is_served_and_nobody_else_waits(tmp_path: Path, up: UpstreamServer) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    files = [
        {
            "filename": f"demo-{number}-py3-none-any.whl",
            "hashes": {"sha256": digest},
            "url": f"../../packages/aa/bb/{number:060x}/demo-{number}-py3-none-any.whl",
        }
        for number in range(200_000)
    ]
    body = json.dumps({"meta": {"api-version": "1.0"}, "name": "demo", "files": files}).encode()
    instead(up, body)
    patient = 'max_page = "128 MiB"\nhard_deadline = "60 s"\n'
    clock = asyncio.get_running_loop().time
    with yizhan(tmp_path, config=config(up, fresh="1 h").replace('hard_deadline = "8 s"\n', "") + patient) as server:
        async with heart_beats(server) as beats:
            answer = await ask(server.url, "/simple/demo/", headers=AS_JSON)
        assert answer.status == 200
        assert answer.body.count(b'"filename"') == len(files)
        assert max(beats) < 1.0, f"another client waited for {max(beats):.2f} s"
        began = clock()
        again = await ask(server.url, "/simple/demo/", headers=AS_JSON)
        assert again.body == answer.body
        assert clock() - began < 5.0


@asynccontextmanager
async def heart_beats(server: Server) -> AsyncIterator[list[float]]:
    """How long each of many short questions of another client takes meanwhile, in seconds."""
    beats = [0.0]

    async def beat() -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            await ask(server.url, "/-/health")
            beats.append(clock() - began)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(beat())
    try:
        yield beats
    finally:
        task.cancel()


async def test_b16_a_project_in_quarantine_is_empty_and_its_files_are_not_served(
    tmp_path: Path, up: UpstreamServer
) -> None:
    item = publish(up, "1.0")
    with yizhan(tmp_path, config=config(up)) as server:
        assert (await ask(server.url, target_of(item))).body == item.body
        assert await listed(server) == ["1.0"]
        instead(up, page(item, **{"project-status": {"status": "quarantined", "reason": "malware"}}))
        await in_time(server, [])
        assert (await ask(server.url, target_of(item))).status in (403, 404)
        answer = await ask(server.url, "/simple/demo/", headers=AS_JSON)
        assert json.loads(answer.body)["project-status"]["status"] == "quarantined"


@pytest.mark.parametrize("serial", [True, False], ids=["with a serial", "without a serial"])
async def test_b17_a_file_that_is_removed_is_not_served_from_the_cache_either(
    tmp_path: Path, up: UpstreamServer, serial: bool
) -> None:
    clock = Clock(tmp_path / "clock")
    items = [publish(up, version) for version in ("1.0", "1.1", "1.2", "1.3")]
    with yizhan(tmp_path / "data", config=config(up), environment=clock.environment) as server:
        if not serial:
            instead(up, page(*items))
        assert await listed(server) == ["1.0", "1.1", "1.2", "1.3"]
        assert (await ask(server.url, target_of(items[2]))).body == items[2].body
        if serial:
            up.listing.remove("demo", items[2].filename)
        else:
            instead(up, page(items[0], items[1], items[3]))
            await refresh(server, up)
            # One word is not enough: who tells no serial may be behind.
            assert await listed(server) == ["1.0", "1.1", "1.2", "1.3"]
            assert (await ask(server.url, target_of(items[2]))).status == 200
            clock.set(WORD)
        await in_time(server, ["1.0", "1.1", "1.3"])
        assert (await ask(server.url, target_of(items[2]))).status == 404


async def test_b18_a_page_that_loses_most_of_its_files_for_once_loses_none(tmp_path: Path, up: UpstreamServer) -> None:
    versions = [f"1.{number}" for number in range(10)]
    items = [publish(up, version) for version in versions]
    with yizhan(tmp_path, config=config(up)) as server:
        assert await listed(server) == versions
        lost = json.loads(page(*items[:2]))
        lost["meta"]["_last-serial"] = "999"
        for body in (page(*items[:2]), json.dumps(lost).encode()):
            instead(up, body)
            await refresh(server, up)
            assert await listed(server) == versions
            up.heal()
            await refresh(server, up)
            assert await listed(server) == versions
        assert (await ask(server.url, target_of(items[9]))).body == items[9].body


async def test_b18_a_second_mirror_settles_at_once_whether_files_are_gone(tmp_path: Path) -> None:
    one, two = UpstreamServer(kind="json"), UpstreamServer(kind="json")
    with running(one, two):
        items = [[publish(up, f"1.{number}") for number in range(10)] for up in (one, two)]
        with yizhan(tmp_path, config=config(one, two)) as server:
            assert len(await listed(server)) == 10
            for up, mine in zip((one, two), items, strict=True):
                instead(up, page(*mine[:2]))
            await in_time(server, ["1.0", "1.1"])


@pytest.mark.parametrize(
    "said", [{"Cache-Control": "max-age=1000000000000"}, {"Cache-Control": "no-store", "Age": "-1"}]
)
async def test_b23_how_long_a_page_holds_is_ours_to_say(
    tmp_path: Path, up: UpstreamServer, said: dict[str, str]
) -> None:
    up.fault("/simple/", headers=said)
    publish(up, "1.0")
    with yizhan(tmp_path / "short", config=config(up)) as server:
        assert await listed(server) == ["1.0"]
        publish(up, "2.0")
        await in_time(server, ["1.0", "2.0"])
    with yizhan(tmp_path / "long", config=config(up, fresh="1 h")) as server:
        asked = len(up.asked("/simple/demo/"))
        for _ in range(3):
            assert await listed(server) == ["1.0", "2.0"]
        assert len(up.asked("/simple/demo/")) == asked + 1
        answer = await ask(server.url, "/simple/demo/")
        assert "1000000000000" not in answer.headers["cache-control"]
        assert "age" not in answer.headers


async def test_b24_no_header_of_a_mirror_is_handed_on(tmp_path: Path, up: UpstreamServer) -> None:
    item = publish(up, "1.0")
    targets = ("/simple/demo/", target_of(item), "/simple/")
    honest = await answers(tmp_path / "honest", up, targets)
    said = {
        "Set-Cookie": "canary=1; Domain=example.org",
        "Link": "<https://evil.example/>; rel=preload",
        "Connection": "keep-alive, X-Canary",
        "Keep-Alive": "timeout=1",
        "X-Canary": "canary",
        "Proxy-Authenticate": "Basic",
        "WWW-Authenticate": "Basic",
        "Strict-Transport-Security": "max-age=1",
        "Alt-Svc": 'h3=":443"',
        "Refresh": "0; url=https://evil.example/",
        "Content-Disposition": "attachment; filename=canary",
        "Content-Security-Policy": "default-src *",
    }
    up.fault("/", headers=said)
    spoilt = await answers(tmp_path / "spoilt", up, targets)
    for target, one, other in zip(targets, honest, spoilt, strict=True):
        assert (one.status, other.status) == (200, 200), target
        assert one.headers.keys() == other.headers.keys(), target
        assert b"canary" not in other.head.lower()
        assert b"evil" not in other.head.lower()
        assert one.body == other.body


async def answers(folder: Path, up: UpstreamServer, targets: tuple[str, ...]) -> list[Answer]:
    with yizhan(folder, config=config(up)) as server:
        return [await ask(server.url, target) for target in targets]


async def test_b25_a_list_of_700_000_names_passes_through_and_does_not_stay(tmp_path: Path, up: UpstreamServer) -> None:
    names = [f"project-{number:06}-{'x' * 40}" for number in range(700_000)]
    listing = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in names]}
    body = json.dumps(listing).encode()
    assert len(body) > 45_000_000
    up.fault("/simple/", status=200, body=body, headers={"Content-Type": JSON})
    patient = config(up).replace('hard_deadline = "8 s"', 'hard_deadline = "60 s"')
    ours = make.wheel("project-000000-" + "x" * 40, "1.0")
    more = '[auth]\nupload = "anyone"\n[private]\nclaim = "allow"\n'
    with yizhan(tmp_path, config=more + patient) as server:
        assert (await upload(server.url, "project-000000-" + "x" * 40, "1.0", *ours)).status == 200
        await ask(server.url, "/-/health")
        before = peak(server)
        answer = await ask(server.url, "/simple/", headers=AS_JSON)
        assert peak(server) - before < 100 * 1024
        assert answer.status == 200
        assert [project["name"] for project in json.loads(answer.body)["projects"]] == names


def peak(server: Server) -> int:
    """The most memory that the process ever held, in KiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


async def test_b27_a_mirror_whose_name_is_not_known_costs_a_moment(tmp_path: Path, up: UpstreamServer) -> None:
    publish(up, "1.0")
    settings = config(up).replace("mirrors = [", 'mirrors = ["http://no-such-host.invalid/simple/", ')
    clock = asyncio.get_running_loop().time
    with yizhan(tmp_path, config=settings) as server:
        began = clock()
        assert await listed(server) == ["1.0"]
        assert clock() - began < 5.0
        up.refuse()
        began = clock()
        assert await listed(server) == ["1.0"]
        assert clock() - began < 5.0


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "not allowed"])
async def test_b30_whether_links_to_another_host_are_followed_is_for_the_operator_to_say(
    tmp_path: Path, up: UpstreamServer, allowed: bool
) -> None:
    other = UpstreamServer(address="127.0.0.2")
    with running(other):
        mine, theirs = publish(up, "1.0"), publish(other, "2.0")
        files = [entry(mine), entry(theirs, other.files)]
        instead(up, json.dumps({"meta": {"api-version": "1.1"}, "name": "demo", "files": files}).encode())
        more = 'networks = ["127.0.0.2/32"]\n' if allowed else 'hosts = ["127.0.0.1"]\n'
        with yizhan(tmp_path, config=config(up, more=more)) as server:
            got = await ask(server.url, target_of(theirs))
            assert (got.status, got.body == theirs.body) == ((200, True) if allowed else (503, False))
            assert (await ask(server.url, target_of(mine))).body == mine.body
        assert bool(other.log) is allowed
