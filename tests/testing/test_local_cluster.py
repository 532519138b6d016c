"""A cluster of processes: they start, die and come back as told, and none is left behind."""

import asyncio
import os
from pathlib import Path

import pytest
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk import Client
from raftsdk.testing.namespaces import obstacle
from raftsdk.testing.processes import LocalCluster, NodeDied, NodeProcess
from raftsdk.testing.wiring import groups

OBSTACLE = "" if os.environ.get("CI") else obstacle()


async def test_a_node_is_killed_and_started_again_whatever_this_process_has_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFTSDK_NODE_ID", "somebody-else")
    async with LocalCluster(tmp_path, nodes=1, transport="unix") as cluster:
        node = cluster.node("n1")
        running = [node.running]
        await node.kill()
        running.append(node.running)
        await node.start()
        running.append(node.running)
    assert [*running, node.running] == [True, False, True, False]


async def test_a_cluster_with_a_node_that_cannot_start_says_why_and_leaves_no_process_behind(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, storage="memory")
    broken = cluster.node("n2")
    broken.config_file.write_text(broken.config_file.read_text().replace('"memory"', '"memori"'))
    with pytest.raises(NodeDied, match=r'n2 did not start:\n(?s:.*)did you mean "memory"'):
        async with cluster:
            pass
    assert [node.running for node in cluster.nodes] == [False, False, False]


async def test_a_wired_cluster_looks_for_every_node_at_its_proxy_and_a_cut_parts_two_of_them(tmp_path: Path) -> None:
    async with LocalCluster(tmp_path, nodes=3, wired=True) as cluster:
        assert cluster.wiring is not None
        assert all(node.config["listen"] != [node.address] for node in cluster.nodes)
        await until_connected(cluster, {"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}})
        cluster.wiring.connect(groups(["n1"], ["n2", "n3"]))
        cluster.wiring.reset(["n1"])
        await until_connected(cluster, {"n1": set(), "n2": {"n3"}, "n3": {"n2"}})
        cluster.wiring.heal()
        await until_connected(cluster, {"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}})


@pytest.mark.skipif(bool(OBSTACLE), reason=OBSTACLE)
async def test_a_cut_by_the_kernel_is_noticed_by_silence_and_healed_without_a_reset(tmp_path: Path) -> None:
    settings = {"link": {"call_timeout_ms": 300, "connect_timeout_ms": 300}}
    async with LocalCluster(tmp_path, namespaces=True, settings=settings) as cluster:
        await until_connected(cluster, {"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}})
        cluster.cuts.connect(groups(["n1"], ["n2", "n3"]))
        await until_connected(cluster, {"n1": set()})  # who asks it nothing may take it for connected much longer
        await until_said(cluster.node("n1"), "took no connection within 300 ms")
        cluster.cuts.heal()
        await until_connected(cluster, {"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}})
    assert "nothing was heard for a whole call timeout" in cluster.node("n1").said()


async def until_said(node: NodeProcess, words: str) -> None:
    for _ in range(200):
        if words in node.said():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{node.node_id} does not say {words!r}, but: {node.said()}")


async def until_connected(cluster: LocalCluster, expected: dict[str, set[str]]) -> None:
    """Wait until each of these nodes is connected to those and no others."""
    found: dict[str, set[str]] = {}
    for _ in range(200):
        for node_id in expected:
            address = cluster.node(node_id).address
            async with Client([address], codecs=[MsgpackCodec()], transports=[TcpTransport()]) as client:
                status = await client.status()
            found[node_id] = {peer.node_id for peer in status.peers if peer.connected}
        if found == expected:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{found} are connected, and should be {expected}")


def test_a_cluster_whose_callers_proxies_cannot_tell_apart_is_not_wired(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="over tcp alone"):
        LocalCluster(tmp_path, transport=["tcp", "unix"], wired=True)


def test_in_namespaces_nothing_else_parts_nodes_and_nothing_goes_around(tmp_path: Path) -> None:
    for wired, transport in ((True, "tcp"), (False, "unix")):
        with pytest.raises(ValueError, match="in namespaces nodes are without proxies, and not at unix sockets"):
            LocalCluster(tmp_path, namespaces=True, wired=wired, transport=transport)


def test_who_joins_knows_only_itself_and_whom_to_ask(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, nodes=2, joining=1)
    joiner = cluster.node("n3")
    assert joiner not in cluster.nodes
    assert [member["id"] for member in joiner.config["members"]] == ["n3"]
    assert joiner.config["join"] == cluster.addresses
    assert all("join" not in node.config for node in cluster.nodes)
