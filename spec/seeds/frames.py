"""Frames, and what is none."""

from collections.abc import Iterator
from typing import Final
from zlib import crc32

from msgspec import Struct

from raftsdk.messages import MessageKind
from raftsdk.wire.frame import ERROR_RESPONSE, MAX_CALL_ID, VERSION, Flags, WireKind, encode_frame

_BODY: Final = b'{"term":7,"vote_granted":true}'


class Seed(Struct, frozen=True):
    """Bytes of one frame, or of what is none: `violation` says why."""

    name: str
    clause: str
    data: bytes
    violation: str = ""


def _sealed(
    length: int, version: int, kind: int, flags: int, reserved: int, group: int, call_id: int, body: bytes
) -> bytes:
    """A frame that says this, with the right checksum."""
    head = length.to_bytes(4) + bytes((version, kind, flags, reserved)) + group.to_bytes(4) + call_id.to_bytes(4)
    return head + crc32(head, crc32(body)).to_bytes(4) + body


def _changed(data: bytes, position: int, value: int) -> bytes:
    return data[:position] + bytes((value,)) + data[position + 1 :]


def seeds() -> Iterator[Seed]:
    """All of them."""
    yield from _frames()
    yield from _violations()


def _frames() -> Iterator[Seed]:
    vote = MessageKind.REQUEST_VOTE_RESPONSE
    yield Seed("a keep-alive", "7.6", encode_frame(WireKind.KEEP_ALIVE, 0, 0, b""))
    yield Seed("a hello", "4.1", encode_frame(WireKind.HELLO, 0, 0, b"{}"))
    yield Seed("a request", "3.1", encode_frame(MessageKind.PROPOSE_REQUEST, 0, 1, b'{"command":"eA=="}'))
    yield Seed("a response", "3.5", encode_frame(vote, Flags.RESPONSE, 1, _BODY))
    yield Seed("an error", "3.5", encode_frame(MessageKind.ERROR, ERROR_RESPONSE, 1, b'{"code":"unsupported"}'))
    yield Seed("the highest call id", "3.8", encode_frame(vote, Flags.RESPONSE, MAX_CALL_ID, _BODY))
    yield Seed("call id 0", "3.8", encode_frame(vote, Flags.RESPONSE, 0, _BODY))
    yield Seed("an unknown kind", "3.4", encode_frame(0xEE, 0, 2, b"?"))
    yield Seed("no body", "3.2", encode_frame(MessageKind.STATUS_REQUEST, 0, 3, b""))
    yield Seed("a body of 4,096 bytes", "3.2", encode_frame(MessageKind.PROPOSE_REQUEST, 0, 4, bytes(4_096)))
    yield Seed("a checksum that begins with zeros", "3.9", _with_small_checksum())
    yield Seed("a reserved byte that somebody uses", "3.6", _sealed(len(_BODY), VERSION, vote, 1, 0xFF, 0, 5, _BODY))


def _with_small_checksum() -> bytes:
    frames = (encode_frame(MessageKind.STATUS_REQUEST, 0, call_id, b"") for call_id in range(MAX_CALL_ID))
    return next(frame for frame in frames if frame[16:18] == b"\x00\x00")


def _violations() -> Iterator[Seed]:
    vote = MessageKind.REQUEST_VOTE_RESPONSE
    frame = encode_frame(vote, Flags.RESPONSE, 1, _BODY)
    # What is cut short or has more behind it is a violation in messages alone; in a stream the rest may yet come.
    for length, what in {2**32 - 1: "of 2^32-1", 2**31: "of 2^31", 8 * 1024 * 1024 + 1: "of 8 MiB and 1"}.items():
        yield Seed(f"a length {what}", "3.2", _sealed(length, VERSION, vote, 1, 0, 0, 1, _BODY), "oversize")
    yield Seed("an HTTP request", "3.2", b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n", "oversize")
    yield Seed("a TLS hello", "3.2", bytes.fromhex("160301020001000101fc0303") + bytes(range(32)), "oversize")
    yield Seed("a line of text", "3.2", b"hello, is anybody there?\n", "oversize")
    yield Seed("zeros, as many as a header has", "3.3", bytes(20), "bad_version")
    yield Seed("version 0", "3.3", _sealed(len(_BODY), 0, vote, 1, 0, 0, 1, _BODY), "bad_version")
    yield Seed("version 2", "3.3", _sealed(len(_BODY), 2, vote, 1, 0, 0, 1, _BODY), "bad_version")
    yield Seed("version 2 and another checksum", "3.3", _changed(frame, 4, 2), "bad_version")
    for position, what in {5: "kind", 6: "flags", 7: "reserved byte", 11: "group", 15: "call id"}.items():
        yield Seed(
            f"a bit flipped in the {what}", "3.9", _changed(frame, position, frame[position] ^ 0x40), "bad_checksum"
        )
    yield Seed("a bit flipped in the checksum", "3.9", _changed(frame, 16, frame[16] ^ 1), "bad_checksum")
    yield Seed("a bit flipped in the body", "3.9", _changed(frame, 25, frame[25] ^ 1), "bad_checksum")
    yield Seed("a checksum of zeros", "3.9", frame[:16] + bytes(4) + frame[20:], "bad_checksum")
    yield Seed(
        "a checksum over the header first",
        "3.9",
        frame[:16] + crc32(_BODY, crc32(frame[:16])).to_bytes(4) + frame[20:],
        "bad_checksum",
    )
    for flags, what in {
        2: "error without response",
        4: "compressed, which nobody agreed on",
        8: "an unknown flag",
        0xFF: "every flag",
    }.items():
        yield Seed(f"flags: {what}", "3.5", _sealed(len(_BODY), VERSION, vote, flags, 0, 0, 1, _BODY), "bad_flags")
    yield Seed("group 1", "3.7", _sealed(len(_BODY), VERSION, vote, 1, 0, 1, 1, _BODY), "bad_group")
    yield Seed("group 2^32-1", "3.7", _sealed(len(_BODY), VERSION, vote, 1, 0, 2**32 - 1, 1, _BODY), "bad_group")
    yield Seed("everything wrong: the version is judged first", "3.9", _changed(frame, 4, 9)[:-1] + b"?", "bad_version")
    yield Seed(
        "wrong flags and group: the flags are judged first", "3.9", _sealed(0, 1, vote, 2, 0, 7, 1, b""), "bad_flags"
    )
