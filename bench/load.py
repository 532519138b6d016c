"""What a program is told and answers, and how it counts: the same for every contestant, in whatever language.

A program finds its `Spec` in its only argument, reads an `Order` a line from standard input, and prints an `Answer` a
line in return; it ends with its input.
"""

from collections.abc import Callable
from math import ceil
from random import Random
from time import perf_counter

from msgspec import Struct

VALUE_BYTES = 256
WARM_UP_S = 0.4
ONCE_S = 5.0
"""After this a single write has failed."""


class Spec(Struct, frozen=True):
    """One process to run: who, among whom, how. Travels as JSON."""

    node: int  #: Its place in `ports`; 0 for a client.
    ports: list[int]  #: On loopback, one for each node: to its Raft, or for a client, to what clients speak.
    variant: str  #: See `systems.System.variant`.
    directory: str  #: For the data of this process alone.
    codec: str = "msgpack"
    transport: str = "tcp"


class Order(Struct, frozen=True):
    """Say how you are, or, with `writers`, work for so long and say how it went."""

    writers: int = 0
    seconds: float = 0.0
    value_bytes: int = VALUE_BYTES
    reads: bool = False  #: Linearizable reads of the value that is kept, instead of writes.
    once: bool = False  #: One write, without a warm-up, and no more.


class Status(Struct, frozen=True):
    """How a node is."""

    leading: bool
    applied: int  #: Commands its state machine has been given.
    term: int = 0  #: 0: not known.


class Sample(Struct, frozen=True):
    """How a load went, seen from its writers."""

    operations: int
    operations_per_s: float
    p50_ms: float
    p99_ms: float


class Failed(Struct, frozen=True):
    """Why a load did not go."""

    error: str


class Answer(Struct, frozen=True):
    """One line from a program; exactly one of these is there."""

    status: Status | None = None
    sample: Sample | None = None
    failed: Failed | None = None


def outcome(of: Sample | Failed) -> Answer:
    """The answer to an order to work."""
    return Answer(sample=of) if isinstance(of, Sample) else Answer(failed=of)


def values(order: Order) -> list[bytes]:
    """One value for each writer: random, so that no contestant gains by compressing what no user would send."""
    rng = Random(1)
    return [rng.randbytes(order.value_bytes) for _ in range(order.writers)]


class Recorder:
    """The latencies of what was acknowledged in a window of `seconds` that opens after the warm-up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._opens_at = perf_counter() + WARM_UP_S
        self._closes_at = self._opens_at + seconds
        self._latencies_s: list[float] = []

    def note(self, started: float, ended: float) -> bool:
        """One operation was acknowledged; whether its writer shall go on."""
        if ended >= self._opens_at:
            if ended >= self._closes_at:
                return False
            self._latencies_s.append(ended - started)
        return True

    def sample(self) -> Sample:
        """What was seen. The latencies are 0 when nothing was."""
        ordered = sorted(self._latencies_s) or [0.0]
        return Sample(
            operations=len(self._latencies_s),
            operations_per_s=len(self._latencies_s) / self._seconds,
            p50_ms=percentile(ordered, 50) * 1000,
            p99_ms=percentile(ordered, 99) * 1000,
        )


class Single:
    """The recorder for an order of one write."""

    def __init__(self) -> None:
        self._took_ms = 0.0

    def note(self, started: float, ended: float) -> bool:
        """It was acknowledged; nothing goes on."""
        self._took_ms = (ended - started) * 1000
        return False

    def sample(self) -> Sample:
        """What it took. There is no rate of one write."""
        return Sample(1, 0.0, self._took_ms, self._took_ms)


Note = Callable[[float, float], bool]


def recorder_for(order: Order) -> Recorder | Single:
    """Opened now."""
    return Single() if order.once else Recorder(order.seconds)


def percentile(ordered: list[float], percent: int) -> float:
    """By nearest rank, of figures in ascending order."""
    return ordered[ceil(len(ordered) * percent / 100) - 1]
