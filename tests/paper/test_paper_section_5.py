"""The Raft paper, §5.1 to §5.6: one test a sentence that says what a node does, beyond what Figure 2 already said."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.ready import Call
from raftsdk.errors import ConfigError
from raftsdk.messages import AppendEntriesRequest, AppendEntriesResponse
from raftsdk.testing.solo import Solo, append, commands, granted, succeeded, vote


def _settled_leader(*terms: int, nodes: int = 3) -> Solo:
    """A leader whose noop everybody has acknowledged."""
    node = Solo(*terms, nodes=nodes).lead()
    for call in node.take_calls():
        node.succeed(call)
    return node


def _request(call: Call) -> AppendEntriesRequest:
    assert isinstance(call.request, AppendEntriesRequest)
    return call.request


# -- §5.1 Raft basics


def test_every_message_carries_the_senders_term() -> None:
    """§5.1: current terms are exchanged whenever nodes communicate."""
    node = Solo(term=6)
    assert {call.request.term for call in node.campaign()} == {7}
    assert (answer := node.receive(append(8))) is not None
    assert answer.term == 8


def test_who_is_behind_takes_the_larger_term() -> None:
    """§5.1: if one node's current term is smaller than the other's, it updates to the larger one."""
    node = Solo(term=2)
    node.receive(vote(5))
    assert node.disk.hard_state.term == 5


def test_a_request_of_a_stale_term_is_rejected() -> None:
    """§5.1: a request with a stale term number is rejected, and changes nothing."""
    node = Solo(1, term=5, vote="n3")
    before = node.disk.hard_state
    assert not granted(node.receive(vote(4, last=(9, 4))))
    assert not succeeded(node.receive(append(4, prev=(1, 1))))
    assert node.disk.hard_state == before


def test_calls_to_different_peers_run_side_by_side() -> None:
    """§5.1: calls are issued in parallel; one peer's silence holds up nobody else."""
    node = _settled_leader()
    node.propose(b"a")
    to_n2, to_n3 = node.take_calls()
    node.succeed(to_n3)
    node.propose(b"b")
    assert [(target, request.prev_log_index) for target, request in node.appends()] == [("n2", 2), ("n3", 2)]
    assert to_n2.target == "n2"


def test_a_call_that_got_no_answer_is_repeated() -> None:
    """§5.1: calls are retried. Ours are once the peer has given a sign of life: it answers a heartbeat."""
    node = _settled_leader()
    node.propose(b"a")
    lost = node.take_calls()[0]
    node.fail(lost)
    node.tick(3)
    heartbeat = next(call for call in node.take_calls() if call.target == "n2")
    node.succeed(heartbeat)
    assert [call.request for call in node.take_calls()] == [lost.request]


# -- §5.2 Leader election


def test_nodes_start_as_followers() -> None:
    """§5.2: when servers start up, they begin as followers, even one that led before."""
    node = Solo().lead()
    node.restart()
    assert (node.raft.role, node.raft.leader_id) == (Role.FOLLOWER, None)


def test_at_most_one_vote_a_term_first_come_first_served() -> None:
    """§5.2: each server votes for at most one candidate in a given term, whoever asks first."""
    node = Solo(nodes=5)
    votes = [granted(node.receive(vote(1, candidate=candidate))) for candidate in ("n4", "n2", "n5", "n4")]
    assert votes == [True, False, False, True]
    assert granted(node.receive(vote(2, candidate="n2")))


def test_a_candidate_follows_a_leader_of_its_own_term() -> None:
    """§5.2: AppendEntries with a term at least as large as the candidate's: the sender is legitimate."""
    node = Solo()
    node.campaign()
    node.receive(append(1))
    assert node.raft.role is Role.FOLLOWER


def test_a_candidate_rejects_a_leader_of_an_earlier_term() -> None:
    """§5.2: with a smaller term the call is rejected, and the candidate remains one."""
    node = Solo(term=3)
    node.campaign()
    assert not succeeded(node.receive(append(3)))
    assert node.raft.role is Role.CANDIDATE


def test_votes_that_are_split_lead_to_a_new_term() -> None:
    """§5.2: with no majority for anybody, candidates time out and start again in a new term."""
    node = Solo(nodes=4)
    calls = node.campaign()
    node.succeed(calls[0])
    node.refuse(calls[1])
    node.refuse(calls[2])
    assert not node.raft.progress
    assert [call.request.term for call in node.campaign()] == [2, 2, 2]


def test_election_timeouts_are_chosen_at_random_from_a_fixed_interval() -> None:
    """§5.2: from an interval such as 150 to 300 ms; ours is one to two election timeouts."""
    waited = {_ticks_until_it_stands(Solo(seed=seed)) for seed in range(200)}
    assert waited == set(range(10, 20))


def test_the_timeout_is_chosen_anew_for_each_election() -> None:
    """§5.2: each candidate restarts its randomized timeout at the start of an election."""
    node = Solo(seed=1)
    assert len({_ticks_until_it_stands(node) for _ in range(50)}) > 5


def _ticks_until_it_stands(node: Solo) -> int:
    term, ticks = node.raft.term, 0
    while node.raft.term == term and ticks < 50:
        node.tick()
        ticks += 1
    return ticks


# -- §5.3 Log replication


def test_a_command_is_sent_to_everybody_at_once() -> None:
    """§5.3: the leader appends the command and issues AppendEntries in parallel to each of the other servers."""
    node = _settled_leader(nodes=5)
    node.propose(b"a")
    assert [target for target, _ in node.appends()] == ["n2", "n3", "n4", "n5"]


def test_entries_are_sent_for_as_long_as_a_follower_lacks_them() -> None:
    """§5.3: the leader retries indefinitely, even after the entry is committed."""
    node = _settled_leader()
    node.propose(b"a")
    to_n2, to_n3 = node.take_calls()
    node.succeed(to_n3)
    assert [entry.data for entry in node.applied] == [b"", b"a"]
    for _ in range(20):
        node.fail(to_n2)
        node.tick(3)
        heartbeat = next(call for call in node.take_calls() if call.target == "n2")
        node.succeed(heartbeat)
        (to_n2,) = [call for call in node.take_calls() if call.target == "n2"]
        assert [entry.data for entry in _request(to_n2).entries] == [b"a"]


def test_committing_an_entry_commits_all_before_it() -> None:
    """§5.3: it also commits all preceding entries in the leader's log, including those of previous leaders."""
    node = _settled_leader(1, 2, 2)
    assert [entry.term for entry in node.applied] == [1, 2, 2, 3]


def test_the_commit_index_goes_with_later_calls_and_heartbeats() -> None:
    """§5.3: the highest index known to be committed is in later AppendEntries, heartbeats too."""
    node = _settled_leader()
    node.propose(b"a")
    assert {request.leader_commit for _, request in node.appends()} == {1}
    node.tick(3)
    assert {request.leader_commit for _, request in node.appends()} == {1}


def test_a_follower_applies_what_it_learns_is_committed() -> None:
    """§5.3: once a follower learns that an entry is committed, it applies it, in log order."""
    node = Solo()
    node.receive(append(1, entries=commands(1, 1)))
    assert not node.applied
    node.receive(append(1, prev=(2, 1), commit=2))
    assert node.applied == commands(1, 1)


def test_a_leader_creates_one_entry_an_index_and_never_moves_it() -> None:
    """§5.3, Log Matching: at most one entry with a given index in a given term."""
    node = _settled_leader()
    node.propose(b"a", b"b")
    node.propose(b"c")
    assert node.accepted == [2, 4]
    assert [entry.data for entry in node.disk.entries] == [b"", b"a", b"b", b"c"]


def test_a_call_says_which_entry_comes_just_before() -> None:
    """§5.3: index and term of the preceding entry are in the call, and the follower refuses without it."""
    node = _settled_leader(1)
    node.propose(b"a")
    (_, request), _ = node.appends()
    assert (request.prev_log_index, request.prev_log_term) == (2, 2)
    assert not succeeded(Solo(1).receive(append(2, prev=(2, 2), entries=request.entries)))


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param((1, 1, 1, 4, 4, 5, 5, 6, 6), id="(a) lacks an entry"),
        pytest.param((1, 1, 1, 4), id="(b) lacks many"),
        pytest.param((1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6), id="(c) has one too many"),
        pytest.param((1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7), id="(d) has two of another term"),
        pytest.param((1, 1, 1, 4, 4, 4, 4), id="(e) lacks some and has others"),
        pytest.param((1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3), id="(f) parted long ago"),
    ],
)
def test_a_leader_makes_every_log_of_figure_7_its_own(terms: tuple[int, ...]) -> None:
    """§5.3, Figure 7: the leader finds the latest entry on which both agree, and the follower's rest gives way."""
    leader = Solo(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, term=7).lead()
    follower = Solo(*terms, node_id="n2")
    exchanges = _calls_until_they_agree(leader, follower)
    assert follower.disk.entries == leader.disk.entries
    assert exchanges <= 3, "the hint skips terms, not entries"


def _calls_until_they_agree(leader: Solo, follower: Solo) -> int:
    call = leader.take_calls()[0]
    for exchanges in range(1, 20):
        answer = follower.receive(_request(call))
        assert answer is not None
        leader.answer(call, answer)
        if succeeded(answer):
            return exchanges
        (call,) = leader.take_calls()
    raise AssertionError("they never agree")


def test_a_refusal_tells_the_last_entry_that_may_agree() -> None:
    """§5.3: with the conflicting term and where it begins, a leader passes over all of that term in one call."""
    follower = Solo(1, 1, 2, 2, 2, 3, 3)
    answer = follower.receive(append(9, prev=(7, 4)))
    assert answer == AppendEntriesResponse(term=9, success=False, conflict_index=7, conflict_term=3)
    answer = follower.receive(append(9, prev=(6, 1)))
    assert answer == AppendEntriesResponse(term=9, success=False, conflict_index=2, conflict_term=1)


def test_a_leader_never_overwrites_its_own_log() -> None:
    """§5.3, Leader Append-Only: nothing that arrives while a node leads removes an entry."""
    node = _settled_leader(1)
    node.propose(b"a")
    before = list(node.disk.entries)
    node.receive(append(2, entries=commands(2, 2), leader="n3"))
    node.receive(append(1, entries=commands(1, 1), leader="n3"))
    for call in node.take_calls():
        node.refuse(call)
    assert node.disk.entries == before


def test_one_slow_follower_does_not_hold_up_a_commit() -> None:
    """§5.3: a single round of calls to a majority is enough."""
    node = _settled_leader(nodes=5)
    node.propose(b"a")
    for call in node.take_calls()[:2]:
        node.succeed(call)
    assert node.applied[-1].data == b"a"


# -- §5.4 Safety


@pytest.mark.parametrize(
    ("last", "up_to_date"),
    [
        pytest.param((1, 3), True, id="later term, shorter"),
        pytest.param((2, 2), False, id="same term, shorter"),
        pytest.param((3, 2), True, id="same term, same length"),
        pytest.param((4, 2), True, id="same term, longer"),
        pytest.param((9, 1), False, id="earlier term, longer"),
    ],
)
def test_the_log_that_ends_in_the_later_term_is_more_up_to_date(last: tuple[int, int], *, up_to_date: bool) -> None:
    """§5.4.1: by the term of the last entries; if these are the same, by length."""
    assert granted(Solo(1, 1, 2).receive(vote(5, last=last))) is up_to_date


def test_entries_of_earlier_terms_keep_their_term() -> None:
    """§5.4.2: log entries retain their original term numbers when a later leader replicates them."""
    node = Solo(1, 2).lead()
    call = node.take_calls()[0]
    node.refuse(call)
    (repeated,) = node.take_calls()
    assert [entry.term for entry in _request(repeated).entries] == [1, 2, 3]


def test_only_entries_of_the_leaders_own_term_are_committed_by_counting() -> None:
    """§5.4.2: once one of them is, all before it are committed too."""
    node = Solo(1, 2, nodes=5).lead()
    for call in node.take_calls()[:2]:
        node.refuse(call)
    # Two peers now hold entries 1 and 2, with the leader a majority: not committed.
    for call in node.take_calls():
        request = _request(call)
        shorter = append(3, entries=request.entries[:2], leader="n1")
        node.answer(Call(call.target, shorter, call.epoch), AppendEntriesResponse(term=3, success=True))
    assert not node.applied
    for call in node.take_calls():
        node.succeed(call)
    assert [entry.term for entry in node.applied] == [1, 2, 3]


# -- §5.5 Follower and candidate crashes


def test_a_repeated_append_does_no_harm() -> None:
    """§5.5: an AppendEntries with entries that are already in the log is answered alike and changes nothing."""
    node = Solo()
    request = append(1, entries=commands(1, 1))
    first = node.receive(request)
    assert node.receive(request) == first
    assert node.disk.entries == commands(1, 1)


def test_a_repeated_vote_request_does_no_harm() -> None:
    """§5.5: a server that crashed after it voted and before it answered gives the same answer when asked again."""
    node = Solo()
    first = node.receive(vote(1))
    node.restart()
    assert node.receive(vote(1)) == first


# -- §5.6 Timing and availability


def test_heartbeats_must_be_much_more_frequent_than_elections() -> None:
    """§5.6: broadcast time ≪ election timeout. A setting in which one late heartbeat costs an election is refused."""
    with pytest.raises(ConfigError, match="election_timeout_ticks is 8: give at least three heartbeats"):
        RaftConfig(election_timeout_ticks=8, heartbeat_interval_ticks=3)
