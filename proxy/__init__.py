"""Yizhan (驿站): one index URL for every pip and uv on the LAN."""

__version__ = "0.1.0"
