"""web/pages/front.py: the same lines in both languages, and nothing in them but what belongs there."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.web.headers import PAGE_HEADERS
from proxy.web.pages.front import SOMEWHERE, STATIC, Language, language, render_front

VOID = {"meta", "link", "img"}


class Page(HTMLParser):
    """Elements, their attributes, and the text of every `<code id>` that is not hidden."""

    def __init__(self, source: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.commands: dict[str, str] = {}
        self.open: list[tuple[str, bool]] = []
        self.command = ""
        self.feed(source.decode())
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.elements.append((tag, said))
        if tag not in VOID:
            self.open.append((tag, "hidden" in said))
        if tag == "code" and said.get("id"):
            self.command = str(said["id"])
            self.commands[self.command] = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag
        if tag == "code":
            self.command = ""

    def handle_data(self, data: str) -> None:
        if self.command and not any(hidden for _, hidden in self.open):
            self.commands[self.command] += data


def page(
    host_url: str | None = "http://pypi.lan:8080",
    language: Language = "en",
    *,
    needs_credentials: bool = False,
    anyone_may_upload: bool = False,
) -> Page:
    return Page(
        render_front(
            host_url=host_url,
            language=language,
            needs_credentials=needs_credentials,
            anyone_may_upload=anyone_may_upload,
            version="1.2.3",
        )
    )


def test_the_lines_hold_the_address_of_the_server() -> None:
    lines = page("https://pypi.example").commands
    assert lines["index"] == "https://pypi.example/simple/"
    assert lines["pip-once"] == "pip install --index-url https://pypi.example/simple/ requests"
    assert lines["pip-config"] == "pip config set global.index-url https://pypi.example/simple/"
    assert lines["uv-shell"] == "export UV_DEFAULT_INDEX=https://pypi.example/simple/"
    assert lines["uv-toml"] == '[[index]]\nname = "yizhan"\nurl = "https://pypi.example/simple/"\ndefault = true'
    assert lines["twine"] == "twine upload --repository-url https://pypi.example/ dist/*"
    assert "\nrepository = https://pypi.example/\n" in lines["pypirc"]


@pytest.mark.parametrize("needs_credentials", [True, False])
@pytest.mark.parametrize("anyone_may_upload", [True, False])
@pytest.mark.parametrize("host_url", ["http://pypi.lan:8080", "https://pypi.lan", "http://127.0.0.1:8080", None])
def test_both_languages_have_the_same_commands(
    host_url: str | None, needs_credentials: bool, anyone_may_upload: bool
) -> None:
    english, chinese = (
        page(host_url, language, needs_credentials=needs_credentials, anyone_may_upload=anyone_may_upload)
        for language in ("en", "zh")
    )
    assert english.commands == chinese.commands
    assert len(english.commands) == 10 + needs_credentials


@pytest.mark.parametrize(
    ("host_url", "trusted"),
    [
        ("http://pypi.lan:8080", "pypi.lan"),
        ("http://10.0.0.1", "10.0.0.1"),
        ("http://[fd00::1]:8080", "[fd00::1]"),
        ("http://pypi.lan/prefix", "pypi.lan"),
        ("https://pypi.lan:8443", None),
        ("http://localhost:8080", None),
        ("http://127.0.0.1:8080", None),
        ("http://[::1]:8080", None),
    ],
)
def test_pip_is_told_to_trust_the_host_exactly_where_it_would_refuse_it(host_url: str, trusted: str | None) -> None:
    lines = page(host_url).commands
    assert ("--trusted-host" in lines["pip-once"]) == (trusted is not None)
    if trusted is not None:
        assert lines["pip-once"] == f"pip install --index-url {host_url}/simple/ --trusted-host {trusted} requests"
        assert lines["pip-config"].splitlines()[1:] == [f"pip config set global.trusted-host {trusted}"]
    else:
        assert "trusted" not in lines["pip-config"]


def test_a_password_is_shown_how_to_keep_only_where_reading_needs_one() -> None:
    assert "netrc" not in page().commands
    assert page(needs_credentials=True).commands["netrc"].startswith("machine pypi.lan\nlogin ")


def test_where_anyone_may_upload_twine_asks_for_nothing() -> None:
    lines = page(anyone_may_upload=True).commands
    assert lines["twine"] == "twine upload --repository-url http://pypi.lan:8080/ -u anyone -p anyone dist/*"
    assert lines["pypirc"].endswith("username = anyone\npassword = anyone")


def test_an_address_that_cannot_be_told_is_left_to_the_script() -> None:
    assert page(None).commands["index"] == f"{SOMEWHERE}/simple/"


HOSTILE = [
    'http://"><script>alert(1)</script>',
    "http://'onload=x",
    "http://[<img src=x>",
    "javascript:x",
    "{{ 7*7 }}",
    "\0",
]


@pytest.mark.parametrize("host_url", HOSTILE)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_hostile_host_stays_text(host_url: str, language: Language) -> None:
    harmless = page("http://pypi.lan", language).elements
    hostile = page(host_url, language)
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless]
    assert {name for _, said in hostile.elements for name in said} == {name for _, said in harmless for name in said}
    assert hostile.commands["index"] == f"{host_url}/simple/"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=40))
def test_any_host_stays_text(host: str) -> None:
    assert page(f"https://{host}").commands["index"] == f"https://{host}/simple/"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_runs_and_loads_nothing_but_our_own_files(language: Language) -> None:
    found = page(language=language)
    for tag, said in found.elements:
        assert tag not in {"style", "iframe", "base", "form"}
        assert not any(name.startswith("on") or name == "style" for name in said)
        for link in (said.get("src"), said.get("href")):
            if link and link.startswith("-/static/"):
                assert link.removeprefix("-/static/") in STATIC
            else:
                assert link is None or re.fullmatch(r"simple/|\?lang=(en|zh)", link)
    assert all("src" in said for tag, said in found.elements if tag == "script")


@pytest.mark.parametrize(("language", "other"), [("en", "zh"), ("zh", "en")])
def test_the_page_says_its_language_and_links_to_the_other(language: Language, other: str) -> None:
    found = page(language=language)
    assert next(said for tag, said in found.elements if tag == "html")["lang"] == {"en": "en", "zh": "zh-CN"}[language]
    assert f"?lang={other}" in [said.get("href") for tag, said in found.elements if tag == "a"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"),
        ("*", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh", "zh"),
        ("ZH-TW", "zh"),
        ("zh-Hans-CN", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("en;q=0.5, zh;q=0.9", "zh"),
        ("zh;q=0.5,en;q=0.5", "zh"),
        ("en;q=0.5,zh;q=0.5", "en"),
        ("de,zh;q=0.3", "zh"),
        ("de,en;q=0.7,zh;q=0.3", "en"),
        ("zh;q=0", "en"),
        ("zh;q=0,en", "en"),
        ("zh;q=nonsense", "en"),
        ("zh;q=2", "en"),
        ("zho", "en"),
        ("fr,de", "en"),
        (",,;;,", "en"),
    ],
)
def test_chinese_is_for_those_who_prefer_it(header: str, expected: str) -> None:
    assert language(header) == expected


def test_a_language_asked_for_wins_over_the_browsers() -> None:
    assert language("zh", asked="en") == "en"
    assert language("en", asked="zh") == "zh"
    assert language("zh", asked="tlh") == "zh"


@given(st.text(max_size=60))
def test_no_header_breaks_the_choice_of_language(header: str) -> None:
    assert language(header) in ("en", "zh")


def test_static_files_have_types_and_strong_etags() -> None:
    assert {name: file.content_type.partition(";")[0] for name, file in STATIC.items()} == {
        "front.css": "text/css",
        "front.js": "text/javascript",
        "icon.svg": "image/svg+xml",
    }
    etags = [file.etag for file in STATIC.values()]
    assert all(re.fullmatch('"[0-9a-f]{32}"', etag) for etag in etags)
    assert len(set(etags)) == len(etags)


def test_nothing_of_ours_names_another_server() -> None:
    for name, file in STATIC.items():
        text = file.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(", text), name


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    policy = PAGE_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert not re.search(r"unsafe|\*|http", policy)
    assert PAGE_HEADERS["X-Content-Type-Options"] == "nosniff"
