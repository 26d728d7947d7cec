"""How mirrors are judged: by values alone, with a clock that stands until a test moves it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MirrorFailed, NotFound
from proxy.upstream.breaker import FAILURES, PROBE, REFUSALS, Breaker, Patience
from proxy.upstream.health import (
    BEHIND,
    ENOUGH,
    LONG,
    MEMORY,
    SLOWER,
    Book,
    Declined,
    Health,
    LeftAlone,
    MirrorState,
    Question,
    slow,
)

PATIENCE = Patience(pause=5, longest_pause=60, refusal_pause=100, hedge=1)
URL = "https://one.example/simple/demo/"


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def breaker(clock: Clock, chance: float = 0.0) -> Breaker:
    return Breaker(PATIENCE, clock=clock, chance=lambda: chance)


def tried(one: Breaker, clock: Clock) -> None:
    """Wait for the pause to end, and try the mirror in vain."""
    clock.time += one.retry_in or 0.0
    assert one.begin()
    one.failed(probe=True)
    one.end()


def opened(one: Breaker) -> Breaker:
    for _ in range(FAILURES):
        one.failed(probe=one.begin())
    return one


# The breaker


def test_a_mirror_is_left_alone_after_three_failures_in_a_row(clock: Clock) -> None:
    one = breaker(clock)
    for _ in range(FAILURES - 1):
        one.failed(probe=one.begin())
        assert (one.state, one.retry_in) == ("closed", None)
    one.succeeded()
    for _ in range(FAILURES - 1):
        one.failed(probe=one.begin())
        assert one.may_ask()
    one.failed(probe=one.begin())
    assert (one.state, one.retry_in, one.may_ask()) == ("open", 5, False)


def test_when_its_pause_is_over_one_question_at_a_time_tries_it(clock: Clock) -> None:
    one = opened(breaker(clock))
    clock.time += 4.999
    assert not one.may_ask()
    clock.time += 0.001
    assert (one.state, one.retry_in) == ("half-open", 0)
    assert one.may_ask()
    assert one.begin()
    assert not one.may_ask()
    assert not one.may_ask(last_resort=True)
    one.end()
    assert one.may_ask()


def test_an_answer_to_the_one_that_tried_makes_it_well(clock: Clock) -> None:
    one = opened(breaker(clock))
    clock.time += 5
    one.begin()
    one.succeeded()
    one.end()
    assert one.state == "closed"
    # And all is forgotten: the next pause is as short as the first.
    assert opened(one).retry_in == 5


def test_each_pause_is_twice_as_long_up_to_the_longest(clock: Clock) -> None:
    one = opened(breaker(clock))
    pauses = []
    for _ in range(6):
        pauses.append(one.retry_in)
        tried(one, clock)
    assert pauses == [5, 10, 20, 40, 60, 60]


@pytest.mark.parametrize(("chance", "pauses"), [(0.0, [5, 10]), (0.5, [5.625, 11.25]), (0.999, [6.25, 12.5])])
def test_pauses_differ_by_chance(clock: Clock, chance: float, pauses: list[float]) -> None:
    one = opened(breaker(clock, chance))
    first = one.retry_in
    tried(one, clock)
    assert [first, one.retry_in] == pytest.approx(pauses, abs=0.01)


def test_what_went_out_before_it_was_left_alone_says_nothing_new(clock: Clock) -> None:
    one = opened(breaker(clock))
    for _ in range(50):
        one.failed(probe=False)
    assert one.retry_in == 5
    one.succeeded()
    assert one.state == "closed"


def test_a_refusal_leaves_it_alone_at_once_and_for_long(clock: Clock) -> None:
    one = breaker(clock)
    one.refused(probe=one.begin())
    assert (one.state, one.retry_in) == ("open", 100)
    one.refused(probe=False)
    assert one.retry_in == 100
    pauses = []
    for _ in range(5):
        pauses.append(one.retry_in)
        clock.time += one.retry_in or 0.0
        one.refused(probe=one.begin())
        one.end()
    assert pauses == [100, 200, 400, REFUSALS * 100, REFUSALS * 100]
    clock.time += one.retry_in or 0.0
    one.succeeded()
    one.refused(probe=False)
    assert one.retry_in == 100


def test_a_retry_after_is_obeyed_to_the_second_whatever_the_need(clock: Clock) -> None:
    one = breaker(clock, chance=0.9)
    one.told_to_wait(7)
    one.succeeded()  # an answer to a question that went out before
    clock.time += 6.999
    assert not one.may_ask()
    assert not one.may_ask(last_resort=True)
    clock.time += 0.001
    assert one.may_ask()
    assert one.begin()
    one.succeeded()
    assert one.state == "closed"


def test_the_longer_of_two_waits_counts(clock: Clock) -> None:
    one = breaker(clock)
    one.told_to_wait(60)
    one.told_to_wait(7)
    assert one.retry_in == 60
    clock.time += 59
    assert not one.may_ask(last_resort=True)


def test_as_a_last_resort_it_is_tried_every_other_second(clock: Clock) -> None:
    one = opened(breaker(clock))
    assert not one.may_ask(last_resort=True)
    for _ in range(3):
        clock.time += PROBE - 0.001
        assert not one.may_ask(last_resort=True)
        clock.time += 0.001
        assert one.may_ask(last_resort=True)
        assert one.begin()
        assert not one.may_ask(last_resort=True)
        one.failed(probe=True)
        one.end()
    assert one.may_ask() is False


def test_one_that_is_tried_and_beaten_by_another_keeps_its_pause(clock: Clock) -> None:
    one = opened(breaker(clock))
    for _ in range(3):
        clock.time += 5
        assert one.begin()
        one.unanswered(probe=True)
        one.end()
        assert one.retry_in == 5
    one.succeeded()
    one.unanswered(probe=one.begin())
    assert one.state == "closed"


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["ask", "ask at last", "succeeded", "failed", "refused", "unanswered", "gone"]),
            st.floats(0.01, 1000).map(lambda seconds: ("pass", seconds)),
            st.integers(1, 60).map(lambda seconds: ("wait", seconds)),
        ),
        max_size=60,
    ),
    st.floats(0, 0.999),
)
def test_whatever_happens_it_comes_back_and_is_never_asked_in_a_time_that_it_forbade(
    events: list[str | tuple[str, float]], chance: float
) -> None:
    clock = Clock()
    one = breaker(clock, chance)
    under_way: list[bool] = []
    forbidden = 0.0
    for event in events:
        match event:
            case ("pass", seconds):
                clock.time += seconds
            case ("wait", seconds):
                forbidden = max(forbidden, clock.time + seconds)
                one.told_to_wait(seconds)
            case "ask" | "ask at last":
                if one.may_ask(last_resort=event == "ask at last"):
                    assert clock.time >= forbidden
                    under_way.append(one.begin())
                    assert sum(under_way) <= 1
            case _ if under_way:
                probe = under_way.pop()
                if event == "succeeded":
                    one.succeeded()
                elif event != "gone":
                    getattr(one, str(event))(probe=probe)
                if probe:
                    one.end()
            case _:
                pass
        assert (one.retry_in or 0.0) <= REFUSALS * PATIENCE.refusal_pause + 1e-6
        assert one.may_ask() or one.state != "closed"
    for probe in under_way:
        if probe:
            one.end()
    clock.time += REFUSALS * PATIENCE.refusal_pause + 1
    assert one.may_ask()


# The books


def health(clock: Clock, name: str = "one", **others: Health) -> Health:
    """A mirror at one.example; *others* by the first label of their hosts."""
    return Health(
        name,
        patience=PATIENCE,
        now=lambda: clock() + 1e9,
        clock=clock,
        chance=lambda: 0.0,
        at=lambda host: others.get(host.partition(".")[0]),
    )


def ask(
    book: Book, error: BaseException, *urls: str, answered: bool = False, wait: Callable[[], None] | None = None
) -> None:
    """A question for *urls* that ends in *error*."""
    with book.question("demo") as question:
        for url in urls or (URL,):
            question.asks(url)
        if answered:
            question.answered()
        if wait is not None:
            wait()
        raise error


def fail(book: Book, error: MirrorFailed) -> None:
    with pytest.raises(type(error)):
        ask(book, error)


def refusal(host: str = "one.example", wait: float | None = None) -> Declined:
    return Declined("one answered 403 Forbidden.", host=host, wait=wait)


def answer(book: Book, clock: Clock, seconds: float) -> None:
    with book.question("demo") as question:
        question.asks(URL)
        clock.time += seconds
        question.answered()
        question.succeeded()


def send(book: Book, clock: Clock, *chunks: tuple[float, int]) -> Question:
    """A file in *chunks*, each after so many seconds."""
    with book.question("demo-1.0.tar.gz") as question:
        question.asks(URL)
        question.answered()
        for seconds, count in chunks:
            clock.time += seconds
            question.came(count)
    return question


def test_a_failure_puts_a_mirror_behind_for_a_moment_and_an_answer_ends_that(clock: Clock) -> None:
    book = health(clock).pages
    fail(book, MirrorFailed("one broke off."))
    assert book.ill
    assert book.breaker.may_ask()
    clock.time += BEHIND
    assert not book.ill
    fail(book, MirrorFailed("one broke off."))
    answer(book, clock, 0.1)
    assert not book.ill


def test_not_found_is_an_answer(clock: Clock) -> None:
    book = health(clock).pages
    for _ in range(FAILURES - 1):
        fail(book, MirrorFailed("one broke off."))
    with pytest.raises(NotFound), book.question("demo"):
        raise NotFound("one has no project demo.")
    assert not book.ill
    fail(book, MirrorFailed("one broke off."))
    assert book.breaker.state == "closed"


def test_whatever_is_not_the_mirrors_doing_says_nothing_of_it(clock: Clock) -> None:
    book = health(clock).pages
    for error in (OSError(28, "No space left on device"), ValueError("ours")):
        for _ in range(FAILURES):
            with pytest.raises(type(error)), book.question("demo"):
                raise error
    assert (book.breaker.state, book.ill, book.failed) == ("closed", False, 0)


def test_a_refused_file_says_nothing_of_pages(clock: Clock) -> None:
    one = health(clock)
    fail(one.files, refusal())
    assert (one.files.breaker.state, one.pages.breaker.state) == ("open", "closed")
    assert one.files.breaker.retry_in == 100


def test_a_retry_after_holds_for_the_whole_server(clock: Clock) -> None:
    one = health(clock)
    fail(one.files, refusal(wait=7))
    for book in (one.files, one.pages):
        assert book.breaker.retry_in == 7
        told = "one is left alone for another 7 s after: one answered 403 Forbidden"
        with pytest.raises(LeftAlone, match=told), book.question("demo", last_resort=True):
            pytest.fail("nothing may be asked")
    assert one.pages.asked == 0


def test_who_is_left_alone_is_neither_asked_nor_blamed_nor_named_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    book = health(clock).pages
    for _ in range(FAILURES):
        fail(book, MirrorFailed("one broke off."))
    assert (book.asked, book.failed) == (3, 3)
    caplog.clear()
    for _ in range(20):
        with pytest.raises(LeftAlone), book.question("demo"):
            pytest.fail("nothing may be asked")
    assert (book.asked, book.failed, caplog.records) == (3, 3, [])


def test_each_change_is_one_line_and_what_does_not_change_is_none(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    book = health(clock).pages
    for _ in range(FAILURES):
        fail(book, MirrorFailed("one broke off."))
    said = ["mirror one, asked for demo: one broke off."] * 3 + ["mirror one is left alone for 5 s, as far as pages go"]
    assert caplog.messages == said
    for _ in range(5):
        clock.time += book.breaker.retry_in or 0.0
        fail(book, MirrorFailed("one broke off."))
    assert caplog.messages == said
    clock.time += book.breaker.retry_in or 0.0
    fail(book, MirrorFailed("one sent nothing."))
    clock.time += book.breaker.retry_in or 0.0
    answer(book, clock, 0.1)
    answer(book, clock, 0.1)
    assert caplog.messages[4:] == [
        "mirror one, asked for demo: one sent nothing.",
        "mirror one answers again, as far as pages go",
    ]


def test_who_refuses_behind_a_redirect_is_left_alone_and_not_who_sent_us_there(clock: Clock) -> None:
    two = health(clock, "two")
    one = health(clock, two=two)
    fail(one.files, refusal("two.example"))
    assert (one.files.breaker.state, two.files.breaker.state, two.pages.breaker.state) == ("closed", "open", "closed")
    assert not one.files.ill
    # And nobody is led there meanwhile.
    with pytest.raises(LeftAlone, match="one leads on to another mirror: two is left alone for another 100 s"):
        ask(one.files, OSError(), URL, "https://elsewhere.example/a.whl", "https://two.example/a.whl")
    assert one.files.failed == 1


def test_a_refusal_of_somebody_unknown_behind_a_redirect_is_a_failure_like_others(clock: Clock) -> None:
    book = health(clock).files
    fail(book, refusal("storage.example"))
    assert (book.breaker.state, book.ill) == ("closed", True)
    fail(book, refusal("storage.example", wait=7))
    assert book.breaker.retry_in == 7


def test_the_last_error_is_kept_for_the_operator_in_the_mirrors_own_words(clock: Clock) -> None:
    one = health(clock)
    fail(one.files, MirrorFailed("one broke off."))
    clock.time += 10
    one.tell("all projects", MirrorFailed("one answered 500 Oh no."))
    state = one.state("https://one.example/simple/")
    assert (state.last_error, state.last_error_at) == ("one answered 500 Oh no.", 1e9 + 1010)
    assert (state.asked, state.failed, state.pages) == (1, 1, "closed")
    assert msgspec.json.decode(msgspec.json.encode(state), type=MirrorState) == state


def test_of_what_is_in_no_book_only_a_retry_after_counts(clock: Clock) -> None:
    one = health(clock)
    for _ in range(FAILURES):
        one.tell("all projects", MirrorFailed("one answered 500 Oh no."))
        one.tell("all projects", refusal())
    assert (one.pages.breaker.state, one.files.breaker.state) == ("closed", "closed")
    one.tell("all projects", refusal(wait=7))
    assert (one.pages.breaker.retry_in, one.files.breaker.retry_in) == (7, 7)


# Measures


def test_latency_is_a_moving_average_that_is_forgotten(clock: Clock) -> None:
    book = health(clock).pages
    assert book.latency.value is None
    answer(book, clock, 1.0)
    answer(book, clock, 2.0)
    assert book.latency.value == pytest.approx(1.3)
    clock.time += MEMORY
    assert book.latency.value is None
    answer(book, clock, 0.2)
    assert book.latency.value == pytest.approx(0.2)


def test_speed_is_that_of_the_line_and_not_of_the_first_bytes(clock: Clock) -> None:
    book = health(clock).files
    send(book, clock, (3.0, 10), (1.0, ENOUGH), (1.0, ENOUGH))
    assert book.speed.value == pytest.approx(ENOUGH)
    send(book, clock, (0.0, 100 * ENOUGH), (0.001, 10))
    assert book.speed.value == pytest.approx(ENOUGH)


def test_a_trickle_is_measured_too(clock: Clock) -> None:
    book = health(clock).files
    send(book, clock, (0.0, 10), (LONG / 2, 500), (LONG / 2, 500))
    assert book.speed.value == pytest.approx(1000 / LONG)


def test_a_file_that_comes_is_an_answer_before_its_end(clock: Clock) -> None:
    book = health(clock).files
    for _ in range(FAILURES):
        fail(book, MirrorFailed("one broke off."))
    clock.time += 5
    with book.question("demo-1.0.tar.gz") as question:
        question.asks(URL)
        question.answered()
        question.came(ENOUGH - 1)
        assert not book.breaker.may_ask()
        question.came(1)
        assert book.breaker.may_ask()
        assert book.breaker.retry_in is None


@pytest.mark.parametrize("answered", [False, True])
def test_who_is_given_up_after_the_patience_is_over_is_slow_and_has_not_failed(clock: Clock, answered: bool) -> None:
    """A head alone is no answer."""
    book = health(clock).pages

    def given_up_after(seconds: float) -> None:
        def wait() -> None:
            clock.time += seconds

        with pytest.raises(asyncio.CancelledError):
            ask(book, asyncio.CancelledError(), answered=answered, wait=wait)

    given_up_after(0.9)
    assert not book.latency.value
    given_up_after(4.0)
    assert (book.latency.value or 0) > 1
    assert (book.failed, book.ill) == (0, False)


@pytest.mark.parametrize(
    ("costs", "behind"),
    [
        ({}, set[str]()),
        ({"one": 2.0}, set()),
        ({"one": 0.1 * SLOWER, "two": 0.1}, set()),
        ({"one": 0.11 * SLOWER, "two": 0.1}, {"one"}),
        ({"one": 1.0, "two": 0.1, "three": 1.1}, {"one", "three"}),
        ({"one": 0.14, "two": 0.001}, set()),  # nobody would notice
    ],
)
def test_who_is_clearly_slower_than_the_best_is_told(clock: Clock, costs: dict[str, float], behind: set[str]) -> None:
    books = {name: health(clock, name).pages for name in ("one", "two", "three")}
    for name, seconds in costs.items():
        answer(books[name], clock, seconds)
    assert slow(books.values()) == behind


def test_of_files_a_slow_line_counts_as_well_as_a_slow_answer(clock: Clock) -> None:
    one, two, three = (health(clock, name).files for name in ("one", "two", "three"))
    send(one, clock, (0.0, 0), (1.0, 4 * ENOUGH))
    send(two, clock, (0.0, 0), (1.0, ENOUGH))
    send(three, clock, (0.0, 0), (1.0, 4 * ENOUGH))
    assert slow([one, two, three]) == {"two"}
    answer(three, clock, 3.0)
    assert slow([one, two, three]) == {"two", "three"}


@given(st.dictionaries(st.sampled_from(["one", "two", "three", "four"]), st.floats(0.001, 100)))
def test_somebody_is_always_good_enough(costs: dict[str, float]) -> None:
    clock = Clock()
    books = {name: health(clock, name).pages for name in ("one", "two", "three", "four")}
    for name, seconds in costs.items():
        answer(books[name], clock, seconds)
    behind = slow(books.values())
    assert behind < set(books)
    assert not costs or min(costs, key=lambda name: costs[name]) not in behind
