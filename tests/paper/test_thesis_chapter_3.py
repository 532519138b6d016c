"""Ongaro's thesis, chapter 3, where it goes beyond the paper: §3.8 persisted state, §3.10 leadership transfer."""

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.ready import Call
from raftsdk.messages import AppendEntriesRequest, RequestVoteRequest, TimeoutNowResponse
from raftsdk.testing.solo import Solo, append, commands, granted, timeout_now, vote

CHECKED = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3)


def _asked(calls: list[Call]) -> list[str]:
    return [call.target for call in calls if call.request == timeout_now(1, leader="n1")]


# -- §3.8 Persisted state and server restarts


def test_a_restarted_node_applies_at_once_what_it_knows_to_be_committed() -> None:
    """§3.8: the commit index may be lost, and is found again; what was written of it spares a node the wait."""
    node = Solo(1, 1, 1)
    node.receive(append(2, prev=(3, 1), commit=2))
    node.restart()
    assert node.applied == commands(1, 1)
    node.receive(append(2, prev=(3, 1), commit=3))
    assert node.applied == commands(1, 1, 1)


def test_a_candidate_leads_only_when_its_own_vote_is_stored() -> None:
    """§3.8: the current term and vote are stored before they have an effect: others alone may be a majority, but a
    leader that forgot its term could lead it twice.
    """
    node = Solo()
    node.held = True
    for call in node.campaign():
        node.succeed(call)
    roles = [node.raft.role]
    node.persist()
    roles.append(node.raft.role)
    assert roles == [Role.CANDIDATE, Role.LEADER]


# -- §3.10 Leadership transfer extension


def test_1_the_prior_leader_takes_no_more_requests() -> None:
    """§3.10, step 1: the prior leader stops accepting new client requests."""
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    leader.propose(b"a")
    leader.change("n4")
    assert not leader.accepted
    assert leader.refused[0].overloaded, "it is worth asking again"
    assert "being handed over" in leader.refused[1].why


def test_2_the_prior_leader_brings_the_target_up_to_date_first() -> None:
    """§3.10, step 2: it fully updates the target's log to match its own, using normal replication."""
    leader = Solo().lead_and_commit()
    leader.propose(b"a")
    leader.hand_over("n2")
    (append_a,) = leader.take_calls_to("n2")
    assert isinstance(append_a.request, AppendEntriesRequest)
    leader.succeed(append_a)
    assert _asked(leader.take_calls()) == ["n2"]


def test_2_who_has_everything_is_asked_at_once() -> None:
    """§3.10, step 2, where there is nothing left to send."""
    leader = Solo().lead_and_commit()
    leader.hand_over("n3")
    assert _asked(leader.take_calls()) == ["n3"]


def test_3_the_target_campaigns_at_once() -> None:
    """§3.10, step 3: TimeoutNow has the same effect as the target's election timer firing: no pre-vote, a new term."""
    target = Solo(config=CHECKED)
    target.receive(append(1))
    assert target.receive(timeout_now(1)) == TimeoutNowResponse(term=2)
    assert (target.raft.role, target.raft.term) == (Role.CANDIDATE, 2)
    assert {call.request for call in target.take_calls()} == {vote(2, candidate="n1", transfer=True)}


def test_3_the_target_wins_although_everybody_has_just_heard_the_leader() -> None:
    """§3.10, step 3: it is highly likely to become leader in the next term, before anybody else starts an election."""
    target = Solo(config=CHECKED)
    target.receive(append(1))
    target.receive(timeout_now(1))
    for call in target.take_calls():
        voter = Solo(node_id=call.target, config=CHECKED)
        if call.target == "n3":
            voter.receive(append(1))
        assert isinstance(call.request, RequestVoteRequest)
        assert granted(voter.receive(call.request))
        target.succeed(call)
    assert target.raft.leads


def test_the_prior_leader_steps_down_when_it_hears_of_the_new_term() -> None:
    """§3.10: the target's next message causes the prior leader to step down; at this point the transfer is complete."""
    leader = Solo(config=CHECKED).lead_and_commit()
    leader.hand_over("n2")
    leader.receive(vote(2, last=(1, 1), transfer=True))
    assert leader.raft.role is Role.FOLLOWER
    assert [end.why for end in leader.transfers] == [""]


def test_the_answer_of_the_target_completes_it_too() -> None:
    """§3.10: its answer to TimeoutNow tells of the new term as well."""
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    leader.agree("n2")
    assert (leader.raft.role, leader.raft.term) == (Role.FOLLOWER, 2)
    assert [end.why for end in leader.transfers] == [""]


def test_a_transfer_that_takes_an_election_timeout_is_given_up() -> None:
    """§3.10: the prior leader aborts the transfer and resumes accepting client requests."""
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    leader.tick(9)
    assert not leader.transfers
    leader.tick()
    assert [end.why for end in leader.transfers] == ["n2 did not take over within an election timeout"]
    leader.propose(b"a")
    assert leader.accepted == [2]
    assert leader.raft.leads


def test_a_target_that_campaigns_after_all_costs_an_election_and_no_more() -> None:
    """§3.10: if the prior leader was mistaken, at worst an extra election follows, and one of them leads."""
    leader = Solo().lead_and_commit()
    leader.hand_over("n2")
    leader.tick(10)
    leader.propose(b"a")
    assert not granted(leader.receive(vote(2, last=(1, 1), transfer=True))), "it lacks what was taken since"
    assert (leader.raft.role, leader.raft.term) == (Role.FOLLOWER, 2)
    assert len(leader.lead().raft.log.between(1, 9)) == 3
