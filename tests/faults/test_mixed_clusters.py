"""Nodes that share neither codec nor transport with all others, some of them behind TLS, under load, while strangers
press on every listener, certificates are exchanged, and the leader is killed.

What must hold: strangers alone cause no election; a node that was killed comes back through the crowd; every
acknowledged write is on every node; nobody who misbehaves makes a node write a traceback; and when the strangers have
gone, what they had taken is free again.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest

from raftsdk import Client, plugins
from raftsdk.cli.key_value import digests_query, parse_digests, put_command
from raftsdk.config import CODECS, TLS_SCHEMES, TRANSPORTS
from raftsdk.errors import NotLeader, OutcomeUnknown, Overloaded, ProposalDropped, Unreachable
from raftsdk.messages import StatusResponse
from raftsdk.testing.certificates import Authority
from raftsdk.testing.processes import CLIENT, LocalCluster, NodeProcess

WRITERS = 4
CROWD = 100  # connections that one stranger opens and leaves; a node keeps 64 without a hello
PATIENCE_S = 15.0
RESIDENT_MIB = 128  # generous: a node takes 60, and its keys a few
ANOTHER = "another authority"
LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors where Linux shows them")

CODECS_OF = {
    "n1": ("protobuf", "json"),
    "n2": ("capnp", "msgpack", "json"),
    "n3": ("flatbuffers", "msgpack", "protobuf"),
}
"""The first choice of none is known to both others."""

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: raftsdk.v1\r\n\r\n"
)
PING = b"\x89\x80key."
OVERSIZE = b"\x7f\xff\xff\xff" + bytes(16)

Stranger: TypeAlias = Callable[[random.Random], Awaitable[None]]
Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial: TypeAlias = Callable[[], AbstractAsyncContextManager[Stream]]


class Cluster(LocalCluster):
    """Three nodes, each at an address of another kind and with codecs of its own."""

    def __init__(self, directory: Path, transports: Sequence[str]) -> None:
        # Election timeouts of a second and more: two cores shared with a test suite are no quiet place.
        super().__init__(directory, transport=transports, settings={"raft": {"election_timeout_ticks": 60}})
        self.directory = directory
        for node in self.nodes:
            node.configure({"codecs": CODECS_OF[node.node_id]})

    def client(self, *addresses: str) -> Client:
        return Client(
            addresses,
            codecs=[plugins.make(CODECS, name) for name in ("msgpack", "json")],
            transports=[plugins.make(TRANSPORTS, name, credentials=self.credentials) for name in ("tcp", "ws")],
            timeout_ms=10_000,
        )

    async def status(self, node: NodeProcess) -> StatusResponse:
        async with self.client(node.address) as client:
            return await client.status()

    async def leader(self) -> NodeProcess:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for node in self.nodes:
                    if (await self.status(node)).role == "leader":
                        return node
                await asyncio.sleep(0.1)

    async def terms(self) -> set[int]:
        return {(await self.status(node)).term for node in self.nodes}

    async def caught_up(self) -> None:
        """Wait until everybody reaches everybody, and has applied what was committed a moment ago."""
        async with asyncio.timeout(PATIENCE_S):
            goal = max([(await self.status(node)).commit_index for node in self.nodes])
            while True:
                if all([_well(await self.status(node), goal) for node in self.nodes]):
                    return
                await asyncio.sleep(0.1)

    def exchange_certificates(self) -> None:
        """Have everybody believe another authority, too, and give each node a certificate of that one."""
        authority = Authority(self.directory, ANOTHER)
        with (self.directory / "authority.pem").open("ab") as believed:
            believed.write(authority.certificate.read_bytes())
        for node in self.nodes:
            authority.issue(node.node_id)

    async def show_exchanged_certificates(self) -> None:
        """See that whoever believes only the other authority gets through the handshake of every node with TLS."""
        context = _client_side(self.directory, ANOTHER)
        for where in map(urlsplit, self.addresses):
            if where.scheme in TLS_SCHEMES:
                async with asyncio.timeout(PATIENCE_S):
                    _, writer = await asyncio.open_connection(where.hostname, where.port, ssl=context)
                writer.transport.abort()


def _well(status: StatusResponse, goal: int) -> bool:
    return status.applied_index >= goal and all(peer.connected for peer in status.peers)


async def contents(cluster: Cluster, node: NodeProcess) -> dict[str, bytes]:
    """Every key the node has, and the SHA-256 of its value."""
    held: dict[str, bytes] = {}
    async with cluster.client(node.address) as client:
        more = True
        while more:
            page = parse_digests(await client.query(digests_query(start_after=max(held, default=""))))
            held.update(zip(page.keys, page.digests, strict=True))
            more = page.more
    return held


@asynccontextmanager
async def writing(cluster: Cluster) -> AsyncIterator[dict[str, bytes]]:
    """Write one new key after another; what is acknowledged so far."""
    acknowledged: dict[str, bytes] = {}
    numbers = count(1)

    async def write(client: Client) -> None:
        while True:
            key = str(next(numbers))
            value = key.encode() * 300
            with suppress(NotLeader, OutcomeUnknown, Overloaded, ProposalDropped, Unreachable):
                await client.propose(put_command(key, value), idempotent=True)
                acknowledged[key] = value
            await asyncio.sleep(0.005)

    async with cluster.client(*cluster.addresses) as client, running([partial(write, client)] * WRITERS):
        yield acknowledged


async def acknowledge(acknowledged: dict[str, bytes], more: int) -> None:
    goal = len(acknowledged) + more
    await until(lambda: len(acknowledged) >= goal)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(works: Sequence[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:

        async def run(work: Callable[[], Awaitable[None]]) -> None:
            await work()

        tasks = [group.create_task(run(work)) for work in works]
        yield
        for task in tasks:
            task.cancel()


# -- strangers


def strangers_at(cluster: Cluster, node: NodeProcess) -> list[Stranger]:
    """Whoever may come to the node's address; those with a certificate are clients gone astray."""
    dial: Dial = partial(_dial, node.address)
    come: list[Stranger] = [partial(_says_noise, dial), partial(_leaves_connections_open, dial)]
    scheme = urlsplit(node.address).scheme
    if scheme in TLS_SCHEMES:
        come.append(partial(_begins_tls, dial))
        dial = partial(_dial, node.address, cluster.directory)
        come.append(partial(_says_noise, dial))
    if scheme in ("ws", "wss"):
        come.append(partial(_floods_with_pings, dial))
    else:
        come.append(partial(_declares_gigabytes, dial))
    return come


@asynccontextmanager
async def _dial(address: str, directory: Path | None = None) -> AsyncIterator[Stream]:
    """A connection, over TLS as the client whose certificate lies in `directory`."""
    where, context = urlsplit(address), _client_side(directory) if directory else None
    if where.scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(where.path)
    else:
        reader, writer = await asyncio.open_connection(where.hostname, where.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _client_side(directory: Path, authority: str = "authority") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(directory / f"{authority}.pem")
    context.load_cert_chain(directory / f"{CLIENT}.pem", directory / f"{CLIENT}.key")
    return context


async def _says_noise(dial: Dial, rng: random.Random) -> None:
    async with dial() as (reader, writer):
        writer.write(rng.randbytes(rng.choice([100, 20_000])))
        await reader.read()


async def _leaves_connections_open(dial: Dial, rng: random.Random) -> None:
    async with AsyncExitStack() as opened:
        for _ in range(CROWD):
            await opened.enter_async_context(dial())
        await asyncio.sleep(rng.uniform(0, 2))


async def _begins_tls(dial: Dial, rng: random.Random) -> None:
    """The greeting, or a part of it, and never the answer to theirs."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="node").do_handshake()
    greeting = outgoing.read()
    async with AsyncExitStack() as opened:
        for _ in range(20):
            _, writer = await opened.enter_async_context(dial())
            writer.write(greeting[: rng.choice([5, len(greeting) // 2, len(greeting)])])
        await asyncio.sleep(rng.uniform(0, 1))


async def _floods_with_pings(dial: Dial, _rng: random.Random) -> None:
    async with dial() as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(PING * 5_000)
        await reader.read()


async def _declares_gigabytes(dial: Dial, _rng: random.Random) -> None:
    async with dial() as (reader, writer):
        writer.write(OVERSIZE + bytes(100_000))
        await reader.read()


@asynccontextmanager
async def strangers(cluster: Cluster) -> AsyncIterator[list[int]]:
    """All of them, again and again; how often each has come to its end."""
    visits = [strangers_at(cluster, node) for node in cluster.nodes]
    everybody = [stranger for come in visits for stranger in come]
    came = [0] * len(everybody)

    async def keep_coming(place: int) -> None:
        rng = random.Random(place)
        while True:
            with suppress(OSError, EOFError):  # nobody is there just now, or shut the door
                await everybody[place](rng)
                came[place] += 1
            await asyncio.sleep(0.05)

    async with running([partial(keep_coming, place) for place in range(len(everybody))]):
        yield came


# -- what the processes take


def process_of(node: NodeProcess) -> Path:
    wanted = str(node.config_file).encode()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and wanted in (entry / "cmdline").read_bytes().split(b"\0"):
                return entry
    raise AssertionError(f"{node.node_id} is gone")


def descriptors(node: NodeProcess) -> int:
    return len(list((process_of(node) / "fd").iterdir()))


def resident_mib(node: NodeProcess) -> int:
    lines = (process_of(node) / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) // 1024


@LINUX
@pytest.mark.parametrize("transports", [("wss", "tcp+tls", "unix"), ("tcp", "ws", "unix")], ids="-".join)
async def test_a_mixed_cluster_loses_no_write_with_strangers_at_every_listener_and_its_leader_killed(
    tmp_path: Path, transports: tuple[str, ...]
) -> None:
    cluster = Cluster(tmp_path, transports)
    async with cluster, writing(cluster) as acknowledged:
        await acknowledge(acknowledged, 10)
        await cluster.caught_up()
        before, terms = {node.node_id: descriptors(node) for node in cluster.nodes}, await cluster.terms()
        async with strangers(cluster) as came:
            await acknowledge(acknowledged, 100)
            await until(lambda: all(came))
            assert await cluster.terms() == terms
            if cluster.credentials is not None:
                cluster.exchange_certificates()
            leader = await cluster.leader()
            await leader.kill()
            await acknowledge(acknowledged, 50)
            await leader.start()
            await cluster.caught_up()
        await cluster.caught_up()
        if cluster.credentials is not None:
            await cluster.show_exchanged_certificates()
        await until(lambda: all(descriptors(node) <= before[node.node_id] + 2 for node in cluster.nodes))
        assert max(resident_mib(node) for node in cluster.nodes) < RESIDENT_MIB
        await acknowledge(acknowledged, 10)
        expected = {key: sha256(value).digest() for key, value in acknowledged.items()}
        await cluster.caught_up()
        for node in cluster.nodes:
            held = await contents(cluster, node)
            assert expected.items() <= held.items(), f"{node.node_id} lacks acknowledged writes"
    for node in cluster.nodes:
        assert "Traceback" not in node.log_file.read_text(errors="replace")
