"""A codec from nothing: CBOR (RFC 8949), a map a message, from the names of its fields to their values."""

from typing import Any, ClassVar

import msgspec

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import MAX_ENTRIES, MESSAGE_TYPES, Message, MessageKind, PeerStatus, sparse
from raftsdk.types import Entry, Member, Membership

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)  # CBOR's major types
MAX_ITEMS, MAX_PAIRS = 7 * MAX_ENTRIES + 256, 128  # more than any message has: who sends it wants to keep us busy
MESSAGES = {kind: sparse(message_type) for kind, message_type in MESSAGE_TYPES.items()}  # what is absent is zero
NESTED: dict[str, Any] = {"entries": Entry, "peers": PeerStatus, "membership": Membership, "members": Member}
RECORDS = {name: sparse(record) for name, record in NESTED.items()}


class CborCodec:
    name: ClassVar[str] = "cbor"

    def encode(self, message: Message) -> bytes:
        return write(msgspec.to_builtins(message, builtin_types=(bytes,)))

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        items = split(bytes(data))
        try:
            message = msgspec.convert(read(items, MESSAGES[kind]), MESSAGE_TYPES[kind], from_attributes=True)
            check(message)
            if next(items, None):
                raise DecodeError("bytes behind the end")
        except (DecodeError, msgspec.MsgspecError, StopIteration, TypeError, ValueError, RecursionError) as error:
            raise DecodeError(f"{kind.name}: {str(error)[:300] or 'cut short'}") from None
        return message


def write(value: Any) -> bytes:
    if isinstance(value, int):
        return head(SIMPLE, 20 + value) if isinstance(value, bool) else head(UNSIGNED, value)
    if isinstance(value, (bytes, str)):
        major, content = (BYTES, value) if isinstance(value, bytes) else (TEXT, value.encode())
        return head(major, len(content)) + content
    if isinstance(value, (list, tuple)):
        return head(ARRAY, len(value)) + b"".join(map(write, value))
    return head(MAP, len(value)) + b"".join(write(name) + write(item) for name, item in value.items())


def head(major: int, argument: int) -> bytes:
    size = next(size for size in (0, 1, 2, 4, 8) if argument < (256**size if size else 24))
    return bytes((major << 5 | (23 + size.bit_length() if size else argument),)) + argument.to_bytes(8)[8 - size :]


def split(data: bytes) -> Any:
    end = count = 0
    while end < len(data):
        (major, low), start, count = divmod(data[end], 32), end + 1, count + 1
        end = start + (1 << low - 24 if 24 <= low <= 27 else 0)
        value: Any = int.from_bytes(data[start:end]) if end > start and major != SIMPLE else low
        if major in (BYTES, TEXT):
            value, end = data[end : end + value], end + value
        if end > len(data) or low > 27 or count > MAX_ITEMS:
            raise DecodeError("cut short, without a length, or more than any message has")
        yield major, value.decode() if major == TEXT else value


def read(items: Any, record: Any = None, known: bool = True) -> Any:
    major, value = next(items)
    if major == ARRAY or not known:
        listed = [read(items, record, known) for _ in range({ARRAY: value, MAP: 2 * value, TAG: 1}.get(major, 0))]
        return listed if known else None
    if major != MAP or value > MAX_PAIRS or not record:
        return value if major in (UNSIGNED, BYTES, TEXT) else {20: False, 21: True}.get(value)  # no field takes a None
    found: dict[Any, Any] = {}
    for _ in range(value):
        name = read(items)
        if name in found:
            raise DecodeError(f"{name} occurs twice")
        found[name] = read(items, RECORDS.get(name), name in record.__struct_fields__)
    return msgspec.convert(found, record, from_attributes=True, builtin_types=(bytes,))
