"""Calls over one connection, from the side that opened it."""

import asyncio
import math
from typing import Final, cast
from zlib import crc32

from msgspec import Struct

from raftsdk.config import LinkConfig
from raftsdk.errors import DecodeError, Refused, Unreachable, WireError
from raftsdk.messages import MESSAGE_KINDS, ErrorCode, MessageKind, Request, Response
from raftsdk.ports import Codec, Connection
from raftsdk.wire.frame import ERROR_RESPONSE, MAX_CALL_ID, Flags, Frame, WireKind
from raftsdk.wire.hello import GROUPS, PACKING, HelloAccepted
from raftsdk.wire.outbox import Outbox
from raftsdk.wire.packing import PACK_BODY_BYTES
from raftsdk.wire.reading import read_frames

_KEEP_ALIVES_A_TIMEOUT: Final = 3  # so two may be late before the listener takes us for dead
_RESPONSES: Final = {kind: MessageKind(kind + 1) for kind in MessageKind if kind % 2 == 0}
_STALL_S: Final = 0.02  # later than this, a timer was not fired late by chance


class Bodies:
    """Encodes a request that goes to several peers once: the leader hands the same object to a call for each of
    them.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[Request, bytes, int | None]] = {}

    def encode(self, codec: Codec, request: Request) -> tuple[bytes, int | None]:
        """The body of `request`, and its checksum where it is worth keeping."""
        last = self._last.get(codec.name)
        if last is None or last[0] is not request:
            body = codec.encode(request)
            checksum = crc32(body) if len(body) > PACK_BODY_BYTES else None
            last = self._last[codec.name] = request, body, checksum
        return last[1], last[2]


class _Call(Struct):
    """One request without an outcome."""

    response_kind: MessageKind
    group: int
    started_at: float
    future: asyncio.Future[Response]


class Channel:
    """A connection after its hello: requests out, responses matched to them by call id, each within the call timeout.

    There is no task and no timer per call: all have the same timeout, so the oldest expires first, and one timer waits
    for that one alone. When a call expires and nothing at all was heard since it started, the connection is given up: a
    peer that lost its power, or a network that lost its mind, would otherwise keep us waiting for as long as TCP does.
    """

    def __init__(
        self,
        connection: Connection,
        answer: HelloAccepted,
        codec: Codec,
        bodies: Bodies,
        config: LinkConfig,
        call_timeout_ms: int,
    ) -> None:
        connection.max_frame_bytes = answer.max_frame_bytes
        self.codec = codec
        self.max_body_bytes = answer.max_frame_bytes
        self._connection = connection
        self._outbox = Outbox(connection, packing=PACKING in answer.features)
        self._answer = answer
        self._bodies = bodies
        self._max_unsent_bytes = config.max_unsent_bytes
        self._groups = GROUPS in answer.features
        self._call_timeout_s = call_timeout_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, _Call] = {}  # by call id, oldest first: a dict keeps its order
        self._last_call_id = 0
        self._heard_at = 0.0
        self._silence: WireError | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._keep_alive_interval_s = answer.idle_timeout_ms / 1000 / _KEEP_ALIVES_A_TIMEOUT
        self._keep_alive = self._loop.call_later(self._keep_alive_interval_s, self._beat)

    def stay_alive(self) -> None:
        """Have the other side hear us. Adds nothing to what it has not taken yet, which it will hear as well: one that
        stopped reading would otherwise be sent keep-alives for as long as it likes.
        """
        if not self._outbox.unsent_bytes:
            self._outbox.put(WireKind.KEEP_ALIVE, 0, 0, b"")

    def send(self, request: Request, group: int = 0) -> asyncio.Future[Response]:
        """Put `request` on its way to `group` now, and return the future of its response; an `ErrorResponse` is one,
        too.

        The future raises `Unreachable` when the connection ends or the call timeout passes first. Raises
        `Unreachable` at once when too much is unsent, and `Refused` when the other side would not accept a body of
        that size, or knows of no groups. Cancelling the future gives up the response and nothing else.
        """
        if group and not self._groups:
            raise Refused(ErrorCode.UNSUPPORTED, f"{self._answer.node_id} knows of no groups, so not of group {group}")
        body, checksum = self._bodies.encode(self.codec, request)
        self._check_room(len(body))
        kind = MESSAGE_KINDS[type(request)]
        call_id = self._last_call_id = self._last_call_id % MAX_CALL_ID + 1
        self._outbox.put(kind, 0, call_id, body, checksum, group)
        call = self._calls[call_id] = _Call(_RESPONSES[kind], group, self._loop.time(), self._loop.create_future())
        if self._expiry is None:
            self._expire_at(call.started_at + self._call_timeout_s)
        return call.future

    def _check_room(self, body_bytes: int) -> None:
        if body_bytes > self.max_body_bytes:
            raise Refused(ErrorCode.TOO_LARGE, f"{body_bytes} bytes, and at most {self.max_body_bytes} agreed")
        unsent_bytes = self._outbox.unsent_bytes
        if unsent_bytes + body_bytes > self._max_unsent_bytes:
            raise Unreachable(f"{self._answer.node_id} does not keep up: {unsent_bytes} bytes to it are still unsent")

    def give_up(self, group: int) -> None:
        """Fail every call to `group`: nobody waits for an answer from it any more."""
        for call_id in [call_id for call_id, call in self._calls.items() if call.group == group]:
            _fail(self._calls.pop(call_id), f"group {group} was left before {self._answer.node_id} answered")

    async def run(self) -> None:
        """Serve responses until the connection ends. Raises `WireError` when the other side broke the rules.

        However it ends, the connection is closed and every call has its outcome.
        """
        try:
            await read_frames(self._connection, self._answer, self._take)
            if self._silence is not None:
                raise self._silence
        finally:
            self._end()

    def _take(self, frame: Frame) -> None:
        self._heard_at = self._loop.time()
        if not frame.flags & Flags.RESPONSE:
            raise WireError("unexpected_kind", f"a request of kind {frame.kind:#04x}, on a connection we opened")
        call = self._calls.pop(frame.call_id, None)
        if call is None or call.future.done():
            return  # too late: it expired, or nobody waits any more
        try:
            call.future.set_result(self._decode(frame, call))
        except WireError as fault:
            call.future.set_exception(Unreachable(f"{self._answer.node_id} answered nonsense: {fault}"))
            raise

    def _decode(self, frame: Frame, call: _Call) -> Response:
        if frame.group != call.group:
            raise WireError("bad_group", f"a response from group {frame.group}, where group {call.group} was asked")
        expected = MessageKind.ERROR if frame.flags == ERROR_RESPONSE else call.response_kind
        if frame.kind != expected:
            raise WireError("unexpected_kind", f"a response of kind {frame.kind:#04x}, where {expected:#04x} was due")
        try:
            return cast("Response", self.codec.decode(expected, frame.body))
        except DecodeError as error:
            raise WireError("bad_response", str(error)) from None

    def _expire_at(self, due: float) -> None:
        self._expiry = self._loop.call_at(due, self._expire, due)

    def _expire(self, due: float) -> None:
        """Fail the calls whose time is over, and wait for the next one's."""
        self._expiry = None
        if self._loop.time() - due > _STALL_S:
            # It was us who slept, and what arrived meanwhile is yet to be read. One more chance; not a second one.
            self._expiry = self._loop.call_later(_STALL_S, self._expire, math.inf)
            return
        while self._calls:
            call_id, call = next(iter(self._calls.items()))
            if call.started_at + self._call_timeout_s > self._loop.time():
                self._expire_at(call.started_at + self._call_timeout_s)
                return
            del self._calls[call_id]
            _fail(call, f"{self._answer.node_id} did not answer within {self._call_timeout_s * 1000:.0f} ms")
            if self._heard_at < call.started_at:
                self._silence = WireError("silent", "nothing was heard for a whole call timeout")
                self._connection.abort()

    def _beat(self) -> None:
        self.stay_alive()
        self._keep_alive = self._loop.call_later(self._keep_alive_interval_s, self._beat)

    def _end(self) -> None:
        self._connection.abort()
        self._keep_alive.cancel()
        if self._expiry is not None:
            self._expiry.cancel()
        for call in self._calls.values():
            _fail(call, f"the connection to {self._answer.node_id} ended before it answered")
        self._calls.clear()


def _fail(call: _Call, why: str) -> None:
    if not call.future.done():
        call.future.set_exception(Unreachable(why))
