"""Hostile MessagePack."""

from collections.abc import Iterator
from typing import Final

from raftsdk.messages import MAX_ADDRESSES
from seeds.hostile.seed import (
    APPEND,
    APPENDED,
    CHANGE,
    ERROR,
    MIB,
    PROPOSE,
    QUERY,
    SNAPSHOT,
    STATUS,
    VOTE,
    VOTED,
    Parts,
    Seed,
    filled,
)

_INTEGERS: Final[dict[str, bytes]] = {
    "true": b"\xc3",
    "false": b"\xc2",
    "nil": b"\xc0",
    "1.0 in 32 bits": b"\xca\x3f\x80\x00\x00",
    "1.0 in 64 bits": b"\xcb\x3f\xf0" + bytes(6),
    "NaN": b"\xcb\x7f\xf8" + bytes(6),
    "infinity": b"\xcb\x7f\xf0" + bytes(6),
    "text": b"\xa11",
    "bytes": b"\xc4\x011",
    "an empty array": b"\x90",
    "an array": b"\x91\x01",
    "a map": b"\x81\xa1a\x01",
    "-1": b"\xff",
    "-1 in 64 bits": b"\xd3" + b"\xff" * 8,
    "-2^63": b"\xd3\x80" + bytes(7),
    "2^63": b"\xcf\x80" + bytes(7),
    "2^64-1": b"\xcf" + b"\xff" * 8,
    "an extension": b"\xd4\x01\x01",
    "a timestamp": b"\xd6\xff\x00\x00\x00\x01",
}

_RESPONSE: Final = b"\x82\xa4term\x01\xa7success\xc3"
_BATCH: Final = b"\x83\xa4term\x07\xa9leader_id\xa2n1\xa7entries"
_UNKNOWN: Final = b"\x83\xa4term\x01\xa7success\xc3\xa3new"


def seeds() -> Iterator[Seed]:
    """All of them."""
    for name, value in _INTEGERS.items():
        why = "no integer from 0 to 2^63-1"
        yield Seed(f"{name} as a term", "8.1", APPENDED, b"\x82\xa4term" + value + b"\xa7success\xc3", why)
        columns = b"\x93\x91\x07\x91" + value + b"\x91\xc4\x00"
        yield Seed(f"{name} as an entry's kind", "8.1", APPEND, _BATCH + columns, why)
    yield from _other_values()
    yield from _names()
    yield from _documents()
    yield from _much()


def _other_values() -> Iterator[Seed]:
    for name, value in {"1": b"\x01", "0": b"\x00", "nil": b"\xc0", "text": b"\xa4true"}.items():
        yield Seed(f"{name} as a boolean", "8.4", VOTED, b"\x82\xa4term\x01\xacvote_granted" + value, "no boolean")
    for name, value in {
        "text": b"\xa1x",
        "empty text": b"\xa0",
        "nil": b"\xc0",
        "an integer": b"\x01",
        "an array of integers": b"\x91\x78",
        "an extension": b"\xd4\x01x",
    }.items():
        yield Seed(f"{name} as bytes", "8.2", PROPOSE, b"\x81\xa7command" + value, "bytes are of the bin family")
    for name, value in {
        "bytes": b"\xc4\x02n1",
        "an integer": b"\x01",
        "nil": b"\xc0",
        "an array": b"\x91\xa2n1",
        "a byte that is no UTF-8": b"\xa1\xff",
        "a surrogate in UTF-8": b"\xa3\xed\xa0\x80",
        "an overlong form": b"\xa2\xc0\xaf",
    }.items():
        yield Seed(f"{name} as text", "8.3", ERROR, b"\x82\xa4code\xa0\xa7message" + value, "no text in UTF-8")
    for value in (b"linear", b"Local"):
        query = b"\x82\xa5query\xc4\x00\xabconsistency" + bytes((0xA0 + len(value),)) + value
        yield Seed(f"consistency {value.decode()!a}", "8.9", QUERY, query, "no value of a closed enumeration")
    piece = (
        b"\x86\xa4term\x07\xa9leader_id\xa2n1\xb3last_included_index\x01\xb2last_included_term\x01"
        b"\xa6digest\xc4\x20" + bytes(32) + b"\xaamembership\x81\xa7members\x91"
    )
    king = piece + b"\x82\xa2id\xa2n1\xa8suffrage\xa4king"
    yield Seed("suffrage 'king'", "8.9", SNAPSHOT, king, "no value of a closed enumeration")
    for name, value, why in (
        ("a map", b"\x80", "three columns are due"),
        ("an integer", b"\x01", "three columns are due"),
        ("nil", b"\xc0", "three columns are due"),
        ("an array of entries", b"\x91\x83\xa4term\x07\xa4kind\x01\xa4data\xc4\x00", "three columns are due"),
        ("three terms for two payloads", b"\x93\x93\x07\x07\x07\x91\x01\x92\xc4\x00\xc4\x00", "as many, or one"),
        ("no kinds for two payloads", b"\x93\x91\x07\x90\x92\xc4\x00\xc4\x00", "as many, or one"),
        ("two terms without payloads", b"\x91\x92\x07\x07", "as many, or one"),
        ("payloads that are text", b"\x93\x91\x07\x91\x01\x91\xa1x", "payloads are of the bin family"),
        ("payloads that are nil", b"\x93\x91\x07\x91\x01\x91\xc0", "payloads are of the bin family"),
        ("a term that is no column", b"\x93\x07\x91\x01\x91\xc4\x00", "a column is an array"),
    ):
        yield Seed(f"entries: {name}", "11.3", APPEND, _BATCH + value, why)


def _names() -> Iterator[Seed]:
    why = "a name occurs twice in one map"
    for name, data in {
        "a term twice": b"\x83\xa4term\x01\xa7success\xc3\xa4term\x02",
        "the same term twice": b"\x83\xa4term\x01\xa7success\xc3\xa4term\x01",
        "a term twice, with names of two lengths of header": b"\x83\xa4term\x01\xa7success\xc3\xd9\x04term\x01",
        "a term twice in a map with a wide header": b"\xde\x00\x03\xa4term\x01\xa7success\xc3\xa4term\x01",
        "an unknown name twice": b"\x84\xa3new\x01\xa4term\x01\xa7success\xc3\xa3new\x01",
    }.items():
        yield Seed(name, "8.8", APPENDED, data, why)
    batch = b"\x84" + _BATCH[1:] + b"\x90\xa7entries\x93\x91\x07\x91\x01\x91\xc4\x00"
    yield Seed("the entries twice", "8.8", APPEND, batch, why)
    # Its payload looks like the field that is there twice.
    command = b"\x82\xa7command\xc4\x0a\xa7command\xc4\x00\xa7command\xc4\x00"
    yield Seed("a command twice", "8.8", PROPOSE, command, why)
    session = b"\x83\xa7command\xc4\x00\xaasession_id\x01\xa8sequence\x01"
    yield Seed("a sequence twice", "8.8", PROPOSE, b"\x84" + session[1:] + b"\xa8sequence\x02", why)
    member = b"\x83\xa2id\xa2n1\xabincarnation\x01\xabincarnation\x02"
    yield Seed("a member's incarnation twice", "8.8", CHANGE, b"\x81\xa7members\x91" + member, why)
    peer = b"\x83\xa7node_id\xa2n2\xa5state\xa0\xa7node_id\xa2n2"
    yield Seed("a peer's node_id twice", "8.8", STATUS, b"\x82\xa7node_id\xa2n1\xa5peers\x91" + peer, why)
    for name, data in {
        "a name that is an integer": b"\x82\x01\x01\xa7success\xc3",
        "a name that is bytes": b"\x82\xc4\x04term\x01\xa7success\xc3",
        "a name that is nil": b"\x83\xc0\x01\xa4term\x01\xa7success\xc3",
    }.items():
        yield Seed(name, "11.3", APPENDED, data, "names are of the str family")


def _documents() -> Iterator[Seed]:
    for name, data in {
        "nothing": b"",
        "nil": b"\xc0",
        "the byte that is never used": b"\xc1",
        "an array": b"\x92\x01\xc3",
        "an integer": b"\x01",
        "64 zero bytes": bytes(64),
        "64 bytes of all ones": b"\xff" * 64,
        "a map that is cut short": _RESPONSE[:-1],
        "a map of one that has none": b"\x81",
    }.items():
        yield Seed(name, "11.3", APPENDED, data, "no map, or no whole one")
    for name, extra in {"a zero": b"\x00", "an empty map": b"\x80", "a second message": _RESPONSE}.items():
        yield Seed(f"{name} behind the end", "8.8", APPENDED, _RESPONSE + extra, "nothing comes behind the end")
    for name, claim in {
        "a map of 2^32-1": b"\xdf\xff\xff\xff\xff",
        "an array of 2^32-1": b"\xdd\xff\xff\xff\xff",
        "bytes of 2^32-1": b"\xc6\xff\xff\xff\xff",
        "text of 2^32-1": b"\xdb\xff\xff\xff\xff",
        "an extension of 2^32-1": b"\xc9\xff\xff\xff\xff\x01",
    }.items():
        why = "there is not so much of it"
        yield Seed(name, "8.5", APPENDED, claim, why)
        yield Seed(f"{name} in an unknown field", "8.5", APPENDED, _UNKNOWN + claim, why)
        yield Seed(f"{name} as entries", "8.5", APPEND, _BATCH + claim, why)


def _much() -> Iterator[Seed]:
    for depth in (5_000, 100_000):
        for name, opening in {"arrays": b"\x91", "maps": b"\x81\xa1a"}.items():
            nested = (opening, depth), (b"\x00", 1)
            yield Seed(
                f"{depth:,} {name} deep as a term",
                "11.1",
                APPENDED,
                b"",
                "no integer; and no stack may overflow on the way to it",
                ((b"\x82\xa4term", 1), *nested, (b"\xa7success\xc3", 1)),
            )
    why = "a byte too many at the end, and what is before it may cost no more than 8.5 allows"
    for name, item in {
        "empty arrays": b"\x90",
        "empty maps": b"\x80",
        "empty texts": b"\xa0",
        "small integers": b"\x01",
        "extensions": b"\xd4\x01\x00",
    }.items():
        parts = (*_array(_UNKNOWN, item), (b"\x00", 1))
        yield Seed(f"a megabyte of {name} in an unknown field", "8.5", APPENDED, b"", why, parts)
    entries = _array(_BATCH + b"\x93\x91\x07\x91\x01", b"\xc4\x00")
    yield Seed("a megabyte of the smallest entries", "8.5", APPEND, b"", "more than 8,192", entries)
    terms = _array(_BATCH + b"\x91", b"\x07")
    yield Seed("a megabyte of terms", "8.5", APPEND, b"", "more than 8,192, and no payload for any", terms)
    columns = (*_array(_BATCH, b"\x90"), (b"\x00", 1))
    yield Seed("a megabyte of columns", "8.5", APPEND, b"", why, columns)
    addresses = _array(b"\x82\xa4code\xa0\xb0leader_addresses", b"\xa2ab")
    yield Seed("a megabyte of addresses", "8.5", ERROR, b"", f"more than {MAX_ADDRESSES}", addresses)
    candidate = filled(b"\x82\xa4term\x01\xaccandidate_id\xdb" + (MIB - 25).to_bytes(4), b"a", b"")
    yield Seed("a megabyte of id", "6.1", VOTE, b"", "an id has at most 128 characters", candidate)


def _array(before: bytes, item: bytes) -> Parts:
    """A megabyte that ends with an array of as many of `item` as fit."""
    count = (MIB - len(before) - 5) // len(item)
    return (before + b"\xdd" + count.to_bytes(4), 1), (item, count)
