"""User names and passwords for an index's own mirrors, out of a netrc file or the environment.

May read that one file.  No message, repr or log ever holds a part of what stands in it.
"""

from __future__ import annotations

import netrc
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from .urls import MirrorURL

LOGIN_PREFIX = "YIZHAN_CREDENTIALS_"

_PORTS = {"http": 80, "https": 443}
_ENTRY = "machine HOST login USER password PASSWORD"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Login(NamedTuple):
    """What one server wants to be told (RFC 7617)."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Neither of them: many a token is written in place of the user."""
        return "Login(...)"


def login_variable(index: str) -> str:
    """The variable of the environment that holds the login for the mirrors of *index*."""
    return LOGIN_PREFIX + index.upper().replace("-", "_")


def read_credentials(
    setting: Path | Literal["environment"] | None,
    index: str,
    mirrors: Sequence[MirrorURL],
    environment: Mapping[str, str],
) -> Mapping[str, Login]:
    """The login for each origin ("https://mirror.example.cn:443") among those *mirrors* that are no presets.

    Raise ValueError with the end of a sentence that began with the setting's name.
    """
    if setting is None:
        return {}
    own = {_origin(mirror.url): urlsplit(mirror.url).hostname or "" for mirror in mirrors if not mirror.preset}
    hosts = sorted(set(own.values()))
    if setting == "environment":
        return dict.fromkeys(own, _from_environment(login_variable(index), hosts, environment))
    logins = _from_netrc(setting, hosts)
    return {origin: logins[host] for origin, host in own.items() if host in logins}


def _from_environment(name: str, hosts: Sequence[str], environment: Mapping[str, str]) -> Login:
    if len(hosts) > 1:  # else a mirror that was added later would be told the password of another
        raise ValueError(
            f"'environment' is one password for one host, and the mirrors are {', '.join(hosts)}; write a netrc file"
        )
    if name not in environment:
        raise ValueError(f"${name} is not set; it should hold user:password")
    user, colon, password = environment[name].partition(":")
    if not colon:
        raise ValueError(f"${name} has no colon; it should hold user:password")
    return _login(user, password, f"${name}")


def _from_netrc(file: Path, hosts: Sequence[str]) -> Mapping[str, Login]:
    """By host: netrc knows no schemes and ports.  Its entry "default" is not read: any mirror would be told it."""
    try:
        if file.stat().st_mode & stat.S_IRWXO:
            raise ValueError(f"{file} is open to every user of this machine; chmod 600 {file}")
        entries = netrc.netrc(file).hosts
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except netrc.NetrcParseError as error:  # whose words repeat what it did not understand
        raise ValueError(f"{file}:{error.lineno} is no netrc; write lines such as: {_ENTRY}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} has a byte that is not UTF-8; save the file as UTF-8") from None
    found = {
        machine.lower(): _login(user, password, f"the entry of {machine} in {file}")
        for machine, (user, _, password) in entries.items()
        if machine.lower() in hosts
    }
    if not found:
        raise ValueError(f"{file} has no entry for {' or '.join(hosts)}; add: {_ENTRY.replace('HOST', hosts[0])}")
    return found


def _login(user: str, password: str, where: str) -> Login:
    """Raise ValueError for what Basic authentication cannot carry (RFC 7617, section 2)."""
    if not user and not password:
        raise ValueError(f"{where} holds neither user nor password")
    if ":" in user:
        raise ValueError(f"{where} has a colon in the user's name, which no server could tell from the password's")
    if _CONTROL.search(user + password):
        raise ValueError(f"{where} holds a line break or another control character")
    return Login(user, password)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    return f"{parts.scheme}://[{host}]:{port}" if ":" in host else f"{parts.scheme}://{host}:{port}"
