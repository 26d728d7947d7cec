"""On which line of a TOML file each key stands, for a text that the TOML parser has accepted: pure.

tomllib tells lines of syntax errors only, and a wrong value is found later, when its line is long forgotten.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

Key = tuple[str | int, ...]
"""The names from the root to a value, and the number of a table in `[[...]]`: ("index", 0, "mirrors")."""

# A string in each of the four ways of quoting, a comment, a line's end, a bracket, or what lies between them.
_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:\'{0,2})'
    r'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
    r"|\#[^\n]*|\n|[\[\]{}=]|[^\"'\#\n\[\]{}=]+",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Key, int]:
    """The line (from 1) of every key and every table's header in *text*."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    for number, pieces in _statements(text):
        if pieces[:2] == ["[", "["]:
            *above, last = _names("".join(pieces[2:]).rstrip().removesuffix("]]"))
            array = (*_numbered(above, counts), last)
            counts[array] = counts.get(array, -1) + 1
            table = (*array, counts[array])
            lines.setdefault(array, number)
            lines[table] = number
        elif pieces[0] == "[":
            table = _numbered(_names("".join(pieces[1:]).rstrip().removesuffix("]")), counts)
            lines.setdefault(table, number)
        else:
            lines.setdefault((*table, *_names("".join(pieces[: pieces.index("=")]))), number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each header or `key = value` as the line it begins at and its pieces, without comments."""
    line, depth = 1, 0
    begun, pieces = 1, list[str]()
    for match in _PIECE.finditer(text.replace("\r\n", "\n") + "\n"):
        piece = match[0]
        if piece == "\n" and depth == 0:
            if pieces:
                yield begun, pieces
            pieces = []
        elif not piece.startswith("#") and (pieces or piece.strip()):
            begun = begun if pieces else line
            pieces.append(piece if pieces else piece.lstrip())
            depth += (piece in "[{") - (piece in "]}")
        line += piece.count("\n")


def _names(key: str) -> list[str]:
    """The names in a dotted key, quoted or bare, as the TOML parser itself reads them."""
    names: list[str] = []
    inner: Any = tomllib.loads(f"{key} = 0")
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return names


def _numbered(names: list[str], counts: dict[Key, int]) -> Key:
    """*names*, with the number of the last table so far after the name of every array of tables."""
    key: Key = ()
    for name in names:
        key = (*key, name)
        if key in counts:
            key = (*key, counts[key])
    return key
