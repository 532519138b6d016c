"""One stream, of TCP or a Unix socket, and the frames in it."""

import asyncio
import errno
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

from raftsdk.errors import WireError
from raftsdk_tcp.framing import Framing

READ_AHEAD_BYTES: Final = 64 * 1024
"""Receiving stops once this much lies unread. At most 256 KiB are added: what an event loop hands over at a time."""

LINGER_S: Final = 1.0


class StreamConnection(asyncio.Protocol):
    """A `raftsdk.ports.Connection` that is also the asyncio protocol of its socket; `framing` says what the bytes mean.

    A protocol, not a pair of streams: a stream copies every byte into a buffer, wakes its reader for every piece, and
    costs two awaits a frame; here the reader is woken once for all the frames a piece completes.

    Where there is a handshake it goes on by itself, beginning with the socket. What is written before its end waits;
    reading waits with it, and raises when it fails. So whoever bounds the time and the number of strangers without a
    hello bounds the handshake, too.
    """

    def __init__(self, remote: str, framing: Framing) -> None:
        self.remote = remote
        self._framing = framing
        self._pack = framing.pack
        self._transport: asyncio.Transport
        self._opened = framing.opened
        self._opening_over = asyncio.Event()  # Whatever came of it.
        self._waiting: list[bytes] = []  # Frames written before the stream was open; none after that.
        self._frames: list[bytes] = []
        self._unread_bytes = 0  # What has been received since the last `read`.
        self._paused = True  # Until somebody reads, who has set `max_frame_bytes` by then.
        self._early = b""  # What was received all the same, not split yet.
        self._error: WireError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._ended = False  # For our user, that is: the socket may still be sending what was written.
        self._linger: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()  # The socket is gone.
        self._writable = asyncio.Event()
        self._writable.set()

    # -- for the user

    @property
    def max_frame_bytes(self) -> int:
        """The longest body that is taken; holds for every header that arrives from now on."""
        return self._framing.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        self._framing.max_frame_bytes = value

    @property
    def certified_names(self) -> frozenset[str] | None:
        """The names in the other side's certificate; None where there are no certificates."""
        return self._framing.certified_names

    @property
    def unsent_bytes(self) -> int:
        """Bytes written and not yet taken by the operating system."""
        if self._closed.is_set():
            return 0
        unsent_bytes = self._transport.get_write_buffer_size()
        return unsent_bytes + sum(map(len, self._waiting)) if self._waiting else unsent_bytes

    def write(self, frames: Sequence[bytes]) -> None:
        """Queue whole frames, as one send where the system takes it."""
        if self._ended or self._transport.is_closing():
            return
        if self._opened:
            self._transport.write(self._pack(frames))
        else:
            self._waiting += frames

    async def drain(self) -> None:
        """Return once little is left unsent, or the connection has ended."""
        if self._waiting:
            await self._opening_over.wait()
        await self._writable.wait()

    async def read(self) -> list[bytes]:
        """Every whole frame that has arrived, at least one; `[]` at the end.

        Raises `WireError` once for what the other side may not do: an oversize frame, or what `Framing.error` says.
        """
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

    async def wait_opened(self) -> None:
        """Return once frames may pass. Raises what stands against it: `WireError`, or `OSError` when the other side
        left.
        """
        if not self._opened:
            await self._opening_over.wait()
        if self._error is not None:
            raise self._error
        if not self._opened:
            why = "the other side left in the middle of the handshake: is this the scheme it listens with?"
            raise ConnectionResetError(errno.ECONNRESET, why)

    async def aclose(self) -> None:
        """Send what was written, for at most a second, then end the connection.

        Our direction is ended first, and the other side's end awaited. Closing the socket outright would answer bytes
        that are still coming in with a reset, and a reset takes with it what we sent and they have not read: a stopping
        node's last answers.
        """
        self._end_by_us()
        try:
            async with asyncio.timeout(LINGER_S):
                if self._waiting:
                    await self._opening_over.wait()
                self._say_last(self._framing.close())
                await self._closed.wait()
        except TimeoutError:
            pass
        finally:
            self._abort()
        await self._closed.wait()

    def abort(self) -> None:
        """End the connection now; unsent bytes are lost."""
        self._waiting.clear()
        self._end_by_us()
        self._abort()

    # -- for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open; but for a handshake, nothing is received before the first `read`."""
        self._transport = cast("asyncio.Transport", transport)
        if self._opened:
            self._transport.pause_reading()
        elif first := self._framing.open():
            self._transport.write(first)

    def data_received(self, data: bytes) -> None:
        """Split what came in and wake the reader if that completed a frame."""
        if self._ended and not self._waiting:
            return
        if not self._opened:
            self._go_on_opening(data)
        elif self._paused:
            # uvloop begins to receive after `connection_made`, even if that has paused it.
            self._early += data
            self._transport.pause_reading()
        else:
            self._take(data)

    def eof_received(self) -> None:
        """The other side will send no more, which is the end; the event loop sends the rest of ours and closes."""
        self._end_by_them()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, for whatever reason."""
        self._end_by_them()
        self._closed.set()
        if self._linger is not None:
            self._linger.cancel()

    def pause_writing(self) -> None:
        """Much is unsent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Little is unsent."""
        self._writable.set()
        if self._framing.has_replies:
            self._send_replies()

    # -- inside

    def _go_on_opening(self, data: bytes) -> None:
        self._take(data)
        if not self._framing.opened:
            return
        self._opened = True
        self._opening_over.set()
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._transport.write(self._pack(waiting))
        if self._paused:
            self._transport.pause_reading()
        elif not self._ended:
            self._take(b"")  # What arrived behind the end of the handshake.

    def _take(self, data: bytes) -> None:
        framing = self._framing
        frames = framing.feed(data)
        self._unread_bytes += len(data)
        if frames:
            self._frames += frames
            self._wake()
        if framing.error is not None:
            self._refuse(framing.error)
            return
        if framing.has_replies:
            self._send_replies()
        if framing.ended:
            self._end_by_them()
            self._transport.close()
        elif self._frames and self._unread_bytes >= READ_AHEAD_BYTES:
            # Even if the reader has just been woken: uvloop would call us 32 times, with 8 MiB, before anyone's turn.
            self._paused = True
            self._transport.pause_reading()

    def _send_replies(self) -> None:
        if self._writable.is_set():  # Or a flood of pings, their answers never read, would fill our memory.
            self._transport.write(self._framing.replies())

    def _say_last(self, data: bytes) -> None:
        if not self._transport.is_closing():
            if data:  # Not for saving work: a second goodbye comes after `write_eof`, when nothing may be written.
                self._transport.write(data)
            with suppress(OSError):  # The other side has reset the connection, and we have yet to hear of it.
                self._transport.write_eof()

    def _refuse(self, error: WireError) -> None:
        self._error = error
        last_words = self._framing.close()
        if not last_words:
            self._transport.abort()
            return
        # More of what is refused is still coming in: closing at once would reset the connection over our last words.
        self._say_last(last_words)
        self._end_by_them()
        self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._abort)

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
        if self._opened and not self._ended:
            self._take(early)

    def _abort(self) -> None:
        # asyncio's transport may not be aborted after `connection_lost` when that came by way of an unsent rest.
        if not self._closed.is_set():
            self._transport.abort()

    def _end(self) -> None:
        self._ended = True
        self._framing.forget()
        self._writable.set()
        self._wake()

    def _end_by_them(self) -> None:
        """What has arrived whole is still handed out."""
        self._waiting.clear()
        self._opening_over.set()
        self._end()

    def _end_by_us(self) -> None:
        """Drop what nobody will read, and receive on, so that the other side's end is seen."""
        self._end()
        self._frames = []
        self._error = None
        if self._paused:
            self._resume()
