"""`raftsdk members`, `transfer`, `snapshot`, and reads of every freshness, against a cluster of real processes."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from raftsdk.testing.processes import LocalCluster

Done: TypeAlias = subprocess.CompletedProcess[bytes]
Run: TypeAlias = Callable[..., Done]


def raftsdk(*arguments: str) -> Done:
    command = [sys.executable, "-m", "raftsdk.cli", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


def said(done: Done, code: int = 0) -> str:
    assert done.returncode == code, done.stderr.decode()
    return (done.stdout if code == 0 else done.stderr).decode().strip()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    async with LocalCluster(tmp_path, joining=1) as made:
        yield made


async def test_a_node_joins_and_is_demoted_promoted_removed_and_leadership_goes_where_it_is_sent(
    cluster: LocalCluster,
) -> None:
    at = ("--at", cluster.addresses[0])
    said(raftsdk("kv", "put", "k", "v", *at))
    (joining,) = cluster.joining
    await joining.start()
    for _ in range(100):
        listed = json.loads(said(raftsdk("members", "list", *at, "--json")))
        if {"id": "n4", "suffrage": "voter"} in listed["members"]:
            break
    assert [member["id"] for member in listed["members"]] == ["n1", "n2", "n3", "n4"]

    demoted = json.loads(said(raftsdk("members", "demote", "n4", *at, "--json")))
    assert demoted["members"][3]["suffrage"] == "learner"
    assert demoted["members"][3]["addresses"] == [joining.address]
    assert "n4      voter" in said(raftsdk("members", "promote", "n4", *at))
    assert said(raftsdk("transfer", "n4", *at)) == "n4 leads"
    assert said(raftsdk("kv", "get", "k", "--at", joining.address)) == "v"
    removed = json.loads(said(raftsdk("members", "remove", "n4", "n3", *at, "--json")))
    assert [member["id"] for member in removed["members"]] == ["n1", "n2"]
    assert removed["outgoing"] == []
    for address in (cluster.addresses[2], joining.address):  # both have heard that they were removed
        for _ in range(100):
            (status,) = json.loads(said(raftsdk("status", address, "--json")))
            if not status["suffrage"]:
                break
        assert status["suffrage"] == ""


async def test_every_freshness_is_asked_for_by_its_name(cluster: LocalCluster) -> None:
    said(raftsdk("kv", "put", "k", "v", "--at", cluster.addresses[0]))
    for consistency in ("linearizable", "lease", "follower_linearizable"):
        for address in cluster.addresses:
            assert said(raftsdk("kv", "get", "k", "--consistency", consistency, "--at", address)) == "v"
    stale = ("--consistency", "bounded_stale", "--max-staleness-ms", "50")
    assert said(raftsdk("kv", "list", *stale, "--at", cluster.addresses[1])) == "k"
    assert "fresh" in said(raftsdk("kv", "get", "k", "--consistency", "fresh"), code=2)


async def test_a_snapshot_is_taken_on_demand(cluster: LocalCluster) -> None:
    at = ("--at", cluster.addresses[0])
    said(raftsdk("kv", "put", "k", "v" * 1000, *at))
    taken = json.loads(said(raftsdk("snapshot", *at, "--json")))
    assert taken["total_bytes"] > 1000
    (status,) = json.loads(said(raftsdk("status", cluster.addresses[0], "--json")))
    assert status["snapshot_index"] == taken["last_included_index"]
    assert f"up to entry {taken['last_included_index']}" in said(raftsdk("snapshot", *at))


async def test_what_cannot_be_done_is_said_with_what_to_do(cluster: LocalCluster) -> None:
    at = ("--at", cluster.addresses[0])
    assert "n9 is no member" in said(raftsdk("members", "remove", "n9", *at), code=1)
    assert "no voter would be left" in said(raftsdk("members", "remove", "n1", "n2", "n3", *at), code=1)
    assert "n9 is no voter" in said(raftsdk("transfer", "n9", *at), code=1)
    assert "an id has 1 to 128 letters" in said(raftsdk("members", "promote", "../etc", *at), code=2).replace("│", "")
    assert "give scheme://where" in said(raftsdk("members", "add", "n4", "127.0.0.1:1", *at), code=2)
