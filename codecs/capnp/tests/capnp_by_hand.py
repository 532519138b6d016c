"""Cap'n Proto written by hand, from the description of its encoding: the second opinion in this codec's tests.

A `Target` is something a pointer points to: how the pointer is made from the distance, and the words pointed to. Places
are counted in words of 8 bytes. https://capnproto.org/encoding.html
"""

import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from raftsdk_capnp.schema import STRUCTS

from raftsdk.types import Entry

VOID, BIT, BYTE, TWO_BYTES, FOUR_BYTES, EIGHT_BYTES, POINTER, COMPOSITE = range(8)
"""The sizes of an item in a list pointer."""

MAX_COUNT = 2**29 - 1
"""The largest count that fits into a list pointer."""


class Target(NamedTuple):
    """What a pointer points to. `pointer` takes the distance from the end of the pointer to the start of `body`."""

    pointer: Callable[[int], bytes]
    body: bytes = b""


NULL = Target(lambda _: bytes(8))


def message(*segments: bytes) -> bytes:
    """The stream framing."""
    table = struct.pack(f"<{1 + len(segments)}I", len(segments) - 1, *(len(segment) // 8 for segment in segments))
    return padded(table) + b"".join(segments)


def rooted(target: Target) -> bytes:
    """A message of one segment, whose root is `target`."""
    return message(laid_out(target))


def laid_out(*slots: bytes | Target) -> bytes:
    """The slots in a row, words as they are and targets as pointers; and after them what they point to, in order."""
    starts = [0]
    for slot in slots:
        starts.append(starts[-1] + (1 if isinstance(slot, Target) else len(slot) // 8))
    row, bodies, free = [], [], starts[-1]
    for start, slot in zip(starts, slots, strict=False):
        if isinstance(slot, Target):
            row.append(slot.pointer(free - start - 1))
            bodies.append(slot.body)
            free += len(slot.body) // 8
        else:
            row.append(slot)
    return b"".join(row + bodies)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


# -- pointers


def struct_pointer(data_words: int, pointers: int, distance: int) -> bytes:
    return struct.pack("<iHH", distance << 2, data_words, pointers)


def list_pointer(size: int, count: int, distance: int) -> bytes:
    return struct.pack("<iI", distance << 2 | 1, count << 3 | size)


def far_pointer(segment: int, word: int, *, double: bool = False) -> bytes:
    """To a landing pad: a pointer to the object or, if double, a far pointer to it and a tag."""
    return struct.pack("<II", word << 3 | double << 2 | 2, segment)


def raw(pointer: bytes, body: bytes = b"") -> Target:
    """A pointer that is these bytes, wherever it stands."""
    return Target(lambda _: pointer, body)


# -- what they point to


EMPTY_STRUCT = raw(struct_pointer(0, 0, -1))
"""Of a struct without any field; a distance of 0 would make it null."""


def struct_of(data: bytes, *pointers: Target) -> Target:
    return Target(partial(struct_pointer, len(data) // 8, len(pointers)), laid_out(data, *pointers))


def list_of(size: int, count: int, items: bytes) -> Target:
    return Target(partial(list_pointer, size, count), padded(items))


def numbers(*values: int) -> Target:
    return list_of(EIGHT_BYTES, len(values), struct.pack(f"<{len(values)}Q", *values))


def data(value: bytes) -> Target:
    return list_of(BYTE, len(value), value)


def text(value: str) -> Target:
    return data(value.encode() + b"\0")


def pointers_to(*targets: Target) -> Target:
    return list_of(POINTER, len(targets), laid_out(*targets))


def structs(*items: tuple[bytes, Sequence[Target]]) -> Target:
    """A list of structs, each given as its data and its pointers, all of one size."""
    data_words, pointers = len(items[0][0]) // 8, len(items[0][1])
    tag = struct_pointer(data_words, pointers, len(items))  # where the distance would be it has the count
    slots: list[bytes | Target] = []
    for values, targets in items:
        slots += (values, *targets)
    return Target(partial(list_pointer, COMPOSITE, len(items) * (data_words + pointers)), laid_out(tag, *slots))


# -- whole messages


def by_hand(record: Any) -> bytes:
    """What our codec has to write for `record`, a message. Only where each field stands is the library's word."""
    values, targets = _record(record, STRUCTS[type(record)].schema)
    return rooted(struct_of(values, *targets) if values or targets else EMPTY_STRUCT)


def _record(record: Any, schema: Any) -> tuple[bytes, list[Target]]:
    node = schema.node.struct
    values, targets = bytearray(8 * node.dataWordCount), [NULL] * node.pointerCount
    for name, field in zip(record.__struct_fields__, node.fields, strict=True):
        value, place = getattr(record, name), field.slot.offset
        if isinstance(value, bool):
            values[place // 8] |= value << place % 8
        elif isinstance(value, int):
            struct.pack_into("<Q", values, 8 * place, value)
        elif value:
            targets[place] = _target(value, schema.fields[field.name])
    return bytes(values), targets


def _target(value: Any, field: Any) -> Target:
    match value:
        case str():
            return text(value)
        case bytes():
            return data(value)
        case [Entry(), *_]:
            return columns(value)
        case [str(), *_]:
            return pointers_to(*map(text, value))
        case [*_]:
            return structs(*(_record(item, field.schema.elementType) for item in value))
    values, targets = _record(value, field.schema)
    return struct_of(values, *targets)


def columns(entries: Sequence[Entry]) -> Target:
    """`EntryColumns`: three lists. What all entries share stands there once."""
    terms, kinds = ([getattr(entry, name) for entry in entries] for name in ("term", "kind"))
    return struct_of(
        b"",
        numbers(*(terms[:1] if len(set(terms)) == 1 else terms)),
        numbers(*(kinds[:1] if len(set(kinds)) == 1 else kinds)),
        pointers_to(*(data(entry.data) for entry in entries)),
    )


def batch(entries: Target, *, term: int = 9, leader: Target | None = None, after: bytes = b"") -> bytes:
    """An AppendEntriesRequest by n1 that begins a log, with these `entries`; and `after` it words nobody points to."""
    target = struct_of(struct.pack("<5Q", term, 0, 0, 0, 0), text("n1") if leader is None else leader, entries)
    return message(laid_out(target) + after)
