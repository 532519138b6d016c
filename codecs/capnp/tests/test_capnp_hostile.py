"""Bytes that no honest node sends: each is refused by name, or is an honest message after all; none does harm."""

import struct
from random import Random

import msgspec
import pytest
from capnp_by_hand import (
    BIT,
    BYTE,
    COMPOSITE,
    EIGHT_BYTES,
    FOUR_BYTES,
    MAX_COUNT,
    NULL,
    POINTER,
    VOID,
    Target,
    batch,
    columns,
    data,
    far_pointer,
    laid_out,
    list_of,
    list_pointer,
    message,
    numbers,
    pointers_to,
    raw,
    rooted,
    struct_of,
    struct_pointer,
    structs,
    text,
)
from raftsdk_capnp import CapnpCodec
from raftsdk_capnp.framing import MAX_SEGMENTS

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MAX_ADDRESSES,
    MAX_ENTRIES,
    MAX_MEMBERS,
    MAX_TEXT_BYTES,
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    ErrorResponse,
    Message,
    MessageKind,
    ProposeRequest,
    TimeoutNowResponse,
)
from raftsdk.testing import codec_suite
from raftsdk.types import Entry

CODEC = CapnpCodec()
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
PIECE = MessageKind.INSTALL_SNAPSHOT_REQUEST
PROPOSE = MessageKind.PROPOSE_REQUEST
QUERY = MessageKind.QUERY_REQUEST
STATUS = MessageKind.STATUS_RESPONSE
ERROR = MessageKind.ERROR

PAYLOADS = pointers_to(data(b"first"), NULL)


def refusal(kind: MessageKind, encoded: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        CODEC.decode(kind, encoded)
    assert len(str(caught.value)) <= 400
    return str(caught.value)


# -- the framing

SEGMENT = laid_out(struct_of(b"", data(b"command")))

NO_FRAMING = {
    "nothing": b"",
    "less than a word": bytes(7),
    "eight zero bytes": bytes(8),
    "sixty-four zero bytes": bytes(64),
    "all ones": b"\xff" * 64,
    "a segment of no words": message(b""),
    "a table cut short": struct.pack("<2I", 3, 1),
    "2^32 segments": struct.pack("<2I", 0xFFFFFFFF, 1) + SEGMENT,
    "a segment of 2^32-1 words": struct.pack("<2I", 0, 0xFFFFFFFF) + SEGMENT,
    "one segment too many": message(SEGMENT, *[b""] * MAX_SEGMENTS),
    "a word after the end": message(SEGMENT) + bytes(8),
    "a byte after the end": message(SEGMENT) + b"\0",
    "a byte too few": message(SEGMENT)[:-1],
    "two messages": message(SEGMENT) * 2,
    "packed": bytes.fromhex("100310010111 013a ff636f6d6d616e6400"),
    "an empty segment with the root": message(b"", SEGMENT),
}


@pytest.mark.parametrize("what", NO_FRAMING)
def test_what_is_not_framed_as_one_whole_message_is_refused(what: str) -> None:
    assert CODEC.decode(PROPOSE, message(SEGMENT)) == ProposeRequest(command=b"command")
    assert refusal(PROPOSE, NO_FRAMING[what]).startswith("ProposeRequest: ")


# -- pointers


def command(pointer: bytes, body: bytes = b"") -> bytes:
    return rooted(struct_of(b"", raw(pointer, body)))


NO_COMMAND = {
    "a list beyond the end": command(list_pointer(BYTE, 9, 0), bytes(8)),
    "a list before the start": command(list_pointer(BYTE, 8, -4), bytes(8)),
    "a list of 2^29-1 bytes": command(list_pointer(BYTE, MAX_COUNT, 0), bytes(8)),
    "a list of 2^29-1 void items": command(list_pointer(VOID, MAX_COUNT, 0)),
    "a list of bits": command(list_pointer(BIT, 8, 0), bytes(8)),
    "a list of words": command(list_pointer(EIGHT_BYTES, 1, 0), bytes(8)),
    "a struct": command(struct_pointer(1, 0, 0), bytes(8)),
    "a capability": command(struct.pack("<II", 3, 0)),
    "a reserved kind of pointer": command(struct.pack("<II", 7, 0)),
    "a far pointer to no segment": command(far_pointer(1, 0)),
    "a far pointer to segment 2^32-1": command(far_pointer(0xFFFFFFFF, 0)),
    "a far pointer beyond its segment": command(far_pointer(0, 100)),
    "a far pointer to itself": command(far_pointer(0, 1)),
    "a far pointer to a far pointer": command(far_pointer(0, 2), far_pointer(0, 2)),
    "a doubly far pointer to no far pointer": command(far_pointer(0, 2, double=True), bytes(16)),
    "a doubly far pointer whose tag is cut off": command(far_pointer(0, 2, double=True), far_pointer(0, 0)),
}


@pytest.mark.parametrize("what", NO_COMMAND)
def test_a_pointer_that_leads_to_no_bytes_is_refused(what: str) -> None:
    assert refusal(PROPOSE, NO_COMMAND[what]).startswith("ProposeRequest.command: ")


@pytest.mark.parametrize(
    "root",
    [
        *(struct_pointer(0, 1, 0), struct_pointer(1, 0, -2), struct_pointer(0xFFFF, 0xFFFF, 0)),
        *(list_pointer(BYTE, 0, 0), far_pointer(7, 0), far_pointer(0, 0), b"\xff" * 8),
    ],
    ids=bytes.hex,
)
def test_a_root_that_is_no_struct_within_the_message_is_refused(root: bytes) -> None:
    assert refusal(PROPOSE, message(root)).startswith("ProposeRequest: ")


def test_a_struct_that_is_its_own_membership_ends_as_the_schema_does() -> None:
    """Reading goes where the schema goes, so a circle is walked no further than its five levels."""
    circle = rooted(struct_of(struct.pack("<5Q", 1, 1, 1, 0, 0), text("n1"), raw(struct_pointer(5, 4, -7)), NULL, NULL))
    assert refusal(PIECE, circle).startswith("InstallSnapshotRequest.membership: ")


def test_bytes_that_many_pointers_share_are_refused_once_they_add_up_to_more_than_there_are() -> None:
    """Eight kilobytes here would be 33 megabytes there."""
    pointers = b"".join(list_pointer(BYTE, 4096, 1024 - 1 - place) for place in range(1024))
    shared = list_of(POINTER, 1024, pointers + bytes(4096))
    assert "pointers overlap" in refusal(APPEND, batch(struct_of(b"", numbers(1), numbers(1), shared)))


# -- lists


def zero_sized(count: int) -> Target:
    """A list of so many structs without fields: one word, whatever the count."""
    return list_of(COMPOSITE, 0, struct.pack("<Ii", count << 2 & 0xFFFFFFFF, 0))


def entries(terms: Target, kinds: Target, payloads: Target) -> bytes:
    return batch(struct_of(b"", terms, kinds, payloads))


NO_ENTRIES = {
    "three terms": entries(numbers(2, 9, 9), numbers(1), PAYLOADS),
    "no terms": entries(NULL, numbers(1), PAYLOADS),
    "three kinds": entries(numbers(2, 9), numbers(1, 1, 1), PAYLOADS),
    "no kinds": entries(numbers(2, 9), numbers(), PAYLOADS),
    "no payloads": entries(numbers(2, 9), numbers(1, 1), NULL),
    "terms of four bytes": entries(list_of(FOUR_BYTES, 2, bytes(8)), numbers(1), PAYLOADS),
    "terms of one bit": entries(list_of(BIT, 2, bytes(8)), numbers(1), PAYLOADS),
    "void terms": entries(list_of(VOID, 2, b""), numbers(1), PAYLOADS),
    "terms that are structs without fields": entries(zero_sized(2), numbers(1), PAYLOADS),
    "terms that are texts": entries(pointers_to(text("2"), text("9")), numbers(1), PAYLOADS),
    "2^29-1 terms": entries(list_of(EIGHT_BYTES, MAX_COUNT, b""), numbers(1), PAYLOADS),
    "payloads that are numbers": entries(numbers(9), numbers(1), numbers(0, 0)),
    "payloads that are one": entries(numbers(9), numbers(1), data(b"ab")),
    "a payload that is a struct": entries(numbers(9), numbers(1), pointers_to(data(b"x"), struct_of(bytes(8)))),
    "a payload out of bounds": entries(numbers(9), numbers(1), pointers_to(data(b"x"), raw(list_pointer(BYTE, 9, 9)))),
    "2^29-1 payloads": entries(numbers(9), numbers(1), list_of(POINTER, MAX_COUNT, b"")),
    "2^29-1 structs without fields for payloads": entries(numbers(9), numbers(1), zero_sized(MAX_COUNT)),
    "an entry too many": entries(numbers(9), numbers(1), pointers_to(*[NULL] * (MAX_ENTRIES + 1))),
    "a list for the columns": batch(numbers(1, 2)),
    "terms that go back": batch(columns([Entry(2, 1, b""), Entry(1, 1, b"")])),
    "a term beyond the message's": batch(columns([Entry(10, 1, b"")])),
    "a term of zero": batch(columns([Entry(0, 1, b"")])),
    "a term of 2^64-1": batch(columns([Entry(2**64 - 1, 1, b"")])),
    "a kind of 2^63": batch(columns([Entry(9, 2**63, b"")])),
}


@pytest.mark.parametrize("what", NO_ENTRIES)
def test_columns_that_make_no_entries_are_refused(what: str) -> None:
    CODEC.decode(APPEND, entries(numbers(2, 9), numbers(1), PAYLOADS))
    assert refusal(APPEND, NO_ENTRIES[what]).startswith("AppendEntriesRequest.entries: ")


def error(addresses: Target) -> bytes:
    return rooted(struct_of(bytes(8), NULL, NULL, NULL, addresses))


def status(peers: Target) -> bytes:
    return rooted(struct_of(bytes(5 * 8), text("n1"), NULL, NULL, NULL, peers))


def piece(membership: Target) -> bytes:
    return rooted(struct_of(struct.pack("<5Q", 1, 1, 1, 0, 0), text("n1"), membership, data(bytes(32)), NULL))


PEER = (bytes(4 * 8), [text("n2"), NULL, NULL, NULL, NULL])
MEMBER = (b"", [text("n1"), NULL, NULL])
TOO_MANY = {
    "leader_addresses": (ERROR, error(pointers_to(*[NULL] * (MAX_ADDRESSES + 1)))),
    "leader_addresses without end": (ERROR, error(list_of(POINTER, MAX_COUNT, b""))),
    "leader_addresses of bits": (ERROR, error(list_of(BIT, 100, bytes(16)))),
    "peers": (STATUS, status(structs(*[PEER] * (MAX_MEMBERS + 1)))),
    "peers without fields": (STATUS, status(zero_sized(MAX_COUNT))),
    "peers that are void": (STATUS, status(list_of(VOID, MAX_COUNT, b""))),
    "peers, a few without fields": (STATUS, status(zero_sized(3))),
    "peers: one of many addresses": (
        STATUS,
        status(structs((bytes(32), [text("n2"), pointers_to(*[NULL] * 17), NULL, NULL, NULL]))),
    ),
    "membership: members": (PIECE, piece(struct_of(b"", structs(*[MEMBER] * (MAX_MEMBERS + 1)), NULL))),
    "membership: members without fields": (PIECE, piece(struct_of(b"", zero_sized(MAX_COUNT), NULL))),
    "membership: outgoing": (PIECE, piece(struct_of(b"", NULL, pointers_to(*[text("n1")] * (MAX_MEMBERS + 1))))),
    "membership: one of many addresses": (
        PIECE,
        piece(struct_of(b"", structs((b"", [text("n1"), pointers_to(*[NULL] * 17), NULL])), NULL)),
    ),
}


@pytest.mark.parametrize("what", TOO_MANY)
def test_a_list_beyond_its_ceiling_or_of_nothing_is_refused(what: str) -> None:
    kind, encoded = TOO_MANY[what]
    field = what.split()[0].rstrip(":,")
    assert refusal(kind, encoded).startswith(f"{MESSAGE_TYPES[kind].__name__}.{field}")


# -- values


@pytest.mark.parametrize(
    "leader",
    [
        *(text(""), NULL, text("n 1"), text("../n1"), text("n1\0"), text("\0"), text("a" * 129), text("é")),
        *(data(b"n1"), data(b"n1\xff"), data(b"n1\xc3"), data(b""), data(b"\xff\0"), data(b"n\xed\xa0\x80\0")),
        *(data(b"\xc0\xae\0"), numbers(1), struct_of(bytes(8)), text("a" * 1_000_000)),
    ],
    ids=range(18),
)
def test_what_is_no_id_is_refused_as_a_leader(leader: Target) -> None:
    """A text without its zero byte and with a last byte that is not ASCII ended the process before pycapnp 2.2.4,
    which is not asked to read texts any more.
    """
    assert refusal(APPEND, batch(NULL, leader=leader)).startswith("AppendEntriesRequest.leader_id: ")


def test_texts_are_refused_once_they_add_up_to_more_than_a_message_may_have() -> None:
    half = "é" * (MAX_TEXT_BYTES // 4)
    for message_text, addresses in ((half * 2, [""]), ("", [half * 2]), (half, ["", half]), ("a" * 65_530, ["é"] * 3)):
        encoded = rooted(struct_of(bytes(8), NULL, text(message_text), NULL, pointers_to(*map(text, addresses))))
        decoded = ErrorResponse(code="", message=message_text, leader_addresses=addresses)
        assert CODEC.decode(ERROR, encoded) == decoded
        one_more = pointers_to(*map(text, [*addresses, "a"]))
        too_long = rooted(struct_of(bytes(8), NULL, text(message_text), NULL, one_more))
        assert refusal(ERROR, too_long) == (
            "ErrorResponse.leader_addresses: the texts of a message have at most 65536 bytes, and these have more"
        )


@pytest.mark.parametrize("name", ["observer", "VOTER", "voter\0", " voter"])
def test_a_value_that_an_enumeration_does_not_have_is_refused(name: str) -> None:
    member = structs((b"", [text("n1"), NULL, text(name)]))
    assert "membership: " in refusal(PIECE, piece(struct_of(b"", member, NULL)))
    assert "QueryRequest.consistency: " in refusal(QUERY, rooted(struct_of(b"", NULL, text(name))))


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_a_number_beyond_63_bits_is_refused(number: int) -> None:
    encoded = [rooted(struct_of(struct.pack("<Q", term))) for term in (2**63 - 1, number)]
    assert CODEC.decode(MessageKind.TIMEOUT_NOW_RESPONSE, encoded[0]) == TimeoutNowResponse(term=2**63 - 1)
    assert str(number) in refusal(MessageKind.TIMEOUT_NOW_RESPONSE, encoded[1])


def test_an_error_names_message_and_field_and_says_it_in_a_sentence() -> None:
    assert refusal(PROPOSE, NO_COMMAND["a list beyond the end"]) == (
        "ProposeRequest.command: Message contained out-of-bounds data pointer"
    )
    assert refusal(APPEND, NO_ENTRIES["three terms"]) == "AppendEntriesRequest.entries: 3 terms and 2 payloads"
    assert refusal(APPEND, batch(NULL, leader=data(b"n1"))) == (
        "AppendEntriesRequest.leader_id: a text that does not end with a zero byte"
    )
    assert refusal(PROPOSE, message(SEGMENT) + bytes(8)) == (
        "ProposeRequest: 32 bytes by the table of segments, and 40 came"
    )


# -- by chance

MUTANTS = 30_000


def hostile_word(chance: Random) -> bytes:
    """A pointer of some kind, near its mark or wide of it, or a number at a boundary."""
    near, count = chance.randint(-20, 40), chance.choice((0, 1, 2, 3, 8, 100, MAX_COUNT))
    return chance.choice(
        (
            struct_pointer(chance.choice((0, 1, 5, 0xFFFF)), chance.choice((0, 1, 4, 0xFFFF)), near),
            list_pointer(chance.randrange(8), count, near),
            far_pointer(chance.randrange(3), chance.randrange(40), double=chance.random() < 0.5),
            chance.choice((0, 1, 7, 2**63 - 1, 2**63, 2**64 - 1)).to_bytes(8, "little"),
            chance.randbytes(8),
        )
    )


def damaged(encoded: bytes, chance: Random) -> bytes:
    """One to three things wrong: a bit, a word, a word copied, put in or taken out."""
    found = bytearray(encoded)
    for _ in range(chance.choice((1, 1, 2, 3))):
        place = 8 * chance.randrange(1, len(found) // 8)
        match chance.randrange(5):
            case 0:
                found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
            case 1 | 2:
                found[place : place + 8] = hostile_word(chance)
            case 3:
                other = 8 * chance.randrange(1, len(found) // 8)
                found[place : place + 8] = found[other : other + 8]
            case _:
                found[place : place + chance.choice((0, 8))] = chance.choice((b"", hostile_word(chance)))
                found[4:8] = max(1, len(found) // 8 - 1).to_bytes(4, "little")
                found += bytes(8 * (len(found) < 16))
    return bytes(found)


def decoded_or_told(kind: MessageKind, encoded: bytes) -> Message | str:
    try:
        return CODEC.decode(kind, encoded)
    except DecodeError as error:
        return str(error)


def test_damaged_messages_are_refused_or_honest_ones() -> None:
    chance = Random(11)
    whole = [(MESSAGE_KINDS[type(honest)], CODEC.encode(honest)) for honest in codec_suite.sample_messages()]
    refused = 0
    for _ in range(MUTANTS):
        kind, encoded = chance.choice(whole)
        if chance.random() < 0.1:
            kind = chance.choice(list(MESSAGE_TYPES))
        found = decoded_or_told(kind, damaged(encoded, chance))
        if isinstance(found, str):
            assert found.startswith(MESSAGE_TYPES[kind].__name__)
            assert len(found) <= 400
            refused += 1
            continue
        check(found)
        assert repr(msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=type(found))) == repr(found)
        assert repr(CODEC.decode(kind, CODEC.encode(found))) == repr(found)
    assert MUTANTS // 4 < refused < MUTANTS - MUTANTS // 10  # the damage was neither none nor all there is
