"""What the other side may do wrong, and the close code it is told."""

from typing import Final

from websockets.frames import CloseCode, Opcode

from raftsdk.errors import WireError
from raftsdk.ports import FRAME_HEADER_BYTES

_OPCODE: Final = 0x0F


class Violation(WireError):
    """The other side broke the rules of WebSocket, or ours for it; `close_code` says to it which."""

    def __init__(self, close_code: CloseCode, reason: str, message: str) -> None:
        self.close_code = close_code
        super().__init__(reason, message)


def _protocol_error(message: str) -> Violation:
    return Violation(CloseCode.PROTOCOL_ERROR, "bad_websocket", message)


def wrong_mask() -> Violation:
    """1002."""
    return _protocol_error("the side that dials masks every frame, and the other none")


def unexpected_frame(first: int) -> Violation:
    """1003 for a text message; 1002 for what RFC 6455 knows not at all, or not here. `first` is the frame's first byte.

    >>> unexpected_frame(0xC2).args
    ('a frame of opcode 0x2 that begins with 0xc2 may not come here',)
    """
    if first & _OPCODE == Opcode.TEXT:
        message = "a text message; send each frame as a binary one"
        return Violation(CloseCode.UNSUPPORTED_DATA, "text_message", message)
    return _protocol_error(f"a frame of opcode {first & _OPCODE:#x} that begins with {first:#04x} may not come here")


def bad_length(payload_bytes: int, length_bytes: int) -> Violation:
    """1002."""
    return _protocol_error(f"a length of {payload_bytes} in {length_bytes} bytes: it has one form, the shortest")


def long_control_frame() -> Violation:
    """1002."""
    return _protocol_error("a control frame of more than 125 bytes")


def bad_close(error: Exception) -> Violation:
    """1007 for a reason that is not UTF-8, 1002 for a code that may not be sent."""
    if isinstance(error, UnicodeDecodeError):
        return Violation(CloseCode.INVALID_DATA, "bad_websocket", "a close whose reason is not UTF-8")
    return _protocol_error(f"a close that may not be sent: {error}")


def oversize(message_bytes: int, max_message_bytes: int) -> Violation:
    """1009."""
    message = f"a message of {message_bytes} bytes, and at most {max_message_bytes} are taken"
    return Violation(CloseCode.MESSAGE_TOO_BIG, "oversize", message)


def undersize(message_bytes: int) -> Violation:
    """1002. Left to the wire above, a flood of these would take eight times its size in memory."""
    message = f"a message of {message_bytes} bytes is no frame: a header has {FRAME_HEADER_BYTES}"
    return Violation(CloseCode.PROTOCOL_ERROR, "bad_length", message)


def flood(max_crumbs: int) -> Violation:
    """1008."""
    message = f"more than {max_crumbs} pings, pongs and short fragments without a message"
    return Violation(CloseCode.POLICY_VIOLATION, "websocket_flood", message)
