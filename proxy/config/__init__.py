"""TOML, environment and flags become one frozen Settings, or every problem at once with the place it stands at.

`tables` says which settings there are, `values` and `urls` how one is written, `sources` where they come from, `lines`
on which line of a TOML file, and `show` prints them back; `credentials` and `htpasswd` read what no setting holds.
"""

from __future__ import annotations

from .credentials import Login
from .sources import ConfigError, Configuration, Flags, load
from .tables import Auth, Cache, Index, Private, Right, Server, Settings, Storage, Upload
from .urls import MirrorURL
from .values import Listen, Network, Seconds, Size

__all__ = [
    "Auth",
    "Cache",
    "ConfigError",
    "Configuration",
    "Flags",
    "Index",
    "Listen",
    "Login",
    "MirrorURL",
    "Network",
    "Private",
    "Right",
    "Seconds",
    "Server",
    "Settings",
    "Size",
    "Storage",
    "Upload",
    "load",
]
