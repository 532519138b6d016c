"""The closed set of messages on our wire, and the checks every one must pass however it was encoded.

Peer plane: `AppendEntries`, `RequestVote` (paper Figure 2). Client plane: `Propose`, `Query`, `Status`. Any request may
be answered by `ErrorResponse`. Field names are the wire's names. The set grows by new kinds and by new fields with a
default; a field never changes its meaning.
"""

from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta, Struct

from raftsdk import errors
from raftsdk.errors import DecodeError
from raftsdk.types import MAX_INTEGER, Entry, LogIndex, NodeId, Term, Unsigned, is_identifier

MAX_ADDRESSES: Final = 16
"""How many addresses of one node a message may carry; without a ceiling, a list of texts is the one thing in a message
that takes twenty times the memory of its bytes."""

MAX_ERROR_CHARS: Final = 1_000

Addresses: TypeAlias = Annotated[list[str], Meta(max_length=MAX_ADDRESSES)]


class MessageKind(IntEnum):
    """The byte in a frame's header that says which message its body is. Requests are even, their responses odd."""

    ERROR = 0x01
    APPEND_ENTRIES_REQUEST = 0x10
    APPEND_ENTRIES_RESPONSE = 0x11
    REQUEST_VOTE_REQUEST = 0x12
    REQUEST_VOTE_RESPONSE = 0x13
    PROPOSE_REQUEST = 0x20
    PROPOSE_RESPONSE = 0x21
    QUERY_REQUEST = 0x22
    QUERY_RESPONSE = 0x23
    STATUS_REQUEST = 0x24
    STATUS_RESPONSE = 0x25


class ErrorCode(StrEnum):
    """Why a request was not answered as asked. The text beside it is for people; this is for programs."""

    NOT_LEADER = "not_leader"
    OVERLOADED = "overloaded"
    TOO_LARGE = "too_large"
    DROPPED = "dropped"
    OUTCOME_UNKNOWN = "outcome_unknown"
    COMMAND_FAILED = "command_failed"
    STOPPED = "stopped"
    UNSUPPORTED = "unsupported"
    BAD_REQUEST = "bad_request"
    WRONG_IDENTITY = "wrong_identity"


class Consistency(StrEnum):
    """How fresh a query's answer must be."""

    LOCAL = "local"  #: Whatever the asked node has applied: never wrong, possibly old.


# -- peer plane


class AppendEntriesRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A leader's entries for one follower; without entries, a heartbeat (paper Figure 2, §5.3)."""

    term: Term
    leader_id: NodeId
    prev_log_index: LogIndex
    prev_log_term: Term
    leader_commit: LogIndex  #: Never beyond what this request proves the follower has.
    entries: list[Entry]


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


class RequestVoteRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A candidate's plea (paper Figure 2, §5.2).

    With `pre_vote`, only a question: `term` is the one it would campaign in (thesis §9.6).
    """

    term: Term
    candidate_id: NodeId
    last_log_index: LogIndex
    last_log_term: Term
    pre_vote: bool = False


class RequestVoteResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The voter's term, and whether it grants its vote (to a pre-vote: whether it would)."""

    term: Term
    vote_granted: bool


# -- client plane


class ProposeRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A command for the replicated state machine."""

    command: bytes


class ProposeResponse(Struct, frozen=True, gc=False, kw_only=True):
    """Committed at `index` and applied, with this result."""

    index: LogIndex
    result: bytes


class QueryRequest(Struct, frozen=True, gc=False, kw_only=True):
    """A question to the state machine that changes nothing."""

    query: bytes
    consistency: Consistency = Consistency.LOCAL


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
    state: str  #: A leader's view: "probe" or "replicate"; otherwise "".
    match_index: LogIndex
    next_index: LogIndex
    outstanding_calls: Unsigned
    connected: bool
    codec: str  #: Negotiated on the link to that peer; "" while there is none.
    transport: str  #: The scheme of the address in use; "" while there is none.


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
    peers: list[PeerStatus]


class ErrorResponse(Struct, frozen=True, gc=False, kw_only=True):
    """The request was not carried out as asked; `code` says what may be concluded (see `raftsdk.errors`)."""

    code: str
    message: str = ""
    leader_id: NodeId = ""
    leader_addresses: Addresses = []
    retry_after_ms: Unsigned = 0


PeerRequest: TypeAlias = AppendEntriesRequest | RequestVoteRequest
PeerResponse: TypeAlias = AppendEntriesResponse | RequestVoteResponse
ClientRequest: TypeAlias = ProposeRequest | QueryRequest | StatusRequest
ClientResponse: TypeAlias = ProposeResponse | QueryResponse | StatusResponse
Request: TypeAlias = PeerRequest | ClientRequest
Response: TypeAlias = PeerResponse | ClientResponse | ErrorResponse
Message: TypeAlias = Request | Response

MESSAGE_TYPES: dict[MessageKind, type[Message]] = {
    MessageKind.ERROR: ErrorResponse,
    MessageKind.APPEND_ENTRIES_REQUEST: AppendEntriesRequest,
    MessageKind.APPEND_ENTRIES_RESPONSE: AppendEntriesResponse,
    MessageKind.REQUEST_VOTE_REQUEST: RequestVoteRequest,
    MessageKind.REQUEST_VOTE_RESPONSE: RequestVoteResponse,
    MessageKind.PROPOSE_REQUEST: ProposeRequest,
    MessageKind.PROPOSE_RESPONSE: ProposeResponse,
    MessageKind.QUERY_REQUEST: QueryRequest,
    MessageKind.QUERY_RESPONSE: QueryResponse,
    MessageKind.STATUS_REQUEST: StatusRequest,
    MessageKind.STATUS_RESPONSE: StatusResponse,
}

MESSAGE_KINDS: dict[type[Message], MessageKind] = {message: kind for kind, message in MESSAGE_TYPES.items()}


# -- errors across the wire

_ERROR_CODES: dict[type[errors.RaftError], ErrorCode] = {
    errors.NotLeader: ErrorCode.NOT_LEADER,
    errors.Overloaded: ErrorCode.OVERLOADED,
    errors.CommandTooLarge: ErrorCode.TOO_LARGE,
    errors.ProposalDropped: ErrorCode.DROPPED,
    errors.OutcomeUnknown: ErrorCode.OUTCOME_UNKNOWN,
    errors.CommandFailed: ErrorCode.COMMAND_FAILED,
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


# -- what every message must satisfy, whoever decoded it


def check(message: Message) -> None:
    """Raise `DecodeError` unless `message` is one an honest node could have sent.

    Codecs call this on what they decoded, so that every codec refuses the same things: numbers outside their range, ids
    outside their alphabet, entries that go back in term or exceed the message's. Types are the codec's own duty.

    >>> check(RequestVoteResponse(term=-1, vote_granted=True))
    Traceback (most recent call last):
      ...
    raftsdk.errors.DecodeError: RequestVoteResponse.term: -1 is not in 0..9223372036854775807
    """
    checker = _CHECKS.get(type(message))
    if checker is not None:
        checker(message)


def _fail(message: Message, field: str, problem: str) -> DecodeError:
    return DecodeError(f"{type(message).__name__}.{field}: {problem}")


def _number(message: Message, field: str, low: int = 0) -> None:
    value = getattr(message, field)
    if not low <= value <= MAX_INTEGER:
        shown = str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
        raise _fail(message, field, f"{shown} is not in {low}..{MAX_INTEGER}")


def _identifier(message: Message, field: str) -> None:
    value = getattr(message, field)
    if not is_identifier(value):
        raise _fail(message, field, "not an id (1 to 128 of letters, digits, '.', '_', '-')")


def _check_append_entries(message: AppendEntriesRequest) -> None:
    _number(message, "term", low=1)
    _identifier(message, "leader_id")
    _number(message, "prev_log_index")
    _number(message, "prev_log_term")
    _number(message, "leader_commit")
    if (message.prev_log_index == 0) != (message.prev_log_term == 0):
        raise _fail(message, "prev_log_term", "index and term must both be 0, or neither")
    if message.prev_log_term > message.term:
        raise _fail(message, "prev_log_term", "exceeds the message's term")
    if message.entries:
        _check_entries(message, message.entries)


def _check_entries(message: AppendEntriesRequest, entries: list[Entry]) -> None:
    terms = [entry.term for entry in entries]
    # Terms never fall within a log and never exceed the sender's (paper §5.3), so prev, entries, term must be in order.
    # Counting the first is a quarter of the price of sorting, and most batches are of one term.
    in_order = terms.count(terms[0]) == len(terms) or terms == sorted(terms)
    if not (in_order and message.prev_log_term <= terms[0] and terms[-1] <= message.term):
        raise _fail(message, "entries", "terms go back, or exceed the message's term")
    if terms[0] < 1 or message.prev_log_index + len(terms) > MAX_INTEGER:
        raise _fail(message, "entries", "an entry of term 0, or beyond the last possible index")
    kinds = [entry.kind for entry in entries]
    lowest = highest = kinds[0]
    if kinds.count(lowest) < len(kinds):
        lowest, highest = min(kinds), max(kinds)
    if lowest < 0 or highest > MAX_INTEGER:
        raise _fail(message, "entries", f"a kind is not in 0..{MAX_INTEGER}")


def _check_append_entries_response(message: AppendEntriesResponse) -> None:
    for field in ("term", "conflict_index", "conflict_term"):
        _number(message, field)


def _check_request_vote(message: RequestVoteRequest) -> None:
    _number(message, "term", low=1)
    _identifier(message, "candidate_id")
    _number(message, "last_log_index")
    _number(message, "last_log_term")


def _check_request_vote_response(message: RequestVoteResponse) -> None:
    _number(message, "term")


def _check_index(message: ProposeResponse) -> None:
    _number(message, "index")


def _check_applied_index(message: QueryResponse) -> None:
    _number(message, "applied_index")


def _check_status(message: StatusResponse) -> None:
    _identifier(message, "node_id")
    for field in ("term", "last_log_index", "durable_index", "commit_index", "applied_index"):
        _number(message, field)
    for peer in message.peers:
        if not is_identifier(peer.node_id):
            raise _fail(message, "peers", "a peer without a proper id")
        if not all(0 <= n <= MAX_INTEGER for n in (peer.match_index, peer.next_index, peer.outstanding_calls)):
            raise _fail(message, "peers", f"a number of {peer.node_id} is out of range")
        if len(peer.addresses) > MAX_ADDRESSES:
            raise _fail(message, "peers", f"{peer.node_id} has more than {MAX_ADDRESSES} addresses")


def _check_error(message: ErrorResponse) -> None:
    _number(message, "retry_after_ms")
    if len(message.leader_addresses) > MAX_ADDRESSES:
        raise _fail(message, "leader_addresses", f"more than {MAX_ADDRESSES}")


_CHECKS: dict[type[Message], Callable[[Any], None]] = {
    AppendEntriesRequest: _check_append_entries,
    AppendEntriesResponse: _check_append_entries_response,
    RequestVoteRequest: _check_request_vote,
    RequestVoteResponse: _check_request_vote_response,
    ProposeResponse: _check_index,
    QueryResponse: _check_applied_index,
    StatusResponse: _check_status,
    ErrorResponse: _check_error,
}
