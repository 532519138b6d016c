"""The Cap'n Proto codec keeps the contract of every codec; its schema is messages.py's, its bytes are the format's."""

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import pytest
import raftsdk_capnp
from capnp_by_hand import NULL, batch, by_hand, data, numbers, pointers_to, struct_of
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, structs
from msgspec.inspect import BoolType, BytesType, IntType, ListType, Metadata, StructType, VarTupleType, type_info
from raftsdk_capnp import CapnpCodec
from raftsdk_capnp.fields import fields_of
from raftsdk_capnp.schema import STRUCTS, STRUCTS_TO_READ, wire_name

from raftsdk.messages import (
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
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

CODEC = CapnpCodec()
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
SCHEMA = Path(raftsdk_capnp.__file__).with_name("raft.capnp").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", codec_suite.SUITE.cases, ids=str)
async def test_capnp_keeps_the_contract_of_a_codec(case: Case[Codec]) -> None:
    await case.run(CODEC)


@given(st.randoms(use_true_random=False))
def test_any_honest_message_comes_back_exactly(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert repr(CODEC.decode(MESSAGE_KINDS[type(message)], CODEC.encode(message))) == repr(message)


# -- the schema is raftsdk.messages

Fields = list[tuple[str, int, str]]  # name, ordinal, type


def fields_in_the_schema() -> dict[str, Fields]:
    """Each struct of raft.capnp."""
    uncommented = re.sub(r"#.*", "", SCHEMA)
    return {
        name: [(field, int(ordinal), type_) for field, ordinal, type_ in re.findall(r"(\w+) @(\d+) :(.+);", body)]
        for name, body in re.findall(r"struct (\w+) \{(.*?)\}", uncommented, flags=re.DOTALL)
    }


def fields_in_messages() -> dict[str, Fields]:
    """What raft.capnp has to say of each message, and of each record in one."""
    found: dict[str, Fields] = {}

    def described(info: Any) -> str:
        match info:
            case Metadata():
                return described(info.type)
            case IntType():
                return "UInt64"
            case BoolType():
                return "Bool"
            case BytesType():
                return "Data"
            case StructType(cls=record):
                found[record.__name__] = [
                    (wire_name(field.name), ordinal, described(field.type)) for ordinal, field in enumerate(info.fields)
                ]
                return str(record.__name__)
            case ListType(item_type=StructType(cls=item, fields=fields)) if item is Entry:
                columns = zip(("terms", "kinds", "data"), fields, strict=True)
                found["EntryColumns"] = [
                    (name, ordinal, f"List({described(field.type)})") for ordinal, (name, field) in enumerate(columns)
                ]
                return "EntryColumns"
            case ListType() | VarTupleType():
                return f"List({described(info.item_type)})"
        return "Text"

    for message_type in MESSAGE_TYPES.values():
        described(type_info(message_type))
    return found


def test_schema_and_messages_agree_in_every_struct_field_order_and_type() -> None:
    assert fields_in_the_schema() == fields_in_messages()


def test_a_field_that_only_one_of_them_has_would_be_noticed() -> None:
    schema, messages = fields_in_the_schema(), fields_in_messages()
    assert schema["TimeoutNowRequest"] == [("term", 0, "UInt64"), ("leaderId", 1, "Text")]
    assert messages["PeerStatus"][1] == ("addresses", 1, "List(Text)")
    assert len(schema) == len(MESSAGE_TYPES) + len(("EntryColumns", "Membership", "Member", "PeerStatus"))


def places(struct: Any) -> list[tuple[str, int, str, str]]:
    """Name, place, type and type of the items of each field; and of the records in it."""
    found = []
    for field in struct.node.struct.fields:
        declared = field.slot.type
        kind = declared.which()
        item = declared.list.elementType.which() if kind == "list" else ""
        found.append((field.name, field.slot.offset, str(kind), str(item)))
        if "struct" in (kind, item):
            inner = struct.fields[field.name].schema
            found += places(inner if kind == "struct" else inner.elementType)
    return found


@pytest.mark.parametrize("message_type", MESSAGE_TYPES.values())
def test_what_is_read_differs_from_the_schema_only_in_that_texts_are_data(message_type: type[Message]) -> None:
    written, read = (places(structs[message_type].schema) for structs in (STRUCTS, STRUCTS_TO_READ))
    as_data = {"text": "data"}
    assert read == [(name, at, as_data.get(kind, kind), as_data.get(item, item)) for name, at, kind, item in written]


def test_the_schema_has_the_id_it_has_for_ever() -> None:
    assert SCHEMA.startswith("@0xfefe7477a88fb876;")


def test_a_list_without_a_ceiling_is_noticed_before_anything_is_read() -> None:
    class Unbounded(Struct):
        texts: list[str]

    with pytest.raises(TypeError, match="max_length"):
        fields_of(Unbounded)


# -- what it writes

GOLDEN: list[tuple[Message, str]] = [
    (StatusRequest(), "0000000001000000 fcffffff00000000"),
    (
        ProposeRequest(command=b"\xff\x00", session_id=46, sequence=3, first_unanswered=2),
        "0000000006000000 0000000003000100"
        " 2e00000000000000 0300000000000000 0200000000000000"
        " 0100000012000000 ff00000000000000",
    ),
    (
        RequestVoteResponse(term=2**63 - 1, vote_granted=True),
        "0000000003000000 0000000002000000 ffffffffffffff7f 0100000000000000",
    ),
    (
        RequestVoteRequest(term=258, candidate_id="n1", last_log_index=5, last_log_term=6, pre_vote=True),
        "0000000007000000 0000000004000100"
        " 0201000000000000 0500000000000000 0600000000000000 0100000000000000"  # three integers and a bool
        " 010000001a000000 6e31000000000000",
    ),
    (
        AppendEntriesRequest(
            term=7,
            leader_id="n1",
            prev_log_index=4,
            prev_log_term=6,
            leader_commit=3,
            entries=[Entry(6, 1, b""), Entry(7, 1, b"x")],
        ),
        "0000000012000000 0000000005000200"
        " 0700000000000000 0400000000000000 0600000000000000 0300000000000000 0000000000000000"
        " 050000001a000000 0400000000000300"  # the leader's id, the columns
        " 6e31000000000000"
        " 0900000015000000 0d0000000d000000 0d00000016000000"  # terms, kinds, data
        " 0600000000000000 0700000000000000"
        " 0100000000000000"  # one kind for both
        " 0500000002000000 010000000a000000 7800000000000000",
    ),
    (
        AppendEntriesRequest(
            term=7, leader_id="n1", prev_log_index=4, prev_log_term=6, leader_commit=4, entries=[], quiesce=True
        ),
        "0000000009000000 0000000005000200"
        " 0700000000000000 0400000000000000 0600000000000000 0400000000000000 0100000000000000"  # four integers, a bool
        " 050000001a000000 0000000000000000 6e31000000000000",
    ),
    (
        AppendEntriesResponse(term=7, success=True, quiesced=True),
        "0000000005000000 0000000004000000"
        " 0700000000000000 0300000000000000 0000000000000000 0000000000000000",  # both bools in one word
    ),
]


@pytest.mark.parametrize(("honest", "words"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_message_is_written_as_these_bytes(honest: Message, words: str) -> None:
    assert CODEC.encode(honest).hex(" ", 8) == words
    assert CODEC.decode(MESSAGE_KINDS[type(honest)], bytes.fromhex(words)) == honest


@pytest.mark.parametrize("honest", codec_suite.sample_messages(), ids=lambda value: type(value).__name__)
def test_another_writer_of_the_format_writes_the_same_bytes(honest: Message) -> None:
    assert CODEC.encode(honest) == by_hand(honest)


@given(st.randoms(use_true_random=False))
def test_another_writer_writes_any_message_alike(chance: Random) -> None:
    honest = codec_suite.random_message(chance)
    assert CODEC.encode(honest) == by_hand(honest)


@pytest.mark.parametrize(
    "honest",
    [
        codec_suite.large_message(),
        ProposeRequest(command=bytes(100_000)),
        ErrorResponse(code="a" * 20_000, message="é" * 10_000, leader_addresses=["\U0001f98b" * 300] * 16),
    ],
    ids=["payloads", "a command", "texts"],
)
def test_a_large_message_is_one_segment_too(honest: Message) -> None:
    encoded = CODEC.encode(honest)
    assert encoded == by_hand(honest)
    assert len(encoded) == 8 + 8 * int.from_bytes(encoded[4:8], "little")
    assert CODEC.decode(MESSAGE_KINDS[type(honest)], encoded) == honest


# -- entries as columns


def entries_of(encoded: bytes) -> list[Entry]:
    decoded = CODEC.decode(APPEND, encoded)
    assert isinstance(decoded, AppendEntriesRequest)
    return decoded.entries


def test_a_column_is_full_or_one_value_that_all_entries_share() -> None:
    payloads = pointers_to(data(b"a"), data(b"b"), data(b""))
    for terms in (numbers(3), numbers(3, 3, 3)):
        for kinds in (numbers(1), numbers(1, 1, 1)):
            encoded = batch(struct_of(b"", terms, kinds, payloads))
            assert entries_of(encoded) == [Entry(3, 1, b"a"), Entry(3, 1, b"b"), Entry(3, 1, b"")]


def test_what_all_entries_share_is_written_once() -> None:
    shared = [Entry(9, 1, bytes(256))] * 512
    different = [Entry(9, number, bytes(256)) for number in range(512)]
    encoded = [CODEC.encode(structs.replace(codec_suite.large_message(), entries=e)) for e in (shared, different)]
    assert len(encoded[1]) - len(encoded[0]) == 8 * 511


def test_a_heartbeat_has_no_columns_and_empty_ones_are_read_as_none() -> None:
    heartbeat = AppendEntriesRequest(
        term=9, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[]
    )
    assert CODEC.encode(heartbeat) == batch(NULL)
    for empty in (numbers(), numbers(3)):
        assert CODEC.decode(APPEND, batch(struct_of(b"", empty, empty, pointers_to()))) == heartbeat


# -- the package


def test_the_schema_is_in_the_package_for_who_wants_to_compile_it() -> None:
    assert files("raftsdk_capnp").joinpath("raft.capnp").is_file()


def test_nothing_of_an_event_loop_is_started_beside_uvloop_or_without_one() -> None:
    """pycapnp has one of its own, for its RPC; serializing does without. Looked at in a fresh process."""
    script = """
import asyncio, threading
import uvloop
from raftsdk_capnp import CapnpCodec
from raftsdk.messages import MessageKind, ProposeRequest
codec, message = CapnpCodec(), ProposeRequest(command=b"x")
def serialize():
    assert codec.decode(MessageKind.PROPOSE_REQUEST, codec.encode(message)) == message
async def main():
    serialize()
    await asyncio.to_thread(serialize)
    return hasattr(asyncio.get_running_loop(), "_kj_loop"), type(asyncio.get_running_loop()).__module__
serialize()
print(threading.active_count(), asyncio.run(main()), uvloop.run(main()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "1 (False, 'asyncio.unix_events') (False, 'uvloop')"
