"""What clients asked of a service and what they were told: recorded, kept in a file, and judged for being enough.

A history is a list of operations, and its file one JSON object a line, in any order:

    {"client":"c1","key":"k7","kind":"write","input":5,"output":null,"invoked":10,"returned":25,"outcome":"ok"}

`invoked` and `returned` are integers of one clock that never goes back: nanoseconds, or the simulator's time. An
operation fills the closed interval between them: what returns at 25 and what is invoked at 25 are concurrent, for a
clock may give two events one time. The kinds are those of the models in `raftsdk.testing.checkers`, which decide
whether a history is linearizable. They do so quickly for at most 8 clients at a time and 300 operations a key: a
workload takes new keys as it goes on.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from raftsdk.errors import (
    CommandTooLarge,
    NodeStopped,
    NotLeader,
    Overloaded,
    ProposalDropped,
    Unreachable,
)

Scalar: TypeAlias = int | str | None
"""What a register or a list holds. No booleans: in Python True equals 1, in other languages it does not."""

Input: TypeAlias = Scalar | tuple[Scalar, ...]
Output: TypeAlias = Scalar | bool | tuple[Scalar, ...]

NANOSECONDS: Final = 1_000_000_000
"""Units in a second of a history that `time.monotonic_ns` timed."""


class HistoryError(ValueError):
    """What was given is no history. The text names the line or the operation and says what was wrong with it."""


class Outcome(StrEnum):
    """What the client may conclude."""

    OK = "ok"  #: It happened once, between `invoked` and `returned`, and gave `output`.
    UNKNOWN = "unknown"  #: It happened once at any time after `invoked`, however late, or never.
    FAILED = "failed"  #: It never happens.


class Operation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing a client asked for. Raises `HistoryError` when its fields contradict each other."""

    client: str
    key: str
    kind: str
    input: Input
    output: Output  #: None unless the outcome is ok.
    invoked: int
    returned: int | None  #: When the client was told, or gave up; None if it was still waiting at the end.
    outcome: Outcome

    def __post_init__(self) -> None:
        if self.returned is None and self.outcome is not Outcome.UNKNOWN:
            raise HistoryError(f"{self}: {self.outcome}, and never returned")
        if self.returned is not None and self.returned < self.invoked:
            raise HistoryError(f"{self}: returned before it was invoked")
        if self.output is not None and self.outcome is not Outcome.OK:
            raise HistoryError(f"{self}: {self.outcome}, and yet it has an output")

    @property
    def end(self) -> float:
        """The last time at which it can have happened: `inf` unless the client had its answer."""
        return inf if self.returned is None or self.outcome is Outcome.UNKNOWN else self.returned

    def __str__(self) -> str:
        told = _text(self.output) if self.outcome is Outcome.OK else str(self.outcome)
        until = "" if self.returned is None else self.returned
        return f"{self.client} {self.kind} {_text(self.input)} → {told} [{self.invoked}..{until}]"


def _text(value: Input | Output) -> str:
    return msgspec.json.encode(value).decode()


def outcome_of(error: BaseException) -> Outcome:
    """What an error of `raftsdk.Client` or `RaftNode.propose` lets the client conclude (the table of `raftsdk.errors`).

    An error that is not on the list, a cancellation among them, says nothing: the outcome is unknown.
    """
    in_no_log = isinstance(
        error, NotLeader | Overloaded | CommandTooLarge | ProposalDropped | NodeStopped | Unreachable
    )
    return Outcome.FAILED if in_no_log else Outcome.UNKNOWN


class Recorder:
    """Writes down what clients do, as they do it. `clock` gives the time and never goes back.

    It takes no lock: all clients of one recorder live in one thread.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._pending: list[Pending] = []

    def invoke(self, client: str, key: str, kind: str, value: Input = None) -> "Pending":
        """Call before anything is sent; then one of the methods of what is returned, once, as soon as it is known."""
        pending = Pending(self._clock, client, key, kind, value)
        self._pending.append(pending)
        return pending

    def operations(self) -> list[Operation]:
        """All of them as they are now, by time of invocation; unknown where the client still waits."""
        return [pending.operation() for pending in self._pending]


class Pending:
    """One operation under way."""

    def __init__(self, clock: Callable[[], int], client: str, key: str, kind: str, value: Input) -> None:
        self._clock = clock
        self._asked = (client, key, kind, value, clock())
        self._told: tuple[Outcome, Output, int | None] = (Outcome.UNKNOWN, None, None)

    def returned(self, output: Output = None) -> None:
        """The service answered."""
        self._told = (Outcome.OK, output, self._clock())

    def raised(self, error: BaseException) -> None:
        """The client raised this instead of an answer."""
        self._told = (outcome_of(error), None, self._clock())

    def operation(self) -> Operation:
        """What is known of it now."""
        client, key, kind, value, invoked = self._asked
        outcome, output, returned = self._told
        return Operation(
            client=client,
            key=key,
            kind=kind,
            input=value,
            output=output,
            invoked=invoked,
            returned=returned,
            outcome=outcome,
        )


def write_history(path: Path, operations: Iterable[Operation]) -> None:
    """Keep a history: one line an operation."""
    path.write_bytes(msgspec.json.Encoder().encode_lines(operations))


def read_history(path: Path) -> list[Operation]:
    """Read a history back. Raises `HistoryError`, with the number of the line, for anything else."""
    decoder = msgspec.json.Decoder(Operation)
    operations = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            operations.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HistoryError(f"{path.name}, line {number}: {error}") from error
    return operations


# -- was it enough


class Fault(Struct, frozen=True):
    """Something that was broken for a while, on the history's clock. `ended` is None if it was so until the end."""

    name: str
    began: int
    ended: int | None

    def overlaps(self, operation: Operation) -> bool:
        """Whether the client waited, or gave up waiting, while it lasted."""
        until = operation.invoked if operation.returned is None else operation.returned
        return self.began <= until and (self.ended is None or operation.invoked <= self.ended)


class Demands(Struct, frozen=True, kw_only=True):
    """What a run must have done to prove anything. A service that refuses everything is linearizable, too."""

    min_operations: int = 20_000
    min_keys: int = 100
    min_overlapping_percent: int = 30  #: Of the operations, under way while something was broken.
    min_success_percent: int = 60  #: Of the operations.
    min_successes_per_second: int = 50  #: Before the first fault: that the service worked at all.


class VoidRun(AssertionError):
    """The run proves nothing: the text says what it lacked, one reason a line."""


class HistoryReport(Struct, frozen=True, kw_only=True):
    """How much a run did. Counts are of operations."""

    operations: int
    successes: int
    unknown: int
    failed: int
    keys: int
    overlapping: int  #: A fault.
    successes_before_faults: int
    before_faults_s: float  #: From the first invocation to the first fault, or to the last return if there was none.

    @classmethod
    def of(
        cls, operations: Sequence[Operation], faults: Sequence[Fault], units_per_second: int = NANOSECONDS
    ) -> "HistoryReport":
        """Count. Times are in units of which `units_per_second` make a second."""
        began = min((operation.invoked for operation in operations), default=0)
        first_fault = min(
            (fault.began for fault in faults),
            default=max((operation.returned or 0 for operation in operations), default=0),
        )
        successes = [operation for operation in operations if operation.outcome is Outcome.OK]
        unknown = sum(operation.outcome is Outcome.UNKNOWN for operation in operations)
        return cls(
            operations=len(operations),
            successes=len(successes),
            unknown=unknown,
            failed=len(operations) - len(successes) - unknown,
            keys=len({operation.key for operation in operations}),
            overlapping=sum(any(fault.overlaps(operation) for fault in faults) for operation in operations),
            successes_before_faults=sum(operation.end <= first_fault for operation in successes),
            before_faults_s=max(0, first_fault - began) / units_per_second,
        )

    def reasons(self, demands: Demands) -> list[str]:
        """Why the run does not count, a sentence each; empty when it does."""
        rate = self.successes_before_faults / self.before_faults_s if self.before_faults_s else 0.0
        success = _percent(self.successes, self.operations)
        overlapping = _percent(self.overlapping, self.operations)
        found = (
            (self.operations, demands.min_operations, f"{self.operations} operations"),
            (self.keys, demands.min_keys, f"{self.keys} keys"),
            (overlapping, demands.min_overlapping_percent, f"{overlapping:.1f}% of the operations overlap a fault"),
            (success, demands.min_success_percent, f"{success:.1f}% of the operations succeeded"),
            (rate, demands.min_successes_per_second, f"{rate:.1f} successes a second before the first fault"),
        )
        return [f"{text}; at least {least} are demanded" for had, least, text in found if had < least]

    def require(self, demands: Demands) -> None:
        """Raise `VoidRun` unless the run did what is demanded of it."""
        if reasons := self.reasons(demands):
            raise VoidRun("\n".join(reasons))


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
