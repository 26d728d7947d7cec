"""Real packages from the real index, and from our memory alone when that index is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..daemon import Access, yizhan
from ..upstream_server import running_upstream
from .clients import Workstation, answered
from .real import RealIndex

pytestmark = pytest.mark.real

PAGE = re.compile(r"/simple/[^/]+/")


def install(desk: Workstation, other: Workstation, index: str) -> None:
    """Flask and numpy by pip on one machine, FastAPI and pandas by uv on the other: nothing is there before."""
    for machine in (desk, other):
        machine.set_up()
    desk.pip("install", "-i", index, "flask", "numpy")
    other.uv("pip", "install", "--default-index", index, "fastapi", "pandas")
    assert desk.execute("import flask, numpy; print(numpy.arange(3).sum())") == "3"
    assert other.execute("import fastapi, pandas; print(pandas.Series([1, 2]).sum())") == "3"


def files(accesses: list[Access]) -> set[str]:
    """The distribution files that clients got."""
    found = {access.target for access in accesses if access.target.startswith("/packages/") and access.status == 200}
    return {target for target in found if not target.endswith(".metadata")}


def test_what_was_installed_once_is_installed_again_without_the_index(
    desk: Workstation, real_index: RealIndex, tmp_path: Path
) -> None:
    other, data = Workstation(tmp_path / "other"), tmp_path / "data"
    with yizhan(data, *real_index.flags, upstream=real_index.url, environment=real_index.environment) as server:
        install(desk, other, server.simple)
        first = files(answered(server))
        assert server.stop() == 0
    names = {target.rpartition("/")[2].partition("-")[0].lower() for target in first}
    assert {"flask", "numpy", "fastapi", "pandas"} <= names
    with running_upstream() as gone:
        gone.fault("/", status=503)
        # Every page is stale at once, so that refreshes are tried.
        with yizhan(data, upstream=gone.simple, environment={"YIZHAN_INDEX__FRESH": "0 s"}) as server:
            install(desk, other, server.simple)
            accesses = answered(server)
        asked = [request.path for request in gone.log]
    assert files(accesses) == first
    assert {access.status for access in accesses} <= {200, 206, 304}
    assert asked, "a page is stale: it should have been asked for again"
    assert [path for path in asked if not PAGE.fullmatch(path)] == []
