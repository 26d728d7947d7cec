"""What every test gets: no blocking calls on the event loop, and no leftover settings of the machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Code of ours that blocks the event loop fails its test."""
    with blockbuster_ctx("proxy") as blockbuster:
        # asyncio's own locks between threads, and the one call that is made to be quick or to say that it is not.
        blockbuster.functions["threading.Lock.acquire"].deactivate()
        blockbuster.functions["os.sendfile"].deactivate()
        yield
