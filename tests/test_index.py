"""The Simple index over real sockets: the rules of the PEPs and of the clients that read it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from aiohttp.test_utils import RawTestServer
from packaging.utils import NormalizedName, canonicalize_name

from proxy.administration import Administration
from proxy.errors import NotFound
from proxy.policy import Policy
from proxy.rights import WITHOUT_RULES, Rule
from proxy.simple.model import HTML, JSON, TEXT, File
from proxy.simple.names import NamePattern
from proxy.storage import Blob
from proxy.tokens import Tokens
from proxy.web.api import Api
from proxy.web.app import App, View
from proxy.web.auth import Auth
from proxy.web.documents import Documents
from proxy.web.fields import Fields
from proxy.web.files import Files
from proxy.web.htpasswd import Htpasswd
from proxy.web.index import ProjectPages, RootPage
from proxy.web.integrity import Integrity
from proxy.web.limits import Tries
from proxy.web.peers import Peers
from proxy.web.search import Search

from .make import NOON, file
from .test_repository import House

PIP = f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"
UV = f"{JSON}, {HTML};q=0.2, text/html;q=0.01"
NOW = 1_700_000_100.0
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Client:
    """Asks a running App, and decodes and follows nothing."""

    def __init__(self, house: House, app: App, session: aiohttp.ClientSession, origin: str) -> None:
        self.house = house
        self.app = app
        self.session = session
        self.origin = origin

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method,
            self.origin + path,
            headers=sent,
            allow_redirects=False,
            skip_auto_headers={"Accept", "Accept-Encoding"},
        ) as response:
            return Answer(response.status, response.headers, await response.read())


class Answer:
    """Status, header fields and body as they came."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def serve(house: House, htpasswd: Path, *, closed: bool = False, rules: tuple[Rule, ...] = WITHOUT_RULES) -> App:
    fields = Fields(private=closed)
    peers = Peers()
    repository = house.repository
    auth = Auth(
        Htpasswd(htpasswd),
        peers,
        tokens=Tokens(house.store, now=lambda: NOON),
        tries=Tries(),
        rules=rules,
        read="users" if closed else "anyone",
    )
    office = Administration(publishing=house.publishing, people=house.store, now=lambda: NOON)

    async def upload(request: Any) -> Any:
        raise AssertionError("not used here")

    view = View(
        repository=repository,
        projects=ProjectPages(repository, fields, room=10**7, now=lambda: NOW),
        root=RootPage(repository, fields, policy=house.policy),
        files=Files(repository, fields, patience=5.0),
    )
    return App(
        view=view,
        alone={"pypi": view},
        documents=Documents(repository, fields, room=10**6),
        integrity=Integrity(repository, fields),
        search=Search(repository, house.store),
        api=Api(office, auth.administrator),
        auth=auth,
        peers=peers,
        upload=upload,
        status=lambda: b'{"indexes": []}',
        public_url="",
        reading_needs_user=closed,
        anyone_may_upload=False,
    )


@pytest.fixture
async def client(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    house = House(tmp_path, Policy(claim="allow", reserved=(NamePattern("acme-*"),)))
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl", b"bytes")
    app = serve(house, tmp_path / "htpasswd", closed=getattr(request, "param", False))
    async with RawTestServer(app) as server, aiohttp.ClientSession(auto_decompress=False) as session:
        yield Client(house, app, session, str(server.make_url("")).rstrip("/"))


async def test_a_normalised_name_is_answered_directly(client: Client) -> None:
    assert (await client.ask("/simple/numpy/")).status == 200  # rule 1


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple/numpy", "numpy/"),
        ("/simple/NumPy/", "../numpy/"),
        ("/simple/Num_Py", "num-py/"),
        ("/simple", "simple/"),
    ],
)
async def test_other_spellings_lead_to_the_one_true_address(client: Client, path: str, location: str) -> None:
    answer = await client.ask(path)
    assert (answer.status, answer.headers["Location"]) == (301, location)  # rule 2
    assert client.house.upstream.asked == []


@pytest.mark.parametrize("path", ["/simple//numpy/", "//simple/numpy/", "/pypi/simple/numpy/", "/simple/nump%79/"])
async def test_double_slashes_prefixes_and_encodings_are_the_same_page(client: Client, path: str) -> None:
    plain = await client.ask("/simple/numpy/", Accept=JSON)
    assert (await client.ask(path, Accept=JSON)).body == plain.body  # rules 5, 6 and 10


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (PIP, JSON),
        (UV, JSON),
        (f"{JSON}, */*;q=0.1", JSON),
        (f"{HTML};q=0.2, {JSON}, text/html;q=0.01", JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        ("application/vnd.pypi.simple.latest+html", HTML),
        (HTML, HTML),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/html", TEXT),
        (BROWSER, TEXT),
        ("", TEXT),
        ("application/json", TEXT),
        (f"{JSON};q=0, */*", TEXT),
    ],
)
async def test_the_representation_that_each_client_gets(client: Client, accept: str, kind: str) -> None:
    answer = await client.ask("/simple/numpy/", Accept=accept)
    # Exact: devpi and uv compare the JSON type to the letter (rule 17).
    assert answer.headers["Content-Type"] == (f"{kind}; charset=utf-8" if kind == TEXT else kind)


async def test_the_format_parameter_wins_over_accept(client: Client) -> None:
    for spelled in (JSON.replace("+", "%2B"), JSON):
        answer = await client.ask(f"/simple/numpy/?format={spelled}", Accept="text/html")
        assert answer.headers["Content-Type"] == JSON  # rule 16
    assert (await client.ask("/simple/numpy/?format=nonsense", Accept=HTML)).headers["Content-Type"] == HTML


async def test_no_key_of_a_json_page_is_null(client: Client) -> None:
    page = (await client.ask("/simple/numpy/", Accept=JSON)).json
    assert page["meta"]["api-version"] == "1.4"
    assert page["name"] == "numpy"
    assert page["versions"] == ["1.0"]
    (file,) = page["files"]
    assert file["size"] == 5
    assert file["upload-time"] == "2026-01-15T12:00:00Z"
    assert file["yanked"] is False
    assert None not in file.values()  # rule 30


async def test_links_are_relative_and_end_in_the_filename(client: Client) -> None:
    page = (await client.ask("/simple/numpy/", Accept=JSON)).json
    assert re.fullmatch(
        r"\.\./\.\./packages/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/numpy-1\.0-py3-none-any\.whl", page["files"][0]["url"]
    )  # rules 7 to 9


@pytest.mark.parametrize("accept", [JSON, HTML, TEXT])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_each_representation_has_its_own_strong_tag_and_304_repeats_it(
    client: Client, accept: str, coding: str
) -> None:
    answer = await client.ask("/simple/numpy/", Accept=accept, Accept_Encoding=coding)
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"'  # rule 59
    assert answer.headers["Cache-Control"] == "max-age=0, must-revalidate"  # rule 58
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"  # rule 19
    assert "Date" in answer.headers  # rule 62
    tag = answer.headers["ETag"]
    for validator in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = await client.ask("/simple/numpy/", Accept=accept, Accept_Encoding=coding, If_None_Match=validator)
        assert (again.status, again.body) == (304, b"")  # rule 60
        for name in ("ETag", "Cache-Control", "Vary"):
            assert again.headers[name] == answer.headers[name]
    assert (await client.ask("/simple/numpy/", Accept=accept, If_None_Match='"other"')).status == 200


async def test_the_tags_of_all_representations_differ(client: Client) -> None:
    tags = {
        (await client.ask("/simple/numpy/", Accept=accept, Accept_Encoding=coding)).headers["ETag"]
        for accept in (JSON, TEXT)
        for coding in ("identity", "gzip")
    }
    assert len(tags) == 4


async def test_gzip_only_for_who_asks(client: Client) -> None:
    plain = await client.ask("/simple/numpy/", Accept=JSON)
    packed = await client.ask("/simple/numpy/", Accept=JSON, Accept_Encoding="gzip, deflate")
    assert "Content-Encoding" not in plain.headers  # rule 48
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "Content-Encoding" not in (await client.ask("/simple/numpy/", Accept_Encoding="gzip;q=0")).headers


@pytest.mark.parametrize("accept", [JSON, TEXT])
async def test_head_says_what_get_would(client: Client, accept: str) -> None:
    get = await client.ask("/simple/numpy/", Accept=accept)
    head = await client.ask("/simple/numpy/", "HEAD", Accept=accept)
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Vary", "Cache-Control"):
        assert head.headers[name] == get.headers[name]  # rule 11


async def test_a_warm_request_writes_nothing(client: Client) -> None:
    for coding in ("gzip", "identity"):
        await client.ask("/simple/numpy/", Accept=JSON, Accept_Encoding=coding)
    writes = client.app.view.projects.writes
    for _ in range(10):
        await client.ask("/simple/numpy/", Accept=JSON, Accept_Encoding="gzip")
        await client.ask("/simple/numpy/", Accept=JSON)
    assert client.app.view.projects.writes == writes == 2


async def test_a_crowd_has_a_page_written_once(client: Client) -> None:
    await asyncio.gather(*(client.ask("/simple/numpy/", Accept=JSON) for _ in range(30)))
    assert client.app.view.projects.writes == 1


async def test_an_upload_shows_at_once_in_every_representation(client: Client) -> None:
    for filename, body in (("acme_sdk-1.0-py3-none-any.whl", b"one"), ("acme_sdk-1.1-py3-none-any.whl", b"two")):
        await client.house.upload("acme-sdk", filename, body)
        for accept in (JSON, HTML, TEXT):
            for coding in ("gzip", "identity"):
                answer = await client.ask("/simple/acme-sdk/", Accept=accept, Accept_Encoding=coding)
                text = gzip.decompress(answer.body) if coding == "gzip" else answer.body
                assert filename.encode() in text  # rule 86


async def attest(house: House, filename: str) -> None:
    """Upload *filename* of acme-sdk, with provenance."""
    body = house.folder / f"{filename}.upload"
    await asyncio.to_thread(body.write_bytes, b"ours")
    given = file(filename, b"ours")
    await house.publishing.upload(canonicalize_name("acme-sdk"), given, body, None, provenance=b"{}")


async def test_provenance_is_at_the_address_by_which_the_client_came(client: Client) -> None:
    """And what a client has of the page under one address does not hold for another (decision 17)."""
    filename = "acme_sdk-1.0-py3-none-any.whl"
    await attest(client.house, filename)
    tags = set[str]()
    for host in ("one.example", "two.example:8080", "one.example"):
        for accept, quoted in ((JSON, '"provenance":'), (HTML, "data-provenance="), (TEXT, "data-provenance=")):
            answer = await client.ask("/simple/acme-sdk/", Accept=accept, Host=host)
            place = f"http://{host}/integrity/acme-sdk/1.0/{filename}/provenance"
            assert f'{quoted}"{place}"'.encode() in answer.body
            tags.add(answer.headers["ETag"])
            again = await client.ask("/simple/acme-sdk/", Accept=accept, Host=host, If_None_Match=", ".join(tags))
            assert again.status == 304
    assert len(tags) == 4  # both kinds of HTML are the same bytes
    for host in ("", "a/b", "one.example, two.example", "a b", '"><script>', "x" * 300):
        for accept in (JSON, HTML):
            answer = await client.ask("/simple/acme-sdk/", Accept=accept, Host=host)
            assert (answer.status, b"provenance" in answer.body) == (200, False)
            assert answer.headers["ETag"] not in tags


async def test_of_a_page_that_many_hosts_are_asked_for_one_is_kept(client: Client) -> None:
    """Or whoever makes up Host headers would fill the memory, or push everybody else's pages out of it."""
    filename = "acme_sdk-1.0-py3-none-any.whl"
    await attest(client.house, filename)
    pages = client.app.view.projects
    await client.ask("/simple/numpy/", Accept=JSON)
    await client.ask("/simple/acme-sdk/", Accept=JSON)
    held, size = len(pages._held), pages._size
    for number in range(100, 150):
        answer = await client.ask("/simple/acme-sdk/", Accept=JSON, Host=f"host-{number}.example")
        assert answer.json["files"][0]["provenance"].startswith(f"http://host-{number}.example/")
        await client.ask("/simple/numpy/", Accept=JSON, Host=f"host-{number}.example")
    assert len(pages._held) == held
    assert pages._size < size + 100
    assert pages._writing == {}
    assert pages.writes == 2 + 50  # none of them numpy's


async def test_one_address_has_its_page_written_once(client: Client) -> None:
    await attest(client.house, "acme_sdk-1.0-py3-none-any.whl")
    for _ in range(3):
        await asyncio.gather(*(client.ask("/simple/acme-sdk/", Accept=JSON, Host="one.example") for _ in range(10)))
    assert client.app.view.projects.writes == 1


async def test_a_crowd_by_two_addresses_gets_two_pages(client: Client) -> None:
    await attest(client.house, "acme_sdk-1.0-py3-none-any.whl")
    hosts = [f"{'one' if number % 2 else 'two'}.example" for number in range(30)]
    answers = await asyncio.gather(*(client.ask("/simple/acme-sdk/", Accept=JSON, Host=host) for host in hosts))
    for host, answer in zip(hosts, answers, strict=True):
        assert answer.json["files"][0]["provenance"].startswith(f"http://{host}/")


async def test_an_unknown_project_is_404_and_not_stored_by_anybody(client: Client) -> None:
    answer = await client.ask("/simple/nothing-like-it/", Accept=PIP)
    assert (answer.status, answer.headers["Cache-Control"]) == (404, "no-store")  # rules 63 and 67
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.body.count(b"\n") == 1


async def test_a_reserved_name_without_files_is_200(client: Client) -> None:
    assert (await client.ask("/simple/acme-new/", Accept=JSON)).json["files"] == []
    assert client.house.upstream.asked == []


async def test_an_outage_is_503_with_whole_seconds(client: Client) -> None:
    client.house.upstream.down = True
    answer = await client.ask("/simple/numpy/", Accept=JSON)
    assert answer.status == 503  # rule 69
    assert answer.headers["Retry-After"].isdigit()  # rule 72


async def test_uv_reads_errors_as_json(client: Client) -> None:
    accept = "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7"
    answer = await client.ask("/simple/nothing-like-it/", Accept=accept)
    assert answer.headers["Content-Type"] == "application/json"  # rule 17, without a charset
    assert set(answer.json) == {"message", "code", "title"}


@pytest.mark.parametrize("path", ["/simple/", "/simple/numpy/"])
async def test_a_post_to_the_index_names_the_upload_address(client: Client, path: str) -> None:
    answer = await client.ask(path, "POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")  # rule 75, decision 18
    assert b"/legacy/" in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_other_methods_are_not_allowed(client: Client, method: str) -> None:
    assert (await client.ask("/simple/numpy/", method)).status == 405


async def test_a_page_runs_nothing_in_a_browser_and_may_be_read_from_other_origins(client: Client) -> None:
    headers = (await client.ask("/simple/numpy/", Accept=BROWSER)).headers
    assert headers["Content-Security-Policy"] == "sandbox allow-top-navigation; default-src 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] == "*"  # rule 66
    assert "X-PyPI-Last-Serial" not in headers  # rule 65


@pytest.mark.parametrize("path", ["/_/oidc/audience", "/+api", "/pypi/numpy", "/.well-known/pytp"])
async def test_what_is_not_here_is_a_plain_404(client: Client, path: str) -> None:
    answer = await client.ask(path, Accept="*/*")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")  # rules 82 and 90


@pytest.mark.parametrize("client", [True], indirect=True)
@pytest.mark.parametrize(
    "path", ["/", "/simple/", "/simple/numpy/", "/simple/nothing/", "/packages/x-1.0.tar.gz", "/nowhere"]
)
async def test_a_closed_index_asks_for_a_password_everywhere(client: Client, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = await client.ask(path, method)
        assert answer.status == 401  # rules 77 and 79
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert answer.headers["Cache-Control"] == "no-store"
    assert (await client.ask("/-/health")).status == 200


class Names:
    """A root list of the index, as a file."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.path = folder / "names"
        self.path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")

    async def open(self) -> Blob:
        body = await asyncio.to_thread(self.path.read_bytes)
        handle = await asyncio.to_thread(open, self.path, "rb", 0)
        return Blob(handle=handle, size=len(body), sha256=hashlib.sha256(body).hexdigest(), modified=0.0)


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_the_root_list_holds_our_names_and_the_indexs(client: Client, tmp_path: Path, coding: str) -> None:
    many = [f"name-{number:05}" for number in range(30_000)]
    client.house.repository._root = Names(tmp_path, ["acme-secret", "acme-sdk", *many]).open
    await client.house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    answer = await client.ask("/simple/", Accept=JSON, Accept_Encoding=coding)
    body = gzip.decompress(answer.body) if coding == "gzip" else answer.body
    # A reserved name of the index is not shown: its page would be ours, and is empty.
    assert [project["name"] for project in json.loads(body)["projects"]] == ["acme-sdk", *many]
    html = await client.ask("/simple/", Accept="text/html")
    assert re.findall(rb'<a href="([^"]+)">', html.body)[:2] == [b"acme-sdk/", b"name-00000/"]  # rule 27
    again = await client.ask("/simple/", Accept=JSON, Accept_Encoding=coding, If_None_Match=answer.headers["ETag"])
    assert (again.status, again.headers["ETag"]) == (304, answer.headers["ETag"])
    head = await client.ask("/simple/", "HEAD", Accept=JSON, Accept_Encoding=coding)
    assert (head.status, head.headers["ETag"], head.body) == (200, answer.headers["ETag"], b"")
    await client.house.upload("acme-two", "acme_two-1.0-py3-none-any.whl", b"two")
    assert (await client.ask("/simple/", Accept=JSON, Accept_Encoding=coding)).headers["ETag"] != answer.headers["ETag"]


async def test_the_root_list_shows_each_user_what_that_user_may_read(client: Client, tmp_path: Path) -> None:
    """A public name that ours hides stays hidden: who could not see either would ask the index for the wrong one."""
    htpasswd = tmp_path / "users"
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    htpasswd.write_text(f"alice:{hashed}\nbob:{hashed}\n", encoding="utf-8")
    rules = (Rule(user="alice"), Rule(user="bob", names=(NamePattern("acme-sdk"),)))
    app = serve(client.house, htpasswd, closed=True, rules=rules)
    client.house.repository._root = Names(tmp_path, ["acme-two", "numpy", "other"]).open
    for number, name in enumerate(("acme-sdk", "acme-two", "other")):
        await client.house.upload(name, f"{name.replace('-', '_')}-1.0-py3-none-any.whl", bytes([number]))
    seen = dict[str, tuple[list[str], str]]()
    async with RawTestServer(app) as server:
        asking = Client(client.house, app, client.session, str(server.make_url("")).rstrip("/"))

        async def look(user: str) -> tuple[list[str], str]:
            login = aiohttp.encode_basic_auth(user, "secret")
            answer = await asking.ask("/simple/", Accept=JSON, Authorization=login)
            head = await asking.ask("/simple/", "HEAD", Accept=JSON, Authorization=login)
            assert head.headers["ETag"] == answer.headers["ETag"]
            html = (await asking.ask("/simple/", Accept="text/html", Authorization=login)).body.decode()
            names = [project["name"] for project in answer.json["projects"]]
            assert re.findall(r'<a href="([^"]+)/">', html) == names
            return names, answer.headers["ETag"]

        for user in ("alice", "bob"):
            seen[user] = await look(user)
        assert seen["alice"][0] == ["acme-sdk", "acme-two", "other", "numpy"]
        assert seen["bob"][0] == ["acme-sdk", "numpy"]
        assert seen["alice"][1] != seen["bob"][1]
        await client.house.upload("numpy", "numpy-9.0-py3-none-any.whl", b"nine")
        names, tag = await look("bob")
        assert names == ["acme-sdk"]  # one that bob may not see has taken the public one's place
        assert tag != seen["bob"][1]


async def test_without_an_index_the_root_list_is_ours(client: Client) -> None:
    await client.house.upload("acme-sdk", "acme_sdk-1.0-py3-none-any.whl")
    assert (await client.ask("/simple/", Accept=JSON)).json["projects"] == [{"name": "acme-sdk"}]


async def test_a_failure_of_our_own_is_one_sentence_and_no_traceback(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(client.house.upstream, "project", fail)
    answer = await client.ask("/simple/numpy/", Accept=JSON)
    assert answer.status == 500
    assert b"secret detail" not in answer.body
    assert b"Traceback" not in answer.body


async def test_a_wheel_is_served_with_what_downloaders_need(client: Client) -> None:
    link = (await client.ask("/simple/numpy/", Accept=JSON)).json["files"][0]["url"].removeprefix("../..")
    first = await client.ask(link)
    assert (first.status, first.body) == (200, b"bytes")
    assert first.headers["ETag"] == f'"{hashlib.sha256(b"bytes").hexdigest()}"'
    assert first.headers["Cache-Control"] == "public, max-age=365000000, immutable"  # rule 61
    assert first.headers["Content-Type"] == "application/octet-stream"  # rule 51
    assert first.headers["Accept-Ranges"] == "bytes"
    assert "Content-Disposition" not in first.headers
    assert "Content-Encoding" not in first.headers  # rule 49
    while client.house.downloads.under_way:
        await asyncio.sleep(0)
    part = await client.ask(link, Range="bytes=1-2")
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"yt", "bytes 1-2/5")
    assert (await client.ask(link, If_None_Match=first.headers["ETag"])).status == 304


async def test_a_head_never_starts_a_download(client: Client) -> None:
    link = (await client.ask("/simple/numpy/", Accept=JSON)).json["files"][0]["url"].removeprefix("../..")
    head = await client.ask(link, "HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "5", b"")  # decision 16
    assert client.house.downloads.under_way == 0


async def test_a_promised_metadata_file_that_no_mirror_gives_is_not_called_absent(client: Client) -> None:
    class Nowhere:
        async def obtain(self, file: File, sha256: str | None) -> Blob:
            raise NotFound("No mirror has it.")

    listed = client.house.upstream.publish("numpy", "numpy-2.0-py3-none-any.whl", core_metadata=True)
    client.house.repository._downloads = Nowhere()  # type: ignore[assignment]  # the one verb that is asked
    assert (await client.ask(f"/packages/{listed.path}/{listed.filename}.metadata")).status == 503  # rule 42
    assert (await client.ask(f"/packages/{listed.path}/{listed.filename}")).status == 404


async def test_a_page_says_which_mirror_it_came_from_and_how_old_it_is(client: Client) -> None:
    fresh = await client.ask("/simple/numpy/")
    assert fresh.headers["Yizhan-Source"] == '"one";age=10;fetched=100'
    again = await client.ask("/simple/numpy/", If_None_Match=fresh.headers["ETag"])
    assert (again.status, again.headers["Yizhan-Source"]) == (304, fresh.headers["Yizhan-Source"])
    assert (await client.ask("/simple/acme-sdk/")).headers["Yizhan-Source"] == "private"


async def test_an_index_alone_is_a_view_of_its_own(client: Client, tmp_path: Path) -> None:
    other = House(tmp_path / "other", Policy(reserved=(NamePattern("acme-*"),)))
    listed = other.upstream.publish("torch", "torch-1.0+cpu-py3-none-any.whl", b"cpu")
    object.__setattr__(client.app, "alone", {"cpu": serve(other, tmp_path / "htpasswd").view})
    assert b"torch-1.0" in (await client.ask("/cpu/simple/torch/")).body
    assert (await client.ask("/simple/torch/")).status == 404
    assert (await client.ask("/cpu/simple/numpy/")).status == 404
    assert (await client.ask("/cpu/simple/acme-sdk/")).status == 200  # private there too
    assert (await client.ask("/cpu/simple/Torch")).headers["Location"] == "torch/"
    assert set(other.upstream.asked) == {"torch", "numpy"}
    assert (await client.ask(f"/packages/{listed.path}/{listed.filename}")).status == 404  # not on a page of this view
    assert (await client.ask(f"/cpu/packages/{listed.path}/{listed.filename}", method="HEAD")).status == 200


@pytest.mark.parametrize("client", [False, True], indirect=True)
async def test_the_status_is_for_whoever_may_read(client: Client) -> None:
    answer = await client.ask("/-/status")
    if client.app.reading_needs_user:
        assert answer.status == 401
    else:
        assert (answer.status, answer.json) == (200, {"indexes": []})
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_rule_that_hides_names_changes_the_tag_of_the_root_list(client: Client, tmp_path: Path) -> None:
    before = await client.ask("/simple/", Accept=JSON)
    root = RootPage(client.house.repository, Fields(private=False), policy=Policy())
    object.__setattr__(client.app.view, "root", root)
    assert (await client.ask("/simple/", Accept=JSON)).headers["ETag"] != before.headers["ETag"]


async def test_a_failure_in_the_middle_of_an_answer_breaks_the_line(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second head in its middle could pass for the rest of it."""

    def names_that_end(_: object) -> Iterator[NormalizedName]:
        yield from map(canonicalize_name, (f"name-{number}" for number in range(5000)))
        raise OSError("the disk is gone")

    client.house.repository._root = Names(tmp_path, ["demo"]).open
    monkeypatch.setattr("proxy.web.index._lines", names_that_end)
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.ask("/simple/", Accept=JSON)
