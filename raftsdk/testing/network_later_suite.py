"""What a `RaftNetwork` must do that has the methods which one may lack: a suite for each of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from raftsdk.errors import RaftError, Refused, Unreachable
from raftsdk.messages import (
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    ReadIndexRequest,
    Response,
    TimeoutNowRequest,
)
from raftsdk.ports import RaftNetwork, WatchfulNetwork
from raftsdk.testing.network_subject import (
    PATIENCE_S,
    TERM,
    NetworkSubject,
    RecordingHandler,
    Trio,
    answer,
    append,
    give_up,
    heartbeat,
    raises,
    reach,
    soon,
    start,
    trio,
    until,
    vote,
)
from raftsdk.testing.snapshot_traffic import MadeUpSnapshot, SnapshotReceiver
from raftsdk.testing.suite import Suite
from raftsdk.types import NodeId

INSTALL_SNAPSHOT: Final[Suite[NetworkSubject]] = Suite("RaftNetwork.install_snapshot")
TIMEOUT_NOW: Final[Suite[NetworkSubject]] = Suite("RaftNetwork.timeout_now")
READ_INDEX: Final[Suite[NetworkSubject]] = Suite("RaftNetwork.read_index")
SET_ADDRESSES: Final[Suite[NetworkSubject]] = Suite("RaftNetwork.set_addresses")
WATCH: Final[Suite[NetworkSubject]] = Suite("WatchfulNetwork.watch")

LATER: Final = {
    "install_snapshot": INSTALL_SNAPSHOT,
    "timeout_now": TIMEOUT_NOW,
    "read_index": READ_INDEX,
    "set_addresses": SET_ADDRESSES,
    "watch": WATCH,
}
"""The methods that a network may lack, and the cases about each."""

_TOTAL_BYTES: Final = 3_000_000
_INTERVAL_S: Final = 0.1
_SILENCE_S: Final = 1.0  # a busy machine may well stand still for a third of it
_UNDER_WAY_S: Final = 0.3  # after so long, a piece that was sent has arrived, or will not


# -- calls that are one request and one response


def _about_a_call(suite: Suite[NetworkSubject], name: str, request: Callable[[NodeId], Any]) -> None:
    """Cases that hold of every such call; `request` makes one of that node."""

    def call(network: RaftNetwork, target: NodeId, node_id: NodeId = "n1") -> Awaitable[object]:
        made: Awaitable[object] = getattr(network, name)(target, request(node_id))
        return made

    @suite.case(f"{name} returns the response of the node it was sent to")
    async def _right_node(subject: NetworkSubject) -> None:
        async with trio(subject) as nodes:
            for target, number in (("n2", 2), ("n3", 3)):
                response = await soon(call(nodes.n1, target), "the answer")
                assert response == answer(request("n1"), number), response
            assert nodes.handler2.received == [request("n1")], nodes.handler2.received

    @suite.case(f"an ErrorResponse to {name} raises Refused, with its code")
    async def _refused(subject: NetworkSubject) -> None:
        async with trio(subject) as nodes:
            nodes.handler2.refusal = ErrorResponse(code=ErrorCode.STOPPED, message="shutting down")
            error = await raises(lambda: call(nodes.n1, "n2"), (Refused,), "a refused call raises")
            assert isinstance(error, Refused)
            assert error.code == ErrorCode.STOPPED, error

    @suite.case(f"{name} without an answer raises Unreachable within the deadline")
    async def _deadline(subject: NetworkSubject) -> None:
        async with trio(subject) as nodes:
            nodes.handler2.holds = lambda _: True
            within_s = subject.call_timeout_s + PATIENCE_S
            await raises(lambda: call(nodes.n1, "n2"), (Unreachable,), "a call without an answer raises", within_s)

    @suite.case(f"{name} in the name of another node is not delivered")
    async def _speaks_for_another(subject: NetworkSubject) -> None:
        async with trio(subject) as nodes:
            within_s = subject.call_timeout_s + PATIENCE_S
            what = "n1 asks in the name of n3"
            await raises(lambda: call(nodes.n1, "n2", "n3"), (Refused, Unreachable), what, within_s)
            assert nodes.handler2.received == [], nodes.handler2.received

    @suite.case(f"{name} is answered while calls with entries wait for their answers")
    async def _not_behind_entries(subject: NetworkSubject) -> None:
        async with trio(subject) as nodes:
            nodes.handler2.holds = lambda asked: asked != request("n1")
            waiting = await start(*(nodes.n1.append_entries("n2", append(number)) for number in range(1, 11)))
            response = await soon(call(nodes.n1, "n2"), "the answer")
            assert response == answer(request("n1"), 2), response
            assert not any(each.done() for each in waiting)
            await give_up(waiting)


_about_a_call(TIMEOUT_NOW, "timeout_now", lambda node_id: TimeoutNowRequest(term=TERM, leader_id=node_id))
_about_a_call(READ_INDEX, "read_index", lambda node_id: ReadIndexRequest(term=TERM, node_id=node_id))


# -- snapshots


def _installs(nodes: Trio, source: MadeUpSnapshot) -> asyncio.Task[InstallSnapshotResponse]:
    """A task in which n1 brings `source` to n2."""
    return asyncio.create_task(nodes.n1.install_snapshot("n2", source.request(), source))


@INSTALL_SNAPSHOT.case("a snapshot arrives whole, in pieces that repeat what the request says, each once")
async def _whole(subject: NetworkSubject) -> None:
    for total_bytes in (0, 1, _TOTAL_BYTES):
        source = MadeUpSnapshot(total_bytes)
        async with trio(subject) as nodes:
            response = await soon(_installs(nodes, source), "the snapshot")
            assert response == InstallSnapshotResponse(term=3, next_offset=total_bytes, installed=True), response
            assert nodes.handler2.snapshots.received_bytes == total_bytes
            assert all(_is_of(source, piece) for piece in nodes.handler2.received)


def _is_of(source: MadeUpSnapshot, piece: object) -> bool:
    said = source.request()
    return isinstance(piece, InstallSnapshotRequest) and all(
        getattr(piece, name) == getattr(said, name) for name in said.__struct_fields__ if name not in ("offset", "data")
    )


@INSTALL_SNAPSHOT.case("a snapshot goes on where the node says")
async def _goes_on(subject: NetworkSubject) -> None:
    source = MadeUpSnapshot(_TOTAL_BYTES)
    async with trio(subject) as nodes:
        held = nodes.handler2.snapshots
        said = source.request()
        for offset in range(0, 2_000_000, 500_000):
            data = await source.read(offset, 500_000)
            held.take(_piece(said, offset, data))
        response = await soon(_installs(nodes, source), "the snapshot")
        assert response.installed, response
        assert held.received_bytes == _TOTAL_BYTES, f"{held.received_bytes} bytes for {_TOTAL_BYTES}"


def _piece(said: InstallSnapshotRequest, offset: int, data: bytes) -> InstallSnapshotRequest:
    fields = {name: getattr(said, name) for name in said.__struct_fields__}
    return InstallSnapshotRequest(**{**fields, "offset": offset, "data": data})


@INSTALL_SNAPSHOT.case("of a snapshot that was given up, a later call sends the rest")
async def _given_up(subject: NetworkSubject) -> None:
    source = MadeUpSnapshot(_TOTAL_BYTES)
    async with trio(subject) as nodes:
        held = nodes.handler2.snapshots
        nodes.handler2.holds = lambda _: held.next_offset > 0  # so that it is not over before it is given up
        first = _installs(nodes, source)
        await until(lambda: held.next_offset > 0, "a piece arrives")
        await give_up([first])
        await asyncio.sleep(_UNDER_WAY_S)
        nodes.handler2.holds = lambda _: False
        response = await soon(_installs(nodes, source), "the snapshot")
        assert response.installed, response
        assert held.received_bytes == _TOTAL_BYTES, f"{held.received_bytes} bytes for {_TOTAL_BYTES}"
        assert held.asked >= 2, "nobody asked the node how much it has"


@INSTALL_SNAPSHOT.case("a snapshot reaches a node that came back meanwhile, with a later call at the latest")
async def _back_again(subject: NetworkSubject) -> None:
    source = MadeUpSnapshot(_TOTAL_BYTES)
    async with trio(subject) as nodes:
        held = nodes.handler2.snapshots
        nodes.handler2.holds = lambda _: held.next_offset > 0  # so that it is not over before the node goes down
        first = _installs(nodes, source)
        await until(lambda: held.next_offset > 0, "a piece arrives")
        await nodes.n2.aclose()
        handler = RecordingHandler(2)
        handler.snapshots = held
        back = subject.network("n2")
        try:
            await back.start(handler)
            await asyncio.wait([first], timeout=subject.stall_timeout_s + PATIENCE_S)
            assert first.done(), "install_snapshot neither returns nor raises"
            if first.exception() is not None:
                await reach(nodes.n1, "n2")
                await soon(_installs(nodes, source), "the snapshot")
            assert held.installed
        finally:
            await back.aclose()


class _Answers(SnapshotReceiver):
    """Gives one and the same answer to every piece, and a sound one to the question that comes first."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self._response = response

    def take(self, request: InstallSnapshotRequest) -> Response:
        """The answer."""
        sound = super().take(request)
        return self._response if request.data else sound


@INSTALL_SNAPSHOT.case("an answer that it is installed ends a snapshot, and nothing is sent behind it")
async def _installed(subject: NetworkSubject) -> None:
    source = MadeUpSnapshot(_TOTAL_BYTES)
    async with trio(subject) as nodes:
        held = nodes.handler2.snapshots
        held.next_offset, held.installed = _TOTAL_BYTES, True
        response = await soon(_installs(nodes, source), "the answer")
        assert response == InstallSnapshotResponse(term=3, next_offset=_TOTAL_BYTES, installed=True), response
        assert (held.asked, held.received_bytes) == (1, 0), nodes.handler2.received


@INSTALL_SNAPSHOT.case("an answer of a later term ends a snapshot, and is returned")
async def _later_term(subject: NetworkSubject) -> None:
    later = InstallSnapshotResponse(term=4, next_offset=0, installed=False)
    async with trio(subject) as nodes:
        nodes.handler2.snapshots = _Answers(later)
        response = await soon(_installs(nodes, MadeUpSnapshot(_TOTAL_BYTES)), "the answer")
        assert response == later, response


@INSTALL_SNAPSHOT.case("a snapshot that arrived with another digest raises")
async def _damaged(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.snapshots.spoils = True
        within_s = subject.stall_timeout_s + PATIENCE_S
        source = MadeUpSnapshot(_TOTAL_BYTES)
        await raises(lambda: _installs(nodes, source), (RaftError,), "a damaged snapshot raises", within_s)
        assert not nodes.handler2.snapshots.installed


@INSTALL_SNAPSHOT.case("an ErrorResponse to a piece raises Refused, with its code")
async def _refused(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.snapshots = _Answers(ErrorResponse(code=ErrorCode.STOPPED, message="shutting down"))
        source = MadeUpSnapshot(_TOTAL_BYTES)
        error = await raises(lambda: _installs(nodes, source), (Refused,), "a refused piece raises")
        assert isinstance(error, Refused)
        assert error.code == ErrorCode.STOPPED, error


@INSTALL_SNAPSHOT.case("entries and heartbeats are answered while the pieces of a snapshot are not")
async def _delays_nothing(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda request: isinstance(request, InstallSnapshotRequest)
        snapshot = _installs(nodes, MadeUpSnapshot(_TOTAL_BYTES))
        await until(lambda: bool(nodes.handler2.held), "the node is asked")
        for request in (append(3), heartbeat(3)):
            response = await soon(nodes.n1.append_entries("n2", request), "the answer", subject.call_timeout_s)
            assert response == answer(request, 2)
        assert not snapshot.done()
        await give_up([snapshot])


@INSTALL_SNAPSHOT.case("a snapshot of which nothing arrives raises Unreachable in the end")
async def _stalls(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda request: isinstance(request, InstallSnapshotRequest)
        within_s = subject.stall_timeout_s + PATIENCE_S
        source = MadeUpSnapshot(_TOTAL_BYTES)
        await raises(lambda: _installs(nodes, source), (Unreachable,), "a snapshot that stands still raises", within_s)


# -- members that come and go


@SET_ADDRESSES.case("a node that is no member any more is not reached, and others are")
async def _leaves(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.n1.set_addresses("n2", ())
        within_s = subject.call_timeout_s + PATIENCE_S
        calls = (
            lambda: nodes.n1.append_entries("n2", append(1)),
            lambda: nodes.n1.append_entries("n2", heartbeat(1)),
        )
        for call in calls:
            await raises(call, (Unreachable,), "a call to a node that left raises", within_s)
        assert nodes.handler2.received == [], nodes.handler2.received
        assert not nodes.n1.link("n2").connected
        response = await soon(nodes.n1.append_entries("n3", append(1)), "n3's answer")
        assert response == answer(append(1), 3)


@SET_ADDRESSES.case("a node that is a member again is reached again")
async def _joins(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.n1.set_addresses("n2", ())
        nodes.n1.set_addresses("n2", subject.addresses["n2"])
        await reach(nodes.n1, "n2")


@SET_ADDRESSES.case("addresses that are given again change nothing")
async def _again(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        (waiting,) = await start(nodes.n1.append_entries("n2", append(1)))
        await until(lambda: bool(nodes.handler2.held), "the request is delivered")
        nodes.n1.set_addresses("n2", subject.addresses["n2"])
        nodes.handler2.held[0]()
        assert await soon(waiting, "the answer") == answer(append(1), 2)


# -- nodes that live, and nodes that do not


def _watch(network: RaftNetwork, *targets: NodeId, lost: Callable[[NodeId], None]) -> None:
    assert isinstance(network, WatchfulNetwork), "a network without watch is tried without these cases"
    network.watch(targets, interval_s=_INTERVAL_S, silence_s=_SILENCE_S, lost=lost)


@asynccontextmanager
async def _alone(subject: NetworkSubject) -> AsyncIterator[RaftNetwork]:
    """n1, with nobody else there."""
    network = subject.network("n1")
    try:
        await network.start(RecordingHandler(1))
        yield network
    finally:
        await network.aclose()


@WATCH.case("a node that watches back is not lost, though nobody calls anybody")
async def _watches_back(subject: NetworkSubject) -> None:
    told: list[NodeId] = []
    async with trio(subject) as nodes:
        _watch(nodes.n1, "n2", lost=told.append)
        _watch(nodes.n2, "n1", lost=told.append)
        await asyncio.sleep(2.5 * _SILENCE_S)
        assert told == [], told


@WATCH.case("a node that calls is not lost, though it watches nobody")
async def _calls(subject: NetworkSubject) -> None:
    told: list[NodeId] = []
    async with trio(subject) as nodes:
        _watch(nodes.n1, "n2", lost=told.append)
        for number in range(int(2 * _SILENCE_S / _INTERVAL_S)):
            with suppress(Unreachable):  # so far only n1 is known to be connected
                await nodes.n2.request_vote("n1", vote(number, candidate_id="n2"))
            await asyncio.sleep(_INTERVAL_S)
        assert told == [], told


@WATCH.case("a node that is gone is lost, once, and one that lives is not")
async def _gone(subject: NetworkSubject) -> None:
    told: list[NodeId] = []
    async with trio(subject) as nodes:
        _watch(nodes.n1, "n2", "n3", lost=told.append)
        for other in (nodes.n2, nodes.n3):
            _watch(other, "n1", lost=lambda _: None)
        await nodes.n2.aclose()
        await until(lambda: bool(told), "n2 is lost")
        await asyncio.sleep(1.5 * _SILENCE_S)
        assert told == ["n2"], told


@WATCH.case("a node that is back before the silence is over is not lost")
async def _back_in_time(subject: NetworkSubject) -> None:
    told: list[NodeId] = []
    async with trio(subject) as nodes:
        _watch(nodes.n1, "n2", lost=told.append)
        await nodes.n2.aclose()
        back = subject.network("n2")
        try:
            await back.start(RecordingHandler(2))
            _watch(back, "n1", lost=lambda _: None)
            await asyncio.sleep(1.5 * _SILENCE_S)
            assert told == [], told
        finally:
            await back.aclose()


@WATCH.case("a node that was never heard is lost in the end, and not at once")
async def _never_heard(subject: NetworkSubject) -> None:
    told: list[NodeId] = []
    async with _alone(subject) as n1:
        _watch(n1, "n2", lost=told.append)
        await asyncio.sleep(_INTERVAL_S)
        assert told == [], told
        await until(lambda: bool(told), "n2 is lost")
        assert told == ["n2"], told


@WATCH.case("a node that is watched again, by whoever is told that it was lost, is lost again")
async def _lost_again(subject: NetworkSubject) -> None:
    told: list[NodeId] = []
    async with _alone(subject) as n1:

        def lost(node_id: NodeId) -> None:
            told.append(node_id)
            if len(told) == 1:
                _watch(n1, "n2", lost=lost)

        _watch(n1, "n2", lost=lost)
        await until(lambda: len(told) == 2, "n2 is lost twice")
        assert told == ["n2", "n2"], told


@WATCH.case("watching others takes the place of what was watched")
async def _others(subject: NetworkSubject) -> None:
    told_before: list[NodeId] = []
    told: list[NodeId] = []
    async with _alone(subject) as n1:
        _watch(n1, "n2", lost=told_before.append)
        _watch(n1, "n3", lost=told.append)
        await until(lambda: bool(told), "n3 is lost")
        await asyncio.sleep(_SILENCE_S / 2)
        assert (told_before, told) == ([], ["n3"]), (told_before, told)


@WATCH.case("a node that is watched no more is not lost")
async def _no_more(subject: NetworkSubject) -> None:
    told: list[NodeId] = []
    async with _alone(subject) as n1:
        _watch(n1, "n2", lost=told.append)
        _watch(n1, lost=told.append)
        await asyncio.sleep(1.5 * _SILENCE_S)
        assert told == [], told
