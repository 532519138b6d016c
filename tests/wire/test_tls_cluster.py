"""Whole clusters whose members show certificates, built from names and files as an operator would."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from certificate_files import Authority
from msgspec.structs import replace as changed
from raftsdk_json import JsonCodec
from raftsdk_tcp import TcpTransport

from raftsdk.builder import NodeBuilder
from raftsdk.cli.key_value import KeyValue, get_message, parse_value, put_command
from raftsdk.client import Client
from raftsdk.config import RaftConfig, TlsConfig
from raftsdk.errors import Unreachable
from raftsdk.runtime.node import RaftNode
from raftsdk.wire import tls
from raftsdk.wire.tls import FileCredentials

PATIENCE_S = 20.0
NAMES = ("n1", "n2", "n3")
QUICK = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20)

Addresses = Mapping[str, Sequence[str]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_INTERVAL_S", 0.01)


def places(scheme: str = "tcp+tls") -> dict[str, list[str]]:
    """A free port for every node."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in NAMES]
        ports = [server.getsockname()[1] for server in servers]
    return {name: [f"{scheme}://127.0.0.1:{port}"] for name, port in zip(NAMES, ports, strict=True)}


def new_node(name: str, addresses: Addresses, config: TlsConfig) -> RaftNode:
    data = Path(config.certificate).with_suffix(".data")
    builder = NodeBuilder(name).cluster("c").members(addresses).storage("sqlite", path=str(data))
    return builder.state_machine(KeyValue()).config(QUICK).tls_config(config).build()


@asynccontextmanager
async def cluster(addresses: Addresses, configs: Mapping[str, TlsConfig]) -> AsyncIterator[dict[str, RaftNode]]:
    async with AsyncExitStack() as stack:
        nodes = {name: new_node(name, addresses, configs[name]) for name in configs}
        for node in nodes.values():
            await stack.enter_async_context(node)
        yield nodes


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    for _ in range(int(PATIENCE_S / 0.01)):
        if await holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE_S} s")


def leaders(nodes: Mapping[str, RaftNode]) -> list[RaftNode]:
    return [node for node in nodes.values() if node.is_leader]


async def write(nodes: Mapping[str, RaftNode], value: bytes) -> None:
    """Have it written and applied on every node."""

    async def somebody_leads() -> bool:
        return bool(leaders(nodes))

    async def all_have_it() -> bool:
        return all([await value_at(node) == value for node in nodes.values()])

    await until(somebody_leads)
    await leaders(nodes)[0].propose(put_command("k", value))
    await until(all_have_it)


async def value_at(node: RaftNode) -> bytes | None:
    return parse_value(await node.query(get_message("k")))


def transports_of(node: RaftNode) -> dict[str, str]:
    return {peer.node_id: peer.transport for peer in node.status().peers}


def connected(nodes: Mapping[str, RaftNode]) -> bool:
    return all(peer.connected for node in nodes.values() for peer in node.status().peers)


async def all_connected(nodes: Mapping[str, RaftNode]) -> None:
    async def they_are() -> bool:
        return connected(nodes)

    await until(they_are)


async def test_three_nodes_with_certificates_replicate_a_write(authority: Authority) -> None:
    async with cluster(places(), {name: authority.issue(name) for name in NAMES}) as nodes:
        await write(nodes, b"encrypted")
        await all_connected(nodes)
        for name, node in nodes.items():
            assert transports_of(node) == dict.fromkeys(set(NAMES) - {name}, "tcp+tls")


async def test_a_node_whose_authority_is_another_stays_outside_and_the_others_serve_on(
    authority: Authority, tmp_path: Path
) -> None:
    configs = {name: authority.issue(name) for name in NAMES} | {"n3": Authority(tmp_path, "another").issue("n3")}
    async with cluster(places(), configs) as nodes:
        members = {name: nodes[name] for name in ("n1", "n2")}
        await write(members, b"two are enough")
        assert {peer.node_id: peer.connected for peer in leaders(members)[0].status().peers}["n3"] is False
        assert nodes["n3"].status().term == 0
        assert await value_at(nodes["n3"]) is None


async def test_members_reached_with_and_without_tls_make_one_cluster(authority: Authority) -> None:
    addresses = places() | {"n3": places("tcp")["n3"]}
    async with cluster(addresses, {name: authority.issue(name) for name in NAMES}) as nodes:
        await write(nodes, b"mixed")
        await all_connected(nodes)
        assert transports_of(nodes["n1"]) == {"n2": "tcp+tls", "n3": "tcp"}
        assert transports_of(nodes["n3"]) == {"n1": "tcp+tls", "n2": "tcp+tls"}


async def test_an_authority_is_exchanged_without_a_restart_and_without_a_lost_connection(
    authority: Authority, tmp_path: Path
) -> None:
    """As docs/tls.md has it: first believe both, then show what the new one issued, then believe that one only."""
    addresses = places()
    both = tmp_path / "both.pem"
    both.write_bytes(authority.path.read_bytes())
    configs = {name: changed(authority.issue(name), authorities=str(both)) for name in NAMES}
    async with cluster(addresses, configs) as nodes:
        await write(nodes, b"before")
        await all_connected(nodes)
        term = leaders(nodes)[0].status().term
        old = authority.issue("mallory")
        new = Authority(tmp_path, "new")
        both.write_bytes(authority.path.read_bytes() + new.path.read_bytes())
        for name in NAMES:
            new.issue(name)
        both.write_bytes(new.path.read_bytes())
        await asyncio.sleep(2 * tls.LOOK_INTERVAL_S)
        await refused(addresses["n1"], changed(old, authorities=str(both)))
        async with client(addresses["n1"], new.issue("alice")) as alice:
            await alice.propose(put_command("k", b"after"), idempotent=True)
        assert connected(nodes)
        assert leaders(nodes)[0].status().term == term


async def refused(addresses: Sequence[str], config: TlsConfig) -> None:
    async with client(addresses, config) as stranger:
        with pytest.raises(Unreachable, match="it refuses our certificate"):
            await stranger.status()


@asynccontextmanager
async def client(addresses: Sequence[str], config: TlsConfig) -> AsyncIterator[Client]:
    transport = TcpTransport(credentials=FileCredentials(config))
    async with Client(addresses, codecs=[JsonCodec()], transports=[transport], timeout_ms=1_000) as found:
        yield found


async def test_a_node_comes_back_with_a_certificate_of_the_new_authority(authority: Authority, tmp_path: Path) -> None:
    addresses = places()
    configs = {name: authority.issue(name) for name in NAMES}
    async with cluster(addresses, {name: configs[name] for name in ("n1", "n2")}) as nodes:
        async with cluster(addresses, {"n3": configs["n3"]}) as third:
            await write(nodes | third, b"before")
        new = Authority(tmp_path)  # In the place of the old one, and so are all certificates.
        for name in NAMES:
            new.issue(name)
        async with cluster(addresses, {"n3": configs["n3"]}) as third:
            await write(nodes | third, b"after")
