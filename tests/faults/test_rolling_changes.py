"""A cluster changes its codec and its transport, one node after another, while writers write: none of them notices.

Every node is stopped as an operator would stop it, told the new settings, and started again; the next one follows when
the first has caught up. A write may take as long as an election, and is repeated by the client when it must be: none
fails, and all that were acknowledged are on every node in the end.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from raftsdk import Client, plugins
from raftsdk.cli.key_value import digests_query, parse_digests, put_command
from raftsdk.config import CODECS, TRANSPORTS
from raftsdk.messages import StatusResponse
from raftsdk.testing.processes import LocalCluster, NodeProcess, free_addresses

CODECS_IN_TURN = ("json", "protobuf", "capnp", "flatbuffers", "msgpack")
WRITERS = 4
PATIENCE_S = 30.0


def client(*addresses: str) -> Client:
    """A client that takes whatever codec and transport it finds."""
    return Client(
        addresses,
        codecs=[plugins.make(CODECS, name) for name in CODECS_IN_TURN],
        transports=[plugins.make(TRANSPORTS, name) for name in ("tcp", "ws")],
        timeout_ms=10_000,
    )


class Writers:
    """Each puts one new key after another. The first write that fails ends them all, and the test."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, bytes] = {}
        self._numbers = count(1)
        self._progress = asyncio.Event()

    @asynccontextmanager
    async def writing_to(self, *addresses: str) -> AsyncIterator[None]:
        async with client(*addresses) as writing, asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._write(writing)) for _ in range(WRITERS)]
            yield
            for task in tasks:
                task.cancel()

    async def _write(self, writing: Client) -> None:
        while True:
            key = str(next(self._numbers))
            value = key.encode() * 50
            await writing.propose(put_command(key, value), idempotent=True)
            self.acknowledged[key] = value
            self._progress.set()
            await asyncio.sleep(0.002)

    async def acknowledge(self, more: int) -> None:
        """Wait until so many more writes are acknowledged."""
        goal = len(self.acknowledged) + more
        while len(self.acknowledged) < goal:
            self._progress.clear()
            await self._progress.wait()


async def status(node: NodeProcess) -> StatusResponse:
    async with client(*node.addresses) as asking:
        return await asking.status()


async def caught_up(cluster: LocalCluster) -> None:
    """Wait until every node is connected to every other and has applied what was committed a moment ago."""
    async with asyncio.timeout(PATIENCE_S):
        goal = max([(await status(node)).commit_index for node in cluster.nodes])
        for node in cluster.nodes:
            while True:
                if well(await status(node), goal):
                    break
                await asyncio.sleep(0.05)


def well(node: StatusResponse, goal: int) -> bool:
    """Whether the node has applied as much, and reaches all the others."""
    return node.applied_index >= goal and all(peer.connected for peer in node.peers)


async def roll(cluster: LocalCluster, writers: Writers, settings: dict[str, Any]) -> None:
    """Give every node new settings, one after another, and see that writes go on after each."""
    for node in cluster.nodes:
        await node.stop()
        node.configure(settings)
        await node.start()
        await caught_up(cluster)
        async with asyncio.timeout(PATIENCE_S):
            await writers.acknowledge(10)


async def links(cluster: LocalCluster) -> set[tuple[str, str]]:
    """The codecs and the transports between the nodes."""
    return {(peer.codec, peer.transport) for node in cluster.nodes for peer in (await status(node)).peers}


async def contents(node: NodeProcess) -> dict[str, bytes]:
    """Every key the node has, and the SHA-256 of its value."""
    held: dict[str, bytes] = {}
    async with client(*node.addresses) as asking:
        more = True
        while more:
            page = parse_digests(await asking.query(digests_query(start_after=max(held, default=""))))
            held.update(zip(page.keys, page.digests, strict=True))
            more = page.more
    return held


def members(*addresses_of_all: dict[str, str]) -> list[dict[str, Any]]:
    """The members, each with its address of each kind."""
    return [
        {"id": node_id, "addresses": [addresses[node_id] for addresses in addresses_of_all]}
        for node_id in addresses_of_all[0]
    ]


async def test_a_loaded_cluster_changes_codec_after_codec_and_then_its_transport_and_no_write_fails(
    tmp_path: Path,
) -> None:
    cluster = LocalCluster(tmp_path, settings={"codecs": CODECS_IN_TURN[:1]})
    tcp = {node.node_id: node.address for node in cluster.nodes}
    websocket = free_addresses(tmp_path, dict.fromkeys(tcp, "ws"))
    writers = Writers()
    async with cluster:
        async with writers.writing_to(*tcp.values(), *websocket.values()):
            await caught_up(cluster)
            for before, after in pairwise(CODECS_IN_TURN):
                assert await links(cluster) == {(before, "tcp")}
                # The new codec first, the old one still: a node that changed speaks with one that has not.
                await roll(cluster, writers, {"codecs": [after, before]})
            # Everybody listens at both first; only then is anybody looked for at the new address alone.
            await roll(cluster, writers, {"members": members(tcp, websocket)})
            assert await links(cluster) <= {("msgpack", "tcp"), ("msgpack", "ws")}
            await roll(cluster, writers, {"members": members(websocket)})
            assert await links(cluster) == {("msgpack", "ws")}
        await caught_up(cluster)
        expected = {key: sha256(value).digest() for key, value in writers.acknowledged.items()}
        for node in cluster.nodes:
            held = await contents(node)
            assert expected.items() <= held.items(), f"{node.node_id} lacks acknowledged writes"
