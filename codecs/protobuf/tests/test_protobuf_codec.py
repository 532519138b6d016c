"""The protobuf codec keeps the contract of every codec, and all protobuf implementations read and write the same."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError as ParseError
from hypothesis import given
from hypothesis import strategies as st
from protobuf_by_hand import END_GROUP, I32, I64, LEN, START_GROUP, VARINT, field, group, tag, varint
from raftsdk_protobuf import ProtobufCodec, raft_pb2

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    DIGEST_BYTES,
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    InstallSnapshotRequest,
    Message,
    MessageKind,
    PeerStatus,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
    StatusResponse,
    TimeoutNowResponse,
    sparse,
)
from raftsdk.ports import Codec
from raftsdk.testing import codec_suite
from raftsdk.testing.suite import Case
from raftsdk.types import Entry, Member, Membership, Suffrage

CODEC = ProtobufCodec()
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
RESPONSE = MessageKind.APPEND_ENTRIES_RESPONSE
VOTE = MessageKind.REQUEST_VOTE_REQUEST
SNAPSHOT = MessageKind.INSTALL_SNAPSHOT_REQUEST
HEADER = field(1, 9) + field(2, "n1")
HIGHEST = 2**63 - 1


@pytest.mark.parametrize("case", codec_suite.SUITE.cases, ids=str)
async def test_protobuf_keeps_the_contract_of_a_codec(case: Case[Codec]) -> None:
    await case.run(CODEC)


@given(st.randoms(use_true_random=False))
def test_any_honest_message_comes_back_exactly(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert repr(CODEC.decode(MESSAGE_KINDS[type(message)], CODEC.encode(message))) == repr(message)


# -- what it writes

PIECE = InstallSnapshotRequest(
    term=3,
    leader_id="n1",
    last_included_index=7,
    last_included_term=2,
    membership=Membership(
        members=(Member("n1", ("tcp://h:1",)), Member("n2", (), Suffrage.LEARNER)), outgoing=("n1", "n3")
    ),
    total_bytes=300,
    digest=bytes(range(DIGEST_BYTES)),
    offset=298,
    data=b"ab",
)


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (StatusRequest(), b""),
        (TimeoutNowResponse(term=0), b""),
        (ProposeRequest(command=b"\xff\x00"), b"\x0a\x02\xff\x00"),
        (
            ProposeRequest(command=b"\xff\x00", session_id=300, sequence=3, first_unanswered=2),
            b"\x0a\x02\xff\x00\x10\xac\x02\x18\x03\x20\x02",
        ),
        (RequestVoteResponse(term=7, vote_granted=False), b"\x08\x07"),
        (AppendEntriesResponse(term=300, success=True), b"\x08\xac\x02\x10\x01"),
        (QueryRequest(query=b"q"), b"\x0a\x01q\x12\x05local"),
        (
            RequestVoteRequest(term=2**32, candidate_id="n1", last_log_index=HIGHEST, last_log_term=6, pre_vote=True),
            b"\x08\x80\x80\x80\x80\x10\x12\x02n1\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x20\x06\x28\x01",
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
            b"\x08\xc8\x01\x12\x02n1\x18\x04\x20\x06\x28\x03\x32\x02\x08\x06\x32\x08\x08\xc8\x01\x10\x01\x1a\x01x",
        ),
        (
            AppendEntriesRequest(
                term=7, leader_id="n1", prev_log_index=4, prev_log_term=6, leader_commit=4, entries=[], quiesce=True
            ),
            b"\x08\x07\x12\x02n1\x18\x04\x20\x06\x28\x04\x38\x01",
        ),
        (AppendEntriesResponse(term=7, success=True, quiesced=True), b"\x08\x07\x10\x01\x28\x01"),
        (
            PIECE,
            b"\x08\x03\x12\x02n1\x18\x07\x20\x02\x2a\x2f"
            b"\x0a\x16\x0a\x02n1\x12\x09tcp://h:1\x1a\x05voter\x0a\x0d\x0a\x02n2\x1a\x07learner\x12\x02n1\x12\x02n3"
            b"\x30\xac\x02\x3a\x20" + bytes(range(DIGEST_BYTES)) + b"\x40\xaa\x02\x4a\x02ab",
        ),
        (
            ErrorResponse(code="overloaded", leader_addresses=["", "a"], retry_after_ms=5),
            b"\x0a\x0aoverloaded\x22\x00\x22\x01a\x28\x05",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_is_written_as_these_bytes_for_ever(message: Message, data: bytes) -> None:
    assert CODEC.encode(message) == data
    assert CODEC.decode(MESSAGE_KINDS[type(message)], data) == message


def written_by_the_library(message: Message) -> bytes:
    fields = msgspec.to_builtins(message, builtin_types=(bytes,))
    encoded: bytes = getattr(raft_pb2, type(message).__name__)(**fields).SerializeToString()
    return encoded


def batch(entries: list[Entry]) -> AppendEntriesRequest:
    return AppendEntriesRequest(
        term=HIGHEST, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=300, entries=entries
    )


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 1_000])
@pytest.mark.parametrize("size", [0, 1, 2, 127, 128, 16_383, 16_384])
def test_a_batch_of_entries_that_are_alike_is_written_as_the_library_writes_it(count: int, size: int) -> None:
    chance = Random(count * size)
    for term in (1, 127, 128, HIGHEST):
        for kind in (0, 1, 127, 128, HIGHEST):
            message = batch([Entry(term, kind, data) for data in (b"", chance.randbytes(size)) if len(data) == size])
            message = batch(message.entries * count)
            assert CODEC.encode(message) == written_by_the_library(message)
            if count == 1_000:
                return  # so many only once


def test_a_batch_of_entries_that_are_alike_and_asks_to_quiesce_is_written_as_the_library_writes_it() -> None:
    """The leader does not send one. `quiesce` is behind the entries, which are the end of all others."""
    message = msgspec.structs.replace(batch([Entry(3, 1, b"data")] * 64), quiesce=True)
    assert CODEC.encode(message) == written_by_the_library(message)
    assert CODEC.decode(APPEND, CODEC.encode(message)) == message


@pytest.mark.parametrize("odd", [Entry(4, 1, b"data"), Entry(3, 2, b"data"), Entry(3, 1, b"datum")], ids=repr)
@pytest.mark.parametrize("place", [0, 1, 10, 18, 19])
def test_one_entry_that_is_unlike_the_others_is_written_as_it_is(odd: Entry, place: int) -> None:
    entries = [Entry(3, 1, b"%04d" % number) for number in range(20)]
    entries[place] = odd
    assert CODEC.encode(batch(entries)) == written_by_the_library(batch(entries))


@given(st.randoms(use_true_random=False))
def test_any_batch_is_written_as_the_library_writes_it(chance: Random) -> None:
    few = [Entry(chance.choice((1, 300)), chance.choice((0, 1)), chance.randbytes(chance.choice((0, 5, 5, 5))))]
    entries = [
        chance.choice(few) if chance.random() < 0.9 else Entry(2, 1, b"12345") for _ in range(chance.randint(0, 20))
    ]
    assert CODEC.encode(batch(entries)) == written_by_the_library(batch(entries))


# -- other implementations

PURE_PYTHON = """
import sys
from google.protobuf.internal import api_implementation
from raftsdk_protobuf import raft_pb2
assert api_implementation.Type() == "python"
for line in sys.stdin:
    name, data = line.rstrip("\\n").split(" ")
    print(getattr(raft_pb2, name).FromString(bytes.fromhex(data)).SerializeToString().hex())
"""


def messages_to_compare() -> list[Message]:
    chance = Random(8)
    few = [codec_suite.random_message(chance) for _ in range(300)]
    return [*codec_suite.sample_messages(), *few, codec_suite.large_message(), PIECE]


def test_the_implementation_in_pure_python_reads_and_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
    encoded = [(type(message).__name__, CODEC.encode(message).hex()) for message in messages_to_compare()]
    lines = "".join(f"{name} {data}\n" for name, data in encoded)
    done = subprocess.run([sys.executable, "-c", PURE_PYTHON], input=lines, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [data for _, data in encoded]


@pytest.mark.skipif(find_spec("grpc_tools") is None, reason="needs protoc: make setup")
@pytest.mark.parametrize("message_type", MESSAGE_TYPES.values(), ids=lambda message_type: message_type.__name__)
def test_the_implementation_in_cpp_reads_and_writes_the_same(message_type: type[Message]) -> None:
    """`protoc` turns a message into text and back, from the schema alone. One after the other messages are merged, so
    the last of each type goes alone.
    """
    message = [message for message in messages_to_compare() if type(message) is message_type][-1]
    encoded = CODEC.encode(message)
    text = protoc(f"--decode=raftsdk.v1.{message_type.__name__}", encoded)
    assert protoc(f"--encode=raftsdk.v1.{message_type.__name__}", text) == encoded


def protoc(duty: str, data: bytes) -> bytes:
    schema = Path(raft_pb2.__file__).with_name("raft.proto")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{schema.parent}", duty, schema.name]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


# -- what it reads


def test_what_is_absent_is_zero() -> None:
    assert CODEC.decode(RESPONSE, b"") == AppendEntriesResponse(term=0, success=False)
    assert CODEC.decode(MessageKind.PROPOSE_RESPONSE, b"") == ProposeResponse(index=0, result=b"")
    assert CODEC.decode(MessageKind.ERROR, b"") == ErrorResponse(code="")
    assert CODEC.decode(MessageKind.QUERY_REQUEST, b"") == QueryRequest(query=b"")
    assert CODEC.decode(APPEND, HEADER + field(6, field(1, 9))) == AppendEntriesRequest(
        term=9, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[Entry(9, 0, b"")]
    )
    assert CODEC.decode(MessageKind.STATUS_RESPONSE, field(1, "n1") + field(10, field(1, "n2"))) == StatusResponse(
        node_id="n1",
        cluster_id="",
        role="",
        term=0,
        leader_id="",
        last_log_index=0,
        durable_index=0,
        commit_index=0,
        applied_index=0,
        peers=[
            PeerStatus(
                node_id="n2",
                addresses=[],
                state="",
                match_index=0,
                next_index=0,
                outstanding_calls=0,
                connected=False,
                codec="",
                transport="",
            )
        ],
    )


def piece(membership: bytes = b"") -> bytes:
    return HEADER + field(3, 1) + field(4, 1) + membership + field(7, bytes(DIGEST_BYTES))


def membership_of(data: bytes) -> Membership:
    message = CODEC.decode(SNAPSHOT, data)
    assert isinstance(message, InstallSnapshotRequest)
    return message.membership


def test_an_absent_record_is_one_of_zeros_and_an_absent_suffrage_is_a_voters() -> None:
    with pytest.raises(DecodeError, match=r"InstallSnapshotRequest\.membership\.members: none of them is a voter"):
        CODEC.decode(SNAPSHOT, piece())
    absent, empty = field(1, field(1, "n1")), field(1, field(1, "n2") + field(3, ""))
    assert membership_of(piece(field(5, absent + empty))) == Membership(members=(Member("n1"), Member("n2")))


@pytest.mark.parametrize(
    "given", [b"witness", b"Voter", b"voter\x00", b"0", b"x" * 10_000, "ü".encode() * 100], ids=lambda given: given[:9]
)
def test_an_unknown_suffrage_or_consistency_is_refused_and_shown_in_ascii(given: bytes) -> None:
    for kind, data, name in (
        (SNAPSHOT, piece(field(5, field(1, field(1, "n1") + field(3, given)))), "membership.members.suffrage"),
        (MessageKind.QUERY_REQUEST, field(2, given), "QueryRequest.consistency"),
    ):
        with pytest.raises(DecodeError, match=rf"{name}: '.*' is none of (voter, learner$|local, lin)") as caught:
            CODEC.decode(kind, data)
        assert len(str(caught.value)) < 600
        assert str(caught.value).isascii()


UNKNOWN = [
    field(15, 0),
    field(15, HIGHEST),
    tag(16, I64) + bytes(8),
    tag(17, I32) + bytes(4),
    field(18, b"\xff\x00"),
    field(2**29 - 1, b""),
    group(19),
    group(19, field(1, 5) + field(2, "x") + group(6, group(7))),
]


@pytest.mark.parametrize("unknown", UNKNOWN, ids=bytes.hex)
def test_unknown_fields_are_ignored_wherever_they_stand(unknown: bytes) -> None:
    honest = CODEC.decode(APPEND, HEADER + field(6, field(1, 9) + field(3, b"x")))
    entry = field(6, unknown + field(1, 9) + unknown + field(3, b"x") + unknown)
    assert CODEC.decode(APPEND, unknown + HEADER + unknown + entry + unknown) == honest
    assert CODEC.decode(MessageKind.STATUS_REQUEST, unknown) == StatusRequest()
    member = field(1, field(1, "n1") + unknown)
    assert membership_of(piece(field(5, unknown + member))) == Membership(members=(Member("n1"),))


def test_other_legal_ways_to_write_a_message_are_read_alike() -> None:
    entries = [
        field(6, field(1, 1) + field(2, 0) + field(3, b"")),
        field(6, field(3, b"x") + field(2, 1) + field(1, 2)),
    ]
    message = CODEC.decode(APPEND, HEADER + entries[0] + entries[1])
    assert message == AppendEntriesRequest(
        term=9,
        leader_id="n1",
        prev_log_index=0,
        prev_log_term=0,
        leader_commit=0,
        entries=[Entry(1, 0, b""), Entry(2, 1, b"x")],
    )
    zeros = field(3, 0) + field(4, 0) + field(5, 0)
    backwards = entries[0] + zeros + field(2, "n1") + entries[1] + field(1, 9)
    assert CODEC.decode(APPEND, backwards) == message
    padded = tag(1, VARINT, 5) + varint(9, 10) + tag(2, LEN, 2) + varint(2, 4) + b"n1"
    assert CODEC.decode(APPEND, padded + entries[0] + entries[1]) == message


def test_of_a_number_or_text_that_occurs_twice_the_last_is_taken() -> None:
    assert CODEC.decode(RESPONSE, field(1, 5) + field(2, 1) + field(1, 6)) == AppendEntriesResponse(
        term=6, success=True
    )
    assert CODEC.decode(RESPONSE, field(1, 5) + field(1, 0)) == AppendEntriesResponse(term=0, success=False)
    twice = CODEC.decode(
        APPEND, HEADER + field(2, "n2") + field(6, field(1, 3) + field(1, 4) + field(3, b"x") + field(3, b""))
    )
    assert twice == CODEC.decode(APPEND, field(1, 9) + field(2, "n2") + field(6, field(1, 4)))


def test_records_that_occur_twice_are_merged_and_lists_joined() -> None:
    first = field(5, field(1, field(1, "n1")) + field(2, "n1"))
    second = field(5, field(1, field(1, "n2")) + field(2, "n3"))
    assert membership_of(piece(first + second)) == Membership(
        members=(Member("n1"), Member("n2")), outgoing=("n1", "n3")
    )


def test_any_number_but_zero_is_true() -> None:
    for number in (1, 2, 2**32, 2**64 - 1):
        assert CODEC.decode(RESPONSE, field(2, number)) == AppendEntriesResponse(term=0, success=True)


def test_bits_beyond_the_64th_are_dropped_as_by_every_reader_of_the_format() -> None:
    assert CODEC.decode(RESPONSE, tag(1, VARINT) + varint(2**64 + 5)) == AppendEntriesResponse(term=5, success=False)


def test_text_may_hold_any_character_and_an_id_may_not() -> None:
    text = "\x00\n\x1b[31m\u2028\U0010ffff"
    assert CODEC.decode(MessageKind.ERROR, field(2, text)) == ErrorResponse(code="", message=text)
    with pytest.raises(DecodeError, match="candidate_id"):
        CODEC.decode(VOTE, field(1, 1) + field(2, text))


# -- what it refuses


@pytest.mark.parametrize(
    ("kind", "data", "name"),
    [
        *((kind, field(1, 2**63), "term") for kind in (RESPONSE, VOTE, MessageKind.TIMEOUT_NOW_RESPONSE)),
        *((RESPONSE, field(1, number), "term") for number in (2**63, 2**64 - 1)),
        (APPEND, HEADER + field(5, 2**63), "leader_commit"),
        (APPEND, HEADER + field(6, field(1, 2**63)), "entries"),
        (APPEND, HEADER + field(6, field(1, 9) + field(2, 2**63)), "entries"),
        (MessageKind.STATUS_RESPONSE, field(1, "n1") + field(10, field(1, "n2") + field(6, 2**64 - 1)), "peers"),
        (SNAPSHOT, piece(field(5, field(1, field(1, "n1")))) + field(6, 2**63), "total_bytes"),
        (MessageKind.ERROR, field(5, 2**63), "retry_after_ms"),
    ],
)
def test_numbers_beyond_63_bits_are_refused_by_their_name(kind: MessageKind, data: bytes, name: str) -> None:
    with pytest.raises(DecodeError, match=rf"{MESSAGE_TYPES[kind].__name__}\.{name}"):
        CODEC.decode(kind, data)


@pytest.mark.parametrize(
    "value",
    [tag(1, I64) + bytes((9,)) + bytes(7), tag(1, I32) + bytes((9, 0, 0, 0)), field(1, b"\x09"), group(1, field(1, 9))],
    ids=["fixed64", "fixed32", "bytes", "group"],
)
def test_a_value_of_another_type_is_an_unknown_field_so_that_the_one_due_is_absent(value: bytes) -> None:
    with pytest.raises(DecodeError, match=r"AppendEntriesRequest\.term: 0"):
        CODEC.decode(APPEND, value + field(2, "n1"))
    with pytest.raises(DecodeError, match=r"AppendEntriesRequest\.entries: an entry of term 0"):
        CODEC.decode(APPEND, HEADER + field(6, value))


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"n1\xe2\x82"])
def test_text_that_is_not_utf8_is_refused_where_a_text_is_due(text: bytes) -> None:
    for kind, data in (
        (VOTE, field(1, 1) + field(2, text)),
        (MessageKind.ERROR, field(4, text)),
        (SNAPSHOT, piece(field(5, field(2, text)))),
        (MessageKind.STATUS_RESPONSE, field(1, "n1") + field(10, field(1, "n2") + field(8, text))),
    ):
        with pytest.raises(DecodeError, match=f"^{MESSAGE_TYPES[kind].__name__}: String field had bad UTF-8"):
            CODEC.decode(kind, data)
    assert CODEC.decode(MessageKind.PROPOSE_REQUEST, field(1, text)) == ProposeRequest(command=text)


BROKEN = {
    "a tag alone": tag(1, VARINT),
    "a number cut short": tag(1, VARINT) + b"\x80",
    "a tag cut short": b"\x80",
    "a tag of six bytes": tag(1, VARINT, 6) + b"\x01",
    "a tag above 32 bits": varint(2**32 | 1 << 3) + b"\x01",
    "a number of eleven bytes": tag(1, VARINT) + varint(1, 11),
    "a length of six bytes": tag(2, LEN) + varint(2, 6) + b"n1",
    "a length beyond the end": tag(2, LEN) + b"\x03n1",
    "a length of 4 GiB": tag(2, LEN) + varint(2**32 - 1),
    "a length of 2^64-1": tag(2, LEN) + varint(2**64 - 1),
    "eight bytes cut short": tag(15, I64) + bytes(7),
    "four bytes cut short": tag(15, I32) + bytes(3),
    "field 0, a number": b"\x00\x00",
    "field 0, bytes": b"\x02\x00",
    "field 0, in two bytes": b"\x80\x00\x00",
    "field 2^29": varint(2**29 << 3) + b"\x00",
    "wire type 6": tag(1, 6) + b"\x00",
    "wire type 7": tag(1, 7) + b"\x00",
    "a group's end alone": tag(15, END_GROUP),
    "a group without end": tag(15, START_GROUP),
    "a group with another's end": tag(15, START_GROUP) + tag(14, END_GROUP),
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
}


@pytest.mark.parametrize("kind", MessageKind, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_protobuf_is_refused_as_every_kind_of_message(kind: MessageKind, name: str) -> None:
    for before in (b"", field(15, 0)):
        with pytest.raises(DecodeError, match=f"^{MESSAGE_TYPES[kind].__name__}") as caught:
            CODEC.decode(kind, before + BROKEN[name])
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_protobuf_is_refused_inside_a_record(name: str) -> None:
    for kind, data in (
        (APPEND, HEADER + field(6, field(1, 9) + BROKEN[name])),
        (SNAPSHOT, piece(field(5, field(1, field(1, "n1") + BROKEN[name])))),
    ):
        with pytest.raises(DecodeError):
            CODEC.decode(kind, data)


@pytest.mark.parametrize("depth", [101, 1_000, 100_000])
def test_deep_nesting_is_a_decode_error_and_leaves_the_stack_intact(depth: int) -> None:
    nested = tag(15, START_GROUP) * depth + tag(15, END_GROUP) * depth
    for kind in MessageKind:
        with pytest.raises(DecodeError, match=MESSAGE_TYPES[kind].__name__):
            CODEC.decode(kind, nested)
    with pytest.raises(DecodeError):
        CODEC.decode(APPEND, HEADER + field(6, field(1, 9) + nested))
    records = b""
    for _ in range(min(depth, 1_000)):
        records = field(6, records)  # an entry has no such field: bytes that nobody looks into
    assert CODEC.decode(APPEND, HEADER + field(6, field(1, 9) + records)) is not None


# -- damage


def expected(kind: MessageKind, data: bytes) -> Message | None:
    """What `data` says according to the library's own conversion to plain values and msgspec's from them, if honest."""
    try:
        parsed = getattr(raft_pb2, MESSAGE_TYPES[kind].__name__).FromString(data)
        plain = MessageToDict(parsed, preserving_proto_field_name=True)
        found = msgspec.convert(plain, sparse(MESSAGE_TYPES[kind]), strict=False)
        message: Message = msgspec.convert(found, MESSAGE_TYPES[kind], from_attributes=True)
        check(message)
    except (ParseError, msgspec.ValidationError, DecodeError):
        return None
    return message


def read(kind: MessageKind, data: bytes) -> Message | None:
    try:
        return CODEC.decode(kind, data)
    except DecodeError:
        return None


def damaged(data: bytes, others: list[bytes], chance: Random) -> bytes:
    """`data` after one to three accidents."""
    for _ in range(chance.randint(1, 3)):
        start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
        data = chance.choice(
            (
                data[:start],
                data[:start] + data[end:],
                data[:end] + data[start:],
                data[:start] + chance.choice(others)[: chance.randint(0, 200)] + data[start:],
                data[:start] + field(chance.randint(1, 12), chance.getrandbits(chance.randint(1, 64))) + data[start:],
                data[:start] + field(chance.randint(1, 12), data[start:end]) + data[end:],
                data[:start] + chance.choice(UNKNOWN) + data[end:],
                data[:start]
                + bytes(byte ^ 1 << chance.randrange(8) for byte in data[start : start + 1])
                + data[start + 1 :],
                data[:start] + chance.randbytes(chance.randint(1, 3)) + data[start + 1 :],
            )
        )[:5_000]
    return data


def test_of_25_000_damaged_messages_each_is_refused_or_what_the_library_says() -> None:
    chance = Random(21)
    honest = [(MESSAGE_KINDS[type(message)], CODEC.encode(message)) for message in codec_suite.sample_messages()]
    honest += [
        (MESSAGE_KINDS[type(message)], CODEC.encode(message)[:3_000])
        for message in (codec_suite.random_message(chance) for _ in range(500))
    ]
    others = [data for _, data in honest]
    accepted: dict[MessageKind, int] = dict.fromkeys(MessageKind, 0)
    for _ in range(25_000):
        kind, data = chance.choice(honest)
        data = damaged(data, others, chance)
        message = read(kind, data)
        if kind is not MessageKind.STATUS_REQUEST:  # where the library alone takes fields numbered 0
            assert repr(message) == repr(expected(kind, data)), (kind, data.hex())
        accepted[kind] += message is not None
    assert all(count > 0 for count in accepted.values()), accepted
    assert sum(accepted.values()) < 20_000
