"""Everything that can happen to a node, as facts. The core learns of the world through these alone."""

from typing import TypeAlias

from msgspec import Struct

from raftsdk.core.ready import Call
from raftsdk.messages import PeerRequest, PeerResponse
from raftsdk.types import Member, NodeId, SnapshotMeta


class Tick(Struct, frozen=True, gc=False):
    """Time has passed, in units of `RaftConfig.tick_interval_ms`. There is no other clock.

    `passed` units were lived through, up to `Raft.ticks_until_due` of them: as many as nothing comes of before the last
    one, so that whoever keeps the time may sleep. `lapsed` is how many there really were, when the process was stopped
    meanwhile: elections take no notice of those, since what peers said in that time was not heard either; a lease runs
    out by all of them.
    """

    lapsed: int = 1
    passed: int = 1


class Propose(Struct, frozen=True, gc=False):
    """Somebody wants these commands in the log, next to each other and in this order.

    All of them are accepted or none. `token` comes back in `Ready.accepted` or `Ready.refused`; it means nothing here.
    """

    token: int
    commands: list[bytes]
    kinds: list[int] | None = None  #: The `EntryKind` of each; None: all are `COMMAND`.


class ChangeMembership(Struct, frozen=True, gc=False):
    """Somebody wants other members: `members` are added or replace those of their ids, `remove` go (paper §6).

    Accepted, it is in the log as of `Accepted.first_index`; what two majorities must decide is followed by a second
    entry once that is committed, of itself. Ends, like a proposal, in `Ready.accepted` or `Ready.refused`.
    """

    token: int
    members: tuple[Member, ...] = ()
    remove: tuple[NodeId, ...] = ()


class ReadIndex(Struct, frozen=True, gc=False):
    """Somebody wants to read what is as fresh as this moment (thesis §6.4). Ends in `Ready.reads`."""

    token: int
    lease: bool = False  #: A lease will do in the place of a quorum's answer, where the configuration allows it.


class TransferLeadership(Struct, frozen=True, gc=False):
    """Somebody wants `target` to lead, or any other voter (None) (thesis §3.10). Ends in `Ready.transfers`."""

    token: int
    target: NodeId | None = None


class SnapshotTaken(Struct, frozen=True, gc=False):
    """A snapshot of this node's own state is finished, and its bytes are durable: the log may be cut."""

    meta: SnapshotMeta


class Silent(Struct, frozen=True, gc=False):
    """Nothing was heard of that node for an election timeout, whatever group it might have been about. Told to a node
    that relies on it (`quiescence.watched`).
    """

    node_id: NodeId


class PieceKept(Struct, frozen=True, gc=False):
    """A `Ready.pieces` was dealt with, and the snapshot is not whole: `next_offset` bytes of it are here."""

    token: int
    next_offset: int


class SnapshotReceived(Struct, frozen=True, gc=False):
    """With the piece of `token` a snapshot is whole, its digest right, and its bytes are durable."""

    token: int
    meta: SnapshotMeta


class Received(Struct, frozen=True, gc=False):
    """A peer's request has arrived. Its answer will be a `Respond` with the same token."""

    token: int
    request: PeerRequest


class Answered(Struct, frozen=True, gc=False):
    """One of our calls came back with an answer."""

    call: Call
    response: PeerResponse


class CallFailed(Struct, frozen=True, gc=False):
    """One of our calls will never be answered. The target may or may not have acted on it."""

    call: Call


class Persisted(Struct, frozen=True, gc=False):
    """The write of that number is durable."""

    number: int


Event: TypeAlias = (
    Tick
    | Propose
    | ChangeMembership
    | ReadIndex
    | TransferLeadership
    | SnapshotTaken
    | PieceKept
    | SnapshotReceived
    | Received
    | Answered
    | CallFailed
    | Persisted
    | Silent
)
