"""Your own RPC system instead of ours: a `RaftNetwork` over gRPC, with no Codec and no Transport of raftsdk's.

Messages are plain `msgspec` structs, so any serialiser will do; here it is MessagePack, one line each way. gRPC brings
connections, deadlines and backpressure. What it does not bring is order among calls to one target; nothing is lost
by that, and the window of outstanding calls is worth less (see the contract of `RaftNetwork`).

Needs `pip install grpcio`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import grpc
import msgspec

from raftsdk import Refused, Unreachable
from raftsdk.checks import check
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raftsdk.ports import LinkStatus, RaftHandler, SnapshotSource

SERVICE = "raft.Raft"
TIMEOUT_S = 1.0
PIECE_TIMEOUT_S = 5.0  # the node writes a piece down before it answers, and looks the whole over behind the last
PIECE_BYTES = 256 * 1024

Asked = TypeVar(
    "Asked", AppendEntriesRequest, RequestVoteRequest, InstallSnapshotRequest, TimeoutNowRequest, ReadIndexRequest
)
Answer = TypeVar(
    "Answer", AppendEntriesResponse, RequestVoteResponse, InstallSnapshotResponse, TimeoutNowResponse, ReadIndexResponse
)


class GrpcNetwork:
    """The calls of one node to its peers and theirs to it. `addresses` are `host:port`, this node's own included."""

    api_version = 1

    def __init__(self, node_id: str, addresses: Mapping[str, str]) -> None:
        self._address = addresses[node_id]
        self._peers = {peer: address for peer, address in addresses.items() if peer != node_id}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._server: grpc.aio.Server | None = None

    async def start(self, handler: RaftHandler) -> None:
        """Serve, and make a channel to each peer; gRPC connects when there is something to say."""
        self._handler = handler
        self._server = grpc.aio.server()
        methods = {
            "AppendEntries": self._method(AppendEntriesRequest),
            "RequestVote": self._method(RequestVoteRequest),
            "InstallSnapshot": self._method(InstallSnapshotRequest),
            "TimeoutNow": self._method(TimeoutNowRequest),
            "ReadIndex": self._method(ReadIndexRequest),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        self._server.add_insecure_port(self._address)
        await self._server.start()
        self._channels = {peer: grpc.aio.insecure_channel(address) for peer, address in self._peers.items()}

    async def request_vote(self, target: str, request: RequestVoteRequest) -> RequestVoteResponse:
        """Ask for a vote."""
        return await self._call(target, "RequestVote", request, RequestVoteResponse)

    async def append_entries(self, target: str, request: AppendEntriesRequest) -> AppendEntriesResponse:
        """Send entries, or a heartbeat."""
        return await self._call(target, "AppendEntries", request, AppendEntriesResponse)

    async def install_snapshot(
        self, target: str, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        """Bring a whole snapshot, piece by piece, from where `target` says to go on. The core calls again for the rest
        when one of them is lost.
        """
        furthest = -1
        response = await self._send_piece(target, request, b"", 0)
        while not response.installed and response.term <= request.term:
            if response.next_offset <= furthest:
                raise Unreachable(f"{target} gets no further than {response.next_offset} bytes")
            furthest = response.next_offset
            data = await source.read(furthest, PIECE_BYTES)
            response = await self._send_piece(target, request, data, furthest)
        return response

    async def timeout_now(self, target: str, request: TimeoutNowRequest) -> TimeoutNowResponse:
        """Ask `target` to campaign at once."""
        return await self._call(target, "TimeoutNow", request, TimeoutNowResponse)

    async def read_index(self, target: str, request: ReadIndexRequest) -> ReadIndexResponse:
        """Ask the leader how far to have applied."""
        return await self._call(target, "ReadIndex", request, ReadIndexResponse)

    def set_addresses(self, target: str, addresses: Sequence[str]) -> None:
        """Find `target` at the first of `addresses` from the next call on. Channels that are open close by themselves,
        once nobody holds them.
        """
        self._channels.pop(target, None)
        if addresses:
            self._channels[target] = grpc.aio.insecure_channel(addresses[0])

    def link(self, target: str) -> LinkStatus:
        """What `raftsdk status` shows of the way to `target`."""
        channel = self._channels.get(target)
        ready = channel is not None and channel.get_state() is grpc.ChannelConnectivity.READY
        return LinkStatus(connected=ready, codec="msgpack", transport="grpc")

    async def aclose(self) -> None:
        """Stop serving, close the channels. A node whose store refuses to load closes a network that never started."""
        for channel in self._channels.values():
            await channel.close()
        if self._server is not None:
            await self._server.stop(grace=None)

    async def _send_piece(
        self, target: str, request: InstallSnapshotRequest, data: bytes, offset: int
    ) -> InstallSnapshotResponse:
        piece = msgspec.structs.replace(request, data=data, offset=offset)
        return await self._call(target, "InstallSnapshot", piece, InstallSnapshotResponse, PIECE_TIMEOUT_S)

    async def _call(
        self, target: str, method: str, request: Any, response_type: type[Answer], timeout_s: float = TIMEOUT_S
    ) -> Answer:
        if target not in self._channels:
            raise Unreachable(f"nobody said where {target} is")
        call = self._channels[target].unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=msgspec.msgpack.encode,
            response_deserializer=msgspec.msgpack.Decoder(response_type).decode,
        )
        try:
            return cast("Answer", await call(request, timeout=timeout_s))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                code, _, message = str(error.details()).partition(": ")
                raise Refused(code, message) from None
            raise Unreachable(f"{target}: {error.details()}") from None

    def _method(self, request_type: type[Asked]) -> grpc.RpcMethodHandler:
        async def serve(request: Asked, context: grpc.aio.ServicerContext) -> Any:
            check(request)  # ranges and order, as every codec of ours checks them
            response = await self._handler.handle(request)
            if isinstance(response, ErrorResponse):
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{response.code}: {response.message}")
            return response

        return grpc.unary_unary_rpc_method_handler(
            serve,
            request_deserializer=msgspec.msgpack.Decoder(request_type).decode,
            response_serializer=msgspec.msgpack.encode,
        )
