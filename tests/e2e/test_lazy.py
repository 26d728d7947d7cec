"""uv reads wheels' metadata by Range where nobody gives it: what it looks at is all that is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import make
from ..daemon import yizhan
from ..upstream_server import UpstreamServer
from .clients import Workstation

CONFIG = """
[[index]]
heal = false
look_ahead = 0
"""
"""Without our own readings of wheels, so that uv has to look itself."""

PAYLOAD = 3_000_000


@pytest.fixture
def index(upstream: UpstreamServer) -> UpstreamServer:
    payload = bytes(range(256)) * (PAYLOAD // 256)
    upstream.publish("top", *make.wheel("top", "1.0", payload=payload, requires=("below",)))
    upstream.publish("below", *make.wheel("below", "2.0", payload=payload), size=None)
    return upstream


def test_uv_resolves_without_metadata_and_fetches_no_whole_wheel(
    desk: Workstation, index: UpstreamServer, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("top\n", encoding="utf-8")
    with yizhan(tmp_path / "data", upstream=index.simple, config=CONFIG) as server:
        done = desk.run("uv", "pip", "compile", "--default-index", server.simple, str(tmp_path / "in.txt"))
        assert "below==2.0" in done.stdout
        parts = [request.headers.get("range", "all") for request in index.asked("/packages/")]
        ranges = [part.removeprefix("bytes=").partition("-") for part in parts]
        assert len(parts) >= 2
        assert sum(int(end) - int(begin) + 1 for begin, _, end in ranges) < PAYLOAD // 10
        assert not list((tmp_path / "data" / "cache" / "incoming").iterdir())
