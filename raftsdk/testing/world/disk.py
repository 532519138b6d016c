"""A disk: what is durable is there after a crash, what is under way may be or not, and a torn write is found out.

What is on it is what our own store puts there: `storage.database`, on SQLite's memory in place of a file. Beside it
stands what it must come to, and at every start the two are compared: so truncations, compactions and snapshots in use
are tried in whatever order the algorithm brings them about. The unit is `types.Write`: all of it survives or nothing.
How SQLite keeps that promise when power goes is for the storage tests; here the algorithm lives with either outcome.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from raftsdk.storage.contents import Contents
from raftsdk.storage.database import Database
from raftsdk.storage.records import FORMAT, Damaged, Ownership, pack_entries, seal, unpack_entries, unseal
from raftsdk.testing.safety import demand
from raftsdk.types import Entry, HardState, LogIndex, Recovered, Write


class Fate(StrEnum):
    """What became of a write that was under way when its node ended."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"


class Disk(Contents):
    """One node's."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[bytes, bytes] = {}  #: Snapshots that are whole and durable, by digest.
        self.parts: dict[bytes, bytearray] = {}  #: What was received of snapshots that are not whole; lost in a crash.
        self._database = Database(Path(":memory:"))
        self._database.create(Ownership(FORMAT, "world", "node", 1))

    def persist(self, write: Write) -> None:
        """Apply one write."""
        snapshot, before = write.snapshot, self.snapshot
        if snapshot is not None:
            demand(snapshot.digest in self.files, lambda: f"snapshot {snapshot.index} is to be used, and is not here")
            if before is not None and before.digest != snapshot.digest:
                del self.files[before.digest]
        super().persist(write)
        self._database.write(write)
        if write.compacted is not None:
            self._database.tidy()

    # -- crashing

    def crash(self, under_way: Write | None, fate: Fate, tear: float) -> None:
        """What a write comes to whose node ended during it; `tear` says where it is torn, from 0 to 1."""
        self.parts.clear()
        if under_way is None:
            return
        if fate is Fate.KEPT:
            self.persist(under_way)
        elif fate is Fate.TORN:
            _demand_that_it_is_found_out(under_way, tear)

    def wipe(self) -> None:
        """Everything is gone."""
        self.close()
        self.__init__()  # type: ignore[misc]  # a new disk in the old one's place

    def recovered(self) -> Recovered:
        """What a restarting node is given: what the store finds."""
        in_use = {self.snapshot.digest} if self.snapshot else set()
        self.files = {digest: data for digest, data in self.files.items() if digest in in_use}
        found = self._database.load()
        demand(found == super().recovered(), lambda: "the store does not find what was written to it")
        return found

    def close(self) -> None:
        """Let the database go; the rest can still be looked at."""
        self._database.close()


class _Header(Struct, frozen=True):
    """In front of a write's entries, so that its end is known."""

    hard_state: HardState | None
    first_index: LogIndex
    count: int


def _demand_that_it_is_found_out(write: Write, tear: float) -> None:
    """A part of a write's bytes is never taken for a whole one: the checksums of `storage.records` tell."""
    header = seal(_Header(write.hard_state, write.first_index, len(write.entries)))
    image = header + pack_entries(write.first_index, write.entries)
    torn = image[: int(len(image) * tear)]
    try:
        read = unseal(torn[: len(header)], _Header, "write")
        found: Sequence[Entry] = unpack_entries(torn[len(header) :], read.first_index)
    except Damaged:
        return
    demand(len(found) < read.count, lambda: f"write #{write.number} was torn at {tear:.2f}, and nobody can tell")
