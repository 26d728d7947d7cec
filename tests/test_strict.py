"""With `upload.strict` what the official index would not take is refused, and the answer says how to let it in."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from hashlib import blake2b, md5, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.archive import Contents, Limits, inspect
from proxy.errors import BadUpload
from proxy.strict import MAX_EXPRESSION, WAY_OUT, check_strictly
from proxy.upload import Facts, Form, check

from .archives import entry, listed, tarred, zipped
from .make import metadata, sdist, wheel

CORE = metadata("acme-sdk", "1.0", requires=("requests>=2",), requires_python=">=3.8")
WHEEL = "acme_sdk-1.0-py3-none-any.whl"
SDIST = "acme_sdk-1.0.tar.gz"
LICENSE = b"License-Expression: MIT\nLicense-File: LICENSE"
LICENSED = CORE.replace(b"2.1", b"2.4").replace(b"Summary:", LICENSE + b"\nSummary:")


def form_of(filename: str, *, name: str = "acme-sdk", version: str = "1.0", body: bytes = b"") -> Form:
    """As twine sends it."""
    return Form(
        filename=filename,
        name=name,
        version=version,
        filetype=None,
        md5=None,
        sha256=sha256(body).hexdigest(),
        blake2b_256=None,
        attestations=None,
    )


def judge(
    filename: str = WHEEL,
    core: bytes = CORE,
    *,
    version: str = "1.0",
    license_files: frozenset[str] = frozenset(),
    remark: str | None = None,
) -> None:
    """Let it in as ever; then raise BadUpload where it is not let in strictly."""
    form = form_of(filename, version=version)
    facts = Facts(size=0, md5=md5(b"").hexdigest(), sha256=form.sha256 or "", blake2b_256=blake2b(b"").hexdigest())
    check(form, facts, core)
    check_strictly(form, Contents(metadata=core, license_files=license_files, remark=remark))


def refused(match: str, filename: str = WHEEL, core: bytes = CORE, **said: str | frozenset[str] | None) -> None:
    with pytest.raises(BadUpload, match=match) as caught:
        judge(filename, core, **said)  # type: ignore[arg-type]  # each by its name
    sentence = str(caught.value)
    assert sentence.endswith(f"; {WAY_OUT}.")
    assert sentence.isprintable()
    assert len(sentence) < 500


# Filenames


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        (WHEEL, "1.0"),
        (SDIST, "1.0"),
        ("acme_sdk-1.0-2_x-py2.py3-none-any.whl", "1.0"),
        ("acme_sdk-1!2.0rc1.post2.dev3-py3-none-any.whl", "1!2.0rc1.post2.dev3"),
        ("acme_sdk-1!2.0rc1.post2.dev3.tar.gz", "1!2.0rc1.post2.dev3"),
        ("acme_sdk-1.0.0-py3-none-any.whl", "1.0"),
        ("acme_sdk-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "1.0"),
        ("acme_sdk-1.0-cp311-abi3-musllinux_1_2_aarch64.whl", "1.0"),
        ("acme_sdk-1.0-cp311-cp311-linux_armv7l.whl", "1.0"),
        ("acme_sdk-1.0-cp311-cp311-win_amd64.whl", "1.0"),
        ("acme_sdk-1.0-cp311-cp311-macosx_11_0_arm64.whl", "1.0"),
    ],
)
def test_filenames_of_today_are_fine(filename: str, version: str) -> None:
    judge(filename, metadata("acme-sdk", version), version=version)
    judge(filename, metadata("Acme.SDK", version), version=version)


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        ("Acme-SDK-1.0.tar.gz", "1.0"),
        ("acme-sdk-1.0.tar.gz", "1.0"),
        ("acme.sdk-1.0.tar.gz", "1.0"),
        ("Acme_SDK-1.0.tar.gz", "1.0"),
        ("acme__sdk-1.0.tar.gz", "1.0"),
        ("acme_sdk-1.0.zip", "1.0"),
        ("acme_sdk-1.0.0.tar.gz", "1.0"),
        ("acme_sdk-1.tar.gz", "1.0"),
        ("acme_sdk-v1.0.tar.gz", "1.0"),
    ],
)
def test_an_sdist_is_named_as_pep_625_has_it(filename: str, version: str) -> None:
    refused(r"must be named acme_sdk-1\.0\.tar\.gz \(PEP 625\)", filename, version=version)


@pytest.mark.parametrize(
    ("filename", "version", "match"),
    [
        ("Acme_SDK-1.0-py3-none-any.whl", "1.0", "must begin with acme_sdk"),
        ("acme.sdk-1.0-py3-none-any.whl", "1.0", "must begin with acme_sdk"),
        ("acme_sdk-1.0.RC1-py3-none-any.whl", "1.0rc1", "version as 1.0rc1"),
        ("acme_sdk-2025.09.4-py3-none-any.whl", "2025.9.4", "version as 2025.9.4"),
        ("acme_sdk-1.0-cp311-cp311-linux_x86_64.whl", "1.0", "linux_x86_64: auditwheel"),
        ("acme_sdk-1.0-cp311-cp311-manylinux2014_x86_64.linux_x86_64.whl", "1.0", "linux_x86_64: auditwheel"),
        ("acme_sdk-1.0-cp311-cp311-LINUX_X86_64.whl", "1.0", "linux_x86_64: auditwheel"),
    ],
)
def test_a_wheel_is_named_as_the_official_index_wants_it(filename: str, version: str, match: str) -> None:
    refused(match, filename, metadata("acme-sdk", version), version=version)


@pytest.mark.parametrize("filename", ["acme_sdk-1.0+cu118-py3-none-any.whl", "acme_sdk-1.0+cu118.tar.gz"])
def test_local_versions_are_not_for_publishing(filename: str) -> None:
    refused("local part", filename, metadata("acme-sdk", "1.0+cu118"), version="1.0+cu118")


# The form


def test_one_digest_of_any_kind_must_come() -> None:
    form = form_of(WHEEL)
    contents = Contents(metadata=CORE)
    with pytest.raises(BadUpload, match="must have a digest"):
        check_strictly(replace(form, sha256=None), contents)
    for told in (form, replace(form, sha256=None, md5="x"), replace(form, sha256=None, blake2b_256="x")):
        check_strictly(told, contents)


# Metadata


@pytest.mark.parametrize(
    "core",
    [
        CORE.replace(b"2.1", b"1.2"),
        CORE.replace(b"2.1", b"2.6"),
        CORE.replace(b"made for a test", "駅站".encode()),
        CORE.replace(b"Summary:", b"Classifier: Private :: Do Not Upload\nHome-Page: nowhere\nSummary:"),
        CORE + b"x" * 1_000_000,
    ],
)
def test_metadata_by_the_specification_is_fine(core: bytes) -> None:
    judge(core=core)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"2.1", b"2.0", "not a valid metadata version"),
        (b"Summary:", b"X-Odd: 1\nSummary:", "unrecognized field: 'x-odd'"),
        (b"Summary:", b"Summary: one\nSummary:", "'summary' has invalid data"),
        (b"made for a test", b"caf\xe9", "'summary' has invalid data"),
        (b"Made for a test", b"caf\xe9", "'description' has invalid data"),
        (b"Summary:", b"License-File: LICENSE\nSummary:", "license-file introduced in metadata version 2.4"),
        (b"Summary:", b"Description-Content-Type: text/html\nSummary:", "'description-content-type' must be one of"),
        (b"Summary:", b"Provides-Extra: <b>\nSummary:", "is invalid for 'provides-extra'"),
        (b"requests>=2", b"acme @ https://files.example/acme.whl", "direct URL"),
        (b"requests>=2", b"acme @ https://files.example/" + b"\x7f\xc2\x85" * 5000, "direct URL"),
    ],
)
def test_metadata_is_valid_in_full(old: bytes, new: bytes, match: str) -> None:
    refused(match, core=CORE.replace(old, new))


@pytest.mark.parametrize(
    ("field", "match"),
    [
        (b"License-Expression: Mine", "is invalid for 'license-expression'"),
        (b"License-Expression: " + b"(" * MAX_EXPRESSION, "is invalid|is not valid"),
        (b"License-Expression: " + b"MIT and " * MAX_EXPRESSION + b"MIT", "license_expression of more than"),
        (b"Description-Content-Type: text/markdown; " + b"x;" * MAX_EXPRESSION, "content_type of more than"),
        (b"Description-Content-Type: " + b"(" * MAX_EXPRESSION, "not valid"),
        (b"License-File: ../LICENSE", "parent directory"),
    ],
)
def test_what_would_take_long_or_lead_astray_is_refused(field: bytes, match: str) -> None:
    refused(match, core=LICENSED.replace(LICENSE, field))


def test_what_is_wrong_is_told_in_the_same_words_each_time() -> None:
    core = CORE.replace(b"Summary:", b"X-A: 1\nX-B: 2\nX-C: 3\nProvides-Extra: <b>\nSummary:")
    for _ in range(5):
        refused("'<b>' is invalid for 'provides-extra'", core=core)


# Archives


def test_license_files_are_in_the_archive() -> None:
    judge(core=LICENSED, license_files=frozenset({"LICENSE", "NOTICE"}))
    refused("License-File: LICENSE is not in the archive", core=LICENSED, license_files=frozenset({"NOTICE"}))


def test_what_is_remarked_of_the_archive_is_a_reason_now() -> None:
    refused("^The wheel's RECORD cannot be read; upload", remark="The wheel's RECORD cannot be read.")


def read(filename: str, body: bytes, *, name: str = "acme-sdk") -> None:
    """From the bytes to the verdict."""
    form = form_of(filename, name=name, body=body)
    digest = blake2b(body, digest_size=32).hexdigest()
    facts = Facts(size=len(body), md5="", sha256=sha256(body).hexdigest(), blake2b_256=digest)
    contents = inspect(io.BytesIO(body), filename, Limits(), thorough=True)
    check(form, facts, contents.metadata)
    check_strictly(form, contents)


def test_from_its_bytes_to_the_verdict() -> None:
    read(*wheel("acme-sdk", "1.0"))
    read(*sdist("acme-sdk", "1.0"))
    licensed = tarred(entry("acme_sdk-1.0/PKG-INFO", LICENSED), entry("acme_sdk-1.0/LICENSE", b"MIT"), core=None)
    read(SDIST, licensed)
    with pytest.raises(BadUpload, match="LICENSE is not in the archive"):
        read(SDIST, tarred(entry("acme_sdk-1.0/PKG-INFO", LICENSED), entry("acme_sdk-1.0/a/LICENSE", b""), core=None))


@pytest.mark.parametrize(
    ("place", "fine"),
    [("acme_sdk-1.0.dist-info/licenses/LICENSE", True), ("acme_sdk-1.0.dist-info/LICENSE", False), ("LICENSE", False)],
)
def test_a_license_of_a_wheel_lies_in_its_folder(place: str, fine: bool) -> None:
    info = "acme_sdk-1.0.dist-info"
    files = {f"{info}/METADATA": LICENSED, f"{info}/WHEEL": b"Wheel-Version: 1.0\n", place: b"MIT"}
    body = zipped(listed(files, info=info), compression=zipfile.ZIP_DEFLATED)
    if fine:
        read(WHEEL, body)
    else:
        with pytest.raises(BadUpload, match="License-File: LICENSE is not in the archive; upload"):
            read(WHEEL, body)


def test_a_wheel_that_was_changed_after_it_was_listed_is_refused() -> None:
    filename, body = wheel("acme-sdk", "1.0", payload=b"honest")
    with pytest.raises(BadUpload, match=r"gives another digest for 'acme_sdk/payload\.bin' than it has; upload"):
        read(filename, body.replace(b"honest", b"hidden"))


@given(st.binary(max_size=300), st.integers(0, len(LICENSED)))
def test_no_metadata_brings_anything_but_a_verdict(noise: bytes, at: int) -> None:
    try:
        judge(core=LICENSED[:at] + noise + LICENSED[at:], license_files=frozenset({"LICENSE"}))
    except BadUpload as error:
        assert str(error).isprintable()  # noqa: PT017  # both ends are fine
