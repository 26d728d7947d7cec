"""The files of a .dist-info folder are such that installers can read them, and RECORD is held against the wheel."""

from __future__ import annotations

import io
import zipfile
from base64 import urlsafe_b64encode
from hashlib import new

import pytest

from proxy.archive import inspect
from proxy.errors import BadUpload

from .archives import CORE, INFO, LIMITS, WHEEL, listed, members, read, refused, zipped


def wheel_with(**added: bytes) -> bytes:
    """A wheel with *added* files in its .dist-info; `_txt` at the end of a name is `.txt`."""
    return zipped({**members(), **{f"{INFO}/{name.replace('_txt', '.txt')}": body for name, body in added.items()}})


def remark(files: dict[str, bytes], *, thorough: bool = False, filename: str = WHEEL) -> str | None:
    """What is said of the wheel that holds *files*; its METADATA is found all the same."""
    body = zipped(files, compression=zipfile.ZIP_DEFLATED)
    found = inspect(io.BytesIO(body), filename, LIMITS, thorough=thorough)
    assert found.metadata == CORE
    return found.remark


# WHEEL


@pytest.mark.parametrize(
    "text",
    [
        b"Wheel-Version: 1.0\n",
        b"Wheel-Version: 1.9\r\nGenerator: caf\xc3\xa9\r\nTag: py3-none-any\r\nTag: py2-none-any",
        b"Generator: x\nwheel-version:1.0\n\n",
        b"Wheel-Version: 0.1\n",
    ],
)
def test_a_wheel_file_that_installers_know_is_fine(text: bytes) -> None:
    assert read(wheel_with(WHEEL=text)) == CORE


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\nWheel-Version: 1.0\n",
        b"<!DOCTYPE html>",
        b"\xff\xfe\x00",
        b"Wheel-Version: one\n",
        b"Wheel-Version: 1\n",
        b"Wheel-Version: 1.0\nWheel-Version: 2.0\n",
        b"Wheel-Version: \xd9\xa1.\xd9\xa0\n",
        b"Wheel-Version: " + b"1" * 9000 + b".0\n",
        b"Wheel-Version: 2.0\n",
        b"Tag: x\n" * 20_000,
    ],
)
def test_a_wheel_file_that_installers_could_not_use_is_refused(text: bytes) -> None:
    refused(wheel_with(WHEEL=text), match="WHEEL")


# entry_points.txt


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n# nothing\n",
        b"[console_scripts]\nacme = a:b\nacme-2.x = acme.cli:main [fast]\n\n[gui_scripts]\nAcme = a:b\nacme=b:c\n",
        b"[acme.plugins]\none two: three = acme:plug\n[pytest11]\nacme = acme.plugin\n",
        b"      [console_scripts]\n      acme = acme:main\n      ; as setuptools of old kept it\n",
        b"[console_scripts]\r\nacme = acme:main\r\n",
        "[console_scripts]\nstraße = acme:main\n[a]\nb = %(c)s\n".encode(),
        b"[console_scripts]\nacme =\n    acme:main\n",
    ],
)
def test_entry_points_of_every_honest_kind_are_fine(text: bytes) -> None:
    assert read(wheel_with(entry_points_txt=text)) == CORE


@pytest.mark.parametrize(
    "text",
    [
        b"[console_scripts]\nacme = caf\xe9:main\n",
        b"acme = acme:main\n",
        b"[console_scripts\nacme = acme:main\n",
        b"[console_scripts]\nacme: acme.main\n",
        b"[console_scripts]\nacme\n",
        b"[console_scripts]\nacme = a:b\nacme = c:d\n",
        b"[console_scripts]\n[console_scripts]\n",
        b"[console_scripts]\n../../bin/sh = acme:main\n",
        b"[gui_scripts]\n/bin/sh = acme:main\n",
        b"[console_scripts]\na\\b = acme:main\n",
        b"[console_scripts]\na b = acme:main\n",
        b"[console_scripts]\n<b>\x1b[2J = acme:main\n",
        b"<!DOCTYPE html>\n",
        # What takes a careless reader minutes.
        b"[a]\n" + b"b\n" * 500_000,
        b"[a]\nb" + b" " * 1_000_000 + b"c\n",
        b"x" * (2**20 + 1),
    ],
)
def test_entry_points_that_are_not_well_formed_are_refused(text: bytes) -> None:
    with pytest.raises(BadUpload, match=r"entry_points\.txt") as caught:
        read(wheel_with(entry_points_txt=text))
    assert str(caught.value).isprintable()


def test_entry_points_elsewhere_are_nobodys() -> None:
    assert read(zipped({**members(), "acme/entry_points.txt": b"not of a wheel"})) == CORE


# RECORD


def test_of_a_record_that_lists_what_is_there_nothing_is_said() -> None:
    files = {"acme/": b"", "acme/d,a t'a.txt": b"x" * 100_000, "acme/empty": b"", "acme/數據": b"x"}
    signed = {f"{INFO}/RECORD.jws": b"{}", f"{INFO}/RECORD.p7s": b""}
    whole = {**listed({**members(), **{path: body for path, body in files.items() if path[-1] != "/"}}), **signed}
    for thorough in (False, True):
        assert remark({**whole, "acme/": b""}, thorough=thorough) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.replace(b'"acme.py"', b'"acme/other.py"'), "lists 'acme/other.py', which the wheel"),
        (lambda record: record.split(b"\n", 1)[1], "does not list 'acme.py'"),
        (lambda record: record + b"acme.py,,\n", "lists 'acme.py', which it should not, or not twice"),
        (lambda record: record + b"../acme.py,,\n", "lists '../acme.py', which the wheel does not hold"),
        (lambda record: b"", "does not list 'acme-1.0.dist-info/METADATA'"),
        (lambda record: record + b"\n" * 100, "has more lines than the wheel has files"),
        (lambda record: record + b"caf\xe9,,\n", "cannot be read"),
        (lambda record: record + b'"' + b"x" * 200_000, "cannot be read"),
        (lambda record: record + b"<b>\n\x1b[2J" + b"x" * 1000, r"lists '<b>', which"),
    ],
)
@pytest.mark.parametrize("thorough", [False, True])
def test_a_record_that_lists_other_files_is_remarked_upon_and_no_reason_to_refuse(
    change: object, said: str, thorough: bool
) -> None:
    assert callable(change)
    files = listed(members())
    own = f"{INFO}/RECORD"
    found = remark({**files, own: change(files[own])}, thorough=thorough)
    assert found is not None
    assert f"The wheel's RECORD {said}" in found
    assert found.isprintable()
    assert len(found) < 200


def test_a_record_of_windows_is_fine() -> None:
    files = listed({**members(), "acme/a.py": b"x"})
    files[f"{INFO}/RECORD"] = files[f"{INFO}/RECORD"].replace(b"/", b"\\").replace(b"\n", b"\r\n")
    assert remark(files) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"sha256=", b"md5=", "gives no digest, of sha256 or better, for 'acme.py'"),
        (b"sha256=", b"shake_128=", "gives no digest, of sha256 or better, for 'acme.py'"),
        (b",sha256=", b",,", "gives no digest, of sha256 or better, for 'acme.py'"),
        (b",6\n", b",7\n", "gives another size for 'acme.py' than it has"),
        (b"sha256=", b"sha256=x", "gives another digest for 'acme.py' than it has"),
        (b"sha256=", b"sha384=", "gives another digest for 'acme.py' than it has"),
    ],
)
def test_digests_and_sizes_are_looked_at_when_that_is_asked_for(old: bytes, new: bytes, said: str) -> None:
    files = listed(members())
    own = f"{INFO}/RECORD"
    assert files[own].startswith(b'"acme.py"')
    wrong = {**files, own: files[own].replace(old, new, 1)}
    assert remark(wrong) is None
    assert said in (remark(wrong, thorough=True) or "")


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_better_digests_are_fine(algorithm: str) -> None:
    files = listed(members())
    own = f"{INFO}/RECORD"
    digest = urlsafe_b64encode(new(algorithm, files["acme.py"]).digest())
    rest = files[own].split(b"\n", 1)[1]
    assert remark({**files, own: b"acme.py,%s=%s,\n%s" % (algorithm.encode(), digest, rest)}, thorough=True) is None


def test_a_file_that_is_damaged_is_seen_when_all_is_unpacked() -> None:
    files = listed({**members(), "acme/data": b"abc" * 1000})
    stored = io.BytesIO(zipped(files).replace(b"x = 1\n", b"x = 2\n"))
    assert inspect(stored, WHEEL, LIMITS).remark is None
    assert "another digest for 'acme.py'" in (inspect(stored, WHEEL, LIMITS, thorough=True).remark or "")
    whole = zipped(files, compression=zipfile.ZIP_DEFLATED)
    start = whole.find(b"acme/data") + len("acme/data")
    deflated = io.BytesIO(whole[:start] + b"\xff" + whole[start + 1 :])
    assert inspect(deflated, WHEEL, LIMITS).remark is None
    with pytest.raises(BadUpload, match="content cannot be unpacked"):
        inspect(deflated, WHEEL, LIMITS, thorough=True)


def test_a_dist_info_named_otherwise_than_the_wheel_is_remarked_upon() -> None:
    files = {path.replace(INFO, "Acme-1.0.0.dist-info"): body for path, body in listed(members()).items()}
    record = files["Acme-1.0.0.dist-info/RECORD"].replace(INFO.encode(), b"Acme-1.0.0.dist-info")
    assert "should be named acme-1.0.dist-info" in (remark({**files, "Acme-1.0.0.dist-info/RECORD": record}) or "")


def test_license_files_are_found_in_their_folder_when_all_is_read() -> None:
    body = io.BytesIO(zipped({**members(), f"{INFO}/licenses/a/LICENSE": b"", f"{INFO}/NOTICE": b""}))
    assert inspect(body, WHEEL, LIMITS, thorough=True).license_files == {"a/LICENSE"}
    assert inspect(body, WHEEL, LIMITS).license_files == set()
