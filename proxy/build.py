"""Settings into running objects: the wiring diagram, and the only place that knows every class."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiohttp import web

from . import __version__, archive
from .config import Settings
from .config.tables import Index
from .download import Downloads
from .errors import Unavailable
from .ops import logs, systemd
from .ops.banner import banner, machine_address
from .ops.first_user import make_first_user
from .policy import Policy
from .repository import Repository
from .storage.disk_cache import FileCache, PageCache
from .storage.disk_store import DiskStore
from .upstream.guard import Guard, origin_of
from .upstream.index import Limits, Mirror
from .upstream.mirrors import MirrorSet
from .upstream.pages import RememberedPages, Times
from .upstream.root import RootList
from .upstream.sessions import open_sessions, proxies_of
from .web.app import App
from .web.auth import Auth
from .web.fields import Fields
from .web.files import Files
from .web.htpasswd import Htpasswd
from .web.index import ProjectPages, RootPage
from .web.peers import Peers
from .web.sending import prepare_socket
from .web.underway import UnderWay
from .web.uploads import UploadLimits, Uploads

USER_AGENT = f"yizhan/{__version__}"

MIRROR_PAUSE = 30.0
"""Seconds for which a mirror that failed is asked last."""

RETRY = 5.0
"""Seconds for which a page whose refresh failed is answered as it is."""

PART_LIFE = 3 * 24 * 3600.0
"""Seconds that a broken download is kept for somebody to come back for it."""

HOUR = 3600.0

BACKLOG = 1024

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One index: its mirrors, and what is remembered of them."""

    mirrors: MirrorSet
    pages: RememberedPages
    root: RootList


async def serve(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; then let answers under way finish, for as long as the settings allow."""
    _raise_limits()
    logs.configure(settings.server.log_level, settings.server.log_format)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as (address, user):
        say(banner(settings, listening=address, user=user))
        systemd.notify("READY=1", f"STATUS=Serving {address}")
        await _until(stop)
        systemd.notify("STOPPING=1")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[str, tuple[str, str] | None]]:
    """The server, from the first socket to the last byte; gives its URL and the first user, if one was made now."""
    async with AsyncExitStack() as stack:
        sockets = await asyncio.to_thread(_sockets, settings)
        for listening in sockets:
            stack.callback(listening.close)
        app = await _app(settings, stack)
        user = await asyncio.to_thread(_first_user, settings)
        requests, grace = UnderWay(app), settings.server.grace
        # aiohttp waits for this long twice: once for handlers, once for connections.
        runner = web.ServerRunner(_server(settings, requests), shutdown_timeout=grace / 4)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(requests.finish, grace / 2)
        for listening in sockets:
            site = web.SockSite(runner, listening, backlog=BACKLOG)
            await site.start()
            stack.push_async_callback(site.stop)
        yield _url(settings, sockets[0]), user


async def _app(settings: Settings, stack: AsyncExitStack) -> App:
    """Everything behind the sockets; what is made first is closed last."""
    state, cache = settings.storage.state, settings.storage.cache
    store = await asyncio.to_thread(DiskStore, state, now=lambda: datetime.now(UTC))
    stack.push_async_callback(store.close)
    free = settings.cache.min_free
    files = await asyncio.to_thread(FileCache, cache / "files", max_size=settings.cache.max_size, min_free=free)
    stack.push_async_callback(files.close)
    pages = await asyncio.to_thread(PageCache, cache / "pages", max_size=settings.cache.max_pages, min_free=free)
    stack.push_async_callback(pages.close)
    incoming = cache / "incoming"
    await asyncio.to_thread(partial(incoming.mkdir, mode=0o700, parents=True, exist_ok=True))
    for chore in (files.run(settings.cache.sweep), pages.run(settings.cache.sweep)):
        stack.push_async_callback(_cancelled, asyncio.create_task(chore))
    upstream = None
    for index in settings.index:
        upstream = await _upstream(settings, index, pages, stack)
    nowhere = MirrorSet("none", (), pause=MIRROR_PAUSE, now=time.time, clock=time.monotonic)
    downloads = Downloads(incoming, upstream.mirrors if upstream else nowhere, files, store)
    stack.push_async_callback(downloads.close)
    await downloads.tidy(before=time.time() - PART_LIFE)
    stack.push_async_callback(_cancelled, asyncio.create_task(_tidy(downloads)))
    private = settings.private
    policy = Policy(reserved=private.reserved, overlay=frozenset(private.overlay), claim=private.claim)
    repository = Repository(
        store=store,
        names=store,
        pins=store,
        cache=files,
        downloads=downloads,
        upstream=upstream.pages if upstream else None,
        root=upstream.root.open if upstream else None,
        policy=policy,
    )
    return _web(settings, repository, policy, store.incoming, stack)


async def _upstream(settings: Settings, index: Index, pages: PageCache, stack: AsyncExitStack) -> Upstream:
    guard = Guard(
        own=[origin_of(mirror.url) for mirror in index.mirrors if not mirror.preset],
        public=[origin_of(mirror.url) for mirror in index.mirrors if mirror.preset],
        hosts=index.hosts,
        networks=index.networks,
    )
    sessions = await stack.enter_async_context(
        open_sessions(
            guard=guard,
            user_agent=USER_AGENT,
            connect=index.connect_timeout,
            ca=index.ca,
            proxies=proxies_of(index.proxy or None),
        )
    )
    limits = Limits(
        connect=index.connect_timeout,
        answer=index.answer_timeout,
        stall=index.stall_timeout,
        max_page=index.max_page,
        max_root=index.max_root,
        max_file=index.max_file,
    )
    mirrors = MirrorSet(
        index.name,
        [
            Mirror(name=mirror.name, base=mirror.url, sessions=sessions, limits=limits, connections=index.connections)
            for mirror in index.mirrors
        ],
        pause=MIRROR_PAUSE,
        now=time.time,
        clock=time.monotonic,
    )
    times = Times(
        fresh=index.fresh, absent=index.absent, soft=index.soft_deadline, hard=index.hard_deadline, retry=RETRY
    )
    remembered = RememberedPages(
        mirrors, pages, times=times, memory=settings.cache.memory // 2, now=time.time, clock=time.monotonic
    )
    stack.push_async_callback(remembered.close)
    folder = settings.storage.cache / "names"
    root = RootList(mirrors, folder, fresh=index.root_fresh, patience=index.hard_deadline, now=time.time)
    stack.push_async_callback(root.close)
    return Upstream(mirrors, remembered, root)


def _web(settings: Settings, repository: Repository, policy: Policy, incoming: Path, stack: AsyncExitStack) -> App:
    peers = Peers(settings.server.trusted_proxies)
    users = Htpasswd(settings.htpasswd, remember=settings.auth.remember)
    stack.callback(users.close)
    auth = Auth(
        users,
        peers,
        upload=settings.auth.upload,
        read=settings.auth.read,
        clear_http=settings.auth.clear_http,
    )
    fields = Fields(private=settings.auth.read == "users")
    return App(
        repository=repository,
        auth=auth,
        peers=peers,
        projects=ProjectPages(repository, fields, room=settings.cache.memory // 2),
        root=RootPage(repository, fields, policy=policy),
        files=Files(repository, fields, patience=max((index.hard_deadline for index in settings.index), default=10.0)),
        upload=Uploads(
            sign_in=auth.user_for_upload, incoming=incoming, limits=_upload_limits(settings), upload=repository.upload
        ),
        indexes=frozenset(index.name for index in settings.index),
        public_url=settings.server.public_url,
        reading_needs_user=settings.auth.read == "users",
        anyone_may_upload=settings.auth.upload == "anyone",
    )


def _upload_limits(settings: Settings) -> UploadLimits:
    return UploadLimits(
        archive=archive.Limits(
            max_metadata=settings.upload.max_metadata,
            max_unpacked=settings.upload.max_unpacked,
            max_members=settings.upload.max_members,
            seconds=settings.upload.timeout,
        ),
        max_size=settings.upload.max_size,
        max_field=settings.upload.max_field,
    )


def _server(settings: Settings, app: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> web.Server:
    return web.Server(
        app,
        access_log=logs.access if settings.server.access_log else None,
        access_log_class=logs.AccessLogger,
        keepalive_timeout=settings.server.keepalive,
    )


def _sockets(settings: Settings) -> list[socket.socket]:
    """Those that systemd holds for us, else the configured address."""
    inherited = [listening for group in systemd.listening_sockets().values() for listening in group]
    listen = settings.server.listen
    made = inherited or [
        socket.create_server(
            (listen.host, listen.port),
            family=socket.AF_INET6 if ":" in listen.host or not listen.host else socket.AF_INET,
            backlog=BACKLOG,
            dualstack_ipv6=not listen.host and socket.has_dualstack_ipv6(),
        )
    ]
    for listening in made:
        prepare_socket(listening, settings.server.send_timeout)
    return made


def _first_user(settings: Settings) -> tuple[str, str] | None:
    """Where nobody has set up anything and only this machine can connect, the printed lines must work (decision 27)."""
    if settings.auth.htpasswd is not None or settings.auth.upload == "anyone" or not settings.server.listen.loopback:
        return None
    return make_first_user(settings.htpasswd)


def _url(settings: Settings, listening: socket.socket) -> str:
    if settings.server.public_url:
        return settings.server.public_url
    if listening.family not in (socket.AF_INET, socket.AF_INET6):
        return "http://localhost/"
    host, port = listening.getsockname()[:2]
    host = machine_address() if host in {"0.0.0.0", "::"} else host  # noqa: S104 -- compared, not bound
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


async def _until(stop: asyncio.Event) -> None:
    """Wait for *stop*, and tell systemd meanwhile that the loop is alive."""
    every = systemd.watchdog_seconds()
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(every):
                await stop.wait()
        if every is not None:
            systemd.notify("WATCHDOG=1")


async def _tidy(downloads: Downloads) -> None:
    """Remove, every hour, what broken downloads left and nobody came back for."""
    while True:
        await asyncio.sleep(HOUR)
        try:
            await downloads.tidy(before=time.time() - PART_LIFE)
        except (OSError, Unavailable) as error:
            logger.warning("What broken downloads left could not be removed: %s", error)


def _raise_limits() -> None:
    """As many open files as the system lets us have: each connection and each growing file is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
