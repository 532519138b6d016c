"""The wire format of Cap'n Proto, as far as seeds need it."""

VOID, BIT, BYTE, EIGHT_BYTES, POINTER, COMPOSITE = 0, 1, 2, 5, 6, 7  # the sizes of items


def word(number: int) -> bytes:
    """64 bits, the lowest first."""
    return (number % 2**64).to_bytes(8, "little")


def struct(offset: int, words: int, pointers: int) -> bytes:
    """A pointer to a struct `offset` words behind it."""
    return word((offset << 2) % 2**32 | words << 32 | pointers << 48)


def items(offset: int, size: int, count: int) -> bytes:
    """A pointer to a list `offset` words behind it; for COMPOSITE, `count` is in words, the tag not counted."""
    return word((offset << 2 | 1) % 2**32 | size << 32 | count << 35)


def far(segment: int, offset: int, double: bool = False) -> bytes:
    """A pointer to a landing pad in some segment."""
    return word(2 | double << 2 | offset << 3 | segment << 32)


def framed(*words: bytes) -> bytes:
    """One segment, with its table."""
    segment = b"".join(words)
    return bytes(4) + (len(segment) // 8).to_bytes(4, "little") + segment
