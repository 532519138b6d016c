"""What a megabyte of hostile FlatBuffers costs: at most 50 ms, and four times its length and a megabyte of memory.

The codec is Python through and through, so tracemalloc sees all the memory it takes.
"""

import time
import tracemalloc
from random import Random
from struct import pack
from typing import Final, NamedTuple

import pytest
from raftsdk_flatbuffers import FlatbuffersCodec

from raftsdk.errors import DecodeError
from raftsdk.messages import (
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
    ProposeRequest,
    StatusResponse,
)
from raftsdk.types import MAX_INTEGER, Entry

CODEC = FlatbuffersCodec()
MIB: Final = 1024 * 1024
MAX_SECONDS: Final = 0.5  # ten times what is allowed: a machine may be busy

# In the order of their schemas.
ADDRESSES_OF_AN_ERROR, ADDRESSES_OF_A_PEER, ADDRESSES_OF_A_MEMBER = 3, 1, 1
PEERS, ENTRIES, DIGEST, DATA, MEMBERSHIP, MEMBERS = 9, 5, 6, 8, 4, 0

ALL_WIDTHS = "é日\U0001f98b"
"""Makes Python widen a text three times."""


class Hostile(NamedTuple):
    """Bytes, of which message they are said to be, and whether they are refused."""

    message_type: type[Message]
    data: bytes
    refused: bool


# -- buffers by hand


def table(fields: dict[int, int], behind: bytes) -> tuple[bytes, int]:
    """A table and what lies behind it, and where in that it begins. Each field is an offset to a place behind it."""
    places = {number: 4 + 4 * index for index, number in enumerate(fields)}
    end = 4 + 4 * len(fields)
    slots = [places.get(number, 0) for number in range(max(fields) + 1)]
    vtable = pack(f"<{2 + len(slots)}H", 4 + 2 * len(slots), end, *slots)
    offsets = [end + target - places[number] for number, target in fields.items()]
    return vtable + pack(f"<i{len(offsets)}I", len(vtable), *offsets) + behind, len(vtable)


def buffer(fields: dict[int, int], behind: bytes) -> bytes:
    """A message of that table."""
    body, start = table(fields, behind)
    return pack("<II", 4 + len(body), 4 + start) + body


def offsets_to(target: int, count: int, behind: bytes) -> bytes:
    """A vector of `count` offsets, all of them to the same place behind it."""
    return pack(f"<{1 + count}I", count, *(4 * (count - index) + target for index in range(count))) + behind


def text(utf8: bytes) -> bytes:
    return pack("<I", len(utf8)) + utf8 + b"\x00"


# -- the worst of them


def batch(data: bytes) -> bytes:
    """As many entries as are allowed, no number of them small enough to be one that Python keeps ready."""
    entries = [Entry(MAX_INTEGER - MAX_ENTRIES + number, MAX_INTEGER, data) for number in range(MAX_ENTRIES)]
    return CODEC.encode(
        AppendEntriesRequest(
            term=MAX_INTEGER, leader_id="n1", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=entries
        )
    )


def texts_in_each_other() -> bytes:
    """Sixteen addresses, each of them nearly all that follows: every four bytes are a length as well as text."""
    length = 0x000E4143  # as bytes "CA", 14, 0: ASCII, and ends where a zero byte follows
    addresses = [4 * (MAX_ADDRESSES - index) + 4 * index for index in range(MAX_ADDRESSES)]
    return buffer(
        {ADDRESSES_OF_AN_ERROR: 0},
        pack(f"<{1 + MAX_ADDRESSES}I", MAX_ADDRESSES, *addresses) + pack("<I", length) * ((MIB - 200) // 4),
    )


def shared_by_all_peers(utf8: bytes) -> bytes:
    """64 times the same peer, with 16 times the same address."""
    peer, start = table({ADDRESSES_OF_A_PEER: 0}, offsets_to(0, MAX_ADDRESSES, text(utf8)))
    return buffer({PEERS: 0}, offsets_to(start, MAX_MEMBERS, peer))


def shared_by_all_members(utf8: bytes) -> bytes:
    """64 times the same member, with 16 times the same address."""
    member, member_start = table({ADDRESSES_OF_A_MEMBER: 0}, offsets_to(0, MAX_ADDRESSES, text(utf8)))
    membership, start = table({MEMBERS: 0}, offsets_to(member_start, MAX_MEMBERS, member))
    return buffer({MEMBERSHIP: start}, membership)


def error(message: str = "", addresses: tuple[str, ...] = ()) -> bytes:
    return CODEC.encode(ErrorResponse(code="", message=message, leader_addresses=list(addresses)))


def wide(size: int) -> str:
    return ALL_WIDTHS + "a" * (size - len(ALL_WIDTHS.encode()))


HOSTILE = {
    "as many entries as allowed, empty": Hostile(AppendEntriesRequest, batch(b""), refused=False),
    "as many entries as allowed, of two bytes": Hostile(AppendEntriesRequest, batch(b"ab"), refused=False),
    "as many entries as allowed, a megabyte": Hostile(AppendEntriesRequest, batch(bytes(104)), refused=False),
    "more entries than allowed": Hostile(
        AppendEntriesRequest, buffer({ENTRIES: 0}, pack("<I", MIB // 24) + bytes(MIB)), refused=True
    ),
    "more addresses than allowed": Hostile(
        ErrorResponse, buffer({ADDRESSES_OF_AN_ERROR: 0}, offsets_to(0, MIB // 4, text(b""))), refused=True
    ),
    "more entries than there are bytes": Hostile(
        AppendEntriesRequest, buffer({ENTRIES: 0}, pack("<I", 2**32 - 1) + bytes(64)), refused=True
    ),
    "a text of a megabyte": Hostile(ErrorResponse, error("a" * MIB), refused=True),
    "a wide text of a megabyte": Hostile(ErrorResponse, error(wide(MIB)), refused=True),
    "a megabyte of wide texts": Hostile(
        ErrorResponse, error(addresses=(wide(MAX_TEXT_BYTES),) * MAX_ADDRESSES), refused=True
    ),
    "as long a wide text as may be": Hostile(ErrorResponse, error(wide(MAX_TEXT_BYTES)), refused=False),
    "as long wide texts as may be": Hostile(
        ErrorResponse, error(addresses=(wide(MAX_TEXT_BYTES // MAX_ADDRESSES),) * MAX_ADDRESSES), refused=False
    ),
    "texts in each other": Hostile(ErrorResponse, texts_in_each_other(), refused=True),
    "a short text shared by all peers": Hostile(StatusResponse, shared_by_all_peers(wide(64).encode()), refused=True),
    "a long text shared by all peers": Hostile(StatusResponse, shared_by_all_peers(b"a" * MIB), refused=True),
    "a text shared by all members": Hostile(
        InstallSnapshotRequest, shared_by_all_members(wide(64).encode()), refused=True
    ),
    "bytes that are digest and data at once": Hostile(
        InstallSnapshotRequest, buffer({DIGEST: 0, DATA: 0}, pack("<I", MIB) + bytes(MIB)), refused=True
    ),
    "a command of a megabyte": Hostile(ProposeRequest, CODEC.encode(ProposeRequest(command=bytes(MIB))), refused=False),
    "as many unknown fields as a table may have": Hostile(
        ErrorResponse, buffer(dict.fromkeys(range(5, 16_000), 0), bytes(MIB)), refused=False
    ),
    "noise": Hostile(StatusResponse, Random(18).randbytes(MIB), refused=True),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_or_read_as_expected(name: str) -> None:
    message_type, data, refused = HOSTILE[name]
    assert (outcome(message_type, data) is None) is refused


@pytest.mark.parametrize("view", [bytes, memoryview], ids=lambda view: view.__name__)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_cost_at_most_four_times_their_length_and_a_megabyte(
    name: str, view: type[bytes] | type[memoryview]
) -> None:
    message_type, data, _ = HOSTILE[name]
    tracemalloc.start()
    try:
        kept = outcome(message_type, view(data))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * len(data) + MIB, f"{peak / len(data):.1f} times the input, for {type(kept).__name__}"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_take_no_longer_than_honest_ones(name: str) -> None:
    message_type, data, _ = HOSTILE[name]
    start = time.perf_counter()
    outcome(message_type, data)
    assert time.perf_counter() - start < MAX_SECONDS


def test_bytes_of_one_message_asked_for_as_another_cost_no_more() -> None:
    for _, data, _ in HOSTILE.values():
        for message_type in MESSAGE_TYPES.values():
            start = time.perf_counter()
            outcome(message_type, data)
            assert time.perf_counter() - start < MAX_SECONDS


@pytest.mark.parametrize("message", ["a" * (MAX_TEXT_BYTES + 1), wide(MAX_TEXT_BYTES + 1), "a" * MIB, wide(MIB)])
def test_a_text_that_is_too_long_is_refused_by_its_name_before_it_is_made(message: str) -> None:
    data = error(message)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=r"ErrorResponse\.message: .* more than 65536 bytes of text"):
            CODEC.decode(MessageKind.ERROR, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MAX_TEXT_BYTES


def test_a_shared_text_counts_as_often_as_it_is_read() -> None:
    text_bytes = MAX_TEXT_BYTES // 8
    eight, nine = (
        buffer({ADDRESSES_OF_AN_ERROR: 0}, offsets_to(0, shares, text(b"a" * text_bytes))) for shares in (8, 9)
    )
    assert len(nine) < text_bytes + 100
    assert CODEC.decode(MessageKind.ERROR, eight) == ErrorResponse(code="", leader_addresses=["a" * text_bytes] * 8)
    with pytest.raises(DecodeError, match=r"leader_addresses\[8\]: .* more than 65536 bytes of text"):
        CODEC.decode(MessageKind.ERROR, nine)


def outcome(message_type: type[Message], data: bytes | memoryview) -> Message | None:
    """The message, or None for one that is refused."""
    try:
        return CODEC.decode(MESSAGE_KINDS[message_type], data)
    except DecodeError:
        return None
