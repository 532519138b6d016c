"""`RaftNode`: one member of a cluster, running."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.raft import Raft
from raftsdk.errors import NodeStopped, RaftError
from raftsdk.messages import (
    AppendEntriesRequest,
    Consistency,
    ErrorCode,
    ErrorResponse,
    PeerStatus,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    Request,
    RequestVoteRequest,
    Response,
    StatusRequest,
    StatusResponse,
    error_response,
)
from raftsdk.ports import RaftNetwork, StateMachine, Storage
from raftsdk.runtime.applier import Applier, failure, no_bytes
from raftsdk.runtime.handler import Handler
from raftsdk.runtime.loop import Loop
from raftsdk.runtime.proposals import Outcome, Proposals
from raftsdk.types import Identity, LogIndex, Member, Membership, NodeId


class RaftNode(Handler):
    """One node, alive between `async with` and its end; made by `NodeBuilder`, or by hand from its parts.

    A fault that a node must not survive (`StorageFailed`, a bug) cancels the body of the `async with` and is raised
    from it, like the failure of any task in a task group. On the way out everything is closed, and every proposal still
    open ends in `OutcomeUnknown`.

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
    ) -> None:
        self.identity = identity
        self._membership = membership
        self._network = network
        self._storage = storage
        self._state_machine = state_machine
        self._config = config
        self._rng = rng or random.Random()
        self._proposals = Proposals(config)
        self._applier = Applier(state_machine, self._proposals.applied)
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
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
            self._raft = Raft(self.identity.node_id, self._membership, recovered, self._config, self._rng)
            self._loop = Loop(self._raft, self._storage, self._network, self._applier, self._proposals, self._config)
            await self._network.start(self)
        except BaseException:
            await self._close_parts()
            raise
        self._create_future = asyncio.get_running_loop().create_future
        await self._group.__aenter__()
        jobs = (self._loop.run, self._loop.persist, self._loop.tick, self._applier.run)
        self._tasks = [self._group.create_task(_cancelled_by_us_alone(job)) for job in jobs]
        self._running = True
        for task in self._tasks:
            task.add_done_callback(self._halt)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, close everything, and raise what made the node fail, if something did."""
        self._halt()
        for task in self._tasks:
            task.cancel()
        # The group wraps what it is told of; the body's own exception is none of its business, a cancellation is.
        cancelled = (kind, error, trace) if isinstance(error, asyncio.CancelledError) else (None, None, None)
        try:
            await self._group.__aexit__(*cancelled)
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        finally:
            await self._close_parts()

    def _halt(self, _ended: object = None) -> None:
        """Take nothing more, and tell whoever waits. At a fault at once, though the body may take its time to end: it
        may be waiting for one of those who wait.
        """
        self._running = False
        self._proposals.stop()
        self._loop.leader_changed.set()

    async def _close_parts(self) -> None:
        try:
            await self._network.aclose()
        finally:
            await self._storage.aclose()

    # -- for the application in this process

    async def propose(self, command: bytes) -> bytes:
        """Replicate `command`, apply it, and return what the state machine returned for it.

        Raises `NotLeader`, `Overloaded`, `CommandTooLarge` or `NodeStopped` when it is in no log, `ProposalDropped`
        when it lost its place in one, `CommandFailed` when it was applied and refused, and `OutcomeUnknown` when nobody
        can tell (after `proposal_timeout_ms`, or at the end of the node). Cancelling only stops the waiting.
        """
        self._require_running()
        future: asyncio.Future[bytes] = self._create_future()
        self._loop.propose(command, partial(_settle, future))
        return await future

    async def query(self, query: bytes, *, consistency: Consistency = Consistency.LOCAL) -> bytes:
        """Ask the state machine without changing it. What this node has applied may be old (`Consistency.LOCAL`).

        For an answer that includes every acknowledged write, ask through the log: `propose` a command that only reads.
        Raises `CommandFailed` with what the state machine raised.
        """
        self._require_running()
        return self._query(query)

    def _query(self, query: bytes) -> bytes:
        try:
            result = self._state_machine.query(query)
        except Exception as error:
            raise failure(error) from error
        if type(result) is not bytes:
            raise no_bytes(self._state_machine.query, result)
        return result

    async def leader(self) -> NodeId:
        """Wait until this node knows who leads, and return that node's id. The caller brings the deadline. Raises
        `NodeStopped` when the node ends first.
        """
        self._require_running()
        while self._raft.leader_id is None:
            await self._loop.leader_changed.wait()
            self._require_running()
        return self._raft.leader_id

    @property
    def is_leader(self) -> bool:
        """Whether this node believes that it leads; another may know better."""
        return self._running and self._raft.role is Role.LEADER

    def status(self) -> StatusResponse:
        """How the node is, in one consistent picture."""
        self._require_running()
        raft = self._raft
        return StatusResponse(
            node_id=raft.id,
            cluster_id=self.identity.cluster_id,
            role=raft.role.value,
            term=raft.term,
            leader_id=raft.leader_id or "",
            last_log_index=raft.log.last_index,
            durable_index=raft.log.durable_index,
            commit_index=raft.log.commit_index,
            applied_index=self._applier.applied_index,
            peers=[self._peer_status(member) for member in raft.membership.members if member.id != raft.id],
        )

    def _peer_status(self, member: Member) -> PeerStatus:
        progress = self._raft.progress.get(member.id)
        link = self._network.link(member.id)
        return PeerStatus(
            node_id=member.id,
            addresses=list(member.addresses),
            state=progress.state.value if progress else "",
            match_index=progress.match_index if progress else 0,
            next_index=progress.next_index if progress else 0,
            outstanding_calls=progress.outstanding if progress else 0,
            connected=link.connected,
            codec=link.codec,
            transport=link.transport,
        )

    # -- for the network

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """See `RaftHandler.deliver`."""
        try:
            self._require_running()
            if isinstance(request, AppendEntriesRequest | RequestVoteRequest):
                self._loop.receive(request, reply)
            elif isinstance(request, ProposeRequest):
                self._deliver_proposal(request, reply)
            elif isinstance(request, QueryRequest):
                result = self._query(request.query)
                reply(QueryResponse(applied_index=self._applier.applied_index, result=result))
            elif isinstance(request, StatusRequest):
                reply(self.status())
            else:
                reply(ErrorResponse(code=ErrorCode.UNSUPPORTED, message="this node takes no snapshots or transfers"))
        except RaftError as error:
            reply(error_response(error))

    def _deliver_proposal(self, request: ProposeRequest, reply: Callable[[Response], None]) -> None:
        def settle(index: LogIndex, outcome: Outcome) -> None:
            if isinstance(outcome, bytes):
                reply(ProposeResponse(index=index, result=outcome))
            else:
                reply(error_response(outcome))

        self._loop.propose(request.command, settle)

    def _require_running(self) -> None:
        if not self._running:
            raise NodeStopped(f"{self.identity.node_id} is not running")


async def _cancelled_by_us_alone(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
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
