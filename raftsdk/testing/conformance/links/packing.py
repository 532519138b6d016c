"""Clause 3.11: packed frames, where both sides take them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeAlias
from unittest import SkipTest

from raftsdk.messages import ErrorResponse, MessageKind, ProposeRequest, ProposeResponse, Response, StatusRequest
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links import stranger as strangers
from raftsdk.testing.conformance.links.host import Dialing, Guest, dialing, has_no_answer, next_request
from raftsdk.testing.conformance.links.own import Canned, Holding
from raftsdk.testing.conformance.links.stranger import frame, hello_body, packed
from raftsdk.testing.conformance.links.subject import Agreed, LinkTarget, Reached
from raftsdk.testing.suite import Suite
from raftsdk.wire.frame import ERROR_RESPONSE, MAX_CALL_ID, Flags, WireKind
from raftsdk.wire.hello import GROUPS
from raftsdk.wire.hello import PACKING as FEATURE

PACKING: Final[Suite[LinkTarget]] = Suite("packing")

_NOBODYS_GROUP: Final = 3_999_999_979
_NOBODYS_KIND: Final = 0x7E
_NONSENSE: Final = b"\xc1" * 50

_Making: TypeAlias = Callable[[bytes], bytes]


def _body(*bodies: bytes) -> bytes:
    """What a packed frame with these messages has behind its header."""
    return b"".join(len(each).to_bytes(4, "big") + each for each in bodies)


def _copies(count: int, sound: bytes) -> bytes:
    """What it has with one message so many times."""
    return _body(*[sound] * count)


_BREAKING_OFF: Final[tuple[tuple[str, _Making], ...]] = (
    ("half a length", lambda _: bytes(2)),
    ("a length and no body", lambda _: b"\0\0\0\x09"),
    ("a byte missing at its end", lambda sound: _body(sound, sound)[:-1]),
    ("a length of 2^32-1", lambda sound: _body(sound) + b"\xff\xff\xff\xff" + sound),
    ("a byte left over behind the last message", lambda sound: _body(sound, sound) + bytes(1)),
    ("three bytes left over behind the last message", lambda sound: _body(sound, sound) + bytes(3)),
)
"""What is no pack, for whatever message is a sound one: in some codecs it has no bytes."""


@asynccontextmanager
async def with_packing(node: Reached, *beside: str) -> AsyncIterator[Agreed]:
    """A connection on which packing is agreed on, and the features `beside` it. Skips the case where the node lacks
    one of them.
    """
    features = {FEATURE, *beside}
    async with node.agreed(features=sorted(features)) as agreed:
        found = set(agreed.answer.get("features", []))
        if FEATURE not in found:
            raise SkipTest("it packs nothing")
        if found != features:
            raise SkipTest(f"it has not all of the features {', '.join(sorted(features))}")
        agreed.stranger.packing = True
        agreed.stranger.groups = GROUPS in found
        yield agreed


async def _answers(agreed: Agreed, kind: MessageKind, *call_ids: int) -> dict[int, Response]:
    """The responses to these calls, one to each, of that kind or errors: in whatever order, and in whatever frames."""
    found: dict[int, Response] = {}
    for _ in call_ids:
        call_id, response = await agreed.response(kind)
        if call_id not in call_ids or call_id in found:
            due = [each for each in call_ids if each not in found]
            raise Mismatch("answered under another call id", expected=f"one of {due[:9]}", found=f"call id {call_id}")
        found[call_id] = response
    return found


def _codes(answers: dict[int, Response]) -> dict[int, str]:
    """The errors among them."""
    return {call_id: each.code for call_id, each in answers.items() if isinstance(each, ErrorResponse)}


async def _are_unsupported(agreed: Agreed, *call_ids: int) -> None:
    """Each of these calls is answered once, with that error."""
    codes = _codes(await _answers(agreed, MessageKind.ERROR, *call_ids))
    if set(codes.values()) != {"unsupported"}:
        raise Mismatch("a kind that nobody knows", expected="the error unsupported", found=str(set(codes.values())))


def _statuses(agreed: Agreed, count: int, **changes: int) -> bytes:
    """As many requests for the status, in one frame."""
    return packed(MessageKind.STATUS_REQUEST, *[agreed.codec.encode(StatusRequest())] * count, **changes)


# -- what a pack stands for


@PACKING.case("each message of a packed request is answered under its own call id", "3.11.1")
async def _own_ids(target: LinkTarget) -> None:
    async with target.reached() as node, with_packing(node) as agreed:
        for first in (1, 7, 4_000_000_000):
            agreed.stranger.send(_statuses(agreed, 3, call_id=first))
            await _answers(agreed, MessageKind.STATUS_RESPONSE, first, first + 1, first + 2)
        await agreed.stranger.hears_nothing("each was answered once")


@PACKING.case("packed requests are delivered in their order, each with its own body", "3.11.1")
async def _order(target: LinkTarget) -> None:
    handler = Canned()
    async with target.reached(handler) as node, with_packing(node) as agreed:
        sent = [ProposeRequest(command=b"command %d" % number * (number % 7)) for number in range(300)]
        agreed.stranger.send(packed(MessageKind.PROPOSE_REQUEST, *map(agreed.codec.encode, sent), call_id=1))
        found = await _answers(agreed, MessageKind.PROPOSE_RESPONSE, *range(1, 301))
        if handler.delivered != sent:
            raise AssertionError("300 requests were packed, and not delivered in the order in which they were")
        _are_echoes(found, sent)


def _are_echoes(found: dict[int, Response], sent: list[ProposeRequest]) -> None:
    """Each of the calls 1, 2, 3 … got the result that is due to the request which was sent as that one."""
    for call_id, request in enumerate(sent, start=1):
        result = getattr(found[call_id], "result", b"")
        if result != request.command:
            raise Mismatch(f"call {call_id}", data=result, reference=request.command)


@PACKING.case("the messages of a packed request are for its group, each of them", "3.11.1")
async def _group(target: LinkTarget) -> None:
    async with target.reached() as node, with_packing(node, GROUPS) as agreed:
        agreed.stranger.send(_statuses(agreed, 3, call_id=1, group=_NOBODYS_GROUP))
        for _ in range(3):
            _, response = await agreed.response(MessageKind.ERROR)
            found = getattr(response, "code", ""), agreed.stranger.last_group
            if found != ("unknown_group", _NOBODYS_GROUP):
                raise Mismatch("of a group that is not served", expected="unknown_group, from it", found=str(found))


@PACKING.case("1 message in a pack is served, and so are 1,024", "3.11.3")
async def _bounds(target: LinkTarget) -> None:
    async with target.reached() as node, with_packing(node) as agreed:
        for count in (1, 2, 1_024):
            agreed.stranger.send(packed(_NOBODYS_KIND, *[b""] * count, call_id=1))
            await _are_unsupported(agreed, *range(1, count + 1))


@PACKING.case("call ids of a pack may end at 4,294,967,295", "3.11.3")
async def _last_ids(target: LinkTarget) -> None:
    async with target.reached() as node, with_packing(node) as agreed:
        agreed.stranger.send(_statuses(agreed, 3, call_id=MAX_CALL_ID - 2))
        await _answers(agreed, MessageKind.STATUS_RESPONSE, *range(MAX_CALL_ID - 2, MAX_CALL_ID + 1))


# -- what is no pack


async def _is_no_pack(target: LinkTarget, why: str, making: _Making, call_id: int = 1, **wrong: int) -> None:
    """A packed request with that body closes, nothing of it is delivered, and others are served on."""
    handler = None if target.live else Canned()
    async with target.reached(handler) as node:
        async with with_packing(node) as agreed:
            body = making(agreed.codec.encode(StatusRequest()))
            asking = {"kind": MessageKind.STATUS_REQUEST, "flags": Flags.PACKED, "call_id": call_id, **wrong}
            agreed.stranger.send(frame(body=body, **asking))
            await agreed.stranger.is_closed(f"a packed frame with {why}")
        if handler is not None and handler.delivered:
            raise AssertionError(f"of a packed frame with {why}, delivered all the same: {handler.delivered[:3]}")
        await node.serves_on("bad_pack")


@PACKING.case("a pack without a message closes", "3.11.4")
async def _empty(target: LinkTarget) -> None:
    await _is_no_pack(target, "no message", partial(_copies, 0))


@PACKING.case("a pack that breaks off, or has bytes left over, closes, and nothing of it is delivered", "3.11.4")
async def _broken_off(target: LinkTarget) -> None:
    for why, making in _BREAKING_OFF:
        await _is_no_pack(target, why, making)


@PACKING.case("a pack of more than 1,024 messages closes, and nothing of it is delivered", "3.11.3")
async def _too_many(target: LinkTarget) -> None:
    for count in (1_025, 5_000):
        await _is_no_pack(target, f"{count} messages", partial(_copies, count))


@PACKING.case("a pack whose call ids go beyond 4,294,967,295 closes, and nothing of it is delivered", "3.11.3")
async def _beyond_the_last_id(target: LinkTarget) -> None:
    for call_id in (MAX_CALL_ID, MAX_CALL_ID - 1):
        await _is_no_pack(target, "call ids beyond the last", lambda sound: _body(sound, sound, sound), call_id)


@PACKING.case("what is packed is judged before the kind", "3.9.4")
async def _judged_first(target: LinkTarget) -> None:
    for wrong in ({"kind": WireKind.HELLO}, {"flags": Flags.RESPONSE | Flags.PACKED}):
        await _is_no_pack(target, "a byte left over, and no request", lambda sound: _body(sound) + bytes(1), **wrong)


@PACKING.case("a packed frame closes where packing was not agreed on", "3.5.2")
async def _not_agreed(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.dialed() as stranger:
            stranger.send(packed(WireKind.HELLO, hello_body(codecs=list(target.codecs), features=[FEATURE])))
            await stranger.is_closed("a packed hello")
        for features in ([], [GROUPS, "zz-later"]):
            async with node.agreed(features=features) as agreed:
                agreed.stranger.send(_statuses(agreed, 2, call_id=1))
                await agreed.stranger.is_closed(f"a packed frame, where of {features} none is packing")
        await node.serves_on("bad_flags")


@PACKING.case("flags beside PACKED that are not allowed without it close, too", "3.5.2")
async def _flags(target: LinkTarget) -> None:
    async with target.reached() as node:
        for flags in (Flags.ERROR, Flags.COMPRESSED, Flags.RESPONSE | Flags.COMPRESSED, 0x10, 0xF0):
            async with with_packing(node) as agreed:
                agreed.stranger.send(_statuses(agreed, 2, call_id=1, flags=flags))
                await agreed.stranger.is_closed(f"flags {flags | Flags.PACKED:#04x}")
        await node.serves_on("bad_flags")


# -- each as if it had come alone


@PACKING.case("answers to packed requests find their calls, whatever frames they come in", "3.11.4")
async def _any_frames(target: LinkTarget) -> None:
    handler = Holding()
    async with target.reached(handler) as node, with_packing(node) as agreed:
        sent = [ProposeRequest(command=b"command %d" % number) for number in range(8)]
        agreed.stranger.send(packed(MessageKind.PROPOSE_REQUEST, *map(agreed.codec.encode, sent), call_id=1))
        await agreed.stranger.hears_nothing("the node holds its answers")
        handler.release()
        _are_echoes(await _answers(agreed, MessageKind.PROPOSE_RESPONSE, *range(1, 9)), sent)


@PACKING.case("an unknown kind that comes packed is answered unsupported for each, and the connection lives", "3.11.4")
async def _unknown_kind(target: LinkTarget) -> None:
    async with target.reached() as node, with_packing(node) as agreed:
        agreed.stranger.send(packed(_NOBODYS_KIND, b"whatever", b"", b"it means", call_id=5))
        await _are_unsupported(agreed, 5, 6, 7)
        await agreed.asks_status(8)


@PACKING.case("a pack counts message by message against the limit of unanswered requests", "3.11.4")
async def _calls(target: LinkTarget) -> None:
    handler = Holding()
    async with target.reached(handler, max_calls_per_connection=4) as node, with_packing(node) as agreed:
        agreed.stranger.send(_statuses(agreed, 6, call_id=1))
        codes = _codes(await _answers(agreed, MessageKind.ERROR, 5, 6))
        if codes != {5: "overloaded", 6: "overloaded"}:
            raise Mismatch("of 6 requests, with room for 4", expected="overloaded for 5 and 6", found=str(codes))
        if len(handler.delivered) != 4:
            raise Mismatch("of 6 requests, with room for 4", expected="4 delivered", found=str(len(handler.delivered)))
        handler.release()
        await _answers(agreed, MessageKind.STATUS_RESPONSE, 1, 2, 3, 4)


@PACKING.case("a message of a pack whose id is that of an unanswered request closes", "3.11.4")
async def _id_in_use(target: LinkTarget) -> None:
    async with target.reached(Holding()) as node:
        async with with_packing(node) as agreed:
            agreed.stranger.send(_statuses(agreed, 2, call_id=2))
            await agreed.stranger.hears_nothing("the node holds its answers")
            agreed.stranger.send(_statuses(agreed, 2, call_id=1))
            await agreed.stranger.is_closed("a call that began again, in a pack, before it was answered")
        await node.counted("duplicate_call")


@PACKING.case("of packed requests one that cannot be decoded is answered bad_request, and the others served", "3.11.4")
async def _bad_request(target: LinkTarget) -> None:
    async with target.reached() as node, with_packing(node) as agreed:
        sound = agreed.codec.encode(StatusRequest())
        agreed.stranger.send(packed(MessageKind.STATUS_REQUEST, sound, _NONSENSE, sound, call_id=1))
        found = _codes(await _answers(agreed, MessageKind.STATUS_RESPONSE, 1, 2, 3))
        if found.get(2) != "bad_request" or "bad_request" in (found.get(1), found.get(3)):
            raise Mismatch("the second of three is nonsense", expected="bad_request for call 2 alone", found=str(found))


@PACKING.case("packed keep-alives are ignored like one alone", "3.11.4")
async def _keep_alives(target: LinkTarget) -> None:
    async with target.reached() as node, with_packing(node) as agreed:
        agreed.stranger.send(packed(WireKind.KEEP_ALIVE, b"", b"later", b""), packed(WireKind.KEEP_ALIVE, b""))
        await agreed.stranger.hears_nothing("keep-alives are not answered")
        await agreed.asks_status()


@PACKING.case("a packed response, or a packed hello, where requests are due closes", "3.11.4")
async def _not_due(target: LinkTarget) -> None:
    async with target.reached() as node:
        for kind, flags in (
            (MessageKind.STATUS_RESPONSE, Flags.RESPONSE),
            (MessageKind.ERROR, ERROR_RESPONSE),
            (WireKind.KEEP_ALIVE, Flags.RESPONSE),
            (WireKind.HELLO, 0),
        ):
            async with with_packing(node) as agreed:
                agreed.stranger.send(packed(kind, b"", b"", flags=flags, call_id=1))
                await agreed.stranger.is_closed(f"kind {kind:#04x} with flags {flags:#04x}, packed")
        await node.serves_on("unexpected_kind")


PACKING_DIALERS: Final[Suite[LinkTarget]] = Suite("packing, dialing")

_DONE: Final = ProposeResponse(index=1, result=b"done")


async def _with_packing(dialer: Dialing) -> Guest:
    """Its next connection, on which packing is agreed on. Skips the case where the dialer does not offer it."""
    guest = await dialer.guest()
    hello = await guest.says_hello()
    if FEATURE not in hello.get("features", []):
        raise SkipTest("it packs nothing")
    guest.send(guest.answer_frame(features=[FEATURE]))
    guest.packing = True
    await dialer.is_connected()
    return guest


async def _two_calls(dialer: Dialing, guest: Guest) -> tuple[list[asyncio.Future[Response]], int]:
    """Two calls of the same moment, and the id of the first."""
    calling = [dialer.asks(), dialer.asks()]
    first, second = (await next_request(guest))[0], (await next_request(guest))[0]
    if second != first + 1:
        raise Mismatch("two calls after each other", expected=f"call id {first + 1}", found=f"call id {second}")
    return calling, first


async def _have_outcomes(calling: list[asyncio.Future[Response]], due: list[Response]) -> None:
    """The calls end with these responses."""
    try:
        async with asyncio.timeout(strangers.PATIENCE_S):
            found = await asyncio.gather(*calling)
    except TimeoutError:
        raise AssertionError(f"of {len(calling)} calls some have no outcome, and all were answered") from None
    if found != due:
        raise Mismatch("the responses to several calls", expected=str(due)[:300], found=str(found)[:300])


@PACKING_DIALERS.case("requests of the same moment are numbered on, packed or not, and sent in their order", "3.11.1")
async def _asks_at_once(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await _with_packing(dialer)
        sent = [ProposeRequest(command=b"command %d" % number) for number in range(300)]
        calling = [dialer.asks(request) for request in sent]
        for call_id, request in enumerate(sent, start=1):
            received = await guest.frame("a request")
            body = bytes(received.body)
            if (received.kind, received.flags, received.call_id) != (MessageKind.PROPOSE_REQUEST, 0, call_id):
                raise Mismatch("not the next request", data=body, expected=f"call {call_id}", found=str(received)[:300])
            if dialer.codec.decode(MessageKind.PROPOSE_REQUEST, received.body) != request:
                raise Mismatch(f"call {call_id}", data=body, reference=dialer.codec.encode(request))
        guest.send(
            packed(MessageKind.PROPOSE_RESPONSE, *[dialer.codec.encode(_DONE)] * 300, call_id=1, flags=Flags.RESPONSE)
        )
        await _have_outcomes(calling, [_DONE] * 300)


@PACKING_DIALERS.case("nothing is packed where packing was not agreed on", "3.11.1")
async def _packs_nothing(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        calling, first = await _two_calls(dialer, guest)
        for call_id in (first, first + 1):
            guest.send(dialer.response_frame(call_id, _DONE, MessageKind.PROPOSE_RESPONSE))
        await _have_outcomes(calling, [_DONE, _DONE])


@PACKING_DIALERS.case("responses that come packed are the outcomes of their calls, and so are errors", "3.11.4")
async def _outcomes(target: LinkTarget) -> None:
    done: list[Response] = [ProposeResponse(index=each, result=b"%d" % each) for each in (1, 2)]
    failed: list[Response] = [ErrorResponse(code="zz-one"), ErrorResponse(code="zz-two")]
    for kind, flags, due in (
        (MessageKind.PROPOSE_RESPONSE, Flags.RESPONSE, done),
        (MessageKind.ERROR, ERROR_RESPONSE, failed),
    ):
        async with dialing(target, role="client") as dialer:
            guest = await _with_packing(dialer)
            calling, first = await _two_calls(dialer, guest)
            guest.send(packed(kind, *map(dialer.codec.encode, due), call_id=first, flags=flags))
            await _have_outcomes(calling, due)
            dialer.counted_nothing()


@PACKING_DIALERS.case("a response that comes alone is the outcome of a request that was packed", "3.11.4")
async def _alone(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await _with_packing(dialer)
        calling, first = await _two_calls(dialer, guest)
        due: list[Response] = [ProposeResponse(index=each, result=b"%d" % each) for each in (1, 2)]
        for place in (1, 0):
            guest.send(dialer.response_frame(first + place, due[place], MessageKind.PROPOSE_RESPONSE))
            await _have_outcomes([calling[place]], [due[place]])


@PACKING_DIALERS.case("packed responses that are no pack close, and are no outcome", "3.11.4")
async def _broken_responses(target: LinkTarget) -> None:
    wrong: list[tuple[str, _Making]] = [(f"{count:,} messages", partial(_copies, count)) for count in (0, 1_025)]
    for why, making in (*wrong, *_BREAKING_OFF):
        async with dialing(target, role="client") as dialer:
            guest = await _with_packing(dialer)
            calling, first = await _two_calls(dialer, guest)
            body = making(dialer.codec.encode(_DONE))
            flags = Flags.RESPONSE | Flags.PACKED
            guest.send(frame(MessageKind.PROPOSE_RESPONSE, body, flags=flags, call_id=first))
            for each in calling:
                await has_no_answer(each, f"packed responses with {why}")
            await guest.is_closed(f"packed responses with {why}")
            await dialer.counted("bad_pack")


@PACKING_DIALERS.case("packed responses close where packing was not agreed on, and are no outcome", "3.5.2")
async def _unagreed_responses(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        calling, first = await _two_calls(dialer, guest)
        body = dialer.codec.encode(_DONE)
        guest.send(packed(MessageKind.PROPOSE_RESPONSE, body, body, flags=Flags.RESPONSE, call_id=first))
        for each in calling:
            await has_no_answer(each, "packed responses, where packing was not agreed on")
        await guest.is_closed("packed responses, where packing was not agreed on")
        await dialer.counted("bad_flags")
