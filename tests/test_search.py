"""`pip search`: hostile XML, what is found, and what must not be."""

from __future__ import annotations

import asyncio
import hashlib
import io
import xmlrpc.client
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName, canonicalize_name

from proxy.errors import StoreDown
from proxy.policy import Policy
from proxy.simple.model import Project
from proxy.simple.names import NamePattern
from proxy.simple.xmlrpc import (
    _ELEMENTS,
    MAX_CALL,
    MAX_DEPTH,
    NO_METHOD,
    NOT_READABLE,
    Call,
    Fault,
    read_call,
    writable,
    write_answer,
    write_fault,
)
from proxy.storage import Standing
from proxy.web import search
from proxy.web.search import MOST_HITS, MOST_WORDS, Search, read_query

from . import make
from .make import file
from .test_repository import House

ENTITIES = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


def called(value: str) -> bytes:
    """A call of search with one value, as XML."""
    head = "<?xml version='1.0'?><methodCall><methodName>search</methodName><params><param><value>"
    return f"{head}{value}</value></param></params></methodCall>".encode()


def doctype(inside: str) -> bytes:
    return b"<?xml version='1.0'?><!DOCTYPE methodCall " + inside.encode() + b">" + called("&a9;")[21:]


HOSTILE = {
    "billion laughs": doctype(f"[{ENTITIES}]"),
    "external entity": doctype('[<!ENTITY a9 SYSTEM "file:///etc/passwd">]'),
    "external document type": doctype('SYSTEM "http://127.0.0.1:9/evil.dtd"'),
    "parameter entity": doctype('[<!ENTITY % e SYSTEM "http://127.0.0.1:9/e.dtd"> %e;]'),
    "empty document type": doctype(""),
    "unknown entity": called("&a9;"),
    "processing instruction": called("<?xml-stylesheet href='http://127.0.0.1:9/'?>"),
    "utf-16": called("x").decode().encode("utf-16"),
    "utf-16 without a mark": called("x").decode().encode("utf-16-le"),
    "utf-16 that says so": called("x").decode().replace("?>", " encoding='utf-16'?>", 1).encode("utf-16"),
    "utf-7": called("+ADw-").replace(b"?>", b" encoding='utf-7'?>", 1),
    "latin-1": called("x").replace(b"?>", b" encoding='iso-8859-1'?>", 1),
    "bytes that are no utf-8": called("x").replace(b"search", b"s\xffarch"),
    "nothing": b"",
    "text": b"search numpy",
    "html": b"<!doctype html><html><body>",
    "another document": b"<methodResponse/>",
    "half a call": called("x")[:-30],
    "two calls": called("x") * 2,
    "10 MB": called("x" * 10_000_000),
    "100,000 deep": called("<value>" * 100_000),
    "deep, and short": called("<array><data><value>" * MAX_DEPTH),
    "5,000 digits": called(f"<int>{'9' * 5000}</int>"),
    "no digits": called("<int>one</int>"),
    "a bad date": called("<dateTime.iso8601>20261399T99:99:99</dateTime.iso8601>"),
    "a bad boolean": called("<boolean>2</boolean>"),
    "a bad double": called("<double>1,5</double>"),
    "a bad base64": called("<base64>\N{SNOWMAN}</base64>"),
    "a decimal": called("<bigdecimal>1e999999999</bigdecimal>"),
    "a fault": b"<methodCall><fault><value><struct/></value></fault></methodCall>",
    "an extension": called("<ex:nil xmlns:ex='x'/>"),
    "a member without a value": called("<struct><member><name>a</name></member></struct>"),
    "a name that is a list": called(
        "<struct><member><value><array><data/></array></value><value>x</value></member></struct>"
    ),
    "no method": b"<methodCall><params/></methodCall>",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_plain_call_is_a_fault(body: bytes) -> None:
    found = read_call(body)
    assert isinstance(found, Fault)
    assert found.code == NOT_READABLE
    assert "root:" not in found.sentence


def test_a_call_of_pip_is_read() -> None:
    spec = {"name": ["acme", "été"], "summary": ["acme"]}
    body = xmlrpc.client.dumps((spec, "or"), "search").encode()
    assert read_call(body) == Call("search", (spec, "or"))
    assert read_call(body.replace(b"?>", b" encoding='UTF-8'?>", 1)) == Call("search", (spec, "or"))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_call_or_a_fault(body: bytes) -> None:
    assert isinstance(read_call(body), Call | Fault)


TAGS = st.sampled_from(sorted(_ELEMENTS | {"fault"}))
TREES = st.recursive(
    st.text(st.characters(exclude_characters="<&", exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.builds(lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>", TAGS, st.lists(inner, max_size=4)),
    max_leaves=30,
)


@given(TREES)
def test_any_elements_of_xml_rpc_are_a_call_or_a_fault(tree: str) -> None:
    wrapped = f"<methodCall><methodName>search</methodName><params>{tree}</params></methodCall>"
    for body in (tree, wrapped):
        found = read_call(body.encode())
        assert isinstance(found, Call | Fault)
        if isinstance(found, Call):
            read_query(found.params)


@given(st.text())
def test_any_text_can_be_answered(text: str) -> None:
    """A control character in a summary would break the answer for whoever finds it."""
    hit: dict[str, str | bool] = {"name": "acme", "summary": writable(text), "version": "1.0"}
    (answer,), _ = xmlrpc.client.loads(write_answer([hit]))
    assert answer == [hit]
    with pytest.raises(xmlrpc.client.Fault):
        xmlrpc.client.loads(write_fault(Fault(NO_METHOD, text)))


@pytest.mark.parametrize(
    "params",
    [
        (["name"],),
        ("acme",),
        ({"name": "acme"}, "xor"),
        ({"name": "acme"}, ["or"]),
        ({"name": "acme"}, "or", "more"),
        ({"name": [["acme"]]}, "or"),
        ({"name": 7}, "or"),
        ({"name": ["x"] * (2 * MOST_WORDS + 1)}, "or"),
    ],
)
def test_a_search_for_nonsense_is_a_fault(params: tuple[object, ...]) -> None:
    assert isinstance(read_query(params), Fault)


def everything(name: NormalizedName) -> bool:
    return True


class Client:
    """Posts calls, as pip does."""

    def __init__(self, house: House, searching: Search, session: aiohttp.ClientSession, url: str) -> None:
        self.house = house
        self.search = searching
        self.session = session
        self.url = url

    async def post(self, body: bytes, **headers: str) -> bytes:
        sent = {"Content-Type": "text/xml", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.session.post(self.url, data=io.BytesIO(body), headers=sent) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/xml"
            assert response.headers["Cache-Control"] == "no-store"
            return await response.read()

    async def call(self, *params: Any, method: str = "search") -> Any:
        (answer,), _ = xmlrpc.client.loads(await self.post(xmlrpc.client.dumps(params, method).encode()))
        return answer

    async def pip(self, *words: str) -> list[str]:
        """The names that `pip search` would print."""
        found = await self.call({"name": list(words), "summary": list(words)}, "or")
        return [hit["name"] for hit in found]

    async def publish(self, name: str, version: str = "1.0", *, summary: str = "made for a test") -> None:
        """Upload a wheel with the metadata beside it."""
        filename, body = make.wheel(name, version)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n".encode()
        listed = file(filename, body, core_metadata={"sha256": hashlib.sha256(metadata).hexdigest()})
        path = self.house.folder / f"{filename}.upload"
        path.write_bytes(body)
        await self.house.publishing.upload(canonicalize_name(name), listed, path, metadata)

    async def look_at(self, name: str, version: str = "1.0") -> None:
        """Have somebody ask for the page of a public project."""
        filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        self.house.upstream.publish(name, filename)
        self.search.saw(await self.house.repository.project(canonicalize_name(name)), "pip")


@asynccontextmanager
async def serving(house: House, may: Callable[[NormalizedName], bool] = everything) -> AsyncIterator[Client]:
    searching = Search(house.repository, house.store)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await searching.answer(request, may)

    async with RawTestServer(answer) as server, aiohttp.ClientSession() as session:
        yield Client(house, searching, session, str(server.make_url("/pypi")))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    policy = Policy(claim="allow", reserved=(NamePattern("corp-*"),))
    async with serving(House(tmp_path, policy)) as client:
        yield client


async def test_a_private_project_is_found_by_name_and_by_summary(client: Client) -> None:
    await client.publish("Acme_SDK", "1.9", summary="Talks to the Roadrunner")
    await client.publish("Acme_SDK", "1.10", summary="Talks to the Coyote")
    hit = {"name": "acme-sdk", "version": "1.10", "summary": "Talks to the Coyote", "_pypi_ordering": False}
    for word in ("acme", "ACME.SDK", "me-s", "coyote"):
        assert await client.call({"name": [word], "summary": [word]}, "or") == [hit]
    assert await client.pip("roadrunner") == []
    assert client.house.upstream.asked == []


async def test_words_are_alternatives_and_fields_are_what_the_operator_says(client: Client) -> None:
    await client.publish("acme-sdk", summary="for coyotes")
    await client.publish("acme-web", summary="for birds")
    assert await client.pip("sdk", "birds") == ["acme-sdk", "acme-web"]
    both = await client.call({"name": "acme", "summary": "birds"}, "and")
    assert [hit["name"] for hit in both] == ["acme-web"]
    assert await client.call({"name": "acme", "summary": "birds"}) == both
    assert len(await client.call({"summary": "birds"})) == 1
    assert await client.call({"name": "acme", "author": "birds"}, "and") == []
    assert len(await client.call({"name": "acme", "author": "birds"}, "or")) == 2
    assert await client.call({}, "or") == []
    assert await client.call({"name": [" ", ""]}, "or") == []


async def test_what_is_called_so_comes_first(client: Client) -> None:
    for name, summary in (("aaa", "not acme"), ("acme", "x"), ("aa-acme", "x")):
        await client.publish(name, summary=summary)
    assert await client.pip("acme") == ["acme", "aa-acme", "aaa"]


async def test_names_that_somebody_asked_the_index_for_are_found_without_another_question(client: Client) -> None:
    await client.look_at("numpy", "1.9")
    await client.look_at("numpy", "1.10")
    await client.look_at("numpy-stubs", "2.0rc1")
    asked = list(client.house.upstream.asked)
    found = await client.call({"name": ["num"], "summary": ["num"]}, "or")
    assert [(hit["name"], hit["version"]) for hit in found] == [("numpy", "1.10"), ("numpy-stubs", "2.0rc1")]
    assert await client.pip("scipy") == []
    assert client.house.upstream.asked == asked


async def test_a_public_project_is_never_shown_for_a_private_name(client: Client) -> None:
    await client.look_at("acme-sdk", "99.0")
    assert await client.pip("acme") == ["acme-sdk"]
    await client.publish("acme-sdk", "1.0")
    (hit,) = await client.call({"name": "acme"}, "or")
    assert hit["version"] == "1.0"
    await client.house.store.remove(["acme_sdk-1.0-py3-none-any.whl"])
    assert await client.pip("acme") == []


async def test_a_reserved_name_is_not_shown(client: Client) -> None:
    evil = Project(
        name=canonicalize_name("corp-x"), files={"f": file("corp_x-9.tar.gz", origin="pypi")}, versions=("9",)
    )
    client.search.saw(evil, "pip")
    assert await client.pip("corp") == []


async def test_only_what_may_be_read_is_found(tmp_path: Path) -> None:
    house = House(tmp_path, Policy(claim="allow"))
    async with serving(house, lambda name: name.startswith("open-")) as client:
        await client.publish("open-sdk", summary="for coyotes")
        await client.publish("shut-sdk", summary="for coyotes")
        await client.look_at("public-sdk")
        assert await client.pip("sdk") == ["open-sdk", "public-sdk"]
        assert await client.pip("coyotes") == ["open-sdk"]


async def test_a_quarantined_project_is_not_found(client: Client) -> None:
    await client.publish("acme-sdk")
    await client.house.store.settle(canonicalize_name("acme-sdk"), Standing(status="quarantined"))
    assert await client.pip("acme") == []


async def test_no_more_than_a_hundred_are_found(client: Client) -> None:
    for number in range(MOST_HITS // 2):
        await client.publish(f"acme-{number}")
    for number in range(MOST_HITS):
        await client.look_at(f"acme-public-{number}")
    assert len(await client.pip("acme")) == MOST_HITS


async def test_a_summary_is_read_once_and_shown_on_one_line(client: Client) -> None:
    await client.publish("acme-sdk", summary="Talks\x08 <b>to</b>\N{BELL} & \N{SNOWMAN}")
    (hit,) = await client.call({"summary": "talks"}, "or")
    assert hit["summary"] == "Talks <b>to</b>\N{BELL} & \N{SNOWMAN}"
    client.house.store._files["acme_sdk-1.0-py3-none-any.whl"].metadata = None
    assert await client.pip("talks") == ["acme-sdk"]


async def test_a_project_without_metadata_has_no_summary(client: Client) -> None:
    await client.house.upload("acme-sdk", "acme_sdk-1.0.tar.gz")
    (hit,) = await client.call({"name": "acme"}, "or")
    assert (hit["version"], hit["summary"]) == ("1.0", "")


async def test_what_is_remembered_of_the_index_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEEN_ROOM", 1000)
    for number in range(20):
        await client.look_at(f"numpy-{number}")
    await client.look_at("numpy-19", "2.0")
    assert await client.pip("numpy") == ["numpy-16", "numpy-17", "numpy-18", "numpy-19"]


@pytest.mark.parametrize(
    "method", ["list_packages", "changelog_last_serial", "system.listMethods", "release_data", "x" * 1000]
)
async def test_every_other_method_is_a_fault_that_says_where_to_look(client: Client, method: str) -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        await client.call(method=method)
    assert caught.value.faultCode == NO_METHOD
    assert "/pypi/<name>/json" in caught.value.faultString
    assert len(caught.value.faultString) < 300


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_calls_are_answered_with_a_fault(client: Client, body: bytes) -> None:
    with pytest.raises(xmlrpc.client.Fault):
        xmlrpc.client.loads(await client.post(body))
    assert await client.pip("acme") == []


async def test_a_packed_call_is_refused_once_it_unpacks_to_too_much(client: Client) -> None:
    packed = zlib.compress(called("x" * 50 * MAX_CALL))
    assert len(packed) < MAX_CALL
    with pytest.raises(xmlrpc.client.Fault):
        xmlrpc.client.loads(await client.post(packed, Content_Encoding="deflate"))


async def test_a_call_that_is_not_packed_as_it_says_costs_no_traceback(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with suppress(aiohttp.ClientError, xmlrpc.client.Fault):
        xmlrpc.client.loads(await client.post(b"no deflate", Content_Encoding="deflate"))
    assert await client.pip("acme") == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_call_that_does_not_come_in_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SECONDS", 0.05)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"<methodCall>"
        await asyncio.sleep(1.0)
        yield b"</methodCall>"

    async with client.session.post(client.url, data=slowly(), headers={"Content-Type": "text/xml"}) as response:
        with pytest.raises(xmlrpc.client.Fault, match="did not come in"):
            xmlrpc.client.loads(await response.read())


async def test_a_store_that_cannot_be_read_is_a_fault(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down() -> Any:
        raise StoreDown("The store is away.")

    monkeypatch.setattr(client.house.store, "claimed", down)
    with pytest.raises(xmlrpc.client.Fault, match=r"The store is away\."):
        await client.pip("acme")


async def test_summaries_that_take_too_long_cost_no_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("acme", "beta", "zeta"):
        await client.publish(name, summary="for coyotes")
    read, stuck = client.house.store.open, asyncio.Event()

    async def opened(listed: Any) -> Any:
        if listed.filename.startswith("beta"):
            await stuck.wait()
        return await read(listed)

    monkeypatch.setattr(search, "SECONDS", 0.3)
    monkeypatch.setattr(client.house.store, "open", opened)
    assert await client.pip("coyotes") == ["acme"]
