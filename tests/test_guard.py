"""What may be dialled: the catalogue of addresses and spellings that must not be (C01 to C09, C14 to C16)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from proxy.errors import MirrorFailed, NotFound
from proxy.upstream.guard import Guard, Origin, Refused, origin_of
from proxy.upstream.index import Limits, Mirror
from proxy.upstream.sessions import open_sessions, proxies_of

from .upstream_server import UpstreamServer

INWARD = (
    "127.0.0.1",
    "127.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "192.88.99.1",
    "198.18.0.1",
    "240.0.0.1",
    "::1",
    "fc00::1",
    "fec0::1",
    "2001::1",
    "2001:db8::1",
    "64:ff9b:1::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2002:7f00:1::1",
)
"""Not on the public internet, plainly or inside another address."""

NEVER = (
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "169.254.0.23",
    "fe80::1",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::ffff:0.0.0.0",
)
"""Not even where an operator asks for it."""

OUTWARD = ("1.1.1.1", "101.6.15.130", "2402:f000:1:400::2", "64:ff9b::101:101", "2002:101:101::1", "::ffff:1.1.1.1")

SPELLINGS = (
    "0x7f000001",
    "0x7f.1",
    "0x7F.0x0.0x0.0x1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.0.0.01",
    "0x",
    "1.1.1.256",
)
"""Addresses to a C library, and not to everybody else."""


def addr_info(address: str) -> aiohttp.AddrInfoType:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where: tuple[str, int] | tuple[str, int, int, int] = (address, 80)
    if family == socket.AF_INET6:
        where = (address, 80, 0, 0)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


def url(host: str, port: int = 80) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


# The address that is dialled


@pytest.mark.parametrize("address", [*INWARD, *NEVER])
def test_a_link_elsewhere_never_dials_inwards(address: str) -> None:
    with pytest.raises(Refused, match=r"never dialled|not on the public internet"):
        Guard().other_socket(addr_info(address))


@pytest.mark.parametrize("address", OUTWARD)
def test_a_link_elsewhere_may_dial_the_internet(address: str) -> None:
    Guard().other_socket(addr_info(address)).close()


@pytest.mark.parametrize("address", INWARD)
def test_a_mirror_that_an_operator_configured_may_be_on_the_lan(address: str) -> None:
    Guard().own_socket(addr_info(address)).close()


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_dialled_for_nobody(address: str) -> None:
    everything = Guard(networks=[ip_network("0.0.0.0/0"), ip_network("::/0")])
    for factory in (everything.other_socket, everything.own_socket):
        with pytest.raises(Refused, match="never dialled"):
            factory(addr_info(address))


def test_listed_networks_may_be_dialled_and_their_neighbours_not() -> None:
    guard = Guard(networks=[ip_network("10.1.0.0/16"), ip_network("fd12::/16")])
    for address in ("10.1.2.3", "fd12::1", "::ffff:10.1.2.3"):
        guard.other_socket(addr_info(address)).close()
    for address in ("10.2.0.1", "fd13::1", "127.0.0.1"):
        with pytest.raises(Refused):
            guard.other_socket(addr_info(address))


def test_an_address_with_its_interface_is_still_link_local() -> None:
    with pytest.raises(Refused):
        Guard().own_socket(addr_info("fe80::1%lo"))


@given(st.ip_addresses())
def test_whatever_is_dialled_elsewhere_is_global(address: object) -> None:
    try:
        Guard().other_socket(addr_info(str(address))).close()
    except Refused:
        return
    dialled = ip_address(str(address))
    assert dialled.is_global or dialled in ip_network("2002::/16") or dialled in ip_network("64:ff9b::/96")
    assert not dialled.is_multicast
    assert not dialled.is_private or dialled in ip_network("2002::/16")


# The text of the URL


@pytest.mark.parametrize("host", [*INWARD, *NEVER, *SPELLINGS])
@pytest.mark.parametrize("guard", [Guard(), Guard(hosts=["files.example"])])
def test_no_address_inside_and_no_odd_spelling_passes_as_a_link(host: str, guard: Guard) -> None:
    with pytest.raises(MirrorFailed):
        guard.check(url(host, 8080))


@pytest.mark.parametrize(
    "link",
    [
        "file:///etc/passwd",
        "ftp://files.example/a.whl",
        "gopher://files.example/",
        "unix:///run/docker.sock",
        "data:text/html,x",
        "javascript:alert(1)",
        "//files.example/a.whl",
        "/packages/a.whl",
        "http:///a.whl",
        "http:a.whl",
        "",
    ],
)
def test_only_http_and_https_urls_with_a_host_are_links(link: str) -> None:
    with pytest.raises(MirrorFailed):
        Guard().check(link)


@pytest.mark.parametrize(
    "link",
    [
        "https://user@files.example/",
        "https://user:password@files.example/",
        "https://mirror.example@files.example/",
        "https://@files.example/",
        "https://mirror.example\\@files.example/",
        "https://files.example\\.mirror.example/",
        "https://files.example./",
        "https://.files.example/",
        "https://files..example/",
        "https://fi%6ces.example/",
        "https://文件.example/",
        "https://１２７.0.0.1/",
        "https://files.example/a b.whl",
        "https://files.example/a\r\nHost: evil/",
        "https://files.example/\x00",
        "https://files.example:0/",
        "https://files.example:99999/",
        "https://files.example:22/",
        "https://files.example:+443/",
        "https://files.example:4_43/",
        "https://[v1.files]/",
        "https://[::1/",
        "https://[]@",
        "https://[fe80::1%25lo]/",
        "https://[2402:f000:1:400::2%25lo]/",
        "https://files.example/" + "a" * 20_000,
    ],
)
def test_a_link_that_could_be_read_in_two_ways_is_not_followed(link: str) -> None:
    with pytest.raises(MirrorFailed):
        Guard().check(link)


@pytest.mark.parametrize(
    "link",
    [
        "https://files.example/a%2Fb%7e.whl?sig=%2f",
        "http://files.example:8080/",
        "https://1.1.1.1/",
        "https://a-b_c.cn/",
    ],
)
def test_an_ordinary_link_is_followed(link: str) -> None:
    Guard().check(link)


def test_hosts_narrow_links_but_not_the_mirrors() -> None:
    guard = Guard(
        own=[origin_of("http://nexus.lan:8081/simple/")],
        public=[origin_of("https://mirror.example/simple/")],
        hosts=["Files.example"],
    )
    for good in (
        "http://nexus.lan:8081/x",
        "https://mirror.example/x",
        "https://FILES.example/x",
        "http://files.example/",
    ):
        guard.check(good)
    for bad in ("https://other.example/", "http://nexus.lan/", "http://mirror.example/", "https://sub.files.example/"):
        with pytest.raises(MirrorFailed, match="not among the hosts"):
            guard.check(bad)


def test_own_means_the_exact_origin() -> None:
    guard = Guard(own=[Origin("https", "nexus.lan", 443)], public=[origin_of("https://mirror.example/")])
    assert guard.is_own("https://NEXUS.lan/simple/")
    assert guard.is_own("https://nexus.lan:443/")
    for other in ("http://nexus.lan/", "https://nexus.lan:8443/", "https://a.nexus.lan/", "https://mirror.example/"):
        assert not guard.is_own(other)


def test_a_configured_mirror_may_be_named_by_its_address() -> None:
    guard = Guard(own=[origin_of("http://192.168.1.5:3141/"), origin_of("http://169.254.169.254/")])
    guard.check("http://192.168.1.5:3141/root/pypi/+simple/")
    for refused in ("http://192.168.1.5/", "http://192.168.1.6:3141/", "http://169.254.169.254/latest/"):
        with pytest.raises(MirrorFailed):
            guard.check(refused)


LINKS = (
    st.text(max_size=60)
    | st.from_regex(r"(https?|ftp):/{0,3}[a-z0-9@:\\\[\].%/#?-]{0,40}", fullmatch=True)
    | st.from_regex(r"https?://([a-z@:%.\\]{0,8})files\.example([a-z@:%.\\/#?0-9]{0,12})", fullmatch=True)
)


def judge(guard: Guard, text: str) -> str | None:
    """The host of *text*, if *guard* lets it be followed: the same one to whoever else reads it."""
    try:
        guard.check(text)
    except MirrorFailed:
        return None
    host = urlsplit(text).hostname
    assert URL(text, encoded=True).host == host == origin_of(text).host
    return host


@given(LINKS)
def test_any_text_is_judged_or_refused_in_a_sentence(text: str) -> None:
    judge(Guard(), text)


@given(LINKS)
def test_whatever_passes_leads_to_a_listed_host(text: str) -> None:
    assert judge(Guard(hosts=["files.example"]), text) in (None, "files.example")


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=100_000, deadline=None)
@given(LINKS)
def test_of_a_hundred_thousand_links_none_passes_but_to_a_listed_host(text: str) -> None:
    assert judge(Guard(hosts=["files.example"]), text) in (None, "files.example")


# Real sockets


class Names(AbstractResolver):
    """Resolves names as it is told: each look-up takes the next answer, the last one stays."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = answers

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answers = self._answers[host.partition(".")[0]]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


class Watched(Guard):
    """Remembers which addresses it let be dialled elsewhere, and then dials none of them: tests stay on loopback."""

    dialled: tuple[str, ...] = ()

    def other_socket(self, addr_info: aiohttp.AddrInfoType) -> socket.socket:
        super().other_socket(addr_info).close()
        self.dialled += (str(addr_info[4][0]),)
        raise ConnectionRefusedError(111, "not in a test")


class Victim:
    """Something inside that must not be reached."""

    hits = 0
    port = 0

    def connected(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hits += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        writer.close()


@pytest.fixture
async def victim() -> AsyncIterator[Victim]:
    found = Victim()
    server = await asyncio.start_server(found.connected, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    servers = [server]
    if socket.has_ipv6:
        with contextlib.suppress(OSError):  # a machine without IPv6 has no ::1 to protect
            servers.append(await asyncio.start_server(found.connected, "::1", found.port))
    yield found
    for server in servers:
        server.close()


@asynccontextmanager
async def open_mirror(
    up: UpstreamServer,
    guard: Guard | None = None,
    *,
    resolver: AbstractResolver | None = None,
    proxy: str | None = None,
    credentials: Mapping[str, tuple[str, str]] | None = None,
) -> AsyncIterator[Mirror]:
    guard = guard or Guard(own=[origin_of(up.origin)])
    sessions = open_sessions(
        guard=guard,
        user_agent="yizhan/test",
        connect=2,
        resolver=resolver,
        proxies=proxies_of(proxy),
        credentials=credentials,
    )
    async with sessions as opened:
        yield Mirror(name="one", base=up.simple, sessions=opened, limits=Limits(connect=2, answer=2))


async def fetch(mirror: Mirror, link: str) -> bytes:
    async with mirror.transfer(link, begin=0, end=None) as transfer:
        return b"".join([chunk async for chunk in transfer.chunks])


HOSTS_OF_VICTIM = ("127.0.0.1", *SPELLINGS, "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "localhost")


@pytest.mark.parametrize("host", HOSTS_OF_VICTIM)
async def test_neither_link_nor_redirect_reaches_what_is_inside(host: str, victim: Victim) -> None:
    async with UpstreamServer() as up, open_mirror(up) as mirror:
        with pytest.raises(MirrorFailed, match="one"):
            await fetch(mirror, url(host, victim.port) + "a.whl")
        up.fault("/packages/", redirect=url(host, victim.port) + "a.whl")
        with pytest.raises(MirrorFailed, match="one"):
            await fetch(mirror, up.files + "a.whl")
        with pytest.raises(MirrorFailed, match="one"):
            await mirror.measure(up.files + "a.whl")
        assert len(up.asked("/packages/")) == 2
    assert victim.hits == 0


@pytest.mark.parametrize("host", HOSTS_OF_VICTIM)
async def test_the_socket_alone_would_hold_against_every_spelling(host: str, victim: Victim) -> None:
    connector = aiohttp.TCPConnector(socket_factory=Guard().other_socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        with contextlib.suppress(aiohttp.ClientError, ValueError):
            await session.get(URL(url(host, victim.port), encoded=True))
    assert victim.hits == 0


async def test_the_victim_can_be_reached_where_nobody_guards_it(victim: Victim) -> None:
    """The control: else the tests above would pass with nothing listening."""
    async with aiohttp.ClientSession() as session, session.get(url("127.0.0.1", victim.port)) as response:
        assert await response.read() == b"secret"
    assert victim.hits == 1


async def test_a_mirror_on_loopback_is_reached_and_its_neighbour_is_not(victim: Victim) -> None:
    """C09 and C15: also when the neighbour is this proxy itself."""
    async with UpstreamServer() as up, open_mirror(up) as mirror:
        item = up.publish("demo", "demo-1.0.tar.gz", b"bytes")
        assert await fetch(mirror, up.url(item)) == b"bytes"
        with pytest.raises(MirrorFailed, match=r"127\.0\.0\.1 is not on the public internet"):
            await fetch(mirror, up.url(item).replace(str(up.port), str(victim.port)))
    assert victim.hits == 0


async def test_a_listed_network_opens_links_to_it() -> None:
    async with UpstreamServer() as files, UpstreamServer(links=files.files) as up:
        item = files.publish("demo", "demo-1.0.tar.gz", b"bytes")
        guard = Guard(own=[origin_of(up.origin)], networks=[ip_network("127.0.0.0/8")])
        async with open_mirror(up, guard) as mirror:
            assert await fetch(mirror, files.url(item)) == b"bytes"


async def test_a_name_that_resolves_inwards_is_not_dialled(victim: Victim) -> None:
    names = Names(inside=[["127.0.0.1"]])
    async with UpstreamServer() as up:
        guard = Watched(own=[origin_of(up.origin)])
        async with open_mirror(up, guard, resolver=names) as mirror:
            with pytest.raises(MirrorFailed, match="not on the public internet"):
                await fetch(mirror, url("inside.example", victim.port))
            assert guard.dialled == ()
    assert victim.hits == 0


async def test_of_a_name_s_addresses_only_the_public_ones_are_dialled() -> None:
    names = Names(mixed=[["10.0.0.1", "1.1.1.1", "::1", "169.254.169.254"]])
    async with UpstreamServer() as up:
        guard = Watched(own=[origin_of(up.origin)])
        async with open_mirror(up, guard, resolver=names) as mirror:
            with pytest.raises(MirrorFailed, match=r"one, at mixed\.example, could not be reached"):
                await fetch(mirror, "https://mixed.example/a.whl")
        assert set(guard.dialled) == {"1.1.1.1"}


async def test_a_name_of_fifty_dead_addresses_is_given_up_in_time() -> None:
    many = [f"1.1.1.{number}" for number in range(50)]
    async with UpstreamServer() as up:
        guard = Watched(own=[origin_of(up.origin)])
        async with open_mirror(up, guard, resolver=Names(many=[many])) as mirror, asyncio.timeout(10):
            with pytest.raises(MirrorFailed, match=r"one, at many\.example, could not be reached"):
                await fetch(mirror, "https://many.example/a.whl")
        assert set(guard.dialled) == set(many)


async def test_a_name_that_changes_its_mind_gains_nothing(victim: Victim) -> None:
    """Rebinding: what was looked up first is not what counts."""
    async with UpstreamServer() as up:
        guard = Watched(own=[origin_of(up.origin)])
        for answers, dialled in ((["8.8.8.8"], ("8.8.8.8",)), (["127.0.0.1"], ("8.8.8.8",))):
            async with open_mirror(up, guard, resolver=Names(rebound=[answers])) as mirror:
                with pytest.raises(MirrorFailed):
                    await fetch(mirror, url("rebound.example", victim.port))
            assert guard.dialled == dialled
    assert victim.hits == 0


async def test_a_public_mirror_is_held_to_public_addresses(victim: Victim) -> None:
    """A preset's name that resolves inwards is somebody's lie."""
    async with UpstreamServer() as up:
        guard = Guard(public=[origin_of(url("mirror.example", victim.port))])
        async with open_mirror(up, guard, resolver=Names(mirror=[["127.0.0.1"]])) as mirror:
            with pytest.raises(MirrorFailed, match="not on the public internet"):
                await fetch(mirror, url("mirror.example", victim.port))
    assert victim.hits == 0


# Proxies

RELAYED = {"status": 200, "body": b"relayed", "headers": {"Content-Type": "application/octet-stream"}}


async def test_a_proxy_in_the_environment_is_ignored_unless_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    async with UpstreamServer() as up, UpstreamServer() as relay:
        monkeypatch.setenv("http_proxy", relay.origin)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        item = up.publish("demo", "demo-1.0.tar.gz", b"bytes")
        async with open_mirror(up) as mirror:
            assert await fetch(mirror, up.url(item)) == b"bytes"
        assert relay.log == []
        relay.fault("http://", **RELAYED)
        async with open_mirror(up, proxy="environment") as mirror:
            assert await fetch(mirror, up.url(item)) == b"relayed"
            monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with open_mirror(up, proxy="environment") as mirror:
            assert await fetch(mirror, up.url(item)) == b"bytes"
        assert [request.path for request in relay.log] == [up.url(item)]


async def test_names_are_left_to_a_configured_proxy_and_addresses_are_not() -> None:
    async with UpstreamServer() as up, UpstreamServer() as relay:
        relay.fault("http://", **RELAYED)
        async with open_mirror(up, proxy=relay.origin.replace("//", "//user:word@")) as mirror:
            assert await fetch(mirror, "http://nowhere.invalid/a.whl") == b"relayed"
            for refused in ("http://10.0.0.1/a.whl", "http://0x7f.1/a.whl", "ftp://nowhere.invalid/a.whl"):
                with pytest.raises(MirrorFailed):
                    await fetch(mirror, refused)
        assert [request.path for request in relay.log] == ["http://nowhere.invalid/a.whl"]
        assert relay.log[0].headers["proxy-authorization"] == aiohttp.encode_basic_auth("user", "word")
        assert "authorization" not in relay.log[0].headers


async def test_a_proxy_that_refuses_says_so() -> None:
    async with UpstreamServer() as up, UpstreamServer() as relay:
        relay.fault("", status=407)
        async with open_mirror(up, proxy=relay.origin) as mirror:
            with pytest.raises(MirrorFailed, match="the proxy answered 407"):
                await fetch(mirror, "https://nowhere.invalid/a.whl")
        assert relay.log[0].method == "CONNECT"
        relay.refuse()
        async with open_mirror(up, proxy=relay.origin) as mirror:
            with pytest.raises(MirrorFailed, match="the proxy could not be reached: Connection refused"):
                await fetch(mirror, "http://nowhere.invalid/a.whl")


async def test_a_mirror_s_password_is_not_for_the_proxy_in_between() -> None:
    async with UpstreamServer() as up, UpstreamServer() as relay:
        relay.fault("", status=407)
        login = {"https://nowhere.invalid/simple/": ("user", "word")}
        async with open_mirror(up, proxy=relay.origin, credentials=login) as mirror:
            with pytest.raises(MirrorFailed, match="the proxy answered 407"):
                await fetch(mirror, "https://nowhere.invalid/a.whl")
        assert relay.log[0].method == "CONNECT"
        assert not {"authorization", "proxy-authorization"} & set(relay.log[0].headers)


async def test_a_proxy_of_another_kind_is_not_passed_over_in_silence() -> None:
    async with UpstreamServer() as up, open_mirror(up, proxy="socks5://127.0.0.1:1080") as mirror:
        with pytest.raises(MirrorFailed, match="proxy is not an http:// URL"):
            await fetch(mirror, up.files + "a.whl")
        assert up.log == []


async def test_a_missing_file_is_told_apart_from_a_refused_link() -> None:
    async with UpstreamServer() as up, open_mirror(up) as mirror:
        with pytest.raises(NotFound):
            await fetch(mirror, up.files + "a.whl")
