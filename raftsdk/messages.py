"""The closed set of messages on our wire; what they must satisfy is in `raftsdk.checks`.

Peer plane: `AppendEntries`, `RequestVote`, `InstallSnapshot` (paper Figures 2 and 13), `TimeoutNow` (thesis §3.10),
`ReadIndex` (thesis §6.4). Client plane: `Propose`, `Query`, `Status`, `ChangeMembership`, `TransferLeadership`,
`OpenSession`, `TakeSnapshot`. Any request may be answered by `ErrorResponse`. Field names are the wire's
names. The set grows by new kinds and new fields; a field never changes its meaning.

On the wire a field that is absent has its type's zero: 0, false, the empty text, bytes or list. A field without a
default here has no other; it is without one so that nobody in Python forgets it.
"""

from collections.abc import Callable
from enum import IntEnum, StrEnum
from functools import partial
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from raftsdk import errors
from raftsdk.types import MAX_ADDRESSES as MAX_ADDRESSES
from raftsdk.types import MAX_MEMBERS as MAX_MEMBERS
from raftsdk.types import (
    Entry,
    LogIndex,
    Member,
    Membership,
    NodeId,
    Term,
    Unsigned,
)

MAX_ENTRIES: Final = 8_192
"""How many entries one message may carry."""

MAX_TEXT_BYTES: Final = 64 * 1024
"""How many bytes of UTF-8 all texts of one message may come to."""

DIGEST_BYTES: Final = 32
"""Length of a SHA-256."""

MAX_ERROR_CHARS: Final = 1_000

Addresses: TypeAlias = Annotated[list[str], Meta(max_length=MAX_ADDRESSES)]


class MessageKind(IntEnum):
    """The byte in a frame's header that says which message its body is. Requests are even, their responses odd."""

    ERROR = 0x01
    APPEND_ENTRIES_REQUEST = 0x10
    APPEND_ENTRIES_RESPONSE = 0x11
    REQUEST_VOTE_REQUEST = 0x12
    REQUEST_VOTE_RESPONSE = 0x13
    INSTALL_SNAPSHOT_REQUEST = 0x14
    INSTALL_SNAPSHOT_RESPONSE = 0x15
    TIMEOUT_NOW_REQUEST = 0x16
    TIMEOUT_NOW_RESPONSE = 0x17
    READ_INDEX_REQUEST = 0x18
    READ_INDEX_RESPONSE = 0x19
    PROPOSE_REQUEST = 0x20
    PROPOSE_RESPONSE = 0x21
    QUERY_REQUEST = 0x22
    QUERY_RESPONSE = 0x23
    STATUS_REQUEST = 0x24
    STATUS_RESPONSE = 0x25
    CHANGE_MEMBERSHIP_REQUEST = 0x26
    CHANGE_MEMBERSHIP_RESPONSE = 0x27
    TRANSFER_LEADERSHIP_REQUEST = 0x28
    TRANSFER_LEADERSHIP_RESPONSE = 0x29
    OPEN_SESSION_REQUEST = 0x2A
    OPEN_SESSION_RESPONSE = 0x2B
    TAKE_SNAPSHOT_REQUEST = 0x2C
    TAKE_SNAPSHOT_RESPONSE = 0x2D


class ErrorCode(StrEnum):
    """Why a request was not answered as asked. The text beside it is for people; this is for programs."""

    NOT_LEADER = "not_leader"
    OVERLOADED = "overloaded"
    TOO_LARGE = "too_large"
    DROPPED = "dropped"
    OUTCOME_UNKNOWN = "outcome_unknown"
    COMMAND_FAILED = "command_failed"
    SESSION_EXPIRED = "session_expired"
    MEMBERSHIP_REFUSED = "membership_refused"
    TRANSFER_FAILED = "transfer_failed"
    SNAPSHOT_FAILED = "snapshot_failed"
    STOPPED = "stopped"
    UNSUPPORTED = "unsupported"
    BAD_REQUEST = "bad_request"
    WRONG_IDENTITY = "wrong_identity"
    UNKNOWN_GROUP = "unknown_group"


class Consistency(StrEnum):
    """How fresh a query's answer must be."""

    LOCAL = "local"  #: Whatever the asked node has applied: never wrong, possibly old.
    #: The leader answers, once a quorum has confirmed that it leads (ReadIndex, thesis §6.4).
    LINEARIZABLE = "linearizable"
    #: The leader answers at once while a quorum has confirmed it lately enough (thesis §6.4.1): rests on bounded clock
    #: drift, and is LINEARIZABLE where the node has leases off.
    LEASE = "lease"
    #: Whoever is asked answers, once the leader has told it how far it must have applied (thesis §6.4).
    FOLLOWER_LINEARIZABLE = "follower_linearizable"
    #: Whoever is asked answers with a state that lacks nothing older than `max_staleness_ms`.
    BOUNDED_STALE = "bounded_stale"


# -- peer plane


class AppendEntriesRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A leader's entries for one follower; without entries, a heartbeat (paper Figure 2, §5.3)."""

    term: Term
    leader_id: NodeId
    prev_log_index: LogIndex
    prev_log_term: Term
    leader_commit: LogIndex  #: Never beyond what this request proves the follower has.
    entries: Annotated[list[Entry], Meta(max_length=MAX_ENTRIES)]
    quiesce: bool = False  #: A heartbeat: nothing is going on, the next one may be as late as is configured.


class AppendEntriesResponse(Struct, frozen=True, gc=False, kw_only=True):
    """Whether the follower's log now agrees with the leader's up to the end of the request.

    On refusal, (`conflict_index`, `conflict_term`) is the last entry of the follower that could still agree: the
    highest one at or below `prev_log_index` whose term is at most `prev_log_term` (paper §5.3's optimisation,
    sharpened).
    """

    term: Term
    success: bool
    conflict_index: LogIndex = 0
    conflict_term: Term = 0
    quiesced: bool = False  #: The follower agrees to `quiesce`, and waits that long.


class RequestVoteRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A candidate's plea (paper Figure 2, §5.2).

    With `pre_vote`, only a question: `term` is the one it would campaign in (thesis §9.6). With `leadership_transfer`,
    the leader itself asked the candidate to campaign, so nobody sticks to that leader (thesis §4.2.3).
    """

    term: Term
    candidate_id: NodeId
    last_log_index: LogIndex
    last_log_term: Term
    pre_vote: bool = False
    leadership_transfer: bool = False


class RequestVoteResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The voter's term, and whether it grants its vote (to a pre-vote: whether it would)."""

    term: Term
    vote_granted: bool


class InstallSnapshotRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A piece of the leader's snapshot, for a follower whose next entry the leader no longer has (paper Figure 13).

    The pieces of one snapshot form a session that survives cut links and new leaders: what they are pieces of is named
    by `digest`, and the answer to each says where to go on. A request without `data` asks for that alone. The last
    piece is the one that ends at `total_bytes`.
    """

    term: Term
    leader_id: NodeId
    last_included_index: LogIndex
    last_included_term: Term
    membership: Membership  #: As of `last_included_index`.
    total_bytes: Unsigned
    digest: bytes  #: SHA-256 of the whole snapshot.
    offset: Unsigned  #: Of `data` in the snapshot, in bytes.
    data: bytes


class InstallSnapshotResponse(Struct, frozen=True, gc=False, kw_only=True):
    """How much of that snapshot the follower has, and whether it needs no more of it.

    `installed` means that the follower's state includes everything up to `last_included_index`, from this snapshot or
    without it. After a whole snapshot whose digest was wrong, `next_offset` is 0 again.
    """

    term: Term
    next_offset: Unsigned
    installed: bool


class TimeoutNowRequest(Struct, frozen=True, gc=False, kw_only=True):
    """The leader asks a follower that has its whole log to campaign at once (thesis §3.10)."""

    term: Term
    leader_id: NodeId


class TimeoutNowResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The follower's term: higher than the request's once it campaigns."""

    term: Term


class ReadIndexRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A follower asks its leader how far it must have applied to answer a linearizable read (thesis §6.4)."""

    term: Term
    node_id: NodeId  #: Who asks.


class ReadIndexResponse(Struct, frozen=True, gc=False, kw_only=True):
    """A quorum has confirmed, since the request came, that this node leads; `read_index` was committed by then."""

    term: Term
    read_index: LogIndex


# -- client plane


class ProposeRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A command for the replicated state machine.

    With a `session_id`, it is applied once however often it is asked for (thesis §6.3): `sequence` numbers the
    session's commands from 1 on, and every result below `first_unanswered` has reached the client and may be forgotten.
    """

    command: bytes
    session_id: Unsigned = 0  #: From `OpenSessionResponse`; 0: no session.
    sequence: Unsigned = 0
    first_unanswered: Unsigned = 0


class ProposeResponse(Struct, frozen=True, gc=False, kw_only=True):
    """Committed at `index` and applied, with this result."""

    index: LogIndex
    result: bytes


class QueryRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A question to the state machine that changes nothing."""

    query: bytes
    consistency: Consistency = Consistency.LOCAL
    max_staleness_ms: Unsigned = 0  #: For `BOUNDED_STALE`.


class QueryResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The answer, and the index up to which the answering node had applied."""

    applied_index: LogIndex
    result: bytes


class StatusRequest(Struct, frozen=True, gc=False, kw_only=True):
    """How is this node?"""


class PeerStatus(Struct, frozen=True, gc=False, kw_only=True):
    """One peer as the answering node sees it. The indexes are 0 unless that node leads."""

    node_id: NodeId
    addresses: Addresses
    state: str  #: A leader's view: "probe", "replicate" or "snapshot"; otherwise "".
    match_index: LogIndex
    next_index: LogIndex
    outstanding_calls: Unsigned
    connected: bool
    codec: str  #: Negotiated on the link to that peer; "" while there is none.
    transport: str  #: The scheme of the address in use; "" while there is none.
    suffrage: str = ""  #: "voter" or "learner"; "" for one that only counts in the outgoing half.


class StatusResponse(Struct, frozen=True, gc=False, kw_only=True):
    """What `raftsdk status` shows."""

    node_id: NodeId
    cluster_id: str
    role: str
    term: Term
    leader_id: NodeId  #: "" when none is known.
    last_log_index: LogIndex
    durable_index: LogIndex
    commit_index: LogIndex
    applied_index: LogIndex
    peers: Annotated[list[PeerStatus], Meta(max_length=MAX_MEMBERS)]
    suffrage: str = ""  #: This node's own: "voter" or "learner"; "" when no membership names it.
    membership_index: LogIndex = 0  #: Of the entry that the membership in effect comes from; 0: from configuration.
    joint: bool = False  #: Two majorities are needed at present (paper §6).
    first_log_index: LogIndex = 0
    snapshot_index: LogIndex = 0  #: Of the last entry in this node's snapshot; 0: it has none.


class ChangeMembershipRequest(Struct, frozen=True, gc=False, kw_only=True):
    """Make these the members: those in `members` are added, or replace the member of the same id; `remove` go.

    A member that is given no addresses, or the incarnation 0, keeps those it has.
    """

    members: Annotated[list[Member], Meta(max_length=MAX_MEMBERS)] = []
    remove: Annotated[list[NodeId], Meta(max_length=MAX_MEMBERS)] = []


class ChangeMembershipResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The change is committed, and no longer joint: `membership` is that of the entry at `index`."""

    index: LogIndex
    membership: Membership


class TransferLeadershipRequest(Struct, frozen=True, gc=False, kw_only=True):
    """Have another node lead (thesis §3.10)."""

    target: NodeId = ""  #: "": whichever voter has most of the log.


class TransferLeadershipResponse(Struct, frozen=True, gc=False, kw_only=True):
    """Another node leads now."""

    leader_id: NodeId
    term: Term


class OpenSessionRequest(Struct, frozen=True, gc=False, kw_only=True):
    """Begin a session, whose commands are applied exactly once (thesis §6.3)."""


class OpenSessionResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The session is in the log, on every node alike."""

    session_id: Unsigned


class TakeSnapshotRequest(Struct, frozen=True, gc=False, kw_only=True):
    """Take a snapshot of the asked node's state now, and cut its log."""


class TakeSnapshotResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The snapshot is durable."""

    last_included_index: LogIndex
    total_bytes: Unsigned


class ErrorResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The request was not carried out as asked; `code` says what may be concluded (see `raftsdk.errors`)."""

    code: str
    message: str = ""
    leader_id: NodeId = ""
    leader_addresses: Addresses = []
    retry_after_ms: Unsigned = 0


PeerRequest: TypeAlias = (
    AppendEntriesRequest | RequestVoteRequest | InstallSnapshotRequest | TimeoutNowRequest | ReadIndexRequest
)
PeerResponse: TypeAlias = (
    AppendEntriesResponse | RequestVoteResponse | InstallSnapshotResponse | TimeoutNowResponse | ReadIndexResponse
)
ClientRequest: TypeAlias = (
    ProposeRequest
    | QueryRequest
    | StatusRequest
    | ChangeMembershipRequest
    | TransferLeadershipRequest
    | OpenSessionRequest
    | TakeSnapshotRequest
)
ClientResponse: TypeAlias = (
    ProposeResponse
    | QueryResponse
    | StatusResponse
    | ChangeMembershipResponse
    | TransferLeadershipResponse
    | OpenSessionResponse
    | TakeSnapshotResponse
)
Request: TypeAlias = PeerRequest | ClientRequest
Response: TypeAlias = PeerResponse | ClientResponse | ErrorResponse
Message: TypeAlias = Request | Response

MESSAGE_TYPES: dict[MessageKind, type[Message]] = {
    MessageKind.ERROR: ErrorResponse,
    MessageKind.APPEND_ENTRIES_REQUEST: AppendEntriesRequest,
    MessageKind.APPEND_ENTRIES_RESPONSE: AppendEntriesResponse,
    MessageKind.REQUEST_VOTE_REQUEST: RequestVoteRequest,
    MessageKind.REQUEST_VOTE_RESPONSE: RequestVoteResponse,
    MessageKind.INSTALL_SNAPSHOT_REQUEST: InstallSnapshotRequest,
    MessageKind.INSTALL_SNAPSHOT_RESPONSE: InstallSnapshotResponse,
    MessageKind.TIMEOUT_NOW_REQUEST: TimeoutNowRequest,
    MessageKind.TIMEOUT_NOW_RESPONSE: TimeoutNowResponse,
    MessageKind.READ_INDEX_REQUEST: ReadIndexRequest,
    MessageKind.READ_INDEX_RESPONSE: ReadIndexResponse,
    MessageKind.PROPOSE_REQUEST: ProposeRequest,
    MessageKind.PROPOSE_RESPONSE: ProposeResponse,
    MessageKind.QUERY_REQUEST: QueryRequest,
    MessageKind.QUERY_RESPONSE: QueryResponse,
    MessageKind.STATUS_REQUEST: StatusRequest,
    MessageKind.STATUS_RESPONSE: StatusResponse,
    MessageKind.CHANGE_MEMBERSHIP_REQUEST: ChangeMembershipRequest,
    MessageKind.CHANGE_MEMBERSHIP_RESPONSE: ChangeMembershipResponse,
    MessageKind.TRANSFER_LEADERSHIP_REQUEST: TransferLeadershipRequest,
    MessageKind.TRANSFER_LEADERSHIP_RESPONSE: TransferLeadershipResponse,
    MessageKind.OPEN_SESSION_REQUEST: OpenSessionRequest,
    MessageKind.OPEN_SESSION_RESPONSE: OpenSessionResponse,
    MessageKind.TAKE_SNAPSHOT_REQUEST: TakeSnapshotRequest,
    MessageKind.TAKE_SNAPSHOT_RESPONSE: TakeSnapshotResponse,
}

MESSAGE_KINDS: dict[type[Message], MessageKind] = {message: kind for kind, message in MESSAGE_TYPES.items()}


# -- fields that are absent


def sparse(record: type[Struct]) -> type[Struct]:
    """`record` again for reading: every field, also of the records in it, is its type's zero when it is absent.

    For codecs whose library fills typed records. Decode what leaves zeros out into this type; then
    `msgspec.convert(found, record, from_attributes=True)` is the record itself.

    >>> msgspec.json.decode(b'{"term": 7}', type=sparse(RequestVoteResponse))
    RequestVoteResponse(term=7, vote_granted=False)
    """
    fields = [(field.name, *_with_zero(field.type)) for field in msgspec.structs.fields(record)]
    return msgspec.defstruct(
        record.__name__,
        [(name, type_, msgspec.field(default_factory=zero)) for name, type_, zero in fields],
        array_like=record.__struct_config__.array_like,
        gc=record.__struct_config__.gc,
    )


def _with_zero(annotation: Any) -> tuple[Any, Callable[[], Any]]:
    """The type of a field, with sparse records in it, and what makes its zero."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        type_, zero = _with_zero(arguments[0])
        return Annotated[(type_, *arguments[1:])], zero
    if origin in (list, tuple):
        return origin[tuple(_with_zero(argument)[0] for argument in arguments)], origin
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        record = sparse(annotation)
        return record, record
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        values = [(value.name, value.value) for value in annotation]
        # mypy takes it for a value looked up, where it makes an enumeration.
        return _FirstIfEmpty(annotation.__name__, values), partial(annotation, values[0][1])  # type: ignore[call-arg]
    return annotation, annotation


class _FirstIfEmpty(StrEnum):
    """An enumeration whose first value also stands for the empty text."""

    @classmethod
    def _missing_(cls, value: object) -> "_FirstIfEmpty | None":
        return next(iter(cls)) if value == "" else None


# -- errors across the wire

_ERROR_CODES: dict[type[errors.RaftError], ErrorCode] = {
    errors.NotLeader: ErrorCode.NOT_LEADER,
    errors.Overloaded: ErrorCode.OVERLOADED,
    errors.CommandTooLarge: ErrorCode.TOO_LARGE,
    errors.ProposalDropped: ErrorCode.DROPPED,
    errors.OutcomeUnknown: ErrorCode.OUTCOME_UNKNOWN,
    errors.CommandFailed: ErrorCode.COMMAND_FAILED,
    errors.SessionExpired: ErrorCode.SESSION_EXPIRED,
    errors.MembershipRefused: ErrorCode.MEMBERSHIP_REFUSED,
    errors.TransferFailed: ErrorCode.TRANSFER_FAILED,
    errors.SnapshotFailed: ErrorCode.SNAPSHOT_FAILED,
    errors.NodeStopped: ErrorCode.STOPPED,
}
_ERRORS = {code: error for error, code in _ERROR_CODES.items()}


def error_response(error: errors.RaftError) -> ErrorResponse:
    """How `error` travels. What has no code of its own travels as `outcome_unknown`, which promises nothing."""
    return ErrorResponse(
        code=_ERROR_CODES.get(type(error), ErrorCode.OUTCOME_UNKNOWN).value,
        message=_travelling(str(error)),
        leader_id=(error.leader or "") if isinstance(error, errors.NotLeader) else "",
        leader_addresses=list(error.addresses) if isinstance(error, errors.NotLeader) else [],
        retry_after_ms=error.retry_after_ms if isinstance(error, errors.Overloaded) else 0,
    )


def _travelling(text: str) -> str:
    """A text any codec can carry: what an exception quotes may be long, or hold surrogates that are no UTF-8."""
    return text[:MAX_ERROR_CHARS].encode("utf-8", "replace").decode()


def error_of(response: ErrorResponse) -> errors.RaftError:
    """The error that `response` tells of; `Refused` for a code that belongs to no other."""
    if response.code == ErrorCode.NOT_LEADER:
        return errors.NotLeader(response.leader_id or None, response.leader_addresses)
    if response.code == ErrorCode.OVERLOADED:
        return errors.Overloaded(response.message, response.retry_after_ms)
    known = _ERRORS.get(ErrorCode(response.code)) if response.code in list(ErrorCode) else None
    return known(response.message) if known else errors.Refused(response.code, response.message)
