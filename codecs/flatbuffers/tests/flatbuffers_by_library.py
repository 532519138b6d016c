"""Messages through the `flatbuffers` package and raft.fbs alone: the independent reader and writer of these tests.

Nothing here knows `raftsdk_flatbuffers`. A message is a dict from the schema's field names to values.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import raftsdk_flatbuffers
from flatbuffers import Builder, encode, number_types
from flatbuffers.table import Table

Values = Mapping[str, Any]

SCHEMA_FILE = Path(raftsdk_flatbuffers.__file__).with_name("raft.fbs")
SIZE_BYTES = 4
HEADER_BYTES = 24


def schema() -> dict[str, dict[str, str]]:
    """raft.fbs: every table and struct, its fields and their types, in order."""
    text = re.sub(r"//.*", "", SCHEMA_FILE.read_text(encoding="utf-8"))
    return {
        name: dict(re.findall(r"(\w+):\s*([\w\[\]]+);", body))
        for name, body in re.findall(r"(?:table|struct)\s+(\w+)\s*\{([^}]*)\}", text)
    }


SCHEMA = schema()


def plain(record: Any) -> dict[str, Any]:
    """A message of `raftsdk.messages` as what raft.fbs says of it."""
    values: dict[str, Any] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name == "entries":
            values["entries"] = [{"term": e.term, "kind": e.kind, "length": len(e.data)} for e in value]
            values["payload"] = b"".join(entry.data for entry in value)
        else:
            values[name] = _plain_value(value)
    return values


def _plain_value(value: Any) -> Any:
    if hasattr(value, "__struct_fields__"):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    return str(value) if isinstance(value, str) else value


# -- reading, as generated code would


def read(name: str, data: bytes) -> dict[str, Any]:
    """The message of that table in a size-prefixed buffer, by the library's unchecked accessors."""
    root = SIZE_BYTES + encode.Get(number_types.UOffsetTFlags.packer_type, data, SIZE_BYTES)
    return _read_table(name, Table(data, root))


def _read_table(name: str, table: Table) -> dict[str, Any]:
    fields = enumerate(SCHEMA[name].items())
    return {field: _read_field(kind, table, table.Offset(4 + 2 * number)) for number, (field, kind) in fields}


def _read_field(kind: str, table: Table, offset: int) -> Any:
    if offset == 0:
        return zero(kind)
    place = table.Pos + offset
    match kind:
        case "ulong":
            return table.Get(number_types.Uint64Flags, place)
        case "bool":
            return table.Get(number_types.BoolFlags, place)
        case "string":
            return table.String(place).decode()
    if not kind.startswith("["):
        return _read_table(kind, Table(table.Bytes, table.Indirect(place)))
    start, count = table.Vector(offset), table.VectorLen(offset)
    match kind:
        case "[ubyte]":
            return bytes(table.Bytes[start : start + count])
        case "[string]":
            return [table.String(start + 4 * index).decode() for index in range(count)]
        case "[EntryHeader]":
            return [_read_header(table, start + HEADER_BYTES * index) for index in range(count)]
    return [_read_table(kind[1:-1], Table(table.Bytes, table.Indirect(start + 4 * index))) for index in range(count)]


def _read_header(table: Table, place: int) -> dict[str, int]:
    names = SCHEMA["EntryHeader"]
    return {name: table.Get(number_types.Uint64Flags, place + 8 * number) for number, name in enumerate(names)}


def zero(kind: str) -> Any:
    """What a field of that type is when absent."""
    scalars: dict[str, Any] = {"ulong": 0, "bool": False, "string": "", "[ubyte]": b""}
    if kind in scalars:
        return scalars[kind]
    return [] if kind.startswith("[") else {field: zero(inner) for field, inner in SCHEMA[kind].items()}


# -- writing, as generated code would


class LibraryWriter:
    """Size-prefixed buffers by the library's `Builder`, in the ways it can be told to differ.

    `defaults`: fields at zero are written. `shared`: equal strings are written once. `fields`: tables that take the
    place of raft.fbs's. What belongs to a table's last field lies last in the buffer.
    """

    def __init__(
        self, *, defaults: bool = False, shared: bool = False, fields: dict[str, dict[str, str]] | None = None
    ) -> None:
        self._defaults = defaults
        self._shared = shared
        self._fields = SCHEMA | (fields or {})

    def write(self, name: str, values: Values, *, size_prefix: bool = True) -> bytes:
        """The message of that table. Fields that `values` lacks are absent."""
        builder = Builder(0)
        builder.ForceDefaults(self._defaults)
        root = self._write_table(builder, name, values)
        (builder.FinishSizePrefixed if size_prefix else builder.Finish)(root)
        return bytes(builder.Output())

    def _write_table(self, builder: Builder, name: str, values: Values) -> int:
        fields = list(enumerate(self._fields[name].items()))
        there = {
            number: self._write_value(builder, kind, values[field])
            for number, (field, kind) in reversed(fields)
            if values.get(field) or (self._defaults and field in values)
        }
        builder.StartObject(len(fields))
        for number, (_, kind) in fields:
            if number in there:
                match kind:
                    case "ulong":
                        builder.PrependUint64Slot(number, there[number], 0)
                    case "bool":
                        builder.PrependBoolSlot(number, there[number], False)
                    case _:
                        builder.PrependUOffsetTRelativeSlot(number, there[number], 0)
        return int(builder.EndObject())

    def _write_value(self, builder: Builder, kind: str, value: Any) -> int:
        match kind:
            case "ulong" | "bool":
                return int(value)
            case "string":
                return int((builder.CreateSharedString if self._shared else builder.CreateString)(value))
            case "[ubyte]":
                return int(builder.CreateByteVector(value))
            case "[EntryHeader]":
                return _write_headers(builder, value)
        if not kind.startswith("["):
            return self._write_table(builder, kind, value)
        offsets = [self._write_value(builder, kind[1:-1], item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())


def _write_headers(builder: Builder, headers: list[dict[str, int]]) -> int:
    builder.StartVector(HEADER_BYTES, len(headers), 8)
    for header in reversed(headers):
        builder.Prep(8, HEADER_BYTES)
        for name in reversed(SCHEMA["EntryHeader"]):
            builder.PrependUint64(header[name])
    return int(builder.EndVector())
