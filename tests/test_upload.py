"""A form and its archive agree, or the upload is refused with a sentence."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName

from proxy.errors import BadUpload, OutOfUse
from proxy.simple.model import File
from proxy.upload import Facts, check, check_digests, read_form

from .make import metadata, place

BODY = b"the archive"
FACTS = Facts(
    size=len(BODY),
    md5=hashlib.md5(BODY).hexdigest(),
    sha256=hashlib.sha256(BODY).hexdigest(),
    blake2b_256=hashlib.blake2b(BODY, digest_size=32).hexdigest(),
)
CORE = metadata("acme-sdk", "1.0", requires=("requests>=2",), requires_python=">=3.8")
WHEEL = "acme_sdk-1.0-py3-none-any.whl"
FORM = {":action": ["file_upload"], "protocol_version": ["1"], "name": ["acme-sdk"], "version": ["1.0"]}


def judge(
    fields: Mapping[str, list[str]] | None = None, *, filename: str = WHEEL, core: bytes = CORE
) -> tuple[NormalizedName, File]:
    """What becomes of an upload whose form says *fields* where they differ from the usual."""
    form = read_form({**FORM, **(fields or {})}, filename)
    check_digests(form, FACTS)
    return check(form, FACTS, core)


def test_a_file_says_what_its_archive_says() -> None:
    name, file = judge()
    assert name == "acme-sdk"
    assert (file.filename, file.path, file.size) == (WHEEL, place(BODY), len(BODY))
    assert file.hashes == {"sha256": FACTS.sha256}
    assert file.core_metadata == {"sha256": hashlib.sha256(CORE).hexdigest()}
    assert file.requires_python == ">=3.8"
    assert file.upload_time is None
    assert file.private


@pytest.mark.parametrize("filename", ["acme_sdk-1.0.tar.gz", "Acme.SDK-1.0.tar.gz", "acme-sdk-1.0.zip"])
def test_an_sdist_promises_no_metadata(filename: str) -> None:
    _, file = judge(filename=filename)
    assert file.core_metadata is False
    assert file.requires_python == ">=3.8"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ["Acme_SDK"]},
        {"name": ["acme.sdk", "acme.sdk"]},
        {"version": ["1.0.0"]},
        {"version": ["v1.0"]},
        {"metadata_version": ["2.3"]},
        {"metadata_version": ["9.9"]},
        {"filetype": ["bdist_wheel"], "pyversion": ["py3"]},
        {"filetype": [""], "pyversion": [""]},
        {"requires_python": [">=2"], "unheard_of": ["x"], "classifiers": ["a", "b"]},
        {"protocol_version": []},
        {"sha256_digest": [FACTS.sha256.upper()], "md5_digest": ["UNKNOWN"], "blake2_256_digest": [""]},
        {"md5_digest": [FACTS.md5], "sha256_digest": [FACTS.sha256], "blake2_256_digest": [FACTS.blake2b_256]},
        {"blake2_256_digest": [hashlib.blake2b(BODY).hexdigest()]},
    ],
)
def test_a_form_may_spell_things_its_own_way(fields: dict[str, list[str]]) -> None:
    assert judge(fields)[0] == "acme-sdk"


@pytest.mark.parametrize(
    ("version", "filename"),
    [
        ("1.0+cu118", "acme_sdk-1.0+cu118-cp311-cp311-linux_x86_64.whl"),
        ("1!2.0", "acme_sdk-1!2.0-py3-none-any.whl"),
        ("1.0.post1", "acme_sdk-1.0.post1-1_x-py2.py3-none-any.whl"),
        ("1.0a1.dev3", "Acme_Sdk-1.0a1.dev3.tar.gz"),
        ("1.0.0", "acme_sdk-1.0-py3-none-any.whl"),
    ],
)
def test_local_versions_epochs_and_build_tags_are_fine(version: str, filename: str) -> None:
    _, file = judge({"version": [version]}, filename=filename, core=metadata("acme-sdk", version))
    assert file.filename == filename


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({":action": []}, "no :action"),
        ({":action": [""]}, "no :action"),
        ({":action": ["remove_pkg"]}, "only :action here is file_upload"),
        ({":action": ["file_upload", "submit"]}, "more than once"),
        ({"protocol_version": ["2"]}, r"\AUnknown protocol version\.\Z"),
        ({"name": []}, "must say name and version"),
        ({"version": ["UNKNOWN"]}, "must say name and version"),
        ({"name": ["acme-sdk", "other"]}, "name more than once"),
        ({"name": ["other"]}, "says 'other', the file's metadata acme-sdk"),
        ({"name": ["acme-sdk\n-"]}, "cannot be the name"),
        ({"name": ["\u212acme"]}, "cannot be the name"),
        ({"version": ["2.0"]}, "version '2.0', the file's metadata 1.0"),
        ({"version": ["one"]}, "not a version"),
        ({"filetype": ["sdist"]}, "filetype 'sdist'"),
        ({"filetype": ["bdist_egg"]}, "filetype 'bdist_egg'"),
        ({"md5_digest": [FACTS.sha256]}, "md5 digest"),
        ({"sha256_digest": ["0" * 64]}, "sha256 digest"),
        ({"blake2_256_digest": ["caf\xe9"]}, "blake2_256 digest"),
    ],
)
def test_a_form_that_contradicts_the_file_is_refused(fields: dict[str, list[str]], match: str) -> None:
    with pytest.raises(BadUpload, match=match):
        judge(fields)


@pytest.mark.parametrize("action", ["submit", "submit_pkg_info", "doc_upload"])
def test_actions_of_old_are_out_of_use_even_without_a_file(action: str) -> None:
    with pytest.raises(OutOfUse, match="no longer"):
        read_form({":action": [action]}, None)


def test_a_form_without_a_file_is_refused() -> None:
    with pytest.raises(BadUpload, match="no file"):
        read_form(FORM, None)


@pytest.mark.parametrize(
    "filename",
    [
        "",
        ".whl",
        "../acme_sdk-1.0-py3-none-any.whl",
        "a/acme_sdk-1.0-py3-none-any.whl",
        "a\\acme_sdk-1.0-py3-none-any.whl",
        "%2e%2e-1.0-py3-none-any.whl",
        "acme_sdk-1.0-py3-none-any.whl\n",
        "acme_sdk-1.0-py3-none-any.whl ",
        "acme_sdk-1.0-py3-none-any.whl.",
        "acme_sdk-1.0-py3-none-any.WHL",
        "acme_sdk-1.0\0-py3-none-any.whl",
        "\u0430cme_sdk-1.0-py3-none-any.whl",
        "acme_sdk-1.0-1../x-py3-none-any.whl",
        "acme_sdk-1.0_1-py3-none-any.whl",
        "acme__sdk-1.0-py3-none-any.whl",
        "acme_sdk-1.0-x-py3-none-any.whl",
        "acme_sdk-1.0.whl",
        "CON.whl",
        "acme_sdk.tar.gz",
        "acme_sdk-x.tar.gz",
        "acme_sdk-1.0.tar.bz2",
        "acme_sdk-1.0.egg",
        "acme_sdk-1.0.exe",
        "acme_sdk-1.0.tar.gz.asc",
        f"acme_sdk-1.0+{'x' * 250}.tar.gz",
        f"{'a' * 210}-1.0.tar.gz",
        "other-1.0-py3-none-any.whl",
        "acme_sdk-2.0-py3-none-any.whl",
        "acme_sdk-1.0-1.tar.gz",
    ],
)
def test_filenames_that_do_not_fit_are_refused(filename: str) -> None:
    with pytest.raises(BadUpload, match=r"[Ff]ilename|Only wheels") as caught:
        judge(filename=filename)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("core", "match"),
    [
        (b"", "Metadata-Version"),
        (CORE.replace(b"Metadata-Version: 2.1\n", b""), "Metadata-Version"),
        (CORE.replace(b"2.1", b"2.7"), "Metadata-Version"),
        (CORE.replace(b"2.1", b"3.0"), "Metadata-Version"),
        (b"\xef\xbb\xbf" + CORE, "Metadata-Version"),
        (CORE.replace(b"Name: acme-sdk\n", b""), "Name and Version once"),
        (CORE.replace(b"Name:", b"Name: other\nName:"), "Name and Version once"),
        (CORE.replace(b"Version: 1.0\n", b""), "Name and Version once"),
        (CORE.replace(b"acme-sdk", b"acme sdk"), "cannot be the name"),
        (CORE.replace(b"acme-sdk", b"<script>"), "cannot be the name"),
        (CORE.replace(b"acme-sdk", "\u212acme".encode()), "cannot be the name"),
        (CORE.replace(b"acme-sdk", b"other"), "filename does not fit"),
        (CORE.replace(b"Version: 1.0", b"Version: 1.1"), "filename does not fit"),
        (CORE.replace(b"Version: 1.0", b"Version: dev-r1"), "not a version"),
        (CORE.replace(b">=3.8", b">=3.8.*"), "Requires-Python"),
        (CORE.replace(b">=3.8", b"3"), "Requires-Python"),
        (CORE.replace(b">=3.8", b">=3.8," * 100_000), "Requires-Python"),
        (CORE.replace(b"requests>=2", b"requests >= two"), "Requires-Dist"),
        (CORE.replace(b"requests>=2", b"requests; " + b"(" * 100_000), "Requires-Dist"),
        (CORE.replace(b"Version: 1.0", b"Version: " + b"1" * 100_000), "not a version"),
    ],
)
def test_metadata_that_clients_could_not_use_is_refused(core: bytes, match: str) -> None:
    with pytest.raises(BadUpload, match=match):
        judge(core=core)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" + b"Content-Type: message/rfc822\n\n" * 5000,
        b"Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=unknown\n\n!",
        b"Content-Transfer-Encoding: uuencode\n\nbegin !",
        b"Content-Type: multipart/mixed\n\n",
    ],
)
def test_metadata_that_is_some_other_mail_brings_no_other_error(head: bytes) -> None:
    try:
        assert judge(core=CORE.rstrip(b"\n").replace(b"\n\nMade for a test.", b"\n" + head))[0] == "acme-sdk"
    except BadUpload as error:
        assert "cannot be read" in str(error)  # noqa: PT017  # both ends are fine


@pytest.mark.parametrize("field", ["name", "version", "filetype"])
@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "1.0\r\nSet-Cookie: a=b", "a\0b", "x" * 10_000, "\U0001f4a9", "\u202egnp.exe"]
)
def test_nothing_that_a_form_says_is_echoed_as_it_is(field: str, text: str) -> None:
    with pytest.raises(BadUpload) as caught:
        judge({field: [text]})
    sentence = str(caught.value)
    assert sentence.isascii()
    assert sentence.isprintable()
    assert len(sentence) < 300


@pytest.mark.parametrize("number", ["1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6"])
def test_metadata_of_every_version_is_fine(number: str) -> None:
    assert judge(core=CORE.replace(b"2.1", number.encode()))[0] == "acme-sdk"


@pytest.mark.parametrize(
    "core",
    [
        CORE.replace(b"\n", b"\r\n"),
        CORE.rstrip(),
        CORE.replace(b"made for a test", b"caf\xe9"),
        CORE.replace(b"made for a test", "駅站".encode()),
        CORE.replace(b"acme-sdk", b"Acme.SDK"),
        CORE.replace(
            b"Summary:", b"License-File: LICENSE\nDynamic: classifier\nClassifier: nonsense\nX-Odd: 1\nSummary:"
        ),
        CORE.replace(b"requests>=2", b"acme-core[fast.io] @ https://files.example/acme_core-1.0-py3-none-any.whl"),
        CORE + b"x" * 1_000_000,
        metadata("acme-sdk", "1.0", requires=tuple(f"other-{number}>=1; extra == 'all'" for number in range(2000))),
    ],
)
def test_what_keeps_nobody_from_installing_is_not_judged(core: bytes) -> None:
    _, file = judge(core=core)
    assert file.core_metadata == {"sha256": hashlib.sha256(core).hexdigest()}


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"X-%d: y\n" % number for number in range(300_000)),
        b"".join(b"X-%d: y\r" % number for number in range(300_000)),
        b"Summary: x\n \n" + b"".join(b"X-%d: y\n" % number for number in range(300_000)),
        b"Classifier: x\n" * 300_000,
        b"Summary: x\n" + b" folded\n" * 300_000,
    ],
)
def test_metadata_with_headers_without_end_is_refused(headers: bytes) -> None:
    with pytest.raises(BadUpload, match="too many headers"):
        judge(core=CORE.replace(b"Summary:", headers + b"Summary:"))


def test_an_empty_requires_python_is_none() -> None:
    assert judge(core=CORE.replace(b">=3.8", b""))[1].requires_python is None


# Attestations


def attestation(**changed: Any) -> dict[str, Any]:
    """As `twine --attestations` and `uv publish` send them, less what cannot be judged here."""
    said = {"version": 1, "name": WHEEL, "sha256": FACTS.sha256, **changed}
    statement = {"_type": "statement", "subject": [{"name": said["name"], "digest": {"sha256": said["sha256"]}}]}
    encoded = base64.b64encode(json.dumps(statement).encode()).decode()
    return {
        "version": said["version"],
        "verification_material": {"certificate": "AAAA", "transparency_entries": [{}]},
        "envelope": {"statement": encoded, "signature": "AAAA"},
    }


def test_attestations_of_this_file_are_fine() -> None:
    assert judge({"attestations": [json.dumps([attestation(), attestation()])]})[0] == "acme-sdk"
    assert judge({"attestations": ["[]"]})[0] == "acme-sdk"


def test_the_subject_of_an_attestation_may_be_spelled_as_signers_do() -> None:
    other = WHEEL.replace("acme_sdk", "Acme.SDK")
    assert other != WHEEL
    assert judge({"attestations": [json.dumps([attestation(name=other)])]})[0] == "acme-sdk"


@pytest.mark.parametrize(
    "attestations",
    [
        "{}",
        "[",
        "[1]",
        "[" * 100_000,
        "null",
        json.dumps([{"version": 1}]),
        json.dumps([attestation(version=2)]),
        json.dumps([{**attestation(), "verification_material": None}]),
        json.dumps([{key: value for key, value in attestation().items() if key != "verification_material"}]),
        json.dumps([attestation(name="other.whl")]),
        json.dumps([attestation(), attestation(sha256="0" * 64)]),
        json.dumps([{**attestation(), "envelope": {"statement": "!", "signature": ""}}]),
        json.dumps([{**attestation(), "envelope": {"statement": "e30=", "signature": ""}}]),
        json.dumps([{**attestation(), "envelope": {"statement": "eyJzdWJqZWN0IjogW119", "signature": ""}}]),
    ],
)
def test_attestations_of_anything_else_are_refused(attestations: str) -> None:
    with pytest.raises(BadUpload, match=r"\AInvalid attestations supplied during upload"):
        judge({"attestations": [attestations]})


# Whatever comes, it is a File or BadUpload


@given(
    st.dictionaries(
        st.sampled_from([*FORM, "filetype", "sha256_digest", "attestations"]),
        st.lists(st.text(max_size=30), max_size=2),
    ),
    st.text(max_size=60) | st.just(WHEEL),
)
def test_no_form_brings_anything_but_a_file_or_bad_upload(fields: dict[str, list[str]], filename: str) -> None:
    try:
        assert judge(fields, filename=filename)[0] == "acme-sdk"
    except BadUpload as error:
        assert len(str(error)) < 500  # noqa: PT017  # both ends are fine


@given(st.binary(max_size=300), st.integers(0, len(CORE)))
def test_no_metadata_brings_anything_but_a_file_or_bad_upload(noise: bytes, at: int) -> None:
    try:
        assert judge(core=CORE[:at] + noise + CORE[at:])[0] == "acme-sdk"
    except BadUpload as error:
        assert str(error).isprintable()  # noqa: PT017  # both ends are fine
