"""Broken streams: each lets bytes through to a good transport, and back, and spoils some of them on the way.

For promises that lie below frames: how a stream is cut, and what WebSocket says (`spec/wire.md`, 2.4 and 3.10).
"""

import asyncio
import re
from contextlib import suppress
from typing import ClassVar
from urllib.parse import urlsplit

from raftsdk.ports import Connection, Listener, Transport
from raftsdk.ports.transport import OnConnection
from raftsdk.testing.broken.transport import BrokenTransport

_CHUNK_BYTES = 64 * 1024


class _Between:
    """A listener before another one."""

    def __init__(self, inner: Listener, broken: "BrokenStream") -> None:
        self._inner = inner
        self._broken = broken
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Accept at a port of its own."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        parts = urlsplit(self._inner.address)
        self.address = f"{parts.scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{parts.path}"

    async def aclose(self) -> None:
        """Stop, and the inner one with it."""
        self._server.close()
        await self._inner.aclose()
        for _ in range(10):  # asyncio takes some turns from accepting a connection to handing it over
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)  # for the sockets to be gone

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        parts = urlsplit(self._inner.address)
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            with suppress(OSError, asyncio.CancelledError):
                ways = self._pass(reader, back, incoming=True), self._pass(there, writer, incoming=False)
                await asyncio.gather(*ways)
        finally:
            for each in (writer, back):
                each.transport.abort()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, incoming: bool) -> None:
        change = self._broken.incoming if incoming else self._broken.outgoing
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(change(data))
        if not incoming:
            writer.write(self._broken.last())
        writer.write_eof()


class BrokenStream(BrokenTransport):
    """Passes everything on. The others change what comes in, or what goes out."""

    def __init__(self, good: Transport) -> None:
        super().__init__(good)
        self.schemes = good.schemes  # type: ignore[misc]  # of the one that is wrapped, not of the class

    async def connect(self, address: str) -> Connection:
        """As the good transport."""
        return await self.good.connect(address)

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """As the good transport, behind somebody."""
        between = _Between(await self.good.listen(address, on_connection), self)
        await between.start()
        return between

    def incoming(self, data: bytes) -> bytes:
        """What the listener gets in place of `data`."""
        return data

    def outgoing(self, data: bytes) -> bytes:
        """What the dialer gets in place of `data`."""
        return data

    def last(self) -> bytes:
        """What the dialer gets before the end."""
        return b""


class LosesSmallPieces(BrokenStream):
    """Takes what arrives at a time for a frame, and drops what is shorter than a header."""

    def incoming(self, data: bytes) -> bytes:
        """Drop it."""
        return data if len(data) >= 20 else b""


class _Replacing(BrokenStream):
    """Says something else."""

    told: ClassVar[tuple[bytes, bytes]]

    def outgoing(self, data: bytes) -> bytes:
        """Replace it."""
        return re.sub(*self.told, data, flags=re.DOTALL)


class NamesNoSubprotocol(_Replacing):
    """Does not say which subprotocol it has chosen."""

    told = rb"Sec-WebSocket-Protocol: [^\r]*\r\n", b""


class AcceptsAnExtension(_Replacing):
    """Agrees to compress messages."""

    told = rb"(HTTP/1.1 101 [^\r]*\r\n)", rb"\1Sec-WebSocket-Extensions: permessage-deflate\r\n"


class HasOneStatusForAll(_Replacing):
    """Answers every request that it does not take with 403."""

    told = rb"HTTP/1\.1 4\d\d", b"HTTP/1.1 403"


class ClosesWithoutReason(_Replacing):
    """Closes with 1000, whatever it closes for."""

    told = rb"\x88(.)\x03[\xe8-\xf7]", b"\x88\\1\x03\xe8"


class AlwaysGoesAway(_Replacing):
    """Closes with 1001, whatever it closes for."""

    told = rb"\x88(.)\x03[\xe8-\xf7]", b"\x88\\1\x03\xe9"


class AnswersNoPing(_Replacing):
    """Does not answer a ping."""

    told = rb"\x8a\rare you there", b""


class MasksWhatItSends(_Replacing):
    """Sends a frame as if it were the dialer."""

    told = rb"\x8a\x01\?", b"\x8a\x81\x00\x00\x00\x00?"


class WantsNoQuery(BrokenStream):
    """Takes a query for a part of the path."""

    def incoming(self, data: bytes) -> bytes:
        """Make it one."""
        return data.replace(b"GET /?", b"GET /of/")


class WantsNoBrowsers(BrokenStream):
    """Takes no request that has an origin."""

    def incoming(self, data: bytes) -> bytes:
        """Send it elsewhere."""
        return data.replace(b"GET /", b"GET /elsewhere") if b"\r\nOrigin: " in data else data


class WantsNoFragments(BrokenStream):
    """Does not take a message in pieces."""

    def incoming(self, data: bytes) -> bytes:
        """Make its first piece something unknown."""
        return b"\x05" + data[1:] if data[0] == 0x02 else data


class AnswersOthersInWords(BrokenStream):
    """Tells whoever speaks HTTP, at length, what to do."""

    _asked = False

    def incoming(self, data: bytes) -> bytes:
        """See what it is."""
        self._asked = data.startswith(b"GET ")
        return data

    def last(self) -> bytes:
        """Say it in words."""
        return b"HTTP/1.1 400 Bad Request\r\n\r\nThis port speaks another protocol. " * 3 if self._asked else b""
