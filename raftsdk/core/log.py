"""The log's entries since the last compaction, the pointers into them, and the memberships they bring.

    first_index - 1  ≤  snapshot  ≤  handed_index  ≤  commit_index  ≤  last_index
                                     durable_index ≤  submitted_index ≤ last_index

`commit_index ≤ durable_index` need not hold: a majority may have an entry on disk that this node's disk does not.
Entries stay in memory until a snapshot covers them, and some of them longer: a follower that lags is served from here.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import Final

from msgspec import Struct

from raftsdk.types import (
    Entry,
    EntryId,
    EntryKind,
    LogIndex,
    Membership,
    NodeId,
    Recovered,
    SnapshotMeta,
    Term,
    decode_membership,
)

_MEMBERSHIP: Final = EntryKind.MEMBERSHIP


def data_bytes(entries: Sequence[Entry]) -> int:
    """The bytes of payload in `entries`: the measure of every limit on batches and backlogs."""
    return sum([len(entry.data) for entry in entries])


class Unsubmitted(Struct, frozen=True, gc=False):
    """What the store lacks of the log, in the terms of `types.Write`."""

    truncate_from: LogIndex | None
    first_index: LogIndex
    entries: list[Entry]
    snapshot: SnapshotMeta | None
    compacted: EntryId | None


class Log:
    """One node's log. Owned by `Raft`; indexes run from `first_index` to `last_index`, terms never fall.

    `membership` is who the members are before any entry says so.
    """

    def __init__(self, recovered: Recovered, membership: Membership) -> None:
        self._entries = list(recovered.entries)  # what a store handed out stays the store's
        self.first_index: LogIndex = recovered.first_index
        self.snapshot = recovered.snapshot  #: Of this node's own state; every compacted entry is in it.
        self._prev_term = recovered.prev_term  # of the entry before the first
        covered = recovered.snapshot.index if recovered.snapshot else 0
        #: Highest index known to be committed. Never falls.
        self.commit_index = max(recovered.hard_state.commit_index, covered)
        assert self.first_index - 1 <= covered <= self.last_index, "the stored snapshot does not meet the stored log"
        assert self.commit_index <= self.last_index, "the stored commit index lies beyond the stored log"
        self.handed_index: LogIndex = covered  #: Highest index given out for the state machine.
        self.durable_index = self.last_index  #: Highest index on this disk. Falls only when a suffix is truncated.
        self.submitted_index = self.last_index  #: Highest index given to the store, durable or under way.
        self._truncate_from: LogIndex | None = None  # lowest index the store must drop with the next write
        self._new_snapshot: SnapshotMeta | None = None  # to be the store's with the next write
        self._compacted: EntryId | None = None  # up to which the store must drop with the next write
        # The one in effect at first, then those of entries; the last is in effect (paper §6: as soon as appended).
        base = recovered.snapshot.membership if recovered.snapshot else membership
        self._memberships: list[tuple[LogIndex, Membership]] = [(covered, base)]
        self._note_memberships(self.first_index, self._entries, beyond=covered)
        self._halves_of, self._halves = base, base.halves()  # asked for at every commit

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
        """The term of the entry at `index`, which must be there, or the one before the first."""
        if index >= self.first_index:
            return self._entries[index - self.first_index].term
        assert index == self.first_index - 1, f"entry {index} was compacted away"
        return self._prev_term

    def matches(self, index: LogIndex, term: Term) -> bool:
        """Whether this log has an entry of that index and term, hence the same log up to there (paper §5.3).

        What was compacted away is not compared: it is committed, so whoever is right has the same.
        """
        return index < self.first_index - 1 or (index <= self.last_index and self.term_at(index) == term)

    def last_agreeable(self, index: LogIndex, term: Term) -> EntryId:
        """The last entry of this log at or below `index` whose term is at most `term`.

        Asked with the entry that the other log has at `index`, it skips every entry that cannot be in both: terms never
        fall, so an entry of a higher term than the other log's at `index` is in the other log nowhere below it either.

            index        1 2 3 4 5 6 7         the other log has (index 7, term 2):
            this log     1 1 1 3 3 3 3         last_agreeable(7, 2) is index 3, term 1

        Where that lies before what is left of this log, the answer has the term 0: only a snapshot helps.
        """
        last = min(index, self.last_index)
        before = self.first_index - 1
        if last < before or (last == before and self._prev_term > term):
            return EntryId(0, min(last, max(before - 1, 0)))
        count = bisect_right(self._entries, term, 0, last - self.first_index + 1, key=lambda entry: entry.term)
        found = before + count
        if count == 0 and self._prev_term > term:
            return EntryId(0, max(before - 1, 0))
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
        self._note_memberships(self.last_index + 1, entries)
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
        while self._memberships[-1][0] >= index:
            self._memberships.pop()  # whoever was added or removed there never was (paper §6)
        if index <= self.submitted_index:
            self._truncate_from = min(index, self._truncate_from or index)
        # A write under way may hold what was just dropped: once it is durable, only the part below `index` counts.
        self.submitted_index = min(self.submitted_index, index - 1)
        self.durable_index = min(self.durable_index, index - 1)

    # -- snapshots

    def compact(self, snapshot: SnapshotMeta, trailing_entries: int) -> None:
        """Replace what `snapshot` covers by it, but for the last `trailing_entries`."""
        assert snapshot.index <= self.handed_index, "a snapshot of what was not applied"
        self.snapshot = self._new_snapshot = snapshot
        last = snapshot.index - trailing_entries
        if last >= self.first_index:
            self._drop_up_to(EntryId(self.term_at(last), last))

    def install(self, snapshot: SnapshotMeta) -> None:
        """Take a snapshot that covers more than is committed here (paper §7, Figure 13).

        Where this log agrees with it, the entries behind it stay: they may have been acknowledged.
        """
        assert snapshot.index > self.commit_index, "a snapshot of what is committed here already"
        agrees = self.last_index >= snapshot.index and self.term_at(snapshot.index) == snapshot.term
        if agrees:
            self._drop_up_to(snapshot.last_id)
        else:
            self._replace(snapshot)
        later = [pair for pair in self._memberships if pair[0] > snapshot.index]
        self._memberships = [(snapshot.index, snapshot.membership), *later]
        self.snapshot = self._new_snapshot = snapshot
        self.commit_index = self.handed_index = snapshot.index

    def _drop_up_to(self, last: EntryId) -> None:
        del self._entries[: last.index + 1 - self.first_index]
        self.first_index, self._prev_term = last.index + 1, last.term
        self._compacted = last
        while len(self._memberships) > 1 and self._memberships[1][0] <= last.index:
            del self._memberships[0]

    def _replace(self, snapshot: SnapshotMeta) -> None:
        if self.submitted_index >= self.first_index:
            self._truncate_from = self.first_index
        self._entries = []
        self._memberships = []
        self.first_index, self._prev_term = snapshot.index + 1, snapshot.term
        self._compacted = snapshot.last_id
        # Nothing of this log is on disk, whatever a write under way may hold: not before the next one is durable.
        self.submitted_index = self.durable_index = 0

    # -- memberships

    @property
    def membership(self) -> Membership:
        """Who the members are, as of the last entry."""
        return self._memberships[-1][1]

    @property
    def halves(self) -> tuple[frozenset[NodeId], ...]:
        """Whose majorities decide, as of the last entry (`Membership.halves`)."""
        if self._halves_of is not self.membership:
            self._halves_of, self._halves = self.membership, self.membership.halves()
        return self._halves

    @property
    def membership_index(self) -> LogIndex:
        """Of the entry, or the snapshot, that says so; 0: what the node was started with."""
        return self._memberships[-1][0]

    def membership_is_open(self) -> bool:
        """Whether the membership in effect may yet be rolled back."""
        return self.membership_index > self.commit_index

    def open_memberships(self) -> list[Membership]:
        """The membership in effect, behind the one that it would be rolled back to."""
        return self.memberships()[-2:] if self.membership_is_open() else [self.membership]

    def open_incarnations(self, node_id: NodeId) -> list[int | None]:
        """With which data each of `open_memberships` means a node; None: it does not count, or with data unknown.

        Who only counts in an outgoing half is named there by its id alone, and is meant as it was a member before.
        """
        found: list[int | None] = []
        for membership in self.memberships():
            member, before = membership.member(node_id), found[-1] if found else None
            found.append(member.incarnation if member else before if node_id in membership.outgoing else None)
        return found[-len(self.open_memberships()) :]

    def membership_at(self, index: LogIndex) -> Membership:
        """Who the members are as of the entry at `index`, which was not compacted away."""
        return next(membership for start, membership in reversed(self._memberships) if start <= index)

    def memberships(self) -> list[Membership]:
        """All that this log knows of, oldest first: the last is in effect, the others are where nodes used to be."""
        return [membership for _, membership in self._memberships]

    def _note_memberships(self, first: LogIndex, entries: Sequence[Entry], beyond: LogIndex = 0) -> None:
        if _MEMBERSHIP not in [entry.kind for entry in entries]:  # nearly always, and for every entry there is
            return
        for index, entry in enumerate(entries, first):
            if entry.kind == _MEMBERSHIP and index > beyond:
                self._memberships.append((index, decode_membership(entry.data)))

    # -- the store

    def has_unsubmitted(self) -> bool:
        """Whether the store lacks anything."""
        return (
            self.submitted_index < self.last_index or self._truncate_from is not None or self._new_snapshot is not None
        )

    def submit(self) -> Unsubmitted:
        """What the next write must contain."""
        first = max(self.submitted_index + 1, self.first_index)
        lacking = Unsubmitted(
            self._truncate_from, first, self.between(first, self.last_index), self._new_snapshot, self._compacted
        )
        self._truncate_from = self._new_snapshot = self._compacted = None
        self.submitted_index = self.last_index
        return lacking

    # -- the state machine

    def take_committed(self) -> list[Entry]:
        """Committed entries from `handed_index` + 1 on, each handed out once."""
        entries = self.between(self.handed_index + 1, self.commit_index)
        self.handed_index = self.commit_index
        return entries
