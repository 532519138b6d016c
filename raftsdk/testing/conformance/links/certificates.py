"""Clauses 2.5 and 6.5: TLS, and what a certificate proves of whoever shows it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from unittest import SkipTest

from raftsdk.config import scheme
from raftsdk.testing.certificates import Issued
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.own import (
    PEER,
    authority,
    over_tls,
    own_address,
    own_credentials,
)
from raftsdk.testing.conformance.links.raw import RawStranger, raw_stranger, trickling
from raftsdk.testing.conformance.links.stranger import frame, hello_body
from raftsdk.testing.conformance.links.subject import LinkTarget, Reached
from raftsdk.testing.suite import Suite
from raftsdk.wire.frame import WireKind

CERTIFICATES: Final[Suite[LinkTarget]] = Suite("certificates")

_PLAIN: Final = {"tcp+tls": "tcp", "wss": "ws"}
_HELLO: Final = frame(WireKind.HELLO, hello_body())


# -- the handshake


@asynccontextmanager
async def _in_the_clear(node: Reached) -> AsyncIterator[RawStranger]:
    """Bytes to the port of TLS, without TLS."""
    if not over_tls(node.address):
        raise SkipTest(f"{scheme(node.address)} has no TLS")
    async with raw_stranger(node.address, None) as stranger:
        yield stranger


@CERTIFICATES.case("what is sent in the clear, where TLS is spoken, closes", "2.5.1")
async def _plain(target: LinkTarget) -> None:
    async with target.reached() as node:
        for sent in (_HELLO, b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100):
            async with _in_the_clear(node) as stranger:
                await stranger.send(sent)
                received = await stranger.to_the_end("bytes that are no TLS")
                if len(received) > 100:  # an alert has 7
                    raise Mismatch("answered in the clear", data=received, expected="an alert, or nothing")
        await node.serves_on("bad_tls")


@CERTIFICATES.case("a handshake that does not come, or trickles in, is closed", "2.5.1")
async def _slow(target: LinkTarget) -> None:
    pause_s = 0.02 if not target.live else 0.2
    record = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    async with target.reached() as node:
        async with _in_the_clear(node) as stranger, trickling(stranger, record, pause_s):
            await stranger.to_the_end("a handshake that takes too long")
        await node.serves_on("handshake_timeout")


async def _gets_nowhere(node: Reached, shown: ssl.SSLContext) -> None:
    """Whoever shows this is closed, without an answer to its hello: either nothing, or an alert."""
    try:
        async with raw_stranger(node.address, shown) as stranger:
            await stranger.send(_HELLO)
            received = await stranger.to_the_end("a certificate that is not believed")
    except AssertionError as error:
        if isinstance(error.__cause__, OSError):
            return  # refused in the middle of the handshake
        raise
    if received:
        raise Mismatch("whoever shows no good certificate was answered", data=received, expected="the end")


@CERTIFICATES.case("a certificate of another authority is not believed", "2.5.3")
async def _another_authority(target: LinkTarget) -> None:
    async with target.reached() as node:
        await _gets_nowhere(node, _showing(authority("another").issue(PEER)))
        await node.serves_on("bad_certificate")


@CERTIFICATES.case("a certificate that has run out is not believed", "2.5.3")
async def _expired(target: LinkTarget) -> None:
    if target.live:
        raise SkipTest("it takes a certificate that has run out, of the node's own authority")
    issued = authority().issue(f"{PEER}-of-yesterday", lifetime=-timedelta(days=1))
    async with target.reached() as node:
        await _gets_nowhere(node, _showing(issued))
        await node.serves_on("bad_certificate")


@CERTIFICATES.case("a peer without a certificate is not let in", "2.5.2")
async def _no_certificate(target: LinkTarget) -> None:
    async with target.reached() as node:
        if target.live and scheme(node.address) != "tcp+tls":
            raise SkipTest("a live node may take clients without a certificate (6.5.2)")
        if target.live:
            await _is_no_peer(node, _showing(None))
        else:
            await _gets_nowhere(node, _showing(None))
        await node.serves_on("no_certificate")


async def _is_no_peer(node: Reached, bare: ssl.SSLContext) -> None:
    hello = frame(WireKind.HELLO, hello_body(codecs=list(node.target.codecs), **await node.peer_hello()))
    async with raw_stranger(node.address, bare) as stranger:
        await stranger.send(hello)
        received = await stranger.to_the_end("a peer without a certificate")
    if received and b'"wrong_identity"' not in received:
        raise Mismatch("a peer without a certificate", data=received, expected="wrong_identity, or the end")


def _showing(issued: Issued | None) -> ssl.SSLContext:
    """What a dialer shows that believes everybody: so it is the listener that refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if issued is not None:
        context.load_cert_chain(issued.certificate, issued.key)
    return context


# -- whose it is


@CERTIFICATES.case("a peer whose certificate does not carry its id is refused with wrong_identity", "6.5.2")
async def _another_name(target: LinkTarget) -> None:
    async with target.reached() as node:
        for name in ("somebody-else", PEER.upper(), f"{PEER}.example", "kit"):
            await node.is_refused("wrong_identity", **await node.peer_hello(node_id=name))


@CERTIFICATES.case("a client that gives an id that is not proven is refused with wrong_identity", "6.5.2")
async def _clients_name(target: LinkTarget) -> None:
    async with target.reached() as node:
        await node.is_refused("wrong_identity", node_id="somebody-else")


@CERTIFICATES.case("a certificate's names are those behind its subject, not the subject", "6.5.1")
async def _wildcard(target: LinkTarget) -> None:
    if target.live:
        raise SkipTest("it takes certificates of the node's own authority")
    async with target.reached() as node:
        peer = await node.peer_hello(node_id="a.example")
        async with node.dialed(own_credentials("*.example")) as stranger:
            answer = await node.refusal_on(stranger, **peer)
        if answer["code"] != "wrong_identity":
            raise Mismatch("a certificate of *.example", expected="wrong_identity", found=str(answer))


@CERTIFICATES.case("nobody speaks without a certificate for a peer that is connected with one", "6.5.4")
async def _beside(target: LinkTarget) -> None:
    plain = _PLAIN[target.scheme]
    if plain not in target.transport(None).schemes:
        raise SkipTest(f"this transport has no {plain}")
    async with target.reached(beside=own_address(plain)) as node:
        assert node.network is not None
        address = node.network.listening[1]
        hello = await node.peer_hello()
        async with node.agreed_as_peer():
            async with node.dialed(address=address) as stranger:
                answer = await node.refusal_on(stranger, **hello)
            if answer["code"] != "wrong_identity":
                raise Mismatch("a peer without a certificate", expected="wrong_identity", found=str(answer))
