"""What a message may hold, counted in its bytes before the library builds it.

To the library an entry of two bytes is an object of fifty: a megabyte of them would be thirty. And Python gives every
character of a text two bytes if one of them is a dash like this: –, and four if one is an emoji.

The walks know no rule of the format but one, how long a field is. Whatever the library accepts they walk through as the
library does; where they go astray in anything else, the library refuses it afterwards.
"""

from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from raftsdk.errors import DecodeError
from raftsdk.messages import MAX_ENTRIES, MAX_TEXT_BYTES
from raftsdk.types import MAX_ID_CHARS

MAX_FIELDS: Final = 8_192
"""How many fields a message may have, known or not, those of its peers and members included. An honest one has up to
1,678: 64 peers with 16 addresses each. With 64 unknown fields in every record it has 5,838."""

MAX_BATCH_FIELDS: Final = MAX_ENTRIES + MAX_FIELDS
"""How many an AppendEntriesRequest may have, those of its entries not included."""

_SHORTEST_FIELD_BYTES: Final = 2
_VARINT, _I64, _LEN, _START_GROUP, _END_GROUP, _I32 = range(6)  # what the last three bits of a tag say
_FIXED_BYTES: Final = {_I64: 8, _I32: 4}
_NESTING: Final = {_START_GROUP: 1, _END_GROUP: -1}  # what is in a group is unknown, whatever its tags
_VARINT_SHIFTS: Final = range(0, 70, 7)

_LEADER_ID: Final = 2 << 3 | _LEN
_ENTRY: Final = 6 << 3 | _LEN

Layout: TypeAlias = "dict[int, Layout]"
"""The tags of a message's records, each with its layout, and of its texts, which are of none."""


def check_batch(data: bytes) -> None:
    """Raise `DecodeError` if this AppendEntriesRequest has far more fields than `MAX_ENTRIES`, or a text for an id.

    A hop an entry, from its tag over its length, which take two or three bytes in most: a batch of 64 entries of 256
    bytes ends before the first hop, larger ones take a third longer. (To count the byte that begins an entry, wherever
    in `data` it stands, would take longer still for entries of more than 200 bytes.)
    """
    at, end, groups = 0, len(data), 0
    try:
        # Every round there may be a field less to come, and so two bytes less that need no look.
        for enough in range(end - _SHORTEST_FIELD_BYTES * MAX_BATCH_FIELDS, end, _SHORTEST_FIELD_BYTES):
            if at >= enough:
                return
            if data[at] == _ENTRY and (size := data[at + 1]) < 0x80:
                at += 2 + size
            elif data[at] == _ENTRY and (high := data[at + 2]) < 0x80:
                at += 3 + (size & 0x7F) + (high << 7)
            else:
                tag, start, at = _field(data, at)
                groups += _NESTING.get(tag & 7, 0)
                if tag == _LEADER_ID and not groups and at - start > MAX_ID_CHARS:
                    raise DecodeError(f"AppendEntriesRequest.leader_id: {at - start} bytes are no id")
        if at < end:
            raise DecodeError(f"AppendEntriesRequest: more than {MAX_BATCH_FIELDS} entries and other fields")
    except IndexError:
        return  # cut short


def layout_of(message: Any) -> Layout:
    """The layout of messages of that descriptor."""
    layout: Layout = {}
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            layout[field.number << 3 | _LEN] = {}
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            layout[field.number << 3 | _LEN] = layout_of(field.message_type)
    return layout


def check_records(name: str, layout: Layout, data: bytes) -> None:
    """Raise `DecodeError` if this message has more than `MAX_FIELDS` fields or more than `MAX_TEXT_BYTES` of text.

    Looks no further when the rest is too short for too many fields, which most messages are from their beginning.
    """
    at, end = 0, len(data)
    fields, text_bytes = MAX_FIELDS, 0
    enclosing: list[tuple[int, Layout]] = []
    groups = 0
    try:
        while len(data) - at > _SHORTEST_FIELD_BYTES * fields:
            if at >= end:
                end, layout = enclosing.pop()
                continue
            if not fields:
                raise DecodeError(f"{name}: more than {MAX_FIELDS} fields")
            fields -= 1
            tag, start, at = _field(data, at)
            groups += _NESTING.get(tag & 7, 0)
            if tag in layout and not groups:
                if inner := layout[tag]:
                    enclosing.append((end, layout))
                    at, end, layout = start, at, inner
                else:
                    text_bytes += at - start
                    if text_bytes > MAX_TEXT_BYTES:
                        raise DecodeError(f"{name}: more than {MAX_TEXT_BYTES} bytes of text")
    except IndexError:
        return  # cut short


def _field(data: bytes, at: int) -> tuple[int, int, int]:
    """The tag of the field at that place, where its value begins, and where it ends. Tags of groups have no value."""
    tag, start = _varint(data, at)
    wire_type = tag & 7
    if wire_type == _LEN:
        size, start = _varint(data, start)
        return tag, start, start + size
    if wire_type == _VARINT:
        return tag, start, _varint(data, start)[1]
    return tag, start, start + _FIXED_BYTES.get(wire_type, 0)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at that place, and the place after it: the end of everything if the number is too long to be one."""
    value = 0
    for shift in _VARINT_SHIFTS:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return value, len(data)
