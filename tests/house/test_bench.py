"""The benchmarks run, count what they say, and compare round by round."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.goals import GOALS, judge
from bench.growth.endurance import Stretch
from bench.growth.failover import Failover
from bench.growth.groups import Groups
from bench.growth.idle import Idle
from bench.growth.snapshot import Phase
from bench.load import Order, Recorder, Sample, percentile, values
from bench.machine import Machine
from bench.report import Report, filled_in
from bench.rows import Load, Outcome, Row, row
from bench.suites import LINEUPS
from bench.systems import HASHICORP, RAFTSDK

ROOT = Path(__file__).parents[2]


def test_a_run_measures_what_it_was_asked_to_and_prints_one_object(tmp_path: Path) -> None:
    quickly = ("--seconds", "0.1", "--rounds", "1", "--writers", "1,8", "--peers", "raftsdk")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "writes", "reads", *quickly, "--json", "-", "--chart", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    suites = json.loads(done.stdout)["suites"]
    systems = {name: {(row["system"], row["writers"]) for row in suite["rows"]} for name, suite in suites.items()}
    assert systems == {
        "writes": {(name, count) for name in ("raftsdk, memory", "raftsdk, SQLite") for count in (1, 8)},
        "reads": {(name, count) for name in ("raftsdk, SQLite", "raftsdk, SQLite, clients") for count in (1, 8)},
    }
    for found in [*suites["writes"]["rows"], *suites["reads"]["rows"]]:
        assert 0 < found["p50_ms"] <= found["p99_ms"]
        assert found["operations_per_s"] == found["rounds"][0]["operations"] / 0.1
    assert (tmp_path / "writes.svg").read_text(encoding="utf-8").count("raftsdk, SQLite") == 2


def test_a_recorder_counts_what_was_acknowledged_in_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.load.perf_counter", lambda: 100.0)
    recorder = Recorder(2.0)  # from 100.4 to 102.4
    assert recorder.note(100.0, 100.3)
    assert recorder.note(100.3, 100.5)
    assert recorder.note(100.5, 100.9)
    assert not recorder.note(100.9, 102.4)
    sample = recorder.sample()
    assert (sample.operations, sample.operations_per_s) == (2, 1.0)
    assert (round(sample.p50_ms), round(sample.p99_ms)) == (200, 400)


def test_percentiles_are_by_nearest_rank() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], percent) for percent in (1, 50, 51, 99)] == [1.0, 2.0, 3.0, 4.0]


def test_every_writer_has_a_value_of_its_own_and_every_contestant_the_same() -> None:
    order = Order(writers=3, value_bytes=16)
    assert values(order) == values(order)
    assert {len(value) for value in values(order)} == {16}
    assert len(set(values(order))) == 3


def rounds(*rates: float) -> list[Sample | None]:
    return [Sample(1, rate, 1000 / rate, 1000 / rate) if rate else None for rate in rates]


def measured(own: list[Sample | None], other: list[Sample | None]) -> Row:
    found = row(RAFTSDK, Load(256), own, HASHICORP.name, other)
    assert found
    return found


def test_a_ratio_is_the_median_of_the_rounds_in_which_both_took_part() -> None:
    own, other = rounds(100, 300, 900, 0), rounds(50, 0, 100, 100)
    assert measured(own, other).ratio == 5.5
    assert measured(own, []).ratio is None
    assert measured(own, other).operations_per_s == 300
    assert row(RAFTSDK, Load(256), rounds(0, 0), HASHICORP.name, other) is None


@pytest.mark.parametrize(("rate", "met"), [(200_000.0, True), (199_999.0, False)])
def test_a_goal_is_judged_by_what_was_measured(rate: float, met: bool) -> None:
    other = row(HASHICORP, Load(256), rounds(100_000.0), HASHICORP.name, [])
    assert other
    verdicts = judge({"writes": [measured(rounds(rate), rounds(100_000.0)), other]})
    goal = "raftsdk, memory, 256 at once: × hashicorp/raft, memory"
    assert [verdict.met for verdict in verdicts if verdict.goal == goal] == [met]
    assert {verdict.met for verdict in verdicts if "SQLite" in verdict.goal} == {None}


GROWTH_ROWS = {"failover": Failover, "steady": Stretch, "snapshot": Phase, "groups": Groups, "idle": Idle}


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.text)
def test_every_goal_is_about_something_that_is_measured(goal: Any) -> None:
    if goal.suite in GROWTH_ROWS:
        assert {goal.figure, *goal.row} <= set(GROWTH_ROWS[goal.suite].__struct_fields__)
        return
    lineup = LINEUPS[goal.suite]
    for key in filter(None, (goal.row, goal.beside)):
        assert key["system"] in {system.name for system in lineup.beside}
        assert key["writers"] in {load.writers for load in lineup.loads}


def test_a_document_gets_the_tables_of_the_suites_that_ran_and_keeps_the_rest() -> None:
    outcome = Outcome("Writers", [measured(rounds(100.0), rounds(50.0))], compared="× other")
    report = Report(Machine(2, 0.1, "3.11", "uvloop", 0.2), 2.0, 1, 9.0, [], {"writes": outcome}, [])
    document = "# A\n<!-- writes -->\nold\n<!-- end -->\nB\n<!-- reads -->\nkept\n<!-- end -->\nC\n"
    once = filled_in(document, report)
    assert "old" not in once
    assert once.endswith("<!-- end -->\nB\n<!-- reads -->\nkept\n<!-- end -->\nC\n")
    assert "| raftsdk, memory | 256 | 100 | 100 – 100 | 10.00 | 10.00 | 2.00 |" in once
    assert filled_in(once, report) == once
