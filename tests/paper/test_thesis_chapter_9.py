"""Ongaro's thesis, chapter 9: leader election — how long it takes, whose log decides, and pre-vote (§9.6)."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.messages import RequestVoteRequest, RequestVoteResponse
from raftsdk.testing.solo import Solo, append, commands, granted, vote

TIMEOUT_TICKS = 10
PRE_VOTE = RaftConfig(election_timeout_ticks=TIMEOUT_TICKS, heartbeat_interval_ticks=3)
NO_PRE_VOTE = RaftConfig(election_timeout_ticks=TIMEOUT_TICKS, heartbeat_interval_ticks=3, pre_vote=False)


def _ticks_until_it_campaigns(node: Solo) -> int:
    before = node.raft.term
    for ticks in range(1, 3 * TIMEOUT_TICKS):
        node.tick()
        if node.take_calls() or node.raft.term > before:
            return ticks
    raise AssertionError("it does not campaign")


# -- §9.1 to §9.3: how long an election takes


def test_an_election_timeout_is_between_one_and_two_base_timeouts() -> None:
    """§9.1, §9.2: each server's timeout is drawn from the range between the timeout and twice that, all of it."""
    seen = {_ticks_until_it_campaigns(Solo(seed=seed)) for seed in range(300)}
    assert seen == set(range(TIMEOUT_TICKS, 2 * TIMEOUT_TICKS))


def test_a_timeout_is_drawn_anew_for_every_election() -> None:
    """§9.2: a split vote is followed by timeouts that are spread again, or the same candidates would meet again."""
    node = Solo(seed=1)
    assert len({_ticks_until_it_campaigns(node) for _ in range(20)}) > 3


def test_hearing_a_leader_draws_a_timeout_anew() -> None:
    """§9.1: the timeout that counts is the one that began with the last heartbeat."""
    node = Solo(seed=1)
    waited = set()
    for term in range(1, 30, 2):
        node.receive(append(term))
        waited.add(_ticks_until_it_campaigns(node))
    assert waited <= set(range(TIMEOUT_TICKS, 2 * TIMEOUT_TICKS))
    assert len(waited) > 3


def test_a_node_that_should_not_lead_waits_longer() -> None:
    """§9.2: who times out first is likely to win. A delay of one's own lets the others go first."""
    config = RaftConfig(
        election_timeout_ticks=TIMEOUT_TICKS, heartbeat_interval_ticks=3, campaign_delay_ticks=TIMEOUT_TICKS
    )
    seen = {_ticks_until_it_campaigns(Solo(seed=seed, config=config)) for seed in range(300)}
    assert seen == set(range(2 * TIMEOUT_TICKS, 3 * TIMEOUT_TICKS))


# -- §9.5: when logs differ


def test_a_candidate_with_a_shorter_log_makes_way() -> None:
    """§9.5: a candidate that cannot win still makes others take its term, and a better one wins in the next."""
    better = Solo(1, 1)
    assert not granted(better.receive(vote(2, last=(1, 1))))
    assert better.raft.term == 2
    (call, _) = better.campaign()
    assert isinstance(call.request, RequestVoteRequest)
    assert granted(Solo(1, term=2, vote="n2", node_id="n2").receive(call.request))


def test_a_refusal_does_not_hold_up_whoever_refuses() -> None:
    """§9.5: servers with better logs do not restart their timers for a candidate they do not vote for."""
    node = Solo(1, 1, seed=3)
    expected = _ticks_until_it_campaigns(Solo(1, 1, seed=3))
    for term in range(2, expected + 1):
        node.tick()
        node.receive(vote(term, last=(1, 1)))
    assert not node.calls
    node.tick()
    assert node.calls


# -- §9.6 Preventing disruptions when a server rejoins the cluster


def test_a_pre_vote_raises_no_term() -> None:
    """§9.6: a candidate only increments its term if it first learns that a majority would grant it their votes."""
    node = Solo(config=PRE_VOTE)
    for _ in range(5):
        calls = node.campaign()
        assert {call.request for call in calls} == {vote(1, candidate="n1", pre_vote=True)}
    assert (node.raft.role, node.raft.term) == (Role.PRE_CANDIDATE, 0)


def test_a_majority_of_pre_votes_starts_the_election() -> None:
    """§9.6: having learnt that, it increments its term and asks for votes that count."""
    node = Solo(nodes=5, config=PRE_VOTE)
    calls = node.campaign()
    terms = []
    for call in calls[:2]:
        node.succeed(call)
        terms.append(node.raft.term)
    assert terms == [0, 1]
    assert {call.request for call in node.take_calls()} == {vote(1, candidate="n1")}


def test_a_pre_vote_promises_nothing() -> None:
    """§9.6: whoever would grant its vote has not given it: it changes neither term nor vote, and may grant others'."""
    node = Solo(config=PRE_VOTE)
    before = node.disk.hard_state
    assert granted(node.receive(vote(3, candidate="n2", pre_vote=True)))
    assert granted(node.receive(vote(3, candidate="n3", pre_vote=True)))
    assert node.disk.hard_state == before
    assert granted(node.receive(vote(3, candidate="n3")))


def test_a_pre_vote_goes_to_up_to_date_logs_alone() -> None:
    """§9.6: if the candidate's log is sufficiently up to date."""
    node = Solo(1, 1, config=PRE_VOTE)
    assert not granted(node.receive(vote(2, last=(1, 1), pre_vote=True)))
    assert granted(node.receive(vote(2, last=(2, 1), pre_vote=True)))


def test_a_pre_vote_for_a_term_that_has_begun_is_refused() -> None:
    """§9.6: nobody could win an election there that this node has not heard of."""
    assert not granted(Solo(term=3, config=PRE_VOTE).receive(vote(3, pre_vote=True)))


def test_no_pre_vote_while_a_leader_is_heard() -> None:
    """§9.6: if the voters have not received heartbeats from a valid leader for at least a baseline election timeout."""
    node = Solo(config=PRE_VOTE)
    node.receive(append(1))
    node.tick(TIMEOUT_TICKS - 1)
    assert not granted(node.receive(vote(2, candidate="n3", pre_vote=True)))
    node.tick()
    assert granted(node.receive(vote(2, candidate="n3", pre_vote=True)))


def test_a_partitioned_node_does_not_raise_its_term() -> None:
    """§9.6: while a server is partitioned, it cannot receive permission from a majority."""
    node = Solo(config=PRE_VOTE)
    node.receive(append(1))
    for _ in range(20):
        for call in node.campaign():
            node.fail(call)
    assert node.raft.term == 1


def test_a_partitioned_node_raises_its_term_without_pre_vote() -> None:
    """§9.6: each election timeout increments its term, and this is what disturbs the others when it returns."""
    node = Solo(config=NO_PRE_VOTE)
    node.receive(append(1))
    for _ in range(20):
        node.campaign()
    assert node.raft.term == 21


def test_a_returning_node_gets_no_pre_vote_from_those_who_hear_a_leader() -> None:
    """§9.6: the other servers will have been receiving regular heartbeats from the leader, and so will the leader."""
    follower = Solo(1, config=PRE_VOTE)
    follower.receive(append(1, prev=(1, 1)))
    leader = Solo(config=PRE_VOTE).lead_and_commit()
    for node in (follower, leader):
        assert node.receive(vote(2, last=(9, 1), candidate="n3", pre_vote=True)) == RequestVoteResponse(
            term=1, vote_granted=False
        )
    assert leader.raft.leads


def test_a_returning_node_follows_in_the_same_term() -> None:
    """§9.6: once it receives a heartbeat from the leader itself, it returns to the follower state, in the same term."""
    node = Solo(config=PRE_VOTE)
    node.receive(append(1))
    node.campaign()
    node.receive(append(1, entries=commands(1)))
    assert (node.raft.role, node.raft.term, node.raft.leader_id) == (Role.FOLLOWER, 1, "n2")


def test_pre_votes_that_come_back_late_count_for_nothing() -> None:
    """§9.6: what was asked before a leader was heard is settled by hearing it."""
    node = Solo(config=PRE_VOTE)
    calls = node.campaign()
    node.receive(append(1))
    for call in calls:
        node.answer(call, RequestVoteResponse(term=1, vote_granted=True))
    assert (node.raft.role, node.raft.term) == (Role.FOLLOWER, 1)


@pytest.mark.parametrize("response_term", [1, 5], ids=["of its own term", "of the term asked about"])
def test_a_pre_vote_does_not_count_as_a_vote(response_term: int) -> None:
    """§9.6: an answer to the question is none to the request that follows."""
    node = Solo(nodes=5, config=PRE_VOTE)
    asked = node.campaign()
    node.succeed(asked[0])
    node.succeed(asked[1])
    assert node.raft.role is Role.CANDIDATE
    for call in asked[2:]:
        node.answer(call, RequestVoteResponse(term=response_term, vote_granted=True))
    assert node.raft.role is Role.CANDIDATE
