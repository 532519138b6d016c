"""What is particular to WebSocket; the rest is the transport suite, run with and without TLS on both event loops."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvloop
from raftsdk_tcp import StreamConnection, TcpTransport
from raftsdk_websocket import WebSocketTransport
from websocket_by_hand import Stranger, in_fragments, piece, request, shortest_length
from websockets.frames import Opcode

from raftsdk.config import TlsConfig
from raftsdk.errors import Unreachable, WireError
from raftsdk.ports import Connection
from raftsdk.testing.certificates import Authority
from raftsdk.testing.suite import Case
from raftsdk.testing.transport_suite import SUITE, TransportSubject, frame
from raftsdk.wire.tls import FileCredentials

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PATIENCE_S = 40.0  # Longer than any case of the suite may take; a story that goes well takes milliseconds.
HELLO = frame(b"hello")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    async def bounded(story: Coroutine[Any, Any, Any]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return await story

    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield lambda story: runner.run(bounded(story))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def credentials(authority: Authority) -> FileCredentials:
    return _credentials_of(authority, "n1")


def _credentials_of(authority: Authority, node_id: str, **settings: Any) -> FileCredentials:
    issued = authority.issue(node_id)
    config = TlsConfig(
        certificate=str(issued.certificate), key=str(issued.key), authorities=str(authority.certificate), **settings
    )
    return FileCredentials(config, node_id)


@pytest.fixture(params=["ws", "wss"])
def subject(request: pytest.FixtureRequest, credentials: FileCredentials) -> TransportSubject:
    return TransportSubject(
        transport=lambda: WebSocketTransport(credentials=credentials),
        address=lambda: f"{request.param}://127.0.0.1:0/raft",
    )


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
def test_the_transport_suite(case: Case[TransportSubject], subject: TransportSubject, run: Run) -> None:
    run(case.run(subject))


# -- helpers


async def _echo(connection: Connection) -> None:
    while frames := await connection.read():
        connection.write(frames)


@asynccontextmanager
async def _echoing(
    address: str = "ws://127.0.0.1:0", ours: WebSocketTransport | None = None
) -> AsyncIterator[tuple[WebSocketTransport, str]]:
    ours = ours or WebSocketTransport()
    listening = await ours.listen(address, _echo)
    yield ours, listening.address
    await listening.aclose()


async def _assert_echoed(connection: Connection) -> None:
    connection.write([HELLO])
    async with asyncio.timeout(5):
        assert await connection.read() == [HELLO]


@asynccontextmanager
async def _accepted_from_a_stranger(*, upgraded: bool = True) -> AsyncIterator[tuple[Stranger, StreamConnection]]:
    """Both ends of a connection: a stranger's, and ours."""
    over = asyncio.Event()
    accepted: asyncio.Future[StreamConnection] = asyncio.get_running_loop().create_future()

    async def keep(connection: Connection) -> None:
        assert isinstance(connection, StreamConnection)
        accepted.set_result(connection)
        await over.wait()

    listening = await WebSocketTransport().listen("ws://127.0.0.1:0", keep)
    async with Stranger.dial(listening.address, upgraded=upgraded) as stranger:
        connection = await accepted
        yield stranger, connection
        over.set()
        connection.abort()
        await connection.aclose()
    await listening.aclose()


# -- strangers, after the handshake

VIOLATIONS = {
    "text for binary": (1003, "text_message", piece(HELLO, Opcode.TEXT)),
    "no mask": (1002, "bad_websocket", piece(HELLO, masked=False)),
    "an opcode that means nothing": (1002, "bad_websocket", piece(HELLO, 3)),
    "a compressed message": (1002, "bad_websocket", piece(HELLO, reserved=4)),
    "a continuation of nothing": (1002, "bad_websocket", piece(HELLO, Opcode.CONT)),
    "a length of 2^64-1": (1002, "bad_websocket", b"\x82\xff" + b"\xff" * 8),
    "a length of 2^63-1": (1009, "oversize", b"\x82\xff\x7f" + b"\xff" * 7),
    "a length of 64 KiB in its 64-bit form": (1009, "oversize", b"\x82\xff" + (2**16).to_bytes(8, "big")),
    "a length of 24 in its 64-bit form": (1002, "bad_websocket", b"\x82\xff" + (24).to_bytes(8, "big")),
    "an oversize message of which nothing more comes": (1009, "oversize", piece(b"", length=shortest_length(10**6))),
    "an oversize message, all of it": (1009, "oversize", piece(bytes(10**6))),
    "too much in fragments": (1009, "oversize", in_fragments(bytes(20_000), [10_000])),
    "a message too short for a header": (1002, "bad_length", piece(b"hi")),
    "100,000 pings": (1008, "websocket_flood", piece(b"", Opcode.PING) * 100_000),
    "100,000 pongs": (1008, "websocket_flood", piece(b"", Opcode.PONG) * 100_000),
    "10,000 fragments of one byte": (1008, "websocket_flood", in_fragments(bytes(10_000), [1] * 10_000)),
    "a ping of 126 bytes": (1002, "bad_websocket", piece(bytes(126), Opcode.PING)),
    "a close of one byte": (1002, "bad_websocket", piece(b"\x03", Opcode.CLOSE)),
}


@pytest.mark.parametrize(("code", "reason", "stream"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_stranger_that_breaks_the_rules_is_told_the_close_code_and_the_reader_the_reason(
    code: int, reason: str, stream: bytes, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger() as (stranger, connection), _echoing() as (ours, address):
            peer = await ours.connect(address)
            sending = asyncio.create_task(stranger.send(piece(HELLO) + stream))
            assert await connection.read() == [HELLO]
            with pytest.raises(WireError) as caught:
                await connection.read()
            assert caught.value.reason == reason
            assert await connection.read() == []
            assert (await stranger.receive_close())[0] == code
            await asyncio.wait([sending])
            await _assert_echoed(peer)
            await peer.aclose()

    run(story())
    assert not caplog.records


def test_a_message_that_comes_in_fragments_of_one_byte_and_one_at_a_time_is_put_together(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger() as (stranger, connection):
            reading = asyncio.create_task(connection.read())
            stream = in_fragments(HELLO, [1] * (len(HELLO) - 1))
            for start in range(0, len(stream), 7):
                assert not reading.done()
                await stranger.send(stream[start : start + 7])
                await asyncio.sleep(0.001)
            assert await reading == [HELLO]

    run(story())


def test_a_ping_is_answered_while_a_message_comes_in(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger() as (stranger, connection):
            reading = asyncio.create_task(connection.read())
            await stranger.send(piece(HELLO[:10], final=False) + piece(b"there?", Opcode.PING))
            assert await stranger.receive_frame() == (0x80 | Opcode.PONG, b"there?")
            await stranger.send(piece(HELLO[10:], Opcode.CONT))
            assert await reading == [HELLO]

    run(story())


def test_pongs_that_nobody_takes_do_not_pile_up(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger() as (stranger, connection):
            connection.max_frame_bytes = 10**6
            connection.write([frame(bytes(8 * 1024 * 1024))])
            unsent_bytes = connection.unsent_bytes
            assert unsent_bytes > 1024 * 1024
            for number in range(200):
                # A message now and then, or it would be a flood.
                await stranger.send(piece(b"%d" % number * 40, Opcode.PING) * 100 + piece(HELLO))
                assert await connection.read() == [HELLO]
                assert connection.unsent_bytes <= unsent_bytes
            frames = [await stranger.receive_frame(), await stranger.receive_frame()]
            assert frames[1] == (0x80 | Opcode.PONG, b"199" * 40)

    run(story())


# -- goodbyes


def test_a_connection_that_its_handler_is_done_with_says_1000_behind_its_last_words(run: Run) -> None:
    async def greet(connection: Connection) -> None:
        connection.write([HELLO])

    async def story() -> None:
        listening = await WebSocketTransport().listen("ws://127.0.0.1:0", greet)
        async with Stranger.dial(listening.address) as stranger:
            assert await stranger.receive_frame() == (0x82, HELLO)
            assert await stranger.receive_close() == (1000, "")
        await listening.aclose()

    run(story())


def test_a_connection_whose_listener_has_closed_says_1001(run: Run) -> None:
    async def answer_once(connection: Connection) -> None:
        connection.write(await connection.read())

    async def story() -> None:
        listening = await WebSocketTransport().listen("ws://127.0.0.1:0", answer_once)
        async with Stranger.dial(listening.address) as stranger:
            await listening.aclose()
            await stranger.send(piece(HELLO))
            assert await stranger.receive_frame() == (0x82, HELLO)
            assert await stranger.receive_close() == (1001, "")

    run(story())


def test_a_close_is_answered_with_its_own_code_and_is_an_end_like_any_other(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger() as (stranger, connection):
            await stranger.send(piece(HELLO) + piece((4001).to_bytes(2, "big") + b"so long", Opcode.CLOSE))
            assert await connection.read() == [HELLO]
            assert await connection.read() == []
            assert await stranger.receive_close() == (4001, "so long")

    run(story())


def test_an_end_without_a_goodbye_is_an_end_like_any_other(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger() as (stranger, connection):
            await stranger.send(piece(HELLO) + piece(HELLO)[:-1])
            stranger.shutdown()
            assert await connection.read() == [HELLO]
            assert await connection.read() == []

    run(story())
    assert not caplog.records


# -- strangers, before the handshake is done

REFUSED = {
    "a plain GET": (b"426", request("/", Upgrade=None, Connection=None)),
    "another path": (b"404", request("/elsewhere")),
    "no subprotocol": (b"400", request("/", Sec_WebSocket_Protocol=None)),
    "another subprotocol": (b"400", request("/", Sec_WebSocket_Protocol="chat")),
    "a TLS hello": (b"400", bytes.fromhex("16030100c8010000c40303") + bytes(range(190))),
    "a frame of raftsdk": (b"400", HELLO),
    "an endless header": (b"400", b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000),
}


@pytest.mark.parametrize(("status", "stream"), REFUSED.values(), ids=REFUSED)
def test_a_stranger_that_asks_for_something_else_is_told_in_http_and_the_reader_as_well(
    status: bytes, stream: bytes, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger(upgraded=False) as (stranger, connection):
            sending = asyncio.create_task(stranger.send(stream))
            with pytest.raises(WireError) as caught:
                await connection.read()
            assert caught.value.reason == "bad_upgrade"
            assert await connection.read() == []
            response = await stranger.receive_all()
            assert response.startswith(b"HTTP/1.1 " + status)
            await asyncio.wait([sending])

    run(story())
    assert not caplog.records


def test_compression_that_is_offered_is_not_taken_up(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger(upgraded=False) as (stranger, connection):
            await stranger.send(request("/", Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
            head = await stranger.receive_head()
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"extensions" not in head.lower()
            await stranger.send(piece(HELLO))
            assert await connection.read() == [HELLO]

    run(story())


@pytest.mark.parametrize(("origin", "status"), [("https://ops.example", b"101"), ("https://evil.example", b"403")])
def test_a_page_of_another_origin_is_kept_out_where_origins_are_named(origin: str, status: bytes, run: Run) -> None:
    async def story() -> None:
        ours = WebSocketTransport(origins=["https://ops.example"])
        async with _echoing(ours=ours) as (_, address):
            async with Stranger.dial(address, upgraded=False) as stranger:
                await stranger.send(request("/", Origin=origin))
                assert (await stranger.receive_head()).startswith(b"HTTP/1.1 " + status)
            peer = await ours.connect(address)
            await _assert_echoed(peer)
            await peer.aclose()

    run(story())


def test_a_request_that_comes_byte_by_byte_is_answered_before_anybody_reads(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger(upgraded=False) as (stranger, connection):
            for byte in request("/"):
                await stranger.send(bytes([byte]))
            assert (await stranger.receive_head()).startswith(b"HTTP/1.1 101 ")
            await stranger.send(piece(HELLO))
            assert await connection.read() == [HELLO]

    run(story())


def test_a_stranger_that_leaves_in_the_middle_of_the_handshake_is_an_end(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger(upgraded=False) as (stranger, connection):
            await stranger.send(b"GET / HTTP/1.1\r\n")
            stranger.shutdown()
            assert await connection.read() == []

    run(story())


def test_a_message_right_behind_the_request_waits_for_the_reader_and_its_limit(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger(upgraded=False) as (stranger, connection):
            await stranger.send(request("/") + piece(frame(bytes(40_000))))
            await stranger.receive_head()
            connection.max_frame_bytes = 40_000
            assert await connection.read() == [frame(bytes(40_000))]

    run(story())


def test_an_oversize_frame_is_reported_to_a_dialer_as_well(run: Run) -> None:
    async def send_much(connection: Connection) -> None:
        connection.write([frame(bytes(100_000))])
        await connection.read()

    async def story() -> None:
        ours = WebSocketTransport()
        listening = await ours.listen("ws://127.0.0.1:0", send_much)
        connection = await ours.connect(listening.address)
        with pytest.raises(WireError) as caught:
            await connection.read()
        assert caught.value.reason == "oversize"
        await connection.aclose()
        await listening.aclose()

    run(story())


# -- addresses


@pytest.mark.parametrize("place", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("path", ["", "/", "/raft"])
def test_a_listener_tells_its_real_port_and_its_path(place: str, path: str, run: Run) -> None:
    async def story() -> None:
        async with _echoing(f"ws://{place}:0{path}") as (ours, address):
            assert address.startswith(f"ws://{place}:")
            assert address.endswith("/raft") == (path == "/raft")
            connection = await ours.connect(address + "?token=1")
            await _assert_echoed(connection)
            assert connection.remote.startswith(f"ws://{place}:")
            await connection.aclose()

    run(story())


def test_an_accepted_connection_names_the_other_side_by_its_address(run: Run) -> None:
    async def story() -> None:
        async with _accepted_from_a_stranger() as (_, connection):
            assert connection.remote.startswith("ws://127.0.0.1:")
            assert connection.certified_names is None

    run(story())


def test_the_wrong_path_is_told_to_whoever_dials(run: Run) -> None:
    async def story() -> None:
        async with _echoing("ws://127.0.0.1:0/raft") as (ours, address):
            with pytest.raises(WireError, match="404 Not Found: the path of this node is /raft") as caught:
                await ours.connect(address.removesuffix("/raft"))
            assert caught.value.reason == "bad_upgrade"

    run(story())


def test_a_query_is_not_for_those_who_listen(run: Run) -> None:
    with pytest.raises(ValueError, match=r"leave out \?token=1"):
        run(WebSocketTransport().listen("ws://127.0.0.1:0/?token=1", _echo))


def test_somebody_else_who_listens_there_is_told_from_a_node(run: Run) -> None:
    async def story() -> None:
        tcp = await TcpTransport().listen("tcp://127.0.0.1:0", _echo)
        with pytest.raises(Unreachable, match="the other side left in the middle of the handshake"):
            await WebSocketTransport().connect(tcp.address.replace("tcp", "ws"))
        await tcp.aclose()

    run(story())


def test_the_error_names_the_address_that_cannot_be_reached(run: Run) -> None:
    with pytest.raises(Unreachable, match=r"ws://no-such-host\.invalid:7001/raft: "):
        run(WebSocketTransport().connect("ws://no-such-host.invalid:7001/raft"))


def test_the_error_names_the_address_that_cannot_be_listened_at(run: Run) -> None:
    async def story() -> None:
        async with _echoing() as (ours, address):
            with pytest.raises(OSError, match=f"cannot listen at {address}/raft: Address already in use"):
                await ours.listen(f"{address}/raft", _echo)

    run(story())


def test_a_connect_that_is_given_up_leaves_no_connection_behind(run: Run) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await WebSocketTransport().connect(f"ws://127.0.0.1:{silent.getsockname()[1]}")
            accepted, _ = silent.accept()
            with accepted:
                accepted.setblocking(False)
                received = await asyncio.get_running_loop().sock_recv(accepted, 65_536)
                assert received.startswith(b"GET / HTTP/1.1\r\n")
                async with asyncio.timeout(5):
                    assert await asyncio.get_running_loop().sock_recv(accepted, 1) == b""

    run(story())


# -- TLS


def test_over_tls_each_end_knows_the_names_the_other_has_proven(authority: Authority, run: Run) -> None:
    async def story() -> None:
        names: asyncio.Future[frozenset[str] | None] = asyncio.get_running_loop().create_future()

        async def tell(connection: Connection) -> None:
            assert isinstance(connection, StreamConnection)
            await connection.read()
            names.set_result(connection.certified_names)

        n1, n2 = (WebSocketTransport(credentials=_credentials_of(authority, node_id)) for node_id in ("n1", "n2"))
        listening = await n1.listen("wss://127.0.0.1:0", tell)
        connection = await n2.connect(listening.address)
        connection.write([HELLO])
        assert await names == frozenset({"n2"})
        assert connection.certified_names == frozenset({"n1"})
        assert connection.remote == listening.address
        await connection.aclose()
        await listening.aclose()

    run(story())


def test_over_tls_a_stranger_of_another_authority_is_refused(
    tmp_path: Path, credentials: FileCredentials, run: Run
) -> None:
    async def story() -> None:
        theirs = WebSocketTransport(credentials=_credentials_of(Authority(tmp_path, "another"), "n2"))
        async with _echoing("wss://127.0.0.1:0", WebSocketTransport(credentials=credentials)) as (_, address):
            with pytest.raises(WireError) as caught:
                await theirs.connect(address)
            assert caught.value.reason == "bad_certificate"

    run(story())


def test_over_tls_the_handshake_and_the_close_codes_are_the_same(credentials: FileCredentials, run: Run) -> None:
    async def story() -> None:
        ours = WebSocketTransport(credentials=credentials)
        async with _echoing("wss://127.0.0.1:0/raft", ours) as (_, address):
            with pytest.raises(WireError, match="404 Not Found: the path of this node is /raft"):
                await ours.connect(address.removesuffix("raft"))
            port = int(address.removesuffix("/raft").rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=credentials.client_context())
            writer.write(request("/raft"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            writer.write(piece(HELLO))
            assert await reader.readexactly(2 + len(HELLO)) == b"\x82" + bytes([len(HELLO)]) + HELLO
            writer.write(piece(HELLO, Opcode.TEXT))
            close = await reader.read()
            assert (close[0], close[2:4]) == (0x88, (1003).to_bytes(2, "big"))
            writer.close()
            await writer.wait_closed()

    run(story())


def test_plain_and_secure_do_not_take_each_other_for_what_they_are_not(credentials: FileCredentials, run: Run) -> None:
    async def story() -> None:
        ours = WebSocketTransport(credentials=credentials)
        for scheme, other in (("ws", "wss"), ("wss", "ws")):
            async with _echoing(f"{scheme}://127.0.0.1:0", ours) as (_, address):
                with pytest.raises((WireError, Unreachable)):
                    await ours.connect(address.replace(scheme, other, 1))

    run(story())


def test_tls_needs_credentials(run: Run) -> None:
    ours = WebSocketTransport()
    for attempt in (ours.connect("wss://127.0.0.1:7001"), ours.listen("wss://127.0.0.1:0", _echo)):
        with pytest.raises(ValueError, match=r"wss://127.0.0.1:\d+ asks for TLS, and .* no credentials"):
            run(attempt)


def test_the_schemes_find_the_transport_by_their_entry_points() -> None:
    found = {each.name: each.load() for each in entry_points(group="raftsdk.transports")}
    assert {name: found[name] for name in WebSocketTransport.schemes} == {
        "ws": WebSocketTransport,
        "wss": WebSocketTransport,
    }
