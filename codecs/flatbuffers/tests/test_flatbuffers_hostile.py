"""What strangers may send as FlatBuffers is refused with the reason, damaged at random or by hand."""

from random import Random
from struct import pack, pack_into
from typing import Any

import pytest
from raftsdk_flatbuffers import FlatbuffersCodec

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    Message,
    MessageKind,
    QueryRequest,
    RequestVoteRequest,
    StatusResponse,
)
from raftsdk.testing import codec_suite
from raftsdk.types import Entry

CODEC = FlatbuffersCodec()
MUTANTS = 30_000

VOTE = RequestVoteRequest(term=7, candidate_id="n1", last_log_index=5, last_log_term=6, pre_vote=True)
VOTE_BYTES = CODEC.encode(VOTE)
# Where its parts lie: size, root, vtable of six fields, table of 42 bytes, text.
SIZE, ROOT, VTABLE, TABLE_BYTES, TERM_SLOT, ID_SLOT, PRE_VOTE_SLOT = 0, 4, 8, 10, 12, 14, 20
TABLE, TERM, ID, PRE_VOTE, ID_LENGTH, ID_TEXT, END = 24, 32, 40, 64, 72, 76, 80

BATCH = AppendEntriesRequest(
    term=7,
    leader_id="n1",
    prev_log_index=0,
    prev_log_term=0,
    leader_commit=0,
    entries=[Entry(6, 1, b"abc"), Entry(7, 1, b"de")],
)
BATCH_BYTES = CODEC.encode(BATCH)
HEADERS = BATCH_BYTES.index(pack("<I6Q", 2, 6, 1, 3, 7, 1, 2))
FIRST_LENGTH, SECOND_LENGTH = HEADERS + 20, HEADERS + 44
PAYLOAD = BATCH_BYTES.index(pack("<I5s", 5, b"abcde"))


def patched(data: bytes, *patches: tuple[int, str, Any]) -> bytes:
    """`data` with other values at some places, each a place, a `struct` letter and the value."""
    buffer = bytearray(data)
    for place, layout, value in patches:
        pack_into(f"<{layout}", buffer, place, value)
    return bytes(buffer)


def test_the_parts_that_are_damaged_here_lie_where_they_are_said_to() -> None:
    assert len(VOTE_BYTES) == END
    assert VOTE_BYTES[VTABLE:TABLE] == pack("<8H", 16, 42, 8, 16, 24, 32, 40, 41)
    assert VOTE_BYTES[ID_LENGTH:] == b"\x02\x00\x00\x00n1\x00\x00"
    assert patched(VOTE_BYTES, (TERM, "Q", 9), (PRE_VOTE, "?", False)) == CODEC.encode(
        RequestVoteRequest(term=9, candidate_id="n1", last_log_index=5, last_log_term=6, pre_vote=False)
    )


@pytest.mark.parametrize(
    ("place", "layout", "values", "problem"),
    [
        (SIZE, "I", (0, 75, 77, 80, 2**31, 2**32 - 1), ": the size before the buffer is"),
        (ROOT, "I", (0, 1, 3, 73, 76, 2**31, 2**32 - 1), ": the offset at 4 is"),
        (TABLE, "i", (25, -53, -(2**31), 2**31 - 1), ": the vtable of the table at 24 is at"),
        (VTABLE, "H", (0, 2, 3, 15, 73, 74, 2**16 - 1), ": the vtable at 8 of 80 bytes is"),
        (TABLE_BYTES, "H", (57, 2**16 - 1), ": the table at 24 of 80 bytes is"),
        (TABLE_BYTES, "H", (0, 4, 15), ".term: 8 bytes at 8 of a table of"),
        (TABLE_BYTES, "H", (40,), ".pre_vote: 1 bytes at 40 of a table of 40"),
        (TABLE_BYTES, "H", (41,), ".leadership_transfer: 1 bytes at 41 of a table of 41"),
        (TERM_SLOT, "H", (1, 3, 35, 42, 2**16 - 1), ".term: 8 bytes at"),
        (ID_SLOT, "H", (2, 39, 2**15), ".candidate_id: 4 bytes at"),
        (PRE_VOTE_SLOT, "H", (3, 42), ".pre_vote: 1 bytes at"),
        (TERM, "Q", (2**63, 2**64 - 1), ".term: "),
        (TERM, "Q", (0,), ".term: "),
        (PRE_VOTE, "B", (2, 255), ".pre_vote: "),
        (ID, "I", (0, 1, 3, 37, 40, 2**31, 2**32 - 1), ".candidate_id: the offset at 40 is"),
        (ID_LENGTH, "I", (5, 2**31, 2**32 - 1), ".candidate_id: "),
        (ID_LENGTH, "I", (0, 1, 4), ".candidate_id: no zero byte follows the"),
        (ID_LENGTH, "I", (3,), ".candidate_id: not an id"),
        (ID_TEXT + 2, "B", (1, 255), ".candidate_id: no zero byte follows the 2 of the text at 76"),
        (ID_TEXT, "2s", (b"\xff1", b"n\x80", b"\xc0\x80", b"\xe2\x82", b"\xed\xa0"), ".candidate_id: 'utf-8' codec"),
        (ID_TEXT, "2s", (b"/1", b"..", b"\x001", b"n\n", b"\xc3\xbc"), ".candidate_id: not an id"),
    ],
)
def test_a_damaged_table_is_refused_with_the_reason(
    place: int, layout: str, values: tuple[int | bytes, ...], problem: str
) -> None:
    for value in values:
        with pytest.raises(DecodeError) as caught:
            CODEC.decode(MessageKind.REQUEST_VOTE_REQUEST, patched(VOTE_BYTES, (place, layout, value)))
        assert str(caught.value).startswith(f"RequestVoteRequest{problem}")


@pytest.mark.parametrize(
    ("patches", "problem"),
    [
        ([(HEADERS, "I", 2**32 - 1)], "entries: 4294967295 items, and at most 8192 are allowed"),
        ([(HEADERS, "I", 8_193)], "entries: 8193 items, and at most 8192 are allowed"),
        ([(HEADERS, "I", 8_192)], "entries: 8192 items of 24 bytes each, at "),
        ([(HEADERS, "I", 3)], "entries: 3 items of 24 bytes each, at "),
        ([(HEADERS, "I", 1)], "payload: 5 bytes, and the entries need 3"),
        ([(HEADERS, "I", 0)], "payload: 5 bytes, and the entries need 0"),
        ([(FIRST_LENGTH, "Q", 4)], "payload: 5 bytes, and the entries need 6"),
        ([(FIRST_LENGTH, "Q", 2**64 - 1)], "payload: 5 bytes, and the entries need 18446744073709551617"),
        ([(FIRST_LENGTH, "Q", 2**63), (SECOND_LENGTH, "Q", 2**63 + 5)], "payload: 5 bytes, and the entries need 1844"),
        ([(FIRST_LENGTH, "Q", 2**64 - 1), (SECOND_LENGTH, "Q", 6)], "payload: 5 bytes, and the entries need 1844"),
        ([(PAYLOAD, "I", 2**32 - 1)], "payload: 4294967295 items of 1 bytes each, at "),
        ([(PAYLOAD, "I", 4)], "payload: 4 bytes, and the entries need 5"),
        ([(PAYLOAD, "I", 6)], "payload: 6 bytes, and the entries need 5"),
        ([(HEADERS + 4, "Q", 2**64 - 1)], "entries: "),
        ([(HEADERS + 12, "Q", 2**63)], "entries: "),
    ],
)
def test_columns_that_do_not_fit_are_refused_and_no_claim_is_believed(
    patches: list[tuple[int, str, int]], problem: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        CODEC.decode(MessageKind.APPEND_ENTRIES_REQUEST, patched(BATCH_BYTES, *patches))
    assert str(caught.value).startswith(f"AppendEntriesRequest.{problem}")


def test_the_error_names_the_item_of_the_field_of_the_record() -> None:
    status = next(m for m in codec_suite.sample_messages() if isinstance(m, StatusResponse) and len(m.peers) == 2)
    data = CODEC.encode(status)
    second = data.index(b"tcp://127.0.0.1:7002", data.index(b"tcp://127.0.0.1:7002") + 1)
    with pytest.raises(DecodeError, match=r"^StatusResponse\.peers\[1\]\.addresses\[0\]: 'utf-8' codec"):
        CODEC.decode(MessageKind.STATUS_RESPONSE, patched(data, (second, "B", 0xFF)))


def test_a_text_that_is_none_of_an_enumeration_is_refused_and_shown_in_part() -> None:
    data = CODEC.encode(QueryRequest(query=b"", consistency="\n" * 5_000))  # type: ignore[arg-type]
    with pytest.raises(DecodeError, match=r"^QueryRequest\.consistency: '(\\n){64}' is none of local, linearizable, "):
        CODEC.decode(MessageKind.QUERY_REQUEST, data)


@pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=lambda kind: kind.name)
def test_nothing_is_no_message_and_neither_are_zeros_or_ones(kind: MessageKind) -> None:
    for length in (*range(17), 64, 4_096):
        for data in (bytes(length), b"\xff" * length):
            with pytest.raises(DecodeError, match=MESSAGE_TYPES[kind].__name__):
                CODEC.decode(kind, data)


def test_zeros_of_the_size_they_say_are_no_message_either() -> None:
    for length in (4, 8, 60, 4_096):
        for kind in MESSAGE_TYPES:
            with pytest.raises(DecodeError, match=r"the offset at 4 is 0|too few"):
                CODEC.decode(kind, pack("<I", length) + bytes(length))


def test_mutants_are_refused_or_honest() -> None:
    chance = Random(17)
    originals = [*codec_suite.sample_messages(), *(codec_suite.random_message(chance) for _ in range(200))]
    encoded = [(MESSAGE_KINDS[type(message)], CODEC.encode(message)) for message in originals]
    honest = 0
    for _ in range(MUTANTS):
        kind, data = chance.choice(encoded)
        honest += is_honest(kind, mutant(chance, data, chance.choice(encoded)[1]))
    assert MUTANTS / 20 < honest < MUTANTS * 19 / 20


def is_honest(kind: MessageKind, data: bytes) -> bool:
    """Whether it was read, and then as a message that any node could have sent. Otherwise it was refused."""
    try:
        message: Message = CODEC.decode(kind, data)
    except DecodeError as error:
        problem = str(error)
    else:
        check(message)
        assert repr(CODEC.decode(kind, CODEC.encode(message))) == repr(message)
        return True
    assert problem.startswith(MESSAGE_TYPES[kind].__name__)
    assert len(problem) <= 1_024
    return False


def mutant(chance: Random, data: bytes, other: bytes) -> bytes:
    """`data` damaged in one to three places; the size before it mostly says what is there afterwards."""
    buffer = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(4, len(buffer) - 3)
        match chance.randrange(6):
            case 0:
                buffer[place] ^= 1 << chance.randrange(8)
            case 1:
                pack_into("<I", buffer, place & ~3, chance.choice((0, 1, 4, 8, len(data), 2**31, 2**32 - 1)))
            case 2:
                pack_into("<I", buffer, place & ~3, chance.randrange(len(buffer)))
            case 3:
                pack_into("<H", buffer, place & ~1, chance.randrange(64))
            case 4:
                buffer[place:place] = buffer[place : place + chance.randrange(1, 16)]
            case 5:
                buffer[place + 4 :] = other[-chance.randrange(4, len(other)) :]
    if chance.random() < 0.9:
        pack_into("<I", buffer, 0, len(buffer) - 4)
    return bytes(buffer)
