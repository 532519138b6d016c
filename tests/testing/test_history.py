"""What is recorded, kept and judged for being enough."""

from itertools import count
from pathlib import Path

import pytest

from raftsdk.errors import (
    CommandFailed,
    CommandTooLarge,
    NodeStopped,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    ProposalDropped,
    Refused,
    StorageFailed,
    Unreachable,
)
from raftsdk.testing.checkers import Answer, check
from raftsdk.testing.history import (
    Demands,
    Fault,
    HistoryError,
    HistoryReport,
    Operation,
    Outcome,
    Recorder,
    VoidRun,
    outcome_of,
    read_history,
    write_history,
)

SECOND = 1_000
ENOUGH = Demands(
    min_operations=10,
    min_keys=2,
    min_overlapping_percent=30,
    min_success_percent=60,
    min_successes_per_second=5,
)


def operation(number: int, *, outcome: Outcome = Outcome.OK, keys: int = 2, took: int | None = 50) -> Operation:
    """One of ten a second."""
    invoked = 100 * number
    return Operation(
        client="c1",
        key=f"k{number % keys}",
        kind="write",
        input=number,
        output=None,
        invoked=invoked,
        returned=None if took is None else invoked + took,
        outcome=outcome,
    )


def report(operations: list[Operation], *faults: Fault) -> HistoryReport:
    return HistoryReport.of(operations, faults, units_per_second=SECOND)


# -- recording


def test_a_recorder_writes_down_what_clients_were_told_and_when() -> None:
    recorder = Recorder(count(start=10).__next__)
    write = recorder.invoke("c1", "x", "write", 1)
    read = recorder.invoke("c2", "x", "read")
    waiting = recorder.invoke("c3", "x", "cas", (1, 2))
    read.returned(None)
    write.raised(TimeoutError())
    told = [(one.client, one.invoked, one.returned, one.outcome) for one in recorder.operations()]
    assert told == [("c1", 10, 14, Outcome.UNKNOWN), ("c2", 11, 13, Outcome.OK), ("c3", 12, None, Outcome.UNKNOWN)]
    waiting.returned(True)
    assert [str(one) for one in recorder.operations()] == [
        "c1 write 1 → unknown [10..14]",
        "c2 read null → null [11..13]",
        "c3 cas [1,2] → true [12..15]",
    ]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotLeader(), Outcome.FAILED),
        (Overloaded("full"), Outcome.FAILED),
        (CommandTooLarge(), Outcome.FAILED),
        (ProposalDropped(), Outcome.FAILED),
        (NodeStopped(), Outcome.FAILED),
        (Unreachable(), Outcome.FAILED),
        (OutcomeUnknown(), Outcome.UNKNOWN),
        (CommandFailed(), Outcome.UNKNOWN),
        (StorageFailed(), Outcome.UNKNOWN),
        (Refused("internal", ""), Outcome.UNKNOWN),
        (TimeoutError(), Outcome.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_says_what_a_history_may_conclude(error: Exception, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


def test_an_operation_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(HistoryError, match="ok, and never returned"):
        operation(1, took=None)
    with pytest.raises(HistoryError, match="failed, and never returned"):
        operation(1, took=None, outcome=Outcome.FAILED)
    with pytest.raises(HistoryError, match="returned before it was invoked"):
        operation(1, took=-1)
    with pytest.raises(HistoryError, match="failed, and yet it has an output"):
        Operation(client="c", key="k", kind="read", input=None, output=1, invoked=0, returned=1, outcome=Outcome.FAILED)


# -- files


def test_a_history_that_was_kept_is_read_back_as_it_was(tmp_path: Path) -> None:
    recorder = Recorder(count().__next__)
    recorder.invoke("c1", "ü\n", "write", 'ü "\n').returned()
    recorder.invoke("c1", "x", "list").returned((1, "a", None, 2**70))
    recorder.invoke("c1", "x", "cas", (None, -1)).returned(False)
    recorder.invoke("c1", "x", "acquire", "c1")
    path = tmp_path / "history.jsonl"
    write_history(path, recorder.operations())
    assert read_history(path) == recorder.operations()
    assert len(path.read_bytes().splitlines()) == 4


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        '{"client":"c"}',
        '{"client":"c","key":"x","kind":"read","input":null,"output":1.5,"invoked":0,"returned":1,"outcome":"ok"}',
        '{"client":"c","key":"x","kind":"write","input":true,"output":null,"invoked":0,"returned":1,"outcome":"ok"}',
        '{"client":"c","key":"x","kind":"read","input":null,"output":1,"invoked":0,"returned":1,"outcome":"maybe"}',
        '{"client":"c","key":"x","kind":"read","input":null,"output":1,"invoked":2,"returned":1,"outcome":"ok"}',
        '{"client":"c","key":"x","kind":"read","input":null,"output":1,"invoked":0,"returned":1,"outcome":"ok","by":1}',
    ],
)
def test_what_is_no_history_is_refused_with_the_number_of_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "history.jsonl"
    write_history(path, [operation(1)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(HistoryError, match=r"history\.jsonl, line 2: "):
        read_history(path)


# -- was it enough


def test_a_run_that_did_enough_gives_no_reason_against_it() -> None:
    enough = report([operation(number) for number in range(20)], Fault("partition", began=1_000, ended=1_500))
    enough.require(ENOUGH)
    assert enough == HistoryReport(
        operations=20,
        successes=20,
        unknown=0,
        failed=0,
        keys=2,
        overlapping=6,
        successes_before_faults=10,
        before_faults_s=1.0,
    )


def test_every_demand_that_is_not_met_is_a_reason_and_the_run_is_void() -> None:
    refusing = report(
        [operation(number, outcome=Outcome.FAILED, keys=1) for number in range(9)],
        Fault("kill", began=5_000, ended=None),
    )
    assert refusing.reasons(ENOUGH) == [
        "9 operations; at least 10 are demanded",
        "1 keys; at least 2 are demanded",
        "0.0% of the operations overlap a fault; at least 30 are demanded",
        "0.0% of the operations succeeded; at least 60 are demanded",
        "0.0 successes a second before the first fault; at least 5 are demanded",
    ]
    with pytest.raises(VoidRun, match="9 operations; at least 10 are demanded\n"):
        refusing.require(ENOUGH)


def test_a_run_in_which_nothing_was_ever_broken_is_void() -> None:
    assert report([operation(number) for number in range(20)]).reasons(ENOUGH) == [
        "0.0% of the operations overlap a fault; at least 30 are demanded"
    ]


def test_a_run_that_begins_with_a_fault_never_showed_that_the_service_works() -> None:
    broken = report([operation(number) for number in range(20)], Fault("kill", began=0, ended=None))
    assert broken.reasons(ENOUGH) == ["0.0 successes a second before the first fault; at least 5 are demanded"]


def test_a_run_of_nothing_is_void() -> None:
    assert len(report([]).reasons(ENOUGH)) == 5


def test_an_operation_overlaps_a_fault_when_its_client_waited_while_it_lasted() -> None:
    fault = Fault("partition", began=125, ended=200)
    assert [fault.overlaps(operation(number)) for number in range(4)] == [False, True, True, False]
    assert Fault("kill", began=125, ended=None).overlaps(operation(3))
    assert not fault.overlaps(operation(0, took=None, outcome=Outcome.UNKNOWN))
    assert fault.overlaps(operation(0, took=125, outcome=Outcome.UNKNOWN))


def test_a_service_that_only_refuses_is_linearizable_which_is_why_there_are_demands() -> None:
    refused = [operation(number, outcome=Outcome.FAILED) for number in range(20)]
    assert check(refused).answer is Answer.YES
    assert "0.0% of the operations succeeded; at least 60 are demanded" in report(refused).reasons(ENOUGH)
