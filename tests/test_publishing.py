"""What changes private projects: who may become one, and what each change leaves as it was."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from proxy.errors import BadRequest, BadUpload, FileExists, Forbidden, NotFound
from proxy.policy import Policy
from proxy.publishing import Known, Publishing, Selection
from proxy.simple.model import File
from proxy.simple.names import NamePattern
from proxy.storage import Standing, Status
from proxy.storage.disk_store import DiskStore

from .fakes import MemoryStore
from .make import file
from .test_repository import House

SDK = canonicalize_name("acme-sdk")
NUMPY = canonicalize_name("numpy")
LIKE_SDK = canonicalize_name("acmes.dk")

FIRST = "acme_sdk-1.0-py3-none-any.whl"
SOURCE = "acme_sdk-1.0.tar.gz"
SECOND = "acme_sdk-1.1-py3-none-any.whl"

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
async def full(house: House) -> House:
    """One that has two versions of acme-sdk, the first also as its source."""
    for filename in (FIRST, SOURCE, SECOND):
        await house.upload("acme-sdk", filename, filename.encode())
    house.upstream.asked.clear()
    house.upstream.withdrawn.clear()
    return house


async def yanks(house: House) -> dict[str, bool | str]:
    return {file.filename: file.yanked for file in await house.store.files(SDK)}


async def standing(house: House) -> Standing | None:
    return (await house.store.standings()).get(SDK)


# Uploads


async def test_the_first_upload_of_a_public_name_is_refused_with_the_way_out(house: House) -> None:
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    with pytest.raises(Forbidden, match=r'private\.claim = "allow"'):
        await house.upload("numpy", "numpy-9.0-py3-none-any.whl")
    assert await house.store.claimed() == frozenset()


async def test_a_first_upload_takes_the_name_away_from_the_index(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow", overlay=frozenset({NUMPY})))
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    assert house.upstream.withdrawn == ["acme-sdk"]  # D04: no question that is under way goes on
    await house.upload("numpy", "numpy-1.0-py3-none-any.whl")
    assert house.upstream.withdrawn == ["acme-sdk"]  # which both sides go on answering for


async def test_one_look_that_finds_nothing_does_not_free_a_name_that_is_still_listed(house: House) -> None:
    """Every mirror says 404 for the first time, and the page that is remembered still stands (decision 8)."""
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    house.upstream.vanished = True
    with pytest.raises(Forbidden, match="numpy exists at the index"):
        await house.upload("numpy", "numpy-2.0-py3-none-any.whl")


async def test_the_first_upload_is_refused_where_the_index_cannot_be_asked(house: House) -> None:
    house.upstream.down = True
    with pytest.raises(Forbidden, match="could not be asked"):
        await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")


async def test_the_first_upload_of_a_new_name_asks_once_and_never_again(house: House) -> None:
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    await house.upload("acme-sdk", "acme_sdk-1.1-py3-none-any.whl", b"more")
    await house.repository.project(SDK)
    assert house.upstream.asked == ["acme-sdk"]


@pytest.mark.parametrize(
    "policy", [Policy(claim="allow"), Policy(reserved=(NamePattern("numpy"),)), Policy(overlay=frozenset({NUMPY}))]
)
async def test_an_operators_word_lets_a_public_name_be_uploaded(tmp_path: Path, policy: Policy) -> None:
    house = House(tmp_path, policy)
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl")
    await house.upload("numpy", "numpy-9.0-py3-none-any.whl")
    assert house.upstream.asked == []


async def test_other_bytes_under_a_taken_name_are_refused(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    with pytest.raises(FileExists, match=r"^File already exists"):
        await house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl", b"other")


async def test_a_name_that_was_unknown_a_moment_ago_is_there_after_its_first_upload(house: House) -> None:
    """D21: what the index denied is forgotten with the rest."""
    with pytest.raises(NotFound):
        await house.page("acme-sdk")
    await house.upload("acme-sdk", FIRST)
    assert list((await house.page("acme-sdk")).files) == [FIRST]
    assert house.upstream.denied == set()


@pytest.mark.parametrize("status", ["archived", "quarantined"])
@pytest.mark.parametrize("reason", ["moved to acme-core", None])
async def test_a_closed_project_takes_no_uploads_until_it_is_active_again(
    full: House, status: Status, reason: str | None
) -> None:
    """PEP 792."""
    await full.publishing.mark(SDK, status, reason)
    why = f" ({reason})" if reason else ""
    with pytest.raises(Forbidden, match=re.escape(f"acme-sdk is {status}{why}: no file is taken")):
        await full.upload("acme-sdk", "acme_sdk-2.0-py3-none-any.whl")
    assert len(await full.store.files(SDK)) == 3
    await full.publishing.mark(SDK, "active", None)
    await full.upload("acme-sdk", "acme_sdk-2.0-py3-none-any.whl")
    assert full.upstream.asked == []


async def test_a_deprecated_project_takes_uploads(full: House) -> None:
    await full.publishing.mark(SDK, "deprecated", "use acme-core")
    await full.upload("acme-sdk", "acme_sdk-2.0-py3-none-any.whl")
    assert len(await full.store.files(SDK)) == 4


@pytest.mark.parametrize("name", ["acmesdk", "acm-e-sdk", "a-c-m-e-s-d-k"])
async def test_a_new_name_that_can_be_taken_for_a_private_one_is_refused_and_no_index_hears_of_it(
    full: House, name: str
) -> None:
    """Decision 7; the sentence names the other one, and the way out works."""
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    with pytest.raises(Forbidden, match=rf"for acme-sdk, .*: yizhan names reserve {name} --confusable$"):
        await full.upload(name, filename)
    assert await full.store.claimed() == {SDK}
    await full.publishing.reserve(canonicalize_name(name), now=NOW, confusable=True)
    await full.upload(name, filename)
    await full.upload("acme-sdk", "acme_sdk-2.0-py3-none-any.whl")  # the older one is not judged again
    assert full.upstream.asked == []


async def test_a_second_sdist_of_a_release_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(overlay=frozenset({SDK})))
    await house.upload("acme-sdk", SOURCE)
    with pytest.raises(BadUpload, match="Only one sdist"):
        await house.upload("acme-sdk", "acme_sdk-1.0.0.zip", b"another")
    assert house.upstream.asked == []


async def race(*uploads: Awaitable[object]) -> list[str]:
    """The sentences of those that were refused."""
    return [str(error) for error in await asyncio.gather(*uploads, return_exceptions=True) if error is not None]


@pytest.mark.parametrize("order", list(itertools.permutations(["acme-sdk", "acmesdk", "acmes-dk"])))
async def test_of_names_like_each_other_that_come_at_once_one_is_taken(house: House, order: tuple[str, ...]) -> None:
    """All wait for the index's word at the same moment (D14)."""
    house.upstream.gate.clear()
    uploads = [
        asyncio.create_task(_quietly(house.upload(name, f"{name.replace('-', '_')}-1.0-py3-none-any.whl")))
        for name in order
    ]
    while len(house.upstream.asked) < len(order):
        await asyncio.sleep(0)
    house.upstream.gate.set()
    refused = await race(*uploads)
    assert len(refused) == 2
    (taken,) = await house.store.claimed()
    assert all(f"easily taken for {taken}" in said for said in refused)


async def _quietly(upload: Awaitable[object]) -> None:
    await upload


async def test_of_two_sdists_of_a_release_that_come_at_once_one_is_taken(house: House) -> None:
    refused = await race(
        _quietly(house.upload("acme-sdk", "acme_sdk-1.0.tar.gz", b"a")),
        _quietly(house.upload("acme-sdk", "acme_sdk-1.0.0.tar.gz", b"b")),
    )
    assert len(refused) == 1
    assert "Only one sdist" in refused[0]
    assert len(await house.store.files(SDK)) == 1


async def test_a_project_closed_while_the_index_is_asked_takes_nothing(house: House) -> None:
    house.upstream.gate.clear()
    upload = asyncio.create_task(house.upload("acme-sdk", FIRST))
    while not house.upstream.asked:
        await asyncio.sleep(0)
    await house.publishing.reserve(SDK, now=NOW)
    await house.publishing.mark(SDK, "archived", None)
    house.upstream.gate.set()
    with pytest.raises(Forbidden, match="is archived"):
        await upload
    assert await house.store.files(SDK) == ()


async def test_a_name_given_back_to_the_public_is_asked_about_again(house: House) -> None:
    await house.publishing.reserve(SDK, now=NOW)
    house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    await house.publishing.release(SDK)
    with pytest.raises(Forbidden, match="exists at the index"):
        await house.upload("acme-sdk", FIRST)
    assert list((await house.page("acme-sdk")).files) == ["acme_sdk-99.0-py3-none-any.whl"]


# Yanks


@pytest.mark.parametrize(
    ("which", "meant"),
    [
        (Selection(), {FIRST, SOURCE, SECOND}),
        (Selection(version="1.0"), {FIRST, SOURCE}),
        (Selection(version="v1.0.0"), {FIRST, SOURCE}),
        (Selection(version="1.1"), {SECOND}),
        (Selection(filename=SOURCE), {SOURCE}),
        (Selection(version="1", filename=SOURCE), {SOURCE}),
    ],
)
@pytest.mark.parametrize("change", ["yank", "delete"])
async def test_what_a_selection_means(full: House, which: Selection, meant: set[str], change: str) -> None:
    if change == "yank":
        assert set(await full.publishing.yank(SDK, which, True)) == meant
        assert {filename for filename, said in (await yanks(full)).items() if said} == meant
    else:
        assert set(await full.publishing.delete(SDK, which, dry_run=True)) == meant
        assert len(await full.store.files(SDK)) == 3
        assert set(await full.publishing.delete(SDK, which, dry_run=False)) == meant
        assert set(await yanks(full)) == {FIRST, SOURCE, SECOND} - meant


@pytest.mark.parametrize(
    ("name", "which", "said"),
    [
        ("acme-sdk", Selection(version="3.0"), "acme-sdk has no version 3.0 here, but 1.0, 1.1."),
        ("acme-sdk", Selection(version="nonsense"), "acme-sdk has no version nonsense here, but 1.0, 1.1."),
        (
            "acme-sdk",
            Selection(version="1.1", filename=SOURCE),
            f"acme-sdk has no {SOURCE} of version 1.1 here, but {FIRST}, {SOURCE}, {SECOND}.",
        ),
        ("acme-sdk", Selection(filename="x"), f"acme-sdk has no x here, but {FIRST}, {SOURCE}, {SECOND}."),
        ("other", Selection(), "No file of a private project other is here."),
        ("other", Selection(version="1.0"), "No file of a private project other is here."),
    ],
)
async def test_a_selection_that_fits_nothing_says_what_is_there(
    full: House, name: str, which: Selection, said: str
) -> None:
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: full.publishing.yank(canonicalize_name(name), which, True),
        lambda: full.publishing.delete(canonicalize_name(name), which, dry_run=False),
        lambda: full.publishing.delete(canonicalize_name(name), which, dry_run=True),
    ]
    for change in changes:
        with pytest.raises(NotFound) as error:
            await change()
        assert str(error.value) == said
    assert await yanks(full) == {FIRST: False, SOURCE: False, SECOND: False}


async def test_a_sentence_does_not_name_a_thousand_versions(house: House) -> None:
    for minor in range(15):
        await house.upload("acme-sdk", f"acme_sdk-1.{minor}-py3-none-any.whl", str(minor).encode())
    with pytest.raises(NotFound, match=r"but 1\.0, .* and 5 more\.$"):
        await house.publishing.yank(SDK, Selection(version="3.0"), True)


async def test_a_yank_tells_which_files_it_changed(full: House) -> None:
    yank = full.publishing.yank
    release = Selection(version="1.0")
    assert await yank(SDK, release, "leaks memory") == (FIRST, SOURCE)
    assert await yank(SDK, release, "leaks memory") == ()
    assert await yank(SDK, Selection(), "leaks memory") == (SECOND,)
    assert await yank(SDK, release, "leaks much memory") == (FIRST, SOURCE)
    assert await yank(SDK, release, "") == (FIRST, SOURCE)  # without a reason: File.yanked is never ""
    assert await yank(SDK, release, True) == await yank(SDK, release, "") == ()
    assert await yanks(full) == {FIRST: True, SOURCE: True, SECOND: "leaks memory"}
    assert await yank(SDK, Selection(), False) == (FIRST, SOURCE, SECOND)
    assert await yank(SDK, Selection(), False) == ()
    assert await yanks(full) == {FIRST: False, SOURCE: False, SECOND: False}


async def test_a_project_can_be_yanked_and_deleted_from_whatever_its_status(full: House) -> None:
    await full.publishing.mark(SDK, "quarantined", None)
    assert await full.publishing.yank(SDK, Selection(version="1.1"), True) == (SECOND,)
    assert await full.publishing.delete(SDK, Selection(version="1.1"), dry_run=False) == (SECOND,)


# Deletions


async def test_what_is_deleted_does_not_come_back_and_its_name_stays_private(full: House) -> None:
    """The last file, and with it the project (D08)."""
    full.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    assert len(await full.publishing.delete(SDK, Selection(), dry_run=False)) == 3
    assert (await full.page("acme-sdk")).files == {}
    assert (await full.publishing.known())[0].state == "emptied"
    with pytest.raises(FileExists, match="previously used by a file that has since been deleted"):
        await full.upload("acme-sdk", FIRST, FIRST.encode())
    await full.upload("acme-sdk", "acme_sdk-2.0-py3-none-any.whl")
    assert full.upstream.asked == []


async def test_a_deleted_filename_may_be_used_again_only_where_an_operator_says_so(full: House) -> None:
    """Decision 6."""
    await full.publishing.delete(SDK, Selection(filename=FIRST), dry_run=False)
    await full.publishing.readmit(FIRST)
    await full.upload("acme-sdk", FIRST, b"other bytes")
    with pytest.raises(NotFound):
        await full.publishing.readmit(SECOND)


async def test_uploads_yanks_and_deletions_at_once_leave_what_one_after_the_other_would(house: House) -> None:
    """None of them works on a list of files that another one has changed meanwhile."""
    for minor in range(10):
        await house.upload("acme-sdk", f"acme_sdk-1.{minor}-py3-none-any.whl", str(minor).encode())
    whole = Selection()
    deleted, yank, late, *_ = await asyncio.gather(
        house.publishing.delete(SDK, Selection(version="1.3"), dry_run=False),
        house.publishing.yank(SDK, whole, True),
        house.publishing.delete(SDK, whole, dry_run=False),
        house.upload("acme-sdk", "acme_sdk-2.0-py3-none-any.whl", b"new"),
    )
    assert deleted == ("acme_sdk-1.3-py3-none-any.whl",)
    assert len(yank) == 9
    assert len(late) == 9
    assert list(await yanks(house)) == ["acme_sdk-2.0-py3-none-any.whl"]


# Names


async def test_reserving_a_name_asks_nobody_and_stops_who_is_asking(house: House) -> None:
    house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl")
    await house.page("acme-sdk")
    house.upstream.asked.clear()
    await house.publishing.reserve(SDK, now=NOW)
    assert house.upstream.withdrawn == ["acme-sdk"]
    assert (await house.page("acme-sdk")).files == {}
    await house.publishing.reserve(SDK, now=NOW + timedelta(days=1))
    await house.upload("acme-sdk", FIRST)
    assert house.upstream.asked == []
    assert house.upstream.withdrawn == ["acme-sdk"]
    assert await standing(house) == Standing(reserved=NOW)  # the first time counts


async def test_reserving_an_uploaded_name_leaves_its_status(full: House) -> None:
    await full.publishing.mark(SDK, "archived", "moved")
    await full.publishing.reserve(SDK, now=NOW)
    assert await standing(full) == Standing(status="archived", reason="moved", reserved=NOW)
    assert full.upstream.withdrawn == []
    await full.publishing.mark(SDK, "active", "")
    assert await standing(full) == Standing(reserved=NOW)


async def test_a_name_like_a_private_one_is_reserved_only_where_an_operator_insists(full: House) -> None:
    with pytest.raises(Forbidden, match="easily taken for acme-sdk"):
        await full.publishing.reserve(LIKE_SDK, now=NOW)
    assert await full.store.claimed() == {SDK}
    await full.publishing.reserve(LIKE_SDK, now=NOW, confusable=True)
    await full.publishing.reserve(LIKE_SDK, now=NOW)
    assert await full.store.claimed() == {SDK, LIKE_SDK}


async def test_an_overlaid_name_cannot_be_reserved(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(overlay=frozenset({NUMPY})))
    with pytest.raises(BadRequest, match=r"numpy is overlaid.*private\.overlay"):
        await house.publishing.reserve(NUMPY, now=NOW)
    assert await house.store.claimed() == frozenset()
    assert house.upstream.withdrawn == []


async def test_a_name_with_files_is_not_given_back(full: House) -> None:
    with pytest.raises(BadRequest):
        await full.publishing.release(SDK)
    with pytest.raises(NotFound):
        await full.publishing.release(NUMPY)
    await full.publishing.delete(SDK, Selection(), dry_run=False)
    await full.publishing.release(SDK)
    assert await full.publishing.known() == ()
    # What was deleted stays deleted, whoever has the name.
    with pytest.raises(FileExists):
        await full.upload("acme-sdk", FIRST, FIRST.encode())


async def test_only_a_private_name_can_be_marked(full: House) -> None:
    with pytest.raises(NotFound, match="No private project is called numpy here"):
        await full.publishing.mark(NUMPY, "archived", None)
    assert await full.store.standings() == {}


async def test_marking_it_as_it_is_changes_nothing(full: House) -> None:
    await full.publishing.mark(SDK, "active", None)
    assert await full.store.standings() == {}
    await full.publishing.mark(SDK, "deprecated", "old")
    before = await full.store.standings()
    await full.publishing.mark(SDK, "deprecated", "old")
    assert await full.store.standings() is before


async def test_what_is_known_of_each_name(full: House) -> None:
    await full.upload("emptied", "emptied-1.0-py3-none-any.whl")
    await full.publishing.delete(canonicalize_name("emptied"), Selection(), dry_run=False)
    await full.publishing.reserve(NUMPY, now=NOW)
    await full.publishing.mark(SDK, "archived", "moved")
    assert await full.publishing.known() == (
        Known(name=SDK, state="private", files=3, standing=Standing(status="archived", reason="moved")),
        Known(name=canonicalize_name("emptied"), state="emptied", files=0, standing=None),
        Known(name=NUMPY, state="reserved", files=0, standing=Standing(reserved=NOW)),
    )


async def test_without_an_index_nothing_is_asked_and_all_works(tmp_path: Path) -> None:
    house = House(tmp_path, index=False)
    await house.upload("acme-sdk", FIRST)
    await house.publishing.reserve(NUMPY, now=NOW)
    assert await house.store.claimed() == {SDK, NUMPY}
    assert (house.upstream.asked, house.upstream.withdrawn) == ([], [])


# Over a real store


async def opened(folder: Path) -> tuple[DiskStore, Publishing]:
    store = await asyncio.to_thread(DiskStore, folder / "state", now=lambda: NOW)
    return store, Publishing(store=store, names=store, upstream=None, policy=Policy())


async def put(store: DiskStore, publishing: Publishing, name: str, filename: str, body: bytes) -> None:
    path = store.incoming / f"{secrets.token_hex(8)}.part"
    path.write_bytes(body)
    await publishing.upload(canonicalize_name(name), file(filename, body), path, None)


async def test_all_that_was_changed_is_so_after_a_restart(tmp_path: Path) -> None:
    store, publishing = await opened(tmp_path)
    for filename in (FIRST, SOURCE, SECOND):
        await put(store, publishing, "acme-sdk", filename, filename.encode())
    await publishing.yank(SDK, Selection(version="1.0"), "leaks memory")
    await publishing.delete(SDK, Selection(filename=SOURCE), dry_run=False)
    await publishing.mark(SDK, "archived", "moved")
    await publishing.reserve(NUMPY, now=NOW)
    before = await publishing.known()
    await store.close()
    store, publishing = await opened(tmp_path)
    assert await publishing.known() == before
    assert [(name.name, name.state, name.files) for name in before] == [(SDK, "private", 2), (NUMPY, "reserved", 0)]
    assert {file.filename: file.yanked for file in await store.files(SDK)} == {FIRST: "leaks memory", SECOND: False}
    with pytest.raises(Forbidden, match="archived"):
        await put(store, publishing, "acme-sdk", "acme_sdk-2.0-py3-none-any.whl", b"new")
    await publishing.mark(SDK, "active", None)
    with pytest.raises(FileExists):
        await put(store, publishing, "acme-sdk", SOURCE, SOURCE.encode())
    await store.close()


async def test_of_many_at_once_each_sees_what_the_others_did(tmp_path: Path) -> None:
    """Names like each other, second sdists, and deletions of all that is there, each in its own order."""
    store, publishing = await opened(tmp_path)
    alike = ["acme-sdk", "acmesdk", "acm-esdk"]
    changes = [
        put(store, publishing, name, f"{name.replace('-', '_')}-{version}.tar.gz", f"{name}{version}".encode())
        for name in alike
        for version in ("1.0", "1.0.0", "1", "2.0")
    ]
    refused = await race(*changes)
    (taken,) = await store.claimed()
    assert len(await store.files(taken)) == 2
    assert len([said for said in refused if f"easily taken for {taken}" in said]) == 8
    assert len([said for said in refused if "Only one sdist" in said]) == 2
    gone, yanked = await asyncio.gather(
        publishing.delete(taken, Selection(version="2.0"), dry_run=False), publishing.yank(taken, Selection(), True)
    )
    assert (len(gone), len(yanked)) == (1, 1)
    deletions = await asyncio.gather(
        *(publishing.delete(taken, Selection(), dry_run=False) for _ in range(5)), return_exceptions=True
    )
    assert len([gone for gone in deletions if isinstance(gone, tuple)]) == 1
    assert len([error for error in deletions if isinstance(error, NotFound)]) == 4
    await store.close()


# Whoever asked is gone


class Slow(MemoryStore):
    """One whose thread goes on with what was begun, whoever waits for it, as DiskStore's does."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self._threads = set[asyncio.Task[None]]()

    async def add(
        self, name: NormalizedName, file: File, body: Path, metadata: bytes | None, *, provenance: bytes | None = None
    ) -> None:
        async def work() -> None:
            self.begun.set()
            await self.gate.wait()
            await MemoryStore.add(self, name, file, body, metadata, provenance=provenance)

        task = asyncio.create_task(work())
        self._threads.add(task)
        await asyncio.shield(task)


async def test_a_change_whose_asker_is_gone_is_finished_before_the_next_one_looks(tmp_path: Path) -> None:
    """Else two sources of a release would be here, and the index be asked about a name that is private."""
    store = Slow()
    house = House(tmp_path, store=store)
    upload = asyncio.create_task(house.upload("acme-sdk", SOURCE))
    await store.begun.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    next_one = asyncio.create_task(house.upload("acme-sdk", "acme_sdk-1.0.0.tar.gz", b"another"))
    for _ in range(100):
        await asyncio.sleep(0)  # as far as it gets
    store.gate.set()
    with pytest.raises(BadUpload, match="Only one sdist"):
        await next_one
    assert house.upstream.withdrawn == ["acme-sdk"]
    assert [file.filename for file in await store.files(SDK)] == [SOURCE]
