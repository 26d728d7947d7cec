"""Small real distributions, and values of ours, for tests."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from datetime import UTC, datetime
from typing import Any

from proxy.simple.model import File

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def metadata(name: str, version: str, *, requires: tuple[str, ...] = (), requires_python: str | None = None) -> bytes:
    """The bytes of a METADATA or PKG-INFO file."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Summary: made for a test"]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return ("\n".join(lines) + "\n\nMade for a test.\n").encode()


def wheel(
    name: str, version: str, *, payload: bytes = b"", requires: tuple[str, ...] = (), requires_python: str | None = None
) -> tuple[str, bytes]:
    """The filename and bytes of a pure wheel whose module tells its version; *payload* makes it bigger."""
    module = name.replace("-", "_").replace(".", "_").lower()
    stem = f"{module}-{version}"
    members = {
        f"{module}/__init__.py": f'__version__ = "{version}"\n'.encode(),
        f"{module}/payload.bin": payload,
        f"{stem}.dist-info/METADATA": metadata(name, version, requires=requires, requires_python=requires_python),
        f"{stem}.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b'=').decode()},{len(body)}\n"
        for path, body in members.items()
    )
    members[f"{stem}.dist-info/RECORD"] = (record + f"{stem}.dist-info/RECORD,,\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, body in members.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), body)
    return f"{stem}-py3-none-any.whl", buffer.getvalue()


def sdist(name: str, version: str, *, requires: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """The filename and bytes of a source distribution that setuptools can build."""
    module = name.replace("-", "_").replace(".", "_").lower()
    stem = f"{module}-{version}"
    members = {
        f"{stem}/PKG-INFO": metadata(name, version, requires=requires),
        f"{stem}/{module}/__init__.py": f'__version__ = "{version}"\n'.encode(),
        f"{stem}/pyproject.toml": (
            "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
            f"[project]\nname = '{name}'\nversion = '{version}'\ndependencies = {list(requires)!r}\n"
            f"[tool.setuptools]\npackages = ['{module}']\n"
        ).encode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, body in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return f"{stem}.tar.gz", buffer.getvalue()


def place(body: bytes) -> str:
    """The path of *body* at the official index and its mirrors: its blake2b-256."""
    digest = hashlib.blake2b(body, digest_size=32).hexdigest()
    return f"{digest[:2]}/{digest[2:4]}/{digest[4:]}"


def file(filename: str, body: bytes = b"bytes", **fields: Any) -> File:
    """A File that lists *body* as an index does; *fields* replace what it would say."""
    said: dict[str, Any] = {
        "filename": filename,
        "path": place(body),
        "hashes": {"sha256": hashlib.sha256(body).hexdigest()},
        "size": len(body),
        "upload_time": NOON,
    }
    return File(**{**said, **fields})
