"""Requests over one connection, from the side that accepted it."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final, cast

from raftsdk.config import LinkConfig
from raftsdk.errors import DecodeError, WireError
from raftsdk.messages import (
    MESSAGE_KINDS,
    AppendEntriesRequest,
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    MessageKind,
    ProposeResponse,
    ReadIndexRequest,
    Request,
    RequestVoteRequest,
    Response,
    TimeoutNowRequest,
)
from raftsdk.ports import Codec, Connection, RaftHandler
from raftsdk.types import NodeId
from raftsdk.wire.frame import ERROR_RESPONSE, Flags, Frame, WireKind
from raftsdk.wire.hello import PACKING, HelloAccepted, Role
from raftsdk.wire.outbox import Outbox
from raftsdk.wire.reading import read_frames

_REQUESTS: Final[dict[Role, dict[int, MessageKind]]] = {
    "peer": {
        kind: kind
        for kind in (
            MessageKind.APPEND_ENTRIES_REQUEST,
            MessageKind.REQUEST_VOTE_REQUEST,
            MessageKind.INSTALL_SNAPSHOT_REQUEST,
            MessageKind.TIMEOUT_NOW_REQUEST,
            MessageKind.READ_INDEX_REQUEST,
        )
    },
    "client": {
        kind: kind
        for kind in (
            MessageKind.PROPOSE_REQUEST,
            MessageKind.QUERY_REQUEST,
            MessageKind.STATUS_REQUEST,
            MessageKind.CHANGE_MEMBERSHIP_REQUEST,
            MessageKind.TRANSFER_LEADERSHIP_REQUEST,
            MessageKind.OPEN_SESSION_REQUEST,
            MessageKind.TAKE_SNAPSHOT_REQUEST,
        )
    },
}
_LINK_KINDS: Final = frozenset(WireKind)

_RETRY_AFTER_MS: Final = 100
_MAX_QUOTE_CHARS: Final = 500


class Session:
    """A connection after its hello: requests in, responses out, in whatever order they become ready.

    What the other side may do wrong and go on: a request nobody here knows, that its role may not make, that is for a
    group without a handler, that speaks for another node, or that cannot be decoded is answered with an `ErrorResponse`
    and not delivered; one too many at a time is answered "overloaded" (rather than left unread: reading on keeps the
    connection's end and its limits in sight). What it may not: anything that is no request, an id that is still in use,
    or leaving its responses unread.
    """

    def __init__(
        self,
        connection: Connection,
        answer: HelloAccepted,
        *,
        role: Role,
        node_id: NodeId,
        certified: bool,
        codec: Codec,
        config: LinkConfig,
        handlers: Mapping[int, RaftHandler],
    ) -> None:
        connection.max_frame_bytes = answer.max_frame_bytes
        self.connection = connection
        self.node_id = node_id
        self.role = role
        self.certified = certified  # `node_id` is proven, not just said
        self._codec = codec
        self._config = config
        self._answer = answer
        self._handlers = handlers
        self._kinds = _REQUESTS[role]
        self._loop = asyncio.get_running_loop()
        self._unanswered: set[int] = set()
        self._outbox = Outbox(connection, packing=PACKING in answer.features)
        self._fault: WireError | None = None
        self.heard_at = self._loop.time()

    async def run(self) -> None:
        """Deliver requests until the connection ends. Raises `WireError` when the other side broke the rules. Replies
        may still come after that; nobody hears them.
        """
        await read_frames(self.connection, self._answer, self._take)
        if self._fault is not None:
            raise self._fault

    def end(self, fault: WireError) -> None:
        """End the connection for `fault`, which `run` then raises."""
        self._fault = fault
        self.connection.abort()

    # -- requests

    def _take(self, frame: Frame) -> None:
        if self._fault is not None:
            raise self._fault  # what came in the same read as the fault, or before we knew of it
        self.heard_at = self._loop.time()
        kind = self._kinds.get(frame.kind)
        if frame.flags or (kind is None and frame.kind in _LINK_KINDS):
            _check_keep_alive(frame)
            return
        call_id = frame.call_id
        if call_id in self._unanswered:
            raise WireError("duplicate_call", f"call {call_id} began again before it was answered")
        self._unanswered.add(call_id)
        request = self._admitted(kind, frame)
        if isinstance(request, ErrorResponse):
            self._reply(call_id, frame.group, request)
        else:
            self._handlers[frame.group].deliver(request, partial(self._reply, call_id, frame.group))

    def _admitted(self, kind: MessageKind | None, frame: Frame) -> Request | ErrorResponse:
        """The request to deliver, or why it is not delivered."""
        if kind is None:
            return _unwelcome(frame.kind, self.role)
        if len(self._unanswered) > self._config.max_calls_per_connection:
            limit = self._config.max_calls_per_connection
            return ErrorResponse(
                code=ErrorCode.OVERLOADED,
                message=f"{limit} requests of this connection are still unanswered",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        if frame.group not in self._handlers:
            return ErrorResponse(code=ErrorCode.UNKNOWN_GROUP, message=f"group {frame.group} is not served here")
        try:
            request = cast("Request", self._codec.decode(kind, frame.body))
        except DecodeError as error:
            return ErrorResponse(code=ErrorCode.BAD_REQUEST, message=str(error)[:_MAX_QUOTE_CHARS])
        if self.role == "peer" and (speaker := _speaker(request)) != self.node_id:
            return ErrorResponse(
                code=ErrorCode.WRONG_IDENTITY,
                message=f"a request of {speaker}, on a connection of {self.node_id}",
            )
        return request

    # -- responses

    def _reply(self, call_id: int, group: int, response: Response) -> None:
        if call_id not in self._unanswered:
            return  # a second reply to one request
        self._unanswered.discard(call_id)
        body = self._codec.encode(response)
        if len(body) > self._answer.max_frame_bytes:
            response = self._too_long(response, len(body))
            body = self._codec.encode(response)
        flags = ERROR_RESPONSE if type(response) is ErrorResponse else Flags.RESPONSE
        unsent_bytes = self._outbox.put(MESSAGE_KINDS[type(response)], flags, call_id, body, None, group)
        if unsent_bytes > self._config.max_unsent_bytes:
            self.end(WireError("slow_reader", f"{unsent_bytes} bytes of responses are unread"))

    def _too_long(self, response: Response, body_bytes: int) -> ErrorResponse:
        """What is answered instead of a `response` that is longer than the other side takes."""
        why = f"the response has {body_bytes} bytes, and at most {self._answer.max_frame_bytes} were agreed on"
        # Of a proposal only the result is lost. "Too large" would say that the command is in no log.
        code = ErrorCode.OUTCOME_UNKNOWN if isinstance(response, ProposeResponse) else ErrorCode.TOO_LARGE
        return ErrorResponse(code=code, message=why)


def _check_keep_alive(frame: Frame) -> None:
    if (frame.kind, frame.flags) != (WireKind.KEEP_ALIVE, 0):
        raise WireError("unexpected_kind", f"kind {frame.kind:#04x} with flags {frame.flags}, where a request was due")


def _unwelcome(kind: int, role: Role) -> ErrorResponse:
    if kind in _REQUESTS["peer"] or kind in _REQUESTS["client"]:
        return ErrorResponse(code=ErrorCode.WRONG_IDENTITY, message=f"kind {kind:#04x} is not for a {role} to ask")
    return ErrorResponse(code=ErrorCode.UNSUPPORTED, message=f"kind {kind:#04x} is not known here")


def _speaker(request: Request) -> NodeId:
    """Whom a peer's `request` claims to be from."""
    if isinstance(request, AppendEntriesRequest):  # Nearly all are; a match takes three times as long.
        return request.leader_id
    match request:
        case InstallSnapshotRequest() | TimeoutNowRequest():
            return request.leader_id
        case RequestVoteRequest():
            return request.candidate_id
        case _:
            return cast("ReadIndexRequest", request).node_id
