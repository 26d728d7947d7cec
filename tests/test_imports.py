"""`yizhan import`: what it takes, what it leaves out and why, and that nothing can be lost or changed by it."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import pytest
from click.testing import CliRunner, Result
from packaging.utils import canonicalize_name

from proxy.cli import yizhan
from proxy.commands import progress
from proxy.simple.model import File
from proxy.storage import disk_store, tree
from proxy.storage.audit import audit
from proxy.storage.disk_store import DiskStore, lock

from . import make
from .daemon import clean_environment

OLD = datetime(2020, 5, 4, 3, 2, 1, tzinfo=UTC)

Shelf = dict[str, tuple[File, bytes]]
"""What a store holds: by filename."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def put(folder: Path, filename: str, body: bytes, *, when: datetime = OLD) -> Path:
    path = folder / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    os.utime(path, (when.timestamp(), when.timestamp()))
    return path


def run(*words: object) -> Result:
    return CliRunner(env={"HOME": "/home/wang"}).invoke(yizhan, [str(word) for word in words])


def taken(source: Path, data: Path, *words: object, kind: str = "dir") -> Result:
    """An import that must leave no distribution out."""
    result = run("import", kind, source, "--data", data, *words)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result


def refused(source: Path, data: Path, *words: object, kind: str = "dir") -> str:
    """What is said of an import that leaves something out."""
    result = run("import", kind, source, "--data", data, *words)
    assert result.exit_code == 1, result.output
    return result.stdout


@contextmanager
def opened(data: Path) -> Iterator[DiskStore]:
    """The store that was imported into, for a test that has no loop of its own."""
    store = DiskStore(data / "state", now=lambda: datetime.now(UTC))
    try:
        yield store
    finally:
        asyncio.run(store.close())


def shelf(data: Path) -> Shelf:
    """All that a server would serve, with its bytes."""

    async def read(store: DiskStore) -> Shelf:
        found: Shelf = {}
        for name in await store.claimed():
            for file in await store.files(name):
                blob = await store.open(file)
                with blob.handle:
                    found[file.filename] = file, blob.handle.read()
        return found

    with opened(data) as store:
        return asyncio.run(read(store))


def bodies(data: Path) -> dict[str, bytes]:
    return {filename: body for filename, (_, body) in shelf(data).items()}


def stored(data: Path, filename: str) -> Path:
    """Where the store keeps the bytes of *filename*."""
    return data / "state" / "files" / shelf(data)[filename][0].path


def traces(folder: Path) -> dict[str, object]:
    """All that can be seen of a folder but who has read it."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.as_posix()] = status.st_ino, status.st_mode, status.st_nlink, status.st_mtime_ns, content
    return found


# What is taken


@pytest.mark.parametrize("kind", ["dir", "pypiserver"])
def test_a_folder_is_taken_with_all_below_it(source: Path, data: Path, kind: str) -> None:
    wheel, sdist = make.wheel("acme-sdk", "1.0"), make.sdist("acme-sdk", "1.0")
    other = make.wheel("acme-tools", "2.0", requires_python=">=3.8")
    put(source, *wheel)
    put(source / "a", *sdist)
    put(source / "a" / "b", *other)
    result = taken(source, data, kind=kind)
    assert bodies(data) == dict([wheel, sdist, other])
    assert result.stdout.splitlines() == [
        f"taken: 3 files of 2 projects ({sum(len(body) for _, body in (wheel, sdist, other)):,} bytes)",
        "already here: 0 files",
        "names that are private from now on: acme-sdk, acme-tools",
        "left out: 0",
    ]
    file = shelf(data)[other[0]][0]
    assert (file.requires_python, file.hashes["sha256"]) == (">=3.8", hashlib.sha256(other[1]).hexdigest())
    assert isinstance(file.core_metadata, dict)


def test_names_of_before_pep_625_are_taken(source: Path, data: Path) -> None:
    put(source, "Foo-Bar-1.0.tar.gz", make.sdist("foo-bar", "1.0")[1])
    put(source, "foo.bar-2.0.tar.gz", make.sdist("foo-bar", "2.0")[1])
    taken(source, data)
    assert bodies(data).keys() == {"Foo-Bar-1.0.tar.gz", "foo.bar-2.0.tar.gz"}


def test_the_time_of_a_file_is_kept_as_its_upload_time_unless_it_lies_ahead(source: Path, data: Path) -> None:
    began = datetime.now(UTC)
    old = put(source, *make.wheel("acme", "1.0"))
    ahead = put(source, *make.wheel("acme", "2.0"), when=datetime(2999, 1, 1, tzinfo=UTC))
    taken(source, data)
    found = shelf(data)
    assert found[old.name][0].upload_time == OLD
    later = found[ahead.name][0].upload_time
    assert later is not None
    assert began <= later <= datetime.now(UTC)


def test_what_a_link_leads_to_is_taken_once_however_links_go(source: Path, data: Path, tmp_path: Path) -> None:
    filename, body = make.wheel("acme", "1.0")
    put(tmp_path / "elsewhere", filename, body)
    (source / filename).symlink_to(tmp_path / "elsewhere" / filename)
    (source / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(source)
    taken(source, data, "--link")
    assert bodies(data) == {filename: body}


def test_a_digest_that_stands_beside_a_file_must_be_its_own(source: Path, data: Path) -> None:
    right, wrong = make.wheel("acme", "1.0"), make.wheel("acme", "2.0")
    for filename, body in (right, wrong):
        put(source, filename, body)
        put(source, f"{filename}.sha256", f"{hashlib.sha256(right[1]).hexdigest()} *{filename}\n".encode())
    said = refused(source, data)
    assert f"  {wrong[0]}: does not have the sha256 digest that the source lists" in said
    assert bodies(data).keys() == {right[0]}


def test_only_the_projects_that_are_asked_for_are_taken(source: Path, data: Path) -> None:
    for name in ("acme", "acme-sdk", "acmex", "numpy"):
        put(source, *make.wheel(name, "1.0"))
    put(source, "numpy-2.0-py3-none-any.whl", b"not even a zip")
    result = taken(source, data, "--only", "Acme-*", "--only", "acmex")
    assert {canonicalize_name(name.split("-")[0]) for name in bodies(data)} == {"acme", "acme-sdk", "acmex"}
    assert "numpy" not in result.stdout
    wrong = run("import", "dir", source, "--data", data, "--only", "*")
    assert wrong.exit_code == 2
    assert "--only" in wrong.stderr


# What is left out


def test_what_is_no_distribution_is_named_and_no_failure(source: Path, data: Path) -> None:
    filename, body = make.wheel("acme", "1.0")
    for name in (filename, "README.md", f"{filename}.asc", "docs.zip", ".hidden-1.0.tar.gz", ".cache/acme-3.0.tar.gz"):
        put(source, name, body)
    result = taken(source, data)
    assert bodies(data) == {filename: body}
    for name in ("README.md", f"{filename}.asc", "docs.zip"):
        assert f"  {name}: is no distribution" in result.stdout.splitlines()
    (source / os.fsdecode(b"\xff\x1b[31m.txt")).touch()
    assert "  \ufffd\ufffd[31m.txt: is no distribution" in taken(source, data).stdout.splitlines()
    for number in range(99):
        put(source, f"{number}.txt", b"")
    assert "  and 84 more" in taken(source, data).stdout


def broken(source: Path) -> tuple[str, str]:
    return put(source, "acme-9.0-py3-none-any.whl", b"PK\x03\x04 no more").name, "."


def renamed(source: Path) -> tuple[str, str]:
    body = make.wheel("acme", "1.0")[1]
    # The archive's reader, which looks for the folder of that name, comes first.
    return put(source, "other-1.0-py3-none-any.whl", body).name, "dist-info"


def of_another_kind(source: Path) -> tuple[str, str]:
    return put(source, "acme-1.0-py2.7.egg", b"").name, "Only wheels"


def second_sdist(source: Path) -> tuple[str, str]:
    put(source, "acme-5.0.tar.gz", make.sdist("acme", "5.0")[1])
    return put(source, "acme-5.0.0.tar.gz", make.sdist("acme", "5.0.0")[1]).name, ""


def fifo(source: Path) -> tuple[str, str]:
    os.mkfifo(source / "acme-6.0-py3-none-any.whl")
    return "acme-6.0-py3-none-any.whl", "is not a file"


def dead_link(source: Path) -> tuple[str, str]:
    (source / "acme-7.0-py3-none-any.whl").symlink_to("nowhere")
    return "acme-7.0-py3-none-any.whl", "is missing"


def no_name(source: Path) -> tuple[str, str]:
    return put(source, "acme-1.0-py3.whl", b"").name, "not a filename that a distribution can have"


def other_bytes(source: Path) -> tuple[str, str]:
    filename, body = make.wheel("acme", "8.0")
    put(source / "first", filename, body)
    put(source / "second", filename, make.wheel("acme", "8.0", payload=b"x")[1])
    return f"second/{filename}", f"has other bytes than the file of that name that is here (sha256 {_sha256(body)})"


@pytest.mark.parametrize(
    "fault", [broken, renamed, of_another_kind, second_sdist, fifo, dead_link, no_name, other_bytes]
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_file_that_cannot_be_taken_is_named_with_its_reason_and_the_others_are_taken(
    source: Path, data: Path, fault: Callable[[Path], tuple[str, str]], dry_run: bool
) -> None:
    place, why = fault(source)
    well = put(source, *make.wheel("zebra", "1.0"))
    said = refused(source, data, *(["--dry-run"] if dry_run else []))
    if fault is second_sdist:  # whichever comes first
        assert "Only one sdist may be uploaded per release" in said
    else:
        (line,) = [line for line in said.splitlines() if line.startswith(f"  {place}: ")]
        assert why in line
    assert "left out: 1\n" in said
    if not dry_run:
        assert bodies(data)[well.name] == well.read_bytes()
        assert os.listdir(data / "state" / "incoming") == []


def test_what_was_deleted_here_does_not_come_back(source: Path, data: Path) -> None:
    path = put(source, *make.wheel("acme", "1.0"))
    taken(source, data)
    with opened(data) as store:
        asyncio.run(store.remove([path.name]))
    for words in ([], ["--dry-run"]):
        assert f"  {path.name}: was deleted here, which uses its filename up" in refused(source, data, *words)
    assert bodies(data) == {}


# The source is only read, and the copy is ours


def test_the_source_is_left_as_it_was(source: Path, data: Path) -> None:
    put(source / "a", *make.wheel("acme", "1.0"))
    broken(source)
    before = traces(source)
    refused(source, data)
    assert traces(source) == before


def test_who_changes_the_source_later_changes_nothing_here(source: Path, data: Path) -> None:
    path = put(source, *make.wheel("acme", "1.0"))
    body = path.read_bytes()
    taken(source, data)
    with path.open("r+b") as handle:
        handle.write(b"changed in place")
    assert bodies(data) == {path.name: body}
    assert stored(data, path.name).stat().st_nlink == 1


def test_with_link_a_file_takes_no_room_where_that_can_be_done(
    source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(source, *make.wheel("acme", "1.0"))
    assert ", 1 of them hard-linked\n" in taken(source, data, "--link").stdout
    assert stored(data, first.name).samefile(first)

    def other_file_system(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_file_system)
    second = put(source, *make.wheel("acme", "2.0"))
    assert "hard-linked" not in taken(source, data, "--link").stdout
    assert stored(data, second.name).read_bytes() == second.read_bytes()
    assert not stored(data, second.name).samefile(second)


def test_a_dry_run_says_what_would_be_and_makes_nothing(source: Path, data: Path) -> None:
    put(source, *make.wheel("acme", "1.0"))
    said = taken(source, data, "--dry-run").stdout
    assert "would take: 1 files of 1 projects" in said
    assert "names that would be private from now on: acme\n" in said
    assert not data.exists()
    taken(source, data)
    before = traces(data)
    put(source, *make.wheel("acme", "2.0"))
    with opened(data):  # a server may be running
        said = taken(source, data, "--dry-run").stdout
    assert "would take: 1 files of 1 projects" in said
    assert "already here: 1 files" in said
    assert {path for path in traces(data) if "store.db-" not in path} == set(before)


# Again, and again


def test_the_same_files_again_change_nothing(source: Path, data: Path) -> None:
    for version in ("1.0", "2.0"):
        put(source, *make.wheel("acme", version))
    taken(source, data)
    before = shelf(data)
    said = taken(source, data).stdout
    assert "taken: 0 files" in said
    assert "already here: 2 files" in said
    assert shelf(data) == before


def test_a_file_that_is_damaged_here_is_taken_again(source: Path, data: Path) -> None:
    path = put(source, *make.wheel("acme", "1.0"))
    taken(source, data)
    os.truncate(stored_unread(data), 10)
    taken(source, data)
    assert bodies(data) == {path.name: path.read_bytes()}


def stored_unread(data: Path) -> Path:
    """The one content that is there."""
    (found,) = [path for path in (data / "state" / "files").glob("??/??/*") if path.suffix != ".metadata"]
    return found


def test_a_full_disk_ends_the_import_and_the_next_one_goes_on(
    source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        put(source, *make.wheel("acme", f"{number}.0"))
    synced = tree.sync

    def sync(path: Path) -> None:
        if len(list((data / "state" / "files").glob("??/??/*.metadata"))) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(path)

    monkeypatch.setattr(disk_store, "sync", sync)
    said = refused(source, data)
    assert "taken: 2 files" in said
    assert said.endswith("There is no room left on the disk of the store. Run the same command again to go on.\n")
    monkeypatch.undo()
    said = taken(source, data).stdout
    assert "taken: 3 files" in said
    assert "already here: 2 files" in said


def test_an_import_that_is_killed_has_whole_files_alone_and_goes_on_when_run_again(source: Path, data: Path) -> None:
    sent = dict(make.wheel(f"acme-{number}", "1.0") for number in range(150))
    for filename, body in sent.items():
        put(source, filename, body)
    for least in (10, 60):
        command = [sys.executable, "-m", "proxy", "import", "dir", str(source), "--data", str(data)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment()) as process:
            _wait_for_rows(data, least, process)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert audit(data / "state", now=time.time()).wrong == ()
        found = bodies(data)
        assert least <= len(found) < len(sent)
        assert found.items() <= sent.items()
    said = taken(source, data).stdout
    assert f"already here: {len(found)} files" in said
    assert bodies(data) == sent
    # Nothing of the killed ones is left that no row lists, however long ago it was.
    assert audit(data / "state", now=time.time() + 1e6).wrong == ()


def _wait_for_rows(data: Path, least: int, process: subprocess.Popen[bytes]) -> None:
    """Return when so many files are listed: another process's rows tell nobody."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "it ended first"
        if (data / "state" / "generation").exists():
            with closing(sqlite3.connect(data / "state" / "store.db")) as connection:
                if connection.execute("SELECT COUNT(*) FROM files").fetchone()[0] >= least:
                    return
        time.sleep(0.005)
    raise AssertionError("nothing is imported")


def test_no_import_while_a_server_runs(source: Path, data: Path) -> None:
    put(source, *make.wheel("acme", "1.0"))
    taken(source, data)
    held = lock(data / "state" / "lock")
    try:
        result = run("import", "dir", source, "--data", data)
    finally:
        os.close(held)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Another Yizhan is already using this data folder: stop it first" in result.stderr


def test_a_bar_stands_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for terminal in (True, False):
        written = (tmp_path / "stderr").open("w+")
        monkeypatch.setattr(sys, "stderr", _Terminal(written) if terminal else written)
        with progress.watch("importing", 100) as step:
            step(100)
        written.seek(0)
        text = written.read()
        assert ("importing" in text and "100%" in text) if terminal else text == ""
        written.close()


class _Terminal:
    """A file that says it is one."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


# devpi


def release(
    root: Path,
    index: str,
    distribution: tuple[str, bytes],
    *,
    entry: dict[str, Any] | None = None,
    version: str = "1.0",
) -> dict[str, Any]:
    """A file of an export, as devpi-server 6 lists it."""
    filename, body = distribution
    place = f"{index}/{filename.partition('-')[0]}/{version}/{filename}"
    put(root, place, body, when=datetime(2026, 1, 1, tzinfo=UTC))
    return {
        "type": "releasefile",
        "projectname": filename.partition("-")[0],
        "version": version,
        "relpath": place,
        "entrymapping": {
            "hashes": {"sha256": _sha256(body)},
            "last_modified": "Mon, 04 May 2020 03:02:01 GMT",
            "project": filename.partition("-")[0],
            **(entry or {}),
        },
        "log": [{"what": "upload", "who": "alice", "when": [2020, 5, 4, 3, 2, 1], "dst": index}],
    }


def export(root: Path, indexes: dict[str, dict[str, Any]], *, dumpversion: str = "2") -> Path:
    document = {
        "users": {"root": {"username": "root", "pwhash": "$argon2id$..."}},
        "indexes": indexes,
        "dumpversion": dumpversion,
        "pythonversion": [3, 12, 1, "final", 0],
        "devpi_server": "6.14.0",
        "uuid": "0846290854e347f782fd65dd529cde40",
    }
    put(root, "dataindex.json", json.dumps(document, indent=2).encode())
    return root


def stage(*files: dict[str, Any], kind: str = "stage", projects: Any = None) -> dict[str, Any]:
    return {"indexconfig": {"type": kind, "bases": []}, "files": list(files), "projects": projects or {}}


def test_an_export_of_devpi_is_taken_with_its_times(source: Path, data: Path) -> None:
    wheel, sdist = make.wheel("acme", "1.0"), make.sdist("acme", "1.0")
    old = release(source, "root/dev", sdist, entry={"hashes": {}, "md5": hashlib.md5(sdist[1]).hexdigest()})
    export(source, {"root/prod": stage(release(source, "root/prod", wheel)), "root/dev": stage(old, projects=[])})
    taken(source, data, kind="devpi")
    assert bodies(data) == dict([wheel, sdist])
    assert {file.upload_time for file, _ in shelf(data).values()} == {OLD}


@pytest.mark.parametrize(
    "listed",
    [
        {"hashes": {"sha256": "0" * 64}},
        {"hashes": {"sha512": "0" * 128}},
        {"hashes": {}, "hash_spec": "md5=" + "0" * 32},
        {"hashes": {}, "md5": "0" * 32},
    ],
)
def test_a_digest_that_devpi_lists_must_hold(source: Path, data: Path, listed: dict[str, Any]) -> None:
    file = release(source, "root/dev", make.wheel("acme", "1.0"), entry=listed)
    export(source, {"root/dev": stage(file)})
    assert "digest that the source lists" in refused(source, data, kind="devpi")
    assert bodies(data) == {}


def test_what_a_mirror_of_devpi_holds_becomes_private_only_where_it_is_asked_for(source: Path, data: Path) -> None:
    numpy, acme = make.wheel("numpy", "1.0"), make.wheel("acme", "1.0")
    export(
        source,
        {
            "root/pypi": stage(release(source, "root/pypi", numpy), kind="mirror"),
            "root/dev": stage(release(source, "root/dev", acme)),
        },
    )
    said = taken(source, data, kind="devpi").stdout
    assert f"numpy/1.0/{numpy[0]}: is a copy that the mirror index root/pypi holds" in said
    assert bodies(data) == dict([acme])
    taken(source, data, "--index", "root/pypi", kind="devpi")
    assert bodies(data) == dict([acme, numpy])


def test_of_two_indexes_the_one_that_is_named_first_has_the_filename(source: Path, data: Path) -> None:
    dev, prod = make.wheel("acme", "1.0", payload=b"dev"), make.wheel("acme", "1.0", payload=b"prod")
    export(
        source,
        {
            "root/dev": stage(release(source, "root/dev", dev)),
            "root/prod": stage(release(source, "root/prod", prod)),
        },
    )
    said = refused(source, data, "--index", "root/prod", "--index", "root/dev", kind="devpi")
    assert f"  root/dev/acme/1.0/{dev[0]}: has other bytes" in said
    assert bodies(data) == dict([prod])


@pytest.mark.parametrize(
    ("said", "here"),
    [
        ("leaks memory", "leaks memory"),
        ("  leaks\n\x1b[31mmemory ", "leaks  [31mmemory"),
        ("", True),
        (True, True),
        (False, False),
        (None, False),
    ],
)
def test_what_was_yanked_stays_so(source: Path, data: Path, said: object, here: bool | str) -> None:
    file = release(source, "root/dev", make.wheel("acme", "1.0"))
    other = release(source, "root/dev", make.wheel("acme", "2.0"), version="2.0")
    versions = {"acme": {"1.0": {"name": "acme", "version": "1.0", "yanked": said}, "2.0": {}}}
    export(source, {"root/dev": stage(file, other, projects=versions)})
    why = f" ({here})" if isinstance(here, str) else ""
    for words in (["--dry-run"], []):
        lines = taken(source, data, *words, kind="devpi").stdout.splitlines()
        assert (f"{file['relpath']} was yanked{why}, and stays so" in lines) is bool(here)
    assert {version.yanked for version, _ in shelf(data).values()} == {here, False}


def test_an_import_changes_nothing_of_a_file_that_is_here_already(source: Path, data: Path) -> None:
    """Its yank was perhaps taken back here; but it is said."""
    wheel = make.wheel("acme", "1.0")
    file = release(source, "root/dev", wheel)
    versions = {"acme": {"1.0": {"yanked": "leaks memory"}}}
    export(source, {"root/dev": stage(file, projects=versions)})
    taken(source, data, kind="devpi")
    assert "yanked" not in taken(source, data, kind="devpi").stdout
    with opened(data) as store:
        asyncio.run(store.yank([wheel[0]], False))
    lines = taken(source, data, kind="devpi").stdout.splitlines()
    assert f"{file['relpath']} was yanked (leaks memory): the file that was here before is not" in lines
    assert shelf(data)[wheel[0]][0].yanked is False


def test_what_an_export_holds_besides_distributions_is_named(source: Path, data: Path) -> None:
    docs = {"type": "doczip", "projectname": "acme", "version": "1.0", "relpath": "root/dev/acme-1.0.doc.zip"}
    export(source, {"root/dev": stage(release(source, "root/dev", make.wheel("acme", "1.0")), docs)})
    lines = taken(source, data, kind="devpi").stdout.splitlines()
    assert "  root/dev/acme-1.0.doc.zip: is no distribution but a doczip" in lines


@pytest.mark.parametrize("dry_run", [False, True])
def test_names_like_each_other_are_all_taken_and_remarked(source: Path, data: Path, dry_run: bool) -> None:
    """Who has installed them for years cannot be told that they may not be called so (decision 7)."""
    for name, version in (("billing", "1.0"), ("bi11ing", "1.0"), ("bi11ing", "2.0"), ("acme", "1.0")):
        put(source, *make.wheel(name, version))
    lines = taken(source, data, *(["--dry-run"] if dry_run else [])).stdout.splitlines()
    # In the order of the files.
    assert [line for line in lines if "easily" in line] == [
        "billing is too easily taken for bi11ing, which is private here too"
    ]
    if not dry_run:
        assert len(bodies(data)) == 4
        put(source, *make.wheel("billing", "3.0"))
        assert "easily" not in taken(source, data).stdout


def test_an_export_whose_files_are_gone_or_elsewhere_is_taken_without_them(source: Path, data: Path) -> None:
    gone = release(source, "root/dev", make.wheel("gone", "1.0"))
    (source / gone["relpath"]).unlink()
    outside = {**gone, "relpath": "../outside-1.0.tar.gz"}
    put(source.parent, *make.wheel("outside", "1.0"))
    acme = make.wheel("acme", "1.0")
    export(source, {"root/dev": stage(gone, outside, release(source, "root/dev", acme))})
    said = refused(source, data, kind="devpi")
    assert f"  {gone['relpath']}: is missing" in said
    assert "  ../outside-1.0.tar.gz: lies outside of the export" in said
    assert bodies(data) == dict([acme])


def test_what_is_no_export_is_refused_in_a_sentence(source: Path, data: Path) -> None:
    said = run("import", "devpi", source, "--data", data)
    assert said.exit_code == 1
    assert said.stderr.endswith("give the folder of a devpi-export.\n")
    for document in ("{", "[]", '{"dumpversion": "2", "indexes": []}'):
        put(source, "dataindex.json", document.encode())
        assert "is not what devpi-export writes" in run("import", "devpi", source, "--data", data).stderr
    export(source, {}, dumpversion="3")
    assert "dumpversion 3; 1 and 2 can be read." in run("import", "devpi", source, "--data", data).stderr
    export(source, {"root/dev": stage()})
    wanted = run("import", "devpi", source, "--data", data, "--index", "root/prod")
    assert wanted.stderr == "The export has no index root/prod, only root/dev.\n"
    assert run("import", "dir", source, "--data", data, "--index", "root/dev").exit_code == 2


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
