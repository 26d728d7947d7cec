"""A flat page of links as an index: what is read of it, and how its projects' pages come of it; over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import pytest
from packaging.utils import canonicalize_name as normalized

from proxy.errors import MirrorFailed, NotFound, UpstreamDown
from proxy.policy import EVERY, Policy, PublicName
from proxy.simple.model import TEXT, File, Project
from proxy.simple.read_flat import ByProject, read_flat
from proxy.storage import Pages
from proxy.upstream import flat
from proxy.upstream.breaker import Patience
from proxy.upstream.facts import FactBook
from proxy.upstream.flat import FlatMirror, FlatPages
from proxy.upstream.guard import Guard, origin_of
from proxy.upstream.index import Limits
from proxy.upstream.mirrors import MirrorSet
from proxy.upstream.pages import RememberedPages
from proxy.upstream.remembered import Times
from proxy.upstream.sessions import open_sessions

from .fakes import MemoryFacts, MemoryPages
from .family.wheels import AliyunWheels, FlatPage, JaxReleases, TorchStable
from .upstream_server import CAPTIVE

URL = "https://download.pytorch.org/whl/torch_stable.html"
SHA256 = "ab" * 32
TORCH = "torch-2.0+cu118-cp310-cp310-linux_x86_64.whl"


def whole(body: bytes, *, url: str = URL, base: str = URL, content_type: str = TEXT) -> Project:
    return read_flat(body, content_type=content_type, url=url, name=EVERY, origin="cu118", base=base)


def page_of(*links: str) -> bytes:
    return "".join(f'<a href="{link}">text</a><br/>\n' for link in links).encode()


def only(page: Project | None) -> File:
    assert page is not None
    assert len(page.files) == 1
    return next(iter(page.files.values()))


# --- What is read ---


def test_links_of_torch_stable_are_read_with_their_exact_encoding() -> None:
    href = "cpu/torchtext-0.17.0%2Bcpu-cp39-cp39-win_amd64.whl"
    found = only(whole(f'<a href="{href}">{href}</a><br>'.encode()))
    assert found.filename == "torchtext-0.17.0+cpu-cp39-cp39-win_amd64.whl"
    assert found.url == f"https://download.pytorch.org/whl/{href}"
    assert (found.origin, found.sha256, found.core_metadata) == ("cu118", None, False)


def test_links_of_jax_are_read_with_their_literal_plus_and_not_by_their_text() -> None:
    link = (
        "https://storage.googleapis.com/jax-releases/cuda100/jaxlib-0.1.64+cuda100-cp36-none-manylinux2010_x86_64.whl"
    )
    body = f"<html><body><a href={link}>cuda100/jaxlib-0.1.64+cuda100-cp36-none-x.whl</a><br></body></html>"
    found = only(whole(body.encode(), url="https://storage.googleapis.com/jax-releases/jax_cuda_releases.html"))
    assert (found.filename, found.url) == (link.rpartition("/")[2], link)


def test_a_directory_listing_that_cuts_its_text_short_is_read() -> None:
    body = f"""<html>
<head><title>Index of /pytorch-wheels/cu118/</title></head>
<body><h1>Index of /pytorch-wheels/cu118/</h1><hr><pre><a href="../">../</a>
<a href="{TORCH.replace("+", "%2B")}">torch-2.0+cu118-cp310-cp310-linux_x86_..&gt;</a> 18-Mar-2026 02:02  2G
</pre><hr></body>
</html>
"""
    assert only(whole(body.encode())).filename == TORCH


def test_hashes_and_attributes_are_taken_where_a_page_has_them() -> None:
    body = f'<a href="x-1.0.zip#sha256={SHA256}" data-requires-python="&gt;=3.9" data-yanked="bad">x</a>'
    found = only(whole(body.encode()))
    assert (found.sha256, found.requires_python, found.yanked) == (SHA256, ">=3.9", "bad")


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)//x-1.0.zip",
        "file:///etc/x-1.0.zip",
        "ftp://mirror.example/x-1.0.zip",
        "git+https://mirror.example/x-1.0.zip",
        "data:application/zip;base64,x-1.0.zip",
        "https://user:password@mirror.example/x-1.0.zip",
        "https://mirror.example\\@evil.example/x-1.0.zip",
        "///evil.example/x-1.0.zip",
        "http://[::1/x-1.0.zip",
        "https://mirror.example:99999/x-1.0.zip",
        "readme.html",
        "x-1.0.zip.asc",
        "../",
        "",
        "#x-1.0.zip",
        "..%2f..%2fetc%2fx-1.0.zip",
    ],
)
def test_what_is_no_distribution_or_is_not_to_be_fetched_is_left_out(link: str) -> None:
    assert set(whole(page_of(link, "y-1.0.zip")).files) == {"y-1.0.zip"}


def test_of_two_links_that_end_in_one_filename_the_first_counts() -> None:
    found = only(whole(page_of("cpu/torch-1.0.zip", "cu100/torch-1.0.zip")))
    assert found.url.endswith("/cpu/torch-1.0.zip")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Please sign in to the network.</body></html>",
        b'<html><body><a href="/login">Sign in</a></body></html>',
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        b'{"meta": {"api-version": "1.0"}, "projects": []}',
        b'<html><body><a href="x-1.0.zip">x</a>',
        b"PK\x03\x04",
    ],
)
def test_a_page_that_links_no_distribution_or_breaks_off_is_none(body: bytes) -> None:
    with pytest.raises(MirrorFailed):
        whole(body)


def test_an_unhashed_file_has_one_place_at_all_mirrors_of_the_page_and_another_in_each_variant() -> None:
    def path(link: str, url: str, origin: str = "cu118") -> str:
        body = page_of(link)
        return only(read_flat(body, content_type=TEXT, url=url, name=EVERY, origin=origin, base=url)).path

    quoted = TORCH.replace("+", "%2B")
    official = path(f"cu118/{quoted}", URL)
    assert path(f"cu118/{TORCH}", "https://mirror.sjtu.edu.cn/pytorch-wheels/torch_stable.html") == official
    assert path(f"https://download-r2.pytorch.org/whl/cu118/{quoted}", URL) == official
    assert path(f"cpu/{quoted}", URL) != official
    assert path(f"cu118/{quoted}", URL, origin="cu121") != official


# --- How it is sorted ---


def test_files_are_sorted_by_project_in_any_spelling() -> None:
    files = whole(page_of("Foo.Bar-1.0.zip", "foo_bar-2.0-py3-none-any.whl", "foo-1.0.zip", "foobar-1.0.zip")).files
    sorted_ = ByProject(files)
    page = sorted_.page(normalized("foo-bar"))
    assert page is not None
    assert (list(page.files), page.versions) == (["Foo.Bar-1.0.zip", "foo_bar-2.0-py3-none-any.whl"], ("1.0", "2.0"))
    assert only(sorted_.page(normalized("foo"))).filename == "foo-1.0.zip"
    assert sorted_.page(normalized("bar")) is None
    assert sorted(sorted_.names()) == ["foo", "foo-bar", "foobar"]


def test_a_filename_of_several_readings_stands_on_each_page_with_the_others_as_rivals() -> None:
    sorted_ = ByProject(whole(page_of("acme_sdk-1.0-1.tar.gz")).files)
    for name, rival in (("acme-sdk", "acme-sdk-1-0"), ("acme-sdk-1-0", "acme-sdk")):
        page = sorted_.page(normalized(name))
        assert only(page).rivals == (rival,)
        assert page is not None
        assert page.rivals == {rival}
    assert list(sorted_.names()) == ["acme-sdk"]


def test_a_hundred_thousand_links_are_read_and_sorted_within_bounds() -> None:
    """Names that can be split at every hyphen cost no more than their number: nothing is spread out beforehand."""
    ambiguous = [f"p{number}{'-1' * 19}.zip" for number in range(50_000)]
    body = page_of(*ambiguous, *(f"torch-{number}-py3-none-any.whl" for number in range(50_000)))
    began = time.monotonic()
    sorted_ = ByProject(whole(body).files)
    torch = sorted_.page(normalized("torch"))
    assert torch is not None
    assert len(torch.files) == 50_000
    assert only(sorted_.page(normalized("p7-1-1"))).filename == ambiguous[7]
    assert time.monotonic() - began < 60


# --- As an index ---


@dataclass
class Site:
    """A flat page behind mirrors, remembered, with time that passes when a test says so."""

    mirrors: MirrorSet
    disk: Pages
    times: dict[str, float]
    time: float = 1_800_000_000.0
    pages: FlatPages = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all but what the disk remembers."""
        times = Times(**{"fresh": 300.0, "absent": 60.0, "soft": 5.0, "hard": 5.0, "retry": 5.0, **self.times})
        self.whole = RememberedPages(
            self.mirrors,
            self.disk,
            facts=FactBook(MemoryFacts(), "wheels", memory=1_000_000, now=self.now),
            times=times,
            memory=1_000_000,
            now=self.now,
            clock=self.now,
        )
        self.pages = FlatPages(self.whole)

    def now(self) -> float:
        return self.time

    async def names(self) -> list[str]:
        blob = await self.pages.root()
        with blob.handle as handle:
            return sorted(handle.read().decode().split())


@asynccontextmanager
async def site(
    *ups: FlatPage, disk: Pages | None = None, max_page: int = 1_000_000, **times: float
) -> AsyncIterator[Site]:
    guard = Guard(own=[origin_of(up.origin) for up in ups], networks=[ip_network("127.0.0.0/8")])
    limits = Limits(connect=2, answer=5, stall=5, page=5, max_page=max_page)
    async with open_sessions(guard=guard, user_agent="yizhan/1", connect=2) as sessions:
        mirrors = MirrorSet(
            "wheels",
            [
                FlatMirror(name=name, base=up.simple, sessions=sessions, limits=limits)
                for name, up in zip(("one", "two"), ups, strict=False)
            ],
            now=lambda: built.time,
            clock=lambda: built.time,
            chance=lambda: 0.0,
            patience=Patience(),
            read=read_flat,
        )
        built = Site(mirrors, disk or MemoryPages(), times)
        yield built
        await built.whole.close()


def public(name: str) -> PublicName:
    found = Policy().route(normalized(name), frozenset()).public
    assert found is not None
    return found


FLAT = public("torch")


@pytest.fixture(params=[AliyunWheels, JaxReleases, TorchStable])
async def up(request: pytest.FixtureRequest) -> AsyncIterator[FlatPage]:
    async with request.param() as server:
        server.publish("torch", TORCH, b"torch for CUDA 11.8")
        server.publish("torchvision", "torchvision-0.1-py3-none-any.whl", b"eyes")
        yield server


async def content(mirrors: MirrorSet, file: File) -> bytes:
    place, *_ = mirrors.places(file, avoid=frozenset())
    async with place.transfer(begin=0, end=None) as transfer:
        return b"".join([chunk async for chunk in transfer.chunks])


async def test_projects_of_every_kind_of_flat_page_have_pages_and_files(up: FlatPage) -> None:
    async with site(up) as index:
        found = only(await index.pages.project(FLAT))
        assert (found.filename, found.origin, found.sha256, found.size) == (TORCH, "wheels", None, None)
        assert await content(index.mirrors, found) == b"torch for CUDA 11.8"
        assert only(await index.pages.project(public("torchvision"))).filename == "torchvision-0.1-py3-none-any.whl"
        with pytest.raises(NotFound, match="no file of numpy"):
            await index.pages.project(public("numpy"))
        assert await index.names() == ["torch", "torchvision"]
        assert len(up.asked(up.page_path)) - len(up.asked(up.page_path + "torch")) == 1


async def test_no_name_is_ever_told_to_the_server_of_a_flat_page(up: FlatPage) -> None:
    async with site(up) as index:
        with pytest.raises(NotFound):
            await index.pages.project(public("secret-plan"))
        assert not [request for request in up.log if "secret" in request.path]


async def test_an_old_page_is_asked_for_with_its_validators_and_stays_the_same_object(up: FlatPage) -> None:
    async with site(up) as index:
        before = await index.pages.project(FLAT)
        index.time += 1000
        assert await index.pages.project(FLAT) is before
        assert [bool(request.headers.get("if-none-match")) for request in up.log] == [False, True]


async def test_a_page_that_changed_changes_only_the_projects_that_changed(up: FlatPage) -> None:
    async with site(up) as index:
        torch, vision = await index.pages.project(FLAT), await index.pages.project(public("torchvision"))
        up.publish("torchvision", "torchvision-0.2-py3-none-any.whl", b"better eyes")
        assert await index.pages.project(public("torchvision")) is vision
        index.time += 1000
        changed = await index.pages.project(public("torchvision"))
        assert list(changed.files) == ["torchvision-0.1-py3-none-any.whl", "torchvision-0.2-py3-none-any.whl"]
        assert await index.pages.project(FLAT) is torch


async def test_many_who_ask_at_once_cost_one_fetch(up: FlatPage) -> None:
    async with site(up) as index:
        found = await asyncio.gather(*(index.pages.project(FLAT) for _ in range(50)))
        assert all(page is found[0] for page in found)
        assert len(up.log) == 1


WRONG: list[dict[str, Any]] = [
    {"status": 404},
    {"status": 403},
    {"status": 500},
    CAPTIVE,
    {"status": 200, "body": b"<html><body></body></html>"},
    {"status": 200, "body": b'<html><body><a href="x-1.0.zip">x'},
    {"cut_after": 20},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:40])
async def test_what_is_no_page_of_links_is_a_failure_of_the_mirror_and_the_next_is_asked(wrong: dict[str, Any]) -> None:
    async with TorchStable() as one, TorchStable() as two:
        one.publish("torch", "torch-1.0.zip", b"one")
        two.publish("torch", "torch-2.0.zip", b"two")
        one.fault(one.page_path, **wrong)
        async with site(one, two) as index:
            assert only(await index.pages.project(FLAT)).filename == "torch-2.0.zip"
        async with site(one) as index:
            for name in (FLAT, public("numpy")):  # "no projects" is never the answer
                with pytest.raises(UpstreamDown):
                    await index.pages.project(name)
            with pytest.raises(UpstreamDown):
                await index.names()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:40])
async def test_an_outage_makes_the_page_old_and_never_absent(up: FlatPage, wrong: dict[str, Any]) -> None:
    async with site(up) as index:
        before = await index.pages.project(FLAT)
        up.fault(up.page_path, **wrong)
        index.time += 10 * 24 * 3600
        assert await index.pages.project(FLAT) is before
        with pytest.raises(NotFound):
            await index.pages.project(public("numpy"))
        assert await index.names() == ["torch", "torchvision"]


async def test_a_restart_during_an_outage_is_harmless(up: FlatPage) -> None:
    async with site(up) as index:
        before = await index.pages.project(FLAT)
        up.refuse()
        index.restart()
        index.time += 10 * 24 * 3600
        assert await index.pages.project(FLAT) == before


async def test_a_client_waits_for_a_slow_page_only_so_long(up: FlatPage) -> None:
    fault = up.fault(up.page_path, silent=True)
    async with site(up, hard=0.05, soft=0.05) as index:
        with pytest.raises(UpstreamDown, match=r"within 0\.05 seconds"):
            await index.pages.project(FLAT)
        fault.lifted.set()
        await asyncio.wait(index.whole._refreshing.values())
        before = await index.pages.project(FLAT)
        up.fault(up.page_path, silent=True)
        index.time += 1000
        assert await index.pages.project(FLAT) is before


async def test_a_page_beyond_its_limit_is_refused(up: FlatPage) -> None:
    up.fault(up.page_path, status=200, body=b"<html>" + b'<a href="x-1.0.zip">x</a>' * 10_000)
    async with site(up, max_page=100_000) as index:
        with pytest.raises(UpstreamDown, match="more than the 100000 bytes"):
            await index.pages.project(FLAT)


async def test_a_link_to_where_nothing_may_be_dialled_is_listed_and_never_followed(up: FlatPage) -> None:
    up.fault(up.page_path, status=200, body=b'<a href="http://169.254.169.254/torch-1.0.zip">x</a>')
    async with site(up) as index:
        found = only(await index.pages.project(FLAT))
        with pytest.raises(MirrorFailed, match="never dialled"):
            await content(index.mirrors, found)


async def test_where_a_page_came_from_is_told_for_the_projects_that_are_on_it(up: FlatPage) -> None:
    async with site(up) as index:
        assert index.pages.seen(FLAT) is None
        await index.pages.project(FLAT)
        with pytest.raises(NotFound):
            await index.pages.project(public("numpy"))
        seen = index.pages.seen(FLAT)
        assert seen is not None
        assert (seen.mirror, seen.fetched, seen.checked) == ("one", index.time, index.time)
        assert index.pages.seen(public("numpy")) is None
        index.pages.withdraw(FLAT)
        assert index.pages.seen(FLAT) is None


async def test_only_so_many_projects_pages_are_kept(up: FlatPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "ROOM", 10)
    async with site(up) as index:
        before = await index.pages.project(FLAT)
        for number in range(100):
            with pytest.raises(NotFound):
                await index.pages.project(public(f"p{number}"))
        assert index.pages.seen(FLAT) is None
        assert await index.pages.project(FLAT) == before


async def test_a_file_that_one_mirror_of_a_page_lacks_comes_from_another_with_its_encoding_kept() -> None:
    async with TorchStable() as one, TorchStable() as two:
        for up in (one, two):
            up.publish("torch", TORCH, b"torch for CUDA 11.8")
        one.fault(one.files_path, status=404)
        async with site(one, two) as index:
            found = only(await index.pages.project(FLAT))
            first, second = index.mirrors.places(found, avoid=frozenset())
            with pytest.raises(NotFound):
                async with first.transfer(begin=0, end=None):
                    pass
            async with second.transfer(begin=0, end=None) as transfer:
                assert b"".join([chunk async for chunk in transfer.chunks]) == b"torch for CUDA 11.8"
            assert two.log[-1].path == one.log[-1].path == f"/whl/cu128/{TORCH.replace('+', '%2B')}"


async def test_a_project_of_a_flat_page_is_at_hand_while_the_whole_page_is(up: FlatPage) -> None:
    async with site(up) as index:
        assert index.pages.at_hand(FLAT) is None
        page = await index.pages.project(FLAT)
        assert index.pages.at_hand(FLAT) is page
        assert index.pages.at_hand(public("torchvision")) is None  # nobody asked for it yet
        with pytest.raises(NotFound):
            await index.pages.project(public("numpy"))
        with pytest.raises(NotFound):
            index.pages.at_hand(public("numpy"))
        index.time += 10**6
        assert index.pages.at_hand(FLAT) is None
