"""Archives of every kind, made for tests: good ones, and what they are made of."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256

import pytest

from proxy.archive import Limits, read_metadata
from proxy.errors import BadUpload

from .make import metadata

LIMITS = Limits(max_metadata=10_000, max_unpacked=200_000_000, max_members=1000, seconds=20)
CORE = metadata("acme", "1.0")
INFO = "acme-1.0.dist-info"
WHEEL = "acme-1.0-py3-none-any.whl"
SDIST = "acme-1.0.tar.gz"


def read(body: bytes, filename: str = WHEEL, limits: Limits = LIMITS, **clock: Callable[[], float]) -> bytes:
    return read_metadata(io.BytesIO(body), filename, limits, **clock)


def refused(body: bytes, filename: str = WHEEL, *, match: str, limits: Limits = LIMITS) -> None:
    with pytest.raises(BadUpload, match=match):
        read(body, filename, limits)


def members(**replaced: bytes | None) -> dict[str, bytes]:
    """What a wheel holds; a keyword replaces one of the three files of its .dist-info, None leaves it out."""
    held: dict[str, bytes | None] = {"METADATA": CORE, "WHEEL": b"Wheel-Version: 1.0\n", "RECORD": b"", **replaced}
    files = {f"{INFO}/{name}": body for name, body in held.items() if body is not None}
    return {"acme.py": b"x = 1\n", **files}


def zipped(
    files: Mapping[str, bytes],
    *,
    compression: int = zipfile.ZIP_STORED,
    change: Callable[[zipfile.ZipFile], None] | None = None,
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
        if change:
            change(archive)
    return buffer.getvalue()


def tarred(*added: tuple[tarfile.TarInfo, bytes], core: bytes | None = CORE, form: int = tarfile.PAX_FORMAT) -> bytes:
    """An sdist with *added* members; without PKG-INFO where *core* is None."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as archive:
        for info, body in ([entry("acme-1.0/PKG-INFO", core)] if core is not None else []) + list(added):
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def entry(name: str, body: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, body


def tarred_raw(kind: bytes, body: bytes, *, size: int | None = None, times: int = 1) -> bytes:
    """An sdist that begins with *times* extended headers of the type *kind*."""
    info = tarfile.TarInfo("header")
    info.type = kind
    info.size = len(body) if size is None else size
    block = info.tobuf(tarfile.USTAR_FORMAT) + body + b"\0" * (-len(body) % 512)
    return gzip.compress(block * times + gzip.decompress(tarred()), 1)


def zip_of_zeros(size: int) -> bytes:
    """A wheel with *size* zeros in it, made without holding them."""

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members().items():
            archive.writestr(name, body)
        info = zipfile.ZipInfo("acme/zeros")
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w") as member:
            for _ in range(size // 2**20):
                member.write(bytes(2**20))
    return buffer.getvalue()


def tar_of_zeros(size: int) -> bytes:
    info = tarfile.TarInfo("acme-1.0/zeros")
    info.size = size
    packer = zlib.compressobj(1, wbits=31)
    pieces = [packer.compress(info.tobuf(tarfile.PAX_FORMAT))]
    pieces += [packer.compress(bytes(2**20)) for _ in range(size // 2**20)]
    return b"".join([*pieces, packer.flush()])


def listed(files: Mapping[str, bytes], *, info: str = INFO) -> dict[str, bytes]:
    """*files* of a wheel with the RECORD that they should have."""
    own = f"{info}/RECORD"
    rows = [
        f'"{path}",sha256={urlsafe_b64encode(sha256(body).digest()).rstrip(b"=").decode()},{len(body)}\n'
        for path, body in files.items()
        if path != own
    ]
    return {**files, own: "".join([*rows, f"{own},,\n"]).encode()}
