"""Clause 4: who speaks first, what a hello is, how it is answered, and how long it may take."""

from typing import Any, Final
from unittest import SkipTest

from raftsdk.messages import MessageKind
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links import stranger as strangers
from raftsdk.testing.conformance.links.raw import trickling
from raftsdk.testing.conformance.links.stranger import frame, hello_body
from raftsdk.testing.conformance.links.subject import LinkTarget, Reached
from raftsdk.testing.suite import Suite
from raftsdk.types import is_identifier
from raftsdk.wire.frame import WireKind

HELLOS: Final[Suite[LinkTarget]] = Suite("hellos")

MAX_HELLO_BYTES: Final = 16_384


# -- who speaks, and how


@HELLOS.case("the listener says nothing before the hello", "4.1.2")
async def _silence(target: LinkTarget) -> None:
    async with target.reached() as node, node.dialed() as stranger:
        await stranger.hears_nothing("no hello was said yet")


@HELLOS.case("the hello is answered once", "4.1.2")
async def _once(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed() as agreed:
        await agreed.stranger.hears_nothing("the hello was answered already")


@HELLOS.case("a first frame that is no hello closes", "4.1.3")
async def _no_hello(target: LinkTarget) -> None:
    first = (
        (MessageKind.STATUS_REQUEST, 0),
        (WireKind.KEEP_ALIVE, 0),
        (WireKind.HELLO_ANSWER, 1),
        (WireKind.HELLO, 1),
        (WireKind.HELLO, 3),
        (0x7E, 0),
    )
    async with target.reached() as node:
        for kind, flags in first:
            async with node.dialed() as stranger:
                stranger.send(frame(kind, hello_body(), flags=flags))
                await stranger.is_closed(f"kind {kind:#04x} with flags {flags} as the first frame")
        await node.serves_on("unexpected_kind")


@HELLOS.case("more behind the hello, before its answer, closes", "4.1.3")
async def _more(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.dialed() as stranger:
            hello = frame(WireKind.HELLO, hello_body(codecs=list(target.codecs)))
            stranger.send(hello, frame(WireKind.KEEP_ALIVE))
            answer = await stranger.answer_or_end()
            if answer is not None and answer["answer"] == "accepted":
                raise SkipTest("it answered before it read on, as it may")
            await stranger.skip_to_the_end("a frame behind the hello")
        await node.serves_on("unexpected_kind")


_NO_HELLOS: Final = (
    b"", b"{}", b"null", b"[]", b'"hello"', b"\xff\xfe", b'{"protocol":', b"[" * 5_000, hello_body() + b"{}",
    b"\xef\xbb\xbf" + hello_body(), hello_body().decode().encode("utf-16"),
    hello_body(node_id="n").replace(b'"n"', b'"\xed\xa0\x80"'),
)  # fmt: skip

_OUT_OF_BOUNDS: Final[tuple[dict[str, Any], ...]] = (
    {"role": "king"}, {"role": None}, {"role": 1}, {"codecs": "json"}, {"codecs": [1]}, {"codecs": ["json"] * 17},
    {"codecs": ["J S O N"]}, {"codecs": ["json", ""]}, {"codecs": ["a" * 33]}, {"max_frame_bytes": 0},
    {"max_frame_bytes": -1}, {"max_frame_bytes": 2**32}, {"max_frame_bytes": True}, {"max_frame_bytes": 1e6},
    {"max_frame_bytes": "1000"}, {"protocol": {"min": 1}}, {"protocol": {"min": 1, "max": 256}}, {"protocol": 1},
    {"protocol": {"min": -1, "max": 1}}, {"protocol": {"min": True, "max": 1}}, {"cluster_id": "c" * 129},
    {"node_id": 7}, {"features": ["a"] * 17}, {"compression": ["Z"]},
)  # fmt: skip


@HELLOS.case("a body that is no JSON object closes, with bad_hello if anything is said", "4.1.4")
async def _garbage(target: LinkTarget) -> None:
    async with target.reached() as node:
        for body in _NO_HELLOS:
            await is_no_hello(node, body)
        await node.serves_on("bad_hello")


@HELLOS.case(
    "a field that is missing, of another type or out of bounds closes, with bad_hello if anything is said", "4.1.5"
)
async def _bounds(target: LinkTarget) -> None:
    async with target.reached() as node:
        for changes in _OUT_OF_BOUNDS:
            await is_no_hello(node, hello_body(**changes))
        for field in ("protocol", "role", "codecs", "max_frame_bytes"):
            await is_no_hello(node, hello_body(**{field: strangers.ABSENT}))
        await node.serves_on("bad_hello")


@HELLOS.case("null, in place of a field that may be absent, is no hello", "4.1.5")
async def _null(target: LinkTarget) -> None:
    async with target.reached() as node:
        for field in ("cluster_id", "node_id", "target_id", "compression", "features"):
            await is_no_hello(node, hello_body(**{field: None}))


@HELLOS.case("a name that occurs twice is no hello", "4.1.5")
async def _twice(target: LinkTarget) -> None:
    async with target.reached() as node:
        for second in (b'"role":"client"', b'"codecs":["json"]', b'"later":1,"later":2'):
            await is_no_hello(node, hello_body()[:-1] + b"," + second + b"}")


async def is_no_hello(node: Reached, body: bytes) -> None:
    """`body` closes the connection, with the refusal `bad_hello` or without one (4.4.4)."""
    async with node.dialed() as stranger:
        stranger.send(frame(WireKind.HELLO, body))
        answer = await stranger.answer_or_end()
        if answer is not None and answer.get("code") != "bad_hello":
            raise Mismatch("no hello was answered", data=body, expected="bad_hello, or the end", found=str(answer))
        if answer is not None:
            await stranger.is_closed("a body that is no hello")


# -- the answer


@HELLOS.case("an acceptance names one of each, from what was offered", "4.3.1")
async def _accepted(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed(max_frame_bytes=123_456) as agreed:
        answer = agreed.answer
        found = {
            "version": answer["version"] == 1,
            "codec": answer["codec"] in target.codecs,
            "max_frame_bytes": 1 <= answer["max_frame_bytes"] <= 123_456,
            "node_id": is_identifier(answer["node_id"]),
            "cluster_id": is_identifier(answer["cluster_id"]),
            "compression": answer.get("compression", "") == "",
            "features": answer.get("features", []) == [],
        }
        wrong = [name for name, holds in found.items() if not holds]
        if wrong:
            raise Mismatch(
                f"{', '.join(wrong)} of the answer are not of what was offered",
                expected=hello_body(codecs=list(target.codecs), max_frame_bytes=123_456).decode(),
                found=str(answer),
            )


@HELLOS.case("a refusal names its code and the versions spoken, and closes", "4.4.1")
async def _refused(target: LinkTarget) -> None:
    async with target.reached() as node:
        answer = await node.refusal(protocol={"min": 9, "max": 11})
        spoken = answer.get("protocol", {"min": 1, "max": 1})
        if answer["code"] != "version_mismatch" or not spoken["min"] <= 1 <= spoken["max"]:
            raise Mismatch(
                "versions 9 to 11 by a node that accepts version 1",
                expected="version_mismatch, and a range with 1 in it",
                found=str(answer),
            )


@HELLOS.case("of several reasons to refuse, the first in the table is told", "4.4.2")
async def _order(target: LinkTarget) -> None:
    nobody = {"codecs": ["zz-later"]}
    async with target.reached() as node:
        elsewhere = await node.peer_hello(cluster_id="not-this-one", target_id="nor-that-one", **nobody)
        proven = () if node.tls() is None else ("wrong_identity",)
        await node.is_refused("version_mismatch", **{**elsewhere, "protocol": {"min": 9, "max": 9}})
        await node.is_refused("bad_hello", **{**elsewhere, "target_id": ""})
        await node.is_refused("wrong_cluster", *proven, **elsewhere)
        await node.is_refused("wrong_target", *proven, **await node.peer_hello(target_id="nor-that-one", **nobody))
        ids = await node.ids()
        await node.is_refused("own_id", *proven, **await node.peer_hello(node_id=ids.node_id, **nobody))
        await node.is_refused("no_common_codec", **await node.peer_hello(**nobody))


@HELLOS.case("an id that is none is not repeated in the refusal", "4.4.5")
async def _unspoken(target: LinkTarget) -> None:
    async with target.reached() as node:
        answer = await node.refusal(**await node.peer_hello(node_id="evil\r\nline"))
        if "evil" in answer.get("message", ""):
            raise Mismatch("a stranger's text came back", expected="a message without it", found=str(answer))


# -- size and time


@HELLOS.case("a hello of 16,384 bytes is taken, and a longer one is not", "4.5.4")
async def _size(target: LinkTarget) -> None:
    spare = MAX_HELLO_BYTES - len(hello_body(padding="", codecs=list(target.codecs)))
    # A live node may be configured to take more; nobody takes this much.
    more = 1 if not target.live else 4 * 1024 * 1024
    async with target.reached() as node:
        async with node.agreed(padding="x" * spare):
            pass
        async with node.dialed() as stranger:
            stranger.send(frame(WireKind.HELLO, hello_body(codecs=list(target.codecs), padding="x" * (spare + more))))
            await stranger.is_closed(f"a hello of {MAX_HELLO_BYTES + more} bytes")
        await node.serves_on("oversize")


@HELLOS.case("a stranger who says nothing is closed", "4.5.1")
async def _says_nothing(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.dialed() as stranger:
            await stranger.is_closed("the time limit of the hello", within_s=strangers.CLOSING_S)
        await node.serves_on("handshake_timeout")


@HELLOS.case("a hello that trickles in has one time limit for all of it", "4.5.1")
async def _trickle(target: LinkTarget) -> None:
    pause_s = 0.02 if not target.live else 0.2
    hello = frame(WireKind.HELLO, hello_body(codecs=list(target.codecs)))
    async with target.reached() as node:
        async with node.raw() as stranger, trickling(stranger, hello, pause_s):
            received = await stranger.to_the_end("a hello that takes too long")
            if received:
                raise Mismatch("a hello that took too long was answered", data=received, expected="the end")
        await node.serves_on("handshake_timeout")


@HELLOS.case("a connection that ends before its hello is complete is no violation", "4.5.5")
async def _leaves(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.dialed():
            pass
        await node.serves_on()
        if node.network and node.network.closed_by_reason:
            raise Mismatch("counted as a violation", expected="nothing", found=str(dict(node.network.closed_by_reason)))


# -- unknown fields


@HELLOS.case("unknown fields are ignored, of any type", "4.6.1")
async def _unknown_fields(target: LinkTarget) -> None:
    later = {"later": 1, "nested": {"a": [None, 1.5, {"b": "c"}]}, "null": None, "": True}
    async with target.reached() as node, node.agreed(**later) as agreed:
        await agreed.asks_status()


@HELLOS.case("unknown names among the offers are ignored", "4.6.2")
async def _unknown_names(target: LinkTarget) -> None:
    offers = {"codecs": ["zz-later", *target.codecs], "compression": ["zz-later"], "features": ["zz-later"]}
    async with target.reached() as node, node.agreed(**offers) as agreed:
        await agreed.asks_status()
