"""What a request target asks for."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from proxy.errors import NotFound
from proxy.web.paths import (
    Api,
    Document,
    Flat,
    Front,
    Health,
    Held,
    Page,
    Provenance,
    Robots,
    Root,
    Search,
    Static,
    Status,
    Target,
    Upload,
    Uploaded,
    parse_target,
)

INDEXES = frozenset({"pypi"})
FOO = canonicalize_name("foo-bar")
PATH = "ab/cd/" + "0" * 60
WHEEL = "foo_bar-1.0+cpu-py3-none-any.whl"


def asked(target: str) -> Target:
    return parse_target(target, INDEXES).target


@pytest.mark.parametrize(
    ("target", "meaning"),
    [
        ("/", Front()),
        ("//", Front()),
        ("/?lang=zh", Front()),
        ("/legacy/", Upload()),
        ("/legacy", Upload()),
        ("/simple/", Root()),
        ("//simple//", Root()),
        ("/simple", Root(at="simple/")),
        ("/pypi/simple/", Root()),
        ("/simple/foo-bar/", Page(FOO)),
        ("/simple//foo-bar/", Page(FOO)),  # as pipenv asks (rule 5)
        ("/pypi/simple/foo-bar/", Page(FOO)),
        ("/simple/foo%2Dbar/", Page(FOO)),
        ("/simple/foo-bar/?format=x", Page(FOO)),
        ("/simple/foo-bar", Page(FOO, at="foo-bar/")),
        ("/simple/Foo.Bar/", Page(FOO, at="../foo-bar/")),
        ("/simple/foo__bar", Page(FOO, at="foo-bar/")),
        ("/+simple/foo-bar/", Uploaded(FOO)),
        ("/legacy//%2Bsimple/foo-bar/", Uploaded(FOO)),  # as hatch asks for it
        (f"/packages/{PATH}/{WHEEL}", Held(PATH, WHEEL)),
        (f"/packages/{PATH}/{WHEEL.replace('+', '%2B')}", Held(PATH, WHEEL)),
        (f"/packages/{PATH}/{WHEEL.replace('+', '%2b')}.metadata", Held(PATH, WHEEL + ".metadata")),
        (f"/pypi/packages/{PATH}/{WHEEL}", Held(PATH, WHEEL)),
        (f"/simple/packages/{PATH}/{WHEEL}", Held(PATH, WHEEL)),
        ("/packages/foo-1!2.0.tar.gz", Flat("foo-1!2.0.tar.gz")),
        ("/packages/foo-1%212.0.tar.gz", Flat("foo-1!2.0.tar.gz")),
        ("/-/static/front.css", Static("front.css")),
        ("/-/health", Health()),
        ("/-/status", Status()),
        ("/-/api/yank", Api("yank")),
        ("/pypi/foo-bar/json", Document(FOO)),
        ("/pypi/foo-bar/json/", Document(FOO)),
        ("/pypi/foo-bar/1.0+cpu/json", Document(FOO, "1.0+cpu")),
        ("/simple/pypi/foo-bar/json", Document(FOO)),
        ("/foo-bar/json", Document(FOO)),  # as pip-tools asks (rule 90)
        ("/pypi/Foo.Bar/json", Document(FOO, at="../foo-bar/json")),
        ("/pypi/Foo.Bar/json/", Document(FOO, at="../../foo-bar/json")),
        ("/pypi/Foo.Bar/1.0+cpu/json", Document(FOO, "1.0+cpu", at="../../foo-bar/1.0%2Bcpu/json")),
        ("/Foo.Bar/json", Document(FOO, at="../foo-bar/json")),
        ("/pypi", Search()),
        ("/pypi/", Search()),
        ("/RPC2", Search()),
        (f"/integrity/foo.bar/1.0/{WHEEL}/provenance", Provenance(FOO, "1.0", WHEEL)),
        ("/robots.txt", Robots()),
        ("/simple/simple/", Page(canonicalize_name("simple"))),
        ("/simple/packages/", Page(canonicalize_name("packages"))),
    ],
)
def test_what_a_target_asks_for(target: str, meaning: Target) -> None:
    assert asked(target) == meaning


@pytest.mark.parametrize(
    "target",
    [
        "",
        "simple/foo/",
        "http://evil.example/simple/foo/",
        "*",
        "/simple/..%2f..%2fetc/",
        "/simple/..%5cetc/",
        "/simple/../packages/",
        "/simple/%2e%2e/",
        "/simple/foo%00/",
        "/simple/foo%0a/",
        "/simple/caf%C3%A9/",
        "/simple/%E2%84%AAube/",  # KELVIN SIGN: lower() would make it a "k"
        "/simple/foo%252Dbar/",
        "/simple/foo bar/",
        "/simple/-foo/",
        "/simple/" + "a" * 201 + "/",
        "/simple/foo/bar/",
        f"/packages/{PATH.upper()}/{WHEEL}",
        f"/packages/{PATH}/..%2f{WHEEL}",
        f"/packages/{PATH}/x.html",
        f"/packages/{PATH}/.whl",
        f"/packages/{PATH}/",
        "/packages/ab/cd/ef/" + WHEEL,
        "/packages/" + "a" * 300 + ".whl",
        "/legacy/json",
        "/-/json",
        "/-/api/",
        "/-/api/yank/acme",
        "/pypi/foo/1.0/2.0/json",
        "/pypi/foo%00/json",
        "/pypi/Foo/one/json",
        "/pypi/foo/",
        f"/integrity/foo/1.0/{WHEEL}",
        "/integrity/foo/1.0/x.html/provenance",
        "/_/oidc/audience",
        "/simple/http:%2f%2fevil.example/",
        "/simple/http://evil.example/",
        f"/packages/{PATH}/https:%2f%2fevil.example%2f{WHEEL}",
        f"/files/https://evil.example/{WHEEL}",
        "/" + "x" * 5000,
    ],
)
def test_all_else_is_not_found(target: str) -> None:
    with pytest.raises(NotFound):
        asked(target)


@pytest.mark.parametrize(
    ("target", "index", "query"),
    [
        ("/simple/foo-bar/?format=x", "", "format=x"),
        ("/pypi/simple/foo-bar/", "pypi", ""),
        (f"/pypi/packages/{PATH}/{WHEEL}", "pypi", ""),
        ("/pypi/simple?x", "pypi", "x"),
        ("/simple/pypi/", "", ""),
    ],
)
def test_an_index_is_asked_alone_under_its_own_name(target: str, index: str, query: str) -> None:
    found = parse_target(target, INDEXES)
    assert (found.index, found.query) == (index, query)


@given(st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=255), max_size=60).map(lambda text: "/" + text))
def test_no_target_raises_anything_else(target: str) -> None:
    with suppress(NotFound):
        parse_target(target, INDEXES)


@given(st.text(max_size=30))
def test_a_redirect_never_echoes_what_was_asked(text: str) -> None:
    """Its Location is the normalised name and nothing else: no header can be split with it."""
    try:
        found = asked(f"/simple/{text}/")
    except NotFound:
        return
    if isinstance(found, Page) and found.at is not None:
        assert set(found.at) <= set("abcdefghijklmnopqrstuvwxyz0123456789-./")
