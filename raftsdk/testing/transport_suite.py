"""What every transport must do, as a suite of sentences.

SUBJECT = TransportSubject(transport=MyTransport, address=lambda: "mine://127.0.0.1:0")

@pytest.mark.parametrize("case", transport_suite.SUITE.cases, ids=str)
async def test_my_transport(case):
    await case.run(SUBJECT)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from raftsdk.errors import Unreachable, WireError
from raftsdk.ports import FRAME_HEADER_BYTES, Connection, Listener, Transport
from raftsdk.ports.transport import OnConnection
from raftsdk.testing.suite import Suite

KIB: Final = 1024
MIB: Final = 1024 * KIB

PATIENCE_S: Final = 5.0
"""How long anything may take here that takes milliseconds."""

BODY_SIZES_BYTES: Final = (0, 1, 19, 20, 21, 1_000, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB)
"""Around the sizes where a transport may change its mind: none, its header's, a buffer's, many buffers'."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class TransportSubject:
    """A transport, and where to try it."""

    transport: Callable[[], Transport]
    address: Callable[[], str]  #: A new address to listen at for each call, for instance `tcp://127.0.0.1:0`.


SUITE: Suite[TransportSubject] = Suite("Transport")


# -- what the cases are made of


def frame(body: bytes) -> bytes:
    """A frame as a transport sees one: the body's length, sixteen bytes that are none of its business, the body."""
    return len(body).to_bytes(4, "big") + bytes(range(FRAME_HEADER_BYTES - 4)) + body


def _numbered(count: int) -> list[bytes]:
    return [frame(b"%d" % number) for number in range(count)]


async def _soon(awaitable: Awaitable[_Result], what: str) -> _Result:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"{what}: not within {PATIENCE_S} s") from None


async def _turns(count: int = 20) -> None:
    """Let the event loop turn: time for something that should not happen to happen."""
    for _ in range(count):
        await asyncio.sleep(0.001)


async def _read_until(connection: Connection, count: int) -> list[bytes]:
    """`count` frames, or fewer if the connection ends before."""
    frames: list[bytes] = []
    while len(frames) < count and (more := await connection.read()):
        frames += more
    return frames


async def _read_all(connection: Connection) -> list[bytes]:
    frames: list[bytes] = []
    while more := await connection.read():
        frames += more
    return frames


async def _read_at_end(connection: Connection) -> None:
    for _ in range(3):
        assert await _soon(connection.read(), "read at the end") == [], "read gave something after the end"


async def _close_under(ours: Connection, theirs: Connection) -> None:
    """Close the other side while ours reads, since a side that does not read may learn of the end late."""
    closing = asyncio.create_task(theirs.aclose())
    await _read_at_end(ours)
    await _soon(closing, "aclose")


async def _refusal(connection: Connection) -> WireError:
    try:
        frames = await _soon(connection.read(), "read on an oversize frame")
    except WireError as error:
        return error
    raise AssertionError(f"read returned {len(frames)} frames where the next one was oversize")


async def _sends_all(writer: Connection, reader: Connection, frames: list[bytes]) -> list[bytes]:
    """Write in one go, close, and return everything the other side ever gets."""
    writer.write(frames)
    closing = asyncio.create_task(writer.aclose())
    received = await _soon(_read_all(reader), "reading all that was written before a close")
    await _soon(closing, "aclose")
    return received


@asynccontextmanager
async def _listening(transport: Transport, address: str, on_connection: OnConnection) -> AsyncIterator[Listener]:
    listener = await transport.listen(address, on_connection)
    try:
        yield listener
    finally:
        await listener.aclose()


@asynccontextmanager
async def _connected(transport: Transport, address: str) -> AsyncIterator[Connection]:
    """A new connection that takes bodies of up to 2 MiB."""
    connection = await _soon(transport.connect(address), "connect")
    connection.max_frame_bytes = 2 * MIB
    try:
        yield connection
    finally:
        connection.abort()
        await connection.aclose()


class _Accepting:
    """A listener, and what it accepts, which it keeps until the end of the case."""

    def __init__(self) -> None:
        self.listener: Listener
        self._accepted: asyncio.Queue[Connection] = asyncio.Queue()
        self._over = asyncio.Event()

    async def keep(self, connection: Connection) -> None:
        self._accepted.put_nowait(connection)
        await self._over.wait()
        connection.abort()

    async def next(self) -> Connection:
        return await _soon(self._accepted.get(), "accepting")

    def end(self) -> None:
        self._over.set()


@asynccontextmanager
async def _accepting(transport: Transport, address: str) -> AsyncIterator[_Accepting]:
    accepting = _Accepting()
    async with _listening(transport, address, accepting.keep) as accepting.listener:
        try:
            yield accepting
        finally:
            accepting.end()


@asynccontextmanager
async def _dialed(transport: Transport, accepting: _Accepting) -> AsyncIterator[tuple[Connection, Connection]]:
    """Both ends of a new connection, that which dialed first; they take bodies of up to 2 MiB."""
    async with _connected(transport, accepting.listener.address) as dialing:
        accepted = await accepting.next()
        accepted.max_frame_bytes = 2 * MIB
        try:
            yield dialing, accepted
        finally:
            accepted.abort()
            await accepted.aclose()


@asynccontextmanager
async def _pair(subject: TransportSubject) -> AsyncIterator[tuple[Connection, Connection]]:
    transport = subject.transport()
    async with _accepting(transport, subject.address()) as accepting, _dialed(transport, accepting) as ends:
        yield ends


async def _echo(connection: Connection) -> None:
    while frames := await connection.read():
        connection.write(frames)


async def _is_echoed(connection: Connection) -> None:
    connection.write([frame(b"hello")])
    assert await _soon(connection.read(), "reading an echo") == [frame(b"hello")]


async def _answers(connection: Connection, opposite: Connection) -> None:
    """Show that frames go both ways."""
    question, answer = frame(b"question"), frame(b"answer")
    connection.write([question])
    assert await _soon(opposite.read(), "reading a frame on a healthy connection") == [question]
    opposite.write([answer])
    assert await _soon(connection.read(), "reading a frame on a healthy connection") == [answer]


async def _fill(writer: Connection) -> None:
    """Write 64 MiB that nobody will read, in frames of 1 MiB, and wait until the system takes no more."""
    body = frame(bytes(MIB))
    for _ in range(64):
        writer.write([body])
    before = -1
    while writer.unsent_bytes != before:
        before = writer.unsent_bytes
        await _turns()


# -- order and wholeness


@SUITE.case("frames arrive in the order they were written")
async def _order(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        expected = _numbered(1_000)
        for start in range(0, len(expected), 10):
            writer.write(expected[start : start + 10])
        received = await _soon(_read_until(reader, len(expected)), "reading 1,000 small frames")
        assert received == expected


@SUITE.case("a frame arrives once, and nothing comes that was not written")
async def _once(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        expected = _numbered(100)
        received = await _sends_all(writer, reader, expected)
        assert sorted(received) == sorted(expected)


@SUITE.case("a frame arrives whole and alone, whatever its size")
async def _whole(subject: TransportSubject) -> None:
    for size_bytes in BODY_SIZES_BYTES:
        async with _pair(subject) as ends:
            expected = [frame(bytes([number]) * size_bytes) for number in range(3)]
            for writer, reader in (ends, ends[::-1]):
                writer.write(expected)
                received = await _soon(_read_until(reader, 3), f"reading three bodies of {size_bytes} bytes")
                assert received == expected, (
                    f"bodies of {size_bytes} bytes: got frames of {[*map(len, received)]} bytes"
                )


@SUITE.case("frames of all sizes may be mixed in one write")
async def _mixed(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        expected = [
            frame(bytes([number]) * size) for number, size in enumerate(BODY_SIZES_BYTES + BODY_SIZES_BYTES[::-1])
        ]
        writer.write(expected)
        received = await _soon(_read_until(reader, len(expected)), "reading frames of mixed sizes")
        assert received == expected


@SUITE.case("ten thousand frames in one write arrive like any others")
async def _many(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        expected = _numbered(10_000)
        writer.write(expected)
        received = await _soon(_read_until(reader, len(expected)), "reading 10,000 frames")
        assert received == expected


@SUITE.case("writing no frames does nothing")
async def _nothing(subject: TransportSubject) -> None:
    async with _pair(subject) as (dialing, accepted):
        dialing.write([])
        await _answers(dialing, accepted)


@SUITE.case("both directions carry frames at once")
async def _both_directions(subject: TransportSubject) -> None:
    async with _pair(subject) as (dialing, accepted):
        there = [frame(b"t" * MIB)] * 8
        back = [frame(b"b" * MIB)] * 8
        dialing.write(there)
        accepted.write(back)
        went, came = await _soon(
            asyncio.gather(_read_until(accepted, 8), _read_until(dialing, 8)), "8 MiB each way at once"
        )
        assert went == there
        assert came == back


# -- reading


@SUITE.case("cancelling a read loses no frame")
async def _cancelled_read(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        expected = _numbered(200)
        received: list[bytes] = []
        for number, each in enumerate(expected):
            reading = asyncio.create_task(reader.read())
            await asyncio.sleep(0)
            writer.write([each])
            for _ in range(number % 10):  # So that the cancellation falls before, during and after the arrival.
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                received += reading.result()
        received += await _soon(
            _read_until(reader, len(expected) - len(received)), "reading what cancelled reads did not take"
        )
        assert received == expected


@SUITE.case("a body of exactly max_frame_bytes is taken")
async def _exact_limit(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        reader.max_frame_bytes = 1_000
        writer.write([frame(bytes(1_000))])
        assert await _soon(reader.read(), "reading a body at the limit") == [frame(bytes(1_000))]


@SUITE.case("an oversize body raises WireError once, after the frames before it, and ends the connection")
async def _oversize(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        reader.max_frame_bytes = 1_000
        expected = [*_numbered(3), frame(bytes(1_000))]
        writer.write([*expected, frame(bytes(1_001)), frame(b"never")])
        assert await _soon(_read_until(reader, 4), "reading what came before an oversize frame") == expected
        error = await _refusal(reader)
        assert error.reason == "oversize", f"the reason is {error.reason!r}"
        await _read_at_end(reader)
        await _read_at_end(writer)


@SUITE.case("an oversize body is refused before it has been sent")
async def _oversize_from_the_header(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        reader.max_frame_bytes = 1_000
        writer.write([frame(bytes(32 * MIB))])
        await _refusal(reader)
        await _read_at_end(writer)


@SUITE.case("max_frame_bytes starts at 64 KiB or less: a stranger speaks first")
async def _starts_small(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with (
        _accepting(transport, subject.address()) as accepting,
        _connected(transport, accepting.listener.address),
    ):
        assert 0 < (await accepting.next()).max_frame_bytes <= 64 * KIB


@SUITE.case("max_frame_bytes may be raised and lowered at any time")
async def _changed_limit(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        for limit_bytes in (1_000, MIB, 2_000):
            reader.max_frame_bytes = limit_bytes
            assert reader.max_frame_bytes == limit_bytes
            writer.write([frame(bytes(limit_bytes))])
            received = await _soon(reader.read(), f"reading {limit_bytes} bytes after the limit was set to that")
            assert received == [frame(bytes(limit_bytes))]
        writer.write([frame(bytes(2_001))])
        await _refusal(reader)


# -- backpressure


@SUITE.case("write never blocks, and what the other side does not read stays visible as unsent_bytes")
async def _unread(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        writer.write([frame(b"first")])
        assert await _soon(reader.read(), "reading the first frame") == [frame(b"first")]
        await _fill(writer)
        assert writer.unsent_bytes >= 16 * MIB, (
            f"of 64 MiB that nobody reads only {writer.unsent_bytes} bytes are unsent: the reader buffers the rest"
        )
        draining = asyncio.create_task(writer.drain())
        await _turns()
        assert not draining.done(), "drain returned with 16 MiB unsent"
        received = await _soon(_read_until(reader, 64), "reading all of it after all")
        assert len(received) == 64
        await _soon(draining, "drain after all was read")
        assert writer.unsent_bytes <= MIB


@SUITE.case("drain returns at once when nothing is unsent")
async def _drained(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, _reader):
        assert writer.unsent_bytes == 0
        await _soon(writer.drain(), "drain")


@SUITE.case("drain returns when the connection ends under it, and after")
async def _drain_at_end(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        await _fill(writer)
        draining = asyncio.create_task(writer.drain())
        await _turns()
        reader.abort()
        await _soon(draining, "drain after the other side has gone")
        await _read_at_end(writer)
        await _soon(writer.drain(), "drain on an ended connection")


# -- the end


@SUITE.case("read returns [] for ever after the other side has closed")
async def _their_end(subject: TransportSubject) -> None:
    async with _pair(subject) as ends:
        for ours, theirs in (ends, ends[::-1]):
            await _close_under(ours, theirs)


@SUITE.case("read returns [] for ever after our own close or abort")
async def _our_end(subject: TransportSubject) -> None:
    async with _pair(subject) as (dialing, accepted):
        dialing.abort()
        await _read_at_end(dialing)
        await _soon(accepted.aclose(), "aclose")
        await _read_at_end(accepted)


@SUITE.case("a read that waits returns [] when either side ends the connection")
async def _waiting_read(subject: TransportSubject) -> None:
    async with _pair(subject) as ends:
        reading = [asyncio.create_task(end.read()) for end in ends]
        await _turns()
        ends[0].abort()
        assert await _soon(asyncio.gather(*reading), "waiting reads after an abort") == [[], []]


@SUITE.case("write after the end drops silently, whoever ended it")
async def _write_after_end(subject: TransportSubject) -> None:
    async with _pair(subject) as (dialing, accepted):
        await _close_under(accepted, dialing)
        for _ in range(10):
            dialing.write([frame(b"late")])
        for _ in range(10):
            accepted.write([frame(b"late")])
            await asyncio.sleep(0)


@SUITE.case("writing on while the other side goes away raises nothing")
async def _write_into_the_void(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        reader.abort()
        for _ in range(50):
            writer.write([frame(bytes(64 * KIB))])
            await asyncio.sleep(0)
        await _read_at_end(writer)


@SUITE.case("aclose sends what was written before it ends the connection")
async def _close_sends(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        expected = [frame(bytes([number]) * MIB) for number in range(8)] + [frame(b"last words")]
        received = await _sends_all(writer, reader, expected)
        assert received == expected, f"{len(received)} of {len(expected)} frames arrived"


@SUITE.case("aclose sends what was written even while the other side keeps sending")
async def _close_against_the_stream(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        reader.write([frame(bytes(MIB))] * 4)
        await _turns()
        received = await _sends_all(writer, reader, [frame(b"last words")])
        assert received == [frame(b"last words")]


@SUITE.case("aclose gives up after about a second when the other side takes nothing")
async def _close_gives_up(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, _reader):
        await _fill(writer)
        await _soon(writer.aclose(), "aclose with 16 MiB unsent")
        assert writer.unsent_bytes == 0


@SUITE.case("abort and aclose may be called twice and in any order")
async def _ends_twice(subject: TransportSubject) -> None:
    async with _pair(subject) as (dialing, accepted):
        dialing.abort()
        dialing.abort()
        await _soon(dialing.aclose(), "aclose after abort")
        await _soon(asyncio.gather(accepted.aclose(), accepted.aclose()), "aclose twice at once")
        await _soon(accepted.aclose(), "aclose once more")
        accepted.abort()


@SUITE.case("abort drops what is unsent and ends the connection on both sides")
async def _abort(subject: TransportSubject) -> None:
    async with _pair(subject) as (writer, reader):
        await _fill(writer)
        writer.abort()
        received = await _soon(_read_all(reader), "reading what was on its way")
        assert len(received) < 64, "64 MiB were delivered after an abort"
        await _read_at_end(writer)
        assert writer.unsent_bytes == 0


# -- one connection and another


@SUITE.case("a connection whose other side reads nothing delays no other")
async def _hung_reader(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with (
        _accepting(transport, subject.address()) as accepting,
        _dialed(transport, accepting) as (stuck, _hung),
        _dialed(transport, accepting) as (dialing, accepted),
    ):
        await _fill(stuck)
        draining = asyncio.create_task(stuck.drain())
        await _answers(dialing, accepted)
        await _soon(dialing.drain(), "drain beside a stuck connection")
        draining.cancel()


@SUITE.case("a connection on which nothing comes delays no other")
async def _idle(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with (
        _accepting(transport, subject.address()) as accepting,
        _dialed(transport, accepting) as idle,
        _dialed(transport, accepting) as (dialing, accepted),
    ):
        reading = [asyncio.create_task(end.read()) for end in idle]
        await _turns()
        await _answers(dialing, accepted)
        for each in reading:
            each.cancel()
        await asyncio.wait(reading)


@SUITE.case("the end of one connection touches no other")
async def _separate_ends(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with (
        _accepting(transport, subject.address()) as accepting,
        _dialed(transport, accepting) as (first, _first_accepted),
        _dialed(transport, accepting) as (oversize, oversize_accepted),
        _dialed(transport, accepting) as (dialing, accepted),
    ):
        first.abort()
        oversize_accepted.max_frame_bytes = 1
        oversize.write([frame(b"too long")])
        await _turns()
        await _answers(dialing, accepted)


# -- listening and connecting


@SUITE.case("a listener's address is one to connect to, and each end says where the other is")
async def _address(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with (
        _accepting(transport, subject.address()) as accepting,
        _dialed(transport, accepting) as (dialing, accepted),
    ):
        assert dialing.remote, "the dialing end does not say where the other side is"
        assert accepted.remote, "the accepted end does not say where the other side is"
        await _answers(dialing, accepted)


@SUITE.case("closing a listener keeps the connections it accepted")
async def _listener_close(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with (
        _accepting(transport, subject.address()) as accepting,
        _dialed(transport, accepting) as (dialing, accepted),
    ):
        await _soon(accepting.listener.aclose(), "closing the listener")
        await _answers(dialing, accepted)
        await _soon(accepting.listener.aclose(), "closing the listener again")
        await _answers(dialing, accepted)


@SUITE.case("closing a listener releases its address")
async def _listener_release(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with _accepting(transport, subject.address()) as accepting:
        address = accepting.listener.address
        async with _dialed(transport, accepting):
            await accepting.listener.aclose()
            async with _accepting(transport, address) as again, _dialed(transport, again) as ends:
                assert again.listener.address == address
                await _answers(*ends)


@SUITE.case("an address that is being listened at raises OSError, and its listener goes on")
async def _address_in_use(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with _listening(transport, subject.address(), _echo) as first:
        try:
            second = await transport.listen(first.address, _echo)
        except OSError:
            async with _connected(transport, first.address) as connection:
                await _is_echoed(connection)
        else:
            await second.aclose()
            raise AssertionError(f"two listeners at {second.address}")


@SUITE.case("connecting where nobody listens raises Unreachable")
async def _nobody(subject: TransportSubject) -> None:
    transport = subject.transport()
    async with _accepting(transport, subject.address()) as accepting:
        address = accepting.listener.address
    try:
        async with _connected(transport, address):
            raise AssertionError(f"connected to {address}, where nobody listens")
    except Unreachable:
        return


@SUITE.case("an address that makes no sense raises ValueError")
async def _nonsense(subject: TransportSubject) -> None:
    transport = subject.transport()
    for address in ("", "nonsense", "no-such-scheme://127.0.0.1:1", *(f"{scheme}:" for scheme in transport.schemes)):
        for attempt in (transport.connect(address), transport.listen(address, _echo)):
            try:
                await _soon(attempt, f"refusing {address!r}")
            except ValueError:
                continue
            raise AssertionError(f"{address!r} was taken for an address")


@SUITE.case("a connection is closed when on_connection returns, after what it wrote was sent")
async def _handler_returns(subject: TransportSubject) -> None:
    greeting = [frame(bytes(MIB))] * 8 + [frame(b"good day")]

    async def greet(connection: Connection) -> None:
        connection.write(greeting)

    transport = subject.transport()
    async with (
        _listening(transport, subject.address(), greet) as listener,
        _connected(transport, listener.address) as connection,
    ):
        assert await _soon(_read_all(connection), "reading to the end") == greeting


@SUITE.case("an on_connection that raises closes its own connection only")
async def _handler_raises(subject: TransportSubject) -> None:
    async def fail_on_demand(connection: Connection) -> None:
        while frames := await connection.read():
            if frames == [frame(b"fail")]:
                raise RuntimeError("the handler of this connection fails, as the suite wants it to")
            connection.write(frames)

    transport = subject.transport()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with (
        _listening(transport, subject.address(), fail_on_demand) as listener,
        _connected(transport, listener.address) as healthy,
        _connected(transport, listener.address) as failing,
    ):
        failing.write([frame(b"fail")])
        await _read_at_end(failing)
        async with _connected(transport, listener.address) as later:
            await _is_echoed(later)
        await _is_echoed(healthy)
    asyncio.get_running_loop().set_exception_handler(None)
