"""The ways out: one for the mirrors' own addresses, one for links elsewhere, one through a configured proxy.

They are apart because a connection is judged where it is dialled, and there its URL is no longer known.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from yarl import URL

from ..errors import MirrorFailed
from .guard import Guard, Origin, origin_of

KEEPALIVE = 60.0
"""Seconds that an idle connection is kept: a new one costs two or three round trips, and servers keep them as long."""

READ_BUFFER = 256 * 1024
"""Bytes read ahead: chunks grow by themselves while whoever takes them is busy."""

MAX_FIELD = 32 * 1024
"""Bytes of one header: signed redirects to blob storage exceed aiohttp's 8190."""


class Sessions:
    """Asks for URLs, each by the way that is right for it."""

    def __init__(
        self,
        *,
        guard: Guard,
        own: aiohttp.ClientSession,
        elsewhere: aiohttp.ClientSession,
        proxied: aiohttp.ClientSession,
        proxies: Mapping[str, str],
        credentials: Mapping[Origin, str],
        connect: float,
    ) -> None:
        """*proxies*: from `proxies_of`; *credentials*: the Authorization field for each origin that wants one.

        *connect*: seconds for one address.
        """
        self._guard = guard
        self._own = own
        self._elsewhere = elsewhere
        self._proxied = proxied
        self._proxies = proxies
        self._credentials = credentials
        self._connect = connect

    def check(self, url: str) -> None:
        """Raise MirrorFailed where *url* would not be asked for."""
        self._guard.check(url)
        self._proxy(url)

    async def get(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The head of the answer to a GET of exactly *url*, no redirect followed; whoever asks closes it.

        Credentials go with it where they are *url*'s own origin's; each hop of a redirect is a question of its own.
        Raise as `check` does, and aiohttp.ClientError or OSError where nothing answers.
        """
        self._guard.check(url)
        proxy = self._proxy(url)
        if proxy is not None:
            session = self._proxied
        elif self._guard.is_own(url):
            session = self._own
        else:
            session = self._elsewhere
        if authorization := self._credentials.get(origin_of(url)):
            headers = {**headers, "Authorization": authorization}
        # encoded=True: a requoted URL breaks the signatures of links to blob storage.
        return await session.get(URL(url, encoded=True), headers=headers, proxy=proxy, allow_redirects=False)

    async def get_ready(self, url: str, count: int) -> None:
        """Have *count* connections to the server of *url* open and idle; sends nothing, and raises as `get` does.

        A question on a new connection waits for two or three journeys more than one on a connection that is there.
        """
        self._guard.check(url)
        connector = (self._own if self._guard.is_own(url) else self._elsewhere).connector
        if self._proxy(url) is not None or connector is None:
            return
        request = aiohttp.ClientRequest("GET", URL(url, encoded=True), loop=asyncio.get_running_loop())
        opened: list[Connection] = []

        async def connect() -> None:
            opened.append(await connector.connect(request, [], aiohttp.ClientTimeout(sock_connect=self._connect)))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(connect())
        except* (aiohttp.ClientError, OSError) as errors:
            raise errors.exceptions[0] from None
        finally:
            for connection in opened:
                connection.release()

    def _proxy(self, url: str) -> URL | None:
        origin = origin_of(url)
        proxy = self._proxies.get(origin.scheme)
        if not proxy or proxy_bypass(f"{origin.host}:{origin.port}", self._proxies):
            return None
        parsed = URL(proxy if "://" in proxy else f"http://{proxy}")
        if parsed.scheme != "http" or not parsed.host:
            raise MirrorFailed("The configured proxy is not an http:// URL.")
        return parsed


def proxies_of(setting: str | None) -> Mapping[str, str]:
    """Scheme to proxy, and `no` to hosts without one, as *setting* says: None, a URL, or "environment"."""
    if setting is None:
        return {}
    if setting == "environment":
        return getproxies()
    return {"http": setting, "https": setting}


@asynccontextmanager
async def open_sessions(
    *,
    guard: Guard,
    user_agent: str,
    connect: float,
    ca: Path | None = None,
    proxies: Mapping[str, str] | None = None,
    credentials: Mapping[str, tuple[str, str]] | None = None,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[Sessions]:
    """The sessions that an index's mirrors share.

    *connect*: seconds for one address.  *ca*: a bundle of certificates trusted beside the system's.
    *proxies*: from `proxies_of`; the environment is not looked at otherwise.
    *credentials*: user and password for the origin of each URL (RFC 7617).
    *resolver*: who turns names into addresses, the system where None.
    """
    trusted = await asyncio.to_thread(_trust, ca)
    async with AsyncExitStack() as stack:

        async def session(factory: aiohttp.SocketFactoryType) -> aiohttp.ClientSession:
            # No limit here: a mirror counts its own, so that waiting for a turn is not taken for a slow server.
            connector = aiohttp.TCPConnector(
                limit=0, ssl=trusted, socket_factory=factory, resolver=resolver, keepalive_timeout=KEEPALIVE
            )
            made = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": user_agent},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # aiohttp's has no bound, and would unpack files
                requote_redirect_url=False,
                trust_env=False,  # would read ~/.netrc too
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect),
                read_bufsize=READ_BUFFER,
                max_field_size=MAX_FIELD,
            )
            return await stack.enter_async_context(made)

        yield Sessions(
            guard=guard,
            own=await session(guard.own_socket),
            elsewhere=await session(guard.other_socket),
            proxied=await session(guard.own_socket),
            proxies=proxies or {},
            connect=connect,
            credentials={
                origin_of(url): aiohttp.encode_basic_auth(*login, encoding="utf-8")
                for url, login in (credentials or {}).items()
            },
        )


def _trust(ca: Path | None) -> ssl.SSLContext:
    """Blocks while it reads the bundles."""
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    return context
