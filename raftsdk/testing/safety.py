"""What Raft promises never happens, checked step by step over a whole cluster and all its lives."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha256

from raftsdk.core.election import Role
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Committed
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PeerRequest,
    PeerResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftsdk.storage.contents import Contents
from raftsdk.types import (
    Entry,
    EntryId,
    EntryKind,
    HardState,
    LogIndex,
    Membership,
    NodeId,
    SnapshotMeta,
    Suffrage,
    Term,
    Write,
)


class SafetyViolation(AssertionError):
    """Something happened that Raft promises never happens."""


def demand(holds: bool, violation: Callable[[], str]) -> None:
    """Raise unless it holds; the text is made only when it does not."""
    if not holds:
        raise SafetyViolation(violation())


class Safety:
    """Remembers everything that was promised, by whom, and compares. Outlives every crash.

    Besides the five properties of the paper's Figure 3 it checks, of every step, what makes them hold: who leads has
    a majority of votes on disks, what a leader commits is on a majority of disks, no disk drops what it acknowledged
    to the leader of its term. A wrong step is found where it is taken, not only in the rare schedule where it harms.
    """

    def __init__(self, disks: Mapping[NodeId, Contents]) -> None:
        self.leaders: dict[Term, NodeId] = {}
        self.committed: list[Entry] = []
        self._disks = disks
        self._votes: dict[tuple[NodeId, Term], NodeId] = {}
        self._promised_term: dict[NodeId, Term] = {}
        self._acknowledged: dict[NodeId, EntryId] = {}  # by node: its disk's term, and up to where it said yes
        self._written: dict[EntryId, tuple[Entry, Term]] = {}  # every entry ever, and the term of the one before it

    # -- leading

    def leads(self, raft: Raft) -> None:
        """Election Safety and Leader Completeness; the votes are on disks, the leader's own among them."""
        first = self.leaders.setdefault(raft.term, raft.id)
        demand(first == raft.id, lambda: f"term {raft.term} has two leaders, {first} and {raft.id}")
        own = self._disks[raft.id].hard_state
        durable = (own.term, own.voted_for) == (raft.term, raft.id)
        demand(durable, lambda: f"{raft.id} leads term {raft.term} and its disk knows of no such vote")
        for_it = {
            raft.id,
            *(voter for (voter, term), whom in self._votes.items() if (term, whom) == (raft.term, raft.id)),
        }
        demand(
            _is_quorum(for_it, raft.membership), lambda: f"{raft.id} leads term {raft.term} without a majority of votes"
        )
        self._is_complete(raft, self.committed, 1)

    def _is_complete(self, leader: Raft, entries: Sequence[Entry], first: LogIndex) -> None:
        compacted = max(
            leader.log.first_index - first, 0
        )  # behind a snapshot, whose state is checked where it is taken
        held = leader.log.between(first + compacted, first + len(entries) - 1) if compacted < len(entries) else []
        demand(
            held == list(entries[compacted:]), lambda: f"{leader.id} leads and lacks a committed entry from {first} on"
        )

    # -- committing

    def commits(self, raft: Raft, known: LogIndex, others: Iterable[Raft]) -> None:
        """State Machine Safety: whoever commits an index commits the same entry, and every newer leader has it."""
        commit_index = raft.log.commit_index
        demand(commit_index >= known, lambda: f"{raft.id} went back from commit {known} to {commit_index}")
        if raft.role is Role.LEADER:
            self._is_on_a_quorum_of_disks(raft, commit_index)
        known = max(known, raft.log.first_index - 1)
        demand(known <= len(self.committed), lambda: f"{raft.id} has a snapshot of what was never committed")
        entries = raft.log.between(known + 1, commit_index)
        agreed = self.committed[known : known + len(entries)]
        demand(entries[: len(agreed)] == agreed, lambda: f"{raft.id} committed other entries after {known}")
        if len(entries) > len(agreed):
            self._commits_first(entries[len(agreed) :], others)

    def _commits_first(self, news: list[Entry], others: Iterable[Raft]) -> None:
        first = len(self.committed) + 1
        self.committed += news
        for other in others:
            if other.role is Role.LEADER and other.term > news[-1].term:
                self._is_complete(other, news, first)

    def _is_on_a_quorum_of_disks(self, leader: Raft, index: LogIndex) -> None:
        term = leader.log.term_at(index)
        demand(term == leader.term, lambda: f"{leader.id} leads {leader.term} and commits {index}@{term} by counting")
        # A disk in a later term had the entry when it said so; what it holds now is the later leader's affair.
        held_by = {
            node_id
            for node_id, disk in self._disks.items()
            if disk.hard_state.term > leader.term or disk.holds(index, term)
        }
        demand(
            _is_quorum(held_by, leader.membership),
            lambda: f"{leader.id} commits {index}@{term}, which no majority of disks holds",
        )

    def one_change_at_a_time(self, leader: Raft) -> None:
        """At most one membership is not committed (thesis §4.1)."""
        entries = leader.log.between(leader.log.commit_index + 1, leader.log.last_index)
        changes = sum(entry.kind == EntryKind.MEMBERSHIP for entry in entries)
        demand(changes <= 1, lambda: f"{leader.id} has {changes} memberships in its log that are not committed")

    def hands_out(self, node_id: NodeId, applied_index: LogIndex, committed: Committed) -> None:
        """The state machine gets every index once, in order, and what was committed."""
        first = committed.first_index
        demand(first == applied_index + 1, lambda: f"{node_id} was handed {first} after {applied_index}")
        agreed = self.committed[applied_index : applied_index + len(committed.entries)]
        demand(committed.entries == agreed, lambda: f"{node_id} applies what was not committed")

    # -- snapshots and reads

    def digest(self, index: LogIndex) -> bytes:
        """What the state after the committed entry `index` comes to."""
        digest = sha256()
        for entry in self.committed[:index]:
            digest.update(entry.term.to_bytes(8) + entry.kind.to_bytes(8) + sha256(entry.data).digest())
        return digest.digest()

    def restores(self, node_id: NodeId, applied_index: LogIndex, snapshot: SnapshotMeta) -> None:
        """A snapshot replaces a state by a later one, and by the one that everybody has or had there."""
        demand(snapshot.index >= applied_index, lambda: f"{node_id} goes back to {snapshot.index}")
        same = snapshot.index <= len(self.committed) and snapshot.digest == self.digest(snapshot.index)
        demand(same, lambda: f"{node_id} takes a snapshot of {snapshot.index} that is not what was committed")

    def reads(self, node_id: NodeId, committed_before: LogIndex, index: LogIndex) -> None:
        """A read sees everything that was committed anywhere before it was asked for (thesis §6.4)."""
        demand(index >= committed_before, lambda: f"{node_id} reads at {index}, and {committed_before} was committed")

    # -- disks and promises

    def writes(self, node_id: NodeId, write: Write, term_before: Term) -> None:
        """Log Matching: index and term say what an entry is, and of what term the one before it is."""
        acknowledged = self._acknowledged.get(node_id, EntryId(0, 0))
        in_same_term = write.hard_state is None or write.hard_state.term == acknowledged.term
        kept = write.truncate_from is None or write.truncate_from > acknowledged.index or not in_same_term
        kept = kept or (write.snapshot is not None and write.snapshot.index >= acknowledged.index)
        demand(kept, lambda: f"{node_id} drops {write.truncate_from}.., having acknowledged {acknowledged.index}")
        for index, entry in enumerate(write.entries, write.first_index):
            known = self._written.setdefault(EntryId(entry.term, index), (entry, term_before))
            if known != (entry, term_before):
                raise SafetyViolation(f"two logs have {index}@{entry.term} and differ there or just before")
            term_before = entry.term

    def promises(self, node_id: NodeId, request: PeerRequest, response: PeerResponse) -> None:
        """The disk would remember this promise, or is in a later term: then it had kept it."""
        if isinstance(request, RequestVoteRequest) and request.pre_vote:
            return
        stored, term = self._disks[node_id].hard_state, response.term
        demand(stored.term >= term, lambda: f"{node_id} promised term {term}, which its disk does not know")
        self._promised_term[node_id] = max(term, self._promised_term.get(node_id, 0))
        if isinstance(request, RequestVoteRequest):
            if isinstance(response, RequestVoteResponse) and response.vote_granted:
                self._votes_for(node_id, term, request.candidate_id, stored)
        elif stored.term == term and isinstance(request, AppendEntriesRequest):
            if isinstance(response, AppendEntriesResponse) and response.success:
                self._acknowledges(node_id, request)
        elif isinstance(response, InstallSnapshotResponse) and response.installed:
            self._has_installed(node_id, request)

    def _votes_for(self, node_id: NodeId, term: Term, candidate_id: NodeId, stored: HardState) -> None:
        first = self._votes.setdefault((node_id, term), candidate_id)
        demand(first == candidate_id, lambda: f"{node_id} voted for {first} and for {candidate_id} in term {term}")
        durable = stored.term > term or stored.voted_for == candidate_id
        demand(durable, lambda: f"{node_id} gave a vote that its disk does not know")

    def _acknowledges(self, node_id: NodeId, request: AppendEntriesRequest) -> None:
        disk, first = self._disks[node_id], request.prev_log_index
        proved = first + len(request.entries)
        compacted = max(disk.first_index - 1 - first, 0)
        held = disk.between(first + 1, proved) == request.entries[compacted:]
        held = held and (compacted > 0 or disk.term_at(first) == request.prev_log_term)
        demand(held, lambda: f"{node_id} acknowledged entries that its disk does not hold")
        before = self._acknowledged.get(node_id, EntryId(0, 0))
        self._acknowledged[node_id] = max(before, EntryId(request.term, proved))

    def _has_installed(self, node_id: NodeId, request: PeerRequest) -> None:
        assert isinstance(request, InstallSnapshotRequest)
        index, term = request.last_included_index, request.last_included_term
        held = self._disks[node_id].holds(index, term)
        demand(held, lambda: f"{node_id} says that it installed {index}@{term}, and its disk does not hold it")

    def restarts(self, node_id: NodeId, term: Term) -> None:
        """Nothing that was promised is forgotten."""
        promised = self._promised_term.get(node_id, 0)
        demand(term >= promised, lambda: f"{node_id} forgot term {promised}")


def _is_quorum(nodes: AbstractSet[NodeId], membership: Membership) -> bool:
    # Counted here and not by raftsdk.core.quorum, which is among what is checked.
    voters = frozenset(member.id for member in membership.members if member.suffrage is Suffrage.VOTER)
    halves = (voters, frozenset(membership.outgoing)) if membership.outgoing else (voters,)
    return all(2 * len(half & nodes) > len(half) for half in halves)
