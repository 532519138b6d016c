"""Streams with a framing that shakes hands, answers by itself and says why it leaves; on both event loops."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import pytest
import uvloop
from raftsdk_tcp import StreamConnection, accept_streams, open_stream
from raftsdk_tcp.address import TcpAddress

from raftsdk.errors import WireError
from raftsdk.ports import Connection

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PATIENCE_S = 5.0


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run


class Letters:
    """A frame is a letter. `?` is answered by `!`, `.` is a goodbye, a digit is a fault; before all that, `[` from the
    dialer is answered by `]`.
    """

    certified_names = None

    def __init__(self, *, dials: bool = False) -> None:
        self.max_frame_bytes = 1
        self.opened = False
        self.ended = False
        self.error: WireError | None = None
        self._dials = dials
        self._replies = b""
        self._behind = b""
        self._left = False

    @property
    def has_replies(self) -> bool:
        return bool(self._replies)

    def open(self) -> bytes:
        return b"[" if self._dials else b""

    def feed(self, data: bytes) -> list[bytes]:
        data, self._behind = self._behind + data, b""
        if not self.opened:
            if data:
                self._shake_hands(data)
            return []
        frames = []
        for place in range(len(data)):
            letter = data[place : place + 1]
            if letter == b"?":
                self._replies = b"!"  # However many are asked: what is kept has a bound.
            elif letter == b".":
                self.ended = True
                self._replies += b"."
            elif letter.isdigit():
                self.error = WireError("digit", letter.decode())
                break
            else:
                frames.append(letter)
        return frames

    def _shake_hands(self, data: bytes) -> None:
        if data[:1] != (b"]" if self._dials else b"["):
            self.error = WireError("manners", "no greeting")
            return
        self.opened = True
        self._behind = data[1:]
        self._replies = b"" if self._dials else b"]"

    def replies(self) -> bytes:
        replies, self._replies = self._replies, b""
        return replies

    def pack(self, frames: Sequence[bytes]) -> bytes:
        return self.replies() + b"".join(frames)

    def close(self) -> bytes:
        if self._left:
            return b""
        self._left = True
        return self.replies() + (f"<{self.error.reason}>".encode() if self.error else b".")

    def forget(self) -> None:
        self._behind = b""


class Raw:
    """A plain socket, and the connection that was accepted from it."""

    def __init__(self, sock: socket.socket, connection: StreamConnection) -> None:
        self.socket = sock
        self.connection = connection

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, count: int) -> bytes:
        received = b""
        async with asyncio.timeout(PATIENCE_S):
            while len(received) < count:
                piece = await asyncio.get_running_loop().sock_recv(self.socket, count - len(received))
                if not piece:
                    break
                received += piece
        return received

    async def read_all(self) -> bytes:
        return await self.receive(100_000_000)


@asynccontextmanager
async def accepted() -> AsyncIterator[Raw]:
    over = asyncio.Event()
    found: asyncio.Future[StreamConnection] = asyncio.get_running_loop().create_future()

    async def keep(connection: Connection) -> None:
        assert isinstance(connection, StreamConnection)
        found.set_result(connection)
        await over.wait()

    listener = await accept_streams(TcpAddress("127.0.0.1", 0, "letters"), Letters, keep)
    with socket.create_connection(("127.0.0.1", int(listener.address.rpartition(":")[2]))) as sock:
        sock.setblocking(False)
        yield Raw(sock, await found)
        over.set()
        (await found).abort()
        await (await found).aclose()
    await listener.aclose()


async def read(connection: StreamConnection) -> list[bytes]:
    async with asyncio.timeout(PATIENCE_S):
        return await connection.read()


# -- the handshake


def test_a_connection_is_handed_over_before_its_handshake_which_needs_nobody_to_read(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            assert raw.connection.remote.startswith("letters://127.0.0.1:")
            await raw.send(b"[")
            assert await raw.receive(1) == b"]"
            await raw.send(b"a")
            assert await read(raw.connection) == [b"a"]

    run(story())


def test_what_came_with_the_end_of_the_handshake_is_read_behind_it(run: Run) -> None:
    async def story(reads_first: bool) -> None:
        async with accepted() as raw:
            reading = asyncio.create_task(read(raw.connection)) if reads_first else None
            await asyncio.sleep(0)
            await raw.send(b"[ab")
            assert await raw.receive(1) == b"]"
            assert await (reading or read(raw.connection)) == [b"a", b"b"]

    for reads_first in (True, False):
        run(story(reads_first))


def test_what_was_written_before_the_handshake_comes_behind_its_answer(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            raw.connection.write([b"a", b"b"])
            assert raw.connection.unsent_bytes == 2
            await raw.send(b"[")
            assert await raw.receive(3) == b"]ab"
            assert raw.connection.unsent_bytes == 0

    run(story())


def test_closing_in_the_middle_of_a_handshake_waits_for_it_if_something_is_to_be_said(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            raw.connection.write([b"a"])
            closing = asyncio.create_task(raw.connection.aclose())
            await asyncio.sleep(0.01)
            await raw.send(b"[dropped")
            assert await raw.read_all() == b"]a."
            raw.socket.shutdown(socket.SHUT_WR)
            await closing
            assert await read(raw.connection) == []

    run(story())


def test_a_handshake_that_fails_is_an_error_of_the_first_read(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            raw.connection.write([b"never"])
            await raw.send(b"good morning")
            with pytest.raises(WireError) as caught:
                await read(raw.connection)
            assert caught.value.reason == "manners"
            assert await raw.read_all() == b"<manners>"
            assert await read(raw.connection) == []

    run(story())


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[TcpAddress]:
    """A plain socket that answers the greeting like this, or leaves."""

    async def talk(server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sock, _ = await loop.sock_accept(server)
        with sock:
            assert await loop.sock_recv(sock, 100) == b"["
            await loop.sock_sendall(sock, answer)
            if answer:
                await loop.sock_recv(sock, 100)  # Until the dialer leaves.

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        talking = asyncio.create_task(talk(server))
        yield TcpAddress("127.0.0.1", server.getsockname()[1], "letters")
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionResetError):
                await talking


def test_a_dialer_has_its_connection_once_the_handshake_is_over(run: Run) -> None:
    async def story() -> None:
        async with answering(b"]a") as where:
            connection = await open_stream(where, Letters(dials=True))
            assert connection.remote == str(where)
            assert await read(connection) == [b"a"]
            connection.abort()

    run(story())


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [(b"HTTP/1.1", WireError, "no greeting"), (b"", OSError, "left in the middle of the handshake")],
)
def test_a_dialer_is_told_what_stands_against_it(answer: bytes, error: type[Exception], text: str, run: Run) -> None:
    async def story() -> None:
        async with answering(answer) as where:
            with pytest.raises(error, match=text):
                async with asyncio.timeout(PATIENCE_S):
                    await open_stream(where, Letters(dials=True))

    run(story())


# -- what a framing says by itself


def test_answers_of_the_framing_need_nobody_but_the_first_reader(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            await raw.send(b"[a")
            assert await read(raw.connection) == [b"a"]
            await raw.send(b"?")
            assert await raw.receive(2) == b"]!"

    run(story())


def test_answers_wait_while_much_is_unsent_and_come_once_it_is_not(run: Run) -> None:
    much = [b"m" * 16_000_000]

    async def story() -> None:
        async with accepted() as raw:
            await raw.send(b"[a")
            assert await read(raw.connection) == [b"a"]
            raw.connection.write(much)
            unsent_bytes = raw.connection.unsent_bytes
            await raw.send(b"?" * 100_000 + b"b")
            assert await read(raw.connection) == [b"b"]
            assert raw.connection.unsent_bytes <= unsent_bytes
            received = await raw.receive(1 + 16_000_000 + 1)
            assert received == b"]" + much[0] + b"!"

    run(story())


def test_the_reason_arrives_whole_though_more_of_what_is_refused_is_coming_in(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            await raw.send(b"[ab7")
            assert await read(raw.connection) == [b"a", b"b"]
            flood = asyncio.create_task(raw.send(b"x" * 4_000_000))
            with pytest.raises(WireError) as caught:
                await read(raw.connection)
            assert caught.value.reason == "digit"
            assert await raw.read_all() == b"]<digit>"
            await flood
            raw.connection.write([b"late"])
            assert await read(raw.connection) == []

    run(story())


def test_whoever_does_not_leave_after_the_reason_is_thrown_out(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            await raw.send(b"[7")
            assert await raw.receive(1) == b"]"
            reading = asyncio.create_task(raw.connection.read())
            with pytest.raises(WireError):
                await reading
            async with asyncio.timeout(PATIENCE_S):
                await raw.connection._closed.wait()  # Though nobody asked for it, and the other side stays.

    run(story())


def test_a_goodbye_is_answered_and_is_the_end_behind_what_was_said_before(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            await raw.send(b"[ab.")
            assert await read(raw.connection) == [b"a", b"b"]
            assert await read(raw.connection) == []
            assert await raw.read_all() == b"]."

    run(story())


def test_our_goodbye_is_said_once(run: Run) -> None:
    async def story() -> None:
        async with accepted() as raw:
            await raw.send(b"[a")
            assert await read(raw.connection) == [b"a"]
            raw.connection.write([b"z"])
            closing = [asyncio.create_task(raw.connection.aclose()) for _ in range(2)]
            assert await raw.read_all() == b"]z."
            raw.socket.shutdown(socket.SHUT_WR)
            await asyncio.gather(*closing)

    run(story())
