"""Which wheels a client is likely to take: what it tells of its machine, held against tags and markers.

Good for guesses about what will be asked for next and for nothing else: no answer ever depends on it (rule 99).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import msgspec
from packaging import tags
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from ..simple.model import File, Project

MAX_AGENT = 4096
"""Characters of a User-Agent that are looked at; pip and uv send some 600."""

MAX_TEXT = 64
"""Characters of each thing that it tells."""

MOST = 64
"""Machines that are remembered, those seen last."""

MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""glibc 2.x to the name that its platform had before PEP 600."""

WINDOWS = {"amd64": "win_amd64", "x86_64": "win_amd64", "x86": "win32", "arm64": "win_arm64"}

NEWEST = 50
"""No version of Python or of a C library has a higher number: each below it makes tags."""

INSTALLS = frozenset(
    {("pip", "install"), ("pip", "sync"), ("sync",), ("add",), ("run",), ("tool", "install"), ("tool", "run")}
)
"""What uv calls what it does when it will want the wheels, and not the metadata alone."""

_SUBCOMMAND = re.compile(r'"subcommand":\[("[a-z]{1,20}"(?:,"[a-z]{1,20}"){0,2})\]')
_NUMBERS = re.compile(r"(\d{1,3})\.(\d{1,3})")


class _Named(msgspec.Struct, frozen=True):
    name: str | None = None
    version: str | None = None
    lib: str | None = None
    release: str | None = None
    libc: Any = None


class _Told(msgspec.Struct, frozen=True):
    """The JSON at the end of pip's and uv's User-Agent."""

    python: str
    cpu: str
    system: _Named
    implementation: _Named = _Named()
    distro: _Named | None = None


def will_install(agent: str) -> bool:
    """Whether the client *agent* says that it installs; pip never tells."""
    said = _SUBCOMMAND.search(agent[:MAX_AGENT])
    return said is not None and tuple(said[1].replace('"', "").split(",")) in INSTALLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a client installs."""

    key: str
    """The same for machines that take the same wheels."""
    python: Version
    ranks: Mapping[Tag, int]
    """Each tag that suits, the best first (PEP 425)."""
    markers: Mapping[str, str] | None
    """PEP 508's environment; None where it is not known."""

    def rank(self, filename: str) -> int | None:
        """How well the wheel *filename* suits, 0 being best; None where it does not at all."""
        try:
            found = parse_wheel_filename(filename)[3]
        except InvalidWheelFilename:
            return None
        return min((self.ranks[tag] for tag in found if tag in self.ranks), default=None)

    def needs(self, requirement: Requirement, extras: Set[str]) -> bool:
        """Whether *requirement* holds here, for who asked for *extras*; where that is not known it is taken to."""
        if requirement.marker is None:
            return True
        if self.markers is None:
            return "extra" not in str(requirement.marker)
        try:
            return any(requirement.marker.evaluate({**self.markers, "extra": extra}) for extra in ("", *extras))
        except ValueError:  # a comparison that is defined for no environment
            return False


class Machines:
    """The machines that clients tell of: bounded, and the same object for the same words."""

    def __init__(self, *, python: str) -> None:
        """*python*: the version that clients who do not tell are taken to have, on Linux and x86_64."""
        usual = _Told(python=python, cpu="x86_64", system=_Named(name="Linux"), implementation=_Named(name="CPython"))
        self._usual = _machine("", usual, markers=False)
        self._told: OrderedDict[str, str] = OrderedDict()
        """What clients say to the key of the machine that they mean."""
        self._seen: OrderedDict[str, Machine] = OrderedDict()

    def of(self, agent: str) -> Machine:
        """What the User-Agent *agent* tells; the usual machine where it tells nothing."""
        said = agent[:MAX_AGENT].partition("{")[1:]
        text = "".join(said)
        if not text:
            return self._usual
        machine = self._seen.get(self._told.get(text, ""))
        if machine is None:
            try:
                told = msgspec.json.decode(text, type=_Told)
                key = repr((told.python, told.cpu, told.system.name, told.implementation.name, *_system(told)))
                machine = self._seen.get(key) or _machine(key, told, markers=True)
            except (msgspec.MsgspecError, InvalidVersion, RecursionError):
                return self._usual
            self._told[text] = machine.key
            if len(self._told) > MOST:
                self._told.popitem(last=False)
        self._seen[machine.key] = machine
        self._seen.move_to_end(machine.key)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
        return machine

    def lately(self) -> Iterable[Machine]:
        """Those that asked, the latest first, and the usual one."""
        return (*reversed(self._seen.values()), self._usual)


def likely_wheels(project: Project, machine: Machine, specifier: SpecifierSet | None = None) -> Iterator[File]:
    """The wheel that suits *machine* best of each version that *specifier* lets in, the newest version first.

    Yanked files are left out, and pre-releases where there are others (PEP 440).  Takes milliseconds on a long page.
    """
    releases: dict[str, list[File]] = {}
    for file in project.files.values():
        parts = file.filename.split("-", 2)
        if len(parts) == 3 and file.filename.endswith(".whl") and file.yanked is False:
            releases.setdefault(parts[1], []).append(file)
    pythons: dict[str | None, bool] = {}
    for version, files in _sorted(releases, specifier or SpecifierSet()):
        del version
        ranked = ((machine.rank(file.filename), file) for file in files if _runs(file, machine.python, pythons))
        best = min(((rank, file.filename) for rank, file in ranked if rank is not None), default=None)
        if best is not None:
            yield project.files[best[1]]


def _sorted(releases: Mapping[str, list[File]], specifier: SpecifierSet) -> Iterator[tuple[Version, list[File]]]:
    known: dict[Version, list[File]] = {}
    for text, files in releases.items():
        try:
            known.setdefault(Version(text.replace("_", "-")), []).extend(files)
        except InvalidVersion:
            continue
    for version in specifier.filter(sorted(known, reverse=True)):
        yield version, known[version]


def _runs(file: File, python: Version, known: dict[str | None, bool]) -> bool:
    """Whether *file* is for *python*; *known*: what was found out for other files."""
    said = file.requires_python
    if said not in known:
        try:
            known[said] = SpecifierSet(said or "").contains(python, prereleases=True)
        except InvalidSpecifier:
            known[said] = True  # as pip has it: what cannot be read forbids nothing
    return known[said]


def _machine(key: str, told: _Told, *, markers: bool) -> Machine:
    """Raise InvalidVersion where what is told makes no sense."""
    python = Version(told.python[:MAX_TEXT])
    release = python.major, python.minor
    if max(release) > NEWEST:
        raise InvalidVersion("There is no such Python.")
    implementation = (told.implementation.name or "CPython")[:MAX_TEXT]
    platforms = list(_platforms(told))
    interpreter, found = None, list[Tag]()
    if implementation == "CPython" and (3, 0) <= release < (4, 0):
        interpreter = f"cp{release[0]}{release[1]}"
        found += tags.cpython_tags(release, [interpreter], platforms)
    found += tags.compatible_tags(release, interpreter, platforms)
    return Machine(
        key=key,
        python=python,
        ranks={tag: rank for rank, tag in reversed(list(enumerate(found)))},
        markers=_markers(told, python, implementation) if markers else None,
    )


def _platforms(told: _Told) -> Iterator[str]:
    """The platform tags that suit, the best first (PEPs 425, 600 and 656)."""
    system, cpu = (told.system.name or "").lower(), told.cpu[:MAX_TEXT]
    lib, version = _system(told)
    if system == "linux":
        major, minor = version or (2, 39)
        if lib == "musl":
            yield from (f"musllinux_1_{number}_{cpu}" for number in range(min(minor, NEWEST), -1, -1))
        else:
            for number in range(min(minor, NEWEST) if major == 2 else NEWEST, 4, -1):
                yield f"manylinux_2_{number}_{cpu}"
                if number in MANYLINUX:
                    yield f"{MANYLINUX[number]}_{cpu}"
        yield f"linux_{cpu}"
    elif system in ("darwin", "macos"):
        major, minor = version or (14, 0)
        yield from tags.mac_platforms((min(major, NEWEST), min(minor, NEWEST)), cpu)
    elif system == "windows" and cpu.lower() in WINDOWS:
        yield WINDOWS[cpu.lower()]


def _system(told: _Told) -> tuple[str, tuple[int, int] | None]:
    """On Linux the C library, and the version of that or of macOS."""
    distro = told.distro or _Named()
    libc = distro.libc if isinstance(distro.libc, dict) else {}
    numbers = _NUMBERS.match(str(libc.get("version", "")) if libc else distro.version or "")
    return ("musl" if "musl" in str(libc.get("lib", "")) else ""), (
        int(numbers[1]),
        int(numbers[2]),
    ) if numbers else None


def _markers(told: _Told, python: Version, implementation: str) -> Mapping[str, str]:
    system = (told.system.name or "")[:MAX_TEXT]
    return {
        "implementation_name": implementation.lower(),
        "implementation_version": str(python),
        "os_name": "nt" if system == "Windows" else "posix",
        "platform_machine": told.cpu[:MAX_TEXT],
        "platform_python_implementation": implementation,
        "platform_release": (told.system.release or "")[:MAX_TEXT],
        "platform_system": system,
        "platform_version": "",
        "python_full_version": str(python),
        "python_version": f"{python.major}.{python.minor}",
        "sys_platform": {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}.get(system, system.lower()),
    }
