"""The durable log in one directory, on the standard library's SQLite, and the snapshots in files beside it."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from raftsdk.errors import StorageFailed, StorageRefused
from raftsdk.storage.directory import REJOIN, Directory
from raftsdk.storage.records import Damaged
from raftsdk.storage.snapshots import SnapshotDraft, SnapshotReader
from raftsdk.storage.writer import Writer
from raftsdk.types import Identity, LogIndex, Membership, Recovered, SnapshotMeta, Term, Write

Result = TypeVar("Result")


class _Threads(NamedTuple):
    log: Writer
    snapshots: Writer


class SqliteStorage:
    """Keeps one node's log, hard state and snapshots in the directory `path`, which is made when it is not there.

    SQLite in WAL mode with `synchronous=FULL`: one sync a write. All that blocks happens on two threads of its own: one
    for the log, and one for snapshots, so that a write never waits for a snapshot's bytes. What lies in the directory,
    and which losses are noticed, is told in `raftsdk.storage.directory`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._directory = Directory(self._path)
        self._threads: _Threads | None = None
        self._failure: StorageFailed | None = None

    async def load(self, identity: Identity) -> Recovered:
        """Take the directory and return what is in it; see `ports.Storage`. Raises `StorageRefused`."""
        if self._threads is not None:
            raise StorageRefused(f"{self._path} is loaded already: a store is loaded once")
        self._threads = _Threads(
            log=Writer(f"raftsdk-storage-{identity.node_id}"),
            snapshots=Writer(f"raftsdk-snapshots-{identity.node_id}"),
        )
        return await self._threads.log.run(partial(self._load, identity, self._threads.log))

    async def persist(self, write: Write) -> None:
        """Make the write durable; see `ports.Storage`. Raises `StorageFailed`, and from then on always."""
        if self._threads is None:
            raise StorageFailed(f"{self._path} is not open: load it before the first write")
        await self._threads.log.run(partial(self._persist, write, self._threads))

    async def aclose(self) -> None:
        """Finish the write in flight, if any, remove unfinished snapshots, and let the directory go."""
        if self._threads is None:
            return
        threads, self._threads = self._threads, None
        threads.snapshots.stop()
        try:
            await threads.log.run(partial(self._close, threads.snapshots))
        finally:
            threads.log.stop()

    async def create_snapshot(self, index: LogIndex, term: Term, membership: Membership) -> "SqliteSnapshotSink":
        """Begin a snapshot of this node's own state; see `ports.SnapshotStore`. Raises `StorageFailed`.

        Its failures, and those of a snapshot that is received, leave the log as it is: the store goes on.
        """
        draft = await self.on_snapshots(partial(self._directory.snapshots.create, index, term, membership))
        return SqliteSnapshotSink(self, draft)

    async def receive_snapshot(self, meta: SnapshotMeta) -> "SqliteSnapshotSink":
        """Begin to receive a snapshot, or go on with this very one; see `ports.SnapshotStore`. Raises `StorageFailed`.

        What arrived is kept until another snapshot is received, the sink is aborted, or the store is closed.
        """
        draft = await self.on_snapshots(partial(self._directory.snapshots.receive, meta))
        return SqliteSnapshotSink(self, draft)

    async def open_snapshot(self, meta: SnapshotMeta) -> "SqliteSnapshotSource":
        """Open one that is finished; see `ports.SnapshotStore`. Raises `StorageFailed`."""
        reader = await self.on_snapshots(partial(self._directory.snapshots.open, meta))
        return SqliteSnapshotSource(self, reader)

    async def on_snapshots(self, work: Callable[[], Result]) -> Result:
        """Do `work` on the thread for snapshots. Raises `StorageFailed` when the store is not open."""
        if self._threads is None:
            raise StorageFailed(f"{self._path} is not open: snapshots are made and read while it is")
        return await self._threads.snapshots.run(work)

    def _load(self, identity: Identity, log: Writer) -> Recovered:
        self._failure = None
        try:
            recovered = self._directory.load(identity)
        except BaseException as error:
            self._directory.close(orderly=False)
            if reason := _refusal(error):
                raise StorageRefused(f"{self._path}: {reason}") from error
            raise
        log.begin(partial(self._tidy, log))
        return recovered

    def _persist(self, write: Write, threads: _Threads) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            self._directory.write(write)
        except Exception as error:
            raise self._fail(error) from error
        if write.snapshot is not None:
            # To remove a large file takes a while.
            threads.snapshots.begin(partial(self._directory.snapshots.remove_before, write.snapshot.index))
        if write.compacted is not None:
            threads.log.begin(partial(self._tidy, threads.log))

    def _tidy(self, log: Writer) -> None:
        """Remove a little of what was compacted away; the rest after whatever was asked for meanwhile."""
        if self._failure is not None:
            return
        try:
            if self._directory.tidy():
                log.begin(partial(self._tidy, log))
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> StorageFailed:
        self._failure = StorageFailed(f"{self._path} failed to make a write durable, and takes no more: {error}")
        return self._failure

    def _close(self, snapshots: Writer) -> None:
        snapshots.join()  # before the directory is another process's
        self._directory.close(orderly=self._failure is None)


class SqliteSnapshotSink:
    """A snapshot on its way into a `SqliteStorage`; see `ports.SnapshotSink`."""

    def __init__(self, storage: SqliteStorage, draft: SnapshotDraft) -> None:
        self._storage = storage
        self._draft = draft

    @property
    def offset(self) -> int:
        """How many bytes there are. A `write` that was cancelled may have been done all the same."""
        return self._draft.offset

    async def write(self, data: bytes) -> None:
        """Append `data`. Raises `StorageFailed`, and then nothing of the snapshot is left."""
        await self._storage.on_snapshots(partial(self._draft.write, data))

    async def finish(self) -> SnapshotMeta:
        """Make it durable and say what it is. Raises `SnapshotDamaged` or `StorageFailed`, and then nothing is left."""
        return await self._storage.on_snapshots(self._draft.finish)

    async def abort(self) -> None:
        """Remove it, unless it is finished."""
        with suppress(StorageFailed):  # a store that is closed, or about to be, removes it by itself
            await self._storage.on_snapshots(self._draft.abort)


class SqliteSnapshotSource:
    """A snapshot of a `SqliteStorage`, open for reading; see `ports.SnapshotSource`."""

    def __init__(self, storage: SqliteStorage, reader: SnapshotReader) -> None:
        self._storage = storage
        self._reader = reader

    @property
    def meta(self) -> SnapshotMeta:
        """What it is."""
        return self._reader.meta

    async def read(self, offset: int, max_bytes: int) -> bytes:
        """The bytes from `offset` on, each checked. Raises `StorageFailed` when they are not what was written."""
        return await self._storage.on_snapshots(partial(self._reader.read, offset, max_bytes))

    async def aclose(self) -> None:
        """Let the file go. Never waits: a read that nobody waits for any more may fail."""
        self._reader.close()


def _refusal(error: BaseException) -> str | None:
    match error:
        case Damaged():
            return f"{error}. {REJOIN}"
        case sqlite3.OperationalError() | OSError():
            return f"cannot be opened: {error}. Put that right and start again"
        case sqlite3.DatabaseError():
            return f"the database is damaged: {error}. {REJOIN}"
        case _:
            return None
