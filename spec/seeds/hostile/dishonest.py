"""Messages that are well-formed and that no honest node sends; written by each codec whose format can say them."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from raftsdk.messages import (
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
from raftsdk.types import MAX_ID_CHARS, MAX_INTEGER, Entry, Member, Membership
from seeds.messages import MEMBERS, ORDINARY, PEER


class Dishonest(Struct, frozen=True):
    """One thing is wrong with `message`."""

    name: str
    clause: str
    message: Message
    why: str


_BAD_IDS: Final = {
    "empty": "",
    "a path": "../n1",
    "a blank": "n 1",
    "a line break": "n1\n",
    "a zero character": "n1\x00",
    "a letter beyond ASCII": "ñ1",
    "a dot first": ".n1",
    f"{MAX_ID_CHARS + 1} characters": "a" * (MAX_ID_CHARS + 1),
}

_TOO_LARGE: Final = {"2^63": MAX_INTEGER + 1, "2^64-1": 2**64 - 1}


def messages() -> Iterator[Dishonest]:
    """All of them."""
    ordinary = {type(message): message for message in ORDINARY}
    batch, vote, piece, status, error = (
        ordinary[of]
        for of in (AppendEntriesRequest, RequestVoteRequest, InstallSnapshotRequest, StatusResponse, ErrorResponse)
    )
    assert isinstance(batch, AppendEntriesRequest)
    yield from _terms(batch, vote, piece)
    yield from _ids(batch, vote, piece, status)
    yield from _numbers(batch, piece)
    yield from _votes(vote)
    yield from _entries(batch)
    yield from _snapshots(piece)
    yield from _lists(batch, piece, status, error)
    yield from _sessions()
    yield from _memberships(piece)
    yield from _reads_and_leaders(status)


def _terms(batch: Message, vote: Message, piece: Message) -> Iterator[Dishonest]:
    why = "no leader and no candidate has term 0"
    yield Dishonest("term 0", "9.2", replace(batch, term=0, prev_log_index=0, prev_log_term=0, entries=[]), why)
    yield Dishonest("term 0", "9.4", replace(vote, term=0), why)
    yield Dishonest("term 0", "9.6", replace(piece, term=0), why)
    yield Dishonest("term 0", "9.8", TimeoutNowRequest(term=0, leader_id="n1"), why)


def _ids(batch: Message, vote: Message, piece: Message, status: Message) -> Iterator[Dishonest]:
    why = "an id is 1 to 128 letters, digits, '.', '_' and '-', the first a letter or digit"
    for name, bad in _BAD_IDS.items():
        yield Dishonest(f"candidate_id: {name}", "6.1", replace(vote, candidate_id=bad), why)
    yield Dishonest("leader_id: empty", "6.1", replace(batch, leader_id=""), why)
    yield Dishonest("leader_id: a path", "6.1", replace(piece, leader_id="../n1"), why)
    yield Dishonest("leader_id: a line break", "6.1", TimeoutNowRequest(term=1, leader_id="n1\n"), why)
    yield Dishonest("node_id: empty", "6.1", replace(status, node_id=""), why)
    yield Dishonest("a peer's node_id: a path", "6.1", replace(status, peers=[replace(PEER, node_id="../n2")]), why)


def _numbers(batch: Message, piece: Message) -> Iterator[Dishonest]:
    why = "an integer is at most 2^63-1"
    for name, number in _TOO_LARGE.items():
        yield Dishonest(f"term {name}", "8.1", replace(batch, term=number), why)
        yield Dishonest(f"leader_commit {name}", "8.1", replace(batch, leader_commit=number), why)
        entries = [Entry(7, number, b"")]
        yield Dishonest(f"an entry of kind {name}", "8.1", replace(batch, entries=entries), why)
        yield Dishonest(f"term {name}", "8.1", AppendEntriesResponse(term=number, success=True), why)
        yield Dishonest(f"term {name}", "8.1", RequestVoteResponse(term=number, vote_granted=True), why)
        yield Dishonest(f"term {name}", "8.1", TimeoutNowResponse(term=number), why)
        yield Dishonest(
            f"next_offset {name}", "8.1", InstallSnapshotResponse(term=1, next_offset=number, installed=True), why
        )
        yield Dishonest(f"total_bytes {name}", "8.1", replace(piece, total_bytes=number), why)
        yield Dishonest(f"index {name}", "8.1", ProposeResponse(index=number, result=b""), why)
        yield Dishonest(f"applied_index {name}", "8.1", QueryResponse(applied_index=number, result=b""), why)
        yield Dishonest(f"retry_after_ms {name}", "8.1", ErrorResponse(code="", retry_after_ms=number), why)
    negative = "an integer is at least 0"
    yield Dishonest("term -1", "8.1", AppendEntriesResponse(term=-1, success=True), negative)
    yield Dishonest("offset -1", "8.1", replace(piece, offset=-1), negative)


def _votes(vote: Message) -> Iterator[Dishonest]:
    together = "index 0 has term 0, and no other has"
    yield Dishonest("an index without a term", "9.4", replace(vote, last_log_term=0), together)
    yield Dishonest("a term without an index", "9.4", replace(vote, last_log_index=0), together)
    before = "a candidate has no entry of the term that it campaigns in"
    yield Dishonest("last_log_term as term", "9.4", replace(vote, last_log_term=8), before)
    yield Dishonest("last_log_term beyond term", "9.4", replace(vote, last_log_term=9), before)


def _entries(batch: AppendEntriesRequest) -> Iterator[Dishonest]:
    clause, why = "8.10", "terms never fall within a log and never exceed the sender's"
    one = Entry(7, 1, b"x")
    yield Dishonest("terms that go back", clause, replace(batch, entries=[one, replace(one, term=6)]), why)
    yield Dishonest("a term before prev_log_term", clause, replace(batch, entries=[replace(one, term=5)]), why)
    yield Dishonest("a term beyond the message's", clause, replace(batch, entries=[replace(one, term=8)]), why)
    yield Dishonest("prev_log_term beyond the message's", "9.2", replace(batch, prev_log_term=8, entries=[]), why)
    zero = replace(batch, prev_log_index=0, prev_log_term=0, entries=[replace(one, term=0)])
    yield Dishonest("an entry of term 0", clause, zero, "the first entry of a log has a term of at least 1")
    together = "index 0 has term 0, and no other has"
    yield Dishonest("an index without a term", "9.2", replace(batch, prev_log_term=0, entries=[]), together)
    yield Dishonest("a term without an index", "9.2", replace(batch, prev_log_index=0, entries=[]), together)
    last = replace(batch, prev_log_index=MAX_INTEGER)
    yield Dishonest("entries beyond the last index", clause, last, "an index is at most 2^63-1")


def _snapshots(piece: Message) -> Iterator[Dishonest]:
    clause = "9.6"
    yield Dishonest(
        "last_included_index 0", clause, replace(piece, last_included_index=0), "a snapshot holds something"
    )
    yield Dishonest("last_included_term 0", clause, replace(piece, last_included_term=0), "no entry has term 0")
    later = replace(piece, last_included_term=8)
    yield Dishonest("last_included_term beyond term", clause, later, "no log has a term above its leader's")
    for length in (0, 31, 33):
        told = replace(piece, digest=bytes(length))
        yield Dishonest(f"a digest of {length} bytes", clause, told, "a SHA-256 has 32 bytes")
    beyond = "a piece lies within its snapshot"
    yield Dishonest("data beyond total_bytes", clause, replace(piece, offset=980), beyond)
    yield Dishonest("an offset beyond total_bytes", clause, replace(piece, offset=1_001, data=b""), beyond)
    twice = "no id is listed twice"
    same = Membership((MEMBERS[0], MEMBERS[0]))
    yield Dishonest("a member twice", "9.16", replace(piece, membership=same), twice)
    yield Dishonest("an outgoing id twice", "9.16", replace(piece, membership=Membership(MEMBERS, ("n1", "n1"))), twice)
    learners = Membership((MEMBERS[1],))
    yield Dishonest("no voter", "9.16", replace(piece, membership=learners), "somebody has to decide")
    yield Dishonest("no member", "9.16", replace(piece, membership=Membership(())), "somebody has to decide")
    nobody = Membership((Member(""),))
    yield Dishonest("a member without an id", "6.1", replace(piece, membership=nobody), "an id has 1 to 128 characters")
    yield Dishonest(
        "an outgoing path", "6.1", replace(piece, membership=Membership(MEMBERS, ("../n",))), "that is no id"
    )


def _lists(batch: Message, piece: Message, status: Message, error: Message) -> Iterator[Dishonest]:
    clause = "8.5"
    yield Dishonest(
        "64 KiB and a byte of text",
        clause,
        replace(error, message="x" * MAX_TEXT_BYTES),
        "texts may come to 65,536 bytes",
    )
    many = tuple(Member(f"n{number}") for number in range(MAX_MEMBERS + 1))
    ids = tuple(member.id for member in many)
    addresses = ("",) * (MAX_ADDRESSES + 1)
    for name, message, limit in (
        ("entries", replace(batch, entries=[Entry(7, 1, b"")] * (MAX_ENTRIES + 1)), MAX_ENTRIES),
        ("members", replace(piece, membership=Membership(many)), MAX_MEMBERS),
        ("outgoing ids", replace(piece, membership=Membership(MEMBERS, ids)), MAX_MEMBERS),
        ("addresses of a member", replace(piece, membership=Membership((Member("n1", addresses),))), MAX_ADDRESSES),
        ("peers", replace(status, peers=[PEER] * (MAX_MEMBERS + 1)), MAX_MEMBERS),
        ("addresses of a peer", replace(status, peers=[replace(PEER, addresses=[*addresses])]), MAX_ADDRESSES),
        ("addresses of the leader", replace(error, leader_addresses=[*addresses]), MAX_ADDRESSES),
    ):
        yield Dishonest(f"{limit + 1:,} {name}", clause, message, f"at most {limit:,} are allowed")


def _sessions() -> Iterator[Dishonest]:
    clause = "9.10"
    command = ProposeRequest(command=b"x", session_id=46, sequence=3, first_unanswered=2)
    both = "a command of a session has a sequence, and no other has"
    yield Dishonest("a sequence without a session", clause, replace(command, session_id=0), both)
    yield Dishonest("a session without a sequence", clause, replace(command, sequence=0, first_unanswered=0), both)
    later = "this very command is not answered yet"
    yield Dishonest("first_unanswered beyond the sequence", clause, replace(command, first_unanswered=4), later)
    yield Dishonest(
        "first_unanswered without a session", clause, ProposeRequest(command=b"x", first_unanswered=1), later
    )
    why = "an integer is at most 2^63-1"
    for name, number in _TOO_LARGE.items():
        yield Dishonest(f"session_id {name}", "8.1", replace(command, session_id=number), why)
        yield Dishonest(f"sequence {name}", "8.1", replace(command, sequence=number), why)
        yield Dishonest(f"session_id {name}", "8.1", OpenSessionResponse(session_id=number), why)
    yield Dishonest("session_id 0", "9.24", OpenSessionResponse(session_id=0), "0 is no session")


def _memberships(piece: Message) -> Iterator[Dishonest]:
    """Wherever members are told of: in a snapshot, in a change that is asked for, and in its answer."""
    why = "an integer is at most 2^63-1"
    for name, number in _TOO_LARGE.items():
        members = (Member("n1", (), incarnation=number),)
        yield Dishonest(f"an incarnation of {name}", "9.16", replace(piece, membership=Membership(members)), why)
        yield Dishonest(f"an incarnation of {name}", "9.16", ChangeMembershipRequest(members=[*members]), why)
        answer = ChangeMembershipResponse(index=1, membership=Membership(members))
        yield Dishonest(f"an incarnation of {name}", "9.16", answer, why)
        yield Dishonest(
            f"index {name}", "8.1", ChangeMembershipResponse(index=number, membership=Membership(MEMBERS)), why
        )
    many = [Member(f"n{number}") for number in range(MAX_MEMBERS + 1)]
    addresses = ("",) * (MAX_ADDRESSES + 1)
    twice, limit = "no id is listed twice", f"at most {MAX_MEMBERS} are allowed"
    for name, clause, change, wrong in (
        ("a member twice", "9.19", ChangeMembershipRequest(members=[MEMBERS[0], MEMBERS[0]]), twice),
        ("an id to remove twice", "9.19", ChangeMembershipRequest(remove=["n1", "n1"]), twice),
        ("a member without an id", "6.1", ChangeMembershipRequest(members=[Member("")]), "that is no id"),
        ("a path to remove", "6.1", ChangeMembershipRequest(remove=["../n1"]), "that is no id"),
        (f"{MAX_MEMBERS + 1} members", "8.5", ChangeMembershipRequest(members=many), limit),
        (f"{MAX_MEMBERS + 1} ids to remove", "8.5", ChangeMembershipRequest(remove=[m.id for m in many]), limit),
        (
            f"{MAX_ADDRESSES + 1} addresses of a member",
            "8.5",
            ChangeMembershipRequest(members=[Member("n1", addresses)]),
            f"at most {MAX_ADDRESSES} are allowed",
        ),
        (
            "64 KiB and a byte of text",
            "8.3",
            ChangeMembershipRequest(members=[Member("n1", ("x" * MAX_TEXT_BYTES,))]),
            "texts may come to 65,536 bytes",
        ),
        (
            "no voter",
            "9.20",
            ChangeMembershipResponse(index=1, membership=Membership((MEMBERS[1],))),
            "somebody has to decide",
        ),
        ("no member", "9.20", ChangeMembershipResponse(index=1, membership=Membership(())), "somebody has to decide"),
    ):
        yield Dishonest(name, clause, change, wrong)


def _reads_and_leaders(status: Message) -> Iterator[Dishonest]:
    yield Dishonest("term 0", "9.17", ReadIndexRequest(term=0, node_id="n1"), "no leader has term 0")
    not_an_id = "an id is 1 to 128 letters, digits, '.', '_' and '-', the first a letter or digit"
    yield Dishonest("node_id: empty", "6.1", ReadIndexRequest(term=1, node_id=""), not_an_id)
    yield Dishonest("target: a path", "6.1", TransferLeadershipRequest(target="../n1"), not_an_id)
    yield Dishonest("leader_id: empty", "6.1", TransferLeadershipResponse(leader_id="", term=8), not_an_id)
    why = "an integer is at most 2^63-1"
    for name, number in _TOO_LARGE.items():
        yield Dishonest(f"read_index {name}", "8.1", ReadIndexResponse(term=1, read_index=number), why)
        yield Dishonest(f"max_staleness_ms {name}", "8.1", QueryRequest(query=b"", max_staleness_ms=number), why)
        yield Dishonest(f"snapshot_index {name}", "8.1", replace(status, snapshot_index=number), why)
        yield Dishonest(f"term {name}", "8.1", TransferLeadershipResponse(leader_id="n1", term=number), why)
        taken = TakeSnapshotResponse(last_included_index=1, total_bytes=number)
        yield Dishonest(f"total_bytes {name}", "8.1", taken, why)
    nothing = TakeSnapshotResponse(last_included_index=0, total_bytes=0)
    yield Dishonest("last_included_index 0", "9.26", nothing, "a snapshot holds something")
