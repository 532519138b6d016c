"""What a dialer must make of answers and responses, right and wrong: clauses 3, 4, 7.1, 7.6, 7.8 and 7.9."""

import asyncio
import json
from contextlib import suppress
from typing import Any, Final
from unittest import SkipTest

from raftsdk.errors import Refused, Unreachable
from raftsdk.messages import (
    ErrorResponse,
    MessageKind,
    ProposeRequest,
    ProposeResponse,
    QueryResponse,
    StatusRequest,
)
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links import stranger as strangers
from raftsdk.testing.conformance.links.host import (
    Dialing,
    answering,
    dialing,
    has_no_answer,
    next_request,
    refusing,
)
from raftsdk.testing.conformance.links.own import OWN
from raftsdk.testing.conformance.links.stranger import ABSENT, frame
from raftsdk.testing.conformance.links.subject import LinkTarget
from raftsdk.testing.suite import Suite
from raftsdk.wire.frame import ERROR_RESPONSE, Flags, WireKind

DIALERS: Final[Suite[LinkTarget]] = Suite("dialers")

_MAX_ANSWER_BYTES: Final = 16_384


# -- the hello


@DIALERS.case("a dialer says one hello, as 4.2 has it, and waits for the answer", "4.1.1")
async def _hello(target: LinkTarget) -> None:
    async with dialing(target) as dialer:
        guest = await dialer.guest()
        hello = await guest.says_hello()
        due = {"role": "peer", "cluster_id": OWN.cluster_id, "node_id": "n2", "target_id": OWN.node_id}
        found = {name: hello.get(name) for name in due}
        if found != due or hello.get("codecs") != list(target.codecs):
            raise Mismatch("a peer's hello", expected=f"{due}, codecs {list(target.codecs)}", found=str(hello))
        spoken = hello.get("protocol", {})
        if not 0 <= spoken.get("min", -1) <= 1 <= spoken.get("max", -1) <= 255:
            raise Mismatch("version 1 is spoken", expected="a range with 1 in it", found=str(spoken))
        await guest.hears_nothing("the hello was not answered yet")


@DIALERS.case("a client's hello says so, and names nobody", "4.2.2")
async def _client(target: LinkTarget) -> None:
    async with dialing(target, role="client", looks_for="") as dialer:
        hello = await (await dialer.guest()).says_hello()
        named = {name: hello[name] for name in ("cluster_id", "node_id", "target_id") if hello.get(name)}
        if hello.get("role") != "client" or named:
            raise Mismatch("a client's hello", expected="the role client, and no names", found=str(hello))


# -- the answer


async def _closes_on_answer(dialer: Dialing, reason: str, why: str, *frames: bytes) -> None:
    """These frames, in answer to the next hello, make the dialer close for that reason."""
    guest = await dialer.guest()
    await guest.says_hello()
    guest.send(*frames)
    await guest.is_closed(why)
    await dialer.counted(reason)
    guest.leave()


@DIALERS.case("a first frame that is no answer closes", "4.1.3")
async def _no_answer(target: LinkTarget) -> None:
    sound = json.dumps({"answer": "refused", "code": "overloaded"}).encode()
    for wrong in (
        answering(sound, flags=0),
        answering(sound, flags=ERROR_RESPONSE),
        frame(WireKind.HELLO, sound),
        frame(WireKind.KEEP_ALIVE),
        frame(MessageKind.ERROR, b"", flags=ERROR_RESPONSE, call_id=1),
    ):
        async with dialing(target) as dialer:
            await _closes_on_answer(dialer, "unexpected_kind", "a first frame that is no answer", wrong)


@DIALERS.case("more behind the answer, in the same breath, closes", "4.1.3")
async def _more(target: LinkTarget) -> None:
    async with dialing(target) as dialer:
        guest = await dialer.guest()
        await guest.says_hello()
        # What would be ignored a moment later: a response to a call that nobody knows.
        guest.send(guest.answer_frame(), frame(MessageKind.STATUS_RESPONSE, flags=Flags.RESPONSE, call_id=9))
        await guest.hears_nothing_but_the_end("there is nothing to say")
        if dialer.link.status.connected:
            raise SkipTest("it took the answer before it read on, as it may")
        await dialer.counted("unexpected_kind")


_NOT_OFFERED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("a version that was not offered", {"version": 2}),
    ("a version that was not offered", {"version": 0}),
    ("a codec that was not offered", {"codec": "zz-later"}),
    ("a compression that was not offered", {"compression": "zstd"}),
    ("a feature that was not offered", {"features": ["zz-later"]}),
    ("a larger frame limit", {"max_frame_bytes": 2**32 - 1}),
    ("another cluster", {"cluster_id": "another"}),
    ("another node", {"node_id": "another"}),
)


@DIALERS.case("an answer that chose what was not offered closes", "4.3.2")
async def _not_offered(target: LinkTarget) -> None:
    for why, changes in _NOT_OFFERED:
        async with dialing(target) as dialer:
            guest = await dialer.guest()
            await guest.is_accepted(**changes)
            await guest.is_closed(why)
            await dialer.counted("bad_answer")


_NO_ANSWERS: Final = (
    b"",
    b"{}",
    b"null",
    b"[]",
    b"\xff",
    b'{"answer":"perhaps"}',
    b"[" * 5_000,
    b'{"answer":"refused"}',
)

_OUT_OF_BOUNDS: Final[tuple[dict[str, Any], ...]] = (
    *({field: ABSENT} for field in ("version", "codec", "max_frame_bytes", "cluster_id", "node_id", "idle_timeout_ms")),
    {"version": True}, {"version": 256}, {"version": "1"}, {"codec": None}, {"max_frame_bytes": 0},
    {"idle_timeout_ms": 0}, {"idle_timeout_ms": -1}, {"idle_timeout_ms": 2**32}, {"idle_timeout_ms": 1.5},
    {"compression": None}, {"features": "none"}, {"features": ["a"] * 17},
)  # fmt: skip


@DIALERS.case("a body that is no answer closes", "4.1.5")
async def _bad_answers(target: LinkTarget) -> None:
    async with dialing(target) as dialer:
        for body in _NO_ANSWERS:
            await _closes_on_answer(dialer, "bad_answer", f"the answer {body[:40]!r}", answering(body))
        for changes in _OUT_OF_BOUNDS:
            guest = await dialer.guest()
            await guest.is_accepted(**changes)
            await guest.is_closed(f"an answer with {changes}")
        if dialer.counts["bad_answer"] < len(_NO_ANSWERS) + len(_OUT_OF_BOUNDS):
            raise Mismatch("not counted every time", expected="bad_answer", found=str(dict(dialer.counts)))


@DIALERS.case("a name that occurs twice in an answer closes", "4.1.5")
async def _twice(target: LinkTarget) -> None:
    async with dialing(target) as dialer:
        body = b'{"answer":"refused","code":"overloaded","code":"own_id"}'
        await _closes_on_answer(dialer, "bad_answer", "a name that occurs twice", answering(body))


@DIALERS.case("unknown fields of an answer are ignored, of any type", "4.6.1")
async def _unknown_fields(target: LinkTarget) -> None:
    async with dialing(target) as dialer:
        await dialer.accepted(later={"a": [None, 1.5]}, null=None)
        dialer.counted_nothing()


@DIALERS.case("an answer of 16,384 bytes is taken, and a longer one closes", "4.5.4")
async def _size(target: LinkTarget) -> None:
    for more in (0, 1):
        async with dialing(target) as dialer:
            guest = await dialer.guest()
            await guest.says_hello()
            bare = len(guest.answer_frame(padding="")) - 20
            guest.send(guest.answer_frame(padding="x" * (_MAX_ANSWER_BYTES - bare + more)))
            if more:
                await guest.is_closed(f"an answer of {_MAX_ANSWER_BYTES + more} bytes")
                await dialer.counted("oversize")
            else:
                await dialer.is_connected()


@DIALERS.case("a refusal, with a code that is known or not, is no violation, and the dialer comes again", "4.4.3")
async def _refused(target: LinkTarget) -> None:
    codes = ("wrong_cluster", "wrong_target", "own_id", "no_common_codec", "overloaded", "version_mismatch", "zz-later")
    async with dialing(target) as dialer:
        for code in codes:
            guest = await dialer.guest()
            await guest.says_hello()
            guest.send(refusing(code, message="because", later=True))
            await guest.is_closed("a refusal")
        await dialer.accepted()
        dialer.counted_nothing()


@DIALERS.case("a listener that does not answer the hello is given up, and dialed again", "4.5.2")
async def _silent_host(target: LinkTarget) -> None:
    async with dialing(target, handshake_timeout_ms=100) as dialer:
        guest = await dialer.guest()
        await guest.says_hello()
        await guest.is_closed("a hello that is not answered")
        await dialer.accepted()
        dialer.counted_nothing()


# -- frames


@DIALERS.case("a frame that breaks clause 3 closes, for the reason of clause 14", "3.9.4")
async def _bad_frames(target: LinkTarget) -> None:
    wrong: tuple[tuple[str, dict[str, int]], ...] = (
        ("bad_version", {"version": 2, "spoil": 1}),
        ("bad_checksum", {"spoil": 1, "group": 1}),
        ("bad_flags", {"flags": 0x05, "group": 1}),
        ("bad_group", {"group": 1}),
    )
    for reason, parts in wrong:
        async with dialing(target) as dialer:
            sound = json.dumps({"answer": "refused", "code": "overloaded"}).encode()
            await _closes_on_answer(dialer, reason, f"an answer with {parts}", answering(sound, **parts))
            guest = await dialer.accepted()
            guest.send(frame(MessageKind.STATUS_RESPONSE, b"", **{"flags": Flags.RESPONSE, "call_id": 1, **parts}))
            await guest.is_closed(f"a frame with {parts}")


@DIALERS.case("a body longer than was agreed closes", "3.2.3")
async def _oversize(target: LinkTarget) -> None:
    async with dialing(target) as dialer:
        guest = await dialer.accepted(max_frame_bytes=1_000)
        guest.send(frame(MessageKind.STATUS_RESPONSE, bytes(1_001), flags=Flags.RESPONSE, call_id=1))
        await guest.is_closed("a body of 1,001 bytes, where 1,000 were agreed")
        await dialer.counted("oversize")


@DIALERS.case("a request longer than was agreed fails, and is not sent", "3.2.4")
async def _long_request(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted(max_frame_bytes=1_000)
        try:
            dialer.asks(ProposeRequest(command=bytes(1_001)))
        except Refused:
            await guest.hears_nothing("the request is longer than may be sent")
            return
        raise AssertionError("a request of 1,001 bytes and more was sent, where 1,000 were agreed")


# -- calls


@DIALERS.case("requests are numbered 1, 2, 3 … on each connection", "7.2.1")
async def _numbers(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        for _ in range(2):
            guest = await dialer.accepted()
            calling = [dialer.asks(StatusRequest()) for _ in range(5)]
            found = [(await next_request(guest))[0] for _ in calling]
            if found != [1, 2, 3, 4, 5]:
                raise Mismatch("five requests", expected="[1, 2, 3, 4, 5]", found=str(found))
            guest.leave()
            for each in calling:
                await has_no_answer(each, "the end of the connection")


@DIALERS.case("a response is matched by its call id, whatever the order", "7.1.3")
async def _matched(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        calling = [dialer.asks() for _ in range(3)]
        call_ids = [(await next_request(guest))[0] for _ in calling]
        for call_id in reversed(call_ids):
            response = ProposeResponse(index=call_id, result=b"")
            guest.send(dialer.response_frame(call_id, response, MessageKind.PROPOSE_RESPONSE))
        found = [await each for each in calling]
        due = [ProposeResponse(index=call_id, result=b"") for call_id in call_ids]
        if found != due:
            raise Mismatch("three calls, answered the last first", expected=str(due), found=str(found))


@DIALERS.case("a response to a call that nobody knows is ignored, whatever its kind and body", "7.1.3")
async def _unknown_call(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        calling = dialer.asks()
        call_id, _ = await next_request(guest)
        for kind in (MessageKind.PROPOSE_RESPONSE, 0x7F, WireKind.HELLO):
            guest.send(frame(kind, b"\xc1nonsense", flags=Flags.RESPONSE, call_id=call_id + 7))
        guest.send(frame(MessageKind.ERROR, b"\xc1nonsense", flags=ERROR_RESPONSE, call_id=0))
        response = ProposeResponse(index=1, result=b"yes")
        guest.send(dialer.response_frame(call_id, response, MessageKind.PROPOSE_RESPONSE))
        found = await asyncio.wait_for(calling, strangers.PATIENCE_S)
        if found != response:
            raise Mismatch("the one answer that was due", expected=str(response), found=str(found))
        dialer.counted_nothing()


@DIALERS.case("a second response to one call is ignored", "7.1.3")
async def _second_response(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        for _ in range(2):
            calling = dialer.asks()
            call_id, _ = await next_request(guest)
            response = ProposeResponse(index=1, result=b"")
            guest.send(*[dialer.response_frame(call_id, response, MessageKind.PROPOSE_RESPONSE)] * 2)
            await asyncio.wait_for(calling, strangers.PATIENCE_S)
        dialer.counted_nothing()


@DIALERS.case("an error is an answer to any request", "7.1.4")
async def _error(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        calling = dialer.asks()
        call_id, _ = await next_request(guest)
        refusal = ErrorResponse(code="zz-later", message="of a later version")
        guest.send(dialer.response_frame(call_id, refusal, MessageKind.ERROR, flags=ERROR_RESPONSE))
        found = await asyncio.wait_for(calling, strangers.PATIENCE_S)
        if found != refusal:
            raise Mismatch("an error with a code that nobody knows", expected=str(refusal), found=str(found))


@DIALERS.case("a response of another kind than its call's closes, and is no outcome", "7.1.4")
async def _another_kind(target: LinkTarget) -> None:
    answer = QueryResponse(applied_index=1, result=b"")
    for kind, flags in (
        (MessageKind.QUERY_RESPONSE, Flags.RESPONSE),
        (MessageKind.PROPOSE_REQUEST, Flags.RESPONSE),
        (MessageKind.PROPOSE_RESPONSE, ERROR_RESPONSE),
        (MessageKind.ERROR, Flags.RESPONSE),
    ):
        async with dialing(target, role="client") as dialer:
            guest = await dialer.accepted()
            calling = dialer.asks()
            call_id, _ = await next_request(guest)
            guest.send(dialer.response_frame(call_id, answer, kind, flags=flags))
            await guest.is_closed(f"a response of kind {kind:#04x} with flags {flags:#04x} to a proposal")
            await dialer.counted("unexpected_kind")
            await has_no_answer(calling, "a response of another kind")


@DIALERS.case("a response that cannot be decoded closes, and is no outcome", "7.1.4")
async def _bad_response(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        calling = dialer.asks()
        call_id, kind = await next_request(guest)
        guest.send(frame(kind + 1, b"\xc1" * 50, flags=Flags.RESPONSE, call_id=call_id))
        await guest.is_closed("a response that cannot be decoded")
        await dialer.counted("bad_response")
        await has_no_answer(calling, "a response that cannot be decoded")


@DIALERS.case("a frame without the flag RESPONSE closes, of whatever kind", "7.8.3")
async def _asked(target: LinkTarget) -> None:
    for kind in (MessageKind.STATUS_REQUEST, MessageKind.STATUS_RESPONSE, WireKind.KEEP_ALIVE, WireKind.HELLO, 0x7E):
        async with dialing(target) as dialer:
            guest = await dialer.accepted()
            guest.send(frame(kind, b"{}", call_id=1))
            await guest.is_closed(f"kind {kind:#04x} without the flag RESPONSE")
            await dialer.counted("unexpected_kind")


@DIALERS.case("what was asked when the connection ends has no outcome", "7.4.1")
async def _end(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.accepted()
        calling = dialer.asks()
        await next_request(guest)
        guest.leave()
        await has_no_answer(calling, "the end of the connection")
        dialer.counted_nothing()


# -- time


@DIALERS.case("a dialer with nothing to ask sends keep-alives in time", "7.6.2")
async def _keep_alive(target: LinkTarget) -> None:
    async with dialing(target) as dialer:
        guest = await dialer.accepted(idle_timeout_ms=300)
        for _ in range(3):
            received = await guest.frame("a keep-alive")
            if (received.kind, received.flags, received.call_id) != (WireKind.KEEP_ALIVE, 0, 0) or received.body:
                raise Mismatch("not a keep-alive", data=bytes(received.body), found=f"kind {received.kind:#04x}")


@DIALERS.case("a listener that has nothing to say is left alone", "7.6.3")
async def _quiet(target: LinkTarget) -> None:
    async with dialing(target, call_timeout_ms=50) as dialer:
        guest = await dialer.accepted()
        await guest.hears_nothing("nobody asked for anything", for_s=0.3)


@DIALERS.case("a call that is not answered in time has no outcome; the connection lives if anything is heard", "7.4.1")
async def _late(target: LinkTarget) -> None:
    async with dialing(target, role="client", call_timeout_ms=300) as dialer:
        guest = await dialer.accepted()
        unanswered, answered = dialer.asks(), dialer.asks(StatusRequest())
        late, _ = await next_request(guest)
        call_id, _ = await next_request(guest)
        refusal = ErrorResponse(code="overloaded")
        guest.send(dialer.response_frame(call_id, refusal, MessageKind.ERROR, flags=ERROR_RESPONSE))
        await answered
        await has_no_answer(unanswered, "a silence")
        guest.send(dialer.response_frame(late, ProposeResponse(index=1, result=b""), MessageKind.PROPOSE_RESPONSE))
        await guest.hears_nothing("a late response is ignored")
        dialer.counted_nothing()


@DIALERS.case("a connection on which nothing at all is heard for the time of a call is closed", "7.6.4")
async def _silence(target: LinkTarget) -> None:
    async with dialing(target, role="client", call_timeout_ms=100) as dialer:
        guest = await dialer.accepted()
        calling = dialer.asks()
        await next_request(guest)
        await has_no_answer(calling, "a silence")
        await guest.is_closed("a silence for the time limit of a call")
        await dialer.counted("silent")


@DIALERS.case("a dialer comes again after every end, and pauses get longer", "7.9.1")
async def _again(target: LinkTarget) -> None:
    attempts = 0
    async with dialing(target, reconnect_min_ms=10, reconnect_max_ms=200) as dialer:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    guest = await dialer.guest()
                    guest.leave()
                    attempts += 1
    # Pauses are up to 10, 20, 40, 80, 160 and 200 ms, half of that on the average. Without them there are hundreds.
    if not 2 <= attempts <= 30:
        raise Mismatch("attempts within half a second", expected="some 8", found=str(attempts))


@DIALERS.case("of several addresses, each attempt takes the next", "7.9.2")
async def _addresses(target: LinkTarget) -> None:
    nobody = _where_nobody_listens(target)
    async with dialing(target, beside=(nobody, nobody)) as dialer:
        guest = await dialer.accepted()
        guest.leave()
        await dialer.accepted()


def _where_nobody_listens(target: LinkTarget) -> str:
    address = target.own_address()
    return address.removesuffix(":0") + ":1" if address.endswith(":0") else address


@DIALERS.case("nothing is queued while there is no connection", "7.9.3")
async def _no_queue(target: LinkTarget) -> None:
    async with dialing(target, role="client") as dialer:
        guest = await dialer.guest()
        await guest.says_hello()
        try:
            dialer.asks()
        except Unreachable:
            guest.send(guest.answer_frame())
            await dialer.is_connected()
            await guest.hears_nothing("what was asked before the answer was refused, not queued")
            return
        raise AssertionError("a request was taken before there was a connection")
