"""Several groups in one process, from a builder: separate in everything but their connections."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from test_node_builder import NoNetwork, free_address, until

from raftsdk.builder import NodeBuilder
from raftsdk.cli.key_value import KeyValue, get_message, parse_value, put_command
from raftsdk.config import RaftConfig
from raftsdk.errors import ConfigError
from raftsdk.messages import Consistency
from raftsdk.runtime.host import RaftHost
from raftsdk.storage.memory import MemoryStorage
from raftsdk.types import NodeId

GROUPS = (0, 7)
STEADY = RaftConfig(tick_interval_ms=10)


def builder_of(node_id: NodeId, addresses: dict[NodeId, str], folder: Path | None = None) -> NodeBuilder:
    builder = NodeBuilder(node_id).cluster("demo").members(addresses).config(STEADY)
    return builder.storage("sqlite", path=str(folder / node_id)) if folder else builder.storage("memory")


async def serving(hosts: dict[NodeId, RaftHost], group: int, command: bytes) -> None:
    """Have a command applied on every node of a group."""
    leader = hosts[await hosts["n1"][group].leader()][group]
    await leader.propose(command)
    last = leader.status().last_log_index
    await until(lambda: all(host[group].status().applied_index >= last for host in hosts.values()))


async def value_of(host: RaftHost, group: int, key: str) -> bytes | None:
    return parse_value(await host[group].query(get_message(key), consistency=Consistency.FOLLOWER_LINEARIZABLE))


async def test_groups_share_connections_and_nothing_else(tmp_path: Path) -> None:
    addresses = {node_id: free_address() for node_id in ("n1", "n2", "n3")}

    async def run(work: Callable[[dict[NodeId, RaftHost]], Awaitable[None]]) -> None:
        async with AsyncExitStack() as stack:
            hosts = {
                node_id: await stack.enter_async_context(
                    builder_of(node_id, addresses, tmp_path).build_host({group: KeyValue() for group in GROUPS})
                )
                for node_id in addresses
            }
            assert [*hosts["n1"]] == [*GROUPS]
            await work(hosts)

    async def write(hosts: dict[NodeId, RaftHost]) -> None:
        for group in GROUPS:
            await serving(hosts, group, put_command("k", b"of %d" % group))
        for group in GROUPS:
            assert await value_of(hosts["n2"], group, "k") == b"of %d" % group

    async def read(hosts: dict[NodeId, RaftHost]) -> None:
        for group in GROUPS:
            await serving(hosts, group, put_command("again", b""))
            assert await value_of(hosts["n3"], group, "k") == b"of %d" % group

    async with asyncio.timeout(60):
        await run(write)
        await run(read)
    assert sorted(path.name for path in (tmp_path / "n1").iterdir()) == ["group-0", "group-7"]


async def test_each_group_has_a_leader_of_its_own() -> None:
    addresses = {node_id: free_address() for node_id in ("n1", "n2")}
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        hosts = {
            node_id: await stack.enter_async_context(
                builder_of(node_id, addresses).build_host(dict.fromkeys(GROUPS, "key-value"))
            )
            for node_id in addresses
        }
        first, second = [hosts[await hosts["n1"][group].leader()][group] for group in GROUPS]
        other = "n2" if first.identity.node_id == "n1" else "n1"
        if second.identity.node_id != other:
            assert await second.transfer_leadership(other) == other
        assert hosts[other][GROUPS[1]].is_leader
        assert first.is_leader


async def test_a_fault_of_one_group_ends_the_host_and_frees_its_address() -> None:
    addresses = {"n1": free_address()}

    class Failing(KeyValue):
        def apply(self, command: bytes, index: int) -> bytes:
            raise MemoryError

    async def body() -> None:
        async with asyncio.timeout(30), builder_of("n1", addresses).build_host({0: KeyValue(), 1: Failing()}) as host:
            await host[1].leader()
            await host[1].propose(b"x")

    with pytest.raises(MemoryError):
        await body()
    async with asyncio.timeout(30), builder_of("n1", addresses).build_host({0: KeyValue()}) as host:
        await host[0].leader()


def faults_of(builder: NodeBuilder, groups: dict[int, object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        builder.build_host(groups)  # type: ignore[arg-type]
    return list(caught.value.faults)


def test_what_is_wrong_with_a_host_is_said_at_once_and_once() -> None:
    builder = builder_of("n9", {"n1": free_address()})
    assert faults_of(
        builder.storage(MemoryStorage()).join("tcp://127.0.0.1:7001"), {-1: KeyValue(), 2: "key-values"}
    ) == [
        "-1 is no group: give a number from 0 to 4294967295",
        "MemoryStorage is the store of one group: give the name of a store instead",
        "a host of groups is founded with its members, and joins nobody: leave out join",
        'node_id is "n9", which is not among the members (n1): correct it, or add the member',
        "members has n1 besides n9, which is to join a cluster that runs: leave the others out, since the cluster says "
        "who they are; or leave out join, if this node is to found it with them",
        'state_machine is "key-values": no state machine has that name; did you mean "key-value"?',
    ]


def test_a_host_needs_a_group_and_our_own_network() -> None:
    (fault,) = faults_of(builder_of("n1", {"n1": free_address()}), {})
    assert fault.startswith("there is no group")
    network = NodeBuilder("n1").cluster("demo").voters("n1").network(NoNetwork()).storage("memory")  # type: ignore[arg-type]
    (fault,) = faults_of(network, {0: KeyValue()})
    assert fault.startswith("a network of your own carries one group")
