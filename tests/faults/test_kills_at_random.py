"""kill -9 at any time, while one private project and some names are changed again and again: nothing is lost, and
nothing is there that nobody asked for.

By default twenty kills.  Two hundred, and what they hit:

    pytest -s -m long tests/faults/test_kills_at_random.py
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from proxy.administration import Action, Delete, Readmit, Release, Reserve, Unyank, Yank
from proxy.errors import Unavailable
from proxy.web.control import NobodyListens, asking

from ..upstream_server import running_upstream
from .deeds import EMPTY, PROJECT, REASON, Deed, Shelf, Verb, after, look, release
from .releases import BROKEN, ask, listed, upload
from .site import Site, living

KILLS, MANY_KILLS = 8, 200

LONGEST = 0.15
"""Seconds that a server is left to work."""

NAMES = tuple(f"later-{number}" for number in range(6))
"""Reserved and released; the index is never asked about them while they are."""


def a_deed(shelf: Shelf, chance: random.Random, number: int) -> Deed:
    """One that can be done where *shelf* is; the *number*-th upload is the one that may be chosen."""
    here = [filename.split("-")[1] for filename in shelf.files]
    gone = [filename.split("-")[1] for filename in shelf.removed]
    reserved, free = sorted(shelf.reserved), sorted(set(NAMES) - shelf.reserved)
    choices: list[tuple[Verb, list[str]]] = [
        ("upload", [f"{number}.0"]),
        ("upload", [f"{number}.0"]),
        ("yank", here),
        ("unyank", here),
        ("delete", here),
        ("readmit", gone),
        ("reserve", free),
        ("release", reserved),
    ]
    verb, what = chance.choice([choice for choice in choices if choice[1]])
    return Deed.of(verb, chance.choice(sorted(what)))


class Client:
    """Changes what is at *site*, one deed after the other, and knows what was promised."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        self._number = 0
        self.shelf = EMPTY
        """What was promised."""
        self.open: Deed | None = None
        """What was asked for, and not answered yet."""
        self.done = Counter[str]()

    def work(self, begun: Event) -> None:
        """Until the server dies."""
        while True:
            self._number += 1
            self.open = a_deed(self.shelf, self._chance, self._number)
            begun.set()
            if not self.try_again():
                return

    def try_again(self) -> bool:
        """Do what is open; whether it was promised."""
        assert self.open is not None
        try:
            _do(self._site, self.open)
        except (*BROKEN, NobodyListens):
            return False
        except Unavailable as error:
            if type(error) is not Unavailable:
                raise  # an answer, and none that a healthy store gives
            return False
        self.shelf = after(self.shelf, self.open)
        self.done[self.open.verb] += 1
        self.open = None
        return True


def _do(site: Site, deed: Deed) -> None:
    (what,) = deed.what
    if deed.verb == "upload":
        answer = upload(site.server, release(what))
        assert answer.status == 200, answer
        return
    actions: dict[Verb, Action] = {
        "yank": Yank(project=PROJECT, version=what, reason=REASON),
        "unyank": Unyank(project=PROJECT, version=what),
        "delete": Delete(project=PROJECT, version=what, dry_run=False),
        "readmit": Readmit(filename=release(what).filename if deed.verb == "readmit" else ""),
        "reserve": Reserve(project=what),
        "release": Release(project=what),
    }

    async def act() -> None:
        async with asking(site.folder / "state") as office:
            await office.perform(actions[deed.verb])

    asyncio.run(act())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_upstream() as upstream, living(Site(tmp_path, upstream)) as site:
        yield site


def kill_often(site: Site, kills: int, seed: int) -> Counter[str]:
    chance = random.Random(seed)
    client, hit = Client(site, chance), Counter[str]()
    for _ in range(kills):
        begun = Event()
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(client.work, begun)
            begun.wait()
            time.sleep(chance.uniform(0, LONGEST))
            site.server.kill()
            working.result()
        deed = client.open
        assert deed is not None
        found = look(site.folder / "state", provenances=False)
        assert found in (client.shelf, after(client.shelf, deed)), deed
        is_done = found != client.shelf
        hit[f"{deed.verb}, {'done' if is_done else 'not done'}"] += 1
        site.restart()
        client.shelf = found
        if not is_done:
            # What anybody does who heard nothing.
            assert client.try_again()
        _is_served(site, client.shelf)
    print(f"\n{kills} kills at random, after {client.done.total()} deeds that were promised; what they hit:")
    for what, count in sorted(hit.items()):
        print(f"  {count:3} {what}")
    return client.done


def _is_served(site: Site, shelf: Shelf) -> None:
    """What clients see is all that, and nothing else."""
    page = listed(site.server, PROJECT)
    assert {filename: file.get("yanked", False) for filename, file in page.items()} == shelf.files
    for file in page.values():
        got = ask(site.server, file["target"])
        assert (got.status, got.sha256) == (200, file["hashes"]["sha256"])
    for name in shelf.reserved:
        assert listed(site.server, name) == {}
    heard = {request.path for request in site.upstream.log}
    assert not heard & {f"/simple/{name}/" for name in (*NAMES, PROJECT)}


def test_nothing_is_lost_by_kills_at_random(site: Site) -> None:
    assert kill_often(site, KILLS, seed=20).total() > KILLS


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_is_lost_by_two_hundred_kills_at_random(site: Site) -> None:
    done = kill_often(site, MANY_KILLS, seed=200)
    assert done.keys() >= {"upload", "yank", "unyank", "delete", "readmit", "reserve", "release"}
