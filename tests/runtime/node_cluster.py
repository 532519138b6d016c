"""Real nodes in this process: on sockets, or on a network in memory that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from msgspec import msgpack
from msgspec.structs import replace
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk.config import RaftConfig
from raftsdk.errors import NotLeader, StorageFailed, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ChangeMembershipRequest,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PeerRequest,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raftsdk.ports import LinkStatus, RaftHandler, RaftNetwork, SnapshotSource, StateMachine, Storage
from raftsdk.runtime.joining import Join
from raftsdk.runtime.node import RaftNode
from raftsdk.storage.memory import MemoryStorage
from raftsdk.types import Identity, Member, Membership, NodeId, Write
from raftsdk.wire.rpc import RpcNetwork

NODE_IDS = ("n1", "n2", "n3")
CLUSTER = "c"
_Result = TypeVar("_Result")
PATIENCE_S = 20.0
QUICK = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20)
NEVER_CAMPAIGNS = RaftConfig(tick_interval_ms=10, election_timeout_ticks=1_000_000)


class Journal:
    """Keeps what it is told. `raise …` raises, before anything is kept; `odd` returns no bytes."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def apply(self, command: bytes, index: int) -> bytes:
        if command.startswith(b"raise"):
            raise ValueError(command.decode())
        self.lines.append(command)
        return cast("bytes", "no bytes") if command == b"odd" else b"%d:%b" % (index, command)

    def query(self, query: bytes) -> bytes:
        if query == b"raise":
            raise KeyError("no such thing")
        return b",".join(self.lines)

    def snapshot(self) -> AsyncIterator[bytes]:
        return _in_pieces(msgpack.encode(self.lines))

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        self.lines = msgpack.decode(b"".join([piece async for piece in pieces]), type=list[bytes])


async def _in_pieces(state: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(state), 1_000):
        yield state[start : start + 1_000]


class FailingDisk(MemoryStorage):
    """Says no from some moment on, and never acknowledges what it was given then."""

    fails = False
    closed = False

    async def persist(self, write: Write) -> None:
        if self.fails:
            raise StorageFailed("the disk said no")
        await super().persist(write)

    async def aclose(self) -> None:
        self.closed = True


def identity(node_id: NodeId) -> Identity:
    return Identity(cluster_id=CLUSTER, node_id=node_id)


def new_node(
    node_id: NodeId,
    network: RaftNetwork,
    *,
    voters: Iterable[NodeId] = NODE_IDS,
    addresses: dict[NodeId, str] | None = None,
    storage: Storage | None = None,
    machine: StateMachine | None = None,
    config: RaftConfig = QUICK,
    join: Join | None = None,
) -> RaftNode:
    where = addresses or {}
    members = tuple(Member(voter, (where[voter],) if voter in where else ()) for voter in voters)
    return RaftNode(
        identity=identity(node_id),
        membership=Membership(members),
        network=network,
        storage=storage or MemoryStorage(),
        state_machine=machine or Journal(),
        config=config,
        join=join,
    )


async def until(holds: Callable[[], object]) -> None:
    """Return once `holds()` is true."""
    for _ in range(int(PATIENCE_S / 0.01)):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE_S} s")


async def outcome(work: Awaitable[_Result]) -> _Result | Exception:
    """What `work` ends in, within the time there is."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await work
    except TimeoutError:
        raise AssertionError(f"it did not end within {PATIENCE_S} s") from None
    except Exception as error:
        return error


# -- on sockets


def new_network(node_id: NodeId, listen: str = "tcp://127.0.0.1:0", cluster: str = CLUSTER) -> RpcNetwork:
    return RpcNetwork(
        identity=Identity(cluster_id=cluster, node_id=node_id),
        addresses={},
        listen=[listen],
        codecs=[MsgpackCodec(), JsonCodec()],
        transports=[TcpTransport()],
    )


class Cluster:
    """Nodes that find each other, wherever they listen; any of them may be stopped and started again."""

    def __init__(self, listen: dict[NodeId, str], storage: Callable[[NodeId], Storage], config: RaftConfig) -> None:
        self.nodes: dict[NodeId, RaftNode] = {}
        self.machines: dict[NodeId, Journal] = {}
        self._listen = listen
        self._storage = storage
        self._config = config
        self._networks: dict[NodeId, RpcNetwork] = {}

    async def start(self, node_id: NodeId) -> None:
        network = self._networks[node_id] = new_network(node_id, self._listen[node_id])
        machine = self.machines[node_id] = Journal()
        node = new_node(
            node_id,
            network,
            addresses=self._listen,
            storage=self._storage(node_id),
            machine=machine,
            config=self._config,
        )
        self.nodes[node_id] = await node.__aenter__()
        for one in self._networks.values():
            for other, theirs in self._networks.items():
                one.set_addresses(other, theirs.listening)

    async def stop(self, node_id: NodeId) -> None:
        del self._networks[node_id]
        await self.nodes.pop(node_id).__aexit__(None, None, None)

    async def leader(self) -> RaftNode:
        """The node that leads, once every node that runs agrees on it."""
        await until(lambda: len(self._believed_leaders()) == 1 and self._believed_leaders() <= self.nodes.keys())
        return self.nodes[self._believed_leaders().pop()]

    def _believed_leaders(self) -> set[NodeId]:
        return {node.status().leader_id for node in self.nodes.values()}

    async def followers(self) -> list[RaftNode]:
        leader = await self.leader()
        return [node for node in self.nodes.values() if node is not leader]

    async def all_applied(self) -> None:
        """Return once every node has applied all that the leader has in its log."""
        leader = await self.leader()
        last = leader.status().last_log_index
        await until(lambda: all(node.status().applied_index >= last for node in self.nodes.values()))


@asynccontextmanager
async def cluster(
    folder: Path,
    *,
    scheme: str = "unix",
    storage: Callable[[NodeId], Storage] = lambda _: MemoryStorage(),
    config: RaftConfig = QUICK,
) -> AsyncIterator[Cluster]:
    """Three nodes that run; in the end they are stopped."""
    listen = {i: f"unix://{folder}/{i}.sock" if scheme == "unix" else "tcp://127.0.0.1:0" for i in NODE_IDS}
    made = Cluster(listen, storage, config)
    try:
        for node_id in NODE_IDS:
            await made.start(node_id)
        yield made
    finally:
        for node_id in [*made.nodes]:
            await made.stop(node_id)


# -- on a network that can be cut


class Switch:
    """What connects the nodes of one test. Whoever is `cut` off neither reaches nor hears anybody."""

    def __init__(self) -> None:
        self.handlers: dict[NodeId, RaftHandler] = {}
        self.cut: set[NodeId] = set()
        self.piece_bytes = 500

    def network(self, node_id: NodeId) -> "SwitchedNetwork":
        return SwitchedNetwork(self, node_id)


class SwitchedNetwork:
    """A `RaftNetwork` in memory."""

    api_version = 1

    def __init__(self, switch: Switch, node_id: NodeId) -> None:
        self.located: dict[NodeId, tuple[str, ...]] = {}
        self._switch = switch
        self._id = node_id

    async def start(self, handler: RaftHandler) -> None:
        self._switch.handlers[self._id] = handler

    async def request_vote(self, target: NodeId, request: RequestVoteRequest) -> RequestVoteResponse:
        response = await self._call(target, request)
        assert isinstance(response, RequestVoteResponse)
        return response

    async def append_entries(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        response = await self._call(target, request)
        assert isinstance(response, AppendEntriesResponse)
        return response

    async def timeout_now(self, target: NodeId, request: TimeoutNowRequest) -> TimeoutNowResponse:
        response = await self._call(target, request)
        assert isinstance(response, TimeoutNowResponse)
        return response

    async def read_index(self, target: NodeId, request: ReadIndexRequest) -> ReadIndexResponse:
        response = await self._call(target, request)
        assert isinstance(response, ReadIndexResponse)
        return response

    async def install_snapshot(
        self, target: NodeId, request: InstallSnapshotRequest, source: SnapshotSource
    ) -> InstallSnapshotResponse:
        offset, data = 0, b""
        for _ in range(10_000):
            response = await self._call(target, replace(request, offset=offset, data=data))
            assert isinstance(response, InstallSnapshotResponse)
            if response.installed or response.term > request.term:
                return response
            offset = response.next_offset
            data = await source.read(offset, self._switch.piece_bytes)
        raise Unreachable(f"{target} never has enough")

    def set_addresses(self, target: NodeId, addresses: Sequence[str]) -> None:
        self.located[target] = tuple(addresses)

    def link(self, target: NodeId) -> LinkStatus:
        return LinkStatus(connected=self._reaches(target), codec="none", transport="memory")

    async def aclose(self) -> None:
        self._switch.handlers.pop(self._id, None)

    def _reaches(self, target: NodeId) -> bool:
        return target in self._switch.handlers and not {self._id, target} & self._switch.cut

    async def _call(self, target: NodeId, request: PeerRequest) -> Response:
        if not self._reaches(target):
            raise Unreachable(f"{target} is cut off")
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def reply(response: Response) -> None:
            if not answered.done():
                answered.set_result(response)

        self._switch.handlers[target].deliver(request, reply)
        response = await answered
        if not self._reaches(target) or isinstance(response, ErrorResponse):
            raise Unreachable(f"{target} does not answer")
        return response


@asynccontextmanager
async def switched(
    switch: Switch, *, storage: Callable[[NodeId], Storage] = lambda _: MemoryStorage(), config: RaftConfig = QUICK
) -> AsyncIterator[dict[NodeId, RaftNode]]:
    """Three nodes on the switch."""
    async with AsyncExitStack() as stack:
        nodes = {i: new_node(i, switch.network(i), storage=storage(i), config=config) for i in NODE_IDS}
        for node in nodes.values():
            await stack.enter_async_context(node)
        yield nodes


@asynccontextmanager
async def alone(config: RaftConfig = QUICK, **parts: Any) -> AsyncIterator[RaftNode]:
    """The only member of its cluster, leading."""
    async with new_node("n1", Switch().network("n1"), voters=["n1"], config=config, **parts) as node:
        await until(lambda: node.is_leader)
        yield node


async def leader_of(nodes: dict[NodeId, RaftNode], among: Iterable[NodeId] = NODE_IDS) -> RaftNode:
    """The node among these that leads and that all of these follow."""
    chosen = [nodes[node_id] for node_id in among]

    def agreed() -> bool:
        leaders = {node.status().leader_id for node in chosen}
        return len(leaders) == 1 and leaders <= {*among}

    await until(agreed)
    return nodes[chosen[0].status().leader_id]


Append: TypeAlias = Callable[[NodeId, AppendEntriesRequest], Coroutine[Any, Any, AppendEntriesResponse]]


def deaf(call: Append) -> Append:
    """`append_entries` of a leader that does not hear who has its entries."""

    async def carry(target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        response = await call(target, request)
        await asyncio.sleep(20 if request.entries else 0)
        return response

    return carry


class Team:
    """Nodes on a switch that come, go, and come back to what they had stored."""

    def __init__(self, config: RaftConfig) -> None:
        self.config = config
        self.switch = Switch()
        self.disks: dict[NodeId, MemoryStorage] = {}
        self.machines: dict[NodeId, Journal] = {}
        self.nodes: dict[NodeId, RaftNode] = {}

    async def start(
        self, node_id: NodeId, *, voters: Iterable[NodeId] = NODE_IDS, join: Join | None = None
    ) -> RaftNode:
        """A node as one of the founders; or, to `join`, as nobody yet."""
        machine = self.machines[node_id] = Journal()
        node = new_node(
            node_id,
            self.switch.network(node_id),
            voters=() if join else voters,
            storage=self.disks.setdefault(node_id, MemoryStorage()),
            machine=machine,
            config=self.config,
            join=join,
        )
        self.nodes[node_id] = await node.__aenter__()
        return node

    async def stop(self, node_id: NodeId) -> None:
        await self.nodes.pop(node_id).__aexit__(None, None, None)

    async def crash(self, node_id: NodeId) -> None:
        """Stop without a word to anybody."""
        await self.nodes.pop(node_id).__aexit__(InterruptedError, InterruptedError(), None)

    async def leader(self, among: Iterable[NodeId] | None = None) -> RaftNode:
        return await leader_of(self.nodes, [*self.nodes] if among is None else among)

    async def followers(self) -> list[RaftNode]:
        leader = await self.leader()
        return [node for node in self.nodes.values() if node is not leader]

    async def all_applied(self) -> None:
        """Return once every node has applied all that the leader has in its log."""
        last = (await self.leader()).status().last_log_index
        await until(lambda: all(node.status().applied_index >= last for node in self.nodes.values()))

    async def ask(self, request: ChangeMembershipRequest) -> None:
        """Change the members, whoever leads: what a node that joins is given."""
        leaders = [node for node in self.nodes.values() if node.is_leader]
        if not leaders:
            raise NotLeader
        await leaders[0].change_membership(request.members, request.remove)


@asynccontextmanager
async def team(config: RaftConfig = QUICK, founders: Iterable[NodeId] = NODE_IDS) -> AsyncIterator[Team]:
    """The founders, running; in the end everybody is stopped."""
    made, founders = Team(config), [*founders]
    try:
        for node_id in founders:
            await made.start(node_id, voters=founders)
        yield made
    finally:
        for node_id in [*made.nodes]:
            await made.crash(node_id)
