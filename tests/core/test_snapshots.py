"""The corners of snapshots: what arrives late, twice or at the wrong node, and the log around it."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.progress import ProgressState
from raftsdk.core.ready import Call
from raftsdk.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
)
from raftsdk.testing.solo import (
    SNAPSHOT_BYTES,
    Solo,
    append,
    commands,
    granted,
    installed,
    membership,
    membership_entry,
    snapshot_meta,
    snapshot_piece,
    succeeded,
    vote,
)
from raftsdk.types import EntryId, SnapshotMeta

THREE = membership("n1", "n2", "n3")
META = snapshot_meta(3, 1, THREE)
CONFIG = RaftConfig(
    election_timeout_ticks=10,
    heartbeat_interval_ticks=3,
    pre_vote=False,
    check_quorum=False,
    snapshot_trailing_entries=0,
)


def _sending() -> tuple[Solo, Call]:
    """A leader of term 2, its log 4@2 behind a snapshot of 3@1, and the call that brings the snapshot to n2."""
    leader = Solo(1, 1, 1, commit=3, config=CONFIG)
    leader.take_snapshot()
    (probe,) = leader.lead().take_calls_to("n2")
    leader.refuse(probe)
    (call,) = leader.take_calls_to("n2")
    return leader, call


# -- of one's own state


def test_a_snapshot_that_was_overtaken_by_the_leaders_is_not_kept() -> None:
    follower = Solo(1, commit=1, config=CONFIG)
    follower.receive(snapshot_piece(1, META))
    follower.complete()
    follower.take_snapshot(snapshot_meta(1, 1, THREE))
    assert follower.disk.snapshot == META
    assert follower.raft.log.first_index == 4


def test_the_log_is_cut_where_the_snapshot_says_and_not_where_the_state_machine_is_by_now() -> None:
    follower = Solo(1, 1, 1, 1, commit=2, config=CONFIG)
    begun = snapshot_meta(2, 1, THREE)
    follower.receive(append(1, prev=(4, 1), commit=4))
    follower.take_snapshot(begun)
    assert follower.disk.entries == commands(1, 1, first=3)


def test_a_snapshot_may_cover_what_is_committed_and_not_yet_on_this_disk() -> None:
    leader = Solo(config=CONFIG).lead_and_commit()
    leader.held = True
    leader.propose(b"a")
    leader.agree()
    assert leader.raft.log.durable_index == 1
    meta = leader.take_snapshot()
    leader.persist()
    leader.persist()
    assert (meta.index, leader.disk.first_index, leader.disk.entries) == (2, 3, [])
    leader.restart()
    assert leader.raft.log.last_id == EntryId(1, 2)


def test_entries_kept_behind_a_snapshot_are_on_disk_too() -> None:
    config = RaftConfig(pre_vote=False, check_quorum=False, snapshot_trailing_entries=2)
    node = Solo(1, 1, 1, 1, commit=4, config=config)
    node.take_snapshot()
    node.restart()
    assert node.raft.log.first_index == 3
    assert node.raft.log.between(3, 4) == commands(1, 1, first=3)
    assert node.applied == [], "they are in the snapshot"


def test_a_snapshot_smaller_than_what_is_kept_behind_it_cuts_nothing() -> None:
    config = RaftConfig(pre_vote=False, check_quorum=False, snapshot_trailing_entries=5)
    node = Solo(1, 1, 1, commit=3, config=config)
    meta = node.take_snapshot()
    assert (node.disk.first_index, node.disk.snapshot) == (1, meta)


# -- the leader


def test_a_heartbeat_builds_on_nothing_where_the_log_was_cut() -> None:
    """The term of what the peer has is forgotten; that it has it is not."""
    leader = Solo(config=CONFIG).lead_and_commit()
    leader.propose(b"a")
    leader.agree("n2")
    leader.propose(b"b")
    leader.agree("n2")
    leader.take_snapshot()
    leader.take_calls()
    leader.tick(3)
    prevs = {target: (request.prev_log_index, request.leader_commit) for target, request in leader.appends()}
    assert prevs == {"n2": (3, 3), "n3": (0, 0)}
    assert leader.raft.progress["n3"].match_index == 1


def test_a_heartbeat_on_nothing_is_answered_by_a_node_with_a_cut_log() -> None:
    follower = Solo(1, 1, commit=2, config=CONFIG)
    follower.take_snapshot()
    assert succeeded(follower.receive(append(2)))
    assert follower.raft.log.last_index == 2


@pytest.mark.parametrize("success", [True, False], ids=["agreed to", "refused"])
def test_an_answer_to_an_earlier_append_does_not_end_a_snapshot(*, success: bool) -> None:
    leader = Solo(config=CONFIG).lead_and_commit()
    leader.propose(b"a")
    leader.propose(b"b")
    late, lost = leader.take_calls_to("n2")
    leader.fail(lost)
    leader.agree("n3")
    leader.take_snapshot()
    leader.tick(3)
    leader.succeed(leader.take_calls_to("n2")[0])
    (snapshot,) = leader.take_calls_to("n2")
    assert isinstance(snapshot.request, InstallSnapshotRequest)
    leader.answer(late, AppendEntriesResponse(term=1, success=success))
    progress = leader.raft.progress["n2"]
    assert (progress.state, progress.outstanding) == (ProgressState.SNAPSHOT, 1)
    assert not leader.take_calls_to("n2"), "and none begins beside it"
    leader.succeed(snapshot)
    assert (progress.state, progress.match_index) == (ProgressState.REPLICATE, 3)


def test_a_transfer_that_begins_again_brings_the_newest_snapshot() -> None:
    leader, call = _sending()
    newest = _cut_further(leader)
    leader.fail(call)
    leader.tick(3)
    leader.succeed(leader.take_calls_to("n2")[0])
    (again,) = leader.take_calls_to("n2")
    assert again.request == snapshot_piece(2, newest, size=0, leader="n1")


def test_a_snapshot_that_is_behind_the_cut_when_it_arrives_is_followed_by_the_newest() -> None:
    leader, call = _sending()
    newest = _cut_further(leader)
    leader.succeed(call)
    (again,) = leader.take_calls_to("n2")
    assert again.request == snapshot_piece(2, newest, size=0, leader="n1")


def _cut_further(leader: Solo) -> SnapshotMeta:
    """Take another snapshot while the one before it is under way to n2."""
    leader.propose(b"a")
    leader.agree("n3")
    newest = leader.take_snapshot()
    assert newest.index == leader.raft.log.first_index - 1 == 5
    return newest


def test_who_led_before_is_told_nothing_by_a_snapshot_that_arrived() -> None:
    leader, call = _sending()
    leader.receive(append(3, prev=(3, 1), leader="n3"))
    leader.succeed(call)
    leader.fail(call)
    assert leader.raft.role is Role.FOLLOWER
    assert not leader.raft.progress


# -- the follower


def test_a_piece_of_a_second_leader_in_one_term_is_refused() -> None:
    follower = Solo()
    follower.receive(append(2))
    assert follower.receive(snapshot_piece(2, META, leader="n3")) == InstallSnapshotResponse(
        term=2, next_offset=0, installed=False
    )
    assert [alarm.name for alarm in follower.alarms] == ["two_leaders"]
    assert not follower.pieces


def test_a_piece_that_is_kept_when_the_term_has_changed_tells_of_the_new_term() -> None:
    follower = Solo()
    follower.receive(snapshot_piece(2, META, size=1))
    follower.receive(append(5, leader="n3"))
    assert follower.keep(1) == InstallSnapshotResponse(term=5, next_offset=1, installed=False)


def test_a_snapshot_is_good_whoever_leads_by_the_time_it_is_whole() -> None:
    follower = Solo()
    follower.receive(snapshot_piece(2, META))
    follower.receive(append(5, leader="n3"))
    assert follower.complete() == InstallSnapshotResponse(term=5, next_offset=SNAPSHOT_BYTES, installed=True)
    assert follower.restored == [META]


def test_a_node_that_leads_by_then_does_not_take_it() -> None:
    """It was elected without it, so that nothing in it is needed; and a leader only appends."""
    node = Solo(1)
    node.receive(snapshot_piece(2, META))
    node.lead()
    assert not installed(node.complete())
    assert not node.restored
    assert node.disk.entries[0] == commands(1)[0]


def test_a_snapshot_that_the_log_has_reached_meanwhile_changes_nothing() -> None:
    follower = Solo()
    follower.receive(snapshot_piece(2, META))
    follower.receive(append(2, entries=commands(1, 1, 1, 2), commit=4))
    assert installed(follower.complete())
    assert not follower.restored
    assert follower.raft.log.last_index == 4


def test_a_snapshot_may_come_twice() -> None:
    follower = Solo()
    for _ in range(2):
        follower.receive(snapshot_piece(2, META))
    assert installed(follower.complete())
    assert installed(follower.complete())
    assert follower.restored == [META]


def test_a_snapshot_overtakes_a_write_of_entries_that_it_replaces() -> None:
    follower = Solo(1)
    follower.held = True
    follower.receive(append(2, prev=(1, 1), entries=commands(2, 2, first=2)))
    follower.receive(snapshot_piece(3, META, leader="n3"))
    follower.complete()
    follower.persist()
    assert not any(installed(answer) for answer in follower.answers.values()), "that write knows of no snapshot"
    follower.persist()
    assert any(installed(answer) for answer in follower.answers.values())
    assert (follower.disk.entries, follower.disk.first_index, follower.disk.snapshot) == ([], 4, META)
    follower.restart()
    assert follower.raft.log.last_id == META.last_id


def test_entries_may_follow_a_snapshot_within_one_write() -> None:
    follower = Solo(2, 2, 2, 2, 2)
    follower.held = True
    follower.receive(append(3))
    follower.receive(snapshot_piece(3, META))
    follower.complete()
    follower.receive(append(3, prev=(3, 1), entries=commands(3, first=4)))
    follower.persist()
    follower.persist()
    assert follower.disk.entries == commands(3, first=4)
    assert len(follower.answers) == 3


def test_what_was_installed_counts_in_elections() -> None:
    follower = Solo()
    follower.receive(snapshot_piece(2, META))
    follower.complete()
    assert not granted(follower.receive(vote(3, last=(2, 1), candidate="n3")))
    assert granted(follower.receive(vote(4, last=(3, 1), candidate="n3")))
    assert {call.request for call in follower.campaign()} == {vote(5, last=(3, 1), candidate="n1")}


def test_an_entry_behind_what_was_kept_is_handed_out_once_it_is_committed() -> None:
    follower = Solo(1, 1, 1, 1, commit=1)
    follower.receive(snapshot_piece(2, META))
    follower.complete()
    follower.receive(append(2, prev=(4, 1), commit=4))
    assert follower.applied == [*commands(1), *commands(1, first=4)]


def test_a_membership_behind_the_snapshot_stays_where_its_entry_stays() -> None:
    four = membership("n1", "n2", "n3", "n4")
    follower = Solo(1, 1, 1)
    follower.receive(append(1, prev=(3, 1), entries=[membership_entry(1, four)]))
    follower.receive(snapshot_piece(1, META))
    follower.complete()
    assert follower.raft.membership == four
    follower.receive(append(2, prev=(3, 1), entries=commands(2, first=4), leader="n3"))
    assert follower.raft.membership == THREE


def test_who_knew_nobody_learns_of_the_founders_even_where_its_log_agrees() -> None:
    """Founders are in nobody's log: a joiner may have all the entries, and not know who the members are."""
    joiner = Solo(members=membership(), node_id="n4")
    joiner.receive(append(1, entries=commands(1, 1, 1, 1)))
    joiner.receive(snapshot_piece(1, META))
    joiner.complete()
    assert joiner.raft.membership == THREE
    assert joiner.raft.log.last_index == 4


def test_a_membership_goes_with_the_log_that_a_snapshot_replaces() -> None:
    four = membership("n1", "n2", "n3", "n4")
    follower = Solo(1)
    follower.receive(append(2, prev=(1, 1), entries=[membership_entry(2, four)]))
    follower.receive(snapshot_piece(3, META, leader="n3"))
    follower.complete()
    assert follower.raft.membership == THREE


def test_a_leader_finishes_a_joint_membership_that_it_knows_from_a_snapshot() -> None:
    joint = membership("n1", "n2", outgoing=["n1", "n3"])
    node = Solo(members=membership())
    node.receive(snapshot_piece(1, snapshot_meta(3, 1, joint)))
    node.complete()
    node.lead().agree()
    assert node.raft.membership == membership("n1", "n2")
    assert node.raft.log.commit_index == 5


@pytest.mark.parametrize("role", [Role.CANDIDATE, Role.PRE_CANDIDATE])
def test_a_candidate_follows_whoever_sends_it_a_snapshot(role: Role) -> None:
    config = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, pre_vote=role is Role.PRE_CANDIDATE)
    node = Solo(term=2, config=config)
    node.campaign()
    assert node.raft.role is role
    node.receive(snapshot_piece(node.raft.term, META))
    assert (node.raft.role, node.raft.leader_id) == (Role.FOLLOWER, "n2")


def test_an_append_that_ends_before_the_cut_proves_what_it_covers() -> None:
    follower = Solo(1, 1, 1, commit=3, config=CONFIG)
    follower.take_snapshot()
    request = append(1, entries=commands(1, 1), commit=3)
    assert isinstance(request, AppendEntriesRequest)
    assert succeeded(follower.receive(request))
    assert follower.raft.log.last_index == 3
