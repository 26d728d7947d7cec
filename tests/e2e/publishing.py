"""How anybody publishes: a project, the account to publish with, and what every publishing tool is told alike.

Each tool is installed from the index that pip is configured for, in an environment of its own, since they contradict
each other's requirements; once, in pytest's cache.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from .. import make
from ..daemon import clean_environment, program
from .clients import Workstation, said
from .real import configured, index_url

PASSED = "http://127.0.0.1:9/legacy/"
"""Another server in people's settings, at which nobody listens."""

KEYRING = '''\
"""Passwords in a file: what a desktop's keyring is to a test."""

import json
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential

KNOWN = json.loads(Path(__file__).with_name("passwords.json").read_text())


class Keyring(KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        known = KNOWN.get(service)
        return known[1] if known and username == known[0] else None

    def get_credential(self, service, username):
        known = KNOWN.get(service)
        return SimpleCredential(*known) if known and username in (None, known[0]) else None

    def set_password(self, service, username, password):
        raise NotImplementedError  # no tool is asked to keep a password
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command that publishes, less the program's own path."""

    words: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """Where to publish, and as whom."""

    url: str
    """Of uploads, with its slash."""
    user: str
    password: str


@dataclass(frozen=True)
class Project:
    """What somebody has made, at some desk, and is about to publish: the source tree, and `dist` in there."""

    desk: Workstation
    folder: Path

    @property
    def files(self) -> list[Path]:
        """What is published, the wheel before the sdist."""
        return sorted((self.folder / "dist").iterdir(), key=lambda file: file.suffix, reverse=True)

    def digests(self) -> dict[str, str]:
        """Each filename's sha256."""
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files}


class Environments:
    """Where the tools are installed, one folder for each set of requirements."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._missing = ""
        """Why something could not be installed: then nothing else is tried, which would take as long."""

    def bin(self, requirements: Sequence[str]) -> Path:
        """The folder of the programs, made if need be; the test is skipped, loudly, where the index does not answer."""
        key = hashlib.sha256(repr((requirements, sys.version)).encode()).hexdigest()[:16]
        folder = self._folder / key
        if not (folder / "complete").exists():
            self._missing = self._missing or _install(folder, requirements)
            if self._missing:
                pytest.skip(f"NOT TESTED WITH {requirements[0]}: it cannot be installed here ({self._missing})")
            (folder / "complete").touch()
        return folder / "bin"


def _install(folder: Path, requirements: Sequence[str]) -> str:
    """Make an environment in *folder*; what is wrong, if anything."""
    environment = {**clean_environment(), "SSL_CERT_FILE": configured("cert", default="")}
    for words in (
        ("venv", "--quiet", "--clear", "--python", sys.executable, str(folder)),
        ("pip", "install", "--quiet", "--python", str(folder), "--default-index", index_url(), *requirements),
    ):
        done = subprocess.run(
            [program("uv"), *words],
            env={key: value for key, value in environment.items() if value},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return " ".join(done.stderr.split())[:300]
    return ""


class Tool(ABC):
    """One publishing tool."""

    program: str
    requirements: tuple[str, ...] = ()
    """What its environment needs; where there are none, it is installed beside this Python."""
    build_system: str
    """Of pyproject.toml: what people who publish with it build with."""
    looks: Literal["", "names", "digests"] = ""
    """What it compares with the index before it sends anything."""
    skips = False
    """Whether it can be told to leave out what exists."""
    without_password = "This needs a user name and a password, or a token."
    """What is read where none is given."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments

    def make(self, project: Project, name: str, *, payload: str = "") -> None:
        """Put a wheel of *name*, of version 1.0, into its `dist`; *payload* makes it another one of that name."""
        self._write(project, name, payload)
        filename, body = make.wheel(name, "1.0", payload=payload.encode())
        (project.folder / "dist" / filename).write_bytes(body)

    def build(self, project: Project, name: str) -> None:
        """Make its wheel and its sdist with its own build backend."""
        self._write(project, name, "")
        command = [
            str(self._environments.bin(self.requirements) / "python"),
            "-m",
            "build",
            "--no-isolation",
            "--quiet",
        ]
        project.desk.run(*command, folder=project.folder)

    def publish(self, project: Project, order: Order, *words: str) -> subprocess.CompletedProcess[str]:
        """Publish all of its `dist`; *words* are further options."""
        path = self.program
        if self.requirements:
            path = str(self._environments.bin(self.requirements) / path)
        # Unstyled: colours and a narrow terminal would break the sentences that are looked for.
        environment = {"TERM": "dumb", "SOURCE_DATE_EPOCH": "1767225600", **order.environment}
        return project.desk.run(path, *order.words, *words, folder=project.folder, environment=environment, ok=False)

    def read(self, done: subprocess.CompletedProcess[str]) -> str:
        """What it told a person, on one line: some break theirs anywhere."""
        return " ".join(said(done).split())

    @abstractmethod
    def as_told(self, project: Project, url: str, user: str | None, password: str | None) -> Order:
        """All of it on the command line, or in the environment where it has no option for it."""

    @abstractmethod
    def as_configured(self, project: Project, account: Account) -> Order:
        """By the name of one of several servers in its settings."""

    @abstractmethod
    def as_kept(self, project: Project, account: Account) -> Order:
        """With a password that only the keyring knows."""

    def _write(self, project: Project, name: str, payload: str) -> None:
        module = project.folder / name.replace("-", "_")
        for folder in (module, project.folder / "dist"):
            folder.mkdir(parents=True, exist_ok=True)
        (module / "__init__.py").write_text(f'"""Made for a test."""\n\n__version__ = "1.0"\nPAYLOAD = {payload!r}\n')
        (project.folder / "README.md").write_text("# Made for a test\n")
        (project.folder / "pyproject.toml").write_text(
            f'{self.build_system}\n[project]\nname = "{name}"\nversion = "1.0"\ndescription = "Made for a test"\n'
            'readme = "README.md"\nrequires-python = ">=3.8"\n'
            'authors = [{ name = "Somebody", email = "somebody@example.org" }]\n'
        )


def write_pypirc(desk: Workstation, account: Account) -> None:
    """Write `~/.pypirc` with two servers, of which `ours` is that of *account*."""
    (desk.home / ".pypirc").write_text(
        f"[distutils]\nindex-servers =\n    other\n    ours\n\n[other]\nrepository = {PASSED}\nusername = else\n"
        f"password = where\n\n[ours]\nrepository = {account.url}\nusername = {account.user}\n"
        f"password = {account.password}\n"
    )


def keep(desk: Workstation, account: Account) -> dict[str, str]:
    """Have a keyring that knows *account*, by every name under which tools ask for it; the environment to find it."""
    folder = desk.folder / "keyring"
    folder.mkdir()
    (folder / "in_a_file.py").write_text(KEYRING)
    # The last is poetry's.
    known = {service: [account.user, account.password] for service in (account.url, "poetry-repository-ours")}
    (folder / "passwords.json").write_text(json.dumps(known))
    return {"PYTHONPATH": str(folder), "PYTHON_KEYRING_BACKEND": "in_a_file.Keyring"}
