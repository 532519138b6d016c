"""What every message must satisfy, whoever decoded it: a codec that calls `check` refuses what all others refuse."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    DIGEST_BYTES,
    MAX_ADDRESSES,
    MAX_ENTRIES,
    MAX_MEMBERS,
    MAX_TEXT_BYTES,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
    OpenSessionResponse,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusResponse,
    TakeSnapshotResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
)
from raftsdk.types import MAX_INTEGER, Entry, EntryKind, Member, Membership, NodeId, decode_membership, is_identifier

_MAX_QUOTE_CHARS: Final = 300


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


def check_memberships(request: AppendEntriesRequest) -> None:
    """Raise `DecodeError` unless every entry of kind `MEMBERSHIP` in `request` holds a membership that `check` allows.

    The core acts on such an entry as soon as it is appended, so whoever hands it a request asks this first. It is no
    part of `check`: a codec carries any data of any kind, as it always did, and the vectors hold it to that.

    >>> entry = Entry(1, EntryKind.MEMBERSHIP, b"{}")
    >>> check_memberships(
    ...     AppendEntriesRequest(
    ...         term=1, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[entry]
    ...     )
    ... )
    Traceback (most recent call last):
      ...
    raftsdk.errors.DecodeError: AppendEntriesRequest.entries: one of kind 2 is no membership: Object missing required \
field `members`
    """
    membership_kind = EntryKind.MEMBERSHIP
    for entry in request.entries:
        if entry.kind == membership_kind:
            _check_membership_entry(request, entry.data)


def _check_membership_entry(request: AppendEntriesRequest, data: bytes) -> None:
    try:
        membership = decode_membership(data)
    except (ValueError, RecursionError) as error:
        problem = str(error)[:_MAX_QUOTE_CHARS]  # it may quote what was found
        raise _fail(request, "entries", f"one of kind {EntryKind.MEMBERSHIP} is no membership: {problem}") from None
    _check_membership(request, "entries", membership)


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
    if len(entries) > MAX_ENTRIES:
        raise _fail(message, "entries", f"{len(entries)} of them, and at most {MAX_ENTRIES} are allowed")
    # One loop that compares, not a list of the terms and one of the kinds: nearly every batch is of one term and one
    # kind, and a batch of the smallest entries has no memory to spare (`MAX_ENTRIES`).
    term, kind = message.prev_log_term, 0
    for entry in entries:
        if entry.term != term:
            if entry.term < term:  # Terms never fall within a log and never exceed the sender's (paper §5.3).
                raise _fail(message, "entries", "terms go back")
            term = entry.term
        if entry.kind != kind:
            kind = entry.kind
            if not 0 <= kind <= MAX_INTEGER:
                raise _fail(message, "entries", f"a kind is not in 0..{MAX_INTEGER}")
    if term > message.term:
        raise _fail(message, "entries", "their terms exceed the message's")
    if entries[0].term < 1 or message.prev_log_index + len(entries) > MAX_INTEGER:
        raise _fail(message, "entries", "an entry of term 0, or beyond the last possible index")


def _check_append_entries_response(message: AppendEntriesResponse) -> None:
    for field in ("term", "conflict_index", "conflict_term"):
        _number(message, field)


def _check_request_vote(message: RequestVoteRequest) -> None:
    _number(message, "term", low=1)
    _identifier(message, "candidate_id")
    _number(message, "last_log_index")
    _number(message, "last_log_term")
    if (message.last_log_index == 0) != (message.last_log_term == 0):
        raise _fail(message, "last_log_term", "index and term must both be 0, or neither")
    if message.last_log_term >= message.term:
        raise _fail(message, "last_log_term", "is not below the term that is campaigned in")


def _check_term(message: RequestVoteResponse | TimeoutNowResponse) -> None:
    _number(message, "term")


def _check_install_snapshot(message: InstallSnapshotRequest) -> None:
    _number(message, "term", low=1)
    _identifier(message, "leader_id")
    _number(message, "last_included_index", low=1)
    _number(message, "last_included_term", low=1)
    if message.last_included_term > message.term:
        raise _fail(message, "last_included_term", "exceeds the message's term")
    _check_membership(message, "membership", message.membership)
    _number(message, "total_bytes")
    _number(message, "offset")
    if len(message.digest) != DIGEST_BYTES:
        raise _fail(message, "digest", f"{len(message.digest)} bytes, and a SHA-256 has {DIGEST_BYTES}")
    if message.offset + len(message.data) > message.total_bytes:
        raise _fail(message, "data", "goes beyond total_bytes")


def _check_membership(
    message: InstallSnapshotRequest | ChangeMembershipResponse | AppendEntriesRequest,
    field: str,
    membership: Membership,
) -> None:
    _check_ids(message, f"{field}.outgoing", membership.outgoing)
    _check_members(message, f"{field}.members", membership.members)
    if not membership.voters():
        raise _fail(message, f"{field}.members", "none of them is a voter")
    _check_texts(message, chain(membership.outgoing, _texts_of(membership.members)))


def _check_ids(message: Message, field: str, ids: Sequence[NodeId]) -> None:
    if len(ids) > MAX_MEMBERS:
        raise _fail(message, field, f"{len(ids)} of them, and at most {MAX_MEMBERS} are allowed")
    if len(set(ids)) < len(ids) or not all(map(is_identifier, ids)):
        raise _fail(message, field, "an id occurs twice, or is none")


def _check_members(message: Message, field: str, members: Sequence[Member]) -> None:
    _check_ids(message, field, [member.id for member in members])
    for member in members:
        if len(member.addresses) > MAX_ADDRESSES:
            raise _fail(message, field, f"one has more than {MAX_ADDRESSES} addresses")
        if not 0 <= member.incarnation <= MAX_INTEGER:
            raise _fail(message, field, f"an incarnation is not in 0..{MAX_INTEGER}")


def _texts_of(members: Iterable[Member]) -> Iterable[str]:
    return chain.from_iterable((member.id, member.suffrage, *member.addresses) for member in members)


def _check_install_snapshot_response(message: InstallSnapshotResponse) -> None:
    _number(message, "term")
    _number(message, "next_offset")


def _check_timeout_now(message: TimeoutNowRequest) -> None:
    _number(message, "term", low=1)
    _identifier(message, "leader_id")


def _check_read_index(message: ReadIndexRequest) -> None:
    _number(message, "term", low=1)
    _identifier(message, "node_id")


def _check_read_index_response(message: ReadIndexResponse) -> None:
    _number(message, "term")
    _number(message, "read_index")


def _check_propose(message: ProposeRequest) -> None:
    if message.session_id == message.sequence == message.first_unanswered == 0:  # without a session, as most are
        return
    for field in ("session_id", "sequence", "first_unanswered"):
        _number(message, field)
    if (message.session_id == 0) != (message.sequence == 0):
        raise _fail(message, "sequence", "a session and its sequence are both 0, or neither")
    if message.first_unanswered > message.sequence:
        raise _fail(message, "first_unanswered", "is beyond the sequence of this very command")


def _check_query(message: QueryRequest) -> None:
    _number(message, "max_staleness_ms")


def _check_change_membership(message: ChangeMembershipRequest) -> None:
    _check_members(message, "members", message.members)
    _check_ids(message, "remove", message.remove)
    _check_texts(message, chain(message.remove, _texts_of(message.members)))


def _check_membership_changed(message: ChangeMembershipResponse) -> None:
    _number(message, "index")
    _check_membership(message, "membership", message.membership)


def _check_transfer(message: TransferLeadershipRequest) -> None:
    if message.target:
        _identifier(message, "target")


def _check_transferred(message: TransferLeadershipResponse) -> None:
    _identifier(message, "leader_id")
    _number(message, "term")


def _check_session(message: OpenSessionResponse) -> None:
    _number(message, "session_id", low=1)


def _check_snapshot_taken(message: TakeSnapshotResponse) -> None:
    _number(message, "last_included_index", low=1)
    _number(message, "total_bytes")


def _check_index(message: ProposeResponse) -> None:
    _number(message, "index")


def _check_applied_index(message: QueryResponse) -> None:
    _number(message, "applied_index")


_STATUS_NUMBERS: Final = (
    "term",
    "last_log_index",
    "durable_index",
    "commit_index",
    "applied_index",
    "membership_index",
    "first_log_index",
    "snapshot_index",
)


def _check_status(message: StatusResponse) -> None:
    _identifier(message, "node_id")
    for field in _STATUS_NUMBERS:
        _number(message, field)
    if len(message.peers) > MAX_MEMBERS:
        raise _fail(message, "peers", f"{len(message.peers)} of them, and at most {MAX_MEMBERS} are allowed")
    for peer in message.peers:
        if not is_identifier(peer.node_id):
            raise _fail(message, "peers", "a peer without a proper id")
        if not all(0 <= n <= MAX_INTEGER for n in (peer.match_index, peer.next_index, peer.outstanding_calls)):
            raise _fail(message, "peers", f"a number of {peer.node_id} is out of range")
        if len(peer.addresses) > MAX_ADDRESSES:
            raise _fail(message, "peers", f"{peer.node_id} has more than {MAX_ADDRESSES} addresses")
    own = (message.node_id, message.cluster_id, message.role, message.leader_id, message.suffrage)
    of_peers = (
        (peer.node_id, *peer.addresses, peer.state, peer.codec, peer.transport, peer.suffrage) for peer in message.peers
    )
    _check_texts(message, chain(own, *of_peers))


def _check_texts(message: Message, texts: Iterable[str]) -> None:
    """A ceiling for all of them together: while it is read, a text may take seven times the memory of its bytes."""
    total_bytes = 0
    for text in texts:
        # Its characters first: to encode a wide text takes four bytes for each of them.
        too_long = len(text) > MAX_TEXT_BYTES
        total_bytes += len(text) if too_long else len(text.encode("utf-8", "surrogatepass"))
    if total_bytes > MAX_TEXT_BYTES:
        raise DecodeError(
            f"{type(message).__name__}: {total_bytes} bytes of text, and at most {MAX_TEXT_BYTES} allowed"
        )


def _check_error(message: ErrorResponse) -> None:
    _number(message, "retry_after_ms")
    _check_texts(message, (message.code, message.message, message.leader_id, *message.leader_addresses))
    if len(message.leader_addresses) > MAX_ADDRESSES:
        raise _fail(message, "leader_addresses", f"more than {MAX_ADDRESSES}")


_CHECKS: dict[type[Message], Callable[[Any], None]] = {
    AppendEntriesRequest: _check_append_entries,
    AppendEntriesResponse: _check_append_entries_response,
    RequestVoteRequest: _check_request_vote,
    RequestVoteResponse: _check_term,
    InstallSnapshotRequest: _check_install_snapshot,
    InstallSnapshotResponse: _check_install_snapshot_response,
    TimeoutNowRequest: _check_timeout_now,
    TimeoutNowResponse: _check_term,
    ReadIndexRequest: _check_read_index,
    ReadIndexResponse: _check_read_index_response,
    ProposeRequest: _check_propose,
    ProposeResponse: _check_index,
    QueryRequest: _check_query,
    QueryResponse: _check_applied_index,
    StatusResponse: _check_status,
    ChangeMembershipRequest: _check_change_membership,
    ChangeMembershipResponse: _check_membership_changed,
    TransferLeadershipRequest: _check_transfer,
    TransferLeadershipResponse: _check_transferred,
    OpenSessionResponse: _check_session,
    TakeSnapshotResponse: _check_snapshot_taken,
    ErrorResponse: _check_error,
}
