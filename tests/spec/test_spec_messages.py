"""The tables of clause 9 against `raftsdk.messages`: fields, order, types, ranges, and what absence means."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct, inspect
from spec_text import bare, number, spec, table

from raftsdk.checks import check
from raftsdk.errors import DecodeError
from raftsdk.messages import (
    MESSAGE_TYPES,
    AppendEntriesRequest,
    Consistency,
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    Message,
    MessageKind,
    StatusResponse,
)
from raftsdk.testing.codec_suite import sample_messages
from raftsdk.types import MAX_ID_CHARS, MAX_INTEGER, Entry, EntryKind, Member, Membership, Suffrage

_RECORDS = ("Entry", "Member", "Membership", "PeerStatus")
_ENUMERATIONS: dict[str, type[Consistency | Suffrage]] = {"consistency": Consistency, "suffrage": Suffrage}
_IDS = ("a", "a" * MAX_ID_CHARS, "N-1._")
_NO_IDS = ("", "n 1", "-n1", "../n1", "ü", "a\n", "a" * (MAX_ID_CHARS + 1))
_TEXTS = ("", "n 1", "ü\0\n", "x" * 10_000)


def _clauses() -> dict[str, type[Struct]]:
    """Where each message and record has its table."""
    found: dict[str, type[Struct]] = {}
    by_name = {message.__name__: message for message in MESSAGE_TYPES.values()} | {"Error": ErrorResponse}
    for clause, title in spec().headings.items():
        if clause.startswith("9.") and title in by_name:
            found[clause] = by_name.pop(title)
    assert by_name.keys() == {"ErrorResponse"}, "a message without a clause"
    info = inspect.multi_type_info(MESSAGE_TYPES.values())
    records = {record.cls.__name__: record.cls for record in _records(info)}
    assert sorted(records) == sorted(_RECORDS)
    return found | {f"9.16.{place}": records[name] for place, name in enumerate(_RECORDS, start=1)}


def _records(types: Sequence[inspect.Type]) -> list[inspect.StructType]:
    """The records in messages, and in records."""
    found = []
    for info in types:
        match info:
            case inspect.StructType():
                inside = _records([field.type for field in info.fields])
                found += inside if info.cls in MESSAGE_TYPES.values() else [info, *inside]
            case inspect.ListType() | inspect.VarTupleType():
                found += _records([info.item_type])
    return found


CLAUSES = _clauses()
_NO_FIELDS = [clause for clause, record in CLAUSES.items() if not record.__struct_fields__]
_FIELDS = [
    pytest.param(record, row, id=f"{clause} {record.__name__}.{row['field']}")
    for clause, record in CLAUSES.items()
    if record.__struct_fields__
    for row in table(clause, "#").dicts()
]


# -- fields


@pytest.mark.parametrize("clause", CLAUSES)
def test_a_table_has_every_field_in_order(clause: str) -> None:
    record = CLAUSES[clause]
    if clause in _NO_FIELDS:
        assert [found for found in spec().tables if found.clause.startswith(clause)] == []
        return
    rows = table(clause, "#")
    assert tuple(map(bare, rows.column("field"))) == record.__struct_fields__
    assert rows.column("#") == [str(place) for place in range(1, len(rows.rows) + 1)]
    assert all(rows.column("meaning"))


def test_every_message_is_told_the_kind_it_has() -> None:
    kinds = {record: kind for kind, record in MESSAGE_TYPES.items()}
    prose = "\n".join(spec().prose)
    for clause, record in CLAUSES.items():
        if record in kinds:
            section = prose.partition(f"\n### {clause} ")[2].partition("\n### ")[0]
            assert f"ind `{kinds[record]:#04x}`" in section, clause


@pytest.mark.parametrize(("record", "row"), _FIELDS)
def test_a_field_has_the_type_of_its_row(record: type[Struct], row: dict[str, str]) -> None:
    info = _type(record, row)
    assert row["type"].replace(" id", " text").replace("id", "text") == _type_name(info)
    match info:
        case inspect.IntType():
            assert (info.ge, info.le) == (0, MAX_INTEGER)
        case inspect.ListType(max_length=int(most)):
            assert row["range"] == f"0..{most} items"


def _field(record: type[Struct], row: dict[str, str]) -> inspect.Field:
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)
    return next(field for field in info.fields if field.name == bare(row["field"]))


def _type(record: type[Struct], row: dict[str, str]) -> inspect.Type:
    """Its type, without what is said about it for people."""
    info = _field(record, row).type
    return info.type if isinstance(info, inspect.Metadata) else info


def _type_name(info: inspect.Type) -> str:
    match info:
        case inspect.ListType() | inspect.VarTupleType():
            return f"list of {_type_name(info.item_type)}"
        case inspect.StructType() | inspect.EnumType():
            name = info.cls.__name__
            return name if isinstance(info, inspect.StructType) else name.lower()
    names: dict[type, str] = {
        inspect.IntType: "u63",
        inspect.StrType: "text",
        inspect.BytesType: "bytes",
        inspect.BoolType: "bool",
    }
    return names[type(info)]


# -- ranges


def _samples() -> list[Message]:
    """Honest messages, and those in which a field can be zero, or as large as can be, only without any data."""
    samples = sample_messages()
    piece = next(message for message in samples if isinstance(message, InstallSnapshotRequest))
    bare_piece = msgspec.structs.replace(piece, total_bytes=0, offset=0, data=b"")
    samples += [bare_piece, msgspec.structs.replace(bare_piece, total_bytes=MAX_INTEGER)]
    return samples


_PLACES: dict[type[Struct], Callable[[Any, Callable[[Any], Any]], dict[str, Any] | None]] = {
    Entry: lambda message, change: (
        {"entries": [change(message.entries[0]), *message.entries[1:]]} if message.entries else None
    ),
    Membership: lambda message, change: {"membership": change(message.membership)},
    Member: lambda message, change: {
        "membership": Membership(
            (change(message.membership.members[0]), Member("a-voter")), message.membership.outgoing
        )
    },
}
_HOLDERS: dict[type[Struct], type[Message]] = {
    Entry: AppendEntriesRequest,
    Membership: InstallSnapshotRequest,
    Member: InstallSnapshotRequest,
}


def _with(record: type[Struct], name: str, value: object) -> list[Message]:
    """Every sample that has such a record, with that field of it changed."""

    def change(found: Any) -> Any:
        return msgspec.structs.replace(found, **{name: value})

    messages = []
    for message in _samples():
        if type(message) is record:
            messages.append(change(message))
        elif record in _PLACES and type(message) is _HOLDERS[record]:
            changed = _PLACES[record](message, change)
            messages += [msgspec.structs.replace(message, **changed)] if changed else []
        elif record not in MESSAGE_TYPES.values() and record not in _PLACES and isinstance(message, StatusResponse):
            messages += [msgspec.structs.replace(message, peers=[change(message.peers[0])])] if message.peers else []
    assert messages
    return messages


def _is_honest(message: Message) -> bool:
    try:
        check(message)
    except DecodeError:
        return False
    return True


def _judged(record: type[Struct], row: dict[str, str], value: object) -> set[bool]:
    """Whether honest messages stay honest with that value in that field: all, none, or it depends on the others."""
    return {_is_honest(message) for message in _with(record, bare(row["field"]), value)}


@pytest.mark.parametrize(("record", "row"), _FIELDS)
def test_what_is_out_of_range_is_refused_and_what_is_in_range_is_not(record: type[Struct], row: dict[str, str]) -> None:
    inside, outside = _edges(record, row)
    assert [value for value in inside if True not in _judged(record, row, value)] == []
    assert [value for value in outside if True in _judged(record, row, value)] == []


def _edges(record: type[Struct], row: dict[str, str]) -> tuple[Sequence[object], Sequence[object]]:
    """Values that the row allows, and values that it does not."""
    match row["type"], row["range"].split(".."):
        case "u63", [low, high]:
            assert number(high) in (MAX_INTEGER, MAX_INTEGER - 1)
            return (number(low), number(high)), (number(low) - 1, number(high) + 1, -(2**63), 2**64)
        case "id", ["id"]:
            return _IDS, _NO_IDS
        case "id", ["id or empty"]:
            return ("", *_IDS), [text for text in _NO_IDS if text]
        case "bytes", ["32 bytes"]:
            return (bytes(32),), (bytes(31), bytes(33))
        case "bool", ["any"]:
            return (False, True), ()
        case "bytes", ["any"]:
            return (b"", b"\0\xff"), ()
        case "text", ["any"]:
            return _TEXTS, ()
        case ("consistency" | "suffrage") as name, ["closed"]:
            return list(_ENUMERATIONS[name]), ()
        case "Membership", ["with a voter"]:
            learner = Member("n1", (), Suffrage.LEARNER)
            return (Membership((Member("n1"),), ("n1",)),), (Membership(()), Membership((learner,)))
        case kind, [fewest, most] if kind.startswith("list of "):
            least, greatest = int(fewest), int(most.removesuffix(" items"))
            make = _items(kind.removeprefix("list of "))
            outside = [make(greatest + 1), *([make(least - 1)] if least else [])]
            return (make(least), make(greatest)), outside + ([("a b",), ("a", "a")] if kind == "list of id" else [])
    raise AssertionError(f"{row['field']}: {row['type']} has no range {row['range']!r}")


def _items(kind: str) -> Callable[[int], Sequence[object]]:
    match kind:
        case "Entry":
            return lambda count: [Entry(MAX_INTEGER, 1, b"")] * count
        case "Member":
            return lambda count: tuple(Member(f"n{place}") for place in range(count))
        case "id":
            return lambda count: tuple(f"n{place}" for place in range(count))
        case "text":
            return lambda count: [""] * count
    peers = next(message.peers for message in _samples() if isinstance(message, StatusResponse) and message.peers)
    return lambda count: [peers[0]] * count


# -- absent fields


@pytest.mark.parametrize(("record", "row"), _FIELDS)
def test_the_default_is_the_types_zero_or_there_is_none_because_zero_is_refused(
    record: type[Struct], row: dict[str, str]
) -> None:
    field = _field(record, row)
    shown, zero = _zero(_type(record, row))
    if row["default"] == "none":
        assert _judged(record, row, zero) == {False}
        assert field.required
        return
    assert row["default"] == shown
    assert True in _judged(record, row, zero)
    if not field.required:
        default = field.default_factory() if callable(field.default_factory) else field.default
        assert default == type(default)(zero)


def _zero(info: inspect.Type) -> tuple[str, Any]:
    match info:
        case inspect.IntType():
            return "0", 0
        case inspect.BoolType():
            return "false", False
        case inspect.BytesType():
            return "empty", b""
        case inspect.StrType():
            return '`""`', ""
        case inspect.ListType() | inspect.VarTupleType():
            return "`[]`", ()
        case inspect.EnumType():
            return f"`{next(iter(info.cls))}`", next(iter(info.cls))
    assert isinstance(info, inspect.StructType)
    return "empty", info.cls(())


# -- enumerations


def test_enumerations_have_the_values_of_the_table() -> None:
    rows = {row["enumeration"]: row for row in table("8.9").dicts()}
    for name, enumeration in _ENUMERATIONS.items():
        assert rows[name]["kind"] == "closed"
        assert rows[name]["values, the first one being the zero"] == ", ".join(f"`{value}`" for value in enumeration)
    assert rows.keys() - _ENUMERATIONS.keys() == {"error code", "role", "state"}
    assert {row["kind"] for name, row in rows.items() if name not in _ENUMERATIONS} == {"open"}


def test_error_codes_are_those_of_the_table_in_order() -> None:
    assert list(map(bare, table("10.1").column("code"))) == [code.value for code in ErrorCode]


def test_kinds_of_entries_are_those_of_the_table() -> None:
    told = {row["name"]: int(row["kind"]) for row in table("8.10").dicts()}
    assert told == {
        name.lower().replace("_", " "): kind for name, kind in vars(EntryKind).items() if not name.startswith("_")
    }


def test_there_is_a_kind_for_every_message() -> None:
    assert set(MESSAGE_TYPES) == set(MessageKind)
