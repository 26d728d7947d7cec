"""The control socket: how commands on the machine reach the server that holds the data folder (decision 30).

A unix socket in the state folder on which the same Api answers as over HTTP, for tokens too, and to whom the kernel
says that they are this server's own user or root: on this machine these two may do everything anyway.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import hdrs, web

from .. import errors
from ..administration import ACTIONS, Action, Administration, Done, ListNames
from ..errors import Forbidden, NotFound, ProxyError, Unavailable
from ..rights import Caller, everything
from .api import JSON, Api, Failed, failed

NAME = "control.sock"

BASE = "/-/api/"

GRACE = 5.0
"""Seconds that an action under way gets when the server stops; the store finishes what it began in any case."""

PATIENCE = 300.0
"""Seconds for an answer: a project of thousands of files may be deleted on a slow disk."""

PEER = struct.Struct("3i")
"""The kernel's word on who connected: process, user, group (unix(7), SO_PEERCRED)."""

logger = logging.getLogger(__name__)


class NobodyListens(Exception):
    """No server listens in this folder."""


@asynccontextmanager
async def listening(folder: Path, administration: Administration) -> AsyncIterator[None]:
    """Take actions on the socket in the state *folder*, whose lock the caller holds: an old socket is nobody's.

    Where the file system takes no sockets the server runs without one, and the log says so.
    """
    try:
        bound = await asyncio.to_thread(_bound, folder)
    except OSError as error:
        logger.warning("Commands cannot reach this server: %s cannot be made: %s", folder / NAME, error.strerror)
        yield
        return
    api = Api(administration, _operator, actions=ACTIONS)
    runner = web.ServerRunner(web.Server(partial(_answer, api), access_log=None), shutdown_timeout=GRACE)
    try:
        await runner.setup()
        await web.SockSite(runner, bound).start()
        yield
    finally:
        await runner.cleanup()
        bound.close()
        await asyncio.to_thread(_remove, folder)


async def _answer(api: Api, request: web.BaseRequest) -> web.Response:
    if not request.path.startswith(BASE):
        return failed(request, NotFound("There is nothing at this address."))
    try:
        return await api.answer(request, request.path.removeprefix(BASE))
    except Exception:
        logger.exception("%s failed", request.path)
        return failed(request, ProxyError("Something went wrong inside the server; its log says more."))


async def _operator(request: web.BaseRequest) -> Caller:
    """Whoever is at the other end, by the kernel's word.

    The socket's mode lets nobody else in either; but a mode is changed by one careless chmod -R.
    """
    connected = None if request.transport is None else request.transport.get_extra_info("socket")
    if connected is None:
        raise Unavailable("The connection is closed.")
    _, user, _ = PEER.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    if user not in (0, os.geteuid()):
        raise Forbidden("Only root and the user that the server runs as may do this.")
    return everything(f"operator (uid {user})")


@asynccontextmanager
async def asking(folder: Path) -> AsyncIterator[Ask]:
    """What performs actions by way of the server that listens in the state *folder*; raise NobodyListens, or OSError
    where this user may not look.
    """
    with _within(folder) as path:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NobodyListens from None
        except PermissionError as error:
            raise PermissionError(error.errno, error.strerror, str(folder / NAME)) from None
        writer.close()
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path), timeout=timeout) as session:
            yield Ask(session)


class Ask:
    """Has the server do things."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def perform(self, action: Action) -> Done:
        """As Administration does it there; the same errors, and Unavailable where the server ends meanwhile."""
        name = next(name for name, kind in ACTIONS.items() if isinstance(action, kind))
        method = "GET" if isinstance(action, ListNames) else "POST"
        body = b"" if method == "GET" else msgspec.json.encode(action)
        try:
            async with self._session.request(
                method, f"http://localhost{BASE}{name}", data=body, headers={hdrs.CONTENT_TYPE: JSON}
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError):
            raise Unavailable("The server did not answer: look whether it runs, and whether it was done.") from None
        try:
            if response.status == 200:
                return msgspec.json.decode(answer, type=Done)
            failed = msgspec.json.decode(answer, type=Failed)
        except msgspec.DecodeError:
            raise Unavailable("The server is of another version than this command: restart it.") from None
        raise KINDS.get(failed.error, ProxyError)(failed.message)


KINDS: Mapping[str, type[ProxyError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ProxyError) and kind is not errors.TooManyTries
}
"""Errors by their names; nobody tries passwords here."""


@contextmanager
def _within(folder: Path) -> Iterator[str]:
    """A path of the socket that is short enough for its address of 108 bytes, however deep *folder* lies."""
    try:
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NobodyListens from None
    try:
        yield f"/proc/self/fd/{fd}/{NAME}"
    finally:
        os.close(fd)


def _bound(folder: Path) -> socket.socket:
    """A socket in *folder* in place of whatever one a crash left there."""
    _remove(folder)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _within(folder) as path:
            # Before it has a name: Linux gives the name the mode that the socket has (unix(7)), with no moment between.
            os.fchmod(made.fileno(), 0o600)
            made.bind(path)
        made.listen()
    except BaseException:
        made.close()
        raise
    return made


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(folder / NAME)
