"""The wire format of protobuf, as far as seeds need it."""

from typing import Final

VARINT: Final = 0
FIXED_64: Final = 1
LENGTH: Final = 2
GROUP: Final = 3
END_OF_GROUP: Final = 4
FIXED_32: Final = 5


def varint(number: int) -> bytes:
    """`number` in groups of seven bits, the lowest first; a negative one as 64 bits of two's complement."""
    number %= 2**64
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def tag(number: int, wire_type: int) -> bytes:
    """What stands before a field."""
    return varint(number << 3 | wire_type)


def field(number: int, value: int | bytes) -> bytes:
    """A field: a varint, or something with a length."""
    if isinstance(value, int):
        return tag(number, VARINT) + varint(value)
    return tag(number, LENGTH) + varint(len(value)) + value
