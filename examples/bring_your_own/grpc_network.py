"""Your own RPC system instead of ours: a `RaftNetwork` over gRPC, with no Codec and no Transport of raftsdk's.

Messages are plain `msgspec` structs, so any serialiser will do; here it is MessagePack, one line each way. gRPC brings
connections, deadlines and backpressure. What it does not bring is order among calls to one target; nothing is lost
by that, and the window of outstanding calls is worth less (see the contract of `RaftNetwork`).

Needs `pip install grpcio`.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import grpc
import msgspec

from raftsdk import Refused, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    check,
)
from raftsdk.ports import LinkStatus, RaftHandler

SERVICE = "raft.Raft"
TIMEOUT_S = 1.0

Asked = TypeVar("Asked", AppendEntriesRequest, RequestVoteRequest)
Answer = TypeVar("Answer", AppendEntriesResponse, RequestVoteResponse)


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
            "AppendEntries": self._method(AppendEntriesRequest, AppendEntriesResponse),
            "RequestVote": self._method(RequestVoteRequest, RequestVoteResponse),
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

    def link(self, target: str) -> LinkStatus:
        """What `raftsdk status` shows of the way to `target`."""
        ready = self._channels[target].get_state() is grpc.ChannelConnectivity.READY
        return LinkStatus(connected=ready, codec="msgpack", transport="grpc")

    async def aclose(self) -> None:
        """Stop serving, close the channels. A node whose store refuses to load closes a network that never started."""
        for channel in self._channels.values():
            await channel.close()
        if self._server is not None:
            await self._server.stop(grace=None)

    async def _call(self, target: str, method: str, request: Any, response_type: type[Answer]) -> Answer:
        call = self._channels[target].unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=msgspec.msgpack.encode,
            response_deserializer=msgspec.msgpack.Decoder(response_type).decode,
        )
        try:
            return cast("Answer", await call(request, timeout=TIMEOUT_S))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                raise Refused("refused", str(error.details())) from None
            raise Unreachable(f"{target}: {error.details()}") from None

    def _method(self, request_type: type[Asked], response_type: type[Any]) -> grpc.RpcMethodHandler:
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
