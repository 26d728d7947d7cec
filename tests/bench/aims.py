"""What each row is to reach, beside whom."""

from __future__ import annotations

from collections.abc import Iterator

from . import rows_files as files
from . import rows_growth as growth
from . import rows_pages as pages
from . import upstream
from .contestants import NGINX, PYPIRON
from .figures import Aim
from .scene import RATE, WHOLE

IDLE, PEAK = "idle, MB", "peak, MB"
MEMORY = "memory, one worker"


def _least(case: str, what: str, factor: float, beside: str | None = None) -> Aim:
    return Aim(case=case, what=what, beside=beside, factor=factor, least=True)


def _most(case: str, what: str, factor: float, beside: str | None = None) -> Aim:
    return Aim(case=case, what=what, beside=beside, factor=factor)


def _pages() -> Iterator[Aim]:
    for kind in pages.KINDS:
        for coding in pages.CODINGS:
            yield _least(f"small page, {kind}, {coding}", RATE, 1.5, NGINX)
    for kind in pages.KINDS:
        yield _least(f"small page, {kind}, gzip, no two requests alike", RATE, 1.0, PYPIRON)
    for form in ("its ETag", "weak", "a list"):
        yield _least(f"small page, 304, {form}", pages.TO_200, 1.0)
        yield _most(f"small page, inside, 304, {form}", "renders a request", 0.0)
        yield _most(f"small page, inside, 304, {form}", "SQLite statements a request", 0.0)
    yield _least("page of 10,000 files, gzip", RATE, 1.0, PYPIRON)
    yield _least("page of 10,000 files, plain", RATE, 1.0, NGINX)
    for kind, seconds in (("JSON", 0.2), ("HTML", 0.5)):
        yield _most(f"page of 10,000 files, cold, from {kind}", WHOLE, seconds)
        yield _most(f"page of 10,000 files, cold, from {kind}", pages.STALL, 50.0)


def _files() -> Iterator[Aim]:
    yield _least("file of 200 KB, warm", RATE, 1.5, PYPIRON)
    yield _least("file of 200 KB, warm", RATE, 0.6, NGINX)
    for size in (50, 500):
        yield _least(f"file of {size} MB, warm", files.ONE, 0.9, NGINX)
        yield _least(f"file of {size} MB, warm", files.FOUR, 0.9, NGINX)
    yield _most("file of 500 MB, cold", WHOLE, 0.6, PYPIRON)
    yield _most("file of 500 MB, cold", files.CPU, 0.6, PYPIRON)
    crowd = "32 first requests for one file of 50 MB, slow line"
    yield _most(crowd, files.GOT, 51.0)
    yield _most(crowd, files.LATE, 0.2)
    yield _most("uv pip install of bench-root, warm", WHOLE, 1.1, NGINX)


def _rest() -> Iterator[Aim]:
    yield _most(MEMORY, IDLE, 90.0)
    yield _most(MEMORY, PEAK, 250.0)
    yield _most("start, nothing cached", files.ANSWERED, 0.5)
    yield _most("start, 10,000 private files", "to the first page, s", 2.0)
    yield _most("1,000 private projects of 30 files, after an upload", "page, ms", 20.0)
    for count in growth.FOLLOWERS[1:]:
        yield _most(growth.followed(count), files.LATE, 0.2)


AIMS = (*_pages(), *_files(), *_rest(), *upstream.AIMS)
