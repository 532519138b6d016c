"""Ongaro's thesis ("Consensus: Bridging Theory and Practice"), chapter 4: cluster membership changes.

§4.3 is in `test_thesis_section_4_3.py`. One test a sentence that says what a node does; where ours does otherwise, the
test says so.
"""

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.profile import Profile
from raftsdk.core.ready import Call
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
from raftsdk.types import EntryKind, Member, Suffrage, decode_membership

CHECKED = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, pre_vote=False)
THREE = membership("n1", "n2", "n3")
FOUR = membership("n1", "n2", "n3", "n4")
LEARNER = Member("n4", suffrage=Suffrage.LEARNER)


def _reason(node: Solo) -> str:
    return node.refused[-1].why


def _roles_after_votes(node: Solo, calls: list[Call]) -> list[Role]:
    """What the node is after each of these votes."""
    roles = []
    for call in calls:
        node.succeed(call)
        roles.append(node.raft.role)
    return roles


# -- §4.1 Safety


def test_a_change_is_an_entry_of_the_log() -> None:
    """§4.1: the leader appends C_new as an entry in its log and replicates it like any other."""
    leader = Solo().lead_and_commit()
    leader.change("n4")
    entry = leader.disk.entries[-1]
    assert (entry.kind, decode_membership(entry.data)) == (EntryKind.MEMBERSHIP, FOUR)
    assert leader.accepted == [2]
    assert {target: request.entries for target, request in leader.appends()} == {
        "n2": [entry],
        "n3": [entry],
        "n4": [entry],
    }


def test_a_leader_uses_the_new_members_as_soon_as_they_are_in_its_log() -> None:
    """§4.1: the new configuration takes effect on each server as soon as it is added to that server's log."""
    leader = Solo().lead_and_commit()
    leader.change("n4")
    assert leader.raft.membership == FOUR
    assert leader.memberships == [FOUR]
    assert leader.raft.log.membership_is_open()


def test_a_follower_uses_the_new_members_as_soon_as_they_are_in_its_log() -> None:
    """§4.1: servers do not wait for configuration entries to be committed."""
    follower = Solo()
    follower.held = True
    follower.receive(append(1, entries=[membership_entry(1, FOUR)], commit=0))
    assert follower.raft.membership == FOUR


def test_a_change_is_committed_by_a_majority_of_the_new_members() -> None:
    """§4.1: a majority of the new configuration is used to determine the C_new entry's commitment."""
    leader = Solo().lead_and_commit()
    leader.change("n4")
    leader.agree("n2")
    assert leader.raft.log.commit_index == 1, "two of three is not a majority of four"
    leader.agree("n4")
    assert leader.raft.log.commit_index == 2, "and who is new counts"


def test_a_node_always_uses_the_latest_membership_in_its_log() -> None:
    """§4.1: each server always uses the latest configuration found in its log, also after a restart."""
    five = membership("n1", "n2", "n3", "n4", "n5")
    node = Solo()
    node.receive(append(1, entries=[membership_entry(1, FOUR), *commands(1, first=2), membership_entry(1, five)]))
    node.restart()
    assert node.raft.membership == five
    assert len(node.campaign()) == 4


def test_a_node_falls_back_to_the_membership_before_when_its_entry_goes() -> None:
    """§4.1: a server must be prepared to fall back to the previous configuration in its log."""
    node = Solo(1)
    node.receive(append(1, prev=(1, 1), entries=[membership_entry(1, FOUR)]))
    node.receive(append(2, prev=(1, 1), entries=commands(2, first=2), leader="n3"))
    assert node.raft.membership == THREE
    assert node.memberships == [FOUR, THREE]
    node.restart()
    assert node.raft.membership == THREE


def test_another_change_waits_until_the_last_is_committed() -> None:
    """§4.1: only once C_new is committed may further changes be started, or majorities need not overlap."""
    leader = Solo().lead_and_commit()
    leader.change("n4")
    leader.change("n5")
    assert leader.accepted == [2]
    assert "another change is not finished" in _reason(leader)
    leader.agree()
    leader.change("n5")
    assert leader.accepted == [2, 3]


def test_only_the_leader_changes_members() -> None:
    """§4.1: it is the leader that receives the request to add or remove a server."""
    follower = Solo()
    follower.receive(append(1))
    follower.change("n4")
    assert [(refused.overloaded, refused.why) for refused in follower.refused] == [(False, "")]
    assert follower.raft.membership == THREE


def test_a_new_leader_changes_no_members_before_its_first_commit() -> None:
    """§4.1 as corrected in 2015: no change until the leader has committed an entry of its current term.

    Otherwise two leaders, each with an uncommitted change that the other lacks, may find majorities that do not meet.
    """
    leader = Solo(1, commit=1).lead()
    leader.change("n4")
    assert "has not committed anything in its term" in _reason(leader)
    leader.agree()
    leader.change("n4")
    assert leader.raft.membership == FOUR


def test_one_server_at_a_time_where_the_others_know_nothing_else() -> None:
    """§4.1: only one server can be added or removed at once. Ours goes on to §4.3, unless the profile says so."""
    leader = Solo(profile=Profile(joint_consensus=False)).lead_and_commit()
    leader.change("n4", "n5")
    assert "only one may at a time" in _reason(leader)
    leader.change("n4")
    leader.agree()
    leader.change(remove=["n2"])
    assert leader.raft.membership == membership("n1", "n3", "n4")


def test_one_voter_more_or_less_needs_no_joint_membership() -> None:
    """§4.1: majorities of old and new overlap, so that the change goes directly."""
    leader = Solo(nodes=4).lead_and_commit()
    leader.change("n5")
    assert not leader.raft.membership.outgoing
    leader.agree()
    leader.change(remove=["n2"])
    assert not leader.raft.membership.outgoing


# -- §4.1, whose configuration counts


def test_a_leader_that_is_no_member_is_followed() -> None:
    """§4.1: a server accepts AppendEntries from a leader that is not part of its latest configuration."""
    newcomer = Solo(members=membership(), node_id="n4")
    assert succeeded(newcomer.receive(append(1, entries=[membership_entry(1, FOUR)], leader="n1")))
    assert newcomer.raft.membership == FOUR
    assert succeeded(Solo().receive(append(1, leader="n9")))


def test_a_candidate_that_is_no_member_is_voted_for() -> None:
    """§4.1: a server grants its vote to a candidate that is not part of its latest configuration."""
    assert granted(Solo().receive(vote(1, candidate="n9")))


def test_a_voter_that_is_no_member_votes() -> None:
    """§4.1: servers process requests without consulting their configurations; a newcomer's vote may be needed."""
    assert granted(Solo(members=membership(), node_id="n4").receive(vote(1, candidate="n1")))


def test_it_is_the_callers_membership_that_counts_in_an_election() -> None:
    """§4.1: a candidate needs a majority of the members that its own log names last, committed or not."""
    candidate = Solo()
    candidate.receive(append(1, entries=[membership_entry(1, FOUR)]))
    by_voter = {call.target: call for call in candidate.campaign()}
    assert by_voter.keys() == {"n2", "n3", "n4"}
    assert _roles_after_votes(candidate, [by_voter["n2"], by_voter["n4"]]) == [Role.CANDIDATE, Role.LEADER]


# -- §4.2.1 Catching up new servers


def test_a_learner_gets_the_log() -> None:
    """§4.2.1: a new server joins as a non-voting member, and the leader replicates log entries to it."""
    leader = Solo(1, 1).lead_and_commit()
    leader.change(LEARNER)
    newcomer = Solo(members=membership(), node_id="n4")
    for _ in range(5):
        for call in leader.take_calls_to("n4"):
            answer = newcomer.receive(call.request)
            assert answer is not None
            leader.answer(call, answer)
    assert newcomer.disk.entries == leader.disk.entries
    assert leader.raft.progress["n4"].match_index == 4


def test_a_learner_does_not_count_for_a_commit() -> None:
    """§4.2.1: it is not yet counted towards majorities for commitment purposes."""
    leader = Solo().lead_and_commit()
    leader.change(LEARNER)
    leader.agree("n4")
    assert leader.raft.log.commit_index == 1
    leader.agree("n2")
    assert leader.raft.log.commit_index == 2


def test_a_learner_does_not_count_for_an_election() -> None:
    """§4.2.1: nor for voting purposes. It is not even asked, and does not campaign."""
    with_learner = membership("n1", "n2", "n3", learners=["n4"])
    assert [call.target for call in Solo(members=with_learner).campaign()] == ["n2", "n3"]
    learner = Solo(members=with_learner, node_id="n4")
    learner.tick(200)
    assert not learner.calls


def test_a_learner_that_has_caught_up_is_made_a_voter() -> None:
    """§4.2.1: once the new server has caught up with the rest, the reconfiguration can proceed as described above."""
    leader = Solo().lead_and_commit()
    leader.change(LEARNER)
    leader.agree()
    leader.change("n4")
    assert leader.raft.membership == FOUR
    leader.agree("n2")
    assert leader.raft.log.commit_index == 2, "it needs three of four by now"


def test_who_has_not_read_that_it_is_admitted_is_made_no_voter() -> None:
    """§4.2.1: the leader determines when a new server has caught up. Ours demands it where an election rests on it:
    a node that was told whose data it has grants no vote before it has read of its admission.
    """
    leader = Solo().lead_and_commit()
    leader.change(Member("n4", suffrage=Suffrage.LEARNER, incarnation=7))
    leader.agree("n2", "n3")
    leader.change("n4")
    assert "n4 has not caught up" in _reason(leader)
    leader.agree("n4")
    leader.change("n4")
    assert leader.raft.membership.member("n4") == Member("n4", incarnation=7)


def test_a_new_server_is_found_in_two_calls_however_long_the_log() -> None:
    """§4.2.1: followers return the length of their logs, which lets the leader cap nextIndex accordingly."""
    leader = Solo(*[1] * 500).lead_and_commit()
    leader.change(LEARNER)
    newcomer = Solo(members=membership(), node_id="n4")
    (probe,) = leader.take_calls_to("n4")
    answer = newcomer.receive(probe.request)
    assert answer is not None
    leader.answer(probe, answer)
    assert [request.prev_log_index for target, request in leader.appends() if target == "n4"] == [0]


# -- §4.2.2 Removing the current leader


def test_a_removed_leader_steps_down_once_its_removal_is_committed() -> None:
    """§4.2.2: a leader that is removed from the configuration steps down once the C_new entry is committed."""
    leader = Solo().lead_and_commit()
    leader.change(remove=["n1"])
    leader.agree("n2")
    assert (leader.raft.role, leader.raft.log.commit_index) == (Role.LEADER, 1)
    leader.agree("n3")
    assert (leader.raft.role, leader.raft.log.commit_index) == (Role.FOLLOWER, 2)


def test_a_leader_that_is_made_a_learner_steps_down_too() -> None:
    """§4.2.2, of one that stays a member and counts no more: it may not lead either."""
    leader = Solo().lead_and_commit()
    leader.change(Member("n1", suffrage=Suffrage.LEARNER))
    leader.agree()
    assert leader.raft.role is Role.FOLLOWER


def test_a_removed_leader_does_not_count_itself() -> None:
    """§4.2.2: while committing C_new, it replicates entries but does not count itself in majorities."""
    leader = Solo().lead_and_commit()
    leader.change(remove=["n1"])
    leader.propose(b"a")
    leader.agree("n2")
    assert leader.raft.log.commit_index == 1, "n1 and n2 are two, and one of n2 and n3"


def test_a_removed_leader_takes_commands_until_then() -> None:
    """§4.2.2: there is a period when a leader manages a cluster that does not include itself."""
    leader = Solo().lead_and_commit()
    leader.change(remove=["n1"])
    leader.propose(b"a")
    assert leader.accepted == [2, 3]


def test_a_node_outside_its_latest_membership_campaigns_while_that_is_not_committed() -> None:
    """§4.2.2: a server that is not part of its own latest configuration should still start new elections."""
    node = Solo()
    node.receive(append(1, entries=[membership_entry(1, membership("n2", "n3"))]))
    assert [call.target for call in node.campaign()] == ["n2", "n3"]


def test_a_node_outside_its_latest_membership_does_not_count_its_own_vote() -> None:
    """§4.2.2: it does not count its own vote in elections unless it is part of its latest configuration."""
    node = Solo()
    node.receive(append(1, entries=[membership_entry(1, membership("n2", "n3"))]))
    assert _roles_after_votes(node, node.campaign()) == [Role.CANDIDATE, Role.LEADER]


def test_a_node_whose_removal_is_committed_campaigns_no_more() -> None:
    """§4.2.2: it might be needed *until* the C_new entry is committed. Ours, knowing that, rests."""
    node = Solo()
    node.receive(append(1, entries=[membership_entry(1, membership("n2", "n3"))], commit=1))
    node.tick(200)
    assert not node.calls


def test_a_removed_leader_hands_over_on_its_way_out() -> None:
    """§4.2.2: leadership would ideally be transferred (§3.10): whoever has everything is asked to campaign."""
    leader = Solo().lead_and_commit()
    leader.change(remove=["n1"])
    for call in leader.take_calls():
        leader.succeed(call)
    asked = [call.target for call in leader.take_calls() if call.request == timeout_now(1, leader="n1")]
    assert asked == ["n3"], "the last to make the majority; both have everything"


# -- §4.2.3 Disruptive servers


def test_a_vote_request_within_an_election_timeout_of_hearing_a_leader_is_denied() -> None:
    """§4.2.3: it does not update its term or grant its vote."""
    follower = Solo(config=CHECKED)
    follower.receive(append(1))
    for _ in range(9):
        assert not granted(follower.receive(vote(7, candidate="n9")))
        follower.tick()
    assert follower.raft.term == 1
    follower.tick()
    assert granted(follower.receive(vote(7, candidate="n9")))


def test_a_leader_that_works_is_not_unseated_by_a_vote_request() -> None:
    """§4.2.3: if a leader is able to get heartbeats to its cluster, it will not be deposed by larger term numbers."""
    leader = Solo(config=CHECKED).lead_and_commit()
    for _ in range(20):
        leader.tick(3)
        leader.agree()
        assert not granted(leader.receive(vote(leader.raft.term + 5, last=(9, 5), candidate="n9")))
    assert (leader.raft.role, leader.raft.term) == (Role.LEADER, 1)


def test_a_candidate_that_the_leader_asked_to_campaign_is_voted_for_all_the_same() -> None:
    """§4.2.3: a special flag in RequestVote says that the leader told this server to disrupt it."""
    follower = Solo(config=CHECKED)
    follower.receive(append(1))
    assert granted(follower.receive(vote(2, candidate="n3", transfer=True)))
    leader = Solo(config=CHECKED).lead_and_commit()
    assert granted(leader.receive(vote(2, last=(1, 1), transfer=True)))
    assert leader.raft.role is Role.FOLLOWER


def test_who_has_the_entry_that_removes_it_hears_that_it_is_committed() -> None:
    """§4.2.3: a server that is not in C_new will no longer receive heartbeats. In ours it does until that is committed,
    and then once more: whoever knows that it is removed disturbs nobody.
    """
    leader = Solo().lead_and_commit()
    leader.change(remove=["n3"])
    removed = Solo(node_id="n3")
    removed.receive(append(1, entries=leader.disk.entries, leader="n1"))
    leader.agree("n3")
    for call in leader.calls:
        leader.succeed(call)
    (last_words,) = leader.take_calls_to("n3")
    removed.receive(last_words.request)
    removed.tick(200)
    assert not removed.calls
    leader.tick(3)
    assert {call.target for call in leader.take_calls()} == {"n2"}
