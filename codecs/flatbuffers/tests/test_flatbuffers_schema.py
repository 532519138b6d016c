"""raft.fbs, `raftsdk.messages` and the codec's own tables say the same, and so does `flatc` where it is installed."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import UnionType
from typing import Any

import msgspec
import pytest
from flatbuffers_by_library import SCHEMA, SCHEMA_FILE, plain
from msgspec import inspect
from raftsdk_flatbuffers import FlatbuffersCodec
from raftsdk_flatbuffers.schema import TABLES, table_of

from raftsdk.messages import MESSAGE_KINDS, MESSAGE_TYPES, AppendEntriesRequest, Message, PeerStatus
from raftsdk.testing import codec_suite
from raftsdk.types import Entry, Member, Membership

CODEC = FlatbuffersCodec()
RECORDS: tuple[type, ...] = (*MESSAGE_TYPES.values(), PeerStatus, Member, Membership)

SCALARS: dict[type, str] = {
    inspect.IntType: "ulong",
    inspect.BoolType: "bool",
    inspect.BytesType: "[ubyte]",
    inspect.StrType: "string",
    inspect.EnumType: "string",
}

needs_flatc = pytest.mark.skipif(
    shutil.which("flatc") is None, reason="no flatc here: apt-get install flatbuffers-compiler"
)


def expected_fields(record: type) -> Iterator[tuple[str, str]]:
    """What raft.fbs should say of a type of `raftsdk.messages`, from its annotations."""
    for field in msgspec.structs.fields(record):
        if record is AppendEntriesRequest and field.name == "entries":
            yield from (("entries", "[EntryHeader]"), ("payload", "[ubyte]"))
        else:
            yield field.name, expected_type(inspect.type_info(field.type))


def expected_type(info: Any) -> str:
    match info:
        case inspect.Metadata():
            return expected_type(info.type)
        case inspect.ListType() | inspect.VarTupleType():
            return f"[{expected_type(info.item_type)}]"
        case inspect.StructType():
            return str(info.cls.__name__)
    return SCALARS[type(info)]


def test_the_schema_has_a_table_of_every_message_and_record_and_nothing_else() -> None:
    assert set(SCHEMA) == {"EntryHeader", *(record.__name__ for record in RECORDS)}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_schema_and_messages_have_the_same_fields_in_the_same_order(record: type) -> None:
    assert list(SCHEMA[record.__name__].items()) == list(expected_fields(record))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_schema_and_codec_have_the_same_fields_in_the_same_order(record: type) -> None:
    slots = [(slot.name, slot.value.schema) for slot in table_of(record).slots]
    assert slots == list(SCHEMA[record.__name__].items())


def test_a_header_has_what_an_entry_has() -> None:
    names = [field.name for field in msgspec.structs.fields(Entry)]
    assert list(SCHEMA["EntryHeader"]) == [*names[:-1], "length"]
    assert names[-1] == "data"


def test_every_message_has_a_table() -> None:
    assert set(TABLES) == set(MESSAGE_TYPES.values())


@pytest.mark.parametrize("annotation", [float, int | None, dict[str, str], list[str], tuple[str, ...]], ids=str)
def test_a_field_the_schema_has_no_type_for_and_a_list_without_a_limit_are_found_at_import(
    annotation: type | UnionType,
) -> None:
    record = msgspec.defstruct("Record", [("field", annotation)])
    with pytest.raises(TypeError, match=r"raft\.fbs has no type for"):
        table_of(record)


# -- flatc, which is C++


def flatc(*arguments: str | Path) -> None:
    done = subprocess.run(["flatc", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def messages_by_name() -> dict[str, list[Message]]:
    chance = Random(19)
    messages = [*codec_suite.sample_messages(), *(codec_suite.random_message(chance) for _ in range(300))]
    by_name: dict[str, list[Message]] = {}
    for message in messages:
        by_name.setdefault(type(message).__name__, []).append(message)
    return by_name


MESSAGES = messages_by_name()


@needs_flatc
@pytest.mark.parametrize("name", MESSAGES)
def test_flatc_reads_what_the_codec_writes(name: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.bin" for number, _ in enumerate(MESSAGES[name])]
    for message, file in zip(MESSAGES[name], files, strict=True):
        file.write_bytes(CODEC.encode(message))
    root = f"raftsdk.v1.{name}"
    flatc("--json", "--strict-json", "--raw-binary", "--size-prefixed", "--root-type", root, "-o", tmp_path,
          SCHEMA_FILE, "--", *files)  # fmt: skip
    for message, file in zip(MESSAGES[name], files, strict=True):
        values = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        assert values == jsonable(plain(message))


@needs_flatc
@pytest.mark.parametrize("name", MESSAGES)
def test_the_codec_reads_what_flatc_writes(name: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.json" for number, _ in enumerate(MESSAGES[name])]
    for message, file in zip(MESSAGES[name], files, strict=True):
        file.write_text(json.dumps(jsonable(plain(message))), encoding="utf-8")
    flatc("--binary", "--size-prefixed", "--root-type", f"raftsdk.v1.{name}", "-o", tmp_path, SCHEMA_FILE, *files)
    for message, file in zip(MESSAGES[name], files, strict=True):
        data = file.with_suffix(".bin").read_bytes()
        assert repr(CODEC.decode(MESSAGE_KINDS[type(message)], data)) == repr(message)


def jsonable(value: Any) -> Any:
    """As flatc's JSON has it: bytes are lists of numbers."""
    if isinstance(value, dict):
        return {name: jsonable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    return list(value) if isinstance(value, bytes) else value
