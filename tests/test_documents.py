"""The legacy JSON documents: what they say, and how they are served over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName, canonicalize_name

from proxy.errors import NotFound, ProxyError
from proxy.policy import Policy
from proxy.simple.core_metadata import MAX_DESCRIPTION, MAX_FIELDS, MAX_LINES, read_core
from proxy.simple.legacy_document import newest, subject_of
from proxy.simple.model import File, Project, href
from proxy.simple.names import NamePattern, versions_of
from proxy.storage import Standing
from proxy.web.documents import RETRY, Documents
from proxy.web.errors import explain
from proxy.web.fields import Fields
from proxy.web.metadata import MAX_WHEEL
from proxy.web.paths import Document, parse_target

from . import make
from .make import file
from .test_repository import House

BASE = "http://index.example:8080/"
SDK = canonicalize_name("acme-sdk")
KEYS = {
    "info": "author author_email bugtrack_url classifiers description description_content_type docs_url download_url "
    "downloads dynamic home_page keywords license license_expression license_files maintainer maintainer_email name "
    "package_url platform project_url project_urls provides_extra release_url requires_dist requires_python summary "
    "version yanked yanked_reason",
    "file": "comment_text core-metadata digests downloads filename has_sig md5_digest packagetype python_version "
    "requires_python size upload_time upload_time_iso_8601 url yanked yanked_reason",
}
METADATA = b"""Metadata-Version: 2.4
Name: Acme.SDK
Version: 1.0
Summary: Talks to ACME
Keywords: acme,sdk
Home-page: https://acme.example/
License-Expression: MIT
License-File: LICENSE
Classifier: Programming Language :: Python :: 3
Requires-Dist: numpy>=1
Requires-Dist: torch; extra == "gpu"
Provides-Extra: gpu
Requires-Python: >=3.9
Project-URL: Source, https://acme.example/source
Author-email: Wile <wile@acme.example>
Description-Content-Type: text/markdown

# ACME

Talks to ACM\xc3\x89.
"""


def page(*files: File, name: NormalizedName = SDK, versions: tuple[str, ...] = ()) -> Project:
    by_name = {file.filename: file for file in sorted(files, key=lambda file: file.filename)}
    return Project(name=name, files=by_name, versions=versions or versions_of(name, by_name))


def document(project: Project, version: str | None = None, metadata: bytes | None = None) -> Any:
    return json.loads(subject_of(project, version).write(metadata, BASE))


def wheel(version: str, **fields: Any) -> File:
    return file(f"acme_sdk-{version}-py3-none-any.whl", version.encode(), **fields)


def test_a_document_has_warehouses_keys() -> None:
    told = document(page(wheel("1.0")))
    assert set(told) == {"info", "last_serial", "ownership", "releases", "urls", "vulnerabilities"}
    assert set(told["info"]) == set(KEYS["info"].split())
    assert set(told["urls"][0]) == set(KEYS["file"].split())


def test_the_document_of_a_version_has_no_releases() -> None:
    told = document(page(wheel("1.0"), wheel("2.0")), "1.0")
    assert set(told) == {"info", "last_serial", "ownership", "urls", "vulnerabilities"}
    assert told["info"]["version"] == "1.0"
    assert [url["filename"] for url in told["urls"]] == ["acme_sdk-1.0-py3-none-any.whl"]


def test_a_file_is_described_as_warehouse_does() -> None:
    listed = wheel("1.0", requires_python=">=3.9", yanked="broken", core_metadata={"sha256": "ab"})
    (told,) = document(page(listed))["urls"]
    assert told == {
        "filename": "acme_sdk-1.0-py3-none-any.whl",
        "packagetype": "bdist_wheel",
        "python_version": "py3",
        "has_sig": False,
        "comment_text": "",
        "md5_digest": "",
        "digests": {"sha256": hashlib.sha256(b"1.0").hexdigest()},
        "core-metadata": {"sha256": "ab"},
        "size": 3,
        "downloads": -1,
        "upload_time": "2026-01-15T12:00:00",
        "upload_time_iso_8601": "2026-01-15T12:00:00.000000Z",
        "url": f"{BASE}packages/{listed.path}/acme_sdk-1.0-py3-none-any.whl",
        "requires_python": ">=3.9",
        "yanked": True,
        "yanked_reason": "broken",
    }


def test_what_nobody_knows_of_a_file_is_null_and_an_estimated_time_is_no_time() -> None:
    (told,) = document(page(wheel("1.0", size=None, upload_time=None, estimated_time=make.NOON)))["urls"]
    assert [told[key] for key in ("size", "upload_time", "upload_time_iso_8601")] == [None, None, None]
    assert told["core-metadata"] is False


def test_other_digests_have_warehouses_names() -> None:
    hashes = {"md5": "aa", "sha256": "bb", "blake2b": "cc"}
    (told,) = document(page(wheel("1.0", hashes=hashes)))["urls"]
    assert told["digests"] == {"md5": "aa", "sha256": "bb", "blake2b_256": "cc"}
    assert told["md5_digest"] == "aa"


@pytest.mark.parametrize(
    ("filename", "kind", "python"),
    [
        ("acme_sdk-1.0-cp39.cp310-abi3.none-manylinux_2_17_x86_64.whl", "bdist_wheel", "cp39.cp310"),
        ("acme_sdk-1.0-7_x-py2.py3-none-any.whl", "bdist_wheel", "py2.py3"),
        ("acme_sdk-1.0.tar.gz", "sdist", "source"),
        ("acme-sdk-1.0.zip", "sdist", "source"),
        ("acme_sdk-1.0-py2.7.egg", "bdist_egg", "2.7"),
        ("acme-sdk-1.0.win32-py2.7.exe", "bdist_wininst", "2.7"),
        ("acme-sdk-1.0.win-amd64.exe", "bdist_wininst", "any"),
        ("acme-sdk-1.0.win32-py3.8.msi", "bdist_msi", "3.8"),
        ("acme-sdk-1.0-1.noarch.rpm", "bdist_rpm", "any"),
        ("acme-sdk-1.0.dmg", "bdist_dmg", "any"),
    ],
)
def test_every_kind_of_file_is_in_its_release(filename: str, kind: str, python: str) -> None:
    told = document(page(file(filename), wheel("1.0")))
    (found,) = [one for one in told["releases"]["1.0"] if one["filename"] == filename]
    assert (found["packagetype"], found["python_version"]) == (kind, python)


@pytest.mark.parametrize("version", ["1.0+cpu", "1!2.0", "1.0~1", "1.0 (1)"])
def test_a_url_is_what_pip_makes_of_our_link(version: str) -> None:
    listed = file(f"acme_sdk-{version}.tar.gz")
    # pip._internal.models.link: the link joined to the page, and its path quoted anew.
    joined = urlsplit(urljoin(f"{BASE}simple/acme-sdk/", href(listed)))
    pips = joined._replace(path=quote(unquote(joined.path))).geturl()
    (told,) = document(page(listed, wheel("0.1"), versions=("0.1", version)), version)["urls"]
    assert told["url"] == pips


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ([wheel("1.0"), wheel("1.10"), wheel("1.9"), wheel("2.0a1"), wheel("2.0.dev3")], "1.10"),
        ([wheel("1.0a1"), wheel("1.0a2")], "1.0a2"),
        ([wheel("1.0"), wheel("2.0", yanked=True)], "1.0"),
        ([wheel("2.0", yanked=True), wheel("3.0a1")], "3.0a1"),
        ([wheel("1.0", yanked="old"), wheel("2.0", yanked=True)], "2.0"),
        ([wheel("1.0"), wheel("2.0", yanked=True), file("acme_sdk-2.0.tar.gz")], "2.0"),
        ([wheel("1!0.1"), wheel("2.0")], "1!0.1"),
        ([file("acme-sdk-dev-r123.tar.gz"), wheel("0.1")], "0.1"),
        ([file("acme-sdk-latest.tar.gz")], "latest"),
    ],
)
def test_info_is_of_the_newest_release_that_people_want(files: list[File], version: str) -> None:
    assert document(page(*files))["info"]["version"] == version


def test_a_release_is_yanked_where_all_its_files_are() -> None:
    half = document(page(wheel("1.0", yanked="broken"), file("acme_sdk-1.0.tar.gz")))["info"]
    assert (half["yanked"], half["yanked_reason"]) == (False, None)
    whole = document(page(wheel("1.0", yanked="broken"), file("acme_sdk-1.0.tar.gz", yanked=True)))["info"]
    assert (whole["yanked"], whole["yanked_reason"]) == (True, "broken")


@pytest.mark.parametrize("asked", ["1.0", "1.0.0", "v1", "1"])
def test_a_version_is_matched_however_it_is_spelled(asked: str) -> None:
    assert document(page(wheel("1.0"), wheel("2.0")), asked)["info"]["version"] == "1.0"


def test_two_spellings_of_a_version_are_one_release_under_both() -> None:
    """pip-tools looks for the one that the file it chose has, and for the hashes of all files of the release."""
    told = document(page(wheel("1.0"), file("acme_sdk-1.0.0.tar.gz")))
    assert set(told["releases"]) == {"1.0", "1.0.0"}
    assert [len(files) for files in told["releases"].values()] == [2, 2]


def test_releases_come_in_their_order_and_only_with_files() -> None:
    """renovate would propose a version that has none."""
    told = document(page(wheel("1.10"), wheel("1.9"), versions=("1.10", "1.11", "1.9")))
    assert list(told["releases"]) == ["1.9", "1.10"]


@pytest.mark.parametrize("version", ["3.0", "1.0.post1", "1.0+cpu", "x", "9" * 5000, ""])
def test_a_version_without_files_is_not_found(version: str) -> None:
    with pytest.raises(NotFound):
        subject_of(page(wheel("1.0"), versions=("1.0", "3.0")), version)


def test_a_project_without_files_is_not_found() -> None:
    with pytest.raises(NotFound):
        subject_of(page(versions=("1.0",)))


def test_info_is_told_by_the_metadata() -> None:
    info = document(page(wheel("1.0")), None, METADATA)["info"]
    assert info["name"] == "Acme.SDK"
    assert info["summary"] == "Talks to ACME"
    assert info["keywords"] == "acme,sdk"
    assert info["license_expression"] == "MIT"
    assert info["license_files"] == ["LICENSE"]
    assert info["requires_dist"] == ["numpy>=1", 'torch; extra == "gpu"']
    assert info["provides_extra"] == ["gpu"]
    assert info["requires_python"] == ">=3.9"
    assert info["author_email"] == "Wile <wile@acme.example>"
    assert info["description"] == "# ACME\n\nTalks to ACMÉ.\n"
    assert info["description_content_type"] == "text/markdown"
    assert info["project_urls"] == {
        "Homepage": "https://acme.example/",
        "Source": "https://acme.example/source",
    }


def test_text_that_is_not_there_is_empty_and_no_requirements_are_null() -> None:
    """renovate refused a document for a null home page; poetry knows null for none, as Warehouse writes it."""
    info = document(page(wheel("1.0", requires_python=">=3.8")), None, make.metadata("acme-sdk", "1.0"))["info"]
    assert {info[key] for key in ("home_page", "author", "keywords", "license", "download_url", "platform")} == {""}
    assert (info["requires_dist"], info["project_urls"], info["provides_extra"]) == (None, None, None)
    assert info["requires_python"] == ">=3.8"


@pytest.mark.parametrize("metadata", [None, b"", b"\xff\x00", make.metadata("other", "1.0")])
def test_metadata_that_says_nothing_of_the_project_says_nothing(metadata: bytes | None) -> None:
    info = document(page(wheel("1.0")), None, metadata)["info"]
    assert (info["name"], info["version"], info["summary"]) == ("acme-sdk", "1.0", "")


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"X-%d: y\n" % number for number in range(MAX_FIELDS)),
        b"Classifier: x\n" * MAX_LINES,
        b"Classifier: x\r" * MAX_LINES,
        b"X: " + b"x" * 300_000 + b"\n",
    ],
)
def test_metadata_that_takes_long_to_read_is_not_read(head: bytes) -> None:
    metadata = b"Metadata-Version: 2.1\nName: acme-sdk\nVersion: 1.0\nSummary: x\n"
    assert read_core(metadata, SDK)["summary"] == "x"
    assert read_core(metadata + head, SDK) == {}


def test_a_description_is_cut_and_never_taken_for_parts_of_a_message() -> None:
    head = b'Name: acme-sdk\nSummary: x\nContent-Type: multipart/mixed; boundary="b"\n\n'
    raw = read_core(head + b"--b\n" * 1000 + b"x" * MAX_DESCRIPTION, SDK)
    assert raw["description"].startswith("--b\n--b\n")
    assert len(raw["description"]) == MAX_DESCRIPTION


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_metadata_makes_a_document(head: bytes, body: bytes) -> None:
    metadata = b"Name: acme-sdk\nSummary: " + head + b"\nProject-URL: " + body + b"\n\n" + body
    assert document(page(wheel("1.0")), None, metadata)["info"]["version"] == "1.0"


@given(st.lists(st.from_regex(r"[0-9a-z.+!_]{1,12}", fullmatch=True), min_size=1, max_size=8))
def test_any_versions_make_a_document(versions: list[str]) -> None:
    files = [file(f"acme_sdk-{version}.tar.gz") for version in versions]
    told = document(page(*files))
    listed = {one["filename"] for files in told["releases"].values() for one in files}
    assert listed == {file.filename for file in files}
    assert told["info"]["version"] in told["releases"]


def test_the_newest_of_no_versions_is_none() -> None:
    assert newest([]) is None
    assert newest(["1.9", "1.10", "2.0rc1"]) == "1.10"


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Asks for documents, and decodes and follows nothing."""

    def __init__(self, house: House, documents: Documents, session: aiohttp.ClientSession, origin: str) -> None:
        self.house = house
        self.documents = documents
        self.session = session
        self.origin = origin

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        skip = {"Accept", "Accept-Encoding"}
        request = self.session.request(
            method, self.origin + path, headers=sent, allow_redirects=False, skip_auto_headers=skip
        )
        async with request as response:
            return response.status, response.headers, await response.read()

    async def json(self, path: str) -> Any:
        status, _, body = await self.ask(path)
        assert status == 200
        return json.loads(body)

    async def publish(self, version: str, *, requires: tuple[str, ...] = ()) -> File:
        """Upload a wheel of acme-sdk with the metadata beside it."""
        filename, body = make.wheel("acme-sdk", version)
        metadata = make.metadata("acme-sdk", version, requires=requires)
        listed = file(filename, body, core_metadata={"sha256": hashlib.sha256(metadata).hexdigest()})
        path = self.house.folder / f"{filename}.upload"
        path.write_bytes(body)
        await self.house.publishing.upload(SDK, listed, path, metadata)
        return listed


@asynccontextmanager
async def serving(house: House, *, closed: bool = False, room: int = 10**7, **how: Any) -> AsyncIterator[Client]:
    documents = Documents(house.repository, Fields(private=closed), room=room, **how)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            target = parse_target(request.raw_path, frozenset()).target
            assert isinstance(target, Document)
            assert target.at is None
            base = f"http://{request.headers['Host']}/"
            return await documents.answer(request, target.name, target.version, base)
        except ProxyError as error:
            return explain(request, error)

    async with RawTestServer(answer) as server, aiohttp.ClientSession(auto_decompress=False) as session:
        yield Client(house, documents, session, str(server.make_url("")).rstrip("/"))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    house = House(tmp_path, Policy(claim="allow", reserved=(NamePattern("corp-*"),)))
    async with serving(house) as client:
        yield client


@pytest.mark.parametrize("path", ["/pypi/acme-sdk/json", "/pypi/acme-sdk/json/", "/simple/pypi/acme-sdk/json"])
async def test_a_document_is_the_same_at_all_its_addresses(client: Client, path: str) -> None:
    await client.publish("1.0", requires=("numpy",))
    status, headers, body = await client.ask(path)
    assert status == 200
    assert (await client.ask("/acme-sdk/json"))[2] == body
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "max-age=0, must-revalidate"
    told = json.loads(body)
    assert told["info"]["summary"] == "made for a test"
    assert told["info"]["requires_dist"] == ["numpy"]
    assert told["urls"][0]["url"].startswith(f"{client.origin}/packages/")


async def test_a_version_has_a_document_of_its_own(client: Client) -> None:
    await client.publish("1.0")
    await client.publish("2.0")
    assert (await client.json("/pypi/acme-sdk/1.0.0/json"))["info"]["version"] == "1.0"
    assert (await client.json("/pypi/acme-sdk/2.0/json/"))["info"]["version"] == "2.0"
    assert (await client.ask("/pypi/acme-sdk/3.0/json"))[0] == 404
    assert (await client.ask(f"/pypi/acme-sdk/{'1' * 3000}/json"))[0] == 404


async def test_a_private_name_without_files_is_not_found_and_no_index_is_asked(client: Client) -> None:
    client.house.upstream.publish("corp-new", "corp_new-9.0-py3-none-any.whl")
    assert (await client.ask("/pypi/corp-new/json"))[0] == 404
    listed = await client.publish("1.0")
    await client.house.store.remove([listed.filename])
    client.house.upstream.publish("acme-sdk", "acme_sdk-9.0-py3-none-any.whl")
    assert (await client.ask("/pypi/acme-sdk/json"))[0] == 404
    asked = list(client.house.upstream.asked)
    assert (await client.ask("/acme-sdk/json"))[0] == 404
    assert client.house.upstream.asked == asked


async def test_a_quarantined_project_has_no_document(client: Client) -> None:
    await client.publish("1.0")
    assert (await client.ask("/pypi/acme-sdk/json"))[0] == 200
    await client.house.store.settle(SDK, Standing(status="quarantined"))
    assert (await client.ask("/pypi/acme-sdk/json"))[0] == 404


async def test_a_document_changes_with_the_page(client: Client) -> None:
    listed = await client.publish("1.0")
    assert list((await client.json("/acme-sdk/json"))["releases"]) == ["1.0"]
    await client.publish("1.1")
    assert list((await client.json("/acme-sdk/json"))["releases"]) == ["1.0", "1.1"]
    await client.house.store.yank([listed.filename], "broken")
    assert (await client.json("/acme-sdk/json"))["releases"]["1.0"][0]["yanked_reason"] == "broken"


async def test_an_unchanged_document_is_written_once_and_not_sent_again(client: Client) -> None:
    await client.publish("1.0")
    _, headers, _ = await client.ask("/acme-sdk/json")
    status, again, body = await client.ask("/acme-sdk/json", If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")
    assert {key: again[key] for key in ("ETag", "Cache-Control", "Vary")} == {
        key: headers[key] for key in ("ETag", "Cache-Control", "Vary")
    }
    assert client.documents.writes == 1


async def test_each_coding_has_its_own_tag(client: Client) -> None:
    await client.publish("1.0")
    _, plain, body = await client.ask("/acme-sdk/json", Accept_Encoding="identity")
    _, packed, small = await client.ask("/acme-sdk/json", Accept_Encoding="gzip, deflate")
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(small) == body
    assert plain["ETag"] != packed["ETag"]


async def test_a_head_says_what_a_get_says(client: Client) -> None:
    await client.publish("1.0")
    _, get, body = await client.ask("/acme-sdk/json")
    status, head, nothing = await client.ask("/acme-sdk/json", "HEAD")
    assert (status, nothing) == (200, b"")
    assert {**head, "Date": ""} == {**get, "Date": ""}
    assert int(head["Content-Length"]) == len(body)


async def test_links_are_those_of_the_host_that_was_asked(client: Client) -> None:
    await client.publish("1.0")
    urls = [
        json.loads((await client.ask("/acme-sdk/json", Host=host))[2])["urls"][0]["url"]
        for host in ("pypi.corp.example", "mirror:8080", "pypi.corp.example")
    ]
    assert [urlsplit(url).netloc for url in urls] == ["pypi.corp.example", "mirror:8080", "pypi.corp.example"]


async def test_where_reading_needs_a_user_no_shared_cache_keeps_a_document(tmp_path: Path) -> None:
    async with serving(House(tmp_path, Policy(claim="allow")), closed=True) as client:
        await client.publish("1.0")
        _, headers, _ = await client.ask("/acme-sdk/json")
        assert headers["Cache-Control"] == "private, max-age=0, must-revalidate"
        assert "Access-Control-Allow-Origin" not in headers


def publish_numpy(house: House, **fields: Any) -> bytes:
    """A public wheel, whose mirrors have its metadata; that."""
    metadata = make.metadata("numpy", "1.0")
    digest = {"sha256": hashlib.sha256(metadata).hexdigest()}
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl", core_metadata=digest, **fields)
    for line in house.sources.lines:
        line.body = metadata
    return metadata


async def test_the_metadata_of_a_public_wheel_is_fetched(client: Client) -> None:
    publish_numpy(client.house)
    assert (await client.json("/numpy/json"))["info"]["summary"] == "made for a test"


@pytest.mark.parametrize("size", [None, MAX_WHEEL + 1])
async def test_the_metadata_of_a_big_wheel_is_shown_where_it_is_at_hand(client: Client, size: int | None) -> None:
    """To fetch it may be to fetch all of the wheel."""
    metadata = publish_numpy(client.house, size=size)
    assert (await client.json("/numpy/json"))["info"]["summary"] == ""
    assert client.house.sources.opened == []
    client.house.cache.bodies[hashlib.sha256(metadata).hexdigest()] = metadata, 0.0
    assert (await client.json("/pypi/numpy/1.0/json"))["info"]["summary"] != ""


async def test_a_document_does_not_wait_for_a_slow_mirror_and_is_complete_later(tmp_path: Path) -> None:
    house, clock = House(tmp_path), Clock()
    publish_numpy(house)
    house.sources.gate = asyncio.Event()
    async with serving(house, patience=0.05, clock=clock) as client:
        told = await client.json("/numpy/json")
        assert told["info"]["summary"] == ""
        assert told["urls"][0]["digests"]["sha256"]
        house.sources.gate.set()
        assert (await client.json("/numpy/json"))["info"]["summary"] == ""
        assert client.documents.writes == 1
        clock.now += RETRY + 1
        while house.downloads.under_way:
            await asyncio.sleep(0.01)
        assert (await client.json("/numpy/json"))["info"]["summary"] == "made for a test"


async def test_a_mirror_without_the_metadata_costs_no_document(client: Client) -> None:
    publish_numpy(client.house)
    for line in client.house.sources.lines:
        line.ends = "has it not"
    assert (await client.json("/numpy/json"))["releases"]["1.0"]


async def test_a_name_that_becomes_private_meanwhile_shows_only_ours(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    metadata = make.metadata("acme-sdk", "99.0")
    digest = {"sha256": hashlib.sha256(metadata).hexdigest()}
    house.upstream.publish("acme-sdk", "acme_sdk-99.0-py3-none-any.whl", core_metadata=digest)
    house.sources.gate = asyncio.Event()
    async with serving(house, patience=60.0) as client:
        asking = asyncio.create_task(client.json("/acme-sdk/json"))
        while not house.sources.opened:
            await asyncio.sleep(0.01)
        await client.publish("1.0")
        house.sources.gate.set()
        assert list((await asking)["releases"]) == ["1.0"]


async def test_memory_for_documents_is_bounded(tmp_path: Path) -> None:
    async with serving(House(tmp_path, Policy(claim="allow")), room=20_000) as client:
        for number in range(20):
            await client.publish(f"1.{number}")
        for number in range(20):
            assert (await client.ask(f"/pypi/acme-sdk/1.{number}/json"))[0] == 200
        # Each keeps the twenty files of the page.
        assert len(client.documents._held) == 1


async def test_many_who_ask_at_once_have_few_documents_written(client: Client) -> None:
    await client.publish("1.0")
    answers = await asyncio.gather(*(client.ask("/acme-sdk/json") for _ in range(30)))
    assert {status for status, _, _ in answers} == {200}
    assert client.documents.writes <= 2
