"""commands/users.py: users come and go, and no other line of the htpasswd file does, whatever happens meanwhile."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.commands import users
from proxy.config import htpasswd as lines
from proxy.config.htpasswd import matches, parse_htpasswd, with_user, without_user
from proxy.errors import BadRequest

HASH = "$2y$04$wBPskC1XsQXPQU62CuqoZOGLYKTPOXtgX89fd45geb/aditpz0cB2"
OTHER = "$2y$04$7wGzDYQqWY7cS9m0RvJ0seYV3N3qB2m7f2u4sK0mB4hE1y1f7uTz."

apache = pytest.mark.skipif(shutil.which("htpasswd") is None, reason="needs htpasswd of apache2-utils")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Hashes of the least cost, but where a test is about what is written."""
    if "skipif" not in request.keywords:
        monkeypatch.setattr(users, "hashed_password", lambda password: lines.hashed_password(password, cost=4))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "htpasswd"


def lets_in(path: Path, name: str, password: str) -> bool:
    """Whether the server would."""
    hashed = parse_htpasswd(path.read_bytes()).hashes.get(name)
    return hashed is not None and matches(password.encode(), hashed)


def says(path: Path, name: str, password: str) -> bool:
    """Whether Apache's own program says that the password is right."""
    done = subprocess.run(["htpasswd", "-vb", str(path), name, password], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 3}, done.stderr
    return done.returncode == 0


@apache
def test_apaches_own_program_knows_the_users_that_we_make(path: Path) -> None:
    users.add(path, "ann", "s3cret word")
    users.add(path, "zoë", "pä:ss")
    users.add(path, "ci", None)
    users.add(path, "long", "x" * 72)
    assert [says(path, *known) for known in (("ann", "s3cret word"), ("zoë", "pä:ss"), ("long", "x" * 72))] == [
        True
    ] * 3
    assert [says(path, *wrong) for wrong in (("ann", "secret"), ("ci", "*"), ("ci", ""))] == [False] * 3
    users.passwd(path, "ann", "another")
    assert [says(path, "ann", password) for password in ("another", "s3cret word")] == [True, False]
    users.passwd(path, "ann", None)
    assert not says(path, "ann", "another")
    assert all(":$2y$12$" in line for line in path.read_text().splitlines() if line.startswith(("zoë", "long")))


@apache
def test_what_apaches_own_program_wrote_can_be_changed_and_taken_out(path: Path) -> None:
    for number, kind in enumerate(("-B", "-m", "-s")):
        made = ["-c"] if number == 0 else []
        subprocess.run(
            ["htpasswd", "-b", *made, kind, str(path), f"user{number}", "old"], check=True, capture_output=True
        )
    before = path.read_bytes().splitlines()
    users.passwd(path, "user1", "new")
    users.remove(path, "user2")
    assert path.read_bytes().splitlines()[0] == before[0]
    assert says(path, "user0", "old")
    assert says(path, "user1", "new")
    assert set(parse_htpasswd(path.read_bytes()).hashes) == {"user0", "user1"}


def test_a_new_file_is_for_its_owner_alone_and_its_folder_too(tmp_path: Path) -> None:
    path = tmp_path / "state" / "htpasswd"
    users.add(path, "ann", "secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["htpasswd"], "and nothing is left beside it"
    assert lets_in(path, "ann", "secret")


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o444])
def test_an_old_file_keeps_its_mode(path: Path, mode: int) -> None:
    path.write_text(f"bob:{HASH}\n")
    path.chmod(mode)
    users.add(path, "ann", "secret")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert lets_in(path, "ann", "secret")


@root
def test_a_file_stays_its_owners_and_a_new_one_is_the_folders_where_root_does_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "state" / "new"
    old.write_text(f"bob:{HASH}\n")
    os.chown(old, 12345, 23456)
    new.parent.mkdir()
    os.chown(new.parent, 12345, 23456)
    for path in (old, new):
        users.add(path, "ci", None)
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@root
def test_folders_that_root_makes_are_their_neighbours_too(tmp_path: Path) -> None:
    """Else the server, which runs as that user, could not make its store in there."""
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 12345, 23456)
    users.add(data / "new" / "state" / "htpasswd", "ci", None)
    for made in (data / "new", data / "new" / "state", data / "new" / "state" / "htpasswd"):
        assert (made.stat().st_uid, made.stat().st_gid) == (12345, 23456)
    assert tmp_path.stat().st_uid == os.geteuid()


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "etc" / "users", tmp_path / "htpasswd"
    real.parent.mkdir()
    real.write_text(f"bob:{HASH}\n")
    link.symlink_to(Path("etc") / "users")
    users.add(link, "ann", "secret")
    assert link.is_symlink()
    assert lets_in(real, "ann", "secret")
    assert sorted(os.listdir(tmp_path)) == ["etc", "htpasswd"]
    assert os.listdir(real.parent) == ["users"]


OLD = (
    b"# the team\r\n\r\n"
    + f"ann:{HASH}:Ann Smith\r\n".encode()
    + b"no user at all\r\n"
    + "zo\xeb:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\r\n".encode("latin-1")
    + b"  # bob:x\r\nbob:plaintext\r\n"
    + f"ann:{OTHER}\r\ncarl:{HASH}".encode()
)
"""As somebody may have written it, with an editor of another system."""


def test_all_other_lines_stay_as_they_are_byte_for_byte(path: Path) -> None:
    path.write_bytes(OLD)
    users.add(path, "dora", None)
    assert path.read_bytes() == OLD + b"\r\ndora:*\r\n"
    users.remove(path, "dora")
    assert path.read_bytes() == OLD + b"\r\n"
    users.passwd(path, "ann", None)
    assert path.read_bytes() == OLD.replace(HASH.encode(), b"*", 1) + b"\r\n", "the remark stays"
    users.passwd(path, "zoë", None)
    users.passwd(path, "bob", None)
    assert parse_htpasswd(path.read_bytes()).locked == {"ann", "zoë", "bob"}
    users.remove(path, "zoë")
    assert b"zo" not in path.read_bytes()


def test_who_is_taken_out_does_not_come_back_by_a_second_line(path: Path) -> None:
    path.write_bytes(OLD)
    users.remove(path, "ann")
    assert not parse_htpasswd(path.read_bytes()).knows("ann")
    assert path.read_bytes().count(b"\n") == OLD.count(b"\n") - 2


_names = st.sampled_from(["ann", "bob", "zoë", "a b"])
_parts = [b"ann:*", b"ann", b"bob:x:y", b"zo\xeb:*", "zoë:!".encode(), b"#ann:*", b"", b"\r", b"\xef\xbb\xbf", b":"]
_files = st.builds(
    lambda parts, end: end.join(parts),
    st.lists(st.sampled_from(_parts), max_size=6),
    st.sampled_from([b"\n", b"\r\n"]),
)


@given(_files, _names)
def test_whatever_the_file_holds_one_user_changes_and_no_other(content: bytes, name: str) -> None:
    others = {user: known for user, known in vars_of(content).items() if user != name}
    added = with_user(content, name, HASH)
    assert vars_of(added) == {**others, name: HASH}
    assert vars_of(without_user(added, name)) == others
    kept = [line for line in content.split(b"\n") if line.strip()]
    assert sum(line not in added.split(b"\n") for line in kept) <= 1 + (not content.endswith(b"\n"))


def vars_of(content: bytes) -> dict[str, str]:
    known = parse_htpasswd(content)
    return {**known.hashes, **dict.fromkeys(known.locked, "*")}


@pytest.mark.parametrize("name", ["", "a:b", "ann\n", "__token__", "*", "#ann", " ann"])
def test_a_name_that_nobody_can_have_is_refused_and_nothing_changed(path: Path, name: str) -> None:
    path.write_text(f"bob:{HASH}\n")
    before = path.stat()
    with pytest.raises(BadRequest) as caught:
        users.add(path, name, "secret")
    assert "\n" not in str(caught.value)
    assert path.stat() == before


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "empty"),
        ("x" * 73, "longer than 72 bytes"),
        ("密" * 25, "longer than 72 bytes"),
        ("a\0b", "character"),
        ("a\nb", "line break"),
    ],
)
def test_a_password_that_nobody_can_have_is_refused_in_words_that_do_not_repeat_it(
    path: Path, password: str, words: str
) -> None:
    for change in (users.add, users.passwd):
        with pytest.raises(BadRequest, match=words) as caught:
            change(path, "ann", password)
        assert not password or password not in str(caught.value)
    assert not path.exists()


def test_who_is_there_is_not_made_again_and_who_is_not_is_not_changed(path: Path) -> None:
    with pytest.raises(BadRequest, match="There is no user 'ann'"):
        users.remove(path, "ann")
    users.add(path, "ann", "secret")
    before = path.stat()
    with pytest.raises(BadRequest, match="already: yizhan user passwd"):
        users.add(path, "ann", "other")
    with pytest.raises(BadRequest, match="There is no user 'bob'"):
        users.passwd(path, "bob", "x")
    assert path.stat() == before
    assert lets_in(path, "ann", "secret")


def test_twenty_administrators_at_once_lose_no_line(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from proxy.commands import users\n"
        "for number in range(10): users.add(Path(sys.argv[1]), f'{sys.argv[2]}-{number}', None)"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, str(path), str(admin)]) for admin in range(2)]

    def administer(admin: int) -> None:
        for number in range(10):
            users.add(path, f"{admin}-{number}", None)

    crowd = [threading.Thread(target=administer, args=(admin,)) for admin in range(2, 20)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert [process.wait(60) for process in started] == [0, 0]
    expected = {f"{admin}-{number}" for admin in range(20) for number in range(10)}
    assert parse_htpasswd(path.read_bytes()).locked == expected
    assert os.listdir(path.parent) == ["htpasswd"]


def test_a_change_waits_for_the_one_before_it(path: Path) -> None:
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        second = threading.Thread(target=users.add, args=(path, "ann", None))
        second.start()
        second.join(0.3)
        assert not path.exists()
    finally:
        os.close(handle)
    second.join(30)
    assert path.read_text() == "ann:*\n"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_where_the_disk_fails_the_old_file_is_whole_and_nothing_is_left_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path.write_bytes(OLD)
    monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match="No space"):
        users.add(path, "dora", None)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == ["htpasswd"]


def test_the_file_is_on_the_disk_before_its_name_is_and_its_name_before_we_say_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def told(name: str) -> Callable[..., None]:
        real = getattr(os, name)

        def step(*arguments: int) -> None:
            real(*arguments)
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            done.append(f"{name} folder" if folder else name)

        return step

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, told(name))
    users.add(path, "ann", None)
    assert done == ["fsync", "replace", "fsync folder"]


def test_the_list_names_users_and_lines_that_let_nobody_in_and_no_hash(path: Path) -> None:
    assert "There is no" in "".join(users.show(path))
    path.write_bytes(OLD)
    users.add(path, "dora", None)
    said = list(users.show(path))
    assert said[:4] == ["ann", "carl", "dora  (no password: tokens alone)", "zoë"]
    assert [line for line in said[4:] if "line 4" in line or "line 7" in line or "line 8" in line] == said[4:7]
    assert "line 5 holds {SHA}" in said[7]
    assert not any(part in "\n".join(said) for part in (HASH[7:], "plaintext", "2jmj7"))


def test_a_password_is_read_from_the_first_line_without_its_end() -> None:
    for text in ("secret", "secret\n", "secret\r\n", "secret\nmore\n"):
        assert users.read_password(io.StringIO(text)) == "secret"
    assert users.read_password(io.StringIO(" se cret \n")) == " se cret "
    for text in ("", "\n", "x" * 10_000):
        with pytest.raises(BadRequest):
            users.read_password(io.StringIO(text))


def test_made_passwords_differ_and_mean_nothing_to_a_shell() -> None:
    made = {users.new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) >= 20 and password.isalnum() for password in made)
