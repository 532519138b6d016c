"""The corners of handing over leadership: to whom, when it is given up, and who does not take it."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.ready import Call
from raftsdk.messages import TimeoutNowRequest, TimeoutNowResponse
from raftsdk.testing.solo import Solo, append, commands, membership, timeout_now
from raftsdk.types import Member, Suffrage


def _asked(node: Solo) -> list[str]:
    """Who was asked to campaign since the last look; all other calls are lost."""
    return [call.target for call in node.take_calls() if isinstance(call.request, TimeoutNowRequest)]


def _whys(node: Solo) -> list[str]:
    return [end.why for end in node.transfers]


# -- to whom


@pytest.mark.parametrize(
    ("target", "why"),
    [
        pytest.param("n1", "n1 leads already", id="itself"),
        pytest.param("n9", "n9 is no voter", id="a stranger"),
        pytest.param("n4", "n4 is no voter", id="a learner"),
    ],
)
def test_only_another_voter_is_handed_over_to(target: str, why: str) -> None:
    leader = Solo(members=membership("n1", "n2", "n3", learners=["n4"])).lead_and_commit()
    leader.hand_over(target)
    assert _whys(leader) == [why]
    leader.propose(b"a")
    assert leader.accepted == [2]


@pytest.mark.parametrize("target", ["n2", "n4"], ids=["in the old half alone", "in the new half alone"])
def test_while_joint_a_target_must_count_in_both_halves(target: str) -> None:
    """Elected by both majorities it could be, but it is to go, or not known to have caught up."""
    leader = Solo().lead_and_commit()
    leader.change("n4", "n5", remove=["n2"])
    leader.hand_over(target)
    assert _whys(leader) == [f"{target} is no voter"]
    leader.hand_over("n3")
    assert len(leader.transfers) == 1


def test_without_another_voter_nobody_can_take_over() -> None:
    leader = Solo(members=membership("n1", learners=["n2"])).lead_and_commit()
    leader.hand_over()
    assert _whys(leader) == ["there is no other voter"]


def test_who_does_not_lead_hands_over_nothing() -> None:
    follower = Solo()
    follower.receive(append(1))
    follower.hand_over("n3")
    assert _whys(follower) == ["this node does not lead"]


def test_without_a_target_it_is_the_voter_with_most_of_the_log() -> None:
    leader = Solo(members=membership("n1", "n2", "n3", learners=["n4"])).lead_and_commit()
    leader.propose(b"a")
    leader.agree("n2", "n4")
    leader.take_calls()
    leader.hand_over()
    assert _asked(leader) == ["n2"]


def test_a_second_transfer_waits_for_the_first_to_end() -> None:
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    leader.hand_over("n3")
    assert _whys(leader) == ["leadership is being handed over to n2 already"]
    assert _asked(leader) == ["n2"]


# -- on the way


def test_a_target_that_lags_is_not_asked() -> None:
    leader = Solo().lead_and_commit()
    leader.propose(b"a")
    leader.hand_over("n2")
    assert not _asked(leader)


@pytest.mark.parametrize("end", ["lost", "refused"])
def test_a_target_that_did_not_campaign_is_asked_again_with_its_next_sign_of_life(end: str) -> None:
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    (call,) = leader.take_calls()
    if end == "lost":
        leader.fail(call)
    else:
        leader.refuse(call)
    assert not leader.calls, "not at once, over and over"
    leader.tick(3)
    (heartbeat,) = leader.take_calls_to("n2")
    leader.succeed(heartbeat)
    assert _asked(leader) == ["n2"]


def test_a_joint_membership_is_left_while_leadership_is_handed_over() -> None:
    """No change begins meanwhile, but one that has begun is finished; its target counts before and after."""
    leader = Solo(members=membership("n1", "n2", "n3", learners=["n4"])).lead_and_commit()
    leader.change("n4", Member("n2", suffrage=Suffrage.LEARNER))
    leader.hand_over("n3")
    leader.agree("n2", "n4")
    assert leader.raft.membership.outgoing == ()
    assert not _asked(leader), "there is one entry more for n3 to have"
    assert not leader.transfers


def test_a_transfer_ends_once() -> None:
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    (call,) = leader.take_calls()
    leader.tick(30)
    leader.receive(append(5, leader="n3"))
    leader.succeed(call)
    assert len(leader.transfers) == 1


def test_a_leader_that_stops_leading_for_another_reason_says_so() -> None:
    leader = Solo(config=RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3)).lead_and_commit()
    leader.tick(19)
    leader.hand_over("n2")
    leader.tick()
    assert _whys(leader) == ["n1 stopped leading"]
    assert leader.raft.role is Role.FOLLOWER


def test_a_late_answer_of_a_former_target_does_not_disturb_the_next_transfer() -> None:
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    (to_n2,) = leader.take_calls()
    leader.tick(10)
    leader.take_calls()
    leader.hand_over("n3")
    assert _asked(leader) == ["n3"]
    leader.fail(to_n2)
    assert not _asked(leader), "n3 has not failed"


# -- a leader without a disk


def _leader_whose_disk_hangs(*, up_to_date: str | None) -> list[Call]:
    """What it asks for when it gives up; whoever is `up_to_date` has everything."""
    config = RaftConfig(
        election_timeout_ticks=10,
        heartbeat_interval_ticks=3,
        pre_vote=False,
        check_quorum=False,
        disk_timeout_ticks=15,
    )
    leader = Solo(config=config).lead_and_commit()
    leader.held = True
    leader.propose(b"a")
    leader.agree(*[up_to_date] if up_to_date else ["nobody"])
    leader.tick(15)
    assert leader.raft.leads
    leader.take_calls()
    leader.tick()
    assert leader.raft.role is Role.FOLLOWER
    assert [alarm.name for alarm in leader.alarms] == ["disk_late"]
    return leader.take_calls()


def test_a_leader_whose_disk_hangs_asks_whoever_has_everything() -> None:
    calls = _leader_whose_disk_hangs(up_to_date="n2")
    assert [(call.target, call.request) for call in calls] == [("n2", timeout_now(1, leader="n1"))]


def test_a_leader_whose_disk_hangs_steps_down_even_if_nobody_has_everything() -> None:
    assert not _leader_whose_disk_hangs(up_to_date=None)


# -- being asked


def test_a_target_answers_when_its_vote_is_durable() -> None:
    """The answer tells of the new term: it is a promise like any other."""
    target = Solo()
    target.receive(append(1))
    target.held = True
    assert target.receive(timeout_now(1)) is None
    target.persist()
    assert TimeoutNowResponse(term=2) in target.answers.values()


def test_who_was_a_leader_of_the_past_asks_in_vain() -> None:
    target = Solo(term=3)
    assert target.receive(timeout_now(2)) == TimeoutNowResponse(term=3)
    assert (target.raft.role, target.raft.term) == (Role.FOLLOWER, 3)


def test_a_second_leader_of_one_term_asks_in_vain() -> None:
    target = Solo()
    target.receive(append(1))
    target.receive(timeout_now(1, leader="n3"))
    assert [alarm.name for alarm in target.alarms] == ["two_leaders"]
    assert target.raft.role is Role.FOLLOWER


def test_who_hears_of_a_later_term_by_it_campaigns_in_the_one_after() -> None:
    target = Solo(1, term=1)
    target.receive(timeout_now(4))
    assert (target.raft.role, target.raft.term) == (Role.CANDIDATE, 5)


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(Solo(learner=True), id="a learner"),
        pytest.param(Solo(members=membership("n2", "n3")), id="no member"),
        pytest.param(Solo(incarnation=7), id="one with other data than was admitted"),
    ],
)
def test_who_may_not_lead_follows_and_does_not_campaign(node: Solo) -> None:
    assert node.receive(timeout_now(1)) == TimeoutNowResponse(term=1)
    assert (node.raft.role, node.raft.leader_id) == (Role.FOLLOWER, "n2")
    assert not node.calls


def test_who_has_no_disk_to_lead_with_does_not_campaign() -> None:
    config = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, disk_timeout_ticks=5)
    node = Solo(config=config)
    node.held = True
    node.receive(append(1, entries=commands(1)))
    node.tick(6)
    node.receive(timeout_now(1))
    assert node.raft.role is Role.FOLLOWER
