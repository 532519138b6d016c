"""After the trouble: all faults stop, and in bounded time one leader leads equal logs and serves a fresh write."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from raftsdk.core.election import Role
from raftsdk.runtime.applied import AppliedState
from raftsdk.testing.checkers import Answer
from raftsdk.testing.safety import SafetyViolation, demand
from raftsdk.testing.world.bulk import complete, joined
from raftsdk.testing.world.clients import Client
from raftsdk.testing.world.disk import Fate
from raftsdk.types import NodeId, Term

if TYPE_CHECKING:
    from raftsdk.testing.world.node import Node
    from raftsdk.testing.world.world import World

TIMEOUTS: Final = 20
"""Election timeouts, on the slowest clock, within which the cluster has to be well."""

QUIET_TIMEOUTS: Final = 6
"""Election timeouts for which a quiet cluster is looked at: nobody who misses heartbeats would wait so long."""

FAILOVER_TIMEOUTS: Final = 10
"""Election timeouts in which somebody else has to lead, after a split vote or two."""

SLOWEST_CLOCK: Final = 0.8


class Healing:
    """Mends everything, waits, and looks."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def run(self) -> None:
        """Raises `SafetyViolation` when the cluster does not come together, or has lost something."""
        world = self._world
        self._mend()
        until = world.now + int(TIMEOUTS * world.scenario.election_us / SLOWEST_CLOCK)
        self._wait(until, self._is_whole, "the healed cluster does not come together")
        fresh = Client(world, "fresh", world.workload, has_session=False)
        world.clients.append(fresh)
        self._wait(until, lambda: fresh.has_written, "the healed cluster serves nothing")
        self._wait(until, self._is_quiet, "the healed cluster does not come to rest")
        self._demand_equal_states()
        config = world.scenario.config
        if config.quiesce_interval_ticks and not config.lease_reads:
            self._wait(until, self._has_quiesced, "the healed cluster does not quiesce")
            if config.pre_vote and config.check_quorum:
                self._demand_the_same_leader()
            self._demand_another_leader()
        verdict = world.workload.verdict()
        demand(verdict.answer is Answer.YES, lambda: f"the clients' history: {verdict}")

    def _mend(self) -> None:
        world = self._world
        world.is_healing = True
        world.trouble.stop()
        world.network.calm()
        for node in world.nodes.values():
            node.mend()
            if not node.is_up:
                node.start()

    def _wait(self, until: int, done: Callable[[], bool], failure: str) -> None:
        world = self._world
        while not done():
            self._retire()
            pause_until = world.now + world.scenario.election_us // 4
            while world.now < pause_until:
                world.step()
            if world.now >= until:
                raise SafetyViolation(f"{failure}: {self._picture()}")

    def _retire(self) -> None:
        """Switch off who is no member any more, as an operator does, and on again whom an open change still needs."""
        world = self._world
        needed = {member.id for member in world.membership.members} | {world.operator.to_readmit}
        for node in [world.nodes[member.id] for member in world.membership.members]:
            if node.raft is not None:
                needed |= {member.id for member in node.raft.membership.members} | {*node.raft.membership.outgoing}
        for node in world.nodes.values():
            if node.id in needed and not node.is_up:
                node.start()
            elif node.id not in needed and node.is_up and world.leader() is not None:
                node.crash(Fate.KEPT)

    def _members(self) -> list["Node"]:
        world = self._world
        return [world.nodes[member.id] for member in world.membership.members]

    def _is_whole(self) -> bool:
        world = self._world
        if world.operator.to_readmit is not None or world.membership.outgoing:
            return False
        rafts = [node.raft for node in self._members() if node.raft is not None]
        places = {(raft.log.last_id, raft.log.commit_index, raft.leader_id, raft.term) for raft in rafts}
        leaders = [raft for raft in rafts if raft.role is Role.LEADER]
        alike = len(places) == 1 and len(leaders) == 1 and leaders[0].membership == world.membership
        return alike and leaders[0].log.commit_index == leaders[0].log.last_index

    def _is_quiet(self) -> bool:
        world = self._world
        applied = {node.state.index for node in self._members()}
        busy = any(client.operation is not None for client in world.clients)
        return self._is_whole() and not busy and applied == {len(world.safety.committed)}

    def _has_quiesced(self) -> bool:
        return all(node.raft is not None and node.raft.quiescence.holds for node in self._members())

    def _demand_the_same_leader(self) -> None:
        """Nobody is elected because it is quiet. (Without pre-vote and check-quorum, somebody may be: a heartbeat from
        before, five timeouts late, wakes a follower of which nobody knows that it waits.)
        """
        world = self._world
        before = self._terms()
        until = world.now + QUIET_TIMEOUTS * world.scenario.election_us
        while world.now < until:
            world.step()
        demand(self._terms() == before, lambda: f"elections without need: {before} became {self._terms()}")

    def _demand_another_leader(self) -> None:
        """A leader that falls silent while it is quiet is missed as soon as any other."""
        world = self._world
        leader, voters = world.leader(), world.membership.voters()
        assert leader is not None, "a quiet cluster has a leader"
        if len(voters - {leader.id}) <= len(voters) // 2:
            return
        leader.crash(Fate.KEPT)
        timeout_us = int(FAILOVER_TIMEOUTS * world.scenario.election_us / SLOWEST_CLOCK)
        until = world.now + timeout_us
        while world.leader() is None:  # and the old one stays where it is
            world.step()
            demand(world.now < until, lambda: f"nobody misses the leader of a quiet cluster: {self._picture()}")
        leader.start()
        self._wait(world.now + timeout_us, self._is_quiet, "the leader that was missed does not come back")

    def _terms(self) -> list[tuple[Term, NodeId | None]]:
        return [(node.raft.term, node.raft.leader_id) for node in self._members() if node.raft is not None]

    def _demand_equal_states(self) -> None:
        """The durability scan: the committed log, applied to a fresh state, is what every member has come to.

        And what was acknowledged is in that log, where its client was told that it is.
        """
        world = self._world
        committed = world.safety.committed
        for index, command in world.oracle.acknowledged.items():
            kept = committed[index - 1].data.endswith(command)
            demand(kept, lambda: f"what was acknowledged at {index} is lost")
        model = AppliedState(world.fresh_machine(), world.founders)
        model.apply(committed, 1)
        for node in self._members():
            assert node.raft is not None
            log = node.raft.log
            equal = log.between(log.first_index, log.last_index) == committed[log.first_index - 1 :]
            demand(equal, lambda: f"{node.id} has another log than was committed")
            if model.can_snapshot:
                same = complete(joined(node.state.snapshot())) == complete(joined(model.snapshot()))
                demand(same, lambda: f"{node.id} has come to another state than its log gives")

    def _picture(self) -> str:
        lines = []
        for node in self._world.nodes.values():
            raft = node.raft
            if raft is None:
                lines.append(f"{node.id} is down")
                continue
            lines.append(
                f"{node.id} {raft.role.value} term={raft.term} leader={raft.leader_id} last={raft.log.last_id.index}@"
                f"{raft.log.last_id.term} commit={raft.log.commit_index} applied={node.state.index} "
                f"members={','.join(member.id for member in raft.membership.members)} "
                f"outgoing={','.join(raft.membership.outgoing)} "
                f"{ {peer: str(progress) for peer, progress in raft.progress.items()} or '' }"
            )
        return "; ".join(lines)
