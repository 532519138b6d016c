"""Which changes of members are legal, the corners of those under way, and whose data counts."""

from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftsdk.core.election import Role
from raftsdk.core.membership import IllegalChange, changed
from raftsdk.core.raft import LOST
from raftsdk.messages import MAX_TEXT_BYTES
from raftsdk.testing.solo import (
    Solo,
    append,
    commands,
    granted,
    membership,
    membership_entry,
    succeeded,
    timeout_now,
    vote,
)
from raftsdk.types import MAX_MEMBERS, Member, Membership, NodeId, Suffrage

THREE = membership("n1", "n2", "n3")
LEARNER = Suffrage.LEARNER

IDS = [f"n{number}" for number in range(1, 6)]
MEMBERS = st.builds(Member, st.sampled_from(IDS), suffrage=st.sampled_from(Suffrage))
UNIQUE_MEMBERS = st.lists(MEMBERS, max_size=5, unique_by=lambda member: member.id)
MEMBERSHIPS = UNIQUE_MEMBERS.map(lambda members: Membership(tuple(members))).filter(lambda found: bool(found.voters()))


def _quorums(of: Membership) -> Iterator[frozenset[NodeId]]:
    everybody = sorted(frozenset().union(*of.halves()))
    for size in range(1, len(everybody) + 1):
        for some in map(frozenset, combinations(everybody, size)):
            if all(2 * len(some & half) > len(half) for half in of.halves()):
                yield some


def _meet(one: Membership, other: Membership) -> bool:
    return all(mine & theirs for mine in _quorums(one) for theirs in _quorums(other))


# -- which changes are legal


@given(MEMBERSHIPS, UNIQUE_MEMBERS, st.sets(st.sampled_from(IDS)))
def test_no_two_memberships_that_follow_each_other_can_decide_apart(
    before: Membership, members: list[Member], remove: set[NodeId]
) -> None:
    try:
        after = changed(before, members, sorted(remove))
    except IllegalChange:
        return
    assert _meet(before, after)
    final = Membership(after.members)
    assert _meet(after, final)
    assert bool(after.outgoing) == (len(before.voters() ^ final.voters()) > 1)
    assert final.voters()


@given(MEMBERSHIPS, UNIQUE_MEMBERS, st.sets(st.sampled_from(IDS)))
def test_a_change_makes_the_members_that_were_asked_for(
    before: Membership, members: list[Member], remove: set[NodeId]
) -> None:
    try:
        after = changed(before, members, sorted(remove))
    except IllegalChange:
        return
    wanted = {member.id: member for member in before.members if member.id not in remove}
    assert {member.id: member for member in after.members} == wanted | {member.id: member for member in members}


@pytest.mark.parametrize(
    ("members", "remove", "why"),
    [
        pytest.param([Member("n4"), Member("n4", suffrage=LEARNER)], [], "an id is named twice", id="added twice"),
        pytest.param([], ["n3", "n3"], "an id is named twice", id="removed twice"),
        pytest.param([Member("n3")], ["n3"], "an id is named twice", id="added and removed"),
        pytest.param([], ["n9"], "n9 is no member", id="a stranger removed"),
        pytest.param([], ["n1", "n2", "n3"], "no voter would be left", id="all removed"),
        pytest.param(
            [Member(i, suffrage=LEARNER) for i in ("n1", "n2", "n3")], [], "no voter would be left", id="all demoted"
        ),
        pytest.param(
            [Member(f"m{number}", suffrage=LEARNER) for number in range(MAX_MEMBERS - 2)],
            [],
            "the members would be too many",
            id="one too many",
        ),
        pytest.param(
            [Member("n4", ("tcp://" + "a" * MAX_TEXT_BYTES,))], [], "their addresses too long", id="beyond a message"
        ),
        pytest.param([Member("n3", incarnation=7)], [], "n3 is a member with other data", id="with other data"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(members: list[Member], remove: list[NodeId], why: str) -> None:
    leader = Solo().lead_and_commit()
    leader.change(*members, remove=remove)
    assert why in leader.refused[0].why
    assert leader.raft.membership == THREE
    assert not leader.accepted


def test_a_member_stays_the_one_whose_data_was_admitted() -> None:
    """Who changes its addresses or its suffrage need not know its incarnation, and cannot change it."""
    before = Membership((Member("n1"), Member("n2", ("tcp://a:1",), LEARNER, incarnation=7)))
    after = changed(before, [Member("n2", ("tcp://b:2",))], [])
    assert after.member("n2") == Member("n2", ("tcp://b:2",), Suffrage.VOTER, incarnation=7)
    assert changed(before, [Member("n2")], []).member("n2") == Member("n2", ("tcp://a:1",), incarnation=7)


def test_a_member_that_was_removed_may_come_back_with_other_data() -> None:
    before = Membership((Member("n1"), Member("n2", incarnation=7)))
    without = changed(before, [], ["n2"])
    assert changed(without, [Member("n2", incarnation=8)], []).member("n2") == Member("n2", incarnation=8)


def test_a_change_of_addresses_is_no_change_of_voters() -> None:
    new = [Member(node_id, (f"tcp://{node_id}:1",)) for node_id in ("n1", "n2", "n3")]
    assert changed(THREE, new, []) == Membership(tuple(new))


def test_to_exchange_a_voter_and_a_learner_takes_both_majorities() -> None:
    before = membership("n1", "n2", "n3", learners=["n4"])
    after = changed(before, [Member("n3", suffrage=LEARNER), Member("n4")], [])
    assert after.halves() == (frozenset({"n1", "n2", "n4"}), frozenset({"n1", "n2", "n3"}))


# -- a change under way


def test_a_membership_in_the_log_counts_as_backlog_until_it_is_committed() -> None:
    leader = Solo().lead_and_commit()
    leader.change(Member("n4", suffrage=LEARNER))
    assert leader.raft.uncommitted_bytes == len(leader.disk.entries[-1].data)
    leader.agree()
    assert leader.raft.uncommitted_bytes == 0


def test_the_backlog_is_settled_when_a_joint_membership_is_left_too() -> None:
    leader = Solo().lead_and_commit()
    leader.change("n4", "n5")
    leader.agree()
    assert (leader.raft.log.commit_index, leader.raft.uncommitted_bytes) == (3, 0)


def test_while_leaving_a_joint_membership_no_other_change_begins() -> None:
    leader = Solo().lead_and_commit()
    leader.change("n4", "n5")
    for call in leader.take_calls():
        if call.target in ("n2", "n4"):
            leader.succeed(call)
    assert (leader.raft.log.commit_index, leader.raft.log.last_index) == (2, 3)
    leader.change("n6")
    assert "another change is not finished" in leader.refused[0].why


def test_a_new_leader_leaves_a_joint_membership_only_after_its_first_commit() -> None:
    """What it finds committed by its log may be another leader's to leave, and its own place in the term unknown."""
    node = Solo(members=membership("n1", "n2", outgoing=["n1", "n3"])).lead()
    assert node.raft.membership.outgoing
    assert node.raft.log.last_index == 1
    node.agree()
    assert node.raft.membership == membership("n1", "n2")


def test_a_membership_that_a_predecessor_left_open_counts_until_it_is_overwritten() -> None:
    node = Solo()
    node.receive(append(1, entries=[membership_entry(1, membership("n1", "n2", "n3", "n4", "n5"))]))
    leader = node.lead()
    leader.agree("n2")
    assert leader.raft.log.commit_index == 0, "two of five"
    leader.agree("n5")
    assert leader.raft.log.commit_index == 2
    assert leader.raft.progress.keys() == {"n2", "n3", "n4", "n5"}


def test_who_is_removed_is_sent_the_log_until_that_is_committed() -> None:
    leader = Solo(nodes=5).lead_and_commit()
    leader.change(remove=["n5"])
    assert leader.raft.progress.keys() == {"n2", "n3", "n4", "n5"}
    leader.agree("n5")
    assert leader.raft.log.commit_index == 1, "and counts no more"
    leader.agree("n2", "n3")
    assert leader.raft.progress.keys() == {"n2", "n3", "n4"}


def test_a_removed_peers_late_answers_change_nothing() -> None:
    leader = Solo(nodes=4).lead_and_commit()
    leader.tick(3)
    late = next(call for call in leader.take_calls() if call.target == "n4")
    leader.change(remove=["n4"])
    leader.agree("n2", "n3")
    leader.take_calls()
    leader.succeed(late)
    leader.fail(late)
    assert leader.raft.progress.keys() == {"n2", "n3"}
    assert not leader.calls


def test_what_a_removed_peer_acknowledged_is_not_put_down_to_its_successor() -> None:
    """An id that was removed comes back with an empty disk: nothing that the lost one had is there."""
    leader = Solo(nodes=4).lead_and_commit()
    leader.propose(b"a")
    acknowledged = next(call for call in leader.take_calls() if call.target == "n4")
    leader.tick(3)
    leader.agree("n2", "n3")
    leader.change(remove=["n4"])
    leader.agree("n2", "n3")
    leader.take_calls()
    leader.change(Member("n4", suffrage=LEARNER, incarnation=9))
    leader.succeed(acknowledged)
    assert leader.raft.progress["n4"].match_index == 0


def test_a_change_waits_until_leadership_is_handed_over() -> None:
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    leader.change("n4")
    assert "being handed over" in leader.refused[0].why


def test_a_follower_may_hold_several_memberships_and_falls_back_by_as_many_as_go() -> None:
    four, five = membership("n1", "n2", "n3", "n4"), membership("n1", "n2", "n3", "n4", "n5")
    node = Solo(1)
    entries = [membership_entry(1, four), *commands(1, first=3), membership_entry(1, five)]
    node.receive(append(1, prev=(1, 1), entries=entries))
    node.receive(append(2, prev=(3, 1), entries=commands(2, first=4), leader="n3"))
    assert node.raft.membership == four
    node.receive(append(3, prev=(1, 1), entries=commands(3, first=2), leader="n4"))
    assert node.raft.membership == THREE
    assert node.memberships == [five, four, THREE]


# -- whose data it is


def test_a_node_remembers_whose_data_it_has() -> None:
    node = Solo(members=membership(), incarnation=7)
    assert node.disk.hard_state.incarnation == 7
    node.incarnation = 8
    node.restart()
    assert node.raft.incarnation == 7


@pytest.mark.parametrize(
    ("members", "incarnation", "admitted"),
    [
        pytest.param(THREE, 0, True, id="a founder"),
        pytest.param(membership("n2", "n3"), 0, True, id="no member, whose vote may be needed all the same"),
        pytest.param(membership("n2", "n3"), 7, False, id="not a member any more"),
        pytest.param(membership(), 0, True, id="new, and told nothing of incarnations"),
        pytest.param(membership(), 7, False, id="new, and not admitted yet"),
        pytest.param(THREE, 7, False, id="a founder that came back empty"),
        pytest.param(Membership((Member("n1", incarnation=7), Member("n2"))), 7, True, id="admitted"),
        pytest.param(Membership((Member("n1", incarnation=7), Member("n2"))), 8, False, id="admitted with other data"),
        pytest.param(Membership((Member("n1", incarnation=7), Member("n2"))), 0, False, id="with data from before"),
        pytest.param(THREE, LOST, False, id="one that lost data"),
        pytest.param(membership("n2", "n3"), LOST, False, id="one that lost data and was removed"),
    ],
)
def test_only_a_node_with_the_data_that_was_admitted_votes_and_campaigns(
    members: Membership, incarnation: int, *, admitted: bool
) -> None:
    node = Solo(node_id="n1", members=members, incarnation=incarnation)
    assert granted(node.receive(vote(1, pre_vote=True))) is admitted
    assert granted(node.receive(vote(1))) is admitted
    node.tick(100)
    assert bool(node.calls) is (admitted and "n1" in members.voters())


def test_who_may_not_vote_follows_and_keeps_the_log_all_the_same() -> None:
    node = Solo(members=membership(), node_id="n4", incarnation=7)
    assert succeeded(node.receive(append(1, entries=commands(1))))
    assert node.receive(timeout_now(1)) is not None
    assert node.raft.role is Role.FOLLOWER


def test_a_node_votes_as_soon_as_it_reads_of_its_admission() -> None:
    node = Solo(members=membership(), node_id="n4", incarnation=7)
    admitted = Membership((*THREE.members, Member("n4", suffrage=LEARNER, incarnation=7)))
    node.receive(append(1, entries=[membership_entry(1, admitted)]))
    assert granted(node.receive(vote(2, last=(1, 1), candidate="n3")))


def test_who_came_back_empty_does_not_vote_because_it_reads_of_its_removal() -> None:
    """The removal may be an old leader's that nobody else will ever have. Elsewhere, votes for n4 are still counted: of
    those who kept their promises, and this one does not know them.
    """
    node = Solo(members=membership(), node_id="n4", incarnation=7)
    node.receive(append(1, entries=[membership_entry(1, THREE)]))
    assert not granted(node.receive(vote(9, last=(9, 8), candidate="n3")))


def test_whose_removal_may_be_rolled_back_votes() -> None:
    admitted = Membership((*THREE.members, Member("n4", incarnation=7)))
    node = Solo(members=admitted, node_id="n4", incarnation=7)
    node.receive(append(1, entries=[membership_entry(1, THREE)]))
    assert granted(node.receive(vote(2, last=(1, 1), candidate="n3")))
    node.receive(append(2, prev=(1, 1), commit=1, leader="n3"))
    assert not granted(node.receive(vote(3, last=(1, 1), candidate="n2"))), "once it is committed nobody counts it"


@pytest.mark.parametrize(("incarnation", "votes"), [(7, True), (8, False)])
def test_whoever_counts_in_the_outgoing_half_is_meant_with_the_data_it_was_a_member_with(
    incarnation: int, *, votes: bool
) -> None:
    """The outgoing half has ids alone. n4 has not left for good yet, and may be the only one who can win (seed 309)."""
    before = Membership((*THREE.members, Member("n4", incarnation=7)))
    node = Solo(members=before, node_id="n4", incarnation=incarnation)
    joint = Membership((Member("n1"), Member("n2")), outgoing=("n1", "n2", "n3", "n4"))
    left = Membership((Member("n1"), Member("n2")))
    node.receive(append(1, entries=[membership_entry(1, joint), membership_entry(1, left)], commit=1))
    assert granted(node.receive(vote(2, last=(2, 1), candidate="n3"))) is votes


def test_who_lacks_what_it_acknowledged_votes_no_more() -> None:
    """A heartbeat builds on what this very node acknowledged to this leader in this term."""
    node = Solo(1)
    assert not succeeded(node.receive(append(1, prev=(3, 1))))
    assert [alarm.name for alarm in node.alarms] == ["data_lost"]
    for _ in range(2):
        node.restart()
        assert node.raft.incarnation == LOST
        assert not granted(node.receive(vote(9, last=(9, 8), candidate="n3")))
        node.tick(100)
        assert not node.calls


def test_an_append_beyond_the_log_is_no_sign_of_loss() -> None:
    node = Solo(1)
    node.receive(append(1, prev=(3, 1), entries=commands(1, first=4)))
    assert not node.alarms
    assert node.raft.incarnation == 0
