"""Looking ahead: what a client will ask for next is fetched once, within bounds, and never a private name."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from packaging.utils import NormalizedName

from proxy.download import Download, Downloads
from proxy.errors import NotFound, UpstreamDown
from proxy.policy import Policy
from proxy.repository import Repository
from proxy.simple.model import File, Project
from proxy.simple.names import NamePattern, parse_name
from proxy.storage import Blob
from proxy.upstream.choice import Machines
from proxy.upstream.lookahead import INLINE_FILES, MOST_CLAUSES, LookAhead

from . import make
from .fake_upstream import FakeSources, FakeUpstream, Line
from .fakes import MemoryCache, MemoryStore
from .test_choice import UBUNTU, WINDOWS, agent
from .test_metadata import Clock

FRESH = 300.0


def blob(body: bytes) -> Blob:
    handle = open(os.memfd_create("body"), "r+b", buffering=0)  # noqa: SIM115  # the receiver closes it
    handle.write(body)
    handle.seek(0)
    return Blob(handle=handle, size=len(body), sha256=hashlib.sha256(body).hexdigest(), modified=0.0)


@dataclass
class House:
    """What clients see, as LookAhead asks for it."""

    pages: dict[str, Project] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)
    """How many questions were told of ahead, each time."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def publish(
        self, name: str, version: str = "1.0", *requires: str, metadata: bytes | None = None, **fields: Any
    ) -> File:
        """Have *name* list one more wheel, which requires *requires*."""
        filename, body = make.wheel(name, version)
        core = metadata or make.metadata(name, version, requires=requires)
        said = {"core_metadata": True, "origin": "pypi", "url": f"https://one.example/{filename}", **fields}
        file = make.file(filename, body, **said)
        known = self.pages.get(name, Project(name=NormalizedName(name)))
        self.pages[name] = msgspec.structs.replace(known, files={**known.files, filename: file})
        self.bodies |= {filename: body, filename + ".metadata": core}
        return file

    async def project(self, name: NormalizedName) -> Project:
        async with self._asked(name):
            if name not in self.pages:
                raise NotFound(f"No mirror knows {name}.")
            return self.pages[name]

    async def find(self, path: str, filename: str) -> File:
        for page in self.pages.values():
            with suppress(NotFound):
                return page.file(path, filename)
        raise NotFound(f"{filename} is not on any page here.")

    async def fetch(self, file: File) -> Blob | Download:
        async with self._asked(file.filename):
            return blob(self.bodies[file.filename])

    async def expect(self, count: int) -> None:
        self.expected.append(count)

    async def read_wheel(self, file: File) -> bytes:
        self.read.append(file.filename)
        return self.bodies[file.filename + ".metadata"]

    @asynccontextmanager
    async def _asked(self, what: str) -> AsyncIterator[None]:
        self.asked.append(what)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            yield
        finally:
            self.at_once -= 1

    @property
    def names(self) -> list[str]:
        """The projects asked for, sorted."""
        return sorted(what for what in self.asked if "." not in what)

    @property
    def wheels(self) -> list[str]:
        """The wheels asked for as a whole, sorted."""
        return sorted(what for what in self.asked if what.endswith(".whl"))


@asynccontextmanager
async def looking(house: House, *, clock: Clock | None = None, **options: Any) -> AsyncIterator[LookAhead]:
    settings: dict[str, Any] = {"most": 200, "depth": 8, "fresh": FRESH, **options}
    ahead = LookAhead(
        house,
        house.read_wheel,
        Machines(python="3.12.3"),
        expect=house.expect,
        clock=clock or Clock(),
        **settings,
    )
    try:
        yield ahead
    finally:
        await ahead.close()


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.001)


async def calm(house: House) -> None:
    """Wait until nothing is asked for any more."""
    before = -1
    while before != len(house.asked):
        before = len(house.asked)
        for _ in range(20):
            await asyncio.sleep(0.001)


def tree() -> House:
    """root requires a and b, both of which require c."""
    house = House()
    house.publish("root", "1.0", "a", "b>=1")
    house.publish("a", "1.0", "c")
    house.publish("b", "1.0", "c<3")
    house.publish("c", "2.0")
    return house


# What is looked at


async def test_all_that_a_project_requires_is_asked_for_once() -> None:
    house = tree()
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "c-2.0-py3-none-any.whl.metadata" in house.asked)
        await calm(house)
        counts = Counter(house.asked)
        assert {what for what in counts if what.endswith(".metadata")} == {
            f"{name}-py3-none-any.whl.metadata" for name in ("root-1.0", "a-1.0", "b-1.0", "c-2.0")
        }
        assert set(house.names) == {"a", "b", "c"}
        assert max(count for what, count in counts.items() if what != "c") == 1
        assert house.wheels == []


async def test_the_client_who_comes_to_a_page_later_starts_nothing_anew() -> None:
    house = tree()
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "c-2.0-py3-none-any.whl.metadata" in house.asked)
        await calm(house)
        before = len(house.asked)
        for name in ("root", "a", "b", "c"):
            ahead.asked(house.pages[name], UBUNTU)
            ahead.chosen(next(iter(house.pages[name].files.values())).sibling(), UBUNTU)
        await calm(house)
        assert len(house.asked) == before


async def test_what_is_no_longer_fresh_is_looked_at_again() -> None:
    house, clock = tree(), Clock()
    async with looking(house, clock=clock) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "c" in house.asked)
        await calm(house)
        clock.time += FRESH + 1
        house.asked.clear()
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: {"a", "b", "c"} <= set(house.asked))


async def test_metadata_that_no_page_promises_is_read_out_of_the_wheel() -> None:
    house = House()
    house.publish("root", "1.0", "a", core_metadata=False)
    house.publish("a")
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "a" in house.asked)
        assert house.read == ["root-1.0-py3-none-any.whl"]


async def test_the_newest_suitable_version_is_looked_at() -> None:
    house = House()
    house.publish("root", "1.0", "old")
    house.publish("root", "2.0", "new", 'win; sys_platform == "win32"', 'more; extra == "x"')
    house.publish("root", "3.0", "future", requires_python=">=3.99")
    house.publish("root", "4.0a1", "early")
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "new" in house.asked)
        await calm(house)
        assert house.names == ["new"]
        ahead.asked(house.pages["root"], WINDOWS)
        await until(lambda: "win" in house.asked)
        await calm(house)
        assert house.names == ["new", "new", "win"]


async def test_the_version_that_a_requirement_lets_in_is_looked_at() -> None:
    house = House()
    house.publish("root", "1.0", "dep<2", "other[x]")
    house.publish("dep", "1.5", "old")
    house.publish("dep", "2.0", "new")
    house.publish("other", "1.0", 'extra-of-it; extra == "x"', 'not-wanted; extra == "y"')
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: {"old", "extra-of-it"} <= set(house.asked))
        await calm(house)
        assert house.names == ["dep", "extra-of-it", "old", "other"]


async def test_a_requirement_found_later_narrows_the_choice() -> None:
    house = House()
    house.publish("root", "1.0", "dep", "a")
    house.publish("a", "1.0", "dep<2")
    house.publish("dep", "1.5", "old")
    house.publish("dep", "2.0", "new")
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: {"old", "new"} <= set(house.asked))


async def test_the_version_that_a_client_chose_is_looked_at() -> None:
    house = House()
    old = house.publish("root", "1.0", "old")
    house.publish("root", "2.0", "new")
    async with looking(house) as ahead:
        ahead.chosen(old.sibling(), UBUNTU)
        await until(lambda: "old" in house.asked)
        ahead.chosen(old, UBUNTU)
        ahead.chosen(make.file("root-1.0.tar.gz"), UBUNTU)
        await calm(house)
        assert house.names == ["old"]


async def test_a_long_page_is_looked_through_as_well() -> None:
    house = House()
    for number in range(INLINE_FILES + 1):
        house.publish("root", f"1.{number}", f"dep{number}")
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: f"dep{INLINE_FILES}" in house.asked)


# Private names


async def test_private_names_never_leave_the_building(tmp_path: Path) -> None:
    upstream, store = FakeUpstream(), MemoryStore()
    private = [make.wheel("app", "1.0"), make.wheel("claimed", "1.0")]
    core = make.metadata("app", "1.0", requires=("public-one", "acme-secret", "claimed", "Acme.Tools[x]"))
    for (name, content), metadata in zip(
        private, (core, make.metadata("claimed", "1.0", requires=("two",))), strict=True
    ):
        (tmp_path / name).write_bytes(content)
        listed = make.file(name, content, core_metadata={"sha256": hashlib.sha256(metadata).hexdigest()})
        await store.add(parse_name(name.partition("-")[0]), listed, tmp_path / name, metadata)
    downloads = Downloads(tmp_path, FakeSources([Line(b"")]), MemoryCache(), store)
    repository = Repository(
        store=store,
        names=store,
        pins=store,
        cache=MemoryCache(),
        downloads=downloads,
        upstream=upstream,
        root=None,
        policy=Policy(reserved=(NamePattern("acme-*"),)),
    )
    house = House()
    ahead = LookAhead(
        repository,
        house.read_wheel,
        Machines(python="3.12.3"),
        expect=house.expect,
        clock=Clock(),
        most=200,
        depth=8,
        fresh=FRESH,
    )
    ahead.asked(await repository.project(parse_name("app")), UBUNTU)
    await until(lambda: {"public-one", "two"} <= set(upstream.asked))
    await ahead.close()
    await downloads.close()
    assert set(upstream.asked) == {"public-one", "two"}  # the latter is what a private wheel requires


# Bounds


async def test_no_more_projects_are_asked_for_than_some() -> None:
    house = House()
    house.publish("root", "1.0", *(f"dep{number}" for number in range(50)))
    async with looking(house, most=10) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: len(house.names) == 10)
        await calm(house)
        assert len(house.names) == 10


async def test_a_chain_is_followed_to_a_depth() -> None:
    house = House()
    for number in range(10):
        house.publish(f"dep{number}", "1.0", f"dep{number + 1}")
    async with looking(house, depth=3) as ahead:
        ahead.asked(house.pages["dep0"], UBUNTU)
        await until(lambda: "dep3" in house.asked)
        await calm(house)
        assert house.names == ["dep1", "dep2", "dep3"]
        # Who gets that far is looked ahead of from there.
        ahead.asked(house.pages["dep3"], UBUNTU)
        await until(lambda: "dep6" in house.asked)


async def test_a_circle_ends() -> None:
    house = House()
    house.publish("a", "1.0", "b")
    house.publish("b", "1.0", "a[x]", "b", "a>0")
    async with looking(house) as ahead:
        ahead.asked(house.pages["a"], UBUNTU)
        await until(lambda: "b" in house.asked)
        await calm(house)
        assert len(house.asked) < 12


@pytest.mark.parametrize("requirement", ["dep!={}", "dep[x{}]"])
async def test_endless_requirements_of_one_project_end(requirement: str) -> None:
    house = House()
    house.publish("root", "1.0", *(requirement.format(number) for number in range(5000)), "last")
    house.publish("dep", "1.0")
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "dep" in house.asked)
        await calm(house)
        assert house.names == ["dep"] * MOST_CLAUSES


async def test_no_project_is_looked_at_again_and_again() -> None:
    house = House()
    house.publish("root", "1.0", *(f"dep{number}!={clause}" for clause in range(5) for number in range(4)))
    async with looking(house, most=5) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: len(house.names) == 10)
        await calm(house)
        assert len(house.names) == 10


@pytest.mark.parametrize(
    "requirement", ["not a requirement !", "x @ https://evil.example/x.whl", "(" * 3000, "x; " + "(" * 900, "x" * 2000]
)
async def test_what_is_no_requirement_is_passed_over(requirement: str) -> None:
    house = House()
    house.publish("root", "1.0", requirement, "good")
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "good" in house.asked)
        await calm(house)
        assert house.names == ["good"]


async def test_questions_are_asked_few_at_a_time() -> None:
    house = House()
    house.publish("root", "1.0", *(f"dep{number}" for number in range(30)), core_metadata=False)
    house.gate.clear()
    async with looking(house, at_once=4) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: len(house.names) == 4)
        house.gate.set()
        await until(lambda: len(house.names) == 30)
        assert house.most_at_once == 4


async def test_looking_ahead_can_be_switched_off() -> None:
    house = tree()
    async with looking(house, most=0) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        ahead.chosen(next(iter(house.pages["root"].files.values())), UBUNTU)
        await calm(house)
        assert house.asked == []


@pytest.mark.parametrize("error", [NotFound("No."), UpstreamDown("No mirror."), RuntimeError("a bug")])
async def test_trouble_is_for_the_log_alone(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="proxy.upstream.lookahead")
    house = tree()
    house.error = error
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: caplog.records)
        assert {record.levelname for record in caplog.records} <= {"DEBUG", "INFO"}


async def test_metadata_of_something_else_leads_nowhere() -> None:
    house = House()
    house.publish("root", "1.0", metadata=make.metadata("evil", "1.0", requires=("more-evil",)))
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "root-1.0-py3-none-any.whl.metadata" in house.asked)
        await calm(house)
        assert house.names == []


async def test_what_is_under_way_ends_with_the_server() -> None:
    house = tree()
    house.gate.clear()
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: house.asked)
    assert house.at_once == 0


# Wheels


async def test_who_fetches_one_wheel_has_the_others_fetched() -> None:
    house = tree()
    house.publish("b", "2.0", "big", "unsized", "c")
    house.publish("big", size=10**9)
    house.publish("unsized", size=None)
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(
            lambda: {"c-2.0-py3-none-any.whl.metadata", "big-1.0-py3-none-any.whl.metadata"} <= set(house.asked)
        )
        await calm(house)
        assert house.wheels == []
        ahead.wanted(house.pages["root"].files["root-1.0-py3-none-any.whl"])
        await until(lambda: len(house.wheels) == 4)
        for file in house.pages["a"].files.values():
            ahead.wanted(file)
        ahead.wanted(make.file("never-heard-of-1.0-py3-none-any.whl"))
        await calm(house)
        assert house.wheels == [f"{name}-py3-none-any.whl" for name in ("a-1.0", "b-2.0", "c-2.0", "root-1.0")]


async def test_a_wheel_that_its_page_lists_no_more_is_not_fetched_with_the_others() -> None:
    """Its name may have become private in the minutes between the two questions."""
    house = tree()
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "c-2.0-py3-none-any.whl.metadata" in house.asked)
        await calm(house)
        root = house.pages["root"].files["root-1.0-py3-none-any.whl"]
        del house.pages["c"]
        ahead.wanted(root)
        await until(lambda: "root-1.0-py3-none-any.whl" in house.wheels)
        await calm(house)
        assert "a-1.0-py3-none-any.whl" in house.wheels
        assert not any(wheel.startswith("c-") for wheel in house.wheels)


async def test_wheels_chosen_after_the_first_was_fetched_are_fetched_too() -> None:
    house = tree()
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: house.asked)
        ahead.wanted(house.pages["root"].files["root-1.0-py3-none-any.whl"])
        await until(lambda: len(house.wheels) == 4)


async def test_who_says_that_it_installs_has_the_wheels_fetched_at_once() -> None:
    house = tree()
    async with looking(house) as ahead:
        ahead.asked(house.pages["root"], agent("uv/0.13.9", installer={"name": "uv", "subcommand": ["sync"]}))
        await until(lambda: len(house.wheels) == 4)


async def test_wheels_are_left_alone_where_an_operator_says_so() -> None:
    house = tree()
    async with looking(house, most_wheel=0) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: "c-2.0-py3-none-any.whl.metadata" in house.asked)
        ahead.wanted(house.pages["root"].files["root-1.0-py3-none-any.whl"])
        await calm(house)
        assert house.wheels == []


async def test_connections_are_opened_ahead_only_where_metadata_came_from_afar() -> None:
    house, clock = House(), Clock()
    house.publish("root", "1.0", "a", "b", "c")
    for name in "abc":
        house.publish(name)
    async with looking(house, clock=clock) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: house.names == ["a", "b", "c"])
        await calm(house)
    assert house.expected == []  # it was at hand
    house.asked.clear()
    house.gate.clear()
    async with looking(house, clock=clock) as ahead:
        ahead.asked(house.pages["root"], UBUNTU)
        await until(lambda: house.asked == ["root-1.0-py3-none-any.whl.metadata"])
        clock.time += 1
        house.gate.set()
        await until(lambda: house.expected == [12])  # four times what is required
        await calm(house)
