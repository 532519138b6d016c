"""raftsdk's frames in a WebSocket connection, from its first byte of HTTP to its close; sans-I/O."""

from collections.abc import Callable, Sequence
from typing import Final

from raftsdk_tcp.framing import FIRST_FRAME_BYTES
from websockets.frames import CloseCode

from raftsdk.errors import WireError
from raftsdk_websocket.reader import MessageReader
from raftsdk_websocket.upgrade import Upgrade
from raftsdk_websocket.writer import encode_close, encode_close_answer, encode_messages, encode_pong


def normal_closure() -> CloseCode:
    """What a goodbye says when there is nothing special about it: 1000."""
    return CloseCode.NORMAL_CLOSURE


class WebSocketFraming:
    """One end of a WebSocket connection, as a `raftsdk_tcp.Framing`; each frame is one message.

    It sends no pings: the wire above sends keep-alives and closes who is silent, on every transport alike. Of the other
    side's pings it answers the latest, when there is room, as RFC 6455 allows (section 5.5.3).
    """

    certified_names: Final = None

    def __init__(self, upgrade: Upgrade, closing: Callable[[], CloseCode] = normal_closure) -> None:
        self.opened = False  #: These four are explained in `raftsdk_tcp.Framing`.
        self.error: WireError | None = None
        self.ended = False
        self.has_replies = False
        self._upgrade: Upgrade | None = upgrade  # Until it is over; it holds a good deal of memory.
        self._response = b""
        self._closing = closing  # What our goodbye will say.
        self._masked = upgrade.dials  # What we send, that is: what we receive is the opposite.
        self._reader = MessageReader(masked=not self._masked, max_frame_bytes=FIRST_FRAME_BYTES)
        self._unfed = b""  # What came behind the handshake.
        self._is_wanted = True  # What arrives, that is.
        self._said_goodbye = False

    @property
    def max_frame_bytes(self) -> int:
        """The longest body that is taken."""
        return self._reader.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        self._reader.max_frame_bytes = value

    def open(self) -> bytes:
        """The request, when we dial."""
        return self._upgrade.request if self._upgrade is not None else b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes."""
        if self._upgrade is not None:
            self._go_on_opening(self._upgrade, data)
            return []
        if not self._is_wanted or self.error is not None:
            return []
        if self._unfed:
            data, self._unfed = self._unfed + data, b""
        reader = self._reader
        messages = reader.feed(data)
        self.error = reader.error
        self.ended = reader.close_received is not None
        self.has_replies = bool(self._response) or reader.ping is not None or (self.ended and not self._said_goodbye)
        return messages

    def _go_on_opening(self, upgrade: Upgrade, data: bytes) -> None:
        if not upgrade.feed(data):
            return
        self._upgrade = None
        self._response = upgrade.response
        self.error = upgrade.error
        if self.error is None:
            self._unfed = upgrade.rest
            self.opened = True
            self.has_replies = bool(self._response)

    def replies(self) -> bytes:
        """The response, when they dialed; the answers to their latest ping and to their close."""
        self.has_replies = False
        said, self._response = self._response, b""
        ping, self._reader.ping = self._reader.ping, None
        if ping is not None:
            said += encode_pong(ping, masked=self._masked)
        if self._reader.close_received is not None and not self._said_goodbye:
            self._said_goodbye = True
            said += encode_close_answer(self._reader.close_received, masked=self._masked)
        return said

    def pack(self, frames: Sequence[bytes]) -> bytes:
        """A binary message for each of `frames`."""
        self._reader.forgive()
        messages = encode_messages(frames, masked=self._masked)
        return self.replies() + messages if self.has_replies else messages

    def close(self) -> bytes:
        """A close, or the response that refuses."""
        self.has_replies = False  # An answer to a ping that found no room is not wanted any more.
        if self._said_goodbye:
            return b""
        self._said_goodbye = True
        if not self.opened:
            return self._response
        violation = self._reader.error
        if violation is not None:
            return encode_close(violation.close_code, str(violation), masked=self._masked)
        return encode_close(self._closing(), masked=self._masked)

    def forget(self) -> None:
        """Free what is kept; a handshake may still be ended."""
        self._is_wanted = False
        self._unfed = b""
        self._reader.forget()
