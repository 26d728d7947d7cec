"""web/limits.py: who has to wait after how many failures, for how long, and who does not."""

from __future__ import annotations

import logging
import secrets
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.web.limits import LONGEST_WAIT, MOST_NAME, REMEMBERED, WIDER, Tries, _Window, origin_of
from proxy.web.peers import UNKNOWN

HERE, THERE = "192.0.2.7", "198.51.100.9"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tries(clock: Clock) -> Tries:
    """Three failures in a hundred seconds."""
    return Tries(failures=3, window=100, clock=clock)


def fail(tries: Tries, user: str, origin: str, times: int = 1) -> None:
    """With another wrong password each time."""
    for _ in range(times):
        tries.failed(user, origin, secrets.token_bytes(8))


def test_one_user_at_one_address_waits_and_nobody_else(tries: Tries) -> None:
    fail(tries, "ann", HERE, 2)
    assert tries.wait("ann", HERE) == 0
    fail(tries, "ann", HERE)
    assert tries.wait("ann", HERE) > 0
    assert [tries.wait("bob", HERE), tries.wait("ann", THERE), tries.wait("", HERE)] == [0, 0, 0]


def test_a_wrong_password_that_is_repeated_counts_once_in_a_window(tries: Tries, clock: Clock) -> None:
    """A job that has last year's password keeps nobody out who has this year's."""
    for _ in range(50):
        tries.failed("ann", HERE, b"last year's")
        clock.now += 1
    assert tries.wait("ann", HERE) == 0
    for guess in (b"a", b"b"):
        tries.failed("ann", HERE, guess)
    assert tries.wait("ann", HERE) > 0
    assert tries.wait("ann", THERE) == 0


def test_the_same_password_tried_for_many_users_counts_for_each(tries: Tries) -> None:
    for number in range(WIDER * 3):
        tries.failed(f"user{number}", HERE, b"123456")
    assert tries.wait("ann", HERE) > 0


def test_the_window_slides(tries: Tries, clock: Clock) -> None:
    for _ in range(3):
        fail(tries, "ann", HERE)
        clock.now += 3
    clock.now += 86
    assert tries.wait("ann", HERE) == 5, "until the first of the three is a hundred seconds old"
    clock.now += 5
    assert tries.wait("ann", HERE) == 0
    fail(tries, "ann", HERE)
    assert tries.wait("ann", HERE) == 3, "then until the second is"


def test_nobody_is_told_to_wait_longer_than_pip_should_hang(tries: Tries) -> None:
    fail(tries, "ann", HERE, 3)
    assert tries.wait("ann", HERE) == LONGEST_WAIT


def test_what_fails_during_the_wait_neither_prolongs_it_nor_uses_up_what_others_may(tries: Tries, clock: Clock) -> None:
    """A job that has last year's password, and tries it again and again."""
    for _ in range(99):
        fail(tries, "ci", HERE, 100)
        clock.now += 1
    assert tries.wait("bob", HERE) == 0
    clock.now += 1
    assert tries.wait("ci", HERE) == 0


def test_an_address_that_is_wrong_for_many_users_waits_for_all_of_them(tries: Tries) -> None:
    for number in range(WIDER):
        assert tries.wait("bob", HERE) == 0
        fail(tries, f"user{number}", HERE, 3)
    assert tries.wait("bob", HERE) > 0
    assert tries.wait("bob", THERE) == 0


def test_a_user_who_is_wrong_at_many_addresses_waits_everywhere(tries: Tries) -> None:
    for number in range(WIDER):
        assert tries.wait("ann", HERE) == 0
        fail(tries, "ann", f"192.0.2.{100 + number}", 3)
    assert tries.wait("ann", HERE) > 0
    assert tries.wait("bob", HERE) == 0


def test_where_all_together_are_wrong_too_often_everybody_waits(tries: Tries, clock: Clock) -> None:
    for number in range(300):
        assert tries.wait("bob", HERE) == 0
        fail(tries, f"user{number}", f"net {number}")
    assert tries.wait("bob", HERE) > 0
    clock.now += 100
    assert tries.wait("bob", HERE) == 0


def test_success_forgives_the_user_at_that_address_alone(tries: Tries) -> None:
    fail(tries, "ann", HERE, 2)
    fail(tries, "ann", THERE, 2)
    tries.succeeded("ann", HERE, b"secret")
    fail(tries, "ann", HERE)
    fail(tries, "ann", THERE)
    assert tries.wait("ann", HERE) == 0
    assert tries.wait("ann", THERE) > 0


def test_the_success_of_one_does_not_let_another_at_her_address_guess_for_ever(tries: Tries) -> None:
    """Her program signs in many times a second, and forgives once in a window."""
    tries.succeeded("ann", HERE, b"secret")
    fail(tries, "ann", HERE, 2)
    tries.succeeded("ann", HERE, b"secret")
    fail(tries, "ann", HERE)
    assert tries.wait("ann", HERE) > 0


def test_a_right_password_is_recalled_where_it_was_right_and_nowhere_else(tries: Tries, clock: Clock) -> None:
    tries.succeeded("ann", HERE, b"secret")
    assert tries.may_recall("ann", HERE, b"secret")
    assert not tries.may_recall("ann", THERE, b"secret")
    assert not tries.may_recall("bob", HERE, b"secret")
    clock.now += 100
    assert not tries.may_recall("ann", HERE, b"secret")


def test_recalling_is_no_way_to_guess_that_nothing_counts(tries: Tries) -> None:
    tries.succeeded("ann", HERE, b"secret")
    guesses = [tries.may_recall("ann", HERE, b"guess %d" % number) for number in range(1000)]
    assert guesses == [True] * 3 * WIDER + [False] * (1000 - 3 * WIDER)
    assert tries.may_recall("ann", HERE, b"secret"), "which those guesses do not take from her"
    assert tries.may_recall("ann", HERE, b"guess 0"), "known not to be it"


def test_a_wrong_password_that_comes_again_uses_up_no_guess(tries: Tries) -> None:
    tries.succeeded("ann", HERE, b"secret")
    assert all(tries.may_recall("ann", HERE, b"last year's") for _ in range(1000))
    assert tries.may_recall("ann", HERE, b"another")


def test_the_log_tells_once_where_from_and_no_name_that_anybody_typed(
    tries: Tries, caplog: pytest.LogCaptureFixture
) -> None:
    fail(tries, "my-password", HERE, 50)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages == [f"too many wrong passwords of one user from {HERE}: none is judged for a while"]


def test_what_is_remembered_is_bounded_whatever_is_sent(clock: Clock) -> None:
    tries = Tries(failures=10, window=100, clock=clock)
    for number in range(5000):
        tries.failed("x" * 8000 + str(number), f"net {number}", b"%d" % number)
        tries.succeeded(f"user{number}", HERE, b"%d" % number)
        tries.succeeded(f"user{number}", THERE, b"%d" % number)
        tries.succeeded(f"user{number}", "net", b"%d" % number)
    failed, offered, wrong = tries._failed, tries._offered, tries._wrong
    assert len(failed._events) <= 1000
    assert REMEMBERED <= len(offered._events) <= REMEMBERED + 1
    assert len(wrong._events) <= len(failed._events) + 1
    assert all(len(repr(keys)) < 10 * MOST_NAME for _, keys in [*failed._events, *wrong._events])
    clock.now += 100
    assert tries.wait("ann", HERE) == 0
    assert not tries.may_recall("ann", HERE, b"")
    assert not failed._times
    assert not offered._times


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.booleans()), max_size=60))
def test_a_window_counts_as_one_counts_by_hand(steps: list[tuple[str, int, bool]]) -> None:
    clock = Clock()
    window, events = _Window(100, 10_000, clock), list[tuple[float, str]]()
    for key, seconds, forget in steps:
        clock.now += seconds
        if forget:
            window.forget(key)
            events = [event for event in events if event[1] != key]
        else:
            window.add(key)
            events.append((clock.now, key))
        for which in "ab":
            fresh = [when for when, other in events if other == which and when > clock.now - 100]
            assert window.count(which) == len(fresh)
            assert window.until_below(3, which) == (fresh[-3] + 100 - clock.now if len(fresh) > 2 else 0)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::ffff", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
    ],
)
def test_ipv6_addresses_count_by_their_network(address: str, origin: str) -> None:
    assert origin_of(ip_address(address)) == origin


def test_who_tells_no_address_has_an_origin_too() -> None:
    assert len({origin_of(None), origin_of(UNKNOWN), origin_of(ip_address("127.0.0.1"))}) == 3
