"""Who answers for a name."""

from __future__ import annotations

import re
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName, canonicalize_name

from proxy.errors import BadUpload
from proxy.policy import Policy, PublicName, Route
from proxy.simple.names import NamePattern

from .make import file

ACME = canonicalize_name("acme")
NUMPY = canonicalize_name("numpy")
ONLY_US = Route(local=True, public=None)
ONLY_THEM = Route(local=False, public=PublicName(ACME))
BOTH = Route(local=True, public=PublicName(ACME))

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).map(canonicalize_name)
ALIKE = st.from_regex(r"[il1o0]([il1o0-]{0,3}[il1o0])?", fullmatch=True).map(canonicalize_name)


@pytest.mark.parametrize(
    ("policy", "claimed", "route"),
    [
        (Policy(), False, ONLY_THEM),
        (Policy(), True, ONLY_US),
        (Policy(reserved=(NamePattern("acme-*"),)), False, ONLY_US),
        (Policy(reserved=(NamePattern("acme"),)), False, ONLY_US),
        (Policy(reserved=(NamePattern("acm-*"), NamePattern("acmex"))), False, ONLY_THEM),
        (Policy(overlay=frozenset({ACME})), False, BOTH),
        (Policy(overlay=frozenset({ACME})), True, BOTH),
    ],
)
def test_who_answers_for_a_name(policy: Policy, claimed: bool, route: Route) -> None:
    assert policy.route(ACME, frozenset({ACME} if claimed else ())) == route


@pytest.mark.parametrize(
    ("name", "covered"),
    [("acme", True), ("acme-sdk", True), ("acme-sdk-x", True), ("acmex", False), ("x-acme", False), ("acm", False)],
)
def test_a_pattern_covers_the_name_and_all_below_it(name: str, covered: bool) -> None:
    """PEP 752's rule, on the normalised name."""
    assert Policy(reserved=(NamePattern("acme-*"),)).is_reserved(canonicalize_name(name)) is covered


@given(name=NAMES, claims=st.frozensets(NAMES), overlay=st.frozensets(NAMES), reserved=st.lists(NAMES, max_size=3))
def test_a_private_name_never_becomes_public(
    name: NormalizedName, claims: frozenset[NormalizedName], overlay: frozenset[NormalizedName], reserved: list[str]
) -> None:
    policy = Policy(reserved=tuple(map(NamePattern, reserved)), overlay=overlay)
    if (name in claims or name in reserved) and name not in overlay:
        assert policy.route(name, claims) == Route(local=True, public=None)


def test_a_file_that_could_be_a_private_projects_is_not_admitted() -> None:
    policy = Policy(reserved=(NamePattern("acme-*"),))
    other = canonicalize_name("zebra")
    assert not policy.admits(file("a-1.0.tar.gz", rivals=(ACME,)), frozenset())
    assert policy.admits(file("a-1.0.tar.gz", rivals=(other,)), frozenset())
    assert not policy.admits(file("a-1.0.tar.gz", rivals=(other,)), frozenset({other}))


@pytest.mark.parametrize(
    ("policy", "claimed", "asks"),
    [
        (Policy(), False, True),
        (Policy(), True, False),
        (Policy(claim="allow"), False, False),
        (Policy(reserved=(NamePattern("acme-*"),)), False, False),
        (Policy(overlay=frozenset({ACME})), False, False),
    ],
)
def test_only_an_unknown_name_needs_a_look_at_the_index(policy: Policy, claimed: bool, asks: bool) -> None:
    assert policy.must_ask(ACME, frozenset({ACME} if claimed else ())) is asks


@pytest.mark.parametrize(
    ("filename", "refused"),
    [
        ("acme-1.0.zip", True),
        ("acme-1.0.0.zip", True),
        ("acme-1.1.tar.gz", False),
        ("acme-1.0.tar.gz", False),  # the same file again is the store's to judge
        ("acme-1.0-py3-none-any.whl", False),
    ],
)
def test_a_release_has_one_sdist(filename: str, refused: bool) -> None:
    present = [file("acme-1.0.tar.gz"), file("acme-1.0-py2-none-any.whl")]
    with pytest.raises(BadUpload, match="Only one sdist") if refused else nullcontext():
        Policy().check_release(ACME, file(filename), present)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("acme-sdk", "acmesdk"),
        ("acme-sdk", "acme-s-dk"),
        ("billing", "bi11ing"),
        ("billing", "bllllng"),
        ("tools-lib", "t00ls-iib"),
        ("tool0", "toolo"),
    ],
)
def test_names_that_people_take_for_each_other(name: str, like: str) -> None:
    """Decision 7."""
    first, second = canonicalize_name(name), canonicalize_name(like)
    assert Policy().confusable(second, {NUMPY, first}) == first
    assert Policy().confusable(first, {NUMPY, second}) == second


@pytest.mark.parametrize("name", ["acme-sdl", "acrne-sdk", "acme-5dk", "acme", "acme-sdk-2", "acmme-sdk"])
def test_names_that_only_resemble_each_other_are_free(name: str) -> None:
    """As the official index has it."""
    assert Policy().confusable(canonicalize_name(name), {NUMPY, canonicalize_name("acme-sdk")}) is None


@pytest.mark.parametrize(
    ("policy", "like"),
    [
        (Policy(reserved=(NamePattern("acme"),)), ACME),
        (Policy(reserved=(NamePattern("acme-*"),)), ACME),
        (Policy(reserved=(NamePattern("acm-e"),)), None),
        (Policy(reserved=(NamePattern("acm-*"),)), None),
        (Policy(overlay=frozenset({canonicalize_name("acm-e")})), None),
    ],
)
def test_the_settings_names_count_too_and_are_not_judged(policy: Policy, like: NormalizedName | None) -> None:
    claims = frozenset() if like else {ACME}
    assert policy.confusable(canonicalize_name("acm-e"), claims) == like


@given(name=ALIKE, claims=st.frozensets(ALIKE, max_size=5))
def test_names_are_confusable_as_the_official_index_has_it(
    name: NormalizedName, claims: frozenset[NormalizedName]
) -> None:
    """By its ultranormalize_name(), step by step."""

    def look(text: str) -> str:
        text = re.sub(r"\.|_|-", "", text)
        return re.sub("o", "0", re.sub("l|i", "1", text, flags=re.IGNORECASE), flags=re.IGNORECASE).lower()

    alike = sorted(other for other in claims if look(other) == look(name))
    assert Policy().confusable(name, claims) == (alike[0] if alike and name not in claims else None)


@given(first=ALIKE, second=ALIKE)
def test_what_is_like_a_name_is_what_that_is_like(first: NormalizedName, second: NormalizedName) -> None:
    """And none is like itself: what is private stays what it is."""
    there = Policy().confusable(first, {second})
    assert Policy().confusable(second, {first}) == (None if there is None else first)
    assert Policy().confusable(first, {first, second}) is None
