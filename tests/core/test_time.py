"""Time may be told tick by tick or, up to the tick that something comes of, in one: nobody can tell the difference."""

from random import Random

import pytest
from msgspec.structs import replace

from raftsdk.config import RaftConfig
from raftsdk.core import quiescence
from raftsdk.core.events import Tick
from raftsdk.messages import AppendEntriesRequest, RequestVoteRequest
from raftsdk.testing.solo import Solo

CONFIG = RaftConfig(election_timeout_ticks=10, heartbeat_interval_ticks=3, disk_timeout_ticks=15, lease_reads=True)
QUIET = replace(CONFIG, lease_reads=False, quiesce_interval_ticks=40)


class Twins:
    """Two nodes to which the same happens. One is told of every tick, the other of all until something is due."""

    def __init__(self, seed: int, config: RaftConfig) -> None:
        self.patient, self.sleepy = (Solo(nodes=3, config=config, seed=seed) for _ in range(2))
        self.both = (self.patient, self.sleepy)
        self.rng = Random(seed)

    def pass_time(self) -> None:
        ticks = self.rng.choice((self.rng.randint(1, 25), self.rng.randint(1, 25), self.rng.randint(25, 130)))
        self.patient.tick(ticks)
        while ticks:
            passed = min(ticks, self.sleepy.raft.ticks_until_due)
            self.sleepy.step(Tick(passed, passed))
            ticks -= passed

    def end_a_call(self) -> None:
        if not self.patient.calls:
            return
        place, end = (
            self.rng.randrange(len(self.patient.calls)),
            self.rng.choice(("succeed", "succeed", "refuse", "fail")),
        )
        for node in self.both:
            getattr(node, end)(node.calls.pop(place))

    def propose(self) -> None:
        for node in self.both:
            node.propose(b"command")

    def read(self) -> None:
        lease = self.rng.random() < 0.5
        for node in self.both:
            node.read(lease=lease)

    def hold_or_persist(self) -> None:
        for node in self.both:
            node.held = not node.held
            if node.writing is not None:
                node.persist()

    def hand_over(self) -> None:
        for node in self.both:
            node.hand_over()

    def hear_a_peer(self) -> None:
        raft = self.patient.raft
        term = max(raft.term + self.rng.choice((0, 0, 1)), 1)
        leader = "n2" if raft.leader_id is None or term > raft.term else raft.leader_id
        quiesce = self.rng.random() < 0.5
        asks = leader == "n1" or self.rng.random() < 0.3
        for node in self.both:
            if asks:
                node.receive(
                    RequestVoteRequest(
                        term=term + 1, candidate_id="n3", last_log_index=0, last_log_term=0, pre_vote=True
                    )
                )
            else:
                node.receive(
                    AppendEntriesRequest(
                        term=term,
                        leader_id=leader,
                        prev_log_index=0,
                        prev_log_term=0,
                        leader_commit=0,
                        entries=[],
                        quiesce=quiesce,
                    )
                )

    def miss_a_node(self) -> None:
        missed = self.rng.choice(("n2", "n3"))
        for node in self.both:
            node.miss(missed)

    def end_all_calls(self) -> None:
        for node in self.both:
            for call in node.take_calls():
                node.succeed(call)

    def look_the_same(self) -> None:
        seen = [
            (
                node.raft.role,
                node.raft.term,
                node.raft.leader_id,
                node.raft.now,
                quiescence.watched(node.raft),
                node.raft.ticks_until_due,
                node.raft.log.last_index,
                node.raft.log.commit_index,
                node.calls,
                node.reads,
                node.transfers,
                node.refused,
                node.answers,
                node.alarms,
            )
            for node in self.both
        ]
        assert seen[0] == seen[1]


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("config", [CONFIG, QUIET], ids=["with leases", "quiescing"])
def test_a_node_told_of_many_ticks_at_once_does_what_it_would_have_done_one_by_one(
    config: RaftConfig, seed: int
) -> None:
    twins = Twins(seed, config)
    happenings = (
        *(twins.pass_time, twins.end_a_call, twins.end_a_call, twins.propose, twins.read),
        *(twins.hold_or_persist, twins.hand_over, twins.hear_a_peer),
        *(twins.pass_time, twins.end_all_calls, twins.end_all_calls, twins.miss_a_node),
    )
    for _ in range(150):
        twins.rng.choice(happenings)()
        twins.look_the_same()


def test_a_follower_is_due_at_its_election_and_a_leader_at_its_next_heartbeat() -> None:
    node = Solo(nodes=3, config=CONFIG)
    due = node.raft.ticks_until_due
    assert CONFIG.election_timeout_ticks <= due <= 2 * CONFIG.election_timeout_ticks
    node.step(Tick(due - 1, due - 1))
    assert not node.take_calls()
    node.tick()
    assert node.take_calls()
    assert Solo(nodes=3, config=CONFIG).lead_and_commit().raft.ticks_until_due == CONFIG.heartbeat_interval_ticks


def test_a_leader_that_waits_for_its_disk_or_for_a_successor_wants_to_know_of_every_tick() -> None:
    node = Solo(nodes=3, config=CONFIG).lead_and_commit()
    node.held = True
    node.propose(b"command")
    assert node.raft.ticks_until_due == 1
