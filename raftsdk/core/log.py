"""The log's entries since the last snapshot, and the pointers into them.

    first_index - 1  ≤  handed_index  ≤  commit_index  ≤  last_index
                        durable_index ≤  submitted_index ≤ last_index

`commit_index ≤ durable_index` need not hold: a majority may have an entry on disk that this node's disk does not.
The entries stay in memory until a snapshot covers them: a follower that lags is served from here.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, takewhile

from raftsdk.types import Entry, EntryId, LogIndex, Term


def data_bytes(entries: Sequence[Entry]) -> int:
    """The bytes of payload in `entries`: the measure of every limit on batches and backlogs."""
    return sum([len(entry.data) for entry in entries])


class Log:
    """One node's log. Owned by `Raft`; indexes run from `first_index` to `last_index`, terms never fall."""

    def __init__(self, entries: list[Entry], commit_index: LogIndex) -> None:
        assert 0 <= commit_index <= len(entries), "the stored commit index lies beyond the stored log"
        self._entries = list(entries)  # what a store handed out stays the store's
        self.first_index: LogIndex = 1
        self.commit_index = commit_index  #: Highest index known to be committed. Never falls.
        self.handed_index: LogIndex = 0  #: Highest index given out for the state machine.
        self.durable_index = self.last_index  #: Highest index on this disk. Falls only when a suffix is truncated.
        self.submitted_index = self.last_index  #: Highest index given to the store, durable or under way.
        self._truncate_from: LogIndex | None = None  # lowest index the store must drop with the next write

    # -- reading

    @property
    def last_index(self) -> LogIndex:
        """Index of the last entry, 0 when there is none."""
        return self.first_index + len(self._entries) - 1

    @property
    def last_id(self) -> EntryId:
        """Term and index of the last entry; ids compare as paper §5.4.1 says logs do."""
        last = self.last_index
        return EntryId(self.term_at(last), last)

    def term_at(self, index: LogIndex) -> Term:
        """The term of the entry at `index`; 0 before the first. The entry must exist."""
        return self._entries[index - self.first_index].term if index >= self.first_index else 0

    def matches(self, index: LogIndex, term: Term) -> bool:
        """Whether this log has an entry of that index and term, hence the same log up to there (paper §5.3)."""
        return index <= self.last_index and self.term_at(index) == term

    def last_agreeable(self, index: LogIndex, term: Term) -> EntryId:
        """The last entry of this log at or below `index` whose term is at most `term`.

        Asked with the entry that the other log has at `index`, it skips every entry that cannot be in both: terms never
        fall, so an entry of a higher term than the other log's at `index` is in the other log nowhere below it either.

            index        1 2 3 4 5 6 7         the other log has (index 7, term 2):
            this log     1 1 1 3 3 3 3         last_agreeable(7, 2) is index 3, term 1
        """
        last = min(index, self.last_index)
        count = bisect_right(self._entries, term, 0, last - self.first_index + 1, key=lambda entry: entry.term)
        found = self.first_index + count - 1
        return EntryId(self.term_at(found), found)

    def batch(self, first: LogIndex, max_bytes: int, max_entries: int) -> list[Entry]:
        """Entries from `first` on, within both limits; at least one if there is any, so that no entry is too large."""
        start = first - self.first_index
        entries = self._entries[start : start + max_entries]
        if data_bytes(entries) <= max_bytes:
            return entries
        ends = accumulate(len(entry.data) for entry in entries)
        fitting = sum(1 for _ in takewhile(lambda end: end <= max_bytes, ends))
        return entries[: max(fitting, 1)]

    def between(self, first: LogIndex, last: LogIndex) -> list[Entry]:
        """The entries from `first` to `last`, both included."""
        return self._entries[first - self.first_index : last + 1 - self.first_index]

    # -- changing

    def append(self, entries: Sequence[Entry]) -> None:
        """Add at the end."""
        self._entries.extend(entries)

    def first_conflict(self, first: LogIndex, entries: Sequence[Entry]) -> LogIndex | None:
        """The lowest index from `first` on where this log holds another entry than `entries`, None when nowhere.

        Where the last of them agrees, all do (paper §5.3, Log Matching): the usual case costs one comparison.
        """
        overlap = entries[: max(self.last_index - first + 1, 0)]
        if not overlap or self.term_at(first + len(overlap) - 1) == overlap[-1].term:
            return None
        return next(first + i for i, entry in enumerate(overlap) if self.term_at(first + i) != entry.term)

    def truncate(self, index: LogIndex) -> None:
        """Drop the entries at `index` and above. Committed ones are never dropped."""
        assert index > self.commit_index, f"asked to truncate {index}, committed up to {self.commit_index}"
        del self._entries[index - self.first_index :]
        if index <= self.submitted_index:
            self._truncate_from = min(index, self._truncate_from or index)
        # A write under way may hold what was just dropped: once it is durable, only the part below `index` counts.
        self.submitted_index = min(self.submitted_index, index - 1)
        self.durable_index = min(self.durable_index, index - 1)

    # -- the store

    def has_unsubmitted(self) -> bool:
        """Whether the store lacks anything."""
        return self.submitted_index < self.last_index or self._truncate_from is not None

    def submit(self) -> tuple[LogIndex | None, LogIndex, list[Entry]]:
        """What the next write must contain: (truncate_from, first_index, entries)."""
        first = self.submitted_index + 1
        entries = self.between(first, self.last_index)
        truncate_from, self._truncate_from = self._truncate_from, None
        self.submitted_index = self.last_index
        return truncate_from, first, entries

    # -- the state machine

    def take_committed(self) -> list[Entry]:
        """Committed entries from `handed_index` + 1 on, each handed out once."""
        entries = self.between(self.handed_index + 1, self.commit_index)
        self.handed_index = self.commit_index
        return entries
