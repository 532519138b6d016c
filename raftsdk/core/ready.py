"""Everything that must be done, grouped by *when* it may be done: a promise in the wrong group is a visible mistake."""

from typing import Final

from msgspec import Struct, field

from raftsdk.messages import InstallSnapshotRequest, PeerRequest, PeerResponse
from raftsdk.types import Entry, LogIndex, Membership, NodeId, SnapshotMeta, Term, Write


class Call(Struct, frozen=True, gc=False):
    """A request to a peer. It ends in exactly one `Answered` or `CallFailed` that carries this very object.

    An `InstallSnapshotRequest` stands for a whole snapshot: its fields name one that the store has, and its `data` is
    for the runtime to read and send, in as many pieces as it likes; the call ends with the last of them.
    """

    target: NodeId
    request: PeerRequest
    epoch: int = 0  #: Which reading of the peer's progress it belongs to; see `Progress.epoch`.
    round: int = 0  #: The last round of reads begun before it: any answer to it confirms the leader for that round.
    started_at: int = 0  #: In the sender's ticks: any answer to it renews a lease from then on.


class Respond(Struct, frozen=True, gc=False):
    """An answer to a peer: a promise, to be released once the write `after` is durable (0: at once)."""

    token: int
    response: PeerResponse
    after: int


class Accepted(Struct, frozen=True, gc=False):
    """A proposal is in this leader's log, its first command at `first_index`. It is not committed."""

    token: int
    first_index: LogIndex
    term: Term


class ProposalRefused(Struct, frozen=True, gc=False):
    """A proposal, or a change of members, is in no log: this node does not lead, or see the other fields."""

    token: int
    overloaded: bool = False  #: Too much is uncommitted, or leadership is just being handed over: ask again later.
    why: str = ""  #: What stands against it, where the other fields do not say: of a change of members, always.


LEASE_LAG_TICKS: Final = 2
"""The time may be so much later than the core knows when a lease read is served: leases end so much earlier."""


class ReadReady(Struct, frozen=True, gc=False):
    """A read may be served as soon as the state machine has applied everything up to `index`.

    With `lease`, only while the runtime's own clock says that no more than `LEASE_LAG_TICKS` passed since the last
    `Tick`: a process that was stopped in between may have been deposed.
    """

    token: int
    index: LogIndex
    lease: bool = False


class ReadRefused(Struct, frozen=True, gc=False):
    """A read has no answer here: nobody is known to lead, or whoever does could not be asked in time."""

    token: int


class TransferEnded(Struct, frozen=True, gc=False):
    """How handing over leadership ended; `why` is empty when another node leads, or is about to."""

    token: int
    why: str = ""


class Piece(Struct, frozen=True, gc=False):
    """A piece of a snapshot to be kept. Ends in `PieceKept` or `SnapshotReceived` with this token."""

    token: int
    request: InstallSnapshotRequest


class Committed(Struct, frozen=True, gc=False):
    """Entries for the state machine: `entries[0]` has index `first_index`, and every index comes exactly once."""

    first_index: LogIndex
    entries: list[Entry]


class Alarm(Struct, frozen=True, gc=False):
    """Something that an honest peer cannot have done. Nothing was changed because of it; an operator should know."""

    name: str  #: A short word fit for a metric's label.
    text: str


class Ready(Struct):
    """Work for the runtime. Groups are in the order in which they may be carried out; within one, order matters too."""

    # -- at once, beside the disk write (thesis §10.2.1)
    calls: list[Call] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    refused: list[ProposalRefused] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    membership: Membership | None = None  #: Who the members are from now on, when that has changed.
    reads: list[ReadReady | ReadRefused] = field(default_factory=list)
    transfers: list[TransferEnded] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    # -- to the disk, as one atomic and durable write; at most one is in flight
    write: Write | None = None
    # -- each only when the write it names is durable
    responses: list[Respond] = field(default_factory=list)
    # -- whenever convenient, in this order
    restore: SnapshotMeta | None = None  #: The state machine's whole state is to be that of this snapshot.
    committed: Committed | None = None
