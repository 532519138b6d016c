"""Clause 5: what is agreed on, of what both sides have."""

from typing import ClassVar, Final
from unittest import SkipTest

from raftsdk.messages import Message, MessageKind
from raftsdk.ports import Codec
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links.subject import LinkTarget
from raftsdk.testing.suite import Suite

NEGOTIATION: Final[Suite[LinkTarget]] = Suite("negotiation")

_WORKED: Final = (
    ("json, msgpack", "json, msgpack", "json"),
    ("json, msgpack", "msgpack, json", "msgpack"),
    ("protobuf, msgpack, json", "json, msgpack, protobuf", "json"),
    ("msgpack, protobuf, json", "protobuf, json, msgpack", "protobuf"),
    ("json", "msgpack, protobuf, json", "json"),
    ("capnp, json", "flatbuffers, json", "json"),
    ("msgpack, msgpack, json", "json, msgpack", "msgpack"),
    ("capnp", "flatbuffers, json", "no_common_codec"),
)
"""The table of clause 5.2.1: what the dialer prefers, what the listener prefers, what is chosen."""


class _Unused:
    """A codec that is chosen and never used."""

    name: ClassVar[str] = ""

    def encode(self, message: Message) -> bytes:
        """Nothing is encoded here."""
        raise NotImplementedError

    def decode(self, kind: MessageKind, data: bytes | memoryview) -> Message:
        """Nothing is decoded here."""
        raise NotImplementedError


def named_codec(name: str) -> Codec:
    """A codec of that name, to be chosen and not used."""
    made: Codec = type("_Named", (_Unused,), {"name": name})()
    return made


@NEGOTIATION.case("the highest common version is chosen", "5.1.1")
async def _version(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed(protocol={"min": 0, "max": 1}) as agreed:
        if agreed.answer["version"] != 1:
            raise Mismatch("of versions 0 to 1", expected="version 1", found=str(agreed.answer))


@NEGOTIATION.case("ranges of versions that do not meet are refused", "5.1.1")
async def _no_version(target: LinkTarget) -> None:
    async with target.reached() as node:
        for low, high in ((0, 0), (200, 255), (255, 0)):
            await node.is_refused("version_mismatch", protocol={"min": low, "max": high})


@NEGOTIATION.case("a codec that is offered alone is chosen, or there is none in common", "5.2.1")
async def _codec_alone(target: LinkTarget) -> None:
    async with target.reached() as node:
        for name in target.codecs:
            async with node.dialed() as stranger:
                answer = await stranger.say_hello(codecs=[name])
                if answer.get("codec", answer.get("code")) not in (name, "no_common_codec"):
                    raise Mismatch(
                        f"{name} was offered alone", expected=f"{name} or no_common_codec", found=str(answer)
                    )


@NEGOTIATION.case("a codec with the lowest sum of places is chosen: every line of the table", "5.2.1")
async def _worked(target: LinkTarget) -> None:
    if target.live:
        raise SkipTest("the listener's own order of several codecs has to be known")
    for theirs, ours, due in _WORKED:
        codecs = {name: named_codec(name) for name in ours.split(", ")}
        async with target.reached(codecs=codecs) as node, node.dialed() as stranger:
            answer = await stranger.say_hello(codecs=theirs.split(", "))
            if answer.get("codec", answer.get("code")) != due:
                raise Mismatch(f"{theirs} met {ours}", expected=due, found=str(answer))


@NEGOTIATION.case("of codecs with equal sums, the one that the listener names first is chosen", "5.2.1")
async def _own_order(target: LinkTarget) -> None:
    if target.live or len(target.codecs) < 2:
        raise SkipTest("the listener's own order of several codecs has to be known")
    listeners = list(target.codecs)
    async with target.reached() as node, node.agreed(codecs=listeners[::-1]) as agreed:
        if agreed.answer["codec"] != listeners[0]:
            raise Mismatch(f"of {listeners[::-1]}", expected=listeners[0], found=agreed.answer["codec"])


@NEGOTIATION.case("no codec in common is refused", "5.2.1")
async def _no_codec(target: LinkTarget) -> None:
    async with target.reached() as node:
        for offered in ([], ["zz-later"]):
            await node.is_refused("no_common_codec", codecs=offered)


@NEGOTIATION.case("no compression is agreed on, whatever is offered", "5.3.1")
async def _compression(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed(compression=["zstd", "gzip"]) as agreed:
        if agreed.answer.get("compression", "") != "":
            raise Mismatch("zstd and gzip were offered", expected="no compression", found=str(agreed.answer))


@NEGOTIATION.case("the smaller frame limit is in force", "5.4.1")
async def _frame_limit(target: LinkTarget) -> None:
    async with target.reached() as node:
        async with node.agreed(max_frame_bytes=2**32 - 1) as agreed:
            own = agreed.answer["max_frame_bytes"]
        for offered in (1, 1_000, own - 1, own, own + 1):
            async with node.agreed(max_frame_bytes=offered) as agreed:
                chosen = agreed.answer["max_frame_bytes"]
                if chosen != min(offered, own):
                    raise Mismatch(f"of {offered} and {own}", expected=str(min(offered, own)), found=str(chosen))


@NEGOTIATION.case("a feature that the listener does not have is not in force", "5.5.1")
async def _features(target: LinkTarget) -> None:
    async with target.reached() as node, node.agreed(features=["zz-later", "zz-last"]) as agreed:
        if agreed.answer.get("features", []) != []:
            raise Mismatch("features of nobody were offered", expected="none in force", found=str(agreed.answer))


@NEGOTIATION.case("each connection is negotiated by itself", "5.2.3")
async def _each(target: LinkTarget) -> None:
    if len(target.codecs) < 2:
        raise SkipTest("it takes two codecs")
    names = list(target.codecs)[:2]
    async with target.reached() as node, node.agreed(codecs=names[:1]) as one, node.agreed(codecs=names[1:]) as other:
        found = [one.answer["codec"], other.answer["codec"]]
        if found != names:
            raise Mismatch("two connections", expected=str(names), found=str(found))
        await one.asks_status()
        await other.asks_status()
