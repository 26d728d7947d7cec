"""The metadata of a wheel that is elsewhere: which bytes of it are asked for, and what is made of them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import struct
import threading
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.archive import RemoteWheel, peek_metadata
from proxy.archive.remote import MOST_BYTES, MOST_PARTS, STEP, TAIL, Part
from proxy.download import Downloads, read_whole
from proxy.errors import BadUpload, MirrorFailed, NotFound, ProxyError, UpstreamDown
from proxy.simple.model import File
from proxy.simple.names import parse_name
from proxy.transfers import Transfer
from proxy.upstream.metadata import LEAST, LIFE, MAX_HEAD, Core, OwnReading, Readings, WithOwnReadings

from . import make
from .fakes import MemoryCache, MemoryStore
from .test_mirrors import mirror_set, public
from .upstream_server import UpstreamServer

WHEEL = "acme-1.0-py3-none-any.whl"
INFO = "acme-1.0.dist-info"
CORE = make.metadata("acme", "1.0", requires=("other>=2",))


def zipped(
    metadata: bytes = CORE,
    *,
    before: int = 0,
    between: int = 0,
    files: int = 0,
    compression: int = zipfile.ZIP_STORED,
    wide: bool = False,
    change: Callable[[zipfile.ZipFile], None] | None = None,
) -> bytes:
    """A wheel with *before* bytes ahead of the METADATA, *between* behind it, and *files* more in its directory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("acme/before.bin", b"b" * before)
        info = zipfile.ZipInfo(f"{INFO}/METADATA")
        info.compress_type = compression
        with archive.open(info, "w", force_zip64=wide) as member:
            member.write(metadata)
        archive.writestr("acme/between.bin", b"n" * between)
        for number in range(files):
            archive.writestr(f"acme/{number:05}.py", b"")
        archive.writestr(f"{INFO}/WHEEL", b"Wheel-Version: 1.0\n")
        archive.writestr(f"{INFO}/RECORD", b"")
        if change:
            change(archive)
    return buffer.getvalue()


def remote(body: bytes, filename: str = WHEEL, *, size: int | None = None) -> tuple[bytes, list[Part]]:
    """What a RemoteWheel makes of *body*, said to have *size* bytes, and the parts that it asked for."""
    wheel, parts = RemoteWheel(filename, len(body) if size is None else size), list[Part]()
    while isinstance(found := wheel.metadata(), Part):
        parts.append(found)
        assert len(parts) <= MOST_PARTS
        wheel.put(found, body[found.begin : found.end])
    return found, parts


def refused(body: bytes, *, match: str, size: int | None = None) -> None:
    with pytest.raises(BadUpload, match=match):
        remote(body, size=size)


# Which bytes are needed


def test_the_tail_of_a_usual_wheel_is_enough() -> None:
    for body in (zipped(before=10_000_000), zipped(before=TAIL, compression=zipfile.ZIP_DEFLATED), zipped()):
        found, parts = remote(body)
        assert found == CORE
        assert parts == [Part(max(0, len(body) - TAIL), len(body))]


def test_metadata_that_lies_far_from_the_end_costs_one_part_more() -> None:
    body = zipped(before=500_000, between=500_000)
    found, parts = remote(body)
    assert found == CORE
    at = body.index(b"PK\3\4", 100)
    assert parts[1:] == [Part(at, at + STEP)]


def test_a_long_directory_is_asked_for_from_its_beginning() -> None:
    body = zipped(before=1_000_000, files=3000)
    found, parts = remote(body)
    assert found == CORE
    directory = body.index(b"PK\1\2")
    assert parts[1] == Part(directory, parts[0].begin)
    assert sum(part.end - part.begin for part in parts) < 400_000


def test_long_metadata_is_asked_for_whole() -> None:
    core = CORE + b"x" * 300_000
    found, parts = remote(zipped(core, before=300_000, between=300_000))
    assert found == core
    assert len(parts) <= 3


def test_a_wheel_in_zip64_is_read() -> None:
    body = zipped(before=300_000, wide=True)
    # The end as a writer of more than 65,535 members has it.
    end = body.rfind(b"PK\5\6")
    _, _, _, _, count, size, start, _ = struct.unpack("<4s4H2IH", body[end:])
    wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    body = body[:end] + wide + locator + last
    assert zipfile.ZipFile(io.BytesIO(body)).read(f"{INFO}/METADATA") == CORE
    assert remote(body)[0] == CORE


@settings(deadline=None)  # zipfile takes its time over many members
@given(
    metadata=st.binary(max_size=3000).map(lambda rest: CORE + rest),
    before=st.integers(0, 3 * TAIL),
    between=st.integers(0, 3 * TAIL),
    files=st.integers(0, 800),
    compression=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    wide=st.booleans(),
)
def test_what_is_read_from_afar_is_what_zipfile_reads(
    metadata: bytes, before: int, between: int, files: int, compression: int, wide: bool
) -> None:
    body = zipped(metadata, before=before, between=between, files=files, compression=compression, wide=wide)
    found, parts = remote(body)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.read(f"{INFO}/METADATA") == found
    assert found == peek_metadata(io.BytesIO(body), WHEEL)
    assert sum(part.end - part.begin for part in parts) <= MOST_BYTES
    assert all(0 <= part.begin < part.end <= len(body) for part in parts)


# Hostile ones


def test_what_is_no_wheel_is_refused() -> None:
    refused(b"<!DOCTYPE html>" * 10_000, match="not a zip archive")
    refused(b"", match="not a zip archive")
    refused(b"PK\5\6", match="not a zip archive")


def test_a_wheel_that_is_not_as_long_as_said_is_refused() -> None:
    body = zipped(before=200_000)
    refused(body, match="not as long", size=len(body) + 100)
    refused(body, match="not a zip archive|something behind", size=len(body) - 1)


def test_a_wheel_of_two_dist_infos_tells_nothing() -> None:
    refused(zipped(change=lambda archive: archive.writestr("other-1.0.dist-info/METADATA", CORE)), match="one .dist-")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_metadata_in_one_wheel_tell_nothing() -> None:
    refused(zipped(change=lambda archive: archive.writestr(f"{INFO}/METADATA", b"Name: x\n")), match="two members")


@pytest.mark.parametrize("offset", [0, 1, 0x7FFFFFFF, 0xFFFFFFFE])
def test_a_lying_offset_leads_nowhere(offset: int) -> None:
    body = zipped(before=300_000)
    entry = body.rindex(b"PK\1\2", 0, body.rindex(f"{INFO}/METADATA".encode()))
    lying = body[: entry + 42] + struct.pack("<I", offset) + body[entry + 46 :]
    refused(lying, match="contradict|cut off")


def test_a_directory_that_would_cost_megabytes_is_not_fetched() -> None:
    size = 5 * 2**20
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0)
    wheel = RemoteWheel(WHEEL, size + len(tail))
    part = wheel.metadata()
    assert isinstance(part, Part)
    wheel.put(part, (bytes(TAIL) + tail)[-TAIL:])
    with pytest.raises(BadUpload, match="much of the wheel"):
        wheel.metadata()


def test_a_bomb_does_not_go_off() -> None:
    body = zipped(CORE + bytes(50_000_000), compression=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        refused(body, match="longer than")
        refused(body.replace(struct.pack("<I", len(CORE) + 50_000_000), struct.pack("<I", 5000)), match="checksum")
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


@given(st.data())
def test_no_changed_bytes_bring_anything_but_metadata_or_bad_upload(data: st.DataObject) -> None:
    body = bytearray(zipped(before=100, compression=zipfile.ZIP_DEFLATED))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found, _ = remote(bytes(body))
    except BadUpload:
        return
    assert found == CORE


# What a METADATA says


def test_metadata_of_something_else_is_not_believed() -> None:
    assert Core.read(CORE, WHEEL).requires == ("other>=2",)
    assert Core.read(make.metadata("ACME", "1"), "Acme-1.0.0-1-py3-none-any.whl").requires == ()
    for wrong in (make.metadata("other", "1.0"), make.metadata("acme", "1.1"), b"", b"Name: acme\n\nVersion: 1.0\n"):
        with pytest.raises(NotFound, match="something else"):
            Core.read(wrong, WHEEL)
    with pytest.raises(NotFound, match="too long"):
        Core.read(CORE.replace(b"Summary:", b"Summary: " + b"x" * MAX_HEAD), WHEEL)


def test_a_description_is_no_requirement() -> None:
    assert Core.read(CORE + b"\nRequires-Dist: evil\n", WHEEL).requires == ("other>=2",)
    windows = CORE.replace(b"\n", b"\r\n") + b"\r\n\r\nRequires-Dist: evil\r\n"
    assert Core.read(windows, WHEEL).requires == ("other>=2",)


@given(st.binary(max_size=500))
def test_no_bytes_break_the_reader_of_metadata(rest: bytes) -> None:
    for metadata in (rest, b"Name: acme\nVersion: 1.0\nRequires-Dist: " + rest):
        try:
            Core.read(metadata, WHEEL)
        except NotFound:
            continue


# Readings


@dataclass
class Shelf:
    """Wheels somewhere else: satisfies metadata.Wheels."""

    bodies: dict[str, bytes]
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    measured: int = 0
    error: ProxyError | None = None
    gate: asyncio.Event | None = None
    gives_parts: bool = True
    lies: dict[str, bytes] = field(default_factory=dict)
    """What is given parts of in place of what it should be."""

    async def glimpse(self, file: File, begin: int, end: int, *, whole: bool) -> bytes:
        if not self.gives_parts and not whole:
            raise NotFound("No mirror gives parts.")
        self.asked.append((file.filename, begin, end))
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.lies.get(file.filename, self.bodies[file.filename])[begin:end]

    async def measure(self, file: File) -> int | None:
        self.measured += 1
        return len(self.bodies[file.filename])

    def arriving(self, file: File) -> None:
        return None


@dataclass
class Clock:
    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


def wheel(body: bytes, filename: str = WHEEL, **fields: object) -> File:
    return make.file(filename, body, **{"origin": "pypi", "url": f"https://mirror.example/{filename}", **fields})


async def test_a_wheel_is_read_once_however_many_ask() -> None:
    body = zipped(before=500_000)
    shelf = Shelf({WHEEL: body}, gate=asyncio.Event())
    readings = Readings(shelf, MemoryCache(), clock=Clock())
    asking = [asyncio.create_task(readings.own(wheel(body))) for _ in range(5)]
    while not shelf.asked:
        await asyncio.sleep(0)
    asking.pop().cancel()  # who leaves takes nothing from the others
    assert shelf.gate is not None
    shelf.gate.set()
    assert await asyncio.gather(*asking) == [CORE] * 4
    assert await readings.own(wheel(body)) == CORE
    assert len(shelf.asked) == 1


async def test_a_size_that_is_not_listed_is_asked_for() -> None:
    body = zipped(before=500_000)
    shelf = Shelf({WHEEL: body})
    assert await Readings(shelf, MemoryCache(), clock=Clock()).own(wheel(body, size=None)) == CORE
    assert (shelf.measured, len(shelf.asked)) == (1, 1)


async def test_a_wheel_that_is_here_is_read_here(tmp_path: Path) -> None:
    body, cache, shelf = zipped(before=500_000), MemoryCache(), Shelf({})
    (tmp_path / "body").write_bytes(body)
    await cache.adopt(hashlib.sha256(body).hexdigest(), tmp_path / "body")
    assert await Readings(shelf, cache, clock=Clock()).own(wheel(body)) == CORE
    assert shelf.asked == []


async def test_a_wheel_that_tells_nothing_is_left_alone_for_a_while() -> None:
    body, clock = zipped(make.metadata("other", "9")), Clock()
    shelf = Shelf({WHEEL: body})
    readings = Readings(shelf, MemoryCache(), clock=clock)
    for _ in range(3):
        with pytest.raises(NotFound, match="something else"):
            await readings.own(wheel(body), whole=False)
    assert len(shelf.asked) == 1
    clock.time += LIFE + 1
    with pytest.raises(NotFound):
        await readings.own(wheel(body), whole=False)
    assert len(shelf.asked) == 2


async def test_an_outage_is_not_remembered_as_an_answer() -> None:
    body = zipped()
    shelf = Shelf({WHEEL: body}, error=UpstreamDown("No mirror."))
    readings = Readings(shelf, MemoryCache(), clock=Clock())
    with pytest.raises(UpstreamDown):
        await readings.own(wheel(body))
    shelf.error = None
    assert await readings.own(wheel(body)) == CORE


async def test_a_broken_zip_is_no_answer_either() -> None:
    shelf = Shelf({WHEEL: b"<html>" * 100})
    with pytest.raises(NotFound, match="tells no metadata"):
        await Readings(shelf, MemoryCache(), clock=Clock()).own(wheel(shelf.bodies[WHEEL]))


async def test_a_wheel_of_which_no_part_is_to_be_had_is_fetched_for_those_who_wait_alone() -> None:
    shelf = Shelf({WHEEL: zipped()}, gives_parts=False)
    readings = Readings(shelf, MemoryCache(), clock=Clock())
    with pytest.raises(NotFound, match="parts"):
        await readings.own(wheel(zipped()), whole=False)
    assert await readings.own(wheel(zipped())) == CORE


async def test_who_is_stopped_before_a_thread_is_free_leaves_no_file_open() -> None:
    cache, free = MemoryCache(), threading.Event()
    cache.bodies["ab"] = b"metadata", 0.0
    blob = await cache.open("ab")
    assert blob is not None
    with ThreadPoolExecutor(1) as only:
        asyncio.get_running_loop().set_default_executor(only)
        only.submit(free.wait)
        reading = asyncio.create_task(read_whole(blob))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        free.set()
        await asyncio.to_thread(len, "")  # behind it in the one thread
    assert blob.handle.closed


async def test_memory_holds_no_more_than_it_may() -> None:
    names = [f"acme{number}-1.0-py3-none-any.whl" for number in range(4)]
    bodies = {name: make.wheel(name.partition("-")[0], "1.0")[1] for name in names}
    shelf = Shelf(bodies)
    readings = Readings(shelf, MemoryCache(), clock=Clock(), memory=2 * (LEAST + len(make.metadata("acme0", "1.0"))))
    for _ in range(2):
        for name in names:
            await readings.own(wheel(bodies[name], name))
    assert len(shelf.asked) == 8
    await readings.own(wheel(bodies[names[3]], names[3]))
    await readings.own(wheel(bodies[names[2]], names[2]))
    assert len(shelf.asked) == 8


async def test_a_withdrawn_name_is_read_no_more() -> None:
    body = zipped()
    shelf = Shelf({WHEEL: body}, gate=asyncio.Event())
    readings = Readings(shelf, MemoryCache(), clock=Clock())
    asking = asyncio.create_task(readings.own(wheel(body)))
    while not shelf.asked:
        await asyncio.sleep(0)
    readings.withdraw(parse_name("other"))
    readings.withdraw(parse_name("acme"))
    with pytest.raises(UpstreamDown, match="any more"):
        await asking
    await readings.close()


# As a place for the `.metadata` beside a wheel


@dataclass
class Mirror:
    """A place that answers for every file alike."""

    name: str
    body: bytes | None = None
    asked: int = 0
    busy: bool = False

    @asynccontextmanager
    async def transfer(self, *, begin: int, end: int | None) -> AsyncIterator[Transfer]:
        self.asked += 1
        if self.body is None:
            raise NotFound(f"{self.name} has no such file.")
        yield Transfer(mirror=self.name, begin=begin, total=len(self.body), chunks=self._chunks(self.body[begin:end]))

    async def _chunks(self, body: bytes) -> AsyncIterator[bytes]:
        yield body


@dataclass
class Mirrors:
    """Sources of as many mirrors."""

    mirrors: Sequence[Mirror]

    def places(self, file: File, *, avoid: frozenset[str]) -> list[Mirror]:
        return sorted(self.mirrors, key=lambda mirror: mirror.name in avoid)

    async def measure(self, file: File) -> int | None:
        for mirror in self.mirrors:
            if mirror.body is not None:
                return len(mirror.body)
        raise NotFound("No mirror has it.")


@dataclass
class Site:
    """Downloads whose sources can read wheels."""

    downloads: Downloads
    shelf: Shelf
    mirrors: Sequence[Mirror]
    differing: list[File]


@asynccontextmanager
async def site(folder: Path, body: bytes, *mirrors: Mirror) -> AsyncIterator[Site]:
    shelf, differing = Shelf({WHEEL: body}), list[File]()
    readings = Readings(shelf, MemoryCache(), clock=Clock())
    sources = WithOwnReadings(Mirrors(mirrors), readings.own, at_hand=readings.at_hand, differs=differing.append)
    downloads = Downloads(folder, sources, MemoryCache(), MemoryStore(), pause=lambda _: 0.0)
    try:
        yield Site(downloads, shelf, mirrors, differing)
    finally:
        await downloads.close()
        await readings.close()


def listed(metadata: bytes) -> dict[str, str]:
    return {"sha256": hashlib.sha256(metadata).hexdigest()}


async def test_metadata_that_no_mirror_has_comes_out_of_the_wheel(tmp_path: Path) -> None:
    body = zipped(before=300_000)
    async with site(tmp_path, body, Mirror("one"), Mirror("two")) as here:
        promised = wheel(body, core_metadata=listed(CORE)).sibling()
        assert await read_whole(await here.downloads.obtain(promised, promised.sha256)) == CORE
        assert [mirror.asked for mirror in here.mirrors] == [1, 1]
        assert len(here.shelf.asked) == 1
        assert here.differing == []


async def test_a_mirror_that_has_the_metadata_is_believed_first(tmp_path: Path) -> None:
    body = zipped()
    async with site(tmp_path, body, Mirror("one"), Mirror("two", CORE)) as here:
        promised = wheel(body, core_metadata=listed(CORE)).sibling()
        assert await read_whole(await here.downloads.obtain(promised, promised.sha256)) == CORE
        assert here.shelf.asked == []


async def test_a_mirror_with_other_metadata_than_listed_is_healed_from_the_wheel(tmp_path: Path) -> None:
    body = zipped()
    async with site(tmp_path, body, Mirror("one", b"Name: another\n")) as here:
        promised = wheel(body, core_metadata=listed(CORE)).sibling()
        assert await read_whole(await here.downloads.obtain(promised, promised.sha256)) == CORE
        assert here.mirrors[0].asked == 1


async def test_a_page_that_lists_a_wrong_digest_is_reported_and_the_client_told_to_come_again(tmp_path: Path) -> None:
    body = zipped()
    async with site(tmp_path, body, Mirror("one")) as here:
        promised = wheel(body, core_metadata=listed(b"something else"))
        with pytest.raises(UpstreamDown, match="not what the page lists"):
            await read_whole(await here.downloads.obtain(promised.sibling(), promised.sibling().sha256))
        assert here.differing == [promised]


async def test_healed_metadata_is_asked_of_no_mirror(tmp_path: Path) -> None:
    body = zipped()
    async with site(tmp_path, body, Mirror("one", b"junk")) as here:
        healed = wheel(body, core_metadata=listed(CORE), healed=True).sibling()
        assert await read_whole(await here.downloads.obtain(healed, healed.sha256)) == CORE
        assert await here.downloads.measure(healed) == len(CORE)
        assert here.mirrors[0].asked == 0


async def test_what_is_promised_is_never_called_absent(tmp_path: Path) -> None:
    body = b"<html>" * 100
    async with site(tmp_path, body, Mirror("one")) as here:
        promised = wheel(body, core_metadata=listed(CORE)).sibling()
        with pytest.raises(UpstreamDown, match="tells no metadata"):
            await read_whole(await here.downloads.obtain(promised, promised.sha256))


async def test_the_size_of_promised_metadata_is_told_by_whoever_has_it(tmp_path: Path) -> None:
    body = zipped()
    promised = wheel(body, core_metadata=True).sibling()
    async with site(tmp_path, body, Mirror("one", CORE + b"\n")) as here:
        assert await here.downloads.measure(promised) == len(CORE) + 1
    async with site(tmp_path, body, Mirror("one")) as here:
        assert await here.downloads.measure(promised) == len(CORE)


async def test_what_is_no_wheel_has_no_reading_of_ours(tmp_path: Path) -> None:
    async with site(tmp_path, b"", Mirror("one")) as here:
        for file in (
            make.file("acme-1.0.tar.gz", core_metadata=True, origin="pypi").sibling(),
            make.file(WHEEL, origin="pypi"),
        ):
            with pytest.raises(NotFound):
                await read_whole(await here.downloads.obtain(file, file.sha256))
            with pytest.raises(NotFound):
                await here.downloads.measure(file)


async def test_a_part_of_our_own_reading_can_be_had() -> None:
    body = zipped()

    async def own(_: File) -> bytes:
        return CORE

    place = OwnReading(wheel=wheel(body, core_metadata=True), own=own, differs=lambda _: None)
    async with place.transfer(begin=5, end=9) as transfer:
        assert (transfer.begin, transfer.total) == (5, len(CORE))
        assert b"".join([chunk async for chunk in transfer.chunks]) == CORE[5:9]

    async def fails(_: File) -> bytes:
        raise UpstreamDown("No mirror.")

    with pytest.raises(MirrorFailed, match=r"No mirror\."):
        async with replace(place, own=fails).transfer(begin=0, end=None):
            pass


# Over real sockets


async def test_no_whole_wheel_is_fetched_for_its_metadata(tmp_path: Path) -> None:
    """Two mirrors without `.metadata` and sizes, the first of which lacks the file: a tail of it is all that comes."""
    body = zipped(before=3_000_000, compression=zipfile.ZIP_STORED)
    async with UpstreamServer(kind="html") as one, UpstreamServer(kind="html") as two, mirror_set(one, two) as mirrors:
        item = two.publish("acme", WHEEL, body)
        one.publish("acme", WHEEL, body)
        one.fault(f"/packages/{item.path}", status=404)
        answer = await mirrors.page(public("acme"), None)
        assert answer.project is not None
        listed = answer.project.files[WHEEL]
        assert (listed.size, listed.core_metadata) == (None, False)

        async def own(file: File) -> bytes:
            return await readings.own(file)

        sources = WithOwnReadings(mirrors, own, at_hand=lambda wheel: readings.at_hand(wheel), differs=lambda _: None)
        downloads = Downloads(tmp_path, sources, MemoryCache(), MemoryStore(), pause=lambda _: 0.0)
        readings = Readings(downloads, MemoryCache(), clock=Clock())
        promised = msgspec.structs.replace(
            listed, core_metadata={"sha256": hashlib.sha256(CORE).hexdigest()}, healed=True
        ).sibling()
        assert list(await asyncio.gather(readings.own(listed), readings.own(listed))) == [CORE, CORE]
        assert await read_whole(await downloads.obtain(promised, promised.sha256)) == CORE
        # Nor does a client cost a question who reads the wheel's end as we did.
        assert await downloads.glimpse(listed, len(body) - 16_384, len(body)) == body[-16_384:]
        await downloads.close()
        await readings.close()
        asked = [*one.asked("/packages/"), *two.asked("/packages/")]
        assert {request.headers.get("range") for request in asked} == {
            "bytes=0-0",
            f"bytes={len(body) - TAIL}-{len(body) - 1}",
        }
        assert len(two.asked("/packages/")) == 2
        assert not [request for request in asked if request.path.endswith(".metadata")]


async def test_promised_metadata_that_no_mirror_has_costs_a_tail(tmp_path: Path) -> None:
    """F2: the pages promise a `.metadata`, and every mirror answers 404 to it."""
    body = zipped(before=3_000_000)
    async with UpstreamServer() as one, UpstreamServer() as two, mirror_set(one, two) as mirrors:
        for up in (one, two):
            up.publish("acme", WHEEL, body, core_metadata={"sha256": hashlib.sha256(CORE).hexdigest()})
        answer = await mirrors.page(public("acme"), None)
        assert answer.project is not None

        async def own(file: File) -> bytes:
            return await readings.own(file)

        sources = WithOwnReadings(mirrors, own, at_hand=lambda wheel: readings.at_hand(wheel), differs=lambda _: None)
        downloads = Downloads(tmp_path, sources, MemoryCache(), MemoryStore(), pause=lambda _: 0.0)
        readings = Readings(downloads, MemoryCache(), clock=Clock())
        promised = answer.project.files[WHEEL].sibling()
        assert await read_whole(await downloads.obtain(promised, promised.sha256)) == CORE
        await downloads.close()
        await readings.close()
        asked = [*one.asked("/packages/"), *two.asked("/packages/")]
        assert sum(request.path.endswith(".metadata") for request in asked) == 2
        assert [request.headers.get("range") for request in asked if request.path.endswith(".whl")] == [
            f"bytes={len(body) - TAIL}-{len(body) - 1}"
        ]


async def test_a_mirror_that_knows_no_parts_is_asked_for_the_whole_only_where_somebody_waits(tmp_path: Path) -> None:
    body = zipped(before=300_000)
    async with UpstreamServer() as one, mirror_set(one) as mirrors:
        one.publish("acme", WHEEL, body)
        one.fault("/packages/", ignores_range=True)
        answer = await mirrors.page(public("acme"), None)
        assert answer.project is not None
        listed = answer.project.files[WHEEL]
        downloads = Downloads(tmp_path, mirrors, MemoryCache(), MemoryStore(), pause=lambda _: 0.0)
        readings = Readings(downloads, MemoryCache(), clock=Clock())
        with pytest.raises(NotFound, match="a part"):
            await readings.own(listed, whole=False)
        assert downloads.under_way == 0
        assert await readings.own(listed) == CORE
        await downloads.close()
        await readings.close()
