"""Archives are read within bounds, and taken only where every reader sees the same in them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest

from proxy.archive import Limits
from proxy.errors import BadUpload

from .archives import (
    CORE,
    INFO,
    LIMITS,
    SDIST,
    WHEEL,
    entry,
    members,
    read,
    refused,
    tar_of_zeros,
    tarred,
    tarred_raw,
    zip_of_zeros,
    zipped,
)
from .make import metadata, sdist, wheel

# What is fine


@pytest.mark.parametrize("name", ["acme", "Acme.SDK", "ruamel.yaml"])
@pytest.mark.parametrize("version", ["1.0", "1!2.0", "2.0+cu118", "1.0rc1"])
def test_metadata_of_wheels_and_sdists_comes_byte_for_byte(name: str, version: str) -> None:
    filename, body = wheel(name, version)
    assert read(body, filename) == metadata(name, version)
    filename, body = sdist(name, version)
    assert read(body, filename) == metadata(name, version)


@pytest.mark.parametrize(
    "raw", [b"Name: acme\r\nVersion: 1.0\r\n", b"Summary: caf\xe9", b"", b"\xef\xbb\xbfName: acme"]
)
def test_nothing_in_the_metadata_is_changed(raw: bytes) -> None:
    assert read(zipped(members(METADATA=raw), compression=zipfile.ZIP_DEFLATED)) == raw
    assert read(tarred(core=raw), SDIST) == raw


def test_a_dist_info_folder_may_spell_the_name_its_own_way() -> None:
    files = {name.replace(INFO, "Acme.SDK-1.0.0.dist-info"): body for name, body in members().items()}
    assert read(zipped(files), "acme_sdk-1.0-py3-none-any.whl") == CORE


def test_a_zip_made_for_a_pipe_is_fine() -> None:
    """Its sizes stand behind the contents."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members().items():
            archive.writestr(name, body)
    assert read(pipe.getvalue()) == CORE


def test_zip64_is_fine() -> None:
    def wide(archive: zipfile.ZipFile) -> None:
        with archive.open("acme/big.bin", "w", force_zip64=True) as member:
            member.write(b"x" * 1000)

    assert read(zipped(members(), change=wide)) == CORE
    many = {**members(), **{f"acme/{number}.py": b"" for number in range(70_000)}}
    assert read(zipped(many), limits=Limits()) == CORE


def test_a_zipped_sdist_of_old_is_fine() -> None:
    assert read(zipped({"Acme-1.0/PKG-INFO": CORE, "Acme-1.0/setup.py": b""}), "Acme-1.0.zip") == CORE


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tars_of_every_format_are_fine(form: int) -> None:
    long = "acme-1.0/" + "/".join(["folder" * 5] * (3 if form == tarfile.USTAR_FORMAT else 9)) + "/module.py"
    target = "../" + "target" * (10 if form == tarfile.USTAR_FORMAT else 40)
    body = tarred(
        entry("acme-1.0", type=tarfile.DIRTYPE),
        entry(long, b"x = 1\n" * 100),
        entry("acme-1.0/docs/readme", type=tarfile.SYMTYPE, linkname=target),
        entry("acme-1.0/copy", type=tarfile.LNKTYPE, linkname="acme-1.0/PKG-INFO"),
        entry("acme-1.0/docs/PKG-INFO", b"of something else"),
        form=form,
    )
    assert read(body, SDIST) == CORE


def test_a_tar_of_git_and_one_of_find_are_fine() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", pax_headers={"comment": "0123456789abcdef"}) as archive:
        for name, body in (("./acme-1.0/PKG-INFO", CORE), ("./acme-1.0/a.py", b"")):
            info, body = entry(name, body)
            archive.addfile(info, io.BytesIO(body))
    assert read(buffer.getvalue(), SDIST) == CORE


def test_a_tar_that_ends_without_zeros_is_fine() -> None:
    raw = gzip.decompress(tarred()).rstrip(b"\0")
    assert read(gzip.compress(raw + b"\0" * (-len(raw) % 512)), SDIST) == CORE


# What is no archive, or another


@pytest.mark.parametrize("filename", [WHEEL, SDIST, "acme-1.0.zip"])
@pytest.mark.parametrize(
    "body", [b"", b"<!DOCTYPE html><title>Sign in</title>" * 20, b"\0" * 5000, b"PK\5\6", b"\x1f\x8b", b"PK\3\4" * 100]
)
def test_what_is_no_archive_is_refused(filename: str, body: bytes) -> None:
    refused(body, filename, match="archive")


def test_another_kind_of_archive_is_refused() -> None:
    refused(tarred(), WHEEL, match="not a zip archive")
    refused(zipped(members()), SDIST, match="not a gzip archive")
    refused(gzip.decompress(tarred()), SDIST, match="not a gzip archive")
    refused(zipped(members()), "acme-1.0.egg", match="Only wheels")
    refused(gzip.compress(b"no tar at all" * 100), SDIST, match="not a tar archive")


@pytest.mark.parametrize(
    ("filename", "body"),
    [("acme.whl", b"PK"), ("acme-1.0.whl", b"PK"), ("acme.tar.gz", b""), ("acme-x.tar.gz", b""), ("acme-x.zip", b"")],
)
def test_a_filename_that_says_nothing_is_refused(filename: str, body: bytes) -> None:
    refused(body, filename, match="filename")


# Wheels that lack something, or hold too much


@pytest.mark.parametrize("missing", ["METADATA", "WHEEL", "RECORD"])
def test_a_wheel_without_its_files_is_refused(missing: str) -> None:
    refused(zipped(members(**{missing: None})), match=f"no {missing}")


@pytest.mark.parametrize("info", ["other-1.0.dist-info", "acme-2.0.dist-info", "acme.dist-info", "acme-x.dist-info"])
def test_a_dist_info_of_something_else_is_refused(info: str) -> None:
    refused(zipped({name.replace(INFO, info): body for name, body in members().items()}), match="dist-info folder")


def test_a_wheel_with_two_dist_infos_is_refused() -> None:
    refused(zipped({**members(), "other-1.0.dist-info/METADATA": CORE}), match="one .dist-info folder")
    refused(zipped({"acme.py": b""}), match="one .dist-info folder")


def test_a_zipped_sdist_of_something_else_is_refused() -> None:
    refused(zipped({"other-1.0/PKG-INFO": CORE}), "acme-1.0.zip", match="one folder")
    refused(zipped({"acme-1.0/PKG-INFO": CORE, "b/x": b""}), "acme-1.0.zip", match="one folder")
    refused(zipped({"acme-1.0/setup.py": CORE}), "acme-1.0.zip", match="no PKG-INFO")


@pytest.mark.parametrize(
    "path", ["../evil.py", "/etc/passwd", "a/../../b", "a\\b", "C:/x", "a//b", "./a", "a/\x1b[2J", "x" * 2000]
)
def test_a_member_that_is_not_plainly_inside_is_refused(path: str) -> None:
    body = zipped({**members(), "PLACEHOLDER" + "_" * (len(path) - 11): b""}) if len(path) > 11 else None
    if body is None:
        body = zipped({**members(), "_" * len(path): b""}).replace(b"_" * len(path), path.encode())
    else:
        body = body.replace(b"PLACEHOLDER" + b"_" * (len(path) - 11), path.encode())
    refused(body, match="not plainly below")
    if path != "./a":
        refused(
            tarred(entry(f"acme-1.0/../{path}" if path == "a//b" else path)), SDIST, match="below its folder|one folder"
        )


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused() -> None:
    refused(zipped(members(), change=lambda archive: archive.writestr("acme.py", b"y")), match="two members")
    refused(tarred(entry("acme-1.0/PKG-INFO", b"Name: other\n")), SDIST, match="two PKG-INFO")


def test_a_second_pkg_info_is_refused_whatever_it_is() -> None:
    link = entry("acme-1.0/PKG-INFO", type=tarfile.SYMTYPE, linkname="other")
    own = entry("acme-1.0/PKG-INFO", CORE)
    for other in (link, entry("acme-1.0/PKG-INFO", type=tarfile.DIRTYPE), entry("acme-1.0/pkg-info", CORE)):
        refused(tarred(other, own, core=None), SDIST, match="two PKG-INFO|through a link")
        refused(tarred(own, other, core=None), SDIST, match="two PKG-INFO|through a link")
        refused(tarred(other, core=None), SDIST, match="PKG-INFO")
    refused(zipped({"acme-1.0/PKG-INFO": CORE, "acme-1.0/Pkg-Info": CORE}), "acme-1.0.zip", match="two PKG-INFO")


@pytest.mark.parametrize(
    "twin",
    [f"{INFO}/metadata", f"{INFO}/Wheel", f"{INFO}/record", "ACME-1.0.dist-info/x", "acme-1.0.DIST-INFO/METADATA"],
)
def test_members_that_are_one_where_case_does_not_count_are_refused(twin: str) -> None:
    refused(zipped({**members(), twin: b""}), match="capital letters|one .dist-info folder")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(compression: int) -> None:
    refused(zipped(members(), compression=compression), match="not stored or deflated")


def test_an_encrypted_member_is_refused() -> None:
    body = bytearray(zipped(members()))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        body[body.find(signature) + at] |= 1
    refused(bytes(body), match="encrypted")


# Zips that two readers would understand differently


def test_bytes_outside_the_members_are_refused() -> None:
    body = zipped(members())
    refused(body + b"x", match="behind its end")
    refused(b"#!/bin/sh\n" + body, match="not where it says")
    refused(zipped(members(), change=lambda archive: setattr(archive, "comment", b"hi")), match="behind its end")
    refused(body + body, match="not where it says")


def test_a_member_that_the_directory_does_not_list_is_refused() -> None:
    body = zipped({"hidden.py": b"x", **members()})
    end = body.rfind(b"PK\5\6")
    directory = body.find(b"PK\1\2")
    second = body.find(b"PK\1\2", directory + 4)
    size = end - second
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 4, 4, size, directory, 0)
    refused(body[:directory] + body[second:end] + tail, match="gap")


def test_members_that_overlap_are_refused() -> None:
    """The better zip bomb: many entries share one body."""
    body = zipped({**members(), "acme/one": b"x" * 50, "acme/two": b"x" * 50})
    first, second = (body.find(b"PK\3\4", body.find(name) - 40) for name in (b"acme/one", b"acme/two"))
    listed = body.rfind(b"acme/two") - 4
    assert struct.unpack_from("<I", body, listed)[0] == second
    refused(body[:listed] + struct.pack("<I", first) + body[listed + 4 :], match="overlap|contradict")


@pytest.mark.parametrize(
    ("at", "what"), [(30, "name"), (8, "method"), (14, "crc"), (18, "packed"), (22, "size"), (0, "mark")]
)
def test_a_member_that_contradicts_the_directory_is_refused(at: int, what: str) -> None:
    body = bytearray(zipped(members()))
    body[at] ^= 8 if what == "method" else 1
    refused(bytes(body), match="contradict|overlap")


def test_a_second_name_in_an_extra_field_is_refused() -> None:
    def named_twice(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("acme/a.py")
        info.extra = struct.pack("<2HBI", 0x7075, 9, 1, 0) + b"b.py"
        archive.writestr(info, b"")

    refused(zipped(members(), change=named_twice), match="second name")


def test_a_directory_that_lies_about_its_length_is_refused() -> None:
    body = zipped(members())
    end = body.rfind(b"PK\5\6")
    fields = list(struct.unpack("<4s4H2IH", body[end:]))
    for at, value in ((3, 9), (5, fields[5] - 1), (6, fields[6] + 1), (1, 1)):
        changed = [*fields[:at], value, *fields[at + 1 :]]
        refused(body[:end] + struct.pack("<4s4H2IH", *changed), match="directory")
    changed = [*fields[:3], 9, 9, *fields[5:]]
    refused(body[:end] + struct.pack("<4s4H2IH", *changed), match="not of the length")


def test_a_zip_that_is_a_tar_too_is_refused() -> None:
    padding = b"\0" * (257 - 30 - len("a"))
    refused(zipped({"a": padding + b"ustar", **members()}), match="a zip and a tar")


def test_metadata_that_is_not_what_its_checksum_says_is_refused() -> None:
    body = zipped(members())
    refused(body.replace(b"Summary: made", b"Summary: mode"), match="checksum")
    packed = zipped(members(METADATA=CORE * 10), compression=zipfile.ZIP_DEFLATED)
    start = packed.find(b"METADATA") + len("METADATA")
    refused(packed[: start + 3] + b"\xff" * 9 + packed[start + 12 :], match="unpacked|checksum")


# Tars that lead out, or hide something


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../../etc/passwd"),
        (tarfile.SYMTYPE, "../other"),
        (tarfile.LNKTYPE, "../acme-1.0/x"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "other-1.0/x"),
    ],
)
@pytest.mark.parametrize("length", [0, 200])
def test_a_link_that_leads_out_is_refused(kind: bytes, target: str, length: int) -> None:
    link = entry("acme-1.0/link", type=kind, linkname=target + "x" * length)
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        refused(tarred(link, form=form), SDIST, match="leads out")


@pytest.mark.parametrize("target", ["docs/..", "docs/../../..", "../acme-1.0/docs/..", "./docs/../x"])
def test_a_link_up_from_what_may_be_a_link_is_refused(target: str) -> None:
    refused(tarred(entry("acme-1.0/link", type=tarfile.SYMTYPE, linkname=target)), SDIST, match="leads out")


def test_nothing_is_reached_through_a_link() -> None:
    """Two links that stay inside, each for itself, lead out together."""
    up = entry("acme-1.0/a/b/up", type=tarfile.SYMTYPE, linkname="../..")
    out = entry("acme-1.0/a/b/up/out", type=tarfile.SYMTYPE, linkname="../../..")
    assert read(tarred(up), SDIST) == CORE
    assert read(tarred(out), SDIST) == CORE
    refused(tarred(up, out), SDIST, match="through a link")
    refused(tarred(up, entry("acme-1.0/a/b/up", b"x")), SDIST, match="through a link")
    links = (entry(f"acme-1.0/{number}", type=tarfile.SYMTYPE, linkname="x") for number in range(10_001))
    refused(tarred(*links), SDIST, match="more than 10000 links", limits=Limits())


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"V"])
def test_devices_and_odd_members_are_refused(kind: bytes) -> None:
    refused(tarred(entry("acme-1.0/odd", type=kind)), SDIST, match="neither file, folder nor link|sparse")


@pytest.mark.parametrize("form", [b"x", b"g"])
def test_a_size_that_stands_in_two_places_is_one(form: bytes) -> None:
    """One reader took the one, another the other, and each saw other members (CVE-2025-62518)."""
    size = str(len(CORE))
    assert read(tarred_raw(form, f"{len(size) + 9} size={size}\n".encode()), SDIST) == CORE
    for lie in ("0", str(len(CORE) + 1)):
        refused(tarred_raw(form, f"{len(lie) + 8 + (len(lie) > 1)} size={lie}\n".encode()), SDIST, match="two sizes")


def test_sparse_files_are_refused() -> None:
    info, body = entry("acme-1.0/sparse", b"x")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99999999999"}
    refused(tarred((info, body)), SDIST, match="sparse")


def test_a_second_top_folder_is_refused() -> None:
    refused(tarred(entry("other/x", b"")), SDIST, match="one folder")
    refused(tarred(core=None), SDIST, match="no PKG-INFO")
    refused(tarred(entry("acme-2.0/PKG-INFO", CORE), core=None), SDIST, match="one folder")


def test_what_is_cut_off_or_followed_by_something_is_refused() -> None:
    body = tarred(entry("acme-1.0/noise", bytes(range(256)) * 100))
    for cut in range(0, len(body), 7):
        refused(body[:cut], SDIST, match="cut off|not a gzip")
    refused(body + b"x", SDIST, match="behind its end")
    refused(body + body, SDIST, match="behind its end")
    raw = gzip.decompress(body)
    refused(gzip.compress(raw[:-1024] + b"x" * 600), SDIST, match="not a tar archive")
    refused(gzip.compress(raw[:600]), SDIST, match="cut off")
    refused(gzip.compress(raw[:1400]), SDIST, match="not a tar archive")


def test_a_flipped_bit_of_a_tar_is_refused() -> None:
    body = tarred()
    refused(body[:-5] + bytes([body[-5] ^ 1]) + body[-4:], SDIST, match="damaged")


@pytest.mark.parametrize(
    "records",
    [
        b"x" * 100,
        b"9999 path=x\n",
        b"0 path=x\n",
        b"10 path=xx",
        b"12 pathxxxx\n",
        b"-5 path=x\n",
        b"13 size=-999\n",
        b"14 size=1e999\n",
    ],
)
def test_pax_headers_that_make_no_sense_are_refused(records: bytes) -> None:
    refused(tarred_raw(b"x", records), SDIST, match="extended header|proper size")


# Bombs.  The tests' own time limit and the memory that was used say whether they went off.


def defused(body: bytes, filename: str = WHEEL, *, match: str, limits: Limits = LIMITS) -> None:
    """Refused, and without taking much memory over it."""
    tracemalloc.start()
    try:
        refused(body, filename, match=match, limits=limits)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


class TestBombs:
    def test_a_zip_that_unpacks_to_too_much(self) -> None:
        body = zip_of_zeros(65 * 2**20)
        defused(body, match="zip bombs")
        defused(zip_of_zeros(60 * 2**20), match="more than 50000000 bytes", limits=Limits(max_unpacked=50_000_000))

    def test_a_zip_at_the_limit_is_no_bomb(self) -> None:
        assert read(zip_of_zeros(63 * 2**20)) == CORE

    def test_gigabytes_of_zeros_in_a_tar(self) -> None:
        defused(tar_of_zeros(1500 * 2**20), SDIST, match="zip bombs", limits=Limits())

    def test_a_tar_that_unpacks_to_too_much(self) -> None:
        defused(
            tar_of_zeros(60 * 2**20), SDIST, match="more than 50000000 bytes", limits=Limits(max_unpacked=50_000_000)
        )

    def test_metadata_that_is_too_long(self) -> None:
        defused(zipped(members(METADATA=b"x" * 10_001)), match="metadata is longer than 10000")
        defused(tarred(core=b"x" * 10_001), SDIST, match="metadata is longer than 10000")

    def test_metadata_that_unpacks_to_more_than_it_says(self) -> None:
        body = zipped(members(METADATA=b"x" * 5_000_000), compression=zipfile.ZIP_DEFLATED)
        defused(body.replace(struct.pack("<I", 5_000_000), struct.pack("<I", 5_000)), match="checksum")

    def test_too_many_members(self) -> None:
        many = {f"acme/{number}": b"" for number in range(1001)}
        defused(zipped({**members(), **many}), match="more than 1000 members")
        defused(tarred(*(entry(f"acme-1.0/{number}") for number in range(1001))), SDIST, match="more than 1000 members")

    def test_millions_of_members(self) -> None:
        block = entry("acme-1.0/x")[0].tobuf()
        packer = zlib.compressobj(1, wbits=31)
        body = b"".join([packer.compress(block * 10_000) for _ in range(30)]) + packer.flush()
        defused(body, SDIST, match="more than 40000 members", limits=Limits(max_members=40_000))

    def test_a_directory_that_is_longer_than_any(self) -> None:
        size = 33 * 2**20
        tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0)
        defused(bytes(size) + tail, match="too long")

    @pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"X"])
    def test_extended_headers_without_end(self, kind: bytes) -> None:
        defused(tarred_raw(kind, b"", size=2**32), SDIST, match="too long")
        defused(tarred_raw(kind, b"", times=1001), SDIST, match="more than 1000 members")

    def test_global_headers_of_ever_new_fields(self) -> None:
        packer = zlib.compressobj(1, wbits=31)
        pieces = []
        for first in range(0, 30_000, 60):
            body = b"".join(b"1006 %06d=%s\n" % (first + number, b"x" * 993) for number in range(60))
            info, _ = entry("header", body, type=tarfile.XGLTYPE)
            pieces.append(packer.compress(info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)))
        pieces.append(packer.compress(gzip.decompress(tarred())) + packer.flush())
        tracemalloc.start()
        try:
            assert read(b"".join(pieces), SDIST) == CORE
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()

    def test_an_archive_that_takes_too_long(self) -> None:
        for body, filename in ((zipped(members()), WHEEL), (tarred(), SDIST)):
            ticks = iter(range(1000))
            with pytest.raises(BadUpload, match="within 2 seconds"):
                read(body, filename, Limits(seconds=2), clock=lambda ticks=ticks: float(next(ticks)))  # type: ignore[misc]  # mypy cannot type a lambda's default
