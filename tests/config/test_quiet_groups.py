"""Groups of which nobody wants anything, on real sockets: they quiesce, and miss a dead node all the same."""

import asyncio
from contextlib import AsyncExitStack

from test_node_builder import free_address, until

from raftsdk.builder import NodeBuilder
from raftsdk.cli.key_value import KeyValue, get_message, parse_value, put_command
from raftsdk.config import RaftConfig
from raftsdk.messages import Consistency
from raftsdk.runtime.host import RaftHost
from raftsdk.runtime.node import RaftNode
from raftsdk.wire.rpc import RpcNetwork

GROUPS = range(30)
ONLY_LINKS_TELL = RaftConfig(tick_interval_ms=10, election_timeout_ticks=40, quiesce_interval_ticks=10_000_000)
"""The slow heartbeats come once a day: within the time of a test nobody learns anything from them."""

QUIET_TIMEOUTS = 8
"""So many election timeouts without a heartbeat, and nobody may have campaigned."""


def is_quiet(node: RaftNode) -> bool:
    return node._raft.quiescence.holds


def nodes_of(hosts: list[RaftHost]) -> list[RaftNode]:
    return [node for host in hosts for node in host.values()]


def terms_of(hosts: list[RaftHost]) -> list[int]:
    return [node.status().term for node in nodes_of(hosts)]


async def leader_of(hosts: list[RaftHost], group: int) -> RaftNode:
    found: list[RaftNode] = []

    def one_leads() -> bool:
        found[:] = [host[group] for host in hosts if host[group].is_leader]
        return len(found) == 1

    await until(one_leads)
    return found[0]


async def cut_off(host: RaftHost) -> None:
    """As if its cable had been pulled: it hears nobody, and nobody hears it."""
    network = host._network
    assert isinstance(network, RpcNetwork)
    for link in network._peers._links():
        await link.aclose()
    await network._peers.server.aclose()


async def test_quiet_groups_beat_no_more_keep_their_leaders_and_miss_a_node_that_dies() -> None:
    addresses = {node_id: free_address() for node_id in ("n1", "n2", "n3")}
    async with asyncio.timeout(90), AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(
                NodeBuilder(node_id)
                .cluster("demo")
                .members(addresses)
                .config(ONLY_LINKS_TELL)
                .storage("memory")
                .build_host({group: KeyValue() for group in GROUPS})
            )
            for node_id in addresses
        ]
        for group in GROUPS:
            await (await leader_of(hosts, group)).propose(put_command("k", b"before"))
        await until(lambda: all(map(is_quiet, nodes_of(hosts))))

        before = terms_of(hosts)
        timeout_s = ONLY_LINKS_TELL.election_timeout_ticks * ONLY_LINKS_TELL.tick_interval_ms / 1000
        await asyncio.sleep(QUIET_TIMEOUTS * timeout_s)
        assert terms_of(hosts) == before

        await cut_off(hosts[0])
        survivors = hosts[1:]
        for group in GROUPS:
            leader = await leader_of(survivors, group)
            await leader.propose(put_command("k", b"after"))
            value = await leader.query(get_message("k"), consistency=Consistency.LINEARIZABLE)
            assert parse_value(value) == b"after"
        await until(lambda: not any(node.is_leader for node in hosts[0].values()))
        await until(lambda: all(map(is_quiet, nodes_of(survivors))))  # though a member is down
