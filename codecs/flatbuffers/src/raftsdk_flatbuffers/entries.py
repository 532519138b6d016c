"""The entries of an AppendEntriesRequest as two columns: fixed structs, and the data of all in one piece.

A table for each entry would take thirty times as long in Python.
"""

from struct import Struct, pack
from typing import Any, Final

from raftsdk.messages import MAX_ENTRIES, AppendEntriesRequest
from raftsdk.types import Entry
from raftsdk_flatbuffers.reader import Malformed, Reader
from raftsdk_flatbuffers.values import OFFSET, Value
from raftsdk_flatbuffers.writer import Writer

_HEADER: Final = Struct("<QQQ")  # term, kind, length of the data


def _write_headers(writer: Writer, entries: list[Entry], place: int) -> int:
    numbers = [0] * (3 * len(entries))
    # Column by column, in two thirds of the time that a loop over the entries takes.
    numbers[0::3] = [entry.term for entry in entries]
    numbers[1::3] = [entry.kind for entry in entries]
    numbers[2::3] = [len(entry.data) for entry in entries]
    return writer.structs(len(entries), pack(f"<{len(numbers)}Q", *numbers), place)


def _read_headers(reader: Reader, place: int) -> bytes:
    return reader.copy(place, _HEADER.size, MAX_ENTRIES)


def _write_payload(writer: Writer, entries: list[Entry], place: int) -> int:
    return writer.joined([entry.data for entry in entries], place)


HEADERS: Final = Value("[EntryHeader]", OFFSET, bytes, _write_headers, _read_headers)
PAYLOAD: Final = Value("[ubyte]", OFFSET, bytes, _write_payload, Reader.copy)


def append_entries_request(entries: bytes, payload: bytes, **fields: Any) -> AppendEntriesRequest:
    """The message of these columns and its other fields. Raises `Malformed` when the columns do not fit each other.

    A length may claim anything up to 2^64-1. A slice ends where the payload does, and the sum gives the claim away.
    """
    found = []
    end = 0
    for term, kind, length in _HEADER.iter_unpack(entries):
        start, end = end, end + length
        found.append(Entry(term, kind, payload[start:end]))
    if end != len(payload):
        raise Malformed(f"{len(payload)} bytes, and the entries need {end}", ".payload")
    return AppendEntriesRequest(entries=found, **fields)
