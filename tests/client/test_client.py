"""The client against real nodes, and against servers that answer whatever a test wants."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk import Client, NodeBuilder, RaftConfig, RaftNode
from raftsdk.errors import (
    CommandFailed,
    CommandTooLarge,
    ConfigError,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    ProposalDropped,
    RaftError,
    Refused,
    Unreachable,
)
from raftsdk.messages import (
    ErrorResponse,
    ProposeResponse,
    QueryResponse,
    Request,
    Response,
    error_response,
)
from raftsdk.runtime.handler import Handler
from raftsdk.types import Identity, NodeId
from raftsdk.wire.rpc import RpcNetwork

NODE_IDS = ("n1", "n2", "n3")
QUICK = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20)
MIB = 1024 * 1024


class Lines:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def apply(self, command: bytes, index: int) -> bytes:
        if command == b"raise":
            raise ValueError("as asked")
        self.lines.append(command)
        return b"done " + command

    def query(self, query: bytes) -> bytes:
        return b",".join(self.lines)


def new_client(*addresses: str, timeout_ms: int = 15_000, cluster_id: str = "") -> Client:
    return Client(
        addresses,
        codecs=[MsgpackCodec(), JsonCodec()],
        transports=[TcpTransport()],
        timeout_ms=timeout_ms,
        cluster_id=cluster_id,
    )


# -- real nodes


class Nodes:
    """Three of them, on Unix sockets; any may be stopped."""

    def __init__(self, folder: Path) -> None:
        self.addresses = {node_id: f"unix://{folder}/{node_id}.sock" for node_id in NODE_IDS}
        self.machines = {node_id: Lines() for node_id in NODE_IDS}
        self.running: dict[NodeId, RaftNode] = {}

    def build(self, node_id: NodeId) -> RaftNode:
        builder = NodeBuilder(node_id).cluster("c").members(self.addresses).storage("memory").config(QUICK)
        return builder.state_machine(self.machines[node_id]).build()

    async def leader(self) -> NodeId:
        for _ in range(2_000):
            believed = {node.status().leader_id for node in self.running.values()}
            if len(believed) == 1 and believed <= self.running.keys():
                return believed.pop()
            await asyncio.sleep(0.01)
        raise AssertionError("no leader")

    async def follower(self) -> NodeId:
        leader = await self.leader()
        return next(node_id for node_id in self.running if node_id != leader)

    async def stop(self, node_id: NodeId) -> None:
        await self.running.pop(node_id).__aexit__(None, None, None)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    made = Nodes(tmp_path)
    try:
        for node_id in NODE_IDS:
            made.running[node_id] = await made.build(node_id).__aenter__()
        yield made
    finally:
        for node_id in [*made.running]:
            await made.stop(node_id)


async def test_a_redirect_is_followed_to_the_leader(nodes: Nodes) -> None:
    async with new_client(nodes.addresses[await nodes.follower()]) as client:
        assert await client.propose(b"a") == b"done a"
    assert nodes.machines[await nodes.leader()].lines == [b"a"]


async def test_a_dead_first_address_costs_nothing_but_an_attempt(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = f"tcp://127.0.0.1:{gone.getsockname()[1]}"
    async with new_client(dead, *nodes.addresses.values()) as client:
        assert await client.propose(b"a") == b"done a"
        assert (await client.status()).cluster_id == "c"


async def test_a_first_address_that_accepts_and_is_silent_costs_an_attempt_and_not_the_request(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        async with new_client(address, *nodes.addresses.values(), timeout_ms=4_000) as client:
            assert await client.propose(b"a") == b"done a"


async def test_writes_go_on_when_the_leader_stops_and_each_is_there(nodes: Nodes) -> None:
    leader = await nodes.leader()
    acknowledged: list[bytes] = []
    half_written = asyncio.Event()

    async def write(client: Client, commands: Sequence[bytes]) -> None:
        for command in commands:
            await client.propose(command, idempotent=True)
            acknowledged.append(command)
            if len(acknowledged) >= 200:
                half_written.set()

    async with new_client(*nodes.addresses.values()) as client:
        work = [write(client, [b"%d-%d" % (writer, n) for n in range(50)]) for writer in range(8)]
        writers = asyncio.gather(*work)
        await half_written.wait()
        await nodes.stop(leader)
        await writers
    assert len({*acknowledged}) == 400
    assert {*acknowledged} == {*nodes.machines[await nodes.leader()].lines}


async def test_what_the_state_machine_refuses_is_raised_and_not_repeated(nodes: Nodes) -> None:
    async with new_client(*nodes.addresses.values()) as client:
        with pytest.raises(CommandFailed, match="ValueError: as asked"):
            await client.propose(b"raise", idempotent=True)


@pytest.mark.parametrize("size_bytes", [4 * MIB + 1, 100 * MIB])
async def test_a_command_too_large_for_the_node_or_for_a_frame_is_refused_alike(nodes: Nodes, size_bytes: int) -> None:
    async with new_client(*nodes.addresses.values()) as client:
        with pytest.raises(CommandTooLarge):
            await client.propose(bytes(size_bytes))
        assert await client.propose(b"small") == b"done small"


async def test_a_node_of_another_cluster_is_not_used_and_the_error_says_why(nodes: Nodes) -> None:
    async with new_client(nodes.addresses["n1"], cluster_id="other", timeout_ms=300) as client:
        with pytest.raises(Unreachable, match="wrong_cluster"):
            await client.propose(b"a")


# -- servers that say what a test wants

Reply = Callable[[Response], None]
OK = ProposeResponse(index=1, result=b"done")


class Scripted(Handler):
    """Answers one request after another; the last answer stands for all that follow. None: no answer, ever."""

    def __init__(self, *answers: Response | RaftError | None) -> None:
        self.answers = [error_response(a) if isinstance(a, RaftError) else a for a in answers]
        self.received: list[Request] = []

    def deliver(self, request: Request, reply: Reply) -> None:
        answer = self.answers[min(len(self.received), len(self.answers) - 1)]
        self.received.append(request)
        if answer is not None:
            reply(answer)


class HangsUp(Handler):
    """Takes a request, and ends all connections instead of answering."""

    network: RpcNetwork
    closing: asyncio.Task[None]

    def deliver(self, request: Request, reply: Reply) -> None:
        self.closing = asyncio.create_task(self.network.aclose())


@asynccontextmanager
async def serving(folder: Path, *handlers: Any) -> AsyncIterator[list[str]]:
    """A server for each handler; yields their addresses."""
    async with AsyncExitStack() as stack:
        addresses = [f"unix://{folder}/s{number}.sock" for number in range(len(handlers))]
        for address, handler in zip(addresses, handlers, strict=True):
            network = RpcNetwork(
                identity=Identity(cluster_id="c", node_id=f"s{addresses.index(address)}"),
                addresses={},
                listen=[address],
                codecs=[MsgpackCodec()],
                transports=[TcpTransport()],
            )
            handler.network = network
            stack.push_async_callback(network.aclose)
            await network.start(handler)
        yield addresses


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize(
    "obstacle",
    [
        Overloaded("too much", retry_after_ms=20),
        ProposalDropped("overwritten"),
        NotLeader(),
        NodeStopped("bye"),
    ],
    ids=lambda obstacle: type(obstacle).__name__,
)
async def test_what_left_no_trace_is_repeated_whoever_asks(
    tmp_path: Path, obstacle: RaftError, idempotent: bool
) -> None:
    server = Scripted(obstacle, obstacle, OK)
    async with serving(tmp_path, server) as addresses, new_client(*addresses) as client:
        assert await client.propose(b"a", idempotent=idempotent) == b"done"
    assert len(server.received) == 3


async def test_an_unknown_outcome_is_raised_and_only_a_command_that_may_be_repeated_is(tmp_path: Path) -> None:
    server = Scripted(OutcomeUnknown("who knows"), OK)
    async with serving(tmp_path, server) as addresses, new_client(*addresses) as client:
        with pytest.raises(OutcomeUnknown, match="who knows"):
            await client.propose(b"a")
    server = Scripted(OutcomeUnknown("who knows"), OK)
    async with serving(tmp_path, server) as addresses, new_client(*addresses) as client:
        assert await client.propose(b"a", idempotent=True) == b"done"


async def test_a_connection_that_ends_after_the_request_leaves_doubt(tmp_path: Path) -> None:
    other = Scripted(OK)
    async with serving(tmp_path, HangsUp(), other) as addresses, new_client(*addresses) as client:
        with pytest.raises(OutcomeUnknown, match="ended before it answered"):
            await client.propose(b"a")
        assert other.received == []
        assert await client.propose(b"b") == b"done"


async def test_a_connection_that_ends_after_the_request_is_repeated_when_that_does_no_harm(tmp_path: Path) -> None:
    async with serving(tmp_path, HangsUp(), Scripted(OK)) as addresses, new_client(*addresses) as client:
        assert await client.propose(b"a", idempotent=True) == b"done"


async def test_doubt_stays_when_later_attempts_leave_no_trace(tmp_path: Path) -> None:
    server = Scripted(OutcomeUnknown("who knows"), NotLeader())
    async with serving(tmp_path, server) as addresses, new_client(*addresses, timeout_ms=400) as client:
        with pytest.raises(OutcomeUnknown):
            await client.propose(b"a", idempotent=True)
    assert len(server.received) > 1


async def test_a_node_that_hangs_costs_a_share_of_the_time_when_another_may_be_asked(tmp_path: Path) -> None:
    servers = serving(tmp_path, Scripted(None), Scripted(OK))
    async with servers as addresses, new_client(*addresses, timeout_ms=2_000) as client:
        assert await client.propose(b"a", idempotent=True) == b"done"


async def test_a_node_that_never_answers_leaves_a_write_in_doubt_and_a_question_unanswered(tmp_path: Path) -> None:
    server = Scripted(None)
    async with serving(tmp_path, server) as addresses, new_client(*addresses, timeout_ms=200) as client:
        with pytest.raises(OutcomeUnknown):
            await client.propose(b"a")
        assert len(server.received) == 1
        with pytest.raises(Unreachable):
            await client.query(b"q")
        with pytest.raises(Unreachable):
            await client.status()


@pytest.mark.parametrize("obstacle", [Overloaded("too much", 2**62), Overloaded("too much", 600), NotLeader()])
async def test_an_obstacle_that_stays_is_raised_in_the_end(
    tmp_path: Path, obstacle: RaftError, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The end comes in a pause: in the middle of an attempt, it would leave doubt.
    monkeypatch.setattr("raftsdk.client.client.PAUSE_MS", 600)
    async with serving(tmp_path, Scripted(obstacle)) as addresses, new_client(*addresses, timeout_ms=500) as client:
        with pytest.raises(type(obstacle)):
            await client.propose(b"a")


async def test_a_node_that_names_itself_as_another_leader_is_not_asked_without_a_pause(tmp_path: Path) -> None:
    server = Scripted(NotLeader("s0", [f"unix://{tmp_path}/s0.sock"]))
    async with serving(tmp_path, server) as addresses, new_client(*addresses, timeout_ms=300) as client:
        with pytest.raises((NotLeader, OutcomeUnknown)):  # the latter when the 300 ms end while the node is asked
            await client.propose(b"a")
    assert len(server.received) <= 10  # 300 ms, and at least 30 between two


async def test_a_leader_that_nobody_can_reach_is_given_up_for_those_who_answer(tmp_path: Path) -> None:
    first = Scripted(NotLeader("s9", [f"unix://{tmp_path}/s9.sock"]), OK)
    async with serving(tmp_path, first) as addresses, new_client(*addresses) as client:
        assert await client.propose(b"a") == b"done"


@pytest.mark.parametrize("knows_the_new_one", [False, True])
async def test_a_leader_that_has_moved_is_found_at_the_address_it_was_given_besides_the_one_it_left(
    tmp_path: Path, knows_the_new_one: bool
) -> None:
    left = f"unix://{tmp_path}/left.sock"
    follower, leader = Scripted(), Scripted(OK)
    async with serving(tmp_path, follower, leader) as (asked, moved_to):
        follower.answers = [error_response(NotLeader("s1", [left, moved_to]))]
        given = [left, asked, moved_to] if knows_the_new_one else [left, asked]
        async with new_client(*given, timeout_ms=3_000) as client:
            assert await client.propose(b"a") == b"done"


async def test_without_any_node_the_error_comes_in_time_and_names_the_trouble(tmp_path: Path) -> None:
    async with new_client(f"unix://{tmp_path}/none.sock", timeout_ms=200) as client:
        with pytest.raises(Unreachable, match=r"none\.sock"):
            await client.propose(b"a")
        with pytest.raises(Unreachable, match=r"none\.sock"):
            await client.query(b"a")


async def test_an_answer_to_another_question_is_no_answer(tmp_path: Path) -> None:
    nonsense = QueryResponse(applied_index=1, result=b"?")
    async with serving(tmp_path, Scripted(nonsense), Scripted(OK)) as addresses, new_client(*addresses) as client:
        with pytest.raises(OutcomeUnknown, match="answered nonsense"):
            await client.propose(b"a")
        assert await client.propose(b"b") == b"done"


async def test_a_question_refused_with_a_code_nobody_knows_raises_it_as_it_is(tmp_path: Path) -> None:
    server = Scripted(ErrorResponse(code="out_of_order", message="come back on Monday"))
    async with serving(tmp_path, server) as addresses, new_client(*addresses) as client:
        with pytest.raises(Refused, match="out_of_order: come back on Monday"):
            await client.query(b"a")


async def test_a_write_refused_with_a_code_nobody_knows_is_in_doubt_since_nobody_knows_what_it_means(
    tmp_path: Path,
) -> None:
    later = ErrorResponse(code="maybe_tomorrow", message="queued")
    async with serving(tmp_path, Scripted(later, OK)) as addresses, new_client(*addresses) as client:
        with pytest.raises(OutcomeUnknown, match="maybe_tomorrow"):
            await client.propose(b"a")
        assert await client.propose(b"a", idempotent=True) == b"done"


async def test_a_server_of_another_kind_is_unreachable_and_the_next_is_asked(tmp_path: Path) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with new_client(address, timeout_ms=200) as client:
            with pytest.raises(Unreachable):
                await client.propose(b"a")
        async with serving(tmp_path, Scripted(OK)) as addresses, new_client(address, *addresses) as client:
            assert await client.propose(b"a") == b"done"
    finally:
        server.close()
        await server.wait_closed()


def test_a_client_without_an_address_or_with_one_that_nobody_speaks_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match="there is no address: give at least one"):
        new_client()
    with pytest.raises(ConfigError, match="no transport for 'ws:"):
        new_client("tcp://127.0.0.1:1", "ws://127.0.0.1:1")
