"""What the tests of the SQLite store share: data to keep, and directories in the states a crash leaves."""

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from raftsdk.storage.directory import Directory
from raftsdk.types import (
    Entry,
    EntryId,
    HardState,
    Identity,
    LogIndex,
    Member,
    Membership,
    Recovered,
    SnapshotMeta,
    Write,
)

IDENTITY = Identity("orchard", "n1")
MEMBERS = Membership((Member("n1"), Member("n2", incarnation=7)))
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where syncs cost nothing, for tests that need many and cut no power; None where there is no such place."""

SOAK = int(os.environ.get("RAFTSDK_STORAGE_SOAK", "1"))
"""How many times more than usual the tests by chance shall do."""

NOTHING = Recovered(HardState(), 1, [])


def numbered(first_index: LogIndex, count: int, *, term: int = 1, data_bytes: int = 200) -> list[Entry]:
    """Entries that say where they belong."""
    return [Entry(term, 1, b"%d." % index * (data_bytes // 4)) for index in range(first_index, first_index + count)]


def append(first_index: LogIndex, entries: Sequence[Entry], hard_state: HardState | None = None) -> Write:
    return Write(1, hard_state, None, first_index, entries)


def after(before: Recovered, write: Write) -> Recovered:
    """What a store has to find once `write` is durable: `types.Write`'s own words, on a dict."""
    entries = dict(enumerate(before.entries, before.first_index))
    if write.truncate_from is not None:
        entries = {index: entry for index, entry in entries.items() if index < write.truncate_from}
    compacted = write.compacted or EntryId(before.prev_term, before.first_index - 1)
    entries = {index: entry for index, entry in entries.items() if index > compacted.index}
    entries |= enumerate(write.entries, write.first_index)
    return Recovered(
        write.hard_state or before.hard_state,
        compacted.index + 1,
        [entry for _, entry in sorted(entries.items())],
        prev_term=compacted.term,
        snapshot=write.snapshot or before.snapshot,
    )


def last_index(log: Recovered) -> LogIndex:
    return log.first_index + len(log.entries) - 1


def entry_id(log: Recovered, index: LogIndex) -> EntryId:
    """The entry at `index`, or the last one that was compacted away."""
    return EntryId(log.entries[index - log.first_index].term if index >= log.first_index else log.prev_term, index)


def covered_index(log: Recovered) -> LogIndex:
    """Up to where entries are in a snapshot: no write truncates them."""
    return log.snapshot.index if log.snapshot else 0


def take(directory: Directory, last: EntryId, data: bytes) -> SnapshotMeta:
    """A finished snapshot of a node's own state."""
    draft = directory.snapshots.create(last.index, last.term, MEMBERS)
    draft.write(data)
    return draft.finish()


def receive(directory: Directory, last: EntryId, data: bytes) -> SnapshotMeta:
    """A finished snapshot of another node's, which arrived in two parts."""
    meta = SnapshotMeta(last.index, last.term, MEMBERS, len(data), sha256(data).digest())
    directory.snapshots.receive(meta).write(data[: len(data) // 2])
    draft = directory.snapshots.receive(meta)
    draft.write(data[draft.offset :])
    return draft.finish()


def read(directory: Directory, meta: SnapshotMeta) -> bytes:
    """All of a snapshot."""
    with closing(directory.snapshots.open(meta)) as reader:
        return reader.read(0, meta.total_bytes)


def fill(directory: Directory, *, writes: int, batch: int = 4) -> list[Entry]:
    """Load, and write so many batches; returns the whole log."""
    log = directory.load(IDENTITY).entries
    for _ in range(writes):
        entries = numbered(len(log) + 1, batch)
        directory.write(append(len(log) + 1, entries, HardState(1, "n2", len(log))))
        log += entries
    return log


def filled(path: Path, *, writes: int, batch: int = 4) -> list[Entry]:
    """A directory that was closed in good order; returns its log."""
    directory = Directory(path)
    log = fill(directory, writes=writes, batch=batch)
    directory.close(orderly=True)
    return log


def crashed(path: Path, *, writes: int, batch: int = 4) -> list[Entry]:
    """A directory as SIGKILL leaves it, write-ahead log and all; returns its log."""
    running = path.with_name(path.name + "-running")
    directory = Directory(running)
    log = fill(directory, writes=writes, batch=batch)
    shutil.copytree(running, path)
    directory.close(orderly=True)
    return log


def load(path: Path, identity: Identity = IDENTITY) -> Recovered:
    """What a start finds; raises what it raises."""
    with closing(_Loaded(path, identity)) as loaded:
        return loaded.recovered


class _Loaded:
    def __init__(self, path: Path, identity: Identity) -> None:
        self._directory = Directory(path)
        try:
            self.recovered = self._directory.load(identity)
        except BaseException:
            self._directory.close(orderly=False)
            raise

    def close(self) -> None:
        self._directory.close(orderly=True)
