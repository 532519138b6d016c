"""One node alone: the test plays all the others, the disk and the clock, and looks at what the node wants done."""

from collections.abc import Sequence
from hashlib import sha256
from random import Random

from raftsdk.config import RaftConfig
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
from raftsdk.core.profile import NATIVE, Profile
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Alarm, Call, Piece, ProposalRefused, ReadReady, ReadRefused, Respond, TransferEnded
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
from raftsdk.storage.contents import Contents
from raftsdk.types import (
    Entry,
    EntryKind,
    HardState,
    LogIndex,
    Member,
    Membership,
    NodeId,
    SnapshotMeta,
    Suffrage,
    Term,
    Write,
    encode_membership,
)

SNAPSHOT_BYTES = 100
"""How many bytes every snapshot has that is made up here."""


def commands(*terms: Term, first: LogIndex = 1) -> list[Entry]:
    """Entries of these terms, each with data of its own."""
    return [Entry(term, EntryKind.COMMAND, f"{index}@{term}".encode()) for index, term in enumerate(terms, first)]


def membership(*voters: NodeId, learners: Sequence[NodeId] = (), outgoing: Sequence[NodeId] = ()) -> Membership:
    """These voters, then these learners; joint with the majority of `outgoing` when there is one."""
    members = [*map(Member, voters), *(Member(learner, suffrage=Suffrage.LEARNER) for learner in learners)]
    return Membership(tuple(members), tuple(outgoing))


def membership_entry(term: Term, members: Membership) -> Entry:
    """The entry that puts `members` into effect."""
    return Entry(term, EntryKind.MEMBERSHIP, encode_membership(members))


class Solo:
    """Node n1 of as many voters as asked for, or the learner among them. Its writes are durable at once unless `held`.

    `members` are those it was started with, where they are not these; `incarnation` is what it was told of its data.

    Pre-vote and check-quorum are off unless asked for: the paper knows neither.
    """

    def __init__(
        self,
        *terms: Term,
        node_id: NodeId = "n1",
        nodes: int = 3,
        term: Term | None = None,
        vote: NodeId | None = None,
        commit: LogIndex = 0,
        learner: bool = False,
        members: Membership | None = None,
        incarnation: int = 0,
        config: RaftConfig | None = None,
        profile: Profile = NATIVE,
        seed: int = 0,
    ) -> None:
        self.config = config or RaftConfig(
            election_timeout_ticks=10, heartbeat_interval_ticks=3, pre_vote=False, check_quorum=False
        )
        suffrage = Suffrage.LEARNER if learner else Suffrage.VOTER
        ids = [f"n{number}" for number in range(1, nodes + 1)]
        founders = tuple(Member(i, suffrage=suffrage if i == node_id else Suffrage.VOTER) for i in ids)
        self.membership = Membership(founders) if members is None else members
        self.node_id = node_id
        self.incarnation = incarnation
        self.profile = profile
        state = HardState(max(terms, default=0) if term is None else term, vote, commit)
        self.disk = Contents(state, commands(*terms))
        self.held = False
        self.restart(seed)

    def restart(self, seed: int = 0) -> None:
        """Start from what the disk holds; everything else is forgotten."""
        self.raft = Raft(
            self.node_id,
            self.membership,
            self.disk.recovered(),
            self.config,
            Random(seed),
            incarnation=self.incarnation,
            profile=self.profile,
        )
        self.calls: list[Call] = []  #: Not yet taken.
        self.applied: list[Entry] = []
        self.alarms: list[Alarm] = []
        self.accepted: list[LogIndex] = []
        self.refused: list[ProposalRefused] = []
        self.reads: list[ReadReady | ReadRefused] = []
        self.transfers: list[TransferEnded] = []
        self.pieces: list[Piece] = []  #: Not yet kept.
        self.restored: list[SnapshotMeta] = []
        self.memberships: list[Membership] = []  #: As announced, one after the other.
        self.writing: Write | None = None
        self.answers: dict[int, PeerResponse] = {}  #: Released, by token.
        self._promises: list[Respond] = []
        self._durable_write = 0
        self._next_token = 1
        self._settle()

    # -- facts in

    def step(self, event: Event) -> None:
        """Step one fact and carry out what follows."""
        self.raft.step(event)
        self._settle()

    def tick(self, times: int = 1, *, lapsed: int = 1) -> None:
        """Let time pass; `lapsed` is how much of it each tick stands for."""
        for _ in range(times):
            self.step(Tick(lapsed))

    def receive(self, request: PeerRequest) -> PeerResponse | None:
        """Let a peer ask; None when the answer waits: for the disk, for others, or for a snapshot's bytes."""
        token = self._token()
        self.step(Received(token, request))
        return self.answers.get(token)

    def propose(self, *data: bytes) -> None:
        """Let a client propose commands."""
        self.step(Propose(self._token(), list(data)))

    def change(self, *members: Member | NodeId, remove: Sequence[NodeId] = ()) -> None:
        """Let somebody want other members; an id stands for a voter."""
        added = tuple(Member(member) if isinstance(member, str) else member for member in members)
        self.step(ChangeMembership(self._token(), added, tuple(remove)))

    def read(self, *, lease: bool = False) -> int:
        """Let a client want to read; the token that its end will carry."""
        token = self._token()
        self.step(ReadIndex(token, lease))
        return token

    def hand_over(self, target: NodeId | None = None) -> None:
        """Let somebody want another leader."""
        self.step(TransferLeadership(self._token(), target))

    def miss(self, node_id: NodeId) -> None:
        """Let nothing be heard of a node, whatever group it might have been about."""
        self.step(Silent(node_id))

    def take_snapshot(self, meta: SnapshotMeta | None = None) -> SnapshotMeta:
        """Finish a snapshot of everything that was handed out, or the one that is given, which was begun earlier."""
        if meta is None:
            log = self.raft.log
            index = log.handed_index
            meta = snapshot_meta(index, log.term_at(index), log.membership_at(index))
        self.step(SnapshotTaken(meta))
        return meta

    def keep(self, next_offset: int) -> PeerResponse | None:
        """Keep the oldest piece that waits, so that so much is here; what the leader is told."""
        piece = self.pieces.pop(0)
        self.step(PieceKept(piece.token, next_offset))
        return self.answers.get(piece.token)

    def complete(self) -> PeerResponse | None:
        """Keep the oldest piece that waits, with which the snapshot is whole."""
        piece = self.pieces.pop(0)
        asked = piece.request
        meta = SnapshotMeta(
            asked.last_included_index, asked.last_included_term, asked.membership, asked.total_bytes, asked.digest
        )
        self.step(SnapshotReceived(piece.token, meta))
        return self.answers.get(piece.token)

    def persist(self) -> None:
        """Make the write under way durable."""
        write = self.writing
        assert write is not None, "no write is under way"
        self.disk.persist(write)
        self.writing, self._durable_write = None, write.number
        self.step(Persisted(write.number))

    def answer(self, call: Call, response: PeerResponse) -> None:
        """Let a call be answered."""
        self.step(Answered(call, response))

    def fail(self, call: Call) -> None:
        """Let a call fail."""
        self.step(CallFailed(call))

    # -- what peers would do

    def succeed(self, call: Call) -> None:
        """Answer a call as a peer does that agrees, campaigns, has the whole snapshot, or has committed nothing new."""
        term = call.request.term
        match call.request:
            case AppendEntriesRequest():
                quiesced = call.request.quiesce
                self.answer(call, AppendEntriesResponse(term=term, success=True, quiesced=quiesced))
            case RequestVoteRequest():
                self.answer(call, RequestVoteResponse(term=term, vote_granted=True))
            case InstallSnapshotRequest() as request:
                self.answer(call, InstallSnapshotResponse(term=term, next_offset=request.total_bytes, installed=True))
            case TimeoutNowRequest():
                self.answer(call, TimeoutNowResponse(term=term + 1))
            case ReadIndexRequest():
                self.answer(call, ReadIndexResponse(term=term, read_index=self.raft.log.commit_index))

    def refuse(self, call: Call, *, conflict: tuple[LogIndex, Term] = (0, 0)) -> None:
        """Answer a call as a peer of the same term does that refuses."""
        term = call.request.term
        match call.request:
            case AppendEntriesRequest():
                index, conflict_term = conflict
                refusal = AppendEntriesResponse(
                    term=term, success=False, conflict_index=index, conflict_term=conflict_term
                )
                self.answer(call, refusal)
            case RequestVoteRequest():
                self.answer(call, RequestVoteResponse(term=term, vote_granted=False))
            case InstallSnapshotRequest():
                self.answer(call, InstallSnapshotResponse(term=term, next_offset=0, installed=False))
            case TimeoutNowRequest():
                self.answer(call, TimeoutNowResponse(term=term))
            case ReadIndexRequest():
                self.answer(call, ReadIndexResponse(term=term, read_index=0))

    def agree(self, *peers: NodeId) -> None:
        """Have these peers, or all, succeed in every call there is, and in those that follow; others' are left."""
        while due := next((call for call in self.calls if not peers or call.target in peers), None):
            self.calls.remove(due)
            self.succeed(due)

    def take_calls(self) -> list[Call]:
        """The calls since the last time this was asked."""
        calls, self.calls = self.calls, []
        return calls

    def appends(self) -> list[tuple[NodeId, AppendEntriesRequest]]:
        """The AppendEntries among `take_calls`, with whom they go to."""
        calls = self.take_calls()
        return [(call.target, call.request) for call in calls if isinstance(call.request, AppendEntriesRequest)]

    def take_calls_to(self, peer: NodeId) -> list[Call]:
        """Those of `take_calls` that go to `peer`; the others are left."""
        taken = [call for call in self.calls if call.target == peer]
        self.calls = [call for call in self.calls if call.target != peer]
        return taken

    def campaign(self) -> list[Call]:
        """Let time pass until the node asks for votes, and return these calls."""
        before = self.raft.term
        for _ in range(3 * self.config.election_timeout_ticks):
            self.tick()
            if self.calls or self.raft.term > before:
                return self.take_calls()
        raise AssertionError("the node does not campaign")

    def lead(self) -> "Solo":
        """Have the node elected by everybody; its first calls are left to be taken."""
        for _ in range(2):  # with pre-vote there are two rounds
            if self.raft.role is Role.LEADER:
                break
            for call in self.campaign() if self.raft.role is Role.FOLLOWER else self.take_calls():
                self.succeed(call)
        assert self.raft.role is Role.LEADER
        return self

    def lead_and_commit(self) -> "Solo":
        """Have the node elected, and its noop acknowledged by everybody: it knows what is committed."""
        self.lead().agree()
        assert self.raft.has_committed_in_term()
        return self

    # -- what follows

    def _token(self) -> int:
        self._next_token += 1
        return self._next_token

    def _settle(self) -> None:
        ready = self.raft.ready()
        self.calls += ready.calls
        self.alarms += ready.alarms
        self.accepted += [accepted.first_index for accepted in ready.accepted]
        self.refused += ready.refused
        self.reads += ready.reads
        self.transfers += ready.transfers
        self.pieces += ready.pieces
        self.memberships += [ready.membership] if ready.membership is not None else []
        self._promises += ready.responses
        self.restored += [ready.restore] if ready.restore is not None else []
        self.applied += ready.committed.entries if ready.committed is not None else []
        self.writing = ready.write or self.writing
        if self.writing is not None and not self.held:
            self.persist()
        self._release()

    def _release(self) -> None:
        due = [promise for promise in self._promises if promise.after <= self._durable_write]
        self._promises = [promise for promise in self._promises if promise.after > self._durable_write]
        self.answers |= {promise.token: promise.response for promise in due}


def append(
    term: Term,
    *,
    prev: tuple[LogIndex, Term] = (0, 0),
    entries: Sequence[Entry] = (),
    commit: LogIndex = 0,
    leader: NodeId = "n2",
) -> AppendEntriesRequest:
    """An AppendEntries request; `prev` is (index, term)."""
    return AppendEntriesRequest(
        term=term,
        leader_id=leader,
        prev_log_index=prev[0],
        prev_log_term=prev[1],
        leader_commit=commit,
        entries=list(entries),
    )


def vote(
    term: Term,
    *,
    last: tuple[LogIndex, Term] = (0, 0),
    candidate: NodeId = "n2",
    pre_vote: bool = False,
    transfer: bool = False,
) -> RequestVoteRequest:
    """A RequestVote request; `last` is (index, term)."""
    return RequestVoteRequest(
        term=term,
        candidate_id=candidate,
        last_log_index=last[0],
        last_log_term=last[1],
        pre_vote=pre_vote,
        leadership_transfer=transfer,
    )


def snapshot_meta(index: LogIndex, term: Term, members: Membership) -> SnapshotMeta:
    """A snapshot of everything up to that entry, under those members."""
    return SnapshotMeta(index, term, members, SNAPSHOT_BYTES, sha256(b"%d@%d" % (index, term)).digest())


def snapshot_piece(
    term: Term, meta: SnapshotMeta, *, offset: int = 0, size: int = SNAPSHOT_BYTES, leader: NodeId = "n2"
) -> InstallSnapshotRequest:
    """An InstallSnapshot request with `size` bytes of a snapshot from `offset` on."""
    return InstallSnapshotRequest(
        term=term,
        leader_id=leader,
        last_included_index=meta.index,
        last_included_term=meta.term,
        membership=meta.membership,
        total_bytes=meta.total_bytes,
        digest=meta.digest,
        offset=offset,
        data=bytes(size),
    )


def timeout_now(term: Term, *, leader: NodeId = "n2") -> TimeoutNowRequest:
    """A TimeoutNow request."""
    return TimeoutNowRequest(term=term, leader_id=leader)


def read_index(term: Term, *, node: NodeId = "n2") -> ReadIndexRequest:
    """A ReadIndex request."""
    return ReadIndexRequest(term=term, node_id=node)


def granted(response: PeerResponse | None) -> bool:
    """Whether this is a vote."""
    return isinstance(response, RequestVoteResponse) and response.vote_granted


def succeeded(response: PeerResponse | None) -> bool:
    """Whether this is a follower's agreement."""
    return isinstance(response, AppendEntriesResponse) and response.success


def installed(response: PeerResponse | None) -> bool:
    """Whether a peer says that its state includes everything the snapshot is of."""
    return isinstance(response, InstallSnapshotResponse) and response.installed
