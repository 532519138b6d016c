"""Listeners that are wrong about the hello, in one way each: clause 4 of `spec/wire.md`."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from raftsdk.errors import WireError
from raftsdk.ports import Connection, Listener
from raftsdk.ports.transport import OnConnection
from raftsdk.testing.broken.link import KEEP_ALIVE, BrokenLink, End, last_of_two, seen
from raftsdk.testing.conformance.links.own import OWN, PEER
from raftsdk.types import is_identifier
from raftsdk.wire.frame import WireKind

_OWN_LIMIT_BYTES = 8 * 1024 * 1024
_HELLO_BYTES = 16_384


class SpeaksFirst(BrokenLink):
    """Greets whoever comes."""

    def end(self, inner: Connection) -> Connection:
        """Greet."""
        inner.write([KEEP_ALIVE])
        return super().end(inner)


class AnswersTheHelloTwice(BrokenLink):
    """Repeats its answer."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Say it again."""
        return [data, data] if seen(data).kind == WireKind.HELLO_ANSWER else [data]


class TakesEverythingForAHello(BrokenLink):
    """Does not look at the kind of the first frame, nor at its flags."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make a hello of it."""
        return [data if end.heard else seen(data).made(kind=WireKind.HELLO, flags=0)]


class TakesEveryEncoding(BrokenLink):
    """Takes a hello with a byte order mark, or in UTF-16."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make it UTF-8."""
        part = seen(data)
        if part.kind != WireKind.HELLO:
            return [data]
        encoding = "utf-16" if part.body.startswith(b"\xff\xfe") else "utf-8-sig"
        try:
            return [part.made(body=part.body.decode(encoding).encode())]
        except UnicodeError:
            return [data]


class TakesNullForAbsent(BrokenLink):
    """Takes a field that is null for one that is not there."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Take them out."""
        for name in [name for name, value in hello.items() if value is None]:
            del hello[name]


class TakesTheLastOfTwo(BrokenLink):
    """Does not see that a name occurs twice."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Read it as most readers of JSON do."""
        return [last_of_two(data, WireKind.HELLO)]


class RoundsNumbers(BrokenLink):
    """Takes 1000000.0, "1000" and true for integers."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Make integers of them."""
        with suppress(KeyError, ValueError, TypeError):
            hello["max_frame_bytes"] = int(hello["max_frame_bytes"])


class ReadsBeyondItsBounds(BrokenLink):
    """Keeps as many names as it is told."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Cut the lists to what the link takes."""
        for name in ("codecs", "features", "compression"):
            if isinstance(hello.get(name), list):
                hello[name] = hello[name][:16]


class TakesPeersWithoutNames(BrokenLink):
    """Lets a peer leave its ids empty."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Fill them in."""
        if hello.get("role") == "peer":
            hello["cluster_id"] = hello.get("cluster_id") or OWN.cluster_id
            hello["node_id"] = hello.get("node_id") or PEER
            hello["target_id"] = hello.get("target_id") or OWN.node_id


class WantsClientsToHaveNames(BrokenLink):
    """Closes on a client that names nobody."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Hang up."""
        if hello.get("role") == "client" and hello.get("node_id") == "":
            end.abort()


class LeavesTheIdleTimeOut(BrokenLink):
    """Does not say how long a dialer may be silent."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Take it out."""
        answer.pop("idle_timeout_ms", None)


class HidesItsVersions(BrokenLink):
    """Says in a refusal that it speaks others than it speaks."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Say 2 to 3."""
        if answer["answer"] == "refused":
            answer["protocol"] = {"min": 2, "max": 3}


class StaysAfterARefusal(BrokenLink):
    """Leaves the connection open that it has refused."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Remember it."""
        if answer["answer"] == "refused":
            end.memory = [1]

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """Keep what was refused."""

        async def kept(inner: Connection) -> None:
            end = _Kept(inner, self)
            await on_connection(end)
            if end.memory:
                await asyncio.Event().wait()

        return await self.good.listen(address, kept)


class _Kept(End):
    """Cannot be closed once it has a memory."""

    async def aclose(self) -> None:
        if not self.memory:
            await super().aclose()

    def abort(self) -> None:
        if not self.memory:
            super().abort()


class JudgesCodecsFirst(BrokenLink):
    """Says that there is no codec in common to whoever is wrong here altogether."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Hide the other faults."""
        if hello.get("codecs") == ["zz-later"] and is_identifier(hello.get("target_id", "")):
            hello.update(cluster_id=OWN.cluster_id, target_id=OWN.node_id, node_id=PEER)


class RepeatsWhatItRefuses(BrokenLink):
    """Quotes an id that is none in its refusal, and so in somebody's log."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Remember it."""
        end.hello = hello.copy()

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Quote it."""
        if answer["answer"] == "refused":
            answer["message"] = f"you are {end.hello.get('node_id')}"


class TakesAHelloOfAnyLength(BrokenLink):
    """Reads whatever a stranger sends."""

    def limit(self, end: End, value: int) -> int:
        """Raise it before the hello."""
        return _OWN_LIMIT_BYTES if end.limits == 1 else value


class TakesShortHellosOnly(BrokenLink):
    """Takes less than every listener must."""

    settings: ClassVar[Mapping[str, Any]] = {"max_hello_bytes": _HELLO_BYTES - 1}


class WaitsForEver(BrokenLink):
    """Has patience with whoever says nothing."""

    settings: ClassVar[Mapping[str, Any]] = {"handshake_timeout_ms": 60_000}


class HasRoomForAll(BrokenLink):
    """Keeps as many silent strangers as come."""

    settings: ClassVar[Mapping[str, Any]] = {"max_half_open_connections": 10_000}


class ComplainsOfEnds(BrokenLink):
    """Takes the end of a connection for a violation."""

    async def received(self, end: End) -> list[bytes]:
        """Complain."""
        frames = await end.inner.read()
        if not frames:
            raise WireError("truncated", "there should have been more")
        return frames


class WantsNoUnknownFields(BrokenLink):
    """Closes on a hello of a later version."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Hang up."""
        if {"later", "padding"} & hello.keys():
            end.abort()


class WantsNoUnknownNames(BrokenLink):
    """Closes on a codec it has never heard of."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Hang up."""
        if "zz-later" in hello.get("codecs", ()) and len(hello["codecs"]) > 1:
            end.abort()
