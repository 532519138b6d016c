"""One subject, one case: a trial. One trial that was run: a result."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar
from unittest import SkipTest

from msgspec import Struct
from msgspec.structs import replace

from raftsdk.testing.conformance.evidence import Evidence, Exhibit, Mismatch, exhibit, printable
from raftsdk.testing.suite import Case

Target = TypeVar("Target")

MAX_MESSAGE_CHARS: Final = 2_000


@dataclass(frozen=True)
class Subject(Generic[Target]):
    """What is tried, and under which headings a report shows it."""

    name: str  #: In reports and known-failing lists: unique in a run, without blanks.
    target: Target  #: What the checks are given.
    codec: str = ""
    reader: str = ""  #: For a pair of codecs: the one that reads what `codec` wrote.
    transport: str = ""
    address: str = ""  #: For a live node.
    evidence: Callable[[], Evidence] = Evidence  #: What to show of a failure that shows nothing itself.


@dataclass(frozen=True)
class Trial(Generic[Target]):
    """One subject and one case. Its text is its line in a list of known failures: `msgpack 9.2 a sentence`."""

    subject: Subject[Target]
    case: Case[Target]

    def __str__(self) -> str:
        return f"{self.subject.name} {self.case}"

    def run(self) -> None:
        """Return if the case holds; raise whatever shows that it does not, or `unittest.SkipTest` with the reason."""
        asyncio.run(self.case.run(self.subject.target))


def trials(subjects: Iterable[Subject[Target]], cases: Iterable[Case[Target]]) -> list[Trial[Any]]:
    """Every case with every subject."""
    listed = list(cases)
    return [Trial(subject, case) for subject in subjects for case in listed]


class Outcome(StrEnum):
    """What came of a trial. FAILED and MENDED fail the run."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  #: It makes no sense here; the message says why.
    KNOWN = "known"  #: It failed, and the list of known failures has it.
    MENDED = "mended"  #: It passed, and the list still says that it fails: take it off.


class Result(Struct, frozen=True, omit_defaults=True):
    """One trial that was run, as the JSON report has it."""

    subject: str
    clause: str
    sentence: str
    outcome: Outcome
    codec: str = ""
    reader: str = ""
    transport: str = ""
    address: str = ""
    message: str = ""  #: What was wrong, or why it was skipped.
    exhibit: Exhibit | None = None  #: The bytes of a failure, and what was expected, where there is something to show.
    elapsed_ms: float = 0.0

    @property
    def line(self) -> str:
        """Its line in a list of known failures."""
        return f"{self.subject} {self.clause} {self.sentence}"


def run(trial: Trial[Any]) -> Result:
    """Run one trial. Raises nothing that the subject raises, short of KeyboardInterrupt."""
    started = time.perf_counter()
    result = _outcome(trial)
    return replace(result, elapsed_ms=round((time.perf_counter() - started) * 1_000, 1))


def _outcome(trial: Trial[Any]) -> Result:
    try:
        trial.run()
    except SkipTest as skipped:
        return result_of(trial, Outcome.SKIPPED, str(skipped))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit and the like: a stranger's code is being tried
        return failure(trial, error)
    return result_of(trial, Outcome.PASSED)


def failure(trial: Trial[Any], error: BaseException) -> Result:
    """The result of a trial that has just raised `error`."""
    evidence = error.evidence if isinstance(error, Mismatch) else trial.subject.evidence()
    return result_of(trial, Outcome.FAILED, _told(error), exhibit(evidence))


def _told(error: BaseException) -> str:
    """An error as a report tells it: the text of a failed check, the name and the text of anything else."""
    match error:
        case TimeoutError() if not str(error):
            text = "not done within the time limit of a case"
        case AssertionError() if str(error):
            text = str(error)
        case _:
            text = f"{type(error).__name__}: {error}"
    return printable(text[:MAX_MESSAGE_CHARS])


def result_of(trial: Trial[Any], outcome: Outcome, message: str = "", shown: Exhibit | None = None) -> Result:
    """The result of a trial that ended like this."""
    subject = trial.subject
    return Result(
        subject=subject.name,
        clause=trial.case.clause,
        sentence=trial.case.sentence,
        outcome=outcome,
        codec=subject.codec,
        reader=subject.reader,
        transport=subject.transport,
        address=subject.address,
        message=message,
        exhibit=shown,
    )
