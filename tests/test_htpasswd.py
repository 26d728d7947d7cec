"""config/htpasswd.py and web/htpasswd.py: which lines let somebody in, when the file counts, and what a check costs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import math
import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path, PosixPath
from typing import Any

import bcrypt
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.htpasswd import matches, parse_htpasswd
from proxy.errors import TooManyTries, Unavailable
from proxy.web import htpasswd
from proxy.web.htpasswd import Htpasswd

APR1 = "$apr1$yn9Zya.j$pohxTNqaB7izqXybHNauY."
"""Of "secret", as `openssl passwd -apr1 -salt yn9Zya.j secret` prints it."""


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("proxy"):
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "htpasswd"


@asynccontextmanager
async def users_of(path: Path, clock: Clock, *, remember: float = 60) -> AsyncIterator[Htpasswd]:
    users = Htpasswd(path, remember=remember, clock=clock)
    try:
        yield users
    finally:
        users.close()


def bcrypted(password: bytes, *, cost: int = 4, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).replace(b"$2b$", b"$" + prefix + b"$").decode()


def sha(password: bytes) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password).digest()).decode()


def write(path: Path, *lines: str) -> None:
    """Replace the file as careful programs do, by a rename: another inode each time."""
    new = path.with_suffix(".new")
    new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(new, path)


async def test_every_kind_of_hash_that_is_supported_lets_its_user_in(path: Path, clock: Clock) -> None:
    write(
        path,
        f"two-y:{bcrypted(b'secret', prefix=b'2y')}",
        f"two-a:{bcrypted(b'secret', prefix=b'2a')}",
        f"two-b:{bcrypted(b'secret')}",
        f"apr1:{APR1}",
        f"sha:{sha(b'secret')}",
    )
    async with users_of(path, clock) as users:
        for name in ("two-y", "two-a", "two-b", "apr1", "sha"):
            assert await users.check(name.encode(), b"secret") == name
            assert await users.check(name.encode(), b"Secret") is None
            assert await users.check(name.encode(), b"") is None
        assert await users.check(b"nobody", b"secret") is None
        assert await users.check(b"", b"secret") is None


def test_a_bad_line_is_named_by_its_number_and_never_by_its_content() -> None:
    good = bcrypted(b"x")
    lines = [
        "# the team",  # 1
        "",
        f"ann:{good}",  # 3
        "plain:hunter2",  # 4
        "crypt:rqXexS6ZhobKA",  # 5
        "sha256:$5$salt$Gcm6FsVtF/Qa77ZKD.iwsJlCVPY0XSMgLJL0Hnww/c1",  # 6
        "no colon at all",  # 7
        f":{good}",  # 8
        "empty:",  # 9
        f"__token__:{good}",  # 10
        f"dear:{bcrypted(b'x')[:4]}31{good[6:]}",  # 11
        f"short:{good[:-1]}",  # 12
        f"umlaut:{good[:-1]}ä",  # 13
        f"bell\a:{good}",  # 14
        f"*:{good}",  # 15
        f"off:!{good}",  # 16
        f"bob:{good}:Bob Smith:ignored",  # 17
    ]
    users = parse_htpasswd("\r\n".join(lines).encode())
    assert set(users.hashes) == {"ann", "bob"}
    assert list(users.refused) == [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    said = " ".join(users.refused.values())
    assert not any(part in said for part in ("hunter2", "rqXexS6ZhobKA", "Gcm6", good, good[7:-1], "no colon"))
    assert not users.cut


def test_the_first_of_two_lines_with_one_name_counts() -> None:
    first, second = bcrypted(b"first"), bcrypted(b"second")
    users = parse_htpasswd(f"ann:{first}\nann:{second}\n".encode())
    assert users.hashes == {"ann": first}
    assert list(users.refused) == [2]


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_a_line() -> None:
    good = bcrypted(b"x")
    users = parse_htpasswd(b"\xef\xbb\xbf" + f"ann:{good}\r\nbob:{good}\r\n".encode())
    assert users.hashes == {"ann": good, "bob": good}
    assert users.refused == {}


@given(
    st.binary(max_size=300) | st.lists(st.sampled_from([b"a:", b"\n", b"{SHA}", b"$apr1$", b"\r", b"\0"])).map(b"".join)
)
def test_no_file_can_break_the_reader(content: bytes) -> None:
    users = parse_htpasswd(content)
    assert all(name and name.isprintable() for name in [*users.hashes, *users.locked])
    assert not any(matches(b"no such password", hashed) for hashed in users.hashes.values())


async def test_the_log_names_file_and_line_once_for_each_version(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, f"ann:{sha(b'x')}", "bob:plaintext", f"zoe:{sha(b'y')}")
    async with users_of(path, clock) as users:
        for _ in range(3):
            assert await users.check(b"bob", b"plaintext") is None
            clock.now += 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    refused, unsalted = (record.getMessage() for record in caplog.records)
    assert refused.startswith(f"{path}: line 2 ")
    assert "plaintext" not in caplog.text
    assert unsalted.endswith("line 1, 3")
    assert sha(b"x")[5:] not in caplog.text


async def test_a_file_of_another_kind_fills_no_log(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"junk\n" * 1000)
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"x") is None
    assert len(caplog.records) == htpasswd.MAX_COMPLAINTS + 1
    assert caplog.messages[-1].endswith(f"{1000 - htpasswd.MAX_COMPLAINTS} lines more let nobody in")


async def test_a_file_that_everybody_may_write_to_is_warned_of(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, f"ann:{bcrypted(b'x')}")
    path.chmod(0o666)
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"x") == "ann"
    assert "everybody on this machine may write to it" in caplog.text


@pytest.mark.parametrize("mark", ["*", "!"])
async def test_a_user_without_a_password_is_known_and_no_password_is_right(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, mark: str
) -> None:
    write(path, f"ci:{mark}", f"ann:{bcrypted(b'x')}", f"ci:{bcrypted(b'x')}")
    async with users_of(path, clock) as users:
        for password in (b"x", b"", mark.encode(), b"!", b"*"):
            assert await users.check(b"ci", password) is None
            assert await users.recall(b"ci", password) is None
        assert users.hashed == 3, "as many as of any other user"
        hashes = parse_htpasswd(path.read_bytes()).hashes
        assert set(hashes) == {"ann"}, "the mark is no hash to work on: that would take no time, and tell"
        assert [await users.knows(name) for name in ("ci", "ann", "eve", "", "*")] == [True, True, False, False, False]
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "line 3 has a name that stands above already; the first counts"
    ]


async def test_where_all_are_programs_nobody_has_a_password(path: Path, clock: Clock) -> None:
    write(path, "ci:*", "robot:!:builds nightly")
    async with users_of(path, clock) as users:
        assert await users.check(b"ci", b"*") is None
        assert await users.knows("robot")
        assert users.hashed == 0
        write(path, "robot:!")
        clock.now += htpasswd.LOOK
        assert not await users.knows("ci")


async def test_apache_cuts_a_password_at_72_bytes_and_so_do_we(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'p' * 72)}")
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"p" * 72) == "ann"
        assert await users.check(b"ann", b"p" * 73) == "ann"
        assert await users.check(b"ann", b"p" * 71) is None
        assert await users.check(b"ann", b"q" * 10_000) is None


async def test_a_password_that_cannot_be_hashed_is_a_wrong_one(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'secret')}", f"apr1:{APR1}")
    async with users_of(path, clock) as users:
        for name in (b"ann", b"apr1"):
            assert await users.check(name, b"secret\0") is None
            assert await users.check(name, b"\0") is None
            assert await users.check(name, b"x" * 5000) is None


async def test_latin1_and_utf8_spell_the_same_user_and_password(path: Path, clock: Clock) -> None:
    """requests sends Latin-1 where it can, uv sends UTF-8."""
    write(path, f"zoë:{bcrypted('pä:ss'.encode())}", f"小明:{bcrypted('密码'.encode())}")
    async with users_of(path, clock) as users:
        assert await users.check("zoë".encode(), "pä:ss".encode()) == "zoë"
        assert await users.check("zoë".encode("latin-1"), "pä:ss".encode("latin-1")) == "zoë"
        assert await users.check("小明".encode(), "密码".encode()) == "小明"


async def test_the_name_of_tokens_is_nobodys(path: Path, clock: Clock) -> None:
    write(path, f"__token__:{bcrypted(b'x')}", f"ann:{bcrypted(b'x')}")
    async with users_of(path, clock) as users:
        assert await users.check(b"__token__", b"x") is None


async def test_a_changed_file_counts_at_the_next_look(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'old')}", f"bob:{bcrypted(b'x')}")
    async with users_of(path, clock, remember=3600) as users:
        assert await users.check(b"ann", b"old") == "ann"
        assert await users.check(b"bob", b"x") == "bob"
        write(path, f"ann:{bcrypted(b'new')}")
        assert await users.check(b"ann", b"old") == "ann", "no look before a second has passed"
        clock.now += htpasswd.LOOK
        assert await users.check(b"ann", b"old") is None
        assert await users.check(b"ann", b"new") == "ann"
        assert await users.check(b"bob", b"x") is None, "what is remembered ends with its file"


async def test_a_removed_file_means_nobody_until_it_is_back(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, f"ann:{bcrypted(b'x')}")
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"x") == "ann"
        path.unlink()
        for _ in range(3):
            clock.now += htpasswd.LOOK
            assert await users.check(b"ann", b"x") is None
        assert len(caplog.records) == 1
        assert "nobody can sign in" in caplog.text
        write(path, f"ann:{bcrypted(b'x')}")
        clock.now += htpasswd.LOOK
        assert await users.check(b"ann", b"x") == "ann"


async def test_a_file_that_never_was_means_nobody(path: Path, clock: Clock) -> None:
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"x") is None
        assert users.hashed == 0


async def test_a_half_written_file_leaves_the_users_as_they_were(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = f"ann:{bcrypted(b'x')}\n", f"bob:{bcrypted(b'x')}\n"
    path.write_text(ann)
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"x") == "ann"
        path.write_text(bob + ann[:-9])
        for _ in range(3):
            clock.now += htpasswd.LOOK
            assert await users.check(b"ann", b"x") == "ann"
            assert await users.check(b"bob", b"x") is None
        assert [message for message in caplog.messages if "line, 2, is cut short" in message] == caplog.messages[:1]
        path.write_text(bob + ann)
        clock.now += htpasswd.LOOK
        assert await users.check(b"bob", b"x") == "bob"


class BeingWritten(PosixPath):
    """A file that grows by *line*, once, while it is read."""

    line = b""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        if line := BeingWritten.line:
            BeingWritten.line = b""
            self.write_bytes(self.read_bytes() + line)
        return super().open(*args, **kwargs)


async def test_a_file_that_changes_while_it_is_read_is_read_again_later(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'x')}")
    async with users_of(BeingWritten(path), clock) as users:
        assert await users.check(b"ann", b"x") == "ann"
        write(path, f"bob:{bcrypted(b'x')}")
        BeingWritten.line = f"ann:{bcrypted(b'x')}\n".encode()
        clock.now += htpasswd.LOOK
        assert await users.check(b"bob", b"x") is None
        assert await users.check(b"ann", b"x") == "ann"
        clock.now += htpasswd.LOOK
        assert await users.check(b"bob", b"x") == "bob"


async def test_a_file_whose_last_line_is_not_ended_is_whole_all_the_same(path: Path, clock: Clock) -> None:
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"x") is None
        path.write_text(f"ann:{bcrypted(b'x')}")
        clock.now += htpasswd.LOOK
        assert await users.check(b"ann", b"x") == "ann"


async def test_what_cannot_be_read_leaves_the_users_as_they_were(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, f"ann:{bcrypted(b'x')}")
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"x") == "ann"
        path.unlink()
        path.mkdir()
        clock.now += htpasswd.LOOK
        assert await users.check(b"ann", b"x") == "ann"
        path.rmdir()
        path.symlink_to(path)
        clock.now += htpasswd.LOOK
        assert await users.check(b"ann", b"x") == "ann"
    assert len([message for message in caplog.messages if message.endswith("the users stay as they were")]) == 2


async def test_a_pipe_in_the_place_of_the_file_hangs_nobody(path: Path, clock: Clock) -> None:
    os.mkfifo(path)
    async with users_of(path, clock) as users:
        with pytest.raises(Unavailable, match="cannot be read now"):
            await asyncio.wait_for(users.check(b"ann", b"x"), 30)


async def test_a_file_of_any_size_is_read_up_to_a_bound(path: Path, clock: Clock) -> None:
    with path.open("wb") as file:
        file.truncate(htpasswd.MAX_BYTES + 1)
    async with users_of(path, clock) as users:
        with pytest.raises(Unavailable):
            await users.check(b"ann", b"x")


async def test_a_right_password_is_hashed_once_and_remembered_for_its_time(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'x')}")
    async with users_of(path, clock, remember=60) as users:
        for _ in range(3):
            assert await users.check(b"ann", b"x") == "ann"
        assert users.hashed == 1
        clock.now += 60
        assert await users.check(b"ann", b"x") == "ann"
        assert users.hashed == 2


async def test_only_what_was_right_lately_is_recalled_and_nothing_is_hashed_for_that(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'x')}", f"bob:{bcrypted(b'x')}")
    async with users_of(path, clock, remember=60) as users:
        assert await users.recall(b"ann", b"x") is None
        assert await users.check(b"ann", b"x") == "ann"
        assert await users.check(b"ann", b"y") is None
        hashed = users.hashed
        assert await users.recall(b"ann", b"x") == "ann"
        assert [await users.recall(name, b"x") for name in (b"bob", b"eve", b"")] == [None] * 3
        assert [await users.recall(b"ann", password) for password in (b"y", b"", b"x\0")] == [None] * 3
        clock.now += 60
        assert await users.recall(b"ann", b"x") is None
        assert await users.check(b"ann", b"x") == "ann"
        write(path, f"ann:{bcrypted(b'x')}")
        clock.now += htpasswd.LOOK
        assert await users.recall(b"ann", b"x") is None, "a change of the file ends it"
        assert users.hashed == hashed + 1


async def test_a_wrong_password_is_remembered_for_a_few_seconds(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'x')}")
    async with users_of(path, clock) as users:
        for _ in range(3):
            assert await users.check(b"ann", b"wrong") is None
        assert users.hashed == 1
        clock.now += htpasswd.REFUSED
        assert await users.check(b"ann", b"wrong") is None
        assert users.hashed == 2


async def test_name_and_password_are_not_mixed_up_in_what_is_remembered(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'xy')}", f"annx:{bcrypted(b'z')}")
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"xy") == "ann"
        assert await users.check(b"annx", b"y") is None


async def test_many_requests_with_one_password_hash_it_once(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'x', cost=8)}")
    async with users_of(path, clock) as users:
        assert await asyncio.gather(*(users.check(b"ann", b"x") for _ in range(50))) == ["ann"] * 50
        assert users.hashed == 1


async def test_one_client_that_hangs_up_takes_the_answer_from_nobody(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'x', cost=8)}")
    async with users_of(path, clock) as users:
        assert await users.check(b"bob", b"x") is None
        first = asyncio.create_task(users.check(b"ann", b"x"))
        second = asyncio.create_task(users.check(b"ann", b"x"))
        while users.hashed < 2:
            await asyncio.sleep(0)
        first.cancel()
        assert await second == "ann"
        assert first.cancelled()
        assert users.hashed == 2


async def test_an_unknown_user_takes_the_work_of_a_known_one(path: Path, clock: Clock) -> None:
    """Even one whose password would be right for the hash that stands in."""
    write(path, f"ann:{bcrypted(b'x')}")
    async with users_of(path, clock) as users:
        assert await users.check(b"bob", b"x") is None
        assert users.hashed == 1
        assert await users.check(b"ann", b"x") == "ann"
        assert users.hashed == 2


async def test_too_many_sign_ins_at_once_are_asked_to_come_again(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'x', cost=8)}")
    async with users_of(path, clock) as users:
        tries = [users.check(b"ann", b"wrong %d" % number) for number in range(40)]
        answers = await asyncio.gather(*tries, return_exceptions=True)
        turned_away = [answer for answer in answers if isinstance(answer, TooManyTries)]
        assert len(turned_away) == 40 - htpasswd.THREADS - htpasswd.WAITING
        assert str(turned_away[0]).startswith("Too many sign-ins at once")
        assert turned_away[0].retry_after == htpasswd.COME_AGAIN
        assert answers.count(None) == htpasswd.THREADS + htpasswd.WAITING
        assert await users.check(b"ann", b"x") == "ann", "and later there is room again"


async def test_who_is_remembered_comes_in_however_many_wait(path: Path, clock: Clock) -> None:
    write(path, f"ann:{bcrypted(b'x', cost=8)}")
    async with users_of(path, clock) as users:
        assert await users.check(b"ann", b"x") == "ann"
        tries = [asyncio.create_task(users.check(b"ann", b"wrong %d" % number)) for number in range(40)]
        while users.hashed < 2:
            await asyncio.sleep(0)
        assert await users.check(b"ann", b"x") == "ann"
        await asyncio.gather(*tries, return_exceptions=True)


async def test_what_is_remembered_is_bounded(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htpasswd, "REMEMBERED", 3)
    write(path, f"ann:{bcrypted(b'x')}")
    async with users_of(path, clock) as users:
        for number in (0, 1, 2, 3, 3, 2, 1):
            await users.check(b"ann", b"wrong %d" % number)
        assert users.hashed == 4, "the last three are remembered"
        await users.check(b"ann", b"wrong 0")
        assert users.hashed == 5, "the oldest is not"


@pytest.mark.long
async def test_time_does_not_tell_an_unknown_user_from_a_wrong_password(path: Path) -> None:
    """J03: Welch's t over a thousand of each, in no order; where it is 4.5, chance is not what tells them apart."""
    write(path, *(f"user{number}:{bcrypted(b'x')}" for number in range(9)), f"ann:{bcrypted(b'x')}", "ci:*")
    async with users_of(path, Clock()) as users:
        samples: dict[bytes, list[float]] = {b"ann": [], b"eve": [], b"ci": []}
        names = [name for name in samples for _ in range(1000)]
        random.shuffle(names)
        for number, name in enumerate(names):
            began = time.perf_counter()
            assert await users.check(name, b"wrong %d" % number) is None
            samples[name].append(time.perf_counter() - began)
        assert users.hashed == len(names)
    known = _middle(samples[b"ann"])
    for other in (b"eve", b"ci"):
        assert abs(welch(known, _middle(samples[other]))) < 4.5


def welch(one: list[float], other: list[float]) -> float:
    """How many times its own error the difference of two means is."""
    error = math.sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))
    return (statistics.fmean(one) - statistics.fmean(other)) / error


def _middle(times: list[float]) -> list[float]:
    """*times* less the tenth at either end: what other programs of this machine took."""
    tenth = len(times) // 10
    return sorted(times)[tenth:-tenth]


async def test_a_hundred_sign_ins_at_once_leave_the_loop_free(path: Path, clock: Clock) -> None:
    """J07: at the cost that new hashes have; most are asked to come again, and no step of the loop waits for a hash."""
    write(path, f"ann:{bcrypted(b'x', cost=12)}")
    async with users_of(path, clock) as users:
        tries = [asyncio.create_task(users.check(b"ann", b"wrong %d" % number)) for number in range(100)]
        turns = 0
        while not all(task.done() for task in tries[: htpasswd.THREADS]):
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 5, "the loop ran while passwords were hashed"
        done = [task for task in tries if task.done()]
        turned_away = [task for task in done if isinstance(task.exception(), TooManyTries)]
        assert len(turned_away) == 100 - htpasswd.THREADS - htpasswd.WAITING
    await asyncio.gather(*tries, return_exceptions=True)
