"""A node among nodes: what it promises whoever proposes, and what becomes of it when something fails."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from node_cluster import (
    NEVER_CAMPAIGNS,
    NODE_IDS,
    Cluster,
    FailingDisk,
    Journal,
    Switch,
    SwitchedNetwork,
    alone,
    cluster,
    identity,
    leader_of,
    new_network,
    new_node,
    outcome,
    switched,
    until,
)

from raftsdk.config import RaftConfig
from raftsdk.errors import (
    CommandFailed,
    CommandTooLarge,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    ProposalDropped,
    Refused,
    StorageFailed,
    StorageRefused,
)
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorCode,
    ErrorResponse,
    ProposeRequest,
    ProposeResponse,
    QueryRequest,
    QueryResponse,
    Request,
    Response,
    StatusRequest,
    StatusResponse,
)
from raftsdk.ports import Storage
from raftsdk.runtime.handler import Handler
from raftsdk.storage.memory import MemoryStorage
from raftsdk.storage.sqlite import SqliteStorage
from raftsdk.types import Entry, EntryKind, HardState, NodeId, Write

HEARTBEAT = AppendEntriesRequest(term=1, leader_id="n2", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=[])
MIB = 1024 * 1024


def with_limits(**limits: Any) -> RaftConfig:
    return RaftConfig(tick_interval_ms=10, election_timeout_ticks=20, **limits)


def states_of(nodes: Cluster) -> list[list[bytes]]:
    return [machine.lines for machine in nodes.machines.values()]


# -- what a proposal comes to


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("scheme", ["tcp", "unix"])
async def test_a_write_is_applied_on_every_node(tmp_path: Path, scheme: str, store: str) -> None:
    def storage(node_id: NodeId) -> Storage:
        return MemoryStorage() if store == "memory" else SqliteStorage(tmp_path / node_id)

    async with cluster(tmp_path, scheme=scheme, storage=storage) as nodes:
        leader = await nodes.leader()
        written = [b"%d" % number for number in range(100)]
        results = await asyncio.gather(*map(leader.propose, written))
        await nodes.all_applied()
        assert states_of(nodes) == [written] * 3
        assert [result.partition(b":")[2] for result in results] == written


async def test_what_a_command_raises_is_its_proposers_alone_and_every_node_goes_on_alike(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        leader = await nodes.leader()
        await leader.propose(b"before")
        with pytest.raises(CommandFailed, match=r"^ValueError: raise the roof$"):
            await leader.propose(b"raise the roof")
        await leader.propose(b"after")
        await nodes.all_applied()
        assert states_of(nodes) == [[b"before", b"after"]] * 3


async def test_a_result_that_is_no_bytes_is_told_to_the_proposer(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        leader = await nodes.leader()
        with pytest.raises(CommandFailed, match=r"^TypeError: Journal\.apply returned str, not bytes$"):
            await leader.propose(b"odd")
        assert await leader.propose(b"even")


async def test_a_follower_names_the_leader_and_where_it_is(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        leader = await nodes.leader()
        for follower in await nodes.followers():
            with pytest.raises(NotLeader) as refused:
                await follower.propose(b"x")
            node_id = leader.identity.node_id
            assert (refused.value.leader, refused.value.addresses) == (node_id, (f"unix://{tmp_path}/{node_id}.sock",))
        assert [machine.lines for machine in nodes.machines.values()] == [[], [], []]


async def test_a_proposal_without_a_leader_is_refused_at_once() -> None:
    async with new_node("n1", Switch().network("n1"), config=NEVER_CAMPAIGNS) as node:
        refused = await outcome(node.propose(b"x"))
        assert isinstance(refused, NotLeader)
        assert (refused.leader, refused.addresses) == (None, ())
        assert node.status().last_log_index == 0


async def test_a_command_beyond_the_limit_is_refused_before_it_is_in_the_log() -> None:
    async with alone() as node:
        last = node.status().last_log_index
        with pytest.raises(CommandTooLarge, match=r"104857600 bytes; max_command_bytes is 4194304"):
            await node.propose(bytes(100 * MIB))
        assert node.status().last_log_index == last
        assert await node.propose(bytes(4 * MIB))


async def test_ten_thousand_proposals_at_once_beyond_the_limit_are_refused_with_a_hint_and_cost_no_leader(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, config=with_limits(max_pending_proposals=1_000)) as nodes:
        leader = await nodes.leader()
        term = leader.status().term
        ends = await asyncio.gather(*(outcome(leader.propose(b"%d" % n)) for n in range(10_000)))
        taken = [end for end in ends if isinstance(end, bytes)]
        refused = [end for end in ends if isinstance(end, Overloaded)]
        assert (len(taken), len(refused)) == (1_000, 9_000)
        assert all(error.retry_after_ms > 0 for error in refused)
        await nodes.all_applied()
        assert {len(lines) for lines in states_of(nodes)} == {1_000}
        assert (leader.status().role, leader.status().term) == ("leader", term)
        assert await leader.propose(b"there is room again")


async def test_proposals_that_wait_are_bounded_in_bytes() -> None:
    async with alone(with_limits(max_uncommitted_bytes=4 * MIB, max_command_bytes=2 * MIB)) as node:
        ends = await asyncio.gather(*(outcome(node.propose(bytes(2 * MIB))) for _ in range(5)))
        assert [type(end) for end in ends] == [bytes, bytes, Overloaded, Overloaded, Overloaded]
        assert isinstance(await node.propose(bytes(2 * MIB)), bytes)


async def test_an_outcome_is_unknown_when_no_quorum_answers_in_time() -> None:
    switch = Switch()
    async with switched(switch, config=with_limits(proposal_timeout_ms=300)) as nodes:
        leader = await leader_of(nodes)
        switch.cut = {*NODE_IDS} - {leader.identity.node_id}
        ended = await outcome(leader.propose(b"x"))
        assert isinstance(ended, OutcomeUnknown)
        assert "proposal_timeout_ms" in str(ended)


async def test_a_proposal_that_another_leaders_entry_overwrote_is_dropped_for_certain() -> None:
    switch = Switch()
    async with switched(switch) as nodes:
        old = await leader_of(nodes)
        await old.propose(b"common")
        switch.cut = {old.identity.node_id}
        doomed = [asyncio.create_task(outcome(old.propose(b"doomed %d" % n))) for n in range(3)]
        others = [node_id for node_id in NODE_IDS if node_id != old.identity.node_id]
        new = await leader_of(nodes, others)
        for number in range(3):
            await new.propose(b"kept %d" % number)
        switch.cut = set()
        ends = await asyncio.gather(*doomed)
        assert [type(end) for end in ends] == [ProposalDropped] * 3
        await until(lambda: old.status().applied_index == new.status().applied_index)
        assert await old.query(b"") == await new.query(b"") == b"common,kept 0,kept 1,kept 2"


async def test_cancelling_a_proposal_gives_up_the_answer_and_not_the_command() -> None:
    async with alone() as node:
        waiting = asyncio.create_task(node.propose(b"given up"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await node.propose(b"next")
        assert await node.query(b"") == b"given up,next"


# -- what else a node is asked


async def test_whoever_asks_for_the_leader_waits_until_there_is_one() -> None:
    async with new_node("n1", Switch().network("n1"), voters=["n1"]) as node:
        assert node.status().leader_id == ""
        async with asyncio.timeout(10):
            assert await node.leader() == "n1"


async def test_whoever_waits_for_a_leader_learns_that_the_node_stopped() -> None:
    async with new_node("n1", Switch().network("n1"), config=NEVER_CAMPAIGNS) as node:
        waiting = asyncio.create_task(node.leader())
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        with pytest.raises(NodeStopped):
            await waiting


async def test_handle_answers_every_kind_of_request_as_a_coroutine() -> None:
    async with alone() as node:
        proposed = await node.handle(ProposeRequest(command=b"a"))
        assert proposed == ProposeResponse(index=2, result=b"2:a")
        assert await node.handle(QueryRequest(query=b"")) == QueryResponse(applied_index=2, result=b"a")
        status = await node.handle(StatusRequest())
        assert isinstance(status, StatusResponse)
        assert (status.role, status.commit_index, status.applied_index) == ("leader", 2, 2)
        term = status.term
        assert await node.handle(HEARTBEAT) == AppendEntriesResponse(term=term, success=False)
        failed = await node.handle(ProposeRequest(command=b"raise"))
        assert failed == ErrorResponse(code=ErrorCode.COMMAND_FAILED, message="ValueError: raise")


class Talker(Journal):
    """Answers a query with something else than bytes."""

    def query(self, query: bytes) -> bytes:
        return cast("bytes", [*self.lines])


async def test_a_query_that_fails_is_told_to_whoever_asked_and_to_nobody_else() -> None:
    async with alone() as node:
        with pytest.raises(CommandFailed, match="KeyError: 'no such thing'"):
            await node.query(b"raise")
        response = await node.handle(QueryRequest(query=b"raise"))
        assert isinstance(response, ErrorResponse)
        assert response.code == ErrorCode.COMMAND_FAILED
        assert await node.query(b"") == b""
    async with alone(machine=Talker()) as node:
        response = await node.handle(QueryRequest(query=b""))
        assert response == ErrorResponse(
            code=ErrorCode.COMMAND_FAILED, message="TypeError: Talker.query returned list, not bytes"
        )


# -- faults


async def test_a_failed_write_stops_the_node_cancels_the_body_and_is_raised_from_it() -> None:
    disk = FailingDisk()
    seen: list[object] = []

    async def body() -> None:
        async with alone(storage=disk) as node:
            await node.propose(b"kept")
            disk.fails = True
            waiting = asyncio.create_task(outcome(node.propose(b"lost")))
            try:
                await asyncio.sleep(20)
            finally:
                # The body may take its time, and may wait for those who wait for the node.
                seen.extend([type(await waiting), node.is_leader])

    with pytest.raises(StorageFailed, match="the disk said no"):
        await body()
    assert (seen, disk.closed) == ([OutcomeUnknown, False], True)
    assert [entry.data for entry in (await disk.load(identity("n1"))).entries] == [b"", b"kept"]


@dataclass
class Replies:
    """Counts the answers to one request."""

    received: list[Response] = field(default_factory=list)

    def __call__(self, response: Response) -> None:
        self.received.append(response)


async def test_after_a_failed_write_nothing_is_acknowledged_and_every_request_is_answered_once() -> None:
    disk = FailingDisk()
    before, after = Replies(), Replies()

    async def body() -> None:
        async with new_node("n1", Switch().network("n1"), config=NEVER_CAMPAIGNS, storage=disk) as node:
            disk.fails = True
            node.deliver(append(1, b"x"), before)
            try:
                await asyncio.sleep(20)
            finally:
                node.deliver(append(1, b"x"), after)

    with pytest.raises(StorageFailed):
        await body()
    for replies in (before, after):
        (response,) = replies.received
        assert isinstance(response, ErrorResponse)
        assert response.code == ErrorCode.STOPPED


def append(term: int, *commands: bytes) -> AppendEntriesRequest:
    entries = [Entry(term=term, kind=EntryKind.COMMAND, data=command) for command in commands]
    return AppendEntriesRequest(
        term=term, leader_id="n2", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=entries
    )


async def test_the_bodys_own_error_passes_unwrapped() -> None:
    disk = FailingDisk()
    with pytest.raises(LookupError, match="the body's own"):
        async with alone(storage=disk):
            raise LookupError("the body's own")
    assert disk.closed


async def test_a_cancelled_body_stays_cancelled() -> None:
    started = asyncio.Event()

    async def body() -> None:
        async with alone():
            started.set()
            await asyncio.sleep(20)

    task = asyncio.create_task(body())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_open_when_a_node_stops_is_unknown() -> None:
    switch = Switch()
    async with switched(switch) as nodes:
        leader = await leader_of(nodes)
        switch.cut = {leader.identity.node_id}
        waiting = asyncio.create_task(outcome(leader.propose(b"x")))
        last = leader.status().last_log_index
        await until(lambda: leader.status().last_log_index > last)
    assert isinstance(await waiting, OutcomeUnknown)


@pytest.mark.parametrize(
    "request_", [HEARTBEAT, ProposeRequest(command=b"x"), QueryRequest(query=b""), StatusRequest()]
)
async def test_a_node_that_has_stopped_says_so_once(request_: Request) -> None:
    async with alone() as node:
        pass
    replies = Replies()
    node.deliver(request_, replies)
    await asyncio.sleep(0)
    assert replies.received == [ErrorResponse(code=ErrorCode.STOPPED, message="n1 is not running")]
    for ask in (lambda: node.propose(b"x"), lambda: node.query(b""), node.leader):
        with pytest.raises(NodeStopped):
            await ask()


async def test_entries_that_hold_no_membership_where_one_belongs_are_refused_and_nothing_of_them_is_kept() -> None:
    async with new_node("n1", Switch().network("n1"), config=NEVER_CAMPAIGNS) as node:
        entries = [Entry(1, EntryKind.NOOP, b""), Entry(1, EntryKind.MEMBERSHIP, b"nobody")]
        response = await node.handle(
            AppendEntriesRequest(
                term=1, leader_id="n2", prev_log_index=0, prev_log_term=0, leader_commit=0, entries=entries
            )
        )
        assert isinstance(response, ErrorResponse)
        assert response.code == ErrorCode.BAD_REQUEST
        assert (node.status().term, node.status().last_log_index) == (0, 0)


async def test_a_node_is_run_once() -> None:
    async with alone() as node:
        pass
    with pytest.raises(RuntimeError, match="build a new node"):
        await node.__aenter__()


async def test_a_store_that_gives_up_unasked_stops_the_node() -> None:
    """Its task would end without an error, and the node go on leading: heartbeats need no disk."""

    class GivesUp(FailingDisk):
        async def persist(self, write: Write) -> None:
            if self.fails:
                raise asyncio.CancelledError
            await super().persist(write)

    disk = GivesUp()
    seen: list[object] = []

    async def body() -> None:
        async with alone(storage=disk) as node:
            disk.fails = True
            try:
                await node.propose(b"x")
            finally:
                seen.append(node.is_leader)

    with pytest.raises(RuntimeError, match="CancelledError"):
        await body()
    assert seen == [False]


async def test_the_memory_running_out_in_the_state_machine_stops_the_node() -> None:
    """Only this node has run out of it: were it told to the proposer as the command's failure, states would differ."""

    class Hungry(Journal):
        def apply(self, command: bytes, index: int) -> bytes:
            raise MemoryError

    with pytest.raises(MemoryError):
        async with alone(machine=Hungry()) as node:
            await node.propose(b"x")


# -- a node comes back


async def test_a_node_that_starts_again_applies_all_it_had_committed(tmp_path: Path) -> None:
    async with cluster(tmp_path, storage=lambda node_id: SqliteStorage(tmp_path / node_id)) as nodes:
        leader = await nodes.leader()
        for number in range(20):
            await leader.propose(b"%d" % number)
        for node_id in NODE_IDS:
            await nodes.stop(node_id)
        for node_id in NODE_IDS:
            await nodes.start(node_id)
        leader = await nodes.leader()
        await leader.propose(b"again")
        await nodes.all_applied()
        assert states_of(nodes) == [[*(b"%d" % number for number in range(20)), b"again"]] * 3


async def test_a_node_that_was_away_catches_up(tmp_path: Path) -> None:
    async with cluster(tmp_path, storage=lambda node_id: SqliteStorage(tmp_path / node_id)) as nodes:
        away = (await nodes.followers())[0].identity.node_id
        await nodes.stop(away)
        leader = await nodes.leader()
        await asyncio.gather(*(leader.propose(b"%d" % n) for n in range(500)))
        await nodes.start(away)
        await nodes.all_applied()
        assert states_of(nodes)[0] == states_of(nodes)[1] == states_of(nodes)[2]
        assert len(states_of(nodes)[0]) == 500


async def test_a_second_node_in_the_same_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async with alone(storage=SqliteStorage(tmp_path / "data")) as node:
        network = new_network("n1")
        with pytest.raises(StorageRefused, match="is in use by process"):
            async with new_node("n1", network, storage=SqliteStorage(tmp_path / "data")):
                pass
        assert network.listening == ()
        assert await node.propose(b"x")


# -- time


class Slow(Journal):
    """Takes its time over every command."""

    def __init__(self, apply_s: float) -> None:
        super().__init__()
        self._apply_s = apply_s

    def apply(self, command: bytes, index: int) -> bytes:
        time.sleep(self._apply_s)
        return super().apply(command, index)


async def test_an_apply_that_keeps_the_loop_from_running_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with alone(machine=Slow(0.2)) as node:
        await node.propose(b"x")
        await until(lambda: "the event loop of n1 stood still for" in caplog.text)
    (record,) = [record for record in caplog.records if "stood still" in record.message]
    assert record.levelno == logging.WARNING


async def test_heartbeats_are_answered_while_a_long_log_is_replayed() -> None:
    disk, length = MemoryStorage(), 1_000
    entries = [Entry(term=1, kind=EntryKind.COMMAND, data=b"x")] * length
    await disk.persist(Write(1, HardState(term=1, commit_index=length), None, 1, entries))
    network = Switch().network("n1")
    answered = 0
    async with new_node("n1", network, config=NEVER_CAMPAIGNS, storage=disk, machine=Slow(0.001)) as node:
        while node.status().applied_index < length:
            assert await node.handle(HEARTBEAT) == AppendEntriesResponse(term=1, success=True)
            answered += 1
    assert answered > 30  # with slices of 64 commands, however long they take, it is 14


async def test_time_that_a_node_stood_still_has_passed_for_its_leases() -> None:
    """Elections take no notice of it (`core.events.Tick`); a lease that was granted before must have run out."""
    async with alone() as node:
        before, began = node._raft.now, time.monotonic()
        time.sleep(0.3)  # noqa: ASYNC251 -- as a process that is stopped
        await until(lambda: node._raft.now > before + 1)
        lapsed_ticks = int((time.monotonic() - began) / 0.010)
        assert node._raft.now - before >= 29
        assert node._raft.now - before <= lapsed_ticks + 1
        assert node.is_leader


class HungDisk(MemoryStorage):
    """Takes what it is given, and says so only once it is well."""

    def __init__(self) -> None:
        super().__init__()
        self.well = asyncio.Event()
        self.well.set()

    async def persist(self, write: Write) -> None:
        await self.well.wait()
        await super().persist(write)


async def test_a_leader_whose_disk_hangs_gives_up_leadership_and_lives_on() -> None:
    switch, disks = Switch(), {node_id: HungDisk() for node_id in NODE_IDS}
    config = with_limits(disk_timeout_ticks=30, proposal_timeout_ms=1_000)
    async with switched(switch, storage=lambda node_id: disks[node_id], config=config) as nodes:
        old = await leader_of(nodes)
        disk = disks[old.identity.node_id]
        disk.well.clear()
        waiting = asyncio.create_task(outcome(old.propose(b"x")))
        await until(lambda: any(node.is_leader for node in nodes.values() if node is not old))
        assert not old.is_leader
        assert isinstance(await outcome(old.propose(b"y")), NotLeader)
        disk.well.set()
        assert isinstance(await waiting, bytes | OutcomeUnknown)
        new = await leader_of(nodes)
        await new.propose(b"z")
        await until(lambda: old.status().applied_index == new.status().applied_index)


# -- isolation


@asynccontextmanager
async def accepts_and_is_silent() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:  # the system accepts; nobody ever reads
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


class Silent(Handler):
    """Is delivered to and never replies."""

    def deliver(self, request: Request, reply: Callable[[Response], None]) -> None:
        return


@asynccontextmanager
async def says_hello_and_is_silent() -> AsyncIterator[str]:
    network = new_network("n3")
    await network.start(Silent())
    try:
        yield network.listening[0]
    finally:
        await network.aclose()


class OddNetwork(SwitchedNetwork):
    """Ends calls with entries as no network should, while it is `odd`."""

    odd: Any = None

    async def append_entries(self, target: NodeId, request: AppendEntriesRequest) -> AppendEntriesResponse:
        if self.odd is None or not request.entries:
            return await super().append_entries(target, request)
        if isinstance(self.odd, BaseException):
            raise self.odd
        return cast("AppendEntriesResponse", self.odd)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (asyncio.CancelledError(), ""),
        (LookupError("a bug"), "LookupError: a bug"),
        (ErrorResponse(code=ErrorCode.OVERLOADED), "ErrorResponse is no answer of a peer's"),
        (Refused("too_large", "9 bytes, and\n8 agreed"), r"refused a call: 'too_large: 9 bytes, and\n8 agreed'"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_a_network_does_to_a_call_costs_that_call_alone(
    odd: object, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    switch = Switch()
    networks = {node_id: OddNetwork(switch, node_id) for node_id in NODE_IDS}
    async with AsyncExitStack() as stack:
        nodes = {i: await stack.enter_async_context(new_node(i, network)) for i, network in networks.items()}
        leader = await leader_of(nodes)
        await leader.propose(b"a")
        network, term = networks[leader.identity.node_id], leader.status().term
        network.odd = odd
        waiting = asyncio.create_task(leader.propose(b"b"))
        await asyncio.sleep(0.1)
        network.odd = None
        async with asyncio.timeout(20):
            assert await waiting
        assert (leader.status().role, leader.status().term) == ("leader", term)
    assert said in caplog.text


@pytest.mark.parametrize("hung", [accepts_and_is_silent, says_hello_and_is_silent])
async def test_a_peer_that_hangs_delays_no_write(hung: Callable[[], Any]) -> None:
    first, second = new_network("n1"), new_network("n2")
    async with hung() as address, new_node("n1", first) as n1, new_node("n2", second) as n2:
        first.set_addresses("n2", second.listening)
        second.set_addresses("n1", first.listening)
        for network in (first, second):
            network.set_addresses("n3", [address])
        leader = await leader_of({"n1": n1, "n2": n2}, ["n1", "n2"])
        term = leader.status().term
        async with asyncio.timeout(20):
            for number in range(200):
                await leader.propose(b"%d" % number)
        assert (leader.status().role, leader.status().term) == ("leader", term)
