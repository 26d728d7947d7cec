"""What mirrors leave out is found in the background, once, and then on the page for everybody."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from packaging.utils import NormalizedName

from proxy.download import Downloads, read_whole
from proxy.errors import NotFound, ProxyError, UpstreamDown
from proxy.policy import PublicName
from proxy.simple.model import File, Project
from proxy.simple.names import parse_name
from proxy.storage import Snapshot
from proxy.upstream.choice import Machines
from proxy.upstream.facts import FactBook
from proxy.upstream.heal import FRUITLESS, QUEUE, WHEELS, Healer
from proxy.upstream.healed import HealedPages
from proxy.upstream.metadata import Readings, WithOwnReadings
from proxy.upstream.mirrors import Answer, MirrorSet
from proxy.upstream.pages import RememberedPages
from proxy.upstream.remembered import Times

from . import make
from .fakes import MemoryCache, MemoryFacts, MemoryPages, MemoryStore
from .test_choice import ALPINE, UBUNTU
from .test_metadata import Clock, Mirror, Shelf
from .test_mirrors import mirror_set, public
from .upstream_server import UpstreamServer

DEMO = public("demo")
WHEN = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Set:
    """Mirrors of one index: satisfies pages.Mirrors and heal.Mirrors."""

    pages: dict[str, Project] = field(default_factory=dict)
    others: dict[str, Project] = field(default_factory=dict)
    """Those of the mirrors behind the first."""
    documents: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    error: ProxyError | None = None
    gate: asyncio.Event | None = None
    """What questions beside those for pages wait for."""
    origin: str = "pypi"

    async def page(self, name: PublicName, known: Snapshot | None) -> Answer:
        return self._answer("one", self.pages[name])

    async def read(self, name: PublicName, snapshot: Snapshot, body: bytes) -> Project:
        raise NotImplementedError  # nothing is read from disk here: no test restarts the house

    async def second(self, name: PublicName, other_than: str) -> Answer:
        await self._asked(f"page {name} but of {other_than}")
        if name not in self.others:
            raise NotFound("No other mirror knows it.")
        return self._answer("two", self.others[name])

    async def legacy(self, name: PublicName) -> bytes | None:
        await self._asked(f"json {name}")
        return self.documents.get(name)

    async def _asked(self, what: str) -> None:
        self.asked.append(what)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error

    def _answer(self, mirror: str, project: Project) -> Answer:
        url = f"https://{mirror}.example/"
        snapshot = Snapshot(
            mirror=mirror,
            url=url,
            content_type="text/html",
            etag=None,
            last_modified=None,
            fetched=1000.0,
            checked=1000.0,
        )
        return Answer(snapshot=snapshot, project=project, body=b"page")


@dataclass
class Wheels:
    """Sources of the whole wheels on a shelf, and of nothing else."""

    shelf: Shelf

    def places(self, file: File, *, avoid: frozenset[str]) -> list[Mirror]:
        return [Mirror("one", self.shelf.bodies.get(file.filename))]

    async def measure(self, file: File) -> int | None:
        raise NotFound("No mirror has it.")


@dataclass
class House:
    """The pages of one index, and who heals them."""

    mirrors: Set
    pages: RememberedPages
    healer: Healer
    downloads: Downloads
    shelf: Shelf
    machines: Machines
    clock: Clock
    private: set[str]

    def publish(self, name: str, *wheels: tuple[str, bytes], **fields: Any) -> Project:
        """Have the first mirror list *wheels* as *fields* say; the page as it came from there."""
        files = {
            filename: make.file(filename, body, origin="pypi", url=f"https://one.example/{filename}", **fields)
            for filename, body in wheels
        }
        self.shelf.bodies |= dict(wheels)
        self.mirrors.pages[name] = Project(name=NormalizedName(name), files=files)
        return self.mirrors.pages[name]

    async def fetched(self, name: PublicName = DEMO) -> Project:
        """The page, asked for anew."""
        self.clock.time += 1000
        return await self.pages.project(name, max_age=0)

    async def page(self, name: PublicName = DEMO) -> Project:
        """The page, as it is in memory."""
        return await self.pages.project(name, max_age=float("inf"))


@asynccontextmanager
async def house(folder: Path, real: MirrorSet | None = None, **options: Any) -> AsyncIterator[House]:
    """Everything over stand-ins for the mirrors, or over those that are *real*."""
    clock, shelf, imitated, private = Clock(), Shelf({}), Set(), set[str]()
    mirrors = real or imitated

    async def route(name: NormalizedName) -> PublicName | None:
        return None if name in private else public(name)

    async def own(wheel: File) -> bytes:
        return await readings.own(wheel)

    sources = WithOwnReadings(
        real or Wheels(shelf),
        own,
        at_hand=lambda wheel: readings.at_hand(wheel),
        differs=lambda wheel: healer.doubt(wheel),
    )
    downloads = Downloads(folder, sources, MemoryCache(), MemoryStore(), pause=lambda _: 0.0)
    readings = Readings(downloads if real else shelf, MemoryCache(), clock=clock)
    book = FactBook(MemoryFacts(), "pypi", memory=10**6, now=clock)
    pages = RememberedPages(
        mirrors,
        MemoryPages(),
        facts=book,
        times=Times(fresh=300, absent=60, soft=5, hard=5, retry=5),
        memory=10**6,
        now=clock,
        clock=clock,
        on_page=lambda name, project: healer.page(name, project),
    )
    machines = Machines(python="3.12.3")
    healer = Healer(
        mirrors=mirrors,
        book=book,
        pages=pages,
        readings=readings,
        obtain=downloads.obtain,
        route=route,
        machines=machines,
        clock=clock,
        **{"calm": 0.0, **options},
    )
    try:
        yield House(imitated, pages, healer, downloads, shelf, machines, clock, private)
    finally:
        for part in (healer, readings, pages, downloads, book):
            await part.close()


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.001)


async def until_page(here: House, says: Callable[[Project], object], name: PublicName = DEMO) -> Project:
    """Wait until the page in memory is as *says* has it."""
    async with asyncio.timeout(10):
        while not says(page := await here.page(name)):
            await asyncio.sleep(0.001)
    return page


def document(project: Project, **said: Any) -> bytes:
    """The legacy JSON document that tells of all files of *project*."""
    entries = [
        {
            "filename": file.filename,
            "digests": {"sha256": file.sha256},
            "size": 77,
            "upload_time_iso_8601": WHEN.isoformat(),
            **said,
        }
        for file in project.files.values()
    ]
    return json.dumps({"info": {"name": project.name}, "releases": {"1.0": entries}}).encode()


def bare(project: Project) -> Mapping[str, File]:
    return {file.filename: file for file in project.files.values() if file.size is None or file.upload_time is None}


def promised(project: Project) -> set[str]:
    return {file.filename for file in project.files.values() if file.core_metadata}


BARE: dict[str, Any] = {"size": None, "upload_time": None}
DONE: dict[str, Any] = {"core_metadata": {"sha256": "00" * 32}}


# Sizes and times


async def test_sizes_and_times_come_from_the_legacy_document(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        page = here.publish("demo", make.wheel("demo", "1.0"), make.wheel("demo", "2.0"), **DONE)
        here.mirrors.documents["demo"] = document(page)
        files = {
            name: file if "1.0" in name else msgspec.structs.replace(file, **BARE) for name, file in page.files.items()
        }
        here.mirrors.pages["demo"] = msgspec.structs.replace(page, files=files)
        assert len(bare(await here.fetched())) == 1  # with one time at least, nobody waits for the other
        healed = await until_page(here, lambda page: not bare(page))
        assert [file.upload_time for file in healed.files.values()] == [make.NOON, WHEN]
        await here.fetched()
        assert here.mirrors.asked == ["json demo"]


async def test_what_no_document_tells_another_mirrors_page_may(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        wheels = make.wheel("demo", "1.0"), make.wheel("demo", "2.0")
        page = here.publish("demo", *wheels, **BARE, **DONE)
        first = next(iter(page.files.values()))
        here.mirrors.documents["demo"] = document(Project(name=DEMO, files={first.filename: first}))
        here.mirrors.others["demo"] = here.publish("demo", *wheels, upload_time=make.NOON, **DONE)
        here.mirrors.pages["demo"] = page
        await here.fetched()
        healed = await until_page(here, lambda page: not bare(page))
        assert [file.upload_time for file in healed.files.values()] == [WHEN, make.NOON]
        assert here.mirrors.asked == ["json demo", "page demo but of one"]


async def test_a_page_that_says_all_is_not_asked_about(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.publish("demo", make.wheel("demo", "1.0"))
        await here.fetched()
        await until_page(here, promised)
        assert here.mirrors.asked == []


async def test_what_nobody_knows_is_asked_for_once_in_a_while(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.publish("demo", make.wheel("demo", "1.0"), **BARE, **DONE)
        await here.fetched()
        await until(lambda: len(here.mirrors.asked) == 2)
        for _ in range(3):
            here.clock.time += 1
            await here.healer.soon(DEMO, here.mirrors.pages["demo"], 1.0)
        assert len(here.mirrors.asked) == 2
        # A new file is another question, and so is the same one much later.
        page = here.publish("demo", make.wheel("demo", "1.0"), make.wheel("demo", "2.0"), **BARE, **DONE)
        await here.healer.soon(DEMO, page, 1.0)
        assert len(here.mirrors.asked) == 4
        here.clock.time += FRUITLESS + 1
        await here.healer.soon(DEMO, page, 1.0)
        assert len(here.mirrors.asked) == 6


@pytest.mark.parametrize("error", [UpstreamDown("No mirror."), RuntimeError("a bug")])
async def test_trouble_is_for_the_log_alone(tmp_path: Path, error: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="proxy.upstream.heal")
    async with house(tmp_path) as here:
        here.mirrors.error = error
        page = here.publish("demo", make.wheel("demo", "1.0"), **BARE)
        await here.healer.soon(DEMO, page, 5.0)
        assert here.mirrors.asked
        assert caplog.records
        assert {record.levelname for record in caplog.records} <= {"DEBUG", "INFO"}
        assert await here.fetched()


async def test_a_document_that_is_none_hinders_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        wheel = make.wheel("demo", "1.0")
        here.mirrors.others["demo"] = here.publish("demo", wheel, **DONE)
        here.mirrors.documents["demo"] = b"<html>Please sign in</html>"
        here.publish("demo", wheel, **BARE, **DONE)
        await here.fetched()
        assert await until_page(here, lambda page: not bare(page))


# The first answer


async def test_the_first_who_asks_waits_a_moment_for_times(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        pages = HealedPages(here.pages, here.healer, patience=5.0, hard=10.0)
        page = here.publish("demo", make.wheel("demo", "1.0"), **BARE, **DONE)
        here.mirrors.documents["demo"] = document(page)
        pages.fetched(DEMO, await here.fetched())
        assert not bare(await pages.project(DEMO))
        assert here.mirrors.asked == ["json demo"]


async def test_nobody_waits_longer_than_that_moment(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.mirrors.gate = asyncio.Event()
        page = here.publish("demo", make.wheel("demo", "1.0"), **BARE, **DONE)
        here.mirrors.documents["demo"] = document(page)
        await here.healer.soon(DEMO, page, 0.01)
        await here.healer.soon(DEMO, page, 0.0)
        assert here.mirrors.asked == ["json demo"]
        here.mirrors.gate.set()
        await here.fetched()
        assert await until_page(here, lambda page: not bare(page))
        assert here.mirrors.asked == ["json demo"]


async def test_a_page_with_some_times_is_not_waited_for(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        page = here.publish("demo", make.wheel("demo", "1.0"), make.wheel("demo", "2.0"), **DONE)
        some = {
            name: msgspec.structs.replace(file, upload_time=None) if "2.0" in name else file
            for name, file in page.files.items()
        }
        await here.healer.soon(DEMO, msgspec.structs.replace(page, files=some), 5.0)
        await here.healer.soon(DEMO, Project(name=DEMO), 5.0)
        assert here.mirrors.asked == []


# Metadata


async def test_metadata_is_read_kept_and_then_promised(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        filename, body = make.wheel("demo", "1.0", requires=("other",))
        here.publish("demo", (filename, body))
        assert not promised(await here.fetched())
        page = await until_page(here, promised)
        file = page.files[filename]
        expected = make.metadata("demo", "1.0", requires=("other",))
        assert file.healed
        assert file.core_metadata == {"sha256": hashlib.sha256(expected).hexdigest()}
        sibling = file.sibling()
        here.shelf.bodies.clear()
        assert await read_whole(await here.downloads.obtain(sibling, sibling.sha256)) == expected


async def test_healed_metadata_that_is_gone_is_made_again(tmp_path: Path) -> None:
    async with house(tmp_path / "a") as here:
        filename, body = make.wheel("demo", "1.0")
        here.publish("demo", (filename, body))
        await here.fetched()
        sibling = (await until_page(here, promised)).files[filename].sibling()
    async with house(tmp_path / "b") as another:
        another.publish("demo", (filename, body))
        got = await read_whole(await another.downloads.obtain(sibling, sibling.sha256))
        assert got == make.metadata("demo", "1.0")
        assert len(another.shelf.asked) == 1


async def test_the_newest_versions_are_read_and_no_more_of_them_than_some(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.publish("demo", *(make.wheel("demo", f"1.{number}") for number in range(20)), make.sdist("demo", "1.5"))
        await here.fetched()
        page = await until_page(here, lambda page: len(promised(page)) == WHEELS)
        assert promised(page) == {f"demo-1.{number}-py3-none-any.whl" for number in range(20 - WHEELS, 20)}
        await here.fetched()
        await until(lambda: here.pages.seen(DEMO))
        assert len(here.shelf.asked) == WHEELS


async def test_a_wheel_that_tells_nothing_keeps_no_other_from_being_read(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        good, bad = make.wheel("demo", "1.0"), ("demo-2.0-py3-none-any.whl", b"<html>no wheel</html>")
        here.publish("demo", good, bad)
        await here.fetched()
        assert promised(await until_page(here, promised)) == {good[0]}


async def test_in_an_outage_no_wheel_after_the_first_is_asked_for(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.shelf.error = UpstreamDown("No mirror.")
        here.publish("demo", *(make.wheel("demo", f"1.{number}") for number in range(5)))
        other = public("other")
        await here.fetched()
        await until(lambda: here.shelf.asked)
        here.shelf.error = None
        here.publish("other", make.wheel("other", "1.0"))
        await here.fetched(other)
        await until_page(here, promised, other)
        assert [filename for filename, *_ in here.shelf.asked] == [
            "demo-1.4-py3-none-any.whl",
            "other-1.0-py3-none-any.whl",
        ]


async def test_those_who_asked_last_are_provided_for(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.machines.of(ALPINE)
        here.machines.of(UBUNTU)
        body = make.wheel("demo", "1.0")[1]
        tags = ("manylinux2014_x86_64", "musllinux_1_2_x86_64", "win_amd64")
        wheels = [f"demo-1.0-cp312-cp312-{tag}.whl" for tag in tags]
        here.publish("demo", *((wheel, body + bytes([0])[:0] + b"") for wheel in wheels))
        for number, wheel in enumerate(wheels):  # each a file of its own
            listed = here.mirrors.pages["demo"].files[wheel]
            hashes = {"sha256": f"{number:064x}"}
            files = {**here.mirrors.pages["demo"].files, wheel: msgspec.structs.replace(listed, hashes=hashes)}
            here.mirrors.pages["demo"] = Project(name=DEMO, files=files)
        await here.fetched()
        page = await until_page(here, lambda page: len(promised(page)) == 2)
        assert promised(page) == set(wheels[:2])


async def test_a_page_that_promises_metadata_is_left_as_it_is(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.publish("demo", make.wheel("demo", "1.0"), **BARE, core_metadata={"sha256": "00" * 32})
        await here.fetched()
        await until(lambda: len(here.mirrors.asked) == 2)
        assert here.shelf.asked == []


async def test_a_wrong_digest_is_put_right(tmp_path: Path) -> None:
    """F2, where the page's own promise is a lie: the next page promises what is in the wheel."""
    async with house(tmp_path) as here:
        filename, body = make.wheel("demo", "1.0")
        here.publish("demo", (filename, body), core_metadata={"sha256": "00" * 32})
        sibling = (await here.fetched()).files[filename].sibling()
        with pytest.raises(UpstreamDown, match="not what the page lists"):
            await read_whole(await here.downloads.obtain(sibling, sibling.sha256))
        right = hashlib.sha256(make.metadata("demo", "1.0")).hexdigest()
        page = await until_page(here, lambda page: page.files[filename].sibling().sha256 == right)
        sibling = page.files[filename].sibling()
        got = await read_whole(await here.downloads.obtain(sibling, sibling.sha256))
        assert got == make.metadata("demo", "1.0")


async def test_a_mirror_that_lies_about_a_part_puts_nothing_wrong(tmp_path: Path) -> None:
    """What a page lists is given up for what stands in the verified wheel alone."""
    async with house(tmp_path) as here:
        filename, body = make.wheel("demo", "1.0", requires=("good",))
        lie = make.wheel("demo", "1.0", requires=("evil",))[1]
        right = make.metadata("demo", "1.0", requires=("good",))
        digest = hashlib.sha256(right).hexdigest()
        here.publish("demo", (filename, body), core_metadata={"sha256": digest})
        sibling = (await here.fetched()).files[filename].sibling()
        here.shelf.lies[filename] = lie
        with pytest.raises(UpstreamDown, match="not what the page lists"):
            await read_whole(await here.downloads.obtain(sibling, sibling.sha256))
        async with asyncio.timeout(10):
            while True:
                with suppress(UpstreamDown):
                    assert await read_whole(await here.downloads.obtain(sibling, sibling.sha256)) == right
                    break
        assert (await here.page()).files[filename].core_metadata == {"sha256": digest}
        assert not (await here.page()).files[filename].healed


async def test_metadata_on_demand_is_healed_too(tmp_path: Path) -> None:
    async with house(tmp_path, calm=1e9) as here:
        filename, body = make.wheel("demo", "1.0")
        file = (here.publish("demo", (filename, body))).files[filename]
        await here.fetched()
        assert await here.healer.metadata(file) == make.metadata("demo", "1.0")
        assert promised(await until_page(here, promised)) == {filename}
        for lacking in (make.file("demo-1.0.tar.gz", origin="pypi"), make.file(filename, origin=None)):
            with pytest.raises(NotFound):
                await here.healer.metadata(lacking)
            here.healer.doubt(lacking)


async def test_a_wheel_without_a_digest_is_not_promised_for(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        filename, body = make.wheel("demo", "1.0")
        page = here.publish("demo", (filename, body), hashes={})
        await here.fetched()
        assert await here.healer.metadata(page.files[filename]) == make.metadata("demo", "1.0")
        await until(lambda: here.pages.seen(DEMO))
        assert not promised(await here.page())


# Private names, and bounds


async def test_a_name_that_became_private_is_asked_about_no_more(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.private.add("demo")
        filename, body = make.wheel("demo", "1.0")
        page = here.publish("demo", (filename, body), **BARE)
        here.healer.page(DEMO, page)
        await here.healer.soon(DEMO, page, 5.0)
        here.healer.doubt(page.files[filename])
        with pytest.raises(NotFound):
            await here.healer.metadata(page.files[filename])
        assert here.mirrors.asked == []
        assert here.shelf.asked == []


async def test_questions_under_way_about_a_withdrawn_name_are_stopped(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.mirrors.gate = here.shelf.gate = asyncio.Event()
        filename, body = make.wheel("demo", "1.0")
        page = here.publish("demo", (filename, body), **BARE)
        here.healer.page(DEMO, page)
        reading = asyncio.create_task(here.healer.metadata(page.files[filename]))
        await until(lambda: here.mirrors.asked and here.shelf.asked)
        here.healer.withdraw(parse_name("other"))
        waiting = asyncio.create_task(here.healer.soon(DEMO, page, 30.0))
        await asyncio.sleep(0)
        here.healer.withdraw(parse_name("demo"))
        await asyncio.wait_for(waiting, 10)
        with pytest.raises(UpstreamDown, match="any more"):
            await asyncio.wait_for(reading, 10)
        here.mirrors.gate.set()
        assert here.mirrors.asked == ["json demo"]
        assert len(here.shelf.asked) == 1


async def test_no_more_waits_to_be_healed_than_some(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.mirrors.gate = asyncio.Event()
        names = [public(f"demo{number}") for number in range(QUEUE + 50)]
        before = len(asyncio.all_tasks())
        for name in names:
            here.healer.page(name, here.publish(name, make.wheel(name, "1.0"), **BARE))
        assert len(asyncio.all_tasks()) - before == QUEUE


# Over real sockets


async def test_behind_a_mirror_that_tells_nothing_a_page_tells_all(tmp_path: Path) -> None:
    """One mirror has HTML without sizes, times and `.metadata`, the other JSON: no whole wheel is fetched."""
    async with (
        UpstreamServer(kind="html") as one,
        UpstreamServer(kind="json") as two,
        mirror_set(one, two, now=Clock(2000.0)) as mirrors,
    ):
        payload = bytes(range(256)) * 4000
        wheels = [make.wheel("demo", f"1.{number}", payload=payload) for number in range(3)]
        for filename, body in wheels:
            one.publish("demo", filename, body)
            two.publish("demo", filename, body)
        async with house(tmp_path, mirrors) as here:
            assert len(bare(await here.fetched())) == 3
            page = await until_page(here, lambda page: not bare(page) and len(promised(page)) == 3)
            for filename, body in wheels:
                file = page.files[filename]
                assert (file.size, file.upload_time) == (len(body), make.NOON)
                sibling = file.sibling()
                got = await read_whole(await here.downloads.obtain(sibling, sibling.sha256))
                assert got == make.metadata("demo", filename.split("-")[1])
        asked = [*one.asked("/packages/"), *two.asked("/packages/")]
        assert len(asked) == 3
        assert all(request.path.endswith(".whl") and "range" in request.headers for request in asked)
        assert [len(up.asked("/simple/demo/")) for up in (one, two)] == [1, 1]
