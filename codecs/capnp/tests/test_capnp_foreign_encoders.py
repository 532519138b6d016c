"""What other encoders may write and ours does not: every layout that Cap'n Proto allows, older and newer schemas."""

import re
import struct
from pathlib import Path
from typing import Any

import capnp
import pytest
import raftsdk_capnp
from capnp_by_hand import (
    BYTE,
    MAX_COUNT,
    NULL,
    POINTER,
    VOID,
    batch,
    columns,
    data,
    far_pointer,
    laid_out,
    list_of,
    list_pointer,
    message,
    numbers,
    padded,
    pointers_to,
    raw,
    rooted,
    struct_of,
    struct_pointer,
    structs,
    text,
)
from raftsdk_capnp import CapnpCodec
from raftsdk_capnp.fields import write
from raftsdk_capnp.framing import MAX_SEGMENTS
from raftsdk_capnp.schema import STRUCTS

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MESSAGE_KINDS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipRequest,
    Consistency,
    ErrorResponse,
    InstallSnapshotRequest,
    Message,
    MessageKind,
    OpenSessionRequest,
    ProposeRequest,
    QueryRequest,
    StatusRequest,
    TakeSnapshotRequest,
    TimeoutNowResponse,
    TransferLeadershipRequest,
)
from raftsdk.testing import codec_suite
from raftsdk.types import Entry, Member, Membership

CODEC = CapnpCodec()
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
PROPOSE = MessageKind.PROPOSE_REQUEST
NULL_ROOT = message(bytes(8))

ENTRIES = [Entry(2, 1, b"first"), Entry(9, 1, b"")]
BATCH = AppendEntriesRequest(
    term=9, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=ENTRIES
)
COLUMNS = columns(ENTRIES)


# -- segments


@pytest.mark.parametrize("honest", codec_suite.sample_messages(), ids=lambda value: type(value).__name__)
def test_a_segment_for_each_object_is_read(honest: Message) -> None:
    """As written by an encoder that has no more space than it needs: far pointers, and doubly far ones, everywhere."""
    builder = STRUCTS[type(honest)].new_message(
        num_first_segment_words=1, allocate_seg_callable=lambda words: bytearray(8 * words)
    )
    write(honest, builder)
    encoded = builder.to_bytes()
    assert not honest.__struct_fields__ or int.from_bytes(encoded[:4], "little") > 0
    assert CODEC.decode(MESSAGE_KINDS[type(honest)], encoded) == honest


def test_a_far_pointer_to_a_landing_pad_in_another_segment_is_read() -> None:
    pad_and_command = laid_out(data(b"far away"))
    encoded = message(struct_pointer(0, 1, 0) + far_pointer(1, 0), pad_and_command)
    assert CODEC.decode(PROPOSE, encoded) == ProposeRequest(command=b"far away")


def test_a_doubly_far_pointer_is_read() -> None:
    tag = list_pointer(BYTE, 8, 0)
    encoded = message(
        struct_pointer(0, 1, 0) + far_pointer(2, 1, double=True), b"far away", bytes(8) + far_pointer(1, 0) + tag
    )
    assert CODEC.decode(PROPOSE, encoded) == ProposeRequest(command=b"far away")


def test_as_many_segments_are_read_as_are_allowed_and_empty_ones_too() -> None:
    segment = laid_out(struct_of(b"", data(b"x")))
    assert CODEC.decode(PROPOSE, message(segment, *[b""] * (MAX_SEGMENTS - 1))) == ProposeRequest(command=b"x")


# -- places


def test_what_is_pointed_to_may_stand_before_the_pointer_and_in_any_order() -> None:
    segment = struct_pointer(0, 1, 1) + b"command!" + list_pointer(BYTE, 8, -2)
    assert CODEC.decode(PROPOSE, message(segment)) == ProposeRequest(command=b"command!")


def test_words_that_nobody_points_to_are_passed_over() -> None:
    assert CODEC.decode(APPEND, batch(COLUMNS, after=b"whatever" * 100)) == BATCH


def test_an_empty_text_may_be_null_or_a_zero_byte_and_an_empty_list_null_or_of_no_items() -> None:
    for empty_text in (NULL, text(""), raw(struct_pointer(0, 0, 0))):
        for empty_list in (NULL, pointers_to()):
            encoded = rooted(struct_of(bytes(8), empty_text, empty_text, empty_text, empty_list))
            assert CODEC.decode(MessageKind.ERROR, encoded) == ErrorResponse(code="")
    empty_texts = rooted(struct_of(bytes(8), NULL, NULL, NULL, pointers_to(NULL, text(""))))
    assert CODEC.decode(MessageKind.ERROR, empty_texts) == ErrorResponse(code="", leader_addresses=["", ""])


# -- older and newer schemas


def test_a_field_the_writer_does_not_have_is_zero() -> None:
    term_only = rooted(struct_of((7).to_bytes(8, "little")))
    assert CODEC.decode(MessageKind.TIMEOUT_NOW_RESPONSE, term_only) == TimeoutNowResponse(term=7)
    assert CODEC.decode(MessageKind.APPEND_ENTRIES_RESPONSE, term_only) == AppendEntriesResponse(term=7, success=False)
    query_only = rooted(struct_of(b"", data(b"q")))
    assert CODEC.decode(MessageKind.QUERY_REQUEST, query_only) == QueryRequest(query=b"q")
    without_quiesce = rooted(struct_of(struct.pack("<4Q", 9, 0, 0, 0), text("n1"), COLUMNS))
    assert CODEC.decode(APPEND, without_quiesce) == BATCH


def test_a_root_that_is_null_has_zeros_only_and_the_checks_decide() -> None:
    zeros: list[Message] = [
        StatusRequest(),
        AppendEntriesResponse(term=0, success=False),
        ErrorResponse(code=""),
        ProposeRequest(command=b""),
        QueryRequest(query=b"", consistency=Consistency.LOCAL),
        ChangeMembershipRequest(),
        TransferLeadershipRequest(),
        OpenSessionRequest(),
        TakeSnapshotRequest(),
    ]
    for zero in zeros:
        assert CODEC.decode(MESSAGE_KINDS[type(zero)], NULL_ROOT) == zero


def test_a_suffrage_left_out_is_a_voters_and_a_membership_left_out_has_no_voter() -> None:
    piece = struct.pack("<5Q", 1, 1, 1, 0, 0)  # term, last included index and term, total bytes, offset
    digest = data(bytes(32))
    member = struct_of(b"", structs((b"", [text("n1"), NULL, NULL])), NULL)
    of_one, of_none = (rooted(struct_of(piece, text("n1"), members, digest, NULL)) for members in (member, NULL))
    decoded = CODEC.decode(MessageKind.INSTALL_SNAPSHOT_REQUEST, of_one)
    assert isinstance(decoded, InstallSnapshotRequest)
    assert decoded.membership == Membership(members=(Member("n1"),))
    with pytest.raises(DecodeError, match=r"InstallSnapshotRequest\.membership\.members: none of them is a voter"):
        CODEC.decode(MessageKind.INSTALL_SNAPSHOT_REQUEST, of_none)


def newer_schema(folder: Path) -> Any:
    """raft.capnp with a number, a text and a struct more in each struct but the columns."""
    source = Path(raftsdk_capnp.__file__).with_name("raft.capnp").read_text(encoding="utf-8")

    def grown(found: re.Match[str]) -> str:
        count = found.group(2).count("@")
        more = f"newNumber @{count} :UInt64; newText @{count + 1} :Text; newSelf @{count + 2} :{found.group(1)};"
        return f"struct {found.group(1)} {{{found.group(2)} {more} }}"

    path = folder / "newer.capnp"
    path.write_text(re.sub(r"struct (\w+) \{(.*?)\}", grown, source, flags=re.DOTALL), encoding="utf-8")
    return capnp.SchemaParser().load(str(path))


def test_fields_of_a_newer_schema_are_passed_over_in_messages_and_records(tmp_path: Path) -> None:
    newer = newer_schema(tmp_path)
    for honest in codec_suite.sample_messages():
        builder = getattr(newer, type(honest).__name__).new_message()
        write(honest, builder)
        records = [builder, builder.newSelf, *(builder.peers if hasattr(honest, "peers") else ())]
        for record in records:
            record.newNumber = 2**64 - 1
            record.newText = "of which we know nothing"
        assert CODEC.decode(MESSAGE_KINDS[type(honest)], builder.to_bytes()) == honest


def test_a_list_of_numbers_may_have_become_one_of_structs() -> None:
    """The format lets a schema change so: the number is the first field."""
    terms = structs(*((struct.pack("<2Q", term, 99), [text("beside")]) for term in (2, 9)))
    encoded = batch(struct_of(b"", terms, numbers(1), pointers_to(data(b"first"), NULL)))
    assert CODEC.decode(APPEND, encoded) == BATCH


def test_unknown_fields_may_hold_what_would_be_refused_in_known_ones() -> None:
    """Nobody follows these pointers: out of bounds, in a circle, a void list of half a milliard."""
    hostile = [raw(struct_pointer(1, 1, 1000)), raw(struct_pointer(0, 1, -1)), list_of(VOID, MAX_COUNT, b"")]
    encoded = rooted(
        struct_of(b"", data(b"x"), *hostile, raw(list_pointer(POINTER, MAX_COUNT, 0)), raw(b"\3" + bytes(7)))
    )
    assert CODEC.decode(PROPOSE, encoded) == ProposeRequest(command=b"x")


def test_the_unused_half_word_of_a_segment_table_may_hold_anything() -> None:
    segment = laid_out(struct_of(b"", data(b"x")))
    table = struct.pack("<4I", 1, len(segment) // 8, 0, 0xFFFFFFFF)
    assert padded(table) + segment != message(segment, b"")
    assert CODEC.decode(PROPOSE, table + segment) == ProposeRequest(command=b"x")
