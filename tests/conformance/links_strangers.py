"""Transports of third parties, as they would be named on a command line: `links_strangers:ExampleTransport`."""

import asyncio
import errno
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from raftsdk_tcp import TcpTransport

from raftsdk.errors import Unreachable, WireError
from raftsdk.ports import FRAME_HEADER_BYTES, Connection
from raftsdk.testing.broken import transport as broken

_PREFIX = "example://"
_LINGER_S = 1.0
_READ_AHEAD_BYTES = 64 * 1024


class ExampleTransport:
    """Frames over asyncio's own streams, at `example://PORT` of this machine: what a first try may look like."""

    schemes: ClassVar[tuple[str, ...]] = ("example",)

    async def connect(self, address: str) -> "ExampleConnection":
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", _port(address), limit=_READ_AHEAD_BYTES)
        except OSError as error:
            raise Unreachable(f"{address}: {error}") from error
        return ExampleConnection(reader, writer)

    async def listen(self, address: str, on_connection: Callable[[Connection], Awaitable[None]]) -> "ExampleListener":
        listener = ExampleListener(on_connection)
        await listener.start(_port(address))
        return listener


def _port(address: str) -> int:
    if not address.startswith(_PREFIX) or not address.removeprefix(_PREFIX).isdecimal():
        raise ValueError(f"{address!r} is no address: give {_PREFIX}PORT")
    return int(address.removeprefix(_PREFIX))


class ExampleConnection:
    """One stream, and the frames in it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.remote = f"{_PREFIX}{writer.get_extra_info('peername')[1]}"
        self.max_frame_bytes = 16 * 1024
        self._reader = reader
        self._writer = writer
        self._begun = b""  # of a frame, by a read that was cancelled
        self._ended = False

    @property
    def unsent_bytes(self) -> int:
        return 0 if self._ended else self._writer.transport.get_write_buffer_size()

    def write(self, frames: Sequence[bytes]) -> None:
        if not self._ended and not self._writer.is_closing():
            self._writer.write(b"".join(frames))

    async def drain(self) -> None:
        if self._ended:
            return
        try:
            await self._writer.drain()
        except OSError:
            return

    async def read(self) -> list[bytes]:
        try:
            while not self._ended:
                missing = self._missing()
                if not missing:
                    frame, self._begun = self._begun, b""
                    return [frame]
                data = await self._reader.read(min(missing, _READ_AHEAD_BYTES))
                if not data:
                    break
                self._begun += data
        except OSError:
            pass
        self.abort()
        return []

    def _missing(self) -> int:
        """How many bytes the frame still lacks."""
        if len(self._begun) < 4:
            return 4 - len(self._begun)
        length = int.from_bytes(self._begun[:4], "big")
        if length > self.max_frame_bytes:
            self.abort()
            raise WireError("oversize", f"a body of {length} bytes, and at most {self.max_frame_bytes} are taken")
        return FRAME_HEADER_BYTES + length - len(self._begun)

    async def aclose(self) -> None:
        if not self._ended:
            self._ended = True
            try:
                async with asyncio.timeout(_LINGER_S):
                    if not self._writer.is_closing():
                        self._writer.write_eof()
                        while await self._reader.read(_READ_AHEAD_BYTES):
                            continue
            except (OSError, TimeoutError, RuntimeError):
                pass
            finally:
                self.abort()

    def abort(self) -> None:
        self._ended = True
        self._writer.transport.abort()


class ExampleListener:
    """A port of this machine."""

    def __init__(self, on_connection: Callable[[Connection], Awaitable[None]]) -> None:
        self.address = ""
        self._on_connection = on_connection

    async def start(self, port: int) -> None:
        try:
            self._server = await asyncio.start_server(self._take, "127.0.0.1", port, limit=_READ_AHEAD_BYTES)
        except OSError as error:
            raise OSError(error.errno or errno.EINVAL, f"cannot listen at {_PREFIX}{port}: {error}") from error
        self.address = f"{_PREFIX}{self._server.sockets[0].getsockname()[1]}"

    async def aclose(self) -> None:
        self._server.close()
        for _ in range(10):  # asyncio takes some turns from accepting a connection to handing it over
            await asyncio.sleep(0)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ExampleConnection(reader, writer)
        try:
            await self._on_connection(connection)
        finally:
            await connection.aclose()


class TurnsFramesRound(ExampleTransport):
    """The same, with a mistake in it."""

    async def connect(self, address: str) -> ExampleConnection:
        connection = await super().connect(address)
        return _Turning(connection._reader, connection._writer)


class _Turning(ExampleConnection):
    def write(self, frames: Sequence[bytes]) -> None:
        super().write(frames[::-1])


# -- every broken transport, as a class that needs no argument


def _named(breaking: type[broken.BrokenTransport]) -> type[broken.BrokenTransport]:
    def make(self: broken.BrokenTransport) -> None:
        breaking.__init__(self, TcpTransport())

    return type(breaking.__name__, (breaking,), {"schemes": ("unix",), "__init__": make})


BROKEN = {
    name: _named(each)
    for name, each in inspect.getmembers(broken, inspect.isclass)
    if issubclass(each, broken.BrokenTransport) and each is not broken.BrokenTransport
}
globals().update(BROKEN)
