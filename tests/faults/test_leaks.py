"""No private name leaves the building, and nothing from outside is taken for it: in any spelling, route and method."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import shutil
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from packaging.utils import canonicalize_name

from proxy.repository import Repository
from proxy.simple.model import JSON, Project
from proxy.storage.disk_store import DiskStore
from proxy.web.fields import Fields
from proxy.web.index import ProjectPages

from .. import make
from ..daemon import Server, start, yizhan
from ..upstream_listing import Item
from ..upstream_server import Request, UpstreamServer, running_upstream
from .client import Answer, Client, ask, upload

CLAIMED, RESERVED, EMPTIED = "acme-sdk", "corp-kit", "ward-key"
"""Uploaded; covered by a pattern and never uploaded; uploaded, and all its files removed."""
PRIVATE = (CLAIMED, RESERVED, EMPTIED)
PUBLIC = "open-kit"

CONFIG = '[auth]\nupload = "anyone"\n[private]\nreserved = ["corp-*"]\nclaim = "allow"\n'

THEIRS = "99.0"
"""The version that stands upstream under every name, and nowhere here."""

CONNECTIONS = 6
MARK = b"made upstream, and never here"

Case = tuple[str, str, Mapping[str, str]]
"""Target, method and headers."""


@pytest.fixture
def upstream() -> Iterator[UpstreamServer]:
    with running_upstream() as up:
        for name in (*PRIVATE, PUBLIC):
            publish(up, name)
        yield up


def publish(up: UpstreamServer, name: str) -> list[Item]:
    """Every kind of file that *name* could be confused with."""
    module = name.replace("-", "_")
    wheel, body = make.wheel(name, THEIRS, payload=MARK)
    names = [
        f"{module}-{THEIRS}.tar.gz",
        f"{module}-1.0-1.tar.gz",
        f"{name}-1-0-1.zip",
        f"{module}-{THEIRS}-py3.11.egg",
        f"{name}-{THEIRS}.win32.exe",
        f"{name}-{THEIRS}.tar.bz2",
    ]
    items = [up.publish(name, filename, MARK + filename.encode()) for filename in names]
    return [up.publish(name, wheel, body, metadata=make.metadata(name, THEIRS)), *items]


def place_of(up: UpstreamServer, name: str) -> str:
    """The path of the wheel of *name*."""
    page = up.listing.page(name, as_json=True)
    assert page is not None
    found = re.search(r'packages/(../../.{60})/[^/"]+\.whl', page.decode())
    assert found is not None
    return found[1]


def spellings(name: str) -> list[str]:
    """Ways in which a client may write *name* in a URL, right and wrong ones, as they stand on the wire."""
    first, last = name.split("-")
    code = f"%{ord(first[0]):02x}"
    kelvin = quote(name.replace("k", "\u212a"))
    wide = quote("".join(chr(ord(letter) + 0xFEE0) for letter in name))
    return [
        *(
            f"{first}{mark}{last}"
            for mark in ("-", "_", ".", "--", "..", "__", "-_.", ".-.", "%2D", "%2d", "%5F", "%2E")
        ),
        *(f"{first.upper()}{mark}{last.title()}" for mark in ("-", "_", ".", "%2e")),
        name.upper(),
        name.title(),
        f"{code}{name[1:]}",
        f"{code.upper()}{first[1:]}%2D{last}",
        "".join(f"%{ord(letter):02X}" for letter in name),
        f"%25{code[1:]}{name[1:]}",
        f"{first}%252D{last}",
        *(
            f"{first}{odd}{last}"
            for odd in ("%20", "+", "%2B", "%09", "%00", "%0a", "%0d%0a", "%7F", "%C2%AD", "%E2%80%90")
        ),
        kelvin,
        wide,
        quote(name.replace("a", "\u0430").replace("e", "\u0435")),  # Cyrillic
        f"{name}.",
        f"{name}-",
        f".{name}",
        f"-{name}",
        f"{name}%00",
        f"{name}%20",
        f"%20{name}",
        f"{name};x",
        f"{name};x=1",
        f"{name}%3Bx",
        f"{name}%23x",
        f"{name}%3Fx",
        f"{name}%2F",
        f"{name}%2f..%2f{name}",
        f"..%2f{name}",
        f"%2e%2e%2f{name}",
        f"..%5c{name}",
        f"x%2f..%2f{name}",
        f"./{name}",
        f"x/../{name}",
        f"/{name}",
        f"//{name}",
        f"{name}//",
        f"%EF%BB%BF{name}",
        f"%E2%80%AE{name}",
        f"%c0%ae{name}",
        f"{name}%FF",
    ]


def routes(path: str) -> list[Callable[[str], str]]:
    """Where a name can stand in a target; *path* is where upstream keeps the wheel."""
    counter = itertools.count()
    files = [
        f"{{}}-{THEIRS}-py3-none-any.whl",
        f"{{}}-{THEIRS}-py3-none-any.whl.metadata",
        f"{{}}-{THEIRS}.tar.gz",
        "{}-1.0-1.tar.gz",
        "{}-1-0-1.zip",
        f"{{}}-{THEIRS}-py3.11.egg",
        f"{{}}-{THEIRS}.win32.exe",
        f"{{}}-{THEIRS}.tar.bz2",
    ]
    pages = [
        "/simple/{}/",
        "/simple/{}",
        "/simple//{}/",
        "//simple/{}//",
        "/pypi/simple/{}/",
        "/pypi/simple/{}",
        "/simple/{}/?format=json",
        "/simple/{}/?format=application/vnd.pypi.simple.v1%2Bjson",
        "/simple/{}/index.html",
        "/SIMPLE/{}/",
        "/{}/",
        "/{}",
        "/{}/json",
        "/pypi/{}/json",
        "/pypi/{}/99.0/json",
        "/simple/pypi/{}/json",
        f"/integrity/{{}}/{THEIRS}/x-{THEIRS}-py3-none-any.whl/provenance",
        "/pypi/simple/{}/json",
        "/project/{}/",
        "/legacy/{}",
        "/legacy/?name={}",
        "/integrity/{}/99.0/x.whl/provenance",
        "/?q={}",
        "/search/?q={}",
        "/simple/?q={}",
        "/-/static/{}",
        "http://127.0.0.1/simple/{}/",
        "http://{}/simple/open-kit/",
    ]
    found: list[Callable[[str], str]] = [page.format for page in pages]
    prefixes = (f"/packages/{path}/", "/packages/", f"/pypi/packages/{path}/", "/simple/x/")
    found += [(prefix + file).format for prefix in prefixes for file in files]
    # A public page that was never asked for, so that the index is: what else the client says stays here.
    found.append(lambda name: f"/simple/cold-{next(counter)}/?project={name}#{name}")
    return found


METHODS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("GET", {}),
    ("HEAD", {}),
    ("POST", {}),
    ("GET", {"Range": "bytes=0-"}),
    ("GET", {"If-None-Match": '"x"'}),
    ("GET", {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT", "Accept": JSON}),
    ("GET", {"Range": "bytes=1-5", "If-Range": '"x"'}),
    ("DELETE", {}),
)


def cases(name: str, path: str, methods: int) -> list[Case]:
    """Each spelling on each route by GET, and by *methods* others, which take turns."""
    found: list[Case] = []
    told = {"Referer": f"http://127.0.0.1/{name}/", "Cookie": name, "User-Agent": name, "X-Forwarded-Host": name}
    for number, (spelling, route) in enumerate(itertools.product(spellings(name), routes(path))):
        target = route(spelling)
        found.append((target, "GET", {"Accept": JSON, **told}))
        found += [(target, *METHODS[1 + (number + turn) % (len(METHODS) - 1)]) for turn in range(methods)]
    return found


async def ask_all(url: str, wanted: Iterable[Case]) -> list[tuple[Case, Answer]]:
    """All answers; a few connections at a time."""
    queue, answered = iter(wanted), list[tuple[Case, Answer]]()

    async def work() -> None:
        async with Client(url) as client:
            for case in queue:
                target, method, headers = case
                answer = await client.ask(target, method, headers)
                answered.append((case, answer))
                if answer.ends_connection:
                    await client.reopen()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return answered


def written(request: Request) -> Iterator[str]:
    """All that the index was told by *request*: as it stood on the wire, and decoded, and as a name, and bare."""
    for text in (request.path, *request.headers.values()):
        for _ in range(3):
            yield text
            folded = unicodedata.normalize("NFKC", text).casefold()
            yield folded
            yield re.sub(r"[^a-z0-9/]+", "-", folded)
            yield re.sub(r"[^a-z0-9]+", "", folded)
            text = unquote(text)


def told(log: Iterable[Request], name: str) -> list[str]:
    """The requests by which the index could know that somebody here wants *name*."""
    bare = name.replace("-", "")
    return [request.path for request in log if any(name in text or bare in text for text in written(request))]


def taken_for_ours(target: str, answer: Answer) -> bool:
    """Whether *answer* shows what stands upstream; an error or a redirect may repeat what it was asked for."""
    everything = answer.head + answer.body
    if MARK in everything or answer.status in (206, 304):
        return True
    return THEIRS.encode() in everything and (answer.status < 300 or THEIRS not in target)


@dataclass
class House:
    """A server in *folder* whose three private names are as their constants say."""

    folder: Path
    upstream: UpstreamServer
    server: Server

    def restart(self) -> None:
        self.server.stop()
        self.server = start(self.folder, upstream=self.upstream.simple, config=CONFIG)

    async def check(self, *, methods: int) -> int:
        """Ask for every private name in every way; how many ways those were."""
        before, count = len(self.upstream.log), 0
        for name in PRIVATE:
            answered = await ask_all(self.server.url, cases(name, place_of(self.upstream, name), methods))
            count += len(answered)
            assert [case for case, answer in answered if taken_for_ours(case[0], answer)] == []
            assert [case for case, answer in answered if answer.status == 0 or answer.status >= 500] == []
            assert told(self.upstream.log, name) == []
        # The index was there to be asked, and was: about what the same clients wanted beside.
        assert len(self.upstream.log) > before
        return count


@pytest.fixture
async def house(tmp_path: Path, upstream: UpstreamServer) -> AsyncIterator[House]:
    server = start(tmp_path, upstream=upstream.simple, config=CONFIG)
    home = House(tmp_path, upstream, server)
    try:
        for name in (CLAIMED, EMPTIED):
            assert (await upload(server.url, name, "1.0", *make.wheel(name, "1.0"))).status == 200
        server.stop()
        await remove(tmp_path, make.wheel(EMPTIED, "1.0")[0])
        home.server = start(tmp_path, upstream=upstream.simple, config=CONFIG)
        yield home
    finally:
        home.server.kill()


async def remove(folder: Path, filename: str) -> None:
    """Take a private file off its page, while no server runs."""
    store = await asyncio.to_thread(DiskStore, folder / "state", now=lambda: datetime.now(UTC))
    await store.remove([filename])
    await store.close()


async def names_of(server: Server) -> dict[str, list[str]]:
    """What the pages of the private names list."""
    listed = {}
    for name in PRIVATE:
        page = await ask(server.url, f"/simple/{name}/")
        assert page.status == 200
        listed[name] = re.findall(r">([^<]+)</a>", page.body.decode())
    return listed


async def test_no_spelling_of_a_private_name_gets_out_on_any_route(house: House) -> None:
    ours = {CLAIMED: [make.wheel(CLAIMED, "1.0")[0]], RESERVED: [], EMPTIED: []}
    assert await names_of(house.server) == ours
    assert await house.check(methods=1) >= 1500

    house.restart()
    assert await house.check(methods=0) >= 1500

    house.server.stop()
    shutil.rmtree(house.folder / "cache")
    house.server = start(house.folder, upstream=house.upstream.simple, config=CONFIG)
    assert await house.check(methods=0) >= 1500
    assert await names_of(house.server) == ours


async def test_the_check_would_notice(house: House) -> None:
    """The same requests for a public name do reach the index, and bring what stands there."""
    path = place_of(house.upstream, PUBLIC)
    answered = await ask_all(house.server.url, cases(PUBLIC, path, 1))
    assert told(house.upstream.log, PUBLIC)
    brought = {case[0].split("?")[0] for case, answer in answered if taken_for_ours(case[0], answer)}
    assert f"/simple/{PUBLIC}/" in brought
    assert f"/pypi/simple/{PUBLIC}/" in brought
    assert f"/packages/{path}/open_kit-{THEIRS}-py3-none-any.whl" in brought
    assert f"/packages/{path}/open_kit-{THEIRS}-py3-none-any.whl.metadata" in brought


@pytest.mark.parametrize(
    "path",
    [
        "/simple/Acme_SDK/",
        "/simple/%61cme%2Dsdk/",
        "/simple/%2561cme-sdk/",
        "/simple/acme%20sdk/",
        "/simple/" + quote("acme-sd\u212a") + "/",
        "/packages/x/acme_sdk-1.0-1.tar.gz",
    ],
)
def test_every_spelling_in_a_log_is_recognised(path: str) -> None:
    assert told([Request("GET", path, {})], CLAIMED) == [path]
    assert told([Request("GET", "/simple/", {"referer": path})], CLAIMED) == ["/simple/"]
    assert told([Request("GET", path, {})], PUBLIC) == []


async def test_a_reservation_covers_its_prefix_and_nothing_else(house: House) -> None:
    server, up = house.server, house.upstream
    for name in ("corp", "corp-new", "Corp.New", "corp-new-tool"):
        answer = await ask(server.url, f"/simple/{name}/")
        assert (answer.status in (200, 301), THEIRS.encode() in answer.body) == (True, False)
    assert up.log == []
    for name in ("corpx", "x-corp", "corporate"):
        assert (await ask(server.url, f"/simple/{name}/")).status == 404
    assert [request.path for request in up.log] == ["/simple/corpx/", "/simple/x-corp/", "/simple/corporate/"]


async def test_the_list_of_all_projects_shows_no_public_side_of_a_private_name(house: House) -> None:
    up = house.upstream
    for kind in (JSON, "text/html"):
        page = await ask(house.server.url, "/simple/", headers={"Accept": kind})
        assert page.status == 200
        text = page.body.decode()
        assert PUBLIC in text
        # Ours are there once, and a name that is only reserved is not there at all.
        shown = [re.findall(rf'"name":"{name}"|href="{name}/"', text) for name in PRIVATE]
        assert [len(found) for found in shown] == [1, 0, 1]
    assert [request.path for request in up.log] == ["/simple/"]


# What was public a moment ago


async def test_what_was_cached_before_the_claim_is_gone_with_it(tmp_path: Path, upstream: UpstreamServer) -> None:
    wheel, body = make.wheel(CLAIMED, THEIRS, payload=MARK)
    with yizhan(tmp_path, upstream=upstream.simple, config=CONFIG) as server:
        page = await ask(server.url, f"/simple/{CLAIMED}/")
        found = re.search(rf'href="../../(packages/[^"#]+/{re.escape(wheel)})', page.body.decode())
        assert found is not None
        target = "/" + found[1]
        cached = await ask(server.url, target)
        beside = await ask(server.url, target + ".metadata")
        assert (cached.body, beside.body) == (body, make.metadata(CLAIMED, THEIRS))
        held = [
            (page, f"/simple/{CLAIMED}/"),
            (page, f"/simple/{CLAIMED}/?format=json"),
            (cached, target),
            (beside, target + ".metadata"),
            (cached, "/pypi" + target),
        ]
        before = len(upstream.log)
        assert (await upload(server.url, CLAIMED, "1.0", *make.wheel(CLAIMED, "1.0"))).status == 200
        for old, place in held:
            for method, headers in (
                *METHODS,
                ("GET", {"If-None-Match": old.headers["etag"]}),
                ("HEAD", {"If-None-Match": old.headers["etag"]}),
                ("GET", {"Range": "bytes=0-9", "If-Range": old.headers["etag"]}),
            ):
                answer = await ask(server.url, place, method, headers)
                assert not taken_for_ours(place, answer), (place, method, headers, answer)
                assert answer.status not in (206, 304)
                if "packages" in place and method in ("GET", "HEAD"):
                    assert answer.status == 404
        assert len(upstream.log) == before


async def test_a_404_from_before_the_upload_does_not_outlive_it(tmp_path: Path, upstream: UpstreamServer) -> None:
    with yizhan(tmp_path, upstream=upstream.simple, config=CONFIG.replace("allow", "explicit")) as server:
        filename, body = make.wheel("late-kit", "1.0")
        for _ in range(2):
            assert (await ask(server.url, "/simple/late-kit/")).status == 404
        assert (await upload(server.url, "late-kit", "1.0", filename, body)).status == 200
        page = await ask(server.url, "/simple/late-kit/")
        assert filename in page.body.decode()
        found = re.search(r'href="../../([^"#]+)', page.body.decode())
        assert found is not None
        assert (await ask(server.url, "/" + found[1])).body == body


async def test_a_page_that_was_on_its_way_when_the_name_became_private_is_not_shown(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    with yizhan(tmp_path, upstream=upstream.simple, config=CONFIG) as server:
        upstream.fault(f"/simple/{CLAIMED}/", silent=True)
        asking = [asyncio.create_task(ask(server.url, f"/simple/{CLAIMED}/")) for _ in range(10)]
        link = f"/packages/{place_of(upstream, CLAIMED)}/{make.wheel(CLAIMED, THEIRS)[0]}"
        fetching = [asyncio.create_task(ask(server.url, link + ending)) for ending in ("", ".metadata") * 5]
        while not upstream.log:
            await asyncio.sleep(0.001)
        assert (await upload(server.url, CLAIMED, "1.0", *make.wheel(CLAIMED, "1.0"))).status == 200
        before = len(upstream.log)
        upstream.heal()
        for answer in await asyncio.gather(*asking):
            assert answer.status == 200
            assert make.wheel(CLAIMED, "1.0")[0].encode() in answer.body
            assert not taken_for_ours("", answer)
        assert {answer.status for answer in await asyncio.gather(*fetching)} == {404}
        assert len(upstream.log) == before


async def test_a_name_that_becomes_private_while_its_page_is_written_is_not_shown_from_outside() -> None:
    outside = Project(name=canonicalize_name(CLAIMED), files={"x": make.file(f"acme_sdk-{THEIRS}.tar.gz", MARK)})
    ours = Project(name=canonicalize_name(CLAIMED))

    class Claimed:
        """A Repository in which the claim comes between the first look and the next."""

        def __init__(self) -> None:
            self.pages = iter([outside])

        async def project(self, name: str, *, max_age: float | None = None) -> Project:
            return next(self.pages, ours)

        def seen(self, name: str) -> None:
            return None

    pages = ProjectPages(cast("Repository", Claimed()), Fields(private=False), room=1_000_000, now=time.time)
    request = make_mocked_request("GET", f"/simple/{CLAIMED}/", headers={"Accept": JSON})
    answer = await pages.answer(request, canonicalize_name(CLAIMED), "", None)
    assert isinstance(answer, web.Response)
    assert isinstance(answer.body, bytes)
    assert THEIRS.encode() not in answer.body
    assert pages.writes == 2


async def test_a_claim_and_a_look_at_the_same_time_never_show_the_outside_afterwards(
    tmp_path: Path, upstream: UpstreamServer
) -> None:
    """A hundred interleavings: what arrives after the upload's 200 is ours, whenever it was asked for."""
    chance = random.Random(20)
    clock = asyncio.get_running_loop().time
    with yizhan(tmp_path, upstream=upstream.simple, config=CONFIG) as server:
        early, late = 0, 0
        for number in range(100):
            name = f"race-{number}"
            upstream.publish(name, *make.wheel(name, THEIRS, payload=MARK))
            upstream.fault(f"/simple/{name}/", delay=chance.uniform(0, 0.03))

            async def look(name: str = name, wait: float = 0.0) -> tuple[float, Answer]:
                await asyncio.sleep(wait)
                async with Client(server.url) as client:
                    answer = await client.begin(f"/simple/{name}/")
                    began = clock()
                    body = b"".join([bytes(piece) async for piece in client.body()])
                return began, Answer(status=answer.status, body=body)

            looks = [asyncio.create_task(look(wait=chance.uniform(0, 0.03))) for _ in range(3)]
            await asyncio.sleep(chance.uniform(0, 0.03))
            assert (await upload(server.url, name, "1.0", *make.wheel(name, "1.0"))).status == 200
            claimed = clock()
            after = await ask(server.url, f"/simple/{name}/")
            assert not taken_for_ours("", after)
            for began, answer in await asyncio.gather(*looks):
                shows = taken_for_ours("", answer)
                # The clock is ours: what the server said first may be read second, within one turn of our loop.
                assert not (shows and began > claimed + 0.005)
                early, late = early + shows, late + (not shows)
        # Both were seen, or the race was none.
        assert early > 0
        assert late > 0
