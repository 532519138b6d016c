"""Somebody between a good link and its transport, who changes what the link hears or says.

The base of broken listeners and dialers: each is a good one but for one clause of `spec/wire.md`, and the conformance
kit must catch them all. They are written without knowing how the link works, and stay broken in the same way when the
link changes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from struct import unpack
from typing import Any, ClassVar, NamedTuple
from zlib import crc32

from raftsdk.ports import FRAME_HEADER_BYTES, Connection, Listener, Transport
from raftsdk.ports.transport import OnConnection
from raftsdk.testing.broken.transport import BrokenTransport, _Connection
from raftsdk.testing.conformance.links.stranger import frame
from raftsdk.wire.frame import Flags, WireKind

KEEP_ALIVE = frame(WireKind.KEEP_ALIVE)


class Seen(NamedTuple):
    """A frame, whatever is wrong with it."""

    version: int
    kind: int
    flags: int
    reserved: int
    group: int
    call_id: int
    body: bytes
    sound: bool  #: Its checksum is right.

    def made(self, **changes: Any) -> bytes:
        """The same frame with changes and a checksum as right, or as wrong, as it was."""
        parts = self._replace(**changes)
        return frame(
            parts.kind, parts.body, flags=parts.flags, call_id=parts.call_id, version=parts.version,
            reserved=parts.reserved, group=parts.group, spoil=0 if parts.sound else 1,
        )  # fmt: skip

    @property
    def is_request(self) -> bool:
        """Whether it asks."""
        return not self.flags and self.kind not in tuple(WireKind)

    @property
    def is_response(self) -> bool:
        """Whether it answers a request."""
        return bool(self.flags & Flags.RESPONSE) and self.kind != WireKind.HELLO_ANSWER


def seen(data: bytes) -> Seen:
    """What stands in the header of `data`, unjudged."""
    head = data[:FRAME_HEADER_BYTES].ljust(FRAME_HEADER_BYTES, b"\0")
    _, version, kind, flags, reserved, group, call_id, checksum = unpack(">IBBBBIII", head)
    body = data[FRAME_HEADER_BYTES:]
    return Seen(version, kind, flags, reserved, group, call_id, body, crc32(head[:16], crc32(body)) == checksum)


class End(_Connection):
    """One end of a connection, with somebody between it and its user."""

    def __init__(self, inner: Connection, broken: "BrokenLink") -> None:
        super().__init__(inner)
        self.hello: dict[str, Any] = {}  #: The one that passed, for those who have to remember it.
        self.memory: list[int] = []  #: For those who have to remember something else.
        self.limits = 0  #: How often `max_frame_bytes` was set.
        self.heard = 0  #: Frames.
        self._broken = broken

    @property
    def certified_names(self) -> frozenset[str] | None:
        """Whom the user takes the other side for."""
        return self._broken.names(getattr(self.inner, "certified_names", None))

    @property
    def max_frame_bytes(self) -> int:
        """See `Connection.max_frame_bytes`."""
        return self.inner.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        self.limits += 1
        self.inner.max_frame_bytes = self._broken.limit(self, value)

    def write(self, frames: Sequence[bytes]) -> None:
        """Write what the broken one says in place of `frames`."""
        self.inner.write([made for data in frames for made in self._broken.says(self, data)])

    async def read(self) -> list[bytes]:
        """Read what the broken one hears in place of what came."""
        frames: list[bytes] = []
        while not frames:
            received = await self._broken.received(self)
            if not received:
                return []
            for data in received:
                frames += self._broken.hears(self, data)
                self.heard += 1
        return frames


class BrokenLink(BrokenTransport):
    """Spoils the connections that a good transport accepts. Spoils nothing itself: the others change a step each."""

    settings: ClassVar[Mapping[str, Any]] = {}  #: That a node has, whatever a case would have.

    def __init__(self, good: Transport) -> None:
        super().__init__(good)
        self.schemes = good.schemes  # type: ignore[misc]  # of the one that is wrapped, not of the class

    def end(self, inner: Connection) -> Connection:
        """The connection that the link gets in place of `inner`."""
        return End(inner, self)

    async def connect(self, address: str) -> Connection:
        """As the good transport: the other side has to be a good one."""
        return await self.good.connect(address)

    async def listen(self, address: str, on_connection: OnConnection) -> Listener:
        """As the good transport, for spoilt connections."""

        async def spoilt(inner: Connection) -> None:
            await on_connection(self.end(inner))

        return await self.good.listen(address, spoilt)

    # -- the steps

    async def received(self, end: End) -> list[bytes]:
        """The next frames from the other side."""
        return await end.inner.read()

    def hears(self, end: End, data: bytes) -> list[bytes]:
        """What the link reads in place of a frame from the other side."""
        part = seen(data)
        if part.kind != WireKind.HELLO or end.hello or not part.sound:
            return [data]
        return [part.made(body=self._changed(part.body, lambda hello: self.of_hello(end, hello)))]

    def says(self, end: End, data: bytes) -> list[bytes]:
        """What the other side gets in place of a frame of the link."""
        part = seen(data)
        if part.kind != WireKind.HELLO_ANSWER:
            return [data]
        return [part.made(body=self._changed(part.body, lambda answer: self.of_answer(end, answer)))]

    def of_hello(self, end: End, hello: dict[str, Any]) -> None:
        """Change a hello that passes."""

    def of_answer(self, end: End, answer: dict[str, Any]) -> None:
        """Change an answer to a hello that passes."""

    def limit(self, end: End, value: int) -> int:
        """What becomes of a limit that the link sets."""
        return value

    def names(self, names: frozenset[str] | None) -> frozenset[str] | None:
        """Whom the link takes the other side for."""
        return names

    @staticmethod
    def _changed(body: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
        try:
            fields = json.loads(body.decode(), object_pairs_hook=_once)
        except (ValueError, RecursionError):
            return body
        if not isinstance(fields, dict):
            return body
        before = dict(fields)
        change(fields)
        return body if fields == before else json.dumps(fields, ensure_ascii=False).encode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def last_of_two(data: bytes, kind: int) -> bytes:
    """A frame of that kind, with every name in it once."""
    part = seen(data)
    if part.kind != kind or not part.sound:
        return data
    try:
        return part.made(body=json.dumps(json.loads(part.body.decode()), ensure_ascii=False).encode())
    except (ValueError, RecursionError):
        return data
