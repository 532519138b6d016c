"""Hostile FlatBuffers: whole messages in which an offset, a length or a count was changed by hand."""

from collections.abc import Iterator
from struct import calcsize, pack
from typing import Final

from seeds.flatbuffers import table
from seeds.hostile.seed import APPEND, ERROR, PROPOSE, QUERY, SNAPSHOT, TIMEOUT, VOTED, Seed

# The size, the root, a vtable of two fields, the table with the term 7 and an offset, the text "n1".
_TIMEOUT: Final = bytes.fromhex(
    "2c000000 0c000000 0800 1400 0800 1000 08000000 00000000 0700000000000000 08000000 00000000 02000000 6e310000"
)
_SIZE, _ROOT, _VTABLE, _TABLE_SIZE, _TERM_AT, _ID_AT, _TABLE, _TERM, _ID, _LENGTH, _TEXT = (
    0,
    4,
    8,
    10,
    12,
    14,
    16,
    24,
    32,
    40,
    44,
)

# The same with a term and a bool.
_VOTED: Final = bytes.fromhex(
    "24000000 0c000000 0800 1100 0800 1000 08000000 00000000 0700000000000000 01 00000000000000"
)
_GRANTED: Final = 32

# An append of two entries, (6, 1, "ab") and (7, 0, "c").
_BATCH: Final = bytes.fromhex(
    "9c000000 1c000000 1200 3800 0800 1000 1800 2000 2800 3000 3400 000000000000 18000000 00000000 0700000000000000"
    "28000000 00000000 0000000000000000 0000000000000000 0000000000000000 14000000 44000000 02000000 6e310000 00000000"
    "02000000 060000000000000001000000000000000200000000000000 070000000000000000000000000000000100000000000000"
    "03000000 61626300"
)
_ENTRIES, _PAYLOAD, _COUNT, _FIRST_LENGTH, _SECOND_LENGTH, _PAYLOAD_LENGTH = 80, 84, 100, 120, 144, 152


def _changed(data: bytes, place: int, layout: str, value: int | bytes) -> bytes:
    return data[:place] + pack(f"<{layout}", value) + data[place + calcsize(f"<{layout}") :]


def seeds() -> Iterator[Seed]:
    """All of them."""
    yield from _buffers()
    yield from _tables()
    yield from _texts()
    yield from _entries()
    yield from _built()


def _buffers() -> Iterator[Seed]:
    for name, data, why in (
        ("nothing", b"", "no size"),
        ("half a size", b"\x00\x00", "no size"),
        ("a size of zero", bytes(4), "no root"),
        ("64 zero bytes", bytes(64), "the size is wrong; and zeros are no table"),
        ("64 zero bytes with their size", (60).to_bytes(4, "little") + bytes(60), "the root is itself"),
        ("64 bytes of all ones", b"\xff" * 64, "the size is wrong"),
        ("a buffer without its size", _VOTED[4:], "a body begins with its size"),
        ("cut short", _VOTED[:-1], "the size is wrong"),
        ("a size that is too small", _changed(_VOTED, _SIZE, "I", 35), "the size is wrong"),
        ("a size that is too large", _changed(_VOTED, _SIZE, "I", 37), "the size is wrong"),
        ("a size of 2^32-1", _changed(_VOTED, _SIZE, "I", 2**32 - 1), "the size is wrong"),
    ):
        yield Seed(name, "11.6", VOTED, data, why)
    yield Seed("a byte behind the end", "8.8", VOTED, _VOTED + b"\x00", "the size is right to the byte")
    yield Seed("a second message", "8.8", VOTED, _VOTED * 2, "the size is right to the byte")


def _tables() -> Iterator[Seed]:
    for name, place, layout, value, why in (
        ("a root at itself", _ROOT, "I", 0, "no table"),
        ("a root behind the end", _ROOT, "I", 1_000, "outside the buffer"),
        ("a root at the very end", _ROOT, "I", 43, "outside the buffer"),
        ("a root of 2^31", _ROOT, "I", 2**31, "outside the buffer"),
        ("a root of 2^32-1", _ROOT, "I", 2**32 - 1, "outside the buffer"),
        ("a vtable far before", _TABLE, "i", 2**31 - 1, "outside the buffer"),
        ("a vtable far behind", _TABLE, "i", -(2**31), "outside the buffer"),
        ("a vtable before the beginning", _TABLE, "i", 17, "outside the buffer"),
        ("a vtable of no bytes", _VTABLE, "H", 0, "a vtable has four bytes at least"),
        ("a vtable of two bytes", _VTABLE, "H", 2, "a vtable has four bytes at least"),
        ("a vtable of an odd length", _VTABLE, "H", 7, "fields of two bytes each"),
        ("a vtable of 65,534 bytes", _VTABLE, "H", 65_534, "outside the buffer"),
        ("a table of 65,535 bytes", _TABLE_SIZE, "H", 65_535, "outside the buffer"),
        ("a table that is too short for its fields", _TABLE_SIZE, "H", 8, "a field outside its table"),
        ("a term at the table's vtable", _TERM_AT, "H", 2, "a field upon the offset of the vtable"),
        ("a term at the end of the table", _TERM_AT, "H", 17, "a field outside its table"),
        ("a term 65,535 bytes on", _TERM_AT, "H", 65_535, "a field outside its table"),
        ("a leader_id 65,535 bytes on", _ID_AT, "H", 65_535, "a field outside its table"),
    ):
        yield Seed(name, "11.6", TIMEOUT, _changed(_TIMEOUT, place, layout, value), why)
    for name, term in {"2^63": 2**63, "2^64-1": 2**64 - 1}.items():
        yield Seed(f"a term of {name}", "8.1", TIMEOUT, _changed(_TIMEOUT, _TERM, "Q", term), "above 2^63-1")
    for value in (2, 255):
        yield Seed(f"a bool of {value}", "8.4", VOTED, _changed(_VOTED, _GRANTED, "B", value), "a bool is 0 or 1")
    absent = _changed(_TIMEOUT, _TERM_AT, "H", 0)
    yield Seed("a term that is absent, where 0 is out of range", "8.6", TIMEOUT, absent, "absent is zero")


def _texts() -> Iterator[Seed]:
    for name, place, layout, value, why in (
        ("at itself", _ID, "I", 0, "its length would be an offset"),
        ("behind the end", _ID, "I", 1_000, "outside the buffer"),
        ("of 2^31", _ID, "I", 2**31, "outside the buffer"),
        ("of 2^32-1", _ID, "I", 2**32 - 1, "outside the buffer"),
    ):
        yield Seed(f"leader_id: an offset {name}", "11.6", TIMEOUT, _changed(_TIMEOUT, place, layout, value), why)
    for name, place, layout, text, why in (
        ("of 2^32-1 bytes", _LENGTH, "I", 2**32 - 1, "there is not so much of it"),
        ("of 2^31 bytes", _LENGTH, "I", 2**31, "there is not so much of it"),
        ("up to the end, without its zero byte", _LENGTH, "I", 4, "a text ends with a zero byte"),
        ("of one byte and no zero behind it", _LENGTH, "I", 1, "a text ends with a zero byte"),
        ("whose zero byte is none", _TEXT + 2, "B", 1, "a text ends with a zero byte"),
        ("that is no UTF-8", _TEXT, "2s", b"\xff1", "no UTF-8"),
        ("with an overlong form", _TEXT, "2s", b"\xc0\x80", "no UTF-8"),
        ("with half a surrogate", _TEXT, "2s", b"\xed\xa0", "no UTF-8"),
    ):
        clause = "8.3" if "UTF-8" in why else "11.6"
        yield Seed(f"leader_id: a text {name}", clause, TIMEOUT, _changed(_TIMEOUT, place, layout, text), why)


def _entries() -> Iterator[Seed]:
    for name, place, layout, value, why in (
        ("2^32-1 of them", _COUNT, "I", 2**32 - 1, "there are not so many"),
        ("2^31 of them", _COUNT, "I", 2**31, "there are not so many"),
        ("one more than there is", _COUNT, "I", 3, "its length is part of the payload"),
        ("one less than the payload is for", _COUNT, "I", 1, "the lengths do not add up to the payload's"),
        ("none, and a payload", _COUNT, "I", 0, "the lengths do not add up to the payload's"),
        ("a length of 2^64-1", _FIRST_LENGTH, "Q", 2**64 - 1, "the lengths do not add up to the payload's"),
        ("a length of 2^63", _FIRST_LENGTH, "Q", 2**63, "the lengths do not add up to the payload's"),
        ("a length that is too large by one", _SECOND_LENGTH, "Q", 2, "the lengths do not add up to the payload's"),
        ("a payload that is too short", _PAYLOAD_LENGTH, "I", 2, "the lengths do not add up to the payload's"),
        ("a payload of 2^32-1 bytes", _PAYLOAD_LENGTH, "I", 2**32 - 1, "there is not so much of it"),
        ("a payload at itself", _PAYLOAD, "I", 0, "its length would be an offset"),
        ("headers at themselves", _ENTRIES, "I", 0, "their count would be an offset"),
        ("headers behind the end", _ENTRIES, "I", 10_000, "outside the buffer"),
    ):
        yield Seed(f"entries: {name}", "11.6", APPEND, _changed(_BATCH, place, layout, value), why)
    wraps = _changed(_changed(_BATCH, _FIRST_LENGTH, "Q", 2**64 - 1), _SECOND_LENGTH, "Q", 4)
    yield Seed("entries: lengths that add up in 64 bits", "11.6", APPEND, wraps, "3 is not 2^64-1 and 4")


def _built() -> Iterator[Seed]:
    local = pack("<I", 4) + pack("<I", 6) + b"linear\x00\x00"
    query = table(b"", local[:4], behind=local[4:])
    yield Seed("consistency 'linear'", "8.9", QUERY, query, "no value of a closed enumeration")
    command = table(pack("<I", 4), behind=pack("<I", 2**32 - 1) + b"x")
    yield Seed("a command of 2^32-1 bytes", "8.5", PROPOSE, command, "there is not so much of it")
    for count, what in {2**32 - 1: "2^32-1", 2**30: "2^30", 17: "17"}.items():
        vector = pack("<I", count) + pack("<I", 4) * 17 + pack("<I", 0)
        addresses = table(b"", b"", b"", pack("<I", 4), behind=vector)
        yield Seed(f"{what} addresses", "8.5", ERROR, addresses, "more than there are, or than are allowed")
    # A membership whose offset leads back to the root: an offset is never below zero, so it goes around.
    around = table(pack("<Q", 7), b"", b"", b"", pack("<I", 2**32 - 12))
    yield Seed("a membership that is the message itself", "11.6", SNAPSHOT, around, "an offset leads forward")
