"""What the bytes on disk mean: small records sealed by a checksum, and packed log entries, each with its own.

A sealed record is JSON behind its CRC-32 in hexadecimal, so that a person can read it: `1c291ca3 {"starts":1,…}`.
A packed entry is a header (index, term, kind, length of the data), the CRC-32 of header and data, and the data.
"""

from collections.abc import Sequence
from struct import Struct as Layout
from typing import Final, TypeVar
from zlib import crc32

from msgspec import DecodeError, Struct, json

from raftsdk.types import Entry, EntryId, HardState, LogIndex

FORMAT: Final = 2
"""The version of everything in a data directory. The seal, and the field `format` behind it, are the same in all.

Format 1 had neither snapshots nor compaction. What it wrote is read as it is, and becomes format 2 with the next start.
"""

_HEADER: Final = Layout(">QQQI")
_PACKED: Final = Layout(">QQQII")
_SEAL_CHARS: Final = 9

Record = TypeVar("Record", bound=Struct)


class Damaged(Exception):
    """These bytes are not what was written. The text says what they should have been."""


class Format(Struct, frozen=True):
    """What every format's records begin with; read before anything else is expected of them."""

    format: int


class Ownership(Struct, frozen=True):
    """Whose the database is, and how often a node has started on it."""

    format: int
    cluster_id: str
    node_id: str
    starts: int


class LogState(Struct, frozen=True, omit_defaults=True):
    """The hard state, and where the log ends: without the latter, a lost last row would look like a shorter log.

    Likewise for its beginning, and for the record of the snapshot. A log that was never compacted leaves both out.
    """

    hard_state: HardState
    last_index: LogIndex
    compacted: EntryId = EntryId(0, 0)  #: The last entry that is gone from the beginning.
    snapshot_index: LogIndex = 0  #: Of the snapshot in its own record; 0: there is none.


def seal(record: Struct) -> bytes:
    """The record as it goes to disk."""
    body = json.encode(record)
    return b"%08x %b" % (crc32(body), body)


def unseal(sealed: object, kind: type[Record], name: str) -> Record:
    """The record again. Raises `Damaged`, calling it `name`, when a bit of it has changed or it is not there."""
    if not isinstance(sealed, bytes):
        raise Damaged(f"the {name} is missing")
    body = sealed[_SEAL_CHARS:]
    if sealed[:_SEAL_CHARS] != b"%08x " % crc32(body):
        raise Damaged(f"the {name} does not match its checksum")
    try:
        return json.decode(body, type=kind)
    except DecodeError as error:
        raise Damaged(f"the {name} makes no sense: {error}") from error


def pack_entries(first_index: LogIndex, entries: Sequence[Entry]) -> bytes:
    """The entries back to back, the first of them at `first_index`."""
    parts: list[bytes] = []
    for index, entry in enumerate(entries, first_index):
        data = entry.data
        header = _HEADER.pack(index, entry.term, entry.kind, len(data))
        parts += (header, crc32(data, crc32(header)).to_bytes(4, "big"), data)
    return b"".join(parts)


def unpack_entries(packed: object, first_index: LogIndex) -> list[Entry]:
    """What `pack_entries` was given. Raises `Damaged`, naming the index, unless every byte is as it was."""
    if not isinstance(packed, bytes):
        raise Damaged(f"the entries from index {first_index} are no bytes")
    entries: list[Entry] = []
    start = 0
    while start < len(packed):
        index = first_index + len(entries)
        header = packed[start : start + _HEADER.size]
        data_start = start + _PACKED.size
        if data_start > len(packed):
            raise Damaged(f"the entry at index {index} is cut short")
        stored_index, term, kind, data_bytes, checksum = _PACKED.unpack_from(packed, start)
        start = data_start + data_bytes
        data = packed[data_start:start]
        if checksum != crc32(data, crc32(header)) or stored_index != index:
            raise Damaged(f"the entry at index {index} does not match its checksum")
        entries.append(Entry(term, kind, data))
    return entries


def split_entries(packed: bytes, count: int) -> tuple[bytes, bytes]:
    """The first `count` of packed entries, and the others."""
    end = 0
    for _ in range(count):
        *_, data_bytes, _checksum = _PACKED.unpack_from(packed, end)
        end += _PACKED.size + data_bytes
    return packed[:end], packed[end:]
