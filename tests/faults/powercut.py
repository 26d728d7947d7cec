"""What a power cut may leave of a folder: its file operations recorded, and the states they allow made again.

    with acting(root / "state", under=recorder(trace)) as actor:
        actor.do(...)
    disk = Disk(root)
    for call in read_trace(trace):
        disk.apply(call)
        write(disk.left(Loss.UNSYNCED), elsewhere)

Little is promised (POSIX; "All File Systems Are Not Created Equal", OSDI 2014): a file's bytes are there once it was
synced, and a name is there, or gone, once its folder was.  All else may be there or not, whatever came before or after
it.  What is written to mapped memory is not seen here: nothing that matters may depend on it.
"""

from __future__ import annotations

import enum
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .strace import LINK, MKDIR, RENAME, UNLINK, Call

RECORDED = (
    f"?open,openat,?creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,sendfile,"
    f"fsync,fdatasync,{RENAME},{UNLINK},{LINK},{MKDIR},?symlink,symlinkat,?rmdir"
)
"""All that changes files, also what Disk has not learnt yet."""

_HEXADECIMAL = re.compile(r"(?:\\x[0-9a-f]{2})+")
_QUOTED = re.compile(r'"([^"]*)"')
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")

Change = tuple[int, bytes | None] | Mapping[str, "Node | None"]
"""Of a file: bytes from a place on, or with None its length; of a folder: what names lead to, with None to nothing."""


class Loss(enum.Enum):
    """Which of the changes that were not synced are lost."""

    NOTHING = "nothing is lost"
    UNSYNCED = "all of them"
    CONTENTS = "those of files"
    NAMES = "those of folders"
    FIRST = "every second, the first among them"
    SECOND = "every second, the first not among them"
    HALVES = "the second half of each write"


@dataclass(eq=False)
class Node:
    """A file or folder, and all that was ever done to it."""

    is_folder: bool
    changes: list[Change] = field(default_factory=list)
    synced: int = 0
    """How many of them are on the disk."""
    entries: dict[str, Node] = field(default_factory=dict)
    """Of a folder, as its user sees it now."""

    def change(self, what: Change) -> None:
        self.changes.append(what)
        if isinstance(what, Mapping):
            _enter(self.entries, what)

    def left(self, loss: Loss) -> list[Change]:
        """The changes that the disk has after a power cut now."""
        sure, open_ = self.changes[: self.synced], self.changes[self.synced :]
        match loss:
            case Loss.UNSYNCED:
                open_ = []
            case Loss.CONTENTS if not self.is_folder:
                open_ = []
            case Loss.NAMES if self.is_folder:
                open_ = []
            case Loss.FIRST:
                open_ = open_[1::2]
            case Loss.SECOND:
                open_ = open_[::2]
            case Loss.HALVES:
                open_ = [_half(what) for what in open_]
        return sure + open_


class Disk:
    """All below the folder *root*, which is there and empty at first, as a recorded program changed it."""

    def __init__(self, root: Path) -> None:
        self._path = str(root)
        self._root = Node(is_folder=True)
        self._opened: dict[int, tuple[Node, int]] = {}
        """By descriptor, with the place of the next write."""

    def apply(self, call: Call) -> bool:
        """Have *call* done; whether it was one that changes this disk, or makes it sure."""
        # What it writes may be long, and is not looked through for paths.
        names, _, _ = call.arguments.partition('"') if "write" in call.name else (call.arguments, "", "")
        arguments = _decoded(names)
        if not call.done or self._path not in arguments:
            return False
        return _CALLS[re.sub(r"(at|at2)\Z", "", call.name)](self, call, arguments)

    def left(self, loss: Loss) -> dict[str, bytes | None]:
        """Every path below the root that is there after a power cut now: a file's bytes, None for a folder."""
        found: dict[str, bytes | None] = {}
        _collect(self._root, "", loss, found)
        return found

    # Each of these is a call.

    def open(self, call: Call, arguments: str) -> bool:
        (path,) = _QUOTED.findall(arguments)
        changes = False
        if "O_CREAT" in arguments and self._node(path) is None:
            folder, name = self._place(path)
            folder.change({name: Node(is_folder=False)})
            changes = True
        node = self._node(path)
        assert node is not None, arguments
        if "O_TRUNC" in arguments and not changes:
            node.change((0, None))
            changes = True
        self._opened[int(call.result.partition("<")[0])] = node, 0
        return changes

    def write(self, call: Call, arguments: str) -> bool:
        number, node, at = self._descriptor(arguments)
        data = _data(call)
        node.change((at, data))
        self._opened[number] = node, at + len(data)
        return True

    def pwrite64(self, call: Call, arguments: str) -> bool:
        _, node, _ = self._descriptor(arguments)
        node.change((_last(call), _data(call)))
        return True

    def ftruncate(self, call: Call, arguments: str) -> bool:
        _, node, _ = self._descriptor(arguments)
        node.change((_last(call), None))
        return True

    def sync(self, call: Call, arguments: str) -> bool:
        _, node, _ = self._descriptor(arguments)
        node.synced = len(node.changes)
        return True

    def rename(self, call: Call, arguments: str) -> bool:
        (source, old), (target, new) = map(self._place, _QUOTED.findall(arguments))
        node = source.entries[old]
        if source is target:
            source.change({old: None, new: node})
        else:
            target.change({new: node})
            source.change({old: None})
        return True

    def unlink(self, call: Call, arguments: str) -> bool:
        folder, name = self._place(_QUOTED.findall(arguments)[0])
        folder.change({name: None})
        return True

    def mkdir(self, call: Call, arguments: str) -> bool:
        folder, name = self._place(_QUOTED.findall(arguments)[0])
        folder.change({name: Node(is_folder=True)})
        return True

    def _node(self, path: str) -> Node | None:
        """What *path* leads to, as the program sees it."""
        if path == self._path:
            return self._root
        folder, name = self._place(path)
        return folder.entries.get(name)

    def _place(self, path: str) -> tuple[Node, str]:
        """The folder and the name that *path* means to the program."""
        *folders, name = Path(path).relative_to(self._path).parts
        node = self._root
        for folder in folders:
            node = node.entries[folder]
        return node, name

    def _descriptor(self, arguments: str) -> tuple[int, Node, int]:
        """The number, what it was opened on, and the place of the next write."""
        found = _DESCRIPTOR.match(arguments)
        assert found is not None, arguments
        assert Path(found[2]).is_relative_to(self._path), arguments
        return int(found[1]), *self._opened[int(found[1])]


_CALLS: Mapping[str, Callable[[Disk, Call, str], bool]] = {
    "open": Disk.open,
    "write": Disk.write,
    "writev": Disk.write,
    "pwrite64": Disk.pwrite64,
    "ftruncate": Disk.ftruncate,
    "fsync": Disk.sync,
    "fdatasync": Disk.sync,
    "rename": Disk.rename,
    "unlink": Disk.unlink,
    "mkdir": Disk.mkdir,
}
"""By name without `at`; a call that is not here and is made on the disk is a KeyError, and must be learnt."""


def recorder(trace: Path) -> Sequence[str]:
    """The beginning of a command line that records, in *trace*, what the rest of it does to files, byte for byte."""
    # In hexadecimal, as then no byte of a content looks like the trace's own marks.
    written = ["strace", "-f", "-y", "-xx", "-s", "10000000", "-o", str(trace)]
    return [*written, "--seccomp-bpf", "-e", f"trace={RECORDED}", "-e", "signal=none"]


def said(call: Call) -> str:
    """What the program printed by *call*, if it did."""
    return (
        _data(call).decode() if call.name.startswith("write") and call.arguments.startswith("1<") and call.done else ""
    )


def write(left: Mapping[str, bytes | None], folder: Path) -> None:
    """Make *folder* what is *left*."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in left.items():
        if content is None:
            (folder / path).mkdir(mode=0o700)
        else:
            (folder / path).write_bytes(content)


def _collect(folder: Node, path: str, loss: Loss, found: dict[str, bytes | None]) -> None:
    entries: dict[str, Node] = {}
    for what in folder.left(loss):
        assert isinstance(what, Mapping)
        _enter(entries, what)
    for name, node in entries.items():
        found[path + name] = None if node.is_folder else _content(node, loss)
        if node.is_folder:
            _collect(node, f"{path}{name}/", loss, found)


def _content(file: Node, loss: Loss) -> bytes:
    content = bytearray()
    for what in file.left(loss):
        assert isinstance(what, tuple)
        at, data = what
        # What was never written, or got lost, is zero.
        content.extend(bytes(max(0, at - len(content))))
        if data is None:
            del content[at:]
        else:
            content[at : at + len(data)] = data
    return bytes(content)


def _enter(entries: dict[str, Node], names: Mapping[str, Node | None]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _half(what: Change) -> Change:
    if isinstance(what, Mapping):
        return what
    at, data = what
    return at, None if data is None else data[: len(data) // 2]


def _data(call: Call) -> bytes:
    """As much of what *call* had to write as it did write."""
    quoted = _QUOTED.search(call.arguments)
    assert quoted is not None, call
    return bytes.fromhex(quoted[1].replace("\\x", ""))[: int(call.result)]


def _last(call: Call) -> int:
    """Its last argument, a number of bytes."""
    return int(call.arguments.rpartition(", ")[2])


def _decoded(arguments: str) -> str:
    return _HEXADECIMAL.sub(lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode("latin-1"), arguments)
