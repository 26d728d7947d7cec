"""Stopping: what is under way is waited for, and an upload's bytes are still read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import RawTestServer

from proxy.web.underway import UnderWay


class Echo:
    """A handler that says when a request has come, and answers with its body."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.began.set()
        return web.Response(body=await request.read())


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def underway(echo: Echo) -> UnderWay:
    return UnderWay(echo)


@pytest.fixture
async def url(underway: UnderWay) -> AsyncIterator[str]:
    async with RawTestServer(underway) as server:
        yield str(server.make_url("/"))


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


class Body:
    """A request's body whose second half is sent when the test says so."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"first"
        await self.goes_on.wait()
        yield b" second"


async def post(client: ClientSession, url: str, body: Body) -> tuple[bytes, str | None]:
    """What is answered, and whether the connection goes on."""
    async with client.post(url, data=aiter(body)) as response:
        return await response.read(), response.headers.get("Connection")


async def test_a_body_is_read_to_its_end_while_the_server_stops(
    client: ClientSession, url: str, underway: UnderWay, echo: Echo
) -> None:
    body = Body()
    asked = asyncio.create_task(post(client, url, body))
    await echo.began.wait()
    finished = asyncio.create_task(underway.finish(60))
    await asyncio.sleep(0)
    assert not finished.done()
    body.goes_on.set()
    assert await asked == (b"first second", "close")
    await finished


async def test_what_takes_longer_is_not_waited_for(
    client: ClientSession, url: str, underway: UnderWay, echo: Echo
) -> None:
    body = Body()
    asked = asyncio.create_task(post(client, url, body))
    await echo.began.wait()
    await underway.finish(0.01)
    assert not asked.done()
    body.goes_on.set()
    assert (await asked)[0] == b"first second"


async def test_nothing_is_waited_for_where_nothing_is_under_way(
    client: ClientSession, url: str, underway: UnderWay
) -> None:
    async with client.get(url) as response:
        assert "Connection" not in response.headers
    await underway.finish(3600)


async def test_a_handler_that_fails_is_not_under_way_any_more() -> None:
    async def fail(request: web.BaseRequest) -> web.StreamResponse:
        raise web.HTTPConflict

    underway = UnderWay(fail)
    async with RawTestServer(underway) as server, ClientSession() as client:
        async with client.get(server.make_url("/")) as response:
            assert response.status == 409
        await underway.finish(3600)
