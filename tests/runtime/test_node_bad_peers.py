"""What strangers and dishonest peers send to a real node over the real wire, and that it moves nothing."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from node_cluster import CLUSTER, NEVER_CAMPAIGNS, Journal, new_network, new_node, until
from raftsdk_json import JsonCodec
from raftsdk_tcp import TcpTransport

from raftsdk.builder import NodeBuilder
from raftsdk.config import LinkConfig
from raftsdk.errors import StorageRefused, Unreachable
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorCode,
    ErrorResponse,
    PeerRequest,
    RequestVoteRequest,
    RequestVoteResponse,
    StatusResponse,
)
from raftsdk.runtime.node import RaftNode
from raftsdk.storage.memory import MemoryStorage
from raftsdk.types import Entry, EntryKind, HardState, Identity, NodeId, Recovered
from raftsdk.wire.endpoint import Endpoint
from raftsdk.wire.link import Link


class Bench:
    """A node n1 of three that only listens, its disk, its state machine, and whoever wants to talk to it."""

    def __init__(self) -> None:
        self.network = new_network("n1")
        self.disk = MemoryStorage()
        self.machine = Journal()
        self.node: RaftNode = new_node(
            "n1", self.network, storage=self.disk, machine=self.machine, config=NEVER_CAMPAIGNS
        )

    @asynccontextmanager
    async def peer(self, node_id: NodeId, cluster_id: str = CLUSTER) -> AsyncIterator[Link]:
        """A link to the node, as `node_id` of `cluster_id`, that sends whatever it is told to."""
        endpoint = Endpoint(
            identity=Identity(cluster_id=cluster_id, node_id=node_id),
            codecs=[JsonCodec()],
            transports=[TcpTransport()],
            config=LinkConfig(),
        )
        link = Link(endpoint, role="peer", target="n1", addresses=self.network.listening)
        link.open()
        try:
            yield link
        finally:
            await link.aclose()

    async def picture(self) -> tuple[StatusResponse, Recovered]:
        """All that must not move: role, term, leader, indexes; term, vote and log on the disk."""
        return self.node.status(), await self.disk.load(self.node.identity)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with made.node:
        yield made


def append(
    term: int, *entries: tuple[int, bytes], prev: tuple[int, int] = (0, 0), commit: int = 0, leader_id: NodeId = "n2"
) -> AppendEntriesRequest:
    """`entries` as (term, command) behind `prev` as (index, term)."""
    return AppendEntriesRequest(
        term=term,
        leader_id=leader_id,
        prev_log_index=prev[0],
        prev_log_term=prev[1],
        leader_commit=commit,
        entries=[Entry(term=of, kind=EntryKind.COMMAND, data=command) for of, command in entries],
    )


def plea(term: int, candidate_id: NodeId) -> RequestVoteRequest:
    return RequestVoteRequest(term=term, candidate_id=candidate_id, last_log_index=99, last_log_term=term - 1)


ACCEPTED = AppendEntriesResponse(term=1, success=True)


async def test_another_clusters_node_is_turned_away_before_it_says_anything(bench: Bench) -> None:
    before = await bench.picture()
    async with bench.peer("n2", cluster_id="other") as stranger:
        with pytest.raises(Unreachable, match="wrong_cluster"):
            await stranger.call(append(7, (7, b"theirs")))
    assert await bench.picture() == before
    assert bench.network.closed_by_reason["wrong_cluster"] >= 1


async def test_whoever_claims_the_nodes_own_id_is_turned_away(bench: Bench) -> None:
    before = await bench.picture()
    async with bench.peer("n1") as impostor:
        with pytest.raises(Unreachable, match="own_id"):
            await impostor.call(plea(7, "n1"))
    assert await bench.picture() == before


async def test_a_second_peer_of_one_id_changes_nothing_for_the_first(bench: Bench) -> None:
    async with bench.peer("n2") as first, bench.peer("n2") as second:
        assert await first.call(append(1, (1, b"a"))) == ACCEPTED
        before = await bench.picture()
        assert await second.call(append(1, prev=(1, 1))) == ACCEPTED
        assert await first.call(append(1, prev=(1, 1))) == ACCEPTED
        assert await bench.picture() == before


async def test_a_vote_for_a_stranger_is_refused_without_its_term_while_a_leader_is_known(bench: Bench) -> None:
    async with bench.peer("n2") as leader, bench.peer("n9") as stranger:
        assert await leader.call(append(1, (1, b"a"))) == ACCEPTED
        before = await bench.picture()
        assert await stranger.call(plea(50, "n9")) == RequestVoteResponse(term=1, vote_granted=False)
        assert await bench.picture() == before


async def test_without_a_leader_a_vote_goes_to_whoever_asks_first_and_is_on_the_disk_by_then(bench: Bench) -> None:
    """A voter that has not heard of its promotion must be voted for: membership is not asked (thesis §4.2.1)."""
    async with bench.peer("n9") as unknown, bench.peer("n2") as member:
        assert await unknown.call(plea(5, "n9")) == RequestVoteResponse(term=5, vote_granted=True)
        assert await member.call(plea(5, "n2")) == RequestVoteResponse(term=5, vote_granted=False)
        _, stored = await bench.picture()
        assert stored.hard_state == HardState(term=5, voted_for="n9")


@pytest.mark.parametrize("request_", [append(7, (7, b"x"), leader_id="n3"), plea(7, "n3")])
async def test_a_request_in_anothers_name_is_refused(bench: Bench, request_: PeerRequest) -> None:
    before = await bench.picture()
    async with bench.peer("n2") as liar:
        refusal = await liar.call(request_)
    assert isinstance(refusal, ErrorResponse)
    assert refusal.code == ErrorCode.WRONG_IDENTITY
    assert await bench.picture() == before


async def test_a_second_leader_in_one_term_is_refused_with_an_alarm(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.peer("n2") as leader, bench.peer("n3") as second:
        assert await leader.call(append(1, (1, b"a"))) == ACCEPTED
        before = await bench.picture()
        refused = await second.call(append(1, (1, b"b"), leader_id="n3"))
        assert refused == AppendEntriesResponse(term=1, success=False)
        assert await bench.picture() == before
    assert "two_leaders: n3 claims to lead term 1, which n2 leads" in caplog.text


async def test_a_commit_index_beyond_what_the_request_proves_commits_only_that(bench: Bench) -> None:
    async with bench.peer("n2") as leader:
        assert await leader.call(append(1, (1, b"a"), (1, b"b"), (1, b"c"))) == ACCEPTED
        assert await leader.call(append(1, prev=(2, 1), commit=2**62)) == ACCEPTED
        await until(lambda: bench.node.status().applied_index == 2)
        assert bench.node.status().commit_index == 2
        assert bench.machine.lines == [b"a", b"b"]


async def test_entries_that_contradict_committed_ones_are_refused_with_an_alarm(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.peer("n2") as leader, bench.peer("n3") as liar:
        assert await leader.call(append(1, (1, b"a"), (1, b"b"), commit=2)) == ACCEPTED
        await until(lambda: bench.node.status().applied_index == 2)
        _, before = await bench.picture()
        refused = await liar.call(append(2, (2, b"other"), leader_id="n3"))
        assert refused == AppendEntriesResponse(term=2, success=False)
        _, after = await bench.picture()
        assert after.entries == before.entries
        assert bench.node.status().commit_index == 2
    assert "committed_entry_contradicted: n3 sent another entry 1" in caplog.text
    assert bench.machine.lines == [b"a", b"b"]


async def test_a_term_that_no_election_explains_is_refused_with_an_alarm(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    before = await bench.picture()
    async with bench.peer("n2") as liar:
        assert await liar.call(append(2**63 - 1)) == AppendEntriesResponse(term=0, success=False)
    assert await bench.picture() == before
    assert "term_jump" in caplog.text


async def test_a_session_that_is_replayed_in_any_order_leaves_the_same_state(bench: Bench) -> None:
    session = [
        append(1, (1, b"a"), (1, b"b")),
        append(1, (1, b"c"), prev=(2, 1), commit=2),
        append(1, prev=(3, 1), commit=3),
        append(3, (3, b"d"), prev=(3, 1)),
        append(3, (3, b"e"), prev=(4, 3), commit=4),
        append(3, prev=(5, 3), commit=5),
    ]
    async with bench.peer("n2") as leader:
        for request in session:
            response = await leader.call(request)
            assert isinstance(response, AppendEntriesResponse)
            assert response.success
        await until(lambda: bench.node.status().applied_index == 5)
        before = await bench.picture()
        replayed = session * 5
        random.Random(1).shuffle(replayed)
        for request in replayed:
            await leader.call(request)
        assert await bench.picture() == before
    assert bench.machine.lines == [b"a", b"b", b"c", b"d", b"e"]


# -- a damaged directory, through the builder


def built(folder: Path, cluster_id: str = "c") -> RaftNode:
    builder = NodeBuilder("n1").cluster(cluster_id).member("n1", f"unix://{folder}/n1.sock")
    return builder.storage("sqlite", path=str(folder / "data")).state_machine("key-value").build()


async def written(folder: Path) -> None:
    """A directory with some entries in it, closed in good order."""
    async with built(folder) as node:
        await node.leader()
        await until(lambda: node.is_leader)
        await node.propose(b"\1\0\1kv")


def flip_a_byte(folder: Path) -> None:
    path = folder / "data" / "raft.sqlite"
    content = bytearray(path.read_bytes())
    place = content.rindex(b"\1\0\1kv")
    content[place] ^= 0x40
    path.write_bytes(content)


def lose_the_log(folder: Path) -> None:
    (folder / "data" / "raft.sqlite").unlink()


def lose_the_guard(folder: Path) -> None:
    (folder / "data" / "guard").unlink()


@pytest.mark.parametrize("damage", [flip_a_byte, lose_the_log, lose_the_guard], ids=lambda damage: damage.__name__)
async def test_a_node_whose_data_is_damaged_does_not_start_and_says_what_to_do(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    await written(tmp_path)
    damage(tmp_path)
    with pytest.raises(StorageRefused, match="restore this node as a new member"):
        async with built(tmp_path):
            pass
    assert not (tmp_path / "n1.sock").exists()


async def test_a_backup_put_back_is_noticed(tmp_path: Path) -> None:
    await written(tmp_path)
    backup = (tmp_path / "data" / "raft.sqlite").read_bytes()
    await written(tmp_path)
    (tmp_path / "data" / "raft.sqlite").write_bytes(backup)
    with pytest.raises(StorageRefused, match="this node has lost data"):
        async with built(tmp_path):
            pass


async def test_a_directory_of_another_cluster_is_refused(tmp_path: Path) -> None:
    await written(tmp_path)
    with pytest.raises(StorageRefused, match="belongs to node n1 of cluster c"):
        async with built(tmp_path, cluster_id="d"):
            pass


async def test_two_nodes_on_one_directory_are_refused_and_the_first_lives(tmp_path: Path) -> None:
    async with built(tmp_path) as first:
        with pytest.raises(StorageRefused, match="is in use by process"):
            async with built(tmp_path):
                pass
        await first.leader()
        assert await first.query(b"\2\0\1k") == b"\0"
