"""A process watched, and hurt, at its system calls: errors and kills at exact steps, without hooks in its code.

Needs the program strace and the right to attach to one's own processes; where either is missing, tests skip.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

RENAME, UNLINK, LINK, MKDIR = "?rename,?renameat,?renameat2", "?unlink,?unlinkat", "?link,?linkat", "?mkdir,?mkdirat"
"""Each of these has other numbers on other machines; a `?` excuses those that this one has not."""

WATCHED = f"openat,write,writev,pwrite64,ftruncate,fsync,fdatasync,sendto,{RENAME},{UNLINK},{LINK},{MKDIR}"
"""What changes files, and what tells others."""

EVERYTHING = "all"

INJECTED = "(INJECTED)"

_BEGUN = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_RESULT = re.compile(r"(.*)\)\s+= (.*)")

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace IS MISSING: crashes and failing disks are not tested here"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call.  *begun* and *ended* are its places in the trace, by which calls can be put in order."""

    name: str
    arguments: str
    """As strace writes them: descriptors with their paths."""
    begun: int
    ended: int | None = None
    """None where it never came back."""
    result: str = ""
    thread: str = ""

    @property
    def done(self) -> bool:
        return self.ended is not None and not self.result.startswith("-1")

    def on(self, part: str) -> bool:
        """Whether *part* occurs in its arguments."""
        return part in self.arguments


@contextmanager
def attached(pid: int, file: Path, *, hurt: str = "", watched: str = WATCHED) -> Iterator[Path]:
    """Watch the process *pid* and its threads, the trace in *file*; let go at the end, if the process still lives.

    *hurt* is what strace may inject, as in "fsync:signal=KILL:when=2": the call is not made then.  Each thread counts
    its calls for itself, from now on.
    """
    command = ["strace", "-f", "-y", "-s", "24", "-o", str(file), "-e", f"trace={watched}", "-e", "signal=none"]
    command += ["-e", f"inject={hurt}"] if hurt else []
    with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        first = tracer.stderr.readline()
        if "attached" not in first:
            tracer.wait()
            pytest.skip(f"strace MAY NOT ATTACH here, so this is not tested: {first.strip()}")
        try:
            yield file
        finally:
            # It has ended by itself where the process was killed.
            tracer.send_signal(signal.SIGTERM)
            tracer.stderr.read()


def read_trace(file: Path) -> list[Call]:
    """The calls in the order in which they began."""
    calls = list[Call]()
    open_calls = dict[tuple[str, str], int]()
    for place, line in enumerate(file.read_text(errors="replace").splitlines()):
        if found := _BEGUN.match(line):
            thread, name, rest = found.groups()
            open_calls[thread, name] = len(calls)
            calls.append(Call(name, rest.removesuffix(" <unfinished ...>"), place, thread=thread))
        elif found := _RESUMED.match(line):
            thread, name, rest = found.groups()
        else:
            continue
        end = _RESULT.match(rest)
        if end and not end[2].startswith("?"):
            at = open_calls.pop((thread, name))
            whole = end[1] if calls[at].begun == place else calls[at].arguments + end[1]
            calls[at] = replace(calls[at], arguments=whole, ended=place, result=end[2])
    return calls


def hits(calls: Sequence[Call]) -> list[Call]:
    """Those that strace let fail."""
    return [call for call in calls if INJECTED in call.result]


def first(calls: Sequence[Call], name: str, part: str) -> Call | None:
    """The first call of *name* (or renameat for rename, and the like) with *part* in its arguments."""
    return next((call for call in calls if call.name.startswith(name) and call.on(part)), None)
