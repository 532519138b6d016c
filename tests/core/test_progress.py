"""One peer in the leader's eyes, through every order in which its calls can end."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raftsdk.core.progress import Progress, ProgressState
from raftsdk.core.ready import Call
from raftsdk.messages import AppendEntriesRequest, AppendEntriesResponse
from raftsdk.testing.solo import Solo

WINDOW = 3


@dataclass(eq=False)
class UnderWay:
    """A call, and what its peer answered when it arrived there; None while it has not."""

    call: Call
    answer: AppendEntriesResponse | None = None


class LeaderAndItsPeer(RuleBasedStateMachine):
    """A leader, one honest peer, and wires that lose, delay and reorder in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.leader = Solo(nodes=3).lead()
        self.peer = Solo(nodes=3, node_id="n2")
        self.under_way: list[UnderWay] = []
        self.highest_match = 0
        self._take()

    @property
    def progress(self) -> Progress:
        return self.leader.raft.progress["n2"]

    def _take(self) -> None:
        # The third node is one that nobody can reach, so that only this peer makes a majority.
        for call in self.leader.take_calls():
            if call.target == "n2":
                self.under_way.append(UnderWay(call))
            else:
                self.leader.fail(call)

    @rule(count=st.integers(1, 3))
    def propose(self, count: int) -> None:
        self.leader.propose(*[b"x"] * count)
        self._take()

    @rule()
    def heartbeat(self) -> None:
        self.leader.tick(3)
        self._take()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        flight = data.draw(st.sampled_from(self.under_way))
        request = flight.call.request
        assert isinstance(request, AppendEntriesRequest)
        answer = self.peer.receive(request)
        assert isinstance(answer, AppendEntriesResponse)
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
        match = self.progress.match_index
        assert self.peer.disk.entries[:match] == self.leader.disk.entries[:match]

    @invariant()
    def next_is_at_most_one_beyond_the_log(self) -> None:
        assert self.progress.next_index <= self.leader.raft.log.last_index + 1

    @invariant()
    def outstanding_is_what_is_under_way_of_this_epoch(self) -> None:
        calls = [flight.call for flight in self.under_way if flight.call.epoch == self.progress.epoch]
        with_entries = [
            call for call in calls if isinstance(call.request, AppendEntriesRequest) and call.request.entries
        ]
        assert self.progress.outstanding == len(with_entries)
        limit = 1 if self.progress.state is ProgressState.PROBE else self.leader.config.max_outstanding_calls
        assert len(with_entries) <= limit

    @invariant()
    def what_is_committed_is_on_the_peer(self) -> None:
        commit = self.leader.raft.log.commit_index
        assert self.peer.disk.entries[:commit] == self.leader.disk.entries[:commit]

    def teardown(self) -> None:
        """From whatever state: once calls get through, heartbeats bring the peer everything."""
        for _ in range(3):
            self.heartbeat()
            while self.under_way:
                flight = self.under_way.pop(0)
                request = flight.call.request
                assert isinstance(request, AppendEntriesRequest)
                answer = flight.answer or self.peer.receive(request)
                assert isinstance(answer, AppendEntriesResponse)
                self.leader.answer(flight.call, answer)
                self._take()
        assert self.progress.match_index == self.leader.raft.log.last_index
        assert self.leader.raft.log.commit_index == self.leader.raft.log.last_index


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
