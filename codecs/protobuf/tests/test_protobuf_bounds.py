"""What hostile protobuf costs, and that the bounds on it do not hinder what is honest."""

import subprocess
import sys
import time
import tracemalloc
from random import Random
from typing import Any

import protobuf_peaks
import pytest
from google.protobuf.message import DecodeError as ParseError
from hypothesis import given
from hypothesis import strategies as st
from protobuf_by_hand import I32, I64, LEN, START_GROUP, VARINT, field, group, tag, varint
from raftsdk_protobuf import ProtobufCodec, bounds, raft_pb2
from raftsdk_protobuf.codec import _STEPS

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    DIGEST_BYTES,
    MAX_ADDRESSES,
    MAX_ENTRIES,
    MAX_MEMBERS,
    MAX_TEXT_BYTES,
    MESSAGE_KINDS,
    MESSAGE_TYPES,
    AppendEntriesRequest,
    ErrorResponse,
    InstallSnapshotRequest,
    Message,
    MessageKind,
    StatusResponse,
)
from raftsdk.testing import codec_suite

CODEC = ProtobufCodec()
MIB = 1024 * 1024
APPEND = MessageKind.APPEND_ENTRIES_REQUEST
SNAPSHOT = MessageKind.INSTALL_SNAPSHOT_REQUEST
STATUS = MessageKind.STATUS_RESPONSE
HEADER = field(1, 9) + field(2, "n1")
NODE = field(1, "n1")
ZERO = field(15, 0)
EMOJI = "\U0001f98b".encode()
LONGEST = field(2, b"a" * (MAX_TEXT_BYTES - len(EMOJI)) + EMOJI)


def filled(item: bytes, length: int = MIB) -> bytes:
    """As many of `item` as there is room for."""
    return item * (length // len(item))


HOSTILE: dict[str, tuple[MessageKind, bytes]] = {
    # Lists of the smallest items.
    "empty entries": (APPEND, HEADER + filled(field(6, b""))),
    "empty entries under a padded tag": (APPEND, HEADER + filled(tag(6, LEN, 2) + b"\x00")),
    "empty entries of padded lengths": (APPEND, HEADER + filled(tag(6, LEN, 5) + varint(0, 5))),
    "smallest honest entries": (APPEND, HEADER + filled(field(6, field(1, 9)))),
    "twice as many empty entries as may be": (APPEND, HEADER + field(6, b"") * 2 * MAX_ENTRIES),
    "nearly twice as many entries of large numbers": (
        APPEND,
        HEADER + field(6, field(1, 2**62) + field(2, 2**62) + field(3, b"x" * 41)) * 16_000,
    ),
    "empty peers": (STATUS, NODE + filled(field(10, b""))),
    "empty addresses of a peer": (STATUS, NODE + field(10, filled(field(2, b"")))),
    "16 addresses of each peer": (STATUS, NODE + filled(field(10, field(2, b"") * MAX_ADDRESSES))),
    "8,000 addresses of each of 64 peers": (STATUS, NODE + field(10, field(2, b"") * 8_000) * MAX_MEMBERS),
    "empty members": (SNAPSHOT, HEADER + field(5, filled(field(1, b"")))),
    "members of a membership each": (SNAPSHOT, HEADER + filled(field(5, field(1, b"")))),
    "empty ids of outgoing members": (SNAPSHOT, HEADER + field(5, filled(field(2, b"")))),
    "empty addresses of a member": (SNAPSHOT, HEADER + field(5, field(1, filled(field(2, b""))))),
    "empty memberships": (SNAPSHOT, HEADER + filled(field(5, b""))),
    "empty addresses": (MessageKind.ERROR, filled(field(4, b""))),
    "short addresses": (MessageKind.ERROR, filled(field(4, "ab"))),
    # The same again and again.
    "numbers": (MessageKind.REQUEST_VOTE_REQUEST, HEADER + filled(field(1, 9))),
    "ids": (APPEND, HEADER + filled(field(2, "a"))),
    "data of an entry": (APPEND, HEADER + field(6, field(1, 9) + filled(field(3, b"a")))),
    "commands": (MessageKind.PROPOSE_REQUEST, filled(field(1, b"a"))),
    # Unknown fields, which the library keeps.
    "unknown fields": (APPEND, HEADER + filled(ZERO)),
    "unknown fields of a status": (STATUS, NODE + filled(ZERO)),
    "unknown fields of a message without fields": (MessageKind.STATUS_REQUEST, filled(ZERO)),
    "unknown and known fields in turns": (APPEND, HEADER + filled(ZERO + field(1, 9))),
    "unknown fields of an entry": (APPEND, HEADER + field(6, field(1, 9) + filled(ZERO))),
    "unknown and known fields of an entry in turns": (APPEND, HEADER + field(6, filled(ZERO + field(1, 9)))),
    "60 unknown fields of every entry": (APPEND, HEADER + field(6, field(1, 9) + ZERO * 60) * MAX_ENTRIES),
    "groups": (APPEND, HEADER + filled(group(15))),
    "groups 99 deep": (APPEND, HEADER + filled(b"\x7b" * 99 + b"\x7c" * 99)),
    "groups without end": (APPEND, HEADER + filled(tag(15, START_GROUP))),
    # Lengths.
    "one entry": (APPEND, HEADER + field(6, field(1, 9) + field(3, bytes(MIB)))),
    "8,192 entries": (APPEND, HEADER + field(6, field(1, 9) + field(2, 1) + field(3, b"x" * 116)) * MAX_ENTRIES),
    "entries, and damage at the end": (APPEND, HEADER + field(6, b"") * 8_000 + field(6, bytes(MIB))),
    "a command": (MessageKind.PROPOSE_REQUEST, field(1, bytes(MIB))),
    "a length of 2 GiB": (MessageKind.PROPOSE_REQUEST, tag(1, LEN) + varint(2**31 - 1) + bytes(MIB)),
    "a digest": (SNAPSHOT, HEADER + field(7, bytes(MIB))),
    # Text, which grows when Python needs more than a byte for any of its characters.
    "an id": (APPEND, HEADER + field(2, b"a" * MIB)),
    "an id with an emoji": (APPEND, HEADER + field(2, b"a" * MIB + EMOJI)),
    "a text in ASCII": (MessageKind.ERROR, field(2, b"a" * MIB)),
    "a text with an emoji": (MessageKind.ERROR, field(2, b"a" * MIB + EMOJI)),
    "a text with a dash": (MessageKind.ERROR, field(2, b"a" * MIB + "–".encode())),
    "addresses with emojis": (MessageKind.ERROR, field(4, b"a" * (MIB // 16) + EMOJI) * MAX_ADDRESSES),
    "as long a text with an emoji as may be": (MessageKind.ERROR, LONGEST),
    "the same and an unknown field": (MessageKind.ERROR, LONGEST + field(15, bytes(MIB * 3 // 4))),
    "the same and a text in ASCII": (MessageKind.ERROR, LONGEST + field(1, b"a" * (MIB * 3 // 4))),
    "a consistency": (MessageKind.QUERY_REQUEST, field(2, b"a" * MIB)),
    # No protobuf at all.
    "zeros": (MessageKind.STATUS_REQUEST, bytes(MIB)),
    "ones": (APPEND, b"\xff" * MIB),
    "a number without end": (MessageKind.ERROR, tag(5, VARINT) + b"\x80" * MIB),
}


def limit_bytes(data: bytes) -> int:
    return 4 * len(data) + MIB


def decoded_or_refused(kind: MessageKind, data: bytes | memoryview) -> Message | None:
    try:
        return CODEC.decode(kind, data)
    except DecodeError:
        return None


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_hostile_protobuf_costs_at_most_four_of_pythons_memory_and_one(name: str) -> None:
    kind, data = HOSTILE[name]
    view = memoryview(data)
    tracemalloc.start()
    try:
        decoded_or_refused(kind, view)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= limit_bytes(data)


@pytest.fixture(scope="module")
def peaks() -> dict[str, tuple[int, float]]:
    """The most memory a process needed to decode each, in bytes, and the time it took, in seconds."""
    sent = b"".join(b"%d %d\n" % (kind, len(data)) + data for kind, data in HOSTILE.values())
    done = subprocess.run([sys.executable, protobuf_peaks.__file__], input=sent, capture_output=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: (int(peak) * 1024, float(ms) / 1000) for name, (peak, ms) in zip(HOSTILE, lines, strict=True)}


@pytest.mark.skipif(not protobuf_peaks.CLEAR_REFS.exists(), reason="only Linux tells the peak of a part of a run")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_hostile_protobuf_costs_a_process_at_most_four_and_one(
    name: str, peaks: dict[str, tuple[int, float]]
) -> None:
    peak, _ = peaks[name]
    assert peak <= limit_bytes(HOSTILE[name][1])


@pytest.mark.skipif(not protobuf_peaks.CLEAR_REFS.exists(), reason="only Linux tells the peak of a part of a run")
def test_the_peaks_are_measured(peaks: dict[str, tuple[int, float]]) -> None:
    """A copy of the input, the library's and the message's: less than two of the three would be no measurement."""
    assert peaks["a command"][0] > 1.5 * MIB


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_hostile_protobuf_takes_no_half_second(name: str) -> None:
    kind, data = HOSTILE[name]
    started = time.perf_counter()
    decoded_or_refused(kind, data)
    assert time.perf_counter() - started < 0.5


# -- what is refused, and what is not


def batch_of(entries: int, entry: bytes) -> bytes:
    return HEADER + field(6, entry) * entries


@pytest.mark.parametrize("entry", [field(1, 9), field(1, 9) + field(3, bytes(20)), field(1, 9) + field(3, bytes(300))])
def test_8192_entries_are_read_and_one_more_is_refused(entry: bytes) -> None:
    message = CODEC.decode(APPEND, batch_of(MAX_ENTRIES, entry))
    assert isinstance(message, AppendEntriesRequest)
    assert len(message.entries) == MAX_ENTRIES
    with pytest.raises(DecodeError, match=r"AppendEntriesRequest\.entries: 8193 of them, and at most 8192 are allowed"):
        CODEC.decode(APPEND, batch_of(MAX_ENTRIES + 1, entry))


def test_many_more_entries_are_refused_before_the_library_builds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(data: bytes) -> None:
        raise AssertionError("built")

    monkeypatch.setitem(_STEPS, APPEND, _STEPS[APPEND]._replace(parse=build))
    with pytest.raises(DecodeError, match="AppendEntriesRequest: more than 16384 entries and other fields"):
        CODEC.decode(APPEND, batch_of(20_600, b""))
    with pytest.raises(AssertionError, match="built"):
        CODEC.decode(APPEND, batch_of(MAX_ENTRIES, field(1, 9)))


def test_an_id_that_could_be_none_is_refused_before_it_is_a_text() -> None:
    payload = field(6, field(1, 9) + field(3, bytes(MIB)))
    assert CODEC.decode(APPEND, field(1, 9) + field(2, "n" * 128) + payload) is not None
    with pytest.raises(DecodeError, match=r"AppendEntriesRequest\.leader_id: 129 bytes are no id"):
        CODEC.decode(APPEND, field(1, 9) + field(2, "n" * 129) + payload)


def test_8192_entries_may_have_64_unknown_fields_each() -> None:
    message = CODEC.decode(APPEND, batch_of(MAX_ENTRIES, field(1, 9) + ZERO * 64) + ZERO * 64)
    assert isinstance(message, AppendEntriesRequest)
    assert len(message.entries) == MAX_ENTRIES


def test_the_largest_lists_may_have_64_unknown_fields_in_every_record() -> None:
    unknown = ZERO * 64
    addresses = field(2, "a" * 60) * MAX_ADDRESSES
    peer = field(10, NODE + addresses + unknown + b"".join(field(number, 1) for number in (4, 5, 6, 7)))
    status = CODEC.decode(STATUS, NODE + unknown + peer * MAX_MEMBERS)
    assert isinstance(status, StatusResponse)
    assert {len(status.peers), *(len(peer.addresses) * 4 for peer in status.peers)} == {MAX_MEMBERS}
    members = b"".join(field(1, field(1, f"n{number}") + addresses + unknown) for number in range(MAX_MEMBERS))
    outgoing = b"".join(field(2, f"n{number}") for number in range(MAX_MEMBERS))
    piece = HEADER + field(3, 1) + field(4, 1) + field(7, bytes(DIGEST_BYTES)) + field(6, MIB) + field(9, bytes(MIB))
    snapshot = CODEC.decode(SNAPSHOT, piece + field(5, members + unknown + outgoing) + unknown)
    assert isinstance(snapshot, InstallSnapshotRequest)
    assert len(snapshot.membership.members) == len(snapshot.membership.outgoing) == MAX_MEMBERS


@pytest.mark.parametrize(
    ("kind", "record", "name"),
    [
        (STATUS, NODE + field(10, NODE) * 65, r"StatusResponse\.peers: 65 of them, and at most 64 are allowed"),
        (STATUS, NODE + field(10, field(2, "") * 17), r"StatusResponse\.peers\.addresses: 17 of them"),
        (SNAPSHOT, field(5, field(1, NODE) * 65), r"InstallSnapshotRequest\.membership\.members: 65 of them"),
        (SNAPSHOT, field(5, field(2, "n1") * 65), r"InstallSnapshotRequest\.membership\.outgoing: 65 of them"),
        (SNAPSHOT, field(5, field(1, field(2, "") * 17)), r"membership\.members\.addresses: 17 of them"),
        (SNAPSHOT, field(5, field(1, NODE) * 40) * 2, r"membership\.members: 80 of them"),
        (MessageKind.ERROR, field(4, "") * 17, r"ErrorResponse\.leader_addresses: 17 of them"),
    ],
)
def test_lists_beyond_their_limit_are_refused_by_their_name(kind: MessageKind, record: bytes, name: str) -> None:
    with pytest.raises(DecodeError, match=name):
        CODEC.decode(kind, record)


def test_text_beyond_its_ceiling_is_refused_before_the_library_makes_any(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide = "a" * MAX_TEXT_BYTES, "a" * (MAX_TEXT_BYTES - 4) + "\U0001f98b"
    for longest in (
        ErrorResponse(code="", message=wide),
        ErrorResponse(code=narrow[20_000:], message=narrow[-20_000:]),
    ):
        assert CODEC.decode(MessageKind.ERROR, CODEC.encode(longest)) == longest

    def build(data: bytes) -> None:
        raise AssertionError("built")

    monkeypatch.setitem(_STEPS, MessageKind.ERROR, _STEPS[MessageKind.ERROR]._replace(parse=build))
    end = field(15, bytes(2 * bounds.MAX_FIELDS))  # only what is longer than this is walked through
    for data in (
        field(2, "a" + narrow),
        field(2, "a" + wide),
        field(1, "é") + field(2, wide),
        field(4, narrow[1:]) * 2,
    ):
        with pytest.raises(DecodeError, match=r"ErrorResponse: more than 65536 bytes of text"):
            CODEC.decode(MessageKind.ERROR, data + end)


def test_what_is_in_an_unknown_group_is_not_looked_at() -> None:
    group_of_texts = group(15, field(2, "–" * MIB) + group(16, field(10, "–" * MIB)))
    payload = field(6, field(1, 9) + field(3, bytes(MIB)))
    assert CODEC.decode(APPEND, HEADER + group_of_texts + payload) == CODEC.decode(APPEND, HEADER + payload)
    assert CODEC.decode(STATUS, group_of_texts + NODE) == CODEC.decode(STATUS, NODE)


# -- what the looks at the bytes are worth: what they miss, the library builds


def let_pass(kind: MessageKind, data: bytes) -> bool:
    """Whether the look at the bytes finds nothing wrong."""
    try:
        _STEPS[kind].check_bounds(data)
    except DecodeError:
        return False
    return True


# The fields that are records, one in the other, and one that is text in the innermost of them.
PATHS = {APPEND: (6,), STATUS: (10,), SNAPSHOT: (5, 1)}
TEXT = 2


def soup(chance: Random, path: tuple[int, ...]) -> tuple[bytes, int]:
    """Fields of all types, records of the first of these numbers among them, and how many there are."""
    data, fields = b"", 0
    number = path[0] if path else 15
    for _ in range(chance.choice((0, 1, 2, 5))):
        width = chance.choice((1, 1, 2, 5))
        content = chance.randbytes(chance.choice((0, 0, 1, 2, 20, 200)))
        inner, inner_fields = soup(chance, path[1:]) if path else (b"", 0)
        item, item_fields = chance.choice(
            (
                (tag(number, LEN, width) + varint(len(inner), width) + inner, 1 + inner_fields),
                (tag(TEXT, LEN, width) + varint(len(content), width) + b"x" * len(content), 1),
                (tag(4, VARINT, width) + varint(chance.getrandbits(chance.randint(1, 64)), chance.randint(1, 10)), 1),
                (tag(2**29 - 1, LEN) + varint(len(content), width) + content, 1),
                (tag(15, I64, width) + bytes(8), 1),
                (tag(4, I32, width) + bytes(4), 1),
                (group(number, field(number, content)), 3),
            )
        )
        data, fields = data + item, fields + item_fields
    return data, fields


def leading_astray(chance: Random, path: tuple[int, ...]) -> bytes:
    """A soup with things in it that look like what they are not."""
    data = bytearray(soup(chance, path)[0])
    for _ in range(chance.randint(0, 2)):
        place = chance.randint(0, len(data))
        data[place : place + chance.randint(0, 2)] = chance.choice(
            (
                chance.randbytes(1),
                tag(15, START_GROUP),
                group(15, field(path[0], chance.randbytes(5))),
                group(15, field(path[0], b"\x12\x7f")),
                field(path[0], b"\x12\x7f"),
            )
        )
    return bytes(data)


def parsed(kind: MessageKind, data: bytes) -> Any:
    return getattr(raft_pb2, MESSAGE_TYPES[kind].__name__).FromString(data)


@pytest.mark.parametrize("kind", [STATUS, SNAPSHOT], ids=lambda kind: kind.name)
def test_the_walk_through_records_counts_just_what_the_library_sees(
    kind: MessageKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = Random(30)
    most = 0
    for _ in range(5_000):
        data, fields = soup(chance, PATHS[kind])
        parsed(kind, data)
        monkeypatch.setattr(bounds, "MAX_FIELDS", fields)
        assert let_pass(kind, data), data.hex()
        # A walk ends where too few bytes are left for too many fields; only a group's tags are shorter than two.
        if fields and not any(tag(number, START_GROUP) in data for number in (*PATHS[kind], 15)):
            monkeypatch.setattr(bounds, "MAX_FIELDS", fields - 1)
            assert not let_pass(kind, data), data.hex()
        most = max(most, fields)
    assert most > 20


def test_the_walk_through_a_batch_counts_just_what_the_library_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(31)
    for _ in range(5_000):
        entries = [field(6, field(3, bytes(chance.choice((0, 100, 123, 124, 125, 300, 20_000))))) for _ in range(5)]
        between, fields = soup(chance, ())
        data = between.join(entries)
        parsed(APPEND, data)
        monkeypatch.setattr(bounds, "MAX_BATCH_FIELDS", 5 + 4 * fields)
        assert let_pass(APPEND, data) or b"x" * 129 in data, data.hex()
        if tag(15, START_GROUP) not in data:
            monkeypatch.setattr(bounds, "MAX_BATCH_FIELDS", 4 + 4 * fields)
            assert not let_pass(APPEND, data), data.hex()


def items_of(kind: MessageKind, data: bytes) -> int | None:
    """How many items the library builds of that, or None if it refuses it."""
    try:
        found = parsed(kind, data)
    except ParseError:
        return None
    if kind is APPEND:
        return len(found.entries)
    records = found.peers if kind is STATUS else found.membership.members
    outgoing = 0 if kind is STATUS else len(found.membership.outgoing)
    return len(records) + sum(len(record.addresses) for record in records) + outgoing


@pytest.mark.parametrize("kind", PATHS, ids=lambda kind: kind.name)
def test_nothing_that_the_library_reads_passes_with_more_items(
    kind: MessageKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_FIELDS", 20)
    monkeypatch.setattr(bounds, "MAX_BATCH_FIELDS", 20)
    item = b"" if kind is APPEND else field(TEXT, "")
    for number in reversed(PATHS[kind]):
        item = field(number, item)
    chance = Random(32)
    few, many = 0, 0
    for _ in range(20_000):
        data = leading_astray(chance, PATHS[kind]) + item * chance.choice((0, 0, 5, 11, 30))
        items = items_of(kind, data)
        if items is not None and let_pass(kind, data):
            assert items <= 20, data.hex()
            few += 1
        many += items is not None and items > 20
    assert few > 1_000
    assert many > 1_000


@given(st.randoms(use_true_random=False))
def test_no_bound_hinders_an_honest_message(chance: Random) -> None:
    message = codec_suite.random_message(chance)
    data = ZERO * chance.choice((0, 1, 64, 2_000)) + CODEC.encode(message)
    assert CODEC.decode(MESSAGE_KINDS[type(message)], data) == message
