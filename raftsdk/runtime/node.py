"""`RaftNode`: one member of a cluster, running."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Final, Self

from msgspec.structs import replace

from raftsdk.checks import check, check_memberships
from raftsdk.config import RaftConfig
from raftsdk.core.raft import Raft
from raftsdk.errors import (
    DecodeError,
    MembershipRefused,
    NodeStopped,
    OutcomeUnknown,
    Overloaded,
    RaftError,
    TransferFailed,
)
from raftsdk.messages import (
    AppendEntriesRequest,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    Consistency,
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    OpenSessionRequest,
    OpenSessionResponse,
    PeerRequest,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    Request,
    Response,
    StatusRequest,
    StatusResponse,
    TakeSnapshotRequest,
    TakeSnapshotResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
    error_response,
)
from raftsdk.ports import RaftNetwork, StateMachine, Storage, WatchfulNetwork
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.handler import Handler
from raftsdk.runtime.joining import Join, Joining
from raftsdk.runtime.loop import Job, Loop
from raftsdk.runtime.outcomes import Outcome, Settle
from raftsdk.runtime.sessions import open_session, session_command
from raftsdk.runtime.status import status_of
from raftsdk.types import (
    EntryKind,
    HardState,
    Identity,
    LogIndex,
    Member,
    Membership,
    NodeId,
    Recovered,
    SnapshotMeta,
)

MAX_INCARNATION: Final = 2**53 - 1
"""Of those that are drawn here: memberships travel as JSON, and not everybody reads larger numbers exactly."""

MAX_ERRANDS: Final = 64
"""Changes of members, transfers and snapshots that clients wait for; more is refused."""


class RaftNode(Handler):
    """One node, alive between `async with` and its end; made by `NodeBuilder`, or by hand from its parts.

    A fault that a node must not survive (`StorageFailed`, a bug) cancels the body of the `async with` and is raised
    from it, like the failure of any task in a task group. On the way out everything is closed, and every proposal still
    open ends in `OutcomeUnknown`. Left without an exception, a leader hands over leadership first.

    `membership` is who the cluster is founded with; the log's own memberships count once there are any. A node that is
    to `join` a running cluster has none.

    Every method belongs to the event loop the node was entered in.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        membership: Membership,
        network: RaftNetwork,
        storage: Storage,
        state_machine: StateMachine,
        config: RaftConfig,
        rng: random.Random | None = None,
        join: Join | None = None,
    ) -> None:
        self.identity = identity
        self._membership = membership
        self._network = network
        self._storage = storage
        # Without a network that hears other nodes for all groups at once, every group has to be heard by itself.
        self._config = config if isinstance(network, WatchfulNetwork) else replace(config, quiesce_interval_ticks=0)
        self._rng = rng or random.Random()
        self._join = join
        self._state = AppliedState(state_machine, membership)
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._running = False

    # -- life

    async def __aenter__(self) -> Self:
        """Load what is stored, listen, and run. Raises `StorageRefused`, or `OSError` when an address is taken."""
        if self._tasks:
            raise RuntimeError(
                f"{self.identity.node_id} has run before, and its state machine with it: build a new node"
            )
        try:
            recovered = await self._storage.load(self.identity)
            incarnation = self._rng.randint(1, MAX_INCARNATION) if self._join and _is_new(recovered) else 0
            self._raft = Raft(
                self.identity.node_id, self._membership, recovered, self._config, self._rng, incarnation=incarnation
            )
            self._loop = Loop(self._raft, self._storage, self._network, self._state, self._config)
            await self._network.start(self)
        except BaseException:
            await self._close_parts()
            raise
        self._create_future = asyncio.get_running_loop().create_future
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(_cancelled_by_us_alone(job)) for job in self._loop.jobs()]
        self._running = True
        for task in self._tasks:
            task.add_done_callback(self._halt)
        if self._join:
            joining = Joining(self._join, self._raft, self._loop, self._state, self._rng, is_new=incarnation > 0)
            self._tasks.append(self._group.create_task(_cancelled_by_us_alone(joining.run)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, close everything, and raise what made the node fail, if something did."""
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        if error is None:
            try:
                await self._hand_over()
            except asyncio.CancelledError as caught:  # by whoever runs this, or by the group: something failed
                cancelled = caught
        self._halt()
        for task in [*self._tasks, *self._errands]:
            task.cancel()
        try:
            # The group wraps what it is told of; the body's own exception is none of its business, a cancellation is.
            await self._group.__aexit__(type(cancelled) if cancelled else None, cancelled, None)
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        finally:
            await self._close_parts()

    async def _hand_over(self) -> None:
        """Spare the others an election, if somebody can take over at once. Never takes longer than one would."""
        raft = self._raft
        if self.is_leader and raft.membership.voters() - {raft.id}:
            with suppress(RaftError):
                await self._end_leadership(None)

    def _halt(self, _ended: object = None) -> None:
        """Take nothing more, and tell whoever waits. At a fault at once, though the body may take its time to end: it
        may be waiting for one of those who wait.
        """
        self._running = False
        self._loop.stop()

    async def _close_parts(self) -> None:
        try:
            await self._network.aclose()
        finally:
            await self._storage.aclose()

    # -- for the application in this process

    async def propose(
        self, command: bytes, *, session_id: int = 0, sequence: int = 0, first_unanswered: int = 0
    ) -> bytes:
        """Replicate `command`, apply it, and return what the state machine returned for it.

        Raises `NotLeader`, `Overloaded`, `CommandTooLarge` or `NodeStopped` when it is in no log, `ProposalDropped`
        when it lost its place in one, `CommandFailed` when it was applied and refused, and `OutcomeUnknown` when nobody
        can tell (after `proposal_timeout_ms`, or at the end of the node). Cancelling only stops the waiting.

        With a session (`open_session`) it is applied once however often it is proposed (thesis §6.3): `sequence`
        numbers the session's commands from 1 on, and the result of those below `first_unanswered` is known and may be
        forgotten. Raises `SessionExpired` when the session, or the result, was.
        """
        self._require_running()
        future: asyncio.Future[bytes] = self._create_future()
        if session_id:
            self._propose_once(command, session_id, sequence, first_unanswered, partial(_settle, future))
        else:
            self._loop.propose(command, partial(_settle, future))
        return await future

    def _propose_once(
        self, command: bytes, session_id: int, sequence: int, first_unanswered: int, settle: Settle
    ) -> None:
        data = session_command(
            self._loop.log_clock.now_ms(),
            command,
            session_id=session_id,
            sequence=sequence,
            first_unanswered=first_unanswered,
        )
        self._loop.propose_for_session(EntryKind.SESSION_COMMAND, data, settle)

    async def open_session(self) -> int:
        """Begin a session, and return its id. It ends when it was not used for an hour, in the log's time, or when ten
        thousand others were used since. Raises as `propose` does.
        """
        self._require_running()
        future: asyncio.Future[LogIndex] = self._create_future()
        self._open_session(partial(_settle_index, future))
        return await future

    def _open_session(self, settle: Settle) -> None:
        self._loop.propose_for_session(EntryKind.OPEN_SESSION, open_session(self._loop.log_clock.now_ms()), settle)

    async def query(
        self, query: bytes, *, consistency: Consistency = Consistency.LOCAL, max_staleness_ms: int = 0
    ) -> bytes:
        """Ask the state machine without changing it; `consistency` says how fresh the answer must be.

        Raises `CommandFailed` with what the state machine raised; `NotLeader` when another node is to be asked, or
        nobody leads; `Overloaded`; `NodeStopped`.
        """
        self._require_running()
        if consistency is Consistency.LOCAL and not self._loop.reads.paused:
            return self._state.query(query)
        future: asyncio.Future[bytes] = self._create_future()
        self._read(query, consistency, max_staleness_ms, partial(_settle, future))
        return await future

    def _read(self, query: bytes, consistency: Consistency, max_staleness_ms: int, settle: Settle) -> None:
        if consistency in (Consistency.LINEARIZABLE, Consistency.LEASE):
            self._require_leader()
        self._loop.read(query, consistency, max_staleness_ms, settle)

    async def leader(self) -> NodeId:
        """Wait until this node knows who leads, and return that node's id. The caller brings the deadline. Raises
        `NodeStopped` when the node ends first.
        """
        self._require_running()
        while self._raft.leader_id is None:
            await self._loop.changed.wait()
            self._require_running()
        return self._raft.leader_id

    @property
    def is_leader(self) -> bool:
        """Whether this node believes that it leads; another may know better."""
        return self._running and self._raft.leads

    def status(self) -> StatusResponse:
        """How the node is, in one consistent picture."""
        self._require_running()
        return status_of(self._raft, self._state.index, self._network, self.identity.cluster_id)

    # -- for whoever operates the cluster

    async def change_membership(
        self, members: Sequence[Member] = (), remove: Sequence[NodeId] = ()
    ) -> ChangeMembershipResponse:
        """Add `members`, or put them in the place of those with their ids, and remove others (paper §6, thesis §4).

        Returns once the change is committed, and no longer joint. Raises `MembershipRefused` and `NotLeader` when it is
        in no log, `ProposalDropped` when it lost its place in one, and `OutcomeUnknown` when nobody can tell, or when
        it was begun and is not finished after `proposal_timeout_ms`; asking for the same again does no harm.
        """
        self._require_running()
        try:
            check(ChangeMembershipRequest(members=[*members], remove=[*remove]))
        except DecodeError as error:
            raise MembershipRefused(str(error)) from None
        future: asyncio.Future[LogIndex] = self._create_future()
        self._loop.change_membership(members, remove, partial(_settle_index, future))
        index, state = await future, self._state
        await self._until(
            lambda: state.membership_index >= index and not state.membership.outgoing,
            self._config.proposal_timeout_ms,
            OutcomeUnknown(f"the change of members at entry {index} was begun, and is not finished"),
        )
        return ChangeMembershipResponse(index=state.membership_index, membership=state.membership)

    async def transfer_leadership(self, target: NodeId | None = None) -> NodeId:
        """Have `target` lead, or any other voter (thesis §3.10), and return who leads then. Until it has ended, nothing
        is accepted. Raises `NotLeader`, and `TransferFailed` when leadership was not handed over within an election
        timeout, or nobody is known to lead soon after.
        """
        self._require_leader()
        await self._end_leadership(target)
        await self._until(
            lambda: self._raft.leader_id not in (None, self._raft.id),
            2 * self._config.election_timeout_ticks * self._config.tick_interval_ms,
            TransferFailed("leadership was handed over, and nobody is known to lead yet"),
        )
        return self._raft.leader_id or ""

    async def _end_leadership(self, target: NodeId | None) -> None:
        ended: asyncio.Future[str] = self._create_future()
        self._loop.transfer_leadership(target, lambda why: None if ended.done() else ended.set_result(why))
        if why := await ended:
            raise TransferFailed(why)

    async def take_snapshot(self) -> SnapshotMeta:
        """Take a snapshot of this node's state now, cut its log, and say what is in it; it is durable. Raises
        `SnapshotFailed`. A snapshot that is just being taken is shared.
        """
        self._require_running()
        while self._loop.reads.paused:  # there is no state to take one of
            await self._loop.changed.wait()
            self._require_running()
        return await self._loop.snapshots.take()

    async def _until(self, holds: Callable[[], bool], timeout_ms: int, otherwise: RaftError) -> None:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while not holds():
                    await self._loop.changed.wait()
                    self._require_running()
        except (TimeoutError, NodeStopped):
            raise otherwise from None

    # -- for the network

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """See `RaftHandler.deliver`."""
        try:
            self._require_running()
            if isinstance(request, ProposeRequest):
                self._deliver_proposal(request, partial(_reply_proposed, reply))
            elif isinstance(request, PeerRequest):
                self._deliver_from_peer(request, reply)
            elif isinstance(request, QueryRequest):
                self._read(request.query, request.consistency, request.max_staleness_ms, partial(_reply_queried, reply))
            elif isinstance(request, OpenSessionRequest):
                self._open_session(partial(_reply_opened, reply))
            elif isinstance(request, StatusRequest):
                reply(self.status())
            else:
                self._run_errand(request, reply)
        except RaftError as error:
            reply(error_response(error))

    def _deliver_from_peer(self, request: PeerRequest, reply: Callable[[Response], None]) -> None:
        if isinstance(request, AppendEntriesRequest):
            try:
                check_memberships(request)
            except DecodeError as error:
                reply(ErrorResponse(code=ErrorCode.BAD_REQUEST, message=str(error)))
                return
        elif isinstance(request, InstallSnapshotRequest) and not self._loop.snapshots.possible:
            reply(ErrorResponse(code=ErrorCode.UNSUPPORTED, message=f"{self.identity.node_id} keeps no snapshots"))
            return
        self._loop.receive(request, reply)

    def _deliver_proposal(self, request: ProposeRequest, settle: Settle) -> None:
        if request.session_id:
            self._propose_once(request.command, request.session_id, request.sequence, request.first_unanswered, settle)
        else:
            self._loop.propose(request.command, settle)

    def _run_errand(self, request: Request, reply: Callable[[Response], None]) -> None:
        """What takes its time and comes rarely: a task each."""
        if len(self._errands) >= MAX_ERRANDS:
            raise Overloaded(f"{MAX_ERRANDS} changes, transfers and snapshots are under way")
        task = self._group.create_task(self._errand(request, reply))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _errand(self, request: Request, reply: Callable[[Response], None]) -> None:
        try:
            reply(await self._carry_out(request))
        except RaftError as error:
            reply(error_response(error))
        except asyncio.CancelledError:
            reply(error_response(OutcomeUnknown("the node stopped")))
            raise

    async def _carry_out(self, request: Request) -> Response:
        if isinstance(request, ChangeMembershipRequest):
            return await self.change_membership(request.members, request.remove)
        if isinstance(request, TransferLeadershipRequest):
            leader_id = await self.transfer_leadership(request.target or None)
            return TransferLeadershipResponse(leader_id=leader_id, term=self._raft.term)
        assert isinstance(request, TakeSnapshotRequest), "every other request is none for a node"
        meta = await self.take_snapshot()
        return TakeSnapshotResponse(last_included_index=meta.index, total_bytes=meta.total_bytes)

    def _require_running(self) -> None:
        if not self._running:
            raise NodeStopped(f"{self.identity.node_id} is not running")

    def _require_leader(self) -> None:
        self._require_running()
        if not self._raft.leads:
            raise self._loop.not_leader()


def _is_new(recovered: Recovered) -> bool:
    """Whether a store is empty: who joins with it gets an incarnation of its own."""
    return recovered.hard_state == HardState() and not recovered.entries and recovered.snapshot is None


async def _cancelled_by_us_alone(job: Job) -> None:
    """A part of the user's own may raise `CancelledError` unasked, from a future of its own that was given up. To the
    group that is an orderly end, of this task alone: a leader that goes on with heartbeats and never writes again.
    """
    try:
        await job()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("a part of this node raised CancelledError, and nobody had cancelled it") from error


def _settle(future: asyncio.Future[bytes], _index: LogIndex, outcome: Outcome) -> None:
    """A partial of this, not a closure: with the event loop looked up once, a proposal costs a fifth less."""
    if future.done():
        return
    if isinstance(outcome, bytes):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)


def _settle_index(future: asyncio.Future[LogIndex], index: LogIndex, outcome: Outcome) -> None:
    if future.done():
        return
    if isinstance(outcome, bytes):
        future.set_result(index)
    else:
        future.set_exception(outcome)


def _reply_proposed(reply: Callable[[Response], None], index: LogIndex, outcome: Outcome) -> None:
    reply(ProposeResponse(index=index, result=outcome) if isinstance(outcome, bytes) else error_response(outcome))


def _reply_queried(reply: Callable[[Response], None], index: LogIndex, outcome: Outcome) -> None:
    reply(QueryResponse(applied_index=index, result=outcome) if isinstance(outcome, bytes) else error_response(outcome))


def _reply_opened(reply: Callable[[Response], None], index: LogIndex, outcome: Outcome) -> None:
    reply(OpenSessionResponse(session_id=index) if isinstance(outcome, bytes) else error_response(outcome))
