"""The integrity API over real sockets, from the upload of attestations to what a verifier is given (PEP 740)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from packaging.utils import canonicalize_name

from proxy.archive import Limits
from proxy.download import Downloads
from proxy.errors import ProxyError
from proxy.policy import Policy
from proxy.publishing import Publishing
from proxy.repository import Repository
from proxy.rights import everything
from proxy.simple.model import HTML, JSON, TEXT
from proxy.storage import Standing
from proxy.storage.disk_store import DiskStore
from proxy.web import paths
from proxy.web.errors import explain
from proxy.web.fields import Fields
from proxy.web.index import ProjectPages
from proxy.web.integrity import INTEGRITY, Integrity
from proxy.web.uploads import UploadLimits, Uploads

from .fake_upstream import FakeSources, FakeUpstream, Line
from .fakes import MemoryCache
from .make import NOON, sdist, wheel
from .test_provenance import attestation
from .test_simple_write import Strict

ACME = canonicalize_name("acme-sdk")
FILENAME, BODY = wheel("acme-sdk", "1.0")
PLACE = f"/integrity/acme-sdk/1.0/{FILENAME}/provenance"
THEIRS = "https://h.example/integrity/numpy/1.0/numpy-1.0-py3-none-any.whl/provenance"


class House:
    """Uploads, pages and the integrity API on one store, and a client at the door."""

    def __init__(self, folder: Path, store: DiskStore) -> None:
        self.store = store
        self.upstream = FakeUpstream()
        policy = Policy(claim="allow", overlay=frozenset({canonicalize_name("numpy")}))
        cache = MemoryCache()
        repository = Repository(
            store=store,
            names=store,
            pins=store,
            cache=cache,
            downloads=Downloads(folder / "incoming", FakeSources([Line(b"bytes")]), cache, store),
            upstream=self.upstream,
            root=None,
            policy=policy,
        )
        self.publishing = Publishing(store=store, names=store, upstream=self.upstream, policy=policy)
        fields = Fields(private=False)
        self.projects = ProjectPages(repository, fields, room=10**7, now=lambda: 1_700_000_100.0)
        self._integrity = Integrity(repository, fields)
        limits = UploadLimits(archive=Limits())
        self._uploads = Uploads(
            sign_in=self._sign_in, incoming=store.incoming, limits=limits, upload=self.publishing.upload
        )
        self.origin = ""
        self.session: aiohttp.ClientSession

    async def _sign_in(self, request: web.BaseRequest) -> Any:
        return everything("alice")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """As App would, of these routes."""
        try:
            match paths.parse_target(request.raw_path, frozenset()).target:
                case paths.Page(name):
                    return await self.projects.answer(request, name, "", self.origin + "/")
                case paths.Provenance(name, version, filename):
                    return await self._integrity.answer(request, name, version, filename)
                case _:
                    return await self._uploads(request)
        except ProxyError as error:
            return explain(request, error)

    async def upload(self, filename: str, body: bytes, name: str, version: str, **fields: str) -> None:
        said = {":action": "file_upload", "name": name, "version": version, **fields}
        form = aiohttp.FormData(said, quote_fields=False)
        form.add_field("content", body, filename=filename)
        async with self.session.post(self.origin, data=form) as answer:
            assert answer.status == 200, await answer.text()

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.origin + path, headers=sent, skip_auto_headers={"Accept"}
        ) as answer:
            return answer.status, answer.headers, await answer.read()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await asyncio.to_thread(lambda: DiskStore(tmp_path / "state", now=lambda: NOON))
    made = House(tmp_path, store)
    async with RawTestServer(made.handle) as server, aiohttp.ClientSession() as made.session:
        made.origin = str(server.make_url("")).rstrip("/")
        yield made
    await store.close()


CAME = [attestation(FILENAME, BODY)]


@pytest.fixture
async def attested(house: House) -> House:
    await house.upload(FILENAME, BODY, "acme-sdk", "1.0", attestations=json.dumps(CAME))
    return house


async def test_a_page_names_the_provenance_of_a_file_and_there_it_is(attested: House) -> None:
    _, _, body = await attested.ask("/simple/acme-sdk/", Accept=JSON)
    (file,) = json.loads(body)["files"]
    assert file["provenance"] == attested.origin + PLACE
    for kind in (HTML, TEXT):
        ((said, _),) = Strict((await attested.ask("/simple/acme-sdk/", Accept=kind))[2]).anchors
        assert said["data-provenance"] == attested.origin + PLACE
    async with attested.session.get(file["provenance"]) as answer:
        assert answer.status == 200
        assert json.loads(await answer.read())["attestation_bundles"][0]["attestations"] == CAME
    assert attested.upstream.asked == []


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (INTEGRITY, INTEGRITY),
        ("application/json", "application/json"),
        (f"application/json;q=0.9, {INTEGRITY}", INTEGRITY),
        ("application/*", INTEGRITY),
        ("*/*", INTEGRITY),
        ("", INTEGRITY),
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", INTEGRITY),
        (f"{INTEGRITY};q=0, application/json", "application/json"),
        (f"{INTEGRITY};q=0.0, */*", "application/json"),
        (INTEGRITY.upper(), INTEGRITY),
        ("text/html", None),
        ("application/vnd.pypi.integrity.v2+json", None),
        ("*/*;q=0", None),
        ("application/json; q=0", None),
        (JSON, None),
    ],
)
async def test_the_media_type_that_each_client_gets(accept: str, kind: str | None, attested: House) -> None:
    status, headers, body = await attested.ask(PLACE, Accept=accept)
    assert headers["Content-Type"] == (kind or "application/json")
    if kind is None:
        assert (status, headers["Cache-Control"]) == (406, "no-store")
        assert INTEGRITY in json.loads(body)["message"]
    else:
        assert status == 200


async def test_without_an_accept_header_it_is_json(attested: House) -> None:
    status, headers, _ = await attested.ask(PLACE)
    assert (status, headers["Content-Type"]) == (200, INTEGRITY)


async def test_its_fields_are_those_of_a_page(attested: House) -> None:
    """PEP 740: provenance may be added to, so nobody may keep it unasked."""
    status, headers, body = await attested.ask(PLACE)
    assert headers["ETag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    assert headers["Cache-Control"] == "max-age=0, must-revalidate"
    assert "Accept" in headers["Vary"]
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["X-Content-Type-Options"] == "nosniff"
    head_status, head, nothing = await attested.ask(PLACE, "HEAD")
    assert (head_status, nothing) == (status, b"")
    for name in ("ETag", "Content-Length", "Content-Type", "Cache-Control", "Vary"):
        assert head[name] == headers[name]
    again, repeated, nothing = await attested.ask(PLACE, If_None_Match=headers["ETag"])
    assert (again, repeated["ETag"], nothing) == (304, headers["ETag"], b"")


@pytest.mark.parametrize(
    "path",
    [
        f"/integrity/Acme_SDK/1.0/{FILENAME}/provenance",
        f"/integrity/acme-sdk/1.0.0/{FILENAME}/provenance",
        f"/integrity/acme-sdk/v1/{FILENAME}/provenance",
        f"//integrity//acme-sdk/1%2E0/{FILENAME}/provenance/",
    ],
)
async def test_name_and_version_may_be_spelled_otherwise(path: str, attested: House) -> None:
    status, _, body = await attested.ask(path)
    assert (status, body) == (200, (await attested.ask(PLACE))[2])


@pytest.mark.parametrize(
    "path",
    [
        f"/integrity/acme-sdk/1.1/{FILENAME}/provenance",
        f"/integrity/acme-sdk/nonsense/{FILENAME}/provenance",
        f"/integrity/other/1.0/{FILENAME}/provenance",
        f"/integrity/acme-sdk/1.0/{FILENAME}.metadata/provenance",
        "/integrity/acme-sdk/1.0/acme_sdk-1.0.tar.gz/provenance",
        "/integrity/acme-sdk/2.0/acme_sdk-2.0.tar.gz/provenance",
        "/integrity/nobody/1.0/nobody-1.0.tar.gz/provenance",
        "/integrity/numpy/1.0/numpy-1.0-py3-none-any.whl/provenance",
    ],
)
async def test_what_is_not_ours_is_404_as_json_and_no_index_is_asked(path: str, attested: House) -> None:
    """The last of them has provenance at its index, whose page says where (rule 92)."""
    filename, body = sdist("acme-sdk", "2.0")
    await attested.upload(filename, body, "acme-sdk", "2.0")
    attested.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl", provenance=THEIRS)
    status, headers, body = await attested.ask(path, Accept=INTEGRITY)
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (404, "application/json", "no-store")
    assert json.loads(body)["message"].endswith(".")
    assert attested.upstream.asked == []


async def test_a_removed_file_takes_its_provenance_along(attested: House) -> None:
    """No page, no file: and none of what is said of it."""
    await attested.store.remove([FILENAME])
    assert (await attested.ask(PLACE))[0] == 404


async def test_a_quarantined_projects_provenance_is_refused_as_its_files_are(attested: House) -> None:
    await attested.store.settle(ACME, Standing(status="quarantined", reason="looked into"))
    status, _, body = await attested.ask(PLACE)
    assert (status, b"looked into" in body) == (403, True)


async def test_the_same_bytes_with_other_attestations_do_not_change_it(attested: House) -> None:
    _, before, _ = await attested.ask(PLACE)
    await attested.upload(FILENAME, BODY, "acme-sdk", "1.0", attestations=json.dumps([*CAME, *CAME]))
    await attested.upload(FILENAME, BODY, "acme-sdk", "1.0")
    _, after, _ = await attested.ask(PLACE)
    assert after["ETag"] == before["ETag"]


async def test_the_provenance_of_an_indexs_file_is_where_the_index_says(attested: House) -> None:
    """Beside a file of our own on one page, in every representation."""
    attested.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl", provenance=THEIRS)
    filename, body = wheel("numpy", "2.0")
    given = json.dumps([attestation(filename, body)])
    await attested.upload(filename, body, "numpy", "2.0", attestations=given)
    ours = f"{attested.origin}/integrity/numpy/2.0/{filename}/provenance"
    _, _, page = await attested.ask("/simple/numpy/", Accept=JSON)
    assert [file["provenance"] for file in json.loads(page)["files"]] == [THEIRS, ours]
    for kind in (HTML, TEXT):
        anchors = Strict((await attested.ask("/simple/numpy/", Accept=kind))[2]).anchors
        assert [said["data-provenance"] for said, _ in anchors] == [THEIRS, ours]
    assert (await attested.ask(ours.removeprefix(attested.origin)))[0] == 200


async def test_a_local_version_is_found_by_the_address_on_its_page(house: House) -> None:
    filename, body = wheel("acme-sdk", "1.0+cpu.1")
    given = json.dumps([attestation(filename, body)])
    await house.upload(filename, body, "acme-sdk", "1.0+cpu.1", attestations=given)
    _, _, page = await house.ask("/simple/acme-sdk/", Accept=JSON)
    (file,) = json.loads(page)["files"]
    assert (await house.ask(file["provenance"].removeprefix(house.origin)))[0] == 200


async def test_twine_brings_attestations_that_lie_beside_a_wheel(house: House, tmp_path: Path) -> None:
    wheel_file, signed = tmp_path / FILENAME, tmp_path / f"{FILENAME}.publish.attestation"
    wheel_file.write_bytes(BODY)
    signed.write_text(json.dumps(CAME[0]), encoding="utf-8")
    command = [sys.executable, "-m", "twine", "upload", "--attestations", "--repository-url", house.origin]
    command += ["--disable-progress-bar", "--non-interactive", "-u", "alice", "-p", "secret"]
    twine = await asyncio.create_subprocess_exec(
        *command, str(wheel_file), str(signed), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await twine.communicate()
    assert twine.returncode == 0, said.decode()
    status, _, body = await house.ask(PLACE)
    assert status == 200
    assert json.loads(body)["attestation_bundles"][0]["attestations"] == CAME


async def test_all_three_representations_say_at_once_what_an_operator_said(attested: House) -> None:
    """Yanks (PEP 592) and the status of a project (PEP 792), escaped."""
    reason = "broken: <b>\"1.0\" & '1.1'</b> 坏了"
    for yanked, html in ((reason, reason), (True, ""), (False, None)):
        await attested.store.yank([FILENAME], yanked)
        await attested.store.settle(ACME, Standing(status="deprecated", reason=reason))
        page = json.loads((await attested.ask("/simple/acme-sdk/", Accept=JSON))[2])
        assert page["meta"]["api-version"] == "1.4"
        assert page["files"][0]["yanked"] == yanked
        assert page["project-status"] == {"status": "deprecated", "reason": reason}
        for kind in (HTML, TEXT):
            strict = Strict((await attested.ask("/simple/acme-sdk/", Accept=kind))[2])
            assert strict.metas["pypi:repository-version"] == "1.4"
            assert strict.metas["pypi:project-status"] == "deprecated"
            assert strict.metas["pypi:project-status-reason"] == reason
            assert strict.anchors[0][0].get("data-yanked") == html
