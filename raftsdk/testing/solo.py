"""One node alone: the test plays all the others, the disk and the clock, and looks at what the node wants done."""

from collections.abc import Sequence
from random import Random

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.events import Answered, CallFailed, Event, Persisted, Propose, Received, Tick
from raftsdk.core.raft import Raft
from raftsdk.core.ready import Alarm, Call, ProposalRefused, Respond
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    PeerRequest,
    PeerResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftsdk.testing.safety import Disk
from raftsdk.types import Entry, EntryKind, HardState, LogIndex, Member, Membership, NodeId, Suffrage, Term, Write


def commands(*terms: Term, first: LogIndex = 1) -> list[Entry]:
    """Entries of these terms, each with data of its own."""
    return [Entry(term, EntryKind.COMMAND, f"{index}@{term}".encode()) for index, term in enumerate(terms, first)]


class Solo:
    """Node n1 of as many voters as asked for, or the learner among them. Its writes are durable at once unless `held`.

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
        config: RaftConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.config = config or RaftConfig(
            election_timeout_ticks=10, heartbeat_interval_ticks=3, pre_vote=False, check_quorum=False
        )
        suffrage = Suffrage.LEARNER if learner else Suffrage.VOTER
        ids = [f"n{number}" for number in range(1, nodes + 1)]
        self.membership = Membership(
            tuple(Member(i, suffrage=suffrage if i == node_id else Suffrage.VOTER) for i in ids)
        )
        self.node_id = node_id
        state = HardState(max(terms, default=0) if term is None else term, vote, commit)
        self.disk = Disk(state, commands(*terms))
        self.held = False
        self.restart(seed)

    def restart(self, seed: int = 0) -> None:
        """Start from what the disk holds; everything else is forgotten."""
        self.raft = Raft(self.node_id, self.membership, self.disk.recovered(), self.config, Random(seed))
        self.calls: list[Call] = []  #: Not yet taken.
        self.applied: list[Entry] = []
        self.alarms: list[Alarm] = []
        self.accepted: list[LogIndex] = []
        self.refused: list[ProposalRefused] = []
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

    def tick(self, times: int = 1) -> None:
        """Let time pass."""
        for _ in range(times):
            self.step(Tick())

    def receive(self, request: PeerRequest) -> PeerResponse | None:
        """Let a peer ask; None when the answer waits for the disk."""
        token = self._token()
        self.step(Received(token, request))
        return self.answers.get(token)

    def propose(self, *data: bytes) -> None:
        """Let a client propose commands."""
        self.step(Propose(self._token(), list(data)))

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
        """Answer a call as a peer does that agrees."""
        term = call.request.term
        if isinstance(call.request, RequestVoteRequest):
            self.answer(call, RequestVoteResponse(term=term, vote_granted=True))
        else:
            self.answer(call, AppendEntriesResponse(term=term, success=True))

    def refuse(self, call: Call, *, conflict: tuple[LogIndex, Term] = (0, 0)) -> None:
        """Answer a call as a peer of the same term does that refuses."""
        term = call.request.term
        if isinstance(call.request, RequestVoteRequest):
            self.answer(call, RequestVoteResponse(term=term, vote_granted=False))
        else:
            hint = {"conflict_index": conflict[0], "conflict_term": conflict[1]}
            self.answer(call, AppendEntriesResponse(term=term, success=False, **hint))

    def take_calls(self) -> list[Call]:
        """The calls since the last time this was asked."""
        calls, self.calls = self.calls, []
        return calls

    def appends(self) -> list[tuple[NodeId, AppendEntriesRequest]]:
        """The AppendEntries among `take_calls`, with whom they go to."""
        calls = self.take_calls()
        return [(call.target, call.request) for call in calls if isinstance(call.request, AppendEntriesRequest)]

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
        self._promises += ready.responses
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
    term: Term, *, last: tuple[LogIndex, Term] = (0, 0), candidate: NodeId = "n2", pre_vote: bool = False
) -> RequestVoteRequest:
    """A RequestVote request; `last` is (index, term)."""
    return RequestVoteRequest(
        term=term, candidate_id=candidate, last_log_index=last[0], last_log_term=last[1], pre_vote=pre_vote
    )


def granted(response: PeerResponse | None) -> bool:
    """Whether this is a vote."""
    return isinstance(response, RequestVoteResponse) and response.vote_granted


def succeeded(response: PeerResponse | None) -> bool:
    """Whether this is a follower's agreement."""
    return isinstance(response, AppendEntriesResponse) and response.success
