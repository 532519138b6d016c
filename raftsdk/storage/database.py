"""One SQLite file: a table of records under integer keys. Everything here blocks.

Key -2 holds which snapshot is in use, key -1 the ownership, key 0 the state of the log, and key `i` > 0 the entries of
one write from index `i` on, or what a truncation or a compaction left of them. So an ordinary write is *one statement*:
SQLite's own transaction around it makes it atomic, and the interpreter's lock is given up and asked for again a few
times in all, not once a row. A busy event loop makes each of those expensive.

A compaction moves the log's beginning, and leaves the records before it to `tidy`, which removes a few at a time:
SQLite reads every page it frees, and to remove 100,000 entries at once holds up the next write for a tenth of a second.
The file never shrinks; later entries take the freed pages.

Roads not taken: a row for each entry takes 1.9 times as long at 256 entries a write, and waits for that lock as often
as there are rows (`executemany`); one INSERT that unpacks them by `json_each` waits as little as ours and takes twice
as long.
"""

import random
import sqlite3
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from raftsdk.errors import StorageFailed, StorageRefused
from raftsdk.storage.records import (
    Damaged,
    LogState,
    Ownership,
    pack_entries,
    seal,
    split_entries,
    unpack_entries,
    unseal,
)
from raftsdk.types import Entry, EntryId, HardState, LogIndex, Recovered, SnapshotMeta, Term, Write

SNAPSHOT_KEY: Final = -2
OWNERSHIP_KEY: Final = -1
STATE_KEY: Final = 0
CHECKPOINT_PAGES: Final = (350, 650)
"""After so many pages in the write-ahead log (about 2 MB), a commit also copies them into the database. Everybody waits
for that, 3 ms for 500 of them and 24 ms for 4,000; in all it takes as long, however it is divided.

Each database has a number of its own between these. With one for all, the members of a loaded cluster, which write the
same, would stand still together, instead of one while the others are a majority.
"""

MAX_IDLE_WAL_BYTES: Final = 16 * 1024 * 1024
"""What an exceptionally large write may leave of the write-ahead log's file once it has been copied."""

TIDY_BYTES: Final = 2 * 1024 * 1024
TIDY_RECORDS: Final = 1_000
"""How much `tidy` removes at once at the most: some milliseconds' work, whether records are large or many."""

_SCHEMA: Final = "CREATE TABLE records (key INTEGER PRIMARY KEY, data BLOB NOT NULL)"
_PUT_ONE: Final = "INSERT INTO records VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET data = excluded.data"
_PUT_TWO: Final = "INSERT INTO records VALUES (?, ?), (?, ?) ON CONFLICT (key) DO UPDATE SET data = excluded.data"

_SETTINGS: Final = (
    # No other process may look in, so the index of the write-ahead log needs no shared file of its own.
    ("locking_mode", "EXCLUSIVE", "exclusive"),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("fullfsync", "ON", 1),  # macOS: `fsync` alone leaves the data in the drive's cache
    ("checkpoint_fullfsync", "ON", 1),
    ("cell_size_check", "ON", 1),
    ("journal_size_limit", MAX_IDLE_WAL_BYTES, MAX_IDLE_WAL_BYTES),
)


class Database:
    """The log and state of one node. Any may raise `sqlite3.Error`; after a failed `write` only `close` is left."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        self._state = LogState(HardState(), 0)
        self.sealed_state = b""  #: The state record as it is stored: the same bytes mean that nothing came in between.

    def open(self) -> None:
        """Set and verify what durability rests on, then have SQLite check the structure of the whole file."""
        checkpoint_pages = random.randint(*CHECKPOINT_PAGES)
        for name, value, expected in (*_SETTINGS, ("wal_autocheckpoint", checkpoint_pages, checkpoint_pages)):
            self._connection.execute(f"PRAGMA {name} = {value}")
            actual = self._value(f"PRAGMA {name}")
            if actual != expected:
                raise StorageRefused(f"SQLite {sqlite3.sqlite_version} has {name} at {actual} and not {expected}")
        verdict = self._value("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise Damaged(f"its structure is damaged: {verdict}")

    def is_empty(self) -> bool:
        """Whether `create` has not happened."""
        return self._value("SELECT count(*) FROM sqlite_schema") == 0

    def create(self, ownership: Ownership) -> None:
        """Lay the tables out, all or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(_SCHEMA)
        self._connection.execute(_PUT_TWO, (OWNERSHIP_KEY, seal(ownership), STATE_KEY, seal(self._state)))
        self._connection.execute("COMMIT")

    def ownership(self) -> Ownership:
        """Whose this is. Raises `Damaged` also when this is some other SQLite database."""
        if self._value("SELECT group_concat(sql) FROM sqlite_schema") != _SCHEMA:
            raise Damaged("its tables are not the ones this software made")
        return unseal(self._record(OWNERSHIP_KEY), Ownership, "ownership")

    def take(self, ownership: Ownership) -> None:
        """Replace the ownership, durably, with the first commit of a write-ahead log that is begun anew.

        SQLite would go on behind the last whole commit. If a crash tore what follows, its remains would lie behind this
        run's commits, and a second crash that tears a write would look like rot in the middle (see `wal`).
        """
        busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        if busy:
            raise StorageRefused("the write-ahead log cannot be begun anew: another process uses the database")
        self._connection.execute(_PUT_ONE, (OWNERSHIP_KEY, seal(ownership)))

    def load(self) -> Recovered:
        """All that was written. Raises `Damaged`, naming the index, where it is not whole."""
        sealed = self._record(STATE_KEY)
        state = unseal(sealed, LogState, "term, vote and end of the log")
        assert isinstance(sealed, bytes)  # or it would not have been unsealed
        snapshot = self._load_snapshot(state)
        before = state.compacted.index
        entries: list[Entry] = []
        for first_index, packed in self._connection.execute(
            "SELECT * FROM records WHERE key > ? ORDER BY key", (before,)
        ):
            last_index = before + len(entries)
            if first_index != last_index + 1:
                raise Damaged(f"the log continues at index {first_index} after index {last_index}")
            entries += unpack_entries(packed, first_index)
        last_index = before + len(entries)
        if last_index != state.last_index:
            raise Damaged(f"the log ends at index {last_index} and should end at {state.last_index}")
        _check_terms(state.compacted, entries)
        self._state, self.sealed_state = state, sealed
        return Recovered(state.hard_state, before + 1, entries, prev_term=state.compacted.term, snapshot=snapshot)

    def write(self, write: Write) -> None:
        """Make the write durable, all of it or nothing."""
        truncate_from = write.truncate_from
        if truncate_from is not None and truncate_from > self._state.last_index:
            truncate_from = None
        if truncate_from is None and write.snapshot is None and write.compacted is None:
            self._put(write)
            return
        self._connection.execute("BEGIN IMMEDIATE")
        if truncate_from is not None:
            self._truncate(truncate_from, compacting_up_to=write.compacted.index if write.compacted else 0)
        if write.snapshot is not None:
            self._adopt(write.snapshot)
        if write.compacted is not None:
            self._compact(write.compacted)
        self._put(write)
        self._connection.execute("COMMIT")

    def tidy(self) -> bool:
        """Remove some of the records that were compacted away. Returns whether there may be more."""
        last_key, room_bytes = 0, TIDY_BYTES
        found = self._connection.execute(
            "SELECT key, length(data) FROM records WHERE key > 0 AND key <= ? ORDER BY key LIMIT ?",
            (self._state.compacted.index, TIDY_RECORDS),
        )
        for key, record_bytes in found:
            last_key, room_bytes = key, room_bytes - record_bytes
            if room_bytes <= 0:
                break
        if last_key:
            self._connection.execute("DELETE FROM records WHERE key > 0 AND key <= ?", (last_key,))
        return last_key > 0

    def close(self) -> None:
        """Copy the write-ahead log into the database and remove it, if that can be done, and let the files go."""
        self._connection.close()

    def _put(self, write: Write) -> None:
        state = self._state
        if write.hard_state is not None:
            state = replace(state, hard_state=write.hard_state)
        if not write.entries:
            self._keep(state)
            self._connection.execute(_PUT_ONE, (STATE_KEY, self.sealed_state))
            return
        # An entry in the wrong place would replace what is there, or be found as damage at the next start.
        if write.first_index != state.last_index + 1:
            raise StorageFailed(f"entries from index {write.first_index} do not follow index {state.last_index}")
        packed = pack_entries(write.first_index, write.entries)
        self._keep(replace(state, last_index=state.last_index + len(write.entries)))
        self._connection.execute(_PUT_TWO, (STATE_KEY, self.sealed_state, write.first_index, packed))

    def _keep(self, state: LogState) -> None:
        self._state, self.sealed_state = state, seal(state)

    def _truncate(self, index: LogIndex, *, compacting_up_to: LogIndex) -> None:
        if index <= self._state.compacted.index:
            raise StorageFailed(f"there is no index {index} to truncate from")
        # Where a snapshot replaces the log, the records before its end are left to `tidy`.
        self._connection.execute("DELETE FROM records WHERE key >= ?", (max(index, compacting_up_to + 1),))
        self._state = replace(self._state, last_index=index - 1)
        straddling = self._record_before(index)
        if straddling is not None:
            first_index, packed = straddling
            kept, _ = split_entries(packed, index - first_index)
            self._connection.execute(_PUT_ONE, (first_index, kept))

    def _adopt(self, snapshot: SnapshotMeta) -> None:
        if snapshot.index < self._state.snapshot_index:
            raise StorageFailed(f"a snapshot up to index {snapshot.index} is older than {self._state.snapshot_index}")
        self._connection.execute(_PUT_ONE, (SNAPSHOT_KEY, seal(snapshot)))
        self._state = replace(self._state, snapshot_index=snapshot.index)

    def _compact(self, last: EntryId) -> None:
        # What no snapshot covers is lost when it is cut, and what was cut before cannot come back.
        if not self._state.compacted.index <= last.index <= self._state.snapshot_index:
            raise StorageFailed(
                f"a log compacted up to index {self._state.compacted.index}, under a snapshot up to index "
                f"{self._state.snapshot_index}, cannot be compacted up to {last.index}"
            )
        straddling = self._record_before(last.index + 1)
        if straddling is not None and last.index < self._state.last_index:
            first_index, packed = straddling
            _, kept = split_entries(packed, last.index + 1 - first_index)
            if kept:
                self._connection.execute(_PUT_ONE, (last.index + 1, kept))
        self._state = replace(self._state, compacted=last, last_index=max(last.index, self._state.last_index))

    def _record_before(self, index: LogIndex) -> tuple[LogIndex, bytes] | None:
        """The last record of the log that begins before `index`, with the index it begins at."""
        row: tuple[LogIndex, bytes] | None = self._connection.execute(
            "SELECT * FROM records WHERE key > ? AND key < ? ORDER BY key DESC LIMIT 1",
            (self._state.compacted.index, index),
        ).fetchone()
        return row

    def _load_snapshot(self, state: LogState) -> SnapshotMeta | None:
        sealed = self._record(SNAPSHOT_KEY)
        snapshot = None if sealed is None else unseal(sealed, SnapshotMeta, "record of the snapshot")
        found = 0 if snapshot is None else snapshot.index
        if found != state.snapshot_index:
            raise Damaged(f"the record of the snapshot is of index {found} and should be of {state.snapshot_index}")
        if not state.compacted.index <= found <= state.last_index:
            raise Damaged(f"the snapshot up to index {found} does not meet the log behind {state.compacted.index}")
        return snapshot

    def _record(self, key: int) -> object:
        return self._value("SELECT data FROM records WHERE key = ?", key)

    def _value(self, query: str, *parameters: int) -> object:
        row = self._connection.execute(query, parameters).fetchone()
        return None if row is None else row[0]


def _check_terms(compacted: EntryId, entries: list[Entry]) -> None:
    highest_term: Term = compacted.term
    for index, entry in enumerate(entries, compacted.index + 1):
        if entry.term < highest_term:
            raise Damaged(f"the term goes back from {highest_term} to {entry.term} at index {index}")
        highest_term = entry.term
