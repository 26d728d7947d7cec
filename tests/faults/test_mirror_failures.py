"""F1 to F17 of what mirrors do: plain pip and uv fail straight at the ill mirror, and through us they do not.

The name of each case says its number.  The controls are the reason to believe the rest: an imitation at which the
clients themselves get along would prove nothing.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from .. import make
from ..certificates import server_context
from ..daemon import Server, yizhan
from ..e2e.clients import Workstation, answered, fetch, said, wait_until
from ..family import Family, family
from ..family.mirrors import Tuna
from ..family.samples import BLOCK_CODE, BLOCK_ID, blocked, portal
from ..upstream_listing import Item
from ..upstream_server import UpstreamServer, running

SHORT = """
connect_timeout = "1 s"
answer_timeout = "1 s"
stall_timeout = "1 s"
soft_deadline = "500 ms"
hard_deadline = "8 s"
networks = ["127.0.0.0/8"]
"""
"""Decision 41; and redirects may lead to the other members of the family."""

IMPATIENT = {"UV_HTTP_TIMEOUT": "1", "UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0", "PIP_TIMEOUT": "1"}
"""So that clients give up in a second what they give up anyway."""

SLOW = 2.0
"""Seconds in which a client should have a file of some megabytes on loopback."""

NEW, OLD = "2.0", "1.0"


@dataclass(frozen=True)
class Case:
    """One way to be ill."""

    spoil: Callable[[Family], UpstreamServer]
    """Makes one mirror of the family ill, and tells which."""
    clients: tuple[str, ...] = ("uv",)
    """Who fails there."""
    is_named: bool = True
    """Whether the log has something to say of it: who leaves a project out, or has it in HTML alone, has not failed."""


def without_a_file(them: Family) -> UpstreamServer:
    them.bfsu.missing.add(make.wheel("demo", NEW)[0])
    return them.bfsu


def with_promised_metadata(them: Family) -> UpstreamServer:
    them.tuna.metadata.add("advertised")
    return them.tuna


def blocking(them: Family) -> UpstreamServer:
    them.tuna.fault("/", **blocked())
    return them.tuna


def blocking_files_alone(them: Family) -> UpstreamServer:
    them.tuna.fault(them.tuna.files_path, **blocked())
    return them.tuna


def leading_to_a_block(them: Family) -> UpstreamServer:
    them.tuna.fault("/", **blocked())
    return them.ustc


def leading_pages_to_a_block(them: Family) -> UpstreamServer:
    them.tuna.fault("/", **blocked())
    them.sjtu.largest = 0
    return them.sjtu


def leading_in_a_circle(them: Family) -> UpstreamServer:
    them.cernet.targets = (f"{them.cernet.origin}/pypi/web/",)
    return them.cernet


def leading_astray(them: Family) -> UpstreamServer:
    them.cernet.targets = (f"{them.tuna.origin}/pypi/web/web/",)
    return them.cernet


def spoiling_files(**what: Any) -> Callable[[Family], UpstreamServer]:
    def spoil(them: Family) -> UpstreamServer:
        them.tuna.fault(them.tuna.files_path, **what)
        return them.tuna

    return spoil


def behind_a_portal(them: Family) -> UpstreamServer:
    them.tuna.fault("/", **portal())
    return them.tuna


def with_a_portal_for_files(them: Family) -> UpstreamServer:
    them.tuna.fault(them.tuna.files_path, **portal())
    return them.tuna


def noticing(them: Family) -> UpstreamServer:
    """A base URL that SJTU has no route for."""
    them.sjtu.simple_path = "/pypi/web/simply/"
    them.sjtu.page = lambda request, name: them.sjtu.elsewhere(request, request.path)  # type: ignore[method-assign]  # this one object's
    return them.sjtu


def listing_folders(them: Family) -> UpstreamServer:
    them.tuna.html_only.add("demo")
    them.tuna.autoindex = True
    return them.tuna


def excluding(them: Family) -> UpstreamServer:
    them.tuna.excluded.add("demo")
    return them.tuna


CASES = {
    "F1 a listed file is away": Case(without_a_file, ("uv", "pip")),
    "F2 promised metadata is away": Case(with_promised_metadata, ("uv", "pip"), is_named=False),
    "F3 a blocked subnet": Case(blocking, ("uv", "pip")),
    "F3 a subnet blocked from files": Case(blocking_files_alone),
    "F4 a redirect to who blocks": Case(leading_to_a_block),
    "F4 a page's redirect to who blocks": Case(leading_pages_to_a_block),
    "F5 a circle": Case(leading_in_a_circle),
    "F5 a redirect to nowhere": Case(leading_astray, is_named=False),
    "F8 a flipped byte": Case(spoiling_files(flip=500)),
    "F8 a file cut short": Case(spoiling_files(cut_after=700)),
    "F9 a portal": Case(behind_a_portal),
    "F9 a portal for files": Case(with_a_portal_for_files),
    "F9 a notice for a page": Case(noticing),
    "F10 a folder's list": Case(listing_folders, is_named=False),
    "F11 a project left out": Case(excluding, is_named=False),
    "F12 a stalled file": Case(spoiling_files(stall_after=700)),
}


@pytest.fixture
def them() -> Iterator[Family]:
    """The family with two versions of one project."""
    with family() as members:
        for version in (OLD, NEW):
            publish(members, version)
        yield members


def publish(them: Family, version: str) -> Item:
    filename, body = make.wheel("demo", version)
    return them.publish("demo", filename, body, metadata=make.metadata("demo", version))


@pytest.fixture
def desk(tmp_path: Path) -> Workstation:
    """A machine, made anew by each attempt."""
    return Workstation(tmp_path / "desk")


def install(desk: Workstation, client: str, index: str) -> None:
    """Have *client* install the new version from *index*."""
    done = attempt(desk, client, index)
    assert done.returncode == 0, said(done)
    assert desk.version("demo") == NEW


def fail(desk: Workstation, client: str, index: str) -> None:
    """Have *client* try the same, and fail."""
    done = attempt(desk, client, index, environment=IMPATIENT)
    assert done.returncode != 0, said(done)


def attempt(desk: Workstation, client: str, index: str, **how: Any) -> CompletedProcess[str]:
    desk.set_up()
    if client == "pip":
        return desk.pip("install", "--no-cache-dir", "-i", index, f"demo=={NEW}", ok=False, **how)
    return desk.uv("pip", "install", "--no-cache", "--default-index", index, f"demo=={NEW}", ok=False, **how)


def config(*mirrors: UpstreamServer, more: str = "") -> str:
    urls = ", ".join(f'"{mirror.simple}"' for mirror in mirrors)
    return f"[[index]]\nmirrors = [{urls}]\n{SHORT}{more}"


def blamed(server: Server, mirror: UpstreamServer) -> list[str]:
    """The lines of the log that say what *mirror* did not give, or gave wrong."""
    named = re.compile(rf"(mirror|\.whl from) {re.escape(urlsplit(mirror.origin).netloc)}\S*[,:] ")
    return [line for line in list(server.lines) if named.search(line)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror(
    tmp_path: Path, desk: Workstation, them: Family, case: Case
) -> None:
    ill = case.spoil(them)
    for client in case.clients:
        fail(desk, client, ill.simple)
    ill.log.clear()
    with yizhan(tmp_path / "data", config=config(ill, them.aliyun)) as server:
        for client in case.clients:
            install(desk, client, server.simple)
        assert {access.status for access in answered(server)} <= {200, 206, 304}
        assert ill.log, "the ill mirror was not asked"
        if case.is_named:
            wait_until(lambda: blamed(server, ill))


def test_f3_the_log_says_what_to_quote_to_the_operators(tmp_path: Path, desk: Workstation, them: Family) -> None:
    them.tuna.fault("/", **blocked())
    with yizhan(tmp_path / "data", config=config(them.tuna, them.aliyun)) as server:
        install(desk, "uv", server.simple)
        wait_until(lambda: any(BLOCK_CODE in line and BLOCK_ID in line for line in blamed(server, them.tuna)))
        # It is left alone, files and pages.
        asked = len(them.tuna.log)
        for client in ("uv", "pip"):
            install(desk, client, server.simple)
        assert len(them.tuna.log) == asked


def test_f4_chains_are_followed_to_their_end(tmp_path: Path, desk: Workstation, them: Family) -> None:
    """SJTU alone: absolute links, a file in another host's storage, a page at TUNA's with links relative to there."""
    them.sjtu.cached.add(make.wheel("demo", NEW)[0])
    with yizhan(tmp_path / "one", config=config(them.sjtu)) as server:
        install(desk, "uv", server.simple)
        assert them.bucket.log
    them.sjtu.largest = 0
    with yizhan(tmp_path / "two", config=config(them.sjtu)) as server:
        install(desk, "uv", server.simple)
    assert them.tuna.asked(them.tuna.files_path)
    them.cernet.targets = (f"{them.ustc.origin}/pypi/",)
    with yizhan(tmp_path / "three", config=config(them.cernet)) as server:
        install(desk, "uv", server.simple)
    assert them.ustc.log


def test_f6_a_mirror_that_is_behind_takes_nothing_away(tmp_path: Path, desk: Workstation, them: Family) -> None:
    them.tuna.listing.remove("demo")
    them.tuna.listing.serial = 1
    them.tuna.publish("demo", *make.wheel("demo", OLD))
    for client in ("uv", "pip"):
        fail(desk, client, them.tuna.simple)
    with yizhan(tmp_path / "data", config=config(them.bfsu, them.tuna, more='fresh = "0 s"\n')) as server:
        install(desk, "uv", server.simple)
        them.bfsu.fault("/", status=503)
        for client in ("uv", "pip"):
            install(desk, client, server.simple)
        assert them.tuna.asked(them.tuna.simple_path)
        wait_until(lambda: blamed(server, them.tuna))


def test_f7_backends_that_disagree_change_nothing(tmp_path: Path, desk: Workstation, them: Family) -> None:
    older = Tuna()
    older.publish("demo", *make.wheel("demo", OLD))
    them.tuna.behind = older.listing
    install(desk, "uv", them.tuna.simple)
    fail(desk, "uv", them.tuna.simple)
    with yizhan(tmp_path / "data", config=config(them.tuna, more='fresh = "0 s"\n')) as server:
        for _ in range(4):
            install(desk, "uv", server.simple)
        assert len(them.tuna.asked(them.tuna.simple_path)) >= 4
        wait_until(lambda: blamed(server, them.tuna))


def test_f12_a_slow_mirror_is_left_for_a_faster_one(tmp_path: Path, desk: Workstation, them: Family) -> None:
    """25 KB/s: no client gives up, nor has it the file in half an hour."""
    filename, body = make.wheel("demo", NEW, payload=random.Random(12).randbytes(8_000_000))
    them.publish("demo", filename, body)
    them.tuna.fault(them.tuna.files_path, rate=25_000)
    words = ["pip", "install", "--no-cache", "--default-index", them.tuna.simple, f"demo=={NEW}"]
    with desk.running("uv", *words) as straight, pytest.raises(TimeoutExpired):
        straight.wait(SLOW)
    limits = 'low_speed = "100 KiB"\n'
    with yizhan(tmp_path / "data", config=config(them.tuna, them.aliyun, more=limits)) as server:
        began = time.monotonic()
        install(desk, "uv", server.simple)
        assert time.monotonic() - began < len(body) / 25_000 / 4
        wait_until(lambda: blamed(server, them.tuna))


def test_f15_a_certificate_that_nobody_vouches_for_is_not_believed(tmp_path: Path, desk: Workstation) -> None:
    tls, _ = server_context(tmp_path)
    spied, honest = Tuna(tls=tls), Tuna()
    with running(spied, honest):
        for one in (spied, honest):
            one.publish("demo", *make.wheel("demo", NEW))
        for client in ("uv", "pip"):
            fail(desk, client, spied.simple)
        with yizhan(tmp_path / "data", config=config(spied, honest)) as server:
            install(desk, "uv", server.simple)
            wait_until(lambda: any("certificate" in line for line in blamed(server, spied)))
        assert spied.log == []


def test_f16_a_spelling_that_mirrors_do_not_know_is_led_to_the_one_they_do(tmp_path: Path, them: Family) -> None:
    filename, body = make.wheel("python-dateutil", "2.9")
    them.publish("python-dateutil", filename, body)
    with pytest.raises(HTTPError, match="404"):
        fetch(f"{them.tuna.simple}python_dateutil/")
    with yizhan(tmp_path / "data", config=config(them.tuna)) as server:
        assert f">{filename}</a>".encode() in fetch(f"{server.simple}Python_DateUtil/")
    assert [request.path for request in them.tuna.log[1:]] == [f"{them.tuna.simple_path}python-dateutil/"]


def test_f17_a_lock_still_installs_what_was_removed_everywhere(tmp_path: Path, desk: Workstation, them: Family) -> None:
    item = publish(them, NEW)
    gone = config(them.tuna, them.bfsu, more='fresh = "0 s"\nremoved = "keep"\n')
    with yizhan(tmp_path / "data", config=gone) as server:
        install(desk, "uv", server.simple)
        them.remove("demo", item.filename)
        for url, ok in ((them.tuna.url(item), False), (f"{server.url}packages/{item.path}/{item.filename}", True)):
            lock = tmp_path / "lock.txt"
            lock.write_text(f"demo @ {url} --hash=sha256:{item.hashes['sha256']}\n")
            for sync in (desk.pip, desk.uv):
                desk.set_up()
                words = ["install", "--no-index", "--require-hashes", "-r", str(lock)]
                done = sync(*words, ok=ok) if sync == desk.pip else sync("pip", *words, ok=ok)
                assert (done.returncode == 0) is ok
        # The page has it still, and newcomers are warned off.
        for _ in range(3):
            page = fetch(f"{server.simple}demo/").decode()
        (line,) = [line for line in page.splitlines() if item.filename in line]
        assert "data-yanked" in line
