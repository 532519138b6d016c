"""Clauses 16.4 to 16.6: the vectors of frames, packed frames and hellos, each a case of its own."""

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from raftsdk.testing.conformance import vectors
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.hellos import is_no_hello
from raftsdk.testing.conformance.links.negotiation import named_codec
from raftsdk.testing.conformance.links.own import over_tls
from raftsdk.testing.conformance.links.packing import with_packing
from raftsdk.testing.conformance.links.stranger import frame
from raftsdk.testing.conformance.links.subject import Agreed, LinkTarget
from raftsdk.testing.conformance.vectors import FrameVector, HelloVector, PackedParts, PackVector
from raftsdk.testing.suite import Case
from raftsdk.types import Identity
from raftsdk.wire.frame import Flags, WireKind
from raftsdk.wire.hello import GROUPS

_LIMIT_BYTES: Final = 8_388_608
"""What the receiver of clause 16.4 takes."""

_SPOKEN: Final = {"min": 1, "max": 1}

_Check: TypeAlias = Callable[[LinkTarget], Coroutine[Any, Any, None]]


def cases(target: LinkTarget) -> list[Case[LinkTarget]]:
    """A case for each vector that the node can be tried on: it speaks version 1 and has no features; a live one has its
    own ids and codecs; and where certificates prove who somebody is, the vectors say nothing (16.5.1).
    """
    ours = not target.live and not over_tls(f"{target.scheme}://")
    of_frames = [Case(f"frame: {each.name}", _frame_check(each), each.clause) for each in vectors.frames()]
    of_packs = [Case(f"pack: {each.name}", _pack_check(each), each.clause) for each in vectors.packs()]
    of_hellos = [
        Case(f"hello: {each.name}", _hello_check(each), each.clause)
        for each in vectors.hellos()
        if each.violation or (ours and each.node["protocol"] == _SPOKEN and not each.node["features"])
    ]
    return [*of_frames, *of_packs, *of_hellos]


def _frame_check(vector: FrameVector) -> _Check:
    async def check(target: LinkTarget) -> None:
        data = bytes.fromhex(vector.bytes)
        async with target.reached() as node:
            async with node.agreed(max_frame_bytes=_LIMIT_BYTES) as agreed:
                agreed.stranger.send(data)
                parts = vector.frame
                if parts is None:
                    await agreed.stranger.is_closed(f"{vector.violation}: {vector.name}")
                elif parts.kind == WireKind.KEEP_ALIVE and not parts.flags:
                    await agreed.asks_status()
                elif parts.flags or parts.kind in (WireKind.HELLO, WireKind.HELLO_ANSWER):  # sound, and not due here
                    await agreed.stranger.is_closed("unexpected_kind")
                else:
                    answer = await agreed.stranger.frame("the answer to a sound frame")
                    if (answer.call_id, answer.flags & Flags.RESPONSE) != (parts.call_id, Flags.RESPONSE):
                        raise Mismatch(
                            "no answer to this frame", data=data, expected=f"a response to call {parts.call_id}",
                            found=f"flags {answer.flags:#04x}, call {answer.call_id}",
                        )  # fmt: skip
            await node.serves_on()
            if vector.violation:
                await node.counted(vector.violation, data=data)

    return check


def _pack_check(vector: PackVector) -> _Check:
    beside = [GROUPS] if any(each.group for each in vector.messages) else []

    async def check(target: LinkTarget) -> None:
        data = bytes.fromhex(vector.bytes)
        async with target.reached() as node:
            async with with_packing(node, *beside) as agreed:
                agreed.stranger.send(data)
                first = vector.messages[0] if vector.messages else None
                if first is None:
                    await agreed.stranger.is_closed(f"{vector.violation}: {vector.name}")
                elif first.kind == WireKind.KEEP_ALIVE:
                    await agreed.asks_status()
                elif first.flags:  # sound, and not due here
                    await agreed.stranger.is_closed("unexpected_kind")
                else:
                    await _is_answered(agreed, data, vector.messages)
            await node.serves_on()
            if vector.violation:
                await node.counted(vector.violation, data=data)

    return check


async def _is_answered(agreed: Agreed, data: bytes, messages: list[PackedParts]) -> None:
    """Each of these messages, which came as `data`, is answered once, from its group."""
    due = sorted((each.call_id, each.group, Flags.RESPONSE) for each in messages)
    found = []
    for _ in messages:
        answer = await agreed.stranger.frame("the answer to a sound message")
        found.append((answer.call_id, answer.group, answer.flags & Flags.RESPONSE))
    if sorted(found) != due:
        raise Mismatch("no answer to each message", data=data, expected=str(due), found=str(sorted(found)))


def _hello_check(vector: HelloVector) -> _Check:
    async def check(target: LinkTarget) -> None:
        if vector.violation:
            async with target.reached() as node:
                await is_no_hello(node, vector.hello.encode("utf-8", "surrogatepass"))
                await node.serves_on(vector.violation)
            return
        terms = vector.node
        codecs = {name: named_codec(name) for name in terms["codecs"]}
        identity = Identity(cluster_id=terms["cluster_id"], node_id=terms["node_id"])
        limits = {name: terms[name] for name in ("max_frame_bytes", "idle_timeout_ms")}
        async with target.reached(identity=identity, codecs=codecs, **limits) as node, node.dialed() as stranger:
            stranger.send(frame(WireKind.HELLO, vector.hello.encode()))
            answer = await stranger.answer()
        found = {name: value for name, value in answer.items() if name != "message"}
        due = vector.answer
        if found != due:
            raise Mismatch(
                "another answer than the vector's", data=vector.hello.encode(), expected=str(due), found=str(found)
            )

    return check
