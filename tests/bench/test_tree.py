"""The bench's tree: its pages and its files fit together, so that a bench measures what it says."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from packaging.metadata import Metadata
from packaging.utils import canonicalize_name

from proxy.simple.model import File, Project
from proxy.simple.read import read_project

from .tree import FUTURE, ROOT, Shape, Tree, lay

TINY = Shape(small=9, closure=6, huge=50, large=(("bench-200k", 200 * 1024),))
BASE = "http://127.0.0.1/simple/"
PAGES = {"index.v1_json": "application/vnd.pypi.simple.v1+json", "index.html": "text/html"}


def project(tree: Tree, name: str, page: str) -> Project:
    """What the proxy reads from a page of the tree."""
    body = (tree.folder / "simple" / name / page).read_bytes()
    url = f"{BASE}{name}/"
    return read_project(
        body, content_type=PAGES[page], url=url, name=canonicalize_name(name), origin="bench", base=BASE
    )


def listed(tree: Tree, page: str) -> dict[str, File]:
    return {filename: file for name in tree.projects for filename, file in project(tree, name, page).files.items()}


def test_every_file_that_a_page_lists_is_there_and_is_what_it_says(tmp_path: Path) -> None:
    tree = lay(tmp_path / "tree", TINY)
    for page in PAGES:
        for name in tree.projects.keys() - {"bench-huge"}:
            for file in project(tree, name, page).files.values():
                path = tree.folder / urlsplit(file.url).path.lstrip("/")
                assert hashlib.sha256(path.read_bytes()).hexdigest() == file.hashes["sha256"]
                assert file.size in (None, path.stat().st_size)


def test_json_and_html_list_the_same(tmp_path: Path) -> None:
    tree = lay(tmp_path / "tree", TINY)
    as_json, as_html = (listed(tree, page) for page in PAGES)
    assert as_json.keys() == as_html.keys()
    assert len(project(tree, "bench-huge", "index.html").files) == TINY.huge
    for filename, file in as_json.items():
        other = as_html[filename]
        assert (file.url, file.hashes, file.yanked) == (other.url, other.hashes, other.yanked)


def test_metadata_beside_a_wheel_is_that_inside(tmp_path: Path) -> None:
    tree = lay(tmp_path / "tree", TINY)
    item = tree.newest("bench-000")
    beside = (tree.folder / f"{item.path}.metadata").read_bytes()
    with zipfile.ZipFile(tree.folder / item.path) as wheel:
        assert wheel.testzip() is None
        assert wheel.read(f"bench_000-{item.version}.dist-info/METADATA") == beside
    read = Metadata.from_email(beside)
    assert [requirement.name for requirement in read.requires_dist or ()] == tree.requires(item)


def test_installing_the_root_takes_all_of_its_closure(tmp_path: Path) -> None:
    tree = lay(tmp_path / "tree", TINY)
    assert tree.closure == TINY.closure + 1
    assert tree.newest(ROOT).requires_python != FUTURE


def test_a_tree_is_the_same_every_time_and_is_built_once(tmp_path: Path) -> None:
    first, second = (lay(tmp_path / name, TINY) for name in ("first", "second"))
    assert first.projects == second.projects
    told = list[str]()
    assert lay(tmp_path / "first", TINY, told.append).projects == first.projects
    assert lay(tmp_path / "first", Shape(small=9, closure=6, huge=50, large=()), told.append).projects == first.projects
    assert told == []
    lay(tmp_path / "first", Shape(small=3, closure=2, huge=5, large=()), told.append)
    assert told
