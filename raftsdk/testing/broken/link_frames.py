"""Listeners that are wrong about frames, in one way each: clause 3 of `spec/wire.md`."""

import asyncio
from contextlib import suppress
from typing import Any

from raftsdk.errors import WireError
from raftsdk.ports import FRAME_HEADER_BYTES
from raftsdk.testing.broken.link import BrokenLink, End, seen
from raftsdk.wire.frame import WireKind

_OWN_LIMIT_BYTES = 8 * 1024 * 1024


class IgnoresTheChecksum(BrokenLink):
    """Takes damaged frames."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make the checksum right."""
        part = seen(data)
        return [data if part.version != 1 else part.made(sound=True)]


class TakesEveryVersion(BrokenLink):
    """Reads frames of another version as if they were of its own."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make the version 1."""
        return [seen(data).made(version=1)]


class JudgesTheChecksumFirst(BrokenLink):
    """Closes without an answer on a later version, which sums differently."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Show it the checksum before the version."""
        part = seen(data)
        return [data if part.sound else part.made(version=1)]


class AnswersNoOtherVersion(BrokenLink):
    """Closes without an answer on another version in the first frame."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Hang up."""
        if seen(data).version != 1:
            end.abort()
            return []
        return [data]


class IgnoresUnknownFlags(BrokenLink):
    """Takes flags that nobody defined."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Take them off."""
        part = seen(data)
        return [part.made(flags=part.flags & 0x03)]


class RefusesTheReservedByte(BrokenLink):
    """Closes when the reserved byte is used: it will not understand whoever gives it a meaning."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Damage the frame."""
        part = seen(data)
        return [part.made(sound=False) if part.reserved else data]


class TakesEveryGroup(BrokenLink):
    """Takes what is for another group for its own."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make the group 0."""
        return [seen(data).made(group=0)]


class JudgesTheGroupFirst(BrokenLink):
    """Names the group where the flags are judged before it."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Hide wrong flags behind a wrong group."""
        part = seen(data)
        return [part.made(flags=0) if part.group and part.sound else data]


class AnswersAnotherCall(BrokenLink):
    """Answers under another call id."""

    def says(self, end: End, data: bytes) -> list[bytes]:
        """Count from 0."""
        part = seen(data)
        return [part.made(call_id=part.call_id ^ 1) if part.is_response else data]


class WantsNoIdInTheHello(BrokenLink):
    """Closes on a hello with a call id."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Damage it."""
        part = seen(data)
        return [part.made(sound=False) if part.kind == WireKind.HELLO and part.call_id else data]


class DropsCall0(BrokenLink):
    """Does not answer the request of id 0."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Drop it."""
        part = seen(data)
        return [] if part.is_request and not part.call_id else [data]


class ForgetsTheAgreedLimit(BrokenLink):
    """Goes on by its own limit, whatever was agreed."""

    def limit(self, end: End, value: int) -> int:
        """Raise it, once the hello is through."""
        return value if end.limits == 1 else _OWN_LIMIT_BYTES


class IsOneByteShort(BrokenLink):
    """Does not take a body of just the agreed length."""

    def limit(self, end: End, value: int) -> int:
        """Take one byte off, once the hello is through."""
        return value if end.limits == 1 else value - 1


class WaitsForTheBody(BrokenLink):
    """Judges a length once the body is there."""

    def limit(self, end: End, value: int) -> int:
        """Keep it for later."""
        end.memory = [value]
        return 2**32 - 1

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Judge now."""
        if len(data) > end.memory[0] + FRAME_HEADER_BYTES:
            end.abort()
            raise WireError("oversize", "it is here, and too long")
        return [data]


class DropsWhatCameBefore(BrokenLink):
    """Throws sound frames away with the one behind them."""

    async def received(self, end: End) -> list[bytes]:
        """Look one read ahead."""
        frames = await end.inner.read()
        if end.heard:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    frames += await end.inner.read()
        return frames


class SendsMoreThanWasAgreed(BrokenLink):
    """Keeps to the agreed limit in what it takes, and not in what it sends."""

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Hide the other side's limit."""
        end.hello = hello.copy()
        if type(hello.get("max_frame_bytes")) is int and hello["max_frame_bytes"] == 2_000:
            hello["max_frame_bytes"] = _OWN_LIMIT_BYTES

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Agree to it all the same."""
        if answer["answer"] == "accepted":
            answer["max_frame_bytes"] = min(answer["max_frame_bytes"], end.hello["max_frame_bytes"])

    def limit(self, end: End, value: int) -> int:
        """Keep to it."""
        return min(value, int(end.hello.get("max_frame_bytes", value)))


class IgnoresTheBodyLength(BrokenLink):
    """Takes a message for a frame's body, whatever length that declares."""

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """Make the length that of the message, and the checksum with it."""
        part = seen(data)
        return [part.made(sound=True) if int.from_bytes(data[:4], "big") != len(part.body) else data]
