"""What must hold after every event, checked on whoever moved: the whole of Raft's safety, and what makes it hold.

All of it is computed from disks, logs and messages, nothing by the code that is checked: majorities are counted here,
memberships looked up in the logs. A wrong step is found where it is taken, not only in the rare run where it harms.
"""

from bisect import bisect_left
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from raftsdk.core.election import Role
from raftsdk.core.progress import Progress, ProgressState
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Call, Committed, ReadReady, Ready
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    Request,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
)
from raftsdk.runtime.outcomes import Outcome
from raftsdk.testing.safety import SafetyViolation, demand
from raftsdk.types import (
    Entry,
    EntryId,
    EntryKind,
    LogIndex,
    Membership,
    NodeId,
    SnapshotMeta,
    Suffrage,
    Term,
    Write,
    decode_membership,
)

if TYPE_CHECKING:
    from raftsdk.testing.world.node import Node
    from raftsdk.testing.world.world import World

HONEST_ALARMS: Final = frozenset({"disk_late", "peer_lost_log"})
"""What may be said of honest nodes with bad disks. All others accuse a peer, and here all peers are honest."""


class _Seen(Struct):
    """What was last seen of a node."""

    role: Role = Role.FOLLOWER
    term: Term = 0
    vote: NodeId | None = None
    commit_index: LogIndex = 0
    handed_index: LogIndex = 0
    applied_index: LogIndex = 0
    chain: bytes = b""  #: Rolling hash of what it has applied.
    promised_term: Term = 0
    promised_vote: tuple[Term, NodeId | None] = (0, None)
    acknowledged: EntryId = EntryId(0, 0)  #: In which term it said yes to a leader, and up to where.
    lost: EntryId = EntryId(0, 0)  #: The same, of a disk that it had and lost.
    calls: dict[NodeId, int] = {}  #: With entries, under way, by target.
    matches: dict[NodeId, tuple[Progress, LogIndex]] = {}  #: What it knew, as a leader, of each peer.


class Invariants:
    """Remembers what was promised, committed and applied, by whom, over all crashes."""

    def __init__(self, world: "World") -> None:
        self._world = world
        scenario = world.scenario
        # Abandoned calls live until their deadline, and a window is abandoned at most once in the time that a refusal
        # takes to come back.
        windows = 2 + scenario.call_timeout_us // scenario.latency_us
        self._max_calls = scenario.config.max_outstanding_calls * windows
        self.committed: list[Entry] = []
        self.memberships: list[tuple[LogIndex, Membership]] = []  #: Of committed entries, after the first one.
        self._leaders: dict[Term, NodeId] = {}
        self._committed_in: list[Term] = []  # in which term each became committed; never falls
        self._committed_terms: set[Term] = set()
        self._chain: list[bytes] = [b""]  # rolling hash of the committed log, by index
        self._outcomes: list[bytes | str] = []  # what each applied entry came to, by index - 1
        self._votes: dict[tuple[NodeId, Term], NodeId] = {}
        self._voters: dict[tuple[Term, NodeId], set[NodeId]] = {}  # who voted, by term and candidate
        self._written: dict[EntryId, tuple[Entry, Term]] = {}  # every entry ever, and the term of the one before it
        self._snapshots: dict[tuple[LogIndex, bytes], bytes] = {}  # the chain in each, by index and digest
        self._read_floors: dict[tuple[NodeId, int], LogIndex] = {}
        self._seen: dict[NodeId, _Seen] = {}

    # -- life

    def starts(self, node: "Node", raft: Raft) -> None:
        """Nothing that was promised is forgotten, and nothing durable is lost."""
        before = self._seen.get(node.id) or _Seen()
        demand(raft.term >= before.promised_term, lambda: f"{node.id} forgot term {before.promised_term}")
        kept = before.promised_vote in ((raft.term, raft.voted_for), (0, None)) or before.promised_vote[0] < raft.term
        demand(kept, lambda: f"{node.id} forgot its vote in term {raft.term}")
        durable = node.disk.hard_state.commit_index
        demand(raft.log.commit_index >= durable, lambda: f"{node.id} forgot that {durable} is committed")
        self._demand_committed(node, raft, raft.log.commit_index)
        covered = raft.log.snapshot.index if raft.log.snapshot else 0
        self._seen[node.id] = _Seen(
            raft.role,
            raft.term,
            raft.voted_for,
            raft.log.commit_index,
            covered,
            promised_term=before.promised_term,
            promised_vote=before.promised_vote,
            acknowledged=before.acknowledged,
            lost=before.lost,
            calls={},
        )
        self._demand_membership_of_log(node, raft)

    def loses_disk(self, node: "Node") -> None:
        """A fault has taken everything that the node promised."""
        before = self._seen[node.id]
        self._seen[node.id] = _Seen(lost=max(before.acknowledged, before.lost))

    # -- every step

    def observes(self, node: "Node", raft: Raft) -> None:
        """The cheap part of every check: whether something moved, and whether the pointers are in order."""
        seen, log = self._seen[node.id], raft.log
        if raft.term != seen.term or raft.role is not seen.role or raft.voted_for != seen.vote:
            self._moved(node, raft, seen)
        if log.commit_index != seen.commit_index:
            self._commits(node, raft, seen)
        covered = log.snapshot.index if log.snapshot else 0
        if not log.first_index - 1 <= covered <= log.handed_index <= log.commit_index <= log.last_index:
            raise SafetyViolation(
                f"{node.id}: compacted {log.first_index - 1}, snapshot {covered}, handed out {log.handed_index}, "
                f"committed {log.commit_index}, last {log.last_index} are out of order"
            )

    def was_asked(self, node: "Node", raft: Raft, request: Request) -> None:
        """A vote goes to a log at least as complete (paper §5.4.1); a pre-vote is a question, and moves nobody (thesis
        §9.6). To be called before `observes`.
        """
        if not isinstance(request, RequestVoteRequest):
            return
        seen = self._seen[node.id]
        if not request.pre_vote:
            voted = (raft.term, raft.voted_for) == (request.term, request.candidate_id)
            news = voted and (seen.term, seen.vote) != (raft.term, raft.voted_for)
            complete = EntryId(request.last_log_term, request.last_log_index) >= raft.log.last_id
            demand(complete or not news, lambda: f"{node.id} votes for {raft.voted_for}, whose log lacks what it has")
        else:
            unmoved = (raft.term, raft.voted_for, raft.role) == (seen.term, seen.vote, seen.role)
            demand(unmoved, lambda: f"{node.id} is moved by a pre-vote, from term {seen.term} to {raft.term}")

    def _moved(self, node: "Node", raft: Raft, seen: _Seen) -> None:
        demand(raft.term >= seen.term, lambda: f"{node.id} went back from term {seen.term} to {raft.term}")
        changed = raft.term == seen.term and seen.vote not in (None, raft.voted_for)
        demand(not changed, lambda: f"{node.id} changed its vote in term {raft.term}")
        began_to_lead = raft.role is Role.LEADER and (seen.role, seen.term) != (Role.LEADER, raft.term)
        self._count(raft, seen)
        seen.role, seen.term, seen.vote = raft.role, raft.term, raft.voted_for
        if began_to_lead:
            self._leads(node, raft)

    def _count(self, raft: Raft, seen: _Seen) -> None:
        if raft.role is Role.CANDIDATE and raft.term > seen.term:
            self._world.counters.campaigns += 1

    # -- leading

    def _leads(self, node: "Node", raft: Raft) -> None:
        """Election Safety and Leader Completeness; the votes are on disks, the leader's own among them."""
        self._world.counters.elections += 1
        first = self._leaders.setdefault(raft.term, node.id)
        demand(first == node.id, lambda: f"term {raft.term} has two leaders, {first} and {node.id}")
        own = node.disk.hard_state
        durable = (own.term, own.voted_for) == (raft.term, node.id)
        demand(durable, lambda: f"{node.id} leads term {raft.term}, and its disk knows of no such vote")
        for_it = {node.id, *self._voters.get((raft.term, node.id), ())}
        elected = _is_quorum(raft.membership, for_it)
        demand(elected, lambda: f"{node.id} leads term {raft.term} without a majority of votes")
        self._demand_complete(node.id, raft)

    def _demand_complete(self, node_id: NodeId, raft: Raft) -> None:
        """Everything that was committed in earlier terms. Who has the last of it has it all, by Log Matching.

        Not of later ones: a candidate whose own vote took long to become durable may lead a term that is over.
        """
        index = bisect_left(self._committed_in, raft.term)
        if index and index >= raft.log.first_index - 1:
            has_it = index <= raft.log.last_index and raft.log.term_at(index) == self.committed[index - 1].term
            demand(has_it, lambda: f"{node_id} leads term {raft.term} and lacks the committed entry {index}")

    # -- committing

    def _commits(self, node: "Node", raft: Raft, seen: _Seen) -> None:
        """State Machine Safety: whoever commits an index commits the same entry, and every newer leader has it."""
        commit_index, known = raft.log.commit_index, seen.commit_index
        demand(commit_index >= known, lambda: f"{node.id} went back from commit {known} to {commit_index}")
        if raft.role is Role.LEADER:
            self._demand_on_disks(node, raft, commit_index)
        seen.commit_index = commit_index
        first = max(known + 1, raft.log.first_index)
        demand(first <= len(self.committed) + 1, lambda: f"{node.id} has a snapshot of what nobody committed")
        entries = raft.log.between(first, commit_index)
        agreed = self.committed[first - 1 : first - 1 + len(entries)]
        demand(entries[: len(agreed)] == agreed, lambda: f"{node.id} committed other entries from {first} on")
        if len(entries) > len(agreed):
            self._commits_first(entries[len(agreed) :], raft.term)

    def _demand_committed(self, node: "Node", raft: Raft, commit_index: LogIndex) -> None:
        first = raft.log.first_index
        entries = raft.log.between(first, commit_index)
        agreed = self.committed[first - 1 : first - 1 + len(entries)]
        demand(entries == agreed, lambda: f"{node.id} recovers other entries than were committed")

    def _commits_first(self, news: list[Entry], term: Term) -> None:
        in_term = max(term, self._committed_in[-1] if self._committed_in else 0)
        self._committed_in += [in_term] * len(news)
        for entry in news:
            self.committed.append(entry)
            self._chain.append(_chained(self._chain[-1], entry))
            if entry.kind == EntryKind.MEMBERSHIP:
                self._members_change(decode_membership(entry.data))
        self._committed_terms.update(entry.term for entry in news)
        for other in self._world.nodes.values():
            if other.raft is not None and other.raft.role is Role.LEADER:
                self._demand_complete(other.id, other.raft)

    def _members_change(self, membership: Membership) -> None:
        counters, leader = self._world.counters, self._world.leader()
        voted = leader is not None and leader.id in self._world.membership.voters()
        counters.leaders_removed += voted and leader is not None and leader.id not in membership.voters()
        self.memberships.append((len(self.committed), membership))
        counters.membership_changes += not membership.outgoing
        counters.joint_changes += bool(membership.outgoing)

    def _demand_on_disks(self, node: "Node", raft: Raft, index: LogIndex) -> None:
        term = raft.log.term_at(index)
        demand(term == raft.term, lambda: f"{node.id} leads term {raft.term} and commits {index}@{term} by counting")
        # A disk in a later term had the entry when it said so; what it holds now is the later leader's affair.
        held_by = {
            other.id
            for other in self._world.nodes.values()
            if other.disk.hard_state.term > term or other.disk.holds(index, term) or self._lost(other.id, index, term)
        }
        on_majority = _is_quorum(raft.membership, held_by)
        demand(on_majority, lambda: f"{node.id} commits {index}@{term}, which no majority of disks holds")

    def _lost(self, node_id: NodeId, index: LogIndex, term: Term) -> bool:
        seen = self._seen.get(node_id)
        return seen is not None and seen.lost.term >= term and (seen.lost.term > term or seen.lost.index >= index)

    # -- work

    def hands_out_work(self, node: "Node", raft: Raft, ready: Ready) -> None:
        """Entries come once, in order, and are committed; memberships are those of the log; nobody is accused."""
        for alarm in ready.alarms:
            demand(alarm.name in HONEST_ALARMS, lambda: f"{node.id} raises {alarm.name}: {alarm.text}")
        seen = self._seen[node.id]
        if ready.restore is not None:
            self._world.counters.snapshots_installed += ready.restore.index > seen.handed_index
            seen.handed_index = ready.restore.index
            self._demand_membership_of_log(node, raft)
            self._demand_fitting_suffix(node, raft)
        elif ready.membership is not None:
            self._demand_membership_of_log(node, raft)
        if ready.committed is not None:
            self._hands_out(node, seen, ready.committed)
        if ready.calls:
            self._demand_windows(node, raft)

    def _demand_fitting_suffix(self, node: "Node", raft: Raft) -> None:
        """What is left of a log behind a snapshot continues it (paper §7)."""
        log = raft.log
        if log.snapshot is not None and log.last_index > log.snapshot.index >= log.first_index - 1:
            index = log.snapshot.index + 1
            written = self._written.get(EntryId(log.term_at(index), index))
            fits = written is None or written[1] == log.snapshot.term
            demand(fits, lambda: f"{node.id} keeps {index}.. behind a snapshot that they do not continue")

    def _hands_out(self, node: "Node", seen: _Seen, committed: Committed) -> None:
        first, expected = committed.first_index, seen.handed_index + 1
        demand(first == expected, lambda: f"{node.id} hands out {first}, where {expected} was due")
        agreed = self.committed[first - 1 : first - 1 + len(committed.entries)]
        demand(committed.entries == agreed, lambda: f"{node.id} hands out what was not committed, from {first} on")
        seen.handed_index += len(committed.entries)

    def _demand_windows(self, node: "Node", raft: Raft) -> None:
        window, matches = self._world.scenario.config.max_outstanding_calls, self._seen[node.id].matches
        for peer, progress in raft.progress.items():
            most = window if progress.state is ProgressState.REPLICATE else 1
            demand(0 <= progress.outstanding <= most, lambda: f"{node.id} has {progress} with {peer}")
            demand(progress.match_index < progress.next_index, lambda: f"{node.id} has {progress} with {peer}")
            before, match_index = matches.get(peer, (progress, 0))
            if before is progress and progress.match_index < match_index:
                raise SafetyViolation(f"{node.id} unlearns that {peer} has {match_index}: {progress}")
            matches[peer] = (progress, progress.match_index)

    def _demand_membership_of_log(self, node: "Node", raft: Raft) -> None:
        """Effective on append, rolled back on truncation, and kept by snapshots (paper §6)."""
        log = raft.log
        expected = log.snapshot.membership if log.snapshot else node.membership
        for entry in reversed(log.between(log.first_index, log.last_index)):
            if entry.kind == EntryKind.MEMBERSHIP:
                expected = decode_membership(entry.data)
                break
        demand(raft.membership == expected, lambda: f"{node.id} goes by other members than its log names")

    # -- disks

    def writes(self, node: "Node", write: Write) -> None:
        """Log Matching; nothing committed or acknowledged is dropped; no second change while one is pending."""
        seen, raft = self._seen[node.id], node.raft
        assert raft is not None, f"{node.id} is down"
        demand(node.writing is None, lambda: f"{node.id} has two writes under way")
        if write.truncate_from is not None:
            self._demand_droppable(node, seen, write, write.truncate_from)
            self._demand_membership_of_log(node, raft)
        if not write.entries:
            return
        term_before = raft.log.term_at(write.first_index - 1)
        for index, entry in enumerate(write.entries, write.first_index):
            known = self._written.setdefault(EntryId(entry.term, index), (entry, term_before))
            if known != (entry, term_before):
                raise SafetyViolation(f"two logs have {index}@{entry.term} and differ there or just before")
            if entry.kind == EntryKind.MEMBERSHIP:
                self._demand_timely_change(node, raft, entry)
            term_before = entry.term

    def _demand_droppable(self, node: "Node", seen: _Seen, write: Write, first: LogIndex) -> None:
        """What is truncated, and not in the same write again nor in its snapshot, was neither committed nor
        acknowledged to this leader.
        """
        if write.snapshot is not None:
            first = max(first, write.snapshot.index + 1)
        in_same_term = write.hard_state is None or write.hard_state.term == seen.acknowledged.term
        acknowledged = seen.acknowledged.index if in_same_term else 0
        written = range(write.first_index, write.first_index + len(write.entries))
        for index in range(first, node.disk.last_index + 1):
            if index not in written:
                demand(index > acknowledged, lambda: f"{node.id} drops {index}, which it acknowledged")
                entry = node.disk.entries[index - node.disk.first_index]
                committed = index <= seen.commit_index and self.committed[index - 1] == entry
                demand(not committed, lambda: f"{node.id} drops {index}, which is committed")

    def _demand_timely_change(self, node: "Node", raft: Raft, entry: Entry) -> None:
        self._demand_membership_of_log(node, raft)
        first = max(len(self.committed) + 1, raft.log.first_index)
        open_changes = [
            later for later in raft.log.between(first, raft.log.last_index) if later.kind == EntryKind.MEMBERSHIP
        ]
        demand(len(open_changes) <= 1, lambda: f"{node.id} has {len(open_changes)} changes of members uncommitted")
        if raft.role is Role.LEADER and entry.term == raft.term:
            known = raft.term in self._committed_terms
            demand(known, lambda: f"{node.id} changes members before anything of term {raft.term} is committed")

    # -- messages

    def asks(self, node: "Node", call: Call) -> None:
        """A leader sends what it may: in a term its disk knows, and with a commit index that the request proves."""
        request = call.request
        if not isinstance(request, RequestVoteRequest | ReadIndexRequest):
            known = node.disk.hard_state.term
            demand(known >= request.term, lambda: f"{node.id} speaks for term {request.term}, its disk knows {known}")
        if isinstance(request, AppendEntriesRequest):
            proved = request.prev_log_index + len(request.entries)
            demand(request.leader_commit <= proved, lambda: f"{node.id} sends a commit index beyond what it proves")
            if request.entries:
                self._calls_under_way(node, call.target, 1)

    def hears(self, node: "Node", call: Call) -> None:
        """A call has ended."""
        if isinstance(call.request, AppendEntriesRequest) and call.request.entries:
            self._calls_under_way(node, call.target, -1)

    def _calls_under_way(self, node: "Node", target: NodeId, change: int) -> None:
        calls = self._seen[node.id].calls
        calls[target] = calls.get(target, 0) + change
        demand(calls[target] <= self._max_calls, lambda: f"{node.id} has {calls[target]} calls under way to {target}")

    def promises(self, node: "Node", request: Request, response: Response, floor: LogIndex) -> None:
        """The disk would remember this promise, or is in a later term: then it had kept it.

        `floor` is what was committed when the request came.
        """
        if isinstance(response, RequestVoteResponse) and response.vote_granted:
            self._demand_admitted(node)
        if isinstance(request, RequestVoteRequest) and request.pre_vote:
            return
        seen, stored, term = self._seen[node.id], node.disk.hard_state, response.term  # type: ignore[union-attr]  # of a promise
        demand(stored.term >= term, lambda: f"{node.id} promised term {term}, which its disk does not know")
        seen.promised_term = max(seen.promised_term, term)
        match response:
            case RequestVoteResponse(vote_granted=True):
                assert isinstance(request, RequestVoteRequest)
                self._votes_for(node, seen, term, request.candidate_id)
            case AppendEntriesResponse(success=True) if stored.term == term:
                assert isinstance(request, AppendEntriesRequest)
                self._acknowledges(node, seen, request)
            case InstallSnapshotResponse(installed=True) if stored.term == term:
                assert isinstance(request, InstallSnapshotRequest)
                index = request.last_included_index
                held = node.disk.holds(index, request.last_included_term)
                demand(held, lambda: f"{node.id} says that it has snapshot {index}, and its disk does not")
                seen.acknowledged = max(seen.acknowledged, EntryId(request.term, index))
            case ReadIndexResponse(read_index=index) if index:
                demand(index >= floor, lambda: f"{node.id} names {index} for a read, and {floor} was committed")

    def _demand_admitted(self, node: "Node") -> None:
        """The last membership in its log that names it means the data that it has."""
        assert node.raft is not None, f"{node.id} is down"
        log = node.raft.log
        base = log.snapshot.membership if log.snapshot else node.membership
        changes = [
            decode_membership(entry.data)
            for entry in log.between(log.first_index, log.last_index)
            if entry.kind == EntryKind.MEMBERSHIP
        ]
        named = [member for membership in (base, *changes) if (member := membership.member(node.id)) is not None]
        counted_on = named[-1].incarnation == node.incarnation if named else node.incarnation == 0
        demand(counted_on, lambda: f"{node.id} votes, and its data is not what the members count on")

    def _votes_for(self, node: "Node", seen: _Seen, term: Term, candidate_id: NodeId) -> None:
        first = self._votes.setdefault((node.id, term), candidate_id)
        demand(first == candidate_id, lambda: f"{node.id} voted for {first} and for {candidate_id} in term {term}")
        stored = node.disk.hard_state
        durable = stored.term > term or stored.voted_for == candidate_id
        demand(durable, lambda: f"{node.id} gave a vote that its disk does not know")
        seen.promised_vote = max(seen.promised_vote, (term, candidate_id), key=lambda vote: vote[0])
        self._voters.setdefault((term, candidate_id), set()).add(node.id)

    def _acknowledges(self, node: "Node", seen: _Seen, request: AppendEntriesRequest) -> None:
        disk, first = node.disk, request.prev_log_index + 1
        proved = request.prev_log_index + len(request.entries)
        covered = max(disk.first_index - first, 0)
        start = first + covered - disk.first_index
        on_disk = disk.entries[start : start + max(len(request.entries) - covered, 0)]
        held = on_disk == request.entries[covered:] and (covered or disk.holds(first - 1, request.prev_log_term))
        demand(bool(held), lambda: f"{node.id} acknowledged entries up to {proved} that its disk does not hold")
        seen.acknowledged = max(seen.acknowledged, EntryId(request.term, proved))

    # -- reads

    def begins_read(self, node: "Node", token: int) -> None:
        """A linearizable read must see everything that is committed by now."""
        self._read_floors[node.id, token] = len(self.committed)

    def ends_read(self, node: "Node", read: ReadReady) -> None:
        """It does, once everything up to this index is applied."""
        floor = self._read_floors.pop((node.id, read.token))
        demand(
            read.index >= floor, lambda: f"{node.id} serves a read at {read.index}, and {floor} was committed before"
        )

    # -- the state

    def applies(self, node: "Node", work: Committed, outcomes: list[Outcome]) -> None:
        """The same entries in the same order come to the same everywhere, whichever snapshots lie between."""
        seen, first = self._seen[node.id], work.first_index
        demand(first == seen.applied_index + 1, lambda: f"{node.id} applies {first} after {seen.applied_index}")
        for index, (entry, outcome) in enumerate(zip(work.entries, outcomes, strict=True), first):
            seen.chain = _chained(seen.chain, entry)
            comes_to = outcome if isinstance(outcome, bytes) else str(outcome)
            if index > len(self._outcomes):
                self._outcomes.append(comes_to)
                self._world.oracle.applies(index, entry)
            elif self._outcomes[index - 1] != comes_to:
                raise SafetyViolation(
                    f"{node.id}: entry {index} comes to {comes_to!r}, and elsewhere to another outcome"
                )
        seen.applied_index = last = first + len(outcomes) - 1
        demand(seen.chain == self._chain[last], lambda: f"{node.id} has applied another history than was committed")

    def takes_snapshot(self, node: "Node", meta: SnapshotMeta) -> None:
        """It says truly what it is of."""
        index = meta.index
        demand(self.committed[index - 1].term == meta.term, lambda: f"{node.id} takes a snapshot of a wrong term")
        expected = self.membership_at(index)
        demand(meta.membership == expected, lambda: f"{node.id} takes a snapshot with other members than at {index}")
        self._snapshots[index, meta.digest] = self._chain[index]

    def restores(self, node: "Node", meta: SnapshotMeta) -> None:
        """What it is of, the state is of now."""
        seen, index = self._seen[node.id], meta.index
        chain = self._snapshots.get((index, meta.digest))
        demand(chain is not None, lambda: f"{node.id} restores a snapshot of {index} that nobody took")
        demand(index >= seen.applied_index, lambda: f"{node.id} goes back from {seen.applied_index} to {index}")
        seen.applied_index, seen.chain = index, chain or b""

    def has_open_change(self) -> bool:
        """Whether any disk holds a membership that is not committed, or not yet."""
        return any(
            entry.kind == EntryKind.MEMBERSHIP and self.committed[index - 1 : index] != [entry]
            for node in self._world.nodes.values()
            for index, entry in enumerate(node.disk.entries, node.disk.first_index)
        )

    def membership_at(self, index: LogIndex) -> Membership:
        """Who the members are by the committed log."""
        found = [membership for start, membership in self.memberships if start <= index]
        return found[-1] if found else self._world.founders


def _is_quorum(membership: Membership, nodes: set[NodeId]) -> bool:
    """A majority of the voters, and of the outgoing ones: counted here and not by what is checked."""
    voters = {member.id for member in membership.members if member.suffrage is Suffrage.VOTER}
    outgoing = set(membership.outgoing)
    return 2 * len(voters & nodes) > len(voters) and (not outgoing or 2 * len(outgoing & nodes) > len(outgoing))


def _chained(chain: bytes, entry: Entry) -> bytes:
    return blake2b(b"%b %d %d %b" % (chain, entry.term, entry.kind, entry.data), digest_size=12).digest()
