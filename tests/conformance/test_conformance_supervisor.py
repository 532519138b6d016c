"""A run goes on whatever becomes of the processes it happens in."""

from pathlib import Path

import pytest

from raftsdk.errors import RaftError
from raftsdk.testing.conformance.plan import Order, plan
from raftsdk.testing.conformance.supervisor import MAX_LOSSES, supervise
from raftsdk.testing.conformance.trial import Outcome, Result

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def strange_codecs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process and in those it starts."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(HERE)


def results_of(name: str, *clauses: str, limit_s: float = 30.0) -> list[Result]:
    """Results of some clauses: those of 8.2 and many of 8.5 have commands in them, those of 9.14 none."""
    order = Order(tier="codecs", codecs=[f"strange_codecs:{name}"], clauses=[*clauses, "9.14"], examples=1)
    trials = plan(order)
    results = list(supervise(order, trials, limit_s))
    assert sorted(result.line for result in results) == sorted(map(str, trials))
    return results


def failed(results: list[Result]) -> list[Result]:
    return [result for result in results if result.outcome is Outcome.FAILED]


def test_a_codec_that_hangs_fails_where_it_hangs_and_is_then_left_alone() -> None:
    lost = failed(results_of("Hangs", "8.2", "8.5", limit_s=2.0))
    assert {result.subject for result in lost} == {"hangs"}
    assert {result.message for result in lost[:MAX_LOSSES]} == {"not done after 2 s, and its process had to be ended"}
    assert {result.message for result in lost[MAX_LOSSES:]} == {
        f"not tried, after the loss of {MAX_LOSSES} processes; of the last: {lost[0].message}"
    }


def test_a_codec_that_crashes_fails_with_its_last_words() -> None:
    lost = failed(results_of("Crashes", "8.2"))
    assert lost[0].message == "its process ended with exit code 77: segmentation fault, nearly"
    assert lost[0].clause == "8.2"


def test_a_codec_that_ends_the_program_fails_and_ends_nothing() -> None:
    results = results_of("Leaves", "8.2")
    assert failed(results)
    assert all("enough" in result.message for result in failed(results))
    assert any(result.outcome is Outcome.PASSED and result.subject == "leaves" for result in results)


def test_what_a_codec_prints_disturbs_nobody() -> None:
    assert failed(results_of("Talks", "8.2")) == []


def test_a_worker_that_cannot_start_ends_the_run_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order(tier="codecs", codecs=["strange_codecs:Talks"], clauses=["9.14"])
    trials = plan(order)
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(RaftError, match="no worker process can be started: its process ended with exit code 1"):
        list(supervise(order, trials))


def test_a_worker_that_sees_other_cases_is_not_believed() -> None:
    order = Order(tier="codecs", codecs=["strange_codecs:Talks"], clauses=["9.14"])
    trials = plan(order)
    with pytest.raises(RaftError, match="a worker process found"):
        list(supervise(order, trials[:-1]))
