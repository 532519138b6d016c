"""A stranger with a socket, who writes whatever bytes it likes; and a node for it to talk to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk.config import LinkConfig
from raftsdk.messages import (
    MESSAGE_KINDS,
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    Message,
    MessageKind,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    Request,
    RequestVoteResponse,
    Response,
)
from raftsdk.ports import FRAME_HEADER_BYTES
from raftsdk.runtime import handler as runtime_handler
from raftsdk.types import Entry, Identity
from raftsdk.wire.frame import Flags, Frame, WireKind, encode_frame, parse_frame
from raftsdk.wire.rpc import RpcNetwork

CODEC = JsonCodec()
PATIENCE_S = 5.0

Reply = Callable[[Response], None]


class Handler(runtime_handler.Handler):
    """Keeps what is delivered and answers it, unless `holds`."""

    def __init__(self) -> None:
        self.received: list[Request] = []
        self.replies: list[Reply] = []
        self.holds = False
        self.result = b""

    def deliver(self, request: Request, reply: Reply) -> None:
        self.received.append(request)
        self.replies.append(reply)
        if not self.holds:
            reply(self.response(request))

    def response(self, request: Request) -> Response:
        match request:
            case AppendEntriesRequest():
                return AppendEntriesResponse(term=request.term, success=True, conflict_index=request.prev_log_index)
            case ProposeRequest():
                return ProposeResponse(index=1, result=self.result or request.command)
            case QueryRequest():
                return QueryResponse(applied_index=1, result=self.result)
            case _:
                return RequestVoteResponse(term=1, vote_granted=True)


def new_network(node_id: str, **settings: Any) -> RpcNetwork:
    """A network of cluster "c" that listens at some port; `settings` replace the defaults."""
    defaults: dict[str, Any] = {
        "identity": Identity(cluster_id="c", node_id=node_id),
        "addresses": {},
        "listen": ["tcp://127.0.0.1:0"],
        "codecs": [JsonCodec(), MsgpackCodec()],
        "transports": [TcpTransport()],
    }
    return RpcNetwork(**defaults | settings)


@asynccontextmanager
async def running(node_id: str = "n1", handler: Handler | None = None, **settings: Any) -> AsyncIterator[RpcNetwork]:
    """That network, started and in the end closed; what is no argument of it is a setting of `LinkConfig`."""
    config = {name: settings.pop(name) for name in [*settings] if name in LinkConfig.__struct_fields__}
    network = new_network(node_id, config=LinkConfig(**config), **settings)
    try:
        await network.start(handler or Handler())
        yield network
    finally:
        await network.aclose()


class RawPeer:
    """One end of a TCP connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def send(self, message: Message, call_id: int = 1, group: int = 0) -> None:
        """A frame with `message` in JSON; flags as they should be."""
        kind = MESSAGE_KINDS[type(message)]
        flags = Flags.RESPONSE * (kind % 2) | Flags.ERROR * isinstance(message, ErrorResponse)
        self.write(encode_frame(kind, flags, call_id, CODEC.encode(message), group=group))

    async def frame(self) -> Frame:
        async with asyncio.timeout(PATIENCE_S):
            header = await self._reader.readexactly(FRAME_HEADER_BYTES)
            body = await self._reader.readexactly(int.from_bytes(header[:4]))
            return parse_frame(header + body, groups=True, packing=True)

    async def receive(self) -> tuple[int, Message]:
        """The next frame's call id and message, in JSON."""
        frame = await self.frame()
        return frame.call_id, CODEC.decode(MessageKind(frame.kind), frame.body)

    async def say_hello(self, **changes: Any) -> dict[str, Any]:
        """Send a hello as n2 to n1, with `changes`, and return the answer."""
        self.write(encode_frame(WireKind.HELLO, 0, 0, msgspec.json.encode(hello(**changes))))
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        frame = await self.frame()
        assert (frame.kind, frame.flags) == (WireKind.HELLO_ANSWER, Flags.RESPONSE)
        return cast("dict[str, Any]", msgspec.json.decode(frame.body))

    async def accept_hello(self, node_id: str, **changes: Any) -> dict[str, Any]:
        """Read a hello, and accept it as `node_id`, with `changes` to the answer."""
        frame = await self.frame()
        assert (frame.kind, frame.flags) == (WireKind.HELLO, 0)
        self.write_answer(accepted(node_id, **changes))
        return cast("dict[str, Any]", msgspec.json.decode(frame.body))

    def write_answer(self, answer: dict[str, Any]) -> None:
        self.write(encode_frame(WireKind.HELLO_ANSWER, Flags.RESPONSE, 0, msgspec.json.encode(answer)))

    async def ended(self) -> None:
        """Return once the other side has ended the connection; whatever it still says is skipped."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while await self._reader.read(65_536):
                    pass
            except (ConnectionError, ssl.SSLError):
                return

    def stop_receiving(self) -> None:
        self._reader.set_exception(ConnectionError("we do not read"))
        cast("asyncio.ReadTransport", self._writer.transport).pause_reading()

    async def aclose(self) -> None:
        self._writer.transport.abort()


def hello(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": {"min": 1, "max": 1},
        "cluster_id": "c",
        "node_id": "n2",
        "target_id": "n1",
        "role": "peer",
        "codecs": ["json"],
        "max_frame_bytes": 1_000_000,
    } | changes


def accepted(node_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "answer": "accepted",
        "version": 1,
        "codec": "json",
        "max_frame_bytes": 1_000_000,
        "cluster_id": "c",
        "node_id": node_id,
        "idle_timeout_ms": 60_000,
    } | changes


CLIENT: dict[str, Any] = {"role": "client", "node_id": "", "target_id": "", "cluster_id": ""}


@asynccontextmanager
async def dialed(network: RpcNetwork, place: int = 0, context: ssl.SSLContext | None = None) -> AsyncIterator[RawPeer]:
    """A raw connection to where `network` listens; given a context, with asyncio's TLS, which is not ours."""
    host, port = network.listening[place].partition("://")[2].split(":")
    peer = RawPeer(*await asyncio.open_connection(host, int(port), ssl=context))
    try:
        yield peer
    finally:
        await peer.aclose()


@asynccontextmanager
async def greeted(network: RpcNetwork, place: int = 0, **changes: Any) -> AsyncIterator[RawPeer]:
    """The same, after an accepted hello."""
    async with dialed(network, place) as peer:
        answer = await peer.say_hello(**changes)
        assert answer["answer"] == "accepted", answer
        yield peer


class RawListener:
    """Where links of the code under test arrive; each connection is handled by hand."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[RawPeer] = asyncio.Queue()
        self.address = ""
        self._peers: list[RawPeer] = []

    async def next(self) -> RawPeer:
        async with asyncio.timeout(PATIENCE_S):
            return await self.arrived.get()

    async def accept(self, node_id: str, **changes: Any) -> RawPeer:
        """The next connection, after its hello was accepted."""
        peer = await self.next()
        await peer.accept_hello(node_id, **changes)
        return peer

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        self._peers.append(peer)
        self.arrived.put_nowait(peer)

    async def aclose(self) -> None:
        for peer in self._peers:
            await peer.aclose()


@asynccontextmanager
async def listening() -> AsyncIterator[RawListener]:
    listener = RawListener()
    server = await asyncio.start_server(listener.take, "127.0.0.1", 0)
    listener.address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield listener
    finally:
        server.close()
        for _ in range(10):  # asyncio takes some turns from accepting a connection to handing it over
            await asyncio.sleep(0)
        await listener.aclose()
        await server.wait_closed()


async def until(holds: Callable[[], object]) -> None:
    """Return once `holds()` is true."""
    for _ in range(int(PATIENCE_S / 0.01)):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE_S} s")


def append(number: int = 0, leader_id: str = "n2", data: bytes | None = b"x") -> AppendEntriesRequest:
    """With one entry, or a heartbeat when `data` is None."""
    return AppendEntriesRequest(
        term=1,
        leader_id=leader_id,
        prev_log_index=number,
        prev_log_term=min(number, 1),
        leader_commit=0,
        entries=[] if data is None else [Entry(term=1, kind=1, data=data)],
    )
