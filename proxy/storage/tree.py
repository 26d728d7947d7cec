"""Contents of private files on disk, by their digest: placed for good, opened with suspicion.

Knows the file system; which file has which content is ledger.py's to know.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import StoreDown
from ..simple.model import METADATA
from . import Blob
from .ledger import Entry

_PATH = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}\Z")


class Tree:
    """The folder *root*, which holds `ab/cd/<60 hex>` and `ab/cd/<60 hex>.metadata`.

    The same content always has the same metadata, so files that share the one share the other.  Every method may
    raise OSError.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def exists(self) -> bool:
        return self._root.exists()

    def make(self) -> None:
        make_folder(self._root)
        sync(self._root.parent)

    def contents(self) -> Iterator[str]:
        """The path of every content there is, in order, whether or not any row lists it; raise OSError."""
        for first in _children(self._root):
            for second in _children(first):
                # A set: a `.metadata` that lost its content is one too.
                for name in sorted({found.name.removesuffix(METADATA) for found in _children(second)}):
                    path = f"{first.name}/{second.name}/{name}"
                    if _PATH.match(path):
                        yield path

    def place(self, path: str, body: Path, metadata: Path | None) -> None:
        """Move *body*, and *metadata* beside it, both synced, to *path*; on return their names are on the disk too."""
        target = self.target(path)
        folders = (self._root, target.parent.parent, target.parent)
        for folder in folders[1:]:
            folder.mkdir(mode=0o700, exist_ok=True)
        os.replace(body, target)
        if metadata is not None:
            os.replace(metadata, beside_of(target))
        # All of them, not only what is new: who made the others may have died before its own sync.
        for folder in reversed(folders):
            sync(folder)

    def open(self, entry: Entry, *, beside: bool) -> Blob:
        """The content of *entry*, or the `.metadata` beside it; OSError where it is not what was stored."""
        target = self.target(entry.file.path)
        size, sha256 = entry.file.size, entry.file.sha256
        if beside:
            target = beside_of(target)
            core = entry.file.core_metadata
            size, sha256 = entry.metadata_size, core["sha256"] if not isinstance(core, bool) else None
        assert size is not None
        assert sha256 is not None
        assert entry.file.upload_time is not None
        return Blob(
            handle=_open_whole(target, size),
            size=size,
            sha256=sha256,
            modified=entry.file.upload_time.timestamp(),
        )

    def is_whole(self, entry: Entry) -> bool:
        """Whether the content of *entry*, and what stands beside it, can be opened."""
        for beside in (False, True) if entry.metadata_size is not None else (False,):
            try:
                self.open(entry, beside=beside).handle.close()
            except OSError:
                return False
        return True

    def remove(self, path: str) -> None:
        target = self.target(path)
        target.unlink(missing_ok=True)
        beside_of(target).unlink(missing_ok=True)

    def target(self, path: str) -> Path:
        """Where the content *path* lies."""
        # A row that somebody tampered with must not name a place outside.
        if not _PATH.match(path):
            raise OSError(f"{path!r} is not the path of a content")
        return self._root / path


def make_folder(folder: Path) -> None:
    """Make *folder* for this user alone, to outlive a power cut; raise StoreDown where others could write into it."""
    made = [new for new in (folder, *folder.parents) if not new.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for new in made:
        sync(new.parent)  # else a power cut may take all that is promised in there with it
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreDown(f"Others may write into the data folder's {folder.name}: run chmod 700 on it.")
    if found.st_uid != os.geteuid():
        raise StoreDown(
            f"The data folder's {folder.name} belongs to another user: run Yizhan as that user, or chown it."
        )


def clear_folder(folder: Path) -> None:
    """Remove all files in *folder*."""
    for left in folder.iterdir():
        if not stat.S_ISDIR(left.lstat().st_mode):
            left.unlink()


def sync(path: Path) -> None:
    """Have the disk hold the file or the entries of the folder *path*.

    Where that fails it is over: the kernel may drop what it could not write, and say yes the second time.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_regular(path: Path, *, follow: bool = False) -> BinaryIO:
    """The file *path*, or what a link leads to if told to *follow*; OSError where that is no regular file."""
    # Neither follow a planted link nor wait for the other end of a planted FIFO.
    fd = os.open(path, os.O_RDONLY | (0 if follow else os.O_NOFOLLOW) | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return os.fdopen(fd, "rb")
    os.close(fd)
    raise OSError(f"{path.name} is not a file")


def in_memory(content: bytes) -> BinaryIO:
    """A handle on *content* with a descriptor of its own, as what sends files wants."""
    handle = os.fdopen(os.memfd_create("content", os.MFD_CLOEXEC), "w+b", buffering=0)
    handle.write(content)
    handle.seek(0)
    return handle


def beside_of(target: Path) -> Path:
    """Where the `.metadata` of the content at *target* lies."""
    return target.with_name(target.name + METADATA)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _open_whole(path: Path, size: int) -> BinaryIO:
    handle = open_regular(path)
    if os.fstat(handle.fileno()).st_size == size:
        return handle
    handle.close()
    raise OSError(f"{path.name} is not a file of {size} bytes")
