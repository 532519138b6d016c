"""Frames that arrive where packing is agreed on, and what is no pack."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from raftsdk.messages import MessageKind
from raftsdk.wire.frame import ERROR_RESPONSE, MAX_CALL_ID, Flags, WireKind, encode_frame

_QUERY: Final = b'{"query":""}'


class Seed(Struct, frozen=True):
    """Bytes of one frame, packed or not; `violation` says whether it is none of those that may be."""

    name: str
    data: bytes
    violation: str = ""
    clause: str = "3.11"


def seeds() -> Iterator[Seed]:
    """All of them."""
    yield from _packs()
    yield from _violations()


def _body(*bodies: bytes) -> bytes:
    """What clause 3.11.2 has behind the header; written out here, so that our own `pack` can be compared with it."""
    return b"".join(len(body).to_bytes(4) + body for body in bodies)


def _packed(kind: int, body: bytes, flags: int = 0, call_id: int = 1, group: int = 0) -> bytes:
    return encode_frame(kind, flags | Flags.PACKED, call_id, body, group=group)


def _packs() -> Iterator[Seed]:
    query, done = MessageKind.QUERY_REQUEST, MessageKind.PROPOSE_RESPONSE
    results = [b'{"index":%d,"result":"%s"}' % (9 + place, b"YWFh" * place) for place in range(3)]
    errors = [b'{"code":"overloaded","retry_after_ms":100}', b'{"code":"stopped"}']
    yield Seed("two requests", _packed(query, _body(_QUERY, _QUERY), call_id=7))
    yield Seed("three responses", _packed(done, _body(*results), Flags.RESPONSE, call_id=300))
    yield Seed("two errors", _packed(MessageKind.ERROR, _body(*errors), ERROR_RESPONSE, call_id=2))
    yield Seed("one message", _packed(query, _body(_QUERY), call_id=3))
    yield Seed("bodies of no bytes", _packed(MessageKind.STATUS_REQUEST, _body(b"", b"{}", b"", b"{}", b"")))
    yield Seed("one message of no bytes", _packed(MessageKind.STATUS_REQUEST, _body(b""), call_id=4))
    yield Seed("a group", _packed(query, _body(_QUERY, _QUERY), call_id=5, group=7))
    yield Seed("ids up to the highest", _packed(query, _body(_QUERY, _QUERY), call_id=MAX_CALL_ID - 1))
    yield Seed("an unknown kind", _packed(0xEE, _body(b"?", b"what\x00\x00\x00\x00it means"), call_id=8))
    yield Seed("a keep-alive", _packed(WireKind.KEEP_ALIVE, _body(b""), call_id=0))
    yield Seed("a body of 300 bytes", _packed(0xEE, _body(bytes(300), b"!"), call_id=10))
    yield Seed("a request that is not packed", encode_frame(query, 0, 12, _QUERY))


def _violations() -> Iterator[Seed]:
    query, done = MessageKind.QUERY_REQUEST, MessageKind.PROPOSE_RESPONSE
    sound = _body(_QUERY, _QUERY)
    for name, body in {
        "no message": b"",
        "half a length": bytes(2),
        "a length, and no body": sound[:4],
        "a byte missing at the end": sound[:-1],
        "a byte left over behind the last": sound + bytes(1),
        "three bytes left over behind the last": sound + bytes(3),
        "a length of 2^32-1": sound + b"\xff\xff\xff\xff" + _QUERY,
        "a length of 2^31": sound + b"\x80\x00\x00\x00" + _QUERY,
        "lengths in little-endian": sound.replace(b"\x00\x00\x00\x0c", b"\x0c\x00\x00\x00"),
        "1,025 messages": _body(*[b""] * 1_025),
    }.items():
        yield Seed(name, _packed(query, body), "bad_pack")
    yield Seed("responses that break off", _packed(done, sound[:-1], Flags.RESPONSE), "bad_pack")
    yield Seed("ids beyond the highest", _packed(query, sound, call_id=MAX_CALL_ID), "bad_pack")
    many = _packed(query, _body(*[b""] * 1_024), call_id=MAX_CALL_ID - 1_022)
    yield Seed("1,024 messages, the last of them with an id beyond the highest", many, "bad_pack")
