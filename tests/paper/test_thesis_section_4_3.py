"""Ongaro's thesis, §4.3: arbitrary configuration changes using joint consensus. One test a sentence."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.messages import RequestVoteRequest
from raftsdk.testing.solo import Solo, append, commands, membership, membership_entry
from raftsdk.types import decode_membership

CHECKED = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, pre_vote=False)
THREE = membership("n1", "n2", "n3")
JOINT = membership("n1", "n4", "n5", outgoing=["n1", "n2", "n3"])


def _joint_leader() -> Solo:
    """n1 of n1 to n3, which are to become n1, n4 and n5."""
    leader = Solo().lead_and_commit()
    leader.change("n4", "n5", remove=["n2", "n3"])
    return leader


def test_a_change_of_several_voters_begins_with_a_joint_membership() -> None:
    """§4.3: the leader stores the configuration for joint consensus, C_old,new, as a log entry."""
    leader = _joint_leader()
    assert leader.raft.membership == JOINT
    assert decode_membership(leader.disk.entries[-1].data) == JOINT


def test_entries_go_to_all_servers_in_both_halves() -> None:
    """§4.3: log entries are replicated to all servers in both configurations."""
    leader = _joint_leader()
    assert {target for target, request in leader.appends() if request.entries} == {"n2", "n3", "n4", "n5"}


@pytest.mark.parametrize("node_id", ["n2", "n4"], ids=["outgoing", "incoming"])
def test_a_server_of_either_half_may_lead(node_id: str) -> None:
    """§4.3: any server from either configuration may serve as leader."""
    node = Solo(node_id=node_id, members=JOINT)
    assert node.lead().raft.role is Role.LEADER


@pytest.mark.parametrize(
    ("agreeing", "committed"),
    [
        pytest.param(["n2", "n3"], False, id="all of the old, one of the new"),
        pytest.param(["n4", "n5"], False, id="one of the old, all of the new"),
        pytest.param(["n2", "n4"], True, id="a majority of each"),
    ],
)
def test_commitment_needs_both_majorities(agreeing: list[str], *, committed: bool) -> None:
    """§4.3: agreement for entry commitment requires majorities from both the old and new configurations."""
    leader = _joint_leader()
    leader.agree(*agreeing)
    assert (leader.raft.log.commit_index >= 2) is committed


@pytest.mark.parametrize(
    ("agreeing", "elected"),
    [
        pytest.param(["n2", "n3"], False, id="all of the old, one of the new"),
        pytest.param(["n4", "n5"], False, id="one of the old, all of the new"),
        pytest.param(["n3", "n5"], True, id="a majority of each"),
    ],
)
def test_an_election_needs_both_majorities(agreeing: list[str], *, elected: bool) -> None:
    """§4.3: so does agreement for elections."""
    node = Solo(members=JOINT)
    for call in node.campaign():
        assert isinstance(call.request, RequestVoteRequest)
        if call.target in agreeing:
            node.succeed(call)
    assert (node.raft.role is Role.LEADER) is elected


@pytest.mark.parametrize(
    ("agreeing", "leads"),
    [(["n4", "n5"], False), (["n2", "n3"], False), (["n2", "n5"], True)],
    ids=["the new alone", "the old alone", "a majority of each"],
)
def test_a_leader_goes_on_only_with_both_majorities(agreeing: list[str], *, leads: bool) -> None:
    """§4.3, of a leader that checks its quorum (§6.2): one half alone does not keep it."""
    leader = Solo(config=CHECKED).lead_and_commit()
    leader.change("n4", "n5", remove=["n2", "n3"])
    leader.take_calls()  # none of them is answered: the membership stays joint
    for _ in range(7):
        leader.tick(3)
        for call in leader.take_calls():
            if call.target in agreeing:
                leader.succeed(call)
    assert (leader.raft.role is Role.LEADER) is leads


def test_the_joint_membership_is_left_once_it_is_committed() -> None:
    """§4.3: once C_old,new has been committed, it is safe for the leader to create an entry describing C_new."""
    leader = _joint_leader()
    leader.agree("n2")
    assert leader.raft.log.last_index == 2
    leader.agree("n4")
    assert leader.raft.log.last_index == 3
    assert leader.raft.membership == membership("n1", "n4", "n5")


@pytest.mark.parametrize(
    ("agreeing", "committed"), [("n2", False), ("n3", False), ("n5", True)], ids=["old", "old too", "new"]
)
def test_what_leaves_the_joint_membership_is_decided_by_the_new_one_alone(agreeing: str, *, committed: bool) -> None:
    """§4.3: C_new is committed under the rules of C_new."""
    leader = _joint_leader()
    leader.agree("n2")
    joint = next(call for call in leader.calls if call.target == "n4")
    leader.calls.remove(joint)
    leader.succeed(joint)
    assert (leader.raft.log.commit_index, leader.raft.log.last_index) == (2, 3)
    leader.agree(agreeing)
    assert (leader.raft.log.commit_index == 3) is committed


def test_a_new_leader_finishes_what_another_began() -> None:
    """§4.3: whoever is elected under C_old,new goes on from there, after its first commit."""
    node = Solo()
    node.receive(append(1, entries=[membership_entry(1, JOINT)], commit=1))
    node.lead()
    assert node.raft.membership == JOINT
    node.agree()
    assert node.raft.membership == membership("n1", "n4", "n5")
    assert node.raft.log.commit_index == node.raft.log.last_index == 3


def test_a_leader_outside_the_new_half_leads_until_that_is_committed() -> None:
    """§4.3: a leader that is not part of C_new steps down once C_new is committed, and not with C_old,new."""
    leader = Solo().lead_and_commit()
    leader.change("n4", remove=["n1"])
    leader.agree("n2")
    leader.succeed(leader.take_calls_to("n4")[0])
    assert (leader.raft.role, leader.raft.log.commit_index) == (Role.LEADER, 2)
    leader.tick(3)
    leader.agree()
    assert (leader.raft.role, leader.raft.log.commit_index) == (Role.FOLLOWER, 3)


def test_a_joint_membership_that_goes_brings_back_the_old_one() -> None:
    """§4.3: until C_old,new is committed, a leader may be chosen under C_old and know nothing of it."""
    node = Solo(1)
    node.receive(append(1, prev=(1, 1), entries=[membership_entry(1, JOINT)]))
    assert node.raft.membership == JOINT
    node.receive(append(2, prev=(1, 1), entries=commands(2, first=2), leader="n3"))
    assert node.raft.membership == THREE
