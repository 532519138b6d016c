"""What a suite finds: one contestant under one load is a row, from its rounds."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct

from bench.load import VALUE_BYTES, Sample
from bench.systems import System

Rounds = list[Sample | None]
"""What each round gave; None: it failed, twice."""


class Load(Struct, frozen=True):
    """What a contestant is to do."""

    writers: int
    value_bytes: int = VALUE_BYTES
    reads: bool = False  #: Linearizable reads instead of writes; `writers` are readers then.


class Row(Struct, frozen=True):
    """One contestant under one load."""

    system: str
    synced: str
    writers: int
    value_bytes: int
    reads: bool
    operations_per_s: float  #: Median of the rounds, like every figure here but min and max.
    min_operations_per_s: float
    max_operations_per_s: float
    p50_ms: float
    p99_ms: float
    beside: str  #: The system that `ratio` is to.
    ratio: float | None  #: Operations a second, to that system's in the same round; None where it did not take part.
    rounds: Rounds


class Outcome(Struct):
    """What one suite found. Rows are flat structs, of one kind in a suite; `table` prints those of any kind."""

    title: str
    rows: Sequence[Struct]
    notes: list[str] = []
    compared: str = ""  #: Heading of the column of ratios, where there is one.
    failed: list[str] = []  #: What could not be measured, and why.


def row(system: System, load: Load, rounds: Rounds, beside: str, others: Rounds) -> Row | None:
    """A contestant's row from its rounds and those of the system it is compared with; None when every round failed."""
    samples = [sample for sample in rounds if sample is not None]
    if not samples:
        return None
    speeds = [sample.operations_per_s for sample in samples]
    compared = ratios(rounds, others, "operations_per_s")
    return Row(
        system=system.name,
        synced=system.synced,
        writers=load.writers,
        value_bytes=load.value_bytes,
        reads=load.reads,
        operations_per_s=median(speeds),
        min_operations_per_s=min(speeds),
        max_operations_per_s=max(speeds),
        p50_ms=median(sample.p50_ms for sample in samples),
        p99_ms=median(sample.p99_ms for sample in samples),
        beside=beside,
        ratio=median(compared) if compared else None,
        rounds=rounds,
    )


def ratios(rounds: Rounds, others: Rounds, figure: str) -> list[float]:
    """Round by round: what disturbs a whole round disturbs both sides of its ratio."""
    pairs = [(one, other) for one, other in zip(rounds, others, strict=False) if one and other]
    return [getattr(one, figure) / getattr(other, figure) for one, other in pairs]
