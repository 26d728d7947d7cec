"""What every Store must do.  Subclass it with the fixtures `store` and `incoming`."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from pathlib import Path
from typing import Protocol

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from proxy.errors import FileExists, NotFound
from proxy.simple.model import File
from proxy.storage import Blob, Names, Pins, PrivateFiles

from ..make import NOON, file

ACME = canonicalize_name("acme")
OTHER = canonicalize_name("other")
WHEEL = "acme-1.0-py3-none-any.whl"
CORE = b"Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n"


class Store(PrivateFiles, Names, Pins, Protocol):
    """All that a Store is."""


def described(filename: str, body: bytes, metadata: bytes | None = None, **fields: object) -> File:
    """What an upload of *body* gives the store: a private File without a time."""
    core = {"sha256": hashlib.sha256(metadata).hexdigest()} if metadata is not None else False
    return file(filename, body, upload_time=None, core_metadata=core, **fields)


def spooled(incoming: Path, body: bytes) -> Path:
    """*body* as a file that has just come in."""
    path = incoming / f"{secrets.token_hex(8)}.part"
    path.write_bytes(body)
    return path


async def add(
    store: Store,
    incoming: Path,
    *,
    filename: str = WHEEL,
    body: bytes = b"wheel",
    metadata: bytes | None = CORE,
    name: NormalizedName = ACME,
) -> File:
    """Upload *body*; what the store was told about it."""
    told = described(filename, body, metadata, requires_python=">=3.8")
    await store.add(name, told, spooled(incoming, body), metadata)
    return told


def drained(blob: Blob) -> bytes:
    """All bytes of *blob*, whose handle is closed then."""
    with blob.handle as handle:
        return handle.read()


class StoreContract:
    async def test_a_new_store_is_empty(self, store: Store) -> None:
        assert await store.claimed() == frozenset()
        assert await store.files(ACME) == ()

    async def test_what_was_added_is_listed_as_told_with_the_time_of_receipt(
        self, store: Store, incoming: Path
    ) -> None:
        told = await add(store, incoming)
        (listed,) = await store.files(ACME)
        assert listed.upload_time == NOON
        assert (listed.filename, listed.path, listed.size) == (told.filename, told.path, told.size)
        assert (listed.hashes, listed.requires_python) == (told.hashes, ">=3.8")
        assert listed.core_metadata == told.core_metadata
        assert listed.private
        assert listed.yanked is False

    async def test_files_are_listed_by_filename_and_by_project(self, store: Store, incoming: Path) -> None:
        for number in (2, 1, 3):
            await add(store, incoming, filename=f"acme-{number}.tar.gz", body=str(number).encode(), metadata=None)
        await add(store, incoming, filename="other-1.tar.gz", body=b"other", metadata=None, name=OTHER)
        names = [listed.filename for listed in await store.files(ACME)]
        assert names == ["acme-1.tar.gz", "acme-2.tar.gz", "acme-3.tar.gz"]
        assert [listed.filename for listed in await store.files(OTHER)] == ["other-1.tar.gz"]

    async def test_what_was_added_is_opened_with_its_facts(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        (listed,) = await store.files(ACME)
        blob = await store.open(listed)
        assert (blob.size, blob.sha256, blob.modified) == (5, listed.sha256, NOON.timestamp())
        assert drained(blob) == b"wheel"

    async def test_the_metadata_stands_beside_byte_for_byte(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        (listed,) = await store.files(ACME)
        blob = await store.open(listed.sibling())
        assert (blob.size, blob.sha256) == (len(CORE), hashlib.sha256(CORE).hexdigest())
        assert drained(blob) == CORE

    async def test_no_metadata_is_opened_beside_what_came_without(self, store: Store, incoming: Path) -> None:
        told = await add(store, incoming, filename="acme-1.tar.gz", metadata=None)
        with pytest.raises(NotFound):
            await store.open(file("acme-1.tar.gz.metadata", path=told.path))

    async def test_opening_what_was_never_added_is_not_found(self, store: Store, incoming: Path) -> None:
        with pytest.raises(NotFound):
            await store.open(described(WHEEL, b"wheel"))
        await add(store, incoming)
        with pytest.raises(NotFound):
            await store.open(described(WHEEL, b"other bytes of that name"))

    async def test_an_empty_file_is_a_file(self, store: Store, incoming: Path) -> None:
        await add(store, incoming, filename="acme-0.tar.gz", body=b"", metadata=None)
        (listed,) = await store.files(ACME)
        assert drained(await store.open(listed)) == b""

    async def test_the_body_leaves_the_incoming_folder_however_it_ends(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        await add(store, incoming)
        with pytest.raises(FileExists):
            await add(store, incoming, body=b"other")
        assert list(incoming.iterdir()) == []

    async def test_the_same_bytes_again_change_nothing(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        before = await store.files(ACME), await store.claimed()
        await add(store, incoming)
        assert (await store.files(ACME), await store.claimed()) == before

    async def test_a_filename_is_never_given_to_other_bytes(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        with pytest.raises(FileExists, match=r"\AFile already exists \('acme-1.0-py3-none-any.whl'"):
            await add(store, incoming, body=b"other")
        (listed,) = await store.files(ACME)
        assert drained(await store.open(listed)) == b"wheel"

    async def test_a_name_is_claimed_with_its_first_file_and_for_ever(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        assert await store.claimed() == {ACME}
        await store.remove(WHEEL)
        assert await store.claimed() == {ACME}
        assert await store.files(ACME) == ()

    async def test_the_claims_are_the_same_object_until_a_name_is_added(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        before = await store.claimed()
        await add(store, incoming, filename="acme-2.tar.gz", body=b"2", metadata=None)
        assert await store.claimed() is before
        await add(store, incoming, filename="other-1.tar.gz", body=b"3", metadata=None, name=OTHER)
        assert await store.claimed() == {ACME, OTHER}

    async def test_a_removed_file_is_gone_and_its_name_is_used_up(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        (listed,) = await store.files(ACME)
        await store.remove(WHEEL)
        for gone in (listed, listed.sibling()):
            with pytest.raises(NotFound):
                await store.open(gone)
        for body in (b"wheel", b"other"):
            with pytest.raises(FileExists, match="previously used by a file that has since been deleted"):
                await add(store, incoming, body=body)
        assert await store.files(ACME) == ()

    async def test_removing_again_is_done_already_and_removing_nothing_is_not_found(
        self, store: Store, incoming: Path
    ) -> None:
        await add(store, incoming)
        await store.remove(WHEEL)
        await store.remove(WHEEL)
        with pytest.raises(NotFound):
            await store.remove("acme-9.tar.gz")

    async def test_a_content_that_two_files_share_outlives_one_of_them(self, store: Store, incoming: Path) -> None:
        twin = "acme-1.0-1-py3-none-any.whl"
        await add(store, incoming)
        await add(store, incoming, filename=twin)
        await store.remove(WHEEL)
        (listed,) = await store.files(ACME)
        assert listed.filename == twin
        assert drained(await store.open(listed)) == b"wheel"
        assert drained(await store.open(listed.sibling())) == CORE

    async def test_an_open_handle_outlives_the_file(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        (listed,) = await store.files(ACME)
        blob = await store.open(listed)
        await store.remove(WHEEL)
        assert drained(blob) == b"wheel"

    async def test_of_twenty_who_race_for_a_filename_one_wins(self, store: Store, incoming: Path) -> None:
        bodies = [str(number).encode() for number in range(20)]
        results = await asyncio.gather(
            *(add(store, incoming, body=body, metadata=None) for body in bodies), return_exceptions=True
        )
        won = [result for result in results if not isinstance(result, BaseException)]
        assert len(won) == 1
        assert sum(isinstance(result, FileExists) for result in results) == 19
        (listed,) = await store.files(ACME)
        assert listed.path == won[0].path
        assert drained(await store.open(listed)) in bodies

    async def test_twenty_who_send_the_same_bytes_all_succeed(self, store: Store, incoming: Path) -> None:
        await asyncio.gather(*(add(store, incoming) for _ in range(20)))
        assert len(await store.files(ACME)) == 1

    async def test_the_first_pin_counts(self, store: Store) -> None:
        assert await store.pinned("pytorch", "torch-2.0.whl") is None
        assert await store.pin("pytorch", "torch-2.0.whl", "aa") == "aa"
        assert await store.pin("pytorch", "torch-2.0.whl", "bb") == "aa"
        assert await store.pinned("pytorch", "torch-2.0.whl") == "aa"
        assert await store.pinned("other", "torch-2.0.whl") is None
