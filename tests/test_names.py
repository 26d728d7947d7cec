"""How names are written, and what filenames can mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name as normalized

from proxy.errors import NotFound
from proxy.simple.names import (
    EXTENSIONS,
    MAX_FILENAME,
    MAX_NAME,
    NamePattern,
    belongs,
    is_distribution,
    parse_name,
    projects_of,
    versions_of,
)

steady = settings(deadline=None)
"""Other programs on the machine fail no test."""


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ruamel.yaml", "ruamel-yaml"),
        ("Flask-SQLAlchemy", "flask-sqlalchemy"),
        ("foo__bar", "foo-bar"),
        ("Foo._-Bar", "foo-bar"),
        ("A", "a"),
        ("0", "0"),
        ("0-._.-._.-._.-._.-._.-._.-0", "0-0"),
        ("x.whl", "x-whl"),
        ("a" * MAX_NAME, "a" * MAX_NAME),
    ],
)
def test_a_name_in_any_spelling_is_one_name(written: str, name: str) -> None:
    assert parse_name(written) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        "a-",
        "..",
        "../a",
        "a/b",
        "a\\b",
        "a\n",
        "a\x00",
        "a b",
        "café",
        "\u212aube",
        "a" * (MAX_NAME + 1),
        "%61",
    ],
)
def test_what_no_project_can_be_called_is_not_found(text: str) -> None:
    with pytest.raises(NotFound, match="not the name of a project"):
        parse_name(text)


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("torch", {"torch"}),
        ("torch-*", {"torch", "torch-xla", "torch-xla-gpu"}),
        ("torch*", {"torch", "torch-xla", "torch-xla-gpu", "torchvision"}),
        ("torch-x*", {"torch-xla", "torch-xla-gpu"}),
    ],
)
def test_a_pattern_covers_a_name_or_those_that_begin_so(pattern: str, covered: set[str]) -> None:
    names = map(normalized, ("torch", "torch-xla", "torch-xla-gpu", "torchvision", "pytorch", "tor", "Pytorch.torch"))
    assert {name for name in names if NamePattern(pattern).covers(name)} == covered


@pytest.mark.parametrize(
    "filename",
    [
        "torch-2.0+cpu-cp311-cp311-linux_x86_64.whl",
        "foo-1!2.0.tar.gz",
        "foo-1.0.tar.Z",
        "foo-1.0.win-amd64-py2.7.exe",
        "FOO-1.0-PY3-NONE-ANY.WHL",
        *(f"foo-1.0{ending}" for ending in EXTENSIONS),
    ],
)
def test_a_filename_that_an_index_may_list_is_a_distribution(filename: str) -> None:
    assert is_distribution(filename)


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "foo-1.0.txt",
        "foo-1.0.whl.metadata",
        ".whl",
        "../foo-1.0.zip",
        "a/foo-1.0.zip",
        "foo-1.0-1../x-py3-none-any.whl",
        "foo\\1.0.zip",
        "foo-1.0.zip\n",
        "foo\x00-1.0.zip",
        "fоо-1.0.zip",  # Cyrillic
        "foo%2f-1.0.zip",
        "foo-1.0.zip?x",
        "<a>-1.0.zip",
        "f" * 243 + ".zip",
    ],
)
def test_a_filename_that_no_disk_or_page_should_hold_is_none(filename: str) -> None:
    assert not is_distribution(filename)


def test_the_longest_filename_leaves_room_for_its_metadata() -> None:
    longest = "f" * (MAX_FILENAME - len(".metadata") - len(".zip")) + ".zip"
    assert is_distribution(longest)
    assert not is_distribution("f" + longest)


@pytest.mark.parametrize(
    ("filename", "names"),
    [
        ("foo_bar-1.0-py3-none-any.whl", ["foo-bar"]),
        ("foo.bar-1.0-1-py3-none-any.whl", ["foo-bar"]),
        ("ruamel.yaml-0.18.6.tar.gz", ["ruamel-yaml"]),
        ("Flask-SQLAlchemy-2.5.1.tar.gz", ["flask-sqlalchemy"]),
        ("foo-bar-2.tar.gz", ["foo-bar"]),
        ("acme_sdk-1.0-1.tar.gz", ["acme-sdk", "acme-sdk-1-0"]),
        ("a-1-1.zip", ["a", "a-1"]),
        ("foo-dev-r123.tar.gz", ["foo", "foo-dev"]),
        ("foo-1.0-py2.7.egg", ["foo", "foo-1-0"]),
        ("foo-1.0.tar.Z", ["foo"]),
        ("foo.tar.gz", []),
        ("foo.whl", []),
        ("-1.0.zip", []),
        ("foo-1.0.txt", []),
    ],
)
def test_a_filename_names_every_project_it_can_belong_to(filename: str, names: list[str]) -> None:
    assert list(projects_of(filename)) == names


def test_a_longer_named_projects_file_is_not_the_shorter_ones() -> None:
    assert not belongs("foo-bar-2.tar.gz", normalized("foo"))
    assert belongs("foo-bar-2.tar.gz", normalized("foo-bar"))


def test_the_kelvin_sign_is_no_k() -> None:
    assert not belongs("\u212a-1.0.zip", normalized("k"))


pieces = st.sampled_from(
    ["foo", "bar", "A", "1", "1.0", "2b", "-", "-", "_", ".", "--", "+", "\u212a", "k", "v1", "f" * 199]
)
filenames = st.tuples(st.lists(pieces, max_size=8).map("".join), st.sampled_from([*EXTENSIONS, ".WHL", ".Zip", ".txt"]))
names = st.sampled_from(["foo", "foo-bar", "foo-1", "foo-1-0", "a", "k", "1", "bar", "f" * 199, "f" * 199 + "-a"])


@steady
@given(filenames.map("".join), names)
def test_belonging_is_being_one_of_the_projects(filename: str, name: str) -> None:
    assert belongs(filename, normalized(name)) == (name in projects_of(filename))


def test_versions_are_told_by_the_filenames_whatever_they_are_spelled_like() -> None:
    told = [
        "Foo.Bar-1.0.0.tar.gz",
        "foo_bar-1.10-py3-none-any.whl",
        "foo_bar-1.10-1-cp311-cp311-linux_x86_64.whl",
        "foo-bar-1!2.0+Local.1.zip",
        "foo-bar-2004b.tgz",
        "foo-bar-dev-r123.zip",
        "foo_bar-0.9-py2.7.egg",
        "foo-bar-0.8.win32.exe",
        "other-7.zip",
    ]
    assert versions_of(normalized("foo-bar"), told) == ("0.9", "1!2.0+local.1", "1.0.0", "1.10", "2004b0", "dev-r123")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["-", "-1", "_.", "1.", "a-", "-a1", "!", "+1"])
def test_the_longest_filenames_are_read_in_no_time(piece: str) -> None:
    filename = "a" + piece * (240 // len(piece)) + ".zip"
    for _ in range(100):
        projects_of(filename)
        belongs(filename, normalized("a"))
