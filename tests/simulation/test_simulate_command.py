"""`raftsdk simulate` as somebody at a terminal, or in CI, meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "raftsdk.cli", "simulate", *arguments],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )


def test_a_clean_run_counts_what_it_saw_and_ends_with_0() -> None:
    done = simulate("--seeds", "4", "--events", "500", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "4 seeds of 500 events: 0 failed"
    assert "elections" in done.stdout


def test_json_is_for_programs_and_the_same_whenever_it_is_asked_for() -> None:
    first, second = (simulate("--seeds", "3", "--events", "400", "--json") for _ in range(2))
    assert first.stdout == second.stdout
    told = json.loads(first.stdout)
    assert told["seeds"] == 3
    assert told["failures"] == []
    assert told["counters"]["events"] >= 1_200


def test_a_failing_seed_comes_with_the_command_that_plays_it_again() -> None:
    done = simulate(
        "--seed", "1", "--events", "600", "--nodes", "3", "--state-machine", "simulated_machines:Personal", "--json"
    )
    assert done.returncode == 1
    (failure,) = json.loads(done.stdout)["failures"]
    assert failure["replay"] == (
        "raftsdk simulate --seed 1 --events 600 --nodes 3 --state-machine simulated_machines:Personal"
    )
    again = simulate(*failure["shrunk"].split()[2:])
    assert again.returncode == 1
    assert "seed 1 fails: " in again.stdout
    assert "AppendEntriesRequest" in again.stdout, "the last events are shown"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--faults", "1"), "--faults belongs to one seed"),
        (("--seed", "1", "--faults", "x"), "give places and ranges"),
        (("--seed", "1", "--events", "100", "--faults", "9999"), "no fault 9999"),
        (("--state-machine", "simulated_machines:Nobody"), "cannot be made"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments: tuple[str, ...], complaint: str) -> None:
    done = simulate(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
