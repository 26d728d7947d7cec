"""The legacy JSON document is read for what pages leave out, and a bad entry in it spoils no other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MirrorFailed
from proxy.simple.model import Project
from proxy.simple.names import parse_name
from proxy.storage import Fact
from proxy.upstream.legacy import facts_of, read_legacy

from . import make

DEMO = parse_name("demo-pkg")
SHA = "ab" * 32
TIME = "2025-01-02T03:04:05.678901Z"
WHEN = datetime(2025, 1, 2, 3, 4, 5, 678901, UTC)


def file(filename: str = "demo_pkg-1.0.tar.gz", **said: Any) -> dict[str, Any]:
    """A file as the official index's document has it."""
    return {
        "comment_text": "",
        "digests": {"blake2b_256": "cd" * 32, "md5": "ef" * 16, "sha256": SHA},
        "downloads": -1,
        "filename": filename,
        "has_sig": False,
        "md5_digest": "ef" * 16,
        "packagetype": "sdist",
        "python_version": "source",
        "requires_python": None,
        "size": 1234,
        "upload_time": TIME[:19],
        "upload_time_iso_8601": TIME,
        "url": f"https://files.example/packages/01/23/{'4' * 60}/{filename}",
        "yanked": False,
        "yanked_reason": None,
        **said,
    }


def document(*files: object, urls: tuple[object, ...] = (), name: object = "Demo_Pkg") -> bytes:
    releases = {"1.0": list(files), "0.9": []}
    info = {"name": name, "version": "1.0", "yanked": False}
    return json.dumps({"info": info, "last_serial": 31415926, "releases": releases, "urls": urls}).encode()


def test_size_and_time_of_each_file_are_read() -> None:
    other = file("demo_pkg-2.0-py3-none-any.whl", digests={"sha256": "12" * 32}, size=0)
    assert read_legacy(document(file(), urls=(other,)), DEMO) == {
        SHA: Fact(size=1234, upload_time=WHEN),
        "12" * 32: Fact(size=0, upload_time=WHEN),
    }


def test_the_reason_of_a_yank_is_read() -> None:
    assert read_legacy(document(file(yanked=True, yanked_reason="broken")), DEMO)[SHA].reason == "broken"
    assert read_legacy(document(file(yanked=True, yanked_reason="")), DEMO)[SHA].reason is None


def test_a_file_of_which_nothing_is_told_is_not_invented() -> None:
    for said in ({"size": None}, {"size": "1234"}, {"size": -1}, {"size": 2**70}, {"size": True}):
        assert read_legacy(document(file(**said)), DEMO) == {SHA: Fact(upload_time=WHEN)}
    for time in ("", None, TIME[:19], "yesterday", "9999-12-31T23:59:59-12:00", 5):
        assert read_legacy(document(file(upload_time_iso_8601=time)), DEMO) == {SHA: Fact(size=1234)}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        "x",
        [],
        {},
        {"filename": 5},
        file(digests=None),
        file(digests={"sha256": "zz"}),
        file("other-1.0.tar.gz"),
    ],
)
def test_a_bad_entry_spoils_no_other(bad: object) -> None:
    good = file("demo_pkg-2.0-py3-none-any.whl", digests={"sha256": "12" * 32})
    assert read_legacy(document(bad, good), DEMO) == {"12" * 32: Fact(size=1234, upload_time=WHEN)}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b'{"releases": {}}', b'{"info": {}}', b"[" * 100_000])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(MirrorFailed):
        read_legacy(body, DEMO)


def test_the_document_of_another_project_is_refused() -> None:
    for name in ("other", None, 5, "-"):
        with pytest.raises(MirrorFailed, match="another project"):
            read_legacy(document(file(), name=name), DEMO)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5), st.text())
def test_nothing_in_a_document_breaks_its_reader(value: object, key: str) -> None:
    said = {"info": {"name": "demo-pkg", key: value}, "releases": {key: [value, {**file(), key: value}]}}
    assert read_legacy(json.dumps(said).encode(), DEMO).keys() <= {SHA}


def test_a_page_tells_the_same_things() -> None:
    body = b"a wheel"
    listed = make.file("demo_pkg-1.0-py3-none-any.whl", body, yanked="bad")
    bare = make.file("demo_pkg-1.0.tar.gz", size=None, upload_time=None, hashes={})
    page = Project(name=DEMO, files={listed.filename: listed, bare.filename: bare})
    assert facts_of(page) == {listed.sha256: Fact(size=len(body), upload_time=make.NOON, reason="bad")}
