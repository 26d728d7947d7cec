"""Downloads: one transfer for all, resumed where it broke, and never a wrong file to its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import hashlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from proxy.download import Download, Downloads
from proxy.errors import BadDigest, MirrorFailed, NotFound, ProxyError, Unavailable, UpstreamDown
from proxy.fetch import HOLD
from proxy.leftovers import remove_stale_parts
from proxy.simple.model import File
from proxy.storage import Blob

from .fake_upstream import FakeSources, Line
from .fakes import MemoryCache, MemoryStore
from .make import file

BODY = random.Random(7).randbytes(1_000_000)
WRONG = bytes([BODY[0] ^ 1]) + BODY[1:]


def listed(body: bytes = BODY, **fields: object) -> File:
    return file("numpy-1.0-py3-none-any.whl", body, origin="pypi", url="https://mirror.example/numpy", **fields)


class House:
    """Downloads with their folder, cache and pins."""

    def __init__(self, folder: Path, *lines: Line, gate: asyncio.Event | None = None) -> None:
        self.folder = folder
        self.sources = FakeSources(list(lines), gate=gate)
        self.cache = MemoryCache()
        self.pins = MemoryStore()
        self.downloads = Downloads(folder, self.sources, self.cache, self.pins, tries=4, pause=lambda _: 0.0)

    async def obtain(self, wanted: File, sha256: str | None = None) -> Blob | Download:
        return await self.downloads.obtain(wanted, sha256 or wanted.sha256)

    async def read(self, wanted: File, sha256: str | None = None) -> bytes:
        """All that a client would get; raises what went wrong."""
        found = await self.obtain(wanted, sha256)
        if isinstance(found, Blob):
            with found.handle as handle:
                return await asyncio.to_thread(handle.read)
        return await follow(found)


async def follow(download: Download, into: bytearray | None = None) -> bytes:
    got = bytearray() if into is None else into
    while not (download.sha256 is not None and len(got) == download.ready):
        ready = await download.grown(len(got))
        handle = download.handle()
        got += os.pread(handle.fileno(), ready - len(got), len(got))
        handle.close()
    return bytes(got)


async def settled(house: House) -> None:
    """Until no download is under way."""
    while house.downloads.under_way:
        await asyncio.sleep(0)


async def test_a_right_file_arrives_whole_and_is_kept(tmp_path: Path) -> None:
    house = House(tmp_path, Line(BODY))
    assert await house.read(listed()) == BODY
    await settled(house)
    assert await house.read(listed()) == BODY
    assert len(house.sources.opened) == 1
    assert list(tmp_path.iterdir()) == []


async def test_many_clients_cost_one_transfer_and_late_comers_read_from_the_start(tmp_path: Path) -> None:
    gate = asyncio.Event()
    house = House(tmp_path, Line(BODY), gate=gate)
    first = await house.obtain(listed())
    others = [asyncio.create_task(house.read(listed())) for _ in range(20)]
    gate.set()
    assert isinstance(first, Download)
    await first.grown(0)
    late = asyncio.create_task(house.read(listed()))
    assert set(await asyncio.gather(*others, late)) == {BODY}
    assert len(house.sources.opened) == 1


async def test_a_download_goes_on_when_all_clients_leave(tmp_path: Path) -> None:
    gate = asyncio.Event()
    house = House(tmp_path, Line(BODY), gate=gate)
    reading = asyncio.create_task(house.read(listed()))
    await asyncio.sleep(0)
    reading.cancel()
    gate.set()
    await settled(house)
    assert hashlib.sha256(BODY).hexdigest() in house.cache.bodies


async def test_a_broken_line_is_taken_up_at_the_same_byte(tmp_path: Path) -> None:
    house = House(tmp_path, Line(BODY[:400_000], ends="breaks"), Line(BODY, mirror="two"))
    assert await house.read(listed()) == BODY
    assert [(mirror, offset) for mirror, offset, _ in house.sources.opened] == [("one", 0), ("two", 400_000)]
    assert house.sources.opened[1][2] == {"one"}  # the other one is asked first now


async def test_a_mirror_without_ranges_is_read_over(tmp_path: Path) -> None:
    house = House(tmp_path, Line(BODY[:400_000], ends="breaks"), Line(BODY, ignores_range=True))
    assert await house.read(listed()) == BODY


async def test_a_broken_download_is_resumed_after_a_restart(tmp_path: Path) -> None:
    before = House(tmp_path, Line(BODY[:400_000], ends="breaks"), Line(BODY, ends="opens not"))
    with pytest.raises(UpstreamDown):
        await before.read(listed())
    after = House(tmp_path, Line(BODY))
    assert await after.read(listed()) == BODY
    assert after.sources.opened == [("one", 400_000, frozenset())]


async def test_a_download_stopped_in_the_middle_is_resumed(tmp_path: Path) -> None:
    before = House(tmp_path, Line(BODY[:400_000], ends="stalls"))
    found = await before.obtain(listed())
    assert isinstance(found, Download)
    await found.grown(0)
    await before.downloads.close()
    with pytest.raises(Unavailable):
        await found.grown(found.ready)
    after = House(tmp_path, Line(BODY))
    assert await after.read(listed()) == BODY
    assert after.sources.opened == [("one", 400_000, frozenset())]


@pytest.mark.parametrize("place", [0, 500_000, len(BODY) - 1])
async def test_a_flipped_byte_never_arrives_in_a_whole_file_and_the_next_request_heals(
    tmp_path: Path, place: int
) -> None:
    evil = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
    house = House(tmp_path, Line(evil, mirror="liar"), Line(BODY, mirror="honest"))
    got = bytearray()
    found = await house.obtain(listed())
    assert isinstance(found, Download)
    with pytest.raises(BadDigest):
        await follow(found, got)
    assert len(got) == len(BODY) - 64 * 1024
    assert list(tmp_path.iterdir()) == []
    assert await house.read(listed()) == BODY
    assert house.sources.opened[1] == ("honest", 0, frozenset({"liar"}))


async def test_a_small_file_is_healed_before_any_client_sees_a_byte(tmp_path: Path) -> None:
    small = BODY[: 64 * 1024]
    house = House(tmp_path, Line(WRONG[: 64 * 1024], mirror="liar"), Line(small, mirror="honest"))
    assert await house.read(listed(small)) == small


async def test_a_body_longer_than_listed_is_cut_short(tmp_path: Path) -> None:
    house = House(tmp_path, Line(BODY + b"more"))
    with pytest.raises(MirrorFailed, match="more than"):
        await house.read(listed())


async def test_a_body_shorter_than_listed_is_no_file(tmp_path: Path) -> None:
    house = House(tmp_path, Line(BODY[:-1]))
    with pytest.raises(MirrorFailed, match="ended after"):
        await house.read(listed())


async def test_another_size_than_listed_is_refused_before_a_byte_is_taken(tmp_path: Path) -> None:
    for honest in (True, False):
        house = House(tmp_path, Line(BODY, "boaster", total=len(BODY) + 1), Line(BODY, "honest", total=len(BODY)))
        if honest:
            assert await house.read(listed()) == BODY
        else:
            house.sources.by_name.pop("honest")
            with pytest.raises(UpstreamDown, match="for a file of"):
                await house.read(listed(hashes={"md5": hashlib.md5(BODY).hexdigest()}))


async def test_a_page_that_lies_about_a_size_hides_no_file_whose_digest_it_tells(tmp_path: Path) -> None:
    for lie in (1, len(BODY) - 1, len(BODY) + 1, 10**12):
        told: list[int] = []

        async def resized(file: File, size: int, told: list[int] = told) -> None:
            told.append(size)

        house = House(tmp_path / str(lie), Line(BODY, total=len(BODY)), Line(BODY, "two", total=len(BODY)))
        downloads = Downloads(
            house.folder, house.sources, house.cache, house.pins, pause=lambda _: 0.0, resized=resized
        )
        found = await downloads.obtain(listed(size=lie), listed().sha256)
        assert isinstance(found, Download)
        assert await found.grown(len(BODY) - 1) == len(BODY)
        with found.handle() as handle:
            assert handle.read() == BODY
        assert told == [len(BODY)]
        await downloads.close()


async def test_a_file_without_any_hash_is_pinned_at_first_sight(tmp_path: Path) -> None:
    wanted = listed(hashes={})
    house = House(tmp_path, Line(BODY, total=len(BODY)))
    assert await house.read(wanted) == BODY
    pinned = await house.pins.pinned("pypi", f"{wanted.path}/{wanted.filename}")
    assert pinned == hashlib.sha256(BODY).hexdigest()
    later = House(tmp_path, Line(WRONG, total=len(BODY)))
    with pytest.raises(BadDigest):
        await later.read(wanted, pinned)


async def test_a_file_without_hash_and_size_cannot_be_had(tmp_path: Path) -> None:
    house = House(tmp_path, Line(BODY))
    with pytest.raises(MirrorFailed, match="neither size nor hash"):
        await house.read(listed(hashes={}, size=None))


async def test_a_file_without_a_hash_is_not_patched_together_from_two_lines(tmp_path: Path) -> None:
    half = Line(BODY[: HOLD // 2], ends="breaks", total=len(BODY))
    house = House(tmp_path, half, Line(BODY, total=len(BODY)))
    assert await house.read(listed(hashes={})) == BODY
    assert [offset for _, offset, _ in house.sources.opened] == [0, 0]


async def test_any_listed_hash_is_checked(tmp_path: Path) -> None:
    for name in ("md5", "sha512", "sha384"):
        wanted = listed(hashes={name: hashlib.new(name, BODY).hexdigest()})
        with pytest.raises(BadDigest):
            await House(tmp_path / f"{name}-wrong", Line(WRONG)).read(wanted)
        assert await House(tmp_path / f"{name}-right", Line(BODY)).read(wanted) == BODY


async def test_a_size_that_nobody_lists_is_learnt_from_the_mirror(tmp_path: Path) -> None:
    house = House(tmp_path, Line(BODY, total=len(BODY)))
    found = await house.obtain(listed(size=None))
    assert isinstance(found, Download)
    await found.grown(0)
    assert found.total == len(BODY)


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    assert await House(tmp_path, Line(b"")).read(listed(b"")) == b""


async def test_a_listed_file_that_no_mirror_has_is_not_found(tmp_path: Path) -> None:
    nowhere = Line(b"", ends="has it not"), Line(b"", mirror="two", ends="has it not")
    with pytest.raises(NotFound):
        await House(tmp_path, *nowhere).read(listed())
    with pytest.raises(UpstreamDown, match="three does not give it"):
        await House(tmp_path, *nowhere, Line(b"", mirror="three", ends="opens not")).read(listed())


async def test_a_cache_that_cannot_keep_a_file_costs_no_answer(tmp_path: Path) -> None:
    class Full(MemoryCache):
        async def adopt(self, sha256: str, body: Path) -> None:
            raise Unavailable("The disk is full.")

    house = House(tmp_path, Line(BODY))
    downloads = Downloads(tmp_path, house.sources, Full(), house.pins)
    found = await downloads.obtain(listed(), listed().sha256)
    assert isinstance(found, Download)
    assert await follow(found) == BODY


async def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / f"{listed().sha256}.part").symlink_to(victim)
    with pytest.raises(ProxyError):
        await House(parts, Line(BODY)).read(listed())
    assert victim.read_bytes() == b"precious"


def held_open(folder: Path) -> list[str]:
    """The files in *folder*, removed ones too, that this process has open."""
    found = list[str]()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [path for path in found if path.startswith(str(folder))]


async def test_a_file_that_does_not_fit_on_the_disk_leaves_its_room_to_others_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for garbage to be collected: a removed file that is open takes as much room as any."""
    written = 0

    def pwrite(fd: int, chunk: bytes, offset: int) -> int:
        nonlocal written
        written += len(chunk)
        if written > 500_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, chunk, offset)

    write = os.pwrite
    monkeypatch.setattr("proxy.part.os.pwrite", pwrite)
    house = House(tmp_path, Line(BODY))
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(Unavailable):
            await house.read(listed())
        await settled(house)
        assert written > 500_000
        assert list(tmp_path.iterdir()) == []
        assert held_open(tmp_path) == []
    finally:
        gc.enable()


async def test_stale_parts_are_removed_and_young_ones_kept(tmp_path: Path) -> None:
    cache = MemoryCache()
    cache.bodies["adopted"] = b"", 1000.0
    for name, age in (("old.part", 100), ("young.part", 0), ("unsure.new", 0), ("adopted.part", 0)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert await remove_stale_parts(tmp_path, cache, before=950) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["young.part"]


async def test_a_tidying_spares_what_is_coming_in(tmp_path: Path) -> None:
    gate = asyncio.Event()
    house = House(tmp_path, Line(BODY, total=len(BODY)), gate=gate)
    found = await house.obtain(listed(hashes={}))
    while not house.sources.opened:
        await asyncio.sleep(0)
    assert await house.downloads.tidy(before=float("inf")) == 0
    gate.set()
    assert isinstance(found, Download)
    assert await follow(found) == BODY
    await settled(house)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 200_000), max_size=5),
    flip=st.none() | st.integers(0, 199_999),
    ignores=st.booleans(),
)
def test_whatever_breaks_a_client_gets_the_right_file_or_none(
    tmp_path: Path, cuts: list[int], flip: int | None, ignores: bool
) -> None:
    body = BODY[:200_000]
    sent = body if flip is None else body[:flip] + bytes([body[flip] ^ 1]) + body[flip + 1 :]

    async def scenario() -> None:
        lines = [Line(sent[:cut], ends="breaks", ignores_range=ignores) for cut in sorted(cuts)]
        house = House(tmp_path, *lines, Line(sent, ignores_range=ignores))
        try:
            assert await house.read(listed(body)) == body
        except UpstreamDown:
            assert flip is not None or len(cuts) >= 4
        await settled(house)
        await house.downloads.close()
        for left in tmp_path.iterdir():
            left.unlink()

    asyncio.run(scenario())


async def test_room_is_made_for_what_comes_and_not_for_what_is_only_said_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    class Small(MemoryCache):
        async def make_room(self, size: int) -> None:
            made.append(size)

    monkeypatch.setattr("proxy.inlet.STEP", 400_000)
    monkeypatch.setattr("proxy.inlet.MOST", 1)  # each chunk waits for the one before
    house = House(tmp_path, Line(BODY, total=len(BODY)))
    downloads = Downloads(tmp_path, house.sources, Small(), house.pins, pause=lambda _: 0.0)
    found = await downloads.obtain(listed(), listed().sha256)
    assert isinstance(found, Download)
    assert await follow(found) == BODY
    assert made[0] == 400_000
    assert len(made) == 3
    assert len(BODY) <= sum(made) < len(BODY) + 400_000
    made.clear()
    liar = FakeSources([Line(BODY[:1000], ends="breaks", total=10**18)])
    downloads = Downloads(tmp_path / "liar", liar, Small(), house.pins, pause=lambda _: 0.0)
    found = await downloads.obtain(listed(BODY, size=10**18), listed().sha256)
    assert isinstance(found, Download)
    with pytest.raises(MirrorFailed):
        await follow(found)
    assert max(made) == 400_000


async def test_a_part_of_unknown_length_that_is_too_long_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / f"{listed().sha256}.part").write_bytes(BODY + b"too much")
    house = House(tmp_path, Line(BODY))
    assert await house.read(listed(size=None)) == BODY
    assert house.sources.opened[0][1] == 0


async def test_a_part_is_resumed_where_only_mirrors_tell_the_length(tmp_path: Path) -> None:
    """HTML pages list no sizes, and a wheel of gigabytes must not begin anew with every restart."""
    (tmp_path / f"{listed().sha256}.part").write_bytes(BODY[:400_000])
    house = House(tmp_path, Line(BODY, total=len(BODY)))
    assert await house.read(listed(size=None)) == BODY
    assert house.sources.opened[0][1] == 400_000


async def test_a_part_of_unknown_length_outlives_an_outage(tmp_path: Path) -> None:
    class Dead(FakeSources):
        async def measure(self, file: File) -> int | None:
            raise UpstreamDown("No mirror tells.")

    part = tmp_path / f"{listed().sha256}.part"
    part.write_bytes(BODY[:400_000])
    house = House(tmp_path)
    downloads = Downloads(tmp_path, Dead([]), house.cache, house.pins)
    found = await downloads.obtain(listed(size=None), listed().sha256)
    assert isinstance(found, Download)
    with pytest.raises(UpstreamDown):
        await found.grown(0)
    assert part.stat().st_size == 400_000


async def test_a_whole_part_of_unknown_length_is_not_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / f"{listed().sha256}.part").write_bytes(BODY)
    house = House(tmp_path, Line(b"", ends="opens not"))
    assert await house.read(listed(size=None)) == BODY
    assert house.sources.opened == []


async def test_only_so_many_files_come_in_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.download.MOST", 1)
    gate = asyncio.Event()
    house = House(tmp_path, Line(BODY), gate=gate)
    await house.obtain(listed())
    await house.obtain(listed())
    with pytest.raises(Unavailable, match="being fetched"):
        await house.obtain(listed(b"another"))
    gate.set()
    await settled(house)
    await house.downloads.close()


async def test_what_comes_in_of_a_name_that_becomes_private_is_stopped_and_no_other_mirror_is_asked(
    tmp_path: Path,
) -> None:
    """D04."""
    stalled = Line(BODY[:300_000], "one", ends="stalls", total=len(BODY))
    house = House(tmp_path, stalled, Line(BODY, "two"))
    download = await house.obtain(listed())
    assert isinstance(download, Download)
    followed = asyncio.create_task(follow(download))
    await download.grown(0)
    house.downloads.withdraw(canonicalize_name("num"))
    assert not download.ended
    house.downloads.withdraw(canonicalize_name("numpy"))
    with pytest.raises(UpstreamDown, match="private here now"):
        await followed
    while house.downloads.under_way:
        await asyncio.sleep(0.01)
    assert [name for name, _, _ in house.sources.asked] == ["one"]
    assert list(tmp_path.iterdir()) == []


async def test_what_is_looked_at_of_a_name_that_becomes_private_is_asked_no_longer(tmp_path: Path) -> None:
    house = House(tmp_path, Line(BODY), gate=asyncio.Event())
    looking = asyncio.create_task(house.downloads.glimpse(listed(), 1000, 2000))
    while not house.sources.asked:
        await asyncio.sleep(0)
    house.downloads.withdraw(canonicalize_name("numpy"))
    with pytest.raises(UpstreamDown, match="not asked for any more"):
        await asyncio.wait_for(looking, 5)
