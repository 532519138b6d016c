"""Reading recorded bytes: what somebody once sent, frame by frame, for people who want to know what went wrong."""

import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from raftsdk.errors import DecodeError, WireError
from raftsdk.messages import MessageKind
from raftsdk.ports import FRAME_HEADER_BYTES, Codec
from raftsdk.wire.frame import Flags, Frame, WireKind, parse_frame
from raftsdk.wire.hello import HelloAccepted, decode_answer, decode_hello
from raftsdk.wire.packing import unpack

MAX_FRAME_BYTES: Final = 128 * 1024 * 1024 - 1
"""A longer body is none but bytes that are no frame: nobody raises `max_frame_bytes` so far."""

_HEX = re.compile(rb"[0-9a-fA-F\s:]*+")
# What tshark prints around the bytes of `-z follow,tcp,raw,N`: a frame of lines, and who the two sides are.
_TSHARK = re.compile(rb"(?:=+|Follow: .*|Filter: .*|Node [01]: .*)")


class Seen(Struct, frozen=True, kw_only=True):
    """One frame of a recording, or one message of a packed one, or why the bytes at `offset` are none."""

    offset: int  #: Of its first byte, or of the frame it is packed in.
    kind: str = ""
    flags: Sequence[str] = ()
    call_id: int = 0
    group: int = 0
    body_bytes: int = 0
    codec: str = ""  #: In which the body was read; "json" for hellos.
    content: Any = None  #: What the body says, in values that JSON has, and `bytes`.
    trouble: str = ""  #: What is wrong with it: the broken rule's name, and more.


def streams_in(data: bytes) -> list[bytes]:
    r"""The bytes that went each way, in a recording that may be the bytes themselves, hex, or what tshark makes of it.

    A frame begins with a length below 128 MiB, so its first byte is below 8, which no text begins with. In tshark's
    form (`tshark -r FILE -q -z follow,tcp,raw,0`), lines of the side that was dialed are indented. Raises `ValueError`
    for a text that is neither.

    >>> streams_in(b"00 00 0001"), streams_in(b"Node 0: a\n0001\n\t02\n03\n")
    ([b'\x00\x00\x00\x01'], [b'\x00\x01\x03', b'\x02'])
    """
    if data[:1] < b"\x08":
        return [data]
    dialer, dialed = bytearray(), bytearray()
    for number, line in enumerate(data.splitlines(), start=1):
        if _TSHARK.fullmatch(line):
            continue
        digits = re.sub(rb"[\s:]", b"", line)
        if not _HEX.fullmatch(line) or len(digits) % 2:
            raise ValueError(f"line {number} is no hex: {line[:60]!a}")
        (dialed if line.startswith(b"\t") else dialer).extend(binascii.unhexlify(digits))
    return [bytes(dialer), bytes(dialed)] if dialed else [bytes(dialer)]


def frames_in(data: bytes, codecs: Mapping[str, Codec], codec: str = "") -> Iterator[Seen]:
    """Every frame in the bytes that went one way.

    Messages are read with the codec of that name; without one, with the first of `codecs` that can read them all the
    way, which several can where a message is small.
    """
    start = 0
    while start < len(data):
        body_bytes = int.from_bytes(data[start : start + 4])
        stop = start + FRAME_HEADER_BYTES + body_bytes
        if body_bytes > MAX_FRAME_BYTES:
            yield Seen(offset=start, trouble=f"oversize: {body_bytes} bytes of body declared, so these are no frames")
            return
        yield from _seen(start, data[start:stop], codecs, codec)
        start = stop


def agreed_codec(data: bytes) -> str:
    """The codec that the first accepting hello answer in these bytes chose; "" when there is none."""
    for seen in frames_in(data, {}):
        if seen.kind == WireKind.HELLO_ANSWER.name.lower() and isinstance(seen.content, dict):
            return str(seen.content.get("codec", ""))
    return ""


def _seen(offset: int, data: bytes, codecs: Mapping[str, Codec], codec: str) -> Iterator[Seen]:
    try:
        frame = parse_frame(data, groups=True, packing=True)
        messages = unpack(frame)
    except WireError as error:
        body_bytes = max(len(data) - FRAME_HEADER_BYTES, 0)
        yield Seen(offset=offset, body_bytes=body_bytes, trouble=f"{error.reason}: {error}")
        return
    for message in messages:
        yield _read(offset, message, frame.flags & Flags.PACKED, codecs, codec)


def _read(offset: int, message: Frame, packed: int, codecs: Mapping[str, Codec], codec: str) -> Seen:
    try:
        name, content = _content(message, codecs, codec)
    except WireError as error:
        return _described(message, offset, packed, trouble=f"{error.reason}: {error}")
    except DecodeError as error:
        return _described(message, offset, packed, trouble=str(error))
    return _described(message, offset, packed, codec=name, content=content)


def _described(
    frame: Frame, offset: int, packed: int, *, codec: str = "", content: Any = None, trouble: str = ""
) -> Seen:
    named = {
        Flags.RESPONSE: "response",
        Flags.ERROR: "error",
        Flags.COMPRESSED: "compressed",
        Flags.PACKED: "packed",
    }
    return Seen(
        offset=offset,
        kind=_kind_name(frame.kind),
        flags=[name for flag, name in named.items() if (frame.flags | packed) & flag],
        call_id=frame.call_id,
        group=frame.group,
        body_bytes=len(frame.body),
        codec=codec,
        content=content,
        trouble=trouble,
    )


def _kind_name(kind: int) -> str:
    known = next((kinds(kind).name for kinds in (WireKind, MessageKind) if kind in list(kinds)), None)
    return known.lower() if known else f"{kind:#04x}"


def _content(frame: Frame, codecs: Mapping[str, Codec], codec: str) -> tuple[str, Any]:
    """What the body says, and the codec that says so. Raises `WireError` or `DecodeError` when it says nothing."""
    if frame.kind == WireKind.HELLO:
        return "json", _plain(decode_hello(frame.body))
    if frame.kind == WireKind.HELLO_ANSWER:
        answer = decode_answer(frame.body)
        return "json", {"answer": "accepted" if isinstance(answer, HelloAccepted) else "refused", **_plain(answer)}
    if frame.kind not in list(MessageKind):
        return "", None if not frame.body else {"body": bytes(frame.body)}
    refusals = []
    for name in [codec] if codec else codecs:
        try:
            return name, _plain(codecs[name].decode(MessageKind(frame.kind), frame.body))
        except DecodeError as error:
            refusals.append(f"{name}: {error}")
    raise DecodeError("; ".join(refusals) or "no codec to read it with")


def _plain(record: Struct) -> Any:
    return msgspec.to_builtins(record, builtin_types=(bytes,))
