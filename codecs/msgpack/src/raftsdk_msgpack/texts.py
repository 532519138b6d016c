"""Refusing texts that would cost too much before anything is made of them."""

from typing import Final

from raftsdk.errors import DecodeError
from raftsdk.messages import MAX_TEXT_BYTES

# Of formats 0xc0 to 0xdf: how many bytes say how long it is, and how many more follow in any case.
_SHAPES: Final = (
    *((0, 0),) * 4,  # nil, (never used), false, true
    *((1, 0), (2, 0), (4, 0)),  # bin
    *((1, 1), (2, 1), (4, 1)),  # ext
    *((0, 4), (0, 8)),  # float
    *((0, 1), (0, 2), (0, 4), (0, 8)) * 2,  # uint, int
    *((0, 2), (0, 3), (0, 5), (0, 9), (0, 17)),  # fixext
    *((1, 0), (2, 0), (4, 0)),  # str
    *((0, 2), (0, 4)) * 2,  # array, map: only their headers, as what is in them comes next by itself
)
MAX_ITEMS: Final = 1 << 17
"""How many items are looked through for long texts; the largest message we know of has a fifth of that."""

_STR_32: Final = 0xDB
_LONG_STR: Final = bytes((_STR_32, 0))


def refuse_long_texts(data: bytes | memoryview) -> None:
    """Raise `DecodeError` for a text, or name, of more than `MAX_TEXT_BYTES`, known to us or not.

    A text of a megabyte with one emoji in it takes six while it is read. One that long has a length of four bytes, the
    first of them 0; where no such header is found, not even by chance in a payload, there is none.
    """
    if len(data) <= MAX_TEXT_BYTES:
        return
    octets = bytes(data)
    if (len(octets) >> 24 or _may_have_long_texts(octets)) and _has_long_texts(octets):
        raise DecodeError(f"a text of more than {MAX_TEXT_BYTES} bytes")


def _may_have_long_texts(octets: bytes) -> bool:
    place = octets.find(_LONG_STR)
    while place >= 0:
        if octets[place + 2 : place + 3] > b"\0":
            return True
        place = octets.find(_LONG_STR, place + 1)
    return False


def _has_long_texts(octets: bytes) -> bool:
    place, end = 0, len(octets)
    for _ in range(MAX_ITEMS):
        if place >= end:
            return False
        first = octets[place]
        place += 1
        if 0xA0 <= first < 0xC0:
            place += first & 0x1F
        elif 0xC0 <= first < 0xE0:
            length_bytes, more = _SHAPES[first - 0xC0]
            length = int.from_bytes(octets[place : place + length_bytes])
            if first == _STR_32 and length > MAX_TEXT_BYTES:
                return True
            place += length_bytes + more + length
    raise DecodeError(f"more than {MAX_ITEMS} items, where there may be a text of more than {MAX_TEXT_BYTES} bytes")
