"""The corners of linearizable reads: who waits, who is told what, and what a lease rests on."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.raft import MAX_TERM_JUMP
from raftsdk.core.ready import ReadReady, ReadRefused
from raftsdk.messages import (
    AppendEntriesResponse,
    InstallSnapshotRequest,
    PeerResponse,
    ReadIndexResponse,
    RequestVoteResponse,
)
from raftsdk.testing.solo import Solo, append, granted, membership, read_index, vote


def _leases(*, drift: int = 20, pre_vote: bool = True) -> RaftConfig:
    return RaftConfig(
        election_timeout_ticks=10,
        heartbeat_interval_ticks=3,
        pre_vote=pre_vote,
        lease_reads=True,
        max_clock_drift_percent=drift,
    )


# -- a leader's rounds


def test_callers_here_and_followers_share_a_round() -> None:
    leader = Solo().lead_and_commit()
    first = leader.read()
    (to_n2, _) = leader.take_calls()
    second = leader.read()
    assert leader.receive(read_index(1, node="n3")) is None
    leader.succeed(to_n2)
    assert [read.token for read in leader.reads] == [first]
    leader.succeed(leader.take_calls()[0])
    assert [read.token for read in leader.reads] == [first, second]
    assert list(leader.answers.values()) == [ReadIndexResponse(term=1, read_index=1)]


def test_a_round_is_confirmed_once() -> None:
    leader = Solo().lead_and_commit()
    leader.read()
    leader.agree()
    leader.tick(3)
    leader.agree()
    assert len(leader.reads) == 1


def test_a_round_that_nobody_heard_is_confirmed_by_the_next_heartbeats() -> None:
    leader = Solo().lead_and_commit()
    token = leader.read()
    for call in leader.take_calls():
        leader.fail(call)
    leader.tick(3)
    leader.agree("n3")
    assert leader.reads == [ReadReady(token, 1)]


def test_an_answer_to_a_call_of_an_earlier_term_confirms_no_round_of_this_one() -> None:
    """The same node leads twice: what was answered to it then says nothing about who leads now."""
    node = Solo().lead_and_commit()
    node.tick(3)
    of_term_1 = node.take_calls()
    node.receive(append(2))
    node.lead_and_commit()
    node.read()
    for call in of_term_1:
        node.answer(call, AppendEntriesResponse(term=1, success=True))
    assert not node.reads
    node.agree("n2")
    assert len(node.reads) == 1


def test_an_answer_in_an_earlier_term_confirms_nothing() -> None:
    """No honest node gives one: it is in the caller's term before it answers, or in a later one."""
    leader = Solo(1, commit=1).lead_and_commit()
    leader.read()
    for call in leader.take_calls():
        leader.answer(call, AppendEntriesResponse(term=1, success=False))
    assert not leader.reads


def test_who_waited_for_a_leader_of_the_past_is_told_once() -> None:
    node = Solo(1, commit=1).lead()
    token = node.read()
    node.receive(append(3))
    assert node.reads == [ReadRefused(token)]
    node.lead_and_commit()
    node.tick(3)
    node.agree()
    assert node.reads == [ReadRefused(token)]


def test_a_snapshot_that_arrives_confirms_like_any_call() -> None:
    leader = Solo(1, commit=1, config=RaftConfig(snapshot_trailing_entries=0, check_quorum=False, pre_vote=False))
    leader.take_snapshot()
    to_n2, to_n3 = leader.lead().take_calls()
    leader.succeed(to_n3)
    leader.read()
    leader.take_calls()  # none of the round's heartbeats is answered
    leader.refuse(to_n2)
    (snapshot,) = leader.take_calls_to("n2")
    assert isinstance(snapshot.request, InstallSnapshotRequest)
    assert not leader.reads
    leader.succeed(snapshot)
    assert len(leader.reads) == 1


def test_a_leader_that_goes_refuses_what_waits() -> None:
    leader = Solo().lead_and_commit()
    leader.change(remove=["n1"])
    calls = leader.take_calls()
    token = leader.read()
    leader.take_calls()
    for call in calls:
        leader.succeed(call)
    assert leader.raft.role is Role.FOLLOWER
    assert leader.reads == [ReadRefused(token)]


def test_a_leader_that_is_removed_needs_the_majority_of_the_others() -> None:
    leader = Solo().lead_and_commit()
    leader.change(remove=["n1"])
    leader.take_calls()
    leader.read()
    to_n2, to_n3 = leader.take_calls()
    leader.succeed(to_n2)
    assert not leader.reads
    leader.succeed(to_n3)
    assert len(leader.reads) == 1


def test_who_asks_in_a_later_term_is_not_answered_and_unseats_nobody() -> None:
    """It has heard of another leader; asking is no reason to believe it, nor to tell it what it must not rely on."""
    leader = Solo().lead_and_commit()
    assert leader.receive(read_index(5)) == ReadIndexResponse(term=1, read_index=0)
    assert leader.raft.leads


def test_a_single_voter_reads_without_its_learners() -> None:
    leader = Solo(members=membership("n1", learners=["n2", "n3"])).lead_and_commit()
    leader.take_calls()
    token = leader.read()
    assert leader.reads == [ReadReady(token, 1)]


# -- a follower's


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(ReadIndexResponse(term=1, read_index=0), id="not the leader any more"),
        pytest.param(ReadIndexResponse(term=2 + MAX_TERM_JUMP, read_index=5), id="from an impossible term"),
        pytest.param(AppendEntriesResponse(term=1, success=True), id="an answer of another kind"),
    ],
)
def test_a_follower_that_gets_no_index_refuses_to_read(response: PeerResponse) -> None:
    follower = Solo()
    follower.receive(append(1))
    token = follower.read()
    (call,) = follower.take_calls()
    follower.answer(call, response)
    assert follower.reads == [ReadRefused(token)]


def test_a_follower_whose_question_is_lost_refuses_to_read() -> None:
    follower = Solo()
    follower.receive(append(1))
    token = follower.read()
    (call,) = follower.take_calls()
    follower.fail(call)
    assert follower.reads == [ReadRefused(token)]


def test_each_question_of_a_follower_has_an_answer_of_its_own() -> None:
    follower = Solo()
    follower.receive(append(1))
    first, second = follower.read(), follower.read()
    to_first, to_second = follower.take_calls()
    follower.answer(to_second, ReadIndexResponse(term=1, read_index=8))
    follower.answer(to_first, ReadIndexResponse(term=1, read_index=7))
    assert follower.reads == [ReadReady(second, 8), ReadReady(first, 7)]


def test_an_index_stays_good_when_somebody_else_leads_by_then() -> None:
    """It was fresh when it was asked for, and a read may be as old as its question."""
    follower = Solo()
    follower.receive(append(1))
    token = follower.read()
    (call,) = follower.take_calls()
    follower.receive(append(2, leader="n3"))
    follower.answer(call, ReadIndexResponse(term=1, read_index=4))
    assert follower.reads == [ReadReady(token, 4)]


def test_a_learner_asks_like_everybody() -> None:
    learner = Solo(learner=True)
    learner.receive(append(1))
    learner.read()
    assert [(call.target, call.request) for call in learner.take_calls()] == [("n2", read_index(1, node="n1"))]


def test_a_follower_has_no_lease() -> None:
    """What it asks its leader for goes through a round there."""
    follower = Solo(config=_leases())
    follower.receive(append(1))
    follower.read(lease=True)
    assert len(follower.take_calls()) == 1
    assert not follower.reads


# -- what a lease rests on


@pytest.mark.parametrize(("drift", "ticks"), [(0, 8), (20, 6), (60, 2)])
def test_a_lease_is_shorter_by_the_drift_and_by_what_the_core_may_not_have_seen(drift: int, ticks: int) -> None:
    leader = Solo(config=_leases(drift=drift)).lead_and_commit()
    leader.tick(ticks - 1)
    leader.read(lease=True)
    assert len(leader.reads) == 1
    leader.tick()
    leader.read(lease=True)
    assert len(leader.reads) == 1


def test_a_lease_under_a_joint_membership_needs_both_majorities() -> None:
    leader = Solo(config=_leases()).lead_and_commit()
    leader.change("n4", "n5", remove=["n2", "n3"])
    leader.take_calls()
    leader.read(lease=True)
    assert not leader.reads, "the new half has not been heard from"


def test_a_lease_serves_only_who_asks_for_it() -> None:
    leader = Solo(config=_leases()).lead_and_commit()
    leader.read()
    assert not leader.reads
    assert len(leader.take_calls()) == 2


def test_a_lease_that_is_void_for_a_term_is_good_again_in_a_later_one() -> None:
    node = Solo(config=_leases()).lead_and_commit()
    node.hand_over("n2")
    node.receive(vote(2, last=(1, 1), transfer=True))
    node.take_calls()
    node.lead_and_commit()
    token = node.read(lease=True)
    assert node.reads == [ReadReady(token, 2, lease=True)]


def test_a_failed_call_renews_no_lease() -> None:
    leader = Solo(config=_leases()).lead_and_commit()
    leader.tick(7)
    for call in leader.take_calls():
        leader.fail(call)
    leader.tick()
    leader.read(lease=True)
    assert not leader.reads


def test_a_lease_that_ran_out_falls_back_to_a_round() -> None:
    leader = Solo(config=_leases()).lead_and_commit()
    leader.tick(8)
    leader.take_calls()
    token = leader.read(lease=True)
    leader.agree("n2")
    assert leader.reads == [ReadReady(token, 1, lease=False)]


@pytest.mark.parametrize("asked_as", ["candidate", "reader"])
def test_an_answer_of_the_past_does_not_unseat_whoever_a_lease_rests_on(asked_as: str) -> None:
    """n1 asked n3 something, long ago; it then follows n2, whose lease rests on n1's not voting. If n3's answer, from a
    term that nobody has won, made n1 forget n2, then n1 would vote for n3 at once, and n2 would read what is stale.
    """
    follower = Solo(config=_leases(pre_vote=False))
    if asked_as == "candidate":
        (call,) = [call for call in follower.campaign() if call.target == "n3"]
        late: PeerResponse = RequestVoteResponse(term=5, vote_granted=False)
    else:
        follower.receive(append(1, leader="n3"))
        follower.read()
        (call,) = follower.take_calls()
        late = ReadIndexResponse(term=5, read_index=0)
    follower.receive(append(4))
    assert not granted(follower.receive(vote(5, candidate="n3")))
    follower.answer(call, late)
    assert not granted(follower.receive(vote(5, candidate="n3")))
    assert follower.raft.leader_id == "n2"
