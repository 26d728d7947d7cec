"""How one value is written in a configuration, and the type it becomes: pure, but for a file of certificates.

Every `read` takes what TOML gave, or a value that was read before, and raises ValueError with the end of a sentence
that began with the setting's name: "server.listen: should be ...".
"""

from __future__ import annotations

import difflib
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal, Self

from packaging.utils import NormalizedName

from ..errors import NotFound
from ..rights import EVERYBODY, fault_of_user
from ..simple.names import NamePattern, parse_name

Network = IPv4Network | IPv6Network

_AMOUNT = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,6})?)\s*([A-Za-z]+)\Z")
_HOST = re.compile(r"(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_PRINTABLE = re.compile(r"[!-~](?:[ -~]{0,198}[!-~])?\Z")
_WORD = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z")

_DURATIONS = {"ms": Decimal("0.001"), "s": Decimal(1), "min": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_SIZES = {
    "B": 1,
    "KB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
    "TB": 10**12,
    "TiB": 2**40,
}
_LONGEST = 366 * 86400
_LARGEST = 2**60

ENVIRONMENT = "environment"
"""Written in place of a file or URL whose content the environment holds."""

_NO_ANSWER = frozenset({401, 408, 425, 429})
"""Statuses of the 4xx kind that tell of the asker or of the moment, and nothing of what was asked for."""

ROUTE_WORDS = frozenset({"simple", "packages", "legacy"})
"""First parts of our own URLs, which `/<index>/simple/` must not hide.  "pypi" is none: only `/pypi/<name>/json` is."""


def close(word: str, words: Iterable[str]) -> str:
    """The end of a sentence that offers the one of *words* that *word* was meant to be; empty where none is near."""
    found = difflib.get_close_matches(word, sorted(words), 1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def read_text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("should be text in quotes")  # noqa: TRY004 -- pydantic collects ValueErrors only
    return value


class Seconds(float):
    """A duration.  It is written with its unit: "250 ms", "5 min", "1 h"."""

    @classmethod
    def read(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        number, unit = _amount(value, _DURATIONS, "should be a number and ms, s, min, h or d in quotes, as in '5 min'")
        seconds = float(number * _DURATIONS[unit])
        if seconds > _LONGEST:
            raise ValueError("should be no longer than a year")
        return cls(seconds)

    @classmethod
    def read_positive(cls, value: object) -> Self:
        """As *read*, for what would never work if it were nothing at all."""
        seconds = cls.read(value)
        if seconds <= 0:
            raise ValueError("should be more than 0")
        return seconds

    def __str__(self) -> str:
        number = Decimal(repr(float(self)))
        for unit in ("d", "h", "min", "s", "ms"):
            if number and number % _DURATIONS[unit] == 0:
                return f"{int(number / _DURATIONS[unit])} {unit}"
        return f"{number.normalize():f} s"


class Size(int):
    """An amount of bytes.  It is written with its unit: "50 GB" is 50,000,000,000, "64 MiB" is 64 times 2**20."""

    @classmethod
    def read(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        number, unit = _amount(
            value, _SIZES, "should be a number and B, KB, MB, GB, TB, KiB, MiB, GiB or TiB in quotes, as in '50 GB'"
        )
        size = cls(number * _SIZES[unit])
        if size > _LARGEST:
            raise ValueError("should be less than a million TB")
        return size

    def __str__(self) -> str:
        for unit in sorted(_SIZES, key=_SIZES.__getitem__, reverse=True):
            if self and self % _SIZES[unit] == 0:
                return f"{self // _SIZES[unit]} {unit}"
        return "0 B"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the server waits for connections."""

    host: str
    """Empty is every interface; an IPv6 address stands here without brackets."""
    port: int
    """0 is any free one."""

    @classmethod
    def read(cls, value: object) -> Listen:
        if isinstance(value, cls):
            return value
        shape = "should be host:port, as in '127.0.0.1:8080', '[::1]:8080', or ':8080' for every interface"
        host, colon, port = read_text(value).rpartition(":")
        if not colon or not re.match(r"[0-9]{1,5}\Z", port):
            raise ValueError(shape)
        if int(port) > 65535:
            raise ValueError("should end in a port from 0 to 65535")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed or re.match(r"[0-9.]+\Z", host):
            host = str(_address(host.strip("[]"), shape))
        elif host:
            host = read_host(host)
        return cls(host, int(port))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_network(value: object) -> Network:
    """A network in CIDR notation."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = read_text(value)
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network such as '10.0.0.0/8' or 'fd00::/8'") from None
    raise ValueError(f"{text!r} has bits beyond its prefix; did you mean {str(meant)!r}?")


def read_dialled_network(value: object) -> Network:
    """As *read_network*, for addresses that may be dialled: link-local ones never are (cloud metadata sits there)."""
    network = read_network(value)
    if network.is_link_local:
        raise ValueError(f"{str(network)!r} is link-local, and such addresses are never dialled")
    return network


def read_host(value: object) -> str:
    """A plain host name, in lower case."""
    text = read_text(value).lower()
    if len(text) > 253 or not _HOST.match(text):
        raise ValueError(f"{text!r} is no plain host name such as 'files.example.cn': no scheme, port, path or *")
    return text


def read_word(value: object) -> str:
    """An index's name, which stands in URLs and metrics."""
    text = read_text(value)
    if not _WORD.match(text):
        raise ValueError(f"{text!r} should be a word of small letters, digits and hyphens, as in 'pypi'")
    if text in ROUTE_WORDS:
        raise ValueError(f"{text!r} is taken: the server's own pages stand under /{text}/")
    return text


def read_project(value: object) -> NormalizedName:
    """A project's name, normalised (PEP 503)."""
    text = read_text(value)
    if (name := _project(text)) is None:
        raise ValueError(f"{text!r} is not the name of a project")
    return name


def read_pattern(value: object) -> NamePattern:
    """A project's name, or a prefix that ends in `-*`, normalised: `acme-*` covers acme and acme-sdk (PEP 752)."""
    if value == "*":
        raise ValueError("'*' would reserve every name; for private projects alone write index = []")
    return _pattern(read_text(value), ("-*",), "-*")


def read_index_pattern(value: object) -> NamePattern:
    """As *read_pattern*, or a prefix that ends in `*` alone: such names are meant, and not claimed."""
    if value == "*":
        raise ValueError("'*' is every name; for that write names = []")
    return _pattern(read_text(value), ("-*", "*"), "* or -*")


def _pattern(text: str, endings: tuple[str, ...], shape: str) -> NamePattern:
    """*text* as a pattern, where it is a name or a name and one of *endings*, which *shape* tells the operator of."""
    ending = next((ending for ending in endings if text.endswith(ending)), "")
    if name := _project(text.removesuffix(ending)):
        return NamePattern(name + ending)
    if not re.search(r"[*?\[\]]", text):
        raise ValueError(f"{text!r} is not the name of a project")
    stem = _project(re.split(r"[*?\[\]]", text)[0].strip("-_."))
    meant = f"; did you mean '{stem}-*', which covers {stem} and {stem}-...?" if stem else ""
    raise ValueError(f"{text!r} should be a project's name, or a name followed by {shape} and nothing else{meant}")


def read_user(value: object) -> str:
    """A user's name, or EVERYBODY."""
    text = read_text(value)
    if text != EVERYBODY and (fault := fault_of_user(text)):
        raise ValueError(f"{text!r} {fault}")
    return text


def read_status(value: object) -> int:
    """A status by which a server can say that it does not have what it was asked for."""
    if isinstance(value, bool) or not isinstance(value, int) or not 400 <= value < 500 or value in _NO_ANSWER:
        refused = ", ".join(map(str, sorted(_NO_ANSWER)))
        raise ValueError(
            f"{value!r} does not say that something is unknown: write statuses such as 403, 404 and 410 "
            f"(from 400 to 499, but not {refused})"
        )
    return value


def read_user_agent(value: object) -> str:
    """What a request says of its sender (RFC 9110, section 10.1.5); empty for our own."""
    text = read_text(value)
    if text and not _PRINTABLE.match(text):
        raise ValueError(
            "should be one line of at most 200 letters, digits and signs of ASCII, as in 'acme/1.0 (+ops@acme.example)'"
        )
    return text


def read_login_source(value: object) -> Path | Literal["environment"] | None:
    """Where user names and passwords are: a file, the environment, or None where it is empty."""
    if value in ("", None):
        return None
    if value == ENVIRONMENT:
        return "environment"
    try:
        return read_path(value)
    except ValueError:  # whose words repeat the value, and it may be a password that stands in the wrong place
        raise ValueError("should be the absolute path of a netrc file, or 'environment'") from None


def read_path(value: object) -> Path:
    """An absolute path: a daemon's working folder is nobody's choice."""
    path = value if isinstance(value, Path) else Path(read_text(value))
    if not path.is_absolute() or "\0" in str(path):
        raise ValueError(f"{str(path)!r} should be an absolute path")
    return path


def read_optional_path(value: object) -> Path | None:
    """As *read_path*; None where it is empty."""
    return None if value in ("", None) else read_path(value)


def read_bundle(value: object) -> Path | None:
    """A file of certificate authorities (PEM), None where it is empty; read here, as no server starts without it."""
    path = read_optional_path(value)
    if path is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            raise ValueError(f"{path} holds no certificate in PEM format") from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _amount(value: object, units: Iterable[str], shape: str) -> tuple[Decimal, str]:
    found = _AMOUNT.match(value.strip()) if isinstance(value, str) else None
    if found is None or found[2] not in units:
        raise ValueError(shape)
    return Decimal(found[1]), found[2]


def _address(text: str, shape: str) -> object:
    try:
        return ip_address(text)
    except ValueError:
        raise ValueError(shape) from None


def _project(text: str) -> NormalizedName | None:
    try:
        return parse_name(text)
    except NotFound:
        return None
