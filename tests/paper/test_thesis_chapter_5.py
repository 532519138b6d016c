"""Ongaro's thesis, chapter 5: log compaction with snapshots — §5.1, and Figure 5.3 rule by rule."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.core.progress import ProgressState
from raftsdk.core.ready import Call
from raftsdk.messages import InstallSnapshotResponse
from raftsdk.testing.solo import (
    SNAPSHOT_BYTES,
    Solo,
    append,
    commands,
    installed,
    membership,
    membership_entry,
    snapshot_meta,
    snapshot_piece,
    succeeded,
)
from raftsdk.types import EntryId

THREE = membership("n1", "n2", "n3")
FOUR = membership("n1", "n2", "n3", "n4")
META = snapshot_meta(3, 1, THREE)


def _config(trailing: int = 0) -> RaftConfig:
    return RaftConfig(
        election_timeout_ticks=10,
        heartbeat_interval_ticks=3,
        pre_vote=False,
        check_quorum=False,
        snapshot_trailing_entries=trailing,
    )


def _sending() -> tuple[Solo, Call]:
    """A leader of term 2, its log 4@2 behind a snapshot of 3@1, and the call that brings the snapshot to n2."""
    leader = Solo(1, 1, 1, commit=3, config=_config())
    leader.take_snapshot()
    (probe,) = leader.lead().take_calls_to("n2")
    leader.refuse(probe)
    (call,) = leader.take_calls_to("n2")
    leader.take_calls()
    return leader, call


# -- §5.1 Memory-based snapshots


def test_a_snapshot_covers_what_was_applied() -> None:
    """§5.1: each server takes snapshots independently, covering just the committed entries in its log."""
    follower = Solo(1, 1, 1, commit=2, config=_config())
    meta = follower.take_snapshot()
    assert meta.last_id == EntryId(1, 2)
    assert follower.disk.entries == commands(1, first=3)


def test_the_log_up_to_the_snapshot_goes_in_the_write_that_keeps_it() -> None:
    """§5.1: once a server completes writing a snapshot, it may delete the entries through the last included index."""
    follower = Solo(1, 1, 1, commit=3, config=_config())
    follower.held = True
    meta = follower.take_snapshot()
    assert follower.writing is not None
    assert (follower.writing.snapshot, follower.writing.compacted) == (meta, EntryId(1, 3))
    follower.restart()
    assert follower.raft.log.first_index == 1, "nothing is gone before that write is durable"


def test_the_last_included_entry_is_remembered_for_the_consistency_check() -> None:
    """§5.1: index and term of the last included entry support the check for the first entry after the snapshot."""
    follower = Solo(1, 1, 2, commit=3, config=_config())
    follower.take_snapshot()
    follower.restart()
    assert not succeeded(follower.receive(append(3, prev=(3, 1), entries=commands(3, first=4))))
    assert succeeded(follower.receive(append(3, prev=(3, 2), entries=commands(3, first=4))))


def test_the_membership_is_in_the_snapshot() -> None:
    """§5.1: the snapshot includes the latest configuration in the log as of the last included index."""
    node = Solo(config=_config())
    node.receive(append(1, entries=[membership_entry(1, FOUR)], commit=1))
    node.receive(append(1, prev=(1, 1), entries=[membership_entry(1, THREE)]))
    node.take_snapshot()
    assert node.disk.snapshot is not None
    assert node.disk.snapshot.membership == FOUR
    node.receive(append(2, prev=(1, 1), entries=commands(2, first=2), leader="n3"))
    node.restart()
    assert node.raft.membership == FOUR


def test_a_restarted_node_begins_with_its_snapshot() -> None:
    """§5.1: on a restart the state is that of the snapshot, and what follows it comes from the log."""
    node = Solo(1, 1, 1, commit=2, config=_config())
    meta = node.take_snapshot()
    node.receive(append(1, prev=(3, 1), commit=3))
    node.restart()
    assert node.restored == [meta]
    node.receive(append(1, prev=(3, 1), commit=3))
    assert node.applied == commands(1, first=3)


def test_a_newer_snapshot_takes_the_place_of_the_older() -> None:
    """§5.1: any prior snapshot may be deleted; an older one that is finished later is not kept."""
    node = Solo(1, 1, 1, commit=1, config=_config())
    older = node.take_snapshot()
    node.receive(append(1, prev=(3, 1), commit=3))
    newer = node.take_snapshot()
    assert node.disk.snapshot == newer
    node.held = True
    node.take_snapshot()
    assert node.writing is None, "the same one again is no news"
    assert older.index < newer.index


def test_a_follower_that_lags_is_sent_the_snapshot() -> None:
    """§5.1: this happens when the leader has discarded the next log entry that it needs to send."""
    _, call = _sending()
    assert (call.target, call.request) == ("n2", snapshot_piece(2, META, size=0, leader="n1"))


def test_entries_are_sent_again_behind_the_snapshot() -> None:
    """§5.1: once the follower has it, the log goes on from the last included entry."""
    leader, call = _sending()
    leader.succeed(call)
    assert leader.raft.progress["n2"].match_index == 3
    ((target, request),) = leader.appends()
    assert (target, request.prev_log_index, request.prev_log_term, len(request.entries)) == ("n2", 3, 1, 1)


def test_a_follower_that_lags_a_little_is_sent_entries() -> None:
    """§5.1: a snapshot costs much more than a few entries; those that are kept behind it spare it to most followers."""
    leader = Solo(1, 1, 1, commit=3, config=_config(trailing=2))
    leader.take_snapshot()
    assert (leader.raft.log.first_index, leader.disk.first_index) == (2, 2)
    (probe,) = leader.lead().take_calls_to("n2")
    leader.refuse(probe, conflict=(1, 1))
    assert [(target, request.prev_log_index) for target, request in leader.appends()][-1] == ("n2", 1)


def test_what_is_in_the_snapshot_is_known_to_be_committed() -> None:
    """§5.1: an append that reaches back behind it is taken from there on, as all before agrees."""
    follower = Solo(1, 1, 1, commit=3, config=_config())
    follower.take_snapshot()
    request = append(1, prev=(1, 1), entries=commands(1, 1, 1, first=2))
    assert succeeded(follower.receive(request))
    assert follower.disk.entries == commands(1, first=4)


# -- Figure 5.3, InstallSnapshot: the leader


def test_heartbeats_go_on_while_a_snapshot_is_under_way() -> None:
    """§5.1: it may take long, and a follower that hears nothing meanwhile would campaign."""
    leader, _ = _sending()
    leader.tick(3)
    assert [(target, request.entries) for target, request in leader.appends()] == [("n2", []), ("n3", [])]


def test_a_snapshot_under_way_is_the_only_thing_that_is_sent() -> None:
    """Figure 5.3: invoked to send chunks in order; what is proposed meanwhile comes behind it."""
    leader, call = _sending()
    leader.propose(b"a")
    leader.tick(3)
    leader.agree("n2")
    assert leader.raft.progress["n2"].state is ProgressState.SNAPSHOT
    leader.take_calls()
    leader.succeed(call)
    ((target, request),) = leader.appends()
    assert (target, [entry.data for entry in request.entries]) == ("n2", [b"", b"a"])


@pytest.mark.parametrize("end", ["failed", "refused"])
def test_a_snapshot_that_did_not_arrive_is_sent_again_after_a_sign_of_life(end: str) -> None:
    """Figure 5.3, of a transfer that breaks off: where to go on is for the follower to say."""
    leader, call = _sending()
    if end == "failed":
        leader.fail(call)
    else:
        leader.refuse(call)
    assert not leader.calls
    leader.tick(3)
    leader.succeed(leader.take_calls_to("n2")[0])
    assert [again.request for again in leader.take_calls_to("n2")] == [call.request]


def test_a_follower_that_installed_counts_for_a_commit() -> None:
    """§5.1: what is in the snapshot the follower has, and what comes behind it counts like everybody's."""
    leader, call = _sending()
    leader.succeed(call)
    leader.agree("n2")
    assert leader.raft.log.commit_index == 4


def test_a_leader_that_hears_of_a_higher_term_from_a_receiver_steps_down() -> None:
    """Figure 5.3, results: term is currentTerm, for the leader to update itself."""
    leader, call = _sending()
    leader.answer(call, InstallSnapshotResponse(term=5, next_offset=0, installed=False))
    assert (leader.raft.leads, leader.raft.term) == (False, 5)


# -- Figure 5.3, InstallSnapshot: the receiver


def test_1_a_snapshot_of_an_earlier_term_is_refused_at_once() -> None:
    """Figure 5.3, 1: reply if term < currentTerm."""
    follower = Solo(term=3)
    answer = follower.receive(snapshot_piece(2, META))
    assert answer == InstallSnapshotResponse(term=3, next_offset=0, installed=False)
    assert not follower.pieces


def test_a_snapshot_is_a_sign_of_the_leader() -> None:
    """Figure 5.3, arguments: term and leaderId are those of AppendEntries, and so is what follows from them."""
    follower = Solo()
    for _ in range(20):
        follower.tick(9)
        follower.receive(snapshot_piece(2, META, size=1))
    assert (follower.raft.term, follower.raft.leader_id) == (2, "n2")
    assert follower.raft.role is Role.FOLLOWER


def test_2_to_4_every_piece_is_kept_and_answered_before_the_next() -> None:
    """Figure 5.3, 2–4: write data at the given offset; reply and wait for more if done is false.

    Ours says where to go on, so that a transfer that broke off need not begin again.
    """
    follower = Solo()
    assert follower.receive(snapshot_piece(2, META, size=40)) is None
    assert [piece.request.offset for piece in follower.pieces] == [0]
    assert follower.keep(40) == InstallSnapshotResponse(term=2, next_offset=40, installed=False)
    assert follower.receive(snapshot_piece(2, META, offset=40, size=60)) is None
    assert [piece.request.offset for piece in follower.pieces] == [40]
    assert installed(follower.complete())


def test_5_the_snapshot_is_stored_before_it_is_acknowledged() -> None:
    """Figure 5.3, 5: save the snapshot and the state that goes with it: lastIndex, lastTerm, lastConfig."""
    follower = Solo()
    follower.receive(append(2))
    follower.held = True
    follower.receive(snapshot_piece(2, META))
    assert follower.complete() is None
    assert follower.writing is not None
    assert (follower.writing.snapshot, follower.writing.compacted) == (META, META.last_id)
    follower.persist()
    assert [installed(answer) for answer in follower.answers.values()][-1]
    assert follower.disk.snapshot == META


def test_6_the_entries_behind_a_snapshot_that_agrees_stay() -> None:
    """Figure 5.3, 6: an entry of the same index and term is here: discard the log up to it, retain what follows."""
    follower = Solo(1, 1, 1, 1, 1)
    follower.receive(snapshot_piece(2, META))
    assert installed(follower.complete())
    assert follower.disk.entries == commands(1, 1, first=4)
    assert (follower.raft.log.first_index, follower.raft.log.last_index) == (4, 5)


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param((), id="nothing"),
        pytest.param((1, 1), id="less"),
        pytest.param((1, 1, 2, 2), id="other entries"),
    ],
)
def test_7_any_other_log_goes(terms: tuple[int, ...]) -> None:
    """Figure 5.3, 7: otherwise discard the entire log."""
    follower = Solo(*terms)
    follower.receive(snapshot_piece(3, META))
    assert installed(follower.complete())
    assert follower.disk.entries == []
    assert (follower.disk.first_index, follower.disk.prev_term) == (4, 1)
    assert succeeded(follower.receive(append(3, prev=(3, 1), entries=commands(3, first=4), commit=4)))
    assert follower.applied == commands(3, first=4)


def test_8_the_state_machine_and_the_membership_are_the_snapshots() -> None:
    """Figure 5.3, 8: reset the state machine using the contents, and load lastConfig as cluster configuration."""
    meta = snapshot_meta(3, 1, FOUR)
    follower = Solo(1)
    follower.receive(snapshot_piece(2, meta))
    follower.complete()
    assert follower.restored == [meta]
    assert follower.raft.membership == FOUR
    assert follower.memberships == [FOUR]
    assert follower.raft.log.commit_index == 3
    follower.restart()
    assert (follower.restored, follower.raft.membership) == ([meta], FOUR)


def test_a_snapshot_of_what_is_committed_already_changes_nothing() -> None:
    """§5.1, of one that describes a prefix of the log, by retransmission or by mistake: all that follows is valid."""
    follower = Solo(1, 1, 1, 1, commit=4)
    answer = follower.receive(snapshot_piece(2, META))
    assert answer == InstallSnapshotResponse(term=2, next_offset=SNAPSHOT_BYTES, installed=True)
    assert not follower.pieces
    assert not follower.restored
    assert follower.raft.log.last_index == 4
