"""The applier and the state it feeds: order, results, slices, snapshots."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_cluster import until

from raftsdk.core.ready import Committed
from raftsdk.errors import CommandFailed, StorageFailed
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.applier import SLICE_S, Applier
from raftsdk.runtime.outcomes import MAX_FAILURE_CHARS, Outcome
from raftsdk.runtime.sessions import open_session, session_command
from raftsdk.storage.memory import MemorySource, MemoryStorage
from raftsdk.types import Entry, EntryKind, LogIndex, Member, Membership, SnapshotMeta, Suffrage, encode_membership


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Recorder:
    """A state machine that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bytes]] = []

    def apply(self, command: bytes, index: int) -> bytes:
        self.calls.append((index, command))
        if command == b"slow":
            until = asyncio.get_running_loop().time() + 2 * SLICE_S
            while asyncio.get_running_loop().time() < until:
                pass
        if command == b"speechless":
            raise Speechless
        if command == b"long":
            raise ValueError("x" * 10_000)
        return command.upper()

    def query(self, query: bytes) -> bytes:
        return b""


class Told:
    """What the applier reports."""

    def __init__(self) -> None:
        self.slices: list[int] = []
        self.results: dict[LogIndex, Outcome] = {}
        self.restored: list[SnapshotMeta] = []

    def __call__(self, first_index: LogIndex, entries: Sequence[Entry], results: Sequence[Outcome]) -> None:
        assert len(entries) == len(results) > 0
        assert first_index == len(self.results) + 1
        self.slices.append(len(results))
        self.results.update(enumerate(results, first_index))


def entries_of(commands: Sequence[bytes]) -> list[Entry]:
    return [Entry(term=1, kind=EntryKind.COMMAND if command else EntryKind.NOOP, data=command) for command in commands]


ALONE = Membership((Member("n1"),))


async def apply(batches: Sequence[Sequence[bytes]]) -> tuple[Recorder, Told, AppliedState]:
    """What comes of feeding these batches one after another; an empty command stands for a leader's noop."""
    machine, told = Recorder(), Told()
    state = AppliedState(machine, ALONE)
    applier = Applier(state, MemoryStorage(), told, told.restored.append)
    task = asyncio.create_task(applier.run())
    index = 1
    for batch in batches:
        applier.feed(Committed(index, entries_of(batch)))
        index += len(batch)
    for _ in range(10_000):
        if len(told.results) == index - 1:
            break
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return machine, told, state


@given(st.lists(st.lists(st.sampled_from([b"", b"a", b"b"]), min_size=1, max_size=200), max_size=5))
def test_every_command_is_applied_once_in_order_and_nothing_else_is(batches: list[list[bytes]]) -> None:
    machine, told, state = asyncio.run(apply(batches))
    log = dict(enumerate((command for batch in batches for command in batch), 1))
    assert machine.calls == [(index, command) for index, command in log.items() if command]
    assert told.results == {index: command.upper() for index, command in log.items()}
    assert state.index == len(log)


async def test_a_slice_ends_with_the_command_that_takes_too_long() -> None:
    _, told, _ = await apply([[b"slow", b"slow", b"slow"]])
    assert told.slices == [1, 1, 1]


async def test_an_exception_without_words_and_one_with_too_many_are_results_like_any_other() -> None:
    _, told, _ = await apply([[b"speechless", b"long", b"fine"]])
    first, second = told.results[1], told.results[2]
    assert isinstance(first, CommandFailed)
    assert str(first) == "Speechless"
    assert isinstance(second, CommandFailed)
    assert str(second).startswith("ValueError: xxx")
    assert len(str(second)) == MAX_FAILURE_CHARS
    assert told.results[3] == b"FINE"


# -- what else is in the log


def test_sessions_and_memberships_are_part_of_the_state() -> None:
    state = AppliedState(Recorder(), ALONE)
    grown = Membership((*ALONE.members, Member("n2", suffrage=Suffrage.LEARNER)))
    once = session_command(0, b"a", session_id=2, sequence=1, first_unanswered=0)
    entries = [
        Entry(3, EntryKind.NOOP, b""),
        Entry(3, EntryKind.OPEN_SESSION, open_session(0)),
        Entry(4, EntryKind.SESSION_COMMAND, once),
        Entry(4, EntryKind.SESSION_COMMAND, once),
        Entry(4, EntryKind.MEMBERSHIP, encode_membership(grown)),
        Entry(4, 77, b"of a later version"),
    ]
    assert state.apply(entries, 1) == [b"", b"", b"A", b"A", b"", b""]
    assert (state.index, state.term, state.membership, state.membership_index) == (6, 4, grown, 5)
    assert isinstance(state.state_machine, Recorder)
    assert state.state_machine.calls == [(3, b"a")]


# -- snapshots


class Keeper(Recorder):
    """A state machine whose state is what it was told, and can be written down."""

    def snapshot(self) -> AsyncIterator[bytes]:
        return _pieces([b"%d %b\n" % call for call in self.calls])

    async def restore(self, pieces: AsyncIterator[bytes]) -> None:
        lines = b"".join([piece async for piece in pieces]).splitlines()
        self.calls = [(int(index), command) for index, _, command in (line.partition(b" ") for line in lines)]


async def _pieces(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


SESSION_ENTRIES = [
    Entry(1, EntryKind.OPEN_SESSION, open_session(5)),
    Entry(1, EntryKind.SESSION_COMMAND, session_command(9, b"a", session_id=1, sequence=1, first_unanswered=0)),
    Entry(2, EntryKind.COMMAND, b"b"),
]


async def snapshot_of(state: AppliedState) -> tuple[SnapshotMeta, bytes]:
    data = b"".join([piece async for piece in state.snapshot()])
    return SnapshotMeta(state.index, state.term, state.membership, len(data), bytes(32)), data


@pytest.mark.parametrize("size", [1, 5, 1_000])
async def test_a_restored_state_is_the_one_the_snapshot_was_taken_of(size: int) -> None:
    state, restored = AppliedState(Keeper(), ALONE), AppliedState(Keeper(), Membership(()))
    state.apply(SESSION_ENTRIES, 1)
    meta, data = await snapshot_of(state)
    await restored.restore(meta, _pieces([data[start : start + size] for start in range(0, len(data), size)]))
    assert (restored.index, restored.term, restored.membership) == (3, 2, ALONE)
    again = Entry(2, EntryKind.SESSION_COMMAND, SESSION_ENTRIES[1].data)
    assert restored.apply([again], 4) == state.apply([again], 4) == [b"A"]
    assert await snapshot_of(restored) == await snapshot_of(state)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:7],
        lambda data: data[:12],
        lambda data: b"\0\0\0\2" + data[4:],
        lambda data: data[:4] + b"\xff\xff\xff\xff" + data[8:],
        lambda data: data[:8] + b"\xc1" + data[9:],
    ],
    ids=["no header", "cut short", "a later format", "a table without end", "no table"],
)
async def test_a_snapshot_that_is_none_of_ours_is_refused_in_words(damage: Callable[[bytes], bytes]) -> None:
    state = AppliedState(Keeper(), ALONE)
    state.apply(SESSION_ENTRIES, 1)
    meta, data = await snapshot_of(state)
    with pytest.raises(StorageFailed):
        await AppliedState(Keeper(), ALONE).restore(meta, _pieces([damage(data)]))


@dataclass
class Node:
    """An applier with a store of snapshots, running."""

    store: MemoryStorage = field(default_factory=MemoryStorage)
    machine: Keeper = field(default_factory=Keeper)
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.state = AppliedState(self.machine, ALONE)
        self.applier = Applier(self.state, self.store, self.told, self.told.restored.append)

    async def snapshot(self, commands: Sequence[bytes]) -> SnapshotMeta:
        """A finished snapshot in the store, of the state after these commands."""
        state = AppliedState(Keeper(), ALONE)
        state.apply(entries_of(commands), 1)
        sink = await self.store.create_snapshot(state.index, state.term, state.membership)
        async for piece in state.snapshot():
            await sink.write(piece)
        return await sink.finish()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.applier.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_was_committed_behind_a_snapshot_is_applied_after_it_was_restored() -> None:
    node = Node()
    meta = await node.snapshot([b"a", b"b"])
    node.applier.restore(meta)
    node.told.results = {1: b"", 2: b""}  # what is in the snapshot is told to nobody
    node.applier.feed(Committed(3, entries_of([b"c"])))
    async with node.running():
        await until(lambda: node.state.index == 3)
    assert node.machine.calls == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert node.told.restored == [meta]
    assert not node.applier.restoring


async def test_what_waited_to_be_applied_before_a_snapshot_is_not_applied_any_more() -> None:
    node = Node()
    node.applier.feed(Committed(1, entries_of([b"x"])))
    node.applier.restore(await node.snapshot([b"a", b"b"]))
    async with node.running():
        await until(lambda: node.told.restored)
    assert node.machine.calls == [(1, b"a"), (2, b"b")]
    assert node.told.results == {}


class SlowToOpen(MemoryStorage):
    """Takes its time to find a snapshot, or to find that it is gone."""

    async def open_snapshot(self, meta: SnapshotMeta) -> MemorySource:
        await asyncio.sleep(0.01)
        return await super().open_snapshot(meta)


async def test_a_snapshot_that_a_later_one_has_replaced_need_not_be_there_any_more() -> None:
    node = Node(store=SlowToOpen())
    later = await node.snapshot([b"a", b"b"])
    node.applier.restore(SnapshotMeta(1, 1, ALONE, 9, bytes(32)))
    async with node.running():
        await asyncio.sleep(0)  # it is being opened
        node.applier.restore(later)
        await until(lambda: node.told.restored)
    assert node.told.restored == [later]


@pytest.mark.parametrize("behind", [[], [b"x"]])
async def test_a_snapshot_that_is_missing_ends_the_node_before_anything_behind_it_is_applied(
    behind: list[bytes],
) -> None:
    node = Node()
    node.applier.restore(SnapshotMeta(1, 1, ALONE, 9, bytes(32)))
    if behind:
        node.applier.feed(Committed(2, entries_of(behind)))
    with pytest.raises(StorageFailed):
        await node.applier.run()
    assert node.machine.calls == []
