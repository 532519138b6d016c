"""The table of the fault model: which scenario runs in which setting, how often in the tests and how often in a soak.

Tests run a row as it stands. `soak.py` repeats it, with other seeds and five nodes, until its long count is reached.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fault_members import change_members, change_members_while_parted
from fault_scenarios import (
    CLOCK_RATES,
    DRIFT_PERCENT,
    cut_one_way,
    fail_the_disk,
    fill_the_disk,
    jump_the_wall_clock,
    kill_processes,
    live_with_drifting_clocks,
    part_the_network,
    pause_processes,
    slow_the_disk,
    spoil_links,
)
from fault_trial import ELECTION_TIMEOUT_S, Trial, on_trial
from msgspec import Struct

from raftsdk.testing.history import HistoryReport

ON_A_MACHINE_OF_ITS_OWN: Final = {"clock_rates": (1.0,)}
LEASES: Final = {"leases": True}
BY_PROXY: Final = {**LEASES, "wired": True}
BY_KERNEL: Final = {**LEASES, "namespaces": True}
SNAPSHOTS: Final = {"raft": {"snapshot_after_entries": 100, "snapshot_trailing_entries": 10}}
"""So many, and a log so short, that whoever was away for a moment has to be sent one."""


class Row(Struct, frozen=True, kw_only=True):
    """One kind of fault. Counts are of faults; `operations` is the least that clients ask for meanwhile, `installs` the
    least of snapshots that nodes are sent.
    """

    scenario: Callable[[Trial, int], Awaitable[None]]
    in_tests: int
    in_soak: int
    operations: int
    installs: int = 0
    setting: Mapping[str, Any] = {}  #: For `on_trial`.

    async def run(
        self,
        directory: Path,
        *,
        seed: int,
        faults: int | None = None,
        longest_pause_s: float = 2 * ELECTION_TIMEOUT_S,
        **setting: Any,
    ) -> HistoryReport:
        """Do so many faults, `in_tests` unless another number is given; returns how much was asked meanwhile, once all
        that must hold has been seen to. `setting` goes over the row's own.
        """
        setting = {**self.setting, **setting}
        count = self.in_tests if faults is None else faults
        operations, installs = (least * count // self.in_tests for least in (self.operations, self.installs))
        async with on_trial(directory, seed=seed, min_operations=operations, min_installs=installs, **setting) as trial:
            trial.longest_pause_s = longest_pause_s
            await self.scenario(trial, count)
        assert trial.report is not None
        return trial.report


ROWS: Final = {
    "kill -9": Row(
        scenario=kill_processes,
        in_tests=30,
        in_soak=1_000,
        operations=4_000,
        installs=5,
        setting={**LEASES, "settings": SNAPSHOTS},
    ),
    "pause": Row(scenario=pause_processes, in_tests=10, in_soak=200, operations=3_000, setting=LEASES),
    "partition": Row(scenario=part_the_network, in_tests=10, in_soak=200, operations=3_500, setting=BY_PROXY),
    "one way": Row(scenario=cut_one_way, in_tests=6, in_soak=100, operations=2_500, setting=BY_PROXY),
    "kernel partition": Row(scenario=part_the_network, in_tests=10, in_soak=100, operations=3_300, setting=BY_KERNEL),
    "kernel one way": Row(scenario=cut_one_way, in_tests=3, in_soak=50, operations=1_500, setting=BY_KERNEL),
    # Over links that carry every byte alone, large values would leave no time for small ones.
    "bad links": Row(
        scenario=spoil_links,
        in_tests=4,
        in_soak=50,
        operations=1_500,
        setting={"wired": True, "padding_bytes": (0, 100)},
    ),
    "slow disk": Row(
        scenario=slow_the_disk,
        in_tests=1,
        in_soak=20,
        operations=1_000,
        setting={**ON_A_MACHINE_OF_ITS_OWN, "settings": {"raft": {"disk_timeout_ticks": 30}}},
    ),
    "failing disk": Row(
        scenario=fail_the_disk, in_tests=3, in_soak=50, operations=1_500, setting=ON_A_MACHINE_OF_ITS_OWN
    ),
    "full disk": Row(
        scenario=fill_the_disk, in_tests=1, in_soak=10, operations=1_000, setting={"disk_kib": 128 * 1024}
    ),
    "wall clock": Row(
        scenario=jump_the_wall_clock,
        in_tests=3,
        in_soak=20,
        operations=1_500,
        setting={**LEASES, **ON_A_MACHINE_OF_ITS_OWN},
    ),
    "drifting clocks": Row(
        scenario=live_with_drifting_clocks,
        in_tests=1,
        in_soak=20,
        operations=1_500,
        setting={
            **LEASES,
            "clock_rates": CLOCK_RATES,
            "settings": {"raft": {"max_clock_drift_percent": DRIFT_PERCENT}},
        },
    ),
    "members": Row(
        scenario=change_members,
        in_tests=4,
        in_soak=100,
        operations=2_000,
        installs=2,
        setting={**LEASES, "joining": 2, "settings": SNAPSHOTS},
    ),
    "parted members": Row(
        scenario=change_members_while_parted,
        in_tests=3,
        in_soak=60,
        operations=2_000,
        installs=2,
        setting={**BY_PROXY, "joining": 2, "settings": SNAPSHOTS},
    ),
}
