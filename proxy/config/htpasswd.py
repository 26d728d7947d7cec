"""The lines of an htpasswd file: whom they let in with which password, and the same lines with one user changed.  Pure.

Lines are read as Apache reads them.  What is written is what `htpasswd -B` writes, and every other line stays as it is,
byte for byte.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass

import bcrypt
from passlib.hash import apr_md5_crypt, ldap_sha1

from ..rights import fault_of_user

COST = 12
"""Of new hashes: 2**12 rounds, a third of a second."""

MOST_PASSWORD = 72
"""Bytes of a password that bcrypt looks at."""

NO_PASSWORD = "*"  # noqa: S105 -- it stands in the place of a hash
"""In place of a hash: the user is known, and no password is hers."""

# htpasswd itself makes no costs above 17: one check would take half a minute and more.
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-7])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}\Z")
_APR1 = re.compile(r"\$apr1\$[./A-Za-z0-9]{0,8}\$[./A-Za-z0-9]{22}\Z")
_SHA = re.compile(r"\{SHA\}[A-Za-z0-9+/]{27}=\Z")
_LOCKED = frozenset({NO_PASSWORD, "!"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """What one version of the file says."""

    hashes: Mapping[str, str]
    """By user name."""
    locked: frozenset[str]
    """Users without a password: programs, which sign in with a token."""
    refused: Mapping[int, str]
    """Line number to what is wrong with that line, in words that tell nothing of its content."""
    unsalted: tuple[int, ...]
    """Numbers of the lines that hold `{SHA}`."""
    cut: bool
    """The last line is not ended, and is wrong: somebody may be writing the file."""

    def knows(self, name: str) -> bool:
        """Whether *name* is a user, with a password or without."""
        return name in self.hashes or name in self.locked


def parse_htpasswd(content: bytes) -> Users:
    """Every user in *content*; as Apache does it, the first of two lines with one name counts."""
    hashes: dict[str, str] = {}
    locked = set[str]()
    refused: dict[int, str] = {}
    unsalted: list[int] = []
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, line in enumerate(lines, 1):
        text = decoded(line).strip()
        if not text or text.startswith("#"):
            continue
        name, _, rest = text.partition(":")
        hashed = rest.partition(":")[0]
        if wrong := _wrong_with(name, hashed, known=name in hashes or name in locked):
            refused[number] = wrong
        elif hashed in _LOCKED:
            locked.add(name)
        else:
            hashes[name] = hashed
            if _SHA.match(hashed):
                unsalted.append(number)
    cut = len(lines) in refused
    return Users(hashes=hashes, locked=frozenset(locked), refused=refused, unsalted=tuple(unsalted), cut=cut)


def matches(secret: bytes, hashed: str) -> bool:
    """Whether *secret* is the password of *hashed*; whatever cannot be hashed is not."""
    try:
        if _BCRYPT.match(hashed):
            # bcrypt never saw more than 72 bytes; Apache cuts without a word, the library raises.
            return bcrypt.checkpw(secret[:MOST_PASSWORD], hashed.encode())
        kind = apr_md5_crypt if _APR1.match(hashed) else ldap_sha1
        return bool(kind.verify(secret, hashed))
    except ValueError:
        return False


def fault_of_password(password: str) -> str:
    """Why *password* can be nobody's, as the end of a sentence; empty where nothing speaks against it."""
    if not password:
        return "is empty"
    if not password.isprintable():
        return "holds a line break or another character that cannot be typed everywhere"
    if len(password.encode()) > MOST_PASSWORD:
        return f"is longer than {MOST_PASSWORD} bytes, and bcrypt would not look at the rest"
    return ""


def hashed_password(password: str, *, cost: int = COST) -> str:
    """What stands behind a name whose password this is; takes a third of a second.

    Raise ValueError where fault_of_password() is not empty.
    """
    if fault := fault_of_password(password):
        raise ValueError(f"The password {fault}.")
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()
    # What the htpasswd program calls 2y is what Python's bcrypt calls 2b.
    return hashed.replace("$2b$", "$2y$", 1)


def has_line(content: bytes, name: str) -> bool:
    """Whether any line of *content* is *name*'s, be it one that lets nobody in."""
    return any(_name_in(line) == name for line in _lines(content))


def with_user(content: bytes, name: str, hashed: str) -> bytes:
    """*content* with *hashed* behind *name*: in the first line of that name, else in a new one at its end."""
    lines = _lines(content)
    for number, line in enumerate(lines):
        if _name_in(line) == name:
            lines[number] = _rehashed(line, hashed)
            return b"".join(lines)
    end = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
    whole = content if not content or content.endswith(b"\n") else content + end
    return whole + f"{name}:{hashed}".encode() + end


def without_user(content: bytes, name: str) -> bytes:
    """*content* less every line of *name*: were one left, it would count from now on."""
    return b"".join(line for line in _lines(content) if _name_in(line) != name)


def decoded(raw: bytes) -> str:
    """*raw* as UTF-8, or else as Latin-1: uv and browsers send the one, requests (pip, twine) the other."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _wrong_with(name: str, hashed: str, *, known: bool) -> str:
    """Why a line lets nobody in, empty where it does; never with anything that stands in the line."""
    if not hashed:
        return "is not a user name, a colon and a hash"
    if fault := fault_of_user(name):
        return fault
    if known:
        return "has a name that stands above already; the first counts"
    if hashed not in _LOCKED and not any(kind.match(hashed) for kind in (_BCRYPT, _APR1, _SHA)):
        return "holds no bcrypt, $apr1$ or {SHA} hash; make one with htpasswd -B"
    return ""


def _lines(content: bytes) -> list[bytes]:
    """The lines with their ends; splitlines() would end some at a lone carriage return, too."""
    return re.findall(rb"[^\n]*\n|[^\n]+\Z", content)


def _name_in(line: bytes) -> str:
    """The user that *line* is of, empty where it is nobody's."""
    text = decoded(line.removeprefix(codecs.BOM_UTF8)).strip()
    return "" if text.startswith("#") else text.partition(":")[0]


def _rehashed(line: bytes, hashed: str) -> bytes:
    """*line* with another hash: its name, its end, and what Apache takes for a remark, stay."""
    found = re.match(rb"([^:\r\n]*)(?::[^:\r\n]*)?", line)
    assert found is not None
    return found[1] + b":" + hashed.encode() + line[found.end() :]
