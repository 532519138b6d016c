"""The Raft paper (Ongaro and Ousterhout, extended version), sentence by sentence: what Figure 2 asks of a node.

§5.1 to §5.6 are in `test_paper_section_5.py`. One test a sentence that says what a node does.
"""

import pytest

from raftsdk.core.election import Role
from raftsdk.messages import AppendEntriesRequest, AppendEntriesResponse, RequestVoteRequest, RequestVoteResponse
from raftsdk.testing.solo import Solo, append, commands, granted, succeeded, vote
from raftsdk.types import EntryKind

# -- State


def test_the_current_term_starts_at_0_and_grows() -> None:
    """Figure 2, persistent state: currentTerm begins at 0 on first boot and only ever increases."""
    node = Solo()
    assert node.raft.term == 0
    node.receive(append(3))
    node.receive(append(2))
    assert node.raft.term == 3


def test_the_current_term_survives_a_restart() -> None:
    """Figure 2, persistent state: currentTerm is stored before an answer is given."""
    node = Solo()
    assert node.receive(vote(4, last=(0, 0))) is not None
    node.restart()
    assert node.raft.term == 4


def test_the_vote_survives_a_restart() -> None:
    """Figure 2, persistent state: votedFor is the candidate that got this term's vote, or none."""
    node = Solo()
    assert node.raft.voted_for is None
    assert granted(node.receive(vote(1, candidate="n2")))
    node.restart()
    assert node.raft.voted_for == "n2"


def test_the_log_survives_a_restart() -> None:
    """Figure 2, persistent state: log[] holds commands, each with its leader's term, from index 1."""
    node = Solo()
    entries = commands(1, 1, 2)
    assert succeeded(node.receive(append(2, entries=entries)))
    node.restart()
    assert node.raft.log.between(1, 3) == entries
    assert node.raft.log.first_index == 1


@pytest.mark.parametrize(
    "request_of_term_2", [append(2, entries=commands(2)), append(2), vote(2)], ids=["entries", "heartbeat", "vote"]
)
def test_nothing_is_answered_before_it_is_stored(request_of_term_2: AppendEntriesRequest | RequestVoteRequest) -> None:
    """Figure 2: persistent state is updated on stable storage before responding to RPCs."""
    node = Solo()
    node.held = True
    assert node.receive(request_of_term_2) is None
    assert not node.answers
    node.persist()
    assert len(node.answers) == 1


def test_the_commit_index_starts_at_0_and_grows() -> None:
    """Figure 2, volatile state: commitIndex begins at 0 and only ever increases."""
    node = Solo(1, 1)
    assert node.raft.log.commit_index == 0
    node.receive(append(1, prev=(2, 1), commit=2))
    node.receive(append(1, prev=(2, 1), commit=1))
    assert node.raft.log.commit_index == 2


def test_what_is_applied_starts_at_0_and_grows() -> None:
    """Figure 2, volatile state: lastApplied begins at 0, so a restarted node applies from the first entry again."""
    node = Solo(1, 1, commit=2)
    assert node.applied == commands(1, 1)
    node.receive(append(1, prev=(2, 1), commit=2))
    assert node.applied == commands(1, 1)


def test_a_new_leaders_next_index_is_its_last_plus_1() -> None:
    """Figure 2, volatile state on leaders: nextIndex begins at the leader's last log index + 1."""
    node = Solo(1, 1, 1).lead()
    # The noop is entry 4, the first one appended after the election.
    assert [(target, request.prev_log_index) for target, request in node.appends()] == [("n2", 3), ("n3", 3)]


def test_a_new_leaders_match_index_is_0_and_grows() -> None:
    """Figure 2, volatile state on leaders: matchIndex begins at 0 and increases."""
    node = Solo(1, 1, 1).lead()
    assert [progress.match_index for progress in node.raft.progress.values()] == [0, 0]
    node.succeed(node.take_calls()[0])
    assert node.raft.progress["n2"].match_index == 4


# -- AppendEntries RPC, receiver


def test_1_an_append_of_an_earlier_term_is_refused() -> None:
    """Figure 2, AppendEntries 1: false if term < currentTerm. The answer carries the term for the leader to update."""
    node = Solo(1, term=3)
    answer = node.receive(append(2, prev=(1, 1), entries=commands(2, first=2)))
    assert answer == AppendEntriesResponse(term=3, success=False)
    assert node.raft.log.last_index == 1


@pytest.mark.parametrize("prev", [(3, 1), (2, 2)], ids=["no entry there", "another term there"])
def test_2_an_append_after_an_unknown_entry_is_refused(prev: tuple[int, int]) -> None:
    """Figure 2, AppendEntries 2: false if there is no entry at prevLogIndex whose term is prevLogTerm."""
    node = Solo(1, 1)
    assert not succeeded(node.receive(append(2, prev=prev, entries=commands(2, first=prev[0] + 1))))
    assert node.raft.log.last_index == 2


def test_3_a_conflicting_entry_and_all_after_it_are_deleted() -> None:
    """Figure 2, AppendEntries 3: same index, other term: that entry and everything behind it goes."""
    node = Solo(1, 1, 1, 1)
    assert succeeded(node.receive(append(2, prev=(1, 1), entries=commands(2, first=2))))
    assert node.disk.entries == [*commands(1), *commands(2, first=2)]


def test_4_entries_not_yet_in_the_log_are_appended() -> None:
    """Figure 2, AppendEntries 4: those already there are left alone, with whatever follows them."""
    node = Solo(1, 1, 1)
    assert succeeded(node.receive(append(1, prev=(1, 1), entries=commands(1, first=2))))
    assert node.disk.entries == commands(1, 1, 1)
    assert succeeded(node.receive(append(1, prev=(1, 1), entries=commands(1, 1, 1, first=2))))
    assert node.disk.entries == commands(1, 1, 1, 1)


@pytest.mark.parametrize(("leader_commit", "commit_index"), [(2, 2), (9, 3)], ids=["told less", "told more"])
def test_5_the_commit_index_follows_the_leaders(leader_commit: int, commit_index: int) -> None:
    """Figure 2, AppendEntries 5: commitIndex becomes min(leaderCommit, index of the last new entry)."""
    node = Solo(1, 1, 1, 1)
    node.receive(append(1, prev=(2, 1), entries=commands(1, first=3), commit=leader_commit))
    assert node.raft.log.commit_index == commit_index


def test_an_append_without_entries_is_a_heartbeat() -> None:
    """Figure 2, AppendEntries arguments: entries[] is empty for a heartbeat; it is answered like any other."""
    node = Solo(1)
    assert succeeded(node.receive(append(1, prev=(1, 1))))
    assert not succeeded(node.receive(append(1, prev=(2, 1))))


def test_a_follower_knows_its_leader() -> None:
    """Figure 2, AppendEntries arguments: leaderId lets a follower redirect clients."""
    node = Solo()
    node.receive(append(1, leader="n3"))
    assert node.raft.leader_id == "n3"


# -- RequestVote RPC, receiver


def test_1_a_candidate_of_an_earlier_term_gets_no_vote() -> None:
    """Figure 2, RequestVote 1: false if term < currentTerm. The answer carries the term for the candidate to update."""
    node = Solo(term=3)
    assert node.receive(vote(2)) == RequestVoteResponse(term=3, vote_granted=False)


def test_2_a_free_vote_is_given() -> None:
    """Figure 2, RequestVote 2: granted when votedFor is null and the candidate's log is up to date."""
    assert granted(Solo(1).receive(vote(2, last=(1, 1))))


def test_2_the_same_candidate_gets_its_vote_again() -> None:
    """Figure 2, RequestVote 2: granted when votedFor is the candidate."""
    node = Solo()
    assert granted(node.receive(vote(1, candidate="n2")))
    assert granted(node.receive(vote(1, candidate="n2")))


def test_2_another_candidate_gets_no_vote() -> None:
    """Figure 2, RequestVote 2: refused when votedFor is somebody else."""
    node = Solo()
    node.receive(vote(1, candidate="n2"))
    assert not granted(node.receive(vote(1, candidate="n3")))


def test_2_a_candidate_whose_log_is_behind_gets_no_vote() -> None:
    """Figure 2, RequestVote 2: refused when the candidate's log is not at least as up to date as the receiver's."""
    node = Solo(1, 1)
    assert not granted(node.receive(vote(2, last=(1, 1))))


# -- Rules for servers: all


def test_what_is_committed_is_applied_in_order() -> None:
    """Figure 2, all servers: while commitIndex > lastApplied, the next entry is applied."""
    node = Solo(1, 1, 1)
    node.receive(append(1, prev=(3, 1), commit=1))
    node.receive(append(1, prev=(3, 1), commit=3))
    assert node.applied == commands(1, 1, 1)


@pytest.mark.parametrize("request_of_term_5", [append(5), vote(5)], ids=["AppendEntries", "RequestVote"])
@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.CANDIDATE, Role.LEADER])
def test_a_request_of_a_higher_term_makes_a_follower(
    request_of_term_5: AppendEntriesRequest | RequestVoteRequest, role: Role
) -> None:
    """Figure 2, all servers: a request with term T > currentTerm sets currentTerm = T and converts to follower."""
    node = _in_role(role)
    node.receive(request_of_term_5)
    assert (node.raft.role, node.raft.term) == (Role.FOLLOWER, 5)


@pytest.mark.parametrize("role", [Role.CANDIDATE, Role.LEADER])
def test_an_answer_of_a_higher_term_makes_a_follower(role: Role) -> None:
    """Figure 2, all servers: so does a response with term T > currentTerm."""
    node = _in_role(role)
    call = node.take_calls()[0]
    answer = (
        RequestVoteResponse(term=5, vote_granted=False)
        if role is Role.CANDIDATE
        else AppendEntriesResponse(term=5, success=False)
    )
    node.answer(call, answer)
    assert (node.raft.role, node.raft.term) == (Role.FOLLOWER, 5)
    assert node.disk.hard_state.term == 5


def _in_role(role: Role) -> Solo:
    node = Solo()
    if role is Role.LEADER:
        return node.lead()
    if role is Role.CANDIDATE:
        node.calls = node.campaign()
    return node


# -- Rules for servers: followers


def test_followers_answer_and_ask_nothing() -> None:
    """Figure 2, followers: respond to RPCs from candidates and leaders."""
    node = Solo()
    assert node.receive(vote(1)) is not None
    assert node.receive(append(1)) is not None
    assert not node.calls


def test_a_follower_that_hears_nothing_becomes_a_candidate() -> None:
    """Figure 2, followers: without an AppendEntries or a vote given for an election timeout, convert to candidate."""
    node = Solo()
    node.tick(20)
    assert node.raft.role is Role.CANDIDATE


def test_a_follower_that_hears_its_leader_stays_one() -> None:
    """Figure 2, followers: AppendEntries from the current leader restart the timeout."""
    node = Solo()
    for _ in range(20):
        node.tick(9)
        node.receive(append(1))
    assert node.raft.role is Role.FOLLOWER


def test_a_stale_leader_does_not_keep_a_follower() -> None:
    """Figure 2, followers: only the *current* leader's AppendEntries restart the timeout."""
    node = Solo(term=3)
    for _ in range(20):
        node.tick(1)
        node.receive(append(2))
    assert node.raft.role is Role.CANDIDATE


def test_giving_a_vote_restarts_the_timeout() -> None:
    """Figure 2, followers: granting a vote to a candidate restarts the timeout."""
    node = Solo()
    for term in range(1, 20):
        node.tick(9)
        assert granted(node.receive(vote(term)))
    assert node.raft.role is Role.FOLLOWER


def test_refusing_a_vote_does_not_restart_the_timeout() -> None:
    """Figure 2, followers: a candidate that cannot win must not keep one that could from standing."""
    node = Solo(1, 1)
    for term in range(2, 22):
        node.tick(1)
        assert not granted(node.receive(vote(term, last=(1, 1))))
    assert node.calls, "twenty ticks without a leader, and it has never stood"


# -- Rules for servers: candidates


def test_a_candidate_enters_the_next_term() -> None:
    """Figure 2, candidates: on starting an election, currentTerm is incremented."""
    node = Solo(term=4)
    node.campaign()
    assert node.raft.term == 5


def test_a_candidate_votes_for_itself() -> None:
    """Figure 2, candidates: on starting an election, vote for self."""
    node = Solo()
    node.campaign()
    assert node.disk.hard_state.voted_for == "n1"
    assert not granted(node.receive(vote(1, candidate="n2")))


def test_a_candidate_restarts_its_timer() -> None:
    """Figure 2, candidates: on starting an election, the election timer is reset."""
    node = Solo()
    node.campaign()
    node.tick(9)
    assert node.raft.term == 1


def test_a_candidate_asks_all_others() -> None:
    """Figure 2, candidates: RequestVote goes to all other servers, with the id and term of its last entry."""
    node = Solo(1, 2, nodes=5)
    calls = node.campaign()
    assert [call.target for call in calls] == ["n2", "n3", "n4", "n5"]
    assert {call.request for call in calls} == {vote(3, last=(2, 2), candidate="n1")}


def test_a_candidate_with_a_majority_leads() -> None:
    """Figure 2, candidates: votes from a majority of servers make a leader."""
    node = Solo(nodes=5)
    calls = node.campaign()
    roles = []
    for call in calls[:2]:
        node.succeed(call)
        roles.append(node.raft.role)
    assert roles == [Role.CANDIDATE, Role.LEADER]


def test_a_candidate_that_hears_the_new_leader_follows() -> None:
    """Figure 2, candidates: AppendEntries from the new leader makes a follower."""
    node = Solo()
    node.campaign()
    assert succeeded(node.receive(append(1)))
    assert (node.raft.role, node.raft.leader_id) == (Role.FOLLOWER, "n2")


def test_a_candidate_whose_time_is_up_starts_again() -> None:
    """Figure 2, candidates: when the election timeout elapses, start a new election."""
    node = Solo()
    node.campaign()
    assert [call.request.term for call in node.campaign()] == [2, 2]


# -- Rules for servers: leaders


def test_a_new_leader_is_heard_at_once() -> None:
    """Figure 2, leaders: on election each server is sent an AppendEntries. Ours carries the noop of §8, not nothing."""
    node = Solo().lead()
    assert [target for target, _ in node.appends()] == ["n2", "n3"]


def test_an_idle_leader_is_heard_again_and_again() -> None:
    """Figure 2, leaders: heartbeats are repeated in idle periods, often enough to prevent election timeouts."""
    node = Solo().lead()
    for call in node.take_calls():
        node.succeed(call)
    node.tick(9)
    assert [(target, request.entries) for target, request in node.appends()] == [("n2", []), ("n3", [])] * 3


def test_a_command_from_a_client_is_appended() -> None:
    """Figure 2, leaders: a command received from a client is appended to the local log."""
    node = Solo().lead()
    node.propose(b"a")
    assert [entry.data for entry in node.disk.entries] == [b"", b"a"]
    assert node.accepted == [2]


def test_a_client_is_answered_only_for_what_is_committed() -> None:
    """Figure 2, leaders: respond after the entry has been applied to the state machine, hence not before it commits."""
    node = Solo().lead()
    node.propose(b"a")
    assert not node.applied
    for call in node.take_calls():
        node.succeed(call)
    for call in node.take_calls():
        node.succeed(call)
    assert [entry.data for entry in node.applied] == [b"", b"a"]


def test_a_follower_is_sent_what_it_lacks() -> None:
    """Figure 2, leaders: if last log index ≥ nextIndex, send AppendEntries starting at nextIndex."""
    node = Solo(1, 1).lead()
    for call in node.take_calls():
        node.succeed(call)
    node.propose(b"a", b"b")
    assert [(target, request.prev_log_index, len(request.entries)) for target, request in node.appends()] == [
        ("n2", 3, 2),
        ("n3", 3, 2),
    ]


def test_success_moves_next_and_match_index() -> None:
    """Figure 2, leaders: if it succeeded, nextIndex and matchIndex of that follower are updated."""
    node = Solo(1, 1).lead()
    node.succeed(node.take_calls()[0])
    progress = node.raft.progress["n2"]
    assert (progress.match_index, progress.next_index) == (3, 4)


def test_failure_by_inconsistency_moves_next_index_back() -> None:
    """Figure 2, leaders: if it failed for log inconsistency, nextIndex is decremented and the call repeated."""
    node = Solo(1, 1).lead()
    node.refuse(node.take_calls()[0], conflict=(1, 1))
    assert [(target, request.prev_log_index, len(request.entries)) for target, request in node.appends()] == [
        ("n2", 1, 2)
    ]


def test_an_entry_on_a_majority_is_committed() -> None:
    """Figure 2, leaders: N > commitIndex, matchIndex ≥ N at a majority, log[N] of this term: commitIndex = N."""
    node = Solo(1, 1, nodes=5).lead()
    calls = node.take_calls()
    node.succeed(calls[0])
    assert node.raft.log.commit_index == 0
    node.succeed(calls[1])
    assert node.raft.log.commit_index == 3


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """Figure 2, leaders: a majority with matchIndex ≥ N is not enough when log[N] is of an earlier term."""
    node = Solo(1, 1).lead()
    call = next(call for call in node.take_calls() if call.target == "n2")
    node.refuse(call, conflict=(0, 0))
    repeated = node.take_calls()[0]
    assert isinstance(repeated.request, AppendEntriesRequest)
    partial = append(2, entries=repeated.request.entries[:2], leader="n1")
    node.answer(type(call)("n2", partial, repeated.epoch), AppendEntriesResponse(term=2, success=True))
    assert node.raft.progress["n2"].match_index == 2
    assert node.raft.log.commit_index == 0


def test_a_leader_begins_with_a_noop() -> None:
    """§8: a leader commits a blank entry at the start of its term, and so learns which entries are committed."""
    node = Solo(1).lead()
    assert node.disk.entries[-1].kind == EntryKind.NOOP
    assert (node.disk.entries[-1].term, node.disk.entries[-1].data) == (2, b"")
