"""Hostile Cap'n Proto, put together word by word."""

from collections.abc import Iterator
from typing import Final

from seeds.capnp import BIT, BYTE, COMPOSITE, EIGHT_BYTES, POINTER, VOID, far, framed, items, struct, word
from seeds.hostile.seed import APPEND, ERROR, PROPOSE, QUERY, SNAPSHOT, TIMEOUT, VOTED, Parts, Seed

_DIGEST: Final = bytes(32)


_VOTED: Final = framed(struct(0, 2, 0), word(7), word(1))


def seeds() -> Iterator[Seed]:
    """All of them."""
    yield from _tables()
    yield from _roots()
    yield from _texts_and_bytes()
    yield from _columns()
    yield from _lists()
    yield from _sharing()


def _tables() -> Iterator[Seed]:
    for name, data, why in (
        ("nothing", b"", "no table of segments"),
        ("half a table", bytes(4), "no table of segments"),
        ("a segment of no words", bytes(8), "no root"),
        ("64 zero bytes", bytes(64), "more than the table tells of"),
        ("64 bytes of all ones", b"\xff" * 64, "2^32 segments"),
        ("cut after the root", _VOTED[:16], "less than the table tells of"),
        ("cut in the middle of a word", _VOTED[:-3], "less than the table tells of"),
        ("a segment of 2^32-1 words", bytes(4) + b"\xff" * 4 + _VOTED[8:], "less than the table tells of"),
        ("a table of 2^32 segments", b"\xff" * 4 + _VOTED[4:], "there are not so many bytes"),
        ("a table of 512 segments and no more", (511).to_bytes(4, "little") + bytes(4), "the table is cut short"),
        ("packed", bytes.fromhex("10031002010701ff"), "bodies are not packed"),
    ):
        yield Seed(name, "11.5", VOTED, data, why)
    yield Seed("a word behind the end", "8.8", VOTED, _VOTED + bytes(8), "the table accounts for all of the body")
    yield Seed("a byte behind the end", "8.8", VOTED, _VOTED + b"\x00", "the table accounts for all of the body")
    yield Seed("a second message", "8.8", VOTED, _VOTED * 2, "the table accounts for all of the body")


def _roots() -> Iterator[Seed]:
    for name, root, why in (
        ("far behind the end", struct(2**28, 2, 0), "outside the message"),
        ("just behind the end", struct(1, 2, 0), "outside the message"),
        ("before the beginning", struct(-3, 2, 0), "outside the message"),
        ("of 65,535 words", struct(0, 65_535, 0), "more than there is"),
        ("of 65,535 pointers", struct(0, 0, 65_535), "more than there is"),
        ("that is a list", items(0, EIGHT_BYTES, 2), "no struct"),
        ("that is a capability", word(3), "no struct"),
        ("in a segment that is not there", far(1, 0), "no such segment"),
        ("that is its own landing pad", far(0, 0), "it never leads anywhere"),
        ("that is its own landing pad, doubly far", far(0, 0, double=True), "it never leads anywhere"),
    ):
        yield Seed(f"a root {name}", "11.5", VOTED, framed(root, word(7), word(1)), why)
    yield Seed("a root that is null, as an append", "9.2", APPEND, framed(word(0)), "its term would be 0")


def _texts_and_bytes() -> Iterator[Seed]:
    for name, text, content, why in (
        ("without its zero byte", items(0, BYTE, 2), b"n1", "a text ends with a zero byte"),
        ("of no bytes at all, not even zero", items(0, BYTE, 1), b"n", "a text ends with a zero byte"),
        ("far behind the end", items(2**28, BYTE, 3), b"n1", "outside the message"),
        ("before the beginning", items(-9, BYTE, 3), b"n1", "outside the message"),
        ("of 2^29-1 bytes", items(0, BYTE, 2**29 - 1), b"n1", "there is not so much of it"),
        ("of words", items(0, EIGHT_BYTES, 1), b"n1", "another type"),
        ("of bits", items(0, BIT, 24), b"n1", "another type"),
        ("of no size", items(0, VOID, 3), b"n1", "another type"),
        ("that is a struct", struct(0, 1, 0), b"n1", "another type"),
        ("that is a capability", word(3), b"n1", "another type"),
        ("in a segment that is not there", far(9, 0), b"n1", "no such segment"),
    ):
        data = framed(struct(0, 1, 1), word(7), text, content.ljust(8, b"\x00"))
        yield Seed(f"leader_id: a text {name}", "11.5", TIMEOUT, data, why)
    for name, content in {
        "a byte that is no UTF-8": b"\xff\x00",
        "a surrogate": b"\xed\xa0\x80\x00",
        "an overlong form": b"\xc0\xaf\x00",
        "half a character": b"\xc3\x00",
    }.items():
        message = framed(
            struct(0, 1, 4), word(0), word(0), items(2, BYTE, len(content)), word(0), word(0), content.ljust(8, b"\x00")
        )
        yield Seed(f"{name} as text", "8.3", ERROR, message, "no text in UTF-8")
    command = framed(struct(0, 0, 1), items(0, BYTE, 9), word(0))
    yield Seed("a command of more bytes than there are", "11.5", PROPOSE, command, "there is not so much of it")
    shape = framed(struct(0, 0, 1), items(0, EIGHT_BYTES, 1), word(0))
    yield Seed("a command of words", "8.2", PROPOSE, shape, "bytes are lists of bytes")
    for value in (b"linear\x00", b"Local\x00"):
        query = framed(struct(0, 0, 2), word(0), items(0, BYTE, len(value)), value.ljust(8, b"\x00"))
        yield Seed(f"consistency {value[:-1].decode()!a}", "8.9", QUERY, query, "no value of a closed enumeration")


def _batch(*columns: bytes) -> bytes:
    """An append in term 7 whose `entries` are these words."""
    root = (struct(0, 4, 2), word(7), word(0), word(0), word(0))
    return framed(*root, items(1, BYTE, 3), struct(1, 0, 3), b"n1".ljust(8, b"\x00"), *columns)


def _columns() -> Iterator[Seed]:
    terms, kinds, empty = word(7) * 2, word(1) * 2, items(0, BYTE, 0)
    one = items(2, EIGHT_BYTES, 1)  # a column of one item, when there are three columns of one before their items
    for name, columns, why in (
        (
            "three terms for two payloads",
            (
                items(2, EIGHT_BYTES, 3),
                items(4, EIGHT_BYTES, 2),
                items(5, POINTER, 2),
                word(7),
                terms,
                kinds,
                empty * 2,
            ),
            "a column has as many items as there are entries, or one",
        ),
        (
            "no kinds for two payloads",
            (items(2, EIGHT_BYTES, 2), word(0), items(2, POINTER, 2), terms, empty * 2),
            "a column has as many items as there are entries, or one",
        ),
        (
            "payloads that are texts of pointers",
            (one, one, items(2, BYTE, 8), word(7), word(1), word(0)),
            "another type",
        ),
        (
            "terms of half a word",
            (items(2, 4, 2), one, items(2, POINTER, 2), word(7), word(1), empty * 2),
            "another type",
        ),
        (
            "2^29-1 terms of no size",
            (items(2, VOID, 2**29 - 1), one, items(2, POINTER, 1), word(0), word(1), empty),
            "another type, and no loop may run so long",
        ),
        (
            "2^29-1 payloads",
            (one, one, items(2, POINTER, 2**29 - 1), word(7), word(1), empty),
            "there are not so many",
        ),
        (
            "half a milliard payloads of structs without content",
            (one, one, items(2, COMPOSITE, 0), word(7), word(1), word((2**29 - 1) << 2)),
            "no bytes, and no loop may run so long",
        ),
        (
            "a payload that points to itself",
            (one, one, items(2, POINTER, 1), word(7), word(1), items(-1, BYTE, 2**20)),
            "there is not so much of it",
        ),
    ):
        yield Seed(f"entries: {name}", "11.5", APPEND, _batch(*columns), why)
    listed = framed(
        struct(0, 4, 2),
        word(7),
        word(0),
        word(0),
        word(0),
        items(1, BYTE, 3),
        items(1, EIGHT_BYTES, 1),
        b"n1".ljust(8, b"\x00"),
        word(7),
    )
    yield Seed("entries that are a list", "11.5", APPEND, listed, "columns are a struct")


def _lists() -> Iterator[Seed]:
    for name, pointer, why in (
        ("2^29-1 addresses", items(0, POINTER, 2**29 - 1), "there are not so many, and 16 are allowed"),
        ("addresses of bytes", items(0, BYTE, 8), "another type"),
        ("2^29-1 addresses of no size", items(0, VOID, 2**29 - 1), "another type, and no loop may run so long"),
    ):
        data = framed(struct(0, 1, 4), word(0), word(0), word(0), word(0), pointer, word(0))
        yield Seed(name, "8.5", ERROR, data, why)
    for name, membership, why in (
        ("a membership that is its own list of members", (struct(0, 0, 2), items(-1, COMPOSITE, 2), word(0)), "no tag"),
        ("a membership that contains itself", (struct(-1, 0, 1),), "it never ends"),
        ("members with a tag for more than there is", _members(4, word(2**10 << 2 | 3 << 48)), "not so many"),
        ("members with a tag that is a list", _members(2, items(0, BYTE, 1)), "no tag"),
    ):
        yield Seed(name, "11.5", SNAPSHOT, _snapshot(*membership), why)


def _members(words: int, tag: bytes) -> tuple[bytes, ...]:
    """A membership whose members are so many words behind a tag."""
    return struct(0, 0, 2), items(1, COMPOSITE, words), word(0), tag, word(0) * words


def _snapshot(*membership: bytes) -> bytes:
    """A piece of an empty snapshot, its membership at the end."""
    numbers = (word(7), word(1), word(1), word(0), word(0))
    pointers = (
        items(3, BYTE, 3),
        struct(7, 0, 2) if len(membership) > 1 else membership[0],
        items(2, BYTE, 32),
        word(0),
    )
    head = framed(struct(0, 5, 4), *numbers, *pointers, b"n1".ljust(8, b"\x00"), _DIGEST)
    data = head[8:] + b"".join(membership[1:])
    return bytes(4) + (len(data) // 8).to_bytes(4, "little") + data


def _sharing() -> Iterator[Seed]:
    """Many payloads that are the same bytes: a small message that would be a large one."""
    count, size = 64, 16_384
    column = items(2, EIGHT_BYTES, 1)
    head = _batch(column, column, items(2, POINTER, count), word(7), word(1))
    pointers = b"".join(items(count - 1 - place, BYTE, size) for place in range(count))
    length = (len(head) - 8 + len(pointers) + size) // 8
    start = bytes(4) + length.to_bytes(4, "little") + head[8:] + pointers
    parts: Parts = (start, 1), (b"\x00", size)
    yield Seed("64 payloads that share 16 KiB", "8.5", APPEND, b"", "more would be read than the body holds", parts)
