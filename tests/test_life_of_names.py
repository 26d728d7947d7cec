"""Names through their lives, against a model: what is uploaded, deleted, reserved and asked for, in any order.

The store, caches, policy and mirrors' side are real, and so is an index on loopback that remembers what it was asked
for: it must never hear of a private name.  By default a thousand steps.  Ten thousand, from several seeds:

    pytest -s -m long tests/test_life_of_names.py
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from packaging.utils import NormalizedName, canonicalize_name

from proxy.config import Flags, load
from proxy.download import Download
from proxy.errors import BadRequest, BadUpload, FileExists, Forbidden, NotFound, ProxyError
from proxy.policy import Policy, PublicName
from proxy.publishing import Publishing, Selection, State
from proxy.repository import Repository
from proxy.simple.model import METADATA, File, Project
from proxy.simple.names import parse_name, projects_of
from proxy.storage import Blob, Status
from proxy.storage.disk_cache import FileCache, PageCache
from proxy.storage.disk_store import DiskStore
from proxy.upstream.all_names import AllNames
from proxy.upstream.indexes import Indexes
from proxy.upstreams import Shared, open_upstreams
from proxy.web.paths import Flat, Held, Page, parse_target

from . import make
from .memory import folder_in_memory
from .upstream_server import UpstreamServer, running_upstream

T = TypeVar("T")

STEPS = 50
"""Of one life."""

LIVES, MANY_LIVES = 40, 100
"""By default, and from each seed in the long run."""

SEEDS = (1, 2, 3, 4, 5)

CONFIG = """
[private]
reserved = ["acme-*"]
overlay = ["numpy"]
[[index]]
name = "index"
heal = false
"""

INDEXES = frozenset({"index"})

PATTERNED, BILLING, LOOKALIKE, WIDGET, RIVAL, NUMPY = NAMES = (
    "acme-sdk",  # reserved by a pattern; the index has one too
    "billing",
    "bi11ing",  # looks like it
    "widget",  # the index has it
    "widget-1-0",  # the index has it, and a file of it could be widget's
    "numpy",  # overlaid
)

BYSTANDER = "bystander"
"""Always public."""

AMBIGUOUS = "widget-1.0-1.tar.gz"
"""Version 1.0.post1 of widget, or version 1 of widget-1-0."""


def wheel(name: str, version: str) -> str:
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


def sdist(name: str, version: str, ending: str = "tar.gz") -> str:
    return f"{name.replace('-', '_')}-{version}.{ending}"


OURS: dict[str, tuple[str, ...]] = {
    name: (wheel(name, "1.0"), wheel(name, "2.0"), sdist(name, "1.0"), sdist(name, "1.0", "zip"))
    + ((AMBIGUOUS,) if name in (WIDGET, RIVAL) else ())
    for name in NAMES
}
"""What may be uploaded, by project."""

THEIRS: dict[str, tuple[str, ...]] = {
    PATTERNED: (wheel(PATTERNED, "99.0"),),
    WIDGET: (wheel(WIDGET, "1.0"), wheel(WIDGET, "99.0")),
    RIVAL: (AMBIGUOUS, wheel(RIVAL, "99.0")),
    NUMPY: (wheel(NUMPY, "1.0"), wheel(NUMPY, "99.0")),
    BYSTANDER: (wheel(BYSTANDER, "1.0"),),
}
"""What the index has, by project."""

READINGS: dict[str, tuple[str, ...]] = {
    filename: tuple(name for name in (*NAMES, BYSTANDER) if filename in (*OURS.get(name, ()), *THEIRS.get(name, ())))
    for listed in (OURS, THEIRS)
    for filenames in listed.values()
    for filename in filenames
}
"""By filename, the projects that it could belong to."""

FIRST, OTHER, PUBLIC = CONTENTS = ("first", "other", "public")
"""By which the bytes of files of one name differ: the first two come by upload, the last is the index's."""

STATUSES: tuple[Status, ...] = ("active", "archived", "deprecated", "quarantined")

WHY = "somebody said so"

SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("-", "-_.").title(),
    lambda name: f"%{ord(name[0]):02x}{name[1:]}",
    lambda name: name.replace("-", "%2D"),
    lambda name: name.replace("-", ".."),
)

PREFIXES = ("", "/", "/index", "//index/")
"""Before `/simple/` and `/packages/`: the index alone is the same index here (decision 26)."""


def content(filename: str, which: str) -> bytes:
    return f"{which} content of {filename}".encode()


def core(filename: str, which: str) -> bytes:
    return f"Metadata-Version: 2.1\nSummary: {which} {filename}\n".encode()


def release(name: str, filename: str) -> str:
    """The version that *filename* is of *name*, without zeros at its end."""
    if filename == AMBIGUOUS:
        return "1.0.post1" if name == WIDGET else "1"
    return "1" if "-1.0" in filename else "2"


def look(name: str) -> str:
    """The same for names that are taken for one another."""
    return name.replace("-", "").translate(str.maketrans("lio", "110"))


@dataclass
class Model:
    """What should be there, in few words."""

    files: dict[str, tuple[str, str, bool | str]] = field(default_factory=dict)
    """By filename: the project, which content, and whether it is yanked."""
    claimed: set[str] = field(default_factory=set)
    reserved: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    statuses: dict[str, Status] = field(default_factory=dict)

    def is_secret(self, name: str) -> bool:
        """Whether no index may hear of it."""
        return name != NUMPY and (name in self.claimed or name == PATTERNED)

    def is_quarantined(self, name: str) -> bool:
        return self.statuses.get(name) == "quarantined"

    def confusable(self, name: str) -> bool:
        is_ours = self.is_secret(name) or name == NUMPY
        return not is_ours and any(look(name) == look(other) for other in self.claimed)

    def of(self, name: str) -> list[str]:
        """The uploaded files of *name*."""
        return sorted(filename for filename, (owner, _, _) in self.files.items() if owner == name)

    def why_not(self, name: str, filename: str, which: str) -> type[ProxyError] | None:
        """Why an upload is refused."""
        sdists = [other for other in self.of(name) if other != filename and not other.endswith(".whl")]
        if self.statuses.get(name) in ("archived", "quarantined") or self.confusable(name):
            return Forbidden
        if not filename.endswith(".whl") and release(name, filename) in [release(name, other) for other in sdists]:
            return BadUpload
        if name in THEIRS and not self.is_secret(name) and name != NUMPY:
            return Forbidden
        if filename in self.removed or self.files.get(filename, (name, which))[:2] != (name, which):
            return FileExists
        return None

    def page(self, name: str) -> dict[str, tuple[str, bool | str]] | None:
        """By filename, which content and whether yanked; None where there is no such project."""
        if name not in THEIRS and not self.is_secret(name):
            return None
        listed: dict[str, tuple[str, bool | str]] = {}
        if not self.is_secret(name):
            for filename in THEIRS[name]:
                if not any(self.is_secret(other) for other in READINGS[filename]):
                    listed[filename] = PUBLIC, False
        for filename in self.of(name):
            listed[filename] = self.files[filename][1:]
        return {} if self.is_quarantined(name) else listed

    def file(self, filename: str, which: str) -> type[ProxyError] | None:
        """Why it is not served; None where it is."""
        secret = [name for name in READINGS[filename] if self.is_secret(name)]
        names = secret or READINGS[filename]
        pages = [self.page(name) or {} for name in names]
        if any(filename in page and page[filename][0] == which for page in pages):
            return None
        return Forbidden if any(map(self.is_quarantined, names)) else NotFound

    def flat(self, filename: str) -> type[ProxyError] | str:
        """Which content, or why it is not served."""
        if filename in self.files and not self.is_quarantined(self.files[filename][0]):
            return self.files[filename][1]
        return Forbidden if any(map(self.is_quarantined, READINGS[filename])) else NotFound

    def state(self, name: str) -> State:
        return "private" if self.of(name) else "reserved" if name in self.reserved else "emptied"


class House:
    """All that stands between a request's target and *upstream*, in *folder*, as build.py puts it together."""

    def __init__(self, folder: Path, upstream: UpstreamServer) -> None:
        file = folder / "config.toml"
        file.write_text(CONFIG)
        self._settings = load(file, environment={}, flags=Flags(data=folder, upstream=(upstream.simple,))).settings
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        settings = self._settings
        state, cache = settings.storage.state, settings.storage.cache
        (cache / "incoming").mkdir(parents=True, exist_ok=True)
        self.store = store = await asyncio.to_thread(DiskStore, state, now=lambda: make.NOON)
        self._stack.push_async_callback(store.close)
        files = await asyncio.to_thread(FileCache, cache / "files", max_size=settings.cache.max_size, min_free=0)
        self._stack.push_async_callback(files.close)
        pages = await asyncio.to_thread(PageCache, cache / "pages", max_size=settings.cache.max_pages, min_free=0)
        self._stack.push_async_callback(pages.close)
        private = settings.private
        policy = Policy(reserved=private.reserved, overlay=frozenset(private.overlay), claim=private.claim)

        async def route(name: NormalizedName) -> PublicName | None:
            return policy.route(name, await store.claimed()).public

        shared = Shared(settings=settings, logins={}, pages=pages, files=files, pins=store, route=route)
        upstreams = await open_upstreams(shared, cache / "incoming", self._stack)
        index = Indexes(upstreams.indexes)
        self.publishing = Publishing(store=store, names=store, upstream=index, policy=policy)
        self.repository = Repository(
            store=store,
            names=store,
            pins=store,
            cache=files,
            downloads=upstreams.downloads,
            upstream=index,
            root=AllNames(upstreams.indexes, cache / "all").open,
            policy=policy,
        )

    async def close(self) -> None:
        await self._stack.aclose()

    async def upload(self, name: str, filename: str, which: str) -> None:
        body, metadata = content(filename, which), core(filename, which) if filename.endswith(".whl") else None
        spool = self.store.incoming / "spool.part"
        spool.write_bytes(body)
        beside = {"sha256": hashlib.sha256(metadata).hexdigest()} if metadata else False
        file = make.file(filename, body, upload_time=None, core_metadata=beside)
        try:
            await self.publishing.upload(parse_name(name), file, spool, metadata)
        finally:
            spool.unlink(missing_ok=True)

    async def page(self, target: str) -> Project:
        asked = parse_target(target, INDEXES).target
        assert isinstance(asked, Page)
        return await self.repository.project(asked.name)

    async def bytes(self, target: str) -> bytes:
        asked = parse_target(target, INDEXES).target
        if isinstance(asked, Flat):
            found = await self.repository.find_private(asked.filename)
        else:
            assert isinstance(asked, Held)
            found = await self.repository.find(asked.path, asked.filename)
        return await _drained(await self.repository.fetch(found))

    async def listing(self) -> set[str]:
        """The names on the root page, as its writer makes it."""
        listing = await self.repository.listing()
        assert listing.public is not None
        with listing.public.handle as handle:
            public = [NormalizedName(line.decode()) for line in handle.read().splitlines()]
        return {*listing.private, *(name for name in public if self.repository.shows(name, listing.private))}


async def _drained(found: Blob | Download) -> bytes:
    if isinstance(found, Blob):
        with found.handle as handle:
            return handle.read()
    ready = 0
    while found.sha256 is None or ready < found.ready:
        ready = await found.grown(ready)
    with found.handle() as handle:
        return os.pread(handle.fileno(), ready, 0)


names = st.sampled_from(NAMES)
filenames = st.sampled_from([AMBIGUOUS] * 4 + sorted(READINGS))
spellings = st.sampled_from(SPELLINGS)
prefixes = st.sampled_from(PREFIXES)


class Life(RuleBasedStateMachine):
    """One life of all names, in *folder*, before *upstream*; *steps* counts what was done."""

    def __init__(self, folder: Path, upstream: UpstreamServer, steps: Counter[str]) -> None:
        super().__init__()
        self.model = Model()
        self._folder = folder / secrets.token_hex(8)
        self._folder.mkdir()
        self._upstream = upstream
        self._steps = steps
        self._heard = len(upstream.log)
        self._runner = asyncio.Runner()
        self._open()

    def teardown(self) -> None:
        self._close()
        self._runner.close()
        shutil.rmtree(self._folder)

    @invariant()
    def what_is_known_agrees(self) -> None:
        self._steps["steps"] += 1
        known = {each.name: (each.state, each.files) for each in self._runner.run(self.house.publishing.known())}
        model = self.model
        assert known == {name: (model.state(name), len(model.of(name))) for name in model.claimed}

    @invariant()
    def what_is_private_agrees(self) -> None:
        # Those alone at every step: asked for a public one, the index would be at every step too.
        with self._hearing(nothing=True):
            for name in filter(self.model.is_secret, NAMES):
                self._steps["private pages"] += 1
                page = self._runner.run(self.house.repository.project(NormalizedName(name)))
                self._is_the_page(page, name)
                for filename in self.model.of(name):
                    path = make.place(content(filename, self.model.files[filename][1]))
                    found = self._meets(
                        self.model.file(filename, self.model.files[filename][1]),
                        self.house.repository.find(path, filename),
                    )
                    assert found is None or found.private

    # Changes

    @initialize(some=st.sets(names, max_size=3))
    def begin(self, some: set[str]) -> None:
        """Begin with names that have files, so that not all of a life is spent on getting there."""
        for name in sorted(some):
            self.reserve(name, True)
            self.upload(name, str, 0, FIRST)
            self.upload(name, str, len(OURS[name]) - 1, FIRST)

    @rule(name=names, spelled=spellings, number=st.integers(0, 4), which=st.sampled_from((FIRST, FIRST, OTHER)))
    def upload(self, name: str, spelled: Callable[[str], str], number: int, which: str) -> None:
        filename = OURS[name][number % len(OURS[name])]
        model = self.model
        expected = model.why_not(name, filename, which)
        with self._hearing(asks=True):
            self._meets(expected, self.house.upload(unquote(spelled(name)), filename, which))
        if expected is None:
            model.files.setdefault(filename, (name, which, False))
            model.claimed.add(name)

    @rule(name=names, selection=st.integers(0, 4), yanked=st.sampled_from((True, False, WHY)))
    def yank(self, name: str, selection: int, yanked: bool | str) -> None:
        which, filenames = self._selected(name, selection)
        changed = [filename for filename in filenames if self.model.files[filename][2] != yanked]
        with self._hearing():
            told = self._meets(
                None if filenames else NotFound, self.house.publishing.yank(NormalizedName(name), which, yanked)
            )
        assert not filenames or sorted(told or ()) == changed
        for filename in changed:
            self.model.files[filename] = *self.model.files[filename][:2], yanked

    @rule(name=names, selection=st.integers(0, 4), dry_run=st.sampled_from((False, False, True)))
    def delete(self, name: str, selection: int, dry_run: bool) -> None:
        which, filenames = self._selected(name, selection)
        with self._hearing():
            told = self._meets(
                None if filenames else NotFound,
                self.house.publishing.delete(NormalizedName(name), which, dry_run=dry_run),
            )
        assert not filenames or sorted(told or ()) == filenames
        if not dry_run:
            for filename in filenames:
                del self.model.files[filename]
                self.model.removed.add(filename)

    @rule(name=names, confusable=st.booleans())
    def reserve(self, name: str, confusable: bool) -> None:
        expected: type[ProxyError] | None = BadRequest if name == NUMPY else None
        if expected is None and not confusable and self.model.confusable(name):
            expected = Forbidden
        if expected is None:
            self.model.claimed.add(name)
            self.model.reserved.add(name)
        with self._hearing():
            reserving = self.house.publishing.reserve(NormalizedName(name), now=make.NOON, confusable=confusable)
            self._meets(expected, reserving)

    @rule(name=names)
    def release(self, name: str) -> None:
        files, claimed = self.model.of(name), name in self.model.claimed
        with self._hearing():
            expected = None if claimed and not files else BadRequest if claimed else NotFound
            self._meets(expected, self.house.publishing.release(NormalizedName(name)))
        if expected is None:
            self.model.claimed.discard(name)
            self.model.reserved.discard(name)
            self.model.statuses.pop(name, None)

    @rule(filename=st.sampled_from(sorted(READINGS)))
    def readmit(self, filename: str) -> None:
        with self._hearing():
            expected = None if filename in self.model.removed else NotFound
            self._meets(expected, self.house.publishing.readmit(filename))
        self.model.removed.discard(filename)

    @rule(name=names, status=st.sampled_from((*STATUSES, "quarantined")))
    def mark(self, name: str, status: Status) -> None:
        with self._hearing():
            expected = None if name in self.model.claimed else NotFound
            self._meets(expected, self.house.publishing.mark(NormalizedName(name), status, WHY))
        if expected is None:
            self.model.statuses[name] = status

    @rule(wiped=st.booleans())
    def restart(self, wiped: bool) -> None:
        self._close()
        if wiped:
            shutil.rmtree(self._folder / "cache")
        self._open()

    # Questions

    @rule(
        name=st.sampled_from((*NAMES, BYSTANDER)), spelled=spellings, prefix=prefixes, slash=st.sampled_from(("/", ""))
    )
    def ask_for_a_page(self, name: str, spelled: Callable[[str], str], prefix: str, slash: str) -> None:
        expected = self.model.page(name)
        with self._hearing():
            target = f"{prefix}/simple/{spelled(name)}{slash}"
            page = self._meets(NotFound if expected is None else None, self.house.page(target))
        if page is not None:
            self._is_the_page(page, name)

    @rule(filename=filenames, number=st.integers(0, 2), prefix=prefixes)
    def ask_for_a_file(self, filename: str, number: int, prefix: str) -> None:
        self._ask_for(filename, number, prefix, beside=False)

    @rule(filename=filenames.filter(lambda name: name.endswith(".whl")), number=st.integers(0, 2), prefix=prefixes)
    def ask_for_metadata(self, filename: str, number: int, prefix: str) -> None:
        self._ask_for(filename, number, prefix, beside=True)

    def _ask_for(self, filename: str, number: int, prefix: str, *, beside: bool) -> None:
        """Ask for the content that was uploaded, or that the index has, or for another one."""
        ours = [self.model.files[filename][1]] if filename in self.model.files else []
        theirs = [PUBLIC] if any(filename in listed for listed in THEIRS.values()) else []
        which = [*ours, *theirs, OTHER][number % (len(ours) + len(theirs) + 1)]
        expected = self.model.file(filename, which)
        target = f"{prefix}/packages/{make.place(content(filename, which))}/{quote(filename)}"
        # Where one reading of the filename is private, nobody hears of the others either (decision 5).
        with self._hearing(nothing=any(map(self.model.is_secret, READINGS[filename]))):
            got = self._meets(expected, self.house.bytes(target + (METADATA if beside else "")))
        assert got is None or got == (core if beside else content)(filename, which)

    @rule(filename=filenames)
    def ask_for_a_flat_file(self, filename: str) -> None:
        expected = self.model.flat(filename)
        with self._hearing(nothing=True):
            error = None if isinstance(expected, str) else expected
            got = self._meets(error, self.house.bytes(f"/packages/{quote(filename)}"))
        assert not isinstance(expected, str) or got == content(filename, expected)

    @rule()
    def ask_for_all_names(self) -> None:
        with self._hearing():
            listed = self._runner.run(self.house.listing())
        assert listed == self.model.claimed | {name for name in THEIRS if not self.model.is_secret(name)}

    @rule(name=names)
    def ask_what_was_uploaded(self, name: str) -> None:
        with self._hearing(nothing=True):
            files = self._runner.run(self.house.repository.uploaded(NormalizedName(name)))
        assert [file.filename for file in files] == self.model.of(name)

    def _is_the_page(self, page: Project, name: str) -> None:
        assert {file.filename: (_which(file), file.yanked) for file in page.files.values()} == self.model.page(name)
        status = self.model.statuses.get(name, "active")
        assert page.status == (None if status == "active" else status)

    def _open(self) -> None:
        self.house = House(self._folder, self._upstream)
        self._runner.run(self.house.open())

    def _close(self) -> None:
        self._runner.run(self.house.close())

    def _meets(self, expected: type[ProxyError] | None, doing: Coroutine[Any, Any, T]) -> T | None:
        """What comes of *doing*, where that is no error; and the error that is *expected* otherwise."""
        try:
            done = self._runner.run(doing)
        except ProxyError as error:
            if type(error) is not expected:
                raise
            return None
        assert expected is None, f"not refused: {expected.__name__}"
        return done

    def _selected(self, name: str, number: int) -> tuple[Selection, list[str]]:
        """One of the ways to say which files of *name*, and those that it means."""
        files = self.model.of(name)
        if number == 0:
            return Selection(), files
        if number == 1:
            return Selection(version="1.0.0"), [file for file in files if release(name, file) == "1"]
        filename = OURS[name][number % len(OURS[name])]
        return Selection(filename=filename), [file for file in files if file == filename]

    @contextmanager
    def _hearing(self, *, asks: bool = False, nothing: bool = False) -> Iterator[None]:
        """During this the index hears of no name that is private before, nor of one that is private then.

        With *asks* a name that is to become private may be asked about; with *nothing* the index hears nothing.
        """
        secret = {name for name in NAMES if self.model.is_secret(name)}
        yield
        if not asks:
            secret |= {name for name in NAMES if self.model.is_secret(name)}
        heard = self._upstream.log[self._heard :]
        self._heard += len(heard)
        self._steps["questions to the index"] += len(heard)
        assert not (nothing and heard)
        assert [request.path for request in heard if _named(request.path) & secret] == []


def _named(path: str) -> set[str]:
    """The projects that the index can make out in *path*."""
    *_, last = filter(None, unquote(path).split("/"))
    return {canonicalize_name(last), *projects_of(last.removesuffix(METADATA))}


def _which(file: File) -> str:
    """The content that a page lists."""
    return next(which for which in CONTENTS if make.place(content(file.filename, which)) == file.path)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with folder_in_memory(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServer]:
    with running_upstream() as upstream:
        for name, filenames in THEIRS.items():
            for filename in filenames:
                beside = {"metadata": core(filename, PUBLIC)} if filename.endswith(".whl") else {}
                upstream.publish(name, filename, content(filename, PUBLIC), **beside)
        yield upstream


def live(folder: Path, upstream: UpstreamServer, *, lives: int, seed: int | None = None) -> Counter[str]:
    """Have so many *lives* lived, with a *seed* of chance or always the same ones; what was done in them."""
    steps = Counter[str]()

    class Here(Life):
        def __init__(self) -> None:
            super().__init__(folder, upstream, steps)

    how = settings(
        max_examples=lives,
        stateful_step_count=STEPS,
        derandomize=seed is None,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Here if seed is None else seeded(seed)(Here), settings=how)
    print("\n" + ", ".join(f"{number} {what}" for what, number in steps.items()))
    return steps


@pytest.mark.timeout(1200)  # a failure is made short before it is told, which takes its time
def test_names_live_as_the_model_says_and_the_index_hears_of_no_private_one(
    folder: Path, upstream: UpstreamServer
) -> None:
    steps = live(folder, upstream, lives=LIVES)
    assert steps["steps"] > LIVES * STEPS // 2
    assert steps["questions to the index"] > LIVES
    assert steps["private pages"] > steps["steps"]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_names_live_long_as_the_model_says(folder: Path, upstream: UpstreamServer, seed: int) -> None:
    assert live(folder, upstream, lives=MANY_LIVES, seed=seed)["steps"] > MANY_LIVES * STEPS // 2
