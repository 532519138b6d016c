"""Accepting connections: the hello under one time limit, and a bound on everything a stranger may take."""

import asyncio
import logging
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from raftsdk.config.rules import is_exposed
from raftsdk.errors import WireError
from raftsdk.messages import ErrorCode
from raftsdk.ports import Connection, Listener, RaftHandler
from raftsdk.types import NodeId
from raftsdk.wire.endpoint import Endpoint, certified_names
from raftsdk.wire.frame import Flags, WireKind, encode_frame, parse_frame
from raftsdk.wire.hello import (
    Hello,
    HelloAccepted,
    HelloAnswer,
    HelloRefused,
    Role,
    decode_hello,
    encode_hello,
    negotiate,
)
from raftsdk.wire.session import Session

logger = logging.getLogger("raftsdk.wire")

MAX_CONNECTIONS_OF_A_PEER: Final = 6
"""Three lanes, and as many again while a peer that lost its network comes back before its old connections have ended.
"""

_SWEEPS_A_TIMEOUT: Final = 4


class Server:
    """Listens, agrees on terms with whoever comes, and runs a `Session` for each; `handlers` are those of the groups.

    Bounds: `max_half_open_connections` without a hello (the oldest gives way: a flood of silent strangers delays an
    honest newcomer, but cannot shut it out); `max_connections` of clients and of peers nobody told us of; and
    `MAX_CONNECTIONS_OF_A_PEER` for each peer in `known_peers`, who are never crowded out by the others. A peer's
    newest connections win, because the old ones may be dead without knowing it; but as long as it is connected with a
    certificate, nobody speaks for it without one.

    A connection that brings no whole frame for `idle_timeout_ms` is closed. This is also what ends half a frame
    followed by silence; so a frame must arrive within that time, however slow the line.
    """

    def __init__(
        self, endpoint: Endpoint, known_peers: Collection[NodeId], handlers: Mapping[int, RaftHandler]
    ) -> None:
        self._endpoint = endpoint
        self._config = endpoint.config
        self._known_peers = known_peers
        self._handlers = handlers
        self._listeners: list[Listener] = []
        self._half_open: dict[Connection, None] = {}  # oldest first: a dict keeps its order
        self._sessions: dict[Session, None] = {}  # likewise
        self._of_peers: dict[NodeId, list[Session]] = {}  # likewise
        self._parted_at: dict[NodeId, float] = {}  # when known peers were last heard on connections that have ended
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses in use, with real ports."""
        return tuple(listener.address for listener in self._listeners)

    def heard_at(self, peer: NodeId) -> float:
        """When a whole frame of `peer` last came, on whichever of its connections, by the event loop's clock; minus
        infinity for never.
        """
        sessions = self._of_peers.get(peer, ())
        return max([self._parted_at.get(peer, -math.inf), *(session.heard_at for session in sessions)])

    async def start(self, addresses: Sequence[str]) -> None:
        """Listen at all of `addresses`, or raise `OSError` and listen at none; then it may be tried again."""
        self._closed = False
        try:
            for address in addresses:
                transport = self._endpoint.transport_for(address)
                self._listeners.append(await transport.listen(address, self._accept))
                if is_exposed(address):
                    logger.warning(
                        "%s is open to other machines, and whoever reaches it may speak for any node: use TLS "
                        "(tcp+tls://, wss://), or see to it that only nodes and clients of this cluster reach it",
                        address,
                    )
        except BaseException:
            await self.aclose()
            raise
        self._close_idle_sessions()

    async def aclose(self) -> None:
        """Stop listening and end every connection, after what was already answered is sent. May be called twice."""
        self._closed = True
        while self._listeners:
            await self._listeners.pop().aclose()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for connection in self._half_open:
            connection.abort()
        await asyncio.gather(*(session.connection.aclose() for session in self._sessions))
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, connection: Connection) -> None:
        """The life of one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._closed:
                await self._serve(connection)
        finally:
            connection.abort()
            self._tasks.discard(task)

    async def _serve(self, connection: Connection) -> None:
        self._make_room()
        self._half_open[connection] = None
        try:
            agreed = await self._agree(connection)
        except WireError as fault:
            await self._part(connection, fault)
            return
        finally:
            self._half_open.pop(connection, None)  # it may have given way
        if agreed is not None:
            await self._run_session(connection, *agreed)

    # -- the hello

    async def _agree(self, connection: Connection) -> tuple[Hello, HelloAccepted] | None:
        """The hello and our answer; None when the stranger left without a hello. Raises `WireError` after refusing."""
        received = await self._first_frames(connection)
        if not received:
            return None
        try:
            hello = _parse_hello(received, connection.max_frame_bytes)
        except WireError as fault:
            if fault.reason == "bad_version":
                _write_answer(connection, HelloRefused(code="version_mismatch", message=str(fault)))
            elif fault.reason == "bad_hello":
                _write_answer(connection, HelloRefused(code="bad_hello", message=str(fault)))
            raise
        answer = self._judge(hello, certified_names(connection))
        _write_answer(connection, answer)
        if isinstance(answer, HelloRefused):
            raise WireError(answer.code, answer.message)
        return hello, answer

    async def _first_frames(self, connection: Connection) -> list[bytes]:
        """What comes first, within one limit for all of it, however it trickles in."""
        limit_ms = self._config.handshake_timeout_ms
        connection.max_frame_bytes = self._config.max_hello_bytes
        try:
            async with asyncio.timeout(limit_ms / 1000):
                return await connection.read()
        except TimeoutError:
            raise WireError("handshake_timeout", f"no hello within {limit_ms} ms") from None

    def _make_room(self) -> None:
        if len(self._half_open) >= self._config.max_half_open_connections:
            oldest = next(iter(self._half_open))
            self._endpoint.violations.note(oldest.remote, WireError("half_open_limit", "gave way to a newer stranger"))
            oldest.abort()
            del self._half_open[oldest]

    def _judge(self, hello: Hello, names: frozenset[str] | None) -> HelloAnswer:
        answer = negotiate(hello, self._endpoint.terms, names)
        if isinstance(answer, HelloRefused):
            return answer
        if names is None and any(session.certified for session in self._sessions_of(hello)):
            why = f"{hello.node_id} is connected with a certificate, and you show none"
            return HelloRefused(code=ErrorCode.WRONG_IDENTITY, message=why)
        if not self._is_known(hello.role, hello.node_id):
            strangers = sum(not self._is_known(session.role, session.node_id) for session in self._sessions)
            # Half of the descriptors are for peers, files and our own dialing, however many clients there are.
            if strangers >= min(self._config.max_connections, _descriptors() // 2):
                return HelloRefused(code=ErrorCode.OVERLOADED, message=f"there are {strangers} connections already")
        return answer

    def _is_known(self, role: Role, node_id: NodeId) -> bool:
        return role == "peer" and node_id in self._known_peers

    # -- sessions

    async def _run_session(self, connection: Connection, hello: Hello, answer: HelloAccepted) -> None:
        self._displace_oldest(hello)
        session = Session(
            connection,
            answer,
            role=hello.role,
            node_id=hello.node_id,
            certified=certified_names(connection) is not None,
            codec=self._endpoint.codecs[answer.codec],
            config=self._config,
            handlers=self._handlers,
        )
        self._remember(session)
        try:
            await session.run()
        except WireError as fault:
            await self._part(connection, fault)
        finally:
            self._forget(session)

    async def _part(self, connection: Connection, fault: WireError) -> None:
        """Count the fault, and close orderly: an abort would take the reason we gave (or the transport did: an alert, a
        close code) away with it. Whoever waits for this counts as connected.
        """
        self._endpoint.violations.note(connection.remote, fault)
        await connection.aclose()

    def _sessions_of(self, hello: Hello) -> list[Session]:
        """Those of the peer that says it; none for a client, whose id names nobody."""
        return self._of_peers.get(hello.node_id, []) if hello.role == "peer" else []

    def _remember(self, session: Session) -> None:
        self._sessions[session] = None
        if session.role == "peer":
            self._of_peers.setdefault(session.node_id, []).append(session)

    def _forget(self, session: Session) -> None:
        """Forget `session`, but not when its peer was heard. Of strangers that goes, too: there may be any number."""
        del self._sessions[session]
        if session.role != "peer":
            return
        peer = session.node_id
        times = self._parted_at | {peer: self.heard_at(peer)}
        self._parted_at = {known: at for known, at in times.items() if known in self._known_peers}
        self._of_peers[peer].remove(session)
        if not self._of_peers[peer]:
            del self._of_peers[peer]

    def _displace_oldest(self, hello: Hello) -> None:
        sessions = self._sessions_of(hello)
        if len(sessions) >= MAX_CONNECTIONS_OF_A_PEER:
            sessions[0].end(WireError("displaced", f"{hello.node_id} has {len(sessions)} newer connections"))

    def _close_idle_sessions(self) -> None:
        loop = asyncio.get_running_loop()
        limit_s = self._config.idle_timeout_ms / 1000
        for session in self._sessions:
            if loop.time() - session.heard_at > limit_s:
                session.end(WireError("idle", f"no whole frame within {self._config.idle_timeout_ms} ms"))
        self._sweep_timer = loop.call_later(limit_s / _SWEEPS_A_TIMEOUT, self._close_idle_sessions)


def _descriptors() -> int:
    """How many file descriptors this process may have; asked each time, as the limit may be changed while it runs."""
    with suppress(ImportError):  # Windows has no such module, and no such limit on sockets
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit

        limit, _ = getrlimit(RLIMIT_NOFILE)
        if limit != RLIM_INFINITY:
            return limit
    return sys.maxsize


def _parse_hello(received: list[bytes], max_frame_bytes: int) -> Hello:
    frame = parse_frame(received[0], max_frame_bytes)
    if (frame.kind, frame.flags, len(received)) != (WireKind.HELLO, 0, 1):
        raise WireError("unexpected_kind", f"kind {frame.kind:#04x}, where a hello and nothing else was due")
    return decode_hello(frame.body)


def _write_answer(connection: Connection, answer: HelloAnswer) -> None:
    connection.write((encode_frame(WireKind.HELLO_ANSWER, Flags.RESPONSE, 0, encode_hello(answer)),))
