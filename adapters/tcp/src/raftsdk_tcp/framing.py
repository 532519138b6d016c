"""How frames travel in a stream of bytes: what any way of doing it offers, and TCP's; sans-I/O."""

from collections.abc import Sequence
from io import BytesIO
from struct import Struct
from typing import Final, Protocol

from raftsdk.errors import WireError
from raftsdk.ports import FRAME_HEADER_BYTES

FIRST_FRAME_BYTES: Final = 16 * 1024
"""What a stranger may send before somebody decides otherwise."""

_LENGTH = Struct(">I")


class Framing(Protocol):
    """One end of one stream, seen as bytes: frames in, bytes out, and the other way round. Touches no socket.

    A `StreamConnection` owns it and uses it in this order: `open` once; `feed` for all that arrives, and after each
    `error`, `has_replies`, `ended`; `pack` while it is `opened`; `forget` when nobody wants frames any more; `close` at
    last. None of them raises, whatever the other side sent.
    """

    max_frame_bytes: int
    """The longest body that is taken. May be changed at any time."""

    @property
    def opened(self) -> bool:
        """Whether frames may pass; before that the two sides shake hands, if they do. Never becomes false again.

        The `feed` that ends the handshake returns no frames: what arrived behind it is kept, because nobody has set
        `max_frame_bytes` yet, and comes out of the next `feed`, which may be of nothing.
        """
        ...

    @property
    def error(self) -> WireError | None:
        """What the other side may not do, and did; set for good, and whatever arrives after that is dropped."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the other side has said goodbye. False while it just stops sending, where there is no such word."""
        ...

    @property
    def certified_names(self) -> frozenset[str] | None:
        """See `raftsdk.ports.Connection`."""
        ...

    def open(self) -> bytes:
        """What we say before anything was heard: nothing, where the other side begins."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes, in order. Keeps of the rest what one frame may have."""
        ...

    @property
    def has_replies(self) -> bool:
        """Whether `replies` has anything to give."""
        ...

    def replies(self) -> bytes:
        """What the stream itself wants said (answers to a handshake or a ping, why it was closed), and forget it.

        Not asked for while much is unsent: what is kept until then has a bound.
        """
        ...

    def pack(self, frames: Sequence[bytes]) -> bytes:
        """The bytes that carry `frames`, and before them whatever has to come before them."""
        ...

    def close(self) -> bytes:
        """Our goodbye, and before it whatever `replies` still has; after an `error` it says why. The second time there
        is nothing left to say.
        """
        ...

    def forget(self) -> None:
        """Free what is kept of an incomplete frame; no frame is wanted any more. A handshake may still be ended."""
        ...


class FrameSplitter:
    r"""The `Framing` of TCP: one frame behind another, split by the body length that each header begins with.

    However the stream was cut, the same frames come out; each is a `bytes` of its own. The work is linear in the bytes
    fed, even one at a time, and what is kept is linear in them too: a list of the pieces would not be, since two bytes
    cost about fifty as an object.

    >>> splitter = FrameSplitter(max_frame_bytes=1024)
    >>> frame = b"\0\0\0\2" + bytes(16) + b"hi"
    >>> splitter.feed(frame + frame[:3]) == [frame]
    True
    >>> splitter.feed(frame[3:]) == [frame]
    True
    """

    __slots__ = ("_frame", "_missing_bytes", "_start", "error", "max_frame_bytes")

    opened: Final = True
    ended: Final = False
    has_replies: Final = False
    certified_names: Final = None

    def __init__(self, max_frame_bytes: int = FIRST_FRAME_BYTES) -> None:
        self.max_frame_bytes = max_frame_bytes  #: The longest body allowed; judged when a header's length is complete.
        self.error: WireError | None = None  #: Set for good by a header over the limit; all that follows is dropped.
        self._start = b""  # A frame's first 0 to 3 bytes: its length is not known yet.
        self._frame = BytesIO()  # A frame whose length is known, as far as it has arrived.
        self._missing_bytes = 0  # What `_frame` still lacks; 0 while no such frame is begun.

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, in order: none, one or thousands. Then look at `error`."""
        if self.error is not None:
            return []
        if self._missing_bytes:
            return self._continue(data)
        if self._start:
            data = self._start + data
            self._start = b""
        return self._split(data, 0, [])

    def pack(self, frames: Sequence[bytes]) -> bytes:
        """One behind another."""
        return b"".join(frames)

    def open(self) -> bytes:
        """Nothing: both sides may begin."""
        return b""

    def replies(self) -> bytes:
        """Nothing: only frames are said."""
        return b""

    def close(self) -> bytes:
        """Nothing: the end of the stream says it all."""
        return b""

    def forget(self) -> None:
        """Free what is kept of an incomplete frame. The stream cannot be continued after this."""
        self._start = b""
        self._frame = BytesIO()
        self._missing_bytes = 0

    def _continue(self, data: bytes) -> list[bytes]:
        missing_bytes = self._missing_bytes
        if len(data) < missing_bytes:
            self._frame.write(data)
            self._missing_bytes -= len(data)
            return []
        self._frame.write(memoryview(data)[:missing_bytes])
        frame = self._frame.getvalue()  # Hands over the buffer itself, not a copy of it.
        self._frame = BytesIO()
        self._missing_bytes = 0
        return self._split(data, missing_bytes, [frame])

    def _split(self, data: bytes, start: int, frames: list[bytes]) -> list[bytes]:
        end = len(data)
        while end - start >= _LENGTH.size:
            (body_bytes,) = _LENGTH.unpack_from(data, start)
            if body_bytes > self.max_frame_bytes:
                self._refuse(body_bytes)
                return frames
            stop = start + FRAME_HEADER_BYTES + body_bytes
            if stop > end:
                self._frame.write(memoryview(data)[start:])
                self._missing_bytes = stop - end
                return frames
            frames.append(data[start:stop])
            start = stop
        self._start = data[start:]
        return frames

    def _refuse(self, body_bytes: int) -> None:
        self.error = WireError(
            "oversize",
            f"a frame declares a body of {body_bytes} bytes, and at most {self.max_frame_bytes} are taken; "
            "the other side speaks another protocol, or its max_frame_bytes is larger than ours",
        )
