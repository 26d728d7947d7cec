"""The small text files of a .dist-info folder: whether installers can make something of them.  Pure."""

from __future__ import annotations

import configparser
import re
from email.parser import BytesHeaderParser
from email.policy import compat32

from ..errors import BadUpload

MAX_WHEEL = 64 * 2**10
"""Bytes; it has a line for each tag."""

MAX_ENTRY_POINTS = 2**20
"""Bytes."""

MAX_LINES = 10_000
"""Of entry_points.txt: the reader's time grows with the square of those that are wrong."""

_VERSION = re.compile(r"([0-9]{1,9})\.[0-9]{1,9}\Z")
_SCRIPTS = ("console_scripts", "gui_scripts")
_SCRIPT = re.compile(r"[\w.-]+")
_GAPS = re.compile(r"(?<=\S)\s{2,}")


class _EntryPoints(configparser.ConfigParser):
    """As the specification of entry points has it: `=` alone, and names in upper and lower case."""

    def __init__(self) -> None:
        super().__init__(delimiters=("=",), interpolation=None)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def check_wheel(text: bytes) -> None:
    """Raise BadUpload unless the WHEEL file *text* is of a Wheel-Version that installers know."""
    said = BytesHeaderParser(policy=compat32).parsebytes(text).get_all("Wheel-Version", [])
    version = _VERSION.match(str(said[0]).strip()) if len(said) == 1 else None
    if version is None:
        raise BadUpload("The wheel's WHEEL file must say its Wheel-Version once, as two numbers.")
    if int(version[1]) > 1:
        raise BadUpload("The wheel's WHEEL file says a Wheel-Version that no installer knows, which is 1.x.")


def check_entry_points(text: bytes) -> None:
    """Raise BadUpload unless entry_points.txt is well-formed, as the official index wants it too.

    Names of commands must be plain: an installer makes files of them.
    """
    try:
        lines = text.decode().split("\n")
        if len(lines) > MAX_LINES:
            raise BadUpload(f"The wheel's entry_points.txt has more than {MAX_LINES} lines.")
        parser = _EntryPoints()
        # Long gaps mean nothing, and would take the reader long.
        parser.read_string("\n".join(_GAPS.sub(" ", line) for line in lines))
    except (UnicodeDecodeError, configparser.Error):
        raise BadUpload("The wheel's entry_points.txt is not well-formed.") from None
    for section in filter(parser.has_section, _SCRIPTS):
        for name in parser[section]:
            if not _SCRIPT.fullmatch(name):
                raise BadUpload(f"The wheel's entry_points.txt gives {name[:80]!a} as a name for a command.")
