"""From the library's objects to the records of `raftsdk.messages`, led by the types of their fields."""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.inspect import EnumType, ListType, Metadata, StructType, Type, VarTupleType, type_info

from raftsdk.errors import DecodeError

Reader: TypeAlias = Callable[[Any], Any]
"""Takes what the library has for a field; returns what the record is to have, or raises `DecodeError`."""

MAX_SHOWN_CHARS: Final = 64


def reader_of(record: type[Struct]) -> Reader:
    """What turns the library's object of that name into a `record`. Its `DecodeError` names the field."""
    return _reader(type_info(record), record.__name__)


def _reader(info: Type, where: str) -> Reader:
    match info:
        case Metadata():
            return _reader(info.type, where)
        case StructType():
            return _record_reader(info, where)
        case ListType():
            return _list_reader(list, info, where)
        case VarTupleType():
            return _list_reader(tuple, info, where)
        case EnumType():
            return _enumeration_reader(info.cls, where)
    return _scalar


def _scalar(value: Any) -> Any:
    """A number, bytes, a text or a boolean: of that type the library makes sure."""
    return value


def _record_reader(info: StructType, where: str) -> Reader:
    readers = [(field.name, _reader(field.type, f"{where}.{field.name}")) for field in info.fields]

    def read(found: Any) -> Any:
        return info.cls(**{name: read_field(getattr(found, name)) for name, read_field in readers})

    return read


def _list_reader(build: Callable[[Iterable[Any]], Any], info: ListType | VarTupleType, where: str) -> Reader:
    read_item, limit = _reader(info.item_type, where), info.max_length
    assert limit is not None, f"{where}: a list without a max_length would let its reader fill the memory"

    def read(found: Any) -> Any:
        if len(found) > limit:
            raise DecodeError(f"{where}: {len(found)} of them, and at most {limit} are allowed")
        return build(map(read_item, found))

    return read


def _enumeration_reader(enumeration: type[Enum], where: str) -> Reader:
    values = {value.value: value for value in enumeration}
    values_and_zero = values | {"": next(iter(enumeration))}

    def read(text: str) -> Enum:
        value = values_and_zero.get(text)
        if value is None:
            raise DecodeError(f"{where}: {text[:MAX_SHOWN_CHARS]!a} is none of {', '.join(values)}")
        return value

    return read
