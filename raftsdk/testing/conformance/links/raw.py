"""Whoever speaks to the node byte by byte: for transports that are, in the end, a stream of bytes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from raftsdk.ports import FRAME_HEADER_BYTES
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links import stranger as strangers
from raftsdk.testing.conformance.links.stranger import MAX_FRAME_BYTES

BYTE_STREAMS: Final = ("tcp", "tcp+tls", "unix")
"""Schemes whose connections are nothing but frames one after the other (2.3)."""


class RawStranger:
    """One connection to the node on which bytes are sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Send each piece by itself, as far as that can be had. A node that has closed meanwhile is no error here."""
        for piece in pieces:
            with suppress(OSError, ssl.SSLError):
                self._writer.write(piece)
                await self._writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(pause_s)

    async def frame(self, what: str) -> bytes:
        """The bytes of the next frame."""
        header = await self.exactly(FRAME_HEADER_BYTES, what)
        return header + await self.exactly(min(int.from_bytes(header[:4], "big"), MAX_FRAME_BYTES), what)

    async def exactly(self, count: int, what: str) -> bytes:
        """The next `count` bytes, which are of `what`."""
        try:
            async with asyncio.timeout(strangers.PATIENCE_S):
                return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise Mismatch(f"the connection ended where {what} was due", data=error.partial) from None
        except (TimeoutError, OSError) as error:
            raise AssertionError(f"{what} did not come: {type(error).__name__} {error}") from None

    async def until(self, mark: bytes, what: str) -> bytes:
        """Everything up to `mark`, which is within `what`."""
        try:
            async with asyncio.timeout(strangers.PATIENCE_S):
                return await self._reader.readuntil(mark)
        except asyncio.IncompleteReadError as error:
            raise Mismatch(f"the connection ended where {what} was due", data=error.partial) from None
        except (TimeoutError, OSError, asyncio.LimitOverrunError) as error:
            raise AssertionError(f"{what} did not come: {type(error).__name__} {error}") from None

    async def to_the_end(self, why: str, within_s: float | None = None) -> bytes:
        """Everything until the node closes, which it must, because of `why`."""
        within_s = strangers.CLOSING_S if within_s is None else within_s
        received = b""
        try:
            async with asyncio.timeout(within_s):
                while more := await self._reader.read(64 * 1024):
                    received = (received + more)[:MAX_FRAME_BYTES]
        except TimeoutError:
            raise Mismatch(
                f"not closed for {why}",
                data=received,
                expected="the end of the connection",
                found=f"{within_s:g} s passed",
            ) from None
        except OSError:
            pass  # a reset is an end, too, and so is an alert
        return received

    def leave(self) -> None:
        """End the connection at once."""
        self._writer.transport.abort()


@asynccontextmanager
async def raw_stranger(address: str, context: ssl.SSLContext | None) -> AsyncIterator[RawStranger]:
    """A connection of bytes to an address whose transport is, in the end, a stream of them."""
    parts = urlsplit(address)
    try:
        if parts.scheme == "unix":
            stranger = RawStranger(*await asyncio.open_unix_connection(parts.path))
        else:
            # Names in certificates are those of nodes, so what TLS would call the host name is nobody's.
            name = "" if context is not None else None
            stranger = RawStranger(
                *await asyncio.open_connection(parts.hostname, parts.port, ssl=context, server_hostname=name)
            )
    except OSError as error:
        raise AssertionError(f"no connection to {address}: {error}") from error
    try:
        yield stranger
    finally:
        stranger.leave()
        await asyncio.sleep(0)  # for the socket to be gone


@asynccontextmanager
async def trickling(stranger: RawStranger, data: bytes, pause_s: float) -> AsyncIterator[None]:
    """`data` is sent meanwhile, byte by byte, but for its last."""
    sending = asyncio.create_task(stranger.send(*(bytes([byte]) for byte in data[:-1]), pause_s=pause_s))
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.wait([sending])
