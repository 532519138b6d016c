"""A durable log in one directory, on the standard library's SQLite."""

import os
import sqlite3
from functools import partial
from pathlib import Path

from raftsdk.errors import StorageFailed, StorageRefused
from raftsdk.storage.directory import REJOIN, Directory
from raftsdk.storage.records import Damaged
from raftsdk.storage.writer import Writer
from raftsdk.types import Identity, Recovered, Write


class SqliteStorage:
    """Keeps one node's log and hard state in the directory `path`, which is made when it is not there.

    SQLite in WAL mode with `synchronous=FULL`: one sync a write. All that blocks happens on one thread of its own. What
    lies in the directory, and which losses are noticed, is told in `raftsdk.storage.directory`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._directory = Directory(self._path)
        self._writer: Writer | None = None
        self._failure: StorageFailed | None = None

    async def load(self, identity: Identity) -> Recovered:
        """Take the directory and return what is in it; see `ports.Storage`. Raises `StorageRefused`."""
        if self._writer is not None:
            raise StorageRefused(f"{self._path} is loaded already: a store is loaded once")
        self._writer = Writer(f"raftsdk-storage-{identity.node_id}")
        return await self._writer.run(partial(self._load, identity))

    async def persist(self, write: Write) -> None:
        """Make the write durable; see `ports.Storage`. Raises `StorageFailed`, and from then on always."""
        if self._writer is None:
            raise StorageFailed(f"{self._path} is not open: load it before the first write")
        await self._writer.run(partial(self._persist, write))

    async def aclose(self) -> None:
        """Finish the write in flight, if any, and let the directory go."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            await writer.run(self._close)
        finally:
            writer.stop()

    def _load(self, identity: Identity) -> Recovered:
        self._failure = None
        try:
            return self._directory.load(identity)
        except BaseException as error:
            self._directory.close(orderly=False)
            if reason := _refusal(error):
                raise StorageRefused(f"{self._path}: {reason}") from error
            raise

    def _persist(self, write: Write) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            self._directory.write(write)
        except Exception as error:
            self._failure = StorageFailed(f"{self._path} failed to make a write durable, and takes no more: {error}")
            raise self._failure from error

    def _close(self) -> None:
        self._directory.close(orderly=self._failure is None)


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
