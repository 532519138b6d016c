"""One SQLite file: a table of records under integer keys. Everything here blocks.

Key -1 holds the ownership, key 0 the state of the log, and key `i` > 0 the entries of one write from index `i` on. So
an ordinary write is *one statement*: SQLite's own transaction around it makes it atomic, and the interpreter's lock is
given up and asked for again a few times in all, not once a row. A busy event loop makes each of those expensive.

Roads not taken: a row for each entry takes 1.9 times as long at 256 entries a write, and waits for that lock as often
as there are rows (`executemany`); one INSERT that unpacks them by `json_each` waits as little as ours and takes twice
as long.
"""

import sqlite3
from pathlib import Path
from typing import Final

from raftsdk.errors import StorageFailed, StorageRefused
from raftsdk.storage.records import (
    Damaged,
    LogState,
    Ownership,
    cut_entries,
    pack_entries,
    seal,
    unpack_entries,
    unseal,
)
from raftsdk.types import Entry, HardState, LogIndex, Recovered, Write

OWNERSHIP_KEY: Final = -1
STATE_KEY: Final = 0
CHECKPOINT_PAGES: Final = 2_000
"""After so many pages in the write-ahead log (8 MB), a commit also copies them into the database."""

MAX_IDLE_WAL_BYTES: Final = 16 * 1024 * 1024
"""What an exceptionally large write may leave of the write-ahead log's file once it has been copied."""

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
    ("wal_autocheckpoint", CHECKPOINT_PAGES, CHECKPOINT_PAGES),
    ("journal_size_limit", MAX_IDLE_WAL_BYTES, MAX_IDLE_WAL_BYTES),
)


class Database:
    """The log and state of one node. Any may raise `sqlite3.Error`; after a failed `write` only `close` is left."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        self._hard_state = HardState()
        self._last_index: LogIndex = 0

    def open(self) -> None:
        """Set and verify what durability rests on, then have SQLite check the structure of the whole file."""
        for name, value, expected in _SETTINGS:
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
        state = seal(LogState(HardState(), 0))
        self._connection.execute(_PUT_TWO, (OWNERSHIP_KEY, seal(ownership), STATE_KEY, state))
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

    def sealed_state(self) -> bytes:
        """The state record as it is stored now: the same bytes mean that nothing was written in between."""
        return seal(LogState(self._hard_state, self._last_index))

    def load(self) -> Recovered:
        """All that was written. Raises `Damaged`, naming the index, where it is not whole."""
        state = unseal(self._record(STATE_KEY), LogState, "term, vote and end of the log")
        entries: list[Entry] = []
        for first_index, packed in self._connection.execute("SELECT * FROM records WHERE key > 0 ORDER BY key"):
            if first_index != len(entries) + 1:
                raise Damaged(f"the log continues at index {first_index} after index {len(entries)}")
            entries += unpack_entries(packed, first_index)
        if len(entries) != state.last_index:
            raise Damaged(f"the log ends at index {len(entries)} and should end at {state.last_index}")
        _check_terms(entries)
        self._hard_state, self._last_index = state.hard_state, state.last_index
        return Recovered(state.hard_state, 1, entries)

    def write(self, write: Write) -> None:
        """Make the write durable, all of it or nothing."""
        if write.truncate_from is None or write.truncate_from > self._last_index:
            self._put(write)
            return
        self._connection.execute("BEGIN IMMEDIATE")
        self._truncate(write.truncate_from)
        self._put(write)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Copy the write-ahead log into the database and remove it, if that can be done, and let the files go."""
        self._connection.close()

    def _put(self, write: Write) -> None:
        if write.hard_state is not None:
            self._hard_state = write.hard_state
        if not write.entries:
            self._connection.execute(_PUT_ONE, (STATE_KEY, self.sealed_state()))
            return
        # An entry in the wrong place would replace what is there, or be found as damage at the next start.
        if write.first_index != self._last_index + 1:
            raise StorageFailed(f"entries from index {write.first_index} do not follow index {self._last_index}")
        packed = pack_entries(write.first_index, write.entries)
        self._last_index += len(write.entries)
        self._connection.execute(_PUT_TWO, (STATE_KEY, self.sealed_state(), write.first_index, packed))

    def _truncate(self, index: LogIndex) -> None:
        if index <= STATE_KEY:
            raise StorageFailed(f"there is no index {index} to truncate from")
        self._connection.execute("DELETE FROM records WHERE key >= ?", (index,))
        self._last_index = index - 1
        straddling = self._connection.execute(
            "SELECT * FROM records WHERE key > 0 AND key < ? ORDER BY key DESC LIMIT 1", (index,)
        ).fetchone()
        if straddling is not None:
            first_index, packed = straddling
            self._connection.execute(_PUT_ONE, (first_index, cut_entries(packed, index - first_index)))

    def _record(self, key: int) -> object:
        return self._value("SELECT data FROM records WHERE key = ?", key)

    def _value(self, query: str, *parameters: int) -> object:
        row = self._connection.execute(query, parameters).fetchone()
        return None if row is None else row[0]


def _check_terms(entries: list[Entry]) -> None:
    highest_term = 0
    for index, entry in enumerate(entries, 1):
        if entry.term < highest_term:
            raise Damaged(f"the term goes back from {highest_term} to {entry.term} at index {index}")
        highest_term = entry.term
