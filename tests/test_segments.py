"""Whom a plan asks for which piece of a file, whom beside him, and whom it gives up; time is a number here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.segments import MIB, Flight, Pace, Plan
from proxy.spans import NOTHING, Spans

from .fake_upstream import FakePlace, FakeSources

PACE = Pace()


def places(*names: str, busy: Iterable[str] = ()) -> list[FakePlace]:
    return [FakePlace(name, FakeSources([]), [], busy=name in busy) for name in names]


def planned(total: int | None, *, have: Spans = NOTHING, patchable: bool = True, spread: bool = True) -> Plan:
    plan = Plan(PACE, patchable=patchable, spread=spread, have=have)
    plan.learn(total)
    return plan


def asked(
    plan: Plan, *names: str, now: float = 0.0, wanted: Iterable[int] = (), avoid: Iterable[str] = ()
) -> list[str]:
    """All that is asked for now, as "place begin-end" in MiB."""
    found = list[str]()
    while flight := plan.next(places(*names), set(avoid), now=now, wanted=wanted):
        until = "" if flight.until is None else f"{flight.until / MIB:g}"
        found.append(f"{flight.place} {flight.begin / MIB:g}-{until}")
    return found


def answer(plan: Plan, *names: str, now: float = 0.0) -> None:
    """Let all questions be answered with the parts that they ask for."""
    for flight in plan.flights:
        if not flight.answered:
            assert plan.answered(flight, flight.begin, places(*names), now)


def bring(plan: Plan, flight: Flight, mib: float, *, now: float) -> None:
    plan.came(flight, int(mib * MIB), now)


def at(plan: Plan, begin: float) -> Flight:
    """The flight under way that began at *begin* MiB."""
    return next(flight for flight in plan.flights if flight.begin == int(begin * MIB))


def finish(plan: Plan, flight: Flight, *, now: float) -> None:
    """Let *flight* bring all the rest of what it was asked for."""
    assert flight.end is not None
    plan.came(flight, flight.end - flight.at, now)
    plan.landed(flight, now)


def overdue(plan: Plan, now: float) -> list[Flight]:
    return [flight for flight, _ in plan.overdue(now)]


def under_way(total: float, *names: str) -> Plan:
    """A file of *total* MiB of which every connection brings a piece now, from clock 0 on."""
    plan = planned(int(total * MIB))
    asked(plan, *names)
    answer(plan, *names)
    asked(plan, *names)
    answer(plan, *names)
    assert len(plan.flights) == PACE.connections
    return plan


# Pieces


@pytest.mark.parametrize("total", [1, PACE.above - 1, None])
def test_what_is_small_or_of_unknown_length_is_one_question_for_all_of_it(total: int | None) -> None:
    plan = planned(total)
    assert asked(plan, "one", "two") == ["one 0-"]


def test_the_small_rest_of_a_big_file_is_one_question_too() -> None:
    plan = planned(100 * MIB, have=Spans.of([(0, 95 * MIB)]))
    assert asked(plan, "one", "two") == ["one 95-"]


def test_each_place_shows_with_one_question_that_it_gives_parts_before_it_is_asked_more() -> None:
    plan = planned(100 * MIB)
    assert asked(plan, "one", "two") == ["one 0-1", "two 1-2", "one 2-3"]
    answer(plan, "one", "two")
    assert asked(plan, "one", "two") == ["two 3-4", "one 4-5", "two 5-6", "one 6-7", "two 7-8"]


def test_the_earliest_gap_is_filled_first_and_what_a_flight_leaves_undone_is_one() -> None:
    plan = under_way(100, "one", "two")
    lost = at(plan, 1)
    bring(plan, lost, 0.25, now=1.0)
    plan.landed(lost, 1.0)
    assert asked(plan, "one", "two", now=1.0) == ["two 1.25-2"]


def test_what_somebody_waits_for_comes_before_the_earliest_gap() -> None:
    plan = under_way(100, "one", "two")
    finish(plan, at(plan, 0), now=0.1)
    (found,) = asked(plan, "one", now=0.1, wanted=[3 * MIB, 60 * MIB])
    assert found.startswith("one 60-")  # the byte at 3 MiB is on its way


def test_a_fast_place_is_asked_for_much_at_a_time_and_a_slow_one_for_little() -> None:
    plan = under_way(1000, "one")
    finish(plan, at(plan, 0), now=0.1)
    assert asked(plan, "one", now=0.1) == ["one 8-18"]
    plan = under_way(1000, "one")
    finish(plan, at(plan, 0), now=0.01)
    assert asked(plan, "one", now=0.01) == ["one 8-24"]
    plan = under_way(1000, "one")
    finish(plan, at(plan, 0), now=1.9)
    assert asked(plan, "one", now=1.9) == ["one 8-9"]


def test_no_crumbs_are_left_for_another_question() -> None:
    plan = planned(8 * MIB + 100_000)
    asked(plan, "one")
    answer(plan, "one")
    assert asked(plan, "one")[-1].startswith("one 7-8.0")
    assert len(plan.flights) == PACE.connections
    assert max(flight.end or 0 for flight in plan.flights) == 8 * MIB + 100_000


def test_a_length_that_is_told_late_makes_pieces_of_the_rest() -> None:
    plan = planned(None)
    assert asked(plan, "one", "two") == ["one 0-"]
    plan.learn(80 * MIB)
    answer(plan, "one", "two")
    assert plan.flights[0].end == 10 * MIB
    assert asked(plan, "one", "two") == ["two 10-11", "one 11-12"]


def test_without_a_digest_one_place_is_asked_for_all() -> None:
    plan = planned(100 * MIB, patchable=False)
    assert asked(plan, "one", "two", now=100.0) == ["one 0-"]
    assert asked(plan, "one", "two", now=200.0) == []


def test_one_place_at_a_time_is_asked_where_one_of_them_lied() -> None:
    plan = planned(100 * MIB, spread=False)
    assert asked(plan, "one", "two") == ["one 0-1", "one 1-2"]
    answer(plan, "one", "two")
    assert {flight.place for flight in plan.flights} == {"one"}
    asked(plan, "one", "two")
    assert len(plan.flights) == PACE.connections
    assert {flight.place for flight in plan.flights} == {"one"}


# Places


@pytest.mark.parametrize("kind", ["busy", "avoided", "refused", "absent"])
def test_who_is_busy_or_in_doubt_does_not_help(kind: str) -> None:
    plan = planned(100 * MIB)
    if kind == "refused":
        plan.failed("two", 0.0)
    if kind == "absent":
        plan.absent.add("two")
    offered = places("one", "two", busy=["two"] if kind == "busy" else [])
    avoid = {"two"} if kind == "avoided" else set[str]()
    while plan.next(offered, avoid, now=0.0):
        answer(plan, "one", "two")
    assert {flight.place for flight in plan.flights} == {"one"}


def test_who_failed_helps_again_after_a_while() -> None:
    plan = planned(100 * MIB)
    plan.failed("two", -9.0)
    assert asked(plan, "one", "two", now=0.0) == ["one 0-1", "one 1-2"]
    assert asked(plan, "one", "two", now=1.5) == ["two 2-3"]


def test_who_has_refused_in_this_round_is_not_asked_again() -> None:
    plan = planned(1)
    first = plan.next(places("one", "two"), (), now=0.0)
    assert first is not None
    plan.landed(first, 0.0)
    plan.refused["one"] = "no"
    assert asked(plan, "one", "two") == ["two 0-"]


def test_a_place_without_parts_brings_on_what_it_began_where_nobody_else_does() -> None:
    plan = planned(20 * MIB)
    assert asked(plan, "one") == ["one 0-1", "one 1-2"]
    stream, probe = plan.flights
    assert plan.answered(stream, 0, places("one"), 0.0)
    assert not plan.answered(probe, 0, places("one"), 0.0)
    plan.landed(probe, 0.0)
    assert asked(plan, "one") == []
    bring(plan, stream, 1, now=0.1)
    while plan.extend(stream):
        assert stream.end is not None
        bring(plan, stream, (stream.end - stream.at) / MIB, now=0.2)
    assert plan.complete


def test_a_place_without_parts_stops_where_another_goes_on() -> None:
    plan = planned(100 * MIB)
    asked(plan, "one", "two")
    stream = at(plan, 0)
    answer(plan, "one", "two")
    bring(plan, stream, 1, now=0.1)
    assert not plan.extend(stream)


def test_a_place_without_parts_is_read_over_where_there_is_no_other() -> None:
    plan = planned(20 * MIB, have=Spans.of([(0, 5 * MIB)]))
    asked(plan, "one", "two")
    first = plan.flights[0]
    for flight in list(plan.flights[1:]):
        plan.landed(flight, 0.0)
    assert not plan.answered(first, 0, places("one", "two"), 0.0)  # the other may give parts
    plan.landed(first, 0.0)
    assert asked(plan, "one", "two") == ["two 5-6"]
    plan.landed(plan.flights[0], 0.0)
    plan.refused["two"] = "no"
    (again,) = asked(plan, "one", "two")
    assert again == "one 5-6"
    assert plan.answered(plan.flights[0], 0, places("one", "two"), 0.0)
    bring(plan, plan.flights[0], 5, now=1.0)
    assert plan.flights[0].fresh == 0
    bring(plan, plan.flights[0], 15, now=2.0)
    assert plan.complete


# Slow sources


def test_a_source_eight_times_slower_than_the_best_loses_its_piece() -> None:
    plan = under_way(1000, "one", "two")
    for second in (1, 2, 3):
        for flight in plan.flights:
            bring(plan, flight, 0.02 if flight.place == "two" else 0.1, now=float(second))
    assert overdue(plan, 3.0) == []
    for second in (4, 5, 6):
        for flight in plan.flights:
            bring(plan, flight, 0.01 if flight.place == "two" else 0.1, now=float(second))
    slow = overdue(plan, 6.0)
    assert {flight.place for flight in slow} == {"two"}
    assert len(slow) == 4
    for flight in slow:
        plan.landed(flight, 6.0)
    assert asked(plan, "one", "two", now=6.0)[0].startswith("one 1.")  # from where it stood


def test_when_our_own_disk_stands_still_nobody_is_called_slow() -> None:
    plan = under_way(1000, "one", "two")
    for flight in plan.flights:
        bring(plan, flight, 0.5, now=0.5)
    assert overdue(plan, 60.0) == []


def test_a_stalled_beginning_is_raced_before_anything_else_is_asked() -> None:
    plan = under_way(1000, "one", "two")
    for flight in list(plan.flights[1:5]):
        finish(plan, flight, now=1.0)
    asked(plan, "one", "two", now=1.0)
    finish(plan, plan.flights[-1], now=2.5)
    assert asked(plan, "one", "two", now=2.5)[0] == "two 0-1"
    assert plan.flights[-1].beside is at(plan, 0)


def test_the_end_is_raced_by_who_has_nothing_else_to_do_and_the_loser_is_given_up() -> None:
    plan = under_way(9, "one", "two")
    for flight in list(plan.flights):
        if flight.begin:
            finish(plan, flight, now=0.5)
    slow = plan.flights[0]
    bring(plan, slow, 0.01, now=0.5)
    asked(plan, "two", now=0.5)
    finish(plan, plan.flights[-1], now=1.0)
    assert asked(plan, "one", "two", now=1.0) == []  # watched first
    bring(plan, slow, 0.01, now=2.1)
    (race,) = asked(plan, "one", "two", now=2.1)
    assert race.startswith("two 0.0")
    assert asked(plan, "one", "two", now=2.2) == []  # once is enough
    racing = plan.flights[-1]
    answer(plan, "one", "two")
    bring(plan, slow, 0.01, now=2.2)
    assert overdue(plan, 2.2) == []
    bring(plan, racing, 0.5, now=2.3)
    assert overdue(plan, 2.3) == [slow]
    plan.landed(slow, 2.3)
    finish(plan, racing, now=2.5)
    assert plan.complete
    assert 0 < plan.doubled < 0.1 * MIB


def test_a_racer_that_is_slower_still_is_given_up() -> None:
    plan = planned(5 * MIB)
    asked(plan, "one")
    answer(plan, "one")
    for second in (1, 2, 3):
        bring(plan, plan.flights[0], 0.1, now=float(second))
    asked(plan, "one", "two", now=3.0)
    slow, racing = plan.flights
    plan.answered(racing, racing.begin, places("one", "two"), 3.1)
    for second in (4, 5, 6):
        bring(plan, slow, 0.1, now=float(second))
        bring(plan, racing, 0.01, now=float(second))
    assert overdue(plan, 6.0) == [racing]


@pytest.mark.parametrize(("rate", "raced"), [(0.1, True), (0.6, False), (0.0, True)])
def test_a_small_file_that_crawls_is_raced_by_a_place_that_was_not_tried(rate: float, raced: bool) -> None:
    plan = planned(4 * MIB)
    asked(plan, "one")
    answer(plan, "one")
    for second in (1, 2):
        bring(plan, plan.flights[0], rate, now=float(second))
    assert asked(plan, "one", now=2.0) == []  # there is no other
    assert asked(plan, "one", "two", now=1.9) == []
    assert bool(asked(plan, "one", "two", now=2.0)) == raced
    assert asked(plan, "one", "two", "three", now=2.0) == []


@pytest.mark.parametrize(("doubled", "raced"), [(0, True), (1000 * MIB // 8 - 10, False)])
def test_races_cost_a_bounded_number_of_bytes(doubled: int, raced: bool) -> None:
    plan = under_way(1000, "one", "two")
    for flight in list(plan.flights[1:5]):
        finish(plan, flight, now=1.0)
    asked(plan, "one", "two", now=1.0)
    finish(plan, plan.flights[-1], now=2.5)
    plan.doubled = doubled
    assert asked(plan, "one", "two", now=2.5) != []
    assert any(flight.beside is not None for flight in plan.flights) is raced


# All together


@dataclass
class Source:
    """A place of the simulation."""

    rate: float
    """Bytes per second and connection."""
    latency: float
    parts: bool
    breaks: int | None
    """Bytes after which each answer breaks."""


SOURCES = st.builds(
    Source,
    rate=st.sampled_from([20_000.0, 300_000.0, 2e6, 20e6]),
    latency=st.sampled_from([0.01, 0.1, 1.5]),
    parts=st.sampled_from([True, True, True, False]),
    breaks=st.none() | st.integers(300_000, 10 * MIB),
)


def simulated(plan: Plan, sources: dict[str, Source], *, step: float = 0.05, longest: float = 20_000.0) -> float:
    """The time that it takes to bring a file; what breaks is asked again at once."""
    now = 0.0
    while not plan.complete:
        assert now < longest, plan
        while flight := plan.next(places(*sources), (), now=now):
            assert sum(not other.answered for other in plan.flights) <= PACE.connections
        assert plan.flights
        for flight in list(plan.flights):
            source = sources[flight.place]
            if not flight.answered and now - flight.asked >= source.latency:
                begin = flight.begin if source.parts else 0
                if not plan.answered(flight, begin, places(*sources), now):
                    plan.landed(flight, now)
            elif flight.answered:
                went(plan, flight, source, int(source.rate * step), now)
        for flight in overdue(plan, now):
            plan.landed(flight, now)
        now += step
    return now


def went(plan: Plan, flight: Flight, source: Source, count: int, now: float) -> None:
    """Let *flight* bring *count* bytes, or what is left of them."""
    assert flight.end is not None
    if not source.parts and flight.at + count > flight.end:
        plan.extend(flight)
    plan.came(flight, min(count, flight.end - flight.at), now)
    broken = source.breaks is not None and flight.at - flight.begin >= source.breaks
    goes_on = flight.at < flight.end or (not source.parts and plan.extend(flight))
    if broken or not goes_on:
        plan.landed(flight, now)


@settings(max_examples=60, deadline=None)
@given(total=st.integers(0, 60 * MIB), sources=st.lists(SOURCES, min_size=1, max_size=3))
def test_whatever_sources_do_each_file_comes_whole_and_little_of_it_twice(total: int, sources: list[Source]) -> None:
    if not any(source.parts for source in sources):
        sources[0].breaks = None  # or nobody could ever bring the end of it
    plan = planned(total)
    simulated(plan, {f"m{number}": source for number, source in enumerate(sources)})
    assert plan.have == Spans.of([(0, total)])
    assert plan.doubled <= max(PACE.largest, total // 8) + MIB


def test_speeds_of_connections_and_places_add_up() -> None:
    def seconds(*rates: float) -> float:
        sources = {f"m{number}": Source(rate, 0.1, True, None) for number, rate in enumerate(rates)}
        return simulated(planned(200 * MIB), sources)

    alone = 200 * MIB / 2e6
    assert seconds(2e6) < alone / 6
    assert seconds(2e6, 2e6) < alone / 6
    assert seconds(2e6, 2e4) < alone / 5  # the slow one is dropped
