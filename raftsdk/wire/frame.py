"""Frames: a header of 20 bytes and a body. Bytes in, bytes out; no connection is seen here.

All integers are unsigned and big-endian:

    body length u32 · version u8 · kind u8 · flags u8 · reserved u8 · group u32 · call id u32 · CRC-32 u32 · body

The checksum (zlib's CRC-32) runs over the body first and the first 16 bytes of the header after it, in that order: a
body sent to several peers is then summed once, and only the 16 bytes that differ are added for each.
"""

from enum import IntEnum
from struct import Struct as Layout
from typing import Final
from zlib import crc32

from msgspec import Struct

from raftsdk.errors import WireError
from raftsdk.ports import FRAME_HEADER_BYTES

VERSION: Final = 1
MAX_CALL_ID: Final = 2**32 - 1
MAX_GROUP: Final = 2**32 - 1

_KNOWN_FLAGS: Final = (0, 1, 3)  # a request, a response, an error response
_PACKED_FLAGS: Final = (8, 9, 11)  # several of them

_HEAD: Final = Layout(">IBBBBII")
_HEADER: Final = Layout(">IBBBBIII")
_HEAD_BYTES: Final = _HEAD.size


class WireKind(IntEnum):
    """The kinds that are the link's own business; all others are `messages.MessageKind`."""

    HELLO = 0x02
    HELLO_ANSWER = 0x03
    KEEP_ALIVE = 0x04  #: From the dialer; empty, never answered.


class Flags:
    """What a receiver must know of a frame whose kind it may not know. Without RESPONSE, it asks for an answer."""

    RESPONSE: Final = 1
    ERROR: Final = 2  #: The body is an `ErrorResponse`. Only beside RESPONSE.
    COMPRESSED: Final = 4  #: Only when a compression was agreed in the hello; this package agrees on none.
    PACKED: Final = 8  #: Several messages' bodies, see `packing`. Only when that feature was agreed on in the hello.


ERROR_RESPONSE: Final = Flags.RESPONSE | Flags.ERROR


class Frame(Struct, frozen=True, gc=False):
    """A frame that passed every check that needs no context."""

    kind: int
    flags: int
    call_id: int
    body: memoryview
    group: int = 0  #: The Raft group it is for, or from.


def encode_frame(
    kind: int, flags: int, call_id: int, body: bytes, body_checksum: int | None = None, group: int = 0
) -> bytes:
    """One frame. `body_checksum` is `crc32(body)`, for a caller who already knows it.

    >>> encode_frame(WireKind.KEEP_ALIVE, 0, 0, b"").hex(" ", 4)
    '00000000 01040000 00000000 00000000 c7c774b8'
    """
    head = _HEAD.pack(len(body), VERSION, kind, flags, 0, group, call_id)
    checksum = crc32(head, crc32(body) if body_checksum is None else body_checksum)
    return b"".join((head, checksum.to_bytes(4, "big"), body))


def parse_frame(data: bytes, max_frame_bytes: int = 2**32 - 1, groups: bool = False, packing: bool = False) -> Frame:
    """The frame in `data`, whose body is a view into it. `groups` says that others than group 0 were agreed on, and
    `packing` that frames may be packed. Raises `WireError`: the sender is broken or is no peer of ours.

    The limit comes first, which a transport over messages does not judge by the header. The version is looked at before
    the checksum, so that a later version may sum differently and still be told apart.
    The reserved byte is ignored: whoever gives it a meaning wants to be understood by us.
    """
    if len(data) < FRAME_HEADER_BYTES:
        raise WireError("bad_length", f"{len(data)} bytes are no frame: a header has {FRAME_HEADER_BYTES}")
    length, version, kind, flags, _, group, call_id, checksum = _HEADER.unpack_from(data)
    if length > max_frame_bytes:
        raise WireError(
            "oversize", f"a frame declares a body of {length} bytes, and at most {max_frame_bytes} are taken"
        )
    if version != VERSION:
        raise WireError("bad_version", f"a frame of version {version}, where {VERSION} was expected")
    if length != len(data) - FRAME_HEADER_BYTES:
        raise WireError("bad_length", f"{length} bytes of body declared, {len(data) - FRAME_HEADER_BYTES} received")
    body = memoryview(data)[FRAME_HEADER_BYTES:]
    if crc32(data[:_HEAD_BYTES], crc32(body)) != checksum:
        raise WireError("bad_checksum", f"the checksum of a frame of kind {kind:#04x} and {length} bytes is wrong")
    if flags not in _KNOWN_FLAGS and not (packing and flags in _PACKED_FLAGS):
        raise WireError("bad_flags", f"flags {flags:#04x}: neither known nor agreed on")
    if group and not groups:
        raise WireError("bad_group", f"a frame for group {group}, where no group but 0 was agreed on")
    return Frame(kind, flags, call_id, body, group)
