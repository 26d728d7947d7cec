"""What an index removed and what a mirror lost: the rules by themselves, and pages over real sockets by them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from proxy.errors import NotFound
from proxy.simple.model import JSON, File, Project
from proxy.simple.names import parse_name, versions_of
from proxy.storage import Missing
from proxy.upstream.removals import (
    CHANGE,
    CONFIRM,
    MOST_REMOVED,
    REMOVED,
    agrees,
    better,
    missed,
    resettled,
    served,
    settled,
)

from .fakes import MemoryPages
from .make import file
from .test_mirrors import DEMO
from .test_pages import FRESH, House, house, versions
from .upstream_listing import Shelf
from .upstream_server import Reply, Request, UpstreamServer

NAME = parse_name("demo")
NOW = 1_800_000_000.0


def page(*numbers: str, **fields: Any) -> Project:
    """A page that lists demo-*number*.tar.gz."""
    files = {f"demo-{number}.tar.gz": listed(number) for number in sorted(numbers)}
    return Project(**{"name": NAME, "files": files, "versions": versions_of(NAME, files), **fields})


def listed(number: str, **fields: Any) -> File:
    return file(f"demo-{number}.tar.gz", number.encode(), origin="pypi", **fields)


def names(missing: Sequence[Missing]) -> list[str]:
    return [one.file.filename.removeprefix("demo-").removesuffix(".tar.gz") for one in missing]


def lost(known: Project, new: Project, missing: Sequence[Missing] = (), **how: Any) -> tuple[Missing, ...]:
    return missed(known, new, missing, **{"serial": None, "reached": None, "now": NOW, "keep": False, **how})


# The rules by themselves

FIVE = ("1", "2", "3", "4", "5")


@pytest.mark.parametrize(
    ("serial", "reached", "stays"),
    [(11, 10, []), (10, 10, ["5"]), (None, 10, ["5"]), (11, None, ["5"]), (9, 10, ["5"])],
)
def test_only_a_page_with_a_higher_serial_drops_a_file_at_once(
    serial: int | None, reached: int | None, stays: list[str]
) -> None:
    assert names(lost(page(*FIVE), page(*FIVE[:4]), serial=serial, reached=reached)) == stays


@pytest.mark.parametrize(
    ("had", "has", "believed"), [(5, 3, True), (5, 2, False), (4, 2, True), (4, 1, False), (2, 0, False), (1, 0, True)]
)
def test_a_later_page_that_loses_most_of_its_files_is_not_believed_at_once(had: int, has: int, believed: bool) -> None:
    still = lost(page(*FIVE[:had]), page(*FIVE[:has]), serial=11, reached=10)
    assert (still == ()) is believed
    assert believed or names(still) == list(FIVE[has:had])


@pytest.mark.parametrize(("later", "stays"), [(CONFIRM - 0.1, True), (CONFIRM, False), (1e6, False), (-1.0, False)])
def test_the_second_word_of_a_minute_later_is_believed(later: float, stays: bool) -> None:
    missing = lost(page(*FIVE), page("1"))
    assert bool(lost(page(*FIVE), page("1"), missing, now=NOW + later)) is stays


def test_what_is_listed_again_is_not_missed_and_begins_anew() -> None:
    missing = lost(page(*FIVE), page(*FIVE[:3]))
    missing = lost(page(*FIVE), page(*FIVE[:4]), missing, now=NOW + 30)
    assert [(one.file.filename, one.since) for one in missing] == [("demo-5.tar.gz", NOW)]
    missing = lost(page(*FIVE), page(*FIVE[:3]), missing, now=NOW + 61)
    assert [(one.file.filename, one.since) for one in missing] == [("demo-4.tar.gz", NOW + 61)]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("serial", [None, 8])
def test_other_bytes_under_a_known_name_are_not_served_for_a_day(serial: int | None, keep: bool) -> None:
    """No index may change a file (A23): a later page, another mirror and a minute are no word for it."""
    known = page("1", "2")
    now: dict[str, Any] = {"serial": serial, "reached": 7, "keep": keep}
    other = Project(name=NAME, files={**known.files, "demo-1.tar.gz": file("demo-1.tar.gz", b"other", origin="pypi")})
    missing = lost(known, other, **now)
    assert names(missing) == ["1"]
    assert served(other, missing).files == known.files
    assert not agrees(missing[0], other, serial=None)
    assert lost(known, other, missing, **{**now, "now": NOW + CHANGE - 1}) == missing
    assert lost(known, other, missing, **{**now, "now": NOW + CHANGE}) == ()
    assert lost(known, known, missing, **now) == ()  # the page has come to its senses


def test_a_file_whose_hash_one_page_leaves_out_is_no_other_file() -> None:
    known = page("1")
    bare = Project(name=NAME, files={"demo-1.tar.gz": listed("1", hashes={})})
    assert lost(known, bare) == lost(bare, known) == ()


def test_another_mirror_agrees_unless_its_page_is_older_than_the_file() -> None:
    (missing,) = lost(page(*FIVE), page(*FIVE[:4]), reached=10)
    assert agrees(missing, page("1"), serial=None)
    assert agrees(missing, page("1"), serial=10)
    assert not agrees(missing, page("1"), serial=9)
    assert not agrees(missing, page("5"), serial=11)


def test_an_older_page_that_mirrors_let_in_is_confirmed_like_any_other() -> None:
    """Else one wild serial, once seen, would hold a file on the page for ever."""
    missing = lost(page(*FIVE), page(*FIVE[:4]), serial=9, reached=10**17)
    assert names(missing) == ["5"]
    assert agrees(missing[0], page("1"), serial=9)


@pytest.mark.parametrize(
    ("serial", "than", "reached", "is_better"),
    [
        (10, None, 10, True),
        (10, None, None, True),
        (9, None, 10, False),
        (None, None, None, False),
        (10, 10, 10, False),
        (11, 10, 10, True),
    ],
)
def test_a_second_page_is_better_if_it_is_known_to_be_later(
    serial: int | None, than: int | None, reached: int | None, is_better: bool
) -> None:
    assert better(serial, than=than, reached=reached) is is_better


@pytest.mark.parametrize("keep", [False, True])
def test_a_quarantine_is_believed_at_once_and_keeps_nothing(keep: bool) -> None:
    assert lost(page(*FIVE), page(status="quarantined"), keep=keep) == ()


def test_a_removed_file_that_is_kept_is_yanked_and_stays_for_good() -> None:
    missing = lost(page(*FIVE), page(*FIVE[:4]), serial=11, reached=10, keep=True)
    assert [(one.removed, one.file.yanked) for one in missing] == [(True, REMOVED)]
    known = served(page(*FIVE[:4]), missing)
    again = lost(known, page(*FIVE[:4]), missing, serial=12, reached=11, now=NOW + 1e9, keep=True)
    assert again == missing
    assert lost(known, page(*FIVE), again, serial=13, reached=12, keep=True) == ()


def test_what_was_removed_before_does_not_count_as_lost_now() -> None:
    removed = lost(page(*FIVE), page(*FIVE[:3]), serial=11, reached=10, keep=True)
    known = served(page(*FIVE[:3]), removed)
    assert lost(known, page(*FIVE[:2]), removed, serial=12, reached=11, keep=False) == ()


def test_not_more_removed_files_are_kept_than_a_page_may_have_the_last_ones() -> None:
    missing = [Missing(file=listed("1"), since=float(number)) for number in reversed(range(MOST_REMOVED + 5))]
    assert [one.since for one in settled(missing, lambda _: True, keep=True)][::MOST_REMOVED] == [5.0]
    assert len(settled(missing, lambda _: False, keep=True)) == MOST_REMOVED + 5


def test_what_is_missed_stands_on_the_page_in_its_place_with_its_version() -> None:
    rival = parse_name("demo-1")
    known = page("1", "3", files={"demo-1.tar.gz": listed("1"), "demo-3.tar.gz": listed("3", rivals=(rival,))})
    new = page("1", "2", versions=("0", "1", "2"))
    whole = served(new, lost(known, new))
    assert list(whole.files) == ["demo-1.tar.gz", "demo-2.tar.gz", "demo-3.tar.gz"]
    assert whole.versions == ("0", "1", "2", "3")
    assert whole.rivals == {rival}
    assert served(new, ()) is new


def test_what_is_believed_goes_with_its_version_and_nothing_else_changes() -> None:
    new = page("1", "2", versions=("0", "1", "2"))
    missing = lost(page("1", "2", "3", "4"), new)
    whole = served(new, missing)
    assert resettled(whole, missing, missing) is whole
    assert resettled(whole, missing, ()) == new
    kept = resettled(whole, missing, settled(missing, lambda one: "3" in one.file.filename, keep=True))
    assert [each.yanked for each in kept.files.values()] == [False, False, REMOVED, False]


# Pages by the rules


class Mute(UpstreamServer):
    """A mirror whose pages do not tell their serial (Aliyun's)."""

    def static(self, request: Request, content_type: str, body: bytes) -> Reply:
        if content_type == JSON:
            said = json.loads(body)
            del said["meta"]["_last-serial"]
            body = json.dumps(said).encode()
        return super().static(request, content_type, re.sub(rb"<!--SERIAL.*-->", b"", body))


def publish(up: UpstreamServer, *numbers: str) -> None:
    for number in numbers:
        up.publish("demo", f"demo-{number}.tar.gz", number.encode())


def remove(up: UpstreamServer, *numbers: str) -> None:
    for number in numbers:
        up.listing.remove("demo", f"demo-{number}.tar.gz")


async def later(home: House) -> list[str]:
    """The versions on the page when it is next asked for, after all that asking for it began."""
    home.passes(FRESH + 1)
    await home.project()
    await home.settled()
    return versions(await home.project())


async def test_a_file_that_the_index_removed_is_gone_with_the_next_page() -> None:
    async with UpstreamServer() as up, house(up) as home:
        publish(up, *FIVE)
        await home.project()
        remove(up, "3")
        assert await later(home) == ["1", "2", "4", "5"]
        assert (await home.project()).versions == ("1", "2", "4", "5")
        assert home.asked == 2


async def test_a_page_that_loses_most_of_its_files_once_loses_none() -> None:
    async with UpstreamServer() as up, house(up) as home:
        publish(up, *FIVE)
        first = await home.project()
        remove(up, *FIVE[1:])
        assert await later(home) == list(FIVE)
        assert await home.project() == first
        publish(up, *FIVE[1:])
        assert await later(home) == list(FIVE)
        assert not home.pages._held._pages[DEMO].pending


async def test_a_page_that_lost_most_of_its_files_is_asked_for_whole_soon_and_then_believed() -> None:
    async with UpstreamServer() as up, house(up) as home:
        publish(up, *FIVE)
        await home.project()
        remove(up, *FIVE[1:])
        assert await later(home) == list(FIVE)
        home.passes(CONFIRM - 1)
        assert versions(await home.project()) == list(FIVE)
        assert home.asked == 2
        home.passes(2)
        assert versions(await home.project()) == ["1"]
        assert (await home.project()).versions == ("1",)
        assert "if-none-match" not in up.log[2].headers
        assert await later(home) == ["1"]
        assert "if-none-match" in up.log[3].headers


async def test_another_mirror_is_asked_at_once_and_believed() -> None:
    async with UpstreamServer() as one, UpstreamServer() as two, house(one, two) as home:
        for up in (one, two):
            publish(up, *FIVE)
        await home.project()
        for up in (one, two):
            remove(up, *FIVE[1:])
        assert await later(home) == ["1"]
        assert (len(one.log), len(two.log)) == (2, 1)
        home.restart()
        one.refuse()
        two.refuse()
        assert versions(await home.project()) == ["1"]


async def test_another_mirror_that_still_lists_the_files_or_is_down_decides_nothing() -> None:
    async with Mute() as one, Mute() as two, house(one, two) as home:
        for up in (one, two):
            publish(up, *FIVE)
        await home.project()
        remove(one, "5")
        assert await later(home) == list(FIVE)
        two.refuse()
        publish(one, "6")
        remove(one, "4")
        home.passes(CONFIRM + 1)
        await home.project()
        await home.settled()
        assert versions(await home.project()) == ["1", "2", "3", "4", "6"]


async def test_a_page_of_unknown_age_loses_nothing_while_another_mirror_has_the_latest() -> None:
    """F6: the first mirror lags, and does not say so."""
    async with Mute() as lagging, UpstreamServer() as two, house(lagging, two) as home:
        publish(two, *FIVE)
        publish(lagging, *FIVE[:4])
        lagging.refuse()
        assert versions(await home.project()) == list(FIVE)
        lagging.accept()
        for _ in range(5):
            assert await later(home) == list(FIVE)
        assert lagging.log != []
        assert home.pages._held._pages[DEMO].snapshot.mirror == "two"


async def test_a_file_that_changes_under_its_name_stays_as_it_was_and_an_operator_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with UpstreamServer() as up, house(up) as home:
        up.publish("demo", "demo-1.0.tar.gz", b"first")
        before = (await home.project()).files["demo-1.0.tar.gz"]
        up.listing.remove("demo", "demo-1.0.tar.gz")
        up.publish("demo", "demo-1.0.tar.gz", b"other")
        up.publish("demo", "demo-2.0.tar.gz", b"second")
        for _ in range(3):
            home.passes(2 * CONFIRM + FRESH)
            page = await home.project()
            assert page.files["demo-1.0.tar.gz"] == before
            assert "demo-2.0.tar.gz" in page.files
        assert caplog.text.count("demo-1.0.tar.gz with other bytes than before") == 1


async def test_what_is_new_on_a_page_shows_while_its_losses_wait() -> None:
    async with Mute() as up, house(up) as home:
        publish(up, *FIVE)
        await home.project()
        remove(up, "4", "5")
        publish(up, "6")
        up.publish("demo", "demo-1.tar.gz", b"1", yanked="broken")
        assert await later(home) == [*FIVE, "6"]
        files = (await home.project()).files
        assert files["demo-1.tar.gz"].yanked == "broken"
        home.passes(CONFIRM + 1)
        assert versions(await home.project()) == ["1", "2", "3", "6"]


async def test_losses_that_wait_survive_a_restart_and_are_confirmed_after_it() -> None:
    async with Mute() as up, house(up) as home:
        publish(up, *FIVE)
        await home.project()
        remove(up, "5")
        assert await later(home) == list(FIVE)
        home.restart()
        up.refuse()
        assert versions(await home.project()) == list(FIVE)
        up.accept()
        home.passes(CONFIRM + 1)
        assert versions(await home.project()) == list(FIVE[:4])
        home.restart()
        assert versions(await home.project()) == list(FIVE[:4])


async def test_pages_older_than_what_was_seen_are_no_second_word() -> None:
    async with Mute() as one, UpstreamServer() as two, house(one, two) as home:
        one.refuse()
        publish(two, *FIVE)
        assert versions(await home.project()) == list(FIVE)
        one.accept()
        publish(one, "1")
        old = Shelf(raw="demo", serial=2, items={"demo-1.tar.gz": two.listing._shelves[NAME].items["demo-1.tar.gz"]})
        two.listing._shelves[NAME] = old
        assert await later(home) == list(FIVE)
        assert len(two.log) == 2
        one.refuse()
        for _ in range(3):
            assert await later(home) == list(FIVE)
        assert len(two.log) > 4
        one.accept()
        assert await later(home) == ["1"]


def quarantined(up: UpstreamServer) -> None:
    body = {"meta": {"api-version": "1.4"}, "name": "demo", "files": [], "project-status": {"status": "quarantined"}}
    headers = {"Content-Type": JSON, "ETag": None, "Last-Modified": None}
    up.fault("/simple/demo/", status=200, body=json.dumps(body).encode(), headers=headers)


@pytest.mark.parametrize("removed", ["withhold", "keep"])
async def test_a_quarantined_project_offers_nothing_from_its_next_page_on(removed: Any) -> None:
    async with Mute() as up, house(up, removed=removed) as home:
        publish(up, *FIVE)
        await home.project()
        quarantined(up)
        assert await later(home) == []
        assert (await home.project()).status == "quarantined"
        home.restart()
        assert versions(await home.project()) == []
        up.heal()
        assert await later(home) == list(FIVE)


async def test_removed_files_that_are_kept_stay_yanked_through_restarts_until_they_are_listed_again() -> None:
    async with UpstreamServer() as up, house(up, removed="keep") as home:
        publish(up, *FIVE)
        await home.project()
        remove(up, "3")
        for _ in range(3):
            assert await later(home) == list(FIVE)
            assert [each.yanked for each in (await home.project()).files.values()] == [
                False,
                False,
                REMOVED,
                False,
                False,
            ]
            home.restart()
        publish(up, "3")
        assert await later(home) == list(FIVE)
        assert (await home.project()).files["demo-3.tar.gz"].yanked is False


async def test_the_files_of_a_removed_project_are_kept_too_where_an_operator_wants_that() -> None:
    async with UpstreamServer() as up, house(up, removed="keep") as home:
        publish(up, *FIVE)
        await home.project()
        up.listing.remove("demo")
        assert await later(home) == list(FIVE)
        home.passes(FRESH)
        kept = await home.project()
        assert [each.yanked for each in kept.files.values()] == [REMOVED] * 5
        assert home.pages.seen(DEMO) is None
        home.restart()
        assert await home.project() == kept
        assert await later(home) == list(FIVE)
        publish(up, "6")
        assert await later(home) == [*FIVE, "6"]


async def test_the_files_of_a_removed_project_go_where_nothing_is_kept() -> None:
    disk = MemoryPages()
    async with UpstreamServer() as up, house(up, disk=disk) as home:
        publish(up, *FIVE)
        await home.project()
        up.listing.remove("demo")
        assert await later(home) == list(FIVE)
        home.passes(FRESH)
        with pytest.raises(NotFound):
            await home.project()
        assert disk.snapshots["pypi", DEMO].missing == ()
