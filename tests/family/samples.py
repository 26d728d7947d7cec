"""What mirrors answer that is no list of files, byte for byte as it stands in tests/data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy.simple.model import TEXT

DATA = Path(__file__).parent.parent / "data"

UTF8 = f"{TEXT}; charset=utf-8"
XML = "application/xml"


def sample(name: str) -> bytes:
    return (DATA / name).read_bytes()


def instead(name: str, *, status: int = 200, content_type: str = UTF8) -> dict[str, Any]:
    """A fault: the sample *name* in place of anything."""
    return {"status": status, "body": sample(name), "headers": {"Content-Type": content_type}}


def blocked() -> dict[str, Any]:
    """A fault: what TUNA says to a subnet that it does not like (F3)."""
    return instead("tuna_403.html", status=403)


def portal() -> dict[str, Any]:
    """A fault: the sign-in page of a campus, in place of anything (F9)."""
    return instead("captive_portal.html")


BLOCK_CODE, BLOCK_ID = "00000069", "4f1c0d9e8b7a69584736251403f2e1d0"
"""What the page says to quote when asking why."""
