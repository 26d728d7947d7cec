"""What an operator hears of the URL that was just written: imitated mirrors over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from proxy.policy import Policy, PublicName
from proxy.simple.names import parse_name
from proxy.upstream.flat import FlatMirror
from proxy.upstream.guard import Guard, origin_of
from proxy.upstream.index import Limits, Mirror
from proxy.upstream.probe import Finding, probe
from proxy.upstream.sessions import open_sessions

from . import make
from .family import Family, family
from .family.samples import BLOCK_CODE, BLOCK_ID, blocked, portal
from .family.wheels import TorchStable
from .upstream_server import UpstreamServer, running, running_upstream

LIMITS = Limits(connect=1, answer=1, stall=1, page=3)

ALL = {"JSON", "hashes", "sizes", "upload times", "serials", "files", "ranges", ".metadata"}


def public(text: str) -> PublicName:
    name = Policy().route(parse_name(text), frozenset()).public
    assert name is not None
    return name


@pytest.fixture
def them() -> Iterator[Family]:
    """The family, with a wheel and its source."""
    with family() as members:
        members.publish("demo", *make.wheel("demo", "1.0"), metadata=make.metadata("demo", "1.0"))
        members.publish("demo", *make.sdist("demo", "1.0"))
        yield members


async def look(base: str, *, kind: type[Mirror] = Mirror, name: str = "demo") -> Finding:
    async with open_sessions(guard=Guard(own=[origin_of(base)]), user_agent="yizhan/1", connect=1) as sessions:

        def at(url: str) -> Mirror:
            return kind(name="one", base=url, sessions=sessions, limits=LIMITS)

        async with asyncio.timeout(10):
            return await probe(at(base), name=public(name), at=at)


async def test_a_mirror_that_gives_everything_lacks_nothing() -> None:
    with running_upstream() as up:
        up.publish("demo", *make.wheel("demo", "1.0"), metadata=make.metadata("demo", "1.0"))
        up.fault("/simple/", headers={"X-PyPI-Last-Serial": "7"})
        found = await look(up.simple)
    assert (found.mirror, found.url, found.problem, found.instead) == ("one", up.simple, None, None)
    assert (set(found.gives), found.lacks) == (ALL, ())
    assert 0 < found.seconds < 10


async def test_what_a_mirror_leaves_out_is_told(them: Family) -> None:
    tuna = await look(them.tuna.simple)
    assert (tuna.problem, tuna.lacks) == (None, (".metadata",))
    aliyun = await look(them.aliyun.simple)
    assert (aliyun.problem, set(aliyun.gives)) == (None, {"hashes", "files", "ranges"})
    assert set(aliyun.lacks) == ALL - set(aliyun.gives)


async def test_metadata_counts_where_it_comes_and_not_where_it_is_promised(them: Family) -> None:
    them.tuna.metadata.add("advertised")
    assert ".metadata" in (await look(them.tuna.simple)).lacks
    them.tuna.metadata.add("there")
    assert ".metadata" in (await look(them.tuna.simple)).gives


async def test_a_mirror_without_ranges_is_told_as_such(them: Family) -> None:
    them.tuna.fault(them.tuna.files_path, ignores_range=True)
    found = await look(them.tuna.simple)
    assert found.problem is None
    assert "files" in found.gives
    assert "ranges" in found.lacks


async def test_a_mirror_that_lists_what_it_does_not_have_is_told_as_such(them: Family) -> None:
    them.bfsu.missing.add(make.wheel("demo", "1.0")[0])
    found = await look(them.bfsu.simple)
    assert found.problem is None
    assert {"files", "ranges"} <= set(found.lacks)


async def test_of_a_project_without_wheels_the_source_is_asked_for(them: Family) -> None:
    them.publish("older", *make.sdist("older", "1.0"))
    found = await look(them.tuna.simple, name="older")
    assert {"files", "ranges"} <= set(found.gives)
    assert found.lacks == ()


@pytest.mark.parametrize(
    ("member", "written", "meant"),
    [
        ("tuna", "/", "/pypi/web/simple/"),
        ("tuna", "/pypi/", "/pypi/web/simple/"),
        ("tuna", "/pypi/web/", "/pypi/web/simple/"),
        ("tuna", "/pypi/simple/", "/pypi/web/simple/"),
        ("ustc", "/pypi/", "/pypi/simple/"),
        ("ustc", "/pypi/web/", "/pypi/simple/"),
        ("aliyun", "/pypi/", "/pypi/simple/"),
        ("sjtu", "/pypi/web/", "/pypi/web/simple/"),
    ],
)
async def test_a_wrong_base_url_is_told_with_the_right_one(them: Family, member: str, written: str, meant: str) -> None:
    """What people wrote, F14: without /simple, without /web, or at the mirror's own front page."""
    up: UpstreamServer = getattr(them, member)
    assert up.simple == up.origin + meant
    found = await look(up.origin + written)
    assert found.problem is not None
    assert found.instead == up.simple


async def test_a_dead_mirror_is_told_as_such_and_no_other_url_is_made_up(them: Family) -> None:
    them.tuna.refuse()
    found = await look(them.tuna.simple)
    assert found.problem == "one could not be reached: Connection refused."
    assert (found.instead, found.gives, found.lacks) == (None, (), ())


async def test_a_silent_mirror_is_waited_for_twice_and_not_once_for_each_url(them: Family) -> None:
    them.tuna.fault("/", silent=True)
    found = await look(f"{them.tuna.origin}/pypi/web/")
    assert found.problem == "one did not answer within 2 s."
    assert found.instead is None


async def test_a_mirror_that_refuses_is_quoted_and_not_asked_again(them: Family) -> None:
    them.tuna.fault("/", **blocked())
    found = await look(them.tuna.simple)
    assert found.problem is not None
    assert BLOCK_CODE in found.problem
    assert BLOCK_ID in found.problem
    assert found.instead is None
    assert len(them.tuna.log) == 1


async def test_a_portal_is_no_mirror(them: Family) -> None:
    them.tuna.fault("/", **portal())
    found = await look(them.tuna.simple)
    assert found.problem is not None
    assert found.instead is None


async def test_a_page_of_links_is_asked_for_at_its_own_address_alone() -> None:
    flat = TorchStable()
    with running(flat):
        flat.publish("torch", *make.wheel("torch", "2.1.0"))
        found = await look(flat.simple, kind=FlatMirror, name="torch")
        assert found.problem is None
        assert {"files", "ranges"} <= set(found.gives)
        assert {"hashes", "sizes", "upload times"} <= set(found.lacks)
        flat.log.clear()
        wrong = await look(f"{flat.origin}/whl/", kind=FlatMirror, name="torch")
        assert (wrong.problem, wrong.instead) == ("one has no page of links.", None)
        assert [request.path for request in flat.log] == ["/whl/"]
