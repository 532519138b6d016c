"""Writers keep writing while real processes are killed, paused and started again; then every node is asked.

What must hold, whatever happened and whenever: an acknowledged write is on every node, with its value; a write that was
said to be in no log is nowhere; a command that may not be repeated was not repeated; and the cluster goes on.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path

import pytest
from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk import Client
from raftsdk.cli.key_value import digests_query, parse_digests, parse_flag, put_command
from raftsdk.errors import NotLeader, OutcomeUnknown, Overloaded, ProposalDropped, Unreachable
from raftsdk.ports import Codec
from raftsdk.testing.processes import LocalCluster, NodeProcess

WRITERS = 6
PATIENCE_S = 30.0
CODECS: dict[str, Codec] = {"json": JsonCodec(), "msgpack": MsgpackCodec()}


class Writers:
    """Each puts one new key after another; every second writer allows its commands to be repeated."""

    def __init__(self, clients: list[Client], rng: random.Random) -> None:
        self.acknowledged: dict[str, bytes] = {}
        self.in_no_log: set[str] = set()
        self.found_there: set[str] = set()  # puts that were not to be repeated, and found their new key there already
        self._rng = rng
        self._stopped = False
        self._tasks = [
            asyncio.create_task(self._write(clients[number % len(clients)], number)) for number in range(WRITERS)
        ]

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def _write(self, client: Client, number: int) -> None:
        count, idempotent = 0, number % 2 == 0
        while not self._stopped:
            count += 1
            key, value = f"{number}/{count}", self._rng.randbytes(self._rng.choice([10, 1_000, 30_000]))
            try:
                was_there = parse_flag(await client.propose(put_command(key, value), idempotent=idempotent))
            except OutcomeUnknown:
                continue
            except (NotLeader, Overloaded, ProposalDropped, Unreachable):
                self.in_no_log.add(key)
                continue
            self.acknowledged[key] = value
            if was_there and not idempotent:
                self.found_there.add(key)
            await asyncio.sleep(0.005)


class Trial:
    """A cluster, whoever writes to it, and what may befall it."""

    def __init__(self, cluster: LocalCluster, codec: str, rng: random.Random) -> None:
        self.cluster = cluster
        self._codec = codec
        self._rng = rng

    def client(self, *addresses: str) -> Client:
        return Client(addresses, codecs=[CODECS[self._codec]], transports=[TcpTransport()], timeout_ms=10_000)

    async def leader(self) -> NodeProcess:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for node in self.cluster.nodes:
                    async with self.client(node.address) as client:
                        if (await client.status()).role == "leader":
                            return node
                await asyncio.sleep(0.05)

    async def kill_leader(self) -> None:
        leader = await self.leader()
        await leader.kill()
        await asyncio.sleep(self._rng.uniform(0, 1))
        await leader.start()

    async def kill_another(self) -> None:
        leader = await self.leader()
        follower = self._rng.choice([node for node in self.cluster.nodes if node is not leader])
        await follower.kill()
        await follower.start()

    async def kill_all(self) -> None:
        await asyncio.gather(*(node.kill() for node in self.cluster.nodes))
        await asyncio.gather(*(node.start() for node in self.cluster.nodes))

    async def pause_leader(self) -> None:
        await self._pause(await self.leader())

    async def pause_a_majority(self) -> None:
        nodes = self.cluster.nodes
        await self._pause(*self._rng.sample(nodes, len(nodes) // 2 + 1))

    async def _pause(self, *nodes: NodeProcess) -> None:
        for node in nodes:
            node.signal(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(0.1, 1.5))
        for node in nodes:
            node.signal(signal.SIGCONT)

    async def contents(self) -> list[dict[str, bytes]]:
        """What each node holds once it has applied all that is committed: key to SHA-256 of the value."""
        async with self.client((await self.leader()).address) as client:
            goal = (await client.status()).commit_index
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.gather(*(self._content(node, goal) for node in self.cluster.nodes))

    async def _content(self, node: NodeProcess, goal: int) -> dict[str, bytes]:
        held: dict[str, bytes] = {}
        async with self.client(node.address) as client:
            last, more, applied_index = "", True, 0
            while applied_index < goal:
                await asyncio.sleep(0.02)
                applied_index = (await client.status()).applied_index
            while more:
                page = parse_digests(await client.query(digests_query(start_after=last)))
                held.update(zip(page.keys, page.digests, strict=True))
                last, more = page.keys[-1], page.more
        return held


Fault = Callable[[Trial], Awaitable[None]]
KILLS: list[Fault] = [Trial.kill_leader, Trial.kill_all, Trial.kill_another]
PAUSES: list[Fault] = [Trial.pause_leader, Trial.pause_a_majority, Trial.pause_leader]


@pytest.mark.parametrize(
    ("nodes", "transport", "codec", "faults"),
    [
        (3, "tcp", "msgpack", [*PAUSES, *KILLS]),
        (5, "unix", "json", [Trial.pause_a_majority, Trial.kill_leader]),
    ],
)
async def test_what_was_acknowledged_is_on_every_node_whatever_befalls_them(
    tmp_path: Path, nodes: int, transport: str, codec: str, faults: list[Fault]
) -> None:
    rng = random.Random(nodes)
    cluster = LocalCluster(tmp_path, nodes=nodes, transport=transport, settings={"codecs": [codec]})
    trial = Trial(cluster, codec, rng)
    async with cluster, trial.client(*cluster.addresses) as one, trial.client(*cluster.addresses[::-1]) as other:
        writers = Writers([one, other], rng)
        for fault in faults:
            await asyncio.sleep(0.5)
            await fault(trial)
        await writers.stop()
        async with asyncio.timeout(PATIENCE_S):
            await one.propose(put_command("fresh", b""), idempotent=True)
        contents = await trial.contents()
    expected = {key: sha256(value).digest() for key, value in writers.acknowledged.items()}
    assert len(expected) > 100
    assert all(held == contents[0] for held in contents)
    assert {key: contents[0].get(key) for key in expected} == expected
    assert not writers.in_no_log & contents[0].keys()
    assert not writers.found_there
