"""Archives made to harm: each is refused in words, nothing of it touches the file system, and no change of a byte
brings anything but metadata or BadUpload."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.archive import Contents, Limits, inspect
from proxy.errors import BadUpload
from proxy.strict import check_strictly
from proxy.upload import Facts, Form, check

from .archives import CORE, INFO, SDIST, WHEEL, entry, listed, members, read, refused, tarred, tarred_raw, zipped

TIGHT = Limits(max_metadata=10_000, max_unpacked=2_000_000, max_members=100, seconds=20)
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR64 = struct.Struct("<4sIQI")


def renamed(path: str) -> bytes:
    """A wheel with a member at *path*, which no tool would write."""
    stand_in = "_" * len(path.encode())
    return zipped({**members(), stand_in: b"x"}).replace(stand_in.encode(), path.encode())


def with_extra(extra: bytes) -> bytes:
    """A wheel with a member that has an *extra* field, in the directory and in front of its content."""

    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("acme/a.py")
        info.extra = b"\xff\xfe" + struct.pack("<H", len(extra) - 4) + extra[4:]  # of a kind that zipfile lets pass
        archive.writestr(info, b"x")

    return zipped(members(), change=add).replace(b"\xff\xfe" + struct.pack("<H", len(extra) - 4) + extra[4:], extra)


def ended(*, narrow: tuple[int, ...] | None = None, wide: dict[int, int] | None = None, locator: int = 0) -> bytes:
    """A wheel with both ends: *narrow* replaces what that of old says, *wide* fields of that of 64 bits."""
    body = zipped(members())
    _, *said, _ = END.unpack(body[-END.size :])
    start = len(body) - END.size
    disk, first, here, count, size, offset = said
    fields = [b"PK\6\6", END64.size - 12, 45, 45, disk, first, here, count, size, offset]
    for at, value in (wide or {}).items():
        fields[at] = value
    return (
        body[:start]
        + END64.pack(*fields)
        + LOCATOR64.pack(b"PK\6\7", 0, start + locator, 1)
        + END.pack(b"PK\5\6", *(narrow or said), 0)
    )


def described(change: Callable[[bytes], bytes]) -> bytes:
    """A wheel whose first member has its sizes behind its content, where *change* has been at them."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members().items():
            archive.writestr(name, body)
    body = pipe.getvalue()
    at = body.find(b"PK\7\10")
    return body[:at] + change(body[at : at + 16]) + body[at + 16 :]


def overlapping() -> bytes:
    """CVE-2024-0450: the directory lists one local header twice, under two names."""
    body = zipped({**members(), "acme/one": b"x" * 50, "acme/two": b"x" * 50})
    first = body.find(b"PK\3\4", body.find(b"acme/one") - 40)
    listed_at = body.rfind(b"acme/two") - 4
    return body[:listed_at] + struct.pack("<I", first) + body[listed_at + 4 :]


def with_packed(packed: bytes) -> bytes:
    """A wheel whose METADATA is *packed*, and said to unpack to CORE."""
    body = zipped(members(METADATA=packed))
    # As a stored member it is what it is; its two headers make a deflated one of it.
    told = struct.pack("<3I", zlib.crc32(packed), len(packed), len(packed))
    true = struct.pack("<3I", zlib.crc32(CORE), len(packed), len(CORE))
    for at in (at for at in range(len(body)) if body.startswith(told, at)):
        body = body[: at - 6] + b"\x08\x00" + body[at - 4 : at] + true + body[at + 12 :]
    return body


def nested(depth: int) -> bytes:
    """As 42.zip: archives in archives, of which only the outermost is an archive to us."""
    body = zipped({"zeros": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED)
    for _ in range(depth):
        body = zipped({f"{number}.zip": body for number in range(16)}, compression=zipfile.ZIP_DEFLATED)
    return body


def sized(raw: bytes) -> bytes:
    """An sdist whose last member's size field is *raw*."""
    info, _ = entry("acme-1.0/x")
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = raw
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return gzip.compress(gzip.decompress(tarred())[:1024] + bytes(block) + bytes(1024))


def pax(record: bytes) -> bytes:
    return tarred_raw(b"x", b"%d %s\n" % (len(record) + 4, record))


BODY = zipped(members())
PACKED = zlib.compress(CORE, wbits=-15)
CORPUS: dict[str, tuple[str, bytes, str]] = {
    # E06: bombs, and members that share a content
    "overlap": (WHEEL, overlapping(), "overlap|contradict"),
    "42-zip": (WHEEL, nested(2), "one .dist-info folder"),
    "many-members": (WHEEL, zipped({**members(), **{f"a/{number}": b"" for number in range(101)}}), "100 members"),
    "more-than-limit": (WHEEL, zipped({**members(), "zeros": bytes(3_000_000)}), "more than 2000000 bytes"),
    "more-than-said": (
        WHEEL,
        zipped(members(METADATA=bytes(2_000_000)), compression=zipfile.ZIP_DEFLATED).replace(
            struct.pack("<I", 2_000_000), struct.pack("<I", 200)
        ),
        "size and checksum",
    ),
    # E07: tars without end
    "tar-zeros": (SDIST, tarred(entry("acme-1.0/zeros", bytes(3_000_000))), "more than 2000000 bytes"),
    "tar-members": (SDIST, tarred(*(entry(f"acme-1.0/{number}") for number in range(101))), "100 members"),
    "tar-headers": (SDIST, tarred_raw(b"x", b"", times=101), "100 members"),
    "pax-huge": (SDIST, tarred_raw(b"x", b"", size=2**32), "too long"),
    "long-name-huge": (SDIST, tarred_raw(b"L", bytes(70_000)), "too long"),
    "sparse-gnu": (SDIST, tarred(entry("acme-1.0/x", type=tarfile.GNUTYPE_SPARSE)), "neither file"),
    "sparse-pax-0": (SDIST, pax(b"GNU.sparse.size=99999999999"), "sparse"),
    "sparse-pax-1": (SDIST, pax(b"GNU.sparse.realsize=9999999"), "sparse"),
    "size-negative": (SDIST, sized(b"\xff" * 12), "proper size"),
    "size-beyond-all": (SDIST, sized(b"\x80" + b"\xff" * 11), "proper size"),
    "size-beyond-the-end": (SDIST, sized(b"00000007777\0"), "cut off"),
    # E08: what leads elsewhere
    "tar-up": (SDIST, tarred(entry("acme-1.0/../../evil", b"x")), "below its folder"),
    "tar-root": (SDIST, tarred(entry("/tmp/evil", b"x")), "below its folder"),
    "tar-nul": (SDIST, pax(b"path=acme-1.0/a\0b"), "below its folder"),
    "tar-backslash": (SDIST, tarred(entry("acme-1.0\\..\\evil", b"x")), "below its folder"),
    "symlink": (SDIST, tarred(entry("acme-1.0/x", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "leads out"),
    "hard-link": (SDIST, tarred(entry("acme-1.0/x", type=tarfile.LNKTYPE, linkname="../x")), "leads out"),
    "device": (SDIST, tarred(entry("acme-1.0/x", type=tarfile.CHRTYPE)), "neither file"),
    "fifo": (SDIST, tarred(entry("acme-1.0/x", type=tarfile.FIFOTYPE)), "neither file"),
    "zip-up": (WHEEL, renamed("../evil.py"), "below its folder"),
    "zip-root": (WHEEL, renamed("/tmp/evil.py"), "below its folder"),
    "zip-drive": (WHEEL, renamed("C:/evil.py"), "below its folder"),
    "zip-backslash": (WHEEL, renamed("..\\evil.py"), "below its folder"),
    "zip-nul": (WHEEL, renamed("acme\0.py"), "below its folder"),
    "zip-slash": (WHEEL, renamed("/"), "below its folder"),
    # E10: what is there twice
    "metadata-by-case": (WHEEL, zipped({**members(), f"{INFO}/Metadata": CORE}), "capital letters"),
    "dist-info-by-case": (WHEEL, zipped({**members(), f"{INFO.upper()}/METADATA": CORE}), "one .dist-info"),
    "dist-info-normalised": (WHEEL, zipped({**members(), "acme-1.dist-info/METADATA": CORE}), "one .dist-info"),
    "pkg-info-twice": (SDIST, tarred(entry("acme-1.0/PKG-INFO", CORE)), "two PKG-INFO"),
    # E11, E12: zips that say two things
    "crc": (WHEEL, described(lambda told: told[:4] + b"\0\0\0\0" + told[8:]), "gap"),
    "described-size": (WHEEL, described(lambda told: told[:-4] + b"\1\0\0\0"), "gap"),
    "described-unsigned": (WHEEL, described(lambda told: b"PK\7\11" + told[4:]), "gap"),
    "hidden-in-the-stream": (WHEEL, with_packed(PACKED + b"hidden"), "packed into more"),
    "second-zip64-field": (WHEEL, with_extra(struct.pack("<2HQ2HQ", 1, 8, 1, 1, 8, 1)), "extra field"),
    "extra-cut-off": (WHEEL, with_extra(struct.pack("<2HI", 7, 400, 0)), "extra field"),
    "trailing": (WHEEL, BODY + b"\n", "behind its end"),
    "comment": (WHEEL, BODY[:-2] + b"\1\0x", "behind its end"),
    "two-ends": (WHEEL, BODY + BODY[-END.size :], "not where it says"),
    "end-in-the-comment": (WHEEL, BODY[:-2] + struct.pack("<H", END.size) + BODY[-END.size :], "not where it says"),
    "two-archives": (WHEEL, BODY + BODY, "not where it says"),
    "two-ends-of-zip64": (WHEEL, ended(narrow=(0, 0, 3, 3, 9, 9)), "two ends"),
    "zip64-count": (WHEEL, ended(wide={6: 3, 7: 3}), "two ends|length"),
    "zip64-elsewhere": (WHEEL, ended(locator=1), "zip64 end is not where"),
    "zip64-longer": (WHEEL, ended(wide={1: 45}), "zip64 end is not one"),
    "prefixed": (WHEEL, b"MZ" + BODY, "not where it says"),
    "tar-cut-off": (SDIST, tarred()[:-9], "cut off|damaged"),
    "tar-trailing": (SDIST, tarred() + b"x", "behind its end"),
    "tar-twice": (SDIST, tarred() + tarred(), "behind its end"),
    "tar-after-its-end": (SDIST, gzip.compress(gzip.decompress(tarred()) + b"x" * 512), "to its end"),
    "version-to-come": (WHEEL, BODY.replace(b"PK\1\2\x14\3\x14", b"PK\1\2\x14\3\x40", 1), "yet to come"),
    "lzma": (WHEEL, zipped(members(), compression=zipfile.ZIP_LZMA), "stored or deflated"),
    "bzip2": (WHEEL, zipped(members(), compression=zipfile.ZIP_BZIP2), "stored or deflated"),
    # E13: two kinds in one, or none
    "zip-and-tar": (WHEEL, zipped({"a": bytes(226) + b"ustar", **members()}), "a zip and a tar"),
    "tar-and-zip": (SDIST, tarred() + BODY, "behind its end"),
    "html": (WHEEL, b"<!DOCTYPE html><title>Sign in</title>" * 9, "not a zip archive"),
    "html-sdist": (SDIST, b"<!DOCTYPE html><title>Sign in</title>" * 9, "not a gzip"),
    "html-and-zip": (WHEEL, b"<!DOCTYPE html>" + BODY, "not where it says"),
    "nothing": (WHEEL, b"", "not a zip archive"),
}


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("case", CORPUS)
def test_what_is_made_to_harm_is_refused_in_words(case: str, thorough: bool) -> None:
    filename, body, match = CORPUS[case]
    with pytest.raises(BadUpload, match=match) as caught:
        inspect(io.BytesIO(body), filename, TIGHT, thorough=thorough)
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 200


def test_what_the_corpus_is_made_of_is_fine_itself() -> None:
    """Or the cases above would be refused for the wrong reason."""
    for body in (BODY, described(bytes), ended(), ended(narrow=(*(0xFFFF,) * 4, *(0xFFFFFFFF,) * 2))):
        assert read(body) == CORE
    for body in (with_extra(struct.pack("<2HQ", 1, 8, 1)), with_extra(struct.pack("<2HI", 7, 4, 0)), renamed("a.py")):
        assert read(body) == CORE
    for body in (tarred(), sized(b"00000000000\0"), pax(b"comment=of git")):
        assert read(body, SDIST) == CORE
    assert read(with_packed(PACKED)) == CORE


@pytest.mark.parametrize(("ratio", "fine"), [(49, True), (51, False)])
def test_the_line_between_a_bomb_and_a_wheel_that_packs_well(ratio: int, fine: bool) -> None:
    unpacked = 65 * 2**20
    noise = random.Random(0).randbytes(unpacked // ratio - 66_000)
    body = zipped(
        {**members(), "noise": noise, "zeros": bytes(unpacked - len(noise))}, compression=zipfile.ZIP_DEFLATED
    )
    assert (unpacked / len(body) < 50) is fine
    if fine:
        assert read(body, limits=Limits()) == CORE
    else:
        refused(body, match="more than 50 times its size", limits=Limits())


CHILD = """
import os, sys

folder, root = sys.argv[1:]
sys.path.insert(0, root)
from proxy.archive import Limits, inspect
from proxy.errors import BadUpload

limits = Limits(max_metadata=10_000, max_unpacked=2_000_000, max_members=100, seconds=20)
handles = [(open(entry.path, "rb"), entry.name.partition("@")[2]) for entry in sorted(os.scandir(folder), key=str)]
for handle, filename in handles[:2]:
    inspect(handle, filename, limits, thorough=True)  # what is imported late is imported now

def watch(event, args):
    if event == "open" or event.startswith(("os.", "shutil.", "tempfile.", "subprocess.", "socket.", "ctypes.")):
        raise SystemExit(f"{event} {args}")

sys.addaudithook(watch)
for handle, filename in handles:
    for thorough in (False, True):
        try:
            print("fine", len(inspect(handle, filename, limits, thorough=thorough).metadata))
        except BadUpload as error:
            print("refused", error)
"""


def test_nothing_that_is_in_an_archive_touches_the_file_system(tmp_path: Path) -> None:
    """In a process of its own, which ends at the first call that would open, make or link anything."""
    folder, empty = tmp_path / "archives", tmp_path / "empty"
    folder.mkdir()
    empty.mkdir()
    inside = tarred(entry("acme-1.0/x", b"x"), entry("acme-1.0/l", type=tarfile.SYMTYPE, linkname="x"))
    fine = {"0-wheel": (WHEEL, zipped(listed(members()))), "0-sdist": (SDIST, inside)}
    absolute = {"outside": (SDIST, tarred(entry(f"{empty}/evil", b"x")))}
    cases = {**fine, **absolute, **{case: (filename, body) for case, (filename, body, _) in CORPUS.items()}}
    for case, (filename, body) in cases.items():
        (folder / f"{case}@{filename}").write_bytes(body)
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), root], cwd=empty, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["fine"] * 4 + ["refused"] * 2 * (len(cases) - 2)
    assert list(empty.iterdir()) == []


# Whatever comes, it is metadata or BadUpload


def whole_wheel(compression: int) -> bytes:
    """With everything in it that is read."""
    added = {f"{INFO}/entry_points.txt": b"[console_scripts]\nacme = acme:main\n", "acme/data": bytes(range(256)) * 9}
    return zipped(listed({**members(), **added}), compression=compression)


WHOLE = (
    (WHEEL, whole_wheel(zipfile.ZIP_DEFLATED)),
    (WHEEL, whole_wheel(zipfile.ZIP_STORED)),
    (WHEEL, ended()),
    (WHEEL, described(bytes)),
    ("acme-1.0.zip", zipped({"acme-1.0/PKG-INFO": CORE, "acme-1.0/setup.py": b""})),
    (SDIST, gzip.decompress(tarred(entry("acme-1.0/" + "long" * 40, b"x" * 700), form=tarfile.PAX_FORMAT))[:4608]),
    (SDIST, gzip.decompress(tarred(entry("acme-1.0/" + "long" * 40, b"x" * 700), form=tarfile.GNU_FORMAT))[:4608]),
)
NUMBERS = (b"\0\0", b"\1\0", b"\xff\xff", b"\0\0\0\0", b"\xff" * 4, b"\xff" * 8, b"PK\3\4", b"PK\5\6", b"x", b"g", b"L")


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good archive, in which a few bytes were changed, doubled, moved or left out."""
    filename, whole = draw(st.sampled_from(WHOLE))
    body = whole
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        length = draw(st.integers(0, 30))
        put = draw(st.sampled_from(NUMBERS) | st.binary(max_size=4) | st.just(body[at : at + length]))
        keep = draw(st.sampled_from([0, len(put), length]))
        body = body[:at] + put + body[at + keep :]
    if filename != SDIST:
        return filename, body
    packed = gzip.compress(body, 1)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(packed) - 1))
        packed = packed[:at] + draw(st.binary(min_size=1, max_size=2)) + packed[at + 1 :]
    return filename, packed


def judge(filename: str, body: bytes) -> Contents | None:
    """What becomes of *body* as an upload, in the strictest way; None where it is refused."""
    form = Form(
        filename=filename,
        name="acme",
        version="1.0",
        filetype=None,
        md5=None,
        sha256=None,
        blake2b_256=None,
        attestations=None,
    )
    facts = Facts(
        size=len(body), md5="", sha256=hashlib.sha256(body).hexdigest(), blake2b_256=hashlib.sha256(body).hexdigest()
    )
    try:
        contents = inspect(io.BytesIO(body), filename, TIGHT, thorough=True)
        check(form, facts, contents.metadata)
    except BadUpload as error:
        assert str(error).isprintable()  # noqa: PT017  # both ends are fine
        return None
    try:
        check_strictly(form, contents)
    except BadUpload as error:
        assert str(error).isprintable()  # noqa: PT017  # both ends are fine
    return contents


def compare_with_pythons_own(filename: str, body: bytes, found: Contents) -> None:
    """What was checked here is what pip will see."""
    if filename == SDIST:
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            names = {name.removeprefix("./") for name in tar.getnames()} - {"", "."}
            (top,) = {name.partition("/")[0] for name in names}
            assert names == {f"{top}/{path}".rstrip("/") for path in found.license_files}
            taken = tar.extractfile(f"{top}/PKG-INFO")
            assert taken is not None
            assert taken.read() == found.metadata
        return
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        path = f"{INFO}/METADATA" if filename == WHEEL else "acme-1.0/PKG-INFO"
        assert archive.read(path) == found.metadata == CORE


@given(mutated())
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_no_changed_byte_brings_anything_but_its_metadata_or_bad_upload(archive: tuple[str, bytes]) -> None:
    filename, body = archive
    found = judge(filename, body)
    if found is not None:
        assert len(found.metadata) <= TIGHT.max_metadata
        compare_with_pythons_own(filename, body, found)


@pytest.mark.long
@given(mutated())
@settings(max_examples=50_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_changed_byte_costs_more_than_the_limits(archive: tuple[str, bytes]) -> None:
    filename, body = archive
    tracemalloc.start()
    try:
        found = judge(filename, body)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()
    if found is not None:
        compare_with_pythons_own(filename, body, found)


@given(st.binary(max_size=3000))
def test_no_bytes_bring_anything_but_bad_upload(body: bytes) -> None:
    for filename, packed in ((WHEEL, body), (SDIST, body), (SDIST, gzip.compress(body, 1))):
        with pytest.raises(BadUpload):
            read(packed, filename)


@given(st.binary(max_size=300), st.sampled_from(["METADATA", "WHEEL", "RECORD", "entry_points.txt"]))
def test_no_file_of_a_dist_info_brings_anything_but_metadata_or_bad_upload(text: bytes, file: str) -> None:
    found = judge(WHEEL, zipped({**members(), f"{INFO}/{file}": text}))
    assert found is None or found.metadata in (CORE, text)
