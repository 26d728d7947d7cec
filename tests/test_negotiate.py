"""Which representation and coding real clients are sent, by the headers they really send."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.simple.model import HTML, JSON, TEXT
from proxy.simple.negotiate import coding, media_type

steady = settings(deadline=None)
"""Other programs on the machine fail no test."""

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        pytest.param(f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON, id="pip"),
        pytest.param(f"{JSON}, {HTML};q=0.2, text/html;q=0.01", JSON, id="uv"),
        pytest.param(f"{JSON}, */*;q=0.1", JSON, id="poetry"),
        pytest.param(JSON, JSON, id="poetry, its own type of source"),
        pytest.param(f"{HTML};q=0.2, {JSON}, text/html;q=0.01", JSON, id="devpi"),
        pytest.param("*/*", TEXT, id="pipenv, hatch, twine, curl"),
        pytest.param("text/html", TEXT, id="dependabot and very old pip"),
        pytest.param("application/json", TEXT, id="dependabot, for JSON of another kind"),
        pytest.param("", TEXT, id="easy_install sends none"),
        pytest.param(BROWSER, TEXT, id="a browser"),
    ],
)
def test_real_clients_get_what_they_can_read(accept: str, answer: str) -> None:
    assert media_type(accept) == answer


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("text/*", TEXT),
        ("application/*", HTML),
        (HTML, HTML),
        (f"{JSON};q=0.5, {HTML};q=0.7", HTML),
        (f"{JSON.upper()} ; Q=1.000", JSON),
        (f"{JSON}; charset=utf-8", JSON),
        (f"text/html;q=0.4, {JSON};q=0.5, */*;q=0.1", JSON),
    ],
)
def test_quality_and_wildcards_decide(accept: str, answer: str) -> None:
    assert media_type(accept) == answer


def test_between_equals_warehouses_order_decides() -> None:
    assert media_type(f"{JSON}, {HTML}, text/html") == TEXT
    assert media_type(f"{JSON}, {HTML}") == HTML


def test_a_quality_of_zero_excludes_a_type() -> None:
    assert media_type("text/html;q=0, */*;q=0.5") == HTML
    assert media_type(f"text/html;q=0, {HTML};q=0.0, */*;q=0.1") == JSON
    assert media_type(f"{JSON};q=0, text/html;q=0.001") == TEXT


@pytest.mark.parametrize("accept", ["image/png", "application/vnd.pypi.simple.v2+json", f"{JSON};q=0", "*/*;q=0"])
def test_who_wants_nothing_we_have_gets_text_html_and_no_error(accept: str) -> None:
    assert media_type(accept) == TEXT


def test_latest_means_version_one() -> None:
    assert media_type("application/vnd.pypi.simple.latest+json") == JSON
    assert media_type("application/vnd.pypi.simple.latest+html") == HTML


def test_the_format_parameter_wins_with_its_plus_or_with_a_space_for_it() -> None:
    assert media_type("text/html", JSON) == JSON
    assert media_type("text/html", JSON.replace("+", " ")) == JSON
    assert media_type(JSON, "text/html") == TEXT
    assert media_type("", "application/vnd.pypi.simple.latest+json") == JSON


@pytest.mark.parametrize("format_", ["xml", "", "application/vnd.pypi.simple.v2+json", "*/*"])
def test_an_unknown_format_leaves_the_choice_to_accept(format_: str) -> None:
    assert media_type(JSON, format_) == JSON


@pytest.mark.parametrize("quality", ["", "abc", "-1", "nan", "inf", "1e5", "2", "0x1", "١"])
def test_a_quality_that_is_none_is_no_wish(quality: str) -> None:
    assert media_type(f"{JSON};q={quality}, {HTML};q=0.1") == HTML


@pytest.mark.parametrize(
    ("accepted", "answer"),
    [
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, zstd", "gzip"),
        ("gzip;q=0.5", "gzip"),
        ("x-gzip", "gzip"),
        ("GZip", "gzip"),
        ("*", "gzip"),
        ("*;q=0.1, identity;q=0", "gzip"),
        ("gzip, identity", "gzip"),
        ("", "identity"),
        ("identity", "identity"),
        ("Identity", "identity"),
        ("br, zstd", "identity"),
        ("gzip;q=0", "identity"),
        ("*, gzip;q=0", "identity"),
        ("identity, gzip;q=0.5", "identity"),
        ("*;q=0", "identity"),
        ("gzip;q=zero", "identity"),
    ],
)
def test_compression_is_for_those_who_ask_for_it(accepted: str, answer: str) -> None:
    assert coding(accepted) == answer


headers = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [JSON, HTML, TEXT, "*/*", "text/*", "gzip", "*", "identity", ";", ",", "q=", "q=0", "=", " ", "1"]
        )
    ).map("".join),
)


@steady
@given(headers, st.none() | headers)
def test_no_header_is_an_error(header: str, format_: str | None) -> None:
    assert media_type(header, format_) in (JSON, HTML, TEXT)
    assert coding(header) in ("gzip", "identity")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", [",", ";", "q=", "text/html;q=0.1,", " ", ";q=" + "1" * 9, "=", "a;" * 9])
def test_a_header_of_a_million_characters_takes_no_time(piece: str) -> None:
    header = piece * (1_000_000 // len(piece))
    assert media_type(header, header) in (JSON, HTML, TEXT)
    assert coding(header) in ("gzip", "identity")
