"""A TCP proxy in userspace, with the faults a network has, each at a word; it needs no privilege and no tool.

    async with Proxy("tcp://127.0.0.1:7101", target="tcp://127.0.0.1:7001") as proxy:
        proxy.set(there=Way(cut=True))                 # nothing reaches the target any more; what it says still arrives
        proxy.set(back=Way(delay_ms=50, slice_bytes=1))
        proxy.reset()                                  # every connection ends as if a machine had forgotten it

It knows bytes and no protocol. Who dials can be told apart all the same, if `caller_of` reads a name from the first
bytes: faults are then set for one caller, and others pass. The faults are those of TCP as its two ends see them, which
never see a lost packet: what is cut is not lost but late, as the sender's machine goes on sending. What really loses
bytes (`gap_share`, `black_hole_after_bytes`) stands for the broken middleboxes there are.
"""

import asyncio
import random
import socket
import struct
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

RETRANSMISSION_MS: Final = 200.0
"""What one lost packet costs whatever is behind it: the least that Linux waits for an acknowledgement."""

_READ_BYTES: Final = 64 * 1024
_QUEUED_READS: Final = 64  # A connection keeps at most 4 MiB on its way; then the sender has to wait.
_BACKLOG: Final = 128
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, on and for no time: what is unsent is dropped, and the other side gets a reset instead of an end."""

CallerOf: TypeAlias = Callable[[bytes], str | None]
"""Who dials, by the first bytes of a connection; None while these are too few to say."""


class Way(Struct, frozen=True, kw_only=True):
    """What befalls bytes in one direction; a *packet* is whatever one read gave. By default, nothing does."""

    cut: bool = False  #: Nothing arrives, ends of connections included, until this is lifted; then all of it does.
    delay_ms: float = 0.0
    jitter_ms: float = 0.0  #: Up to so much more, drawn evenly for each packet; the order stays.
    loss_share: float = 0.0  #: Of packets that have to be sent again: they, and all behind, are later by 200 ms.
    gap_share: float = 0.0  #: Of packets that vanish for good; what follows them arrives.
    slice_bytes: int = 0  #: The longest piece that is handed on at once; 0: as it comes.
    bytes_per_second: int = 0  #: Of each connection; 0: unlimited.
    black_hole_after_bytes: int | None = None  #: Of each connection: what follows is swallowed, and nobody is told.


class _Road:
    """One direction between a caller and the target: the faults in force now, for all connections along it."""

    def __init__(self) -> None:
        self._way = Way()
        self.passable = asyncio.Event()
        self.passable.set()

    @property
    def way(self) -> Way:
        return self._way

    @way.setter
    def way(self, way: Way) -> None:
        self._way = way
        if way.cut:
            self.passable.clear()
        else:
            self.passable.set()


class Proxy:
    """Listens at `address`, connects to `target`, and passes bytes on between `async with` and its end.

    Both are URLs with a host and a port, of any scheme that goes over TCP. A target that is not there costs the caller
    its connection. `rng` draws what is left to chance.
    """

    def __init__(
        self, address: str, *, target: str, caller_of: CallerOf | None = None, rng: random.Random | None = None
    ) -> None:
        self._address = _host_and_port(address)
        self._target = _host_and_port(target)
        self._caller_of = caller_of
        self._rng = rng or random.Random()
        self._roads: defaultdict[str, tuple[_Road, _Road]] = defaultdict(lambda: (_Road(), _Road()))
        self._connections: dict[asyncio.Task[None], str] = {}
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server(self._address, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._listener))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._accepting is not None
        assert self._listener is not None
        ending = [self._accepting, *self._connections]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._listener.close()

    # -- faults

    def set(self, caller: str = "", *, there: Way | None = None, back: Way | None = None) -> None:
        """What befalls, from now on, what `caller` sends to the target, and what comes back; None changes nothing.

        Callers that `caller_of` does not name are "".
        """
        for road, way in zip(self._roads[caller], (there, back), strict=True):
            if way is not None:
                road.way = way

    def reset(self, caller: str | None = None) -> None:
        """End every connection of `caller`, or of everybody, by a reset to both sides. New ones may follow."""
        for task, name in self._connections.items():
            if caller in (None, name):
                task.cancel()

    # -- connections

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            dialer, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(self._connect(dialer))
            self._connections[task] = ""
            task.add_done_callback(self._connections.pop)

    async def _connect(self, dialer: socket.socket) -> None:
        """One connection, from its first byte to its end, of which nobody needs to hear but the two sides."""
        target = socket.socket()
        orderly = False
        try:
            for end in (dialer, target):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._carry(dialer, target)
            orderly = True
        except* OSError:
            orderly = False
        finally:
            for end in (dialer, target):
                if not orderly:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                end.close()

    async def _carry(self, dialer: socket.socket, target: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        caller, first = await self._introduction(dialer)
        current = asyncio.current_task()
        assert current is not None
        self._connections[current] = caller
        there, back = self._roads[caller]
        await there.passable.wait()
        await loop.sock_connect(target, self._target)
        async with asyncio.TaskGroup() as both:
            for direction in (_Direction(dialer, target, there, back), _Direction(target, dialer, back, there)):
                both.create_task(direction.take(self._rng, first if direction.source is dialer else b""))
                both.create_task(direction.give())

    async def _introduction(self, dialer: socket.socket) -> tuple[str, bytes]:
        """Who dials, and what was read to find that out."""
        if self._caller_of is None:
            return "", b""
        first = b""
        while (caller := self._caller_of(first)) is None:
            data = await asyncio.get_running_loop().sock_recv(dialer, _READ_BYTES)
            if not data:
                return "", first
            first += data
        return caller, first


class _Direction:
    """The bytes of one connection in one direction: taken from `source`, kept until they are due, given to `sink`."""

    def __init__(self, source: socket.socket, sink: socket.socket, road: _Road, opposite: _Road) -> None:
        self.source = source
        self._sink = sink
        self._road = road
        self._opposite = opposite
        # When it is due, and the data; b"" is the end of the stream, None that of a connection that was reset.
        self._queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(_QUEUED_READS)

    async def take(self, rng: random.Random, first: bytes) -> None:
        """Read until the end. `first` was read before."""
        loop = asyncio.get_running_loop()
        due, data = 0.0, first or await self._read()
        while True:
            way = self._road.way
            late_ms = way.delay_ms + rng.uniform(0, way.jitter_ms)
            if rng.random() < way.loss_share:
                late_ms += RETRANSMISSION_MS
            due = max(due, loop.time() + late_ms / 1000)
            # Drawn for every packet, an end never being one, so that chance goes on alike whatever the shares are.
            vanishes = rng.random() < way.gap_share
            if not (data and vanishes):
                await self._queue.put((due, data))
            if not data:
                return
            data = await self._read()

    async def _read(self) -> bytes | None:
        try:
            return await asyncio.get_running_loop().sock_recv(self.source, _READ_BYTES)
        except OSError:
            return None

    async def give(self) -> None:
        """Write, piece by piece, until the end. Raises `OSError` when either side was reset."""
        loop = asyncio.get_running_loop()
        passed_bytes = 0
        while True:
            due, data = await self._queue.get()
            await asyncio.sleep(due - loop.time())
            await self._road.passable.wait()
            if data is None:
                raise ConnectionResetError
            if not data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            passed_bytes = await self._hand_on(data, passed_bytes)

    async def _hand_on(self, data: bytes, passed_bytes: int) -> int:
        """Give `data` after `passed_bytes` of this connection; returns how many that makes."""
        place = 0
        while place < len(data):
            await self._road.passable.wait()
            way = self._road.way
            piece = data[place : place + (way.slice_bytes or len(data))]
            place += len(piece)
            room = len(piece) if way.black_hole_after_bytes is None else way.black_hole_after_bytes - passed_bytes
            passed_bytes += len(piece)
            if room > 0:
                await self._send(piece[:room])
            if way.bytes_per_second:
                await asyncio.sleep(len(piece) / way.bytes_per_second)
        return passed_bytes

    async def _send(self, piece: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._sink, piece)
        except OSError:
            # The other side is gone, which its reset tells the source: along the opposite road, which may be cut.
            await self._opposite.passable.wait()
            raise


def _host_and_port(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"{address} has no host and port: a proxy carries TCP")
    return parts.hostname, parts.port
