"""What may be dialled: links on an upstream's pages are a stranger's words, followed from inside the LAN.

The text of a URL is judged before it is asked for, the address once more at the moment of dialling.  Only the second
look holds against names that resolve inwards and addresses in odd spellings; only the first holds behind a proxy.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from aiohttp import AddrInfoType
from yarl import URL

from ..errors import MirrorFailed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 16 * 1024
"""Characters: signed links to blob storage run to a few thousand."""

NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host"
        "::/128",
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "fe80::/10",
        "224.0.0.0/4",  # multicast
        "ff00::/8",
        "255.255.255.255/32",
        "100.100.100.200/32",  # metadata at Aliyun,
        "168.63.129.16/32",  # Azure,
        "192.0.0.192/32",  # Oracle,
        "fd00:ec2::254/128",  # Amazon
        "fd20:ce::254/128",  # and Google
    )
)
"""Dialled for nobody, whatever an operator lists: nothing there is an index, and some of it gives out credentials."""

_GLOBAL_V6 = ip_network("2000::/3")
_NOT_GLOBAL = (ip_network("192.0.0.0/24"), ip_network("192.88.99.0/24"))
"""What the `is_global` of some Pythons lets through."""

_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")

_PLAIN = re.compile(r"[!-\[\]-~]+\Z")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@]+)(:\d{0,5})?\Z")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\Z")
_ENDS_IN_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\Z")


class Origin(NamedTuple):
    """Scheme, host and port of a URL (RFC 6454), in lower case."""

    scheme: str
    host: str
    port: int


class Refused(OSError):
    """An address that may not be dialled.  An OSError, so that the next address of the name is tried."""


def origin_of(url: str) -> Origin:
    """The origin of *url*; raise MirrorFailed where it is not a plain http or https URL.

    Parsed by the very library that dials: two parsers may see two hosts in one text.
    """
    if len(url) > MAX_URL or not _PLAIN.match(url):
        raise MirrorFailed("A link with characters that no URL has is not followed.")
    try:
        parsed = URL(url, encoded=True)
        scheme, host, port = parsed.scheme, parsed.host, parsed.port
    except (ValueError, IndexError):  # the latter is what yarl makes of `http://[]@`
        raise MirrorFailed("A link that is no URL is not followed.") from None
    if scheme not in ("http", "https"):
        raise MirrorFailed("A link to something else than http or https is not followed.")
    if not host or not port:
        raise MirrorFailed("A link without a host or with an odd port is not followed.")
    if "@" in parsed.raw_authority:
        raise MirrorFailed("A link with a user name or a password is not followed.")
    if not _AUTHORITY.match(parsed.raw_authority):
        raise MirrorFailed("A link to a host or port in an odd spelling is not followed.")
    return Origin(scheme, host.lower(), port)


class Guard:
    """What one index may have us dial."""

    def __init__(
        self,
        *,
        own: Collection[Origin] = (),
        public: Collection[Origin] = (),
        hosts: Collection[str] = (),
        networks: Collection[Network] = (),
    ) -> None:
        """The guard of an index.

        *own*: mirrors whose URL an operator wrote; they may be on the LAN or on this very machine.
        *public*: mirrors known by a public name; *hosts* need not list them, but they are held to global addresses.
        *hosts*: where given, the only other hosts that links may lead to.
        *networks*: addresses that are not global and that links and public mirrors may lead to all the same.
        """
        self._own = frozenset(own)
        self._mirrors = self._own | frozenset(public)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._networks = tuple(networks)

    def is_own(self, url: str) -> bool:
        """Whether *url* is at the exact origin of a mirror that an operator configured."""
        return origin_of(url) in self._own

    def check(self, url: str) -> None:
        """Raise MirrorFailed where *url* may not be asked for, as far as its text tells."""
        origin = origin_of(url)
        literal = _literal(origin.host)
        if literal is not None:
            try:
                self._judge(literal, own=origin in self._own)
            except Refused as error:
                raise MirrorFailed(f"{error.strerror}.") from None
        if origin in self._mirrors:
            return
        if self._hosts and origin.host not in self._hosts:
            raise MirrorFailed(f"{origin.host} is not among the hosts that this index may link to.")
        if origin.port < 1024 and origin.port not in (80, 443):
            raise MirrorFailed(f"Port {origin.port} belongs to another protocol and is not dialled.")

    def own_socket(self, addr_info: AddrInfoType) -> socket.socket:
        """A socket for *addr_info*, reached by the name of an own mirror or of a configured proxy; else Refused."""
        return self._socket(addr_info, own=True)

    def other_socket(self, addr_info: AddrInfoType) -> socket.socket:
        """A socket for *addr_info*, reached by any other name; raise Refused where it may not be dialled."""
        return self._socket(addr_info, own=False)

    def _socket(self, addr_info: AddrInfoType, *, own: bool) -> socket.socket:
        family, kind, protocol, _, address = addr_info
        self._judge(ip_address(str(address[0])), own=own)
        return socket.socket(family, kind, protocol)

    def _judge(self, address: Address, *, own: bool) -> None:
        inner = _inner(address)
        if any(candidate in network for candidate in (address, inner) for network in NEVER):
            raise Refused(errno.EACCES, f"The address {address} is never dialled")
        if own or _is_global(inner) or any(inner in network for network in self._networks):
            return
        raise Refused(errno.EACCES, f"The address {address} is not on the public internet and not allowed by networks")


def _literal(host: str) -> Address | None:
    """The address that *host* spells, None for a name; raise MirrorFailed for any but the one plain spelling.

    `0x7f.1`, `017700000001` and `127.1` are addresses to the C library, and names to `ipaddress`.
    """
    if ":" in host or _ENDS_IN_NUMBER.match(host.rstrip(".")):
        try:
            return ip_address(host)
        except ValueError:
            raise MirrorFailed("A link to an address in an odd spelling is not followed.") from None
    if not _HOST.match(host):
        raise MirrorFailed("A link to a host whose name is not plain is not followed.")
    return None


def _inner(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, which a kernel, relay or translator on the way would unpack."""
    if isinstance(address, IPv4Address) or address.is_loopback or address.is_unspecified:
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_global(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return False
    return address.is_global and not any(address in network for network in _NOT_GLOBAL)
