"""What befalls real processes, row by row of the fault model, while clients read, write and compare-and-set.

What must hold always is in `fault_trial`, what must hold under one kind of fault in `fault_scenarios`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_members import OPERATOR_TIMEOUT_MS
from fault_rows import ROWS
from fault_trial import HISTORY_FILE, on_trial
from porcupine_check import build_porcupine

from raftsdk.testing.checkers import NotLinearizable, check
from raftsdk.testing.history import Demands, read_history
from raftsdk.testing.wiring import alone

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "faults.md"


@pytest.fixture(scope="module")
def kept() -> list[Path]:
    """The histories of this module's tests so far."""
    return []


@pytest.fixture(autouse=True)
def _keep_the_history(kept: list[Path], tmp_path: Path) -> Iterator[None]:
    yield
    kept += tmp_path.glob(HISTORY_FILE)


async def test_nothing_acknowledged_is_lost_however_often_the_leader_a_follower_or_all_are_killed(
    tmp_path: Path,
) -> None:
    await ROWS["kill -9"].run(tmp_path, seed=1)


@pytest.mark.parametrize(("pauses", "nodes", "transport", "codec"), [(6, 3, "tcp", "msgpack"), (4, 5, "unix", "json")])
async def test_who_was_stopped_for_a_while_answers_no_read_from_its_past(
    tmp_path: Path, pauses: int, nodes: int, transport: str, codec: str
) -> None:
    settings = {"codecs": [codec]}
    await ROWS["pause"].run(tmp_path, seed=2, faults=pauses, nodes=nodes, transport=transport, settings=settings)


@pytest.mark.parametrize(("nodes", "partitions"), [(3, 5), (5, 5)])
async def test_the_part_of_a_network_that_has_a_majority_serves_whatever_the_parts(
    tmp_path: Path, nodes: int, partitions: int
) -> None:
    await ROWS["partition"].run(tmp_path, seed=3, nodes=nodes, faults=partitions)


async def test_a_cut_in_one_direction_costs_at_most_two_terms_and_a_leader_that_hears_nobody_its_office(
    tmp_path: Path,
) -> None:
    await ROWS["one way"].run(tmp_path, seed=4)


@pytest.mark.parametrize(("nodes", "partitions"), [(3, 5), (5, 5)])  # of three, each might cut off the leader
async def test_a_network_whose_kernel_drops_packets_falls_apart_as_one_of_proxies_does(
    tmp_path: Path, nodes: int, partitions: int
) -> None:
    await ROWS["kernel partition"].run(tmp_path, seed=13, nodes=nodes, faults=partitions)


async def test_packets_dropped_in_one_direction_cost_no_more_than_bytes_held_back(tmp_path: Path) -> None:
    await ROWS["kernel one way"].run(tmp_path, seed=14)


async def test_links_that_lose_delay_and_slice_what_they_carry_make_nobody_read_what_was_not_sent(
    tmp_path: Path,
) -> None:
    await ROWS["bad links"].run(tmp_path, seed=5)


async def test_a_leader_whose_disk_takes_seconds_for_a_write_is_followed_by_one_with_a_better_disk(
    tmp_path: Path,
) -> None:
    await ROWS["slow disk"].run(tmp_path, seed=6)


async def test_a_node_whose_disk_fails_stops_and_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    await ROWS["failing disk"].run(tmp_path, seed=7)


async def test_a_node_whose_disk_is_full_promises_nothing_and_is_back_when_there_is_space(tmp_path: Path) -> None:
    await ROWS["full disk"].run(tmp_path, seed=8)


async def test_the_wall_clock_means_nothing(tmp_path: Path) -> None:
    await ROWS["wall clock"].run(tmp_path, seed=9)


async def test_clocks_a_fifth_too_fast_and_too_slow_cost_no_election(tmp_path: Path) -> None:
    await ROWS["drifting clocks"].run(tmp_path, seed=10)


async def test_members_join_leave_and_are_replaced_and_one_that_lost_its_data_is_refused(tmp_path: Path) -> None:
    await ROWS["members"].run(tmp_path, seed=11)


async def test_changes_of_members_are_finished_or_undone_while_the_leader_or_a_follower_is_cut_off(
    tmp_path: Path,
) -> None:
    await ROWS["parted members"].run(tmp_path, seed=15)


async def test_a_cluster_that_keeps_nothing_on_disk_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(NotLinearizable, match="key"):
        await forget_everything(tmp_path)


async def forget_everything(directory: Path) -> None:
    async with on_trial(directory, seed=12, min_operations=0, storage="memory", sessions=False) as trial:
        await trial.kill(*trial.nodes)


async def test_a_lease_of_a_clock_far_slower_than_the_nodes_were_told_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(NotLinearizable, match="key"):
        await believe_a_slow_clock(tmp_path)


async def believe_a_slow_clock(directory: Path) -> None:
    """Cut off, the leader counts a tenth of the time in which the others elect another."""
    settings = {"raft": {"heartbeat_interval_ticks": 1}}
    async with on_trial(
        directory, seed=16, min_operations=0, wired=True, leases=True, clock_rates=(0.1, 1, 1), settings=settings
    ) as trial:
        slow = trial.nodes[0]
        async with trial.client(*trial.cluster.addresses, timeout_ms=OPERATOR_TIMEOUT_MS) as admin:
            assert await admin.transfer_leadership(slow.node_id) == slow.node_id
        await trial.leader(other_than=trial.nodes[1])
        with trial.fault("a slow clock, alone"):
            trial.cuts.connect(alone(slow.node_id, trial.cuts.nodes))
            await trial.leader(other_than=slow)
            await trial.serves(100)
            async with trial.client(slow.address) as strayed:
                await trial.workload.read_by_lease(strayed)
            trial.cuts.heal()


def test_porcupine_says_of_all_these_histories_what_we_say(kept: list[Path], tmp_path: Path) -> None:
    if not kept:
        pytest.skip("no test before this one has left a history: run the whole file")
    ours = [str(check(read_history(path)).answer) for path in kept]
    assert build_porcupine(tmp_path)(kept) == ours


def test_the_documentation_has_the_same_rows_with_the_same_counts() -> None:
    table = re.findall(r"^\| ([^|]+) \|[^|]+\| ([\d,]+) \| ([\d,]+) \|$", DOCUMENTATION.read_text(), re.MULTILINE)
    assert table == [(name, f"{row.in_tests:,}", f"{row.in_soak:,}") for name, row in ROWS.items()]


def test_all_rows_together_ask_as_much_as_a_run_must() -> None:
    demanded = Demands()
    assert sum(row.operations for row in ROWS.values()) >= demanded.min_operations
