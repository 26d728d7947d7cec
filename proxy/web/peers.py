"""Who is at the other end, and under which address we were reached: pure.

A proxy in front of us tells both in X-Forwarded-* headers, which anybody else can send too: they are believed from
the operator's own proxies alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Literal

from multidict import MultiMapping

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Scheme = Literal["http", "https"]

PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # RFC 6598, shared within a provider, and what overlay networks use
        "169.254.0.0/16",  # RFC 3927
        "fe80::/10",
        "fc00::/7",  # RFC 4193
    )
)
"""Where a building's own machines are, and nobody who comes by way of the internet."""

UNKNOWN: Address = IPv4Address(0)
"""Stands for what is no address: neither private nor trusted."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(
    rf"(?P<name>{_LABEL}(?:\.{_LABEL})*\.?|\[(?P<v6>[0-9A-Fa-f:.]{{2,45}})\])(?::(?P<port>[0-9]{{1,5}}))?"
)
_HOP = re.compile(r"(?:\[(?P<bracketed>[^\]]*)\]|(?P<v4>[0-9.]+))(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Peers:
    """The proxies whose word is taken; a peer on a unix socket (*remote* empty) is trusted always."""

    trusted: tuple[Network, ...] = ()

    def address(self, remote: str | None, headers: MultiMapping[str]) -> Address | None:
        """The client's own address, UNKNOWN where a proxy tells none; None for a unix socket that tells nothing.

        X-Forwarded-For is walked from the right, where our own proxy wrote, up to the first address that is none of
        the operator's proxies: what stands left of it anybody can have made up.
        """
        client = _address(remote) if remote != "" else None
        for hop in reversed(_items(headers, "X-Forwarded-For")):
            if not self._trusts(client):
                break
            client = _address(hop)
        return client

    def client(self, remote: str | None) -> str:
        """What the log calls a client at *remote* for whom no proxy speaks."""
        return str((_address(remote) if remote != "" else None) or "-")

    def trusts(self, remote: str | None) -> bool:
        """Whether the word of a peer at *remote* is taken."""
        return self._trusts(_address(remote) if remote != "" else None)

    def scheme(self, remote: str | None, own: str, headers: MultiMapping[str]) -> Scheme:
        """How the client reached us; *own* is the scheme of the connection itself."""
        said = self._said(remote, headers, "X-Forwarded-Proto").lower() or own
        return "https" if said == "https" else "http"

    def host(self, remote: str | None, headers: MultiMapping[str]) -> str | None:
        """Host and port that the client asked for, fit to be shown; None where they are not."""
        said = self._said(remote, headers, "X-Forwarded-Host") or headers.get("Host", "")
        return checked_host(said)

    def _said(self, remote: str | None, headers: MultiMapping[str], name: str) -> str:
        """The last value of *name*, which is the nearest proxy's own; empty where none may be believed."""
        if not self.trusts(remote):
            return ""
        return next(reversed(_items(headers, name)), "")

    def _trusts(self, address: Address | None) -> bool:
        return address is None or any(address in network for network in self.trusted)


def checked_host(value: str) -> str | None:
    """*value*, a Host header, in lower case; None unless it is a plain name or address, with or without a port.

    What passes may stand in a page, a URL or a shell line as it is.  Underscores pass: no DNS name has one, but
    containers are called so.
    """
    found = _HOST.fullmatch(value)
    if found is None or len(found["name"]) > 253 or not 0 < int(found["port"] or 1) < 65536:
        return None
    if found["v6"] is not None and not isinstance(_parse(found["v6"]), IPv6Address):
        return None
    return value.lower()


def is_private(address: Address | None) -> bool:
    """Whether *address* lies in PRIVATE_NETWORKS; a unix socket does."""
    return address is None or any(address in network for network in PRIVATE_NETWORKS)


def is_loopback(address: Address | None) -> bool:
    """Whether *address* is this machine itself; a unix socket is."""
    return address is None or address.is_loopback


def _items(headers: MultiMapping[str], name: str) -> list[str]:
    """The elements of a list header, over all its lines (RFC 9110, 5.3)."""
    items = [item.strip() for line in headers.getall(name, []) for item in line.split(",")]
    return [item for item in items if item]


def _address(text: str | None) -> Address:
    """The address in *text*, with or without brackets and port; one of IPv4 within IPv6 as IPv4; else UNKNOWN."""
    if found := _HOP.fullmatch(text or ""):
        text = found["bracketed"] or found["v4"]
    address = _parse(text or "")
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _parse(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        return UNKNOWN
