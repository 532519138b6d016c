"""Header, kinds, flags, hello, negotiation and limits: the tables of `spec/wire.md` against the code."""

import re
from typing import Any

import pytest
from msgspec import inspect
from raftsdk_websocket.reader import MAX_CRUMBS
from raftsdk_websocket.upgrade import MAX_HEAD_BYTES, SUBPROTOCOL
from spec_text import bare, number, spec, table

from raftsdk import messages, types
from raftsdk.config import LinkConfig, RaftConfig
from raftsdk.core.raft import MAX_TERM_JUMP
from raftsdk.messages import MESSAGE_TYPES, MessageKind
from raftsdk.ports import FRAME_HEADER_BYTES
from raftsdk.runtime import sessions
from raftsdk.types import Identity
from raftsdk.wire import frame, packing, server, session
from raftsdk.wire.frame import Flags, WireKind, encode_frame
from raftsdk.wire.hello import (
    PROTOCOL,
    Hello,
    HelloAccepted,
    HelloAnswer,
    HelloRefused,
    ProtocolRange,
    Terms,
    make_hello,
    negotiate,
)

# -- frames


def test_a_header_cut_at_the_offsets_of_the_table_has_the_fields_of_the_table() -> None:
    layout = table("3.1", "offset")
    values = {
        "body length": 2,
        "version": frame.VERSION,
        "kind": 0x12,
        "flags": 3,
        "reserved": 0,
        "group": 0,
        "call id": 0x01020304,
        "body": int.from_bytes(b"hi"),
    }
    data = encode_frame(values["kind"], values["flags"], values["call id"], b"hi")
    found = {}
    for offset, size, name, _ in layout.rows:
        start = int(offset)
        found[name] = int.from_bytes(data[start : start + (2 if size == "body length" else int(size))])
    checksum = found.pop("checksum")
    assert found == values
    assert checksum == _crc(b"hi" + data[:16])
    assert int(layout.rows[-1][0]) == FRAME_HEADER_BYTES
    assert layout.dicts()[1]["value"].startswith(f"{frame.VERSION} ")


def _crc(data: bytes) -> int:
    """CRC-32 from the words of clause 3.9, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_the_checksum_is_the_one_whose_check_value_is_given() -> None:
    assert _crc(b"123456789") == 0xCBF43926


def test_kinds_have_the_numbers_names_and_senders_of_the_table() -> None:
    kinds = table("3.4")
    assert {number(row[0]): row[1] for row in kinds.rows} == {kind: kind.name for kind in (*MessageKind, *WireKind)}
    assert [number(kind) for kind in kinds.column("kind")] == sorted(map(number, kinds.column("kind")))
    for row in kinds.dicts():
        asks = number(row["kind"]) % 2 == 0
        assert row["from"] == ("dialer" if asks else "listener"), row
        assert row["plane"] == _plane(number(row["kind"])), row


def _plane(kind: int) -> str:
    if kind in list(WireKind):
        return "link"
    return {0x0: "both", 0x1: "peer", 0x2: "client"}[kind >> 4]


def test_flags_have_the_bits_and_names_of_the_table() -> None:
    named = {row["name"]: number(row["bit"]) for row in table("3.5").dicts()}
    assert named == {name: bit for name, bit in vars(Flags).items() if name.isupper()}


def test_roles_may_ask_the_kinds_of_the_table() -> None:
    """What a node does not serve yet is not asked either: the table says whose it will be."""
    for row in table("6.6").dicts():
        told = {number(kind) for kind in row["kinds"].split(", ")}
        plane = {kind for kind in MESSAGE_TYPES if kind % 2 == 0 and _plane(kind) == bare(row["role"])}
        assert told == plane
        served = session._REQUESTS["peer" if bare(row["role"]) == "peer" else "client"]
        assert served.keys() <= told


# -- WebSocket


def test_websocket_is_spoken_with_the_subprotocol_and_the_bounds_that_are_told() -> None:
    told = "\n".join(spec().prose).partition("### 2.4 ")[2].partition("### 2.5 ")[0]
    assert f"`{SUBPROTOCOL}`" in told
    assert f"{MAX_CRUMBS:,} pings" in told
    assert f"{MAX_HEAD_BYTES // 1024} KiB before its empty line" in told


# -- hello


@pytest.mark.parametrize(
    ("clause", "record", "tag"),
    [("4.2", Hello, None), ("4.3", HelloAccepted, "accepted"), ("4.4", HelloRefused, "refused")],
)
def test_hello_and_answers_have_the_fields_of_their_tables(clause: str, record: type, tag: str | None) -> None:
    rows = table(clause, "field").dicts()
    if tag:
        answer = rows.pop(0)
        assert list(answer.values())[:4] == ["`answer`", "text", f"`{tag}`", "required"]
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)
    assert [bare(row["field"]) for row in rows] == [field.name for field in info.fields]
    for row, field in zip(rows, info.fields, strict=True):
        assert (row["type"], row["bounds"]) == _hello_type(field.type), row
        assert row["default"] == _hello_default(field), row


def _hello_type(info: inspect.Type) -> tuple[str, str]:
    match info:
        case inspect.IntType():
            return "integer", f"{info.ge}..{info.le:,}"
        case inspect.StrType(pattern=str()):
            return "name", ""
        case inspect.StrType():
            return "text", f"0..{info.max_length:,} characters"
        case inspect.ListType():
            assert _hello_type(info.item_type) == ("name", "")
            return "list of name", f"0..{info.max_length} items"
        case inspect.LiteralType():
            return "text", " or ".join(f"`{value}`" for value in sorted(map(str, info.values), reverse=True))
        case inspect.StructType():
            [low, high] = info.fields
            bounds = {_hello_type(low.type)[1], _hello_type(high.type)[1]}
            assert len(bounds) == 1
            return "object", f"`{low.name}` and `{high.name}`, each {bounds.pop()}"
    raise AssertionError(info)


def _hello_default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    match field.default_factory() if callable(field.default_factory) else field.default:
        case "":
            return '`""`'
        case []:
            return "`[]`"
        case ProtocolRange(low, high):
            return f'`{{"min":{low},"max":{high}}}`'
    raise AssertionError(field)


def test_a_name_is_what_the_clause_says() -> None:
    info = inspect.type_info(Hello)
    assert isinstance(info, inspect.StructType)
    codecs = info.fields[2].type
    assert isinstance(codecs, inspect.ListType)
    name = codecs.item_type
    assert isinstance(name, inspect.StrType)
    assert name.max_length == 32
    assert name.pattern
    accepted = [char for char in map(chr, range(256)) if re.search(name.pattern, f"a{char}a")]
    first = [char for char in map(chr, range(256)) if re.search(name.pattern, f"{char}a")]
    assert "".join(accepted) == "-.0123456789_abcdefghijklmnopqrstuvwxyz"
    assert "".join(first) == "0123456789abcdefghijklmnopqrstuvwxyz"


# -- negotiation


def _answer(dialer: dict[str, Any], listener: dict[str, Any]) -> HelloAnswer:
    terms: dict[str, Any] = {
        "identity": Identity(cluster_id="c", node_id="n1"),
        "codecs": ("json",),
        "max_frame_bytes": 1024,
        "idle_timeout_ms": 60_000,
        "protocol": PROTOCOL,
    }
    hello = make_hello(Terms(**terms | {"identity": Identity(cluster_id="c", node_id="n2")} | dialer), "peer", "n1")
    return negotiate(hello, Terms(**terms | listener))


@pytest.mark.parametrize("row", table("5.1").dicts(), ids=str)
def test_versions_are_negotiated_as_in_the_table(row: dict[str, str]) -> None:
    dialer, listener = (
        {"protocol": ProtocolRange(*map(int, row[side].split(" to ")))} for side in ("dialer speaks", "listener speaks")
    )
    answer = _answer(dialer, listener)
    chosen = str(answer.version) if isinstance(answer, HelloAccepted) else f"`{answer.code}`"
    assert chosen == row["version"]


@pytest.mark.parametrize("row", table("5.2").dicts(), ids=str)
def test_codecs_are_negotiated_as_in_the_table(row: dict[str, str]) -> None:
    theirs, ours = (row[side].split(", ") for side in ("dialer prefers", "listener prefers"))
    answer = _answer({"codecs": tuple(theirs)}, {"codecs": tuple(ours)})
    chosen = answer.codec if isinstance(answer, HelloAccepted) else f"`{answer.code}`"
    assert chosen == row["codec"]
    both = [name for name in dict.fromkeys(theirs) if name in ours]
    assert row["sums"] == ", ".join(f"{name} {theirs.index(name) + ours.index(name)}" for name in both)


# -- limits

_FIXED = {
    "max_integer": types.MAX_INTEGER,
    "max_id_chars": types.MAX_ID_CHARS,
    "max_entries": messages.MAX_ENTRIES,
    "max_members": messages.MAX_MEMBERS,
    "max_addresses": messages.MAX_ADDRESSES,
    "digest_bytes": messages.DIGEST_BYTES,
    "max_error_chars": messages.MAX_ERROR_CHARS,
    "max_term_jump": MAX_TERM_JUMP,
    "max_call_id": frame.MAX_CALL_ID,
    "max_packed_messages": packing.MAX_MESSAGES,
    "session_timeout_ms": sessions.SESSION_TIMEOUT_MS,
    "max_sessions": sessions.MAX_SESSIONS,
    "max_kept_outcomes": sessions.MAX_KEPT_OUTCOMES,
    "max_kept_bytes": sessions.MAX_KEPT_BYTES,
    "max_table_bytes": sessions.MAX_TABLE_BYTES,
    "outcome_overhead_bytes": sessions.OUTCOME_OVERHEAD_BYTES,
}
_HOW_THE_ALGORITHM_RUNS = {"pre_vote", "check_quorum", "lease_reads"}


def _settings(config: RaftConfig | LinkConfig) -> dict[str, int]:
    return {name: getattr(config, name) for name in config.__struct_fields__ if name not in _HOW_THE_ALGORITHM_RUNS}


def test_limits_are_all_there_with_their_defaults() -> None:
    rows = table("13", "limit").dicts()
    told = {bare(row["limit"]): number(row["default"]) for row in rows}
    own = {**_settings(LinkConfig()), **_settings(RaftConfig())}
    own["max_connections_of_a_peer"] = server.MAX_CONNECTIONS_OF_A_PEER
    assert told == {**own, **_FIXED}
    assert {bare(row["limit"]) for row in rows if row["whose"] == "fixed"} == _FIXED.keys()


@pytest.mark.parametrize("row", [row for row in table("13", "limit").dicts() if row["whose"] != "fixed"], ids=str)
def test_the_clause_that_a_limit_cites_speaks_of_it(row: dict[str, str]) -> None:
    section = "\n".join(spec().prose).partition(f"\n### {row['clause']} ")[2].partition("\n### ")[0]
    assert row["limit"] in section
    assert row["whose"] in ("agreed", "told", "own")


def test_lists_are_as_long_as_in_the_table() -> None:
    assert [row["at most"] for row in table("8.5").dicts()] == [
        f"{messages.MAX_ENTRIES:,}",
        f"{messages.MAX_MEMBERS} each",
        f"{messages.MAX_MEMBERS} each",
        f"{messages.MAX_MEMBERS}",
        f"{messages.MAX_ADDRESSES}",
    ]
