"""Clause 9 against the schemas that are normative beside it: `raft.proto`, `raft.capnp`, `raft.fbs`."""

import re
from collections.abc import Callable
from importlib import import_module, resources
from typing import Any, TypeAlias

import msgspec
import pytest
from raftsdk_msgpack import MsgpackCodec
from spec_text import bare, spec, table

from raftsdk.messages import AppendEntriesRequest
from raftsdk.types import Entry

Fields: TypeAlias = list[tuple[str, str]]
"""Name and type of each field, in the order of its numbers, which leave no gap."""

_PROTOBUF = {"u63": "uint64", "id": "string", "text": "string", "consistency": "string", "suffrage": "string"}
_CAPNP = {"u63": "uint64", "bytes": "data"} | dict.fromkeys(("id", "text", "consistency", "suffrage"), "text")
_FLATBUFFERS = _PROTOBUF | {"u63": "ulong", "bytes": "[ubyte]"}


def _tables() -> dict[str, str]:
    """The clause of each message and record, by its name in the schemas."""
    found = {title: clause for clause, title in spec().headings.items() if re.fullmatch(r"9\.\d+", clause)}
    found["ErrorResponse"] = found.pop("Error")
    records = found.pop("Records")
    for line in spec().prose:
        if match := re.match(rf"\*\*({records}\.\d+)\*\* (\w+):", line):
            found[match[2]] = match[1]
    return found


TABLES = _tables()


def _told(name: str) -> list[dict[str, str]]:
    """The rows for a message or record; none where its clause says that it has no fields."""
    has_fields = any(found.clause.startswith(f"{TABLES[name]}.") for found in spec().tables)
    return table(TABLES[name], "#").dicts() if has_fields or TABLES[name].startswith("9.16") else []


def _expected(name: str, types: dict[str, str], rename: Callable[[str], str] = str) -> Fields:
    return [(rename(bare(row["field"])), _type(row["type"], types)) for row in _told(name)]


def _type(told: str, types: dict[str, str]) -> str:
    is_list = told.startswith("list of ")
    item = told.removeprefix("list of ")
    return f"[{types.get(item, item)}]" if is_list else types.get(item, item)


def _columns(clause: str) -> Fields:
    return [(bare(row["field"]), bare(row["type"])) for row in table(clause).dicts()]


def _schema(distribution: str, name: str) -> str:
    return resources.files(distribution).joinpath(name).read_text(encoding="utf-8")


def test_every_message_and_record_has_a_table() -> None:
    assert len(TABLES) == 29
    without = [name for name in TABLES if not _told(name)]
    assert without == ["StatusRequest", "OpenSessionRequest", "TakeSnapshotRequest"]


# -- protobuf


def _protobuf(name: str) -> Fields:
    descriptor = import_module("raftsdk_protobuf.raft_pb2").DESCRIPTOR.message_types_by_name[name]
    assert [field.number for field in descriptor.fields] == list(range(1, len(descriptor.fields) + 1))
    return [(field.name, _protobuf_type(field)) for field in descriptor.fields]


def _protobuf_type(field: Any) -> str:
    kinds = {
        field.TYPE_UINT64: "uint64",
        field.TYPE_STRING: "string",
        field.TYPE_BYTES: "bytes",
        field.TYPE_BOOL: "bool",
    }
    name = field.message_type.name if field.message_type else kinds[field.type]
    return f"[{name}]" if field.is_repeated else name


@pytest.mark.parametrize("name", TABLES)
def test_raft_proto_has_the_fields_and_numbers_of_the_table(name: str) -> None:
    assert _protobuf(name) == _expected(name, _PROTOBUF)


def test_raft_proto_has_nothing_else_and_is_what_its_code_was_made_of() -> None:
    descriptor = import_module("raftsdk_protobuf.raft_pb2").DESCRIPTOR
    assert set(descriptor.message_types_by_name) == set(TABLES)
    text = _schema("raftsdk_protobuf", "raft.proto")
    in_text = {
        name: [(found[2], int(found[3])) for found in re.finditer(r"^\s+(\w+ )+?(\w+) = (\d+);", body, re.MULTILINE)]
        for name, body in re.findall(r"^message (\w+) \{(.*?)\}", text, re.MULTILINE | re.DOTALL)
    }
    assert in_text == {
        name: [(field.name, field.number) for field in message.fields]
        for name, message in descriptor.message_types_by_name.items()
    }


# -- Cap'n Proto


def _capnp_schema() -> Any:
    with resources.as_file(resources.files("raftsdk_capnp").joinpath("raft.capnp")) as path:
        return import_module("capnp").load(str(path))


def _capnp(name: str) -> Fields:
    node = getattr(_capnp_schema(), name).schema.node
    fields = sorted(node.struct.fields, key=lambda field: field.ordinal.explicit)
    assert [field.ordinal.explicit for field in fields] == list(range(len(fields)))
    names = {nested.id: nested.name for nested in _capnp_schema().schema.node.nestedNodes}
    return [(field.name, _capnp_type(field.slot.type, names)) for field in fields]


def _capnp_type(kind: Any, names: dict[int, str]) -> str:
    match str(kind.which()):
        case "struct":
            return names[kind.struct.typeId]
        case "list":
            return f"[{_capnp_type(kind.list.elementType, names)}]"
        case name:
            return name


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


@pytest.mark.parametrize("name", [name for name in TABLES if name != "Entry"])
def test_raft_capnp_has_the_fields_and_ordinals_of_the_table(name: str) -> None:
    expected = [
        (field, "EntryColumns" if kind == "[Entry]" else kind) for field, kind in _expected(name, _CAPNP, _camel)
    ]
    assert _capnp(name) == expected


def test_raft_capnp_has_the_columns_of_the_table_and_nothing_else() -> None:
    kinds = {"List(UInt64)": "[uint64]", "List(Data)": "[data]"}
    assert _capnp("EntryColumns") == [(name, kinds[kind]) for name, kind in _columns("11.5")]
    structs = {nested.name for nested in _capnp_schema().schema.node.nestedNodes}
    assert structs == TABLES.keys() - {"Entry"} | {"EntryColumns"}


# -- FlatBuffers


def _flatbuffers() -> dict[str, Fields]:
    text = re.sub(r"//.*", "", _schema("raftsdk_flatbuffers", "raft.fbs"))
    return {
        name: re.findall(r"(\w+)\s*:\s*([\w\[\]]+)\s*;", body)
        for name, body in re.findall(r"^(?:table|struct) (\w+) \{(.*?)\}", text, re.MULTILINE | re.DOTALL)
    }


@pytest.mark.parametrize("name", [name for name in TABLES if name != "Entry"])
def test_raft_fbs_has_the_fields_of_the_table_in_order(name: str) -> None:
    expected = _expected(name, _FLATBUFFERS)
    if name == "AppendEntriesRequest":
        place = expected.index(("entries", "[Entry]"))
        expected[place : place + 1] = _columns("11.6")
    assert _flatbuffers()[name] == expected


def test_raft_fbs_has_the_header_of_an_entry_and_nothing_else() -> None:
    assert _flatbuffers()["EntryHeader"] == [("term", "ulong"), ("kind", "ulong"), ("length", "ulong")]
    assert _flatbuffers().keys() == TABLES.keys() - {"Entry"} | {"EntryHeader"}


# -- MessagePack


def test_messagepack_has_the_columns_of_the_table_in_place_of_the_entries() -> None:
    request = AppendEntriesRequest(
        term=7,
        leader_id="n1",
        prev_log_index=0,
        prev_log_term=0,
        leader_commit=0,
        entries=[Entry(6, 0, b"a"), Entry(7, 1, b"b")],
    )
    written = msgspec.msgpack.decode(MsgpackCodec().encode(request))
    names = [bare(row["field"]) for row in _told("AppendEntriesRequest")]
    assert list(written) == names
    columns = [re.split(r"[ ,]+", row["holds"])[1] for row in table("11.3", "place").dicts()]
    assert dict(zip(columns, written["entries"], strict=True)) == {
        "terms": [6, 7],
        "kinds": [0, 1],
        "payloads": [b"a", b"b"],
    }
