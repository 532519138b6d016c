"""A stream of bytes into whole frames; sans-I/O."""

from io import BytesIO
from struct import Struct

from raftsdk.errors import WireError
from raftsdk.ports import FRAME_HEADER_BYTES

_LENGTH = Struct(">I")


class FrameSplitter:
    r"""Splits what arrives into frames by the body length that each header begins with.

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

    def __init__(self, max_frame_bytes: int) -> None:
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
