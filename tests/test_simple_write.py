"""What is written on pages: rules 20 to 39, held by readers that share no code with the writer."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urldefrag, urljoin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name as normalized

from proxy.simple.model import HTML, JSON, TEXT, File, Project
from proxy.simple.names import projects_of, versions_of
from proxy.simple.read import RootNames, read_project
from proxy.simple.write import depends_on_base, write_project, write_root
from tests import make

steady = settings(deadline=None)
"""Other programs on the machine fail no test."""

URL = "https://proxy.example/simple/foo/"
BASE = "https://proxy.example/simple/"
SHA256 = "ab" * 32
NAME = normalized("foo")
EMPTY = Project(name=NAME)

FULL = make.file(
    "foo-1.0+cpu-py3-none-any.whl",
    hashes={"sha256": SHA256, "blake2b": "cd" * 32},
    size=1234,
    upload_time=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    requires_python=">=3.8,<4",
    yanked='<b>"it\'s" & broken</b>',
    core_metadata={"sha256": "ef" * 32},
    provenance="https://proxy.example/integrity/foo?a=1&b=2",
    origin="main",
)
BARE = make.file("foo-0.9.zip", hashes={}, size=None, upload_time=None)
PLAIN = make.file("foo-0.8.zip", yanked=True, core_metadata=True)


def project(*files: File, **fields: Any) -> Project:
    listed = {file.filename: file for file in sorted(files, key=lambda file: file.filename)}
    return Project(name=NAME, files=listed, versions=versions_of(NAME, listed), **fields)


def in_json(*files: File, **fields: Any) -> Any:
    return json.loads(write_project(project(*files, **fields), JSON))


class Strict(HTMLParser):
    """A page as the standard library reads it; asserts what valid HTML5 and Warehouse's shape ask for."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, body: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.anchors: list[tuple[dict[str, str], str]] = []
        self.metas: dict[str, str] = {}
        self.doctype = ""
        self._open: list[str] = []
        self.feed(body.decode("utf-8", "strict"))
        self.close()
        assert self.doctype == "DOCTYPE html"
        assert self._open == []

    def handle_decl(self, decl: str) -> None:
        assert self.getpos() == (1, 0)
        self.doctype = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        assert tag in {"html", "head", "meta", "title", "body", "h1", "a", "br"}
        said = {name: value for name, value in attrs if value is not None}
        assert len(said) == len(attrs)
        if tag == "a":
            assert self._open == ["html", "body"]
            self.anchors.append((said, ""))
        elif tag == "meta":
            assert self._open == ["html", "head"]
            self.metas[said["name"]] = said["content"]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "a":
            attributes, text = self.anchors[-1]
            self.anchors[-1] = attributes, text + data
        elif self._open[-1:] not in (["title"], ["h1"]):
            assert data.strip() == ""


def in_html(*files: File, **fields: Any) -> Strict:
    return Strict(write_project(project(*files, **fields), HTML))


# JSON


def test_a_file_in_json_says_all_that_is_known() -> None:
    page = in_json(FULL)
    assert page == {
        "meta": {"api-version": "1.4"},
        "name": "foo",
        "versions": ["1.0+cpu"],
        "files": [
            {
                "filename": "foo-1.0+cpu-py3-none-any.whl",
                "url": f"../../packages/{FULL.path}/foo-1.0+cpu-py3-none-any.whl",
                "hashes": {"sha256": SHA256, "blake2b": "cd" * 32},
                "requires-python": ">=3.8,<4",
                "size": 1234,
                "upload-time": "2026-01-02T03:04:05.678901Z",
                "yanked": '<b>"it\'s" & broken</b>',
                "core-metadata": {"sha256": "ef" * 32},
                "data-dist-info-metadata": {"sha256": "ef" * 32},
                "provenance": "https://proxy.example/integrity/foo?a=1&b=2",
            }
        ],
    }
    assert list(page) == ["meta", "name", "versions", "files"]


def test_what_is_not_known_is_left_out_and_never_null() -> None:
    assert in_json(BARE)["files"] == [
        {"filename": "foo-0.9.zip", "url": f"../../packages/{BARE.path}/foo-0.9.zip", "hashes": {}, "yanked": False}
    ]
    assert b"null" not in write_project(project(BARE, FULL, PLAIN), JSON)


def test_a_guessed_time_has_a_key_of_our_own_and_stands_in_json_alone() -> None:
    guess = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    guessed = make.file("foo-1.0.zip", upload_time=None, estimated_time=guess)
    (said,) = in_json(guessed)["files"]
    assert said["_estimated-upload-time"] == "2026-01-02T03:04:05Z"
    assert "upload-time" not in said
    assert b"2026-01-02" not in write_project(project(guessed), HTML)


def test_a_page_with_a_file_of_unknown_size_declares_version_one_point_nought() -> None:
    assert in_json(FULL, BARE)["meta"] == {"api-version": "1.0"}
    assert in_json(FULL)["meta"] == {"api-version": "1.4"}
    assert in_json(make.file("foo-1.zip", size=0))["meta"] == {"api-version": "1.4"}


def test_true_stays_true_in_json() -> None:
    (file,) = in_json(PLAIN)["files"]
    assert (file["yanked"], file["core-metadata"], file["data-dist-info-metadata"]) == (True, True, True)


def test_a_whole_second_is_written_without_a_fraction() -> None:
    (file,) = in_json(make.file("foo-1.zip"))["files"]
    assert file["upload-time"] == "2026-01-15T12:00:00Z"


def test_json_ends_with_a_newline_and_is_utf8() -> None:
    body = write_project(project(make.file("foo-1.zip", yanked="坏了 💥")), JSON)
    assert body.endswith(b"}\n")
    assert "坏了 💥".encode() in body


def test_a_page_without_files_is_a_page() -> None:
    page = json.loads(write_project(EMPTY, JSON))
    assert page == {"meta": {"api-version": "1.4"}, "name": "foo", "versions": [], "files": []}
    html = Strict(write_project(EMPTY, HTML))
    assert html.anchors == []


def test_a_projects_state_is_at_the_top_level() -> None:
    assert in_json(status="archived")["project-status"] == {"status": "archived"}
    assert in_json(status="quarantined", status_reason="<x>")["project-status"] == {
        "status": "quarantined",
        "reason": "<x>",
    }
    assert in_json(status_reason="held here")["project-status"] == {"status": "active", "reason": "held here"}
    assert "project-status" not in in_json(FULL)


# HTML


def test_a_page_in_html_is_warehouses_to_the_letter() -> None:
    assert write_project(project(FULL, PLAIN, status="archived"), HTML).decode() == (
        f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta name="pypi:repository-version" content="1.4">
    <meta name="pypi:project-status" content="archived">
    <title>Links for foo</title>
  </head>
  <body>
    <h1>Links for foo</h1>
    <a href="../../packages/{PLAIN.path}/foo-0.8.zip#sha256={PLAIN.sha256}" data-yanked=""\
 data-dist-info-metadata="true" data-core-metadata="true">foo-0.8.zip</a><br />
    <a href="../../packages/{FULL.path}/foo-1.0+cpu-py3-none-any.whl#sha256={SHA256}"\
 data-requires-python="&gt;=3.8,&lt;4" data-yanked="&lt;b&gt;&quot;it&#x27;s&quot; &amp; broken&lt;/b&gt;"\
 data-dist-info-metadata="sha256={"ef" * 32}" data-core-metadata="sha256={"ef" * 32}"\
 data-provenance="https://proxy.example/integrity/foo?a=1&amp;b=2">foo-1.0+cpu-py3-none-any.whl</a><br />
  </body>
</html>
"""
    )


def test_both_kinds_of_html_are_the_same_bytes() -> None:
    assert write_project(project(FULL, BARE), TEXT) == write_project(project(FULL, BARE), HTML)


def test_there_is_one_anchor_for_each_file_and_its_text_is_the_filename() -> None:
    anchors = in_html(FULL, BARE, PLAIN).anchors
    assert [text for _, text in anchors] == ["foo-0.8.zip", "foo-0.9.zip", "foo-1.0+cpu-py3-none-any.whl"]
    assert all(said["href"] for said, _ in anchors)


def test_what_is_not_known_is_no_attribute() -> None:
    ((said, _),) = in_html(BARE).anchors
    assert said == {"href": f"../../packages/{BARE.path}/foo-0.9.zip"}


def test_a_fragment_is_sha256_or_there_is_none() -> None:
    ((said, _),) = in_html(make.file("foo-1.zip", hashes={"md5": "a" * 32, "blake2b": "b" * 64})).anchors
    assert "#" not in said["href"]


def test_the_expressions_of_hatch_find_every_filename() -> None:
    """hatch looks for `<a [^>]+>([^<]+)</a>`: an unescaped bracket would break it (rule 21)."""
    body = write_project(project(FULL, BARE, PLAIN), TEXT).decode()
    assert re.findall(r"<a [^>]+>([^<]+)</a>", body) == [file.filename for file in sorted_files(FULL, BARE, PLAIN)]


def sorted_files(*files: File) -> list[File]:
    return sorted(files, key=lambda file: file.filename)


def test_metadata_that_is_not_there_is_not_spoken_of() -> None:
    """Never `"false"`: pip takes it for a yes (rule 25)."""
    for media_type in (JSON, HTML):
        assert b"metadata" not in write_project(project(BARE), media_type)


def test_a_projects_state_is_in_the_head() -> None:
    metas = in_html(FULL, status="deprecated", status_reason='use "bar" <now>').metas
    assert metas == {
        "pypi:repository-version": "1.4",
        "pypi:project-status": "deprecated",
        "pypi:project-status-reason": 'use "bar" <now>',
    }


# What must be absolute

OURS = make.file("foo-2.0+a-py3-none-any.whl", provenance="integrity/foo/2.0+a/foo-2.0+a-py3-none-any.whl/provenance")
THEIRS = make.file(
    "foo-1.0.zip",
    origin="main",
    url="https://h.example/foo-1.0.zip",
    provenance="https://h.example/integrity/foo/1.0/foo-1.0.zip/provenance",
)


@pytest.mark.parametrize("base", ["https://proxy.example/", "http://localhost:8080/under/a&b/"])
def test_the_provenance_of_a_private_file_is_at_this_server(base: str) -> None:
    """PEP 740 wants it absolute, as no other link of ours is (decision 17)."""
    page = project(OURS, THEIRS)
    assert depends_on_base(page)
    theirs, ours = json.loads(write_project(page, JSON, base))["files"]
    assert ours["provenance"] == f"{base}{OURS.provenance}"
    assert theirs["provenance"] == THEIRS.provenance
    for media_type in (HTML, TEXT):
        (first, _), (second, _) = Strict(write_project(page, media_type, base)).anchors
        assert second["data-provenance"] == f"{base}{OURS.provenance}"
        assert first["data-provenance"] == THEIRS.provenance


def test_where_this_server_is_reached_at_no_known_address_it_is_left_out() -> None:
    theirs, ours = in_json(OURS, THEIRS)["files"]
    assert "provenance" not in ours
    assert theirs["provenance"] == THEIRS.provenance
    (_, (second, _)) = in_html(OURS, THEIRS).anchors
    assert "data-provenance" not in second


@pytest.mark.parametrize("files", [(), (THEIRS,), (PLAIN, BARE, FULL)])
def test_a_page_of_other_links_is_the_same_under_every_address(files: tuple[File, ...]) -> None:
    page = project(*files)
    assert not depends_on_base(page)
    for media_type in (JSON, HTML, TEXT):
        assert write_project(page, media_type, "https://proxy.example/") == write_project(page, media_type)


# Both, by what they mean


@pytest.mark.parametrize(
    "reason", ['"><script>alert(1)</script>', "' onerror='x", "&lt;b&gt;", "</a>", "-->", "坏了 💥"]
)
def test_nothing_that_an_upstream_says_becomes_markup(reason: str) -> None:
    file = make.file("foo-1.zip", yanked=reason, requires_python=reason)
    ((said, _),) = in_html(file, status=reason, status_reason=reason).anchors
    assert set(said) == {"href", "data-yanked", "data-requires-python"}
    assert said["data-yanked"] == said["data-requires-python"] == reason


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=30)
reasons = texts.map(str.strip).filter(bool)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
times = st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001  the zone is given beside
local_versions = st.sampled_from(["1.0", "1!2.0", "1.0+cpu", "0.1rc1.dev2", "2.0.post3", "1.0-1"])
endings = st.sampled_from(["-py3-none-any.whl", ".tar.gz", ".zip", "-1-cp311.cp312-abi3-linux_x86_64.whl", ".tar.Z"])
plain_filenames = st.builds("{}-{}{}".format, st.sampled_from(["foo", "Foo", "FOO"]), local_versions, endings)


@st.composite
def files(draw: st.DrawFn, *, html: bool) -> File:
    """A file as a reader would give it; where *html*, with no more than HTML can say."""
    filename, digest = draw(plain_filenames), draw(digests)
    path = f"{digest[:2]}/{digest[2:4]}/{digest[4:]}"
    sha256 = st.fixed_dictionaries({"sha256": digests})
    hashes = (
        sha256 | st.just({}) if html else st.fixed_dictionaries({}, optional={"sha256": digests, "blake2b": digests})
    )
    return File(
        filename=filename,
        path=path,
        url=f"https://proxy.example/packages/{path}/{quote(filename, safe='!+')}",
        origin="main",
        hashes=draw(hashes),
        requires_python=draw(st.none() | reasons),
        size=None if html else draw(st.none() | st.integers(0, 2**63 - 1)),
        upload_time=None if html else draw(st.none() | times),
        yanked=draw(st.booleans() | reasons),
        core_metadata=draw(st.booleans() | sha256),
        provenance=draw(st.none() | st.just("https://proxy.example/p?a=1&b='2'")),
        rivals=tuple(name for name in projects_of(filename) if name != NAME),
    )


@st.composite
def projects(draw: st.DrawFn, *, html: bool) -> Project:
    listed = {file.filename: file for file in draw(st.lists(files(html=html), max_size=4))}
    status = draw(st.none() | st.sampled_from(["archived", "deprecated"]))
    said = () if html else tuple(sorted(draw(st.sets(st.sampled_from(["1.0", "2.0", "dev-r1"])))))
    return Project(
        name=NAME,
        files={filename: listed[filename] for filename in sorted(listed)},
        versions=versions_of(NAME, listed, said),
        status=status,
        status_reason=draw(st.none() | reasons),
        rivals=frozenset(rival for file in listed.values() for rival in file.rivals),
    )


def read(body: bytes, media_type: str) -> Project:
    return read_project(body, content_type=media_type, url=URL, name=NAME, origin="main", base=BASE)


@steady
@given(projects(html=False))
def test_json_is_read_as_it_was_written(page: Project) -> None:
    assert read(write_project(page, JSON), JSON) == page


@steady
@given(projects(html=True))
def test_html_is_read_as_it_was_written(page: Project) -> None:
    assert read(write_project(page, HTML), HTML) == page


@steady
@given(projects(html=False))
def test_html_and_json_say_the_same_of_each_file(page: Project) -> None:
    said = json.loads(write_project(page, JSON))
    html = Strict(write_project(page, TEXT))
    assert len(html.anchors) == len(said["files"])
    for (attributes, text), file in zip(html.anchors, said["files"], strict=True):
        link, fragment = urldefrag(attributes["href"])
        assert text == file["filename"]
        assert link == file["url"]
        assert fragment == (f"sha256={file['hashes']['sha256']}" if "sha256" in file["hashes"] else "")
        assert attributes.get("data-requires-python") == file.get("requires-python")
        assert attributes.get("data-yanked") == {False: None, True: ""}.get(file["yanked"], file["yanked"])
        assert attributes.get("data-core-metadata") == attributes.get("data-dist-info-metadata")
        assert ("data-core-metadata" in attributes) == ("core-metadata" in file)
        assert attributes.get("data-provenance") == file.get("provenance")
        assert urljoin(URL, link) == page.files[text].url


@steady
@given(projects(html=False))
def test_the_same_page_is_the_same_bytes(page: Project) -> None:
    again = msgspec.json.decode(msgspec.json.encode(page), type=Project)
    for media_type in (JSON, HTML):
        assert write_project(again, media_type) == write_project(page, media_type)


# The root


def names_of(count: int) -> list[Any]:
    return [normalized(f"project-{number}") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 1023, 1024, 1025, 5000])
def test_a_root_listing_is_read_as_it_was_written(count: int) -> None:
    for media_type in (JSON, HTML, TEXT):
        reader = RootNames()
        read_back = [name for piece in write_root(names_of(count), media_type) for name in reader.feed(piece)]
        reader.close()
        assert read_back == names_of(count)


def test_a_root_listing_in_json_is_pep_691s() -> None:
    body = b"".join(write_root(names_of(2), JSON))
    assert json.loads(body) == {
        "meta": {"api-version": "1.4"},
        "projects": [{"name": "project-0"}, {"name": "project-1"}],
    }
    assert body.endswith(b"\n")


def test_a_root_listing_in_html_links_the_bare_name() -> None:
    """poetry takes the link less its slash for the name (rule 27)."""
    page = Strict(b"".join(write_root(names_of(2), TEXT)))
    assert page.anchors == [({"href": "project-0/"}, "project-0"), ({"href": "project-1/"}, "project-1")]
    assert page.metas == {"pypi:repository-version": "1.4"}


def test_a_root_listing_never_stands_in_memory() -> None:
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield normalized(f"project-{asked}")

    pieces = write_root(endless(), HTML)
    for _ in range(20):
        assert len(next(pieces)) < 128 * 1024
    assert asked < 20 * 2048
