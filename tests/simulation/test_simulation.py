"""Whole clusters under every fault: no seed breaks anything, a seed is always the same play, what is broken is found.

`raftsdk simulate` plays many more; this is what every change is tried with.
"""

import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from porcupine_check import build_porcupine
from simulated_machines import Careful, Counter, Personal, Plain

from raftsdk.errors import ConfigError
from raftsdk.ports import StateMachine
from raftsdk.storage import database
from raftsdk.testing import pytest_plugin
from raftsdk.testing.checkers import check
from raftsdk.testing.history import write_history
from raftsdk.testing.safety import SafetyViolation
from raftsdk.testing.world import Counters, Order, World, added, below_floors, draw, joint_trace, play, play_all, shrink
from raftsdk.testing.world.counters import FLOORS
from raftsdk.testing.world.workload import RegisterWorkload

raft_world = pytest_plugin.raft_world

SEEDS = range(1_000, 1_040)
EVENTS = 2_500

Play = Callable[..., World]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_seed_breaks_anything_and_a_healed_cluster_serves(seed: int) -> None:
    order = Order(events=EVENTS)
    played = play(order, seed)
    assert not played.failure, "\n".join([played.failure, order.replay(seed), *played.scene])


@pytest.mark.parametrize("voters", [1, 2, 3, 4, 5, 7])
def test_clusters_of_every_size_are_played(voters: int) -> None:
    played = play(Order(events=EVENTS, nodes=voters), seed=2_000 + voters)
    assert not played.failure
    assert played.counters.elections > 0
    assert played.counters.successes > 0


def test_the_same_seeds_are_the_same_play_in_processes_that_hash_differently() -> None:
    program = (
        "from raftsdk.testing.world import *; "
        "print(joint_trace([play(Order(events=1500), seed) for seed in range(3000, 3020)]))"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1


def test_another_seed_is_another_play() -> None:
    first, second = (play(Order(events=300), seed) for seed in (1, 2))
    assert joint_trace([first]) != joint_trace([second])


def test_processes_side_by_side_play_as_one_does() -> None:
    order = Order(events=300)
    assert list(play_all(order, range(4), workers=2)) == list(play_all(order, range(4), workers=1))


# -- what it must see


def test_a_few_dozen_seeds_see_everything_there_are_floors_for() -> None:
    total = added(play(Order(events=4_000), seed).counters for seed in range(4_000, 4_040))
    assert [name for name in FLOORS if not getattr(total, name)] == []


def test_a_run_that_saw_too_little_is_told_of() -> None:
    enough = Counters(**FLOORS)
    assert below_floors(enough, 4_000_000) == []
    assert below_floors(enough, 8_000_000) != []
    assert below_floors(Counters(), 400_000)[0] == "elections: 0, and at least 500 were due"


# -- somebody's own state machine


@pytest.mark.parametrize("machine", [Careful, Plain])
def test_a_state_machine_of_ones_own_is_played(raft_world: Play, machine: Callable[[], StateMachine]) -> None:
    for seed in range(5):
        world = raft_world(machine, seed=seed, events=1_500)
        assert world.counters.successes > 0
        assert world.machines().keys() == {member.id for member in world.membership.members}


def test_one_that_is_not_deterministic_is_found(raft_world: Play) -> None:
    with pytest.raises(SafetyViolation, match="and elsewhere to another outcome") as failure:
        raft_world(Personal, seed=1, nodes=3)
    assert any("AppendEntries" in note for note in failure.value.__notes__)


def test_one_that_does_not_hold_its_state_fast_for_a_snapshot_is_found() -> None:
    failures = [
        play(Order(events=4_000, nodes=3, state_machine="simulated_machines:Counter"), seed).failure
        for seed in range(5_000, 5_040)
    ]
    assert any("another outcome" in failure or "another state" in failure for failure in failures)


def test_machines_say_what_they_have_come_to(raft_world: Play) -> None:
    machines = raft_world(Careful, seed=3, events=500, nodes=3).machines()
    assert len({machine.total for machine in machines.values() if isinstance(machine, Counter)}) == 1


@pytest.mark.parametrize("name", ["simulated_machines:Nobody", "no.such.module:Machine", "builtins:object"])
def test_what_is_no_state_machine_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        Order(state_machine=name).machine()


# -- a seed that fails


def test_a_failing_schedule_is_shrunk_to_what_it_needs() -> None:
    order = Order(events=4_000, nodes=3, state_machine="simulated_machines:Counter")
    failed = next(played for seed in range(5_000, 5_040) if (played := play(order, seed)).failure)
    shrunk = shrink(order, failed)
    assert shrunk.faults is not None
    assert len(shrunk.faults) < len(order.scenario(failed.seed).faults)
    assert play(shrunk, failed.seed).failure


def test_a_fault_that_a_seed_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="no fault 10000"):
        Order(events=100, faults=(10_000,)).scenario(1)


# -- histories


@pytest.mark.parametrize(
    ("method", "line", "instead"),
    [
        ("_truncate", "last_index=index - 1", "last_index=index"),
        ("_compact", "record_before(last.index + 1)", "record_before(last.index)"),
        ("_compact", "compacted=last, ", ""),
    ],
    ids=["an entry too many stays", "an entry too many goes", "the log is not cut"],
)
def test_the_disks_are_our_own_store_and_a_bug_in_it_is_found(
    monkeypatch: pytest.MonkeyPatch, method: str, line: str, instead: str
) -> None:
    source = textwrap.dedent(inspect.getsource(getattr(database.Database, method)))
    assert line in source
    namespace: dict[str, Any] = {}
    exec(source.replace(line, instead), vars(database), namespace)
    monkeypatch.setattr(database.Database, method, namespace[method])
    assert any(play(Order(events=EVENTS), seed).failure for seed in range(1_000, 1_008))


def test_porcupine_says_of_the_clients_histories_what_we_say(tmp_path: Path) -> None:
    porcupine = build_porcupine(tmp_path)
    paths = []
    for seed in range(6_000, 6_020):
        world = World(draw(seed, 1_500))
        world.run()
        assert isinstance(world.workload, RegisterWorkload)
        assert check(world.workload.history).answer == "linearizable"
        paths.append(tmp_path / f"{seed}.jsonl")
        write_history(paths[-1], world.workload.history)
    assert porcupine(paths) == ["linearizable"] * len(paths)
