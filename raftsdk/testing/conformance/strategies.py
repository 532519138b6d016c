"""Hypothesis strategies for every message that an honest node could send."""

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from raftsdk.messages import (
    DIGEST_BYTES,
    MAX_ADDRESSES,
    MAX_MEMBERS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipRequest,
    ChangeMembershipResponse,
    Consistency,
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
    MessageKind,
    OpenSessionRequest,
    OpenSessionResponse,
    PeerStatus,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
    StatusResponse,
    TakeSnapshotRequest,
    TakeSnapshotResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
)
from raftsdk.testing.codec_samples import BOUNDARY_INTEGERS
from raftsdk.types import MAX_ID_CHARS, MAX_INTEGER, Entry, Member, Membership, Suffrage

_ALPHANUMERIC: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_MAX_LISTED: Final = 5  # items of a list made by chance; the vectors and the contract have the long ones


def numbers(low: int = 0) -> SearchStrategy[int]:
    """Integers from `low` to 2^63-1, often where formats change their mind about them."""
    return st.integers(low, MAX_INTEGER) | st.sampled_from([n for n in BOUNDARY_INTEGERS if n >= low])


def ids() -> SearchStrategy[str]:
    """Ids of nodes, of every length."""
    rest = st.text(f"{_ALPHANUMERIC}._-", max_size=MAX_ID_CHARS - 1)
    return st.builds(str.__add__, st.sampled_from(_ALPHANUMERIC), rest)


def payloads() -> SearchStrategy[bytes]:
    """Opaque bytes, often none."""
    return st.binary(max_size=300)


def texts() -> SearchStrategy[str]:
    """Text of any characters that UTF-8 has."""
    return st.text(max_size=100)


def addresses() -> SearchStrategy[list[str]]:
    """Up to as many addresses as a message may carry."""
    return st.lists(texts(), max_size=MAX_ADDRESSES)


@st.composite
def append_entries(draw: st.DrawFn) -> AppendEntriesRequest:
    """A batch whose terms are in order: the last entry's before, the entries' own, the message's."""
    prev_log_term, *terms, term = sorted(draw(st.lists(numbers(1), min_size=2, max_size=2 + _MAX_LISTED)))
    prev_log_index = draw(st.just(0) | numbers(1).map(lambda index: min(index, MAX_INTEGER - _MAX_LISTED)))
    return AppendEntriesRequest(
        term=term,
        leader_id=draw(ids()),
        prev_log_index=prev_log_index,
        prev_log_term=prev_log_term if prev_log_index else 0,
        leader_commit=draw(numbers()),
        entries=[Entry(entry_term, draw(numbers()), draw(payloads())) for entry_term in terms],
        quiesce=draw(st.booleans()),
    )


@st.composite
def votes(draw: st.DrawFn) -> RequestVoteRequest:
    """A candidate whose last entry, if it has one, is of a term before the one it campaigns in."""
    last_log_term, term = draw(st.tuples(st.just(0), numbers(1)) | st.tuples(numbers(1), numbers(2)).map(sorted))
    return RequestVoteRequest(
        term=term,
        candidate_id=draw(ids()),
        last_log_index=draw(numbers(1)) if 0 < last_log_term < term else 0,
        last_log_term=last_log_term if last_log_term < term else 0,
        pre_vote=draw(st.booleans()),
        leadership_transfer=draw(st.booleans()),
    )


def members(at_least: int = 0) -> SearchStrategy[list[Member]]:
    """Members with ids of their own."""
    one = st.builds(Member, ids(), addresses().map(tuple), st.sampled_from(Suffrage), numbers())
    return st.lists(one, min_size=at_least, max_size=_MAX_LISTED, unique_by=lambda member: member.id)


def _listed_ids() -> SearchStrategy[list[str]]:
    return st.lists(ids(), max_size=_MAX_LISTED, unique=True)


def memberships() -> SearchStrategy[Membership]:
    """Members, the first of them a voter, and perhaps an outgoing half."""
    return st.builds(Membership, members(at_least=1).map(_led_by_a_voter), _listed_ids().map(tuple))


def _led_by_a_voter(members: list[Member]) -> tuple[Member, ...]:
    return (replace(members[0], suffrage=Suffrage.VOTER), *members[1:])


@st.composite
def snapshot_pieces(draw: st.DrawFn) -> InstallSnapshotRequest:
    """A piece that lies within its snapshot."""
    data = draw(payloads())
    offset, total_bytes = sorted(draw(st.tuples(numbers(), numbers())))
    last_included_term, term = sorted(draw(st.tuples(numbers(1), numbers(1))))
    return InstallSnapshotRequest(
        term=term,
        leader_id=draw(ids()),
        last_included_index=draw(numbers(1)),
        last_included_term=last_included_term,
        membership=draw(memberships()),
        total_bytes=max(total_bytes, len(data)),
        digest=draw(st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)),
        offset=min(offset, max(total_bytes, len(data)) - len(data)),
        data=data,
    )


def peers() -> SearchStrategy[PeerStatus]:
    """Peers as a status shows them."""
    return st.builds(
        PeerStatus,
        node_id=ids(),
        addresses=addresses(),
        state=texts(),
        match_index=numbers(),
        next_index=numbers(),
        outstanding_calls=numbers(),
        connected=st.booleans(),
        codec=texts(),
        transport=texts(),
        suffrage=texts(),
    )


def _statuses() -> SearchStrategy[StatusResponse]:
    return st.builds(
        StatusResponse,
        node_id=ids(),
        cluster_id=texts(),
        role=texts(),
        term=numbers(),
        leader_id=texts(),
        last_log_index=numbers(),
        durable_index=numbers(),
        commit_index=numbers(),
        applied_index=numbers(),
        peers=st.lists(peers(), max_size=min(_MAX_LISTED, MAX_MEMBERS)),
        suffrage=texts(),
        membership_index=numbers(),
        joint=st.booleans(),
        first_log_index=numbers(),
        snapshot_index=numbers(),
    )


@st.composite
def proposals(draw: st.DrawFn) -> ProposeRequest:
    """A command of no session, or the next of one."""
    first_unanswered, sequence = sorted(draw(st.tuples(numbers(1), numbers(1))))
    if draw(st.booleans()):
        return ProposeRequest(command=draw(payloads()))
    return ProposeRequest(
        command=draw(payloads()),
        session_id=draw(numbers(1)),
        sequence=sequence,
        first_unanswered=draw(st.sampled_from((0, first_unanswered))),
    )


MESSAGES: Final[dict[MessageKind, SearchStrategy[Any]]] = {
    MessageKind.ERROR: st.builds(
        ErrorResponse,
        code=st.sampled_from([code.value for code in ErrorCode]) | texts(),
        message=texts(),
        leader_id=texts(),
        leader_addresses=addresses(),
        retry_after_ms=numbers(),
    ),
    MessageKind.APPEND_ENTRIES_REQUEST: append_entries(),
    MessageKind.APPEND_ENTRIES_RESPONSE: st.builds(
        AppendEntriesResponse,
        term=numbers(),
        success=st.booleans(),
        conflict_index=numbers(),
        conflict_term=numbers(),
        quiesced=st.booleans(),
    ),
    MessageKind.REQUEST_VOTE_REQUEST: votes(),
    MessageKind.REQUEST_VOTE_RESPONSE: st.builds(RequestVoteResponse, term=numbers(), vote_granted=st.booleans()),
    MessageKind.INSTALL_SNAPSHOT_REQUEST: snapshot_pieces(),
    MessageKind.INSTALL_SNAPSHOT_RESPONSE: st.builds(
        InstallSnapshotResponse, term=numbers(), next_offset=numbers(), installed=st.booleans()
    ),
    MessageKind.TIMEOUT_NOW_REQUEST: st.builds(TimeoutNowRequest, term=numbers(1), leader_id=ids()),
    MessageKind.TIMEOUT_NOW_RESPONSE: st.builds(TimeoutNowResponse, term=numbers()),
    MessageKind.READ_INDEX_REQUEST: st.builds(ReadIndexRequest, term=numbers(1), node_id=ids()),
    MessageKind.READ_INDEX_RESPONSE: st.builds(ReadIndexResponse, term=numbers(), read_index=numbers()),
    MessageKind.PROPOSE_REQUEST: proposals(),
    MessageKind.PROPOSE_RESPONSE: st.builds(ProposeResponse, index=numbers(), result=payloads()),
    MessageKind.QUERY_REQUEST: st.builds(
        QueryRequest, query=payloads(), consistency=st.sampled_from(Consistency), max_staleness_ms=numbers()
    ),
    MessageKind.QUERY_RESPONSE: st.builds(QueryResponse, applied_index=numbers(), result=payloads()),
    MessageKind.STATUS_REQUEST: st.just(StatusRequest()),
    MessageKind.STATUS_RESPONSE: _statuses(),
    MessageKind.CHANGE_MEMBERSHIP_REQUEST: st.builds(ChangeMembershipRequest, members=members(), remove=_listed_ids()),
    MessageKind.CHANGE_MEMBERSHIP_RESPONSE: st.builds(
        ChangeMembershipResponse, index=numbers(), membership=memberships()
    ),
    MessageKind.TRANSFER_LEADERSHIP_REQUEST: st.builds(TransferLeadershipRequest, target=st.just("") | ids()),
    MessageKind.TRANSFER_LEADERSHIP_RESPONSE: st.builds(TransferLeadershipResponse, leader_id=ids(), term=numbers()),
    MessageKind.OPEN_SESSION_REQUEST: st.just(OpenSessionRequest()),
    MessageKind.OPEN_SESSION_RESPONSE: st.builds(OpenSessionResponse, session_id=numbers(1)),
    MessageKind.TAKE_SNAPSHOT_REQUEST: st.just(TakeSnapshotRequest()),
    MessageKind.TAKE_SNAPSHOT_RESPONSE: st.builds(
        TakeSnapshotResponse, last_included_index=numbers(1), total_bytes=numbers()
    ),
}
"""Messages of each kind."""


def messages() -> SearchStrategy[Message]:
    """Messages of any kind."""
    return st.one_of(*MESSAGES.values())
