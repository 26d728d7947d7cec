"""A Store on this machine's disk: rows in SQLite, contents beside them, both there after a power cut.

The data folder, which one Yizhan at a time owns (it holds a lock on `lock`):

    store.db                     the rows (ledger.py), provenances among them; what is not in there does not exist
    files/ab/cd/<60 hex>         contents by blake2b-256, and `<60 hex>.metadata` beside a wheel's
    incoming/                    uploads on their way in; whatever a crash left is removed at the next start
    generation                   numbers that change with every change of the rows (generation.py)

A content whose row was never committed (a crash in between) is left where it is: it is in nobody's way, the same
bytes uploaded again take its place, and a program that deletes what an older, restored database does not list would
delete the only copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from packaging.utils import NormalizedName

from ..errors import BadRequest, DiskFull, FileExists, NotFound, StoreDown
from ..simple.model import METADATA, PROVENANCE, File
from . import Blob, Standing, Token
from .generation import Generation
from .ledger import Entry, Ledger
from .recent import Latest, Recent
from .tree import Tree, clear_folder, in_memory, make_folder, sync

T = TypeVar("T")

log = logging.getLogger(__name__)


class DiskStore:
    """PrivateFiles, Names, People and Pins in *folder*, which is made where it is missing.

    *now* gives the time of receipt and of other changes, aware.  With owner=False the lock and the cleaning are left to
    another process that has opened the folder before.  Making one blocks, and raises StoreDown with what an operator
    must do.
    """

    def __init__(self, folder: Path, *, now: Callable[[], datetime], owner: bool = True) -> None:
        self._now = now
        self.incoming = folder / "incoming"
        """Where uploads must lie to be added."""
        self._database = folder / "store.db"
        self._tree = Tree(folder / "files")
        self._claimed = Latest[frozenset[NormalizedName]]()
        self._standings = Latest[Mapping[NormalizedName, Standing]]()
        self._tokens = Latest[Mapping[str, Token]]()
        self._recent = Recent()
        with contextlib.ExitStack() as opened, telling("opened"):
            make_folder(folder)
            if owner:
                opened.callback(os.close, lock(folder / "lock"))
            self._writing = self._open_ledger(owner=owner)
            opened.callback(self._writing.close)
            self._reading = Ledger(self._database)
            opened.callback(self._reading.close)
            make_folder(self.incoming)
            if owner:
                clear_folder(self.incoming)
            self._generation = Generation(folder / "generation")
            self._uses = Generation(folder / "generation", place=1)
            # A process that died between its commit and this line's like has told nobody of the commit.
            self._generation.change()
            self._identity = _identity(self._database)
            sync(folder)  # SQLite goes on where its own sync of its files' names fails
            # Two threads, one connection each: syncing gigabytes must not keep readers waiting.
            self._writer = ThreadPoolExecutor(1, "store-writer")
            self._reader = ThreadPoolExecutor(1, "store-reader")
            self._opened = opened.pop_all()

    @property
    def generation(self) -> int:
        """Changes with every change of names, files or tokens, whichever process makes it: one read of shared memory.

        That a token was used does not count: nothing but the list of tokens depends on it.
        """
        return self._generation.value

    async def close(self) -> None:
        """Finish what is under way, then let go of the folder."""
        for pool in (self._writer, self._reader):
            await asyncio.to_thread(pool.shutdown)
        await asyncio.to_thread(self._opened.close)

    async def files(self, name: NormalizedName) -> tuple[File, ...]:
        generation = self.generation
        known = self._recent.get(name, generation)
        if known is None:
            # Anybody may ask for any name: those without files must not fill the memory.
            if name not in await self.claimed():
                return ()
            known = await self._read(partial(self._reading.files, name))
            self._recent.put(name, generation, known)
        return known

    async def add(
        self, name: NormalizedName, file: File, body: Path, metadata: bytes | None, *, provenance: bytes | None = None
    ) -> None:
        await self._write(partial(self._add, name, file, body, metadata, provenance))

    async def open(self, file: File) -> Blob:
        job = self._submit(self._reader, partial(self._open, file), "read")
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            job.add_done_callback(_close_unwanted)
            raise

    async def remove(self, filenames: Collection[str]) -> None:
        await self._write(partial(self._remove, filenames))

    async def yank(self, filenames: Collection[str], yanked: bool | str) -> None:
        await self._change(partial(self._writing.yank, filenames, yanked))

    async def claimed(self) -> frozenset[NormalizedName]:
        return await self._claimed.get(self.generation, partial(self._read, self._reading.names))

    async def standings(self) -> Mapping[NormalizedName, Standing]:
        return await self._standings.get(self.generation, partial(self._read, self._reading.standings))

    async def settle(self, name: NormalizedName, standing: Standing) -> None:
        await self._change(partial(self._writing.settle, name, standing))

    async def release(self, name: NormalizedName) -> None:
        await self._change(partial(self._writing.release, name))

    async def readmit(self, filename: str) -> None:
        await self._change(partial(self._writing.readmit, filename, now=self._now()))

    async def tokens(self) -> Mapping[str, Token]:
        made = self.generation, self._uses.value
        return await self._tokens.get(made, partial(self._read, self._reading.tokens.all))

    async def add_token(self, token: Token) -> None:
        await self._change(partial(self._add_token, token))

    async def revoke(self, ids: Collection[str]) -> None:
        await self._change(partial(self._revoke, ids))

    async def used(self, times: Mapping[str, datetime]) -> None:
        if times:
            await self._write(partial(self._used, times))

    async def pinned(self, origin: str, filename: str) -> str | None:
        return await self._read(partial(self._reading.pinned, origin, filename))

    async def pin(self, origin: str, filename: str, sha256: str) -> str:
        return await self._write(partial(self._pin, origin, filename, sha256))

    # The rest runs in the threads.

    def _open_ledger(self, *, owner: bool) -> Ledger:
        """The database, of the present schema; refused where files are there that it knows nothing of."""
        expected = not owner or self._tree.exists()
        if expected and not self._database.exists():
            # Not even opened: SQLite would make an empty one.
            raise StoreDown(
                "The database of private names is missing although files were stored here: "
                "restore store.db from a backup, or everything private would count as public."
            )
        with contextlib.ExitStack() as undo:
            ledger = Ledger(self._database)
            undo.callback(ledger.close)
            if owner:
                ledger.check()
            ledger.prepare(expected=expected)
            if not self._tree.exists():
                if not ledger.is_empty():
                    raise StoreDown("The folder of private files is missing: mount it, or restore it from a backup.")
                # Made after the schema is committed: this folder is how a later start knows that there must be one.
                self._tree.make()
            undo.pop_all()
        return ledger

    def _add(
        self, name: NormalizedName, file: File, body: Path, metadata: bytes | None, provenance: bytes | None
    ) -> None:
        beside = self.incoming / f"{secrets.token_hex(16)}{METADATA}"
        try:
            self._check_database()
            known = self._known(name, file)
            attested = provenance is None or (known is not None and known.file.provenance is not None)
            if known is not None and attested and self._tree.is_whole(known):
                return
            entry = self._entry(name, file, body, metadata)
            # The long part, before others must wait for the transaction.
            sync(body)
            if metadata is not None:
                beside.write_bytes(metadata)
                sync(beside)
            with self._writing.changing():
                listed = self._known(name, file) is not None
                self._tree.place(file.path, body, beside if metadata is not None else None)
                if not listed:
                    self._writing.insert(entry)
                if provenance is not None:
                    self._writing.attest(file.filename, provenance)
            self._generation.change()
        finally:
            with contextlib.suppress(OSError):  # the next start removes what is left
                body.unlink(missing_ok=True)
                beside.unlink(missing_ok=True)

    def _known(self, name: NormalizedName, file: File) -> Entry | None:
        """The row of these very bytes; raise FileExists where the filename means others, or did."""
        known = self._writing.entry(file.filename)
        if known is None and self._writing.is_removed(file.filename):
            raise FileExists(
                "This filename was previously used by a file that has since been deleted. Use a different version."
            )
        if known is None or (known.name, known.file.path, known.file.sha256) == (name, file.path, file.sha256):
            return known
        digest = known.file.path.replace("/", "")
        # twine, poetry and pdm look for these words, in English.
        raise FileExists(
            f"File already exists ('{file.filename}', with blake2_256 hash '{digest}'). Use a different version."
        )

    def _entry(self, name: NormalizedName, file: File, body: Path, metadata: bytes | None) -> Entry:
        if file.sha256 is None or file.size != body.stat().st_size:
            raise ValueError(f"{file.filename} is not the file that its own description says")
        stamped = file if file.upload_time else msgspec.structs.replace(file, upload_time=self._now())
        return Entry(name=name, file=stamped, metadata_size=None if metadata is None else len(metadata))

    def _open(self, file: File) -> Blob:
        entry = self._reading.entry(file.filename)
        ending = ""
        if entry is None:
            ending = next((ending for ending in (METADATA, PROVENANCE) if file.filename.endswith(ending)), "")
            entry = self._reading.entry(file.filename.removesuffix(ending))
        if entry is None or entry.file.path != file.path or (ending == METADATA and entry.metadata_size is None):
            raise NotFound(f"{file.filename} was never uploaded here.")
        try:
            if ending == PROVENANCE:
                return self._provenance(entry)
            return self._tree.open(entry, beside=ending == METADATA)
        except OSError as error:
            if not self._reading.holds(file.path):
                raise NotFound(f"{file.filename} was deleted just now.") from None
            # Only an operator can mend this, and the client is not the one to tell: its answer names no place.
            log.error("private file %s (%s) cannot be served: %s", file.filename, file.path, error)  # noqa: TRY400 -- the place and reason are all there is to it
            raise StoreDown(f"{file.filename} is damaged or missing in the store: tell the operator.") from error

    def _provenance(self, entry: Entry) -> Blob:
        """What is remembered beside the file of *entry*; raise NotFound, or OSError where it is not what was stored."""
        found = self._reading.provenance(entry.file.filename)
        if found is None:
            raise NotFound(f"{entry.file.filename} was uploaded without a provenance.")
        digest, content = found
        if hashlib.sha256(content).hexdigest() != digest:
            raise OSError("its row has other bytes than were stored")
        assert entry.file.upload_time is not None
        modified = entry.file.upload_time.timestamp()
        return Blob(handle=in_memory(content), size=len(content), sha256=digest, modified=modified)

    def _changed(self, job: Callable[[], None]) -> None:
        """Do *job* to the rows, all or nothing; then tell whoever keeps copies."""
        self._check_database()
        with self._writing.changing():
            job()
        self._generation.change()

    def _remove(self, filenames: Collection[str]) -> None:
        left = set[str]()

        def bury() -> None:
            for filename in filenames:
                entry = self._writing.entry(filename)
                if entry is not None:
                    self._writing.bury(filename)
                    left.add(entry.file.path)
                elif not self._writing.was_removed(filename):
                    raise NotFound(f"{filename} was never uploaded here.")

        self._changed(bury)
        for path in left:
            try:
                # Again in a transaction: nobody may be adding a file of the same content meanwhile.
                with self._writing.changing():
                    if not self._writing.holds(path):
                        self._tree.remove(path)
            except (OSError, sqlite3.Error) as error:
                # The files are off their pages, which is what was asked for; only their room is not free yet.
                log.warning("the content %s of a deleted file cannot be deleted: %s", path, error)

    def _add_token(self, token: Token) -> None:
        if self._writing.tokens.has(token.id):
            raise BadRequest(f"There is a token {token.id} already.")
        self._writing.tokens.insert(token)

    def _revoke(self, ids: Collection[str]) -> None:
        for id in ids:
            if not self._writing.tokens.has(id):
                raise NotFound(f"There is no token {id}.")
            self._writing.tokens.revoke(id, now=self._now())

    def _used(self, times: Mapping[str, datetime]) -> None:
        self._check_database()
        # The generation stays: no page depends on it.
        with self._writing.changing():
            for id, time in times.items():
                self._writing.tokens.use(id, time)
        self._uses.change()

    def _pin(self, origin: str, filename: str, sha256: str) -> str:
        self._check_database()
        # The generation stays: no page's list of files depends on pins.
        with self._writing.changing():
            self._writing.pin(origin, filename, sha256, seen=self._now())
        return self._writing.pinned(origin, filename) or sha256

    def _check_database(self) -> None:
        """Raise where the database was moved away: what is written to it now would be lost at the next start."""
        if _identity(self._database) != self._identity:
            raise StoreDown("The store's database was moved or replaced: restart Yizhan.")

    async def _change(self, job: Callable[[], None]) -> None:
        await self._write(partial(self._changed, job))

    async def _read(self, job: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._submit(self._reader, job, "read"))

    async def _write(self, job: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._submit(self._writer, job, "written"))

    def _submit(self, pool: ThreadPoolExecutor, job: Callable[[], T], what: str) -> Future[T]:
        def told() -> T:
            with telling(what):
                return job()

        try:
            return pool.submit(told)
        except RuntimeError:
            raise StoreDown("The store is closed: Yizhan is stopping.") from None


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    """SQLite's and the system's errors as ours; the places they name stay in the log."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        log.error("the store's database cannot be %s: %s", what, error)  # noqa: TRY400 -- SQLite's word says it all
        if code == sqlite3.SQLITE_FULL:
            raise DiskFull("There is no room left on the disk of the store.") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreDown("The store's database is damaged: restore store.db from a backup.") from error
        raise StoreDown(f"The store's database cannot be {what} now.") from error
    except OSError as error:
        log.error("the store cannot be %s: %s", what, error)  # noqa: TRY400 -- the system's word says it all
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("There is no room left on the disk of the store.") from error
        raise StoreDown(f"The store cannot be {what} now: {error.strerror or 'input or output failed'}.") from error


def lock(path: Path) -> int:
    """A descriptor that holds the folder's lock for as long as it is open; raise StoreDown where another has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StoreDown(
            "Another Yizhan is already using this data folder: stop it first, or give this one another folder."
        ) from None
    return fd


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _close_unwanted(job: Future[Blob]) -> None:
    if not job.cancelled() and job.exception() is None:
        job.result().handle.close()
