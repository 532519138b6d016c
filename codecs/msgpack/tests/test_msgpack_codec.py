"""The MessagePack codec keeps the contract of every codec, and the `msgpack` package reads and writes the same."""

import struct
import tracemalloc
from random import Random
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_msgpack import MsgpackCodec

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MESSAGE_KINDS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    Message,
    MessageKind,
    ProposeRequest,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
)
from raftsdk.ports import Codec
from raftsdk.testing import codec_suite
from raftsdk.testing.suite import Case
from raftsdk.types import Entry

CODEC = MsgpackCodec()
MIB = 1024 * 1024
RESPONSE = MessageKind.APPEND_ENTRIES_RESPONSE
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
HONEST_BATCH = {
    "term": 300,
    "leader_id": "n1",
    "prev_log_index": 0,
    "prev_log_term": 0,
    "leader_commit": 0,
    "entries": [{"term": 1, "kind": 1, "data": b"x"}],
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
        (ProposeRequest(command=b"\xff\x00"), b"\x81\xa7command\xc4\x02\xff\x00"),
        (RequestVoteResponse(term=7, vote_granted=False), b"\x82\xa4term\x07\xacvote_granted\xc2"),
        (
            RequestVoteRequest(term=2**32, candidate_id="n1", last_log_index=2**63 - 1, last_log_term=6, pre_vote=True),
            b"\x85\xa4term\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xaccandidate_id\xa2n1"
            b"\xaelast_log_index\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\xadlast_log_term\x06\xa8pre_vote\xc3",
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
            b"\x86\xa4term\xcc\xc8\xa9leader_id\xa2n1\xaeprev_log_index\x04\xadprev_log_term\x06\xadleader_commit\x03"
            b"\xa7entries\x92\x83\xa4term\x06\xa4kind\x00\xa4data\xc4\x00\x83\xa4term\xcc\xc8\xa4kind\x01\xa4data\xc4\x01x",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_is_written_as_these_bytes_for_ever(message: Message, data: bytes) -> None:
    assert CODEC.encode(message) == data
    assert CODEC.decode(MESSAGE_KINDS[type(message)], data) == message


def fields(value: Any) -> Any:
    """A message as the plain values its MessagePack should hold."""
    if isinstance(value, list):
        return [fields(item) for item in value]
    if hasattr(value, "__struct_fields__"):
        return {name: fields(getattr(value, name)) for name in value.__struct_fields__}
    return value


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_the_msgpack_package_reads_the_same_values_and_writes_the_same_bytes(message: Message) -> None:
    data = CODEC.encode(message)
    assert repr(msgpack.unpackb(data)) == repr(fields(message)).replace("<Consistency.LOCAL: 'local'>", "'local'")
    assert msgpack.packb(fields(message)) == data


@given(st.randoms(use_true_random=False))
def test_the_msgpack_package_reads_any_message_alike(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert msgpack.unpackb(CODEC.encode(message)) == fields(message)


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


def test_unknown_fields_are_ignored_and_missing_ones_get_their_default() -> None:
    data = msgpack.packb({"new": {"term": [1.5, None, msgpack.ExtType(5, b"x")]}, "success": True, "term": 1})
    assert CODEC.decode(RESPONSE, data) == AppendEntriesResponse(term=1, success=True)
    batch = HONEST_BATCH | {"entries": [{"new": [], "data": b"x", "kind": 1, "term": 1}] * 100, "peers": 0}
    message = CODEC.decode(APPEND, msgpack.packb(batch))
    assert isinstance(message, AppendEntriesRequest)
    assert message.entries == [Entry(1, 1, b"x")] * 100


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
    batch = HONEST_BATCH | {"entries": [{"term": value, "kind": 1, "data": b""}]}
    with pytest.raises(DecodeError, match=r"AppendEntriesRequest.*entries\[0\].term"):
        CODEC.decode(APPEND, msgpack.packb(batch))


@pytest.mark.parametrize("value", ["x", "", None, 1, [120], {}, msgpack.ExtType(1, b"x")], ids=repr)
def test_what_is_not_of_the_bin_format_is_refused_as_bytes(value: object) -> None:
    with pytest.raises(DecodeError, match="command"):
        CODEC.decode(MessageKind.PROPOSE_REQUEST, msgpack.packb({"command": value}))


@pytest.mark.parametrize("value", [b"n1", 1, None, ["n1"], "n/1", "", "a" * 129, "a" * MIB, msgpack.ExtType(1, b"n1")])
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
    with pytest.raises(DecodeError, match="twice"):
        CODEC.decode(RESPONSE, data)


@pytest.mark.parametrize(
    "entry",
    [
        b"\x84\xa4term\x01\xa4kind\x01\xa4data\xc4\x00\xa4kind\x01",
        b"\x84\xa4term\x01\xa4kind\x01\xa4data\xc4\x00\xa4data\xc4\x00",
    ],
)
def test_a_field_that_occurs_twice_in_an_entry_is_refused_whatever_the_payloads_hold(entry: bytes) -> None:
    honest = b"\x83\xa4term\x01\xa4kind\x01\xa4data\xc4\x06\x83\xa4term"
    header = msgpack.packb(HONEST_BATCH | {"entries": 0})[:-1]
    for entries in (entry, entry + honest, honest + entry):
        data = header + bytes((0x90 + 1 + (len(entries) > len(entry)),)) + entries
        with pytest.raises(DecodeError, match="twice"):
            CODEC.decode(APPEND, data)


def test_more_fields_than_any_message_has_are_refused() -> None:
    many = {f"f{number}": 0 for number in range(200)} | {"term": 1, "success": True}
    with pytest.raises(DecodeError, match="202 fields"):
        CODEC.decode(RESPONSE, msgpack.packb(many))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xc0", b"\xc1", b"\x80", b"\x90", b"\x81", b"\x92\x01\xc3", b"\x82\x01\x01\xa7success\xc3"),
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


def filled(before: bytes, item: bytes) -> bytes:
    """A megabyte that ends with as many of `item` as fit, after the shortest array header that says how many."""
    count = (MIB - len(before) - 5) // len(item)
    header = b"\xdc" + count.to_bytes(2) if count < 2**16 else b"\xdd" + count.to_bytes(4)
    return before + header + item * count


def batch_of(entry: bytes) -> bytes:
    return filled(msgpack.packb(HONEST_BATCH | {"entries": 0})[:-1], entry)


UNKNOWN = b"\x83\xa4term\x01\xa7success\xc3\xa3new"
ADDRESSES = b"\x82\xa4code\xa0\xb0leader_addresses"
HOSTILE = {
    "empty entries": (APPEND, batch_of(b"\x83\xa4term\x01\xa4kind\x01\xa4data\xc4\x00")),
    "empty arrays in an unknown field": (RESPONSE, filled(UNKNOWN, b"\x90")),
    "empty maps in an unknown field": (RESPONSE, filled(UNKNOWN, b"\x80")),
    "empty texts in an unknown field": (RESPONSE, filled(UNKNOWN, b"\xa0")),
    "extensions in an unknown field": (RESPONSE, filled(UNKNOWN, b"\xd4\x01\x00")),
    "empty entries of another encoder": (
        APPEND,
        batch_of(b"\xde\x00\x03\xa4term\x01\xa4kind\x01\xa4data\xc6" + bytes(4)),
    ),
    "arrays for entries": (APPEND, batch_of(b"\x90")),
    "empty addresses": (MessageKind.ERROR, filled(ADDRESSES, b"\xa0")),
    "short addresses": (MessageKind.ERROR, filled(ADDRESSES, b"\xa2ab")),
    "unknown fields": (
        RESPONSE,
        b"\xdf" + (2 + MIB // 4).to_bytes(4) + b"\xa4term\x01\xa7success\xc3" + b"\xa2ab\x00" * (MIB // 4),
    ),
    "an unknown field many times in entries": (
        APPEND,
        batch_of(b"\xde\x00\x43\xa4term\x01\xa4kind\x01\xa4data\xc4\x00" + b"\xa0\x00" * 64),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_hostile_messagepack_costs_at_most_four_of_memory_and_one(name: str) -> None:
    kind, data = HOSTILE[name]
    assert peak_bytes(kind, data) <= 4 * len(data) + MIB


def test_even_the_smallest_entries_cost_at_most_eight_times_their_bytes() -> None:
    """More than four times: an entry of 26 bytes is an object, two integers and a payload, together of 140 bytes. It is
    also what an honest leader may send, so to refuse it is no way out; another encoder's takes a longer look besides.
    """
    smallest = b"\x83\xa4term\xcd\x01\x01\xa4kind\xcd\x01\x01\xa4data\xc4\x02ab"
    for entry in (smallest, smallest.replace(b"\x83", b"\xde\x00\x03")):
        data = batch_of(entry)
        assert decoded_or_refused(APPEND, data) is not None
        assert peak_bytes(APPEND, data) <= 8 * len(data)


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
