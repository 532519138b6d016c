"""Clauses 4.5.3, 7.6 and 7.7: what is bounded, tried where the bounds can be set: on a node of ours, with low ones."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from raftsdk.messages import MessageKind, ProposeRequest, StatusRequest
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.own import Holding
from raftsdk.testing.conformance.links.stranger import frame, hello_body
from raftsdk.testing.conformance.links.subject import LinkTarget
from raftsdk.testing.suite import Suite
from raftsdk.wire.frame import WireKind

LIMITS: Final[Suite[LinkTarget]] = Suite("limits")

_IDLE_MS: Final = 300
_MIB: Final = 1024 * 1024


@LIMITS.case("of too many connections without a hello, the oldest gives way", "4.5.3")
async def _half_open(target: LinkTarget) -> None:
    # A time limit that is out of reach: it must not be what closes them.
    async with target.reached(max_half_open_connections=2, handshake_timeout_ms=60_000) as node:
        async with node.dialed() as oldest, node.dialed() as second:
            await oldest.hears_nothing("there is room for two", for_s=0.05)
            async with node.dialed() as newest:
                await oldest.is_closed("a third connection without a hello")
                await second.hears_nothing("it is not the oldest", for_s=0.05)
                answer = await newest.say_hello(codecs=list(target.codecs))
                if answer["answer"] != "accepted":
                    raise Mismatch("the newest of three", expected="an acceptance", found=str(answer))
        await node.serves_on("half_open_limit")


@LIMITS.case("a connection that brings no whole frame for idle_timeout_ms is closed", "7.6.1")
async def _idle(target: LinkTarget) -> None:
    async with target.reached(idle_timeout_ms=_IDLE_MS) as node:
        async with node.agreed() as agreed:
            if agreed.answer["idle_timeout_ms"] != _IDLE_MS:
                raise Mismatch("the limit is told", expected=str(_IDLE_MS), found=str(agreed.answer))
            await agreed.stranger.is_closed("a silence beyond idle_timeout_ms")
        await node.serves_on("idle")


@LIMITS.case("half a frame followed by silence is closed likewise", "7.6.1")
async def _half_a_frame(target: LinkTarget) -> None:
    async with target.reached(idle_timeout_ms=_IDLE_MS) as node:
        async with node.raw() as stranger:
            await stranger.send(frame(WireKind.HELLO, hello_body(codecs=list(target.codecs))))
            await stranger.frame("the answer to the hello")
            await stranger.send(frame(WireKind.KEEP_ALIVE, bytes(100))[:60])
            await stranger.to_the_end("half a frame, and no more")
        await node.serves_on("idle")


@LIMITS.case("keep-alives keep a connection up for as long as they come", "7.6.2")
async def _kept_alive(target: LinkTarget) -> None:
    async with target.reached(idle_timeout_ms=_IDLE_MS) as node, node.agreed() as agreed:
        for _ in range(12):
            await asyncio.sleep(_IDLE_MS / 6 / 1000)
            agreed.stranger.send(frame(WireKind.KEEP_ALIVE))
        await agreed.asks_status()


@LIMITS.case("too many unanswered requests are answered overloaded, and the connection lives", "7.7.1")
async def _calls(target: LinkTarget) -> None:
    handler = Holding()
    async with target.reached(handler, max_calls_per_connection=4) as node, node.agreed() as agreed:
        body = agreed.codec.encode(StatusRequest())
        agreed.stranger.send(*(frame(MessageKind.STATUS_REQUEST, body, call_id=call_id) for call_id in range(1, 7)))
        await agreed.is_error("overloaded", 5)
        await agreed.is_error("overloaded", 6)
        if len(handler.delivered) != 4:
            raise Mismatch("of 6 requests, with room for 4", expected="4 delivered", found=str(len(handler.delivered)))
        handler.release()
        for call_id in (4, 3, 2, 1):
            await agreed.is_answered(MessageKind.STATUS_RESPONSE, call_id)


@LIMITS.case("a stranger who does not read its responses is closed", "7.7.2")
async def _slow_reader(target: LinkTarget) -> None:
    async with target.reached(max_unsent_bytes=_MIB) as node, node.agreed(max_frame_bytes=8 * _MIB) as agreed:
        body = agreed.codec.encode(ProposeRequest(command=bytes(_MIB)))
        for call_id in range(1, 65):  # as much as a system may keep in its own buffers, and more
            agreed.stranger.send(frame(MessageKind.PROPOSE_REQUEST, body, call_id=call_id))
            await asyncio.sleep(0)
        await node.counted("slow_reader")
        await node.serves_on()


@LIMITS.case("a connection that reads nothing delays no other", "2.1.6")
async def _hung(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as hung:
        status = hung.codec.encode(StatusRequest())
        hung.stranger.send(*(frame(MessageKind.STATUS_REQUEST, status, call_id=number) for number in range(1, 3_000)))
        for _ in range(5):
            await node.serves_on()


@LIMITS.case("connections that say nothing delay no other", "7.7.3")
async def _silent(target: LinkTarget) -> None:
    async with target.reached() as node, AsyncExitStack() as connections:
        for _ in range(20):
            await connections.enter_async_context(node.dialed())
            await connections.enter_async_context(node.agreed())
        await node.serves_on()
