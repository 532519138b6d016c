"""Faults carried out: who is meant in the cluster as it is now, what is done to them, and how it ends."""

from random import Random
from typing import TYPE_CHECKING, Final

from raftsdk.testing.world.disk import Fate
from raftsdk.testing.world.faults import Fault, FaultKind
from raftsdk.types import MAX_INTEGER, Membership

if TYPE_CHECKING:
    from raftsdk.testing.world.node import Node
    from raftsdk.testing.world.world import World

MIN_VOTERS_TO_WIPE: Final = 3
"""With fewer, the loss of one disk is the loss of a majority, against which nothing helps."""


class Trouble:
    """Makes trouble, until it is told to stop."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._chance = Random(f"{world.scenario.seed}:trouble")
        self._stopped = False

    def stop(self) -> None:
        """What is broken stays so for others to mend; nothing new breaks."""
        self._stopped = True

    def strike(self, fault: Fault) -> None:
        """Carry out one fault."""
        self._world.happens("", fault.kind.value.encode())
        match fault.kind:
            case FaultKind.CRASH_ALL:
                self._crash_all(fault)
            case FaultKind.CUT | FaultKind.CUT_ONE_WAY | FaultKind.BRIDGE:
                self._cut(fault)
            case FaultKind.STORM:
                self._world.network.storm(1)
                self._world.after(self._lasts_us(fault), self._world.network.storm, -1)
            case FaultKind.CHANGE_MEMBERS:
                self._world.operator.change(fault)
            case FaultKind.TRANSFER:
                self._world.operator.transfer(fault)
            case _:
                self._befall(fault)

    def _befall(self, fault: Fault) -> None:
        """What befalls one node."""
        world = self._world
        node = self._victim(fault)
        if node is None:
            return
        match fault.kind:
            case FaultKind.CRASH:
                self.crash(node, fault)
            case FaultKind.PAUSE:
                world.counters.pauses += 1
                node.pause()
                world.after(self._lasts_us(fault), node.resume)
            case FaultKind.SLOW_LINK:
                world.network.slow(node.id, int(fault.how * 3 * world.scenario.election_us))
                world.after(self._lasts_us(fault), world.network.slow, node.id, 0)
            case FaultKind.SLOW_DISK:
                node.disk_slowness += 1
                world.after(self._lasts_us(fault), self._quicken, node)
            case FaultKind.SYNC_FAILURE:
                node.sync_fails = True
            case FaultKind.WIPE:
                self._wipe(node, fault)
            case FaultKind.SNAPSHOT:
                node.bulk.take()

    def _lasts_us(self, fault: Fault) -> int:
        return 1 + int(fault.for_timeouts * self._world.scenario.election_us)

    def _victim(self, fault: Fault) -> "Node | None":
        leader = self._world.leader()
        if fault.leader and leader is not None:
            return leader
        up = self._world.running()
        return up[int(fault.who * len(up))] if up else None

    # -- processes

    def crash(self, node: "Node", fault: Fault) -> None:
        """End one; it comes back after a while."""
        self._world.counters.crashes += 1
        fates = (Fate.LOST, Fate.KEPT, Fate.TORN)
        node.crash(self._chance.choice(fates), self._chance.random())
        self._world.after(self._lasts_us(fault), self.restart, node)

    def restart(self, node: "Node") -> None:
        """Start one that is down."""
        if not node.is_up and not self._stopped:
            node.start()

    def _crash_all(self, fault: Fault) -> None:
        self._world.counters.full_restarts += 1
        for node in self._world.running():
            self.crash(node, fault)

    def sync_failed(self, node: "Node") -> None:
        """The disk has refused a write: nobody may go on after that (`ports.Storage`)."""
        node.sync_fails = False
        self._world.counters.failed_syncs += 1
        node.crash(self._chance.choice((Fate.LOST, Fate.KEPT, Fate.TORN)), self._chance.random())
        self._world.after(int(self._world.scenario.election_us * 2 * self._chance.random()), self.restart, node)

    # -- disks

    def _quicken(self, node: "Node") -> None:
        node.disk_slowness -= 1

    def _wipe(self, node: "Node", fault: Fault) -> None:
        """Take a voter's disk, when nobody is about to change the members and no other is missing one: with a second
        one fewer to vote, the majority may be gone for good.
        """
        world, membership = self._world, self._world.membership
        voters = membership.voters()
        rafts = [other.raft for other in world.running() if other.raft is not None]
        agreed = not world.safety.has_open_change() and not any(raft.log.membership_is_open() for raft in rafts)
        if world.operator.to_readmit or not agreed or membership.outgoing:
            return
        if node.id not in voters or len(voters) < MIN_VOTERS_TO_WIPE:
            return
        world.counters.wiped_disks += 1
        self.crash(node, fault)
        node.disk.wipe()
        node.membership = Membership(())
        node.incarnation = self._chance.randrange(1, MAX_INTEGER)
        world.safety.loses_disk(node)
        world.operator.readmit(node.id, node.incarnation)

    # -- wires

    def _cut(self, fault: Fault) -> None:
        wires = self._wires(fault)
        if not wires:
            return
        counters = self._world.counters
        counters.partitions += 1
        counters.one_way_partitions += fault.kind is FaultKind.CUT_ONE_WAY
        self._world.network.cut(wires)
        self._world.after(self._lasts_us(fault), self._world.network.mend, wires)

    def _wires(self, fault: Fault) -> list[tuple[str, str]]:
        ids = list(self._world.nodes)
        self._chance.shuffle(ids)
        leader = self._world.leader()
        if fault.leader and leader is not None:
            ids.remove(leader.id)
            ids.insert(0, leader.id)
        if len(ids) < 2:
            return []
        size = 1 + int(fault.how * (len(ids) // 2))
        one, others = ids[:size], ids[size:]
        match fault.kind:
            case FaultKind.CUT:
                return [wire for a in one for b in others for wire in ((a, b), (b, a))]
            case FaultKind.CUT_ONE_WAY if fault.who < 1 / 4:
                return [(ids[0], other) for other in ids[1:]]
            case FaultKind.CUT_ONE_WAY if fault.who < 2 / 4:
                return [(other, ids[0]) for other in ids[1:]]
            case FaultKind.CUT_ONE_WAY if fault.who < 3 / 4:
                return [(ids[0], ids[1])]
            case FaultKind.CUT_ONE_WAY:
                # What the first sends arrives, and the answers do not: it knows less than the second has.
                return [(ids[1], ids[0])]
        # A bridge: the last sees everybody, and the two groups see each other through it alone.
        return [wire for a in one for b in others[:-1] for wire in ((a, b), (b, a))]
