"""Rows about project pages: small and huge, warm and cold, and what a warm one costs inside."""

from __future__ import annotations

import time
from collections.abc import Mapping

from . import counting
from .asking import HTML, ask, check_page, page
from .contestants import NGINX, PROXPI, PYPIRON, Contestant, Ours, Running
from .figures import OURS
from .measure import JSON, Wrong
from .pinger import pinging
from .scene import FILES_OF_SMALL, RATE, WHOLE, Findings, Row, Scene
from .stage import Stage
from .wrk import load

HUGE = "bench-huge"
TO_200 = "to the 200 rate"
STALL = "longest wait of another, ms"

KINDS = {"JSON": JSON, "HTML": HTML}
CODINGS = {"gzip": {"Accept-Encoding": "gzip"}, "plain": dict[str, str]()}
AGENT = {"User-Agent": "bench"}

COUNTED, BATCHES = 100, 3
"""Requests of a kind over which is counted, and how often: the least counts, as what the server does by itself, now
and then, is no request's."""

AFTER = 1.0
"""Seconds after a cold page in which what it set off still counts."""


def small(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """Identical requests for a page of eight files."""
    assert server is not None
    found = dict[str, Mapping[str, float]]()
    for kind, accept in KINDS.items():
        for coding, accepts in CODINGS.items():
            url, headers = f"{server.index}{scene.small}/", {"Accept": accept, **accepts, **AGENT}
            body = page(url, headers, files=_files(scene)).body
            load_ = load(url, headers=headers, seconds=scene.seconds, body=len(body))
            found[f"small page, {kind}, {coding}"] = {RATE: load_.rate}
    return found


def different(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """The same, but no two requests alike; gzip, as pip and uv ask for it."""
    assert server is not None
    found = dict[str, Mapping[str, float]]()
    for kind, accept in KINDS.items():
        url, headers = f"{server.index}{scene.small}/", {"Accept": accept, **CODINGS["gzip"]}
        body = page(url, headers, files=_files(scene)).body
        load_ = load(url, headers=headers, seconds=scene.seconds, different=True, body=len(body))
        found[f"small page, {kind}, gzip, no two requests alike"] = {RATE: load_.rate}
    return found


def conditional(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """Requests that name the page's ETag, beside those that do not, right before."""
    assert server is not None
    url, headers = f"{server.index}{scene.small}/", {"Accept": JSON, **CODINGS["gzip"], **AGENT}
    whole = page(url, headers, files=_files(scene))
    plain = load(url, headers=headers, seconds=scene.seconds, body=len(whole.body))
    found = dict[str, Mapping[str, float]]()
    for form, validator in _validators(whole.headers["etag"]).items():
        asked = {**headers, "If-None-Match": validator}
        status = ask(url, asked).status
        if status != 304:
            raise Wrong(f"If-None-Match: {validator} was answered with {status}.")
        load_ = load(url, headers=asked, seconds=scene.seconds, body=0)
        found[f"small page, 304, {form}"] = {RATE: load_.rate, TO_200: load_.rate / plain.rate}
    return found


def counted(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """What one warm request does, counted in the server itself."""
    folder = scene.work / "counts"
    folder.mkdir(exist_ok=True)
    ours = Ours(launcher="tests.bench.counting", environment={counting.FILE: str(folder / "counts")})
    with scene.fresh(ours, scene.fast, "counts") as running:
        url = f"{running.index}{scene.small}/"
        headers = {"Accept": JSON, **CODINGS["gzip"]}
        etag = page(url, headers, files=_files(scene)).headers["etag"]
        asked = {"200": headers, "200, no two requests alike": headers}
        asked |= {f"304, {form}": {**headers, "If-None-Match": one} for form, one in _validators(etag).items()}
        scene.fast.log.settle()  # what the first page set off in the background would be counted too
        found = dict[str, Mapping[str, float]]()
        for form, said in asked.items():
            batches = []
            for _ in range(BATCHES):
                before = counting.read(folder / "counts")
                for number in range(COUNTED):
                    ask(url, {**said, "User-Agent": f"pip/{number}" if "alike" in form else "bench"})
                after = counting.read(folder / "counts")
                batches.append({what: (after[what] - before[what]) / COUNTED for what in before})
            each = {f"{what} a request": min(batch[what] for batch in batches) for what in batches[0]}
            found[f"small page, inside, {form}"] = each
    return found


def huge(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """A page of 10,000 files."""
    assert server is not None
    found = dict[str, Mapping[str, float]]()
    for coding, accepts in CODINGS.items():
        url, headers = f"{server.index}{HUGE}/", {"Accept": JSON, **accepts, **AGENT}
        body = page(url, headers, files=len(scene.tree.projects[HUGE])).body
        load_ = load(url, headers=headers, seconds=scene.seconds, body=len(body))
        found[f"page of 10,000 files, {coding}"] = {RATE: load_.rate}
    return found


def huge_cold(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """The same page for the first time, from an upstream that has JSON."""
    return {"page of 10,000 files, cold, from JSON": _cold(scene, contestant, scene.fast)}


def huge_cold_html(scene: Scene, contestant: Contestant, server: Running | None) -> Findings:
    """The same from an upstream that has HTML alone."""
    return {"page of 10,000 files, cold, from HTML": _cold(scene, contestant, scene.html)}


def _cold(scene: Scene, contestant: Contestant, before: Stage) -> Mapping[str, float]:
    with scene.fresh(contestant, before, "huge-cold") as running:
        headers = {"Accept": JSON, **CODINGS["gzip"], **AGENT}
        small = f"{running.index}{scene.small}/"
        ask(small, headers)  # the code is loaded, and upstream connected
        before.log.settle()
        pinged = f"{running.url}-/health" if contestant.name == OURS else small
        with pinging(pinged) as stall:
            began = time.monotonic()
            answer = ask(f"{running.index}{HUGE}/", headers)
            took = time.monotonic() - began
            time.sleep(AFTER)
        check_page(answer, files=len(scene.tree.projects[HUGE]))
    return {WHOLE: took, STALL: stall.longest * 1000}


def _validators(etag: str) -> Mapping[str, str]:
    weak = etag if etag.startswith("W/") else f"W/{etag}"
    return {"its ETag": etag, "weak": weak, "a list": f'"another", W/"other", {etag}'}


def _files(scene: Scene) -> int | None:
    """None where the operator names a project of theirs."""
    return FILES_OF_SMALL if scene.small in scene.tree.projects else None


EVERYONE = frozenset({OURS, NGINX, PYPIRON, PROXPI})

ROWS = (
    Row(key="small", who=EVERYONE, measure=small, warm=True),
    Row(key="different", who=frozenset({OURS, NGINX, PYPIRON}), measure=different, warm=True),
    Row(key="conditional", who=frozenset({OURS}), measure=conditional, warm=True),
    Row(key="counts", who=frozenset({OURS}), measure=counted, once=True),
    Row(key="huge", who=frozenset({OURS, NGINX, PYPIRON}), measure=huge, warm=True),
    Row(key="huge-cold", who=frozenset({OURS, NGINX, PYPIRON}), measure=huge_cold),
    # pypiron answers 404 where its upstream has no JSON.
    Row(key="huge-cold-html", who=frozenset({OURS, NGINX}), measure=huge_cold_html),
)
