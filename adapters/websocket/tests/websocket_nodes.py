"""Real nodes in this process, at ws:// or wss:// and whatever ports they get."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_websocket import WebSocketTransport

from raftsdk.config import LinkConfig, RaftConfig
from raftsdk.ports import Credentials
from raftsdk.runtime.node import RaftNode
from raftsdk.storage.memory import MemoryStorage
from raftsdk.types import Identity, Member, Membership
from raftsdk.wire.rpc import RpcNetwork

QUICK = RaftConfig(tick_interval_ms=10, election_timeout_ticks=50)
PATIENCE_S = 20.0


class Journal:
    """A state machine that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def apply(self, command: bytes, index: int) -> bytes:
        self.lines.append(command)
        return b"line %d" % len(self.lines)

    def query(self, query: bytes) -> bytes:
        return b"\n".join(self.lines)


async def until(holds: Callable[[], bool]) -> None:
    """Return once `holds()`."""
    for _ in range(int(PATIENCE_S / 0.01)):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE_S} s")


class Cluster:
    """Nodes that find each other at whatever ports they got."""

    def __init__(self) -> None:
        self.nodes: dict[str, RaftNode] = {}
        self.networks: dict[str, RpcNetwork] = {}
        self.machines: dict[str, Journal] = {}

    async def leader(self) -> str:
        await until(lambda: any(node.is_leader for node in self.nodes.values()))
        return next(node_id for node_id, node in self.nodes.items() if node.is_leader)

    async def all_have(self, lines: list[bytes]) -> None:
        await until(lambda: all(self.machines[node_id].lines == lines for node_id in self.nodes))

    def address(self, node_id: str = "n1") -> str:
        return self.networks[node_id].listening[0]

    def closed_by_reason(self, node_id: str = "n1") -> dict[str, int]:
        return dict(self.networks[node_id].closed_by_reason)


@asynccontextmanager
async def running(
    *ids: str,
    scheme: str = "ws",
    credentials: Callable[[str], Credentials] | None = None,
    link: LinkConfig | None = None,
) -> AsyncIterator[Cluster]:
    cluster = Cluster()
    members = Membership(tuple(Member(node_id, ()) for node_id in ids))
    async with AsyncExitStack() as stack:
        for node_id in ids:
            identity = Identity(cluster_id="c", node_id=node_id)
            network = RpcNetwork(
                identity=identity,
                addresses={},
                listen=[f"{scheme}://127.0.0.1:0/raft"],
                codecs=[MsgpackCodec(), JsonCodec()],
                transports=[WebSocketTransport(credentials=credentials(node_id) if credentials else None)],
                config=link,
            )
            machine = Journal()
            node = RaftNode(
                identity=identity,
                membership=members,
                network=network,
                storage=MemoryStorage(),
                state_machine=machine,
                config=QUICK,
            )
            await stack.enter_async_context(node)
            cluster.nodes[node_id], cluster.networks[node_id], cluster.machines[node_id] = node, network, machine
        for one in cluster.networks.values():
            for node_id, other in cluster.networks.items():
                one.set_addresses(node_id, other.listening)
        yield cluster
