"""Rows about files: warm and cold, one reader and many, and a whole install."""

from __future__ import annotations

import time
from collections.abc import Mapping

from . import cost
from .asking import ask, link, swallow
from .contestants import DIRECT, NGINX, PROXPI, PYPIRON, Contestant, Running
from .crowd import gather
from .figures import OURS
from .measure import download
from .scene import RATE, WHOLE, Findings, Row, Scene
from .tree import MB, ROOT
from .wrk import load

CPU = "server's processor time, s"
ONE, FOUR = "one reader, MB/s", "four connections, MB/s"
GETS, GOT = "upstream GETs", "upstream MB"
ANSWERED = "to the first answer, s"
LATE = "last first byte after the first, s"

CROWD = 32
INSTALLS = 2
"""Installs a round; the quicker one counts, for noise only slows."""

AT_REST = 0.3
"""Seconds in which a server that has answered finishes what it still does."""


def medium(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """200 KB, warm."""
    assert server is not None
    download(server.index, scene.tree, "bench-200k")
    item = scene.tree.newest("bench-200k")
    url = link(server.index, "bench-200k", item.filename)
    return {"file of 200 KB, warm": {RATE: load(url, seconds=scene.seconds, body=item.size).rate}}


def large(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """50 and 500 MB, warm."""
    assert server is not None
    found = dict[str, Mapping[str, float]]()
    for project, size, times in (("bench-50m", 50, 8), ("bench-500m", 500, 2)):
        if project not in scene.tree.projects or (scene.quick and size > 50):
            continue
        download(server.index, scene.tree, project)
        item = scene.tree.newest(project)
        url = link(server.index, project, item.filename)
        best = min(swallow(url, item.size) for _ in range(times))
        four = load(url, seconds=scene.seconds, connections=4)
        rate = four.bytes / four.microseconds * 1e6
        found[f"file of {size} MB, warm"] = {ONE: item.size / MB / best, FOUR: rate / MB}
    return found


def large_cold(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """500 MB for the first time, from the fast upstream; what came is hashed after the clock has stopped."""
    project = "bench-50m" if scene.quick else "bench-500m"
    with scene.fresh(contestant, scene.fast, "file-cold") as running:
        assert running.pid is not None
        before = cost.processor(running.pid)
        whole = download(running.index, scene.tree, project).whole
        scene.fast.log.settle()
        time.sleep(AT_REST)
        took = cost.processor(running.pid) - before
    return {f"file of {project.removeprefix('bench-').rstrip('m')} MB, cold": {WHOLE: whole, CPU: took}}


def crowd(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """32 first requests for one file of 50 MB at once, on the slow line."""
    item = scene.tree.newest("bench-50m-b")
    with scene.fresh(contestant, scene.slow, "crowd") as running:
        url = link(running.index, "bench-50m-b", item.filename)
        scene.slow.log.settle()
        mark = scene.slow.log.mark()
        seen = gather(url, CROWD, item.sha256)
        scene.slow.log.settle()
        asked = [one for one in scene.slow.log.since(mark) if one.path.endswith(item.filename)]
    gets = [one for one in asked if one.method == "GET"]
    told = {LATE: seen.late, "first byte, s": seen.first_bytes[0], WHOLE: seen.whole}
    told |= {GETS: len(gets), GOT: sum(one.bytes for one in gets) / MB}
    return {"32 first requests for one file of 50 MB, slow line": told}


def installed(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """`uv pip install` of 61 projects, after one that made all of them warm."""
    assert server is not None
    scene.installer.install(server.index, scene.tree)
    scene.fast.log.settle()
    mark = scene.fast.log.mark()
    took = min(scene.installer.install(server.index, scene.tree) for _ in range(INSTALLS))
    asked = len(scene.fast.log.since(mark))
    told = {WHOLE: took} if contestant.name == DIRECT else {WHOLE: took, "upstream requests": asked}
    return {f"uv pip install of {ROOT}, warm": told}


def start(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """From the first process to the first answer, and to the first page from upstream."""
    began = time.monotonic()
    with scene.fresh(contestant, scene.fast, "start") as running:
        ask(f"{running.url}-/health")  # of whatever status; some do not know it
        answered = time.monotonic() - began
        link(running.index, scene.small, scene.tree.projects[scene.small][-1].filename)
        paged = time.monotonic() - began
    return {"start, nothing cached": {ANSWERED: answered, "to the first page, s": paged}}


CACHES = frozenset({OURS, NGINX, PYPIRON})

ROWS = (
    Row(key="file-200k", who=CACHES | {PROXPI}, measure=medium, warm=True),
    Row(key="file-large", who=CACHES, measure=large, warm=True),
    Row(key="file-cold", who=CACHES, measure=large_cold),
    Row(key="crowd", who=CACHES, measure=crowd),
    Row(key="install", who=CACHES | {DIRECT}, measure=installed, warm=True),
    Row(key="start", who=CACHES | {PROXPI}, measure=start),
)
