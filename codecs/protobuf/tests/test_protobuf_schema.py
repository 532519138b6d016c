"""The schema says what `raftsdk.messages` says, the generated code is of it, and its JSON is the JSON on our wire."""

import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from msgspec import Struct
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
from raftsdk_json import JsonCodec
from raftsdk_protobuf import ProtobufCodec, raft_pb2, records

from raftsdk.messages import MESSAGE_KINDS, MESSAGE_TYPES, Message, PeerStatus
from raftsdk.testing import codec_suite
from raftsdk.types import Entry, Member, Membership

CODEC, JSON = ProtobufCodec(), JsonCodec()
DISTRIBUTION = Path(__file__).parents[1]
RECORDS: tuple[type[Struct], ...] = (Entry, Member, Membership, PeerStatus)
SCALARS = {
    IntType: FieldDescriptor.TYPE_UINT64,
    BytesType: FieldDescriptor.TYPE_BYTES,
    StrType: FieldDescriptor.TYPE_STRING,
    EnumType: FieldDescriptor.TYPE_STRING,
    BoolType: FieldDescriptor.TYPE_BOOL,
}


# -- the schema and raftsdk.messages


def type_of(info: Type) -> tuple[bool, int, str]:
    """Whether a field is a list, its type in protobuf, and the record's name if it is of one."""
    match info:
        case Metadata():
            return type_of(info.type)
        case ListType() | VarTupleType():
            return (True, *type_of(info.item_type)[1:])
        case StructType():
            return False, FieldDescriptor.TYPE_MESSAGE, info.cls.__name__
    return False, SCALARS[type(info)], ""


def fields_of(record: type[Struct]) -> list[tuple[int, str, bool, int, str]]:
    info = type_info(record)
    assert isinstance(info, StructType)
    return [(number, field.name, *type_of(field.type)) for number, field in enumerate(info.fields, 1)]


def fields_in_schema(message: Descriptor) -> list[tuple[int, str, bool, int, str]]:
    return [
        (
            field.number,
            field.name,
            field.is_repeated,
            field.type,
            field.message_type.name if field.message_type else "",
        )
        for field in message.fields
    ]


@pytest.mark.parametrize("record", [*MESSAGE_TYPES.values(), *RECORDS], ids=lambda record: record.__name__)
def test_every_message_has_the_fields_of_its_struct_in_their_order(record: type[Struct]) -> None:
    assert fields_in_schema(raft_pb2.DESCRIPTOR.message_types_by_name[record.__name__]) == fields_of(record)


def test_the_schema_has_these_messages_and_nothing_else() -> None:
    schema = raft_pb2.DESCRIPTOR
    assert schema.package == "raftsdk.v1"
    assert set(schema.message_types_by_name) == {record.__name__ for record in [*MESSAGE_TYPES.values(), *RECORDS]}
    others = (schema.enum_types_by_name, schema.extensions_by_name, schema.services_by_name, schema.dependencies)
    assert [len(other) for other in others] == [0, 0, 0, 0]


def test_no_field_but_a_record_tells_absent_from_zero() -> None:
    """None is `optional` and none is one of several, so that absent means zero in every language."""
    with_presence = [
        f"{message.name}.{field.name}"
        for message in raft_pb2.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.has_presence
    ]
    assert with_presence == ["InstallSnapshotRequest.membership", "ChangeMembershipResponse.membership"]


def test_a_list_without_a_limit_is_an_error_before_anything_is_read() -> None:
    class Endless(Struct):
        numbers: list[int]

    with pytest.raises(AssertionError, match=r"Endless\.numbers: a list without a max_length"):
        records.reader_of(Endless)


# -- the generated code

GENERATED = ("raft_pb2.py", "raft_pb2.pyi")


@pytest.mark.skipif(find_spec("grpc_tools") is None, reason="needs protoc: make setup")
def test_the_generated_code_is_what_protoc_makes_of_the_schema(tmp_path: Path) -> None:
    source = DISTRIBUTION / "src"
    command = ["-m", "grpc_tools.protoc", f"-I{source}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([sys.executable, *command, "raftsdk_protobuf/raft.proto"], check=True)
    made = tmp_path / "raftsdk_protobuf"
    assert sorted(path.name for path in made.iterdir()) == sorted(GENERATED)
    for name in GENERATED:
        assert (made / name).read_bytes() == (source / "raftsdk_protobuf" / name).read_bytes(), "run `make generate`"


def test_the_oldest_library_allowed_is_the_one_the_generated_code_asks_for() -> None:
    """It refuses to run with any older one, and the project behind it promises that the next major version runs it."""
    generated = (files("raftsdk_protobuf") / "raft_pb2.py").read_text(encoding="utf-8")
    major, minor, patch = re.findall(r"^    (\d+),$", generated, flags=re.MULTILINE)
    manifest = tomllib.loads((DISTRIBUTION / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"protobuf>={major}.{minor}.{patch},<{int(major) + 2}" in manifest["project"]["dependencies"]


def test_the_schema_is_in_the_package_for_other_languages() -> None:
    schema = (files("raftsdk_protobuf") / "raft.proto").read_text(encoding="utf-8")
    assert re.findall(r"^message (\w+) ", schema, flags=re.MULTILINE) == list(raft_pb2.DESCRIPTOR.message_types_by_name)
    assert {line for line in schema.splitlines() if line.startswith(("syntax", "package", "option"))} == {
        'syntax = "proto3";',
        "package raftsdk.v1;",
        'option go_package = "raftsdk/v1;raftsdkv1";',
        'option java_package = "raftsdk.v1";',
        "option java_multiple_files = true;",
        'option java_outer_classname = "RaftProto";',
    }


# -- proto3 JSON is the JSON on our wire


def many_messages() -> list[Message]:
    chance = Random(40)
    return [*codec_suite.sample_messages(), *(codec_suite.random_message(chance) for _ in range(500))]


def parsed(message: Message) -> Any:
    return getattr(raft_pb2, type(message).__name__).FromString(CODEC.encode(message))


def test_what_the_json_codec_writes_protobuf_reads_as_what_this_codec_writes() -> None:
    for message in many_messages():
        from_json = json_format.Parse(JSON.encode(message), getattr(raft_pb2, type(message).__name__)())
        assert from_json == parsed(message)
        assert from_json.SerializeToString() == CODEC.encode(message)


@pytest.mark.parametrize("zeros", [True, False], ids=["with zeros", "without zeros"])
def test_what_protobuf_writes_as_json_the_json_codec_reads(zeros: bool) -> None:
    for message in many_messages():
        text = json_format.MessageToJson(
            parsed(message), preserving_proto_field_name=True, always_print_fields_with_no_presence=zeros
        )
        if len(text) < 65_536:  # there the JSON codec has a limit of its own to texts beyond Latin-1
            assert repr(JSON.decode(MESSAGE_KINDS[type(message)], text.encode())) == repr(message)
