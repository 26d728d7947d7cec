"""What tests with real clients share: machines of the building, and an index on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..upstream_server import UpstreamServer, running_upstream
from .clients import Workstation
from .publishing import Environments
from .real import RealIndex, find_real_index


@pytest.fixture
def desk(tmp_path: Path) -> Workstation:
    """A machine that was never used."""
    desk = Workstation(tmp_path / "desk")
    desk.set_up()
    return desk


@pytest.fixture
def upstream() -> Iterator[UpstreamServer]:
    """An empty index."""
    with running_upstream() as server:
        yield server


@pytest.fixture(scope="session")
def environments(request: pytest.FixtureRequest) -> Environments:
    """Of the publishing tools: kept from one run of the tests to the next."""
    return Environments(request.config.cache.mkdir("uploaders"))


@pytest.fixture(scope="session")
def real_index() -> RealIndex:
    """The index that this machine's pip installs from; without it the test is skipped."""
    return find_real_index()
