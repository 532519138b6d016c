"""The wire format of protobuf in ten lines, for tests that write what no library would."""

VARINT, I64, LEN, START_GROUP, END_GROUP, I32 = range(6)


def varint(number: int, width: int = 1) -> bytes:
    """Seven bits a byte, low ones first; padded with needless zeros to `width` bytes."""
    low, rest = number & 0x7F, number >> 7
    return bytes((low | 0x80,)) + varint(rest, width - 1) if rest or width > 1 else bytes((low,))


def tag(number: int, wire_type: int, width: int = 1) -> bytes:
    """What stands before a value: the number of its field and its type."""
    return varint(number << 3 | wire_type, width)


def field(number: int, value: int | bytes | str) -> bytes:
    """A whole field: a number as a varint, anything else with its length."""
    if isinstance(value, int):
        return tag(number, VARINT) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return tag(number, LEN) + varint(len(content)) + content


def group(number: int, content: bytes = b"") -> bytes:
    """A field as proto2 had them, which proto3 may still meet as an unknown one."""
    return tag(number, START_GROUP) + content + tag(number, END_GROUP)
