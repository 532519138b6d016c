"""Clusters under random schedules of ticks, losses, copies, reordering, slow disks, crashes and partitions.

`Stage` checks the paper's safety properties after every event; this asks for trouble, and that a healed cluster works.
A failure prints the seed; `python tests/core/test_random_schedules.py SEED` plays it again and shows its last events.
"""

import sys
from collections import deque
from collections.abc import Callable
from random import Random

import pytest

from raftsdk.config import RaftConfig
from raftsdk.core.election import Role
from raftsdk.storage.contents import Contents
from raftsdk.testing.safety import SafetyViolation
from raftsdk.testing.stage import Actor, Stage, cast, log_line, status_lines
from raftsdk.types import Member, NodeId, Suffrage

EVENTS_PER_SEED = 2_000
ROUNDS_TO_HEAL = 400
MOST_NODES = 7


RATES = {
    "tick": 40.0,
    "rush": 1.5,
    "deliver": 60.0,
    "persist": 25.0,
    "propose": 8.0,
    "lose": 4.0,
    "duplicate": 4.0,
    "crash": 0.6,
    "restart": 3.0,
    "partition": 0.7,
    "heal": 1.5,
    "change_members": 1.0,
    "take_snapshot": 1.0,
    "read": 2.0,
    "transfer": 0.5,
}
"""How often each thing happens, relative to the others; every seed changes each by up to a factor of four."""


class Schedule:
    """One seed's cluster and the chance that directs it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.in_order = self.chance.choice((0.1, 0.3, 0.6, 0.95))  # share of deliveries that take the oldest message
        self.told: deque[str] = deque(maxlen=60)
        count = self.chance.choice((3, 3, 5, 5, 4))
        learners = [f"n{count}"] if self.chance.random() < 0.2 else []
        config = RaftConfig(
            election_timeout_ticks=10,
            heartbeat_interval_ticks=3,
            pre_vote=self.chance.random() < 0.4,
            check_quorum=self.chance.random() < 0.4,
            max_outstanding_calls=self.chance.choice((1, 2, 8)),
            max_batch_entries=self.chance.choice((1, 3, 100)),
            max_batch_bytes=self.chance.choice((1, 10, 1000)),
            max_uncommitted_bytes=200,
            max_command_bytes=200,
            snapshot_trailing_entries=self.chance.choice((0, 0, 3, 20)),
            disk_timeout_ticks=self.chance.choice((15, 100)),
        )
        self.stage = Stage(cast(count, learners), config, self.told.append, lambda place: Random(seed * 100 + place))
        for actor in self.stage.actors.values():
            actor.disk_held = self.chance.random() < 0.8
        self._proposals = 0
        weights = [rate * 4 ** self.chance.uniform(-1, 1) for rate in RATES.values()]
        self._deeds = self.chance.choices([getattr(self, name) for name in RATES], weights, k=EVENTS_PER_SEED)

    def run(self) -> None:
        """Trouble first; then the healed cluster has one leader, equal logs, and commits what is proposed."""
        for deed in self._deeds:
            deed()
        self.heal_everything()
        assert self.settles(self._is_whole), "the healed cluster did not come together"
        self._demand_equal_logs()
        assert self.settles(self._commits_more), "nothing commits"
        self._demand_equal_logs()

    def _commits_more(self) -> bool:
        """A leader that is about to hand over takes nothing, so this is asked for again until it is there."""
        if b"last" in [entry.data for entry in self.stage.safety.committed]:
            return self._is_whole()
        for leader in self._leaders():
            self.stage.propose(leader, [b"last"])
        return False

    def _demand_equal_logs(self) -> None:
        committed = self.stage.safety.committed
        for actor in self._members():
            log = actor.running().log
            assert log.between(log.first_index, log.last_index) == committed[log.first_index - 1 :]
            assert actor.disk.entries == committed[actor.disk.first_index - 1 :]
            assert actor.applied_index == len(committed)

    def _members(self) -> list[Actor]:
        """Those that the newest leader wants to have the log; whoever was removed may lag for ever."""
        rafts = [actor.running() for actor in self.stage.actors.values()]
        newest = max(rafts, key=lambda raft: (raft.role is Role.LEADER, raft.term, raft.log.last_index))
        ids = [member.id for member in newest.membership.members]
        return [self.stage.actors[node_id] for node_id in ids]

    # -- trouble

    def _some_running(self) -> NodeId | None:
        running = [node_id for node_id, actor in self.stage.actors.items() if actor.raft is not None]
        return self.chance.choice(running) if running else None

    def tick(self) -> None:
        node = self._some_running()
        if node:
            self.stage.tick(node)

    def rush(self) -> None:
        """One node's clock runs ahead, so that it campaigns while others may be content."""
        node = self._some_running()
        for _ in range(self.chance.randint(1, 25) if node else 0):
            self.stage.tick(str(node))

    def deliver(self) -> None:
        flights = self.stage.flights
        if flights:
            # Newest first leaves some messages under way for whole terms, which evenly random choice never does.
            oldest = self.chance.random() < self.in_order
            self.stage.deliver(flights[0] if oldest else flights[-1])

    def lose(self) -> None:
        if self.stage.flights:
            self.stage.lose(self.chance.choice(self.stage.flights))

    def duplicate(self) -> None:
        requests = [flight for flight in self.stage.flights if flight.response is None]
        if requests:
            self.stage.duplicate(self.chance.choice(requests))

    def persist(self) -> None:
        busy = [node_id for node_id, actor in self.stage.actors.items() if actor.writing is not None]
        if busy:
            self.stage.persist(self.chance.choice(busy))

    def propose(self) -> None:
        node = self._some_running()
        leaders = self._leaders()
        if leaders and self.chance.random() < 0.9:
            node = self.chance.choice(leaders)
        if node:
            self._proposals += 1
            self.stage.propose(node, [b"%d" % self._proposals] * self.chance.choice((1, 1, 1, 5)))

    def change_members(self) -> None:
        """Any change at all, of nodes there are and of new ones, as long as somebody votes."""
        leaders = self._leaders()
        node = self.chance.choice(leaders) if leaders else self._some_running()
        if node is None:
            return
        known = sorted(self.stage.actors)
        if len(known) < MOST_NODES and self.chance.random() < 0.3:
            known.append(f"n{len(known) + 1}")
            self.stage.set_up(known[-1], Contents())
            self.stage.actors[known[-1]].disk_held = self.chance.random() < 0.5
        named = self.chance.sample(known, self.chance.choice((1, 1, 1, 2, 3)))
        present = {member.id for member in self.stage.actors[node].running().membership.members}
        remove = [node_id for node_id in named if node_id in present and self.chance.random() < 0.4]
        members = [self._as_some_member(node_id) for node_id in named if node_id not in remove]
        self.stage.change_membership(node, members, remove)

    def _as_some_member(self, node_id: NodeId) -> Member:
        return Member(node_id, suffrage=self.chance.choice((Suffrage.VOTER, Suffrage.VOTER, Suffrage.LEARNER)))

    def take_snapshot(self) -> None:
        node = self._some_running()
        if node:
            self.stage.take_snapshot(node)

    def read(self) -> None:
        node = self._some_running()
        if node:
            self.stage.read(node)

    def transfer(self) -> None:
        leaders = self._leaders()
        if leaders:
            target = self.chance.choice([None, *self.stage.actors])
            self.stage.transfer_leadership(self.chance.choice(leaders), target)

    def crash(self) -> None:
        node = self._some_running()
        if node:
            self.stage.crash(node)

    def restart(self) -> None:
        down = [node_id for node_id, actor in self.stage.actors.items() if actor.raft is None]
        if down:
            self.stage.restart(self.chance.choice(down))

    def partition(self) -> None:
        nodes = self.chance.sample(list(self.stage.actors), len(self.stage.actors))
        if self.chance.random() < 0.5:
            nodes.sort(key=self._leaders().__contains__, reverse=True)
        self.stage.partition([nodes[: self.chance.randint(1, len(nodes) // 2)]])

    def heal(self) -> None:
        self.stage.partition([])

    # -- and its end

    def heal_everything(self) -> None:
        self.stage.partition([])
        for node_id, actor in self.stage.actors.items():
            if actor.raft is None:
                self.stage.restart(node_id)
            actor.disk_held = False
            if actor.writing is not None:
                self.stage.persist(node_id)

    def settles(self, done: Callable[[], bool]) -> bool:
        for _ in range(ROUNDS_TO_HEAL):
            for node_id in self.stage.actors:
                self.stage.tick(node_id)
            while self.stage.flights:
                self.stage.deliver(self.stage.flights[0])
            if done():
                return True
        return False

    def _leaders(self) -> list[NodeId]:
        rafts = [actor.raft for actor in self.stage.actors.values() if actor.raft is not None]
        return [raft.id for raft in rafts if raft.role is Role.LEADER]

    def _is_whole(self) -> bool:
        rafts = [actor.running() for actor in self._members()]
        last = {(raft.log.last_id, raft.log.commit_index, raft.leader_id) for raft in rafts}
        leads = any(raft.role is Role.LEADER for raft in rafts)
        return leads and len(last) == 1 and rafts[0].log.commit_index == rafts[0].log.last_index

    def scene(self) -> str:
        """The last events, and where everybody stands."""
        actors = self.stage.actors.values()
        return "\n".join([*self.told, *(line for actor in actors for line in [*status_lines(actor), log_line(actor)])])


@pytest.mark.parametrize("seed", range(300))
def test_no_schedule_breaks_safety_and_a_healed_cluster_commits(seed: int) -> None:
    schedule = Schedule(seed)
    try:
        schedule.run()
    except AssertionError as error:
        replay = f"python tests/core/test_random_schedules.py {seed}"
        raise AssertionError(f"seed {seed}: {error}; replay with: {replay}\n{schedule.scene()}") from error


def test_two_runs_of_a_seed_are_the_same_play() -> None:
    first, second = Schedule(7), Schedule(7)
    first.run()
    second.run()
    assert list(first.told) == list(second.told)


def main(seeds: range) -> None:
    """Play these seeds; show what went wrong with each that fails."""
    failed = 0
    for seed in seeds:
        schedule = Schedule(seed)
        try:
            schedule.run()
        except AssertionError as error:
            failed += 1
            kind = "unsafe" if isinstance(error, SafetyViolation) else "failed"
            sys.stdout.write(f"{schedule.scene()}\nseed {seed} {kind}: {error}\n\n")
    sys.stdout.write(f"{len(seeds)} seeds, {failed} failed\n")


if __name__ == "__main__":
    first_seed = int(sys.argv[1])
    main(range(first_seed, int(sys.argv[2]) if len(sys.argv) > 2 else first_seed + 1))
