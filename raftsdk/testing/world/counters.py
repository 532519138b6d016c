"""What a run has seen, and the least it must have seen: a run that tried too little proves nothing."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct


class Counters(Struct):
    """How often each thing happened."""

    events: int = 0
    campaigns: int = 0
    elections: int = 0  #: Won ones.
    crashes: int = 0
    full_restarts: int = 0  #: Of all nodes at once.
    pauses: int = 0
    partitions: int = 0
    one_way_partitions: int = 0  #: Of these.
    membership_changes: int = 0  #: Committed, and not joint.
    joint_changes: int = 0  #: Memberships that were joint, committed.
    leaders_removed: int = 0
    snapshots: int = 0
    snapshots_sent: int = 0
    snapshots_received: int = 0
    snapshots_installed: int = 0  #: Of these, the ones that became the receiver's state.
    torn_writes: int = 0
    failed_syncs: int = 0
    wiped_disks: int = 0
    transfers: int = 0
    quiescences: int = 0  #: Of leaders.
    silences: int = 0  #: Nodes that were relied on and not heard.
    lost: int = 0
    duplicates: int = 0
    damaged: int = 0
    operations: int = 0
    successes: int = 0


EVENTS_OF_FLOORS: Final = 4_000_000

FLOORS: Final[Mapping[str, int]] = {
    "elections": 5_000,
    "crashes": 3_000,
    "full_restarts": 300,
    "partitions": 1_500,
    "one_way_partitions": 500,
    "membership_changes": 800,
    "joint_changes": 200,
    "leaders_removed": 100,
    "snapshots_installed": 500,
    "torn_writes": 200,
    "failed_syncs": 100,
    "transfers": 50,
    "quiescences": 1_000,
    "silences": 200,
}
"""The least that 400 seeds of 10,000 events must have seen; other runs in proportion."""


def added(several: Iterable[Counters]) -> Counters:
    """The sum, counter by counter."""
    total = Counters()
    for counters in several:
        for name, count in msgspec.structs.asdict(counters).items():
            setattr(total, name, getattr(total, name) + count)
    return total


def below_floors(total: Counters, events: int) -> list[str]:
    """What was seen too rarely in a run of so many events, in words.

    >>> below_floors(Counters(), 1_000_000)[0]
    'elections: 0, and at least 1250 were due'
    """
    floors = ((name, count * events // EVENTS_OF_FLOORS) for name, count in FLOORS.items())
    return [
        f"{name}: {getattr(total, name)}, and at least {floor} were due"
        for name, floor in floors
        if getattr(total, name) < floor
    ]
