"""Clause 2.4: what is WebSocket's own, said in bytes."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.raw import RawStranger, raw_stranger, trickling
from raftsdk.testing.conformance.links.stranger import frame, hello_body
from raftsdk.testing.conformance.links.subject import LinkTarget, Reached
from raftsdk.testing.conformance.links.websocket_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MASK,
    PING,
    PONG,
    TEXT,
    close,
    close_code,
    message,
    messages_of,
)
from raftsdk.testing.suite import Suite
from raftsdk.wire.frame import WireKind, parse_frame

WEBSOCKET: Final[Suite[LinkTarget]] = Suite("websocket")

_HELLO: Final = frame(WireKind.HELLO, hello_body())
_MAX_HEAD_BYTES: Final = 16 * 1024


def _raw(node: Reached) -> AbstractAsyncContextManager[RawStranger]:
    """Bytes to the port of the node, within TLS where it has TLS."""
    return raw_stranger(node.address, node.tls())


def _upgrade(node: Reached, method: str = "GET", path: str | None = None, **headers: str | None) -> bytes:
    """The request of a sound handshake, with headers replaced, added, or left out (None)."""
    parts = urlsplit(node.address)
    sound: dict[str, str | None] = {
        "Host": parts.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "raftsdk.v1",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    path = (parts.path or "/") if path is None else path
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sound.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def _upgraded(node: Reached, request: bytes = b"") -> AsyncIterator[tuple[RawStranger, str]]:
    """A connection after the handshake, and the head of the answer to it."""
    async with _raw(node) as stranger:
        await stranger.send(request or _upgrade(node))
        head = await stranger.until(b"\r\n\r\n", "the answer to the handshake")
        if not head.lower().startswith(b"http/1.1 101"):
            raise Mismatch("a sound handshake was refused", data=head, expected="HTTP status 101")
        yield stranger, head.decode("latin-1").lower()


# -- the handshake


@WEBSOCKET.case("a handshake with the subprotocol is accepted, and the subprotocol is named", "2.4.3")
async def _subprotocol(target: LinkTarget) -> None:
    async with target.reached() as node:
        for offered in ("raftsdk.v1", "chat, raftsdk.v1"):
            async with _upgraded(node, _upgrade(node, Sec_WebSocket_Protocol=offered)) as (_, head):
                if "sec-websocket-protocol: raftsdk.v1\r\n" not in head:
                    raise Mismatch("the subprotocol is not named", data=head.encode(), expected="raftsdk.v1")


@WEBSOCKET.case("a query behind the path is ignored", "2.4.1")
async def _query(target: LinkTarget) -> None:
    async with target.reached() as node:
        path = (urlsplit(node.address).path or "/") + "?who=me"
        async with _upgraded(node, _upgrade(node, path=path)):
            pass


@WEBSOCKET.case("no extension is accepted", "2.4.4")
async def _extension(target: LinkTarget) -> None:
    async with target.reached() as node:
        offer = "permessage-deflate; client_max_window_bits"
        async with _upgraded(node, _upgrade(node, Sec_WebSocket_Extensions=offer)) as (_, head):
            if "sec-websocket-extensions" in head:
                raise Mismatch("an extension was accepted", data=head.encode(), expected="none")


@WEBSOCKET.case("a wrong handshake is answered 400, and closed", "2.4.5")
async def _wrong_handshake(target: LinkTarget) -> None:
    async with target.reached() as node:
        for what, request in (
            ("no subprotocol", _upgrade(node, Sec_WebSocket_Protocol=None)),
            ("another subprotocol", _upgrade(node, Sec_WebSocket_Protocol="chat, raftsdk.v10")),
            ("a POST", _upgrade(node, "POST")),
            ("no key", _upgrade(node, Sec_WebSocket_Key=None)),
            ("a short key", _upgrade(node, Sec_WebSocket_Key="bm8=")),
            ("more than 16 KiB", _upgrade(node, X_Padding="x" * 2 * _MAX_HEAD_BYTES)),
            ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        ):
            await _is_answered(node, what, request, b"400")
        await node.serves_on("bad_upgrade")


@WEBSOCKET.case("a request that is no upgrade is answered 426, and closed", "2.4.5")
async def _no_upgrade(target: LinkTarget) -> None:
    async with target.reached() as node:
        await _is_answered(node, "no upgrade", _upgrade(node, Upgrade=None, Connection=None), b"426")
        await node.serves_on("bad_upgrade")


@WEBSOCKET.case("another path is answered 404, and closed", "2.4.5")
async def _path(target: LinkTarget) -> None:
    async with target.reached() as node:
        await _is_answered(node, "another path", _upgrade(node, path="/not/here"), b"404")
        await node.serves_on("bad_upgrade")


async def _is_answered(node: Reached, what: str, request: bytes, status: bytes) -> None:
    async with _raw(node) as stranger:
        await stranger.send(request)
        answer = await stranger.to_the_end(f"a handshake with {what}")
        if answer[9:12] != status:
            raise Mismatch(f"a handshake with {what}", data=answer, expected=f"HTTP status {status.decode()}")


@WEBSOCKET.case("a node that was told no origins takes them all", "2.4.6")
async def _origin(target: LinkTarget) -> None:
    async with target.reached() as node:
        if target.live:
            return
        async with _upgraded(node, _upgrade(node, Origin="https://console.example")):
            pass


@WEBSOCKET.case("a handshake that trickles in is closed", "2.4.10")
async def _slow(target: LinkTarget) -> None:
    pause_s = 0.02 if not target.live else 0.1
    async with target.reached() as node:
        async with _raw(node) as stranger, trickling(stranger, _upgrade(node), pause_s):
            await stranger.to_the_end("a handshake that takes too long")
        await node.serves_on("handshake_timeout")


@WEBSOCKET.case("the hello falls under the handshake's time limit", "2.4.10")
async def _slow_hello(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with _upgraded(node) as (stranger, _):
            await stranger.to_the_end("a handshake and no hello")
        await node.serves_on("handshake_timeout")


# -- messages


@WEBSOCKET.case("a message may come in fragments, and in bytes", "2.4.7")
async def _fragments(target: LinkTarget) -> None:
    thirds = [(BINARY, _HELLO[:30], False), (CONTINUATION, _HELLO[30:60], False), (CONTINUATION, _HELLO[60:], True)]
    async with target.reached() as node:
        for sent in (
            b"".join(message(opcode, data, fin=fin) for opcode, data, fin in thirds),
            message(PING, b"between").join(message(opcode, data, fin=fin) for opcode, data, fin in thirds),
            message(BINARY, _HELLO),
        ):
            async with _upgraded(node) as (stranger, _):
                await stranger.send(*(sent[place : place + 1] for place in range(len(sent))))
                answer = await _next_message(stranger)
                if parse_frame(answer).kind != WireKind.HELLO_ANSWER:
                    raise Mismatch("a hello in fragments", data=answer, expected="kind 0x03")


async def _next_message(stranger: RawStranger) -> bytes:
    """The next binary message, which a node never masks and, being short, does not fragment."""
    while True:
        head = await stranger.exactly(2, "a message")
        extended = {126: 2, 127: 8}.get(head[1], 0)
        length = int.from_bytes(await stranger.exactly(extended, "a message"), "big") if extended else head[1]
        data = await stranger.exactly(length, "a message")
        if head[0] == FIN | BINARY:
            return data


@WEBSOCKET.case("each frame is a message, each message a frame", "2.4.2")
async def _frame_by_frame(target: LinkTarget) -> None:
    keep_alive = frame(WireKind.KEEP_ALIVE)
    await _closes_with(target, 1000, "bad_length", "two frames in one message", message(BINARY, _HELLO + keep_alive))
    await _closes_with(target, 1000, "bad_length", "half a frame in a message", message(BINARY, _HELLO[:60]))


@WEBSOCKET.case("a body length that is not the message's closes", "3.2.5")
async def _body_length(target: LinkTarget) -> None:
    for body_bytes in (0, len(_HELLO) - 21, len(_HELLO) - 19):
        wrong = message(BINARY, frame(WireKind.HELLO, hello_body(), body_bytes=body_bytes))
        await _closes_with(target, 1000, "bad_length", f"a body length of {body_bytes}", wrong)


@WEBSOCKET.case("a message shorter than a header is closed with 1002", "2.4.8")
async def _undersize(target: LinkTarget) -> None:
    for data in (b"", _HELLO[:19]):
        await _closes_with(target, 1002, "bad_length", f"a message of {len(data)} bytes", message(BINARY, data))


@WEBSOCKET.case("a message above the limit is closed with 1009, from its header alone", "2.4.8")
async def _oversize(target: LinkTarget) -> None:
    header = bytes([FIN | BINARY, 0xFF]) + (2**40).to_bytes(8, "big") + MASK
    await _closes_with(target, 1009, "oversize", "a message of 2^40 bytes", header)


@WEBSOCKET.case("the limit holds for the sum of a message's fragments, judged from their headers", "2.4.7")
async def _sum(target: LinkTarget) -> None:
    begun = message(BINARY, bytes(10_000), fin=False)
    header = bytes([CONTINUATION, 0xFF]) + (2**40).to_bytes(8, "big") + MASK
    await _closes_with(target, 1009, "oversize", "fragments of 2^40 bytes", begun + header)


@WEBSOCKET.case("a text message is closed with 1003", "2.4.8")
async def _text(target: LinkTarget) -> None:
    await _closes_with(target, 1003, "text_message", "a text message", message(TEXT, b"hello"))


@WEBSOCKET.case("what RFC 6455 does not allow is closed with 1002", "2.4.8")
async def _protocol(target: LinkTarget) -> None:
    long_form = bytes([FIN | BINARY, 0x80 | 126]) + len(_HELLO[:100]).to_bytes(2, "big") + MASK
    for why, sent in (
        ("no mask", message(BINARY, _HELLO, masked=False)),
        ("a reserved bit", message(BINARY, _HELLO, reserved=0x40)),
        ("an unknown opcode", message(0x5, b"")),
        ("an unknown control opcode", message(0xB, b"")),
        ("a message inside another", message(BINARY, b"a", fin=False) + message(BINARY, b"b")),
        ("a continuation of nothing", message(CONTINUATION, b"a")),
        ("a long ping", message(PING, b"x" * 126)),
        ("a fragmented ping", message(PING, b"x", fin=False)),
        ("a length of 100 in two bytes", long_form + bytes(100)),
        ("a close code that may not be sent", close(1005)),
        ("half a close code", message(CLOSE, b"\x03")),
    ):
        await _closes_with(target, 1002, "bad_websocket", why, sent)


@WEBSOCKET.case("a close whose reason is no UTF-8 is closed with 1007", "2.4.8")
async def _reason(target: LinkTarget) -> None:
    await _closes_with(target, 1007, "bad_websocket", "a reason that is no UTF-8", close(1000, b"\xff\xfe"))


@WEBSOCKET.case("pings without end are closed with 1008", "2.4.8")
async def _flood(target: LinkTarget) -> None:
    await _closes_with(target, 1008, "websocket_flood", "1,100 pings", message(PING, b"") * 1_100)


@WEBSOCKET.case("crumbs without end are closed with 1008", "2.4.8")
async def _crumbs(target: LinkTarget) -> None:
    crumbs = message(BINARY, b"", fin=False) + message(CONTINUATION, b"x", fin=False) * 1_100
    await _closes_with(target, 1008, "websocket_flood", "1,100 fragments of a byte", crumbs)


@WEBSOCKET.case("what clause 14 closes is closed with 1000, and so is a refusal", "2.4.8")
async def _normal(target: LinkTarget) -> None:
    damaged = message(BINARY, frame(WireKind.HELLO, hello_body(), spoil=1))
    refused = message(BINARY, frame(WireKind.HELLO, hello_body(protocol={"min": 9, "max": 9})))
    await _closes_with(target, 1000, "bad_checksum", "a wrong checksum", damaged)
    await _closes_with(target, 1000, "version_mismatch", "a hello of another version", refused)


@WEBSOCKET.case("a close is answered by a close", "2.4.8")
async def _close(target: LinkTarget) -> None:
    await _closes_with(target, 1000, "", "a close", close(1000))
    await _closes_with(target, 1001, "", "a close of who goes away", close(1001, b"bye"))


async def _closes_with(target: LinkTarget, code: int, reason: str, why: str, *sent: bytes) -> None:
    """After a handshake, these bytes make the node close with that code; others are served on."""
    async with target.reached() as node:
        async with _upgraded(node) as (stranger, _):
            await stranger.send(*sent)
            rest = await stranger.to_the_end(why)
        found = close_code(rest)
        if found != code:
            raise Mismatch(f"closed otherwise for {why}", data=rest, expected=f"close code {code}", found=str(found))
        await node.serves_on(*filter(None, [reason]))


@WEBSOCKET.case("a ping is answered by a pong with its bytes", "2.4.9")
async def _ping(target: LinkTarget) -> None:
    async with target.reached() as node, _upgraded(node) as (stranger, _):
        await stranger.send(message(PING, b"are you there"))
        received = await stranger.exactly(2 + len(b"are you there"), "a pong")
        if received != message(PONG, b"are you there", masked=False):
            due = message(PONG, b"are you there", masked=False)
            raise Mismatch("a ping was answered otherwise", data=received, reference=due)


@WEBSOCKET.case("nothing that the node sends is masked", "2.4.8")
async def _unmasked(target: LinkTarget) -> None:
    async with target.reached() as node, _upgraded(node) as (stranger, _):
        await stranger.send(message(BINARY, _HELLO), message(PING, b"?"), close(1000))
        received = await stranger.to_the_end("a close")
        if any(second & 0x80 for _, second, _ in messages_of(received)):
            raise Mismatch("a frame that is masked", data=received, expected="none of the node's is")


@WEBSOCKET.case("pings end no silence", "2.4.9")
async def _pings(target: LinkTarget) -> None:
    async with target.reached(idle_timeout_ms=300) as node:
        async with _upgraded(node) as (stranger, _):
            hello = frame(WireKind.HELLO, hello_body(codecs=list(target.codecs)))
            pinging = asyncio.create_task(
                stranger.send(message(BINARY, hello), *[message(PING, b"")] * 200, pause_s=0.05)
            )
            await stranger.to_the_end("a silence but for pings")
            pinging.cancel()
        await node.serves_on("idle")
