"""Messages into structs and back, field by field, as `raftsdk.messages` declares them."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from msgspec.inspect import EnumType, ListType, Metadata, StrType, StructType, Type, VarTupleType, type_info

from raftsdk.types import Entry
from raftsdk_capnp.columns import read_entries, write_entries
from raftsdk_capnp.schema import wire_name
from raftsdk_capnp.texts import Texts

Converter: TypeAlias = Callable[[Texts, Any], Any]
Record = TypeVar("Record", bound=Struct)


class Field(NamedTuple):
    """One field of a message or of a record in it."""

    name: str
    wire_name: str
    convert: Converter | None  #: None: the field holds what the library hands out.

    def read(self, reader: Any, texts: Texts) -> Any:
        """The value in the struct `reader`. Each call counts against the limits of what may be read: call once."""
        value = getattr(reader, self.wire_name)
        return value if self.convert is None else self.convert(texts, value)


@cache
def fields_of(record_type: type[Struct]) -> tuple[Field, ...]:
    """The fields of a message or record, in order."""
    return tuple(
        Field(field.name, wire_name(field.name), _converter(type_info(field.type)))
        for field in msgspec.structs.fields(record_type)
    )


# -- out


def write(record: Struct, builder: Any) -> None:
    """Fill the struct `builder`. What is zero or empty is left out: that is how it reads when it is absent."""
    for field in fields_of(type(record)):
        value = getattr(record, field.name)
        if not value:
            continue
        if isinstance(value, Struct):
            write(value, builder.init(field.wire_name))
        elif isinstance(value, (list, tuple)):
            _write_list(value, builder, field.wire_name)
        else:
            setattr(builder, field.wire_name, value)


def _write_list(items: Sequence[Any], builder: Any, wire_name: str) -> None:
    if isinstance(items[0], Entry):
        write_entries(items, builder.init(wire_name))
    elif isinstance(items[0], Struct):
        for item, item_builder in zip(items, builder.init(wire_name, len(items)), strict=True):
            write(item, item_builder)
    else:
        setattr(builder, wire_name, list(items))


# -- in


def _converter(info: Type) -> Converter | None:
    """How a field declared like that is read; None for numbers, booleans and bytes, which the library checks."""
    match info:
        case Metadata():
            return _converter(info.type)
        case StrType():
            return Texts.decode
        case EnumType():
            return partial(_read_enum, info.cls)
        case StructType():
            return partial(_read_record, info.cls)
        case ListType(item_type=StructType(cls=item)) if item is Entry:
            return _read_entries
        case ListType(max_length=int(ceiling)):
            return partial(_read_list, list, ceiling, _converter(info.item_type))
        case VarTupleType(max_length=int(ceiling)):
            return partial(_read_list, tuple, ceiling, _converter(info.item_type))
        case ListType() | VarTupleType():
            raise TypeError("a list in a message needs a ceiling, Meta(max_length=…)")
    return None


def _read_enum(enum: Any, texts: Texts, data: bytes) -> Any:
    """The empty text is the first value, as zero is."""
    text = texts.decode(data)
    return enum(text) if text else next(iter(enum))


def _read_record(record_type: type[Record], texts: Texts, reader: Any) -> Record:
    return record_type(**{field.name: field.read(reader, texts) for field in fields_of(record_type)})


def _read_entries(_: Texts, columns: Any) -> list[Entry]:
    return read_entries(columns)


def _read_list(
    make: Callable[[Iterable[Any]], Any], ceiling: int, convert: Converter | None, texts: Texts, items: Any
) -> Any:
    """Counted before an item is looked at: a hostile one is a word on the wire at most, and a score of them here."""
    if len(items) > ceiling:
        raise ValueError(f"{len(items)} of them, and at most {ceiling} are allowed")
    return make(items if convert is None else map(partial(convert, texts), items))
