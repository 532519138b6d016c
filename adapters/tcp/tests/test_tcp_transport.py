"""What is particular to TCP and Unix sockets; the rest is the transport suite, run on both and on both event loops."""

import asyncio
import logging
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import entry_points
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
import uvloop
from raftsdk_tcp import TcpTransport, listener, streams
from raftsdk_tcp.address import TcpAddress
from raftsdk_tcp.connection import READ_AHEAD_BYTES, StreamConnection
from raftsdk_tcp.streams import meets_itself

from raftsdk.errors import Unreachable, WireError
from raftsdk.ports import Connection
from raftsdk.testing.suite import Case
from raftsdk.testing.transport_suite import SUITE, TransportSubject, frame

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]

RECEIVE_BUFFER_BYTES = 256 * 1024
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

TLS_CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(190))
HOSTILE_STARTS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": TLS_CLIENT_HELLO,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a length of 2^32-1": b"\xff\xff\xff\xff",
}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: that of a Unix socket may have some hundred bytes."""
    with TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(params=["tcp", "unix"])
def subject(request: pytest.FixtureRequest, directory: Path) -> TransportSubject:
    numbers = count()
    addresses = {"tcp": lambda: "tcp://127.0.0.1:0", "unix": lambda: f"unix://{directory}/{next(numbers)}"}
    return TransportSubject(transport=TcpTransport, address=addresses[request.param])


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
def test_the_transport_suite(case: Case[TransportSubject], subject: TransportSubject, run: Run) -> None:
    run(case.run(subject))


# -- helpers


async def _echo(connection: Connection) -> None:
    while frames := await connection.read():
        connection.write(frames)


@asynccontextmanager
async def _echoing(address: str = "tcp://127.0.0.1:0") -> AsyncIterator[tuple[TcpTransport, str]]:
    ours = TcpTransport()
    listening = await ours.listen(address, _echo)
    yield ours, listening.address
    await listening.aclose()


async def _assert_echoed(connection: Connection) -> None:
    connection.write([frame(b"hello")])
    async with asyncio.timeout(5):
        assert await connection.read() == [frame(b"hello")]


@asynccontextmanager
async def _accepted_from_a_raw_socket() -> AsyncIterator[tuple[socket.socket, StreamConnection]]:
    """Both ends of a connection: a plain socket, and ours."""
    over = asyncio.Event()
    accepted: asyncio.Future[StreamConnection] = asyncio.get_running_loop().create_future()

    async def keep(connection: Connection) -> None:
        assert isinstance(connection, StreamConnection)
        accepted.set_result(connection)
        await over.wait()

    listening = await TcpTransport().listen("tcp://127.0.0.1:0", keep)
    with _dial(listening.address) as raw:
        connection = await accepted
        yield raw, connection
        over.set()
        connection.abort()
        await connection.aclose()
    await listening.aclose()


@contextmanager
def _dial(address: str) -> Iterator[socket.socket]:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.setblocking(False)
        yield raw


async def _ends(raw: socket.socket) -> bool:
    """Whether the next thing that comes is the end, orderly or not."""
    try:
        return await asyncio.get_running_loop().sock_recv(raw, 1) == b""
    except ConnectionResetError:
        return True


# -- strangers


@pytest.mark.parametrize("start", HOSTILE_STARTS.values(), ids=HOSTILE_STARTS)
def test_a_stranger_that_speaks_another_protocol_is_closed_at_once_without_a_trace(
    start: bytes, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with _echoing() as (ours, address):
            peer = await ours.connect(address)
            with _dial(address) as stranger:
                await asyncio.get_running_loop().sock_sendall(stranger, start)
                async with asyncio.timeout(5):
                    assert await _ends(stranger)
            await _assert_echoed(peer)
            await peer.aclose()

    run(story())
    assert not caplog.records


def test_an_oversize_frame_is_reported_to_the_reader_as_such(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection):
            raw.send(HOSTILE_STARTS["HTTP"])
            with pytest.raises(WireError) as caught:
                await connection.read()
            assert caught.value.reason == "oversize"
            assert await connection.read() == []

    run(story())


def test_a_header_that_comes_byte_by_byte_makes_one_frame(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection):
            expected = frame(b"slow")
            reading = asyncio.create_task(connection.read())
            for byte in expected:
                assert not reading.done()
                raw.send(bytes([byte]))
                await asyncio.sleep(0.001)
            assert await reading == [expected]

    run(story())


def test_an_incomplete_frame_at_the_end_is_dropped(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection):
            raw.send(frame(b"whole") + frame(b"incomplete")[:-1])
            raw.shutdown(socket.SHUT_WR)
            assert await connection.read() == [frame(b"whole")]
            assert await connection.read() == []

    run(story())


def test_a_flood_of_tiny_frames_keeps_no_other_connection_waiting(run: Run) -> None:
    async def flood(raw: socket.socket) -> None:
        while True:
            await asyncio.get_running_loop().sock_sendall(raw, frame(b"") * 10_000)

    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection), _echoing() as (ours, address):
            peer = await ours.connect(address)
            flooding = asyncio.create_task(flood(raw))
            for _ in range(20):
                peer.write([frame(b"hello")])
                at_once = await connection.read()
                assert len(at_once) * len(frame(b"")) <= READ_AHEAD_BYTES + RECEIVE_BUFFER_BYTES
            flooding.cancel()
            await _read_until(peer, 20)
            await peer.aclose()

    run(story())


async def _read_until(connection: Connection, count: int) -> None:
    async with asyncio.timeout(5):
        while count > 0:
            count -= len(await connection.read())


def test_a_limit_set_before_the_first_read_holds_for_what_came_before_it(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection):
            raw.send(frame(bytes(40_000)))
            await asyncio.sleep(0.02)
            connection.max_frame_bytes = 40_000
            assert await connection.read() == [frame(bytes(40_000))]

    run(story())


def test_what_is_not_read_stays_with_the_sender_but_for_a_receive_buffer(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection):
            each = frame(bytes(16_000))
            sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(raw, each * 2_000))
            received = len(await connection.read())
            await asyncio.sleep(0.05)
            at_once = len(await connection.read())
            assert at_once * len(each) <= READ_AHEAD_BYTES + RECEIVE_BUFFER_BYTES + len(each)
            received += at_once
            while received < 2_000:
                received += len(await connection.read())
            await sending

    run(story())


def test_closing_a_connection_that_was_reset_unnoticed_raises_nothing(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
            await connection.aclose()

    run(story())
    assert not caplog.records


def test_the_last_words_arrive_whole_though_we_left_what_came_in_unread(run: Run) -> None:
    last_words = frame(bytes(4 * 1024 * 1024))

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with _accepted_from_a_raw_socket() as (raw, connection):
            raw.send(frame(b"unread"))
            connection.write([last_words])
            closing = asyncio.create_task(connection.aclose())
            received = bytearray()
            while piece := await loop.sock_recv(raw, RECEIVE_BUFFER_BYTES):
                received += piece
            assert received == last_words
            raw.close()
            await closing

    run(story())


def test_a_reset_is_an_end_like_any_other(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection):
            reading = asyncio.create_task(connection.read())
            await asyncio.sleep(0)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
            assert await reading == []
            connection.write([frame(b"late")])

    run(story())
    assert not caplog.records


def test_a_second_reader_at_the_same_time_is_a_bug_and_told_so(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (_raw, connection):
            reading = asyncio.create_task(connection.read())
            await asyncio.sleep(0)
            with pytest.raises(AssertionError, match="one task at a time"):
                await connection.read()
            reading.cancel()

    run(story())


# -- the handler


def test_a_bug_in_the_handler_is_told_to_the_event_loop_with_the_remote_address(run: Run) -> None:
    async def fail(connection: Connection) -> None:
        raise LookupError(connection.remote)

    async def story() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
        ours = TcpTransport()
        listening = await ours.listen("tcp://127.0.0.1:0", fail)
        connection = await ours.connect(listening.address)
        assert await connection.read() == []
        await connection.aclose()
        await listening.aclose()
        return told

    (context,) = run(story())
    assert isinstance(context["exception"], LookupError)
    assert str(context["exception"].args[0]) in context["message"]


def test_each_end_names_the_other_by_its_address(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (raw, connection):
            host, port = raw.getsockname()
            assert connection.remote == f"tcp://{host}:{port}"
        async with _echoing() as (ours, address):
            dialing = await ours.connect(address)
            assert dialing.remote == address
            await dialing.aclose()

    run(story())


# -- sockets


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "tcp://localhost:0", "tcp://[::1]:0"])
def test_port_0_becomes_a_real_port_at_every_address_of_the_host(address: str, run: Run) -> None:
    async def story() -> None:
        async with _echoing(address) as (ours, real):
            prefix, _, port = real.rpartition(":")
            assert prefix == address.removesuffix(":0")
            assert int(port) > 0
            connection = await ours.connect(real)
            await _assert_echoed(connection)
            await connection.aclose()

    run(story())


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    def resolve(_host: str, port: int, *_args: int, **_kwargs: int) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)) for host in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)  # What asyncio's own loop asks; uvloop asks the C library.


async def test_a_name_for_several_addresses_is_listened_at_on_each_with_one_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    sockets = await listener.bind_tcp(TcpAddress("several.example", 0))
    names = [each.getsockname() for each in sockets]
    for each in sockets:
        each.close()
    assert names == [("127.0.0.1", names[0][1]), ("127.0.0.2", names[0][1])]


async def test_an_address_this_machine_does_not_have_is_left_out_unless_it_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _resolve_to(monkeypatch, "203.0.113.1", "127.0.0.1")
    (only,) = await listener.bind_tcp(TcpAddress("localhost", 0))
    assert only.getsockname()[0] == "127.0.0.1"
    only.close()
    _resolve_to(monkeypatch, "203.0.113.1")
    with pytest.raises(OSError, match="Cannot assign requested address"):
        await listener.bind_tcp(TcpAddress("elsewhere.example", 0))


async def test_when_one_address_of_a_name_is_taken_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        _resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
        with pytest.raises(OSError, match="Address already in use"):
            await listener.bind_tcp(TcpAddress("several.example", port))
        socket.create_server(("127.0.0.1", port)).close()


def test_small_frames_are_not_held_back_and_dead_machines_are_noticed(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_raw_socket() as (_raw, accepted), _echoing() as (ours, address):
            dialing = await ours.connect(address)
            for connection in (accepted, dialing):
                sock = connection._transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            await dialing.aclose()

    run(story())


def test_a_connection_that_meets_itself_is_recognised() -> None:
    with socket.socket() as itself:
        itself.bind(("127.0.0.1", 0))
        itself.connect(itself.getsockname())
        assert meets_itself(itself)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as other:
        assert not meets_itself(other)


def test_a_connection_that_meets_itself_is_given_up_as_unreachable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "meets_itself", lambda _sock: True)  # The real thing takes some 28,000 attempts.

    async def story() -> None:
        async with _echoing() as (ours, address):
            with pytest.raises(Unreachable, match=f"{address}: nobody listens there"):
                await ours.connect(address)

    run(story())


def test_a_connect_that_is_given_up_leaves_no_socket_behind(run: Run) -> None:
    async def open_files_after_giving_up(address: str) -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await TcpTransport().connect(address)
        await asyncio.sleep(0.01)
        return len(os.listdir("/proc/self/fd"))

    async def story(address: str) -> None:
        before = await open_files_after_giving_up(address)  # The event loop opens files of its own at first.
        for _ in range(5):
            assert await open_files_after_giving_up(address) == before

    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):  # The one place there is; whoever comes next waits.
            run(story(f"tcp://127.0.0.1:{full.getsockname()[1]}"))


@pytest.mark.parametrize("address", ["tcp://no-such-host.invalid:7001", "unix:///no/such/socket"])
def test_the_error_names_the_address_that_cannot_be_reached(address: str, run: Run) -> None:
    with pytest.raises(Unreachable, match=address):
        run(TcpTransport().connect(address))


def test_the_error_names_the_address_that_cannot_be_listened_at(subject: TransportSubject, run: Run) -> None:
    async def story() -> None:
        async with _echoing(subject.address()) as (ours, address):
            with pytest.raises(OSError, match=f"cannot listen at {address}: Address already in use"):
                await ours.listen(address, _echo)

    run(story())


# -- socket files


def _leave_a_stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_the_socket_file_of_a_dead_process_is_replaced(directory: Path, run: Run) -> None:
    path = directory / "raft.sock"
    _leave_a_stale_socket(path)

    async def story() -> None:
        async with _echoing(f"unix://{path}") as (ours, address):
            connection = await ours.connect(address)
            await _assert_echoed(connection)
            await connection.aclose()

    run(story())
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(directory: Path, run: Run) -> None:
    path = directory / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="Address already in use"):
        run(TcpTransport().listen(f"unix://{path}", _echo))
    assert path.read_text() == "data"


def test_closing_leaves_the_file_that_another_process_has_put_in_place_of_ours(directory: Path, run: Run) -> None:
    path = directory / "raft.sock"

    async def story() -> None:
        async with _echoing(f"unix://{path}"):
            path.rename(directory / "moved")
            path.write_text("theirs")

    run(story())
    assert path.read_text() == "theirs"


def test_a_path_that_is_too_long_for_a_socket_is_refused_with_its_address(directory: Path, run: Run) -> None:
    address = f"unix://{directory}/{'x' * 200}"
    with pytest.raises(OSError, match=f"cannot listen at {address}: AF_UNIX path too long"):
        run(TcpTransport().listen(address, _echo))


# -- no file descriptors left


@contextmanager
def _no_descriptors_left() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def _short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "ACCEPT_RETRY_S", 0.01)


@pytest.mark.usefixtures("_short_rest")
def test_out_of_descriptors_peers_are_served_strangers_wait_and_one_line_is_logged(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with _echoing() as (ours, address):
            peer = await ours.connect(address)
            await _assert_echoed(peer)
            with socket.socket() as stranger:
                stranger.setblocking(False)
                with _no_descriptors_left():
                    await loop.sock_connect(stranger, ("127.0.0.1", int(address.rpartition(":")[2])))
                    await loop.sock_sendall(stranger, frame(b"waiting"))
                    await asyncio.sleep(0.05)
                    await _assert_echoed(peer)
                    with pytest.raises(Unreachable, match="Too many open files"):
                        await ours.connect(address)
                async with asyncio.timeout(5):
                    assert await loop.sock_recv(stranger, 100) == frame(b"waiting")
            await peer.aclose()

    run(story())
    assert [(record.name, record.levelno) for record in caplog.records] == [("raftsdk_tcp", logging.WARNING)]
    assert "Too many open files" in caplog.text


@pytest.mark.usefixtures("_short_rest")
def test_a_listener_that_rests_can_be_closed(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with _echoing() as (_ours, address):
            with socket.socket() as stranger:
                stranger.setblocking(False)
                with _no_descriptors_left():
                    await asyncio.get_running_loop().sock_connect(
                        stranger, ("127.0.0.1", int(address.rpartition(":")[2]))
                    )
                    await asyncio.sleep(0.005)
        await asyncio.sleep(0.03)  # The rest would be over by now.

    run(story())
    assert [record.name for record in caplog.records] == ["raftsdk_tcp"]


def test_the_scheme_finds_the_transport_by_its_entry_point() -> None:
    found = {each.name: each.load() for each in entry_points(group="raftsdk.transports")}
    assert {name: found[name] for name in TcpTransport.schemes} == dict.fromkeys(TcpTransport.schemes, TcpTransport)
