"""A peer that takes snapshots, and a line to it that may be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from raw_peer import Handler, Reply

from raftsdk.messages import InstallSnapshotRequest, Request
from raftsdk.testing.snapshot_traffic import SnapshotReceiver


class Receiver(SnapshotReceiver, Handler):
    """A node that takes a snapshot, and answers everything else as others do."""

    def __init__(self) -> None:
        SnapshotReceiver.__init__(self)
        Handler.__init__(self)

    def deliver(self, request: Request, reply: Reply) -> None:
        if isinstance(request, InstallSnapshotRequest):
            reply(self.take(request))  # and do not keep it: there may be a gigabyte of them
        else:
            super().deliver(request, reply)


class Line:
    """Carries bytes between whoever connects and `target`, and cuts every connection when `cuts` say so."""

    def __init__(self, target: str, cuts: list[int]) -> None:
        self.address = ""
        self.cut = 0  #: How often that was.
        self._host, self._port = target.removeprefix("tcp://").split(":")
        self._carried_bytes = 0
        self._cuts = cuts  # after so many bytes towards the target
        self._writers: set[asyncio.StreamWriter] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            far_reader, far_writer = await asyncio.open_connection(self._host, int(self._port))
            self._writers |= {writer, far_writer}
            await asyncio.gather(self._carry(reader, far_writer, counted=True), self._carry(far_reader, writer))
            self._writers -= {writer, far_writer}

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
                self._carried_bytes += counted * len(data)
                if self._cuts and self._carried_bytes >= self._cuts[0]:
                    self.cut += 1
                    del self._cuts[0]
                    self.end()
        writer.close()

    def end(self) -> None:
        """Cut every connection."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def line(target: str, cuts: list[int]) -> AsyncIterator[Line]:
    carried = Line(target, cuts)
    server = await asyncio.start_server(carried.take, "127.0.0.1", 0)
    carried.address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield carried
    finally:
        server.close()
        carried.end()
        await server.wait_closed()
