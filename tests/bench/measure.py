"""What clients see: one file downloaded, one tree installed; each checked against what the tree really holds."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from tests.daemon import clean_environment, program

from .tree import ROOT, Tree

JSON = "application/vnd.pypi.simple.v1+json"

LIMIT = 300.0
"""Seconds that one thing measured may take."""


class Wrong(Exception):
    """What was received is not what the tree holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """How long a file took, in seconds."""

    page: float
    """Its project's page, whole; a connection to the server included."""
    first_byte: float
    """From when the file was asked for, on the same connection."""
    whole: float


def download(index: str, tree: Tree, project: str) -> Download:
    """Fetch the newest wheel of *project* from the index at *index* as a client does: the page first.

    Raise Wrong where its bytes are not the tree's, OSError or http.client.HTTPException where there is no answer.
    """
    item = tree.newest(project)
    buffer = memoryview(bytearray(b"-") * item.size)  # touched, so that the clock sees no page faults
    server = urlsplit(index)
    connection = HTTPConnection(server.hostname or "", server.port, timeout=LIMIT)
    try:
        asked = time.monotonic()
        url = f"{index}{project}/"
        page = json.loads(_ask(connection, url, accept=JSON).read())
        paged = time.monotonic() - asked
        link = next(file["url"] for file in page["files"] if file["filename"] == item.filename)
        link = urljoin(url, link)
        if urlsplit(link).netloc != server.netloc:
            raise Wrong(f"{index} sends its clients elsewhere: {link}")
        asked = time.monotonic()
        answer = _ask(connection, link)
        received = answer.readinto(buffer[:1])
        first_byte = time.monotonic() - asked
        while received < item.size and (count := answer.readinto(buffer[received:])):
            received += count
        whole = time.monotonic() - asked
    finally:
        connection.close()
    if received != item.size or hashlib.sha256(buffer).hexdigest() != item.sha256:
        raise Wrong(f"{index} gave other bytes for {item.filename}: {received} of {item.size}.")
    return Download(page=paged, first_byte=first_byte, whole=whole)


def _ask(connection: HTTPConnection, url: str, *, accept: str = "*/*") -> HTTPResponse:
    connection.request("GET", urlsplit(url).path, headers={"Accept": accept})
    answer = connection.getresponse()
    if answer.status != 200:
        raise Wrong(f"{url} was answered with {answer.status}: {answer.read(200)!r}")
    return answer


class Installer:
    """Installs with uv, into nothing and from nothing, but for what uv knows of this Python."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seed = folder / "seed"
        # Starting the interpreter to ask what it is takes longer than all of uv's own work; users do so once.
        self._uv("pip", "list", cache=self._seed)

    def install(self, index: str, tree: Tree) -> float:
        """The seconds that `uv pip install` of the tree's ROOT takes from the index at *index*.

        Raise Wrong where what is installed then is not what the tree's wheels hold, CalledProcessError where uv fails.
        """
        cache, target = self._folder / "cache", self._folder / "target"
        for old in (cache, target):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(self._seed, cache)
        to = ("--target", str(target), "--default-index", index)
        began = time.monotonic()
        self._uv("pip", "install", *to, ROOT, cache=cache)
        took = time.monotonic() - began
        _check(target, tree)
        return took

    def _uv(self, *arguments: str, cache: Path) -> None:
        subprocess.run(
            [program("uv"), *arguments, "--quiet", "--python", sys.executable, "--cache-dir", str(cache)],
            env=clean_environment(),
            check=True,
            timeout=LIMIT,
            stdout=subprocess.DEVNULL,
        )


def _check(target: Path, tree: Tree) -> None:
    """Raise Wrong unless *target* holds the members of the wheels that the tree's closure takes, and no others."""
    installed = [folder.name.removesuffix(".dist-info") for folder in target.glob("*.dist-info")]
    if len(installed) != tree.closure:
        raise Wrong(f"{len(installed)} projects were installed instead of {tree.closure}.")
    for name in installed:
        project = name.rpartition("-")[0].replace("_", "-")
        item = tree.newest(project)
        with zipfile.ZipFile(tree.folder / item.path) as wheel:
            for member in wheel.namelist():
                # uv writes RECORD anew, with what it adds.
                if not member.endswith("/RECORD") and (target / member).read_bytes() != wheel.read(member):
                    raise Wrong(f"{member} is not what {item.filename} holds.")
