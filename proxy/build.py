"""Settings into running objects: the wiring diagram, and the only place that knows every class."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web
from packaging.utils import NormalizedName

from . import __version__, archive
from .administration import Administration
from .config import Login, Settings
from .download import Downloads
from .errors import Unavailable
from .ops import logs, systemd
from .ops.banner import banner, machine_address
from .ops.first_user import make_first_user
from .policy import Policy, PublicName
from .publishing import Publishing
from .repository import Repository
from .rights import Caller
from .simple.model import Project
from .status import Status, write_status
from .storage.disk_cache import FileCache, PageCache
from .storage.disk_store import DiskStore
from .tokens import Tokens
from .upstream.all_names import AllNames
from .upstream.indexes import Indexes, OneIndex
from .upstream.lookahead import LookAhead
from .upstreams import Shared, Upstreams, open_upstreams
from .web import control
from .web.api import Api
from .web.app import App, View
from .web.auth import Auth
from .web.documents import Documents
from .web.fields import Fields
from .web.files import Files
from .web.front import Server
from .web.htpasswd import Htpasswd
from .web.index import ProjectPages, RootPage
from .web.integrity import Integrity
from .web.limits import Tries
from .web.peers import Peers
from .web.same_site import check_same_site
from .web.search import Search
from .web.sending import prepare_socket
from .web.small import SmallFiles
from .web.underway import Handler, UnderWay
from .web.uploads import UploadLimits, Uploads

PART_LIFE = 3 * 24 * 3600.0
"""Seconds that a broken download is kept for somebody to come back for it."""

HOUR = 3600.0

BACKLOG = 1024

logger = logging.getLogger(__name__)


Logins = Mapping[str, Mapping[str, Login]]
"""By index and origin."""


async def serve(settings: Settings, *, logins: Logins, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; then let answers under way finish, for as long as the settings allow."""
    _raise_limits()
    logs.configure(settings.server.log_level, settings.server.log_format)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, logins) as (address, user):
        say(banner(settings, listening=address, user=user))
        systemd.notify("READY=1", f"STATUS=Serving {address}")
        await _until(stop)
        systemd.notify("STOPPING=1")


@asynccontextmanager
async def running(settings: Settings, logins: Logins) -> AsyncIterator[tuple[str, tuple[str, str] | None]]:
    """The server, from the first socket to the last byte; gives its URL and the first user, if one was made now."""
    async with AsyncExitStack() as stack:
        sockets = await asyncio.to_thread(_sockets, settings)
        for listening in sockets:
            stack.callback(listening.close)
        app = await _app(settings, logins, stack)
        user = await asyncio.to_thread(_first_user, settings)
        requests, grace = UnderWay(app), settings.server.grace
        # aiohttp waits for this long twice: once for handlers, once for connections.
        server = _server(settings, requests, app.peers)
        runner = web.ServerRunner(server, shutdown_timeout=grace / 4)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(requests.finish, grace / 2)
        stack.callback(server.stop)
        for listening in sockets:
            site = web.SockSite(runner, listening, backlog=BACKLOG)
            await site.start()
            stack.push_async_callback(site.stop)
        yield _url(settings, sockets[0]), user


async def _app(settings: Settings, logins: Logins, stack: AsyncExitStack) -> App:
    """Everything behind the sockets; what is made first is closed last."""
    state, cache = settings.storage.state, settings.storage.cache
    store = await asyncio.to_thread(DiskStore, state, now=_now)
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
    private = settings.private
    policy = Policy(reserved=private.reserved, overlay=frozenset(private.overlay), claim=private.claim)

    async def route(name: NormalizedName) -> PublicName | None:
        return policy.route(name, await store.claimed()).public

    shared = Shared(settings=settings, logins=logins, pages=pages, files=files, pins=store, route=route)
    upstreams = await open_upstreams(shared, incoming, stack)
    await upstreams.downloads.tidy(before=time.time() - PART_LIFE)
    stack.push_async_callback(_cancelled, asyncio.create_task(_tidy(upstreams.downloads)))
    asked = Indexes(upstreams.indexes, withdrawn=upstreams.downloads.withdraw) if upstreams.indexes else None
    publishing = Publishing(store=store, names=store, upstream=asked, policy=policy)
    administration = Administration(publishing=publishing, people=store, now=_now)
    await stack.enter_async_context(control.listening(state, administration))
    tokens = Tokens(store, now=_now)
    stack.push_async_callback(tokens.close)
    stack.push_async_callback(_cancelled, asyncio.create_task(tokens.run()))
    house = House(
        settings=settings,
        store=store,
        files=files,
        policy=policy,
        upstreams=upstreams,
        publishing=publishing,
        administration=administration,
        tokens=tokens,
        small=SmallFiles(room=settings.cache.memory // 8, clock=time.monotonic),
    )
    return _web(house, stack)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What every view of the server is made of."""

    settings: Settings
    store: DiskStore
    files: FileCache
    policy: Policy
    upstreams: Upstreams
    publishing: Publishing
    administration: Administration
    tokens: Tokens
    small: SmallFiles

    @property
    def fields(self) -> Fields:
        return Fields(private=self.settings.auth.read == "users")

    def repository(self, *indexes: OneIndex) -> Repository:
        """What clients see of our own files and of *indexes*."""
        path = self.settings.storage.cache / "names" / f"{'+'.join(index.name for index in indexes)}.all"
        return Repository(
            store=self.store,
            names=self.store,
            pins=self.store,
            cache=self.files,
            downloads=self.upstreams.downloads,
            upstream=Indexes(indexes) if indexes else None,
            root=AllNames(indexes, path).open if indexes else None,
            policy=self.policy,
        )

    def view(
        self, repository: Repository, ahead: LookAhead | None, answered: Callable[[Project, str], None] | None
    ) -> View:
        """The pages and files of *repository*, *ahead* of whose clients is looked; *answered* as in ProjectPages."""
        settings, fields = self.settings, self.fields
        patience = max((index.hard_deadline for index in settings.index), default=10.0)
        room = 3 * settings.cache.memory // 8 // (len(self.upstreams.indexes) + 1)
        return View(
            repository=repository,
            projects=ProjectPages(repository, fields, room=room, now=time.time, answered=answered),
            root=RootPage(repository, fields, policy=self.policy),
            files=Files(repository, fields, patience=patience, ahead=ahead, small=self.small),
        )


def _views(house: House, stack: AsyncExitStack) -> tuple[View, dict[str, View], Search]:
    """That of all indexes, those of each alone, and the search over what the first has shown."""
    indexes = house.upstreams.indexes
    repository = house.repository(*indexes)
    search = Search(repository, house.store)
    ahead = _ahead(house, repository)
    if ahead is not None:
        stack.push_async_callback(ahead.close)

    def answered(project: Project, agent: str) -> None:
        search.saw(project, agent)
        if ahead is not None:
            ahead.asked(project, agent)

    view = house.view(repository, ahead, answered)
    if len(indexes) == 1:
        return view, {indexes[0].name: view}, search
    return view, {index.name: house.view(house.repository(index), None, None) for index in indexes}, search


def _ahead(house: House, repository: Repository) -> LookAhead | None:
    indexes = house.settings.index
    most = min((index.look_ahead for index in indexes), default=0)
    if not most:
        return None
    return LookAhead(
        repository,
        house.upstreams.metadata,
        house.upstreams.machines,
        expect=house.upstreams.expect,
        clock=time.monotonic,
        most=most,
        depth=min(index.look_ahead_depth for index in indexes),
        fresh=min(index.fresh for index in indexes),
    )


def _web(house: House, stack: AsyncExitStack) -> App:
    settings = house.settings
    peers = Peers(settings.server.trusted_proxies)
    users = Htpasswd(settings.htpasswd, remember=settings.auth.remember)
    stack.callback(users.close)
    auth = Auth(
        users,
        peers,
        tokens=house.tokens,
        tries=Tries(failures=settings.auth.failures, window=settings.auth.failure_window),
        rules=settings.rules,
        upload=settings.auth.upload,
        read=settings.auth.read,
        clear_http=settings.auth.clear_http,
    )
    view, alone, search = _views(house, stack)
    host = _host(settings, peers)

    async def uploader(request: web.BaseRequest) -> Caller:
        check_same_site(request.headers, host(request))
        return await auth.uploader(request)

    return App(
        view=view,
        alone=alone,
        documents=Documents(view.repository, house.fields, room=settings.cache.memory // 16),
        integrity=Integrity(view.repository, house.fields),
        search=search,
        api=Api(house.administration, auth.administrator, host=host),
        auth=auth,
        peers=peers,
        upload=Uploads(
            sign_in=uploader,
            incoming=house.store.incoming,
            limits=_upload_limits(settings),
            upload=house.publishing.upload,
        ),
        status=_status(house.upstreams),
        public_url=settings.server.public_url,
        reading_needs_user=settings.auth.read == "users",
        anyone_may_upload=settings.auth.upload == "anyone",
    )


def _host(settings: Settings, peers: Peers) -> Callable[[web.BaseRequest], str | None]:
    """By which host, with its port, pages of ours are reached."""
    public = urlsplit(settings.server.public_url).netloc
    return lambda request: public or peers.host(request.remote, request.headers)


def _status(upstreams: Upstreams) -> Callable[[], bytes]:
    began = time.monotonic()
    return lambda: write_status(
        Status(
            version=__version__,
            up=time.monotonic() - began,
            downloads=upstreams.downloads.under_way,
            indexes=upstreams.states(),
        )
    )


def _upload_limits(settings: Settings) -> UploadLimits:
    return UploadLimits(
        archive=archive.Limits(
            max_metadata=settings.upload.max_metadata,
            max_unpacked=settings.upload.max_unpacked,
            max_members=settings.upload.max_members,
            seconds=settings.upload.timeout,
        ),
        strict=settings.upload.strict,
        max_size=settings.upload.max_size,
        max_field=settings.upload.max_field,
    )


def _server(settings: Settings, app: Handler, peers: Peers) -> Server:
    log = logs.access if settings.server.access_log else None
    room, keepalive = settings.cache.memory // 32, settings.server.keepalive
    return Server(app, peers=peers, room=room, keepalive=keepalive, access_log=log)


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


def _now() -> datetime:
    return datetime.now(UTC)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
