"""Rows about much of everything: private files, cached files, and clients who wait for the same download."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests import make
from tests.daemon import clean_environment

from . import cost
from .asking import ask, link
from .contestants import Contestant, Ours, Running
from .crowd import gather
from .figures import OURS, spread
from .measure import JSON, Wrong
from .processes import python
from .rows_files import AT_REST, GETS, LATE
from .rows_pages import CODINGS
from .scene import RATE, Findings, Row, Scene
from .seed import project
from .tree import Tree
from .wrk import load

NO_UPSTREAM = 'index = []\n[auth]\nupload = "anyone"\n'
BOUNDARY = "bench-bench-bench"

PRIVATE = 1_000
RELEASES = 30
UPLOADS = 20

CACHED = (100, 1_000, 10_000, 100_000)
FOLLOWERS = (1, 10, 100, 1_000)

CPU_EACH = "server's processor time for a request, ms"


def start_private(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """From the first process to the first page, with 10,000 private files."""
    folder = _seeded(scene, projects=1_000, files=10)
    began = time.monotonic()
    with Ours(settings=NO_UPSTREAM).running(folder, ()) as running:
        answer = ask(f"{running.index}{project(0)}/", {"Accept": JSON})
        took = time.monotonic() - began
        scene.peaks.note(OURS, "start-private", running.pid)
    if answer.status != 200:
        raise Wrong(f"A private page was answered with {answer.status}.")
    return {"start, 10,000 private files": {"to the first page, s": took}}


def after_upload(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """A project's page right after an upload to it, where 1,000 projects have 30 files each."""
    folder = _seeded(scene, projects=PRIVATE, files=RELEASES)
    uploads, pages = list[float](), list[float]()
    version = f"2.{time.time_ns()}"  # the folder serves the next round too
    with Ours(settings=NO_UPSTREAM).running(folder, ()) as running:
        for number in range(UPLOADS):
            name = project(number * (PRIVATE // UPLOADS))
            url = f"{running.index}{name}/"
            before = ask(url, {"Accept": JSON, **CODINGS["gzip"]})
            began = time.monotonic()
            filename = _upload(running, name, version)
            uploaded = time.monotonic()
            after = ask(url, {"Accept": JSON, **CODINGS["gzip"]})
            pages.append(time.monotonic() - uploaded)
            uploads.append(uploaded - began)
            if filename.encode() in before.text or filename.encode() not in after.text:
                raise Wrong(f"{filename} was uploaded, and its page does not tell.")
        scene.peaks.note(OURS, "private", running.pid)
    page, upload = spread(pages), spread(uploads)
    assert page is not None
    assert upload is not None
    told = {"page, ms": page.middle * 1000, "slowest page, ms": page.most * 1000, "upload, ms": upload.middle * 1000}
    return {"1,000 private projects of 30 files, after an upload": told}


def cached(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """Warm files and pages of a cache that holds ten times as much at each step."""
    found = dict[str, Mapping[str, float]]()
    with tempfile.TemporaryDirectory(dir=scene.work) as work:
        folder = Path(work)
        for rows in CACHED[:2] if scene.quick else CACHED:
            _seed("cache", str(folder / "data" / "cache" / "files"), "--rows", str(rows))
            began = time.monotonic()
            with Ours().running(folder, scene.fast.mirrors) as running:
                ask(f"{running.index}bench-000/", {"Accept": JSON})
                started = time.monotonic() - began
                files, pages = _paths(running, scene.tree)
                for path in files:
                    ask(running.url.removesuffix("/") + path)
                scene.fast.log.settle()
                each = {name: _each(running, paths, scene) for name, paths in (("file", files), ("page", pages))}
                scene.peaks.note(OURS, "growth-files", running.pid)
            scene.fast.log.settle()
            told = {f"{name}: {what}": value for name, quantities in each.items() for what, value in quantities.items()}
            found[f"{rows:,} cached files"] = {**told, "start to the first page, s": started}
    return found


def followers(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """Clients who ask for a file of 200 KB at once while it is two seconds under way: ten times as many each step."""
    found = dict[str, Mapping[str, float]]()
    item = scene.tree.newest("bench-200k")
    for count in FOLLOWERS[:-1] if scene.quick else FOLLOWERS:
        case = followed(count)
        with scene.fresh(contestant, scene.crawl, "growth-clients") as running:
            assert running.pid is not None
            url = link(running.index, "bench-200k", item.filename)
            scene.crawl.log.settle()
            mark, before = scene.crawl.log.mark(), cost.processor(running.pid)
            seen = gather(url, count, item.sha256)
            time.sleep(AT_REST)
            took = cost.processor(running.pid) - before
            scene.crawl.log.settle()
            gets = [one for one in scene.crawl.log.since(mark) if one.path.endswith(item.filename)]
        found[case] = {CPU_EACH: took / count * 1000, LATE: seen.late, GETS: len(gets)}
    return found


def followed(count: int) -> str:
    """The case of so many clients."""
    return f"one download for {count:,} at once"


def _each(running: Running, paths: list[str], scene: Scene) -> Mapping[str, float]:
    assert running.pid is not None
    before = cost.processor(running.pid)
    told = load(running.url, paths=paths, headers={"Accept": JSON, **CODINGS["gzip"]}, seconds=scene.seconds)
    return {RATE: told.rate, CPU_EACH: (cost.processor(running.pid) - before) / told.requests * 1000}


def _paths(running: Running, tree: Tree) -> tuple[list[str], list[str]]:
    """Those of 200 files, and of their projects' pages."""
    files, pages = list[str](), list[str]()
    for name in sorted(name for name in tree.projects if name.removeprefix("bench-").isdigit()):
        url = link(running.index, name, tree.newest(name).filename)
        files.append("/" + url.removeprefix(running.url))
        pages.append("/" + f"{running.index}{name}/".removeprefix(running.url))
    return files, pages


def _seeded(scene: Scene, *, projects: int, files: int) -> Path:
    """A folder for Ours with so many private files."""
    folder = scene.work / f"private-{projects}-{files}"
    _seed("store", str(folder / "data" / "state"), "--projects", str(projects), "--files", str(files))
    return folder


def _seed(*arguments: str) -> None:
    Path(arguments[1]).parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        python("tests.bench.seed", *arguments), env=clean_environment(), check=True, capture_output=True, timeout=300
    )


def _upload(running: Running, name: str, version: str) -> str:
    """Post a small wheel as twine does; its filename."""
    filename, body = make.wheel(name, version)
    fields = {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.1",
        "name": name,
        "version": version,
        "filetype": "bdist_wheel",
        "pyversion": "py3",
        "sha256_digest": hashlib.sha256(body).hexdigest(),
    }
    form = b"".join(_parts(fields, filename, body))
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = ask(f"{running.url}legacy/", headers, method="POST", body=form)
    if answer.status != 200:
        raise Wrong(f"An upload was answered with {answer.status}: {answer.body[:300]!r}")
    return filename


def _parts(fields: Mapping[str, str], filename: str, body: bytes) -> Iterator[bytes]:
    for name, value in fields.items():
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="{filename}"\r\n\r\n'.encode()
    yield body + f"\r\n--{BOUNDARY}--\r\n".encode()


ROWS = (
    Row(key="start-private", who=frozenset({OURS}), measure=start_private),
    Row(key="private", who=frozenset({OURS}), measure=after_upload),
    Row(key="growth-files", who=frozenset({OURS}), measure=cached, once=True),
    Row(key="growth-clients", who=frozenset({OURS}), measure=followers, once=True),
)
