"""One TCP or Unix-socket stream of frames."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

from raftsdk.errors import WireError
from raftsdk_tcp.framing import FrameSplitter

FIRST_FRAME_BYTES: Final = 16 * 1024
"""What a stranger may send before somebody decides otherwise."""

READ_AHEAD_BYTES: Final = 64 * 1024
"""Receiving stops once this much lies unread. At most 256 KiB are added: what an event loop hands over at a time."""

LINGER_S: Final = 1.0


class TcpConnection(asyncio.Protocol):
    """A `raftsdk.ports.Connection` that is also the asyncio protocol of its socket.

    A protocol, not a pair of streams: a stream copies every byte into a buffer, wakes its reader for every piece, and
    costs two awaits a frame; here the reader is woken once for all the frames a piece completes.
    """

    def __init__(self, remote: str) -> None:
        self.remote = remote
        self._transport: asyncio.Transport
        self._splitter = FrameSplitter(FIRST_FRAME_BYTES)
        self._frames: list[bytes] = []
        self._unread_bytes = 0  # What has been received since the last `read`.
        self._paused = True  # Until somebody reads, who has set `max_frame_bytes` by then.
        self._early = b""  # What was received all the same, not split yet.
        self._error: WireError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._ended = False  # For our user, that is: the socket may still be sending what was written.
        self._closed = asyncio.Event()  # The socket is gone.
        self._writable = asyncio.Event()
        self._writable.set()

    # -- for the user

    @property
    def max_frame_bytes(self) -> int:
        """The longest body that is taken; holds for every header that arrives from now on."""
        return self._splitter.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        self._splitter.max_frame_bytes = value

    @property
    def unsent_bytes(self) -> int:
        """Bytes written and not yet taken by the operating system."""
        return 0 if self._closed.is_set() else self._transport.get_write_buffer_size()

    def write(self, frames: Sequence[bytes]) -> None:
        """Queue whole frames, as one send where the system takes it."""
        if not self._ended and not self._transport.is_closing():
            self._transport.write(b"".join(frames))

    async def drain(self) -> None:
        """Return once little is left unsent, or the connection has ended."""
        await self._writable.wait()

    async def read(self) -> list[bytes]:
        """Every whole frame that has arrived, at least one; `[]` at the end. Raises `WireError` on an oversize one."""
        if self._paused:
            self._resume()
        while not self._frames and not self._ended:
            await self._arrival()
        frames = self._frames
        self._frames = []
        self._unread_bytes = 0
        if not frames and self._error is not None:
            error, self._error = self._error, None
            raise error
        return frames

    async def aclose(self) -> None:
        """Send what was written, for at most a second, then end the connection.

        Our direction is ended first, and the other side's end awaited. Closing the socket outright would answer bytes
        that are still coming in with a reset, and a reset takes with it what we sent and they have not read: a stopping
        node's last answers.
        """
        self._end_by_us()
        try:
            async with asyncio.timeout(LINGER_S):
                if not self._transport.is_closing():
                    with suppress(OSError):  # The other side has reset the connection, and we have yet to hear of it.
                        self._transport.write_eof()
                await self._closed.wait()
        except TimeoutError:
            pass
        finally:
            self._abort()
        await self._closed.wait()

    def abort(self) -> None:
        """End the connection now; unsent bytes are lost."""
        self._end_by_us()
        self._abort()

    # -- for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open; nothing is received before the first `read`."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Split what came in and wake the reader if that completed a frame."""
        if self._ended:
            return
        if self._paused:
            # uvloop begins to receive after `connection_made`, even if that has paused it.
            self._early += data
            self._transport.pause_reading()
            return
        self._split(data)

    def eof_received(self) -> None:
        """The other side will send no more, which is the end; the event loop sends the rest of ours and closes."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, for whatever reason."""
        self._end()
        self._closed.set()

    def pause_writing(self) -> None:
        """Much is unsent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Little is unsent."""
        self._writable.set()

    # -- inside

    def _split(self, data: bytes) -> None:
        frames = self._splitter.feed(data)
        self._unread_bytes += len(data)
        if frames:
            self._frames += frames
            self._wake()
        if self._splitter.error is not None:
            self._error = self._splitter.error
            self._transport.abort()
        elif self._frames and self._unread_bytes >= READ_AHEAD_BYTES:
            # Even if the reader has just been woken: uvloop would call us 32 times, with 8 MiB, before anyone's turn.
            self._paused = True
            self._transport.pause_reading()

    async def _arrival(self) -> None:
        assert self._reader is None, "a connection is read by one task at a time"
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _resume(self) -> None:
        self._paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
        early, self._early = self._early, b""
        if early and not self._ended:
            self._split(early)

    def _abort(self) -> None:
        # asyncio's transport may not be aborted after `connection_lost` when that came by way of an unsent rest.
        if not self._closed.is_set():
            self._transport.abort()

    def _end(self) -> None:
        self._ended = True
        self._splitter.forget()
        self._writable.set()
        self._wake()

    def _end_by_us(self) -> None:
        """Drop what nobody will read, and receive on, so that the other side's end is seen."""
        self._end()
        self._frames = []
        self._error = None
        if self._paused:
            self._resume()
