"""Hostile protobuf."""

from collections.abc import Iterator
from typing import Final

from raftsdk.messages import MAX_ADDRESSES
from seeds.hostile.seed import (
    APPEND,
    APPENDED,
    ERROR,
    OPEN_SESSION,
    PROPOSE,
    QUERY,
    SNAPSHOT,
    TAKE_SNAPSHOT,
    VOTE,
    VOTED,
    Parts,
    Seed,
)
from seeds.protobuf import END_OF_GROUP, FIXED_32, FIXED_64, GROUP, LENGTH, VARINT, field, tag, varint

_MIB: Final = 1024 * 1024
_BATCH: Final = field(1, 7) + field(2, b"n1")


def seeds() -> Iterator[Seed]:
    """All of them."""
    yield from _values()
    yield from _fields()
    yield from _lengths()
    yield from _much()


def _values() -> Iterator[Seed]:
    why = "an integer is at most 2^63-1"
    for name, number in {"2^63": 2**63, "2^64-1": 2**64 - 1, "-1, as a signed writer has it": -1}.items():
        yield Seed(f"{name} as a term", "8.1", APPENDED, field(1, number) + field(2, 1), why)
        yield Seed(f"{name} as an entry's kind", "8.1", APPEND, _BATCH + field(6, field(1, 7) + field(2, number)), why)
    for name, value in {
        "a byte that is no UTF-8": b"\xff",
        "a surrogate in UTF-8": b"\xed\xa0\x80",
        "an overlong form": b"\xc0\xaf",
        "half a character": b"\xc3",
    }.items():
        yield Seed(f"{name} as text", "8.3", ERROR, field(1, b"") + field(2, value), "no text in UTF-8")
    for value in (b"linear", b"Local"):
        query = field(1, b"") + field(2, value)
        yield Seed(f"consistency {value.decode()!a}", "8.9", QUERY, query, "no value of a closed enumeration")
    member = field(5, field(1, field(1, b"n1") + field(3, b"king")))
    piece = field(1, 7) + field(2, b"n1") + field(3, 1) + field(4, 1) + member + field(7, bytes(32))
    yield Seed("suffrage 'king'", "8.9", SNAPSHOT, piece, "no value of a closed enumeration")
    yield Seed("nothing, as an append", "9.2", APPEND, b"", "its term would be 0, and its leader nobody")
    yield Seed("nothing, as a vote", "9.4", VOTE, b"", "its term would be 0, and its candidate nobody")
    yield Seed("an empty entry", "8.10", APPEND, _BATCH + field(6, b""), "its term would be 0")


def _fields() -> Iterator[Seed]:
    for name, data, why in (
        ("field number 0", tag(0, VARINT) + b"\x01", "there is no such number"),
        ("wire type 6", field(1, 1) + tag(3, 6) + b"\x01", "there is no such type"),
        ("wire type 7", field(1, 1) + tag(3, 7) + b"\x01", "there is no such type"),
        ("an end of a group that never began", field(1, 1) + tag(9, END_OF_GROUP), "nothing to end"),
        ("a group without an end", field(1, 1) + tag(9, GROUP) + field(1, 1), "cut short"),
        ("a group with the end of another", tag(9, GROUP) + tag(8, END_OF_GROUP), "not its end"),
        ("64 zero bytes", bytes(64), "field number 0"),
        ("64 bytes of all ones", b"\xff" * 64, "no tag"),
    ):
        yield Seed(name, "11.4", APPENDED, data, why)
    for kind in (OPEN_SESSION, TAKE_SNAPSHOT):
        yield Seed(f"64 zero bytes, as {kind.name.lower()}", "11.4", kind, bytes(64), "field number 0")


def _lengths() -> Iterator[Seed]:
    for name, data, kind in (
        ("a varint without an end", tag(1, VARINT) + b"\x80", APPENDED),
        ("a varint of 11 bytes", tag(1, VARINT) + b"\x80" * 10 + b"\x01", APPENDED),
        ("a tag without a value", tag(1, VARINT), APPENDED),
        ("half of 64 bits in an unknown field", field(1, 1) + tag(9, FIXED_64) + bytes(4), APPENDED),
        ("half of 32 bits in an unknown field", field(1, 1) + tag(9, FIXED_32) + bytes(2), APPENDED),
        ("a command without a length", tag(1, LENGTH), PROPOSE),
        ("a command that is cut short", tag(1, LENGTH) + varint(5) + b"four", PROPOSE),
        ("a command of 2^31-1 bytes", tag(1, LENGTH) + varint(2**31 - 1) + b"x", PROPOSE),
        ("a command of 2^32-1 bytes", tag(1, LENGTH) + varint(2**32 - 1) + b"x", PROPOSE),
        ("a command of 2^64-1 bytes", tag(1, LENGTH) + varint(2**64 - 1) + b"x", PROPOSE),
        ("an unknown field of 2^32-1 bytes", field(1, 1) + tag(9, LENGTH) + varint(2**32 - 1) + b"x", VOTED),
        ("an entry that is longer than the message", _BATCH + tag(6, LENGTH) + varint(9) + field(1, 7), APPEND),
        ("an entry whose data is longer than it", _BATCH + field(6, field(1, 7) + tag(3, LENGTH) + b"\x09x"), APPEND),
    ):
        yield Seed(name, "11.4", kind, data, "cut short, or more is claimed than there is")
    yield Seed("a byte behind the end", "8.8", PROPOSE, field(1, b"x") + b"\x0a", "a tag without a value")


def _much() -> Iterator[Seed]:
    for depth in (200, 100_000):
        groups = (tag(9, GROUP), depth), (tag(9, END_OF_GROUP), depth)
        open_groups = ((field(1, 1), 1), (tag(9, GROUP), depth))
        yield Seed(f"{depth:,} groups that nobody ends", "11.1", APPENDED, b"", "cut short", open_groups)
        tail = ((b"\x00", 1),)
        yield Seed(f"{depth:,} groups deep", "11.1", APPENDED, b"", "field number 0 at its end", (*groups, *tail))
    entry = field(6, field(1, 7))
    yield Seed("a megabyte of the smallest entries", "8.5", APPEND, b"", "more than 8,192", _filled(_BATCH, entry))
    empty = field(6, b"")
    yield Seed("a megabyte of empty entries", "8.5", APPEND, b"", "more than 8,192", _filled(_BATCH, empty))
    addresses = _filled(b"", field(4, b""))
    yield Seed("a megabyte of empty addresses", "8.5", ERROR, b"", f"more than {MAX_ADDRESSES}", addresses)
    members = _filled(field(1, 7) + field(2, b"n1") + field(3, 1) + field(4, 1), field(5, field(1, b"")))
    yield Seed("a megabyte of empty members", "8.5", SNAPSHOT, b"", "more than 64, and none has an id", members)
    unknown = (*_filled(field(1, 1), field(9, 1)), (b"\x00", 1))
    yield Seed("a megabyte of unknown fields", "8.5", APPENDED, b"", "field number 0 at its end", unknown)


def _filled(before: bytes, item: bytes) -> Parts:
    """A megabyte that ends with as many of `item` as fit."""
    return (before, 1), (item, (_MIB - len(before) - 1) // len(item))
