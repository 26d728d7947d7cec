"""XML-RPC messages, read and written (the XML-RPC specification of 1999); does no I/O.

What comes may be from anybody, and XML has more to it than calls need: a document type, entities, processing
instructions, other encodings and deep nesting are refused before they cost anything.
"""

from __future__ import annotations

import re
import xmlrpc.client
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

MAX_CALL = 64 * 1024
"""Bytes of a call."""

MAX_DEPTH = 32
"""Elements within each other; the list of words of a search is nine deep."""

NOT_READABLE, NO_METHOD, BAD_PARAMS, FAILED = -32700, -32601, -32602, -32500
"""Fault codes: "Specification for Fault Code Interoperability", 2001."""

TYPE = "text/xml"

_VALUES = frozenset(
    {"string", "int", "i4", "boolean", "double", "dateTime.iso8601", "base64", "struct", "array", "nil"}
)
_ELEMENTS = _VALUES | {"methodCall", "methodName", "params", "param", "value", "member", "name", "data"}
_ENCODINGS = frozenset({"utf-8", "us-ascii", "ascii"})

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold, not even escaped (XML 1.0, 2.2)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method, and what it is called with: strings, numbers, lists, dicts and the like."""

    method: str
    params: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer."""

    code: int
    sentence: str


class _Refused(Exception):
    """What was sent is not looked at any further."""


def read_call(body: bytes) -> Call | Fault:
    """The call that *body* is, or what is wrong with it."""
    if len(body) > MAX_CALL:
        return Fault(NOT_READABLE, f"A call may have {MAX_CALL} bytes.")
    try:
        return _Reader().read(body)
    except _Refused as error:
        return Fault(NOT_READABLE, str(error))
    except UnicodeDecodeError:
        return Fault(NOT_READABLE, "A call is written in UTF-8.")
    except expat.ExpatError as error:
        return Fault(NOT_READABLE, f"The call is no well-formed XML: {error}.")
    except (xmlrpc.client.Error, ValueError, TypeError, LookupError, ArithmeticError):
        # What the standard library's reader raises for values that are none; it has no one class for that.
        return Fault(NOT_READABLE, "The call is XML, and not XML-RPC.")


def write_answer(result: list[dict[str, str | bool]]) -> bytes:
    """The answer to a call."""
    return xmlrpc.client.dumps((result,), methodresponse=True, encoding="utf-8").encode()


def write_fault(fault: Fault) -> bytes:
    """The answer to a call that has none."""
    return xmlrpc.client.dumps(xmlrpc.client.Fault(fault.code, writable(fault.sentence)), encoding="utf-8").encode()


def writable(text: str) -> str:
    """*text* on one line, less what XML cannot say: clients would fail to read all of the answer."""
    return " ".join(_NOT_XML.sub(" ", text).split())


class _Reader:
    """Reads one call."""

    def __init__(self) -> None:
        self._target = xmlrpc.client.Unmarshaller(use_builtin_types=True)
        # With an encoding, it would decode what expat has decoded already.
        self._target.xml("", None)
        self._open: list[str] = []
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._target.data
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        parser.ProcessingInstructionHandler = self._refuse

    def read(self, body: bytes) -> Call:
        text = body.decode("utf-8")
        if "\0" in text:
            # Told or not, expat takes what looks like UTF-16 for that.
            raise _Refused("A call is written in UTF-8.")
        self._parser.Parse(text, True)
        params, method = self._target.close(), self._target.getmethodname()
        if not method:
            raise _Refused("The call names no method.")
        return Call(method, tuple(params))

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise _Refused("A call is written in UTF-8.")

    def _start(self, tag: str, _attributes: dict[str, str]) -> None:
        if not self._open and tag != "methodCall":
            raise _Refused("What was sent is no methodCall.")
        if tag not in _ELEMENTS:
            raise _Refused("The call has an element that XML-RPC does not know.")
        if len(self._open) >= MAX_DEPTH:
            raise _Refused(f"A call may be {MAX_DEPTH} elements deep.")
        self._open.append(tag)
        self._target.start(tag, {})

    def _end(self, tag: str) -> None:
        self._open.pop()
        self._target.end(tag)

    def _refuse(self, *_: object) -> NoReturn:
        raise _Refused("A call has no document type, no entities and no processing instructions.")
