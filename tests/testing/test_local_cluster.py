"""A cluster of processes: they start, die and come back as told, and none is left behind."""

from pathlib import Path

import pytest

from raftsdk.testing.processes import LocalCluster, NodeDied


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
