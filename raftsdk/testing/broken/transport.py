"""Broken transports: each takes a good one and spoils one promise of it."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from raftsdk.errors import Unreachable, WireError
from raftsdk.ports import FRAME_HEADER_BYTES, Connection, Listener, Transport
from raftsdk.ports.transport import OnConnection


class _Connection:
    """Does what another connection does; the broken ones change a method each."""

    def __init__(self, inner: Connection) -> None:
        self.inner = inner
        self.remote = inner.remote

    @property
    def max_frame_bytes(self) -> int:
        return self.inner.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        self.inner.max_frame_bytes = value

    @property
    def unsent_bytes(self) -> int:
        return self.inner.unsent_bytes

    def write(self, frames: Sequence[bytes]) -> None:
        self.inner.write(frames)

    async def drain(self) -> None:
        await self.inner.drain()

    async def read(self) -> list[bytes]:
        return await self.inner.read()

    async def aclose(self) -> None:
        await self.inner.aclose()

    def abort(self) -> None:
        self.inner.abort()


class _Listener:
    """Does what another listener does."""

    def __init__(self, inner: Listener) -> None:
        self.inner = inner
        self.address = inner.address

    async def aclose(self) -> None:
        await self.inner.aclose()


class BrokenTransport:
    """Spoils every connection of a good transport, both those it opens and those it accepts."""

    schemes: ClassVar[tuple[str, ...]] = ()  # The good one's: a suite is told where to listen.
    connection: ClassVar[type[_Connection]] = _Connection

    def __init__(self, good: Transport) -> None:
        self.good = good

    def spoil(self, inner: Connection) -> Connection:
        """The connection that a user gets in place of `inner`."""
        return self.connection(inner)

    async def connect(self, address: str) -> Connection:
        """As the good transport, with a spoilt connection."""
        return self.spoil(await self.good.connect(address))

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """As the good transport, for spoilt connections."""

        async def spoilt(inner: Connection) -> None:
            await on_connection(self.spoil(inner))

        return await self.good.listen(address, spoilt)


# -- order and wholeness


class _Reordering(_Connection):
    def write(self, frames: Sequence[bytes]) -> None:
        self.inner.write(frames[::-1])


class ReordersFrames(BrokenTransport):
    """Sends the frames of one write back to front."""

    connection = _Reordering


class _Repeating(_Connection):
    def write(self, frames: Sequence[bytes]) -> None:
        self.inner.write([*frames, *frames[-1:]])


class RepeatsFrames(BrokenTransport):
    """Sends the last frame of a write twice, as after a retry."""

    connection = _Repeating


class _Merging(_Connection):
    async def read(self) -> list[bytes]:
        frames = await self.inner.read()
        return [b"".join(frames)] if frames else []


class MergesFrames(BrokenTransport):
    """Hands out what arrived together as one frame, as a stream does."""

    connection = _Merging


class _Splitting(_Connection):
    async def read(self) -> list[bytes]:
        frames = await self.inner.read()
        parts = [part for each in frames for part in (each[:FRAME_HEADER_BYTES], each[FRAME_HEADER_BYTES:])]
        return [part for part in parts if part]


class SplitsFrames(BrokenTransport):
    """Hands out a frame's header and its body apart."""

    connection = _Splitting


# -- reading


class _LosingOnCancel(_Connection):
    async def read(self) -> list[bytes]:
        frames = await self.inner.read()
        await asyncio.sleep(0)
        return frames


class LosesFramesOnCancel(BrokenTransport):
    """Waits once more with the frames in its hands, and drops them when cancelled there."""

    connection = _LosingOnCancel


class _Unlimited(_Connection):
    def __init__(self, inner: Connection) -> None:
        super().__init__(inner)
        self._claimed_bytes = inner.max_frame_bytes
        inner.max_frame_bytes = 2**32 - 1

    @property
    def max_frame_bytes(self) -> int:
        return self._claimed_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        self._claimed_bytes = value


class IgnoresTheLimit(BrokenTransport):
    """Takes bodies of any length, whatever `max_frame_bytes` says."""

    connection = _Unlimited


class _FixedLimit(_Connection):
    @property
    def max_frame_bytes(self) -> int:
        return self._claimed_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        if not hasattr(self, "_claimed_bytes"):
            self.inner.max_frame_bytes = value
        self._claimed_bytes = value


class KeepsTheFirstLimit(BrokenTransport):
    """Goes by the first `max_frame_bytes` it is given, for good."""

    connection = _FixedLimit


class _ComplainingForEver(_Connection):
    def __init__(self, inner: Connection) -> None:
        super().__init__(inner)
        self._error: WireError | None = None

    async def read(self) -> list[bytes]:
        if self._error is not None:
            raise self._error
        try:
            return await self.inner.read()
        except WireError as error:
            self._error = error
            raise


class RaisesOversizeForEver(BrokenTransport):
    """Raises the same `WireError` at every read after an oversize frame."""

    connection = _ComplainingForEver


class _Hoarding(_Connection):
    def __init__(self, inner: Connection) -> None:
        super().__init__(inner)
        self._arrived: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self._pump: asyncio.Task[None] | None = None

    async def _take_everything(self) -> None:
        frames = [b""]
        while frames:
            frames = await self.inner.read()
            self._arrived.put_nowait(frames)

    async def read(self) -> list[bytes]:
        if self._pump is None:
            self._pump = asyncio.create_task(self._take_everything())
        return await self._arrived.get()


class BuffersWithoutBound(BrokenTransport):
    """Receives on while its reader rests, and keeps it all."""

    connection = _Hoarding


class _NeverFull(_Connection):
    async def drain(self) -> None:
        return


class DrainsAtOnce(BrokenTransport):
    """Returns from `drain` whatever is unsent."""

    connection = _NeverFull


# -- the end


class _Ending(_Connection):
    """Knows when it has ended, to be wrong about it."""

    ended = False

    async def read(self) -> list[bytes]:
        frames = await self.inner.read()
        self.ended = not frames
        return frames

    async def aclose(self) -> None:
        self.ended = True
        await self.inner.aclose()


class _WriteRaising(_Ending):
    def write(self, frames: Sequence[bytes]) -> None:
        if self.ended:
            raise ConnectionResetError("the connection has ended")
        self.inner.write(frames)


class WriteRaisesAfterTheEnd(BrokenTransport):
    """Tells a writer of the end as well, by an exception."""

    connection = _WriteRaising


class _DrainRaising(_Ending):
    async def drain(self) -> None:
        await self.inner.drain()
        if self.ended:
            raise ConnectionResetError("the connection has ended")


class DrainRaisesAfterTheEnd(BrokenTransport):
    """Tells whoever drains of the end as well, by an exception."""

    connection = _DrainRaising


class _ReadRaising(_Connection):
    async def read(self) -> list[bytes]:
        frames = await self.inner.read()
        if not frames:
            raise EOFError("the connection has ended")
        return frames


class ReadRaisesAtTheEnd(BrokenTransport):
    """Raises where `[]` was promised."""

    connection = _ReadRaising


class _SayingItOnce(_Ending):
    async def read(self) -> list[bytes]:
        if self.ended:
            await asyncio.Event().wait()
        return await super().read()


class SaysTheEndOnce(BrokenTransport):
    """Returns `[]` once, and waits for ever when asked again."""

    connection = _SayingItOnce


class _Hasty(_Connection):
    async def aclose(self) -> None:
        self.inner.abort()
        await self.inner.aclose()


class DropsTheUnsentOnClose(BrokenTransport):
    """Loses the last frames: `aclose` does not wait until they are sent."""

    connection = _Hasty


# -- one connection and another


class _TakingTurns(_Connection):
    def __init__(self, inner: Connection, turn: asyncio.Lock) -> None:
        super().__init__(inner)
        self._turn = turn

    async def read(self) -> list[bytes]:
        async with self._turn:
            return await self.inner.read()


class OneLockForAll(BrokenTransport):
    """Reads one connection at a time, so that an idle one holds up every other."""

    def __init__(self, good: Transport) -> None:
        super().__init__(good)
        self._turn = asyncio.Lock()

    def spoil(self, inner: Connection) -> Connection:
        """A connection that waits for all others."""
        return _TakingTurns(inner, self._turn)


# -- listening and connecting


class _Possessive(_Listener):
    def __init__(self, inner: Listener, accepted: list[Connection]) -> None:
        super().__init__(inner)
        self._accepted = accepted

    async def aclose(self) -> None:
        await self.inner.aclose()
        for connection in self._accepted:
            connection.abort()


class ListenerTakesConnectionsAlong(BrokenTransport):
    """Ends the connections it accepted when the listener is closed."""

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """A listener that remembers what it accepted."""
        accepted: list[Connection] = []

        async def remembered(inner: Connection) -> None:
            accepted.append(inner)
            await on_connection(inner)

        return _Possessive(await self.good.listen(address, remembered), accepted)


class _Lingering(_Listener):
    async def aclose(self) -> None:
        return


class ListenerStays(BrokenTransport):
    """Goes on accepting after the listener was closed."""

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """A listener that does not close."""
        return _Lingering(await self.good.listen(address, on_connection))


class ListenerFallsWithAHandler(BrokenTransport):
    """Stops accepting when `on_connection` has raised once."""

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """A listener that one bad connection closes."""

        async def fatal(inner: Connection) -> None:
            try:
                await on_connection(inner)
            except Exception:
                await listener.aclose()
                raise

        listener = await self.good.listen(address, fatal)
        return listener


class LeaksOSErrors(BrokenTransport):
    """Lets the operating system's own error out of `connect`."""

    async def connect(self, address: str) -> Connection:
        """Raises `ConnectionRefusedError` where `Unreachable` was promised."""
        try:
            return await self.good.connect(address)
        except Unreachable as error:
            raise ConnectionRefusedError(str(error)) from error
