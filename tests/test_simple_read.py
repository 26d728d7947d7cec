"""What is read of upstreams' pages, and what is left out; samples of real mirrors stand in tests/data."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name as normalized

from proxy.errors import MirrorFailed
from proxy.simple.listing import MAX_REASON
from proxy.simple.markup import Markup
from proxy.simple.model import HTML, JSON, TEXT, File, Project
from proxy.simple.read import RootNames, read_project, serial_of

steady = settings(deadline=None)
"""Other programs on the machine fail no test."""

DATA = Path(__file__).parent / "data"
URL = "https://mirror.example/pypi/web/simple/foo/"
BASE = "https://mirror.example/pypi/web/simple/"
SHA256 = "ab" * 32
SHAPE = "01/23/456789abcdef" + "0123456789abcdef" * 3
ZIP = "foo-1.0.zip"


def read(body: bytes, *, name: str = "foo", content_type: str = "", url: str = URL, base: str = BASE) -> Project:
    return read_project(body, content_type=content_type, url=url, name=normalized(name), origin="main", base=base)


def json_page(*files: object, **fields: object) -> bytes:
    return json.dumps({"meta": {"api-version": "1.1"}, "name": "foo", "files": files, **fields}).encode()


def html_page(*anchors: str, head: str = "") -> bytes:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{'<br/>'.join(anchors)}</body></html>".encode()


def entry(filename: str = ZIP, **fields: Any) -> dict[str, object]:
    return {"filename": filename, "url": f"../../packages/{SHAPE}/{filename}", "hashes": {"sha256": SHA256}, **fields}


def anchor(filename: str = ZIP, attributes: str = "") -> str:
    return f'<a href="../../packages/{SHAPE}/{filename}#sha256={SHA256}" {attributes}>{filename}</a>'


def only(page: Project) -> File:
    assert len(page.files) == 1
    return next(iter(page.files.values()))


def from_json(**fields: Any) -> File:
    """The file as read from an entry with *fields*."""
    return only(read(json_page(entry(**fields))))


def from_html(attributes: str) -> File:
    """The file as read from an anchor with *attributes*."""
    return only(read(html_page(anchor(attributes=attributes))))


def data(name: str) -> bytes:
    return (DATA / name).read_bytes()


# Samples


def test_a_mirrors_json_is_read_with_its_nulls_and_empty_strings() -> None:
    page = read(data("shadowmire_project.json"), name="demo-pkg", content_type=JSON, url=BASE + "demo-pkg/")
    sdist, wheel = page.files.values()
    assert sdist == File(
        filename="demo_pkg-1.0.tar.gz",
        path=SHAPE,
        url=f"https://mirror.example/pypi/web/packages/{SHAPE}/demo_pkg-1.0.tar.gz",
        origin="main",
        hashes={"sha256": "a" * 64},
        size=1234,
        upload_time=datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        yanked=True,
    )
    assert (wheel.requires_python, wheel.size, wheel.upload_time, wheel.yanked) == (">=3.9,<4", 5678, None, False)
    assert page.versions == ("1.0", "1.10.0", "1.9.0+local")


def test_a_mirrors_html_is_read_with_its_reasons() -> None:
    page = read(data("shadowmire_project.html"), name="demo-pkg", content_type=TEXT, url=BASE + "demo-pkg/")
    sdist, wheel = page.files.values()
    assert (sdist.yanked, sdist.sha256, sdist.path) == ("broken <build>", "a" * 64, SHAPE)
    assert (wheel.requires_python, wheel.yanked, wheel.size) == (">=3.9,<4", False, None)
    assert page.versions == ("1.0", "1.10.0")


def test_pytorchs_page_gives_its_sizes_and_times_and_unhashed_files() -> None:
    base = "https://mirror.nju.edu.cn/whl/cu128/"
    first, second = read(data("pytorch_project.html"), name="torch", url=base + "torch/", base=base).files.values()
    assert first.filename == "torch-2.7.0+cu128-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert first.url == base + "torch-2.7.0%2Bcu128-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert (first.size, first.upload_time) == (1097104896, datetime(2026, 4, 2, 3, 4, 5, tzinfo=UTC))
    assert first.core_metadata == {"sha256": "a" * 64}
    assert (second.sha256, second.core_metadata, len(second.path)) == (None, False, 66)


@pytest.mark.parametrize("sample", ["nginx_autoindex.html", "captive_portal.html", "notice.html"])
@pytest.mark.parametrize("content_type", [TEXT, JSON])
def test_a_page_for_people_is_no_index_page(sample: str, content_type: str) -> None:
    with pytest.raises(MirrorFailed, match="no index page"):
        read(data(sample), name="demo-pkg", content_type=content_type)


def test_the_page_of_a_project_without_files_is_one() -> None:
    assert read(html_page(head="<title>Links for Foo</title>")).files == {}
    assert read(html_page(head='<meta name="pypi:repository-version" content="1.0">')).files == {}
    assert read(json_page()).files == {}


# What is a page at all


def test_the_body_tells_what_it_is_whatever_was_declared() -> None:
    for content_type in ("", JSON, HTML, TEXT, "application/octet-stream", "text/plain; charset=x", "\x00;;"):
        assert read(b" \r\n\t" + json_page(entry()), content_type=content_type).files
        assert read(b"\n" + html_page(anchor()), content_type=content_type).files


def test_text_before_the_first_tag_needs_the_declared_type() -> None:
    body = b"Simple index of foo<br>" + anchor().encode()
    assert read(body, content_type="text/html; charset=utf-8").files
    with pytest.raises(MirrorFailed, match="neither JSON nor HTML"):
        read(body, content_type="application/octet-stream")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"Not Found",
        b"[]",
        b"null",
        b"\x1f\x8b\x08\x00",
        b"PK\x03\x04",
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b"{",
        b"{}",
        b'{"info": {}, "releases": {}, "urls": []}',
        b'{"meta": {"api-version": "1.1"}, "projects": []}',
        b'{"files": {}}',
        b'{"files": null}',
        b'{"files": "x"}',
        b'{"files": [], "meta": []}',
        b'{"files": [], "x": NaN}',
        b'{"files": [], "x": "\\ud800"}',
        b'{"files": [], "name": "\xff"}',
        b'{"files": [{"filename": "\xff", "url": "x"}]}',
        b'{"files": []} trailing',
        json_page(entry())[:-1],
        b"\xef\xbb\xbf" + json_page(entry()),
        json_page(entry()).decode().encode("utf-16"),
        json_page(entry()).decode().encode("utf-16-le"),
        b'{"files": ' + b"[" * 200_000,
        b'{"files": [' + b"[" * 200_000 + b"]" * 200_000 + b"]}",
        b'{"files": [], "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"files": [{"filename": "a", "url": "b", "size": ' + b"[" * 200_000 + b"]" * 200_000 + b"}]}",
    ],
)
def test_what_is_no_project_page_is_the_mirrors_failure(body: bytes) -> None:
    with pytest.raises(MirrorFailed):
        read(body)


def test_a_page_cut_off_anywhere_is_no_page() -> None:
    for whole in (data("shadowmire_project.html"), data("shadowmire_project.json")):
        end = whole.index(b"</body>") if b"</body>" in whole else len(whole)
        for length in range(end):
            with pytest.raises(MirrorFailed):
                read(whole[:length], name="demo-pkg")


def test_a_fragment_of_html_is_whole_if_its_last_anchor_is() -> None:
    assert read(anchor().encode()).files
    with pytest.raises(MirrorFailed, match="breaks off"):
        read(anchor().encode()[:-2])


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.4", "1.9", "1"])
def test_every_minor_version_of_the_api_is_read(version: str) -> None:
    assert read(json_page(entry(new={"x": [1]}), meta={"api-version": version, "new": None}, new=1)).files
    assert read(html_page(anchor(), head=f'<meta name="pypi:repository-version" content="{version}">')).files


@pytest.mark.parametrize("version", ["2.0", "0.9", "", "x", "10.1"])
def test_another_major_version_is_refused(version: str) -> None:
    with pytest.raises(MirrorFailed, match="version of the Simple API"):
        read(json_page(entry(), meta={"api-version": version}))
    with pytest.raises(MirrorFailed, match="version of the Simple API"):
        read(html_page(anchor(), head=f'<meta name="pypi:repository-version" content="{version}">'))


def test_an_api_version_that_is_no_string_is_refused() -> None:
    with pytest.raises(MirrorFailed):
        read(json_page(entry(), meta={"api-version": 1}))


def test_the_page_of_another_project_is_refused() -> None:
    with pytest.raises(MirrorFailed, match="another project"):
        read(json_page(entry(), name="bar"))
    assert read(json_page(entry(), name="FOO")).name == "foo"
    assert read(json_page(entry(), name=None)).name == "foo"


# Which files


@pytest.mark.parametrize(
    "bad",
    [
        None,
        1,
        "x",
        [],
        {},
        {"filename": ZIP},
        {"url": ZIP},
        {"filename": 1, "url": ZIP},
        {"filename": ZIP, "url": None},
        entry("evil-1.0.zip"),
        entry("foo-bar-2.tar.gz"),
        entry("foo-1.0.txt"),
        entry("fоо-1.0.zip"),
        entry("foo-1.0-1../x-py3-none-any.whl"),
        entry("foo-1.0" + "0" * 300 + ".zip"),
        entry("foo" + "-x" * 50 + ".zip"),
        entry(url=f"https://h.example/{SHAPE}/evil-1.0.zip"),
        entry(url="https://h.example/get?file=/foo-1.0.zip"),
        entry(url=""),
    ],
)
def test_an_entry_that_is_no_file_of_the_project_is_left_out_and_the_rest_served(bad: object) -> None:
    assert list(read(json_page(bad, entry("foo-2.0.zip"), bad)).files) == ["foo-2.0.zip"]


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)//{}",
        "data:text/html,/{}",
        "file:///etc/{}",
        "ftp://h.example/{}",
        "https://user@h.example/{}",
        "https://user:pass@h.example/{}",
        "https://good.example\\@evil.example/{}",
        "https://h.example\\{}",
        "//user@h.example/{}",
        "https://h.example./{}",
        "https://h..example/{}",
        "https://例子.example/{}",
        "https://h.example:x/{}",
        "https://h.example:99999/{}",
        "https://h.example:0/{}",
        "https://[::1/{}",
        "https://h.example/a\x01/{}",
        "https://h.example/a\n/{}",
        "https:{}",
        "https:///{}",
        "///h.example/{}",
        "http://{}",
    ],
)
def test_a_link_that_is_not_to_be_fetched_takes_its_file_off_the_page(link: str) -> None:
    body = json_page(entry(url=link.format(ZIP)), entry("foo-2.0.zip"))
    assert list(read(body).files) == ["foo-2.0.zip"]
    assert list(read(html_page(f'<a href="{link.format(ZIP)}">x</a>', anchor("foo-2.0.zip"))).files) == ["foo-2.0.zip"]


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://files.example/x/foo-1.0.zip", "https://files.example/x/foo-1.0.zip"),
        ("HTTPS://files.example:8443/foo-1.0.zip", "https://files.example:8443/foo-1.0.zip"),
        ("http://[::1]:80/foo-1.0.zip", "http://[::1]:80/foo-1.0.zip"),
        ("//files.example/foo-1.0.zip", "https://files.example/foo-1.0.zip"),
        ("/p/foo-1.0.zip", "https://mirror.example/p/foo-1.0.zip"),
        ("foo-1.0.zip", URL + "foo-1.0.zip"),
        ("./foo-1.0.zip", URL + "foo-1.0.zip"),
        ("../foo-1.0.zip", BASE + "foo-1.0.zip"),
        ("../../../../../../foo-1.0.zip", "https://mirror.example/foo-1.0.zip"),
        ("../../packages/packages/8f/foo-1.0.zip", "https://mirror.example/pypi/web/packages/packages/8f/foo-1.0.zip"),
        ("a/../b/./foo-1.0.zip", URL + "b/foo-1.0.zip"),
        (".hidden/foo-1.0.zip", URL + ".hidden/foo-1.0.zip"),
        ("/p/%66oo-1.0.zip", "https://mirror.example/p/%66oo-1.0.zip"),
        ("/p/foo-1.0.zip?project=legacy", "https://mirror.example/p/foo-1.0.zip?project=legacy"),
        ("/a b/foo-1.0.zip", "https://mirror.example/a%20b/foo-1.0.zip"),
    ],
)
def test_links_are_relative_to_where_the_page_was_found(link: str, url: str) -> None:
    assert from_json(url=link).url == url
    assert only(read(html_page(f'<a href="{link}#sha256={SHA256}">foo-1.0.zip</a>'))).url == url


def test_credentials_of_the_pages_own_address_do_not_reach_its_links() -> None:
    page = read(json_page(entry()), url="https://user:pass@mirror.example/simple/foo/")
    assert only(page).url == f"https://mirror.example/packages/{SHAPE}/{ZIP}"


def test_base_href_is_honoured_where_it_can_be() -> None:
    for base, url in (
        ("https://cdn.example/a/", "https://cdn.example/a/foo-1.0.zip"),
        ("/b/", "https://mirror.example/b/foo-1.0.zip"),
        ("//evil.example/", "https://evil.example/foo-1.0.zip"),
        ("javascript:alert(1)", URL + ZIP),
        ("https://[", URL + ZIP),
        ("", URL + ZIP),
    ):
        assert only(read(html_page(f"<a href={ZIP}>x</a>", head=f'<base href="{base}"><base href="/no/">'))).url == url


def test_the_filename_is_the_end_of_the_link_and_the_text_only_where_that_can_be_none() -> None:
    assert only(read(html_page('<a href="/x/foo-1.0.zip">cu128/foo-2.0.zip</a>'))).filename == ZIP
    assert only(read(html_page('<a href="/get.php?id=7">foo-1.0.zip</a>'))).url == "https://mirror.example/get.php?id=7"


def test_of_two_entries_with_one_filename_the_first_counts() -> None:
    twice = read(json_page(entry(size=1), entry(size=2)))
    assert only(twice).size == 1
    assert only(read(html_page(anchor(attributes='data-yanked="a"'), anchor()))).yanked == "a"


def test_files_stand_in_the_order_of_their_names() -> None:
    page = read(json_page(*(entry(f"foo-{n}.zip") for n in (3, 10, 1, 2))))
    assert list(page.files) == ["foo-1.zip", "foo-10.zip", "foo-2.zip", "foo-3.zip"]


def test_legacy_formats_stay_on_the_page() -> None:
    names = [f"foo-1.0{end}" for end in (".egg", ".win32.exe", ".msi", ".rpm", ".tar.bz2", ".tgz", ".tar.Z", ".tar.lz")]
    assert set(read(json_page(*map(entry, names))).files) == set(names)


def test_a_file_knows_the_other_projects_that_could_claim_it() -> None:
    assert only(read(json_page(entry("foo-1.0-1.tar.gz")))).rivals == ("foo-1-0",)
    assert from_json().rivals == ()
    assert only(read(json_page(entry("foo-1.0-1-py3-none-any.whl")))).rivals == ()


# What is said of a file


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"sha256": SHA256.upper()}, {"sha256": SHA256}),
        ({"sha1": "a" * 40, "sha224": "a" * 56, "blake2_256": "a" * 64, "x": "y"}, {}),
        ({"blake2b": "b" * 64, "md5": "c" * 32}, {"md5": "c" * 32, "blake2b": "b" * 64}),
        ({"blake2b": "b" * 128, "sha512": "d" * 128, "sha384": "e" * 96}, {"sha384": "e" * 96, "sha512": "d" * 128}),
        ({"sha256": SHA256[1:]}, {}),
        ({"sha256": "g" * 64}, {}),
        ({"sha256": "\u212a" * 64}, {}),
        ({"sha256": SHA256 + "\n"}, {}),
        ({"sha256": None, "md5": 1, "sha512": ["x"]}, {}),
        ({"sha256": SHA256, "md5": 1}, {"sha256": SHA256}),
        (None, {}),
        ([], {}),
        ("sha256", {}),
    ],
)
def test_only_well_formed_digests_of_known_kinds_are_kept(said: object, kept: dict[str, str]) -> None:
    hashes = from_json(hashes=said).hashes
    assert hashes == kept
    assert list(hashes) == [kind for kind in ("md5", "sha256", "sha384", "sha512", "blake2b") if kind in kept]


@pytest.mark.parametrize(
    ("fragment", "kept"),
    [
        (f"sha256={SHA256}", {"sha256": SHA256}),
        (f"SHA256={SHA256.upper()}", {"sha256": SHA256}),
        (f"sha256%3D{SHA256}", {"sha256": SHA256}),
        (f"egg=foo&amp;sha256={SHA256}", {"sha256": SHA256}),
        (f"md5={'c' * 32}", {"md5": "c" * 32}),
        (f"sha1={'a' * 40}", {}),
        ("sha256=", {}),
        ('sha256=x" onerror=alert(1) "', {}),
        ("", {}),
    ],
)
def test_a_fragment_may_be_a_digest(fragment: str, kept: dict[str, str]) -> None:
    assert only(read(html_page(f'<a href="{ZIP}#{fragment}">x</a>'))).hashes == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (True, True),
        (False, False),
        (None, False),
        ("", False),
        ("why", "why"),
        ("false", "false"),
        (" a\r\nb\x00c\x85d\u2028e ", "a  b c d e"),
        ("\n", True),
        ("x" * 1_000_000, "x" * MAX_REASON),
        ('<b>"it\'s" & 坏了 💥</b>', '<b>"it\'s" & 坏了 💥</b>'),
        (1, True),
        ([], False),
    ],
)
def test_a_yank_is_a_word_or_a_reason(said: object, kept: bool | str) -> None:
    assert from_json(yanked=said).yanked == kept


def test_in_html_an_empty_yank_is_one_and_none_is_none() -> None:
    assert from_html("").yanked is False
    assert from_html('data-yanked=""').yanked is True
    assert from_html("data-yanked").yanked is True
    assert from_html('DATA-YANKED="false"').yanked == "false"
    assert from_html('data-yanked="&lt;b&gt; &#34;x&quot; &amp;amp;"').yanked == '<b> "x" &amp;'
    assert from_html(f'data-yanked="{"x" * 1_000_000}"').yanked == "x" * MAX_REASON


@pytest.mark.parametrize("said", [">=3.8,<4", ">=3;<script>", " ~= 3.8 ", ">=3.6.*", "nonsense"])
def test_requires_python_is_handed_on_as_it_is(said: str) -> None:
    assert from_json(**{"requires-python": said}).requires_python == said
    assert from_html(f"data-requires-python='{said}'").requires_python == said


@pytest.mark.parametrize("said", [None, "", " ", 3, [">=3"]])
def test_requires_python_that_says_nothing_is_none(said: object) -> None:
    assert from_json(**{"requires-python": said}).requires_python is None


@pytest.mark.parametrize(("said", "kept"), [(0, 0), (10**10, 10**10), (2**63 - 1, 2**63 - 1)])
def test_a_size_is_a_number_of_bytes(said: int, kept: int) -> None:
    assert from_json(size=said).size == kept
    assert from_html(f'data-size="{said % 10**17}"').size == kept % 10**17


@pytest.mark.parametrize("said", [None, -1, True, 1.5, "10", 2**63, 10**30, {}, []])
def test_what_is_no_size_is_dropped(said: object) -> None:
    assert from_json(size=said).size is None


@pytest.mark.parametrize("said", ["", "-1", "x", "١", "1" * 5000])
def test_what_is_no_size_in_html_is_dropped(said: str) -> None:
    assert from_html(f'data-size="{said}"').size is None


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("2025-01-02T03:04:05Z", datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2025-01-02T03:04:05.6Z", datetime(2025, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)),
        ("2025-01-02T03:04:05.123456789Z", datetime(2025, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2025-01-02T11:04:05+08:00", datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_an_upload_time_is_told_in_utc(said: str, kept: datetime) -> None:
    time = from_json(**{"upload-time": said}).upload_time
    assert time == kept
    assert time.tzinfo is UTC
    assert from_html(f'data-upload-time="{said}"').upload_time == kept


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "yesterday",
        "2025-01-02",
        "2025-01-02T03:04:05",
        "2025-13-02T03:04:05Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00Z",
        1735787045,
        {},
    ],
)
def test_a_time_that_nobody_can_place_is_dropped(said: object) -> None:
    assert from_json(**{"upload-time": said}).upload_time is None


METADATA_NAMES = ["core-metadata", "dist-info-metadata", "data-core-metadata", "data-dist-info-metadata"]


@pytest.mark.parametrize("key", METADATA_NAMES)
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"sha256": SHA256}, {"sha256": SHA256}),
        (True, True),
        ("true", True),
        (f"sha256={SHA256.upper()}", {"sha256": SHA256}),
        ({}, False),
        (False, False),
        ("false", False),
        ("", False),
        (None, False),
        ({"sha256": "x"}, False),
        ({"md5": "a" * 32}, False),
        ("sha256=x", False),
        (1, False),
        ([SHA256], False),
    ],
)
def test_core_metadata_is_promised_under_any_of_its_names(key: str, said: object, kept: object) -> None:
    assert from_json(**{key: said}).core_metadata == kept


def test_core_metadata_in_html() -> None:
    for key in METADATA_NAMES[2:]:
        assert from_html(f'{key}="sha256={SHA256}"').core_metadata == {"sha256": SHA256}
        assert from_html(f'{key}="true"').core_metadata is True
        assert from_html(f'{key}="false"').core_metadata is False
    assert from_html(f'data-dist-info-metadata="true" data-core-metadata="sha256={SHA256}"').core_metadata == {
        "sha256": SHA256
    }


def test_the_name_of_pep_714_wins_over_the_older_one() -> None:
    both = {"core-metadata": {"sha256": SHA256}, "dist-info-metadata": False, "data-dist-info-metadata": True}
    assert from_json(**both).core_metadata == {"sha256": SHA256}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("https://h.example/p", "https://h.example/p"),
        ("/p", None),
        ("javascript:x", None),
        ("https://u@h.example/p", None),
        ("https://h.example/\n", None),
        ("", None),
        (None, None),
        (1, None),
    ],
)
def test_provenance_is_an_absolute_address_or_nothing(said: object, kept: str | None) -> None:
    assert from_json(provenance=said).provenance == kept
    if isinstance(said, str):
        assert from_html(f'data-provenance="{said}"').provenance == kept


# What is said of the project


@pytest.mark.parametrize("status", ["quarantined", "Quarantined", " quarantined\n"])
def test_a_quarantined_project_has_no_files(status: str) -> None:
    for body in (
        json_page(entry(), **{"project-status": {"status": status, "reason": "malware"}}),
        json_page(entry(), meta={"api-version": "1.4", "project-status": {"status": status, "reason": "malware"}}),
        html_page(
            anchor(),
            head=f'<meta name="pypi:project-status" content="{status}">'
            '<meta name="pypi:project-status-reason" content="malware">',
        ),
    ):
        page = read(body)
        assert (page.files, page.status, page.status_reason) == ({}, "quarantined", "malware")


def test_other_states_keep_their_files() -> None:
    for status, kept in (("archived", "archived"), ("deprecated", "deprecated"), ("new", "new"), ("active", None)):
        page = read(json_page(entry(), **{"project-status": {"status": status}}))
        assert (len(page.files), page.status, page.status_reason) == (1, kept, None)


@pytest.mark.parametrize("said", [None, "archived", [], {}, {"status": None}, {"status": 1, "reason": 2}])
def test_a_state_that_is_none_is_dropped(said: object) -> None:
    page = read(json_page(entry(), **{"project-status": said}))
    assert (len(page.files), page.status, page.status_reason) == (1, None, None)


def test_versions_are_unique_sorted_and_strings() -> None:
    said = ["2.0", "1.0", "2.0", "1.10", "dev-r123", None, 3, "", "a\nb"]
    assert read(json_page(entry(), versions=said)).versions == ("1.0", "1.10", "2.0", "dev-r123")


@pytest.mark.parametrize("said", [None, [], {}, "1.0", [None]])
def test_versions_are_counted_where_none_are_listed(said: object) -> None:
    assert read(json_page(entry(), entry("foo-2.0-py3-none-any.whl"), versions=said)).versions == ("1.0", "2.0")


# HTML as it is found


def test_html_is_read_as_browsers_read_it() -> None:
    page = f"""
        <HTML><BODY><!-- <a href="foo-9.zip">x</a> --><script>"<a href='foo-8.zip'>"</script>
        <!--><A data-x='a > b' HREF = 'foo-1.zip'>foo-1.zip</A> 1 < 2 & 3 <> </ >
        <a href=foo-2.zip class>foo-2.zip<a href="foo-3.zip?a=1&amp;b=2">foo&#45;3.zip
        </a></p><a>no link</a><a href="">none</a><a name=x href="&#102;oo-4.zip" href="foo-7.zip"><b>x</b></a>
        <textarea><a href="foo-6.zip"></textarea><a
          href="foo-5.zip#sha256={SHA256}"
        />x</BODY></HTML> <!--SERIAL 1-->"""
    assert list(read(page.encode()).files) == ["foo-1.zip", "foo-2.zip", "foo-3.zip", "foo-4.zip", "foo-5.zip"]


class Stdlib(HTMLParser):
    """What the standard library's parser finds, for well-behaved pages."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append({key: value or "" for key, value in reversed(attrs)})


values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"\x00\r&')).map(lambda text: f'"{text}"')
tags = st.lists(st.tuples(st.sampled_from(["href", "data-yanked", "x"]), values), max_size=4).map(
    lambda pairs: "<a " + " ".join(f"{key}={value}" for key, value in pairs) + ">t</a>"
)


@steady
@given(st.lists(tags | st.sampled_from(["<br/>", "<!-- <a> -->", "text", "<p class='a'>", "</p>", "\n"])))
def test_anchors_are_those_that_the_standard_library_finds(parts: list[str]) -> None:
    text = "".join(parts)
    page = Markup()
    page.feed(text)
    assert page.close()
    assert [anchor.attributes for anchor in page.anchors] == Stdlib(text).found


@steady
@given(st.binary(max_size=300), st.lists(st.integers(0, 800), max_size=8))
@example(b"", [1, 2, 3, 4, 5])
def test_html_means_the_same_in_whatever_pieces_it_comes(noise: bytes, cuts: list[int]) -> None:
    text = data("shadowmire_project.html").decode()[:400] + noise.decode("latin-1") + data("pytorch_root.html").decode()
    whole, pieces = Markup(), Markup()
    whole.feed(text)
    places = sorted({0, *(cut % len(text) for cut in cuts), len(text)})
    for start, end in pairwise(places):
        pieces.feed(text[start:end])
    assert whole.close() == pieces.close()
    assert (whole.anchors, whole.metas, whole.title) == (pieces.anchors, pieces.metas, pieces.title)


# Hostile input


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
file_keys = st.sampled_from(
    ["hashes", "requires-python", "size", "upload-time", "yanked", *METADATA_NAMES, "provenance", "filename", "url"]
)
odd_fields: st.SearchStrategy[dict[str, Any]] = st.dictionaries(file_keys, json_values, max_size=6)
entries = json_values | odd_fields.map(lambda odd: {**entry(), **odd})
odd_pages = st.fixed_dictionaries(
    {"files": st.lists(entries, max_size=4)},
    optional=dict.fromkeys(("meta", "name", "versions", "project-status"), json_values),
)


def readable(body: bytes, content_type: str = "") -> None:
    """Read *body*; nothing but MirrorFailed may come of it, and nothing unsafe."""
    try:
        page = read(body, content_type=content_type)
    except MirrorFailed:
        return
    for file in page.files.values():
        assert file.url.startswith(("http://", "https://"))
        assert file.filename.startswith("foo")
        assert "/" not in file.filename
        assert file.yanked != ""
        assert file.core_metadata != {}


@steady
@given(odd_pages)
def test_no_value_in_json_is_more_than_a_mirrors_failure(page: dict[str, Any]) -> None:
    readable(json.dumps(page).encode())


@steady
@given(st.binary() | st.binary().map(lambda tail: b"<" + tail) | st.binary().map(lambda tail: b"{" + tail), st.text())
def test_no_bytes_are_more_than_a_mirrors_failure(body: bytes, content_type: str) -> None:
    readable(body, content_type)


html_pieces = st.sampled_from(
    [
        *(
            "<",
            ">",
            "<a ",
            "</a>",
            "href=",
            '"',
            "'",
            "=",
            "foo-1.0.zip",
            "#sha256=",
            "<!--",
            "-->",
            "<script>",
            "<title>",
        ),
        *(
            "</script>",
            "<base href=",
            "<meta name=pypi:repository-version content=1.0>",
            "https://",
            "@",
            "\\",
            "&#",
            "%",
        ),
        *(
            "9" * 9,
            ";",
            "&lt;",
            "//",
            "../",
            "[",
            "]",
            ":",
            "<html>",
            "</html>",
            "data-yanked=",
            "\x00",
            "<!",
            "</",
            "/>",
        ),
    ]
)


@steady
@given(st.lists(html_pieces).map("".join))
@example('<a href="foo-1.0.zip&#' + "9" * 5000 + ';">')
@example('<base href="https://["><a href=foo-1.0.zip>x</a>')
def test_no_html_is_more_than_a_mirrors_failure(text: str) -> None:
    readable(text.encode(), TEXT)


@steady
@given(
    st.integers(0, 800), st.binary(max_size=4), st.sampled_from(["shadowmire_project.html", "shadowmire_project.json"])
)
def test_no_change_to_a_page_is_more_than_a_mirrors_failure(where: int, noise: bytes, sample: str) -> None:
    whole = data(sample).replace(b"demo_pkg", b"foo").replace(b"Demo_Pkg", b"foo")
    readable(whole[:where] + noise + whole[where + len(noise) :])


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        *("<", "<a", "<a ", "<a href='x' ", '<a href="', "<a href=", "<a x=", "</", "</a", "<!", "<!--", "<!-->", "<?"),
        *("<div>", "<b><i>", "<script>", "<script></", "<title>", "<title></title", "='", '="', "<a ='>", '<a ="> ='),
        *("a ", "a=", " =", "= ", "&", "&#", "&#9", "&a", "&amp;", "<a>", "</a>", "<a/", "<a href=foo-1.0.zip>"),
        *("<a href=../>", "<a href=/", "<a href=//", "<base href=x>", "<meta name=x>", "\x00", "-", "--", "-->", "]]>"),
    ],
)
def test_html_of_a_million_characters_takes_a_breath_at_most(piece: str) -> None:
    readable(("<html>" + piece * (1_000_000 // len(piece))).encode(), TEXT)
    readable(("<a href='" + piece * (1_000_000 // len(piece)) + "'>x</a>").encode(), TEXT)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "link", ["/" * 99, "../" * 66, "a/" * 99, "%" * 200, "a/../" * 50, "[" * 99, "@" * 99, ":" * 99]
)
def test_links_of_ten_thousand_odd_files_take_a_breath_at_most(link: str) -> None:
    readable(json_page(*(entry(f"foo-{n}.zip", url=f"{link}/foo-{n}.zip") for n in range(10_000))))


@pytest.mark.timeout(60)
def test_filenames_that_could_mean_a_hundred_projects_do_not_pile_up() -> None:
    body = json_page(*(entry(f"foo{'-x' * 100}{n}.zip") for n in range(10_000)))
    assert read(body).files == {}


# Root listings


def roots(body: bytes, size: int = 7) -> list[str]:
    """The names in *body*, fed in pieces of *size* bytes."""
    reader, names = RootNames(), list[str]()
    for start in range(0, len(body), size):
        names += reader.feed(body[start : start + size])
    reader.close()
    return names


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
@pytest.mark.parametrize(
    ("sample", "names"),
    [
        ("shadowmire_root.html", ["0", "demo-pkg"]),
        ("shadowmire_root.json", ["0", "demo-pkg"]),
        ("pytorch_root.html", ["torch", "typing-extensions"]),
    ],
)
def test_a_root_listing_is_read_in_whatever_pieces_it_comes(sample: str, names: list[str], size: int) -> None:
    assert roots(data(sample), size) == names


@pytest.mark.parametrize("sample", ["shadowmire_root.html", "shadowmire_root.json", "pytorch_root.html"])
def test_a_root_listing_cut_off_is_none(sample: str) -> None:
    whole = data(sample)
    end = whole.index(b"</body>") if b"</body>" in whole else len(whole)
    for length in range(end):
        with pytest.raises(MirrorFailed, match="complete list of projects"):
            roots(whole[:length])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\xef\xbb",
        b"Not Found",
        b"[]",
        data("notice.html"),
        data("captive_portal.html"),
        data("nginx_autoindex.html"),
        data("shadowmire_project.json"),
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b"<html><body></body></html>",
        b"{}",
        b'{"projects": {}}',
        b'{"projects": null}',
        b'{"projects": [1, 2]}',
        b'{"projects": ["foo"]}',
        b'{"projects": [{"name": "a"},]}',
        b'{"projects": [{"name": "a"} {"name": "b"}]}',
        b'{"projects": [,{"name": "a"}]}',
        b'{"projects": [{"name": "a"}]',
        b'{"projects": [{"name": "a"}]} trailing',
        b'{"projects": [{"name": a}]}',
        b'{"meta": {"projects": [{"name": "a"}]}}',
        b'{"meta": [], "projects": [{"name": "a"}]}',
        b'{"x": "\\"projects\\": [{\\"name\\": \\"a\\"}]"}',
        b'{"projects": [{"name": "a", "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
        b'{"projects": [{"name": "\xff"}]}',
        b"\xef\xbb\xbf" + data("shadowmire_root.json"),
        b"{" + b" " * 200_000,
        b'{"projects": [' + b" " * 200_000,
        b'{"projects": [], "x": "' + b" " * 200_000,
        b"<html><a href='" + b" " * 200_000,
        b"<html><!--" + b" " * 200_000,
    ],
)
def test_what_is_no_list_of_projects_is_the_mirrors_failure(body: bytes) -> None:
    for size in (1000, 1_000_000):
        with pytest.raises(MirrorFailed):
            roots(body, size)


def test_a_trailing_comma_is_seen_across_pieces() -> None:
    with pytest.raises(MirrorFailed):
        roots(b'{"projects": [{"name": "a"},        ]}', 1)


@pytest.mark.parametrize("version", ["2.0", "x"])
def test_a_root_listing_of_another_major_version_is_refused(version: str) -> None:
    said = f'"{version}"'.encode()
    for sample, own in (("shadowmire_root.json", b'"1.1"'), ("shadowmire_root.html", b'"1.0"')):
        body = data(sample).replace(own, said)
        with pytest.raises(MirrorFailed, match="version of the Simple API"):
            roots(body)


def test_names_are_normalised_and_those_that_are_none_are_skipped() -> None:
    names: list[object] = ["Foo.Bar", "x", None, "../etc", "-", 7, "", "caf\u00e9", "a" * 201, {"a": 1}, ["a"], "z"]
    body = json.dumps({"projects": [{"name": name, "_last-serial": 1} for name in names], "meta": {}}).encode()
    assert roots(body, 10) == ["foo-bar", "x", "z"]
    assert roots(b'{"projects": [{}, {"name": "a"}]}') == ["a"]


def test_the_official_shape_of_html_is_read_too() -> None:
    anchors = '<a href="/simple/foo-bar/">Foo.Bar</a><a href="/simple/x/">other</a><a href="../">../</a><a>y</a>'
    body = html_page(anchors, head='<meta name="pypi:repository-version" content="1.4">')
    assert roots(body) == ["foo-bar"]


def test_an_empty_list_is_a_list_where_it_says_so() -> None:
    assert roots(b'{"meta": {"api-version": "1.4"}, "projects": []}') == []
    assert roots(html_page(head='<meta name="pypi:repository-version" content="1.4">')) == []


def test_meta_may_follow_the_projects() -> None:
    assert roots(b'{"projects":[{"name":"a"}],"meta":{"api-version":"1.0"}}\n') == ["a"]


def test_a_big_list_leaves_nothing_behind_in_the_reader() -> None:
    reader, piece, count = RootNames(), b"".join(b'{"name": "project-%d"},' % n for n in range(3000)), 0
    count += len(reader.feed(b'{"projects": ['))
    for _ in range(50):
        count += len(reader.feed(piece))
    count += len(reader.feed(b'{"name": "last"}]}'))
    reader.close()
    assert count == 150_001
    held = [value for name in ("_pending", "_frame") for value in [getattr(reader._reader, name)]]
    assert sum(map(len, held)) < 100


root_pieces = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b",", b'"projects": [', b'{"name": "a"}', b'"', b"\\", b'{"projects":[', b"]}", b" "),
        *(b"<html>", b"</html>", b'<a href="a/">', b"a</a>", b"<", b">", b"<!--", b"\xff"),
        b"<meta name=pypi:repository-version>",
    ]
)


@steady
@given(st.lists(root_pieces | st.binary(max_size=3)), st.integers(1, 20))
def test_no_bytes_are_more_than_a_failed_list(pieces: list[bytes], size: int) -> None:
    def outcome(size: int) -> list[str] | None:
        try:
            return roots(b"".join(pieces), size)
        except MirrorFailed:
            return None

    assert outcome(size) == outcome(10_000)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        b'{"',
        b'{"a":{',
        b'"\\',
        b"{}",
        b"{},",
        b'{"name":"a"},',
        b'"projects":',
        b" ",
        b"{[",
        b'""',
        b"<a>",
        b"<",
        b"<!-->",
    ],
)
def test_root_listings_of_a_million_bytes_take_a_breath_at_most(piece: bytes) -> None:
    for head in (b'{"projects": [', b"{", b"<html>"):
        body = head + piece * (1_000_000 // len(piece))
        for size in (16 * 1024, len(body)):
            with pytest.raises(MirrorFailed):
                roots(body, size)


# How far a mirror had come


@pytest.mark.parametrize("page", ["shadowmire_project.json", "shadowmire_project.html", "shadowmire_root.json"])
def test_a_mirrors_serial_is_found_wherever_its_generator_puts_it(page: str) -> None:
    assert serial_of((DATA / page).read_bytes()) == 31415926


@pytest.mark.parametrize(
    ("body", "serial"),
    [
        (b'{"meta": {"_last-serial": 12}, "files": []}', 12),
        (b' \n{"files": [{"meta": {"_last-serial": 1}}], "meta": {"_last-serial": "12"}, "versions": ["1"]}', 12),
        (b'{"meta": {"_last-serial": "12"}, "files": [}', None),
        (b'{"meta": {}, "files": [], "_last-serial": 1}', None),
        (b'{"meta": {"_last-serial": -1}}', None),
        (b'{"meta": {"_last-serial": true}}', None),
        (b'{"meta": {"_last-serial": 1.5}}', None),
        (b'{"meta": {"_last-serial": "1e3"}}', None),
        (b'{"meta": {"_last-serial": "' + "\u0661".encode() + b'"}}', None),
        (b'{"meta": {"_last-serial": ' + b"9" * 19 + b"}}", None),
        (b'{"meta": {"_last-serial": ' + b"9" * 18 + b"}}", 10**18 - 1),
        (b'{"meta": null}', None),
        (b"{" * 100_000, None),
        (b'{"\xff": 1}', None),
        (b"</html>\n<!--SERIAL 12-->\n", 12),
        (b"<!-- SERIAL 12 -->", 12),
        (b"<!--SERIAL 1--><a href=x>x</a><!--SERIAL 12-->", 12),
        (b"<!--SERIAL 12-->" + b" " * 1000, None),
        (b"<!--SERIAL twelve-->", None),
        (b"", None),
    ],
)
def test_a_serial_is_a_number_in_its_place_or_there_is_none(body: bytes, serial: int | None) -> None:
    assert serial_of(body) == serial
