"""The node as the algorithm sees it: `step` takes one fact, `ready` hands out all the work that follows from the facts.

Role transitions and the dispatch of events live here; what a role does lives in `election` and `replication`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raftsdk.config import RaftConfig
from raftsdk.core import election, replication
from raftsdk.core.election import Role
from raftsdk.core.events import Answered, CallFailed, Event, Persisted, Propose, Received, Tick
from raftsdk.core.log import Log, data_bytes
from raftsdk.core.progress import Progress
from raftsdk.core.quorum import has_quorum
from raftsdk.core.ready import Accepted, Alarm, Call, Committed, ProposalRefused, Ready, Respond
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    PeerResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftsdk.types import Entry, EntryKind, HardState, LogIndex, Membership, NodeId, Recovered, Term, Write

if TYPE_CHECKING:
    from random import Random

MAX_TERM_JUMP = 2**32
"""A term this far ahead is no election's doing. Taking it would let one broken peer use up all terms there are."""


class Raft:
    """One member of one group.

    `rng` is the only chance there is, `Tick` the only time. Between two calls of `ready` any number of facts may be
    stepped: the work they cause is handed out together, so that a batch of proposals is one write and one call.

    >>> import random
    >>> from raftsdk.types import Member
    >>> recovered = Recovered(hard_state=HardState(), first_index=1, entries=[])
    >>> raft = Raft("n1", Membership((Member("n1"),)), recovered, RaftConfig(), random.Random(1))
    >>> for _ in range(40):
    ...     raft.step(Tick())
    >>> write = raft.ready().write        # a single voter still waits for its own vote to be durable
    >>> raft.step(Persisted(write.number))
    >>> raft.role.value, raft.term
    ('leader', 1)
    """

    def __init__(
        self, node_id: NodeId, membership: Membership, recovered: Recovered, config: RaftConfig, rng: "Random"
    ) -> None:
        self.id = node_id
        self.config = config
        self.membership = membership
        self.term: Term = recovered.hard_state.term
        self.voted_for: NodeId | None = recovered.hard_state.voted_for
        assert recovered.first_index == 1, "the stored log begins behind a snapshot, and there are none yet"
        self.log = Log(recovered.entries, recovered.hard_state.commit_index)
        assert self.log.last_id.term <= self.term, "the stored log is of a later term than the stored term"
        self.role = Role.FOLLOWER
        self.leader_id: NodeId | None = None
        self.votes: dict[NodeId, bool] = {}  #: While campaigning: who has answered what.
        self.progress: dict[NodeId, Progress] = {}  #: While leading: one for each peer.
        self.uncommitted_bytes = 0  #: While leading: payload in the log and not yet committed.
        self.election_elapsed = 0  #: Ticks since a leader was heard from (a leader: since its last quorum check).
        self._heartbeat_elapsed = 0
        self._rng = rng
        self._election_timeout = 0
        self._ready = Ready()
        self._hard_state_changed = False
        self._term_write = 0  # the write that makes term and vote durable
        self._write_in_flight = 0  # 0: none
        self._next_write = 1
        self.restart_election_timer()

    # -- facts in

    def step(self, event: Event) -> None:
        """Take one fact. Changes memory alone; what follows from it is in the next `ready`."""
        _STEPS[type(event)](self, event)

    def _tick(self, _event: Tick) -> None:
        self.election_elapsed += 1
        if self.role is Role.LEADER:
            self._tick_leader()
        elif self.election_elapsed >= self._election_timeout:
            election.campaign(self)

    def _tick_leader(self) -> None:
        if self.election_elapsed >= self.config.election_timeout_ticks:
            self.election_elapsed = 0
            if self.config.check_quorum and not self._hears_quorum():
                self.become_follower(self.term, leader_id=None)
                return
        self._heartbeat_elapsed += 1
        if self._heartbeat_elapsed >= self.config.heartbeat_interval_ticks:
            self._heartbeat_elapsed = 0
            replication.send_heartbeats(self)

    def _hears_quorum(self) -> bool:
        """Whether a quorum answered since the last check: a leader nobody answers must stop (thesis §6.2)."""
        heard = {self.id, *(peer for peer, progress in self.progress.items() if progress.recently_active)}
        for progress in self.progress.values():
            progress.recently_active = False
        return has_quorum(self.membership.halves(), heard)

    def _propose(self, event: Propose) -> None:
        if self.role is not Role.LEADER:
            self._ready.refused.append(ProposalRefused(event.token, overloaded=False))
            return
        entries = [Entry(self.term, EntryKind.COMMAND, command) for command in event.commands]
        size = data_bytes(entries)
        if self.uncommitted_bytes and self.uncommitted_bytes + size > self.config.max_uncommitted_bytes:
            self._ready.refused.append(ProposalRefused(event.token, overloaded=True))
            return
        self._ready.accepted.append(Accepted(event.token, self.log.last_index + 1, self.term))
        self.log.append(entries)
        self.uncommitted_bytes += size

    def _received(self, event: Received) -> None:
        request = event.request
        sender = request.leader_id if isinstance(request, AppendEntriesRequest) else request.candidate_id
        if request.term - self.term > MAX_TERM_JUMP:
            self.alarm("term_jump", f"refused term {request.term}: ours is {self.term}, no election explains that")
            self._refuse_unmoved(event)
        elif sender == self.id:
            self.alarm("own_id", f"a peer calls itself {sender}, which is this node's id: ids are never shared")
            self._refuse_unmoved(event)
        elif isinstance(request, AppendEntriesRequest):
            replication.handle_request(self, event, request)
        else:
            election.handle_request(self, event, request)

    def _refuse_unmoved(self, event: Received) -> None:
        if isinstance(event.request, RequestVoteRequest):
            self.respond(event.token, RequestVoteResponse(term=self.term, vote_granted=False))
        else:
            self.respond(event.token, AppendEntriesResponse(term=self.term, success=False))

    def _answered(self, event: Answered) -> None:
        request, response = event.call.request, event.response
        granted_pre_vote = isinstance(response, RequestVoteResponse) and response.vote_granted
        if response.term > self.term and not granted_pre_vote:
            self._hear_of_term(event.call, response.term)
        elif isinstance(request, RequestVoteRequest) and isinstance(response, RequestVoteResponse):
            election.handle_answer(self, event, request, response)
        elif isinstance(request, AppendEntriesRequest) and isinstance(response, AppendEntriesResponse):
            replication.handle_answer(self, event, request, response)
        else:
            self._call_failed(CallFailed(event.call))

    def _hear_of_term(self, call: Call, term: Term) -> None:
        if term - self.term <= MAX_TERM_JUMP:
            self.become_follower(term, leader_id=None)
            return
        self.alarm(
            "term_jump", f"{call.target} answered in term {term}: ours is {self.term}, no election explains that"
        )
        # The call has ended all the same: counted as outstanding for ever, it would shut out the peer once it is well.
        self._call_failed(CallFailed(call))

    def _call_failed(self, event: CallFailed) -> None:
        if isinstance(event.call.request, AppendEntriesRequest):
            replication.handle_failure(self, event.call, event.call.request)

    def _persisted(self, event: Persisted) -> None:
        assert event.number == self._write_in_flight, (
            f"write {event.number} is durable, {self._write_in_flight} was due"
        )
        self._write_in_flight = 0
        self.log.durable_index = self.log.submitted_index
        if self.role is Role.LEADER:
            replication.maybe_commit(self)
        elif self.role is Role.CANDIDATE and event.number >= self._term_write:
            election.count_vote(self, self.id, granted=True)

    # -- work out

    def ready(self) -> Ready:
        """All the work that has come up since the last call. Empty groups mean there is none."""
        if self.role is Role.LEADER:
            replication.send_entries(self)
        ready, self._ready = self._ready, Ready()
        if not self._write_in_flight and (self._hard_state_changed or self.log.has_unsubmitted()):
            ready.write = self._start_write()
        if self.log.handed_index < self.log.commit_index:
            ready.committed = Committed(self.log.handed_index + 1, self.log.take_committed())
        return ready

    def _start_write(self) -> Write:
        truncate_from, first_index, entries = self.log.submit()
        hard_state = HardState(self.term, self.voted_for, self.log.commit_index)
        write = Write(self._next_write, hard_state, truncate_from, first_index, entries)
        self._write_in_flight = self._next_write
        self._next_write += 1
        self._hard_state_changed = False
        return write

    def call(self, call: Call) -> None:
        """Ask for a request to be sent."""
        self._ready.calls.append(call)

    def alarm(self, name: str, text: str) -> None:
        """Report what an honest peer cannot have done."""
        self._ready.alarms.append(Alarm(name, text))

    def respond(self, token: int, response: PeerResponse, match_index: LogIndex = 0) -> None:
        """Answer a peer: once the term, the vote, and the log up to `match_index` are durable."""
        self._ready.responses.append(Respond(token, response, self._write_holding(match_index)))

    def _write_holding(self, match_index: LogIndex) -> int:
        """The number of the write that makes term, vote and the log up to `match_index` durable; 0: they are."""
        if self._hard_state_changed or match_index > self.log.submitted_index:
            return self._next_write
        under_way = match_index > self.log.durable_index or self._term_write == self._write_in_flight
        return self._write_in_flight if under_way else 0

    # -- changes of state

    def become_follower(self, term: Term, leader_id: NodeId | None) -> None:
        """Follow `leader_id` in `term`, or wait there for a leader. Hearing of a leader restarts the election timer."""
        if term > self.term:
            self._enter_term(term)
        if self.role is not Role.FOLLOWER or leader_id is not None:
            self.restart_election_timer()
        self.role = Role.FOLLOWER
        self.leader_id = leader_id
        self.progress = {}
        self.votes = {}

    def become_pre_candidate(self) -> None:
        """Ask whether an election could be won, in the term after this one, without entering it."""
        self.role = Role.PRE_CANDIDATE
        self.leader_id = None
        self.votes = {}
        self.restart_election_timer()

    def become_candidate(self) -> None:
        """Enter the next term and vote for oneself."""
        self._enter_term(self.term + 1)
        self.vote_for(self.id)
        self.role = Role.CANDIDATE
        self.leader_id = None
        self.votes = {}

    def become_leader(self) -> None:
        """Lead: know nothing of the others' logs, and put an entry of this term behind all that is there (paper §8)."""
        self.role = Role.LEADER
        self.leader_id = self.id
        self.votes = {}
        next_index = self.log.last_index + 1
        peers = sorted(member.id for member in self.membership.members if member.id != self.id)
        self.progress = {peer: Progress(next_index) for peer in peers}
        self.uncommitted_bytes = data_bytes(self.log.between(self.log.commit_index + 1, self.log.last_index))
        self.election_elapsed = 0
        self._heartbeat_elapsed = 0
        self.log.append([Entry(self.term, EntryKind.NOOP, b"")])

    def _enter_term(self, term: Term) -> None:
        self.term = term
        self.voted_for = None
        self._promise_changed()

    def vote_for(self, candidate_id: NodeId) -> None:
        """Give this term's only vote (paper §5.2)."""
        if self.voted_for != candidate_id:
            self.voted_for = candidate_id
            self._promise_changed()
        self.restart_election_timer()

    def _promise_changed(self) -> None:
        self._hard_state_changed = True
        self._term_write = self._next_write

    def restart_election_timer(self) -> None:
        """Wait for a leader for one to two election timeouts, chosen anew each time (paper §5.2)."""
        self.election_elapsed = 0
        base = self.config.election_timeout_ticks
        self._election_timeout = self._rng.randint(base, 2 * base - 1)

    def commit(self, index: LogIndex) -> None:
        """Everything up to `index` is committed, here and for good."""
        if self.role is Role.LEADER:
            self.uncommitted_bytes -= data_bytes(self.log.between(self.log.commit_index + 1, index))
        self.log.commit_index = index

    def leading(self, peer: NodeId, term: Term) -> Progress | None:
        """What is known of `peer`, if this node still leads the term in which it was asked."""
        return self.progress.get(peer) if term == self.term else None


_STEPS: dict[type[Event], Callable[[Raft, Any], None]] = {
    Tick: Raft._tick,
    Propose: Raft._propose,
    Received: Raft._received,
    Answered: Raft._answered,
    CallFailed: Raft._call_failed,
    Persisted: Raft._persisted,
}
