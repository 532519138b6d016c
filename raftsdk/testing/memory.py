"""A transport within one process, with the faults a network has, each at a word.

    network = MemoryNetwork()
    n1, n2 = network.transport("n1"), network.transport("n2")   # for two nodes that listen at memory://n1, memory://n2
    network.hold("n1", "n2")                                    # nothing from n1 reaches n2 any more; n1 hears n2
    network.release("n1", "n2")                                 # what was held arrives, in order

Faults are those of a reliable stream: it is delayed, stalls, or ends; it never loses or reorders what it delivers. So
what is held is not lost, as with TCP, whose machine goes on sending. To lose it, reset the connection too.
"""

import asyncio
import errno
import re
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, Final

from raftsdk.errors import RaftError, Unreachable, WireError
from raftsdk.ports.transport import OnConnection

_ADDRESS = re.compile(r"memory://([A-Za-z0-9._-]{1,128})")
_DRAINED_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 64 * 1024
_FIRST_FRAME_BYTES: Final = 16 * 1024
_LINGER_S: Final = 1.0


class _Path:
    """The way from one name to another: what is wrong with it now, and the streams that go along it."""

    def __init__(self) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.delay_s = 0.0
        self.streams: set[_Stream] = set()


class MemoryNetwork:
    """Names and the paths between them. Everything happens in one event loop.

    A name is that of the transport that dials, and, on the other side, what its listener's address says after
    `memory://`. Paths are one-way.
    """

    def __init__(self) -> None:
        self.listeners: dict[str, MemoryListener] = {}
        self._paths: defaultdict[tuple[str, str], _Path] = defaultdict(_Path)

    def transport(self, name: str = "") -> "MemoryTransport":
        """A transport for whoever is called `name`."""
        return MemoryTransport(self, name)

    def hold(self, source: str, target: str) -> None:
        """Let nothing from `source` reach `target`, neither frames nor ends, until `release`. Connecting hangs."""
        self.path(source, target).flowing.clear()

    def release(self, source: str, target: str) -> None:
        """Deliver what was held, and what follows."""
        path = self.path(source, target)
        path.flowing.set()
        for stream in path.streams:
            stream.wake()

    def delay(self, source: str, target: str, seconds: float) -> None:
        """Deliver every frame from `source` to `target` so much later, from the next one on."""
        self.path(source, target).delay_s = seconds

    def reset(self, source: str, target: str) -> None:
        """End every connection between the two at once, whoever dialed it. New ones may follow."""
        for stream in [*self.path(source, target).streams, *self.path(target, source).streams]:
            stream.cut()

    def path(self, source: str, target: str) -> _Path:
        """The way from `source` to `target`."""
        return self._paths[source, target]


_process_wide = MemoryNetwork()


class MemoryTransport:
    """A `raftsdk.ports.Transport` at `memory://NAME`, for nodes of one process and one event loop.

    Made without a network, as a configuration does, it is on the one that all such share.
    """

    schemes: ClassVar[tuple[str, ...]] = ("memory",)

    def __init__(self, network: MemoryNetwork | None = None, name: str = "") -> None:
        self._network = network or _process_wide
        self._name = name

    async def connect(self, address: str) -> "MemoryConnection":
        """A new connection. Raises `Unreachable` when nobody listens at `address`, `ValueError` when it is none."""
        target = _parse(address)
        await self._network.path(self._name, target).flowing.wait()
        listener = self._network.listeners.get(target)
        if listener is None:
            raise Unreachable(f"{address}: nobody listens there")
        there = _Stream(self._network.path(self._name, target))
        back = _Stream(self._network.path(target, self._name))
        listener.accept(MemoryConnection(f"memory://{self._name}", outgoing=back, incoming=there))
        return MemoryConnection(address, outgoing=there, incoming=back)

    async def listen(self, address: str, on_connection: OnConnection) -> "MemoryListener":
        """Accept at `address`. Raises `OSError` when somebody does already, `ValueError` when it is no address."""
        name = _parse(address)
        if name in self._network.listeners:
            raise OSError(errno.EADDRINUSE, f"cannot listen at {address}: somebody does already")
        listener = self._network.listeners[name] = MemoryListener(self._network, name, on_connection)
        return listener


def _parse(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"{address!r} is no address in memory: give memory://NAME")
    return match[1]


class MemoryListener:
    """An address being listened on."""

    def __init__(self, network: MemoryNetwork, name: str, on_connection: OnConnection) -> None:
        self.address = f"memory://{name}"
        self._network = network
        self._name = name
        self._on_connection = on_connection
        self._serving: set[asyncio.Task[None]] = set()

    def accept(self, connection: "MemoryConnection") -> None:
        """Serve a new connection in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def aclose(self) -> None:
        """Stop accepting; accepted connections live on. May be called twice."""
        if self._network.listeners.get(self._name) is self:
            del self._network.listeners[self._name]

    async def _serve(self, connection: "MemoryConnection") -> None:
        try:
            await self._on_connection(connection)
        except RaftError:
            pass  # a stranger broke the wire's rules; whoever serves has said so
        except Exception as error:
            message = f"the handler of the connection from {connection.remote} failed; that connection is closed"
            asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
        finally:
            await connection.aclose()


class _Stream:
    """One direction of one connection: frames between the writer's `write` and the reader's `read`."""

    def __init__(self, path: _Path) -> None:
        self.unsent_bytes = 0
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._frames: deque[tuple[float, bytes]] = deque()  # when it arrives, and what
        self._end_at: float | None = None  # likewise; nothing is taken any more once it is known
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        path.streams.add(self)

    # -- the writer's end

    def put(self, frames: Sequence[bytes]) -> None:
        if self._end_at is None:
            arrives_at = self._loop.time() + self._path.delay_s
            self._frames.extend((arrives_at, frame) for frame in frames)
            self.unsent_bytes += sum(map(len, frames))
            self.wake()

    def end(self) -> None:
        """The reader sees the end after the last frame."""
        if self._end_at is None:
            self._end_at = self._loop.time() + self._path.delay_s
            self.wake()

    async def unsent_at_most(self, limit_bytes: int) -> None:
        while self.unsent_bytes > limit_bytes:
            self._taken.clear()
            await self._taken.wait()

    # -- the reader's end

    async def next_body_bytes(self) -> int | None:
        """Wait for a frame, and return the length of its body; None at the end. Cancelling loses nothing."""
        while not self.has_arrived():
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._due_at()):
                    await self._changed.wait()
        return int.from_bytes(self._frames[0][1][:4]) if self._frames else None

    def has_arrived(self) -> bool:
        """Whether a frame, or the end, is there to be read."""
        due_at = self._due_at()
        return due_at is not None and due_at <= self._loop.time()

    def take(self) -> bytes:
        _, frame = self._frames.popleft()
        self.unsent_bytes -= len(frame)
        self._taken.set()
        return frame

    # -- the network's

    def wake(self) -> None:
        self._changed.set()

    def lose(self) -> None:
        """What is on its way will not arrive."""
        self._frames.clear()
        self.unsent_bytes = 0
        self._taken.set()

    def cut(self) -> None:
        """The end, now, for both sides, wherever a fault may be."""
        self.lose()
        self._path.streams.discard(self)
        self._path = _Path()
        self._end_at = 0.0
        self.wake()

    def _due_at(self) -> float | None:
        """When the next frame or the end is there; None while nobody knows."""
        if not self._path.flowing.is_set():
            return None
        return self._frames[0][0] if self._frames else self._end_at


class MemoryConnection:
    """One end of a connection in memory; see `raftsdk.ports.Connection`. What is unread lies with its writer."""

    def __init__(self, remote: str, outgoing: _Stream, incoming: _Stream) -> None:
        self.remote = remote
        self.max_frame_bytes = _FIRST_FRAME_BYTES
        self._outgoing = outgoing
        self._incoming = incoming

    @property
    def unsent_bytes(self) -> int:
        """Bytes written that the other side has not read."""
        return self._outgoing.unsent_bytes

    def write(self, frames: Sequence[bytes]) -> None:
        """Queue whole frames."""
        self._outgoing.put(frames)

    async def drain(self) -> None:
        """Return once little is unread, or the connection has ended."""
        await self._outgoing.unsent_at_most(_DRAINED_BYTES)

    async def read(self) -> list[bytes]:
        """Every whole frame that has arrived, at least one; `[]` at the end. Raises `WireError` on an oversize one."""
        frames: list[bytes] = []
        taken_bytes = 0
        while taken_bytes < _READ_BYTES and (not frames or self._incoming.has_arrived()):
            body_bytes = await self._incoming.next_body_bytes()
            if body_bytes is None:
                self._outgoing.cut()
                break
            if body_bytes > self.max_frame_bytes:
                if frames:
                    break
                self.abort()
                raise WireError(
                    "oversize", f"a body of {body_bytes} bytes, and at most {self.max_frame_bytes} are taken"
                )
            frames.append(self._incoming.take())
            taken_bytes += len(frames[-1])
        return frames

    async def aclose(self) -> None:
        """Let the other side read what was written, for at most a second, then end the connection."""
        self._incoming.cut()
        self._outgoing.end()
        try:
            async with asyncio.timeout(_LINGER_S):
                await self._outgoing.unsent_at_most(0)
        except TimeoutError:
            self._outgoing.lose()

    def abort(self) -> None:
        """End the connection now; a side that a fault keeps from hearing of it hears of it later."""
        self._incoming.cut()
        self._outgoing.lose()
        self._outgoing.end()
