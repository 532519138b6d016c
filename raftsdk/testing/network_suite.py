"""What every `RaftNetwork` must do, as a suite of sentences.

    SUBJECT = NetworkSubject(network=lambda node_id: MyNetwork(node_id, my_addresses), call_timeout_s=1.0)

    @pytest.mark.parametrize("case", network_suite.cases(without=["set_addresses"]), ids=str)
    async def test_my_network(case):
        await case.run(SUBJECT)

What no suite can see from outside, a network's author must test alone: that what waits for one node is bounded in
bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from raftsdk.errors import Refused, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    ErrorCode,
    ErrorResponse,
    RequestVoteRequest,
)
from raftsdk.testing.network_later_suite import LATER
from raftsdk.testing.network_subject import (
    NODE_IDS,
    PATIENCE_S,
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
from raftsdk.testing.suite import Case, Suite
from raftsdk.types import MAX_INTEGER, Entry

__all__ = ["NODE_IDS", "SUITE", "NetworkSubject", "cases"]

SUITE: Final[Suite[NetworkSubject]] = Suite("RaftNetwork")
"""About what no network may lack."""


def cases(*, without: Collection[str] = ()) -> list[Case[NetworkSubject]]:
    """All of `SUITE`, and those about the methods that a network may lack, but for those that it is `without`.

    Raises `ValueError` for a name that is none of these methods.
    """
    unknown = sorted({*without} - LATER.keys())
    if unknown:
        raise ValueError(f"no network may be without {', '.join(unknown)}, only without {', '.join(LATER)}")
    return SUITE.cases + [case for name, suite in LATER.items() if name not in without for case in suite.cases]


def _calls_to_n2(nodes: Trio) -> tuple[Callable[[], Awaitable[object]], ...]:
    """One of each sort."""
    return (
        lambda: nodes.n1.append_entries("n2", append(1)),
        lambda: nodes.n1.append_entries("n2", heartbeat(1)),
        lambda: nodes.n1.request_vote("n2", vote(1)),
    )


# -- requests and responses


@SUITE.case("a call returns the response of the node it was sent to")
async def _right_node(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        for target, number in (("n2", 2), ("n3", 3)):
            appended = await soon(nodes.n1.append_entries(target, append(5)), "the answer")
            assert appended == answer(append(5), number), appended
            voted = await soon(nodes.n1.request_vote(target, vote(5)), "the answer")
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
        await soon(nodes.n1.append_entries("n2", appended), "the answer")
        await soon(nodes.n1.request_vote("n2", voted), "the answer")
        assert nodes.handler2.received == [appended, voted], nodes.handler2.received


@SUITE.case("a request of a megabyte arrives")
async def _megabyte(subject: NetworkSubject) -> None:
    request = append(1, data=bytes(range(256)) * 4096)
    async with trio(subject) as nodes:
        await soon(nodes.n1.append_entries("n2", request), "the answer")
        assert nodes.handler2.received == [request]


@SUITE.case("an ErrorResponse raises Refused, with its code")
async def _refused(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.refusal = ErrorResponse(code=ErrorCode.STOPPED, message="shutting down")
        for call in _calls_to_n2(nodes):
            error = await raises(call, (Refused,), "a refused call raises")
            assert isinstance(error, Refused)
            assert error.code == ErrorCode.STOPPED, error


@SUITE.case("a request that speaks for another node is not delivered")
async def _speaks_for_another(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        within_s = subject.call_timeout_s + PATIENCE_S
        foreign = vote(1, candidate_id="n3")
        await raises(
            lambda: nodes.n1.request_vote("n2", foreign), (Refused, Unreachable), "n1 asks in the name of n3", within_s
        )
        assert nodes.handler2.received == [], nodes.handler2.received


# -- order and correlation


@SUITE.case("calls with entries reach a node in the order they were started")
async def _entries_in_order(subject: NetworkSubject) -> None:
    requests = [append(number) for number in range(1, 201)]
    async with trio(subject) as nodes:
        await soon(asyncio.gather(*(nodes.n1.append_entries("n2", each) for each in requests)), "the answers")
        assert nodes.handler2.received == requests


@SUITE.case("votes and heartbeats reach a node in the order they were started")
async def _control_in_order(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        calls: list[Awaitable[object]] = []
        for number in range(1, 101):
            calls.append(nodes.n1.append_entries("n2", heartbeat(number)))
            calls.append(nodes.n1.request_vote("n2", vote(number)))
        await soon(asyncio.gather(*calls), "the answers")
        expected = [request for number in range(1, 101) for request in (heartbeat(number), vote(number))]
        assert nodes.handler2.received == expected


@SUITE.case("answers given in reverse order reach the calls they belong to")
async def _reverse_order(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        calls = await start(*(nodes.n1.append_entries("n2", append(number)) for number in range(1, 11)))
        await until(lambda: len(nodes.handler2.held) == len(calls), "all requests are delivered before any answer")
        for reply in reversed(nodes.handler2.held):
            reply()
        responses = await soon(asyncio.gather(*calls), "the answers")
        assert responses == [answer(append(number), 2) for number in range(1, 11)], responses


@SUITE.case("a heartbeat is answered while calls with entries wait for their answers")
async def _heartbeat_first(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda request: isinstance(request, AppendEntriesRequest) and bool(request.entries)
        waiting = await start(*(nodes.n1.append_entries("n2", append(number)) for number in range(1, 11)))
        response = await soon(nodes.n1.append_entries("n2", heartbeat(3)), "the heartbeat's answer")
        assert response == answer(heartbeat(3), 2)
        assert not any(call.done() for call in waiting)
        await give_up(waiting)


# -- deadlines and isolation


@SUITE.case("a call that is never answered raises Unreachable within the deadline")
async def _deadline(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        within_s = subject.call_timeout_s + PATIENCE_S
        what = "a call without an answer raises"
        await asyncio.gather(*(raises(call, (Unreachable,), what, within_s) for call in _calls_to_n2(nodes)))


@SUITE.case("a node that hangs delays no call to another")
async def _isolation(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        hung = await start(*(nodes.n1.append_entries("n2", append(number)) for number in range(1, 51)))
        hung += await start(*(nodes.n1.append_entries("n2", heartbeat(number)) for number in range(1, 51)))
        # All at once: one after the other, fifty trips on a busy machine outlast the calls that hang.
        served = [nodes.n1.append_entries("n3", append(number)) for number in range(1, 51)]
        served += [nodes.n1.append_entries("n3", heartbeat(number)) for number in range(1, 51)]
        await soon(asyncio.gather(*served), "n3's answers")
        assert not any(call.done() for call in hung), "n3 was served only after the calls to n2 had ended"
        await give_up(hung)


@SUITE.case("a call that is cancelled after its first step still reaches the node")
async def _cancelled_arrives(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        await give_up(await start(nodes.n1.append_entries("n2", append(1))))
        await until(lambda: nodes.handler2.received == [append(1)], "the request arrives all the same")


@SUITE.case("cancelling a call disturbs no other")
async def _cancelled_alone(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        calls = await start(*(nodes.n1.append_entries("n2", append(number)) for number in (1, 2, 3)))
        await until(lambda: len(nodes.handler2.held) == len(calls), "the requests are delivered")
        await give_up([calls[1]])
        for reply in nodes.handler2.held:
            reply()
        responses = await soon(asyncio.gather(calls[0], calls[2]), "the other answers")
        assert [*responses] == [answer(append(1), 2), answer(append(3), 2)], responses


# -- coming and going


@SUITE.case("a call to a node that is down raises Unreachable")
async def _down(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        await nodes.n2.aclose()
        within_s = subject.call_timeout_s + PATIENCE_S
        for call in _calls_to_n2(nodes):
            await raises(call, (Unreachable,), "a call to nobody raises", within_s)


@SUITE.case("a node that was down is reached again once it is back")
async def _back_again(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        await nodes.n2.aclose()
        within_s = subject.call_timeout_s + PATIENCE_S
        for call in _calls_to_n2(nodes):
            await raises(call, (Unreachable,), "a call to nobody raises", within_s)
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
        await until(lambda: not nodes.n1.link("n2").connected, "n1 notices that n2 is gone")
        assert nodes.n1.link("n3").connected


@SUITE.case("closing a network ends its outstanding calls with Unreachable")
async def _close_ends_calls(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        nodes.handler2.holds = lambda _: True
        calls = await start(*(nodes.n1.append_entries("n2", append(number)) for number in (1, 2)))
        await until(lambda: len(nodes.handler2.held) == len(calls), "the requests are delivered")
        await soon(nodes.n1.aclose(), "the network closes")
        outcomes = await soon(asyncio.gather(*calls, return_exceptions=True), "outstanding calls end")
        assert all(isinstance(outcome, Unreachable) for outcome in outcomes), outcomes


@SUITE.case("a network may be closed twice")
async def _close_twice(subject: NetworkSubject) -> None:
    async with trio(subject) as nodes:
        await soon(nodes.n1.aclose(), "the network closes")
        await soon(nodes.n1.aclose(), "the network closes again")


@SUITE.case("start raises OSError when another network has the address")
async def _address_in_use(subject: NetworkSubject) -> None:
    async with trio(subject):
        second = subject.network("n1")
        try:
            await raises(lambda: second.start(RecordingHandler(1)), (OSError,), "a second n1 starts")
        finally:
            await second.aclose()
