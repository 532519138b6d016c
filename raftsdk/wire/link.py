"""One connection to one node, kept up for as long as the link is open."""

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Final, TypeVar

from raftsdk.config import scheme
from raftsdk.errors import Refused, Unreachable, WireError
from raftsdk.messages import ErrorResponse, PeerResponse, Request, Response
from raftsdk.ports import Connection, LinkStatus
from raftsdk.wire.channel import Bodies, Channel
from raftsdk.wire.endpoint import Endpoint, certified_names
from raftsdk.wire.frame import Flags, WireKind, encode_frame, parse_frame
from raftsdk.wire.hello import (
    HelloAccepted,
    Role,
    accepted,
    check_certificate,
    decode_answer,
    encode_hello,
    make_hello,
)

logger = logging.getLogger("raftsdk.wire")

_MAX_LOGGED_CHARS: Final = 500

_Response = TypeVar("_Response", bound=PeerResponse)


class Link:
    """Keeps a connection to `target` ("" for whoever answers there), trying `addresses` in turn.

    After a connection failed, ended or was refused, the next attempt waits for a random time between nothing and a
    limit that doubles with every attempt ("full jitter"), up to `reconnect_max_ms`. The limit starts over only after
    a connection that lasted that long: two nodes with one id, each displacing the other, thus slow down instead of
    flapping.

    Made and used within one event loop. Requests that share `bodies` are encoded once. `call_timeout_ms` replaces that
    of the settings, where answers may take longer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        role: Role,
        addresses: Sequence[str],
        target: str = "",
        bodies: Bodies | None = None,
        call_timeout_ms: int | None = None,
    ) -> None:
        self.addresses = tuple(addresses)
        self._endpoint = endpoint
        self._hello = make_hello(endpoint.terms, role, target)
        self._name = target or ", ".join(addresses)
        self._bodies = bodies or Bodies()
        self._call_timeout_ms = call_timeout_ms or endpoint.config.call_timeout_ms
        self._closed = False
        self._channel: Channel | None = None
        self._status = LinkStatus()
        self._trouble = "the first attempt is under way"
        self._connected_at = math.inf
        self._attempt_ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._stay_connected(), name=f"link to {self._name}")

    @property
    def status(self) -> LinkStatus:
        """What is known of the connection now."""
        return self._status

    @property
    def closed(self) -> bool:
        """Whether it was closed, so that there will be no other connection."""
        return self._closed

    @property
    def max_body_bytes(self) -> int:
        """The longest body that the other side takes; by our own limit, while there is no connection."""
        return self._channel.max_body_bytes if self._channel else self._endpoint.config.max_frame_bytes

    def send(self, request: Request, group: int = 0) -> asyncio.Future[Response]:
        """Put `request` on its way before this returns; see `Channel.send`. Raises `Unreachable` at once, saying why,
        while there is no connection: whoever calls knows better than a queue whether the request is still worth
        sending.
        """
        if self._channel is None:
            raise Unreachable(f"{self._name} is not connected: {self._trouble}")
        return self._channel.send(request, group)

    async def call(self, request: Request, group: int = 0) -> Response:
        """As `send`, and waits for the response; before that, for an attempt to connect that is under way."""
        await self.attempted()
        return await self.send(request, group)

    def give_up(self, group: int) -> None:
        """Fail the calls to `group` that have no outcome yet."""
        if self._channel is not None:
            self._channel.give_up(group)

    def stay_alive(self) -> None:
        """Have the other side hear us, if there is a connection."""
        if self._channel is not None:
            self._channel.stay_alive()

    async def attempted(self) -> None:
        """Wait for the attempt to connect that is under way, if one is, to succeed or fail."""
        if self._channel is None:
            await self._attempt_ended.wait()

    async def aclose(self) -> None:
        """End the connection for good; calls without an outcome raise `Unreachable`. May be called twice."""
        self._closed = True
        self._trouble = "the link was closed"
        self._attempt_ended.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # -- keeping the connection

    async def _stay_connected(self) -> None:
        attempts = 0
        while True:
            lasted = await self._attempt(self.addresses[attempts % len(self.addresses)])
            attempts = 0 if lasted else attempts + 1
            await asyncio.sleep(self._pause_s(attempts))

    def _pause_s(self, attempts: int) -> float:
        config = self._endpoint.config
        # The shift is bounded because the attempts are not: a peer may be down for a year.
        doublings = min(max(attempts - 1, 0), 32)
        limit_ms = min(config.reconnect_max_ms, config.reconnect_min_ms << doublings)
        return self._endpoint.rng.uniform(0, limit_ms) / 1000

    async def _attempt(self, address: str) -> bool:
        """Connect and serve until the connection ends; whether that lasted long enough to call the peer well."""
        loop = asyncio.get_running_loop()
        self._attempt_ended.clear()
        self._connected_at = math.inf
        try:
            await self._connect_and_serve(address)
            self._report(logging.INFO, f"{address} closed the connection")
        except Exception as error:
            # Also what no transport should raise: a fault of one link never reaches another.
            # That a peer is down is for its own log to explain; that it refuses us is for somebody here to put right.
            level = logging.INFO if isinstance(error, Unreachable) else logging.WARNING
            self._report(level, str(error) or type(error).__name__)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not by us: something that the transport waited for was given up. A link that ended of it never came back.
            self._report(logging.WARNING, f"the transport gave up on {address}")
        self._attempt_ended.set()
        return (loop.time() - self._connected_at) * 1000 >= self._endpoint.config.reconnect_max_ms

    async def _connect_and_serve(self, address: str) -> None:
        try:
            connection = await self._connect(address)
            try:
                answer = await self._agree(connection)
                await self._serve(connection, answer, address)
            finally:
                connection.abort()
        except WireError as fault:
            self._endpoint.violations.note(address, fault)
            raise

    async def _connect(self, address: str) -> Connection:
        transport = self._endpoint.transport_for(address)
        timeout_ms = self._endpoint.config.connect_timeout_ms
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await transport.connect(address)
        except TimeoutError:
            raise Unreachable(f"{address} took no connection within {timeout_ms} ms") from None

    async def _agree(self, connection: Connection) -> HelloAccepted:
        """Say hello, and return what was agreed. One time limit for all of it."""
        config = self._endpoint.config
        names = certified_names(connection)
        if self._hello.target_id:
            check_certificate(self._hello.target_id, names)
        connection.max_frame_bytes = config.max_hello_bytes
        connection.write((encode_frame(WireKind.HELLO, 0, 0, encode_hello(self._hello)),))
        try:
            async with asyncio.timeout(config.handshake_timeout_ms / 1000):
                received = await connection.read()
        except TimeoutError:
            limit_ms = config.handshake_timeout_ms
            raise Unreachable(f"{connection.remote} did not answer the hello within {limit_ms} ms") from None
        if not received:
            raise Unreachable(f"{connection.remote} closed the connection instead of answering the hello")
        frame = parse_frame(received[0], connection.max_frame_bytes)
        if (frame.kind, frame.flags, len(received)) != (WireKind.HELLO_ANSWER, Flags.RESPONSE, 1):
            raise WireError("unexpected_kind", f"a frame of kind {frame.kind:#04x}, where the hello's answer was due")
        answer = accepted(decode_answer(frame.body), self._hello)
        check_certificate(answer.node_id, names)
        return answer

    async def _serve(self, connection: Connection, answer: HelloAccepted, address: str) -> None:
        codec = self._endpoint.codecs[answer.codec]
        channel = Channel(
            connection, answer, codec, self._bodies, self._endpoint.config, call_timeout_ms=self._call_timeout_ms
        )
        self._channel = channel
        self._status = LinkStatus(connected=True, codec=answer.codec, transport=scheme(address))
        self._connected_at = asyncio.get_running_loop().time()
        self._attempt_ended.set()
        try:
            await channel.run()
        finally:
            self._channel = None
            self._status = LinkStatus()

    def _report(self, level: int, trouble: str) -> None:
        """Remember `trouble` for those who call, and log it unless it is the same as before."""
        if trouble != self._trouble:
            logger.log(level, "no connection to %s: %a", self._name, trouble[:_MAX_LOGGED_CHARS])
        self._trouble = trouble


def expect(kind: type[_Response], response: Response) -> _Response:
    """`response` of a call whose answer is of that `kind`. Raises `Refused` when it is an `ErrorResponse`."""
    if isinstance(response, ErrorResponse):
        raise Refused(response.code, response.message)
    assert isinstance(response, kind), "a channel returns only what answers the request"
    return response
