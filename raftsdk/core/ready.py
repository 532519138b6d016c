"""Everything that must be done, grouped by *when* it may be done: a promise in the wrong group is a visible mistake."""

from msgspec import Struct, field

from raftsdk.messages import PeerRequest, PeerResponse
from raftsdk.types import Entry, LogIndex, NodeId, Term, Write


class Call(Struct, frozen=True, gc=False):
    """A request to a peer. It ends in exactly one `Answered` or `CallFailed` that carries this very object."""

    target: NodeId
    request: PeerRequest
    epoch: int = 0  #: Which reading of the peer's progress it belongs to; see `Progress.epoch`.


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
    """A proposal is in no log: this node does not lead (`overloaded` false), or has too much uncommitted already."""

    token: int
    overloaded: bool


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
    # -- to the disk, as one atomic and durable write; at most one is in flight
    write: Write | None = None
    # -- each only when the write it names is durable
    responses: list[Respond] = field(default_factory=list)
    # -- whenever convenient, in this order
    committed: Committed | None = None
