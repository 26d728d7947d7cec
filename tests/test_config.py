"""proxy.config: what is accepted, who wins, and that each refusal names its place and the way out."""

from __future__ import annotations

import json
import re
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.config import ConfigError, Configuration, Flags, Listen, Login, MirrorURL, Seconds, Size, load
from proxy.config.lines import key_lines
from proxy.config.show import show
from proxy.config.sources import Place
from proxy.config.values import read_host, read_index_pattern, read_pattern
from proxy.rights import EVERYBODY, WITHOUT_RULES, Rule
from proxy.simple.names import NamePattern
from proxy.upstream.presets import DEFAULT, GONE, PRESETS, UNKNOWN, unknown_at

HOME = {"HOME": "/home/wang"}


def read(folder: Path, text: str, environment: dict[str, str] | None = None, **flags: Any) -> Configuration:
    file = folder / "yizhan.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environment=HOME | (environment or {}), flags=Flags(**flags))


def problems(folder: Path, text: str, environment: dict[str, str] | None = None, **flags: Any) -> list[str]:
    """What is wrong, with the file's name alone in place of its path."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, environment, **flags)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def said(folder: Path, text: str) -> str:
    (problem,) = problems(folder, text)
    return problem


# Where settings come from


def test_without_a_file_everything_has_its_default() -> None:
    settings = load(None, environment=HOME).settings
    assert str(settings.server.listen) == "127.0.0.1:8080"
    assert [mirror.name for mirror in settings.index[0].mirrors] == list(DEFAULT)
    assert settings.cache.max_size == 50_000_000_000
    assert settings.index[0].max_page == 64 * 1024 * 1024
    assert settings.index[0].fresh == 300.0


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = '[server]\nlisten = ":1"\n[cache]\nmax_size = "1 GB"\nmemory = "1 MB"\n'
    environment = {"YIZHAN_SERVER__LISTEN": ":2", "YIZHAN_CACHE__MAX_SIZE": "2 GB"}
    configuration = read(tmp_path, file, environment, listen=":3")
    settings = configuration.settings
    assert (settings.server.listen.port, settings.cache.max_size, settings.cache.memory) == (3, 2 * 10**9, 10**6)
    assert configuration.places["server", "listen"] == Place("--listen")
    assert str(configuration.places["cache", "max_size"]) == "environment: YIZHAN_CACHE__MAX_SIZE"
    assert str(configuration.places["cache", "memory"]).endswith("yizhan.toml:5")


def test_the_environment_writes_lists_numbers_and_truth_values_as_json() -> None:
    environment = {
        "YIZHAN_INDEX__MIRRORS": '["nju", "http://127.0.0.1:9/simple"]',
        "YIZHAN_INDEX__CONNECTIONS": "4",
        "YIZHAN_SERVER__ACCESS_LOG": "false",
        "YIZHAN_INDEX__NAME": "null",
    }
    settings = load(None, environment=HOME | environment).settings
    assert [mirror.url for mirror in settings.index[0].mirrors][1] == "http://127.0.0.1:9/simple/"
    assert (settings.index[0].connections, settings.server.access_log, settings.index[0].name) == (4, False, "null")


def test_upstream_flags_replace_the_mirrors_and_network_flags_add(tmp_path: Path) -> None:
    file = '[[index]]\nmirrors = ["tuna"]\nnetworks = ["10.0.0.0/8"]\n'
    (index,) = read(
        tmp_path, file, upstream=("ustc", "http://10.0.0.7/simple/"), allow_network=("fd00::/8",)
    ).settings.index
    assert [mirror.name for mirror in index.mirrors] == ["ustc", "10.0.0.7"]
    assert index.networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_the_data_flag_holds_both_folders() -> None:
    storage = load(None, environment={}, flags=Flags(data=Path("/srv/yizhan"))).settings.storage
    assert (storage.state, storage.cache) == (Path("/srv/yizhan/state"), Path("/srv/yizhan/cache"))


@pytest.mark.parametrize(
    ("environment", "state", "cache"),
    [
        (HOME, "/home/wang/.local/state/yizhan", "/home/wang/.cache/yizhan"),
        (HOME | {"XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"}, "/s/yizhan", "/c/yizhan"),
        (HOME | {"XDG_STATE_HOME": "relative"}, "/home/wang/.local/state/yizhan", "/home/wang/.cache/yizhan"),
        (
            HOME | {"XDG_STATE_HOME": "/s", "STATE_DIRECTORY": "/var/lib/yizhan:/x", "CACHE_DIRECTORY": "/var/cache/y"},
            "/var/lib/yizhan",
            "/var/cache/y",
        ),
    ],
)
def test_folders_are_systemds_else_those_of_xdg(environment: dict[str, str], state: str, cache: str) -> None:
    settings = load(None, environment=environment).settings
    assert (settings.storage.state, settings.storage.cache) == (Path(state), Path(cache))
    assert settings.htpasswd == Path(state) / "htpasswd"


def test_without_a_home_the_folders_must_be_written() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, environment={})
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["storage.state", "storage.cache"]


def test_private_projects_alone_need_an_empty_index_and_nothing_undoes_it_by_accident(tmp_path: Path) -> None:
    assert read(tmp_path, "index = []").settings.index == ()
    found = problems(
        tmp_path, "index = []", {"YIZHAN_INDEX__FRESH": "1 s"}, upstream=("tuna",), allow_network=("10.0.0.0/8",)
    )
    assert [line.split(": there is no index to set this for")[0] for line in found] == [
        "environment: YIZHAN_INDEX__FRESH",
        "--upstream",
        "--allow-network",
    ]


# Several indexes

TWO = """[[index]]
name = "cu128"
mirrors = ["https://download.pytorch.org/whl/cu128/"]
names = ["torch", "triton*"]
[[index]]
mirrors = ["tuna"]
"""


def test_indexes_are_read_in_their_order(tmp_path: Path) -> None:
    cuda, general = read(tmp_path, TWO).settings.index
    assert (cuda.name, cuda.names, general.name, general.names) == ("cu128", ("torch", "triton*"), "pypi", ())


def test_the_environment_reaches_every_index_by_its_number_and_the_first_without(tmp_path: Path) -> None:
    environment = {
        "YIZHAN_INDEX__FRESH": "1 s",
        "YIZHAN_INDEX__0__ABSENT": "2 s",
        "YIZHAN_INDEX__1__FRESH": "3 s",
        "YIZHAN_INDEX__2__MIRRORS": '["http://10.0.0.7/"]',
        "YIZHAN_INDEX__2__NAME": "third",
    }
    configuration = read(tmp_path, TWO, environment, upstream=("nju",), allow_network=("10.0.0.0/8",))
    cuda, general, third = configuration.settings.index
    assert [float(seconds) for seconds in (cuda.fresh, cuda.absent, general.fresh)] == [1, 2, 3]
    assert [mirror.name for index in (cuda, general, third) for mirror in index.mirrors] == ["nju", "tuna", "10.0.0.7"]
    assert [len(index.networks) for index in (cuda, general, third)] == [1, 0, 0]
    assert str(configuration.places["index", 1, "fresh"]) == "environment: YIZHAN_INDEX__1__FRESH"


def test_the_environment_alone_can_make_indexes() -> None:
    environment = {f"YIZHAN_INDEX__{number}__NAME": f"i{number}" for number in range(12)}
    settings = load(None, environment=HOME | environment).settings
    assert [index.name for index in settings.index] == [f"i{number}" for number in range(12)]


def test_numbers_of_indexes_that_cannot_be_are_told(tmp_path: Path) -> None:
    environment = {
        "YIZHAN_INDEX__3__NAME": "x",
        "YIZHAN_INDEX__01__NAME": "x",
        "YIZHAN_INDEX__1__NAMF": "x",
        "YIZHAN_INDEX__0__NAME": "one",
        "YIZHAN_INDEX__NAME": "other",
    }
    assert problems(tmp_path, TWO, environment) == [
        "environment: YIZHAN_INDEX__01__NAME: there is no such setting; did you mean 'YIZHAN_INDEX__NAME'?",
        "environment: YIZHAN_INDEX__NAME: is the same setting as YIZHAN_INDEX__0__NAME; unset one of them",
        "environment: YIZHAN_INDEX__1__NAMF: there is no such setting; did you mean 'YIZHAN_INDEX__1__NAME'?",
        "environment: YIZHAN_INDEX__3__NAME: there is no index 3; the next one would be 2",
    ]
    assert problems(tmp_path, "index = []", {"YIZHAN_INDEX__1__NAME": "x"}) == [
        "environment: YIZHAN_INDEX__1__NAME: there is no index to set this for: index = [] (yizhan.toml:1)"
    ]


def test_two_indexes_of_one_name_are_told_with_both_places(tmp_path: Path) -> None:
    says = "is the name of another index, at {}; give each a name of its own"
    assert problems(tmp_path, '[[index]]\nname = "a"\n[[index]]\nname = "a"\nheal = 1\n') == [
        "yizhan.toml:4: index.name: 'a' " + says.format("yizhan.toml:2"),
        "yizhan.toml:5: index.heal: should be true or false",
    ]
    assert said(tmp_path, "[[index]]\n\n[[index]]") == "yizhan.toml:3: index.name: 'pypi' " + says.format(
        "yizhan.toml:1"
    )
    assert problems(tmp_path, "", {"YIZHAN_INDEX__1__FRESH": "1 s"}) == [
        "environment: YIZHAN_INDEX__1__FRESH: 'pypi' " + says.format("the first index")
    ]


def test_a_problem_of_a_later_index_has_its_own_line(tmp_path: Path) -> None:
    assert problems(tmp_path, f'{TWO}names = ["a b"]\n[[index]]\nname = "x"\nfresh = 1\n') == [
        "yizhan.toml:7: index.names: 'a b' is not the name of a project",
        "yizhan.toml:10: index.fresh: should be a number and ms, s, min, h or d in quotes, as in '5 min'",
    ]


# Passwords

NETRC = """# ours
machine nexus.acme.cn login wang password hunter2
machine pypi.tuna.tsinghua.edu.cn login wang password hunter3
default login wang password hunter4
"""
LINES = "write lines such as: machine HOST login USER password PASSWORD"
NO_ENTRY = "netrc has no entry for nexus.acme.cn or x.cn; add: machine nexus.acme.cn login USER password PASSWORD"
NEXUS = '[[index]]\nname = "acme-main"\nmirrors = ["http://Nexus.acme.cn:8081/simple/", "tuna", "https://x.cn/"]\n'


def logins(folder: Path, text: str, environment: dict[str, str] | None = None) -> dict[str, dict[str, tuple[str, str]]]:
    found = read(folder, text, environment).credentials(environment or {})
    return {index: dict(logins) for index, logins in found.items()}


def wrong_logins(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        logins(folder, text, environment)
    (problem,) = caught.value.problems
    return problem.replace(f"{folder}/", "")


def netrc(folder: Path, text: str = NETRC, mode: int = 0o600) -> str:
    """The line of a configuration that names a file of *text*."""
    (folder / "netrc").write_text(text, encoding="utf-8")
    (folder / "netrc").chmod(mode)
    return f'credentials = "{folder}/netrc"\n'


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_netrc_file_is_for_the_operators_own_mirrors_by_host(tmp_path: Path, mode: int) -> None:
    assert logins(tmp_path, NEXUS + netrc(tmp_path, mode=mode)) == {
        "acme-main": {"http://nexus.acme.cn:8081": ("wang", "hunter2")}
    }


def test_a_login_of_the_environment_is_for_the_index_that_asks_for_it(tmp_path: Path) -> None:
    text = """[[index]]
name = "acme-main"
mirrors = ["https://[fd00::1]/simple/", "tuna", "http://[fd00::1]:8081/simple/"]
credentials = "environment"
[[index]]
"""
    assert logins(tmp_path, text, {"YIZHAN_CREDENTIALS_ACME_MAIN": "wang:hunter2:and:more"}) == {
        "acme-main": dict.fromkeys(["https://[fd00::1]:443", "http://[fd00::1]:8081"], ("wang", "hunter2:and:more")),
        "pypi": {},
    }


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (NETRC, 0o644, "netrc is open to every user of this machine; chmod 600 netrc"),
        (NETRC, 0o602, "netrc is open to every user of this machine; chmod 600 netrc"),
        ("machine nexus.acme.cn\nlogin wang passwort hunter2", 0o600, f"netrc:2 is no netrc; {LINES}"),
        ("hunter2", 0o600, f"netrc:1 is no netrc; {LINES}"),
        ("machine other.cn login wang password hunter2", 0o600, NO_ENTRY),
        ("default login wang password hunter2", 0o600, NO_ENTRY),
        ("machine x.cn", 0o600, "the entry of x.cn in netrc holds neither user nor password"),
        (
            "machine x.cn login wa:ng password hunter2",
            0o600,
            "the entry of x.cn in netrc has a colon in the user's name, which no server could tell from the password's",
        ),
        (
            'machine x.cn login wang password "hunter2\n"',
            0o600,
            "the entry of x.cn in netrc holds a line break or another control character",
        ),
    ],
)
def test_a_netrc_file_of_no_use_is_told_and_not_repeated(tmp_path: Path, text: str, mode: int, says: str) -> None:
    problem = wrong_logins(tmp_path, NEXUS + netrc(tmp_path, text, mode))
    assert problem == f"yizhan.toml:4: index.credentials: {says}"
    assert "hunter2" not in problem


def test_a_netrc_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "latin").write_bytes(b"machine caf\xe9.cn")
    (tmp_path / "latin").chmod(0o600)
    for name, says in (
        ("none", "cannot be read: No such file or directory"),
        ("folder", "cannot be read: Is a directory"),
        ("latin", "has a byte that is not UTF-8; save the file as UTF-8"),
    ):
        problem = wrong_logins(tmp_path, f'{NEXUS}credentials = "{tmp_path}/{name}"')
        assert problem == f"yizhan.toml:4: index.credentials: {name} {says}"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "$YIZHAN_CREDENTIALS_PYPI is not set; it should hold user:password"),
        ("hunter2", "$YIZHAN_CREDENTIALS_PYPI has no colon; it should hold user:password"),
        (":", "$YIZHAN_CREDENTIALS_PYPI holds neither user nor password"),
        ("wang:hunter2\n", "$YIZHAN_CREDENTIALS_PYPI holds a line break or another control character"),
    ],
)
def test_a_login_of_the_environment_that_is_wrong_is_told_and_not_repeated(
    tmp_path: Path, value: str | None, says: str
) -> None:
    text = '[[index]]\nmirrors = ["https://x.cn/"]\ncredentials = "environment"\n'
    environment = {} if value is None else {"YIZHAN_CREDENTIALS_PYPI": value}
    assert wrong_logins(tmp_path, text, environment) == f"yizhan.toml:3: index.credentials: {says}"


def test_one_login_is_not_told_to_several_hosts(tmp_path: Path) -> None:
    problem = wrong_logins(tmp_path, f'{NEXUS}credentials = "environment"', {"YIZHAN_CREDENTIALS_ACME_MAIN": "wang:x"})
    assert problem.endswith(
        "'environment' is one password for one host, and the mirrors are nexus.acme.cn, x.cn; write a netrc file"
    )


def test_every_index_without_its_password_is_told_at_once(tmp_path: Path) -> None:
    text = NEXUS + netrc(tmp_path, mode=0o666)
    configuration = read(
        tmp_path, text, {"YIZHAN_INDEX__1__MIRRORS": '["http://y.cn/"]', "YIZHAN_INDEX__1__CREDENTIALS": "environment"}
    )
    with pytest.raises(ConfigError) as caught:
        configuration.credentials({})
    assert [problem.replace(f"{tmp_path}/", "").partition(";")[0] for problem in caught.value.problems] == [
        "yizhan.toml:4: index.credentials: netrc is open to every user of this machine",
        "environment: YIZHAN_INDEX__1__CREDENTIALS: $YIZHAN_CREDENTIALS_PYPI is not set",
    ]


def test_a_password_that_no_index_asks_for_is_a_mistake_and_not_repeated(tmp_path: Path) -> None:
    says = "no index of that name has credentials = 'environment'"
    environment = {"YIZHAN_CREDENTIALS_PIPY": "wang:hunter2"}
    assert problems(tmp_path, "", environment) == [f"environment: YIZHAN_CREDENTIALS_PIPY: {says}"]
    text = '[[index]]\nmirrors = ["https://x.cn/"]\ncredentials = "environment"\n'
    assert problems(tmp_path, text, environment) == [
        f"environment: YIZHAN_CREDENTIALS_PIPY: {says}; did you mean 'YIZHAN_CREDENTIALS_PYPI'?"
    ]


def test_a_login_shows_itself_to_nobody() -> None:
    login = Login("token", "hunter2")
    assert {str(login), repr(login), f"{login}", f"{[login]}"} == {"Login(...)", "[Login(...)]"}
    assert (login.user, login.password) == login == ("token", "hunter2")


# Rules

RULES = """[[right]]
user = "ann"
may = ["admin"]

[[right]]
user = "ci"
names = ["Acme_SDK", "acme-*"]
may = ["read", "upload"]
[[right]]
user = "*"
may = ["read"]
"""


def test_rules_are_read_in_their_order(tmp_path: Path) -> None:
    settings = read(tmp_path, RULES).settings
    assert [right.user for right in settings.right] == ["ann", "ci", "*"]
    assert settings.rules == (
        Rule(user="ann", may=frozenset({"admin"})),
        Rule(user="ci", names=(NamePattern("acme-sdk"), NamePattern("acme-*")), may=frozenset({"read", "upload"})),
        Rule(user=EVERYBODY, may=frozenset({"read"})),
    )


def test_without_a_rule_whoever_signs_in_may_read_and_upload(tmp_path: Path) -> None:
    for text in ("", "right = []"):
        settings = read(tmp_path, text).settings
        assert (settings.right, settings.rules) == ((), WITHOUT_RULES)


def test_the_environment_reaches_every_rule_and_can_make_them(tmp_path: Path) -> None:
    environment = {
        "YIZHAN_RIGHT__MAY": '["upload"]',
        "YIZHAN_RIGHT__1__NAMES": '["other"]',
        "YIZHAN_RIGHT__3__USER": "bob",
        "YIZHAN_RIGHT__3__MAY": '["admin"]',
    }
    configuration = read(tmp_path, RULES, environment)
    rules = configuration.settings.rules
    assert [(rule.user, rule.names, sorted(rule.may)) for rule in rules] == [
        ("ann", (), ["upload"]),
        ("ci", ("other",), ["read", "upload"]),
        ("*", (), ["read"]),
        ("bob", (), ["admin"]),
    ]
    assert str(configuration.places["right", 1, "names"]) == "environment: YIZHAN_RIGHT__1__NAMES"
    alone = {"YIZHAN_RIGHT__USER": "bob", "YIZHAN_RIGHT__0__MAY": '["admin"]'}
    assert load(None, environment=HOME | alone).settings.rules == (rules[3],)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[[right]]\nuser = "ann"\nmay = ["raed"]',
            "3: right.may: should be 'read', 'upload' or 'admin'; did you mean 'read'?",
        ),
        ('[[right]]\nuser = "ann"\nmay = []', "3: right.may: should name at least one of 'read', 'upload' and 'admin'"),
        ('[[right]]\nuser = "ann"\nmay = "read"', '3: right.may: should be a list, as in ["one", "two"]'),
        ('\n[[right]]\nmay = ["read"]', "2: right.user: 'user' has to be written too"),
        ('[[right]]\nuser = "ann"', "1: right.may: 'may' has to be written too"),
        (
            '[[right]]\nusers = "ann"\nuser = "ann"\nmay = ["read"]',
            "2: right.users: there is no such setting; did you mean 'user'?",
        ),
        (
            '[[right]]\nuser = "__token__"\nmay = ["read"]',
            "2: right.user: '__token__' has the name __token__, which is kept for API tokens",
        ),
        ('[[right]]\nuser = 1\nmay = ["read"]', "2: right.user: should be text in quotes"),
        (
            '[[right]]\nuser = "ann"\nmay = ["read"]\nnames = ["*"]',
            "4: right.names: '*' is every name; for that write names = []",
        ),
        ('[right]\nuser = "ann"\nmay = ["read"]', "1: right: should stand under [[right]], with two brackets"),
        ('[auth]\nmay = ["read"]', "2: auth.may: there is no such setting; it belongs under [[right]]"),
        ("[auth]\nfailures = 0", "2: auth.failures: should be more than 0"),
        ("[auth]\nfailures = 1001", "2: auth.failures: should be no more than 1000"),
        ('[auth]\nfailure_window = "0 s"', "2: auth.failure_window: should be more than 0"),
    ],
)
def test_wrong_rules_are_told_plainly(tmp_path: Path, text: str, says: str) -> None:
    assert said(tmp_path, text) == f"yizhan.toml:{says}"


def test_a_user_of_a_rule_holds_no_colon_and_is_printable(tmp_path: Path) -> None:
    for user in ("", "a:b", "#ann", " ann", "a\\nb"):
        assert "is no user name" in said(tmp_path, f'[[right]]\nuser = "{user}"\nmay = ["read"]')


def test_rules_of_the_environment_that_cannot_be_are_told(tmp_path: Path) -> None:
    environment = {
        "YIZHAN_RIGHT__5__USER": "x",
        "YIZHAN_RIGHT__1__USRE": "x",
        "YIZHAN_RIGHT__2__USER": "a",
        "YIZHAN_RIGHT__MAY": "read",
    }
    assert problems(tmp_path, RULES, environment) == [
        "environment: YIZHAN_RIGHT__1__USRE: there is no such setting; did you mean 'YIZHAN_RIGHT__1__USER'?",
        "environment: YIZHAN_RIGHT__5__USER: there is no right 5; the next one would be 3",
        'environment: YIZHAN_RIGHT__MAY: should be a list, as in ["one", "two"]',
    ]
    assert problems(tmp_path, "", {"YIZHAN_RIGHT__USER": "ann"}) == [
        "environment: YIZHAN_RIGHT__USER: 'may' has to be written too"
    ]


# What is wrong, and where


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    file = """listen = ":1"
[server]
grase = "1 s"
keepalive = 5
access_log = "yes"
log_level = "inf"
[cahce]
max_size = "1 GB"
[[index]]
mirrors = [
  "tuma",
]
connections = true
[private]
reserved = ["acme_*"]
"""
    known = ", ".join(preset.name for preset in PRESETS)
    pattern = "'acme_*' should be a project's name, or a name followed by -* and nothing else"
    environment = {"YIZHAN_SERVER__LISTN": ":1", "YIZHAN_UPLOAD__MAX_MEMBERS": "many"}
    assert problems(tmp_path, file, environment, listen="nowhere") == [
        "yizhan.toml:1: listen: there is no such setting; it belongs under [server]",
        "yizhan.toml:3: server.grase: there is no such setting; did you mean 'grace'?",
        "yizhan.toml:4: server.keepalive: should be a number and ms, s, min, h or d in quotes, as in '5 min'",
        "yizhan.toml:5: server.access_log: should be true or false",
        "yizhan.toml:6: server.log_level: should be 'debug', 'info', 'warning' or 'error'; did you mean 'info'?",
        "yizhan.toml:7: cahce: there is no such section; did you mean 'cache'?",
        f"yizhan.toml:10: index.mirrors: 'tuma' is no URL, and none of the known mirrors {known}; did you mean 'tuna'?",
        "yizhan.toml:13: index.connections: should be a whole number",
        f"yizhan.toml:15: private.reserved: {pattern}; did you mean 'acme-*', which covers acme and acme-...?",
        "environment: YIZHAN_SERVER__LISTN: there is no such setting; did you mean 'YIZHAN_SERVER__LISTEN'?",
        "--listen: should be host:port, as in '127.0.0.1:8080', '[::1]:8080', or ':8080' for every interface",
        "environment: YIZHAN_UPLOAD__MAX_MEMBERS: should be a whole number",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server]\nlisten = \n", "yizhan.toml:2: is no TOML: Invalid value"),
        ('[server]\n\nlisten = "x', "yizhan.toml:3: is no TOML: Unterminated string"),
        ("a = 1\na = 2", "yizhan.toml:2: is no TOML: Cannot overwrite a value"),
        ("x = " + "[" * 100_000, "yizhan.toml:1: brackets are nested too deeply"),
    ],
)
def test_a_syntax_error_names_its_line(tmp_path: Path, text: str, says: str) -> None:
    assert said(tmp_path, text) == says


def test_a_file_that_cannot_be_read_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"[server]\n# caf\xe9\n")
    for name, says in (
        ("latin.toml", ":2: a byte that is not UTF-8; save the file as UTF-8"),
        ("absent.toml", ": cannot be read: No such file or directory"),
        (".", ": cannot be read: Is a directory"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"{tmp_path / name}{says}")):
            load(tmp_path / name, environment=HOME)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "dos.toml").write_bytes(b'\xef\xbb\xbf[server]\r\n\r\nlisten = "x"\r\n')
    with pytest.raises(ConfigError, match=r"dos\.toml:3: server\.listen"):
        load(tmp_path / "dos.toml", environment=HOME)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[index]\nname = 'x'", "1: index: should stand under [[index]], with two brackets"),
        ("server = 1", "1: server: should be a table"),
        ("[server]\nlog_format = 1", "2: server.log_format: should be 'text' or 'json'"),
        ("[private]\nreserved = 'acme'", '2: private.reserved: should be a list, as in ["one", "two"]'),
        ("[private]\nreserved = [1]", "2: private.reserved: should be text in quotes"),
        ("[upload]\nmax_members = 0", "2: upload.max_members: should be more than 0"),
        ("[auth]\nmax_size = 1", "2: auth.max_size: there is no such setting; it belongs under [cache] or [upload]"),
        ("[cache]\nconnections = 1", "2: cache.connections: there is no such setting; it belongs under [[index]]"),
        ("[server]\nx = {a = 1}", "2: server.x: there is no such section"),
        ("[storage]\nstate = 'here'", "2: storage.state: 'here' should be an absolute path"),
        ("[[index]]\nmirrors = ['tuna', 'ustc', 'tuna']", "2: index.mirrors: names 'tuna' twice"),
        ("[[index]]\nname = 'simple'", "2: index.name: 'simple' is taken: the server's own pages stand under /simple/"),
        ("[[index]]\nconnect_timeout = '0 s'", "2: index.connect_timeout: should be more than 0"),
    ],
)  # fmt: skip
def test_wrong_values_are_told_plainly(tmp_path: Path, text: str, says: str) -> None:
    assert said(tmp_path, text) == f"yizhan.toml:{says}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("kind = 'findlinks'", "should be 'simple' or 'find-links'; did you mean 'find-links'?"),
        ("look_ahead = -1", "should be 0 or more"),
        ("segments = 0", "should be more than 0"),
        ("low_speed = 4096", "should be a number and B, KB, MB, GB, TB, KiB, MiB, GiB or TiB in quotes, as in '50 GB'"),
        ("heal = 'yes'", "should be true or false"),
        ("removed = 'drop'", "should be 'withhold' or 'keep'"),
        ("unknown = 403", 'should be a list, as in ["one", "two"]'),
        ("longest_pause = '1 s'", "should be no shorter than pause, which is '5 s'"),
        ("names = ['*']", "'*' is every name; for that write names = []"),
        (
            "mirrors = ['http://x.cn', 'https://x.cn/simple']",
            "'http://x.cn/' and 'https://x.cn/simple/' go by one name, 'x.cn'; take one out",
        ),
        ("ca = '/nowhere.pem'", "/nowhere.pem cannot be read: No such file or directory"),
        ("ca = '/dev/null'", "/dev/null holds no certificate in PEM format"),
        ("credentials = 'hunter2'", "should be the absolute path of a netrc file, or 'environment'"),
        (
            "credentials = '/etc/netrc'",
            "is for mirrors given by their URL; those known by name want no password, and get none",
        ),
    ],
)
def test_wrong_values_of_an_index_are_told_plainly(tmp_path: Path, line: str, says: str) -> None:
    assert said(tmp_path, f"[[index]]\n{line}") == f"yizhan.toml:2: index.{line.partition(' ')[0]}: {says}"


def test_the_longest_pause_is_no_shorter_than_the_first(tmp_path: Path) -> None:
    says = "should be no shorter than pause, which is '1 h'"
    assert said(tmp_path, "[[index]]\npause = '1 h'") == f"yizhan.toml:1: index.longest_pause: {says}"


def test_an_index_without_mirrors_is_told_how_to_have_none(tmp_path: Path) -> None:
    assert said(tmp_path, "[[index]]\nmirrors = []").endswith("for private projects alone write index = []")


def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for section, key, value in (
        ("[[index]]", "mirrors", '["https://wang:hunter2@mirror.example.cn/simple/"]'),
        ("[[index]]", "mirrors", '["wang:hunter2@mirror.example.cn/simple/"]'),
        ("[[index]]", 'kind = "find-links"\nmirrors', '["hunter2@mirror.example.cn/simple/"]'),
        ("[[index]]", "proxy", '"http://wang:hunter2@proxy.example.cn:3128"'),
        ("[server]", "public_url", '"https://wang:hunter2@pypi.example.cn/"'),
    ):
        problem = said(tmp_path, f"{section}\n{key} = {value}")
        assert "should hold no user name or password" in problem
        assert "hunter2" not in problem


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=200), st.text(alphabet="[]{}=\"'\n#.a1 \\", max_size=60).map(str.encode)))
def test_any_file_gives_settings_or_problems_that_name_it(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "any.toml"
    file.write_bytes(data)
    found: tuple[str, ...] = ()
    try:
        load(file, environment=HOME)
    except ConfigError as error:
        found = error.problems or ("no problem is told",)
    assert all(problem.startswith(str(file)) and "\n" not in problem for problem in found)


# How values are written


@pytest.mark.parametrize(
    ("text", "seconds"), [("250 ms", 0.25), ("20s", 20), ("5 min", 300), ("1.5 h", 5400), ("1 d", 86400), ("0 s", 0)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert Seconds.read(text) == seconds


@pytest.mark.parametrize(
    "value", [5, 5.0, "5", "five s", "-1 s", "1 fortnight", "1e3 s", "٣ s", "5 min 3 s", "400 d", None]
)
def test_other_durations_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="should be"):
        Seconds.read(value)


@pytest.mark.parametrize(
    ("text", "size"), [("50 GB", 50 * 10**9), ("64 MiB", 2**26), ("1.5 KB", 1500), ("2TB", 2 * 10**12), ("7 B", 7)]
)
def test_gb_is_decimal_and_gib_binary(text: str, size: int) -> None:
    assert Size.read(text) == size


@pytest.mark.parametrize("value", [50, "50", "50 G", "50 gb", "-1 B", "999999999 TB", True])
def test_other_sizes_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="should be"):
        Size.read(value)


@given(st.integers(0, 2**60))
def test_a_size_is_written_as_it_is_read(size: int) -> None:
    assert Size.read(str(Size(size))) == size


@given(st.integers(0, 366 * 86400 * 1000))
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    assert Seconds.read(str(Seconds(milliseconds / 1000))) == milliseconds / 1000


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("127.9.9.9:1", "127.9.9.9", 1, True),
        ("[::1]:8080", "::1", 8080, True),
        ("localhost:0", "localhost", 0, True),
        (":8080", "", 8080, False),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("PyPI.example.cn:443", "pypi.example.cn", 443, False),
    ],
)
def test_where_to_listen(text: str, host: str, port: int, loopback: bool) -> None:
    listen = Listen.read(text)
    assert (listen.host, listen.port, listen.loopback) == (host, port, loopback)
    assert Listen.read(str(listen)) == listen


@pytest.mark.parametrize(
    "text", ["8080", "::1:8080", "[::1]", "256.1.1.1:80", "1.2.3:80", "a b:80", "x:65536", "x:-1", "*:80", "[x]:80"]
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should|plain host name"):
        Listen.read(text)


def test_a_mirror_is_a_known_name_or_a_url_with_a_slash_at_its_end() -> None:
    assert MirrorURL.read("tuna") == MirrorURL("tuna", PRESETS[0].url)
    assert MirrorURL.read("tuna").preset
    mirror = MirrorURL.read("HTTP://Mirror.Example.CN:8081/pypi/simple")
    assert mirror == MirrorURL("mirror.example.cn:8081/pypi", "http://mirror.example.cn:8081/pypi/simple/")
    assert not mirror.preset
    # A machine on the LAN may bear a preset's name.
    assert not MirrorURL.read("http://tuna/simple/").preset


@pytest.mark.parametrize(
    "text",
    ["ftp://x/", "https://", "https://x/?a=b", "https://x/#top", "https://x:99999/", "https://x/a b", "http://[::1/", "https://例/"],
)  # fmt: skip
def test_other_urls_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be a URL"):
        MirrorURL.read(text)


def test_every_preset_is_a_url_that_a_configuration_could_hold() -> None:
    assert {preset.name for preset in PRESETS} >= set(DEFAULT)
    assert all(MirrorURL.read(preset.url).url == preset.url for preset in PRESETS)
    assert all(MirrorURL.read(preset.files).url == preset.files for preset in PRESETS)
    assert all(read_host(host) == host for preset in PRESETS for host in preset.redirects)
    assert all(MirrorURL.read(preset.name).known is preset for preset in PRESETS)


def test_a_mirror_that_is_no_more_is_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    for name, says in GONE.items():
        (instead, *_) = re.findall("write '([a-z]+)'", says)
        assert MirrorURL.read(instead).preset
        assert said(tmp_path, f'[[index]]\nmirrors = ["{name}"]') == f"yizhan.toml:2: index.mirrors: {name!r} {says}"


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("https://X.example.cn/All.html", "x.example.cn/All.html", "https://x.example.cn/All.html"),
        ("https://x.example.cn/all.htm", "x.example.cn/all.htm", "https://x.example.cn/all.htm"),
        ("https://x.example.cn/whl/cu128", "x.example.cn/whl/cu128", "https://x.example.cn/whl/cu128/"),
        ("https://x.example.cn/all.html/", "x.example.cn/all.html", "https://x.example.cn/all.html/"),
    ],
)
def test_a_page_of_links_keeps_its_own_url(tmp_path: Path, text: str, name: str, url: str) -> None:
    (index,) = read(tmp_path, f'[[index]]\nkind = "find-links"\nmirrors = ["{text}"]').settings.index
    assert index.mirrors == (MirrorURL(name, url),)
    (index,) = read(tmp_path, f'[[index]]\nmirrors = ["{text}"]').settings.index
    assert index.mirrors[0].url.endswith("/")


def test_a_page_of_links_is_none_of_the_mirrors_known_by_name(tmp_path: Path) -> None:
    for mirrors, begins in (('mirrors = ["tuna"]', "3: index.mirrors: 'tuna' is"), ("", "1: index.mirrors: holds")):
        problem = said(tmp_path, f'[[index]]\nkind = "find-links"\n{mirrors}')
        assert problem.startswith(f"yizhan.toml:{begins} no URL, and kind = 'find-links' wants that of the page itself")


def test_403_means_unknown_at_pytorch_and_where_the_operator_says_so(tmp_path: Path) -> None:
    text = '[[index]]\nmirrors = ["https://download.pytorch.org/whl/cu128/", "tuna"]\n'
    (index,) = read(tmp_path, text).settings.index
    assert [index.unknown_at(mirror) for mirror in index.mirrors] == [(403, 404, 410), (404, 410)]
    assert unknown_at("https://pytorch.org.example.cn/simple/") == UNKNOWN
    (index,) = read(tmp_path, f"{text}unknown = [404, 403]").settings.index
    assert [index.unknown_at(mirror) for mirror in index.mirrors] == [(404, 403)] * 2


@pytest.mark.parametrize("status", ["200", "302", "401", "429", "500", "503", "true", "404.0", "'404'"])
def test_other_statuses_never_mean_unknown(tmp_path: Path, status: str) -> None:
    assert "does not say that something is unknown" in said(tmp_path, f"[[index]]\nunknown = [404, {status}]")


def test_a_user_agent_is_one_line_of_ascii(tmp_path: Path) -> None:
    (index,) = read(tmp_path, '[[index]]\nuser_agent = "acme/1.0 (+ops@acme.example)"').settings.index
    assert index.user_agent == "acme/1.0 (+ops@acme.example)"
    for text in ("a\\r\\nX: y", "驿站/1", " a", "a" * 201):
        assert "should be one line" in said(tmp_path, f'[[index]]\nuser_agent = "{text}"')


@pytest.mark.parametrize(
    ("text", "pattern"), [("Acme", "acme"), ("Acme-*", "acme-*"), ("acme.SDK_x", "acme-sdk-x"), ("a-b-*", "a-b-*")]
)
def test_patterns_are_normalised(text: str, pattern: str) -> None:
    assert read_pattern(text) == pattern


@pytest.mark.parametrize(
    "text", ["*", "-*", "acme*", "acme_*", "acme.*", "a*b", "*-acme", "acme--*", "acm?", "[ab]", "", "a b", "\u212a-*"]
)
def test_other_patterns_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"project|reserve"):
        read_pattern(text)


@pytest.mark.parametrize(
    ("text", "pattern"), [("Torch", "torch"), ("Torch-*", "torch-*"), ("Torch*", "torch*"), ("a_b-*", "a-b-*")]
)
def test_the_names_of_an_index_are_normalised(text: str, pattern: str) -> None:
    assert read_index_pattern(text) == pattern


@pytest.mark.parametrize("text", ["*", "-*", "torch_*", "torch.*", "to*ch", "*-torch", "torch**", "torc?", "", "a b"])
def test_other_names_for_an_index_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ValueError, match=r"project|every name") as caught:
        read_index_pattern(text)
    assert text != "torch_*" or "did you mean 'torch-*'" in str(caught.value)


def test_a_name_may_be_private_and_an_indexs_too(tmp_path: Path) -> None:
    text = '[[index]]\nnames = ["acme-*", "both"]\n[private]\nreserved = ["acme-*"]\noverlay = ["both"]\n'
    assert read(tmp_path, text).settings.index[0].names == ("acme-*", "both")


def test_a_name_cannot_be_reserved_and_overlaid(tmp_path: Path) -> None:
    text = '[private]\nreserved = ["acme-*"]\noverlay = ["other", "Acme.SDK"]\n'
    assert said(tmp_path, text) == (
        "yizhan.toml:3: private.overlay: 'acme-sdk' is reserved too, by 'acme-*': "
        "a name is answered from here alone or from both"
    )


@pytest.mark.parametrize("network", ["169.254.0.0/16", "169.254.169.254/32", "fe80::/10"])
def test_link_local_addresses_cannot_be_allowed(tmp_path: Path, network: str) -> None:
    assert "never dialled" in said(tmp_path, f'[[index]]\nnetworks = ["{network}"]')
    assert problems(tmp_path, "", allow_network=(network,)) == [
        f"--allow-network: {network!r} is link-local, and such addresses are never dialled"
    ]


def test_networks_and_hosts_are_plain(tmp_path: Path) -> None:
    assert "did you mean '10.0.0.0/8'?" in said(tmp_path, '[[index]]\nnetworks = ["10.1.2.3/8"]')
    for host in ("https://x.cn", "x.cn:80", "x.cn/a", "*.x.cn", "-x.cn", "", "x..cn"):
        assert "is no plain host name" in said(tmp_path, f'[[index]]\nhosts = ["{host}"]')


def test_settings_never_change() -> None:
    settings = load(None, environment=HOME).settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.access_log = False


# Lines


def test_lines_are_found_behind_whatever_toml_allows() -> None:
    text = '''# [server]
title = """
[server]
listen = "no" # \\"""
""" # ]
"a.b"."c=d" = 1
[ server ] # x
listen = "a # ] = [" # [
list = [ # [
  "]", # ]
  { x = [1] },
]
x.y = \'\'\'
z = 1\'\'\'\'
[[index]]
name = "x"
[index.inner]
a = 1
[[index]]
[[index.more]]
b = { c = 1 }
'''
    tomllib.loads(text)
    assert key_lines(text) == {
        ("title",): 2,
        ("a.b", "c=d"): 6,
        ("server",): 7,
        ("server", "listen"): 8,
        ("server", "list"): 9,
        ("server", "x", "y"): 13,
        ("index",): 15,
        ("index", 0): 15,
        ("index", 0, "name"): 16,
        ("index", 0, "inner"): 17,
        ("index", 0, "inner", "a"): 18,
        ("index", 1): 19,
        ("index", 1, "more"): 20,
        ("index", 1, "more", 0): 20,
        ("index", 1, "more", 0, "b"): 21,
    }


_words = st.text(alphabet="ab#[]{}='\"\\ ", max_size=8)
_literals = st.text(alphabet='ab#[]{}=" \n\\', max_size=8)
_values = st.one_of(
    _words.map(json.dumps),
    _literals.filter(lambda text: "\n" not in text).map("'{}'".format),
    _words.map(lambda text: f'"""\n{json.dumps(text)[1:-1]}\n"""'),
    _literals.map("'''{}'''".format),
    st.lists(_words.map(json.dumps), max_size=3).map(lambda items: "[ # ]\n{}\n]".format(", # [\n".join(items))),
    st.integers().map(str),
)  # fmt: skip


@given(st.lists(st.tuples(_values, st.sampled_from(["", " # [x]", "\n", "\n# a = '\n"])), max_size=8))
def test_a_key_is_found_on_its_line_whatever_stands_before_it(rows: list[tuple[str, str]]) -> None:
    text, expected = "", {}
    for number, (value, after) in enumerate(rows):
        expected[(f"key{number}",)] = text.count("\n") + 1
        text += f"key{number} = {value}{after}\n"
    assert set(tomllib.loads(text)) == {key for (key,) in expected}
    assert key_lines(text) == expected


# Shown again


def test_what_is_shown_is_a_file_that_gives_the_same_settings(tmp_path: Path) -> None:
    text = """
[server]
listen = "[::1]:80"
trusted_proxies = ["10.0.0.0/8"]
[[index]]
mirrors = ["tuna", "http://tuna/simple"]
fresh = "90 s"
[private]
reserved = ["acme-*"]
"""
    configuration = read(tmp_path, text, upstream=("nju",))
    lines = list(show(configuration))
    (tmp_path / "again.toml").write_text("\n".join(lines), encoding="utf-8")
    assert load(tmp_path / "again.toml", environment={}).settings == configuration.settings
    assert f'listen = "[::1]:80"  # {tmp_path}/yizhan.toml:3' in lines
    assert 'mirrors = ["nju"]  # --upstream' in lines
    assert 'grace = "20 s"  # default' in lines
    assert 'state = "/home/wang/.local/state/yizhan"  # $HOME' in lines


def test_every_index_is_shown_and_no_password(tmp_path: Path) -> None:
    environment = {"YIZHAN_CREDENTIALS_PYPI": "wang:hunter2", "YIZHAN_INDEX__1__CREDENTIALS": "environment"}
    text = f"""{TWO.replace("tuna", "https://x.cn/")}
[[index]]
name = "pages"
kind = "find-links"
mirrors = ["https://x.cn/all.html"]
unknown = [403]
{netrc(tmp_path)}"""
    configuration = read(tmp_path, text, environment)
    lines = list(show(configuration))
    (tmp_path / "again.toml").write_text("\n".join(lines), encoding="utf-8")
    assert (
        load(tmp_path / "again.toml", environment=HOME | {"YIZHAN_CREDENTIALS_PYPI": "x"}).settings
        == configuration.settings
    )
    assert lines.count("[[index]]") == 3
    assert f'names = ["torch", "triton*"]  # {tmp_path}/yizhan.toml:4' in lines
    assert 'credentials = "environment"  # environment: YIZHAN_INDEX__1__CREDENTIALS' in lines
    assert f'credentials = "{tmp_path}/netrc"  # {tmp_path}/yizhan.toml:13' in lines
    assert "hunter" not in "\n".join(lines)


def test_every_rule_is_shown_with_its_place(tmp_path: Path) -> None:
    configuration = read(tmp_path, RULES, {"YIZHAN_RIGHT__1__USER": "robot"})
    lines = list(show(configuration))
    (tmp_path / "again.toml").write_text("\n".join(lines), encoding="utf-8")
    assert load(tmp_path / "again.toml", environment={}).settings == configuration.settings
    assert lines.count("[[right]]") == 3
    assert f'user = "ann"  # {tmp_path}/yizhan.toml:2' in lines
    assert 'user = "robot"  # environment: YIZHAN_RIGHT__1__USER' in lines
    assert "names = []  # default" in lines


def test_private_projects_alone_are_shown_as_such(tmp_path: Path) -> None:
    configuration = read(tmp_path, "index = []")
    (tmp_path / "again.toml").write_text("\n".join(show(configuration)), encoding="utf-8")
    assert load(tmp_path / "again.toml", environment={}).settings == configuration.settings
