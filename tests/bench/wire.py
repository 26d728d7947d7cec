"""Runs rows of the bench: all contestants side by side, row after row, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

from . import cost
from .aims import IDLE, MEMORY, PEAK
from .asking import ask
from .contestants import Contestant, Running
from .figures import OURS, Figure, Gathered
from .markdown import HIDDEN
from .measure import JSON
from .scene import Row, Scene
from .tree import MB
from .upstream import FAILURES

IDLE_AFTER = 1.0
"""Seconds after the first page, when a server is thought to idle."""


class Run:
    """A run of the bench, as it goes on."""

    def __init__(self, scene: Scene, contestants: Sequence[Contestant], told: Callable[[str], None]) -> None:
        self._scene = scene
        self._contestants = contestants
        self._told = told
        self._gathered = Gathered()
        self.failures: list[str] = []

    def figures(self) -> list[Figure]:
        return self._gathered.figures()

    def rounds(self, rows: Sequence[Row], count: int) -> None:
        """Measure *rows* in so many rounds."""
        for number in range(count):
            self._scene.peaks.found.clear()
            idle = dict[str, float]()
            with ExitStack() as stack:
                servers = self._start(rows, number, stack, idle)
                for row in rows:
                    if not (row.once and number):
                        self._row(row, number, servers)
                        if row.warm:
                            self._note_peaks(row.key, servers)
            self._remember(number, idle)

    def _start(
        self, rows: Sequence[Row], number: int, stack: ExitStack, idle: dict[str, float]
    ) -> Mapping[str, Running]:
        """The servers that run all round, one of each contestant that a warm row wants; *idle* gets their MB."""
        wanted = {who for row in rows if row.warm for who in row.who}
        servers = dict[str, Running]()
        for contestant in self._turned(number):
            if contestant.name not in wanted:
                continue
            where = f"round {number + 1}: start of {contestant.name}"
            self._told(where)
            try:
                server = stack.enter_context(self._scene.fresh(contestant, self._scene.fast, "idle"))
                ask(f"{server.index}{self._scene.small}/", {"Accept": JSON})
            except FAILURES as error:
                self.failures.append(f"{where}: {error!r}")
                continue
            servers[contestant.name] = server
            if server.pid is not None:
                time.sleep(IDLE_AFTER)
                idle[contestant.name] = cost.memory(server.pid) / MB
        return servers

    def _row(self, row: Row, number: int, servers: Mapping[str, Running]) -> None:
        for contestant in self._turned(number):
            name = contestant.name
            if name not in row.who or (row.warm and name not in servers):
                continue
            where = f"round {number + 1}: {row.key}: {name}"
            self._told(where)
            try:
                found = row.measure(self._scene, contestant, servers[name] if row.warm else None)
            except FAILURES as error:
                self.failures.append(f"{where}: {error!r}")
                continue
            for case, quantities in found.items():
                self._gathered.add(number, case, name, quantities)

    def _turned(self, number: int) -> Iterable[Contestant]:
        """All, another one first each time: what the one before left behind hits each in turn."""
        turn = number % len(self._contestants)
        return (*self._contestants[turn:], *self._contestants[:turn])

    def _note_peaks(self, row: str, servers: Mapping[str, Running]) -> None:
        for name, server in servers.items():
            self._scene.peaks.note(name, row, server.pid)

    def _remember(self, number: int, idle: Mapping[str, float]) -> None:
        for name, peaks in self._scene.peaks.found.items():
            told = {IDLE: idle[name]} if name in idle else {}
            self._gathered.add(number, MEMORY, name, {**told, PEAK: max(peaks.values())})
            if name == OURS:
                self._gathered.add(number, HIDDEN, name, peaks)
