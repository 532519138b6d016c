"""The node as the algorithm sees it: `step` takes one fact, `ready` hands out all the work that follows from the facts.

Role transitions and the dispatch of events live here; what a role does lives in `election`, `replication`,
`membership`, `reads`, `snapshots` and `transfer`.
"""

from collections.abc import Callable
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from raftsdk.config import RaftConfig
from raftsdk.core import election, membership, quiescence, reads, replication, snapshots, transfer
from raftsdk.core.election import Role
from raftsdk.core.events import (
    Answered,
    CallFailed,
    ChangeMembership,
    Event,
    Persisted,
    PieceKept,
    Propose,
    ReadIndex,
    Received,
    Silent,
    SnapshotReceived,
    SnapshotTaken,
    Tick,
    TransferLeadership,
)
from raftsdk.core.log import Log, data_bytes
from raftsdk.core.profile import NATIVE, Profile
from raftsdk.core.progress import Progress
from raftsdk.core.quorum import has_quorum
from raftsdk.core.ready import (
    Accepted,
    Alarm,
    Call,
    Committed,
    Piece,
    ProposalRefused,
    ReadReady,
    ReadRefused,
    Ready,
    Respond,
    TransferEnded,
)
from raftsdk.core.transfer import Transfer
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PeerRequest,
    PeerResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raftsdk.types import (
    MAX_INTEGER,
    Entry,
    EntryKind,
    HardState,
    LogIndex,
    Membership,
    NodeId,
    Recovered,
    SnapshotMeta,
    Term,
    Write,
)

if TYPE_CHECKING:
    from random import Random

MAX_TERM_JUMP = 2**32
"""A term this far ahead is no election's doing. Taking it would let one broken peer use up all terms there are."""

LOST: Final = MAX_INTEGER
"""The incarnation of a node that has lost data: no member has it, so no membership admits the node."""


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
        self,
        node_id: NodeId,
        membership: Membership,
        recovered: Recovered,
        config: RaftConfig,
        rng: "Random",
        *,
        incarnation: int = 0,
        profile: Profile = NATIVE,
    ) -> None:
        self.id = node_id
        self.config = config
        self.profile = profile
        self.term: Term = recovered.hard_state.term
        self.voted_for: NodeId | None = recovered.hard_state.voted_for
        #: Whose data this is; a fresh node is told (0 for one that the cluster is founded with), others remember.
        self.incarnation = recovered.hard_state.incarnation or incarnation
        self.log = Log(recovered, membership)
        assert self.log.last_id.term <= self.term, "the stored log is of a later term than the stored term"
        self.role = Role.FOLLOWER
        self.leader_id: NodeId | None = None
        self.votes: dict[NodeId, bool] = {}  #: While campaigning: who has answered what.
        self.progress: dict[NodeId, Progress] = {}  #: While leading: one for each peer.
        self.next_epoch = 0  #: While leading: that of a peer which joins.
        self.uncommitted_bytes = 0  #: While leading: payload in the log and not yet committed.
        self.reads = reads.Reads()
        self.settled: Membership | None = None  #: While leading: what was seen to once it was committed.
        self.transfer: Transfer | None = None  #: While leadership is being handed over.
        self.quiescence = quiescence.Quiescence()
        self.lease_is_void = False  #: Somebody was asked to campaign in this term, whoever heard this leader lately.
        self.now = 0  #: Units of time that have lapsed since the start, also while this process stood still.
        self.ticks = 0  #: Those that it saw pass: whoever is waited for is given these.
        self.election_elapsed = 0  #: Ticks since a leader was heard from (a leader: since its last quorum check).
        self._heartbeat_elapsed = 0
        self._rng = rng
        self._election_timeout = 0
        self._ready = Ready()
        self._hard_state_changed = self.incarnation != recovered.hard_state.incarnation
        self._announced = self.log.membership
        self._write_began_at = 0
        self._term_write = 0  # the write that makes term and vote durable
        self._write_in_flight = 0  # 0: none
        self._next_write = 1
        if self.log.snapshot is not None:
            self._ready.restore = self.log.snapshot
        self.restart_election_timer()

    @property
    def leads(self) -> bool:
        """Whether this node believes that it leads."""
        return self.role is Role.LEADER

    @property
    def membership(self) -> Membership:
        """Who the members are, committed or not (paper §6)."""
        return self.log.membership

    @property
    def is_admitted(self) -> bool:
        """Whether the members, as far as this node knows them, count on the data it has.

        A node that lost its data, or is yet to join, must not vote: nobody knows what it promised before. With an
        incarnation, it has to have read that it is a member with it. (That it is no member says nothing: a leader of
        the past may have thought so, of the one that had the data.) One that was started without an incarnation and
        without members must vote, or whoever added it might never win.
        """
        if self.incarnation == LOST:
            return False
        if self.incarnation == 0:
            member = self.membership.member(self.id)
            return member is None or member.incarnation == 0
        return self.incarnation in self.log.open_incarnations(self.id)

    @property
    def has_just_started(self) -> bool:
        """Whether less time has passed since the start than a follower sticks to its leader."""
        return self.now < self.config.election_timeout_ticks

    @property
    def disk_is_late(self) -> bool:
        """Whether the write under way takes longer than a leader may wait for its disk."""
        return self._write_in_flight > 0 and self.ticks - self._write_began_at > self.config.disk_timeout_ticks

    @property
    def ticks_until_due(self) -> int:
        """After how many ticks, one at least, time alone makes this node do something."""
        if self.role is not Role.LEADER:
            due = self._election_timeout + quiescence.patience_ticks(self) - self.election_elapsed
        elif self._write_in_flight or self.transfer is not None:
            due = 1
        else:
            until_heartbeat = quiescence.heartbeat_interval_ticks(self) - self._heartbeat_elapsed
            due = min(until_heartbeat, self._until_quorum_check())
        return max(due, 1)

    def has_committed_in_term(self) -> bool:
        """Whether this leader knows what is committed: it does once an entry of its own term is (paper §5.4.2)."""
        return self.log.term_at(self.log.commit_index) == self.term

    # -- facts in

    def step(self, event: Event) -> None:
        """Take one fact. Changes memory alone; what follows from it is in the next `ready`."""
        _STEPS[type(event)](self, event)

    def _tick(self, event: Tick) -> None:
        self.now += event.lapsed
        self.ticks += event.passed
        self.election_elapsed += event.passed
        if self.role is Role.LEADER:
            self._heartbeat_elapsed += event.passed
            self._tick_leader()
        elif self.election_elapsed >= self._election_timeout + quiescence.patience_ticks(self):
            election.campaign(self)

    def _tick_leader(self) -> None:
        if self.disk_is_late:
            # It would go on with heartbeats for ever, and keep everybody from a leader that can write.
            self.alarm("disk_late", f"a write takes more than {self.config.disk_timeout_ticks} ticks: stepping down")
            transfer.hand_over(self)
            self.become_follower(self.term, leader_id=None)
            return
        transfer.tick(self)
        if self._until_quorum_check() <= 0:
            self.election_elapsed = 0
            if self.config.check_quorum and not self._hears_quorum():
                self.become_follower(self.term, leader_id=None)
                return
        if self._heartbeat_elapsed >= quiescence.heartbeat_interval_ticks(self):
            self._heartbeat_elapsed = 0
            replication.send_heartbeats(self, quiesce=quiescence.is_due(self))

    def _until_quorum_check(self) -> int:
        return self.config.election_timeout_ticks + quiescence.patience_ticks(self) - self.election_elapsed

    def beat_soon(self) -> None:
        """Have the next tick bring heartbeats, and a quorum answer within an election timeout."""
        self.election_elapsed = 0
        self._heartbeat_elapsed = self.config.heartbeat_interval_ticks

    def _hears_quorum(self) -> bool:
        """Whether a quorum answered since the last check: a leader nobody answers must stop (thesis §6.2)."""
        heard = {self.id, *(peer for peer, progress in self.progress.items() if progress.recently_active)}
        for progress in self.progress.values():
            progress.recently_active = False
        return has_quorum(self.log.halves, heard)

    def _propose(self, event: Propose) -> None:
        if not self.leads:
            self.refuse(ProposalRefused(event.token))
            return
        quiescence.note_activity(self)
        kinds = event.kinds or repeat(EntryKind.COMMAND)
        entries = [Entry(self.term, kind, command) for kind, command in zip(kinds, event.commands, strict=False)]
        size = data_bytes(entries)
        if self.uncommitted_bytes and self.uncommitted_bytes + size > self.config.max_uncommitted_bytes:
            self.refuse(ProposalRefused(event.token, overloaded=True))
            return
        if self.transfer is not None:
            self.refuse(ProposalRefused(event.token, overloaded=True, why="leadership is being handed over"))
            return
        self.accept(Accepted(event.token, self.log.last_index + 1, self.term))
        self.log.append(entries)
        self.uncommitted_bytes += size

    def _change_membership(self, event: ChangeMembership) -> None:
        membership.handle_proposal(self, event)

    def _read_index(self, event: ReadIndex) -> None:
        self.reads.begin(self, event)

    def _transfer_leadership(self, event: TransferLeadership) -> None:
        transfer.handle_proposal(self, event)

    def _snapshot_taken(self, event: SnapshotTaken) -> None:
        snapshots.handle_taken(self, event)

    def _silent(self, event: Silent) -> None:
        quiescence.handle_silence(self, event)

    def _piece_kept(self, event: PieceKept) -> None:
        snapshots.handle_kept(self, event)

    def _snapshot_received(self, event: SnapshotReceived) -> None:
        snapshots.handle_received(self, event)

    def _received(self, event: Received) -> None:
        request = event.request
        sender = _sender(request)
        if request.term - self.term > MAX_TERM_JUMP:
            self.alarm("term_jump", f"refused term {request.term}: ours is {self.term}, no election explains that")
            self._refuse_unmoved(event)
        elif sender == self.id:
            self.alarm("own_id", f"a peer calls itself {sender}, which is this node's id: ids are never shared")
            self._refuse_unmoved(event)
        else:
            self._handle_request(event, request)

    def _handle_request(self, event: Received, request: PeerRequest) -> None:
        match request:
            case AppendEntriesRequest():
                replication.handle_request(self, event, request)
            case RequestVoteRequest():
                election.handle_request(self, event, request)
            case InstallSnapshotRequest():
                snapshots.handle_request(self, event, request)
            case TimeoutNowRequest():
                transfer.handle_request(self, event, request)
            case ReadIndexRequest():
                self.reads.handle_request(self, event, request)

    def _refuse_unmoved(self, event: Received) -> None:
        refusals: dict[type[PeerRequest], PeerResponse] = {
            AppendEntriesRequest: AppendEntriesResponse(term=self.term, success=False),
            RequestVoteRequest: RequestVoteResponse(term=self.term, vote_granted=False),
            InstallSnapshotRequest: InstallSnapshotResponse(term=self.term, next_offset=0, installed=False),
            TimeoutNowRequest: TimeoutNowResponse(term=self.term),
            ReadIndexRequest: ReadIndexResponse(term=self.term, read_index=0),
        }
        self.respond(event.token, refusals[type(event.request)])

    def _answered(self, event: Answered) -> None:
        call, response = event.call, event.response
        granted_pre_vote = isinstance(response, RequestVoteResponse) and response.vote_granted
        if response.term > self.term and not granted_pre_vote and not self._hears_of_term(call, response.term):
            # The call has ended all the same: as outstanding for ever, it would shut out the peer once it is well.
            self._call_failed(CallFailed(call))
            return
        expected, handle = _ANSWERS[type(call.request)]
        if type(response) is expected:
            handle(self, event, call.request, response)
        else:
            self._call_failed(CallFailed(call))

    def _hears_of_term(self, call: Call, term: Term) -> bool:
        """Take a higher term out of an answer; whether it was one. What else the answer says is for who asked to judge.

        A follower that hears its leader takes no term from others, whether they ask (`election`) or answer something
        asked long ago: it would forget its leader, and vote while that leader's lease rests on its not voting.
        """
        if term - self.term <= MAX_TERM_JUMP:
            if self.role is not Role.FOLLOWER or not election.sticks_to_leader(self):
                self.become_follower(term, leader_id=None)
            return True
        self.alarm(
            "term_jump", f"{call.target} answered in term {term}: ours is {self.term}, no election explains that"
        )
        return False

    def _call_failed(self, event: CallFailed) -> None:
        match event.call.request:
            case AppendEntriesRequest() as request:
                replication.handle_failure(self, event.call, request)
            case InstallSnapshotRequest() as request:
                snapshots.handle_failure(self, event.call, request)
            case ReadIndexRequest():
                reads.handle_failure(self, event.call)
            case TimeoutNowRequest():
                transfer.handle_failure(self, event.call)

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
        if self.leads:
            if self.transfer is not None:
                transfer.proceed(self)
            self.reads.proceed(self)
            replication.send_entries(self)
        if self.log.membership is not self._announced:
            self._announced = self._ready.membership = self.log.membership
        ready, self._ready = self._ready, Ready()
        if not self._write_in_flight and (self._hard_state_changed or self.log.has_unsubmitted()):
            ready.write = self._start_write()
        if self.log.handed_index < self.log.commit_index:
            ready.committed = Committed(self.log.handed_index + 1, self.log.take_committed())
        return ready

    def _start_write(self) -> Write:
        new = self.log.submit()
        write = Write(
            self._next_write,
            HardState(self.term, self.voted_for, self.log.commit_index, self.incarnation),
            new.truncate_from,
            new.first_index,
            new.entries,
            new.snapshot,
            new.compacted,
        )
        self._write_in_flight = self._next_write
        self._write_began_at = self.ticks
        self._next_write += 1
        self._hard_state_changed = False
        return write

    def new_call(self, target: NodeId, request: PeerRequest, epoch: int = 0) -> Call:
        """A call that begins now, so that its answer confirms what was asked by now."""
        return Call(target, request, epoch, self.reads.round, self.now)

    def call(self, call: Call) -> None:
        """Ask for a request to be sent."""
        self._ready.calls.append(call)

    def accept(self, accepted: Accepted) -> None:
        """Say where a proposal is."""
        self._ready.accepted.append(accepted)

    def refuse(self, refused: ProposalRefused) -> None:
        """Say that a proposal is nowhere."""
        self._ready.refused.append(refused)

    def end_read(self, end: ReadReady | ReadRefused) -> None:
        """Say what became of a read."""
        self._ready.reads.append(end)

    def end_transfer(self, end: TransferEnded) -> None:
        """Say what became of handing over leadership."""
        self._ready.transfers.append(end)

    def keep_piece(self, piece: Piece) -> None:
        """Ask for a piece of a snapshot to be kept."""
        self._ready.pieces.append(piece)

    def restore(self, snapshot: SnapshotMeta) -> None:
        """Ask for the state machine to be replaced by a snapshot."""
        self._ready.restore = snapshot

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
        deposed = term > self.term
        if deposed:
            self._enter_term(term)
        if self.role is not Role.FOLLOWER or leader_id is not None:
            self.restart_election_timer()
        self.quiescence.holds = False
        led, self.role = self.leads, Role.FOLLOWER
        self.leader_id = leader_id
        if led:
            self.reads.drop(self)
            transfer.give_up(self, "" if deposed else f"{self.id} stopped leading")
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
        self.progress = {peer: Progress(next_index) for peer in membership.peers_of(self)}
        self.next_epoch = 0
        self.lease_is_void = False
        self.settled = None
        self.uncommitted_bytes = data_bytes(self.log.between(self.log.commit_index + 1, self.log.last_index))
        self.election_elapsed = 0
        self._heartbeat_elapsed = 0
        quiescence.note_activity(self)
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
        self._election_timeout = self._rng.randint(base, 2 * base - 1) + self.config.campaign_delay_ticks

    def commit(self, index: LogIndex) -> None:
        """Everything up to `index` is committed, here and for good."""
        if self.role is Role.LEADER:
            self.uncommitted_bytes -= data_bytes(self.log.between(self.log.commit_index + 1, index))
        self.log.commit_index = index

    def admit_loss(self, how: str) -> None:
        """Data that this node had is gone, and what it promised with it: it votes no more, for good."""
        self.alarm("data_lost", f"{how}: no votes from here until this node is removed and has joined anew, empty")
        if self.incarnation != LOST:
            self.incarnation = LOST
            self._promise_changed()

    def leading(self, call: Call) -> Progress | None:
        """What is known of the peer that was called, if this node still leads the term, and knows it as the same peer:
        one that was removed and has joined anew may have nothing of what it acknowledged before.
        """
        progress = self.progress.get(call.target) if call.request.term == self.term else None
        return progress if progress and call.epoch >= progress.first_epoch else None


_STEPS: dict[type[Event], Callable[[Raft, Any], None]] = {
    Tick: Raft._tick,
    Propose: Raft._propose,
    ChangeMembership: Raft._change_membership,
    ReadIndex: Raft._read_index,
    TransferLeadership: Raft._transfer_leadership,
    SnapshotTaken: Raft._snapshot_taken,
    PieceKept: Raft._piece_kept,
    SnapshotReceived: Raft._snapshot_received,
    Received: Raft._received,
    Answered: Raft._answered,
    CallFailed: Raft._call_failed,
    Persisted: Raft._persisted,
    Silent: Raft._silent,
}


_ANSWERS: dict[type[PeerRequest], tuple[type[PeerResponse], Callable[[Raft, Answered, Any, Any], None]]] = {
    AppendEntriesRequest: (AppendEntriesResponse, replication.handle_answer),
    RequestVoteRequest: (RequestVoteResponse, election.handle_answer),
    InstallSnapshotRequest: (InstallSnapshotResponse, snapshots.handle_answer),
    TimeoutNowRequest: (TimeoutNowResponse, transfer.handle_answer),
    ReadIndexRequest: (ReadIndexResponse, reads.handle_answer),
}


def _sender(request: PeerRequest) -> NodeId:
    match request:
        case RequestVoteRequest():
            return request.candidate_id
        case ReadIndexRequest():
            return request.node_id
        case _:
            return request.leader_id
