"""Where settings come from: a flag wins over the environment, that over the file, that over the default.

The environment has one variable for each setting, `YIZHAN_` with section and key in capitals and two underscores
between them: `YIZHAN_CACHE__MAX_SIZE="10 GB"`, `YIZHAN_INDEX__MIRRORS='["tuna"]'` (of the first index, number 0) and
`YIZHAN_INDEX__1__MIRRORS` (of the second), and so for `YIZHAN_RIGHT__...`.  Lists, numbers and truth values are written
as JSON, all else as it stands.
`YIZHAN_CREDENTIALS_<INDEX>` is no setting but a password, and looked at by proxy.config.credentials alone.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .credentials import LOGIN_PREFIX, Login, login_variable, read_credentials
from .lines import Key, key_lines
from .tables import Index, Settings, arrays, every_setting, sections
from .values import ENVIRONMENT, close

PREFIX = "YIZHAN_"

_ARRAYS = arrays()
_NUMBERED = re.compile(rf"{PREFIX}({'|'.join(sorted(_ARRAYS)).upper()})__(0|[1-9][0-9]{{0,3}})__")

_SAYS = {
    "bool_type": "should be true or false",
    "dict_type": "should be a table",
    "int_type": "should be a whole number",
    "greater_than": "should be more than 0",
    "greater_than_equal": "should be 0 or more",
    "model_type": "should be a table",
    "string_type": "should be text in quotes",
    "tuple_type": 'should be a list, as in ["one", "two"]',
}


class ConfigError(Exception):
    """The configuration cannot be used; *problems* holds a line for each thing that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: "yizhan.toml:12", "environment: YIZHAN_SERVER__LISTEN", "--listen"."""

    text: str
    line: int | None = None
    """Only a line of a file needs the setting's name beside it."""

    def __str__(self) -> str:
        return self.text if self.line is None else f"{self.text}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What `yizhan serve` was told on its command line; None and empty say nothing."""

    listen: str | None = None
    data: Path | None = None
    """Absolute; its folders state and cache are used."""
    upstream: tuple[str, ...] = ()
    """Replaces the mirrors of the first index."""
    allow_network: tuple[str, ...] = ()
    """Is added to the networks of the first index."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in force, and where those were written that are no defaults."""

    settings: Settings
    places: Mapping[Key, Place]

    def credentials(self, environment: Mapping[str, str]) -> Mapping[str, Mapping[str, Login]]:
        """By index and origin, what the operator's own mirrors want to be told; raise ConfigError with every problem.

        Reads files, and is no part of `load`: who only looks at settings need not be let in on the passwords.
        """
        found: dict[str, Mapping[str, Login]] = {}
        problems = list[str]()
        for number, index in enumerate(self.settings.index):
            try:
                found[index.name] = read_credentials(index.credentials, index.name, index.mirrors, environment)
            except ValueError as error:
                key: Key = ("index", number, "credentials")
                place = _place(self.places, key)
                problems.append(_line(place, _named(place, key, str(error))))
        if problems:
            raise ConfigError(tuple(problems))
        return found


def load(file: Path | None, *, environment: Mapping[str, str], flags: Flags | None = None) -> Configuration:
    """Read *file* (None: there is none), *environment* and *flags*; raise ConfigError with every problem found."""
    draft = _Draft()
    if file is not None:
        draft.read(file)
    draft.lay_environment(environment)
    draft.lay_flags(flags or Flags())
    draft.compute_folders(environment)
    draft.check_indexes(environment)
    return draft.finish()


class _Draft:
    """Settings as they are gathered, source by source, and what is wrong with them."""

    def __init__(self) -> None:
        self._data: dict[str, Any] = {}
        self._places: dict[Key, Place] = {}
        self._problems: list[tuple[Place | None, str]] = []

    def read(self, file: Path) -> None:
        """The file comes first: a syntax error leaves nothing worth checking, and is raised at once."""
        text = _text(file)
        try:
            self._data = tomllib.loads(text)
        except RecursionError:
            raise ConfigError((f"{file}:1: brackets are nested too deeply",)) from None
        except ValueError as error:
            raise ConfigError((_syntax_problem(file, text, str(error)),)) from None
        self._places = {key: Place(str(file), line) for key, line in key_lines(text).items()}

    def lay_environment(self, environment: Mapping[str, str]) -> None:
        settings = {_variable(section, key): (section, key, field) for section, key, field in every_setting()}
        seen: dict[Key, str] = {}
        for number, variable in sorted(map(_number, environment)):
            if not variable.startswith(PREFIX) or variable.startswith(LOGIN_PREFIX):
                continue
            place, plain = Place(f"environment: {variable}"), _NUMBERED.sub(rf"{PREFIX}\1__", variable)
            if plain not in settings:
                meant = close(plain.upper(), settings)
                if numbered := _NUMBERED.match(variable):
                    meant = meant.replace(f"{numbered[1]}__", f"{numbered[1]}__{number}__")
                self._problems.append((place, f"there is no such setting{meant}"))
                continue
            section, key, field = settings[plain]
            if (other := seen.setdefault((section, number, key), variable)) != variable:
                self._problems.append((place, f"is the same setting as {other}; unset one of them"))
            self._put(section, key, _from_text(environment[variable], field), place, number)

    def lay_flags(self, flags: Flags) -> None:
        if flags.listen is not None:
            self._put("server", "listen", flags.listen, Place("--listen"))
        if flags.data is not None:
            for key in ("state", "cache"):
                self._put("storage", key, str(flags.data / key), Place("--data"))
        if flags.upstream:
            self._put("index", "mirrors", list(flags.upstream), Place("--upstream"))
        if flags.allow_network:
            self._add_networks(flags.allow_network, Place("--allow-network"))

    def compute_folders(self, environment: Mapping[str, str]) -> None:
        """systemd's folders, else those of the XDG Base Directory Specification."""
        home = environment.get("HOME", "")
        self._data.setdefault("storage", {})  # so that a folder still missing is told by its own name
        for key, given, xdg, below in (
            ("state", "STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state"),
            ("cache", "CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache"),
        ):
            if ("storage", key) in self._places:
                continue
            if first := environment.get(given, "").split(":")[0]:
                self._put("storage", key, first, Place(f"${given}"))
            elif (base := environment.get(xdg, "")).startswith("/"):  # a relative one must be ignored, says XDG
                self._put("storage", key, f"{base}/yizhan", Place(f"${xdg}"))
            elif home:
                self._put("storage", key, f"{home}/{below}/yizhan", Place("$HOME"))

    def check_indexes(self, environment: Mapping[str, str]) -> None:
        """What no table can tell alone: that names are unique, and that each password is some index's."""
        indexes = self._data.get("index", [{}])
        names: dict[object, Key] = {}
        asking = set[str]()
        for number, table in enumerate(indexes if isinstance(indexes, list) else ()):
            name = table.get("name", Index.model_fields["name"].default) if isinstance(table, dict) else None
            if not isinstance(name, str):
                continue
            key: Key = ("index", number, "name")
            if (other := names.setdefault(name, key)) != key:
                where = self._place(other) or "the first index"
                self._complain(key, f"{name!r} is the name of another index, at {where}; give each a name of its own")
            if table.get("credentials") == ENVIRONMENT:
                asking.add(login_variable(name))
        for variable in sorted(environment):
            if variable.startswith(LOGIN_PREFIX) and variable not in asking:
                says = f"no index of that name has credentials = 'environment'{close(variable, asking)}"
                self._problems.append((Place(f"environment: {variable}"), says))

    def finish(self) -> Configuration:
        try:
            settings = Settings.model_validate(self._data)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                self._complain(found["loc"], _says(found))
        else:
            if not self._problems:
                return Configuration(settings, MappingProxyType(self._places))
        self._problems.sort(key=_line_of)
        raise ConfigError(tuple(_line(place, says) for place, says in self._problems))

    def _put(self, section: str, key: str, value: object, place: Place, number: int = 0) -> None:
        """*number* tells which table of `[[...]]` is meant, where it is a setting of one."""
        table = self._table(section, place, number)
        if table is not None:
            table[key] = value
            self._places[(section, number, key) if section in _ARRAYS else (section, key)] = place

    def _add_networks(self, networks: tuple[str, ...], place: Place) -> None:
        table = self._table("index", place)
        if table is not None and isinstance(there := table.setdefault("networks", []), list):
            for network in networks:
                self._places["index", 0, "networks", len(there)] = place
                there.append(network)

    def _table(self, section: str, place: Place, number: int = 0) -> dict[str, Any] | None:
        """The table to write into; None where it cannot be, which is a problem noted here or found by `finish`."""
        if section in _ARRAYS:
            # There is one index where nothing is written, and no other table.
            found: Any = self._data.setdefault(section, [{}] if section == "index" else [])
        else:
            found = self._data.setdefault(section, {})
        if section == "index" and found == []:
            self._problems.append((place, f"there is no index to set this for: index = [] ({self._place(('index',))})"))
            return None
        if section in _ARRAYS and isinstance(found, list):
            if number > len(found):
                self._problems.append((place, f"there is no {section} {number}; the next one would be {len(found)}"))
                return None
            if number == len(found):
                found.append({})
                self._places[section, number] = place
            found = found[number]
        return found if isinstance(found, dict) else None

    def _complain(self, key: Key, says: str) -> None:
        place = self._place(key)
        self._problems.append((place, _named(place, key, says)))

    def _place(self, key: Key) -> Place | None:
        return _place(self._places, key)


def _place(places: Mapping[Key, Place], key: Key) -> Place | None:
    """Where *key* was written, or what it stands in."""
    while key and key not in places:
        key = key[:-1]
    return places.get(key)


def _named(place: Place | None, key: Key, says: str) -> str:
    """*says*, behind the name of the setting, where *place* does not hold it anyway."""
    name = ".".join(part for part in key if isinstance(part, str))
    return says if place and place.line is None else f"{name}: {says}"


def _line(place: Place | None, says: str) -> str:
    return says if place is None else f"{place}: {says}"


def _line_of(problem: tuple[Place | None, str]) -> int:
    """For sorting: the file's problems from top to bottom, and then those of the environment and flags."""
    place, _ = problem
    return sys.maxsize if place is None or place.line is None else place.line


def _text(file: Path) -> str:
    try:
        # Some editors put a byte order mark first, which TOML has no place for.
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError((f"{file}:{line}: a byte that is not UTF-8; save the file as UTF-8",)) from None
    except OSError as error:
        raise ConfigError((f"{file}: cannot be read: {error.strerror}",)) from None


def _syntax_problem(file: Path, text: str, said: str) -> str:
    at = re.search(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)\Z", said)
    if at is None:
        return f"{file}: is no TOML: {said}"
    line = at[1] or text.rstrip("\n").count("\n") + 1
    return f"{file}:{line}: is no TOML: {said[: at.start()]}"


def _variable(section: str, key: str) -> str:
    return f"{PREFIX}{section}__{key}".upper()


def _number(variable: str) -> tuple[int, str]:
    """The number of the table that *variable* sets something in, 0 where it tells none, and the variable."""
    numbered = _NUMBERED.match(variable)
    return (int(numbered[2]) if numbered else 0, variable)


def _from_text(text: str, field: FieldInfo) -> object:
    """What TOML would have given for *text*; where it is no JSON, *text* itself, whose type is then complained of."""
    if field.annotation in (bool, int) or get_origin(field.annotation) is tuple:
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def _says(error: ErrorDetails) -> str:
    """What is wrong, and what was meant perhaps."""
    key, kind = error["loc"], error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "extra_forbidden":
        return f"there is no such {'section' if _is_table(error['input']) else 'setting'}{_meant(key)}"
    if kind == "less_than_equal":
        return f"should be no more than {error['ctx']['le']}"
    if kind == "literal_error":
        allowed = error["ctx"]["expected"]
        words = re.findall("'([^']*)'", allowed)
        return f"should be {allowed}{close(str(error['input']), words)}"
    if len(key) == 1 and key[0] in _ARRAYS:
        return f"should stand under [[{key[0]}]], with two brackets"
    if kind == "missing":
        computed = "is not written, and neither $HOME nor another variable tells where it could be"
        return computed if key[0] == "storage" else f"{key[-1]!r} has to be written too"
    return _SAYS.get(kind, error["msg"])


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def _meant(key: Key) -> str:
    """The setting whose name is near to the unknown *key*, else the sections that have one of that very name."""
    *above, name = (part for part in key if isinstance(part, str))
    tables = sections()
    if near := close(name, tables[above[0]].model_fields if above else tables):
        return near
    homes = [section for section, table in tables.items() if name in table.model_fields]
    headers = [f"[[{section}]]" if section in _ARRAYS else f"[{section}]" for section in homes]
    return f"; it belongs under {' or '.join(headers)}" if headers else ""
