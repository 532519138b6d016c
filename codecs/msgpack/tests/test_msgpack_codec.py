"""The MessagePack codec keeps the contract of every codec, and the `msgpack` package reads and writes the same."""

import struct
import time
import tracemalloc
from enum import Enum
from random import Random
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_msgpack import MsgpackCodec
from raftsdk_msgpack.columns import AppendEntriesColumns
from raftsdk_msgpack.texts import refuse_long_texts

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MAX_ADDRESSES,
    MAX_ENTRIES,
    MESSAGE_KINDS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    Consistency,
    ErrorResponse,
    InstallSnapshotRequest,
    Message,
    MessageKind,
    ProposeRequest,
    QueryRequest,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
)
from raftsdk.ports import Codec
from raftsdk.testing import codec_suite
from raftsdk.testing.suite import Case
from raftsdk.types import Entry, Suffrage

CODEC = MsgpackCodec()
MIB = 1024 * 1024
A_HANG_S = 0.5  # of the processor: ten times what a megabyte may take
FUZZED_INPUTS = 25_000
RESPONSE = MessageKind.APPEND_ENTRIES_RESPONSE
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
HONEST_BATCH = {
    "term": 300,
    "leader_id": "n1",
    "prev_log_index": 0,
    "prev_log_term": 0,
    "leader_commit": 0,
    "quiesce": False,
    "entries": [[1], [1], [b"x"]],
}


@pytest.mark.parametrize("case", codec_suite.SUITE.cases, ids=str)
async def test_msgpack_keeps_the_contract_of_a_codec(case: Case[Codec]) -> None:
    await case.run(CODEC)


@given(st.randoms(use_true_random=False))
def test_any_honest_message_comes_back_exactly(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert repr(CODEC.decode(MESSAGE_KINDS[type(message)], CODEC.encode(message))) == repr(message)


# -- what it writes, and what the msgpack package makes of it


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (StatusRequest(), b"\x80"),
        (
            ProposeRequest(command=b"\xff\x00", session_id=46, sequence=3, first_unanswered=2),
            b"\x84\xa7command\xc4\x02\xff\x00\xaasession_id\x2e\xa8sequence\x03\xb0first_unanswered\x02",
        ),
        (RequestVoteResponse(term=7, vote_granted=False), b"\x82\xa4term\x07\xacvote_granted\xc2"),
        (
            RequestVoteRequest(term=2**32, candidate_id="n1", last_log_index=2**63 - 1, last_log_term=6, pre_vote=True),
            b"\x86\xa4term\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xaccandidate_id\xa2n1"
            b"\xaelast_log_index\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\xadlast_log_term\x06\xa8pre_vote\xc3"
            b"\xb3leadership_transfer\xc2",
        ),
        (
            AppendEntriesRequest(
                term=200,
                leader_id="n1",
                prev_log_index=4,
                prev_log_term=6,
                leader_commit=3,
                entries=[Entry(6, 0, b""), Entry(200, 1, b"x")],
            ),
            b"\x87\xa4term\xcc\xc8\xa9leader_id\xa2n1\xaeprev_log_index\x04\xadprev_log_term\x06\xadleader_commit\x03"
            b"\xa7entries\x93\x92\x06\xcc\xc8\x92\x00\x01\x92\xc4\x00\xc4\x01x\xa7quiesce\xc2",
        ),
        (
            AppendEntriesRequest(
                term=7,
                leader_id="n1",
                prev_log_index=0,
                prev_log_term=0,
                leader_commit=0,
                entries=[Entry(6, 1, b"x"), Entry(6, 1, b"y")],
            ),
            b"\x87\xa4term\x07\xa9leader_id\xa2n1\xaeprev_log_index\x00\xadprev_log_term\x00\xadleader_commit\x00"
            b"\xa7entries\x93\x91\x06\x91\x01\x92\xc4\x01x\xc4\x01y\xa7quiesce\xc2",
        ),
        (
            AppendEntriesRequest(
                term=7, leader_id="n1", prev_log_index=4, prev_log_term=6, leader_commit=4, entries=[], quiesce=True
            ),
            b"\x87\xa4term\x07\xa9leader_id\xa2n1\xaeprev_log_index\x04\xadprev_log_term\x06\xadleader_commit\x04"
            b"\xa7entries\x93\x90\x90\x90\xa7quiesce\xc3",
        ),
        (
            AppendEntriesResponse(term=7, success=True, quiesced=True),
            b"\x85\xa4term\x07\xa7success\xc3\xaeconflict_index\x00\xadconflict_term\x00\xa8quiesced\xc3",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_is_written_as_these_bytes(message: Message, data: bytes) -> None:
    assert CODEC.encode(message) == data
    assert CODEC.decode(MESSAGE_KINDS[type(message)], data) == message


def fields(value: Any) -> Any:
    """A message as the plain values its MessagePack should hold."""
    if isinstance(value, list | tuple):
        return columns(list(value)) if value and isinstance(value[0], Entry) else [fields(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return {name: fields(getattr(value, name)) for name in value.__struct_fields__}
    return value.value if isinstance(value, Enum) else value


def columns(entries: list[Entry]) -> list[list[Any]]:
    terms, kinds = ([entry.term for entry in entries], [entry.kind for entry in entries])
    return [*(column if len(set(column)) > 1 else column[:1] for column in (terms, kinds)), [e.data for e in entries]]


def plain(message: Message) -> Any:
    """`fields`, where a batch without entries has three empty columns."""
    if isinstance(message, AppendEntriesRequest) and not message.entries:
        return fields(message) | {"entries": [[], [], []]}
    return fields(message)


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_the_msgpack_package_reads_the_same_values_and_writes_the_same_bytes(message: Message) -> None:
    data = CODEC.encode(message)
    assert repr(msgpack.unpackb(data)) == repr(plain(message))
    assert msgpack.packb(plain(message)) == data


@given(st.randoms(use_true_random=False))
def test_the_msgpack_package_reads_any_message_alike(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert msgpack.unpackb(CODEC.encode(message)) == plain(message)


def test_columns_carry_every_field_of_the_message_and_of_an_entry() -> None:
    assert AppendEntriesColumns.__struct_fields__ == AppendEntriesRequest.__struct_fields__
    assert [len(column) for column in columns([Entry(1, 2, b"x")])] == [1] * len(Entry.__struct_fields__)


# -- what it reads


def test_every_width_of_integer_is_read() -> None:
    for one in (b"\x01", b"\xcc\x01", b"\xcd\x00\x01", b"\xce" + bytes(3) + b"\x01", b"\xcf" + bytes(7) + b"\x01"):
        data = b"\x82\xa4term" + one + b"\xa7success\xc3"
        assert CODEC.decode(RESPONSE, data) == AppendEntriesResponse(term=1, success=True)
    for code, signed in ((0xD0, ">b"), (0xD1, ">h"), (0xD2, ">i"), (0xD3, ">q")):
        data = b"\x82\xa4term" + bytes((code,)) + struct.pack(signed, 1) + b"\xa7success\xc3"
        assert CODEC.decode(RESPONSE, data) == AppendEntriesResponse(term=1, success=True)


def test_wide_headers_are_read() -> None:
    map16, map32 = b"\xde\x00\x02", b"\xdf\x00\x00\x00\x02"
    for header in (b"\x82", map16, map32):
        data = header + b"\xd9\x04term\x01\xda\x00\x07success\xc3"
        assert CODEC.decode(RESPONSE, data) == AppendEntriesResponse(term=1, success=True)
    bin32 = b"\x81\xa7command\xc6\x00\x00\x00\x01x"
    assert CODEC.decode(MessageKind.PROPOSE_REQUEST, bin32) == ProposeRequest(command=b"x")


def test_unknown_fields_are_ignored() -> None:
    data = msgpack.packb({"new": {"term": [1.5, None, msgpack.ExtType(5, b"x")]}, "success": True, "term": 1})
    assert CODEC.decode(RESPONSE, data) == AppendEntriesResponse(term=1, success=True)
    batch = HONEST_BATCH | {"peers": 0, "entries": [[1], [1], [b"x"] * 100, ["a fourth column"]]}
    assert entries_of(batch) == [Entry(1, 1, b"x")] * 100


def entries_of(batch: dict[str, Any]) -> list[Entry]:
    message = CODEC.decode(APPEND, msgpack.packb(batch))
    assert isinstance(message, AppendEntriesRequest)
    return message.entries


def test_a_batch_of_an_older_leader_does_not_ask_to_quiesce() -> None:
    older = {name: value for name, value in HONEST_BATCH.items() if name != "quiesce"}
    for columns_of_entries in (HONEST_BATCH["entries"], [[], [], []]):
        batch = older | {"entries": columns_of_entries}
        message = CODEC.decode(APPEND, msgpack.packb(batch))
        assert message == CODEC.decode(APPEND, msgpack.packb(batch | {"quiesce": False}))
        assert message != CODEC.decode(APPEND, msgpack.packb(batch | {"quiesce": True}))


@pytest.mark.parametrize("value", [0, 1, "", "true", None, [], b"\x01"], ids=repr)
def test_what_is_no_boolean_is_no_request_to_quiesce(value: object) -> None:
    with pytest.raises(DecodeError, match="quiesce"):
        CODEC.decode(APPEND, msgpack.packb(HONEST_BATCH | {"quiesce": value}))


def test_a_column_has_a_value_for_each_entry_or_one_for_all() -> None:
    entries = [Entry(1, 0, b"a"), Entry(1, 0, b"b")]
    for terms in ([1], [1, 1]):
        for kinds in ([0], [0, 0]):
            assert entries_of(HONEST_BATCH | {"entries": [terms, kinds, [b"a", b"b"]]}) == entries


@pytest.mark.parametrize(
    "columns", [[[1], [1, 1, 1], [b"a", b"b"]], [[], [1], [b"a"]], [[1], [], [b"a"]], [[1, 1], [1], [b"a"]], [[1, 1]]]
)
def test_columns_that_do_not_go_together_are_refused(columns: list[Any]) -> None:
    with pytest.raises(DecodeError, match=r"AppendEntriesRequest: \d (terms|kinds) and \d payloads - at `\$.entries`"):
        entries_of(HONEST_BATCH | {"entries": columns})


@pytest.mark.parametrize(
    "rows",
    [[{"term": 1, "kind": 1, "data": b"x"}], [[1, 1, b"x"]], {"terms": [1]}, [[1], [1], [b"x"] * (MAX_ENTRIES + 1)]],
)
def test_entries_in_another_shape_are_refused_rather_than_ignored(rows: Any) -> None:
    """Were they an unknown field, a leader would take the answer to its heartbeat for that to its entries."""
    with pytest.raises(DecodeError, match="entries"):
        entries_of(HONEST_BATCH | {"entries": rows})


# -- absent fields


def without_zeros(value: Any) -> Any:
    """The same values from an encoder that leaves out what is zero, in every map."""
    if isinstance(value, dict):
        shorter = {name: without_zeros(item) for name, item in value.items()}
        return {name: item for name, item in shorter.items() if item not in (0, "", b"", [], {}, "voter", "local")}
    return [without_zeros(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_a_field_that_is_absent_is_zero(message: Message) -> None:
    data = msgpack.packb(without_zeros(plain(message)))
    assert repr(CODEC.decode(MESSAGE_KINDS[type(message)], data)) == repr(message)


@given(st.randoms(use_true_random=False))
def test_any_message_is_read_without_its_zeros(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert CODEC.decode(MESSAGE_KINDS[type(message)], msgpack.packb(without_zeros(plain(message)))) == message


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (APPEND, "AppendEntriesRequest.term: 0 is not in 1"),
        (MessageKind.REQUEST_VOTE_REQUEST, "RequestVoteRequest.term"),
        (MessageKind.INSTALL_SNAPSHOT_REQUEST, "InstallSnapshotRequest.term"),
        (MessageKind.TIMEOUT_NOW_REQUEST, "TimeoutNowRequest.term"),
        (MessageKind.STATUS_RESPONSE, "StatusResponse.node_id"),
        (MessageKind.READ_INDEX_REQUEST, "ReadIndexRequest.term"),
        (MessageKind.CHANGE_MEMBERSHIP_RESPONSE, "ChangeMembershipResponse.membership"),
        (MessageKind.TRANSFER_LEADERSHIP_RESPONSE, "TransferLeadershipResponse.leader_id"),
        (MessageKind.OPEN_SESSION_RESPONSE, "OpenSessionResponse.session_id"),
        (MessageKind.TAKE_SNAPSHOT_RESPONSE, "TakeSnapshotResponse.last_included_index"),
    ],
)
def test_zeros_that_no_honest_node_sends_are_refused(kind: MessageKind, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        CODEC.decode(kind, b"\x80")


def test_everything_else_may_be_absent() -> None:
    assert CODEC.decode(RESPONSE, b"\x80") == AppendEntriesResponse(term=0, success=False)
    assert CODEC.decode(MessageKind.PROPOSE_REQUEST, b"\x80") == ProposeRequest(command=b"")
    assert CODEC.decode(MessageKind.ERROR, b"\x80") == ErrorResponse(code="")


def test_the_empty_text_is_the_first_value_of_an_enumeration() -> None:
    query = CODEC.decode(MessageKind.QUERY_REQUEST, msgpack.packb({"query": b"", "consistency": ""}))
    assert query == QueryRequest(query=b"", consistency=Consistency.LOCAL)
    snapshot = CODEC.decode(
        MessageKind.INSTALL_SNAPSHOT_REQUEST, msgpack.packb(snapshot_of([{"id": "n", "suffrage": ""}]))
    )
    assert isinstance(snapshot, InstallSnapshotRequest)
    assert snapshot.membership.members[0].suffrage is Suffrage.VOTER
    with pytest.raises(DecodeError, match=r"members\[0\].suffrage"):
        CODEC.decode(MessageKind.INSTALL_SNAPSHOT_REQUEST, msgpack.packb(snapshot_of([{"id": "n", "suffrage": "x"}])))


def snapshot_of(members: Any, **others: Any) -> dict[str, Any]:
    snapshot = {"term": 1, "leader_id": "n1", "last_included_index": 1, "last_included_term": 1, "digest": bytes(32)}
    return snapshot | {"membership": {"members": members}} | others


# -- what it refuses


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, 1.0, float("nan"), float("inf"), "1", "", b"1", [], [1], {}, {"a": 1}),
        *(-1, -(2**63), 2**63, 2**64 - 1, msgpack.ExtType(1, b"\x01"), msgpack.Timestamp(1)),
    ],
    ids=repr,
)
def test_what_is_no_integer_in_range_is_refused_as_a_term(value: object) -> None:
    with pytest.raises(DecodeError, match=r"AppendEntriesResponse.*term"):
        CODEC.decode(RESPONSE, msgpack.packb({"term": value, "success": True}))
    batch = HONEST_BATCH | {"entries": [[1, value], [1], [b"", b""]]}
    with pytest.raises(DecodeError, match=r"AppendEntriesRequest.*entries\[0\]\[1\]"):
        CODEC.decode(APPEND, msgpack.packb(batch))


@pytest.mark.parametrize("value", ["x", "", None, 1, [120], {}, msgpack.ExtType(1, b"x")], ids=repr)
def test_what_is_not_of_the_bin_format_is_refused_as_bytes(value: object) -> None:
    with pytest.raises(DecodeError, match="command"):
        CODEC.decode(MessageKind.PROPOSE_REQUEST, msgpack.packb({"command": value}))


@pytest.mark.parametrize(
    "value", [b"n1", 1, None, ["n1"], "n/1", "", "a" * 129, "a" * 60_000, msgpack.ExtType(1, b"n1")]
)
def test_what_is_no_id_is_refused_as_a_candidate(value: object) -> None:
    vote = {"term": 1, "candidate_id": value, "last_log_index": 0, "last_log_term": 0}
    with pytest.raises(DecodeError, match="candidate_id") as caught:
        CODEC.decode(MessageKind.REQUEST_VOTE_REQUEST, msgpack.packb(vote))
    assert len(str(caught.value)) < 400


def test_text_that_is_not_utf8_is_refused() -> None:
    data = b"\x84\xa4term\x01\xaccandidate_id\xa1\xff\xaelast_log_index\x00\xadlast_log_term\x00"
    with pytest.raises(DecodeError, match="RequestVoteRequest: 'utf-8' codec"):
        CODEC.decode(MessageKind.REQUEST_VOTE_REQUEST, data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x83\xa4term\x01\xa7success\xc3\xa4term\x02",
        b"\x83\xa4term\x01\xa7success\xc3\xa4term\x01",
        b"\x83\xa4term\x01\xa7success\xc3\xd9\x04term\x01",
        b"\x85\xa4term\x01\xa7success\xc3\xaeconflict_index\x00\xadconflict_term\x00\xa4term\x01",
        b"\xde\x00\x03\xa4term\x01\xa7success\xc3\xa4term\x01",
        b"\x84\xa3new\x01\xa4term\x01\xa7success\xc3\xa3new\x01",
    ],
)
def test_a_field_that_occurs_twice_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match=r"[a-z]: a field occurs twice"):
        CODEC.decode(RESPONSE, data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\xa4term\x01\xa4term\x02",
        b"\x82\xa4term\x01\xd9\x04term\x02",
        b"\xde\x00\x02\xa4term\x01\xa4term\x02",
        b"\x82\xacvote_granted\xc3\xacvote_granted\xc3",
    ],
)
def test_a_field_that_occurs_twice_is_refused_also_where_another_is_absent(data: bytes) -> None:
    """There are just as many pairs as the message has fields."""
    with pytest.raises(DecodeError, match=r"[a-z]: a field occurs twice"):
        CODEC.decode(MessageKind.REQUEST_VOTE_RESPONSE, data)


def repeated(name: str, value: Any) -> bytes:
    """A map that has a field twice."""
    field: bytes = msgpack.packb(name) + msgpack.packb(value)
    return b"\x82" + field + field


@pytest.mark.parametrize(
    ("kind", "before", "record"),
    [
        (MessageKind.INSTALL_SNAPSHOT_REQUEST, {"membership": 0}, repeated("members", [])),
        (MessageKind.INSTALL_SNAPSHOT_REQUEST, {"membership": {"members": 0}}, b"\x91" + repeated("id", "n1")),
        (MessageKind.STATUS_RESPONSE, {"peers": 0}, b"\x91" + repeated("node_id", "n2")),
        (MessageKind.STATUS_RESPONSE, {"peers": 0}, b"\x92\x81\xa7node_id\xa2n2" + repeated("new", 1)),
        (
            MessageKind.STATUS_RESPONSE,
            {"peers": 0},
            b"\xdd\x00\x00\x00\x01" + repeated("new", 1).replace(b"\x82", b"\xde\x00\x02"),
        ),
    ],
)
def test_a_field_that_occurs_twice_in_a_record_is_refused(kind: MessageKind, before: Any, record: bytes) -> None:
    with pytest.raises(DecodeError, match=r"[a-z]: a field occurs twice"):
        CODEC.decode(kind, before_last(before) + record)


def test_more_fields_than_any_message_has_are_refused() -> None:
    many = {f"f{number}": 0 for number in range(200)} | {"term": 1, "success": True}
    with pytest.raises(DecodeError, match="length <= 64"):
        CODEC.decode(RESPONSE, msgpack.packb(many))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xc0", b"\xc1", b"\x90", b"\x81", b"\x92\x01\xc3", b"\x82\x01\x01\xa7success\xc3"),
        *(b"\x82\xa4term\x01\xa7success\xc3\x00", b"\x82\xa4term\x01\xa7success\xc3\x80", bytes(64), b"\xff" * 64),
        *(b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"),
        *(b"\x82\xa4term\x01\xa7success\x01", b"\x82\xc4\x04term\x01\xa7success\xc3"),
        *(
            b"\x83\xa4term\x01\xa7success\xc3\xa1x" + claim
            for claim in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff")
        ),
    ],
    ids=lambda data: data[:16].hex(),
)
def test_what_is_no_messagepack_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="AppendEntriesResponse"):
        CODEC.decode(RESPONSE, data)


@pytest.mark.parametrize("depth", [5_000, 100_000])
@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a"], ids=["arrays", "maps"])
def test_deep_nesting_is_a_decode_error_and_leaves_the_stack_intact(depth: int, opening: bytes) -> None:
    nested = opening * depth + b"\x00"
    with pytest.raises(DecodeError, match="term"):
        CODEC.decode(RESPONSE, b"\x82\xa4term" + nested + b"\xa7success\xc3")
    with pytest.raises(DecodeError, match="recursion"):
        CODEC.decode(RESPONSE, b"\x83\xa4term\x01\xa7success\xc3\xa3new" + nested)


# -- what hostile bytes cost


def filled(before: bytes, item: bytes, count: int | None = None) -> bytes:
    """`before` and an array of as many of `item` as fit into a megabyte, or of `count`."""
    count = (MIB - len(before) - 5) // len(item) if count is None else count
    header = b"\xdc" + count.to_bytes(2) if count < 2**16 else b"\xdd" + count.to_bytes(4)
    return before + header + item * count


def before_last(message: dict[str, Any]) -> bytes:
    """The encoding of `message` as far as its last value, which has to be 0."""
    data: bytes = msgpack.packb(message)
    return data[:-1]


def batch_of(terms: bytes, kinds: bytes, data: bytes, count: int = MAX_ENTRIES) -> bytes:
    """A batch whose columns are each `count` times the same bytes."""
    return (
        before_last(HONEST_BATCH | {"entries": 0})
        + b"\x93"
        + b"".join(filled(b"", item, count) for item in (terms, kinds, data))
    )


def filled_up(data: bytes) -> bytes:
    """`data`, the map in which has room for another field, with that field, as long as a megabyte allows."""
    return data + b"\xa3new\xc6" + (MIB - len(data) - 9).to_bytes(4) + bytes(MIB - len(data) - 9)


UNKNOWN = b"\x83\xa4term\x01\xa7success\xc3\xa3new"
BATCH = before_last(HONEST_BATCH | {"entries": 0})
PEERS = before_last({"node_id": "n1", "peers": 0})
MEMBERS = before_last(snapshot_of(0))
ADDRESSES = before_last({"addresses": 0})
STATUS = MessageKind.STATUS_RESPONSE
SNAPSHOT = MessageKind.INSTALL_SNAPSHOT_REQUEST

HOSTILE = {
    "terms": (APPEND, filled(BATCH + b"\x93", b"\x01")),
    "payloads": (APPEND, filled(BATCH + b"\x93\x91\x01\x91\x01", b"\xc4\x02ab")),
    "columns": (APPEND, filled(BATCH, b"\x90")),
    "maps for entries": (APPEND, filled(BATCH + b"\x91", b"\x80")),
    "empty arrays in an unknown field": (RESPONSE, filled(UNKNOWN, b"\x90")),
    "empty maps in an unknown field": (RESPONSE, filled(UNKNOWN, b"\x80")),
    "empty texts in an unknown field": (RESPONSE, filled(UNKNOWN, b"\xa0")),
    "extensions in an unknown field": (RESPONSE, filled(UNKNOWN, b"\xd4\x01\x00")),
    "unknown fields": (
        RESPONSE,
        b"\xdf" + (2 + MIB // 4).to_bytes(4) + b"\xa4term\x01\xa7success\xc3" + b"\xa2ab\x00" * (MIB // 4),
    ),
    "empty addresses": (MessageKind.ERROR, filled(before_last({"code": "", "leader_addresses": 0}), b"\xa0")),
    "short addresses": (MessageKind.ERROR, filled(before_last({"code": "", "leader_addresses": 0}), b"\xa2ab")),
    "empty peers": (STATUS, filled(PEERS, b"\x80")),
    "peers with addresses": (STATUS, filled(PEERS, filled(ADDRESSES, b"\xa2ab", MAX_ADDRESSES))),
    "addresses of a peer": (STATUS, filled(PEERS + b"\x91" + ADDRESSES, b"\xa2ab")),
    "empty members": (SNAPSHOT, filled(MEMBERS, b"\x80")),
    "members with addresses": (SNAPSHOT, filled(MEMBERS, filled(ADDRESSES, b"\xa2ab", MAX_ADDRESSES))),
    "addresses of a member": (SNAPSHOT, filled(MEMBERS + b"\x91" + ADDRESSES, b"\xa2ab")),
    "outgoing members": (SNAPSHOT, filled(before_last({"membership": {"outgoing": 0}}), b"\xa2ab")),
}
# None of these values is one of those that Python keeps a single object for.
DEAREST = batch_of(b"\xcd\x01\x01", b"\xcd\x01\x01", b"\xc4\x02ab")
MOST = {
    "smallest entries": (APPEND, batch_of(b"\x01", b"\x00", b"\xc4\x00")),
    "dearest entries": (APPEND, filled_up(DEAREST.replace(b"\x87", b"\x88", 1))),
    "dearest entries without other fields": (
        APPEND,
        filled_up(DEAREST.replace(b"\x87", b"\x86", 1).replace(b"\xaeprev_log_index\x00\xadprev_log_term\x00", b"")),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_hostile_messagepack_costs_at_most_four_of_memory_and_one(name: str) -> None:
    kind, data = HOSTILE[name]
    assert peak_bytes(kind, data) <= 4 * len(data) + MIB


@pytest.mark.parametrize("name", MOST)
def test_the_most_that_a_message_may_hold_costs_no_more_than_that(name: str) -> None:
    kind, data = MOST[name]
    assert decoded_or_refused(kind, data) is not None
    assert peak_bytes(kind, data) <= 4 * len(data) + MIB


@pytest.mark.parametrize("name", HOSTILE | MOST)
def test_a_megabyte_of_anything_is_read_or_refused_in_no_time(name: str) -> None:
    kind, data = (HOSTILE | MOST)[name]
    started = time.process_time()
    decoded_or_refused(kind, data)
    assert time.process_time() - started < A_HANG_S


def peak_bytes(kind: MessageKind, data: bytes) -> int:
    tracemalloc.start()
    try:
        decoded_or_refused(kind, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def decoded_or_refused(kind: MessageKind, data: bytes) -> Message | None:
    try:
        return CODEC.decode(kind, data)
    except DecodeError:
        return None


def test_mutated_messages_are_refused_or_honest() -> None:
    chance = Random(11)
    corpus = [(MESSAGE_KINDS[type(message)], CODEC.encode(message)) for message in codec_suite.sample_messages()]
    corpus += [(kind, msgpack.packb(without_zeros(msgpack.unpackb(data)))) for kind, data in corpus]
    for _ in range(FUZZED_INPUTS):
        kind, data = chance.choice(corpus)
        mutant = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutant) + 1)
            mutant[place : place + chance.randint(0, 3)] = chance.choice(TOKENS)
        message = decoded_or_refused(kind, bytes(mutant))
        if message is not None:
            check(message)
            assert CODEC.decode(kind, CODEC.encode(message)) == message


TOKENS = [
    *(bytes((byte,)) for byte in (0x00, 0x01, 0x7F, 0x80, 0x81, 0x90, 0x91, 0x93, 0xA0, 0xC0, 0xC2, 0xC3, 0xCA, 0xFF)),
    *(
        b"",
        b"\xa4term",
        b"\xa2id",
        b"\xc4\x00",
        b"\xcf" + b"\xff" * 8,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\x00\x00\x00\x01",
    ),
]


def wide(length: int) -> str:
    """A text of ASCII but for its last character, which makes Python keep all of them in four bytes."""
    return "a" * (length - 1) + "\U0001f98b"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (MessageKind.ERROR, {"code": wide(1_000_000)}),
        (MessageKind.TIMEOUT_NOW_REQUEST, {"term": 1, "leader_id": wide(1_000_000)}),
        (MessageKind.TIMEOUT_NOW_RESPONSE, {"term": 1, wide(1_000_000): 1}),
        (MessageKind.TIMEOUT_NOW_RESPONSE, {"term": 1, "later": [{"deep": wide(1_000_000)}]}),
        (MessageKind.QUERY_REQUEST, {"query": b"", "consistency": wide(1_000_000)}),
        (MessageKind.PROPOSE_REQUEST, {"command": b"\xdb\x00\x01\x00\x01" * 9, "later": wide(1_000_000)}),
    ],
)
def test_a_long_text_is_refused_before_a_string_is_made_of_it(kind: MessageKind, fields: dict[str, Any]) -> None:
    data = msgpack.packb(fields)
    with pytest.raises(DecodeError, match="a text of more than 65536 bytes"):
        MsgpackCodec().decode(kind, data)
    assert peak_bytes(kind, data) <= 2 * len(data)


def test_a_payload_may_hold_what_looks_like_a_long_text() -> None:
    for look_alike in (b"\xdb\x00\x01\x00\x01", b"\xdb\xff\xff\xff\xff", b"\xdb"):
        message = ProposeRequest(command=look_alike + bytes(200_000) + look_alike * 3)
        assert MsgpackCodec().decode(MessageKind.PROPOSE_REQUEST, MsgpackCodec().encode(message)) == message


def test_every_format_is_stepped_over_on_the_way_to_a_long_text() -> None:
    values = [
        None, True, 1, -1, 200, 2**15, 2**31, 2**63, -100, -(2**14), -(2**30), -(2**60), 1.5, "x" * 40, "x" * 300,
        b"", b"b" * 300, b"b" * 70_000, [0] * 20, [0] * 70_000, dict.fromkeys(map(str, range(20)), 0),
        msgpack.ExtType(1, b"1"), msgpack.ExtType(1, b"12"), msgpack.ExtType(1, b"1234"), msgpack.ExtType(1, b"8" * 8),
        msgpack.ExtType(1, b"h" * 16), msgpack.ExtType(1, b"x" * 17), msgpack.ExtType(1, b"x" * 300),
        msgpack.ExtType(1, b"x" * 70_000),
    ]  # fmt: skip
    for value in (*values, values):
        sound = msgpack.packb({"term": 1, "later": value, "last": "x" * 65_536})
        refuse_long_texts(sound)
        with pytest.raises(DecodeError, match="a text of more than 65536 bytes"):
            refuse_long_texts(msgpack.packb({"term": 1, "later": value, "last": "x" * 65_537}))


def test_items_without_end_are_not_looked_through_for_long_texts() -> None:
    with pytest.raises(DecodeError, match="more than 131072 items"):
        refuse_long_texts(bytes(200_000) + b"\xdb\x00\x01\x00\x00")
    refuse_long_texts(bytes(200_000))
