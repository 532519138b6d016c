"""Typed calls between nodes: the seam of whoever has an RPC system of their own."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

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
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raftsdk.ports.snapshots import SnapshotSource
from raftsdk.types import NodeId


class LinkStatus(Struct, frozen=True):
    """What is known of the way to one peer; shown by `raftsdk status`."""

    connected: bool = False
    codec: str = ""
    transport: str = ""


@runtime_checkable
class RaftHandler(Protocol):
    """Where a network delivers what other nodes ask of this one. Every `RaftNode` is one."""

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """Take a request. Never blocks and never raises.

        `reply` is called exactly once, now or later, from the same event loop, with the response or an `ErrorResponse`.
        The network has already made sure who is speaking: that the `leader_id` or `candidate_id` of a peer's request is
        that peer's.
        """
        ...

    async def handle(self, request: Request) -> Response:
        """`deliver` for whoever serves with coroutines, at the price of a task: returns what `reply` would be given.

        Cancelling only gives up the response.
        """
        ...


@runtime_checkable
class RaftNetwork(Protocol):
    """Carries typed requests to other nodes, and theirs to this one.

    *Order.* Calls to one target that carry entries reach it in the order they were started, and so do those that
    carry none (votes and heartbeats); those without entries may overtake those with, and should, so that a heartbeat
    never waits behind bulk. "Started" means the coroutine's first step: an implementation puts the request on its way
    before its first suspension. Order is a promise of speed: when it is broken the window is worth little, and
    nothing is lost.
    *Completion.* In any order, each call exactly once, by returning or by raising, within the network's own deadline.
    *Raising* (`Unreachable`, `Refused`) means the target may or may not have acted. Never answers for a node that did
    not answer. Repeats are harmless: the core expects them.
    *Isolation.* A target that hangs, floods or lies delays no call to another target. What waits for one target is
    bounded in bytes; beyond that, a call raises `Unreachable` at once.
    *Cancellation* of a call only gives up its answer. Used from one event loop; need not be thread-safe.
    """

    async def start(self, handler: RaftHandler) -> None:
        """Begin to deliver incoming requests to `handler`. Called once, before any call. Raises `OSError` when an
        address to listen on cannot be had.
        """
        ...

    async def request_vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        """Ask for a vote (paper §5.2)."""
        ...

    async def append_entries(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        """Send entries, or a heartbeat (paper §5.3)."""
        ...

    async def install_snapshot(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        """Bring the whole of `source` to `target` (paper §7), in pieces that repeat what `request` says. Not before
        everything arrived or the target needs no more does this return. It has no deadline, but raises when nothing
        moves; `SnapshotDamaged` when the target found it not to be what its digest says; and what `source` raises. A
        later call for the same snapshot goes on where an earlier one ended. Pieces delay no other call.

        A network without this method leaves followers behind that need a snapshot.
        """
        ...

    async def timeout_now(self, target: NodeId, request: TimeoutNowRequest) -> TimeoutNowResponse:
        """Ask `target` to campaign at once (thesis §3.10). Without this method leadership cannot be transferred."""
        ...

    async def read_index(self, target: NodeId, request: ReadIndexRequest) -> ReadIndexResponse:
        """Ask the leader how far to have applied (thesis §6.4). Without this method followers serve no such reads."""
        ...

    def set_addresses(self, target: NodeId, addresses: Sequence[str]) -> None:
        """From now on `target` is to be found at `addresses`; none: it is no member any more. Without this method, a
        network finds its nodes by itself.
        """
        ...

    def link(self, target: NodeId) -> LinkStatus:
        """What is known of the way to `target` now. Cheap; for people."""
        ...

    async def aclose(self) -> None:
        """Stop listening, end every connection; outstanding calls raise `Unreachable`. May be called twice."""
        ...


@runtime_checkable
class WatchfulNetwork(RaftNetwork, Protocol):
    """A network that tells which nodes live, without a call of any group. Over any other, groups never quiesce."""

    def watch(
        self,
        targets: Collection[NodeId],
        *,
        interval_s: float,
        silence_s: float,
        lost: Callable[[NodeId], None],
    ) -> None:
        """From now on each of `targets` hears from this node at least every `interval_s`, and `lost` is told, once, of
        each of which nothing was heard for `silence_s`, whatever it was about; that one is then watched no more. Takes
        the place of what was watched before; no targets: the end of it.

        A target that was not heard yet counts as heard when it was first watched. Time in which this process itself
        stood still is nobody's silence. `lost` never blocks and never raises; it is called from the event loop, never
        from within `watch`, and may call that. Make `silence_s` several times as long as `interval_s`.
        """
        ...
