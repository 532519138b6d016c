"""One node as a process: the core, state and proposals of `raftsdk.runtime`, on a clock and a disk of the world's.

What the runtime does with tasks happens here with events of the world, and in the same order: facts are collected, the
core is stepped, its work is carried out (`raftsdk.runtime.loop`). Whatever chance there is has its own generator.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from raftsdk.core import quiescence
from raftsdk.core.election import Role
from raftsdk.core.events import (
    Answered,
    CallFailed,
    Event,
    Persisted,
    ReadIndex,
    Received,
    Silent,
    Tick,
    TransferLeadership,
)
from raftsdk.core.raft import Raft
from raftsdk.core.ready import LEASE_LAG_TICKS, Call, Committed, ReadReady, ReadRefused, Ready, Respond, TransferEnded
from raftsdk.errors import NotLeader, RaftError, TransferFailed
from raftsdk.messages import (
    AppendEntriesRequest,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    Consistency,
    ErrorResponse,
    InstallSnapshotRequest,
    OpenSessionRequest,
    OpenSessionResponse,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    ReadIndexRequest,
    Request,
    RequestVoteRequest,
    Response,
    TimeoutNowRequest,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
    error_response,
)
from raftsdk.ports import StateMachine
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.outcomes import Outcome
from raftsdk.runtime.proposals import Proposals
from raftsdk.runtime.sessions import LogClock, open_session, session_command
from raftsdk.testing.world.bulk import Bulk
from raftsdk.testing.world.disk import Disk, Fate
from raftsdk.testing.world.network import Endpoint
from raftsdk.testing.world.scenario import TICK_US
from raftsdk.types import EntryKind, LogIndex, Membership, NodeId, SnapshotMeta, Write

if TYPE_CHECKING:
    from raftsdk.testing.world.world import World

HEALTHY_WRITE_US: Final = TICK_US // 10
"""The longest that a write takes while the cluster is given time to heal."""

PEER_REQUESTS: Final = (
    AppendEntriesRequest,
    RequestVoteRequest,
    InstallSnapshotRequest,
    TimeoutNowRequest,
    ReadIndexRequest,
)


class Node(Endpoint):
    """A node and its disk. `raft` is None while its process is down."""

    def __init__(
        self,
        world: "World",
        node_id: NodeId,
        machine: Callable[[], StateMachine],
        clock_rate: float,
        *,
        membership: Membership,
        incarnation: int = 0,
    ) -> None:
        super().__init__(world.network, node_id)
        self.id = node_id
        self.disk = Disk()
        self.life = 0
        self.raft: Raft | None = None
        self.bulk = Bulk(world, self)
        self.membership = membership  #: What it is started with.
        self.incarnation = incarnation
        self.disk_slowness = 0  #: How many faults make its disk slow.
        self.sync_fails = False  #: The next write ends the node.
        self._world = world
        self._machine = machine
        self._clock_rate = clock_rate
        self._chance = Random(f"{world.scenario.seed}:{node_id}")
        self._pauses = 0
        self._stalled: list[tuple[Callable[..., None], tuple[object, ...]]] = []

    # -- life

    @property
    def is_up(self) -> bool:
        """Whether its process runs, or at least stands still."""
        return self.raft is not None

    def start(self) -> None:
        """Start the process on what its disk holds."""
        world = self._world
        self.life += 1
        recovered = self.disk.recovered()
        chance = Random(f"{world.scenario.seed}:{self.id}:{self.life}")
        self.raft = Raft(
            self.id, self.membership, recovered, world.scenario.config, chance, incarnation=self.incarnation
        )
        self.state = AppliedState(self._machine(), self.membership)
        self.proposals = Proposals(world.scenario.config)
        self.writing: Write | None = None
        self.durable = 0  #: Number of the last write that is durable.
        self.applying: deque[Committed | SnapshotMeta] = deque()
        self._log_clock = LogClock(self._seconds)
        self._inbox: list[Event] = []
        self._turn_is_due = False
        self._asked: dict[int, Callable[[Response], None]] = {}  # peers, by token
        self._reading: dict[int, tuple[QueryRequest, Callable[[Response], None]]] = {}  # by token
        self._served: list[tuple[LogIndex, QueryRequest, Callable[[Response], None]]] = []  # once applied so far
        self._transfers: dict[int, Callable[[Response], None]] = {}
        self._promises: deque[Respond] = deque()
        self._next_token = 0
        self._last_tick_at = world.now
        self._heard_at: dict[str, int] = {}
        self._watched_since: dict[NodeId, int] = {}
        self._beats_in = 0  # ticks
        self._was_quiet = False
        self.bulk.start()
        world.safety.starts(self, self.raft)
        self._wake()
        world.after(int(self._tick_us * self._chance.random()), self._tick, self.life)

    def crash(self, fate: Fate, tear: float = 0.0) -> None:
        """End the process, now. What its disk makes of a write under way is its `fate`."""
        self.disk.crash(self.writing, fate, tear)
        if self.writing is not None and fate is Fate.TORN:
            self._world.counters.torn_writes += 1
        self.raft = self.writing = None
        self._stalled.clear()
        self.forget_calls()

    def pause(self) -> None:
        """Let the process stand still. Its clock goes on, and what arrives waits."""
        self._pauses += 1

    def resume(self) -> None:
        """Undo one `pause`."""
        self._pauses = max(self._pauses - 1, 0)
        if not self._pauses:
            stalled, self._stalled = self._stalled, []
            for action, args in stalled:
                action(*args)

    def mend(self) -> None:
        """Nothing ails it any more."""
        self.disk_slowness = 0
        self.sync_fails = False
        if self.is_up and self.writing is not None:
            self._world.after(self._write_us(), self._written, self.life, self.writing)
        while self._pauses:
            self.resume()

    def is_stalled(self, action: Callable[..., None], *args: object) -> bool:
        """Whether the process stands still; then this is done when it goes on."""
        if self._pauses and self.raft is not None:
            self._stalled.append((action, args))
            return True
        return False

    # -- time

    @property
    def _tick_us(self) -> float:
        return TICK_US / self._clock_rate

    def _seconds(self) -> float:
        return self._world.now * self._clock_rate / 1_000_000

    def _tick(self, life: int) -> None:
        if life != self.life or self.raft is None or self.is_stalled(self._tick, life):
            return
        world = self._world
        world.happens(self.id, b"tick")
        self.expire(world.now)
        self.proposals.expire(world.now)
        lapsed = max(round((world.now - self._last_tick_at) / self._tick_us), 1)
        self._last_tick_at = world.now
        world.after(int(self._tick_us), self._tick, life)
        self._watch(self.raft)
        self.post(Tick(lapsed))

    # -- other nodes, for all groups at once

    def heard(self, source: str) -> None:
        """Something has arrived from there."""
        self._heard_at[source] = self._world.now

    def _watch(self, raft: Raft) -> None:
        """As `WatchfulNetwork.watch` does it: let those whom the core relies on hear this node, and miss them."""
        world, config = self._world, self._world.scenario.config
        watched = quiescence.watched(raft)
        self._watched_since = {target: self._watched_since.get(target, world.now) for target in sorted(watched)}
        is_quiet = raft.leads and raft.quiescence.holds
        world.counters.quiescences += is_quiet and not self._was_quiet
        self._was_quiet = is_quiet
        self._beats_in -= 1
        if self._beats_in <= 0:
            self._beats_in = config.heartbeat_interval_ticks
            for target in sorted(world.nodes.keys() - {self.id} if world.scenario.other_groups else watched):
                world.network.beat(self.id, target)
        for target, since in self._watched_since.items():
            if world.now - max(since, self._heard_at.get(target, 0)) > config.election_timeout_ticks * self._tick_us:
                world.counters.silences += 1
                self.post(Silent(target))

    # -- facts

    def post(self, event: Event) -> None:
        """Tell the core something: at once, or with what else comes within a turn."""
        self._inbox.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._turn_is_due:
            return
        self._turn_is_due = True
        turn_us = self._world.scenario.turn_us
        if turn_us:
            self._world.after(turn_us, self._take_turns, self.life)
        else:
            self._take_turns(self.life)

    def _take_turns(self, life: int) -> None:
        """One turn, and more for what its work has brought at once."""
        if life == self.life and self.raft is not None and not self.is_stalled(self._take_turns, life):
            self._turn()
            while self._inbox or self.proposals.waiting:
                self._turn()
            self._turn_is_due = False

    def _turn(self) -> None:
        raft, world = self.raft, self._world
        assert raft is not None, f"{self.id} is down"
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            if type(event) is Persisted:
                self._release(event.number)
            raft.step(event)
            if isinstance(event, Received):
                world.safety.was_asked(self, raft, event.request)
            world.safety.observes(self, raft)
        if self.proposals.waiting:
            raft.step(self.proposals.offer(self._deadline()))
        self._carry_out(raft, raft.ready())

    def _deadline(self) -> float:
        return self._world.now + self._world.scenario.config.proposal_timeout_ms * 1000 / self._clock_rate

    # -- work

    def _carry_out(self, raft: Raft, ready: Ready) -> None:
        world = self._world
        world.safety.observes(self, raft)
        world.safety.hands_out_work(self, raft, ready)
        for call in ready.calls:
            self._start(call)
        if ready.write is not None:
            self._begin(ready.write)
        for response in ready.responses:
            if response.after > self.durable:
                self._promises.append(response)
            else:
                self._respond(response)
        for accepted in ready.accepted:
            self.proposals.accepted(accepted)
        for refused in ready.refused:
            self.proposals.refused(refused, self.not_leader(raft))
        for read in ready.reads:
            self._read_ended(raft, read)
        for transfer in ready.transfers:
            self._transferred(raft, transfer)
        for piece in ready.pieces:
            self.bulk.keep(piece)
        if ready.restore is not None:
            self.applying.clear()
            self._apply_later(ready.restore)
        if ready.committed is not None:
            self._apply_later(ready.committed)

    def not_leader(self, raft: Raft) -> NotLeader:
        """Where to ask instead."""
        return NotLeader(raft.leader_id)

    # -- calls to peers

    def _start(self, call: Call) -> None:
        self._world.safety.asks(self, call)
        if isinstance(call.request, InstallSnapshotRequest):
            self.bulk.send(call, call.request)
            return
        deadline = self._world.now + self._world.scenario.call_timeout_us
        self.call(call.target, call.request, deadline, partial(self._ended, self.life, call))

    def _ended(self, life: int, call: Call, response: Response | None) -> None:
        if life != self.life or self.raft is None:
            return
        self._world.safety.hears(self, call)
        if response is None or isinstance(response, ErrorResponse):
            self.post(CallFailed(call))
        else:
            self.post(Answered(call, response))  # type: ignore[arg-type]  # peers answer as peers do

    def ended(self, call: Call, response: Response | None) -> None:
        """A call that `Bulk` made for the core has ended."""
        self._ended(self.life, call, response)

    # -- the disk

    def _begin(self, write: Write) -> None:
        world = self._world
        world.safety.writes(self, write)
        self.writing = write
        world.after(self._write_us(), self._written, self.life, write)

    def _write_us(self) -> int:
        scenario, chance = self._world.scenario, self._chance
        if self._world.is_healing:
            return 1 + int(HEALTHY_WRITE_US * chance.random())
        slow_us = scenario.election_us * 8 * chance.random() ** 2 if self.disk_slowness else 0
        return 1 + int(scenario.write_us * (0.3 + chance.expovariate(1.4)) + slow_us)

    def _written(self, life: int, write: Write) -> None:
        if life != self.life or self.writing is not write:
            return
        if self.sync_fails:
            self._world.trouble.sync_failed(self)
            return
        self.disk.persist(write)  # also while the process stands still
        self.writing = None
        self._persisted(life, write)

    def _persisted(self, life: int, write: Write) -> None:
        if life == self.life and self.raft is not None and not self.is_stalled(self._persisted, life, write):
            self._world.happens(self.id, b"persisted")
            self.post(Persisted(write.number))

    def _release(self, number: int) -> None:
        self.durable = number
        while self._promises and self._promises[0].after <= number:
            self._respond(self._promises.popleft())

    def _respond(self, respond: Respond) -> None:
        self._asked.pop(respond.token)(respond.response)

    # -- being asked

    def serve(self, source: str, call_id: int, request: Request) -> None:
        """A peer or a client asks."""
        self._next_token += 1
        reply = partial(self.answer, source, call_id)
        if isinstance(request, PEER_REQUESTS):
            floor = len(self._world.safety.committed)
            self._asked[self._next_token] = partial(self._answer_peer, request, floor, reply)
            self.post(Received(self._next_token, request))
        elif isinstance(request, ProposeRequest):
            self._propose(request, reply)
        elif isinstance(request, QueryRequest):
            self._query(request, self._next_token, reply)
        elif isinstance(request, OpenSessionRequest):
            self._add(open_session(self._log_clock.now_ms()), EntryKind.OPEN_SESSION, partial(_opened, reply), reply)
        elif isinstance(request, ChangeMembershipRequest):
            if self._world.operator.has_revoked(request):
                return
            settle = partial(self._changed, reply)
            self.post(self.proposals.offer_change(request.members, request.remove, self._deadline(), settle))
        elif isinstance(request, TransferLeadershipRequest):
            self._transfers[self._next_token] = reply
            self.post(TransferLeadership(self._next_token, request.target or None))

    def _answer_peer(
        self, request: Request, floor: LogIndex, reply: Callable[[Response], None], response: Response
    ) -> None:
        self._world.safety.promises(self, request, response, floor)
        reply(response)

    def _propose(self, request: ProposeRequest, reply: Callable[[Response], None]) -> None:
        settle = partial(_proposed, reply)
        if not request.session_id:
            self._add(request.command, EntryKind.COMMAND, settle, reply)
            return
        data = session_command(
            self._log_clock.now_ms(),
            request.command,
            session_id=request.session_id,
            sequence=request.sequence,
            first_unanswered=request.first_unanswered,
        )
        self._add(data, EntryKind.SESSION_COMMAND, settle, reply)

    def _add(
        self, data: bytes, kind: int, settle: Callable[[LogIndex, Outcome], None], reply: Callable[[Response], None]
    ) -> None:
        try:
            if kind == EntryKind.COMMAND:
                self.proposals.add(data, settle)
            else:
                self.proposals.add_for_session(kind, data, settle)
        except RaftError as error:
            reply(error_response(error))
        else:
            self._wake()

    def _changed(self, reply: Callable[[Response], None], index: LogIndex, outcome: Outcome) -> None:
        if isinstance(outcome, RaftError):
            reply(error_response(outcome))
        else:
            reply(ChangeMembershipResponse(index=index, membership=self.state.membership))

    def _transferred(self, raft: Raft, ended: TransferEnded) -> None:
        reply = self._transfers.pop(ended.token)
        self._world.counters.transfers += not ended.why
        if ended.why or raft.leader_id is None:
            reply(error_response(TransferFailed(ended.why or "nobody leads yet")))
        else:
            reply(TransferLeadershipResponse(leader_id=raft.leader_id, term=raft.term))

    # -- reads

    def _query(self, request: QueryRequest, token: int, reply: Callable[[Response], None]) -> None:
        raft = self.raft
        assert raft is not None, f"{self.id} is down"
        follows = request.consistency is Consistency.FOLLOWER_LINEARIZABLE
        if request.consistency is Consistency.LOCAL:
            self._serve_read(request, reply)
        elif raft.role is not Role.LEADER and not follows:
            reply(error_response(self.not_leader(raft)))
        else:
            self._reading[token] = (request, reply)
            self._world.safety.begins_read(self, token)
            self.post(ReadIndex(token, lease=request.consistency is Consistency.LEASE))

    def _read_ended(self, raft: Raft, read: ReadReady | ReadRefused) -> None:
        request, reply = self._reading.pop(read.token)
        ready = isinstance(read, ReadReady) and not (read.lease and self._has_stood_still())
        if not ready:
            reply(error_response(self.not_leader(raft)))
            return
        assert isinstance(read, ReadReady)
        self._world.safety.ends_read(self, read)
        self._served.append((read.index, request, reply))
        self._serve_reads()

    def _has_stood_still(self) -> bool:
        return self._world.now - self._last_tick_at > LEASE_LAG_TICKS * self._tick_us

    def _serve_reads(self) -> None:
        if self.is_restoring:
            return
        due = [read for read in self._served if read[0] <= self.state.index]
        self._served = [read for read in self._served if read[0] > self.state.index]
        for _, request, reply in due:
            self._serve_read(request, reply)

    def _serve_read(self, request: QueryRequest, reply: Callable[[Response], None]) -> None:
        try:
            result = self.state.query(request.query)
        except RaftError as error:
            reply(error_response(error))
        else:
            reply(QueryResponse(applied_index=self.state.index, result=result))

    # -- applying

    @property
    def is_restoring(self) -> bool:
        """Whether its state is about to be replaced."""
        return any(isinstance(work, SnapshotMeta) for work in self.applying)

    def _apply_later(self, work: Committed | SnapshotMeta) -> None:
        self.applying.append(work)
        apply_us = self._world.scenario.apply_us
        if apply_us:
            self._world.after(apply_us, self._apply, self.life)
        else:
            self._apply(self.life)

    def _apply(self, life: int) -> None:
        if life != self.life or self.raft is None or self.is_stalled(self._apply, life):
            return
        while self.applying:
            work = self.applying.popleft()
            if isinstance(work, SnapshotMeta):
                self.bulk.restore(work)
                self.proposals.skipped(work.index)
            else:
                outcomes = self.state.apply(work.entries, work.first_index)
                self._world.oracle.demand_exactly_once()
                self._world.safety.applies(self, work, outcomes)
                self.proposals.applied(work.first_index, work.entries, outcomes)
            self._log_clock.saw(self.state.sessions.log_time_ms)
        self._serve_reads()
        self.bulk.maybe_take()


def _proposed(reply: Callable[[Response], None], index: LogIndex, outcome: Outcome) -> None:
    if isinstance(outcome, RaftError):
        reply(error_response(outcome))
    else:
        reply(ProposeResponse(index=index, result=outcome))


def _opened(reply: Callable[[Response], None], index: LogIndex, outcome: Outcome) -> None:
    reply(error_response(outcome) if isinstance(outcome, RaftError) else OpenSessionResponse(session_id=index))
