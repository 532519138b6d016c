"""How long the codecs take for a batch of 64 entries of 256 bytes, beside the `msgpack` package as fast as it goes.

    .venv/bin/python bench/codecs.py [--json]

Every contender does the same duties on the way in: types checked, structs built, `messages.check` called. Ours refuse
fields that occur twice as well. Rounds are interleaved and medians taken, so that what else the machine does hits all
alike; the ratios mean something, the times only on this machine.
"""

import argparse
import json
import time
from collections.abc import Callable
from random import Random
from statistics import median
from typing import Any, NamedTuple

import msgpack
import msgspec
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec

from raftsdk.errors import DecodeError
from raftsdk.messages import AppendEntriesRequest, MessageKind, check
from raftsdk.types import Entry, LogIndex, NodeId, Term, Unsigned

ENTRIES = 64
ENTRY_BYTES = 256
ROUNDS = 9
CALLS_PER_ROUND = 1_000
KIND = MessageKind.APPEND_ENTRIES_REQUEST


class Contender(NamedTuple):
    """One way to turn the batch into bytes and back."""

    name: str
    encode: Callable[[AppendEntriesRequest], bytes]
    decode: Callable[[bytes], Any]


def batch() -> AppendEntriesRequest:
    """The message measured; payloads are random, so nothing about them can be guessed or found in a cache."""
    chance = Random(64)
    entries = [Entry(300, 1, chance.randbytes(ENTRY_BYTES)) for _ in range(ENTRIES)]
    return AppendEntriesRequest(
        term=300, leader_id="n1", prev_log_index=100_000, prev_log_term=300, leader_commit=99_990, entries=entries
    )


# -- the msgpack package: names as keys, the same bytes as our codec's

_pack = msgpack.Packer().pack
_unpack = msgpack.unpackb


def package_encode(message: AppendEntriesRequest) -> bytes:
    """Maps, as `raftsdk-msgpack` writes them."""
    packed: bytes = _pack(
        {
            "term": message.term,
            "leader_id": message.leader_id,
            "prev_log_index": message.prev_log_index,
            "prev_log_term": message.prev_log_term,
            "leader_commit": message.leader_commit,
            "entries": [{"term": entry.term, "kind": entry.kind, "data": entry.data} for entry in message.entries],
        }
    )
    return packed


def package_decode(data: bytes) -> AppendEntriesRequest:
    """Maps into structs; one pass for each column is cheaper than three checks for each entry."""
    fields = _unpack(data)
    entries = fields["entries"]
    return _checked(
        fields["term"],
        fields["leader_id"],
        fields["prev_log_index"],
        fields["prev_log_term"],
        fields["leader_commit"],
        [entry["term"] for entry in entries],
        [entry["kind"] for entry in entries],
        [entry["data"] for entry in entries],
    )


def package_encode_columns(message: AppendEntriesRequest) -> bytes:
    """An array of the fields, entries as three lists: the fastest shape for this package."""
    packed: bytes = _pack(_columns(message))
    return packed


def package_decode_columns(data: bytes) -> AppendEntriesRequest:
    """Columns into structs."""
    return _checked(*_unpack(data))


def _columns(message: AppendEntriesRequest) -> tuple[object, ...]:
    entries = message.entries
    return (
        message.term,
        message.leader_id,
        message.prev_log_index,
        message.prev_log_term,
        message.leader_commit,
        [entry.term for entry in entries],
        [entry.kind for entry in entries],
        [entry.data for entry in entries],
    )


def _checked(
    term: Any, leader_id: Any, prev_index: Any, prev_term: Any, commit: Any, terms: Any, kinds: Any, data: Any
) -> AppendEntriesRequest:
    """What msgspec does in C: every value of the type it is declared with, and only then a struct."""
    if not (
        {type(term), type(prev_index), type(prev_term), type(commit), *map(type, terms), *map(type, kinds)} == {int}
        and type(leader_id) is str
        and set(map(type, data)) <= {bytes}
        and len(terms) == len(kinds) == len(data)
    ):
        raise DecodeError("a wrong type")
    return _build(term, leader_id, prev_index, prev_term, commit, list(map(Entry, terms, kinds, data)))


def _build(
    term: Term, leader_id: NodeId, prev_index: LogIndex, prev_term: Term, commit: LogIndex, entries: list[Entry]
) -> AppendEntriesRequest:
    message = AppendEntriesRequest(
        term=term,
        leader_id=leader_id,
        prev_log_index=prev_index,
        prev_log_term=prev_term,
        leader_commit=commit,
        entries=entries,
    )
    check(message)
    return message


# -- msgspec without the search for repeated fields, and in columns

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AppendEntriesRequest).decode


class Columns(msgspec.Struct, array_like=True, gc=False):
    """The shape of `package_encode_columns`."""

    term: Term
    leader_id: NodeId
    prev_log_index: LogIndex
    prev_log_term: Term
    leader_commit: LogIndex
    terms: list[Unsigned]
    kinds: list[Unsigned]
    data: list[bytes]


_decode_columns = msgspec.msgpack.Decoder(Columns).decode


def msgspec_decode(data: bytes) -> AppendEntriesRequest:
    """Maps into structs, repeated fields unseen."""
    message = _decode(data)
    check(message)
    return message


def msgspec_decode_columns(data: bytes) -> AppendEntriesRequest:
    """Columns into structs; arrays cannot repeat a field."""
    found = _decode_columns(data)
    if not len(found.terms) == len(found.kinds) == len(found.data):
        raise DecodeError("columns of different lengths")
    entries = list(map(Entry, found.terms, found.kinds, found.data))
    return _build(found.term, found.leader_id, found.prev_log_index, found.prev_log_term, found.leader_commit, entries)


# -- measuring


def contenders() -> list[Contender]:
    """Ours first: the others are given as multiples of it."""
    ours, readable = MsgpackCodec(), JsonCodec()
    return [
        Contender("raftsdk-msgpack", ours.encode, lambda data: ours.decode(KIND, data)),
        Contender("raftsdk-json", readable.encode, lambda data: readable.decode(KIND, data)),
        Contender("msgspec, maps, repeated fields unseen", _encode, msgspec_decode),
        Contender("msgpack, maps, repeated fields unseen", package_encode, package_decode),
        Contender("msgspec, columns", lambda message: _encode(_columns(message)), msgspec_decode_columns),
        Contender("msgpack, columns", package_encode_columns, package_decode_columns),
    ]


def microseconds(call: Callable[[], object]) -> float:
    """One call's share of a round, in processor time: others who want the processor are not counted."""
    start = time.process_time()
    for _ in range(CALLS_PER_ROUND):
        call()
    return (time.process_time() - start) / CALLS_PER_ROUND * 1e6


def measure() -> list[dict[str, Any]]:
    """Every contender in every round, one after the other."""
    message = batch()
    rounds: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(ROUNDS):
        for name, encode, decode in contenders():
            data = encode(message)
            assert decode(data) == message, name
            times = (
                microseconds(lambda encode=encode: encode(message)),  # type: ignore[misc]  # bound now, called now
                microseconds(lambda decode=decode, data=data: decode(data)),  # type: ignore[misc]  # likewise
                len(data),
            )
            rounds.setdefault(name, []).append(times)
    return [_summary(name, times) for name, times in rounds.items()]


def _summary(name: str, times: list[tuple[float, float, float]]) -> dict[str, Any]:
    encode, decode, size = (median(column) for column in zip(*times, strict=True))
    return {"codec": name, "encode_us": encode, "decode_us": decode, "both_us": encode + decode, "bytes": int(size)}


def main() -> None:
    """Print a table, or with `--json` one object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    as_json = parser.parse_args().json
    message = batch()
    check_us = median(microseconds(lambda: check(message)) for _ in range(ROUNDS))
    rows = measure()
    for row in rows:
        row["ratio"] = row["both_us"] / rows[0]["both_us"]
    if as_json:
        print(json.dumps({"entries": ENTRIES, "entry_bytes": ENTRY_BYTES, "check_us": check_us, "codecs": rows}))
        return
    print(f"{ENTRIES} × {ENTRY_BYTES} B, medians of {ROUNDS} rounds, µs; messages.check alone: {check_us:.1f}\n")
    print(f"{'':40}{'encode':>9}{'decode':>9}{'both':>9}{'ratio':>9}{'bytes':>9}")
    for row in rows:
        times = "".join(f"{row[column]:9.1f}" for column in ("encode_us", "decode_us", "both_us"))
        print(f"{row['codec']:40}{times}{row['ratio']:9.2f}{row['bytes']:9}")


if __name__ == "__main__":
    main()
