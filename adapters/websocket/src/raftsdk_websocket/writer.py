"""Messages and the other side's due answers as WebSocket frames (RFC 6455, section 5); sans-I/O."""

import os
from collections.abc import Sequence
from struct import Struct
from typing import Final

from websockets.frames import Close, CloseCode, Frame, Opcode

from raftsdk_websocket.masking import apply_mask

_SHORT: Final = Struct(">BB")
_LONG: Final = Struct(">BBH")
_LONGER: Final = Struct(">BBQ")
_FINAL_BINARY: Final = 0x80 | Opcode.BINARY
_MASKED: Final = 0x80
_KEY_BYTES: Final = 4
_MAX_REASON_BYTES: Final = 123


def encode_messages(frames: Sequence[bytes], *, masked: bool) -> bytes:
    """Each of `frames` as a binary message, all in one piece.

    >>> encode_messages([b"hi", bytes(300)], masked=False)[:10].hex(" ")
    '82 02 68 69 82 7e 01 2c 00 00'
    """
    pieces: list[bytes] = []
    if not masked:
        for frame in frames:
            pieces += (_header(len(frame), 0), frame)
        return b"".join(pieces)
    # A key must be news to whoever chose the payload, and a system call for each would cost more than the masking.
    keys = os.urandom(_KEY_BYTES * len(frames))
    for place, frame in enumerate(frames):
        key = keys[place * _KEY_BYTES : (place + 1) * _KEY_BYTES]
        pieces += (_header(len(frame), _MASKED), key, apply_mask(frame, key))
    return b"".join(pieces)


def _header(payload_bytes: int, mask_bit: int) -> bytes:
    if payload_bytes < 126:
        return _SHORT.pack(_FINAL_BINARY, mask_bit | payload_bytes)
    if payload_bytes < 2**16:
        return _LONG.pack(_FINAL_BINARY, mask_bit | 126, payload_bytes)
    return _LONGER.pack(_FINAL_BINARY, mask_bit | 127, payload_bytes)


def encode_pong(payload: bytes, *, masked: bool) -> bytes:
    """The answer to a ping of that payload."""
    return Frame(Opcode.PONG, payload).serialize(mask=masked)


def encode_close(code: CloseCode, reason: str = "", *, masked: bool) -> bytes:
    """The last frame of a connection; of the reason, what fits.

    >>> encode_close(CloseCode.NORMAL_CLOSURE, masked=False).hex(" ")
    '88 02 03 e8'
    """
    fitting = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
    return Frame(Opcode.CLOSE, Close(code, fitting).serialize()).serialize(mask=masked)


def encode_close_answer(payload: bytes, *, masked: bool) -> bytes:
    """The answer to a close of that payload, which it repeats."""
    return Frame(Opcode.CLOSE, payload).serialize(mask=masked)
