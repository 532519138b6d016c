"""The FlatBuffers codec keeps the contract of every codec, and the library reads what it writes and the other way."""

from random import Random
from struct import pack
from typing import Any

import pytest
from flatbuffers_by_library import SCHEMA, LibraryWriter, plain, read, zero
from hypothesis import given
from hypothesis import strategies as st
from raftsdk_flatbuffers import FlatbuffersCodec

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipResponse,
    Consistency,
    ErrorResponse,
    InstallSnapshotRequest,
    Message,
    OpenSessionResponse,
    ProposeRequest,
    QueryRequest,
    ReadIndexRequest,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusRequest,
    StatusResponse,
    TakeSnapshotResponse,
    TimeoutNowRequest,
    TransferLeadershipResponse,
)
from raftsdk.ports import Codec
from raftsdk.testing import codec_suite
from raftsdk.testing.suite import Case
from raftsdk.types import Entry, Suffrage

CODEC = FlatbuffersCodec()

LIBRARY_WRITERS = (LibraryWriter(), LibraryWriter(defaults=True), LibraryWriter(shared=True))


def decoded(message_type: type[Message], data: bytes) -> Message:
    return CODEC.decode(MESSAGE_KINDS[message_type], data)


@pytest.mark.parametrize("case", codec_suite.SUITE.cases, ids=str)
async def test_flatbuffers_keeps_the_contract_of_a_codec(case: Case[Codec]) -> None:
    await case.run(CODEC)


@given(st.randoms(use_true_random=False))
def test_any_honest_message_comes_back_exactly(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert repr(decoded(type(message), CODEC.encode(message))) == repr(message)


# -- what it writes


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (StatusRequest(), "14000000 0c000000 04000400 00000000 08000000 00000000"),
        (
            RequestVoteResponse(term=7, vote_granted=True),
            "24000000 0c000000 08001100 08001000 08000000 00000000 07000000 00000000 01000000 00000000",
        ),
        (
            ProposeRequest(command=b"\xff", session_id=46, sequence=3, first_unanswered=2),
            "3c000000 14000000 "
            "0c002000 04000800 10001800 00000000 "
            "10000000 1c000000 2e000000 00000000 03000000 00000000 02000000 00000000 "
            "01000000 ff000000",
        ),
        (
            AppendEntriesRequest(
                term=200,
                leader_id="n1",
                prev_log_index=4,
                prev_log_term=6,
                leader_commit=3,
                entries=[Entry(6, 0, b""), Entry(200, 1, b"xyz")],
            ),
            "a4000000 1c000000 "
            "14003900 08001000 18002000 28003000 34003800 00000000 "
            "18000000 00000000 c8000000 00000000 30000000 00000000 "
            "04000000 00000000 06000000 00000000 03000000 00000000 1c000000 4c000000 00000000 00000000 "
            "02000000 6e310000 "
            "00000000 02000000 "
            "06000000 00000000 00000000 00000000 00000000 00000000 "
            "c8000000 00000000 01000000 00000000 03000000 00000000 "
            "03000000 78797a00",
        ),
        (
            AppendEntriesRequest(
                term=7, leader_id="n1", prev_log_index=4, prev_log_term=6, leader_commit=4, entries=[], quiesce=True
            ),
            "74000000 1c000000 "
            "14003900 08001000 18002000 28003000 34003800 00000000 "
            "18000000 00000000 07000000 00000000 30000000 00000000 "
            "04000000 00000000 06000000 00000000 04000000 00000000 1c000000 1c000000 01000000 00000000 "
            "02000000 6e310000 "
            "00000000 00000000 "
            "00000000 00000000",
        ),
        (
            AppendEntriesResponse(term=7, success=True, quiesced=True),
            "44000000 14000000 "
            "0e002900 08001000 18002000 28000000 "
            "10000000 00000000 07000000 00000000 01000000 00000000 00000000 00000000 00000000 00000000 "
            "01000000 00000000",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_is_written_as_these_bytes(message: Message, words: str) -> None:
    assert CODEC.encode(message).hex(" ", 4) == words
    assert decoded(type(message), bytes.fromhex(words)) == message


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_the_library_reads_the_same_values(message: Message) -> None:
    assert repr(read(type(message).__name__, CODEC.encode(message))) == repr(plain(message))


@given(st.randoms(use_true_random=False))
def test_the_library_reads_any_message_alike(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    assert read(type(message).__name__, CODEC.encode(message)) == plain(message)


# -- what it reads


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_what_the_library_writes_is_read(message: Message) -> None:
    for writer in LIBRARY_WRITERS:
        data = writer.write(type(message).__name__, plain(message))
        assert repr(decoded(type(message), data)) == repr(message)


@given(st.randoms(use_true_random=False), st.sampled_from(range(3)))
def test_any_message_the_library_writes_is_read(chance: Random, writer: int) -> None:
    message = codec_suite.random_message(chance)
    data = LIBRARY_WRITERS[writer].write(type(message).__name__, plain(message))
    assert decoded(type(message), data) == message


def test_a_text_that_64_peers_share_is_read_64_times() -> None:
    peer = {"node_id": "n2", "state": "replicate", "addresses": ["tcp://a-name-of-some-length.example:7001"] * 16}
    values = {"node_id": "n1", "peers": [peer] * 64}
    shared = LibraryWriter(shared=True).write("StatusResponse", values)
    assert len(shared) < len(LibraryWriter().write("StatusResponse", values)) / 4
    message = decoded(StatusResponse, shared)
    assert isinstance(message, StatusResponse)
    assert [peer.addresses for peer in message.peers] == [peer.addresses for peer in message.peers[:1]] * 64


NEVER_ALL_ZERO: tuple[type[Message], ...] = (
    AppendEntriesRequest,
    RequestVoteRequest,
    InstallSnapshotRequest,
    TimeoutNowRequest,
    StatusResponse,
    ReadIndexRequest,
    ChangeMembershipResponse,
    TransferLeadershipResponse,
    OpenSessionResponse,
    TakeSnapshotResponse,
)


@pytest.mark.parametrize("message_type", MESSAGE_TYPES.values(), ids=lambda message_type: message_type.__name__)
def test_absent_fields_are_zero_and_the_message_is_then_judged_as_any_other(message_type: type[Message]) -> None:
    data = LibraryWriter().write(message_type.__name__, {})
    if message_type in NEVER_ALL_ZERO:
        with pytest.raises(DecodeError, match=r"\.(term|node_id|members|leader_id|session_id|last_included_index): "):
            decoded(message_type, data)
    else:
        assert plain(decoded(message_type, data)) == {
            name: "local" if name == "consistency" else zero(kind)
            for name, kind in SCHEMA[message_type.__name__].items()
        }


def test_absent_enumerations_have_their_first_value_and_so_have_empty_ones() -> None:
    piece: dict[str, Any] = next(
        plain(message) for message in codec_suite.sample_messages() if isinstance(message, InstallSnapshotRequest)
    )
    for member in ({"id": "n1"}, {"id": "n1", "suffrage": ""}):
        data = LibraryWriter(defaults=True).write(
            "InstallSnapshotRequest", piece | {"membership": {"members": [member]}}
        )
        message = decoded(InstallSnapshotRequest, data)
        assert isinstance(message, InstallSnapshotRequest)
        assert message.membership.members[0].suffrage is Suffrage.VOTER
    for query in ({}, {"consistency": ""}):
        data = LibraryWriter(defaults=True).write("QueryRequest", query)
        assert decoded(QueryRequest, data) == QueryRequest(query=b"", consistency=Consistency.LOCAL)


def test_an_absent_list_is_a_list_of_its_own() -> None:
    data = LibraryWriter().write("ErrorResponse", {})
    first, second = decoded(ErrorResponse, data), decoded(ErrorResponse, data)
    assert isinstance(first, ErrorResponse)
    assert isinstance(second, ErrorResponse)
    assert first.leader_addresses is not second.leader_addresses


NEWER_FIELDS = {
    "newer_text": "string",
    "newer_number": "ulong",
    "newer_truth": "bool",
    "newer_bytes": "[ubyte]",
    "newer_record": "Member",
}
NEWER_VALUES = {
    "newer_text": "?" * 99,
    "newer_number": 2**64 - 1,
    "newer_truth": True,
    "newer_bytes": b"\xff" * 33,
    "newer_record": {"id": "n9"},
}


def with_newer_fields(value: Any) -> Any:
    if isinstance(value, list):
        return [with_newer_fields(item) for item in value]
    if isinstance(value, dict) and "length" not in value:  # headers are structs, which never get any
        return NEWER_VALUES | {name: with_newer_fields(item) for name, item in value.items()}
    return value


@pytest.mark.parametrize("message", codec_suite.sample_messages(), ids=lambda message: type(message).__name__)
def test_fields_of_newer_peers_are_ignored_even_where_they_are_the_end_of_the_buffer(message: Message) -> None:
    newer = {name: fields | NEWER_FIELDS for name, fields in SCHEMA.items() if name != "EntryHeader"}
    data = LibraryWriter(fields=newer).write(type(message).__name__, with_newer_fields(plain(message)))
    assert data.endswith(b"n9\x00\x00")
    assert decoded(type(message), data) == message


def test_a_vtable_may_lie_behind_its_table_and_a_field_anywhere_in_it() -> None:
    table = pack("<i4x?7xQ", -24, True, 5)
    vtable = pack("<HHHH", 8, 24, 16, 8)
    data = pack("<II", 4 + len(table + vtable), 4) + table + vtable
    assert decoded(RequestVoteResponse, data) == RequestVoteResponse(term=5, vote_granted=True)


def test_nothing_has_to_be_aligned() -> None:
    table = pack("<iQ?", 8, 5, True)
    vtable = pack("<HHHH", 8, 13, 4, 12)
    data = pack("<II", 4 + 1 + len(vtable + table), 4 + 1 + 8) + b"\xff" + vtable + table
    assert decoded(RequestVoteResponse, data) == RequestVoteResponse(term=5, vote_granted=True)


def test_entries_and_payload_may_be_absent_together() -> None:
    heartbeat = {"term": 1, "leader_id": "n1"}
    message = decoded(AppendEntriesRequest, LibraryWriter().write("AppendEntriesRequest", heartbeat))
    assert isinstance(message, AppendEntriesRequest)
    assert message.entries == []


def test_a_buffer_without_its_size_is_refused() -> None:
    data = LibraryWriter().write("AppendEntriesResponse", {"term": 1}, size_prefix=False)
    with pytest.raises(DecodeError, match=r"^AppendEntriesResponse: the size before the buffer is \d+, and \d+ bytes"):
        decoded(AppendEntriesResponse, data)
