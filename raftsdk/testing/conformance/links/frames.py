"""Clause 3: how frames look, how a stream is split into them, and what is done with those that look otherwise."""

from itertools import pairwise
from typing import Final

from raftsdk.messages import MessageKind, QueryRequest, QueryResponse, StatusRequest
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.own import Canned, Verbose
from raftsdk.testing.conformance.links.stranger import frame, hello_body
from raftsdk.testing.conformance.links.subject import Agreed, LinkTarget, Reached
from raftsdk.testing.suite import Suite
from raftsdk.wire.frame import Flags, WireKind, parse_frame

FRAMES: Final[Suite[LinkTarget]] = Suite("frames")

_HELLO: Final = frame(WireKind.HELLO, hello_body())


def _status(agreed: Agreed, call_id: int = 1, **wrong: int) -> bytes:
    return frame(MessageKind.STATUS_REQUEST, agreed.codec.encode(StatusRequest()), call_id=call_id, **wrong)


async def _closes_on(target: LinkTarget, reason: str, why: str, **wrong: int) -> None:
    """A frame with that wrong in it closes its connection, both as the first frame and later; others are served on."""
    async with target.reached() as node:
        if reason != "bad_version":  # the first frame's version is answered (3.3.3)
            async with node.dialed() as stranger:
                stranger.send(frame(WireKind.HELLO, hello_body(), **wrong))
                await stranger.is_closed(f"a hello with {why}")
        async with node.agreed() as agreed:
            agreed.stranger.send(_status(agreed, **wrong))
            await agreed.stranger.is_closed(why)
        await node.serves_on(reason)


# -- splitting a stream


async def _is_found(node: Reached, pieces: list[bytes], what: str) -> None:
    async with node.raw() as stranger:
        await stranger.send(*pieces)
        answer = await stranger.frame(f"the answer to a hello that came {what}")
        if parse_frame(answer).kind != WireKind.HELLO_ANSWER:
            raise Mismatch(f"no answer to a hello that came {what}", data=answer, expected="kind 0x03")


@FRAMES.case("a frame is found though its bytes come one by one", "3.10.1")
async def _byte_by_byte(target: LinkTarget) -> None:
    async with target.reached() as node:
        await _is_found(node, [_HELLO[place : place + 1] for place in range(len(_HELLO))], "byte by byte")


@FRAMES.case("a frame is found however it is cut in two", "3.10.1")
async def _every_cut(target: LinkTarget) -> None:
    async with target.reached() as node:
        for place in (*range(1, 26), len(_HELLO) // 2, len(_HELLO) - 1):
            await _is_found(node, [_HELLO[:place], _HELLO[place:]], f"cut after {place} bytes")


@FRAMES.case("frames are found wherever their stream is cut", "3.10.1")
async def _cuts_across_frames(target: LinkTarget) -> None:
    async with target.reached() as node, node.raw() as stranger:
        name, codec = next(iter(target.codecs.items()))
        await stranger.send(frame(WireKind.HELLO, hello_body(codecs=[name])))
        await stranger.frame("the answer to the hello")
        status = codec.encode(StatusRequest())
        stream = b"".join(
            frame(WireKind.KEEP_ALIVE) + frame(MessageKind.STATUS_REQUEST, status, call_id=call_id)
            for call_id in range(1, 41)
        )
        cuts = [0, *range(7, len(stream), 13), len(stream)]
        await stranger.send(*(stream[start:stop] for start, stop in pairwise(cuts)))
        answered = [parse_frame(await stranger.frame("a response")).call_id for _ in range(40)]
        _is_each_once(answered, 40)


@FRAMES.case("a thousand frames in one write are all answered, each once", "3.10.1")
async def _thousand(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as agreed:
        agreed.stranger.send(*(_status(agreed, call_id) for call_id in range(1, 1_001)))
        _is_each_once([(await agreed.response(MessageKind.STATUS_RESPONSE))[0] for _ in range(1_000)], 1_000)
        await agreed.stranger.hears_nothing("every request was answered")


def _is_each_once(answered: list[int], count: int) -> None:
    if sorted(answered) != [*range(1, count + 1)]:
        raise Mismatch("not every request was answered once", expected=f"calls 1 to {count}", found=str(answered))


@FRAMES.case("an incomplete frame at the end of a connection does nothing", "2.1.2")
async def _incomplete(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.raw() as stranger:
            await stranger.send(_HELLO[:-1])
        await node.serves_on()
        if node.network and node.network.closed_by_reason:
            raise Mismatch("counted as a violation", expected="nothing", found=str(dict(node.network.closed_by_reason)))


# -- the header's fields


@FRAMES.case("a body length above the limit closes, from the header alone", "3.2.3")
async def _oversize(target: LinkTarget) -> None:
    async with target.reached() as node:
        for body_bytes in (2**32 - 1, 2**31, 2**24 + 1):
            async with node.raw() as stranger:
                await stranger.send(frame(WireKind.HELLO, body_bytes=body_bytes)[:4])
                await stranger.to_the_end(f"a body length of {body_bytes}")
        await node.serves_on("oversize")


@FRAMES.case("whole frames before one that is too long count", "3.2.3")
async def _before_oversize(target: LinkTarget) -> None:
    handler = Canned()
    async with target.reached(handler) as node, node.agreed(max_frame_bytes=2_000) as agreed:
        agreed.stranger.send(_status(agreed), frame(MessageKind.PROPOSE_REQUEST, bytes(2_001), call_id=2))
        await agreed.stranger.skip_to_the_end("a body longer than was agreed on")  # which may answer call 1 (7.1.2)
        if handler.delivered != [StatusRequest()]:
            raise Mismatch(
                "a request, and a frame that is too long", expected="the request", found=str(handler.delivered)
            )


@FRAMES.case("a body of just the agreed length is taken, and one byte more closes", "3.2.2")
async def _agreed_limit(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.agreed(max_frame_bytes=2_000) as agreed:
            limit = agreed.answer["max_frame_bytes"]
            agreed.stranger.send(frame(_NOBODYS_KIND, bytes(limit), call_id=1))
            await agreed.is_error("unsupported")
            agreed.stranger.send(frame(_NOBODYS_KIND, bytes(limit + 1), call_id=2))
            await agreed.stranger.is_closed("a body longer than was agreed on")
        await node.serves_on("oversize")


_NOBODYS_KIND: Final = 0x7E


@FRAMES.case("a response that would be longer than was agreed is replaced by an error", "3.2.4")
async def _long_response(target: LinkTarget) -> None:
    async with target.reached(Verbose(3_000)) as node, node.agreed(max_frame_bytes=2_000) as agreed:
        response = await agreed.asks(QueryRequest(query=b"?"))
        if isinstance(response, QueryResponse):
            raise Mismatch("a result that is too long was sent", expected="an error", found=repr(response)[:300])
        await agreed.asks_status(2)


@FRAMES.case("what speaks another protocol is closed by its first four bytes", "3.2.6")
async def _others(target: LinkTarget) -> None:
    greetings = (
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff" * 64,
    )
    async with target.reached() as node:
        for greeting in greetings:
            async with node.raw() as stranger:
                await stranger.send(greeting)
                received = await stranger.to_the_end("a greeting in another protocol")
                if received:
                    raise Mismatch(f"{greeting[:16]!r} was answered", data=received, expected="the connection's end")
        await node.serves_on("oversize")


@FRAMES.case("another version in the first frame is refused with version_mismatch", "3.3.3")
async def _first_version(target: LinkTarget) -> None:
    async with target.reached() as node:
        for version in (0, 2, 255):
            await _is_mismatch(node, frame(WireKind.HELLO, hello_body(), version=version))
        await _is_mismatch(node, bytes(20))
        await node.serves_on("bad_version")


async def _is_mismatch(node: Reached, sent: bytes) -> None:
    """`sent`, as the first frame, is answered `version_mismatch`, in a frame of version 1, and closes."""
    async with node.dialed() as stranger:
        stranger.send(sent)
        answer = await stranger.answer()
        if answer.get("code") != "version_mismatch":
            raise Mismatch("another version", data=sent, expected="the refusal version_mismatch", found=str(answer))
        await stranger.is_closed("a version that nobody speaks")


@FRAMES.case("the version is looked at before the checksum and everything behind it", "3.3.2")
async def _version_before_checksum(target: LinkTarget) -> None:
    async with target.reached() as node:
        await _is_mismatch(node, frame(WireKind.HELLO, hello_body(), version=2, spoil=1))
        await _is_mismatch(node, frame(WireKind.HELLO, hello_body(), version=2, spoil=1, flags=0x40, group=1))


@FRAMES.case("another version than was agreed on closes", "3.3.3")
async def _later_version(target: LinkTarget) -> None:
    await _closes_on(target, "bad_version", "version 2", version=2)


@FRAMES.case("flags that are not allowed close", "3.5.2")
async def _flags(target: LinkTarget) -> None:
    for flags in (Flags.ERROR, Flags.COMPRESSED, 0x05, 0x07, 0x08, 0x10, 0x20, 0x40, 0x80):
        await _closes_on(target, "bad_flags", f"flags {flags:#04x}", flags=flags)


@FRAMES.case("the reserved byte is ignored", "3.6.1")
async def _reserved(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.dialed() as stranger:
            stranger.send(frame(WireKind.HELLO, hello_body(codecs=list(target.codecs)), reserved=0x01))
            await stranger.answer()
        async with node.agreed() as agreed:
            agreed.stranger.send(_status(agreed, reserved=0xFF))
            await agreed.is_answered(MessageKind.STATUS_RESPONSE, 1)


@FRAMES.case("another group than 0 closes where none was agreed on", "3.7.1")
async def _group(target: LinkTarget) -> None:
    for group in (1, 2**32 - 1):
        await _closes_on(target, "bad_group", f"group {group}", group=group)


@FRAMES.case("a response carries its request's call id, whichever it is", "3.8.1")
async def _call_ids(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as agreed:
        for call_id in (1, 2, 2**31, 2**32 - 1, 7):
            await agreed.asks_status(call_id)


@FRAMES.case("the call id of a hello is ignored", "3.8.2")
async def _hello_call_id(target: LinkTarget) -> None:
    async with target.reached() as node, node.dialed() as stranger:
        stranger.send(frame(WireKind.HELLO, hello_body(codecs=list(target.codecs)), call_id=2**32 - 1))
        await stranger.answer()


@FRAMES.case("a request of id 0 is answered like any other", "3.8.3")
async def _call_0(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as agreed:
        await agreed.asks_status(0)


@FRAMES.case("a wrong checksum closes", "3.9.3")
async def _checksum(target: LinkTarget) -> None:
    for bit in (0, 7, 15, 31):
        await _closes_on(target, "bad_checksum", f"bit {bit} of the checksum flipped", spoil=1 << bit)


@FRAMES.case("a byte changed anywhere in a frame closes", "3.9.3")
async def _damage(target: LinkTarget) -> None:
    async with target.reached() as node:
        sound = frame(MessageKind.PROPOSE_REQUEST, b"payload" * 9, call_id=1)
        for place in (*range(5, 20), 20, 50, len(sound) - 1):
            async with node.agreed() as agreed:
                agreed.stranger.send(sound[:place] + bytes([sound[place] ^ 0x10]) + sound[place + 1 :])
                await agreed.stranger.is_closed(f"damage at byte {place}")
        await node.serves_on("bad_checksum")


@FRAMES.case("the checksum is judged before flags and group, and flags before the group", "3.9.4")
async def _order(target: LinkTarget) -> None:
    await _closes_on(target, "bad_checksum", "a wrong checksum, flags and group", spoil=1, group=1, flags=0x40)
    await _closes_on(target, "bad_flags", "wrong flags and group", group=1, flags=0x40)
