"""Cases that are known to fail may fail, and must: a list that nobody mends is a list that nobody reads."""

from pathlib import Path
from typing import Any

import pytest

from raftsdk.errors import ConfigError
from raftsdk.testing.conformance.known import KnownFailing
from raftsdk.testing.conformance.trial import Outcome, Result, Subject, Trial, run
from raftsdk.testing.suite import Case


async def passes(_: None) -> None:
    pass


async def fails(_: None) -> None:
    raise AssertionError("no")


TRIALS: list[Trial[Any]] = [
    Trial(Subject("a", None), Case("a sentence", passes, "9.1")),
    Trial(Subject("a", None), Case("another one", fails, "9.2")),
    Trial(Subject("b", None), Case("another one", fails, "9.2")),
]


def judged(*lines: str) -> list[Outcome]:
    known = KnownFailing(lines)
    known.check(TRIALS)
    return [known.judge(run(trial)).outcome for trial in TRIALS]


def test_without_a_list_everything_is_what_it_is() -> None:
    assert judged() == [Outcome.PASSED, Outcome.FAILED, Outcome.FAILED]


def test_a_listed_failure_is_known_and_the_same_of_another_subject_is_not() -> None:
    assert judged("# see issue 12", "", "  a 9.2   another one ") == [Outcome.PASSED, Outcome.KNOWN, Outcome.FAILED]


def test_a_listed_case_that_passes_is_told_with_the_line_to_take_out() -> None:
    known = KnownFailing(["# once upon a time", "a 9.1 a sentence"], "known.txt")
    result = known.judge(run(TRIALS[0]))
    assert result.outcome is Outcome.MENDED
    assert result.message == "listed as failing in known.txt, and it passes: take line 2 out"


def test_a_skipped_case_stays_skipped() -> None:
    skipped = Result(subject="a", clause="9.1", sentence="a sentence", outcome=Outcome.SKIPPED)
    assert KnownFailing(["a 9.1 a sentence"]).judge(skipped) is skipped


def test_a_line_that_is_no_case_is_refused_with_its_number() -> None:
    with pytest.raises(ConfigError, match=r"line 2: 'a 9\.2 another won' is no case of this run"):
        KnownFailing(["a 9.1 a sentence", "a 9.2 another won"]).check(TRIALS)


def test_lines_about_subjects_of_other_runs_are_left_alone() -> None:
    KnownFailing(["c 9.9 whatever"]).check(TRIALS)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the list of known failures '.*nowhere' cannot be read"):
        KnownFailing.read(tmp_path / "nowhere")
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match="cannot be read"):
        KnownFailing.read(tmp_path / "latin")


def test_the_line_of_a_failure_is_its_line_in_the_list() -> None:
    assert run(TRIALS[1]).line == str(TRIALS[1]) == "a 9.2 another one"
