"""Messages that every codec is tried with: honest ones at every boundary, the largest there may be, dishonest ones."""

from random import Random
from typing import Final

import msgspec

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
    Consistency,
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
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
from raftsdk.types import MAX_ID_CHARS, MAX_INTEGER, Entry, Member, Membership, Suffrage

BOUNDARY_INTEGERS: Final = (0, 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1, MAX_INTEGER)
"""Where formats change their mind about integers: 32 bits, a double's precision, the ceiling."""

ALL_BYTES: Final = bytes(range(256))
UNICODE_TEXT: Final = 'ünï \U0001f98b 日本 "quoted" back\\slash \n\t\x00 end'

_MIB: Final = 1024 * 1024


# -- honest ones


def sample_messages() -> list[Message]:
    """Messages of every kind: every integer at its boundaries, lists empty and not, bytes and texts of all sorts."""
    return [
        *(message for number in BOUNDARY_INTEGERS for message in _messages_about(number)),
        *(message for data in (b"", b"\x00", ALL_BYTES) for message in _messages_with(data)),
        *_messages_with_text(),
        *messages_of_zeros(),
    ]


def _messages_about(number: int) -> list[Message]:
    """Messages of each kind that has integers, all of them `number` or the nearest that an honest node could send."""
    term = max(number, 1)
    entries = [Entry(1, 0, b""), Entry(term, number, b"data")]
    peer = peer_status(number)
    return [
        AppendEntriesRequest(
            term=term, leader_id="n1", prev_log_index=number, prev_log_term=number, leader_commit=number, entries=[]
        ),
        AppendEntriesRequest(
            term=term, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=2, entries=entries
        ),
        AppendEntriesResponse(term=number, success=True),
        AppendEntriesResponse(term=number, success=False, conflict_index=number, conflict_term=number),
        RequestVoteRequest(term=max(number, 2), candidate_id="n1", last_log_index=number, last_log_term=min(number, 1)),
        RequestVoteRequest(
            term=max(number, 2), candidate_id="n1", last_log_index=1, last_log_term=max(number, 2) - 1, pre_vote=True
        ),
        RequestVoteResponse(term=number, vote_granted=True),
        RequestVoteResponse(term=number, vote_granted=False),
        snapshot_piece(number, b"data"),
        InstallSnapshotResponse(term=number, next_offset=number, installed=False),
        InstallSnapshotResponse(term=number, next_offset=0, installed=True),
        TimeoutNowRequest(term=term, leader_id="n1"),
        TimeoutNowResponse(term=number),
        ProposeResponse(index=number, result=b"result"),
        QueryResponse(applied_index=number, result=b"result"),
        status_response(number, []),
        status_response(number, [peer, peer]),
        ErrorResponse(code=ErrorCode.OVERLOADED.value, retry_after_ms=number),
        *_messages_of_a_complete_raft(number),
    ]


def _messages_of_a_complete_raft(number: int) -> list[Message]:
    """The same of what was added to the first messages: membership, reads, sessions, transfer, snapshots on demand, and
    groups that quiesce.
    """
    least = max(number, 1)
    member = Member("n2", ("tcp://127.0.0.1:7002",), Suffrage.LEARNER, number)
    change = msgspec.structs.replace
    return [
        RequestVoteRequest(term=least, candidate_id="n1", last_log_index=0, last_log_term=0, leadership_transfer=True),
        change(snapshot_piece(number, b""), membership=Membership((Member("n1", incarnation=number), member))),
        ReadIndexRequest(term=least, node_id="n1"),
        ReadIndexResponse(term=number, read_index=number),
        ProposeRequest(command=b"command", session_id=least, sequence=least, first_unanswered=number),
        QueryRequest(query=b"query", consistency=Consistency.BOUNDED_STALE, max_staleness_ms=number),
        change(
            status_response(number, [change(peer_status(number), state="snapshot", suffrage="learner")]),
            suffrage="learner",
            membership_index=number,
            joint=True,
            first_log_index=number,
            snapshot_index=number,
        ),
        ChangeMembershipRequest(members=[member, Member("n3", incarnation=number)], remove=["n1"]),
        ChangeMembershipResponse(index=number, membership=Membership((Member("n1", incarnation=number), member))),
        TransferLeadershipResponse(leader_id="n1", term=number),
        OpenSessionResponse(session_id=least),
        TakeSnapshotResponse(last_included_index=least, total_bytes=number),
        AppendEntriesRequest(
            term=least,
            leader_id="n1",
            prev_log_index=number,
            prev_log_term=number,
            leader_commit=number,
            entries=[],
            quiesce=True,
        ),
        AppendEntriesResponse(term=number, success=True, quiesced=True),
    ]


def _messages_with(data: bytes) -> list[Message]:
    return [
        AppendEntriesRequest(
            term=3,
            leader_id="n1",
            prev_log_index=7,
            prev_log_term=1,
            leader_commit=9,
            entries=[Entry(2, 1, data), Entry(3, 2, data)],
        ),
        snapshot_piece(1_000, data),
        ProposeRequest(command=data),
        ProposeResponse(index=1, result=data),
        QueryRequest(query=data, consistency=Consistency.LOCAL),
        QueryResponse(applied_index=1, result=data),
        ProposeRequest(command=data, session_id=7, sequence=2, first_unanswered=1),
        *(QueryRequest(query=data, consistency=consistency) for consistency in Consistency),
    ]


def _messages_with_text() -> list[Message]:
    longest_id = "a" * MAX_ID_CHARS
    return [
        RequestVoteRequest(term=1, candidate_id=longest_id, last_log_index=0, last_log_term=0),
        ErrorResponse(
            code=ErrorCode.NOT_LEADER.value,
            message=UNICODE_TEXT,
            leader_id=longest_id,
            leader_addresses=["tcp://[::1]:7001", "unix:/ü", *[""] * (MAX_ADDRESSES - 2)],
        ),
        StatusResponse(
            node_id="n1",
            cluster_id=UNICODE_TEXT,
            role="leader",
            term=1,
            leader_id="",
            last_log_index=4,
            durable_index=3,
            commit_index=2,
            applied_index=1,
            peers=[peer_status(5)],
        ),
        msgspec.structs.replace(
            snapshot_piece(9, b"x"),
            membership=Membership(
                members=(
                    Member("n1", ("tcp://[::1]:7001", UNICODE_TEXT), Suffrage.VOTER),
                    Member(longest_id, (), Suffrage.LEARNER),
                ),
                outgoing=("n1", longest_id),
            ),
        ),
        ReadIndexRequest(term=1, node_id=longest_id),
        ChangeMembershipRequest(members=[Member(longest_id, (UNICODE_TEXT, ""))], remove=["n1", "n2"]),
        ChangeMembershipRequest(remove=[longest_id]),
        ChangeMembershipResponse(
            index=1, membership=Membership((Member("n1", (UNICODE_TEXT,)),), outgoing=("n1", longest_id))
        ),
        TransferLeadershipRequest(target=longest_id),
        TransferLeadershipResponse(leader_id=longest_id, term=1),
        msgspec.structs.replace(
            status_response(1, [msgspec.structs.replace(peer_status(1), suffrage=UNICODE_TEXT)]), suffrage=UNICODE_TEXT
        ),
    ]


def messages_of_zeros() -> list[Message]:
    """Messages that may be nothing but zeros; a format that leaves out zeros writes nothing at all for them."""
    return [
        AppendEntriesResponse(term=0, success=False),
        RequestVoteResponse(term=0, vote_granted=False),
        InstallSnapshotResponse(term=0, next_offset=0, installed=False),
        TimeoutNowResponse(term=0),
        ProposeRequest(command=b""),
        ProposeResponse(index=0, result=b""),
        QueryRequest(query=b""),
        QueryResponse(applied_index=0, result=b""),
        StatusRequest(),
        ErrorResponse(code=""),
        ReadIndexResponse(term=0, read_index=0),
        ChangeMembershipRequest(),
        TransferLeadershipRequest(),
        OpenSessionRequest(),
        TakeSnapshotRequest(),
    ]


def snapshot_piece(number: int, data: bytes) -> InstallSnapshotRequest:
    """The last piece of a snapshot, with `number` in its integers as far as may be."""
    total_bytes = max(number, len(data))
    return InstallSnapshotRequest(
        term=max(number, 1),
        leader_id="n1",
        last_included_index=max(number, 1),
        last_included_term=max(number, 1),
        membership=Membership(members=(Member("n1", ("tcp://127.0.0.1:7001",)), Member("n2"))),
        total_bytes=total_bytes,
        digest=ALL_BYTES[:DIGEST_BYTES],
        offset=total_bytes - len(data),
        data=data,
    )


def peer_status(number: int) -> PeerStatus:
    """A peer, with `number` in its integers."""
    return PeerStatus(
        node_id="n2",
        addresses=["tcp://127.0.0.1:7002", UNICODE_TEXT],
        state="replicate",
        match_index=number,
        next_index=number,
        outstanding_calls=number,
        connected=True,
        codec="json",
        transport="tcp",
    )


def status_response(number: int, peers: list[PeerStatus]) -> StatusResponse:
    """A node's status, with `number` in the integers it had from the beginning."""
    return StatusResponse(
        node_id="n1",
        cluster_id="c",
        role="follower",
        term=number,
        leader_id="n2",
        last_log_index=number,
        durable_index=number,
        commit_index=number,
        applied_index=number,
        peers=peers,
    )


# -- dishonest ones


def dishonest_messages() -> list[Message]:
    """Messages no honest node sends, each with one thing wrong: what `checks.check` is there to refuse."""
    honest = AppendEntriesRequest(
        term=5, leader_id="n1", prev_log_index=9, prev_log_term=3, leader_commit=9, entries=[Entry(4, 1, b"x")]
    )
    vote = RequestVoteRequest(term=5, candidate_id="n1", last_log_index=1, last_log_term=1)
    piece = snapshot_piece(5, b"data")
    change = msgspec.structs.replace
    return [
        change(honest, term=0, prev_log_index=0, prev_log_term=0, entries=[]),
        change(honest, term=-1),
        change(honest, term=MAX_INTEGER + 1),
        change(honest, leader_id=""),
        change(honest, leader_id="../n1"),
        change(honest, leader_id="a" * (MAX_ID_CHARS + 1)),
        change(honest, prev_log_index=-1),
        change(honest, prev_log_index=0),
        change(honest, prev_log_index=MAX_INTEGER),
        change(honest, prev_log_term=6),
        change(honest, leader_commit=MAX_INTEGER + 1),
        change(honest, entries=[Entry(4, 1, b"x"), Entry(3, 1, b"goes back")]),
        change(honest, entries=[Entry(2, 1, b"before prev_log_term")]),
        change(honest, entries=[Entry(6, 1, b"exceeds the term")]),
        change(honest, entries=[Entry(4, -1, b"kind")]),
        change(honest, entries=[Entry(4, MAX_INTEGER + 1, b"kind")]),
        change(honest, prev_log_index=0, prev_log_term=0, entries=[Entry(0, 1, b"term 0")]),
        AppendEntriesResponse(term=-1, success=True),
        AppendEntriesResponse(term=1, success=False, conflict_index=MAX_INTEGER + 1),
        change(vote, term=0),
        change(vote, candidate_id="n 1"),
        change(vote, last_log_index=-1),
        change(vote, last_log_term=2**64 - 1),
        change(vote, last_log_term=5),
        change(vote, last_log_term=0),
        change(vote, last_log_index=0),
        RequestVoteResponse(term=-(2**63), vote_granted=True),
        change(piece, term=0),
        change(piece, term=4),
        change(piece, leader_id=""),
        change(piece, last_included_index=0),
        change(piece, last_included_term=0),
        change(piece, total_bytes=4),
        change(piece, total_bytes=MAX_INTEGER + 1),
        change(piece, offset=-1),
        change(piece, digest=b""),
        change(piece, digest=ALL_BYTES[: DIGEST_BYTES + 1]),
        change(piece, membership=Membership(members=(Member(""),))),
        change(piece, membership=Membership(members=(Member("n1"), Member("n1")))),
        change(piece, membership=Membership(members=(Member("n1", ("",) * (MAX_ADDRESSES + 1)),))),
        change(piece, membership=Membership(members=tuple(Member(f"n{i}") for i in range(MAX_MEMBERS + 1)))),
        change(piece, membership=Membership(members=(Member("n1"),), outgoing=("n 1",))),
        change(piece, membership=Membership(members=())),
        change(piece, membership=Membership(members=(Member("n1", (), Suffrage.LEARNER),))),
        change(piece, membership=Membership(members=(Member("n1", ("a" * MAX_TEXT_BYTES,)),))),
        change(piece, membership=Membership(members=(Member("n1", incarnation=-1),))),
        change(piece, membership=Membership(members=(Member("n1", incarnation=MAX_INTEGER + 1),))),
        InstallSnapshotResponse(term=1, next_offset=-1, installed=False),
        TimeoutNowRequest(term=0, leader_id="n1"),
        TimeoutNowRequest(term=1, leader_id="n\n1"),
        TimeoutNowResponse(term=MAX_INTEGER + 1),
        ProposeResponse(index=-1, result=b""),
        QueryResponse(applied_index=MAX_INTEGER + 1, result=b""),
        change(status_response(1, []), node_id="\n"),
        change(status_response(1, []), term=-1),
        status_response(1, [change(peer_status(1), match_index=-1)]),
        status_response(1, [change(peer_status(1), addresses=[""] * (MAX_ADDRESSES + 1))]),
        status_response(1, [peer_status(1)] * (MAX_MEMBERS + 1)),
        change(honest, entries=[Entry(4, 1, b"")] * (MAX_ENTRIES + 1)),
        ErrorResponse(code="", retry_after_ms=-1),
        ErrorResponse(code="", leader_addresses=[""] * (MAX_ADDRESSES + 1)),
        ErrorResponse(code="", message="a" * (MAX_TEXT_BYTES + 1)),
        ErrorResponse(code="", message="é" * (MAX_TEXT_BYTES // 2), leader_addresses=["b"]),
        status_response(1, [change(peer_status(1), codec="c" * MAX_TEXT_BYTES)]),
        *_dishonest_messages_of_a_complete_raft(),
    ]


def _dishonest_messages_of_a_complete_raft() -> list[Message]:
    proposed = ProposeRequest(command=b"", session_id=7, sequence=2, first_unanswered=1)
    members = [Member(f"n{number}") for number in range(MAX_MEMBERS + 1)]
    change = msgspec.structs.replace
    return [
        ReadIndexRequest(term=0, node_id="n1"),
        ReadIndexRequest(term=1, node_id=""),
        ReadIndexRequest(term=1, node_id="n1\n"),
        ReadIndexResponse(term=-1, read_index=0),
        ReadIndexResponse(term=1, read_index=MAX_INTEGER + 1),
        change(proposed, session_id=0),
        change(proposed, sequence=0, first_unanswered=0),
        change(proposed, first_unanswered=3),
        change(proposed, session_id=MAX_INTEGER + 1),
        change(proposed, sequence=2**64 - 1),
        change(proposed, first_unanswered=-1),
        ProposeRequest(command=b"", first_unanswered=1),
        QueryRequest(query=b"", max_staleness_ms=MAX_INTEGER + 1),
        QueryRequest(query=b"", max_staleness_ms=-1),
        change(status_response(1, []), membership_index=MAX_INTEGER + 1),
        change(status_response(1, []), first_log_index=-1),
        change(status_response(1, []), snapshot_index=2**64 - 1),
        change(status_response(1, []), suffrage="s" * MAX_TEXT_BYTES),
        status_response(1, [change(peer_status(1), suffrage="s" * MAX_TEXT_BYTES)]),
        ChangeMembershipRequest(members=[Member("")]),
        ChangeMembershipRequest(members=[Member("n1"), Member("n1")]),
        ChangeMembershipRequest(members=[Member("n1", ("",) * (MAX_ADDRESSES + 1))]),
        ChangeMembershipRequest(members=[Member("n1", incarnation=MAX_INTEGER + 1)]),
        ChangeMembershipRequest(members=members),
        ChangeMembershipRequest(remove=["n 1"]),
        ChangeMembershipRequest(remove=["n1", "n1"]),
        ChangeMembershipRequest(remove=[member.id for member in members]),
        ChangeMembershipRequest(members=[Member("n1", ("a" * MAX_TEXT_BYTES,))]),
        ChangeMembershipResponse(index=1, membership=Membership(())),
        ChangeMembershipResponse(index=1, membership=Membership((Member("n1", (), Suffrage.LEARNER),))),
        ChangeMembershipResponse(index=-1, membership=Membership((Member("n1"),))),
        ChangeMembershipResponse(index=1, membership=Membership((Member("n1", incarnation=-1),))),
        TransferLeadershipRequest(target="../n1"),
        TransferLeadershipResponse(leader_id="", term=1),
        TransferLeadershipResponse(leader_id="n1", term=-1),
        OpenSessionResponse(session_id=0),
        OpenSessionResponse(session_id=MAX_INTEGER + 1),
        TakeSnapshotResponse(last_included_index=0, total_bytes=1),
        TakeSnapshotResponse(last_included_index=1, total_bytes=-1),
    ]


# -- large ones


def large_message() -> AppendEntriesRequest:
    """What a busy leader sends: 512 entries of 256 random bytes."""
    chance = Random(512)
    entries = [Entry(9, 1, chance.randbytes(256)) for _ in range(512)]
    return AppendEntriesRequest(
        term=9, leader_id="n1", prev_log_index=1_000, prev_log_term=9, leader_commit=1_000, entries=entries
    )


def largest_messages() -> list[Message]:
    """The most that a message may hold, in every way there is: entries, members, peers, text, a mebibyte of payload."""
    change = msgspec.structs.replace
    batch, piece, payload = large_message(), snapshot_piece(0, b""), Random(20).randbytes(_MIB)
    addresses = [f"tcp://host-{number}.example:7001" for number in range(MAX_ADDRESSES)]
    members = tuple(
        Member(
            f"n{number:0>{MAX_ID_CHARS - 1}}",
            tuple(addresses),
            Suffrage.LEARNER if number else Suffrage.VOTER,
            MAX_INTEGER - number,
        )
        for number in range(MAX_MEMBERS)
    )
    ids = [member.id for member in members]
    peers = [
        change(peer_status(MAX_INTEGER), node_id=member.id, addresses=addresses, suffrage=member.suffrage.value)
        for member in members
    ]
    # Terms, kinds and payloads that all differ, and of which Python keeps none: every one is an object of its own.
    dearest = [Entry(300 + number, 400 + number, b"%04d" % number) for number in range(MAX_ENTRIES)]
    return [
        change(batch, entries=[Entry(9, 0, b"")] * MAX_ENTRIES),
        change(batch, term=dearest[-1].term, entries=dearest),
        change(batch, entries=[Entry(9, 1, payload)]),
        change(piece, membership=Membership(members, tuple(ids))),
        change(piece, total_bytes=len(payload), data=payload),
        ChangeMembershipRequest(members=list(members), remove=ids),
        ChangeMembershipResponse(index=MAX_INTEGER, membership=Membership(members, tuple(ids))),
        ProposeRequest(command=payload),
        ProposeRequest(command=payload, session_id=MAX_INTEGER, sequence=MAX_INTEGER, first_unanswered=MAX_INTEGER),
        QueryResponse(applied_index=MAX_INTEGER, result=payload),
        status_response(MAX_INTEGER, peers),
        ErrorResponse(code="", message=UNICODE_TEXT * 1_200, leader_addresses=addresses),
    ]
