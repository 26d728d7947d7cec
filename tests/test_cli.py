"""The command line: what it hands to the server, what it prints, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType

import bcrypt
import pytest
from click.testing import CliRunner, Result

from proxy import __version__
from proxy.cli import yizhan
from proxy.commands.table import table
from proxy.config import Login, Seconds, Settings, load
from proxy.errors import StoreDown
from proxy.ops.banner import banner, machine_address
from proxy.ops.first_user import make_first_user


class Server(ModuleType):
    """Stands in for proxy.build: notes what it is given, says a word, and fails where told to."""

    def __init__(self) -> None:
        super().__init__("proxy.build")
        self.settings: Settings | None = None
        self.logins: Mapping[str, Mapping[str, Login]] = {}
        self.failure: BaseException | None = None

    async def serve(
        self, settings: Settings, *, logins: Mapping[str, Mapping[str, Login]], say: Callable[[str], None]
    ) -> None:
        self.settings, self.logins = settings, logins
        say("ready")
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    fake = Server()
    monkeypatch.setitem(sys.modules, "proxy.build", fake)
    return fake


def run(*words: str, **environment: str) -> Result:
    return CliRunner(env={"HOME": "/home/wang", **environment}).invoke(yizhan, words)


def test_serve_hands_the_flags_to_the_server(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "yizhan.toml"
    file.write_text('[server]\nlisten = ":1"\ngrace = "1 s"\n')
    flags = ["--listen", "127.0.0.1:0", "--data", str(tmp_path), "--upstream", "nju", "--upstream", "http://10.0.0.7/"]
    result = run("serve", "--config", str(file), *flags, "--allow-network", "10.0.0.0/8")
    assert (result.exit_code, result.stdout) == (0, "ready\n")
    assert server.settings is not None
    assert str(server.settings.server.listen) == "127.0.0.1:0"
    assert server.settings.server.grace == Seconds(1)
    assert server.settings.storage.state == tmp_path / "state"
    assert [mirror.name for mirror in server.settings.index[0].mirrors] == ["nju", "10.0.0.7"]
    assert [str(network) for network in server.settings.index[0].networks] == ["10.0.0.0/8"]


def test_the_data_flag_may_be_relative(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("serve", "--data", "here").exit_code == 0
    assert server.settings is not None
    assert server.settings.storage.cache == tmp_path / "here" / "cache"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_wrong_configuration_prints_every_problem_and_ends_with_2(
    server: Server, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "yizhan.toml"
    file.write_text("[server]\ngrase = 1\nkeepalive = 1\n")
    result = run(command, "--config", str(file), YIZHAN_X="1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [f"{file}:2", f"{file}:3", "environment"]
    assert server.settings is None


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (StoreDown("The store is in use."), "The store is in use."),
        (
            OSError(errno.EADDRINUSE, "in use"),
            "Another program listens on 127.0.0.1:8080: stop it, or choose another address with --listen.",
        ),
        (
            OSError(errno.EADDRNOTAVAIL, "no"),
            "No network interface of this machine has the address 127.0.0.1:8080: choose another one with --listen.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "This user may not listen on 127.0.0.1:8080: choose a port from 1024 on with --listen.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/var/lib/yizhan"),
            "/var/lib/yizhan cannot be used: Permission denied.",
        ),
        (OSError(errno.EMFILE, "Too many open files"), "The operating system refused: Too many open files."),
    ],
)
def test_what_keeps_the_server_from_running_is_one_sentence(
    server: Server, failure: BaseException, sentence: str
) -> None:
    server.failure = failure
    result = run("serve")
    assert (result.exit_code, result.stderr) == (1, f"{sentence}\n")


def test_a_fault_of_ours_keeps_its_traceback(server: Server) -> None:
    server.failure = ZeroDivisionError()
    assert isinstance(run("serve").exception, ZeroDivisionError)


def test_check_prints_the_settings_in_force_and_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "yizhan.toml"
    file.write_text('[cache]\nmax_size = "1 TB"\n')
    result = run("check", "--config", str(file), YIZHAN_AUTH__READ="users")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "ok"
    assert f'max_size = "1 TB"  # {file}:2' in lines
    assert 'read = "users"  # environment: YIZHAN_AUTH__READ' in lines
    assert "connections = 16  # default" in lines


def test_the_module_is_the_command_too() -> None:
    for words in (["--version"], ["serve", "--help"]):
        done = subprocess.run([sys.executable, "-m", "proxy", *words], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert __version__ in done.stdout or "--allow-network" in done.stdout


def test_help_does_not_wait_for_what_only_the_server_needs() -> None:
    code = (
        "import sys, proxy.cli; slow = ('aiohttp', 'asyncio', 'diskcache', 'msgspec', 'pydantic');"
        "print([name for name in slow if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60) == "[]\n"


# What operators do with names, tokens and users (the server's side of it: test_office.py)


def act(data: Path, *words: str, stdin: str | None = None) -> tuple[int, str, str]:
    """Status, output and errors of a command on *data*, in a pipe."""
    result = CliRunner(env={"HOME": "/home/wang"}).invoke(yizhan, [*words, "--data", str(data)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def at_a_terminal(data: Path, *words: str, answers: list[str]) -> tuple[int, str]:
    """Status and all that stands on the terminal; each answer is typed once a line ends as a question does."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "proxy", *words, "--data", str(data)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown, left = "", list(answers)
        with suppress(OSError):  # EIO, once nobody has the other end any more
            while part := os.read(ours, 4096):
                shown += part.decode()
                if left and shown.endswith(": "):
                    os.write(ours, f"{left.pop(0)}\n".encode())
        os.close(ours)
    return process.returncode, shown


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a reserved name and a user."""
    assert act(tmp_path, "names", "reserve", "acme-sdk")[0] == 0
    assert act(tmp_path, "user", "add", "wang", "--password", "none")[0] == 0
    return tmp_path


def test_names_are_listed_for_people_and_for_programs(data: Path) -> None:
    status, listed, _ = act(data, "names", "list")
    assert status == 0
    title, row = listed.splitlines()
    assert title.split() == ["name", "state", "files", "status", "reserved", "reason"]
    assert row.split()[:4] == ["acme-sdk", "reserved", "0", "active"]
    (name,) = json.loads(act(data, "names", "list", "--json")[1])["names"]
    assert (name["name"], name["state"], name["files"]) == ("acme-sdk", "reserved", 0)


def test_columns_stand_below_each_other_in_chinese_too(data: Path) -> None:
    act(data, "names", "reserve", "zz")
    assert act(data, "project", "acme-sdk", "deprecated", "--reason", "请用 zz")[0] == 0
    lines = act(data, "names", "list")[1].splitlines()
    assert "请用 zz" in lines[1]
    made = table([("一二", "x"), ("abcd", "y"), ("a", "z")])
    assert list(made) == ["一二  x", "abcd  y", "a     z"]


def test_releasing_a_name_wants_a_yes_that_a_pipe_cannot_give(data: Path) -> None:
    status, _, said = act(data, "names", "release", "acme-sdk", stdin="y\n")
    assert status == 2
    assert "The mirrors will be asked about acme-sdk" in said
    assert "--yes" in said
    assert "acme-sdk" in act(data, "names", "list")[1]
    status, shown = at_a_terminal(data, "names", "release", "acme-sdk", answers=["n"])
    assert (status, "Go on? [y/N]" in shown) == (1, True)
    assert "acme-sdk" in act(data, "names", "list")[1]
    status, shown = at_a_terminal(data, "names", "release", "acme-sdk", answers=["y"])
    assert (status, "acme-sdk is released" in shown) == (0, True)
    assert "acme-sdk" not in act(data, "names", "list")[1]


def test_releasing_with_yes_asks_nothing(data: Path) -> None:
    assert act(data, "names", "release", "acme-sdk", "--yes")[0] == 0
    assert act(data, "names", "release", "acme-sdk", "--yes")[0] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["yank", "acme-sdk", "1.0"], "acme-sdk"),
        (["unyank", "nobodys", "nobodys-1.0.tar.gz"], "nobodys"),
        (["delete", "acme-sdk"], "acme-sdk"),
        (["project", "nobodys", "archived"], "nobodys"),
        (["names", "reserve", "../x"], "not the name of a project"),
        (["names", "reserve", "acme.s-dk"], "--confusable"),
        (["names", "readmit", "acme_sdk-1.0-py3-none-any.whl", "--yes"], "acme_sdk-1.0-py3-none-any.whl"),
        (["token", "revoke", "nobodys"], "nobodys"),
        (["token", "create", "--user", "a:b"], "a:b"),
        (["user", "add", "wang", "--password", "new"], "wang"),
        (["user", "passwd", "li", "--password", "new"], "li"),
        (["user", "remove", "li"], "li"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_1(data: Path, words: list[str], says: str) -> None:
    status, printed, said = act(data, *words)
    assert (status, printed) == (1, "")
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["names"],
        ["names", "reserve"],
        ["yank", "acme-sdk"],
        ["project", "acme-sdk", "withdrawn"],
        ["token", "create"],
        ["token", "create", "--user", "wang", "--scope", "acme*"],
        ["token", "create", "--user", "wang", "--expires", "soon"],
        ["token", "create", "--user", "wang", "--expires", "0d"],
        ["token", "create", "--user", "wang", "--read-only", "--admin"],
        ["token", "revoke"],
        ["user", "add", "li", "--password", "secret"],
    ],
)
def test_a_command_that_makes_no_sense_ends_with_2_and_does_nothing(data: Path, words: list[str]) -> None:
    before = act(data, "token", "list")[1], act(data, "user", "list")[1], act(data, "names", "list")[1]
    assert act(data, *words)[0] == 2
    assert (act(data, "token", "list")[1], act(data, "user", "list")[1], act(data, "names", "list")[1]) == before


def test_who_only_looks_makes_no_data_folder(tmp_path: Path) -> None:
    for words in (["names", "list"], ["token", "list"], ["yank", "acme", "1.0"], ["delete", "acme"]):
        status, _, said = act(tmp_path / "typo", *words)
        assert (status, "There is no store in" in said) == (1, True)
    assert not (tmp_path / "typo").exists()


def test_a_token_stands_alone_on_standard_output_and_works(data: Path) -> None:
    words = ["--user", "wang", "--scope", "Acme-*", "--scope", "other", "--expires", "30 min", "--note", "CI"]
    status, printed, said = act(data, "token", "create", *words)
    assert status == 0
    assert re.fullmatch(r"yzn_[0-9a-f]{12}_[0-9a-f]{64}\n", printed)
    assert printed.strip() not in said
    for word in ("~/.pypirc", "__token__", "UV_PUBLISH_TOKEN", "~/.netrc", "acme-*, other", "yizhan token revoke"):
        assert word in said
    (listed,) = json.loads(act(data, "token", "list", "--json")[1])["tokens"]
    assert (listed["user"], listed["scope"], listed["may"], listed["note"]) == (
        "wang",
        ["acme-*", "other"],
        ["upload"],
        "CI",
    )
    assert datetime.fromisoformat(listed["expires"]) - datetime.fromisoformat(listed["created"]) == timedelta(
        minutes=30
    )


def test_a_token_that_cannot_be_printed_is_worth_nothing(data: Path) -> None:
    with open("/dev/full", "wb") as full:
        status, said = printed_to(full.fileno(), data, "token", "create", "--user", "wang")
    assert (status, said) == (1, "It cannot be printed: No space left on device.\n")
    assert [token["revoked"] for token in listed_tokens(data)] != [None]


@pytest.mark.parametrize(
    "words", [["user", "list"], ["names", "list"], ["user", "passwd", "wang", "--password", "new"]]
)
def test_what_cannot_be_printed_is_told_as_that_and_a_pipe_that_nobody_reads_is_fine(
    data: Path, words: list[str]
) -> None:
    with open("/dev/full", "wb") as full:
        said = printed_to(full.fileno(), data, *words)[1]
    assert said.endswith("It cannot be printed: No space left on device.\n")
    reader, writer = os.pipe()
    os.close(reader)
    said = printed_to(writer, data, *words)[1]
    os.close(writer)
    assert "printed" not in said
    assert "used" not in said
    assert "Traceback" not in said


def printed_to(output: int, data: Path, *words: str) -> tuple[int, str]:
    """Status and errors of a real command that prints to the file descriptor *output*."""
    command = [sys.executable, "-m", "proxy", *words, "--data", str(data)]
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


def listed_tokens(data: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(act(data, "token", "list", "--json")[1])["tokens"]
    return found


def test_tokens_are_listed_and_revoked(data: Path) -> None:
    for flags in (["--read-only"], ["--admin"]):
        act(data, "token", "create", "--user", "wang", *flags)
    act(data, "token", "create", "--user", "li")
    tokens = json.loads(act(data, "token", "list", "--user", "wang", "--json")[1])["tokens"]
    assert sorted(token["may"] for token in tokens) == [["admin"], ["read"]]
    status, printed, _ = act(data, "token", "revoke", *(token["id"] for token in tokens))
    assert (status, printed.count("revoked: ")) == (0, 2)
    assert "revoked before" in act(data, "token", "revoke", tokens[0]["id"])[1]
    rows = act(data, "token", "list")[1].splitlines()
    assert len(rows) == 4
    assert rows[0].split()[:4] == ["id", "user", "scope", "may"]


def test_a_token_of_nobody_is_warned_of(data: Path) -> None:
    assert "no user yet" in act(data, "token", "create", "--user", "li")[2]
    assert "no user yet" not in act(data, "token", "create", "--user", "wang")[2]


def test_users_come_and_go_and_their_tokens_go_with_them(data: Path) -> None:
    status, printed, _ = act(data, "user", "add", "li", stdin="correct horse\n")
    assert (status, printed) == (0, "")
    line = (data / "state" / "htpasswd").read_text().splitlines()[1]
    assert bcrypt.checkpw(b"correct horse", line.removeprefix("li:").encode())
    status, printed, _ = act(data, "user", "passwd", "li", "--password", "new")
    line = (data / "state" / "htpasswd").read_text().splitlines()[1]
    assert bcrypt.checkpw(printed.strip().encode(), line.removeprefix("li:").encode())
    act(data, "token", "create", "--user", "li")
    act(data, "token", "create", "--user", "wang")
    assert act(data, "user", "remove", "li") == (0, "li is no user any more; tokens revoked: 1\n", "")
    assert "li" not in act(data, "user", "list")[1].split()
    tokens = json.loads(act(data, "token", "list", "--json")[1])["tokens"]
    assert {token["user"]: token["revoked"] is not None for token in tokens} == {"li": True, "wang": False}


def test_a_password_is_asked_for_twice_at_a_terminal_and_not_shown(tmp_path: Path) -> None:
    status, shown = at_a_terminal(tmp_path, "user", "add", "li", answers=["correct horse", "correct horse"])
    assert status == 0
    assert (shown.count("Password"), shown.count("Repeat for confirmation"), "horse" in shown) == (1, 1, False)
    line = (tmp_path / "state" / "htpasswd").read_text()
    assert bcrypt.checkpw(b"correct horse", line.strip().removeprefix("li:").encode())


def test_a_user_is_removed_where_nothing_was_ever_kept(tmp_path: Path) -> None:
    act(tmp_path, "user", "add", "li", "--password", "none")
    assert act(tmp_path, "user", "remove", "li")[0] == 0
    assert not (tmp_path / "state" / "store.db").exists()


# The banner


def settings(**environment: str) -> Settings:
    return load(None, environment={"HOME": "/home/wang", **environment}).settings


def test_the_banner_has_lines_to_copy_that_work_on_this_machine() -> None:
    text = banner(settings(), listening="http://127.0.0.1:8080/", user=("yizhan", "s3cret"))
    for line in (
        "  pip install -i http://127.0.0.1:8080/simple/ PACKAGE",
        "  pip config set global.index-url http://127.0.0.1:8080/simple/",
        "  export UV_DEFAULT_INDEX=http://127.0.0.1:8080/simple/",
        "  twine upload --repository-url http://127.0.0.1:8080/ -u yizhan -p s3cret dist/*",
        "  Only the password's hash is kept, in /home/wang/.local/state/yizhan/htpasswd",
        "  tuna    https://pypi.tuna.tsinghua.edu.cn/simple/",
    ):
        assert line in text.splitlines()
    assert "trusted-host" not in text


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://10.0.0.7:8080/", "10.0.0.7"),
        ("http://pypi.lan/", "pypi.lan"),
        ("http://[fd00::7]:8080/", "fd00::7"),
        ("http://localhost:8080/", None),
        ("http://[::1]:8080/", None),
        ("https://pypi.example.cn/", None),
    ],
)
def test_pip_is_told_to_trust_a_host_on_clear_http_alone(url: str, trusted: str | None) -> None:
    text = banner(settings(), listening=url, user=None)
    assert (f"--trusted-host {trusted} PACKAGE" in text) == (trusted is not None)
    assert (f"pip config set global.trusted-host {trusted}" in text) == (trusted is not None)


def test_the_banner_shows_no_password_but_a_new_one() -> None:
    text = banner(settings(), listening="http://x/", user=None)
    assert "twine upload --repository-url http://x/ -u USER dist/*" in text
    assert " -p " not in text


def test_the_banner_says_so_where_anyone_may_upload() -> None:
    text = banner(settings(YIZHAN_AUTH__UPLOAD="anyone"), listening="http://x/", user=None)
    assert "twine upload --repository-url http://x/ -u anyone -p anyone dist/*" in text


def test_the_banner_says_so_where_there_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "private.toml").write_text("index = []")
    alone = load(tmp_path / "private.toml", environment={"HOME": "/home/wang"}).settings
    assert "private projects alone" in banner(alone, listening="http://x/", user=None)


def test_a_machine_has_an_address_or_a_name() -> None:
    assert machine_address() not in {"", "0.0.0.0", "192.0.2.1"}


# The first user


def test_the_first_user_can_sign_in_with_what_was_printed(tmp_path: Path) -> None:
    made = make_first_user(tmp_path / "htpasswd", token=lambda: "s3cret")
    assert made == ("yizhan", "s3cret")
    name, hashed = (tmp_path / "htpasswd").read_text().rstrip("\n").split(":")
    assert name == "yizhan"
    assert hashed.startswith("$2y$12$")
    assert bcrypt.checkpw(b"s3cret", hashed.encode())
    assert (tmp_path / "htpasswd").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["htpasswd"]


def test_every_first_user_has_another_password(tmp_path: Path) -> None:
    made = [make_first_user(tmp_path / name) for name in ("one", "two")]
    passwords = {user[1] for user in made if user is not None}
    assert len(passwords) == 2
    assert all(len(password) >= 20 and password.isalnum() for password in passwords)


@pytest.mark.parametrize("kind", ["file", "empty", "link"])
def test_users_that_exist_are_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "htpasswd"
    if kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_text("wang:x\n" if kind == "file" else "")
    before = os.lstat(path)
    assert make_first_user(path) is None
    assert os.lstat(path) == before


def test_of_two_first_starts_at_once_one_makes_the_user(tmp_path: Path) -> None:
    def late() -> str:
        (tmp_path / "htpasswd").write_text("faster:x\n")
        return "s3cret"

    assert make_first_user(tmp_path / "htpasswd", token=late) is None
    assert (tmp_path / "htpasswd").read_text() == "faster:x\n"
    assert os.listdir(tmp_path) == ["htpasswd"]
