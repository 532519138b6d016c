"""Names that occur twice in a map. The typed decoder takes the last of several values in silence."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.inspect import ListType, Metadata, StructType, Type, VarTupleType, type_info

MAX_FIELDS: Final = 64
"""How many fields a message or a record in it may have, known or not: a newer peer adds a handful."""

_decode_fields = msgspec.msgpack.Decoder(Annotated[dict[str, Raw], Meta(max_length=MAX_FIELDS)]).decode
_decode_items = msgspec.msgpack.Decoder(list[Raw]).decode


class Names:
    """The names in maps of one type and in the maps below them, for data that the typed decoder has read."""

    def __init__(self, record: type[Struct]) -> None:
        fields = msgspec.structs.fields(record)
        records = {field.name: _record_in(type_info(field.type)) for field in fields}
        self._inner = {name: Names(inner) for name, inner in records.items() if inner is not None}
        self._own_header = 0x80 + sum(field.required for field in fields)

    def are_each_there_once(self, data: bytes | memoryview) -> bool:
        """A quick proof that no name occurs twice in `data`, in which every required field was found.

        With just as many pairs as those, each is there once. Without proof, False.
        """
        return data[0] == self._own_header and not self._inner

    def refuse_repeated(self, data: bytes | memoryview) -> None:
        """Raise `ValueError` when a field, known or not, occurs twice. Inside unknown fields nobody looks."""
        fields = _decode_fields(data)
        if len(fields) != _declared_fields(data):
            raise ValueError("a field occurs twice")
        for name in self._inner.keys() & fields.keys():
            value = memoryview(fields[name])
            for record in [value] if _is_map(value) else _decode_items(value):
                self._inner[name].refuse_repeated(memoryview(record))


def _record_in(info: Type) -> type[Struct] | None:
    """The record in a field of that type, if it travels as a map: itself, or what is listed there."""
    match info:
        case StructType(array_like=False):
            return info.cls
        case Metadata():
            return _record_in(info.type)
        case ListType() | VarTupleType():
            return _record_in(info.item_type)
    return None


def _is_map(data: memoryview) -> bool:
    return data[0] & 0xF0 == 0x80 or data[0] in (0xDE, 0xDF)


def _declared_fields(data: bytes | memoryview) -> int:
    """How many pairs a map says it has: fixmap in half of its first byte, map 16 and map 32 in the bytes after it."""
    match data[0]:
        case 0xDE:
            return int.from_bytes(data[1:3])
        case 0xDF:
            return int.from_bytes(data[1:5])
        case fixmap:
            return fixmap & 0x0F
