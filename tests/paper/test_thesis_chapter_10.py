"""Ongaro's thesis, chapter 10: implementation and performance — the disk beside the network, batches, the pipeline."""

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.progress import ProgressState
from raftsdk.core.ready import Call
from raftsdk.messages import AppendEntriesRequest
from raftsdk.testing.solo import Solo, append, commands


def _config(*, calls: int = 16, entries: int = 4096, size: int = 1000) -> RaftConfig:
    return RaftConfig(
        election_timeout_ticks=10,
        heartbeat_interval_ticks=3,
        pre_vote=False,
        check_quorum=False,
        max_outstanding_calls=calls,
        max_batch_entries=entries,
        max_batch_bytes=size,
    )


def _sent(calls: list[Call]) -> list[list[bytes]]:
    requests = [call.request for call in calls]
    return [
        [entry.data for entry in request.entries] for request in requests if isinstance(request, AppendEntriesRequest)
    ]


# -- §10.2.1 Writing to the leader's disk in parallel


def test_entries_go_to_followers_beside_the_leaders_own_write() -> None:
    """§10.2.1: the leader can replicate entries to its followers in parallel with writing them to its disk."""
    leader = Solo().lead_and_commit()
    leader.held = True
    leader.propose(b"a")
    assert leader.writing is not None
    assert _sent(leader.take_calls()) == [[b"a"], [b"a"]]


def test_the_leaders_own_entries_count_when_they_are_durable() -> None:
    """§10.2.1: once its write has completed, the leader counts itself, like any other server, and not before."""
    leader = Solo().lead_and_commit()
    leader.held = True
    leader.propose(b"a")
    leader.agree("n2")
    assert leader.raft.log.commit_index == 1
    leader.persist()
    assert leader.raft.log.commit_index == 2


def test_an_entry_may_be_committed_before_it_is_on_the_leaders_disk() -> None:
    """§10.2.1: the leader may even commit an entry before it has been written to its own disk, if a majority has."""
    leader = Solo().lead_and_commit()
    leader.held = True
    leader.propose(b"a")
    leader.agree("n2", "n3")
    assert (leader.raft.log.commit_index, leader.raft.log.durable_index) == (2, 1)
    assert [entry.data for entry in leader.applied] == [b"", b"a"]


def test_a_follower_writes_before_it_answers() -> None:
    """§10.2.1: of a follower's write the latency stays: it may not acknowledge what it could forget."""
    follower = Solo()
    follower.held = True
    assert follower.receive(append(1, entries=commands(1))) is None
    follower.persist()
    assert len(follower.answers) == 1


# -- §10.2.2 Batching and pipelining


def test_what_gathers_while_a_write_is_under_way_is_one_write() -> None:
    """§10.2.2: batching amortizes a disk write over many entries."""
    leader = Solo().lead_and_commit()
    leader.held = True
    for number in range(10):
        leader.propose(b"%d" % number)
    leader.persist()
    assert leader.writing is not None
    assert len(leader.writing.entries) == 9


def test_what_gathers_while_calls_are_under_way_is_one_call() -> None:
    """§10.2.2: the leader sends as many entries as have accumulated since its last request."""
    leader = Solo(config=_config(calls=1)).lead_and_commit()
    for number in range(5):
        leader.propose(b"%d" % number)
    (first,) = leader.take_calls_to("n2")
    assert _sent([first]) == [[b"0"]]
    leader.succeed(first)
    assert _sent(leader.take_calls_to("n2")) == [[b"1", b"2", b"3", b"4"]]


def test_a_batch_is_bounded() -> None:
    """§10.2.2: up to some maximum size: in entries here, in bytes below."""
    leader = Solo(config=_config(entries=2)).lead_and_commit()
    leader.propose(*[b"a"] * 5)
    assert [len(batch) for batch in _sent(leader.take_calls_to("n2"))] == [2, 2, 1]


def test_a_batch_is_bounded_in_bytes_and_takes_at_least_one() -> None:
    """§10.2.2: an entry that alone is larger still goes."""
    leader = Solo(config=_config(size=5)).lead_and_commit()
    leader.propose(b"aa", b"bb", b"c", b"far too large", b"d")
    assert _sent(leader.take_calls_to("n2")) == [[b"aa", b"bb", b"c"], [b"far too large"], [b"d"]]


def test_the_next_call_does_not_wait_for_the_last() -> None:
    """§10.2.2: pipelining: the leader updates nextIndex immediately after a request, and sends the next at once."""
    leader = Solo().lead_and_commit()
    leader.propose(b"a")
    leader.propose(b"b")
    leader.propose(b"c")
    calls = leader.take_calls_to("n2")
    assert _sent(calls) == [[b"a"], [b"b"], [b"c"]]
    assert leader.raft.progress["n2"].next_index == 5


def test_the_pipeline_is_bounded() -> None:
    """§10.2.2: a follower that does not keep up is not sent more and more."""
    leader = Solo(config=_config(calls=3)).lead_and_commit()
    for _ in range(10):
        leader.propose(b"a")
    assert len(leader.take_calls_to("n2")) == 3


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_answers_may_come_back_in_any_order(order: tuple[int, ...]) -> None:
    """§10.2.2: requests on several connections may be reordered; what was acknowledged only grows."""
    leader = Solo().lead_and_commit()
    for letter in (b"a", b"b", b"c"):
        leader.propose(letter)
    calls = leader.take_calls_to("n2")
    matched = []
    for place in order:
        leader.succeed(calls[place])
        matched.append(leader.raft.progress["n2"].match_index)
    assert matched == sorted(matched)
    assert matched[-1] == leader.raft.log.commit_index == 4


def test_a_call_that_is_lost_brings_next_index_back() -> None:
    """§10.2.2: if a request fails, nextIndex goes back to where it was, and the rest is sent again from there."""
    leader = Solo().lead_and_commit()
    leader.propose(b"a")
    leader.propose(b"b")
    lost, behind_it = leader.take_calls_to("n2")
    leader.fail(lost)
    leader.refuse(behind_it, conflict=(1, 1))
    progress = leader.raft.progress["n2"]
    assert (progress.state, progress.next_index) == (ProgressState.PROBE, 2)
    leader.tick(3)
    leader.agree("n2")
    assert progress.match_index == 3


def test_a_call_that_arrives_before_the_one_before_it_is_refused() -> None:
    """§10.2.2: the consistency check keeps a pipeline safe whatever is lost or reordered."""
    follower = Solo()
    early = follower.receive(append(1, prev=(1, 1), entries=commands(1, first=2)))
    assert early is not None
    assert follower.raft.log.last_index == 0
    follower.receive(append(1, entries=commands(1)))
    follower.receive(append(1, prev=(1, 1), entries=commands(1, first=2)))
    assert follower.disk.entries == commands(1, 1)


def test_there_is_no_pipeline_before_the_logs_are_known_to_agree() -> None:
    """§10.2.2: a new leader first finds where the logs agree, with one call at a time."""
    leader = Solo(1, 1).lead()
    leader.propose(b"a")
    leader.propose(b"b")
    assert len(leader.take_calls_to("n2")) == 1
