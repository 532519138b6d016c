"""Ongaro's thesis, chapter 6: client interaction, as far as it is the algorithm's: §6.2 routing, §6.4 reads.

Sessions (§6.3) are in `test_thesis_section_6_3.py`.
"""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.ready import ReadReady, ReadRefused
from raftsdk.messages import AppendEntriesRequest, AppendEntriesResponse, ReadIndexResponse
from raftsdk.testing.solo import Solo, append, commands, granted, membership, read_index, vote

CHECKED = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, pre_vote=False)
LEASES = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, lease_reads=True, max_clock_drift_percent=20)
LEASE_TICKS = 6  # an election timeout of ten, less the drift, less what the core may not know of yet


# -- §6.2 Routing requests to the leader


def test_who_does_not_lead_accepts_nothing_and_knows_who_does() -> None:
    """§6.2: a server that is not the leader rejects the request and tells the leader's address, if it knows it."""
    follower = Solo()
    follower.receive(append(1, leader="n3"))
    follower.propose(b"a")
    assert (len(follower.refused), follower.raft.leader_id) == (1, "n3")


@pytest.mark.parametrize("nodes", [3, 5])
def test_a_leader_that_reaches_no_majority_steps_down(nodes: int) -> None:
    """§6.2: a leader steps down if an election timeout elapses without a successful round of heartbeats."""
    leader = Solo(nodes=nodes, config=CHECKED).lead_and_commit()
    leader.tick(19)
    assert leader.raft.leads, "the first check gives credit for what was answered before it"
    leader.tick()
    assert (leader.raft.role, leader.raft.leader_id) == (Role.FOLLOWER, None)


def test_a_leader_that_reaches_a_majority_goes_on() -> None:
    """§6.2: a round of heartbeats to a majority is enough, whoever else is silent."""
    leader = Solo(nodes=5, config=CHECKED).lead_and_commit()
    for _ in range(20):
        leader.tick(3)
        leader.agree("n2", "n5")
        leader.take_calls()
    assert leader.raft.leads


def test_a_node_that_starts_an_election_forgets_who_led() -> None:
    """§6.2: a follower must discard who leads when it starts a new election, or clients may be sent in circles."""
    node = Solo()
    node.receive(append(1))
    node.campaign()
    assert node.raft.leader_id is None


def test_a_node_whose_term_changes_forgets_who_led() -> None:
    """§6.2: and when the term changes."""
    node = Solo()
    node.receive(append(1))
    node.receive(vote(2, candidate="n3"))
    assert node.raft.leader_id is None


# -- §6.4 Processing read-only queries more efficiently


def test_step_1_a_new_leader_waits_for_a_commit_of_its_own_term() -> None:
    """§6.4, step 1: if no entry of the current term is committed yet, the leader waits until one is."""
    leader = Solo(1, 1, commit=1).lead()
    token = leader.read()
    calls = leader.take_calls()
    assert all(isinstance(call.request, AppendEntriesRequest) and call.request.entries for call in calls), "no round"
    leader.succeed(calls[0])
    assert not leader.reads
    leader.agree()
    assert leader.reads == [ReadReady(token, 3)], "the noop, and with it what may have been committed before"


def test_step_2_what_is_committed_when_the_round_begins_is_what_is_read() -> None:
    """§6.4, step 2: the leader saves its current commit index in readIndex."""
    leader = Solo().lead_and_commit()
    leader.propose(b"a")
    committing = leader.take_calls()[0]
    token = leader.read()
    confirming = leader.take_calls()[0]
    leader.succeed(committing)
    assert leader.raft.log.commit_index == 2
    assert not leader.reads
    leader.succeed(confirming)
    assert leader.reads == [ReadReady(token, 1)]


def test_step_3_a_round_of_heartbeats_begins_at_once() -> None:
    """§6.4, step 3: the leader issues a new round of heartbeats."""
    leader = Solo().lead_and_commit()
    leader.read()
    assert [(target, request.entries) for target, request in leader.appends()] == [("n2", []), ("n3", [])]


def test_step_3_a_read_waits_for_a_majority() -> None:
    """§6.4, step 3: it waits for their acknowledgements from a majority of the cluster."""
    leader = Solo(nodes=5).lead_and_commit()
    token = leader.read()
    first, second, *_ = leader.take_calls()
    leader.succeed(first)
    assert not leader.reads
    leader.succeed(second)
    assert leader.reads == [ReadReady(token, 1)]


def test_step_3_an_answer_to_what_was_asked_before_confirms_nothing() -> None:
    """§6.4, step 3: that nobody led a greater term is known of the moment at which the heartbeats were *sent*."""
    leader = Solo().lead_and_commit()
    leader.tick(3)
    before = leader.take_calls()
    leader.read()
    for call in before:
        leader.succeed(call)
    assert not leader.reads
    leader.agree("n2")
    assert len(leader.reads) == 1


def test_step_3_any_call_that_began_later_confirms() -> None:
    """§6.4, step 3, of a round whose heartbeats are lost: the next ones do, and so do entries."""
    leader = Solo().lead_and_commit()
    leader.read()
    for call in leader.take_calls():
        leader.fail(call)
    leader.propose(b"a")
    leader.succeed(leader.take_calls()[0])
    assert len(leader.reads) == 1


def test_step_3_a_refusal_in_the_same_term_confirms_too() -> None:
    """§6.4, step 3: what matters is that the follower was in this leader's term, not what its log looked like."""
    leader = Solo(1, 1, 1).lead_and_commit()
    leader.propose(b"a")
    leader.read()
    (to_n2,) = [call for call in leader.take_calls() if call.target == "n2" and not _entries(call.request)]
    leader.refuse(to_n2)
    assert len(leader.reads) == 1


def _entries(request: object) -> bool:
    return isinstance(request, AppendEntriesRequest) and bool(request.entries)


def test_step_3_a_leader_that_was_superseded_serves_nothing() -> None:
    """§6.4, step 3: the leader makes sure that it has not been superseded by one of which it is unaware."""
    leader = Solo().lead_and_commit()
    token = leader.read()
    leader.answer(leader.take_calls()[0], AppendEntriesResponse(term=2, success=False))
    assert leader.reads == [ReadRefused(token)]


def test_step_3_a_learner_confirms_nothing() -> None:
    """§6.4, step 3: it is a majority of those that vote."""
    leader = Solo(members=membership("n1", "n2", "n3", learners=["n4", "n5"])).lead_and_commit()
    leader.read()
    leader.agree("n4", "n5")
    assert not leader.reads
    leader.agree("n3")
    assert len(leader.reads) == 1


@pytest.mark.parametrize(
    ("agreeing", "served"),
    [(["n2", "n3"], False), (["n4", "n5"], False), (["n2", "n4"], True)],
    ids=["the old alone", "the new alone", "a majority of each"],
)
def test_step_3_a_joint_membership_confirms_with_both_majorities(agreeing: list[str], *, served: bool) -> None:
    """§6.4 and §4.3: whoever is elected next needs both, so that asking both finds it out."""
    leader = Solo().lead_and_commit()
    leader.change("n4", "n5", remove=["n2", "n3"])
    leader.take_calls()  # none of them is answered: the membership stays joint
    leader.read()
    for call in leader.take_calls():
        if call.target in agreeing:
            leader.succeed(call)
    assert bool(leader.reads) is served


def test_step_4_what_was_acknowledged_before_is_read() -> None:
    """§6.4, step 4: the state machine advances as far as readIndex, and so sees all that was committed before."""
    leader = Solo().lead_and_commit()
    leader.propose(b"a")
    leader.agree()
    token = leader.read()
    leader.agree()
    assert leader.reads == [ReadReady(token, 2)]
    assert len(leader.applied) == 2


def test_reads_that_have_gathered_share_a_round() -> None:
    """§6.4: a single round of heartbeats serves any number of read-only queries that the leader has accumulated."""
    leader = Solo().lead_and_commit()
    first = leader.read()
    confirming = leader.take_calls()
    tokens = [leader.read() for _ in range(50)]
    assert not leader.take_calls(), "they wait for the round that is under way, and then for one of their own"
    leader.succeed(confirming[0])
    assert leader.reads == [ReadReady(first, 1)]
    confirming = leader.take_calls()
    assert len(confirming) == 2
    leader.succeed(confirming[0])
    assert [read.token for read in leader.reads] == [first, *tokens]


def test_a_leader_alone_needs_nobody() -> None:
    """§6.4, step 3, where the leader itself is a majority."""
    leader = Solo(nodes=1).lead_and_commit()
    token = leader.read()
    assert leader.reads == [ReadReady(token, 1)]


# -- §6.4, followers


def test_a_follower_asks_its_leader_where_to_read() -> None:
    """§6.4: a follower issues a request to the leader just asking for a current readIndex."""
    follower = Solo()
    follower.receive(append(1, entries=commands(1)))
    token = follower.read()
    (call,) = follower.take_calls()
    assert (call.target, call.request) == ("n2", read_index(1, node="n1"))
    follower.answer(call, ReadIndexResponse(term=1, read_index=9))
    assert follower.reads == [ReadReady(token, 9)]


def test_a_leader_that_is_asked_goes_through_steps_1_to_3() -> None:
    """§6.4: the leader would execute steps 1–3 and tell the follower the readIndex."""
    leader = Solo(1, commit=1).lead()
    assert leader.receive(read_index(2)) is None
    leader.agree("n2")  # its noop is committed, whereupon the round begins and is confirmed
    assert list(leader.answers.values()) == [ReadIndexResponse(term=2, read_index=2)]


def test_who_does_not_lead_says_so() -> None:
    """§6.4: whoever does not lead cannot tell what is committed; 0 says that nothing can be read there."""
    assert Solo(term=3).receive(read_index(3)) == ReadIndexResponse(term=3, read_index=0)


def test_a_leader_that_steps_down_lets_every_reader_know() -> None:
    """§6.4: nobody will confirm what was begun, for callers here and for followers alike."""
    leader = Solo().lead_and_commit()
    under_way, waiting = leader.read(), leader.read()
    assert leader.receive(read_index(1)) is None
    leader.receive(append(2))
    assert leader.reads == [ReadRefused(under_way), ReadRefused(waiting)]
    assert ReadIndexResponse(term=2, read_index=0) in leader.answers.values()


def test_without_a_leader_nobody_reads() -> None:
    """§6.4: a follower that knows of no leader has nobody to ask, and does not wait for one."""
    node = Solo()
    token = node.read()
    assert node.reads == [ReadRefused(token)]


# -- §6.4.1 Using clocks to reduce messaging for read-only queries


def test_a_lease_serves_reads_without_a_message() -> None:
    """§6.4.1: while the leader holds its lease, it services read-only queries without communication."""
    leader = Solo(config=LEASES).lead_and_commit()
    token = leader.read(lease=True)
    assert leader.reads == [ReadReady(token, 1, lease=True)]
    assert not leader.take_calls()


def test_a_lease_lasts_an_election_timeout_less_the_drift() -> None:
    """§6.4.1: the leader extends its lease to start + election timeout / clock drift bound."""
    leader = Solo(config=LEASES).lead_and_commit()
    served = []
    for _ in range(LEASE_TICKS + 1):
        token = leader.read(lease=True)
        served.append(ReadReady(token, 1, lease=True) in leader.reads)
        leader.tick()
    assert served == [True] * LEASE_TICKS + [False]


def test_a_lease_is_measured_from_when_the_heartbeats_were_sent() -> None:
    """§6.4.1: `start` is when the round began; its answers may come much later."""
    leader = Solo(config=LEASES).lead_and_commit()
    leader.tick(3)
    sent_at_3 = leader.take_calls()
    leader.tick(LEASE_TICKS)
    leader.succeed(sent_at_3[0])
    leader.read(lease=True)
    assert not leader.reads, "it began a whole lease ago"


def test_a_majority_renews_a_lease() -> None:
    """§6.4.1: it is extended once the heartbeats were acknowledged by a majority."""
    leader = Solo(nodes=5, config=LEASES).lead_and_commit()
    leader.tick(LEASE_TICKS + 1)
    for renewing in ("n2", "n3"):
        leader.tick(3)
        leader.agree(renewing)
        leader.take_calls()
    assert not leader.reads
    leader.tick(3)
    leader.agree("n2", "n3")
    leader.take_calls()
    token = leader.read(lease=True)
    assert leader.reads == [ReadReady(token, 1, lease=True)]


def test_a_leader_expires_its_lease_before_it_hands_over() -> None:
    """§6.4.1: a leader would need to expire its lease before transferring leadership."""
    leader = Solo(config=LEASES).lead_and_commit()
    leader.hand_over("n2")
    leader.read(lease=True)
    assert not leader.reads


def test_a_lease_is_void_for_the_rest_of_the_term_when_handing_over_failed() -> None:
    """§6.4.1 and §3.10: whoever was asked to campaign may do so long after the leader has given up."""
    leader = Solo(config=LEASES).lead_and_commit()
    leader.hand_over("n2")
    leader.take_calls()
    for _ in range(5):
        leader.tick(3)
        leader.agree("n3")
        leader.take_calls()
    assert leader.transfers, "it has given up"
    leader.read(lease=True)
    assert not leader.reads


def test_leases_are_off_unless_asked_for() -> None:
    """§6.4.1: without a bound on clock drift, arbitrary stale data could be returned. So none is assumed."""
    leader = Solo(config=CHECKED).lead_and_commit()
    leader.read(lease=True)
    assert not leader.reads
    leader.agree("n2")
    assert [read.lease for read in leader.reads if isinstance(read, ReadReady)] == [False]


def test_a_lease_needs_followers_that_stick() -> None:
    """§6.4.1: the followers should not time out before. Nobody holds them to it where check-quorum is off."""
    config = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, lease_reads=True, check_quorum=False)
    leader = Solo(config=config).lead_and_commit()
    leader.read(lease=True)
    assert not leader.reads


def test_a_new_leader_has_no_lease_before_its_first_commit() -> None:
    """§6.4.1 and §6.4, step 1: it may not know yet what was committed."""
    leader = Solo(1, 1, nodes=5, config=LEASES).lead()
    for call in leader.take_calls():
        if call.target in ("n2", "n3"):
            leader.refuse(call)
    leader.read(lease=True)
    assert not leader.reads


def test_time_in_which_the_process_was_stopped_counts() -> None:
    """§6.4.1: the lease is one of real time, however few ticks the leader's loop got to see."""
    leader = Solo(config=LEASES).lead_and_commit()
    leader.tick(lapsed=LEASE_TICKS)
    leader.read(lease=True)
    assert not leader.reads


def test_a_node_that_restarts_votes_for_nobody_until_a_lease_has_run_out() -> None:
    """§6.4.1: the lease rests on what followers heard. One that restarts has heard it, and has forgotten it."""
    follower = Solo(config=LEASES)
    follower.receive(append(1))
    follower.restart()
    assert not granted(follower.receive(vote(2, candidate="n3")))
    follower.tick(9)
    assert not granted(follower.receive(vote(2, candidate="n3")))
    follower.tick()
    assert granted(follower.receive(vote(2, candidate="n3")))
