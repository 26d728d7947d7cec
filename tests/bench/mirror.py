"""A mirror without nginx: the same tree, rate and log, for machines that have none.

    python -m tests.bench.mirror --tree DIR --log FILE --ports 18082 18084 --rate 20971520

It is slower than nginx: good for the slow line, not for measuring what is faster than it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import msgspec
from aiohttp import web

from .access import Request
from .nginx import RATE
from .processes import HOST

STEP = 256 * 1024
"""Bytes sent at once."""

PAGES = (
    ("application/vnd.pypi.simple.v1+json", "index.v1_json"),
    ("application/vnd.pypi.simple.v1+html", "index.v1_html"),
)


class Files:
    """Answers from *tree*, *rate* bytes a second to each connection (0: as fast as it can), and logs to *log*."""

    def __init__(self, tree: Path, log: Path, rate: int, *, html: bool = False) -> None:
        self._pages = () if html else PAGES
        self._tree = tree
        self._log = log.open("ab", buffering=0)
        self._rate = rate
        self._numbers: dict[object, int] = {}
        """Every connection that ever was, as long as the bench runs."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path, content_type = self._find(request)
        if path is None:
            self._tell(request, 404, 0)
            raise web.HTTPNotFound
        size = path.stat().st_size
        asked = request.http_range
        begin, end, _ = asked.indices(size)
        partial = asked.start is not None or asked.stop is not None
        answer = web.StreamResponse(
            status=206 if partial else 200,
            headers={"Content-Type": content_type, "Accept-Ranges": "bytes", "Vary": "Accept"},
        )
        answer.content_length = end - begin
        if partial:
            answer.headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        sent = 0
        try:
            await answer.prepare(request)
            sent = await self._send(answer, path, begin, end) if request.method == "GET" else 0
        finally:
            self._tell(request, answer.status, sent)
        return answer

    async def _send(self, answer: web.StreamResponse, path: Path, begin: int, end: int) -> int:
        started, sent = time.monotonic(), 0
        with path.open("rb") as opened:
            opened.seek(begin)
            while sent < end - begin:
                chunk = opened.read(min(STEP, end - begin - sent))
                await answer.write(chunk)
                sent += len(chunk)
                if self._rate and (early := started + sent / self._rate - time.monotonic()) > 0 and sent < end - begin:
                    await asyncio.sleep(early)
        return sent

    def _find(self, request: web.Request) -> tuple[Path | None, str]:
        path = (self._tree / request.path.lstrip("/")).resolve()
        content_type = "application/octet-stream"
        if request.path.startswith("/simple/") and request.path.endswith("/"):
            accepted = request.headers.get("Accept", "").lower()
            content_type, page = next(
                ((said, page) for said, page in self._pages if said in accepted),
                ("text/html; charset=utf-8", "index.html"),
            )
            path /= page
        return path if path.is_relative_to(self._tree) and path.is_file() else None, content_type

    def _tell(self, request: web.Request, status: int, sent: int) -> None:
        number = self._numbers.setdefault(request.protocol, len(self._numbers) + 1)
        port = request.transport.get_extra_info("sockname")[1] if request.transport is not None else 0
        told = Request(
            at=time.time(),
            port=port,
            status=status,
            bytes=sent,
            method=request.method,
            path=request.path,
            range=request.headers.get("Range", ""),
            connection=number,
        )
        self._log.write(msgspec.json.encode(told) + b"\n")


async def serve(files: Files, ports: list[int]) -> None:
    app = web.Application()
    app.router.add_get("/{path:.*}", files.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for port in ports:
        await web.TCPSite(runner, HOST, port, backlog=1024).start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True, metavar="DIR")
    parser.add_argument("--log", type=Path, required=True, metavar="FILE")
    parser.add_argument("--ports", type=int, nargs="+", required=True, metavar="PORT")
    parser.add_argument("--rate", type=int, default=RATE, metavar="BYTES", help="a second and connection; 0: no limit")
    parser.add_argument("--html", action="store_true", help="know no other representation of a page")
    options = parser.parse_args()
    asyncio.run(serve(Files(options.tree.resolve(), options.log, options.rate, html=options.html), options.ports))


if __name__ == "__main__":
    main()
