"""Which wheel a client will probably take, by what its User-Agent tells."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from proxy.simple.model import Project
from proxy.simple.names import parse_name
from proxy.upstream.choice import MOST, Machine, Machines, likely_wheels, will_install

from . import make


def agent(client: str = "pip/25.0", **told: Any) -> str:
    """As pip and uv write it; *told* replaces what a CPython 3.12 on Ubuntu says."""
    said: dict[str, Any] = {
        "ci": None,
        "cpu": "x86_64",
        "distro": {"id": "noble", "libc": {"lib": "glibc", "version": "2.39"}, "name": "Ubuntu", "version": "24.04"},
        "implementation": {"name": "CPython", "version": "3.12.3"},
        "installer": {"name": client.partition("/")[0], "version": "25.0"},
        "openssl_version": None,
        "python": "3.12.3",
        "system": {"name": "Linux", "release": "6.8.0"},
    }
    return f"{client} {json.dumps({**said, **told}, separators=(',', ':'))}"


UBUNTU = agent()
ALPINE = agent(distro={"name": "Alpine Linux", "version": "3.20", "libc": {"lib": "musl", "version": "1.2.5"}})
MAC = agent(cpu="arm64", system={"name": "Darwin", "release": "23"}, distro={"name": "macOS", "version": "14.5"})
WINDOWS = agent("uv/0.13.9", cpu="AMD64", system={"name": "Windows", "release": "11"}, distro=None)
OLD = agent(python="3.8.1", distro={"name": "CentOS", "version": "7", "libc": {"lib": "glibc", "version": "2.17"}})
PYPY = agent(implementation={"name": "PyPy", "version": "7.3"}, python="3.10.2")

BUILDS = (
    "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
    "cp312-cp312-manylinux_2_28_x86_64",
    "cp312-cp312-musllinux_1_2_x86_64",
    "cp312-cp312-macosx_11_0_arm64",
    "cp312-cp312-win_amd64",
    "cp38-cp38-manylinux2014_x86_64",
    "cp38-abi3-manylinux2014_x86_64",
)


def machine(text: str) -> Machine:
    return Machines(python="3.12.3").of(text)


def page(*filenames: str, **fields: Any) -> Project:
    files = {name: make.file(name, name.encode(), **fields) for name in sorted(filenames)}
    return Project(name=parse_name("demo"), files=files)


def chosen(project: Project, text: str = UBUNTU, specifier: str = "") -> list[str]:
    return [file.filename for file in likely_wheels(project, machine(text), SpecifierSet(specifier))]


@pytest.mark.parametrize(
    ("text", "build"),
    [
        (UBUNTU, "cp312-cp312-manylinux_2_28_x86_64"),
        (ALPINE, "cp312-cp312-musllinux_1_2_x86_64"),
        (MAC, "cp312-cp312-macosx_11_0_arm64"),
        (WINDOWS, "cp312-cp312-win_amd64"),
        (OLD, "cp38-cp38-manylinux2014_x86_64"),
        ("poetry/2.1 CPython/3.9 Linux/6.1", "cp312-cp312-manylinux_2_28_x86_64"),
        ("", "cp312-cp312-manylinux_2_28_x86_64"),
    ],
)
def test_a_machine_gets_the_build_that_suits_it_best(text: str, build: str) -> None:
    assert chosen(page(*(f"demo-1.0-{tags}.whl" for tags in BUILDS)), text) == [f"demo-1.0-{build}.whl"]


def test_builds_that_suit_nobody_are_not_chosen() -> None:
    assert chosen(page("demo-1.0-cp312-cp312-win_amd64.whl", "demo-1.0.tar.gz", "demo-1.0-bad.whl")) == []
    assert chosen(page("demo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"), PYPY) == []
    assert chosen(page("demo-1.0-py3-none-any.whl"), PYPY) == ["demo-1.0-py3-none-any.whl"]


def test_the_newest_stable_version_comes_first() -> None:
    wheels = [f"demo-{version}-py3-none-any.whl" for version in ("1.9", "1.10", "2.0rc1", "nonsense")]
    assert chosen(page(*wheels)) == [wheels[1], wheels[0]]
    assert chosen(page(wheels[2])) == [wheels[2]]
    assert chosen(page(*wheels), specifier="<1.10") == [wheels[0]]
    assert chosen(page(*wheels), specifier=">=2.0rc1") == [wheels[2]]
    assert chosen(page(*wheels), specifier=">3") == []


def test_yanked_files_and_those_for_other_pythons_are_left_out() -> None:
    assert chosen(page("demo-1.0-py3-none-any.whl", yanked="broken")) == []
    for_others = page("demo-1.0-py3-none-any.whl", requires_python="<3.9")
    assert (chosen(for_others), chosen(for_others, OLD)) == ([], ["demo-1.0-py3-none-any.whl"])
    assert chosen(page("demo-1.0-py3-none-any.whl", requires_python=">=3.8.*oops")) == ["demo-1.0-py3-none-any.whl"]


def test_requirements_hold_by_their_markers() -> None:
    windows, extra = Requirement('x; sys_platform == "win32"'), Requirement('x; extra == "http2"')
    assert (machine(UBUNTU).needs(windows, frozenset()), machine(WINDOWS).needs(windows, frozenset())) == (False, True)
    assert (machine(UBUNTU).needs(extra, frozenset()), machine(UBUNTU).needs(extra, {"http2"})) == (False, True)
    assert machine(UBUNTU).needs(Requirement('x; python_version >= "3.8"'), frozenset())
    # Where nothing is told, what may be needed is taken to be.
    assert machine("").needs(windows, frozenset())
    assert not machine("").needs(extra, frozenset())


@pytest.mark.parametrize(
    "text",
    [
        "pip/25.0 {",
        "pip/25.0 {}",
        "pip {" * 5000,
        agent(python=None),
        agent(python="x"),
        agent(system=5),
        agent(cpu=[]),
    ],
)
def test_what_makes_no_sense_is_the_usual_machine(text: str) -> None:
    assert machine(text).markers is None
    assert machine(text).rank("demo-1.0-py3-none-any.whl") is not None


@given(st.recursive(st.none() | st.integers() | st.text(), lambda value: st.dictionaries(st.text(), value)), st.text())
def test_nothing_that_a_client_tells_breaks_anything(value: object, text: str) -> None:
    for told in ({"system": value}, {"distro": value}, {"python": text}, {"cpu": text}, {"implementation": value}):
        found = machine(agent(**told))
        assert found.rank("demo-1.0-py3-none-any.whl") is not None or found.markers is not None
        found.needs(Requirement('x; python_version >= "3.8" and platform_machine != "s390x"'), frozenset())
    machine(text)


def test_numbers_without_measure_cost_nothing() -> None:
    libc = {"lib": "glibc", "version": "2.999999999"}
    for told in ({"distro": {"libc": libc}}, {"python": "3.999999"}, {"distro": {"libc": {**libc, "lib": "musl"}}}):
        assert len(machine(agent(**told)).ranks) < 10_000


@pytest.mark.parametrize(
    ("subcommand", "installs"),
    [
        (["pip", "install"], True),
        (["sync"], True),
        (["tool", "run"], True),
        (["lock"], False),
        (["pip", "compile"], False),
        (["pip", "install", "more"], False),
        ([], False),
    ],
)
def test_uv_tells_whether_it_installs(subcommand: list[str], installs: bool) -> None:
    assert will_install(agent("uv/0.13.9", installer={"name": "uv", "subcommand": subcommand})) is installs


def test_pip_tells_nothing_of_what_it_does() -> None:
    assert not will_install(UBUNTU)
    assert not will_install("x" * 10_000 + '"subcommand":["sync"]')


def test_pip_and_uv_on_one_machine_are_one_machine() -> None:
    machines = Machines(python="3.12.3")
    installer = {"name": "uv", "subcommand": ["lock"]}
    both = machines.of(UBUNTU), machines.of(agent("uv/0.13.9", installer=installer, system={"name": "Linux"}))
    assert both[0] is both[1]
    assert len(list(machines.lately())) == 2
    assert machines.of(ALPINE) is not both[0]


def test_machines_are_remembered_by_what_they_tell_and_no_more_of_them_than_some() -> None:
    machines = Machines(python="3.12.3")
    assert machines.of(UBUNTU) is machines.of(UBUNTU.replace("pip/25.0 ", "pip/25.0  "))
    for number in range(MOST + 5):
        machines.of(agent(cpu=f"cpu{number}"))
    kept = list(machines.lately())
    assert len(kept) == MOST + 1
    assert "platform_machine" in (kept[0].markers or {})
    assert (kept[0].markers or {})["platform_machine"] == f"cpu{MOST + 4}"
    assert kept[-1].markers is None
