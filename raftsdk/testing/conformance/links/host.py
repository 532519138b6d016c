"""The other way round: the kit listens, and a dialer is tried with right and wrong answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

from raftsdk.errors import Unreachable
from raftsdk.messages import MessageKind, ProposeRequest, Request, Response
from raftsdk.ports import Codec, Connection, Credentials
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links import stranger as strangers
from raftsdk.testing.conformance.links.own import OWN, own_credentials
from raftsdk.testing.conformance.links.stranger import MAX_FRAME_BYTES, Stranger, frame
from raftsdk.testing.conformance.links.subject import LinkTarget, has_counted
from raftsdk.types import Identity
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.frame import Flags, WireKind
from raftsdk.wire.hello import Role
from raftsdk.wire.link import Link

DIALER: Final = Identity(cluster_id=OWN.cluster_id, node_id="n2")

IDLE_MS: Final = 60_000


class Guest(Stranger):
    """A dialer's connection, from the listener's side."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.hello: dict[str, Any] = {}

    async def says_hello(self) -> dict[str, Any]:
        """Its hello, which must be a sound one in its frame (4.1.1)."""
        received = await self.frame("a hello")
        body = bytes(received.body)
        if (received.kind, received.flags, received.call_id) != (WireKind.HELLO, 0, 0):
            raise Mismatch(
                "the first frame is no hello",
                data=body,
                expected="kind 0x02, flags 0x00, call id 0",
                found=f"kind {received.kind:#04x}, flags {received.flags:#04x}, call id {received.call_id}",
            )
        try:
            self.hello = json.loads(body)
        except ValueError as error:
            raise Mismatch(f"the hello is no JSON: {error}", data=body) from None
        return self.hello

    def answer_frame(self, **changes: Any) -> bytes:
        """A frame with the acceptance of its hello, with changes."""
        answer = {
            "answer": "accepted",
            "version": 1,
            "codec": self.hello["codecs"][0],
            "max_frame_bytes": min(self.hello["max_frame_bytes"], MAX_FRAME_BYTES),
            "cluster_id": OWN.cluster_id,
            "node_id": OWN.node_id,
            "idle_timeout_ms": IDLE_MS,
            **changes,
        }
        present = {name: value for name, value in answer.items() if value is not strangers.ABSENT}
        return answering(json.dumps(present).encode())

    async def is_accepted(self, **changes: Any) -> None:
        """Take its hello, and accept it; with changes to the answer."""
        await self.says_hello()
        self.send(self.answer_frame(**changes))


def answering(body: bytes, **wrong: int) -> bytes:
    """A frame that answers a hello with this body."""
    return frame(WireKind.HELLO_ANSWER, body, **{"flags": Flags.RESPONSE, **wrong})


def refusing(code: str, **changes: Any) -> bytes:
    """A frame that refuses a hello."""
    return answering(json.dumps({"answer": "refused", "code": code, **changes}).encode())


class Host:
    """Where dialers arrive."""

    def __init__(self) -> None:
        self.address = ""
        self._arrived: asyncio.Queue[Guest] = asyncio.Queue()
        self._over = asyncio.Event()
        self.arrivals = 0

    async def take(self, connection: Connection) -> None:
        """The life of a connection."""
        self.arrivals += 1
        self._arrived.put_nowait(Guest(connection))
        await self._over.wait()

    async def guest(self) -> Guest:
        """The next dialer that comes."""
        try:
            async with asyncio.timeout(strangers.PATIENCE_S):
                return await self._arrived.get()
        except TimeoutError:
            raise AssertionError(f"nobody dialed within {strangers.PATIENCE_S:g} s") from None

    def close(self) -> None:
        """End every connection."""
        self._over.set()


@asynccontextmanager
async def hosting(target: LinkTarget, shows: Credentials | None = None) -> AsyncIterator[Host]:
    """The kit listens, on the transport under test."""
    host = Host()
    transport = target.transport(shows or own_credentials(OWN.node_id))
    listener = await transport.listen(target.own_address(), host.take)
    host.address = listener.address
    try:
        yield host
    finally:
        host.close()
        await listener.aclose()


class Dialing:
    """A dialer of ours that is looking for n1, and the host it finds."""

    def __init__(self, host: Host, link: Link, endpoint: Endpoint, codec: Codec) -> None:
        self.host = host
        self.link = link
        self.codec = codec
        self._endpoint = endpoint

    async def guest(self) -> Guest:
        """Its next connection."""
        return await self.host.guest()

    async def accepted(self, **changes: Any) -> Guest:
        """Its next connection, after its hello was accepted, once it knows that."""
        guest = await self.guest()
        await guest.is_accepted(**changes)
        await self.is_connected()
        return guest

    async def is_connected(self) -> None:
        """It has taken the answer for an acceptance."""
        try:
            async with asyncio.timeout(strangers.PATIENCE_S):
                while not self.link.status.connected:  # noqa: ASYNC110  # nobody sets an event there
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(f"a sound answer was not taken for one: {dict(self.counts)}") from None

    @property
    def counts(self) -> Mapping[str, int]:
        """The connections it closed, by reason."""
        return self._endpoint.violations.by_reason

    async def counted(self, reason: str) -> None:
        """It has counted a connection closed for that reason."""
        await has_counted(lambda: self.counts, reason)

    def counted_nothing(self) -> None:
        """It has found no violation."""
        if self.counts:
            raise Mismatch("counted as a violation", expected="nothing", found=str(dict(self.counts)))

    def asks(self, request: Request | None = None) -> asyncio.Future[Response]:
        """Have it ask; a proposal, unless told otherwise."""
        return self.link.send(request or ProposeRequest(command=b"a command"))

    def response_frame(self, call_id: int, response: Response, kind: int, **wrong: int) -> bytes:
        """A frame that answers a call."""
        return frame(kind, self.codec.encode(response), **{"flags": Flags.RESPONSE, "call_id": call_id, **wrong})


async def next_request(guest: Guest) -> tuple[int, MessageKind]:
    """The call id and the kind of the next request; keep-alives are passed over."""
    while True:
        received = await guest.frame("a request")
        if received.kind != WireKind.KEEP_ALIVE:
            return received.call_id, MessageKind(received.kind)


async def has_no_answer(calling: asyncio.Future[Response], why: str) -> None:
    """The call ends without an answer, its outcome unknown."""
    try:
        async with asyncio.timeout(strangers.PATIENCE_S):
            response = await calling
    except Unreachable:
        return
    raise Mismatch(f"an answer was made of {why}", expected="no outcome", found=repr(response)[:300])


@asynccontextmanager
async def dialing(
    target: LinkTarget,
    *,
    role: Role = "peer",
    looks_for: str = OWN.node_id,
    shows: Credentials | None = None,
    dialer_shows: Credentials | None = None,
    beside: tuple[str, ...] = (),
    **settings: Any,
) -> AsyncIterator[Dialing]:
    """A dialer of ours that looks for `looks_for` ("" for anybody), and the kit, which listens where it looks.

    `shows` are the kit's certificates, `dialer_shows` those of the dialer; `beside` are addresses it tries before.
    """
    identity = DIALER if role == "peer" else Identity(cluster_id="", node_id="")
    endpoint = Endpoint(
        identity=identity,
        codecs=list(target.codecs.values()),
        transports=[target.transport(dialer_shows or own_credentials(DIALER.node_id))],
        config=target.config(**settings),
        rng=Random(7),
    )
    async with hosting(target, shows) as host:
        link = Link(endpoint, role=role, addresses=[*beside, host.address], target=looks_for)
        link.open()
        try:
            yield Dialing(host, link, endpoint, next(iter(target.codecs.values())))
        finally:
            await link.aclose()
