"""What is dialed: a live node, or one of ours, started afresh for every case on the transport under test."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest import SkipTest

from raftsdk.config import LinkConfig, scheme
from raftsdk.errors import DecodeError, Unreachable, WireError
from raftsdk.messages import MESSAGE_KINDS, ErrorResponse, Message, MessageKind, Response, StatusRequest
from raftsdk.ports import Codec, Credentials, RaftHandler, Transport
from raftsdk.testing.conformance.evidence import Mismatch
from raftsdk.testing.conformance.links import stranger as strangers
from raftsdk.testing.conformance.links.own import OWN, PEER, QUICK, Canned, over_tls, own_address, own_credentials
from raftsdk.testing.conformance.links.raw import BYTE_STREAMS, RawStranger, raw_stranger
from raftsdk.testing.conformance.links.stranger import Stranger, frame
from raftsdk.types import Identity
from raftsdk.wire.frame import ERROR_RESPONSE, Flags
from raftsdk.wire.rpc import RpcNetwork


@dataclass(frozen=True)
class LinkTarget:
    """A node to be dialed over `transport`: the live one at `address`, or else one of ours."""

    scheme: str
    codecs: Mapping[str, Codec]  #: Those a case may use, by name.
    transport: Callable[[Credentials | None], Transport]
    address: str = ""
    listen: str = ""  #: Where one of ours listens; "" chooses.
    credentials: Credentials | None = None  #: What the kit shows to a live node.
    settings: Mapping[str, Any] = field(default_factory=dict)  #: Of a node of ours, whatever a case would have.

    @property
    def live(self) -> bool:
        """Whether this is somebody else's node, of which only the address is known."""
        return bool(self.address)

    def own_address(self) -> str:
        """Somewhere to listen on the transport under test."""
        return self.listen or own_address(self.scheme)

    def config(self, **settings: Any) -> LinkConfig:
        """The settings of a node of ours."""
        return LinkConfig(**{**QUICK, **settings, **self.settings})

    @asynccontextmanager
    async def reached(
        self,
        handler: RaftHandler | None = None,
        *,
        identity: Identity = OWN,
        codecs: Mapping[str, Codec] | None = None,
        beside: str = "",
        shows: Credentials | None = None,
        **settings: Any,
    ) -> AsyncIterator["Reached"]:
        """The node, running. Skips the case when it has to be like this and is a live one.

        One of ours answers by `handler`, is called `identity`, has `codecs`, listens at the address `beside` as well,
        shows other certificates than its own, and has `settings` of `LinkConfig`.
        """
        if self.live:
            if handler or settings or codecs or beside or shows or identity != OWN:
                raise SkipTest("it takes a node with settings of the case's own")
            yield Reached(self, self.address, self.credentials)
            return
        network = RpcNetwork(
            identity=identity,
            addresses={},
            listen=[self.own_address(), *filter(None, [beside])],
            codecs=list((codecs or self.codecs).values()),
            transports=[self.transport(shows or own_credentials(identity.node_id))],
            config=self.config(**settings),
        )
        await network.start(handler or Canned())
        try:
            yield Reached(self, network.listening[0], own_credentials(PEER), network)
        finally:
            await network.aclose()


class Reached:
    """A node that runs, and the ways to speak to it."""

    def __init__(
        self, target: LinkTarget, address: str, credentials: Credentials | None, network: RpcNetwork | None = None
    ) -> None:
        self.target = target
        self.address = address
        self.credentials = credentials
        self.network = network  #: When the node is ours.

    @asynccontextmanager
    async def dialed(self, shows: Credentials | None = None, address: str = "") -> AsyncIterator[Stranger]:
        """A connection on which nothing was said yet; with other certificates than the kit's own, or elsewhere."""
        transport = self.target.transport(shows or self.credentials)
        try:
            async with asyncio.timeout(strangers.PATIENCE_S):
                connection = await transport.connect(address or self.address)
        except TimeoutError:
            raise AssertionError(f"no connection to {self.address} within {strangers.PATIENCE_S:g} s") from None
        except (Unreachable, WireError) as error:
            raise AssertionError(f"no connection to {self.address}: {error}") from error
        stranger = Stranger(connection)
        try:
            yield stranger
        finally:
            stranger.leave()

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[RawStranger]:
        """A connection of bytes. Skips the case where the transport is no stream of them."""
        if scheme(self.address) not in BYTE_STREAMS:
            raise SkipTest(f"{scheme(self.address)} is no stream of bytes")
        async with raw_stranger(self.address, self.tls()) as stranger:
            yield stranger

    def tls(self) -> ssl.SSLContext | None:
        """What a raw connection has to be wrapped in; None where there is no TLS."""
        return self.credentials.client_context() if self.credentials and over_tls(self.address) else None

    async def counted(self, *reasons: str, data: bytes | None = None) -> None:
        """A node of ours has counted a connection closed for one of `reasons`; a live one keeps its count to itself."""
        if self.network is not None:
            await has_counted(lambda: self.network.closed_by_reason if self.network else {}, *reasons, data=data)

    @asynccontextmanager
    async def agreed(self, **changes: Any) -> AsyncIterator["Agreed"]:
        """A connection after a hello that was accepted."""
        async with self.dialed() as stranger:
            answer = await stranger.say_hello(**{"codecs": list(self.target.codecs), **changes})
            if answer.get("code") == "no_common_codec" and self.target.live and "codecs" not in changes:
                raise SkipTest(f"{self.address} has none of the codecs {', '.join(self.target.codecs)}")
            if answer["answer"] == "refused":
                raise AssertionError(f"refused {answer.get('code')}: {answer.get('message')}")
            codec = self.target.codecs.get(answer["codec"])
            if codec is None:
                raise AssertionError(f"the codec {answer['codec']} was chosen of {', '.join(self.target.codecs)}")
            yield Agreed(stranger, answer, codec)

    async def ids(self) -> Identity:
        """Who the node says it is."""
        async with self.agreed() as agreed:
            return Identity(agreed.answer["cluster_id"], agreed.answer["node_id"])

    @asynccontextmanager
    async def agreed_as_peer(self, **changes: Any) -> AsyncIterator["Agreed"]:
        """A connection after the accepted hello of a peer that no membership names."""
        async with self.agreed(**await self.peer_hello(**changes)) as agreed:
            yield agreed

    async def refusal(self, **changes: Any) -> dict[str, Any]:
        """The refusal of this hello, after which the connection was closed."""
        async with self.dialed() as stranger:
            return await self.refusal_on(stranger, **changes)

    async def refusal_on(self, stranger: Stranger, **changes: Any) -> dict[str, Any]:
        """The refusal of this hello on a connection that is there, which was closed after it and counted by its
        code (4.4.2).
        """
        hello = {"codecs": list(self.target.codecs), **changes}
        answer = await stranger.say_hello(**hello)
        if answer["answer"] != "refused":
            raise Mismatch(
                "a hello was accepted that ought to be refused",
                data=strangers.hello_body(**hello),
                expected="a refusal",
                found=str(answer),
            )
        await stranger.is_closed("a refusal")
        await self.counted("bad_version" if answer["code"] == "version_mismatch" else answer["code"], answer["code"])
        return answer

    async def is_refused(self, *codes: str, **changes: Any) -> None:
        """A hello with `changes` is refused with one of `codes`."""
        answer = await self.refusal(**changes)
        if answer["code"] not in codes:
            raise Mismatch(
                "refused for another reason than was due",
                data=strangers.hello_body(**changes),
                expected=" or ".join(codes),
                found=f"{answer['code']}: {answer.get('message', '')}",
            )

    async def peer_hello(self, **changes: Any) -> dict[str, Any]:
        """The changes that make the hello of a sound peer, which no membership names; and further ones."""
        ids = await self.ids()
        peer = {"role": "peer", "cluster_id": ids.cluster_id, "node_id": PEER, "target_id": ids.node_id}
        return {**peer, **changes}

    async def serves_on(self, *reasons: str) -> None:
        """A new client is served, whatever happened on other connections (14.2); which was counted as one of
        `reasons`, where they are given.
        """
        async with self.agreed() as agreed:
            await agreed.asks_status()
        if reasons:
            await self.counted(*reasons)


async def has_counted(counts: Callable[[], Mapping[str, int]], *reasons: str, data: bytes | None = None) -> None:
    """One of `reasons` is among `counts`, now or a moment later. `data` is what the connection was closed for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(strangers.PATIENCE_S):
            while not any(reason in counts() for reason in reasons):  # noqa: ASYNC110  # nobody sets an event there
                await asyncio.sleep(0.005)
            return
    raise Mismatch(
        "counted by another reason than clause 14 has for it",
        data=data,
        expected=" or ".join(reasons),
        found=", ".join(counts()) or "nothing was counted",
    )


class Agreed:
    """A connection after its hello."""

    def __init__(self, stranger: Stranger, answer: dict[str, Any], codec: Codec) -> None:
        self.stranger = stranger
        self.answer = answer
        self.codec = codec

    async def asks_status(self, call_id: int = 1) -> None:
        """A status request is answered under its call id: with the status, or with an error (7.8.2)."""
        await self.asks(StatusRequest(), call_id)

    async def is_answered(self, kind: MessageKind, call_id: int) -> Response:
        """The response to that call, of that kind or an error."""
        answered, response = await self.response(kind)
        if answered != call_id:
            raise Mismatch("answered under another call id", expected=f"call id {call_id}", found=f"call id {answered}")
        return response

    async def response(self, kind: MessageKind) -> tuple[int, Response]:
        """The next response, of that kind or an error, and the id of its call."""
        received = await self.stranger.frame("a response")
        allowed = {(kind, Flags.RESPONSE), (MessageKind.ERROR, ERROR_RESPONSE)}
        if (received.kind, received.flags) not in allowed:
            raise Mismatch(
                "a frame that is no response to what was asked",
                data=bytes(received.body),
                expected=" or ".join(f"kind {kind:#04x} with flags {flags:#04x}" for kind, flags in sorted(allowed)),
                found=f"kind {received.kind:#04x} with flags {received.flags:#04x}",
            )
        try:
            message: Any = self.codec.decode(MessageKind(received.kind), received.body)
        except DecodeError as error:
            raise Mismatch(f"a response that cannot be decoded: {error}", data=bytes(received.body)) from None
        return received.call_id, message

    async def is_error(self, code: str, call_id: int = 1) -> None:
        """The next response is the error `code` for that call."""
        response = await self.is_answered(MessageKind.ERROR, call_id)
        if not isinstance(response, ErrorResponse) or response.code != code:
            raise Mismatch("another answer than was due", expected=f"the error {code}", found=repr(response)[:300])

    async def asks(self, request: Message, call_id: int = 1) -> Response:
        """The response to `request`."""
        kind = MESSAGE_KINDS[type(request)]
        self.stranger.send(frame(kind, self.codec.encode(request), call_id=call_id))
        return await self.is_answered(MessageKind(kind + 1), call_id)

    async def is_denied(self, request: Message, code: str, call_id: int = 1) -> None:
        """`request` is answered with the error `code`."""
        self.stranger.send(frame(MESSAGE_KINDS[type(request)], self.codec.encode(request), call_id=call_id))
        await self.is_error(code, call_id)
