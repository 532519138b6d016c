"""What a store holds, and what a write makes of it, however it is kept."""

from collections.abc import Iterable

from raftsdk.errors import StorageFailed
from raftsdk.types import Entry, EntryId, HardState, LogIndex, Recovered, SnapshotMeta, Term, Write


class Contents:
    """The hard state, the log, and which snapshot is in use. `entries[0]` has index `first_index`."""

    def __init__(
        self,
        hard_state: HardState | None = None,
        entries: Iterable[Entry] = (),
        *,
        first_index: LogIndex = 1,
        prev_term: Term = 0,
        snapshot: SnapshotMeta | None = None,
    ) -> None:
        self.hard_state = hard_state or HardState()
        self.entries = list(entries)
        self.first_index = first_index
        self.prev_term = prev_term
        self.snapshot = snapshot

    @property
    def last_index(self) -> LogIndex:
        """Of the last entry, stored or compacted away; 0 when there never was one."""
        return self.first_index + len(self.entries) - 1

    def term_at(self, index: LogIndex) -> Term:
        """The term of the entry at `index`, or of the one before the first; 0 when it is not known."""
        if index == self.first_index - 1:
            return self.prev_term
        return self.entries[index - self.first_index].term if self.first_index <= index <= self.last_index else 0

    def holds(self, index: LogIndex, term: Term) -> bool:
        """Whether that entry is here, or was compacted away behind a snapshot."""
        return index < self.first_index - 1 or self.term_at(index) == term

    def between(self, first: LogIndex, last: LogIndex) -> list[Entry]:
        """Those entries from `first` to `last` that are stored."""
        return self.entries[max(first - self.first_index, 0) : max(last + 1 - self.first_index, 0)]

    def persist(self, write: Write) -> None:
        """Apply one write, as `raftsdk.types.Write` says. Raises `StorageFailed` when it does not fit, half done."""
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.truncate_from is not None:
            self._truncate(write.truncate_from)
        if write.snapshot is not None:
            self.snapshot = write.snapshot
        if write.compacted is not None:
            self._compact(write.compacted)
        if write.entries:
            if write.first_index != self.last_index + 1:
                raise StorageFailed(f"entries from index {write.first_index} do not follow index {self.last_index}")
            self.entries += write.entries

    def recovered(self) -> Recovered:
        """What a starting node is given; the list is its own."""
        return Recovered(self.hard_state, self.first_index, self.entries.copy(), self.prev_term, self.snapshot)

    def _truncate(self, index: LogIndex) -> None:
        if index < self.first_index:
            raise StorageFailed(f"there is no index {index} to truncate from")
        del self.entries[index - self.first_index :]

    def _compact(self, last: EntryId) -> None:
        covered = self.snapshot.index if self.snapshot else 0
        if not self.first_index - 1 <= last.index <= covered:
            raise StorageFailed(
                f"a log compacted up to index {self.first_index - 1}, under a snapshot up to index {covered}, "
                f"cannot be compacted up to {last.index}"
            )
        del self.entries[: last.index + 1 - self.first_index]
        self.first_index, self.prev_term = last.index + 1, last.term
