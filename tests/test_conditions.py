"""RFC 9110 §13 and §14 on strings: the forms that clients send, and those that only attackers do."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.web.conditions import (
    ANY,
    UNSATISFIABLE,
    Range,
    Verdict,
    byte_range,
    entity_tags,
    http_date,
    if_match,
    if_none_match,
    if_range,
    judge,
)

ETAG = '"abc"'
MODIFIED = "Thu, 15 Jan 2026 12:00:00 GMT"
EARLIER, LATER = "Thu, 15 Jan 2026 11:59:59 GMT", "Thu, 15 Jan 2026 12:00:01 GMT"
HOSTILE = 8000
"""Characters; aiohttp lets no longer field in."""


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ('"a"', ('"a"',)),
        ('"a", "b"', ('"a"', '"b"')),
        ('"a","b" , W/"c"', ('"a"', '"b"', 'W/"c"')),
        (',, "a" ,,', ('"a"',)),
        ('"a,b"', ('"a,b"',)),
        ('""', ('""',)),
        ('"\xe9"', ('"\xe9"',)),
        ("", ()),
        ("a", ()),
        ('"a', ()),
        ('"a" "b"', ()),
        ('w/"a"', ()),
        ('W/ "a"', ()),
        ('"a b"', ()),
        ('"a", *', ()),
    ],
)
def test_entity_tags_are_read_as_a_list(header: str, tags: tuple[str, ...]) -> None:
    assert entity_tags(header) == tags


def test_an_asterisk_is_any_tag() -> None:
    assert entity_tags(" * ") is ANY


@pytest.mark.parametrize(
    ("header", "has_it"),
    [
        (ETAG, True),
        ("*", True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ('"x", W/"abc"', True),
        ('"ABC"', False),
        ("abc", False),
        ('"x"', False),
        ("", False),
        ('"abc', False),
    ],
)
def test_if_none_match_compares_weakly(header: str, has_it: bool) -> None:
    assert if_none_match(header, ETAG) is has_it


@pytest.mark.parametrize(
    ("header", "holds"),
    [(ETAG, True), ("*", True), ('"x", "abc"', True), ('W/"abc"', False), ('"x"', False), ("", False), ("abc", False)],
)
def test_if_match_compares_strongly(header: str, holds: bool) -> None:
    assert if_match(header, ETAG) is holds


def test_a_weak_tag_of_ours_matches_weakly_only() -> None:
    assert if_none_match('"abc"', 'W/"abc"')
    assert not if_match('W/"abc"', 'W/"abc"')
    assert not if_range('W/"abc"', 'W/"abc"', None)


def test_a_file_without_a_tag_matches_no_tag() -> None:
    assert not if_none_match('"abc"', None)
    assert not if_match('"abc"', None)
    assert not if_range('"abc"', None, None)


@pytest.mark.parametrize(
    ("header", "same"),
    [
        (ETAG, True),
        (f" {ETAG} ", True),
        ('"abd"', False),
        ('W/"abc"', False),
        ('"abc", "abc"', False),
        ("abc", False),
        ("*", False),
        ("", False),
        (MODIFIED, True),
        (EARLIER, False),
        (LATER, False),
        ("Thursday, 15-Jan-26 12:00:00 GMT", False),
    ],
)
def test_if_range_wants_the_very_same_bytes(header: str, same: bool) -> None:
    assert if_range(header, ETAG, MODIFIED) is same


@pytest.mark.parametrize(
    ("header", "start", "count"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=990-", 990, 10),
        ("bytes=-10", 990, 10),
        ("bytes=0-", 0, 1000),
        ("bytes=0-0", 0, 1),
        ("bytes=999-999", 999, 1),
        ("bytes=500-5000", 500, 500),
        ("bytes=-5000", 0, 1000),
        ("Bytes=0-9", 0, 10),
        ("bytes= 0-9 ", 0, 10),
        ("bytes=0-9,", 0, 10),
        ("bytes=000-0009", 0, 10),
        ("bytes=0-" + "9" * HOSTILE, 0, 1000),
        ("bytes=-" + "9" * HOSTILE, 0, 1000),
    ],
)
def test_one_range_is_served(header: str, start: int, count: int) -> None:
    assert byte_range(header, 1000) == Range(start, count)


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0", f"bytes={'9' * HOSTILE}-"])
def test_a_range_outside_the_file_is_unsatisfiable(header: str) -> None:
    assert byte_range(header, 1000) is UNSATISFIABLE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        f"bytes={'9' * HOSTILE}-5",
        f"bytes=2{'0' * HOSTILE}-1{'9' * HOSTILE}",
        "bytes=0-9,20-29",
        "bytes=0 - 9",
        "bytes=+1-2",
        "bytes=1--2",
        "bytes=0x0-0x9",
        "bytes=\u0661-\u0662",
        "bytes:0-9",
        "items=0-1",
        "0-9",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(1500)),
    ],
)
def test_what_is_no_single_range_of_bytes_is_ignored(header: str) -> None:
    assert byte_range(header, 1000) is None


def test_an_empty_file_has_no_range() -> None:
    assert byte_range("bytes=0-", 0) is UNSATISFIABLE
    assert byte_range("bytes=-1", 0) is None


@given(size=st.integers(0, 100), first=st.integers(0, 120), last=st.integers(0, 120))
def test_a_range_gives_the_bytes_that_it_names(size: int, first: int, last: int) -> None:
    data = bytes(range(size))
    found = byte_range(f"bytes={first}-{last}", size)
    if last < first:
        assert found is None
    elif first >= size:
        assert found is UNSATISFIABLE
    else:
        assert isinstance(found, Range)
        assert data[found.start : found.start + found.count] == data[first : last + 1]
        assert found.of(size) == f"bytes {first}-{min(last, size - 1)}/{size}"


HEADERS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet='bytes=0123456789-, \t"W/*', max_size=60),
    st.lists(st.sampled_from(["bytes=", "0", "9" * 30, "-", ",", " ", '"', "W/", "*", "abc"]), max_size=12).map(
        "".join
    ),
)


@given(header=HEADERS, size=st.integers(0, 2**63))
@example(header="bytes=-0", size=0)
def test_no_header_is_served_bytes_that_are_not_there(header: str, size: int) -> None:
    found = byte_range(header, size)
    if isinstance(found, Range):
        assert found.start >= 0
        assert found.count >= 1
        assert found.start + found.count <= size
    for tag in (if_none_match(header, ETAG), if_match(header, ETAG), if_range(header, ETAG, MODIFIED)):
        assert tag in (True, False)
    fields = dict.fromkeys(("If-Match", "If-Modified-Since", "If-Unmodified-Since", "Range"), header)
    assert judge("GET", fields, etag=ETAG, modified=MODIFIED, size=size).status in (200, 206, 304, 412, 416)


@pytest.mark.parametrize(
    "shape",
    [
        lambda n: "," * n,
        lambda n: " " * n + "x",
        lambda n: '"a"' + " " * n + "x",
        lambda n: '"' * n,
        lambda n: '"' + "a" * n,
        lambda n: '"a",' * (n // 4),
        lambda n: 'W/"a" ' * (n // 6),
        lambda n: "bytes=" + "-" * n,
        lambda n: "bytes=" + "1" * n + "x",
        lambda n: "bytes=" + "0-1," * (n // 4),
        lambda n: "bytes=" + " " * n + "0-1",
    ],
)
def test_hostile_headers_take_linear_time(shape: object) -> None:
    """Twenty times the length is well under a hundred times the work; a quadratic reader takes four hundred."""
    assert callable(shape)

    def cost(header: str) -> float:
        best = float("inf")
        for _ in range(5):
            begun = time.thread_time()
            for read in (
                lambda h: entity_tags(h),
                lambda h: byte_range(h, 1000),
                lambda h: if_range(h, ETAG, MODIFIED),
            ):
                read(header)
            best = min(best, time.thread_time() - begun)
        return best

    assert cost(shape(400_000)) < 100 * max(cost(shape(20_000)), 0.0005)


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("GET", {}, 200),
        ("GET", {"If-None-Match": ETAG}, 304),
        ("HEAD", {"If-None-Match": ETAG}, 304),
        ("GET", {"If-None-Match": '"x"'}, 200),
        ("GET", {"If-None-Match": '"x"', "If-Modified-Since": LATER}, 200),
        ("GET", {"If-Modified-Since": MODIFIED}, 304),
        ("GET", {"If-Modified-Since": LATER}, 304),
        ("GET", {"If-Modified-Since": EARLIER}, 200),
        ("GET", {"If-Modified-Since": "Thursday, 15-Jan-26 12:00:00 GMT"}, 304),
        ("GET", {"If-Modified-Since": "Thu Jan 15 12:00:00 2026"}, 304),
        ("GET", {"If-Modified-Since": "yesterday"}, 200),
        ("GET", {"If-Modified-Since": "1" * HOSTILE}, 200),
        ("GET", {"If-Modified-Since": "Thu, 15 Jan 99999999999 12:00:00 GMT"}, 200),
        ("GET", {"If-Match": ETAG}, 200),
        ("GET", {"If-Match": '"x"'}, 412),
        ("GET", {"If-Match": '"x"', "If-None-Match": ETAG}, 412),
        ("GET", {"If-Match": ETAG, "If-Unmodified-Since": EARLIER}, 200),
        ("GET", {"If-Unmodified-Since": EARLIER}, 412),
        ("GET", {"If-Unmodified-Since": MODIFIED}, 200),
        ("GET", {"If-Unmodified-Since": "yesterday"}, 200),
        ("GET", {"Range": "bytes=0-9"}, 206),
        ("GET", {"Range": "bytes=1000-"}, 416),
        ("GET", {"Range": "bytes=0-1,4-5"}, 200),
        ("HEAD", {"Range": "bytes=0-9"}, 200),
        ("HEAD", {"Range": "bytes=1000-"}, 200),
        ("GET", {"Range": "bytes=0-9", "If-Range": ETAG}, 206),
        ("GET", {"Range": "bytes=0-9", "If-Range": MODIFIED}, 206),
        ("GET", {"Range": "bytes=0-9", "If-Range": '"x"'}, 200),
        ("GET", {"Range": "bytes=0-9", "If-Range": f"W/{ETAG}"}, 200),
        ("GET", {"Range": "bytes=0-9", "If-Range": LATER}, 200),
        ("GET", {"Range": "bytes=1000-", "If-Range": '"x"'}, 200),
        ("GET", {"If-Range": ETAG}, 200),
        ("GET", {"Range": "bytes=0-9", "If-None-Match": ETAG}, 304),
    ],
)
def test_preconditions_are_weighed_in_the_order_of_the_rfc(method: str, fields: dict[str, str], status: int) -> None:
    assert judge(method, fields, etag=ETAG, modified=MODIFIED, size=1000).status == status


def test_a_file_still_arriving_is_judged_by_its_whole_size() -> None:
    fields = {"Range": "bytes=900-", "If-Modified-Since": LATER}
    assert judge("GET", fields, etag=None, modified=None, size=1000) == Verdict(206, Range(900, 100))


def test_an_http_date_is_in_whole_seconds() -> None:
    assert http_date(1768478400.9) == MODIFIED
