"""Real clients behind all the mirrors: what one leaves out another fills in, and what all lose is still here."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from proxy.simple.model import JSON

from .. import make
from ..daemon import Server, yizhan
from ..family import Family, family
from ..family.samples import blocked, portal
from ..family.wheels import Rocm
from ..upstream_server import UpstreamServer, running
from .clients import Workstation, answered, fetch, wait_until

SHORT = """
connect_timeout = "1 s"
answer_timeout = "1 s"
stall_timeout = "1 s"
soft_deadline = "300 ms"
hard_deadline = "2 s"
networks = ["127.0.0.0/8"]
"""
HARD, SLACK = 2.0, 4.0
"""Seconds: the hard deadline of these settings, and what a busy machine may add; together less than the promised 10."""

PAYLOAD = bytes(300_000)
"""So that the end of a wheel is not all of it."""

BEFORE, BETWEEN, AFTER = "2025-01-02T03:04:05.678000Z", "2025-06-01T00:00:00Z", "2026-02-03T04:05:06.007000Z"
"""In whole milliseconds, which is all that uv keeps."""

APPLICATION = """\
[project]
name = "application"
version = "1"
requires-python = ">=3.11"
dependencies = ["framework"]
"""

Facts = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def them() -> Iterator[Family]:
    """The family with two versions each of a framework and of the library that it needs."""
    with family() as members:
        for version, uploaded in (("1.0", BEFORE), ("2.0", AFTER)):
            for name, requires in (("framework", ("library>=1",)), ("library", ())):
                filename, body = make.wheel(name, version, payload=PAYLOAD, requires=requires)
                members.publish(name, filename, body, upload_time=uploaded)
        yield members


def config(*mirrors: UpstreamServer, more: str = "") -> str:
    urls = ", ".join(f'"{mirror.simple}"' for mirror in mirrors)
    return f"[[index]]\nmirrors = [{urls}]\n{SHORT}{more}"


# Holes are filled


def page(server: Server, name: str) -> Facts:
    """What our page says of each file."""
    files = json.loads(fetch(f"{server.simple}{name}/", {"Accept": JSON}))["files"]
    return {file["filename"]: file for file in files}


def heal(server: Server, *names: str) -> None:
    """Ask for the pages of *names* until each file has its size and its time, and the newest one its metadata."""

    def is_well(files: Facts) -> bool:
        newest = files[max(files)]
        return "core-metadata" in newest and all({"size", "upload-time"} <= file.keys() for file in files.values())

    wait_until(lambda: all(is_well(page(server, name)) for name in names))


def lock(desk: Workstation, folder: Path, index: str) -> dict[str, tuple[str, int | None, str | None]]:
    """The hash, size and time of each file in the uv.lock that uv writes when it knows nothing but *index*."""
    desk.set_up()
    folder.mkdir()
    (folder / "pyproject.toml").write_text(APPLICATION)
    desk.uv("lock", "--default-index", index, folder=folder)
    packages = tomllib.loads((folder / "uv.lock").read_text())["package"]
    files = [file for package in packages for file in package.get("wheels", [])]
    return {file["url"].rpartition("/")[2]: (file["hash"], file.get("size"), _time(file)) for file in files}


def _time(file: Mapping[str, Any]) -> str | None:
    return file.get("upload-time")


def whole_wheels(up: UpstreamServer) -> list[str]:
    """The wheels that were asked for without Range."""
    asked = [request for request in up.log if request.method == "GET" and request.path.endswith(".whl")]
    return [request.path for request in asked if "range" not in request.headers]


def by_json(them: Family) -> UpstreamServer:
    return them.tuna


def by_document(them: Family) -> UpstreamServer:
    them.tuna.html_only |= {"framework", "library"}
    return them.tuna


def by_another_document(them: Family) -> UpstreamServer:
    them.bfsu.html_only |= {"framework", "library"}
    return them.bfsu


@pytest.mark.parametrize("complete", [by_json, by_document, by_another_document])
def test_a_lock_over_a_mirror_that_tells_nothing_is_a_complete_mirrors_and_costs_no_wheel(
    tmp_path: Path, desk: Workstation, them: Family, complete: Callable[[Family], UpstreamServer]
) -> None:
    right = lock(desk, tmp_path / "right", them.ustc.simple)
    assert {time for _, _, time in right.values()} == {AFTER.replace("000Z", "Z")}
    poor = lock(desk, tmp_path / "poor", them.aliyun.simple)
    assert [(size, time) for _, size, time in poor.values()] == [(None, None)] * len(right)
    assert whole_wheels(them.aliyun) != [], "the control: without us uv takes the wheels to read them"
    knowing = complete(them)
    for up in them.holders():
        up.log.clear()
    with yizhan(tmp_path / "data", config=config(them.aliyun, knowing)) as server:
        heal(server, "framework", "library")
        assert lock(desk, tmp_path / "ours", server.simple) == right
        asked = [access for access in answered(server) if access.target.endswith(".whl")]
        assert [access for access in asked if access.status == 200 and access.method == "GET"] == []
    assert [whole_wheels(up) for up in (them.aliyun, knowing)] == [[], []]


def test_a_time_limit_works_over_a_mirror_that_gives_no_times(tmp_path: Path, desk: Workstation, them: Family) -> None:
    uv = ["pip", "install", "--exclude-newer", BETWEEN, "framework"]
    refused = desk.uv(*uv, "--default-index", them.aliyun.simple, ok=False)
    assert refused.returncode != 0
    with yizhan(tmp_path / "data", config=config(them.aliyun, them.tuna)) as server:
        heal(server, "framework", "library")
        desk.uv(*uv, "--default-index", server.simple)
        assert [desk.version(name) for name in ("framework", "library")] == ["1.0", "1.0"]


def test_pips_time_limit_works_over_a_mirror_that_gives_no_times(
    tmp_path: Path, desk: Workstation, them: Family
) -> None:
    if "--uploaded-prior-to" not in desk.pip("install", "--help").stdout:
        pytest.skip("this pip has no --uploaded-prior-to, which came with 26.0")
    pip = ["install", "--uploaded-prior-to", BETWEEN, "framework"]
    assert desk.pip(*pip, "-i", them.aliyun.simple, ok=False).returncode != 0
    with yizhan(tmp_path / "data", config=config(them.aliyun, them.tuna)) as server:
        heal(server, "framework", "library")
        desk.pip(*pip, "-i", server.simple)
        assert [desk.version(name) for name in ("framework", "library")] == ["1.0", "1.0"]


# All are dead, each in its own way


def kill(them: Family) -> None:
    them.tuna.fault("/", **blocked())
    them.bfsu.fault("/", silent=True)
    them.ustc.fault("/", status=503)
    them.sjtu.fault("/", **portal())
    them.aliyun.refuse()
    them.huawei.fault("/", raw=b"\x00\x01\x02")
    them.bucket.refuse()


def install(desk: Workstation, client: str, index: str, name: str) -> int:
    """How *client* ends, which has never heard of anything before."""
    desk.set_up()
    if client == "pip":
        words = ["install", "-i", index, name]
        return desk.pip(*words, environment={"PIP_RETRIES": "0"}, ok=False).returncode
    words = ["pip", "install", "--default-index", index, name]
    return desk.uv(*words, environment={"UV_HTTP_RETRIES": "0"}, ok=False).returncode


def test_with_all_mirrors_dead_what_was_ever_fetched_installs_and_the_rest_is_503(
    tmp_path: Path, desk: Workstation, them: Family
) -> None:
    them.publish("never-asked", *make.wheel("never-asked", "1.0"))
    settings = config(*them.mirrors(), more='fresh = "0 s"\n')
    with yizhan(tmp_path / "data", config=settings) as server:
        assert install(desk, "uv", server.simple, "framework") == 0
    kill(them)
    for mirror in (them.ustc, them.sjtu):
        assert install(desk, "uv", mirror.simple, "framework") != 0, "the control: nothing comes straight from there"
    with yizhan(tmp_path / "data", config=settings) as server:
        for client in ("uv", "pip"):
            assert install(desk, client, server.simple, "framework") == 0
            assert [desk.version(name) for name in ("framework", "library")] == ["2.0", "2.0"]
            assert install(desk, client, server.simple, "never-asked") != 0
        for target in ("simple/never-asked/", f"packages/ab/cd/{'e' * 60}/never_asked-1.0-py3-none-any.whl"):
            began = time.monotonic()
            with pytest.raises(HTTPError, match="503") as refusal:
                fetch(server.url + target)
            refusal.value.close()
            assert int(refusal.value.headers["Retry-After"]) > 0
            assert time.monotonic() - began < HARD + SLACK


# Beside the official index


def test_wheels_beside_their_projects_folders_install(tmp_path: Path, desk: Workstation, them: Family) -> None:
    """ROCm's form: `href="../torch-..."`, and no hashes; the official index has a decoy."""
    up = Rocm()
    with running(up):
        up.publish("torch", *make.wheel("torch", "2.7.0+rocm6.4", requires=("library",), payload=PAYLOAD))
        them.publish("torch", *make.wheel("torch", "99.0"))
        rocm = f'[[index]]\nname = "rocm"\nmirrors = ["{up.simple}"]\nnames = ["torch*"]\n{SHORT}'
        with yizhan(tmp_path / "data", config=f"{rocm}\n{config(them.tuna)}") as server:
            desk.uv("pip", "install", "--default-index", server.simple, "torch")
            assert (desk.version("torch"), desk.version("library")) == ("2.7.0+rocm6.4", "2.0")
            desk.set_up()
            desk.pip("install", "-i", server.simple, "torch")
            assert (desk.version("torch"), desk.version("library")) == ("2.7.0+rocm6.4", "2.0")
