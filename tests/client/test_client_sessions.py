"""Sessions: whatever becomes of an answer, the command is applied once (thesis §6.3)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec import msgpack
from raftsdk_msgpack import MsgpackCodec
from raftsdk_tcp import TcpTransport

from raftsdk import Client, Consistency, Member, NodeBuilder, RaftConfig, RaftNode, Session, Suffrage
from raftsdk.client.session import MAX_UNANSWERED
from raftsdk.errors import CommandFailed, MembershipRefused, OutcomeUnknown, SessionExpired, TransferFailed
from raftsdk.messages import ProposeRequest
from raftsdk.types import NodeId

NODE_IDS = ("n1", "n2", "n3")


class Counter:
    """Adds, and tells the sum: a command that is applied twice shows for ever."""

    def __init__(self) -> None:
        self.total = 0

    def apply(self, command: bytes, index: int) -> bytes:
        self.total += int(command)
        return b"%d" % self.total

    def query(self, query: bytes) -> bytes:
        return b"%d" % self.total

    async def snapshot_of(self, total: int) -> AsyncIterator[bytes]:
        yield msgpack.encode(total)

    def snapshot(self) -> AsyncIterator[bytes]:
        return self.snapshot_of(self.total)

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        self.total = msgpack.decode(b"".join([piece async for piece in pieces]))


class Cluster:
    """Three nodes on Unix sockets and SQLite, any of which may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.addresses = {node_id: f"unix://{folder}/{node_id}.sock" for node_id in NODE_IDS}
        self.running: dict[NodeId, RaftNode] = {}

    async def start(self, node_id: NodeId) -> None:
        config = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20, snapshot_trailing_entries=0)
        builder = NodeBuilder(node_id).cluster("c").members(self.addresses).config(config)
        builder.storage("sqlite", path=str(self.folder / node_id)).state_machine(Counter())
        self.running[node_id] = await builder.build().__aenter__()

    async def stop(self, node_id: NodeId) -> None:
        await self.running.pop(node_id).__aexit__(None, None, None)

    async def leader(self) -> NodeId:
        return await next(iter(self.running.values())).leader()

    def client(self, timeout_ms: int = 15_000) -> Client:
        return Client(
            [*self.addresses.values()], codecs=[MsgpackCodec()], transports=[TcpTransport()], timeout_ms=timeout_ms
        )


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path)
    async with AsyncExitStack() as stack:
        for node_id in NODE_IDS:
            await made.start(node_id)
        stack.push_async_callback(_stop_all, made)
        yield made


async def _stop_all(cluster: Cluster) -> None:
    for node_id in [*cluster.running]:
        await cluster.stop(node_id)


class Forgetful:
    """A session whose answers get lost: it asks for every command as often as told, and believes the last answer."""

    def __init__(self, client: Client, session: Session, between: Callable[[], object] = lambda: None) -> None:
        self.session = session
        self._ask = client._propose_in_session
        self._between = between
        session._propose = self._propose

    async def _propose(self, request: ProposeRequest) -> bytes:
        first = await self._ask(request)
        pause = self._between()
        if asyncio.iscoroutine(pause):
            await pause
        second = await self._ask(request)
        assert second == first, "asked again, it is answered again"
        return second


async def test_a_command_that_is_asked_for_again_is_applied_once(cluster: Cluster) -> None:
    async with cluster.client() as client:
        session = Forgetful(client, await client.open_session()).session
        assert [await session.propose(b"5") for _ in range(3)] == [b"5", b"10", b"15"]
        assert await client.query(b"", consistency=Consistency.LINEARIZABLE) == b"15"


async def test_it_is_applied_once_though_another_leads_by_then(cluster: Cluster) -> None:
    async def change_leader() -> None:
        await cluster.stop(await cluster.leader())

    async with cluster.client() as client:
        session = Forgetful(client, await client.open_session(), change_leader).session
        assert await session.propose(b"5") == b"5"
        assert await client.query(b"", consistency=Consistency.LINEARIZABLE) == b"5"


async def test_it_is_applied_once_though_everybody_restarted_from_a_snapshot(cluster: Cluster) -> None:
    async def restart_from_snapshots() -> None:
        for node_id in NODE_IDS:
            await cluster.running[node_id].query(b"", consistency=Consistency.FOLLOWER_LINEARIZABLE)  # has applied it
            await cluster.running[node_id].take_snapshot()
        for node_id in NODE_IDS:
            await cluster.stop(node_id)
        for node_id in NODE_IDS:
            await cluster.start(node_id)

    async with cluster.client() as client:
        session = Forgetful(client, await client.open_session(), restart_from_snapshots).session
        assert await session.propose(b"5") == b"5"
        assert await client.query(b"", consistency=Consistency.LINEARIZABLE) == b"5"
        statuses = [node.status() for node in cluster.running.values()]
        assert all(status.snapshot_index > 0 for status in statuses)


async def test_what_the_state_machine_refused_is_refused_again_and_the_session_goes_on(cluster: Cluster) -> None:
    async with cluster.client() as client:
        session = await client.open_session()
        for _ in range(2):
            with pytest.raises(CommandFailed, match="ValueError"):
                await session.propose(b"no number")
        assert await session.propose(b"1") == b"1"


async def test_a_session_that_was_never_opened_applies_nothing(cluster: Cluster) -> None:
    async with cluster.client() as client:
        session = Session(client._propose_in_session, 1)
        with pytest.raises(SessionExpired, match="session 1"):
            await session.propose(b"1")
        assert await client.query(b"", consistency=Consistency.LINEARIZABLE) == b"0"


async def test_many_commands_of_one_session_at_once_are_each_applied_once_while_leaders_come_and_go(
    cluster: Cluster,
) -> None:
    async with cluster.client() as client:
        session = await client.open_session()
        work = asyncio.gather(*(session.propose(b"1") for _ in range(2 * MAX_UNANSWERED)))
        for _ in range(2):
            leader = await cluster.leader()
            await cluster.stop(leader)
            await cluster.start(leader)
        assert sorted(map(int, await work)) == [*range(1, 2 * MAX_UNANSWERED + 1)]


# -- every consistency, and what operators ask for


@pytest.mark.parametrize("consistency", [c for c in Consistency if c is not Consistency.LOCAL])
async def test_a_read_that_is_not_local_sees_what_was_just_written(cluster: Cluster, consistency: Consistency) -> None:
    async with cluster.client() as client:
        for total in range(1, 11):
            await client.propose(b"1")
            assert await client.query(b"", consistency=consistency, max_staleness_ms=0) == b"%d" % total


async def test_leadership_goes_where_it_is_sent_and_nowhere_else(cluster: Cluster) -> None:
    async with cluster.client() as client:
        leader = await cluster.leader()
        target = next(node_id for node_id in NODE_IDS if node_id != leader)
        assert await client.transfer_leadership(target) == target
        with pytest.raises(TransferFailed, match="n9 is no voter"):
            await client.transfer_leadership("n9")


async def test_members_are_changed_and_what_makes_no_sense_is_refused(cluster: Cluster) -> None:
    async with cluster.client() as client:
        await client.propose(b"1")  # before its first commit, a new leader refuses to change anybody
        changed = await client.change_membership([Member("n3", suffrage=Suffrage.LEARNER)])
        assert changed.voters() == {"n1", "n2"}
        assert changed.member("n3") == Member("n3", (cluster.addresses["n3"],), Suffrage.LEARNER)
        with pytest.raises(MembershipRefused, match="n9 is no member"):
            await client.change_membership(remove=["n9"])
        with pytest.raises(MembershipRefused, match="no voter would be left"):
            await client.change_membership(remove=["n1", "n2"])


async def test_a_snapshot_that_is_asked_for_cuts_the_log_of_the_node_that_was_asked(cluster: Cluster) -> None:
    async with cluster.client() as client:
        await client.propose(b"1")
        taken = await client.take_snapshot()
        assert taken.total_bytes > 0
        assert taken.last_included_index in {node.status().snapshot_index for node in cluster.running.values()}


async def test_a_change_that_was_begun_without_a_majority_is_in_doubt(cluster: Cluster) -> None:
    async with cluster.client() as client:
        await client.propose(b"1")  # before its first commit, a new leader refuses to change anybody
    leader = await cluster.leader()
    for node_id in NODE_IDS:
        if node_id != leader:
            await cluster.stop(node_id)
    async with cluster.client(timeout_ms=1_000) as client:
        with pytest.raises(OutcomeUnknown, match="it may be done"):
            await client.change_membership(remove=["n3" if leader != "n3" else "n2"])
