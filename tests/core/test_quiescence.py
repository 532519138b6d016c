"""Groups of which nobody wants anything: who asks, who agrees, and what ends it. Transcripts tell the rest."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from raftsdk.config import RaftConfig
from raftsdk.core import quiescence
from raftsdk.core.events import Tick
from raftsdk.core.ready import Call
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ReadIndexRequest,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftsdk.testing.solo import Solo

CONFIG = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, quiesce_interval_ticks=50)


def leader(config: RaftConfig = CONFIG, *, nodes: int = 3) -> Solo:
    """A leader that has just begun, and whose peers have everything."""
    node = Solo(nodes=nodes, config=config)
    while not node.raft.leads:
        node.tick()
        answer(node)
    answer(node)
    return node


def answer(node: Solo) -> None:
    while calls := node.take_calls():
        for call in calls:
            node.succeed(call)


def quiesced(config: RaftConfig = CONFIG, *, nodes: int = 3) -> Solo:
    node = leader(config, nodes=nodes)
    for _ in range(13):
        node.tick()
        answer(node)
    return node


def follower(config: RaftConfig = CONFIG) -> Solo:
    """Of n2, whose heartbeat asked it to quiesce."""
    node = Solo(1, 1, config=config, commit=2)
    node.receive(heartbeat())
    return node


def holds(node: Solo) -> bool:
    return node.raft.quiescence.holds


def asks(call: Call) -> bool:
    return isinstance(call.request, AppendEntriesRequest) and call.request.quiesce


def heartbeat(*, prev: int = 2, commit: int = 2, quiesce: bool = True) -> AppendEntriesRequest:
    return AppendEntriesRequest(
        term=1,
        leader_id="n2",
        prev_log_index=prev,
        prev_log_term=1,
        leader_commit=commit,
        entries=[],
        quiesce=quiesce,
    )


def vote(candidate: str, term: int) -> RequestVoteRequest:
    return RequestVoteRequest(term=term, candidate_id=candidate, last_log_index=9, last_log_term=9, pre_vote=True)


def test_a_quiesced_leader_is_due_at_the_slow_heartbeat_and_relies_on_everybody() -> None:
    node = quiesced()
    assert quiescence.watched(node.raft) == {"n2", "n3"}
    due = node.raft.ticks_until_due
    assert due > CONFIG.quiesce_interval_ticks - 13
    node.step(Tick(due - 1, due - 1))
    assert not node.take_calls()
    node.tick()
    assert [asks(call) for call in node.take_calls()] == [True, True]


def test_a_leader_alone_quiesces_by_itself() -> None:
    node = quiesced(nodes=1)
    assert holds(node)
    assert node.raft.ticks_until_due > CONFIG.election_timeout_ticks


@pytest.mark.parametrize(
    "ask",
    [
        lambda node: node.propose(b"x"),
        lambda node: node.read(),
        lambda node: node.change("n4"),
        lambda node: node.hand_over(),
        lambda node: node.receive(ReadIndexRequest(term=1, node_id="n2")),
        lambda node: node.receive(vote("n3", 2)),
        lambda node: node.miss("n2"),
    ],
    ids=["a proposal", "a read", "a change of members", "a transfer", "a follower's read", "a vote", "a silent node"],
)
def test_a_quiesced_leader_beats_as_ever_after(ask: Callable[[Solo], object]) -> None:
    node = quiesced()
    assert holds(node)
    ask(node)
    assert not holds(node)
    node.take_calls()
    node.tick()
    assert {call.target for call in node.take_calls()} >= {"n2", "n3"}


def test_a_peer_that_knows_nothing_of_it_keeps_the_leader_awake() -> None:
    node = leader()
    for _ in range(40):
        node.tick()
        for call in node.take_calls():
            if call.target == "n2":
                node.answer(call, AppendEntriesResponse(term=call.request.term, success=True))
            else:
                node.succeed(call)
    assert not holds(node)


def beat_with_n2_alone(node: Solo, ticks: int) -> None:
    """n2 answers, and everybody else is down."""
    for _ in range(ticks):
        node.tick()
        for call in node.take_calls():
            if call.target == "n2":
                node.succeed(call)
            else:
                node.fail(call)


def test_a_member_that_is_down_is_not_waited_for_when_it_was_missed_for_an_election_timeout() -> None:
    node = leader()
    beat_with_n2_alone(node, CONFIG.election_timeout_ticks)
    assert not holds(node)
    beat_with_n2_alone(node, 3 * CONFIG.heartbeat_interval_ticks)
    assert holds(node)
    assert quiescence.watched(node.raft) == {"n2"}
    beat_with_n2_alone(node, 2 * CONFIG.quiesce_interval_ticks)
    assert holds(node)
    node.receive(vote("n3", 2))  # it is back, and asks who leads
    assert not holds(node)


def test_a_leader_without_a_quorum_never_quiesces() -> None:
    node = leader(nodes=5)
    beat_with_n2_alone(node, CONFIG.election_timeout_ticks + 20)
    assert not holds(node)


def test_a_slow_heartbeat_that_is_lost_ends_it() -> None:
    node = quiesced()
    node.tick(CONFIG.quiesce_interval_ticks)
    for call in node.take_calls():
        node.fail(call)
    assert not holds(node)


def asking() -> tuple[Solo, list[Call]]:
    """A leader, and the first heartbeats with which it asked."""
    node = leader()
    for _ in range(12):
        node.tick()
        if calls := [call for call in node.calls if asks(call)]:
            node.take_calls()
            return node, calls
        answer(node)
    raise AssertionError("it does not ask")


def test_answers_may_take_longer_than_a_heartbeat_interval() -> None:
    node, asked = asking()
    node.tick(CONFIG.heartbeat_interval_ticks)
    again = node.take_calls()
    node.succeed(asked[0])
    node.succeed(again[1])
    assert holds(node)


def test_an_answer_from_before_something_was_asked_is_no_consent() -> None:
    node, asked = asking()
    node.propose(b"x")
    answer(node)
    for call in asked:
        node.succeed(call)
    assert not holds(node)
    for _ in range(2 * CONFIG.heartbeat_interval_ticks):
        node.tick()
        later = node.take_calls()
        if later and asks(later[0]):
            node.succeed(later[0])
            node.succeed(asked[1])
            break
        for call in later:
            node.succeed(call)
    assert not holds(node)


@pytest.mark.parametrize(
    "config",
    [replace(CONFIG, quiesce_interval_ticks=0), replace(CONFIG, lease_reads=True)],
    ids=["told not to", "with leases"],
)
def test_a_leader_never_asks_when(config: RaftConfig) -> None:
    node = leader(config)
    for _ in range(40):
        node.tick()
        assert not any(map(asks, node.calls))
        answer(node)


def test_a_follower_that_agrees_waits_for_two_slow_heartbeats_and_an_election_timeout() -> None:
    node = follower()
    assert quiescence.watched(node.raft) == {"n2"}
    assert node.raft.ticks_until_due >= 2 * CONFIG.quiesce_interval_ticks + CONFIG.election_timeout_ticks


@pytest.mark.parametrize(
    ("request_", "config"),
    [
        (heartbeat(quiesce=False), CONFIG),
        (heartbeat(prev=1, commit=1), CONFIG),
        (heartbeat(), replace(CONFIG, quiesce_interval_ticks=0)),
    ],
    ids=["it was not asked", "it has more", "it is told not to"],
)
def test_a_follower_does_not_agree_when(request_: AppendEntriesRequest, config: RaftConfig) -> None:
    node = Solo(1, 1, config=config, commit=1)
    reply = node.receive(request_)
    assert isinstance(reply, AppendEntriesResponse)
    assert (reply.success, reply.quiesced) == (True, False)
    assert not holds(node)


def test_a_follower_sticks_to_a_quiesced_leader_but_not_to_one_that_campaigns() -> None:
    node = follower()
    node.tick(CONFIG.quiesce_interval_ticks)
    node.receive(vote("n3", 2))
    assert holds(node)
    node.receive(vote("n2", 1))  # an old one, from before it led
    assert holds(node)
    node.receive(vote("n2", 2))
    assert not holds(node)


def test_a_follower_that_is_awake_votes_for_the_leader_it_has_not_heard_for_an_election_timeout() -> None:
    node = Solo(1, 1, config=CONFIG, commit=2)
    node.receive(heartbeat(quiesce=False))
    node.tick(CONFIG.election_timeout_ticks)
    reply = node.receive(vote("n2", 2))
    assert isinstance(reply, RequestVoteResponse)
    assert reply.vote_granted


def test_a_follower_whose_leader_falls_silent_has_waited_an_election_timeout_already() -> None:
    node = follower()
    node.miss("n3")
    assert holds(node)
    node.miss("n2")
    assert node.raft.ticks_until_due <= CONFIG.election_timeout_ticks
    node.tick(CONFIG.election_timeout_ticks)
    assert node.raft.leader_id is None
