"""One peer in the leader's eyes, through every order in which its calls can end."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raftsdk.config import RaftConfig
from raftsdk.core.progress import Progress, ProgressState
from raftsdk.core.ready import Call
from raftsdk.messages import AppendEntriesRequest, InstallSnapshotRequest, PeerResponse
from raftsdk.testing.solo import Solo
from raftsdk.types import Entry, LogIndex

WINDOW = 3
CUTS_ALL = RaftConfig(
    election_timeout_ticks=10,
    heartbeat_interval_ticks=3,
    pre_vote=False,
    check_quorum=False,
    snapshot_trailing_entries=0,
)


@dataclass(eq=False)
class UnderWay:
    """A call, and what its peer answered when it arrived there; None while it has not."""

    call: Call
    answer: PeerResponse | None = None

    @property
    def fills_the_window(self) -> bool:
        """Whether it counts as outstanding: a heartbeat does not."""
        request = self.call.request
        return isinstance(request, InstallSnapshotRequest) or (
            isinstance(request, AppendEntriesRequest) and bool(request.entries)
        )


class LeaderAndItsPeer(RuleBasedStateMachine):
    """A leader, one honest peer, wires that lose, delay and reorder in both directions, and logs that are cut.

    A snapshot is under way from the beginning. The third node either answers all it was sent or is out of reach, so
    that the log may be cut further than the peer has got.
    """

    def __init__(self) -> None:
        super().__init__()
        self.leader = Solo(1, 1, 1, commit=3, config=CUTS_ALL)
        self.leader.take_snapshot()
        self.leader.lead()
        self.leader.refuse(self.leader.take_calls_to("n2")[0])
        self.peer = Solo(node_id="n2", config=CUTS_ALL)
        self.third = Solo(1, 1, 1, node_id="n3", config=CUTS_ALL)
        self.to_third: list[Call] = []
        self.under_way: list[UnderWay] = []
        self.highest_match = 0
        self._take()

    @property
    def progress(self) -> Progress:
        return self.leader.raft.progress["n2"]

    def _take(self) -> None:
        for call in self.leader.take_calls():
            if call.target == "n2":
                self.under_way.append(UnderWay(call))
            else:
                self.to_third.append(call)

    @rule()
    def the_third_answers(self) -> None:
        while self.to_third:
            call = self.to_third.pop(0)
            self.leader.answer(call, _answer_of(self.third, call))
            self._take()

    @rule()
    def the_third_is_out_of_reach(self) -> None:
        while self.to_third:
            self.leader.fail(self.to_third.pop(0))
            self._take()

    @rule(count=st.integers(1, 3))
    def propose(self, count: int) -> None:
        self.leader.propose(*[b"x"] * count)
        self._take()

    @rule()
    def heartbeat(self) -> None:
        self.leader.tick(3)
        self._take()

    @precondition(lambda self: self.leader.applied)
    @rule()
    def cut_the_leaders_log(self) -> None:
        self.leader.take_snapshot()
        self._take()

    @precondition(lambda self: self.peer.raft.log.handed_index > 0)
    @rule()
    def cut_the_peers_log(self) -> None:
        self.peer.take_snapshot()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        flight = data.draw(st.sampled_from(self.under_way))
        answer = _answer_of(self.peer, flight.call)
        flight.answer = flight.answer or answer

    @precondition(lambda self: any(flight.answer for flight in self.under_way))
    @rule(data=st.data())
    def be_answered(self, data: st.DataObject) -> None:
        flight = data.draw(st.sampled_from([flight for flight in self.under_way if flight.answer]))
        assert flight.answer is not None
        self.under_way.remove(flight)
        self.leader.answer(flight.call, flight.answer)
        self._take()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        flight = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(flight)
        self.leader.fail(flight.call)
        self._take()

    @invariant()
    def match_is_below_next_and_never_falls(self) -> None:
        assert self.highest_match <= self.progress.match_index < self.progress.next_index
        self.highest_match = self.progress.match_index

    @invariant()
    def match_is_true(self) -> None:
        assert _has_all(self.peer, self.leader, self.progress.match_index)

    @invariant()
    def next_is_at_most_one_beyond_the_log(self) -> None:
        assert self.progress.next_index <= self.leader.raft.log.last_index + 1

    @invariant()
    def outstanding_is_what_is_under_way_of_this_epoch(self) -> None:
        count = sum(flight.fills_the_window and flight.call.epoch == self.progress.epoch for flight in self.under_way)
        assert self.progress.outstanding == count
        replicating = self.progress.state is ProgressState.REPLICATE
        assert count <= (self.leader.config.max_outstanding_calls if replicating else 1)

    @invariant()
    def at_most_one_snapshot_is_under_way_of_this_epoch(self) -> None:
        sent = [flight.call for flight in self.under_way if isinstance(flight.call.request, InstallSnapshotRequest)]
        current = [call for call in sent if call.epoch == self.progress.epoch]
        assert len(current) == (self.progress.state is ProgressState.SNAPSHOT)

    @invariant()
    def what_is_committed_is_on_a_majority(self) -> None:
        commit = self.leader.raft.log.commit_index
        assert any(_has_all(node, self.leader, commit) for node in (self.peer, self.third))

    def teardown(self) -> None:
        """From whatever state: once calls get through, heartbeats bring the peer everything; the first is a slow one
        where the group has quiesced without that peer.
        """
        for _ in range(3):
            self.leader.tick(max(self.leader.raft.ticks_until_due, self.leader.config.heartbeat_interval_ticks))
            self._take()
            self.the_third_is_out_of_reach()
            while self.under_way:
                flight = self.under_way.pop(0)
                self.leader.answer(flight.call, flight.answer or _answer_of(self.peer, flight.call))
                self._take()
        assert self.progress.match_index == self.leader.raft.log.last_index
        assert self.leader.raft.log.commit_index == self.leader.raft.log.last_index
        assert not self.leader.alarms
        assert not self.peer.alarms


def _answer_of(node: Solo, call: Call) -> PeerResponse:
    answer = node.receive(call.request)
    if node.pieces:
        answer = node.complete()  # the one piece stands for the whole snapshot
    assert answer is not None
    return answer


def _has_all(node: Solo, leader: Solo, index: LogIndex) -> bool:
    """Whether a node has everything up to there, and what neither has cut off is the same."""
    mine, theirs = _entries(leader), _entries(node)
    same = all(mine[at] == theirs[at] for at in mine.keys() & theirs.keys() if at <= index)
    return same and node.disk.last_index >= index


def _entries(node: Solo) -> dict[LogIndex, Entry]:
    return dict(enumerate(node.disk.entries, node.disk.first_index))


TestLeaderAndItsPeer = LeaderAndItsPeer.TestCase
TestLeaderAndItsPeer.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_probe_sends_one_call_and_stays_where_it_is() -> None:
    progress = Progress(next_index=5)
    assert progress.may_send(last_index=9, window=WINDOW)
    progress.sent(2)
    assert not progress.may_send(last_index=9, window=WINDOW)
    assert progress.next_index == 5


def test_replicating_sends_a_window_of_calls_side_by_side() -> None:
    progress = Progress(next_index=5)
    progress.maybe_match(4)
    progress.become_replicate()
    for index in (5, 6, 7):
        assert progress.may_send(last_index=9, window=WINDOW)
        assert progress.next_index == index
        progress.sent(1)
    assert not progress.may_send(last_index=9, window=WINDOW)


def test_a_call_of_an_abandoned_epoch_does_not_count() -> None:
    progress = Progress(next_index=5)
    progress.sent(1)
    abandoned = progress.epoch
    progress.become_probe(3)
    progress.sent(1)
    progress.ended(abandoned)
    assert progress.outstanding == 1
    progress.ended(progress.epoch)
    assert progress.outstanding == 0


def test_a_snapshot_is_one_call_and_nothing_beside_it() -> None:
    progress = Progress(next_index=5)
    progress.sent(1)
    progress.become_snapshot()
    assert progress.outstanding == 1, "the call before it does not count any more"
    assert not progress.may_send(last_index=9, window=WINDOW)
    progress.ended(progress.epoch)
    assert not progress.may_send(last_index=9, window=WINDOW), "not before it is known how that ended"


def test_behind_a_snapshot_a_peer_is_replicated_to_from_there() -> None:
    progress = Progress(next_index=1)
    progress.become_snapshot()
    assert progress.maybe_match(7)
    progress.become_replicate()
    assert (progress.next_index, progress.outstanding) == (8, 0)
    assert progress.may_send(last_index=9, window=WINDOW)


def test_a_peer_that_joins_anew_is_told_from_the_one_before_by_its_epoch() -> None:
    progress = Progress(next_index=5, first_epoch=3)
    assert progress.epoch == progress.first_epoch == 3
    progress.become_snapshot()
    assert (progress.epoch, progress.first_epoch) == (4, 3)


def test_an_old_answer_lowers_nothing() -> None:
    progress = Progress(next_index=5)
    assert progress.maybe_match(8)
    assert not progress.maybe_match(6)
    assert (progress.match_index, progress.next_index) == (8, 9)


def test_a_refusal_that_leaves_nowhere_to_look_is_not_answered_at_once() -> None:
    progress = Progress(next_index=1)
    progress.sent(1)
    progress.ended(progress.epoch)
    progress.step_back(rejected=0, agreeable=0)
    assert progress.waiting
    assert not progress.may_send(last_index=9, window=WINDOW)


def test_a_peer_that_refuses_whatever_it_is_sent_costs_two_calls_a_heartbeat() -> None:
    leader = Solo(1, 1, 1).lead()
    for _ in range(50):
        calls = [call for call in leader.take_calls() if call.target == "n2"]
        assert len(calls) <= 2
        for call in calls:
            if isinstance(call.request, AppendEntriesRequest) and call.request.entries:
                leader.refuse(call)
            else:
                leader.succeed(call)
        leader.tick(1)


def test_a_progress_is_shown_in_one_line() -> None:
    progress = Progress(next_index=4)
    progress.maybe_match(2)
    progress.sent(1)
    progress.waiting = True
    assert str(progress) == "2→4 probe outstanding=1 waiting"
    progress.waiting = False
    progress.become_snapshot()
    assert str(progress) == "2→4 snapshot outstanding=1"
