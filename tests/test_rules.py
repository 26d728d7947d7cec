"""Rules of the index and of the house that no other module's tests hold; numbers are those of the table in promises."""

from __future__ import annotations

import gzip
import os
import re
import time
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer
from packaging.utils import canonicalize_name

from proxy.config import load
from proxy.config.tables import Index
from proxy.errors import BadUpload
from proxy.policy import Policy
from proxy.rights import Caller, everything
from proxy.simple.model import HTML, JSON, TEXT
from proxy.upstream.guard import Guard
from proxy.upstream.sessions import open_sessions
from proxy.web import index

from .test_index import Client, Names, serve
from .test_repository import House

ROOT = Path(__file__).parent.parent

WORDS = """
[server]
listen = "127.0.0.1:8080"
[storage]
state = "/var/lib/yizhan"
cache = "/var/cache/yizhan"
[cache]
max_size = "50 GB"
[[index]]
name = "pypi"
mirrors = ["tuna", "aliyun", "ustc"]
fresh = "5 min"
hosts = []
networks = []
[private]
reserved = ["acme-*"]
overlay = []
claim = "explicit"
[auth]
htpasswd = "/etc/yizhan/htpasswd"
upload = "users"
read = "anyone"
clear_http = "private-networks"
"""
"""Of the configuration: what operators have written down can never mean something else."""


@pytest.fixture
async def client(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    house = House(tmp_path, Policy())
    house.upstream.publish("numpy", "numpy-1.0-py3-none-any.whl", b"bytes")
    app = serve(house, tmp_path / "htpasswd", closed=getattr(request, "param", False))
    async with RawTestServer(app) as server, aiohttp.ClientSession(auto_decompress=False) as session:
        yield Client(house, app, session, str(server.make_url("")).rstrip("/"))


# The index


@pytest.mark.parametrize("kind", [JSON, HTML, TEXT])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_the_root_list_is_negotiated_as_pages_are(client: Client, tmp_path: Path, kind: str, coding: str) -> None:
    """Rules 12 to 19, 48 and 58 to 60."""
    client.house.repository._root = Names(tmp_path, ["numpy"]).open
    answer = await client.ask("/simple/", Accept=kind, Accept_Encoding=coding)
    said = answer.headers
    assert said["Content-Type"] == (f"{kind}; charset=utf-8" if kind == TEXT else kind)
    assert said["Vary"] == "Accept, Accept-Encoding"
    assert said["Cache-Control"] == "max-age=0, must-revalidate"
    assert said.get("Content-Encoding", "identity") == coding
    assert re.fullmatch(r'"[0-9a-f]{64}"', said["ETag"])
    assert b"numpy" in (gzip.decompress(answer.body) if coding == "gzip" else answer.body)
    again = await client.ask("/simple/", Accept=kind, Accept_Encoding=coding, If_None_Match=said["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert [again.headers[name] for name in ("ETag", "Vary")] == [said["ETag"], said["Vary"]]
    others = [
        (other, way) for other in (JSON, HTML, TEXT) for way in ("gzip", "identity") if (other, way) != (kind, coding)
    ]
    tags = {(await client.ask("/simple/", Accept=other, Accept_Encoding=way)).headers["ETag"] for other, way in others}
    assert said["ETag"] not in tags
    assert len(tags) == 5


@pytest.mark.parametrize(
    "path", ["/", "/-/health", "/-/static/front.css", "/robots.txt", "/simple/none/", "/simple/numpy", "/nowhere"]
)
async def test_every_route_answers_head_as_it_answers_get(client: Client, path: str) -> None:
    """Rule 11."""
    get, head = await client.ask(path), await client.ask(path, "HEAD")
    assert (head.status, head.body) == (get.status, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Location"):
        assert head.headers.get(name) == get.headers.get(name)


def test_a_packed_page_is_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each restart would give it another tag (rule 59)."""
    packed = set[bytes]()
    for now in (1.0, 2e9):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        packed.add(index.gzip(b"page" * 1000))
    assert len(packed) == 1


@pytest.mark.parametrize("path", ["/simple/numpy/", "/simple/", "/nothing", "/packages/numpy-1.0-py3-none-any.whl"])
@pytest.mark.parametrize("client", [True], indirect=True)
async def test_no_shared_cache_keeps_what_only_users_may_read(
    client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decision 15."""

    async def let_in(_: object) -> Caller:
        return everything("ann")

    monkeypatch.setattr(client.app.auth, "reader", let_in)
    await client.house.upload("ours", "ours-1.0-py3-none-any.whl")
    for place in (path, "/packages/ours-1.0-py3-none-any.whl"):
        answer = await client.ask(place)
        assert answer.headers["Cache-Control"].startswith("private, " if answer.status == 200 else "no-store")
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_404_is_forgotten_with_the_first_upload(client: Client) -> None:
    """Rules 63 and 86."""
    assert (await client.ask("/simple/late-kit/")).status == 404
    await client.house.upload("late-kit", "late_kit-1.0-py3-none-any.whl")
    assert b"late_kit-1.0-py3-none-any.whl" in (await client.ask("/simple/late-kit/")).body


async def test_what_came_with_an_error_is_short_and_plain(client: Client) -> None:
    """Rule 73."""
    client.house.upstream.down = True
    for path, status in (("/simple/numpy/", 503), ("/simple/-/", 404), ("/packages/x-1.0.zip", 404), ("/legacy/", 405)):
        answer = await client.ask(path, Accept="*/*")
        assert (answer.status, answer.headers["Content-Type"]) == (status, "text/plain; charset=utf-8")
        assert (answer.body.count(b"\n"), len(answer.body) < 300) == (1, True)


async def test_a_release_has_one_sdist_whatever_it_is_packed_as(client: Client) -> None:
    """U9, through all that an upload passes."""
    await client.house.upload("ours", "ours-1.0.tar.gz")
    with pytest.raises(BadUpload, match="Only one sdist"):
        await client.house.upload("ours", "ours-1.0.zip", b"other")
    assert list((await client.house.repository.project(canonicalize_name("ours"))).files) == ["ours-1.0.tar.gz"]


# The front page


@pytest.mark.parametrize(
    ("path", "accepted", "language"),
    [("/", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"), ("/", "en-US,en", "en"), ("/?lang=zh", "en", "zh-CN"), ("/", "", "en")],
)
async def test_the_front_page_is_made_for_who_asks_and_where(
    client: Client, path: str, accepted: str, language: str
) -> None:
    for host, shown in (("pypi.lan:8080", "http://pypi.lan:8080/simple/"), ("a;b", "http://this-server/simple/")):
        answer = await client.ask(path, Accept_Language=accepted, Host=host)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        text = answer.body.decode()
        assert f'<html lang="{language}">' in text
        assert f"pip install --index-url {shown}" in re.sub(r"<[^>]*>", "", text)
        assert host in shown or host not in text
        assert answer.headers["Vary"] == "Accept-Language"
        for link in re.findall(r'(?:src|href)="(-/static/[^"]+)"', text):
            static = await client.ask(f"/{link}")
            assert static.status == 200
            assert (await client.ask(f"/{link}", If_None_Match=static.headers["ETag"])).status == 304


# Time


async def test_a_download_has_no_time_limit_as_a_whole() -> None:
    """Rule 57: aiohttp's own ends each after five minutes."""
    async with open_sessions(guard=Guard(), user_agent="yizhan/1", connect=2) as sessions:
        for session in (sessions._own, sessions._elsewhere, sessions._proxied):
            assert (session.timeout.total, session.timeout.sock_read) == (None, None)


def test_a_client_hears_of_a_silent_mirror_before_it_gives_up() -> None:
    """pip waits for 15 seconds (A11, A12)."""
    said = Index()
    assert said.connect_timeout + said.answer_timeout <= 10
    assert said.hard_deadline <= 10
    assert said.stall_timeout <= 20


# The house


def test_the_words_of_the_configuration_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "yizhan.toml").write_text(WORDS)
    settings = load(tmp_path / "yizhan.toml", environment={}).settings
    said = tomllib.loads(WORDS)
    assert str(settings.server.listen) == said["server"]["listen"]
    assert str(settings.storage.state) == said["storage"]["state"]
    assert str(settings.cache.max_size) == said["cache"]["max_size"]
    assert [str(mirror) for mirror in settings.index[0].mirrors] == said["index"][0]["mirrors"]
    assert str(settings.index[0].fresh) == said["index"][0]["fresh"]
    assert (settings.private.reserved, settings.private.claim) == (("acme-*",), "explicit")
    assert (str(settings.htpasswd), settings.auth.upload, settings.auth.read) == (
        "/etc/yizhan/htpasswd",
        "users",
        "anyone",
    )


def test_the_distribution_says_what_it_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert (project["project"]["name"], project["project"]["requires-python"]) == ("yizhan", ">=3.11")
    assert project["project"]["scripts"] == {"yizhan": "proxy.__main__:main"}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["proxy"]
    assert "test" in project["project"]["optional-dependencies"]
    declared = re.search(
        r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE
    )
    assert declared is not None
    for line in declared[1].splitlines():
        assert re.fullmatch(r'  "[\w-]+(>=|==)[^"]+", +# .+| +"isal[^"]+", +# .+', line), line


def test_everything_that_a_release_needs_is_there() -> None:
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert (ROOT / "systemd" / "yizhan.service").exists()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    english, chinese = readme.split("\n## 中文快速上手\n")
    for words in ("pip install", "yizhan serve", ".ci/run"):
        assert words in english
    assert "yizhan serve" in chinese
