"""tokens.py: what a token looks like, which one is known again, and when it was last seen."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import tokens as module
from proxy.errors import BadRequest, StoreDown
from proxy.simple.names import NamePattern
from proxy.storage import Token
from proxy.tokens import FLUSH, Tokens, is_token, make_token

from .fakes import MemoryStore

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


class Time:
    """A time that passes when told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Desk(MemoryStore):
    """People who count how often they are written to, and may be out."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Mapping[str, datetime]] = []
        self.out = False

    async def used(self, times: Mapping[str, datetime]) -> None:
        await asyncio.sleep(0)
        if self.out:
            raise StoreDown("The store cannot be written now.")
        self.written.append(dict(times))
        await super().used(times)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def people() -> Desk:
    return Desk()


@pytest.fixture
def tokens(people: Desk, time: Time) -> Tokens:
    return Tokens(people, now=time)


def made(**changed: Any) -> tuple[Token, str]:
    wishes: dict[str, Any] = {"may": {"upload"}, "expires": None, "now": NOW, "chance": secrets.token_bytes}
    return make_token("ci", **(wishes | changed))


def test_a_token_is_a_prefix_an_id_and_a_secret_of_256_bits_of_which_only_a_digest_is_kept() -> None:
    token, text = made(
        scope=[NamePattern("acme-*")],
        note="build server",
        expires=NOW + timedelta(days=1),
        chance=lambda n: b"\xab" * n,
    )
    assert text == f"yzn_{'ab' * 6}_{'ab' * 32}"
    assert token == Token(
        id="ab" * 6,
        user="ci",
        digest=hashlib.sha256(b"ab" * 32).hexdigest(),
        scope=(NamePattern("acme-*"),),
        may=frozenset({"upload"}),
        note="build server",
        created=NOW,
        expires=NOW + timedelta(days=1),
    )
    assert "ab" * 32 not in repr(token)


def test_tokens_differ_and_one_expression_finds_them_in_any_text() -> None:
    texts = [made()[1] for _ in range(100)]
    found = re.findall(r"\byzn_[0-9a-f]{12}_[0-9a-f]{64}\b", " ".join(f"password={text};" for text in texts))
    assert found == texts
    assert len({text.split("_")[1] for text in texts}) == len({text.split("_")[2] for text in texts}) == 100
    assert all(is_token(text) for text in texts)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_token_that_has_expired_already_is_not_made(seconds: int) -> None:
    with pytest.raises(BadRequest, match="later than now"):
        made(expires=NOW + timedelta(seconds=seconds))


async def test_a_token_is_known_again_by_its_text_alone(tokens: Tokens, people: Desk) -> None:
    (token, text), (other, other_text) = made(), made()
    for known in (token, other):
        await people.add_token(known)
    assert await tokens.check(text) == token
    assert await tokens.check(other_text) == other
    mixed = f"yzn_{token.id}_{other_text.split('_')[2]}"
    for wrong in (mixed, text[:-1], text + "0", text.upper(), f" {text}", f"{text}\n", token.id, "", "yzn_", "secret"):
        assert await tokens.check(wrong) is None
    assert await tokens.check(made()[1]) is None


@given(st.text(max_size=100) | st.from_regex(r"yzn_[0-9a-f]{0,13}_?[0-9a-fé]{0,65}"))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert asyncio.run(Tokens(MemoryStore(), now=lambda: NOW).check(text)) is None


async def test_a_token_ends_with_its_time(tokens: Tokens, people: Desk, time: Time) -> None:
    token, text = made(expires=NOW + timedelta(hours=1))
    await people.add_token(token)
    time.pass_by(3599)
    assert await tokens.check(text) is not None
    time.pass_by(1)
    assert await tokens.check(text) is None


async def test_a_revoked_token_is_worth_nothing_at_once(tokens: Tokens, people: Desk) -> None:
    token, text = made()
    await people.add_token(token)
    assert await tokens.check(text) is not None
    await people.revoke([token.id])
    assert await tokens.check(text) is None


async def test_an_unknown_id_takes_the_work_of_a_known_one(
    tokens: Tokens, people: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one whose digest would be right for the one that stands in."""
    token, text = made()
    await people.add_token(token)
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(module, "hmac", SimpleNamespace(compare_digest=compare))
    assert await tokens.check(text[:-1] + ("1" if text[-1] == "0" else "0")) is None
    assert await tokens.check(made()[1]) is None
    assert [(len(one), len(other)) for one, other in compared] == [(64, 64)] * 2
    monkeypatch.setattr(module, "hmac", SimpleNamespace(compare_digest=lambda *_: True))
    assert await tokens.check(made()[1]) is None


async def test_where_tokens_cannot_be_read_nobody_is_told_no(
    tokens: Tokens, people: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def out() -> Mapping[str, Token]:
        raise StoreDown("The store cannot be read now.")

    monkeypatch.setattr(people, "tokens", out)
    with pytest.raises(StoreDown):
        await tokens.check(made()[1])


async def test_when_a_token_was_last_seen_is_written_once_a_minute_at_most(
    tokens: Tokens, people: Desk, time: Time
) -> None:
    token, text = made()
    await people.add_token(token)
    await tokens.flush()
    for _ in range(3):
        await tokens.check(text)
        time.pass_by(10)
    await tokens.flush()
    await tokens.check(text)
    await tokens.flush()
    assert people.written == [{token.id: NOW}]
    time.pass_by(FLUSH)
    await tokens.check(text)
    await tokens.close()
    assert people.written[1:] == [{token.id: time.now}]
    assert (await people.tokens())[token.id].used == time.now


async def test_a_wrong_token_was_not_seen(tokens: Tokens, people: Desk) -> None:
    token, text = made()
    await people.add_token(token)
    await tokens.check(text[:-1] + ("1" if text[-1] == "0" else "0"))
    await people.revoke([token.id])
    await tokens.check(text)
    await tokens.close()
    assert people.written == []


async def test_what_cannot_be_written_is_written_later(
    tokens: Tokens, people: Desk, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    token, text = made()
    await people.add_token(token)
    await tokens.check(text)
    people.out = True
    await tokens.flush()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    people.out = False
    time.pass_by(5)
    await tokens.flush()
    assert people.written == [{token.id: NOW}]


async def test_it_is_written_from_time_to_time_without_being_asked(
    tokens: Tokens, people: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH", 0.01)
    token, text = made()
    await people.add_token(token)
    await tokens.check(text)
    chore = asyncio.create_task(tokens.run())
    async with asyncio.timeout(30):
        while not people.written:
            await asyncio.sleep(0.01)
    chore.cancel()
    with pytest.raises(asyncio.CancelledError):
        await chore


async def test_what_is_seen_while_it_is_written_is_not_forgotten(tokens: Tokens, people: Desk, time: Time) -> None:
    token, text = made()
    await people.add_token(token)
    await tokens.check(text)
    flushing = asyncio.create_task(tokens.flush())
    await asyncio.sleep(0)
    time.pass_by(FLUSH)
    await tokens.check(text)
    await flushing
    await tokens.flush()
    assert people.written == [{token.id: NOW}, {token.id: time.now}]
