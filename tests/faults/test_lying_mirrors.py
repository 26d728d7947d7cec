"""Mirrors that flip, cut, stall, drip and send other files: nobody completes a wrong body, and the next one heals."""

from __future__ import annotations

import asyncio
import gzip
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from proxy.glimpses import GLANCE

from ..daemon import Server, yizhan
from ..upstream_listing import Item
from ..upstream_server import CAPTIVE, UpstreamServer, running_upstream
from .client import Answer, ask

SHORT = """
connect_timeout = "1 s"
answer_timeout = "1 s"
stall_timeout = "1 s"
soft_deadline = "1 s"
hard_deadline = "10 s"
pause = "0.2 s"
longest_pause = "0.5 s"
refusal_pause = "0.2 s"
"""
"""Decision 41; the cases marked long run with the defaults."""

SIZES = (10_000, 200_000, 3_000_000)
HELD = 64 * 1024
"""Bytes of a file that nobody sees before all are verified: a smaller one is healed within the request."""

PATIENCE = 60.0

Lie = Callable[[bytes], dict[str, Any]]
"""What a mirror does to the answer whose honest body is given."""

CHANGED: dict[str, Lie] = {
    "flips the first byte": lambda body: {"flip": 0},
    "flips a byte in the middle": lambda body: {"flip": len(body) // 2},
    "flips the last byte": lambda body: {"flip": len(body) - 1},
    "flips a byte near the end": lambda body: {"flip": len(body) - 5_000},
    "flips a byte, in chunks": lambda body: {"flip": len(body) // 3, "framing": "chunked"},
    "flips a byte and tells no length": lambda body: {"flip": len(body) // 2, "framing": "close"},
    "sends another file of the same size": lambda body: {"body": random.Random(1).randbytes(len(body))},
    "sends zeros": lambda body: {"body": bytes(len(body))},
}
"""What only the digest can tell."""

BROKEN: dict[str, Lie] = {
    "closes before the first byte": lambda body: {"cut_after": 0},
    "closes after a byte": lambda body: {"cut_after": 1},
    "closes in the middle": lambda body: {"cut_after": len(body) // 3},
    "closes before the last byte": lambda body: {"cut_after": len(body) - 1},
    "closes in the middle and told no length": lambda body: {"cut_after": len(body) // 3, "framing": "close"},
    "ends in the middle of the chunks": lambda body: {"cut_after": len(body) // 3, "framing": "chunked"},
    "announces less than it sends": lambda body: {"headers": {"Content-Length": str(len(body) - 10)}},
    "announces more than it sends": lambda body: {"headers": {"Content-Length": str(len(body) + 10)}},
    "never ends": lambda body: {"endless": True},
    "stalls in the middle": lambda body: {"stall_after": len(body) // 3},
    "stalls before the last byte": lambda body: {"stall_after": len(body) - 1},
    "drips": lambda body: {"drip": 0.02},
    "sends a shorter file": lambda body: {"body": body[: len(body) // 2]},
    "sends a longer file": lambda body: {"body": body + b"more"},
    "sends a web page as a file": lambda body: {
        "body": CAPTIVE["body"],
        "headers": {"Content-Type": "application/zip"},
    },
    "packs and does not say so": lambda body: {"body": gzip.compress(body)},
}
"""What shows while it comes."""

REFUSED: dict[str, Lie] = {
    "never answers": lambda body: {"silent": True},
    "signs in first": lambda body: CAPTIVE,
    "packs": lambda body: {"body": gzip.compress(body), "headers": {"Content-Encoding": "gzip"}},
    "redirects in a circle": lambda body: {"redirect": "?again"},
    "sends a part unasked": lambda body: {
        "status": 206,
        "body": body,
        "headers": {"Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"},
    },
    "sends the end unasked": lambda body: {
        "status": 206,
        "body": body[100:],
        "headers": {"Content-Range": f"bytes 100-{len(body) - 1}/{len(body)}"},
    },
    "answers 503": lambda body: {"status": 503},
    "answers 403": lambda body: {"status": 403, "body": b"<html>your subnet is not welcome</html>"},
    "speaks something else": lambda body: {"raw": b"\x00\x01\x02" * 100},
    "resets in the middle": lambda body: {"cut_after": len(body) // 2, "reset": True},
}
"""What shows by the head of the answer, or by the lack of one: a reset takes what was not read yet with it."""


@dataclass(frozen=True)
class Wish:
    """One client's request."""

    method: str = "GET"
    range: str = ""
    begin: int = 0
    """The part of the file that it names, and ..."""
    end: int | None = None

    def part(self, body: bytes) -> bytes:
        return b"" if self.method == "HEAD" else body[self.begin : self.end]


WISHES = (
    Wish(),
    Wish(),
    Wish(),
    Wish(method="HEAD"),
    Wish(range="0-999", begin=0, end=1000),
    Wish(range="4000-6999", begin=4000, end=7000),
    Wish(range="1000-", begin=1000),
    Wish(range="-1000", begin=-1000),
)
"""What clients at once ask of each file."""


@dataclass(frozen=True)
class Offer:
    """A file that is listed, and how a mirror lies about it."""

    lie: str
    item: Item

    @property
    def target(self) -> str:
        return f"/packages/{self.item.path}/{self.item.filename}"

    @property
    def shows_late(self) -> bool:
        """Clients may have bytes of it before the lie shows."""
        return self.lie in CHANGED and len(self.item.body) > HELD


def publish(
    kinds: Sequence[str], *ups: UpstreamServer, sizes: Sequence[int] = SIZES, size_is_told: bool = True
) -> list[Offer]:
    """List a file of each size for each kind of lie, on all of *ups*."""
    made = []
    chance = random.Random(4)
    for kind in kinds:
        name = "demo_" + re.sub(r"[^a-z0-9]+", "_", kind)
        for size in sizes:
            body = chance.randbytes(size)
            facts = {} if size_is_told else {"size": None}
            items = [up.publish(name, f"{name}-{size}-py3-none-any.whl", body, **facts) for up in ups]
            made.append(Offer(kind, items[0]))
    return made


def tell(liar: UpstreamServer, lies: dict[str, Lie], offers: Sequence[Offer]) -> None:
    """Let *liar* lie about each of *offers* as its kind says."""
    for offer in offers:
        liar.fault(f"/packages/{offer.item.path}/", **lies[offer.lie](offer.item.body))


def config(*ups: UpstreamServer, times: str = SHORT) -> str:
    urls = ", ".join(f'"{up.simple}"' for up in ups)
    return f"[[index]]\nmirrors = [{urls}]\nconnections = 200\n{times}"


async def run(server: Server, offers: Sequence[Offer], wishes: Sequence[Wish]) -> list[tuple[Offer, Wish, Answer]]:
    """Let clients ask for all of *wishes* of all of *offers*, at once, each on a connection of its own."""

    async def client(offer: Offer, wish: Wish) -> tuple[Offer, Wish, Answer]:
        headers = {"Range": f"bytes={wish.range}"} if wish.range else {}
        async with asyncio.timeout(PATIENCE):
            return offer, wish, await ask(server.url, offer.target, wish.method, headers)

    return await asyncio.gather(*(client(offer, wish) for offer in offers for wish in wishes))


def believed_and_wrong(offer: Offer, wish: Wish, answer: Answer) -> bool:
    """Whether a client takes *answer* for what it is not."""
    body = offer.item.body
    if not answer.complete or answer.status == 503:
        return False
    if wish.method == "HEAD":
        return answer.status != 200 or int(answer.headers["content-length"]) != len(body)
    # The whole is always allowed (RFC 9110, section 14.2), and all that can be sent while nobody knows how much it is.
    if answer.status == 200:
        return answer.body != body
    if answer.body == wish.part(body):
        return answer.status != 206 or not wish.range
    return not (wish.begin != 0 and is_unsure(answer))


def is_unsure(answer: Answer) -> bool:
    """Decision 11: a small part that does not begin with the file may be unverified, and says so."""
    no_validator = "etag" not in answer.headers and answer.headers.get("cache-control") == "no-store"
    return answer.status == 206 and no_validator and len(answer.body) <= GLANCE


def judge(answers: Sequence[tuple[Offer, Wish, Answer]]) -> None:
    """Nobody got a wrong body to its end; who got none was told so as clients understand it."""
    wrong = [
        (offer.target, offer.lie, wish) for offer, wish, answer in answers if believed_and_wrong(offer, wish, answer)
    ]
    assert wrong == []
    for _, _, answer in answers:
        assert answer.status in (0, 200, 206, 503)
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0


def unhealed(answers: Sequence[tuple[Offer, Wish, Answer]]) -> list[tuple[str, Wish, int]]:
    """Who was not given what he asked for, to its end."""
    return [
        (f"{offer.lie}, {offer.item.size}", wish, answer.status)
        for offer, wish, answer in answers
        if not (answer.complete and answer.status in (200, 206))
        or (answer.body not in (wish.part(offer.item.body), offer.item.body) and not is_unsure(answer))
    ]


async def kept_right(folder: Path, settings: str, offers: Sequence[Offer]) -> None:
    """With the mirrors out of reach, a new life of the server has every file, and the right one."""
    with yizhan(folder, config=settings) as server:
        answers = await run(server, offers, [Wish(), Wish(range="-1000", begin=-1000)])
    judge(answers)
    assert unhealed(answers) == []


@pytest.fixture
def ups() -> Iterator[list[UpstreamServer]]:
    """As many mirrors as there are ways to refuse, and an honest one."""
    with ExitStack() as stack:
        yield [stack.enter_context(running_upstream()) for _ in range(len(REFUSED) + 1)]


async def test_a_lie_that_only_the_digest_tells_is_healed_by_the_next_mirror(
    tmp_path: Path, ups: list[UpstreamServer]
) -> None:
    liar, honest = ups[:2]
    offers = publish(list(CHANGED), liar, honest)
    tell(liar, CHANGED, offers)
    settings = config(liar, honest)
    with yizhan(tmp_path, config=settings) as server:
        first = await run(server, offers, WISHES)
        judge(first)
        # What nobody had seen a byte of is healed while its clients wait, the rest when they ask again.
        assert unhealed([run for run in first if not run[0].shows_late]) == []
        assert any(not answer.complete for offer, _, answer in first if offer.shows_late)
        assert [offer for offer in offers if not liar.asked(offer.target)] == []
        second = await run(server, offers, WISHES)
        judge(second)
        assert unhealed(second) == []
    assert len(first) + len(second) >= 300
    for up in ups:
        up.refuse()
    await kept_right(tmp_path, settings, offers)


@pytest.mark.parametrize(
    "kinds", [list(BROKEN)[begin : begin + 4] for begin in range(0, len(BROKEN), 4)], ids=", ".join
)
async def test_what_one_mirror_breaks_off_the_next_ones_bring_to_its_end(
    tmp_path: Path, ups: list[UpstreamServer], kinds: list[str]
) -> None:
    """Some mirrors in a row, each ill in its way, and an honest one: clients notice nothing."""
    honest = len(kinds)
    offers = publish(["anything"], *ups[: honest + 1])
    for up, kind in zip(ups, kinds, strict=False):
        tell(up, {"anything": BROKEN[kind]}, offers)
    settings = config(*ups[: honest + 1])
    with yizhan(tmp_path, config=settings) as server:
        answers = await run(server, offers, WISHES)
        judge(answers)
        assert unhealed(answers) == []
        assert ups[0].asked("/packages/")
    for up in ups:
        up.refuse()
    await kept_right(tmp_path, settings, offers)


@pytest.mark.parametrize("lies", [CHANGED, BROKEN], ids=["changed", "broken"])
async def test_a_size_that_only_the_mirrors_tell_is_believed_no_more_than_the_bytes(
    tmp_path: Path, ups: list[UpstreamServer], lies: dict[str, Lie]
) -> None:
    liar, honest = ups[:2]
    kinds = [kind for kind in lies if kind != "never ends"]
    offers = publish(kinds, liar, honest, sizes=SIZES[:2], size_is_told=False)
    tell(liar, lies, offers)
    wishes = [wish for wish in WISHES if wish.method == "GET"]
    settings = config(liar, honest)
    with yizhan(tmp_path, config=settings) as server:
        first = await run(server, offers, wishes)
        judge(first)
        assert unhealed([run for run in first if len(run[0].item.body) < HELD]) == []
        second = await run(server, offers, wishes)
        judge(second)
        assert unhealed(second) == []
    liar.refuse()
    honest.refuse()
    await kept_right(tmp_path, settings, offers)


async def test_what_never_ends_is_cut_at_the_limit_where_no_size_is_told_and_is_not_taken_up_again(
    tmp_path: Path, ups: list[UpstreamServer]
) -> None:
    liar = ups[0]
    offers = publish(["never ends"], liar, sizes=[10_000], size_is_told=False)
    tell(liar, BROKEN, offers)
    settings = config(liar, times=SHORT + 'max_file = "5 MB"\n')
    with yizhan(tmp_path, config=settings) as server:
        answers = await run(server, offers, [Wish(), Wish(range="0-999", end=1000)])
        assert [answer.complete for _, _, answer in answers] == [False, False]
        assert max(len(answer.body) for _, _, answer in answers) <= 5_000_000
        liar.heal()
        async with asyncio.timeout(PATIENCE):  # while the old try lasts, it is what clients get
            while unhealed(answers):
                answers = await run(server, offers, WISHES[:2])
                judge(answers)


async def test_of_a_mirror_that_lies_alone_nobody_takes_a_wrong_file(tmp_path: Path, ups: list[UpstreamServer]) -> None:
    liar = ups[0]
    lies = CHANGED | BROKEN | REFUSED
    offers = publish([*lies], liar)
    tell(liar, lies, offers)
    settings = config(liar)
    with yizhan(tmp_path, config=settings) as server:
        first = await run(server, offers, WISHES)
        judge(first)
        lied = [run for run in first if run[0].lie in CHANGED and run[1].method == "GET"]
        statuses = {answer.status for offer, _, answer in lied if not offer.shows_late and not is_unsure(answer)}
        assert statuses == {503}
        assert len(first) >= 300
        liar.heal()
        async with asyncio.timeout(PATIENCE):  # it is left alone for a while, and old tries may last
            while unhealed(again := await run(server, offers, WISHES)):
                judge(again)
    liar.refuse()
    await kept_right(tmp_path, settings, offers)


async def test_a_file_is_had_though_all_mirrors_but_the_last_refuse_it_each_in_its_way(
    tmp_path: Path, ups: list[UpstreamServer]
) -> None:
    kinds = list(REFUSED)
    offers = publish(["anything"], *ups)
    for up, kind in zip(ups, kinds, strict=False):
        tell(up, {"anything": REFUSED[kind]}, offers)
    settings = config(*ups)
    with yizhan(tmp_path, config=settings) as server:
        answers = await run(server, offers, WISHES)
        judge(answers)
        assert unhealed(answers) == []
        assert [kind for up, kind in zip(ups, kinds, strict=False) if not up.asked("/packages/")] == []
    for up in ups:
        up.refuse()
    await kept_right(tmp_path, settings, offers)


async def test_a_mirror_that_begins_a_wrong_file_and_leaves_the_rest_to_others_is_found_out(
    tmp_path: Path, ups: list[UpstreamServer]
) -> None:
    """The digest fails at the honest mirror's last byte: it must not take the blame alone, for ever."""
    liar, honest = ups[:2]
    lies: dict[str, Lie] = {"begins wrong": lambda body: {"flip": 10, "cut_after": len(body) // 2}}
    offers = publish([*lies], liar, honest, sizes=[3_000_000])
    tell(liar, lies, offers)
    with yizhan(tmp_path, config=config(liar, honest)) as server:
        judge(await run(server, offers, WISHES))
        second = await run(server, offers, WISHES)
        judge(second)
        assert unhealed(second) == []


async def test_a_metadata_file_is_as_sure_as_the_wheel_it_stands_beside(
    tmp_path: Path, ups: list[UpstreamServer]
) -> None:
    liar, honest = ups[:2]
    said = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    for up in (liar, honest):
        item = up.publish("demo", "demo-1.0-py3-none-any.whl", b"wheel", metadata=said)
    target = f"/packages/{item.path}/{item.filename}.metadata"
    liar.fault("/packages/", body=said.replace(b"1.0", b"9.9"))
    with yizhan(tmp_path, config=config(liar, honest)) as server:
        answers = await asyncio.gather(*(ask(server.url, target) for _ in range(20)))
        assert {(answer.status, answer.body) for answer in answers} == {(200, said)}
    with yizhan(tmp_path / "alone", config=config(liar)) as server:
        assert (await ask(server.url, target)).status == 503
        liar.heal()
        async with asyncio.timeout(PATIENCE):  # while the old try lasts, it is what clients get
            while (answer := await ask(server.url, target)).status == 503:
                pass
        assert answer.body == said


async def test_other_bytes_under_a_known_filename_are_not_served_in_its_place(
    tmp_path: Path, ups: list[UpstreamServer]
) -> None:
    """What was seen first stays, and the log says so; the rest of the page goes on."""
    up = ups[0]
    name = "demo-1.0-py3-none-any.whl"
    with yizhan(tmp_path, config=config(up) + 'fresh = "0 s"\n') as server:
        first = up.publish("demo", name, b"first" * 1000)
        old = f"/packages/{first.path}/{name}"
        assert (await ask(server.url, old)).body == b"first" * 1000
        other = up.publish("demo", name, b"other" * 1000)
        new = f"/packages/{other.path}/{name}"
        up.publish("demo", "demo-2.0-py3-none-any.whl", b"second" * 1000)
        async with asyncio.timeout(PATIENCE):
            while "demo-2.0" not in await page(server):
                await asyncio.sleep(0.05)
        for _ in range(3):
            assert f"..{old}#sha256={first.hashes['sha256']}" in await page(server)
            answers = [await ask(server.url, target) for target in (old, new)]
            assert [answer.status for answer in answers] == [200, 404]
            assert answers[0].body == b"first" * 1000
        assert sum(f"lists {name} with other bytes than before" in line for line in server.lines) == 1


async def page(server: Server) -> str:
    """Our page of demo."""
    return (await ask(server.url, "/simple/demo/")).body.decode()


async def test_where_a_link_leads_names_no_file_of_ours(tmp_path: Path, ups: list[UpstreamServer]) -> None:
    up = ups[0]
    links = [
        "../../packages/../../../../etc",
        "../../packages/%2e%2e/%2e%2e/%2e%2e/etc",
        "../../packages//..//..%2f..%2fetc",
        "../../packages/%00",
        "../../packages/..%5c..%5cetc",
        f"../../packages/{'d' * 5000}",
        f"{up.origin}/packages/a/../../../b",
    ]
    bodies = {f"demo-1.{number}.tar.gz": f"bytes {number}".encode() for number in range(len(links))}
    for (filename, body), link in zip(bodies.items(), links, strict=True):
        up.publish("demo", filename, body, url=f"{link}/{filename}")
    for (filename, body), link in zip(bodies.items(), links, strict=True):
        at = urlsplit(urljoin(up.simple + "demo/", f"{link}/{filename}")).path
        up.fault(at, status=200, body=body, headers={"Content-Type": "application/octet-stream"})
    before = set(tmp_path.parent.rglob("*"))
    with yizhan(tmp_path / "data", config=config(up)) as server:
        targets = re.findall(r'href="../..(/packages/[^"#]+)', await page(server))
        assert len(targets) == len(links)
        for target in targets:
            assert re.match(r"/packages/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/demo-1\.\d\.tar\.gz$", target)
            answer = await ask(server.url, target)
            assert (answer.status, answer.body) == (200, bodies[target.rpartition("/")[2]])
    made = set(tmp_path.parent.rglob("*")) - before
    assert [path for path in made if not path.is_relative_to(tmp_path / "data")] == []
    assert [path.name for path in made if re.search(r"demo|etc|ddd", path.name)] == []


@pytest.mark.long
@pytest.mark.parametrize("kind", ["never answers", "stalls in the middle", "stalls before the last byte", "drips"])
async def test_with_the_default_times_the_next_mirror_takes_over(
    tmp_path: Path, ups: list[UpstreamServer], kind: str
) -> None:
    liar, honest = ups[:2]
    offers = publish([kind], liar, honest)
    tell(liar, BROKEN | REFUSED, offers)
    settings = config(liar, honest, times="")
    with yizhan(tmp_path, config=settings) as server:
        judge(await run(server, offers, WISHES))
        again = await run(server, offers, WISHES)
        judge(again)
        assert unhealed(again) == []
        assert liar.asked("/packages/")
    liar.refuse()
    honest.refuse()
    await kept_right(tmp_path, settings, offers)
