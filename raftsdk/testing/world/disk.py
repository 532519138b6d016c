"""A disk: what is durable is there after a crash, what is under way may be or not, and a torn write is found out.

The unit is `types.Write`: all of it survives or nothing. That is what a store promises (`ports.Storage`), and how ours
keeps it when power goes is the storage suite's subject; here the algorithm has to live with either outcome.
"""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from raftsdk.storage.records import Damaged, pack_entries, seal, unpack_entries, unseal
from raftsdk.testing.safety import demand
from raftsdk.types import Entry, EntryId, HardState, LogIndex, Recovered, SnapshotMeta, Term, Write


class Fate(StrEnum):
    """What became of a write that was under way when its node ended."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"


class Disk:
    """One node's. `entries[0]` has index `first_index`."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.first_index: LogIndex = 1
        self.prev_term: Term = 0
        self.entries: list[Entry] = []
        self.snapshot: SnapshotMeta | None = None
        self.files: dict[bytes, bytes] = {}  #: Snapshots that are whole and durable, by digest.
        self.parts: dict[bytes, bytearray] = {}  #: What was received of snapshots that are not whole; lost in a crash.

    @property
    def last_index(self) -> LogIndex:
        """Of the last entry, or of the one before the first when there is none."""
        return self.first_index + len(self.entries) - 1

    def term_at(self, index: LogIndex) -> Term:
        """The term of the entry at `index`, or of the one before the first; 0 when it is not known."""
        if index == self.first_index - 1:
            return self.prev_term
        place = index - self.first_index
        return self.entries[place].term if 0 <= place < len(self.entries) else 0

    def holds(self, index: LogIndex, term: Term) -> bool:
        """Whether the entry of that index and term is here, in the log or in the snapshot."""
        if self.snapshot is not None and index <= self.snapshot.index:
            return True
        return self.term_at(index) == term

    # -- writing

    def persist(self, write: Write) -> None:
        """Apply one write, in the order that `types.Write` gives."""
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.truncate_from is not None:
            demand(write.truncate_from >= self.first_index, lambda: f"write #{write.number} drops what is gone already")
            del self.entries[write.truncate_from - self.first_index :]
        if write.snapshot is not None:
            self._use(write.snapshot)
        if write.compacted is not None:
            self._compact(write.compacted)
        if write.entries:
            demand(write.first_index == self.last_index + 1, lambda: f"write #{write.number} leaves a gap in the log")
            self.entries += write.entries

    def _use(self, snapshot: SnapshotMeta) -> None:
        demand(
            snapshot.digest in self.files, lambda: f"the store is to use snapshot {snapshot.index}, which is not here"
        )
        if self.snapshot is not None and self.snapshot.digest != snapshot.digest:
            del self.files[self.snapshot.digest]
        self.snapshot = snapshot

    def _compact(self, last: EntryId) -> None:
        covered = self.snapshot.index if self.snapshot else 0
        demand(last.index <= covered, lambda: f"the log is cut at {last.index}, and the snapshot covers {covered}")
        del self.entries[: max(last.index + 1 - self.first_index, 0)]
        self.first_index, self.prev_term = last.index + 1, last.term

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
        self.__init__()  # type: ignore[misc]  # a new disk in the old one's place

    def recovered(self) -> Recovered:
        """What a restarting node is given."""
        named = {self.snapshot.digest} if self.snapshot else set()
        self.files = {digest: data for digest, data in self.files.items() if digest in named}
        return Recovered(
            hard_state=self.hard_state,
            first_index=self.first_index,
            entries=list(self.entries),
            prev_term=self.prev_term,
            snapshot=self.snapshot,
        )


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
