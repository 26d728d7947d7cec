"""The index that this machine's pip installs from, for the tests marked `real`."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, getproxies, urlopen

import pytest

from ..daemon import program

PROBE = "certifi"
"""A project that every copy of the official index has; its page tells where the files are."""

PATIENCE = 20.0
"""Seconds for the probe's page."""


@dataclass(frozen=True)
class RealIndex:
    """How to reach it from here."""

    url: str
    networks: tuple[str, ...]
    """Of the addresses, of its own and of its files' hosts, that are not global on this network."""

    @property
    def flags(self) -> list[str]:
        """For `yizhan serve`, beside the URL."""
        return [word for network in self.networks for word in ("--allow-network", network)]

    @property
    def environment(self) -> dict[str, str]:
        """For `yizhan serve`: what pip has been told about certificates and proxies."""
        found = {"YIZHAN_INDEX__CA": configured("cert", default="")}
        if getproxies():
            found["YIZHAN_INDEX__PROXY"] = "environment"
        return {key: value for key, value in found.items() if value}


def find_real_index() -> RealIndex:
    """Ask pip for its index, and the index for one page; skip, loudly, where that does not answer."""
    url = index_url()
    try:
        page_url, page = _page(f"{url}{PROBE}/")
        links = re.findall(r'href="([^"]+)"', page)
        hosts = {urlsplit(urljoin(page_url, link)).hostname or "" for link in [page_url, *links]}
        return RealIndex(url, tuple(_not_global(hosts)))
    except (OSError, HTTPException) as error:
        pytest.skip(f"NOT TESTED WITH REAL INPUT: the index that pip is configured for does not answer ({error})")


def index_url() -> str:
    """The URL of that index, with its slash."""
    return configured("index-url", default=_built_in()).rstrip("/") + "/"


def configured(key: str, *, default: str) -> str:
    """pip's own setting, from its environment or its files."""
    if value := os.environ.get(f"PIP_{key.upper().replace('-', '_')}"):
        return value
    done = subprocess.run(
        [program("pip"), "config", "get", f"global.{key}"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or default


def _built_in() -> str:
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


def _page(url: str) -> tuple[str, str]:
    """Where the page is after redirects, and its HTML."""
    context = ssl.create_default_context(cafile=configured("cert", default="") or None)
    with urlopen(Request(url, headers={"Accept": "text/html"}), timeout=PATIENCE, context=context) as answer:
        return answer.url, answer.read().decode()


def _not_global(hosts: Iterable[str]) -> list[str]:
    addresses = {str(found[4][0]) for host in hosts for found in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    return [str(address) for address in sorted(addresses) if not ip_address(address).is_global]
