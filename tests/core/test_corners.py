"""What is too small for a play and too odd for the paper."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.events import Persisted
from raftsdk.core.progress import ProgressState
from raftsdk.core.raft import MAX_TERM_JUMP
from raftsdk.core.ready import Call
from raftsdk.messages import AppendEntriesResponse, RequestVoteResponse
from raftsdk.testing.solo import Solo, append, commands, granted, succeeded, vote

CHECKED = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, pre_vote=False)


def _to(node: Solo, peer: str) -> list[Call]:
    return [call for call in node.take_calls() if call.target == peer]


# -- calls that end badly


def test_an_answer_from_an_impossible_term_ends_its_call_and_changes_nothing_else() -> None:
    leader = Solo().lead()
    (call,) = _to(leader, "n2")
    leader.answer(call, AppendEntriesResponse(term=1 + MAX_TERM_JUMP + 1, success=False))
    assert (leader.raft.role, leader.raft.term) == (Role.LEADER, 1)
    assert [alarm.name for alarm in leader.alarms] == ["term_jump"]
    # The peer is sent entries again as soon as it answers sensibly.
    leader.tick(3)
    leader.succeed(_to(leader, "n2")[0])
    assert [repeated.request for repeated in _to(leader, "n2")] == [call.request]


def test_an_answer_of_another_kind_ends_its_call() -> None:
    leader = Solo().lead()
    (call,) = _to(leader, "n2")
    leader.answer(call, RequestVoteResponse(term=1, vote_granted=True))
    assert leader.raft.progress["n2"].outstanding == 0
    assert leader.raft.progress["n2"].match_index == 0


def test_a_failed_first_probe_is_repeated_where_it_was() -> None:
    leader = Solo(*[1] * 50).lead()
    (call,) = _to(leader, "n2")
    leader.fail(call)
    leader.tick(3)
    leader.succeed(_to(leader, "n2")[0])
    assert [again.request for again in _to(leader, "n2")] == [call.request]


def test_a_failed_call_while_replicating_goes_back_to_what_is_certain() -> None:
    leader = Solo().lead()
    leader.succeed(_to(leader, "n2")[0])
    leader.propose(b"a")
    leader.propose(b"b")
    first, second = _to(leader, "n2")
    leader.fail(second)
    progress = leader.raft.progress["n2"]
    assert (progress.state, progress.next_index, progress.waiting) == (ProgressState.PROBE, 2, True)
    leader.succeed(first)
    assert progress.match_index == 2


def test_a_refused_heartbeat_is_an_alarm_and_never_a_step_back() -> None:
    leader = Solo().lead()
    leader.succeed(_to(leader, "n2")[0])
    leader.tick(3)
    leader.refuse(_to(leader, "n2")[0])
    assert [alarm.name for alarm in leader.alarms] == ["peer_lost_log"]
    assert leader.raft.progress["n2"].match_index == 1


# -- promises and the disk


def test_a_promise_made_while_another_terms_write_is_under_way_waits_for_the_next() -> None:
    node = Solo()
    node.held = True
    assert node.receive(append(1)) is None
    assert node.receive(append(2, leader="n3")) is None
    node.persist()
    assert [answer.term for answer in node.answers.values()] == [1]
    node.persist()
    assert [answer.term for answer in node.answers.values()] == [1, 2]


def test_an_append_waits_for_the_write_that_holds_it_and_for_no_other() -> None:
    node = Solo(1)
    node.held = True
    node.receive(append(1, prev=(1, 1), entries=commands(1, first=2)))
    node.receive(append(1, prev=(2, 1), entries=commands(1, first=3)))
    assert succeeded(node.receive(append(1, prev=(1, 1)))), "entry 1 has been durable all along"
    node.persist()
    assert len(node.answers) == 2
    node.persist()
    assert len(node.answers) == 3


def test_a_heartbeat_in_a_term_that_is_not_yet_durable_waits_for_that_write() -> None:
    node = Solo(1)
    node.held = True
    node.receive(append(2, prev=(1, 1)))
    node.receive(append(2, prev=(1, 1)))
    assert not node.answers
    node.persist()
    assert len(node.answers) == 2
    assert node.writing is None


def test_a_refusal_is_a_promise_too_when_its_term_is_new() -> None:
    node = Solo(1)
    node.held = True
    assert node.receive(append(2, prev=(9, 1))) is None
    node.persist()
    assert not any(map(succeeded, node.answers.values()))
    assert len(node.answers) == 1


def test_two_truncations_between_writes_drop_from_the_lower_one() -> None:
    node = Solo(1, 1, 1, 1)
    node.held = True
    node.receive(append(2, prev=(4, 1)))
    node.receive(append(2, prev=(3, 1), entries=commands(2, first=4)))
    node.receive(append(3, prev=(1, 1), entries=commands(3, first=2), leader="n3"))
    node.persist()
    assert node.writing is not None
    assert node.writing.truncate_from == 2
    node.persist()
    assert node.disk.entries == [*commands(1), *commands(3, first=2)]


def test_a_write_that_was_not_started_cannot_be_durable() -> None:
    node = Solo()
    with pytest.raises(AssertionError, match="write 7 is durable, 0 was due"):
        node.raft.step(Persisted(7))


def test_work_of_many_facts_is_one_write() -> None:
    leader = Solo().lead()
    leader.held = True
    for letter in (b"a", b"b", b"c"):
        leader.propose(letter)
    assert leader.writing is not None
    assert len(leader.writing.entries) == 1
    leader.persist()
    assert leader.writing is not None
    assert [entry.data for entry in leader.writing.entries] == [b"b", b"c"]


def test_peers_at_the_same_place_are_sent_the_same_request() -> None:
    leader = Solo(nodes=5).lead()
    assert len({id(call.request) for call in leader.take_calls()}) == 1


# -- elections


def test_a_campaign_at_the_wrong_moment_counts_no_vote_twice() -> None:
    node = Solo(nodes=5)
    calls = node.campaign()
    for _ in range(3):
        node.succeed(calls[0])
    assert not node.raft.progress


def test_the_first_answer_of_a_voter_stands() -> None:
    node = Solo(nodes=3)
    calls = node.campaign()
    node.refuse(calls[0])
    node.succeed(calls[0])
    assert not node.raft.progress


def test_a_candidates_vote_of_its_last_candidacy_does_not_count_for_the_next() -> None:
    node = Solo(nodes=3)
    node.held = True
    node.campaign()
    calls = node.campaign()
    node.succeed(calls[0])
    node.persist()
    assert not node.raft.progress, "what is durable is the vote of term 1"
    node.persist()
    assert node.raft.progress, "and now that of term 2"


def test_a_learners_vote_is_given_when_asked_for() -> None:
    assert granted(Solo(learner=True).receive(vote(1)))


def test_a_learner_never_stands() -> None:
    node = Solo(learner=True)
    node.tick(200)
    assert (node.raft.role, node.raft.term) == (Role.FOLLOWER, 0)
    assert not node.calls


def test_a_follower_sticks_to_its_leader_for_one_election_timeout() -> None:
    node = Solo(config=CHECKED, seed=3)
    node.receive(append(1))
    node.tick(9)
    assert not granted(node.receive(vote(2, candidate="n3")))
    assert node.raft.term == 1
    node.tick(1)
    assert granted(node.receive(vote(2, candidate="n3")))


def test_without_check_quorum_nobody_sticks() -> None:
    node = Solo()
    node.receive(append(1))
    assert granted(node.receive(vote(2, candidate="n3")))


def test_a_refusal_shows_that_a_peer_lives() -> None:
    leader = Solo(config=CHECKED).lead()
    for _ in range(10):
        leader.tick(3)
        for call in leader.take_calls():
            leader.refuse(call)
    assert leader.raft.role is Role.LEADER


def test_a_new_leader_is_given_credit_once() -> None:
    leader = Solo(config=CHECKED).lead()
    leader.tick(19)
    assert leader.raft.progress, "the first check finds everybody active, whoever has answered"
    leader.tick(1)
    assert (leader.raft.role, leader.raft.leader_id) == (Role.FOLLOWER, None)


# -- the backlog


def test_what_earlier_terms_left_uncommitted_counts_too() -> None:
    config = RaftConfig(
        election_timeout_ticks=10,
        heartbeat_interval_ticks=3,
        pre_vote=False,
        max_uncommitted_bytes=10,
        max_command_bytes=10,
    )
    leader = Solo(1, 1, 1, config=config).lead()
    assert leader.raft.uncommitted_bytes == 9
    leader.propose(b"xx")
    assert [refused.overloaded for refused in leader.refused] == [True]
    leader.succeed(leader.take_calls()[0])
    assert leader.raft.uncommitted_bytes == 0
    leader.propose(b"xx")
    assert leader.accepted == [5]
    assert leader.raft.uncommitted_bytes == 2


def test_the_backlog_is_what_is_in_the_log_and_not_committed() -> None:
    leader = Solo(1, 1).lead()
    leader.propose(b"12345")
    leader.propose(b"678")
    assert leader.raft.uncommitted_bytes == 6 + 8
    for _ in range(3):
        for call in leader.take_calls():
            leader.succeed(call)
    assert leader.raft.uncommitted_bytes == 0
