"""Files and projects as values: where a file stands, and what merging pages keeps."""

from __future__ import annotations

import hashlib
from urllib.parse import urljoin

import msgspec
import pytest
from packaging.utils import canonicalize_name as normalized

from proxy.errors import NotFound
from proxy.simple.model import File, Project, href, merge, place
from tests import make

BASE = "https://mirror.example/simple/"
SHAPE = "ab/cd/" + "0123456789ef" * 5
SHA256 = "12" * 32

WHEEL = "foo-1.0-py3-none-any.whl"


def project(*files: File, versions: tuple[str, ...] = (), status: str | None = None) -> Project:
    return Project(
        name=normalized("foo"), files={file.filename: file for file in files}, versions=versions, status=status
    )


def test_an_official_path_is_kept_so_that_lock_files_differ_in_the_host_alone() -> None:
    for prefix in (
        "https://a.example/packages",
        "https://b.example/pypi/web/packages",
        "https://c.example/pypi-packages",
    ):
        assert place(f"{prefix}/{SHAPE}/{WHEEL}", sha256=SHA256, origin="main", base=BASE) == SHAPE


@pytest.mark.parametrize("path", [SHAPE.upper(), SHAPE + "0", SHAPE[:-1], SHAPE.replace("/", "")])
def test_a_path_that_only_looks_official_is_made_of_the_digest(path: str) -> None:
    url = f"https://a.example/packages/{path}/{WHEEL}"
    assert place(url, sha256=SHA256, origin="main", base=BASE) == f"12/12/{'12' * 30}"


def test_an_unhashed_file_has_one_place_on_all_mirrors_of_an_index() -> None:
    first = place("https://a.example/whl/cpu/x%2B1.whl", sha256=None, origin="torch", base="https://a.example/whl/")
    second = place("https://b.example/t/whl/cpu/x+1.whl", sha256=None, origin="torch", base="https://b.example/t/whl/")
    assert first == second
    assert len(first.replace("/", "")) == 64


def test_unhashed_files_of_other_indexes_or_other_folders_have_other_places() -> None:
    base = "https://a.example/whl/"
    places = {
        place("https://a.example/whl/cpu/x.whl", sha256=None, origin="torch", base=base),
        place("https://a.example/whl/cu128/x.whl", sha256=None, origin="torch", base=base),
        place("https://a.example/whl/cpu/x.whl", sha256=None, origin="other", base=base),
    }
    assert len(places) == 3


def test_links_are_relative_and_quoted_as_pip_would() -> None:
    file = make.file("torch-1!2.0+cpu (1).zip")
    assert href(file) == f"../../packages/{file.path}/torch-1!2.0+cpu%20%281%29.zip"
    joined = urljoin("http://any.example:8/prefix/simple/torch/", href(make.file(WHEEL)))
    assert joined == f"http://any.example:8/prefix/packages/{make.file(WHEEL).path}/{WHEEL}"


def test_the_metadata_beside_a_file_has_its_place_and_its_own_hashes() -> None:
    file = make.file(WHEEL, url=f"https://a.example/{WHEEL}", origin="main", core_metadata={"sha256": SHA256})
    beside = file.sibling()
    assert (beside.filename, beside.url) == (f"{WHEEL}.metadata", f"https://a.example/{WHEEL}.metadata")
    assert (beside.path, beside.sha256, beside.origin, beside.size) == (file.path, SHA256, "main", None)


def test_metadata_is_added_to_the_path_of_a_url_and_not_to_its_query() -> None:
    file = make.file(WHEEL, url=f"https://a.example/{WHEEL}?token=1", origin="main", core_metadata=True)
    assert file.sibling().url == f"https://a.example/{WHEEL}.metadata?token=1"
    assert file.sibling().hashes == {}


def test_a_private_files_metadata_has_no_url_either() -> None:
    beside = make.file(WHEEL, core_metadata=True).sibling()
    assert beside.url == ""
    assert beside.private


def test_metadata_that_is_not_promised_is_not_found() -> None:
    with pytest.raises(NotFound):
        make.file(WHEEL).sibling()


def test_a_page_gives_a_file_for_its_path_and_filename_only() -> None:
    file = make.file(WHEEL, core_metadata=True)
    page = project(file)
    assert page.file(file.path, WHEEL) is file
    assert page.file(file.path, WHEEL + ".metadata") == file.sibling()
    for path, filename in (
        (SHAPE, WHEEL),
        (file.path, "foo-2.0.zip"),
        (SHAPE, WHEEL + ".metadata"),
        (file.path, ".metadata"),
    ):
        with pytest.raises(NotFound, match="not on the page"):
            page.file(path, filename)


def test_a_page_without_some_files_keeps_all_else() -> None:
    page = project(make.file(WHEEL), make.file("foo-1.0.zip"), versions=("1.0",), status="archived")
    less = page.without([WHEEL, "foo-9.zip"])
    assert list(less.files) == ["foo-1.0.zip"]
    assert (less.versions, less.status) == (("1.0",), "archived")


def test_in_a_merge_the_first_page_wins_per_filename_and_the_names_are_sorted() -> None:
    ours, theirs = make.file(WHEEL, b"ours"), make.file(WHEEL, b"theirs")
    first = project(make.file("foo-3.zip"), ours, versions=("1.0", "3"), status="deprecated")
    second = project(theirs, make.file("foo-2.zip"), versions=("1.0", "2"), status="archived")
    both = merge(first, second)
    assert both.files[WHEEL] is ours
    assert list(both.files) == sorted([WHEEL, "foo-2.zip", "foo-3.zip"])
    assert both.versions == ("1.0", "2", "3")
    assert both.status == "deprecated"


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        make.file(WHEEL).size = 1  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises(AttributeError):
        project().status = "x"  # type: ignore[misc]  # the same


def test_files_do_not_share_what_they_default_to() -> None:
    one, two = File(filename="a-1.zip", path=SHAPE), File(filename="b-1.zip", path=SHAPE)
    assert one.hashes is not two.hashes
    assert one.sha256 is None


def test_a_file_survives_being_written_down_and_read_back() -> None:
    file = make.file(WHEEL, core_metadata={"sha256": hashlib.sha256(b"m").hexdigest()}, yanked="why", rivals=("foo-1",))
    assert msgspec.json.decode(msgspec.json.encode(file), type=File) == file
