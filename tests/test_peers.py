"""web/peers.py: whose word counts, and which hosts may be shown."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.web.peers import UNKNOWN, Peers, checked_host, is_loopback, is_private

PEERS = Peers((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))


def forwarded(*values: str) -> CIMultiDict[str]:
    return CIMultiDict(("X-Forwarded-For", value) for value in values)


@pytest.mark.parametrize(
    ("remote", "lines", "client"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("127.0.0.1",), "203.0.113.9"),  # a stranger says what he likes
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("127.0.0.1, 198.51.100.7",), "198.51.100.7"),  # made up, and left of what our proxy saw
        ("10.0.0.1", ("127.0.0.1", "198.51.100.7"), "198.51.100.7"),
        ("10.0.0.1", ("127.0.0.1, 198.51.100.7, 10.9.9.9",), "198.51.100.7"),
        ("10.0.0.1", ("10.2.2.2, 10.3.3.3",), "10.2.2.2"),
        ("10.0.0.1", ("198.51.100.7:4711",), "198.51.100.7"),
        ("10.0.0.1", ("[2001:db8::1]:4711",), "2001:db8::1"),
        ("10.0.0.1", ("2001:db8::1",), "2001:db8::1"),
        ("10.0.0.1", ("198.51.100.7, ,",), "198.51.100.7"),
        ("fd00::1", ("198.51.100.7",), "198.51.100.7"),
        ("::ffff:10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("", ("198.51.100.7",), "198.51.100.7"),
        ("", ("127.0.0.1, 198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("unknown",), "0.0.0.0"),
        ("10.0.0.1", ("127.0.0.1, _hidden",), "0.0.0.0"),
        (None, ("127.0.0.1",), "0.0.0.0"),
    ],
)
def test_the_client_is_the_last_whom_no_proxy_of_ours_vouches_for(
    remote: str | None, lines: tuple[str, ...], client: str
) -> None:
    assert str(PEERS.address(remote, forwarded(*lines))) == client


def test_a_unix_socket_that_tells_no_client_has_no_address() -> None:
    assert PEERS.address("", forwarded()) is None


@given(
    st.lists(st.text(st.characters(codec="latin-1"), max_size=40), max_size=5), st.sampled_from(["", "10.0.0.1", "?"])
)
def test_no_header_breaks_the_walk(values: list[str], remote: str) -> None:
    PEERS.address(remote, forwarded(*values))


@given(st.lists(st.ip_addresses().map(str), max_size=4))
def test_nothing_a_client_writes_hides_what_our_proxy_saw(made_up: list[str]) -> None:
    assert str(PEERS.address("10.0.0.1", forwarded(*made_up, "198.51.100.7"))) == "198.51.100.7"


@pytest.mark.parametrize(
    ("remote", "own", "said", "scheme"),
    [
        ("203.0.113.9", "http", "https", "http"),
        ("203.0.113.9", "https", "http", "https"),
        ("10.0.0.1", "http", "https", "https"),
        ("10.0.0.1", "http", "HTTPS", "https"),
        ("10.0.0.1", "https", "http", "http"),
        ("10.0.0.1", "http", "https, http", "http"),
        ("10.0.0.1", "http", "javascript", "http"),
        ("10.0.0.1", "https", "", "https"),
        ("", "http", "https", "https"),
        (None, "http", "https", "http"),
    ],
)
def test_only_our_own_proxies_say_that_a_request_came_over_https(
    remote: str | None, own: str, said: str, scheme: str
) -> None:
    assert PEERS.scheme(remote, own, CIMultiDict({"X-Forwarded-Proto": said})) == scheme


@pytest.mark.parametrize(
    ("remote", "headers", "host"),
    [
        ("203.0.113.9", {"Host": "pypi.lan", "X-Forwarded-Host": "evil.example"}, "pypi.lan"),
        ("10.0.0.1", {"Host": "127.0.0.1:8080", "X-Forwarded-Host": "pypi.lan"}, "pypi.lan"),
        ("10.0.0.1", {"Host": "pypi.lan", "X-Forwarded-Host": "evil.example, pypi.lan:8080"}, "pypi.lan:8080"),
        ("10.0.0.1", {"Host": "pypi.lan", "X-Forwarded-Host": "<script>"}, None),
        ("10.0.0.1", {"Host": "PyPI.lan"}, "pypi.lan"),
        ("10.0.0.1", {}, None),
    ],
)
def test_the_host_is_the_clients_or_our_own_proxys(remote: str, headers: dict[str, str], host: str | None) -> None:
    assert PEERS.host(remote, CIMultiDict(headers)) == host


@pytest.mark.parametrize(
    "value",
    ["pypi.lan", "pypi", "pypi.lan.", "a-b.c-d", "my_proxy:8080", "10.0.0.1:80", "[::1]", "[fd00::1]:8080", "x:65535"],
)
def test_a_plain_host_may_be_shown(value: str) -> None:
    assert checked_host(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "pypi lan", "pypi.lan\n", "pypi..lan", ".lan", "-a.lan", "a-.lan"),
        *("x" * 64, "x." * 127 + "xx", "pypi.lan:", "pypi.lan:0", "pypi.lan:65536", "pypi.lan:80:80", "pypi.lan:８０"),
        *("pypi.lan/x", "user@pypi.lan", "a;b", "$(reboot)", "`id`", "<b>", '"', "'", "驿站.lan", "ｐypi.lan"),
        *("[::1", "::1", "[::g]", "[1.2.3.4]", "[::1]x", "[fe80::1%eth0]"),
    ],
)
def test_any_other_host_is_not_shown(value: str) -> None:
    assert checked_host(value) is None


@given(st.text(max_size=80))
def test_what_is_shown_holds_nothing_that_a_page_or_a_shell_would_read(value: str) -> None:
    shown = checked_host(value)
    assert shown is None or set(shown) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-:[]")


LOOPBACK = ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")
LOCAL = (
    *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.1.1"),
    *("fe80::1%eth0", "fd12::1", "::ffff:10.1.2.3"),
)
GLOBAL = ("172.32.0.1", "100.128.0.1", "8.8.8.8", "192.0.2.1", "2001:db8::1", "::ffff:8.8.8.8")


@pytest.mark.parametrize("text", [*LOOPBACK, *LOCAL, *GLOBAL])
def test_private_is_what_lies_in_the_building(text: str) -> None:
    client = PEERS.address(text, forwarded())
    assert (is_private(client), is_loopback(client)) == (text not in GLOBAL, text in LOOPBACK)


def test_the_unknown_is_neither_private_nor_loopback_and_a_unix_socket_is_both() -> None:
    assert not is_private(UNKNOWN)
    assert not is_loopback(UNKNOWN)
    assert is_private(None)
    assert is_loopback(None)
