"""Bytes of ours, written from front to back: a table first, and behind it what it points to.

The library's `Builder` works from back to front, a value and half a dozen calls at a time. FlatBuffers allows both
orders: offsets lead forward, wherever the objects lie.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

ALIGNMENT: Final = 8
"""Every object starts at a multiple of this, the width of the widest value, counted from the size before the buffer."""

_HEAD = Struct("<II")  # the size, and the offset of the root
_COUNT = Struct("<I")
_COUNT_BEFORE_STRUCTS = Struct("<4xI")
_PADDING = tuple(bytes(count) for count in range(ALIGNMENT + 1))


class Writer:
    """One size-prefixed FlatBuffer in the making: its pieces so far, and `position`, where the next one will stand.

    What writes an object takes the place its offset will stand at, and returns the offset.
    """

    __slots__ = ("_pieces", "position")

    def __init__(self) -> None:
        self._pieces = [b""]
        self.position = _HEAD.size

    def finish(self, root: int) -> bytes:
        """The whole buffer. `root` is the position of its outermost table."""
        self._pieces[0] = _HEAD.pack(self.position - _COUNT.size, root - _COUNT.size)
        return b"".join(self._pieces)

    def reserve(self, size: int) -> int:
        """Leave room for `size` bytes, a multiple of `ALIGNMENT`; return what `fill` knows it by."""
        self._pieces.append(b"")
        self.position += size
        return len(self._pieces) - 1

    def fill(self, reserved: int, piece: bytes) -> None:
        """Put `piece`, of the size that was said, where `reserve` left room."""
        self._pieces[reserved] = piece

    def text(self, text: str, place: int) -> int:
        """A string."""
        position = self.position
        utf8 = text.encode()
        piece = _COUNT.pack(len(utf8)) + utf8
        piece += _PADDING[ALIGNMENT - len(piece) % ALIGNMENT]  # one zero byte at least
        self._pieces.append(piece)
        self.position += len(piece)
        return position - place

    def copy(self, data: bytes, place: int) -> int:
        """A vector of bytes."""
        return self.joined((data,), place)

    def joined(self, parts: Sequence[bytes], place: int) -> int:
        """A vector of bytes, those of all `parts`. They are copied once, at the end."""
        position = self.position
        count = sum(map(len, parts))
        padding = _PADDING[-(_COUNT.size + count) % ALIGNMENT]
        self._pieces += (_COUNT.pack(count), *parts, padding)
        self.position += _COUNT.size + count + len(padding)
        return position - place

    def structs(self, count: int, packed: bytes, place: int) -> int:
        """A vector of `count` structs, each of a multiple of `ALIGNMENT`."""
        self._pieces += (_COUNT_BEFORE_STRUCTS.pack(count), packed)
        self.position += _COUNT_BEFORE_STRUCTS.size + len(packed)
        return self.position - len(packed) - _COUNT.size - place
