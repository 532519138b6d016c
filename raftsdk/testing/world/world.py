"""The world: nodes, clients, wires, disks and clocks in one thread, under one seed.

Everything that happens is an event on a heap, ordered by a time that nobody waits for. First trouble, for so many
events; then all faults stop, and the cluster must come together and serve. `World(draw(seed, events)).run()` is the
whole of it; a violation is raised where it happens, as `SafetyViolation`.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from raftsdk.config.rules import CODECS
from raftsdk.core.election import Role
from raftsdk.plugins import make
from raftsdk.ports import Codec, StateMachine
from raftsdk.testing.world.clients import Client
from raftsdk.testing.world.counters import Counters
from raftsdk.testing.world.healing import Healing
from raftsdk.testing.world.invariants import Invariants
from raftsdk.testing.world.machine import Registers, Watched, watched
from raftsdk.testing.world.network import Network
from raftsdk.testing.world.node import Node
from raftsdk.testing.world.operator import Operator
from raftsdk.testing.world.oracle import Oracle
from raftsdk.testing.world.scenario import Scenario
from raftsdk.testing.world.trace import Trace
from raftsdk.testing.world.trouble import Trouble
from raftsdk.testing.world.workload import RegisterWorkload, SomebodysWorkload, Workload
from raftsdk.types import EntryKind, LogIndex, Member, Membership, NodeId, Suffrage

CODEC: Final = "msgpack"


class World:
    """One cluster and everything around it. `machine` makes a state machine, fresh for every start of a node."""

    def __init__(self, scenario: Scenario, machine: Callable[[], StateMachine] = Registers) -> None:
        self.scenario = scenario
        self.now = 0  #: In microseconds.
        self.counters = Counters()
        self.trace = Trace()
        self.codec: Codec = make(CODECS, CODEC)
        self.network = Network(self, self.codec)
        self.nodes: dict[NodeId, Node] = {}
        self.safety = Invariants(self)
        self.oracle = Oracle(self)
        self.is_healing = False  #: No faults any more, and clients begin nothing new.
        self.has_ended = False
        self._machine = machine
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._pushed = 0
        ids = [f"n{place}" for place in range(1, scenario.voters + scenario.learners + 1)]
        self.founders = Membership(
            tuple(
                Member(node_id, suffrage=Suffrage.VOTER if place < scenario.voters else Suffrage.LEARNER)
                for place, node_id in enumerate(ids)
            )
        )
        self.trouble = Trouble(self)
        self.operator = Operator(self)
        for _ in ids:
            self._new_node(self.founders, 0)
        self.workload = self._new_workload()
        self.clients = [
            Client(self, f"c{place}", self.workload, has_session=place < scenario.sessions * scenario.clients)
            for place in range(scenario.clients)
        ]

    def _new_workload(self) -> Workload:
        scenario = self.scenario
        if self._machine is Registers:
            return RegisterWorkload(scenario.reads, scenario.keys)
        return SomebodysWorkload(self._machine, scenario.reads)

    # -- the run

    def run(self) -> None:
        """Trouble, then healing. Raises `SafetyViolation` for whatever must not be."""
        faults = iter(self.scenario.faults)
        fault = next(faults, None)
        counters, events = self.counters, self.scenario.events
        try:
            while counters.events < events:
                while fault is not None and fault.at_event <= counters.events:
                    self.trouble.strike(fault)
                    fault = next(faults, None)
                self.step()
            Healing(self).run()
        finally:
            for node in self.nodes.values():
                node.disk.close()
        self.has_ended = True

    def step(self) -> None:
        """Let the next thing happen."""
        self.now, _, action, arguments = heappop(self._heap)
        action(*arguments)

    def after(self, delay_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do something later; what is due at the same time is done in the order in which it was asked for."""
        self._pushed += 1
        heappush(self._heap, (self.now + delay_us, self._pushed, action, arguments))

    def happens(self, whom: str, what: bytes) -> None:
        """Count and remember an event."""
        self.counters.events += 1
        self.trace.add(self.now, whom, what)

    # -- the cluster

    def add_node(self, incarnation: int) -> Node:
        """Start a node that knows nobody, and waits to be added."""
        return self._new_node(Membership(()), incarnation)

    def _new_node(self, membership: Membership, incarnation: int) -> Node:
        place = len(self.nodes)
        rates = self.scenario.clock_rates
        node_id = f"n{place + 1}"
        node = Node(
            self,
            node_id,
            self._watched_machine,
            rates[place % len(rates)],
            membership=membership,
            incarnation=incarnation,
        )
        self.nodes[node_id] = node
        node.start()
        return node

    def fresh_machine(self) -> StateMachine:
        """A state machine of the kind that is tried, in no node."""
        return self._machine()

    def _watched_machine(self) -> StateMachine:
        return watched(self._machine(), self._executes)

    def _executes(self, command: bytes, index: LogIndex) -> None:
        entry = self.safety.committed[index - 1]
        if entry.kind == EntryKind.SESSION_COMMAND:
            self.oracle.executes(index, _session_of(entry.data))

    @property
    def membership(self) -> Membership:
        """Who the members are, as committed."""
        changes = self.safety.memberships
        return changes[-1][1] if changes else self.founders

    def machines(self) -> dict[NodeId, StateMachine]:
        """The state machines of all members that are up, for whoever wants to see what they have come to."""
        members = [self.nodes[member.id] for member in self.membership.members]
        watched_ones = {node.id: node.state.state_machine for node in members if node.is_up}
        return {node_id: one.machine for node_id, one in watched_ones.items() if isinstance(one, Watched)}

    def running(self) -> list[Node]:
        """All nodes that are up."""
        return [node for node in self.nodes.values() if node.is_up]

    def leader(self) -> Node | None:
        """Who leads the highest term that anybody leads."""
        leaders = [node for node in self.nodes.values() if node.raft is not None and node.raft.role is Role.LEADER]
        return max(leaders, key=lambda node: node.raft.term if node.raft else 0, default=None)


def _session_of(data: bytes) -> tuple[int, int]:
    """Session and sequence of an entry of kind `SESSION_COMMAND`; see `raftsdk.runtime.sessions`."""
    return int.from_bytes(data[8:16], "big"), int.from_bytes(data[16:24], "big")
