"""RFC 6455 by hand, for whoever has to say it wrongly. Not the package's own writer: the two are compared."""

from collections.abc import Iterator
from typing import Final

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN: Final = 0x80
MASK: Final = b"\x37\xfa\x21\x3d"

_MASKED: Final = 0x80


def message(opcode: int, data: bytes, *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A frame of RFC 6455, section 5.2, as a dialer sends it or as it may not."""
    first = (FIN if fin else 0) | reserved | opcode
    if len(data) < 126:
        length = bytes([len(data)])
    elif len(data) < 2**16:
        length = b"\x7e" + len(data).to_bytes(2, "big")
    else:
        length = b"\x7f" + len(data).to_bytes(8, "big")
    if not masked:
        return bytes([first]) + length + data
    hidden = bytes(byte ^ MASK[place % 4] for place, byte in enumerate(data))
    return bytes([first, length[0] | _MASKED]) + length[1:] + MASK + hidden


def close(code: int, reason: bytes = b"") -> bytes:
    """A dialer's close frame."""
    return message(CLOSE, code.to_bytes(2, "big") + reason)


def messages_of(received: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The frames of a listener, unmasked as they are: first byte, second byte, payload. What is cut off is left out.

    >>> list(messages_of(message(PONG, b"hi", masked=False)))
    [(138, 2, b'hi')]
    """
    while len(received) >= 2:
        extended = {126: 2, 127: 8}.get(received[1] & ~_MASKED, 0)
        start = 2 + extended + (4 if received[1] & _MASKED else 0)
        length = int.from_bytes(received[2 : 2 + extended], "big") if extended else received[1] & ~_MASKED
        yield received[0], received[1], received[start : start + length]
        received = received[start + length :]


def close_code(received: bytes) -> int | None:
    r"""The code in the close frame among what a listener sent; None when there is no close or no code.

    >>> close_code(message(PONG, b"hi", masked=False) + message(CLOSE, b"\x03\xe8", masked=False))
    1000
    """
    codes = (payload[:2] for first, _, payload in messages_of(received) if first == FIN | CLOSE)
    code = next(codes, b"")
    return int.from_bytes(code, "big") if code else None
