"""Whoever speaks to the node under test, frame by frame: rightly or wrongly."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from struct import pack
from typing import Any, Final, TypeAlias, cast
from zlib import crc32

from raftsdk.errors import WireError
from raftsdk.ports import Connection
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.wire.frame import Flags, Frame, WireKind, parse_frame
from raftsdk.wire.packing import unpack

PATIENCE_S: Final = 5.0
"""How long a sound node may take over anything that takes it milliseconds."""

CLOSING_S: Final = 15.0
"""How long a sound node may take to give up on a stranger, its own time limits included."""

MAX_FRAME_BYTES: Final = 1024 * 1024

_HEAD: Final = ">IBBBBII"
_NAME: Final = r"[a-z0-9][a-z0-9._-]{0,31}"


def frame(
    kind: int,
    body: bytes = b"",
    *,
    flags: int = 0,
    call_id: int = 0,
    version: int = 1,
    reserved: int = 0,
    group: int = 0,
    body_bytes: int | None = None,
    spoil: int = 0,
) -> bytes:
    """A frame as clause 3.1 lays it out, with anything in it that may be wrong; `spoil` is xored into the checksum.

    Written from the specification, not with the package's own writer: the two are compared in the tests.
    """
    head = pack(_HEAD, len(body) if body_bytes is None else body_bytes, version, kind, flags, reserved, group, call_id)
    return head + (crc32(head, crc32(body)) ^ spoil).to_bytes(4, "big") + body


def packed(kind: int, *bodies: bytes, flags: int = 0, **others: int) -> bytes:
    """A frame as clause 3.11 has it, with a message for each of `bodies`; `others` are arguments of `frame`."""
    body = b"".join(pack(">I", len(each)) + each for each in bodies)
    return frame(kind, body, flags=flags | Flags.PACKED, **others)


ABSENT: Final = object()
"""In place of a field's value: there is no such field."""


def hello_body(**changes: Any) -> bytes:
    """The hello of a client that belongs to nobody, with changes."""
    hello = {
        "protocol": {"min": 1, "max": 1},
        "role": "client",
        "codecs": ["json"],
        "max_frame_bytes": MAX_FRAME_BYTES,
        **changes,
    }
    present = {name: value for name, value in hello.items() if value is not ABSENT}
    return json.dumps(present, ensure_ascii=False).encode()


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(_NAME, value) is not None


def _is_range(value: object) -> bool:
    return isinstance(value, dict) and all(_is_integer(value.get(end), 0, 255) for end in ("min", "max"))


def _is_integer(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_text(value: object, chars: int) -> bool:
    return isinstance(value, str) and len(value) <= chars


def _are_names(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 16 and all(map(_is_name, value))


_Field: TypeAlias = tuple[bool, Callable[[object], bool]]

_ACCEPTED: Final[dict[str, _Field]] = {
    "version": (True, partial(_is_integer, low=0, high=255)),
    "codec": (True, _is_name),
    "max_frame_bytes": (True, partial(_is_integer, low=1, high=2**32 - 1)),
    "cluster_id": (True, partial(_is_text, chars=128)),
    "node_id": (True, partial(_is_text, chars=128)),
    "idle_timeout_ms": (True, partial(_is_integer, low=1, high=2**32 - 1)),
    "compression": (False, partial(_is_text, chars=32)),
    "features": (False, _are_names),
}
"""The table of clause 4.3.1: whether the field is required, and what it may be."""

_REFUSED: Final[dict[str, _Field]] = {
    "code": (True, partial(_is_text, chars=64)),
    "message": (False, partial(_is_text, chars=2_048)),
    "protocol": (False, _is_range),
}
"""The table of clause 4.4.1."""


def faults_of_answer(answer: object) -> list[str]:
    """What is wrong with the answer to a hello by the tables of 4.3.1 and 4.4.1, in words; nothing, when it is one."""
    if not isinstance(answer, dict):
        return ["it is no object"]
    table = {"accepted": _ACCEPTED, "refused": _REFUSED}.get(answer.get("answer", ""))
    if table is None:
        return [f"it neither accepts nor refuses: answer is {answer.get('answer')!a}"]
    return [
        f"{name} is {answer.get(name, 'missing')!a}"
        for name, (required, allows) in table.items()
        if (required or name in answer) and not allows(answer.get(name))
    ]


class Stranger:
    """One connection to the node, on which whole frames are sent, sound or not."""

    def __init__(self, connection: Connection) -> None:
        connection.max_frame_bytes = MAX_FRAME_BYTES
        self.groups = False  #: Whether others than group 0 were agreed on (3.7).
        self.packing = False  #: Whether frames may be packed (3.11): each message of one is read as a frame by itself.
        self.last_group = 0  #: Of the last frame that came.
        self._connection = connection
        self._received: list[bytes] = []

    def send(self, *frames: bytes) -> None:
        """Put frames on their way."""
        self._connection.write(frames)

    async def frame(self, what: str) -> Frame:
        """The next frame, which is `what`. Fails when there is none, or one that breaks clause 3."""
        data = await self._next(what)
        if data is None:
            raise AssertionError(f"the connection ended where {what} was due")
        try:
            received = parse_frame(data, groups=self.groups, packing=self.packing)
            first, *later = unpack(received)
        except WireError as error:
            raise Mismatch(f"{what} is no sound frame: {error.reason}: {error}", data=data) from None
        self._received[:0] = [
            frame(each.kind, bytes(each.body), flags=each.flags, call_id=each.call_id, group=each.group)
            for each in later
        ]
        self.last_group = first.group
        return first

    async def say_hello(self, **changes: Any) -> dict[str, Any]:
        """Say hello, and return the answer, accepted or refused."""
        self.send(frame(WireKind.HELLO, hello_body(**changes)))
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The answer to a hello that was said. Fails when it is none by clauses 4.1, 4.3 and 4.4."""
        received = await self.frame("the answer to the hello")
        body = bytes(received.body)
        if (received.kind, received.flags, received.call_id) != (WireKind.HELLO_ANSWER, Flags.RESPONSE, 0):
            raise Mismatch(
                "not an answer to a hello",
                data=body,
                expected="kind 0x03, flags 0x01, call id 0",
                found=f"kind {received.kind:#04x}, flags {received.flags:#04x}, call id {received.call_id}",
            )
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise Mismatch(f"the answer to the hello is no JSON: {error}", data=body) from None
        faults = faults_of_answer(answer)
        if faults:
            raise Mismatch(f"the answer to the hello is none: {faults[0]}", data=body, expected="clause 4.3 or 4.4")
        return cast("dict[str, Any]", answer)

    async def answer_or_end(self) -> dict[str, Any] | None:
        """The answer to a hello; None when the connection ended instead."""
        data = await self._next("an answer, or the end of the connection,")
        if data is None:
            return None
        self._received.insert(0, data)
        return await self.answer()

    async def is_closed(self, why: str, within_s: float | None = None) -> None:
        """The node closes this connection, without another frame, because of `why`."""
        data = await self._next(f"the end of the connection, for {why},", within_s)
        if data is not None:
            raise Mismatch(
                f"not closed for {why}",
                data=data,
                expected="the end of the connection",
                found="a frame, or what looks so",
            )

    async def hears_nothing(self, why: str, for_s: float = 0.2) -> None:
        """The node neither sends anything nor closes."""
        if self._received:
            raise Mismatch(f"something came, though {why}", data=self._received[0], expected="nothing")
        reading = asyncio.ensure_future(self._connection.read())
        await asyncio.wait([reading], timeout=for_s)
        if not reading.done():
            reading.cancel()
            await asyncio.wait([reading])
            return
        try:
            received = reading.result()
        except WireError as error:
            raise AssertionError(f"no frame came, though {why}: {error.reason}: {error}") from None
        found = f"{len(received)} frames" if received else "the end of the connection"
        raise Mismatch(f"something came, though {why}", data=b"".join(received), expected="nothing", found=found)

    async def hears_nothing_but_the_end(self, why: str, for_s: float = 0.2) -> None:
        """The node sends nothing; it may close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                if received := await self._connection.read():
                    raise Mismatch(f"something came, though {why}", data=b"".join(received), expected="nothing")

    async def skip_to_the_end(self, why: str) -> None:
        """The node closes this connection because of `why`; what it still says first is of no interest."""
        while await self._next(f"the end of the connection, for {why},") is not None:
            continue

    def leave(self) -> None:
        """End the connection at once."""
        self._connection.abort()

    async def _next(self, what: str, within_s: float | None = None) -> bytes | None:
        """The next frame's bytes; None at the end."""
        within_s = PATIENCE_S if within_s is None else within_s
        try:
            async with asyncio.timeout(within_s):
                self._received = self._received or await self._connection.read()
        except TimeoutError:
            raise AssertionError(f"{what} did not come within {within_s:g} s") from None
        except WireError as error:
            raise AssertionError(f"{what} was due, and came as no frame: {error.reason}: {error}") from None
        return self._received.pop(0) if self._received else None
