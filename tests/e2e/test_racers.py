"""Crowds that upload at the same moment: one of them wins, the others read why they did not, nothing is mixed up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from .. import make
from ..daemon import Server, yizhan
from ..test_web_uploads import BOUNDARY, form, twine
from .clients import fetch

RACERS = 50

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}

Answer = tuple[int, str]
"""Status and text."""


def racers(server: Server) -> aiohttp.ClientSession:
    """As many connections as there are racers, for the user who may upload."""
    headers = {"Authorization": aiohttp.encode_basic_auth(server.user, server.password)}
    return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))


async def race(session: aiohttp.ClientSession, server: Server, bodies: Sequence[bytes]) -> list[Answer]:
    """Send the forms *bodies*, all but their last bytes, and then the last bytes of all."""
    start = asyncio.Barrier(len(bodies))

    async def send(body: bytes) -> Answer:
        async def parts() -> AsyncIterator[bytes]:
            yield body[:-1]
            await start.wait()
            yield body[-1:]

        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        async with session.post(f"{server.url}legacy/", data=parts(), headers=headers) as answer:
            return answer.status, await answer.text()

    return await asyncio.gather(*map(send, bodies))


def listed(server: Server, name: str) -> dict[str, str]:
    page = json.loads(fetch(f"{server.simple}{name}/", JSON))
    return {file["filename"]: file["hashes"]["sha256"] for file in page["files"]}


@pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.long)])
async def test_of_fifty_with_other_bytes_for_one_filename_one_wins(rounds: int, tmp_path: Path) -> None:
    with yizhan(tmp_path) as server:
        async with racers(server) as session:
            for number in range(rounds):
                version = f"1.{number}"
                wheels = [make.wheel("acme-sdk", version, payload=b"%d" % racer) for racer in range(RACERS)]
                answers = await race(session, server, [form(twine(*wheel, version=version)) for wheel in wheels])
                assert sorted(status for status, _ in answers) == [200] + [400] * (RACERS - 1)
                (winner,) = (wheel for wheel, (status, _) in zip(wheels, answers, strict=True) if status == 200)
                filename, body = winner
                place = make.place(body).replace("/", "")
                why = f"File already exists ('{filename}', with blake2_256 hash '{place}'). Use a different version.\n"
                assert {text for status, text in answers if status == 400} == {why}
                _, found = await asyncio.to_thread(download, server, "acme-sdk", filename)
                assert found == body
        assert len(listed(server, "acme-sdk")) == rounds
        assert server.stop() == 0
    assert list((tmp_path / "state" / "incoming").iterdir()) == []
    contents = [path for path in (tmp_path / "state" / "files").rglob("*") if path.is_file() and not path.suffix]
    assert len(contents) == rounds


def download(server: Server, name: str, filename: str) -> tuple[str, bytes]:
    """The URL of a file, and what stands there."""
    page = json.loads(fetch(f"{server.simple}{name}/", JSON))
    (url,) = (file["url"] for file in page["files"] if file["filename"] == filename)
    url = f"{server.url}{url.removeprefix('../../')}"
    return url, fetch(url)


async def test_of_two_sdists_of_one_release_one_wins(tmp_path: Path) -> None:
    """Under two names, so that no filename stands in the way (rule U9)."""
    with yizhan(tmp_path) as server:
        async with racers(server) as session:
            for number in range(20):
                version = f"1.{number}"
                _, body = make.sdist("acme-sdk", version)
                names = [f"acme_sdk-{version}.tar.gz", f"acme-sdk-{version}.tar.gz"]
                forms = [form(twine(name, body, version=version)) for name in names]
                answers = await race(session, server, forms)
                assert sorted(status for status, _ in answers) == [200, 400], answers
                assert len(listed(server, "acme-sdk")) == number + 1
