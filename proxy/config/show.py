"""Settings as TOML again, each with the place it was written at: what `yizhan check` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from .lines import Key
from .sources import Configuration
from .tables import Table
from .urls import MirrorURL
from .values import Listen, Seconds, Size


def show(configuration: Configuration) -> Iterator[str]:
    """The lines of a file that would give the same settings."""
    settings = configuration.settings
    if not settings.index:
        yield f"index = []  # {configuration.places[('index',)]}"
    for section in type(settings).model_fields:
        value = getattr(settings, section)
        if isinstance(value, Table):
            yield from _table(configuration, f"[{section}]", (section,), value)
        else:
            for place, table in enumerate(value):
                yield from _table(configuration, f"[[{section}]]", (section, place), table)


def _table(configuration: Configuration, header: str, above: Key, table: Table) -> Iterator[str]:
    yield header
    for key in type(table).model_fields:
        value = getattr(table, key)
        place = configuration.places.get((*above, key), "default")
        yield f"{key} = {_written(value)}  # {place}"
    yield ""


def _written(value: object) -> str:
    """*value* as one writes it in TOML; json.dumps escapes text as TOML does."""
    if value is None:
        return '""'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Seconds | Size | Listen | MirrorURL | Path | IPv4Network | IPv6Network):
        return json.dumps(str(value))
    return json.dumps(value)
