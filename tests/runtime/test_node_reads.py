"""Reads: none is staler than whoever asks allows, and a thousand of them cost what one does."""

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from node_cluster import NODE_IDS, Journal, alone, outcome, team, until

from raftsdk.config import RaftConfig
from raftsdk.core.events import ReadIndex
from raftsdk.core.ready import LEASE_LAG_TICKS, ReadReady
from raftsdk.errors import CommandFailed, NodeStopped, NotLeader, Overloaded
from raftsdk.messages import Consistency, ErrorCode, ErrorResponse, QueryRequest, QueryResponse
from raftsdk.runtime import reads as module
from raftsdk.runtime.applied import AppliedState
from raftsdk.runtime.outcomes import Outcome
from raftsdk.runtime.reads import Reads
from raftsdk.types import Entry, EntryKind, LogIndex, Membership, NodeId

FRESH = [Consistency.LINEARIZABLE, Consistency.LEASE, Consistency.FOLLOWER_LINEARIZABLE, Consistency.BOUNDED_STALE]
QUICK_TO_GIVE_UP = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20, proposal_timeout_ms=1_000)
WITH_LEASES = RaftConfig(tick_interval_ms=10, election_timeout_ticks=20, lease_reads=True)


def others_than(node_id: NodeId) -> list[NodeId]:
    return [other for other in NODE_IDS if other != node_id]


# -- in a cluster


@pytest.mark.parametrize("consistency", FRESH)
@pytest.mark.parametrize("config", [QUICK_TO_GIVE_UP, WITH_LEASES], ids=["without leases", "with leases"])
async def test_the_leader_answers_with_every_acknowledged_write(config: RaftConfig, consistency: Consistency) -> None:
    async with team(config) as nodes:
        leader = await nodes.leader()
        for number in range(5):
            await leader.propose(b"%d" % number)
            assert (await leader.query(b"", consistency=consistency)).endswith(b"%d" % number)
        response = await leader.handle(QueryRequest(query=b"", consistency=consistency))
        assert response == QueryResponse(applied_index=leader.status().applied_index, result=b"0,1,2,3,4")


@pytest.mark.parametrize("consistency", [Consistency.FOLLOWER_LINEARIZABLE, Consistency.BOUNDED_STALE])
async def test_a_follower_answers_with_every_acknowledged_write_when_it_asks_the_leader(
    consistency: Consistency,
) -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        for number in range(5):
            await leader.propose(b"%d" % number)
            for follower in await nodes.followers():
                assert (await follower.query(b"", consistency=consistency)).endswith(b"%d" % number)


@pytest.mark.parametrize("consistency", [Consistency.LINEARIZABLE, Consistency.LEASE])
async def test_a_follower_sends_whoever_wants_the_leader_there(consistency: Consistency) -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        for follower in await nodes.followers():
            with pytest.raises(NotLeader) as refused:
                await follower.query(b"", consistency=consistency)
            assert refused.value.leader == leader.identity.node_id
            response = await follower.handle(QueryRequest(query=b"", consistency=consistency))
            assert isinstance(response, ErrorResponse)
            assert (response.code, response.leader_id) == (ErrorCode.NOT_LEADER, leader.identity.node_id)


@pytest.mark.parametrize("consistency", FRESH)
@pytest.mark.parametrize("config", [QUICK_TO_GIVE_UP, WITH_LEASES], ids=["without leases", "with leases"])
async def test_a_leader_that_was_deposed_without_knowing_it_answers_nobody_with_old_news(
    config: RaftConfig, consistency: Consistency
) -> None:
    async with team(config) as nodes:
        old = await nodes.leader()
        await old.propose(b"old")
        nodes.switch.cut = {old.identity.node_id}
        asking = asyncio.create_task(ask_until_it_fails(old.query, consistency))
        new = await nodes.leader(others_than(old.identity.node_id))
        await new.propose(b"new")
        written_at = time.monotonic()
        answered_at, error = await asking
        assert isinstance(error, NotLeader)
        assert answered_at < written_at


async def ask_until_it_fails(query: Callable[..., object], consistency: Consistency) -> tuple[float, Exception]:
    """When the last answer came, and what ended it."""
    last = 0.0
    while True:
        asked: object = await outcome(query(b"", consistency=consistency))  # type: ignore[arg-type]
        if isinstance(asked, Exception):
            return last, asked
        last = time.monotonic()
        await asyncio.sleep(0.001)


async def test_who_is_cut_off_answers_with_what_it_has_to_whoever_allows_that_and_to_nobody_else() -> None:
    async with team(QUICK_TO_GIVE_UP) as nodes:
        leader = await nodes.leader()
        await leader.propose(b"seen")
        follower = (await nodes.followers())[0]
        assert await follower.query(b"", consistency=Consistency.BOUNDED_STALE) == b"seen"
        nodes.switch.cut = {follower.identity.node_id}
        await nodes.nodes[leader.identity.node_id].propose(b"unseen")
        for consistency, max_staleness_ms in ((Consistency.LOCAL, 0), (Consistency.BOUNDED_STALE, 60_000)):
            stale = await follower.query(b"", consistency=consistency, max_staleness_ms=max_staleness_ms)
            assert stale == b"seen"
        for consistency in (Consistency.FOLLOWER_LINEARIZABLE, Consistency.BOUNDED_STALE):
            assert isinstance(await outcome(follower.query(b"", consistency=consistency)), NotLeader)


async def test_a_read_that_may_be_stale_is_answered_without_the_leader_only_as_long_as_it_may_be() -> None:
    async with team(QUICK_TO_GIVE_UP) as nodes:
        await (await nodes.leader()).propose(b"x")
        follower = (await nodes.followers())[0]
        ask = partial(follower.query, b"", consistency=Consistency.BOUNDED_STALE, max_staleness_ms=200)
        await ask()
        nodes.switch.cut = {follower.identity.node_id}
        assert await ask() == b"x"
        await asyncio.sleep(0.25)
        assert isinstance(await outcome(ask()), NotLeader)


async def test_a_node_alone_answers_every_kind_of_read() -> None:
    async with alone() as node:
        await node.propose(b"x")
        for consistency in Consistency:
            assert await node.query(b"", consistency=consistency) == b"x"
            with pytest.raises(CommandFailed, match="no such thing"):
                await node.query(b"raise", consistency=consistency)


async def test_a_leader_waits_with_reads_until_it_knows_what_is_committed() -> None:
    """A new leader may lack the news that an entry it has is committed (thesis §6.4, step 1)."""
    async with team() as nodes:
        leader = await nodes.leader()
        await leader.propose(b"x")
        await nodes.crash(leader.identity.node_id)
        rest = others_than(leader.identity.node_id)
        await until(lambda: any(nodes.nodes[node_id].is_leader for node_id in rest))
        (new,) = [nodes.nodes[node_id] for node_id in rest if nodes.nodes[node_id].is_leader]
        assert await new.query(b"", consistency=Consistency.LINEARIZABLE) == b"x"


async def test_reads_that_are_open_when_the_node_stops_end_at_once() -> None:
    async with team() as nodes:
        leader = await nodes.leader()
        nodes.switch.cut = {leader.identity.node_id}
        waiting = asyncio.create_task(outcome(leader.query(b"", consistency=Consistency.LINEARIZABLE)))
        await asyncio.sleep(0)
        await nodes.crash(leader.identity.node_id)
        assert isinstance(await waiting, NodeStopped | NotLeader)


# -- alone


class Desk:
    """The reads of one node without the node: who asks, what the core is asked, and how each read ended."""

    def __init__(self, **limits: Any) -> None:
        self.state = AppliedState(Journal(), Membership(()))
        self.reads = Reads(self.state, RaftConfig(tick_interval_ms=10, **limits))
        self.reads.ticked(time.monotonic())
        self.ends: dict[str, Outcome] = {}

    def ask(self, name: str, consistency: Consistency, max_staleness_ms: int = 0) -> None:
        def settle(_index: LogIndex, end: Outcome) -> None:
            assert name not in self.ends, "a read ends once"
            self.ends[name] = end

        self.reads.add(b"", consistency, max_staleness_ms, settle)

    def turn(self) -> list[ReadIndex]:
        return [*self.reads.offer()]

    def apply(self, commands: Iterable[bytes]) -> None:
        entries = [Entry(1, EntryKind.COMMAND, command) for command in commands]
        self.state.apply(entries, self.state.index + 1)
        self.reads.progressed()


async def test_all_reads_of_one_turn_share_one_question() -> None:
    desk = Desk()
    for number in range(1_000):
        desk.ask(f"{number}", FRESH[number % 2 * 2])
    (question,) = desk.turn()
    assert desk.turn() == []
    desk.reads.confirmed(ReadReady(question.token, 0))
    await until(lambda: len(desk.ends) == 1_000)


def test_a_lease_will_do_only_for_who_says_so() -> None:
    desk = Desk()
    desk.ask("lease", Consistency.LEASE)
    desk.ask("quorum", Consistency.LINEARIZABLE)
    assert sorted(question.lease for question in desk.turn()) == [False, True]


def test_a_read_waits_until_what_was_committed_is_applied() -> None:
    desk = Desk()
    desk.ask("read", Consistency.LINEARIZABLE)
    (question,) = desk.turn()
    desk.reads.confirmed(ReadReady(question.token, 2))
    desk.apply([b"a"])
    assert desk.ends == {}
    desk.apply([b"b", b"c"])
    assert desk.ends == {"read": b"a,b,c"}


def test_a_lease_is_not_trusted_when_time_has_passed_that_the_core_does_not_know_of() -> None:
    """The process may have been stopped between the core's answer and now, and another leader elected meanwhile."""
    desk = Desk()
    desk.ask("read", Consistency.LEASE)
    (question,) = desk.turn()
    desk.reads.ticked(time.monotonic() - LEASE_LAG_TICKS * 0.010 - 0.001)
    desk.reads.confirmed(ReadReady(question.token, 0, lease=True))
    assert desk.ends == {}
    (again,) = desk.turn()
    assert not again.lease
    desk.reads.confirmed(ReadReady(again.token, 0))
    assert desk.ends == {"read": b""}


def test_a_lease_is_looked_at_when_the_read_is_answered_not_when_it_was_granted() -> None:
    desk = Desk()
    desk.ask("read", Consistency.LEASE)
    (question,) = desk.turn()
    desk.reads.confirmed(ReadReady(question.token, 1, lease=True))
    desk.reads.ticked(time.monotonic() - 1)
    desk.apply([b"a"])
    assert desk.ends == {}
    assert desk.reads.new


def test_what_a_lease_says_is_no_news_for_reads_that_may_be_stale() -> None:
    desk = Desk()
    desk.ask("lease", Consistency.LEASE)
    (question,) = desk.turn()
    desk.reads.confirmed(ReadReady(question.token, 0, lease=True))
    desk.ask("bounded", Consistency.BOUNDED_STALE, 60_000)
    assert "bounded" not in desk.ends


def test_staleness_counts_from_before_the_question_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    desk = Desk()
    desk.ask("first", Consistency.LINEARIZABLE)
    (question,) = desk.turn()
    now[0] += 5
    desk.reads.confirmed(ReadReady(question.token, 0))
    desk.ask("too old", Consistency.BOUNDED_STALE, 4_999)
    desk.ask("fresh enough", Consistency.BOUNDED_STALE, 5_000)
    assert desk.ends.keys() == {"first", "fresh enough"}


def test_an_older_answer_that_comes_late_does_not_replace_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    desk = Desk()
    desk.ask("old", Consistency.LINEARIZABLE)
    (old,) = desk.turn()
    now[0] += 5
    desk.ask("new", Consistency.LINEARIZABLE)
    (new,) = desk.turn()
    desk.reads.confirmed(ReadReady(new.token, 0))
    desk.reads.confirmed(ReadReady(old.token, 0))
    desk.ask("bounded", Consistency.BOUNDED_STALE, 1_000)
    assert "bounded" in desk.ends


def test_an_index_that_is_not_applied_yet_makes_no_state_fresh() -> None:
    desk = Desk()
    desk.ask("waits", Consistency.LINEARIZABLE)
    (question,) = desk.turn()
    desk.reads.confirmed(ReadReady(question.token, 1))
    desk.ask("bounded", Consistency.BOUNDED_STALE, 60_000)
    assert desk.ends == {}
    desk.apply([b"a"])
    desk.ask("later", Consistency.BOUNDED_STALE, 60_000)
    assert desk.ends == {"waits": b"a", "later": b"a"}


def test_a_read_that_finds_no_state_in_time_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    desk = Desk(proposal_timeout_ms=1_000)
    desk.reads.paused = True
    desk.ask("local", Consistency.LOCAL)
    now[0] += 1
    desk.reads.expire(NotLeader())
    assert isinstance(desk.ends["local"], Overloaded)


def test_reads_end_when_nobody_confirms_them_or_nothing_is_applied_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    desk = Desk(proposal_timeout_ms=1_000)
    desk.ask("confirmed", Consistency.LINEARIZABLE)
    (confirmed,) = desk.turn()
    desk.reads.confirmed(ReadReady(confirmed.token, 7))
    desk.ask("unconfirmed", Consistency.LINEARIZABLE)
    (unconfirmed,) = desk.turn()
    now[0] += 0.999
    desk.reads.expire(NotLeader())
    assert desk.ends == {}
    now[0] += 0.001
    desk.reads.expire(NotLeader("n2"))
    assert {name: type(end) for name, end in desk.ends.items()} == {"confirmed": Overloaded, "unconfirmed": NotLeader}
    desk.reads.confirmed(ReadReady(unconfirmed.token, 0))  # late: nobody waits any more
    assert len(desk.ends) == 2


def test_reads_are_bounded_in_number_and_there_is_room_again_once_they_end() -> None:
    desk = Desk(max_pending_proposals=3)
    for name in "abc":
        desk.ask(name, Consistency.LINEARIZABLE)
    with pytest.raises(Overloaded, match="max_pending_proposals"):
        desk.ask("d", Consistency.LINEARIZABLE)
    (question,) = desk.turn()
    desk.reads.refused(question.token, NotLeader("n2"))
    assert [type(end) for end in desk.ends.values()] == [NotLeader] * 3
    desk.ask("e", Consistency.LINEARIZABLE)


async def test_a_hundred_slow_queries_give_everybody_else_a_turn() -> None:
    desk, turns = Desk(), 0

    def slow(query: bytes) -> bytes:
        until_ = time.monotonic() + 0.001
        while time.monotonic() < until_:
            pass
        return b""

    desk.state.state_machine.query = slow  # type: ignore[method-assign]
    for number in range(100):
        desk.ask(f"{number}", Consistency.LINEARIZABLE)
    (question,) = desk.turn()
    desk.reads.confirmed(ReadReady(question.token, 0))
    while len(desk.ends) < 100:
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 10


def test_no_read_is_answered_while_there_is_no_state_and_every_kind_is_once_there_is() -> None:
    desk = Desk()
    desk.ask("asked before", Consistency.LINEARIZABLE)
    (question,) = desk.turn()
    desk.reads.paused = True
    desk.reads.confirmed(ReadReady(question.token, 0))
    desk.ask("local", Consistency.LOCAL)
    desk.reads.progressed()
    assert desk.ends == {}
    desk.reads.paused = False
    desk.reads.progressed()
    assert desk.ends.keys() == {"asked before", "local"}


def test_every_read_that_is_open_ends_when_the_node_stops() -> None:
    desk = Desk()
    desk.ask("asked", Consistency.LINEARIZABLE)
    desk.turn()
    desk.ask("waiting", Consistency.LINEARIZABLE)
    (question,) = desk.turn()
    desk.reads.confirmed(ReadReady(question.token, 5))
    desk.ask("new", Consistency.FOLLOWER_LINEARIZABLE)
    desk.reads.stop()
    desk.reads.stop()
    assert {name: type(end) for name, end in desk.ends.items()} == dict.fromkeys(
        ["asked", "waiting", "new"], NodeStopped
    )
