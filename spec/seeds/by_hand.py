"""Messages whose bytes no encoder of ours writes, and which mean the same: what other encoders and other versions send.

JSON and MessagePack are written as themselves; the others are put together from fields and words.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipRequest,
    ErrorResponse,
    InstallSnapshotResponse,
    OpenSessionRequest,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TakeSnapshotRequest,
    TimeoutNowRequest,
    TransferLeadershipRequest,
)
from raftsdk.types import Entry
from seeds.capnp import BYTE, framed, items, struct, word
from seeds.flatbuffers import table
from seeds.messages import Seed
from seeds.protobuf import field, tag, varint

ABSENT: Final = "8.6"
UNKNOWN: Final = "8.7"

_ZERO_RESPONSE: Final = AppendEntriesResponse(term=0, success=False)
_VOTE: Final = RequestVoteResponse(term=7, vote_granted=True)
_BATCH: Final = AppendEntriesRequest(
    term=7, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[Entry(7, 0, b"")]
)


def seeds() -> Iterator[Seed]:
    """All of them."""
    yield from _absent()
    yield from _unknown()
    yield from _json()
    yield from _msgpack()
    yield from _protobuf()


def _absent() -> Iterator[Seed]:
    nothing = {
        "json": b"{}",
        "msgpack": b"\x80",
        "protobuf": b"",
        "capnp": framed(word(0)),
        "flatbuffers": table(),
    }
    for message in (
        _ZERO_RESPONSE,
        RequestVoteResponse(term=0, vote_granted=False),
        InstallSnapshotResponse(term=0, next_offset=0, installed=False),
        ProposeResponse(index=0, result=b""),
        QueryRequest(query=b""),
        ErrorResponse(code=""),
        ReadIndexResponse(term=0, read_index=0),
        ProposeRequest(command=b""),
        ChangeMembershipRequest(),
        TransferLeadershipRequest(),
        OpenSessionRequest(),
        TakeSnapshotRequest(),
    ):
        yield Seed("every field absent", ABSENT, message, nothing)
    yield Seed(
        "an entry of which all but the term is absent",
        ABSENT,
        _BATCH,
        {
            "json": b'{"term":7,"leader_id":"n1","entries":[{"term":7}]}',
            "protobuf": field(1, 7) + field(2, b"n1") + field(6, field(1, 7)),
        },
    )


def _unknown() -> Iterator[Seed]:
    yield Seed(
        "an unknown field",
        UNKNOWN,
        _VOTE,
        {
            "json": b'{"term":7,"priority":{"term":9,"of":[1.5,null,{}]},"vote_granted":true}',
            "msgpack": b"\x83\xa4term\x07\xa8priority\x82\xa4term\x09\xa2of\x93\xcb"
            + bytes(8)
            + b"\xc0\x80\xacvote_granted\xc3",
            "protobuf": field(1, 7) + field(1000, b"\x01\x02") + field(2, 1),
            "capnp": framed(struct(0, 3, 2), word(7), word(1), word(99), word(0), items(-6, BYTE, 16)),
            "flatbuffers": table(word(7), b"\x01\x00\x00\x00", word(99)),
        },
    )
    yield Seed(
        "an unknown field in an entry",
        UNKNOWN,
        _BATCH,
        {
            "json": b'{"term":7,"leader_id":"n1","entries":[{"term":7,"checksum":"AAAA","kind":0,"data":""}]}',
            "protobuf": field(1, 7) + field(2, b"n1") + field(6, field(1, 7) + field(99, 5)),
        },
    )


def _json() -> Iterator[Seed]:
    """Clause 11.2: proto3 JSON, as its other writers have it."""
    clause = "11.2"
    for name, text in {
        "integers as text": b'{"term":"7","vote_granted":true}',
        "blanks, and the fields in another order": b' {\r\n\t"vote_granted" : true ,\n "term" : 7 }\n',
        "a name with an escape in it": b'{"t\\u0065rm":7,"vote_granted":true}',
    }.items():
        yield Seed(f"json, {name}", clause, _VOTE, {"json": text})
    yield Seed(
        "json, the largest integer as a number",
        clause,
        RequestVoteResponse(term=2**63 - 1, vote_granted=False),
        {"json": b'{"term":9223372036854775807,"vote_granted":false}'},
    )
    yield Seed(
        "json, text with escapes",
        clause,
        ErrorResponse(code="dropped", message='\U0001f98b é "/\n'),
        {"json": b'{"code":"dropped","message":"\\ud83e\\udd8b \\u00e9 \\"\\/\\n"}'},
    )


def _msgpack() -> Iterator[Seed]:
    """Clause 11.3: longer forms than are needed."""
    clause = "11.3"
    for name, term in {
        "an integer of 64 bits": b"\xcf" + bytes(7) + b"\x07",
        "a signed integer": b"\xd3" + bytes(7) + b"\x07",
    }.items():
        yield Seed(f"msgpack, {name}", clause, _VOTE, {"msgpack": b"\x82\xa4term" + term + b"\xacvote_granted\xc3"})
    for name, columns in {
        "a fourth column": b"\x94\x91\x07\x91\x00\x91\xc4\x00\x91\xa3new",
        "columns with wide headers": b"\xdc\x00\x03\xdd\x00\x00\x00\x01\x07\xdc\x00\x01\xcc\x00\x91\xc5\x00\x00",
    }.items():
        batch = b"\x83\xa4term\x07\xa9leader_id\xa2n1\xa7entries" + columns
        yield Seed(f"msgpack, {name}", clause, _BATCH, {"msgpack": batch})
    two = replace(_BATCH, entries=[Entry(6, 1, b"a"), Entry(7, 1, b"b")])
    full = b"\x83\xa4term\x07\xa9leader_id\xa2n1\xa7entries\x93\x92\x06\x07\x92\x01\x01\x92\xc4\x01a\xc4\x01b"
    yield Seed("msgpack, a kind that all share, written for each", clause, two, {"msgpack": full})
    yield Seed(
        "msgpack, wide headers",
        clause,
        TimeoutNowRequest(term=7, leader_id="n1"),
        {"msgpack": b"\xdf\x00\x00\x00\x02\xd9\x09leader_id\xda\x00\x02n1\xdb\x00\x00\x00\x04term\x07"},
    )


def _protobuf() -> Iterator[Seed]:
    """Clause 11.4: what every reader of protobuf accepts."""
    clause = "11.4"
    for name, data in {
        "the fields in another order": field(2, 1) + field(1, 7),
        "a varint that is longer than it need be": tag(1, 0) + b"\x87\x80\x00" + field(2, 1),
        "the last of several values": field(1, 3) + field(2, 0) + field(1, 7) + field(2, 1),
    }.items():
        yield Seed(f"protobuf, {name}", clause, _VOTE, {"protobuf": data})
    yield Seed(
        "protobuf, zeros that are written out",
        clause,
        RequestVoteRequest(term=7, candidate_id="n1", last_log_index=0, last_log_term=0),
        {"protobuf": field(1, 7) + field(2, b"n1") + field(3, 0) + field(4, 0) + tag(5, 0) + varint(0)},
    )
