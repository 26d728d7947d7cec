"""Uploads over real sockets: what each uploader sends, what it reads of the answer, and what is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.utils import NormalizedName, canonicalize_name

from proxy.archive import Limits
from proxy.errors import (
    BadDigest,
    BadUpload,
    DiskFull,
    FileExists,
    Forbidden,
    NotFound,
    NotSignedIn,
    OutOfUse,
    ProxyError,
    StoreDown,
    TooLarge,
    UpstreamDown,
)
from proxy.rights import Caller, Rule, everything
from proxy.simple.model import File
from proxy.simple.names import MAX_NAME, NamePattern
from proxy.storage.disk_store import DiskStore
from proxy.upload import Facts, read_form
from proxy.web import uploads
from proxy.web.errors import MOST_REASON, reason_of, status_of
from proxy.web.spool import Spool
from proxy.web.uploads import UploadLimits, Uploads

from .make import NOON, metadata, sdist, wheel
from .test_provenance import attestation

LIMITS = UploadLimits(archive=Limits(), max_size=3_000_000, max_field=200_000, max_parts=500)
ACME = canonicalize_name("acme-sdk")
RULES = (
    Rule(user="alice"),
    Rule(user="bob", names=(NamePattern("acme-*"),), may=frozenset({"read"})),
    Rule(user="bob", names=(NamePattern("bob-*"),), may=frozenset({"upload"})),
    Rule(user="carol", names=(NamePattern("acme-sdk-1-0"),), may=frozenset({"upload"})),
)
BOUNDARY = "0123456789abcdef"

Part = tuple[str, str | bytes] | tuple[str, bytes, str, str | None]
"""Name and text; or name, bytes, filename and type."""


class House:
    """A server that takes uploads into a store, and a client at its door."""

    def __init__(
        self, server: RawTestServer, session: aiohttp.ClientSession, handler: Uploads, store: DiskStore
    ) -> None:
        self.server = server
        self.session = session
        self.handler = handler
        self.store = store
        self.ended: asyncio.Queue[BaseException | None] = asyncio.Queue()
        """One item for each request that is over: what went wrong with it, if anything."""

    async def post(
        self, body: bytes | AsyncIterator[bytes], *, accept: str = "*/*", path: str = "/", **headers: str
    ) -> tuple[int, str, str, aiohttp.ClientResponse]:
        """Status, reason, text and the answer itself."""
        sent = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Accept": accept, **headers}
        data = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self.session.post(self.server.make_url(path), data=data, headers=sent) as answer:
            return answer.status, answer.reason or "", await answer.text(), answer

    async def listed(self) -> list[str]:
        return [file.filename for file in await self.store.files(ACME)]

    def left(self) -> list[Path]:
        return list(self.store.incoming.iterdir())


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    store = await asyncio.to_thread(lambda: DiskStore(tmp_path / "state", now=lambda: NOON))
    yield store
    await store.close()


@pytest.fixture
def limits() -> UploadLimits:
    return LIMITS


@pytest.fixture
async def house(
    store: DiskStore, limits: UploadLimits, aiohttp_raw_server: Callable[..., Awaitable[RawTestServer]]
) -> AsyncIterator[House]:
    async def sign_in(request: web.BaseRequest) -> Caller:
        user = request.headers.get("X-User", "alice")
        if user == "nobody":
            raise NotSignedIn("The user name or the password is wrong.")
        return Caller(user=user, rules=RULES)

    handler = Uploads(sign_in=sign_in, incoming=store.incoming, limits=limits, upload=store.add)

    async def watched(request: web.BaseRequest) -> web.StreamResponse:
        try:
            answer = await handler(request)
        except BaseException as error:
            made.ended.put_nowait(error)
            raise
        made.ended.put_nowait(None)
        return answer

    server = await aiohttp_raw_server(watched)
    async with aiohttp.ClientSession() as session:
        made = House(server, session, handler, store)
        yield made


def form(parts: Iterable[Part], *, end: bytes = b"--\r\n") -> bytes:
    """*parts* as multipart/form-data."""
    lines: list[bytes] = []
    for name, content, *rest in parts:
        disposition = f'Content-Disposition: form-data; name="{name}"'
        if rest:
            disposition += f'; filename="{rest[0]}"'
            disposition += f"\r\nContent-Type: {rest[1]}" if rest[1] else ""
        body = content.encode() if isinstance(content, str) else content
        lines.append(f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + body + b"\r\n")
    return b"".join(lines) + f"--{BOUNDARY}".encode() + end


def digests(body: bytes, *kinds: str) -> list[Part]:
    known = {
        "md5": hashlib.md5(body).hexdigest(),
        "sha256": hashlib.sha256(body).hexdigest(),
        "blake2_256": hashlib.blake2b(body, digest_size=32).hexdigest(),
    }
    return [(f"{kind}_digest", known[kind]) for kind in kinds]


START: list[Part] = [(":action", "file_upload"), ("protocol_version", "1")]
OCTETS = "application/octet-stream"


def twine(filename: str, body: bytes, name: str = "acme-sdk", version: str = "1.0") -> list[Part]:
    fields: list[Part] = [("metadata_version", "2.1"), ("name", name), ("version", version), ("summary", "made")]
    fields += [("keywords", "a, b"), ("project_urls", "Home, https://acme.example"), ("license_file", "LICENSE")]
    fields += [
        ("filetype", "sdist" if filename.endswith("gz") else "bdist_wheel"),
        ("pyversion", "py3"),
        ("comment", ""),
    ]
    signature: Part = ("gpg_signature", b"-----BEGIN PGP", f"{filename}.asc", OCTETS)
    return [*fields, *digests(body, "sha256", "blake2_256"), *START, signature, ("content", body, filename, OCTETS)]


def uv(filename: str, body: bytes) -> list[Part]:
    fields: list[Part] = [*digests(body, "sha256", "blake2_256"), ("filetype", "bdist_wheel"), ("pyversion", "py3")]
    fields += [("metadata_version", "2.1"), ("name", "acme.sdk"), ("version", "1.0"), ("requires_python", "")]
    fields += [("import_names", "acme_sdk")]
    return [*START, *fields, ("content", body, filename, None)]


def poetry(filename: str, body: bytes) -> list[Part]:
    fields: list[Part] = [("name", "Acme-SDK"), ("version", "1.0"), ("filetype", "bdist_wheel"), ("pyversion", "py3")]
    fields += [("classifiers", "A"), ("classifiers", "B"), ("requires_dist", "x"), ("requires_dist", "y")]
    return [*fields, *digests(body, "md5", "sha256", "blake2_256"), *START, ("content", body, filename, OCTETS)]


def pdm(filename: str, body: bytes) -> list[Part]:
    empty: list[Part] = [(key, "") for key in ("home_page", "license", "author", "download_url", "comment", "platform")]
    fields: list[Part] = [("name", "acme-sdk"), ("version", "1.0"), ("provides_extras", "fast"), ("pyversion", "py3")]
    content: Part = ("content", body, filename, OCTETS)
    return [
        *START,
        content,
        *empty,
        *fields,
        ("filetype", "bdist_wheel"),
        *digests(body, "md5", "sha256", "blake2_256"),
    ]


def hatch(filename: str, body: bytes) -> list[Part]:
    fields: list[Part] = [*digests(body, "md5", "sha256", "blake2_256"), ("filetype", "bdist_wheel"), ("x-odd", "1")]
    fields += [
        ("name", "acme-sdk"),
        ("version", "1.0"),
        ("pyversion", "2.py3"),
        ("description", "long\r\n\r\ntext\r\n--"),
    ]
    return [*fields, *START, ("content", body, filename, OCTETS)]


def flit(filename: str, body: bytes) -> list[Part]:
    fields: list[Part] = [
        ("name", "acme_sdk"),
        ("version", "1.0"),
        ("metadata_version", "2.3"),
        ("provides", "acme_sdk"),
    ]
    fields += [("filetype", "sdist" if filename.endswith("gz") else "bdist_wheel")]
    return [*START, *fields, *digests(body, "md5", "sha256"), ("content", body, filename, None)]


def distutils(filename: str, body: bytes) -> list[Part]:
    """`setup.py upload`, of Python 3.8 to 3.11: its third digest is not what it calls it."""
    fields: list[Part] = [*START, ("name", "acme-sdk"), ("version", "1.0"), ("content", body, filename, None)]
    fields += [("filetype", "sdist" if filename.endswith("gz") else "bdist_wheel"), ("pyversion", "3.11")]
    fields += [*digests(body, "md5", "sha256"), ("blake2_256_digest", hashlib.blake2b(body).hexdigest())]
    fields += [("metadata_version", "1.0"), ("home_page", "UNKNOWN"), ("license", "UNKNOWN"), ("comment", "")]
    return [*fields, ("gpg_signature", b"-----BEGIN PGP", f"{filename}.asc", None)]


def curl(filename: str, body: bytes) -> list[Part]:
    return [(":action", "file_upload"), ("name", "acme-sdk"), ("version", "1.0"), ("content", body, filename, OCTETS)]


UPLOADERS = [twine, uv, poetry, pdm, hatch, flit, distutils, curl]
UV_ACCEPT = "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7"


@pytest.mark.parametrize("uploader", UPLOADERS)
@pytest.mark.parametrize("size", [0, 700_000])
async def test_every_uploader_gets_its_wheel_in(
    uploader: Callable[[str, bytes], list[Part]], size: int, house: House
) -> None:
    filename, body = wheel("acme-sdk", "1.0", payload=bytes(size), requires_python=">=3.8")
    status, _, text, answer = await house.post(form(uploader(filename, body)))
    assert (status, text) == (200, f"OK: {filename} is here.\n")
    assert answer.content_type == "text/plain"
    (listed,) = await house.store.files(ACME)
    assert (listed.filename, listed.size, listed.sha256) == (filename, len(body), hashlib.sha256(body).hexdigest())
    assert listed.requires_python == ">=3.8"
    with (await house.store.open(listed)).handle as handle:
        assert handle.read() == body
    with (await house.store.open(listed.sibling())).handle as handle:
        assert handle.read() == metadata("acme-sdk", "1.0", requires_python=">=3.8")
    assert house.left() == []


@pytest.mark.parametrize("uploader", [twine, flit, distutils])
async def test_an_sdist_gets_in(uploader: Callable[[str, bytes], list[Part]], house: House) -> None:
    filename, body = sdist("acme-sdk", "1.0")
    assert (await house.post(form(uploader(filename, body))))[0] == 200
    (listed,) = await house.store.files(ACME)
    assert listed.core_metadata is False


def repack(body: bytes) -> bytes:
    """The zip *body* with the checksums that its contents have now."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            start = info.header_offset + 30 + len(info.filename.encode())
            new.writestr(info.filename, body[start : start + info.file_size])
    return buffer.getvalue()


async def test_a_record_that_is_wrong_is_told_to_the_uploader_and_to_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    filename, body = wheel("acme-sdk", "1.0")
    wrong = body.replace(b"acme_sdk/payload.bin,sha256", b"acme_sdk/another.bin,sha256")
    unsummed = repack(wrong)
    status, _, text, _ = await house.post(form(twine(filename, unsummed)))
    remark = "The wheel's RECORD lists 'acme_sdk/another.bin', which the wheel does not hold."
    assert (status, text) == (200, f"OK: {filename} is here.  {remark}\n")
    assert f"{filename} was let in, but: {remark}" in caplog.messages
    assert await house.listed() == [filename]


STRICT = replace(LIMITS, strict=True)


@pytest.mark.parametrize("limits", [STRICT])
@pytest.mark.parametrize("uploader", [twine, uv, poetry, pdm, hatch, flit])
async def test_what_the_official_index_takes_gets_in_strictly_too(
    uploader: Callable[[str, bytes], list[Part]], house: House
) -> None:
    for filename, body in (wheel("acme-sdk", "1.0"), sdist("acme-sdk", "1.0")):
        # Those of the forms above that say bdist_wheel always say it of the sdist, too.
        parts = [part for part in uploader(filename, body) if part[0] != "filetype"]
        assert (await house.post(form(parts)))[0] == 200
    assert len(await house.listed()) == 2


@pytest.mark.parametrize("limits", [LIMITS, STRICT])
async def test_what_the_official_index_refuses_gets_in_by_default_alone(limits: UploadLimits, house: House) -> None:
    filename, body = wheel("acme-sdk", "1.0", requires=("other @ https://files.example/other.whl",))
    old = sdist("acme-sdk", "1.0")[1]
    for name, content, why in ((filename, body, "is a direct URL"), ("Acme-SDK-1.0.tar.gz", old, "(PEP 625)")):
        status, reason, text, _ = await house.post(form(twine(name, content)))
        if limits.strict:
            assert (status, why in text) == (400, True)
            assert reason == text.strip()
            assert text.endswith("; upload.strict = false in the server's configuration lets it in.\n")
            assert house.left() == []
        else:
            assert status == 200
    assert len(await house.listed()) == (0 if limits.strict else 2)


async def test_the_same_upload_again_is_fine_and_other_bytes_are_not(house: House) -> None:
    filename, body = wheel("acme-sdk", "1.0")
    for _ in range(2):
        assert (await house.post(form(twine(filename, body))))[0] == 200
    _, other = wheel("acme-sdk", "1.0", payload=b"changed")
    status, reason, text, _ = await house.post(form(twine(filename, other)))
    digest = hashlib.blake2b(body, digest_size=32).hexdigest()
    assert status == 400
    assert reason == f"File already exists ('{filename}', with blake2_256 hash '{digest}'). Use a different version."
    assert text == f"{reason}\n"
    assert await house.listed() == [filename]
    assert house.left() == []


async def test_uv_reads_the_error_as_json(house: House) -> None:
    filename, body = wheel("acme-sdk", "1.0")
    await house.post(form(uv(filename, body)))
    changed = form(uv(filename, wheel("acme-sdk", "1.0", payload=b"changed")[1]))
    status, reason, text, answer = await house.post(changed, accept=UV_ACCEPT)
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(text) == {"message": reason, "code": f"400 {reason}", "title": "Bad Request"}
    assert status == 400


@pytest.mark.parametrize(
    "accept", ["*/*", "", "text/html", "text/plain, application/json;q=0.5", "application/json;q=x"]
)
async def test_everyone_else_reads_it_as_text(accept: str, house: House) -> None:
    _, _, text, answer = await house.post(form([]), accept=accept)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert text.endswith(".\n")


async def test_the_action_may_stand_in_the_url(house: House) -> None:
    filename, body = wheel("acme-sdk", "1.0")
    parts = [part for part in flit(filename, body) if part[0] not in {":action", "protocol_version"}]
    assert (await house.post(form(parts), path="/?:action=file_upload&protocol_version=1"))[0] == 200


def without(parts: Sequence[Part], key: str) -> list[Part]:
    return [part for part in parts if part[0] != key]


FILENAME, BODY = wheel("acme-sdk", "1.0")
GOOD = twine(FILENAME, BODY)
CURL = curl(FILENAME, BODY)


@pytest.mark.parametrize(
    ("parts", "status", "sentence"),
    [
        ([], 400, "no :action"),
        (without(GOOD, ":action"), 400, "no :action"),
        ([*without(GOOD, ":action"), (":action", "remove_pkg")], 400, "only :action"),
        ([(":action", "submit"), ("name", "acme-sdk")], 410, "no longer"),
        ([*without(GOOD, "protocol_version"), ("protocol_version", "3")], 400, "Unknown protocol version."),
        (without(GOOD, "content"), 400, "no file"),
        ([*without(GOOD, "content"), ("content", BODY)], 400, "no file"),
        ([*GOOD, ("content", BODY, FILENAME, OCTETS)], 400, "more than one file"),
        ([*without(GOOD, "content"), ("content", BODY, "../evil.whl", OCTETS)], 400, "filename"),
        ([*without(GOOD, "content"), ("content", BODY, "other-1.0-py3-none-any.whl", OCTETS)], 400, "dist-info"),
        ([*without(CURL, "content"), ("content", b"<html>Sign in</html>", FILENAME, OCTETS)], 400, "zip archive"),
        ([*without(CURL, "content"), ("content", b"", FILENAME, OCTETS)], 400, "zip archive"),
        # Damaged on its way: no archive any more, but it is not the archive that is to be mended.
        ([*without(GOOD, "content"), ("content", BODY[:-9], FILENAME, OCTETS)], 400, "sha256 digest"),
        ([*without(GOOD, "sha256_digest"), ("sha256_digest", "0" * 64)], 400, "sha256 digest"),
        ([*without(GOOD, "name"), ("name", "other\r\nSet-Cookie: x=1")], 400, "cannot be the name"),
        ([*without(GOOD, "name"), ("name", "\0<script>")], 400, "cannot be the name"),
        ([*GOOD, ("description", "x" * 200_001)], 413, "longer than 200000 bytes"),
        ([("gpg_signature", b"x" * 200_001, "x.asc", OCTETS), *GOOD], 413, "longer than 200000 bytes"),
        ([*GOOD, *[("classifiers", "x")] * 500], 413, "more than 500 parts"),
        ([*without(GOOD, "content"), ("content", bytes(3_000_001), FILENAME, OCTETS)], 413, "File too large"),
    ],
)
async def test_what_is_wrong_is_said_in_reason_and_body_and_nothing_is_left(
    parts: list[Part], status: int, sentence: str, house: House
) -> None:
    found, reason, text, answer = await house.post(form(parts))
    assert found == status
    assert sentence in reason
    assert sentence in text
    assert "Set-Cookie" not in answer.headers
    assert await house.listed() == []
    assert house.left() == []
    # The line holds: the next upload may come over it.
    assert (await house.post(form(GOOD)))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        b"\r\n" * 1000,
        form(GOOD, end=b""),
        form(GOOD)[:-400],
        form(GOOD)[:200],
        form(GOOD).replace(b"--0123456789abcdef", b"--another", 5),
        form(GOOD).replace(b'Content-Disposition: form-data; name="version"', b"Content-Disposition: form-data"),
        form(GOOD).replace(b'Content-Disposition: form-data; name="version"', b"Content-Disposition: ;;;="),
        form(GOOD).replace(b'Content-Disposition: form-data; name="version"', b"X: " + b"y" * 10_000),
        form(GOOD).replace(b'Content-Disposition: form-data; name="version"', b"X: y\r\n" * 200),
        form(GOOD).replace(b'Content-Disposition: form-data; name="version"', b"no header"),
        form(GOOD).replace(b'name="version"', b'name="version"\r\nContent-Type: multipart/mixed; boundary=b'),
        form(GOOD).replace(b'name="version"', b'name="version"\r\nContent-Type: multipart/mixed'),
        form(GOOD).replace(b'name="version"', b'name="version"\r\nContent-Encoding: gzip'),
        form(GOOD).replace(b'name="version"', b'name="version"\r\nContent-Transfer-Encoding: base64'),
        form([("_charset_", "x" * 100), *GOOD]),
    ],
)
async def test_a_broken_form_is_refused(body: bytes, house: House) -> None:
    status, _, text, _ = await house.post(body)
    assert status == 400
    assert text.endswith(".\n")
    assert await house.listed() == []
    assert house.left() == []


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/mixed; boundary=x",
        "application/x-www-form-urlencoded",
        "text/plain",
    ],
)
async def test_what_is_no_form_is_refused(kind: str, house: House) -> None:
    assert (await house.post(form(GOOD), **{"Content-Type": kind}))[0] == 400


async def test_a_compressed_request_is_refused(house: House) -> None:
    """aiohttp would unpack it, bomb or not."""
    status, _, text, _ = await house.post(b"\x1f\x8b" + b"x" * 100, **{"Content-Encoding": "gzip"})
    assert (status, "Content-Encoding" in text) == (400, True)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_bytes_bring_anything_but_an_answer(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = bytearray(form(curl(FILENAME, b"")))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4) | st.just(BOUNDARY.encode()))

    async def post() -> tuple[int, list[Path]]:
        folder = tmp_path_factory.mktemp("incoming")

        async def never(*_: object, **__: object) -> None:
            raise AssertionError("an empty archive was taken")

        handler = Uploads(sign_in=anyone, incoming=folder, limits=LIMITS, upload=never)
        async with RawTestServer(handler) as server, aiohttp.ClientSession() as session:
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            async with session.post(server.make_url("/"), data=bytes(whole), headers=headers) as answer:
                return answer.status, list(folder.iterdir())

    status, left = asyncio.run(post())
    assert status in {400, 410, 413}
    assert left == []


async def anyone(request: web.BaseRequest) -> Caller:
    """Signs everybody in."""
    return everything()


# Attestations


def attested(attestations: str | bytes, *, limit: int = 200_000) -> bytes:
    assert len(attestations) < limit
    return form([("attestations", attestations), *GOOD])


async def test_attestations_become_the_provenance_of_the_file(house: House) -> None:
    came = [attestation(FILENAME, BODY), attestation(FILENAME, BODY, more={"of": ["the signer's own", 1.0]})]
    status, _, text, _ = await house.post(attested(json.dumps(came)))
    assert (status, text) == (200, f"OK: {FILENAME} is here.\n")
    (listed,) = await house.store.files(ACME)
    assert listed.provenance == f"integrity/acme-sdk/1.0/{FILENAME}/provenance"
    with (await house.store.open(listed.attested())).handle as handle:
        (bundle,) = json.loads(handle.read())["attestation_bundles"]
    assert bundle["attestations"] == came
    assert bundle["publisher"] == {"kind": "yizhan-upload", "claims": {}, "user": "alice"}


@pytest.mark.parametrize("attestations", ["", "[]", "UNKNOWN"])
async def test_a_file_without_any_has_no_provenance(attestations: str, house: House) -> None:
    assert (await house.post(attested(attestations)))[0] == 200
    assert [file.provenance for file in await house.store.files(ACME)] == [None]


RIGHT = attestation(FILENAME, BODY)
OTHER_ENVELOPE = {"statement": "e30=", "signature": "e30="}


@pytest.mark.parametrize(
    "attestations",
    [
        "nonsense",
        "{}",
        "null",
        "1",
        '"[]"',
        json.dumps(RIGHT),
        "[1]",
        "[null]",
        "[[]]",
        "[{}]",
        json.dumps([RIGHT, 1]),
        json.dumps([RIGHT])[:-1],
        json.dumps([{**RIGHT, "version": 2}]),
        json.dumps([{**RIGHT, "version": "1"}]),
        json.dumps([{**RIGHT, "envelope": OTHER_ENVELOPE}]),
        json.dumps([{**RIGHT, "envelope": {**OTHER_ENVELOPE, "statement": "not base64"}}]),
        json.dumps([attestation(FILENAME, BODY + b"other")]),
        json.dumps([attestation("acme_sdk-1.1-py3-none-any.whl", BODY)]),
        json.dumps([RIGHT, attestation(FILENAME, b"other")]),
        "[" * 90_000,
        "[" * 90_000 + "]" * 90_000,
        json.dumps([RIGHT])[:-2] + ',"x":' + "[" * 50_000 + "]" * 50_000 + "}]",
        b'[{"\xff\xfe": "\x00"}]',
        '[{"version": ' + "1" * 50_000 + "}]",
    ],
)
async def test_attestations_that_are_none_of_this_file_are_refused_in_words(
    attestations: str | bytes, house: House
) -> None:
    """Never dropped without a word (rule U17)."""
    status, reason, text, _ = await house.post(attested(attestations))
    assert (status, text) == (400, f"{reason}\n")
    assert reason.startswith("Invalid attestations supplied during upload: they ")
    assert await house.listed() == []
    assert house.left() == []


class TestMegabytes:
    @pytest.fixture
    def limits(self) -> UploadLimits:
        return replace(LIMITS, max_size=20 * 2**20, max_field=4 * 2**20)

    @pytest.mark.parametrize(("size", "status"), [(3 * 2**20, 400), (10 * 2**20, 413)])
    async def test_of_attestations_are_refused_too(self, size: int, status: int, house: House) -> None:
        found, reason, _, _ = await house.post(attested('[{"x": "' + "x" * size + '"}]', limit=2**24))
        assert found == status
        assert reason.endswith("they cannot be read." if status == 400 else "longer than 4194304 bytes.")
        assert house.left() == []

    async def test_that_are_fine_are_kept(self, house: House) -> None:
        big = [attestation(FILENAME, BODY, padding="x" * 3 * 2**20)]
        assert (await house.post(attested(json.dumps(big), limit=2**24)))[0] == 200
        (listed,) = await house.store.files(ACME)
        blob = await house.store.open(listed.attested())
        blob.handle.close()
        assert blob.size > 3 * 2**20


# Rights


async def test_whoever_has_no_right_to_the_project_is_refused_and_nothing_is_stored(house: House) -> None:
    status, reason, _, _ = await house.post(form(GOOD), **{"X-User": "bob"})
    assert (status, reason) == (403, "The user 'bob' isn't allowed to upload to project 'acme-sdk'.")
    assert await house.listed() == []
    assert house.left() == []
    filename, body = wheel("bob-tool", "1.0")
    assert (await house.post(form(twine(filename, body, name="bob-tool")), **{"X-User": "bob"}))[0] == 200
    assert (await house.post(form(GOOD), **{"X-User": "alice"}))[0] == 200


async def test_the_filename_alone_tells_before_the_file_has_come(house: House) -> None:
    """pdm sends it first: its gigabytes are not waited for.  Of this one, which has no end, too many would be 413."""
    answered = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield form([*START, ("content", b"", FILENAME, OCTETS)], end=b"").removesuffix(f"\r\n--{BOUNDARY}".encode())
        while not answered.is_set():
            yield bytes(10_000)
            await asyncio.sleep(0)

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "X-User": "bob"}
    async with house.session.post(house.server.make_url("/"), data=endless(), headers=headers) as answer:
        answered.set()
        assert answer.status == 403
    assert house.left() == []


async def test_the_forms_own_name_never_opens_a_project(house: House) -> None:
    """Not with another file in it, nor with a filename that fits the form and an archive that does not."""
    other = [*without(without(GOOD, "name"), "content"), ("name", "bob-tool")]
    for filename in (FILENAME, "bob_tool-1.0-py3-none-any.whl"):
        status, _, text, _ = await house.post(form([*other, ("content", BODY, filename, OCTETS)]), **{"X-User": "bob"})
        assert status == (403 if filename == FILENAME else 400), text
        assert house.left() == []
    assert await house.listed() == []
    assert await house.store.claimed() == frozenset()


@pytest.mark.parametrize(("name", "status"), [("acme-sdk", 403), ("acme-sdk-1-0", 400)])
async def test_a_filename_that_two_projects_could_have_is_judged_by_what_is_in_it(
    name: str, status: int, house: House
) -> None:
    """acme_sdk-1.0-1.tar.gz may be acme-sdk-1-0's, to which carol has a right; inside it is acme-sdk."""
    _, body = sdist("acme-sdk", "1.0.post1")
    parts = without(twine("acme_sdk-1.0-1.tar.gz", body, name=name, version="1.0.post1"), "gpg_signature")
    assert (await house.post(form(parts), **{"X-User": "carol"}))[0] == status
    assert await house.listed() == []


async def test_the_archives_name_counts_whatever_was_let_pass_before(house: House) -> None:
    form_and_file = await asyncio.to_thread(received, house.store.incoming / "x")
    for user in ("alice", "bob"):
        judging = asyncio.to_thread(uploads._judge, form_and_file, Caller(user=user, rules=RULES), LIMITS)
        if user == "alice":
            assert (await judging).name == ACME
        else:
            with pytest.raises(Forbidden):
                await judging


def received(path: Path) -> uploads.Received:
    """What GOOD is once it came in."""
    path.write_bytes(BODY)
    fields = {name: [text] for name, text, *rest in GOOD if isinstance(text, str)}
    md5, sha256, blake2b = (digests(BODY, kind)[0][1] for kind in ("md5", "sha256", "blake2_256"))
    facts = Facts(size=len(BODY), md5=str(md5), sha256=str(sha256), blake2b_256=str(blake2b))
    return uploads.Received(form=read_form(fields, FILENAME), facts=facts, body=path)


async def test_a_token_for_another_project_uploads_nothing_here(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def with_token(request: web.BaseRequest) -> Caller:
        return replace(everything("alice"), scope=(NamePattern("bob-*"),))

    monkeypatch.setattr(house.handler, "_sign_in", with_token)
    status, reason, _, _ = await house.post(form(GOOD))
    assert (status, "isn't allowed to upload to project 'acme-sdk'" in reason) == (403, True)
    assert house.left() == []


# Before the body is read


async def slowly(body: bytes, *, piece: int = 65_536, gate: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """*body* in pieces, the first at once, the others once *gate* opens."""
    for start in range(0, len(body), piece):
        yield body[start : start + piece]
        if gate is not None:
            await gate.wait()


async def test_whoever_may_not_upload_hears_so_while_still_sending(house: House) -> None:
    gate = asyncio.Event()
    body = form([*without(GOOD, "content"), ("content", bytes(2_000_000), FILENAME, OCTETS)])
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "X-User": "nobody"}
    async with house.session.post(house.server.make_url("/"), data=slowly(body, gate=gate), headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert answer.reason == "The user name or the password is wrong."
        assert house.left() == []
        gate.set()


async def test_a_client_that_sends_everything_first_reads_the_answer_too(house: House) -> None:
    """Old urllib3 and http.client do: a line that is cut meanwhile is a broken pipe to them."""
    reader, writer = await asyncio.open_connection(house.server.host, house.server.port)
    length = 12 * 2**20
    head = f"POST / HTTP/1.1\r\nHost: x\r\nX-User: nobody\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode())
    for _ in range(12):
        writer.write(bytes(2**20))
        await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    while line := await reader.readline():
        if line.startswith(b"HTTP/1.1"):
            assert line.startswith(b"HTTP/1.1 400 ")
            break
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("most", [0, 100_000])
async def test_of_a_body_without_end_only_so_much_is_drained(
    most: int, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads.drain, "__kwdefaults__", {"most": most, "seconds": 10.0})
    reader, writer = await asyncio.open_connection(house.server.host, house.server.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n")
    writer.write(b"Content-Length: 9999999999\r\n\r\n" + bytes(most))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 File too large")
    if most:
        writer.write(b"x")
    await house.ended.get()
    while await reader.read(65_536):
        pass
    writer.close()


async def test_a_length_beyond_the_limit_is_refused_before_anything_is_read(house: House) -> None:
    reader, writer = await asyncio.open_connection(house.server.host, house.server.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n")
    writer.write(b"Content-Length: 99999999\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 File too large: 3000000 bytes")
    writer.close()
    await writer.wait_closed()
    await house.ended.get()
    assert house.left() == []


@pytest.mark.parametrize(("user", "status"), [("alice", b"100 Continue"), ("nobody", b"401 ")])
async def test_who_waits_to_be_asked_for_the_body_is_asked_or_refused(house: House, user: str, status: bytes) -> None:
    """curl and Java do, with `Expect: 100-continue` (rule 96)."""
    reader, writer = await asyncio.open_connection(house.server.host, house.server.port)
    body = form(GOOD)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nX-User: {user}\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 " + status)
    if user == "alice":
        await reader.readline()
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    else:
        assert b"Connection: close" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_length_that_is_not_told_is_counted(house: House) -> None:
    body = form([*without(GOOD, "content"), ("content", bytes(5_000_000), FILENAME, OCTETS)])
    status, _, _, _ = await house.post(slowly(body))
    assert status == 413
    assert house.left() == []


# Clients that go away, or hardly come


@pytest.mark.parametrize("cut", [0, 10, 300, 2000, 70_000, 400_000, 1_100_000, -40, -1])
@pytest.mark.parametrize("told", [True, False])
async def test_a_client_that_goes_away_leaves_nothing(cut: int, told: bool, house: House) -> None:
    """At whatever byte it goes, with and without a Content-Length."""
    _, big = wheel("acme-sdk", "1.0", payload=bytes(1_200_000))
    body = form(twine(FILENAME, big))
    length = f"Content-Length: {len(body)}" if told else "Transfer-Encoding: chunked"
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n{length}\r\n\r\n"
    _, writer = await asyncio.open_connection(house.server.host, house.server.port)
    writer.write(head.encode())
    sent = body[: len(body) + cut if cut < 0 else cut]
    writer.write(sent if told or not sent else b"%x\r\n%s\r\n" % (len(sent), sent))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await house.ended.get()
    assert await house.listed() == []
    assert house.left() == []


async def test_an_upload_that_is_cancelled_leaves_nothing(house: House) -> None:
    gate = asyncio.Event()
    _, big = wheel("acme-sdk", "1.0", payload=bytes(2_500_000))
    post = asyncio.create_task(house.post(slowly(form(twine(FILENAME, big)), piece=2_000_000, gate=gate)))
    while not house.left():
        await asyncio.sleep(0.01)
    handling = next(task for task in asyncio.all_tasks() if "RequestHandler.start" in repr(task))
    handling.cancel()
    assert isinstance(await house.ended.get(), asyncio.CancelledError)
    assert house.left() == []
    gate.set()
    with pytest.raises(aiohttp.ClientError):
        await post


class TestPace:
    @pytest.fixture
    def limits(self) -> UploadLimits:
        return replace(LIMITS, min_rate=100, window=0.2)

    async def test_an_upload_that_hardly_comes_is_cut(self, house: House) -> None:
        status, reason, _, _ = await house.post(slowly(form(GOOD), piece=400, gate=asyncio.Event()))
        assert (status, reason) == (400, "The upload came more slowly than 100 bytes a second for 0.2 seconds.")
        assert house.left() == []

    async def test_one_that_comes_just_fast_enough_is_not(self, house: House) -> None:
        async def steadily() -> AsyncIterator[bytes]:
            body = form(GOOD)
            for start in range(0, len(body), 200):
                yield body[start : start + 200]
                await asyncio.sleep(0.05)

        assert (await house.post(steadily()))[0] == 200

    async def test_a_preamble_without_end_is_cut(self, house: House) -> None:
        async def preamble() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1000 + b"\r\n"
                await asyncio.sleep(0)

        status, reason, _, _ = await house.post(preamble())
        assert (status, reason.startswith("The upload is longer than")) == (413, True)


# The disk, and the store


async def test_a_full_disk_is_507(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Spool(house.store.incoming / "none")
    full._file = await asyncio.to_thread(open, "/dev/full", "wb")
    monkeypatch.setattr("proxy.web.uploads.Spool", lambda path: full)
    _, big = wheel("acme-sdk", "1.0", payload=bytes(2_000_000))
    status, reason, _, _ = await house.post(form(twine(FILENAME, big)))
    assert (status, reason) == (507, "There is no room for this upload on the server's disk.")


async def test_a_folder_that_is_gone_is_503_and_names_no_place(house: House) -> None:
    house.store.incoming.rmdir()
    status, reason, _, answer = await house.post(form(GOOD))
    assert (status, reason) == (503, "The server cannot write or read uploads now.")
    assert answer.headers["Retry-After"].isdigit()
    house.store.incoming.mkdir(mode=0o700)
    assert (await house.post(form(GOOD)))[0] == 200


@pytest.mark.parametrize(
    ("error", "status"), [(Forbidden("Not this name."), 403), (StoreDown("Not now."), 503), (DiskFull("No room."), 507)]
)
async def test_what_the_repository_says_is_what_the_client_hears(
    error: ProxyError, status: int, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(
        name: NormalizedName, file: File, body: Path, core: bytes | None, *, provenance: bytes | None
    ) -> None:
        assert await asyncio.to_thread(body.read_bytes) == BODY
        raise error

    monkeypatch.setattr(house.handler, "_upload", refuse)
    assert (await house.post(form(GOOD)))[:2] == (status, str(error))
    assert house.left() == []


async def test_two_uploads_of_one_file_at_once_both_succeed_and_of_two_files_one(house: House) -> None:
    same = await asyncio.gather(*(house.post(form(GOOD)) for _ in range(5)))
    assert [status for status, *_ in same] == [200] * 5
    name = "acme_sdk-2.0-py3-none-any.whl"
    others = [wheel("acme-sdk", "2.0", payload=bytes([number]))[1] for number in range(5)]
    found = await asyncio.gather(*(house.post(form(twine(name, body, version="2.0"))) for body in others))
    assert sorted(status for status, *_ in found) == [200, 400, 400, 400, 400]
    assert house.left() == []


# Statuses and reasons


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound, 404),
        (Forbidden, 403),
        (NotSignedIn, 401),
        (BadUpload, 400),
        (FileExists, 400),
        (TooLarge, 413),
        (OutOfUse, 410),
        (StoreDown, 503),
        (UpstreamDown, 503),
        (BadDigest, 503),
        (DiskFull, 507),
        (ProxyError, 500),
    ],
)
def test_every_error_has_its_status(error: type[ProxyError], status: int) -> None:
    assert status_of(error("A sentence.")) == status


@given(st.text())
def test_a_reason_is_one_short_line_of_ascii(text: str) -> None:
    reason = reason_of(BadUpload(text))
    assert reason
    assert reason.isascii()
    assert reason.isprintable()
    assert len(reason) <= MOST_REASON


def test_the_way_out_at_the_end_of_a_sentence_is_not_cut_off() -> None:
    """Of the longest that is said, about the longest name: twine and hatch show nothing else."""
    name = "n" * MAX_NAME
    sentence = f'{name} exists at the index: {"x" * 100} private.reserved = ["{name}"] or private.claim = "allow".'
    assert reason_of(Forbidden(sentence)) == sentence
