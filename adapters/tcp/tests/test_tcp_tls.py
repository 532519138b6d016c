"""TCP with TLS: the transport suite over it, and what strangers may do to a handshake; on both event loops."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, TypeAlias

import pytest
import trustme
import uvloop
from raftsdk_tcp import FrameSplitter, StreamConnection, TcpTransport, TlsFraming
from raftsdk_tcp.connection import READ_AHEAD_BYTES

from raftsdk.errors import Unreachable, WireError
from raftsdk.ports import Connection
from raftsdk.testing.suite import Case
from raftsdk.testing.transport_suite import SUITE, TransportSubject, frame

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]

ADDRESS = "tcp+tls://127.0.0.1:0"
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PATIENCE_S = 5.0

OURS, THEIRS = trustme.CA(), trustme.CA()
HELLO = frame(b"hello")


class Certificates:
    """`Credentials` of one name, without files."""

    def __init__(self, *names: str, issuer: trustme.CA = OURS, trusted: trustme.CA = OURS, **validity: Any) -> None:
        self.clients = ssl.CERT_REQUIRED
        self.newest = ssl.TLSVersion.TLSv1_3
        self.trusted = trusted
        self._certificate = issuer.issue_cert(*names, **validity) if names else None

    def server_context(self) -> ssl.SSLContext:
        return self._context(ssl.PROTOCOL_TLS_SERVER, self.clients)

    def client_context(self) -> ssl.SSLContext:
        return self._context(ssl.PROTOCOL_TLS_CLIENT, ssl.CERT_REQUIRED)

    def _context(self, protocol: int, verify_mode: ssl.VerifyMode) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.check_hostname = False
        context.verify_mode = verify_mode
        context.maximum_version = self.newest
        self.trusted.configure_trust(context)
        if self._certificate is not None:
            self._certificate.configure_cert(context)
        return context


N1, N2 = Certificates("n1"), Certificates("n2")
EXPIRED = Certificates("n2", not_before=datetime(2020, 1, 1), not_after=datetime(2021, 1, 1))
NOBODY = Certificates()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run


SUBJECT = TransportSubject(transport=lambda: TcpTransport(credentials=N1), address=lambda: ADDRESS)


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
def test_the_transport_suite_with_tls(case: Case[TransportSubject], run: Run) -> None:
    run(case.run(SUBJECT))


# -- helpers


class Accepting:
    """What a listener's handler is given, and what its first `read` came to."""

    def __init__(self) -> None:
        self.address = ""
        self.connections: asyncio.Queue[StreamConnection] = asyncio.Queue()
        self.outcomes: asyncio.Queue[list[bytes] | WireError] = asyncio.Queue()

    async def serve(self, connection: Connection) -> None:
        assert isinstance(connection, StreamConnection)
        self.connections.put_nowait(connection)
        try:
            while frames := await connection.read():
                self.outcomes.put_nowait(frames)
                connection.write(frames)
            self.outcomes.put_nowait([])
        except WireError as error:
            self.outcomes.put_nowait(error)
            raise

    async def refusal(self) -> WireError:
        async with asyncio.timeout(PATIENCE_S):
            outcome = await self.outcomes.get()
        assert isinstance(outcome, WireError), outcome
        return outcome


@asynccontextmanager
async def accepting(credentials: Certificates = N1) -> AsyncIterator[Accepting]:
    found = Accepting()
    listener = await TcpTransport(credentials=credentials).listen(ADDRESS, found.serve)
    found.address = listener.address
    yield found
    await listener.aclose()


@asynccontextmanager
async def connected(address: str, credentials: Certificates = N2) -> AsyncIterator[StreamConnection]:
    connection = await TcpTransport(credentials=credentials).connect(address)
    try:
        yield connection
    finally:
        await connection.aclose()


@asynccontextmanager
async def stranger(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Somebody with a plain socket."""
    host, _, port = address.removeprefix("tcp+tls://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def echoed(connection: StreamConnection) -> None:
    connection.write([HELLO])
    async with asyncio.timeout(PATIENCE_S):
        assert await connection.read() == [HELLO]


async def first_read(connection: StreamConnection) -> WireError:
    with pytest.raises(WireError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await connection.read()
    return caught.value


# -- who is there


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_end_knows_the_name_in_the_others_certificate(newest: ssl.TLSVersion, run: Run) -> None:
    dialer = Certificates("n2", "n2.example")
    dialer.newest = newest

    async def story() -> None:
        async with accepting() as listener, connected(listener.address, dialer) as connection:
            assert connection.certified_names == frozenset({"n1"})
            await echoed(connection)
            assert (await listener.connections.get()).certified_names == frozenset({"n2", "n2.example"})

    run(story())


def test_a_common_name_counts_only_without_alternative_names(run: Run) -> None:
    async def story() -> None:
        dialer = Certificates("n2", common_name="n3")
        async with accepting() as listener, connected(listener.address, dialer) as connection:
            await echoed(connection)
            assert (await listener.connections.get()).certified_names == frozenset({"n2"})

    run(story())


def test_where_a_certificate_may_be_left_out_whoever_shows_none_has_no_name(run: Run) -> None:
    host = Certificates("n1")
    host.clients = ssl.CERT_OPTIONAL

    async def story() -> None:
        async with accepting(host) as listener, connected(listener.address, NOBODY) as connection:
            await echoed(connection)
            assert (await listener.connections.get()).certified_names == frozenset()

    run(story())


def test_without_tls_nobody_has_a_name(run: Run) -> None:
    async def story() -> None:
        transport = TcpTransport(credentials=N1)
        listener = await transport.listen("tcp://127.0.0.1:0", Accepting().serve)
        connection = await transport.connect(listener.address)
        assert connection.certified_names is None
        await connection.aclose()
        await listener.aclose()

    run(story())


# -- certificates that are refused


@pytest.mark.parametrize(
    ("dialer", "reason", "text"),
    [
        (Certificates("n2", issuer=THEIRS), "bad_certificate", "unable to get local issuer certificate"),
        (EXPIRED, "bad_certificate", "certificate has expired"),
        (NOBODY, "no_certificate", "it shows no certificate"),
    ],
    ids=["another authority", "expired", "none"],
)
def test_a_certificate_that_proves_nothing_is_refused_and_both_ends_are_told_why(
    dialer: Certificates, reason: str, text: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with accepting() as listener, connected(listener.address) as peer:
            await echoed(peer)
            await listener.outcomes.get()
            async with connected(listener.address, dialer) as connection:
                refusal = await listener.refusal()
                assert (refusal.reason, text in str(refusal)) == (reason, True)
                told = await first_read(connection)
                assert (told.reason, "alert" in str(told)) == ("tls_refused", True)
            await echoed(peer)

    run(story())
    assert not caplog.records


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (Certificates("n1", issuer=THEIRS), "unable to get local issuer certificate"),
        (
            Certificates("n1", not_before=datetime(2020, 1, 1), not_after=datetime(2021, 1, 1)),
            "certificate has expired",
        ),
    ],
    ids=["another authority", "expired"],
)
def test_a_listener_whose_certificate_proves_nothing_is_refused_by_the_dialer(
    host: Certificates, text: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with accepting(host) as listener:
            with pytest.raises(WireError, match=text) as caught:
                async with connected(listener.address):
                    pytest.fail("connected")
            assert caught.value.reason == "bad_certificate"
            assert (await listener.refusal()).reason == "tls_refused"

    run(story())
    assert not caplog.records


def test_new_contexts_are_asked_for_with_every_connection(run: Run) -> None:
    host = Certificates("n1")

    async def story() -> None:
        async with accepting(host) as listener, connected(listener.address) as peer:
            await echoed(peer)
            await listener.outcomes.get()
            host.trusted = THEIRS
            async with connected(listener.address):
                assert (await listener.refusal()).reason == "bad_certificate"
            await echoed(peer)

    run(story())


# -- strangers

TLS_GREETING = bytes.fromhex("16030100c8010000c40303") + bytes(range(190))


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        HELLO,
        b"\xff" * 64,
        bytes(64),
        bytes.fromhex("160301ffff") + bytes(70_000),
        bytes.fromhex("1603010004") + b"\x02\0\0\0",
    ],
    ids=["HTTP", "SSH", "a frame", "ones", "zeros", "a record too long", "a message out of place"],
)
def test_a_stranger_that_speaks_no_tls_is_closed_at_once_without_a_trace(
    start: bytes, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with accepting() as listener, stranger(listener.address) as (reader, writer):
            writer.write(start)
            assert (await listener.refusal()).reason == "bad_tls"
            with suppress(ConnectionResetError):
                async with asyncio.timeout(PATIENCE_S):
                    assert len(await reader.read()) < 10  # An alert at the most.

    run(story())
    assert not caplog.records


def test_a_stranger_that_says_nothing_or_half_of_it_keeps_the_reader_waiting_who_may_give_up(run: Run) -> None:
    async def story(start: bytes) -> None:
        async with accepting() as listener, stranger(listener.address) as (reader, writer):
            writer.write(start)
            connection = await listener.connections.get()
            await asyncio.sleep(0.05)
            assert listener.outcomes.empty()
            connection.abort()
            assert await listener.outcomes.get() == []
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""

    for start in (b"", TLS_GREETING[:3], TLS_GREETING[:100]):
        run(story(start))


def test_a_stranger_that_leaves_in_the_middle_of_a_handshake_is_no_violation(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with accepting() as listener:
            async with stranger(listener.address) as (_, writer):
                writer.write(TLS_GREETING[:100])
                await listener.connections.get()
            assert await listener.outcomes.get() == []

    run(story())
    assert not caplog.records


def test_a_dialer_with_tls_at_a_plain_port_is_told_that_the_other_side_left(run: Run) -> None:
    async def story() -> None:
        accepting_plainly = Accepting()
        listener = await TcpTransport().listen("tcp://127.0.0.1:0", accepting_plainly.serve)
        address = listener.address.replace("tcp://", "tcp+tls://")
        with pytest.raises(Unreachable, match=f"{re.escape(address)}: .* is this the scheme it listens with?"):
            async with connected(address):
                pytest.fail("connected")
        assert (await accepting_plainly.refusal()).reason == "oversize"
        await listener.aclose()

    run(story())


def test_a_dialer_without_tls_at_a_tls_port_finds_no_frames_there(run: Run) -> None:
    async def story() -> None:
        async with accepting() as listener:
            connection = await TcpTransport().connect(listener.address.replace("tcp+tls://", "tcp://"))
            connection.write([HELLO])
            assert (await listener.refusal()).reason == "bad_tls"
            assert await connection.read() == []
            await connection.aclose()

    run(story())


def test_a_dialer_that_gives_up_a_hanging_handshake_leaves_nothing_behind(run: Run) -> None:
    async def story(port: int) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await TcpTransport(credentials=N1).connect(f"tcp+tls://127.0.0.1:{port}")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        run(story(silent.getsockname()[1]))
        accepted, _ = silent.accept()
        with accepted:
            accepted.settimeout(PATIENCE_S)
            while accepted.recv(65_536):  # Its greeting, and then the end.
                pass


def test_an_address_that_asks_for_tls_makes_no_sense_without_credentials(run: Run) -> None:
    for attempt in (TcpTransport().connect(ADDRESS), TcpTransport().listen(ADDRESS, Accepting().serve)):
        with pytest.raises(ValueError, match="asks for TLS, and this transport has no credentials"):
            run(attempt)


# -- bytes


def test_what_is_written_before_the_handshake_waits_for_it(run: Run) -> None:
    async def greet(connection: Connection) -> None:
        connection.write([HELLO])
        assert connection.unsent_bytes >= len(HELLO)
        connection.write([HELLO])

    async def story() -> None:
        listener = await TcpTransport(credentials=N1).listen(ADDRESS, greet)
        async with connected(listener.address) as connection:
            received = []
            while frames := await connection.read():
                received += frames
            assert received == [HELLO, HELLO]
        await listener.aclose()

    run(story())


def test_what_waits_for_the_handshake_is_not_drained(run: Run) -> None:
    async def story() -> None:
        async with accepting() as listener, stranger(listener.address) as (_, writer):
            connection = await listener.connections.get()
            connection.write([HELLO])
            draining = asyncio.create_task(connection.drain())
            writer.write(TLS_GREETING[:100])
            await asyncio.sleep(0.02)
            assert not draining.done()
            connection.abort()
            async with asyncio.timeout(PATIENCE_S):
                await draining
            assert connection.unsent_bytes == 0

    run(story())


class Wire:
    """Two framings, and what each says carried to the other, `step` bytes at a time."""

    def __init__(self, step: int = 1_000_000) -> None:
        self.dialer = TlsFraming(FrameSplitter(), N2.client_context(), server_side=False)
        self.host = TlsFraming(FrameSplitter(), N1.server_context(), server_side=True)
        self._step = step

    def shake_hands(self) -> None:
        towards_host = self.dialer.open()
        assert self.host.open() == b""
        while towards_host:
            assert self.carry(towards_host, self.host) == []
            assert self.carry(self.host.replies(), self.dialer) == []
            towards_host = self.dialer.replies()

    def carry(self, data: bytes, to: TlsFraming) -> list[bytes]:
        frames = []
        for start in range(0, len(data), self._step):
            frames += to.feed(data[start : start + self._step])
        return frames


@pytest.mark.parametrize("step", [1, 7, 1_000_000])
def test_however_the_stream_is_cut_the_same_frames_come_out(step: int) -> None:
    wire = Wire(step)
    wire.shake_hands()
    assert (wire.dialer.opened, wire.host.opened) == (True, True)
    wire.dialer.max_frame_bytes = wire.host.max_frame_bytes = 100_000
    frames = [frame(b""), HELLO, frame(bytes(50_000)), HELLO]
    assert wire.carry(wire.dialer.pack(frames), wire.host) == frames
    assert wire.carry(wire.host.pack(frames), wire.dialer) == frames
    assert [wire.dialer.error, wire.host.error] == [None, None]


def test_what_comes_behind_the_handshake_waits_until_somebody_has_set_the_limit() -> None:
    wire = Wire()
    wire.carry(wire.dialer.open(), wire.host)
    wire.carry(wire.host.replies(), wire.dialer)
    large = frame(bytes(60_000))
    assert wire.host.feed(wire.dialer.pack([large])) == []
    assert wire.host.opened
    wire.host.max_frame_bytes = 60_000
    assert wire.host.feed(b"") == [large]


def test_a_goodbye_is_said_once_and_understood() -> None:
    wire = Wire()
    wire.shake_hands()
    last = wire.dialer.pack([HELLO]) + wire.dialer.close()
    assert wire.dialer.close() == b""
    said_goodbye = [wire.host.ended]
    assert wire.host.feed(last) == [HELLO]
    said_goodbye.append(wire.host.ended)
    assert said_goodbye == [False, True]
    assert wire.host.feed(b"more") == []


def test_a_flipped_bit_is_the_end_and_whatever_follows_is_dropped() -> None:
    wire = Wire()
    wire.shake_hands()
    record = bytearray(wire.dialer.pack([HELLO]))
    record[-1] ^= 1
    assert wire.host.feed(bytes(record)) == []
    assert wire.host.error is not None
    assert wire.host.error.reason == "bad_tls"
    assert wire.host.feed(wire.dialer.pack([HELLO])) == []
    assert wire.dialer.feed(wire.host.close()) == []
    assert wire.dialer.error is not None
    assert wire.dialer.error.reason == "tls_refused"


def test_an_oversize_frame_is_refused_inside_of_tls_too() -> None:
    wire = Wire()
    wire.shake_hands()
    wire.host.max_frame_bytes = 1_000
    assert wire.host.feed(wire.dialer.pack([HELLO, frame(bytes(1_001))])) == [HELLO]
    assert wire.host.error is not None
    assert wire.host.error.reason == "oversize"


def test_what_is_not_read_stays_with_the_sender(run: Run) -> None:
    async def story() -> None:
        over = asyncio.Event()
        accepted: asyncio.Queue[Connection] = asyncio.Queue()

        async def keep(connection: Connection) -> None:
            accepted.put_nowait(connection)
            await over.wait()

        listener = await TcpTransport(credentials=N1).listen(ADDRESS, keep)
        async with connected(listener.address) as sender:
            receiver = await accepted.get()
            each = frame(bytes(16_000))
            sender.write([each] * 2_000)
            received = len(await receiver.read())
            await asyncio.sleep(0.05)
            at_once = len(await receiver.read())
            assert at_once * len(each) <= READ_AHEAD_BYTES + 256 * 1024 + len(each)
            received += at_once
            while received < 2_000:
                received += len(await receiver.read())
            over.set()
        await listener.aclose()

    run(story())
