"""Clause 7: requests and responses, in one codec."""

from random import Random
from typing import Final
from unittest import SkipTest

from raftsdk.errors import DecodeError
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    MessageKind,
    ProposeRequest,
    RequestVoteResponse,
    StatusRequest,
)
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.identity import vote
from raftsdk.testing.conformance.links.own import PEER, Canned, Holding
from raftsdk.testing.conformance.links.stranger import frame, hello_body
from raftsdk.testing.conformance.links.subject import Agreed, LinkTarget
from raftsdk.testing.suite import Suite
from raftsdk.types import Entry
from raftsdk.wire.frame import Flags, WireKind

CALLS: Final[Suite[LinkTarget]] = Suite("calls")

_UNKNOWN_KINDS: Final = (0x00, 0x0E, 0x1E, 0x2E, 0x80, 0xFE, 0xFF, MessageKind.ERROR, MessageKind.STATUS_RESPONSE)


def _append(number: int, count: int = 0) -> AppendEntriesRequest:
    return AppendEntriesRequest(
        term=1, leader_id=PEER, prev_log_index=number, prev_log_term=min(number, 1), leader_commit=0,
        entries=[Entry(1, 1, bytes(range(256)))] * count,
    )  # fmt: skip


# -- requests and responses


@CALLS.case("every request is answered once, in this codec", "7.1.2")
async def _answered(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as agreed:
        for call_id in range(1, 11):
            await agreed.asks_status(call_id)
        await agreed.stranger.hears_nothing("every request was answered")


@CALLS.case("a vote is answered in this codec, and refused to whom no membership names", "7.1.2")
async def _vote(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed_as_peer() as peer:
        response = await peer.asks(vote())
        if not isinstance(response, RequestVoteResponse) or response.vote_granted:
            raise Mismatch("a pre-vote of a stranger, for term 1", expected="a refused vote", found=repr(response))


@CALLS.case("64 entries are answered in this codec", "7.1.2")
async def _entries(target: LinkTarget) -> None:
    if target.live:
        raise SkipTest("term 1 need not be over on a live node, and the kit changes nothing")
    async with target.reached() as node, node.agreed_as_peer() as peer:
        response = await peer.asks(_append(0, 64))
        if not isinstance(response, AppendEntriesResponse):
            raise Mismatch("64 entries", expected="an AppendEntriesResponse", found=repr(response)[:300])


@CALLS.case("calls of several connections have nothing to do with each other", "7.2.1")
async def _connections(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as first, node.agreed() as second:
        await first.asks_status(1)
        await second.asks_status(1)
        first.stranger.leave()
        await second.asks_status(2)


@CALLS.case("the id of a request that is still unanswered closes", "7.2.2")
async def _duplicate(target: LinkTarget) -> None:
    async with target.reached(Holding()) as node:
        async with node.agreed() as agreed:
            agreed.stranger.send(*_statuses(agreed, 1, 2, 1))
            await agreed.stranger.is_closed("call 1 began again before it was answered")
        await node.counted("duplicate_call")


@CALLS.case("the id of a request that was answered may be used again", "7.2.2")
async def _again(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as agreed:
        for _ in range(3):
            await agreed.asks_status(7)


@CALLS.case("requests of one connection are delivered in their order", "7.3.1")
async def _order(target: LinkTarget) -> None:
    handler = Canned()
    async with target.reached(handler) as node, node.agreed_as_peer() as peer:
        sent = [_append(number) for number in range(300)]
        frames = [
            frame(MessageKind.APPEND_ENTRIES_REQUEST, peer.codec.encode(request), call_id=call_id)
            for call_id, request in enumerate(sent, start=1)
        ]
        peer.stranger.send(*frames)
        for _ in sent:
            await peer.response(MessageKind.APPEND_ENTRIES_RESPONSE)
        if handler.delivered != sent:
            raise AssertionError("300 requests were delivered, and not in the order in which they were sent")


@CALLS.case("answers find their calls in whatever order they come", "7.3.1")
async def _any_order(target: LinkTarget) -> None:
    handler = Holding()
    async with target.reached(handler) as node, node.agreed() as agreed:
        commands = {call_id: b"command %d" % call_id for call_id in range(1, 9)}
        for call_id, command in commands.items():
            body = agreed.codec.encode(ProposeRequest(command=command))
            agreed.stranger.send(frame(MessageKind.PROPOSE_REQUEST, body, call_id=call_id))
        await agreed.stranger.hears_nothing("the node holds its answers")
        handler.release()
        for _ in commands:
            call_id, response = await agreed.response(MessageKind.PROPOSE_RESPONSE)
            result = getattr(response, "result", b"")
            if result != commands[call_id]:
                raise Mismatch(f"call {call_id}", data=result, reference=commands[call_id])


def _statuses(agreed: Agreed, *call_ids: int) -> list[bytes]:
    body = agreed.codec.encode(StatusRequest())
    return [frame(MessageKind.STATUS_REQUEST, body, call_id=call_id) for call_id in call_ids]


# -- keep-alive


@CALLS.case("a keep-alive is not answered, whatever is in it", "7.6.2")
async def _keep_alive(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as agreed:
        agreed.stranger.send(frame(WireKind.KEEP_ALIVE), frame(WireKind.KEEP_ALIVE, b"later", call_id=9))
        await agreed.stranger.hears_nothing("keep-alives are not answered")
        await agreed.asks_status(9)


# -- kinds


@CALLS.case("a kind that nobody knows is answered unsupported, and the connection lives", "7.8.1")
async def _unknown_kind(target: LinkTarget) -> None:
    async with target.reached() as node:
        for reached in (node.agreed(), node.agreed_as_peer()):
            async with reached as agreed:
                for call_id, kind in enumerate(_UNKNOWN_KINDS, start=1):
                    agreed.stranger.send(frame(kind, b"whatever it means", call_id=call_id))
                    await agreed.is_error("unsupported", call_id)
        await node.serves_on()


@CALLS.case("a hello, or an answer to one, where a request is due closes", "7.8.1")
async def _second_hello(target: LinkTarget) -> None:
    async with target.reached() as node:
        for kind in (WireKind.HELLO, WireKind.HELLO_ANSWER):
            async with node.agreed() as agreed:
                agreed.stranger.send(frame(kind, hello_body()))
                await agreed.stranger.is_closed("a second hello")
        await node.serves_on("unexpected_kind")


@CALLS.case("a response where a request is due closes, of whatever kind", "7.8.1")
async def _unasked(target: LinkTarget) -> None:
    async with target.reached() as node:
        for flags in (Flags.RESPONSE, Flags.RESPONSE | Flags.ERROR):
            for kind in (MessageKind.STATUS_RESPONSE, MessageKind.STATUS_REQUEST, WireKind.KEEP_ALIVE, 0x7F):
                async with node.agreed() as agreed:
                    agreed.stranger.send(frame(kind, b"", flags=flags, call_id=1))
                    await agreed.stranger.is_closed("a response that nobody asked for")
        await node.serves_on("unexpected_kind")


@CALLS.case("a request that cannot be decoded is answered bad_request, and the connection lives", "7.8.4")
async def _bad_request(target: LinkTarget) -> None:
    chance = Random(7)
    async with target.reached() as node, node.agreed() as agreed:
        bodies = [bytes([first]) + chance.randbytes(40) for first in range(0, 256, 15)]
        for call_id, body in enumerate((b"\xc1" * 1_000, *bodies), start=1):
            try:
                agreed.codec.decode(MessageKind.PROPOSE_REQUEST, body)
            except DecodeError:
                agreed.stranger.send(frame(MessageKind.PROPOSE_REQUEST, body, call_id=call_id))
                await agreed.is_error("bad_request", call_id)
        await agreed.asks_status(1_000)


@CALLS.case("a request is judged by its call, its kind, its decoding and its sender, in this order", "7.8.5")
async def _judged(target: LinkTarget) -> None:
    nonsense = b"\xc1" * 50
    async with target.reached(Holding(), max_calls_per_connection=1) as node:
        async with node.agreed() as client:
            client.stranger.send(frame(MessageKind.REQUEST_VOTE_REQUEST, nonsense, call_id=1))
            await client.is_error("wrong_identity", 1)
            client.stranger.send(*_statuses(client, 2), frame(0x7E, nonsense, call_id=3))
            await client.is_error("unsupported", 3)
            client.stranger.send(frame(MessageKind.PROPOSE_REQUEST, nonsense, call_id=4))
            await client.is_error("overloaded", 4)
            client.stranger.send(frame(0x7E, nonsense, call_id=2))
            await client.stranger.is_closed("a call of an unknown kind that began again before it was answered")
        await node.counted("duplicate_call")
