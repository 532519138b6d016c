"""Snapshots of a running node: taken by policy and on demand, sent to who lags, restored by who comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from node_cluster import NODE_IDS, Journal, Switch, Team, alone, cluster, deaf, new_node, outcome, team, until

from raftsdk.config import RaftConfig
from raftsdk.core.events import PieceKept, SnapshotReceived, SnapshotTaken
from raftsdk.core.ready import Piece
from raftsdk.errors import NodeStopped, OutcomeUnknown, SnapshotFailed, StorageFailed
from raftsdk.messages import (
    ErrorCode,
    ErrorResponse,
    InstallSnapshotRequest,
    TakeSnapshotRequest,
    TakeSnapshotResponse,
)
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.snapshots import MAX_WAITING_BYTES, OwnSnapshots, ReceivedSnapshots, meta_of
from raftsdk.storage.memory import MemorySink, MemoryStorage
from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.types import (
    Entry,
    EntryKind,
    Identity,
    Member,
    Membership,
    Recovered,
    SnapshotMeta,
    Write,
    encode_membership,
)

EVERY_TEN = RaftConfig(
    tick_interval_ms=10, election_timeout_ticks=20, snapshot_after_entries=10, snapshot_trailing_entries=2
)
KEEPS_NOTHING = RaftConfig(
    tick_interval_ms=10, election_timeout_ticks=20, snapshot_after_entries=0, snapshot_trailing_entries=0
)


def first_log_indexes(nodes: Team) -> list[int]:
    return [node.status().first_log_index for node in nodes.nodes.values()]


# -- of one's own state


async def test_every_node_cuts_its_log_when_the_policy_says_so() -> None:
    async with team(EVERY_TEN) as nodes:
        leader = await nodes.leader()
        for number in range(40):
            await leader.propose(b"%d" % number)
        await nodes.all_applied()
        await until(lambda: min(first_log_indexes(nodes)) > 20)
        for node in nodes.nodes.values():
            status = node.status()
            assert status.first_log_index == status.snapshot_index - 2 + 1
        assert {len(machine.lines) for machine in nodes.machines.values()} == {40}


async def test_what_was_applied_while_a_snapshot_was_taken_is_a_reason_for_the_next() -> None:
    disk, may_go_on = MemoryStorage(), asyncio.Event()
    create = disk.create_snapshot

    async def create_late(index: int, term: int, membership: Membership) -> MemorySink:
        await may_go_on.wait()
        return await create(index, term, membership)

    disk.create_snapshot = create_late  # type: ignore[method-assign]
    async with alone(EVERY_TEN, storage=disk) as node:
        for number in range(40):
            await node.propose(b"%d" % number)
        assert node.status().snapshot_index == 0
        may_go_on.set()  # and nothing more is asked
        await until(lambda: node.status().snapshot_index == 41)


async def test_so_many_bytes_of_commands_are_a_reason_too() -> None:
    by_bytes = RaftConfig(tick_interval_ms=10, snapshot_after_entries=0, snapshot_after_bytes=10_000)
    async with alone(by_bytes) as node:
        await node.propose(bytes(9_000))
        assert node.status().snapshot_index == 0
        await node.propose(bytes(1_000))
        await until(lambda: node.status().snapshot_index == 3)


async def test_a_snapshot_on_demand_covers_all_that_is_applied_and_is_durable_when_it_returns() -> None:
    disk = MemoryStorage()
    async with alone(KEEPS_NOTHING, storage=disk) as node:
        for number in range(5):
            await node.propose(b"%d" % number)
        meta = await node.take_snapshot()
        assert (meta.index, meta.membership) == (6, Membership((Member("n1"),)))
        recovered = await disk.load(node.identity)
        assert (recovered.snapshot, recovered.first_index, recovered.entries) == (meta, 7, [])


async def test_asking_twice_for_the_same_state_gives_the_same_snapshot() -> None:
    async with alone(KEEPS_NOTHING) as node:
        await node.propose(b"x")
        together = await asyncio.gather(*(node.take_snapshot() for _ in range(3)))
        assert [*together, await node.take_snapshot()] == [together[0]] * 4
        await node.propose(b"y")
        assert (await node.take_snapshot()).index == together[0].index + 1


async def test_a_client_may_ask_for_a_snapshot() -> None:
    async with alone(KEEPS_NOTHING) as node:
        await node.propose(b"x")
        response = await node.handle(TakeSnapshotRequest())
        assert isinstance(response, TakeSnapshotResponse)
        assert response.last_included_index == 2
        assert response.total_bytes > 0


class Forgetful:
    """A state machine without snapshots."""

    def apply(self, command: bytes, index: int) -> bytes:
        return command

    def query(self, query: bytes) -> bytes:
        return query


async def test_a_state_machine_without_snapshots_keeps_its_whole_log_and_says_why() -> None:
    async with alone(EVERY_TEN, machine=Forgetful()) as node:
        for number in range(30):
            await node.propose(b"%d" % number)
        assert node.status().first_log_index == 1
        with pytest.raises(SnapshotFailed, match="Forgetful has no snapshot and restore"):
            await node.take_snapshot()


class Bare:
    """A store without snapshots."""

    def __init__(self) -> None:
        self._store = MemoryStorage()

    async def load(self, identity: Identity) -> Recovered:
        return await self._store.load(identity)

    async def persist(self, write: Write) -> None:
        await self._store.persist(write)

    async def aclose(self) -> None: ...


async def test_a_store_without_snapshots_keeps_its_whole_log_says_why_and_takes_none_from_others() -> None:
    async with alone(EVERY_TEN, storage=Bare()) as node:
        for number in range(30):
            await node.propose(b"%d" % number)
        assert node.status().first_log_index == 1
        with pytest.raises(SnapshotFailed, match="Bare keeps no snapshots"):
            await node.take_snapshot()
        response = await node.handle(piece_of(bytes(10), term=9))
        assert isinstance(response, ErrorResponse)
        assert response.code == ErrorCode.UNSUPPORTED


class Unwilling(Journal):
    """Raises in the middle of its snapshots, while it is told to."""

    unwilling = True

    async def snapshot(self) -> AsyncIterator[bytes]:
        yield b"a beginning"
        if self.unwilling:
            raise LookupError("no end")


async def test_a_snapshot_that_fails_costs_nothing_but_itself(caplog: pytest.LogCaptureFixture) -> None:
    machine = Unwilling()
    async with alone(EVERY_TEN, machine=machine) as node:
        for number in range(15):
            await node.propose(b"%d" % number)
        await until(lambda: "LookupError: no end" in caplog.text)
        with pytest.raises(SnapshotFailed, match="LookupError: no end"):
            await node.take_snapshot()
        assert node.status().first_log_index == 1
        machine.unwilling = False
        assert (await node.take_snapshot()).index == 16


class SlowSink(MemorySink):
    """A disk that takes its time over every piece."""

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0.01)
        await super().write(data)


class SlowStore(MemoryStorage):
    async def create_snapshot(self, index: int, term: int, membership: Membership) -> MemorySink:
        return SlowSink(self._finished, index, term, membership)


async def test_commands_are_applied_while_a_snapshot_is_written_and_are_not_in_it() -> None:
    disk = SlowStore()
    async with alone(KEEPS_NOTHING, storage=disk) as node:
        await node.propose(bytes(20_000))
        taking = asyncio.create_task(node.take_snapshot())
        await asyncio.sleep(0)
        for number in range(5):
            await node.propose(b"%d" % number)
        assert not taking.done()
        meta = await taking
        assert (meta.index, node.status().applied_index) == (2, 7)
    async with new_node(
        "n1", Switch().network("n1"), voters=["n1"], storage=disk, machine=(again := Journal())
    ) as node:
        await until(lambda: node.is_leader and len(again.lines) == 6)


async def test_whoever_waits_for_a_snapshot_learns_that_the_node_stopped() -> None:
    async with alone(KEEPS_NOTHING, storage=SlowStore()) as node:
        await node.propose(bytes(50_000))
        waiting = asyncio.create_task(outcome(node.take_snapshot()))
        await asyncio.sleep(0.02)
    assert isinstance(await waiting, NodeStopped)


# -- a node comes back


async def test_a_node_that_starts_again_has_its_snapshot_and_what_came_after() -> None:
    async with team(KEEPS_NOTHING) as nodes:
        leader = await nodes.leader()
        session = await leader.open_session()
        await leader.propose(b"once", session_id=session, sequence=1)
        for number in range(5):
            await leader.propose(b"%d" % number)
        await nodes.all_applied()
        for node in nodes.nodes.values():
            await node.take_snapshot()
        await leader.propose(b"after")
        for node_id in NODE_IDS:
            await nodes.crash(node_id)
        for node_id in NODE_IDS:
            await nodes.start(node_id)
        leader = await nodes.leader()
        assert await leader.propose(b"once", session_id=session, sequence=1) == b"3:once"
        await nodes.all_applied()
        lines = [b"once", *(b"%d" % number for number in range(5)), b"after"]
        assert [machine.lines for machine in nodes.machines.values()] == [lines] * 3


async def test_a_query_waits_until_the_snapshot_is_restored() -> None:
    disk = MemoryStorage()
    async with alone(KEEPS_NOTHING, storage=disk) as node:
        await node.propose(b"x")
        await node.take_snapshot()

    class Slow(Journal):
        async def restore(self, pieces: AsyncIterator[bytes]) -> None:
            await asyncio.sleep(0.1)
            await super().restore(pieces)

    async with new_node("n1", Switch().network("n1"), voters=["n1"], storage=disk, machine=Slow()) as node:
        assert node.status().applied_index == 0
        assert await node.query(b"") == b"x"


class Unreadable(Journal):
    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        raise LookupError("what is this?")


async def test_a_state_machine_that_cannot_be_restored_stops_its_node() -> None:
    disk = MemoryStorage()
    async with alone(KEEPS_NOTHING, storage=disk) as node:
        await node.propose(b"x")
        await node.take_snapshot()
    with pytest.raises(LookupError, match="what is this"):
        async with new_node("n1", Switch().network("n1"), voters=["n1"], storage=disk, machine=Unreadable()):
            await asyncio.sleep(20)


# -- to who lags


async def fall_behind(nodes: Team) -> str:
    """Cut off a follower until what it lacks is in no log any more; who it is."""
    leader = await nodes.leader()
    behind = (await nodes.followers())[0].identity.node_id
    nodes.switch.cut = {behind}
    for number in range(30):
        await leader.propose(b"%d %b" % (number, bytes(100)))
    await leader.take_snapshot()
    return behind


async def test_a_follower_that_lags_too_far_gets_the_snapshot_and_the_entries_behind_it() -> None:
    async with team(KEEPS_NOTHING) as nodes:
        behind = await fall_behind(nodes)
        leader = await nodes.leader([node_id for node_id in NODE_IDS if node_id != behind])
        nodes.switch.cut = set()
        await leader.propose(b"after")
        await until(lambda: nodes.machines[behind].lines[-1:] == [b"after"])
        assert nodes.machines[behind].lines == nodes.machines[leader.identity.node_id].lines
        status = nodes.nodes[behind].status()
        assert (status.snapshot_index, status.first_log_index) == (
            leader.status().snapshot_index,
            status.snapshot_index + 1,
        )


async def test_a_follower_that_restored_a_snapshot_and_crashes_has_it_when_it_comes_back() -> None:
    async with team(KEEPS_NOTHING) as nodes:
        behind = await fall_behind(nodes)
        nodes.switch.cut = set()
        await until(lambda: nodes.nodes[behind].status().snapshot_index > 0)
        await nodes.crash(behind)
        await nodes.start(behind)
        await nodes.all_applied()
        assert len(nodes.machines[behind].lines) == 30


async def test_a_proposal_that_was_made_part_of_a_snapshot_is_neither_acknowledged_nor_called_dropped() -> None:
    """Its followers had it, and another leader committed it: whoever repeats it would have it applied twice."""
    async with team(KEEPS_NOTHING) as nodes:
        old = await nodes.leader()
        await old.propose(b"before")
        network = old._network
        network.append_entries = deaf(network.append_entries)  # type: ignore[method-assign, assignment]
        waiting = asyncio.create_task(outcome(old.propose(b"kept")))
        rest = [node_id for node_id in NODE_IDS if node_id != old.identity.node_id]
        await until(lambda: all(nodes.nodes[node_id].status().last_log_index == 3 for node_id in rest))
        nodes.switch.cut = {old.identity.node_id}
        new = await nodes.leader(rest)
        await new.propose(b"after")
        await new.take_snapshot()
        nodes.switch.cut = set()
        ended = await waiting
        assert isinstance(ended, OutcomeUnknown)
        assert "in the snapshot that was received" in str(ended)
        await until(lambda: nodes.machines[old.identity.node_id].lines == [b"before", b"kept", b"after"])


async def test_a_node_that_was_away_too_long_gets_a_snapshot_over_real_connections(tmp_path: Path) -> None:
    async with cluster(
        tmp_path, scheme="tcp", storage=lambda node_id: SqliteStorage(tmp_path / node_id), config=EVERY_TEN
    ) as nodes:
        away = (await nodes.followers())[0].identity.node_id
        await nodes.stop(away)
        leader = await nodes.leader()
        for number in range(50):
            await leader.propose(b"%d %b" % (number, bytes(20_000)))
        await until(lambda: leader.status().first_log_index > 20)
        await nodes.start(away)
        await nodes.all_applied()
        assert nodes.nodes[away].status().first_log_index > 20
        lines = [machine.lines for machine in nodes.machines.values()]
        assert len(lines[0]) == 50
        assert lines[0] == lines[1] == lines[2]


async def test_a_transfer_that_is_cut_goes_on_where_it_was() -> None:
    async with team(KEEPS_NOTHING) as nodes:
        behind = await fall_behind(nodes)
        sinks: list[int] = []
        disk = nodes.disks[behind]

        class Counting(MemorySink):
            async def write(self, data: bytes) -> None:
                sinks.append(self.offset)
                if len(sinks) in (2, 4):
                    nodes.switch.cut = {behind}
                    asyncio.get_running_loop().call_later(0.05, nodes.switch.cut.clear)
                await super().write(data)

        async def receive(meta: SnapshotMeta) -> MemorySink:
            if disk._received is None or disk._received.has_ended or disk._received.expected != meta:
                disk._received = Counting(disk._finished, meta.index, meta.term, meta.membership, meta)
            return disk._received

        disk.receive_snapshot = receive  # type: ignore[method-assign]
        nodes.switch.cut = set()
        await until(lambda: nodes.nodes[behind].status().snapshot_index > 0)
        assert sinks == sorted(set(sinks))
        assert len(sinks) > 5


# -- pieces


WHOLE = bytes(range(100))
GOOD = sha256(WHOLE).digest()


def piece_of(
    whole: bytes, start: int = 0, end: int | None = None, *, digest: bytes = GOOD, term: int = 1
) -> InstallSnapshotRequest:
    """A piece of a snapshot up to entry 9."""
    return InstallSnapshotRequest(
        term=term,
        leader_id="n2",
        last_included_index=9,
        last_included_term=1,
        membership=Membership((Member("n1"), Member("n2"))),
        total_bytes=len(whole),
        digest=digest,
        offset=start,
        data=whole[start:end],
    )


class Receiver:
    """The receiving side alone, with what it says about each piece."""

    def __init__(self, store: MemoryStorage) -> None:
        self.said: dict[int, object] = {}
        self.received = ReceivedSnapshots(store, self._post, self.said.__setitem__)
        self._count = 0

    def _post(self, event: PieceKept | SnapshotReceived) -> None:
        assert event.token not in self.said
        self.said[event.token] = event.next_offset if isinstance(event, PieceKept) else event.meta

    async def keep(self, *requests: InstallSnapshotRequest) -> list[object]:
        """What is said of these pieces, which come together."""
        first, self._count = self._count, self._count + len(requests)
        self.received.keep([Piece(token, request) for token, request in enumerate(requests, first)])
        await until(lambda: len(self.said) == self._count)
        return [self.said[token] for token in range(first, self._count)]


@asynccontextmanager
async def receiving(store: MemoryStorage) -> AsyncIterator[Receiver]:
    receiver = Receiver(store)
    task = asyncio.create_task(receiver.received.run())
    try:
        yield receiver
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_pieces_in_order_make_a_snapshot() -> None:
    store, meta = MemoryStorage(), meta_of(piece_of(WHOLE))
    async with receiving(store) as receiver:
        said = await receiver.keep(piece_of(WHOLE, 0, 40), piece_of(WHOLE, 40, 99), piece_of(WHOLE, 99, 100))
        assert said == [40, 99, meta]
        source = await store.open_snapshot(meta)
        assert await source.read(0, 1_000) == WHOLE


async def test_a_request_without_data_is_told_where_to_go_on() -> None:
    async with receiving(MemoryStorage()) as receiver:
        ask = piece_of(WHOLE, 0, 0)
        assert await receiver.keep(ask, piece_of(WHOLE, 0, 30), ask) == [0, 30, 30]


async def test_pieces_that_leave_a_gap_are_not_kept_and_those_that_overlap_are_kept_once() -> None:
    async with receiving(MemoryStorage()) as receiver:
        gap, early, overlapping, old = [piece_of(WHOLE, *ends) for ends in ((50, 60), (0, 50), (30, 70), (10, 20))]
        assert await receiver.keep(gap, early, overlapping, old) == [0, 50, 70, 70]
        assert await receiver.keep(piece_of(WHOLE, 70)) == [meta_of(gap)]


async def test_a_last_piece_that_comes_again_is_answered_again() -> None:
    async with receiving(MemoryStorage()) as receiver:
        assert await receiver.keep(*[piece_of(WHOLE)] * 3) == [meta_of(piece_of(WHOLE))] * 3


async def test_another_snapshot_begins_anew() -> None:
    other = WHOLE[::-1]
    async with receiving(MemoryStorage()) as receiver:
        assert await receiver.keep(piece_of(WHOLE, 0, 60)) == [60]
        later = piece_of(other, 0, 10, digest=sha256(other).digest())
        assert await receiver.keep(later, piece_of(WHOLE, 60, 70)) == [10, 0]


async def test_a_snapshot_whose_digest_is_wrong_is_not_kept_and_may_be_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStorage()
    async with receiving(store) as receiver:
        wrong = piece_of(WHOLE, digest=bytes(32))
        assert await receiver.keep(wrong) == [0]
        assert "is not the one that was sent" in caplog.text
        with pytest.raises(StorageFailed):
            await store.open_snapshot(meta_of(wrong))
        assert await receiver.keep(piece_of(WHOLE)) == [meta_of(piece_of(WHOLE))]


class Full(MemoryStorage):
    full = True

    async def receive_snapshot(self, meta: SnapshotMeta) -> MemorySink:
        if self.full:
            raise StorageFailed("no room")
        return await super().receive_snapshot(meta)


async def test_a_snapshot_there_is_no_room_for_is_refused_in_words_and_may_come_again() -> None:
    store = Full()
    async with receiving(store) as receiver:
        assert await receiver.keep(piece_of(WHOLE, 0, 40)) == ["the snapshot cannot be kept: no room"]
        store.full = False
        assert await receiver.keep(piece_of(WHOLE, 0, 40)) == [40]


async def test_what_waits_for_the_disk_is_bounded() -> None:
    large = bytes(MAX_WAITING_BYTES // 2)
    ends = ((0, len(large)), (0, 1_000), (0, len(large)))
    first, second, third = [piece_of(large, *two, digest=sha256(large).digest()) for two in ends]
    async with receiving(MemoryStorage()) as receiver:
        said = await receiver.keep(first, second, third)
        assert said[:2] == [meta_of(first)] * 2
        assert "are waiting for the disk" in str(said[2])
        assert await receiver.keep(third) == [meta_of(first)]


async def test_no_snapshot_is_taken_while_a_change_of_members_is_not_finished() -> None:
    members = (Member("n1"), Member("n4"), Member("n5"))
    joint = encode_membership(Membership(members, outgoing=("n1", "n2", "n3")))
    state = AppliedState(Journal(), Membership((Member("n1"),)))
    taken: list[SnapshotTaken] = []
    snapshots = OwnSnapshots(state, MemoryStorage(), RaftConfig(snapshot_after_entries=1), taken.append)
    state.apply([Entry(1, EntryKind.MEMBERSHIP, joint)], 1)
    snapshots.progressed()
    with pytest.raises(SnapshotFailed, match="a change of members is under way"):
        await snapshots.take()
    assert taken == []
