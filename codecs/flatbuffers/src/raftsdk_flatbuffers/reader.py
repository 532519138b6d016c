"""Bytes of strangers, read with every bound checked. Nothing else in this package looks into them.

The library has no verifier for Python. Its accessors return the length that a vector claims, cut texts short in
silence, take 64 zero bytes for a table, and raise whatever `struct` raises, at the first access or the hundredth. So
here nothing is lazy and nothing believed: offsets lead forward and to the inside, and a count is multiplied before it
is used. Nor is there a way back up, so what is read is as deep as the schema and no deeper.
"""

from struct import Struct, unpack_from
from typing import Final

from raftsdk.messages import MAX_TEXT_BYTES
from raftsdk.types import MAX_INTEGER

OFFSET_BYTES: Final = 4

_UNSIGNED = Struct("<Q")
_OFFSET = Struct("<I")
_TABLE_TO_VTABLE = Struct("<i")
_VTABLE_HEAD = Struct("<HH")


class Malformed(Exception):
    """These bytes are no FlatBuffer of that schema: what is wrong, and the path to where (`.peers[3].codec`)."""

    def __init__(self, problem: str, path: str = "") -> None:
        self.problem = problem
        self.path = path
        super().__init__(problem)


class Reader:
    """One size-prefixed FlatBuffer. A *place* is where a value stands in it, or the offset that leads to one.

    Places handed in must be those of fields and items found here: they are known to lie inside. Every method raises
    `Malformed`, and nothing else. Alignment is not looked at, for nothing is read in place.
    """

    __slots__ = ("_data", "_length", "_text_bytes_left")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._length = len(data)
        self._text_bytes_left = MAX_TEXT_BYTES

    def root(self) -> int:
        """The position of the outermost table.

        A FlatBuffer has no end of its own: what nothing points to may belong to fields we do not know. So the size
        before it has to be that of all that follows, to the byte, as the verifier of C++ has it too.
        """
        if self._length < 2 * OFFSET_BYTES:
            raise Malformed(f"{self._length} bytes, too few for a size and an offset")
        size: int = _OFFSET.unpack_from(self._data)[0]
        if size != self._length - OFFSET_BYTES:
            raise Malformed(f"the size before the buffer is {size}, and {self._length - OFFSET_BYTES} bytes follow it")
        return self.target(OFFSET_BYTES)

    def target(self, place: int) -> int:
        """The position that the offset at `place` leads to, with room for a length or an offset there."""
        offset: int = _OFFSET.unpack_from(self._data, place)[0]
        if not OFFSET_BYTES <= offset <= self._length - OFFSET_BYTES - place:
            raise Malformed(f"the offset at {place} is {offset}, which leads nowhere in {self._length} bytes")
        return place + offset

    def unsigned(self, place: int) -> int:
        """An integer."""
        value: int = _UNSIGNED.unpack_from(self._data, place)[0]
        if value > MAX_INTEGER:
            raise Malformed(f"{value} is not in 0..{MAX_INTEGER}")
        return value

    def boolean(self, place: int) -> bool:
        """A truth: one byte, 0 or 1."""
        value = self._data[place]
        if value > 1:
            raise Malformed(f"{value} is neither 0 nor 1")
        return value == 1

    def text(self, place: int) -> str:
        """A string: a vector of UTF-8, and a zero byte that does not count.

        All of them together are bounded here, before there is one. An encoder may write a text once that occurs often
        (`CreateSharedString`); a hostile one writes a megabyte once, and each of 1,024 addresses is in it.
        """
        start, count = self.vector(place, 1)
        end = start + count
        if end == self._length or self._data[end] != 0:
            raise Malformed(f"no zero byte follows the {count} of the text at {start}")
        self._text_bytes_left -= count
        if self._text_bytes_left < 0:
            raise Malformed(f"with this text of {count} bytes there are more than {MAX_TEXT_BYTES} bytes of text")
        try:
            return bytes(self._data[start:end]).decode()
        except UnicodeDecodeError as error:
            raise Malformed(str(error)) from None

    def copy(self, place: int, item_bytes: int = 1, limit: int | None = None) -> bytes:
        """The items of a vector, as the bytes they are.

        Nobody counts them: no list holds bytes, so not even two fields that overlap are more than twice the message.
        """
        start, count = self.vector(place, item_bytes, limit)
        return bytes(self._data[start : start + item_bytes * count])

    def vector(self, place: int, item_bytes: int, limit: int | None = None) -> tuple[int, int]:
        """Where the items of a vector begin, and how many there are: at most `limit`, and all of them inside."""
        start = self.target(place) + OFFSET_BYTES
        count: int = _OFFSET.unpack_from(self._data, start - OFFSET_BYTES)[0]
        if limit is not None and count > limit:
            raise Malformed(f"{count} items, and at most {limit} are allowed")
        if item_bytes * count > self._length - start:
            raise Malformed(f"{count} items of {item_bytes} bytes each, at {start} of {self._length}")
        return start, count

    def table(self, position: int, fields: int) -> tuple[int, tuple[int, ...]]:
        """The length in bytes of the table at `position`, and where in it each of its first `fields` fields stands.

        0 says that a field is absent, as do older encoders by a shorter vtable. Only the caller knows how wide a field
        is, and whether it ends inside its table.
        """
        vtable = position - int(_TABLE_TO_VTABLE.unpack_from(self._data, position)[0])
        if not 0 <= vtable <= self._length - _VTABLE_HEAD.size:
            raise Malformed(f"the vtable of the table at {position} is at {vtable} of {self._length} bytes")
        vtable_bytes, table_bytes = _VTABLE_HEAD.unpack_from(self._data, vtable)
        if vtable_bytes < _VTABLE_HEAD.size or vtable_bytes % 2 or vtable_bytes > self._length - vtable:
            raise Malformed(f"the vtable at {vtable} of {self._length} bytes is {vtable_bytes} long")
        if table_bytes > self._length - position:
            raise Malformed(f"the table at {position} of {self._length} bytes is {table_bytes} long")
        told = min(fields, vtable_bytes // 2 - 2)
        offsets = unpack_from(f"<{told}H", self._data, vtable + _VTABLE_HEAD.size)
        return table_bytes, offsets + (0,) * (fields - told)
