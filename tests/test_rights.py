"""rights.py: what rules grant, what a token leaves of it, and who may be called how."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from proxy.errors import Forbidden
from proxy.rights import OF, WITHOUT_RULES, Caller, Right, Rule, anyone, everything, fault_of_user
from proxy.simple.names import NamePattern

ACME, SDK, OTHER = map(canonicalize_name, ("acme", "acme-sdk", "other"))
RIGHTS: tuple[Right, ...] = ("read", "upload", "admin")


def rights(caller: Caller, name: str = "acme") -> list[Right]:
    return [right for right in RIGHTS if caller.may(right, canonicalize_name(name))]


def rule(user: str, may: Right, *names: str) -> Rule:
    return Rule(user=user, names=tuple(map(NamePattern, names)), may=frozenset({may}))


def test_where_no_rule_is_written_users_read_and_upload_everything_and_delete_nothing() -> None:
    assert rights(Caller(user="ann", rules=WITHOUT_RULES)) == ["read", "upload"]


@pytest.mark.parametrize(
    ("may", "granted"),
    [("read", ["read"]), ("upload", ["read", "upload"]), ("admin", ["read", "upload", "admin"])],
)
def test_each_right_comes_with_the_lesser_ones(may: Right, granted: list[Right]) -> None:
    assert rights(Caller(user="ann", rules=(rule("ann", may),))) == granted
    assert rights(Caller(user="ann", rules=(rule("*", "admin"),), most=frozenset({may}))) == granted


def test_as_soon_as_there_is_a_rule_nobody_may_do_what_none_grants() -> None:
    rules = (rule("ann", "upload", "acme-*"), rule("*", "read", "acme"))
    assert rights(Caller(user="ann", rules=rules)) == ["read", "upload"]
    assert rights(Caller(user="ann", rules=rules), "acme-sdk") == ["read", "upload"]
    assert rights(Caller(user="ann", rules=rules), "other") == []
    assert rights(Caller(user="bob", rules=rules)) == ["read"]
    assert rights(Caller(user="bob", rules=rules), "acme-sdk") == []
    assert rights(Caller(user="ann", rules=())) == []


def test_what_several_rules_grant_adds_up() -> None:
    rules = (rule("ann", "admin", "acme"), rule("ann", "upload", "other"), rule("*", "read"))
    caller = Caller(user="ann", rules=rules)
    assert [rights(caller, name) for name in ("acme", "other", "third")] == [
        ["read", "upload", "admin"],
        ["read", "upload"],
        ["read"],
    ]


def test_a_user_is_who_is_called_exactly_so() -> None:
    rules = (rule("ann", "admin"),)
    assert not any(rights(Caller(user=user, rules=rules)) for user in ("Ann", "ann ", "anna", "", "*"))


def test_a_token_gives_nothing_that_its_user_does_not_have() -> None:
    rules = (rule("ann", "upload", "acme"), rule("ann", "read"))
    caller = Caller(user="ann", rules=rules, most=frozenset({"admin"}))
    assert [rights(caller, name) for name in ("acme", "other")] == [["read", "upload"], ["read"]]
    scoped = Caller(user="ann", rules=rules, scope=(NamePattern("other"),), most=frozenset({"upload"}))
    assert [rights(scoped, name) for name in ("acme", "other")] == [[], ["read"]]
    assert rights(Caller(user="ann", rules=(rule("*", "admin"),), most=frozenset())) == []


_patterns = st.sampled_from(["acme", "acme-*", "acme*", "other"]).map(NamePattern)
_rights = st.frozensets(st.sampled_from(RIGHTS))
_rules = st.builds(
    Rule, user=st.sampled_from(["ann", "bob", "*"]), names=st.lists(_patterns, max_size=2).map(tuple), may=_rights
)


@given(
    st.lists(_rules, max_size=4).map(tuple),
    st.sampled_from(["ann", "bob", "eve"]),
    st.lists(_patterns, max_size=2).map(tuple),
    _rights,
    st.sampled_from([ACME, SDK, OTHER]),
)
def test_a_token_only_ever_takes_away_and_a_rule_only_ever_adds(
    rules: tuple[Rule, ...], user: str, scope: tuple[NamePattern, ...], most: frozenset[Right], name: str
) -> None:
    of_user = rights(Caller(user=user, rules=rules), name)
    of_token = rights(Caller(user=user, rules=rules, scope=scope, most=most), name)
    assert set(of_token) <= set(of_user)
    assert all(set(rights(Caller(user=user, rules=rules[:count]), name)) <= set(of_user) for count in range(len(rules)))
    for granted in (of_user, of_token):
        assert all(OF[right] <= set(granted) for right in granted), "and each with the lesser ones"


def test_a_refusal_names_the_user_the_deed_and_the_project() -> None:
    caller = Caller(user="ann", rules=(rule("ann", "read"),))
    caller.check("read", ACME)
    for right, deed in (("upload", "upload to"), ("admin", "change")):
        with pytest.raises(Forbidden) as caught:
            caller.check(right, ACME)  # type: ignore[arg-type]  # a tuple of them is read as text
        assert str(caught.value) == f"The user 'ann' isn't allowed to {deed} project 'acme'."


def test_a_refusal_tells_where_it_is_the_token_and_not_the_user() -> None:
    caller = Caller(user="ann", rules=WITHOUT_RULES, scope=(NamePattern("other"),))
    with pytest.raises(Forbidden) as caught:
        caller.check("upload", ACME)
    assert str(caught.value) == "This token of user 'ann' isn't allowed to upload to project 'acme'."
    with pytest.raises(Forbidden, match="The user 'ann'"):
        caller.check("admin", ACME)


def test_the_operator_at_the_machine_may_do_everything_and_nobody_in_particular_what_is_said() -> None:
    assert rights(everything()) == ["read", "upload", "admin"]
    assert rights(anyone({"read"})) == ["read"]
    assert rights(anyone({"read", "upload"})) == ["read", "upload"]


@pytest.mark.parametrize("name", ["ann", "zoë", "小明", "ann@example.cn", "Ann Smith", "a#b", "-"])
def test_names_of_users(name: str) -> None:
    assert fault_of_user(name) == ""


@pytest.mark.parametrize(
    "name", ["", " ", " ann", "ann\t", "a:b", "a\nb", "a\0b", "\u202eann", "#ann", "__token__", "*"]
)
def test_what_no_user_can_be_called(name: str) -> None:
    assert fault_of_user(name)
