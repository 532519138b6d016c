"""Several small messages in one frame, where both sides have agreed on that: bytes in, bytes out.

A packed frame stands for as many frames with its kind, its group and its other flags, whose call ids follow each other
from its own on. Its body has for each of them, in big-endian:

    length of the body u32 · body

A header, a checksum, and all that is done once a frame, are then paid for a hundred small messages at once: a client
with 256 calls under way gets 1.4 times as many through.
"""

from collections.abc import Iterable
from struct import Struct as Layout
from typing import Final, TypeAlias

from raftsdk.errors import WireError
from raftsdk.wire.frame import MAX_CALL_ID, Flags, Frame, encode_frame

MAX_MESSAGES: Final = 1_024
"""How many a packed frame may hold: some milliseconds' work, in which nobody else has a turn."""

PACK_MESSAGES: Final = 128
"""How many we put into one. With all 256 of the calls under way in one frame, the two sides take turns instead of
working side by side: reads are two thirds as many.
"""

PACK_BYTES: Final = 64 * 1024
PACK_BODY_BYTES: Final = 4 * 1024
"""A longer body has a frame to itself: there is little to save, and much to copy."""

_LENGTH: Final = Layout(">I")
_LARGEST: Final = _LENGTH.size + PACK_BODY_BYTES

Outgoing: TypeAlias = tuple[int, int, int, bytes, int | None, int]
"""A message on its way out, as the arguments of `encode_frame`: kind, flags, call id, body, checksum or None, group.

No record: taking a hundred thousand of those apart each second was a tenth of a client's work.
"""


def pack(messages: Iterable[Outgoing], max_frame_bytes: int) -> list[bytes]:
    """The frames of `messages`, in their order: as few as the format, our limits and `max_frame_bytes` allow.

    >>> [len(frame) for frame in pack([(0x24, 0, 1, b"", None, 0), (0x24, 0, 2, b"", None, 0)], 1024)]
    [28]
    """
    limit = min(PACK_BYTES, max_frame_bytes)
    frames: list[bytes] = []
    run: list[Outgoing] = []
    last_kind = last_flags = last_group = next_call_id = room = 0
    for message in messages:
        kind, flags, call_id, body, _, group = message
        size = _LENGTH.size + len(body)
        if (
            call_id != next_call_id
            or size > room
            or size > _LARGEST
            or kind != last_kind
            or flags != last_flags
            or group != last_group
            or len(run) == PACK_MESSAGES
        ):
            if run:
                frames.append(_frame_of(run))
            run = []
            last_kind, last_flags, last_group, room = kind, flags, group, limit
        run.append(message)
        next_call_id = call_id + 1
        room = room - size if size <= _LARGEST else 0
    if run:
        frames.append(_frame_of(run))
    return frames


def _frame_of(run: list[Outgoing]) -> bytes:
    if len(run) == 1:
        return encode_frame(*run[0])
    kind, flags, first_call_id, _, _, group = run[0]
    parts: list[bytes] = []
    for _, _, _, body, _, _ in run:
        parts += (_LENGTH.pack(len(body)), body)
    return encode_frame(kind, flags | Flags.PACKED, first_call_id, b"".join(parts), group=group)


def unpack(frame: Frame) -> list[Frame]:
    """The frames that a packed one stands for, their bodies views into its own; of another, itself. Raises `WireError`
    when the body is not as the format has it.
    """
    if not frame.flags & Flags.PACKED:
        return [frame]
    body, end, place = frame.body, len(frame.body), 0
    kind, flags, group, call_id = frame.kind, frame.flags & ~Flags.PACKED, frame.group, frame.call_id
    length_at, prefix = _LENGTH.unpack_from, _LENGTH.size
    frames: list[Frame] = []
    while place <= end - prefix and len(frames) <= MAX_MESSAGES:
        start = place + prefix
        place = start + length_at(body, place)[0]
        frames.append(Frame(kind, flags, call_id, body[start:place], group))
        call_id += 1
    if len(frames) > MAX_MESSAGES:
        raise WireError("bad_pack", f"a packed frame has more than {MAX_MESSAGES} messages")
    if place != end or not frames:
        raise WireError("bad_pack", f"a packed frame of {end} bytes breaks off in message {len(frames) or 1}")
    if call_id - 1 > MAX_CALL_ID:
        raise WireError("bad_pack", f"a packed frame goes from call id {frame.call_id} on beyond the last one")
    return frames
