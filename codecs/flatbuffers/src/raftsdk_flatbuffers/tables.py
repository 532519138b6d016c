"""Tables: records to bytes and back, field by field."""

from collections.abc import Callable
from struct import Struct, calcsize, pack
from typing import Any, Final, NamedTuple

from raftsdk_flatbuffers.reader import OFFSET_BYTES, Malformed, Reader
from raftsdk_flatbuffers.values import OFFSET, Value
from raftsdk_flatbuffers.writer import ALIGNMENT, Writer

_VTABLE_HEAD_BYTES: Final = 4


class Slot(NamedTuple):
    """A field of a table. Its number is its place in the list of them."""

    name: str
    value: Value
    attribute: str  #: Of the record: whose value is written here.


class Table:
    """The table of one type of record; `make(**values)` builds the record from values by the names of the slots.

    Our own tables hold every field, at zero or not, in the order of the schema and behind a vtable of their own, so
    that the same bytes begin each of them. Other encoders' lack some, have more, and share vtables.
    """

    def __init__(self, name: str, slots: list[Slot], make: Callable[..., Any]) -> None:
        self.name = name
        self.slots = slots
        self._make = make
        self._widths = [calcsize(f"<{slot.value.inline}") for slot in slots]
        self._offsets = []
        layout = "<"
        end = OFFSET_BYTES
        for slot, width in zip(slots, self._widths, strict=True):
            padding = -end % width
            layout += f"{padding}x{slot.value.inline}"
            self._offsets.append(end + padding)
            end += padding + width
        self._inline = Struct(f"{layout}{-end % ALIGNMENT}x")
        vtable = pack(f"<{2 + len(slots)}H", _VTABLE_HEAD_BYTES + 2 * len(slots), end, *self._offsets)
        self._vtable = vtable + bytes(-len(vtable) % ALIGNMENT)
        self._start = self._vtable + pack("<i", len(self._vtable))

    def value(self) -> Value:
        """The table as the type of a field."""
        return Value(
            self.name,
            OFFSET,
            lambda: self._make(**{slot.name: slot.value.zero() for slot in self.slots}),
            lambda writer, record, place: self.write(writer, record) - place,
            lambda reader, place: self.read(reader, reader.target(place)),
        )

    def write(self, writer: Writer, record: Any) -> int:
        """Write `record` and all it consists of; return the position of its table."""
        position = writer.position + len(self._vtable)
        reserved = writer.reserve(len(self._start) + self._inline.size)
        inline = [
            slot.value.write(writer, getattr(record, slot.attribute), position + offset)
            for slot, offset in zip(self.slots, self._offsets, strict=True)
        ]
        writer.fill(reserved, self._start + self._inline.pack(*inline))
        return position

    def read(self, reader: Reader, position: int) -> Any:
        """The record whose table is at `position`. Raises `Malformed`, whose path names the field."""
        table_bytes, offsets = reader.table(position, len(self.slots))
        values = {}
        try:
            for slot, offset, width in zip(self.slots, offsets, self._widths, strict=True):
                if not offset:
                    values[slot.name] = slot.value.zero()
                elif OFFSET_BYTES <= offset <= table_bytes - width:
                    values[slot.name] = slot.value.read(reader, position + offset)
                else:
                    raise Malformed(f"{width} bytes at {offset} of a table of {table_bytes}")
        except Malformed as error:
            raise Malformed(error.problem, f".{slot.name}{error.path}") from None
        return self._make(**values)
