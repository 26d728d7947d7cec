"""Who answers for a name."""

from __future__ import annotations

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
ONLY_US = Route(local=True, public=None)
ONLY_THEM = Route(local=False, public=PublicName(ACME))
BOTH = Route(local=True, public=PublicName(ACME))

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).map(canonicalize_name)


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
