"""What goes wrong, and when: drawn before a run begins, as a list that can be printed, cut down and played again.

A fault names nobody: it says "the leader" or "the node at 0.37 of those that are up", which has a meaning in whatever
the cluster has become by then. So any part of a schedule is a schedule too, and a failing one can be shrunk.
"""

from collections.abc import Mapping
from enum import StrEnum
from random import Random
from typing import Final

from msgspec import Struct


class FaultKind(StrEnum):
    """What can be done to a cluster."""

    CRASH = "crash"  #: A process ends at once; a write under way is lost, kept, or torn.
    CRASH_ALL = "crash-all"  #: So do all of them.
    PAUSE = "pause"  #: A process stands still, and its clock goes on.
    CUT = "cut"  #: The wires between two groups of nodes, both ways.
    CUT_ONE_WAY = "cut-one-way"  #: The wires from one node to others, or from others to it.
    BRIDGE = "bridge"  #: Two groups that see each other only through one node.
    STORM = "storm"  #: Messages get lost and late everywhere, much more than usual.
    SLOW_LINK = "slow-link"  #: Whatever is sent to a node arrives late, in order or nearly.
    SLOW_DISK = "slow-disk"  #: Writes take as long as elections, or longer.
    SYNC_FAILURE = "sync-failure"  #: The disk refuses a write: the node must stop.
    WIPE = "wipe"  #: A node loses its disk, and comes back with a new one.
    CHANGE_MEMBERS = "change-members"
    TRANSFER = "transfer"  #: Leadership is to be handed over.
    SNAPSHOT = "snapshot"  #: A node is told to take a snapshot.


class Fault(Struct, frozen=True):
    """One of them. The numbers from 0 to 1 are chance drawn beforehand; what they choose depends on the kind."""

    kind: FaultKind
    at_event: int  #: How many events have happened when it strikes.
    leader: bool  #: It is for whoever leads then, if anybody does.
    who: float
    how: float
    for_timeouts: float  #: How long it lasts, in election timeouts.

    def __str__(self) -> str:
        """As a shrunk schedule shows it."""
        whom = "the leader" if self.leader else f"node {self.who:.2f}"
        return f"{self.at_event:>6} {self.kind.value:<14} {whom:<10} how {self.how:.2f} for {self.for_timeouts:.1f}"


EVENTS_OF_RATES: Final = 10_000

RATES: Final[Mapping[FaultKind, float]] = {
    FaultKind.CRASH: 12,
    FaultKind.CRASH_ALL: 1.2,
    FaultKind.PAUSE: 8,
    FaultKind.CUT: 4,
    FaultKind.CUT_ONE_WAY: 5,
    FaultKind.BRIDGE: 1,
    FaultKind.STORM: 1.5,
    FaultKind.SLOW_LINK: 5,
    FaultKind.SLOW_DISK: 3,
    FaultKind.SYNC_FAILURE: 0.6,
    FaultKind.WIPE: 3,
    FaultKind.CHANGE_MEMBERS: 8,
    FaultKind.TRANSFER: 3,
    FaultKind.SNAPSHOT: 2,
}
"""How often each happens in 10,000 events; every seed changes each by up to a factor of three."""

LEADER_SHARE: Final = 0.4
MEAN_TIMEOUTS: Final = 2.5


def draw_faults(chance: Random, events: int) -> tuple[Fault, ...]:
    """A schedule for a run of so many events, in its order."""
    faults: list[Fault] = []
    for kind, rate in RATES.items():
        expected = rate * 3 ** chance.uniform(-1, 1) * events / EVENTS_OF_RATES
        count = int(expected + chance.random())
        faults += [_draw(chance, kind, events) for _ in range(count)]
    return tuple(sorted(faults, key=lambda fault: fault.at_event))


def _draw(chance: Random, kind: FaultKind, events: int) -> Fault:
    return Fault(
        kind=kind,
        at_event=chance.randrange(events),
        leader=chance.random() < LEADER_SHARE,
        who=chance.random(),
        how=chance.random(),
        for_timeouts=round(0.2 + chance.expovariate(1 / MEAN_TIMEOUTS), 2),
    )
