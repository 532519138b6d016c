"""What every `RaftNetwork` must do, as a suite of sentences.

    SUBJECT = NetworkSubject(network=lambda node_id: MyNetwork(node_id, my_addresses), call_timeout_s=1.0)

    @pytest.mark.parametrize("case", network_suite.SUITE.cases, ids=str)
    async def test_my_network(case):
        await case.run(SUBJECT)

What no suite can see from outside, a network's author must test alone: that what waits for one node is bounded in
bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from raftsdk.errors import Refused, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorCode,
    ErrorResponse,
    Request,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
)
from raftsdk.ports import RaftNetwork
from raftsdk.runtime.handler import Handler
from raftsdk.testing.suite import Suite
from raftsdk.types import MAX_INTEGER, Entry, NodeId

NODE_IDS: Final = ("n1", "n2", "n3")

PATIENCE_S: Final = 5.0
"""How long anything may take here that takes milliseconds, and how late a deadline may be."""

_POLL_S: Final = 0.01
_TERM: Final = 7
_WARM_UP_TERM: Final = 2

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class NetworkSubject:
    """How to make networks that reach each other."""

    network: Callable[[NodeId], RaftNetwork]
    """A new network, not started, for that one of `NODE_IDS`, which can reach the others. Asked for the same id
    again, after the first was closed, it makes one that the others find where they found the first.
    """

    call_timeout_s: float
    """Within how long every call ends. A second is a good choice: some cases wait for it."""


SUITE: Suite[NetworkSubject] = Suite("RaftNetwork")


# -- what the cases are made of


class RecordingHandler(Handler):
    """Keeps what is delivered, and answers each request at once, or holds it, or refuses it.

    An answer says whose it is and to what: `conflict_term` is the number of the node, `conflict_index` the request's
    `prev_log_index`; of a vote, `term` is the request's `last_log_index`.
    """

    def __init__(self, node_number: int) -> None:
        self.received: list[Request] = []
        self.held: list[Callable[[], None]] = []
        self.holds: Callable[[Request], bool] = lambda _: False
        self.refusal: ErrorResponse | None = None
        self._node_number = node_number

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        """As `RaftHandler.deliver`."""
        response = self.refusal or answer(request, self._node_number)
        if _is_warm_up(request):
            reply(response)
            return
        self.received.append(request)
        if self.holds(request):
            self.held.append(lambda: reply(response))
        else:
            reply(response)


def answer(request: Request, node_number: int) -> Response:
    """What node `node_number` answers to `request`."""
    if isinstance(request, AppendEntriesRequest):
        return AppendEntriesResponse(
            term=_TERM, success=True, conflict_index=request.prev_log_index, conflict_term=node_number
        )
    assert isinstance(request, RequestVoteRequest), f"nobody sent a {type(request).__name__}"
    return RequestVoteResponse(term=request.last_log_index, vote_granted=node_number == 2)


@dataclass(frozen=True)
class Trio:
    """Three started networks; `n1` has reached both others."""

    n1: RaftNetwork
    n2: RaftNetwork
    n3: RaftNetwork
    handler2: RecordingHandler


@asynccontextmanager
async def trio(subject: NetworkSubject) -> AsyncIterator[Trio]:
    """Three networks for one case, closed after it."""
    n1, n2, n3 = networks = [subject.network(node_id) for node_id in NODE_IDS]
    handlers = [RecordingHandler(number) for number in (1, 2, 3)]
    async with AsyncExitStack() as stack:
        for network, handler in zip(networks, handlers, strict=True):
            stack.push_async_callback(network.aclose)
            await network.start(handler)
        for target in ("n2", "n3"):
            await reach(n1, target)
        yield Trio(n1, n2, n3, handler2=handlers[1])


async def reach(network: RaftNetwork, target: NodeId) -> None:
    """Return once `network`, of n1, gets answers to calls of each sort from `target`."""
    calls = (
        lambda: network.request_vote(target, vote(1, term=_WARM_UP_TERM)),
        lambda: network.append_entries(target, heartbeat(0, term=_WARM_UP_TERM)),
        lambda: network.append_entries(target, append(0, term=_WARM_UP_TERM)),
    )
    for call in calls:
        await _soon(_answered(call), f"{target} answers")


async def _answered(call: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await call()
        except Unreachable:
            await asyncio.sleep(_POLL_S)
        else:
            return


def append(number: int, data: bytes = b"x", term: int = _TERM) -> AppendEntriesRequest:
    """n1's request with one entry after index `number`."""
    return AppendEntriesRequest(
        term=term,
        leader_id="n1",
        prev_log_index=number,
        prev_log_term=min(number, 1),
        leader_commit=0,
        entries=[Entry(term=term, kind=1, data=data)],
    )


def heartbeat(number: int, term: int = _TERM) -> AppendEntriesRequest:
    """n1's request without entries, about index `number`."""
    return AppendEntriesRequest(
        term=term, leader_id="n1", prev_log_index=number, prev_log_term=min(number, 1), leader_commit=0, entries=[]
    )


def vote(number: int, candidate_id: NodeId = "n1", term: int = _TERM) -> RequestVoteRequest:
    """A plea for a vote, told apart by its `last_log_index`."""
    return RequestVoteRequest(term=term, candidate_id=candidate_id, last_log_index=number, last_log_term=min(number, 1))


def _is_warm_up(request: Request) -> bool:
    return isinstance(request, AppendEntriesRequest | RequestVoteRequest) and request.term == _WARM_UP_TERM


async def _soon(awaitable: Awaitable[_Result], what: str, within_s: float = PATIENCE_S) -> _Result:
    try:
        async with asyncio.timeout(within_s):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"{what}: not within {within_s} s") from None


async def _until(holds: Callable[[], bool], what: str) -> None:
    for _ in range(int(PATIENCE_S / _POLL_S)):
        if holds():
            return
        await asyncio.sleep(_POLL_S)
    raise AssertionError(f"{what}: not within {PATIENCE_S} s")


async def _raises(
    call: Callable[[], Awaitable[object]], kinds: tuple[type[Exception], ...], what: str, within_s: float = PATIENCE_S
) -> Exception:
    try:
        response = await _soon(call(), what, within_s)
    except kinds as error:
        return error
    raise AssertionError(f"{what}: it returned {response}")


def _calls_to_n2(nodes: Trio) -> tuple[Callable[[], Awaitable[object]], ...]:
    """One of each sort."""
    return (
        lambda: nodes.n1.append_entries("n2", append(1)),
        lambda: nodes.n1.append_entries("n2", heartbeat(1)),
        lambda: nodes.n1.request_vote("n2", vote(1)),
    )


async def _start(*calls: Coroutine[None, None, _Result]) -> list[asyncio.Task[_Result]]:
    """Tasks for `calls`, each after its first step."""
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


# -- requests and responses


@SUITE.case("a call returns the response of the node it was sent to")
async def _right_node(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        for target, number in (("n2", 2), ("n3", 3)):
            appended = await _soon(nodes.n1.append_entries(target, append(5)), "the answer")
            assert appended == answer(append(5), number), appended
            voted = await _soon(nodes.n1.request_vote(target, vote(5)), "the answer")
            assert voted == answer(vote(5), number), voted


@SUITE.case("a request arrives as it was sent, every bit of every number and byte of it")
async def _exact(subject: NetworkSubject) -> None:
    entries = [Entry(term=3, kind=0, data=b""), Entry(term=MAX_INTEGER, kind=MAX_INTEGER, data=bytes(range(256)))]
    appended = AppendEntriesRequest(
        term=MAX_INTEGER,
        leader_id="n1",
        prev_log_index=2**53 + 1,
        prev_log_term=2,
        leader_commit=2**53 + 3,
        entries=entries,
    )
    voted = RequestVoteRequest(term=2**62 + 1, candidate_id="n1", last_log_index=9, last_log_term=8, pre_vote=True)
    async with trio(subject) as nodes:
        await _soon(nodes.n1.append_entries("n2", appended), "the answer")
        await _soon(nodes.n1.request_vote("n2", voted), "the answer")
        assert nodes.handler2.received == [appended, voted], nodes.handler2.received


@SUITE.case("a request of a megabyte arrives")
async def _megabyte(subject: NetworkSubject) -> None:
    request = append(1, data=bytes(range(256)) * 4096)
    async with trio(subject) as nodes:
        await _soon(nodes.n1.append_entries("n2", request), "the answer")
        assert nodes.handler2.received == [request]


@SUITE.case("an ErrorResponse raises Refused, with its code")
async def _refused(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.refusal = ErrorResponse(code=ErrorCode.STOPPED, message="shutting down")
        for call in _calls_to_n2(nodes):
            error = await _raises(call, (Refused,), "a refused call raises")
            assert isinstance(error, Refused)
            assert error.code == ErrorCode.STOPPED, error


@SUITE.case("a request that speaks for another node is not delivered")
async def _speaks_for_another(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        within_s = subject.call_timeout_s + PATIENCE_S
        foreign = vote(1, candidate_id="n3")
        await _raises(
            lambda: nodes.n1.request_vote("n2", foreign), (Refused, Unreachable), "n1 asks in the name of n3", within_s
        )
        assert nodes.handler2.received == [], nodes.handler2.received


# -- order and correlation


@SUITE.case("calls with entries reach a node in the order they were started")
async def _entries_in_order(subject: NetworkSubject) -> None:
    requests = [append(number) for number in range(1, 201)]
    async with trio(subject) as nodes:
        await _soon(asyncio.gather(*(nodes.n1.append_entries("n2", each) for each in requests)), "the answers")
        assert nodes.handler2.received == requests


@SUITE.case("votes and heartbeats reach a node in the order they were started")
async def _control_in_order(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        calls: list[Awaitable[object]] = []
        for number in range(1, 101):
            calls.append(nodes.n1.append_entries("n2", heartbeat(number)))
            calls.append(nodes.n1.request_vote("n2", vote(number)))
        await _soon(asyncio.gather(*calls), "the answers")
        expected = [request for number in range(1, 101) for request in (heartbeat(number), vote(number))]
        assert nodes.handler2.received == expected


@SUITE.case("answers given in reverse order reach the calls they belong to")
async def _reverse_order(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        calls = await _start(*(nodes.n1.append_entries("n2", append(number)) for number in range(1, 11)))
        await _until(lambda: len(nodes.handler2.held) == len(calls), "all requests are delivered before any answer")
        for reply in reversed(nodes.handler2.held):
            reply()
        responses = await _soon(asyncio.gather(*calls), "the answers")
        assert responses == [answer(append(number), 2) for number in range(1, 11)], responses


@SUITE.case("a heartbeat is answered while calls with entries wait for their answers")
async def _heartbeat_first(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda request: isinstance(request, AppendEntriesRequest) and bool(request.entries)
        waiting = await _start(*(nodes.n1.append_entries("n2", append(number)) for number in range(1, 11)))
        response = await _soon(nodes.n1.append_entries("n2", heartbeat(3)), "the heartbeat's answer")
        assert response == answer(heartbeat(3), 2)
        assert not any(call.done() for call in waiting)
        await _give_up(waiting)


async def _give_up(calls: Sequence[asyncio.Task[_Result]]) -> None:
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


# -- deadlines and isolation


@SUITE.case("a call that is never answered raises Unreachable within the deadline")
async def _deadline(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        within_s = subject.call_timeout_s + PATIENCE_S
        what = "a call without an answer raises"
        await asyncio.gather(*(_raises(call, (Unreachable,), what, within_s) for call in _calls_to_n2(nodes)))


@SUITE.case("a node that hangs delays no call to another")
async def _isolation(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        hung = await _start(*(nodes.n1.append_entries("n2", append(number)) for number in range(1, 51)))
        hung += await _start(*(nodes.n1.append_entries("n2", heartbeat(number)) for number in range(1, 51)))
        for number in range(1, 51):
            await _soon(nodes.n1.append_entries("n3", append(number)), "n3's answer")
            await _soon(nodes.n1.append_entries("n3", heartbeat(number)), "n3's answer")
        assert not any(call.done() for call in hung), "n3 was served only after the calls to n2 had ended"
        await _give_up(hung)


@SUITE.case("a call that is cancelled after its first step still reaches the node")
async def _cancelled_arrives(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        await _give_up(await _start(nodes.n1.append_entries("n2", append(1))))
        await _until(lambda: nodes.handler2.received == [append(1)], "the request arrives all the same")


@SUITE.case("cancelling a call disturbs no other")
async def _cancelled_alone(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        calls = await _start(*(nodes.n1.append_entries("n2", append(number)) for number in (1, 2, 3)))
        await _until(lambda: len(nodes.handler2.held) == len(calls), "the requests are delivered")
        await _give_up([calls[1]])
        for reply in nodes.handler2.held:
            reply()
        responses = await _soon(asyncio.gather(calls[0], calls[2]), "the other answers")
        assert [*responses] == [answer(append(1), 2), answer(append(3), 2)], responses


# -- coming and going


@SUITE.case("a call to a node that is down raises Unreachable")
async def _down(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        await nodes.n2.aclose()
        within_s = subject.call_timeout_s + PATIENCE_S
        for call in _calls_to_n2(nodes):
            await _raises(call, (Unreachable,), "a call to nobody raises", within_s)


@SUITE.case("a node that was down is reached again once it is back")
async def _back_again(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        await nodes.n2.aclose()
        within_s = subject.call_timeout_s + PATIENCE_S
        for call in _calls_to_n2(nodes):
            await _raises(call, (Unreachable,), "a call to nobody raises", within_s)
        back = subject.network("n2")
        try:
            await back.start(RecordingHandler(2))
            await reach(nodes.n1, "n2")
        finally:
            await back.aclose()


@SUITE.case("link() says whether a node is connected")
async def _link(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        assert nodes.n1.link("n2").connected
        assert nodes.n1.link("n3").connected
        await nodes.n2.aclose()
        await _until(lambda: not nodes.n1.link("n2").connected, "n1 notices that n2 is gone")
        assert nodes.n1.link("n3").connected


@SUITE.case("closing a network ends its outstanding calls with Unreachable")
async def _close_ends_calls(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        calls = await _start(*(nodes.n1.append_entries("n2", append(number)) for number in (1, 2)))
        await _until(lambda: len(nodes.handler2.held) == len(calls), "the requests are delivered")
        await _soon(nodes.n1.aclose(), "the network closes")
        outcomes = await _soon(asyncio.gather(*calls, return_exceptions=True), "outstanding calls end")
        assert all(isinstance(outcome, Unreachable) for outcome in outcomes), outcomes


@SUITE.case("a network may be closed twice")
async def _close_twice(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        await _soon(nodes.n1.aclose(), "the network closes")
        await _soon(nodes.n1.aclose(), "the network closes again")


@SUITE.case("start raises OSError when another network has the address")
async def _address_in_use(subject: NetworkSubject) -> None:
    async with trio(subject):
        second = subject.network("n1")
        try:
            await _raises(lambda: second.start(RecordingHandler(1)), (OSError,), "a second n1 starts")
        finally:
            await second.aclose()
