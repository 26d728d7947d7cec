"""What every Store must do.  Subclass it with the fixtures `store` and `incoming`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
from packaging.utils import NormalizedName, canonicalize_name

from proxy.errors import BadRequest, FileExists, NotFound
from proxy.simple.model import File
from proxy.simple.names import NamePattern
from proxy.storage import Blob, Names, People, Pins, PrivateFiles, Standing, Token

from ..make import NOON, file

ACME = canonicalize_name("acme")
OTHER = canonicalize_name("other")
WHEEL = "acme-1.0-py3-none-any.whl"
CORE = b"Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n"
PROVENANCE = b'{"version": 1, "attestation_bundles": []}'
RESERVED = Standing(reserved=NOON)


class Store(PrivateFiles, Names, People, Pins, Protocol):
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
    provenance: bytes | None = None,
) -> File:
    """Upload *body*; what the store was told about it."""
    told = described(filename, body, metadata, requires_python=">=3.8")
    await store.add(name, told, spooled(incoming, body), metadata, provenance=provenance)
    return told


async def add_two(store: Store, incoming: Path) -> tuple[str, str]:
    """Upload two files of one project; their names."""
    names = "acme-1.tar.gz", "acme-2.tar.gz"
    for filename in names:
        await add(store, incoming, filename=filename, body=filename.encode(), metadata=None)
    return names


def token(id: str = "k7", **fields: object) -> Token:
    """A token; *fields* replace what it would say."""
    said = {"user": "ci", "digest": hashlib.sha256(id.encode()).hexdigest(), "created": NOON, **fields}
    return Token(id=id, **said)  # type: ignore[arg-type]  # as the test says


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
        await store.remove([WHEEL])
        assert await store.claimed() == {ACME}
        assert await store.files(ACME) == ()

    async def test_the_claims_are_the_same_object_until_a_name_is_added(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        before = await store.claimed()
        await add(store, incoming, filename="acme-2.tar.gz", body=b"2", metadata=None)
        assert await store.claimed() is before
        await add(store, incoming, filename="other-1.tar.gz", body=b"3", metadata=None, name=OTHER)
        assert await store.claimed() == {ACME, OTHER}

    # Provenance

    async def test_what_came_without_a_provenance_has_none(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        (listed,) = await store.files(ACME)
        assert listed.provenance is None
        with pytest.raises(NotFound):
            await store.open(file(f"{WHEEL}.provenance", path=listed.path))

    async def test_a_provenance_is_kept_byte_for_byte_and_listed_where_it_is_answered(
        self, store: Store, incoming: Path
    ) -> None:
        await add(store, incoming, provenance=PROVENANCE)
        (listed,) = await store.files(ACME)
        assert listed.provenance == f"integrity/acme/1.0/{WHEEL}/provenance"
        blob = await store.open(listed.attested())
        assert (blob.size, blob.sha256) == (len(PROVENANCE), hashlib.sha256(PROVENANCE).hexdigest())
        assert blob.modified == NOON.timestamp()
        assert os.fstat(blob.handle.fileno()).st_size == len(PROVENANCE)
        assert drained(blob) == PROVENANCE

    @pytest.mark.parametrize(
        ("filename", "path"),
        [
            ("acme-1.00+Cu.1.tar.gz", "integrity/acme/1.0+cu.1/acme-1.00+Cu.1.tar.gz/provenance"),
            ("acme-1!2.0.tar.gz", "integrity/acme/1!2.0/acme-1!2.0.tar.gz/provenance"),
            ("acme-1.0-rc1.tar.gz", "integrity/acme/1.0rc1/acme-1.0-rc1.tar.gz/provenance"),
            ("acme-1.0 (2).tar.gz", "integrity/acme/1.0%20%282%29/acme-1.0%20%282%29.tar.gz/provenance"),
        ],
    )
    async def test_a_provenance_is_answered_under_the_version_as_it_is_normalised(
        self, store: Store, incoming: Path, filename: str, path: str
    ) -> None:
        await add(store, incoming, filename=filename, metadata=None, provenance=PROVENANCE)
        (listed,) = await store.files(ACME)
        assert listed.provenance == path

    async def test_a_provenance_may_come_later_and_the_first_counts(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        for provenance in (PROVENANCE, b"{}", None):
            await add(store, incoming, provenance=provenance)
            (listed,) = await store.files(ACME)
            assert drained(await store.open(listed.attested())) == PROVENANCE
        assert drained(await store.open(listed)) == b"wheel"
        assert list(incoming.iterdir()) == []

    async def test_a_provenance_goes_with_its_file(self, store: Store, incoming: Path) -> None:
        twin = "acme-1.0-1-py3-none-any.whl"
        await add(store, incoming, provenance=PROVENANCE)
        await add(store, incoming, filename=twin)
        (_, listed) = await store.files(ACME)
        await store.remove([WHEEL])
        with pytest.raises(NotFound):
            await store.open(listed.attested())
        await store.readmit(WHEEL)
        await add(store, incoming, body=b"other")
        assert [found.provenance for found in await store.files(ACME)] == [None, None]

    # Removed, and yanked

    async def test_a_removed_file_is_gone_and_its_name_is_used_up(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        (listed,) = await store.files(ACME)
        await store.remove([WHEEL])
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
        await store.remove([WHEEL])
        await store.remove([WHEEL])
        with pytest.raises(NotFound):
            await store.remove(["acme-9.tar.gz"])

    async def test_several_files_are_removed_at_once_or_none(self, store: Store, incoming: Path) -> None:
        one, two = await add_two(store, incoming)
        before = await store.files(ACME)
        with pytest.raises(NotFound, match=r"acme-9\.tar\.gz"):
            await store.remove([one, "acme-9.tar.gz", two])
        assert await store.files(ACME) == before
        assert drained(await store.open(before[0])) == one.encode()
        await store.remove([one, two, one])
        assert await store.files(ACME) == ()
        await store.remove([])

    async def test_yanked_is_what_was_said_last(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        yanks: list[tuple[bool | str, bool | str]] = [(True, True), ("broken", "broken"), ("", True), (False, False)]
        for said, listed in yanks:
            await store.yank([WHEEL], said)
            (found,) = await store.files(ACME)
            assert (type(found.yanked), found.yanked) == (type(listed), listed)
        assert drained(await store.open(found)) == b"wheel"

    async def test_several_files_are_yanked_at_once_or_none(self, store: Store, incoming: Path) -> None:
        one, two = await add_two(store, incoming)
        for missing in ("acme-9.tar.gz", WHEEL):
            with pytest.raises(NotFound, match=missing):
                await store.yank([one, missing, two], "broken")
        assert [found.yanked for found in await store.files(ACME)] == [False, False]
        await store.yank([two, one], "broken")
        assert [found.yanked for found in await store.files(ACME)] == ["broken", "broken"]

    async def test_a_removed_file_is_not_there_to_be_yanked(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        await store.remove([WHEEL])
        with pytest.raises(NotFound):
            await store.yank([WHEEL], True)

    async def test_what_was_yanked_elsewhere_comes_yanked(self, store: Store, incoming: Path) -> None:
        told = described(WHEEL, b"wheel", yanked="broken")
        await store.add(ACME, told, spooled(incoming, b"wheel"), None)
        assert [found.yanked for found in await store.files(ACME)] == ["broken"]

    async def test_the_same_bytes_again_unyank_nothing(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        await store.yank([WHEEL], True)
        await add(store, incoming)
        assert [found.yanked for found in await store.files(ACME)] == [True]

    async def test_a_readmitted_filename_takes_any_bytes_and_is_used_up_again_by_the_next_delete(
        self, store: Store, incoming: Path
    ) -> None:
        await add(store, incoming)
        await store.yank([WHEEL], True)
        await store.remove([WHEEL])
        await store.readmit(WHEEL)
        assert await store.files(ACME) == ()
        await store.remove([WHEEL])
        await add(store, incoming, body=b"other")
        (listed,) = await store.files(ACME)
        assert listed.yanked is False
        assert drained(await store.open(listed)) == b"other"
        await store.remove([WHEEL])
        with pytest.raises(FileExists, match="previously used"):
            await add(store, incoming, body=b"other")
        await store.readmit(WHEEL)

    async def test_only_what_was_removed_is_readmitted(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        for filename in (WHEEL, "acme-9.tar.gz"):
            with pytest.raises(NotFound):
                await store.readmit(filename)
        await store.remove([WHEEL])
        await store.readmit(WHEEL)
        with pytest.raises(NotFound):
            await store.readmit(WHEEL)

    # What is said of names

    async def test_a_reserved_name_is_claimed_without_a_file(self, store: Store) -> None:
        await store.settle(ACME, RESERVED)
        assert await store.claimed() == {ACME}
        assert await store.standings() == {ACME: RESERVED}
        assert await store.files(ACME) == ()

    async def test_of_a_name_that_was_only_uploaded_nothing_was_said(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        assert await store.standings() == {}

    async def test_of_a_name_counts_what_was_said_last(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        for standing in (
            RESERVED,
            Standing(status="quarantined", reason="malware?", reserved=NOON + timedelta(microseconds=1)),
            Standing(status="archived"),
            Standing(status="deprecated", reason="use other"),
            Standing(),
        ):
            await store.settle(ACME, standing)
            assert await store.standings() == {ACME: standing}
        assert len(await store.files(ACME)) == 1

    async def test_the_standings_are_the_same_object_until_something_is_said(
        self, store: Store, incoming: Path
    ) -> None:
        await store.settle(ACME, RESERVED)
        before = await store.standings()
        await add(store, incoming, name=OTHER, filename="other-1.tar.gz", metadata=None)
        await store.add_token(token())
        assert await store.standings() is before
        await store.settle(OTHER, Standing(status="archived"))
        assert await store.standings() is not before
        assert before == {ACME: RESERVED}

    async def test_a_released_name_is_as_if_nobody_had_claimed_it_but_for_its_deleted_files(
        self, store: Store, incoming: Path
    ) -> None:
        await add(store, incoming)
        await store.settle(ACME, Standing(status="archived"))
        await store.settle(OTHER, RESERVED)
        await store.remove([WHEEL])
        await store.release(ACME)
        assert await store.claimed() == {OTHER}
        assert await store.standings() == {OTHER: RESERVED}
        with pytest.raises(FileExists, match="previously used"):
            await add(store, incoming)
        assert await store.claimed() == {OTHER}
        await add(store, incoming, filename="acme-2.tar.gz", metadata=None)
        assert await store.claimed() == {ACME, OTHER}
        assert await store.standings() == {OTHER: RESERVED}

    async def test_a_name_with_files_is_not_released(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        await store.settle(ACME, RESERVED)
        with pytest.raises(BadRequest, match="delete them first"):
            await store.release(ACME)
        assert await store.claimed() == {ACME}
        assert await store.standings() == {ACME: RESERVED}

    async def test_a_name_that_nobody_claimed_is_not_released(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.release(ACME)

    # Tokens

    async def test_a_token_is_remembered_as_it_was_made(self, store: Store) -> None:
        plain = token("k7")
        full = token(
            "m8",
            scope=(NamePattern("acme-*"), NamePattern("other")),
            may=frozenset({"upload", "read"}),
            note="the build of 驿站, twice a day",
            expires=NOON + timedelta(days=90, microseconds=1),
        )
        for made in (plain, full):
            await store.add_token(made)
        assert await store.tokens() == {"k7": plain, "m8": full}
        assert (await store.tokens())["m8"].scope[0].covers(canonicalize_name("acme-sdk"))

    async def test_the_id_of_a_token_is_taken_for_ever(self, store: Store) -> None:
        await store.add_token(token())
        await store.revoke(["k7"])
        with pytest.raises(BadRequest):
            await store.add_token(token(user="other"))
        assert (await store.tokens())["k7"].user == "ci"

    async def test_tokens_are_revoked_at_once_or_none_and_stay_listed(self, store: Store) -> None:
        for id in ("k7", "m8", "n9"):
            await store.add_token(token(id))
        with pytest.raises(NotFound, match="x0"):
            await store.revoke(["k7", "x0"])
        assert all(known.revoked is None for known in (await store.tokens()).values())
        await store.revoke(["k7", "m8"])
        revoked = {id: known.revoked for id, known in (await store.tokens()).items()}
        assert revoked == {"k7": NOON, "m8": NOON, "n9": None}
        await store.revoke(["k7"])

    async def test_a_token_was_used_when_it_was_seen_last(self, store: Store) -> None:
        await store.add_token(token())
        for minute, last in [(1, 1), (3, 3), (2, 3)]:
            await store.used({"k7": NOON + timedelta(minutes=minute), "x0": NOON})
            assert await store.tokens() == {"k7": token(used=NOON + timedelta(minutes=last))}

    async def test_the_tokens_are_the_same_object_until_one_changes(self, store: Store, incoming: Path) -> None:
        await store.add_token(token())
        known = await store.tokens()
        await add(store, incoming)
        await store.used({})
        await store.used({"x0": NOON})
        assert await store.tokens() is known
        for change in (store.used({"k7": NOON}), store.add_token(token("m8")), store.revoke(["k7"])):
            before = known, dict(known)
            await change
            known = await store.tokens()
            assert known is not before[0]
            assert before[0] == before[1]
        assert msgspec.structs.replace(known["k7"], used=None, revoked=None) == token()

    # Contents, and company

    async def test_a_content_that_two_files_share_outlives_one_of_them(self, store: Store, incoming: Path) -> None:
        twin = "acme-1.0-1-py3-none-any.whl"
        await add(store, incoming)
        await add(store, incoming, filename=twin)
        await store.remove([WHEEL])
        (listed,) = await store.files(ACME)
        assert listed.filename == twin
        assert drained(await store.open(listed)) == b"wheel"
        assert drained(await store.open(listed.sibling())) == CORE

    async def test_an_open_handle_outlives_the_file(self, store: Store, incoming: Path) -> None:
        await add(store, incoming)
        (listed,) = await store.files(ACME)
        blob = await store.open(listed)
        await store.remove([WHEEL])
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

    async def test_every_change_and_nothing_else_makes_another_generation(self, store: Store, incoming: Path) -> None:
        async def released() -> None:
            await store.remove([WHEEL])
            await store.release(ACME)

        changes = [
            lambda: add(store, incoming),
            lambda: add(store, incoming, provenance=PROVENANCE),
            lambda: store.yank([WHEEL], "broken"),
            lambda: store.settle(ACME, RESERVED),
            released,
        ]
        seen = {store.generation}
        for number, change in enumerate(changes, 2):
            await change()
            seen.add(store.generation)
            assert len(seen) == number
            await store.pin("pypi", "numpy-1.0.tar.gz", "a" * 64)
            await store.claimed(), await store.files(ACME), await store.standings()
            assert len(seen | {store.generation}) == number

    async def test_the_first_pin_counts(self, store: Store) -> None:
        assert await store.pinned("pytorch", "torch-2.0.whl") is None
        assert await store.pin("pytorch", "torch-2.0.whl", "aa") == "aa"
        assert await store.pin("pytorch", "torch-2.0.whl", "bb") == "aa"
        assert await store.pinned("pytorch", "torch-2.0.whl") == "aa"
        assert await store.pinned("other", "torch-2.0.whl") is None
