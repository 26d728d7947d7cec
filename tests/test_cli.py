"""The command line: what it hands to the server, what it prints, and how it ends."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import bcrypt
import pytest
from click.testing import CliRunner, Result

from proxy import __version__
from proxy.cli import yizhan
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
        "import sys, proxy.cli; print([name for name in ('aiohttp', 'pydantic', 'diskcache') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60) == "[]\n"


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
