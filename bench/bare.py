"""AppendEntries through bare libraries: what a good engineer writes for speed, with no check of what arrives.

Structs in and out, like our codecs, and by their schemas but for MessagePack, where a map for each entry is what bare
msgspec does best. For Cap'n Proto and FlatBuffers that means columns: lists of structs, or a table for each entry,
would take several times as long.
"""

import pickle
from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

import flatbuffers
import msgspec
from flatbuffers import encode as flatbuffers_encoding
from flatbuffers import number_types, packer
from flatbuffers.table import Table
from raftsdk_capnp.schema import STRUCTS
from raftsdk_protobuf import raft_pb2

from raftsdk.messages import AppendEntriesRequest
from raftsdk.types import Entry

Encode = Callable[[AppendEntriesRequest], bytes]
Decode = Callable[[bytes], AppendEntriesRequest]


class Program(NamedTuple):
    """One way to turn the message into bytes, and back if that is possible."""

    name: str
    encode: Encode
    decode: Decode | None


# -- protobuf


def protobuf_encode(message: AppendEntriesRequest) -> bytes:
    """Of the ways to fill a repeated field, the quickest."""
    request = raft_pb2.AppendEntriesRequest(
        term=message.term,
        leader_id=message.leader_id,
        prev_log_index=message.prev_log_index,
        prev_log_term=message.prev_log_term,
        leader_commit=message.leader_commit,
    )
    add = request.entries.add
    for entry in message.entries:
        added = add()
        added.term = entry.term
        added.kind = entry.kind
        added.data = entry.data
    encoded: bytes = request.SerializeToString()
    return encoded


def protobuf_decode(data: bytes) -> AppendEntriesRequest:
    """One pass over the library's objects."""
    request = raft_pb2.AppendEntriesRequest.FromString(data)
    return AppendEntriesRequest(
        term=request.term,
        leader_id=request.leader_id,
        prev_log_index=request.prev_log_index,
        prev_log_term=request.prev_log_term,
        leader_commit=request.leader_commit,
        entries=[Entry(entry.term, entry.kind, entry.data) for entry in request.entries],
    )


# -- Cap'n Proto

_capnp_request: Any = STRUCTS[AppendEntriesRequest]


def capnp_encode(message: AppendEntriesRequest) -> bytes:
    """A list for each field of the entries."""
    request = _capnp_request.new_message(
        term=message.term,
        leaderId=message.leader_id,
        prevLogIndex=message.prev_log_index,
        prevLogTerm=message.prev_log_term,
        leaderCommit=message.leader_commit,
    )
    columns = request.init("entries")
    columns.terms = [entry.term for entry in message.entries]
    columns.kinds = [entry.kind for entry in message.entries]
    columns.data = [entry.data for entry in message.entries]
    encoded: bytes = request.to_bytes()
    return encoded


def capnp_decode(data: bytes) -> AppendEntriesRequest:
    """Columns into structs."""
    with _capnp_request.from_bytes(data) as request:
        columns = request.entries
        return AppendEntriesRequest(
            term=request.term,
            leader_id=request.leaderId,
            prev_log_index=request.prevLogIndex,
            prev_log_term=request.prevLogTerm,
            leader_commit=request.leaderCommit,
            entries=list(map(Entry, columns.terms, columns.kinds, columns.data)),
        )


# -- FlatBuffers

_HEADER = Struct("<QQQ")
_SIZE_PREFIX_BYTES = 4
_TERM, _LEADER_ID, _PREV_LOG_INDEX, _PREV_LOG_TERM, _LEADER_COMMIT, _ENTRIES, _PAYLOAD = range(7)


def flatbuffers_encode(message: AppendEntriesRequest) -> bytes:
    """The structs packed by `struct`, of which the builder would take eight bytes at a time."""
    headers = b"".join([_HEADER.pack(entry.term, entry.kind, len(entry.data)) for entry in message.entries])
    joined = b"".join([entry.data for entry in message.entries])
    builder = flatbuffers.Builder(len(headers) + len(joined) + 256)
    leader_id = builder.CreateString(message.leader_id)
    payload = builder.CreateByteVector(joined)
    builder.StartVector(_HEADER.size, len(message.entries), 8)
    builder.head -= len(headers)
    builder.Bytes[builder.head : builder.head + len(headers)] = headers
    entries = builder.EndVector()
    builder.StartObject(7)
    builder.PrependUint64Slot(_TERM, message.term, 0)
    builder.PrependUOffsetTRelativeSlot(_LEADER_ID, leader_id, 0)
    builder.PrependUint64Slot(_PREV_LOG_INDEX, message.prev_log_index, 0)
    builder.PrependUint64Slot(_PREV_LOG_TERM, message.prev_log_term, 0)
    builder.PrependUint64Slot(_LEADER_COMMIT, message.leader_commit, 0)
    builder.PrependUOffsetTRelativeSlot(_ENTRIES, entries, 0)
    builder.PrependUOffsetTRelativeSlot(_PAYLOAD, payload, 0)
    builder.FinishSizePrefixed(builder.EndObject())
    return bytes(builder.Output())


def flatbuffers_decode(data: bytes) -> AppendEntriesRequest:
    """The accessors that generated code calls."""
    root = flatbuffers_encoding.Get(packer.uoffset, data, _SIZE_PREFIX_BYTES)
    table = Table(data, root + _SIZE_PREFIX_BYTES)

    def number(slot: int) -> int:
        value: int = table.GetSlot(4 + 2 * slot, 0, number_types.Uint64Flags)
        return value

    def piece(slot: int, item_bytes: int) -> bytes:
        offset = table.Offset(4 + 2 * slot)
        start = table.Vector(offset)
        return data[start : start + item_bytes * table.VectorLen(offset)]

    payload, end, entries = piece(_PAYLOAD, 1), 0, []
    for term, kind, length in _HEADER.iter_unpack(piece(_ENTRIES, _HEADER.size)):
        start, end = end, end + length
        entries.append(Entry(term, kind, payload[start:end]))
    return AppendEntriesRequest(
        term=number(_TERM),
        leader_id=piece(_LEADER_ID, 1).decode(),
        prev_log_index=number(_PREV_LOG_INDEX),
        prev_log_term=number(_PREV_LOG_TERM),
        leader_commit=number(_LEADER_COMMIT),
        entries=entries,
    )


# -- all of them


def _pickle_encode(message: AppendEntriesRequest) -> bytes:
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def _join(message: AppendEntriesRequest) -> bytes:
    return b"".join([entry.data for entry in message.entries])


BESIDE: dict[str, Program] = {
    "msgpack": Program(
        "msgspec, MessagePack", msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(AppendEntriesRequest).decode
    ),
    "json": Program("msgspec, JSON", msgspec.json.Encoder().encode, msgspec.json.Decoder(AppendEntriesRequest).decode),
    "protobuf": Program("protobuf (upb)", protobuf_encode, protobuf_decode),
    "capnp": Program("pycapnp, columns", capnp_encode, capnp_decode),
    "flatbuffers": Program("flatbuffers, structs and a payload", flatbuffers_encode, flatbuffers_decode),
}
"""By the name of our codec, the program it is measured against."""

OTHERS = (
    Program("pickle", _pickle_encode, pickle.loads),
    Program("the payloads joined", _join, None),
)
