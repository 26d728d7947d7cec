"""A mirror's tree of files, the same every time: what the bench's upstream serves.

    FOLDER/simple/<name>/index.html, index.v1_html, index.v1_json      (PEP 503, 629, 658, 691, 700, 714)
    FOLDER/simple/index.html, index.v1_html, index.v1_json
    FOLDER/packages/<2>/<2>/<60>/<filename>, and <filename>.metadata
    FOLDER/pypi/<name>/json

200 small projects depend on each other, 60 of them below `bench-root`; `bench-huge` lists 10,000 files; single wheels
are of 200 KB, 5, 50 and 500 MB; and there are sdists, yanked files, and releases for a Python that is yet to come.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests import make

from .listing import Item, write_pages

MB = 1024 * 1024
ROOT = "bench-root"

FORMAT = 1
"""Changes with what is built: a tree of another format is built anew."""

SEED = 20240607
STEP = 4 * MB
"""Bytes of one member of a wheel, at most."""

FUTURE = ">=3.99"
EVERY = ">=3.8"
MADE = (2024, 1, 2, 3, 4, 6)
MODIFIED = 1_700_000_000

WHEEL = b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

PYTHONS = ("cp38", "cp39", "cp310", "cp311", "cp312", "cp313")
PLATFORMS = (
    "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "musllinux_1_2_x86_64",
    "macosx_10_9_x86_64",
    "macosx_11_0_arm64",
    "win_amd64",
    "win32",
)


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a tree holds."""

    small: int = 200
    """Projects `bench-<number>` ..."""
    closure: int = 60
    """... of which so many are what `bench-root` requires in the end."""
    huge: int = 10_000
    """Files that `bench-huge` lists; the last five exist."""
    large: tuple[tuple[str, int], ...] = (
        ("bench-200k", 200 * 1024),
        ("bench-5m", 5 * MB),
        ("bench-50m", 50 * MB),
        ("bench-50m-b", 50 * MB),
        ("bench-500m", 500 * MB),
    )
    """Projects of one wheel, and its payload in bytes."""

    def without_big(self) -> Shape:
        """The same without what takes long to write and to carry."""
        return msgspec.structs.replace(self, large=tuple(one for one in self.large if one[1] < 500 * MB))

    def covers(self, other: Shape) -> bool:
        """Whether a tree of this shape does for the *other*: it may hold more large files."""
        return {*self.large} >= {*other.large} and msgspec.structs.replace(self, large=other.large) == other


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree on disk."""

    folder: Path
    projects: Mapping[str, Sequence[Item]]

    @property
    def closure(self) -> int:
        """Projects that installing ROOT takes, itself among them."""
        seen, ahead = {ROOT}, [ROOT]
        while ahead:
            new = set(self.requires(self.newest(ahead.pop()))) - seen
            seen |= new
            ahead += new
        return len(seen)

    def newest(self, name: str) -> Item:
        """The wheel that a client chooses: files stand in the order of their versions."""
        return next(
            item
            for item in reversed(self.projects[name])
            if item.filename.endswith(".whl") and not item.yanked and item.requires_python != FUTURE
        )

    def requires(self, item: Item) -> list[str]:
        """The names that a wheel requires, as its metadata says."""
        lines = (self.folder / f"{item.path}.metadata").read_text(encoding="utf-8").splitlines()
        return [line.removeprefix("Requires-Dist: ").partition(">=")[0] for line in lines if "Requires-Dist" in line]


class _Manifest(msgspec.Struct, frozen=True):
    format: int
    shape: Shape
    projects: dict[str, list[Item]]


def lay(folder: Path, shape: Shape, told: Callable[[str], None] = lambda _: None) -> Tree:
    """The tree of *shape* in *folder*: as it lies there from before, else built, which *told* hears of.

    Whatever else was in *folder* goes.
    """
    manifest = folder.with_name(f"{folder.name}.json")
    try:
        known = msgspec.json.decode(manifest.read_bytes(), type=_Manifest)
    except (FileNotFoundError, msgspec.DecodeError):
        known = None
    if known is not None and known.format == FORMAT and known.shape.covers(shape) and folder.is_dir():
        return Tree(folder, known.projects)
    manifest.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    builder = _Builder(folder, told)
    builder.build(shape)
    # Last of all: a tree that was not built to its end is built again.
    manifest.write_bytes(msgspec.json.encode(_Manifest(FORMAT, shape, builder.projects)))
    return Tree(folder, builder.projects)


@dataclass(slots=True)
class _Builder:
    folder: Path
    told: Callable[[str], None]
    projects: dict[str, list[Item]] = field(default_factory=dict)

    def build(self, shape: Shape) -> None:
        self._small(shape)
        self.wheel(ROOT, "1.0.0", 4096, ["bench-000>=1.0"], requires_python=EVERY)
        for name, size in shape.large:
            self.told(f"building {name}")
            self.wheel(name, "1.0.0", size)
        self.wheel("bench-yanked", "1.0.0", 4096)
        self.wheel("bench-yanked", "1.1.0", 4096, yanked="security")
        self.sdist("bench-yanked", "1.1.0", yanked="security")
        for version in ("1.0.0", "1.1.0"):
            self.sdist("bench-sdist-only", version)
        self.projects["bench-huge"] = list(_unmade(shape.huge - 5))
        for number in range(5):
            self.wheel("bench-huge", f"99.{number}.0", 20 * 1024, requires_python=EVERY)
        self.told("writing pages")
        write_pages(self.folder, self.projects)

    def _small(self, shape: Shape) -> None:
        """A binary tree below the first, so that all is reached, with a few more edges; the rest requires at random."""
        rng = random.Random(SEED)
        closure = shape.closure
        for number in range(shape.small):
            name = f"bench-{number:03d}"
            if number < closure:
                further = rng.sample(range(number + 1, closure), min(2, closure - number - 1))
                required = {child for child in (2 * number + 1, 2 * number + 2) if child < closure} | {*further}
            else:
                required = {*rng.sample(range(closure), rng.randint(0, 3))}
            requires = [f"bench-{other:03d}>=1.0" for other in sorted(required)]
            size = int(2 ** rng.uniform(1.5, 7.64)) * 1024
            releases = rng.randint(1, 8)
            for release in range(releases):
                version = f"1.{release}.0"
                broken = release == 1 and releases > 3 and number % 5 == 0
                self.wheel(
                    name,
                    version,
                    size if release == releases - 1 else 2048,
                    requires,
                    requires_python=EVERY,
                    yanked="broken" if broken else False,
                )
                if number % 3 == 0:
                    self.sdist(name, version, requires, requires_python=EVERY)
            if number % 7 == 0:
                self.wheel(name, "9.0.0", 2048, requires_python=FUTURE)

    def wheel(
        self,
        name: str,
        version: str,
        payload: int,
        requires: Sequence[str] = (),
        *,
        requires_python: str | None = None,
        yanked: bool | str = False,
    ) -> None:
        metadata = make.metadata(name, version, requires=tuple(requires), requires_python=requires_python)
        made = self.folder / "made.whl"
        write_wheel(made, name, version, payload, metadata)
        filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        self._keep(made, name, filename, metadata, requires_python, yanked)

    def sdist(
        self,
        name: str,
        version: str,
        requires: Sequence[str] = (),
        *,
        requires_python: str | None = None,
        yanked: bool | str = False,
    ) -> None:
        filename, body = make.sdist(name, version, requires=tuple(requires))
        made = self.folder / "made.tar.gz"
        made.write_bytes(gzip.compress(gzip.decompress(body), mtime=0))  # its head would tell the hour
        self._keep(made, name, filename, None, requires_python, yanked)

    def _keep(
        self,
        made: Path,
        name: str,
        filename: str,
        metadata: bytes | None,
        requires_python: str | None,
        yanked: bool | str,
    ) -> None:
        with made.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        item = Item(
            filename=filename,
            path=f"{_place(digest)}/{filename}",
            sha256=digest,
            size=made.stat().st_size,
            requires_python=requires_python,
            yanked=yanked,
            metadata=hashlib.sha256(metadata).hexdigest() if metadata is not None else None,
        )
        kept = self.folder / item.path
        kept.parent.mkdir(parents=True)
        made.rename(kept)
        os.utime(kept, (MODIFIED, MODIFIED))
        if metadata is not None:
            kept.with_name(f"{filename}.metadata").write_bytes(metadata)
        self.projects.setdefault(name, []).append(item)


def write_wheel(path: Path, name: str, version: str, payload: int, metadata: bytes) -> None:
    """Write a wheel (PEP 427) that holds *payload* random bytes, stored as they are, piece by piece."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    records = list[str]()

    def add(archive: zipfile.ZipFile, member: str, body: bytes) -> None:
        entry = zipfile.ZipInfo(member, MADE)
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, body)
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
        records.append(f"{member},sha256={digest},{len(body)}\n")

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        add(archive, f"{module}/__init__.py", f'__version__ = "{version}"\n'.encode())
        for number, begin in enumerate(range(0, payload, STEP)):
            body = random.Random(f"{name}-{version}-{number}").randbytes(min(STEP, payload - begin))
            add(archive, f"{module}/data_{number}.bin", body)
        add(archive, f"{info}/METADATA", metadata)
        add(
            archive,
            f"{info}/WHEEL",
            b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        add(archive, f"{info}/RECORD", "".join([*records, f"{info}/RECORD,,\n"]).encode())


def _unmade(count: int) -> Iterator[Item]:
    """Files that are listed and do not exist: so many that only their listing matters."""
    rng = random.Random(SEED + 1)
    wheels = (
        (version, f"bench_huge-{version // 100}.{version // 10 % 10}.{version % 10}-{python}-{python}-{platform}.whl")
        for version in range(1, count + 1)
        for python in PYTHONS
        for platform in PLATFORMS
    )
    for _, (version, filename) in zip(range(count), wheels, strict=False):
        digest, metadata = f"{rng.getrandbits(256):064x}", f"{rng.getrandbits(256):064x}"
        yield Item(
            filename=filename,
            path=f"{_place(digest)}/{filename}",
            sha256=digest,
            size=rng.randint(10**5, 10**7),
            requires_python=EVERY,
            uploaded=f"2023-{1 + version % 12:02d}-02T03:04:06.123456Z",
            metadata=metadata,
        )


def _place(digest: str) -> str:
    return f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}"
