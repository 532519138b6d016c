"""The transport suite passes on a good transport, and fails on every broken one, in the sentence that it breaks."""

import inspect
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from raftsdk_tcp import TcpTransport
from raftsdk_tcp.listener import SocketListener

from raftsdk.errors import RaftError
from raftsdk.ports import Connection, Listener, Transport
from raftsdk.ports.transport import OnConnection
from raftsdk.testing import transport_suite
from raftsdk.testing.broken import transport as broken
from raftsdk.testing.suite import Case
from raftsdk.testing.transport_suite import SUITE, TransportSubject

CAUGHT_BY = {
    broken.ReordersFrames: "frames arrive in the order they were written",
    broken.RepeatsFrames: "a frame arrives once, and nothing comes that was not written",
    broken.MergesFrames: "a frame arrives whole and alone, whatever its size",
    broken.SplitsFrames: "a frame arrives whole and alone, whatever its size",
    broken.LosesFramesOnCancel: "cancelling a read loses no frame",
    broken.IgnoresTheLimit: "an oversize body is refused before it has been sent",
    broken.KeepsTheFirstLimit: "max_frame_bytes may be raised and lowered at any time",
    broken.RaisesOversizeForEver: (
        "an oversize body raises WireError once, after the frames before it, and ends the connection"
    ),
    broken.BuffersWithoutBound: (
        "write never blocks, and what the other side does not read stays visible as unsent_bytes"
    ),
    broken.DrainsAtOnce: "write never blocks, and what the other side does not read stays visible as unsent_bytes",
    broken.DrainRaisesAfterTheEnd: "drain returns when the connection ends under it, and after",
    broken.WriteRaisesAfterTheEnd: "write after the end drops silently, whoever ended it",
    broken.ReadRaisesAtTheEnd: "read returns [] for ever after the other side has closed",
    broken.SaysTheEndOnce: "read returns [] for ever after our own close or abort",
    broken.DropsTheUnsentOnClose: "aclose sends what was written before it ends the connection",
    broken.OneLockForAll: "a connection on which nothing comes delays no other",
    broken.ListenerTakesConnectionsAlong: "closing a listener keeps the connections it accepted",
    broken.ListenerStays: "connecting where nobody listens raises Unreachable",
    broken.ListenerFallsWithAHandler: "an on_connection that raises closes its own connection only",
    broken.LeaksOSErrors: "connecting where nobody listens raises Unreachable",
}


def _case(sentence: str) -> Case[TransportSubject]:
    return next(case for case in SUITE.cases if case.sentence == sentence)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: that of a Unix socket may have some hundred bytes."""
    with TemporaryDirectory() as path:
        yield Path(path)


class RememberingTransport(TcpTransport):
    """Closes at the end what a broken one has left open."""

    def __init__(self, end: AsyncExitStack) -> None:
        super().__init__()
        self._end = end

    async def listen(self, address: str, on_connection: OnConnection) -> SocketListener:
        listener = await super().listen(address, on_connection)
        self._end.push_async_callback(listener.aclose)
        return listener


@pytest.mark.parametrize("breaking", CAUGHT_BY, ids=lambda breaking: breaking.__name__)
async def test_the_suite_catches_every_broken_transport_by_name(
    breaking: type[broken.BrokenTransport], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_suite, "PATIENCE_S", 1.0)  # Several of them are caught by hanging.
    numbers = count()
    async with AsyncExitStack() as end:
        subject = TransportSubject(
            transport=lambda: breaking(RememberingTransport(end)),
            address=lambda: f"unix://{directory}/{next(numbers)}",
        )
        with pytest.raises((AssertionError, RaftError, OSError, EOFError)):
            await _case(CAUGHT_BY[breaking]).run(subject)


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
async def test_a_transport_that_is_only_wrapped_keeps_every_promise(
    case: Case[TransportSubject], directory: Path
) -> None:
    numbers = count()
    subject = TransportSubject(
        transport=lambda: broken.BrokenTransport(TcpTransport()), address=lambda: f"unix://{directory}/{next(numbers)}"
    )
    await case.run(subject)


def test_every_broken_transport_is_in_the_list() -> None:
    classes = {
        each for _, each in inspect.getmembers(broken, inspect.isclass) if issubclass(each, broken.BrokenTransport)
    }
    assert classes - {broken.BrokenTransport} == set(CAUGHT_BY)


def test_no_two_sentences_are_the_same() -> None:
    sentences = [case.sentence for case in SUITE.cases]
    assert len(set(sentences)) == len(sentences)


async def test_the_parts_of_a_transport_are_what_the_port_calls_them(directory: Path) -> None:
    transport = TcpTransport()

    async def end_at_once(connection: Connection) -> None:
        assert isinstance(connection, Connection)

    listener = await transport.listen(f"unix://{directory}/one", end_at_once)
    connection = await transport.connect(listener.address)
    assert isinstance(transport, Transport)
    assert isinstance(listener, Listener)
    assert isinstance(connection, Connection)
    await connection.aclose()
    await listener.aclose()
