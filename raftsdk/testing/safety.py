"""What Raft promises never happens, checked step by step over a whole cluster and all its lives."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from raftsdk.core.election import Role
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Committed
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    PeerRequest,
    PeerResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftsdk.types import (
    Entry,
    EntryId,
    HardState,
    LogIndex,
    Membership,
    NodeId,
    Recovered,
    Term,
    Write,
)


class SafetyViolation(AssertionError):
    """Something happened that Raft promises never happens."""


def demand(holds: bool, violation: Callable[[], str]) -> None:
    """Raise unless it holds; the text is made only when it does not."""
    if not holds:
        raise SafetyViolation(violation())


class Disk:
    """What one node would find after a crash: exactly the writes that were persisted."""

    def __init__(self, hard_state: HardState | None = None, entries: Iterable[Entry] = ()) -> None:
        self.hard_state = hard_state or HardState()
        self.entries = list(entries)

    def term_at(self, index: LogIndex) -> Term:
        """The term of the stored entry at `index`, 0 when there is none."""
        return self.entries[index - 1].term if 0 < index <= len(self.entries) else 0

    def persist(self, write: Write) -> None:
        """Apply one write, as `raftsdk.types.Write` says."""
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.truncate_from is not None:
            del self.entries[write.truncate_from - 1 :]
        if write.entries:
            demand(write.first_index == len(self.entries) + 1, lambda: f"write #{write.number} leaves a gap")
            self.entries += write.entries

    def recovered(self) -> Recovered:
        """What a restarting node is given."""
        return Recovered(hard_state=self.hard_state, first_index=1, entries=list(self.entries))


class Safety:
    """Remembers everything that was promised, by whom, and compares. Outlives every crash.

    Besides the five properties of the paper's Figure 3 it checks, of every step, what makes them hold: who leads has
    a majority of votes on disks, what a leader commits is on a majority of disks, no disk drops what it acknowledged
    to the leader of its term. A wrong step is found where it is taken, not only in the rare schedule where it harms.
    """

    def __init__(self, membership: Membership, disks: Mapping[NodeId, Disk]) -> None:
        self.leaders: dict[Term, NodeId] = {}
        self.committed: list[Entry] = []
        self._halves = membership.halves()
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
        demand(self._is_quorum(for_it), lambda: f"{raft.id} leads term {raft.term} without a majority of votes")
        self._is_complete(raft, self.committed, 1)

    def _is_complete(self, leader: Raft, entries: Sequence[Entry], first: LogIndex) -> None:
        held = leader.log.between(first, first + len(entries) - 1)
        demand(held == list(entries), lambda: f"{leader.id} leads and lacks a committed entry from {first} on")

    def _is_quorum(self, nodes: AbstractSet[NodeId]) -> bool:
        # Counted here and not by raftsdk.core.quorum, which is among what is checked.
        return all(2 * len(half & nodes) > len(half) for half in self._halves)

    # -- committing

    def commits(self, raft: Raft, known: LogIndex, others: Iterable[Raft]) -> None:
        """State Machine Safety: whoever commits an index commits the same entry, and every newer leader has it."""
        commit_index = raft.log.commit_index
        demand(commit_index >= known, lambda: f"{raft.id} went back from commit {known} to {commit_index}")
        if raft.role is Role.LEADER:
            self._is_on_a_quorum_of_disks(raft, commit_index)
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
            if disk.hard_state.term > leader.term or disk.term_at(index) == term
        }
        demand(
            self._is_quorum(held_by), lambda: f"{leader.id} commits {index}@{term}, which no majority of disks holds"
        )

    def hands_out(self, node_id: NodeId, applied_index: LogIndex, committed: Committed) -> None:
        """The state machine gets every index once, in order, and what was committed."""
        first = committed.first_index
        demand(first == applied_index + 1, lambda: f"{node_id} was handed {first} after {applied_index}")
        agreed = self.committed[applied_index : applied_index + len(committed.entries)]
        demand(committed.entries == agreed, lambda: f"{node_id} applies what was not committed")

    # -- disks and promises

    def writes(self, node_id: NodeId, write: Write, term_before: Term) -> None:
        """Log Matching: index and term say what an entry is, and of what term the one before it is."""
        acknowledged = self._acknowledged.get(node_id, EntryId(0, 0))
        in_same_term = write.hard_state is None or write.hard_state.term == acknowledged.term
        kept = write.truncate_from is None or write.truncate_from > acknowledged.index or not in_same_term
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
        elif isinstance(response, AppendEntriesResponse) and response.success and stored.term == term:
            self._acknowledges(node_id, request)

    def _votes_for(self, node_id: NodeId, term: Term, candidate_id: NodeId, stored: HardState) -> None:
        first = self._votes.setdefault((node_id, term), candidate_id)
        demand(first == candidate_id, lambda: f"{node_id} voted for {first} and for {candidate_id} in term {term}")
        durable = stored.term > term or stored.voted_for == candidate_id
        demand(durable, lambda: f"{node_id} gave a vote that its disk does not know")

    def _acknowledges(self, node_id: NodeId, request: AppendEntriesRequest) -> None:
        disk, first = self._disks[node_id], request.prev_log_index
        proved = first + len(request.entries)
        held = disk.term_at(first) == request.prev_log_term and disk.entries[first:proved] == request.entries
        demand(held, lambda: f"{node_id} acknowledged entries that its disk does not hold")
        before = self._acknowledged.get(node_id, EntryId(0, 0))
        self._acknowledged[node_id] = max(before, EntryId(request.term, proved))

    def restarts(self, node_id: NodeId, term: Term) -> None:
        """Nothing that was promised is forgotten."""
        promised = self._promised_term.get(node_id, 0)
        demand(term >= promised, lambda: f"{node_id} forgot term {promised}")
