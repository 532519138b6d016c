"""The nouns of Raft, as small frozen records every other module shares.

Names and meanings are those of the Raft paper (Ongaro and Ousterhout, "In Search of an Understandable Consensus
Algorithm", Figure 2). Numbers are plain integers: a term and a log index run from 0 ("none", "before the first") to
`MAX_INTEGER`, which every codec, store and foreign wire we speak can carry exactly.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct, json

MAX_INTEGER: Final = 2**63 - 1
"""The ceiling of terms, log indexes and counters: what SQLite, Java and Go's `int64` can hold too."""

MAX_ID_CHARS: Final = 128

# Lists have ceilings because the smallest item of a list takes a score of times more memory than bytes on the wire.
MAX_MEMBERS: Final = 64
"""How many members a cluster may have, in a message or in configuration."""

MAX_ADDRESSES: Final = 16
"""How many addresses of one node a message may carry."""

Unsigned: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
NodeId: TypeAlias = str
Term: TypeAlias = Unsigned
LogIndex: TypeAlias = Unsigned

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def is_identifier(text: str) -> bool:
    """Whether `text` may name a node or a cluster: 1 to 128 letters, digits, `.`, `_`, `-`, none of these three first.

    Ids end up in file names, log lines and certificates; this alphabet is harmless in all three.

    >>> is_identifier("n1"), is_identifier("../etc"), is_identifier("")
    (True, False, False)
    """
    return len(text) <= MAX_ID_CHARS and _IDENTIFIER.fullmatch(text) is not None


class EntryKind:
    """What an entry's `data` is for. The set is open: an unknown kind is stored and replicated, never dropped."""

    NOOP: Final = 0  #: A leader's first entry in its term (paper §8); `data` is empty.
    COMMAND: Final = 1  #: Opaque bytes for the state machine.
    MEMBERSHIP: Final = 2  #: Who the members are from here on: a `Membership`, as `encode_membership` writes it.
    OPEN_SESSION: Final = 3  #: A client's session begins (thesis §6.3); `data` as `runtime.sessions` says.
    SESSION_COMMAND: Final = 4  #: A command of a session, to be applied once; `data` as `runtime.sessions` says.


class Entry(Struct, frozen=True, gc=False):
    """One slot of the log. Its index follows from its place: no entry carries it."""

    term: Term
    kind: Unsigned
    data: bytes


class EntryId(Struct, frozen=True, gc=False, order=True):
    """Where an entry stands and whose it is; two logs that agree on one agree on everything before it (paper §5.3)."""

    term: Term
    index: LogIndex


class HardState(Struct, frozen=True, gc=False):
    """What a node must never forget (paper Figure 2, "persistent state"), beside its log.

    `commit_index` is a convenience that lets a restarted node apply at once; it is written along with other changes,
    never for its own sake, so it may lag behind the truth and is never ahead of it.
    """

    term: Term = 0
    voted_for: NodeId | None = None
    commit_index: LogIndex = 0
    incarnation: Unsigned = 0  #: Whose data this is; see `Member.incarnation`.


class Suffrage(StrEnum):
    """Whether a member counts for a quorum (thesis §4.2.1)."""

    VOTER = "voter"
    LEARNER = "learner"


class Member(Struct, frozen=True):
    """One node as the membership lists it."""

    id: Annotated[NodeId, Meta(description="Who it is; never to be used for another node.")]
    addresses: Annotated[
        tuple[str, ...],
        Meta(description='How to reach it, best first, e.g. ["tcp://127.0.0.1:7001"].', max_length=MAX_ADDRESSES),
    ] = ()
    suffrage: Annotated[Suffrage, Meta(description="voter; or learner, which gets the log and counts for nothing.")] = (
        Suffrage.VOTER
    )
    incarnation: Annotated[
        Unsigned,
        Meta(description="Which data directory speaks for this id: drawn by a node that joins; 0: one that never did."),
    ] = 0


class Membership(Struct, frozen=True):
    """Who the members are. While two majorities are needed (joint consensus, paper §6), `outgoing` is the old half."""

    members: Annotated[tuple[Member, ...], Meta(max_length=MAX_MEMBERS)]
    outgoing: Annotated[tuple[NodeId, ...], Meta(max_length=MAX_MEMBERS)] = ()

    def member(self, node_id: NodeId) -> Member | None:
        """The member of that id, or None when nobody here has it."""
        return next((member for member in self.members if member.id == node_id), None)

    def voters(self) -> frozenset[NodeId]:
        """The ids whose majority decides (the incoming half while joint)."""
        return frozenset(member.id for member in self.members if member.suffrage is Suffrage.VOTER)

    def halves(self) -> tuple[frozenset[NodeId], ...]:
        """Every set of voters whose majority is needed: one normally, two while joint."""
        voters = self.voters()
        return (voters, frozenset(self.outgoing)) if self.outgoing else (voters,)


def encode_membership(membership: Membership) -> bytes:
    """The `data` of an entry of kind `MEMBERSHIP`: JSON, since it is rare, and read by nodes in every language.

    >>> encode_membership(Membership((Member("n1"),)))
    b'{"members":[{"id":"n1","addresses":[],"suffrage":"voter","incarnation":0}],"outgoing":[]}'
    """
    return json.encode(membership)


def decode_membership(data: bytes) -> Membership:
    """The membership again. Raises `ValueError` for bytes that are none; its ids are not looked at."""
    return json.decode(data, type=Membership)


class SnapshotMeta(Struct, frozen=True):
    """What a snapshot is of: the state after every entry up to `index` (paper §7, Figure 13)."""

    index: LogIndex  #: Of the last entry in it, the paper's lastIncludedIndex.
    term: Term  #: Of that entry.
    membership: Membership  #: As of that entry.
    total_bytes: Unsigned
    digest: bytes  #: SHA-256 of all its bytes.

    @property
    def last_id(self) -> EntryId:
        """Term and index of the last entry in it."""
        return EntryId(self.term, self.index)


class Identity(Struct, frozen=True):
    """Whose data a directory holds, and who is speaking on a connection."""

    cluster_id: str
    node_id: NodeId


class Write(Struct, frozen=True, gc=False):
    """One atomic durable write: everything in it survives a crash together, or nothing of it does.

    Applied in this order: the hard state replaces the stored one; every entry at or above `truncate_from` goes;
    `snapshot` becomes the store's; every entry up to `compacted` goes, and the log continues behind it; then `entries`
    are stored at `first_index` and on. Promises name the `number` of the write they depend on.
    """

    number: int  #: 1, 2, 3 … since the node started.
    hard_state: HardState | None
    truncate_from: LogIndex | None
    first_index: LogIndex  #: Index of `entries[0]`; meaningless when there are none.
    entries: Sequence[Entry]
    snapshot: SnapshotMeta | None = None  #: Its bytes are durable already (`ports.SnapshotStore`).
    compacted: EntryId | None = None  #: The last entry that is gone from the log's beginning; a snapshot covers it.


class Recovered(Struct, frozen=True):
    """What a store hands back at start: `entries[0]` has index `first_index`, 1 until the log is compacted."""

    hard_state: HardState
    first_index: LogIndex
    entries: list[Entry]
    prev_term: Term = 0  #: Of the entry before the first: the last one that was compacted away.
    snapshot: SnapshotMeta | None = None
