"""The types of the schema's fields, each with its way in and its way out.

A number or a truth stands in its table; for anything else an offset stands there, counted from its own place.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from struct import pack
from typing import Any, Final, NamedTuple

from raftsdk_flatbuffers.reader import OFFSET_BYTES, Malformed, Reader
from raftsdk_flatbuffers.writer import ALIGNMENT, Writer

OFFSET: Final = "I"
"""What `struct` calls an offset."""

MAX_SHOWN_CHARS: Final = 64


class Value(NamedTuple):
    """A type of field."""

    schema: str  #: What raft.fbs calls it.
    inline: str  #: What `struct` calls what stands at the field's place.
    zero: Callable[[], Any]  #: Makes what an absent field stands for.
    write: Callable[[Writer, Any, int], int]  #: Writes the rest of the value; returns what has to stand at the place.
    read: Callable[[Reader, int], Any]  #: The value at the place, checked and copied.


def _stands_there(_: Writer, value: int, __: int) -> int:
    return value


UNSIGNED: Final = Value("ulong", "Q", int, _stands_there, Reader.unsigned)
BOOLEAN: Final = Value("bool", "B", bool, _stands_there, Reader.boolean)
TEXT: Final = Value("string", OFFSET, str, Writer.text, Reader.text)
BYTES: Final = Value("[ubyte]", OFFSET, bytes, Writer.copy, Reader.copy)


def enumeration(members: type[Enum]) -> Value:
    """One of these texts. The empty one stands for the first."""
    known = {member.value: member for member in members}
    first = next(iter(members))

    def read(reader: Reader, place: int) -> Enum:
        text = reader.text(place)
        if text and text not in known:
            raise Malformed(f"{text[:MAX_SHOWN_CHARS]!a} is none of {', '.join(known)}")
        return known.get(text, first)

    return Value("string", OFFSET, lambda: first, Writer.text, read)


def listed(item: Value, limit: int, make: Callable[[Sequence[Any]], Sequence[Any]]) -> Value:
    """At most `limit` texts or tables: a vector of the offsets that lead to them. `make` is `list` or `tuple`."""

    def write(writer: Writer, values: Sequence[Any], place: int) -> int:
        position = writer.position
        size = OFFSET_BYTES * (1 + len(values))
        padding = -size % ALIGNMENT
        reserved = writer.reserve(size + padding)
        places = range(position + OFFSET_BYTES, position + size, OFFSET_BYTES)
        offsets = [item.write(writer, value, there) for value, there in zip(values, places, strict=True)]
        writer.fill(reserved, pack(f"<{1 + len(values)}I{padding}x", len(values), *offsets))
        return position - place

    def read(reader: Reader, place: int) -> Sequence[Any]:
        start, count = reader.vector(place, OFFSET_BYTES, limit)
        return make([read_item(reader, start, index) for index in range(count)])

    def read_item(reader: Reader, start: int, index: int) -> Any:
        try:
            return item.read(reader, start + OFFSET_BYTES * index)
        except Malformed as error:
            raise Malformed(error.problem, f"[{index}]{error.path}") from None

    return Value(f"[{item.schema}]", OFFSET, lambda: make(()), write, read)
