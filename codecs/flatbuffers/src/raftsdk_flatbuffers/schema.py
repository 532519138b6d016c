"""The table of every message, made from the types of `raftsdk.messages`. For everybody else raft.fbs says the same."""

from collections.abc import Iterator
from typing import Final

from msgspec.inspect import (
    BoolType,
    BytesType,
    EnumType,
    IntType,
    ListType,
    Metadata,
    StrType,
    StructType,
    Type,
    VarTupleType,
    type_info,
)

from raftsdk.messages import MESSAGE_TYPES, AppendEntriesRequest, Message
from raftsdk_flatbuffers.entries import HEADERS, PAYLOAD, append_entries_request
from raftsdk_flatbuffers.tables import Slot, Table
from raftsdk_flatbuffers.values import BOOLEAN, BYTES, TEXT, UNSIGNED, Value, enumeration, listed


def table_of(record_type: type) -> Table:
    """The table of a message or of a record in one: a slot a field, in order. Entries are two."""
    make = append_entries_request if record_type is AppendEntriesRequest else record_type
    return Table(record_type.__name__, list(_slots(record_type)), make)


def _slots(record_type: type) -> Iterator[Slot]:
    info = type_info(record_type)
    assert isinstance(info, StructType)
    for field in info.fields:
        if record_type is AppendEntriesRequest and field.name == "entries":
            yield Slot("entries", HEADERS, "entries")
            yield Slot("payload", PAYLOAD, "entries")
        else:
            yield Slot(field.name, _value(field.type), field.name)


def _value(info: Type) -> Value:
    match info:
        case Metadata():  # what configuration says of a field
            return _value(info.type)
        case IntType():
            return UNSIGNED
        case BoolType():
            return BOOLEAN
        case StrType():
            return TEXT
        case BytesType():
            return BYTES
        case EnumType():
            return enumeration(info.cls)
        case StructType():
            return table_of(info.cls).value()
        case ListType(max_length=int(limit)):
            return listed(_value(info.item_type), limit, list)
        case VarTupleType(max_length=int(limit)):
            return listed(_value(info.item_type), limit, tuple)
    raise TypeError(f"raft.fbs has no type for {info}, or it is a list without a max_length")


TABLES: Final[dict[type[Message], Table]] = {
    message_type: table_of(message_type) for message_type in MESSAGE_TYPES.values()
}
