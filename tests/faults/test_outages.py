"""Mirrors that are slow, ill or gone: what is old is answered, what is unknown is 503, and 404 is a word of all."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.simple.model import JSON
from proxy.upstream.breaker import PROBE

from .. import make
from ..daemon import run, yizhan
from ..upstream_listing import Item
from ..upstream_server import CAPTIVE, UpstreamServer, running_upstream
from .client import Answer, ask, upload

SOFT, HARD = 0.4, 2.0
SLACK = 1.5
"""Seconds that a busy machine may add."""

TIMES = f"""
connect_timeout = "500 ms"
answer_timeout = "500 ms"
stall_timeout = "1 s"
soft_deadline = "{int(SOFT * 1000)} ms"
hard_deadline = "{int(HARD)} s"
"""

QUIET = TIMES + "heal = false\nlook_ahead = 0\n"
"""Nobody is asked but for what a client asked for, and no page is more than its mirror says."""

CLOCK = """
import os, time
machine = time.time
def shifted():
    with open(os.environ["TEST_CLOCK"]) as file:
        return machine() + float(file.read())
time.time = shifted
"""

Mirrors = tuple[UpstreamServer, UpstreamServer]


class Clock:
    """The server's wall clock: what Python reads before any other module sets it, by a file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(CLOCK)
        self._file = folder / "ahead"
        self.environment = {"PYTHONPATH": str(folder), "TEST_CLOCK": str(self._file)}
        self.set(0)

    def set(self, ahead: float) -> None:
        """Have the server's clock run *ahead* seconds before the machine's."""
        new = self._file.with_suffix(".new")
        new.write_text(str(ahead))
        new.rename(self._file)


@pytest.fixture
def ups() -> Iterator[Mirrors]:
    with running_upstream() as one, running_upstream() as two:
        yield one, two


def config(*ups: UpstreamServer, fresh: str = "5 min", times: str = TIMES, more: str = "") -> str:
    urls = ", ".join(f'"{up.simple}"' for up in ups)
    return f'{more}\n[auth]\nupload = "anyone"\n[[index]]\nmirrors = [{urls}]\nfresh = "{fresh}"\n{times}'


def publish(*ups: UpstreamServer, name: str = "demo", version: str = "1.0", **facts: Any) -> Item:
    items = [up.publish(name, *make.wheel(name, version), **facts) for up in ups]
    return items[0]


def target_of(item: Item) -> str:
    return f"/packages/{item.path}/{item.filename}"


async def timed(url: str, target: str, method: str = "GET") -> tuple[Answer, float]:
    """An answer, and the seconds that it took."""
    clock = asyncio.get_running_loop().time
    began = clock()
    return await ask(url, target, method), clock() - began


def later(answer: Answer) -> bool:
    """Whether *answer* says "not now" as every client understands it (rules 71 to 73)."""
    return (
        answer.status == 503
        and re.fullmatch(r"[1-9]\d?", answer.headers["retry-after"]) is not None
        and answer.headers["cache-control"] == "no-store"
        and answer.headers["content-type"].startswith("text/plain")
        and 0 < len(answer.body) < 1000
        and b"Traceback" not in answer.body
    )


# Pages that are remembered


async def test_an_old_page_is_answered_within_the_soft_deadline_while_its_refresh_hangs(
    tmp_path: Path, ups: Mirrors
) -> None:
    up = ups[0]
    publish(up)
    patient = QUIET.replace('answer_timeout = "500 ms"', 'answer_timeout = "30 s"')
    with yizhan(tmp_path, config=config(up, fresh="0 s", times=patient)) as server:
        first = await ask(server.url, "/simple/demo/")
        publish(up, version="2.0")
        up.fault("/simple/", silent=True)
        for _ in range(3):
            answer, took = await timed(server.url, "/simple/demo/")
            assert (answer.status, answer.body, answer.headers["etag"]) == (200, first.body, first.headers["etag"])
            assert took < SOFT + SLACK
        up.heal()
        async with asyncio.timeout(20):
            while b"demo-2.0" not in (await ask(server.url, "/simple/demo/")).body:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "ill", [{"status": 500}, {"status": 403, "body": b"no"}, {"status": 404}, CAPTIVE, None], ids=str
)
async def test_an_old_page_is_answered_through_an_outage_and_through_a_restart_in_it(
    tmp_path: Path, ups: Mirrors, ill: dict[str, Any] | None
) -> None:
    for up in ups:
        publish(up)
    settings = config(*ups, fresh="0 s", times=QUIET)
    with yizhan(tmp_path, config=settings) as server:
        first = await ask(server.url, "/simple/demo/")
        for up in ups:
            up.fault("/", **ill) if ill else up.refuse()
        for _ in range(3):
            answer = await ask(server.url, "/simple/demo/")
            assert (answer.status, answer.headers["etag"]) == (200, first.headers["etag"])
    with yizhan(tmp_path, config=settings) as server:
        answer = await ask(server.url, "/simple/demo/")
        assert (answer.status, answer.headers["etag"]) == (200, first.headers["etag"])


async def test_an_unchanged_page_keeps_its_etag_and_is_asked_for_by_it(tmp_path: Path, ups: Mirrors) -> None:
    up = ups[0]
    publish(up)
    with yizhan(tmp_path, config=config(up, fresh="0 s", times=QUIET)) as server:
        answers = [await ask(server.url, "/simple/demo/", headers={"Accept": JSON}) for _ in range(4)]
        assert len({(answer.body, answer.headers["etag"]) for answer in answers}) == 1
        assert len(up.asked("/simple/demo/")) == 4
        assert ["if-none-match" in request.headers for request in up.log] == [False, True, True, True]
        known = {"Accept": JSON, "If-None-Match": answers[0].headers["etag"]}
        again = await ask(server.url, "/simple/demo/", headers=known)
        assert (again.status, again.headers["etag"]) == (304, answers[0].headers["etag"])
        publish(up, version="2.0")
        assert (await ask(server.url, "/simple/demo/", headers=known)).status == 200


async def test_another_mirror_in_its_place_changes_no_etag(tmp_path: Path, ups: Mirrors) -> None:
    one, two = ups
    publish(one, two)
    with yizhan(tmp_path, config=config(one, two, fresh="0 s", times=QUIET)) as server:
        for kind in (JSON, "text/html"):
            before = await ask(server.url, "/simple/demo/", headers={"Accept": kind})
            one.refuse()
            after = await ask(server.url, "/simple/demo/", headers={"Accept": kind})
            assert (after.body, after.headers["etag"]) == (before.body, before.headers["etag"])
            one.accept()
        assert two.log


async def test_a_clock_that_was_set_back_keeps_no_page_fresh_for_ever(tmp_path: Path, ups: Mirrors) -> None:
    up, clock = ups[0], Clock(tmp_path / "clock")
    publish(up)
    with yizhan(tmp_path / "data", config=config(up, times=QUIET), environment=clock.environment) as server:
        clock.set(365 * 24 * 3600)
        await ask(server.url, "/simple/demo/")
        await ask(server.url, "/simple/demo/")
        assert len(up.log) == 1
        publish(up, version="2.0")
        clock.set(0)
        assert b"demo-2.0" in (await ask(server.url, "/simple/demo/")).body
        await ask(server.url, "/simple/demo/")
        assert len(up.log) == 2
        clock.set(365 * 24 * 3600)
        server.stop()
    clock.set(0)
    with yizhan(tmp_path / "data", config=config(up, times=QUIET), environment=clock.environment) as server:
        assert b"demo-2.0" in (await ask(server.url, "/simple/demo/")).body


# Absent and unknown

ABSENT: dict[str, Any] = {"status": 404}
ILL: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "403": {"status": 403, "body": b"<html>no</html>"},
    "401": {"status": 401},
    "429": {"status": 429, "headers": {"Retry-After": "Thu, 01 Jan 2032 00:00:00 GMT"}},
    "502": {"status": 502},
    "captive": CAPTIVE,
    "silent": {"silent": True},
    "broken": {"raw": b""},
    "empty": {"status": 200, "body": b"", "headers": {"Content-Type": "text/html"}},
    "half": {"status": 200, "body": b'{"meta": {"api-version": "1.0"}, "name": "demo", "files": ['},
    "loop": {"redirect": "?again"},
    "stalls": {"status": 200, "body": b'{"meta": 1}', "stall_after": 5},
}


async def test_a_page_is_absent_only_where_both_mirrors_say_so_and_else_unknown_in_time(
    tmp_path: Path, ups: Mirrors
) -> None:
    one, two = ups
    with yizhan(tmp_path, config=config(one, two)) as server:
        expected: dict[str, bool] = {"gone": True}
        for kind, fault in ILL.items():
            one.fault(f"/simple/first-{kind}/", **fault)
            two.fault(f"/simple/second-{kind}/", **fault)
            for up in ups:
                up.fault(f"/simple/both-{kind}/", **fault)
            expected |= {f"{which}-{kind}": False for which in ("first", "second", "both")}
        answers = await asyncio.gather(*(timed(server.url, f"/simple/{name}/") for name in expected))
        for (name, absent), (answer, took) in zip(expected.items(), answers, strict=True):
            assert (answer.status == 404) == absent, (name, answer)
            assert absent or later(answer), (name, answer)
            assert took < HARD + SLACK, (name, took)


async def test_a_file_is_absent_only_where_both_mirrors_say_so_and_else_unknown_in_time(
    tmp_path: Path, ups: Mirrors
) -> None:
    one, two = ups
    faults = {kind: fault for kind, fault in ILL.items() if kind != "empty"}
    items: dict[str, tuple[Item, bool]] = {}
    for kind, fault in {"gone": ABSENT, **faults}.items():
        item = publish(*ups, name=f"demo-{kind}")
        one.fault(f"/packages/{item.path}/", **ABSENT)
        two.fault(f"/packages/{item.path}/", **fault)
        items[kind] = item, kind == "gone"
    with yizhan(tmp_path, config=config(one, two)) as server:
        for method in ("GET", "HEAD"):
            answers = await asyncio.gather(*(timed(server.url, target_of(item), method) for item, _ in items.values()))
            for (kind, (_, absent)), (answer, took) in zip(items.items(), answers, strict=True):
                assert took < HARD + SLACK, (method, kind, took)
                if method == "GET":
                    assert answer.status == (404 if absent else 503), (kind, answer)
                    assert absent or later(answer), (kind, answer)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_nobody_answers_for_is_said_within_the_hard_deadline(
    tmp_path: Path, ups: Mirrors, method: str
) -> None:
    """Also for a file whose page was never asked for, and where a size is to be asked for."""
    known = publish(*ups, name="known", size=None)
    with yizhan(tmp_path, config=config(*ups)) as server:
        assert (await ask(server.url, "/simple/known/")).status == 200
        for up in ups:
            up.fault("/", silent=True)
        place = known.path
        targets = [
            "/simple/cold/",
            "/simple/",
            target_of(known),
            f"/packages/{place}/cold-1.0-py3-none-any.whl",
            f"/packages/{place}/cold-1.0-py3-none-any.whl.metadata",
        ]
        answers = await asyncio.gather(*(timed(server.url, target, method) for target in targets))
        for target, (answer, took) in zip(targets, answers, strict=True):
            assert answer.status == 503, (target, answer)
            assert method == "HEAD" or later(answer), (target, answer)
            assert took < HARD + SLACK, (target, took)


@pytest.mark.long
async def test_what_nobody_answers_for_is_said_within_the_default_deadline(tmp_path: Path, ups: Mirrors) -> None:
    with yizhan(tmp_path, config=config(*ups, times="")) as server:
        for up in ups:
            up.fault("/", silent=True)
        targets = ["/simple/cold/", f"/packages/aa/bb/{'c' * 60}/cold-1.0-py3-none-any.whl"]
        for answer, took in await asyncio.gather(*(timed(server.url, target) for target in targets)):
            assert later(answer)
            assert took < 15  # after which pip gives up


async def test_a_listed_file_that_no_mirror_has_costs_one_look_at_the_page_and_is_404(
    tmp_path: Path, ups: Mirrors
) -> None:
    one, two = ups
    clock = Clock(tmp_path / "clock")
    item = publish(one, two)
    publish(one, two, version="0.9")
    for up in ups:
        up.fault("/packages/", **ABSENT)
    with yizhan(tmp_path / "data", config=config(one, two, times=QUIET), environment=clock.environment) as server:
        await ask(server.url, "/simple/demo/")
        for up in ups:
            up.listing.remove("demo", item.filename)
        clock.set(60)  # fresh still, but not from this moment
        assert (await ask(server.url, target_of(item))).status == 404
        assert len(one.asked("/simple/demo/")) == 2
        assert [len(up.asked("/packages/")) for up in ups] == [1, 1]
        # The page does not list it any more, so nobody is asked for it again.
        assert b"demo-1.0" not in (await ask(server.url, "/simple/demo/")).body
        for _ in range(3):
            assert (await ask(server.url, target_of(item))).status == 404
        assert len(one.asked("/simple/demo/")) == 2
        assert [len(up.asked("/packages/")) for up in ups] == [1, 1]


async def test_a_file_that_came_to_the_index_since_is_found_by_its_link(tmp_path: Path, ups: Mirrors) -> None:
    """A lock file was written against a mirror that is ahead of the page remembered here."""
    up, clock = ups[0], Clock(tmp_path / "clock")
    publish(up)
    with yizhan(
        tmp_path / "data", config=config(up, fresh="1 h", times=QUIET), environment=clock.environment
    ) as server:
        await ask(server.url, "/simple/demo/")
        new = publish(up, version="2.0")
        clock.set(60)
        assert (await ask(server.url, target_of(new))).body == new.body
        assert len(up.asked("/simple/demo/")) == 2


# One mirror, or none


@pytest.mark.parametrize("kind", ["dead", "403", "captive", "silent", "stalls"])
async def test_where_one_mirror_is_ill_the_next_one_serves(tmp_path: Path, ups: Mirrors, kind: str) -> None:
    one, two = ups
    item = publish(one, two, metadata=make.metadata("demo", "1.0"))
    if kind == "dead":
        one.refuse()
    else:
        one.fault("/", **ILL[kind])
    with yizhan(tmp_path, config=config(one, two)) as server:
        page, took = await timed(server.url, "/simple/demo/")
        assert (page.status, took < HARD + SLACK) == (200, True)
        assert (await ask(server.url, target_of(item))).body == item.body
        assert (await ask(server.url, target_of(item) + ".metadata")).body == item.metadata
        assert (await ask(server.url, "/simple/")).status == 200


@asynccontextmanager
async def shop(folder: Path, ups: Mirrors) -> AsyncIterator[None]:
    """Three projects, of which one needs the two others."""
    for up in ups:
        for name, requires in (("demo", ("leaf", "twig>=1")), ("leaf", ()), ("twig", ()), ("never-asked", ())):
            filename, body = make.wheel(name, "1.0", requires=requires)
            up.publish(name, filename, body, metadata=make.metadata(name, "1.0", requires=requires))
    yield
    for up in ups:
        up.accept()


async def install(folder: Path, tool: str, url: str) -> set[str]:
    """Install demo, with nothing that the client remembers; the modules that came."""
    target = folder / tool
    shutil.rmtree(target, ignore_errors=True)
    command = {
        "pip": ["pip", "install", "--no-cache-dir", "--target", str(target), "-i", url, "demo"],
        "uv": ["uv", "pip", "install", "--no-cache", "--target", str(target), "--default-index", url, "demo"],
    }[tool]
    await asyncio.to_thread(run, *command)
    return {path.name for path in target.iterdir() if not path.name.endswith(".dist-info")} - {"__pycache__", ".lock"}


@pytest.mark.parametrize("tool", ["pip", "uv"])
async def test_with_all_mirrors_dead_what_is_cached_installs_and_the_rest_is_unknown_until_they_are_back(
    tmp_path: Path, ups: Mirrors, tool: str
) -> None:
    settings = config(*ups, fresh="0 s")
    async with shop(tmp_path, ups):
        with yizhan(tmp_path / "data", config=settings) as server:
            assert await install(tmp_path, tool, server.simple) == {"demo", "leaf", "twig"}
            for up in ups:
                up.refuse()
            assert await install(tmp_path, tool, server.simple) == {"demo", "leaf", "twig"}
        with yizhan(tmp_path / "data", config=settings) as server:
            assert await install(tmp_path, tool, server.simple) == {"demo", "leaf", "twig"}
            assert later(await ask(server.url, "/simple/never-asked/"))
            assert later(await ask(server.url, "/simple/"))
            for up in ups:
                up.accept()
            async with asyncio.timeout(3 * PROBE):  # nobody is stormed as soon as they are back
                while (await ask(server.url, "/simple/never-asked/")).status != 200:
                    await asyncio.sleep(0.2)
            assert (await ask(server.url, "/simple/")).status == 200
            publish(*ups, name="leaf", version="2.0")
            async with asyncio.timeout(20):  # a page whose refresh failed is left alone for some seconds
                while b"leaf-2.0" not in (await ask(server.url, "/simple/leaf/")).body:
                    await asyncio.sleep(0.2)


# The private side


@pytest.mark.parametrize("kind", ["dead", "silent", "500"])
async def test_private_projects_do_not_care_about_the_index(tmp_path: Path, ups: Mirrors, kind: str) -> None:
    more = '[private]\nreserved = ["acme-*"]\n'
    for up in ups:
        if kind == "dead":
            up.refuse()
        else:
            up.fault("/", **ILL[kind])
    with yizhan(tmp_path, config=config(*ups, more=more)) as server:
        filename, body = make.wheel("acme-sdk", "1.0")
        assert (await upload(server.url, "acme-sdk", "1.0", filename, body)).status == 200
        page, took = await timed(server.url, "/simple/acme-sdk/")
        assert took < SLACK
        found = re.search(r'href="../../([^"#]+)', page.body.decode())
        assert found is not None
        assert (await ask(server.url, "/" + found[1])).body == body
        # A name that may be somebody else's is not given away while that cannot be asked (D13).
        refused = await upload(server.url, "other", "1.0", *make.wheel("other", "1.0"))
        assert refused.status == 403
        assert b"could not be asked" in refused.body
        assert b"private.reserved" in refused.body
    assert [request.path for up in ups for request in up.log if "acme" in request.path] == []
