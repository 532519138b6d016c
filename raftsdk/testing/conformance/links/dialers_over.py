"""What a dialer must make of a listener's certificate (2.5, 6.5.3), and of its answer to an upgrade (2.4)."""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Final

from raftsdk.config import scheme
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.host import DIALER, dialing
from raftsdk.testing.conformance.links.own import OWN, over_tls, own_credentials
from raftsdk.testing.conformance.links.subject import LinkTarget, has_counted
from raftsdk.testing.suite import Suite
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.link import Link

OVER_TLS: Final[Suite[LinkTarget]] = Suite("dialers over TLS")
OVER_WEBSOCKET: Final[Suite[LinkTarget]] = Suite("dialers over WebSocket")

_Reply = Callable[[bytes], bytes]


# -- certificates


@OVER_TLS.case("a dialer says no hello to a node whose certificate is not that of the one it looks for", "6.5.3")
async def _another_node(target: LinkTarget) -> None:
    async with dialing(target, shows=own_credentials("somebody-else")) as dialer:
        guest = await dialer.guest()
        await guest.is_closed("a certificate of somebody else")
        await dialer.counted("wrong_identity")


@OVER_TLS.case("a dialer asks nothing of a node whose certificate does not carry the id in its answer", "6.5.3")
async def _another_answer(target: LinkTarget) -> None:
    async with dialing(target, role="client", looks_for="", shows=own_credentials("somebody-else")) as dialer:
        guest = await dialer.guest()
        await guest.is_accepted()
        await guest.is_closed("an answer in the name of another than the certificate's")
        await dialer.counted("wrong_identity")


@OVER_TLS.case("a dialer does not believe a certificate of another authority", "2.5.3")
async def _another_authority(target: LinkTarget) -> None:
    async with dialing(target, shows=own_credentials(OWN.node_id, of="another", believing="another")) as dialer:
        await dialer.counted("bad_certificate")


@OVER_TLS.case("a dialer whose own certificate is refused knows it", "2.5.3")
async def _refused(target: LinkTarget) -> None:
    strange = own_credentials(DIALER.node_id, of="another")
    async with dialing(target, dialer_shows=strange) as dialer:
        await dialer.counted("tls_refused")


@OVER_TLS.case("a dialer that meets no TLS closes", "2.5.3")
async def _no_tls(target: LinkTarget) -> None:
    await _counts(target, "bad_tls", lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", in_the_clear=True)


# -- WebSocket


def _switching(head: bytes, *, protocol: str = "raftsdk.v1", key: str = "", more: str = "") -> bytes:
    """The answer of a sound listener to this request, but for what is given."""
    sent = next(
        (
            line.partition(b":")[2].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        ),
        b"",
    )
    accept = base64.b64encode(hashlib.sha1(sent + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()  # noqa: S324
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {key or accept}")
    lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
    return "\r\n".join([*lines, *filter(None, [more]), "", ""]).encode()


@OVER_WEBSOCKET.case("a dialer offers the subprotocol raftsdk.v1, and no extension", "2.4.3")
async def _offer(target: LinkTarget) -> None:
    heads: list[bytes] = []

    def keep(head: bytes) -> bytes:
        heads.append(head)
        return b"HTTP/1.1 404 Not Found\r\n\r\n"

    await _counts(target, "bad_upgrade", keep)
    lines = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in heads[0].split(b"\r\n")}
    if lines.get(b"sec-websocket-protocol") != b"raftsdk.v1" or b"sec-websocket-extensions" in lines:
        raise Mismatch("what a dialer offers", data=heads[0], expected="raftsdk.v1, and no extension")


@OVER_WEBSOCKET.case("a dialer that is answered anything but 101 with that subprotocol closes", "2.4.5")
async def _not_switched(target: LinkTarget) -> None:
    answers: tuple[_Reply, ...] = (
        lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        lambda _: b"HTTP/1.1 403 Forbidden\r\n\r\n",
        lambda _: b"HTTP/1.1 301 Moved Permanently\r\nLocation: ws://127.0.0.1:1/\r\n\r\n",
        lambda head: _switching(head, protocol=""),
        lambda head: _switching(head, protocol="chat"),
        lambda head: _switching(head, key="bm90IHRoZSBrZXkgYXQgYWxsIQ=="),
        lambda head: _switching(head, more="Sec-WebSocket-Extensions: permessage-deflate"),
        lambda _: b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        lambda _: bytes(100),
    )
    for answer in answers:
        await _counts(target, "bad_upgrade", answer)


@OVER_WEBSOCKET.case("a dialer does not take frames that RFC 6455 does not allow", "2.4.8")
async def _bad_frames(target: LinkTarget) -> None:
    for reason, sent in (
        ("bad_websocket", b"\x82\x81\x00\x00\x00\x00x"),  # masked
        ("bad_websocket", b"\xc2\x01x"),
        ("bad_websocket", b"\x85\x00"),
        ("text_message", b"\x81\x02hi"),
        ("bad_length", b"\x82\x02hi"),
        ("oversize", b"\x82\x7f" + (2**40).to_bytes(8, "big")),
    ):
        await _counts(target, reason, lambda head, sent=sent: _switching(head) + sent)  # type: ignore[misc]


# -- a listener in bytes


async def _counts(target: LinkTarget, reason: str, reply: _Reply, *, in_the_clear: bool = False) -> None:
    """A dialer of ours that is answered so closes, and counts it by that reason."""
    async with _bytes(target, reply, in_the_clear=in_the_clear) as address:
        endpoint = Endpoint(
            identity=DIALER,
            codecs=list(target.codecs.values()),
            transports=[target.transport(own_credentials(DIALER.node_id))],
            config=target.config(),
            rng=Random(7),
        )
        link = Link(endpoint, role="peer", addresses=[address], target=OWN.node_id)
        link.open()
        try:
            await has_counted(lambda: endpoint.violations.by_reason, reason)
        finally:
            await link.aclose()


@asynccontextmanager
async def _bytes(target: LinkTarget, reply: _Reply, *, in_the_clear: bool) -> AsyncIterator[str]:
    """The address of somebody who answers what comes first with `reply` of it; not in TLS, if so told."""
    writers: list[asyncio.StreamWriter] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            head = b"" if in_the_clear else await reader.readuntil(b"\r\n\r\n")
            writer.write(reply(head))
            await reader.read()

    encrypted = over_tls(f"{target.scheme}://") and not in_the_clear
    context: ssl.SSLContext | None = own_credentials(OWN.node_id).server_context() if encrypted else None
    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    try:
        port = server.sockets[0].getsockname()[1]
        path = "/" if scheme(f"{target.scheme}://") in ("ws", "wss") else ""
        yield f"{target.scheme}://127.0.0.1:{port}{path}"
    finally:
        server.close()
        for _ in range(10):  # asyncio takes some turns from accepting a connection to handing it over
            await asyncio.sleep(0)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # for the sockets to be gone
